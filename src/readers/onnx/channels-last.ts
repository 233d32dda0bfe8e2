/** Operators that ONNX Runtime's optimiser put into channels-last order (`channels_last`, `Nhwc...`): between two Transposes, as what they were. */
import type { Value } from '../../model/builder.js';
import { toChannelsFirst, toChannelsLast } from '../../model/ports.js';
import { NotUnderstood } from './by-table.js';
import { type Node, numberOf, type Rule } from './translator.js';

/** @param pictures which inputs have channels; those that are not there are left out */
export const channelsLast =
  (rule: Rule, pictures: readonly number[] = [0]): Rule =>
  async (node, t) => {
    const rank = node.inputs[0]?.shape?.length;
    if (rank === undefined) return new NotUnderstood('how many axes flow in is not known');
    if (rank < 3) return rule(node, t);
    const turned = (value: Value) => t.add(node, 'Transpose', [value], { perm: toChannelsFirst(rank) }, 'channels-first');
    const inputs = node.inputs.map((value, i) => (value && pictures.includes(i) ? turned(value) : value));
    const title = `${node.title}/own`;
    const made = await rule({ ...node, inputs, title, outputs: [t.build.freeValue(title)] }, t);
    return made instanceof NotUnderstood ? made : [t.add(node, 'Transpose', [made[0]!], { perm: toChannelsLast(rank) })];
  };

/** By the node's own `channels_last`, which the rule does not see. */
export const asItSays =
  (rule: Rule, pictures?: readonly number[]): Rule =>
  (node, t) => {
    const own: Node = { ...node, attributes: new Map([...node.attributes].filter(([name]) => name !== 'channels_last')) };
    return (numberOf(node, 'channels_last', 0) === 0 ? rule : channelsLast(rule, pictures))(own, t);
  };
