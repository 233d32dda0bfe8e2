/** The search spends bytes where they matter, keeps to its budget, and always ends the same. */
import { constants, deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { Layer, LayerMap } from '../../src/model/layer-map.js';
import { float32Tensor, tensorByteLength } from '../../src/model/tensor.js';
import { deflateBits, huffmanBits, ratesOf } from '../../src/shrink/rates.js';
import { search } from '../../src/shrink/search.js';
import { codableWeights } from '../../src/shrink/weights.js';
import { givenInputs } from '../../src/verify/feeds.js';

const ORIGIN = { file: 'test' };
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
  const rates = await ratesOf(codableWeights(map)[0]!, 'channels');
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
    const { choices, isMet, isMeasured, candidates } = await search60();
    expect([isMet, isMeasured]).toEqual([true, true]);
    const [first, faint] = choices.map(({ rate }) => rate);
    expect(first!.wire).toBeGreaterThan(faint!.wire + 2);
    expect(candidates[0]!.bytes).toBeLessThanOrEqual(5000);
    expect(candidates[0]!.bytes).toBeGreaterThan(4300);
  });
  it('without inputs each counts the same', async () => {
    const { choices, isMeasured } = await search60({ inputs: null });
    expect(isMeasured).toBe(false);
    expect(Math.abs(choices[0]!.rate.wire - choices[1]!.rate.wire)).toBeLessThan(2);
  });
  it('ends the same every time', async () => {
    const levels = async () => (await search60()).choices.map(({ rate }) => rate.level);
    expect(await levels()).toEqual(await levels());
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
  const { isMet, candidates } = await search60({ budget: null, minAgreement: 0.9 });
  const kept = candidates.filter(({ agreement }) => agreement! >= 0.9);
  expect([isMet, kept.length > 0]).toEqual([true, true]);
  expect(Math.min(...kept.map(({ bytes }) => bytes))).toBeLessThan(16_000);
  const impossible = await search60({ budget: null, minAgreement: 1.1 });
  expect([impossible.isMet, impossible.choices.every(({ rate }) => rate.level === 'float32')]).toEqual([false, true]);
});
