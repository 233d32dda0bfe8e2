/** Pooling, normalisation and products that are called as functions. */
import { combineValues } from '../arithmetic.js';
import { kerasAxes, reduce } from '../axes.js';
import { type Padding, windowAttributes } from '../convolutions.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';
import { isConstant, valueAt } from './arguments.js';
import { ofValue } from './arrangement.js';
import type { Operation } from './operation.js';
import { vectorNorm } from './order.js';

/** tf.nn.max_pool2d and keras.ops.max_pool, over one to three spatial axes. */
export const pool = (op: 'MaxPool' | 'AveragePool', x: string, size: string): Operation =>
  ofValue(x, (args) => {
    const sizes = args.integers(size) ?? [];
    const isNumber = !Array.isArray(args.json(size));
    const strides = args.integers('strides') ?? sizes;
    const isStride = !Array.isArray(args.json('strides') ?? args.json(size));
    const padding = String(args.json('padding') ?? 'valid').toLowerCase();
    const format = String(args.json('data_format') ?? 'channels_last');
    if (!/^(channels_last|N[DHW]*C)$/.test(format)) args.decline(`its data format is ${format}; channels are expected to be last`);
    if (padding !== 'valid' && padding !== 'same') args.decline(`its padding is ${padding}; "valid" and "same" are translated`);
    return (input, scope) => {
      const value = scope.builder.toMoved(input);
      const rank = value.shape.length - 2;
      const each = (list: readonly number[], isOne: boolean): readonly number[] => {
        if (isOne || list.length === 1) return new Array<number>(rank).fill(list[0]!);
        const own = list.length === rank + 2 ? list.slice(1, -1) : list;
        if (own.length === rank && (list.length === rank || (list[0] === 1 && list.at(-1) === 1))) return own;
        throw scope.unsupported(`a window of the sizes [${list}] over ${rank} axes`);
      };
      const window = { kernel: each(sizes, isNumber), strides: each(strides, isStride), padding: padding as Padding };
      return scope.add(op, [value], { attributes: windowAttributes({ ...window, dilations: window.kernel.map(() => 1) }, value.shape, scope) });
    };
  });

/** TensorFlow's formula sums squares where ONNX's takes their mean over the window. */
export const localResponse: Operation = ofValue('input', (args) => {
  const size = 2 * args.integer('depth_radius', 5) + 1;
  const attributes = { size, bias: args.number('bias', 1), alpha: args.number('alpha', 1) * size, beta: args.number('beta', 0.5) };
  return (value, scope) => scope.add('LRN', [scope.builder.toMoved(value)], { attributes });
});

/** Mean and variance over some axes. */
export const moments = (x: string): Operation =>
  ofValue(x, (args) => {
    const axes = args.integers('axes') ?? [];
    const keeps = args.boolean('keepdims', false);
    if (axes.length === 0) args.decline('it does not say over which axes');
    return (input, scope) => {
      const value = scope.builder.unflattened(input);
      const centred = combineValues('Sub', value, reduce('ReduceMean', value, axes, true, scope), scope);
      return [reduce('ReduceMean', value, axes, keeps, scope), reduce('ReduceMean', scope.add('Mul', [centred, centred]), axes, keeps, scope)];
    };
  });

/** Lengths along some axes: the root of the sum of squares, the sum of magnitudes, or the largest. */
export const norm = (x: string): Operation =>
  ofValue(x, (args) => {
    const order = args.json('ord') ?? 'euclidean';
    const axes = args.integers('axis');
    const keeps = args.boolean('keepdims', false);
    if (axes === undefined) args.decline('it measures the batch as a whole, which is not translated');
    const isMatrix = (axes?.length ?? 0) > 1;
    const isLength = order === 'euclidean' || order === 'fro' || (order === 2 && !isMatrix);
    const power = typeof order === 'number' && !isMatrix ? order : null;
    if (!isLength && power === null) args.decline(`a norm of the kind ${String(order).slice(0, 40)}${isMatrix ? ' of matrices' : ''} is not translated`);
    return (input, scope) => {
      const value = scope.builder.unflattened(input);
      if (power === 1) return reduce('ReduceSum', scope.add('Abs', [value]), axes, keeps, scope);
      if (!isLength) return vectorNorm(value, power!, axes!, keeps, scope);
      return scope.add('Sqrt', [reduce('ReduceSum', scope.add('Mul', [value, value]), axes, keeps, scope)]);
    };
  });

