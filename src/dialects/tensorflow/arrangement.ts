/** Nodes that move elements, fold axes, and work on shapes. */
import type { Value } from '../../model/builder.js';
import { isFloatDType } from '../../model/dtype.js';
import type { TfOperation } from './node.js';
import type { TfRule } from './rule.js';

export function axisOf(operation: TfOperation, index: number, rank: number, what = 'axis'): number {
  const [axis] = operation.known(index, what);
  if (axis === undefined || axis < -rank || axis >= rank) throw operation.decline(`its ${what} ${axis} is none of ${rank}`);
  return axis < 0 ? axis + rank : axis;
}

const NARROW: ReadonlySet<string> = new Set(['uint8', 'int8', 'uint16', 'int16']);

/** @param ofNone what it makes of each element alone, where that is not the element */
const reduce =
  (op: string, ofNone?: string): TfRule =>
  (operation) => {
    const x = operation.input(0);
    const rank = operation.rank(x);
    const axes = operation.known(1, 'axes').map((axis) => (axis < 0 ? axis + rank : axis));
    const keepdims = operation.flag('keep_dims') || operation.flag('keepdims') ? 1 : 0;
    // Folding no axis leaves everything as it is; ONNX would fold all.
    if (axes.length === 0) return ofNone === undefined ? x : operation.add(ofNone, [x]);
    // Runtimes add and multiply wide integers only; what wraps around comes out alike.
    if (x.dtype === null || !NARROW.has(x.dtype) || !/Sum|Prod/.test(op)) return operation.add(op, [x], { axes, keepdims });
    const wide = operation.before(op, [operation.before('Cast', [x], { to: 'int32' })], { axes, keepdims });
    return operation.add('Cast', [wide], { to: x.dtype });
  };

/** TensorFlow.js gives the mean of integers in float32, TensorFlow as an integer. */
const mean: TfRule = (operation) => {
  const { dtype } = operation.input(0);
  if (operation.runtime !== 'tfjs' || dtype === null || isFloatDType(dtype)) return reduce('ReduceMean')(operation);
  return reduce('ReduceMean')(operation.reading([operation.before('Cast', [operation.input(0)], { to: 'float32' }), ...operation.inputs.slice(1)]));
};

/** Of booleans, as numbers. */
const reduceBoolean =
  (op: 'ReduceMin' | 'ReduceMax'): TfRule =>
  (operation) => {
    const rank = operation.rank(operation.input(0));
    const axes = operation.known(1, 'axes').map((axis) => (axis < 0 ? axis + rank : axis));
    const keepdims = operation.flag('keep_dims') ? 1 : 0;
    const numbers = operation.before('Cast', [operation.input(0)], { to: 'int32' });
    return operation.add('Cast', [axes.length === 0 ? numbers : operation.before(op, [numbers], { axes, keepdims })], { to: 'bool' });
  };

const squeeze: TfRule = (operation) => {
  const axes = operation.numbers('squeeze_dims', operation.numbers('axis'));
  operation.numbers('axis');
  const x = operation.input(0);
  const rank = operation.rank(x);
  const dropped = axes.length > 0 ? axes.map((axis) => (axis < 0 ? axis + rank : axis)) : x.shape!.flatMap((size, axis) => (size === 1 ? [axis] : []));
  return dropped.length === 0 ? x : operation.add('Squeeze', [x], { axes: dropped });
};

const expandDims: TfRule = (operation) => {
  const rank = operation.rank(operation.input(0));
  return operation.add('Unsqueeze', [operation.input(0)], { axes: [axisOf(operation, 1, rank + 1)] });
};

const transpose: TfRule = (operation) => operation.add('Transpose', [operation.input(0)], { perm: operation.known(1, 'order of axes') });

function concat(operation: TfOperation, parts: readonly Value[], index: number): Value {
  const rank = operation.rank(parts[0]!);
  return operation.add('Concat', parts, { axis: axisOf(operation, index, rank) });
}

const pack: TfRule = (operation) => {
  const rank = operation.rank(operation.input(0)) + 1;
  const axis = (operation.number('axis', 0) + rank) % rank;
  const parts = operation.inputs.map((part) => operation.before('Unsqueeze', [part], { axes: [axis] }));
  return operation.add('Concat', parts, { axis });
};

