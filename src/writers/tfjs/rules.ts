/** How each operator of the layer map is made from a target's operations, and in which order its values lie. */

import { identity, sameOrder } from '../../model/axis-order.js';
import { divideDim } from '../../model/dims.js';
import type { Dim, Layer } from '../../model/layer-map.js';
import { permute, reshape, type Tensor } from '../../model/tensor.js';
import type { Lowering, Made } from './lowering.js';
import { channelsLast, type Flattening, type Placement, toFileOrder } from './placement.js';
import { type FileValue, type FileWeight, knownSize, type Margins } from './target.js';
import { averagePool, conv, convTranspose, maxPool, placedLast } from './windows.js';

export type Rule = (layer: Layer, lowering: Lowering) => Placement;
/** Of layers with several outputs too. */
export type GeneralRule = (layer: Layer, lowering: Lowering) => Made;

const numbers = (layer: Layer, name: string): readonly number[] => layer.attributes[name] as readonly number[];

export const axesPlace = (value: FileValue): Placement => ({ kind: 'axes', value, order: identity(value.shape.length) });

/** The placement of something that leaves every element where it is. */
export const inPlace = (place: Placement, value: FileValue): Placement => ({ ...place, value });

export const front = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** A value whose axes are where they are, whatever their order. */
export function withAxes(value: string, lowering: Lowering): { value: FileValue; order: readonly number[] } {
  const place = lowering.place(value);
  if (place.kind === 'axes') return place;
  const order = place.kind === 'squeezed' ? channelsLast(place.rank) : identity(2);
  return { value: lowering.inOrder(value, order), order };
}

const unary: Rule = (layer, lowering) => {
  const place = lowering.place(layer.inputs[0]!);
  return inPlace(place, lowering.target.unary(place.value, layer.op, layer.attributes as Readonly<Record<string, number>>));
};

const alias: Rule = (layer, lowering) => lowering.place(layer.inputs[0]!);

/** A dense layer's input, and its kernel [out, in] with the columns in the order that the input has in the file. */
function features(layer: Layer, lowering: Lowering): { x: FileValue; flattening: Flattening | null } {
  const place = lowering.place(layer.inputs[0]!);
  if (place.kind === 'flattened') return { x: place.value, flattening: place };
  return { x: lowering.plain(layer.inputs[0]!), flattening: null };
}

const formName = (word: string, flattening: Flattening | null): string =>
  flattening ? `${word} after [${flattening.sizes}] in order [${flattening.order}]` : word;

const gemm: Rule = (layer, lowering) => {
  const { x, flattening } = features(layer, lowering);
  const kernel = lowering.weight(layer, 'kernel', 'kernel', formName('in out', flattening), (tensor) =>
    permute(flattening ? toFileOrder(tensor, 1, flattening) : tensor, [1, 0]),
  );
  const bias = layer.weights.bias ? lowering.weight(layer, 'bias', 'bias', 'plain') : null;
  return axesPlace(lowering.target.dense(x, kernel, bias));
};

const matMul: Rule = (layer, lowering) => {
  const [a, b] = layer.inputs;
  const rank = lowering.shape(a!).length;
  if (!layer.weights.kernel) return axesPlace(lowering.target.matMul(lowering.plain(a!), lowering.plain(b!)));
  if (lowering.place(a!).kind === 'flattened') {
    const { x, flattening } = features(layer, lowering);
    const kernel = lowering.weight(layer, 'kernel', 'kernel', formName('plain', flattening), (tensor) => toFileOrder(tensor, 0, flattening!));
    return axesPlace(lowering.target.dense(x, kernel, null));
  }
  const found = withAxes(a!, lowering);
  const order = found.order.at(-1) === rank - 1 ? found.order : identity(rank);
  const value = lowering.target.dense(lowering.inOrder(a!, order), lowering.weight(layer, 'kernel', 'kernel', 'plain'), null);
  return { kind: 'axes', value, order };
};

const gather: Rule = (layer, lowering) =>
  axesPlace(lowering.target.gather(lowering.plain(layer.inputs[0]!), lowering.weight(layer, 'table', 'kernel', 'plain')));

