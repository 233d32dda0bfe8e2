/** Counts the bytes that a writer has written, for its progress line. */
import type { WriteOptions } from './writer.js';

/** @returns what is called with the length of every write; headers beside the `total` bytes of weights never count past them */
export function byteProgress(total: number, { onProgress }: Pick<WriteOptions, 'onProgress'>): (byteLength: number) => void {
  let done = 0;
  return (byteLength) => {
    done += byteLength;
    onProgress?.(Math.min(done, total), total);
  };
}
