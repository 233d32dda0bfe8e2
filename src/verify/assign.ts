/** Which port is which, where names, order and shapes leave it open: found by trying which assignment agrees. */
import type { LayerMap } from '../model/layer-map.js';
import type { Tolerance } from './compare.js';
import { compareOutputs } from './outputs.js';
import type { Actual, Arrays, Feeds, Places } from './side.js';

/**
 * Gives the file's ports the places under which it makes what is expected of one input; leaves them in order where none does.
 *
 * @returns what was assumed, in a sentence; null where nothing had to be
 */
export async function assignPorts(map: LayerMap, actual: Actual, first: { feeds: Feeds; wanted: Arrays }, tolerance: Tolerance): Promise<string | null> {
  const { inputs, outputs } = actual.aligned;
  const given: Places = { inputs: inputs.places, outputs: outputs.places };
  for (const inputPlaces of [inputs.places, ...inputs.others]) {
    for (const outputPlaces of [outputs.places, ...outputs.others]) {
      const places = { inputs: inputPlaces, outputs: outputPlaces };
      actual.assign(places);
      const comparison = compareOutputs(map, tolerance);
      comparison.add(first.wanted, await actual.run(first.feeds));
      if (!comparison.report().outputs.every(({ passed, compared }) => passed && compared > 0)) continue;
      return sentence(map, actual, places);
    }
  }
  actual.assign(given);
  return null;
}

function sentence(map: LayerMap, actual: Actual, places: Places): string {
  const pairs = (what: 'inputs' | 'outputs') =>
    actual.aligned[what].others.length === 0 ? [] : map[what].map(({ name }, i) => `"${name}" is "${actual[what][places[what][i] ?? -1]?.name}"`);
  return `names do not say which port is which; the assignment that agrees was taken: ${[...pairs('inputs'), ...pairs('outputs')].join(', ')}`;
}
