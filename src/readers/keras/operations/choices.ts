/** Comparisons, logic and choices. Truths are 1 and 0 between layers, places are whole numbers: the map computes in floating point. */
import { float32Tensor } from '../../../model/tensor.js';
import { IN_FALLING_ORDER } from '../../../words.js';
import { constantValue, inOneOrder } from '../arithmetic.js';
import { kerasAxes, knownSize, unsqueeze } from '../axes.js';
import type { Scope } from '../scope.js';
import { mapAxis, type Value } from '../value.js';
import { type Arguments, isConstant, type Operand, valueAt } from './arguments.js';
import { ofValue } from './arrangement.js';
import { truth } from './elementwise.js';
import type { Operation } from './operation.js';

/** The operands as values in one order, of which one at least flows in. */
function asValues(operands: readonly Operand[], inputs: readonly Value[], scope: Scope): readonly Value[] {
  const values = operands.map((operand) => (isConstant(operand) ? constantValue(operand.constant, scope) : valueAt(operand, inputs)));
  return inOneOrder(values, scope);
}

function operandsOf(args: Arguments, names: readonly string[]): readonly Operand[] {
  const operands = names.map((name) => args.operand(name));
  if (operands.every(isConstant)) args.decline('it is called on numbers alone, which is not translated');
  return operands;
}

const asFloat = (value: Value, scope: Scope): Value => ({ ...scope.add('Cast', [value], { attributes: { to: 'float32' } }), truth: true });

/** @param invert whether the opposite is meant */
export const compare =
  (op: 'Equal' | 'Greater' | 'GreaterOrEqual' | 'Less' | 'LessOrEqual', invert = false, a = 'x', b = 'y'): Operation =>
  (args) => {
    const operands = operandsOf(args, [a, b]);
    return (inputs, scope) => {
      const made = asFloat(scope.add(op, asValues(operands, inputs, scope)), scope);
      return invert ? opposite(made, scope) : made;
    };
  };

function opposite(truth: Value, scope: Scope): Value {
  return { ...scope.withScalar('Add', scope.add('Neg', [truth]), 1), truth: true };
}

const LOGIC: Readonly<Record<string, (values: readonly Value[], scope: Scope) => Value>> = {
  And: (values, scope) => scope.add('Mul', values),
  Or: (values, scope) => scope.add('Max', values),
  Xor: (values, scope) => scope.add('Abs', [scope.add('Sub', values)]),
};

/** Numbers are true where they are not 0. */
const asTruth = (value: Value, scope: Scope): Value => (value.truth ? value : truth(value, scope));

/** Of truths, or of numbers that stand for them. */
export const logical =
  (op: 'And' | 'Or' | 'Xor', a = 'x', b = 'y'): Operation =>
  (args) => {
    const operands = operandsOf(args, [a, b]);
    return (inputs, scope) => {
      const values = asValues(operands, inputs, scope).map((value) => asTruth(value, scope));
      return { ...LOGIC[op]!(values, scope), truth: true };
    };
  };

export const logicalNot = (x: string): Operation => ofValue(x, () => (value, scope) => opposite(asTruth(value, scope), scope));

/** x where the condition holds, y elsewhere. */
export const where =
  (condition: string, x: string, y: string): Operation =>
  (args) => {
    if (!args.has(x) || !args.has(y)) args.decline('it looks for places whose number is not known before the run, which is not translated');
    const operands = operandsOf(args, args.has(x) && args.has(y) ? [condition, x, y] : [condition]);
    return (inputs, scope) => {
      const [truth, ...values] = asValues(operands, inputs, scope) as [Value, ...Value[]];
      return scope.add('Where', [scope.add('Cast', [truth], { attributes: { to: 'bool' } }), ...values], { order: truth.order });
    };
  };

/** x where it is above the threshold, else a number. */
export const threshold: Operation = (args) => {
  const x = operandsOf(args, ['x'])[0]!;
  const least = args.number('threshold', 0);
  const otherwise = args.number('value', args.number('default_value', 0));
  return (inputs, scope) => {
    const value = valueAt(x, inputs);
    const number = (one: number) => constantValue({ shape: [], values: [one] }, scope);
    return scope.add('Where', [scope.add('Greater', [value, number(least)]), value, number(otherwise)], { order: value.order });
  };
};

/** The place of the largest or smallest element along an axis. */
export const extreme = (op: 'ArgMax' | 'ArgMin', x: string, usual: number | null): Operation =>
  ofValue(x, (args) => {
    const given = args.integers('axis') ?? (usual === null ? [] : [usual]);
    const keeps = args.boolean('keepdims', false);
    if (given.length !== 1) args.decline('it looks through all axes, the batch included, which is not translated');
    return (input, scope) => {
      const value = scope.builder.toKeras(input);
      const [axis] = kerasAxes(value, given, scope) as [number];
      if (axis === 0) throw scope.unsupported('a search along the batch');
      return { ...asFloat(scope.add(op, [value], { attributes: { axis, keepdims: keeps ? 1 : 0 } }), scope), integer: true };
    };
  });

