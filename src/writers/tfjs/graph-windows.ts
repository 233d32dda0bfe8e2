/** Convolutions and poolings beyond those that both TensorFlow.js forms have: kernels that flow, windows with gaps, transposition over volumes. */

import { identity } from '../../model/axis-order.js';
import type { Dim, Layer } from '../../model/layer-map.js';
import { float32Tensor, permute } from '../../model/tensor.js';
import { Formula, type GraphRule, slotValue } from './formula.js';
import type { GraphTarget } from './graph-target.js';
import { windowedShape } from './layers-target.js';
import type { Lowering } from './lowering.js';
import type { Placement } from './placement.js';
import { type FileValue, knownSize, knownSizes, type Margins, product } from './target.js';
import { convolutionPadding, placedLast, windowAxes, withChannels } from './windows.js';

const FLOAT = { type: 'DT_FLOAT' };
const INT = { type: 'DT_INT32' };
const numbers = (layer: Layer, name: string): readonly number[] => layer.attributes[name] as readonly number[];
const integers = (values: readonly number[]) => ({ list: { i: values.map(String) } });
/** Each element of a window is a slice of its own. */
const MOST_SLICES = 256;
/** Numbers beyond are not exact in float32, in which places are worked out. */
export const MOST_EXACT = 2 ** 24;

interface Steps {
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
}

/** Without padding. @param kernel [...window, in, out], or of one for each channel [...window, channels, multiplier] */
function plainConvolution(x: FileValue, kernel: FileValue, { strides, dilations }: Steps, graph: GraphTarget, isDepthwise = false): FileValue {
  if (strides.length === 1) {
    const [batch, length, channels] = x.shape;
    const square = graph.reshape(kernel, [1, ...kernel.shape]);
    const form = { strides: [1, ...strides], dilations: [1, ...dilations] };
    const made = plainConvolution(graph.reshape(x, [batch!, 1, length!, channels!]), square, form, graph, isDepthwise);
    return graph.reshape(made, made.shape.toSpliced(1, 1));
  }
  if (strides.some((stride) => stride > 1) && dilations.some((dilation) => dilation > 1)) {
    const all = strides.map(() => 1);
    return graph.subsample(plainConvolution(x, kernel, { strides: all, dilations }, graph, isDepthwise), strides);
  }
  const isVolume = strides.length === 3;
  const window = kernel.shape.slice(0, -2) as number[];
  const spatial = windowedShape(x.shape.slice(1, -1), { window, strides, dilations, padding: 'valid' });
  const attributes = {
    T: FLOAT,
    strides: integers([1, ...strides, 1]),
    dilations: integers([1, ...dilations, 1]),
    padding: { s: btoa('VALID') },
    data_format: { s: btoa(isVolume ? 'NDHWC' : 'NHWC') },
    ...(isVolume ? {} : { explicit_paddings: integers([]) }),
    ...(isVolume || isDepthwise ? {} : { use_cudnn_on_gpu: { b: true } }),
  };
  const [inputs, outputs] = kernel.shape.slice(-2) as [number, number];
  const op = isVolume ? 'Conv3D' : isDepthwise ? 'DepthwiseConv2dNative' : 'Conv2D';
  return graph.node(op, [x, kernel], attributes, [x.shape[0]!, ...spatial, isDepthwise ? inputs * outputs : outputs]);
}

/** @param kernel [...window, in of a group, out of all groups] */
function inGroups(x: FileValue, kernel: FileValue, group: number, steps: Steps, graph: GraphTarget): FileValue {
  if (group === 1) return plainConvolution(x, kernel, steps, graph);
  const last = x.shape.length - 1;
  const [channels, out] = kernel.shape.slice(-2) as [number, number];
  // One for each channel is an operator of its own; over volumes there is none.
  if (channels === 1 && last < 4) return plainConvolution(x, graph.reshape(kernel, [...kernel.shape.slice(0, -2), group, out / group]), steps, graph, true);
  const made = identity(group).map((g) =>
    plainConvolution(
      graph.slice(x, last, g * channels, (g + 1) * channels),
      graph.slice(kernel, last, (g * out) / group, ((g + 1) * out) / group),
      steps,
      graph,
    ),
  );
  return graph.concat(made, last);
}

/**
 * A layer's convolution of a value with its channels last.
 *
 * @param kernel [out, in of a group, ...window]
 */
