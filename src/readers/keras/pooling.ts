/** Pooling, and layers that move or repeat pixels: padding, cropping, upsampling. */
import { adaptiveMeans, adaptiveWindows, plainPooling } from '../../model/adaptive.js';
import type { Dim } from '../../model/layer-map.js';
import { float32Tensor } from '../../model/tensor.js';
import { knownSize, reshapeTo } from './axes.js';
import type { DataFormat, Dialect } from './config-view.js';
import { type Padding, windowAttributes } from './convolutions.js';
import { INTERPOLATIONS, isInTable } from './resampling.js';
import { resizedPicture, SAMPLING } from './resizing.js';
import type { Rule } from './rule.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

export const pooling =
  (op: 'MaxPool' | 'AveragePool', rank: number): Rule =>
  (config) => {
    const kernel = config.sizes(['pool_size', 'pool_length'], rank, new Array(rank).fill(2));
    const given = config.value(['strides', 'stride']);
    const strides = given === null || given === undefined ? kernel : config.sizes(['strides', 'stride'], rank);
    const padding = config.oneOf<Padding>(['padding', 'border_mode'], ['valid', 'same'], 'valid');
    const format = poolingFormat(config, rank);
    if (padding === 'same' && config.dialect.theano) config.decline('"same" pooling saved under Theano, which pads in a way of its own, is not translated');
    return ([input], scope) => {
      const value = ranked(scope.inFormat(input!, format), rank + 2, scope);
      const dilations = kernel.map(() => 1);
      // TensorFlow's average leaves padding out of the count, which is ONNX's default.
      return scope.add(op, [value], { attributes: windowAttributes({ kernel, strides, dilations, padding }, value.shape, scope) });
    };
  };

export const globalPooling =
  (op: 'GlobalMaxPool' | 'GlobalAveragePool', rank: number): Rule =>
  (config) => {
    const format = poolingFormat(config, rank);
    const keep = config.boolean(['keepdims'], false);
    return ([input], scope) => {
      const value = ranked(scope.inFormat(input!, format), rank + 2, scope);
      const { mask } = input!;
      if (mask && mask !== 'unknown' && op === 'GlobalAveragePool') return maskedAverage(value, mask, keep, scope);
      const pooled = scope.add(op, [value]);
      return keep ? pooled : scope.add('Flatten', [pooled], { order: 'keras' });
    };
  };

/** To a size: each output's window goes from the floor of its share of the input to the ceiling. */
export const adaptivePooling =
  (op: 'MaxPool' | 'AveragePool', rank: number): Rule =>
  (config) => {
    const outs = config.sizes(['output_size'], rank);
    const format = config.dataFormat();
    return ([input], scope) => pooledTo(op, ranked(scope.inFormat(input!, format), rank + 2, scope), outs, scope);
  };

/** Larger than what nets pool to, and larger matrices of means than they take. */
const MAX_OUT = 4096;
const MAX_MEANS = 2 ** 22;

/** @param value channels first */
export function pooledTo(op: 'MaxPool' | 'AveragePool', value: Value, outs: readonly number[], scope: Scope): Value {
  if (outs.every((size) => size === 1)) return scope.add(`Global${op}`, [value]);
  const sizes = value.shape.slice(2).map((size) => {
    if (typeof size === 'number') return size;
    throw scope.unsupported(`pooling of [${value.shape}] to a size, where --input-shape does not give its own,`);
  });
  if (outs.some((out, axis) => out > MAX_OUT || out * sizes[axis]! > MAX_MEANS)) throw scope.unsupported(`pooling of [${value.shape}] to [${outs}]`);
  const plain = sizes.map((size, axis) => plainPooling(size, outs[axis]!));
  if (plain.every((axis) => axis !== null)) {
    const attributes = { kernel_shape: plain.map((axis) => axis!.kernel), strides: plain.map((axis) => axis!.stride) };
    return scope.add(op, [value], { attributes });
  }
  return sizes.reduce((made, size, axis) => (size === outs[axis] ? made : windows(op, made, axis + 2, size, outs[axis]!, scope)), value);
}

/** Windows of different sizes along one axis. */
function windows(op: 'MaxPool' | 'AveragePool', value: Value, axis: number, size: number, out: number, scope: Scope): Value {
  if (op === 'MaxPool') {
    const parts = adaptiveWindows(size, out).map(([start, end]) => {
      const part = scope.add('Slice', [value], { attributes: { starts: [start], ends: [end], axes: [axis] } });
      return scope.add('ReduceMax', [part], { attributes: { axes: [axis], keepdims: 1 } });
    });
    return scope.add('Concat', parts, { attributes: { axis } });
  }
  // The axis goes last for a product with what each output takes of each place.
  const last = value.shape.length - 1;
  const perm = value.shape.map((_, at) => (at === axis ? last : at === last ? axis : at));
  const turn = (one: Value) => (axis === last ? one : scope.add('Transpose', [one], { attributes: { perm } }));
  const kernel = float32Tensor(`${scope.name}/means_${axis}`, [size, out], adaptiveMeans(size, out).flat(), { file: scope.builder.file });
  return turn(scope.add('MatMul', [turn(value)], { weights: { kernel } }));
}

