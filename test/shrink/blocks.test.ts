/** Weights in codes of 4 bits: scales of blocks, two codes to a byte, read back bit for bit, run by ONNX Runtime as they stand. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memorySource } from '../../src/bytes/byte-source.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { CODE_RANGES, measureBlocks } from '../../src/model/block-codes.js';
import { toFloat32Array } from '../../src/model/cast.js';
import { narrowForm } from '../../src/model/narrow-form.js';
import { elementBits, packedChunks, unpackedSource, withBits } from '../../src/model/packing.js';
import { roundToEven } from '../../src/model/quantise.js';
import { constantTensor, elementCount, float32Tensor, permute, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { blockedWeight, blockFor, planBlocks } from '../../src/shrink/blocks.js';
import { shrinkToFour } from '../../src/shrink/index.js';
import { ratesOf } from '../../src/shrink/rates.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { runOnnx } from '../run-onnx.js';

const ORIGIN = { file: 'test' };
const valuesOf = async (tensor: Tensor) => toFloat32Array(await tensorBytes(tensor), tensor.dtype);
const wave = (count: number, seed = 1) => Array.from({ length: count }, (_, i) => Math.sin(i * i * 0.7 + seed) * (1 + (i % 7)));

it('small integers are packed two to a byte, and any part of them is unpacked again', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.integer({ min: -8, max: 7 }), { minLength: 1, maxLength: 40 }), fc.nat(39), async (list, from) => {
      const tensor = withBits(constantTensor('w', 'int8', [list.length], Uint8Array.from(list), ORIGIN), 4);
      const bytes: number[] = [];
      for await (const chunk of packedChunks(tensor)) bytes.push(...chunk);
      expect(bytes).toHaveLength(Math.ceil(list.length / 2));
      const start = Math.min(from, list.length);
      const back = new Int8Array(await unpackedSource(memorySource(Uint8Array.from(bytes)), list.length, 4, true).read(start, list.length));
      expect([...back]).toEqual(list.slice(start));
    }),
    { numRuns: 60 },
  );
});

it.each(['int4', 'uint4'] as const)('a block loses no more than one whose scale reaches its largest value, whatever is beside it (%s)', async (range) => {
  const anyBlock = fc.array(fc.double({ min: -4, max: 4, noNaN: true }), { minLength: 8, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(anyBlock, anyBlock, async (a, b) => {
      const tensor = float32Tensor('w', [1, 16], [...a, ...b.map((value) => value * 100)], ORIGIN);
      const [before, after] = [await valuesOf(tensor), await valuesOf(await blockedWeight(tensor, 0, range, 8))];
      for (const start of [0, 8]) {
        const block = before.subarray(start, start + 8);
        const lost = block.reduce((sum, value, i) => sum + (value - after[start + i]!) ** 2, 0);
        const reach = range === 'int4' ? Math.max(...block.map(Math.abs)) / 7 : (Math.max(0, ...block) - Math.min(0, ...block)) / 15;
        const most = block.reduce((sum, value) => sum + (range === 'int4' ? (value - Math.round(value / reach) * reach) ** 2 : (0.5 * reach) ** 2 * 4), 0);
        expect(lost).toBeLessThanOrEqual((Number.isFinite(most) ? most : 0) * 1.001 + 1e-6 * Math.max(...block.map(Math.abs)) ** 2 + 1e-12);
      }
    }),
    { numRuns: 100 },
  );
});

/** What is lost of a block in codes of a scale and a zero, in float64. */
function lossOf(block: readonly number[], scale: number, zero: number, [low, high]: readonly [number, number]): number {
  return block.reduce((sum, value) => {
    const code = Math.max(low, Math.min(high, roundToEven(value / scale) + zero));
    return sum + (value - (code - zero) * scale) ** 2;
  }, 0);
}

it.each(['int4', 'uint4'] as const)(
  'of the scales that are tried, the one is taken that loses least, but for rounding, at any size of block and value (%s)',
  async (range) => {
    const anyBlocks = fc
      .record({ size: fc.integer({ min: 1, max: 37 }), blocks: fc.integer({ min: 1, max: 5 }), power: fc.constantFrom(-140, -60, 0, 100) })
      .chain(({ size, blocks, power }) =>
        fc.record({
          size: fc.constant(size),
          list: fc.array(
            fc.double({ min: -4, max: 4, noNaN: true }).map((value) => Math.fround(value * 2 ** power)),
            { minLength: size * blocks, maxLength: size * blocks },
          ),
        }),
      );
    await fc.assert(
      fc.asyncProperty(anyBlocks, async ({ size, list }) => {
        const { scales, zeroPoints } = await measureBlocks(float32Tensor('w', [1, list.length], list, ORIGIN), 1, size, range);
        for (const [i, scale] of scales.entries()) {
          const block = list.slice(i * size, (i + 1) * size);
          const [least, most] = [Math.min(0, ...block), Math.max(0, ...block)];
          const tried =
            range === 'int4'
              ? [8, 7.5, 7, 7.9 / 0.9, 7.9 / 0.8].map((reach) => [Math.fround(Math.max(-least, most) / reach), 0] as const)
              : [1, 0.93, 0.85].map((part) => {
                  const step = Math.fround(((most - least) * part) / 15);
                  return [step, Math.min(15, Math.round((-least * part) / step))] as const;
                });
          const losses = tried.filter(([step]) => step > 0).map(([step, zero]) => lossOf(block, step, zero, CODE_RANGES[range]));
          if (tried[0]![0] === 0) expect(scale).toBe(1);
          else
            expect(lossOf(block, scale, zeroPoints?.[i] ?? 0, CODE_RANGES[range])).toBeLessThanOrEqual(
              Math.min(...losses) * (1 + 1e-4) + size * (1e-6 * (most - least)) ** 2 + Number.MIN_VALUE,
            );
        }
      }),
      { numRuns: 300 },
    );
  },
);

