/** Weights that are worked out from those of the file, whatever their dtype, when somebody asks. */
import { toFloat64Array } from '../model/cast.js';
import { computedTensor, reshape, type Tensor, tensorBytes } from '../model/tensor.js';

export async function numbersOf(tensor: Tensor): Promise<Float64Array> {
  return toFloat64Array(await tensorBytes(tensor), tensor.dtype);
}

/** float32 numbers worked out from a weight. */
export function computed(source: Tensor, name: string, shape: readonly number[], compute: () => Promise<Float64Array>): Tensor {
  return reshape(
    computedTensor(name, 'float32', shape, source.origin, async () => new Uint8Array(Float32Array.from(await compute()).buffer)),
    shape,
  );
}
