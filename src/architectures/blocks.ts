/** Combinators: what the tables of papers are made of. */
import { numbersTensor } from '../model/numbers.js';
import { reshape } from '../model/tensor.js';
import { type Activation, type ConvOptions, Departure, type Net, sizeOf, type Value } from './net.js';

/** Widths of scaled nets: a multiple of eight, or of another number, and never more than a tenth below what was wanted. */
export function roundWidth(width: number, divisor = 8): number {
  const rounded = Math.max(divisor, Math.floor((width + divisor / 2) / divisor) * divisor);
  return rounded >= 0.9 * width ? rounded : rounded + divisor;
}

export interface ConvNormOptions extends ConvOptions {
  readonly epsilon?: number;
}

/** Convolution, batch normalisation, activation. */
export function convNormAct(net: Net, x: Value, conv: string, norm: string, act: Activation, options: ConvNormOptions = {}): Value {
  const y = net.norm(net.conv(x, conv, options), norm, options.epsilon);
  return net.activation(y, act);
}

/** torchvision's Conv2dNormActivation: the modules `<path>.0` and `<path>.1`. */
export function convBlock(net: Net, x: Value, path: string, act: Activation, options: ConvNormOptions = {}): Value {
  return convNormAct(net, x, `${path}.0`, `${path}.1`, act, options);
}

/**
 * Whether a net has TensorFlow's epsilon of 1e-3, and pads as TensorFlow does where convolutions stride: Keras's nets, ports of them, and
 * those of timm whose names begin with tf_, which their weights do not show.
 */
export function isFromTensorFlow(net: Net, usually = false): boolean {
  if (net.ecosystem === 'timm') {
    const usual = usually || /^tf_/i.test(net.options.arch ?? '') ? 'tensorflow' : 'symmetric';
    const meaning =
      'convolutions that stride pad as {} (tensorflow: with an epsilon of 1e-3 as well, in nets whose names begin with tf_; symmetric: in others of timm)';
    net.padsAsTensorFlow = net.setting<string>('padding', usual, meaning) === 'tensorflow';
  }
  return net.padsAsTensorFlow;
}

/** The sum of a branch and of what goes around it. */
export function residual(net: Net, x: Value, branch: (x: Value) => Value, around: (x: Value) => Value = (same) => same): Value {
  const shortcut = around(x);
  return net.add(branch(x), shortcut);
}

/** The branches side by side, as channels. */
export function branches(net: Net, x: Value, ...list: readonly ((x: Value) => Value)[]): Value {
  return net.concat(list.map((branch) => branch(x)));
}

export interface SqueezeOptions {
  readonly reduce: string;
  readonly expand: string;
  /** Channels in between, for a net without weights. */
  readonly width: number;
  readonly act: Activation;
  readonly gate: Activation;
}

/** Squeeze and excitation (Hu et al., 2017): each channel scaled by what all of them say about the whole picture. */
export function squeezeExcite(net: Net, x: Value, { reduce, expand, width, act, gate }: SqueezeOptions): Value {
  const squeezed = net.op('GlobalAveragePool', [x]);
  const between = net.activation(net.conv(squeezed, reduce, { out: width, bias: true, pad: 0 }), act);
  const scale = net.activation(net.conv(between, expand, { out: sizeOf(x, 1), bias: true, pad: 0 }), gate);
  return net.multiply(x, scale);
}

/** Mixes the channels of groups (ShuffleNet): those of place i in each group come to stand together. */
export function channelShuffle(net: Net, x: Value, groups: number): Value {
  const [, channels, height, width] = x.shape as readonly [unknown, number, number, number];
  const apart = net.reshape(x, [0, groups, channels / groups, height * width]);
  return { ...net.reshape(net.transpose(apart, [0, 2, 1, 3]), [0, channels, height, width]), shape: x.shape };
}

