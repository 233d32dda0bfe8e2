/** Weights of pixels; pictures that TensorFlow itself resized are in test/readers/tensorflow-real.test.ts. */
import { expect, it } from 'vitest';
import { areaWeights, integerLinearWeights, KERNEL_NAMES, kernelWeights } from '../../src/dialects/tensorflow/resampling.js';

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
