/**
 * How a strided walk over a large source is read with little memory.
 *
 * The output is cut into slabs: consecutive pieces, each made by one box of the walk's loops. A slab's stored elements are loaded
 * into a staging buffer, in the order of the file and without what lies between them, and gathered from there. Loading takes
 * many reads where the walk crosses the stored order (the transposition of a 411 MB matrix), so the plan weighs the number of reads
 * against the bytes that are read but not wanted.
 */
import type { Loop } from './walk.js';

/** A box of a walk: the element where it begins and its loops, outer first. */
export interface Box {
  readonly at: number;
  readonly loops: readonly Loop[];
}

/** Cuts a walk into boxes: one step of each loop before `depth`, `block` steps of the loop at `depth`, all of the inner ones. */
export interface Cut {
  readonly depth: number;
  readonly block: number;
}

export interface SlabPlan extends Cut {
  /** How many of a slab's loops, counted from the smallest stride, lie within one read. */
  readonly joined: number;
}

/** What one read costs, in bytes copied in the same time: about a microsecond. */
const READ_COST_BYTES = 8192;

/** Less memory is worth this much more time. */
const THRIFT = 1.1;

/**
 * Chooses slabs that fit the staging buffer.
 *
 * @param loops merged, none of size 0
 * @param unit bytes per element
 */
export function planSlabs(loops: readonly Loop[], unit: number, stagingBytes: number): SlabPlan {
  if (isOneRead(loops, unit, stagingBytes)) return wholeOf(loops);
  const fits = (plan: SlabPlan) => stagedLength(loops, plan) * unit <= stagingBytes;
  let best: SlabPlan = { depth: loops.length - 1, block: 1, joined: 0 };
  let bestCost = Number.POSITIVE_INFINITY;
  for (let depth = 0; depth < loops.length; depth++) {
    for (let joined = 0; joined <= loops.length - depth; joined++) {
      const block = largest(loops[depth]!.size, (size) => fits({ depth, block: size, joined }));
      if (block === 0) continue;
      const plan = { depth, block, joined };
      const cost = costOf(loops, plan, unit);
      if (cost < bestCost) [best, bestCost] = [plan, cost];
    }
  }
  for (;;) {
    const smaller = { ...best, block: Math.ceil(best.block / 2) };
    if (best.block === 1 || costOf(loops, smaller, unit) > bestCost * THRIFT) return best;
    best = smaller;
  }
}

/** Whether one read brings all as fast as any part of it, so that there is nothing to weigh: a graph has thousands of such weights. */
export function isOneRead(loops: readonly Loop[], unit: number, stagingBytes: number): boolean {
  return loops.length > 0 && stagedLength(loops, wholeOf(loops)) * unit <= Math.min(READ_COST_BYTES, stagingBytes);
}

function wholeOf(loops: readonly Loop[]): SlabPlan {
  return { depth: 0, block: loops[0]!.size, joined: loops.length };
}

/** A plan and its cost, in bytes copied in the same time. */
export interface CostedPlan extends SlabPlan {
  readonly cost: number;
}

/** Between the pieces that are gathered together, in words. */
export const PIECE_GAP = 16;

/** What planSlabs' plan costs. */
export function slabCost(loops: readonly Loop[], plan: SlabPlan, unit: number): number {
  return costOf(loops, plan, unit);
}

/**
 * Chooses slabs for output in pieces, which need not come in order: a slab takes `block` steps of the loop at `depth` and all of the
 * other loops, so that its output is one piece for each step of the outer ones. Where the innermost loops of the file are outermost in
 * the output (the columns of a dense matrix whose rows are turned from channels-first to channels-last), reading in any order that
 * follows the output goes over the whole file again and again.
 *
 * @param chunkBytes what is gathered at a time; it must hold one step of the loop at `depth`, with gaps between the pieces
 * @returns null where nothing fits
 */
export function planPieces(loops: readonly Loop[], unit: number, stagingBytes: number, chunkBytes: number): CostedPlan | null {
  let best: CostedPlan | null = null;
  for (let depth = 1; depth < loops.length; depth++) {
    const outer = countOf(loops.slice(0, depth));
    const room = Math.floor((chunkBytes / (outer * unit) - PIECE_GAP) / countOf(loops.slice(depth + 1)));
    if (room < 1) continue;
    for (let joined = 0; joined <= loops.length; joined++) {
      const staging = (block: number) => stage({ at: 0, loops: loops.with(depth, { ...loops[depth]!, size: block }) }, joined);
      const block = largest(loops[depth]!.size, (size) => {
        const { runLength, runs } = staging(size);
        return runLength * countOf(runs) * unit <= stagingBytes;
      });
      if (block === 0) continue;
      const { runLength, runs } = staging(block);
      const slabs = Math.ceil(loops[depth]!.size / block);
      const pieces = Math.ceil(loops[depth]!.size / room) * outer;
      const cost = slabs * countOf(runs) * (READ_COST_BYTES + runLength * unit) + pieces * READ_COST_BYTES;
      if (!best || cost < best.cost) best = { depth, block, joined, cost };
    }
  }
  return best;
}

