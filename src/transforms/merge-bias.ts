/**
 * Takes a bias into the layer that it is added to: a convolution and an Add of one number for each channel become a convolution with a
 * bias, a product of rows with a matrix and an Add become a Gemm. Graphs of TensorFlow keep the two apart.
 *
 * Only where nothing else reads what lies between, and where the Add keeps the shape.
 */
import type { Layer, LayerMap } from '../model/layer-map.js';
import { inferMap, makeLayer, valuesRead } from '../model/ops/index.js';
import { elementCount, permute, reshape, type Tensor } from '../model/tensor.js';

const CONVOLUTIONS: ReadonlySet<string> = new Set(['Conv', 'ConvTranspose']);

/** The same net with fewer Adds. The merged layer bears the name of the convolution or product, and makes the value of the Add. */
export function mergeBias(map: LayerMap): LayerMap {
  const readers = new Map<string, Layer[]>();
  for (const layer of map.layers) for (const value of valuesRead(layer)) readers.set(value, [...(readers.get(value) ?? []), layer]);
  const shown = new Set(map.outputs.map(({ value }) => value));
  const types = inferMap(map);
  const merged = new Map<Layer, Layer>();
  const gone = new Set<Layer>();
  for (const layer of map.layers) {
    const [value] = layer.outputs;
    const [add, ...others] = readers.get(value!) ?? [];
    const isAlone = add?.op === 'Add' && others.length === 0 && layer.outputs.length === 1 && !shown.has(value!) && add.inputs[0] === value;
    const bias = isAlone ? add.weights.operand : undefined;
    if (!add || !bias || layer.weights.bias) continue;
    const made = CONVOLUTIONS.has(layer.op)
      ? withBias(layer, bias, types.get(value!)?.shape?.length ?? 0)
      : asGemm(layer, bias, types.get(layer.inputs[0] ?? '')?.shape?.length);
    if (!made) continue;
    merged.set(layer, { ...made, outputs: add.outputs });
    gone.add(add);
  }
  return { ...map, layers: map.layers.flatMap((layer) => (gone.has(layer) ? [] : [merged.get(layer) ?? layer])) };
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
