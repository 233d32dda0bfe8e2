/** Every operator of the vocabulary in odd settings, for values of any shape: what stands before and behind it is chosen by the test. */
import type { DType } from '../../src/model/dtype.js';
import type { AttributeValue } from '../../src/model/layer-map.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { float32Tensor, type Tensor } from '../../src/model/tensor.js';

export interface Draft {
  readonly op: string;
  /** Settings in words, for the table of findings. */
  readonly title: string;
  readonly attributes?: Readonly<Record<string, AttributeValue>>;
  readonly weights?: Readonly<Record<string, Tensor>>;
  /** Whether a second value of the same shape is the other operand. */
  readonly second?: boolean;
  /** Constants in the slots before the value's, and behind it. */
  readonly before?: readonly Tensor[];
  readonly behind?: readonly Tensor[];
  /** How many outputs it has; the first goes on. */
  readonly outputs?: number;
  /** What it takes, where it has no value for every number: 0.1 to 0.9, or 1.1 and more. */
  readonly domain?: 'unit' | 'above one';
}

/** Makes one setting of an operator for an input; null where it does not take that shape or dtype. */
export type Neighbour = (shape: readonly number[], random: () => number, dtype?: DType) => Draft | null;

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
  (shape, random, dtype = 'float32') => {
    const made = dtype === 'float32' && shape.length === 4 && shape[2]! >= 3 && shape[3]! >= 3 ? make(shape, random) : null;
    return made && { op, title: `${op} ${title}`.trim(), ...made };
  };

const any =
  (op: string, title = '', make: (shape: readonly number[], random: () => number) => Omit<Draft, 'op' | 'title'> | null = () => ({})): Neighbour =>
  (shape, random, dtype = 'float32') => {
    const made = dtype === 'float32' ? make(shape, random) : null;
    return made && { op, title: `${op} ${title}`.trim(), ...made };
  };

