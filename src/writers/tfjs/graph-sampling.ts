/** Rules of graph models that read values at places: GridSample, AffineGrid, GatherElements, and the scatters that combine. */

import { identity } from '../../model/axis-order.js';
import type { Dim } from '../../model/layer-map.js';
import { OPS } from '../../model/ops/index.js';
import { elementCount, float32Tensor } from '../../model/tensor.js';
import { Formula, type GraphRule, slotValue } from './formula.js';
import { type FlowingNumbers, flowingNumbers, reshaped } from './graph-flowing.js';
import type { GraphTarget } from './graph-target.js';
import type { Lowering } from './lowering.js';
import type { Placement } from './placement.js';
import { axesPlace, front } from './rules.js';
import { type FileValue, knownSize, product } from './target.js';
import { placedLast } from './windows.js';

const FLOAT = { type: 'DT_FLOAT' };
const INT = { type: 'DT_INT32' };
const ORIGIN = { file: 'weighbridge' };
/** Each element of an index is compared with each place that it may be of; grids are written out. */
const MOST_PLACES = 2 ** 22;

const truncatedToInts = (x: FileValue, graph: GraphTarget) => graph.cast(x, 'DT_FLOAT', 'DT_INT32');

/**
 * Rows of each batch by number, as rows of all batches one after the other: TensorFlow.js's WebAssembly kernel (4.22) picks wrong ones where a
 * gather has batches of its own.
 *
 * @param x [batch, rows, ...rest] @param places [batch, count], whole numbers in float32
 */
export function picked(x: FileValue, places: FileValue, graph: GraphTarget): FileValue {
  const [, rows, ...rest] = x.shape as readonly [Dim, number, ...Dim[]];
  const first = graph.slice(places, 1, 0, 1);
  const ones = new Formula(graph).add(1, graph.node('ZerosLike', [first], { T: FLOAT }, first.shape));
  const counting = { T: FLOAT, Tidx: INT, exclusive: { b: true }, reverse: { b: false } };
  const batch = truncatedToInts(graph.node('Cumsum', [ones, graph.int('axis', 0)], counting, first.shape), graph);
  const starts = graph.node('Mul', [batch, graph.int('rows', rows)], { T: INT }, first.shape);
  const all = graph.node('AddV2', [truncatedToInts(places, graph), starts], { T: INT }, places.shape);
  const attributes = { Tparams: FLOAT, Tindices: INT, Taxis: INT, batch_dims: { i: '0' } };
  return graph.node('GatherV2', [graph.reshape(x, ['all', ...rest]), all, graph.int('axis', 0)], attributes, [...places.shape, ...rest]);
}

/** The axes turned so that one is last, and back. */
export function lastFirst(rank: number, axis: number): { readonly to: readonly number[]; readonly back: readonly number[] } {
  const to = [...identity(rank).filter((one) => one !== axis), axis];
  return { to, back: identity(rank).map((one) => to.indexOf(one)) };
}

/** The front part of all axes but the last, up to the sizes of another value. */
function within(x: FileValue, sizes: readonly Dim[], graph: GraphTarget): FileValue {
  return sizes.slice(0, -1).reduce<FileValue>((value, size, axis) => {
    if (size === value.shape[axis] || typeof size !== 'number') return value;
    return graph.slice(value, axis, 0, size);
  }, x);
}

/** Whole numbers, those below zero counted from the end. */
const countedFrom = (indices: FileValue, size: number, f: Formula) => f.add(indices, f.mul(f.compare('Less', indices, 0), size));

const gatherElements: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const rank = lowering.shape(layer.inputs[0]!).length;
  const { to, back } = lastFirst(rank, front(layer.attributes.axis as number, rank));
  const x = graph.transpose(lowering.plain(layer.inputs[0]!), to);
  const indices = graph.transpose(slotValue(layer, 'indices', lowering, graph)!, to);
  const [size, count] = [knownSize(x.shape.at(-1)), knownSize(indices.shape.at(-1))];
  if (size === null || count === null) return lowering.decline('elements along an axis of free size');
  const rows = graph.reshape(within(x, indices.shape, graph), ['rows', size]);
  const made = picked(rows, graph.reshape(countedFrom(indices, size, f), ['rows', count]), graph);
  return axesPlace(graph.transpose(graph.reshape(made, indices.shape), back));
};

