/** What documents say of a weight: its place in the file, its numbers, or how it is worked out. */
import type { Tensor } from './tensor.js';

/** The name in the file, and the shape in the layer map; a constant has its values instead of a place in the file. */
export interface WeightDocument {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values?: readonly number[];
  /** How it is worked out, where it is not in the file but others are. */
  readonly derived?: { readonly by: string; readonly from: readonly WeightDocument[]; readonly settings: Readonly<Record<string, number>> };
}

export function describeWeight({ name, shape, known, derived }: Tensor): WeightDocument {
  if (!derived) return { name, shape, ...(known ? { values: known.map(Number) } : {}) };
  const { by, from, settings } = derived;
  return { name, shape, derived: { by, from: from.map(describeWeight), settings } };
}
