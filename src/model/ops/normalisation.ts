/** BatchNormalization, LRN, Softmax and LogSoftmax. */
import { ModelError } from '../../errors.js';
import { elementCount } from '../tensor.js';
import { aroundAxis, broadcastValue, newValue, transposeValue, type Value } from './array.js';
import { float, int, ints, type Operator, operator } from './operator.js';
import { checkChannelwise, checkedAxes, checkedAxis, movedAxes } from './rules.js';

/** y = scale (x - mean) / √(variance + epsilon) + bias, for each channel (axis 1). */
export const batchNormalization = operator({
  op: 'BatchNormalization',
  slots: ['x', 'scale', 'bias', 'mean', 'variance'],
  weights: ['scale', 'bias', 'mean', 'variance'],
  attributes: { epsilon: float(1e-5) },
  shape({ x, scale, bias, mean, variance }) {
    checkChannelwise('BatchNormalization', x.shape[1]!, { scale, bias, mean, variance });
    return [x.shape];
  },
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

export const hardmax = alongOneAxis(
  'Hardmax',
  (line) => {
    const best = line.indexOf(line.reduce((a, b) => Math.max(a, b)));
    return line.map((_, i) => (i === best ? 1 : 0));
  },
  true,
);

/** Rows of elements that are normalised together: (x - mean) / √(variance + epsilon). */
function standardised(x: Value, rows: number, epsilon: number): Value {
  const y = newValue(x.shape);
  const size = rows === 0 ? 0 : x.data.length / rows;
  for (let row = 0; row < rows; row++) {
    const line = x.data.subarray(row * size, (row + 1) * size);
    const mean = line.reduce((a, b) => a + b, 0) / size;
    const variance = line.reduce((sum, element) => sum + (element - mean) ** 2, 0) / size;
    line.forEach((element, i) => {
      y.data[row * size + i] = (element - mean) / Math.sqrt(variance + epsilon);
    });
  }
  return y;
}

export const instanceNormalization = operator({
  op: 'InstanceNormalization',
  slots: ['x', 'scale', 'bias'],
  weights: ['scale', 'bias'],
  attributes: { epsilon: float(1e-5) },
  shape({ x, scale, bias }) {
    checkChannelwise('InstanceNormalization', x.shape[1]!, { scale, bias });
    return [x.shape];
  },
  onnx: {},
  compute({ x, scale, bias }, { epsilon }) {
    const [batch, channels] = x.shape as [number, number];
    const y = standardised(x, batch * channels, epsilon);
    const inner = elementCount(x.shape.slice(2));
    const data = y.data.map((element, i) => element * scale.data[Math.floor(i / inner) % channels]! + bias.data[Math.floor(i / inner) % channels]!);
    return [{ shape: x.shape, data }];
  },
});

/** Over the axes from `axis` on. */
export const layerNormalization = operator({
  op: 'LayerNormalization',
  slots: ['x', 'scale', 'bias?'],
  weights: ['scale', 'bias'],
  attributes: { axis: int(-1), epsilon: float(1e-5) },
  outputs: 3,
  shape({ x }, { axis }) {
    const at = checkedAxis(axis, x.shape.length);
    const folded = x.shape.map((size, i) => (i < at ? size : 1));
    return [x.shape, folded, folded];
  },
  dtype: ({ x }) => [x.dtype, 'float32', 'float32'],
  onnx: { since: 17, rest: { stash_type: { type: 'int', value: 1 } } },
  compute({ x, scale, bias }, { axis, epsilon }) {
    const at = checkedAxis(axis, x.shape.length);
    const rows = elementCount(x.shape.slice(0, at));
    const size = x.data.length / rows;
    const y = standardised(x, rows, epsilon);
    const factors = broadcastValue(scale, x.shape).data;
    const offsets = bias && broadcastValue(bias, x.shape).data;
    const folded = x.shape.map((one, i) => (i < at ? one : 1));
    const means = newValue(folded);
    const deviations = newValue(folded);
    for (let row = 0; row < rows; row++) {
      const line = x.data.subarray(row * size, (row + 1) * size);
      means.data[row] = line.reduce((a, b) => a + b, 0) / size;
      deviations.data[row] = 1 / Math.sqrt(line.reduce((sum, element) => sum + (element - means.data[row]!) ** 2, 0) / size + epsilon);
    }
    return [{ shape: x.shape, data: y.data.map((element, i) => element * factors[i]! + (offsets?.[i] ?? 0)) }, means, deviations];
  },
});

export const rmsNormalization = operator({
  op: 'RMSNormalization',
  slots: ['x', 'scale'],
  weights: ['scale'],
  attributes: { axis: int(-1), epsilon: float(1e-5) },
  shape: ({ x }) => [x.shape],
  onnx: { since: 23, rest: { stash_type: { type: 'int', value: 1 } } },
  compute({ x, scale }, { axis, epsilon }) {
    const rows = elementCount(x.shape.slice(0, checkedAxis(axis, x.shape.length)));
    const size = x.data.length / rows;
    const factors = broadcastValue(scale, x.shape).data;
    const roots = Array.from({ length: rows }, (_, row) => {
      const line = x.data.subarray(row * size, (row + 1) * size);
      return Math.sqrt(line.reduce((sum, element) => sum + element * element, 0) / size + epsilon);
    });
    return [{ shape: x.shape, data: x.data.map((element, i) => (element / roots[Math.floor(i / size)]!) * factors[i]!) }];
  },
});

/** scale and bias for each channel; opset 18 had them for each group. */
export const groupNormalization = operator({
  op: 'GroupNormalization',
  slots: ['x', 'scale', 'bias'],
  weights: ['scale', 'bias'],
  attributes: { epsilon: float(1e-5), num_groups: int() },
  shape({ x, scale, bias }) {
    checkChannelwise('GroupNormalization', x.shape[1]!, { scale, bias });
    return [x.shape];
  },
  onnx: { since: 21, rest: { stash_type: { type: 'int', value: 1 } } },
  compute({ x, scale, bias }, { epsilon, num_groups }) {
    const [batch, channels] = x.shape as [number, number];
    const y = standardised(x, batch * num_groups, epsilon);
    const inner = elementCount(x.shape.slice(2));
    const data = y.data.map((element, i) => element * scale.data[Math.floor(i / inner) % channels]! + bias.data[Math.floor(i / inner) % channels]!);
    return [{ shape: x.shape, data }];
  },
});

export const lpNormalization = operator({
  op: 'LpNormalization',
  slots: ['x'],
  attributes: { axis: int(-1), p: int(2) },
  shape: ({ x }) => [x.shape],
  axes: ({ axis }, order) => ({ axis: movedAxes([axis], order)[0]! }),
  sign: ({ x }) => x,
  onnx: {},
  compute: ({ x }, { axis, p }) => [
    alongAxis(x, axis, (line) => {
      const norm = p === 1 ? line.reduce((sum, element) => sum + Math.abs(element), 0) : Math.sqrt(line.reduce((sum, element) => sum + element * element, 0));
      // A line of zeros stays one.
      return line.map((element) => (norm === 0 ? 0 : element / norm));
    }),
  ],
});

export const meanVarianceNormalization = operator({
  op: 'MeanVarianceNormalization',
  slots: ['x'],
  attributes: { axes: ints([0, 2, 3]) },
  shape: ({ x }) => [x.shape],
  onnx: { since: 9 },
  compute({ x }, { axes }) {
    const folded = checkedAxes(axes, x.shape.length);
    const rest = [...x.shape.keys()].filter((axis) => !folded.includes(axis));
    const order = [...rest, ...folded];
    const y = standardised(transposeValue(x, order), elementCount(rest.map((axis) => x.shape[axis]!)), 1e-9 ** 2);
    return [
      transposeValue(
        y,
        order.map((_, axis) => order.indexOf(axis)),
      ),
    ];
  },
});

/** Applies a function to every line of elements along one axis. */
function alongAxis(x: Value, axis: number, change: (line: Float64Array) => Float64Array): Value {
  const { outer, size, inner } = aroundAxis(x.shape, axis);
  const y = newValue(x.shape);
  if (y.data.length === 0) return y;
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
