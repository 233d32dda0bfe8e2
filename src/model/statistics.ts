/** Statistics of a tensor's values, in one streaming pass. */
import { toFloat32Array, toFloat64Array } from './cast.js';
import { elementCount, type Tensor, tensorChunks } from './tensor.js';

export interface TensorStatistics {
  /** Of the finite values; null where there are none. */
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
  /** Of the population. */
  readonly std: number | null;
  readonly zeros: number;
  /** NaN and infinities. */
  readonly nonFinite: number;
}

/** An incremental hash, given by the platform. */
export interface Hasher {
  update(bytes: Uint8Array): void;
  /** Hexadecimal. */
  digest(): string;
}

/** @param hasher sees the little-endian row-major bytes of the same pass */
export async function floatStatistics(tensor: Tensor, hasher?: Hasher): Promise<TensorStatistics> {
  let [min, max, sum, squares, zeros, nonFinite] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, 0, 0];
  // Sums of differences from the first value, so that a large common offset does not swallow the deviation.
  let pivot: number | null = null;
  const narrow = ['float32', 'float16', 'bfloat16'].includes(tensor.dtype);
  for await (const chunk of tensorChunks(tensor)) {
    hasher?.update(chunk);
    const values = narrow ? toFloat32Array(chunk, tensor.dtype) : toFloat64Array(chunk, tensor.dtype);
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (value === 0) zeros++;
      // Infinity minus itself is NaN, and so is anything with NaN.
      if (value - value !== 0) {
        nonFinite++;
        continue;
      }
      pivot ??= value;
      if (value < min) min = value;
      if (value > max) max = value;
      const difference = value - pivot;
      sum += difference;
      squares += difference * difference;
    }
  }
  const count = elementCount(tensor.shape) * (tensor.dtype.startsWith('complex') ? 2 : 1) - nonFinite;
  if (count === 0 || pivot === null) return { min: null, max: null, mean: null, std: null, zeros, nonFinite };
  const mean = sum / count;
  return { min, max, mean: mean + pivot, std: Math.sqrt(Math.max(0, squares / count - mean * mean)), zeros, nonFinite };
}
