/** A sink into blobs, which browsers keep out of a page's own memory. */
import type { ByteSink } from './byte-sink.js';
import { checkRelativeName } from './file-set.js';

/** Each blob takes a message to another process: many small writes become one. */
const PART_BYTES = 2 ** 20;

export interface BlobSink extends ByteSink {
  /** The files after `commit`. */
  readonly files: ReadonlyMap<string, Blob>;
}

export function blobSink(): BlobSink {
  const open = new Map<string, () => Blob>();
  const files = new Map<string, Blob>();
  return {
    files,
    async create(given) {
      const name = checkRelativeName(given);
      const parts: Blob[] = [];
      let waiting: Uint8Array<ArrayBuffer>[] = [];
      let waitingBytes = 0;
      let position = 0;
      const flush = () => {
        if (waitingBytes > 0) parts.push(new Blob(waiting));
        [waiting, waitingBytes] = [[], 0];
      };
      open.set(name, () => {
        flush();
        return new Blob(parts);
      });
      return {
        name,
        get position() {
          return position;
        },
        async write(bytes) {
          // The buffer may be used again.
          waiting.push(bytes.slice());
          waitingBytes += bytes.byteLength;
          position += bytes.byteLength;
          if (waitingBytes >= PART_BYTES) flush();
        },
        close: async () => {},
      };
    },
    async commit() {
      for (const [name, whole] of open) files.set(name, whole());
      open.clear();
      return [...files].map(([name, { size }]) => ({ name, byteLength: size }));
    },
    abort: async () => open.clear(),
  };
}
