/** Streams a tensor's elements in row-major order, whatever order they are stored in, with bounded memory. */
import { type ByteSource, readRuns } from '../bytes/byte-source.js';
import { BufferPool } from './buffer-pool.js';
import { DTYPE_BYTES } from './dtype.js';
import { gather, type Words } from './gather.js';
import { type Box, boxes, type Cut, planSlabs, positions, stage } from './slab-plan.js';
import type { Loop, Tensor, Walk } from './tensor.js';

/** Bytes per chunk; reads and writes of 1 to 4 MB run at the speed of `cp`. */
export const CHUNK_BYTES = 2 ** 21;

/** For walks that do not follow the stored order; with more, large transpositions need fewer reads. */
const STAGING_BYTES = 2 ** 25;

const chunkPool = new BufferPool(CHUNK_BYTES);
const stagingPool = new BufferPool(STAGING_BYTES);

/** See `tensorChunks`. */
export async function* streamChunks(tensor: Tensor): AsyncGenerator<Uint8Array> {
  const walk = walkInWords(tensor.walk);
  if (walk.loops.some(({ size }) => size === 0)) return;
  for await (const chunk of isContiguous(walk.loops) ? streamInOrder(walk) : streamStaged(walk)) {
    yield tensor.stages.reduce((bytes, step) => step.apply(bytes), chunk);
  }
}

/** A walk over words of 1, 2 or 4 bytes; longer elements are runs of words. */
interface WordWalk extends Box {
  readonly source: ByteSource;
  readonly unit: 1 | 2 | 4;
}

function walkInWords({ source, dtype, offset, axes }: Walk): WordWalk {
  const bytes = DTYPE_BYTES[dtype];
  const unit = Math.min(bytes, 4) as 1 | 2 | 4;
  const words = bytes / unit;
  const loops = axes.flat().map(({ size, stride }) => ({ size, stride: stride * words }));
  return { source, unit, at: offset * words, loops: mergeLoops([...loops, { size: words, stride: 1 }]) };
}

function isContiguous(loops: readonly Loop[]): boolean {
  return loops.length === 0 || (loops.length === 1 && loops[0]!.stride === 1);
}

/** Reads one chunk ahead, so that reading overlaps with what the consumer does. */
async function* streamInOrder({ source, unit, at, loops }: WordWalk): AsyncGenerator<Uint8Array> {
  const start = at * unit;
  const end = start + (loops[0]?.size ?? 1) * unit;
  const buffers = end - start > CHUNK_BYTES ? [chunkPool.borrow(), chunkPool.borrow()] : [new ArrayBuffer(end - start)];
  const readAhead = (position: number, buffer: ArrayBuffer) => {
    const chunk = new Uint8Array(buffer, 0, Math.min(CHUNK_BYTES, end - position));
    const pending = source.readInto(position, chunk);
    pending.catch(() => {}); // It is awaited later; until then a failure is not unhandled.
    return { chunk, pending };
  };
  let next = readAhead(start, buffers[0]!);
  try {
    for (let position = start, turn = 1; position < end; position += CHUNK_BYTES, turn++) {
      const { chunk, pending } = next;
      await pending;
      if (position + CHUNK_BYTES < end) next = readAhead(position + CHUNK_BYTES, buffers[turn % 2]!);
      yield chunk;
    }
  } finally {
    await next.pending.catch(() => {});
    if (buffers.length > 1) for (const buffer of buffers) chunkPool.giveBack(buffer);
  }
}

/** Slab by slab: reads the slab's runs into the staging buffer and gathers chunks from there. */
async function* streamStaged(walk: WordWalk): AsyncGenerator<Uint8Array> {
  const { source, unit, loops } = walk;
  const plan = planSlabs(loops, unit, STAGING_BYTES);
  const staging = stagingPool.borrow();
  const chunkBuffer = chunkPool.borrow();
  try {
    for (const slab of boxes(walk, plan)) {
      const { start, runLength, runs, staged } = stage(slab, plan.joined);
      await loadRuns(source, start * unit, runLength * unit, scaled(runs, unit), staging);
      const stored = wordsOver(staging, unit);
      for (const box of boxes(staged, chunkCut(staged.loops, CHUNK_BYTES / unit))) {
        const count = box.loops.reduce((product, { size }) => product * size, 1);
        gather(wordsOver(chunkBuffer, unit), stored, { at: box.at, loops: mergeLoops(box.loops) });
        yield new Uint8Array(chunkBuffer, 0, count * unit);
      }
    }
  } finally {
    stagingPool.giveBack(staging);
    chunkPool.giveBack(chunkBuffer);
  }
}

/** @param runs in bytes, outer first */
async function loadRuns(source: ByteSource, start: number, runLength: number, runs: readonly Loop[], staging: ArrayBuffer): Promise<void> {
  const { size, stride } = runs.at(-1) ?? { size: 1, stride: 0 };
  let at = 0;
  for (const position of positions(runs.slice(0, -1))) {
    await readRuns(source, start + position, stride, runLength, new Uint8Array(staging, at, size * runLength));
    at += size * runLength;
  }
}

/** The largest boxes of at most `limit` elements. */
function chunkCut(loops: readonly Loop[], limit: number): Cut {
  let inner = 1;
  let depth = loops.length - 1;
  while (depth > 0 && inner * loops[depth]!.size <= limit) inner *= loops[depth--]!.size;
  return { depth, block: Math.max(1, Math.floor(limit / inner)) };
}

function scaled(loops: readonly Loop[], factor: number): Loop[] {
  return loops.map(({ size, stride }) => ({ size, stride: stride * factor }));
}

function wordsOver(buffer: ArrayBuffer, unit: 1 | 2 | 4): Words {
  if (unit === 4) return new Uint32Array(buffer);
  return unit === 2 ? new Uint16Array(buffer) : new Uint8Array(buffer);
}

/** Drops loops of one step and joins neighbours that walk on where the inner one ends. */
export function mergeLoops(loops: readonly Loop[]): Loop[] {
  const merged: Loop[] = [];
  for (const loop of loops) {
    if (loop.size === 1) continue;
    const outer = merged.at(-1);
    if (outer && outer.stride === loop.stride * loop.size) merged[merged.length - 1] = { size: outer.size * loop.size, stride: loop.stride };
    else merged.push(loop);
  }
  return merged;
}
