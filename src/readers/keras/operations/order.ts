/** Operations that go by the order of elements, or look for some: middle ones, quantiles, reductions that pass over what is no number, lengths of any power. */
import { combineValues, constantValue } from '../arithmetic.js';
import { kerasAxes, knownSize, type Reduction, reduce, slice, squeeze, unsqueeze } from '../axes.js';
import type { Scope } from '../scope.js';
import { mapAxis, type Value } from '../value.js';
import { isConstant, type Operand, valueAt } from './arguments.js';
import { ALL_AXES, ofValue, reduction } from './arrangement.js';
import { truth } from './elementwise.js';
import { type Known, known } from './known.js';
import type { Operation } from './operation.js';

const number = (value: number, scope: Scope) => constantValue({ shape: [], values: [value] }, scope);
const asFloat = (value: Value, scope: Scope): Value => ({ ...scope.add('Cast', [value], { attributes: { to: 'float32' } }), truth: true });

/** Where quantiles lie between two elements: how much of the second one there is. */
const BETWEEN: Readonly<Record<string, (rest: number, below: number) => number>> = {
  linear: (rest) => rest,
  lower: () => 0,
  higher: (rest) => Math.ceil(rest),
  midpoint: (rest) => (rest === 0 ? 0 : 0.5),
  // Halves go to the even one.
  nearest: (rest, below) => (rest === 0.5 ? below % 2 : Math.round(rest)),
};

/** @param share of the elements that lie below; null where the call says it, as a share of `whole` */
const quantile = (share: number | null, whole = 1): Operation =>
  ofValue('x', (args) => {
    const wanted = share ?? args.number('q', 0) / whole;
    const axes = args.integers('axis');
    const keeps = args.boolean('keepdims', false);
    const method = String(args.json('method') ?? 'linear');
    if (axes?.length !== 1) args.decline('it orders several axes as one, which is not translated');
    if (!Object.hasOwn(BETWEEN, method)) args.decline(`its method is ${JSON.stringify(method).slice(0, 40)}`);
    if (!(wanted >= 0 && wanted <= 1)) args.decline(`it asks for the share ${wanted}`);
    return (input, scope) => {
      const value = scope.builder.unflattened(input);
      const [axis] = kerasAxes(value, axes!, scope) as [number];
      const size = knownSize(value, axis, 'a quantile', scope);
      if (axis === 0 || size === 0) throw scope.unsupported('ordering the batch');
      const [sorted] = scope.addAll('TopK', [value], { attributes: { k: size, axis: mapAxis(value, axis), largest: 0 } }, 2) as [Value, Value];
      const place = wanted * (size - 1);
      const below = Math.floor(place);
      const part = BETWEEN[method]!(place - below, below);
      const at = (i: number) => slice(sorted, axis, i, i + 1, scope);
      const between = (): Value => combineValues('Add', scope.withScalar('Mul', at(below), 1 - part), scope.withScalar('Mul', at(below + 1), part), scope);
      const made = part === 0 ? at(below) : part === 1 ? at(below + 1) : between();
      // Where one of the elements is no number, the result is none.
      const isNone = scope.add('Mul', [reduce('ReduceSum', value, [axis], true, scope), number(0, scope)]);
      const told = scope.add('Where', [scope.add('Equal', [isNone, isNone]), made, reduce('ReduceSum', value, [axis], true, scope)], { order: made.order });
      return keeps ? told : squeeze(told, [axis], scope);
    };
  });

/** The mean along an axis, where some elements count more than others. */
const weightedMean: Operation = (args) => {
  if (!args.has('weights')) return reduction('ReduceMean', 'x')(args);
  const weights = args.operand('weights');
  const axes = args.integers('axis');
  if (axes?.length !== 1) args.decline(ALL_AXES);
  return ofValue('x', () => (input, scope, inputs) => {
    const value = scope.builder.toKeras(input);
    const [axis] = kerasAxes(value, axes!, scope) as [number];
    const given = isConstant(weights) ? weights.constant : null;
    const isRow = given?.shape.length === 1;
    const spread = given && isRow ? { shape: value.shape.map((_, i) => (i === axis ? given.values.length : 1)), values: given.values } : given;
    const share = spread ? constantValue(spread, scope) : scope.builder.toKeras(valueAt(weights, inputs));
    const fits = share.shape.length === value.shape.length && share.shape.every((size, i) => size === value.shape[i] || (isRow && i !== axis));
    if (!fits) throw scope.unsupported(`a mean of the shape [${value.shape}] with weights of the shape [${share.shape}]`);
    const sum = reduce('ReduceSum', scope.add('Mul', [value, share]), [axis], isRow, scope);
    const mean = scope.add('Div', [sum, reduce('ReduceSum', share, [axis], isRow, scope)]);
    return isRow ? squeeze(mean, [axis], scope) : mean;
  })(args);
};

/** The value with another number in the place of what is none. */
function filled(value: Value, filling: number, scope: Scope): Value {
  return scope.add('Where', [scope.add('Equal', [value, value]), value, number(filling, scope)], { order: value.order });
}

/** What a reduction that passes over what is no number has to go by. */
interface Numbers {
  readonly value: Value;
  /** 1 where the value is a number, 0 where it is none. */
  readonly isNumber: () => Value;
  readonly keeps: boolean;
  /** Along the axes that are asked for. */
  readonly along: (op: Reduction, value: Value, keeps: boolean) => Value;
}

/** Declined where it is over all axes. */
const passingOver = (make: (numbers: Numbers, scope: Scope) => Value): Operation =>
  ofValue('x', (args) => {
    const axes = args.integers('axis');
    const keeps = args.boolean('keepdims', false);
    if (axes === undefined) args.decline(ALL_AXES);
    return (input, scope) => {
      const value = scope.builder.unflattened(input);
      const isNumber = () => asFloat(scope.add('Equal', [value, value]), scope);
      return make({ value, isNumber, keeps, along: (op, of, keep) => reduce(op, of, axes!, keep, scope) }, scope);
    };
  });

