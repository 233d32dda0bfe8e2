/** A port of a file that says no order of axes is compared as it lies where it is the source's as it is. */
import { expect, it } from 'vitest';
import type { Layout } from '../../src/model/layer-map.js';
import { compareInterface } from '../../src/verify/interface.js';

const compared = (shown: readonly (number | null)[], layout: Layout) =>
  compareInterface({
    map: { inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape: [1, 32, 40, 3], layout: 'nhwc' }], outputs: [] },
    session: { inputs: [{ name: 'x', shape: shown }], outputs: [] },
    aligned: { inputs: { places: [0], by: 'name', candidates: [] }, outputs: { places: [], by: 'name', candidates: [] } },
    layoutOf: () => layout,
    isOurs: false,
    hasSameDTypes: true,
  });
const differences = (shown: readonly number[], layout: Layout) => compared(shown, layout).length;

it.each<[readonly number[], Layout, boolean]>([
  [[1, 32, 40, 3], 'other', true],
  [[1, 3, 32, 40], 'other', true],
  [[1, 40, 32, 3], 'other', false],
  [[1, 32, 40, 3], 'nhwc', true],
  [[1, 32, 40, 3], 'nchw', false],
])('an input [1,32,40,3] that is [%s] in a file of layout %s is the same: %s', (shown, layout, isSame) => {
  expect(differences(shown, layout) === 0).toBe(isSame);
});

it('sizes that the file leaves free and the source does not are told: on others the two were not compared', () => {
  const told = compared([1, null, null, 3], 'nhwc');
  expect(told.map(({ kind, judged }) => [kind, judged])).toEqual([
    ['free', false],
    ['free', false],
  ]);
  expect(told[0]!.message).toMatch(/axis 1 free in the file, which is 32 in the source/);
});

it('a batch that is free, and what states no sizes at all, is no difference', () => {
  expect(compared([null, 32, 40, 3], 'nhwc')).toEqual([]);
  expect(compared([null, null, null, null], 'nhwc')).toEqual([]);
});
