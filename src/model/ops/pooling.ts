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
  attributes: { ...WINDOW, dilations: ints(), ceil_mode: int(0), storage_order: int(0) },
  plain: { attributes: { storage_order: 0 } },
  // The second output is where the largest elements are, counted over the whole input.
  outputs: 2,
  complete: completeWindow,
  shape({ x }, attributes) {
    const shape = windowedShape(x.shape, x.shape[1]!, attributes);
    return [shape, shape];
  },
  dtype: ({ x }) => [x.dtype, 'int64'],
  sign: ({ x }) => x,
  onnx: { newer: { dilations: 10, ceil_mode: 10, storage_order: 8 } },
  compute({ x }, attributes, { outputs }) {
    const window = windowOver(attributes, x.shape);
    const largest = poolWindows(x, window, poolLargest);
    if (outputs < 2) return [largest];
    return [largest, placesOfLargest(x, window, attributes.storage_order !== 0)];
  },
});

const poolLargest: Pool = (plane, { elements, size, counts }, y, at) => {
  for (let i = 0; i < counts.length; i++) {
    let largest = Number.NEGATIVE_INFINITY;
    for (let each = i * size; each < i * size + counts[i]!; each++) largest = Math.max(largest, plane[elements[each]!]!);
    y[at + i] = largest;
  }
};

/** Flat places; with columns first where `columnMajor` says so. */
function placesOfLargest(x: Value, window: Window, columnMajor: boolean): Value {
  const [d, h, w] = window.map(({ inSize }) => inSize) as [number, number, number];
  const pool: Pool = (plane, { elements, size, counts }, y, at) => {
    for (let i = 0; i < counts.length; i++) {
      let best = elements[i * size]!;
      for (let each = i * size + 1; each < i * size + counts[i]!; each++) if (plane[elements[each]!]! > plane[best]!) best = elements[each]!;
      y[at + i] = columnMajor ? Math.floor(best / (h * w)) * h * w + (best % w) * h + (Math.floor(best / w) % h) : best;
    }
  };
  const places = poolWindows(x, window, pool);
  const outSize = elementCount(window.map(({ outSize: size }) => size));
  return { shape: places.shape, data: places.data.map((place, i) => Math.floor(i / outSize) * d * h * w + place) };
}

/**
 * The mean of each window. With count_include_pad the divisor counts padding, but not what `ceil_mode` lets a window reach
 * beyond the padding.
 *
 * @see https://onnx.ai/onnx/operators/onnx__AveragePool.html
 */
export const averagePool = operator({
  op: 'AveragePool',
  slots: ['x'],
  attributes: { ...WINDOW, dilations: ints(), ceil_mode: int(0), count_include_pad: int(0) },
  plain: { ones: ['dilations'] },
  complete: completeWindow,
  shape: ({ x }, attributes) => [windowedShape(x.shape, x.shape[1]!, attributes)],
  sign: ({ x }) => x,
  onnx: {
    newer: { ceil_mode: 10, count_include_pad: 7, dilations: 19 },
  },
  compute({ x }, attributes) {
    const includePad = attributes.count_include_pad !== 0;
    const pool: Pool = (plane, { elements, size, counts, padded }, y, at) => {
      for (let i = 0; i < counts.length; i++) {
        let sum = 0;
        for (let each = i * size; each < i * size + counts[i]!; each++) sum += plane[elements[each]!]!;
        y[at + i] = sum / (includePad ? padded : counts)[i]!;
      }
    };
    return [poolWindows(x, windowOver(attributes, x.shape), pool)];
  },
});