const overNumbers = (op: Reduction, filling: number): Operation =>
  passingOver(({ value, isNumber, keeps, along }, scope) => {
    const found = along(op, filled(value, filling, scope), keeps);
    if (Number.isFinite(filling)) return found;
    // Where there is no number at all there is no largest one.
    const count = along('ReduceSum', isNumber(), keeps);
    return scope.add('Where', [scope.add('Equal', [count, number(0, scope)]), number(Number.NaN, scope), found], { order: found.order });
  });

/** Mean, variance or deviation of what is a number. */
const momentOfNumbers = (kind: 'mean' | 'variance' | 'deviation'): Operation =>
  passingOver(({ value, isNumber, keeps, along }, scope) => {
    const counted = isNumber();
    const mean = (of: Value, keep: boolean) => combineValues('Div', along('ReduceSum', of, keep), along('ReduceSum', counted, keep), scope);
    const plain = filled(value, 0, scope);
    if (kind === 'mean') return mean(plain, keeps);
    const apart = scope.add('Mul', [scope.add('Sub', [plain, mean(plain, true)]), counted]);
    const variance = mean(scope.add('Mul', [apart, apart]), keeps);
    return kind === 'variance' ? variance : scope.add('Sqrt', [variance]);
  });

/** More than people look among. */
const MAX_AMONG = 2 ** 16;

/** How each element compares with some numbers, taken together over those. */
function overRow(op: Reduction, comparison: 'Equal' | 'Greater' | 'GreaterOrEqual', input: Value, among: Operand, scope: Scope): Value {
  const values = isConstant(among) ? among.constant.values : [];
  const value = scope.builder.toKeras(unsqueeze({ ...input, integer: false }, -1, scope));
  const row = constantValue({ shape: [...value.shape.slice(1).map(() => 1), values.length], values }, scope);
  return reduce(op, asFloat(scope.add(comparison, [value, row]), scope), [value.shape.length - 1], false, scope);
}

/** Whether each element is among some numbers. */
const isAmong: Operation = (args) => {
  const among = args.operand('x2');
  const opposite = args.boolean('invert', false);
  args.boolean('assume_unique', false);
  if (!isConstant(among) || among.constant.values.length === 0 || among.constant.values.length > MAX_AMONG)
    args.decline('what it looks among is no list of numbers');
  return ofValue('x1', () => (input, scope) => {
    const found = overRow('ReduceMax', 'Equal', input, among, scope);
    return { ...(opposite ? scope.withScalar('Add', scope.add('Neg', [found]), 1) : found), truth: true };
  })(args);
};

/** How many of rising numbers lie before each element. */
const placesAmong: Operation = (args) => {
  const among = args.operand('sorted_sequence');
  const side = args.json('side') ?? 'left';
  const isRow = isConstant(among) && among.constant.shape.length === 1 && among.constant.values.length > 0 && among.constant.values.length <= MAX_AMONG;
  if (!isRow) args.decline('what it looks among is no list of numbers');
  if (side !== 'left' && side !== 'right') args.decline(`its side is ${JSON.stringify(side)?.slice(0, 40)}`);
  return ofValue('values', () => (input, scope) => {
    return { ...overRow('ReduceSum', side === 'left' ? 'Greater' : 'GreaterOrEqual', input, among, scope), integer: true };
  })(args);
};

/** Lengths of vectors by whatever power: the largest or smallest magnitude, how many are not zero, the root of the sum of powers. */
export function vectorNorm(value: Value, order: number, axes: readonly number[], keeps: boolean, scope: Scope): Value {
  if (order === 0) return reduce('ReduceSum', truth({ ...value, integer: false }, scope), axes, keeps, scope);
  const magnitude = scope.add('Abs', [value]);
  if (order === Infinity) return reduce('ReduceMax', magnitude, axes, keeps, scope);
  if (order === -Infinity) return reduce('ReduceMin', magnitude, axes, keeps, scope);
  return scope.withScalar('Pow', reduce('ReduceSum', scope.withScalar('Pow', magnitude, order), axes, keeps, scope), 1 / order);
}

export const KERAS_ORDER: Readonly<Record<string, Known>> = {
  Average: known(['x', 'weights', 'axis'], weightedMean),
  Median: known(['x', 'axis', 'keepdims'], quantile(0.5)),
  Quantile: known(['x', 'q', 'axis', 'method', 'keepdims'], quantile(null)),
  Percentile: known(['x', 'q', 'axis', 'method', 'keepdims'], quantile(null, 100)),
  Nanmax: known(['x', 'axis', 'keepdims'], overNumbers('ReduceMax', -Infinity)),
  Nanmin: known(['x', 'axis', 'keepdims'], overNumbers('ReduceMin', Infinity)),
  Nansum: known(['x', 'axis', 'keepdims'], overNumbers('ReduceSum', 0)),
  Nanprod: known(['x', 'axis', 'keepdims', 'dtype'], overNumbers('ReduceProd', 1), 'dtype'),
  Nanmean: known(['x', 'axis', 'keepdims'], momentOfNumbers('mean')),
  Nanvar: known(['x', 'axis', 'keepdims'], momentOfNumbers('variance')),
  Nanstd: known(['x', 'axis', 'keepdims'], momentOfNumbers('deviation')),
  IsIn: known(['x1', 'x2', 'assume_unique', 'invert'], isAmong),
  SearchSorted: known(['sorted_sequence', 'values', 'side'], placesAmong),
};
