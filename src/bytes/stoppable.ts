/** Work that can be stopped from outside: a file set whose every read asks whether it still should. */
import type { ByteSource } from './byte-source.js';
import type { FileSet } from './file-set.js';

/** The set itself where there is no signal. Reads of a stopped set throw the signal's reason. */
export function stoppable<Files extends FileSet>(files: Files, signal: AbortSignal | undefined): Files {
  if (!signal) return files;
  return {
    ...files,
    async open(name) {
      signal.throwIfAborted();
      return stoppableSource(await files.open(name), signal);
    },
  };
}

function stoppableSource(source: ByteSource, signal: AbortSignal): ByteSource {
  const { name, byteLength } = source;
  return {
    name,
    byteLength,
    async read(start, end) {
      signal.throwIfAborted();
      return source.read(start, end);
    },
    async readInto(start, target) {
      signal.throwIfAborted();
      return source.readInto(start, target);
    },
    ...(source.readIntoNow
      ? {
          readIntoNow(start: number, target: Uint8Array) {
            signal.throwIfAborted();
            source.readIntoNow!(start, target);
          },
        }
      : {}),
    ...(source.readRuns
      ? {
          async readRuns(start: number, stride: number, runLength: number, target: Uint8Array) {
            signal.throwIfAborted();
            return source.readRuns!(start, stride, runLength, target);
          },
        }
      : {}),
    close: () => source.close(),
  };
}
