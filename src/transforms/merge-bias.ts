/**
 * Takes a bias into the layer that it is added to: a convolution and an Add of one number for each channel become a convolution with a
 * bias, a product of rows with a matrix and an Add become a Gemm. Graphs of TensorFlow keep the two apart.
 *
 * Only where nothing else reads what lies between, and where the Add keeps the shape.
 */
import type { Layer, LayerMap } from '../model/layer-map.js';
import { makeLayer } from '../model/ops/index.js';
import { elementCount, permute, reshape, type Tensor } from '../model/tensor.js';
import { type Transformed, wiringOf, withLayers } from './wiring.js';

const CONVOLUTIONS: ReadonlySet<string> = new Set(['Conv', 'ConvTranspose']);

/** The same net with fewer Adds. The merged layer bears the name of the convolution or product, and makes the value of the Add. */
export function mergeBias(map: LayerMap): Transformed {
  const wiring = wiringOf(map);
  const instead = new Map<Layer, Layer | null>();
  const touched: string[] = [];
  for (const layer of map.layers) {
    if (layer.op !== 'MatMul' && !CONVOLUTIONS.has(layer.op)) continue;
    const [value = ''] = layer.outputs;
    const add = wiring.follower(layer);
    const bias = add?.op === 'Add' && add.inputs[0] === value ? add.weights.operand : undefined;
    if (!add || !bias || layer.weights.bias) continue;
    const made = CONVOLUTIONS.has(layer.op)
      ? withBias(layer, bias, wiring.shape(value)?.length ?? 0)
      : asGemm(layer, bias, wiring.shape(layer.inputs[0])?.length);
    if (!made) continue;
    instead.set(layer, { ...made, outputs: add.outputs });
    instead.set(add, null);
    touched.push(layer.name, add.name);
  }
  const message = `${touched.length / 2} biases were taken into the convolutions and products that they are added to`;
  return { map: withLayers(map, instead), change: touched.length === 0 ? null : { transform: 'merge-bias', message, layers: touched } };
}

function withBias(layer: Layer, bias: Tensor, rank: number): Layer | null {
  const { kernel } = layer.weights;
  if (!kernel) return null;
  const channels = layer.op === 'Conv' ? kernel.shape[0]! : kernel.shape[1]! * (layer.attributes.group as number);
  // [channels, 1, 1], with or without an axis for the batch.
  const axis = bias.shape.length - (rank - 1);
  const isPerChannel = axis >= 0 && bias.shape.every((size, i) => size === (i === axis ? channels : 1)) && elementCount(bias.shape) === channels;
  return isPerChannel ? { ...layer, weights: { ...layer.weights, bias: reshape(bias, [channels]) } } : null;
}

function asGemm(layer: Layer, bias: Tensor, rank: number | undefined): Layer | null {
  const { kernel } = layer.weights;
  if (layer.op !== 'MatMul' || !kernel || kernel.shape.length !== 2 || layer.inputs.length !== 1 || rank !== 2) return null;
  const units = kernel.shape[1]!;
  if (elementCount(bias.shape) !== units || bias.shape.at(-1) !== units) return null;
  return makeLayer({ ...layer, op: 'Gemm', attributes: {}, weights: { kernel: permute(kernel, [1, 0]), bias: reshape(bias, [units]) } });
}
