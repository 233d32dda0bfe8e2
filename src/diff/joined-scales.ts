/**
 * Batch normalisation that a format has in two layers, put together: Caffe normalises in one (BatchNorm) and scales in another (Scale), where
 * others do both in one. What is compared is the same then, in whatever format it came.
 */
import { toFloat64Array } from '../model/cast.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import { readersOf } from '../model/ops/index.js';
import { elementCount, reshape, type Tensor, tensorBytes } from '../model/tensor.js';

/** Longer ones are no factors of channels. */
const MAX_CHANNELS = 2 ** 20;

/** The map, with a normalisation that scales nothing and the factors behind it as one layer. */
export async function joinScales(map: LayerMap): Promise<LayerMap> {
  const readers = readersOf(map.layers);
  const shown = new Set(map.outputs.map(({ value }) => value));
  /** The only layer that reads what one makes, where it is of a kind and has a factor for each channel. */
  const next = (layer: Layer, op: string, channels: number): Layer | undefined => {
    const value = layer.outputs[0]!;
    const [reader, ...others] = readers.get(value) ?? [];
    return reader?.op === op && others.length === 0 && !shown.has(value) && isOfChannels(reader.weights.operand, channels) ? reader : undefined;
  };
  const gone = new Set<Layer>();
  const joined = new Map<Layer, Layer>();
  for (const layer of map.layers.filter(({ op }) => op === 'BatchNormalization')) {
    const { scale, bias } = layer.weights;
    if (!scale || !bias || elementCount(scale.shape) > MAX_CHANNELS) continue;
    const channels = elementCount(scale.shape);
    const by = next(layer, 'Mul', channels);
    if (!by || !(await isAll(scale, 1)) || !(await isAll(bias, 0))) continue;
    const and = next(by, 'Add', channels);
    const last = and ?? by;
    const factors = { scale: reshape(by.weights.operand!, [channels]), ...(and ? { bias: reshape(and.weights.operand!, [channels]) } : {}) };
    joined.set(last, { ...last, op: layer.op, inputs: layer.inputs, attributes: layer.attributes, weights: { ...layer.weights, ...factors } });
    for (const one of [layer, by]) if (one !== last) gone.add(one);
  }
  return joined.size === 0 ? map : { ...map, layers: map.layers.flatMap((layer) => (gone.has(layer) ? [] : [joined.get(layer) ?? layer])) };
}

/** Factors [channels, 1, 1] of a picture, channels first. */
function isOfChannels(operand: Tensor | undefined, channels: number): boolean {
  const shape = operand?.shape ?? [];
  const own = shape.length === 4 && shape[0] === 1 ? shape.slice(1) : shape;
  return own.length === 3 && own[0] === channels && own[1] === 1 && own[2] === 1;
}

async function isAll(tensor: Tensor, wanted: number): Promise<boolean> {
  return toFloat64Array(await tensorBytes(tensor), tensor.dtype).every((value) => value === wanted);
}
