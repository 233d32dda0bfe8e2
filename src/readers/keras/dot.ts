/** Products of two values, sample by sample. */
import { combineValues } from './arithmetic.js';
import { kerasAxes, reduce, squeeze, unsqueeze } from './axes.js';
import { brief } from './config-view.js';
import { lastTwoSwapped, unit } from './operations/arrangement.js';
import type { Rule } from './rule.js';
import type { Scope } from './scope.js';
import type { Value } from './value.js';

/** Sums over one axis of each; with `normalize` the values are brought to length one along it first. */
export const dot: Rule = (config) => {
  const given = config.value(['axes']);
  const axes = typeof given === 'number' ? [given, given] : given;
  const isPair = Array.isArray(axes) && axes.length === 2 && axes.every(Number.isSafeInteger);
  if (!isPair) config.decline(`"axes" is ${brief(given)}, expected an axis, or one for each value`);
  const normalize = config.boolean(['normalize'], false);
  // The square of a length is kept from zero.
  const least = (config.dialect.version?.[0] ?? 2) >= 3 ? 1e-24 : 1e-12;
  return (inputs, scope) => {
    const values = inputs.map((input, i) => {
      const value = scope.builder.toKeras(input);
      if (value.shape.length < 2 || value.shape.length > 3) throw scope.unsupported(`a product of values of ${value.shape.length} axes`);
      const [axis] = kerasAxes(value, [(axes as number[])[i]!], scope) as [number];
      if (axis === 0) throw scope.unsupported('a product over the batch');
      return { value: normalize ? unit(value, [axis], least, scope) : value, axis };
    });
    const [a, b] = values as [(typeof values)[0], (typeof values)[0]];
    if (a.value.shape.length === 2 && b.value.shape.length === 2) return reduce('ReduceSum', combineValues('Mul', a.value, b.value, scope), [1], true, scope);
    const made = scope.add('MatMul', [summedLast(a, scope), lastTwoSwapped(summedLast(b, scope), scope)]);
    const gone = [...(a.value.shape.length === 2 ? [1] : []), ...(b.value.shape.length === 2 ? [2] : [])];
    return squeeze(made, gone, scope);
  };
};

/** [N, rows, summed] of a value. */
function summedLast({ value, axis }: { readonly value: Value; readonly axis: number }, scope: Scope): Value {
  if (value.shape.length === 2) return unsqueeze(value, 1, scope);
  return axis === 2 ? value : lastTwoSwapped(value, scope);
}
