/** How weights are distributed, in streaming passes: memory holds one chunk and the counts. */
import { toFloat32Array, toFloat64Array } from '../model/cast.js';
import { floatStatistics } from '../model/statistics.js';
import { elementCount, type Tensor, tensorChunks } from '../model/tensor.js';
import type { Histogram, HistogramPair } from './exhibits.js';

/** Few values in many bins make a comb, which shows nothing. */
const BINS = { most: 48, least: 8 } as const;

export interface WeightPair {
  readonly layer: string;
  readonly role: string;
  readonly source: Tensor;
  /** With quantised values turned back; null where the written file has no such weight of its own. */
  readonly written: Tensor | null;
  /** As stored in the written file. */
  readonly writtenDType: string | null;
}

/** Both sides over the source's range, so that what the conversion moved can be seen. */
export async function histogramPair({ layer, role, source, written, writtenDType }: WeightPair): Promise<HistogramPair> {
  const { min, max } = await floatStatistics(source);
  const range = { min: min ?? 0, max: max ?? 0 };
  return {
    layer,
    role,
    ...range,
    source: { dtype: source.dtype, ...(await countValues(source, range)) },
    written: written && { dtype: writtenDType ?? written.dtype, ...(await countValues(written, range)) },
  };
}

/**
 * @param range of the bins; a range of one value has that value in its first bin. Values up to a bin beyond it are counted in the
 *   outer bins: rounding moves the extremes a little outwards.
 */
export async function countValues(tensor: Tensor, { min, max }: { min: number; max: number }): Promise<Omit<Histogram, 'dtype'>> {
  const bins = Math.min(BINS.most, Math.max(BINS.least, Math.ceil(2 * Math.sqrt(elementCount(tensor.shape)))));
  const counts = new Float64Array(bins);
  let [outside, nonFinite] = [0, 0];
  const factor = max > min ? bins / (max - min) : 0;
  const [lowest, highest] = [min - (max - min) / bins, max + (max - min) / bins];
  const narrow = ['float32', 'float16', 'bfloat16'].includes(tensor.dtype);
  for await (const chunk of tensorChunks(tensor)) {
    const values = narrow ? toFloat32Array(chunk, tensor.dtype) : toFloat64Array(chunk, tensor.dtype);
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
