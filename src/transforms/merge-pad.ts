/** Takes padding with zeros into the convolutions that read it: they pad with zeros themselves. */
import type { Layer, LayerMap } from '../model/layer-map.js';
import { type Transformed, wiringOf, withLayers } from './wiring.js';

/** Only padding of spatial axes that adds and cuts nothing, and convolutions whose own padding is given in numbers. */
export function mergePads(map: LayerMap): Transformed {
  const wiring = wiringOf(map);
  const instead = new Map<Layer, Layer | null>();
  const touched: string[] = [];
  for (const layer of map.layers) {
    if (layer.op !== 'Pad') continue;
    const rank = wiring.shape(layer.inputs[0])?.length;
    const pads = rank === undefined ? null : spatialPads(layer, rank);
    const [value = ''] = layer.outputs;
    const readers = wiring.readers(value);
    const areAll = readers.every(
      ({ op, inputs, attributes }) => op === 'Conv' && inputs.indexOf(value) === 0 && !inputs.includes(value, 1) && attributes.auto_pad === 'NOTSET',
    );
    if (!pads || wiring.isNamed(value) || readers.length === 0 || !areAll) continue;
    for (const conv of readers) {
      const own = conv.attributes.pads as readonly number[];
      instead.set(conv, {
        ...conv,
        inputs: [layer.inputs[0]!, ...conv.inputs.slice(1)],
        attributes: { ...conv.attributes, pads: own.map((amount, i) => amount + pads[i]!) },
      });
    }
    instead.set(layer, null);
    touched.push(layer.name);
  }
  const message = `${touched.length} Pads were taken into the convolutions behind them`;
  return { map: withLayers(map, instead), change: touched.length === 0 ? null : { transform: 'merge-pad', message, layers: touched } };
}

/** [before..., after...] of the spatial axes; null where other axes are padded, something is cut off, or it is not zeros that are added. */
function spatialPads({ inputs, attributes }: Layer, rank: number): readonly number[] | null {
  const pads = attributes.pads as readonly number[] | undefined;
  if (pads?.length !== 2 * rank || inputs.length !== 1 || attributes.mode !== 'constant' || attributes.value !== 0) return null;
  const isSpatial = pads.every((amount, i) => (i % rank < 2 ? amount === 0 : amount >= 0));
  return isSpatial ? [...pads.slice(2, rank), ...pads.slice(rank + 2)] : null;
}
