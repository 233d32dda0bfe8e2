/** Operations on pictures: depth to space and back, resizing, windows of fixed numbers. */
import { float32Tensor } from '../../../model/tensor.js';
import { INTERPOLATIONS } from '../resampling.js';
import { resizedPicture } from '../resizing.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';
import { ofValue } from './arrangement.js';
import type { Operation } from './operation.js';

/** Blocks of channels laid out as pixels, or pixels as channels; TensorFlow counts channels within a block last, as ONNX does by itself. */
export const blocks = (op: 'DepthToSpace' | 'SpaceToDepth', x = 'input'): Operation =>
  ofValue(x, (args) => {
    const blocksize = args.integer('block_size', 1);
    const format = args.json('data_format') ?? 'NHWC';
    if (format !== 'NHWC' && format !== 'channels_last') args.decline(`its data format is ${String(format)}; channels are expected to be last`);
    return (input, scope) => {
      const value = channelsFirst(input, scope);
      const [, channels, height, width] = value.shape;
      const divided = op === 'DepthToSpace' ? [channels] : [height, width];
      const by = op === 'DepthToSpace' ? blocksize ** 2 : blocksize;
      if (blocksize < 2 || divided.some((size) => typeof size === 'number' && size % by !== 0))
        throw scope.malformed(`blocks of ${blocksize} do not divide a value of the shape [${value.shape}]`);
      return scope.add(op, [value], { attributes: { blocksize } });
    };
  });

function channelsFirst(input: Value, scope: Scope): Value {
  if (input.shape.length !== 4) throw scope.unsupported(`a value of ${input.shape.length} axes, where pictures are expected,`);
  return scope.builder.toMoved(input);
}

/** `tf.image.resize`, and `keras.ops.image.resize`, which may crop or fill up first. */
export const resize = (x: string, method: string): Operation =>
  ofValue(x, (args) => {
    const wanted = args.knownSizes('size');
    const interpolation = String(args.json(method) ?? 'bilinear').toLowerCase();
    const crop = args.boolean('crop_to_aspect_ratio', false);
    const pad = args.boolean('pad_to_aspect_ratio', false);
    const filling = args.number('fill_value', 0);
    const format = args.json('data_format') ?? 'channels_last';
    if (!INTERPOLATIONS.some((known) => known === interpolation))
      args.decline(`it interpolates by ${interpolation}; ${INTERPOLATIONS.join(', ')} are translated`);
    if (args.boolean('preserve_aspect_ratio', false)) args.decline('it keeps the proportions of pictures, which is not translated');
    const antialias = args.boolean('antialias', false);
    if ((args.json('fill_mode') ?? 'constant') !== 'constant') args.decline('pictures are filled up with one number');
    if (format !== 'channels_last') args.decline(`its data format is ${String(format)}; channels are expected to be last`);
    return (input, scope, inputs) => {
      const size = wanted(inputs, scope);
      if (size.length !== 2 || size.some((length) => length < 1)) throw scope.malformed(`pictures of the size [${size}]`);
      return resizedPicture(input, 'channels_last', [size[0]!, size[1]!], { interpolation, antialias, crop, filling: pad ? filling : null }, scope);
    };
  });

/** One window of numbers over each channel. @param kernels of the same size, which lie behind each other in what comes out of a channel */
function eachChannel(
  value: Value,
  kernels: readonly (readonly number[])[],
  [height, width]: readonly [number, number],
  pads: readonly number[],
  scope: Scope,
): Value {
  const channels = value.shape[1];
  if (typeof channels !== 'number') throw scope.unsupported('a window over channels of a free number');
  const values = Array.from({ length: channels }, () => kernels).flat(2);
  const kernel = float32Tensor(`${scope.name}/window`, [channels * kernels.length, 1, height, width], values, { file: scope.builder.file });
  return scope.add('Conv', [value], { attributes: { kernel_shape: [height, width], pads, group: channels }, weights: { kernel } });
}

/** A bell of so many places, whose sum is 1. */
function bell(size: number, sigma: number): number[] {
  const heights = Array.from({ length: size }, (_, i) => Math.exp(-0.5 * ((i - (size - 1) / 2) / sigma) ** 2));
  const sum = heights.reduce((a, b) => a + b, 0);
  return heights.map((height) => height / sum);
}

/** More than people blur over. */
const MAX_BLUR = 255;

/** Keras has the first number of both settings for columns; where its sizes differ, it lays the window out in the order of the other ones, and so do we. */
export const gaussianBlur: Operation = ofValue('images', (args) => {
  const [size, sigma] = [args.integers('kernel_size') ?? [3, 3], args.json('sigma') ?? [1, 1]];
  const deviations = Array.isArray(sigma) ? (sigma as readonly unknown[]) : [];
  if ((args.json('data_format') ?? 'channels_last') !== 'channels_last') args.decline('channels are expected to be last');
  if (size.length !== 2 || size.some((one) => one % 2 !== 1 || one < 1 || one > MAX_BLUR))
    args.decline(`its window is [${size}]; two odd sizes are translated`);
  if (deviations.length !== 2 || !deviations.every((one) => typeof one === 'number' && one > 0))
    args.decline(`its deviations are ${JSON.stringify(sigma)?.slice(0, 60)}`);
  return (input, scope) => {
    const value = channelsFirst(input, scope);
    const [height, width] = size as [number, number];
    const [first, second] = deviations as [number, number];
    const across = bell(height, first);
    const window = bell(width, second).flatMap((down) => across.map((one) => down * one));
    const pads = [height >> 1, width >> 1, height >> 1, width >> 1];
    return eachChannel(value, [window], [height, width], pads, scope);
  };
});

/** Slopes downwards and to the right, along an axis of their own. */
export const sobelEdges: Operation = ofValue('images', (args) => {
  if ((args.json('data_format') ?? 'channels_last') !== 'channels_last') args.decline('channels are expected to be last');
  return (input, scope) => {
    const value = channelsFirst(input, scope);
    const mirrored = scope.add('Pad', [value], { attributes: { pads: [0, 0, 1, 1, 0, 0, 1, 1], mode: 'reflect' } });
    const down = [-1, -2, -1, 0, 0, 0, 1, 2, 1];
    const across = [-1, 0, 1, -2, 0, 2, -1, 0, 1];
    const slopes = scope.builder.toKeras(eachChannel(mirrored, [down, across], [3, 3], [0, 0, 0, 0], scope));
    return scope.add('Reshape', [slopes], { attributes: { shape: [0, 0, 0, value.shape[1] as number, 2] }, order: 'keras' });
  };
});

/** Columns that windows of a picture were, laid back to where they come from and added up; the picture's channels are first for Keras too. */
export const fold: Operation = ofValue('x', (args) => {
  const pair = (name: string, usual: number): readonly number[] => {
    const sizes = args.integers(name) ?? [usual];
    return sizes.length === 1 ? [sizes[0]!, sizes[0]!] : sizes;
  };
  const pads = pair('padding', 0);
  const attributes = {
    image: pair('output_size', 0),
    block: pair('kernel_size', 1),
    dilations: pair('dilation', 1),
    strides: pair('stride', 1),
    pads: [...pads, ...pads],
  };
  if (Object.entries(attributes).some(([name, sizes]) => sizes.length !== (name === 'pads' ? 4 : 2))) args.decline('it is not of two axes');
  return (input, scope) => {
    const value = scope.builder.toKeras(input);
    if (value.shape.length !== 3) throw scope.malformed(`columns of the shape [${value.shape}]`);
    return scope.add('Col2Im', [value], { attributes, order: 'keras' });
  };
});
