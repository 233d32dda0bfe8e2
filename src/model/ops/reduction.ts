/** Operators that fold axes into one element each: ReduceMean, ReduceMax and ReduceSum. */

import { ModelError } from '../../errors.js';
import { addDims, multiplyDims } from '../dims.js';
import type { DType } from '../dtype.js';
import type { Dim } from '../layer-map.js';
import { rowMajorStrides } from '../tensor.js';
import { mapValue, newValue, type Value } from './array.js';
import type { Elements, Shaped } from './operator.js';
import { int, ints, type Operator, operator, optional } from './operator.js';
import { checkedAxes, movedAxes } from './rules.js';

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

/** A largest or smallest of no elements is the end of the range of its dtype. */
function settled(total: number, dtype: DType | undefined): number {
  return dtype === 'bool' && !Number.isFinite(total) ? Number(total > 0) : total;
}

/** No axes are all of them, unless the operator says that they are none. */
function foldedAxes(axes: readonly number[] | undefined, noop: number, rank: number): readonly number[] {
  return axes && (axes.length > 0 || noop) ? checkedAxes(axes, rank) : noop ? [] : checkedAxes(undefined, rank);
}

interface Fold {
  readonly start: number;
  readonly combine: (total: number, element: number) => number;
  readonly finish?: (total: number, count: number) => number;
  /** From which opset the axes are an input. */
  readonly axesInput: number;
  /** All elements of a list of sizes as one. */
  readonly ofSizes?: (elements: Elements) => Dim | null;
  /** Whether a common summand may be taken out before and added afterwards. */
  readonly shifted?: true;
  readonly isPositive?: (x: boolean) => boolean;
}

/** axes: all where there are none. */
function reduction(op: string, { start, combine, finish = (total) => total, axesInput, ofSizes, shifted, isPositive = (x) => x }: Fold): Operator {
  return operator({
    op,
    slots: ['x', 'axes?'],
    attributes: { axes: optional(ints()), keepdims: int(1), noop_with_empty_axes: int(0) },
    plain: { attributes: { noop_with_empty_axes: 0 } },
    shape({ x, axes: given }, { axes, keepdims, noop_with_empty_axes }, { fresh }) {
      const along = axes ?? given?.elements;
      // Which axes are folded is known only when the model runs; how many, their number tells.
      if (given && !along?.every((axis) => typeof axis === 'number')) {
        const [count] = given.shape;
        if (!keepdims && typeof count !== 'number') throw new ModelError('unsupported', 'how many axes it folds is known only when the model runs');
        return [Array.from({ length: keepdims ? x.shape.length : x.shape.length - (count as number) }, (_, axis) => fresh(0, axis))];
      }
      const folded = foldedAxes(along as readonly number[] | undefined, noop_with_empty_axes, x.shape.length);
      return [keepdims ? x.shape.map((size, axis) => (folded.includes(axis) ? 1 : size)) : x.shape.filter((_, axis) => !folded.includes(axis))];
    },
    sign: ({ x }) => isPositive(x),
    axes: ({ axes, keepdims }, order) => (keepdims && axes ? { axes: movedAxes(axes, order) } : null),
    onnx: { inputs: { axes: { since: axesInput } }, newer: { noop_with_empty_axes: axesInput } },
    ...(ofSizes ? { elements: ({ x }: { x: Shaped }) => (x.elements && x.shape.length === 1 ? [ofSizes(x.elements)] : undefined) } : {}),
    compute({ x, axes: given }, { axes, keepdims, noop_with_empty_axes }) {
      const folded = foldedAxes(axes ?? (given && [...given.data]), noop_with_empty_axes, x.shape.length);
      const largest = shifted && x.data.length > 0 ? x.data.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY) : 0;
      const shift = Number.isFinite(largest) ? largest : 0;
      const y = fold(shift === 0 ? x : mapValue(x, (element) => element - shift), folded, start, combine);
      const count = y.data.length === 0 ? 0 : x.data.length / y.data.length;
      return [
        {
          shape: keepdims ? y.shape : y.shape.filter((_, axis) => !folded.includes(axis)),
          data: y.data.map((total) => settled(finish(total, count) + shift, x.dtype)),
        },
      ];
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
  reduction('ReduceMin', { start: Number.POSITIVE_INFINITY, combine: Math.min, axesInput: 18 }),
  reduction('ReduceL1', { start: 0, combine: (a, b) => a + Math.abs(b), axesInput: 18, isPositive: () => true }),
  reduction('ReduceL2', { start: 0, combine: (a, b) => a + b * b, finish: Math.sqrt, axesInput: 18, isPositive: () => true }),
  reduction('ReduceSumSquare', { start: 0, combine: (a, b) => a + b * b, axesInput: 18, isPositive: () => true }),
  reduction('ReduceLogSum', { start: 0, combine: (a, b) => a + b, finish: Math.log, axesInput: 18, isPositive: () => false }),
  // The largest element is taken out, so that no power overflows.
  reduction('ReduceLogSumExp', { start: 0, combine: (a, b) => a + Math.exp(b), finish: Math.log, axesInput: 18, isPositive: () => false, shifted: true }),
  reduction('ReduceProd', { start: 1, combine: (a, b) => a * b, axesInput: 18, ofSizes: foldedSizes(multiplyDims, 1) }),
  reduction('ReduceMean', { start: 0, combine: (a, b) => a + b, finish: (total, count) => total / count, axesInput: 18 }),
  reduction('ReduceMax', { start: Number.NEGATIVE_INFINITY, combine: Math.max, axesInput: 18 }),
  reduction('ReduceSum', { start: 0, combine: (a, b) => a + b, axesInput: 13, ofSizes: foldedSizes(addDims, 0) }),
];
