/** Convolutions and poolings: padding in TensorFlow's words, or as margins that are added before. */
import type { Dim, Layer } from '../../model/layer-map.js';
import { windowedSize } from '../../model/ops/index.js';
import { float32Tensor, permute, reshape, sliceAxis, type Tensor } from '../../model/tensor.js';
import type { Lowering } from './lowering.js';
import { channelsLast, type Placement } from './placement.js';
import { type FileValue, type FileWeight, inexpressible, knownSize, type Margins, product, type WindowPadding } from './target.js';

const numbers = (layer: Layer, name: string): readonly number[] => layer.attributes[name] as readonly number[];

const ones = (values: readonly unknown[]): number[] => values.map(() => 1);

export function placedLast(value: FileValue): Placement {
  return { kind: 'axes', value, order: channelsLast(value.shape.length) };
}

/** One spatial axis under a window. */
interface WindowAxis {
  readonly size: number | null;
  readonly kernel: number;
  /** Of the window with its gaps. */
  readonly extent: number;
  readonly stride: number;
}

export function windowAxes(layer: Layer, spatial: readonly Dim[]): WindowAxis[] {
  const kernel = numbers(layer, 'kernel_shape');
  const dilations = numbers(layer, 'dilations') ?? ones(kernel);
  return kernel.map((size, axis) => ({
    size: knownSize(spatial[axis]),
    kernel: size,
    extent: (size - 1) * dilations[axis]! + 1,
    stride: numbers(layer, 'strides')[axis]!,
  }));
}

/** What TensorFlow's SAME puts around an axis; null where that depends on a size that is free. */
function sameMargin({ size, extent, stride }: WindowAxis): readonly [number, number] | null {
  if (size === null && stride !== 1) return null;
  const total = size === null ? extent - 1 : Math.max((Math.ceil(size / stride) - 1) * stride + extent - size, 0);
  return [Math.floor(total / 2), Math.ceil(total / 2)];
}

interface Padding {
  readonly padding: WindowPadding;
  /** Of the spatial axes, to be added before; null where there is nothing to add. */
  readonly margins: Margins | null;
}

const VALID: Padding = { padding: 'valid', margins: null };

/** @param asNumbers whether the margins must be added before */
export function convolutionPadding(layer: Layer, axes: readonly WindowAxis[], asNumbers: boolean): Padding {
  const inNumbers = asNumbers || isShifted(axes) || isMisread(axes);
  const mode = layer.attributes.auto_pad;
  if (mode === 'VALID') return VALID;
  const same = axes.map(sameMargin);
  const sameOrNull = same.every((margin) => margin !== null) ? same : null;
  let margins: Margins;
  if (mode === 'NOTSET') {
    const pads = numbers(layer, 'pads');
    margins = axes.map((_, axis) => [pads[axis]!, pads[axis + axes.length]!]);
  } else {
    if (!sameOrNull) {
      if (mode === 'SAME_UPPER' && !inNumbers) return { padding: 'same', margins: null };
      throw inexpressible(`auto_pad ${mode} over axes of free size; give them with --input-shape`);
    }
    margins = mode === 'SAME_UPPER' ? sameOrNull : sameOrNull.map(([less, more]) => [more, less]);
  }
  if (margins.every(([before, after]) => before === 0 && after === 0)) return VALID;
  if (!inNumbers && sameOrNull && axes.every((axis, i) => givesSame(axis, margins[i]!, sameOrNull[i]!))) return { padding: 'same', margins: null };
  return { padding: 'valid', margins };
}

/** Whether a margin gives what SAME gives: the same first window, and as many of them. */
function givesSame({ size, extent, stride }: WindowAxis, margin: readonly [number, number], same: readonly [number, number]): boolean {
  if (margin[0] !== same[0]) return false;
  if (size === null) return margin[1] === same[1];
  return Math.floor((size + margin[0] + margin[1] - extent) / stride) + 1 === Math.ceil(size / stride);
}

/**
 * Whether TensorFlow.js (4.22) would move the windows over a volume: where the last one ends before the volume does, SAME there cuts off in front
 * what it should leave out behind.
 */
function isShifted(axes: readonly WindowAxis[]): boolean {
  return axes.length === 3 && axes.some((axis) => (axis.size === null ? axis.stride > axis.extent : endsBefore(axis)));
}

/**
 * Whether the WebAssembly kernels for convolutions of pictures (4.22) would take what is none of the picture: with SAME, where the last
 * window ends before the picture does along one axis, and the other has a margin.
 */
