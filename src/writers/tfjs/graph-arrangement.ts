/** Rules of graph models that place, pick and search elements, and products of values. */

import { identity } from '../../model/axis-order.js';
import { multiplyDims, productOf, quotientOf } from '../../model/dims.js';
import { isFloatDType } from '../../model/dtype.js';
import type { Dim, Layer } from '../../model/layer-map.js';
import { einsumTerms } from '../../model/ops/einsum.js';
import { bindSlots, operatorOf } from '../../model/ops/index.js';
import { float32Tensor } from '../../model/tensor.js';
import { Formula, type GraphRule, slotValue } from './formula.js';
import {
  asInts,
  flowingConstantOfShape,
  flowingExpand,
  flowingInto,
  flowingNumbers,
  flowingPad,
  flowingReshape,
  flowingSlice,
  flowingSplit,
  flowingSqueeze,
  flowingTile,
  flowingUnsqueeze,
} from './graph-flowing.js';
import { isPlainResize, resizeByMatrices } from './graph-resize.js';
import { combiningScatterND } from './graph-sampling.js';
import { withBatchPlaces } from './graph-searching.js';
import type { GraphTarget } from './graph-target.js';
import type { Lowering } from './lowering.js';
import type { Placement } from './placement.js';
import { axesPlace, front, RULES, withAxes } from './rules.js';
import { type FileValue, knownSize } from './target.js';

const FLOAT = { type: 'DT_FLOAT' };
const INT = { type: 'DT_INT32' };
/** They are written out, one number each. */
const MOST_PLACES = 2 ** 20;
/** From here on an end is beyond any axis. */
const BEYOND = 2 ** 31 - 1;

const numbers = (layer: Layer, name: string): readonly number[] => layer.attributes[name] as readonly number[];

const constant: GraphRule = (layer, lowering, graph) => {
  const inexact = layer.weights.value!.known?.find((element) => Math.abs(element) > 2 ** 24 && Number.isFinite(element) && Math.fround(element) !== element);
  const { dtype } = layer.weights.value!;
  if (inexact !== undefined && !isFloatDType(dtype)) return lowering.decline(`the ${dtype} number ${inexact}, which float32 does not hold`);
  return axesPlace(slotValue(layer, 'value', lowering, graph)!);
};

function withAxis(x: FileValue, axis: number, graph: GraphTarget): FileValue {
  return graph.node('ExpandDims', [x, graph.int('axis', axis)], { T: FLOAT, Tdim: INT }, x.shape.toSpliced(axis, 0, 1));
}

function withoutAxes(x: FileValue, axes: readonly number[], graph: GraphTarget): FileValue {
  if (axes.length === 0) return x;
  const shape = x.shape.filter((_, axis) => !axes.includes(axis));
  return graph.node('Squeeze', [x], { T: FLOAT, squeeze_dims: { list: { i: axes.map(String) } } }, shape);
}

/** Whole numbers that flow in or stand in an attribute: as they are, as free sizes by name, or as what the graph works out. */
function operandSizes(layer: Layer, slot: string, lowering: Lowering, graph: GraphTarget): readonly (Dim | FileValue)[] {
  const given = layer.attributes[slot] as readonly number[] | undefined;
  if (given) return given;
  const flowing = (bindSlots<string>(operatorOf(layer.op)!, layer, layer.inputs, () => '')[slot] as string | undefined) ?? '';
  const count = lowering.types.get(flowing)?.shape?.[0];
  if (typeof count !== 'number') return lowering.decline(`how many ${slot} it has is known only when the model runs`);
  const elements = lowering.types.get(flowing)?.elements;
  return Array.from({ length: count }, (_, i) => elements?.[i] ?? graph.slice(lowering.plain(flowing), 0, i, i + 1));
}