/** The boxes of a cut, in the order of the output. */
export function* boxes({ at, loops }: Box, { depth, block }: Cut): Generator<Box> {
  const { size, stride } = loops[depth]!;
  const inner = loops.slice(depth + 1);
  for (const outer of positions(loops.slice(0, depth))) {
    for (let start = 0; start < size; start += block) {
      yield { at: at + outer + start * stride, loops: [{ size: Math.min(block, size - start), stride }, ...inner] };
    }
  }
}

/** Sums of steps times strides over all combinations, the last loop running fastest. */
export function* positions(loops: readonly Loop[]): Generator<number> {
  const index = loops.map(() => 0);
  let position = 0;
  for (;;) {
    yield position;
    let axis = loops.length - 1;
    for (; axis >= 0; axis--) {
      const { size, stride } = loops[axis]!;
      position += stride;
      if (++index[axis]! < size) break;
      position -= size * stride;
      index[axis] = 0;
    }
    if (axis < 0) return;
  }
}

/** Where a box's elements are stored, and where they lie once they are staged. */
export interface Staging {
  /** Stored element with which the first run begins. */
  readonly start: number;
  /** Elements of one run. */
  readonly runLength: number;
  /** Spacing of the runs in the source, outer first, strides positive. */
  readonly runs: readonly Loop[];
  /** The box within the staging buffer. */
  readonly staged: Box;
}

/** Works out how a box is staged when its `joined` smallest strides are covered by one run. */
export function stage({ at, loops }: Box, joined: number): Staging {
  const moving = loops.map((_, axis) => axis).filter((axis) => loops[axis]!.stride !== 0);
  moving.sort((a, b) => Math.abs(loops[a]!.stride) - Math.abs(loops[b]!.stride));
  const steps = loops.map(() => 0);
  let start = at;
  let runLength = 1;
  let stagedAt = 0;
  for (const axis of moving.slice(0, joined)) {
    const { size, stride } = loops[axis]!;
    steps[axis] = stride;
    runLength += (size - 1) * Math.abs(stride);
  }
  let spacing = runLength;
  for (const axis of moving.slice(joined)) {
    const { size, stride } = loops[axis]!;
    steps[axis] = Math.sign(stride) * spacing;
    spacing *= size;
  }
  for (const axis of moving) {
    const { size, stride } = loops[axis]!;
    if (stride > 0) continue;
    start += (size - 1) * stride;
    stagedAt -= (size - 1) * steps[axis]!;
  }
  const apart = moving.slice(joined).filter((axis) => loops[axis]!.size > 1);
  const runs = apart.reverse().map((axis) => ({ size: loops[axis]!.size, stride: Math.abs(loops[axis]!.stride) }));
  return { start, runLength, runs, staged: { at: stagedAt, loops: loops.map(({ size }, axis) => ({ size, stride: steps[axis]! })) } };
}

function firstSlab(loops: readonly Loop[], { depth, block, joined }: SlabPlan): Staging {
  return stage({ at: 0, loops: [{ ...loops[depth]!, size: block }, ...loops.slice(depth + 1)] }, joined);
}

function stagedLength(loops: readonly Loop[], plan: SlabPlan): number {
  const { runLength, runs } = firstSlab(loops, plan);
  return runLength * countOf(runs);
}

function costOf(loops: readonly Loop[], plan: SlabPlan, unit: number): number {
  const { runLength, runs } = firstSlab(loops, plan);
  const slabs = countOf(loops.slice(0, plan.depth)) * Math.ceil(loops[plan.depth]!.size / plan.block);
  return slabs * countOf(runs) * (READ_COST_BYTES + runLength * unit);
}

function countOf(loops: readonly Loop[]): number {
  return loops.reduce((product, { size }) => product * size, 1);
}

/** The largest number from 1 to `limit` that is accepted, given that all smaller ones are too; 0 when none is. */
function largest(limit: number, accepts: (value: number) => boolean): number {
  let low = 0;
  let high = limit;
  while (low < high) {
    const middle = low + Math.ceil((high - low) / 2);
    if (accepts(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}
