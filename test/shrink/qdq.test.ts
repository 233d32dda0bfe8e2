/** Nets that compute in 8 bits: what is coded and what is not, and that ONNX Runtime makes of the file what our evaluator makes of the map. */
import { describe, expect, it } from 'vitest';
import { castTensor } from '../../src/model/cast.js';
import type { Layer, LayerMap } from '../../src/model/layer-map.js';
import { narrowForm } from '../../src/model/narrow-form.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { float32Tensor, type Tensor, tensorBytes } from '../../src/model/tensor.js';
import { shrinkActivations } from '../../src/shrink/activations.js';
import { inFloat32 } from '../../src/shrink/in-float32.js';
import { distance, outputsOf } from '../../src/shrink/outputs.js';
import { planQdq, withPadsMerged } from '../../src/shrink/qdq-plan.js';
import { type CodeTally, compareCodes } from '../../src/verify/codes.js';
import { givenInputs } from '../../src/verify/feeds.js';
import { runLayers } from '../../src/verify/reference/session.js';

const ORIGIN = { file: 'test' };
let state = 3;
const random = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 31 - 1;
};
const tensor = (name: string, shape: readonly number[], scale = 1) =>
  float32Tensor(
    name,
    shape,
    Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random() * scale),
    ORIGIN,
  );

const layer = (name: string, op: string, inputs: readonly string[], weights: Record<string, Tensor> = {}, attributes: Layer['attributes'] = {}) =>
  makeLayer(
    { name, op, inputs: [...inputs], outputs: [name], weights, attributes },
    inputs.map(() => ['N', 4, 8, 8]),
  );
const conv = (name: string, input: string, shape: readonly number[], group = 1, pads = [0, 0, 0, 0], strides = [1, 1]) =>
  layer(
    name,
    'Conv',
    [input],
    { kernel: tensor(`${name}.k`, shape, 0.5), bias: tensor(`${name}.b`, [shape[0]!], 0.5) },
    {
      kernel_shape: [3, 3].map((_, i) => shape[i + 2]!),
      strides,
      pads,
      dilations: [1, 1],
      group,
      auto_pad: 'NOTSET',
    },
  );

/** A residual block with a depthwise convolution behind a Pad, pooled, and a dense layer with its softmax. */
function net(): LayerMap {
  const layers = [
    conv('stem', 'x', [4, 3, 3, 3], 1, [1, 1, 1, 1]),
    layer('clip', 'Clip', ['stem'], {}, { min: 0, max: 6 }),
    layer('pad', 'Pad', ['clip'], {}, { pads: [0, 0, 1, 1, 0, 0, 1, 1], mode: 'constant', value: 0 }),
    conv('depthwise', 'pad', [4, 1, 3, 3], 4),
    layer('relu', 'Relu', ['depthwise']),
    conv('project', 'relu', [4, 4, 1, 1]),
    layer('sum', 'Add', ['project', 'clip']),
    layer('pool', 'MaxPool', ['sum'], {}, { kernel_shape: [2, 2], strides: [2, 2], pads: [0, 0, 0, 0], dilations: [1, 1], ceil_mode: 0, auto_pad: 'NOTSET' }),
    layer('mean', 'GlobalAveragePool', ['pool']),
    layer('flat', 'Flatten', ['mean'], {}, { axis: 1 }),
    layer('dense', 'Gemm', ['flat'], { kernel: tensor('dense.k', [5, 4]), bias: tensor('dense.b', [5]) }),
    layer('softmax', 'Softmax', ['dense'], {}, { axis: -1 }),
  ];
  const port = (name: string, shape: readonly (number | string)[], layout: 'nchw' | 'other') =>
    ({ name, value: name, dtype: 'float32', shape, layout }) as const;
  return {
    name: 'net',
    format: 'test',
    producer: null,
    architecture: null,
    inputs: [port('x', ['N', 3, 8, 8], 'nchw')],
    outputs: [port('softmax', ['N', 5], 'other')],
    layers,
    warnings: [],
  };
}

const map = net();
const inputs = await givenInputs(new Map([['x', tensor('x', [40, 3, 8, 8])]]), map);

describe('what flows as codes', () => {
  const plan = planQdq(withPadsMerged(map));
  it('is what layers that compute in 8 bits read and make, behind their activations; what the softmax reads is not', () => {
    expect([...plan.coded.keys()]).toEqual(['x', 'clip', 'relu', 'project', 'sum', 'pool', 'mean', 'flat']);
    expect(plan.products.map(({ name }) => name)).toEqual(['stem', 'depthwise', 'project', 'dense']);
  });
  it('has the codes of what a layer only moves', () => {
    expect(['pool', 'flat', 'sum', 'mean'].map((value) => plan.coded.get(value))).toEqual(['sum', 'mean', 'sum', 'mean']);
  });
  it('zeros around a picture are taken into the convolution, where they are alone and zeros', () => {
    const merged = withPadsMerged(map);
    expect(merged.layers.map(({ op }) => op)).not.toContain('Pad');
    expect(merged.layers.find(({ name }) => name === 'depthwise')!.attributes.pads).toEqual([1, 1, 1, 1]);
    const ones = { ...map, layers: map.layers.map((one) => (one.op === 'Pad' ? { ...one, attributes: { ...one.attributes, value: 1 } } : one)) };
    expect(withPadsMerged(ones)).toBe(ones);
  });
});

