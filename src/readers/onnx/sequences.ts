/**
 * Lists of values, as scripted PyTorch models are exported with for `split`, `unbind`, `cat` and lists that grow: a list whose parts are known is no value of the
 * graph, and what is taken of it is the part.
 */
import type { Value } from '../../model/builder.js';
import { NotUnderstood } from './by-table.js';
import { type Node, numberOf, type Rule, type Translator } from './translator.js';

/** A list of more parts stays what it is in the file. */
const MOST_PARTS = 1024;

/** Of a list whose parts are known. */
const ofParts =
  (rule: (parts: readonly Value[], node: Node, t: Translator) => ReturnType<Rule>): Rule =>
  (node, t) => {
    const parts = t.partsOf(node.inputs[0]);
    return parts ? rule(parts, node, t) : new NotUnderstood('what is in its sequence is known only when the model runs');
  };

/** A place in a list, counted from the end where it is negative; `usual` where none is said. */
async function placeIn(count: number, value: Value | null | undefined, usual: number, t: Translator): Promise<number | undefined> {
  if (!value) return usual;
  const [place] = (await t.known(value)) ?? [];
  return place === undefined || place < -count || place > count ? undefined : place < 0 ? place + count : place;
}

const unknownPlace = () => new NotUnderstood('which place of its sequence it means is known only when the model runs');

const at = ofParts(async (parts, { inputs }, t) => {
  const place = await placeIn(parts.length, inputs[1], -1, t);
  return place !== undefined && parts[place] ? [parts[place]] : unknownPlace();
});

const insert = ofParts(async (parts, { inputs, outputs }, t) => {
  const place = await placeIn(parts.length, inputs[2], parts.length, t);
  return place === undefined || !inputs[1] ? unknownPlace() : [t.listOf(parts.toSpliced(place, 0, inputs[1]), outputs[0]!)];
});

const erase = ofParts(async (parts, { inputs, outputs }, t) => {
  const place = await placeIn(parts.length, inputs[1], parts.length - 1, t);
  return place !== undefined && parts[place] ? [t.listOf(parts.toSpliced(place, 1), outputs[0]!)] : unknownPlace();
});

const concat = ofParts((parts, node, t) => {
  const axis = numberOf(node, 'axis', 0);
  const apart = numberOf(node, 'new_axis', 0) === 1 ? parts.map((part, i) => t.add(node, 'Unsqueeze', [part], { axes: [axis] }, `part${i}`)) : parts;
  return apart.length === 0 ? new NotUnderstood('nothing is in its sequence') : [t.add(node, 'Concat', apart, { axis })];
});

const splitToSequence: Rule = async (node, t) => {
  const [x, given = null] = node.inputs as [Value, Value | null];
  const axis = numberOf(node, 'axis', 0);
  const size = x.shape?.at(axis);
  const said = given && (await t.known(given));
  if (typeof size !== 'number' || (given && !said)) return new NotUnderstood('how many parts it makes is known only when the model runs');
  // One number is the size of each part, the last one smaller.
  const each = !said ? 1 : given!.shape?.length === 0 ? said[0]! : null;
  const sizes = each === null ? said! : each < 1 ? [] : Array.from({ length: Math.ceil(size / each) }, (_, i) => Math.min(each, size - i * each));
  if (sizes.length === 0 || sizes.length > MOST_PARTS) return new NotUnderstood(`it makes ${sizes.length} parts`);
  const name = `${t.scope.prefix}${node.title}`;
  const names = sizes.map((_, i) => t.build.freeValue(`${name}/${i}`));
  const parts = sizes.length === 1 ? [x] : t.build.node('Split', [x], { axis, split: sizes }, { name, outputs: names });
  const isSqueezed = !given && numberOf(node, 'keepdims', 1) === 0;
  const made = isSqueezed ? parts.map((part, i) => t.add(node, 'Squeeze', [part], { axes: [axis] }, `${i}/part`)) : parts;
  return [t.listOf(made, node.outputs[0]!)];
};

export const SEQUENCES: Readonly<Record<string, Rule>> = {
  SplitToSequence: splitToSequence,
  SequenceConstruct: ({ inputs, outputs }, t) => [t.listOf(inputs as readonly Value[], outputs[0]!)],
  // Of floats where nothing is said.
  SequenceEmpty: (node, t) => (numberOf(node, 'dtype', 1) === 1 ? [t.listOf([], node.outputs[0]!)] : new NotUnderstood('nothing is in it')),
  SequenceAt: at,
  SequenceInsert: insert,
  SequenceErase: erase,
  SequenceLength: ofParts((parts, _, t) => [t.build.numbers('int64', parts.length)]),
  ConcatFromSequence: concat,
};
