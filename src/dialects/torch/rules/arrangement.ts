/** Operators that only move elements: views, cuts, joins, padding, and looking things up. */
import type { Value } from '../../../model/builder.js';
import { isFloatDType } from '../../../model/dtype.js';
import { spreadPads } from '../../../model/ops/arrangement.js';
import type { Call } from '../call.js';
import { type Item, knownScalar, List, MAX_LENGTH, numberOf, TensorItem, Tuple } from '../items.js';
import { listOf, type Rule, type Rules, rule } from '../rule.js';

/** "To the end", as the largest int64. */
const END = 2 ** 63;

/** The value's sizes as a program would ask for them. */
export function sizeItems(call: Call, value: Value): Item[] {
  return call.shape(value).map((_, axis) => call.sizeItem(value, axis));
}

/** A view in another shape; what is written into it has the old shape again. */
function reshapedView(call: Call, shape: readonly number[] | Value, isCertain: boolean): Item {
  const sizes = sizeItems(call, call.tensor('self'));
  return call.view(
    'self',
    (whole) => call.reshaped(whole, shape),
    isCertain ? (whole, part) => call.reshaped(call.cast(part, whole.dtype!), call.sizesOf(sizes, 'shape'), 'back') : null,
  );
}

function shapeOf(call: Call, name: string): readonly number[] | Value {
  const shape = call.sizes(name);
  // To ONNX a size of 0 is a size that is kept.
  if (Array.isArray(shape) && shape.includes(0)) throw call.decline(`its shape [${shape}] has no elements`);
  if (Array.isArray(shape)) checkTracedBatch(call, shape as readonly number[]);
  return shape;
}

/** Sizes that a program was traced with stand in it as numbers, and hold for as many inputs at a time as flowed in then. */
function checkTracedBatch(call: Call, sizes: readonly number[]): void {
  const own = call.tensor('self').shape;
  const [batch, ...rest] = own ?? [];
  if (typeof batch !== 'string' || sizes.includes(-1) || !rest.every((size) => typeof size === 'number')) return;
  const rows = sizes.reduce((product, size) => product * size, 1) / (rest as number[]).reduce((product, size) => product * size, 1);
  if (rows > 1 && Number.isInteger(rows))
    throw call.decline(
      `its sizes [${sizes}] hold for ${rows} inputs at a time alone, for which the program was made; give the sizes of the input with --input-shape, ${rows} first`,
    );
}

const view = rule('self, size', (call) => {
  // An overload looks at the same bytes as another dtype.
  if (typeof call.item('size') === 'number') throw call.decline('it reads bytes as another dtype');
  return reshapedView(call, shapeOf(call, 'size'), true);
});
const reshape = rule('self, shape', (call) => reshapedView(call, shapeOf(call, 'shape'), false));

const flatten = rule('self, start_dim=0, end_dim=-1', (call) => {
  const x = call.tensor('self');
  const rank = call.rank(x);
  if (rank === 0) return reshapedView(call, [1], false);
  const [start, end] = [call.axis('start_dim', x), call.axis('end_dim', x)];
  if (start === end) return call.tensorItem('self');
  if (start === 1 && end === rank - 1) return call.view('self', (whole) => call.add('Flatten', [whole], { axis: 1 }), null);
  const items = sizeItems(call, x);
  const merged = [...items.slice(0, start), -1, ...items.slice(end + 1)];
  return reshapedView(call, call.sizesOf(merged, 'shape'), false);
});

const unflatten = rule('self, dim, sizes', (call) => {
  const x = call.tensor('self');
  const axis = call.axis('dim', x);
  const items = sizeItems(call, x);
  return reshapedView(call, call.sizesOf([...items.slice(0, axis), ...call.items('sizes'), ...items.slice(axis + 1)], 'sizes'), true);
});

function permuted(call: Call, perm: readonly number[]): Item {
  if (perm.every((axis, i) => axis === i)) return call.tensorItem('self');
  const inverse = perm.map((_, i) => perm.indexOf(i));
  return call.view(
    'self',
    (whole) => call.add('Transpose', [whole], { perm }),
    (_, part) => call.add('Transpose', [part], { perm: inverse }, 'back'),
  );
}

const permute = rule('self, dims', (call) => {
  const rank = call.rank(call.tensor('self'));
  return permuted(
    call,
    call.numbers('dims').map((axis) => call.axisOf(axis, rank)),
  );
});

