/** Small tensors as lists of numbers, and back. */
import { castTensor, newCastTally, toFloat64Array } from './cast.js';
import type { DType } from './dtype.js';
import { constantTensor, elementCount, type Origin, type Tensor, tensorBytes } from './tensor.js';

/** Shapes, axes, anchors and the like have fewer elements. */
const MAX_KNOWN = 1024;

/** A tensor of given elements, which everyone may look at without reading it. */
export function numbersTensor(name: string, dtype: DType, shape: readonly number[], values: readonly number[], origin: Origin): Tensor {
  return { ...listedTensor(name, dtype, shape, values, origin), known: values };
}

/** The same of elements that may be many. */
export function listedTensor(name: string, dtype: DType, shape: readonly number[], values: ArrayLike<number>, origin: Origin): Tensor {
  const make = (array: ArrayBufferView, stored = dtype) => constantTensor(name, stored, shape, new Uint8Array(array.buffer as ArrayBuffer), origin);
  switch (dtype) {
    case 'int64':
      return make(BigInt64Array.from(values, toInt64));
    case 'uint64':
      return make(BigUint64Array.from(values, (value) => BigInt(Math.trunc(value))));
    case 'int32':
      return make(new Int32Array(values));
    case 'uint32':
      return make(new Uint32Array(values));
    case 'int16':
      return make(new Int16Array(values));
    case 'uint16':
      return make(new Uint16Array(values));
    case 'int8':
      return make(new Int8Array(values));
    case 'uint8':
    case 'bool':
      return make(new Uint8Array(values));
    case 'float64':
      return make(new Float64Array(values));
    case 'float32':
      return make(new Float32Array(values));
    default:
      return castTensor(make(new Float32Array(values), 'float32'), dtype, newCastTally());
  }
}

/** Exporters say "to the end" with the largest int64, which no double holds. */
export function toInt64(value: number): bigint {
  if (value >= 2 ** 63) return 2n ** 63n - 1n;
  return value <= -(2 ** 63) ? -(2n ** 63n) : BigInt(Math.trunc(value));
}

/** The tensor with its elements at hand where they are few: what shapes, axes and bounds are made of is looked at while a graph is read. */
export async function withKnown(tensor: Tensor): Promise<Tensor> {
  if (tensor.known || elementCount(tensor.shape) > MAX_KNOWN || tensor.dtype.startsWith('complex')) return tensor;
  return { ...tensor, known: [...toFloat64Array(await tensorBytes(tensor), tensor.dtype)] };
}
