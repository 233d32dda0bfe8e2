/** Measures the scales of weights that are stored as int8: the first of two passes over the source. */
import { isModelError } from '../../errors.js';
import type { Layer, LayerMap } from '../../model/layer-map.js';
import { channelScales } from '../../model/quantise.js';
import type { Tensor } from '../../model/tensor.js';
import { channelAxis } from '../large-weights.js';
import type { WriteOptions } from '../writer.js';
import { storageDType } from './storage.js';

/** A kernel's or table's scales along `axis`, which is counted in the layer map's orientation. */
export interface ChannelScales {
  readonly axis: number;
  readonly scales: Float32Array;
}

/** Finds what was measured; a weight that layers share is measured once for each axis. */
export interface MeasuredScales {
  of(layer: Layer, role: string): ChannelScales | undefined;
}

/**
 * Reads every weight that is to be quantised.
 *
 * @throws ModelError 'unsupported' naming layer and tensor where values are not finite
 */
export async function measureScales(map: LayerMap, options: WriteOptions): Promise<MeasuredScales> {
  const known = new Map<Tensor, ChannelScales[]>();
  const of = (layer: Layer, role: string) => known.get(layer.weights[role]!)?.find(({ axis }) => axis === channelAxis(layer, role));
  for (const layer of map.layers) {
    for (const [role, tensor] of Object.entries(layer.weights)) {
      const axis = channelAxis(layer, role);
      if (axis === null || storageDType(layer, role, options) !== 'int8' || of(layer, role)) continue;
      try {
        known.set(tensor, [...(known.get(tensor) ?? []), { axis, scales: await channelScales(tensor, axis) }]);
      } catch (error) {
        throw isModelError(error) ? error.at({ layer: layer.name }) : error;
      }
    }
  }
  return { of };
}
