/** The kernels that weights are coded with, against plain arithmetic on numbers, bit for bit: ties, what lies beside them, subnormals, both zeros. */
import { expect, it } from 'vitest';
import { CODE_RANGES, type CodeRange, measureBlocks, quantiseBlocks, quantiseFew } from '../../src/model/block-codes.js';
import { packedChunks, withBits } from '../../src/model/packing.js';
import { quantiseChannels, roundToEven } from '../../src/model/quantise.js';
import { constantTensor, elementCount, float32Tensor, tensorBytes } from '../../src/model/tensor.js';
import { spreadOf } from '../../src/shrink/coded.js';
import { coordinates, ORIGIN } from './tensor-reference.js';

/** The next float32 by so many bits. */
function beside(value: number, bits: number): number {
  const words = Uint32Array.from(new Uint32Array(Float32Array.of(value).buffer), (word) => word + bits);
  return new Float32Array(words.buffer)[0]!;
}

/** On ties of a scale, next to them on both sides, far beyond all codes, subnormal, zeros of both signs. */
function awkward(scale: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    const tie = Math.fround(((i % 41) - 20.5) * scale);
    return [tie, beside(tie, 1), beside(tie, -1), ((i * 7) % 300) * scale, -0, 0, 2 ** -149 * i, -(2 ** 100), Math.sin(i) * 9 * scale][i % 9]!;
  });
}

/** Of which quotients by float32 values near ties come out on the tie in float32, and beside it in float64. */
const SCALES = [1, 0.013, 1 / 3, 2 ** -130, 3e-45, 1e30, 0.1];
const code = (value: number, scale: number, zero: number, [low, high]: readonly [number, number]) =>
  Math.max(low, Math.min(high, roundToEven(value / scale) + zero)) + 0;
const bytesAs = (bytes: Uint8Array, range: CodeRange | 'int8') => [...(range === 'uint4' ? bytes : new Int8Array(bytes.slice().buffer))];

it('codes of channels are those of float64, whether a channel is a run or the innermost axis', async () => {
  const scales = Float32Array.from({ length: 24 }, (_, i) => SCALES[i % SCALES.length]!);
  const shape = [24, 3, 24];
  const at = coordinates(shape);
  for (const axis of [0, 2]) {
    const [before, ofChannel] = [awkward(1, elementCount(shape)), (i: number) => scales[at[i]![axis]!]!];
    const values = before.map((value, i) => Math.fround(value * ofChannel(i)));
    const tensor = float32Tensor('w', shape, values, ORIGIN);
    expect(bytesAs(await tensorBytes(quantiseChannels(tensor, axis, scales)), 'int8')).toEqual(
      values.map((value, i) => code(value, ofChannel(i), 0, [-127, 127])),
    );
    for (const range of ['int4', 'uint4'] as const) {
      const zeroPoints = range === 'uint4' ? Uint8Array.from(scales, (_, i) => i % 16) : undefined;
      const few = quantiseFew(tensor, axis, { scales, ...(zeroPoints ? { zeroPoints } : {}) }, range);
      const expected = values.map((value, i) => code(value, ofChannel(i), zeroPoints?.[at[i]![axis]!] ?? 0, CODE_RANGES[range]));
      expect(bytesAs(await tensorBytes(few), range)).toEqual(expected);
    }
  }
});

it('a tie of float32 is settled in float64', () => {
  const near = SCALES.flatMap((scale) => awkward(scale, 400).map((value) => ({ value: Math.fround(value), scale: Math.fround(scale) })));
  const settled = near.filter(({ value, scale }) => roundToEven(Math.fround(value / scale)) !== roundToEven(value / scale));
  expect(settled.length).toBeGreaterThan(20);
});

