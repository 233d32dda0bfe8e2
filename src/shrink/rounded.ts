/** A net whose weights have levels, each rounded. */
import type { LayerMap } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import { type CodeForm, codedWeight, type Level } from './coded.js';
import { codableWeights, withWeights } from './weights.js';

export interface Coder {
  readonly form: CodeForm;
  /** Of each weight, in running order. */
  readonly levels: readonly Level[];
  /** Of codes of 4 bits: longest block. */
  readonly block?: number;
}

export type OnProgress = (phase: string, done: number, total: number) => void;

export async function codeRounded(map: LayerMap, coder: Coder, onProgress?: OnProgress): Promise<LayerMap> {
  return withWeights(map, await roundedWeights(map, coder, new Map(), onProgress));
}

/** What stands for each weight. @param others weights that have something else in their place */
export async function roundedWeights(
  map: LayerMap,
  { form, levels, block }: Coder,
  others: ReadonlyMap<Tensor, Tensor>,
  onProgress?: OnProgress,
): Promise<Map<Tensor, Tensor>> {
  const made = new Map<Tensor, Tensor>();
  for (const [i, { tensor, axis }] of codableWeights(map).entries()) {
    if (!others.has(tensor)) made.set(tensor, await codedWeight(tensor, axis, form, levels[i]!, block));
    onProgress?.('coding weights', i + 1, levels.length);
  }
  return made;
}
