/** Casts are correctly rounded: against exact arithmetic for all halves, all boundaries between them, and random values. */
import { describe, expect, it } from 'vitest';
import { castStage, float32ToHalfPlain, newCastTally, toFloat32Array, toFloat64Array } from '../../src/model/cast.js';

const halves = toFloat32Array(new Uint8Array(Uint16Array.from({ length: 0x10000 }, (_, i) => i).buffer), 'float16');

/** Nearest half by definition: of the two neighbours the closer, of two equally close the even one. */
function nearestHalf(value: number): number {
  if (Number.isNaN(value)) return Number.NaN;
  const magnitude = Math.abs(value);
  if (magnitude >= 65520) return value < 0 ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY;
  const step = magnitude < 2 ** -14 ? 2 ** -24 : 2 ** (Math.floor(Math.log2(magnitude)) - 10);
  const quotient = magnitude / step;
  const floor = Math.floor(quotient);
  const rest = quotient - floor;
  const rounded = (rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor) * step;
  return value < 0 ? -rounded : rounded;
}

function toHalves(values: Float32Array): Float32Array {
  return toFloat32Array(castStage('float32', 'float16', newCastTally()).apply(new Uint8Array(values.slice().buffer)), 'float16');
}

describe('float32 to float16', () => {
  it('leaves every half as it is', () => {
    const back = toHalves(halves);
    expect([...back].every((value, i) => Object.is(value, halves[i]) || (Number.isNaN(value) && Number.isNaN(halves[i]!)))).toBe(true);
  });

  it('rounds the point between two neighbours to the even one, and its neighbours to the nearer', () => {
    const finite = [...halves].filter((value) => Number.isFinite(value) && (value > 0 || Object.is(value, 0))).sort((a, b) => a - b);
    const points = new Float32Array(
      finite.slice(1).flatMap((value, i) => {
        const middle = Math.fround((value + finite[i]!) / 2);
        const bits = new Uint32Array(Float32Array.of(middle).buffer)[0]!;
        const [below, above] = new Float32Array(Uint32Array.of(bits - 1, bits + 1).buffer);
        return [middle, below!, above!, -middle, -below!, -above!];
      }),
    );
    const rounded = toHalves(points);
    const wrong = points.findIndex((value, i) => !Object.is(rounded[i], nearestHalf(value)));
    expect(wrong === -1 ? null : [points[wrong], rounded[wrong]]).toBeNull();
  });

  it('gives in WebAssembly what it gives in JavaScript, for random bit patterns, counts included', () => {
    const bits = new Uint32Array(300_007);
    let state = 1;
    for (let i = 0; i < bits.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      bits[i] = state ^ (state >>> 13);
    }
    const values = new Float32Array(bits.buffer);
    const [fast, plain] = [newCastTally(), newCastTally()];
    const left = new Uint16Array(castStage('float32', 'float16', fast).apply(new Uint8Array(bits.slice().buffer)).slice().buffer);
    const right = float32ToHalfPlain(values, plain);
    expect(left.findIndex((half, i) => half !== right[i])).toBe(-1);
    expect(fast).toEqual(plain);
    expect(fast.overflow).toBeGreaterThan(0);
    expect(fast.underflow).toBeGreaterThan(0);
  });

  it('counts what it loses, and never clamps', () => {
    const tally = newCastTally();
    const values = Float32Array.of(65519.996, 65520, -1e9, 2 ** -25, 3e-8, 0, Number.NaN, Number.POSITIVE_INFINITY);
    const rounded = toFloat32Array(castStage('float32', 'float16', tally).apply(new Uint8Array(values.buffer)), 'float16');
    expect([...rounded]).toEqual([65504, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 2 ** -24, 0, Number.NaN, Number.POSITIVE_INFINITY]);
    expect(tally).toEqual({ overflow: 2, underflow: 1, nan: 1 });
  });
});

it('float64 to float16 rounds once', () => {
  // Rounded to float32 first, this becomes the point between two halves and then goes to the even one, which is the wrong one.
  const value = 1 + 2 ** -11 + 2 ** -40;
  const stage = castStage('float64', 'float16', newCastTally());
  expect(toFloat32Array(stage.apply(new Uint8Array(Float64Array.of(value).buffer)), 'float16')[0]).toBe(1 + 2 ** -10);
});

it('float32 to bfloat16 rounds to nearest, ties to even', () => {
  const stage = castStage('float32', 'bfloat16', newCastTally());
  const values = Float32Array.of(1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1 + 2 ** -8 + 2 ** -20, -1e-45, 3.4e38);
  const rounded = toFloat32Array(stage.apply(new Uint8Array(values.slice().buffer)), 'bfloat16');
  expect([...rounded]).toEqual([1, 1, 1 + 2 ** -6, 1 + 2 ** -7, -0, Number.POSITIVE_INFINITY]);
});

it('8-bit floats widen as their formats say', () => {
  expect([...toFloat64Array(Uint8Array.of(0x00, 0x01, 0x38, 0x7e, 0xff), 'float8_e4m3fn')]).toEqual([0, 2 ** -9, 1, 448, Number.NaN]);
  expect([...toFloat64Array(Uint8Array.of(0x00, 0x01, 0x3c, 0x7b, 0x7c, 0xfd), 'float8_e5m2')]).toEqual([
    0,
    2 ** -16,
    1,
    57344,
    Number.POSITIVE_INFINITY,
    Number.NaN,
  ]);
});
