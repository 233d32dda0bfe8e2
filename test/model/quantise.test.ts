/** Quantisation against plain float64 arithmetic, element by element, whatever the layout. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { ModelError } from '../../src/errors.js';
import { castTensor } from '../../src/model/cast.js';
import type { DType } from '../../src/model/dtype.js';
import { affineFor, channelScales, dequantiseAffine, dequantiseChannels, quantiseAffine, quantiseChannels, tensorRange } from '../../src/model/quantise.js';
import { constantTensor, elementCount, flip, float32Tensor, permute, storedTensor, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { streamChunks } from '../../src/model/tensor-chunks.js';
import { change, coordinates, countingSource, ORIGIN, type Sample, samplesOf } from './tensor-reference.js';

/** To the nearest whole number, of two equally near ones to the even one. */
function nearest(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

const held = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));

/** What TensorFlow.js's converter does, written down from its Python. */
function plainAffine(values: readonly number[], limit: number): { scale: number; min: number; codes: number[] } {
  const low = Math.min(...values);
  const high = Math.max(...values);
  if (values.length === 0) return { scale: 1, min: 0, codes: [] };
  if (low === high) return { scale: 1, min: low, codes: values.map(() => 0) };
  const scale = (high - low) / limit;
  const min = low <= 0 && high >= 0 ? -(nearest((0 - low) / scale) * scale) : low;
  const max = low <= 0 && high >= 0 ? limit * scale + min : high;
  return { scale, min, codes: values.map((value) => nearest((held(value, min, max) - min) / scale)) };
}

const plainCode = (value: number, scale: number) => held(nearest(value / scale), -127, 127);

/** float32 of all magnitudes, also subnormal, zero and repeated ones. */
const floats: fc.Arbitrary<number> = fc.oneof(
  { weight: 4, arbitrary: fc.float({ min: -1, max: 1, noNaN: true }) },
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.constantFrom(0, -0, 1, -1, 0.5, 2 ** -149, -(2 ** -140), 3.4028234663852886e38, -3.4028234663852886e38),
  fc.integer({ min: -254, max: 254 }).map((twice) => twice / 2),
);

async function floatsOf(tensor: Tensor): Promise<number[]> {
  return [...new Float32Array((await tensorBytes(castTensor(tensor, 'float32'))).slice().buffer)];
}

/** Deterministic bytes that are finite as float32, float16 and float64, of many magnitudes. */
function finiteBytes(byteLength: number): Uint8Array {
  // No exponent of all ones: the second highest bit of each byte is off.
  return Uint8Array.from({ length: byteLength }, (_, i) => ((i * 2654435761) >>> 13) & 0xbf);
}

const SAMPLES = samplesOf(['float32', 'float16', 'float64'], finiteBytes);

async function collect(tensor: Tensor, limits: { chunkBytes: number; stagingBytes: number }): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const chunk of streamChunks(tensor, limits)) parts.push(chunk.slice());
  return new Uint8Array(Buffer.concat(parts));
}

const TINY = fc.record({ chunkBytes: fc.constantFrom(16, 48, 256, 2 ** 20), stagingBytes: fc.constantFrom(16, 64, 512, 2 ** 20) });