const batchNormalization: Rule = (layer, lowering) => {
  const place = lowering.place(layer.inputs[0]!);
  const flattening = place.kind === 'flattened' ? place : null;
  const weight = (role: string) =>
    lowering.weight(layer, role, 'other', formName('plain', flattening), (tensor) => (flattening ? toFileOrder(tensor, 0, flattening) : tensor));
  const weights = { scale: weight('scale'), bias: weight('bias'), mean: weight('mean'), variance: weight('variance') };
  const epsilon = layer.attributes.epsilon as number;
  if (flattening) return inPlace(place, lowering.target.normalise(place.value, weights, epsilon));
  return placedLast(lowering.target.normalise(lowering.last(layer.inputs[0]!), weights, epsilon));
};

const lrn: Rule = (layer, lowering) => {
  const { size, alpha, beta, bias } = layer.attributes as Readonly<Record<string, number>>;
  if (size! % 2 === 0) lowering.decline(`an LRN over ${size} channels; TensorFlow.js has as many neighbours on both sides`);
  const x = lowering.last(layer.inputs[0]!);
  return placedLast(lowering.target.localResponse(x, { radius: (size! - 1) / 2, bias: bias!, alpha: alpha! / size!, beta: beta! }));
};

/** A tensor that broadcasts to a value of `rank` axes, with as many axes, in the file's order. */
function broadcast(tensor: Tensor, rank: number, order: readonly number[]): Tensor {
  const full = reshape(tensor, [...new Array(rank - tensor.shape.length).fill(1), ...tensor.shape]);
  return permute(full, order);
}

/** A weight that broadcasts to the value, and the value in an order in which it can. */
function operand(layer: Layer, role: string, lowering: Lowering): { place: Placement; weight: FileWeight } {
  const [input] = layer.inputs;
  const tensor = layer.weights[role]!;
  const rank = Math.max(lowering.shape(input!).length, tensor.shape.length);
  const place = lowering.place(input!);
  if (place.kind === 'flattened' && rank === 2) {
    const isOne = tensor.shape.every((size) => size === 1);
    const change = (own: Tensor) => broadcast(isOne ? own : toFileOrder(own, own.shape.length - 1, place), 2, [0, 1]);
    if (isOne || tensor.shape.slice(0, -1).every((size) => size === 1))
      return { place, weight: lowering.weight(layer, role, 'other', formName('operand', place), change) };
  }
  const order = operandOrder(input!, tensor, rank, role, lowering);
  const value = lowering.inOrder(input!, order);
  const full = rank > order.length ? identity(rank) : order;
  const weight = lowering.weight(layer, role, 'other', `operand [${full}]`, (own) => broadcast(own, rank, full));
  return { place: { kind: 'axes', value, order: full }, weight };
}

function operandOrder(input: string, { shape }: Tensor, rank: number, role: string, lowering: Lowering): readonly number[] {
  const own = lowering.shape(input).length;
  if (rank > own) return identity(own);
  const { order } = withAxes(input, lowering);
  const moving = shape.flatMap((size, axis) => (size === 1 ? [] : [axis + rank - shape.length]));
  if (lowering.target.anyOrder) return order;
  // What the weight varies along comes last, as the weight has it. Slopes have the value's own axes: TensorFlow.js's WebAssembly kernel (4.22)
  // repeats them from the last axis on, wherever their shape puts them.
  const last = role === 'slope' ? order.filter((axis) => moving.includes(axis)) : moving;
  return [...order.filter((axis) => !moving.includes(axis)), ...last];
}

const pRelu: Rule = (layer, lowering) => {
  const { place, weight } = operand(layer, 'slope', lowering);
  if (weight.tensor.shape.length !== place.value.shape.length || weight.tensor.shape[0] !== 1)
    lowering.decline(`a slope of the shape [${layer.weights.slope!.shape}], which reaches into the batch`);
  const slope = {
    ...weight,
    tensor: lowering.weight(layer, 'slope', 'other', `slope ${weight.tensor.shape}`, () => reshape(weight.tensor, weight.tensor.shape.slice(1))).tensor,
  };
  return inPlace(place, lowering.target.slope(place.value, slope));
};

