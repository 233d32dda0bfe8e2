/** Operators that give a tensor with a part of it replaced: what decompositions make of a program's changes in place. */
import type { Value } from '../../../model/builder.js';
import type { Call } from '../call.js';
import { TensorItem } from '../items.js';
import { type Rule, type Rules, rule } from '../rule.js';
import { select, slice, spreadLike } from './arrangement.js';

/** A copy, into a part of which something is written. */
function written(call: Call, part: Rule): Value {
  const whole = new TensorItem(call.tensor('self'));
  const place = part.run(call.withGiven({ self: whole })) as TensorItem;
  if (place.view && !place.view.put) throw call.decline('where it writes is known only when the model runs');
  const { unread } = place;
  place.write(spreadLike(call, call.cast(call.tensor('src'), unread.dtype!, 'source'), unread));
  return whole.value;
}

/** Whether an element of the last two axes is on the diagonal, as a constant over them. */
function onDiagonal(call: Call, x: Value, offset: number, wraps: boolean): Value {
  const rank = call.rank(x);
  const [rows, columns] = [call.size(x, rank - 2), call.size(x, rank - 1)];
  if (rows * columns > MAX_ELEMENTS) throw call.decline(`its matrices are ${rows} x ${columns}`);
  const isOn = (row: number, column: number) => (wraps ? (row * columns + column) % (columns + 1) === 0 : column - row === offset);
  const places = Array.from({ length: rows * columns }, (_, i) => (isOn(Math.floor(i / columns), i % columns) ? 1 : 0));
  return call.build.numbers('bool', places, [rows, columns]);
}

const MAX_ELEMENTS = 2 ** 20;

/** Of a tall matrix the diagonal ends, or goes on from the top where it wraps: one row below the end begins the next. */
const fillDiagonal = rule('self, fill_value, wrap=False', (call) => {
  const x = call.tensor('self');
  if (call.rank(x) !== 2) throw call.decline(`it fills the diagonal of [${x.shape}]`);
  const value = call.cast(call.tensor('fill_value'), x.dtype!, 'value');
  return call.add('Where', [onDiagonal(call, x, 0, call.flag('wrap')), value, x]);
});

const diagonalScatter = rule('self, src, offset=0, dim1=0, dim2=1', (call) => {
  const x = call.tensor('self');
  const offset = call.number('offset');
  if (call.rank(x) !== 2 || call.axis('dim1', x) !== 0 || call.axis('dim2', x) !== 1) throw call.decline('it writes to a diagonal of other axes');
  const source = call.cast(call.tensor('src'), x.dtype!, 'source');
  // Elements before the diagonal's first stand for nothing.
  const [above, left] = [Math.max(0, -offset), Math.max(0, offset)];
  const size = call.size(x, 1);
  const pads = [left, size - left - call.size(source, 0)];
  if (pads[1]! < 0 || above + call.size(source, 0) > call.size(x, 0)) throw call.decline(`[${source.shape}] is no diagonal of [${x.shape}]`);
  const row = pads.every((pad) => pad === 0) ? source : call.add('Pad', [source], { pads, mode: 'constant', value: 0 }, 'row');
  return call.add('Where', [onDiagonal(call, x, offset, false), row, x]);
});

export const replaced: Rules = {
  slice_scatter: rule('self, src, dim=0, start=None, end=None, step=1', (call) => written(call, slice)),
  select_scatter: rule('self, src, dim, index', (call) => written(call, select)),
  fill_diagonal: fillDiagonal,
  diagonal_scatter: diagonalScatter,
};
