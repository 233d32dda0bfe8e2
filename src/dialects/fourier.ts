/** Fourier transforms as products with matrices of cosines and sines, which every target and runtime has. */

/** A transform of numbers that lie one after the other: so many flow in, of which the first `of` count, and `to` come out. */
export interface Transform {
  readonly from: number;
  readonly of: number;
  readonly to: number;
  readonly scale: number;
}

/** Sizes beyond these would be matrices of tens of megabytes. */
export const MOST_TRANSFORMED = 2048;

/** Element [j, k] is `part` of the angle by which place j turns in frequency k, times the scale and the weight of the place. */
export function turns({ from, of, to, scale }: Transform, part: (angle: number) => number, weight: (place: number) => number = () => 1): Float64Array {
  const values = new Float64Array(from * to);
  for (let j = 0; j < Math.min(from, of); j++)
    // Of a whole turn only what goes beyond it counts, which keeps the angle exact.
    for (let k = 0; k < to; k++) values[j * to + k] = scale * weight(j) * exact(part((2 * Math.PI * ((j * k) % of)) / of));
  return values;
}

/** Sines of half turns are zero, which π as a float misses: an angle would be turned around by it. */
const exact = (value: number): number => (Math.abs(value) < 1e-15 ? 0 : value);

/** How many frequencies tell all of a transform of real numbers. */
export const halfOf = (size: number): number => Math.floor(size / 2) + 1;

/** How often a frequency of half a spectrum counts where real numbers of a size are made of it: with the one that mirrors it, which the first and that at an even half have not. */
export const mirrored =
  (size: number) =>
  (frequency: number): number =>
    frequency >= halfOf(size) ? 0 : frequency === 0 || 2 * frequency === size ? 1 : 2;