/** Values with as many axes, in one order: that of the first one that has the most. */
export function common(values: readonly string[], lowering: Lowering): { values: FileValue[]; place: Placement } {
  const places = values.map((value) => lowering.place(value));
  const [first] = places;
  const isAlike = places.every(
    (place) => place.kind === 'flattened' && first!.kind === 'flattened' && sameOrder(place.order, first!.order) && sameOrder(place.sizes, first!.sizes),
  );
  if (isAlike) return { values: places.map(({ value }) => value), place: first! };
  const ranks = values.map((value) => lowering.shape(value).length);
  const rank = ranks.reduce((most, each) => Math.max(most, each), 0);
  const widest = values[ranks.indexOf(rank)]!;
  const order = ranks.every((other) => other === rank) ? withAxes(widest, lowering).order : identity(rank);
  const turned = values.map((value, i) => {
    if (ranks[i] === rank) return lowering.inOrder(value, order);
    const shape: readonly Dim[] = [...new Array<Dim>(rank - ranks[i]!).fill(1), ...lowering.shape(value)];
    return lowering.target.reshape(lowering.plain(value), shape);
  });
  return { values: turned, place: { kind: 'axes', value: turned[0]!, order } };
}

/** The map's shape of what a layer makes, in the file's order. */
function madeShape(layer: Layer, place: Placement, lowering: Lowering): readonly Dim[] {
  const shape = lowering.shape(layer.outputs[0]!);
  return place.kind === 'axes' ? place.order.map((axis) => shape[axis]!) : shape;
}

const binary: Rule = (layer, lowering) => {
  if (layer.weights.operand) {
    const { place, weight } = operand(layer, 'operand', lowering);
    return inPlace(place, lowering.target.withOperand(layer.op, place.value, weight, madeShape(layer, place, lowering)));
  }
  const { values, place } = common(layer.inputs, lowering);
  return inPlace(place, lowering.target.binary(layer.op, values[0]!, values[1]!, madeShape(layer, place, lowering)));
};

const variadic: Rule = (layer, lowering) => {
  if (layer.inputs.length === 1) return alias(layer, lowering);
  const { values, place } = common(layer.inputs, lowering);
  const op = layer.op === 'Sum' ? 'Add' : layer.op;
  const made = values.reduce((a, b) => lowering.target.binary(op, a, b, broadcastShape(a.shape, b.shape)));
  return inPlace(place, made);
};

export function broadcastShape(a: readonly Dim[], b: readonly Dim[]): Dim[] {
  return a.map((size, axis) => (size === 1 ? b[axis]! : size));
}

function softmax(isLog: boolean): Rule {
  return (layer, lowering) => {
    const [input] = layer.inputs;
    const rank = lowering.shape(input!).length;
    const axis = front(layer.attributes.axis as number, rank);
    const { order } = withAxes(input!, lowering);
    const wanted = order.at(-1) === axis ? order : [...order.filter((other) => other !== axis), axis];
    return { kind: 'axes', value: lowering.target.softmax(lowering.inOrder(input!, wanted), isLog), order: wanted };
  };
}

/** Means and maxima over some axes. */
function reduceOver(layer: Layer, lowering: Lowering, kind: 'mean' | 'max' | 'sum', axes: readonly number[], keep: boolean): Placement {
  const [input] = layer.inputs;
  const shape = lowering.shape(input!);
  const { target } = lowering;
  const kept = identity(shape.length).filter((axis) => !axes.includes(axis));
  if (target.anyOrder) {
    const { value, order } = withAxes(input!, lowering);
    const inFile = order.flatMap((axis, i) => (axes.includes(axis) ? [i] : []));
    const made = target.reduce(value, kind, inFile, keep);
    return { kind: 'axes', value: made, order: keep ? order : order.filter((axis) => !axes.includes(axis)).map((axis) => kept.indexOf(axis)) };
  }
  if (axes.includes(0)) lowering.decline('a reduction over the batch');
  const order = [0, ...axes.toSorted((a, b) => a - b), ...kept.slice(1)];
  const inFile = axes.map((_, i) => i + 1);
  const made = target.reduce(lowering.inOrder(input!, order), kind, inFile, false);
  if (!keep) return axesPlace(made);
  if (kept.length === 2 && kept[1] === 1) return { kind: 'squeezed', value: made, rank: shape.length };
  return axesPlace(target.reshape(made, lowering.shape(layer.outputs[0]!)));
}

