/** Operators that order elements, and that write to places which indices name. */
import type { Value } from '../../../model/builder.js';
import { isFloatDType } from '../../../model/dtype.js';
import { NEUTRAL } from '../../neutral.js';
import type { Call } from '../call.js';
import { type Item, List, TensorItem } from '../items.js';
import { listOf, type Rule, type Rules, rule } from '../rule.js';
import { expanded, sizeItems } from './arrangement.js';

/** All elements of an axis in order, and where they were. */
function ordered(call: Call, isDescending: boolean): readonly Value[] {
  const x = call.tensor('self');
  const axis = call.axis('dim', x);
  return call.addMany('TopK', [x], { k: call.size(x, axis), axis, largest: isDescending ? 1 : 0, sorted: 1 }, 2);
}

/** One in the order of an axis, from the smallest, and where it was. */
function ranked(call: Call, place: (size: number) => number): List {
  const x = call.tensor('self');
  const axis = call.axis('dim', x);
  const k = place(call.size(x, axis));
  const both = call.addMany('TopK', [x], { k, axis, largest: 0, sorted: 1 }, 2);
  const last = { starts: [k - 1], ends: [k], axes: [axis], steps: [1] };
  return listOf(
    both.map((value) => {
      const taken = call.add('Slice', [value], last, 'taken');
      return call.flag('keepdim') ? taken : call.add('Squeeze', [taken], { axes: [axis] }, 'one');
    }),
  );
}

/** The lower one of two; of all elements without its place. */
const median = rule('self, dim=None, keepdim=False', (call) => {
  const middle = (size: number) => Math.floor((size - 1) / 2) + 1;
  if (call.has('dim')) return ranked(call, middle);
  const row = new TensorItem(call.reshaped(call.tensor('self'), [-1], 'row'));
  return ranked(call.withGiven({ self: row, dim: 0 }), middle).items[0]!;
});

/** Overloads with and without a word on equal elements, which comes first. */
const sorting = (run: (call: Call, isDescending: boolean) => Item | Value): Rule =>
  rule('self, a=None, b=None, c=None, stable=None, dim=-1, descending=False', (call) => {
    const given = ['a', 'b', 'c'].flatMap((name) => (call.given.get(name) === null ? [] : [call.given.get(name)!]));
    const [dim, descending] = typeof given[0] === 'boolean' && given.length > 1 ? given.slice(1) : given;
    const own = call.withGiven({ ...(dim === undefined ? {} : { dim }), ...(descending === undefined ? {} : { descending }) });
    return run(own, own.flag('descending'));
  });

/** What is written, cut to as many elements as there are indices. */
function updatesOf(call: Call, x: Value, index: Value): Value {
  const item = call.given.get('src') ?? call.given.get('value') ?? null;
  const source = call.cast(call.valueOf(item, 'src'), x.dtype!, 'source');
  if (call.rank(source) === 0) return expanded(call, source, call.sizesOf(sizeItems(call, index), 'shape'), 'updates');
  const [have, wanted] = [call.shape(source), call.shape(index)];
  const axes = wanted.flatMap((size, axis) => (size === have[axis] ? [] : [axis]));
  if (axes.length === 0) return source;
  const ends = axes.map((axis) => wanted[axis]!);
  if (!ends.every((end) => typeof end === 'number')) throw call.decline('how many elements are written is known only when the model runs');
  return call.add('Slice', [source], { starts: axes.map(() => 0), ends: ends as number[], axes, steps: axes.map(() => 1) }, 'updates');
}

const REDUCTIONS: Readonly<Record<string, string>> = { add: 'add', multiply: 'mul', sum: 'add', prod: 'mul', amax: 'max', amin: 'min' };

function scattered(call: Call, reduction: string): Value {
  const [x, index] = [call.tensor('self'), call.tensor('index')];
  return call.add('ScatterElements', [x, index, updatesOf(call, x, index)], { axis: call.axis('dim', x), reduction });
}

