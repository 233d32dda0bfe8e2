/** ONNX Runtime as it is used here, and arrays as its tensors, and back. */
import type { InferenceSession, Tensor as OrtTensor, TypedTensor } from 'onnxruntime-common';
import { ModelError } from '../../errors.js';
import { toFloat32Array } from '../../model/cast.js';
import { isDType } from '../../model/dtype.js';
import { typedValues } from '../array.js';
import type { NdArray } from '../engine.js';

export interface Ort {
  readonly InferenceSession: { create(model: string | Uint8Array, options?: InferenceSession.SessionOptions): Promise<InferenceSession> };
  readonly Tensor: new (type: never, data: never, dims: readonly number[]) => OrtTensor;
  readonly env: {
    readonly versions?: { readonly node?: string; readonly web?: string; readonly common?: string };
    readonly wasm?: { numThreads?: number };
    logLevel?: string;
  };
}

export function toOrt(ort: Pick<Ort, 'Tensor'>, type: string, array: NdArray): OrtTensor {
  const make = (data: unknown) => new ort.Tensor(type as never, data as never, array.shape);
  if (type === 'float32' && array.data instanceof Float32Array) return make(array.data);
  if (type === 'bool' || !isDType(type)) {
    if (type === 'bool') return make(typedValues(array, 'uint8'));
    throw new ModelError('engine', `inputs of type ${type} are not fed`);
  }
  return make(typedValues(array, type));
}

const WIDE: ReadonlySet<string> = new Set(['float64', 'int64', 'uint64', 'int32', 'uint32']);

export function fromOrt(tensor: OrtTensor): NdArray {
  // Asking ONNX Runtime's native build for such a tensor's values aborts the process.
  if (tensor.location?.startsWith('gpu')) throw new ModelError('engine', `an output stayed on the GPU (${tensor.location}) instead of being fetched`);
  const { data, type, dims } = tensor as TypedTensor<'float32'>;
  if (type === 'float32' && data instanceof Float32Array) return { shape: dims, data };
  // Counts and positions may be larger than float32 holds.
  if (WIDE.has(type)) return { shape: dims, data: Float64Array.from(data as ArrayLike<number>, Number) };
  // Node 20 has no Float16Array: half-precision results come as their bits.
  const isHalf = (type as string) === 'float16' && (data as unknown) instanceof Uint16Array;
  const bits = data as unknown as Uint16Array;
  const values = isHalf
    ? toFloat32Array(new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength), 'float16')
    : Float32Array.from(data as ArrayLike<number>, Number);
  return { shape: dims, data: values };
}