function isMisread(axes: readonly WindowAxis[]): boolean {
  return axes.length === 2 && axes.some(endsBefore) && axes.some((axis) => sameMargin(axis)?.some((amount) => amount > 0));
}

function endsBefore({ size, extent, stride }: WindowAxis): boolean {
  return size !== null && (Math.ceil(size / stride) - 1) * stride + extent < size;
}

export function withChannels(margins: Margins): Margins {
  return [[0, 0], ...margins, [0, 0]];
}

export function conv(layer: Layer, lowering: Lowering): Placement {
  const { target } = lowering;
  const kernel = layer.weights.kernel!;
  const rank = kernel.shape.length - 2;
  if (rank < 1 || rank > 3) lowering.decline(`a convolution over ${rank} axes; TensorFlow.js has them over one to three`);
  let x = lowering.last(layer.inputs[0]!);
  const strides = numbers(layer, 'strides');
  const dilations = numbers(layer, 'dilations');
  // TensorFlow.js does either, so where both are wanted the strides are taken afterwards.
  const isBoth = strides.some((stride) => stride > 1) && dilations.some((dilation) => dilation > 1);
  const { padding, margins } = convolutionPadding(layer, windowAxes(layer, x.shape.slice(1, -1)), isBoth);
  if (margins) x = target.pad(x, withChannels(margins), 'constant', 0);
  const steps = isBoth ? ones(strides) : strides;
  const made = grouped(layer, lowering, x, { strides: steps, dilations, padding });
  return placedLast(isBoth ? target.subsample(made, strides) : made);
}

interface Steps {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padding: WindowPadding;
}

export function grouped(layer: Layer, lowering: Lowering, x: FileValue, steps: Steps): FileValue {
  const { target } = lowering;
  const kernel = layer.weights.kernel!;
  const rank = kernel.shape.length - 2;
  const group = layer.attributes.group as number;
  const bias = layer.weights.bias ? lowering.weight(layer, 'bias', 'bias', 'plain') : null;
  if (group === 1) {
    const form = { ...steps, kernel: lowering.weight(layer, 'kernel', 'kernel', 'window in out', windowInOut), bias };
    return target.convolution(x, form);
  }
  const perGroup = kernel.shape[0]! / group;
  if (kernel.shape[1] === 1 && rank <= 2) {
    // One line of a picture is a picture.
    const flat = rank === 1;
    const depthwise = (tensor: Tensor) => {
      const split = reshape(tensor, [group, perGroup, ...(flat ? [1] : []), ...tensor.shape.slice(2)]);
      return permute(split, [2, 3, 0, 1]);
    };
    const form = {
      kernel: lowering.weight(layer, 'kernel', 'kernel', 'window in multiplier', depthwise),
      bias,
      strides: flat ? [1, ...steps.strides] : steps.strides,
      dilations: flat ? [1, ...steps.dilations] : steps.dilations,
      padding: steps.padding,
    };
    if (target.hasDepthwise(form)) {
      if (!flat) return target.depthwise(x, form);
      const [batch, length, channels] = x.shape;
      const made = target.depthwise(target.reshape(x, [batch!, 1, length!, channels!]), form);
      return target.reshape(made, made.shape.toSpliced(1, 1));
    }
  }
  if (target.hasGroups) {
    const form = { ...steps, kernel: lowering.weight(layer, 'kernel', 'kernel', 'window in out', windowInOut), bias };
    return target.convolution(x, { ...form, groups: group });
  }
  const channels = kernel.shape[1]!;
  const made = Array.from({ length: group }, (_, g) => {
    const part = (role: string, kind: 'kernel' | 'bias', change: (tensor: Tensor) => Tensor): FileWeight =>
      lowering.weight(layer, role, kind, `group ${g}`, (tensor) => change(sliceAxis(tensor, 0, g * perGroup, (g + 1) * perGroup)));
    return target.convolution(target.slice(x, x.shape.length - 1, g * channels, (g + 1) * channels), {
      ...steps,
      kernel: part('kernel', 'kernel', windowInOut),
      bias: bias && part('bias', 'bias', (tensor) => tensor),
    });
  });
  return target.concat(made, x.shape.length - 1);
}

/** [out, in, ...window] to [...window, in, out]. */
function windowInOut(kernel: Tensor): Tensor {
  return permute(kernel, [...kernel.shape.slice(2).map((_, axis) => axis + 2), 1, 0]);
}

