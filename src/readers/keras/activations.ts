/**
 * The functions that Keras names as activations, in ONNX operators.
 *
 * @see https://keras.io/api/layers/activations/
 */

import { float32Tensor } from '../../model/tensor.js';
import { type Dialect, isBefore, isKeras3 } from './config-view.js';
import type { Scope } from './scope.js';
import { mapAxis, type Value } from './value.js';

export type Activation = (input: Value, scope: Scope) => Value;

const simple =
  (op: string, attributes: Readonly<Record<string, number>> = {}): Activation =>
  (input, scope) =>
    scope.add(op, [input], { attributes });

export const identity: Activation = (input) => input;

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

/** x · (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2 */
const geluTanh: Activation = (input, scope) => {
  const cube = scope.withScalar('Mul', scope.add('Mul', [scope.add('Mul', [input, input]), input]), 0.044715);
  const tanh = scope.add('Tanh', [scope.withScalar('Mul', scope.add('Add', [input, cube]), Math.sqrt(2 / Math.PI))]);
  return scope.withScalar('Mul', scope.add('Mul', [input, scope.withScalar('Add', tanh, 1)]), 0.5);
};

export const geluOf = (approximate: boolean): Activation => (approximate ? geluTanh : gelu);

export const leakyReluOf = (alpha: number): Activation => simple('LeakyRelu', { alpha });

export const eluOf = (alpha: number): Activation => simple('Elu', { alpha });

/** max(x, 0) + min(α (e^(x/α) - 1), 0) */
export const celuOf =
  (alpha: number): Activation =>
  (input, scope) =>
    alpha === 1 ? eluOf(1)(input, scope) : scope.withScalar('Mul', eluOf(1)(scope.withScalar('Mul', input, 1 / alpha), scope), alpha);

/** The first half along the axis, gated by the second. */
export const gluOf =
  (axis: number): Activation =>
  (input, scope) => {
    const [half, gate] = halves(input, axis, scope);
    return scope.add('Mul', [half, scope.add('Sigmoid', [gate])]);
  };

function halves(input: Value, kerasAxis: number, scope: Scope): readonly [Value, Value] {
  const value = scope.builder.unflattened(input);
  const axis = mapAxis(value, kerasAxis);
  const size = value.shape[axis];
  if (typeof size !== 'number' || size % 2 !== 0) throw scope.unsupported(`halving axis ${kerasAxis} of a value of the shape [${value.shape}]`);
  const slice = (start: number) => scope.add('Slice', [value], { attributes: { starts: [start], ends: [start + size / 2], axes: [axis] } });
  return [slice(0), slice(size / 2)];
}

/** x where |x| is above the threshold, else 0. */
export const hardShrinkOf =
  (alpha: number): Activation =>
  (input, scope) =>
    scope.add('Sub', [
      scope.add('ThresholdedRelu', [input], { attributes: { alpha } }),
      scope.add('ThresholdedRelu', [negative(input, scope)], { attributes: { alpha } }),
    ]);

/** x drawn towards zero by the threshold. */
export const softShrinkOf =
  (threshold: number): Activation =>
  (input, scope) => {
    const drawn = (value: Value) => scope.add('Relu', [scope.withScalar('Add', value, -threshold)]);
    return scope.add('Sub', [drawn(input), drawn(negative(input, scope))]);
  };

/** (x + √(x² + b)) / 2 */
export const squarePlusOf =
  (b: number): Activation =>
  (input, scope) => {
    const root = scope.add('Sqrt', [scope.withScalar('Add', scope.add('Mul', [input, input]), b)]);
    return scope.withScalar('Mul', scope.add('Add', [input, root]), 0.5);
  };

/** ((x + 1) / 2)² between -1 and 1, 0 below, x above. */
const sparsePlus: Activation = (input, scope) => {
  const between = scope.withScalar('Add', scope.add('Clip', [input], { attributes: { min: -1, max: 1 } }), 1);
  const parabola = scope.withScalar('Mul', scope.add('Mul', [between, between]), 0.25);
  return scope.add('Add', [parabola, scope.add('Relu', [scope.withScalar('Add', input, -1)])]);
};

const logSigmoid: Activation = (input, scope) => negative(scope.add('Softplus', [negative(input, scope)]), scope);

const tanhShrink: Activation = (input, scope) => scope.add('Sub', [input, scope.add('Tanh', [input])]);

function negative(input: Value, scope: Scope): Value {
  return scope.add('Neg', [input]);
}

/** Larger vectors than classifiers have. */
const MAX_SORTED = 2 ** 16;

/**
 * Keras's sparsemax: max(x - τ, 0), where τ is (Σ running sums - 1) / k over the k largest elements that count; the paper's τ has the
 * last of the running sums only, and is another one where k is more than 1.
 */
