/** Which way round a file's ports are where the file does not say: by its shapes, or its format's habit. */
import { describe, expect, it } from 'vitest';
import type { Dim, Layout, Port } from '../../src/model/layer-map.js';
import { layoutByShape } from '../../src/verify/layout.js';
import { likelyLayout } from '../../src/verify/runs.js';

const port = (shape: readonly Dim[], layout: Layout): Port => ({ name: 'x', value: 'x', dtype: 'float32', shape, layout });

describe('layoutByShape', () => {
  it.each([
    [['N', 3, 8, 9], 'nchw', ['N', 8, 9, 3], 'nhwc'],
    [['N', 3, 8, 9], 'nchw', ['N', 3, 8, 9], 'nchw'],
    [['N', 8, 9, 3], 'nhwc', ['N', 3, 8, 9], 'nchw'],
    [['N', 5, 7], 'ncw', ['N', 7, 5], 'nwc'],
    [['N', 2, 4, 5, 6], 'ncdhw', ['N', 4, 5, 6, 2], 'ndhwc'],
    // A free size fits anything.
    [['N', 3, 'H', 'W'], 'nchw', [null, 7, null, 3], 'nhwc'],
  ] as const)('of %s (%s) in a file of %s is %s', (own, layout, shown, right) => {
    expect(layoutByShape(port(own, layout), shown)).toBe(right);
    for (const habit of ['nchw', 'nhwc'] as const) expect(layoutByShape(port(own, layout), shown, habit)).toBe(right);
  });

  it.each([
    ['shapes that fit both ways', ['N', 8, 8, 8], ['N', 8, 8, 8]],
    ['shapes that fit no way', ['N', 3, 8, 9], ['N', 5, 5, 5]],
    ['free sizes', ['N', 3, 'H', 'W'], [null, null, null, 3]],
    ['an unknown shape', ['N', 3, 8, 9], null],
    ['another rank', ['N', 3, 8, 9], ['N', 216]],
  ] as const)('leaves %s to habit', (_, own, shown) => {
    expect(layoutByShape(port(own, 'nchw'), shown)).toBe('nchw');
    expect(layoutByShape(port(own, 'nchw'), shown, 'nhwc')).toBe('nhwc');
  });

  it('turns nothing that has no axes of a picture', () => {
    expect(layoutByShape(port(['N', 3, 8], 'other'), ['N', 8, 3])).toBe('other');
  });
});

describe('likelyLayout', () => {
  it.each([
    [['N', 3, 224, 224], 'nchw'],
    [['N', 224, 224, 3], 'nhwc'],
    [['N', 64, 64, 4], 'nhwc'],
    [['N', 4, 64, 64], 'nchw'],
    [['N', 2, 16, 16, 16], 'ncdhw'],
    [['N', 16, 16, 16, 1], 'ndhwc'],
    [['N', 100, 2], 'nwc'],
    [['N', 2, 100], 'ncw'],
    [['N', 12], 'other'],
    [[], 'other'],
  ] as const)('of %s is %s, whatever the habit', (shape, right) => {
    expect([likelyLayout(shape, false), likelyLayout(shape, true)]).toEqual([right, right]);
  });

  it.each([
    ['no axis is short', ['N', 5, 64, 64]],
    ['no axis is short at the end', ['N', 64, 64, 5]],
    ['both are short', ['N', 3, 64, 3]],
    ['sizes are free', ['N', 'C', 'H', 'W']],
  ] as const)('goes by habit where %s', (_, shape) => {
    expect([likelyLayout(shape, false), likelyLayout(shape, true)]).toEqual(['nchw', 'nhwc']);
  });
});
