/** Rules of graph models for what is an attribute elsewhere and flows in here: TensorFlow.js takes axes, sizes and amounts from values. */

import { identity } from '../../model/axis-order.js';
import type { Dim, Layer } from '../../model/layer-map.js';
import { bindSlots, operatorOf } from '../../model/ops/index.js';
import { float32Tensor } from '../../model/tensor.js';
import { Formula, type GraphRule } from './formula.js';
import type { GraphTarget } from './graph-target.js';
import type { Lowering } from './lowering.js';
import type { Placement } from './placement.js';
import { axesPlace, front } from './rules.js';
import type { FileValue } from './target.js';

const FLOAT = { type: 'DT_FLOAT' };
const INT = { type: 'DT_INT32' };
/** Beyond any axis, and an int32 still. */
const FAR = 2 ** 30;

/** The value that flows into a slot; undefined where an attribute stands there, or nothing. */
export function flowingInto(layer: Layer, slot: string): string | undefined {
  const bound = bindSlots<string>(operatorOf(layer.op)!, layer, layer.inputs, () => '')[slot] as string | undefined;
  return bound === '' ? undefined : bound;
}

export interface FlowingNumbers {
  /** A vector, in float32 as all values are. */
  readonly values: FileValue;
  readonly count: number;
}

/** Whole numbers that flow into a slot; null where none do. @throws ModelError 'unsupported' where it is not known how many they are */
export function flowingNumbers(layer: Layer, slot: string, lowering: Lowering, graph: GraphTarget): FlowingNumbers | null {
  const name = flowingInto(layer, slot);
  if (name === undefined) return null;
  const shape = lowering.shape(name);
  const count = shape.length === 0 ? 1 : shape[0];
  if (typeof count !== 'number') return lowering.decline(`how many ${slot} it has is known only when the model runs`);
  const value = lowering.plain(name);
  return { values: shape.length === 0 ? graph.reshape(value, [1]) : value, count };
}

export const asInts = (values: FileValue, graph: GraphTarget): FileValue => graph.cast(values, 'DT_FLOAT', 'DT_INT32');

/** Sizes of a value in float32. */
export function sizesOf(x: FileValue, graph: GraphTarget): FileValue {
  return graph.cast(graph.node('Shape', [x], { T: FLOAT, out_type: INT }, [x.shape.length]), 'DT_INT32', 'DT_FLOAT');
}

/** Axes from the front. */
function counted(axes: FileValue, rank: number, f: Formula): FileValue {
  return f.add(axes, f.mul(f.compare('Less', axes, 0), rank));
}

/** [numbers, rank]: 1 where a number is that of an axis. */
function places(axes: FileValue, count: number, rank: number, f: Formula): FileValue {
  return f.compare('Equal', f.graph.reshape(axes, [count, 1]), f.graph.floats('axes', identity(rank)));
}

/** For each axis the amount that is given for it, and what it is where none is. */
function spreadOver(marks: FileValue, amounts: FileValue, count: number, otherwise: FileValue | number, f: Formula): FileValue {
  const given = f.reduce('Sum', f.mul(marks, f.graph.reshape(amounts, [count, 1])), [0], false);
  const isGiven = f.reduce('Sum', marks, [0], false);
  return f.add(given, f.mul(f.sub(1, isGiven), otherwise));
}

export const reshaped = (x: FileValue, sizes: FileValue, shape: readonly Dim[], graph: GraphTarget): FileValue =>
  graph.node('Reshape', [x, asInts(sizes, graph)], { T: FLOAT, Tshape: INT }, shape);

/** Where the shape is known well enough the plain rule, else the sizes as they flow; a 0 among them copies the input's. */
export const flowingReshape =
  (plain: GraphRule): GraphRule =>
  (layer, lowering, graph) => {
    const wanted = flowingNumbers(layer, 'shape', lowering, graph);
    const name = flowingInto(layer, 'shape');
    const open = name === undefined ? 0 : (lowering.types.get(name)?.elements?.filter((size) => typeof size !== 'number').length ?? Number.POSITIVE_INFINITY);
    if (!wanted || open < 2) return plain(layer, lowering, graph);
    const f = new Formula(graph);
    const x = lowering.plain(layer.inputs[0]!);
    const made = lowering.shape(layer.outputs[0]!);
    if (layer.attributes.allowzero === 1 || x.shape.length === 0) return axesPlace(reshaped(x, wanted.values, made, graph));
    const own = sizesOf(x, graph);
    const shown = Math.min(x.shape.length, wanted.count);
    const rest = wanted.count - shown;
    const kept = shown === x.shape.length ? own : graph.slice(own, 0, 0, shown);
    const sizes = rest === 0 ? kept : graph.concat([kept, graph.floats('zeros', new Array(rest).fill(0))], 0);
    return axesPlace(reshaped(x, f.add(wanted.values, f.mul(f.compare('Equal', wanted.values, 0), sizes)), made, graph));
  };