const transpose = rule('self, dim0, dim1', (call) => {
  const x = call.tensor('self');
  const [a, b] = [call.axis('dim0', x), call.axis('dim1', x)];
  const axes = Array.from({ length: call.rank(x) }, (_, axis) => axis);
  return permuted(call, axes.with(a, b).with(b, a));
});

const t = rule('self', (call) => {
  const rank = call.rank(call.tensor('self'));
  return rank < 2 ? call.tensorItem('self') : permuted(call, [1, 0]);
});

const movedim = rule('self, source, destination', (call) => {
  const rank = call.rank(call.tensor('self'));
  const [from, to] = ['source', 'destination'].map((name) => call.numbers(name).map((axis) => call.axisOf(axis, rank))) as [number[], number[]];
  const rest = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => !from.includes(axis));
  const perm = Array.from({ length: rank }, (_, axis) => (to.includes(axis) ? from[to.indexOf(axis)]! : rest.shift()!));
  return permuted(call, perm);
});

const unsqueeze = rule('self, dim', (call) => {
  const axes = [call.axis('dim', call.tensor('self'), 1)];
  return call.view(
    'self',
    (whole) => call.add('Unsqueeze', [whole], { axes }),
    (_, part) => call.add('Squeeze', [part], { axes }, 'back'),
  );
});

const squeeze = rule('self, dim=None', (call) => {
  const x = call.tensor('self');
  const shape = call.shape(x);
  const given = call.has('dim') ? call.numbers('dim').map((axis) => call.axisOf(axis, shape.length)) : shape.map((_, axis) => axis);
  const free = given.find((axis) => typeof shape[axis] === 'string');
  if (free !== undefined) throw call.decline(`whether the size "${shape[free]}" is 1 is known only when the model runs`);
  const axes = given.filter((axis) => shape[axis] === 1);
  if (axes.length === 0) return call.tensorItem('self');
  return call.view(
    'self',
    (whole) => call.add('Squeeze', [whole], { axes }),
    (_, part) => call.add('Unsqueeze', [part], { axes }, 'back'),
  );
});

/** Elements [start, end) of an axis, as a view. */
function cut(call: Call, axis: number, start: number, end: number, step = 1): Item {
  const size = call.shape(call.tensor('self'))[axis]!;
  const bound = (at: number) => (typeof size === 'number' ? Math.max(0, Math.min(size, at < 0 ? at + size : at)) : at);
  const [from, to] = [bound(start), end >= END ? END : bound(end)];
  const isAll = from === 0 && step === 1 && (to >= END || to === size);
  if (isAll) return call.tensorItem('self');
  const slice = (whole: Value, first: number, last: number, part?: string) =>
    call.add('Slice', [whole], { starts: [first], ends: [last], axes: [axis], steps: [step] }, part);
  // What is written to no element changes nothing: masks of windows are filled so where they are not shifted along an axis.
  if (typeof size === 'number' && Math.min(to, size) <= from)
    return call.view(
      'self',
      (whole) => slice(whole, 0, 0),
      (whole) => whole,
    );
  const put = (whole: Value, part: Value) => {
    const before = from === 0 ? [] : [slice(whole, 0, from, 'before')];
    const after = to >= END || to === size ? [] : [slice(whole, to, END, 'after')];
    return before.length + after.length === 0 ? part : call.add('Concat', [...before, part, ...after], { axis }, 'whole');
  };
  const last = typeof size === 'number' ? size : null;
  // Every so many of the elements are written: the part stands behind the whole, and each element is looked up where it is now.
  const putSteps = (whole: Value, part: Value) => {
    const written = (at: number) => at >= from && at < to && (at - from) % step === 0;
    const places = Array.from({ length: last! }, (_, at) => (written(at) ? last! + (at - from) / step : at));
    return call.add('Gather', [call.add('Concat', [whole, part], { axis }, 'both'), call.build.numbers('int64', places)], { axis }, 'whole');
  };
  return call.view('self', (whole) => slice(whole, from, to), step === 1 ? put : last === null || last > MAX_LENGTH ? null : putSteps);
}

