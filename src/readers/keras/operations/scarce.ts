/** Operations of Keras 3 that few models call: choices, parts and corners of arrays, attention of values alone. */
import { elementCount } from '../../../model/tensor.js';
import { softmax } from '../activations.js';
import { combineValues, constantValue, inOneOrder } from '../arithmetic.js';
import { kerasAxes, knownSize, reduce, slice, unsqueeze } from '../axes.js';
import { unfolded } from '../local.js';
import type { Scope } from '../scope.js';
import { kerasShape, type Value } from '../value.js';
import { type Arguments, isConstant, type Operand, valueAt } from './arguments.js';
import { joined, lastTwoSwapped, ofValue, transposed } from './arrangement.js';
import { causalOnly } from './attention.js';
import { applied } from './elementwise.js';
import { type Known, known } from './known.js';
import type { Operation } from './operation.js';
import { flip } from './slicing.js';

const number = (value: number, scope: Scope) => constantValue({ shape: [], values: [value] }, scope);
const asFloat = (value: Value, scope: Scope) => scope.add('Cast', [value], { attributes: { to: 'float32' } });
const opposite = (truth: Value, scope: Scope) => scope.withScalar('Add', scope.add('Neg', [truth]), 1);
const asTruth = (value: Value, scope: Scope) => scope.add('Cast', [value], { attributes: { to: 'bool' } });

const isNumber = (value: Value, scope: Scope) => asFloat(scope.add('Equal', [value, value]), scope);
const isInfinite = (value: Value, scope: Scope) => asFloat(scope.add('Equal', [scope.add('Abs', [value]), number(Infinity, scope)]), scope);

/** The largest float32. */
const MOST = 2 ** 127 * (2 - 2 ** -23);

const numbersOnly: Operation = ofValue('x', (args) => {
  const nothing = args.number('nan', 0);
  const [most, least] = [args.number('posinf', MOST), args.number('neginf', -MOST)];
  return (value, scope) => {
    const filled = scope.add('Where', [asTruth(isNumber(value, scope), scope), value, number(nothing, scope)], { order: value.order });
    return (
      [
        [Infinity, most],
        [-Infinity, least],
      ] as const
    ).reduce(
      (made, [infinite, instead]) =>
        scope.add('Where', [scope.add('Equal', [value, number(infinite, scope)]), number(instead, scope), made], { order: value.order }),
      filled,
    );
  };
});

/** 0 below zero, 1 above it, and at zero the other value. */
const heaviside: Operation = (args) => {
  const [x, at] = [args.operand('x1'), args.operand('x2')];
  if (isConstant(x)) args.decline('it is called on numbers, which is not translated');
  return (inputs, scope) => {
    const [value, zero] = inOneOrder([valueAt(x, inputs), isConstant(at) ? constantValue(at.constant, scope) : valueAt(at, inputs)], scope) as [Value, Value];
    const above = asFloat(scope.add('Greater', [value, number(0, scope)]), scope);
    return scope.add('Where', [scope.add('Equal', [value, number(0, scope)]), zero, above], { order: value.order });
  };
};

/** Quarter turns of a plane, from its first axis to its second. */
const quarterTurns: Operation = ofValue('array', (args) => {
  const turns = ((args.integer('k', 1) % 4) + 4) % 4;
  const plane = args.integers('axes') ?? [0, 1];
  if (plane.length !== 2) args.decline(`its plane has the axes [${plane}]`);
  return (input, scope) => {
    const value = scope.builder.unflattened(input);
    const [first, second] = kerasAxes(value, plane, scope) as [number, number];
    const back = (one: Value, axis: number) => flip(one, axis, kerasShape(one)[axis], scope);
    const swapped = (one: Value) => {
      const order = one.shape.map((_, axis) => (axis === first ? second : axis === second ? first : axis));
      return transposed(one, order, scope);
    };
    if (turns === 0) return value;
    if (turns === 2) return back(back(value, first), second);
    return turns === 1 ? swapped(back(value, second)) : back(swapped(value), second);
  };
});

/** Parts as nearly alike as can be, or up to these places. */
const nearlyEqual: Operation = ofValue('x', (args) => {
  const count = args.integer('indices_or_sections', 1);
  const axis = args.integer('axis', 0);
  return (input, scope) => {
    const value = scope.builder.unflattened(input);
    const size = knownSize(value, axis, 'a split', scope);
    const [place] = kerasAxes(value, [axis], scope) as [number];
    if (place === 0) throw scope.unsupported('a split of the batch');
    if (count < 1 || count > size) throw scope.malformed(`an axis of ${size} elements in ${count} parts`);
    const start = (i: number) => i * Math.floor(size / count) + Math.min(i, size % count);
    return Array.from({ length: count }, (_, i) => slice(value, place, start(i), start(i + 1), scope));
  };
});

