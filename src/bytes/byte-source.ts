/** Random access to bytes: a file, a window of another source, memory. No format is known here. */
import { ModelError } from '../errors.js';
import { breathe } from './breath.js';

/** Bytes that can be read at any position. Reads may overlap in time. */
export interface ByteSource {
  /** A name for messages, usually the path as the user gave it. */
  readonly name: string;
  readonly byteLength: number;
  /**
   * Gives exactly the bytes [start, end), in a buffer that the caller may keep but must not change.
   *
   * @throws ModelError 'malformed' when the range leaves the source or the source has shrunk
   */
  read(start: number, end: number): Promise<Uint8Array>;
  /**
   * Fills the whole of `target` with the bytes from `start` on; spares an allocation where buffers are reused.
   *
   * @throws ModelError 'malformed' as `read`
   */
  readInto(start: number, target: Uint8Array): Promise<void>;
  /** As `readInto`, before it returns: for runtimes that ask for a file in the midst of a call. Left out where bytes must be waited for. */
  readonly readIntoNow?: ((start: number, target: Uint8Array) => void) | undefined;
  /**
   * Fills `target` with runs of `runLength` bytes, run i from `start + i * stride` on; for sources that do many small reads faster
   * together. Call it through `readRuns`.
   */
  readRuns?(start: number, stride: number, runLength: number, target: Uint8Array): Promise<void>;
  /** Releases what the source holds (a file handle). Reading afterwards is an error; closing twice is not. */
  close(): Promise<void>;
}

/**
 * Checks a range against a source.
 *
 * @throws ModelError 'malformed' with the offset when the range is not within [0, byteLength]
 */
export function checkRange(source: { name: string; byteLength: number }, start: number, end: number): void {
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || end < start || end > source.byteLength) {
    throw new ModelError('malformed', `bytes ${start} to ${end} were asked for, but the file ends at byte ${source.byteLength}. Is it truncated?`, {
      file: source.name,
      offset: Math.max(0, Math.min(start, source.byteLength)),
    });
  }
}

/**
 * Fills `target`, whose size is a multiple of `runLength`, with equally spaced runs: run i is the `runLength` bytes from
 * `start + i * stride` on.
 *
 * @throws ModelError 'malformed' as `ByteSource.read`
 */
export async function readRuns(source: ByteSource, start: number, stride: number, runLength: number, target: Uint8Array): Promise<void> {
  if (stride === runLength || target.byteLength === runLength) return source.readInto(start, target);
  if (source.readRuns) return source.readRuns(start, stride, runLength, target);
  for (let at = 0; at < target.byteLength; at += runLength, start += stride) await source.readInto(start, target.subarray(at, at + runLength));
}

/** A source over bytes in memory; the bytes are not copied, reads are views. */
export function memorySource(bytes: Uint8Array, name = 'memory'): ByteSource {
  const source = {
    name,
    byteLength: bytes.byteLength,
    async read(start: number, end: number) {
      checkRange(source, start, end);
      return bytes.subarray(start, end);
    },
    async readInto(start: number, target: Uint8Array) {
      source.readIntoNow(start, target);
    },
    readIntoNow(start: number, target: Uint8Array) {
      checkRange(source, start, start + target.byteLength);
      target.set(bytes.subarray(start, start + target.byteLength));
    },
    async close() {},
  };
  return source;
}

/**
 * A source of which each piece is made where it is asked for.
 *
 * @param fill fills the whole of `target` with the bytes from `start` on, all of which are within the source
 */
export function filledSource(
  name: string,
  byteLength: number,
  fill: (start: number, target: Uint8Array) => void | Promise<void>,
  close: () => Promise<void> = async () => {},
): ByteSource {
  const source: ByteSource = {
    name,
    byteLength,
    async read(start, end) {
      checkRange(source, start, end);
      const target = new Uint8Array(end - start);
      await fill(start, target);
      return target;
    },
    async readInto(start, target) {
      checkRange(source, start, start + target.byteLength);
      await fill(start, target);
    },
    close,
  };
  return source;
}

/**
 * A source whose bytes are worked out when they are read, all at once. A large one is read in several pieces; what was worked out for
 * one serves the next, unless memory is short.
 *
 * @throws Error when `compute` gives another number of bytes than was said (a bug; where a file decides, `compute` checks)
 */
export function computedSource(name: string, byteLength: number, compute: () => Promise<Uint8Array>): ByteSource {
  let kept: WeakRef<Uint8Array> | null = null;
  let underWay: Promise<Uint8Array> | null = null;
  const work = async () => {
    // What is worked out from what is worked out, thousands deep, begins here with an empty stack.
    await breathe();
    const bytes = await compute();
    if (bytes.byteLength !== byteLength) throw new Error(`${name}: computed ${bytes.byteLength} bytes, expected ${byteLength}`);
    kept = new WeakRef(bytes);
    return bytes;
  };
  const load = async () => {
    const known = kept?.deref();
    if (known) return known;
    // Who asks meanwhile waits for the same: values that are made of one another twice would be worked out 2^n times.
    underWay ??= work().finally(() => {
      underWay = null;
    });
    return underWay;
  };
  const source: ByteSource = {
    name,
    byteLength,
    async read(start, end) {
      checkRange(source, start, end);
      return (await load()).subarray(start, end);
    },
    async readInto(start, target) {
      checkRange(source, start, start + target.byteLength);
      target.set((await load()).subarray(start, start + target.byteLength));
    },
    async close() {},
  };
  return source;
}

/**
 * The window [start, end) of another source; offset 0 of the window is `start`. Closing it leaves the other open.
 *
 * @throws ModelError 'malformed' when the window leaves the source
 */
export function sliceSource(source: ByteSource, start: number, end: number, name = source.name): ByteSource {
  checkRange(source, start, end);
  return new Slice(source, start, end - start, name);
}

/** A class, because a file may have a hundred thousand tensors, and closures for each of them would fill the memory. */
class Slice implements ByteSource {
  constructor(
    readonly source: ByteSource,
    readonly start: number,
    readonly byteLength: number,
    readonly name: string,
  ) {}

  async read(from: number, to: number): Promise<Uint8Array> {
    checkRange(this, from, to);
    return this.source.read(this.start + from, this.start + to);
  }

  async readInto(from: number, target: Uint8Array): Promise<void> {
    checkRange(this, from, from + target.byteLength);
    return this.source.readInto(this.start + from, target);
  }

  get readIntoNow(): ByteSource['readIntoNow'] {
    if (!this.source.readIntoNow) return undefined;
    return (from, target) => {
      checkRange(this, from, from + target.byteLength);
      this.source.readIntoNow!(this.start + from, target);
    };
  }

  async readRuns(from: number, stride: number, runLength: number, target: Uint8Array): Promise<void> {
    const count = target.byteLength / runLength;
    checkRange(this, from, from + (count - 1) * stride + runLength);
    return readRuns(this.source, this.start + from, stride, runLength, target);
  }

  async close(): Promise<void> {}
}