export const slice = rule('self, dim=0, start=None, end=None, step=1', (call) => {
  const self = call.item('self');
  // Of a list: (list, start, end, step).
  if (self instanceof List || self instanceof Tuple || typeof self === 'string') return slicedList(call, self);
  const axis = call.axis('dim', call.tensor('self'));
  const [start, end] = [call.has('start') ? knownScalar(call.item('start')) : 0, call.has('end') ? knownScalar(call.item('end')) : END];
  const isWhole = start === 0 && call.number('step') === 1 && call.has('end') && call.isSameSize(call.item('end'), call.shape(call.tensor('self'))[axis]!);
  if (isWhole) return call.tensorItem('self');
  if (start !== null && end !== null) return cut(call, axis, numberOf(start), numberOf(end), call.number('step'));
  const bounds = ['start', 'end'].map((name, i) => {
    const made = call.sizesOf([call.has(name) ? call.item(name) : i === 0 ? 0 : END], name);
    return Array.isArray(made) ? call.build.numbers('int64', made) : (made as Value);
  });
  const steps = [call.build.numbers('int64', [axis]), call.build.numbers('int64', [call.number('step')])];
  return call.view('self', (whole) => call.add('Slice', [whole, ...bounds, ...steps]), null);
});

function slicedList(call: Call, self: List | Tuple | string): Item {
  const [start, end, step] = ['dim', 'start', 'end'].map((name) => (call.given.get(name) === null ? null : call.number(name)));
  if (typeof self === 'string') return self.slice(start ?? 0, end ?? undefined);
  const count = self.items.length;
  const by = step ?? 1;
  if (by === 0) throw call.decline('its step is 0');
  const [least, most] = by > 0 ? [0, count] : [-1, count - 1];
  const bound = (at: number | null | undefined, usual: number) =>
    at === null || at === undefined ? usual : Math.max(least, Math.min(most, at < 0 ? at + count : at));
  const [from, to] = by > 0 ? [bound(start, 0), bound(end, count)] : [bound(start, count - 1), bound(end, -1)];
  const items: Item[] = [];
  for (let at = from; by > 0 ? at < to : at > to; at += by) items.push(self.items[at]!);
  return self instanceof List ? new List(items) : new Tuple(items);
}

/** One half of an axis, opened by the other. */
const glu = rule('self, dim=-1', (call) => {
  const x = call.tensor('self');
  const axis = call.axis('dim', x);
  const half = call.size(x, axis) / 2;
  if (!Number.isInteger(half)) throw call.decline(`it halves an axis of ${call.size(x, axis)}`);
  const part = (start: number, step: string) => call.add('Slice', [x], { starts: [start], ends: [start + half], axes: [axis], steps: [1] }, step);
  return call.add('Mul', [part(0, 'value'), call.add('Sigmoid', [part(half, 'half')], {}, 'gate')]);
});

const narrow = rule('self, dim, start, length', (call) => {
  const axis = call.axis('dim', call.tensor('self'));
  return cut(call, axis, call.number('start'), call.number('start') + call.number('length'));
});

export const select = rule('self, dim, index', (call) => {
  const x = call.tensor('self');
  const axis = call.axis('dim', x);
  const index = call.number('index');
  const size = call.shape(x)[axis]!;
  if (typeof size === 'number' && (index >= size || index < -size)) throw call.decline(`takes element ${index} of an axis of ${size}`);
  const end = index === -1 ? END : index + 1;
  const ends = { starts: [index], ends: [end], axes: [axis] };
  const get = (whole: Value) =>
    whole.constant
      ? call.add('Squeeze', [call.add('Slice', [whole], ends, 'cut')], { axes: [axis] })
      : call.add('Gather', [whole, call.build.numbers('int64', index)], { axis });
  return call.view('self', get, (whole, part) => {
    const at = typeof size === 'number' && index < 0 ? index + size : index;
    const before = at === 0 ? [] : [call.add('Slice', [whole], { starts: [0], ends: [at], axes: [axis] }, 'before')];
    const isLast = at === -1 || at + 1 === size;
    const after = isLast ? [] : [call.add('Slice', [whole], { starts: [at + 1], ends: [END], axes: [axis] }, 'after')];
    return call.add('Concat', [...before, call.add('Unsqueeze', [part], { axes: [axis] }, 'part'), ...after], { axis }, 'whole');
  });
});

