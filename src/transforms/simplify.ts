/**
 * Takes out of a net what its exporter put in: one transform after the other, each told. What the net computes stays the same; the order
 * is that in which one makes room for the next.
 */
import { toFloat64Array } from '../model/cast.js';
import type { Change } from '../model/edited.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { type Tensor, tensorBytes } from '../model/tensor.js';
import { numbersOf } from './algebra.js';
import { mergeBias } from './merge-bias.js';
import { mergePads } from './merge-pad.js';
import { recognise, type Wanted } from './recognise.js';
import { activation } from './recognise-activations.js';
import { groupNormalisation } from './recognise-groups.js';
import { normalisation } from './recognise-normalisation.js';
import { shuffle } from './recognise-shuffles.js';
import { removeRedundant } from './remove-redundant.js';
import type { Transformed } from './wiring.js';

export interface Simplified {
  readonly map: LayerMap;
  readonly changes: readonly Change[];
}

/** @param wanted whether the target has the operator of a layer that a pattern can become */
export async function simplify(map: LayerMap, wanted: Wanted): Promise<Simplified> {
  const changes: Change[] = folded(map);
  let current = map;
  const take = ({ map: made, change }: Transformed) => {
    current = made;
    if (change) changes.push(change);
  };
  take(removeRedundant(current));
  const numbers = await numbersOf(current, elements);
  const plain = await plainNorms(current);
  for (const matcher of [activation, normalisation, groupNormalisation((layer) => plain.has(layer.name)), shuffle]) {
    const recognised = await recognise(current, numbers, matcher, wanted);
    current = recognised.map;
    changes.push(...recognised.changes);
  }
  take(mergePads(current));
  take(mergeBias(current));
  return { map: current, changes };
}

function folded({ folded: count = 0 }: LayerMap): Change[] {
  return count === 0 ? [] : [{ transform: 'fold-constants', message: `${count} operators that depend on no input were worked out`, layers: [] }];
}

/** Groups of a GroupNormalization are few; a net of styles has channels, which are read for nothing. */
const MOST_GROUPS = 1024;

/** InstanceNormalizations whose factors are ones and whose summands are zeros, by name. */
async function plainNorms({ layers }: LayerMap): Promise<ReadonlySet<string>> {
  const isAll = async (tensor: Tensor | undefined, number: number) =>
    tensor !== undefined && tensor.shape[0]! <= MOST_GROUPS && (await elements(tensor)).every((element) => element === number);
  const isPlain = async ({ weights }: Layer) => (await isAll(weights.scale, 1)) && (await isAll(weights.bias, 0));
  const norms = layers.filter(({ op }) => op === 'InstanceNormalization');
  const plain = await Promise.all(norms.map(isPlain));
  return new Set(norms.filter((_, i) => plain[i]).map(({ name }) => name));
}

async function elements(tensor: Tensor): Promise<readonly number[]> {
  return tensor.known ?? [...toFloat64Array(await tensorBytes(tensor), tensor.dtype)];
}
