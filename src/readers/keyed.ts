/** A part of named weights, where the caller asks for one: the tensors under a key, as a model of their own. */
import { ModelError } from '../errors.js';
import type { StoredWeight } from '../model/layer-map.js';

/**
 * @param key what the names of the tensors that are meant begin with, up to a dot; undefined for all
 * @returns all tensors; those that are meant under the names they have below the key, the others marked as beside the model
 * @throws ModelError 'usage' when no name begins so
 */
export function underKey(weights: readonly StoredWeight[], key: string | undefined, file: string): readonly StoredWeight[] {
  if (key === undefined) return weights;
  const isMeant = ({ tensor }: StoredWeight) => tensor.name.startsWith(`${key}.`);
  if (!weights.some(isMeant)) {
    const firsts = [...new Set(weights.map(({ tensor }) => tensor.name.split('.', 1)[0]!))].slice(0, 12);
    throw new ModelError('usage', `no weight is under ${JSON.stringify(key)}. Names begin with ${firsts.join(', ')}.`, { file });
  }
  return weights.map((weight) => {
    if (!isMeant(weight)) return { ...weight, beside: true };
    const name = weight.tensor.name.slice(key.length + 1);
    return { tensor: { ...weight.tensor, name }, layer: name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : null };
  });
}
