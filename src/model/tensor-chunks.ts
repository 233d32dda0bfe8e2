/** Streams a tensor's elements in row-major order, whatever order they are stored in, with bounded memory. */
import { type ByteSource, readRuns } from '../bytes/byte-source.js';
import { DTYPE_BYTES } from './dtype.js';
import { gather, makeWorkbench, type WordBytes } from './gather.js';
import { kernelMemory } from './kernel-instance.js';
import { Pool } from './pool.js';
import { type Box, boxes, type Cut, isOneRead, PIECE_GAP, planPieces, planSlabs, positions, type SlabPlan, slabCost, stage } from './slab-plan.js';
import { isPlaced, type Loop, type Tensor, type Walk } from './walk.js';

/** Bytes per chunk; reads and writes of 1 to 4 MB run at the speed of `cp`. */
export const CHUNK_BYTES = 2 ** 21;

/**
 * For walks that do not follow the stored order; with more, large transpositions need fewer reads. Like the chunk's size a power
 * of two, so that both hold whole elements of any dtype, also when they are halved.
 */
const STAGING_BYTES = 2 ** 25;

/** What is gathered at a time when it comes in pieces: many small ones, so more at a time means larger ones. */
const PIECES_BYTES = 2 * CHUNK_BYTES;

/** Each holds two chunks, in the memory of a kernel, where element-wise stages can work in place. */
const chunkPairs = new Pool(() => kernelMemory(2 * CHUNK_BYTES));
const workbenches = new Pool(() => makeWorkbench(STAGING_BYTES, PIECES_BYTES));

/** What a small tensor spans and makes. Where a net is run several times side by side, as many are read at once, and a memory of 36 MiB for each is soon garbage. */
const SMALL_BYTES = 2 ** 17;
const SMALL_KEPT = 8;
const smallWorkbenches = new Pool(() => makeWorkbench(SMALL_BYTES, SMALL_BYTES), SMALL_KEPT);

/** How much memory a stream uses; smaller than the buffers in tests. */
export interface StreamLimits {
  readonly chunkBytes: number;
  readonly stagingBytes: number;
  /** Pieces come where they save so many times the cost; large chunks in order are friendlier to what takes them. */
  readonly worth?: number;
}

const LIMITS: StreamLimits = { chunkBytes: CHUNK_BYTES, stagingBytes: STAGING_BYTES };
const PIECES_LIMITS: StreamLimits = { chunkBytes: PIECES_BYTES, stagingBytes: STAGING_BYTES, worth: 2 };

/** See `tensorChunks`. */
export async function* streamChunks(tensor: Tensor, limits = LIMITS): AsyncGenerator<Uint8Array> {
  const walk = walkInWords(tensor.walk);
  if (walk.loops.some(({ size }) => size === 0)) return;
  const steps = tensor.stages.map((stage) => (isPlaced(stage) ? stage.begin(stage) : (bytes: Uint8Array) => stage.apply(bytes)));
  for await (const chunk of isContiguous(walk.loops) ? streamInOrder(walk, limits) : streamStaged(walk, limits)) {
    yield steps.reduce((bytes, step) => step(bytes), chunk);
  }
}

/** Some of a tensor's bytes, and where among them they belong. */
export interface Piece {
  readonly offset: number;
  /** Whole elements. */
  readonly bytes: Uint8Array;
}

/** See `tensorPieces`. */
export async function* streamPieces(tensor: Tensor, limits = PIECES_LIMITS): AsyncGenerator<Piece> {
  const plan = piecesPlan(tensor, limits);
  if (!plan) {
    let offset = 0;
    const inOrder = { ...limits, chunkBytes: Math.min(limits.chunkBytes, CHUNK_BYTES) };
    for await (const bytes of streamChunks(tensor, inOrder)) {
      yield { offset, bytes };
      offset += bytes.byteLength;
    }
    return;
  }
  const unit = DTYPE_BYTES[tensor.dtype];
  const steps = tensor.stages.map((stage) => (bytes: Uint8Array) => (isPlaced(stage) ? bytes : stage.apply(bytes)));
  for await (const { start, bytes } of streamScattered(walkInWords(tensor.walk), plan, limits)) {
    yield { offset: start * unit, bytes: steps.reduce((made, step) => step(made), bytes) };
  }
}

/** Null where the tensor's chunks may as well come in order, or must. */
function piecesPlan({ walk, stages }: Tensor, { chunkBytes, stagingBytes, worth = 1 }: StreamLimits): SlabPlan | null {
  const { loops, unit } = walkInWords(walk);
  // Elements of several words could be torn apart, and steps that go by places follow the order.
  if (unit !== DTYPE_BYTES[walk.dtype] || stages.some(isPlaced) || isContiguous(loops) || loops.some(({ size }) => size === 0)) return null;
  if (isOneRead(loops, unit, stagingBytes)) return null;
  const pieces = planPieces(loops, unit, stagingBytes, chunkBytes);
  return pieces && pieces.cost * worth < slabCost(loops, planSlabs(loops, unit, stagingBytes), unit) ? pieces : null;
}

/** A walk over words of 1, 2 or 4 bytes; longer elements are runs of words. */
interface WordWalk extends Box {
  readonly source: ByteSource;
  readonly unit: WordBytes;
}

function walkInWords({ source, dtype, offset, axes }: Walk): WordWalk {
  const bytes = DTYPE_BYTES[dtype];
  const unit = Math.min(bytes, 4) as WordBytes;
  const words = bytes / unit;
  const loops = axes.flat().map(({ size, stride }) => ({ size, stride: stride * words }));
  return { source, unit, at: offset * words, loops: mergeLoops([...loops, { size: words, stride: 1 }]) };
}

