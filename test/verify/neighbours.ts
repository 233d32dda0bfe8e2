/** Every operator of the vocabulary in odd settings, for values of any shape: what stands before and behind it is chosen by the test. */
import type { AttributeValue, Layer, LayerMap, Layout } from '../../src/model/layer-map.js';
import { inferShapes, makeLayer } from '../../src/model/ops/index.js';
import { toChannelsLast } from '../../src/model/ports.js';
import { float32Tensor, type Tensor } from '../../src/model/tensor.js';
import { numbers } from '../caffe-net.js';
import { emptyMap } from '../writers/onnx-cases.js';

export interface Draft {
  readonly op: string;
  /** Settings in words, for the table of findings. */
  readonly title: string;
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly weights?: Readonly<Record<string, Tensor>>;
  /** Whether a second value of the same shape is the other operand. */
  readonly second?: boolean;
}

/** Makes one setting of an operator for an input; null where it does not take that shape. */
export type Neighbour = (shape: readonly number[], random: () => number) => Draft | null;

function tensor(shape: readonly number[], random: () => number, change: (value: number) => number = (value) => value): Tensor {
  const count = shape.reduce((a, b) => a * b, 1);
  return float32Tensor(
    'w',
    shape,
    Array.from({ length: count }, () => change(random())),
    { file: 'made' },
  );
}

/** An operator over pictures, [batch, channels, height, width]. */
const picture =
  (op: string, title: string, make: (shape: readonly number[], random: () => number) => Omit<Draft, 'op' | 'title'> | null = () => ({})): Neighbour =>
  (shape, random) => {
    const made = shape.length === 4 && shape[2]! >= 3 && shape[3]! >= 3 ? make(shape, random) : null;
    return made && { op, title: `${op} ${title}`.trim(), ...made };
  };

const any =
  (op: string, title = '', make: (shape: readonly number[], random: () => number) => Omit<Draft, 'op' | 'title'> | null = () => ({})): Neighbour =>
  (shape, random) => {
    const made = make(shape, random);
    return made && { op, title: `${op} ${title}`.trim(), ...made };
  };

const conv = (
  title: string,
  [out, per]: readonly [number, 'one' | 'all'],
  kernel: readonly number[],
  attributes: Draft['attributes'] = {},
  bias = true,
): Neighbour =>
  picture('Conv', title, ([, channels], random) => ({
    attributes: { ...attributes, group: per === 'one' ? channels! : 1 },
    weights: {
      kernel: tensor([per === 'one' ? channels! * out : out, per === 'one' ? 1 : channels!, ...kernel], random, (value) => value * 0.5),
      ...(bias ? { bias: tensor([per === 'one' ? channels! * out : out], random) } : {}),
    },
  }));

const unary = (op: string, attributes: Draft['attributes'] = {}, title = ''): Neighbour => any(op, title, () => ({ attributes }));

const arithmetic = (op: string): Neighbour[] => [
  any(op, 'of two values', () => ({ second: true })),
  any(op, 'with a channel weight', (shape, random) =>
    shape.length < 2 ? null : { weights: { operand: tensor([shape[1]!, ...shape.slice(2).map(() => 1)], random, (value) => value + Math.sign(value) * 0.5) } },
  ),
  any(op, 'with a number', (_, random) => ({ weights: { operand: tensor([], random, (value) => value + 1.5) } })),
];

const pool = (op: string, title: string, attributes: Draft['attributes']): Neighbour => picture(op, title, () => ({ attributes }));
const pad = (title: string, pads: readonly number[], attributes: Draft['attributes'] = {}): Neighbour =>
  picture('Pad', title, () => ({ attributes: { pads: [0, 0, ...pads.slice(0, 2), 0, 0, ...pads.slice(2)], ...attributes } }));

