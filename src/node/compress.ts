/**
 * Files as they go over the wire: `.gz`, `.br`, beside the file itself. The same file always gives the same bytes, however many cores there are.
 *
 * Codes of weights hold no repetitions, and deflate that looks for some loses by it: against their entropy it is 2 to 3 % longer with Huffman codes
 * alone and 12 % longer with matches. Which of the two a file gets is decided on a part of it.
 */
import { availableParallelism } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type BrotliOptions, brotliCompress, constants, createBrotliCompress, deflateRaw, type ZlibOptions } from 'node:zlib';
import type { FileSink, WrittenFile } from '../bytes/byte-sink.js';
import type { ByteSource } from '../bytes/byte-source.js';
import { crc32 } from '../bytes/crc32.js';
import { fileSink } from './file-sink.js';
import { fileSource } from './file-source.js';

export type Compression = 'gzip' | 'br';

export const SUFFIX: Readonly<Record<Compression, string>> = { gzip: '.gz', br: '.br' };

/** Compressed each on its own, on all cores, and put one behind the other into one stream. */
const BLOCK_BYTES = 2 ** 22;
/** What a decision is made on. */
const TRIED_BYTES = 2 ** 18;
/** Slower settings take minutes for larger files. */
const SMALL_BYTES = 2 ** 22;

const deflate = promisify<Uint8Array, ZlibOptions, Uint8Array>(deflateRaw);
const brotli = promisify<Uint8Array, BrotliOptions, Uint8Array>(brotliCompress);

/** The files of a model that were written to `output`, compressed beside them. */
export async function compressWritten(
  output: string,
  files: readonly WrittenFile[],
  compression: Compression,
  force: boolean,
  onProgress: (bytesDone: number, bytesTotal: number) => void = () => {},
): Promise<readonly WrittenFile[]> {
  const folder = dirname(output);
  // Without what may follow a folder's name: its files are named from the folder around it.
  const sink = await fileSink(join(folder, basename(output) + SUFFIX[compression]), { force, keep: () => files.map(({ name }) => join(folder, name)) });
  const total = files.reduce((sum, { byteLength }) => sum + byteLength, 0);
  let done = 0;
  try {
    for (const { name } of files) {
      const source = await fileSource(join(folder, name));
      try {
        const target = await sink.create(name + SUFFIX[compression]);
        await compressFile(source, target, compression, (byteLength) => {
          done += byteLength;
          onProgress(done, total);
        });
        await target.close();
      } finally {
        await source.close();
      }
    }
    return await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

export async function compressFile(
  source: ByteSource,
  target: FileSink,
  compression: Compression,
  onBytes: (byteLength: number) => void = () => {},
): Promise<void> {
  await (compression === 'gzip' ? gzip : brotliStream)(source, target, onBytes);
}

/** @see https://www.rfc-editor.org/rfc/rfc1952 */
async function gzip(source: ByteSource, target: FileSink, onBytes: (byteLength: number) => void): Promise<void> {
  const settings = await gzipSettings(source);
  // No time, no name, no system: the same bytes everywhere.
  await target.write(Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff));
  let crc = 0;
  const pending: Promise<Uint8Array>[] = [];
  for (let start = 0; start === 0 || start < source.byteLength; start += BLOCK_BYTES) {
    const block = await source.read(start, Math.min(source.byteLength, start + BLOCK_BYTES));
    crc = crc32(block, crc);
    const isLast = start + BLOCK_BYTES >= source.byteLength;
    // In one piece: zlib's own 16 KB at a time take a quarter longer.
    pending.push(deflate(block, { ...settings, chunkSize: BLOCK_BYTES, finishFlush: isLast ? constants.Z_FINISH : constants.Z_FULL_FLUSH }));
    if (pending.length > availableParallelism()) await target.write(await pending.shift()!);
    onBytes(block.byteLength);
  }
  for (const block of pending) await target.write(await block);
  const end = new DataView(new ArrayBuffer(8));
  end.setUint32(0, crc, true);
  end.setUint32(4, source.byteLength % 2 ** 32, true);
  await target.write(new Uint8Array(end.buffer));
}

/** Huffman codes alone, unless matches make a part of the file's middle shorter, as they do of text and of what was pruned. */
async function gzipSettings(source: ByteSource): Promise<ZlibOptions> {
  const start = Math.max(0, Math.floor((source.byteLength - TRIED_BYTES) / 2));
  const part = await source.read(start, Math.min(source.byteLength, start + TRIED_BYTES));
  const alone = { strategy: constants.Z_HUFFMAN_ONLY, memLevel: 9 };
  const matched = { level: 9, memLevel: 9 };
  const [short, long] = await Promise.all([deflate(part, alone), deflate(part, matched)]);
  return short.byteLength <= long.byteLength ? alone : matched;
}

async function brotliStream(source: ByteSource, target: FileSink, onBytes: (byteLength: number) => void): Promise<void> {
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: source.byteLength <= SMALL_BYTES ? constants.BROTLI_MAX_QUALITY : 5,
    [constants.BROTLI_PARAM_SIZE_HINT]: Math.min(source.byteLength, 2 ** 30),
  };
  if (source.byteLength <= SMALL_BYTES) {
    await target.write(await brotli(await source.read(0, source.byteLength), { params }));
    return onBytes(source.byteLength);
  }
  const stream = createBrotliCompress({ params });
  const feed = async () => {
    for (let start = 0; start < source.byteLength; start += BLOCK_BYTES) {
      const block = await source.read(start, Math.min(source.byteLength, start + BLOCK_BYTES));
      if (!stream.write(block)) await new Promise((resolve) => stream.once('drain', resolve));
      onBytes(block.byteLength);
    }
    stream.end();
  };
  const fed = feed();
  fed.catch((error: Error) => stream.destroy(error));
  for await (const chunk of stream) await target.write(chunk as Uint8Array);
  await fed;
}
