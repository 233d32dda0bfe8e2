/** Layers that make classes of numbers, by what their configuration says alone: Discretization and CategoryEncoding. */
import { constantValue } from './arithmetic.js';
import { knownSize, reduce, unsqueeze } from './axes.js';
import { brief } from './config-view.js';
import type { OneRule } from './rule.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

/** More than people tell apart. */
const MAX_CLASSES = 2 ** 16;

/** What each element says of each of a row of numbers, 1 or 0, along a new last axis. */
function compared(op: 'Equal' | 'GreaterOrEqual', input: Value, numbers: readonly number[], scope: Scope): Value {
  const value = scope.builder.toKeras(unsqueeze({ ...input, integer: false }, -1, scope));
  const row = constantValue({ shape: [...value.shape.slice(1).map(() => 1), numbers.length], values: numbers }, scope);
  return scope.add('Cast', [scope.add(op, [value, row])], { attributes: { to: 'float32' } });
}

/**
 * How many of the boundaries an element reaches, or a 1 at that place.
 *
 * @see `call` of keras/src/layers/preprocessing/discretization.py; numpy.digitize
 */
export const discretization: OneRule = (config) => {
  const given = config.value(['bin_boundaries', 'bins']);
  const boundaries = Array.isArray(given) && given.every((one) => typeof one === 'number') ? (given as number[]) : [];
  const isRising = boundaries.every((one, i) => i === 0 || one >= boundaries[i - 1]!);
  if (boundaries.length === 0 || boundaries.length > MAX_CLASSES || !isRising)
    config.decline(`"bin_boundaries" is ${brief(given)}, expected the numbers between its classes; boundaries that it has learnt are kept elsewhere`);
  config.value(['num_bins', 'epsilon']);
  const mode = config.oneOf(['output_mode'], ['int', 'one_hot', 'multi_hot', 'count'] as const, 'int');
  config.expect(['sparse'], [false, null], 'a sparse result is not translated');
  return ([input], scope) => {
    const reached = compared('GreaterOrEqual', input!, boundaries, scope);
    const place = { ...reduce('ReduceSum', reached, [reached.shape.length - 1], false, scope), integer: true };
    return mode === 'int' ? place : encoded(place, boundaries.length + 1, mode, scope);
  };
};

/** Which classes a sample has, or how often. */
export const categoryEncoding: OneRule = (config) => {
  const count = config.integer(['num_tokens', 'max_tokens']);
  const mode = config.oneOf(['output_mode'], ['multi_hot', 'binary', 'one_hot', 'count'] as const, 'multi_hot');
  if (count > MAX_CLASSES) config.decline(`${count} classes, more than ${MAX_CLASSES}, are not told apart`);
  config.expect(['sparse'], [false, null], 'a sparse result is not translated');
  return ([input], scope) => encoded(input!, count, mode, scope);
};

/** @see `encode_categorical_inputs` of keras/src/utils/numerical_utils.py */
function encoded(input: Value, count: number, mode: 'one_hot' | 'multi_hot' | 'binary' | 'count', scope: Scope): Value {
  const value = scope.builder.toKeras(input);
  if (value.shape.length > 2 || (value.shape.length === 1 && mode !== 'one_hot'))
    throw scope.unsupported(`an encoding of classes of a value of ${value.shape.length} axes`);
  const hot = compared(
    'Equal',
    value,
    Array.from({ length: count }, (_, i) => i),
    scope,
  );
  if (value.shape.length === 1) return hot;
  const isOne = mode === 'one_hot';
  if (isOne && knownSize(value, 1, 'an encoding of classes', scope) !== 1) return hot;
  return reduce(mode === 'count' ? 'ReduceSum' : 'ReduceMax', hot, [1], false, scope);
}