const unpack: TfRule = (operation) => {
  const x = operation.input(0);
  const rank = operation.rank(x);
  const axis = (operation.number('axis', 0) + rank) % rank;
  const count = operation.number('num', Number(x.shape![axis]));
  operation.checkCount(count);
  return Array.from({ length: count }, (_, i) => {
    const part = operation.before('Slice', [x], { starts: [i], ends: [i + 1], axes: [axis] });
    return operation.add('Squeeze', [part], { axes: [axis] }, `${operation.name}/${i}`);
  });
};

/** Parts of given sizes along an axis, each a Slice. */
function parts(operation: TfOperation, x: Value, axis: number, sizes: readonly number[]): Value[] {
  let start = 0;
  return sizes.map((size, i) => {
    const part = operation.add('Slice', [x], { starts: [start], ends: [start + size], axes: [axis] }, `${operation.name}/${i}`);
    start += size;
    return part;
  });
}

const split: TfRule = (operation) => {
  const x = operation.input(1);
  const axis = axisOf(operation, 0, operation.rank(x));
  const count = operation.number('num_split', 1);
  operation.checkCount(count);
  const size = x.shape![axis];
  if (typeof size !== 'number' || size % count !== 0) throw operation.decline(`an axis of ${size} is split into ${count} equal parts`);
  return parts(operation, x, axis, new Array<number>(count).fill(size / count));
};

const splitV: TfRule = (operation) => {
  const x = operation.input(0);
  const axis = axisOf(operation, 2, operation.rank(x));
  operation.number('num_split', 1);
  const sizes = [...operation.known(1, 'sizes')];
  const hole = sizes.indexOf(-1);
  const all = x.shape![axis];
  if (hole >= 0) {
    if (typeof all !== 'number') throw operation.decline('one of its sizes is to be worked out from an axis of free size');
    sizes[hole] = all - sizes.reduce((sum, size) => sum + Math.max(size, 0), 0);
  }
  return parts(operation, x, axis, sizes);
};

const slice: TfRule = (operation) => {
  const x = operation.input(0);
  const starts = operation.known(1, 'begin');
  const sizes = operation.bounds(2);
  const ends = starts.map((start, axis) => {
    const size = sizes[axis];
    // All of an axis, whatever its size.
    if (size === -1 || (start === 0 && size != null && size === x.shape?.[axis])) return FAR;
    if (typeof size !== 'number') throw operation.decline('how much it takes is known only when the model runs');
    return start + size;
  });
  return operation.add('Slice', [x], { starts, ends, axes: starts.map((_, axis) => axis) });
};

/** An end that is beyond every axis. */
export const FAR = 2 ** 31 - 1;

/** @see https://www.tensorflow.org/api_docs/python/tf/strided_slice, whose masks have a bit for each place */
const stridedSlice: TfRule = (operation) => {
  const x = operation.input(0);
  const rank = operation.rank(x);
  const [begin, end, strides] = [operation.bounds(1), operation.bounds(2), operation.known(3, 'strides')];
  const bits = (name: string) => operation.number(name, 0);
  const has = (mask: number, place: number) => (mask & (2 ** place)) !== 0;
  const [beginMask, endMask, ellipsisMask, newMask, shrinkMask] = ['begin_mask', 'end_mask', 'ellipsis_mask', 'new_axis_mask', 'shrink_axis_mask'].map(
    bits,
  ) as [number, number, number, number, number];
  const places = strides.length;
  const added = strides.filter((_, place) => has(newMask, place) && !has(ellipsisMask, place)).length;
  const starts: number[] = [];
  const ends: number[] = [];
  const axes: number[] = [];
  const steps: number[] = [];
  const dropped: number[] = [];
  const fresh: number[] = [];
  let axis = 0;
  let made = 0;
  for (let place = 0; place < places; place++) {
    if (has(ellipsisMask, place)) {
      const covered = rank - (places - 1 - added);
      axis += covered;
      made += covered;
    } else if (has(newMask, place)) {
      fresh.push(made);
      made++;
    } else {
      const step = strides[place]!;
      const [from, to] = [begin[place], end[place]];
      const isOne = has(shrinkMask, place);
      if (typeof from !== 'number' && !has(beginMask, place)) throw operation.decline('where it begins is known only when the model runs');
      if (typeof to !== 'number' && !has(endMask, place) && !isOne && to !== x.shape![axis])
        throw operation.decline('where it ends is known only when the model runs');
      starts.push(has(beginMask, place) && !isOne ? (step > 0 ? 0 : FAR) : (from as number));
      // The last element has no end of its own: -1 + 1 would be the first.
      ends.push(isOne ? (from === -1 ? FAR : (from as number) + 1) : has(endMask, place) || typeof to !== 'number' ? (step > 0 ? FAR : -FAR - 1) : to);
      axes.push(axis);
      steps.push(isOne ? 1 : step);
      if (isOne) dropped.push(axis);
      else made++;
      axis++;
    }
  }
  const isNothing = starts.every((start, i) => start === 0 && ends[i] === FAR && steps[i] === 1);
  const isLast = (name: string) => (name === 'Slice' ? dropped.length + fresh.length === 0 : name === 'Squeeze' ? fresh.length === 0 : true);
  const step = (op: string, value: Value, attributes: Record<string, readonly number[]>) =>
    isLast(op) ? operation.add(op, [value], attributes) : operation.before(op, [value], attributes);
  let value = x;
  if (!isNothing) value = step('Slice', value, { starts, ends, axes, ...(steps.every((one) => one === 1) ? {} : { steps }) });
  if (dropped.length > 0) value = step('Squeeze', value, { axes: dropped });
  if (fresh.length > 0) value = step('Unsqueeze', value, { axes: fresh });
  return value;
};

