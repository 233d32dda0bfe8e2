/** What flows in: channels of a picture in another order, its scale, operands and parts exchanged, the value of another layer. */
import { mapValue, transposeValue, type Value } from '../../model/ops/array.js';
import { evaluateLayer } from '../../model/ops/evaluate.js';
import { isListSlot } from '../../model/ops/operator.js';
import { type Cause, type Family, type Inputs, otherOrders, type Reading, readsInput } from './cause.js';
import { picked, reversedAlong } from './edit.js';

/** Means of the channels of pictures, red first: of ImageNet's bytes, and of its numbers from 0 to 1. */
const MEANS = { bytes: [123.68, 116.779, 103.939], unit: [0.485, 0.456, 0.406] } as const;
const DEVIATIONS = [0.229, 0.224, 0.225] as const;

const SCALES: readonly (readonly [what: string, of: (x: number) => number])[] = [
  ['divided by 255', (x) => x / 255],
  ['times 255', (x) => x * 255],
  ['divided by 127.5, less 1', (x) => x / 127.5 - 1],
  ['divided by 127.5', (x) => x / 127.5],
  ['divided by 128', (x) => x / 128],
  ['divided by 256', (x) => x / 256],
  ['less 128', (x) => x - 128],
  ['less 127.5', (x) => x - 127.5],
  ['times 2, less 1', (x) => 2 * x - 1],
  ['halved', (x) => x / 2],
  ['doubled', (x) => 2 * x],
  ['with the other sign', (x) => -x],
  ['read as signed bytes', (x) => (x > 127 ? x - 256 : x)],
  ['rounded to whole numbers', (x) => Math.round(x)],
  ['clipped at -10 and 10', (x) => Math.min(10, Math.max(-10, x))],
  ['clipped at -1 and 1', (x) => Math.min(1, Math.max(-1, x))],
  ['clipped at 0 and 1', (x) => Math.min(1, Math.max(0, x))],
  ['clipped at 0 and 255', (x) => Math.min(255, Math.max(0, x))],
];

/** Of the net's own inputs, how they are scaled. */
export function* scales(suspect: Reading): Generator<Cause> {
  if (!readsInput(suspect)) return;
  for (const [what, of] of SCALES) yield firstInput('input-scale', `input ${what}`, (x) => mapValue(x, of));
  const channels = suspect.inputs[0]?.shape[1];
  if (channels !== 3) return;
  const perChannel = (what: string, of: (x: number, channel: number) => number) =>
    firstInput('input-mean', `input ${what}`, (x) => {
      const inner = x.data.length / (x.shape[0]! * 3);
      return { ...x, data: x.data.map((value, i) => of(value, Math.floor(i / inner) % 3)) };
    });
  for (const [order, place] of [
    ['red', (c: number) => c],
    ['blue', (c: number) => 2 - c],
  ] as const) {
    yield perChannel(`less the mean of ImageNet (${order} first)`, (x, c) => x - MEANS.bytes[place(c)]!);
    yield perChannel(`plus the mean of ImageNet (${order} first)`, (x, c) => x + MEANS.bytes[place(c)]!);
    yield perChannel(`less ImageNet's mean, divided by its deviation (${order} first)`, (x, c) => (x - MEANS.unit[place(c)]!) / DEVIATIONS[place(c)]!);
  }
}

/** The order of what is read. */
export function* arranged(suspect: Reading): Generator<Cause> {
  const [x] = suspect.inputs;
  if (!x) return;
  const isFirst = readsInput(suspect);
  const rank = x.shape.length;
  if (x.shape[0]! > 1)
    yield firstInput('batch', `${isFirst ? 'the input' : 'what it reads'} with the rows of its batch in reverse`, (value) => reversedAlong(value, 0));
  if ((x.shape[1] ?? 1) > 1) {
    const what = isFirst && x.shape[1] === 3 ? 'BGR for RGB: the input with its channels in reverse' : 'what it reads with its channels in reverse';
    yield firstInput(isFirst ? 'input-bgr' : 'reads-reversed', what, (value) => reversedAlong(value, 1));
  }
  if (rank < 3) return;
  const names = rank === 4 ? ['batch', 'channels', 'height', 'width'] : Array.from({ length: rank }, (_, axis) => `axis ${axis}`);
  for (const axis of [...x.shape.keys()].slice(2))
    yield firstInput('reads-mirrored', `what it reads mirrored along its ${names[axis]}`, (value) => reversedAlong(value, axis));
  for (const order of otherOrders(rank - 1)) {
    const full = [0, ...order.map((axis) => axis + 1)];
    const what = `what it reads laid out as [${full.map((axis) => names[axis]).join(', ')}]`;
    yield firstInput('reads-transposed', what, (value) => ({ ...transposeValue(value, full), shape: value.shape }));
  }
}

function firstInput(kind: string, what: string, change: (value: Value) => Value): Cause {
  return { kind, what, read: ([x, ...rest]) => (x ? [{ ...change(x), dtype: x.dtype }, ...rest] : null) };
}