export function convolved(x: FileValue, kernel: FileValue, layer: Layer, lowering: Lowering, graph: GraphTarget): FileValue {
  const rank = kernel.shape.length - 2;
  if (rank < 1 || rank > 3 || kernel.shape.some((size) => typeof size !== 'number')) lowering.decline(`a convolution with a kernel [${kernel.shape}]`);
  const { margins } = convolutionPadding(layer, windowAxes(layer, x.shape.slice(1, -1)), true);
  const padded = margins ? graph.pad(x, withChannels(margins), 'constant', 0) : x;
  const turned = graph.transpose(kernel, [...identity(rank).map((axis) => axis + 2), 1, 0]);
  return inGroups(padded, turned, layer.attributes.group as number, { strides: numbers(layer, 'strides'), dilations: numbers(layer, 'dilations') }, graph);
}

export function withBias(x: FileValue, layer: Layer, lowering: Lowering, graph: GraphTarget): Placement {
  const bias = slotValue(layer, 'bias', lowering, graph);
  return placedLast(bias ? new Formula(graph).add(x, bias) : x);
}

/** With a kernel that flows. */
export const flowingConv: GraphRule = (layer, lowering, graph) =>
  withBias(convolved(lowering.last(layer.inputs[0]!), slotValue(layer, 'kernel', lowering, graph)!, layer, lowering, graph), layer, lowering, graph);

/** The elements of each spatial axis with zeros between them, and behind the last. */
function spread(x: FileValue, strides: readonly number[], graph: GraphTarget): FileValue {
  return strides.reduce((value, stride, i) => {
    if (stride === 1) return value;
    const axis = i + 1;
    const inner = product(value.shape.slice(axis + 1) as number[]);
    const rows = graph.reshape(value, ['rows', 1, inner]);
    const padded = graph.pad(rows, [[0, 0], [0, stride - 1], [0, 0]], 'constant', 0); // biome-ignore format: one margin an axis
    return graph.reshape(padded, value.shape.with(axis, (value.shape[axis] as number) * stride));
  }, x);
}

/** The kernel of a transposed convolution: [...window, out of a group, in]. */
function windowOutIn(layer: Layer, lowering: Lowering, graph: GraphTarget): FileValue {
  const order = (rank: number) => [...identity(rank - 2).map((axis) => axis + 2), 1, 0];
  if (layer.weights.kernel)
    return graph.constant(
      'kernel',
      lowering.weight(layer, 'kernel', 'kernel', 'window out in', (tensor) => permute(tensor, order(tensor.shape.length))),
    );
  const flowing = slotValue(layer, 'kernel', lowering, graph)!;
  return graph.transpose(flowing, order(flowing.shape.length));
}

/** A transposed convolution as a convolution of what is spread, with the kernel the other way round: over volumes, with gaps, with a kernel that flows. */
export const spreadConvTranspose: GraphRule = (layer, lowering, graph) => {
  const kernel = windowOutIn(layer, lowering, graph);
  const rank = kernel.shape.length - 2;
  if (rank < 1 || rank > 3 || kernel.shape.some((size) => typeof size !== 'number'))
    lowering.decline(`a transposed convolution with a kernel [${kernel.shape}]`);
  if (layer.attributes.auto_pad !== 'NOTSET' && layer.attributes.auto_pad !== 'VALID')
    lowering.decline(`auto_pad ${layer.attributes.auto_pad}: its padding must be given in numbers`);
  const x = lowering.last(layer.inputs[0]!);
  knownSizes(x, 'a transposed convolution that is put together');
  const [strides, dilations, pads, extra] = ['strides', 'dilations', 'pads', 'output_padding'].map((name) => numbers(layer, name)) as [
    readonly number[],
    readonly number[],
    readonly number[],
    readonly number[],
  ];
  const window = kernel.shape.slice(0, rank) as number[];
  const margins: Margins = window.map((size, axis) => {
    const reach = (size - 1) * dilations[axis]!;
    return [reach - pads[axis]!, reach - pads[axis + rank]! + extra[axis]! - (strides[axis]! - 1)];
  });
  const padded = graph.pad(spread(x, strides, graph), withChannels(margins), 'constant', 0);
  // The window backwards, the groups one after the other among what comes out.
  const group = layer.attributes.group as number;
  const flipped = graph.node('ReverseV2', [kernel, graph.ints('window', identity(rank))], { T: FLOAT, Tidx: INT }, kernel.shape);
  const inputs = (kernel.shape.at(-1) as number) / group;
  const parts = identity(group).map((g) =>
    graph.transpose(group === 1 ? flipped : graph.slice(flipped, rank + 1, g * inputs, (g + 1) * inputs), [...identity(rank), rank + 1, rank]),
  );
  const whole = group === 1 ? parts[0]! : graph.concat(parts, rank + 1);
  return withBias(inGroups(padded, whole, group, { strides: strides.map(() => 1), dilations }, graph), layer, lowering, graph);
};

