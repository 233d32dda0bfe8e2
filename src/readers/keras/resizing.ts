/** Layers that bring pictures to a size: Resizing, CenterCrop, RandomCrop at rest. */

import { scaleTo } from '../../model/ops/index.js';
import { float32Tensor } from '../../model/tensor.js';
import { type ConfigView, type DataFormat, isKeras3 } from './config-view.js';
import { INTERPOLATIONS, isInTable, resamplingMatrix } from './resampling.js';
import type { Rule } from './rule.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

type Size = readonly [height: number, width: number];

interface Sizing {
  readonly wanted: Size;
  readonly format: DataFormat;
}

function readSizing(config: ConfigView): Sizing {
  return { wanted: [config.integer(['height']), config.integer(['width'])], format: config.dataFormat() };
}

/** [N, C, height, width] in the map, computed with as real numbers, and its size. */
function picture(input: Value, { format }: Sizing, scope: Scope): { value: Value; size: Size } {
  const value = scope.inFormat({ ...input, integer: false }, format);
  if (value.shape.length !== 4) throw scope.unsupported(`a value of ${value.shape.length} axes, where pictures are expected,`);
  const [height, width] = value.shape.slice(2);
  if (typeof height !== 'number' || typeof width !== 'number')
    throw scope.unsupported('pictures of a size that is not given (--input-shape gives it); a resize that depends on it');
  return { value, size: [height, width] };
}

/** How TensorFlow 2 interpolates. */
export const SAMPLING: Readonly<Record<string, Readonly<Record<string, string | number>>>> = {
  bilinear: { mode: 'linear', coordinate_transformation_mode: 'half_pixel' },
  // TensorFlow takes the pixel that the centre of the new one lies in.
  // With a = -0.5, and without weights for what lies outside.
  bicubic: { mode: 'cubic', coordinate_transformation_mode: 'half_pixel', cubic_coeff_a: -0.5, exclude_outside: 1 },
  nearest: { mode: 'nearest', coordinate_transformation_mode: 'half_pixel', nearest_mode: 'round_prefer_ceil' },
};

export const resizing: Rule = (config) => {
  const sizing = readSizing(config);
  const interpolation = config.oneOf(['interpolation'], INTERPOLATIONS, 'bilinear');
  const crop = config.boolean(['crop_to_aspect_ratio'], false);
  const pad = config.boolean(['pad_to_aspect_ratio'], false);
  const antialias = config.boolean(['antialias'], false);
  config.expect(['fill_mode'], ['constant', null], 'pictures are filled up with one number');
  const filling = config.number(['fill_value'], 0);
  const mayRound = isKeras3(config.dialect) && interpolation !== 'nearest';
  return ([input], scope) => {
    if (input!.integer && mayRound)
      scope.assume('pictures of whole numbers are resized to real ones, as model.predict of Keras 3 does on TensorFlow; elsewhere it rounds them');
    return resizedPicture(input!, sizing.format, sizing.wanted, { interpolation, antialias, crop, filling: pad ? filling : null }, scope);
  };
};

export interface ResizeOptions {
  readonly interpolation: string;
  /** Whether fewer pixels are made of all that lie between them. */
  readonly antialias: boolean;
  /** The largest middle of the wanted proportions is resized. */
  readonly crop: boolean;
  /** Pictures are filled up to the wanted proportions with this number first. */
  readonly filling: number | null;
}

export function resizedPicture(input: Value, format: DataFormat, wanted: Size, options: ResizeOptions, scope: Scope): Value {
  const { crop, filling } = options;
  const { value, size } = picture(input, { format, wanted }, scope);
  if (crop) return croppedAndResized(value, size, wanted, options, scope);
  const whole = filling === null ? { value, size } : filledUp(value, size, wanted, filling, scope);
  return resize(whole.value, whole.size, wanted, options, scope);
}

/** The middle of a picture, a pixel nearer to the start where it is not the middle; of a smaller one, its middle enlarged. */
export const centerCrop: Rule = (config) => {
  const sizing = readSizing(config);
  return ([input], scope) => {
    const { value, size } = picture(input!, sizing, scope);
    const fits = size.every((length, axis) => length >= sizing.wanted[axis]!);
    return fits
      ? middle(value, size, sizing.wanted, scope)
      : croppedAndResized(value, size, sizing.wanted, { interpolation: 'bilinear', antialias: false }, scope);
  };
};