describe.each(['uint8', 'int8'] as const)('a net whose activations are %s', async (dtype) => {
  const { map: made, change } = await shrinkActivations(map, { dtype, inputs });

  it('gives nearly what it gave', async () => {
    const error = distance(await outputsOf(map, inputs, 20), await outputsOf(made, inputs, 20));
    expect(error).toBeGreaterThan(0);
    expect(Math.sqrt(error)).toBeLessThan(0.03);
    expect(change.message).toMatch(
      /^4 convolutions and dense layers and 4 layers between them compute in 8 bits, activations in u?int8; ranges by .+ of 40 inputs/,
    );
  });

  it('gives in ONNX Runtime what it gives in our evaluator', async () => {
    const found = await outputsOf(made, inputs, 40);
    let most = 0;
    for (const [i, [output]] of found.entries()) {
      const [expected] = await runLayers(made, inputs.sample(i), () => {});
      output!.data.forEach((value, k) => {
        most = Math.max(most, Math.abs(Number(value) - Number(expected!.data[k])));
      });
    }
    expect(most).toBeLessThan(1e-5);
  });

  it('has kernels that no processor adds beyond 16 bits, and biases in the steps of their products', async () => {
    const scales = new Map<string, number>();
    for (const one of made.layers) {
      if (one.op === 'Constant' && one.weights.value!.dtype === 'float32') {
        const bytes = await tensorBytes(one.weights.value!);
        scales.set(one.outputs[0]!, new DataView(bytes.buffer, bytes.byteOffset).getFloat32(0, true));
      }
    }
    const makers = new Map(made.layers.map((one) => [one.outputs[0]!, one]));
    for (const {
      op,
      name,
      inputs: [read],
      weights,
    } of made.layers) {
      if (op !== 'Conv' && op !== 'Gemm') continue;
      const [kernel, bias] = [narrowForm(weights.kernel!)!, narrowForm(weights.bias!)!];
      expect([kernel.stored.dtype, bias.stored.dtype]).toEqual(['int8', 'int32']);
      const codes = new Int8Array((await tensorBytes(kernel.stored)).slice().buffer);
      expect(codes.reduce((most, code) => Math.max(most, Math.abs(code)), 0)).toBe(name === 'depthwise' ? 127 : 64);
      const step = scales.get(makers.get(read!)!.inputs[1]!)!;
      if (kernel.codes?.kind !== 'channels' || bias.codes?.kind !== 'channels') throw new Error('no channels');
      expect([...bias.codes.scales]).toEqual([...kernel.codes.scales].map((scale) => Math.fround(scale * step)));
    }
  });
});

it('is told to rest on few inputs where it does, and refused where the net computes in codes already', async () => {
  const few = await givenInputs(new Map([['x', tensor('x', [6, 3, 8, 8])]]), map);
  const { map: made, change } = await shrinkActivations(map, { dtype: 'uint8', inputs: few });
  expect(change.message).toMatch(/6 inputs are few/);
  await expect(shrinkActivations(made, { dtype: 'uint8', inputs })).rejects.toMatchObject({ kind: 'usage' });
});

it('values that are not finite are refused, naming the layer', async () => {
  const broken = await givenInputs(new Map([['x', float32Tensor('x', [2, 3, 8, 8], new Float32Array(384).fill(Number.NaN), ORIGIN)]]), map);
  await expect(shrinkActivations(map, { dtype: 'uint8', inputs: broken })).rejects.toThrow(/layer "stem": reads values that are NaN or infinite/);
});

it('a net that computes in float16 computes in 8 bits as any other, and takes and gives float16 still', async () => {
  const half = { dtype: 'float16', valueDType: 'float16' } as const;
  const narrow = map.layers.map((one) => ({
    ...one,
    weights: Object.fromEntries(Object.entries(one.weights).map(([role, kernel]) => [role, castTensor(kernel, 'float16')])),
  }));
  const halved: LayerMap = {
    ...map,
    inputs: map.inputs.map((port) => ({ ...port, ...half })),
    outputs: map.outputs.map((port) => ({ ...port, ...half })),
    layers: narrow,
  };
  const { map: made } = await shrinkActivations(halved, { dtype: 'uint8', inputs });
  expect(made.outputs[0]!.dtype).toBe('float16');
  const [expected, found] = [await outputsOf(halved, inputs, 20), await outputsOf(made, inputs, 20)];
  expect(Math.sqrt(distance(expected, found))).toBeLessThan(0.03);
});

it('what makes halves of its own makes floats in a net that computes in them', () => {
  const eye = layer('eye', 'EyeLike', ['x'], {}, { dtype: 'float16', k: 0 });
  expect(inFloat32({ ...map, layers: [...map.layers, eye] }).layers.at(-1)!.attributes).toEqual({ dtype: 'float32', k: 0 });
});

describe('codes that differ', () => {
  const compared = (steps: number, expected: number, found: number): CodeTally => {
    const tally: CodeTally = { codes: 0, ties: 0, problem: null };
    const value = (data: number) => ({ shape: [1], data: Float64Array.of(data) });
    compareCodes('q', [value(steps * 0.25), value(0.25)], value(expected), value(found), tally);
    return tally;
  };
  it('are right between two, and wrong elsewhere', () => {
    expect(compared(3.5001, 4, 3)).toMatchObject({ ties: 1, problem: null });
    expect(compared(3.2, 3, 4).problem).toMatch(/layer "q" gives the code 4 at element 0, and 3 is expected/);
    expect(compared(3.5, 4, 2).problem).not.toBeNull();
    expect(compared(3.2, 3, 3)).toMatchObject({ codes: 1, ties: 0, problem: null });
  });
});
