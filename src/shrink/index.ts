/** What `shrink` does beyond a dtype: other weights in place of a net's own, by a step that is given or by search. */
import { ModelError } from '../errors.js';
import type { Change } from '../model/edited.js';
import type { LayerMap } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import { type CodeForm, codedWeight } from './coded.js';
import { codableWeights, withWeights } from './weights.js';

export interface Shrunk {
  readonly map: LayerMap;
  readonly change: Change;
}

/** Targets that keep codes, and how. */
export const CODE_FORMS: Readonly<Record<string, CodeForm>> = { onnx: 'channels', tfjs: 'whole', 'tfjs-graph': 'whole' };

/**
 * Every large weight in steps of so many of its standard deviations; depthwise kernels and the net's ends in all codes that there are.
 *
 * @throws ModelError 'usage' where the net has no large weights
 */
export async function shrinkByStep(map: LayerMap, form: CodeForm, step: number, onProgress?: (done: number, total: number) => void): Promise<Shrunk> {
  const weights = codableWeights(map);
  if (weights.length === 0) throw new ModelError('usage', 'the net has no kernels or tables to be coded.');
  const made = new Map<Tensor, Tensor>();
  for (const [i, { tensor, axis, isTender }] of weights.entries()) {
    made.set(tensor, await codedWeight(tensor, axis, form, isTender ? 'full' : step));
    onProgress?.(i + 1, weights.length);
  }
  const tender = weights.filter(({ isTender }) => isTender).length;
  const message = `${weights.length - tender} weights are in steps of ${step} of their standard deviations${tender > 0 ? `, and ${tender} (depthwise kernels, the net's ends) in all codes of 8 bits` : ''}`;
  return { map: withWeights(map, made), change: { transform: 'shrink', message, layers: weights.map(({ layer }) => layer.name) } };
}
