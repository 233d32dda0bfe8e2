/** Operators along an axis that carry something on from element to element, and those that count or weave elements. */
import type { Value } from '../../../model/builder.js';
import { isFloatDType } from '../../../model/dtype.js';
import type { Call } from '../call.js';
import { knownScalar, List, numberOf, TensorItem } from '../items.js';
import { listOf, type Rule, type Rules, rule } from '../rule.js';
import { normOf } from './normalisation.js';

const END = 2 ** 63;

/**
 * What each element and all before it along an axis are together: in steps that join each element with the one 1, 2, 4, ... places before,
 * by an operation that does not mind how its operands are bracketed.
 */
function running(call: Call, x: Value, axis: number, join: (later: Value, earlier: Value) => Value): Value {
  const size = call.size(x, axis);
  const cut = (value: Value, start: number, end: number, step: string) => call.add('Slice', [value], { starts: [start], ends: [end], axes: [axis] }, step);
  let made = x;
  for (let by = 1; by < size; by *= 2) {
    const joined = join(cut(made, by, END, 'later'), cut(made, 0, size - by, 'earlier'));
    made = call.add('Concat', [cut(made, 0, by, 'first'), joined], { axis }, 'joined');
  }
  return made;
}

const runningProduct = rule('self, dim, dtype=None', (call) => {
  const given = call.tensor('self');
  const own = given.dtype !== null && isFloatDType(given.dtype) ? given.dtype : 'int64';
  const x = call.cast(given, call.dtype('dtype') ?? own, 'multiplied');
  return running(call, x, call.axis('dim', x), (a, b) => call.add('Mul', [a, b], {}, 'product'));
});

/** With the places: of equal elements the last one. */
const runningExtreme = (op: 'Max' | 'Min'): Rule =>
  rule('self, dim', (call) => {
    const x = call.tensor('self');
    const axis = call.axis('dim', x);
    const size = call.size(x, axis);
    const values = running(call, x, axis, (a, b) => call.add(op, [a, b], {}, 'extreme'));
    const shape = call.shape(x).map((_, i) => (i === axis ? size : 1));
    const places = call.build.numbers(
      'int64',
      Array.from({ length: size }, (_, i) => i),
      shape,
    );
    const reached = call.add('Where', [call.add('Equal', [x, values], {}, 'reached'), places, call.build.numbers('int64', 0)], {}, 'places');
    return listOf([values, running(call, reached, axis, (a, b) => call.add('Max', [a, b], {}, 'place'))]);
  });

/** log(eᵃ + eᵇ), which neither overflows nor minds infinities that are equal. */
function logOfSum(call: Call, a: Value, b: Value): Value {
  const [low, high] = [call.add('Min', [a, b], {}, 'low'), call.add('Max', [a, b], {}, 'high')];
  const apart = call.add('Where', [call.add('Equal', [a, b], {}, 'equal'), call.scalar(0, a), call.add('Sub', [low, high], {}, 'difference')], {}, 'apart');
  const share = call.add('Log', [call.add('Add', [call.add('Exp', [apart], {}, 'share'), call.scalar(1, a)], {}, 'sum')], {}, 'log');
  return call.add('Add', [high, share]);
}

/** How many bounds lie below each value: with `right`, those that equal it, too. */
function boundsBelow(call: Call, boundsName: string): Value {
  const dtype = call.promotedType([boundsName, 'self']);
  const [bounds, x] = [boundsName, 'self'].map((name) => call.cast(call.tensor(name), dtype)) as [Value, Value];
  const rank = call.rank(bounds);
  if (rank !== 1 && rank !== call.rank(x)) throw call.decline(`its bounds [${bounds.shape}] are not those of [${x.shape}]`);
  const row = rank === 1 ? bounds : call.add('Unsqueeze', [bounds], { axes: [rank - 1] }, 'bounds');
  const column = call.add('Unsqueeze', [x], { axes: [call.rank(x)] }, 'values');
  const right = call.has('side') ? call.text('side') === 'right' : call.flag('right');
  const below = call.add(right ? 'GreaterOrEqual' : 'Greater', [column, row], {}, 'below');
  const counted = call.cast(below, 'int64', 'counted');
  const count = call.add('ReduceSum', [counted], { axes: [call.rank(counted) - 1], keepdims: 0 }, call.flag('out_int32') ? 'count' : undefined);
  return call.flag('out_int32') ? call.cast(count, 'int32') : count;
}

