/** The search spends bytes where they matter, keeps to its budget, and always ends the same. */
import { constants, deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { toFloat32Array } from '../../src/model/cast.js';
import type { Layer, LayerMap } from '../../src/model/layer-map.js';
import { float32Tensor, type Tensor, tensorByteLength, tensorBytes } from '../../src/model/tensor.js';
import { shrinkBySearch } from '../../src/shrink/index.js';
import { distance, outputsOf } from '../../src/shrink/outputs.js';
import { deflateBits, huffmanBits, ratesOf } from '../../src/shrink/rates.js';
import { codeRounded } from '../../src/shrink/rounded.js';
import { levelled, search } from '../../src/shrink/search.js';
import { codableWeights } from '../../src/shrink/weights.js';
import { givenInputs } from '../../src/verify/feeds.js';
import { onnx } from '../../src/writers/onnx/index.js';

const ORIGIN = { file: 'test' };
const valuesOf = async (tensor: Tensor) => toFloat32Array(await tensorBytes(tensor), tensor.dtype);
let state = 7;
const gaussian = () => {
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 1) / 2 ** 32;
  };
  return Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
};
const gaussians = (name: string, shape: readonly number[], scale: number) =>
  float32Tensor(
    name,
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => gaussian() * scale),
    ORIGIN,
  );

/** Two dense layers side by side, one of which hardly matters, and their sum. */
function net(): LayerMap {
  const dense = (name: string, weight: ReturnType<typeof gaussians>): Layer => ({
    name,
    op: 'Gemm',
    inputs: ['x'],
    outputs: [name],
    weights: { kernel: weight },
    attributes: {},
  });
  const layers: Layer[] = [
    dense('first', gaussians('a', [64, 64], 1)),
    dense('faint', gaussians('b', [64, 64], 0.01)),
    { name: 'sum', op: 'Add', inputs: ['first', 'faint'], outputs: ['sum'], weights: {}, attributes: {} },
  ];
  const port = (name: string) => ({ name, value: name, dtype: 'float32', shape: ['N', 64], layout: 'other' }) as const;
  return { name: 'net', format: 'test', producer: null, architecture: null, inputs: [port('x')], outputs: [port('sum')], layers, warnings: [] };
}

const map = net();
const inputs = await givenInputs(new Map([['x', gaussians('x', [40, 64], 1)]]), map);
const search60 = (options: Partial<Parameters<typeof search>[1]> = {}) =>
  search(map, { form: 'channels', budget: { byteLength: 5000, count: 'wire' }, minAgreement: null, inputs, ...options });

it('levels cost fewer bits and more error the wider they are, near the entropy of a Gaussian', async () => {
  const rates = await ratesOf(codableWeights(map)[0]!, { form: 'channels' });
  for (const [i, rate] of rates.entries()) {
    if (i === 0) continue;
    expect(rate.wire).toBeLessThanOrEqual(rates[i - 1]!.wire + 1e-9);
    expect(rate.error).toBeGreaterThanOrEqual(rates[i - 1]!.error - 1e-6);
  }
  // Of Gaussian values in steps of 0.7 deviations: 2.59 bits, 2.64 with Huffman's codes, 13.9 dB.
  const coarse = rates.find(({ level }) => level === 0.7)!;
  expect(Math.abs(coarse.wire - 2.65)).toBeLessThan(0.1);
  expect(Math.abs(-10 * Math.log10(coarse.error) - 13.9)).toBeLessThan(0.5);
});

it('bits of codes are those that Huffman gives them', () => {
  // 1, 2, 3 and 3 bits.
  expect(huffmanBits([1, 4, 1, 2])).toBeCloseTo((1 * 3 + 4 * 1 + 1 * 3 + 2 * 2) / 8, 12);
  expect([huffmanBits([7]), huffmanBits([5, 1]), huffmanBits([1, 1, 1, 1])]).toEqual([1, 1, 2]);
});

it.each([2, 5, 8, 15])('what %d codes take on the wire is what zlib makes of them', (levels) => {
  const codes = Uint8Array.from({ length: 2 ** 17 }, () => Math.floor(((gaussian() + 9) * 1e6) % levels));
  const counts = Array.from({ length: levels }, (_, code) => codes.reduce((sum, one) => sum + (one === code ? 1 : 0), 0));
  const bits = (deflateRawSync(codes, { strategy: constants.Z_HUFFMAN_ONLY, memLevel: 9 }).length * 8) / codes.length;
  expect(Math.abs(deflateBits(counts) * 1.005 - bits) / bits).toBeLessThan(0.01);
});

