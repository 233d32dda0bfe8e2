/** Weights in palettes: a table of values for each, chosen so that it loses least, and places in it. */
import { ModelError } from '../errors.js';
import type { LayerMap } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import { codedWeight } from './coded.js';
import { palettedWeight } from './paletted.js';
import type { Better, Shrunk } from './shrunk.js';
import { codableWeights, withWeights } from './weights.js';

/** Targets that have a gather which a runtime works out once, when it loads the file. */
export const PALETTES: ReadonlySet<string> = new Set(['onnx']);

/**
 * Every large weight as places in a palette of its own; depthwise kernels and the net's ends in codes of 8 bits.
 *
 * @param size most values of a palette, 2 to 256
 * @throws ModelError 'usage' where the net has no large weights
 */
export async function shrinkToPalettes(map: LayerMap, size: number, onProgress?: Better['onProgress']): Promise<Shrunk> {
  const weights = codableWeights(map);
  if (weights.length === 0) throw new ModelError('usage', 'the net has no kernels or tables to be coded.');
  const made = new Map<Tensor, Tensor>();
  for (const [i, { tensor, axis, isTender }] of weights.entries()) {
    made.set(tensor, isTender ? await codedWeight(tensor, axis, 'channels', 'full') : await palettedWeight(tensor, size));
    onProgress?.('choosing palettes', i + 1, weights.length);
  }
  const tender = weights.filter(({ isTender }) => isTender).length;
  const rest = tender > 0 ? `, and ${tender} (depthwise kernels, the net's ends) in all codes of 8 bits` : '';
  const message = `${weights.length - tender} weights are places in a palette of up to ${size} values each${rest}`;
  return { map: withWeights(map, made), change: { transform: 'shrink', message, layers: weights.map(({ layer }) => layer.name) } };
}
