/** Padding in numbers, as PyTorch's modules want it: what TensorFlow's SAME comes to depends on the sizes that flow in. */
import type { Layer, LayerMap, Notice } from '../../model/layer-map.js';
import { inferShapes, padsInNumbers } from '../../model/ops/index.js';
import { portValueShape } from '../../model/ports.js';

const isSame = ({ attributes }: Layer) => String(attributes.auto_pad).startsWith('SAME');

/** The map with numbers wherever the sizes are known; layers over free sizes stay as they are. */
export function withPadsInNumbers(map: LayerMap): LayerMap {
  if (!map.layers.some(isSame)) return map;
  const shapes = inferShapes(map.layers, new Map(map.inputs.map((port) => [port.value, portValueShape(port)])));
  const layers = map.layers.map((layer) => {
    const pads = isSame(layer) && layer.op !== 'ConvTranspose' ? padsInNumbers(layer, shapes.get(layer.inputs[0]!)?.slice(2) ?? []) : null;
    return pads ? { ...layer, attributes: { ...layer.attributes, auto_pad: 'NOTSET', pads } } : layer;
  });
  return { ...map, layers };
}

/** Tells of padding that is right for one size of picture only. */
export function paddingNotices({ layers, inputs }: LayerMap): Notice[] {
  const bound = layers.filter((layer) => isSame(layer) && (layer.attributes.strides as readonly number[]).some((stride) => stride > 1));
  if (bound.length === 0) return [];
  const sizes = inputs.map((port) => portValueShape(port).slice(2).join(' x ')).join(', ');
  const message = `${bound.length} layers pad as TensorFlow does, which depends on the size of what flows in; the module has the numbers for an input of ${sizes} ("${bound[0]!.name}", ...)`;
  return [{ code: 'padding-in-numbers', message }];
}
