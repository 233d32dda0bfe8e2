/** Inflates deflate streams into a buffer of known size, never beyond it. */
import type { ByteSource } from '../bytes/byte-source.js';

const STEP_BYTES = 2 ** 16;

/**
 * @param format 'deflate' for the bare stream (zip), 'zlib' with its header (HDF5), 'gzip' with header, checksum and length
 * @param byteLength what the stream must inflate to
 * @returns the bytes, or a sentence about what is wrong with the stream
 */
export async function inflateExactly(stored: ByteSource, format: 'deflate' | 'zlib' | 'gzip', byteLength: number): Promise<Uint8Array | string> {
  const { Gunzip, Inflate, Unzlib } = await import('fflate');
  const inflated = new Uint8Array(byteLength);
  let position = 0;
  const take = (chunk: Uint8Array) => {
    if (position + chunk.byteLength <= byteLength) inflated.set(chunk, position);
    position += chunk.byteLength;
  };
  const stream = format === 'zlib' ? new Unzlib(take) : format === 'gzip' ? new Gunzip(take) : new Inflate(take);
  try {
    for (let at = 0; at < stored.byteLength && position <= byteLength; at += STEP_BYTES) {
      const end = Math.min(at + STEP_BYTES, stored.byteLength);
      stream.push(await stored.read(at, end), end === stored.byteLength);
    }
  } catch (error) {
    return `does not inflate: ${(error as Error).message}`;
  }
  if (position === byteLength) return inflated;
  return `inflates to ${position > byteLength ? 'more than' : `${position} bytes, expected`} ${byteLength} bytes`;
}
