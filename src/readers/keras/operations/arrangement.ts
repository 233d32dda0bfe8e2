/** Operations that move elements, reduce axes, or multiply matrices. */
import type { Dim } from '../../../model/layer-map.js';
import { combineValues } from '../arithmetic.js';
import { kerasAxes, knownSize, type Reduction, reduce, slice, squeeze, unsqueeze } from '../axes.js';
import { concat } from '../merge.js';
import type { Scope } from '../scope.js';
import { kerasShape, mapAxis, type Value } from '../value.js';
import { type Arguments, isConstant, type Operand, valueAt } from './arguments.js';
import type { Operation } from './operation.js';
import { timesMatrix } from './products.js';
import { joinSizes, productOf } from './sizes.js';
import { flip, mirrored } from './slicing.js';

/** Why a reduction that names no axes is declined. */
export const ALL_AXES = 'it reduces over all axes, the batch included, which is not translated';

/** Operations of one value. */
export const ofValue =
  (x: string, read: (args: Arguments) => (value: Value, scope: Scope, inputs: readonly Value[]) => Value | readonly Value[]): Operation =>
  (args) => {
    const operand = args.operand(x);
    if (isConstant(operand)) args.decline('it is called on numbers alone, which is not translated');
    const apply = read(args);
    return (inputs, scope) => apply(valueAt(operand, inputs), scope, inputs);
  };

/** @param axis name of the parameter, by which Keras means all axes but the batch where it is missing */
export const reduction = (op: Reduction, x: string, axis = 'axis', keep = 'keepdims'): Operation =>
  ofValue(x, (args) => {
    const axes = args.integers(axis);
    const keeps = args.boolean(keep, false);
    return (value, scope) => {
      if (value.sizes && op === 'ReduceProd') return productOf(value.sizes, scope);
      if (axes === undefined) throw scope.unsupported('a reduction over all axes, the batch included,');
      return reduce(op, value, axes, keeps, scope);
    };
  });

/** The variance, or its root, over some axes. */
export const spread = (root: boolean, x: string): Operation =>
  ofValue(x, (args) => {
    const axes = args.integers('axis');
    const keeps = args.boolean('keepdims', false);
    if (axes === undefined) args.decline(ALL_AXES);
    return (input, scope) => {
      const value = scope.builder.unflattened(input);
      const centred = combineValues('Sub', value, reduce('ReduceMean', value, axes, true, scope), scope);
      const variance = reduce('ReduceMean', scope.add('Mul', [centred, centred]), axes, keeps, scope);
      return root ? scope.add('Sqrt', [variance]) : variance;
    };
  });

/** x / √max(Σx², epsilon) */
export const l2Normalize = (x: string, epsilon = 1e-12): Operation =>
  ofValue(x, (args) => {
    const axes = args.integers('axis') ?? args.integers('dim');
    const least = args.number('epsilon', epsilon);
    if (axes === undefined) args.decline('it normalises over all axes, the batch included, which is not translated');
    return (value, scope) => unit(value, axes ?? [], least, scope);
  });

export function unit(input: Value, axes: readonly number[], least: number, scope: Scope): Value {
  const value = scope.builder.unflattened(input);
  const sum = reduce('ReduceSum', scope.add('Mul', [value, value]), axes, true, scope);
  const norm = scope.add('Sqrt', [scope.add('Clip', [sum], { attributes: { min: least } })]);
  return combine('Div', value, norm, scope);
}

const combine = (op: 'Div', a: Value, b: Value, scope: Scope): Value => combineValues(op, a, b, scope);

/** The values of a list, or what is made of it where it holds numbers that are known from shapes. */
function listed(operands: readonly Operand[], inputs: readonly Value[], scope: Scope): { readonly sizes: Value } | { readonly values: readonly Value[] } {
  const sizes = joinSizes(operands, inputs);
  if (sizes) return { sizes };
  if (operands.some(isConstant)) throw scope.unsupported('joining numbers with values');
  return { values: operands.map((operand) => valueAt(operand, inputs)) };
}

/** Values one behind the other along an axis. */
export function joined(args: Arguments, operands: readonly Operand[], axis: number): ReturnType<Operation> {
  if (operands.some(isConstant)) args.decline('joining numbers with values is not translated');
  return (inputs, scope) =>
    concat(
      axis,
      operands.map((operand) => valueAt(operand, inputs)),
      scope,
    );
}

export const concatenate =
  (xs: string, usual = 0): Operation =>
  (args) => {
    const operands = args.operands(xs);
    const axis = args.integer('axis', usual);
    return (inputs, scope) => {
      const list = listed(operands, inputs, scope);
      return 'sizes' in list ? list.sizes : concat(axis, list.values, scope);
    };
  };

