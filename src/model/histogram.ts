/** How a tensor's values are distributed over a range. */
import { valuesOf } from './side-by-side.js';
import { elementCount, type Tensor, tensorChunks } from './tensor.js';

/** Few values in many bins make a comb, which shows nothing. */
const BINS = { most: 48, least: 8 } as const;

export interface Counts {
  /** Of equally wide bins. */
  readonly counts: readonly number[];
  /** Finite values outside the range, and values that are not finite. */
  readonly outside: number;
  readonly nonFinite: number;
}

/**
 * @param range of the bins; a range of one value has that value in its first bin. Values up to a bin beyond it are counted in the
 *   outer bins: rounding moves the extremes a little outwards.
 */
export async function countValues(tensor: Tensor, { min, max }: { min: number; max: number }): Promise<Counts> {
  const bins = Math.min(BINS.most, Math.max(BINS.least, Math.ceil(2 * Math.sqrt(elementCount(tensor.shape)))));
  const counts = new Float64Array(bins);
  let [outside, nonFinite] = [0, 0];
  const factor = max > min ? bins / (max - min) : 0;
  const [lowest, highest] = [min - (max - min) / bins, max + (max - min) / bins];
  for await (const chunk of tensorChunks(tensor)) {
    const values = valuesOf(chunk, tensor.dtype);
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      if (value >= lowest && value <= highest) {
        const bin = Math.floor((value - min) * factor);
        counts[bin < 0 ? 0 : bin < bins ? bin : bins - 1]!++;
      } else if (Number.isFinite(value)) outside++;
      else nonFinite++;
    }
  }
  return { counts: [...counts], outside, nonFinite };
}