/** What updates become where several meet, what nothing changes, and how it joins what is there. */
const COMBINED: Readonly<Record<string, { readonly neutral: number; readonly fold: string; readonly join: string }>> = {
  none: { neutral: 0, fold: 'Sum', join: '' },
  add: { neutral: 0, fold: 'Sum', join: 'AddV2' },
  mul: { neutral: 1, fold: 'Prod', join: 'Mul' },
  max: { neutral: Number.NEGATIVE_INFINITY, fold: 'Max', join: 'Maximum' },
  min: { neutral: Number.POSITIVE_INFINITY, fold: 'Min', join: 'Minimum' },
};

/**
 * x with updates at its places.
 *
 * @param x [rows, size, inner] @param indices [rows, count], from the front @param updates [rows, count, inner]
 */
function combined(x: FileValue, indices: FileValue, updates: FileValue, reduction: string, lowering: Lowering, f: Formula): FileValue {
  const [size, count] = [knownSize(x.shape[1]), knownSize(indices.shape[1])];
  if (size === null || count === null) return lowering.decline('elements along an axis of free size');
  if (size * count * (knownSize(x.shape[0]) ?? 1) * (knownSize(x.shape[2]) ?? 1) > MOST_PLACES) lowering.decline(`${count} elements placed among ${size}`);
  const { neutral, fold, join } = COMBINED[reduction]!;
  const places = f.graph.tensor('places', float32Tensor('places', [size, 1], identity(size), ORIGIN));
  const at = f.graph.reshape(indices, ['rows', count, 1, 1]);
  const found = f.compare('Equal', at, places);
  const marks = reduction === 'none' && count > 1 ? lastOf(found, count, f) : found;
  const values = f.choose(marks, f.graph.reshape(updates, ['rows', count, 1, updates.shape[2]!]), neutral);
  const made = f.reduce(fold, values, [1], false);
  if (join !== '') return f.two(join, x, made);
  return f.choose(f.reduce('Max', marks, [1], false), made, x);
}

/** Of several updates that are for one place the last one, as other runtimes take it. @param marks [rows, count, size, 1] */
function lastOf(marks: FileValue, count: number, f: Formula): FileValue {
  const order = f.graph.tensor(
    'order',
    float32Tensor(
      'order',
      [count, 1, 1],
      identity(count).map((i) => i + 1),
      ORIGIN,
    ),
  );
  const ranks = f.mul(marks, order);
  return f.mul(marks, f.compare('Equal', ranks, f.reduce('Max', ranks, [1], true)));
}

const scatterElements: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const rank = lowering.shape(layer.inputs[0]!).length;
  const { to, back } = lastFirst(rank, front(layer.attributes.axis as number, rank));
  const [x, indices, updates] = ['x', 'indices', 'updates'].map((slot) => graph.transpose(slotValue(layer, slot, lowering, graph)!, to)) as [
    FileValue,
    FileValue,
    FileValue,
  ];
  const size = knownSize(x.shape.at(-1));
  const sizes = [...x.shape, ...indices.shape];
  if (size === null || sizes.some((one) => typeof one !== 'number')) return lowering.decline('elements placed in a value of free sizes');
  const part = within(x, indices.shape, graph);
  const rows = elementCount(part.shape.slice(0, -1) as number[]);
  const count = indices.shape.at(-1) as number;
  const made = combined(
    graph.reshape(part, [rows, size, 1]),
    graph.reshape(countedFrom(indices, size, f), [rows, count]),
    graph.reshape(updates, [rows, count, 1]),
    (layer.attributes.reduction as string | undefined) ?? 'none',
    lowering,
    f,
  );
  return axesPlace(graph.transpose(beside(x, graph.reshape(made, part.shape), graph), back));
};

/** A value whose front part is another one. */
function beside(x: FileValue, part: FileValue, graph: GraphTarget): FileValue {
  const axis = part.shape.findIndex((size, i) => size !== x.shape[i]);
  if (axis < 0) return part;
  const [own, all] = [part.shape[axis] as number, x.shape[axis] as number];
  return graph.concat([beside(graph.slice(x, axis, 0, own), part, graph), graph.slice(x, axis, own, all)], axis);
}

