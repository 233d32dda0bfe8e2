/** Copies elements from strided places into row-major order, with the processor's caches in mind. */
import type { Box } from './slab-plan.js';
import { positions } from './slab-plan.js';
import type { Loop } from './tensor.js';

/** Elements as unsigned words, because floats that pass through a JavaScript number may lose the payload of a NaN. */
export type Words = Uint8Array | Uint16Array | Uint32Array;

/** Words of a cache line of 64 bytes, for the common word of 4. */
const TILE = 16;

/** Steps of the inner axis in one go, so that a tile's lines stay in the first-level cache. */
const BLOCK = 64;

/** From this run length on, `TypedArray.set` is faster than a loop. */
const LONG_RUN = 64;

/**
 * Fills `target` with the elements of `source` that the box visits, in its order.
 *
 * A transposition reads along one axis and writes along another, so one of the two jumps from line to line. The axis with the
 * smallest stride in the source is therefore cut into tiles of one cache line: each line is read once, and all of it is used.
 */
export function gather(target: Words, source: Words, { at, loops }: Box): void {
  const last = loops.at(-1);
  const run = last?.stride === 1 ? last.size : 1;
  const rest = (last?.stride === 1 ? loops.slice(0, -1) : loops).map((loop) => ({ ...loop, step: 0 }));
  let step = run;
  for (const loop of [...rest].reverse()) {
    loop.step = step;
    step *= loop.size;
  }
  const inner = rest.pop() ?? { size: 1, stride: 0, step: 0 };
  const lines = takeLineAxis(rest, inner.stride);
  const starts: Loop[] = rest.map(({ size, stride }) => ({ size, stride }));
  const steps: Loop[] = rest.map(({ size, step }) => ({ size, stride: step }));
  for (let first = 0; first < lines.size; first += TILE) {
    const tile = { ...lines, size: Math.min(TILE, lines.size - first) };
    const targets = positions(steps);
    for (const from of positions(starts)) {
      const to = targets.next().value as number;
      for (let start = 0; start < inner.size; start += BLOCK) {
        const block = { ...inner, size: Math.min(BLOCK, inner.size - start) };
        copyTile(target, to + first * lines.step + start * inner.step, source, at + from + first * lines.stride + start * inner.stride, tile, block, run);
      }
    }
  }
}

/** A loop with its step in the target. */
interface Axis extends Loop {
  readonly step: number;
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

function copyTile(target: Words, to: number, source: Words, from: number, lines: Axis, inner: Axis, run: number): void {
  for (let line = 0; line < lines.size; line++) {
    let read = from + line * lines.stride;
    let write = to + line * lines.step;
    if (run === 1) {
      for (let i = 0; i < inner.size; i++, read += inner.stride) target[write + i] = source[read]!;
    } else if (run < LONG_RUN) {
      for (let i = 0; i < inner.size; i++, read += inner.stride, write += run) {
        for (let word = 0; word < run; word++) target[write + word] = source[read + word]!;
      }
    } else {
      for (let i = 0; i < inner.size; i++, read += inner.stride, write += run) target.set(source.subarray(read, read + run), write);
    }
  }
}