/** Parts of given sizes, each a view. */
function parts(call: Call, axis: number, sizes: readonly number[]): List {
  let start = 0;
  return new List(
    sizes.map((size) => {
      const part = cut(call, axis, start, start + size);
      start += size;
      return part;
    }),
  );
}

/** A net's channels are cut into a few; a file may ask for any number. */
const MAX_PARTS = 4096;

function evenParts(call: Call, axis: number, each: number): List {
  const size = call.size(call.tensor('self'), axis);
  if (!(each >= 1) || size / each > MAX_PARTS) throw call.decline(`it cuts ${size} elements into parts of ${each}`);
  return parts(
    call,
    axis,
    Array.from({ length: Math.ceil(size / each) }, (_, i) => Math.min(each, size - i * each)),
  );
}

const chunk = rule('self, chunks, dim=0', (call) => {
  const axis = call.axis('dim', call.tensor('self'));
  return evenParts(call, axis, Math.ceil(call.size(call.tensor('self'), axis) / call.number('chunks')));
});

const split = rule('self, split_size, dim=0', (call) => {
  const axis = call.axis('dim', call.tensor('self'));
  const item = call.item('split_size');
  if (!(item instanceof List)) return evenParts(call, axis, call.number('split_size'));
  if (item.items.length > MAX_PARTS) throw call.decline(`it cuts into ${item.items.length} parts`);
  return parts(call, axis, call.numbers('split_size'));
});

const unbind = rule('self, dim=0', (call) => {
  const axis = call.axis('dim', call.tensor('self'));
  const size = call.size(call.tensor('self'), axis);
  if (size > MAX_PARTS) throw call.decline(`it cuts into ${size} parts`);
  return new List(Array.from({ length: size }, (_, index) => select.run(call.withGiven({ dim: axis, index })) as Item));
});

/** Joined parts have one dtype. */
function joined(call: Call, values: readonly Value[], axis: number): Value {
  return values.length === 1 ? values[0]! : call.add('Concat', values, { axis });
}

function promotedTensors(call: Call): Value[] {
  const items = call.items('tensors');
  if (items.length === 0) throw call.decline('it joins nothing');
  const names = items.map((_, i) => `tensors[${i}]`);
  return call.withGiven(Object.fromEntries(names.map((name, i) => [name, items[i]!]))).promoted(names).values;
}

const cat = rule('tensors, dim=0', (call) => {
  // What has nothing in it was joined to anything in old programs.
  const values = promotedTensors(call).filter(({ shape }) => !(shape?.length === 1 && shape[0] === 0));
  const [first] = values;
  if (!first) throw call.decline('it joins nothing');
  return joined(call, values, call.axis('dim', first));
});

const stack = rule('tensors, dim=0', (call) => {
  const values = promotedTensors(call);
  const axis = call.axis('dim', values[0]!, 1);
  return joined(
    call,
    values.map((value) => call.add('Unsqueeze', [value], { axes: [axis] }, 'part')),
    axis,
  );
});

/** Sizes of -1 stay as they are. */
const expand = rule('self, size, implicit=False', (call) => {
  const x = call.tensor('self');
  const wanted = call.items('size').map((item): Item => (knownScalar(item) === -1 ? 1 : item));
  const shape = call.shape(x);
  const lead = wanted.length - shape.length;
  if (lead < 0) throw call.decline(`[${shape}] cannot become of ${wanted.length} axes`);
  const isSame = lead === 0 && wanted.every((item, axis) => item === 1 || call.isSameSize(item, shape[axis]!));
  if (isSame) return call.tensorItem('self');
  return call.view('self', (whole) => expanded(call, whole, call.sizesOf(wanted, 'size')), null);
});

export function expanded(call: Call, value: Value, shape: readonly number[] | Value, step?: string): Value {
  return Array.isArray(shape) ? call.add('Expand', [value], { shape }, step) : call.add('Expand', [value, shape as Value], {}, step);
}

const expandAs = rule('self, other', (call) => expand.run(call.withGiven({ size: new List(sizeItems(call, call.tensor('other'))), implicit: false })));

