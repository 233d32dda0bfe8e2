/** Unique: what there is of each kind, among all elements or among the slices along an axis. */
import { ModelError } from '../../errors.js';
import type { Dim } from '../layer-map.js';
import { elementCount } from '../tensor.js';
import { aroundAxis, newValue, type Value } from './array.js';
import { int, operator, optional } from './operator.js';
import { checkedAxis } from './rules.js';

/** Gives the kinds, in rising order or in the order of their first ones; where each one's first is, of which kind each is, and how many there are of it. */
export const unique = operator({
  op: 'Unique',
  slots: ['x'],
  attributes: { axis: optional(int()), sorted: int(1) },
  outputs: 4,
  shape({ x }, { axis }, { fresh }) {
    const at = axis === undefined ? 0 : checkedAxis(axis, x.shape.length);
    const kinds = fresh(0, at);
    const all = x.shape.every((size) => typeof size === 'number') ? elementCount(x.shape as readonly number[]) : fresh(2, 0);
    return [axis === undefined ? [kinds] : x.shape.with(at, kinds), [kinds], [axis === undefined ? (all as Dim) : x.shape[at]!], [kinds]];
  },
  dtype: ({ x }) => [x.dtype, 'int64', 'int64', 'int64'],
  onnx: { since: 11 },
  compute({ x }, { axis, sorted }) {
    const flat: Value = axis === undefined ? { shape: [x.data.length], data: x.data } : x;
    const at = axis === undefined ? 0 : checkedAxis(axis, x.shape.length);
    const { outer, size, inner } = aroundAxis(flat.shape, at);
    if (size > 2 ** 24) throw new ModelError('engine', `Unique of ${size} slices`);
    const part = (slice: number) => {
      const values = new Float64Array(outer * inner);
      for (let o = 0; o < outer; o++) values.set(flat.data.subarray((o * size + slice) * inner, (o * size + slice + 1) * inner), o * inner);
      return values;
    };
    const kinds = new Map<string, { readonly first: number; readonly values: Float64Array; count: number }>();
    const kindOf = Array.from({ length: size }, (_, slice) => {
      const values = part(slice);
      const key = values.map((value) => value + 0).join();
      const kind = kinds.get(key) ?? { first: slice, values, count: 0 };
      kind.count++;
      kinds.set(key, kind);
      return kind;
    });
    const order = sorted ? [...kinds.values()].sort((a, b) => inOrder(a.values, b.values)) : [...kinds.values()];
    const places = new Map(order.map((kind, i) => [kind, i]));
    const y = newValue(flat.shape.with(at, order.length));
    order.forEach(({ values }, i) => {
      for (let o = 0; o < outer; o++) y.data.set(values.subarray(o * inner, (o + 1) * inner), (o * order.length + i) * inner);
    });
    const list = (values: readonly number[]): Value => ({ shape: [values.length], data: Float64Array.from(values) });
    return [y, list(order.map(({ first }) => first)), list(kindOf.map((kind) => places.get(kind)!)), list(order.map(({ count }) => count))];
  },
});

/** Slices are in the order of the first element that they differ by. */
function inOrder(a: Float64Array, b: Float64Array): number {
  const i = a.findIndex((value, at) => value !== b[at]);
  return i < 0 ? 0 : a[i]! - b[i]!;
}
