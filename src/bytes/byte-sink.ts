/** Where written bytes go. A sink may take several files; none has its final name before `commit`. */
import { checkRelativeName } from './file-set.js';

/** One file being written. Writes are in order unless `writeAt` is used. */
export interface FileSink {
  readonly name: string;
  /** End of what was written so far; where the next `write` goes. */
  readonly position: number;
  /** Appends. The buffer may be reused by the caller once the promise resolves. */
  write(bytes: Uint8Array): Promise<void>;
  /** Writes at a place of its own; what is left out before it must be written too before the file is closed. Not there for a stream. */
  writeAt?(position: number, bytes: Uint8Array): Promise<void>;
  /** Ends this file; later writes are errors. */
  close(): Promise<void>;
}

export interface WrittenFile {
  /** Relative to the sink's folder. */
  readonly name: string;
  readonly byteLength: number;
}

/** A place for the files of one model, which appear together or not at all. */
export interface ByteSink {
  /**
   * Starts a file. Names are relative to the output's folder.
   *
   * @throws ModelError 'unsafe' for a name that leaves it
   */
  create(name: string): Promise<FileSink>;
  /**
   * Gives all files their final names, the first that was created last, so that a model's main file appears when all is there.
   *
   * @returns the files in the order in which they were created
   */
  commit(): Promise<readonly WrittenFile[]>;
  /** Removes everything written; safe to call after a failure at any point, and after `commit` (then it does nothing). */
  abort(): Promise<void>;
}

/** A sink in memory, for tests and for the browser. */
export interface MemorySink extends ByteSink {
  /** The files after `commit`. */
  readonly files: ReadonlyMap<string, Uint8Array>;
}

export function memorySink(): MemorySink {
  const open = new Map<string, { readonly at: number; readonly bytes: Uint8Array }[]>();
  const files = new Map<string, Uint8Array>();
  return {
    files,
    async create(given) {
      const name = checkRelativeName(given);
      const chunks: { at: number; bytes: Uint8Array }[] = [];
      open.set(name, chunks);
      let position = 0;
      let closed = false;
      const put = (at: number, bytes: Uint8Array) => {
        if (closed) throw new Error(`${name} was written after it was closed`);
        chunks.push({ at, bytes: bytes.slice() });
        position = Math.max(position, at + bytes.byteLength);
      };
      return {
        name,
        get position() {
          return position;
        },
        write: async (bytes) => put(position, bytes),
        writeAt: async (at, bytes) => put(at, bytes),
        async close() {
          closed = true;
        },
      };
    },
    async commit() {
      for (const [name, chunks] of open) {
        const whole = new Uint8Array(chunks.reduce((end, { at, bytes }) => Math.max(end, at + bytes.byteLength), 0));
        for (const { at, bytes } of chunks) whole.set(bytes, at);
        files.set(name, whole);
      }
      open.clear();
      return [...files].map(([name, bytes]) => ({ name, byteLength: bytes.byteLength }));
    },
    async abort() {
      open.clear();
    },
  };
}

/** Joins pieces into one new buffer. */
export function concatBytes(pieces: readonly Uint8Array[]): Uint8Array {
  const joined = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.byteLength, 0));
  let position = 0;
  for (const piece of pieces) {
    joined.set(piece, position);
    position += piece.byteLength;
  }
  return joined;
}
