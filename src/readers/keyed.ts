/** A part of named weights, where the caller asks for one: the tensors under a key, as a model of their own. */
import { ModelError } from '../errors.js';
import type { StoredWeight } from '../model/layer-map.js';
import { listed } from '../words.js';

/**
 * @param key what the names of the tensors that are meant begin with, up to a dot; undefined for all
 * @returns all tensors; those that are meant under the names they have below the key, the others marked as beside the model
 * @throws ModelError 'usage' when no name begins so
 */
export function underKey(weights: readonly StoredWeight[], key: string | undefined, file: string): readonly StoredWeight[] {
  if (key === undefined) return weights;
  const isMeant = ({ tensor }: StoredWeight) => tensor.name.startsWith(`${key}.`);
  if (!weights.some(isMeant)) {
    const there = beginnings(weights.map(({ tensor }) => tensor.name));
    const known = there.length > 0 ? `Names begin with ${listed(there, 12)}.` : 'Its names have no dots, and are taken without a key.';
    throw new ModelError('usage', `no weight is under ${JSON.stringify(key)}. ${known}`, { file });
  }
  return weights.map((weight) => {
    if (!isMeant(weight)) return { ...weight, beside: true };
    const name = weight.tensor.name.slice(key.length + 1);
    return { tensor: { ...weight.tensor, name }, layer: name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : null };
  });
}

/** What the names of tensors begin with, up to the dot at which they first differ: `module.encoder_q`, `module.encoder_k`. */
export function beginnings(names: readonly string[]): readonly string[] {
  const all = names.map((name) => name.split('.'));
  const [first = []] = all;
  let shared = 0;
  while (shared < first.length && all.every((parts) => parts.length > shared + 1 && parts[shared] === first[shared])) shared++;
  return [...new Set(all.filter(({ length }) => length > shared + 1).map((parts) => parts.slice(0, shared + 1).join('.')))];
}
