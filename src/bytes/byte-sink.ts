/** Where written bytes go. A sink may take several files; none has its final name before `commit`. */

/** One file being written. Writes are in order unless `writeAt` is used. */
export interface FileSink {
  readonly name: string;
  /** Bytes written in order so far; where the next `write` goes. */
  readonly position: number;
  /** Appends. The buffer may be reused by the caller once the promise resolves. */
  write(bytes: Uint8Array): Promise<void>;
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
  /** Starts a file. Names are relative to the output's folder. */
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
  const open = new Map<string, Uint8Array[]>();
  const files = new Map<string, Uint8Array>();
  return {
    files,
    async create(name) {
      const chunks: Uint8Array[] = [];
      open.set(name, chunks);
      let position = 0;
      return {
        name,
        get position() {
          return position;
        },
        async write(bytes) {
          chunks.push(bytes.slice());
          position += bytes.byteLength;
        },
        async close() {},
      };
    },
    async commit() {
      for (const [name, chunks] of open) files.set(name, concatBytes(chunks));
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
