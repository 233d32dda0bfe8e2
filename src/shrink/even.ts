/**
 * Output channels of one range: what a channel takes less than all of it is taken out of its kernel, and given back behind it. A batch normalisation that
 * follows takes it into its own factors and costs nothing; where none does, a multiplication more gives it back. The net computes what it did.
 */
import { toFloat64Array } from '../model/cast.js';
import type { Layer } from '../model/layer-map.js';
import { makeLayer } from '../model/ops/index.js';
import type { ChannelSpreads } from '../model/quantise.js';
import { scaleChannels } from '../model/scale-channels.js';
import { float32Tensor, type Tensor, tensorBytes } from '../model/tensor.js';

/** A channel of nearly nothing keeps some of its range, so that no factor leaves float32. */
const LEAST_FACTOR = 2 ** -12;

export interface Ranged {
  /** In the layer's place. */
  readonly layers: readonly Layer[];
  /** In that of the normalisation behind it, where it took the ranges. */
  readonly norm: Layer | null;
}

/** What each channel takes of the whole range, on that side of zero where it takes more: divided by that, none leaves the range, so that no channel is rounded in larger steps than it was. */
export function factorsOf({ low, high }: ChannelSpreads): Float64Array {
  const [least, most] = [low.reduce((a, b) => Math.min(a, b), 0), high.reduce((a, b) => Math.max(a, b), 0)];
  return high.map((value, c) => {
    const share = Math.max(most > 0 ? value / most : 0, least < 0 ? low[c]! / least : 0);
    return least < most ? Math.fround(Math.max(LEAST_FACTOR, share)) : 1;
  });
}

/** @param axis of the kernel's output channels */
export async function evenRanges(layer: Layer, axis: number, factors: Float64Array, norm: Layer | null): Promise<Ranged> {
  const { kernel, bias } = layer.weights;
  const even = { ...layer, weights: { kernel: evened(kernel!, axis, factors), ...(bias ? { bias: await divided(bias, factors) } : {}) } };
  if (norm) return { layers: [even], norm: { ...norm, weights: await normWeights(norm, factors) } };
  const [value] = layer.outputs as [string];
  const between = `${value}/even`;
  const window = layer.op === 'Gemm' || layer.op === 'MatMul' ? [] : kernel!.shape.slice(2).map(() => 1);
  const operand = float32Tensor(`${layer.name}/range`, [factors.length, ...window], factors, kernel!.origin);
  const product = makeLayer({ name: `${layer.name}/range`, op: 'Mul', inputs: [between], outputs: [value], attributes: {}, weights: { operand } });
  return { layers: [{ ...even, outputs: [between] }, product], norm: null };
}

/** Errors are told against the kernel as it is here. */
function evened(kernel: Tensor, axis: number, factors: Float64Array): Tensor {
  const path = { offset: 0, axes: kernel.shape.map((size, i) => [{ size, stride: i === axis ? 1 : 0 }]) };
  return {
    ...scaleChannels(
      kernel,
      path,
      factors.map((factor) => 1 / factor),
      'float32',
    ),
    name: kernel.name,
  };
}

async function divided(bias: Tensor, factors: Float64Array): Promise<Tensor> {
  const values = toFloat64Array(await tensorBytes(bias), bias.dtype);
  const made = values.map((value, c) => value / factors[c]!);
  return float32Tensor(bias.name, bias.shape, made, bias.origin);
}

/** (f z - mean) times scale, as (z - mean / f) times f scale. */
async function normWeights({ weights }: Layer, factors: Float64Array): Promise<Layer['weights']> {
  const [scale, mean] = [weights.scale!, weights.mean!];
  const values = async (tensor: Tensor) => toFloat64Array(await tensorBytes(tensor), tensor.dtype);
  const scales = (await values(scale)).map((value, c) => value * factors[c]!);
  const means = (await values(mean)).map((value, c) => value / factors[c]!);
  return { ...weights, scale: float32Tensor(scale.name, scale.shape, scales, scale.origin), mean: float32Tensor(mean.name, mean.shape, means, mean.origin) };
}