/** A ScatterND that combines: places of several axes are those of one. */
export const combiningScatterND: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const [x, indices, updates] = ['x', 'indices', 'updates'].map((slot) => slotValue(layer, slot, lowering, graph)!) as [FileValue, FileValue, FileValue];
  if ([...x.shape, ...indices.shape].some((size) => typeof size !== 'number')) return lowering.decline('elements placed in a value of free sizes');
  const depth = indices.shape.at(-1) as number;
  const [outer, inner] = [x.shape.slice(0, depth) as number[], elementCount(x.shape.slice(depth) as number[])];
  const count = elementCount(indices.shape.slice(0, -1) as number[]);
  const strides = outer.map((_, axis) => product(outer.slice(axis + 1)));
  const counted = f.add(indices, f.mul(f.compare('Less', indices, 0), graph.floats('sizes', outer)));
  const flat = f.reduce('Sum', f.mul(counted, graph.floats('strides', strides)), [indices.shape.length - 1], false);
  const made = combined(
    graph.reshape(x, [1, product(outer), inner]),
    graph.reshape(flat, [1, count]),
    graph.reshape(updates, [1, count, inner]),
    layer.attributes.reduction as string,
    lowering,
    f,
  );
  return axesPlace(graph.reshape(made, x.shape));
};

/** A neighbour along an axis: its place, and its share. */
interface Tap {
  readonly place: FileValue;
  readonly share: FileValue | null;
}

const gridSample: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const { mode, padding_mode: padding, align_corners } = layer.attributes as Readonly<Record<string, string | number>>;
  const align = align_corners === 1;
  const x = lowering.last(layer.inputs[0]!);
  const sizes = x.shape.slice(1, -1).map(knownSize);
  const channels = x.shape.at(-1)!;
  const grid = slotValue(layer, 'grid', lowering, graph)!;
  const wanted = grid.shape.slice(1, -1);
  if (sizes.includes(null) || typeof channels !== 'number' || wanted.some((size) => typeof size !== 'number'))
    return lowering.decline('a GridSample of free sizes; give them with --input-shape');
  const count = elementCount(wanted as number[]);
  const rank = sizes.length;
  const clamp = (value: FileValue, high: number) => f.two('Minimum', f.two('Maximum', value, 0), high);
  const reflected = (value: FileValue, size: number) => {
    const [low, span] = align ? [0, size - 1] : [-0.5, size];
    if (span <= 0) return f.mul(value, 0);
    const distance = f.two('FloorMod', f.one('Abs', f.sub(value, low)), 2 * span);
    return f.add(f.two('Minimum', distance, f.sub(2 * span, distance)), low);
  };
  const taps = (sizes as number[]).map((size, axis): readonly Tap[] => {
    const given = graph.reshape(graph.slice(grid, rank + 1, rank - 1 - axis, rank - axis), ['rows', count]);
    const at = align ? f.mul(f.add(given, 1), (size - 1) / 2) : f.sub(f.mul(f.add(given, 1), size / 2), 0.5);
    const settled = mode === 'cubic' || padding === 'zeros' ? at : clamp(padding === 'border' ? at : reflected(at, size), size - 1);
    const low = mode === 'nearest' ? f.one('Round', settled) : f.one('Floor', settled);
    const t = f.sub(settled, low);
    const own: readonly (readonly [FileValue, FileValue | null])[] =
      mode === 'nearest'
        ? [[low, null]]
        : mode === 'linear'
          ? [[low, f.sub(1, t)], [f.add(low, 1), t]] // biome-ignore format: a neighbour each
          : cubic(t, f).map((share, i) => [f.add(low, i - 1), share] as const);
    return own.map(([place, share]): Tap => {
      if (padding !== 'zeros') {
        const inside = padding === 'border' || mode !== 'cubic' ? place : f.one('Round', reflected(place, size));
        return { place: clamp(inside, size - 1), share };
      }
      // What lies outside counts nothing.
      const held = clamp(place, size - 1);
      const isInside = f.compare('Equal', held, place);
      return { place: held, share: share ? f.mul(share, isInside) : isInside };
    });
  });
  const pixels = graph.reshape(x, [x.shape[0]!, product(sizes as number[]), channels]);
  const corners = taps.reduce<readonly Tap[]>(
    (all, own, axis) =>
      axis === 0
        ? own
        : all.flatMap((one) =>
            own.map(
              ({ place, share }): Tap => ({
                place: f.add(f.mul(one.place, sizes[axis]!), place),
                share: one.share && share ? f.mul(one.share, share) : (one.share ?? share),
              }),
            ),
          ),
    [],
  );
  const made = corners
    .map(({ place, share }) => {
      const values = picked(pixels, place, graph);
      return share ? f.mul(values, graph.reshape(share, ['rows', count, 1])) : values;
    })
    .reduce(f.add);
  return placedLast(graph.reshape(made, [x.shape[0]!, ...wanted, channels]));
};

