/** Casts the weights that a writer is about to store, and tells what the cast lost. */
import { type CastTally, castTensor, newCastTally } from '../model/cast.js';
import { type DType, isFloatDType } from '../model/dtype.js';
import type { Notice } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';

export interface CastWeights {
  readonly tensors: readonly Tensor[];
  /** What was lost; complete once all tensors have been streamed. */
  notices(): Notice[];
}

/** Floating-point tensors become `dtype`; others, and all with 'source', stay as they are. */
export function castWeights(weights: readonly Tensor[], dtype: DType | 'source'): CastWeights {
  const tallies: { name: string; tally: CastTally }[] = [];
  const tensors = weights.map((tensor) => {
    if (dtype === 'source' || tensor.dtype === dtype || !isFloatDType(tensor.dtype)) return tensor;
    const tally = newCastTally();
    tallies.push({ name: tensor.name, tally });
    return castTensor(tensor, dtype, tally);
  });
  return { tensors, notices: () => tallies.flatMap(({ name, tally }) => castNotices(name, tally, dtype)) };
}

/** Sentences for what does not survive a cast: finite values that become infinite, nonzero values that become zero. */
export function castNotices(name: string, tally: CastTally, dtype: DType | 'source'): Notice[] {
  const notices: Notice[] = [];
  if (tally.overflow > 0)
    notices.push({ code: 'overflow', message: `${name}: ${tally.overflow} finite values are too large for ${dtype} and became infinite` });
  if (tally.underflow > 0)
    notices.push({ code: 'underflow', message: `${name}: ${tally.underflow} nonzero values are too small for ${dtype} and became zero` });
  if (tally.nan > 0) notices.push({ code: 'nan', message: `${name}: ${tally.nan} values are NaN` });
  return notices;
}