function pads(operation: TfOperation): number[] {
  const pairs = operation.known(1, 'paddings');
  const rank = pairs.length / 2;
  return [...Array.from({ length: rank }, (_, axis) => pairs[2 * axis]!), ...Array.from({ length: rank }, (_, axis) => pairs[2 * axis + 1]!)];
}

const pad: TfRule = (operation) => {
  const value = operation.inputs.length > 2 ? operation.known(2, 'value')[0]! : 0;
  return operation.add('Pad', [operation.input(0)], { pads: pads(operation), value });
};

const mirrorPad: TfRule = (operation) => {
  const mode = operation.text('mode');
  if (mode === 'SYMMETRIC') return mirrored(operation);
  if (mode !== 'REFLECT') throw operation.decline(`mode ${mode}`);
  return operation.add('Pad', [operation.input(0)], { pads: pads(operation), mode: 'reflect' });
};

/** A mirror that stands behind the edge, which ONNX has not: elements in the order of their mirrored places, one axis after another. */
function mirrored(operation: TfOperation): Value {
  const x = operation.input(0);
  const amounts = pads(operation);
  const rank = amounts.length / 2;
  const padded = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => amounts[axis] !== 0 || amounts[rank + axis] !== 0);
  return padded.reduce((value, axis, i) => {
    const size = x.shape?.[axis];
    const [before, after] = [amounts[axis]!, amounts[rank + axis]!];
    if (typeof size !== 'number') throw operation.decline('it mirrors an axis whose size is known only when the model runs');
    if (![before, after].every((amount) => amount >= 0 && amount <= size)) throw operation.decline(`it mirrors ${before} and ${after} of ${size} elements`);
    const places = Array.from({ length: before + size + after }, (_, at) => mirrorPlace(at - before, size));
    const name = i === padded.length - 1 ? operation.name : `${operation.name}/Gather`;
    return operation.add('Gather', [value, operation.integers(places)], { axis }, name);
  }, x);
}

function mirrorPlace(at: number, size: number): number {
  if (at < 0) return -1 - at;
  return at < size ? at : 2 * size - 1 - at;
}

const cumsum: TfRule = (operation) => {
  const x = operation.input(0);
  const axis = axisOf(operation, 1, operation.rank(x));
  const attributes = { exclusive: operation.flag('exclusive') ? 1 : 0, reverse: operation.flag('reverse') ? 1 : 0 };
  return operation.add('CumSum', [x, operation.build.numbers('int64', axis)], attributes);
};

const END = 2 ** 63;

