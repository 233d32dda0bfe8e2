/** Masking: steps of a sequence whose features all have one value do not count. */
import { reduce, squeeze } from './axes.js';
import type { Rule } from './rule.js';

/** The smallest normal float32: what is not nothing is at least as much. */
const LEAST = 2 ** -126;

export const masking: Rule = (config) => {
  const filling = config.number(['mask_value'], 0);
  return ([input], scope) => {
    const value = scope.builder.toKeras(input!);
    if (value.shape.length !== 3) throw scope.unsupported(`a Masking of values of ${value.shape.length} axes`);
    const distance = scope.add('Abs', [filling === 0 ? value : scope.withScalar('Add', value, -filling)]);
    const most = reduce('ReduceMax', distance, [2], true, scope);
    // A number divided by itself is 1 exactly, and nothing by something is 0.
    const counts = scope.add('Div', [most, scope.add('Clip', [most], { attributes: { min: LEAST } })]);
    const mask = squeeze(counts, [2], scope);
    // Steps that do not count become zeros, which those of zeros are.
    return { ...(filling === 0 ? value : scope.add('Mul', [value, counts])), mask };
  };
};
