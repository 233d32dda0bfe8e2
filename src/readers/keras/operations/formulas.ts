/** Operations whose formula is of a few steps: angles, remainders, products of three axes, running products, distances. */
import { angleOf } from '../../../dialects/angle.js';
import type { Activation } from '../activations.js';
import { combineValues, constantValue } from '../arithmetic.js';
import { kerasAxes, knownSize, reduce, reshapeTo, slice } from '../axes.js';
import { concat } from '../merge.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';
import { ofValue } from './arrangement.js';
import * as each from './elementwise.js';
import { ofTwo } from './functions.js';
import { type Known, known } from './known.js';
import type { Operation } from './operation.js';

const number = (value: number, scope: Scope) => constantValue({ shape: [], values: [value] }, scope);
const asFloat = (value: Value, scope: Scope): Value => ({ ...scope.add('Cast', [value], { attributes: { to: 'float32' } }), truth: true });
const opposite = (truth: Value, scope: Scope): Value => ({ ...scope.withScalar('Add', scope.add('Neg', [truth]), 1), truth: true });

/** 1 - erf(x) */
const erfc: Activation = (value, scope) => scope.withScalar('Add', scope.add('Neg', [scope.add('Erf', [value])]), 1);

/** sin(πx) / πx, and 1 at zero. */
const sinc: Activation = (value, scope) => {
  const turned = scope.withScalar('Mul', value, Math.PI);
  const isZero = scope.add('Equal', [value, number(0, scope)]);
  return scope.add('Where', [isZero, number(1, scope), scope.add('Div', [scope.add('Sin', [turned]), turned])], { order: value.order });
};

/** Whether the sign is a minus, which a zero may have too: its reciprocal tells. */
const signbit: Activation = (value, scope) => {
  const isBelow = (one: Value) => asFloat(scope.add('Less', [one, number(0, scope)]), scope);
  return { ...scope.add('Max', [isBelow(value), isBelow(scope.withScalar('Pow', value, -1))]), truth: true };
};

const isInfinity =
  (which: number): Activation =>
  (value, scope) =>
    asFloat(scope.add('Equal', [value, number(which, scope)]), scope);

/** 0, and π for what is below zero. */
const angle: Activation = (value, scope) => scope.withScalar('Mul', asFloat(scope.add('Less', [value, number(0, scope)]), scope), Math.PI);

const everywhere =
  (filling: number): Activation =>
  (value, scope) =>
    scope.add('Clip', [value], { attributes: { min: filling, max: filling } });

/** Values in one order of axes. */
function alike(left: Value, right: Value, scope: Scope): readonly [Value, Value] {
  if (left.shape.length !== right.shape.length) return [scope.builder.toKeras(left), scope.builder.toKeras(right)];
  return scope.builder.toSameOrder([left, right]) as unknown as [Value, Value];
}

function atan2(left: Value, right: Value, scope: Scope): Value {
  const [y, x] = alike(left, right, scope);
  const step = (op: string, ...inputs: readonly Value[]) => scope.add(op, inputs, { order: y.order });
  return angleOf(y, x, (value) => number(value, scope), step, step);
}

/** The larger or smaller one; a number where the other is none. */
const passingOver =
  (op: 'Max' | 'Min') =>
  (left: Value, right: Value, scope: Scope): Value => {
    const [a, b] = alike(left, right, scope);
    const [hasA, hasB] = [scope.add('Equal', [a, a]), scope.add('Equal', [b, b])];
    const chosen = scope.add('Where', [hasB, scope.add(op, [a, b]), a], { order: a.order });
    return scope.add('Where', [hasA, chosen, b], { order: a.order });
  };

/** What is left of a, of its own sign. */
const remainder = (left: Value, right: Value, scope: Scope): Value => {
  const [a, b] = alike(left, right, scope);
  return scope.add('Sub', [a, scope.add('Mul', [each.truncated(scope.add('Div', [a, b]), scope), b])]);
};

/** |a - b| up to atol + rtol · |b|; infinities are near themselves. */
const isClose: Operation = (args) => {
  const [rtol, atol] = [args.number('rtol', 1e-5), args.number('atol', 1e-8)];
  if (args.boolean('equal_nan', false)) args.decline('what is no number is not taken for equal');
  return ofTwo('x1', 'x2', (left, right, scope) => {
    const [a, b] = alike(left, right, scope);
    const apart = scope.add('Abs', [scope.add('Sub', [a, b])]);
    const allowed = scope.withScalar('Add', scope.withScalar('Mul', scope.add('Abs', [b]), rtol), atol);
    const isBounded = opposite(asFloat(scope.add('Equal', [scope.add('Abs', [b]), number(Infinity, scope)]), scope), scope);
    const isNear = scope.add('Mul', [asFloat(scope.add('LessOrEqual', [apart, allowed]), scope), isBounded]);
    return { ...scope.add('Max', [isNear, asFloat(scope.add('Equal', [a, b]), scope)]), truth: true };
  })(args);
};