const searchSorted = rule('sorted_sequence, self, out_int32=False, right=False, side=None, sorter=None', (call) => {
  if (call.has('sorter')) throw call.decline('its bounds are in an order that another tensor tells');
  return boundsBelow(call, 'sorted_sequence');
});

/** The product of vectors of three along an axis; without one the first that has three elements. */
const cross = (usual: string): Rule =>
  rule(`self, other, dim=${usual}`, (call) => {
    const [a, b] = call.promoted(['self', 'other']).values as [Value, Value];
    const first = call.shape(a).indexOf(3);
    const axis = call.has('dim') ? call.axis('dim', a) : first;
    if (call.rank(a) !== call.rank(b) || axis < 0 || call.shape(a)[axis] !== 3) throw call.decline(`[${a.shape}] and [${b.shape}] hold no vectors of three`);
    const turned = (x: Value, places: readonly number[]) => call.add('Gather', [x, call.build.numbers('int64', places)], { axis }, 'turned');
    const term = (left: readonly number[], right: readonly number[]) => call.add('Mul', [turned(a, left), turned(b, right)], {}, 'term');
    return call.add('Sub', [term([1, 2, 0], [2, 0, 1]), term([2, 0, 1], [1, 2, 0])]);
  });

/** Each element of the first times all of the second, in blocks. */
const kron = rule('self, other', (call) => {
  const [a, b] = call.promoted(['self', 'other']).values as [Value, Value];
  const rank = Math.max(call.rank(a), call.rank(b));
  const sizes = (x: Value) => [...new Array<number>(rank - call.rank(x)).fill(1), ...call.shape(x).map((_, axis) => call.size(x, axis))];
  const [ofA, ofB] = [sizes(a), sizes(b)];
  const left = call.reshaped(
    a,
    ofA.flatMap((size) => [size, 1]),
    'left',
  );
  const right = call.reshaped(
    b,
    ofB.flatMap((size) => [1, size]),
    'right',
  );
  return call.reshaped(
    call.add('Mul', [left, right], {}, 'product'),
    ofA.map((size, axis) => size * ofB[axis]!),
  );
});

/** Matrices along a diagonal; what is no matrix is a row. */
const blockDiagonal = rule('tensors', (call) => {
  const blocks = call.tensors('tensors').map((value) => (call.rank(value) < 2 ? call.reshaped(value, [1, -1], 'row') : value));
  const widths = blocks.map((block) => call.size(block, 1));
  const total = widths.reduce((sum, width) => sum + width, 0);
  let before = 0;
  const rows = blocks.map((block, i) => {
    const pads = [0, before, 0, total - before - widths[i]!];
    before += widths[i]!;
    return call.add('Pad', [block], { pads, mode: 'constant' }, 'wide');
  });
  return rows.length === 1 ? rows[0]! : call.add('Concat', rows, { axis: 0 });
});

const MAX_PLACES = 2 ** 20;

/** Elements by their places in memory, which is only known to be in the order of the axes where nothing was done to a tensor that changes it. */
const asStrided = rule('self, size, stride, storage_offset=None', (call) => {
  const item = call.tensorItem('self');
  if (!item.isRowMajor) throw call.decline('it takes elements by their places in memory, which are known of inputs and behind contiguous() only');
  // Of a part of a tensor the place where it begins counts from where the whole does.
  if (item.view && call.has('storage_offset')) throw call.decline('it says where it begins in memory, and flows in from what may be a part of another tensor');
  const x = item.value;
  const [sizes, strides] = [call.numbers('size'), call.numbers('stride')];
  const start = call.has('storage_offset') ? call.number('storage_offset') : 0;
  const count = call.shape(x).reduce<number>((product, _, axis) => product * call.size(x, axis), 1);
  const total = sizes.reduce((product, size) => product * size, 1);
  if (!(total >= 1 && total <= MAX_PLACES) || sizes.length !== strides.length) throw call.decline(`its size is [${sizes}], by [${strides}]`);
  let places = [start];
  for (const [axis, size] of sizes.entries()) places = places.flatMap((place) => Array.from({ length: size }, (_, i) => place + i * strides[axis]!));
  if (places.some((place) => place < 0 || place >= count)) throw call.decline(`it reads beyond the ${count} elements that there are`);
  return call.add('Gather', [call.reshaped(x, [-1], 'row'), call.build.numbers('int64', places, sizes)], { axis: 0 });
});

