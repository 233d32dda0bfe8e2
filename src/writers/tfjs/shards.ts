/** The files that the weights of a TensorFlow.js model lie in: one stream of bytes, cut into pieces that browsers can cache. */
import type { ByteSink, FileSink } from '../../bytes/byte-sink.js';
import { tensorByteLength, tensorPieces } from '../../model/tensor.js';
import type { StoredWeight } from './weights.js';

/** As the official converter cuts. */
export const SHARD_BYTES = 4 * 1024 * 1024;

/**
 * Writes the weights, in order, into `group1-shard1of9.bin` and so on; a weight may go on in the next file. Files are open while a weight
 * that reaches into them is written.
 *
 * @param folder what the names begin with in the sink; '' or ending with '/'
 * @returns the files' names, without the folder
 */
export async function writeShards(
  weights: readonly StoredWeight[],
  sink: ByteSink,
  folder: string,
  shardBytes: number,
  onProgress?: (bytesDone: number, bytesTotal: number) => void,
): Promise<string[]> {
  const total = weights.reduce((sum, { tensor }) => sum + tensorByteLength(tensor), 0);
  const count = Math.max(1, Math.ceil(total / shardBytes));
  const names = Array.from({ length: count }, (_, i) => `group1-shard${i + 1}of${count}.bin`);
  const files: FileSink[] = [];
  let closed = 0;
  const fileAt = async (index: number): Promise<FileSink> => {
    while (files.length <= index) files.push(await sink.create(folder + names[files.length]!));
    return files[index]!;
  };
  let [start, done] = [0, 0];
  await fileAt(0);
  for (const { tensor } of weights) {
    for await (const { offset, bytes } of tensorPieces(tensor)) {
      for (let at = 0; at < bytes.byteLength; ) {
        const position = start + offset + at;
        const place = position % shardBytes;
        const piece = bytes.subarray(at, Math.min(bytes.byteLength, at + shardBytes - place));
        const file = await fileAt(Math.floor(position / shardBytes));
        if (file.position === place) await file.write(piece);
        else await file.writeAt!(place, piece);
        at += piece.byteLength;
      }
      done += bytes.byteLength;
      onProgress?.(done, total);
    }
    start += tensorByteLength(tensor);
    for (; closed < Math.floor(start / shardBytes); closed++) await files[closed]?.close();
  }
  for (; closed < files.length; closed++) await files[closed]!.close();
  return names;
}