/** Amounts that are worked out when the model runs. */
const pad: GraphRule = (layer, lowering, graph) => {
  const { mode, value } = layer.attributes as Readonly<Record<string, string | number>>;
  if (mode === 'wrap' && layer.attributes.pads) return wrappedPad(layer, lowering, graph);
  if (mode !== 'constant' || layer.inputs.length > 2 || hasSlot(layer, 'axes')) return flowingPad(layer, lowering, graph);
  const x = lowering.plain(layer.inputs[0]!);
  const rank = x.shape.length;
  const amounts = operandSizes(layer, 'pads', lowering, graph);
  const pairs = graph.node(
    'Reshape',
    [graph.vector(identity(rank).flatMap((axis) => [amounts[axis]!, amounts[axis + rank]!])), graph.ints('shape', [rank, 2])],
    { T: INT, Tshape: INT },
    [rank, 2],
  );
  const made = lowering.shape(layer.outputs[0]!);
  return axesPlace(graph.node('PadV2', [x, pairs, graph.scalar('pad_value', (value as number | undefined) ?? 0)], { T: FLOAT, Tpaddings: INT }, made));
};

/** Beyond an end lies what lies at the other one. */
const wrappedPad: GraphRule = (layer, lowering, graph) => {
  const pads = numbers(layer, 'pads');
  const x = lowering.plain(layer.inputs[0]!);
  const rank = x.shape.length;
  const made = identity(rank).reduce<FileValue | null>((value, axis) => {
    const [before, after] = [pads[axis]!, pads[axis + rank]!];
    if (value === null || (before === 0 && after === 0)) return value;
    const size = knownSize(value.shape[axis]);
    if (size === null || Math.min(before, after) < 0 || Math.max(before, after) > size) return null;
    const parts = [...(before > 0 ? [graph.slice(value, axis, size - before, size)] : []), value, ...(after > 0 ? [graph.slice(value, axis, 0, after)] : [])];
    return graph.concat(parts, axis);
  }, x);
  return made ? axesPlace(made) : flowingPad(layer, lowering, graph);
};

const reshape: GraphRule = (layer, lowering) => RULES.Reshape!(layer, lowering);

const shape: GraphRule = (layer, lowering, graph) => {
  const { start = 0, end } = layer.attributes as Readonly<Record<string, number | undefined>>;
  const sizes = lowering.shape(layer.inputs[0]!).slice(start, end);
  return axesPlace(graph.cast(graph.vector(sizes), 'DT_INT32', 'DT_FLOAT'));
};

const range: GraphRule = (layer, lowering, graph) => {
  const [start, limit, delta] = layer.inputs.map((input) => lowering.plain(input));
  return axesPlace(graph.node('Range', [start!, limit!, delta!], { Tidx: FLOAT }, lowering.shape(layer.outputs[0]!)));
};

const unsqueeze: GraphRule = (layer, lowering, graph) => {
  const rank = lowering.shape(layer.outputs[0]!).length;
  const axes = numbers(layer, 'axes')
    .map((axis) => front(axis, rank))
    .toSorted((a, b) => a - b);
  return axesPlace(axes.reduce((x, axis) => withAxis(x, axis, graph), lowering.plain(layer.inputs[0]!)));
};

const squeeze: GraphRule = (layer, lowering, graph) => {
  const x = lowering.plain(layer.inputs[0]!);
  const axes = (layer.attributes.axes as readonly number[] | undefined)?.map((axis) => front(axis, x.shape.length));
  return axesPlace(withoutAxes(x, axes ?? x.shape.flatMap((size, axis) => (size === 1 ? [axis] : [])), graph));
};

function tiled(x: FileValue, repeats: readonly Dim[], graph: GraphTarget): FileValue {
  if (repeats.every((times) => times === 1)) return x;
  const shape = x.shape.map((size, axis) => multiplyDims(size, repeats[axis]!));
  return graph.node('Tile', [x, graph.vector(repeats)], { T: FLOAT, Tmultiples: INT }, shape);
}

const tile: GraphRule = (layer, lowering, graph) => {
  const { value, order } = withAxes(layer.inputs[0]!, lowering);
  const repeats = operandSizes(layer, 'repeats', lowering, graph);
  if (repeats.some((times) => typeof times === 'object')) return lowering.decline('how often it repeats is known only when the model runs');
  const made = tiled(
    value,
    order.map((axis) => repeats[axis] as Dim),
    graph,
  );
  return { kind: 'axes', value: made, order };
};

