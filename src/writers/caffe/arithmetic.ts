/** Arithmetic of values with each other and with constants, and sums over axes. */
import type { Dim, Layer } from '../../model/layer-map.js';
import { elementCount, reshape, type Tensor } from '../../model/tensor.js';
import { type CaffeLayer, constantBlob, dimsFor, eltwiseOf, front, type NetBuilder, number, powerOf, type Rule, reshapeOf, word } from './net.js';

const eltwise =
  (operation: 'SUM' | 'PROD' | 'MAX', coeff?: readonly number[]): Rule =>
  (layer, net) => {
    const constant = layer.weights.operand;
    if (constant) return withConstant(layer, net, constant);
    const shapes = layer.inputs.map((value) => net.shape(value));
    if (layer.op === 'Mul' && isPerChannel(shapes)) return scaledByChannels(layer, net);
    if (layer.inputs.length === 1) return net.add(layer, 'Split', {});
    const bottoms = alike(layer, net);
    return typeof bottoms === 'string' ? bottoms : net.add(layer, 'Eltwise', eltwiseOf(operation, coeff), [], bottoms);
  };

/** One factor for each channel of each picture, as squeeze-and-excitation has it. */
function isPerChannel([x, factors]: readonly (readonly Dim[])[]): boolean {
  if (!x || !factors || x.join() === factors.join()) return false;
  return factors.length === x.length && factors.every((size, axis) => (axis < 2 ? size === x[axis] : size === 1));
}

/** Scale takes its factors from a second bottom, whose axes are the leading ones. */
function scaledByChannels(layer: Layer, net: NetBuilder): null {
  const [x, factors] = layer.inputs.map((value) => net.blob(value)) as [string, string];
  const rows = net.before(layer, 'factors', 'Flatten', {}, [], [factors]);
  return net.add(layer, 'Scale', { scale_param: { axis: 0 } }, [], [x, rows]);
}

/** The blobs of a layer's inputs, each repeated along the axes that others have more of: Caffe combines blobs of one shape. */
function alike(layer: Layer, net: NetBuilder): readonly string[] | string {
  const shapes = layer.inputs.map((value) => net.shape(value));
  const wanted = net.shape(layer.outputs[0]!);
  const bottoms: string[] = [];
  for (const [i, value] of layer.inputs.entries()) {
    const aligned = [...new Array<Dim>(wanted.length - shapes[i]!.length).fill(1), ...shapes[i]!];
    let blob = net.blob(value);
    if (aligned.length !== shapes[i]!.length) {
      const dims = dimsFor(shapes[i]!, aligned);
      if (!dims) return `${layer.op} of values of different shapes (${shapes.map((shape) => `[${shape}]`).join(', ')})`;
      blob = net.before(layer, `aligned${i}`, 'Reshape', reshapeOf(dims), [], [blob]);
    }
    for (const [axis, size] of wanted.entries()) {
      if (aligned[axis] === size) continue;
      // The batch of a Caffe net is the caller's to change.
      if (typeof size === 'string' || axis === 0) return `${layer.op} of values of different shapes (${shapes.map((shape) => `[${shape}]`).join(', ')})`;
      blob = net.before(layer, `repeated${i}`, 'Tile', { tile_param: { axis, tiles: size } }, [], [blob]);
    }
    bottoms.push(blob);
  }
  return bottoms;
}

/** The axes that a constant has elements along, where they stand together: Scale and Bias repeat it over the others. */
function coveredBy(constant: Tensor, shape: readonly Dim[]): { axis: number; sizes: readonly number[] } | null {
  if (constant.shape.length > shape.length) return null;
  const aligned = [...new Array<number>(shape.length - constant.shape.length).fill(1), ...constant.shape];
  const long = [...aligned.keys()].filter((axis) => aligned[axis] !== 1);
  if (long.length === 0) return null;
  const [first, last] = [long[0]!, long.at(-1)!];
  const sizes = aligned.slice(first, last + 1);
  return sizes.every((size, i) => size === shape[first + i]) ? { axis: first, sizes } : null;
}

