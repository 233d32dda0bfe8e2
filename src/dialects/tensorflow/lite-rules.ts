/** Nodes that TensorFlow Lite has and TensorFlow has not, or has otherwise; their names are made in `lite.ts`. */
import type { Value } from '../../model/builder.js';
import { GATES, type RecurrentKind, runSteps } from '../recurrent.js';
import type { TfOperation } from './node.js';
import type { TfRule } from './rule.js';
import { depthwiseOf } from './windows.js';

/** (code - zero) scale, exact in float32 for codes of 16 bits. */
const dequantise: TfRule = (operation) => {
  const [scale, zero] = [operation.number('scale', 1), operation.number('zero', 0)];
  const numbers = operation.before('Cast', [operation.input(0)], { to: 'float32' });
  const shifted = zero === 0 ? numbers : operation.before('Sub', [numbers, operation.build.numbers('float32', zero)]);
  return operation.add('Mul', [shifted, operation.build.numbers('float32', scale)]);
};

/** What flows, rounded to the nearest of the numbers that its codes stand for. */
function rounded(operation: TfOperation, asCodes: boolean): Value {
  const [scale, zero, low, high] = ['scale', 'zero', 'low', 'high'].map((name) => operation.number(name, 0)) as [number, number, number, number];
  const codes = operation.dtype('codes') ?? 'int8';
  const float = (value: number) => operation.build.numbers('float32', value);
  const steps = operation.before('Round', [operation.before('Div', [operation.input(0), float(scale)])]);
  const held = operation.before('Clip', [steps], { min: low - zero, max: high - zero });
  if (!asCodes) return operation.add('Mul', [held, float(scale)]);
  return operation.add('Cast', [operation.before('Add', [held, float(zero)])], { to: codes });
}

/** Keeps the step of a range of nothing but zeros above zero. */
const LEAST_SPAN = 1e-30;

/**
 * What flows, rounded to 256 steps between its own least and largest value, zero among them: to code 0 the nearest that has it. No value is
 * beyond the outermost codes, since the least is one of them after rounding and the largest lies 255 steps above it.
 *
 * @see https://github.com/google/XNNPACK/blob/master/src/microparams-init.c, xnn_f32_qd8_asymmetric_quantization_params
 */
const roundToOwnRange: TfRule = (operation) => {
  const x = operation.input(0);
  const axes = operation.numbers('axes');
  const least = operation.before('Clip', [operation.before('ReduceMin', [x], { axes, keepdims: 1 })], { max: 0 });
  const largest = operation.before('Clip', [operation.before('ReduceMax', [x], { axes, keepdims: 1 })], { min: 0 });
  const span = operation.before('Clip', [operation.before('Sub', [largest, least])], { min: LEAST_SPAN });
  const step = operation.before('Div', [span, operation.scalar(255, x)]);
  return operation.add('Mul', [operation.before('Round', [operation.before('Div', [x, step])]), step]);
};

/**
 * One direction over a sequence [batch, steps, inputs], or [steps, batch, inputs] where time_major says so, from states of zeros.
 *
 * @param kind of the step; its gates are stacked as 'ifgo'
 */
function recurrent(operation: TfOperation, kind: RecurrentKind, peepholes: Value | null): Value {
  const isTimeMajor = operation.flag('time_major');
  const [sequence, input, hidden, bias] = [0, 1, 2, 3].map((i) => operation.input(i)) as [Value, Value, Value, Value];
  const swap = { perm: [1, 0, 2] };
  const x = isTimeMajor ? sequence : operation.before('Transpose', [sequence], swap);
  const units = operation.sizes(hidden)[1];
  if (typeof units !== 'number') throw operation.decline('how many units it has is not known');
  const batch = operation.before('Slice', [operation.before('Shape', [x])], { starts: [1], ends: [2], axes: [0] });
  const shape = operation.before('Concat', [operation.integers([1]), batch, operation.integers([units])], { axis: 0 });
  const zeros = operation.before('Expand', [operation.scalar(0, x), shape]);
  const manner = { manner: { peepholes } };
  const direction = { input, recurrent: hidden, inputBias: bias, recurrentBias: null, hidden: zeros, cell: zeros, backwards: false, ...manner };
  const run = runSteps(operation.build, kind, kind === 'lstm' ? GATES.lstm.torch : 'h', x, direction, operation.name);
  return isTimeMajor ? operation.add('Identity', [run.sequence]) : operation.add('Transpose', [run.sequence], swap);
}

export const liteRules: Readonly<Record<string, TfRule>> = {
  LiteDepthwise: (operation) => {
    const kernel = operation.constant(1, 'kernel');
    const [, height, width, out] = kernel.shape as [number, number, number, number];
    const channels = operation.input(0).shape?.at(-1);
    if (typeof channels !== 'number' || out % channels !== 0) throw operation.decline(`its kernel [${kernel.shape}] does not fit ${channels} channels`);
    return depthwiseOf(operation, operation.turned(kernel, [3, 0, 1, 2], [out, 1, height, width]), channels);
  },
  ReluN1To1: (operation) => operation.add('Clip', [operation.input(0)], { min: -1, max: 1 }),
  Relu0To1: (operation) => operation.add('Clip', [operation.input(0)], { min: 0, max: 1 }),
  HardSwish: (operation) => {
    const x = operation.input(0);
    return operation.add('Mul', [x, operation.before('HardSigmoid', [x], { alpha: 1 / 6, beta: 0.5 })]);
  },
  Gelu: (operation) => {
    const x = operation.input(0);
    const like = (value: number) => operation.scalar(value, x);
    if (operation.flag('approximate')) {
      const cube = operation.before('Mul', [operation.before('Mul', [x, x]), x]);
      const inner = operation.before('Add', [x, operation.before('Mul', [cube, like(0.044715)])]);
      const bent = operation.before('Tanh', [operation.before('Mul', [inner, like(Math.sqrt(2 / Math.PI))])]);
      return operation.add('Mul', [operation.before('Mul', [x, like(0.5)]), operation.before('Add', [bent, like(1)])]);
    }
    const bent = operation.before('Erf', [operation.before('Mul', [x, like(Math.SQRT1_2)])]);
    return operation.add('Mul', [operation.before('Mul', [x, like(0.5)]), operation.before('Add', [bent, like(1)])]);
  },
  /** x / max(√Σx², 1e-6) along the last axis, as kernels/l2norm.cc has it. */
  L2Normalise: (operation) => {
    const x = operation.input(0);
    const sum = operation.before('ReduceSum', [operation.before('Mul', [x, x])], { axes: [operation.rank(x) - 1], keepdims: 1 });
    const norm = operation.before('Max', [operation.before('Sqrt', [sum]), operation.scalar(1e-6, x)]);
    return operation.add('Div', [x, norm]);
  },
  LiteLstm: (operation) => recurrent(operation, 'lstm', operation.inputs[4] ?? null),
  LiteRnn: (operation) => recurrent(operation, operation.text('activation') === 'relu' ? 'relu' : 'tanh', null),
  RoundToOwnRange: roundToOwnRange,
  DequantizeCodes: dequantise,
  RoundToCodes: (operation) => rounded(operation, false),
  RoundToCodesAsCodes: (operation) => rounded(operation, true),
};