/** Shares of the four neighbours by the cubic of Keys with -0.75. */
function cubic(t: FileValue, f: Formula): readonly FileValue[] {
  const a = -0.75;
  const near = (x: FileValue) => f.add(f.mul(f.mul(f.sub(f.mul(x, a + 2), a + 3), x), x), 1);
  const far = (x: FileValue) => f.sub(f.mul(f.add(f.mul(f.sub(f.mul(x, a), 5 * a), x), 8 * a), x), 4 * a);
  return [far(f.add(t, 1)), near(t), near(f.sub(1, t)), far(f.sub(2, t))];
}

/** The grid that the evaluator makes of each unit matrix, times the matrices: it is linear in them. */
const affineGrid: GraphRule = (layer, lowering, graph) => {
  const wanted = lowering.shape(layer.outputs[0]!);
  const theta = slotValue(layer, 'theta', lowering, graph)!;
  const sizes = wanted.slice(1, -1);
  const flowing = flowingNumbers(layer, 'size', lowering, graph);
  if (flowing) return flowingGrid(theta, flowing, layer.attributes.align_corners === 1, wanted, graph);
  const rank = sizes.length;
  const count = elementCount(sizes as number[]);
  if (count * (rank + 1) > MOST_PLACES) lowering.decline(`a grid of ${count} places`);
  const units = Float64Array.from({ length: (rank + 1) * rank * (rank + 1) }, (_, i) => {
    const [matrix, row, columnAt] = [Math.floor(i / (rank * (rank + 1))), Math.floor(i / (rank + 1)) % rank, i % (rank + 1)];
    return row === 0 && columnAt === matrix ? 1 : 0;
  });
  const inputs = { theta: { shape: [rank + 1, rank, rank + 1], data: units } };
  const size = [rank + 1, 1, ...(sizes as number[])];
  const [grids] = OPS.AffineGrid!.compute!(inputs as never, { ...layer.attributes, size } as never, { outputs: 1 });
  const base = identity(rank + 1).flatMap((matrix) => identity(count).map((at) => grids!.data[(matrix * count + at) * rank]!));
  const places = graph.tensor('grid', float32Tensor('grid', [1, rank + 1, count], base, ORIGIN));
  const made = graph.transpose(graph.matMul(theta, places), [0, 2, 1]);
  return axesPlace(graph.reshape(made, wanted));
};

/** The same of sizes that flow in: a row of places for each axis, the last axis first, and one of ones. */
function flowingGrid(theta: FileValue, { values, count }: FlowingNumbers, align: boolean, wanted: readonly Dim[], graph: GraphTarget): Placement {
  const f = new Formula(graph);
  const rank = count - 2;
  const sizes = graph.slice(values, 0, 2, count);
  const zeros = graph.node('Fill', [truncatedToInts(sizes, graph), graph.scalar('zero', 0)], { T: FLOAT, index_type: INT }, wanted.slice(1, -1));
  const rows = identity(rank).map((axis) => {
    const size = graph.reshape(graph.slice(sizes, 0, axis, axis + 1), []);
    const at = graph.node('Range', [graph.scalar('start', 0), size, graph.scalar('step', 1)], { Tidx: FLOAT }, [wanted[axis + 1]!]);
    // A single place is the middle.
    const place = align
      ? f.mul(f.sub(f.two('DivNoNan', f.mul(at, 2), f.sub(size, 1)), 1), f.compare('Greater', size, 1))
      : f.sub(f.div(f.add(f.mul(at, 2), 1), size), 1);
    const line = graph.reshape(
      place,
      identity(rank).map((one) => (one === axis ? 'places' : 1)),
    );
    return graph.reshape({ ...f.add(line, zeros), shape: zeros.shape }, [1, 'places']);
  });
  const ones = graph.reshape({ ...f.add(zeros, 1), shape: zeros.shape }, [1, 'places']);
  const places = { ...graph.concat([...rows.toReversed(), ones], 0), shape: [rank + 1, 'places'] };
  const made = graph.transpose(graph.matMul(theta, graph.reshape(places, [1, rank + 1, 'places'])), [0, 2, 1]);
  const shape = graph.concat([graph.slice(values, 0, 0, 1), sizes, graph.floats('coordinates', [rank])], 0);
  return axesPlace(reshaped(made, shape, wanted, graph));
}

export const SAMPLING_RULES: Readonly<Record<string, GraphRule>> = {
  GatherElements: gatherElements,
  ScatterElements: scatterElements,
  GridSample: gridSample,
  AffineGrid: affineGrid,
};
