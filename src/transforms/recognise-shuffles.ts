/** DepthToSpace, SpaceToDepth and ChannelShuffle, which exporters write as a Reshape, a Transpose and a Reshape. */
import type { Dim } from '../model/layer-map.js';
import type { Draft, Matcher } from './recognise.js';

/** By the order of the axes in between. The input's sizes, split: what stands for a block is `b`, and where it is. */
const ORDERS: Readonly<Record<string, (split: readonly Dim[]) => Pick<Draft, 'op' | 'attributes'> | null>> = {
  // [N, C, b, b, H, W] and [N, b, b, C, H, W]
  '0,1,4,2,5,3': (split) => blocks('DepthToSpace', 'CRD', split[2], split[3]),
  '0,3,4,1,5,2': (split) => blocks('DepthToSpace', 'DCR', split[1], split[2]),
  // [N, C, H, b, W, b]
  '0,1,3,5,2,4': (split) => blocks('SpaceToDepth', 'CRD', split[3], split[5]),
  '0,3,5,1,2,4': (split) => blocks('SpaceToDepth', 'DCR', split[3], split[5]),
  // [N, groups, C, H, W], with any number of spatial axes
  '0,2,1': shuffled,
  '0,2,1,3': shuffled,
  '0,2,1,3,4': shuffled,
  '0,2,1,3,4,5': shuffled,
};

export const shuffle: Matcher = (layer, wiring) => {
  if (layer.op !== 'Transpose') return null;
  const before = wiring.maker(layer.inputs[0]);
  const after = wiring.follower(layer);
  if (before?.op !== 'Reshape' || after?.op !== 'Reshape' || wiring.follower(before) !== layer) return null;
  const x = before.inputs[0]!;
  const [from, split, made] = [x, before.outputs[0], after.outputs[0]].map((value) => wiring.shape(value));
  if (!from || !split || !made) return null;
  const drawn = ORDERS[`${layer.attributes.perm}`]?.(split);
  if (!drawn || !fits(drawn, from, split, made)) return null;
  return { draft: { ...drawn, inputs: [x] }, inner: new Set([before, layer, after]), end: after };
};

function blocks(op: string, mode: string, a: Dim | undefined, b: Dim | undefined): Pick<Draft, 'op' | 'attributes'> | null {
  return typeof a === 'number' && a === b && a > 1 ? { op, attributes: { blocksize: a, mode } } : null;
}

function shuffled(split: readonly Dim[]): Pick<Draft, 'op' | 'attributes'> | null {
  const [, groups, each] = split;
  return typeof groups === 'number' && typeof each === 'number' ? { op: 'ChannelShuffle', attributes: { groups } } : null;
}

/** Whether what is split and what is made have the sizes that the operator gives them. */
function fits({ op, attributes }: Pick<Draft, 'op' | 'attributes'>, from: readonly Dim[], split: readonly Dim[], made: readonly Dim[]): boolean {
  if (op === 'ChannelShuffle') {
    const isSplit = split[0] === from[0] && `${split.slice(3)}` === `${from.slice(2)}` && (split[1] as number) * (split[2] as number) === from[1];
    return isSplit && `${made}` === `${from}`;
  }
  // Sizes that are free could be split in another place than it seems.
  if (from.length !== 4 || ![...from.slice(1), ...split.slice(1), ...made.slice(1)].every((size) => typeof size === 'number')) return false;
  const [channels, height, width] = from.slice(1) as [number, number, number];
  const b = attributes!.blocksize as number;
  const parts = split.slice(1) as number[];
  const isCrd = attributes!.mode === 'CRD';
  const wanted =
    op === 'SpaceToDepth'
      ? [channels, height / b, b, width / b, b]
      : isCrd
        ? [channels / (b * b), b, b, height, width]
        : [b, b, channels / (b * b), height, width];
  const result = op === 'SpaceToDepth' ? [channels * b * b, height / b, width / b] : [channels / (b * b), height * b, width * b];
  return split[0] === from[0] && made[0] === from[0] && `${parts}` === `${wanted}` && `${made.slice(1)}` === `${result}`;
}
