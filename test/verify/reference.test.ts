import { describe, expect, test } from 'vitest';
import { ModelError } from '../../src/errors.js';
import type { AttributeValue, Layer, LayerMap, Layout } from '../../src/model/layer-map.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { canEvaluate, evaluateLayer } from '../../src/model/ops/evaluate.js';
import { makeLayer, OPS } from '../../src/model/ops/index.js';
import { float32Tensor, type Tensor } from '../../src/model/tensor.js';
import type { NdArray } from '../../src/verify/engine.js';
import { referenceSession, runLayers } from '../../src/verify/reference/session.js';
import { emptyMap } from '../writers/onnx-cases.js';

const weight = (shape: readonly number[], values: readonly number[]): Tensor => float32Tensor('w', shape, values, { file: 'test' });
const array = (shape: readonly number[], values: ArrayLike<number>): NdArray => ({ shape, data: Float32Array.from(values) });
const count = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

/** Runs one layer on its own. */
async function evaluate(
  op: string,
  inputs: NdArray[],
  attributes: Record<string, AttributeValue> = {},
  weights: Record<string, Tensor> = {},
): Promise<NdArray> {
  const names = inputs.map((_, i) => `x${i}`);
  const layer = makeLayer({ name: 'one', op, inputs: names, outputs: ['y'], attributes, weights });
  const map = mapOf(
    [layer],
    inputs.map((x, i) => ({ name: names[i]!, shape: x.shape, layout: 'other' as const })),
  );
  const session = await referenceSession(map);
  const made = await session.run(new Map(names.map((name, i) => [name, inputs[i]!])));
  return made.get('y')!;
}

function mapOf(layers: Layer[], inputs: { name: string; shape: readonly (number | string)[]; layout: Layout }[], layout: Layout = 'other'): LayerMap {
  return {
    name: 'test',
    format: 'test',
    producer: null,
    architecture: null,
    inputs: inputs.map((port) => ({ ...port, value: port.name, dtype: 'float32' })),
    outputs: [{ name: 'y', value: 'y', dtype: 'float32', shape: [], layout }],
    layers,
    warnings: [],
  };
}

function expectValues(found: NdArray, shape: readonly number[], values: readonly number[], digits = 12): void {
  expect(found.shape).toEqual(shape);
  expect(found.data.length).toBe(values.length);
  values.forEach((value, i) => {
    expect(found.data[i] as number, `element ${i}`).toBeCloseTo(value, digits);
  });
}

test('every operator of the table has an evaluator', () => {
  const lacking = Object.keys(OPS).filter((op) => !canEvaluate({ name: op, op, inputs: [], outputs: [], attributes: {}, weights: {} }));
  expect(lacking).toEqual([]);
});

test('a shift by less than nothing, or by all bits and more, leaves what the sign fills', async () => {
  const shift = async (direction: string, dtype: 'int8' | 'int32' | 'uint8', x: number[], by: number[]) => {
    const layer = makeLayer({ name: 'one', op: 'BitShift', inputs: ['x', 'n'], outputs: ['y'], attributes: { direction }, weights: {} });
    const value = (values: number[]) => ({ dtype, shape: [values.length], data: Float64Array.from(values) });
    return [...(await evaluateLayer(layer, [value(x), value(by)]))[0]!.data];
  };
  expect(await shift('RIGHT', 'int32', [-8, 4, -1, -9], [-1, -32, 32, 1])).toEqual([-1, 0, -1, -5]);
  expect(await shift('LEFT', 'int8', [-8, 4, -1, 3], [-1, -8, 8, 1])).toEqual([0, 0, 0, 6]);
  expect(await shift('RIGHT', 'uint8', [255, 255], [8, 7])).toEqual([0, 1]);
});

