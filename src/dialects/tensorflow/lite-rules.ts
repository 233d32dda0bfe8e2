/** Nodes that TensorFlow Lite has and TensorFlow has not, or has otherwise; their names are made in `lite.ts`. */
import type { Value } from '../../model/builder.js';
import { GATES, type RecurrentKind, runSteps } from '../recurrent.js';
import type { TfOperation } from './node.js';
import { integerBilinear } from './pictures.js';
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
  const places = operation.before('Div', [operation.input(0), float(scale)]);
  const steps = operation.flag('away') ? roundedAway(operation, places, zero) : operation.before('Round', [places]);
  const held = operation.before('Clip', [steps], { min: low - zero, max: high - zero });
  if (!asCodes) return operation.add('Mul', [held, float(scale)]);
  return operation.add('Cast', [operation.before('Add', [held, float(zero)])], { to: codes });
}

/** Steps from the zero point whose codes are rounded, halves away from zero. */
function roundedAway(operation: TfOperation, places: Value, zero: number): Value {
  const float = (value: number) => operation.build.numbers('float32', value);
  const codes = operation.before('Add', [places, float(zero)]);
  const size = operation.before('Floor', [operation.before('Add', [operation.before('Abs', [codes]), float(0.5 + NEARLY)])]);
  return operation.before('Sub', [operation.before('Mul', [operation.before('Sign', [codes]), size]), float(zero)]);
}

/** Halves that were worked out in float32 may lie a little below; the parts of a window's mean are further apart. */
const NEARLY = 1e-4;

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

/**
 * Boxes, classes, scores and the number of what a detector found, with zeros behind them: the best class of each anchor, the best of boxes that overlap.
 *
 * inputs: [1, anchors, 4] of y, x, height, width; scores [1, anchors, classes]; anchors [anchors, 4] of centres and sizes.
 *
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/kernels/detection_postprocess.cc
 */
const detections: TfRule = (operation) => {
  const setting = (name: string) => operation.number(name, 0);
  const [codes, scores, anchors] = [0, 1, 2].map((i) => operation.input(i)) as [Value, Value, Value];
  const step = (op: string, inputs: readonly Value[], attributes = {}) => operation.before(op, inputs, attributes);
  const float = (values: number | readonly number[]) => operation.build.numbers('float32', values);
  const part = (value: Value, from: number, to: number, axis: number) => step('Slice', [value], { starts: [from], ends: [to], axes: [axis] });
  const classes = operation.sizes(scores)[2];
  const most = setting('max_detections');
  operation.checkCount(most);
  if (typeof classes !== 'number') throw operation.decline('how many classes there are is not known');
  const rows = step('Reshape', [codes], { shape: [-1, Number(operation.sizes(codes)[2] ?? 4)] });
  const [places, sizes] = [part(anchors, 0, 2, 1), part(anchors, 2, 4, 1)];
  const moved = step('Mul', [step('Div', [part(rows, 0, 2, 1), float([setting('y_scale'), setting('x_scale')])]), sizes]);
  const centres = step('Add', [moved, places]);
  const grown = step('Exp', [step('Div', [part(rows, 2, 4, 1), float([setting('h_scale'), setting('w_scale')])])]);
  const half = step('Mul', [step('Mul', [grown, sizes]), float(0.5)]);
  const boxes = step('Concat', [step('Sub', [centres, half]), step('Add', [centres, half])], { axis: 1 });
  // What comes before the classes is the background.
  const own = part(step('Squeeze', [scores], { axes: [0] }), classes - setting('num_classes'), classes, 1);
  const best = step('ReduceMax', [own], { axes: [1], keepdims: 0 });
  const which = step('Cast', [step('ArgMax', [own], { axis: 1, keepdims: 0 })], { to: 'float32' });
  const chosen = step('NonMaxSuppression', [
    step('Unsqueeze', [boxes], { axes: [0] }),
    step('Unsqueeze', [best], { axes: [0, 1] }),
    operation.integers([most]),
    float([setting('nms_iou_threshold')]),
    float([setting('nms_score_threshold')]),
  ]);
  const at = step('Squeeze', [part(chosen, 2, 3, 1)], { axes: [1] });
  const filled = (value: Value, shape: readonly number[], name: string) => {
    const zeros = operation.build.numbers('float32', new Array<number>(shape.reduce((a, b) => a * b, 1)).fill(0), shape);
    const longer = part(step('Concat', [step('Gather', [value, at], { axis: 0 }), zeros], { axis: 0 }), 0, most, 0);
    return operation.add('Unsqueeze', [longer], { axes: [0] }, name);
  };
  const count = operation.add('Cast', [step('Shape', [at])], { to: 'float32' }, `${operation.name}/count`);
  return [
    filled(boxes, [most, 4], `${operation.name}/boxes`),
    filled(which, [most], `${operation.name}/classes`),
    filled(best, [most], `${operation.name}/scores`),
    count,
  ];
};

/**
 * A value with a part of it replaced, which begins where it is told, or as near to it as the part fits.
 *
 * inputs: the value, the part, where it begins along each axis.
 */
const updated: TfRule = (operation) => {
  const [x, part] = [operation.input(0), operation.input(1)];
  const begins = operation.known(2, 'place');
  const [sizes, extents] = [operation.sizes(x), operation.sizes(part)];
  const slice = (value: Value, axis: number, from: number, to: number) => operation.before('Slice', [value], { starts: [from], ends: [to], axes: [axis] });
  const put = (value: Value, axis: number): Value => {
    if (axis === sizes.length) return part;
    const [size, extent] = [sizes[axis], extents[axis]];
    if (size === extent) return put(value, axis + 1);
    if (typeof size !== 'number' || typeof extent !== 'number') throw operation.decline(`the sizes of axis ${axis} are not known`);
    const from = Math.min(Math.max(begins[axis]!, 0), size - extent);
    const pieces = [
      ...(from > 0 ? [slice(value, axis, 0, from)] : []),
      put(slice(value, axis, from, from + extent), axis + 1),
      ...(from + extent < size ? [slice(value, axis, from + extent, size)] : []),
    ];
    return operation.before('Concat', pieces, { axis });
  };
  return operation.add('Identity', [put(x, 0)]);
};

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
  LiteResizeBilinear: integerBilinear,
  LiteUpdate: updated,
  LiteDetections: detections,
  RoundToOwnRange: roundToOwnRange,
  DequantizeCodes: dequantise,
  RoundToCodes: (operation) => rounded(operation, false),
  RoundToCodesAsCodes: (operation) => rounded(operation, true),
};
