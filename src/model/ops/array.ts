/** Values as operators are evaluated on: dense float64 arrays, row-major, channels-first. */
import { ModelError } from '../../errors.js';
import type { DType } from '../dtype.js';
import type { NdArray } from '../nd-array.js';
import { rowMajorStrides } from '../tensor.js';

export interface Value extends NdArray {
  readonly shape: readonly number[];
  readonly data: Float64Array;
  /** What the elements are to a runtime; a float where left out. */
  readonly dtype?: DType;
}

/** 2 GiB of float64; no activation of a network that a CPU evaluates in reasonable time comes near. */
const MAX_ELEMENTS = 2 ** 28;

/**
 * A value of zeros (or of `fill`).
 *
 * @throws ModelError 'engine' when it would not fit in memory
 */
export function newValue(shape: readonly number[], fill = 0): Value {
  const count = shape.reduce((product, size) => product * size, 1);
  if (!(count <= MAX_ELEMENTS)) {
    throw new ModelError('engine', `the reference evaluator holds at most ${MAX_ELEMENTS} elements in a value, but this one has the shape [${shape}]`);
  }
  const data = new Float64Array(count);
  return { shape: [...shape], data: fill === 0 ? data : data.fill(fill) };
}

/** The same elements as float64; float64 data is shared, not copied. */
export function toValue({ shape, data }: NdArray): Value {
  return { shape, data: data instanceof Float64Array ? data : Float64Array.from(data as ArrayLike<number | bigint>, Number) };
}

export function mapValue({ shape, data }: Value, change: (element: number) => number): Value {
  // Several times as fast as the array's own `map`.
  const made = new Float64Array(data.length);
  for (let i = 0; i < made.length; i++) made[i] = change(data[i]!);
  return { shape, data: made };
}

/** Reorders axes, as NumPy's transpose: axis i of the result is axis `order[i]` of `x`. */
export function transposeValue(x: Value, order: readonly number[]): Value {
  const strides = rowMajorStrides(x.shape);
  return walk(
    x,
    order.map((axis) => x.shape[axis]!),
    order.map((axis) => strides[axis]!),
  );
}

/** Repeats `x` along axes of size one, and along new leading axes, until it has `shape`, as NumPy's broadcast_to. */
export function broadcastValue(x: Value, shape: readonly number[]): Value {
  if (x.shape.length === shape.length && x.shape.every((size, axis) => size === shape[axis])) return x;
  const strides = rowMajorStrides(x.shape);
  const lead = shape.length - x.shape.length;
  const fits = lead >= 0 && x.shape.every((size, axis) => size === 1 || size === shape[axis + lead]);
  if (!fits) throw new ModelError('engine', `the shape [${x.shape}] does not broadcast to [${shape}]`);
  return walk(
    x,
    shape,
    shape.map((_, axis) => (axis < lead || x.shape[axis - lead] === 1 ? 0 : strides[axis - lead]!)),
  );
}

/** Combines two values element by element, each broadcast to the other. */
export function combineValues(a: Value, b: Value, combine: (a: number, b: number) => number): Value {
  const shape = broadcastShape(a.shape, b.shape);
  const left = broadcastValue(a, shape).data;
  const right = broadcastValue(b, shape).data;
  return { shape, data: left.map((element, i) => combine(element, right[i]!)) };
}

/** The shape that both broadcast to. */
export function broadcastShape(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const left = a[a.length - rank + i] ?? 1;
    const right = b[b.length - rank + i] ?? 1;
    if (left !== right && left !== 1 && right !== 1) throw new ModelError('engine', `the shapes [${a}] and [${b}] do not broadcast together`);
    return left === 1 ? right : left;
  });
}

/**
 * Picks, along each axis, the elements at the given places; -1 stands for an element that is not there.
 *
 * @param places for each axis of the result, the indices into the same axis of `x`
 * @param missing what stands where any axis says -1
 */
export function pickElements(x: Value, places: readonly ArrayLike<number>[], missing = 0): Value {
  const y = newValue(places.map((axis) => axis.length));
  const strides = rowMajorStrides(x.shape);
  let at = 0;
  const visit = (axis: number, start: number) => {
    if (axis === places.length) {
      y.data[at++] = start < 0 ? missing : x.data[start]!;
      return;
    }
    const picks = places[axis]!;
    for (let i = 0; i < picks.length; i++) {
      const index = picks[i]!;
      visit(axis + 1, start < 0 || index < 0 ? -1 : start + index * strides[axis]!);
    }
  };
  visit(0, 0);
  return y;
}

/** `axis` counted from the front. */
export function frontAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/**
 * Splits the element count around an axis: element (o, i, n) lies at (o * size + i) * inner + n.
 */
export function aroundAxis(shape: readonly number[], axis: number): { outer: number; size: number; inner: number } {
  const at = frontAxis(axis, shape.length);
  const count = (sizes: readonly number[]) => sizes.reduce((product, size) => product * size, 1);
  return { outer: count(shape.slice(0, at)), size: shape[at]!, inner: count(shape.slice(at + 1)) };
}

/** Reads `x` with the given strides (elements of `x` per step along each axis of `shape`). */
function walk(x: Value, shape: readonly number[], strides: readonly number[]): Value {
  const y = newValue(shape);
  let at = 0;
  const visit = (axis: number, start: number) => {
    if (axis === shape.length) {
      y.data[at++] = x.data[start]!;
      return;
    }
    for (let i = 0; i < shape[axis]!; i++) visit(axis + 1, start + i * strides[axis]!);
  };
  visit(0, 0);
  return y;
}
