/** Large dense layers as two smaller ones behind each other: what a kernel does to most of what flows in, in fewer directions than it has. */
import type { Claim } from '../model/claims.js';
import { isFloatDType } from '../model/dtype.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { elementCount, float32Tensor, permute, type Tensor } from '../model/tensor.js';
import { listed } from '../words.js';
import type { Better, Shrunk } from './shrunk.js';
import { type LowRank, lowRank } from './svd.js';

export interface RankOptions {
  /** Part of a kernel's sum of squares that is to be left; null for a rank. */
  readonly energy: number | null;
  /** The same rank for every layer that it makes smaller. */
  readonly rank: number | null;
}

/** Smaller kernels are not worth another layer. */
const LEAST_COUNT = 2 ** 14;
/** Two kernels together take no more of the one's values. */
const WORTH = 0.8;
/** What is worked out in sensible time: some minutes for VGG16's first dense layer. */
export const MOST_RANK = 512;

/** Dense layers of low rank, in running order; the second of the two keeps the name and the bias. */
export async function shrinkRanks(map: LayerMap, options: RankOptions, onProgress?: Better['onProgress']): Promise<Shrunk> {
  const dense = map.layers.filter(isLarge);
  const made = new Map<Layer, LowRank>();
  const told: string[] = [];
  for (const [i, layer] of dense.entries()) {
    const matrix = matrixOf(layer);
    const most = mostRank(matrix);
    const found = options.rank !== null && options.rank > most ? null : await lowRank(matrix, { ...options, most });
    onProgress?.('singular values', i + 1, dense.length);
    if (!found) continue;
    made.set(layer, found);
    told.push(describeRank(layer, found));
  }
  const asked = options.rank === null ? `${100 * options.energy!} % of the energy` : `rank ${options.rank}`;
  const message =
    told.length === 0
      ? `of ${dense.length} large dense layers none is smaller as two with ${asked}`
      : `${told.length} of ${dense.length} large dense layers became two each: ${listed(told)}`;
  const claims: Claim[] = made.size > 0 ? ['low-rank'] : [];
  return { map: withRanks(map, made), claims, change: { transform: 'low-rank', message, layers: [...made.keys()].map(({ name }) => name) } };
}

export function describeRank(layer: Layer, { rank, energy }: LowRank): string {
  const [rows, columns] = matrixOf(layer).shape;
  return `"${layer.name}" (${rows} x ${columns}) to rank ${rank}, ${(100 * energy).toFixed(1)} % of its energy`;
}

/** A dense layer's kernel, outputs first. */
export function matrixOf({ op, weights }: Layer): Tensor {
  return op === 'Gemm' ? weights.kernel! : permute(weights.kernel!, [1, 0]);
}

/** The largest rank that is worth anything. */
export function mostRank({ shape }: Tensor): number {
  const [rows, columns] = shape as readonly [number, number];
  return Math.min(MOST_RANK, Math.floor((WORTH * rows * columns) / (rows + columns)));
}

/** The net with two dense layers in place of some. */
export function withRanks(map: LayerMap, ranks: ReadonlyMap<Layer, LowRank>): LayerMap {
  if (ranks.size === 0) return map;
  const names = new Set(map.layers.flatMap(({ name, outputs }) => [name, ...outputs]));
  const layers = map.layers.flatMap((layer) => {
    const found = ranks.get(layer);
    if (!found) return [layer];
    const { rank, left, right } = found;
    const kernel = layer.weights.kernel!;
    const [rows, columns] = matrixOf(layer).shape as [number, number];
    let between = `${layer.name}/rank`;
    while (names.has(between)) between += "'";
    const [first, second] = [
      float32Tensor(`${kernel.name}/right`, [rank, columns], right, kernel.origin),
      float32Tensor(`${kernel.name}/left`, [rows, rank], left, kernel.origin),
    ];
    const turned = (tensor: typeof first) => (layer.op === 'Gemm' ? tensor : permute(tensor, [1, 0]));
    return [
      { ...layer, name: between, outputs: [between], weights: { kernel: turned(first) } },
      { ...layer, inputs: [between], weights: { ...layer.weights, kernel: turned(second) } },
    ];
  });
  return { ...map, layers };
}

/** Whether a layer may become two. */
export function isLarge({ op, weights, inputs, foreign }: Layer): boolean {
  const { kernel } = weights;
  if (foreign || !kernel || inputs.length !== 1 || kernel.shape.length !== 2 || !isFloatDType(kernel.dtype)) return false;
  return (op === 'Gemm' || op === 'MatMul') && elementCount(kernel.shape) >= LEAST_COUNT;
}