/** The mean over the steps that count. @param value [N, channels, steps] in the map */
function maskedAverage(value: Value, mask: Value, keep: boolean, scope: Scope): Value {
  const weights = reshapeTo(mask, [mask.shape[0]!, 1, mask.shape[1]!], value.order, scope);
  const axes = { attributes: { axes: [2], keepdims: 1 } };
  const sum = scope.add('ReduceSum', [scope.add('Mul', [value, weights])], axes);
  const mean = scope.add('Div', [sum, scope.add('ReduceSum', [weights], axes)]);
  return keep ? mean : scope.add('Flatten', [mean], { order: 'keras' });
}

/** Layers over sequences had no data format before Keras 2.2: channels are last. */
function poolingFormat(config: Parameters<Rule>[0], rank: number): DataFormat {
  return rank === 1 && !config.has('data_format') ? 'channels_last' : config.dataFormat();
}

export const zeroPadding =
  (rank: number): Rule =>
  (config) => {
    const margins = config.margins(['padding'], rank, new Array(rank).fill([1, 1]));
    const format = poolingFormat(config, rank);
    return ([input], scope) => {
      const value = ranked(scope.inFormat(input!, format), rank + 2, scope);
      const pads = [0, 0, ...margins.map(([begin]) => begin), 0, 0, ...margins.map(([, end]) => end)];
      return scope.add('Pad', [value], { attributes: { pads } });
    };
  };

/** ONNX takes an end beyond the axis for its end; this one is beyond every axis and fits an int32. */
const TO_THE_END = 2 ** 31 - 1;

export const cropping =
  (rank: number): Rule =>
  (config) => {
    const margins = config.margins(['cropping'], rank, new Array(rank).fill([1, 1]));
    const format = poolingFormat(config, rank);
    return ([input], scope) => {
      const value = ranked(scope.inFormat(input!, format), rank + 2, scope);
      const starts = margins.map(([begin]) => begin);
      const ends = margins.map(([, end]) => (end === 0 ? TO_THE_END : -end));
      return scope.add('Slice', [value], { attributes: { starts, ends, axes: margins.map((_, axis) => axis + 2) } });
    };
  };

const OPEN_SAMPLING =
  'a Keras before 2.4, whose sampling points depend on a TensorFlow version that the file does not tell (saved again by a newer one, it does)';

/**
 * @returns undefined for what ONNX has no word for; 'open' where the file does not tell: "2.2.4-tf" was written from TensorFlow 1.13 to 2.1, and
 *   the two majors sample at other points. Keras by itself always did as TensorFlow 1.
 * @see `resize_images` of keras/backend/tensorflow_backend.py (2.2.3 to 2.3) and of tensorflow/python/keras/backend.py
 */
function samplingOf(interpolation: string, isInTable: boolean, { version, fusing }: Dialect): (typeof SAMPLING)[string] | undefined | 'open' {
  const [major = 0, minor = 0] = version ?? [];
  if (major > 2 || (major === 2 && minor >= (fusing?.by === 'tf.keras' ? 3 : 4))) return isInTable ? SAMPLING[interpolation] : undefined;
  if (fusing?.by === 'keras' && interpolation === 'bilinear') return { mode: 'linear', coordinate_transformation_mode: 'asymmetric' };
  return 'open';
}

export const upSampling =
  (rank: number): Rule =>
  (config) => {
    const sizes = config.sizes(['size', 'length'], rank, new Array(rank).fill(2));
    const format = poolingFormat(config, rank);
    const interpolation = config.oneOf(['interpolation'], rank === 2 ? INTERPOLATIONS : ['nearest'], 'nearest');
    const given =
      interpolation === 'nearest' ? {} : samplingOf(interpolation, interpolation !== 'bicubic' || sizes.every((times) => isInTable(1, times)), config.dialect);
    if (given === 'open') config.decline(`${interpolation} upsampling of ${OPEN_SAMPLING}, is not translated`);
    const sampling = given === 'open' ? {} : given;
    return ([input], scope) => {
      const value = ranked(scope.inFormat(input!, format), rank + 2, scope);
      if (!sampling) {
        const [height, width] = sizes.map((times, axis) => times * knownSize({ ...value, order: 'keras' }, axis + 2, `${interpolation} upsampling`, scope)) as [
          number,
          number,
        ];
        return resizedPicture(value, format, [height, width], { interpolation, antialias: false, crop: false, filling: null }, scope);
      }
      return scope.add('Resize', [value], { attributes: { scales: [1, 1, ...sizes], ...sampling } });
    };
  };

function ranked(value: Value, rank: number, scope: Scope): Value {
  if (value.shape.length !== rank) throw scope.unsupported(`an input of shape [${value.shape as readonly Dim[]}], where ${rank} axes are expected,`);
  return value;
}