/** A constant along axes that stand together is a Scale or a Bias; a single one is one for each channel. */
function withConstant(layer: Layer, net: NetBuilder, constant: Tensor): string | null {
  const shape = net.shape(layer.inputs[0]!);
  const isSingle = elementCount(constant.shape) === 1;
  const channels = shape[1];
  if (isSingle && typeof channels !== 'number') return `${layer.op} with a constant over a free number of channels`;
  const covered = isSingle ? { axis: 1, sizes: [channels as number] } : coveredBy(constant, shape);
  if (!covered) return `${layer.op} with a constant of the shape [${constant.shape}] for a value of the shape [${shape}]; Caffe repeats one over whole axes`;
  const { axis, sizes } = covered;
  const row = isSingle ? repeated(constant, channels as number) : reshape(constant, sizes);
  const settings = { axis, ...(sizes.length === 1 ? {} : { num_axes: sizes.length }) };
  const x = net.blob(layer.inputs[0]!);
  if (layer.op === 'Mul') return net.add(layer, 'Scale', { scale_param: settings }, [row]);
  if (layer.op === 'Add') return net.add(layer, 'Bias', { bias_param: settings }, [row]);
  if (layer.op === 'Sub') {
    // x - c = -(-x + c): the constant stays as it is.
    const turned = net.before(layer, 'negative', 'Power', powerOf({ scale: -1 }), [], [x]);
    return net.add(layer, 'Power', powerOf({ scale: -1 }), [], [net.before(layer, 'sum', 'Bias', { bias_param: settings }, [row], [turned])]);
  }
  return `${layer.op} with a constant, which Caffe's layers do not have`;
}

function repeated(tensor: Tensor, count: number): Tensor {
  const { walk, ...rest } = reshape(tensor, [1]);
  return { ...rest, shape: [count], walk: { ...walk, axes: [[{ size: count, stride: 0 }]] } };
}

/** What a Reduction makes of all axes from one on, or a pooling of a picture's, or a convolution of its channels. */
const reduced =
  (operation: 'MEAN' | 'SUM' | 'MAX'): Rule =>
  (layer, net) => {
    const shape = net.shape(layer.inputs[0]!);
    const given = layer.attributes.axes as readonly number[] | undefined;
    if (!given || layer.inputs.length > 1) return `${layer.op} over axes that are not written down, or all of them`;
    const axes = given.map((axis) => front(axis, shape.length)).sort((a, b) => a - b);
    const [first] = axes;
    const trailing = axes.every((axis, i) => axis === shape.length - axes.length + i);
    const dims = dimsFor(shape.slice(0, shape.length - axes.length), net.shape(layer.outputs[0]!));
    if (!dims) return `${layer.op} that leaves several axes of free size`;
    const x = net.blob(layer.inputs[0]!);
    const keeps = layer.attributes.keepdims !== 0;
    /** The reduced axes are there with one element each, or gone. */
    const end = (type: string, settings: CaffeLayer['settings'], blobs: readonly Tensor[], isKept: boolean) =>
      isKept === keeps
        ? net.add(layer, type, settings, blobs, [x])
        : net.add(layer, 'Reshape', reshapeOf(dims), [], [net.before(layer, 'all', type, settings, blobs, [x])]);
    if (operation !== 'SUM' && shape.length === 4 && axes.join() === '2,3')
      return end('Pooling', { pooling_param: { pool: word(operation === 'MAX' ? 'MAX' : 'AVE'), global_pooling: true } }, [], true);
    if (operation !== 'MAX' && trailing && first! > 0) return end('Reduction', { reduction_param: { operation: word(operation), axis: first! } }, [], false);
    const channels = shape[1];
    if (operation !== 'MAX' && shape.length === 4 && axes.join() === '1' && typeof channels === 'number') {
      const kernel = constantBlob('sum', [1, channels, 1, 1], operation === 'MEAN' ? 1 / channels : 1);
      return end('Convolution', { convolution_param: { num_output: 1, bias_term: false, kernel_size: 1 } }, [kernel], true);
    }
    return `${layer.op} over the axes [${axes}] of [${shape}]; Caffe reduces all axes from one on`;
  };

export const arithmetic: Readonly<Record<string, Rule>> = {
  Add: eltwise('SUM'),
  Sub: eltwise('SUM', [1, -1]),
  Mul: eltwise('PROD'),
  Max: eltwise('MAX'),
  Sum: eltwise('SUM'),
  Div: (layer, net) => {
    if (layer.weights.operand) return "Div by a constant, which Caffe's layers do not have";
    const bottoms = alike(layer, net);
    if (typeof bottoms === 'string') return bottoms;
    const inverse = net.before(layer, 'inverse', 'Power', powerOf({ power: -1 }), [], [bottoms[1]!]);
    return net.add(layer, 'Eltwise', eltwiseOf('PROD'), [], [bottoms[0]!, inverse]);
  },
  Min: (layer, net) => {
    const bottoms = alike(layer, net);
    if (typeof bottoms === 'string') return bottoms;
    const turned = bottoms.map((bottom, i) => net.before(layer, `negative${i}`, 'Power', powerOf({ scale: -1 }), [], [bottom]));
    return net.add(layer, 'Power', powerOf({ scale: -1 }), [], [net.before(layer, 'most', 'Eltwise', eltwiseOf('MAX'), [], turned)]);
  },
  Mean: (layer, net) => {
    const bottoms = alike(layer, net);
    const share = 1 / layer.inputs.length;
    return typeof bottoms === 'string'
      ? bottoms
      : net.add(
          layer,
          'Eltwise',
          eltwiseOf(
            'SUM',
            bottoms.map(() => share),
          ),
          [],
          bottoms,
        );
  },
  ReduceMean: reduced('MEAN'),
  ReduceSum: reduced('SUM'),
  ReduceMax: reduced('MAX'),
};