/** The axes that a reduction folds: all where none are named. */
export function foldedAxes({ attributes }: Layer, rank: number): number[] {
  const axes = attributes.axes as readonly number[] | undefined;
  if (!axes?.length) return attributes.noop_with_empty_axes === 1 ? [] : identity(rank);
  return [...new Set(axes.map((axis) => front(axis, rank)))];
}

function reduction(kind: 'mean' | 'max' | 'sum'): Rule {
  return (layer, lowering) => {
    const rank = lowering.shape(layer.inputs[0]!).length;
    const axes = foldedAxes(layer, rank);
    if (kind === 'max' && axes.some((axis) => lowering.shape(layer.inputs[0]!)[axis] === 0))
      lowering.decline('a maximum of no elements, which is no number in TensorFlow.js');
    return reduceOver(layer, lowering, kind, axes, layer.attributes.keepdims === 1);
  };
}

function globalPool(kind: 'mean' | 'max'): Rule {
  return (layer, lowering) => reduceOver(layer, lowering, kind, identity(lowering.shape(layer.inputs[0]!).length).slice(2), true);
}

const flatten: Rule = (layer, lowering) => {
  const [input] = layer.inputs;
  const rank = lowering.shape(input!).length;
  const axis = front(layer.attributes.axis as number, rank);
  if (axis !== 1) return axesPlace(lowering.target.reshape(lowering.plain(input!), lowering.shape(layer.outputs[0]!)));
  return flattened(input!, lowering);
};

/** [batch, features] of a value. */
function flattened(input: string, lowering: Lowering): Placement {
  const place = lowering.place(input);
  const shape = lowering.shape(input);
  if (shape.length === 2) return place;
  if (place.kind === 'squeezed') return axesPlace(place.value);
  const { value, order } = withAxes(input, lowering);
  const sizes = value.shape.slice(1).map(knownSize);
  const moving = order.filter((axis) => axis !== 0 && shape[axis] !== 1);
  const isSorted = moving.every((axis, i) => i === 0 || axis > moving[i - 1]!);
  if (order[0] !== 0 || sizes.includes(null)) return axesPlace(lowering.target.flatten(lowering.plain(input)));
  const made = lowering.target.flatten(value);
  if (isSorted) return axesPlace(made);
  return { kind: 'flattened', value: made, sizes: sizes as number[], order: order.slice(1).map((axis) => axis - 1) };
}

const reshapeRule: Rule = (layer, lowering) => {
  const [input] = layer.inputs;
  const from = lowering.shape(input!);
  const to = lowering.shape(layer.outputs[0]!);
  if (from.length === to.length && from.every((size, axis) => size === to[axis])) return alias(layer, lowering);
  if (to.length === 2 && from.length > 2 && to[0] === from[0]) return flattened(input!, lowering);
  return axesPlace(lowering.target.reshape(lowering.plain(input!), to));
};

const transpose: Rule = (layer, lowering) => {
  const { value, order } = withAxes(layer.inputs[0]!, lowering);
  const perm = numbers(layer, 'perm');
  return { kind: 'axes', value, order: order.map((axis) => perm.indexOf(axis)) };
};

