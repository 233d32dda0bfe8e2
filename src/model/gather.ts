/** Copies elements from strided places into row-major order, with the processor's caches in mind. */
import { type Kernels, kernelMemory, kernelsOver } from './kernel-instance.js';
import { type Box, positions } from './slab-plan.js';
import type { Loop } from './walk.js';

/** Elements as unsigned words, because floats that pass through a JavaScript number may lose the payload of a NaN. */
type Words = Uint8Array | Uint16Array | Uint32Array;

export type WordBytes = 1 | 2 | 4;

/** One memory with stored elements on one side and gathered ones on the other. */
export interface Workbench {
  /** Where stored elements are put. */
  readonly source: Uint8Array;
  /** Where gathered elements are found. */
  readonly target: Uint8Array;
  readonly kernels: Kernels;
}

/** Elements of 4 bytes in a cache line of 64. */
const TILE = 16;

/** Steps along the inner axis before the next line's turn, so that lines stay in the first-level cache. */
const BLOCK = 64;

/** From this many words on, `TypedArray.set` is faster than a loop. */
const LONG_RUN = 64;

export function makeWorkbench(sourceBytes: number, targetBytes: number): Workbench {
  const buffer = kernelMemory(sourceBytes + targetBytes);
  return { source: new Uint8Array(buffer, 0, sourceBytes), target: new Uint8Array(buffer, sourceBytes, targetBytes), kernels: kernelsOver(buffer)!.kernels };
}

/**
 * Fills the target with the elements of the source that the box visits, in its order.
 *
 * A transposition reads along one axis and writes along another, so one of the two jumps from line to line. The axis with the
 * smallest stride in the source is therefore cut into tiles of one cache line: each line is read once, and all of it is used.
 */
export function gather(bench: Workbench, unit: WordBytes, { at, loops }: Box, apart: Apart = TOGETHER): void {
  const last = loops.at(-1);
  const run = last?.stride === 1 ? last.size : 1;
  const rest = withSteps(last?.stride === 1 ? loops.slice(0, -1) : loops, run, apart);
  const inner = rest.pop() ?? { size: 1, stride: 0, step: run };
  const across = takeLineAxis(rest, inner.stride);
  const steps = rest.map(({ size, step }) => ({ size, stride: step }));
  const copyTile = unit === 4 && run === 1 && across.stride === 1 ? transposer(bench) : copier(bench, unit, run);
  for (let first = 0, size = 0; first < across.size; first += size) {
    // A few that are left over go with the last tile: a tile of their own would fetch all lines again.
    size = across.size - first < TILE * 1.25 ? across.size - first : TILE;
    const lines = { ...across, size };
    const targets = positions(steps);
    for (const from of positions(rest)) {
      const to: number = targets.next().value!;
      copyTile(to + first * lines.step, at + from + first * lines.stride, lines, inner);
    }
  }
}

/** Places in the target that lie apart: what one step of the last of so many outer loops fills is followed by a gap, in words. */
export interface Apart {
  readonly loops: number;
  readonly gap: number;
}

const TOGETHER: Apart = { loops: 0, gap: 0 };

/** A loop with its step in the target, in words. */
interface Axis extends Loop {
  readonly step: number;
}

/** Copies `lines` by `inner` elements (or runs of them) between two places. */
type CopyTile = (to: number, from: number, lines: Axis, inner: Axis) => void;

function withSteps(loops: readonly Loop[], run: number, { loops: outer, gap }: Apart): Axis[] {
  let step = run;
  return loops
    .toReversed()
    .map((loop, i) => {
      if (loops.length - i === outer) step += gap;
      const axis = { ...loop, step };
      step *= loop.size;
      return axis;
    })
    .reverse();
}

/** Removes the loop along whose cache lines to go; one of a single step where the inner loop goes along them already. */
function takeLineAxis(rest: Axis[], innerStride: number): Axis {
  let found = -1;
  let smallest = Math.abs(innerStride);
  rest.forEach(({ stride }, axis) => {
    if (stride === 0 || Math.abs(stride) >= smallest) return;
    found = axis;
    smallest = Math.abs(stride);
  });
  return found < 0 ? { size: 1, stride: 0, step: 0 } : rest.splice(found, 1)[0]!;
}

/** For elements of 4 bytes whose lines lie side by side. */
function transposer({ source, target, kernels }: Workbench): CopyTile {
  return (to, from, lines, inner) => {
    kernels.transpose(target.byteOffset + to * 4, lines.step * 4, source.byteOffset + from * 4, inner.stride * 4, inner.size, lines.size);
  };
}

/** For everything else. */
function copier(bench: Workbench, unit: WordBytes, run: number): CopyTile {
  const source = wordsOf(bench.source, unit);
  const target = wordsOf(bench.target, unit);
  return (to, from, lines, inner) => {
    // As locals: the engine would load fields again after every store to an array.
    const { size, stride, step } = inner;
    for (let start = 0; start < size; start += BLOCK) {
      const count = Math.min(BLOCK, size - start);
      for (let line = 0; line < lines.size; line++) {
        let read = from + start * stride + line * lines.stride;
        let write = to + start * step + line * lines.step;
        const end = write + count * step;
        if (run === 1) {
          for (; write < end; write += step, read += stride) target[write] = source[read]!;
        } else if (run < LONG_RUN) {
          for (; write < end; write += step, read += stride) {
            for (let word = 0; word < run; word++) target[write + word] = source[read + word]!;
          }
        } else {
          for (; write < end; write += step, read += stride) target.set(source.subarray(read, read + run), write);
        }
      }
    }
  };
}

function wordsOf({ buffer, byteOffset, byteLength }: Uint8Array, unit: WordBytes): Words {
  if (unit === 4) return new Uint32Array(buffer, byteOffset, byteLength / 4);
  return unit === 2 ? new Uint16Array(buffer, byteOffset, byteLength / 2) : new Uint8Array(buffer, byteOffset, byteLength);
}