const expand: GraphRule = (layer, lowering, graph) => {
  const wanted = lowering.shape(layer.outputs[0]!);
  let x = lowering.plain(layer.inputs[0]!);
  while (x.shape.length < wanted.length) x = withAxis(x, 0, graph);
  // Sizes that are free in front are one, or what they are to become: which, is seen when it runs.
  const isSeen = wanted.every((size, axis) => typeof size === 'number' && (size !== 1 || x.shape[axis] === 1));
  if (isSeen && x.shape.some((size) => typeof size !== 'number'))
    return axesPlace(
      graph.node('BroadcastTo', [x, graph.ints('shape', wanted as readonly number[])], { T: { type: 'DT_FLOAT' }, Tidx: { type: 'DT_INT32' } }, wanted),
    );
  const repeats = wanted.map((size, axis) => {
    if (size === x.shape[axis]) return 1;
    if (x.shape[axis] === 1) return size;
    return lowering.decline(`an Expand of [${x.shape}] to [${wanted}], where sizes are free`);
  });
  return axesPlace(tiled(x, repeats, graph));
};

const split: GraphRule = (layer, lowering, graph) => {
  const { value, order } = withAxes(layer.inputs[0]!, lowering);
  const axis = front(layer.attributes.axis as number, order.length);
  const sizes = layer.outputs.map((output) => (output === '' ? null : lowering.shape(output)[axis]!));
  const parts = (layer.attributes.split as readonly Dim[] | undefined) ?? sizes;
  let start = 0;
  return layer.outputs.map((output, i): Placement | null => {
    const size = parts[i] ?? equalPart(lowering.shape(layer.inputs[0]!)[axis]!, layer.outputs.length, i);
    if (typeof size !== 'number') return lowering.decline('parts of an axis of free size');
    start += size;
    return output === '' ? null : { kind: 'axes', value: graph.slice(value, order.indexOf(axis), start - size, start), order };
  });
};

/** The size of a part that nothing reads. */
function equalPart(size: Dim, count: number, i: number): number | null {
  if (typeof size !== 'number') return null;
  const part = Math.ceil(size / count);
  return Math.max(0, Math.min(part, size - i * part));
}

function hasSlot(layer: Layer, slot: string): boolean {
  return layer.attributes[slot] !== undefined || bindSlots<string>(operatorOf(layer.op)!, layer, layer.inputs, () => '')[slot] !== undefined;
}

