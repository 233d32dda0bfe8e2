/** Streams a seeded tensor's float32 values into a file. */
import type { FileSink } from '../../bytes/byte-sink.js';
import type { SeededTensor } from './vgg16.js';

const VALUES_PER_PIECE = 2 ** 18;

/**
 * @param indexOf maps a position in the written order to a row-major index of the tensor, for dialects that order otherwise
 * @param onPiece sees each piece before it is written, for checksums
 */
export async function writeValues(
  file: FileSink,
  tensor: SeededTensor,
  indexOf?: (position: number) => number,
  onPiece?: (bytes: Uint8Array) => void,
): Promise<void> {
  const total = tensor.shape.reduce((a, b) => a * b, 1);
  const buffer = new Float32Array(Math.min(total, VALUES_PER_PIECE));
  for (let start = 0; start < total; start += VALUES_PER_PIECE) {
    const values = buffer.subarray(0, Math.min(VALUES_PER_PIECE, total - start));
    tensor.fill(values, start, indexOf);
    const bytes = new Uint8Array(values.buffer, 0, values.byteLength);
    onPiece?.(bytes);
    await file.write(bytes);
  }
}