describe('within a budget', () => {
  it('what matters gets more bits, where inputs tell, and the bytes are those that were allowed', async () => {
    const { choices, isMet, isMeasured, record } = await search60();
    expect([isMet, isMeasured]).toEqual([true, true]);
    const [first, faint] = choices.map(({ rate }) => rate);
    expect(first!.wire).toBeGreaterThan(faint!.wire + 2);
    const chosen = record.ways.find((way) => way.isChosen)!;
    expect(chosen.bytes).toBeLessThanOrEqual(5000);
    expect(chosen.bytes).toBeGreaterThan(4300);
    expect(chosen.levels).toMatch(/^\d.* in (steps of [\d.]+ deviations|all codes of 8 bits)/);
  });
  it('without inputs each counts the same', async () => {
    const { choices, isMeasured } = await search60({ inputs: null });
    expect(isMeasured).toBe(false);
    expect(Math.abs(choices[0]!.rate.wire - choices[1]!.rate.wire)).toBeLessThan(2);
  });
  it('what is not coded and packs well is no reason to be coarse: what is written is counted', async () => {
    const zeros = float32Tensor('zeros', [64, 64], new Float32Array(64 * 64), ORIGIN);
    const padded: LayerMap = {
      ...map,
      layers: [...map.layers, { name: 'zero', op: 'Add', inputs: ['sum'], outputs: ['all'], weights: { operand: zeros }, attributes: {} }],
    };
    const measure = async (net: LayerMap) => {
      const sink = memorySink();
      await onnx.write(net, sink, 'net.onnx', { dtype: 'source', layout: 'source', metadata: async () => ({}) });
      await sink.commit();
      return deflateRawSync(sink.files.get('net.onnx')!).length;
    };
    const byteLength = 7000;
    const { choices, isMet } = await search(padded, { form: 'channels', budget: { byteLength, count: 'wire' }, minAgreement: null, inputs: null, measure });
    const { map: low, levels } = levelled(padded, choices);
    const taken = await measure(await codeRounded(low, { form: 'channels', levels }));
    expect(isMet).toBe(true);
    expect(taken).toBeLessThanOrEqual(byteLength);
    expect(taken).toBeGreaterThan(0.95 * byteLength);
  });
  it('ends the same every time', async () => {
    const first = await search60();
    const second = await search60();
    expect(first.choices.map(({ rate }) => rate.level)).toEqual(second.choices.map(({ rate }) => rate.level));
    expect(first.record).toEqual(second.record);
  });
  it('that cannot be met, the coarsest is taken and said so; one that all fits in leaves weights as they are', async () => {
    expect((await search60({ budget: { byteLength: 900, count: 'wire' } })).isMet).toBe(false);
    const free = await search60({ budget: { byteLength: 1e6, count: 'disk' } });
    expect(free.choices.map(({ rate }) => rate.level)).toEqual(['float32', 'float32']);
    const half = await search60({ budget: { byteLength: 18_000, count: 'disk' } });
    const bytes = half.choices.reduce((sum, { weight, rate }) => sum + (rate.disk * tensorByteLength(weight.tensor)) / 32, 0);
    expect(bytes).toBeLessThanOrEqual(18_000);
  });
});

it('at a least agreement the smallest of those tried that keeps it is taken', { tags: 'slow' }, async () => {
  const { isMet, record } = await search60({ budget: null, minAgreement: 0.9 });
  const kept = record.ways.filter(({ agreement }) => agreement !== null && agreement >= 0.9);
  expect([isMet, kept.length > 0]).toEqual([true, true]);
  expect(Math.min(...kept.map(({ bytes }) => bytes))).toBeLessThan(16_000);
  const impossible = await search60({ budget: null, minAgreement: 1.1 });
  expect([impossible.isMet, impossible.choices.every(({ rate }) => rate.level === 'float32')]).toEqual([false, true]);
});

describe('what is told', () => {
  it('are ways from the most bytes to the fewest, of which one was chosen, each with less error than the next', async () => {
    const { record } = await search60({ budget: null, minAgreement: 0.9 });
    expect(record.ways.filter(({ isChosen }) => isChosen)).toHaveLength(1);
    expect(new Set(record.ways.map(({ levels }) => levels)).size).toBe(record.ways.length);
    for (const [i, way] of record.ways.entries()) {
      if (i === 0) continue;
      expect(way.bytes).toBeLessThanOrEqual(record.ways[i - 1]!.bytes);
      expect(way.error).toBeGreaterThanOrEqual(record.ways[i - 1]!.error * (1 - 1e-9));
    }
    expect(record.ways.filter(({ agreement }) => agreement !== null).length).toBeGreaterThan(3);
  });
});

