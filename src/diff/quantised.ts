/** Whether values lie on a grid of integers with a scale, and within half a step of what they were rounded from. */
import { narrowForm } from '../model/narrow-form.js';
import { storedDType } from '../model/packing.js';
import { alignedPieces, valuesOf } from '../model/side-by-side.js';
import { elementCount, sliceAxis, type Tensor, tensorChunks } from '../model/tensor.js';

/** A grid around zero, or from the smallest value up. */
interface Grid {
  readonly name: string;
  readonly isSymmetric: boolean;
  /** Steps from zero, or from the smallest value, to the outermost one. */
  readonly steps: number;
  /** How far from whole numbers float32 leaves the steps. */
  readonly slack: number;
}

const BYTES: readonly Grid[] = [
  ...[127, 128].map((steps) => ({ name: 'int8', isSymmetric: true, steps, slack: 2e-3 })),
  ...[255, 254].map((steps) => ({ name: 'uint8', isSymmetric: false, steps, slack: 2e-3 })),
];
const WORDS: readonly Grid[] = [65_535, 65_534].map((steps) => ({ name: 'uint16', isSymmetric: false, steps, slack: 0.05 }));

/** Few values lie on any grid. */
const MIN_VALUES = 32;
/** Of one channel, to see whether there are more values than 8 bits tell apart. */
const PROBED_VALUES = 4096;

/**
 * 'int8 (per channel)' where b is a so rounded and turned back; null where it is not.
 *
 * @param range of b
 */
export async function quantisationOf(a: Tensor, b: Tensor, range: { readonly min: number; readonly max: number }): Promise<string | null> {
  const count = elementCount(b.shape);
  if (count < MIN_VALUES) return null;
  // The whole tensor before its channels, whose grids are finer.
  const whole = await gridOf(a, b, null, { min: Float64Array.of(range.min), max: Float64Array.of(range.max) }, [...BYTES, ...WORDS]);
  if (whole) return `${whole.name} (per tensor)`;
  for (const axis of b.shape.keys()) {
    if (b.shape[axis]! < 2 || count / b.shape[axis]! < 2 || !(await hasFewValues(b, axis))) continue;
    const found = await gridOf(a, b, axis, await rangesAlong(b, axis), BYTES);
    if (found) return `${found.name} (per channel)`;
  }
  return null;
}

/** Of what rounding to a step loses on average; values that are held at the last code lose more. */
const MORE_THAN_ROUNDING = 1.3;

/**
 * 'int4 (in blocks of 32)' where a tensor is stored in codes, and a difference of such energy is what rounding to their steps makes; null where it
 * is not, or where values are no codes.
 */
export function roundedCodes(tensor: Tensor, lost: number): string | null {
  const form = narrowForm(tensor);
  if (!form?.codes || form.codes.kind === 'affine') return null;
  if (form.codes.kind === 'palette') return null;
  const { kind, scales } = form.codes;
  const each = elementCount(tensor.shape) / scales.length;
  const expected = scales.reduce((sum, scale) => sum + (each * scale * scale) / 12, 0);
  if (!(lost <= expected * MORE_THAN_ROUNDING)) return null;
  return `${storedDType(form.stored)} (${kind === 'blocks' ? `in blocks of ${form.codes.size}` : scales.length === 1 ? 'per tensor' : 'per channel'})`;
}

/** Whether the first channel has no more values than 8 bits can tell apart. */
async function hasFewValues(tensor: Tensor, axis: number): Promise<boolean> {
  if (tensor.walk.axes[axis]?.length !== 1) return false;
  const channel = sliceAxis(tensor, axis, 0, 1);
  for await (const chunk of tensorChunks(channel)) return new Set(valuesOf(chunk, channel.dtype).subarray(0, PROBED_VALUES)).size <= 256;
  return false;
}

interface Ranges {
  readonly min: Float64Array;
  readonly max: Float64Array;
}

async function rangesAlong(tensor: Tensor, axis: number): Promise<Ranges> {
  const channels = tensor.shape[axis]!;
  const min = new Float64Array(channels).fill(Number.POSITIVE_INFINITY);
  const max = new Float64Array(channels).fill(Number.NEGATIVE_INFINITY);
  const runs = new Runs(tensor.shape, axis);
  for await (const chunk of tensorChunks(tensor)) {
    const values = valuesOf(chunk, tensor.dtype);
    for (let start = 0; start < values.length; ) {
      const end = runs.next(start, values.length);
      const { channel } = runs;
      let [low, high] = [min[channel]!, max[channel]!];
      for (let i = start; i < end; i++) {
        const value = values[i]!;
        if (value < low) low = value;
        if (value > high) high = value;
      }
      min[channel] = low;
      max[channel] = high;
      start = end;
    }
  }
  return { min, max };
}

/** The first of the grids on which all of b lies, near enough to a. */
async function gridOf(a: Tensor, b: Tensor, axis: number | null, { min, max }: Ranges, grids: readonly Grid[]): Promise<Grid | null> {
  let left = [...grids];
  const runs = new Runs(b.shape, axis);
  for await (const [own, other] of alignedPieces(a, b)) {
    const [x, y] = [valuesOf(own, a.dtype), valuesOf(other, b.dtype)];
    for (let start = 0; start < y.length; ) {
      const end = runs.next(start, y.length);
      // Runs may be of one value each: nothing is made for one.
      let isLost = false;
      for (const grid of left) isLost ||= !fits(grid, x, y, start, end, min[runs.channel]!, max[runs.channel]!);
      if (isLost) left = left.filter((grid) => fits(grid, x, y, start, end, min[runs.channel]!, max[runs.channel]!));
      if (left.length === 0) return null;
      start = end;
    }
  }
  return left[0] ?? null;
}

/** @param start, end the run of `from` and `to` that is looked at */
function fits(
  { isSymmetric, steps, slack }: Grid,
  from: ArrayLike<number>,
  to: ArrayLike<number>,
  start: number,
  end: number,
  min: number,
  max: number,
): boolean {
  const step = (isSymmetric ? Math.max(-min, max) : max - min) / steps;
  const zero = isSymmetric ? 0 : min;
  const reach = step * (0.5 + slack);
  for (let i = start; i < end; i++) {
    const level = step === 0 ? 0 : (to[i]! - zero) / step;
    if (!(Math.abs(level - Math.round(level)) <= slack && Math.abs(from[i]! - to[i]!) <= reach)) return false;
  }
  return true;
}

/** Goes through row-major values in runs that belong to one channel of an axis. */
class Runs {
  readonly #inner: number;
  readonly #channels: number;
  #next = 0;
  #left: number;
  /** Of the run that was given last. */
  channel = 0;

  constructor(shape: readonly number[], axis: number | null) {
    this.#inner = axis === null ? Number.POSITIVE_INFINITY : elementCount(shape.slice(axis + 1));
    this.#channels = axis === null ? 1 : shape[axis]!;
    this.#left = this.#inner;
  }

  /** Where the run that begins at `start` of a piece ends within it. */
  next(start: number, length: number): number {
    this.channel = this.#next;
    const end = Math.min(length, start + this.#left);
    this.#left -= end - start;
    if (this.#left === 0) {
      this.#left = this.#inner;
      this.#next = (this.#next + 1) % this.#channels;
    }
    return end;
  }
}
