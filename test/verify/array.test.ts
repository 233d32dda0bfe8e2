/** Values on their way into runtimes. */
import { expect, it } from 'vitest';
import type { DType } from '../../src/model/dtype.js';
import { typedValues } from '../../src/verify/array.js';

const of = (...values: number[]) => ({ shape: [values.length], data: Float64Array.from(values) });

it.each<[DType, number[], string]>([
  ['uint8', [0, 255], 'Uint8Array'],
  ['int8', [-128, 127], 'Int8Array'],
  ['uint16', [0, 65535], 'Uint16Array'],
  ['int32', [-(2 ** 31), 2 ** 31 - 1], 'Int32Array'],
  ['int64', [-5, 2 ** 40], 'BigInt64Array'],
  ['float64', [0.1, 2 ** 60], 'Float64Array'],
])('%s values are given as they are', (dtype, values, kind) => {
  const typed = typedValues(of(...values), dtype);
  expect(typed.constructor.name).toBe(kind);
  expect(Array.from(typed as ArrayLike<number | bigint>, Number)).toEqual(values);
});

it('half precision is given as its bits', () => {
  expect([...typedValues(of(1, -2, 65504), 'float16')]).toEqual([0x3c00, 0xc000, 0x7bff]);
  expect([...typedValues(of(1, -2), 'bfloat16')]).toEqual([0x3f80, 0xc000]);
});

it.each<[DType, number]>([
  ['uint8', -1],
  ['uint8', 256],
  ['int32', 0.5],
  ['int64', 0.5],
  ['int8', Number.NaN],
])('a value that is no %s is refused, not wrapped: %s', (dtype, value) => {
  expect(() => typedValues(of(value), dtype)).toThrow(/takes/);
});
