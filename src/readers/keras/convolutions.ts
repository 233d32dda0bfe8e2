/**
 * Convolutions: plain, depthwise, separable and transposed, in one to three dimensions, of Keras 1 to 3.
 *
 * Kernels as files hold them: [...spatial, in/groups, out] since Keras 2 whatever the data format; Keras 1 with `dim_ordering`
 * "th" holds [out, in, ...spatial], and its Convolution1D keeps an axis of one beside the length. Depthwise kernels are
 * [...spatial, in, multiplier], transposed ones [...spatial, out, in].
 */
import type { Dim } from '../../model/layer-map.js';
import { flip, permute, reshape, type Tensor } from '../../model/tensor.js';
import { activation } from './activation-setting.js';
import type { Activation } from './activations.js';
import { type ConfigView, type DataFormat, isKeras3 } from './config-view.js';
import type { Rule } from './rule.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

export type Padding = 'valid' | 'same' | 'causal';

interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly padding: Padding;
  readonly format: DataFormat;
}

export interface Convolution extends Window {
  readonly bias: boolean;
  readonly activation: Activation;
  /** Keras 1 wrote it; its kernels lie differently. */
  readonly keras1: boolean;
}

/** Spellings of the kernel size in Keras 1, by rank. */
const KERNEL_KEYS: readonly (readonly string[])[] = [[], ['filter_length'], ['nb_row', 'nb_col'], ['kernel_dim1', 'kernel_dim2', 'kernel_dim3']];

export function kernelSizes(config: ConfigView, rank: number): readonly number[] {
  return config.has('nb_filter') ? KERNEL_KEYS[rank]!.map((key) => config.integer([key])) : config.sizes(['kernel_size'], rank);
}

export function readConvolution(config: ConfigView, rank: number): Convolution {
  const keras1 = config.has('nb_filter');
  const kernel = kernelSizes(config, rank);
  const ones = kernel.map(() => 1);
  const padding = config.oneOf<Padding>(['padding', 'border_mode'], rank === 1 ? ['valid', 'same', 'causal'] : ['valid', 'same'], 'valid');
  const strides = config.sizes(['strides', 'subsample', 'subsample_length'], rank, ones);
  const dilations = config.sizes(['dilation_rate', 'atrous_rate'], rank, ones);
  // Keras 1 has no data format for sequences: channels are last.
  const format = keras1 && rank === 1 ? 'channels_last' : config.dataFormat();
  if (strides.some((stride) => stride > 1) && dilations.some((rate) => rate > 1)) config.decline('strides and dilation together, which Keras refuses too');
  return { kernel, strides, dilations, padding, format, keras1, bias: config.boolean(['use_bias', 'bias'], true), activation: activation(config) };
}

export const convolution =
  (rank: number): Rule =>
  (config) => {
    const read = readConvolution(config, rank);
    const filters = config.integer(['filters', 'nb_filter']);
    const groups = config.integer(['groups'], 1);
    return ([input], scope) => {
      const value = scope.inFormat(input!, read.format);
      const channels = knownChannels(value, rank, scope);
      if (channels % groups !== 0 || filters % groups !== 0)
        throw scope.malformed(`${groups} groups do not divide ${channels} channels into ${filters} filters`);
      const stored = read.keras1 ? keras1Kernel(read, channels, filters, scope) : scope.weight('kernel', [...read.kernel, channels / groups, filters]);
      const kernel = turned(permute(stored, [rank + 1, rank, ...range(rank)]), scope);
      return convolve(value, { kernel, ...bias(read, filters, scope) }, read, groups, scope, read.activation);
    };
  };

/** The kernel of a Keras 1 convolution as Keras 2 would hold it: [...spatial, in, out]. */
export function keras1Kernel({ kernel, format }: Convolution, channels: number, filters: number, scope: Scope): Tensor {
  if (kernel.length === 1) {
    const stored = scope.nextWeight('kernel');
    const [length] = kernel as [number];
    // Until 1.1 the kernel was [out, in, length, 1] under both backends.
    if (`${stored.shape}` === `${[filters, channels, length, 1]}`) return permute(reshape(stored, [filters, channels, length]), [2, 1, 0]);
    if (`${stored.shape}` === `${[length, 1, channels, filters]}`) return reshape(stored, [length, channels, filters]);
    throw scope.malformed(`the kernel has the shape [${stored.shape}], but the configuration asks for [${[length, 1, channels, filters]}]`);
  }
  if (format === 'channels_last') return scope.weight('kernel', [...kernel, channels, filters]);
  return permute(scope.weight('kernel', [filters, channels, ...kernel]), [...range(kernel.length).map((axis) => axis + 2), 1, 0]);
}

