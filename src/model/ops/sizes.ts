/** What graphs work shapes out with: Shape, Size, Unsqueeze, Squeeze, Expand, Range, ConstantOfShape, Where, Equal, Cast ... */
import { ModelError } from '../../errors.js';
import { productOf } from '../dims.js';
import type { DType } from '../dtype.js';
import type { Dim } from '../layer-map.js';
import { freshElements } from './arrangement.js';
import { broadcastShape, broadcastValue, newValue } from './array.js';
import { dtypeName, float, int, ints, operator, optional } from './operator.js';
import { broadcastDims, checkedAxes, checkedAxis } from './rules.js';

/** start and end: which axes, as a slice. */
export const shape = operator({
  op: 'Shape',
  slots: ['x'],
  attributes: { start: int(0), end: optional(int()) },
  shape: ({ x }, { start, end }) => [[x.shape.slice(...shapeRange(x.shape.length, start, end)).length]],
  dtype: () => ['int64'],
  elements: ({ x }, { start, end }) => x.shape.slice(...shapeRange(x.shape.length, start, end)),
  onnx: { newer: { start: 15, end: 15 } },
  compute({ x }, { start, end }) {
    const sizes = x.shape.slice(...shapeRange(x.shape.length, start, end));
    return [{ shape: [sizes.length], data: Float64Array.from(sizes) }];
  },
});

function shapeRange(rank: number, start: number, end: number | undefined): [number, number] {
  const clamp = (at: number) => Math.max(0, Math.min(rank, at < 0 ? at + rank : at));
  return [clamp(start), clamp(end ?? rank)];
}

export const size = operator({
  op: 'Size',
  slots: ['x'],
  attributes: {},
  shape: () => [[]],
  dtype: () => ['int64'],
  elements: ({ x }) => [productOf(x.shape)],
  onnx: {},
  compute: ({ x }) => [{ shape: [], data: Float64Array.of(x.data.length) }],
});

/** axes of the result. */
export const unsqueeze = operator({
  op: 'Unsqueeze',
  slots: ['x', 'axes?'],
  attributes: { axes: optional(ints()) },
  shape: ({ x, axes: given }, { axes }, { fresh }) => {
    const added = axes ?? knownAxes(given?.elements);
    return [added ? unsqueezed(x.shape, added) : someSizes(x.shape.length + countOf(given), fresh)];
  },
  moves: true,
  sign: ({ x }) => x,
  onnx: { inputs: { axes: { since: 13 } } },
  compute: ({ x, axes: given }, { axes }) => [{ shape: unsqueezed(x.shape, axes ?? [...given!.data]), data: x.data }],
});

function unsqueezed<D extends Dim>(sizes: readonly D[], axes: readonly number[]): (D | 1)[] {
  const rank = sizes.length + axes.length;
  const added = axes.map((axis) => checkedAxis(axis, rank));
  const rest = [...sizes];
  return Array.from({ length: rank }, (_, axis) => (added.includes(axis) ? 1 : rest.shift()!));
}

function knownAxes(elements: readonly (Dim | null)[] | undefined): readonly number[] | undefined {
  return elements?.every((axis) => typeof axis === 'number') ? (elements as readonly number[]) : undefined;
}

function countOf(axes: { readonly shape: readonly Dim[] } | undefined): number {
  const [count] = axes?.shape ?? [];
  if (typeof count === 'number') return count;
  throw new ModelError('unsupported', 'how many axes it makes is known only when the model runs');
}

const someSizes = (rank: number, fresh: (output: number, axis: number) => Dim) => Array.from({ length: rank }, (_, axis) => fresh(0, axis));

/** axes: all of size one where there are none. */
export const squeeze = operator({
  op: 'Squeeze',
  slots: ['x', 'axes?'],
  attributes: { axes: optional(ints()) },
  shape: ({ x, axes: given }, { axes }, { fresh }) => {
    const dropped = axes ?? knownAxes(given?.elements);
    return [dropped || !given ? squeezed(x.shape, dropped) : someSizes(x.shape.length - countOf(given), fresh)];
  },
  moves: true,
  sign: ({ x }) => x,
  onnx: { inputs: { axes: { since: 13 } } },
  compute: ({ x, axes: given }, { axes }) => [{ shape: squeezed(x.shape, axes ?? (given && [...given.data])) as number[], data: x.data }],
});

function squeezed<D extends Dim>(sizes: readonly D[], axes: readonly number[] | undefined): D[] {
  if (!axes) {
    if (sizes.some((size) => typeof size === 'string'))
      throw new ModelError('unsupported', `which axes of [${sizes}] are dropped is known only when the model runs`);
    return sizes.filter((size) => size !== 1);
  }
  const dropped = checkedAxes(axes, sizes.length);
  const wrong = dropped.find((axis) => typeof sizes[axis] === 'number' && sizes[axis] !== 1);
  if (wrong !== undefined) throw new ModelError('malformed', `axis ${wrong} of [${sizes}] is to be dropped, but is not 1`);
  return sizes.filter((_, axis) => !dropped.includes(axis));
}

/** Repeats along axes of size one; both shapes broadcast to the result. */
export const expand = operator({
  op: 'Expand',
  slots: ['x', 'shape?'],
  attributes: { shape: optional(ints()) },
  shape({ x, shape: given }, { shape }, { fresh }) {
    const elements = shape ?? given?.elements ?? freshElements(given, fresh);
    return [broadcastDims([x.shape, elements.map((element, axis) => element ?? fresh(0, axis))])];
  },
  moves: true,
  sign: ({ x }) => x,
  onnx: { since: 8, inputs: { shape: { since: 8 } } },
  compute({ x, shape: given }, { shape }) {
    return [broadcastValue(x, broadcastShape(x.shape, shape ?? [...given!.data]))];
  },
});

export const range = operator({
  op: 'Range',
  slots: ['start', 'limit', 'delta'],
  attributes: {},
  shape({ start, limit, delta }, _, { fresh }) {
    const [from, to, by] = [start, limit, delta].map(({ elements }) => elements?.[0] ?? null);
    if (typeof from === 'number' && typeof to === 'number' && typeof by === 'number') return [[rangeCount(from, to, by)]];
    if (to !== null && to !== undefined && from === 0 && by === 1) return [[to]];
    return [[fresh(0, 0)]];
  },
  onnx: { since: 11 },
  compute({ start, limit, delta }) {
    const [from, to, by] = [start.data[0]!, limit.data[0]!, delta.data[0]!];
    return [{ shape: [rangeCount(from, to, by)], data: Float64Array.from({ length: rangeCount(from, to, by) }, (_, i) => from + i * by) }];
  },
});

function rangeCount(from: number, to: number, by: number): number {
  if (by === 0) throw new ModelError('malformed', 'a range with steps of 0');
  return Math.max(0, Math.ceil((to - from) / by));
}

/** A value filled with one element; its dtype by name. */
export const constantOfShape = operator({
  op: 'ConstantOfShape',
  slots: ['shape'],
  attributes: { value: float(0), dtype: dtypeName('float32') },
  shape: ({ shape }, _, { fresh }) => [(shape.elements ?? freshElements(shape, fresh)).map((element, axis) => element ?? fresh(0, axis))],
  dtype: (_, { dtype }) => [dtype as DType],
  onnx: { since: 9, oneElement: { value: 'dtype' } },
  compute: ({ shape }, { value }) => [newValue([...shape.data], value)],
});