const scatter = rule('self, dim, index, src=None, value=None, reduce=None', (call) => {
  if (!call.has('reduce')) return scattered(call, 'none');
  const reduction = REDUCTIONS[call.text('reduce')];
  if (!reduction) throw call.decline(`it combines by ${JSON.stringify(call.text('reduce'))}`);
  return scattered(call, reduction);
});

/** The sum of what is written to a place, and of what was there, divided by how many they are. */
function scatteredMean(call: Call): Value {
  const [x, index] = [call.tensor('self'), call.tensor('index')];
  if (!isFloatDType(x.dtype ?? 'bool')) throw call.decline('it takes the mean of whole numbers');
  const axis = call.axis('dim', x);
  const filled = (value: number, like: Value, step: string) => expanded(call, call.scalar(value, x), call.sizesOf(sizeItems(call, like), 'shape'), step);
  const ones = filled(1, index, 'ones');
  const counted = (start: Value) => call.add('ScatterElements', [start, index, ones], { axis, reduction: 'add' }, 'counts');
  const isKept = call.flag('include_self');
  const start = isKept ? x : call.add('ScatterElements', [x, index, filled(0, index, 'zeros')], { axis, reduction: 'none' }, 'cleared');
  const sum = call.add('ScatterElements', [start, index, updatesOf(call, x, index)], { axis, reduction: 'add' }, 'sum');
  const counts = isKept ? counted(filled(1, x, 'own')) : call.add('Max', [counted(filled(0, x, 'none')), call.scalar(1, x)], {}, 'divisors');
  return call.add('Div', [sum, counts]);
}

const scatterReduce = rule('self, dim, index, src, reduce, include_self=True', (call) => {
  if (call.text('reduce') === 'mean') return scatteredMean(call);
  const reduction = REDUCTIONS[call.text('reduce')];
  if (!reduction) throw call.decline(`it combines by ${JSON.stringify(call.text('reduce'))}`);
  if (call.flag('include_self')) return scattered(call, reduction);
  // What was there becomes, where something is written, what changes nothing.
  const [x, index] = [call.tensor('self'), call.tensor('index')];
  const neutral = NEUTRAL[reduction];
  if (neutral === undefined || !isFloatDType(x.dtype ?? 'bool')) throw call.decline('it combines whole numbers without what was there');
  const updates = updatesOf(call, x, index);
  const fill = expanded(call, call.scalar(neutral, x), call.sizesOf(sizeItems(call, index), 'shape'), 'neutral');
  const cleared = call.add('ScatterElements', [x, index, fill], { axis: call.axis('dim', x), reduction: 'none' }, 'cleared');
  return call.add('ScatterElements', [cleared, index, updates], { axis: call.axis('dim', x), reduction });
});

/** Whole rows to the places that a list names. */
function rowsWritten(call: Call, source: Value, reduction: string): Value {
  const x = call.tensor('self');
  const axis = call.axis('dim', x);
  const sizes = call.shape(x).map((_, i) => (i === axis ? -1 : 1));
  const column = call.reshaped(call.cast(call.tensor('index'), 'int64', 'places'), sizes, 'column');
  const places = expanded(call, column, call.sizesOf(sizeItems(call, source), 'shape'), 'places');
  return call.add('ScatterElements', [x, places, source], { axis, reduction });
}

const indexAdd = rule('self, dim, index, source, alpha=1', (call) => {
  const source = call.cast(call.tensor('source'), call.tensor('self').dtype!, 'source');
  const alpha = call.number('alpha');
  return rowsWritten(call, alpha === 1 ? source : call.add('Mul', [source, call.scalar(alpha, source)], {}, 'scaled'), 'add');
});

const indexCopy = rule('self, dim, index, source', (call) => rowsWritten(call, call.cast(call.tensor('source'), call.tensor('self').dtype!, 'source'), 'none'));

