/** Safetensors and npz files of other people: every tensor with its content, and refusals. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { isModelError } from '../../src/errors.js';
import { nodeFileSet } from '../../src/node/index.js';
import { openModel } from '../../src/readers/open.js';
import { corpusCases, corpusTitle, describe as describeTensor, hasCorpus, listedTensors, recordedTensors } from '../corpus.js';

const cases = corpusCases(({ format }) => format === 'safetensors' || format === 'npz');

describe.skipIf(!hasCorpus)(`real safetensors and npz files${corpusTitle}`, () => {
  it('are all there', () => {
    expect(cases.length).toBe(9);
  });

  it.each(cases.filter(({ kind }) => kind !== 'refuse'))('$case: every tensor is listed with its content', async ({ folder, model }) => {
    const files = await nodeFileSet(join(folder, model));
    const listed = await listedTensors(await openModel(files));
    await files.close();
    // A bare array has no name of its own.
    const nameOf = (name: string) => name || model.replace(/\.np[yz]$/, '');
    const recorded = recordedTensors(folder).map((tensor) => [nameOf(tensor.name), describeTensor(tensor)] as const);
    expect(Object.fromEntries(listed)).toEqual(Object.fromEntries(recorded));
  });

  it.each(cases.filter(({ expect: answer }) => answer === 'refuse'))('$case is refused', async ({ folder, model }) => {
    const files = await nodeFileSet(join(folder, model));
    const outcome = await openModel(files).catch((error: unknown) => error);
    await files.close();
    expect(isModelError(outcome)).toBe(true);
  });
});
