/** Runs ONNX files in ONNX Runtime on arrays of any dtype, and reads recorded arrays as float64. */
import { readFile } from 'node:fs/promises';
import { memorySource } from '../src/bytes/byte-source.js';
import { readNpy } from '../src/containers/npy.js';
import { toFloat64Array } from '../src/model/cast.js';
import type { DType } from '../src/model/dtype.js';
import { numbersTensor } from '../src/model/numbers.js';
import { tensorBytes } from '../src/model/tensor.js';
import { INTEGER_ARRAYS } from '../src/verify/array.js';

export interface TypedArray {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

export async function readArray(path: string): Promise<TypedArray> {
  const tensor = await readNpy(memorySource(new Uint8Array(await readFile(path)), path), 'array');
  return { dtype: tensor.dtype, shape: tensor.shape, data: toFloat64Array(await tensorBytes(tensor), tensor.dtype) };
}

const VIEWS: Readonly<Record<string, new (buffer: ArrayBuffer) => ArrayLike<number | bigint>>> = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  ...INTEGER_ARRAYS,
  bool: Uint8Array,
};

/** @param feeds in the order of the inputs */
export async function runOnnxArrays(bytes: Uint8Array, feeds: readonly TypedArray[]): Promise<Map<string, TypedArray>> {
  const ort = await import('onnxruntime-node');
  const session = await ort.InferenceSession.create(bytes, { logSeverityLevel: 4 });
  try {
    const given = await Promise.all(
      session.inputNames.map(async (name, i) => {
        const { dtype, shape, data } = feeds[i]!;
        const encoded = (await tensorBytes(numbersTensor(name, dtype, shape, [...data], { file: 'test' }))).slice();
        return [name, new ort.Tensor(dtype as 'float32', new VIEWS[dtype]!(encoded.buffer) as Float32Array, shape)] as const;
      }),
    );
    const results = await session.run(Object.fromEntries(given));
    return new Map(
      session.outputNames.map((name) => {
        const { type, dims, data } = results[name]!;
        const view = data as Float32Array;
        const raw = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
        const dtype = type as DType;
        return [name, { dtype, shape: dims, data: toFloat64Array(raw.slice(), dtype) }];
      }),
    );
  } finally {
    await session.release();
  }
}

/** The largest difference, as a share of the largest expected value; infinite where shapes differ or one is a number and the other is not. */
export function distance(actual: { readonly shape: readonly number[]; readonly data: ArrayLike<number | bigint> }, expected: TypedArray): number {
  if (`${actual.shape}` !== `${expected.shape}`) return Number.POSITIVE_INFINITY;
  const scale = expected.data.reduce((max, value) => (Number.isFinite(value) ? Math.max(max, Math.abs(value)) : max), 0) || 1;
  let largest = 0;
  expected.data.forEach((value, i) => {
    const other = Number(actual.data[i]);
    if (Object.is(value, other) || value === other || (Number.isNaN(value) && Number.isNaN(other))) return;
    const difference = Math.abs(value - other) / scale;
    if (!(difference <= largest)) largest = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference;
  });
  return largest;
}
