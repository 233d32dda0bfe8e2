/** Operations that treat every element alike: arithmetic and activations called as functions. */
import {
  type Activation,
  celuOf,
  eluOf,
  geluOf,
  gluOf,
  hardShrinkOf,
  leakyReluOf,
  namedActivation,
  softmax,
  softShrinkOf,
  squarePlusOf,
} from '../activations.js';
import { type BinaryOp, combineBefore, combineValues, combineWith, constantValue, inOneOrder } from '../arithmetic.js';
import type { Constant } from '../constant.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';
import { isConstant, type Operand, valueAt } from './arguments.js';
import type { Operation } from './operation.js';
import { combineSizes, sizesOf } from './sizes.js';

export const binary =
  (op: BinaryOp, a: string, b: string): Operation =>
  (args) => {
    const left = args.operand(a);
    const right = args.operand(b);
    return (inputs, scope) => combine(op, left, right, inputs, scope);
  };

export function combine(op: BinaryOp, a: Operand, b: Operand, inputs: readonly Value[], scope: Scope): Value {
  if (inputs.some(({ sizes }) => sizes)) {
    const parts = [a, b].map((operand) => sizesOf(operand, inputs));
    if (!parts.includes(null)) return combineSizes(op, parts[0]!, parts[1]!, scope);
  }
  const [left, right] = [a, b].map((operand) => settled(operand, inputs, scope)) as [Operand, Operand];
  const constants = [left, right].filter(isConstant);
  for (const value of inputs) {
    // Integers of a narrow dtype would wrap around; they are computed with as the real numbers that they are.
    if (value.integer && !value.sizes && op !== 'Div' && constants.every(({ constant }) => constant.values.every(Number.isInteger)))
      throw scope.unsupported('arithmetic between integers, which may wrap around; cast the input to float32 in the model first. As it stands this');
  }
  if (!isConstant(left) && !isConstant(right)) return combineValues(op, valueAt(left, inputs), valueAt(right, inputs), scope);
  if (isConstant(left) && isConstant(right)) throw scope.unsupported(`an ${op} of numbers alone`);
  if (op === 'Max' || op === 'Min') return bounded(op, isConstant(left) ? right : left, constants[0]!.constant, inputs, scope);
  return isConstant(left)
    ? combineBefore(op, left.constant, valueAt(right, inputs), scope)
    : combineWith(op, valueAt(left, inputs), (right as { constant: Constant }).constant, scope);
}

/** Sizes that meet a value are numbers like others, where they are known. */
function settled(operand: Operand, inputs: readonly Value[], scope: Scope): Operand {
  const sizes = isConstant(operand) ? undefined : valueAt(operand, inputs).sizes;
  if (!sizes) return operand;
  const { dims, isOne } = sizes;
  if (dims.every((size) => typeof size === 'number')) return { constant: { shape: isOne ? [] : [dims.length], values: dims } };
  throw scope.unsupported(`arithmetic of a value and of a size that is not known (${dims.join(', ')}); --input-shape gives it; this`);
}

function bounded(op: 'Max' | 'Min', value: Operand, constant: Constant, inputs: readonly Value[], scope: Scope): Value {
  const { values } = constant;
  if (values.length !== 1) return scope.add(op, inOneOrder([valueAt(value, inputs), constantValue(constant, scope)], scope));
  return scope.add('Clip', [valueAt(value, inputs)], { attributes: op === 'Max' ? { min: values[0]! } : { max: values[0]! } });
}

/** Divided indeed: times the reciprocal, a whole quotient may come out below itself. */
function quotient(left: Operand, right: Operand, inputs: readonly Value[], scope: Scope): Value {
  const values = [left, right].map((operand) => (isConstant(operand) ? constantValue(operand.constant, scope) : valueAt(operand, inputs)));
  return scope.add('Div', inOneOrder(values, scope));
}

/** The quotient, rounded down. */
export const floorDivide =
  (a: string, b: string): Operation =>
  (args) => {
    const [left, right] = [args.operand(a), args.operand(b)];
    return (inputs, scope) => {
      const sizes = [left, right].map((operand) => sizesOf(operand, inputs));
      if (inputs.some((value) => value.sizes) && !sizes.includes(null)) return combineSizes('FloorDiv', sizes[0]!, sizes[1]!, scope);
      return scope.add('Floor', [quotient(left, right, inputs, scope)]);
    };
  };

