/** What rules of graph models are written with: the values of a layer's slots, and arithmetic on values of the file. */
import type { Dim, Layer } from '../../model/layer-map.js';
import { bindSlots, operatorOf } from '../../model/ops/index.js';
import type { GraphTarget } from './graph-target.js';
import type { Lowering, Made } from './lowering.js';
import type { FileValue } from './target.js';

export type GraphRule = (layer: Layer, lowering: Lowering, graph: GraphTarget) => Made;

const FLOAT = { T: { type: 'DT_FLOAT' } };

/** What stands in a slot, in plain order; null where it is left out. */
export function slotValue(layer: Layer, slot: string, lowering: Lowering, graph: GraphTarget): FileValue | null {
  const bound = bindSlots<string>(operatorOf(layer.op)!, layer, layer.inputs, () => '')[slot] as string | undefined;
  if (bound === undefined) return null;
  if (bound !== '') return lowering.plain(bound);
  return graph.constant(slot, lowering.weight(layer, slot, slot === 'kernel' || slot === 'table' ? 'kernel' : 'other', 'plain'));
}

export function shapeTogether(a: readonly Dim[], b: readonly Dim[]): Dim[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const [left, right] = [a[a.length - rank + axis] ?? 1, b[b.length - rank + axis] ?? 1];
    return left === 1 ? right : left;
  });
}

/** Bits of the significand with the leading one, the first number that rounds to infinity, the smallest normal number. */
const NARROW_FLOATS = {
  float16: { bits: 11, largest: 65520, smallest: 2 ** -14 },
  // Its exponents are those of float32.
  bfloat16: { bits: 8, largest: 2 ** 128 - 2 ** 119, smallest: 2 ** -126 },
} as const;

/** Arithmetic on values whose axes have one order; numbers are constants. */
export class Formula {
  constructor(readonly graph: GraphTarget) {}

  one(op: string, x: FileValue): FileValue {
    return this.graph.node(op, [x], FLOAT, x.shape);
  }

  two(op: string, a: FileValue | number, b: FileValue | number): FileValue {
    const [left, right] = [a, b].map((value) => (typeof value === 'number' ? this.graph.scalar('number', value) : value)) as [FileValue, FileValue];
    return this.graph.together(op, left, right, shapeTogether(left.shape, right.shape));
  }

  add = (a: FileValue | number, b: FileValue | number): FileValue => this.two('AddV2', a, b);
  sub = (a: FileValue | number, b: FileValue | number): FileValue => this.two('Sub', a, b);
  mul = (a: FileValue | number, b: FileValue | number): FileValue => this.two('Mul', a, b);
  div = (a: FileValue | number, b: FileValue | number): FileValue => this.two('RealDiv', a, b);

  /** 0 or 1. */
  compare(op: string, a: FileValue | number, b: FileValue | number): FileValue {
    return this.graph.cast(this.two(op, a, b), 'DT_BOOL', 'DT_FLOAT');
  }

  choose(condition: FileValue, a: FileValue | number, b: FileValue | number): FileValue {
    const truth = this.two('NotEqual', condition, 0);
    const [left, right] = [a, b].map((value) => (typeof value === 'number' ? this.graph.scalar('number', value) : value)) as [FileValue, FileValue];
    return this.graph.node('SelectV2', [truth, left, right], FLOAT, shapeTogether(condition.shape, shapeTogether(left.shape, right.shape)));
  }

  /**
   * To the nearest number of a narrower float, ties to even, with its subnormals and infinities.
   *
   * Veltkamp's splitting of a float32 into its leading bits and the rest.
   */
  roundTo(x: FileValue, dtype: 'float16' | 'bfloat16'): FileValue {
    const { bits, largest, smallest } = NARROW_FLOATS[dtype];
    // A product with the splitter must not overflow.
    const isLarge = this.compare('Greater', this.one('Abs', x), 2 ** 96);
    const within = dtype === 'bfloat16' ? this.mul(x, this.choose(isLarge, 2 ** -32, 1)) : x;
    const scaled = this.mul(within, 2 ** (24 - bits) + 1);
    const leading = this.sub(scaled, this.sub(scaled, within));
    const rounded = dtype === 'bfloat16' ? this.mul(leading, this.choose(isLarge, 2 ** 32, 1)) : leading;
    const size = this.one('Abs', x);
    // Below the smallest normal number steps are of one size: that of a float32 near what is added and taken off again.
    const step = 1.5 * smallest * 2 ** (24 - bits);
    const made = dtype === 'float16' ? this.choose(this.compare('Less', size, smallest), this.sub(this.add(x, step), step), rounded) : rounded;
    // What is not below the limit is infinite, or not a number.
    return this.choose(this.compare('Less', size, largest), made, this.mul(x, Number.POSITIVE_INFINITY));
  }

  /** Towards zero. */
  truncate(x: FileValue): FileValue {
    return this.mul(this.one('Sign', x), this.one('Floor', this.one('Abs', x)));
  }

  /** @param axes in the file's order; those that flow, as integers */
  reduce(op: string, x: FileValue, axes: readonly number[] | FileValue, keep: boolean): FileValue {
    const attributes = { ...FLOAT, Tidx: { type: 'DT_INT32' }, keep_dims: { b: keep } };
    if ('node' in axes) {
      const left = keep ? x.shape : x.shape.slice(axes.shape[0] as number);
      return this.graph.node(
        op,
        [x, axes],
        attributes,
        left.map(() => 'reduced'),
      );
    }
    const shape = keep ? x.shape.map((size, axis) => (axes.includes(axis) ? 1 : size)) : x.shape.filter((_, axis) => !axes.includes(axis));
    return this.graph.node(op, [x, this.graph.ints('axes', axes)], attributes, shape);
  }
}
