/** Collects what a report shows of weights: streamed, one at a time, from the source and from the file as it was read back. */
import type { LayerMap, ModelFile } from '../model/layer-map.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import { pairByName } from '../verify/weights.js';
import { widenWeight } from '../verify/written/widen.js';
import type { WrittenModel, WrittenWeight } from '../verify/written/written.js';
import type { Exhibits, HistogramPair, SampleExhibit } from './exhibits.js';
import { firstFilters } from './filters.js';
import { histogramPair, type WeightPair } from './histogram.js';

/** More would make a page that nobody reads. */
const MAX_HISTOGRAMS = 200;
/** A single value has no distribution. */
const MIN_VALUES = 2;

export interface WeightSides {
  readonly model: ModelFile;
  /** Null where weights were moved without looking at their wiring. */
  readonly map: LayerMap | null;
  /** Null where files of the format are not read back. */
  readonly written: WrittenModel | null;
}

export async function collectExhibits(
  sides: WeightSides,
  samples: readonly SampleExhibit[],
  onProgress?: (done: number, total: number) => void,
): Promise<Exhibits> {
  const pairs = weightPairs(sides).filter(({ source }) => elementCount(source.shape) >= MIN_VALUES);
  const shown = pairs.slice(0, MAX_HISTOGRAMS);
  const histograms: HistogramPair[] = [];
  for (const [i, pair] of shown.entries()) {
    onProgress?.(i, shown.length);
    histograms.push(await histogramPair(pair));
  }
  const { map, written } = sides;
  const filters = await (map && firstFilters(map, (layer) => written?.weight(layer, 'kernel')));
  return { samples, histograms, histogramsLeftOut: pairs.length - shown.length, filters };
}

/** By the layer map where the written file knows its layers; else, for files of named tensors, by the source's own names; else none. */
function weightPairs({ model, map, written }: WeightSides): WeightPair[] {
  const byLayer = (map?.layers ?? []).flatMap((layer) =>
    Object.entries(layer.weights).map(([role, source]) => pairOf(layer.name, role, source, written?.weight(layer, role))),
  );
  if (byLayer.some((pair) => pair.written)) return byLayer;
  const layers = new Map(model.tensors.map(({ layer, tensor }) => [tensor.name, layer]));
  const byName = pairByName(model, written?.tensors ?? []).pairs.map(({ source, stored }) =>
    pairOf(layers.get(source.name) ?? '', source.name, source, stored && { tensor: stored }),
  );
  return byName.some((pair) => pair.written) ? byName : [];
}

function pairOf(layer: string, role: string, source: Tensor, written: WrittenWeight | undefined): WeightPair {
  return { layer, role, source, written: written ? widenWeight(written) : null, writtenDType: written?.tensor.dtype ?? null };
}
