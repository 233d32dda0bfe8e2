/** Caffe files of other people: every blob, the recorded predictions, and clear refusals. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { isModelError } from '../../src/errors.js';
import { nodeFileSet } from '../../src/node/index.js';
import { parseCaffeNet } from '../../src/readers/caffe/model.js';
import { openModel } from '../../src/readers/open.js';
import { DIGITS } from '../cli/run-cli.js';
import { CORPUS, corpusCases, corpusTitle, describe as describeTensor, hasCorpus, listedTensors, recordedTensors } from '../corpus.js';
import { convertInMemory, corpusExcess } from '../run-onnx.js';

const cases = corpusCases(({ format, kind }) => format === 'caffe' && kind !== 'container');

describe.skipIf(!hasCorpus)(`real Caffe files${corpusTitle}`, () => {
  it('are all there', () => {
    expect(cases.length).toBe(13);
  });

  it.each(cases.filter(({ kind }) => kind !== 'refuse'))('$case: every blob is listed with its content', async ({ folder, model, prototxt }) => {
    const files = await nodeFileSet(join(folder, model));
    const listed = await listedTensors(await openModel(files, { prototxt: prototxt ?? undefined }));
    await files.close();
    const simplify = (text: string) => text.replace(/\[(1,)+/, '[');
    for (const tensor of recordedTensors(folder)) {
      expect([tensor.name, simplify(listed.get(tensor.name) ?? 'missing')]).toEqual([tensor.name, simplify(describeTensor(tensor))]);
    }
  });

  it.each(cases.filter(({ expect: answer }) => answer === 'convert' || answer === 'warn'))('$case: converted, it predicts what was recorded', async (entry) => {
    const files = await nodeFileSet(join(entry.folder, entry.model));
    const { bytes } = await convertInMemory(files, { prototxt: entry.prototxt ?? undefined });
    await files.close();
    const { excess, shapes } = await corpusExcess(entry, bytes);
    expect(excess, shapes).toBeLessThanOrEqual(0);
  });

  it.each(cases.filter(({ expect: answer }) => answer === 'refuse'))('$case is refused', async ({ folder, model, prototxt }) => {
    const files = await nodeFileSet(join(folder, model));
    const outcome = await convertInMemory(files, { prototxt: prototxt ?? undefined }).catch((error: unknown) => error);
    await files.close();
    expect(isModelError(outcome), String(outcome)).toBe(true);
  });

  const folder = join(CORPUS, 'caffe-prototxts');
  const index = existsSync(folder)
    ? (JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8')) as { file: string; layers: number; inputs: string[] }[])
    : [];
  it.each(index)('$file: its layers of the TEST phase are counted', ({ file, layers }) => {
    const net = parseCaffeNet(readFileSync(join(folder, file), 'utf8'), file);
    expect(net.layers.length).toBe(layers);
  });
});

describe('damaged files', () => {
  const model = new Uint8Array(readFileSync(join(DIGITS, 'digits.caffemodel')));
  const prototxt = new Uint8Array(readFileSync(join(DIGITS, 'digits.prototxt')));
  const open = async (weights: Uint8Array, text: Uint8Array) => {
    const opened = await openModel(memoryFileSet({ 'x.caffemodel': weights, 'x.prototxt': text }, 'x.caffemodel'));
    return opened.map();
  };

  it('a caffemodel cut anywhere is refused', async () => {
    for (let cut = 0; cut < model.length; cut += cut < 500 ? 1 : 701) {
      const outcome = await open(model.subarray(0, cut), prototxt).catch((error: unknown) => error);
      expect(isModelError(outcome), `cut at ${cut}: ${outcome instanceof Error ? outcome.stack : 'accepted'}`).toBe(true);
    }
  });

  it('a prototxt cut anywhere is refused, or is a shorter net', async () => {
    for (let cut = 0; cut < prototxt.length; cut++) {
      const outcome = await open(model, prototxt.subarray(0, cut)).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(isModelError(outcome), `cut at ${cut}: ${outcome.stack}`).toBe(true);
    }
  });

  it('a caffemodel with flipped bytes gives a net or a ModelError', async () => {
    for (let i = 0; i < 500; i++) {
      const bytes = model.slice();
      const at = (i * 97) % bytes.length;
      bytes[at] = bytes[at]! ^ (1 << (i % 8));
      const outcome = await open(bytes, prototxt).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(isModelError(outcome), `byte ${at}: ${outcome.stack}`).toBe(true);
    }
  });

  it('a layer that the net has and the weights have not is named, and so are all others', async () => {
    const text = new TextDecoder().decode(prototxt).replaceAll('name: "conv1_1"', 'name: "renamed"').replace('num_output: 10 ', 'num_output: 11 ');
    const outcome = await open(model, new TextEncoder().encode(text)).catch((error: unknown) => error);
    expect(isModelError(outcome, 'malformed')).toBe(true);
    expect(String(outcome)).toContain('renamed');
    expect(String(outcome)).toContain('fc8');
  });
});
