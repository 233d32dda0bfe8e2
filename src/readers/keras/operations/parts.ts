/** Parts of values and edges around them: diagonals, elements by places that flow in, pictures cropped and framed, mirrored margins. */
import { float32Tensor } from '../../../model/tensor.js';
import { constantValue } from '../arithmetic.js';
import { kerasAxes, knownSize, reduce, reshapeTo, slice } from '../axes.js';
import type { Scope } from '../scope.js';
import { kerasShape, mapAxis, type Value } from '../value.js';
import { type Arguments, isConstant, valueAt } from './arguments.js';
import { ofValue, transposed } from './arrangement.js';
import { type Known, known } from './known.js';
import type { Operation } from './operation.js';
import { flipAxis } from './placing.js';

/** The elements of a matrix whose second place is so much larger than the first, as the last axis. */
function diagonalOf(input: Value, [first, second]: readonly [number, number], offset: number, scope: Scope): Value {
  const plain = scope.builder.toKeras(input);
  const [rowAxis, columnAxis] = kerasAxes(plain, [first, second], scope) as [number, number];
  if (rowAxis === columnAxis || rowAxis === 0 || columnAxis === 0) throw scope.unsupported('a diagonal through the batch');
  const others = plain.shape.map((_, axis) => axis).filter((axis) => axis !== rowAxis && axis !== columnAxis);
  const order = [...others, rowAxis, columnAxis];
  const value = order.every((axis, i) => axis === i) ? plain : transposed(plain, order, scope);
  const [rows, columns] = [knownSize(value, -2, 'a diagonal', scope), knownSize(value, -1, 'a diagonal', scope)];
  const [down, right] = [Math.max(-offset, 0), Math.max(offset, 0)];
  const count = Math.min(rows - down, columns - right);
  if (count < 1) throw scope.malformed(`the diagonal ${offset} of matrices of ${rows} x ${columns} has no elements`);
  const row = reshapeTo(value, [...value.shape.slice(0, -2), rows * columns], 'keras', scope);
  const start = down * columns + right;
  const attributes = { starts: [start], ends: [start + (count - 1) * (columns + 1) + 1], axes: [row.shape.length - 1], steps: [columns + 1] };
  return scope.add('Slice', [row], { attributes });
}

const diagonal = (sums: boolean): Operation =>
  ofValue('x', (args) => {
    const [offset, axes] = [args.integer('offset', 0), [args.integer('axis1', 0), args.integer('axis2', 1)] as const];
    return (value, scope) => {
      const made = diagonalOf(value, axes, offset, scope);
      return sums ? reduce('ReduceSum', made, [made.shape.length - 1], false, scope) : made;
    };
  });

/** Of each place the element along an axis that flowing numbers say. */
const takeAlong: Operation = (args) => {
  const [x, places] = [args.operand('x'), args.operand('indices')];
  if (isConstant(x)) args.decline('it is called on numbers alone, which is not translated');
  const axis = args.integer('axis', -1);
  if (args.isNull('axis')) args.decline('it picks from all elements in a row, which is not translated');
  return (inputs, scope) => {
    const value = scope.builder.toKeras(valueAt(x, inputs));
    const given = isConstant(places) ? constantValue(places.constant, scope) : scope.builder.toKeras(valueAt(places, inputs));
    const [along] = kerasAxes(value, [axis], scope) as [number];
    const fits = given.shape.length === value.shape.length && given.shape.every((size, i) => i === along || size === value.shape[i]);
    if (!fits) throw scope.unsupported(`picking by places of the shape [${given.shape}] from a value of the shape [${value.shape}]`);
    const whole = scope.add('Cast', [{ ...given, integer: false }], { attributes: { to: 'int64' } });
    return scope.add('GatherElements', [value, whole], { attributes: { axis: along }, order: 'keras' });
  };
};

