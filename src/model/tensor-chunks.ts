/** Streams a tensor's elements in row-major order, whatever order they are stored in. */
import { DTYPE_BYTES } from './dtype.js';
import type { Loop, Tensor } from './tensor.js';

/** Bytes per chunk; reads and writes of 1 to 4 MB run at the speed of `cp`. */
export const CHUNK_BYTES = 2 ** 20;

/** See `tensorChunks`. */
export async function* streamChunks(tensor: Tensor): AsyncGenerator<Uint8Array> {
  const { source, dtype, offset } = tensor.walk;
  const unit = DTYPE_BYTES[dtype];
  const loops = mergeLoops(tensor.walk.axes.flat());
  const count = loops.reduce((product, loop) => product * loop.size, 1);
  if (count === 0) return;
  const perChunk = CHUNK_BYTES / unit;
  const inner = loops.at(-1);
  if (loops.length === 0 || (loops.length === 1 && inner!.stride === 1)) {
    for (let start = 0; start < count; start += perChunk) {
      const length = Math.min(perChunk, count - start);
      const chunk = new Uint8Array(length * unit);
      await source.readInto((offset + start) * unit, chunk);
      yield applyStages(tensor, chunk);
    }
    return;
  }
  let low = offset;
  let high = offset;
  for (const { size, stride } of loops) {
    if (stride < 0) low += (size - 1) * stride;
    else high += (size - 1) * stride;
  }
  const stored = await source.read(low * unit, (high + 1) * unit);
  const index = loops.map(() => 0);
  let at = offset - low;
  for (let start = 0; start < count; start += perChunk) {
    const length = Math.min(perChunk, count - start);
    const chunk = new Uint8Array(length * unit);
    for (let i = 0; i < length; i++) {
      for (let b = 0; b < unit; b++) chunk[i * unit + b] = stored[at * unit + b]!;
      for (let d = loops.length - 1; d >= 0; d--) {
        const { size, stride } = loops[d]!;
        at += stride;
        if (++index[d]! < size) break;
        at -= size * stride;
        index[d] = 0;
      }
    }
    yield applyStages(tensor, chunk);
  }
}

function applyStages(tensor: Tensor, chunk: Uint8Array): Uint8Array {
  return tensor.stages.reduce((bytes, stage) => stage.apply(bytes), chunk);
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