/** What is left of x, of the sign of y. */
export const modulo =
  (a: string, b: string): Operation =>
  (args) => {
    const [left, right] = [args.operand(a), args.operand(b)];
    if (isConstant(left)) args.decline('the rest of a number is not translated');
    return (inputs, scope) => {
      const sizes = [left, right].map((operand) => sizesOf(operand, inputs));
      if (inputs.some((value) => value.sizes) && !sizes.includes(null)) return combineSizes('Mod', sizes[0]!, sizes[1]!, scope);
      const whole = scope.add('Floor', [quotient(left, right, inputs, scope)]);
      const times = isConstant(right) ? combineWith('Mul', whole, right.constant, scope) : combineValues('Mul', whole, valueAt(right, inputs), scope);
      return combineValues('Sub', valueAt(left, inputs), times, scope);
    };
  };

/** The sum of a list. */
export const addAll =
  (list: string): Operation =>
  (args) => {
    const operands = args.operands(list);
    return (inputs, scope) => operands.map((operand) => valueAt(operand, inputs)).reduce((sum, value) => combineValues('Add', sum, value, scope));
  };

/** A formula over one value. */
export const applied =
  (x: string, make: Activation): Operation =>
  (args) => {
    const operand = args.operand(x);
    if (isConstant(operand)) args.decline('it is called on numbers alone, which is not translated');
    return (inputs, scope) => make(valueAt(operand, inputs), scope);
  };

export const unary = (op: string, x: string): Operation => applied(x, (value, scope) => scope.add(op, [value]));

export const named = (name: string, x: string): Operation => applied(x, namedActivation(name)!);

export const identityOf = (x: string): Operation => applied(x, (value) => value);

export const square = (x: string): Operation => applied(x, (value, scope) => scope.add('Mul', [value, value]));

export const squaredDifference =
  (a: string, b: string): Operation =>
  (args) => {
    const [left, right] = [args.operand(a), args.operand(b)];
    return (inputs, scope) => {
      const difference = combine('Sub', left, right, inputs, scope);
      return scope.add('Mul', [difference, difference]);
    };
  };

/** log(1 + x) */
export const logOnePlus = (x: string): Operation => applied(x, (value, scope) => scope.add('Log', [scope.withScalar('Add', value, 1)]));

/** e^x - 1 */
export const expMinusOne = (x: string): Operation => applied(x, (value, scope) => scope.withScalar('Add', scope.add('Exp', [value]), -1));

/** More than float32 tells apart. */
const MAX_DECIMALS = 9;

/** To whole numbers, or to so many decimals, halves to even ones. */
export const round =
  (x: string): Operation =>
  (args) => {
    const decimals = args.integer('decimals', 0);
    if (Math.abs(decimals) > MAX_DECIMALS) args.decline(`it rounds to ${decimals} decimals`);
    const rounded: Activation = (value, scope) => {
      if (decimals === 0) return scope.add('Round', [value]);
      const whole = scope.add('Round', [scope.withScalar('Mul', value, 10 ** decimals)]);
      return scope.withScalar('Mul', whole, 10 ** -decimals);
    };
    return applied(x, rounded)(args);
  };

export const reciprocalRoot = (x: string): Operation => applied(x, (value, scope) => scope.withScalar('Pow', value, -0.5));

export const reciprocal = (x: string): Operation => applied(x, (value, scope) => scope.withScalar('Pow', value, -1));

/** An activation with one setting. */
const withNumber =
  (make: (setting: number) => Activation, x: string, setting: string, fallback: number): Operation =>
  (args) => {
    const value = args.number(setting, fallback);
    return applied(x, make(value))(args);
  };