describe('affine quantisation', () => {
  it.each(['uint8', 'uint16'] as const)('gives the codes, scale and minimum of the TensorFlow.js converter: %s', { tags: 'slow' }, async (dtype) => {
    const limit = dtype === 'uint8' ? 255 : 65535;
    await fc.assert(
      fc.asyncProperty(fc.array(floats, { maxLength: 70 }), async (values) => {
        const tensor = float32Tensor('w', [values.length], values, ORIGIN);
        const expected = plainAffine(values, limit);
        const quantisation = affineFor(await tensorRange(tensor), dtype);
        expect(quantisation.scale).toBe(expected.scale);
        expect(quantisation.min).toBeCloseTo(expected.min, 300);
        const quantised = quantiseAffine(tensor, quantisation);
        const bytes = (await tensorBytes(quantised)).slice();
        expect([...(dtype === 'uint8' ? bytes : new Uint16Array(bytes.buffer))]).toEqual(expected.codes);
        const back = await floatsOf(dequantiseAffine(quantised, quantisation));
        expect(back).toEqual(expected.codes.map((code) => Math.fround(code * expected.scale + quantisation.min)));
      }),
      { numRuns: dtype === 'uint8' ? 1_000 : 150 },
    );
  });

  it('errs by half a step at most, and a step is a 255th of the range', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: 2, maxLength: 70 }), async (values) => {
        const tensor = float32Tensor('w', [values.length], values, ORIGIN);
        const quantisation = affineFor(await tensorRange(tensor), 'uint8');
        const back = await floatsOf(dequantiseAffine(quantiseAffine(tensor, quantisation), quantisation));
        // The range is shifted by up to half a step so that zero is exact, which the ends pay for.
        for (const [i, value] of values.entries()) expect(Math.abs(back[i]! - value)).toBeLessThanOrEqual(1.01 * quantisation.scale + 1e-7);
        expect(back.every((value, i) => values[i] !== 0 || Math.min(...values) === Math.max(...values) || value === 0)).toBe(true);
      }),
    );
  });

  it('keeps a constant tensor exactly, and one value', async () => {
    for (const value of [0, -0.1, 7, 2 ** -149]) {
      for (const shape of [[1], [3, 5]]) {
        const values = new Array(elementCount(shape)).fill(value);
        const tensor = float32Tensor('w', shape, values, ORIGIN);
        const quantisation = affineFor(await tensorRange(tensor), 'uint8');
        expect(quantisation).toEqual({ dtype: 'uint8', scale: 1, min: Math.fround(value) });
        expect(await floatsOf(dequantiseAffine(quantiseAffine(tensor, quantisation), quantisation))).toEqual(values.map(Math.fround));
      }
    }
  });

  it('does not care for the layout of what it measures', { tags: 'slow' }, async () => {
    await fc.assert(
      fc.asyncProperty(SAMPLES, async ({ tensor, log }) => {
        const values = await floatsOf(tensor);
        const finite = values.filter(Number.isFinite);
        const { min, max, nonFinite } = await tensorRange(tensor);
        expect({ min: min + 0, max: max + 0, nonFinite }, log.join(', ')).toEqual({
          min: Math.min(...finite) + 0,
          max: Math.max(...finite) + 0,
          nonFinite: values.length - finite.length,
        });
      }),
      { numRuns: 1_000 },
    );
  });

  it('counts what is not finite, at every place, and refuses it naming the tensor', async () => {
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (let at = 0; at < 21; at++) {
        const values = Array.from({ length: 21 }, (_, i) => (i === at ? odd : i - 10));
        const range = await tensorRange(float32Tensor('conv.weight', [3, 7], values, ORIGIN));
        expect(range).toMatchObject({ nonFinite: 1, min: at === 0 ? -9 : -10, max: at === 20 ? 9 : 10 });
        expect(() => affineFor(range, 'uint8')).toThrowError(expect.objectContaining({ kind: 'unsupported', place: { file: 'test', tensor: 'conv.weight' } }));
      }
    }
  });
});

/** Codes of all elements, row-major, worked out one by one. */
function plainChannels(values: readonly number[], shape: readonly number[], axis: number): { scales: number[]; codes: number[] } {
  const at = coordinates(shape);
  const scales = Array.from({ length: shape[axis]! }, (_, channel) => {
    const largest = Math.max(0, ...values.filter((_, i) => at[i]![axis] === channel).map(Math.abs));
    if (largest === 0) return 1;
    let scale = Math.fround(largest / 127);
    while (largest / scale > 127.5) scale += 2 ** -149;
    return scale;
  });
  return { scales, codes: values.map((value, i) => plainCode(value, scales[at[i]![axis]!]!)) };
}

