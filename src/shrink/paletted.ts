import { fromPalette, paletteOf, toPalette } from '../model/palette.js';
import type { Tensor } from '../model/tensor.js';
import { standIn } from './stand-in.js';

/** Values of the palettes that a search looks at: their places take 4 bits. */
export const SEARCHED_PALETTE = 16;

/** The tensor that stands for a weight, each of whose values is the nearest in a palette of its own. @param size most values, 2 to 256 */
export async function palettedWeight(tensor: Tensor, size: number): Promise<Tensor> {
  const table = await paletteOf(tensor, size);
  return standIn(tensor, fromPalette(toPalette(tensor, table), table), `palette of ${table.length}`);
}
