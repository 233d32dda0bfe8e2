/** Operators that look for elements: ArgMax, ArgMin, TopK, OneHot, NonZero, NonMaxSuppression. */
import { aroundAxis, newValue, type Value } from './array.js';
import { int, type Operator, operator } from './operator.js';
import { checkedAxis, movedAxes } from './rules.js';

function argument(op: string, isBetter: (a: number, b: number) => boolean): Operator {
  return operator({
    op,
    slots: ['x'],
    attributes: { axis: int(0), keepdims: int(1), select_last_index: int(0) },
    shape({ x }, { axis, keepdims }) {
      const at = checkedAxis(axis, x.shape.length);
      return [keepdims ? x.shape.with(at, 1) : x.shape.toSpliced(at, 1)];
    },
    dtype: () => ['int64'],
    sign: () => true,
    axes: ({ axis, keepdims }, order) => (keepdims ? { axis: movedAxes([axis], order)[0]! } : null),
    onnx: { newer: { select_last_index: 12 } },
    compute({ x }, { axis, keepdims, select_last_index }) {
      const { outer, size, inner } = aroundAxis(x.shape, axis);
      const at = checkedAxis(axis, x.shape.length);
      const y = newValue(keepdims ? x.shape.with(at, 1) : x.shape.toSpliced(at, 1));
      for (let o = 0; o < outer; o++) {
        for (let n = 0; n < inner; n++) {
          let best = 0;
          for (let i = 1; i < size; i++) {
            const [candidate, current] = [x.data[(o * size + i) * inner + n]!, x.data[(o * size + best) * inner + n]!];
            if (isBetter(candidate, current) || (select_last_index && candidate === current)) best = i;
          }
          y.data[o * inner + n] = best;
        }
      }
      return [y];
    },
  });
}

export const argMax = argument('ArgMax', (a, b) => a > b);
export const argMin = argument('ArgMin', (a, b) => a < b);

/** The k largest (or smallest) elements along an axis, and where they are; of equal ones the first comes first. */
export const topK = operator({
  op: 'TopK',
  slots: ['x', 'k?'],
  attributes: { k: { ...int(), optional: true as const }, axis: int(-1), largest: int(1), sorted: int(1) },
  outputs: 2,
  shape({ x, k: given }, { k, axis }, { fresh }) {
    const at = checkedAxis(axis, x.shape.length);
    const shape = x.shape.with(at, k ?? given?.elements?.[0] ?? fresh(0, at));
    return [shape, shape];
  },
  dtype: ({ x }) => [x.dtype, 'int64'],
  onnx: { outputs: 2, inputs: { k: { since: 10 } }, newer: { largest: 11, sorted: 11 } },
  compute({ x, k: given }, { k, axis, largest }) {
    const count = k ?? given!.data[0]!;
    const at = checkedAxis(axis, x.shape.length);
    const { outer, size, inner } = aroundAxis(x.shape, axis);
    const [values, places] = [newValue(x.shape.with(at, count)), newValue(x.shape.with(at, count))];
    for (let o = 0; o < outer; o++) {
      for (let n = 0; n < inner; n++) {
        const line = Array.from({ length: size }, (_, i) => x.data[(o * size + i) * inner + n]!);
        const order = line.map((_, i) => i).sort((a, b) => (largest ? line[b]! - line[a]! : line[a]! - line[b]!) || a - b);
        for (let i = 0; i < count; i++) {
          values.data[(o * count + i) * inner + n] = line[order[i]!]!;
          places.data[(o * count + i) * inner + n] = order[i]!;
        }
      }
    }
    return [values, places];
  },
});

