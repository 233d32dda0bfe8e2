/** How weights are distributed, in streaming passes: memory holds one chunk and the counts. */
import { countValues } from '../model/histogram.js';
import { floatStatistics } from '../model/statistics.js';
import type { Tensor } from '../model/tensor.js';
import type { HistogramPair } from './exhibits.js';

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
