/** Products of values with numbers: `tensordot`, matrices, and windows that numbers move over pictures. */
import { float32Tensor, permute, reshape, type Tensor } from '../../../model/tensor.js';
import { reshapeTo } from '../axes.js';
import type { Constant } from '../constant.js';
import { type Padding, windowAttributes } from '../convolutions.js';
import type { Scope } from '../scope.js';
import { kerasShape, type Value } from '../value.js';
import { type Arguments, isConstant, valueAt } from './arguments.js';
import type { Operation } from './operation.js';

const weightOf = ({ shape, values }: Constant, scope: Scope): Tensor => float32Tensor(`${scope.name}/constant`, shape, values, { file: scope.builder.file });

const positive = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/** Sums over these axes of a value and those of numbers; the value's other axes come first. */
export function contract(input: Value, constant: Constant, axes: readonly number[], others: readonly number[], scope: Scope): Value {
  const value = scope.builder.toKeras(input);
  const [rank, otherRank] = [value.shape.length, constant.shape.length];
  const own = axes.map((axis) => positive(axis, rank));
  const theirs = others.map((axis) => positive(axis, otherRank));
  if (own.includes(0)) throw scope.unsupported('a sum over the batch');
  const fits = own.length === theirs.length && own.every((axis, i) => value.shape[axis] === constant.shape[theirs[i]!]);
  if (!fits || new Set(own).size !== own.length)
    throw scope.malformed(`axes [${axes}] of [${kerasShape(value)}] and [${others}] of numbers of the shape [${constant.shape}]`);
  const left = value.shape.map((_, axis) => axis).filter((axis) => !own.includes(axis));
  const right = constant.shape.map((_, axis) => axis).filter((axis) => !theirs.includes(axis));
  const count = theirs.reduce((product, axis) => product * constant.shape[axis]!, 1);
  const kernel = reshape(permute(weightOf(constant, scope), [...theirs, ...right]), [
    count,
    right.reduce((product, axis) => product * constant.shape[axis]!, 1),
  ]);
  const perm = [...left, ...own];
  const turned = perm.every((axis, i) => axis === i) ? value : scope.add('Transpose', [value], { attributes: { perm } });
  const rows = own.length === 1 ? turned : reshapeTo(turned, [...left.map((axis) => value.shape[axis]!), count], 'keras', scope);
  const product = scope.add('MatMul', [rows], { weights: { kernel } });
  if (right.length === 1) return product;
  return reshapeTo(product, [...left.map((axis) => value.shape[axis]!), ...right.map((axis) => constant.shape[axis]!)], 'keras', scope);
}

/** tf.tensordot and keras.ops.tensordot: over so many last and first axes, or over two lists of axes. */
export const tensordot =
  (a: string, b: string): Operation =>
  (args) => {
    const [left, right] = [args.operand(a), args.operand(b)];
    const axes = args.json('axes') ?? 2;
    if (isConstant(left) || !isConstant(right)) args.decline('a tensordot of a value with numbers behind it is translated, no other');
    const lists = Array.isArray(axes)
      ? (axes as readonly (number | readonly number[])[]).map((list) => (Array.isArray(list) ? list : [list]) as number[])
      : null;
    const isKnown = lists ? lists.length === 2 && lists.flat().every(Number.isSafeInteger) : Number.isSafeInteger(axes) && (axes as number) > 0;
    if (!isKnown) args.decline(`its axes are ${JSON.stringify(axes)?.slice(0, 60)}`);
    return (inputs, scope) => {
      const value = valueAt(left, inputs);
      const { constant } = right as { constant: Constant };
      const count = axes as number;
      const [own, theirs] = lists ?? [Array.from({ length: count }, (_, i) => value.shape.length - count + i), Array.from({ length: count }, (_, i) => i)];
      return contract(value, constant, own!, theirs!, scope);
    };
  };

/** A value times a matrix, over its last axis. */
export function timesMatrix(value: Value, constant: Constant, isTurned: boolean, scope: Scope): Value {
  if (constant.shape.length !== 2) throw scope.unsupported(`a product with numbers of the shape [${constant.shape}]`);
  return contract(value, constant, [-1], [isTurned ? 1 : 0], scope);
}

/** Strides or dilations: one number, one for each spatial axis, or those with ones for the batch and the channels around them. */
function alongAxes(args: Arguments, names: readonly string[], rank: number): readonly number[] {
  const name = names.find((one) => args.has(one)) ?? names[0]!;
  const given = args.integers(name) ?? [1];
  if (given.length === 1) return new Array<number>(rank).fill(given[0]!);
  const own = given.length === rank + 2 && given[0] === 1 && given.at(-1) === 1 ? given.slice(1, -1) : given;
  if (own.length !== rank || own.some((step) => step < 1)) args.decline(`"${name}" is [${given}], which does not fit ${rank} axes`);
  return own;
}

/** A convolution with a kernel of numbers, [...window, in, out]; of a depthwise one, [...window, in, multiplier]. */
export const convolve =
  (x: string, kernelName: string, depthwise = false): Operation =>
  (args) => {
    const [input, kernel] = [args.operand(x), args.operand(kernelName)];
    if (isConstant(input) || !isConstant(kernel)) args.decline('a convolution of a value with a kernel of numbers is translated, no other');
    const constant = isConstant(kernel) ? kernel.constant : { shape: [], values: [] };
    const rank = constant.shape.length - 2;
    if (rank < 1 || rank > 3) args.decline(`its kernel has the shape [${constant.shape}]`);
    const strides = alongAxes(args, ['strides', 'stride'], rank);
    const dilations = alongAxes(args, ['dilations', 'dilation_rate'], rank);
    const padding = String(args.json('padding') ?? 'valid').toLowerCase() as Padding;
    const format = String(args.json('data_format') ?? 'channels_last');
    if (!/^(channels_last|N[DHW]*C)$/.test(format)) args.decline(`its data format is ${format}; channels are expected to be last`);
    if (padding !== 'valid' && padding !== 'same') args.decline(`its padding is ${JSON.stringify(args.json('padding'))}; "valid" and "same" are translated`);
    return (inputs, scope) => {
      const value = scope.builder.toMoved(valueAt(input, inputs));
      const channels = value.shape[1];
      const [from, to] = constant.shape.slice(-2) as [number, number];
      if (value.shape.length !== rank + 2 || typeof channels !== 'number' || (depthwise ? channels !== from : channels % from !== 0))
        throw scope.malformed(`a kernel of the shape [${constant.shape}] does not fit a value of the shape [${kerasShape(value)}]`);
      const window = constant.shape.slice(0, -2);
      const spatial = window.map((_, axis) => axis);
      const stored = weightOf(constant, scope);
      const own = depthwise ? reshape(permute(stored, [rank, rank + 1, ...spatial]), [from * to, 1, ...window]) : permute(stored, [rank + 1, rank, ...spatial]);
      const attributes = { ...windowAttributes({ kernel: window, strides, dilations, padding }, value.shape, scope), dilations };
      return scope.add('Conv', [value], { attributes: { ...attributes, group: depthwise ? channels : channels / from }, weights: { kernel: own } });
    };
  };
