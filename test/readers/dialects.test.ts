/** Small VGG nets in every dialect of their source: recognised, and predicting through the converted file what was recorded. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import type { ReadOptions } from '../../src/readers/reader.js';
import { readNpyFile } from '../corpus.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';

const FIXTURES = fileURLToPath(new URL('../fixtures', import.meta.url));
const EXPECTED_CASES = { caffe: 15, 'keras-dialects': 22, pytorch: 19 };

const cases = Object.keys(EXPECTED_CASES).flatMap((format) =>
  readdirSync(join(FIXTURES, format), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && entry.name !== '__pycache__')
    .map(({ name }) => ({ title: `${format}/${name}`, format, folder: join(FIXTURES, format, name) })),
);

/** The model's own files, and what the caller must say about them. */
function openCase(folder: string): { files: ReturnType<typeof memoryFileSet>; options: ReadOptions } {
  const names = readdirSync(folder).filter((name) => !/\.npy$|^options\.json$/.test(name));
  const main = names.find((name) => name.startsWith('model.') && !/\.(prototxt|json)$/.test(name))!;
  const files = memoryFileSet(Object.fromEntries(names.map((name) => [name, new Uint8Array(readFileSync(join(folder, name)))])), main);
  const optionsPath = join(folder, 'options.json');
  return { files, options: existsSync(optionsPath) ? JSON.parse(readFileSync(optionsPath, 'utf8')) : {} };
}

describe('fixtures of dialects', () => {
  it('are all there', () => {
    expect(Object.fromEntries(Object.keys(EXPECTED_CASES).map((name) => [name, cases.filter(({ format }) => format === name).length]))).toEqual(EXPECTED_CASES);
  });

  // Of the output's largest value: float32 differs by the order of additions, float16 by rounding each weight.
  const limits = [
    ['float32', 5e-6],
    ['float16', 5e-3],
  ] as const;
  for (const [dtype, limit] of limits) {
    it.each(cases)(`$title predicts in ${dtype} what was recorded`, async ({ folder }) => {
      const { files, options } = openCase(folder);
      const { bytes, result } = await convertInMemory(files, { ...options, dtype });
      expect(result.map!.architecture?.name).toMatch(/VGG/);
      expect(result.map!.layers.find(({ op }) => op === 'Conv')!.canonicalName).toBe('conv1_1');
      const [actual] = (await runOnnx(bytes, [await readNpyFile(join(folder, 'input.npy'))])).values();
      const expected = await readNpyFile(join(folder, 'output.npy'));
      expect(actual!.shape).toEqual(expected.shape);
      const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      const worst = expected.data.reduce((max, value, i) => Math.max(max, Math.abs(value - actual!.data[i]!)), 0);
      expect(worst / scale).toBeLessThan(limit);
    });
  }
});
