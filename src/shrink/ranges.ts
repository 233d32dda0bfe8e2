/**
 * Which range of values 8 bits are to cover: not from the smallest to the largest that was ever seen, where few lie far out, but where clipping
 * those costs less than the coarser steps would that all others had.
 */

/** How a range is chosen from what was seen. */
export type RangeMethod = 'min-max' | 'percentile' | 'least squares';

export const RANGE_METHODS: readonly RangeMethod[] = ['least squares', 'percentile', 'min-max'];

/** Zero is in it, so that padding and what a ReLU cuts off stay exact. */
export interface ValueRange {
  readonly low: number;
  readonly high: number;
}

/** Even: two neighbours become one when the histogram widens. Half of them lie on either side of zero. */
const BINS = 8192;
const HALF = BINS / 2;
/** Part of values that a percentile leaves outside, on both sides together. */
const OUTSIDE = 1e-4;
/** Parts of either end that are tried. */
const PARTS = Array.from({ length: 40 }, (_, i) => 1 - i / 50);

/** Counts values in bins about zero, as wide as what has come asks for: one pass, of any number of values. */
export class RangeHistogram {
  readonly #counts = new Float64Array(BINS);
  #width = 0;
  #low = 0;
  #high = 0;
  #count = 0;
  /** NaN and infinities. */
  nonFinite = 0;

  add(values: ArrayLike<number>): void {
    let [low, high] = [this.#low, this.#high];
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (value - value !== 0) this.nonFinite++;
      else if (value < low) low = value;
      else if (value > high) high = value;
    }
    [this.#low, this.#high] = [low, high];
    this.#widenTo(Math.max(-low, high));
    if (this.#width === 0) return;
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      // Zero is always met exactly.
      if (value - value === 0 && value !== 0) {
        const bin = Math.floor(value / this.#width) + HALF;
        this.#counts[bin < 0 ? 0 : bin < BINS ? bin : BINS - 1]!++;
        this.#count++;
      }
    }
  }

  /** @param levels how many codes there are, less one */
  range(method: RangeMethod, levels = 255): ValueRange {
    const whole = { low: this.#low, high: this.#high };
    if (this.#count === 0 || method === 'min-max') return whole;
    return method === 'percentile' ? this.#percentile() : this.#leastSquares(levels);
  }

  #widenTo(largest: number): void {
    if (largest === 0) return;
    if (this.#width === 0) this.#width = largest / HALF;
    while (largest > this.#width * HALF) {
      const before = this.#counts.slice();
      this.#counts.fill(0);
      for (let i = 0; i < BINS; i++) this.#counts[HALF + Math.floor((i - HALF) / 2)]! += before[i]!;
      this.#width *= 2;
    }
  }

  #percentile(): ValueRange {
    const most = (OUTSIDE / 2) * this.#count;
    let [first, last, below, above] = [0, BINS - 1, 0, 0];
    while (first < HALF && below + this.#counts[first]! <= most) below += this.#counts[first++]!;
    while (last >= HALF && above + this.#counts[last]! <= most) above += this.#counts[last--]!;
    return { low: Math.max(this.#low, (first - HALF) * this.#width), high: Math.min(this.#high, (last + 1 - HALF) * this.#width) };
  }

  /** The ends, as parts of the whole, at which what is cut off and what steps lose are least together. */
  #leastSquares(levels: number): ValueRange {
    const lost = { low: PARTS.map((part) => this.#clipped(part * this.#low, -1)), high: PARTS.map((part) => this.#clipped(part * this.#high, 1)) };
    let best = { low: this.#low, high: this.#high, cost: Number.POSITIVE_INFINITY };
    for (const [i, lowPart] of (this.#low < 0 ? PARTS : [1]).entries()) {
      for (const [k, highPart] of (this.#high > 0 ? PARTS : [1]).entries()) {
        const [low, high] = [lowPart * this.#low, highPart * this.#high];
        const step = (high - low) / levels;
        const cost = (this.#count * step * step) / 12 + lost.low[i]! + lost.high[k]!;
        if (cost < best.cost) best = { low, high, cost };
      }
    }
    return { low: best.low, high: best.high };
  }

  /** Energy of what lies beyond a bound, on one side. */
  #clipped(bound: number, side: 1 | -1): number {
    let sum = 0;
    for (let bin = side > 0 ? BINS - 1 : 0; ; bin -= side) {
      const beyond = ((bin - HALF + 0.5) * this.#width - bound) * side;
      if (beyond <= 0) return sum;
      sum += this.#counts[bin]! * beyond * beyond;
    }
  }
}

/** Codes of 8 bits: value = scale * (code - zero). */
export interface ActivationCodes {
  readonly dtype: 'uint8' | 'int8';
  /** A float32. */
  readonly scale: number;
  readonly zero: number;
}

/**
 * The codes that cover a range, with one that stands for zero. A range that begins at zero begins at the lowest code, and does not end a rounding
 * beyond its end, so that runtimes see that a ReLU, or a clip at that end, changes nothing of the codes, and leave it out.
 */
export function codesFor({ low, high }: ValueRange, dtype: ActivationCodes['dtype']): ActivationCodes {
  const first = dtype === 'uint8' ? 0 : -128;
  const whole = (high - low) / 255;
  // Among subnormals quotients lose their value; a value that is always zero takes any step.
  let scale = whole > 1e-30 ? Math.fround(whole) : 1;
  if (low === 0 && Math.fround(scale * 255) > high && whole > 1e-30) scale = before(scale);
  const zero = Math.min(255, Math.max(0, Math.round(-low / scale)));
  return { dtype, scale, zero: first + zero };
}

/** The float32 before a positive one. */
function before(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0]!--;
  return new Float32Array(bits.buffer)[0]!;
}
