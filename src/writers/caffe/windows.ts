/** Convolutions and poolings, and what Caffe's do otherwise: padding that differs between two sides, rounding, means over what is there. */
import type { Dim, Layer } from '../../model/layer-map.js';
import { evaluateLayer } from '../../model/ops/evaluate.js';
import { padsInNumbers, windowedSize } from '../../model/ops/index.js';
import { computedTensor, elementCount, type Tensor } from '../../model/tensor.js';
import { type CaffeLayer, constantBlob, type NetBuilder, number, numbers, ORIGIN, type Rule, type Settings, word } from './net.js';

/** Fields of one size for each spatial axis, as Caffe's pairs `kernel_h`, `kernel_w` or its lists. */
function perAxis(name: string, values: readonly number[]): Settings {
  if (values.every((value) => value === values[0])) return { [name]: values[0]! };
  const short = { kernel_size: 'kernel', stride: 'stride', pad: 'pad' }[name];
  return values.length === 2 && short ? { [`${short}_h`]: values[0]!, [`${short}_w`]: values[1]! } : { [name]: values };
}

const some = (pads: readonly number[]) => pads.some((pad) => pad !== 0);
const padsOf = (pads: readonly number[]) => (some(pads) ? perAxis('pad', pads) : {});

interface Padding {
  readonly before: readonly number[];
  readonly after: readonly number[];
}

/** What is padded on both sides of each axis, worked out where auto_pad says SAME; a text where it depends on a free size. */
function paddingOf(layer: Layer, net: NetBuilder): Padding | string {
  const rank = numbers(layer, 'kernel_shape').length;
  const pads = padsInNumbers(layer, net.shape(layer.inputs[0]!).slice(2));
  if (!pads)
    return `${layer.op} with ${layer.attributes.auto_pad} over a picture of free size, and Caffe wants its padding in numbers; --input-shape gives the size`;
  return { before: pads.slice(0, rank), after: pads.slice(rank) };
}

const isEven = ({ before, after }: Padding) => before.every((amount, axis) => amount === after[axis]);

/**
 * Zeros around each channel, as a convolution of one weight pads them; what is too much on one side is cut off again.
 *
 * @param shape of the value, whose spatial sizes are known
 */
export function padded(layer: Layer, net: NetBuilder, x: string, shape: readonly Dim[], { before, after }: Padding): string {
  const channels = shape[1] as number;
  const pads = before.map((amount, axis) => Math.max(amount, after[axis]!));
  const settings = { num_output: channels, bias_term: false, ...perAxis('kernel_size', pads.map(() => 1)), ...padsOf(pads), group: channels }; // biome-ignore format: one line says it
  const kernel = constantBlob('ones', [channels, 1, ...pads.map(() => 1)], 1);
  const wide = net.before(layer, 'padded', 'Convolution', { convolution_param: settings }, [kernel], [x]);
  return pads.reduce((blob, pad, axis) => {
    const size = (shape[axis + 2] as number) + 2 * pad;
    const [start, end] = [pad - before[axis]!, size - (pad - after[axis]!)];
    return start === 0 && end === size ? blob : net.cut(layer, [blob, axis + 2, size], start, end, 'cut');
  }, wide);
}

const areKnown = (sizes: readonly Dim[]): sizes is readonly number[] => sizes.every((size) => typeof size === 'number');
const uneven = (layer: Layer, { before, after }: Padding) =>
  `${layer.op} pads [${before}] before and [${after}] behind a picture of free size, and Caffe pads both sides alike; --input-shape gives the size`;

const convolution: Rule = (layer, net) => {
  const kernel = layer.weights.kernel!;
  const padding = paddingOf(layer, net);
  if (typeof padding === 'string') return padding;
  const shape = net.shape(layer.inputs[0]!);
  const isUneven = !isEven(padding);
  if (isUneven && !areKnown(shape.slice(1))) return uneven(layer, padding);
  const group = number(layer, 'group');
  const dilations = numbers(layer, 'dilations');
  const settings: Settings = {
    num_output: kernel.shape[0]!,
    bias_term: layer.weights.bias !== undefined,
    ...perAxis('kernel_size', numbers(layer, 'kernel_shape')),
    ...perAxis('stride', numbers(layer, 'strides')),
    ...(isUneven ? {} : padsOf(padding.before)),
    ...(some(dilations.map((dilation) => dilation - 1)) ? { dilation: dilations } : {}),
    ...(group === 1 ? {} : { group }),
  };
  const x = net.blob(layer.inputs[0]!);
  const bottom = isUneven ? padded(layer, net, x, shape, padding) : x;
  return net.add(layer, 'Convolution', { convolution_param: settings }, weightsOf(layer, 'kernel', 'bias'), [bottom]);
};

