/** Weights of pixels; pictures that TensorFlow itself resized are in test/readers/tensorflow-real.test.ts. */
import { expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { areaWeights, integerLinearWeights, KERNEL_NAMES, kernelWeights } from '../../src/dialects/tensorflow/resampling.js';
import { scaleTo } from '../../src/model/ops/index.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';
import { graphDef, placeholder } from '../tf-graphs.js';

it('integers count places in parts of 1024, where 3/5 is 614 of them', () => {
  const rows = integerLinearWeights(4, 6, true, false).map((row) => Array.from(row, (weight) => weight * 1024));
  expect(rows[1]).toEqual([410, 614, 0, 0]);
  expect(rows[5]).toEqual([0, 0, 1024 * 3 - 5 * 614, 5 * 614 - 1024 * 2]);
});

it('with half pixels, integers repeat the border', () => {
  const [first] = integerLinearWeights(3, 6, false, true);
  expect([...first!]).toEqual([1, 0, 0]);
});

it('parts of pixels count as parts of the area', () => {
  const rows = areaWeights(3, 2, false).map((row) => [...row]);
  expect(rows[0]![0]).toBeCloseTo(2 / 3, 6);
  expect(rows[0]![1]).toBeCloseTo(1 / 3, 6);
  expect(rows[1]![2]).toBeCloseTo(2 / 3, 6);
});

it.each(KERNEL_NAMES)('%s leaves a picture of the same size as it is, but for kernels that are smooth', (kernel) => {
  for (const [i, row] of kernelWeights(5, 5, kernel, 1, 0, true).entries()) {
    expect(row.reduce((sum, weight) => sum + weight, 0)).toBeCloseTo(1, 9);
    expect(row[i]!).toBeGreaterThan(0.7);
  }
});

it('what lies outside is nothing', () => {
  const rows = kernelWeights(2, 4, 'triangle', 1, 0, false).map((row) => [...row]);
  expect(rows[3]).toEqual([0, 0]);
});

it('a size becomes another by a factor that gives it in float32 and in float64, as runtimes and shape inference round down', () => {
  for (let from = 1; from <= 120; from++)
    for (let to = 1; to <= 120; to++) {
      const scale = scaleTo(from, to, 'linear')!;
      expect([scale, Math.fround(scale), Math.floor(Math.fround(from * scale)), Math.floor(from * scale)]).toEqual([scale, scale, to, to]);
      expect(scale / (to / from)).toBeCloseTo(1, 6);
    }
  expect(scaleTo(7, 11, 'nearest')).toBeNull();
});

it('nearest pixels are those that TensorFlow takes, where no factor gives the size', async () => {
  const size = { dtype: 'int32', shape: [2], values: [11, 11] } as const;
  const node = { name: 'y', op: 'ResizeNearestNeighbor', input: ['x', 'size'], attr: { T: { type: 1 }, half_pixel_centers: { b: true } } };
  const graph = graphDef({ nodes: [placeholder('x', [1, 7, 14, 1]), node], weights: { size }, inputs: ['x'], outputs: ['y'] });
  const { bytes } = await convertInMemory(memoryFileSet({ 'm.pb': graph }, 'm.pb'));
  const [made] = (await runOnnx(bytes, [{ shape: [1, 7, 14, 1], data: Float32Array.from({ length: 98 }, (_, i) => i) }])).values();
  const at = (i: number, from: number) => Math.floor(((2 * i + 1) * from) / 22);
  expect([...made!.data]).toEqual(Array.from({ length: 121 }, (_, i) => 14 * at(Math.floor(i / 11), 7) + at(i % 11, 14)));
});
