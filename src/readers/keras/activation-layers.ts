/** Layers that are an activation and nothing else. */

import { toChannelsFirst } from '../../model/ports.js';
import { permute } from '../../model/tensor.js';
import { generalRelu, softmax } from './activations.js';
import { combineValues } from './arithmetic.js';
import { reduce } from './axes.js';
import { brief } from './config-view.js';
import type { OneRule } from './rule.js';
import type { Scope } from './scope.js';
import { kerasShape, type Value } from './value.js';

export const reluLayer: OneRule = (config) => {
  const slope = config.number(['negative_slope'], 0);
  const threshold = config.number(['threshold'], 0);
  const maxValue = config.value(['max_value']) === null ? null : config.number(['max_value'], Number.POSITIVE_INFINITY);
  return ([input], scope) => generalRelu(input!, scope, slope, threshold, maxValue === Number.POSITIVE_INFINITY ? null : maxValue);
};

export const leakyRelu: OneRule = (config) => {
  const alpha = config.number(['alpha', 'negative_slope'], 0.3);
  return ([input], scope) => scope.add('LeakyRelu', [input!], { attributes: { alpha } });
};

export const elu: OneRule = (config) => {
  const alpha = config.number(['alpha'], 1);
  return ([input], scope) => scope.add('Elu', [input!], { attributes: { alpha } });
};

export const thresholdedRelu: OneRule = (config) => {
  const alpha = config.number(['theta'], 1);
  return ([input], scope) => scope.add('ThresholdedRelu', [input!], { attributes: { alpha } });
};

export const softmaxLayer: OneRule = (config) => {
  const given = config.value(['axis']) ?? -1;
  const axes = Array.isArray(given) ? (given as readonly unknown[]) : [given];
  if (!axes.every(Number.isSafeInteger)) config.decline(`"axis" is ${brief(given)}, expected axes`);
  return ([input], scope) => (axes.length === 1 ? softmax(input!, scope, axes[0] as number) : softmaxOver(input!, axes as readonly number[], scope));
};

/** Over several axes together: e^(x - max) over the sum of all. */
function softmaxOver(input: Value, axes: readonly number[], scope: Scope): Value {
  const value = scope.builder.unflattened(input);
  const powers = scope.add('Exp', [combineValues('Sub', value, reduce('ReduceMax', value, axes, true, scope), scope)]);
  return combineValues('Div', powers, reduce('ReduceSum', powers, axes, true, scope), scope);
}

/** Keras's slopes have the input's shape without the batch, with ones for shared axes (counted from 1). */
export const prelu: OneRule = (config) => {
  const shared = config.value(['shared_axes']) ?? [];
  const axes = Array.isArray(shared) ? (shared as readonly number[]) : [];
  if (axes !== shared || !axes.every((axis) => Number.isSafeInteger(axis) && axis > 0))
    config.decline(`"shared_axes" is ${brief(shared)}, expected axes from 1`);
  return ([input], scope) => {
    const value = scope.builder.unflattened(input!);
    const shape = kerasShape(value)
      .map((size, axis) => (axes.includes(axis) ? 1 : size))
      .slice(1);
    const slope = scope.weight('alpha', shape);
    const moved = toChannelsFirst(value.shape.length)
      .slice(1)
      .map((axis) => axis - 1);
    return scope.add('PRelu', [value], { weights: { slope: value.order === 'moved' ? permute(slope, moved) : slope } });
  };
};