/** Each row, the axes from one on, minus its mean and over its deviation: the name of the blob. */
export function standardised(
  layer: Layer,
  net: NetBuilder,
  x: string,
  { axis, count, epsilon, centred = true }: { axis: number; count: number; epsilon: number; centred?: boolean },
): string {
  let rows = x;
  if (centred) {
    const mean = net.before(layer, 'mean', 'Reduction', { reduction_param: { operation: word('MEAN'), axis, coeff: -1 } }, [], [x]);
    rows = net.before(layer, 'centred', 'Bias', { bias_param: { axis: 0 } }, [], [x, mean]);
  }
  const variance = net.before(layer, 'variance', 'Reduction', { reduction_param: { operation: word('SUMSQ'), axis, coeff: 1 / count } }, [], [rows]);
  const inverse = net.before(layer, 'inverse', 'Power', powerOf({ shift: epsilon, power: -0.5 }), [], [variance]);
  return net.before(layer, 'unit', 'Scale', { scale_param: { axis: 0 } }, [], [rows, inverse]);
}

const sizesOf = (shape: readonly Dim[]) => (shape.every((size) => typeof size === 'number') ? (shape as readonly number[]) : null);
const FREE = 'over axes of free size; --input-shape gives them';

/** Normalisations whose statistics are those of what flows in. */
export const normalisation: Readonly<Record<string, Rule>> = {
  LayerNormalization: (layer, net) => overRows(layer, net, true),
  RMSNormalization: (layer, net) => overRows(layer, net, false),
  InstanceNormalization: (layer, net) => overChannels(layer, net, null),
  GroupNormalization: (layer, net) => overChannels(layer, net, number(layer, 'num_groups')),
};

function overRows(layer: Layer, net: NetBuilder, centred: boolean): string | null {
  const shape = net.shape(layer.inputs[0]!);
  const axis = front(number(layer, 'axis'), shape.length);
  const sizes = sizesOf(shape.slice(axis));
  if (axis === 0 || !sizes) return `${layer.op} ${axis === 0 ? 'over the batch' : FREE}`;
  const { scale, bias } = layer.weights;
  if (!scale || [scale, bias].some((weight) => weight && weight.shape.join() !== sizes.join()))
    return `${layer.op} whose factors are not of the shape [${sizes}]`;
  const unit = standardised(layer, net, net.blob(layer.inputs[0]!), { axis, count: elementCount(sizes), epsilon: number(layer, 'epsilon'), centred });
  const settings = { axis, num_axes: sizes.length, ...(bias ? { bias_term: true } : {}) };
  return net.add(layer, 'Scale', { scale_param: settings }, bias ? [scale, bias] : [scale], [unit]);
}

/** @param groups channels are normalised so many groups at a time; null for each on its own */
function overChannels(layer: Layer, net: NetBuilder, groups: number | null): string | null {
  const shape = net.shape(layer.inputs[0]!);
  const sizes = sizesOf(shape.slice(1));
  const { scale, bias } = layer.weights;
  if (!sizes || !scale || !bias) return `${layer.op} ${FREE}`;
  const count = elementCount(sizes) / (groups ?? sizes[0]!);
  const x = net.blob(layer.inputs[0]!);
  const rows = groups === null ? x : net.before(layer, 'groups', 'Reshape', reshapeOf([0, groups, count]), [], [x]);
  const unit = standardised(layer, net, rows, { axis: 2, count, epsilon: number(layer, 'epsilon') });
  const back = groups === null ? unit : net.before(layer, 'channels', 'Reshape', reshapeOf([0, ...sizes]), [], [unit]);
  return net.add(layer, 'Scale', { scale_param: { axis: 1, bias_term: true } }, [scale, bias], [back]);
}
