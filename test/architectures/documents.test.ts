// @module-tag slow
/** What is printed of a net that was recognised describes it: with that document, its file is read as the same net. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inspect } from '../../src/inspect.js';
import { readNpyFile } from '../corpus.js';
import { ARCHITECTURE_CASES, openDialect } from '../dialects.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';

/** Files of no family, whose own test describes them. */
const OWN = /^architectures\/own-/;
/** What a document has no words for, and what its refusal says. */
const REFUSED: Readonly<Record<string, RegExp>> = {};

const CASES = ARCHITECTURE_CASES.filter(({ title }) => !OWN.test(title));

it('has as many nets as there are', () => {
  expect(CASES.length).toBeGreaterThanOrEqual(245);
  expect(Object.keys(REFUSED).filter((name) => !CASES.some(({ title }) => title === `architectures/${name}`))).toEqual([]);
});

describe('the document of a recognised net', () => {
  it.each(CASES)('$title describes it', async ({ title, folder }) => {
    const { files, options } = openDialect(folder);
    // Exactly as it is printed.
    const text = JSON.stringify(await inspect(files, options));
    const described = { name: 'net.json', text };
    const refusal = REFUSED[title.replace('architectures/', '')];
    if (refusal) return expect(convertInMemory(files, { described })).rejects.toThrow(refusal);
    const { bytes } = await convertInMemory(files, { described });
    const [actual] = (await runOnnx(bytes, [await readNpyFile(join(folder, 'input.npy'))])).values();
    const expected = await readNpyFile(join(folder, 'output.npy'));
    const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    expect(actual!.data.length).toBe(expected.data.length);
    expect(expected.data.reduce((max, value, i) => Math.max(max, Math.abs(value - actual!.data[i]!)), 0) / scale).toBeLessThan(5e-5);
  });
});
