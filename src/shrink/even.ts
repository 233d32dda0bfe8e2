/**
 * Output channels of one range, for targets that have one scale for a whole weight: what a channel is smaller than the largest is taken out of
 * its kernel, and given back behind it. A batch normalisation that follows takes it into its own factors and costs nothing; where none does, a
 * graph has a multiplication more. The net computes what it did.
 */
import { isModelError } from '../errors.js';
import { toFloat64Array } from '../model/cast.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { makeLayer, readersOf } from '../model/ops/index.js';
import { channelScales } from '../model/quantise.js';
import { scaleChannels } from '../model/scale-channels.js';
import { float32Tensor, type Tensor, tensorBytes } from '../model/tensor.js';
import { listed } from '../words.js';
import type { Shrunk } from './shrunk.js';

/** Energy of the rounding that has to go: a multiplication of all that flows is not free, and neither is the change of a file. */
const LEAST_GAIN = 0.5;
/** A channel of nearly nothing keeps some of its range, so that no factor leaves float32. */
const LEAST_FACTOR = 2 ** -12;

/**
 * @param mayMultiply whether the target has a multiplication for each channel
 * @returns null where it pays nowhere
 */
export async function evenChannels(map: LayerMap, mayMultiply: boolean): Promise<Shrunk | null> {
  const readers = readersOf(map.layers);
  const shown = new Set(map.outputs.map(({ value }) => value));
  const uses = new Map<Tensor, number>();
  for (const layer of map.layers) for (const tensor of Object.values(layer.weights)) uses.set(tensor, (uses.get(tensor) ?? 0) + 1);
  const made = new Map<Layer, readonly Layer[]>();
  const [byNorm, byFactor]: string[][] = [[], []];
  for (const layer of map.layers) {
    const { kernel, bias } = layer.weights;
    if (!(layer.op === 'Conv' || layer.op === 'Gemm') || !kernel || kernel.dtype !== 'float32' || uses.get(kernel)! > 1 || (bias && uses.get(bias)! > 1))
      continue;
    const [value] = layer.outputs as [string];
    const [next, ...others] = readers.get(value) ?? [];
    const isAlone = next !== undefined && others.length === 0 && !shown.has(value);
    const norm = isAlone && next.op === 'BatchNormalization' && isOwn(next, uses) ? next : null;
    if (!norm && !mayMultiply) continue;
    const factors = await factorsOf(kernel);
    if (!factors) continue;
    const even = { ...layer, weights: { kernel: evened(kernel, factors), ...(bias ? { bias: await divided(bias, factors) } : {}) } };
    if (norm) {
      made.set(layer, [even]);
      made.set(norm, [{ ...norm, weights: await normWeights(norm, factors) }]);
      byNorm!.push(layer.name);
      continue;
    }
    const between = `${value}/even`;
    const shape = layer.op === 'Gemm' ? [factors.length] : [factors.length, ...kernel.shape.slice(2).map(() => 1)];
    const operand = float32Tensor(`${layer.name}/range`, shape, factors, kernel.origin);
    const product = makeLayer({ name: `${layer.name}/range`, op: 'Mul', inputs: [between], outputs: [value], attributes: {}, weights: { operand } });
    made.set(layer, [{ ...even, outputs: [between] }, product]);
    byFactor!.push(layer.name);
  }
  const names = [...byNorm!, ...byFactor!];
  if (names.length === 0) return null;
  const parts = [
    ...(byNorm!.length > 0 ? [`into the batch normalisations behind ${listed(byNorm!.map((name) => `"${name}"`))}`] : []),
    ...(byFactor!.length > 0 ? [`into multiplications behind ${listed(byFactor!.map((name) => `"${name}"`))}`] : []),
  ];
  const message = `the ranges of ${names.length} weights' channels went ${parts.join(' and ')}, as there is one scale for a whole weight`;
  const layers = map.layers.flatMap((layer) => made.get(layer) ?? [layer]);
  return { map: { ...map, layers }, claims: ['even-channels'], change: { transform: 'even-channels', message, layers: names } };
}

/** What each channel is of the largest; null where one scale for all is nearly as good. Values that are not finite are left to whoever codes them. */
async function factorsOf(kernel: Tensor): Promise<Float64Array | null> {
  try {
    const scales = await channelScales(kernel, 0);
    const largest = scales.reduce((a, b) => Math.max(a, b), 0);
    const factors = Float64Array.from(scales, (scale) => Math.fround(Math.max(LEAST_FACTOR, scale / largest)));
    const energy = factors.reduce((sum, factor) => sum + factor * factor, 0) / factors.length;
    return energy < LEAST_GAIN ? factors : null;
  } catch (error) {
    if (isModelError(error)) return null;
    throw error;
  }
}

/** Errors are told against the kernel as it is here. */
function evened(kernel: Tensor, factors: Float64Array): Tensor {
  const path = { offset: 0, axes: kernel.shape.map((size, axis) => [{ size, stride: axis === 0 ? 1 : 0 }]) };
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

const STATISTICS = ['scale', 'bias', 'mean', 'variance'] as const;

function isOwn({ weights, inputs }: Layer, uses: ReadonlyMap<Tensor, number>): boolean {
  return inputs.length === 1 && STATISTICS.every((role) => weights[role]?.dtype === 'float32' && uses.get(weights[role]!) === 1);
}

/** (f z - mean) times scale, as (z - mean / f) times f scale. */
async function normWeights({ weights }: Layer, factors: Float64Array): Promise<Layer['weights']> {
  const [scale, mean] = [weights.scale!, weights.mean!];
  const values = async (tensor: Tensor) => toFloat64Array(await tensorBytes(tensor), tensor.dtype);
  const scales = (await values(scale)).map((value, c) => value * factors[c]!);
  const means = (await values(mean)).map((value, c) => value / factors[c]!);
  return { ...weights, scale: float32Tensor(scale.name, scale.shape, scales, scale.origin), mean: float32Tensor(mean.name, mean.shape, means, mean.origin) };
}
