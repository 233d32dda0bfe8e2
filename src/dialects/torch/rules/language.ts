/** What Python does with lists, dictionaries and texts, and functions that have no effect on what is computed. */
import type { Call } from '../call.js';
import { type Item, knownScalar, List, MAX_LENGTH, numberOf, ObjectItem, Opaque, Real, TensorItem, Tuple } from '../items.js';
import { type Rule, type Rules, rule } from '../rule.js';
import { spreadLike } from './arrangement.js';
import { equalItems } from './elements.js';

function list(call: Call, name = 'self'): List {
  const item = call.item(name);
  if (item instanceof List) return item;
  throw call.decline(`its ${name} is no list`);
}

function checked(call: Call, made: List): List {
  if (made.items.length > MAX_LENGTH) throw call.decline(`a list of more than ${MAX_LENGTH}`);
  return made;
}

const append = rule('self, el', (call) => {
  const made = checked(call, list(call));
  made.items.push(call.given.get('el')!);
  return made;
});

const setItem = rule('self, idx, el', (call) => {
  const item = call.item('self');
  if (item instanceof Map) {
    item.set(keyOf(call.item('idx')), call.given.get('el')!);
    return item;
  }
  const { items } = list(call);
  items[placeIn(call, items, call.number('idx'))] = call.given.get('el')!;
  return item;
});

/** Keys of dictionaries are looked up by what they are, not by which object they are. */
export function keyOf(key: Item): Item {
  const scalar = knownScalar(key);
  return scalar === null ? key : numberOf(scalar);
}

function placeIn(call: Call, items: readonly Item[], index: number): number {
  const at = index < 0 ? index + items.length : index;
  if (!(at in items)) throw call.decline(`element ${index} of a list of ${items.length}`);
  return at;
}

function dictionary(call: Call): Map<Item, Item> {
  const item = call.item('self');
  if (item instanceof Map) return item;
  throw call.decline('its self is no dictionary');
}

function sortedItems(call: Call, items: readonly Item[]): Item[] {
  const keys = items.map((item) => {
    const scalar = knownScalar(item);
    if (typeof item !== 'string' && scalar === null) throw call.decline('it puts into order what is known only when the model runs');
    return typeof item === 'string' ? item : numberOf(scalar!);
  });
  const order = [...keys.keys()].sort((a, b) => (keys[a]! < keys[b]! ? -1 : keys[a]! > keys[b]! ? 1 : 0));
  return order.map((at) => items[at]!);
}

/** The same thing, not an equal one: only None is compared so. */
const is = (isNegated: boolean): Rule =>
  rule('self, obj', (call) => {
    const [a, b] = [call.item('self'), call.item('obj')];
    const same = a === b || (a instanceof ObjectItem && b instanceof ObjectItem && a.object === b.object);
    return same !== isNegated;
  });

const contains = rule('self, item', (call) => {
  const [self, item] = [call.item('self'), call.item('item')];
  if (self instanceof Map) return self.has(keyOf(item));
  if (typeof self === 'string') return self.includes(call.text('item'));
  const found = list(call).items.map((one) => equalItems(one, item));
  if (!found.includes(true) && found.includes(undefined)) throw call.decline('what it looks for is known only when the model runs');
  return found.includes(true);
});

const toInt = rule('self', (call) => {
  const scalar = knownScalar(call.item('self'));
  if (scalar !== null) return Math.trunc(numberOf(scalar));
  const item = call.item('self');
  // A size that is worked out stays one.
  if (item instanceof TensorItem && item.value.shape?.length === 0) return call.cast(item.value, 'int64');
  throw call.decline('its number is known only when the model runs');
});

const toFloat = rule('self', (call) => {
  const item = call.item('self');
  const infinite = typeof item === 'string' ? /^([-+]?)inf(inity)?$/i.exec(item) : null;
  if (infinite) return new Real(infinite[1] === '-' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY);
  if (item instanceof TensorItem && knownScalar(item) === null) return call.cast(item.value, 'float32');
  return new Real(call.number('self'));
});

function flags(call: Call): readonly boolean[] {
  return list(call).items.map((item) => {
    const scalar = knownScalar(item);
    if (scalar === null) throw call.decline('an element of its list is known only when the model runs');
    return numberOf(scalar) !== 0;
  });
}

const toBool = rule('self', (call) => call.flag('self'));

const item = rule('self', (call) => {
  const scalar = knownScalar(call.item('self'));
  return scalar ?? call.item('self');
});