describe('convolutions, worked out by hand', () => {
  const x = array([1, 1, 3, 3], count(1, 9));

  test('Conv correlates: the kernel is not flipped', async () => {
    const y = await evaluate('Conv', [x], {}, { kernel: weight([1, 1, 2, 2], [1, 2, 3, 4]), bias: weight([1], [100]) });
    expectValues(y, [1, 1, 2, 2], [137, 147, 167, 177]);
  });

  test('Conv pads begin and end of each axis on their own', async () => {
    const y = await evaluate('Conv', [x], { pads: [1, 0, 0, 2] }, { kernel: weight([1, 1, 2, 2], [1, 2, 3, 4]) });
    expectValues(y, [1, 1, 3, 4], [11, 18, 9, 0, 37, 47, 21, 0, 67, 77, 33, 0]);
  });

  test('Conv with SAME_UPPER puts the odd padding at the end, with SAME_LOWER at the beginning', async () => {
    const kernel = weight([1, 1, 1, 2], [1, 10]);
    expectValues(await evaluate('Conv', [x], { auto_pad: 'SAME_UPPER' }, { kernel }), [1, 1, 3, 3], [21, 32, 3, 54, 65, 6, 87, 98, 9]);
    expectValues(await evaluate('Conv', [x], { auto_pad: 'SAME_LOWER' }, { kernel }), [1, 1, 3, 3], [10, 21, 32, 40, 54, 65, 70, 87, 98]);
  });

  test('Conv reads input channels of its own group only, with strides and dilations', async () => {
    const two = array([1, 2, 1, 5], [1, 2, 3, 4, 5, 10, 20, 30, 40, 50]);
    const y = await evaluate('Conv', [two], { group: 2, dilations: [1, 2], strides: [1, 2] }, { kernel: weight([2, 1, 1, 2], [1, 1, 2, 3]) });
    expectValues(y, [1, 2, 1, 2], [4, 8, 110, 210]);
  });

  test('Conv works over one axis and over three', async () => {
    const line = await evaluate('Conv', [array([2, 1, 3], count(1, 6))], {}, { kernel: weight([2, 1, 2], [1, 1, 1, -1]) });
    expectValues(line, [2, 2, 2], [3, 5, -1, -1, 9, 11, -1, -1]);
    const cube = await evaluate('Conv', [array([1, 1, 2, 2, 2], count(1, 8))], {}, { kernel: weight([1, 1, 2, 2, 2], [1, 0, 0, 0, 0, 0, 0, 10]) });
    expectValues(cube, [1, 1, 1, 1, 1], [81]);
  });

  test('Conv gives the same through tiles and row blocks as a plain sum does', async () => {
    const at = (i: number) => Math.sin(i * 12.9898) * 2;
    const [channels, out, size] = [37, 41, 19];
    const input = Float32Array.from({ length: channels * size * size }, (_, i) => at(i));
    const kernel = Float32Array.from({ length: out * channels * 9 }, (_, i) => at(i + 5));
    const y = await evaluate('Conv', [array([1, channels, size, size], input)], { pads: [1, 1, 1, 1] }, { kernel: weight([out, channels, 3, 3], [...kernel]) });
    for (const [o, row, col] of [
      [0, 0, 0],
      [40, 18, 18],
      [17, 9, 3],
      [36, 0, 18],
    ] as const) {
      let sum = 0;
      for (let c = 0; c < channels; c++) {
        for (let i = 0; i < 9; i++) {
          const [r, q] = [row + Math.floor(i / 3) - 1, col + (i % 3) - 1];
          if (r >= 0 && q >= 0 && r < size && q < size) sum += input[(c * size + r) * size + q]! * kernel[(o * channels + c) * 9 + i]!;
        }
      }
      expect(y.data[(o * size + row) * size + col] as number).toBeCloseTo(sum, 9);
    }
  });

  test('ConvTranspose spreads each element, with strides, pads and output_padding', async () => {
    const kernel = weight([1, 1, 1, 3], [1, 2, 3]);
    const line = array([1, 1, 1, 2], [1, 10]);
    expectValues(await evaluate('ConvTranspose', [line], { strides: [1, 2] }, { kernel }), [1, 1, 1, 5], [1, 2, 13, 20, 30]);
    const cut = await evaluate('ConvTranspose', [line], { strides: [1, 2], pads: [0, 1, 0, 1], output_padding: [0, 1] }, { kernel, bias: weight([1], [0.5]) });
    expectValues(cut, [1, 1, 1, 4], [2.5, 13.5, 20.5, 30.5]);
  });

  test('ConvTranspose kernels are [in, out/group, ...]', async () => {
    const y = await evaluate('ConvTranspose', [array([1, 2, 1, 1], [1, 10])], {}, { kernel: weight([2, 2, 1, 1], [1, 2, 3, 4]) });
    expectValues(y, [1, 2, 1, 1], [31, 42]);
    const grouped = await evaluate('ConvTranspose', [array([1, 2, 1, 1], [1, 10])], { group: 2 }, { kernel: weight([2, 2, 1, 1], [1, 2, 3, 4]) });
    expectValues(grouped, [1, 4, 1, 1], [1, 2, 30, 40]);
  });
});

