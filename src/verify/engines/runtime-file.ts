/**
 * A file for a runtime that Emscripten compiled, in that one's file system in memory, and read from ours as the runtime comes to it: beside what it
 * makes of 553 MB there is no room for the bytes themselves.
 */
import type { ByteSource } from '../../bytes/byte-source.js';

/** What Emscripten's file system asks of a file's bytes that it may own; a Uint8Array has it as well. */
export interface FileContent {
  readonly length: number;
  subarray(start: number, end: number): Uint8Array | FileContent;
  /** Up to eight bytes are asked for one by one. */
  readonly [place: number]: number;
}

export interface RuntimeFile {
  readonly content: FileContent;
  /** Throws what kept a piece from being read: an error in the midst of a read would be taken for a crash of the runtime. */
  check(): void;
}

/** Runtimes ask for a few kilobytes at a time, mostly those behind the last ones. */
const PIECE_BYTES = 2 ** 20;

/** Whole, where bytes must be waited for. */
export async function runtimeFile(source: ByteSource): Promise<RuntimeFile> {
  const { readIntoNow } = source;
  if (!readIntoNow) return { content: await source.read(0, source.byteLength), check() {} };
  const length = source.byteLength;
  let piece = new Uint8Array(0);
  let from = 0;
  let failure: unknown;
  const part = (start: number, end: number): Uint8Array => {
    if (start < from || end > from + piece.length) {
      from = start;
      piece = new Uint8Array(Math.max(end - start, Math.min(PIECE_BYTES, length - start)));
      try {
        readIntoNow.call(source, start, piece);
      } catch (error) {
        failure ??= error;
      }
    }
    return piece.subarray(start - from, end - from);
  };
  const content: FileContent = new Proxy<FileContent>(
    // The whole is asked for once, where the file is put into the file system.
    { length, subarray: (start, end) => (end - start === length ? content : part(start, end)) },
    { get: (known, key) => (key in known ? Reflect.get(known, key) : part(Number(key), Number(key) + 1)[0]) },
  );
  return {
    content,
    check() {
      if (failure !== undefined) throw failure;
    },
  };
}
