/**
 * Rules of graph models that pick elements by what they are. How many a Where or a suppression finds is known only when the model runs, for which
 * TensorFlow.js has `executeAsync` alone.
 */
import { identity } from '../../model/axis-order.js';
import type { Layer } from '../../model/layer-map.js';
import { elementCount, float32Tensor } from '../../model/tensor.js';
import { Formula, type GraphRule, slotValue } from './formula.js';
import { flowingInto } from './graph-flowing.js';
import { picked } from './graph-sampling.js';
import type { GraphTarget } from './graph-target.js';
import type { Lowering } from './lowering.js';
import { axesPlace, front } from './rules.js';
import { type FileValue, knownSize } from './target.js';

const FLOAT = { type: 'DT_FLOAT' };
const INT = { type: 'DT_INT32' };
const ORIGIN = { file: 'weighbridge' };
/** Constants are written out. */
const MOST_PLACES = 2 ** 20;
/** Each class of each picture has a suppression of its own. */
const MOST_SUPPRESSIONS = 256;

/** The indices of what is not zero, in int32: [found, axes]. */
function placesOfTrue(x: FileValue, graph: GraphTarget): FileValue {
  return graph.node('Where', [new Formula(graph).two('NotEqual', x, 0)], { T: { type: 'DT_BOOL' } }, ['found', x.shape.length]);
}

const nonZero: GraphRule = (layer, lowering, graph) => {
  const x = lowering.plain(layer.inputs[0]!);
  if (x.shape.length === 0) return lowering.decline('a NonZero of a number without axes');
  return axesPlace(graph.transpose(graph.cast(placesOfTrue(x, graph), 'DT_INT32', 'DT_FLOAT'), [1, 0]));
};

const compress: GraphRule = (layer, lowering, graph) => {
  const given = lowering.plain(layer.inputs[0]!);
  const axis = layer.attributes.axis as number | undefined;
  const x = axis === undefined ? graph.reshape(given, ['all']) : given;
  const known = lowering.types.get(flowingInto(layer, 'condition') ?? '')?.elements;
  const chosen = known?.every((element) => typeof element === 'number') ? known.flatMap((element, i) => (element === 0 ? [] : [i])) : null;
  const found = () => {
    const places = placesOfTrue(slotValue(layer, 'condition', lowering, graph)!, graph);
    return graph.node('Squeeze', [places], { T: INT, squeeze_dims: { list: { i: ['1'] } } }, ['found']);
  };
  const at = axis === undefined ? 0 : front(axis, x.shape.length);
  const inputs = [x, chosen ? graph.ints('chosen', chosen) : found(), graph.int('axis', at)];
  return axesPlace(graph.node('GatherV2', inputs, { Tparams: FLOAT, Tindices: INT, Taxis: INT, batch_dims: { i: '0' } }, lowering.shape(layer.outputs[0]!)));
};

/** Indices with the places in the leading axes, which both have, before them. */
export function withBatchPlaces(indices: FileValue, count: number, graph: GraphTarget): FileValue {
  const outer = indices.shape.slice(0, -1).map(knownSize);
  if (outer.includes(null) || elementCount(outer as number[]) * count > MOST_PLACES) return withCountedPlaces(indices, count, graph);
  const sizes = outer as number[];
  const strides = sizes.map((_, axis) => elementCount(sizes.slice(axis + 1)));
  const values = Float32Array.from(
    { length: elementCount(sizes) * count },
    (_, i) => Math.floor(Math.floor(i / count) / strides[i % count]!) % sizes[i % count]!,
  );
  const places = graph.tensor('batch', float32Tensor('batch', [...sizes, count], values, ORIGIN));
  return graph.concat([graph.cast(places, 'DT_FLOAT', 'DT_INT32'), indices], sizes.length);
}

/** The same of sizes that are free: as many ones as there are, added up along each of those axes. */
function withCountedPlaces(indices: FileValue, count: number, graph: GraphTarget): FileValue {
  const f = new Formula(graph);
  const last = indices.shape.length - 1;
  const one = graph.cast(graph.slice(indices, last, 0, 1), 'DT_INT32', 'DT_FLOAT');
  const ones = f.add(1, graph.node('ZerosLike', [one], { T: FLOAT }, one.shape));
  const counting = { T: FLOAT, Tidx: INT, exclusive: { b: true }, reverse: { b: false } };
  const places = identity(count).map((axis) => graph.cast(graph.node('Cumsum', [ones, graph.int('axis', axis)], counting, one.shape), 'DT_FLOAT', 'DT_INT32'));
  return graph.concat([...places, indices], last);
}

const eyeLike: GraphRule = (layer, lowering, graph) => {
  const sizes = lowering.shape(layer.inputs[0]!).map(knownSize);
  if (sizes.includes(null) || elementCount(sizes as number[]) > MOST_PLACES) return lowering.decline('an EyeLike of free or large sizes');
  const [rows, columns] = sizes as [number, number];
  const k = layer.attributes.k as number;
  const ones = Float32Array.from({ length: rows * columns }, (_, i) => Number(i % columns === Math.floor(i / columns) + k));
  return axesPlace(graph.tensor('eye', float32Tensor('eye', [rows, columns], ones, ORIGIN)));
};

