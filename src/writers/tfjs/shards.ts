/** The files that the weights of a TensorFlow.js model lie in: one stream of bytes, cut into pieces that browsers can cache. */
import type { ByteSink, FileSink } from '../../bytes/byte-sink.js';
import { tensorByteLength, tensorChunks } from '../../model/tensor.js';
import type { StoredWeight } from './weights.js';

/** As the official converter cuts. */
export const SHARD_BYTES = 4 * 1024 * 1024;

/**
 * Streams the weights, in order, into `group1-shard1of9.bin` and so on; a weight may go on in the next file.
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
  let [file, left, next, done]: [FileSink | null, number, number, number] = [null, 0, 0, 0];
  const open = async () => {
    await file?.close();
    file = await sink.create(folder + names[next++]!);
    left = shardBytes;
  };
  await open();
  for (const { tensor } of weights) {
    for await (const chunk of tensorChunks(tensor)) {
      for (let at = 0; at < chunk.byteLength; ) {
        if (left === 0) await open();
        const piece = chunk.subarray(at, Math.min(chunk.byteLength, at + left));
        await (file as FileSink | null)!.write(piece);
        at += piece.byteLength;
        left -= piece.byteLength;
        done += piece.byteLength;
        onProgress?.(done, total);
      }
    }
  }
  await (file as FileSink | null)!.close();
  return names;
}