describe('dense layers', () => {
  test('Gemm takes a kernel [out, in], for every row of the batch', async () => {
    const y = await evaluate('Gemm', [array([2, 3], count(1, 6))], {}, { kernel: weight([2, 3], [1, 0, 0, 1, 1, 1]), bias: weight([2], [0.5, 0]) });
    expectValues(y, [2, 2], [1.5, 6, 4.5, 15]);
  });

  test('Gemm streams a kernel larger than a block of rows', { tags: 'slow' }, async () => {
    const [out, depth] = [7, 2 ** 19 + 1];
    const kernel = Array.from({ length: out * depth }, (_, i) => (i % depth === 0 ? Math.floor(i / depth) : 0));
    const x = new Float32Array(depth).fill(2);
    expectValues(await evaluate('Gemm', [array([1, depth], x)], {}, { kernel: weight([out, depth], kernel) }), [1, out], [0, 2, 4, 6, 8, 10, 12]);
  });

  test('MatMul takes a kernel [in, out] on the last axis, or a second activation with leading axes', async () => {
    const kernel = weight([2, 3], count(1, 6));
    expectValues(await evaluate('MatMul', [array([1, 2, 2], [1, 0, 0, 1])], {}, { kernel }), [1, 2, 3], count(1, 6));
    const y = await evaluate('MatMul', [array([2, 1, 2], [1, 2, 3, 4]), array([2, 2, 1], [1, 10, 100, 1000])]);
    expectValues(y, [2, 1, 1], [21, 4300]);
  });

  test('a kernel that does not fit names the layer', async () => {
    await expect(evaluate('Gemm', [array([1, 2], [1, 2])], {}, { kernel: weight([1, 3], [1, 2, 3]) })).rejects.toMatchObject({
      kind: 'engine',
      place: { layer: 'one' },
    });
  });
});

describe('poolings', () => {
  const x = array([1, 1, 3, 3], count(1, 9));
  const window = { kernel_shape: [2, 2], strides: [2, 2] };

  test('MaxPool rounds down by default, up with ceil_mode, and padding never wins', async () => {
    expectValues(await evaluate('MaxPool', [x], window), [1, 1, 1, 1], [5]);
    expectValues(await evaluate('MaxPool', [x], { ...window, ceil_mode: 1 }), [1, 1, 2, 2], [5, 6, 8, 9]);
    const negative = array([1, 1, 1, 1], [-7]);
    expectValues(await evaluate('MaxPool', [negative], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }), [1, 1, 1, 1], [-7]);
  });

  test('MaxPool with dilations looks at every other element', async () => {
    expectValues(await evaluate('MaxPool', [array([1, 1, 4], [9, 1, 2, 8])], { kernel_shape: [2], dilations: [2] }), [1, 1, 2], [9, 8]);
  });

  test('a ceil_mode window that would start in the end padding is left out', async () => {
    const y = await evaluate('MaxPool', [array([1, 1, 4], [1, 2, 3, 4])], { kernel_shape: [1], strides: [3], pads: [0, 1], ceil_mode: 1 });
    expectValues(y, [1, 1, 2], [1, 4]);
  });

  test('AveragePool leaves padding out of the divisor, or counts it with count_include_pad', async () => {
    const attributes = { kernel_shape: [2, 2], strides: [2, 2], pads: [1, 1, 0, 0] };
    expectValues(await evaluate('AveragePool', [x], attributes), [1, 1, 2, 2], [1, 2.5, 5.5, 7]);
    expectValues(await evaluate('AveragePool', [x], { ...attributes, count_include_pad: 1 }), [1, 1, 2, 2], [0.25, 1.25, 2.75, 7]);
  });

  test('AveragePool never counts what ceil_mode reaches beyond the padding', async () => {
    const line = array([1, 1, 4], [1, 2, 3, 4]);
    const attributes = { kernel_shape: [3], strides: [2], pads: [1, 1], ceil_mode: 1, count_include_pad: 1 };
    // Windows over [pad, 1, 2], [2, 3, 4], [4, pad, beyond].
    expectValues(await evaluate('AveragePool', [line], attributes), [1, 1, 3], [1, 3, 2]);
  });

  test('global poolings leave ones', async () => {
    expectValues(await evaluate('GlobalAveragePool', [x]), [1, 1, 1, 1], [5]);
    expectValues(await evaluate('GlobalMaxPool', [array([1, 2, 3], [1, 3, 2, -1, -3, -2])]), [1, 2, 1], [3, -1]);
  });
});