export const NEIGHBOURS: readonly Neighbour[] = [
  conv('3 x 3, padded', [5, 'all'], [3, 3], { pads: [1, 1, 1, 1] }),
  conv('3 x 2, one-sided padding, strides', [4, 'all'], [3, 2], { pads: [1, 0, 0, 1], strides: [2, 1] }),
  conv('1 x 1, no bias', [6, 'all'], [1, 1], {}, false),
  conv('dilated', [4, 'all'], [2, 2], { dilations: [2, 1], pads: [1, 0, 1, 1] }),
  conv('depthwise', [1, 'one'], [3, 3], { pads: [1, 1, 1, 1] }),
  conv('depthwise, two each', [2, 'one'], [2, 3], { pads: [0, 1, 1, 1] }, false),
  conv('SAME_UPPER, strides', [4, 'all'], [3, 3], { auto_pad: 'SAME_UPPER', strides: [2, 2] }),
  picture('ConvTranspose', 'strides', ([, channels], random) => ({
    attributes: { strides: [2, 2], pads: [1, 0, 0, 1], output_padding: [1, 0] },
    weights: { kernel: tensor([channels!, 3, 3, 2], random), bias: tensor([3], random) },
  })),
  any('Gemm', '', (shape, random) => (shape.length === 2 ? { weights: { kernel: tensor([4, shape[1]!], random), bias: tensor([4], random) } } : null)),
  any('MatMul', '', (shape, random) => (shape.length >= 2 ? { weights: { kernel: tensor([shape.at(-1)!, 5], random) } } : null)),
  any('BatchNormalization', '', (shape, random) => {
    if (shape.length < 2) return null;
    const of = (change?: (value: number) => number) => tensor([shape[1]!], random, change);
    return { attributes: { epsilon: 1e-2 }, weights: { scale: of(), bias: of(), mean: of(), variance: of((value) => Math.abs(value) + 0.3) } };
  }),
  ...['Relu', 'Sigmoid', 'HardSigmoid', 'Tanh', 'Softplus', 'Softsign', 'Erf', 'Exp', 'Abs', 'Neg', 'Identity', 'Selu'].map((op) => unary(op)),
  unary('LeakyRelu', { alpha: 0.3 }),
  unary('ThresholdedRelu', { alpha: 0.3 }),
  unary('Elu', { alpha: 0.3 }),
  unary('HardSigmoid', { alpha: 1 / 6, beta: 0.5 }, 'of Keras 3'),
  any('PRelu', '', (shape, random) => (shape.length < 2 ? null : { weights: { slope: tensor([shape[1]!, ...shape.slice(2).map(() => 1)], random) } })),
  unary('Clip', { min: 0, max: 0.7 }, 'from 0'),
  unary('Clip', { min: -0.5, max: 0.4 }),
  unary('Clip', { max: 0.3 }, 'from above'),
  unary('Softmax', { axis: -1 }),
  any('Softmax', 'of channels', (shape) => (shape.length > 2 ? { attributes: { axis: 1 } } : null)),
  unary('LogSoftmax', { axis: -1 }),
  picture('LRN', '', () => ({ attributes: { size: 3, alpha: 0.2, beta: 0.6, bias: 2 } })),
  pool('MaxPool', 'strides', { kernel_shape: [2, 2], strides: [2, 2], dilations: [1, 1] }),
  pool('MaxPool', 'padded', { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 0, 1], dilations: [1, 1] }),
  pool('MaxPool', 'rounded up', { kernel_shape: [2, 3], strides: [2, 2], pads: [0, 0, 0, 0], ceil_mode: 1, dilations: [1, 1] }),
  pool('AveragePool', 'strides', { kernel_shape: [2, 2], strides: [2, 2] }),
  pool('AveragePool', 'padded', { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 0, 1] }),
  pool('AveragePool', 'padding counted', { kernel_shape: [3, 2], strides: [2, 1], pads: [1, 0, 0, 1], count_include_pad: 1 }),
  pool('AveragePool', 'rounded up', { kernel_shape: [2, 3], strides: [2, 2], pads: [0, 0, 0, 0], ceil_mode: 1 }),
  pool('AveragePool', 'padding counted, rounded up', { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], ceil_mode: 1, count_include_pad: 1 }),
  picture('GlobalAveragePool', ''),
  picture('GlobalMaxPool', ''),
  any('Flatten', '', (shape) => (shape.length > 2 ? {} : null)),
  any('Reshape', 'to rows', (shape) => (shape.length === 4 ? { attributes: { shape: [0, 0, -1] } } : null)),
  picture('Transpose', 'channels last', () => ({ attributes: { perm: [0, 2, 3, 1] } })),
  picture('Transpose', 'channels first', () => ({ attributes: { perm: [0, 3, 1, 2] } })),
  picture('Transpose', 'height and width', () => ({ attributes: { perm: [0, 1, 3, 2] } })),
  any('Concat', 'with another', (shape) => (shape.length > 1 ? { attributes: { axis: 1 }, second: true } : null)),
  ...['Add', 'Sub', 'Mul', 'Div'].flatMap(arithmetic),
  ...['Max', 'Min', 'Sum'].map((op) => any(op, '', () => ({ second: true }))),
  ...['ReduceMean', 'ReduceMax', 'ReduceSum'].flatMap((op) => [
    picture(op, 'over the picture', () => ({ attributes: { axes: [2, 3] } })),
    any(op, 'axis dropped', (shape) => (shape.length > 2 ? { attributes: { axes: [1], keepdims: 0 } } : null)),
  ]),
  pad('zeros', [1, 2, 0, 1]),
  pad('zeros on every side', [1, 1, 1, 1]),
  pad('another value', [1, 2, 0, 1], { value: 0.5 }),
  pad('very small', [1, 0, 0, 1], { value: -1e4 }),
  pad('reflected', [1, 2, 0, 1], { mode: 'reflect' }),
  pad('edge', [1, 2, 0, 1], { mode: 'edge' }),
  pad('cut', [-1, 0, 0, 0]),
  picture('Pad', 'channels', () => ({ attributes: { pads: [0, 1, 0, 0, 0, 0, 0, 0] } })),
  picture('Slice', '', () => ({ attributes: { starts: [1, -3], ends: [3, 100], axes: [1, 3] } })),
  picture('Resize', '', () => ({ attributes: { scales: [1, 1, 2, 3] } })),
  picture('Resize', 'linear', () => ({ attributes: { scales: [1, 1, 2, 2], mode: 'linear', coordinate_transformation_mode: 'half_pixel' } })),
];