/** An operator over values of other dtypes. */
const typed =
  (
    dtypes: readonly DType[],
    op: string,
    title = '',
    make: (shape: readonly number[], random: () => number, dtype: DType) => Omit<Draft, 'op' | 'title'> | null = () => ({}),
  ): Neighbour =>
  (shape, random, dtype = 'float32') => {
    const made = dtypes.includes(dtype) ? make(shape, random, dtype) : null;
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

function product(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

const whole = (dtype: DType, shape: readonly number[], values: readonly number[]): Tensor => numbersTensor('c', dtype, shape, values, { file: 'made' });
const alternating = (length: number, first = 0): number[] => Array.from({ length }, (_, i) => (i + first) % 2);
const bytes = (length: number): number[] => Array.from({ length }, (_, i) => (i * 37 + 11) % 256);

/** Where the maximum of a pooled place was, in the picture of twice its size: another place of each window. */
function unpooled(i: number, [n, c, h, w]: readonly number[]): number {
  const [y, x] = [Math.floor(i / w!) % h!, i % w!];
  const plane = Math.floor(i / (h! * w!)) % (n! * c!);
  return plane * 4 * h! * w! + (2 * y + (i % 2)) * 2 * w! + 2 * x + (y % 2);
}

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
  ...['Round', 'Sign', 'Sin', 'Cos', 'Tan', 'Atan', 'Sinh', 'Cosh', 'Asinh', 'Celu', 'Mish', 'HardSwish', 'Swish', 'Shrink', 'Floor', 'Ceil', 'Gelu'].map(
    (op) => unary(op),
  ),
  unary('Gelu', { approximate: 'tanh' }, 'by tanh'),
  ...['Log', 'Sqrt', 'Asin', 'Acos', 'Atanh', 'Reciprocal'].map((op) => any(op, '', () => ({ domain: 'unit' }))),
  any('Acosh', '', () => ({ domain: 'above one' })),
  ...['IsNaN', 'IsInf'].map((op) => any(op)),
  any('Pow', 'with a number', () => ({ weights: { operand: whole('float32', [], [1.5]) }, domain: 'unit' })),
  any('Pow', 'of two values', () => ({ second: true, domain: 'unit' })),
  any('Mod', 'as in C', () => ({ attributes: { fmod: 1 }, weights: {}, behind: [whole('float32', [], [0.7])] })),
  typed(['int32'], 'Mod', 'of integers', () => ({ behind: [whole('int32', [], [3])] })),
  ...['Add', 'Mul', 'Div', 'Sub'].map((op) => typed(['int32'], op, 'of integers', () => ({ behind: [whole('int32', [], [3])] }))),
  ...['BitwiseAnd', 'BitwiseOr', 'BitwiseXor'].map((op) => typed(['int32'], op, '', () => ({ behind: [whole('int32', [], [5])] }))),
  typed(['int32'], 'BitwiseNot'),
  typed(['uint8'], 'BitShift', '', () => ({ attributes: { direction: 'RIGHT' }, behind: [whole('uint8', [], [2])] })),
  any('Mean', '', () => ({ second: true })),
  ...['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].flatMap((op) => [
    any(op, 'of two values', () => ({ second: true })),
    any(op, 'than a number', () => ({ behind: [whole('float32', [], [0.1])] })),
  ]),
  ...['And', 'Or', 'Xor'].map((op) => typed(['bool'], op, '', (shape) => ({ behind: [whole('bool', shape.slice(-1), alternating(shape.at(-1) ?? 1))] }))),
  typed(['bool'], 'Not'),
  typed(['bool'], 'Where', 'by the value', (_, random) => ({ behind: [tensor([], random), tensor([1], random)] })),
  any('Where', 'of the value', (shape, random) => ({ before: [whole('bool', shape.slice(-1), alternating(shape.at(-1) ?? 1))], behind: [tensor([], random)] })),
  ...(['int32', 'bool', 'float16'] as const).map((to) => any('Cast', `to ${to}`, () => ({ attributes: { to } }))),
  typed(['int32', 'int64', 'bool', 'uint8', 'int8', 'float16'], 'Cast', 'to float32', () => ({ attributes: { to: 'float32' } })),
  ...['ReduceMin', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare', 'ReduceLogSumExp'].flatMap((op) => [
    picture(op, 'over the picture', () => ({ attributes: { axes: [2, 3] } })),
    any(op, 'axis dropped', (shape) => (shape.length > 1 ? { attributes: { axes: [1], keepdims: 0 } } : null)),
  ]),
  // Of few: what many make of numbers below one is no float32.
  any('ReduceProd', '', (shape) => (shape.length > 1 && shape.at(-1)! < 9 ? { attributes: { axes: [-1] } } : null)),
  any('ReduceLogSum', '', (shape) => (shape.length > 1 ? { attributes: { axes: [-1] }, domain: 'unit' } : null)),
  ...['ArgMax', 'ArgMin'].flatMap((op) => [
    any(op, '', (shape) => (shape.length > 1 ? { attributes: { axis: 1 } } : null)),
    any(op, 'axis dropped', (shape) => (shape.length > 1 ? { attributes: { axis: -1, keepdims: 0 } } : null)),
  ]),
  any('TopK', '', (shape) => (shape.length > 0 && shape.at(-1)! >= 2 ? { attributes: { k: 2 }, outputs: 2 } : null)),
  any('Hardmax', '', (shape) => (shape.length > 0 ? { attributes: { axis: -1 } } : null)),
  picture('InstanceNormalization', '', ([, c], random) => ({ weights: { scale: tensor([c!], random), bias: tensor([c!], random) } })),
  picture('GroupNormalization', '', ([, c], random) =>
    c! % 2 === 0 ? { attributes: { num_groups: 2 }, weights: { scale: tensor([c!], random), bias: tensor([c!], random) } } : null,
  ),
  any('LayerNormalization', '', (shape, random) =>
    shape.length > 1 ? { attributes: { axis: -1 }, weights: { scale: tensor(shape.slice(-1), random), bias: tensor(shape.slice(-1), random) } } : null,
  ),
  any('RMSNormalization', '', (shape, random) => (shape.length > 1 ? { attributes: { axis: -1 }, weights: { scale: tensor(shape.slice(-1), random) } } : null)),
  any('LpNormalization', '', (shape) => (shape.length > 1 ? { attributes: { axis: 1 } } : null)),
  picture('MeanVarianceNormalization', ''),
  pool('LpPool', '', { kernel_shape: [2, 2], strides: [2, 1] }),
  picture('GlobalLpPool', ''),
  any('CumSum', '', (shape) => (shape.length > 1 ? { attributes: { axis: 1 } } : null)),
  picture('DepthToSpace', '', ([, c]) => (c! % 4 === 0 ? { attributes: { blocksize: 2 } } : null)),
  picture('SpaceToDepth', '', ([, , h, w]) => (h! % 2 === 0 && w! % 2 === 0 ? { attributes: { blocksize: 2 } } : null)),
  any('EyeLike', '', (shape) => (shape.length === 2 ? { attributes: { k: 1 } } : null)),
  any('GatherElements', '', (shape) =>
    shape.length > 1 && shape[1]! > 1 ? { attributes: { axis: 1 }, behind: [whole('int64', shape.with(1, 2), alternating(product(shape.with(1, 2))))] } : null,
  ),
  any('GatherND', '', (shape) => (shape.length > 1 && shape[0]! > 1 && shape[1]! > 1 ? { behind: [whole('int64', [3, 2], [0, 1, 0, 0, 0, 1])] } : null)),
  any('ScatterElements', '', (shape, random) =>
    shape.length > 1 && shape[1]! > 1
      ? {
          attributes: { axis: 1 },
          behind: [
            whole(
              'int64',
              shape.with(1, 2),
              Array.from({ length: product(shape.with(1, 2)) }, (_, i) => Math.floor(i / product(shape.slice(2))) % 2),
            ),
            tensor(shape.with(1, 2), random),
          ],
        }
      : null,
  ),
  any('ScatterND', '', (shape, random) => (shape.length > 1 ? { behind: [whole('int64', [1, 1], [0]), tensor([1, ...shape.slice(1)], random)] } : null)),
  any('ReverseSequence', '', (shape) =>
    shape.length > 1 && shape[1]! > 1
      ? { attributes: { batch_axis: 0, time_axis: 1 }, behind: [whole('int64', [shape[0]!], new Array(shape[0]!).fill(2))] }
      : null,
  ),
  any('Compress', '', (shape) => (shape.length > 1 ? { attributes: { axis: 1 }, behind: [whole('bool', [shape[1]!], alternating(shape[1]!, 1))] } : null)),
  any('Split', '', (shape) => (shape.length > 1 && shape[1]! >= 2 ? { attributes: { axis: 1, split: [1, shape[1]! - 1] }, outputs: 2 } : null)),
  any('Tile', '', (shape) => (shape.length > 1 ? { attributes: { repeats: shape.map((_, axis) => (axis === 1 ? 2 : 1)) } } : null)),
  any('Trilu', '', (shape) => (shape.length > 1 ? { attributes: { k: 1 } } : null)),
  any('Unsqueeze', '', (shape) => (shape.length < 4 ? { attributes: { axes: [1] } } : null)),
  any('Squeeze', '', (shape) => (shape.includes(1) ? { attributes: { axes: [shape.indexOf(1)] } } : null)),
  any('Expand', '', (shape) => ({ attributes: { shape: [2, ...shape.map(() => 1)] } })),
  any('Shape'),
  any('Size'),
  any('NonZero'),
  any('Unique', '', () => ({ outputs: 4 })),
  any('Det', '', (shape) => (shape.length > 1 && shape.at(-1) === shape.at(-2) ? {} : null)),
  typed(['int64'], 'OneHot', '', ({ length }) => (length > 0 ? { behind: [whole('int64', [], [9]), whole('float32', [2], [0.5, 2])] } : null)),
  typed(['int64'], 'Gather', 'by the value', ({ length }, random) => (length > 0 ? { weights: { table: tensor([12, 3], random) } } : null)),
  any('Gather', 'of the value', (shape) => (shape.length > 1 && shape[1]! > 1 ? { attributes: { axis: 1 }, behind: [whole('int64', [3], [1, 0, -1])] } : null)),
  any('QuantizeLinear', '', () => ({ behind: [whole('float32', [], [1 / 64]), whole('uint8', [], [128])] })),
  any('DynamicQuantizeLinear', '', () => ({ outputs: 3 })),
  typed(['uint8'], 'DequantizeLinear', '', () => ({ behind: [whole('float32', [], [1 / 64]), whole('uint8', [], [128])] })),
  typed(['uint8'], 'MatMulInteger', '', (shape) => (shape.length > 1 ? { behind: [whole('uint8', [shape.at(-1)!, 3], bytes(shape.at(-1)! * 3))] } : null)),
  typed(['uint8'], 'QLinearMatMul', '', (shape) =>
    shape.length > 1
      ? {
          behind: [
            ...[whole('float32', [], [1 / 64]), whole('uint8', [], [128]), whole('uint8', [shape.at(-1)!, 3], bytes(shape.at(-1)! * 3))],
            ...[whole('float32', [], [0.01]), whole('uint8', [], [120]), whole('float32', [], [0.05]), whole('uint8', [], [100])],
          ],
        }
      : null,
  ),
  typed(['uint8'], 'ConvInteger', '', (shape) =>
    shape.length === 4 && shape[2]! > 1 && shape[3]! > 1
      ? { attributes: { kernel_shape: [2, 2] }, behind: [whole('uint8', [3, shape[1]!, 2, 2], bytes(12 * shape[1]!))] }
      : null,
  ),
  typed(['uint8'], 'QLinearConv', '', (shape) =>
    shape.length === 4 && shape[2]! > 1 && shape[3]! > 1
      ? {
          attributes: { kernel_shape: [2, 2] },
          behind: [
            ...[whole('float32', [], [1 / 64]), whole('uint8', [], [128]), whole('uint8', [3, shape[1]!, 2, 2], bytes(12 * shape[1]!))],
            ...[whole('float32', [], [0.01]), whole('uint8', [], [120]), whole('float32', [], [0.05]), whole('uint8', [], [100])],
          ],
        }
      : null,
  ),
  picture('GridSample', '', ([n], random) => ({ behind: [tensor([n!, 3, 2, 2], random)] })),
  any('AffineGrid', '', (shape) => (shape.length === 3 && shape[1] === 2 && shape[2] === 3 ? { attributes: { size: [shape[0]!, 1, 3, 4] } } : null)),
  picture('RoiAlign', '', () => ({
    attributes: { output_height: 2, output_width: 2, sampling_ratio: 2 },
    behind: [whole('float32', [2, 4], [0, 0, 3, 3, 1, 0, 4, 4]), whole('int64', [2], [0, 0])],
  })),
  any('Col2Im', '', (shape) => (shape.length === 3 && shape[1]! % 4 === 0 && shape[2] === 6 ? { attributes: { image: [3, 4], block: [2, 2] } } : null)),
  picture('DeformConv', '', ([n, c, h, w], random) => ({
    attributes: { kernel_shape: [2, 2] },
    weights: { kernel: tensor([3, c!, 2, 2], random) },
    behind: [tensor([n!, 8, h! - 1, w! - 1], random)],
  })),
  picture('MaxUnpool', '', (shape) => ({
    attributes: { kernel_shape: [2, 2], strides: [2, 2] },
    behind: [
      whole(
        'int64',
        shape,
        Array.from({ length: product(shape) }, (_, i) => unpooled(i, shape)),
      ),
    ],
  })),
  any('CenterCropPad', '', (shape) => (shape.length > 1 ? { attributes: { shape: shape.map((size, axis) => (axis === 1 ? size + 1 : size)) } } : null)),
  any('Einsum', '', (shape, random) =>
    shape.length === 2 || shape.length === 3
      ? { attributes: { equation: shape.length === 2 ? 'ij,jk->ki' : 'bij,jk->bki' }, behind: [tensor([shape.at(-1)!, 3], random)] }
      : null,
  ),
];

/** Operators without neighbours: nothing flows into them from others, or sizes and boxes do. */
export const ALONE: Readonly<Record<string, string>> = {
  Constant: 'reads nothing',
  Range: 'reads three numbers',
  ConstantOfShape: 'reads a shape',
  NonMaxSuppression: 'reads boxes and their scores',
  ChannelShuffle: 'is no operator of ONNX, and written as three of TensorFlow.js that stand here',
};