/** Acts in training; in a prediction pictures only pass that have its size already. */
export const randomCrop: Rule = (config) => {
  const sizing = readSizing(config);
  config.value(['seed', 'rng_type', 'data_format']);
  return ([input], scope) => {
    const { value, size } = picture(input!, sizing, scope);
    if (`${size}` === `${sizing.wanted}`) return value;
    throw scope.unsupported(
      `a RandomCrop of pictures of ${size.join(' x ')} to ${sizing.wanted.join(' x ')}: in a prediction Keras 3.15 leaves them as they are, and Keras 2 resizes their middle,`,
    );
  };
};

function middle(value: Value, size: Size, wanted: Size, scope: Scope): Value {
  if (`${size}` === `${wanted}`) return value;
  const starts = size.map((length, axis) => Math.floor((length - wanted[axis]!) / 2));
  return scope.add('Slice', [value], { attributes: { starts, ends: starts.map((start, axis) => start + wanted[axis]!), axes: [2, 3] } });
}

/** The largest middle of the wanted proportions, resized. */
function croppedAndResized(value: Value, [height, width]: Size, wanted: Size, how: Interpolation, scope: Scope): Value {
  const cropped: Size = [Math.min(height, Math.floor((width * wanted[0]) / wanted[1])), Math.min(width, Math.floor((height * wanted[1]) / wanted[0]))];
  return resize(middle(value, [height, width], cropped, scope), cropped, wanted, how, scope);
}

/** The picture in the middle of a larger one of the wanted proportions, or nearly: Keras adds as much on one side as on the other. */
function filledUp(value: Value, [height, width]: Size, wanted: Size, filling: number, scope: Scope): { value: Value; size: Size } {
  const whole: Size = [Math.max(height, Math.floor((width * wanted[0]) / wanted[1])), Math.max(width, Math.floor((height * wanted[1]) / wanted[0]))];
  const [rows, columns] = [Math.floor((whole[0] - height) / 2), Math.floor((whole[1] - width) / 2)] as const;
  const size: Size = [height + 2 * rows, width + 2 * columns];
  if (rows === 0 && columns === 0) return { value, size };
  return { value: scope.add('Pad', [value], { attributes: { pads: [0, 0, rows, columns, 0, 0, rows, columns], value: filling } }), size };
}

type Interpolation = Pick<ResizeOptions, 'interpolation' | 'antialias'>;

function resize(value: Value, size: Size, wanted: Size, how: Interpolation, scope: Scope): Value {
  if (`${size}` === `${wanted}`) return value;
  const isLess = size.some((length, axis) => wanted[axis]! < length);
  // What is told to antialias is worked out without the table, enlarged or not.
  const isExact = how.antialias || size.every((length, axis) => isInTable(length, wanted[axis]!));
  const { interpolation } = how;
  const antialias = how.antialias && isLess && interpolation !== 'nearest';
  // ONNX Runtime has no cubic interpolation to fewer pixels.
  if (antialias || !Object.hasOwn(SAMPLING, interpolation) || (interpolation === 'bicubic' && (isLess || !isExact)))
    return resampled(value, size, wanted, how, scope);
  const scales = size.map((length, axis) => scaleTo(length, wanted[axis]!, interpolation));
  if (!scales.every((scale) => scale !== null)) return resampled(value, size, wanted, how, scope);
  return scope.add('Resize', [value], { attributes: { scales: [1, 1, ...scales], ...SAMPLING[interpolation]! } });
}

/** Of pictures of 4,000 pixels by as many. */
const MAX_WEIGHTS = 2 ** 24;

/** Rows and columns by a matrix each, which holds for every new pixel what the old ones weigh. */
function resampled(value: Value, size: Size, wanted: Size, { interpolation, antialias }: Interpolation, scope: Scope): Value {
  const along = (input: Value, axis: 0 | 1) => {
    const [from, to] = [size[axis], wanted[axis]];
    if (from === to) return input;
    if (from * to > MAX_WEIGHTS) throw scope.unsupported(`an interpolation (${interpolation}) from ${from} pixels to ${to}`);
    const matrix = resamplingMatrix(from, to, interpolation, antialias);
    const kernel = float32Tensor(`${scope.name}/${axis === 0 ? 'rows' : 'columns'}`, [from, to], matrix, { file: scope.builder.file });
    return scope.add('MatMul', [input], { weights: { kernel } });
  };
  const turned = (input: Value) => scope.add('Transpose', [input], { attributes: { perm: [0, 1, 3, 2] } });
  const wide = along(value, 1);
  return size[0] === wanted[0] ? wide : turned(along(turned(wide), 0));
}
