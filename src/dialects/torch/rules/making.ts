/** Operators that make tensors of nothing, and that ask what a tensor is like. */
import type { Value } from '../../../model/builder.js';
import { productOf } from '../../../model/dims.js';
import { type DType, isFloatDType } from '../../../model/dtype.js';
import { numbersTensor } from '../../../model/numbers.js';
import { elementCount } from '../../../model/tensor.js';
import { type Call, dtypeOfScalar } from '../call.js';
import { type Item, knownScalar, List, numberOf, Real, TensorItem, Tuple } from '../items.js';
import { listOf, type Rule, type Rules, rule } from '../rule.js';

/** A net makes masks and tokens of its own; what is larger than any picture's would only fill the memory when it runs. */
const MAX_FILLED = 2 ** 28;

/** A tensor of one number, in a shape that may be free. */
function filled(call: Call, shape: readonly number[] | Value, value: number, dtype: DType): Value {
  if (Array.isArray(shape) && !(elementCount(shape) <= MAX_FILLED)) throw call.decline(`it makes a tensor of the shape [${shape}]`);
  const sizes = Array.isArray(shape) ? call.build.numbers('int64', shape) : (shape as Value);
  return call.add('ConstantOfShape', [sizes], { value, dtype });
}

const fillWith = (value: number): Rule =>
  rule('size, dtype=None, requires_grad=False', (call) => filled(call, call.sizes('size'), value, call.dtype('dtype') ?? 'float32'));

const newWith = (value: number): Rule =>
  rule('self, size, dtype=None, requires_grad=False', (call) => filled(call, call.sizes('size'), value, call.dtype('dtype') ?? call.tensor('self').dtype!));

const likeWith = (value: number): Rule =>
  rule('self, dtype=None, requires_grad=False', (call) => {
    const x = call.tensor('self');
    return filled(call, shapeValue(call, x), value, call.dtype('dtype') ?? x.dtype!);
  });

function shapeValue(call: Call, x: Value): readonly number[] | Value {
  return call.sizesOf(
    call.shape(x).map((_, axis) => call.sizeItem(x, axis)),
    'size',
  );
}

const full = rule('size, fill_value, dtype=None, names=None, requires_grad=False', (call) => {
  const value = knownScalar(call.item('fill_value'));
  if (value === null) throw call.decline('what it is filled with is known only when the model runs');
  return filled(call, call.sizes('size'), numberOf(value), call.dtype('dtype') ?? dtypeOfScalar(value));
});

const fullLike = rule('self, fill_value, dtype=None, requires_grad=False', (call) => {
  const x = call.tensor('self');
  return filled(call, shapeValue(call, x), call.number('fill_value'), call.dtype('dtype') ?? x.dtype!);
});

const newFull = rule('self, size, fill_value, dtype=None, requires_grad=False', (call) =>
  filled(call, call.sizes('size'), call.number('fill_value'), call.dtype('dtype') ?? call.tensor('self').dtype!),
);

/** Positions and grids have fewer. */
const MAX_ELEMENTS = 2 ** 20;

function listed(call: Call, values: readonly number[], dtype: DType, shape: readonly number[] = [values.length]): Value {
  return call.build.constant(numbersTensor('constant', dtype, shape, values, call.build.origin));
}

/** Whole numbers as far as a size that is free. */
function counted(call: Call, items: readonly Item[]): Value {
  const values = items.map((item) => call.valueOf(item, 'end'));
  if (values.some(({ dtype, shape }) => dtype === null || isFloatDType(dtype) || shape?.length !== 0))
    throw call.decline('how far it counts is known only when the model runs');
  const dtype = call.dtype('dtype') ?? 'int64';
  const made = call.add(
    'Range',
    values.map((value) => call.cast(value, 'int64', 'bound')),
    {},
    dtype === 'int64' ? undefined : 'counted',
  );
  return call.cast(made, dtype);
}

/** (end), (start, end) or (start, end, step). */
const arange = rule('first=None, second=None, third=None, start=None, end=None, step=None, dtype=None, requires_grad=False', (call) => {
  const given = ['first', 'second', 'third'].flatMap((name) => (call.has(name) ? [call.item(name)] : []));
  const [start, end, step] = given.length < 2 ? [undefined, given[0]] : given;
  const items = [start ?? call.given.get('start') ?? 0, end ?? call.item('end'), step ?? call.given.get('step') ?? 1];
  const bounds = items.map(knownScalar);
  if (!bounds.every((bound) => bound !== null)) return counted(call, items);
  const [from, to, by] = bounds.map(numberOf) as [number, number, number];
  const dtype = call.dtype('dtype') ?? (bounds.some((bound) => bound instanceof Real) ? 'float32' : 'int64');
  const count = Math.ceil((to - from) / by);
  if (!(count >= 0 && count <= MAX_ELEMENTS)) throw call.decline(`it counts from ${from} to ${to} by ${by}`);
  return listed(
    call,
    Array.from({ length: count }, (_, i) => from + i * by),
    dtype,
  );
});

