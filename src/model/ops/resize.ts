/** Resize: enlarging and shrinking by interpolation. @see https://onnx.ai/onnx/operators/onnx__Resize.html, where the formulas stand */
import { ModelError } from '../../errors.js';
import { divideDim, multiplyDims } from '../dims.js';
import type { Dim } from '../layer-map.js';
import { aroundAxis, newValue, type Value } from './array.js';
import { float, floats, int, ints, operator, optional, word } from './operator.js';
import { checkedAxis } from './rules.js';
import { cubicWeights } from './sampling.js';

const ATTRIBUTES = {
  scales: optional(floats()),
  sizes: optional(ints()),
  roi: optional(floats()),
  /** The axes that scales and sizes are of; all where left out. */
  axes: optional(ints()),
  mode: word('nearest', 'linear', 'cubic'),
  coordinate_transformation_mode: word(
    'asymmetric',
    'half_pixel',
    'pytorch_half_pixel',
    'align_corners',
    'half_pixel_symmetric',
    'tf_crop_and_resize',
    'tf_half_pixel_for_nn',
  ),
  nearest_mode: word('floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil'),
  keep_aspect_ratio_policy: word('stretch', 'not_larger', 'not_smaller'),
  cubic_coeff_a: float(-0.75),
  exclude_outside: int(0),
  extrapolation_value: float(0),
  antialias: int(0),
} as const;

interface Resizing {
  readonly scales: readonly number[] | undefined;
  readonly sizes: readonly number[] | undefined;
  readonly roi: readonly number[] | undefined;
  readonly axes: readonly number[] | undefined;
  readonly mode: string;
  readonly coordinate_transformation_mode: string;
  readonly nearest_mode: string;
  readonly keep_aspect_ratio_policy: string;
  readonly cubic_coeff_a: number;
  readonly exclude_outside: number;
  readonly extrapolation_value: number;
  readonly antialias: number;
}

/** By a factor for each axis, or to given sizes. */
export const resize = operator({
  op: 'Resize',
  slots: ['x', 'roi?', 'scales?', 'sizes?'],
  attributes: ATTRIBUTES,
  plain: {
    attributes: { sizes: undefined, roi: undefined, axes: undefined, cubic_coeff_a: -0.75, exclude_outside: 0, extrapolation_value: 0, antialias: 0 },
  },
  shape({ x, scales: givenScales, sizes: givenSizes }, attributes, { fresh }) {
    const scales = attributes.scales ?? (givenScales?.elements?.length ? givenScales.elements : undefined);
    const sizes = attributes.sizes ?? givenSizes?.elements;
    const along = attributes.axes?.map((axis) => checkedAxis(axis, x.shape.length)) ?? [...x.shape.keys()];
    if (attributes.keep_aspect_ratio_policy !== 'stretch' && sizes) {
      const known = x.shape.every((size) => typeof size === 'number') && sizes.every((size) => typeof size === 'number');
      if (!known) return [x.shape.map((size, axis) => (along.includes(axis) ? fresh(0, axis) : size))];
      const all = { ...attributes, scales: undefined, sizes: sizes as readonly number[], roi: undefined };
      return [x.shape.map((size, axis) => axisOf(all, x.shape as readonly number[], axis)?.outSize ?? size)];
    }
    return [
      x.shape.map((size, axis) => {
        const i = along.indexOf(axis);
        if (i < 0) return size;
        const wanted = sizes?.[i];
        if (wanted != null) return wanted;
        const scale = scales?.[i];
        return typeof scale === 'number' ? scaledSize(size, scale) : fresh(0, axis);
      }),
    ];
  },
  // A cubic swings beyond what it goes through.
  sign: ({ x }, { mode, extrapolation_value, coordinate_transformation_mode: coordinates }) =>
    x && mode !== 'cubic' && (coordinates !== 'tf_crop_and_resize' || extrapolation_value >= 0),
  axes: ({ scales, sizes, axes, roi }, order) => (scales && !sizes && !axes && !roi ? { scales: order.map((axis) => scales[axis]!) } : null),
  onnx: {
    since: 11,
    inputs: { roi: { since: 11 }, scales: { since: 11 }, sizes: { since: 11 } },
    newer: { axes: 18, antialias: 18, keep_aspect_ratio_policy: 18 },
    newerWords: { coordinate_transformation_mode: { half_pixel_symmetric: 19 } },
    // The map's own defaults are those of Upsample.
    defaults: {
      coordinate_transformation_mode: { before: Number.POSITIVE_INFINITY, value: 'half_pixel' },
      nearest_mode: { before: Number.POSITIVE_INFINITY, value: 'round_prefer_floor' },
    },
  },
  compute({ x, roi, scales, sizes }, given) {
    const all: Resizing = {
      ...given,
      roi: given.roi ?? (roi?.data.length ? [...roi.data] : undefined),
      scales: given.scales ?? (scales?.data.length ? [...scales.data] : undefined),
      sizes: given.sizes ?? (sizes?.data.length ? [...sizes.data] : undefined),
    };
    // One axis after another, which all of these interpolations allow.
    return [x.shape.reduce<Value>((y, _, axis) => resizeAxis(all, y, x.shape, axis), x)];
  },
});

