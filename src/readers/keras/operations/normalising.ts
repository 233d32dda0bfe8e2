/** Normalisations that are called as functions. */
import { combineValues } from '../arithmetic.js';
import { kerasAxes, reduce } from '../axes.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';
import { type Arguments, type Operand, valueAt } from './arguments.js';
import { ofValue } from './arrangement.js';
import type { Operation } from './operation.js';
import { apply, isNumbers, numbers, optional, type Term, termOf } from './terms.js';

interface Names {
  readonly mean: string;
  readonly variance: string;
  readonly offset: string;
  readonly scale: string;
  readonly epsilon: string;
}

/** (x - mean) / √(variance + epsilon) · scale + offset */
export const batchNormalize =
  (x: string, { mean, variance, offset, scale, epsilon }: Names): Operation =>
  (args) => {
    const value = args.operand(x);
    const [middle, spread] = [args.operand(mean), args.operand(variance)];
    const [shift, factor] = [optional(args, offset), optional(args, scale)];
    const least = args.number(epsilon, 1e-3);
    const given = args.integer('axis', -1);
    return (inputs, scope) => {
      const input = valueAt(value, inputs);
      const rank = input.shape.length;
      const [axis] = kerasAxes(input, [given], scope) as [number];
      // One number for each channel, wherever these are.
      const along = (operand: Operand): Term => {
        const term = termOf(operand, inputs);
        if (axis === rank - 1 || term.shape.length !== 1) return term;
        if (!isNumbers(term)) throw scope.unsupported('a normalisation by values along an axis that is not the last');
        return { shape: Array.from({ length: rank - axis }, (_, i) => (i === 0 ? term.values.length : 1)), values: term.values };
      };
      const deviation = apply('Pow', apply('Add', along(spread), numbers(least), scope), numbers(-0.5), scope);
      const times = factor ? apply('Mul', deviation, along(factor), scope) : deviation;
      const centre = apply('Mul', along(middle), times, scope);
      const plus = shift ? apply('Sub', along(shift), centre, scope) : apply('Mul', centre, numbers(-1), scope);
      return apply('Add', apply('Mul', input, times, scope), plus, scope) as Value;
    };
  };

/** Keras's own epsilon, where a function is given none. */
const EPSILON = 1e-7;

/** x by its mean and deviation over some axes (or by the root of its mean square alone), times gamma, plus beta. */
export const layerNormalize =
  (centre: boolean, gammaName: string): Operation =>
  (args) => {
    const value = args.operand('x');
    const [gamma, beta] = [optional(args, gammaName), centre ? optional(args, 'beta') : null];
    const axes = args.integers('axis') ?? [-1];
    const least = args.number('epsilon', EPSILON);
    if (args.boolean('rms_scaling', false)) args.decline('its rms_scaling is not translated');
    return (inputs, scope) => {
      const input = scope.builder.unflattened(valueAt(value, inputs));
      const known = kerasAxes(input, axes, scope);
      if ((gamma || beta) && !(known.length === 1 && known[0] === input.shape.length - 1))
        throw scope.unsupported('a normalisation along other axes than the last, with numbers for each element,');
      const centred = centre ? combineValues('Sub', input, reduce('ReduceMean', input, axes, true, scope), scope) : input;
      const square = reduce('ReduceMean', scope.add('Mul', [centred, centred]), axes, true, scope);
      let made: Term = combineValues('Mul', centred, scope.withScalar('Pow', scope.withScalar('Add', square, least), -0.5), scope);
      if (gamma) made = apply('Mul', made, termOf(gamma, inputs), scope);
      if (beta) made = apply('Add', made, termOf(beta, inputs), scope);
      return made as Value;
    };
  };

/** x by its length over an axis, which is at least epsilon. */
export const normalize: Operation = ofValue('x', (args: Arguments) => {
  const axes = args.integers('axis') ?? [-1];
  const order = args.number('order', 2);
  const least = args.number('epsilon', EPSILON);
  if (order !== 1 && order !== 2) args.decline(`a norm of the order ${order} is not translated`);
  return (input: Value, scope: Scope) => {
    const value = scope.builder.unflattened(input);
    const length =
      order === 1
        ? reduce('ReduceSum', scope.add('Abs', [value]), axes, true, scope)
        : scope.add('Sqrt', [reduce('ReduceSum', scope.add('Mul', [value, value]), axes, true, scope)]);
    return combineValues('Div', value, scope.add('Clip', [length], { attributes: { min: least } }), scope);
  };
});