/** In steps that multiply each element with what has come together 1, 2, 4, ... places before it. */
const cumprod: TfRule = (operation) => {
  const x = operation.input(0);
  const rank = operation.rank(x);
  const axis = axisOf(operation, 1, rank);
  const size = x.shape![axis]!;
  if (typeof size !== 'number') throw operation.decline('the axis that it multiplies along is of free size');
  const isReverse = operation.flag('reverse');
  const cut = (value: Value, start: number, end: number) => operation.before('Slice', [value], { starts: [start], ends: [end], axes: [axis] });
  let made = x;
  for (let by = 1; by < size; by *= 2) {
    const [low, high] = [cut(made, 0, size - by), cut(made, by, END)];
    const joined = operation.before('Mul', [low, high]);
    made = operation.before('Concat', isReverse ? [joined, cut(made, size - by, END)] : [cut(made, 0, by), joined], { axis });
  }
  if (!operation.flag('exclusive')) return operation.add('Identity', [made]);
  const moved = isReverse ? cut(made, 1, END) : cut(made, 0, size - 1);
  const pads = new Array<number>(2 * rank).fill(0).with(isReverse ? axis + rank : axis, 1);
  return operation.add('Pad', [moved], { pads, value: 1 });
};

const reverse: TfRule = (operation) => {
  const x = operation.input(0);
  const rank = operation.rank(x);
  const axes = operation.known(1, 'axes').map((axis) => (axis < 0 ? axis + rank : axis));
  if (axes.length === 0) return x;
  return operation.add('Slice', [x], { starts: axes.map(() => -1), ends: axes.map(() => -FAR - 1), axes, steps: axes.map(() => -1) });
};

/** Batch and blocks of a picture trade places: a Reshape, a Transpose, a Reshape. */
const spaceToBatch: TfRule = (operation) => {
  const x = operation.input(0);
  const block = operation.known(1, 'block shape');
  const [before, after] = margins(operation.known(2, 'paddings'));
  const rank = operation.rank(x);
  const rest = rank - 1 - block.length;
  const zeros = new Array<number>(rest).fill(0);
  const padded = [...before, ...after].every((amount) => amount === 0)
    ? x
    : operation.before('Pad', [x], { pads: [0, ...before, ...zeros, 0, ...after, ...zeros] });
  const shape = operation.sizes(padded);
  const split = [shape[0]!, ...block.flatMap((size, i) => [operation.divided(shape[i + 1]!, size), size]), ...shape.slice(block.length + 1)];
  const inner = block.map((_, i) => 2 * i + 2);
  const outer = block.map((_, i) => 2 * i + 1);
  const turned = operation.before('Transpose', [operation.reshaped(padded, split)], {
    perm: [...inner, 0, ...outer, ...Array.from({ length: rest }, (_, i) => 2 * block.length + 1 + i)],
  });
  const product = block.reduce((a, b) => a * b, 1);
  return operation.reshaped(
    turned,
    [operation.multiplied(shape[0]!, product), ...block.map((size, i) => operation.divided(shape[i + 1]!, size)), ...shape.slice(block.length + 1)],
    operation.name,
  );
};

const batchToSpace: TfRule = (operation) => {
  const x = operation.input(0);
  const block = operation.known(1, 'block shape');
  const [before, after] = margins(operation.known(2, 'crops'));
  const shape = operation.sizes(x);
  const rest = shape.slice(block.length + 1);
  const product = block.reduce((a, b) => a * b, 1);
  const batch = operation.divided(shape[0]!, product);
  const split = operation.reshaped(x, [...block, batch, ...shape.slice(1)]);
  const perm = [block.length, ...block.flatMap((_, i) => [block.length + 1 + i, i]), ...rest.map((_, i) => 2 * block.length + 1 + i)];
  const turned = operation.before('Transpose', [split], { perm });
  const isCut = [...before, ...after].some((amount) => amount !== 0);
  const sizes = block.map((size, i) => operation.multiplied(shape[i + 1]!, size));
  const merged = operation.reshaped(turned, [batch, ...sizes, ...rest], isCut ? undefined : operation.name);
  if (!isCut) return merged;
  return operation.add('Slice', [merged], { starts: before, ends: after.map((amount) => (amount === 0 ? FAR : -amount)), axes: block.map((_, i) => i + 1) });
};

/** Of old graphs, whose blocks are squares. */
const ofSquares =
  (rule: TfRule): TfRule =>
  (operation) => {
    const size = operation.number('block_size', 0);
    return rule(operation.reading([operation.input(0), operation.integers([size, size]), operation.input(1)]));
  };

