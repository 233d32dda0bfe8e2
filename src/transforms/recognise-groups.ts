/**
 * GroupNormalization in what exporters write for it: the groups become channels of an InstanceNormalization that does nothing but
 * standardise, and factors and summands for each channel follow.
 */
import type { Layer } from '../model/layer-map.js';
import { elementCount, float32Tensor, reshape, type Tensor } from '../model/tensor.js';
import { coefficientOf, type Found, X } from './algebra.js';
import { type Draft, endsBehind, furthest, type Match, type Matcher } from './recognise.js';

/** A product and a sum. */
const MOST_BEHIND = 3;

/** @param isPlain whether an InstanceNormalization has ones for factors and zeros for summands */
export function groupNormalisation(isPlain: (layer: Layer) => boolean): Matcher {
  return (layer, wiring, numbers) => {
    if (layer.op !== 'InstanceNormalization' || !layer.weights.scale || !isPlain(layer)) return null;
    const before = wiring.maker(layer.inputs[0]);
    const after = wiring.follower(layer);
    if (before?.op !== 'Reshape' || after?.op !== 'Reshape') return null;
    const x = before.inputs[0]!;
    const [from, split, made] = [x, before.outputs[0], after.outputs[0]].map((value) => wiring.shape(value));
    const groups = split?.[1];
    const channels = from?.[1];
    if (typeof groups !== 'number' || typeof channels !== 'number' || channels % groups !== 0 || split![0] !== from![0] || `${from}` !== `${made}`) return null;
    const frame = new Set([before, layer, after]);
    const drafted = (weights: Draft['weights']): Draft => ({
      op: 'GroupNormalization',
      inputs: [x],
      attributes: { num_groups: groups, epsilon: layer.attributes.epsilon! },
      weights,
    });
    const value = after.outputs[0]!;
    const affine = furthest<Match>(endsBehind(after, wiring, MOST_BEHIND), [value], wiring, numbers, (found, _, end) => {
      const weights = `${wiring.shape(end.outputs[0])}` === `${from}` ? affineOf(found, channels, from!.length, after.name) : null;
      const inner = new Set([...frame, ...found.inner]);
      return weights && wiring.isClosed(inner, end) ? { draft: drafted(weights), inner, end } : null;
    });
    return affine ?? { draft: drafted(neutral(after.name, channels)), inner: frame, end: after };
  };
}

/** scale y + bias, both for each channel. */
function affineOf({ sum }: Found, channels: number, rank: number, name: string): Draft['weights'] | null {
  const weights = [...sum.atoms].flatMap(([key, atom]) => (atom.kind === 'weight' ? [[key, atom.tensor] as const] : []));
  const scale = weights.find(([key]) => coefficientOf(sum, { [X]: 1, [key]: 1 }) === 1)?.[1];
  const bias = weights.find(([key]) => coefficientOf(sum, { [key]: 1 }) === 1)?.[1];
  if (sum.terms.size !== (bias ? 2 : 1) || (!scale && coefficientOf(sum, { [X]: 1 }) !== 1) || (!scale && !bias)) return null;
  const [factors, summands] = [scale, bias].map((tensor) => tensor && perChannel(tensor, channels, rank));
  if (factors === null || summands === null) return null;
  const plain = neutral(name, channels);
  return { scale: factors ?? plain.scale!, bias: summands ?? plain.bias! };
}

function perChannel(tensor: Tensor, channels: number, rank: number): Tensor | null {
  const lead = rank - tensor.shape.length;
  const isFit = lead >= 0 && lead <= 1 && tensor.shape.every((size, i) => size === (i + lead === 1 ? channels : 1)) && elementCount(tensor.shape) === channels;
  return isFit ? reshape(tensor, [channels]) : null;
}

function neutral(name: string, channels: number): Record<string, Tensor> {
  const row = (role: string, value: number) => float32Tensor(`${name}.${role}`, [channels], new Float32Array(channels).fill(value), { file: 'weighbridge' });
  return { scale: row('scale', 1), bias: row('bias', 0) };
}
