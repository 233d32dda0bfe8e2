/**
 * Convolutions, poolings and normalisations over channels.
 *
 * @see https://www.tensorflow.org/api_docs/python/tf/raw_ops
 */
import type { Value } from '../../model/builder.js';
import { addDims, multiplyDims } from '../../model/dims.js';
import type { TfOperation } from './node.js';
import type { TfRule } from './rule.js';

/** Sizes of the spatial axes among those that TensorFlow gives for all axes. */
function spatial(sizes: readonly number[], isLast: boolean, operation: TfOperation, what: string): readonly number[] {
  const outer = isLast ? [sizes[0], sizes.at(-1)] : [sizes[0], sizes[1]];
  if (outer.some((size) => size !== 1)) throw operation.decline(`${what} [${sizes}] reaches over batch or channels`);
  return isLast ? sizes.slice(1, -1) : sizes.slice(2);
}

interface Padding {
  readonly auto_pad: string;
  readonly pads?: readonly number[];
}

/** SAME puts the odd element behind. */
function padding(operation: TfOperation, isLast: boolean): Padding {
  const word = operation.text('padding');
  const explicit = operation.numbers('explicit_paddings');
  if (word === 'SAME') return { auto_pad: 'SAME_UPPER' };
  if (word === 'VALID') return { auto_pad: 'VALID' };
  if (word !== 'EXPLICIT') throw operation.decline(`padding is ${JSON.stringify(word)}`);
  const pairs = Array.from({ length: explicit.length / 2 }, (_, axis) => [explicit[2 * axis]!, explicit[2 * axis + 1]!] as const);
  const own = isLast ? pairs.slice(1, -1) : pairs.slice(2);
  return { auto_pad: 'NOTSET', pads: [...own.map(([before]) => before), ...own.map(([, after]) => after)] };
}

function ones(rank: number): number[] {
  return new Array<number>(rank).fill(1);
}

const conv: TfRule = (operation) => {
  const isLast = operation.isLast();
  const all = operation.rank(operation.input(0));
  const strides = spatial(operation.numbers('strides'), isLast, operation, 'strides');
  const dilations = spatial(operation.numbers('dilations', ones(all)), isLast, operation, 'dilations');
  const pads = padding(operation, isLast);
  const filter = operation.input(1);
  const rank = strides.length;
  const order = [rank + 1, rank, ...Array.from({ length: rank }, (_, i) => i)];
  const kernel = filter.constant ? operation.turned(filter.constant, order) : operation.before('Transpose', [filter], { perm: order });
  const [channels, inGroup] = [operation.input(0).shape?.[isLast ? all - 1 : 1], filter.shape?.[rank]];
  const group = typeof channels === 'number' && typeof inGroup === 'number' && inGroup > 0 ? channels / inGroup : 1;
  const x = operation.first(operation.input(0), isLast);
  return operation.back((name) => operation.add('Conv', [x, kernel], { strides, dilations, ...pads, group }, name), isLast);
};

const depthwise: TfRule = (operation) => {
  const filter = operation.constant(1, 'kernel');
  const [height, width, channels, multiplier] = filter.shape as [number, number, number, number];
  return depthwiseOf(operation, operation.turned(filter, [2, 3, 0, 1], [channels * multiplier, 1, height, width]), channels);
};

/** @param kernel [channels times multiplier, 1, height, width] */
export function depthwiseOf(operation: TfOperation, kernel: Value, channels: number): Value {
  const isLast = operation.isLast();
  const strides = spatial(operation.numbers('strides'), isLast, operation, 'strides');
  const dilations = spatial(operation.numbers('dilations', [1, 1, 1, 1]), isLast, operation, 'dilations');
  const pads = padding(operation, isLast);
  const x = operation.first(operation.input(0), isLast);
  return operation.back((name) => operation.add('Conv', [x, kernel], { strides, dilations, ...pads, group: channels }, name), isLast);
}

