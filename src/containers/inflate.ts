/** Inflates deflate streams into a buffer of known size, never beyond it. */
import { concatBytes } from '../bytes/byte-sink.js';
import type { ByteSource } from '../bytes/byte-source.js';
import { crc32 } from '../bytes/crc32.js';

const STEP_BYTES = 2 ** 16;
/** A step may inflate to a thousand times as much. */
const SMALL_STEP_BYTES = 2 ** 13;
/** A stream is made with a window of its own, a hundred times as large as a small member of an archive, which may hold thousands. */
const SMALL_STREAM_BYTES = 2 ** 12;

/**
 * @param format 'deflate' for the bare stream (zip), 'zlib' with its header (HDF5), 'gzip' with header, checksum and length
 * @param byteLength what the stream must inflate to
 * @returns the bytes, or a sentence about what is wrong with the stream
 */
export async function inflateExactly(stored: ByteSource, format: 'deflate' | 'zlib' | 'gzip', byteLength: number): Promise<Uint8Array | string> {
  if (format === 'deflate' && stored.byteLength <= SMALL_STREAM_BYTES) return inflateSmall(stored, byteLength);
  const { Gunzip, Inflate, Unzlib } = await import('fflate');
  const inflated = new Uint8Array(byteLength);
  let position = 0;
  const take = (chunk: Uint8Array) => {
    if (position + chunk.byteLength <= byteLength) inflated.set(chunk, position);
    position += chunk.byteLength;
  };
  const stream = format === 'zlib' ? new Unzlib(take) : format === 'gzip' ? new Gunzip(take) : new Inflate(take);
  const problem = await feed(stream, stored, STEP_BYTES, () => position > byteLength);
  if (problem !== null) return problem;
  if (position === byteLength) return (await checksumHolds(stored, format, inflated)) ? inflated : 'fails its checksum';
  return `inflates to ${position > byteLength ? 'more than' : `${position} bytes, expected`} ${byteLength} bytes`;
}

/** The same in one step; a byte more than is wanted shows what is too long. */
async function inflateSmall(stored: ByteSource, byteLength: number): Promise<Uint8Array | string> {
  const { inflateSync } = await import('fflate');
  try {
    const made = inflateSync(await stored.read(0, stored.byteLength), { out: new Uint8Array(byteLength + 1) });
    if (made.byteLength === byteLength) return made.slice();
    return `inflates to ${made.byteLength > byteLength ? 'more than' : `${made.byteLength} bytes, expected`} ${byteLength} bytes`;
  } catch (error) {
    return `does not inflate: ${(error as Error).message}`;
  }
}

/** @returns what a gzip file inflates to, null where that is more than a limit, or a sentence about what is wrong */
export async function inflateUpTo(stored: ByteSource, limit: number): Promise<Uint8Array | null | string> {
  const { Gunzip } = await import('fflate');
  const parts: Uint8Array[] = [];
  let count = 0;
  const stream = new Gunzip((chunk) => {
    count += chunk.byteLength;
    if (count <= limit) parts.push(chunk.slice());
  });
  const problem = await feed(stream, stored, SMALL_STEP_BYTES, () => count > limit);
  if (problem !== null) return problem;
  return count > limit ? null : concatBytes(parts);
}

/** @returns what is wrong with the stream; null where nothing is, as far as it was looked at before it was enough */
async function feed(
  stream: { push(chunk: Uint8Array, isLast: boolean): void },
  stored: ByteSource,
  step: number,
  isEnough: () => boolean,
): Promise<string | null> {
  try {
    for (let at = 0; at < stored.byteLength && !isEnough(); at += step) {
      const end = Math.min(at + step, stored.byteLength);
      stream.push(await stored.read(at, end), end === stored.byteLength);
    }
    return null;
  } catch (error) {
    return `does not inflate: ${(error as Error).message}`;
  }
}

/** What follows a stream, which the inflater does not look at: Adler-32 behind zlib's, CRC-32 behind gzip's. */
async function checksumHolds(stored: ByteSource, format: 'deflate' | 'zlib' | 'gzip', inflated: Uint8Array): Promise<boolean> {
  if (format === 'deflate') return true;
  const length = format === 'zlib' ? 4 : 8;
  if (stored.byteLength < length) return false;
  const end = await stored.read(stored.byteLength - length, stored.byteLength);
  const view = new DataView(end.buffer, end.byteOffset, length);
  return format === 'zlib' ? view.getUint32(0) === adler32(inflated) : view.getUint32(0, true) === crc32(inflated);
}

/** Sums may grow for so many bytes before they leave 32 bits. */
const ADLER_STEP = 5552;
const ADLER_MODULUS = 65_521;

/** @see https://www.rfc-editor.org/rfc/rfc1950, section 8.2 */
function adler32(bytes: Uint8Array): number {
  let [low, high] = [1, 0];
  for (let start = 0; start < bytes.length; start += ADLER_STEP) {
    const end = Math.min(bytes.length, start + ADLER_STEP);
    for (let i = start; i < end; i++) {
      low += bytes[i]!;
      high += low;
    }
    low %= ADLER_MODULUS;
    high %= ADLER_MODULUS;
  }
  return ((high << 16) | low) >>> 0;
}