export const stack =
  (xs: string): Operation =>
  (args) => {
    const operands = args.operands(xs);
    const axis = args.integer('axis', 0);
    return (inputs, scope) => {
      const list = listed(operands, inputs, scope);
      if ('sizes' in list) return list.sizes;
      return concat(
        axis,
        list.values.map((value) => unsqueeze(value, axis, scope)),
        scope,
      );
    };
  };

/** Far more than nets split an axis into. */
const MAX_PARTS = 4096;

/** Parts of an axis: so many alike, or of these sizes, or up to these places. @param always the axis, where the call does not say it */
export const split = (x: string, parts: string, are: 'sizes' | 'places', always?: number): Operation =>
  ofValue(x, (args) => {
    const given = args.integers(parts) ?? [];
    const isCount = !Array.isArray(args.json(parts));
    const axis = always ?? args.integer('axis', 0);
    return (input, scope) => {
      const value = scope.builder.unflattened(input);
      const size = knownSize(value, axis, 'a split', scope);
      if (isCount && !(given[0]! >= 1 && given[0]! <= Math.min(size, MAX_PARTS)))
        throw scope.malformed(`an axis of ${size} elements cannot be split into ${given[0]} parts`);
      const ends = isCount
        ? Array.from({ length: given[0] ?? 1 }, (_, i) => ((i + 1) * size) / given[0]!)
        : are === 'sizes'
          ? runningSums(given, size)
          : [...given, size];
      if (ends.some((end, i) => !Number.isInteger(end) || end <= (ends[i - 1] ?? 0) || end > size) || ends.at(-1) !== size)
        throw scope.malformed(`an axis of ${size} elements cannot be split into ${JSON.stringify(isCount ? given[0] : given)}`);
      const [place] = kerasAxes(value, [axis], scope);
      if (place === 0) throw scope.unsupported('a split of the batch');
      return ends.map((end, i) => slice(value, place!, ends[i - 1] ?? 0, end, scope));
    };
  });

function runningSums(sizes: readonly number[], whole: number): number[] {
  const known = sizes.filter((size) => size >= 0).reduce((a, b) => a + b, 0);
  let end = 0;
  return sizes.map((size) => {
    end += size === -1 ? whole - known : size;
    return end;
  });
}

/** @param shape name of the parameter, which has the batch's size first */
export const reshape = (x: string, shape: string): Operation =>
  ofValue(x, (args) => {
    const target = args.sizes(shape);
    return (input, scope, inputs) => {
      if (input.sizes) return input;
      const value = scope.builder.toKeras(input);
      return scope.add('Reshape', [value], { attributes: { shape: batchKept(settled(target(inputs, scope), value.shape, scope), value.shape) } });
    };
  });

/** Free sizes as a Reshape has them: 0 for one that stays where it is, -1 for one that follows from the others. */
function settled(target: readonly Dim[], from: readonly Dim[], scope: Scope): readonly number[] {
  const sizes = target.map((size, axis) => (typeof size === 'number' ? size : size === from[axis] ? 0 : -1));
  if (sizes.filter((size) => size === -1).length > 1) throw scope.unsupported(`a change from the shape [${from}] to [${target}]`);
  return sizes;
}

/** A size of -1 in the first place stands for the batch, where the others hold all elements of a sample. */
function batchKept(target: readonly number[], from: readonly Dim[]): readonly number[] {
  const [first, ...rest] = target;
  const product = (sizes: readonly Dim[]) => (sizes.every((size) => typeof size === 'number') ? (sizes as readonly number[]).reduce((a, b) => a * b, 1) : null);
  const known = product(from.slice(1));
  if (first === -1 && known !== null && product(rest) === known) return [0, ...rest];
  return first === from[0] && rest.filter((size) => size === -1).length <= 1 ? [0, ...rest] : target;
}

export const transpose = (x: string, axes: string): Operation =>
  ofValue(x, (args) => {
    const perm = args.integers(axes);
    return (value, scope) => transposed(value, perm ?? value.shape.map((_, axis) => value.shape.length - 1 - axis), scope);
  });

/** @param order of Keras's axes */
export function transposed(input: Value, order: readonly number[], scope: Scope): Value {
  const value = scope.builder.toKeras(input);
  const perm = kerasAxes(value, order, scope);
  if (perm.length !== value.shape.length || new Set(perm).size !== perm.length) throw scope.malformed(`[${order}] is no order of ${value.shape.length} axes`);
  if (perm[0] !== 0) throw scope.unsupported('moving the batch to another axis');
  return scope.add('Transpose', [value], { attributes: { perm } });
}

