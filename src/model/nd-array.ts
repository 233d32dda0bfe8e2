/** A dense array of values, row-major; float16 results are widened to float32 by their engine. */
export interface NdArray {
  readonly shape: readonly number[];
  readonly data: Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;
}
