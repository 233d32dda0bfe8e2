/** Every operator that a TensorFlow.js form can express gives there what the reference evaluator computes; the others are declined. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import type { Layer, LayerMap, Layout } from '../../src/model/layer-map.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { inferShapes, makeLayer } from '../../src/model/ops/index.js';
import { toChannelsLast } from '../../src/model/ports.js';
import { permuteArray } from '../../src/verify/array.js';
import type { NdArray } from '../../src/verify/engine.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { compareWeights } from '../../src/verify/weights.js';
import { findWrittenFormat } from '../../src/verify/written/index.js';
import { GRAPH_OPS } from '../../src/writers/tfjs/graph-rules.js';
import { tfjs, tfjsGraph } from '../../src/writers/tfjs/index.js';
import { LAYERS_WORDS } from '../../src/writers/tfjs/layers-rules.js';
import type { Run } from '../run-onnx.js';
import { runTfjs } from '../run-tfjs.js';
import { caseInputs, caseMap, emptyMap, noise, OP_CASES, type OpCase, weight } from './onnx-cases.js';

const OPTIONS = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;

/** What layers cannot say, by title. */
const NOT_AS_LAYERS = new Set([
  ...['Erf', 'Exp', 'Log', 'Sqrt', 'Pow', 'LRN', 'Div', 'Div of two values', 'Clip, upper bound only', 'Clip, lower bound only', 'Clip, bounds that cross'],
  // Padding with other than zeros; values whose batches differ; norms of each channel or of groups.
  ...['Pad', 'Pad, with less than any number', 'Max', 'Min', 'Sum', 'InstanceNormalization', 'GroupNormalization'],
  // Beyond the plain forms.
  ...['Resize, cubic, by scales', 'Resize, cubic, by sizes', 'Slice, backwards', 'ReduceMean, all axes', 'Gather of a value', 'Div of integers'],
]);

/** What graphs cannot say, by title. */
const NOT_AS_GRAPH = new Set(['Einsum, a diagonal']);

const MORE_CASES: readonly OpCase[] = [
  entry('ChannelShuffle', [[2, 6, 4, 5]], { groups: 3 }, {}, 'ChannelShuffle'),
  entry(
    'Conv',
    [[2, 4, 9, 8]],
    { strides: [2, 2], dilations: [2, 1], pads: [1, 1, 1, 1] },
    { kernel: weight('k', [3, 4, 3, 3]) },
    'Conv, strides and dilations',
  ),
  entry('Conv', [[2, 4, 9, 8]], { group: 2, pads: [1, 1, 1, 1] }, { kernel: weight('k', [6, 2, 3, 3]), bias: weight('b', [6]) }, 'Conv, two groups'),
  entry(
    'Conv',
    [[2, 4, 9, 8]],
    { group: 4, strides: [2, 2], auto_pad: 'SAME_UPPER' },
    { kernel: weight('k', [8, 1, 3, 3]), bias: weight('b', [8]) },
    'Conv, depthwise',
  ),
  entry('Conv', [[2, 4, 9, 8]], { group: 4, dilations: [2, 2] }, { kernel: weight('k', [4, 1, 3, 3]) }, 'Conv, depthwise and dilated'),
  entry('Conv', [[2, 4, 9]], { group: 4, strides: [2], pads: [2, 1] }, { kernel: weight('k', [4, 1, 3]) }, 'Conv, depthwise over a line'),
  entry(
    'Conv',
    [[2, 4, 9]],
    { dilations: [2], auto_pad: 'SAME_LOWER' },
    { kernel: weight('k', [5, 4, 2]), bias: weight('b', [5]) },
    'Conv over a line, SAME_LOWER',
  ),
  entry('Conv', [[1, 2, 5, 6, 4]], { pads: [1, 0, 2, 0, 1, 1] }, { kernel: weight('k', [3, 2, 2, 3, 3]), bias: weight('b', [3]) }, 'Conv over a volume'),
  entry('Conv', [[1, 2, 6, 6, 4]], { strides: [2, 2, 2], auto_pad: 'SAME_UPPER' }, { kernel: weight('k', [3, 2, 3, 3, 3]) }, 'Conv over a volume, SAME_UPPER'),
  entry(
    'ConvTranspose',
    [[2, 4, 3, 4]],
    { strides: [3, 2], group: 2 },
    { kernel: weight('k', [4, 2, 2, 3]), bias: weight('b', [4]) },
    'ConvTranspose, groups, stride beyond the kernel',
  ),
  entry(
    'ConvTranspose',
    [[2, 3, 4]],
    { strides: [2], pads: [1, 1], output_padding: [1] },
    { kernel: weight('k', [3, 2, 4]), bias: weight('b', [2]) },
    'ConvTranspose over a line',
  ),
  entry('BatchNormalization', [[2, 3]], {}, statistics(3), 'BatchNormalization of features'),
  entry('BatchNormalization', [[2, 3, 4]], {}, statistics(3), 'BatchNormalization of a line'),
  entry('BatchNormalization', [[2, 3, 2, 3, 2]], {}, statistics(3), 'BatchNormalization of a volume'),
  entry('MaxPool', [[2, 3, 7]], { kernel_shape: [3], strides: [2], pads: [0, 0], dilations: [1] }, {}, 'MaxPool over a line'),
  entry(
    'MaxPool',
    [[1, 2, 5, 4, 6]],
    { kernel_shape: [2, 2, 2], strides: [2, 2, 2], pads: [0, 0, 0, 0, 0, 0], dilations: [1, 1, 1] },
    {},
    'MaxPool over a volume',
  ),
  entry('AveragePool', [[1, 2, 5, 4, 6]], { kernel_shape: [2, 2, 3], strides: [2, 2, 2], auto_pad: 'SAME_UPPER' }, {}, 'AveragePool over a volume, SAME_UPPER'),
  entry('GlobalAveragePool', [[2, 3, 4]], {}, {}, 'GlobalAveragePool of a line'),
  entry('GlobalMaxPool', [[2, 3, 2, 4, 3]], {}, {}, 'GlobalMaxPool of a volume'),
  entry('Elu', [[2, 3, 4, 5]], { alpha: 1 }, {}, 'Elu, alpha 1'),
  entry('Selu', [[2, 3, 4, 5]], { alpha: 1.2, gamma: 0.7 }, {}, 'Selu, other constants'),
  entry('HardSigmoid', [[2, 3, 4, 5]], { alpha: 1 / 6, beta: 0.5 }, {}, 'HardSigmoid, slope of 1/6'),
  entry('Clip', [[2, 3, 4, 5]], { min: 0, max: 1.5 }, {}, 'Clip from zero'),
  entry('PRelu', [[2, 3, 4, 5]], {}, { slope: weight('slope', [3, 4, 5]) }, 'PRelu, a slope for each element'),
  entry('PRelu', [[2, 3, 4, 5]], {}, { slope: weight('slope', [1, 4, 5]) }, 'PRelu, a slope for each place of a picture'),
  entry('PRelu', [[2, 3, 4, 5]], {}, { slope: weight('slope', [1, 4, 1]) }, 'PRelu, a slope for each line'),
  entry('PRelu', [[2, 3, 4, 5]], {}, { slope: weight('slope', [3, 1, 5]) }, 'PRelu, a slope for each channel of a column'),
  entry('Softmax', [[2, 3, 4, 5]], { axis: 2 }, {}, 'Softmax along a line'),
  entry('Softmax', [[2, 3]], { axis: -1 }, {}, 'Softmax of features'),
  entry('LogSoftmax', [[2, 3, 4, 5]], { axis: 1 }, {}, 'LogSoftmax along channels'),
  entry('Add', [[2, 3, 4, 5]], {}, { operand: weight('one', [1], [0.7]) }, 'Add, one constant'),
  entry('Mul', [[2, 6]], {}, { operand: weight('row', [6]) }, 'Mul of features'),
  entry('Concat', [[2, 3, 4, 5], [2, 3, 4, 2], [2, 3, 4, 1]], { axis: 3 }, {}, 'Concat along a line'), // biome-ignore format: one case, one line
  entry('Slice', [[2, 6, 4, 5]], { starts: [1, 1], ends: [-1, 4], axes: [1, 2] }, {}, 'Slice of channels and rows'),
  entry('Slice', [[2, 6, 4, 5]], { starts: [3], ends: [1], axes: [2] }, {}, 'Slice that ends before it begins'),
  entry('Pad', [[2, 3, 4, 5]], { pads: [0, 1, 2, 0, 0, 1, 0, -1] }, {}, 'Pad of channels, cut of columns'),
  entry('Reshape', [[2, 3, 4, 5]], { shape: [0, 5, 12] }, {}, 'Reshape of a picture'),
  entry('Transpose', [[2, 3, 4, 5]], { perm: [0, 3, 1, 2] }, {}, 'Transpose to another picture'),
  entry('MatMul', [[2, 3, 4, 5]], {}, { kernel: weight('rows', [5, 2]) }, 'MatMul of a picture'),
  entry('Resize', [[2, 3, 4]], { scales: [1, 1, 2] }, {}, 'Resize of a line'),
  entry('ReduceMean', [[2, 3, 4, 5]], { axes: [1, 3] }, {}, 'ReduceMean over channels and columns'),
];