/** Of vectors of three, which lie along one axis. */
const cross: Operation = (args) => {
  const axis = args.integer('axis', -1);
  const [a, b, c] = ['axisa', 'axisb', 'axisc'].map((name) => args.integer(name, -1));
  if (!args.has('axis') && (a !== b || b !== c)) args.decline('its vectors lie along other axes than what it makes of them');
  return ofTwo('x1', 'x2', (left, right, scope) => {
    const values = [scope.builder.toKeras(left), scope.builder.toKeras(right)] as const;
    const along = args.has('axis') ? axis : a!;
    const places = values.map((value) => {
      if (knownSize(value, along, 'a product of vectors', scope) !== 3) throw scope.unsupported('a product of vectors of another length than three');
      return (kerasAxes(value, [along], scope) as [number])[0];
    });
    /** The elements that come `by` behind each, around the end. */
    const turned = (i: 0 | 1, by: number) => concat(along, [slice(values[i], places[i]!, by, 3, scope), slice(values[i], places[i]!, 0, by, scope)], scope);
    const [one, other] = [scope.add('Mul', [turned(0, 1), turned(1, 2)]), scope.add('Mul', [turned(0, 2), turned(1, 1)])];
    return scope.add('Sub', [one, other]);
  })(args);
};

/** In steps that multiply each element with what has come together 1, 2, 4, ... places before it. */
const runningProduct = (x: string): Operation =>
  ofValue(x, (args) => {
    const given = args.integers('axis') ?? [];
    for (const name of ['exclusive', 'reverse']) if (args.boolean(name, false)) args.decline(`its argument "${name}" is not translated`);
    if (given.length !== 1) args.decline('it multiplies all elements in a row, which is not translated');
    return (input, scope) => {
      let value = scope.builder.unflattened(input);
      const [axis] = kerasAxes(value, given, scope) as [number];
      if (axis === 0) throw scope.unsupported('multiplying over the batch');
      const size = knownSize(value, axis, 'a running product', scope);
      for (let by = 1; by < size; by *= 2) {
        const product = scope.add('Mul', [slice(value, axis, 0, size - by, scope), slice(value, axis, by, size, scope)]);
        value = concat(axis, [slice(value, axis, 0, by, scope), product], scope);
      }
      return value;
    };
  });

/** The area under what lies along an axis, in steps of one width. */
const trapezoid: Operation = ofValue('y', (args) => {
  const [width, given] = [args.number('dx', 1), args.integer('axis', -1)];
  return (input, scope) => {
    const value = scope.builder.unflattened(input);
    const [axis] = kerasAxes(value, [given], scope) as [number];
    const size = knownSize(value, axis, 'an area', scope);
    if (axis === 0 || size < 2) throw scope.unsupported(`an area along axis ${axis} of ${size} elements`);
    const sum = combineValues('Add', slice(value, axis, 0, size - 1, scope), slice(value, axis, 1, size, scope), scope);
    return scope.withScalar('Mul', reduce('ReduceSum', sum, [axis], false, scope), width / 2);
  };
});

/** Between each row of one value and each of another. */
const distances: Operation = (args) => {
  if (args.number('p', 2) !== 2) args.decline('distances of another power than 2 are not translated');
  return ofTwo('x1', 'x2', (left, right, scope) => {
    const [a, b] = [scope.builder.toKeras(left), scope.builder.toKeras(right)];
    if (a.shape.length !== 3 || b.shape.length !== 3) throw scope.unsupported('distances of values that are no batch of rows');
    const [one, other] = [reshapeTo(a, a.shape.toSpliced(2, 0, 1), 'keras', scope), reshapeTo(b, b.shape.toSpliced(1, 0, 1), 'keras', scope)];
    const apart = scope.add('Sub', [one, other]);
    return scope.add('Sqrt', [reduce('ReduceSum', scope.add('Mul', [apart, apart]), [3], false, scope)]);
  })(args);
};

export const KERAS_FORMULAS: Readonly<Record<string, Known>> = {
  Fabs: known(['x'], each.unary('Abs', 'x')),
  Erfc: known(['x'], each.applied('x', erfc)),
  Sinc: known(['x'], each.applied('x', sinc)),
  Signbit: known(['x'], each.applied('x', signbit)),
  Isposinf: known(['x'], each.applied('x', isInfinity(Infinity))),
  Isneginf: known(['x'], each.applied('x', isInfinity(-Infinity))),
  Isreal: known(['x'], each.applied('x', everywhere(1))),
  Imag: known(['x'], each.applied('x', everywhere(0))),
  Angle: known(['x'], each.applied('x', angle)),
  Arctan2: known(['x1', 'x2'], ofTwo('x1', 'x2', atan2)),
  Fmax: known(['x1', 'x2'], ofTwo('x1', 'x2', passingOver('Max'))),
  Fmin: known(['x1', 'x2'], ofTwo('x1', 'x2', passingOver('Min'))),
  Fmod: known(['x1', 'x2'], ofTwo('x1', 'x2', remainder)),
  Isclose: known(['x1', 'x2', 'rtol', 'atol', 'equal_nan'], isClose),
  Cross: known(['x1', 'x2', 'axisa', 'axisb', 'axisc', 'axis'], cross),
  Cumprod: known(['x', 'axis', 'dtype'], runningProduct('x'), 'dtype'),
  Trapezoid: known(['y', 'x', 'dx', 'axis'], trapezoid),
  CDist: known(['x1', 'x2', 'p'], distances),
};

export const TENSORFLOW_FORMULAS: Readonly<Record<string, Known>> = {
  'math.erfc': known(['x'], each.applied('x', erfc)),
  'math.atan2': known(['y', 'x'], ofTwo('y', 'x', atan2)),
  'math.cumprod': known(['x', 'axis', 'exclusive', 'reverse'], runningProduct('x')),
};
