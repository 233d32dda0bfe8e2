/**
 * What kind of mistake it is of a tensor whose layer is not known: what has axes is looked at as a kernel, and what has one as a number for each channel,
 * whatever computes with it.
 */
import { isFloatDType } from '../../model/dtype.js';
import type { Layer, LayerMap } from '../../model/layer-map.js';
import { makeLayer } from '../../model/ops/index.js';
import type { Tensor } from '../../model/tensor.js';
import { Allowance } from '../allowance.js';
import type { CauseReport } from '../report.js';
import { reportOf } from './explain.js';
import { tryStored } from './stored.js';

/** Steps that trying may take: about 2.5 s. */
const STEPS = 2.5e9;

/** Tensors of two files that belong together. */
export interface TensorPair {
  readonly source: Tensor;
  readonly stored: Tensor | undefined;
}

/**
 * @param pairs all of both files: one of them may have been taken in the place of another
 * @param name of the source's tensor that differs
 * @returns null where there is nothing to look at
 */
export async function explainTensor(pairs: readonly TensorPair[], name: string): Promise<CauseReport | null> {
  const looked = pairs.filter(({ source }) => isFloatDType(source.dtype));
  const at = looked.findIndex(({ source }) => source.name === name);
  const stored = looked[at]?.stored;
  if (!stored || !isFloatDType(stored.dtype)) return null;
  const layers = looked.map(({ source }) => layerOf(source));
  const layer = layers[at]!;
  const map: LayerMap = { name: '', format: '', producer: null, architecture: null, inputs: [], outputs: [], layers, warnings: [] };
  const found = await tryStored({ map, layer, types: new Map(), weight: () => ({ tensor: stored }) }, new Allowance(STEPS));
  return found && reportOf(found, layer.name, { by: 'weights', side: 'file' });
}

/** Words in names of statistics, and what they are. */
const ROLES: readonly (readonly [RegExp, string])[] = [
  [/var/i, 'variance'],
  [/mean/i, 'mean'],
];

/** A layer of the tensor's own name that has it alone: it is no layer that could be run. */
function layerOf(tensor: Tensor): Layer {
  const { name, shape } = tensor;
  const rank = shape.length;
  const ports = { inputs: [`${name}:in`], outputs: [`${name}:out`] };
  if (rank > 1) return makeLayer({ name, op: rank > 2 ? 'Conv' : 'Gemm', ...ports, weights: { kernel: tensor } });
  const role = ROLES.find(([word]) => word.test(name))?.[1] ?? 'bias';
  return { name, op: 'BatchNormalization', ...ports, attributes: { epsilon: 1e-5 }, weights: { [role]: tensor } };
}