/** What graphs alone can say. */
const GRAPH_CASES: readonly OpCase[] = [
  entry('Unsqueeze', [[2, 3, 4]], { axes: [0, -1] }, {}, 'Unsqueeze of a line'),
  entry('Squeeze', [[2, 1, 4, 1]], {}, {}, 'Squeeze of all'),
  entry('Expand', [[3, 1, 5]], { shape: [2, 1, 4, 1] }, {}, 'Expand to a picture'),
  entry('Tile', [[2, 3, 4, 5]], { repeats: [1, 2, 1, 3] }, {}, 'Tile of a picture'),
  entry('ReduceLogSumExp', [[2, 3, 4, 5]], { axes: [1], keepdims: 0 }, {}, 'ReduceLogSumExp over channels'),
  entry('ReduceL2', [[2, 3, 4, 5]], { axes: [-1, 1], keepdims: 0 }, {}, 'ReduceL2 over channels and columns'),
  entry('ReduceProd', [[2, 3, 4]], {}, {}, 'ReduceProd of everything'),
  entry('ArgMax', [[2, 3, 4, 5]], { axis: 1, keepdims: 0 }, {}, 'ArgMax over channels'),
  { ...entry('ArgMin', [[1, 4]], { axis: 1, select_last_index: 1 }, {}, 'ArgMin, the last'), values: [1, 0, 0, 2] },
  entry('Hardmax', [[2, 3, 4, 5]], { axis: 1 }, {}, 'Hardmax over channels'),
  entry('Hardmax', [[2, 1, 4, 5]], { axis: 1 }, {}, 'Hardmax of one'),
  entry('TopK', [[2, 5, 4, 3]], { k: 2, axis: 1, largest: 0 }, {}, 'TopK, the smallest along channels'),
  entry('CumSum', [[2, 3, 4, 5]], { axis: 1, exclusive: 1, reverse: 1 }, {}, 'CumSum along channels, backwards'),
  entry('Slice', [[2, 7, 4, 6]], { starts: [6, 1], ends: [-100, 5], axes: [1, 3], steps: [-2, 3] }, {}, 'Slice with steps'),
  entry('Mod', [[2, 3, 4, 5], [4, 1]], { fmod: 1 }, {}, 'Mod as in C'), // biome-ignore format: one case, one line
  entry('DepthToSpace', [[2, 12, 2, 3]], { blocksize: 2, mode: 'CRD' }, {}, 'DepthToSpace, CRD'),
  entry('SpaceToDepth', [[2, 3, 4, 6]], { blocksize: 2, mode: 'CRD' }, {}, 'SpaceToDepth, CRD'),
  entry('GroupNormalization', [[2, 6, 4, 5]], { num_groups: 3 }, { scale: weight('s', [6]), bias: weight('b', [6]) }, 'GroupNormalization of a picture'),
  entry('InstanceNormalization', [[2, 3, 7]], {}, { scale: weight('s', [3]), bias: weight('b', [3]) }, 'InstanceNormalization of a line'),
  entry('LayerNormalization', [[2, 3, 4, 5]], { axis: 1 }, { scale: weight('s', [3, 4, 5]), bias: weight('b', [3, 4, 5]) }, 'LayerNormalization of pictures'),
  entry('LayerNormalization', [[2, 3, 4]], {}, { scale: weight('s', [4]) }, 'LayerNormalization without a bias'),
  entry('MatMul', [[2, 3, 4, 5], [5, 2]], {}, {}, 'MatMul of a picture and a matrix'), // biome-ignore format: one case, one line
  entry('MatMul', [[5], [3, 5, 2]], {}, {}, 'MatMul of a row'), // biome-ignore format: one case, one line
  entry('PRelu', [[2, 3, 4, 5], [3, 1, 1]], {}, {}, 'PRelu with a slope that flows'), // biome-ignore format: one case, one line
  entry('Where', [[2, 3, 4, 5], [4, 5], [1]], {}, {}, 'Where of a picture, a plane and one'), // biome-ignore format: one case, one line
  { ...entry('Gather', [[2, 3, 4, 5], [2, 2]], { axis: 1 }, {}, 'Gather of channels, from the end'), others: { 1: [0, -1, 2, -3] }, dtypes: ['float32', 'int64'] }, // biome-ignore format: one case, one line
  { ...entry('GatherND', [[2, 3, 4], [2, 2]], {}, {}, 'GatherND from the end'), others: { 1: [-1, 0, 1, -2] }, dtypes: ['float32', 'int64'] }, // biome-ignore format: one case, one line
  entry('Resize', [[2, 3, 4, 5]], { sizes: [2, 3, 7, 8], mode: 'linear', coordinate_transformation_mode: 'half_pixel' }, {}, 'Resize to sizes'),
  entry('Resize', [[2, 3, 4, 5]], { sizes: [2, 3, 7, 3], mode: 'nearest', nearest_mode: 'floor' }, {}, 'Resize to sizes, nearest'),
  entry('Conv', [[2, 3, 6, 7], [6, 1, 3, 2]], { group: 3, strides: [2, 1], pads: [1, 0, 0, 1], kernel_shape: [3, 2] }, {}, 'Conv of each channel, whose kernel flows'), // biome-ignore format: one case, one line
  entry('Conv', [[1, 4, 9], [4, 1, 3]], { group: 4, dilations: [2], strides: [2], kernel_shape: [3] }, {}, 'Conv of each channel of a line, whose kernel flows'), // biome-ignore format: one case, one line
  entry('Conv', [[1, 2, 4, 4, 4], [4, 1, 2, 2, 2]], { group: 2, kernel_shape: [2, 2, 2] }, {}, 'Conv of each channel of a volume, whose kernel flows'), // biome-ignore format: one case, one line
  entry('Einsum', [[2, 3, 4], [2, 5, 4]], { equation: 'bik, bjk -> bij' }, {}, 'Einsum of two'), // biome-ignore format: one case, one line
  entry('Einsum', [[2, 3], [3, 4], [4, 2]], { equation: 'aB,Bc,cd' }, {}, 'Einsum of three, its result not said'), // biome-ignore format: one case, one line
  entry('Einsum', [[2, 3, 4], [4, 5]], { equation: '...i,ij->...j' }, {}, 'Einsum with axes of no name'), // biome-ignore format: one case, one line
  entry('Einsum', [[5], [5]], { equation: 'i,i' }, {}, 'Einsum of two lines to one number'), // biome-ignore format: one case, one line
  { ...entry('Pow', [[6], [1]], {}, {}, 'Pow of integers and a fraction'), values: [1, 2, 3, 5, 8, 10], others: { 1: [0.5] }, dtypes: ['int32', 'float32'] }, // biome-ignore format: one case, one line
  { ...entry('ReduceMean', [[1, 2, 2, 2]], { axes: [2, 3] }, {}, 'ReduceMean of integers'), values: [1, 2, 2, 2, -1, -2, -2, -2], dtypes: ['int32'] },
  ...(['ReduceL2', 'ReduceLogSum', 'ReduceLogSumExp'] as const).map(
    (op): OpCase => ({ ...entry(op, [[1, 2, 3]], { axes: [2], keepdims: 0 }, {}, `${op} of integers`), values: [1, 2, 3, 4, 5, 6], dtypes: ['int32'] }),
  ),
  { ...entry('Resize', [[1, 1, 2, 2]], { scales: [1, 1, 2, 2], mode: 'linear', coordinate_transformation_mode: 'half_pixel' }, {}, 'Resize of integers, linear'), values: [1, 4, 9, 15], dtypes: ['uint8'] }, // biome-ignore format: one case, one line
  entry('Pad', [[1, 2, 3, 4]], { pads: [0, 0, 1, 4, 0, 1, 3, 0], mode: 'wrap' }, {}, 'Pad, from the other end'),
  { ...entry('Cast', [[6]], { to: 'uint8' }, {}, 'Cast to bytes'), values: [0.2, 1.9, 254.9, 255, 100.5, 3] },
  { ...entry('Cast', [[6]], { to: 'int8' }, {}, 'Cast to small integers, around their ends'), values: [127, 128, 255, 300, -129, -128], dtypes: ['int32'] },
  entry('Resize', [[1, 2, 4, 5]], { sizes: [1, 2, 1, 1], mode: 'linear', coordinate_transformation_mode: 'pytorch_half_pixel' }, {}, 'Resize to one pixel, as PyTorch has it'), // biome-ignore format: one case, one line
  entry('Resize', [[1, 2, 4, 5]], { sizes: [1, 2, 1, 1], mode: 'nearest', nearest_mode: 'round_prefer_ceil', coordinate_transformation_mode: 'pytorch_half_pixel' }, {}, 'Resize to the nearest pixel, as PyTorch has it'), // biome-ignore format: one case, one line
  entry('MatMul', [[2, 1, 3, 4], [3, 4, 2]], {}, {}, 'MatMul that repeats the matrices of one'), // biome-ignore format: one case, one line
  entry('MatMul', [[2, 1, 3, 4], [1, 3, 4, 2]], {}, {}, 'MatMul that repeats those of both'), // biome-ignore format: one case, one line
  ...(['linear', 'nearest', 'cubic'] as const).flatMap((mode) =>
    (['zeros', 'border', 'reflection'] as const).flatMap((padding_mode) =>
      [0, 1].map((align_corners) => {
        const title = `GridSample, ${mode}, ${padding_mode}, ${align_corners ? 'corners' : 'edges'}`;
        return entry('GridSample', [[2, 3, 4, 5], [2, 3, 2, 2]], { mode, padding_mode, align_corners }, {}, title); // biome-ignore format: one case, one line
      }),
    ),
  ),
  entry('GridSample', [[1, 2, 3, 4, 5], [1, 2, 2, 3, 3]], { mode: 'linear' }, {}, 'GridSample of a volume'), // biome-ignore format: one case, one line
  { ...entry('GatherElements', [[3, 4], [2, 4]], { axis: 0 }, {}, 'GatherElements of fewer rows'), others: { 1: [0, -1, 2, 1, -3, 0, 1, 2] }, dtypes: ['float32', 'int64'] }, // biome-ignore format: one case, one line
  ...(['none', 'add', 'mul', 'max', 'min'] as const).flatMap((reduction) => [
    { ...entry('ScatterElements', [[3, 4], [2, 2], [2, 2]], { axis: 1, reduction }, {}, `ScatterElements, ${reduction}`), others: { 1: [1, 1, -1, 2] }, dtypes: ['float32', 'int64', 'float32'] as const }, // biome-ignore format: one case, one line
    { ...entry('ScatterND', [[4, 3], [3, 1], [3, 3]], { reduction }, {}, `ScatterND, ${reduction}`), others: { 1: reduction === 'none' ? [0, -1, 2] : [1, 1, -1] }, dtypes: ['float32', 'int64', 'float32'] as const }, // biome-ignore format: one case, one line
  ]),
  entry(
    'Resize',
    [[1, 2, 8, 9]],
    { scales: [1, 1, 0.6, 0.5], mode: 'cubic', coordinate_transformation_mode: 'half_pixel', antialias: 1 },
    {},
    'Resize, antialiased',
  ),
  entry('Resize', [[2, 3, 4, 5]], { scales: [1, 2, 1, 1.5], mode: 'linear', coordinate_transformation_mode: 'half_pixel' }, {}, 'Resize of channels'),
  entry('Resize', [[1, 2, 3, 4, 5]], { scales: [1, 1, 2, 1.5, 2], mode: 'linear', coordinate_transformation_mode: 'align_corners' }, {}, 'Resize of a volume'),
  entry(
    'Resize',
    [[1, 2, 4, 5]],
    { sizes: [1, 2, 7, 3], mode: 'nearest', nearest_mode: 'ceil', coordinate_transformation_mode: 'half_pixel' },
    {},
    'Resize, rounded up',
  ),
  entry('ConvTranspose', [[1, 2, 3, 4, 3]], { strides: [2, 1, 3], pads: [1, 0, 1, 0, 1, 0], output_padding: [1, 0, 1], group: 2 }, { kernel: weight('k', [2, 2, 3, 2, 2]), bias: weight('b', [4]) }, 'ConvTranspose over a volume'), // biome-ignore format: one case, one line
  entry('ConvTranspose', [[1, 2, 4, 3]], { strides: [2, 1], dilations: [2, 3], pads: [1, 1, 1, 1] }, { kernel: weight('k', [2, 3, 2, 2]) }, 'ConvTranspose with gaps'), // biome-ignore format: one case, one line
  entry('ConvTranspose', [[1, 4, 5], [4, 2, 3]], { strides: [2], group: 2, kernel_shape: [3] }, {}, 'ConvTranspose with a kernel that flows'), // biome-ignore format: one case, one line
  entry('Conv', [[2, 4, 7, 6], [6, 2, 3, 3], [6]], { group: 2, strides: [2, 1], pads: [1, 1, 0, 1], kernel_shape: [3, 3] }, {}, 'Conv with a kernel that flows'), // biome-ignore format: one case, one line
  entry('AveragePool', [[1, 2, 5, 6, 7]], { kernel_shape: [2, 2, 2], strides: [3, 3, 3], ceil_mode: 1 }, {}, 'AveragePool over a volume, with strides beyond the window'), // biome-ignore format: one case, one line
  entry('Conv', [[1, 2, 6, 6, 6]], { strides: [3, 3, 3], auto_pad: 'SAME_UPPER' }, { kernel: weight('k', [3, 2, 2, 2, 2]) }, 'Conv over a volume, with strides beyond the window'), // biome-ignore format: one case, one line
  ...(['MaxPool', 'AveragePool', 'LpPool'] as const).map((op) =>
    entry(op, [[2, 3, 9, 8]], { kernel_shape: [3, 2], dilations: [2, 3], strides: [2, 1], pads: [1, 2, 2, 1], ceil_mode: 1 }, {}, `${op} with gaps`),
  ),
  entry(
    'AveragePool',
    [[2, 3, 9]],
    { kernel_shape: [2], dilations: [3], pads: [1, 2], count_include_pad: 1 },
    {},
    'AveragePool of a line with gaps, its padding counted',
  ),
  entry('GlobalLpPool', [[2, 3, 4, 5]], { p: 3 }, {}, 'GlobalLpPool, cubes'),
  entry('Resize', [[1, 2, 3, 4]], { scales: [1, 1, 2.5, 1.2], mode: 'linear', coordinate_transformation_mode: 'half_pixel' }, {}, 'Resize of rows, and of columns that stay as many'), // biome-ignore format: one case, one line
  ...(['not_larger', 'not_smaller'] as const).map(
    (keep_aspect_ratio_policy) =>
    entry('Resize', [[1, 2, 4, 5]], { sizes: [7, 8], axes: [2, 3], mode: 'linear', coordinate_transformation_mode: 'half_pixel', keep_aspect_ratio_policy }, {}, `Resize, ${keep_aspect_ratio_policy}`), // biome-ignore format: one case, one line
  ),
  { ...entry('GatherND', [[2, 3, 4], [2, 2, 1]], { batch_dims: 1 }, {}, 'GatherND of each batch'), others: { 1: [-1, 0, 1, 2] }, dtypes: ['float32', 'int64'] }, // biome-ignore format: one case, one line
  { ...entry('GatherND', [[2, 3, 4], [2, 3, 1]], { batch_dims: 2 }, {}, 'GatherND of each row of each batch'), others: { 1: [-1, 0, 1, 2, 3, -4] }, dtypes: ['float32', 'int64'] }, // biome-ignore format: one case, one line
  { ...entry('Compress', [[2, 3], [6]], {}, {}, 'Compress of all elements'), others: { 1: [1, 0, 1, 1, 0, 1] }, dtypes: ['float32', 'bool'] }, // biome-ignore format: one case, one line
  { ...entry('ReverseSequence', [[2, 3, 4], [2]], { batch_axis: 0, time_axis: 2 }, {}, 'ReverseSequence of lines'), others: { 1: [2, 4] }, dtypes: ['float32', 'int64'] }, // biome-ignore format: one case, one line
  ...[0, 1].map(
    (center_point_box): OpCase => ({
      ...entry('NonMaxSuppression', [[2, 3, 4], [2, 2, 3], [1], [1], [1]], { center_point_box }, {}, `NonMaxSuppression of two pictures, form ${center_point_box}`), // biome-ignore format: one case, one line
      // The second box of the first picture overlaps by a half, which is the threshold and not more.
      values: [0, 0, 2, 2, 0, 0, 2, 1, 4, 4, 6, 6, 2, 2, 0, 0, 0.1, 0, 2.1, 2, 4, 4, 6, 6],
      others: { 1: [0.9, 0.75, 0.6, 0.1, 0.7, 0.8, 0.9, 0.95, 0.6, 0.3, 0.2, 0.7], 2: [3], 3: [0.5], 4: [0.2] },
      dtypes: ['float32', 'float32', 'int64'],
    }),
  ),
  ...(['avg', 'max'] as const).flatMap((mode) =>
    (['half_pixel', 'output_half_pixel'] as const).map(
      (how): OpCase => ({
        ...entry('RoiAlign', [[2, 3, 6, 7], [3, 4], [3]], { mode, output_height: 2, output_width: 3, sampling_ratio: 2, spatial_scale: 0.5, coordinate_transformation_mode: how }, {}, `RoiAlign, ${mode}, ${how}`), // biome-ignore format: one case, one line
        others: { 1: [0, 0, 9, 8, 1, 3, 12, 15, -3, -2, 4, 30], 2: [0, 1, 1] },
        dtypes: ['float32', 'float32', 'int64'],
      }),
    ),
  ),
  entry(
    'DeformConv',
    [[1, 4, 5, 6], [1, 16, 3, 5], [1, 8, 3, 5]],
    { group: 2, offset_group: 2, strides: [2, 1], pads: [1, 0, 0, 1], dilations: [1, 2], kernel_shape: [2, 2] },
    { kernel: weight('k', [6, 2, 2, 2]), bias: weight('b', [6]) },
    'DeformConv in groups, under a mask',
  ), // biome-ignore format: one case, one line
  entry('Col2Im', [[2, 12, 6]], { image: [4, 5], block: [2, 3], strides: [2, 1], dilations: [1, 2], pads: [0, 1, 0, 1] }, {}, 'Col2Im with gaps'),
  entry('CenterCropPad', [[2, 3, 5, 4]], { shape: [2, 7], axes: [3, 2] }, {}, 'CenterCropPad of a picture'),
];

