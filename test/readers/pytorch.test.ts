/** PyTorch files of other people: every tensor with its dtype, shape and content, and clear refusals. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { isModelError } from '../../src/errors.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { nodeFileSet } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import { DIGITS } from '../cli/run-cli.js';
import { corpusCases, corpusTitle, describe as describeTensor, hasCorpus, listedTensors, type RecordedTensor, recordedTensors } from '../corpus.js';

const cases = corpusCases(({ format }) => format === 'pytorch' || format === 'torchscript');

describe.skipIf(!hasCorpus)(`real PyTorch files${corpusTitle}`, () => {
  it('are all there', () => {
    expect(cases.length).toBe(20);
  });

  it.each(cases.filter(({ kind }) => kind === 'weights' || kind === 'net'))('$case: every tensor is listed with its content', async ({ folder, model }) => {
    const listed = await listFile(join(folder, model));
    const recorded = recordedTensors(folder);
    expect(Object.fromEntries(listed)).toMatchObject(Object.fromEntries(recorded.map((tensor) => [tensor.name, describeTensor(tensor)])));
  });

  it.each(cases.filter(({ expect: answer }) => answer === 'refuse'))('$case is refused', async ({ folder, model }) => {
    await expect(listFile(join(folder, model))).rejects.toSatisfy((error) => isModelError(error));
  });

  for (const { folder } of cases.filter(({ kind }) => kind === 'container')) {
    const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as {
      file: string;
      expect: string;
      tensors: (RecordedTensor & { optional?: boolean })[];
    }[];
    it.each(index)('$file: listed rightly, or refused where that is right too', async ({ file, expect: answer, tensors }) => {
      let listed: Map<string, string>;
      try {
        listed = await listFile(join(folder, file));
      } catch (error) {
        if (answer === 'inspect' || !isModelError(error)) throw error;
        return;
      }
      for (const tensor of tensors) {
        // A checkpoint's model may be listed below its own dictionary: names then end alike.
        const found = listed.get(tensor.name) ?? [...listed].find(([name]) => tensor.name.endsWith(`.${name}`))?.[1];
        if (!tensor.optional || found) expect([tensor.name, found]).toEqual([tensor.name, describeTensor(tensor)]);
      }
    });
  }
});

describe('a cut file', () => {
  const whole = new Uint8Array(readFileSync(join(DIGITS, 'digits.pth')));

  it('is refused at every length, never with another error', async () => {
    // Every cut near the ends, where the structure is, and a sample of those inside the weights.
    const cuts = [...range(0, 1200, 1), ...range(1200, whole.length - 4000, 5003), ...range(whole.length - 4000, whole.length, 7)];
    for (const cut of cuts) {
      const outcome = await openModel(memoryFileSet({ 'x.pth': whole.subarray(0, cut) }, 'x.pth')).catch((error: unknown) => error);
      expect(isModelError(outcome), `cut at ${cut}: ${outcome}`).toBe(true);
    }
  });

  it('with a flipped byte gives a model or a ModelError', async () => {
    for (let i = 0; i < 400; i++) {
      const bytes = whole.slice();
      const at = i < 200 ? i * 37 : whole.length - 1 - (i - 200) * 11;
      bytes[at] = bytes[at]! ^ (1 << (i % 8));
      try {
        const model = await openModel(memoryFileSet({ 'x.pth': bytes }, 'x.pth'));
        for (const { tensor } of model.tensors.slice(0, 2)) await tensorBytes(tensor);
      } catch (error) {
        expect(isModelError(error), `byte ${at}: ${error instanceof Error ? error.stack : error}`).toBe(true);
      }
    }
  });
});

function* range(start: number, end: number, step: number): Generator<number> {
  for (let at = start; at < end; at += step) yield at;
}

async function listFile(path: string): Promise<Map<string, string>> {
  const files = await nodeFileSet(path);
  try {
    return await listedTensors(await openModel(files));
  } finally {
    await files.close();
  }
}
