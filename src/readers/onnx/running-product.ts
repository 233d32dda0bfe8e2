/** CumProd (opset 26): in steps that multiply each element with what has come together 1, 2, 4, ... places before it. */
import type { Value } from '../../model/builder.js';
import { NotUnderstood } from './by-table.js';
import { numberOf, type Rule } from './translator.js';

const END = 2 ** 63;

export const cumProd: Rule = async (node, t) => {
  const [x, place] = node.inputs;
  const given = (await t.known(place))?.[0];
  const rank = x?.shape?.length;
  if (!x || given === undefined || rank === undefined) return new NotUnderstood('the axis that it multiplies along is known only when the model runs');
  const axis = given < 0 ? given + rank : given;
  const size = x.shape![axis];
  if (typeof size !== 'number') return new NotUnderstood('the axis that it multiplies along is of free size');
  const isReverse = numberOf(node, 'reverse', 0) === 1;
  const cut = (value: Value, start: number, end: number) => t.add(node, 'Slice', [value], { starts: [start], ends: [end], axes: [axis] }, 'part');
  let made = x;
  for (let by = 1; by < size; by *= 2) {
    const joined = t.add(node, 'Mul', [cut(made, 0, size - by), cut(made, by, END)], {}, 'product');
    made = t.add(node, 'Concat', isReverse ? [joined, cut(made, size - by, END)] : [cut(made, 0, by), joined], { axis }, 'joined');
  }
  if (numberOf(node, 'exclusive', 0) !== 1) return [t.add(node, 'Identity', [made])];
  const moved = isReverse ? cut(made, 1, END) : cut(made, 0, size - 1);
  const pads = new Array<number>(2 * rank).fill(0).with(isReverse ? axis + rank : axis, 1);
  return [t.add(node, 'Pad', [moved], { pads, value: 1 })];
};
