/** Dense arrays on their way in and out of runtimes: layouts, slices along the batch, values from recorded files. */
import { toFloat32Array, toFloat64Array } from '../model/cast.js';
import type { Layout } from '../model/layer-map.js';
import { isChannelsLast, toChannelsFirst, toChannelsLast } from '../model/ports.js';
import { elementCount, rowMajorStrides, type Tensor, tensorBytes } from '../model/tensor.js';
import type { NdArray } from './engine.js';

/** The array with its axes in another layout; 'other' layouts stay as they are. */
export function toLayout(array: NdArray, from: Layout, to: Layout): NdArray {
  if (isChannelsLast(from) === isChannelsLast(to) || array.shape.length < 3) return array;
  return permuteArray(array, isChannelsLast(from) ? toChannelsFirst(array.shape.length) : toChannelsLast(array.shape.length));
}

export function permuteArray({ shape, data }: NdArray, order: readonly number[]): NdArray {
  const strides = rowMajorStrides(shape);
  const sizes = order.map((axis) => shape[axis]!);
  const steps = order.map((axis) => strides[axis]!);
  const moved = data instanceof Float64Array ? new Float64Array(data.length) : new Float32Array(data.length);
  const position = sizes.map(() => 0);
  let at = 0;
  for (let i = 0; i < moved.length; i++) {
    moved[i] = Number(data[at]);
    for (let axis = sizes.length - 1; axis >= 0; axis--) {
      at += steps[axis]!;
      if (++position[axis]! < sizes[axis]!) break;
      at -= sizes[axis]! * steps[axis]!;
      position[axis] = 0;
    }
  }
  return { shape: sizes, data: moved };
}

/** Rows [start, end) of the first axis. */
export function rows({ shape, data }: NdArray, start: number, end: number): NdArray {
  const length = elementCount(shape.slice(1));
  return { shape: [end - start, ...shape.slice(1)], data: data.slice(start * length, end * length) as NdArray['data'] };
}

/** A recorded tensor's values as float32, or as float64 where float32 would not hold them. */
export async function toArray(tensor: Tensor): Promise<NdArray> {
  const isWide = ['float64', 'int32', 'uint32', 'int64', 'uint64'].includes(tensor.dtype);
  return { shape: tensor.shape, data: (isWide ? toFloat64Array : toFloat32Array)(await tensorBytes(tensor), tensor.dtype) };
}