/** inputs: sizes of what it makes, kernel [...window, out, in], what flows in. */
const convTranspose: TfRule = (operation) => {
  const isLast = operation.isLast();
  const strides = spatial(operation.numbers('strides'), isLast, operation, 'strides');
  const dilations = spatial(operation.numbers('dilations', ones(strides.length + 2)), isLast, operation, 'dilations');
  const filter = operation.constant(1, 'kernel');
  const rank = strides.length;
  const word = operation.text('padding');
  operation.numbers('explicit_paddings');
  if (word !== 'SAME' && word !== 'VALID') throw operation.decline(`padding is ${JSON.stringify(word)}`);
  const wanted = operation.input(0).elements;
  const given = operation.input(2).shape;
  const before: number[] = [];
  const after: number[] = [];
  const more: number[] = [];
  for (const [axis, stride] of strides.entries()) {
    const extent = (filter.shape[axis]! - 1) * dilations[axis]! + 1;
    const at = axis + (isLast ? 1 : 2);
    const [made, size] = [wanted?.[at], given?.[at]];
    // Where sizes are free, what the padding makes of them at least has to be what the graph asks for.
    const least = typeof size === 'number' ? null : addDims(multiplyDims(size ?? '?', stride), word === 'SAME' ? 0 : Math.max(0, extent - stride));
    if (!(typeof made === 'number' && typeof size === 'number') && (made == null || made !== least))
      throw operation.decline(
        `that it makes ${made ?? 'a size'} of ${size ?? 'another'} is known only when the model runs; give the sizes of the input with --input-shape`,
      );
    // What is cut off: in front by the sizes that the picture would have in the other direction, behind whatever is beyond what is asked for.
    const isKnown = typeof made === 'number' && typeof size === 'number';
    const total = isKnown ? (size - 1) * stride + extent - made : word === 'SAME' ? extent - stride : Math.min(0, extent - stride);
    const due = isKnown ? (Math.ceil(made / stride) - 1) * stride + extent - made : total;
    const front = word === 'SAME' ? Math.max(0, Math.floor(due / 2)) : 0;
    before.push(front);
    after.push(Math.max(0, total - front));
    more.push(Math.max(0, front - total));
  }
  const kernel = operation.turned(filter, [rank + 1, rank, ...Array.from({ length: rank }, (_, i) => i)]);
  const x = operation.first(operation.input(2), isLast);
  const attributes = { strides, dilations, pads: [...before, ...after], output_padding: more };
  return operation.back((name) => operation.add('ConvTranspose', [x, kernel], attributes, name), isLast);
};

function pool(op: 'MaxPool' | 'AveragePool'): TfRule {
  return (operation) => {
    const isLast = operation.isLast();
    const flows = operation.inputs.length === 3;
    const sizes = (name: string, at: number) => spatial(flows ? operation.known(at, name) : operation.numbers(name), isLast, operation, name);
    const attributes = { kernel_shape: sizes('ksize', 1), strides: sizes('strides', 2), ...padding(operation, isLast) };
    const x = operation.first(operation.input(0), isLast);
    return operation.back((name) => operation.add(op, [x], attributes, name), isLast);
  };
}

/** Where the largest elements stood is worked out where it is read: among all of a picture's, or of all pictures', with the channels last. */
const poolWithPlaces: TfRule = (operation) => {
  const isOfAll = operation.flag('include_batch_in_index');
  const pooled = pool('MaxPool')(operation) as Value;
  const sizes = operation.sizes(operation.input(0));
  const [, height, width, channels] = sizes;
  if (typeof height !== 'number' || typeof width !== 'number' || typeof channels !== 'number') return [pooled];
  const attributes = {
    kernel_shape: spatial(operation.numbers('ksize'), true, operation, 'ksize'),
    strides: spatial(operation.numbers('strides'), true, operation, 'strides'),
  };
  const x = operation.first(operation.input(0), true);
  const name = `${operation.name}/MaxPool`;
  const outputs = ['largest', 'places'].map((one) => operation.build.freeValue(`${name}/${one}`));
  const [, found] = operation.build.node('MaxPool', [x], { ...attributes, ...padding(operation, true) }, { name, outputs });
  const whole = (value: number) => operation.build.numbers('int64', value);
  const inPlane = operation.before('Mul', [operation.before('Mod', [found!, whole(height * width)]), whole(channels)]);
  const places = operation.build.numbers(
    'int64',
    Array.from({ length: channels }, (_, channel) => channel),
    [channels, 1, 1],
  );
  const inPicture = operation.before('Add', [inPlane, places]);
  const plane = height * width * channels;
  const before = () => operation.before('Mul', [operation.before('Div', [found!, whole(plane)]), whole(plane)]);
  const dtype = operation.dtype('Targmax') ?? 'int64';
  const made = operation.before('Cast', [isOfAll ? operation.before('Add', [inPicture, before()]) : inPicture], { to: dtype });
  return [pooled, operation.last(made, `${operation.name}:1`)];
};