function entry(op: string, inputs: OpCase['inputs'], attributes: OpCase['attributes'], weights: OpCase['weights'], title: string): OpCase {
  return { title, op, inputs, attributes, weights };
}

function statistics(channels: number): OpCase['weights'] {
  const positive = noise(channels, 3).map((value) => Math.abs(value) + 0.5);
  return { scale: weight('s', [channels]), bias: weight('b', [channels]), mean: weight('m', [channels]), variance: weight('v', [channels], positive) };
}

const LAYOUTS: Readonly<Record<number, Layout>> = { 3: 'ncw', 4: 'nchw', 5: 'ncdhw' };

/** Ports with channels, which the files have last. */
function withChannels(map: LayerMap): LayerMap {
  const port = <T extends LayerMap['inputs'][number]>(own: T): T => ({ ...own, layout: LAYOUTS[own.shape.length] ?? 'other' });
  return { ...map, inputs: map.inputs.map(port), outputs: map.outputs.map(port) };
}

function channelsLast(array: NdArray, layout: Layout): NdArray {
  return layout === 'other' ? array : permuteArray(array, toChannelsLast(array.shape.length));
}

/** What is wrong with the weights of a written model, read back as verification reads them. */
async function weightProblems(writer: typeof tfjs, map: LayerMap, files: ReadonlyMap<string, Uint8Array>): Promise<string[]> {
  const format = findWrittenFormat(writer.name)!;
  const written = await format.open(memoryFileSet(Object.fromEntries(files), 'model.json'), map.layers);
  const report = await compareWeights(map, written);
  return (
    report?.mismatches.map(({ message }) => message) ??
    map.layers.flatMap(({ name, weights }) => Object.keys(weights).map((role) => `${name} ${role} not found`))
  );
}

