/** BatchNormalization, LRN, Softmax and LogSoftmax. */
import { ModelError } from '../../errors.js';
import { elementCount } from '../tensor.js';
import { aroundAxis, newValue, type Value } from './array.js';
import { readWeight } from './operands.js';
import { number, type Operator } from './operator.js';

/** y = scale (x - mean) / √(variance + epsilon) + bias, for each channel (axis 1). */
export const batchNormalization: Operator = async (layer, [x]) => {
  const { outer, size: channels, inner } = aroundAxis(x!.shape, 1);
  const [scale, bias, mean, variance] = await Promise.all(['scale', 'bias', 'mean', 'variance'].map(async (role) => (await readWeight(layer, role)).data));
  if (scale!.length !== channels) throw new ModelError('engine', `${channels} channels flow in, but there are statistics for ${scale!.length}`);
  const epsilon = number(layer, 'epsilon');
  const y = newValue(x!.shape);
  for (let i = 0; i < outer * channels; i++) {
    const c = i % channels;
    const factor = scale![c]! / Math.sqrt(variance![c]! + epsilon);
    for (let at = i * inner; at < (i + 1) * inner; at++) y.data[at] = (x!.data[at]! - mean![c]!) * factor + bias![c]!;
  }
  return y;
};

/**
 * Divides by the energy of neighbouring channels: from floor((size-1)/2) before to ceil((size-1)/2) after.
 *
 * @see https://onnx.ai/onnx/operators/onnx__LRN.html
 */
export const lrn: Operator = async (layer, [x]) => {
  const [batch, channels] = x!.shape as [number, number];
  const plane = elementCount(x!.shape.slice(2));
  const [alpha, beta, bias, size] = ['alpha', 'beta', 'bias', 'size'].map((name) => number(layer, name)) as [number, number, number, number];
  const before = Math.floor((size - 1) / 2);
  const after = Math.ceil((size - 1) / 2);
  const y = newValue(x!.shape);
  for (let n = 0; n < batch; n++) {
    for (let p = 0; p < plane; p++) {
      const at = (c: number) => (n * channels + c) * plane + p;
      for (let c = 0; c < channels; c++) {
        let energy = 0;
        for (let i = Math.max(0, c - before); i <= Math.min(channels - 1, c + after); i++) energy += x!.data[at(i)]! ** 2;
        y.data[at(c)] = x!.data[at(c)]! / (bias + (alpha / size) * energy) ** beta;
      }
    }
  }
  return y;
};

export const softmax: Operator = async (layer, [x]) =>
  alongAxis(x!, number(layer, 'axis'), (line) => {
    const largest = line.reduce((a, b) => Math.max(a, b));
    const powers = line.map((element) => Math.exp(element - largest));
    const total = powers.reduce((a, b) => a + b);
    return powers.map((power) => power / total);
  });

export const logSoftmax: Operator = async (layer, [x]) =>
  alongAxis(x!, number(layer, 'axis'), (line) => {
    const largest = line.reduce((a, b) => Math.max(a, b));
    const total = Math.log(line.reduce((sum, element) => sum + Math.exp(element - largest), 0));
    return line.map((element) => element - largest - total);
  });

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