/** tf.einsum(equation, a, b) and keras.ops.einsum(subscripts, a, b). */
export const einsum: Operation = (args) => {
  const equation = args.json('equation') ?? args.json('subscripts');
  const names = ['a', 'b', 'c', 'd'].filter((name) => args.has(name));
  const operands = names.map((name) => args.operand(name));
  if (typeof equation !== 'string' || !equation.includes('->')) args.decline('its equation does not say what comes out');
  if (operands.length === 0 || operands.some(isConstant)) args.decline('a product with numbers is not translated');
  return (inputs, scope) => {
    const values = operands.map((operand) => scope.builder.toKeras(valueAt(operand, inputs)));
    return scope.add('Einsum', values, { attributes: { equation: (equation as string).replaceAll(' ', '') }, order: 'keras' });
  };
};

/** The elements of some axes moved on, those that leave at the end coming back at the start. */
export const roll = (x: string): Operation =>
  ofValue(x, (args) => {
    const shifts = args.integers('shift') ?? [];
    const axes = args.integers('axis') ?? [];
    if (axes.length === 0 || axes.length !== shifts.length) args.decline('it does not say by how much along which axes');
    return (input, scope) => {
      const value = scope.builder.toKeras(input);
      return kerasAxes(value, axes, scope).reduce((made, axis, i) => rolled(made, axis, shifts[i]!, scope), value);
    };
  });

function rolled(value: Value, axis: number, shift: number, scope: Scope): Value {
  const size = value.shape[axis];
  if (axis === 0 || typeof size !== 'number') throw scope.unsupported('moving the elements of the batch, or of an axis of free size,');
  const by = ((shift % size) + size) % size;
  if (by === 0) return value;
  const part = (start: number, end: number) => scope.add('Slice', [value], { attributes: { starts: [start], ends: [end], axes: [axis] } });
  return scope.add('Concat', [part(size - by, size), part(0, size - by)], { attributes: { axis } });
}

/** A part of a picture: rows and columns from a place on. */
export const cropBox = (x: string): Operation =>
  ofValue(x, (args) => {
    const [top, left, height, width] = ['offset_height', 'offset_width', 'target_height', 'target_width'].map((name) => args.integer(name, 0)) as [
      number,
      number,
      number,
      number,
    ];
    return (input, scope) => {
      const value = scope.builder.toMoved(input);
      const fits = [top + height, left + width].every((end, axis) => end <= Number(value.shape[axis + 2]));
      if (value.shape.length !== 4 || !fits) throw scope.malformed(`a box up to [${top + height}, ${left + width}] of a picture of the shape [${value.shape}]`);
      return scope.add('Slice', [value], { attributes: { starts: [top, left], ends: [top + height, left + width], axes: [2, 3] } });
    };
  });

/** Each picture by its own mean and deviation, which is kept from nothing. */
export const standardized = (x: string): Operation =>
  ofValue(x, () => (input, scope) => {
    const value = scope.builder.toMoved({ ...input, integer: false });
    if (value.shape.length !== 4 || !value.shape.slice(1).every((size) => typeof size === 'number'))
      throw scope.unsupported('pictures of a size that is not given');
    const count = (value.shape.slice(1) as number[]).reduce((a, b) => a * b, 1);
    const axes = { attributes: { axes: [1, 2, 3], keepdims: 1 } };
    const centred = scope.add('Sub', [value, scope.add('ReduceMean', [value], axes)]);
    const deviation = scope.add('Sqrt', [scope.add('ReduceMean', [scope.add('Mul', [centred, centred])], axes)]);
    return scope.add('Div', [centred, scope.add('Clip', [deviation], { attributes: { min: 1 / Math.sqrt(count) } })]);
  });

/** Each side by what is above zero of it and of its opposite. */
export const crelu: Operation = ofValue('features', (args) => {
  const axis = args.integer('axis', -1);
  return (input, scope) => {
    const value = scope.builder.toKeras(input);
    const [at] = kerasAxes(value, [axis], scope) as [number];
    return scope.add('Concat', [scope.add('Relu', [value]), scope.add('Relu', [scope.add('Neg', [value])])], { attributes: { axis: at } });
  };
});