/** The largest difference of any value from what the reference evaluator gives, relative to the output's scale. */
async function difference(writer: typeof tfjs, map: LayerMap, inputs: readonly Run[]): Promise<number> {
  const sink = memorySink();
  await writer.write(map, sink, 'model.json', OPTIONS);
  await sink.commit();
  expect(await weightProblems(writer, map, sink.files)).toEqual([]);
  const feeds = inputs.map((input, i) => channelsLast(input, map.inputs[i]!.layout) as Run);
  const actual = await runTfjs(writer.name as 'tfjs', sink.files, feeds);
  const session = await referenceSession(map);
  const made = await session.run(new Map(inputs.map((input, i) => [map.inputs[i]!.name, input])));
  const expected = map.outputs.map(({ name, layout }) => channelsLast(made.get(name)!, layout));
  expect(actual.map(({ shape }) => shape)).toEqual(expected.map(({ shape }) => shape));
  return Math.max(
    ...expected.map(({ data }, i) => {
      const scale = Math.max(...Array.from(data as Float64Array, Math.abs).filter(Number.isFinite), 1e-3);
      // One infinity is as good as another.
      return Math.max(...actual[i]!.data.map((value, k) => (value === Number(data[k]) ? 0 : Math.abs(value - Number(data[k])) / scale)));
    }),
  );
}