/** One of several values where the first of the conditions holds, else a number. */
const chosen: Operation = (args) => {
  const [conditions, choices] = [args.operands('condlist'), args.operands('choicelist')];
  const otherwise = args.number('default', 0);
  if (conditions.length !== choices.length || conditions.some(isConstant)) args.decline('it does not choose among as many values as it has conditions');
  return (inputs, scope) => {
    const asValue = (operand: Operand) => (isConstant(operand) ? constantValue(operand.constant, scope) : valueAt(operand, inputs));
    return conditions.reduceRight<Value>(
      (rest, condition, i) => {
        const [truth, choice, other] = inOneOrder([asValue(condition), asValue(choices[i]!), rest], scope) as [Value, Value, Value];
        return scope.add('Where', [asTruth(truth, scope), choice, other], { order: truth.order });
      },
      number(otherwise, scope),
    );
  };
};

/** More than people tell apart. */
const MAX_CLASSES = 2 ** 16;

/** A 1 at each of the places of a row. */
const multiHot: Operation = (args) => {
  const x = args.has('inputs') ? 'inputs' : 'x';
  const count = args.integer(args.has('num_tokens') ? 'num_tokens' : 'num_classes', 1);
  if (args.integer('axis', -1) !== -1) args.decline('another axis than the last is not translated');
  if (args.boolean('sparse', false)) args.decline('a sparse result is not translated');
  if (count < 1 || count > MAX_CLASSES) args.decline(`it tells ${count} classes apart`);
  return ofValue(x, () => (input, scope) => {
    if (input.shape.length < 2) throw scope.unsupported('places of the batch');
    const places = scope.builder.toKeras(unsqueeze({ ...input, integer: false }, -1, scope));
    const row = constantValue({ shape: [...places.shape.slice(1).map(() => 1), count], values: Array.from({ length: count }, (_, i) => i) }, scope);
    return reduce('ReduceMax', asFloat(scope.add('Equal', [places, row]), scope), [1], false, scope);
  })(args);
};

/** How many of these numbers an element reaches. */
const digitised: Operation = ofValue('x', (args) => {
  const given = args.json('bins');
  const bins = Array.isArray(given) && given.every((one) => typeof one === 'number') ? (given as number[]) : [];
  if (bins.length === 0 || bins.length > MAX_CLASSES || bins.some((one, i) => one < (bins[i - 1] ?? -Infinity)))
    args.decline('it counts by numbers that are not known, or do not rise');
  return (input, scope) => {
    const value = scope.builder.toKeras(unsqueeze({ ...input, integer: false }, -1, scope));
    const row = constantValue({ shape: [...value.shape.slice(1).map(() => 1), bins.length], values: bins }, scope);
    return { ...reduce('ReduceSum', asFloat(scope.add('GreaterOrEqual', [value, row]), scope), [value.shape.length - 1], false, scope), integer: true };
  };
});

/** Windows of a picture side by side, each with its pixels as features. */
const patches: Operation = (args: Arguments) => {
  const x = args.has('images') ? 'images' : 'image';
  const pair = (name: string): readonly number[] | undefined => {
    const sizes = args.integers(name);
    return sizes?.length === 1 ? [sizes[0]!, sizes[0]!] : sizes;
  };
  const kernel = pair('size') ?? [];
  const strides = pair('strides') ?? kernel;
  if (kernel.length !== 2 || strides.length !== 2 || [...kernel, ...strides].some((size) => size < 1)) args.decline(`its windows are of [${kernel}]`);
  if ((pair('dilation_rate') ?? [1, 1]).some((rate) => rate !== 1)) args.decline('windows with gaps are not translated');
  if ((args.json('padding') ?? 'valid') !== 'valid') args.decline('windows that reach over the edge are not translated');
  if ((args.json('data_format') ?? 'channels_last') !== 'channels_last') args.decline('channels are expected to be last');
  return ofValue(x, () => (input, scope) => {
    const value = scope.builder.toMoved(input);
    if (value.shape.length !== 4 || typeof value.shape[1] !== 'number') throw scope.unsupported(`windows of a value of the shape [${value.shape}]`);
    const sizes = value.shape.slice(2).map((_, i) => knownSize({ ...value, order: 'keras' }, i + 2, 'windows', scope));
    const places = sizes.map((size, i) => Math.floor((size - kernel[i]!) / strides[i]!) + 1);
    if (places.some((count) => count < 1)) throw scope.malformed(`windows of [${kernel}] do not fit into [${sizes}]`);
    return unfolded(value, { kernel, strides, begin: [0, 0], sizes, places }, scope);
  })(args);
};