export const depthwiseConvolution =
  (rank: number): Rule =>
  (config) => {
    const read = readConvolution(config, rank);
    const multiplier = config.integer(['depth_multiplier'], 1);
    declineTheano(config);
    return ([input], scope) => {
      const value = scope.inFormat(input!, read.format);
      const channels = knownChannels(value, rank, scope);
      const kernel = asGroups(scope.weight('depthwise kernel', [...read.kernel, channels, multiplier]));
      return convolve(value, { kernel, ...bias(read, channels * multiplier, scope) }, read, channels, scope, read.activation);
    };
  };

export const separableConvolution =
  (rank: number): Rule =>
  (config) => {
    const read = readConvolution(config, rank);
    const filters = config.integer(['filters', 'nb_filter']);
    // Keras 1 then has these kernels as those of other convolutions, [out, in, ...spatial].
    const isTurned = read.keras1 && read.format === 'channels_first';
    const last = (kernel: Tensor) => permute(kernel, [...range(rank).map((axis) => axis + 2), 1, 0]);
    const multiplier = config.integer(['depth_multiplier'], 1);
    declineTheano(config);
    return ([input], scope) => {
      const value = scope.inFormat(input!, read.format);
      const channels = knownChannels(value, rank, scope);
      const ones = read.kernel.map(() => 1);
      const depthwise = asGroups(
        isTurned
          ? last(scope.weight('depthwise kernel', [multiplier, channels, ...read.kernel]))
          : scope.weight('depthwise kernel', [...read.kernel, channels, multiplier]),
      );
      const stored = isTurned
        ? last(scope.weight('pointwise kernel', [filters, channels * multiplier, ...ones]))
        : scope.weight('pointwise kernel', [...ones, channels * multiplier, filters]);
      const pointwise = permute(stored, [rank + 1, rank, ...range(rank)]);
      const spread = convolve(value, { kernel: depthwise }, read, channels, scope);
      const point: Window = { kernel: ones, strides: ones, dilations: ones, padding: 'valid', format: read.format };
      return convolve(spread, { kernel: pointwise, ...bias(read, filters, scope) }, point, 1, scope, read.activation);
    };
  };

/**
 * Conv2DTranspose and its kin: the gradient of a convolution that would have made its input from its output.
 *
 * Keras chooses how long the output is: stride · size ("same"), stride · size + max(kernel - stride, 0) ("valid"), or, where
 * `output_padding` is given, stride · (size - 1) + kernel - 2 · (kernel // 2 if "same") + output_padding. What the convolution would have
 * padded is cut off, the odd one at the end; where that falls short of the length, zeros follow at the end.
 */
export const transposedConvolution =
  (rank: number): Rule =>
  (config) => {
    const read = readConvolution(config, rank);
    const filters = config.integer(['filters']);
    const given = config.value(['output_padding']);
    const padded = given === null || given === undefined ? null : config.sizes(['output_padding'], rank, undefined, 0);
    if (read.dilations.some((rate) => rate > 1) && read.strides.some((stride) => stride > 1))
      config.decline('a transposed convolution with strides and dilation is not translated');
    // TensorFlow refuses an output whose convolution would not give the input's length back.
    const fits = (amount: number, axis: number) => {
      const least = read.padding === 'same' ? 1 - (extentOf(read, axis) % 2) : 0;
      return amount >= least && amount < read.strides[axis]! + least;
    };
    if (padded && !padded.every(fits)) config.decline(`"output_padding" is [${padded}], which TensorFlow refuses for strides of [${read.strides}]`);
    if (read.padding === 'causal') config.decline('a causal transposed convolution is not translated');
    const { theano } = config.dialect;
    if (theano && read.padding === 'same' && read.kernel.some((_, axis) => extentOf(read, axis) % 2 === 0))
      config.decline('a padded transposed convolution with an even kernel, saved under Theano, is not translated');
    return ([input], scope) => {
      const value = scope.inFormat(input!, read.format);
      const channels = knownChannels(value, rank, scope);
      const kernel = turned(permute(scope.weight('kernel', [...read.kernel, filters, channels]), [rank + 1, rank, ...range(rank)]), scope);
      // By how much the whole overlap of all kernels is longer than the output.
      const surplus = read.kernel.map((_, axis) => {
        const extent = extentOf(read, axis);
        if (padded) return (read.padding === 'same' ? 2 * Math.floor(extent / 2) : 0) - padded[axis]!;
        return read.padding === 'same' ? extent - read.strides[axis]! : Math.min(extent - read.strides[axis]!, 0);
      });
      // Theano cuts half a kernel off at the beginning, whatever the strides.
      const isHalf = theano && read.padding === 'same';
      const begin = surplus.map((amount, axis) => (isHalf ? Math.floor(extentOf(read, axis) / 2) : Math.max(Math.floor(amount / 2), 0)));
      const end = surplus.map((amount, axis) => amount - begin[axis]!);
      const pads = [...begin, ...end.map((amount) => Math.max(amount, 0))];
      const output_padding = end.map((amount) => Math.max(-amount, 0));
      const attributes = { kernel_shape: read.kernel, strides: read.strides, dilations: read.dilations, pads, output_padding };
      const weights = { kernel, ...bias(read, filters, scope) };
      return read.activation(biased(scope.add('ConvTranspose', [value], { attributes, weights }), read.format, weights.bias, scope), scope);
    };
  };

