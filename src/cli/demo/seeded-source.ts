/** Seeded tensors as lazy ones, for the writers that the product has. */
import { type ByteSource, filledSource } from '../../bytes/byte-source.js';
import { elementCount, storedTensor, type Tensor } from '../../model/tensor.js';
import type { SeededTensor } from './vgg16.js';

/**
 * A float32 tensor whose values are made when they are read.
 *
 * @param indexOf maps a position in the written order to a row-major index of the seeded tensor, for dialects that order otherwise
 */
export function lazyTensor(name: string, seeded: SeededTensor, shape = seeded.shape, indexOf?: (position: number) => number): Tensor {
  const file = 'seeded';
  return storedTensor({ name, dtype: 'float32', shape, source: seededSource(file, seeded, indexOf), origin: { file, name } });
}

function seededSource(name: string, seeded: SeededTensor, indexOf?: (position: number) => number): ByteSource {
  return filledSource(name, 4 * elementCount(seeded.shape), (start, target) => {
    // Whole values, of which the first and the last may stick out.
    const first = Math.floor(start / 4);
    const values = new Float32Array(Math.ceil((start + target.byteLength) / 4) - first);
    seeded.fill(values, first, indexOf);
    target.set(new Uint8Array(values.buffer, start - 4 * first, target.byteLength));
  });
}
