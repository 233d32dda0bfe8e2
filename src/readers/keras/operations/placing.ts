/** Operations that repeat, pick and reorder: tile, repeat, unstack, take, slice, swapaxes, moveaxis. */
import { kerasAxes, knownSize, reshapeTo, slice, squeeze } from '../axes.js';
import type { Scope } from '../scope.js';
import { kerasShape, mapAxis, type Value } from '../value.js';
import { ofValue, transposed } from './arrangement.js';
import type { Index, Operation } from './operation.js';
import { shapeOf, sizesValue } from './sizes.js';
import { flip, index } from './slicing.js';

/** Each takes an operator of its own. */
const MAX_PICKED = 512;

/** The whole value so many times along each axis. */
export const tile = (x: string, times: string): Operation =>
  ofValue(x, (args) => {
    const counts = args.knownSizes(times);
    return (input, scope, inputs) => {
      const given = counts(inputs, scope);
      const value = scope.builder.unflattened(input);
      const rank = value.shape.length;
      const whole = [...new Array<number>(Math.max(rank - given.length, 0)).fill(1), ...given];
      if (whole.length !== rank || whole.some((count) => count < 1)) throw scope.malformed(`[${given}] does not say how often to repeat each of ${rank} axes`);
      if (whole[0] !== 1) throw scope.unsupported('repeating the batch');
      const repeats = new Array<number>(rank).fill(1);
      for (const [axis, count] of whole.entries()) repeats[mapAxis(value, axis)] = count;
      return scope.add('Tile', [value], { attributes: { repeats } });
    };
  });

/** Each element of an axis so many times. */
export const repeat = (x: string): Operation =>
  ofValue(x, (args) => {
    const counts = args.integers('repeats') ?? [1];
    const times = counts[0] ?? 0;
    const given = args.integers('axis');
    if (counts.some((count) => count < 1) || counts.length === 0 || given?.length !== 1)
      args.decline('it repeats all elements in a row, which is not translated');
    return (input, scope) => {
      const value = scope.builder.toKeras(input);
      const [axis] = kerasAxes(value, given!, scope) as [number];
      if (axis === 0) throw scope.unsupported('repeating the batch');
      const size = knownSize(value, axis, 'a repetition', scope);
      if (counts.length > 1) {
        if (counts.length !== size) throw scope.malformed(`${counts.length} counts for an axis of ${size} elements`);
        const places = counts.flatMap((count, i) => new Array<number>(count).fill(i));
        return scope.add('Concat', picked(value, axis, places, scope), { attributes: { axis } });
      }
      const apart = reshapeTo(value, value.shape.toSpliced(axis + 1, 0, 1), 'keras', scope);
      const repeats = apart.shape.map((_, at) => (at === axis + 1 ? times : 1));
      return reshapeTo(scope.add('Tile', [apart], { attributes: { repeats } }), value.shape.with(axis, size * times), 'keras', scope);
    };
  });

/** Every element of an axis, which is gone. */
export const unstack = (x: string): Operation =>
  ofValue(x, (args) => {
    const given = args.integer('axis', 0);
    args.json('num');
    return (input, scope) => {
      if (input.sizes) return input.sizes.dims.map((size) => sizesValue([size], true));
      const value = scope.builder.unflattened(input);
      const [axis] = kerasAxes(value, [given], scope) as [number];
      const size = knownSize(value, axis, 'taking an axis apart', scope);
      return picked(
        value,
        axis,
        Array.from({ length: size }, (_, i) => i),
        scope,
      ).map((part) => squeeze(part, [axis], scope));
    };
  });

function picked(value: Value, axis: number, places: readonly number[], scope: Scope): Value[] {
  if (axis === 0) throw scope.unsupported('a part of the batch');
  if (places.length > MAX_PICKED) throw scope.unsupported(`picking ${places.length} elements, more than ${MAX_PICKED},`);
  const size = knownSize(value, axis, 'picking elements', scope);
  return places.map((place) => {
    const at = place < 0 ? place + size : place;
    if (at < 0 || at >= size) throw scope.malformed(`element ${place} of an axis of ${size}`);
    return slice(value, axis, at, at + 1, scope);
  });
}

/** Elements of an axis, by their places. @param usual the axis where none is given; null where all axes would be taken in a row */
export const take = (x: string, usual: number | null): Operation =>
  ofValue(x, (args) => {
    const places = args.integers('indices');
    const isOne = !Array.isArray(args.json('indices'));
    const given = args.integers('axis') ?? (usual === null ? [] : [usual]);
    if (!places || given.length !== 1) args.decline('which elements it picks, and along which axis, is not known before the run, which is not translated');
    if (args.integer('batch_dims', 0) !== 0) args.decline('it picks other elements for each sample, which is not translated');
    args.json('validate_indices');
    return (input, scope) => {
      const value = scope.builder.unflattened(input);
      const [axis] = kerasAxes(value, given, scope) as [number];
      const parts = picked(value, axis, places!, scope);
      if (isOne) return squeeze(parts[0]!, [axis], scope);
      return parts.length === 1 ? parts[0]! : scope.add('Concat', parts, { attributes: { axis: mapAxis(value, axis) } });
    };
  });

