/** What flows through a net on inputs that mean something: for each value that is asked for, how it is distributed. One run after the other. */
import { ModelError } from '../errors.js';
import type { LayerMap } from '../model/layer-map.js';
import type { GivenInputs } from '../verify/feeds.js';
import { runLayers } from '../verify/reference/session.js';
import { RangeHistogram } from './ranges.js';

/**
 * @param runs of the inputs that are looked at
 * @throws ModelError 'unsupported' naming the layer that reads values which are not finite
 */
export async function seenValues(
  map: LayerMap,
  values: Iterable<string>,
  inputs: GivenInputs,
  runs: readonly number[],
  onProgress?: (done: number, total: number) => void,
): Promise<ReadonlyMap<string, RangeHistogram>> {
  const seen = new Map([...values].map((value) => [value, new RangeHistogram()]));
  for (const [done, run] of runs.entries()) {
    const looked = new Set<string>();
    await runLayers(map, inputs.sample(run), () => {}, {
      precision: 'float32',
      read(layer, read) {
        for (const [i, value] of layer.inputs.entries()) {
          const histogram = seen.get(value);
          if (!histogram || looked.has(value) || !read[i]) continue;
          looked.add(value);
          histogram.add(read[i].data);
          if (histogram.nonFinite > 0)
            throw new ModelError('unsupported', 'reads values that are NaN or infinite on the given inputs, which codes cannot hold', { layer: layer.name });
        }
        return read;
      },
    });
    onProgress?.(done + 1, runs.length);
  }
  return seen;
}