/** Statistics that flow. */
export const flowingBatchNormalization: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const x = lowering.last(layer.inputs[0]!);
  const [scale, bias, mean, variance] = ['scale', 'bias', 'mean', 'variance'].map((slot) => slotValue(layer, slot, lowering, graph)!) as [
    FileValue,
    FileValue,
    FileValue,
    FileValue,
  ];
  const factor = f.div(scale, f.one('Sqrt', f.add(variance, layer.attributes.epsilon as number)));
  return placedLast(f.add(f.mul(f.sub(x, mean), factor), bias));
};

/** For each place of a window along an axis how many of its elements lie between two bounds. */
function counts(
  size: number,
  { kernel, dilation, stride, before, low, high }: Readonly<Record<'kernel' | 'dilation' | 'stride' | 'before' | 'low' | 'high', number>>,
): number[] {
  return identity(size).map(
    (at) => identity(kernel).filter((k) => at * stride - before + k * dilation >= low && at * stride - before + k * dilation < high).length,
  );
}

interface Plane {
  readonly sizes: readonly number[];
  readonly strides: readonly number[];
  readonly wanted: readonly number[];
  readonly isColumnMajor: boolean;
}

/**
 * The largest of the slices, and where it lies among all elements of what flows in, channels first; of equal ones the first.
 *
 * @param corners where the first element of each slice lies in its plane
 */
function withPlaces(
  slices: readonly FileValue[],
  corners: readonly (readonly number[])[],
  { sizes, strides, wanted, isColumnMajor }: Plane,
  x: FileValue,
  lowering: Lowering,
  graph: GraphTarget,
): readonly Placement[] {
  const f = new Formula(graph);
  const [batch, channels, plane] = [knownSize(x.shape[0]), knownSize(x.shape.at(-1)), product(sizes)];
  if (batch === null || channels === null || batch * channels * plane > MOST_EXACT)
    return lowering.decline('the places of a MaxPool of free or large sizes; give them with --input-shape');
  const steps = sizes.map((_, axis) => product(isColumnMajor ? sizes.slice(0, axis) : sizes.slice(axis + 1)));
  const table = (name: string, shape: readonly number[], values: readonly number[]) =>
    graph.tensor(name, float32Tensor(name, shape, values, { file: 'weighbridge' }));
  const placesFrom = (corner: readonly number[]) => {
    const all = wanted.reduce<number[]>(
      (places, size, axis) => places.flatMap((place) => identity(size).map((at) => place + (corner[axis]! + at * strides[axis]!) * steps[axis]!)),
      [0],
    );
    return table('places', [1, ...wanted, 1], all);
  };
  const first = { best: slices[0]!, places: placesFrom(corners[0]!) };
  const { best, places } = slices.slice(1).reduce((found, slice, i) => {
    const isLarger = f.compare('Greater', slice, found.best);
    return { best: f.choose(isLarger, slice, found.best), places: f.choose(isLarger, placesFrom(corners[i + 1]!), found.places) };
  }, first);
  const planes = Array.from({ length: batch * channels }, (_, i) => i * plane);
  return [placedLast(best), placedLast(f.add(places, table('planes', [batch, ...wanted.map(() => 1), channels], planes)))];
}

