/** The verifier's own judgement: what it counts as narrow, when it asks anew, what its inputs show, which errors it counts. */
import { describe, expect, it } from 'vitest';
import type { DType } from '../../src/model/dtype.js';
import type { LayerMap, Port } from '../../src/model/layer-map.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor, type Tensor } from '../../src/model/tensor.js';
import { compareOutput } from '../../src/verify/compare.js';
import { generateSample, RANGES } from '../../src/verify/inputs.js';
import { findNarrowing } from '../../src/verify/narrowing.js';
import { referenceWitness } from '../../src/verify/witness.js';
import type { WrittenModel } from '../../src/verify/written/written.js';

const kernel = float32Tensor('kernel', [2, 3], [1, 2, 3, 4, 5, 6], { file: 'x' });
const x: Port = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3], layout: 'other' };

function netOf(dtype: DType): LayerMap {
  const weight: Tensor = { ...kernel, dtype };
  return {
    name: 'net',
    format: 'test',
    producer: null,
    architecture: null,
    inputs: [x],
    outputs: [{ name: 'y', value: 'y', dtype: 'float32', shape: ['N', 2], layout: 'other' }],
    layers: [makeLayer({ name: 'dense', op: 'Gemm', inputs: ['x'], outputs: ['y'], weights: { kernel: weight } })],
    warnings: [],
  };
}

describe('weights are narrower', () => {
  const written = (dtype: DType, quantised = false) =>
    ({
      weight: () => ({ tensor: { ...kernel, dtype }, ...(quantised ? { quantisation: { kind: 'channels' } } : {}) }),
    }) as unknown as WrittenModel;

  it('where the file has another dtype than the source', () => {
    expect(findNarrowing(netOf('float32'), written('float16'), false)).toEqual({ methods: ['float16'], narrowest: 'float16', isLinedUp: true });
    expect(findNarrowing(netOf('float32'), written('int8', true), false)).toMatchObject({ methods: ['int8 per channel'], narrowest: 'int8' });
    expect(findNarrowing(netOf('float32'), written('float32'), false)).toBeNull();
  });

  it('not where the source is as narrow, unless the witness may have computed in its dtype', () => {
    expect(findNarrowing(netOf('float16'), written('float16'), false)).toBeNull();
    expect(findNarrowing(netOf('float16'), written('float16'), true)).toMatchObject({ narrowest: 'float16' });
  });

  it('in a file whose weights are not lined up, where a tenth of them are', () => {
    const loose = (float16: number) =>
      ({ weight: () => undefined, storedDTypes: new Map<DType, number>([['float32', 100 - float16], ['float16', float16]]) }) as unknown as WrittenModel; // biome-ignore format: one line
    expect(findNarrowing(netOf('float32'), loose(10), false)).toMatchObject({ narrowest: 'float16', isLinedUp: false });
    expect(findNarrowing(netOf('float32'), loose(9), false)).toBeNull();
  });
});

it('a witness answers for the input that it is asked about, and does not run the same one twice', async () => {
  let layers = 0;
  const witness = await referenceWitness(netOf('float32'), { onProgress: () => layers++ });
  const feed = (values: number[]) => [{ shape: [1, 3], data: Float32Array.from(values) }];
  const [a, b] = [feed([1, 0, 0]), feed([0, 1, 0])];
  const values = async (feeds: typeof a, sample?: number) => [...(await witness.run(feeds, sample))[0]!.data];
  expect(await values(a, 0)).toEqual([1, 4]);
  expect(await values(a, 0)).toEqual([1, 4]);
  expect(layers).toBe(1);
  expect(await values(b, 0)).toEqual([2, 5]);
  expect(await values(a, 0)).toEqual([1, 4]);
  await witness.close();
});

describe('generated inputs', () => {
  const grey: Port = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 1, 24, 24], layout: 'nchw' };
  const far = (data: ArrayLike<number | bigint>, sign: number) => Array.from(data, Number).filter((value) => sign * value > 1.8).length;

  it('have impulses of both signs', () => {
    for (let sample = 0; sample < 20; sample++) {
      const { data } = generateSample([grey], sample, 0)[0]!;
      expect([far(data, 1) >= 2, far(data, -1) >= 2]).toEqual([true, true]);
    }
  });

  it('that are zero but for impulses are so', () => {
    for (let sample = 0; sample < 20; sample++) {
      const { data } = generateSample([grey], sample, 0, { range: RANGES.impulses })[0]!;
      const some = Array.from(data, Number).filter((value) => value !== 0).length;
      expect(some).toBeGreaterThanOrEqual(4);
      expect(some).toBeLessThan(40);
    }
  });

  it('lie in the ranges that they name', () => {
    const within = (name: keyof typeof RANGES) => {
      const values = [0, 1, 2].flatMap((sample) => Array.from(generateSample([grey], sample, 0, { range: RANGES[name] })[0]!.data, Number));
      return [Math.min(...values), Math.max(...values)] as const;
    };
    expect(within('zeros').map(Math.abs)).toEqual([0, 0]);
    expect(within('centred')[0]).toBeLessThan(0);
    const [low, high] = within('pixels');
    expect([low >= 0, low < 40, high <= 255, high > 220]).toEqual([true, true, true, true]);
    expect(within('huge')[1]).toBeGreaterThan(1000);
    expect(within('small')[1]).toBeLessThan(0.2);
    expect(within('unit')[1]).toBeLessThanOrEqual(1);
  });
});

describe('a relative error', () => {
  const relative = (expected: number[], actual: number[]) => {
    const comparison = compareOutput('y', { atol: 1e-6, rtol: 1e-5, why: '' });
    comparison.add({ shape: [1, expected.length], data: Float64Array.from(expected) }, { shape: [1, actual.length], data: Float64Array.from(actual) });
    return comparison.report().maxRelative;
  };

  it('is of values that are not tiny beside the others', () => {
    expect(relative([1000, 0.5], [1000, 0.6])).toBe(0);
    expect(relative([1000, 2], [1000, 2.5])).toBeCloseTo(0.25);
    expect(relative([0, 1], [0.1, 1])).toBe(0);
  });
});

it('an error is measured by the size of what is expected', () => {
  const comparison = compareOutput('y', { atol: 0, rtol: 0.5, why: '' });
  comparison.add({ shape: [1, 1], data: Float64Array.of(1) }, { shape: [1, 1], data: Float64Array.of(1.9) });
  expect(comparison.report().passed).toBe(false);
});

it('channels of generated inputs have levels of their own', () => {
  const colours: Port = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3, 16, 16], layout: 'nchw' };
  const means = [0, 0, 0];
  for (let sample = 0; sample < 20; sample++) {
    for (const [i, value] of [...generateSample([colours], sample, 0)[0]!.data].entries()) means[Math.floor(i / 256)]! += Number(value) / 256 / 20;
  }
  expect(Math.min(Math.abs(means[0]! - means[1]!), Math.abs(means[1]! - means[2]!), Math.abs(means[0]! - means[2]!))).toBeGreaterThan(0.2);
});