/** values: [off, on]; the new axis is where `axis` says, the last where it is -1. */
export const oneHot = operator({
  op: 'OneHot',
  slots: ['indices', 'depth', 'values'],
  attributes: { axis: int(-1) },
  shape({ indices, depth }, { axis }, { fresh }) {
    const at = checkedAxis(axis, indices.shape.length + 1);
    return [indices.shape.toSpliced(at, 0, depth.elements?.[0] ?? fresh(0, at))];
  },
  dtype: ({ values }) => [values.dtype],
  onnx: { since: 9 },
  compute({ indices, depth, values }, { axis }) {
    const at = checkedAxis(axis, indices.shape.length + 1);
    const count = depth.data[0]!;
    const y = newValue(indices.shape.toSpliced(at, 0, count), values.data[0]);
    const inner = indices.shape.slice(at).reduce((a, b) => a * b, 1);
    indices.data.forEach((index, i) => {
      const hot = index < 0 ? index + count : index;
      if (Number.isInteger(hot) && hot >= 0 && hot < count) y.data[(Math.floor(i / inner) * count + hot) * inner + (i % inner)] = values.data[1]!;
    });
    return [y];
  },
});

/** Places of the elements that are not zero, one column each. */
export const nonZero = operator({
  op: 'NonZero',
  slots: ['x'],
  attributes: {},
  shape: ({ x }, _, { fresh }) => [[x.shape.length, fresh(0, 1)]],
  dtype: () => ['int64'],
  onnx: { since: 9 },
  compute({ x }) {
    const found = [...x.data.keys()].filter((i) => x.data[i] !== 0);
    const strides = x.shape.map((_, axis) => x.shape.slice(axis + 1).reduce((a, b) => a * b, 1));
    const data = strides.flatMap((stride, axis) => found.map((at) => Math.floor(at / stride) % x.shape[axis]!));
    return [{ shape: [x.shape.length, found.length], data: Float64Array.from(data) }];
  },
});

/** Boxes [batch, count, 4] and scores [batch, classes, count]; rows of [batch, class, box], the best first. */
export const nonMaxSuppression = operator({
  op: 'NonMaxSuppression',
  slots: ['boxes', 'scores', 'max_output_boxes_per_class?', 'iou_threshold?', 'score_threshold?'],
  attributes: { center_point_box: int(0) },
  shape: (_, __, { fresh }) => [[fresh(0, 0), 3]],
  dtype: () => ['int64'],
  onnx: { since: 10 },
  compute({ boxes, scores, max_output_boxes_per_class: most, iou_threshold, score_threshold }, { center_point_box }) {
    const [batches, classes, count] = scores.shape as [number, number, number];
    const limit = most?.data[0] ?? 0;
    const [overlap, least] = [iou_threshold?.data[0] ?? 0, score_threshold?.data[0]];
    const rows: number[] = [];
    for (let n = 0; n < batches; n++) {
      const corners = Array.from({ length: count }, (_, i) => cornersOf(boxes, n * count + i, center_point_box !== 0));
      for (let c = 0; c < classes; c++) {
        const score = (i: number) => scores.data[(n * classes + c) * count + i]!;
        const candidates = [...corners.keys()].filter((i) => least === undefined || score(i) > least).sort((a, b) => score(b) - score(a) || a - b);
        const chosen: number[] = [];
        for (const i of candidates) {
          if (chosen.length >= limit) break;
          if (chosen.every((other) => intersectionOverUnion(corners[i]!, corners[other]!) <= overlap)) chosen.push(i);
        }
        for (const i of chosen) rows.push(n, c, i);
      }
    }
    return [{ shape: [rows.length / 3, 3], data: Float64Array.from(rows) }];
  },
});

type Corners = readonly [top: number, left: number, bottom: number, right: number];

function cornersOf({ data }: Value, row: number, isCentred: boolean): Corners {
  const [a, b, c, d] = data.subarray(4 * row, 4 * row + 4) as unknown as [number, number, number, number];
  if (isCentred) return [b - d / 2, a - c / 2, b + d / 2, a + c / 2];
  return [Math.min(a, c), Math.min(b, d), Math.max(a, c), Math.max(b, d)];
}

function intersectionOverUnion(a: Corners, b: Corners): number {
  const height = Math.min(a[2], b[2]) - Math.max(a[0], b[0]);
  const width = Math.min(a[3], b[3]) - Math.max(a[1], b[1]);
  if (height <= 0 || width <= 0) return 0;
  const area = (box: Corners) => (box[2] - box[0]) * (box[3] - box[1]);
  return (height * width) / (area(a) + area(b) - height * width);
}
