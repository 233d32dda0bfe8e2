// @module-tag slow
/** Small nets in every dialect of their source: they predict through the converted file what was recorded. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readNpyFile } from '../corpus.js';
import { DIALECT_CASES, openDialect } from '../dialects.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';

/** All of whose nets are of the VGG family, whatever they are called in the file. */
const VGG_FORMATS: ReadonlySet<string> = new Set(['caffe', 'keras-dialects', 'pytorch']);

describe('fixtures of dialects', () => {
  it('are all there', () => {
    const counts: Record<string, number> = {};
    for (const { format } of DIALECT_CASES) counts[format] = (counts[format] ?? 0) + 1;
    expect(counts).toEqual({ caffe: 15, 'keras-dialects': 22, 'keras-recorded': 3, 'keras-written': 10, pytorch: 19, 'torch-2': 5, torchscript: 16 });
  });

  // Of the output's largest value: float32 differs by the order of additions, float16 by rounding each weight.
  const limits = [
    ['float32', 5e-6],
    ['float16', 5e-3],
  ] as const;
  for (const [dtype, limit] of limits) {
    it.each(DIALECT_CASES)(`$title predicts in ${dtype} what was recorded`, async ({ folder, format }) => {
      const { files, options } = openDialect(folder);
      const { bytes, result } = await convertInMemory(files, { ...options, dtype });
      if (VGG_FORMATS.has(format)) {
        expect(result.map!.architecture?.name).toMatch(/VGG/);
        expect(result.map!.layers.find(({ op }) => op === 'Conv')!.canonicalName).toBe('conv1_1');
      }
      const [actual] = (await runOnnx(bytes, [await readNpyFile(join(folder, 'input.npy'))])).values();
      const expected = await readNpyFile(join(folder, 'output.npy'));
      expect(actual!.shape).toEqual(expected.shape);
      const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
      const worst = expected.data.reduce((max, value, i) => Math.max(max, Math.abs(value - actual!.data[i]!)), 0);
      expect(worst / scale).toBeLessThan(limit);
    });
  }
});