export const leakyRelu = (x: string, setting: string): Operation => withNumber(leakyReluOf, x, setting, 0.2);
export const elu = (x: string): Operation => withNumber(eluOf, x, 'alpha', 1);
export const celu = (x: string): Operation => withNumber(celuOf, x, 'alpha', 1);
export const glu = (x: string): Operation => withNumber(gluOf, x, 'axis', -1);
export const hardShrink = (x: string): Operation => withNumber(hardShrinkOf, x, 'threshold', 0.5);
export const softShrink = (x: string): Operation => withNumber(softShrinkOf, x, 'threshold', 0.5);
export const squarePlus = (x: string): Operation => withNumber(squarePlusOf, x, 'b', 4);

export const gelu =
  (x: string, fallback: boolean): Operation =>
  (args) => {
    const approximate = args.boolean('approximate', fallback);
    return applied(x, geluOf(approximate))(args);
  };

export const softmaxOf =
  (op: 'Softmax' | 'LogSoftmax', x: string): Operation =>
  (args) => {
    if (args.isNull('axis')) args.decline('it goes over all axes, the batch included, which is not translated');
    const axis = args.integer('axis', -1);
    return applied(x, (value, scope) => softmax(value, scope, axis, op))(args);
  };

export const clip =
  (x: string, min: string, max: string): Operation =>
  (args) => {
    const attributes = { min: args.number(min, Number.NEGATIVE_INFINITY), max: args.number(max, Number.POSITIVE_INFINITY) };
    return applied(x, (value, scope) => scope.add('Clip', [value], { attributes }))(args);
  };

/** TensorFlow's bias_add: one number for each channel. */
export const biasAdd: Operation = (args) => {
  const value = args.operand('value');
  const bias = args.operand('bias');
  const format = args.json('data_format') ?? 'NHWC';
  if (format !== 'NHWC' && format !== 'N...C') args.decline(`its data format is ${String(format)}; channels are expected to be last`);
  return (inputs, scope) => combine('Add', value, bias, inputs, scope);
};

/** Towards zero. */
export function truncated(value: Value, scope: Scope): Value {
  return scope.add('Mul', [scope.add('Sign', [value]), scope.add('Floor', [scope.add('Abs', [value])])]);
}

/** 1 for what is not 0. */
export function truth(value: Value, scope: Scope): Value {
  return { ...scope.add('Abs', [scope.add('Sign', [value])]), truth: true };
}

const LARGEST_HALF = { float16: 65504, bfloat16: 3.3895313892515355e38 } as const;

/** To another dtype; what follows is computed in floating point anyway, where whole numbers and truths (0 and 1) are exact. */
export const cast =
  (x: string, saturates = false): Operation =>
  (args) => {
    const dtype = args.json('dtype') ?? args.json('DstT');
    const is = (pattern: RegExp) => typeof dtype === 'string' && pattern.test(dtype.replace(/^DT_/, '').toLowerCase());
    const [isWhole, isTruth] = [is(/^int(32|64)$/), is(/^bool$/)];
    const narrow = is(/^u?int(8|16)$/) && saturates ? { bits: is(/8$/) ? 8 : 16, signed: is(/^int/) } : undefined;
    const half = is(/^(half|float16)$/) ? 'float16' : is(/^bfloat16$/) ? 'bfloat16' : undefined;
    if (!is(/^(float|half|bfloat16|double)/) && !isWhole && !isTruth && !narrow)
      args.decline(`a cast to ${JSON.stringify(dtype)} is not translated; casts to floating point, int32, int64 and bool are`);
    return applied(x, (value, scope) => {
      if (value.sizes) return value;
      if (isTruth) return truth(value, scope);
      if (narrow) {
        const most = 2 ** (narrow.signed ? narrow.bits - 1 : narrow.bits) - 1;
        const bounds = { min: narrow.signed ? -most - 1 : 0, max: most };
        return { ...truncated(scope.add('Clip', [value], { attributes: bounds }), scope), integer: true, half: undefined };
      }
      if (half) {
        const most = LARGEST_HALF[half];
        const held = saturates && !value.half ? scope.add('Clip', [value], { attributes: { min: -most, max: most } }) : value;
        return { ...scope.builder.toHalf(held, half), integer: false };
      }
      return { ...(isWhole && !value.integer ? truncated(value, scope) : value), integer: isWhole, half: undefined };
    })(args);
  };
