/** Inflates deflate streams into a buffer of known size, never beyond it. */
import type { ByteSource } from '../bytes/byte-source.js';

const STEP_BYTES = 2 ** 16;
const ADLER_MODULUS = 65_521;
/** Additions before the sums of Adler-32 could leave 32 bits. */
const ADLER_RUN = 5552;

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
  if (position === byteLength) return format === 'zlib' && !(await adlerHolds(stored, inflated)) ? 'fails its checksum' : inflated;
  return `inflates to ${position > byteLength ? 'more than' : `${position} bytes, expected`} ${byteLength} bytes`;
}

/** Whether the Adler-32 at the end of a zlib stream is that of its content, which the inflater does not look at. */
async function adlerHolds(stored: ByteSource, inflated: Uint8Array): Promise<boolean> {
  let [low, high] = [1, 0];
  for (let start = 0; start < inflated.byteLength; start += ADLER_RUN) {
    for (const byte of inflated.subarray(start, start + ADLER_RUN)) {
      low += byte;
      high += low;
    }
    low %= ADLER_MODULUS;
    high %= ADLER_MODULUS;
  }
  const end = await stored.read(stored.byteLength - 4, stored.byteLength);
  return new DataView(end.buffer, end.byteOffset, 4).getUint32(0) === high * 2 ** 16 + low;
}