const START = [2, 4, 6, 7];

export interface Chain {
  readonly title: string;
  readonly map: LayerMap;
}

/**
 * A net of the neighbours in a row.
 *
 * @param branches whether what each makes is an output too
 * @returns null where one of them does not take what the one before makes
 */
export function chain(makers: readonly Neighbour[], seed: number, { layout = 'nchw' as Layout, branches = false } = {}): Chain | null {
  const random = numbers(seed + 1);
  const layers: Layer[] = [];
  const inputs = [
    { name: 'x', value: 'x', dtype: 'float32' as const, shape: layout === 'nhwc' ? toChannelsLast(4).map((axis) => START[axis]!) : START, layout },
  ];
  const titles: string[] = [];
  let shapes = new Map<string, readonly (number | string)[]>([['x', START]]);
  let value = 'x';
  for (const [i, make] of makers.entries()) {
    const shape = shapes.get(value) as readonly number[];
    const draft = make(shape, random);
    if (!draft) return null;
    titles.push(draft.title);
    // The other operand: the same value through another operator, so that no optimiser can take the two for one.
    if (draft.second) layers.push(makeLayer({ name: `other${i}`, op: 'Softplus', inputs: [value], outputs: [`other${i}`] }));
    const weights = Object.fromEntries(Object.entries(draft.weights ?? {}).map(([role, weight]) => [role, { ...weight, name: `made${i}.${role}` }]));
    layers.push(
      makeLayer({
        name: `made${i}`,
        op: draft.op,
        inputs: draft.second ? [value, `other${i}`] : [value],
        outputs: [`made${i}`],
        attributes: draft.attributes,
        weights,
      }),
    );
    try {
      shapes = inferShapes(layers, new Map([['x', START]]));
    } catch {
      return null;
    }
    value = `made${i}`;
  }
  const shown = branches ? makers.map((_, i) => `made${i}`) : [value];
  const outputs = shown.map((name) => {
    const shape = shapes.get(name)!;
    const turned = layout === 'nhwc' && shape.length === 4;
    return {
      name: `out_${name}`,
      value: name,
      dtype: 'float32' as const,
      shape: turned ? toChannelsLast(4).map((axis) => shape[axis]!) : shape,
      layout: turned ? layout : shape.length === 4 ? ('nchw' as const) : ('other' as const),
    };
  });
  return { title: titles.join(' > '), map: { ...emptyMap, inputs, outputs, layers } };
}