describe('quantisation per channel', () => {
  it('gives what element-by-element arithmetic gives, for any values', { tags: 'slow' }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(floats, { minLength: 24, maxLength: 24 }),
        fc.constantFrom([24], [4, 6], [2, 3, 4], [24, 1], [1, 24]),
        fc.nat(),
        async (values, shape, n) => {
          const axis = n % shape.length;
          const tensor = float32Tensor('w', shape, values, ORIGIN);
          const expected = plainChannels(values, shape, axis);
          const scales = await channelScales(tensor, axis);
          expect([...scales]).toEqual(expected.scales);
          const quantised = quantiseChannels(tensor, axis, scales);
          expect(quantised.dtype).toBe('int8');
          expect([...new Int8Array((await tensorBytes(quantised)).slice().buffer)].map((code) => code + 0)).toEqual(expected.codes.map((code) => code + 0));
          const back = await floatsOf(dequantiseChannels(quantised, axis, scales));
          const at = coordinates(shape);
          expect(back).toEqual(expected.codes.map((code, i) => Math.fround(code * expected.scales[at[i]![axis]!]!) + 0));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it('gives it for any layout before and after, in chunks of any size', { tags: 'slow' }, async () => {
    await fc.assert(
      fc.asyncProperty(
        SAMPLES,
        TINY,
        fc.array(fc.constantFrom('permute', 'flip', 'slice', 'reshape'), { maxLength: 4 }),
        fc.array(fc.nat(), { minLength: 24, maxLength: 24 }),
        async (sample, limits, steps, choices) => {
          const { shape } = sample.tensor;
          if (shape.length === 0 || elementCount(shape) === 0) return;
          const choose = (limit: number) => (choices.shift() ?? 0) % limit;
          const axis = choose(shape.length);
          const values = await floatsOf(sample.tensor);
          const finite = values.every(Number.isFinite);
          if (!finite) return;
          const expected = plainChannels(values, shape, axis);
          const scales = await channelScales(sample.tensor, axis);
          const log = [...sample.log, `axis ${axis}`];
          expect([...scales], log.join(', ')).toEqual(expected.scales);
          const own: Sample = { tensor: quantiseChannels(sample.tensor, axis, scales), elements: values.map((_, i) => i), stored: new Uint8Array(), log };
          const turned = steps.reduce((current, step) => change(current, step, choose), own);
          const codes = new Int8Array((await collect(turned.tensor, limits)).buffer);
          expect(
            [...codes].map((code) => code + 0),
            turned.log.join(', '),
          ).toEqual(turned.elements.map((element) => expected.codes[element]! + 0));
          const at = coordinates(shape);
          const back = { ...own, tensor: dequantiseChannels(own.tensor, axis, scales) };
          choices.push(...log.map((_, i) => i));
          const turnedBack = steps.reduce((current, step) => change(current, step, choose), back);
          const floats = new Float32Array((await collect(turnedBack.tensor, limits)).buffer);
          expect([...floats], turnedBack.log.join(', ')).toEqual(
            turnedBack.elements.map((element) => Math.fround(expected.codes[element]! * expected.scales[at[element]![axis]!]!) + 0),
          );
        },
      ),
      { numRuns: 1_500 },
    );
  });

  // Larger than a chunk, a piece and a pattern.
  it.each<[string, number[], number, number[]]>([
    ['a convolution kernel [out, in, kH, kW]', [301, 250, 3, 3], 0, [0, 1, 2, 3]],
    ['a convolution kernel stored as HWIO', [3, 3, 250, 301], 0, [3, 2, 0, 1]],
    ['a dense kernel [out, in]', [1013, 1531], 0, [0, 1]],
    ['a dense kernel stored as [in, out]', [1531, 1013], 0, [1, 0]],
    ['a dense kernel kept as [in, out]', [1531, 1013], 1, [0, 1]],
    ['a transposed convolution [in, out, kH, kW]', [250, 301, 3, 3], 1, [0, 1, 2, 3]],
    ['few channels last', [200_003, 3], 1, [0, 1]],
    ['more channels than a table holds', [3, 200_003], 1, [0, 1]],
  ])('of %s is exact at full chunk sizes', { tags: 'slow' }, async (_, shape, axis, order) => {
    const stored = new Float32Array(elementCount(shape));
    let state = 1;
    for (let i = 0; i < stored.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      stored[i] = state / 2 ** 40;
    }
    const { source, counts } = countingSource(new Uint8Array(stored.buffer));
    const tensor = permute(storedTensor({ name: 'w', dtype: 'float32', shape, source, origin: ORIGIN }), order);
    const scales = await channelScales(tensor, axis);
    expect(counts.bytes).toBe(stored.byteLength);
    const values = new Float32Array((await tensorBytes(tensor)).buffer);
    const inner = elementCount(tensor.shape.slice(axis + 1));
    const channels = tensor.shape[axis]!;
    const largest = new Float32Array(channels);
    for (let i = 0; i < values.length; i++) {
      const channel = Math.floor(i / inner) % channels;
      largest[channel] = Math.max(largest[channel]!, Math.abs(values[i]!));
    }
    expect(scales.every((scale, channel) => scale === Math.fround(largest[channel]! / 127))).toBe(true);
    const quantised = quantiseChannels(tensor, axis, scales);
    const codes = new Int8Array((await tensorBytes(quantised)).buffer);
    const back = new Float32Array((await tensorBytes(dequantiseChannels(quantised, axis, scales))).buffer);
    let wrong = -1;
    for (let i = 0; i < values.length && wrong < 0; i++) {
      const scale = scales[Math.floor(i / inner) % channels]!;
      if (codes[i] !== plainCode(values[i]!, scale) + 0 || back[i] !== Math.fround(codes[i]! * scale)) wrong = i;
    }
    expect(wrong).toBe(-1);
  });

  it('keeps two streams of one tensor apart', async () => {
    const values = Array.from({ length: 600 }, (_, i) => Math.sin(i));
    const tensor = float32Tensor('w', [6, 100], values, ORIGIN);
    const quantised = quantiseChannels(tensor, 0, await channelScales(tensor, 0));
    const whole = await tensorBytes(quantised);
    const [left, right] = [streamChunks(quantised, { chunkBytes: 64, stagingBytes: 64 }), streamChunks(quantised, { chunkBytes: 48, stagingBytes: 64 })];
    const parts: [Uint8Array[], Uint8Array[]] = [[], []];
    for (let going = true; going; ) {
      const [a, b] = [await left.next(), await right.next()];
      if (!a.done) parts[0].push(a.value.slice());
      if (!b.done) parts[1].push(b.value.slice());
      going = !a.done || !b.done;
    }
    for (const part of parts) expect(Buffer.compare(Buffer.concat(part), whole)).toBe(0);
  });

  it('gives a channel of zeros the scale 1, also beside others and flipped', async () => {
    const tensor = flip(float32Tensor('w', [3, 2], [1, -254, 0, -0, 127, 5], ORIGIN), [0]);
    const scales = await channelScales(tensor, 0);
    expect([...scales]).toEqual([1, 1, 2]);
    expect([...new Int8Array((await tensorBytes(quantiseChannels(tensor, 0, scales))).slice().buffer)].map((code) => code + 0)).toEqual([
      127, 5, 0, 0, 0, -127,
    ]);
  });

  it('never has a scale of zero, and loses nothing among subnormals but their last bits', async () => {
    for (const steps of [1, 2, 63, 64, 126, 190, 191, 10_000]) {
      const tensor = float32Tensor('w', [1, 2], [steps * 2 ** -149, -steps * 2 ** -149], ORIGIN);
      const scales = await channelScales(tensor, 0);
      expect(scales[0]).toBeGreaterThan(0);
      const [back] = await floatsOf(dequantiseChannels(quantiseChannels(tensor, 0, scales), 0, scales));
      expect(Math.abs(back! / 2 ** -149 - steps)).toBeLessThanOrEqual(scales[0]! / 2 ** -149);
    }
  });

  it('refuses what is not finite, naming tensor and channel', async () => {
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      for (const axis of [0, 1]) {
        const values = Array.from({ length: 77 }, (_, i) => (i === 30 ? odd : i));
        const error = await channelScales(float32Tensor('fc.weight', [7, 11], values, ORIGIN), axis).catch((caught) => caught);
        expect(error).toBeInstanceOf(ModelError);
        expect(error).toMatchObject({ kind: 'unsupported', place: { file: 'test', tensor: 'fc.weight' } });
        expect(error.message).toContain(`channel ${axis === 0 ? 2 : 8} `);
      }
    }
  });

  it.each<[DType, number[], number[]]>([
    ['uint8', [0, 128, 255, 3], [128, 3]],
    ['int8', [-128, 127, 5, -1], [-3, 7]],
    ['int32', [2 ** 30, -5, 0, 9], [0, 0]],
    ['int64', [2 ** 40, -5, 0, 9], [0, 0]],
  ])('is undone with zero points, from %s', async (dtype, codes, zeros) => {
    const wide = dtype === 'int64' ? BigInt64Array.from(codes.map(BigInt)) : null;
    const bytes = new Uint8Array((wide ?? (dtype === 'uint8' ? Uint8Array : dtype === 'int8' ? Int8Array : Int32Array).from(codes)).buffer);
    const tensor = constantTensor('q', dtype, [2, 2], bytes, ORIGIN);
    const back = await floatsOf(dequantiseChannels(tensor, 1, Float32Array.of(0.1, 3), zeros));
    expect(back).toEqual(codes.map((code, i) => Math.fround((code - zeros[i % 2]!) * Math.fround(i % 2 === 0 ? 0.1 : 3))));
  });
});

it('a quantised tensor of no elements gives no bytes', async () => {
  const empty = storedTensor({ name: 'w', dtype: 'float32', shape: [0, 4], source: memorySource(new Uint8Array()), origin: ORIGIN });
  expect(affineFor(await tensorRange(empty), 'uint8')).toEqual({ dtype: 'uint8', scale: 1, min: 0 });
  expect([...(await channelScales(empty, 1))]).toEqual([1, 1, 1, 1]);
  expect((await tensorBytes(quantiseChannels(empty, 1, new Float32Array(4).fill(1)))).byteLength).toBe(0);
});
