/**
 * Batch normalisation folded into the convolution before it, so that a net can be compared with one in which somebody did that:
 *
 *   kernel' = kernel · f, bias' = (bias - mean) · f + shift, with f = scale / √(variance + epsilon) for each output channel
 */
import { toFloat64Array } from '../model/cast.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { readersOf } from '../model/ops/index.js';
import { computedTensor, elementCount, type Tensor, tensorByteLength, tensorBytes } from '../model/tensor.js';
import { layerParts, type Part, partsOf, usedLayers } from './parts.js';

/** Which axis of the kernel counts the channels that flow out. */
const OUT_AXIS: Readonly<Record<string, number>> = { Conv: 0, Gemm: 0, MatMul: 1 };

/** Kernels are folded in memory. */
const MAX_KERNEL_BYTES = 2 ** 27;

export function hasBatchNormalisation(map: LayerMap): boolean {
  return map.layers.some(({ op }) => op === 'BatchNormalization');
}

/** The parts of a net whose normalisations are folded as far as they can be. */
export function foldedParts(map: LayerMap): Part[] {
  const layers = usedLayers(map);
  const readers = readersOf(layers);
  const shown = new Set(map.outputs.map(({ value }) => value));
  const gone = new Set<Layer>();
  const folded = new Map<Layer, Part[]>();
  for (const layer of layers) {
    const [norm, ...others] = readers.get(layer.outputs[0] ?? '') ?? [];
    const isAlone = norm?.op === 'BatchNormalization' && others.length === 0 && !shown.has(layer.outputs[0]!);
    const { kernel } = layer.weights;
    if (!isAlone || !kernel || OUT_AXIS[layer.op] === undefined || tensorByteLength(kernel) > MAX_KERNEL_BYTES) continue;
    const channels = kernel.shape[OUT_AXIS[layer.op]!]!;
    if (!['scale', 'bias', 'mean', 'variance'].every((role) => norm.weights[role] && elementCount(norm.weights[role].shape) === channels)) continue;
    folded.set(
      layer,
      layerParts({ ...layer, weights: foldedWeights(layer, norm, kernel, channels) }).map((part) => ({ ...part, folded: true })),
    );
    gone.add(norm);
  }
  return partsOf(layers, (layer) => (gone.has(layer) ? [] : (folded.get(layer) ?? layerParts(layer))));
}

function foldedWeights(layer: Layer, norm: Layer, kernel: Tensor, channels: number): Record<string, Tensor> {
  const { bias } = layer.weights;
  const epsilon = norm.attributes.epsilon as number;
  const values = async (role: string) => numbersOf(norm.weights[role]!);
  const factors = async () => {
    const [scale, variance] = [await values('scale'), await values('variance')];
    return scale.map((factor, c) => factor / Math.sqrt(variance[c]! + epsilon));
  };
  const inner = elementCount(kernel.shape.slice(OUT_AXIS[layer.op]! + 1));
  return {
    kernel: computedTensor(kernel.name, 'float32', kernel.shape, kernel.origin, async () => {
      const [own, by] = [await numbersOf(kernel), await factors()];
      return bytesOf(own.map((value, i) => value * by[Math.floor(i / inner) % channels]!));
    }),
    bias: computedTensor(bias?.name ?? norm.weights.bias!.name, 'float32', [channels], (bias ?? norm.weights.bias!).origin, async () => {
      const [by, mean, shift] = [await factors(), await values('mean'), await values('bias')];
      const own = bias ? await numbersOf(bias) : new Float64Array(channels);
      return bytesOf(by.map((factor, c) => (own[c]! - mean[c]!) * factor + shift[c]!));
    }),
  };
}

async function numbersOf(tensor: Tensor): Promise<Float64Array> {
  return toFloat64Array(await tensorBytes(tensor), tensor.dtype);
}

function bytesOf(values: Float64Array): Uint8Array {
  return new Uint8Array(Float32Array.from(values).buffer);
}
