/** Casts the weights that a writer is about to store, and tells what the cast lost. */
import { type CastTally, castTensor, newCastTally } from '../model/cast.js';
import { DTYPE_BYTES, type DType, isFloatDType } from '../model/dtype.js';
import type { Notice } from '../model/layer-map.js';
import { narrowDType, narrowForm, unwidened } from '../model/narrow-form.js';
import type { Tensor } from '../model/tensor.js';
import { counted } from '../words.js';

export interface CastWeights {
  readonly tensors: readonly Tensor[];
  /** What was lost; complete once all tensors have been streamed. */
  notices(): Notice[];
}

/**
 * Floating-point tensors become `dtype`; others, and all with 'source', stay as they are: as the file has them, where they were widened
 * on the way.
 *
 * @param holds which dtypes the format has; a float of another one is stored as float32
 */
export function castWeights(weights: readonly Tensor[], dtype: DType | 'source', holds: (dtype: DType) => boolean = () => true): CastWeights {
  const tallies: { name: string; tally: CastTally; to: DType }[] = [];
  const tensors = weights.map((tensor) => {
    const own = unwidened(tensor);
    const wanted = dtype !== 'source' ? dtype : holds(own.dtype) ? own.dtype : 'float32';
    if (own.dtype === wanted || !isFloatDType(own.dtype)) return own;
    const tally = newCastTally();
    tallies.push({ name: tensor.name, tally, to: wanted });
    return castTensor(own, wanted, tally);
  });
  const wider = dtype === 'source' ? widenedNotice(weights.map((source, i) => ({ source, stored: tensors[i]!.dtype }))) : [];
  return { tensors, notices: () => [...wider, ...tallies.flatMap(({ name, tally, to }) => castNotices(name, tally, to))] };
}

/** What became larger than it was because the target has no such form. */
export function widenedNotice(weights: readonly { readonly source: Tensor; readonly stored: DType }[]): Notice[] {
  const wider = weights.filter(({ source, stored }) => DTYPE_BYTES[stored] > DTYPE_BYTES[narrowDType(source)]);
  if (wider.length === 0) return [];
  const kinds = new Set(wider.map(({ source, stored }) => `${narrowDType(source)} as ${stored}`));
  const form = wider.some(({ source }) => narrowForm(source)?.codes) ? ', as the target has no such codes with a scale' : ', which loses nothing';
  return [{ code: 'widened', message: `${counted(wider.length, 'weight')} became larger than in the source: ${[...kinds].join(', ')}${form}` }];
}

/** What stayed the integers that it is in the source. */
export function keptCodesNotice(kept: readonly Pick<Tensor, 'dtype'>[]): Notice[] {
  if (kept.length === 0) return [];
  const dtypes = [...new Set(kept.map(({ dtype }) => dtype))].join(' and ');
  return [{ code: 'codes-kept', message: `${counted(kept.length, 'weight')} stayed the ${dtypes} codes that they are in the source, with their scale` }];
}

/** Sentences for what does not survive a cast: finite values that become infinite, nonzero values that become zero. */
export function castNotices(name: string, tally: CastTally, dtype: DType | 'source'): Notice[] {
  const notices: Notice[] = [];
  if (tally.overflow > 0)
    notices.push({ code: 'overflow', message: `${name}: ${counted(tally.overflow, 'finite value')} too large for ${dtype} became infinite` });
  if (tally.underflow > 0)
    notices.push({ code: 'underflow', message: `${name}: ${counted(tally.underflow, 'nonzero value')} too small for ${dtype} became zero` });
  if (tally.nan > 0) notices.push({ code: 'nan', message: `${name}: ${tally.nan} values are NaN` });
  return notices;
}