function isContiguous(loops: readonly Loop[]): boolean {
  return loops.length === 0 || (loops.length === 1 && loops[0]!.stride === 1);
}

/** Reads one chunk ahead, so that reading overlaps with what the consumer does. */
async function* streamInOrder({ source, unit, at, loops }: WordWalk, { chunkBytes }: StreamLimits): AsyncGenerator<Uint8Array> {
  const start = at * unit;
  const end = start + (loops[0]?.size ?? 1) * unit;
  if (end - start <= chunkBytes) {
    const chunk = new Uint8Array(end - start);
    await source.readInto(start, chunk);
    yield chunk;
    return;
  }
  const pair = chunkPairs.borrow();
  const readAhead = (position: number) => {
    const half = ((position - start) / chunkBytes) % 2;
    const chunk = new Uint8Array(pair, half * CHUNK_BYTES, Math.min(chunkBytes, end - position));
    const done = source.readInto(position, chunk);
    done.catch(() => {}); // It is awaited later; until then a failure is not unhandled.
    return { chunk, done };
  };
  let next = readAhead(start);
  try {
    for (let position = start; position < end; position += chunkBytes) {
      const { chunk, done } = next;
      await done;
      if (position + chunkBytes < end) next = readAhead(position + chunkBytes);
      yield chunk;
    }
  } finally {
    await next.done.catch(() => {});
    chunkPairs.giveBack(pair);
  }
}

/** Slab by slab: loads the slab's runs and gathers chunks from them. */
async function* streamStaged(walk: WordWalk, limits: StreamLimits): AsyncGenerator<Uint8Array> {
  const { source, unit, loops } = walk;
  const span = loops.reduce((sum, { size, stride }) => sum + (size - 1) * Math.abs(stride), 1);
  const count = loops.reduce((product, { size }) => product * size, 1);
  const isSmall = Math.max(span, count) * unit <= SMALL_BYTES;
  const chunkBytes = isSmall ? Math.min(limits.chunkBytes, SMALL_BYTES) : limits.chunkBytes;
  const plan = planSlabs(loops, unit, isSmall ? Math.min(limits.stagingBytes, SMALL_BYTES) : limits.stagingBytes);
  const benches = isSmall ? smallWorkbenches : workbenches;
  const bench = benches.borrow();
  try {
    for (const slab of boxes(walk, plan)) {
      const { start, runLength, runs, staged } = stage(slab, plan.joined);
      await loadRuns(source, start * unit, runLength * unit, scaled(runs, unit), bench.source);
      for (const box of boxes(staged, chunkCut(staged.loops, chunkBytes / unit))) {
        gather(bench, unit, { at: box.at, loops: mergeLoops(box.loops) });
        yield bench.target.subarray(0, byteLengthOf(box, unit));
      }
    }
  } finally {
    benches.giveBack(bench);
  }
}

/** Slab by slab, of which each has a part of many places of the output. `start` counts elements. */
async function* streamScattered(
  { source, unit, at, loops }: WordWalk,
  { depth, block, joined }: SlabPlan,
  { chunkBytes }: StreamLimits,
): AsyncGenerator<{ start: number; bytes: Uint8Array }> {
  const count = (some: readonly Loop[]) => some.reduce((product, { size }) => product * size, 1);
  const { size, stride } = loops[depth]!;
  const outer = count(loops.slice(0, depth));
  const inner = count(loops.slice(depth + 1));
  const rows = Math.floor((chunkBytes / (outer * unit) - PIECE_GAP) / inner);
  const bench = workbenches.borrow();
  try {
    for (let first = 0; first < size; first += block) {
      const slab = { at: at + first * stride, loops: loops.with(depth, { size: Math.min(block, size - first), stride }) };
      const { start, runLength, runs, staged } = stage(slab, joined);
      await loadRuns(source, start * unit, runLength * unit, scaled(runs, unit), bench.source);
      const own = staged.loops[depth]!;
      for (let row = 0; row < own.size; row += rows) {
        const taken = Math.min(rows, own.size - row);
        const places = mergeLoops(staged.loops.slice(0, depth));
        const merged = mergeLoops([{ size: taken, stride: own.stride }, ...staged.loops.slice(depth + 1)]);
        // A piece of one element is a loop too, or the places themselves would be taken for one run.
        const each = merged.length > 0 ? merged : [{ size: 1, stride: 0 }];
        // Lengths of a power of two would put all places into the same few lines of the processor's cache.
        const gap = { loops: places.length, gap: PIECE_GAP };
        gather(bench, unit, { at: staged.at + row * own.stride, loops: [...places, ...each] }, gap);
        const length = taken * inner;
        for (let place = 0; place < outer; place++) {
          const from = place * (length + PIECE_GAP) * unit;
          yield { start: (place * size + first + row) * inner, bytes: bench.target.subarray(from, from + length * unit) };
        }
      }
    }
  } finally {
    workbenches.giveBack(bench);
  }
}

/** @param runs in bytes, outer first */
async function loadRuns(source: ByteSource, start: number, runLength: number, runs: readonly Loop[], target: Uint8Array): Promise<void> {
  const { size, stride } = runs.at(-1) ?? { size: 1, stride: 0 };
  let at = 0;
  for (const position of positions(runs.slice(0, -1))) {
    const end = at + size * runLength;
    await readRuns(source, start + position, stride, runLength, target.subarray(at, end));
    at = end;
  }
}

function byteLengthOf({ loops }: Box, unit: number): number {
  return loops.reduce((product, { size }) => product * size, unit);
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
