/** Which weights of a net may be coded, and the net with others in their place. */
import type { Layer, LayerMap } from '../model/layer-map.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import { channelAxis } from '../writers/large-weights.js';

export interface CodableWeight {
  readonly layer: Layer;
  readonly role: string;
  readonly tensor: Tensor;
  readonly axis: number;
  readonly count: number;
  /** Depthwise kernels and the first and last of the net: few bytes, and what they lose nothing behind them mends. */
  readonly isTender: boolean;
}

/** Kernels and tables, in running order; a weight that layers share is in it once. */
export function codableWeights({ layers }: LayerMap): CodableWeight[] {
  const seen = new Set<Tensor>();
  const found = layers.flatMap((layer) =>
    Object.entries(layer.weights).flatMap(([role, tensor]) => {
      const axis = channelAxis(layer, role);
      if (axis === null || seen.has(tensor)) return [];
      seen.add(tensor);
      const isDepthwise = layer.op === 'Conv' && tensor.shape[1] === 1 && Number(layer.attributes.group ?? 1) > 1;
      return [{ layer, role, tensor, axis, count: elementCount(tensor.shape), isTender: isDepthwise }];
    }),
  );
  const total = found.reduce((sum, { count }) => sum + count, 0);
  // An end that holds much of the net is no end to spare: VGG's last layer has 3 % of it, a net of one layer all.
  const isEnd = (i: number, { count }: CodableWeight) => (i === 0 || i === found.length - 1) && count < SPARED * total;
  return found.map((weight, i) => ({ ...weight, isTender: weight.isTender || isEnd(i, weight) }));
}

const SPARED = 0.05;

/**
 * The net with a bias of its own for each kernel, where kernels share one: what is put in place of it is worked out with one of them. They stay one in
 * files as long as their values do.
 *
 * @returns the map, and the shared bias by those that stand for it
 */
export function withOwnBiases(map: LayerMap): { readonly map: LayerMap; readonly shared: ReadonlyMap<Tensor, Tensor> } {
  const byBias = new Map<Tensor, Map<Tensor, Tensor>>();
  const shared = new Map<Tensor, Tensor>();
  const layers = map.layers.map((layer) => {
    const { kernel, bias } = layer.weights;
    if (!kernel || !bias) return layer;
    const known = byBias.get(bias) ?? new Map<Tensor, Tensor>();
    byBias.set(bias, known);
    const own = known.get(kernel) ?? (known.size === 0 ? bias : { ...bias });
    known.set(kernel, own);
    if (own === bias) return layer;
    shared.set(own, bias);
    return { ...layer, weights: { ...layer.weights, bias: own } };
  });
  return { map: shared.size > 0 ? { ...map, layers } : map, shared };
}

export function withWeights(map: LayerMap, made: ReadonlyMap<Tensor, Tensor>): LayerMap {
  const swap = (tensor: Tensor) => made.get(tensor) ?? tensor;
  const layers = map.layers.map((layer) => ({
    ...layer,
    weights: Object.fromEntries(Object.entries(layer.weights).map(([role, tensor]) => [role, swap(tensor)])),
  }));
  return { ...map, layers };
}