export const flowingUnsqueeze =
  (plain: GraphRule): GraphRule =>
  (layer, lowering, graph) => {
    const axes = flowingNumbers(layer, 'axes', lowering, graph);
    if (!axes) return plain(layer, lowering, graph);
    const f = new Formula(graph);
    const x = lowering.plain(layer.inputs[0]!);
    const rank = x.shape.length + axes.count;
    const made = lowering.shape(layer.outputs[0]!);
    if (x.shape.length === 0) return axesPlace(graph.reshape(x, new Array<number>(rank).fill(1)));
    const isNew = f.reduce('Sum', places(counted(axes.values, rank, f), axes.count, rank, f), [0], false);
    const before = cumulative(f.sub(1, isNew), graph);
    return axesPlace(reshaped(x, f.add(isNew, f.mul(f.sub(1, isNew), picked(before, rank, x, f))), made, graph));
  };

export const flowingSqueeze =
  (plain: GraphRule): GraphRule =>
  (layer, lowering, graph) => {
    const axes = flowingNumbers(layer, 'axes', lowering, graph);
    if (!axes) return plain(layer, lowering, graph);
    const f = new Formula(graph);
    const x = lowering.plain(layer.inputs[0]!);
    const made = lowering.shape(layer.outputs[0]!);
    const [rank, left] = [x.shape.length, x.shape.length - axes.count];
    if (left === 0) return axesPlace(graph.reshape(x, []));
    const stays = f.sub(1, f.reduce('Sum', places(counted(axes.values, rank, f), axes.count, rank, f), [0], false));
    const place = cumulative(stays, graph);
    const marks = f.mul(f.compare('Equal', graph.tensor('places', column(left)), place), stays);
    return axesPlace(reshaped(x, f.reduce('Sum', f.mul(marks, sizesOf(x, graph)), [1], false), made, graph));
  };

const column = (count: number) => float32Tensor('places', [count, 1], identity(count), { file: 'weighbridge' });

/** How much stands before each. */
function cumulative(values: FileValue, graph: GraphTarget): FileValue {
  const attributes = { T: FLOAT, Tidx: INT, exclusive: { b: true }, reverse: { b: false } };
  return graph.node('Cumsum', [values, graph.int('axis', 0)], attributes, values.shape);
}

/** Sizes of a value at given places, of which there are `count`. */
function picked(at: FileValue, count: number, x: FileValue, f: Formula): FileValue {
  const marks = f.compare('Equal', f.graph.reshape(at, [count, 1]), f.graph.floats('axes', identity(x.shape.length)));
  return f.reduce('Sum', f.mul(marks, sizesOf(x, f.graph)), [1], false);
}

export const flowingSplit =
  (plain: GraphRule): GraphRule =>
  (layer, lowering, graph) => {
    const parts = flowingNumbers(layer, 'split', lowering, graph);
    if (!parts) return plain(layer, lowering, graph);
    const x = lowering.plain(layer.inputs[0]!);
    const axis = front(layer.attributes.axis as number, x.shape.length);
    const f = new Formula(graph);
    const starts = cumulative(parts.values, graph);
    const zeros = graph.floats('zeros', new Array(x.shape.length).fill(0));
    const mark = graph.floats(
      'axis',
      identity(x.shape.length).map((one) => (one === axis ? 1 : 0)),
    );
    const all = sizesOf(x, graph);
    return layer.outputs.map((output, i): Placement | null => {
      if (output === '') return null;
      const [start, size] = [graph.slice(starts, 0, i, i + 1), graph.slice(parts.values, 0, i, i + 1)];
      const begin = f.add(zeros, f.mul(mark, start));
      const sizes = f.add(f.mul(f.sub(1, mark), all), f.mul(mark, size));
      return axesPlace(graph.node('Slice', [x, asInts(begin, graph), asInts(sizes, graph)], { T: FLOAT, Index: INT }, lowering.shape(output)));
    });
  };

