/** Weights that cannot be meant are noticed while they are streamed, and by `inspect --weights`. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { convert } from '../../src/convert.js';
import { describeModel } from '../../src/inspect.js';
import { castTensor } from '../../src/model/cast.js';
import { kernelMemory } from '../../src/model/kernel-instance.js';
import { watchMap } from '../../src/model/odd-weights.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { newWeightTally, watchValues } from '../../src/model/watch.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { compareWeight } from '../../src/verify/weight-pair.js';
import { writers } from '../../src/writers/index.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { modelOf } from '../verify/faults/nets.js';
import { mapOf, tensor } from '../verify/small-files.js';

const X = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3], layout: 'other' } as const;
const net = (kernel: readonly number[], variance: readonly number[]) =>
  mapOf(
    [
      {
        name: 'dense',
        op: 'Gemm',
        inputs: ['x'],
        outputs: ['h'],
        weights: { kernel: tensor('dense.w', [2, 3], kernel), bias: tensor('dense.b', [2], [0, 0]) },
      },
      {
        name: 'bn',
        op: 'BatchNormalization',
        inputs: ['h'],
        outputs: ['y'],
        weights: {
          scale: tensor('bn.s', [2], [1, 1]),
          bias: tensor('bn.b', [2], [0, 0]),
          mean: tensor('bn.m', [2], [0, 0]),
          variance: tensor('bn.v', [2], variance),
        },
      },
    ],
    [X],
    [{ ...X, name: 'y', value: 'y', shape: ['N', 2] }],
  );

async function streamed(map: ReturnType<typeof net>) {
  const watched = watchMap(map);
  for (const { weights } of watched.weights.layers) for (const weight of Object.values(weights)) await tensorBytes(weight);
  return watched.notices();
}

describe('watchMap', () => {
  it('has nothing to say of weights that can be meant; biases and means may be zero', async () => {
    expect(await streamed(net([1, 2, 3, 4, 5, 6], [1, 2]))).toEqual([]);
  });

  it('notices NaN, infinities, and zeros that are multiplied with or divided by', async () => {
    expect(await streamed(net([1, Number.NaN, 3, Number.NEGATIVE_INFINITY, 5, 6], [0, 0]))).toMatchObject([
      { code: 'non-finite', layer: 'dense', message: 'dense.w holds 2 values that are NaN or infinite' },
      { code: 'all-zero', layer: 'bn', message: expect.stringContaining('bn.v (variance) is all zero') },
    ]);
    expect(await streamed(net([0, -0, 0, 0, 0, 0], [1, 0]))).toMatchObject([{ code: 'all-zero', layer: 'dense' }]);
  });

  it('notices variances below zero, and says nothing of other weights that are', async () => {
    expect(await streamed(net([-1, -2, -3, -4, -5, -6], [1, -0.5]))).toMatchObject([{ code: 'negative-variance', layer: 'bn' }]);
    expect(await streamed(net([1, 2, 3, 4, 5, 6], [1, -0]))).toEqual([]);
  });

  it('counts once what is streamed twice, and says nothing of what was not', async () => {
    const watched = watchMap(net([1, Number.NaN, 3, 4, 5, 6], [0, 0]));
    expect(watched.notices()).toEqual([]);
    const { kernel } = watched.weights.layers[0]!.weights;
    for (let i = 0; i < 2; i++) await tensorBytes(kernel!);
    expect(watched.notices()).toMatchObject([{ message: 'dense.w holds 1 values that are NaN or infinite' }]);
  });

  it('goes on sharing a weight that two layers share', () => {
    const map = net([1, 2, 3, 4, 5, 6], [1, 1]);
    const [dense] = map.layers;
    const twice = watchMap({ ...map, layers: [dense!, { ...dense!, name: 'again' }] });
    expect(twice.weights.layers[0]!.weights.kernel).toBe(twice.weights.layers[1]!.weights.kernel);
  });
});

describe('watchValues', () => {
  it('sees the same in the memory of a kernel as elsewhere', () => {
    const values = Float32Array.from({ length: 1003 }, (_, i) => (i === 1001 ? Number.NaN : i === 1000 ? Number.POSITIVE_INFINITY : -i));
    for (const changed of [values, values.map((value) => (Number.isFinite(value) ? value : 1)), new Float32Array(1003), new Float32Array(1003).fill(-0)]) {
      const memory = new Float32Array(kernelMemory(1003 * 4), 0, 1003);
      memory.set(changed);
      const [there, here] = [newWeightTally(), newWeightTally()];
      watchValues(new Uint8Array(memory.buffer, 0, 4012), 'float32', there);
      watchValues(new Uint8Array(changed.slice().buffer), 'float32', here);
      expect(there).toEqual(here);
    }
  });

  it('leaves small pieces of a large tensor to the kernel: a sign is looked for in small tensors alone', () => {
    const tally = newWeightTally();
    watchValues(new Uint8Array(new Float32Array(2 ** 16 + 1).fill(1).buffer), 'float32', tally);
    const piece = new Float32Array(kernelMemory(4000), 0, 1000);
    watchValues(new Uint8Array(piece.fill(-1).buffer, 0, 4000), 'float32', tally);
    expect(tally).toEqual({ nonFinite: 0, isZero: false, isNegative: false, seen: 2 ** 16 + 1001 });
    watchValues(new Uint8Array(piece.fill(Number.NaN, 7, 9).buffer, 0, 4000), 'float32', tally);
    expect(tally.nonFinite).toBe(2);
  });

  it.each([
    ['float16', [0x00, 0x7c, 0x01, 0xfc, 0x00, 0x3c], 2],
    ['bfloat16', [0x80, 0x7f, 0xc0, 0xff, 0x80, 0x3f], 2],
    ['float64', [...new Uint8Array(Float64Array.of(1, Number.NaN, Number.NEGATIVE_INFINITY).buffer)], 2],
    ['int8', [0, 255, 127], 0],
  ] as const)('counts in %s', (dtype, bytes, nonFinite) => {
    const tally = newWeightTally();
    watchValues(Uint8Array.from(bytes), dtype, tally);
    expect(tally.nonFinite).toBe(nonFinite);
  });
});

describe('a file', () => {
  it('with weights that are not finite is inspected and converted with a notice', async () => {
    const map = net([1, Number.NaN, 3, 4, 5, 6], [0, 0]);
    const model = {
      ...modelOf(map),
      tensors: Object.values({ ...map.layers[0]!.weights, ...map.layers[1]!.weights }).map((one) => ({ tensor: one, layer: null })),
    };
    const { warnings } = await describeModel(model, { weights: true });
    expect(warnings.map(({ code }) => code).sort()).toEqual(['all-zero', 'non-finite']);
  });

  it('of ONNX that is copied is noticed too, although nothing of it is cast', async () => {
    const sink = memorySink();
    const options = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;
    await onnx.write(net([1, Number.NaN, 3, 4, 5, 6], [1, -2]), sink, 'a.onnx', options);
    await sink.commit();
    const copied = memorySink();
    const { warnings } = await convert(memoryFileSet(Object.fromEntries(sink.files), 'a.onnx'), copied, 'b.onnx');
    expect(copied.files.size).toBe(1);
    expect(warnings.map(({ code }) => code)).toEqual(['non-finite', 'negative-variance']);
  });

  it('whose weights became infinite by rounding is no match, though nothing is run', async () => {
    const large = tensor('w', [2], [1e6, 1]);
    const { problem, facts } = await compareWeight(large, { tensor: castTensor(large, 'float16') });
    expect(problem).toContain('1 values that are infinite in float16 and finite in the source');
    expect(facts).toMatchObject({ equal: false, nonFinite: 1, method: 'rounded' });
    const own = tensor('w', [2], [Number.POSITIVE_INFINITY, 1]);
    expect((await compareWeight(own, { tensor: castTensor(own, 'float16') })).problem).toBeNull();
  });
});

describe('files that hold weights alone', () => {
  const stored = tensor('w', [2], [1e6, Number.NaN]);

  async function safetensors(dtype: 'float32' | 'float16') {
    const writer = writers.find(({ name }) => name === 'safetensors')!;
    if (writer.carries !== 'weights') throw new Error('safetensors files hold weights');
    const sink = memorySink();
    await writer.write([stored], sink, 'w.safetensors', { dtype, layout: 'source', metadata: async () => ({}) });
    await sink.commit();
    return memoryFileSet(Object.fromEntries(sink.files), 'w.safetensors');
  }

  it('are converted with a notice', async () => {
    const { warnings } = await convert(await safetensors('float32'), memorySink(), 'w.npz');
    expect(warnings).toMatchObject([{ code: 'non-finite', message: 'w holds 1 values that are NaN or infinite' }]);
  });

  it('are no match where rounding made a weight infinite', async () => {
    const model = { ...modelOf(net([1, 2, 3, 4, 5, 6], [1, 1])), tensors: [{ tensor: stored, layer: null }] };
    const verify = async (dtype: 'float32' | 'float16') =>
      verifyConversion({ source: { files: memoryFileSet({}, null) }, model, map: null, target: { files: await safetensors(dtype), format: 'safetensors' } });
    expect(await verify('float32')).toMatchObject({ verdict: 'match', weights: { equal: 1 } });
    expect(await verify('float16')).toMatchObject({ verdict: 'mismatch', weights: { equal: 0 } });
  });
});