const repeat = rule('self, repeats', (call) => {
  const x = call.tensor('self');
  const repeats = call.sizes('repeats');
  const count = call.items('repeats').length;
  const lead = count - call.rank(x);
  if (lead < 0) throw call.decline(`it repeats ${count} axes of ${call.rank(x)}`);
  const wide = lead > 0 ? call.add('Unsqueeze', [x], { axes: Array.from({ length: lead }, (_, axis) => axis) }, 'wide') : x;
  if (Array.isArray(repeats)) return repeats.every((one) => one === 1) ? wide : call.add('Tile', [wide], { repeats });
  return call.add('Tile', [wide, repeats as Value]);
});

const repeatInterleave: Rule = rule('self, repeats, dim=None, output_size=None', (call) => {
  if (!call.has('dim')) {
    const row = call.reshaped(call.tensor('self'), [-1], 'row');
    return repeatInterleave.run(call.withGiven({ self: new TensorItem(row), dim: 0 }));
  }
  const x = call.tensor('self');
  const axis = call.axis('dim', x);
  const each = call.item('repeats');
  const counts = each instanceof TensorItem && each.value.shape?.length === 1 ? each.value.elements : undefined;
  if (counts && counts.length > 1) {
    const places = counts.flatMap((count, at) => {
      if (typeof count !== 'number' || count > MAX_PARTS) throw call.decline('how often it repeats is known only when the model runs');
      return new Array<number>(count).fill(at);
    });
    return call.add('Gather', [x, call.build.numbers('int64', places)], { axis });
  }
  const times = counts?.length === 1 ? Number(counts[0]) : call.number('repeats');
  const wide = call.add('Unsqueeze', [x], { axes: [axis + 1] }, 'wide');
  const repeats = Array.from({ length: call.rank(x) + 1 }, (_, at) => (at === axis + 1 ? times : 1));
  const tiled = call.add('Tile', [wide], { repeats }, 'tiled');
  const items = sizeItems(call, x);
  return call.reshaped(tiled, call.sizesOf([...items.slice(0, axis), -1, ...items.slice(axis + 1)], 'shape'));
});

const roll: Rule = rule('self, shifts, dims=[]', (call) => {
  const x = call.tensor('self');
  const [shifts, dims] = [call.numbers('shifts'), call.numbers('dims')];
  if (dims.length === 0) {
    const row = call.reshaped(x, [-1], 'row');
    const rolled = roll.run(call.withGiven({ self: new TensorItem(row), dims: new List([0]) })) as Value;
    return call.reshaped(rolled, call.sizesOf(sizeItems(call, x), 'shape'));
  }
  if (shifts.length !== dims.length) throw call.decline(`it rolls ${dims.length} axes by ${shifts.length} places`);
  return dims.reduce((made, dim, i) => {
    const axis = call.axisOf(dim, call.rank(x));
    const size = call.size(x, axis);
    const shift = ((shifts[i]! % size) + size) % size;
    if (shift === 0) return made;
    const back = call.add('Slice', [made], { starts: [size - shift], ends: [END], axes: [axis] }, 'back');
    const front = call.add('Slice', [made], { starts: [0], ends: [size - shift], axes: [axis] }, 'front');
    return call.add('Concat', [back, front], { axis });
  }, x);
});

const flip = rule('self, dims', (call) => {
  const x = call.tensor('self');
  const axes = call.numbers('dims').map((axis) => call.axisOf(axis, call.rank(x)));
  if (axes.length === 0) return x;
  return call.add('Slice', [x], { starts: axes.map(() => -1), ends: axes.map(() => -END), axes, steps: axes.map(() => -1) });
});

const indexSelect = rule('self, dim, index', (call) => {
  const x = call.tensor('self');
  return call.add('Gather', [x, call.tensor('index')], { axis: call.axis('dim', x) });
});

const gather = rule('self, dim, index, sparse_grad=False', (call) => {
  const x = call.tensor('self');
  return call.add('GatherElements', [x, call.tensor('index')], { axis: call.axis('dim', x) });
});

