/** Outputs that have each other's values: nothing inside of the net is wrong then, but which is called what. */
import type { LayerMap } from '../model/layer-map.js';
import { uniqueNames } from '../model/ports.js';
import { compareOutput, type Tolerance } from './compare.js';
import type { CauseReport } from './report.js';
import type { RunSample } from './samples.js';

/** @returns null where outputs that differ are not explained so by every sample */
export function exchangedOutputs(map: Pick<LayerMap, 'outputs' | 'layers'>, samples: readonly RunSample[], tolerance: Tolerance): CauseReport | null {
  const isAt = (wanted: number, found: number) =>
    samples.every((sample) => {
      const [a, b] = [sample.wanted[wanted], sample.found[found]];
      if (!a || !b || a.shape.join() !== b.shape.join()) return false;
      const comparison = compareOutput('', tolerance.each?.[wanted] ?? tolerance);
      comparison.add(a, b);
      return comparison.report().passed;
    });
  const differing = map.outputs.flatMap((_, place) => (isAt(place, place) ? [] : [place]));
  if (differing.length < 2) return null;
  const places: number[] = [];
  for (const place of differing) {
    const found = differing.find((other) => !places.includes(other) && isAt(place, other));
    if (found === undefined) return null;
    places.push(found);
  }
  const names = uniqueNames(map.outputs.map(({ name }) => name));
  const pairs = differing.map((place, i) => `"${names[places[i]!]}" has the values of "${names[place]}"`);
  const what = `outputs are exchanged: ${pairs.join(', ')}`;
  const maker = map.layers.find((layer) => layer.outputs.includes(map.outputs[differing[0]!]!.value));
  const layer = maker?.name ?? names[differing[0]!]!;
  return { layer, side: 'file', by: 'values', error: null, explainedBy: [{ kind: 'outputs-exchanged', what, layer, error: 0 }], tried: 1, message: what };
}
