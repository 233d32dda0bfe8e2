/** Elements that are known before anything runs: arithmetic with numbers and free sizes. */
import type { Dim } from '../layer-map.js';
import { broadcastShape, broadcastValue } from './array.js';
import type { Elements, Shaped } from './operator.js';

/** Combines two lists of elements, broadcast to each other; undefined where one of them is not followed. */
export function combineElements(a: Shaped, b: Shaped, combine: (a: Dim | null, b: Dim | null) => Dim | null): Elements | undefined {
  if (!a.elements || !b.elements) return undefined;
  const shape = broadcastShape(a.shape as readonly number[], b.shape as readonly number[]);
  const [left, right] = [a, b].map((value) => placesOf(value, shape));
  return left!.map((at, i) => combine(a.elements![at]!, b.elements![right![i]!]!));
}

/** For each element of what `value` broadcasts to, its place in `value`. */
export function placesOf(value: Shaped, shape: readonly number[]): number[] {
  const places = Float64Array.from(value.elements!, (_, i) => i);
  return [...broadcastValue({ shape: value.shape as readonly number[], data: places }, shape).data];
}

/** Applies arithmetic with sizes where both are known and it stays with whole numbers. */
export function sizes(combine: (a: Dim, b: Dim) => Dim | null): (a: Dim | null, b: Dim | null) => Dim | null {
  return (a, b) => {
    if (a === null || b === null) return null;
    if ([a, b].some((part) => typeof part === 'number' && !Number.isInteger(part))) return null;
    return combine(a, b);
  };
}