/** A size times a factor, in float32 as runtimes work it out: 5 times float32's 1.4 is 7 there, and a little less in float64. */
function scaledLength(size: number, scale: number): number {
  return Math.floor(Math.fround(size * Math.fround(scale)));
}

/**
 * The factor by which a size becomes another, whether it is rounded down in float32, as runtimes do, or in float64, as they infer shapes: 7 times
 * float32's 11 / 7 is 11 in one and a little less in the other, and the next number is a little more in both.
 *
 * @returns null where no factor does, or the next one could make another element the nearest
 */
export function scaleTo(from: number, to: number, mode: string): number | null {
  const scale = Math.fround(to / from);
  if (isScaleTo(from, to, scale)) return scale;
  const bits = new Uint32Array(Float32Array.of(scale).buffer);
  bits[0]! += 1;
  const [next] = new Float32Array(bits.buffer);
  return mode !== 'nearest' && isScaleTo(from, to, next!) ? next! : null;
}

function isScaleTo(from: number, to: number, scale: number): boolean {
  return scaledLength(from, scale) === to && Math.floor(from * scale) === to;
}

function scaledSize(size: Dim, scale: number): Dim {
  if (typeof size === 'number') return scaledLength(size, scale);
  if (Number.isInteger(scale)) return multiplyDims(size, scale);
  return Number.isInteger(1 / scale) ? divideDim(size, 1 / scale) : `${size} times ${scale}`;
}

interface Axis {
  readonly scale: number;
  readonly outSize: number;
  /** Part of the axis that is read, for tf_crop_and_resize. */
  readonly roi: readonly [number, number];
}

/** How an axis is resized; null where it stays as it is. */
function axisOf({ scales, sizes, roi, axes, keep_aspect_ratio_policy: policy }: Resizing, shape: readonly number[], axis: number): Axis | null {
  const along = axes?.map((one) => checkedAxis(one, shape.length)) ?? [...shape.keys()];
  const i = along.indexOf(axis);
  if (i < 0) return null;
  const size = shape[axis]!;
  const part: readonly [number, number] = roi ? [roi[i]!, roi[i + along.length]!] : [0, 1];
  if (sizes) {
    if (policy === 'stretch') return { scale: sizes[i]! / size, outSize: sizes[i]!, roi: part };
    const ratios = along.map((one, k) => sizes[k]! / shape[one]!);
    const scale = policy === 'not_larger' ? Math.min(...ratios) : Math.max(...ratios);
    return { scale, outSize: Math.floor(scale * size + 0.5), roi: part };
  }
  if (!scales) throw new ModelError('malformed', 'a Resize has neither scales nor sizes');
  return { scale: scales[i]!, outSize: scaledLength(size, scales[i]!), roi: part };
}

