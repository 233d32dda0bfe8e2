/** Two tensors streamed beside each other. */
import { toFloat32Array, toFloat64Array } from './cast.js';
import { DTYPE_BYTES, type DType, isFloatDType } from './dtype.js';
import { type Tensor, tensorChunks } from './tensor.js';

/** Chunks of both, in row-major order, cut to the same elements; a pair is valid until the next is asked for. */
export async function* alignedPieces(source: Tensor, stored: Tensor): AsyncGenerator<readonly [Uint8Array, Uint8Array]> {
  const [left, right] = [tensorChunks(source)[Symbol.asyncIterator](), tensorChunks(stored)[Symbol.asyncIterator]()];
  const units = [DTYPE_BYTES[source.dtype], DTYPE_BYTES[stored.dtype]] as const;
  let [a, b] = [new Uint8Array() as Uint8Array, new Uint8Array() as Uint8Array];
  try {
    for (;;) {
      if (a.byteLength === 0) a = ((await left.next()).value as Uint8Array | undefined) ?? a;
      if (b.byteLength === 0) b = ((await right.next()).value as Uint8Array | undefined) ?? b;
      const count = Math.min(a.byteLength / units[0], b.byteLength / units[1]);
      if (count === 0) return;
      yield [a.subarray(0, count * units[0]), b.subarray(0, count * units[1])];
      a = a.subarray(count * units[0]);
      b = b.subarray(count * units[1]);
    }
  } finally {
    await left.return?.(undefined);
    await right.return?.(undefined);
  }
}

type AreSame = (a: Uint8Array, b: Uint8Array) => boolean;

let areSame: AreSame | null = null;

/** Has bytes that are the same found so by a function of the platform, which looks at a whole vector at a time. */
export function useAreSame(platform: AreSame | null): void {
  areSame = platform;
}

/** Index of the first byte that differs, or -1. Whole words are compared where both lie on word borders. */
export function firstDifference(a: Uint8Array, b: Uint8Array): number {
  if (areSame?.(a, b)) return -1;
  const length = Math.min(a.byteLength, b.byteLength);
  let start = 0;
  if (a.byteOffset % 4 === 0 && b.byteOffset % 4 === 0) {
    const words = Math.floor(length / 4);
    const [left, right] = [new Uint32Array(a.buffer, a.byteOffset, words), new Uint32Array(b.buffer, b.byteOffset, words)];
    let i = 0;
    while (i < words && left[i] === right[i]) i++;
    start = 4 * i;
  }
  for (let i = start; i < length; i++) if (a[i] !== b[i]) return i;
  return a.byteLength === b.byteLength ? -1 : length;
}

/** Real numbers; complex ones are pairs of them. */
export type Values = Float32Array | Float64Array;

/** Little-endian bytes as numbers: float32 where that holds them exactly. */
export function valuesOf(bytes: Uint8Array, dtype: DType): Values {
  if (isFloatDType(dtype) && dtype !== 'float64') return toFloat32Array(bytes, dtype);
  if (dtype === 'int8') return Float32Array.from(new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  if (dtype === 'uint8') return Float32Array.from(bytes);
  return toFloat64Array(bytes, dtype);
}
