/** Dense arrays on their way in and out of runtimes: layouts, slices along the batch, values from recorded files. */
import { ModelError } from '../errors.js';
import { castStage, newCastTally, toFloat32Array, toFloat64Array } from '../model/cast.js';
import type { DType } from '../model/dtype.js';
import type { Layout } from '../model/layer-map.js';
import { isChannelsLast, toChannelsFirst, toChannelsLast } from '../model/ports.js';
import { elementCount, rowMajorStrides, type Tensor, tensorBytes } from '../model/tensor.js';
import type { NdArray } from './engine.js';

/** The array with its axes in another layout; 'other' layouts stay as they are. */
export function toLayout(array: NdArray, from: Layout, to: Layout): NdArray {
  if (from === 'other' || to === 'other' || isChannelsLast(from) === isChannelsLast(to) || array.shape.length < 3) return array;
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

type Typed = Float64Array | Float32Array | Uint16Array | BigInt64Array | BigUint64Array | Int32Array | Uint32Array | Int16Array | Int8Array | Uint8Array;

/** What holds the bits of integers. */
export const INTEGER_ARRAYS = {
  int64: BigInt64Array,
  uint64: BigUint64Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
} as const;

/**
 * The values as a runtime takes them that was told their dtype; half precision as its bits.
 *
 * @throws ModelError 'usage' where a value is none of that dtype: nothing is rounded or wrapped in silence
 */
export function typedValues({ data }: NdArray, dtype: DType): Typed {
  const values = data as ArrayLike<number | bigint>;
  if (dtype === 'float32') return data instanceof Float32Array ? data : Float32Array.from(values, Number);
  if (dtype === 'float64') return Float64Array.from(values, Number);
  if (dtype === 'float16' || dtype === 'bfloat16') {
    const wide = Float32Array.from(values, Number);
    const bytes = castStage('float32', dtype, newCastTally()).apply(new Uint8Array(wide.buffer));
    return new Uint16Array(bytes.slice().buffer, 0, wide.length);
  }
  if (!Object.hasOwn(INTEGER_ARRAYS, dtype)) throw new ModelError('engine', `inputs of type ${dtype} are not fed`);
  const made = new INTEGER_ARRAYS[dtype as keyof typeof INTEGER_ARRAYS](values.length);
  for (let i = 0; i < values.length; i++) {
    const value = Number(values[i]);
    made[i] = made instanceof BigInt64Array || made instanceof BigUint64Array ? (Number.isInteger(value) ? BigInt(value) : 0n) : value;
    if (Number(made[i]) !== value) throw new ModelError('usage', `an input has the value ${value}, and the file takes ${dtype}`);
  }
  return made;
}

/** Rows [start, end) of the first axis. */
export function rows({ shape, data }: NdArray, start: number, end: number): NdArray {
  const length = elementCount(shape.slice(1));
  return { shape: [end - start, ...shape.slice(1)], data: data.slice(start * length, end * length) as NdArray['data'] };
}

/**
 * A recorded tensor's values as float32, or as float64 where float32 would not hold them.
 *
 * @throws ModelError 'unsupported' for complex numbers, which ports of nets are not of
 */
export async function toArray(tensor: Tensor): Promise<NdArray> {
  if (tensor.dtype.startsWith('complex'))
    throw new ModelError('unsupported', `the array "${tensor.name}" holds complex numbers, and nets take and give real ones`, { file: tensor.origin.file });
  const isWide = ['float64', 'int32', 'uint32', 'int64', 'uint64'].includes(tensor.dtype);
  return { shape: tensor.shape, data: (isWide ? toFloat64Array : toFloat32Array)(await tensorBytes(tensor), tensor.dtype) };
}