function margins(pairs: readonly number[]): [number[], number[]] {
  const count = pairs.length / 2;
  return [Array.from({ length: count }, (_, i) => pairs[2 * i]!), Array.from({ length: count }, (_, i) => pairs[2 * i + 1]!)];
}

/** ONNX counts sizes in int64. */
function sizes(operation: TfOperation, op: 'Shape' | 'Size'): Value {
  const to = operation.dtype('out_type') ?? 'int32';
  return operation.add('Cast', [operation.before(op, [operation.input(0)])], { to });
}

/** Of the shape of what flows in; not its product with zero, which would keep infinities. */
function filled(operation: TfOperation, value: number): Value {
  const x = operation.input(0);
  return operation.add('Expand', [operation.scalar(value, x), operation.before('Shape', [x])]);
}

export const arrangement: Readonly<Record<string, TfRule>> = {
  Reshape: (operation) => operation.add('Reshape', [operation.input(0), operation.int64(1)]),
  Squeeze: squeeze,
  ExpandDims: expandDims,
  Transpose: transpose,
  ConcatV2: (operation) => concat(operation, operation.inputs.slice(0, -1), operation.inputs.length - 1),
  Concat: (operation) => concat(operation, operation.inputs.slice(1), 0),
  Pack: pack,
  Unpack: unpack,
  Split: split,
  SplitV: splitV,
  Slice: slice,
  StridedSlice: stridedSlice,
  Cumprod: cumprod,
  Cumsum: cumsum,
  ReverseV2: reverse,
  Pad: pad,
  PadV2: pad,
  MirrorPad: mirrorPad,
  SpaceToBatchND: spaceToBatch,
  BatchToSpaceND: batchToSpace,
  SpaceToBatch: ofSquares(spaceToBatch),
  BatchToSpace: ofSquares(batchToSpace),
  Mean: mean,
  Sum: reduce('ReduceSum'),
  Max: reduce('ReduceMax'),
  Min: reduce('ReduceMin'),
  Prod: reduce('ReduceProd'),
  EuclideanNorm: reduce('ReduceL2', 'Abs'),
  All: reduceBoolean('ReduceMin'),
  Any: reduceBoolean('ReduceMax'),
  Shape: (operation) => sizes(operation, 'Shape'),
  ShapeN: (operation) => {
    const to = operation.dtype('out_type') ?? 'int32';
    return operation.inputs.map((x, i) => operation.add('Cast', [operation.before('Shape', [x])], { to }, i === 0 ? operation.name : `${operation.name}/${i}`));
  },
  Size: (operation) => sizes(operation, 'Size'),
  Rank: (operation) => operation.build.numbers('int32', operation.rank(operation.input(0))),
  Fill: (operation) => operation.add('Expand', [operation.input(1), operation.int64(0)]),
  BroadcastTo: (operation) => operation.add('Expand', [operation.input(0), operation.int64(1)]),
  Tile: (operation) => operation.add('Tile', [operation.input(0), operation.int64(1)]),
  Range: (operation) => operation.add('Range', [operation.input(0), operation.input(1), operation.input(2)]),
  LinSpace: (operation) => {
    const [[start], [stop], [count]] = [operation.known(0, 'start'), operation.known(1, 'end'), operation.known(2, 'count')] as [number[], number[], number[]];
    operation.checkCount(count!);
    const step = count! > 1 ? (stop! - start!) / (count! - 1) : 0;
    return operation.build.numbers(
      operation.input(0).dtype ?? 'float32',
      Array.from({ length: count! }, (_, i) => (i > 0 && i === count! - 1 ? stop! : start! + step * i)),
    );
  },
  /** The shape that several shapes broadcast to. */
  BroadcastArgs: (operation) => {
    const [a, b] = [operation.known(0, 'shape'), operation.known(1, 'shape')];
    const rank = Math.max(a.length, b.length);
    const sizes = Array.from({ length: rank }, (_, i) => [a[i - rank + a.length] ?? 1, b[i - rank + b.length] ?? 1] as const);
    return operation.build.numbers(
      operation.input(0).dtype ?? 'int32',
      sizes.map(([x, y]) => (x === 1 ? y : x)),
    );
  },
  ZerosLike: (operation) => filled(operation, 0),
  OnesLike: (operation) => filled(operation, 1),
  Einsum: (operation) => operation.add('Einsum', operation.inputs, { equation: operation.text('equation') }),
};
