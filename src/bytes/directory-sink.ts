/**
 * Output files in a folder of a page's: one that the browser keeps for it (`navigator.storage.getDirectory`), or one that the user chose
 * (`showDirectoryPicker`). What is written goes to disk, beside the file of its name, which takes its place when the file is committed.
 *
 * @see https://fs.spec.whatwg.org/#api-filesystemwritablefilestream
 */
import type { ByteSink, FileSink } from './byte-sink.js';
import { concatBytes } from './byte-sink.js';
import { checkRelativeName } from './file-set.js';

/** Smaller writes are gathered up to this size: each one is a message to another process. */
const GATHER_BYTES = 2 ** 20;

/** The part of a `FileSystemDirectoryHandle` that is used; programs that are not pages have no such type. */
export interface PageFolder {
  getDirectoryHandle(name: string, options: { readonly create: true }): Promise<PageFolder>;
  getFileHandle(name: string, options?: { readonly create: true }): Promise<{ createWritable(): Promise<PageFileStream> }>;
  removeEntry(name: string): Promise<void>;
}

/** The part of a `FileSystemWritableFileStream` that is used. */
export interface PageFileStream {
  /** What it takes is the page's own type. */
  write(chunk: never): Promise<void>;
  close(): Promise<void>;
  abort(): Promise<void>;
}

export function directorySink(folder: PageFolder): ByteSink {
  const files: { readonly file: DirectoryFile; readonly parent: PageFolder; readonly existed: boolean }[] = [];
  let ended = false;
  return {
    async create(given) {
      const name = checkRelativeName(given);
      const parts = name.split('/');
      const last = parts.pop()!;
      let parent = folder;
      for (const part of parts) parent = await parent.getDirectoryHandle(part, { create: true });
      const existed = await parent.getFileHandle(last).then(
        () => true,
        () => false,
      );
      const handle = await parent.getFileHandle(last, { create: true });
      const file = new DirectoryFile(name, last, await handle.createWritable());
      files.push({ file, parent, existed });
      return file;
    },
    async commit() {
      for (const { file } of [...files].reverse()) await file.finish();
      ended = true;
      return files.map(({ file }) => ({ name: file.name, byteLength: file.position }));
    },
    async abort() {
      if (ended) return;
      ended = true;
      for (const { file, parent, existed } of files) {
        await file.discard();
        // A name without bytes was made for it to be written under.
        if (!existed) await parent.removeEntry(file.last).catch(() => {});
      }
    },
  };
}

class DirectoryFile implements FileSink {
  position = 0;
  #gathered: Uint8Array[] = [];
  #gatheredAt = 0;
  #gatheredBytes = 0;
  #isClosed = false;
  #isFinished = false;

  constructor(
    readonly name: string,
    readonly last: string,
    readonly stream: PageFileStream,
  ) {}

  async write(bytes: Uint8Array): Promise<void> {
    await this.writeAt(this.position, bytes);
  }

  async writeAt(position: number, bytes: Uint8Array): Promise<void> {
    if (this.#isClosed) throw new Error(`${this.name} was written after it was closed`);
    if (position !== this.#gatheredAt + this.#gatheredBytes) await this.#flush();
    if (this.#gatheredBytes === 0) this.#gatheredAt = position;
    this.#gathered.push(bytes.slice());
    this.#gatheredBytes += bytes.byteLength;
    this.position = Math.max(this.position, position + bytes.byteLength);
    if (this.#gatheredBytes >= GATHER_BYTES) await this.#flush();
  }

  async close(): Promise<void> {
    await this.#flush();
    this.#isClosed = true;
  }

  /** Gives the file its name. */
  async finish(): Promise<void> {
    await this.#flush();
    this.#isClosed = true;
    this.#isFinished = true;
    await this.stream.close();
  }

  async discard(): Promise<void> {
    this.#isClosed = true;
    if (!this.#isFinished) await this.stream.abort().catch(() => {});
  }

  async #flush(): Promise<void> {
    if (this.#gatheredBytes === 0) return;
    const data = this.#gathered.length === 1 ? this.#gathered[0]! : concatBytes(this.#gathered);
    this.#gathered = [];
    this.#gatheredBytes = 0;
    await this.stream.write({ type: 'write', position: this.#gatheredAt, data } as never);
  }
}