/** Several inputs in another order. */
export const operands: Family = function* ({ layer, operator, inputs }) {
  if (operator.commutes) return;
  const { operand, ...weights } = layer.weights;
  // What a constant fills is told by the slot that it has.
  if (operand) yield { kind: 'operand-order', what: 'operands exchanged', layer: { ...layer, weights: { ...weights, x: operand } } };
  if (inputs.length < 2) return;
  const isList = operator.slots.some(isListSlot);
  for (const order of ordersOf(inputs.length)) {
    const what = isList ? `parts in the order ${order.map((place) => `"${layer.inputs[place]}"`).join(', ')}` : 'operands exchanged';
    yield { kind: isList ? 'concat-order' : 'operand-order', what, read: (given) => order.map((place) => given[place]) };
  }
};

/** Operators that take the same and give something else of it. */
const ALIKE: readonly (readonly string[])[] = [
  ['Add', 'Sub', 'Mul', 'Div'],
  ['Max', 'Min', 'Mean', 'Sum'],
  ['ReduceMean', 'ReduceSum', 'ReduceMax', 'ReduceMin'],
];

/** Another operator on the same operands. */
export const operations: Family = function* ({ layer }) {
  for (const op of ALIKE.find((group) => group.includes(layer.op)) ?? [])
    if (op !== layer.op) yield { kind: 'operator', what: `${op} for ${layer.op}`, layer: { ...layer, op } };
};

/** Parts that may be exchanged by twos: 66 ways of twelve. */
const MOST_EXCHANGED = 12;

/** Orders of so many parts that converters mistake: all of a few, else in reverse, and two exchanged. */
function* ordersOf(count: number): Iterable<readonly number[]> {
  if (count <= 4) {
    yield* otherOrders(count);
    return;
  }
  const plain = Array.from({ length: count }, (_, i) => i);
  yield plain.toReversed();
  for (const i of plain)
    for (const j of plain.slice(i + 1)) if (count <= MOST_EXCHANGED || j === i + 1 || (i === 0 && j === count - 1)) yield plain.with(i, j).with(j, i);
}

/** Another layer's value in the place of what is read. */
export const elsewhere: Family = function* ({ layer, inputs, others }) {
  for (const [place, own] of inputs.entries()) {
    if (!own) continue;
    for (const [other, value] of others) {
      if (layer.inputs[place] === other.outputs[0] || `${value.shape}` !== `${own.shape}`) continue;
      yield { kind: 'wiring', what: `reads what "${other.name}" makes in the place of "${layer.inputs[place]}"`, read: (given) => given.with(place, value) };
    }
    if (inputs.length > 1) {
      const same = inputs.findIndex((each, i) => i !== place && each && `${each.shape}` === `${own.shape}`);
      if (same >= 0)
        yield {
          kind: 'wiring',
          what: `reads "${layer.inputs[same]}" twice, and not "${layer.inputs[place]}"`,
          read: (given) => given.with(place, given[same]),
        };
    }
  }
};

/** The order of two layers: what should come behind it comes before it. */
export const before: Family = function* ({ map, layer, inputs }) {
  const [x] = inputs;
  const readers = map.layers.filter((other) => other.inputs.length === 1 && other.inputs[0] === layer.outputs[0]);
  for (const reader of x ? readers : []) {
    const first = async (given: Inputs) => [(await evaluateLayer(reader, given.slice(0, 1)))[0], ...given.slice(1)];
    yield { kind: 'layer-order', what: `"${reader.name}" (${reader.op}) before it`, read: first };
  }
};

/** A layer that is passed by: what it reads goes on as it is, or one of its inputs does. */
export const passedBy: Family = function* ({ layer, inputs }) {
  if (layer.op === 'Identity') return;
  for (const [place, own] of inputs.entries()) {
    if (!own) continue;
    const which = inputs.length > 1 ? `: what "${layer.inputs[place]}" holds goes on alone` : '';
    yield { kind: 'layer-missing', what: `${layer.op} missing${which}`, made: () => own };
  }
};

/** Order of what comes out. */
export const arrangedAfter: Family = function* () {
  const after = (kind: string, what: string, change: (x: Value) => Value | null): Cause => ({ kind, what, made: change });
  yield after('output-reversed', 'what it makes with its channels in reverse', (x) => (x.shape.length > 1 ? reversedAlong(x, 1) : null));
  yield after('output-reversed', 'what it makes in reverse along its last axis', (x) => reversedAlong(x, x.shape.length - 1));
  yield after('output-mirrored', 'what it makes mirrored along its height', (x) => (x.shape.length > 3 ? reversedAlong(x, 2) : null));
  for (const rank of [3, 4, 5]) {
    for (const order of otherOrders(rank - 1)) {
      const full = [0, ...order.map((axis) => axis + 1)];
      yield after('output-transposed', `what it makes laid out as [${full}] for [${[...full.keys()]}]`, (x) =>
        x.shape.length === rank ? { ...transposeValue(x, full), shape: full.map((axis) => x.shape[axis]!) } : null,
      );
      yield after('output-transposed', `what it makes laid out as [${full}], its shape kept`, (x) =>
        x.shape.length === rank ? { ...transposeValue(x, full), shape: x.shape } : null,
      );
    }
  }
  yield after('output-shifted', 'what it makes moved on by one channel', (x) =>
    x.shape.length > 1 && x.shape[1]! > 1
      ? picked(
          x,
          1,
          Array.from({ length: x.shape[1]! }, (_, i) => (i + x.shape[1]! - 1) % x.shape[1]!),
        )
      : null,
  );
};
