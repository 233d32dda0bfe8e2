/** What shape rules have in common. */
import { ModelError } from '../../errors.js';
import type { Dim } from '../layer-map.js';

/**
 * The shape that all broadcast to, as NumPy has it. Of two sizes that may be equal a known one wins: the other must be it, or 1.
 *
 * @throws ModelError 'malformed' where two known sizes do not go together
 */
export function broadcastDims(shapes: readonly (readonly Dim[])[]): readonly Dim[] {
  // Not spread into arguments: a hostile sum has hundreds of thousands of inputs.
  const rank = shapes.reduce((most, { length }) => Math.max(most, length), 0);
  return Array.from({ length: rank }, (_, i) => {
    let agreed: Dim = 1;
    for (const shape of shapes) {
      const size = shape[shape.length - rank + i] ?? 1;
      if (size === 1 || size === agreed) continue;
      if (typeof size === 'number' && typeof agreed === 'number' && agreed !== 1)
        throw new ModelError('malformed', `the shapes ${listed(shapes)} do not broadcast together`);
      if (agreed === 1 || typeof size === 'number') agreed = size;
    }
    return agreed;
  });
}

/** What is given for each of `size` channels. @throws ModelError 'malformed' where it is for another number of them */
export function checkChannelwise(op: string, size: Dim, given: Readonly<Record<string, { readonly shape: readonly Dim[] } | undefined>>): void {
  for (const [what, value] of Object.entries(given)) {
    const count = value?.shape.reduce<Dim>((product, one) => (typeof product === 'number' && typeof one === 'number' ? product * one : '?'), 1);
    if (typeof count === 'number' && typeof size === 'number' && count !== size)
      throw new ModelError('malformed', `${op} has a ${what} of shape [${value!.shape}] for ${size} channels`);
  }
}

/** The first shape that all have, where they are one and the same but for names of free sizes. @throws ModelError 'malformed' else */
export function agreeingDims(shapes: readonly (readonly Dim[])[], except: number): readonly Dim[] {
  const [first] = shapes;
  for (const shape of shapes) {
    const fits =
      shape.length === first!.length &&
      shape.every((size, i) => i === except || typeof size === 'string' || typeof first![i] === 'string' || size === first![i]);
    if (!fits) throw new ModelError('malformed', `the shapes ${listed(shapes)} cannot be joined along axis ${except}`);
  }
  return first!.map((size, axis) => (typeof size === 'number' ? size : (shapes.find((shape) => typeof shape[axis] === 'number')?.[axis] ?? size)));
}

/** `axis` counted from the front. @throws ModelError 'malformed' where there is none such */
export function checkedAxis(axis: number, rank: number): number {
  const front = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || front < 0 || front >= Math.max(rank, 1)) throw new ModelError('malformed', `axis ${axis} of a value of ${rank} axes`);
  return front;
}

/** Several axes, counted from the front; all where none are given. */
export function checkedAxes(axes: readonly number[] | undefined, rank: number): readonly number[] {
  return axes ? axes.map((axis) => checkedAxis(axis, rank)) : Array.from({ length: rank }, (_, axis) => axis);
}

/** Where axes of the old order lie in the new one, whose axis i is the old axis `order[i]`. */
export function movedAxes(axes: readonly number[], order: readonly number[]): readonly number[] {
  return axes.map((axis) => order.indexOf(axis < 0 ? axis + order.length : axis));
}

function listed(shapes: readonly (readonly Dim[])[]): string {
  return shapes.map((shape) => `[${shape}]`).join(', ');
}
