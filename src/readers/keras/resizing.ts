/** Layers that bring pictures to a size: Resizing, CenterCrop, RandomCrop at rest. */
import type { ConfigView, DataFormat } from './config-view.js';
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

const SAMPLING: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  bilinear: { mode: 'linear', coordinate_transformation_mode: 'half_pixel' },
  // TensorFlow takes the pixel that the centre of the new one lies in.
  nearest: { mode: 'nearest', coordinate_transformation_mode: 'half_pixel', nearest_mode: 'round_prefer_ceil' },
};

export const resizing: Rule = (config) => {
  const sizing = readSizing(config);
  const interpolation = config.oneOf(['interpolation'], ['bilinear', 'nearest'], 'bilinear');
  const crop = config.boolean(['crop_to_aspect_ratio'], false);
  config.expect(['pad_to_aspect_ratio'], [false], 'filling pictures up to an aspect ratio is not translated');
  config.expect(['antialias'], [false], 'only interpolation between neighbours is translated');
  // What would fill up.
  config.value(['fill_mode', 'fill_value']);
  return ([input], scope) => {
    const { value, size } = picture(input!, sizing, scope);
    return crop ? croppedAndResized(value, size, sizing.wanted, scope) : resize(value, size, sizing.wanted, interpolation, scope);
  };
};

/** The middle of a picture, a pixel nearer to the start where it is not the middle; of a smaller one, its middle enlarged. */
export const centerCrop: Rule = (config) => {
  const sizing = readSizing(config);
  return ([input], scope) => {
    const { value, size } = picture(input!, sizing, scope);
    const fits = size.every((length, axis) => length >= sizing.wanted[axis]!);
    return fits ? middle(value, size, sizing.wanted, scope) : croppedAndResized(value, size, sizing.wanted, scope);
  };
};

/** Acts in training; in a prediction pictures only pass that have its size already. */
export const randomCrop: Rule = (config) => {
  const sizing = readSizing(config);
  config.value(['seed', 'rng_type', 'data_format']);
  return ([input], scope) => {
    const { value, size } = picture(input!, sizing, scope);
    if (`${size}` === `${sizing.wanted}`) return value;
    throw scope.unsupported(`a RandomCrop of pictures of ${size.join(' x ')} to ${sizing.wanted.join(' x ')}, which Keras resizes in a prediction,`);
  };
};

function middle(value: Value, size: Size, wanted: Size, scope: Scope): Value {
  if (`${size}` === `${wanted}`) return value;
  const starts = size.map((length, axis) => Math.floor((length - wanted[axis]!) / 2));
  return scope.add('Slice', [value], { attributes: { starts, ends: starts.map((start, axis) => start + wanted[axis]!), axes: [2, 3] } });
}

/** The largest middle of the wanted proportions, resized. */
function croppedAndResized(value: Value, [height, width]: Size, wanted: Size, scope: Scope): Value {
  const cropped: Size = [Math.min(height, Math.floor((width * wanted[0]) / wanted[1])), Math.min(width, Math.floor((height * wanted[1]) / wanted[0]))];
  return resize(middle(value, [height, width], cropped, scope), cropped, wanted, 'bilinear', scope);
}

function resize(value: Value, size: Size, wanted: Size, interpolation: string, scope: Scope): Value {
  if (`${size}` === `${wanted}`) return value;
  const scales = [1, 1, ...size.map((length, axis) => scaleTo(length, wanted[axis]!))];
  return scope.add('Resize', [value], { attributes: { scales, ...SAMPLING[interpolation]! } });
}

/** The float32 number that a size times it, rounded down, is the wanted size. */
function scaleTo(length: number, wanted: number): number {
  const scale = Math.fround(wanted / length);
  if (Math.floor(Math.fround(length * scale)) >= wanted && Math.floor(length * scale) >= wanted) return scale;
  const bits = new Uint32Array(Float32Array.of(scale).buffer);
  bits[0]! += 1;
  return new Float32Array(bits.buffer)[0]!;
}