/** What is padded less on one side than on the other, or grows behind by `output_padding`, is cut off on the other. */
const deconvolution: Rule = (layer, net) => {
  const kernel = layer.weights.kernel!;
  const padding = paddingOf(layer, net);
  if (typeof padding === 'string') return padding;
  const after = padding.after.map((amount, axis) => amount - numbers(layer, 'output_padding')[axis]!);
  const pads = padding.before.map((amount, axis) => Math.min(amount, after[axis]!));
  if (pads.some((pad) => pad < 0)) return 'ConvTranspose with more output_padding than padding, which Caffe has not';
  const group = number(layer, 'group');
  const dilations = numbers(layer, 'dilations');
  const settings: Settings = {
    num_output: kernel.shape[1]! * group,
    bias_term: layer.weights.bias !== undefined,
    ...perAxis('kernel_size', numbers(layer, 'kernel_shape')),
    ...perAxis('stride', numbers(layer, 'strides')),
    ...padsOf(pads),
    ...(some(dilations.map((dilation) => dilation - 1)) ? { dilation: dilations } : {}),
    ...(group === 1 ? {} : { group }),
  };
  const blobs = weightsOf(layer, 'kernel', 'bias');
  const cuts = pads.flatMap((pad, axis) => {
    const [start, end] = [padding.before[axis]! - pad, after[axis]! - pad];
    return start === 0 && end === 0 ? [] : [{ axis: axis + 2, start, end }];
  });
  if (cuts.length === 0) return net.add(layer, 'Deconvolution', { convolution_param: settings }, blobs);
  const made = net.shape(layer.outputs[0]!);
  if (!areKnown(made.slice(2))) return uneven(layer, padding);
  let blob = net.before(layer, 'whole', 'Deconvolution', { convolution_param: settings }, blobs, [net.blob(layer.inputs[0]!)]);
  cuts.forEach(({ axis, start, end }, i) => {
    const size = (made[axis] as number) + start + end;
    blob = net.cut(layer, [blob, axis, size], start, size - end, i === cuts.length - 1 ? undefined : 'cut');
  });
  return null;
};

/** How many windows Caffe makes of an axis: rounded up, without one that would begin in the padding behind. */
function windowsInCaffe(size: number, pad: number, kernel: number, stride: number): { up: number; down: number } {
  const span = (size + 2 * pad - kernel) / stride;
  const up = Math.ceil(span) + 1;
  return { up: pad > 0 && (up - 1) * stride >= size + pad ? up - 1 : up, down: Math.floor(span) + 1 };
}

/** Which rounding makes as many windows as are wanted along each axis; null where neither does. */
function roundingOf(
  sizes: readonly number[],
  pads: readonly number[],
  kernel: readonly number[],
  strides: readonly number[],
  wanted: readonly number[],
): 'up' | 'down' | null {
  const fits = (way: 'up' | 'down') => sizes.every((size, axis) => windowsInCaffe(size, pads[axis]!, kernel[axis]!, strides[axis]!)[way] === wanted[axis]);
  return fits('up') ? 'up' : fits('down') ? 'down' : null;
}