describe('a dense layer of few directions', () => {
  const [left, right] = [gaussians('l', [160, 6], 1), gaussians('r', [6, 128], 1)];
  const low = async (noise: number): Promise<LayerMap> => {
    const [a, b] = [await valuesOf(left), await valuesOf(right)];
    const values = Array.from({ length: 160 * 128 }, (_, i) => {
      let sum = noise * gaussian();
      for (let k = 0; k < 6; k++) sum += a[Math.floor(i / 128) * 6 + k]! * b[k * 128 + (i % 128)]!;
      return sum;
    });
    const kernel = float32Tensor('k', [160, 128], values, ORIGIN);
    const port = (name: string, size: number) => ({ name, value: name, dtype: 'float32', shape: ['N', size], layout: 'other' }) as const;
    const layers: Layer[] = [{ name: 'y', op: 'Gemm', inputs: ['x'], outputs: ['y'], weights: { kernel }, attributes: {} }];
    return { name: 'net', format: 'test', producer: null, architecture: null, inputs: [port('x', 128)], outputs: [port('y', 160)], layers, warnings: [] };
  };
  const rows = async (net: LayerMap) => givenInputs(new Map([['x', gaussians('x', [24, 128], 1)]]), net);

  it('becomes two where that moves the output less than coarser codes, and the net is small and near to what it was', async () => {
    const net = await low(0.02);
    const given = await rows(net);
    const shrunk = await shrinkBySearch(net, { form: 'channels', fours: true, budget: { byteLength: 3500, count: 'disk' }, minAgreement: null, inputs: given });
    expect(shrunk.map.layers.map(({ name }) => name)).toEqual(['y/rank', 'y']);
    expect(shrunk.claims).toContain('low-rank');
    expect(shrunk.change.message).toMatch(/"y" \(160 x 128\) to rank \d+, \d/);
    expect(distance(await outputsOf(net, given, 24), await outputsOf(shrunk.map, given, 24))).toBeLessThan(0.01);
    expect(shrunk.change.search!.ways.some(({ levels }) => levels.includes('to rank'))).toBe(true);
  });

  it.each([true, false])('is what a budget in memory is kept to, with its weights in 8 bits: with inputs, %s', async (hasInputs) => {
    const net = await low(0.02);
    const of = async (byteLength: number) =>
      search(net, { form: 'channels', fours: true, budget: { byteLength, count: 'memory' }, minAgreement: null, inputs: hasInputs ? await rows(net) : null });
    // 160 x 128 values of float32 are 81,920 bytes, and two kernels of rank r 1,152 r.
    const within = await of(16_000);
    expect([within.isMet, within.choices.map(({ rate }) => [rate.level, rate.low!.factors.rank <= 13])]).toEqual([true, [['full', true]]]);
    expect(within.choices[0]!.rate.low!.factors.energy).toBeGreaterThan(0.99);
    expect(within.record).toMatchObject({
      count: 'memory',
      ways: expect.arrayContaining([expect.objectContaining({ isChosen: true, bytes: 1152 * within.choices[0]!.rate.low!.factors.rank })]),
    });
    const whole = await of(82_000);
    expect([whole.isMet, whole.choices[0]!.rate.low]).toEqual([true, undefined]);
    expect((await of(1000)).isMet).toBe(false);
  });

  it('stays one where all directions count', async () => {
    const net = await low(30);
    const { choices } = await search(net, {
      form: 'channels',
      fours: true,
      budget: { byteLength: 18_000, count: 'disk' },
      minAgreement: null,
      inputs: await rows(net),
    });
    expect(choices.every(({ rate }) => rate.low === undefined)).toBe(true);
  });
});

it('palettes and both codes of 4 bits are looked at on disk, where the target has them', async () => {
  const levels = async (options: Parameters<typeof ratesOf>[1]) => (await ratesOf(codableWeights(map)[0]!, options)).map(({ level }) => level);
  expect(await levels({ form: 'channels', fours: true, palettes: true })).toEqual(expect.arrayContaining(['int4', 'uint4', 'palette']));
  expect(await levels({ form: 'whole' })).not.toEqual(expect.arrayContaining(['int4']));
  // Of values of four sizes alone a palette loses nothing.
  const few = float32Tensor(
    'few',
    [64, 64],
    Array.from({ length: 4096 }, (_, i) => [-1, -0.1, 0.3, 2][(i * 7) % 4]!),
    ORIGIN,
  );
  const rates = await ratesOf({ ...codableWeights(map)[0]!, tensor: few }, { form: 'channels', fours: true, palettes: true });
  expect(rates.find(({ level }) => level === 'palette')!.error).toBeLessThan(1e-12);
  const tiny = await search(
    { ...map, layers: map.layers.map((layer) => (layer.name === 'first' ? { ...layer, weights: { kernel: few } } : layer)) },
    { form: 'channels', fours: true, palettes: true, budget: { byteLength: 5000, count: 'disk' }, minAgreement: null, inputs },
  );
  expect(tiny.choices[0]!.rate.level).toBe('palette');
});