/** Of a list of truths, or of a tensor's elements. */
const truth = (op: 'ReduceMin' | 'ReduceMax', ofList: (flags: readonly boolean[]) => boolean): Rule =>
  rule('self, dim=None, keepdim=False', (call) => {
    if (call.item('self') instanceof List) return ofList(flags(call));
    const x = call.tensor('self');
    const axes = call.has('dim') ? { axes: call.numbers('dim').map((axis) => call.axisOf(axis, call.rank(x))) } : {};
    const whole = call.cast(x, 'int32', 'whole');
    return call.cast(
      call.add(
        op,
        [x.dtype === 'bool' ? whole : call.cast(call.cast(x, 'bool', 'truth'), 'int32', 'whole')],
        { ...axes, keepdims: call.flag('keepdim') ? 1 : 0 },
        'any',
      ),
      'bool',
    );
  });

export const language: Rules = {
  append,
  _set_item: setItem,
  extend: rule('self, other', (call) => {
    checked(call, list(call)).items.push(...list(call, 'other').items.slice(0, MAX_LENGTH));
    return null;
  }),
  insert: rule('self, idx, el', (call) => {
    checked(call, list(call)).items.splice(call.number('idx'), 0, call.given.get('el')!);
    return null;
  }),
  pop: rule('self, idx=-1', (call) => {
    const { items } = list(call);
    return items.splice(placeIn(call, items, call.number('idx')), 1)[0]!;
  }),
  reverse: rule('self', (call) => {
    list(call).items.reverse();
    return null;
  }),
  sorted: rule('self', (call) => new List(sortedItems(call, list(call).items))),
  copy: rule('self, src=None, non_blocking=False', (call) => {
    // Of a tensor: what is written over it, in its shape.
    if (call.has('src')) return spreadLike(call, call.cast(call.tensor('src'), call.tensor('self').dtype!, 'source'), call.tensor('self'));
    const self = call.item('self');
    return self instanceof Map ? new Map(self) : new List([...list(call).items]);
  }),
  list: rule('self', (call) => {
    const self = call.item('self');
    return self instanceof Tuple ? new List([...self.items]) : new List([...list(call).items]);
  }),
  dict: rule('self=None', (call) => {
    const self = call.item('self');
    if (self === null) return new Map();
    if (self instanceof Map) return new Map(self);
    const pairs = list(call).items.map((pair) => (pair instanceof Tuple && pair.items.length === 2 ? (pair.items as [Item, Item]) : null));
    if (pairs.includes(null)) throw call.decline('it makes a dictionary of what are no pairs');
    return new Map(pairs.map((pair) => [keyOf(pair![0]), pair![1]]));
  }),
  get: rule('self, key, default_value=None', (call) => {
    const [self, key] = [dictionary(call), keyOf(call.item('key'))];
    return self.has(key) ? self.get(key)! : call.item('default_value');
  }),
  update: rule('self, to_add', (call) => {
    const more = call.item('to_add');
    if (!(more instanceof Map)) throw call.decline('its to_add is no dictionary');
    const self = dictionary(call);
    for (const [key, value] of more) self.set(key, value);
    return null;
  }),
  keys: rule('self', (call) => new List([...dictionary(call).keys()])),
  values: rule('self', (call) => new List([...dictionary(call).values()])),
  items: rule('self', (call) => new List([...dictionary(call)].map((entry) => new Tuple(entry)))),
  __contains__: contains,
  __is__: is(false),
  __isnot__: is(true),
  Int: toInt,
  IntImplicit: toInt,
  Float: toFloat,
  FloatImplicit: toFloat,
  Bool: toBool,
  ScalarImplicit: item,
  item,
  format: rule('self, a=None, b=None, c=None, d=None, e=None, f=None, g=None', (call) => call.text('self')),
  find: rule('self, substr, start=0, end=-1', (call) => call.text('self').indexOf(call.text('substr'), call.number('start'))),
  all: truth('ReduceMin', (flags) => flags.every(Boolean)),
  any: truth('ReduceMax', (flags) => flags.some(Boolean)),
  __range_length: rule('lo, hi, step', (call) => Math.max(0, Math.ceil((call.number('hi') - call.number('lo')) / call.number('step')))),
  __derive_index: rule('index, start, step', (call) => call.number('start') + call.number('index') * call.number('step')),
  str: rule('self', (call) => {
    const item = call.item('self');
    if (typeof item === 'string') return item;
    // Where a tensor lies has no effect on what is computed.
    return item instanceof Opaque ? 'cpu' : '...';
  }),
  warn: rule('message, stacklevel=2', () => null),
  manual_seed: rule('seed', () => null),
  is_grad_enabled: rule('', () => false),
  set_grad_enabled: rule('val', () => null),
  is_autocast_enabled: rule('', () => false),
  device: rule('a, b=None', () => new Opaque('a device')),
  _log_api_usage_once: rule('name', () => null),
  _assert: rule('condition, message=None', () => null),
  'prim::unchecked_unwrap_optional': rule('self', (call) => call.item('self')),
  'prim::data': rule('self', (call) => call.item('self')),
  'prim::Print': rule('a=None, b=None, c=None, d=None', () => null),
  is_scripting: rule('', () => true),
  is_tracing: rule('', () => false),
};
