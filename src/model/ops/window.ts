/**
 * The geometry of convolutions and poolings: their attributes, the sizes that they make, and where each window lies.
 *
 * Windows are evaluated in three spatial axes; nets with fewer have leading axes of size one.
 */
import { ModelError } from '../../errors.js';
import { addDims, divideDim, multiplyDims, subtractDims } from '../dims.js';
import type { AttributeValue, Dim } from '../layer-map.js';
import { ints, word } from './operator.js';

/** Attributes of everything that slides. Their neutral values follow the rank of the window: see `completeWindow`. */
export const WINDOW = {
  strides: ints(),
  /** [begin of each spatial axis ..., end of each]; all zero when auto_pad says otherwise. */
  pads: ints(),
  auto_pad: word('NOTSET', 'SAME_UPPER', 'SAME_LOWER', 'VALID'),
  kernel_shape: ints(),
} as const;

export interface WindowAttributes {
  readonly strides: readonly number[];
  readonly pads: readonly number[];
  readonly auto_pad: string;
  readonly kernel_shape: readonly number[];
  readonly dilations?: readonly number[];
  readonly ceil_mode?: number;
}

type Given = Partial<WindowAttributes> & { readonly output_padding?: readonly number[] };

/** Neutral strides, pads, dilations and the like, whose length follows the window's rank. */
export function completeWindow({ kernel }: { readonly kernel?: { readonly shape: readonly Dim[] }; readonly x?: unknown }, given: Given) {
  const size = given.kernel_shape ?? (kernel?.shape.slice(2) as readonly number[] | undefined);
  if (!size) return {};
  const filled = (value: number) => size.map(() => value);
  return { kernel_shape: size, strides: filled(1), dilations: filled(1), output_padding: filled(0), pads: [...filled(0), ...filled(0)] };
}

/** Shape of what slides over x: its own spatial sizes, with `channels`. */
export function windowedShape([batch, , ...spatial]: readonly Dim[], channels: Dim, attributes: WindowAttributes): readonly Dim[] {
  if (spatial.length !== attributes.kernel_shape.length) {
    throw new ModelError('malformed', `the window [${attributes.kernel_shape}] does not fit an input with ${spatial.length} spatial axes`);
  }
  return [
    batch!,
    channels,
    ...checkedSizes(
      spatial,
      spatial.map((size, axis) => windowedSize(size, axis, { attributes })),
    ),
  ];
}

/** @throws ModelError 'malformed' where a window does not fit into its input at all */
export function checkedSizes(from: readonly Dim[], made: readonly Dim[]): readonly Dim[] {
  if (made.every((size) => typeof size === 'string' || size >= 1)) return made;
  throw new ModelError('malformed', `makes the sizes [${made}] from [${from}]. Is the input too small?`);
}

/** Output size of a convolution or pooling along one spatial axis; see ONNX Conv and MaxPool, auto_pad and ceil_mode. */
export function windowedSize(size: Dim, axis: number, layer: { readonly attributes: Readonly<Record<string, AttributeValue>> | WindowAttributes }): Dim {
  const { kernel_shape, strides, pads, dilations, auto_pad, ceil_mode } = layer.attributes as WindowAttributes;
  const stride = strides[axis]!;
  const extent = (kernel_shape[axis]! - 1) * (dilations?.[axis] ?? 1) + 1;
  if (auto_pad === 'SAME_UPPER' || auto_pad === 'SAME_LOWER') return divideDim(addDims(size, stride - 1), stride);
  const begin = auto_pad === 'VALID' ? 0 : pads[axis]!;
  const end = auto_pad === 'VALID' ? 0 : pads[axis + pads.length / 2]!;
  const room = addDims(size, begin + end - extent);
  if (!ceil_mode) return addDims(divideDim(room, stride), 1);
  const count = addDims(divideDim(addDims(room, stride - 1), stride), 1);
  // A window that would start in the end padding is left out.
  if (typeof count === 'number' && typeof size === 'number') return (count - 1) * stride >= size + begin ? count - 1 : count;
  return stride + end <= extent ? count : `${count}, windows within ${addDims(size, begin)}`;
}

/**
 * A window's pads in numbers, whatever auto_pad says: [begin of each spatial axis ..., end of each].
 *
 * @param spatial sizes of the input
 * @returns null where they depend on a size that is free
 */
export function padsInNumbers(
  layer: { readonly attributes: Readonly<Record<string, AttributeValue>> },
  spatial: readonly (Dim | undefined)[],
): readonly number[] | null {
  const { kernel_shape, strides, pads, dilations, auto_pad } = layer.attributes as unknown as WindowAttributes;
  if (auto_pad === 'NOTSET') return pads;
  if (auto_pad === 'VALID') return [...kernel_shape, ...kernel_shape].map(() => 0);
  const totals: number[] = [];
  for (const [axis, window] of kernel_shape.entries()) {
    const extent = (window - 1) * (dilations?.[axis] ?? 1) + 1;
    const stride = strides[axis]!;
    const size = spatial[axis];
    if (typeof size === 'number') totals.push(Math.max((Math.ceil(size / stride) - 1) * stride + extent - size, 0));
    else if (stride === 1) totals.push(extent - 1);
    else return null;
  }
  const smaller = totals.map((total) => Math.floor(total / 2));
  const larger = totals.map((total) => Math.ceil(total / 2));
  return auto_pad === 'SAME_UPPER' ? [...smaller, ...larger] : [...larger, ...smaller];
}

/** Size that a transposed convolution makes along one axis. */
export function transposedSize(size: Dim, stride: number, extent: number, outputPadding: number, pads: number): Dim {
  return addDims(multiplyDims(subtractDims(size, 1), stride), outputPadding + extent - pads);
}

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
 * The window of a Conv or a pooling over an input [batch, channels, ...spatial].
 *
 * @throws ModelError 'engine' for more than three spatial axes, and where the window does not fit
 */
export function windowOver(attributes: WindowAttributes, shape: readonly number[]): Window {
  const { kernel_shape, strides, pads, auto_pad } = attributes;
  return threeAxes(
    shape.slice(2).map((inSize, axis): WindowAxis => {
      const kernel = kernel_shape[axis]!;
      const stride = strides[axis]!;
      const dilation = attributes.dilations?.[axis] ?? 1;
      const outSize = windowedSize(inSize, axis, { attributes }) as number;
      if (outSize < 1 && inSize > 0) {
        const extent = (kernel - 1) * dilation + 1;
        throw new ModelError(
          'engine',
          `a window of ${extent} does not fit into ${inSize} with what is padded: some runtimes make one place of it, others none`,
        );
      }
      const common = { inSize, outSize, kernel, stride, dilation };
      if (auto_pad === 'VALID') return { ...common, begin: 0, end: 0 };
      if (auto_pad === 'NOTSET') return { ...common, begin: pads[axis]!, end: pads[axis + kernel_shape.length]! };
      const total = Math.max(0, (outSize - 1) * stride + (kernel - 1) * dilation + 1 - inSize);
      const less = Math.floor(total / 2);
      return auto_pad === 'SAME_UPPER' ? { ...common, begin: less, end: total - less } : { ...common, begin: total - less, end: less };
    }),
  );
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

export function threeAxes(axes: readonly WindowAxis[]): Window {
  if (axes.length === 0 || axes.length > 3) {
    throw new ModelError('engine', `the reference evaluator slides over one to three spatial axes, not ${axes.length}`);
  }
  return [...Array.from({ length: 3 - axes.length }, () => ONE), ...axes] as unknown as Window;
}