describe('normalisations', () => {
  test('BatchNormalization takes variance and adds epsilon under the root', async () => {
    const weights = { scale: weight([2], [2, 1]), bias: weight([2], [1, 0]), mean: weight([2], [1, 5]), variance: weight([2], [3, 8]) };
    expectValues(await evaluate('BatchNormalization', [array([1, 2, 2], [3, 5, 8, 2])], { epsilon: 1 }, weights), [1, 2, 2], [3, 5, 1, -1]);
  });

  test('LRN looks one channel further ahead than back when its size is even', async () => {
    const attributes = { size: 2, alpha: 2, beta: 1, bias: 1 };
    expectValues(await evaluate('LRN', [array([1, 3, 1, 1], [1, 2, 3])], attributes), [1, 3, 1, 1], [1 / 6, 2 / 14, 3 / 10]);
    const odd = await evaluate('LRN', [array([1, 3, 1, 1], [1, 2, 3])], { size: 3, alpha: 3, beta: 0.5, bias: 2 });
    expectValues(odd, [1, 3, 1, 1], [1 / Math.sqrt(7), 2 / 4, 3 / Math.sqrt(15)]);
  });

  test('Softmax runs along its axis alone and survives large numbers', async () => {
    expectValues(await evaluate('Softmax', [array([1, 2, 2], [1000, 0, 1000, Math.log(3)])], { axis: 1 }), [1, 2, 2], [0.5, 0.25, 0.5, 0.75], 7);
    expectValues(await evaluate('Softmax', [array([1, 2], [0, Math.log(3)])]), [1, 2], [0.25, 0.75], 7);
    expectValues(await evaluate('LogSoftmax', [array([1, 2], [1000, 1000])]), [1, 2], [-Math.LN2, -Math.LN2]);
  });
});

describe('elements', () => {
  const x = array([5], [-2, -0.5, 0, 0.5, 2]);
  const cases: [string, Record<string, AttributeValue>, (x: number) => number][] = [
    ['Relu', {}, (v) => Math.max(v, 0)],
    ['LeakyRelu', { alpha: 0.3 }, (v) => (v > 0 ? v : 0.3 * v)],
    ['ThresholdedRelu', { alpha: 0.5 }, (v) => (v > 0.5 ? v : 0)],
    ['Elu', { alpha: 2 }, (v) => (v > 0 ? v : 2 * (Math.exp(v) - 1))],
    ['Selu', { alpha: 2, gamma: 3 }, (v) => 3 * (v > 0 ? v : 2 * (Math.exp(v) - 1))],
    ['Sigmoid', {}, (v) => 1 / (1 + Math.exp(-v))],
    ['HardSigmoid', { alpha: 0.5, beta: 0.25 }, (v) => Math.min(1, Math.max(0, 0.5 * v + 0.25))],
    ['Tanh', {}, Math.tanh],
    ['Softplus', {}, (v) => Math.log(1 + Math.exp(v))],
    ['Softsign', {}, (v) => v / (1 + Math.abs(v))],
    ['Exp', {}, Math.exp],
    ['Abs', {}, Math.abs],
    ['Neg', {}, (v) => -v],
    ['Identity', {}, (v) => v],
    ['Clip', { min: -1, max: 0.25 }, (v) => Math.min(0.25, Math.max(-1, v))],
    ['Clip', {}, (v) => v],
  ];
  test.each(cases)('%s %j', async (op, attributes, expected) => {
    expectValues(await evaluate(op, [x], attributes), [5], [-2, -0.5, 0, 0.5, 2].map(expected));
  });

  test('Erf agrees with published values to twelve digits', async () => {
    const y = await evaluate('Erf', [array([6], [-0.5, 0.5, 1, 2, 3, 7])]);
    expectValues(y, [6], [-0.520499877813047, 0.520499877813047, 0.842700792949715, 0.995322265018953, 0.999977909503001, 1]);
  });

  test('Log and Sqrt', async () => {
    expectValues(await evaluate('Log', [array([2], [1, 4])]), [2], [0, Math.log(4)]);
    expectValues(await evaluate('Sqrt', [array([2], [4, 9])]), [2], [2, 3]);
  });

  test('PRelu broadcasts its slope to the channels', async () => {
    expectValues(await evaluate('PRelu', [array([1, 2, 2], [-1, 1, -1, -2])], {}, { slope: weight([2, 1], [0.5, 0.25]) }), [1, 2, 2], [-0.5, 1, -0.25, -0.5]);
  });

  test('two operands broadcast both ways', async () => {
    const column = array([2, 1], [1, 2]);
    const row = array([3], [10, 20, 30]);
    expectValues(await evaluate('Add', [column, row]), [2, 3], [11, 21, 31, 12, 22, 32]);
    expectValues(await evaluate('Sub', [column, row]), [2, 3], [-9, -19, -29, -8, -18, -28]);
    expectValues(await evaluate('Div', [row, column]), [2, 3], [10, 20, 30, 5, 10, 15]);
    expectValues(await evaluate('Mul', [row], {}, { operand: weight([2, 1], [1, 2]) }), [2, 3], [10, 20, 30, 20, 40, 60]);
    expectValues(await evaluate('Pow', [row], {}, { operand: weight([], [2]) }), [3], [100, 400, 900]);
  });

  test('Max, Min and Sum take any number of inputs', async () => {
    const inputs = [array([2], [1, 5]), array([1], [3]), array([2], [2, 9])];
    expectValues(await evaluate('Max', inputs), [2], [3, 9]);
    expectValues(await evaluate('Min', inputs), [2], [1, 3]);
    expectValues(await evaluate('Sum', inputs), [2], [6, 17]);
  });
});