const slice: GraphRule = (layer, lowering, graph) => {
  const { value, order } = withAxes(layer.inputs[0]!, lowering);
  const [starts, ends] = [operandSizes(layer, 'starts', lowering, graph), operandSizes(layer, 'ends', lowering, graph)];
  const given = (slot: 'axes' | 'steps') => (hasSlot(layer, slot) ? (operandSizes(layer, slot, lowering, graph) as readonly number[]) : undefined);
  const axes = (given('axes') ?? identity(starts.length)).map((axis) => front(axis, order.length));
  const steps = given('steps') ?? starts.map(() => 1);
  if ([...axes, ...steps].some((one) => typeof one !== 'number')) return lowering.decline('along which axes it cuts is known only when the model runs');
  const begin: (Dim | FileValue)[] = order.map(() => 0);
  const end: (Dim | FileValue)[] = order.map(() => 0);
  const stride = order.map(() => 1);
  let [beginMask, endMask] = [2 ** order.length - 1, 2 ** order.length - 1];
  axes.forEach((axis, i) => {
    const at = order.indexOf(axis);
    const size = knownSize(value.shape[at]);
    const [step, from, to] = [steps[i]!, starts[i]!, ends[i]!];
    stride[at] = step;
    if (typeof from !== 'number' || typeof to !== 'number') {
      if (step < 0) lowering.decline(`a slice with steps of ${step} from or to a free size`);
      const isOpen = typeof to === 'number' && to >= BEYOND;
      begin[at] = from;
      end[at] = isOpen ? 0 : to;
      beginMask -= 2 ** at;
      if (!isOpen) endMask -= 2 ** at;
      return;
    }
    if (size === null && step < 0 && !(from === -1 && to <= -BEYOND)) lowering.decline(`a slice with steps of ${step} along an axis of free size`);
    const clamp = (place: number, low: number, high: number) => Math.max(low, Math.min(high, place < 0 ? place + size! : place));
    const first = size === null ? from : step > 0 ? clamp(from, 0, size) : clamp(from, 0, size - 1);
    const last = size === null ? to : step > 0 ? clamp(to, 0, size) : clamp(to, -1, size - 1);
    const isOpen = step > 0 ? last >= (size ?? BEYOND) : size === null || last < 0;
    begin[at] = first;
    end[at] = isOpen ? 0 : last;
    beginMask -= 2 ** at;
    if (!isOpen) endMask -= 2 ** at;
  });
  const made = lowering.shape(layer.outputs[0]!);
  if (made.includes(0)) return lowering.decline('a slice of no elements');
  const attributes = {
    T: FLOAT,
    Index: INT,
    begin_mask: { i: String(beginMask) },
    end_mask: { i: String(endMask) },
    ellipsis_mask: { i: '0' },
    new_axis_mask: { i: '0' },
    shrink_axis_mask: { i: '0' },
  };
  const inputs = [value, graph.vector(begin), graph.vector(end), graph.ints('strides', stride)];
  const shape = order.map((axis) => made[axis]!);
  return { kind: 'axes', value: graph.node('StridedSlice', inputs, attributes, shape), order };
};

/** Whole numbers below zero count from the end of an axis of `x`, or, where they are the places of elements, of that of each of so many axes. */
function places(layer: Layer, slot: 'indices', x: FileValue, [first, count]: readonly [number, number], lowering: Lowering, graph: GraphTarget): FileValue {
  const indices = slotValue(layer, slot, lowering, graph)!;
  const formula = new Formula(graph);
  const flowing = bindSlots<string>(operatorOf(layer.op)!, layer, layer.inputs, () => '')[slot] as string;
  const known = lowering.types.get(flowing)?.elements;
  const isCounted = known?.every((element) => typeof element === 'number' && element >= 0) ?? false;
  if (isCounted) return graph.cast(indices, 'DT_FLOAT', 'DT_INT32');
  const [size] = x.shape.slice(first, first + 1).map(knownSize);
  const sizes = count === 1 && typeof size === 'number' ? size : sizesOf(x, first, indices.shape.length === 0 ? null : count, graph);
  const counted = formula.add(indices, formula.mul(formula.compare('Less', indices, 0), sizes));
  return graph.cast(counted, 'DT_FLOAT', 'DT_INT32');
}

/** Sizes of some axes, those that are free as the graph sees them when it runs. @param count null for a single one without an axis of its own */
function sizesOf(x: FileValue, first: number, count: number | null, graph: GraphTarget): FileValue {
  const known = x.shape.slice(first, first + (count ?? 1)).map(knownSize);
  if (!known.includes(null)) return graph.cast(graph.ints('sizes', known as number[]), 'DT_INT32', 'DT_FLOAT');
  const all = graph.node('Shape', [x], { T: FLOAT, out_type: INT }, [x.shape.length]);
  const range = [graph.ints('begin', [first]), graph.ints('size', [known.length])];
  const sizes = graph.cast(graph.node('Slice', [all, ...range], { T: INT, Index: INT }, [known.length]), 'DT_INT32', 'DT_FLOAT');
  return count === null ? graph.reshape(sizes, []) : sizes;
}

const gather: GraphRule = (layer, lowering, graph) => {
  const table = slotValue(layer, 'table', lowering, graph)!;
  const axis = front(layer.attributes.axis as number, table.shape.length);
  const inputs = [table, places(layer, 'indices', table, [axis, 1], lowering, graph), graph.int('axis', axis)];
  const attributes = { Tparams: FLOAT, Tindices: INT, Taxis: INT, batch_dims: { i: '0' } };
  return axesPlace(graph.node('GatherV2', inputs, attributes, lowering.shape(layer.outputs[0]!)));
};