/** Advanced indexing: one list of places, or several for the first axes. */
const index = rule('self, indices', (call) => {
  const x = call.tensor('self');
  const given = call.items('indices').map((item) => (item === null ? null : call.valueOf(item, 'indices')));
  const used = given.flatMap((value, axis) => (value ? [{ value, axis }] : []));
  const [mask] = used.filter(({ value }) => value.dtype === 'bool' || value.dtype === 'uint8');
  if (mask && used.length > 1) throw call.decline('a mask beside other places');
  if (mask) return chosen(call, x, mask);
  const [only, ...more] = used;
  if (!only) return x;
  if (more.length === 0) return call.add('Gather', [x, only.value], { axis: only.axis });
  const sum = used.map(({ value }) => value).reduce((a, b) => call.add('Add', [a, b], {}, 'places'));
  const shape = call.shape(sum);
  const sizes = call.sizesOf(sizeItems(call, sum), 'shape');
  const columns = used.map(({ value }) =>
    call.add('Unsqueeze', [expanded(call, call.cast(value, 'int64', 'whole'), sizes, 'places')], { axes: [shape.length] }, 'column'),
  );
  const indices = call.add('Concat', columns, { axis: shape.length }, 'indices');
  if (used.every(({ axis }, i) => axis === i)) return call.add('GatherND', [x, indices]);
  // What is indexed comes first, and goes back to where it was if it stood together.
  const rest = Array.from({ length: call.rank(x) }, (_, axis) => axis).filter((axis) => !used.some((one) => one.axis === axis));
  const first = used[0]!;
  const isTogether = used.every(({ axis }, i) => axis === first.axis + i);
  const ahead = call.add('Transpose', [x], { perm: [...used.map(({ axis }) => axis), ...rest] }, 'ahead');
  const made = call.add('GatherND', [ahead, indices], {}, isTogether ? 'gathered' : undefined);
  if (!isTogether) return made;
  const [places, before] = [shape.length, first.axis];
  const axes = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
  return call.add('Transpose', [made], { perm: [...axes(places, before), ...axes(0, places), ...axes(places + before, rest.length - before)] });
});

/** What a mask over one or several axes beside each other is set for; where the mask is known, places that every target has. */
function chosen(call: Call, x: Value, { value: mask, axis }: { readonly value: Value; readonly axis: number }): Value {
  const rank = call.rank(mask);
  if (rank === 0) throw call.decline('its mask is a number without axes');
  const elements = rank === 1 ? mask.elements : undefined;
  if (elements) {
    const places = elements.flatMap((element, at) => (element === 0 ? [] : [at]));
    if (places.length === 0) throw call.decline('its mask chooses nothing');
    return call.add('Gather', [x, call.build.numbers('int64', places)], { axis });
  }
  const condition = call.cast(mask, 'bool', 'condition');
  if (rank === 1) return call.add('Compress', [x, condition], { axis });
  // The axes that the mask is over, as one.
  const row = call.reshaped(condition, [-1], 'row');
  const sizes = sizeItems(call, x);
  const joined = call.sizesOf([...sizes.slice(0, axis), -1, ...sizes.slice(axis + rank)], 'shape');
  return call.add('Compress', [call.reshaped(x, joined, 'joined'), row], { axis });
}

/** All elements that a mask is set for, as one row; either may be repeated to the shape of the other. */
const maskedSelect = rule('self, mask', (call) => {
  const [x, mask] = [call.tensor('self'), call.tensor('mask')];
  const isMaskAsLarge = call.rank(mask) === call.rank(x) && call.shape(mask).every((size, axis) => size === call.shape(x)[axis]);
  // The sum of both has the shape that both are repeated to.
  const whole = isMaskAsLarge ? null : call.shape(call.add('And', [mask, call.cast(x, 'bool', 'any')], {}, 'common'));
  if (whole && !whole.every((size) => typeof size === 'number')) throw call.decline('its mask is not as large as what it chooses from');
  const spread = (value: Value, step: string) => call.reshaped(whole ? expanded(call, value, whole as number[], step) : value, [-1], `${step}-row`);
  return call.add('Compress', [spread(x, 'x'), call.cast(spread(mask, 'mask'), 'bool', 'condition')], { axis: 0 });
});

const BAG_MODES = ['ReduceSum', 'ReduceMean', 'ReduceMax'] as const;