export function convTranspose(layer: Layer, lowering: Lowering): Placement {
  const { target } = lowering;
  const kernel = layer.weights.kernel!;
  const rank = kernel.shape.length - 2;
  if (rank < 1 || rank > 2) lowering.decline(`a transposed convolution over ${rank} axes; TensorFlow.js has them over one or two in every form`);
  if (numbers(layer, 'dilations').some((dilation) => dilation > 1)) lowering.decline('a dilated transposed convolution');
  if (String(layer.attributes.auto_pad).startsWith('SAME')) lowering.decline(`auto_pad ${layer.attributes.auto_pad}: its padding must be given in numbers`);
  let x = lowering.last(layer.inputs[0]!);
  const line = rank === 1;
  if (line) x = target.reshape(x, [x.shape[0]!, 1, x.shape[1]!, x.shape[2]!]);
  const square = (values: readonly number[], one: number) => (line ? [one, ...values] : values);
  const [window, strides, extra] = [
    square(numbers(layer, 'kernel_shape'), 1),
    square(numbers(layer, 'strides'), 1),
    square(numbers(layer, 'output_padding'), 0),
  ];
  const pads = numbers(layer, 'pads');
  const begin = square(pads.slice(0, rank), 0);
  const end = square(pads.slice(rank), 0);
  // TensorFlow fills up to a whole stride. What is too much is cut off; what is missing comes from a row of zeros more.
  const surplus = window.map((size, axis) => Math.max(strides[axis]! - size, 0) + end[axis]! - extra[axis]!);
  const rows = surplus.map((amount, axis) => Math.ceil(Math.max(-amount, 0) / strides[axis]!));
  const cut = surplus.map((amount, axis) => [begin[axis]!, amount + rows[axis]! * strides[axis]!] as const);
  const zeros = rows.map((count) => [0, count] as const);
  if (rows.some((count) => count > 0)) x = target.pad(x, withChannels(zeros), 'constant', 0);
  const group = layer.attributes.group as number;
  const [inAll, out] = kernel.shape as [number, number];
  const inGroup = inAll / group;
  const parts = Array.from({ length: group }, (_, g) => {
    const layout = (tensor: Tensor) => {
      const own = sliceAxis(tensor, 0, g * inGroup, (g + 1) * inGroup);
      const asPicture = line ? reshape(own, [inGroup, out, 1, window[1]!]) : own;
      return permute(asPicture, [2, 3, 1, 0]);
    };
    const own = group === 1 ? x : target.slice(x, 3, g * inGroup, (g + 1) * inGroup);
    return target.transposedConvolution(own, {
      kernel: lowering.weight(layer, 'kernel', 'kernel', `group ${g} of ${group}`, layout),
      bias: layer.weights.bias
        ? lowering.weight(layer, 'bias', 'bias', `group ${g} of ${group}`, (tensor) => sliceAxis(tensor, 0, g * out, (g + 1) * out))
        : null,
      strides,
    });
  });
  let made = group === 1 ? parts[0]! : target.concat(parts, 3);
  if (cut.some((amounts) => amounts.some((amount) => amount !== 0))) {
    const margins = cut.map(([before, after]) => [-before, -after] as const);
    made = target.pad(made, withChannels(margins), 'constant', 0);
  }
  return placedLast(line ? target.reshape(made, made.shape.toSpliced(1, 1)) : made);
}

export function maxPool(layer: Layer, lowering: Lowering): Placement {
  return pool(layer, lowering, 'max');
}

export function averagePool(layer: Layer, lowering: Lowering): Placement {
  return pool(layer, lowering, 'average');
}

