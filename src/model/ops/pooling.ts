/** MaxPool, AveragePool and the global poolings. */
import type { Dim } from '../layer-map.js';
import { elementCount } from '../tensor.js';
import { newValue, type Value } from './array.js';
import { int, ints, type OperatorDefinition, operator, type Shaped } from './operator.js';
import { completeWindow, inputPositions, spatialShape, WINDOW, type Window, windowedShape, windowOver } from './window.js';

/** The largest element of each window; padding never wins. A NaN in the window is the result, as in ONNX Runtime. */
export const maxPool = operator({
  op: 'MaxPool',
  slots: ['x'],
  attributes: { ...WINDOW, dilations: ints(), ceil_mode: int(0) },
  complete: completeWindow,
  shape: ({ x }, attributes) => [windowedShape(x.shape, x.shape[1]!, attributes)],
  sign: ({ x }) => x,
  onnx: { newer: { dilations: 10, ceil_mode: 10 }, rest: { storage_order: { type: 'int', value: 0, since: 8 } } },
  compute({ x }, attributes) {
    const pool = (plane: Float64Array, elements: Int32Array, count: number) => {
      let largest = Number.NEGATIVE_INFINITY;
      for (let i = 0; i < count; i++) largest = Math.max(largest, plane[elements[i]!]!);
      return largest;
    };
    return [poolWindows(x, windowOver(attributes, x.shape), pool)];
  },
});

/**
 * The mean of each window. With count_include_pad the divisor counts padding, but not what `ceil_mode` lets a window reach
 * beyond the padding.
 *
 * @see https://onnx.ai/onnx/operators/onnx__AveragePool.html
 */
export const averagePool = operator({
  op: 'AveragePool',
  slots: ['x'],
  attributes: { ...WINDOW, ceil_mode: int(0), count_include_pad: int(0) },
  complete: completeWindow,
  shape: ({ x }, attributes) => [windowedShape(x.shape, x.shape[1]!, attributes)],
  sign: ({ x }) => x,
  onnx: {
    newer: { ceil_mode: 10, count_include_pad: 7 },
    rest: { dilations: { type: 'ints', value: ({ attributes }) => (attributes.kernel_shape as readonly number[]).map(() => 1), since: 19 } },
  },
  compute({ x }, attributes) {
    const includePad = attributes.count_include_pad !== 0;
    const pool = (plane: Float64Array, elements: Int32Array, count: number, padded: number) => {
      let sum = 0;
      for (let i = 0; i < count; i++) sum += plane[elements[i]!]!;
      return sum / (includePad ? padded : count);
    };
    return [poolWindows(x, windowOver(attributes, x.shape), pool)];
  },
});

const globalPool: Pick<OperatorDefinition<Record<never, never>, readonly ['x']>, 'slots' | 'attributes' | 'shape' | 'sign' | 'onnx'> = {
  slots: ['x'],
  attributes: {},
  shape: ({ x }: { x: Shaped }): readonly (readonly Dim[])[] => [[x.shape[0]!, x.shape[1]!, ...x.shape.slice(2).map(() => 1)]],
  sign: ({ x }) => x,
  onnx: {},
};

export const globalMaxPool = operator({
  ...globalPool,
  op: 'GlobalMaxPool',
  compute: ({ x }) => [overPlanes(x, (plane) => plane.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY))],
});

export const globalAveragePool = operator({
  ...globalPool,
  op: 'GlobalAveragePool',
  compute: ({ x }) => [overPlanes(x, (plane) => plane.reduce((a, b) => a + b, 0) / plane.length)],
});

function overPlanes(x: Value, pool: (plane: Float64Array) => number): Value {
  const y = newValue([...x.shape.slice(0, 2), ...x.shape.slice(2).map(() => 1)]);
  const size = elementCount(x.shape.slice(2));
  for (let i = 0; i < y.data.length; i++) y.data[i] = pool(x.data.subarray(i * size, (i + 1) * size));
  return y;
}

/**
 * @param pool gets a channel's plane, the places in it that lie in the window (the first `count` of `elements`), and how many
 *   places of the window lie in the plane or its padding
 */
function poolWindows(x: Value, window: Window, pool: (plane: Float64Array, elements: Int32Array, count: number, padded: number) => number): Value {
  const [d, h, w] = window;
  const y = newValue([...x.shape.slice(0, 2), ...spatialShape(window, x.shape.length)]);
  const inSize = d.inSize * h.inSize * w.inSize;
  const outSize = d.outSize * h.outSize * w.outSize;
  const places = window.map((axis) => inputPositions(axis)) as [Int32Array, Int32Array, Int32Array];
  const elements = new Int32Array(d.kernel * h.kernel * w.kernel);
  for (let p = 0; p < outSize; p++) {
    const index = [Math.floor(p / (w.outSize * h.outSize)), Math.floor(p / w.outSize) % h.outSize, p % w.outSize] as const;
    let count = 0;
    for (let kd = 0; kd < d.kernel; kd++) {
      const z = places[0][index[0] * d.kernel + kd]!;
      for (let kh = 0; kh < h.kernel; kh++) {
        const row = places[1][index[1] * h.kernel + kh]!;
        for (let kw = 0; kw < w.kernel; kw++) {
          const col = places[2][index[2] * w.kernel + kw]!;
          if (z >= 0 && row >= 0 && col >= 0) elements[count++] = (z * h.inSize + row) * w.inSize + col;
        }
      }
    }
    const padded = window.reduce((product, axis, i) => product * reachable(axis, index[i]!), 1);
    for (let plane = 0; plane * outSize < y.data.length; plane++) {
      y.data[plane * outSize + p] = pool(x.data.subarray(plane * inSize, (plane + 1) * inSize), elements, count, padded);
    }
  }
  return y;
}

/** How many of a window's positions along one axis lie in the input or its padding. */
function reachable({ inSize, kernel, stride, dilation, begin, end }: Window[number], index: number): number {
  const start = index * stride - begin;
  return Math.min(kernel, Math.ceil((inSize + end - start) / dilation));
}
