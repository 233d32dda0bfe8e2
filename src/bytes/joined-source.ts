/** Several files, read as one stream of bytes. */
import { type ByteSource, filledSource } from './byte-source.js';
import type { FileSet } from './file-set.js';

/** A large model has more shards than a process may have open files. */
const MAX_OPEN = 16;

interface Shard {
  readonly name: string;
  readonly start: number;
  readonly end: number;
  source: ByteSource | null;
  /** Reads that have not ended. */
  busy: number;
}

/**
 * Joins files, in order. They are opened once for their sizes and then again as they are read.
 *
 * @throws ModelError 'malformed' naming a file that is missing, 'unsafe' for a name that leaves the folder
 */
export async function joinFiles(files: FileSet, names: readonly string[], label: string): Promise<ByteSource> {
  const shards: Shard[] = [];
  for (const name of names) {
    const source = await files.open(name);
    const start = shards.at(-1)?.end ?? 0;
    shards.push({ name, start, end: start + source.byteLength, source: null, busy: 0 });
    await source.close();
  }
  const open: Shard[] = [];
  const take = async (shard: Shard): Promise<ByteSource> => {
    shard.busy++;
    if (shard.source) return shard.source;
    const source = await files.open(shard.name);
    if (shard.source) {
      await source.close();
      return shard.source;
    }
    shard.source = source;
    open.push(shard);
    const idle = open.length > MAX_OPEN ? open.find(({ busy }) => busy === 0) : undefined;
    if (idle) {
      open.splice(open.indexOf(idle), 1);
      const { source: left } = idle;
      idle.source = null;
      await left?.close();
    }
    return shard.source;
  };
  return filledSource(label, shards.at(-1)?.end ?? 0, async (start, target) => {
    const end = start + target.byteLength;
    for (let i = firstAt(shards, start); i < shards.length && shards[i]!.start < end; i++) {
      const shard = shards[i]!;
      const from = Math.max(start, shard.start);
      const to = Math.min(end, shard.end);
      try {
        await (await take(shard)).readInto(from - shard.start, target.subarray(from - start, to - start));
      } finally {
        shard.busy--;
      }
    }
  });
}

/** Index of the first shard that ends behind a position. */
function firstAt(shards: readonly Shard[], position: number): number {
  let [low, high] = [0, shards.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (shards[middle]!.end > position) high = middle;
    else low = middle + 1;
  }
  return low;
}