function pool(layer: Layer, lowering: Lowering, kind: 'max' | 'average'): Placement {
  const { target } = lowering;
  const x = lowering.last(layer.inputs[0]!);
  const size = numbers(layer, 'kernel_shape');
  const strides = numbers(layer, 'strides');
  if (size.length > 3) lowering.decline(`a pooling over ${size.length} axes`);
  const axes = windowAxes(layer, x.shape.slice(1, -1));
  if (axes.some(({ kernel, extent }) => extent !== kernel)) lowering.decline('a dilated pooling');
  const form = { kind, size, strides };
  const { margins, asked } = poolMargins(layer, axes);
  if (margins === 'same' || margins === 'valid') return placedLast(target.pool(x, { ...form, padding: margins }));
  const countsPadding = kind === 'average' && layer.attributes.count_include_pad === 1;
  const isNothing = margins.every(([before, after]) => before === 0 && after === 0);
  const isSame = !isShifted(axes) && axes.every((axis, i) => givesSame(axis, margins[i]!, sameMargin(axis) ?? [-1, -1]));
  if (isNothing || (isSame && !countsPadding)) return placedLast(target.pool(x, { ...form, padding: isNothing ? 'valid' : 'same' }));
  if (kind === 'max') {
    if (axes.some(({ kernel }, i) => margins[i]!.some((amount) => amount >= kernel))) lowering.decline('a window lies in the padding as a whole');
    const padded = target.padForMaximum(x, withChannels(margins), lowering.isNonNegative(layer.inputs[0]!));
    return placedLast(target.pool(padded, { ...form, padding: 'valid' }));
  }
  const isFree = axes.some((axis) => axis.size === null);
  if (isFree && !countsPadding) throw inexpressible(FREE_PADDING);
  // Windows reach as far as the padding that counts.
  const shares = isFree ? [1] : countShares(axes, margins, countsPadding ? asked : null);
  if (shares.every((share) => share === 1)) {
    const padded = target.pad(x, withChannels(margins), 'constant', 0);
    return placedLast(target.pool(padded, { ...form, padding: 'valid' }));
  }
  const outSizes = axes.map((axis, i) => (axis.size! + margins[i]![0] + margins[i]![1] - axis.kernel) / axis.stride + 1);
  const factors = float32Tensor('factors', [...outSizes.map(Math.floor), 1], shares, { file: 'weighbridge' });
  return placedLast(target.weightedAverage(x, withChannels(margins), { ...form, padding: 'valid' }, factors));
}

const FREE_PADDING = 'padding or rounding up over axes of free size; give them with --input-shape';

/**
 * The margins that a pooling needs: what the layer asks for, without what no window reaches, and with what windows reach beyond it when
 * their number is rounded up.
 */
function poolMargins(layer: Layer, axes: readonly WindowAxis[]): { margins: Margins | WindowPadding; asked: Margins } {
  const mode = layer.attributes.auto_pad;
  const pads = numbers(layer, 'pads');
  const isFree = axes.some(({ size }) => size === null);
  const none: Margins = axes.map(() => [0, 0]);
  if (mode === 'VALID' && !layer.attributes.ceil_mode) return { margins: 'valid', asked: none };
  if (isFree) {
    if (mode === 'SAME_UPPER' && !layer.attributes.count_include_pad && !isShifted(axes)) return { margins: 'same', asked: none };
    const ends = axes.map((_, i) => pads[i + axes.length]!);
    // One window more is there wherever so much is added behind, and none of them lies behind the picture.
    const isRounded = layer.attributes.ceil_mode === 1;
    const mayRound = layer.op === 'MaxPool' && axes.every(({ kernel, stride }, i) => ends[i]! + stride <= kernel);
    if (mode !== 'NOTSET' || (isRounded && !mayRound)) throw inexpressible(FREE_PADDING);
    const given: Margins = axes.map(({ stride }, i) => [pads[i]!, ends[i]! + (isRounded ? stride - 1 : 0)]);
    if (given.flat().every((pad) => pad === 0)) return { margins: 'valid', asked: none };
    return { margins: given, asked: given };
  }
  const asked: Margins = axes.map((axis, i) => {
    if (mode === 'VALID') return [0, 0];
    if (mode === 'NOTSET') return [pads[i]!, pads[i + axes.length]!];
    const [less, more] = sameMargin(axis)!;
    return mode === 'SAME_UPPER' ? [less, more] : [more, less];
  });
  const margins: Margins = axes.map(({ size, kernel, stride }, i) => {
    const count = windowedSize(size!, i, layer) as number;
    return [asked[i]![0], Math.max(0, (count - 1) * stride + kernel - size! - asked[i]![0])];
  });
  return { margins, asked };
}

/**
 * By how much the mean over a whole window is to be multiplied at each place: the window's size over the number of elements that count.
 *
 * @param counted margin whose elements count too; null where only the picture's do
 */
function countShares(axes: readonly WindowAxis[], margins: Margins, counted: Margins | null): number[] {
  const perAxis = axes.map(({ size, kernel, stride }, i) => {
    const [before, after] = margins[i]!;
    const count = Math.floor((size! + before + after - kernel) / stride) + 1;
    const first = counted ? -counted[i]![0] : 0;
    const end = size! + (counted ? counted[i]![1] : 0);
    return Array.from({ length: count }, (_, at) => {
      const start = at * stride - before;
      return Math.min(start + kernel, end) - Math.max(start, first);
    });
  });
  const whole = product(axes.map(({ kernel }) => kernel));
  return perAxis.reduce<number[]>((shares, counts) => shares.flatMap((share) => counts.map((count) => share / count)), [whole]);
}