describe('arrangement', () => {
  const x = array([2, 3], count(1, 6));

  test('Transpose, Flatten and Reshape', async () => {
    expectValues(await evaluate('Transpose', [x], { perm: [1, 0] }), [3, 2], [1, 4, 2, 5, 3, 6]);
    expectValues(await evaluate('Flatten', [array([2, 1, 3], count(1, 6))], { axis: -1 }), [2, 3], count(1, 6));
    expectValues(await evaluate('Reshape', [array([2, 1, 3], count(1, 6))], { shape: [0, -1, 1] }), [2, 3, 1], count(1, 6));
  });

  test('Concat joins along an inner axis', async () => {
    expectValues(await evaluate('Concat', [x, array([2, 1], [7, 8])], { axis: -1 }), [2, 4], [1, 2, 3, 7, 4, 5, 6, 8]);
  });

  test('Slice counts from the end, clamps, and leaves other axes alone', async () => {
    expectValues(await evaluate('Slice', [x], { starts: [-2], ends: [99], axes: [1] }), [2, 2], [2, 3, 5, 6]);
  });

  test('Pad: constant, edge, reflect, and negative', async () => {
    const pads = [0, 1, 0, 2];
    expectValues(await evaluate('Pad', [x], { pads, value: 9 }), [2, 6], [9, 1, 2, 3, 9, 9, 9, 4, 5, 6, 9, 9]);
    expectValues(await evaluate('Pad', [x], { pads, mode: 'edge' }), [2, 6], [1, 1, 2, 3, 3, 3, 4, 4, 5, 6, 6, 6]);
    expectValues(await evaluate('Pad', [x], { pads, mode: 'reflect' }), [2, 6], [2, 1, 2, 3, 2, 1, 5, 4, 5, 6, 5, 4]);
    expectValues(await evaluate('Pad', [x], { pads: [0, -1, 0, 0] }), [2, 2], [2, 3, 5, 6]);
  });

  test('Resize repeats elements, or blends them by the stated coordinates', async () => {
    const line = array([1, 1, 2], [1, 3]);
    expectValues(await evaluate('Resize', [line], { scales: [1, 1, 2] }), [1, 1, 4], [1, 1, 3, 3]);
    const linear = { scales: [1, 1, 2], mode: 'linear' };
    expectValues(await evaluate('Resize', [line], linear), [1, 1, 4], [1, 2, 3, 3]);
    expectValues(await evaluate('Resize', [line], { ...linear, coordinate_transformation_mode: 'half_pixel' }), [1, 1, 4], [1, 1.5, 2.5, 3]);
    expectValues(await evaluate('Resize', [line], { ...linear, coordinate_transformation_mode: 'align_corners' }), [1, 1, 4], [1, 5 / 3, 7 / 3, 3]);
    await expect(evaluate('Resize', [line], { scales: [1, 1, 2], mode: 'sinc' })).rejects.toThrow('no mode "sinc"');
  });

  test('the nearest neighbour is found in float32, where 1.5 / 0.6 is 2.5 as in every runtime', async () => {
    const line = array([1, 1, 5], [0, 1, 2, 3, 4]);
    const half = { coordinate_transformation_mode: 'half_pixel', nearest_mode: 'floor' };
    expectValues(await evaluate('Resize', [line], { scales: [1, 1, Math.fround(0.6)], ...half }), [1, 1, 3], [0, 2, 3]);
  });

  test('a mean of whole numbers is one, rounded towards zero', async () => {
    for (const dtype of ['int32', 'int64'] as const) {
      const layer = makeLayer({ name: 'one', op: 'ReduceMean', inputs: ['x'], outputs: ['y'], attributes: { axes: [1], keepdims: 0 } });
      const [made] = await evaluateLayer(layer, [{ shape: [2, 2], data: Float64Array.of(1, 2, -1, -2), dtype }]);
      expectValues(made!, [2], [1, -1]);
    }
  });

  test('reductions drop their axes or keep ones', async () => {
    expectValues(await evaluate('ReduceSum', [x], { axes: [0] }), [1, 3], [5, 7, 9]);
    expectValues(await evaluate('ReduceMean', [x], { axes: [-1], keepdims: 0 }), [2], [2, 5]);
    expectValues(await evaluate('ReduceMax', [x], { axes: [0, 1], keepdims: 0 }), [], [6]);
  });
});

