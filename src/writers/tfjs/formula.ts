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

/** Arithmetic on values whose axes have one order; numbers are constants. */
export class Formula {
  constructor(readonly graph: GraphTarget) {}

  one(op: string, x: FileValue): FileValue {
    return this.graph.node(op, [x], FLOAT, x.shape);
  }

  two(op: string, a: FileValue | number, b: FileValue | number): FileValue {
    const [left, right] = [a, b].map((value) => (typeof value === 'number' ? this.graph.scalar('number', value) : value)) as [FileValue, FileValue];
    return this.graph.node(op, [left, right], FLOAT, shapeTogether(left.shape, right.shape));
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
