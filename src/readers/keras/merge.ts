/** Layers that join several values into one. */
import type { Dim } from '../../model/layer-map.js';
import { reshapeTo } from './axes.js';
import type { Rule } from './rule.js';
import type { Scope } from './scope.js';
import { mapAxis, type Value } from './value.js';

type MergeOp = 'Add' | 'Mul' | 'Max' | 'Min' | 'Average';

export const merge =
  (op: MergeOp): Rule =>
  () =>
  (inputs, scope) =>
    join(op, inputs, scope);

export const subtract: Rule = () => (inputs, scope) => scope.add('Sub', aligned(ofOneRank(inputs, scope), scope));

/** keras.applications' InceptionResNetV2: the first value and the second, scaled. */
export const scaledSum: Rule = (config) => {
  const scale = config.number(['scale']);
  return (inputs, scope) => {
    const [first, second] = aligned(inputs, scope) as [Value, Value];
    return scope.add('Add', [first, scope.withScalar('Mul', second, scale)]);
  };
};

export const concatenate: Rule = (config) => {
  const axis = config.number(['axis'], -1);
  return (inputs, scope) => concat(axis, inputs, scope);
};

/** Element by element. */
export function join(op: MergeOp, inputs: readonly Value[], scope: Scope): Value {
  const values = aligned(ofOneRank(inputs, scope), scope);
  if (op === 'Max' || op === 'Min') return scope.add(op, values);
  const step = op === 'Average' ? 'Add' : op;
  const joined = values.slice(1).reduce((sum, value) => scope.add(step, [sum, value]), values[0]!);
  return op === 'Average' ? scope.withScalar('Div', joined, values.length) : joined;
}

/** Joins values along one of Keras's axes. */
export function concat(kerasAxis: number, inputs: readonly Value[], scope: Scope): Value {
  // Joined feature by feature, a flattened value is no longer the picture it came from.
  const values = aligned(inputs, scope).map((value) => scope.builder.unflattened(value));
  const axis = mapAxis(values[0]!, kerasAxis);
  if (axis < 0) throw scope.malformed(`axis ${kerasAxis} of values of ${values[0]!.shape.length} axes`);
  return scope.add('Concat', values, { attributes: { axis } });
}

/** Keras puts axes of one element behind the batch of values that have fewer axes than others: a vector is one for all places of a picture. */
function ofOneRank(inputs: readonly Value[], scope: Scope): readonly Value[] {
  const rank = inputs.reduce((most, { shape }) => Math.max(most, shape.length), 0);
  const isMoved = inputs.some(({ shape, order }) => shape.length === rank && order === 'moved');
  return inputs.map((input) => {
    const missing = rank - input.shape.length;
    if (missing === 0) return input;
    const value = scope.builder.toKeras(input);
    const [batch, ...rest] = value.shape as [Dim, ...Dim[]];
    const ones = new Array<Dim>(missing).fill(1);
    return isMoved && rest.length === 1
      ? reshapeTo(value, [batch, ...rest, ...ones], 'moved', scope)
      : reshapeTo(value, [batch, ...ones, ...rest], 'keras', scope);
  });
}

/** The values in one order. */
export function aligned(inputs: readonly Value[], scope: Scope): readonly Value[] {
  const [first] = inputs;
  if (inputs.some((value) => value.shape.length !== first!.shape.length)) {
    throw scope.unsupported(`a ${scope.layer.className} of values with different numbers of axes`);
  }
  return scope.builder.toSameOrder(inputs);
}