const indexFill = rule('self, dim, index, value', (call) => {
  const x = call.tensor('self');
  const axis = call.axis('dim', x);
  const count = call.size(call.tensor('index'), 0);
  const sizes = sizeItems(call, x).map((size, i) => (i === axis ? count : size));
  const value = call.cast(call.tensor('value'), x.dtype!, 'source');
  return rowsWritten(call, expanded(call, value, call.sizesOf(sizes, 'shape'), 'source'), 'none');
});

/** Values at places: one mask over the first axes, or lists of places for the first axes. */
const indexPut: Rule = rule('self, indices, values, accumulate=False, unsafe=False', (call) => {
  const x = call.tensor('self');
  const values = call.cast(call.tensor('values'), x.dtype!, 'values');
  const given = call.items('indices');
  const lists = given.filter((item) => item !== null).map((item) => call.valueOf(item, 'indices'));
  const isAdded = call.flag('accumulate');
  const [only] = lists;
  if (!only) throw call.decline('it has no indices');
  if (only.dtype === 'bool' || only.dtype === 'uint8') {
    if (lists.length > 1 || given[0] === null || isAdded) throw call.decline('it writes by a mask beside other indices, or adds by one');
    if (call.shape(values).some((size) => size !== 1)) throw call.decline('it writes by a mask more than one value');
    const rest = call.rank(x) - call.rank(only);
    const axes = Array.from({ length: rest }, (_, i) => call.rank(only) + i);
    const mask = rest === 0 ? only : call.add('Unsqueeze', [only], { axes }, 'mask');
    const one = call.rank(values) === 0 ? values : call.reshaped(values, [], 'value');
    return call.add('Where', [call.cast(mask, 'bool', 'mask'), one, x]);
  }
  const axis = given.findIndex((item) => item !== null);
  if (lists.length === 1 && axis > 0 && call.rank(only) === 1) {
    const sizes = sizeItems(call, x).map((size, i) => (i === axis ? call.sizeItem(only, 0) : size));
    const spread = expanded(call, values, call.sizesOf(sizes, 'shape'), 'updates');
    return rowsWritten(call.withGiven({ dim: axis, index: given[axis]! }), spread, isAdded ? 'add' : 'none');
  }
  if (lists.some(({ dtype }) => dtype === 'bool' || dtype === 'uint8')) throw call.decline('it writes by a mask beside other indices');
  if (given.slice(0, lists.length).includes(null)) return writtenAside(call, lists);
  const sum = lists.reduce((a, b) => call.add('Add', [a, b], {}, 'places'));
  const shape = call.shape(sum);
  const whole = lists.map((list, i) => {
    const size = call.size(x, i);
    // Places may be counted from behind, which ScatterND understands too.
    if (list.elements?.some((at) => typeof at === 'number' && (at >= size || at < -size))) throw call.decline(`it writes beyond an axis of ${size}`);
    const spread = expanded(call, call.cast(list, 'int64', 'whole'), call.sizesOf(sizeItems(call, sum), 'shape'), 'places');
    return call.add('Unsqueeze', [spread], { axes: [shape.length] }, 'column');
  });
  const indices = whole.length === 1 ? whole[0]! : call.add('Concat', whole, { axis: shape.length }, 'indices');
  const sizes = [...sizeItems(call, sum), ...sizeItems(call, x).slice(lists.length)];
  const updates = expanded(call, values, call.sizesOf(sizes, 'shape'), 'updates');
  return call.add('ScatterND', [x, indices, updates], { reduction: isAdded ? 'add' : 'none' });
});

