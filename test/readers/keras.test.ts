/** Keras files of other people: every tensor, and the recorded predictions through the converted file. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { isModelError } from '../../src/errors.js';
import { nodeFileSet } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import { corpusCases, corpusTitle, describe as describeTensor, hasCorpus, listedTensors, recordedTensors } from '../corpus.js';
import { kerasArchive, type LayerSpec, sequential } from '../keras-files.js';
import { convertInMemory, corpusExcess } from '../run-onnx.js';

const cases = corpusCases(({ format }) => format === 'keras-h5' || format === 'keras-v3');

describe.skipIf(!hasCorpus)(`real Keras files${corpusTitle}`, () => {
  it('are all there', () => {
    expect(cases.length).toBe(79);
  });

  it.each(cases.filter(({ kind }) => kind !== 'refuse'))('$case: every tensor is listed with its content', async ({ folder, model }) => {
    const files = await nodeFileSet(join(folder, model));
    const listed = await listedTensors(await openModel(files));
    await files.close();
    const recorded = recordedTensors(folder).map((tensor) => [tensor.name, describeTensor(tensor)] as const);
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(recorded));
  });

  it.each(cases.filter(({ expect: answer }) => answer === 'convert' || answer === 'warn'))('$case: converted, it predicts what was recorded', async (entry) => {
    const files = await nodeFileSet(join(entry.folder, entry.model));
    const { bytes, result } = await convertInMemory(files);
    await files.close();
    const { excess, shapes } = await corpusExcess(entry, bytes);
    expect(excess, shapes).toBeLessThanOrEqual(0);
    if (entry.warning) expect(result.warnings.map(({ message }) => message).join('\n')).toMatch(new RegExp(entry.warning, 'i'));
  });

  it.each(cases.filter(({ expect: answer }) => answer === 'refuse'))('$case is refused', async ({ folder, model }) => {
    const files = await nodeFileSet(join(folder, model));
    const outcome = await convertInMemory(files).catch((error: unknown) => error);
    await files.close();
    expect(isModelError(outcome), String(outcome)).toBe(true);
  });

  it.each(cases.filter(({ expect: answer, kind }) => answer === 'inspect' && kind === 'net'))(
    '$case: converting gives the recorded predictions, or is declined',
    async (entry) => {
      const files = await nodeFileSet(join(entry.folder, entry.model));
      const outcome = await convertInMemory(files).catch((error: unknown) => error);
      await files.close();
      if (isModelError(outcome)) return;
      if (outcome instanceof Error) throw outcome;
      expect((await corpusExcess(entry, (outcome as { bytes: Uint8Array }).bytes)).excess).toBeLessThanOrEqual(0);
    },
  );
});

it('interruptions are let in between the layers of a configuration', async () => {
  const layers = new Array<LayerSpec>(2000).fill(['ReLU']);
  const model = await openModel(memoryFileSet({ 'm.keras': await kerasArchive(sequential([null, 4], layers)) }, 'm.keras'));
  // Modules are loaded with the first.
  await model.map();
  let turns = 0;
  const timer = setInterval(() => turns++, 1);
  await model.map();
  clearInterval(timer);
  expect(turns).toBeGreaterThan(2);
});