/** Indices of elements, by the sizes of the axes that they are of. */
function elementPlaces(layer: Layer, x: FileValue, first: number, lowering: Lowering, graph: GraphTarget): FileValue {
  const depth = lowering.shape(layer.inputs[1]!).at(-1) as number;
  return places(layer, 'indices', x, [first, depth], lowering, graph);
}

const gatherND: GraphRule = (layer, lowering, graph) => {
  const x = lowering.plain(layer.inputs[0]!);
  const batch = layer.attributes.batch_dims as number;
  const own = elementPlaces(layer, x, batch, lowering, graph);
  const indices = batch === 0 ? own : withBatchPlaces(own, batch, graph);
  return axesPlace(graph.node('GatherNd', [x, indices], { Tparams: FLOAT, Tindices: INT }, lowering.shape(layer.outputs[0]!)));
};

const scatterND: GraphRule = (layer, lowering, graph) => {
  const { reduction = 'none' } = layer.attributes;
  if (reduction !== 'none') return combiningScatterND(layer, lowering, graph);
  const x = lowering.plain(layer.inputs[0]!);
  const indices = elementPlaces(layer, x, 0, lowering, graph);
  // The kernel of TensorFlow.js's CPU backend writes into the tensor that it is given, which others may read, and which may be a weight.
  const copy = new Formula(graph).mul(x, 1);
  return axesPlace(graph.node('TensorScatterUpdate', [copy, indices, lowering.plain(layer.inputs[2]!)], { T: FLOAT, Tindices: INT }, x.shape));
};

/** The value with an axis last, and the order of its axes then. */
function axisLast(input: string, axis: number, lowering: Lowering): { x: FileValue; order: readonly number[] } {
  const { order } = withAxes(input, lowering);
  const at = front(axis, order.length);
  const wanted = order.at(-1) === at ? order : [...order.filter((other) => other !== at), at];
  return { x: lowering.inOrder(input, wanted), order: wanted };
}

function placeOfExtreme(op: string, x: FileValue, graph: GraphTarget): FileValue {
  const axis = x.shape.length - 1;
  const attributes = { T: FLOAT, Tidx: INT, output_type: INT };
  const made = graph.node(op, [x, graph.int('dimension', axis)], attributes, x.shape.slice(0, -1));
  return graph.cast(made, 'DT_INT32', 'DT_FLOAT');
}

const argument: GraphRule = (layer, lowering, graph) => {
  const { x, order } = axisLast(layer.inputs[0]!, layer.attributes.axis as number, lowering);
  const axis = order.at(-1)!;
  const size = knownSize(x.shape.at(-1));
  const isLast = layer.attributes.select_last_index === 1;
  if (isLast && size === null) return lowering.decline('the last of the extremes along an axis of free size');
  const own = isLast ? graph.node('ReverseV2', [x, graph.ints('axis', [x.shape.length - 1])], { T: FLOAT, Tidx: INT }, x.shape) : x;
  const found = placeOfExtreme(layer.op, own, graph);
  const made = isLast ? new Formula(graph).sub(size! - 1, found) : found;
  if (layer.attributes.keepdims === 1) return { kind: 'axes', value: withAxis(made, made.shape.length, graph), order };
  return { kind: 'axes', value: made, order: order.slice(0, -1).map((other) => (other > axis ? other - 1 : other)) };
};

/**
 * A new last axis of `depth`. TensorFlow.js (4.22) has no OneHot of one, and on WebAssembly it writes the bits of integers where floats are
 * asked for: places are compared instead.
 */
function hot(indices: FileValue, depth: number, off: number, on: number, graph: GraphTarget): FileValue {
  const formula = new Formula(graph);
  const isThere = formula.compare('Equal', withAxis(indices, indices.shape.length, graph), graph.floats('places', [...new Array(depth).keys()]));
  return off === 0 && on === 1 ? isThere : formula.choose(isThere, on, off);
}