/** A pooling as a slice for each element of its window: windows with gaps, and norms of windows. */
export const slicedPool: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const { op, attributes } = layer;
  const window = numbers(layer, 'kernel_shape');
  if (product(window) > MOST_SLICES) lowering.decline(`a window of ${product(window)} elements, each with its own slice`);
  const x = lowering.last(layer.inputs[0]!);
  const sizes = knownSizes(x, 'a pooling that is put together').slice(0, -1);
  const wanted = lowering.shape(layer.outputs[0]!).slice(2) as readonly number[];
  const [strides, given] = [numbers(layer, 'strides'), (attributes.dilations as readonly number[] | undefined) ?? window.map(() => 1)];
  const asked: Margins = windowAxes(layer, x.shape.slice(1, -1)).map(({ extent }, axis) => {
    if (attributes.auto_pad === 'VALID') return [0, 0];
    if (attributes.auto_pad === 'NOTSET') return [numbers(layer, 'pads')[axis]!, numbers(layer, 'pads')[axis + window.length]!];
    const total = Math.max((wanted[axis]! - 1) * strides[axis]! + extent - sizes[axis]!, 0);
    const [less, more] = [Math.floor(total / 2), Math.ceil(total / 2)];
    return attributes.auto_pad === 'SAME_UPPER' ? [less, more] : [more, less];
  });
  const reach = window.map((size, axis) => (size - 1) * given[axis]! + (wanted[axis]! - 1) * strides[axis]! + 1);
  const margins: Margins = asked.map(([before], axis) => [before, Math.max(0, reach[axis]! - before - sizes[axis]!)]);
  const power = (attributes.p as number | undefined) ?? 1;
  const powered = op !== 'LpPool' ? x : power === 1 ? f.one('Abs', x) : power === 2 ? f.mul(x, x) : f.two('Pow', f.one('Abs', x), power);
  const padded =
    op === 'MaxPool'
      ? graph.padForMaximum(powered, withChannels(margins), layer.outputs.length === 1 && lowering.isNonNegative(layer.inputs[0]!))
      : graph.pad(powered, withChannels(margins), 'constant', 0);
  const shape: readonly Dim[] = [x.shape[0]!, ...wanted, x.shape.at(-1)!];
  const offsets = window.reduce<readonly (readonly number[])[]>(
    (all, size, axis) => all.flatMap((one) => identity(size).map((k) => [...one, k * given[axis]!])),
    [[]],
  );
  const ends = 1 + 2 ** (window.length + 1);
  const none = { i: '0' };
  const slices = offsets.map((offset) => {
    const inputs = [
      padded,
      graph.ints('begin', [0, ...offset, 0]),
      graph.ints('end', [0, ...offset.map((start, axis) => start + (wanted[axis]! - 1) * strides[axis]! + 1), 0]),
      graph.ints('strides', [1, ...strides, 1]),
    ];
    const masks = { begin_mask: { i: String(ends) }, end_mask: { i: String(ends) }, ellipsis_mask: none, new_axis_mask: none, shrink_axis_mask: none };
    return graph.node('StridedSlice', inputs, { T: FLOAT, Index: INT, ...masks }, shape);
  });
  if (layer.outputs.length > 1) {
    const corners = offsets.map((offset) => offset.map((start, axis) => start - margins[axis]![0]));
    return withPlaces(slices, corners, { sizes, strides, wanted, isColumnMajor: attributes.storage_order === 1 }, x, lowering, graph);
  }
  const made = slices.reduce((a, b) => (op === 'MaxPool' ? f.two('Maximum', a, b) : f.add(a, b)));
  if (op === 'MaxPool') return placedLast(made);
  if (op === 'LpPool') return placedLast(power === 1 ? made : power === 2 ? f.one('Sqrt', made) : f.two('Pow', made, 1 / power));
  const isPaddingCounted = attributes.count_include_pad === 1;
  const perAxis = window.map((kernel, axis) =>
    counts(wanted[axis]!, {
      kernel,
      dilation: given[axis]!,
      stride: strides[axis]!,
      before: asked[axis]![0],
      low: isPaddingCounted ? -asked[axis]![0] : 0,
      high: sizes[axis]! + (isPaddingCounted ? asked[axis]![1] : 0),
    }),
  );
  const shares = perAxis.reduce<number[]>((all, own) => all.flatMap((one) => own.map((count) => one * count)), [1]);
  return placedLast(f.div(made, graph.tensor('counts', float32Tensor('counts', [...wanted, 1], shares, { file: 'weighbridge' }))));
};

/** Whether a window has gaps between its elements. */
export const isDilated = (layer: Layer): boolean => ((layer.attributes.dilations as readonly number[] | undefined) ?? []).some((dilation) => dilation > 1);

/** What makes a transposed convolution one that TensorFlow.js has not. */
export const isSpread = (layer: Layer): boolean => isDilated(layer) || (layer.weights.kernel?.shape.length ?? 0) > 4;