const isZero = (call: Call, x: Value) => call.add('Equal', [x, call.scalar(0, x)], {}, 'zero');

/** Parts of numbers that are as equal as can be, or parts between places. */
const tensorSplit = rule('self, indices_or_sections, dim=0', (call) => {
  const x = call.tensor('self');
  const axis = call.axis('dim', x);
  const size = call.size(x, axis);
  const given = call.item('indices_or_sections');
  const count = given instanceof List ? null : knownScalar(given);
  const inner =
    count === null ? (given instanceof TensorItem ? (given.value.elements ?? [null]) : call.numbers('indices_or_sections')) : evenly(size, numberOf(count));
  const bounds = inner.map((place) => {
    if (typeof place !== 'number') throw call.decline('where it cuts is known only when the model runs');
    return Math.max(0, Math.min(size, place < 0 ? place + size : place));
  });
  const edges = [0, ...bounds, size];
  const cut = (start: number, end: number) => {
    if (end <= start) throw call.decline(`a part of the ${size} elements is empty`);
    return start === 0 && end === size ? x : call.add('Slice', [x], { starts: [start], ends: [end], axes: [axis] }, 'part');
  };
  return listOf(edges.slice(1).map((end, i) => cut(edges[i]!, end)));
});

const splitAlong = (name: string, axis: (rank: number) => number): Rule =>
  rule(`self, ${name}`, (call) => tensorSplit.run(call.withGiven({ dim: axis(call.rank(call.tensor('self'))) })));

export const scans: Rules = {
  cumprod: runningProduct,
  cummax: runningExtreme('Max'),
  cummin: runningExtreme('Min'),
  logcumsumexp: rule('self, dim', (call) => {
    const x = call.tensor('self');
    return running(call, x, call.axis('dim', x), (a, b) => logOfSum(call, a, b));
  }),
  logaddexp: rule('self, other', (call) => {
    const [a, b] = call.promoted(['self', 'other']).values as [Value, Value];
    return logOfSum(call, a, b);
  }),
  searchsorted: searchSorted,
  bucketize: rule('self, boundaries, out_int32=False, right=False, side=None', (call) => boundsBelow(call, 'boundaries')),
  cross: cross('None'),
  linalg_cross: cross('-1'),
  kron,
  block_diag: blockDiagonal,
  as_strided: asStrided,
  chain_matmul: rule('matrices', (call) => call.tensors('matrices').reduce((a, b) => call.add('MatMul', [a, b]))),
  dist: rule('self, other, p=2', (call) => {
    const difference = call.add('Sub', call.promoted(['self', 'other']).values, {}, 'difference');
    const axes = Array.from({ length: call.rank(difference) }, (_, axis) => axis);
    return normOf(call, difference, call.number('p'), axes, 0);
  }),
  /** x log(y), and 0 where x is 0. */
  xlogy: rule('self, other', (call) => {
    const [x, y] = call.promoted(['self', 'other']).values as [Value, Value];
    const product = call.add('Mul', [x, call.add('Log', [y], {}, 'log')], {}, 'product');
    return call.add('Where', [isZero(call, x), call.scalar(0, x), product]);
  }),
  sinc: rule('self', (call) => {
    const x = call.tensor('self');
    const turned = call.add('Mul', [x, call.scalar(Math.PI, x)], {}, 'turned');
    const share = call.add('Div', [call.add('Sin', [turned], {}, 'sine'), turned], {}, 'share');
    return call.add('Where', [isZero(call, x), call.scalar(1, x), share]);
  }),
  hsplit: splitAlong('indices_or_sections', (rank) => (rank === 1 ? 0 : 1)),
  vsplit: splitAlong('indices_or_sections', () => 0),
  dsplit: splitAlong('indices_or_sections', () => 2),
  tensor_split: tensorSplit,
};

/** Where an axis is cut into so many parts, of which the first ones are one larger where it does not come out even. */
function evenly(size: number, count: number): number[] {
  const [each, larger] = [Math.floor(size / count), size % count];
  return Array.from({ length: Math.max(0, Math.min(count, MAX_PLACES) - 1) }, (_, i) => (i + 1) * each + Math.min(i + 1, larger));
}