const hardmax: GraphRule = (layer, lowering, graph) => {
  const { x, order } = axisLast(layer.inputs[0]!, layer.attributes.axis as number, lowering);
  const size = knownSize(x.shape.at(-1));
  if (size === null) return lowering.decline('a Hardmax along an axis of free size');
  return { kind: 'axes', value: hot(placeOfExtreme('ArgMax', x, graph), size, 0, 1, graph), order };
};

const oneHot: GraphRule = (layer, lowering, graph) => {
  const [indices, depth, values] = layer.inputs;
  const elements = (name: string) => lowering.types.get(name)!.elements;
  const [count, off, on] = [elements(depth!)?.[0], ...(elements(values!) ?? [])];
  const isKnown = typeof count === 'number' && typeof off === 'number' && typeof on === 'number';
  if (isKnown && count > MOST_PLACES) return lowering.decline(`a OneHot of depth ${count}`);
  const formula = new Formula(graph);
  const x = lowering.plain(indices!);
  const rank = x.shape.length;
  const axis = front(layer.attributes.axis as number, rank + 1);
  const order = [...identity(rank).map((own) => (own >= axis ? own + 1 : own)), axis];
  const size = typeof count === 'number' ? count : graph.reshape(lowering.plain(depth!), []);
  const counted = formula.add(x, formula.mul(formula.compare('Less', x, 0), size));
  if (isKnown) return { kind: 'axes', value: hot(counted, count, off, on, graph), order };
  const [start, step] = [graph.scalar('start', 0), graph.scalar('step', 1)];
  const last = typeof size === 'number' ? graph.scalar('depth', size) : size;
  const places = graph.node('Range', [start, last, step], { Tidx: FLOAT }, [typeof count === 'number' ? count : 'depth']);
  const isThere = formula.compare('Equal', withAxis(counted, rank, graph), places);
  const of = (i: number) => graph.reshape(graph.slice(lowering.plain(values!), 0, i, i + 1), []);
  return { kind: 'axes', value: formula.choose(isThere, of(1), of(0)), order };
};

const topK: GraphRule = (layer, lowering, graph) => {
  const { x, order } = axisLast(layer.inputs[0]!, layer.attributes.axis as number, lowering);
  const flowing = flowingNumbers(layer, 'k', lowering, graph);
  const k = flowing ? lowering.shape(layer.outputs.find((output) => output !== '')!)[order.at(-1)!]! : (layer.attributes.k as number);
  const formula = new Formula(graph);
  const isLargest = layer.attributes.largest === 1;
  const shape = x.shape.with(-1, k);
  // Sorted in any case: ONNX leaves open what is not.
  const found = graph.node(
    'TopKV2',
    [isLargest ? x : formula.one('Neg', x), flowing ? asInts(flowing.values, graph) : graph.int('k', k as number)],
    { T: FLOAT, sorted: { b: true } },
    shape,
  );
  const [values, indices] = layer.outputs;
  return [
    values ? ({ kind: 'axes', value: isLargest ? formula.one('Identity', found) : formula.one('Neg', found), order } as const) : null,
    indices ? ({ kind: 'axes', value: graph.cast(graph.other(found, 1, shape), 'DT_INT32', 'DT_FLOAT'), order } as const) : null,
  ].slice(0, layer.outputs.length);
};

const cumSum: GraphRule = (layer, lowering, graph) => {
  const { value, order } = withAxes(layer.inputs[0]!, lowering);
  const axis = order.indexOf(front(layer.attributes.axis as number, order.length));
  const attributes = { T: FLOAT, Tidx: INT, exclusive: { b: layer.attributes.exclusive === 1 }, reverse: { b: layer.attributes.reverse === 1 } };
  return { kind: 'axes', value: graph.node('Cumsum', [value, graph.int('axis', axis)], attributes, value.shape), order };
};