const ALL_CASES = [...OP_CASES, ...MORE_CASES];

/** What TensorFlow.js models can say. */
const CASES = new Map([
  [tfjs, ALL_CASES.filter(({ op }) => LAYERS_WORDS.has(op))],
  [tfjsGraph, [...ALL_CASES.filter(({ op }) => GRAPH_OPS.has(op)), ...GRAPH_CASES]],
]);

it('has a case for every operator', () => {
  const covered = new Set(ALL_CASES.map(({ op }) => op));
  expect([...GRAPH_OPS].filter((op) => !covered.has(op))).toEqual([]);
});

it('knows titles of cases only', () => {
  expect([...NOT_AS_LAYERS, ...NOT_AS_GRAPH].filter((title) => !ALL_CASES.some((case_) => case_.title === title))).toEqual([]);
});

describe.each([tfjs, tfjsGraph])('$name', (writer) => {
  describe.each(['as it is', 'with channels'])('%s', (kind) => {
    it.each(CASES.get(writer)!)('$title', async (case_) => {
      const map = kind === 'with channels' ? withChannels(caseMap(case_)) : caseMap(case_);
      const obstacles = await writer.check(map, OPTIONS);
      if ((writer === tfjs ? NOT_AS_LAYERS : NOT_AS_GRAPH).has(case_.title)) {
        expect(obstacles).toMatchObject([{ kind: 'unsupported', place: { layer: 'one' } }]);
        await expect(writer.write(map, memorySink(), 'model.json', OPTIONS)).rejects.toMatchObject({ kind: 'unsupported' });
        return;
      }
      expect(obstacles.map(({ message }) => message)).toEqual([]);
      expect(await difference(writer, map, caseInputs(case_))).toBeLessThan(1e-5);
    });
  });
});