const reverseSequence: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const { batch_axis: batch, time_axis: time } = layer.attributes as Readonly<Record<string, number>>;
  const rank = lowering.shape(layer.inputs[0]!).length;
  const order = [batch!, time!, ...identity(rank).filter((axis) => axis !== batch && axis !== time)];
  const x = graph.transpose(lowering.plain(layer.inputs[0]!), order);
  const [count, steps] = [x.shape[0]!, knownSize(x.shape[1])];
  if (steps === null) return lowering.decline('a ReverseSequence over a free number of steps');
  const lengths = graph.reshape(slotValue(layer, 'lengths', lowering, graph)!, [count, 1]);
  const own = graph.floats('steps', identity(steps));
  const places = f.choose(f.compare('Less', own, lengths), f.sub(f.sub(lengths, 1), own), own);
  const made = picked(x, { ...places, shape: [count, steps] }, graph);
  return axesPlace(
    graph.transpose(
      { ...made, shape: x.shape },
      identity(rank).map((axis) => order.indexOf(axis)),
    ),
  );
};

/**
 * TensorFlow.js leaves out a box whose overlap is the threshold, ONNX one whose overlap is more: the threshold is the next float32.
 *
 * @see https://github.com/tensorflow/tfjs/blob/master/tfjs-core/src/backends/non_max_suppression_impl.ts
 */
const nonMaxSuppression: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const slot = (name: string) => slotValue(layer, name, lowering, graph);
  const [given, scores] = [slot('boxes')!, slot('scores')!];
  const [batches, classes] = scores.shape.slice(0, 2).map(knownSize) as [number | null, number | null];
  if (batches === null || classes === null) return lowering.decline('a NonMaxSuppression of a free number of pictures or classes');
  if (batches * classes > MOST_SUPPRESSIONS) return lowering.decline(`${batches * classes} suppressions of boxes`);
  const most = slot('max_output_boxes_per_class');
  if (!most) return lowering.decline('a NonMaxSuppression that keeps no box');
  const overlap = elementOf(layer, 'iou_threshold', lowering) ?? 0;
  if (typeof overlap === 'number' && overlap >= 1) return lowering.decline(`a NonMaxSuppression with an iou_threshold of ${overlap}`);
  // The largest int64, which exporters write where all are kept, is no int32.
  const limit = graph.cast(graph.reshape(f.two('Minimum', most, 2 ** 24), []), 'DT_FLOAT', 'DT_INT32');
  const threshold = slot('iou_threshold');
  const above = threshold ? f.two('Minimum', f.add(f.mul(graph.reshape(threshold, []), 1 + 2 ** -23), 2 ** -126), 1) : graph.scalar('iou_threshold', 2 ** -126);
  const least = slot('score_threshold');
  const lowest = least ? graph.reshape(least, []) : graph.scalar('score_threshold', Number.NEGATIVE_INFINITY);
  const boxes = layer.attributes.center_point_box === 1 ? cornersOf(given, f) : given;
  const rows = identity(batches).flatMap((batch) => {
    const own = graph.reshape(graph.slice(boxes, 0, batch, batch + 1), ['boxes', 4]);
    const scored = graph.slice(scores, 0, batch, batch + 1);
    return identity(classes).map((one) => {
      const score = graph.reshape(graph.slice(scored, 1, one, one + 1), ['boxes']);
      const found = graph.node('NonMaxSuppressionV3', [own, score, limit, above, lowest], { T: FLOAT, T_threshold: FLOAT }, ['found']);
      const index = graph.reshape(graph.cast(found, 'DT_INT32', 'DT_FLOAT'), ['found', 1]);
      const column = (value: number) => f.add(f.mul(index, 0), value);
      return graph.concat([column(batch), column(one), index], 1);
    });
  });
  return axesPlace(rows.length === 1 ? rows[0]! : graph.concat(rows, 0));
};

/** The only element of what flows into a slot; null where it is known only when the model runs. */
function elementOf(layer: Layer, slot: string, lowering: Lowering): number | null | undefined {
  const flowing = flowingInto(layer, slot);
  if (flowing === undefined) return undefined;
  const [element] = lowering.types.get(flowing)?.elements ?? [];
  return typeof element === 'number' ? element : null;
}

/** [top, left, bottom, right] of boxes that are said by their centres and sizes. */
function cornersOf(boxes: FileValue, f: Formula): FileValue {
  const part = (i: number) => f.graph.slice(boxes, 2, i, i + 1);
  const [x, y, halfWidth, halfHeight] = [part(0), part(1), f.mul(part(2), 0.5), f.mul(part(3), 0.5)];
  return f.graph.concat([f.sub(y, halfHeight), f.sub(x, halfWidth), f.add(y, halfHeight), f.add(x, halfWidth)], 2);
}

export const SEARCHING_RULES: Readonly<Record<string, GraphRule>> = {
  NonZero: nonZero,
  Compress: compress,
  EyeLike: eyeLike,
  ReverseSequence: reverseSequence,
  NonMaxSuppression: nonMaxSuppression,
};
