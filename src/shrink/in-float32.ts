/**
 * A net that computes in doubles or in half precision, made to compute in float32: codes are worked out of, and turned back into, float32, and no runtime
 * computes in 8 bits between layers of other floats. What flows in and out stays as it was: writers put casts beside ports whose values are of another dtype.
 */
import { floatsAs32, layerInFloat32 } from '../model/in-float32.js';
import type { LayerMap, Port } from '../model/layer-map.js';

/** Layers that are kept as they came are of their own dtypes; a net with one in it stays as it is. */
export function inFloat32(map: LayerMap): LayerMap {
  if (map.layers.some(({ foreign }) => foreign)) return map;
  return { ...map, inputs: map.inputs.map(portWithin), layers: map.layers.map(layerInFloat32) };
}

function portWithin(port: Port): Port {
  return port.valueDType ? { ...port, valueDType: floatsAs32(port.valueDType) } : port;
}
