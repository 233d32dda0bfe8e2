/** Operators that only move elements: Flatten, Reshape, Transpose, Concat, Pad, Slice, and Resize, which also blends them. */
import { ModelError } from '../../errors.js';
import type { Layer } from '../layer-map.js';
import { elementCount } from '../tensor.js';
import { aroundAxis, frontAxis, newValue, pickElements, transposeValue, type Value } from './array.js';
import { number, numbers, type Operator, word } from './operator.js';

export const flatten: Operator = async (layer, [x]) => {
  const axis = frontAxis(number(layer, 'axis'), x!.shape.length);
  return { shape: [elementCount(x!.shape.slice(0, axis)), elementCount(x!.shape.slice(axis))], data: x!.data };
};

export const reshape: Operator = async (layer, [x]) => {
  const wanted = numbers(layer, 'shape').map((size, axis) => (size === 0 ? x!.shape[axis]! : size));
  const known = elementCount(wanted.filter((size) => size >= 0));
  const shape = wanted.map((size) => (size === -1 ? x!.data.length / known : size));
  if (elementCount(shape) !== x!.data.length) throw new ModelError('engine', `the shape [${x!.shape}] cannot become [${numbers(layer, 'shape')}]`);
  return { shape, data: x!.data };
};

export const transpose: Operator = async (layer, [x]) => transposeValue(x!, numbers(layer, 'perm'));

export const concat: Operator = async (layer, inputs) => {
  const [first] = inputs;
  const axis = frontAxis(number(layer, 'axis'), first!.shape.length);
  const agree = inputs.every(({ shape }) => shape.length === first!.shape.length && shape.every((size, i) => i === axis || size === first!.shape[i]));
  if (!agree) throw new ModelError('engine', `the shapes ${inputs.map(({ shape }) => `[${shape}]`).join(', ')} cannot be joined along axis ${axis}`);
  const y = newValue(
    first!.shape.with(
      axis,
      inputs.reduce((sum, { shape }) => sum + shape[axis]!, 0),
    ),
  );
  const { outer } = aroundAxis(y.shape, axis);
  let position = 0;
  for (let o = 0; o < outer; o++) {
    for (const { data } of inputs) {
      const run = data.length / outer;
      y.data.set(data.subarray(o * run, (o + 1) * run), position);
      position += run;
    }
  }
  return y;
};

/** Negative pads cut off. 'reflect' mirrors about the edge element, which is not repeated. */
export const pad: Operator = async (layer, [x]) => {
  const mode = word(layer, 'mode', ['constant', 'reflect', 'edge']);
  const pads = numbers(layer, 'pads');
  const places = x!.shape.map((size, axis) => {
    const begin = pads[axis]!;
    const length = Math.max(0, size + begin + pads[axis + x!.shape.length]!);
    return Array.from({ length }, (_, i) => {
      const at = i - begin;
      if (at >= 0 && at < size) return at;
      if (mode === 'constant') return -1;
      if (mode === 'edge') return Math.max(0, Math.min(size - 1, at));
      const period = 2 * (size - 1);
      const wrapped = period === 0 ? 0 : ((at % period) + period) % period;
      return Math.min(wrapped, period - wrapped);
    });
  });
  return pickElements(x!, places, number(layer, 'value'));
};

export const slice: Operator = async (layer, [x]) => {
  const [starts, ends, axes] = ['starts', 'ends', 'axes'].map((name) => numbers(layer, name)) as [readonly number[], readonly number[], readonly number[]];
  const sliced = axes.map((axis) => frontAxis(axis, x!.shape.length));
  const places = x!.shape.map((size, axis) => {
    const i = sliced.indexOf(axis);
    const clamp = (at: number) => Math.max(0, Math.min(size, at < 0 ? at + size : at));
    const start = i < 0 ? 0 : clamp(starts[i]!);
    const end = i < 0 ? size : clamp(ends[i]!);
    return Array.from({ length: Math.max(0, end - start) }, (_, k) => start + k);
  });
  return pickElements(x!, places);
};

/** One axis after another, which nearest and (multi)linear interpolation allow. */
export const resize: Operator = async (layer, [x]) => {
  const scales = numbers(layer, 'scales');
  return scales.reduce((y, scale, axis) => (scale === 1 ? y : resizeAxis(layer, y, axis, scale)), x!);
};

/** @see https://onnx.ai/onnx/operators/onnx__Resize.html, where the coordinate formulas stand */
function resizeAxis(layer: Layer, x: Value, axis: number, scale: number): Value {
  const mode = word(layer, 'mode', ['nearest', 'linear']);
  const { outer, size, inner } = aroundAxis(x.shape, axis);
  const outSize = Math.floor(size * scale);
  const y = newValue(x.shape.with(axis, outSize));
  const round = mode === 'nearest' ? nearestRule(layer) : Math.floor;
  const clamp = (at: number) => Math.max(0, Math.min(size - 1, at));
  for (let i = 0; i < outSize; i++) {
    const at = sourceCoordinate(layer, i, scale, size, outSize);
    const lower = round(at);
    const share = mode === 'nearest' ? 0 : at - lower;
    for (let o = 0; o < outer; o++) {
      const low = (o * size + clamp(lower)) * inner;
      const high = (o * size + clamp(lower + 1)) * inner;
      const target = (o * outSize + i) * inner;
      for (let n = 0; n < inner; n++) y.data[target + n] = (1 - share) * x.data[low + n]! + share * x.data[high + n]!;
    }
  }
  return y;
}

function sourceCoordinate(layer: Layer, i: number, scale: number, size: number, outSize: number): number {
  switch (word(layer, 'coordinate_transformation_mode', ['asymmetric', 'half_pixel', 'pytorch_half_pixel', 'align_corners'])) {
    case 'asymmetric':
      return i / scale;
    case 'half_pixel':
      return (i + 0.5) / scale - 0.5;
    case 'pytorch_half_pixel':
      return outSize > 1 ? (i + 0.5) / scale - 0.5 : 0;
    case 'align_corners':
      return outSize > 1 ? (i * (size - 1)) / (outSize - 1) : 0;
  }
}

function nearestRule(layer: Layer): (at: number) => number {
  switch (word(layer, 'nearest_mode', ['floor', 'ceil', 'round_prefer_floor', 'round_prefer_ceil'])) {
    case 'floor':
      return Math.floor;
    case 'ceil':
      return Math.ceil;
    case 'round_prefer_floor':
      return (at) => Math.ceil(at - 0.5);
    case 'round_prefer_ceil':
      return (at) => Math.floor(at + 0.5);
  }
}