/** The p-norm of each window. */
export const lpPool = operator({
  op: 'LpPool',
  slots: ['x'],
  attributes: { ...WINDOW, dilations: ints(), ceil_mode: int(0), p: int(2) },
  complete: completeWindow,
  shape: ({ x }, attributes) => [windowedShape(x.shape, x.shape[1]!, attributes)],
  sign: () => true,
  onnx: { since: 2, newer: { dilations: 18, ceil_mode: 18 } },
  compute({ x }, attributes) {
    const pool: Pool = (plane, { elements, size, counts }, y, at) => {
      for (let i = 0; i < counts.length; i++) {
        let sum = 0;
        for (let each = i * size; each < i * size + counts[i]!; each++) sum += Math.abs(plane[elements[each]!]!) ** attributes.p;
        y[at + i] = sum ** (1 / attributes.p);
      }
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

export const globalLpPool = operator({
  op: 'GlobalLpPool',
  slots: ['x'],
  attributes: { p: int(2) },
  shape: ({ x }) => [[x.shape[0]!, x.shape[1]!, ...x.shape.slice(2).map(() => 1)]],
  sign: () => true,
  onnx: { since: 2 },
  compute: ({ x }, { p }) => [overPlanes(x, (plane) => plane.reduce((sum, element) => sum + Math.abs(element) ** p, 0) ** (1 / p))],
});

export const globalAveragePool = operator({
  ...globalPool,
  op: 'GlobalAveragePool',
  // Of no elements it is 0, as runtimes have it.
  compute: ({ x }) => [overPlanes(x, (plane) => plane.reduce((a, b) => a + b, 0) / Math.max(plane.length, 1))],
});

function overPlanes(x: Value, pool: (plane: Float64Array) => number): Value {
  const y = newValue([...x.shape.slice(0, 2), ...x.shape.slice(2).map(() => 1)]);
  const size = elementCount(x.shape.slice(2));
  for (let i = 0; i < y.data.length; i++) y.data[i] = pool(x.data.subarray(i * size, (i + 1) * size));
  return y;
}

/** The windows of one line. */
interface Windows {
  /** Places in a channel's plane: those of window i begin at i * size. */
  readonly elements: Int32Array;
  readonly size: number;
  /** How many places of each window lie in the plane. */
  readonly counts: Int32Array;
  /** How many lie in the plane or its padding. */
  readonly padded: Int32Array;
}

/** Pools the windows of one line of a channel's plane into `y` from `at` on: a line at a time, because a call for each window would take longer than its work. */
type Pool = (plane: Float64Array, windows: Windows, y: Float64Array, at: number) => void;

function poolWindows(x: Value, window: Window, pool: Pool): Value {
  const [d, h, w] = window;
  const y = newValue([...x.shape.slice(0, 2), ...spatialShape(window, x.shape.length)]);
  const inSize = d.inSize * h.inSize * w.inSize;
  const outSize = d.outSize * h.outSize * w.outSize;
  const places = window.map((axis) => inputPositions(axis)) as [Int32Array, Int32Array, Int32Array];
  const size = d.kernel * h.kernel * w.kernel;
  // One line of windows at a time, over all planes: as many windows as a plane has may be of any size.
  const elements = new Int32Array(size * w.outSize);
  const counts = new Int32Array(w.outSize);
  const padded = new Int32Array(w.outSize);
  for (let line = 0; line < d.outSize * h.outSize; line++) {
    const [slab, top] = [Math.floor(line / h.outSize), line % h.outSize];
    for (let left = 0; left < w.outSize; left++) {
      let at = left * size;
      for (let kd = 0; kd < d.kernel; kd++) {
        const z = places[0][slab * d.kernel + kd]!;
        for (let kh = 0; kh < h.kernel; kh++) {
          const row = places[1][top * h.kernel + kh]!;
          for (let kw = 0; kw < w.kernel; kw++) {
            const col = places[2][left * w.kernel + kw]!;
            if (z >= 0 && row >= 0 && col >= 0) elements[at++] = (z * h.inSize + row) * w.inSize + col;
          }
        }
      }
      counts[left] = at - left * size;
      padded[left] = reachable(d, slab) * reachable(h, top) * reachable(w, left);
    }
    for (let plane = 0; plane * outSize < y.data.length; plane++) {
      const values = x.data.subarray(plane * inSize, (plane + 1) * inSize);
      pool(values, { elements, size, counts, padded }, y.data, plane * outSize + line * w.outSize);
    }
  }
  return y;
}

/** How many of a window's positions along one axis lie in the input or its padding. */
function reachable({ inSize, kernel, stride, dilation, begin, end }: Window[number], index: number): number {
  const start = index * stride - begin;
  return Math.min(kernel, Math.ceil((inSize + end - start) / dilation));
}
