/** The geometry of convolutions and poolings, in three spatial axes; nets with fewer have leading axes of size one. */
import { ModelError } from '../../errors.js';
import type { Layer } from '../layer-map.js';
import { windowedSize } from './index.js';
import { numbers, word } from './operator.js';

/** One spatial axis. */
export interface WindowAxis {
  readonly inSize: number;
  readonly outSize: number;
  readonly kernel: number;
  readonly stride: number;
  readonly dilation: number;
  /** Padding before the first element, and after the last. */
  readonly begin: number;
  readonly end: number;
}

export type Window = readonly [WindowAxis, WindowAxis, WindowAxis];

const ONE: WindowAxis = { inSize: 1, outSize: 1, kernel: 1, stride: 1, dilation: 1, begin: 0, end: 0 };

/**
 * The window of a Conv, MaxPool or AveragePool over an input [batch, channels, ...spatial].
 *
 * @throws ModelError 'engine' for more than three spatial axes
 */
export function layerWindow(layer: Layer, shape: readonly number[]): Window {
  const autoPad = word(layer, 'auto_pad', ['NOTSET', 'VALID', 'SAME_UPPER', 'SAME_LOWER']);
  const kernel = numbers(layer, 'kernel_shape');
  const strides = numbers(layer, 'strides');
  const pads = numbers(layer, 'pads');
  const dilations = layer.attributes.dilations === undefined ? kernel.map(() => 1) : numbers(layer, 'dilations');
  const axes = shape.slice(2).map((inSize, axis): WindowAxis => {
    const outSize = windowedSize(inSize, axis, layer) as number;
    const stride = strides[axis]!;
    const dilation = dilations[axis]!;
    const common = { inSize, outSize, kernel: kernel[axis]!, stride, dilation };
    if (autoPad === 'VALID') return { ...common, begin: 0, end: 0 };
    if (autoPad === 'NOTSET') return { ...common, begin: pads[axis]!, end: pads[axis + kernel.length]! };
    const total = Math.max(0, (outSize - 1) * stride + (kernel[axis]! - 1) * dilation + 1 - inSize);
    const less = Math.floor(total / 2);
    return autoPad === 'SAME_UPPER' ? { ...common, begin: less, end: total - less } : { ...common, begin: total - less, end: less };
  });
  return threeAxes(layer, axes);
}

/** The window of a ConvTranspose: what it reads is `inSize`, what it makes `outSize`. */
export function transposedWindow(layer: Layer, shape: readonly number[]): Window {
  word(layer, 'auto_pad', ['NOTSET']);
  const kernel = numbers(layer, 'kernel_shape');
  const axes = shape.slice(2).map((inSize, axis): WindowAxis => {
    const stride = numbers(layer, 'strides')[axis]!;
    const dilation = numbers(layer, 'dilations')[axis]!;
    const begin = numbers(layer, 'pads')[axis]!;
    const end = numbers(layer, 'pads')[axis + kernel.length]!;
    const outSize = stride * (inSize - 1) + numbers(layer, 'output_padding')[axis]! + (kernel[axis]! - 1) * dilation + 1 - begin - end;
    return { inSize, outSize, kernel: kernel[axis]!, stride, dilation, begin, end };
  });
  return threeAxes(layer, axes);
}

/** For output position o and kernel position k, at [o * kernel + k]: the input position, or -1 in the padding. */
export function inputPositions({ inSize, outSize, kernel, stride, dilation, begin }: WindowAxis): Int32Array {
  return Int32Array.from({ length: outSize * kernel }, (_, i) => {
    const at = Math.floor(i / kernel) * stride - begin + (i % kernel) * dilation;
    return at < inSize ? Math.max(at, -1) : -1;
  });
}

/** Sizes of the spatial output axes as the layer has them, without the leading ones. */
export function spatialShape(window: Window, rank: number): number[] {
  return window.slice(5 - rank).map((axis) => axis.outSize);
}

function threeAxes(layer: Layer, axes: readonly WindowAxis[]): Window {
  if (axes.length === 0 || axes.length > 3) {
    throw new ModelError('engine', `the reference evaluator does ${layer.op} over one to three spatial axes, not ${axes.length}`);
  }
  return [...Array.from({ length: 3 - axes.length }, () => ONE), ...axes] as unknown as Window;
}
