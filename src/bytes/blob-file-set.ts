/** Files that a page was given (dropped, chosen, or in a folder of the browser's own), read slice by slice. */
import { ModelError } from '../errors.js';
import { type ByteSource, checkRange } from './byte-source.js';
import { checkRelativeName, type FileSet } from './file-set.js';
import { refuseLeftover } from './leftover.js';

/** Each read of a blob is a message to another process, which takes longer than copying this much. */
const WINDOW_BYTES = 2 ** 18;
const SMALL_READ_BYTES = 2 ** 15;
/** Runs that lie near each other are read with what lies between them, so many bytes at a time. */
const TOGETHER_BYTES = 2 ** 22;

/**
 * A source over a `Blob`, which for a `File` stays on disk. Small reads, such as those of headers, are served from a window.
 *
 * @throws ModelError 'malformed' from reads, where the file was changed or removed since it was given
 */
export function blobSource(blob: Blob, name: string): ByteSource {
  const byteLength = blob.size;
  let window: { readonly start: number; readonly bytes: Uint8Array } | null = null;
  let closed = false;

  async function load(start: number, end: number): Promise<Uint8Array> {
    try {
      return new Uint8Array(await blob.slice(start, end).arrayBuffer());
    } catch (error) {
      throw new ModelError('malformed', 'could not be read: it was changed, moved or removed since it was chosen. Choose it again.', { file: name }, error);
    }
  }

  async function read(start: number, end: number): Promise<Uint8Array> {
    if (closed) throw new Error(`${name} was read after it was closed`);
    checkRange(source, start, end);
    if (end - start > SMALL_READ_BYTES) return load(start, end);
    if (!window || start < window.start || end > window.start + window.bytes.byteLength) {
      const from = Math.floor(start / SMALL_READ_BYTES) * SMALL_READ_BYTES;
      window = { start: from, bytes: await load(from, Math.min(byteLength, from + WINDOW_BYTES)) };
    }
    return window.bytes.subarray(start - window.start, end - window.start);
  }

  const source: ByteSource = {
    name,
    byteLength,
    read,
    async readInto(start, target) {
      checkRange(source, start, start + target.byteLength);
      target.set(await read(start, start + target.byteLength));
    },
    async readRuns(start, stride, runLength, target) {
      if (closed) throw new Error(`${name} was read after it was closed`);
      const count = target.byteLength / runLength;
      checkRange(source, start, start + (count - 1) * stride + runLength);
      const together = stride - runLength > WINDOW_BYTES ? 1 : Math.max(1, Math.floor((TOGETHER_BYTES - runLength) / stride) + 1);
      const readFrom = (first: number) => load(start + first * stride, start + (Math.min(count, first + together) - 1) * stride + runLength);
      let next = readFrom(0);
      for (let first = 0; first < count; first += together) {
        const bytes = await next;
        const after = first + together;
        // Reading overlaps with copying.
        if (after < count) next = readFrom(after);
        next.catch(() => {});
        for (let i = first; i < Math.min(count, after); i++) {
          const at = (i - first) * stride;
          target.set(bytes.subarray(at, at + runLength), i * runLength);
        }
      }
    },
    async close() {
      closed = true;
      window = null;
    },
  };
  return source;
}

/**
 * A file set over blobs by name, '/' between the parts of names in folders.
 *
 * @param main name of the main file; null where the model is the folder
 */
export function blobFileSet(blobs: ReadonlyMap<string, Blob>, main: string | null, label = main ?? 'folder'): FileSet {
  const opened: ByteSource[] = [];
  return {
    main,
    label,
    list: async () => [...blobs.keys()].filter((name) => !name.includes('/')).sort(),
    below: async () => [...blobs.keys()].filter((name) => name.split('/').length === 2).sort(),
    has: async (name) => blobs.has(checkRelativeName(name, label)),
    async open(name) {
      const blob = blobs.get(checkRelativeName(name, label));
      if (!blob) {
        throw new ModelError(
          'malformed',
          `there is no file ${JSON.stringify(name)} beside the model. A page sees only what it is given: give it all files together.`,
          {
            file: label,
          },
        );
      }
      const source = blobSource(blob, name);
      opened.push(source);
      if (name !== main) await refuseLeftover(source);
      return source;
    },
    async close() {
      await Promise.all(opened.splice(0).map((source) => source.close()));
    },
  };
}