/** Softmax of the products of queries and keys, over [batch, places, heads, features]. */
const dotProductAttention: Operation = (args) => {
  const [query, key, value] = ['query', 'key', 'value'].map((name) => args.operand(name)) as [Operand, Operand, Operand];
  const further = ['bias', 'mask'].map((name) => (args.has(name) ? args.operand(name) : null));
  const causal = args.boolean('is_causal', false);
  const given = args.has('scale') ? args.number('scale', 1) : null;
  args.json('flash_attention');
  if ([query, key, value, ...further].some((operand) => operand !== null && isConstant(operand)))
    args.decline('it is called on numbers, which is not translated');
  return (inputs, scope) => {
    const [q, k, v] = [query, key, value].map((operand) => {
      const one = scope.builder.toKeras(valueAt(operand, inputs));
      if (one.shape.length !== 4) throw scope.unsupported(`attention of values of ${one.shape.length} axes`);
      return scope.add('Transpose', [one], { attributes: { perm: [0, 2, 1, 3] } });
    }) as [Value, Value, Value];
    if (q.shape[1] !== k.shape[1]) throw scope.unsupported('attention whose queries have other heads than its keys');
    const plain = scope.add('MatMul', [q, lastTwoSwapped(k, scope)]);
    let scores = scope.withScalar('Mul', plain, given ?? 1 / Math.sqrt(knownSize(q, -1, 'attention', scope)));
    const [bias, mask] = further.map((operand) => (operand ? scope.builder.toKeras(valueAt(operand, inputs)) : null));
    if (bias) scores = combineValues('Add', scores, bias, scope);
    if (mask) scores = combineValues('Add', scores, scope.withScalar('Mul', opposite(mask, scope), -1e9), scope);
    const weighed = scope.add('MatMul', [softmax(causal ? causalOnly(scores, scope) : scores, scope, -1), v]);
    return scope.add('Transpose', [weighed], { attributes: { perm: [0, 2, 1, 3] } });
  };
};

/** Of a value and a matrix of numbers. */
const joinedTo: Operation = (args) => {
  const operands = [args.operand('x1'), args.operand('x2')];
  if (args.isNull('axis') || !args.has('axis')) args.decline('it joins all elements in a row, which is not translated');
  return joined(args, operands, args.integer('axis', 1));
};

/** More elements than a row of them is made of. */
const MAX_ROW = 2 ** 24;

/** All elements of each sample in a row; of the batch as well where it is one sample. */
const inRow: Operation = ofValue('x', () => (input, scope) => {
  const value = scope.builder.toKeras(input);
  if (value.shape[0] !== 1 || !value.shape.every((size) => typeof size === 'number') || elementCount(value.shape as number[]) > MAX_ROW)
    throw scope.unsupported('a row of all elements, the batch included,');
  return scope.add('Reshape', [value], { attributes: { shape: [elementCount(value.shape as number[])] } });
});

export const KERAS_SCARCE: Readonly<Record<string, Known>> = {
  Isnan: known(
    ['x'],
    applied('x', (value, scope) => opposite(isNumber(value, scope), scope)),
  ),
  Isinf: known(['x'], applied('x', isInfinite)),
  Isfinite: known(
    ['x'],
    applied('x', (value, scope) => scope.add('Mul', [isNumber(value, scope), opposite(isInfinite(value, scope), scope)])),
  ),
  NanToNum: known(['x', 'nan', 'posinf', 'neginf'], numbersOnly),
  Heaviside: known(['x1', 'x2'], heaviside),
  Rot90: known(['array', 'k', 'axes'], quarterTurns),
  ArraySplit: known(['x', 'indices_or_sections', 'axis'], nearlyEqual),
  Select: known(['condlist', 'choicelist', 'default'], chosen),
  MultiHot: known(['inputs', 'num_classes', 'axis', 'dtype', 'sparse'], multiHot, 'dtype'),
  Digitize: known(['x', 'bins'], digitised),
  ExtractPatches: known(['images', 'size', 'strides', 'dilation_rate', 'padding', 'data_format'], patches),
  DotProductAttention: known(['query', 'key', 'value', 'bias', 'mask', 'scale', 'flash_attention', 'attn_logits_soft_cap', 'is_causal'], dotProductAttention),
  Append: known(['x1', 'x2', 'axis'], joinedTo),
  Ravel: known(['x'], inRow),
};