type Draft = readonly [op: string, inputs: readonly string[], attributes?: OpCase['attributes'], weights?: OpCase['weights']];

/** Layers called a, b, c, ... which make values of their own names; the last one is the output, and so are those named. */
function chain(drafts: readonly Draft[], outputs: readonly string[] = []): LayerMap {
  const layers: Layer[] = drafts.map(([op, inputs, attributes = {}, weights = {}], i) => {
    const name = 'abcdefghijklmnop'[i]!;
    return makeLayer({ name, op, inputs, outputs: [name], attributes, weights });
  });
  const shapes = inferShapes(layers, new Map([['x', ['N', 3, 6, 5]]]));
  const port = (value: string) => {
    const shape = shapes.get(value)!;
    return { name: `${value}-out`, value, dtype: 'float32' as const, shape, layout: 'other' as const };
  };
  return withChannels({
    ...emptyMap,
    inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3, 6, 5], layout: 'nchw' }],
    outputs: [...outputs, layers.at(-1)!.name].map(port),
    layers,
  });
}

const conv3: Draft = ['Conv', ['x'], { pads: [1, 1, 1, 1] }, { kernel: weight('kernel', [4, 3, 3, 3]), bias: weight('bias', [4]) }];
const dense = (features: number): Draft[3] => ({ kernel: weight('dense', [5, features]), bias: weight('b', [5]) });

