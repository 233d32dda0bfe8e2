/**
 * Weights that were rounded to a narrower dtype among others that were not. What is narrow by choice says so or is so in all of its weights; this is
 * neither, and moves outputs by less than they are held to. What a normalisation was folded into is the source's but for the last bits.
 */
import { alignedPieces, valuesOf } from '../model/side-by-side.js';
import { elementCount, type Tensor, tensorChunks } from '../model/tensor.js';
import { NARROWER } from './causes/precision.js';
import type { WrittenWeight } from './written/written.js';

/** Values that rounding moves, below which that they are what it gives may be chance. */
const FEWEST = 16;

/** Whether rounding would change a weight: one of small whole numbers says nothing of where it comes from. */
export async function hasFullPrecision(source: Tensor): Promise<boolean> {
  if (source.dtype !== 'float32' || elementCount(source.shape) < FEWEST) return false;
  for await (const chunk of tensorChunks(source)) {
    const values = valuesOf(chunk, source.dtype);
    if (NARROWER.every(([, , of]) => values.filter((value) => of(value) !== value).length >= FEWEST)) return true;
  }
  return false;
}

/** What two ways of folding a normalisation leave between two values, of the larger one that they come from. */
const FOLDED = 2 ** -20;

/** What a weight is rounded to ('rounded to float16') that is else the source's, and stored as wide as it was; null where it is not that. */
export async function roundedTo(source: Tensor, { tensor: stored, quantisation }: WrittenWeight): Promise<string | null> {
  if (quantisation || source.dtype !== 'float32' || stored.dtype !== 'float32' || source.shape.join() !== stored.shape.join()) return null;
  let open = NARROWER;
  let [moved, largest] = [0, 0];
  for await (const [a, b] of alignedPieces(source, stored)) {
    const [wanted, found] = [valuesOf(a, source.dtype), valuesOf(b, stored.dtype)];
    for (const value of wanted) largest = Math.max(largest, Math.abs(value));
    const slack = FOLDED * largest;
    // A value that lies between two narrower ones may be rounded to either, by what folding leaves.
    const isRounded = (value: number, source: number, of: (value: number) => number) =>
      value === of(value) && Math.abs(value - source) <= Math.abs(of(source) - source) + slack;
    open = open.filter(([, , of]) => found.every((value, i) => isRounded(value, wanted[i]!, of)));
    if (open.length === 0) return null;
    for (let i = 0; i < wanted.length; i++) if (Math.abs(wanted[i]! - found[i]!) > slack) moved++;
  }
  return moved >= FEWEST ? open[0]![1] : null;
}