it('blocks follow a change of layout', async () => {
  const tensor = float32Tensor('w', [4, 8, 3], wave(96), ORIGIN);
  const made = await blockedWeight(tensor, 0, 'uint4', 4);
  const turned = permute(made, [1, 2, 0]);
  const form = narrowForm(turned)!;
  expect(form.codes).toMatchObject({ kind: 'blocks', axis: 0, size: 4, shape: [2, 3, 4] });
  expect(elementBits(form.stored)).toBe(4);
  const { scales, zeroPoints, axis, size, shape } = form.codes as Extract<typeof form.codes, { kind: 'blocks' }>;
  const codes = await tensorBytes(form.stored);
  const wanted = await valuesOf(turned);
  for (const [i, value] of wanted.entries()) {
    const [a, b, c] = [Math.floor(i / 12), Math.floor(i / 4) % 3, i % 4];
    expect([axis, shape.length]).toEqual([0, 3]);
    const place = (Math.floor(a / size) * 3 + b) * 4 + c;
    expect(Math.fround((codes[i]! - zeroPoints![place]!) * scales[place]!)).toBe(value);
  }
});

it('blocks lie along the axis before the channels, where those come last', async () => {
  const made = await blockedWeight(float32Tensor('w', [2, 8, 3], wave(48), ORIGIN), 2, 'int4', 4);
  expect(narrowForm(made)!.codes).toMatchObject({ kind: 'blocks', axis: 1, size: 4, shape: [2, 2, 3] });
});

it('each place of a kernel is in the block whose scale it has', async () => {
  const [channels, inputs, window] = [2, 8, 3];
  const largest = (channel: number, input: number, place: number) => 2 ** (channel * 6 + Math.floor(input / 4) * 3 + place);
  const indices = Array.from({ length: channels * inputs * window }, (_, i) => [Math.floor(i / 24), Math.floor(i / window) % inputs, i % window] as const);
  const plan = await planBlocks(
    float32Tensor(
      'w',
      [channels, inputs, 1, window],
      indices.map((index) => largest(...index)),
      ORIGIN,
    ),
    'int4',
    4,
  );
  const steps = indices.map(([channel, input, place]) => plan.steps[channel * plan.perChannel + plan.groupAt(input * window + place)]!);
  const ratio = steps[0]! / largest(0, 0, 0);
  expect(steps).toEqual(indices.map((index) => expect.closeTo(ratio * largest(...index), 4)));
});

it('a block divides its axis, and where only short ones do a scale is for a channel', async () => {
  expect([blockFor(64, 32), blockFor(48, 32), blockFor(20, 32), blockFor(37, 32), blockFor(12, 32), blockFor(12, 4)]).toEqual([32, 24, 20, null, null, 4]);
  const made = await blockedWeight(float32Tensor('w', [3, 37], wave(111), ORIGIN), 0, 'int4');
  expect(narrowForm(made)!.codes).toMatchObject({ kind: 'channels', axis: 0 });
  expect(made.replaces!.method).toBe('int4 per channel');
});