const CHAINS: Readonly<Record<string, LayerMap>> = {
  'a dense layer behind a picture': chain([conv3, ['Flatten', ['a']], ['Gemm', ['b'], {}, dense(120)]]),
  'what is done to features between picture and dense layer': chain([
    conv3,
    ['Flatten', ['a']],
    ['Relu', ['b']],
    ['BatchNormalization', ['c'], {}, statistics(120)],
    ['Mul', ['d'], {}, { operand: weight('row', [120]) }],
    ['PRelu', ['e'], {}, { slope: weight('slope', [120]) }],
    ['Add', ['f', 'b']],
    ['Gemm', ['g'], {}, dense(120)],
  ]),
  'features that are shown, and a softmax of them': chain([conv3, ['Flatten', ['a']], ['Softmax', ['b']]], ['b']),
  'a matrix behind a picture': chain([conv3, ['Reshape', ['a'], { shape: [0, -1] }], ['MatMul', ['b'], {}, { kernel: weight('m', [120, 4]) }]]),
  'two dense layers that share a picture and a weight': chain([
    conv3,
    ['Flatten', ['a']],
    ['Gemm', ['b'], {}, { kernel: weight('shared', [5, 120]) }],
    ['Relu', ['b']],
    ['Gemm', ['d'], {}, { kernel: weight('other', [5, 120]) }],
    ['Add', ['c', 'e']],
  ]),
  'a reshape of channels': chain([conv3, ['Reshape', ['a'], { shape: [0, 2, 60] }], ['Transpose', ['b'], { perm: [0, 2, 1] }]]),
  'features in parts': chain([conv3, ['Flatten', ['a']], ['Slice', ['b'], { starts: [10], ends: [70], axes: [1] }], ['Gemm', ['c'], {}, dense(60)]]),
  'features joined': chain([conv3, ['Flatten', ['a']], ['Flatten', ['x']], ['Concat', ['b', 'c'], { axis: 1 }]]),
  'a transposed picture that goes on as a picture': chain([
    conv3,
    ['Transpose', ['a'], { perm: [0, 3, 2, 1] }],
    ['Conv', ['b'], {}, { kernel: weight('k', [2, 5, 2, 2]) }],
  ]),
  'a gate over channels': chain([
    conv3,
    ['GlobalAveragePool', ['a']],
    ['Conv', ['b'], {}, { kernel: weight('k', [4, 4, 1, 1]) }],
    ['Sigmoid', ['c']],
    ['Mul', ['a', 'd']],
    ['GlobalMaxPool', ['e']],
    ['Flatten', ['f']],
    ['Gemm', ['g'], {}, dense(4)],
  ]),
  'means that are flattened and shown': chain([conv3, ['GlobalAveragePool', ['a']], ['Flatten', ['b']]], ['b']),
  'a maximum with padding over what is not negative': chain([
    conv3,
    ['Relu', ['a']],
    ['MaxPool', ['b'], { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], dilations: [1, 1] }],
  ]),
  branches: chain([
    conv3,
    ['MaxPool', ['x'], { kernel_shape: [3, 3], strides: [1, 1], auto_pad: 'SAME_UPPER', pads: [0, 0, 0, 0], dilations: [1, 1] }],
    ['Concat', ['a', 'b', 'x'], { axis: 1 }],
    ['Softmax', ['c'], { axis: 1 }],
  ]),
  'an output that is an input, and one that is shown twice': chain([conv3, ['Identity', ['x']]], ['a', 'a', 'x']),
};

const numbers = (name: string, dtype: 'int64' | 'float32', shape: readonly number[], values: readonly number[]): Draft => [
  'Constant',
  [],
  {},
  { value: numbersTensor(name, dtype, shape, values, { file: 'made.onnx' }) },
];

/** Graphs with constants and several outputs of a layer. */
const GRAPH_CHAINS: Readonly<Record<string, LayerMap>> = {
  'a product with a constant on the left': chain([numbers('left', 'float32', [2, 6], noise(12, 5)), ['MatMul', ['a', 'x']]]),
  'numbers of channels': chain([numbers('picked', 'int64', [2], [2, 0]), ['Gather', ['x', 'a'], { axis: 1 }], ['Relu', ['b']]]),
  'one channel': chain([numbers('picked', 'int64', [], [1]), ['Gather', ['x', 'a'], { axis: 1 }]]),
  'classes as ones': chain([
    ['ArgMax', ['x'], { axis: 1, keepdims: 0 }],
    numbers('depth', 'int64', [], [4]),
    numbers('values', 'float32', [2], [0.5, 2]),
    ['OneHot', ['a', 'b', 'c'], { axis: 1 }],
  ]),
  'a value filled with one number': chain([numbers('shape', 'int64', [3], [3, 1, 5]), ['ConstantOfShape', ['a'], { value: 1.5 }], ['Add', ['x', 'b']]]),
  'a choice among constants': chain([
    numbers('zero', 'float32', [], [0]),
    ['Greater', ['x', 'a']],
    ['Not', ['b']],
    ['Where', ['c', 'a', 'x']],
    ['Cast', ['b'], { to: 'int64' }],
    ['Cast', ['e'], { to: 'float32' }],
    ['Add', ['d', 'f']],
  ]),
};

it.each(Object.keys(GRAPH_CHAINS))('tfjs-graph writes %s', async (title) => {
  const map = GRAPH_CHAINS[title]!;
  expect((await tfjsGraph.check(map, OPTIONS)).map(({ message }) => message)).toEqual([]);
  expect(await difference(tfjsGraph, map, [{ shape: [2, 3, 6, 5], data: Float32Array.from(noise(180, 7)) }])).toBeLessThan(1e-5);
});