export const flowingTile =
  (plain: GraphRule): GraphRule =>
  (layer, lowering, graph) => {
    const repeats = flowingNumbers(layer, 'repeats', lowering, graph);
    const name = flowingInto(layer, 'repeats');
    if (!repeats || lowering.types.get(name!)?.elements) return plain(layer, lowering, graph);
    const x = lowering.plain(layer.inputs[0]!);
    return axesPlace(graph.node('Tile', [x, asInts(repeats.values, graph)], { T: FLOAT, Tmultiples: INT }, lowering.shape(layer.outputs[0]!)));
  };

/** A shape that is not known before it flows in; null where the plain rule can say it. */
function openShape(layer: Layer, lowering: Lowering, graph: GraphTarget): FlowingNumbers | null {
  const name = flowingInto(layer, 'shape');
  if (name === undefined || lowering.types.get(name)?.elements?.every((size) => size !== null)) return null;
  return flowingNumbers(layer, 'shape', lowering, graph);
}

/** A sum with as many zeros, which broadcasts both ways as Expand does. */
export const flowingExpand =
  (plain: GraphRule): GraphRule =>
  (layer, lowering, graph) => {
    const shape = openShape(layer, lowering, graph);
    if (!shape) return plain(layer, lowering, graph);
    const wanted = new Array<Dim>(shape.count).fill('expanded');
    const zeros = graph.node('Fill', [asInts(shape.values, graph), graph.scalar('zero', 0)], { T: FLOAT, index_type: INT }, wanted);
    const made = new Formula(graph).add(lowering.plain(layer.inputs[0]!), zeros);
    return axesPlace({ ...made, shape: lowering.shape(layer.outputs[0]!) });
  };

export const flowingConstantOfShape =
  (plain: GraphRule): GraphRule =>
  (layer, lowering, graph) => {
    const shape = openShape(layer, lowering, graph);
    if (!shape) return plain(layer, lowering, graph);
    const inputs = [asInts(shape.values, graph), graph.scalar('fill', layer.attributes.value as number)];
    return axesPlace(graph.node('Fill', inputs, { T: FLOAT, index_type: INT }, lowering.shape(layer.outputs[0]!)));
  };

/** Where it cuts along axes that flow in. */
export const flowingSlice =
  (plain: GraphRule): GraphRule =>
  (layer, lowering, graph) => {
    const given = (slot: string) => {
      const name = flowingInto(layer, slot);
      return name !== undefined && !lowering.types.get(name)?.elements?.every((one) => typeof one === 'number');
    };
    if (!given('axes') && !given('steps')) return plain(layer, lowering, graph);
    const f = new Formula(graph);
    const x = lowering.plain(layer.inputs[0]!);
    const rank = x.shape.length;
    const numbers = (slot: string, usual: (count: number) => number[], like: number): FileValue => {
      const flowing = flowingNumbers(layer, slot, lowering, graph);
      return flowing?.values ?? graph.floats(slot, (layer.attributes[slot] as readonly number[] | undefined) ?? usual(like));
    };
    const starts = numbers('starts', () => [], 0);
    const count = starts.shape[0] as number;
    const held = (values: FileValue) => f.two('Minimum', f.two('Maximum', values, -FAR), FAR);
    const marks = places(counted(numbers('axes', identity, count), rank, f), count, rank, f);
    const inputs = [
      x,
      asInts(spreadOver(marks, held(starts), count, 0, f), graph),
      asInts(spreadOver(marks, held(numbers('ends', () => [], count)), count, FAR, f), graph),
      asInts(
        spreadOver(
          marks,
          numbers('steps', (n) => new Array<number>(n).fill(1), count),
          count,
          1,
          f,
        ),
        graph,
      ),
    ];
    const none = { i: '0' };
    const attributes = { T: FLOAT, Index: INT, begin_mask: none, end_mask: none, ellipsis_mask: none, new_axis_mask: none, shrink_axis_mask: none };
    return axesPlace(graph.node('StridedSlice', inputs, attributes, lowering.shape(layer.outputs[0]!)));
  };

/** What fills a margin: a number, or what lies in the value itself. */
type Filling = FileValue | 'reflect' | 'edge' | 'wrap';

const NO_NUMBERS: Readonly<Record<string, Filling>> = { reflect: 'reflect', edge: 'edge', wrap: 'wrap' };