/** `tf.slice` and `keras.ops.slice`: from these places on, so many elements, -1 for all that are left. */
export const sliceOf = (x: string, from = 'begin', size = 'size'): Operation =>
  ofValue(x, (args) => {
    const begin = args.integers(from) ?? [];
    const sizes = args.integers(size) ?? [];
    if (begin.length !== sizes.length || begin.length === 0) args.decline('which part it takes is not known before the run, which is not translated');
    const indices = begin.map((start, i): Index => {
      const size = sizes[i]!;
      return start === 0 && size === -1 ? { kind: 'all' } : { kind: 'range', start, stop: size === -1 ? null : start + size, step: 1 };
    });
    return (value, scope) => index(value, indices, scope);
  });

/** A node of a TensorFlow graph that indexes, whose masks say by bits which of its numbers count. */
export const stridedSlice: Operation = ofValue('input', (args) => {
  const [begin, end, strides] = ['begin', 'end', 'strides'].map((name) => args.integers(name) ?? []) as [number[], number[], number[]];
  const [noBegin, noEnd, rest, fresh, one] = ['begin_mask', 'end_mask', 'ellipsis_mask', 'new_axis_mask', 'shrink_axis_mask'].map((name) =>
    args.integer(name, 0),
  ) as [number, number, number, number, number];
  if (begin.length === 0 || end.length !== begin.length || strides.length !== begin.length)
    args.decline('which part it takes is not known before the run, which is not translated');
  const indices = begin.map((start, i): Index => {
    const has = (mask: number) => ((mask >> i) & 1) === 1;
    if (has(rest)) return { kind: 'rest' };
    if (has(fresh)) return { kind: 'new' };
    if (has(one)) return { kind: 'one', at: start };
    const range = { kind: 'range', start: has(noBegin) ? null : start, stop: has(noEnd) ? null : end[i]!, step: strides[i]! } as const;
    return range.start === null && range.stop === null && range.step === 1 ? { kind: 'all' } : range;
  });
  return (value, scope) => index(value, indices, scope);
});

/** The sizes of a value, which are numbers of the model and no value. */
export const shape = (x: string): Operation => ofValue(x, () => (value) => shapeOf(value));

/** Axes of one element, and axes that are not there, repeated up to a shape. */
export const broadcastTo = (x: string): Operation =>
  ofValue(x, (args) => {
    const wanted = args.sizes('shape');
    return (input, scope, inputs) => {
      const value = scope.builder.toKeras(input);
      const target = wanted(inputs, scope);
      const own = [...new Array<number>(Math.max(0, target.length - value.shape.length)).fill(1), ...value.shape];
      // Sizes that are there already, the batch's among them, take no part.
      const shape = target.map((size, axis) => (size === own[axis] ? 1 : size));
      if (shape.some((size) => typeof size === 'string')) throw scope.unsupported(`a value of the shape [${value.shape}] spread to [${target}]`);
      return shape.every((size) => size === 1) && target.length === value.shape.length
        ? value
        : scope.add('Expand', [value], { attributes: { shape: shape as number[] } });
    };
  });

/** One axis from its end to its start. */
export const flipAxis = (x: string, axis: number): Operation =>
  ofValue(x, () => (input, scope) => {
    const value = scope.builder.unflattened(input);
    const [at] = kerasAxes(value, [axis], scope) as [number];
    return flip(value, at, kerasShape(value)[at], scope);
  });

export const swapAxes: Operation = ofValue('x', (args) => {
  const [a, b] = [args.integer('axis1', 0), args.integer('axis2', 0)];
  return (value, scope) => {
    const [from, to] = kerasAxes(value, [a, b], scope) as [number, number];
    return transposed(
      value,
      value.shape.map((_, axis) => (axis === from ? to : axis === to ? from : axis)),
      scope,
    );
  };
});

/** Axes in other places; the others keep their order. */
export const moveAxis: Operation = ofValue('x', (args) => {
  const [source, target] = [args.integers('source') ?? [], args.integers('destination') ?? []];
  if (source.length !== target.length || source.length === 0) args.decline('it does not say as many places as axes');
  return (value, scope) => {
    const [from, to] = [kerasAxes(value, source, scope), kerasAxes(value, target, scope)];
    const others = value.shape.map((_, axis) => axis).filter((axis) => !from.includes(axis));
    const perm = value.shape.map((_, place) => (to.includes(place) ? from[to.indexOf(place)]! : others.shift()!));
    return transposed(value, perm, scope);
  };
});