describe('sessions', () => {
  test('divide integers as integers, in whatever layout they flow in', async () => {
    const port = { name: 'x', value: 'x', dtype: 'int32', valueDType: 'int32', shape: [1, 1, 2, 2], layout: 'nhwc' } as const;
    const by = makeLayer({
      name: 'by',
      op: 'Constant',
      inputs: [],
      outputs: ['by'],
      weights: { value: numbersTensor('by', 'int32', [], [2], { file: 'made' }) },
    });
    const layers = [by, makeLayer({ name: 'half', op: 'Div', inputs: ['x', 'by'], outputs: ['y'] })];
    const session = await referenceSession({ ...emptyMap, inputs: [port], outputs: [{ ...port, name: 'y', value: 'y' }], layers });
    const made = await session.run(new Map([['x', { shape: [1, 1, 2, 2], data: Float32Array.of(7, -7, 3, 1) }]]));
    expect([...made.get('y')!.data]).toEqual([3, -3, 1, 0]);
  });

  const conv = makeLayer({ name: 'c', op: 'Conv', inputs: ['x'], outputs: ['h'], weights: { kernel: weight([3, 2, 1, 1], [1, 0, 0, 1, 1, 1]) } });
  const relu = makeLayer({ name: 'r', op: 'Relu', inputs: ['h'], outputs: ['y'] });

  test('channels-last ports are fed and shown channels-last', async () => {
    const map = mapOf([conv, relu], [{ name: 'x', shape: ['N', 1, 2, 2], layout: 'nhwc' }], 'nhwc');
    const session = await referenceSession(map);
    expect(session.inputs).toMatchObject([{ name: 'x', shape: [null, 1, 2, 2], layout: 'nhwc' }]);
    const y = (await session.run(new Map([['x', array([1, 1, 2, 2], [1, 2, -3, 4])]]))).get('y')!;
    expectValues(y, [1, 1, 2, 3], [1, 2, 3, 0, 4, 1]);
  });

  test('runLayers shows each value once, channels-first, in running order', async () => {
    const map = mapOf([conv, relu], [{ name: 'x', shape: ['N', 2, 1, 1], layout: 'nchw' }]);
    const seen: [string, number[]][] = [];
    await runLayers(map, [array([1, 2, 1, 1], [1, -5])], (layer, value) => {
      seen.push([layer.name, [...(value.data as Float64Array)]]);
    });
    expect(seen).toEqual([
      ['c', [1, -5, -4]],
      ['r', [1, 0, 0]],
    ]);
  });

  test('all operators that are missing are named at once', async () => {
    const strange = (name: string, op: string): Layer => ({ name, op, inputs: ['x'], outputs: ['y'], attributes: {}, weights: {} });
    const map = mapOf([strange('a', 'Warp'), strange('b', 'toString')], []);
    const error = await referenceSession(map).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(ModelError);
    expect((error as ModelError).kind).toBe('engine');
    expect((error as ModelError).message).toMatch(/Warp[\s\S]*toString/);
  });

  test('a missing feed and a feed of another shape are refused', async () => {
    const session = await referenceSession(mapOf([conv, relu], [{ name: 'x', shape: ['N', 2, 1, 1], layout: 'nchw' }]));
    await expect(session.run(new Map())).rejects.toMatchObject({ kind: 'engine' });
    await expect(session.run(new Map([['x', array([1, 3, 1, 1], [1, 2, 3])]]))).rejects.toMatchObject({ kind: 'engine' });
  });
});