/** Of the last axis, so that a net with its channels there needs no other order. */
const channelShuffle: Rule = (layer, lowering) => {
  const x = lowering.last(layer.inputs[0]!);
  const groups = layer.attributes.groups as number;
  const channels = x.shape.at(-1) as number;
  const rank = x.shape.length;
  const dealt = lowering.target.transpose(lowering.target.reshape(x, [...x.shape.slice(0, -1), groups, channels / groups]), [
    ...identity(rank - 1),
    rank,
    rank - 1,
  ]);
  return placedLast(lowering.target.reshape(dealt, x.shape));
};

/** Blocks of pixels to channels or back, with the channels last: a reshape, an order of the six axes, a reshape. */
function blocks(layer: Layer, lowering: Lowering, shape: readonly Dim[], perm: readonly number[]): Placement {
  const { target } = lowering;
  const made = lowering.shape(layer.outputs[0]!);
  const parts = target.transpose(target.reshape(lowering.last(layer.inputs[0]!), shape), perm);
  return placedLast(
    target.reshape(
      parts,
      channelsLast(4).map((axis) => made[axis]!),
    ),
  );
}

const depthToSpace: Rule = (layer, lowering) => {
  const b = layer.attributes.blocksize as number;
  const [n, c, h, w] = lowering.shape(layer.inputs[0]!) as readonly [Dim, Dim, Dim, Dim];
  const inner = divideDim(c, b * b);
  return layer.attributes.mode === 'DCR'
    ? blocks(layer, lowering, [n, h, w, b, b, inner], [0, 1, 3, 2, 4, 5])
    : blocks(layer, lowering, [n, h, w, inner, b, b], [0, 1, 4, 2, 5, 3]);
};

const spaceToDepth: Rule = (layer, lowering) => {
  const b = layer.attributes.blocksize as number;
  const [n, c, h, w] = lowering.shape(layer.inputs[0]!) as readonly [Dim, Dim, Dim, Dim];
  const perm = layer.attributes.mode === 'DCR' ? [0, 1, 3, 2, 4, 5] : [0, 1, 3, 5, 2, 4];
  return blocks(layer, lowering, [n, divideDim(h, b), b, divideDim(w, b), b, c], perm);
};

const concat: Rule = (layer, lowering) => {
  const { value, order } = withAxes(layer.inputs[0]!, lowering);
  if (layer.inputs.length === 1) return { kind: 'axes', value, order };
  const axis = front(layer.attributes.axis as number, order.length);
  const values = layer.inputs.map((input) => lowering.inOrder(input, order));
  return { kind: 'axes', value: lowering.target.concat(values, order.indexOf(axis)), order };
};

const pad: Rule = (layer, lowering) => {
  const { value, order } = withAxes(layer.inputs[0]!, lowering);
  const pads = numbers(layer, 'pads');
  const margins: Margins = order.map((axis) => [pads[axis]!, pads[axis + order.length]!]);
  if (margins.every(([before, after]) => before === 0 && after === 0)) return { kind: 'axes', value, order };
  const made = lowering.target.pad(value, margins, layer.attributes.mode as string, layer.attributes.value as number);
  return { kind: 'axes', value: made, order };
};

const slice: Rule = (layer, lowering) => {
  const { value, order } = withAxes(layer.inputs[0]!, lowering);
  const axes = (layer.attributes.axes ? numbers(layer, 'axes') : identity(numbers(layer, 'starts').length)).map((axis) => front(axis, order.length));
  const made = axes.reduce((x, axis, i) => {
    const inFile = order.indexOf(axis);
    const size = knownSize(x.shape[inFile]);
    if (size === null) return lowering.decline(`a slice of an axis of free size ("${x.shape[inFile]}")`);
    const clamp = (at: number) => Math.max(0, Math.min(size, at < 0 ? at + size : at));
    const start = clamp(numbers(layer, 'starts')[i]!);
    // Nothing, where it ends before it begins: a size below zero is all that is left, to TensorFlow.js.
    const end = Math.max(start, clamp(numbers(layer, 'ends')[i]!));
    return start === 0 && end === size ? x : lowering.target.slice(x, inFile, start, end);
  }, value);
  return { kind: 'axes', value: made, order };
};

