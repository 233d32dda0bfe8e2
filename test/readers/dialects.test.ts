/** Small VGG nets in every dialect of their source: recognised, and predicting through the converted file what was recorded. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readNpyFile } from '../corpus.js';
import { DIALECT_CASES, DIALECT_COUNTS, openDialect } from '../dialects.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';

describe('fixtures of dialects', () => {
  it('are all there', () => {
    expect(Object.fromEntries(Object.keys(DIALECT_COUNTS).map((name) => [name, DIALECT_CASES.filter(({ format }) => format === name).length]))).toEqual(
      DIALECT_COUNTS,
    );
  });

  // Of the output's largest value: float32 differs by the order of additions, float16 by rounding each weight.
  const limits = [
    ['float32', 5e-6],
    ['float16', 5e-3],
  ] as const;
  for (const [dtype, limit] of limits) {
    it.each(DIALECT_CASES)(`$title predicts in ${dtype} what was recorded`, async ({ folder }) => {
      const { files, options } = openDialect(folder);
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
