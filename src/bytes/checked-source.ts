/** A source whose checksum is known: it is checked as the bytes are read, in whatever order, without reading anything twice. */
import type { ModelError } from '../errors.js';
import { type ByteSource, readRuns } from './byte-source.js';
import { type Checksum, CRC32 } from './crc32.js';

export interface CheckedSource extends ByteSource {
  /** Reads what was not read of bytes of which some were, and checks them all. */
  finish(): Promise<void>;
}

/** Bytes that were read, and their checksum. */
interface Run {
  start: number;
  end: number;
  crc: number;
}

/** Reads in so many places at once, and what was read is no longer worth keeping apart: all is read once more, in order. */
const MAX_RUNS = 2 ** 14;
const STEP_BYTES = 2 ** 20;

/**
 * @param expected checksum of all bytes
 * @param failure what to throw when the last of them was read and the checksum is another
 */
export function checkedSource(source: ByteSource, expected: number, failure: () => ModelError, checksum: Checksum = CRC32): CheckedSource {
  return new Checked(source, expected, failure, checksum);
}

/** A class, as `Slice` is: an archive may have a hundred thousand members. */
class Checked implements CheckedSource {
  /** In order, none touching the next; null when the check is done. */
  #runs: Run[] | null = [];

  constructor(
    private readonly source: ByteSource,
    private readonly expected: number,
    private readonly failure: () => ModelError,
    private readonly checksum: Checksum,
  ) {}

  get name(): string {
    return this.source.name;
  }

  get byteLength(): number {
    return this.source.byteLength;
  }

  async read(start: number, end: number): Promise<Uint8Array> {
    const bytes = await this.source.read(start, end);
    await this.#note(start, bytes);
    return bytes;
  }

  async readInto(start: number, target: Uint8Array): Promise<void> {
    await this.source.readInto(start, target);
    await this.#note(start, target);
  }

  /** Unchecked: what a runtime makes of bytes that are wrong is another result than is expected. */
  get readIntoNow(): ByteSource['readIntoNow'] {
    const { source } = this;
    return source.readIntoNow && ((start, target) => source.readIntoNow!(start, target));
  }

  async readRuns(start: number, stride: number, runLength: number, target: Uint8Array): Promise<void> {
    await readRuns(this.source, start, stride, runLength, target);
    for (let at = 0, from = start; at < target.byteLength && this.#runs; at += runLength, from += stride) {
      await this.#note(from, target.subarray(at, at + runLength));
    }
  }

  async finish(): Promise<void> {
    while (this.#runs && this.#runs.length > 0) {
      const [first, second] = this.#runs;
      const [from, to] = first!.start === 0 ? [first!.end, second?.start ?? this.byteLength] : [0, first!.start];
      await this.read(from, Math.min(to, from + STEP_BYTES));
    }
  }

  close(): Promise<void> {
    return this.source.close();
  }

  /** Notes bytes that came from `start` on; what was seen before is passed over. */
  async #note(start: number, bytes: Uint8Array): Promise<void> {
    const runs = this.#runs;
    if (!runs || bytes.byteLength === 0) return;
    const end = start + bytes.byteLength;
    for (let from = start; from < end; ) {
      const at = firstBehind(runs, from);
      const next = runs[at];
      if (next && next.start <= from) {
        from = next.end;
        continue;
      }
      const to = next ? Math.min(end, next.start) : end;
      insert(this.checksum, runs, at, { start: from, end: to, crc: 0 }, bytes.subarray(from - start, to - start));
      from = to;
    }
    const [whole] = runs;
    if (whole!.start === 0 && whole!.end === this.byteLength) this.#judge(whole!.crc);
    else if (runs.length > MAX_RUNS) await this.#readOnceMore();
  }

  async #readOnceMore(): Promise<void> {
    this.#runs = null;
    let crc = 0;
    for (let at = 0; at < this.byteLength; at += STEP_BYTES)
      crc = this.checksum.update(await this.source.read(at, Math.min(this.byteLength, at + STEP_BYTES)), crc);
    this.#judge(crc);
  }

  #judge(crc: number): void {
    this.#runs = null;
    if (crc !== this.expected) throw this.failure();
  }
}

/** Index of the first run that ends behind a position. */
function firstBehind(runs: readonly Run[], position: number): number {
  let [low, high] = [0, runs.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (runs[middle]!.end > position) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Puts a run in its place, of which nothing was seen before, and joins it with those that it touches. */
function insert(checksum: Checksum, runs: Run[], at: number, run: Run, bytes: Uint8Array): void {
  const before = runs[at - 1];
  const after = runs[at];
  const continued = before?.end === run.start;
  run.crc = checksum.update(bytes, continued ? before!.crc : 0);
  if (continued) {
    before!.end = run.end;
    before!.crc = run.crc;
  }
  const joined = continued ? before! : run;
  if (after && after.start === joined.end) {
    joined.crc = checksum.join(joined.crc, after.crc, after.end - after.start);
    joined.end = after.end;
    if (continued) runs.splice(at, 1);
    else runs[at] = joined;
  } else if (!continued) runs.splice(at, 0, run);
}
