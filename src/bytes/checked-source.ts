/** A source whose checksum is known: it is checked as the bytes are read, in whatever order, without reading anything twice. */
import type { ModelError } from '../errors.js';
import { type ByteSource, readRuns } from './byte-source.js';
import { crc32, joinCrc32 } from './crc32.js';

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
 * @param expected CRC-32 of all bytes
 * @param failure what to throw when the last of them was read and the checksum is another
 */
export function checkedSource(source: ByteSource, expected: number, failure: () => ModelError): CheckedSource {
  /** In order, none touching the next; null when the check is done. */
  let runs: Run[] | null = [];

  function finish(crc: number): void {
    runs = null;
    if (crc !== expected) throw failure();
  }

  /** Notes bytes that came from `start` on; what was seen before is passed over. */
  function note(start: number, bytes: Uint8Array): void {
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
      insert(runs, at, { start: from, end: to, crc: 0 }, bytes.subarray(from - start, to - start));
      from = to;
    }
    const [whole] = runs;
    if (runs.length === 1 && whole!.start === 0 && whole!.end === source.byteLength) finish(whole!.crc);
  }

  async function readOnceMore(): Promise<void> {
    runs = null;
    let crc = 0;
    for (let at = 0; at < source.byteLength; at += STEP_BYTES) crc = crc32(await source.read(at, Math.min(source.byteLength, at + STEP_BYTES)), crc);
    finish(crc);
  }

  const checked: CheckedSource = {
    name: source.name,
    byteLength: source.byteLength,
    async read(start, end) {
      const bytes = await source.read(start, end);
      note(start, bytes);
      if (runs && runs.length > MAX_RUNS) await readOnceMore();
      return bytes;
    },
    async readInto(start, target) {
      await source.readInto(start, target);
      note(start, target);
      if (runs && runs.length > MAX_RUNS) await readOnceMore();
    },
    async readRuns(start, stride, runLength, target) {
      await readRuns(source, start, stride, runLength, target);
      for (let at = 0, from = start; at < target.byteLength && runs; at += runLength, from += stride) {
        note(from, target.subarray(at, at + runLength));
        if (runs && runs.length > MAX_RUNS) await readOnceMore();
      }
    },
    async finish() {
      while (runs && runs.length > 0) {
        const from = runs[0]!.start === 0 ? runs[0]!.end : 0;
        const to = runs[0]!.start === 0 ? (runs[1]?.start ?? source.byteLength) : runs[0]!.start;
        await checked.read(from, Math.min(to, from + STEP_BYTES));
      }
    },
    close: () => source.close(),
  };
  return checked;
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
function insert(runs: Run[], at: number, run: Run, bytes: Uint8Array): void {
  const before = runs[at - 1];
  const after = runs[at];
  const continued = before?.end === run.start;
  run.crc = crc32(bytes, continued ? before!.crc : 0);
  if (continued) {
    before!.end = run.end;
    before!.crc = run.crc;
  }
  const joined = continued ? before! : run;
  if (after && after.start === joined.end) {
    joined.crc = joinCrc32(joined.crc, after.crc, after.end - after.start);
    joined.end = after.end;
    if (continued) runs.splice(at, 1);
    else runs[at] = joined;
  } else if (!continued) runs.splice(at, 0, run);
}
