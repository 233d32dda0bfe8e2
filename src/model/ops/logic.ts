/** Comparisons, logic, choices, and Cast. */
import { isSumOfSizes } from '../dims.js';
import type { DType } from '../dtype.js';
import type { Dim } from '../layer-map.js';
import { broadcastShape, broadcastValue, combineValues, mapValue } from './array.js';
import { combineElements, placesOf } from './elements.js';
import { dtypeName, int, type Operator, type OperatorDefinition, operator } from './operator.js';
import { roundTo } from './rounding.js';
import { broadcastDims } from './rules.js';

function comparison(
  op: string,
  since: number,
  compare: (a: number, b: number) => boolean,
  more: Partial<OperatorDefinition<Record<never, never>, readonly ['x', 'operand']>> = {},
): Operator {
  return operator<Record<never, never>, readonly ['x', 'operand']>({
    op,
    slots: ['x', 'operand'],
    attributes: {},
    shape: ({ x, operand }) => [broadcastDims([x.shape, operand.shape])],
    dtype: () => ['bool'],
    axes: 'any',
    sign: () => true,
    onnx: { since },
    compute: ({ x, operand }) => [combineValues(x, operand, (a, b) => (compare(a, b) ? 1 : 0))],
    ...more,
  });
}

/** Whether two sizes are one; null where nothing tells. */
function sameSize(a: Dim | null, b: Dim | null): number | null {
  if (a === null || b === null) return null;
  if (a === b) return 1;
  if (typeof a === 'number' && typeof b === 'number') return 0;
  // No size is negative: exporters ask whether one is -1.
  const [number, size] = typeof a === 'number' ? [a, b] : [b, a];
  return typeof number === 'number' && number < 0 && isSumOfSizes(size) ? 0 : null;
}

export const comparisons: readonly Operator[] = [
  comparison('Equal', 7, (a, b) => a === b, { elements: ({ x, operand }) => combineElements(x, operand, sameSize) }),
  comparison('Greater', 7, (a, b) => a > b),
  comparison('GreaterOrEqual', 12, (a, b) => a >= b),
  comparison('Less', 7, (a, b) => a < b),
  comparison('LessOrEqual', 12, (a, b) => a <= b),
  comparison('And', 7, (a, b) => a !== 0 && b !== 0),
  comparison('Or', 7, (a, b) => a !== 0 || b !== 0),
  comparison('Xor', 7, (a, b) => (a !== 0) !== (b !== 0)),
];

export const not = operator({
  op: 'Not',
  slots: ['x'],
  attributes: {},
  shape: ({ x }) => [x.shape],
  axes: 'any',
  onnx: {},
  compute: ({ x }) => [mapValue(x, (element) => (element === 0 ? 1 : 0))],
});

/** Elements of x where the condition holds, of y elsewhere; all broadcast. */
export const where = operator({
  op: 'Where',
  slots: ['condition', 'x', 'y'],
  attributes: {},
  shape: ({ condition, x, y }) => [broadcastDims([condition.shape, x.shape, y.shape])],
  dtype: ({ x, y }) => [x.dtype ?? y.dtype],
  axes: 'any',
  sign: ({ x, y }) => x && y,
  onnx: { since: 9 },
  elements({ condition, x, y }) {
    if (!condition.elements || !x.elements || !y.elements) return undefined;
    const all = [condition, x, y];
    const shape = all.map((value) => value.shape as readonly number[]).reduce(broadcastShape);
    const [choices, left, right] = all.map((value) => placesOf(value, shape).map((at) => value.elements![at]!));
    return choices!.map((choice, i) => (choice === null ? (left![i] === right![i] ? left![i]! : null) : choice === 0 ? right![i]! : left![i]!));
  },
  compute({ condition, x, y }) {
    const shape = [condition.shape, x.shape, y.shape].reduce((a, b) => broadcastShape(a, b));
    const [choices, left, right] = [condition, x, y].map((value) => broadcastValue(value, shape).data);
    return [{ shape, data: choices!.map((choice, i) => (choice === 0 ? right![i]! : left![i]!)) }];
  },
});

/** Whether a number is a size that the dtype has as it is. */
function holds(dtype: DType, element: number | null): boolean {
  return (dtype === 'int32' || dtype === 'int64' || dtype === 'float32') && Number.isInteger(element) && Math.abs(element!) <= 2 ** 24;
}

export const cast = operator({
  op: 'Cast',
  slots: ['x'],
  /** saturate: as where left out, unless it is 0; of 8-bit floats. */
  attributes: { to: dtypeName(), saturate: { ...int(), optional: true as const } },
  shape: ({ x }) => [x.shape],
  dtype: (_, { to }) => [to as DType],
  axes: 'any',
  sign: ({ x }) => x,
  onnx: { since: 6, newer: { saturate: 19 } },
  elements: ({ x }, { to }) =>
    to === 'bool' ? undefined : x.elements?.map((element) => (typeof element === 'string' || holds(to as DType, element) ? element : null)),
  compute: ({ x }, { to, saturate }) => [{ shape: x.shape, data: roundTo(x.data, to as DType, saturate !== 0) }],
});