/** Its other outputs are what training reads. */
const batchNormalization: TfRule = (operation) => {
  const isLast = operation.isLast();
  const epsilon = operation.number('epsilon', 1e-4);
  operation.number('exponential_avg_factor', 1);
  // TensorFlow.js normalises by the statistics that it is given, whatever is said.
  if (operation.flag('is_training', true) && operation.runtime === 'tensorflow')
    throw operation.decline('it acts as in training, where it normalises by the batch; freeze the graph for inference');
  const x = operation.first(operation.input(0), isLast);
  const statistics = [1, 2, 3, 4].map((i) => operation.input(i));
  return operation.back((name) => operation.add('BatchNormalization', [x, ...statistics], { epsilon }, name), isLast);
};

/** Of old graphs: x, mean, variance, offset, scale. */
const oldBatchNormalization: TfRule = (operation) => {
  const scales = operation.flag('scale_after_normalization', true);
  const [x, mean, variance, beta, gamma] = [0, 1, 2, 3, 4].map((i) => operation.input(i)) as [Value, Value, Value, Value, Value];
  const ones = scales ? gamma : operation.before('Div', [gamma, gamma]);
  const turnedX = operation.first(x, true);
  return operation.back(
    (name) => operation.add('BatchNormalization', [turnedX, ones, beta, mean, variance], { epsilon: operation.number('variance_epsilon', 0) }, name),
    true,
  );
};

export function biasAdd(operation: TfOperation, x: Value, bias: Value, name: string, isLast: boolean): Value {
  if (isLast) return operation.add('Add', [x, bias], {}, name);
  const sizes = [-1, ...ones(operation.rank(x) - 2)];
  const row = bias.constant
    ? operation.turned(bias.constant, [0], [bias.constant.shape[0]!, ...ones(operation.rank(x) - 2)])
    : operation.before('Reshape', [bias], { shape: sizes });
  return operation.add('Add', [x, row], {}, name);
}

/** Its depth is one side's, and alpha is not divided by the size. */
const lrn: TfRule = (operation) => {
  const radius = operation.number('depth_radius', 5);
  const size = 2 * radius + 1;
  const attributes = { size, alpha: operation.number('alpha', 1) * size, beta: operation.number('beta', 0.5), bias: operation.number('bias', 1) };
  const x = operation.first(operation.input(0), true);
  return operation.back((name) => operation.add('LRN', [x], attributes, name), true);
};

export const windows: Readonly<Record<string, TfRule>> = {
  Conv2D: conv,
  Conv3D: conv,
  DepthwiseConv2dNative: depthwise,
  Conv2DBackpropInput: convTranspose,
  Conv3DBackpropInputV2: convTranspose,
  MaxPool: pool('MaxPool'),
  MaxPoolV2: pool('MaxPool'),
  MaxPoolWithArgmax: poolWithPlaces,
  MaxPool3D: pool('MaxPool'),
  AvgPool: pool('AveragePool'),
  AvgPool3D: pool('AveragePool'),
  FusedBatchNorm: batchNormalization,
  FusedBatchNormV2: batchNormalization,
  FusedBatchNormV3: batchNormalization,
  BatchNormWithGlobalNormalization: oldBatchNormalization,
  BiasAdd: (operation) => biasAdd(operation, operation.input(0), operation.input(1), operation.name, operation.isLast()),
  BiasAddV1: (operation) => biasAdd(operation, operation.input(0), operation.input(1), operation.name, true),
  LRN: lrn,
};
