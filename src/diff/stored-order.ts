/**
 * How one tensor of a layer map is stored otherwise than another: what their readers did to lay both out alike, read off the walks over
 * what is stored. Nothing is searched for, and no value is looked at.
 */
import { mergeLoops } from '../model/tensor-chunks.js';
import type { Loop, Tensor } from '../model/walk.js';
import type { Change } from './document.js';

/** The changes that lead from the order in which a is stored to that of b; both of one shape. */
export function storedChanges(a: Tensor, b: Tensor): Change[] {
  const [axesA, axesB] = [a.walk.axes, b.walk.axes];
  if (axesA.length !== axesB.length) return [];
  const wide = [...axesA.keys()].filter((axis) => a.shape[axis] !== 1);
  const [orderA, orderB] = [storedOrder(wide, axesA), storedOrder(wide, axesB)];
  const changes: Change[] = [];
  if (orderA.join() !== orderB.join()) {
    const moved = orderB.map((axis) => orderA.indexOf(axis));
    changes.push(kept('axes-permuted', moved.length === 2 ? 'transposed' : `axes permuted (${moved.join(', ')})`));
  }
  const flipped = wide.filter((axis) => isReversed(axesA[axis]!) !== isReversed(axesB[axis]!));
  if (flipped.length > 0) changes.push(kept('flipped', flipped.length === 2 ? 'turned by 180 degrees' : `flipped along axis ${flipped.join(', ')}`));
  for (const axis of wide) {
    const [from, to] = [storedSizes(axesA[axis]!), storedSizes(axesB[axis]!)];
    if (from.join() === to.join()) continue;
    const sizes = (stored: readonly number[], walked: readonly Loop[]) => (stored.length > 1 ? stored : mergeLoops(walked).map(({ size }) => size)).join(' x ');
    changes.push(kept('flatten-order', `flattened as ${sizes(to, axesA[axis]!)} for ${sizes(from, axesB[axis]!)}`));
  }
  return changes;
}

function kept(kind: Change['kind'], text: string): Change {
  return { kind, text, keepsValues: true };
}

/** The axes as they lie in the file, outermost first. */
function storedOrder(wide: readonly number[], axes: Tensor['walk']['axes']): number[] {
  const reach = (axis: number) => Math.max(...axes[axis]!.filter(({ size }) => size > 1).map(({ stride }) => Math.abs(stride)), 0);
  return wide.toSorted((x, y) => reach(y) - reach(x));
}

function isReversed(loops: readonly Loop[]): boolean {
  return loops.some(({ size, stride }) => size > 1 && stride < 0);
}

/** The sizes of an axis's loops in the order in which they are stored; one where they are stored as they are walked. */
function storedSizes(loops: readonly Loop[]): number[] {
  const merged = mergeLoops(loops);
  return merged.length < 2 ? [] : merged.toSorted((x, y) => Math.abs(y.stride) - Math.abs(x.stride)).map(({ size }) => size);
}