it('NaN and infinities are refused, wherever they stand, and large values are not', async () => {
  const holds = (range: 'int4' | 'uint4', list: number[]) => measureBlocks(float32Tensor('w', [1, list.length], list, ORIGIN), 1, 3, range);
  for (const range of ['int4', 'uint4'] as const) {
    for (const odd of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
      for (const at of [0, 4, 5]) await expect(holds(range, [1, -2, 3, 0, 0, 0].with(at, odd))).rejects.toMatchObject({ kind: 'unsupported' });
    expect((await holds(range, [0, 0, 0, 3e38, -3e38, 1])).scales.every((scale) => scale > 0 && Number.isFinite(scale))).toBe(true);
  }
});

it('the search is told what 4 bits cost', async () => {
  const tensor = float32Tensor('w', [8, 64, 3, 3], wave(8 * 64 * 9), ORIGIN);
  const weight = { tensor, axis: 0, count: 8 * 64 * 9, isTender: false, role: 'kernel', layer: null as never };
  const rate = (await ratesOf(weight, { form: 'channels', fours: true })).find(({ level }) => level === 'int4')!;
  const [before, after] = [await valuesOf(tensor), await valuesOf(await blockedWeight(tensor, 0, 'int4'))];
  const energy = before.reduce((sum, value) => sum + value * value, 0);
  expect(rate.disk).toBe(5);
  expect(rate.error).toBeCloseTo(before.reduce((sum, value, i) => sum + (value - after[i]!) ** 2, 0) / energy, 8);
  expect((await ratesOf(weight, { form: 'channels' })).some(({ level }) => level === 'int4')).toBe(false);
});

describe.each(['int4', 'uint4'] as const)('%s in ONNX', (range) => {
  const port = (name: string, shape: readonly number[]) => ({ name, value: name, dtype: 'float32', shape, layout: 'other' }) as const;
  const layer = (name: string, op: string, from: string, kernel: Tensor, attributes: object) =>
    ({ name, op, inputs: [from], outputs: [name], weights: { kernel }, attributes }) as never;
  const convolved = { kernel_shape: [1, 1], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0], group: 1, auto_pad: 'NOTSET' };
  // Ends that hold so much are no ends to spare.
  const nets = {
    Conv: { shape: [1, 32, 3, 3], layers: [layer('a', 'Conv', 'x', float32Tensor('k', [16, 32, 1, 1], wave(512), ORIGIN), convolved)], out: [1, 16, 3, 3] },
    Gemm: {
      shape: [2, 64],
      layers: [layer('a', 'Gemm', 'x', float32Tensor('k', [24, 64], wave(1536), ORIGIN), { alpha: 1, beta: 1, transA: 0, transB: 1 })],
      out: [2, 24],
    },
    'Gemm of a stored transpose': {
      shape: [2, 64],
      layers: [layer('a', 'Gemm', 'x', permute(float32Tensor('k', [64, 24], wave(1536), ORIGIN), [1, 0]), { alpha: 1, beta: 1, transA: 0, transB: 1 })],
      out: [2, 24],
    },
    MatMul: { shape: [2, 64], layers: [layer('a', 'MatMul', 'x', float32Tensor('k', [64, 24], wave(1536), ORIGIN), {})], out: [2, 24] },
    'per channel': { shape: [2, 37], layers: [layer('a', 'MatMul', 'x', float32Tensor('k', [37, 5], wave(185), ORIGIN), {})], out: [2, 5] },
  } as const;
  it.each(Object.keys(nets) as (keyof typeof nets)[])('%s: the file is read back bit for bit, and runs as its weights say', async (name) => {
    const { shape, layers, out } = nets[name];
    const map = {
      name: 'net',
      format: 'test',
      producer: null,
      architecture: null,
      inputs: [port('x', shape)],
      outputs: [{ ...port('y', out), value: 'a' }],
      layers,
      warnings: [],
    };
    const shrunk = await shrinkToFour(map as never, range, 32);
    const write = async (net: typeof shrunk.map, opset?: number) => {
      const sink = memorySink();
      const { warnings } = await onnx.write(net, sink, 'm.onnx', { dtype: 'source', layout: 'source', opset, metadata: async () => ({}) });
      await sink.commit();
      return { bytes: sink.files.get('m.onnx')!, warnings };
    };
    const { bytes, warnings } = await write(shrunk.map);
    expect(warnings.map(({ code }) => code)).toContain('opset-raised');
    const made = shrunk.map.layers[0]!.weights.kernel!;
    const back = await (await openModel(memoryFileSet({ 'm.onnx': bytes }, 'm.onnx'))).map();
    const read = back.layers.find(({ weights }) => weights.kernel)!.weights.kernel!;
    expect(await valuesOf(read)).toEqual(await valuesOf(made));
    expect(elementBits(narrowForm(read)!.stored)).toBe(4);
    const widened = float32Tensor('k', made.shape, await valuesOf(made), ORIGIN);
    const layersOfWide = shrunk.map.layers.map((one) => ({ ...one, weights: { kernel: widened } }));
    const { bytes: wide } = await write({ ...shrunk.map, layers: layersOfWide });
    const input = { shape, data: Float32Array.from(wave(elementCount(shape), 3)) };
    const [narrow, exact] = [await runOnnx(bytes, [input]), await runOnnx(wide, [input])];
    const [a, b] = [narrow.get('y')!.data, exact.get('y')!.data];
    const scale = Math.max(...b.map(Math.abs));
    expect(Math.max(...a.map((value, i) => Math.abs(value - b[i]!))) / scale).toBeLessThan(1e-6);
    // Once more from its own file, with a change that keeps it from being copied: the codes stay.
    expect((await write({ ...back, source: undefined } as never)).bytes.length).toBeLessThan(bytes.length * 1.1);
    expect((await openModel(memoryFileSet({ 'm.onnx': (await write(shrunk.map, 17)).bytes }, 'm.onnx'))).details.opset).toBeDefined();
  });
});