/** How far a kernel reaches, its holes included. */
function extentOf({ kernel, dilations }: Pick<Window, 'kernel' | 'dilations'>, axis: number): number {
  return (kernel[axis]! - 1) * dilations[axis]! + 1;
}

function convolve(
  value: Value,
  weights: Readonly<Record<string, Tensor>>,
  window: Window,
  group: number,
  scope: Scope,
  then: Activation = (made) => made,
): Value {
  const attributes = { ...windowAttributes(window, value.shape, scope), dilations: window.dilations, group };
  return then(biased(scope.add('Conv', [value], { attributes, weights }), window.format, weights.bias, scope), scope);
}

/**
 * Attributes of a window that moves over an activation.
 *
 * "same" is TensorFlow's: as many outputs as strides fit, the padding that this takes, the odd one at the end. Theano pads half
 * a kernel on both sides and drops the surplus output of an even kernel.
 *
 * @param shape of the activation, channels first
 */
export function windowAttributes({ kernel, strides, dilations, padding }: Omit<Window, 'format'>, shape: readonly Dim[], scope: Scope) {
  const extents = kernel.map((_, axis) => extentOf({ kernel, dilations }, axis));
  const none = kernel.map(() => 0);
  const fixed = { kernel_shape: kernel, strides };
  if (padding === 'valid') return { ...fixed, pads: [...none, ...none] };
  if (padding === 'causal') return { ...fixed, pads: [...extents.map((extent) => extent - 1), ...none] };
  if (scope.dialect.theano) {
    return { ...fixed, pads: [...extents.map((extent) => Math.floor(extent / 2)), ...extents.map((extent) => Math.floor((extent - 1) / 2))] };
  }
  const totals = extents.map((extent, axis) => samePadding(shape[axis + 2]!, extent, strides[axis]!));
  if (totals.includes(null)) return { ...fixed, pads: [...none, ...none], auto_pad: 'SAME_UPPER' };
  const begin = totals.map((total) => Math.floor(total! / 2));
  return { ...fixed, pads: [...begin, ...totals.map((total, axis) => total! - begin[axis]!)] };
}

/** Padding of one axis in all; null where it depends on a size that is not known before the run. */
function samePadding(size: Dim, extent: number, stride: number): number | null {
  if (stride === 1) return extent - 1;
  if (typeof size === 'string') return null;
  return Math.max((Math.ceil(size / stride) - 1) * stride + extent - size, 0);
}

/** [...spatial, in, multiplier] as a grouped kernel [in · multiplier, 1, ...spatial]. */
function asGroups(stored: Tensor): Tensor {
  const rank = stored.shape.length - 2;
  const [channels, multiplier] = stored.shape.slice(rank) as [number, number];
  return reshape(permute(stored, [rank, rank + 1, ...range(rank)]), [channels * multiplier, 1, ...stored.shape.slice(0, rank)]);
}

export function bias(read: Convolution, filters: number, scope: Scope): { readonly bias?: Tensor } {
  return read.bias ? { bias: scope.weight('bias', [filters]) } : {};
}

/** Tells where Keras 3 errs on one of its backends (`add` of keras/src/backend/tensorflow/numpy.py). */
function biased(made: Value, format: DataFormat, bias: Tensor | undefined, scope: Scope): Value {
  const [filters] = bias?.shape ?? [];
  if (format === 'channels_first' && isKeras3(scope.dialect) && filters !== undefined && filters > 1 && made.shape.at(-1) === filters)
    scope.assume(
      'the last axis is as long as there are channels, where Keras 3 on TensorFlow adds the bias along that axis by mistake; it is added to channels here, as on its other backends',
    );
  return made;
}

/** Theano convolves in the mathematical sense: its kernels are turned by 180 degrees against everyone else's. */
export function turned(kernel: Tensor, { dialect }: Scope): Tensor {
  return dialect.theano
    ? flip(
        kernel,
        range(kernel.shape.length - 2).map((axis) => axis + 2),
      )
    : kernel;
}

function declineTheano(config: ConfigView): void {
  if (config.dialect.theano) config.decline('a depthwise kernel saved under Theano: whether it is turned by 180 degrees is not known');
}

export function knownChannels(value: Value, rank: number, scope: Scope): number {
  if (value.shape.length !== rank + 2) throw scope.malformed(`a value of ${value.shape.length} axes flows in, expected ${rank + 2}`);
  const channels = value.shape[1]!;
  if (typeof channels === 'number') return channels;
  throw scope.unsupported('an input whose number of channels is not given');
}

function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
