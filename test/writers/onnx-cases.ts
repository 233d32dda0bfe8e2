/** One small case or more for every operator of the table, shared by the tests of the ONNX writer and reader. */
import type { DType } from '../../src/model/dtype.js';
import type { AttributeValue, LayerMap, Layout } from '../../src/model/layer-map.js';
import { inferLayer, makeLayer } from '../../src/model/ops/index.js';
import { portValueShape } from '../../src/model/ports.js';
import { float32Tensor, type Tensor } from '../../src/model/tensor.js';

export interface OpCase {
  readonly title: string;
  readonly op: string;
  readonly inputs: readonly (readonly number[])[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  readonly weights: Readonly<Record<string, Tensor>>;
  /** Values of the first input, where any will not do. */
  readonly values?: readonly number[];
  /** The same for the others, by place. */
  readonly others?: Readonly<Record<number, readonly number[]>>;
  /** Of the inputs; float32 where left out. */
  readonly dtypes?: readonly DType[];
}

/** Seeded values between -2 and 2 without a pattern that a swapped axis would keep. */
export function noise(count: number, seed = 1): number[] {
  return Array.from({ length: count }, (_, i) => Math.fround((((i + 1) * 7919 * (seed + 1)) % 4001) / 1000 - 2));
}

export function weight(name: string, shape: readonly number[], values?: readonly number[]): Tensor {
  const count = shape.reduce((product, size) => product * size, 1);
  return float32Tensor(name, shape, values ?? noise(count, name.length), { file: 'made.h5', name });
}

function entry(op: string, inputs: OpCase['inputs'], attributes: OpCase['attributes'] = {}, weights: OpCase['weights'] = {}, title = op): OpCase {
  return { title, op, inputs, attributes, weights };
}

const IMAGE = [2, 3, 5, 6];
const positive = (case_: OpCase): OpCase => ({ ...case_, values: noise(case_.inputs[0]!.reduce((a, b) => a * b, 1)).map((value) => Math.abs(value) + 0.1) });
const kernel = weight('kernel', [4, 3, 3, 2]);
const bias = weight('bias', [4]);
const pool = { kernel_shape: [3, 2], strides: [2, 2], pads: [1, 0, 0, 1] };

export const OP_CASES: readonly OpCase[] = [
  entry('Conv', [IMAGE], { pads: [1, 0, 0, 1], strides: [2, 1] }, { kernel, bias }),
  entry('Conv', [IMAGE], { auto_pad: 'SAME_UPPER', strides: [2, 2] }, { kernel }, 'Conv, SAME_UPPER, no bias'),
  entry('Conv', [IMAGE], { auto_pad: 'SAME_LOWER', dilations: [2, 1] }, { kernel, bias }, 'Conv, SAME_LOWER, dilated'),
  entry('Conv', [IMAGE], { auto_pad: 'VALID' }, { kernel, bias }, 'Conv, VALID'),
  entry('Conv', [IMAGE], { group: 3 }, { kernel: weight('depthwise', [6, 1, 2, 2]) }, 'Conv, grouped'),
  entry('Conv', [[2, 3, 7]], {}, { kernel: weight('kernel1d', [4, 3, 3]), bias }, 'Conv, one spatial axis'),
  entry(
    'ConvTranspose',
    [IMAGE],
    { strides: [2, 2], pads: [1, 0, 0, 1], output_padding: [1, 0] },
    { kernel: weight('up', [3, 2, 3, 2]), bias: weight('b', [2]) },
  ),
  entry('Gemm', [[2, 5]], {}, { kernel: weight('dense', [4, 5]), bias }),
  entry('Gemm', [[2, 5]], {}, { kernel: weight('dense', [4, 5]) }, 'Gemm, no bias'),
  entry('MatMul', [[2, 3, 5]], {}, { kernel: weight('rows', [5, 4]) }),
  entry('MatMul', [[2, 3, 5], [2, 5, 4]], {}, {}, 'MatMul of two values'), // biome-ignore format: one case, one line
  entry(
    'BatchNormalization',
    [IMAGE],
    { epsilon: 1e-3 },
    { scale: weight('scale', [3]), bias: weight('shift', [3]), mean: weight('mean', [3]), variance: weight('variance', [3], [0.5, 1, 2]) },
  ),
  { ...entry('Gather', [[2, 4]], {}, { table: weight('table', [5, 3]) }), values: [0, 4, 1, 3, 2, 2, 0, 1] },
  ...['Relu', 'Sigmoid', 'HardSigmoid', 'Tanh', 'Softplus', 'Softsign', 'Erf', 'Exp', 'Abs', 'Neg', 'Identity', 'Selu'].map((op) => entry(op, [IMAGE])),
  ...['LeakyRelu', 'ThresholdedRelu', 'Elu'].map((op) => entry(op, [IMAGE], { alpha: 0.3 })),
  positive(entry('Log', [IMAGE])),
  positive(entry('Sqrt', [IMAGE])),
  entry('PRelu', [IMAGE], {}, { slope: weight('slope', [3, 1, 1]) }),
  entry('Clip', [IMAGE], { min: 0, max: 1 }),
  entry('Clip', [IMAGE], { max: 0.5 }, {}, 'Clip, upper bound only'),
  entry('Clip', [IMAGE], { min: -0.5 }, {}, 'Clip, lower bound only'),
  entry('Clip', [IMAGE], { min: 0.5, max: -0.5 }, {}, 'Clip, bounds that cross'),
  entry('Celu', [IMAGE], { alpha: -2 }, {}, 'Celu, negative alpha'),
  entry('Shrink', [IMAGE], { lambd: -0.5, bias: 0.2 }, {}, 'Shrink, negative lambd'),
  entry('Softmax', [IMAGE], { axis: 1 }),
  entry('LogSoftmax', [[3, 7]]),
  entry('LRN', [[2, 7, 3, 3]], { size: 5, alpha: 0.2, beta: 0.6, bias: 2 }),
  entry('MaxPool', [IMAGE], { ...pool, dilations: [1, 1] }),
  entry('MaxPool', [IMAGE], { ...pool, ceil_mode: 1 }, {}, 'MaxPool, rounded up'),
  entry('MaxPool', [IMAGE], { ...pool, pads: [0, 0, 0, 0], auto_pad: 'SAME_UPPER' }, {}, 'MaxPool, SAME_UPPER'),
  entry('AveragePool', [IMAGE], pool),
  entry('AveragePool', [IMAGE], { ...pool, count_include_pad: 1 }, {}, 'AveragePool, padding counted'),
  entry('AveragePool', [IMAGE], { ...pool, auto_pad: 'SAME_LOWER' }, {}, 'AveragePool, SAME_LOWER'),
  entry('Constant', [], {}, { value: weight('value', [2, 3]) }),
  entry('GlobalAveragePool', [IMAGE]),
  entry('GlobalMaxPool', [IMAGE]),
  entry('Flatten', [IMAGE]),
  entry('Reshape', [IMAGE], { shape: [0, -1, 5] }),
  entry('Transpose', [IMAGE], { perm: [0, 2, 3, 1] }),
  entry('Concat', [IMAGE, [2, 1, 5, 6]], { axis: 1 }),
  ...['Add', 'Sub', 'Mul', 'Div'].flatMap((op) => [
    entry(op, [IMAGE, IMAGE], {}, {}, `${op} of two values`),
    entry(op, [IMAGE], {}, { operand: weight('operand', [3, 1, 1], [0.5, -2, 3]) }),
  ]),
  positive(entry('Pow', [IMAGE], {}, { operand: weight('power', [], [1.5]) })),
  ...['Max', 'Min', 'Sum'].map((op) => entry(op, [IMAGE, [1, 3, 1, 1], IMAGE])),
  entry('ArgMax', [IMAGE], { axis: 1 }),
  entry('ArgMax', [IMAGE], { axis: -1, keepdims: 0 }, {}, 'ArgMax without its axis'),
  { ...entry('ArgMax', [[2, 4]], { axis: 1, select_last_index: 1 }, {}, 'ArgMax, the last of equal elements'), values: [1, 3, 3, 2, 5, 5, 5, 5] },
  ...['ReduceMean', 'ReduceMax', 'ReduceSum'].flatMap((op) => [
    entry(op, [IMAGE], { axes: [2, 3] }),
    entry(op, [IMAGE], { axes: [1], keepdims: 0 }, {}, `${op}, axis dropped`),
  ]),
  entry('Pad', [IMAGE], { pads: [0, 0, 1, 2, 0, 0, 0, 1], value: 0.5 }),
  entry('Pad', [IMAGE], { pads: [0, 0, 1, 2, 0, 0, 0, 1], value: Number.NEGATIVE_INFINITY }, {}, 'Pad, with less than any number'),
  entry('Pad', [IMAGE], { pads: [0, 0, 1, 2, 0, 0, 0, 1], mode: 'reflect' }, {}, 'Pad, reflected'),
  entry('Pad', [IMAGE], { pads: [0, 0, 1, 2, 0, 0, 0, 1], mode: 'edge' }, {}, 'Pad, edge'),
  entry('Slice', [IMAGE], { starts: [-1], ends: [-100], axes: [3], steps: [-2] }, {}, 'Slice, backwards'),
  entry('Shape', [IMAGE]),
  entry('Size', [IMAGE]),
  entry('Unsqueeze', [IMAGE], { axes: [1, -1] }),
  entry('Squeeze', [[2, 1, 5, 1]], { axes: [1] }),
  entry('Squeeze', [[2, 1, 5, 1]], {}, {}, 'Squeeze, all axes of one'),
  entry('Expand', [[3, 1, 6]], { shape: [2, 1, 5, 1] }),
  { ...entry('Range', [[], [], []]), values: [2], others: { 1: [9], 2: [2] } },
  { ...entry('ConstantOfShape', [[3]], { value: 2.5 }), values: [2, 1, 3], dtypes: ['int64'] },
  { ...entry('ConstantOfShape', [[1]], { value: 7, dtype: 'int64' }, {}, 'ConstantOfShape of int64'), values: [4], dtypes: ['int64'] },
  ...['And', 'Or', 'Xor'].map((op): OpCase => ({ ...entry(op, [[2, 2], [2]]), values: [0, 0, 1, 1], others: { 1: [0, 1] }, dtypes: ['bool', 'bool'] })),
  { ...entry('Not', [[2]]), values: [0, 1], dtypes: ['bool'] },
  { ...entry('Where', [[2, 1], [2, 3], [3]]), values: [0, 1], dtypes: ['bool'] },
  { ...entry('Div', [[4], [4]], {}, {}, 'Div of integers'), values: [7, -7, 8, -1], others: { 1: [2, 2, 3, 5] }, dtypes: ['int64', 'int64'] },
  { ...entry('Cast', [[4]], { to: 'bool' }, {}, 'Cast to bool'), values: [0, 0.5, -2, 0] },
  ...['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual'].map((op) => entry(op, [IMAGE, [3, 1, 6]])),
  ...['Floor', 'Ceil'].map((op) => entry(op, [IMAGE])),
  entry('ReduceProd', [IMAGE], { axes: [3] }),
  entry('ReduceMean', [IMAGE], {}, {}, 'ReduceMean, all axes'),
  ...['Sign', 'Round', 'Sin', 'Cos', 'Tan', 'Atan', 'Sinh', 'Cosh', 'Asinh', 'Celu', 'Mish', 'HardSwish', 'Swish', 'Shrink', 'Gelu', 'IsNaN', 'IsInf'].map(
    (op) => entry(op, [IMAGE]),
  ),
  entry('Gelu', [IMAGE], { approximate: 'tanh' }, {}, 'Gelu by tanh'),
  ...['Reciprocal', 'Acosh'].map((op) => ({ ...entry(op, [[5]]), values: [1.5, 2, 3, 4, 7] })),
  ...['Asin', 'Acos', 'Atanh'].map((op) => ({ ...entry(op, [[5]]), values: [-0.9, -0.2, 0, 0.3, 0.8] })),
  ...['ReduceMin', 'ReduceL1', 'ReduceL2', 'ReduceSumSquare', 'ReduceLogSumExp'].map((op) => entry(op, [IMAGE], { axes: [1, 3] })),
  positive(entry('ReduceLogSum', [IMAGE], { axes: [2] })),
  { ...entry('Mod', [[6], [6]], { fmod: 1 }), others: { 1: [2, -2, 1.5, 0.7, -0.3, 1] } },
  { ...entry('Mod', [[4], [4]], {}, {}, 'Mod of integers'), values: [7, -7, 7, -7], others: { 1: [3, 3, -3, -3] }, dtypes: ['int64', 'int64'] },
  entry('Mean', [IMAGE, [1, 3, 1, 1], IMAGE]),
  ...['BitwiseAnd', 'BitwiseOr', 'BitwiseXor'].map(
    (op): OpCase => ({ ...entry(op, [[4], [4]]), values: [12, 7, 0, 255], others: { 1: [10, 8, 3, 15] }, dtypes: ['int32', 'int32'] }),
  ),
  { ...entry('BitwiseNot', [[3]]), values: [0, 5, -7], dtypes: ['int32'] },
  { ...entry('BitShift', [[3], [3]], { direction: 'RIGHT' }), values: [16, 5, 255], others: { 1: [1, 2, 3] }, dtypes: ['uint8', 'uint8'] },
  { ...entry('BitShift', [[3], [3]], { direction: 'LEFT' }), values: [16, 5, 255], others: { 1: [5, 2, 3] }, dtypes: ['uint8', 'uint8'] },
  entry('Hardmax', [[3, 7]]),
  entry('InstanceNormalization', [IMAGE], {}, { scale: weight('scale', [3]), bias: weight('shift', [3]) }),
  entry('LayerNormalization', [[2, 5, 6]], { axis: -1 }, { scale: weight('scale', [6]), bias: weight('shift', [6]) }),
  entry('RMSNormalization', [[2, 5, 6]], { axis: -1 }, { scale: weight('scale', [6]) }),
  entry('GroupNormalization', [[2, 4, 3, 3]], { num_groups: 2 }, { scale: weight('scale', [4]), bias: weight('shift', [4]) }),
  entry('LpNormalization', [IMAGE], { axis: 1 }),
  entry('MeanVarianceNormalization', [IMAGE]),
  entry('LpPool', [IMAGE], { kernel_shape: [2, 2], strides: [2, 1] }),
  entry('GlobalLpPool', [IMAGE]),
  entry('CumSum', [IMAGE], { axis: 2, reverse: 1 }),
  entry('DepthToSpace', [[1, 8, 2, 3]], { blocksize: 2 }),
  entry('DepthToSpace', [[1, 8, 2, 3]], { blocksize: 2, mode: 'CRD' }, {}, 'DepthToSpace, CRD'),
  entry('SpaceToDepth', [[1, 2, 4, 6]], { blocksize: 2 }),
  entry('EyeLike', [[3, 4]], { k: 1 }),
  {
    ...entry(
      'GatherElements',
      [
        [3, 4],
        [2, 4],
      ],
      { axis: 0 },
    ),
    others: { 1: [0, 1, 2, 0, -1, 0, 1, 1] },
    dtypes: ['float32', 'int64'],
  },
  {
    ...entry('GatherND', [
      [2, 3, 4],
      [2, 2],
    ]),
    others: { 1: [0, 1, 1, -1] },
    dtypes: ['float32', 'int64'],
  },
  {
    ...entry(
      'ScatterElements',
      [
        [3, 3],
        [2, 2],
        [2, 2],
      ],
      { axis: 1 },
    ),
    others: { 1: [0, 2, 1, 0] },
    dtypes: ['float32', 'int64'],
  },
  {
    ...entry('ScatterND', [
      [4, 3],
      [2, 1],
      [2, 3],
    ]),
    others: { 1: [3, 0] },
    dtypes: ['float32', 'int64'],
  },
  { ...entry('ReverseSequence', [[4, 2], [2]], {}), others: { 1: [2, 4] }, dtypes: ['float32', 'int64'] },
  { ...entry('Compress', [[3, 4], [3]], { axis: 0 }), others: { 1: [1, 0, 1] }, dtypes: ['float32', 'bool'] },
  entry('Split', [IMAGE], { axis: 1, split: [3] }),
  entry('Tile', [[2, 3]], { repeats: [2, 1] }),
  entry('Trilu', [[4, 5]], { k: 1 }),
  entry('ArgMin', [IMAGE], { axis: 1 }),
  { ...entry('TopK', [[2, 6]], { k: 3 }) },
  { ...entry('OneHot', [[3], [], [2]]), values: [1, 0, -1], others: { 1: [4], 2: [0.5, 2] }, dtypes: ['int64', 'int64', 'float32'] },
  entry('NonZero', [[2, 3]]),
  { ...entry('Unique', [[2, 3]]), values: [3, 1, 3, -2, 1, 1] },
  { ...entry('Unique', [[3, 2]], { axis: 0, sorted: 0 }, {}, 'Unique, rows'), values: [3, 1, -2, 1, 3, 1] },
  entry('Det', [[2, 3, 3]]),
  {
    ...entry('NonMaxSuppression', [[1, 3, 4], [1, 1, 3], [1], [1], [1]]),
    values: [0, 0, 1, 1, 0, 0.1, 1, 1.1, 0, 2, 1, 3],
    others: { 1: [0.9, 0.75, 0.6], 2: [3], 3: [0.5], 4: [0] },
    dtypes: ['float32', 'float32', 'int64'],
  },
  { ...entry('QuantizeLinear', [[2, 3], [], []]), others: { 1: [0.02], 2: [128] }, dtypes: ['float32', 'float32', 'uint8'] },
  { ...entry('DequantizeLinear', [[2, 3], [3]], { axis: 1 }), values: [1, -2, 3, 100, -128, 0], others: { 1: [0.5, 0.25, 2] }, dtypes: ['int8'] },
  entry('DynamicQuantizeLinear', [[2, 3]]),
  {
    ...entry('MatMulInteger', [
      [2, 3],
      [3, 2],
    ]),
    values: [1, 2, 3, 250, 7, 9],
    others: { 1: [3, 2, 1, 0, 5, 9] },
    dtypes: ['uint8', 'uint8'],
  },
  {
    ...entry('QLinearMatMul', [[2, 2], [], [], [2, 2], [], [], [], []]),
    values: [10, 200, 30, 40],
    others: { 1: [0.01], 2: [100], 3: [120, 3, 9, 77], 4: [0.02], 5: [60], 6: [0.02], 7: [128] },
    dtypes: ['uint8', 'float32', 'uint8', 'uint8', 'float32', 'uint8', 'float32', 'uint8'],
  },
  {
    ...entry(
      'ConvInteger',
      [
        [1, 1, 3, 3],
        [1, 1, 2, 2],
      ],
      { kernel_shape: [2, 2] },
    ),
    values: [1, 2, 3, 4, 5, 6, 7, 8, 9],
    others: { 1: [1, 2, 3, 4] },
    dtypes: ['uint8', 'uint8'],
  },
  {
    ...entry('QLinearConv', [[1, 1, 3, 3], [], [], [1, 1, 2, 2], [], [], [], []], { kernel_shape: [2, 2] }),
    values: [10, 20, 30, 40, 50, 60, 70, 80, 90],
    others: { 1: [0.1], 2: [5], 3: [1, 2, 3, 250], 4: [0.2], 5: [3], 6: [9], 7: [120] },
    dtypes: ['uint8', 'float32', 'uint8', 'uint8', 'float32', 'uint8', 'float32', 'uint8'],
  },
  {
    ...entry('GridSample', [
      [1, 2, 4, 5],
      [1, 2, 3, 2],
    ]),
    others: { 1: [-1, -1, 0, 0, 0.3, -0.7, 1, 1, 0.9, 0.1, -0.4, 1.2] },
  },
  {
    ...entry(
      'GridSample',
      [
        [1, 2, 4, 5],
        [1, 1, 3, 2],
      ],
      { mode: 'cubic', padding_mode: 'reflection' },
      {},
      'GridSample, cubic and reflected',
    ),
    others: { 1: [-1, -1, 0.3, -0.7, 1, 1.3] },
  },
  entry('AffineGrid', [[1, 2, 3]], { size: [1, 1, 2, 3] }),
  {
    ...entry('RoiAlign', [[1, 1, 6, 6], [2, 4], [2]], { output_height: 2, output_width: 2, sampling_ratio: 2 }),
    others: { 1: [0, 0, 4, 4, 1, 2, 5, 5], 2: [0, 0] },
    dtypes: ['float32', 'float32', 'int64'],
  },
  entry('Col2Im', [[1, 4, 4]], { image: [3, 3], block: [2, 2] }),
  {
    ...entry(
      'DeformConv',
      [
        [1, 2, 4, 4],
        [1, 8, 3, 3],
      ],
      { kernel_shape: [2, 2] },
      { kernel: weight('deform', [3, 2, 2, 2]) },
    ),
  },
  {
    ...entry(
      'MaxUnpool',
      [
        [1, 1, 2, 2],
        [1, 1, 2, 2],
      ],
      { kernel_shape: [2, 2], strides: [2, 2] },
    ),
    others: { 1: [5, 7, 8, 15] },
    dtypes: ['float32', 'int64'],
  },
  entry('CenterCropPad', [[5, 4]], { shape: [2, 7] }),
  entry(
    'Einsum',
    [
      [2, 3, 4],
      [2, 4, 5],
    ],
    { equation: 'bij,bjk->bik' },
  ),
  entry('Einsum', [[3, 3]], { equation: '...ii->...i' }, {}, 'Einsum, a diagonal'),
  ...(['sizes', 'scales'] as const).flatMap((by): OpCase[] => [
    entry(
      'Resize',
      [[1, 2, 4, 5]],
      { [by]: by === 'sizes' ? [1, 2, 7, 3] : [1, 1, 1.7, 0.6], mode: 'cubic', coordinate_transformation_mode: 'half_pixel' },
      {},
      `Resize, cubic, by ${by}`,
    ),
  ]),
  entry('Cast', [IMAGE], { to: 'int32' }),
  { ...entry('Gather', [[5, 4], [2]], { axis: 1 }, {}, 'Gather of a value'), others: { 1: [3, 0] } },
  entry('Slice', [IMAGE], { starts: [1, -3], ends: [3, 100], axes: [1, 3] }),
  entry('Resize', [IMAGE], { scales: [1, 1, 2, 3] }),
  entry('Resize', [IMAGE], { scales: [1, 1, 2, 2], mode: 'linear', coordinate_transformation_mode: 'half_pixel' }, {}, 'Resize, linear'),
];

export interface MapOptions {
  readonly layout?: Layout;
  readonly weights?: OpCase['weights'];
}

/** A layer map of the one layer of a case. */
export function caseMap(case_: OpCase): LayerMap {
  const names = case_.inputs.map((_, i) => `x${i}`);
  const layer = makeLayer({ name: 'one', op: case_.op, inputs: names, outputs: ['made'], attributes: case_.attributes, weights: case_.weights });
  const inputs = names.map((name, i) => ({
    name,
    value: name,
    dtype: case_.dtypes?.[i] ?? ('float32' as const),
    valueDType: case_.dtypes?.[i] ?? 'float32',
    shape: case_.inputs[i]!,
    layout: 'other' as const,
  }));
  const [made] = inferLayer(
    layer,
    inputs.map((port) => ({ dtype: port.dtype, shape: portValueShape(port) })),
  );
  return {
    ...emptyMap,
    inputs,
    outputs: [{ name: 'y', value: 'made', dtype: made!.dtype ?? 'float32', shape: made!.shape!, layout: 'other' }],
    layers: [layer],
  };
}

/** Arrays for the inputs of a case. */
export function caseInputs(case_: OpCase): { shape: readonly number[]; data: Float32Array }[] {
  return case_.inputs.map((shape, i) => {
    const count = shape.reduce((product, size) => product * size, 1);
    return { shape, data: Float32Array.from((i === 0 ? case_.values : case_.others?.[i]) ?? noise(count, 40 + i)) };
  });
}

export const emptyMap: LayerMap = {
  name: 'net',
  format: 'test',
  producer: null,
  architecture: null,
  inputs: [],
  outputs: [],
  layers: [],
  warnings: [],
};