/** Letters once in each operand: sums, products of matrices and an order of axes, because not every backend has Einsum. */
const einsum: GraphRule = (layer, lowering, graph) => {
  const equation = layer.attributes.equation as string;
  const shapes = layer.inputs.map((input) => lowering.shape(input));
  const { inputs, output } = einsumTerms(
    equation,
    shapes.map(({ length }) => length),
  );
  if ([...inputs, output].some((term) => new Set(term).size !== term.length)) return lowering.decline(`an Einsum of "${equation}"`);
  const sizes = new Map<string, Dim>();
  inputs.forEach((term, i) => {
    term.forEach((letter, axis) => {
      const size = shapes[i]![axis]!;
      if ((sizes.get(letter) ?? size) !== size && (size === 1 || sizes.get(letter) === 1))
        lowering.decline(`an Einsum of "${equation}" that broadcasts "${letter}"`);
      sizes.set(letter, size);
    });
  });
  const formula = new Formula(graph);
  const dims = (letters: readonly string[]) => letters.map((letter) => sizes.get(letter)!);
  const inOrder = ({ x, letters }: Lettered, wanted: readonly string[]): FileValue =>
    wanted.every((letter, axis) => letter === letters[axis])
      ? x
      : graph.transpose(
          x,
          wanted.map((letter) => letters.indexOf(letter)),
        );
  /** Without the letters that nothing else has. */
  const summed = ({ x, letters }: Lettered, others: readonly string[]): Lettered => {
    const alone = letters.flatMap((letter, axis) => (others.includes(letter) ? [] : [axis]));
    return { x: alone.length === 0 ? x : formula.reduce('Sum', x, alone, false), letters: letters.filter((letter) => others.includes(letter)) };
  };
  const product = (left: Lettered, right: Lettered, wanted: readonly string[]): Lettered => {
    const [a, b] = [summed(left, [...wanted, ...right.letters]), summed(right, [...wanted, ...left.letters])];
    const both = a.letters.filter((letter) => b.letters.includes(letter));
    const [batch, folded] = [both.filter((letter) => wanted.includes(letter)), both.filter((letter) => !wanted.includes(letter))];
    const only = ({ letters }: Lettered) => letters.filter((letter) => !both.includes(letter));
    const matrix = (operand: Lettered, rows: readonly string[], columns: readonly string[]) =>
      graph.reshape(inOrder(operand, [...batch, ...rows, ...columns]), [...dims(batch), productOf(dims(rows)), productOf(dims(columns))]);
    const made = graph.matMul(matrix(a, only(a), folded), matrix(b, folded, only(b)));
    const letters = [...batch, ...only(a), ...only(b)];
    return { x: graph.reshape(made, dims(letters)), letters };
  };
  let [made, ...rest] = inputs.map((letters, i): Lettered => ({ x: lowering.plain(layer.inputs[i]!), letters })) as [Lettered, ...Lettered[]];
  for (let next = rest.shift(); next; next = rest.shift()) made = product(made, next, [...output, ...rest.flatMap(({ letters }) => letters)]);
  return axesPlace(inOrder(summed(made, output), output));
};

interface Lettered {
  readonly x: FileValue;
  readonly letters: readonly string[];
}

/** A constant truth for each element that stays; the others are zero. */
const trilu: GraphRule = (layer, lowering, graph) => {
  const x = lowering.plain(layer.inputs[0]!);
  const [rows, columns] = x.shape.slice(-2).map(knownSize) as [number | null, number | null];
  if (rows === null || columns === null) return lowering.decline('a triangle of a matrix of free size');
  const isUpper = layer.attributes.upper === 1;
  const flowing = flowingInto(layer, 'k');
  if (flowing !== undefined) {
    const above = Array.from({ length: rows * columns }, (_, i) => (i % columns) - Math.floor(i / columns));
    const distance = graph.tensor('above', float32Tensor('above', [rows, columns], above, { file: 'weighbridge' }));
    const f = new Formula(graph);
    return axesPlace(f.choose(f.compare(isUpper ? 'GreaterEqual' : 'LessEqual', distance, graph.reshape(lowering.plain(flowing), [])), x, 0));
  }
  const k = layer.attributes.k as number;
  const kept = Array.from({ length: rows * columns }, (_, i) => {
    const above = (i % columns) - Math.floor(i / columns);
    return (isUpper ? above >= k : above <= k) ? 1 : 0;
  });
  const mask = graph.tensor('mask', float32Tensor('mask', [rows, columns], kept, { file: 'weighbridge' }));
  return axesPlace(new Formula(graph).choose(mask, x, 0));
};