it.each(['Split', 'TopK'])('tfjs-graph writes all outputs of a %s', async (op) => {
  const layers = [
    makeLayer({ name: 'conv', op: 'Conv', inputs: ['x'], outputs: ['made'], weights: conv3[3]!, attributes: { pads: [1, 1, 1, 1] } }),
    makeLayer({ name: 'several', op, inputs: ['made'], outputs: ['p', 'q'], attributes: op === 'Split' ? { axis: 1, split: [1, 3] } : { k: 2, axis: 1 } }),
    makeLayer({ name: 'after', op: 'Relu', inputs: ['q'], outputs: ['r'] }),
  ];
  const base = chain([conv3]);
  const shapes = inferShapes(layers, new Map([['x', ['N', 3, 6, 5]]]));
  const outputs = ['p', 'q', 'r'].map((value) => ({
    name: `${value}-out`,
    value,
    dtype: 'float32' as const,
    shape: shapes.get(value)!,
    layout: 'nchw' as const,
  }));
  const map = withChannels({ ...base, layers, outputs });
  expect((await tfjsGraph.check(map, OPTIONS)).map(({ message }) => message)).toEqual([]);
  expect(await difference(tfjsGraph, map, [{ shape: [2, 3, 6, 5], data: Float32Array.from(noise(180, 7)) }])).toBeLessThan(1e-5);
});

it.each<LayerMap['layers'][number]['attributes']>([
  { kernel_shape: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1] },
  { kernel_shape: [2, 3], dilations: [2, 1], storage_order: 1 },
  { kernel_shape: [2, 2], strides: [2, 2], auto_pad: 'SAME_UPPER' },
])('tfjs-graph says where the largest of a MaxPool lie: %o', async (attributes) => {
  const layers = [makeLayer({ name: 'largest', op: 'MaxPool', inputs: ['x'], outputs: ['p', 'q'], attributes })];
  const base = chain([conv3]);
  const inputs = base.inputs.map((port) => ({ ...port, shape: [2, 3, 6, 5] }));
  const shapes = inferShapes(layers, new Map([['x', [2, 3, 6, 5]]]));
  const outputs = ['p', 'q'].map((value) => ({ name: `${value}-out`, value, dtype: 'float32' as const, shape: shapes.get(value)!, layout: 'nchw' as const }));
  const map = withChannels({ ...base, inputs, layers, outputs });
  // Of equal ones the first counts.
  const feed = { shape: [2, 3, 6, 5], data: Float32Array.from(noise(180, 7), Math.round) };
  expect(await difference(tfjsGraph, map, [feed])).toBe(0);
  const free = withChannels({ ...base, layers, outputs });
  expect((await tfjsGraph.check(free, OPTIONS)).map(({ message }) => message)).toEqual([expect.stringContaining('--input-shape')]);
});

describe.each([tfjs, tfjsGraph])('$name keeps order in', (writer) => {
  it.each(Object.keys(CHAINS))('%s', async (title) => {
    const map = CHAINS[title]!;
    expect((await writer.check(map, OPTIONS)).map(({ message }) => message)).toEqual([]);
    const shape = [2, 3, 6, 5];
    expect(await difference(writer, map, [{ shape, data: Float32Array.from(noise(180, 7)) }])).toBeLessThan(1e-5);
  });
});

it('lists all obstacles at once', async () => {
  const map = chain([conv3, ['Exp', ['a']], ['LRN', ['b'], { size: 5 }], ['Erf', ['c']], ['Flatten', ['d']], ['Gemm', ['e'], {}, dense(120)]]);
  expect((await tfjs.check(map, OPTIONS)).map(({ place }) => place.layer)).toEqual(['b', 'c', 'd']);
  expect(await tfjsGraph.check(map, OPTIONS)).toEqual([]);
});

describe.each([tfjs, tfjsGraph])('$name', (writer) => {
  const manifest = async (map: LayerMap): Promise<{ name: string }[]> => {
    const sink = memorySink();
    await writer.write(map, sink, 'model.json', OPTIONS);
    await sink.commit();
    return JSON.parse(new TextDecoder().decode(sink.files.get('model.json'))).weightsManifest[0].weights;
  };
  const inputs = [{ shape: [2, 3, 6, 5], data: Float32Array.from(noise(180, 7)) }];

  it('writes a weight once that several layers share', async () => {
    const kernel = weight('kernel', [3, 3, 3, 3]);
    const map = chain([
      ['Conv', ['x'], { pads: [1, 1, 1, 1] }, { kernel }],
      ['Relu', ['a']],
      ['Conv', ['b'], { pads: [1, 1, 1, 1] }, { kernel }],
    ]);
    expect(await difference(writer, map, inputs)).toBeLessThan(1e-5);
    expect((await manifest(map)).map(({ name }) => name).filter((name) => name.endsWith('kernel'))).toEqual(['a/kernel']);
  });

  it('finds names that TensorFlow.js takes, and layers by their own again', async () => {
    const names: Readonly<Record<string, string>> = { a: 'conv 1:0', b: 'conv_1_0', c: '/été', d: '__proto__', e: '' };
    const map = chain([
      conv3,
      ['Conv', ['a'], {}, { kernel: weight('k', [4, 4, 1, 1]) }],
      ['Flatten', ['b']],
      ['Mul', ['c'], {}, { operand: weight('row', [120]) }],
      ['Gemm', ['d'], {}, dense(120)],
    ]);
    const renamed: LayerMap = { ...map, layers: map.layers.map((layer) => ({ ...layer, name: names[layer.name]! })) };
    expect(await difference(writer, renamed, inputs)).toBeLessThan(1e-5);
    for (const { name } of await manifest(renamed)) expect(name).toMatch(/^[A-Za-z0-9][-A-Za-z0-9._/]*$/);
  });
});