/** An activation with a slope for each channel, or one for all, where numbers are negative. */
export function prelu(net: Net, x: Value, path: string): Value {
  const channels = sizeOf(x, 1);
  const slope = net.store.takeParameter(`${path}.weight`, [channels]);
  const name = net.store.sourceName(path);
  const [count, ...more] = slope?.shape ?? [];
  if (!slope || more.length > 0 || (count !== channels && count !== 1)) throw new Departure(name, `has no slope for each of ${channels} channels`);
  return net.op('PRelu', [x], {}, { name, weights: { slope: reshape(slope, [count, 1, 1]) } });
}

export function leakyRelu(net: Net, x: Value, alpha: number): Value {
  return net.activation(x, 'leaky-relu', undefined, alpha);
}

export interface TransposedOptions {
  readonly out: number;
  readonly kernel: number;
  readonly stride: number;
  readonly pad: number;
  /** Rows and columns more at the end. */
  readonly more?: number;
  readonly bias?: boolean;
}

/** A transposed convolution, which makes pictures larger; its kernel is [in, out, height, width]. */
export function transposedConv(net: Net, x: Value, path: string, { out, kernel, stride, pad, more = 0, bias }: TransposedOptions): Value {
  const channels = sizeOf(x, 1);
  const weights = net.weights(path, 'conv', { kernel: [channels, out, kernel, kernel], ...(bias ? { bias: [out] } : {}) });
  const { shape } = weights.kernel!;
  if (shape.length !== 4 || shape[0] !== channels) {
    throw new Departure(net.store.sourceName(path), `has a kernel of shape [${shape}], but ${channels} channels flow in`);
  }
  const attributes = { strides: [stride, stride], dilations: [1, 1], pads: [pad, pad, pad, pad], output_padding: [more, more] };
  return net.module(path, 'ConvTranspose', x, weights, attributes);
}

/** Each channel of each picture by its own mean and variance; with a scale and a shift where the net has them. */
export function instanceNorm(net: Net, x: Value, path: string, epsilon = 1e-5): Value {
  const channels = sizeOf(x, 1);
  const all = (value: number) => numbersTensor('', 'float32', [channels], new Array<number>(channels).fill(value), { file: '' });
  const name = net.store.sourceName(path);
  const weights = net.store.shape(path, 'scale') ? net.weights(path, 'layer-norm', { scale: [channels], bias: [channels] }) : { scale: all(1), bias: all(0) };
  if (weights.scale!.shape.join() !== String(channels)) throw new Departure(name, `is of shape [${weights.scale!.shape}], but ${channels} channels flow in`);
  return net.op('InstanceNormalization', [x], { epsilon }, { name, weights });
}

/** Groups of channels of each picture by their own mean and variance. */
export function groupNorm(net: Net, x: Value, path: string, groups: number, epsilon = 1e-5): Value {
  const channels = sizeOf(x, 1);
  const weights = net.weights(path, 'layer-norm', { scale: [channels], bias: [channels] });
  const name = net.store.sourceName(path);
  if (weights.scale!.shape.join() !== String(channels)) throw new Departure(name, `is of shape [${weights.scale!.shape}], but ${channels} channels flow in`);
  if (channels % groups !== 0) throw new Departure(name, `is of ${channels} channels, which ${groups} groups cannot share`);
  return net.op('GroupNormalization', [x], { epsilon: groupEpsilon(net, epsilon), num_groups: groups }, { name, weights });
}

/** What is added to the variance of groups of channels: in no weight. */
export function groupEpsilon(net: Net, usual: number): number {
  return net.setting('group_norm_epsilon', usual, 'normalisation of groups of channels, or of all of them, adds {} to the variance');
}

/** The picture mirrored about its edges, so many pixels on each side. */
export function mirrored(net: Net, x: Value, by: number): Value {
  return by === 0 ? x : net.op('Pad', [x], { pads: [0, 0, by, by, 0, 0, by, by], mode: 'reflect' });
}

/** PyTorch's pixel_shuffle: groups of channels become squares of pixels. */
export function pixelShuffle(net: Net, x: Value, side: number): Value {
  return side === 1 ? x : net.op('DepthToSpace', [x], { blocksize: side, mode: 'CRD' });
}

/** Each pixel a square of them. */
export function repeated(net: Net, x: Value, side: number): Value {
  return net.op('Resize', [x], { scales: [1, 1, side, side], coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' });
}