/** Of whole numbers: 1 at the place that each says, along a new axis. */
export const oneHot = (x: string, depth: string): Operation =>
  ofValue(x, (args) => {
    const count = args.integer(depth, 1);
    const axis = args.integer('axis', -1);
    const [on, off] = [args.number('on_value', 1), args.number('off_value', 0)];
    if (args.boolean('sparse', false)) args.decline('a sparse result is not translated');
    return (input, scope) => {
      const value = scope.builder.toKeras(input);
      const rank = value.shape.length + 1;
      const [at] = kerasAxes({ ...value, shape: [...value.shape, 1] }, [axis], scope) as [number];
      const places = constantValue(
        { shape: Array.from({ length: rank }, (_, i) => (i === at ? count : 1)), values: Array.from({ length: count }, (_, i) => i) },
        scope,
      );
      const apart = scope.builder.toKeras(unsqueeze({ ...value, integer: false }, at, scope));
      const hot = asFloat(scope.add('Equal', [apart, places]), scope);
      const scaled = on - off === 1 ? hot : scope.withScalar('Mul', hot, on - off);
      return off === 0 ? scaled : scope.withScalar('Add', scaled, off);
    };
  });

/** The k largest elements of the last axis, and their places. */
export const topK = (x: string): Operation =>
  ofValue(x, (args) => {
    const k = args.integer('k', 1);
    const isSorted = args.boolean('sorted', true);
    return (input, scope) => {
      if (!isSorted) scope.assume(IN_FALLING_ORDER);
      const value = scope.builder.toKeras(input);
      if (value.shape.length < 2 || knownSize(value, -1, 'a search for the largest', scope) < k) throw scope.malformed(`the ${k} largest of [${value.shape}]`);
      const [values, places] = scope.addAll('TopK', [value], { attributes: { k, axis: value.shape.length - 1 } }, 2) as [Value, Value];
      return [values, { ...asFloat(places, scope), integer: true }];
    };
  });

/** @param places whether the places of the elements are wanted */
export const sort = (x: string, places: boolean): Operation =>
  ofValue(x, (args) => {
    if (args.isNull('axis')) args.decline('it sorts all elements in a row, which is not translated');
    const given = args.integer('axis', -1);
    const descending = (args.json('direction') ?? 'ASCENDING') === 'DESCENDING';
    args.boolean('stable', false);
    return (input, scope) => {
      const value = scope.builder.unflattened(input);
      const [axis] = kerasAxes(value, [given], scope) as [number];
      if (axis === 0) throw scope.unsupported('sorting the batch');
      const attributes = { k: knownSize(value, axis, 'sorting', scope), axis: mapAxis(value, axis), largest: descending ? 1 : 0 };
      const [sorted, order] = scope.addAll('TopK', [value], { attributes }, 2) as [Value, Value];
      return places ? { ...asFloat(order, scope), integer: true } : sorted;
    };
  });

export const cumulative = (x: string): Operation =>
  ofValue(x, (args) => {
    const given = args.integers('axis') ?? [];
    const flags = { exclusive: args.boolean('exclusive', false) ? 1 : 0, reverse: args.boolean('reverse', false) ? 1 : 0 };
    if (given.length !== 1) args.decline('it adds up all elements in a row, which is not translated');
    return (input, scope) => {
      const value = scope.builder.unflattened(input);
      const [axis] = kerasAxes(value, given, scope) as [number];
      if (axis === 0) throw scope.unsupported('adding up over the batch');
      return scope.add('CumSum', [value], { attributes: { axis: mapAxis(value, axis), ...flags } });
    };
  });

/** A value of x's shape with one number everywhere. */
export const filledLike = (x: string, number: number | string): Operation =>
  ofValue(x, (args) => {
    const filling = typeof number === 'number' ? number : args.number(number, 0);
    return (value, scope) => ({ ...scope.add('Clip', [value], { attributes: { min: filling, max: filling } }), integer: false });
  });

/** The weights of red, green and blue in what is seen as grey. */
const LUMINANCE = [0.2989, 0.587, 0.114];

export const grayscale = (x: string): Operation =>
  ofValue(x, (args) => {
    if ((args.json('data_format') ?? 'channels_last') !== 'channels_last') args.decline('channels are expected to be last');
    return (input, scope) => {
      const value = scope.builder.toMoved({ ...input, integer: false });
      if (value.shape.length !== 4 || value.shape[1] !== 3)
        throw scope.malformed(`a value of the shape [${value.shape}], where pictures of three channels are expected`);
      const kernel = float32Tensor(`${scope.name}/luminance`, [1, 3, 1, 1], LUMINANCE, { file: scope.builder.file });
      return scope.add('Conv', [value], { attributes: { kernel_shape: [1, 1] }, weights: { kernel } });
    };
  });