const matMul: GraphRule = (layer, lowering, graph) => {
  const [x, kernel] = [slotValue(layer, 'x', lowering, graph)!, slotValue(layer, 'kernel', lowering, graph)!];
  const left = x.shape.length === 1 ? withAxis(x, 0, graph) : x;
  const right = kernel.shape.length === 1 ? withAxis(kernel, 1, graph) : kernel;
  const made = graph.matMul(left, right);
  const rank = made.shape.length;
  const added = [...(x.shape.length === 1 ? [rank - 2] : []), ...(kernel.shape.length === 1 ? [rank - 1] : [])];
  return axesPlace(withoutAxes(made, added, graph));
};

/** A kernel [out, in] that flows. */
const gemm: GraphRule = (layer, lowering, graph) => {
  const kernel = graph.transpose(slotValue(layer, 'kernel', lowering, graph)!, [1, 0]);
  const made = graph.matMul(slotValue(layer, 'x', lowering, graph)!, kernel);
  const bias = slotValue(layer, 'bias', lowering, graph);
  return axesPlace(bias ? new Formula(graph).add(made, bias) : made);
};

/** To sizes, as factors that lead there. */
const resize: GraphRule = (layer, lowering, graph) => {
  if (!isPlainResize(layer, lowering)) return resizeByMatrices(layer, lowering, graph);
  const { attributes } = layer;
  const shape = lowering.shape(layer.inputs[0]!);
  const wanted = lowering.shape(layer.outputs[0]!);
  const along = (attributes.axes as readonly number[] | undefined)?.map((axis) => front(axis, shape.length)) ?? identity(shape.length);
  const given = attributes.scales as readonly number[] | undefined;
  const scales = shape.map((size, axis) => {
    const at = along.indexOf(axis);
    if (at < 0 || size === wanted[axis]) return 1;
    if (given && !attributes.sizes) return given[at]!;
    // What leads to a free size is worked out by TensorFlow.js, from both sizes.
    if (typeof size === 'number' && typeof wanted[axis] === 'number') return wanted[axis] / size;
    const factor = quotientOf(wanted[axis]!, size);
    return typeof factor === 'number' ? factor : Number.NaN;
  });
  return RULES.Resize!({ ...layer, attributes: { ...attributes, scales } }, lowering);
};

const constantOfShape: GraphRule = (layer, lowering, graph) => {
  const shape = lowering.shape(layer.outputs[0]!);
  const inputs = [graph.vector(shape), graph.scalar('fill', layer.attributes.value as number)];
  return axesPlace(graph.node('Fill', inputs, { T: FLOAT, index_type: INT }, shape));
};

export const GRAPH_ARRANGEMENTS: Readonly<Record<string, GraphRule>> = {
  Constant: constant,
  Shape: shape,
  Range: range,
  Reshape: flowingReshape(reshape),
  Pad: pad,
  ConstantOfShape: flowingConstantOfShape(constantOfShape),
  Unsqueeze: flowingUnsqueeze(unsqueeze),
  Squeeze: flowingSqueeze(squeeze),
  Tile: flowingTile(tile),
  Expand: flowingExpand(expand),
  Split: flowingSplit(split),
  Slice: flowingSlice(slice),
  Gather: gather,
  GatherND: gatherND,
  ScatterND: scatterND,
  ArgMax: argument,
  ArgMin: argument,
  Hardmax: hardmax,
  OneHot: oneHot,
  TopK: topK,
  CumSum: cumSum,
  Einsum: einsum,
  Trilu: trilu,
  MatMul: matMul,
  Gemm: gemm,
  Resize: resize,
};