/** The sum, mean or maximum of the rows of each bag, where all bags have as many and begin where a constant says. */
const embeddingBag = rule(
  'weight, indices, offsets, scale_grad_by_freq=False, mode=0, sparse=False, per_sample_weights=None, include_last_offset=False, padding_idx=-1',
  (call) => {
    const [indices, offsets] = [call.tensor('indices'), call.tensor('offsets').elements];
    if (call.has('padding_idx') && call.number('padding_idx') !== -1) throw call.decline('it leaves rows out');
    if (!offsets) throw call.decline('where its bags begin is known only when the model runs');
    const total = call.size(indices, 0);
    const begins = call.flag('include_last_offset') ? offsets.slice(0, -1) : offsets;
    const size = total / begins.length;
    const areAlike = begins.every((begin, i) => begin === i * size) && (begins === offsets || offsets.at(-1) === total);
    if (!Number.isInteger(size) || size === 0 || !areAlike) throw call.decline('its bags are not of one size');
    const bags = call.reshaped(call.cast(indices, 'int64', 'indices'), [begins.length, size], 'bags');
    const rows = call.add('Gather', [call.tensor('weight'), bags], { axis: 0 }, 'rows');
    const shares = call.optionalTensor('per_sample_weights');
    const weighed = shares ? call.add('Mul', [rows, call.reshaped(shares, [begins.length, size, 1], 'shares')], {}, 'weighed') : rows;
    const made = call.add(BAG_MODES[call.number('mode')]!, [weighed], { axes: [1], keepdims: 0 });
    return new List([...listOf([made]).items, ...['the bag of each row', 'the sizes', 'the largest rows'].map((what) => call.unknown(what))]);
  },
);

const embedding = rule('weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False', (call) => {
  const indices = call.tensor('indices');
  const whole = indices.dtype === 'int32' || indices.dtype === 'int64' ? indices : call.cast(indices, 'int64', 'indices');
  return call.add('Gather', [call.tensor('weight'), whole], { axis: 0 });
});

/** Pads come in pairs, those of the last axis first. */
function padded(call: Call, mode: string, value: number): Value {
  const x = call.tensor('self');
  const rank = call.rank(x);
  const pairs = call.numbers('pad');
  const count = pairs.length / 2;
  if (!Number.isInteger(count) || count > rank) throw call.decline(`its pads are [${pairs}], for ${rank} axes`);
  if (pairs.every((pad) => pad === 0)) return x;
  const axes = Array.from({ length: count }, (_, i) => rank - 1 - i);
  if (mode === 'wrap') return axes.reduce((made, axis, i) => wrapped(call, made, axis, pairs[2 * i]!, pairs[2 * i + 1]!), x);
  const pads = [...axes.map((_, i) => pairs[2 * i]!), ...axes.map((_, i) => pairs[2 * i + 1]!)];
  return call.add('Pad', [x], { pads: spreadPads(pads, axes, rank), mode, ...(mode === 'constant' ? { value } : {}) });
}

/** An axis that goes on at its other end: parts of it, which every target can join. */
function wrapped(call: Call, x: Value, axis: number, before: number, after: number): Value {
  if (before === 0 && after === 0) return x;
  const size = call.shape(x)[axis]!;
  if (before < 0 || after < 0 || (typeof size === 'number' && Math.max(before, after) > size))
    throw call.decline(`it goes on by ${before} and ${after} on an axis of ${size}`);
  const part = (start: number, end: number, step: string) => call.add('Slice', [x], { starts: [start], ends: [end], axes: [axis], steps: [1] }, step);
  return call.add(
    'Concat',
    [...(before > 0 ? [part(-before, END, 'before')] : []), x, ...(after > 0 ? [part(0, after, 'after')] : [])],
    { axis },
    `axis${axis}`,
  );
}

const PAD_MODES: Readonly<Record<string, string>> = { constant: 'constant', reflect: 'reflect', replicate: 'edge', circular: 'wrap' };

const pad = rule('self, pad, mode=constant, value=None', (call) => {
  const mode = PAD_MODES[call.text('mode')];
  if (!mode) throw call.decline(`its mode is ${JSON.stringify(call.text('mode'))}`);
  return padded(call, mode, call.has('value') ? call.number('value') : 0);
});

const padAs = (mode: string): Rule => rule('self, pad', (call) => padded(call, mode, 0));

const copyInto = rule('self, src, non_blocking=False', (call) => {
  const item = call.tensorItem('self');
  const x = item.unread;
  const source = call.cast(call.tensor('src'), x.dtype!, 'source');
  item.write(spreadLike(call, source, x), 'whole');
  return item;
});

export function spreadLike(call: Call, value: Value, like: Value): Value {
  const shape = call.shape(like);
  if (call.shape(value).length === shape.length && call.shape(value).every((size, axis) => size === shape[axis])) return value;
  return expanded(call, value, call.sizesOf(sizeItems(call, like), 'shape'), 'spread');
}

