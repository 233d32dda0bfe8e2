/** Steps that name axes as Keras does, on values whose axes lie as they lie; a Transpose is put in only where nothing else helps. */
import type { Dim } from '../../model/layer-map.js';
import type { Scope } from './scope.js';
import { kerasShape, mapAxis, type Value } from './value.js';

/** The positive axes that Keras means. @throws ModelError 'malformed' where the value has no such axis */
export function kerasAxes(value: Value, axes: readonly number[], scope: Scope): readonly number[] {
  const rank = value.shape.length;
  return axes.map((axis) => {
    const positive = axis < 0 ? axis + rank : axis;
    if (positive >= 0 && positive < rank) return positive;
    throw scope.malformed(`axis ${axis} of a value of ${rank} axes`);
  });
}

/** The order of a value from which these of Keras's axes were removed, the others staying where they are. */
function orderWithout(value: Value, removed: readonly number[]): Value['order'] {
  const rank = value.shape.length;
  const isMoved = value.order === 'moved' && !removed.includes(rank - 1) && rank - removed.length > 2;
  return isMoved ? 'moved' : 'keras';
}

export type Reduction = 'ReduceMean' | 'ReduceMax' | 'ReduceMin' | 'ReduceSum' | 'ReduceProd' | 'ReduceLogSumExp';

/** Reduces over some of Keras's axes; over all but the batch where `axes` is missing. */
export function reduce(op: Reduction, input: Value, axes: readonly number[] | undefined, keep: boolean, scope: Scope): Value {
  const value = scope.builder.unflattened(input);
  const over = kerasAxes(value, axes ?? value.shape.map((_, axis) => axis).slice(1), scope);
  if (over.includes(0)) throw scope.unsupported('a reduction over the batch');
  const attributes = { axes: over.map((axis) => mapAxis(value, axis)).toSorted((a, b) => a - b), keepdims: keep ? 1 : 0 };
  return scope.add(op, [value], { attributes, order: keep ? value.order : orderWithout(value, over) });
}

/** Part of one of Keras's axes. */
export function slice(value: Value, axis: number, start: number, end: number, scope: Scope): Value {
  const place = mapAxis(value, axis);
  return scope.add('Slice', [value], { attributes: { starts: [start], ends: [end], axes: [place] } });
}

/** Removes axes of one element. */
export function squeeze(value: Value, axes: readonly number[], scope: Scope): Value {
  if (axes.length === 0) return value;
  if (axes.includes(0)) throw scope.unsupported('removing the batch axis');
  const places = axes.map((axis) => mapAxis(value, axis));
  const shape = value.shape.filter((_, axis) => !places.includes(axis));
  return reshapeTo(value, shape, orderWithout(value, axes), scope);
}

/** Puts an axis of one element before what is Keras's `axis` then. */
export function unsqueeze(input: Value, axis: number, scope: Scope): Value {
  const rank = input.shape.length + 1;
  const at = axis < 0 ? axis + rank : axis;
  if (at === 0) throw scope.unsupported('an axis before the batch');
  if (at < 0 || at >= rank) throw scope.malformed(`axis ${axis} of a value of ${rank} axes`);
  const value = scope.builder.unflattened(input);
  if (at === rank - 1 && rank > 2) {
    // Last for Keras, behind the batch for the map: what follows most often wants its channels there.
    const plain = scope.builder.toKeras(value);
    return reshapeTo(plain, plain.shape.toSpliced(1, 0, 1), 'moved', scope);
  }
  const place = value.order === 'moved' ? at + 1 : at;
  return reshapeTo(value, value.shape.toSpliced(place, 0, 1), value.order, scope);
}

/** The value in other sizes, its elements in their order. @param shape of the map */
export function reshapeTo(value: Value, shape: readonly Dim[], order: Value['order'], scope: Scope): Value {
  const sizes = shape.map((size, axis) => (typeof size === 'number' ? size : size === value.shape[axis] ? 0 : -1));
  if (sizes.filter((size) => size === -1).length > 1) throw scope.unsupported(`a change from the shape [${value.shape}] to [${shape}]`);
  return scope.add('Reshape', [value], { attributes: { shape: sizes }, order });
}

/** The size of one of Keras's axes. @throws ModelError 'unsupported' where it is free */
export function knownSize(value: Value, axis: number, what: string, scope: Scope): number {
  const size = kerasShape(value)[axis < 0 ? axis + value.shape.length : axis];
  if (typeof size === 'number') return size;
  throw scope.unsupported(`${what} over an axis whose size is not given; --input-shape gives it; this`);
}
