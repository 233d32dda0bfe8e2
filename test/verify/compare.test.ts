import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareOutput } from '../../src/verify/compare.js';

const TOLERANCE = { atol: 1e-6, rtol: 2e-5, why: 'as measured' };
const values = fc.array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1000, max: 1000 }), { minLength: 1, maxLength: 40 });
const array = (data: readonly number[]) => ({ shape: [1, data.length], data: Float64Array.from(data) });

function compare(expected: readonly number[], actual: readonly number[], tolerance = TOLERANCE) {
  const comparison = compareOutput('y', tolerance);
  comparison.add(array(expected), array(actual));
  return { ...comparison.report(), smallest: comparison.smallestRtol(), problem: comparison.problem };
}

describe('compareOutput', () => {
  it('finds any values equal to themselves', () => {
    fc.assert(
      fc.property(values, (data) => {
        expect(compare(data, data)).toMatchObject({ passed: true, compared: data.length, maxAbsolute: 0, relativeToScale: 0, problem: null });
      }),
    );
  });

  it('passes exactly where the smallest passing tolerance is not above the one in force', () => {
    fc.assert(
      fc.property(values, fc.integer({ min: 0, max: 39 }), fc.float({ noNaN: true, min: 0, max: Math.fround(0.1) }), (data, place, change) => {
        const changed = data.map((value, i) => (i === place % data.length ? value + change : value));
        const { passed, smallest, maxAbsolute } = compare(data, changed);
        const scale = Math.max(...data.map(Math.abs));
        expect(passed).toBe(maxAbsolute <= TOLERANCE.atol + TOLERANCE.rtol * scale);
        if (scale > 0) expect(passed).toBe(smallest <= TOLERANCE.rtol * (1 + 1e-9));
      }),
    );
  });

  it.each([
    [0.99, true],
    [1.01, false],
  ])('holds each group of places to a bound of its own: %s of it', (part, passes) => {
    // Ten times as large in the second place, and a tenth of the whole's share in the first.
    const groups = { axis: 1, groupOf: [0, 1], rtol: [1e-6, 2e-5] };
    const bound = TOLERANCE.atol + 1e-6 * 10;
    const comparison = compareOutput('y', { ...TOLERANCE, groups });
    comparison.add(array([10, 100]), array([10 + part * bound, 100]), 0, true);
    expect([comparison.report().passed, comparison.problem === null]).toEqual([passes, passes]);
    expect(comparison.report().ofAllowed).toBeCloseTo(part, 6);
  });

  it('with the smallest passing tolerance, and a hair more, passes', () => {
    fc.assert(
      fc.property(values, values, (expected, actual) => {
        const length = Math.min(expected.length, actual.length);
        const [a, b] = [expected.slice(0, length), actual.slice(0, length)];
        const { smallest } = compare(a, b);
        if (Number.isFinite(smallest)) expect(compare(a, b, { ...TOLERANCE, rtol: smallest * (1 + 1e-9) }).passed).toBe(true);
      }),
    );
  });

  it('names the worst element, wherever it is', () => {
    fc.assert(
      fc.property(values, fc.nat(), (data, at) => {
        const place = at % data.length;
        const changed = data.map((value, i) => (i === place ? value + 5 : value));
        expect(compare(data, changed).worst).toMatchObject({ index: [0, place] });
      }),
    );
  });

  it.each([
    ['NaN', Number.NaN],
    ['an infinity', Number.POSITIVE_INFINITY],
    ['the other infinity', Number.NEGATIVE_INFINITY],
  ])('takes %s for no match: neither where the other side is finite nor where it is the same', (_, value) => {
    const far = { smallest: Number.POSITIVE_INFINITY, maxAbsolute: Number.POSITIVE_INFINITY, relativeToScale: Number.POSITIVE_INFINITY };
    expect(compare([1, 2], [1, value])).toMatchObject({ ...far, passed: false, compared: 2, cosine: null, nonFinite: { expected: 0, actual: 1 } });
    expect(compare([1, value], [1, 2])).toMatchObject({ ...far, passed: false, compared: 2, nonFinite: { expected: 1, actual: 0 } });
    const alike = compare([1, value], [1, value]);
    expect(alike).toMatchObject({ passed: false, compared: 1, nonFinite: { expected: 1, actual: 1 } });
    expect(alike.problem).toContain('1 values that are NaN or infinite, on both sides');
  });

  it('says which class is first of no row that has a NaN', () => {
    expect(compare([3, 1], [3, 1]).top1).toEqual({ same: 1, of: 1 });
    expect(compare([Number.NaN, Number.NaN], [Number.NaN, Number.NaN]).top1).toEqual({ same: 0, of: 1 });
    expect(compare([3, 1], [3, Number.NaN]).top1).toEqual({ same: 0, of: 1 });
    expect(compare([3, Number.NEGATIVE_INFINITY], [3, Number.NEGATIVE_INFINITY]).top1).toEqual({ same: 1, of: 1 });
  });

  it('lets layers have the same infinity, as a mask does, and counts it', () => {
    const comparison = compareOutput('mask', TOLERANCE, 'layer');
    comparison.add(array([0, Number.NEGATIVE_INFINITY]), array([0, Number.NEGATIVE_INFINITY]));
    expect(comparison.report()).toMatchObject({ passed: true, nonFinite: { expected: 1, actual: 1 } });
  });

  it('takes another shape for a difference, axes of size 1 aside', () => {
    const comparison = compareOutput('y', TOLERANCE, 'layer');
    comparison.add({ shape: [1, 4, 1, 1], data: new Float32Array(4) }, { shape: [1, 4], data: new Float32Array(4) });
    expect(comparison.report().passed).toBe(true);
    comparison.add({ shape: [1, 2, 3], data: new Float32Array(6) }, { shape: [1, 3, 2], data: new Float32Array(6) });
    expect(comparison.report().passed).toBe(false);
    expect(comparison.problem).toContain('layer "y"');
  });
});