/** Values at places of other axes than the first: these are turned ahead, and back. */
function writtenAside(call: Call, lists: readonly Value[]): Value {
  const x = call.tensor('self');
  const axes = call.items('indices').flatMap((item, axis) => (item === null ? [] : [axis]));
  const rest = Array.from({ length: call.rank(x) }, (_, axis) => axis).filter((axis) => !axes.includes(axis));
  const order = [...axes, ...rest];
  const sum = lists.reduce((a, b) => call.add('Add', [a, b], {}, 'places'));
  const [places, sizes] = [sizeItems(call, sum), sizeItems(call, x)];
  // Places that stand together stay where they were among the axes of the values, others come first.
  const before = axes.every((axis, i) => axis === axes[0]! + i) ? axes[0]! : 0;
  const others = rest.map((axis) => sizes[axis]!);
  const shape = call.sizesOf([...others.slice(0, before), ...places, ...others.slice(before)], 'shape');
  const values = expanded(call, call.cast(call.tensor('values'), x.dtype!, 'values'), shape, 'updates');
  const all = Array.from({ length: places.length + rest.length }, (_, i) => i);
  const turned = [...all.slice(before, before + places.length), ...all.slice(0, before), ...all.slice(before + places.length)];
  const ahead = call.add('Transpose', [x], { perm: order }, 'ahead');
  const updates = before === 0 ? values : call.add('Transpose', [values], { perm: turned }, 'turned');
  const own = { self: new TensorItem(ahead), indices: new List(lists.map((list) => new TensorItem(list))), values: new TensorItem(updates) };
  const made = indexPut.run(call.withGiven(own)) as Value;
  return call.add('Transpose', [made], { perm: order.map((_, axis) => order.indexOf(axis)) });
}

const takeAlong = rule('self, indices, dim=None', (call) => {
  if (!call.has('dim')) throw call.decline('it takes of all elements as one row');
  const [x, index] = [call.tensor('self'), call.tensor('indices')];
  const axis = call.axis('dim', x);
  const spread = (value: Value, like: Value) => {
    const sizes = sizeItems(call, value).map((size, i) => (i === axis || call.shape(value)[i] !== 1 ? size : call.sizeItem(like, i)));
    return call.shape(value).every((size, i) => i === axis || size === call.shape(like)[i] || size !== 1)
      ? value
      : expanded(call, value, call.sizesOf(sizes, 'shape'), 'spread');
  };
  return call.add('GatherElements', [spread(x, index), spread(index, x)], { axis });
});

/** By quarters of a turn, from the first of two axes to the second. */
const rotate = rule('self, k=1, dims=[]', (call) => {
  const x = call.tensor('self');
  const given = call.numbers('dims');
  const [a, b] = (given.length === 2 ? given : [0, 1]).map((axis) => call.axisOf(axis, call.rank(x))) as [number, number];
  const turns = ((call.number('k') % 4) + 4) % 4;
  const turned = (value: Value, axes: readonly number[], step?: string) =>
    call.add('Slice', [value], { starts: axes.map(() => -1), ends: axes.map(() => -(2 ** 63)), axes, steps: axes.map(() => -1) }, step);
  if (turns === 0) return x;
  if (turns === 2) return turned(x, [a, b]);
  const swapped = turns === 1 ? turned(x, [b], 'turned') : turned(x, [a], 'turned');
  return call.transposed(swapped, a, b);
});

export const places: Rules = {
  sort: sorting((call, isDescending) => listOf(ordered(call, isDescending))),
  argsort: sorting((call, isDescending) => ordered(call, isDescending)[1]!),
  kthvalue: rule('self, k, dim=-1, keepdim=False', (call) => ranked(call, () => call.number('k'))),
  median,
  scatter,
  scatter_add: rule('self, dim, index, src', (call) => scattered(call, 'add')),
  scatter_reduce: scatterReduce,
  index_add: indexAdd,
  index_copy: indexCopy,
  index_fill: indexFill,
  index_put: indexPut,
  _index_put_impl: indexPut,
  take_along_dim: takeAlong,
  rot90: rotate,
  // A row for each element that is not zero.
  nonzero: rule('self', (call) => call.transposed(call.add('NonZero', [call.tensor('self')], {}, 'places'), 0, 1)),
};
