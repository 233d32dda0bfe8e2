/**
 * Tables of which some rows are the source's and others are not. What is folded into a table, or rounded, is so in all of its rows; one that is
 * another is what the net makes of its number, and inputs show it only where they happen to ask for that number.
 */
import type { Layer, LayerMap } from '../model/layer-map.js';
import { readersOf } from '../model/ops/index.js';
import { alignedPieces, valuesOf } from '../model/side-by-side.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import { widenWeight } from './written/widen.js';
import type { WrittenWeight } from './written/written.js';

/** Rows that are nearer than this to each other, of their size, are one row that was rounded. */
const ROUNDED = 0.01;

/** Layers whose weights are looked up: tables, and constants that nothing but a look-up reads. */
export function lookedUp(layers: LayerMap['layers']): ReadonlyMap<Layer, number> {
  const readers = readersOf(layers);
  const axes = new Map<Layer, number>();
  for (const layer of layers) {
    const lookUps = layer.op === 'Constant' ? (readers.get(layer.outputs[0]!) ?? []).map((reader) => lookUpAxis(reader)) : [lookUpAxis(layer)];
    const [axis] = lookUps;
    if (axis != null && lookUps.every((other) => other === axis)) axes.set(layer, axis);
  }
  return axes;
}

/** Along which axis a layer takes parts of what it reads; null where it does something else. */
function lookUpAxis({ op, attributes }: Layer): number | null {
  if (op === 'Gather') return (attributes.axis as number | undefined) ?? 0;
  const axes = op === 'Slice' ? (attributes.axes as readonly number[] | undefined) : undefined;
  return axes?.length === 1 ? axes[0]! : null;
}

/** What is wrong with a table of which fewer rows are others than are the source's; null where all or none of them are. */
export async function rowsApart(source: Tensor, written: WrittenWeight, axis: number): Promise<string | null> {
  const { shape } = source;
  const at = axis < 0 ? axis + shape.length : axis;
  const count = shape[at];
  if (count === undefined || shape.join() !== written.tensor.shape.join()) return null;
  const inner = elementCount(shape.slice(at + 1));
  const [sizes, differences] = [new Float64Array(count), new Float64Array(count)];
  const stored = widenWeight(written);
  let position = 0;
  for await (const [a, b] of alignedPieces(source, stored)) {
    const [wanted, found] = [valuesOf(a, source.dtype), valuesOf(b, stored.dtype)];
    for (let i = 0; i < wanted.length; i++) {
      const row = Math.floor((position + i) / inner) % count;
      sizes[row]! += wanted[i]! * wanted[i]!;
      differences[row]! += (wanted[i]! - found[i]!) ** 2;
    }
    position += wanted.length;
  }
  const others = [...differences.keys()].filter((row) => !(differences[row]! <= ROUNDED * ROUNDED * sizes[row]!));
  const same = sizes.filter((size, row) => size > 0 && differences[row]! <= ROUNDED * ROUNDED * size).length;
  if (others.length === 0 || others.length > same) return null;
  return `is another in ${others.length} of ${count} rows, first in row ${others[0]}, and the source's in the rest: inputs show it only where they ask for such a row`;
}
