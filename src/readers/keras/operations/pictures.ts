/** Operations on pictures: depth to space and back, resizing. */
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
