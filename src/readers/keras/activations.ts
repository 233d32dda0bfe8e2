/** Activations: the functions that Keras names, and the layers that are nothing else. */

import { brief, type ConfigView } from './config-view.js';
import type { Scope } from './scope.js';
import { mapAxis, type Value } from './value.js';

export type Activation = (input: Value, scope: Scope) => Value;

const simple =
  (op: string, attributes: Readonly<Record<string, number>> = {}): Activation =>
  (input, scope) =>
    scope.add(op, [input], { attributes });

const identity: Activation = (input) => input;

/** x · gate(x) */
const gated =
  (...gate: readonly Activation[]): Activation =>
  (input, scope) =>
    scope.add('Mul', [input, gate.reduce((value, step) => step(value, scope), input)]);

/** x · (1 + erf(x / √2)) / 2 */
const gelu: Activation = (input, scope) => {
  const erf = scope.add('Erf', [scope.withScalar('Mul', input, Math.SQRT1_2)]);
  return scope.withScalar('Mul', scope.add('Mul', [input, scope.withScalar('Add', erf, 1)]), 0.5);
};

const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  linear: identity,
  relu: simple('Relu'),
  relu6: simple('Clip', { min: 0, max: 6 }),
  sigmoid: simple('Sigmoid'),
  tanh: simple('Tanh'),
  elu: simple('Elu', { alpha: 1 }),
  selu: simple('Selu'),
  softplus: simple('Softplus'),
  softsign: simple('Softsign'),
  exponential: simple('Exp'),
  softmax: (input, scope) => softmax(input, scope, -1, 'Softmax'),
  log_softmax: (input, scope) => softmax(input, scope, -1, 'LogSoftmax'),
  swish: gated(simple('Sigmoid')),
  silu: gated(simple('Sigmoid')),
  mish: gated(simple('Softplus'), simple('Tanh')),
  gelu,
  // Kept as a slope of 0.2 and a shift of 0.5 until Keras 3, which took over the slope of 1/6 of other frameworks.
  hard_sigmoid: (input, scope) => scope.add('HardSigmoid', [input], { attributes: { alpha: (scope.dialect.version?.[0] ?? 2) >= 3 ? 1 / 6 : 0.2, beta: 0.5 } }),
  hard_silu: gated(simple('HardSigmoid', { alpha: 1 / 6, beta: 0.5 })),
  hard_swish: gated(simple('HardSigmoid', { alpha: 1 / 6, beta: 0.5 })),
};

/** Reads a setting that names an activation; `linear` where it is null or missing. */
export function activation(config: ConfigView, key = 'activation'): Activation {
  const value = config.value([key]) ?? 'linear';
  const name = typeof value === 'string' ? value : builtinName(value);
  const found = name !== null && Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined;
  if (found) return found;
  config.decline(`the activation ${brief(value)} is not known. Known: ${Object.keys(ACTIVATIONS).join(', ')}.`);
  return identity;
}

/** A serialised function that is Keras's own. */
function builtinName(value: unknown): string | null {
  const entry = value as { class_name?: unknown; module?: unknown; config?: unknown; registered_name?: unknown };
  const own = entry.class_name === 'function' && typeof entry.config === 'string' && (entry.registered_name ?? entry.config) === entry.config;
  return own ? (entry.config as string) : null;
}

export function softmax(input: Value, scope: Scope, kerasAxis: number, op = 'Softmax'): Value {
  const value = input.order === 'flattened' ? scope.builder.toKeras(input) : input;
  const axis = mapAxis(value, kerasAxis);
  if (axis < 0) throw scope.unsupported(`axis ${kerasAxis} of a value of ${value.shape.length} axes`);
  return scope.add(op, [value], { attributes: { axis } });
}

/**
 * Keras's general ReLU: `maxValue` from there on, x from the threshold on, `slope · (x - threshold)` below it; computed as Keras
 * computes it, as a difference of two rectified parts.
 */
export function generalRelu(input: Value, scope: Scope, slope: number, threshold: number, maxValue: number | null): Value {
  if (slope !== 0 && threshold === 0 && maxValue === null) return scope.add('LeakyRelu', [input], { attributes: { alpha: slope } });
  let positive: Value;
  if (threshold !== 0) positive = scope.add('ThresholdedRelu', [input], { attributes: { alpha: threshold } });
  else if (maxValue === null) positive = scope.add('Relu', [input]);
  else positive = input;
  if (maxValue !== null) positive = scope.add('Clip', [positive], { attributes: { min: 0, max: maxValue } });
  if (slope === 0) return positive;
  const below = scope.withScalar('Add', scope.withScalar('Mul', input, -1), threshold);
  return scope.add('Sub', [positive, scope.withScalar('Mul', scope.add('Relu', [below]), slope)]);
}
