/** Arithmetic between values and numbers, aligned at their last axes as NumPy and TensorFlow do. */
import { toChannelsFirst } from '../../model/ports.js';
import { float32Tensor, permute, reshape, type Tensor } from '../../model/tensor.js';
import type { Constant } from './constant.js';
import type { Scope } from './scope.js';
import { kerasShape, type Value } from './value.js';

export type BinaryOp = 'Add' | 'Sub' | 'Mul' | 'Div' | 'Pow' | 'Max' | 'Min';

/** Two values; of different ranks, they are brought into Keras's order first. */
export function combineValues(op: BinaryOp, a: Value, b: Value, scope: Scope): Value {
  const { builder } = scope;
  return scope.add(op, a.shape.length === b.shape.length ? builder.toSameOrder([a, b]) : [builder.toKeras(a), builder.toKeras(b)]);
}

/** A value and numbers behind it. */
export function combineWith(op: Exclude<BinaryOp, 'Max' | 'Min'>, value: Value, constant: Constant, scope: Scope): Value {
  const { shape, values } = constant;
  // Every target multiplies by numbers, not all divide.
  if (op === 'Div') return combineWith('Mul', value, { shape, values: values.map((number) => 1 / number) }, scope);
  if (values.length === 1 && shape.length <= value.shape.length) return scope.withScalar(op, value, values[0]!);
  return combineTensor(op, value, float32Tensor(`${scope.name}/constant`, shape, values, { file: scope.builder.file }), scope);
}

/** A value and a weight behind it, whose axes are Keras's. */
export function combineTensor(op: Exclude<BinaryOp, 'Max' | 'Min'>, input: Value, tensor: Tensor, scope: Scope): Value {
  const rank = input.shape.length;
  const value = tensor.shape.length > rank ? scope.builder.toKeras(input) : scope.builder.unflattened(input);
  const shape = [...new Array<number>(Math.max(rank - tensor.shape.length, 0)).fill(1), ...tensor.shape];
  const sizes = kerasShape(value);
  const misfits = (size: number, axis: number) => size !== 1 && typeof sizes[axis] === 'number' && sizes[axis] !== 1 && sizes[axis] !== size;
  if (shape.length === rank && shape.some(misfits)) throw scope.malformed(`numbers of the shape [${tensor.shape}] do not fit a value of the shape [${sizes}]`);
  const whole = reshape(tensor, shape);
  return scope.add(op, [value], { weights: { operand: value.order === 'moved' ? permute(whole, toChannelsFirst(rank)) : whole } });
}

/** Numbers as a value, which a layer of its own holds; its axes are Keras's. */
export function constantValue({ shape, values }: Constant, scope: Scope): Value {
  const value = float32Tensor(`${scope.name}/constant`, shape, values, { file: scope.builder.file });
  return scope.add('Constant', [], { weights: { value } });
}

/** Values that are broadcast to each other, in one order of axes; single numbers have none. */
export function inOneOrder(values: readonly Value[], scope: Scope): readonly Value[] {
  const [first, ...others] = values.filter(({ shape }) => shape.length > 0);
  const isSame = others.every(({ shape, order }) => shape.length === first!.shape.length && order === first!.order && order !== 'flattened');
  return isSame && first?.order !== 'flattened' ? values : values.map((value) => (value.shape.length === 0 ? value : scope.builder.toKeras(value)));
}

/** Numbers, and a value behind them. */
export function combineBefore(op: Exclude<BinaryOp, 'Max' | 'Min'>, constant: Constant, input: Value, scope: Scope): Value {
  if (op === 'Add' || op === 'Mul') return combineWith(op, input, constant, scope);
  if (op === 'Sub') return combineWith('Add', scope.add('Neg', [input]), constant, scope);
  if (op === 'Div') return combineWith('Mul', scope.withScalar('Pow', input, -1), constant, scope);
  return scope.add(op, inOneOrder([constantValue(constant, scope), input], scope));
}