const fill = rule('self, value', (call) => copyInto.run(call.withGiven({ src: call.item('value') })));
const zero = rule('self', (call) => copyInto.run(call.withGiven({ src: 0 })));

const triangle = (upper: number): Rule => rule('self, diagonal=0', (call) => call.add('Trilu', [call.tensor('self')], { k: call.number('diagonal'), upper }));

const meshgrid = rule('tensors, indexing=ij', (call) => {
  const values = call.tensors('tensors').map((value) => (call.rank(value) === 0 ? call.reshaped(value, [1], 'axis') : value));
  const turns = call.text('indexing') === 'xy' && values.length > 1;
  const order = turns ? [1, 0, ...values.map((_, i) => i).slice(2)] : values.map((_, i) => i);
  const sizes = order.map((i) => call.size(values[i]!, 0));
  return listOf(
    values.map((value, i) => {
      const at = order.indexOf(i);
      const column = call.reshaped(
        value,
        sizes.map((size, axis) => (axis === at ? size : 1)),
        'column',
      );
      return expanded(call, column, sizes);
    }),
  );
});

export const arrangement: Rules = {
  glu,
  view,
  _unsafe_view: reshape,
  reshape,
  _reshape_alias: rule('self, size, stride', (call) => reshapedView(call, shapeOf(call, 'size'), false)),
  view_as: rule('self, other', (call) => reshapedView(call, call.sizesOf(sizeItems(call, call.tensor('other')), 'size'), true)),
  reshape_as: rule('self, other', (call) => reshapedView(call, call.sizesOf(sizeItems(call, call.tensor('other')), 'size'), false)),
  flatten,
  unflatten,
  permute,
  transpose,
  swapaxes: transpose,
  swapdims: transpose,
  t,
  numpy_T: rule('self', (call) =>
    permuted(
      call,
      call
        .shape(call.tensor('self'))
        .map((_, axis) => axis)
        .reverse(),
    ),
  ),
  movedim,
  moveaxis: movedim,
  unsqueeze,
  squeeze,
  slice,
  narrow,
  select,
  chunk,
  unsafe_chunk: chunk,
  split,
  unsafe_split: split,
  split_with_sizes: split,
  unbind,
  cat,
  concat: cat,
  concatenate: cat,
  stack,
  expand,
  expand_as: expandAs,
  repeat,
  tile: rule('self, dims', (call) => {
    const [dims, rank] = [call.items('dims'), call.rank(call.tensor('self'))];
    // Axes in front that are not named stay as they are.
    return repeat.run(call.withGiven({ repeats: new List([...new Array<Item>(Math.max(0, rank - dims.length)).fill(1), ...dims]) }));
  }),
  take: rule('self, index', (call) => call.add('Gather', [call.reshaped(call.tensor('self'), [-1], 'row'), call.tensor('index')], { axis: 0 })),
  fliplr: rule('self', (call) => flip.run(call.withGiven({ dims: new List([1]) }))),
  flipud: rule('self', (call) => flip.run(call.withGiven({ dims: new List([0]) }))),
  repeat_interleave: repeatInterleave,
  roll,
  flip,
  index_select: indexSelect,
  gather,
  index,
  masked_select: maskedSelect,
  embedding,
  embedding_bag: embeddingBag,
  pad,
  constant_pad_nd: rule('self, pad, value=0', (call) => padded(call, 'constant', call.number('value'))),
  reflection_pad1d: padAs('reflect'),
  reflection_pad2d: padAs('reflect'),
  reflection_pad3d: padAs('reflect'),
  replication_pad1d: padAs('edge'),
  replication_pad2d: padAs('edge'),
  replication_pad3d: padAs('edge'),
  copy_: copyInto,
  fill_: fill,
  zero_: zero,
  tril: triangle(0),
  triu: triangle(1),
  meshgrid,
  cumsum: rule('self, dim, dtype=None', (call) => {
    const given = call.tensor('self');
    const own = given.dtype !== null && isFloatDType(given.dtype) ? given.dtype : 'int64';
    const x = call.cast(given, call.dtype('dtype') ?? own, 'summed');
    return call.add('CumSum', [x, call.build.numbers('int64', call.axis('dim', x))]);
  }),
};