const sparsemaxOf =
  (kerasAxis: number): Activation =>
  (input, scope) => {
    const value = scope.builder.unflattened(input);
    const axis = mapAxis(value, kerasAxis);
    const size = value.shape[axis];
    if (typeof size !== 'number' || size > MAX_SORTED) throw scope.unsupported(`sorting axis ${kerasAxis} of a value of the shape [${value.shape}]`);
    const along = { attributes: { axes: [axis], keepdims: 1 } };
    const [sorted] = scope.addAll('TopK', [value], { attributes: { k: size, axis } }, 2) as [Value];
    const sums = scope.add('CumSum', [sorted], { attributes: { axis } });
    const places = float32Tensor(
      `${scope.name}/places`,
      value.shape.map((_, at) => (at === axis ? size : 1)),
      Array.from({ length: size }, (_, i) => i + 1),
      { file: scope.builder.file },
    );
    // x_r > (sum_r - 1) / r
    const counted = scope.add('Sub', [scope.add('Mul', [sorted], { weights: { operand: places } }), scope.withScalar('Add', sums, -1)]);
    const counts = scope.add('Clip', [scope.add('Sign', [counted])], { attributes: { min: 0, max: 1 } });
    const total = scope.add('ReduceSum', [scope.add('Mul', [sums, counts])], along);
    const threshold = scope.add('Div', [scope.withScalar('Add', total, -1), scope.add('ReduceSum', [counts], along)]);
    return scope.add('Relu', [scope.add('Sub', [value, threshold])]);
  };

/** Since Keras 3 a slope of 1/6, as other frameworks have it. */
const NEW_HARD_SIGMOID = { alpha: 1 / 6, beta: 0.5 };

/** Until Keras 3 a slope of 0.2 and a shift of 0.5. */
const OLD_HARD_SIGMOID = { alpha: 0.2, beta: 0.5 };

export const hardSigmoidOf = (dialect: Dialect): Activation => simple('HardSigmoid', isKeras3(dialect) ? NEW_HARD_SIGMOID : OLD_HARD_SIGMOID);

const hardSilu = gated(simple('HardSigmoid', NEW_HARD_SIGMOID));
const silu = gated(simple('Sigmoid'));

/** By name, with the settings that the function has by itself. */
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  linear: identity,
  relu: simple('Relu'),
  relu6: simple('Clip', { min: 0, max: 6 }),
  leaky_relu: leakyReluOf(0.2),
  elu: eluOf(1),
  celu: celuOf(1),
  selu: simple('Selu'),
  gelu: (input, scope) => {
    if (isBefore(scope.dialect, 2, 4)) scope.assume('Keras had no gelu then; it is taken for the exact one, not for the one by tanh');
    return gelu(input, scope);
  },
  // TensorFlow.js's word.
  gelu_new: geluTanh,
  glu: gluOf(-1),
  sigmoid: simple('Sigmoid'),
  hard_sigmoid: (input, scope) => hardSigmoidOf(scope.dialect)(input, scope),
  log_sigmoid: logSigmoid,
  sparse_sigmoid: simple('HardSigmoid', { alpha: 0.5, beta: 0.5 }),
  tanh: simple('Tanh'),
  hard_tanh: simple('Clip', { min: -1, max: 1 }),
  tanh_shrink: tanhShrink,
  hard_shrink: hardShrinkOf(0.5),
  soft_shrink: softShrinkOf(0.5),
  softplus: simple('Softplus'),
  softsign: simple('Softsign'),
  soft_sign: simple('Softsign'),
  squareplus: squarePlusOf(4),
  sparse_plus: sparsePlus,
  exponential: simple('Exp'),
  swish: silu,
  silu,
  hard_swish: hardSilu,
  hard_silu: hardSilu,
  mish: gated(simple('Softplus'), simple('Tanh')),
  softmax: (input, scope) => softmax(input, scope, -1, 'Softmax'),
  // What TensorFlow 2 calls its own.
  softmax_v2: (input, scope) => softmax(input, scope, -1, 'Softmax'),
  sparsemax: sparsemaxOf(-1),
  log_softmax: (input, scope) => softmax(input, scope, -1, 'LogSoftmax'),
  // TensorFlow Addons.
  'Addons>mish': gated(simple('Softplus'), simple('Tanh')),
  'Addons>lisht': gated(simple('Tanh')),
  'Addons>tanhshrink': tanhShrink,
  'Addons>hardshrink': hardShrinkOf(0.5),
  'Addons>softshrink': softShrinkOf(0.5),
};

export const ACTIVATION_NAMES: readonly string[] = Object.keys(ACTIVATIONS);

export function namedActivation(name: string): Activation | undefined {
  return Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined;
}

export function softmax(input: Value, scope: Scope, kerasAxis: number, op = 'Softmax'): Value {
  const value = scope.builder.unflattened(input);
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
