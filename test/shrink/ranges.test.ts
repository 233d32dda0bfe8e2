/** Ranges cover what matters, and codes have one that is zero. */
import { describe, expect, it } from 'vitest';
import { codesFor, RANGE_METHODS, RangeHistogram } from '../../src/shrink/ranges.js';

let state = 11;
const uniform = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return (state + 1) / 2 ** 32;
};
const gaussian = () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
const filled = (values: readonly number[], parts = 4) => {
  const histogram = new RangeHistogram();
  const each = Math.ceil(values.length / parts);
  for (let i = 0; i < parts; i++) histogram.add(values.slice(i * each, (i + 1) * each));
  return histogram;
};
const lossOf = (values: readonly number[], { low, high }: { low: number; high: number }) => {
  const step = (high - low) / 255;
  return values.reduce((sum, value) => sum + (value - Math.min(high, Math.max(low, step * Math.round(value / step)))) ** 2, 0);
};

describe('a range', () => {
  const values = Array.from({ length: 4000 }, gaussian);

  it('from the smallest to the largest value is what was seen, however it came in', () => {
    const { low, high } = filled(values, 7).range('min-max');
    expect([low, high]).toEqual([Math.min(...values), Math.max(...values)]);
  });

  it('by least squares loses less than the whole does, where one value lies far out', () => {
    const histogram = filled([...values, 12]);
    for (let i = 1; i < 100; i++) histogram.add(values);
    const [whole, least] = [histogram.range('min-max'), histogram.range('least squares')];
    expect(whole.high).toBe(12);
    expect(least.high).toBeLessThan(8);
    const loss = (range: typeof least) => 100 * lossOf(values, range) + lossOf([12], range);
    expect(loss(least)).toBeLessThan(loss(whole));
  });

  it('by percentile leaves out the far value of ten thousand, and no more', () => {
    const { low, high } = filled([...values, ...values, ...values, ...values, ...values, 60]).range('percentile');
    expect(high).toBeLessThan(6);
    expect(low).toBeLessThan(-2.5);
  });

  it.each(RANGE_METHODS)('of what is never negative begins at zero (%s)', (method) => {
    const { low, high } = filled(values.map((value) => Math.max(0, value))).range(method);
    expect(low).toBe(0);
    expect(high).toBeGreaterThan(1);
  });

  it.each(RANGE_METHODS)('of nothing, and of zeros, is one that codes can have (%s)', (method) => {
    expect(codesFor(new RangeHistogram().range(method), 'uint8')).toEqual({ dtype: 'uint8', scale: 1, zero: 0 });
    expect(codesFor(filled([0, 0, 0]).range(method), 'int8')).toEqual({ dtype: 'int8', scale: 1, zero: -128 });
  });

  it('counts what is not finite, and goes on', () => {
    const histogram = filled([1, Number.NaN, 2, Number.POSITIVE_INFINITY], 1);
    expect([histogram.nonFinite, histogram.range('min-max')]).toEqual([2, { low: 0, high: 2 }]);
  });
});

describe('codes', () => {
  it.each(['uint8', 'int8'] as const)('reach both ends of a range to half a step, and have a zero (%s)', (dtype) => {
    const first = dtype === 'uint8' ? 0 : -128;
    for (const [low, high] of [
      [-3, 5],
      [-7.1, 0.2],
      [0, 6],
      [-4, 0],
      [-1e-6, 1e-6],
    ] as const) {
      const { scale, zero } = codesFor({ low, high }, dtype);
      expect(zero).toBeGreaterThanOrEqual(first);
      expect(zero).toBeLessThanOrEqual(first + 255);
      expect(Math.abs((first - zero) * scale - low)).toBeLessThanOrEqual(scale * 0.51);
      expect(Math.abs((first + 255 - zero) * scale - high)).toBeLessThanOrEqual(scale * 0.51);
    }
  });

  it('of what a ReLU6 makes end at 6 and not a rounding beyond it, as ONNX Runtime asks before it leaves the clip out', () => {
    for (let i = 1; i < 400; i++) {
      const { scale } = codesFor({ low: 0, high: 6 - i / 1000 }, 'uint8');
      expect(Math.fround(scale * 255)).toBeLessThanOrEqual(6 - i / 1000);
    }
    expect(Math.fround(codesFor({ low: 0, high: 6 }, 'uint8').scale * 255)).toBeLessThanOrEqual(6);
  });
});
