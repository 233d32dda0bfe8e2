/** BatchNormalization, LRN, Softmax and LogSoftmax. */
import { ModelError } from '../../errors.js';
import { elementCount } from '../tensor.js';
import { aroundAxis, newValue, type Value } from './array.js';
import { float, int, type Operator, operator } from './operator.js';
import { checkedAxis, movedAxes } from './rules.js';

/** y = scale (x - mean) / √(variance + epsilon) + bias, for each channel (axis 1). */
export const batchNormalization = operator({
  op: 'BatchNormalization',
  slots: ['x', 'scale', 'bias', 'mean', 'variance'],
  weights: ['scale', 'bias', 'mean', 'variance'],
  attributes: { epsilon: float(1e-5) },
  shape: ({ x }) => [x.shape],
  onnx: {
    since: 7,
    rest: { momentum: { type: 'float', value: 0.9, any: true }, training_mode: { type: 'int', value: 0, since: 14 } },
  },
  compute({ x, scale, bias, mean, variance }, { epsilon }) {
    const { outer, size: channels, inner } = aroundAxis(x.shape, 1);
    if (scale.data.length !== channels) throw new ModelError('engine', `${channels} channels flow in, but there are statistics for ${scale.data.length}`);
    const y = newValue(x.shape);
    for (let i = 0; i < outer * channels; i++) {
      const c = i % channels;
      const factor = scale.data[c]! / Math.sqrt(variance.data[c]! + epsilon);
      for (let at = i * inner; at < (i + 1) * inner; at++) y.data[at] = (x.data[at]! - mean.data[c]!) * factor + bias.data[c]!;
    }
    return [y];
  },
});

/**
 * Divides by the energy of neighbouring channels: from floor((size-1)/2) before to ceil((size-1)/2) after.
 *
 * @see https://onnx.ai/onnx/operators/onnx__LRN.html
 */
export const lrn = operator({
  op: 'LRN',
  slots: ['x'],
  attributes: { alpha: float(1e-4), beta: float(0.75), bias: float(1), size: int() },
  shape: ({ x }) => [x.shape],
  sign: ({ x }) => x,
  onnx: {},
  compute({ x }, { alpha, beta, bias, size }) {
    const [batch, channels] = x.shape as [number, number];
    const plane = elementCount(x.shape.slice(2));
    const before = Math.floor((size - 1) / 2);
    const after = Math.ceil((size - 1) / 2);
    const y = newValue(x.shape);
    for (let n = 0; n < batch; n++) {
      for (let p = 0; p < plane; p++) {
        const at = (c: number) => (n * channels + c) * plane + p;
        for (let c = 0; c < channels; c++) {
          let energy = 0;
          for (let i = Math.max(0, c - before); i <= Math.min(channels - 1, c + after); i++) energy += x.data[at(i)]! ** 2;
          y.data[at(c)] = x.data[at(c)]! / (bias + (alpha / size) * energy) ** beta;
        }
      }
    }
    return [y];
  },
});

/** Along one axis; before opset 13 ONNX took the axis and all behind it together. */
function alongOneAxis(op: string, change: (line: Float64Array) => Float64Array, isPositive: boolean): Operator {
  return operator({
    op,
    slots: ['x'],
    attributes: { axis: int(-1) },
    shape({ x }, { axis }) {
      checkedAxis(axis, x.shape.length);
      return [x.shape];
    },
    sign: () => isPositive,
    axes: ({ axis }, order) => ({ axis: movedAxes([axis], order)[0]! }),
    onnx: { since: 13 },
    compute: ({ x }, { axis }) => [alongAxis(x, axis, change)],
  });
}

export const softmax = alongOneAxis(
  'Softmax',
  (line) => {
    const largest = line.reduce((a, b) => Math.max(a, b));
    const powers = line.map((element) => Math.exp(element - largest));
    const total = powers.reduce((a, b) => a + b);
    return powers.map((power) => power / total);
  },
  true,
);

export const logSoftmax = alongOneAxis(
  'LogSoftmax',
  (line) => {
    const largest = line.reduce((a, b) => Math.max(a, b));
    const total = Math.log(line.reduce((sum, element) => sum + Math.exp(element - largest), 0));
    return line.map((element) => element - largest - total);
  },
  false,
);

/** Applies a function to every line of elements along one axis. */
function alongAxis(x: Value, axis: number, change: (line: Float64Array) => Float64Array): Value {
  const { outer, size, inner } = aroundAxis(x.shape, axis);
  const y = newValue(x.shape);
  const line = new Float64Array(size);
  for (let o = 0; o < outer; o++) {
    for (let n = 0; n < inner; n++) {
      const start = o * size * inner + n;
      for (let i = 0; i < size; i++) line[i] = x.data[start + i * inner]!;
      const changed = change(line);
      for (let i = 0; i < size; i++) y.data[start + i * inner] = changed[i]!;
    }
  }
  return y;
}
