/** The filters of the first convolution as pictures, in the source and as written. */
import type { Layer, LayerMap } from '../model/layer-map.js';
import { sliceAxis } from '../model/tensor.js';
import { toArray } from '../verify/array.js';
import { widenWeight } from '../verify/written/widen.js';
import type { WrittenWeight } from '../verify/written/written.js';
import type { FilterExhibit } from './exhibits.js';
import { filterScales, mosaicOf } from './picture.js';

const MAX_FILTERS = 128;
/** Larger filters are seldom looked at, and a hostile kernel could be of any size. */
const MAX_SIDE = 32;

/**
 * The first convolution, in running order, that looks at a picture of one or three channels.
 *
 * @param written gives a layer's kernel as written
 */
export async function firstFilters(map: LayerMap, written: (layer: Layer) => WrittenWeight | undefined): Promise<FilterExhibit | null> {
  const layer = map.layers.find(({ op }) => op === 'Conv');
  const kernel = layer?.weights.kernel;
  if (!layer || !kernel || kernel.shape.length !== 4) return null;
  const [count, channels, height, width] = kernel.shape as [number, number, number, number];
  if ((channels !== 1 && channels !== 3) || height > MAX_SIDE || width > MAX_SIDE || height * width < 4) return null;
  const shown = Math.min(count, MAX_FILTERS);
  const source = await toArray(sliceAxis(kernel, 0, 0, shown));
  const stored = written(layer);
  const other = stored?.tensor.shape.join() === kernel.shape.join() ? widenWeight(stored) : null;
  const scales = filterScales(source);
  return {
    layer: layer.name,
    count,
    shown,
    channels,
    source: mosaicOf(source, shown, scales),
    written: other ? mosaicOf(await toArray(sliceAxis(other, 0, 0, shown)), shown, scales) : null,
  };
}
