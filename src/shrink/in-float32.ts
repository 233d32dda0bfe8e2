/**
 * A net that computes in half precision, made to compute in float32: codes are worked out of, and turned back into, float32, and no runtime computes in
 * 8 bits between layers of float16. What flows in and out stays as it was: writers put casts beside ports whose values are of another dtype.
 */
import { castTensor } from '../model/cast.js';
import type { DType } from '../model/dtype.js';
import type { Layer, LayerMap, Port } from '../model/layer-map.js';
import { operatorOf } from '../model/ops/index.js';
import type { Tensor } from '../model/tensor.js';

/** Layers that are kept as they came are of their own dtypes; a net with one in it stays as it is. */
export function inFloat32(map: LayerMap): LayerMap {
  if (map.layers.some(({ foreign }) => foreign)) return map;
  return { ...map, inputs: map.inputs.map(portWithin), layers: map.layers.map(wide) };
}

function portWithin(port: Port): Port {
  return isHalf(port.valueDType) ? { ...port, valueDType: 'float32' } : port;
}

function wide(layer: Layer): Layer {
  const weights: Record<string, Tensor> = {};
  for (const [role, tensor] of Object.entries(layer.weights))
    weights[role] = layer.op === 'Constant' && isHalf(tensor.dtype) ? castTensor(tensor, 'float32') : tensor;
  const specs = operatorOf(layer.op)?.attributes ?? {};
  const halves = Object.keys(layer.attributes).filter((name) => specs[name]?.isDType && isHalf(layer.attributes[name] as DType));
  return { ...layer, weights, attributes: { ...layer.attributes, ...Object.fromEntries(halves.map((name) => [name, 'float32'])) } };
}

function isHalf(dtype: DType | undefined): boolean {
  return dtype === 'float16' || dtype === 'bfloat16';
}