export const expandDims = (x: string, usual?: number): Operation =>
  ofValue(x, (args) => {
    const axes = args.integers('axis') ?? (usual === undefined ? [] : [usual]);
    if (axes.length !== 1) args.decline('it puts in several axes, which is not translated');
    return (value, scope) => unsqueeze(value, axes[0]!, scope);
  });

export const squeezeOf = (x: string, axis = 'axis'): Operation =>
  ofValue(x, (args) => {
    const given = args.integers(axis);
    return (input, scope) => {
      const value = scope.builder.unflattened(input);
      const sizes = kerasShape(value);
      const axes = given && given.length > 0 ? kerasAxes(value, given, scope) : sizes.flatMap((size, at) => (size === 1 && at > 0 ? [at] : []));
      const wrong = axes.find((at) => sizes[at] !== 1);
      if (wrong !== undefined) throw scope.malformed(`axis ${wrong}, which is to be removed, has ${sizes[wrong]} elements`);
      return squeeze(value, axes, scope);
    };
  });

export const flipOf = (x: string, name = 'axis'): Operation =>
  ofValue(x, (args) => {
    const given = args.integers(name);
    if (!given) args.decline('it reverses all axes, which is not translated');
    return (input, scope) => {
      const value = scope.builder.unflattened(input);
      return kerasAxes(value, given!, scope).reduce((made, axis) => flip(made, axis, kerasShape(made)[axis], scope), value);
    };
  });

const PAD_MODES: Readonly<Record<string, string>> = { constant: 'constant', reflect: 'reflect', edge: 'edge', symmetric: 'symmetric' };

export const pad = (x: string, amounts: string, mode: string, value: string): Operation =>
  ofValue(x, (args) => {
    const flat = args.json(amounts);
    const pairs = Array.isArray(flat) ? (flat as readonly (readonly number[])[]) : [];
    const word = String(args.json(mode) ?? 'constant').toLowerCase();
    const filling = args.number(value, 0);
    const isPairs =
      pairs.length > 0 &&
      pairs.every((pair) => Array.isArray(pair) && pair.length === 2 && pair.every((amount) => Number.isSafeInteger(amount) && amount >= 0));
    if (!isPairs || !Object.hasOwn(PAD_MODES, word)) args.decline(`a padding by ${JSON.stringify(flat)?.slice(0, 80)} with mode ${word} is not translated`);
    return (input, scope) => {
      const padded = scope.builder.unflattened(input);
      if (pairs.length !== padded.shape.length) throw scope.malformed(`${pairs.length} axes are padded, but ${padded.shape.length} flow in`);
      if (pairs[0]!.some((amount) => amount !== 0)) throw scope.unsupported('padding of the batch');
      if (word === 'symmetric') return mirrored(padded, pairs, scope);
      const begin = padded.shape.map(() => 0);
      const end = [...begin];
      pairs.forEach(([before, after], axis) => {
        begin[mapAxis(padded, axis)] = before!;
        end[mapAxis(padded, axis)] = after!;
      });
      return scope.add('Pad', [padded], { attributes: { pads: [...begin, ...end], mode: PAD_MODES[word]!, value: filling } });
    };
  });

/** The product of two values over their last axes; their batches go along. */
export const matMul =
  (a: string, b: string): Operation =>
  (args) => {
    const [left, right] = [args.operand(a), args.operand(b)];
    const turned = [
      ['transpose_a', 'adjoint_a', 'adj_x'],
      ['transpose_b', 'adjoint_b', 'adj_y'],
    ].map((names) => names.map((name) => args.boolean(name, false)).includes(true));
    for (const name of ['a_is_sparse', 'b_is_sparse']) if (args.boolean(name, false)) args.decline('a sparse product is not translated');
    if (isConstant(left)) args.decline('a product of numbers with a value behind them is not translated');
    if (isConstant(right) && turned[0]) args.decline('a product with numbers of a value that is transposed first is not translated');
    return (inputs, scope) => {
      if (isConstant(right)) return timesMatrix(valueAt(left, inputs), right.constant, turned[1]!, scope);
      const values = [left, right].map((operand, i) => {
        const value = scope.builder.toKeras(valueAt(operand, inputs));
        if (value.shape.length < 3) throw scope.unsupported('a product of values without a batch of matrices');
        return turned[i] ? lastTwoSwapped(value, scope) : value;
      });
      return scope.add('MatMul', values);
    };
  };

export function lastTwoSwapped(value: Value, scope: Scope): Value {
  const perm = value.shape.map((_, axis) => axis);
  const rank = perm.length;
  return scope.add('Transpose', [value], { attributes: { perm: [...perm.slice(0, -2), rank - 1, rank - 2] } });
}
