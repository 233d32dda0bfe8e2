/** Operators that fold axes into one element each: ReduceMean, ReduceMax and ReduceSum. */

import { addDims, multiplyDims } from '../dims.js';
import type { Dim } from '../layer-map.js';
import { rowMajorStrides } from '../tensor.js';
import { aroundAxis, newValue, type Value } from './array.js';
import type { Elements, Shaped } from './operator.js';
import { int, ints, type Operator, operator, optional } from './operator.js';
import { checkedAxes, checkedAxis, movedAxes } from './rules.js';

/** Folds all elements along some axes together. */
function fold(x: Value, axes: readonly number[], start: number, combine: (total: number, element: number) => number): Value {
  const kept = x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size));
  const y = newValue(kept, start);
  const strides = rowMajorStrides(kept).map((stride, axis) => (axes.includes(axis) ? 0 : stride));
  let at = 0;
  const visit = (axis: number, target: number) => {
    if (axis === kept.length) {
      y.data[target] = combine(y.data[target]!, x.data[at++]!);
      return;
    }
    for (let i = 0; i < x.shape[axis]!; i++) visit(axis + 1, target + i * strides[axis]!);
  };
  visit(0, 0);
  return y;
}

interface Fold {
  readonly start: number;
  readonly combine: (total: number, element: number) => number;
  readonly finish?: (total: number, count: number) => number;
  /** From which opset the axes are an input. */
  readonly axesInput: number;
  /** All elements of a list of sizes as one. */
  readonly ofSizes?: (elements: Elements) => Dim | null;
  readonly isPositive?: (x: boolean) => boolean;
}

/** axes: all where there are none. */
function reduction(op: string, { start, combine, finish = (total) => total, axesInput, ofSizes, isPositive = (x) => x }: Fold): Operator {
  return operator({
    op,
    slots: ['x', 'axes?'],
    attributes: { axes: optional(ints()), keepdims: int(1) },
    shape({ x }, { axes, keepdims }) {
      const folded = checkedAxes(axes, x.shape.length);
      return [keepdims ? x.shape.map((size, axis) => (folded.includes(axis) ? 1 : size)) : x.shape.filter((_, axis) => !folded.includes(axis))];
    },
    sign: ({ x }) => isPositive(x),
    axes: ({ axes, keepdims }, order) => (keepdims && axes ? { axes: movedAxes(axes, order) } : null),
    onnx: { inputs: { axes: { since: axesInput } }, rest: { noop_with_empty_axes: { type: 'int', value: 0, since: axesInput } } },
    ...(ofSizes ? { elements: ({ x }: { x: Shaped }) => (x.elements && x.shape.length === 1 ? [ofSizes(x.elements)] : undefined) } : {}),
    compute({ x }, { axes, keepdims }) {
      const folded = checkedAxes(axes, x.shape.length);
      const y = fold(x, folded, start, combine);
      const count = x.data.length / y.data.length;
      return [{ shape: keepdims ? y.shape : y.shape.filter((_, axis) => !folded.includes(axis)), data: y.data.map((total) => finish(total, count)) }];
    },
  });
}

/** A product or sum of sizes. */
const foldedSizes = (combine: (a: Dim, b: Dim) => Dim, start: Dim) => (elements: Elements) =>
  elements.reduce<Dim | null>(
    (total, size) => (total === null || size === null || (typeof size === 'number' && !Number.isInteger(size)) ? null : combine(total, size)),
    start,
  );

export const reductions: readonly Operator[] = [
  reduction('ReduceProd', { start: 1, combine: (a, b) => a * b, axesInput: 18, ofSizes: foldedSizes(multiplyDims, 1) }),
  reduction('ReduceMean', { start: 0, combine: (a, b) => a + b, finish: (total, count) => total / count, axesInput: 18 }),
  reduction('ReduceMax', { start: Number.NEGATIVE_INFINITY, combine: Math.max, axesInput: 18 }),
  reduction('ReduceSum', { start: 0, combine: (a, b) => a + b, axesInput: 13, ofSizes: foldedSizes(addDims, 0) }),
];

/** Where the largest element along an axis lies; of several equal ones the first, or the last. */
export const argMax = operator({
  op: 'ArgMax',
  slots: ['x'],
  attributes: { axis: int(0), keepdims: int(1), select_last_index: int(0) },
  shape({ x }, { axis, keepdims }) {
    const folded = checkedAxis(axis, x.shape.length);
    return [keepdims ? x.shape.with(folded, 1) : x.shape.filter((_, i) => i !== folded)];
  },
  dtype: () => ['int64'],
  sign: () => true,
  axes: ({ axis, keepdims }, order) => (keepdims ? { axis: movedAxes([axis], order)[0]! } : null),
  onnx: { newer: { select_last_index: 12 } },
  compute({ x }, { axis, keepdims, select_last_index }) {
    const folded = checkedAxis(axis, x.shape.length);
    const { outer, size, inner } = aroundAxis(x.shape, folded);
    const data = new Float64Array(outer * inner);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        const at = (place: number) => x.data[(o * size + place) * inner + i]!;
        let best = 0;
        for (let place = 1; place < size; place++) if (select_last_index ? at(place) >= at(best) : at(place) > at(best)) best = place;
        data[o * inner + i] = best;
      }
    }
    return [{ shape: keepdims ? x.shape.with(folded, 1) : x.shape.filter((_, i) => i !== folded), data }];
  },
});