function resizeAxis(resizing: Resizing, x: Value, shape: readonly number[], axis: number): Value {
  const found = axisOf(resizing, shape, axis);
  const isCropped = resizing.coordinate_transformation_mode === 'tf_crop_and_resize';
  if (!found || (found.scale === 1 && found.outSize === shape[axis] && !isCropped)) return x;
  const { outer, size, inner } = aroundAxis(x.shape, axis);
  const y = newValue(x.shape.with(axis, found.outSize));
  for (let i = 0; i < found.outSize; i++) {
    const at = sourceCoordinate(resizing, i, found, size);
    const isOutside = isCropped && (at < 0 || at > size - 1);
    const taps = isOutside ? [] : tapsOf(resizing, at, found.scale, size);
    for (let o = 0; o < outer; o++) {
      for (let n = 0; n < inner; n++) {
        const start = o * size * inner + n;
        const made = isOutside ? resizing.extrapolation_value : taps.reduce((sum, [index, share]) => sum + share * x.data[start + index * inner]!, 0);
        y.data[(o * found.outSize + i) * inner + n] = made;
      }
    }
  }
  return y;
}

/**
 * Where an element of the result lies in x. Which neighbour is the nearest is worked out in float32, as runtimes do: 1.5 / 0.6 is 2.5 there, and the
 * exact quotient by float32's 0.6 a little less.
 */
function sourceCoordinate({ coordinate_transformation_mode, mode }: Resizing, i: number, { scale: exact, outSize, roi }: Axis, size: number): number {
  const round = mode === 'nearest' ? Math.fround : (x: number) => x;
  const scale = round(exact);
  switch (coordinate_transformation_mode) {
    case 'asymmetric':
      return round(i / scale);
    case 'half_pixel':
      return round(round((i + 0.5) / scale) - 0.5);
    case 'pytorch_half_pixel':
      return outSize > 1 ? round(round((i + 0.5) / scale) - 0.5) : 0;
    case 'tf_half_pixel_for_nn':
      return round((i + 0.5) / scale);
    case 'half_pixel_symmetric': {
      // The picture is centred when its size was rounded.
      const begin = round((size / 2) * (1 - outSize / (size * exact)));
      return round(begin + round(round((i + 0.5) / scale) - 0.5));
    }
    case 'tf_crop_and_resize': {
      const [from, to] = [round(roi[0]), round(roi[1])];
      if (outSize <= 1) return round(0.5 * round(from + to) * (size - 1));
      return round(round(from * (size - 1)) + round(round(round(i * round(to - from)) * (size - 1)) / (outSize - 1)));
    }
    default:
      return outSize > 1 ? round((i * (size - 1)) / (outSize - 1)) : 0;
  }
}

type Tap = readonly [index: number, share: number];

/** The elements that count for a place, and how much; their shares add up to 1. */
function tapsOf(resizing: Resizing, at: number, scale: number, size: number): readonly Tap[] {
  const clamp = (index: number) => Math.max(0, Math.min(size - 1, index));
  if (resizing.mode === 'nearest') return [[clamp(nearest(at, resizing.nearest_mode)), 1]];
  const shrunk = resizing.antialias && scale < 1 ? scale : 1;
  const reach = (resizing.mode === 'linear' ? 1 : 2) / shrunk;
  const share = resizing.mode === 'linear' ? (x: number) => Math.max(0, 1 - Math.abs(x)) : (x: number) => cubicAt(Math.abs(x), resizing.cubic_coeff_a);
  const taps: Tap[] = [];
  for (let index = Math.ceil(at - reach); index <= Math.floor(at + reach); index++) taps.push([index, share((index - at) * shrunk)]);
  const counted = taps.map(([index, part]): Tap => [clamp(index), resizing.exclude_outside && (index < 0 || index >= size) ? 0 : part]);
  const total = counted.reduce((sum, [, part]) => sum + part, 0);
  return counted.map(([index, part]) => [index, part / total]);
}

function cubicAt(distance: number, a: number): number {
  if (distance >= 2) return 0;
  return distance < 1 ? cubicWeights(distance, a)[1] : cubicWeights(distance - 1, a)[0];
}

function nearest(at: number, mode: string): number {
  switch (mode) {
    case 'floor':
      return Math.floor(at);
    case 'ceil':
      return Math.ceil(at);
    case 'round_prefer_floor':
      return Math.ceil(at - 0.5);
    default:
      return Math.floor(at + 0.5);
  }
}
