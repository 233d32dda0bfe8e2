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
  ])('takes %s for a difference, but not where it is expected', (_, value) => {
    expect(compare([1, 2], [1, value])).toMatchObject({ passed: false, smallest: Number.POSITIVE_INFINITY });
    expect(compare([1, value], [1, 2])).toMatchObject({ passed: false });
    expect(compare([1, value], [1, value])).toMatchObject({ passed: true });
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
