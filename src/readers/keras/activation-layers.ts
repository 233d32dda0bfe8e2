/** Layers that are an activation and nothing else. */

import { toFloat64Array } from '../../model/cast.js';
import { toChannelsFirst } from '../../model/ports.js';
import { computedTensor, permute, type Tensor, tensorBytes } from '../../model/tensor.js';
import { generalRelu, softmax } from './activations.js';
import { combineTensor, combineValues } from './arithmetic.js';
import { reduce } from './axes.js';
import { brief, type ConfigView } from './config-view.js';
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

/** Axes (counted from 1) along which a layer has the same weights everywhere; otherwise these have the input's shape without the batch. */
function sharedAxes(config: ConfigView): readonly number[] {
  const given = config.value(['shared_axes']) ?? [];
  const axes = Array.isArray(given) ? (given as readonly number[]) : [];
  if (axes !== given || !axes.every((axis) => Number.isSafeInteger(axis) && axis > 0)) config.decline(`"shared_axes" is ${brief(given)}, expected axes from 1`);
  return axes;
}

/** The shape of such weights for a value. */
function sharedShape(value: Value, axes: readonly number[]) {
  return kerasShape(value)
    .map((size, axis) => (axes.includes(axis) ? 1 : size))
    .slice(1);
}

export const prelu: OneRule = (config) => {
  const axes = sharedAxes(config);
  return ([input], scope) => {
    const value = scope.builder.unflattened(input!);
    const slope = scope.weight('alpha', sharedShape(value, axes));
    const moved = toChannelsFirst(value.shape.length)
      .slice(1)
      .map((axis) => axis - 1);
    return scope.add('PRelu', [value], { weights: { slope: value.order === 'moved' ? permute(slope, moved) : slope } });
  };
};

/** Keras 1: alpha · log(1 + e^(beta · x)) */
export const parametricSoftplus: OneRule = (config) => {
  const axes = sharedAxes(config);
  return ([input], scope) => {
    const value = scope.builder.unflattened(input!);
    const [alpha, beta] = ['alpha', 'beta'].map((role) => scope.weight(role, sharedShape(value, axes))) as [Tensor, Tensor];
    return combineTensor('Mul', scope.add('Softplus', [combineTensor('Mul', value, beta, scope)]), alpha, scope);
  };
};

/** Keras 1: x between two places, and lines of slopes of their own from these on; the right one is kept as its distance from the left one. */
export const srelu: OneRule = (config) => {
  const axes = sharedAxes(config);
  return ([input], scope) => {
    const value = scope.builder.unflattened(input!);
    const roles = ['left place', 'left slope', 'right place', 'right slope'];
    const [left, below, distance, above] = roles.map((role) => scope.weight(role, sharedShape(value, axes))) as [Tensor, Tensor, Tensor, Tensor];
    const right = computedTensor(distance.name, 'float32', distance.shape, distance.origin, async () => {
      const [from, to] = await Promise.all([left, distance].map(async (part) => toFloat64Array(await tensorBytes(part), part.dtype)));
      return new Uint8Array(Float32Array.from(from!, (place, i) => place + Math.abs(to![i]!)).buffer);
    });
    const [over, beyond] = [left, right].map((place) => combineTensor('Sub', value, place, scope)) as [Value, Value];
    const part = (one: Value) => scope.add('Relu', [one]);
    const under = combineTensor('Mul', part(scope.add('Neg', [over])), below, scope);
    const middle = scope.add('Sub', [scope.add('Sub', [part(over), part(beyond)]), under]);
    return combineTensor('Add', scope.add('Add', [middle, combineTensor('Mul', part(beyond), above, scope)]), left, scope);
  };
};