/** Amounts, and the axes that they are of. */
export const flowingPad: GraphRule = (layer, lowering, graph) => {
  const { mode, value = 0 } = layer.attributes as Readonly<Record<string, string | number>>;
  const f = new Formula(graph);
  const x = lowering.plain(layer.inputs[0]!);
  const rank = x.shape.length;
  const pads = flowingNumbers(layer, 'pads', lowering, graph) ?? {
    values: graph.floats('pads', layer.attributes.pads as readonly number[]),
    count: (layer.attributes.pads as readonly number[]).length,
  };
  const axes = flowingNumbers(layer, 'axes', lowering, graph);
  const half = pads.count / 2;
  const side = (from: number) => {
    const amounts = graph.slice(pads.values, 0, from, from + half);
    return axes ? spreadOver(places(counted(axes.values, rank, f), half, rank, f), amounts, half, 0, f) : amounts;
  };
  const given = flowingInto(layer, 'value');
  const number = () => (given === undefined ? graph.scalar('pad_value', value as number) : graph.reshape(lowering.plain(given), []));
  return axesPlace(paddedBy(x, [side(0), side(half)], NO_NUMBERS[mode!] ?? number(), lowering.shape(layer.outputs[0]!), graph));
};

/** With margins that flow, for each axis one; what is negative is cut off first. */
export function paddedBy(
  x: FileValue,
  [before, after]: readonly [FileValue, FileValue],
  filling: Filling,
  made: readonly Dim[],
  graph: GraphTarget,
): FileValue {
  const f = new Formula(graph);
  const cutBefore = f.one('Relu', f.one('Neg', before));
  const sizes = f.sub(sizesOf(x, graph), f.add(cutBefore, f.one('Relu', f.one('Neg', after))));
  const cut = graph.node(
    'Slice',
    [x, asInts(cutBefore, graph), asInts(sizes, graph)],
    { T: FLOAT, Index: INT },
    x.shape.map(() => 'cut'),
  );
  const added = [f.one('Relu', before), f.one('Relu', after)] as const;
  if (filling === 'edge' || filling === 'wrap') return repeated(cut, added, filling, made, f);
  const pairs = graph.transpose(graph.reshape(graph.concat(added, 0), [2, x.shape.length]), [1, 0]);
  const amounts = graph.cast(pairs, 'DT_FLOAT', 'DT_INT32');
  if (filling === 'reflect') return graph.node('MirrorPad', [cut, amounts], { T: FLOAT, Tpaddings: INT, mode: { s: btoa('REFLECT') } }, made);
  return graph.node('PadV2', [cut, amounts, filling], { T: FLOAT, Tpaddings: INT }, made);
}

/** Rows of each axis by number: beyond an end lies its last one, or those from the other end. */
function repeated(x: FileValue, margins: readonly [FileValue, FileValue], filling: 'edge' | 'wrap', made: readonly Dim[], f: Formula): FileValue {
  const { graph } = f;
  const single = (values: FileValue, axis: number) => graph.reshape(graph.slice(values, 0, axis, axis + 1), []);
  const all = sizesOf(x, graph);
  return made.reduce<FileValue>((value, to, axis) => {
    const [size, before, after] = [all, ...margins].map((values) => single(values, axis)) as [FileValue, FileValue, FileValue];
    const rows = graph.node('Range', [f.one('Neg', before), f.add(size, after), graph.scalar('step', 1)], { Tidx: FLOAT }, [to]);
    const inside = filling === 'wrap' ? f.two('FloorMod', rows, size) : f.two('Minimum', f.two('Maximum', rows, 0), f.sub(size, 1));
    const attributes = { Tparams: FLOAT, Tindices: INT, Taxis: INT, batch_dims: { i: '0' } };
    return graph.node('GatherV2', [value, asInts(inside, graph), graph.int('axis', axis)], attributes, value.shape.with(axis, to));
  }, x);
}

/** Around the middle, to sizes that flow in. */
export const flowingCenterCropPad =
  (plain: GraphRule): GraphRule =>
  (layer, lowering, graph) => {
    const wanted = flowingNumbers(layer, 'shape', lowering, graph);
    if (!wanted) return plain(layer, lowering, graph);
    const f = new Formula(graph);
    const x = lowering.plain(layer.inputs[0]!);
    const rank = x.shape.length;
    const axes = (layer.attributes.axes as readonly number[] | undefined) ?? identity(rank);
    const own = sizesOf(x, graph);
    const marks = places(counted(graph.floats('axes', axes), rank, f), axes.length, rank, f);
    const more = f.sub(spreadOver(marks, wanted.values, axes.length, own, f), own);
    const before = f.mul(f.one('Sign', more), f.one('Floor', f.mul(f.one('Abs', more), 0.5)));
    return axesPlace(paddedBy(x, [before, f.sub(more, before)], graph.scalar('pad_value', 0), lowering.shape(layer.outputs[0]!), graph));
  };
