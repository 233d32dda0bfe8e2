/**
 * Tells which channel each element of a row-major stream belongs to.
 *
 * Asking element by element would cost more than what is done with them, so the path over the channels is taken apart once: it
 * repeats one pattern from different first channels. Where the channel is an outer axis (convolution kernels [out, in, kH, kW]) a
 * repetition is a run of one channel; where it is the innermost (dense kernels [in, out]) it goes over all of them.
 */
import { positions } from './slab-plan.js';
import type { Loop, Path } from './tensor.js';
import { mergeLoops } from './tensor-chunks.js';

/** Values that kernels work on together. */
export const KERNEL_GROUP = 8;
/** Shorter runs of one channel are taken together as a pattern. */
const LONG_RUN = 64;
/** Patterns are unrolled up to this length, so that short ones are not taken one at a time. */
const UNROLLED = 4096;

/** Consecutive elements of one repetition. */
export interface Visit {
  /** The channel of a run, or the one from which a pattern's offsets count. */
  readonly base: number;
  /** Where in the repetition the visit begins. */
  readonly at: number;
  readonly count: number;
}

export class ChannelCursor {
  /** Elements of one repetition. */
  readonly length: number;
  /** Channels of one repetition, counted from its base; null for a run of one channel. */
  readonly offsets: Int32Array | null;
  readonly #bases: Generator<number>;
  readonly #offset: number;
  #base: number;
  #at = 0;

  constructor({ offset, axes }: Path) {
    const loops = mergeLoops(axes.flat());
    const innermost = loops.at(-1) ?? { size: 1, stride: 0 };
    if (innermost.stride === 0 && (innermost.size >= LONG_RUN || loops.length <= 1)) {
      loops.pop();
      this.length = innermost.size;
      this.offsets = null;
    } else {
      this.offsets = unroll(loops);
      this.length = this.offsets.length;
    }
    this.#offset = offset;
    this.#bases = positions(loops);
    this.#base = offset + this.#bases.next().value!;
  }

  /** Goes on by up to `limit` elements, staying within a repetition. */
  next(limit: number): Visit {
    if (this.#at === this.length) {
      this.#base = this.#offset + this.#bases.next().value!;
      this.#at = 0;
    }
    const visit = { base: this.#base, at: this.#at, count: Math.min(limit, this.length - this.#at) };
    this.#at += visit.count;
    return visit;
  }
}

/**
 * Of a path that goes over all channels once, in their order, and stays at each for as many elements: how many, where they are enough to be worked
 * on together. Null for other paths.
 */
export function plainRun({ offset, axes }: Path): number | null {
  const [channels, run, ...others] = mergeLoops(axes.flat());
  if (offset !== 0 || channels?.stride !== 1 || run?.stride !== 0 || others.length > 0) return null;
  return run.size % KERNEL_GROUP === 0 || run.size >= LONG_RUN ? run.size : null;
}

/** Takes inner loops off the list, as many as make a pattern of reasonable length: at least one that moves. */
function unroll(loops: Loop[]): Int32Array {
  const inner: Loop[] = [];
  let length = 1;
  for (let loop = loops.pop(); loop; loop = loops.pop()) {
    const { size, stride } = loop;
    // The innermost that moves has no more steps than there are channels, and the innermost that stays is short.
    const steps = length === 1 || length * size <= UNROLLED ? size : largestDivisor(size, UNROLLED / length);
    inner.unshift({ size: steps, stride });
    length *= steps;
    if (steps === size) continue;
    loops.push({ size: size / steps, stride: stride * steps });
    break;
  }
  return Int32Array.from(positions(inner));
}

function largestDivisor(value: number, limit: number): number {
  for (let divisor = Math.floor(limit); divisor > 1; divisor--) {
    if (value % divisor === 0) return divisor;
  }
  return 1;
}