/** Caffe cuts the last window off where the picture ends, and takes a mean over what is left of it with the padding. */
function pooling(method: 'MAX' | 'AVE'): Rule {
  return (layer, net) => {
    const padding = paddingOf(layer, net);
    if (typeof padding === 'string') return padding;
    const kernel = numbers(layer, 'kernel_shape');
    if (kernel.length !== 2) return `${layer.op} over ${kernel.length} axes; Caffe pools pictures`;
    if (layer.outputs.length > 1) return `${layer.op} with the places of what is largest`;
    if (numbers(layer, 'dilations')?.some((dilation) => dilation !== 1)) return `${layer.op} with a dilation, which Caffe has not`;
    const strides = numbers(layer, 'strides');
    const shape = net.shape(layer.inputs[0]!);
    const sizes = shape.slice(2);
    if (!areKnown(sizes)) return `${layer.op} of a picture of free size, for which Caffe's rounding may differ; --input-shape gives it`;
    const wanted = sizes.map((size, axis) => windowedSize(size, axis, layer) as number);
    const settingsOf = (pads: readonly number[], rounding: 'up' | 'down'): CaffeLayer['settings'] => ({
      pooling_param: {
        pool: word(method),
        ...perAxis('kernel_size', kernel),
        ...perAxis('stride', strides),
        ...padsOf(pads),
        // BVLC's own, since 2018; before, Caffe only rounded up.
        ...(rounding === 'down' ? { round_mode: word('FLOOR') } : {}),
      },
    });
    const rounding = roundingOf(sizes, padding.before, kernel, strides, wanted);
    // What a largest element is looked for in ends where the picture does, whatever is padded behind.
    if (method === 'MAX' && rounding) return net.add(layer, 'Pooling', settingsOf(padding.before, rounding));
    const countsPadding = number(layer, 'count_include_pad') === 1;
    const isPlain = !some(padding.before) && !some(padding.after);
    if (method === 'AVE' && rounding && isEven(padding) && (isPlain || countsPadding)) return net.add(layer, 'Pooling', settingsOf(padding.before, rounding));
    if (method === 'MAX')
      return `MaxPool that pads [${padding.before}] before and [${padding.after}] behind, for ${wanted} windows, which no rounding of Caffe makes`;
    return averaged(layer, net, { padding, sizes, wanted, kernel, strides });
  };
}

interface Averaging {
  readonly padding: Padding;
  readonly sizes: readonly number[];
  readonly wanted: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
}

/** Means over the whole window, zeros around the picture and all, and then a factor for each place: how much of its window counts. */
function averaged(layer: Layer, net: NetBuilder, { padding, sizes, wanted, kernel, strides }: Averaging): string | null {
  const shape = net.shape(layer.inputs[0]!);
  if (typeof shape[1] !== 'number') return `${layer.op} of a free number of channels`;
  // As far as the last window reaches.
  const reach = wanted.map((count, axis) => Math.max(0, (count - 1) * strides[axis]! + kernel[axis]! - padding.before[axis]! - sizes[axis]!));
  const wide = padded(layer, net, net.blob(layer.inputs[0]!), shape, { before: padding.before, after: reach });
  const isExact = wanted.every((count, axis) => (count - 1) * strides[axis]! + kernel[axis]! === sizes[axis]! + padding.before[axis]! + reach[axis]!);
  const settings = {
    pool: word('AVE'),
    ...perAxis('kernel_size', kernel),
    ...perAxis('stride', strides),
    ...(isExact ? {} : { round_mode: word('FLOOR') }),
  };
  const means = net.before(layer, 'means', 'Pooling', { pooling_param: settings }, [], [wide]);
  const factors = computedTensor('factors', 'float32', wanted, ORIGIN, async () => {
    const ones = { shape: [1, 1, ...sizes], data: new Float64Array(elementCount(sizes)).fill(1) };
    const [given] = await evaluateLayer(layer, [ones]);
    const there = sizes.map((size, axis) =>
      Array.from({ length: wanted[axis]! }, (_, i) => reached(i * strides[axis]! - padding.before[axis]!, kernel[axis]!, size)),
    );
    const window = elementCount(kernel);
    const values = Float32Array.from(given!.data, (value: number, i) => {
      const inside = there[0]![Math.floor(i / wanted[1]!)]! * there[1]![i % wanted[1]!]!;
      return (value * window) / inside;
    });
    return new Uint8Array(values.buffer);
  });
  return net.add(layer, 'Scale', { scale_param: { axis: 2, num_axes: 2 } }, [factors], [means]);
}

/** How many places of a window from `start` on lie in a picture. */
function reached(start: number, kernel: number, size: number): number {
  return Math.min(start + kernel, size) - Math.max(start, 0);
}

function globalPooling(method: 'MAX' | 'AVE'): Rule {
  return (layer, net) => {
    if (net.shape(layer.inputs[0]!).length !== 4) return `${layer.op} over other axes than those of a picture`;
    return net.add(layer, 'Pooling', { pooling_param: { pool: word(method), global_pooling: true } });
  };
}

export function weightsOf(layer: Layer, ...roles: readonly string[]): Tensor[] {
  return roles.flatMap((role) => layer.weights[role] ?? []);
}

export const windows: Readonly<Record<string, Rule>> = {
  Conv: convolution,
  ConvTranspose: deconvolution,
  MaxPool: pooling('MAX'),
  AveragePool: pooling('AVE'),
  GlobalMaxPool: globalPooling('MAX'),
  GlobalAveragePool: globalPooling('AVE'),
};