const resize: Rule = (layer, lowering) => {
  const { mode, coordinate_transformation_mode: coordinates, nearest_mode: rounding } = layer.attributes as Readonly<Record<string, string>>;
  const scales = numbers(layer, 'scales');
  const x = lowering.last(layer.inputs[0]!);
  const factors = channelsLast(scales.length)
    .slice(1, -1)
    .map((axis) => scales[axis]!);
  const made = lowering.shape(layer.outputs[0]!);
  const wanted = channelsLast(scales.length)
    .slice(1, -1)
    .map((axis) => made[axis]!);
  // Factors are worked out anew from both sizes: those that make no whole sizes of free ones would be others.
  const isExact = factors.every((factor, axis) => typeof wanted[axis] === 'number' || Number.isNaN(factor) || Number.isInteger(factor));
  if (!isExact) lowering.decline('a resize of axes of free size by no whole factors; give the sizes with --input-shape');
  const sizes = wanted;
  if (scales[0] !== 1 || scales[1] !== 1) lowering.decline('a resize of the batch or the channels');
  const isWhole = factors.every((factor) => Number.isInteger(factor) && factor >= 1);
  const halfPixel = coordinates === 'half_pixel' || coordinates === 'pytorch_half_pixel';
  // PyTorch's half pixels differ from ONNX's only where one pixel is made.
  const isOne = wanted.some((size, axis) => size === 1 && x.shape[axis + 1] !== 1);
  if (coordinates === 'pytorch_half_pixel' && isOne) lowering.decline(`interpolation to one pixel by ${coordinates}`);
  if (mode === 'nearest') {
    // For whole factors the centre of each new pixel lies within the old one, whichever way it is rounded.
    const isCentre = halfPixel && (isWhole ? rounding!.startsWith('round') : rounding === 'round_prefer_ceil');
    if (!isCentre && !(coordinates === 'asymmetric' && rounding === 'floor')) lowering.decline(`nearest neighbours by ${coordinates} and ${rounding}`);
    return placedLast(lowering.target.resize(x, factors, 'nearest', isCentre && !isWhole ? 'half-pixel' : 'asymmetric', sizes));
  }
  if (mode !== 'linear') lowering.decline(`interpolation ${mode}`);
  const sampling = halfPixel ? 'half-pixel' : coordinates === 'align_corners' ? 'corners' : coordinates === 'asymmetric' ? 'asymmetric' : null;
  if (sampling === null) return lowering.decline(`interpolation by ${coordinates}`);
  return placedLast(lowering.target.resize(x, factors, 'bilinear', sampling, sizes));
};

export const RULES: Readonly<Record<string, Rule>> = {
  Conv: conv,
  ConvTranspose: convTranspose,
  Gemm: gemm,
  MatMul: matMul,
  BatchNormalization: batchNormalization,
  Gather: gather,
  ...Object.fromEntries(
    [
      ...['Relu', 'LeakyRelu', 'ThresholdedRelu', 'Elu', 'Selu', 'Sigmoid', 'HardSigmoid', 'Tanh', 'Softplus', 'Softsign'],
      ...['Erf', 'Exp', 'Log', 'Abs', 'Neg', 'Sqrt', 'Clip'],
    ].map((op) => [op, unary]),
  ),
  PRelu: pRelu,
  Identity: alias,
  Softmax: softmax(false),
  LogSoftmax: softmax(true),
  LRN: lrn,
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalPool('mean'),
  GlobalMaxPool: globalPool('max'),
  Flatten: flatten,
  Reshape: reshapeRule,
  Transpose: transpose,
  ChannelShuffle: channelShuffle,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  Concat: concat,
  ...Object.fromEntries(['Add', 'Sub', 'Mul', 'Div', 'Pow'].map((op) => [op, binary])),
  ...Object.fromEntries(['Max', 'Min', 'Sum'].map((op) => [op, variadic])),
  ReduceMean: reduction('mean'),
  ReduceMax: reduction('max'),
  ReduceSum: reduction('sum'),
  Pad: pad,
  Slice: slice,
  Resize: resize,
};