const linspace = rule('start, end, steps, dtype=None, requires_grad=False', (call) => {
  const [start, end, steps] = ['start', 'end', 'steps'].map((name) => call.number(name)) as [number, number, number];
  if (!(Number.isInteger(steps) && steps >= 0 && steps <= MAX_ELEMENTS)) throw call.decline(`it has ${steps} steps`);
  const dtype = call.dtype('dtype') ?? 'float32';
  // From both ends and by a step of the dtype's own, as PyTorch does it: what is read between two pixels depends on the last bit.
  const own = dtype === 'float32' ? Math.fround : (x: number) => x;
  const by = steps > 1 ? own(own(own(end) - own(start)) / (steps - 1)) : 0;
  const half = Math.floor(steps / 2);
  return listed(
    call,
    Array.from({ length: steps }, (_, i) => (i < half ? own(start) + i * by : own(end) - (steps - 1 - i) * by)),
    dtype,
  );
});

/** A number, or lists of numbers within lists. */
const tensor = rule('data, dtype=None, requires_grad=False', (call) => {
  const shape: number[] = [];
  const values: number[] = [];
  let isFloat = false;
  let isBool = true;
  const walk = (item: Item, axis: number): void => {
    if (item instanceof List) {
      shape[axis] ??= item.items.length;
      if (shape[axis] !== item.items.length) throw call.decline('its lists differ in length');
      for (const one of item.items) walk(one, axis + 1);
      return;
    }
    const scalar = knownScalar(item);
    if (scalar === null) throw call.decline('its numbers are known only when the model runs');
    isFloat ||= scalar instanceof Real;
    isBool &&= typeof scalar === 'boolean';
    values.push(numberOf(scalar));
  };
  const data = call.item('data');
  if (data instanceof TensorItem && knownScalar(data) === null) return call.dtype('dtype') ? call.cast(data.value, call.dtype('dtype')!) : data;
  walk(data, 0);
  return listed(call, values, call.dtype('dtype') ?? (isFloat ? 'float32' : isBool && values.length > 0 ? 'bool' : 'int64'), shape);
});

const sizeRule = rule('self, dim=None', (call) => {
  const x = call.tensor('self');
  if (call.has('dim')) return call.sizeItem(x, call.axis('dim', x));
  return new List(call.shape(x).map((_, axis) => call.sizeItem(x, axis)));
});

const numel = rule('self', (call) => {
  const count = productOf(call.shape(call.tensor('self')));
  return typeof count === 'number' ? count : new TensorItem(call.add('Size', [call.tensor('self')]));
});

const len = rule('self', (call) => {
  const item = call.item('self');
  if (item instanceof List || item instanceof Tuple) return item.items.length;
  if (item instanceof Map) return item.size;
  if (typeof item === 'string') return item.length;
  return call.sizeItem(call.tensor('self'), 0);
});

/** What it holds is what the memory held: any number is right, for whoever reads it before it is written. */
const empty = fillWith(0);

export const making: Rules = {
  empty,
  empty_permuted: rule('size, physical_layout, dtype=None, requires_grad=False', (call) => empty.run(call)),
  empty_strided: rule('size, stride, dtype=None, requires_grad=False', (call) => empty.run(call)),
  empty_like: likeWith(0),
  new_empty: newWith(0),
  new_empty_strided: rule('self, size, stride, dtype=None, requires_grad=False', (call) => newWith(0).run(call)),
  zeros: fillWith(0),
  ones: fillWith(1),
  full,
  new_zeros: newWith(0),
  new_ones: newWith(1),
  new_full: newFull,
  zeros_like: likeWith(0),
  ones_like: likeWith(1),
  full_like: fullLike,
  arange,
  linspace,
  tensor,
  scalar_tensor: rule('data, dtype=None', (call) => tensor.run(call)),
  logspace: rule('start, end, steps, base=10, dtype=None, requires_grad=False', (call) => {
    const powers = (linspace.run(call.withGiven({ dtype: null })) as Value).elements;
    if (!powers?.every((power) => typeof power === 'number')) throw call.decline('its steps are too many');
    return listed(
      call,
      powers.map((power) => call.number('base') ** power),
      call.dtype('dtype') ?? 'float32',
    );
  }),
  eye: rule('n, m=None, dtype=None, requires_grad=False', (call) => {
    const [rows, columns] = [call.number('n'), call.has('m') ? call.number('m') : call.number('n')];
    if (!(rows * columns <= MAX_ELEMENTS)) throw call.decline(`it has ${rows} rows of ${columns}`);
    const values = Array.from({ length: rows * columns }, (_, i) => (i % columns === Math.floor(i / columns) ? 1 : 0));
    return listed(call, values, call.dtype('dtype') ?? 'float32', [rows, columns]);
  }),
  size: sizeRule,
  'prim::shape': sizeRule,
  sym_size: sizeRule,
  is_nested: rule('self', () => false),
  'prim::is_nested': rule('self', () => false),
  dim: rule('self', (call) => call.rank(call.tensor('self'))),
  numel,
  sym_numel: numel,
  len,
  lift_fresh: rule('self', (call) => call.item('self')),
  lift_fresh_copy: rule('self', (call) => call.item('self')),
  broadcast_tensors: rule('tensors', (call) => {
    const values = call.tensors('tensors');
    const sum = values.map((value) => call.cast(value, 'float32')).reduce((a, b) => call.add('Add', [a, b], {}, 'broadcast'));
    const shape = shapeValue(call, sum);
    return listOf(values.map((value) => (Array.isArray(shape) ? call.add('Expand', [value], { shape }) : call.add('Expand', [value, shape as Value]))));
  }),
};