/** Rows of numbers, by flowing places; else elements of a value, by places that are known. */
export const rowsOr =
  (x: string, usual: number | null, of: Operation): Operation =>
  (args) => {
    const [table, places] = [args.operand(x), args.operand('indices')];
    if (!isConstant(table) || isConstant(places)) return of(args);
    if (args.integer('axis', usual ?? -1) !== 0 || args.integer('batch_dims', 0) !== 0) args.decline('it picks from numbers along another axis than the first');
    return (inputs, scope) => {
      const { shape, values } = table.constant;
      if (shape.length === 0) throw scope.malformed('it picks from a single number');
      const weight = float32Tensor(`${scope.name}/table`, shape, values, { file: scope.builder.file });
      return scope.add('Gather', [scope.builder.toKeras(valueAt(places, inputs))], { weights: { table: weight }, order: 'keras' });
    };
  };

/** Known sizes of a picture with its channels last, or a batch of them. */
function pictureSizes(value: Value, scope: Scope): { readonly axes: readonly [number, number]; readonly sizes: readonly [number, number] } {
  if (value.shape.length !== 4) throw scope.unsupported(`a change of pictures of the shape [${kerasShape(value)}]`);
  return { axes: [1, 2], sizes: [knownSize(value, 1, 'a picture', scope), knownSize(value, 2, 'a picture', scope)] };
}

/** How much is left out or put in on each side, of which a call says two of three for each axis. */
function sidesOf(args: Arguments, total: (before: number, after: number, target: number) => number) {
  if ((args.json('data_format') ?? 'channels_last') !== 'channels_last') args.decline('channels are expected to be last');
  const said = (name: string) => (args.has(name) ? args.integer(name, 0) : null);
  const given = [
    [said('top_cropping') ?? said('top_padding'), said('bottom_cropping') ?? said('bottom_padding'), said('target_height')],
    [said('left_cropping') ?? said('left_padding'), said('right_cropping') ?? said('right_padding'), said('target_width')],
  ] as const;
  if (given.some((three) => three.filter((one) => one === null).length !== 1))
    args.decline('it does not say two of where it begins, where it ends and how large it is');
  return ([...sizes]: readonly number[], scope: Scope) =>
    given.map(([before, after, target], i) => {
      const whole = total(sizes[i]!, target ?? 0, 0);
      const [first, last] = [before ?? whole - (after ?? 0), after ?? whole - (before ?? 0)];
      if (target === null ? false : first < 0 || last < 0) throw scope.malformed(`a picture of ${sizes[i]} cannot become one of ${target}`);
      return [first, last] as const;
    });
}

const cropped: Operation = ofValue('images', (args) => {
  const sides = sidesOf(args, (size, target) => size - target);
  return (input, scope) => {
    const value = scope.builder.unflattened(input);
    const { axes, sizes } = pictureSizes(value, scope);
    return sides(sizes, scope).reduce((made, [before, after], i) => slice(made, axes[i]!, before, sizes[i]! - after, scope), value);
  };
});

const framed: Operation = ofValue('images', (args) => {
  const sides = sidesOf(args, (size, target) => target - size);
  return (input, scope) => {
    const value = scope.builder.unflattened(input);
    const { axes, sizes } = pictureSizes(value, scope);
    const [begin, end] = [value.shape.map(() => 0), value.shape.map(() => 0)];
    for (const [i, [before, after]] of sides(sizes, scope).entries()) {
      begin[mapAxis(value, axes[i]!)] = before;
      end[mapAxis(value, axes[i]!)] = after;
    }
    return scope.add('Pad', [value], { attributes: { pads: [...begin, ...end], mode: 'constant', value: 0 } });
  };
});

export const KERAS_PARTS: Readonly<Record<string, Known>> = {
  Diagonal: known(['x', 'offset', 'axis1', 'axis2'], diagonal(false)),
  Trace: known(['x', 'offset', 'axis1', 'axis2'], diagonal(true)),
  Fliplr: known(['x'], flipAxis('x', 1)),
  TakeAlongAxis: known(['x', 'indices', 'axis'], takeAlong),
  CropImages: known(['images', 'top_cropping', 'left_cropping', 'bottom_cropping', 'right_cropping', 'target_height', 'target_width', 'data_format'], cropped),
  PadImages: known(['images', 'top_padding', 'left_padding', 'bottom_padding', 'right_padding', 'target_height', 'target_width', 'data_format'], framed),
};