it.each(['int4', 'uint4'] as const)('codes of blocks are those of float64, at any size and place of the axis (%s)', async (range) => {
  for (const [size, shape] of [
    [8, [3, 40]],
    [32, [70, 64]],
    [12, [5, 24]],
    [100, [2, 200]],
    [16, [4, 32, 9]],
    [5, [2, 10, 3]],
    // More than is worked on at a time, whose ends fall into a block.
    [24, [3, 24_000]],
    [100, [2, 34_000]],
  ] as const) {
    const parameters = [shape[0], shape[1] / size, ...shape.slice(2)];
    const place = coordinates(shape).map(([a, b, c = 0]) => (a! * parameters[1]! + Math.floor(b! / size)) * (parameters[2] ?? 1) + c);
    const scales = Float32Array.from({ length: elementCount(parameters) }, (_, i) => SCALES[i % SCALES.length]!);
    const zeroPoints = range === 'uint4' ? Uint8Array.from(scales, (_, i) => (i * 5) % 16) : undefined;
    const values = awkward(1, place.length).map((value, i) => Math.fround(value * scales[place[i]!]!));
    const codes = { axis: 1, size, shape: parameters, scales, ...(zeroPoints ? { zeroPoints } : {}) };
    const made = bytesAs(await tensorBytes(quantiseBlocks(float32Tensor('w', shape, values, ORIGIN), codes, range)), range);
    const wrong = values.findIndex((value, i) => made[i] !== code(value, scales[place[i]!]!, zeroPoints?.[place[i]!] ?? 0, CODE_RANGES[range]));
    expect([wrong, made.length]).toEqual([-1, values.length]);
  }
});

it.each(['int4', 'uint4'] as const)('blocks that lie in each other have the scales that they have one after the other (%s)', async (range) => {
  const [outer, size, inner] = [3, 20, 9];
  const values = awkward(0.1, outer * size * inner).map((value) => (Math.abs(value) > 1e20 ? 0 : value));
  const turned = Array.from({ length: values.length }, (_, i) => {
    const [o, c, k] = [Math.floor(i / (size * inner)), Math.floor(i / size) % inner, i % size];
    return values[(o * size + k) * inner + c]!;
  });
  const within = await measureBlocks(float32Tensor('w', [outer, size, inner], values, ORIGIN), 1, size, range);
  const behind = await measureBlocks(float32Tensor('w', [outer * inner, size], turned, ORIGIN), 1, size, range);
  expect(within.scales).toEqual(behind.scales);
  expect(within.zeroPoints).toEqual(behind.zeroPoints);
});

it.each([
  [0, [5, 37]],
  [0, [3, 4, 50]],
  [1, [40, 7]],
  [2, [2, 3, 21]],
] as const)('squares are added up one after the other, and the largest is the largest (axis %i of [%s])', async (axis, shape) => {
  const values = [...new Float32Array(awkward(0.1, elementCount(shape)).map((value) => (Math.abs(value) > 1e20 ? 1e-42 : value)))];
  const at = coordinates(shape);
  const { deviation, largest, min, max } = await spreadOf(float32Tensor('w', shape, values, ORIGIN), axis, 'channels');
  for (const [channel, found] of deviation.entries()) {
    const own = values.filter((_, i) => at[i]![axis] === channel);
    expect(found).toBe(Math.sqrt(own.reduce((sum, value) => sum + value * value, 0) / own.length));
    expect(largest[channel]).toBe(Math.max(...own.map(Math.abs)));
  }
  expect([min, max]).toEqual([Math.min(...values), Math.max(...values)]);
});

it('codes are packed as one by one, in a stream of several chunks', async () => {
  const count = 2 ** 22 + 12_345;
  const codes = Uint8Array.from({ length: count }, (_, i) => (i * 2654435761) >>> 13);
  const expected = Uint8Array.from({ length: Math.ceil(count / 2) }, (_, i) => (codes[2 * i]! & 15) | ((codes[2 * i + 1] ?? 0) << 4));
  const packed = new Uint8Array(expected.length);
  let at = 0;
  for await (const chunk of packedChunks(withBits(constantTensor('w', 'int8', [count], codes, ORIGIN), 4))) {
    packed.set(chunk, at);
    at += chunk.length;
  }
  expect([at, Buffer.from(packed).equals(Buffer.from(expected))]).toEqual([expected.length, true]);
});
