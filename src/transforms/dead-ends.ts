/** Removes what no output depends on: layers whose values nothing reads, and inputs that feed none of the layers that are left. */
import type { LayerMap } from '../model/layer-map.js';
import { valuesRead } from '../model/ops/index.js';
import { type Transformed, withoutUnread } from './wiring.js';

/** The same outputs from fewer layers. An input goes only where something else stays. */
export function removeDeadEnds(map: LayerMap): Transformed {
  const kept = withoutUnread(map.layers, map, () => true);
  const read = new Set([...map.outputs.map(({ value }) => value), ...kept.flatMap(valuesRead)]);
  const inputs = map.inputs.filter(({ value }) => read.has(value));
  const staying = new Set(kept);
  const gone = map.layers.filter((layer) => !staying.has(layer));
  const unread = map.inputs.filter((port) => !inputs.includes(port));
  if (gone.length === 0 && unread.length === 0) return { map, change: null };
  const parts = [
    ...(gone.length === 0 ? [] : [`${gone.length} of ${map.layers.length} layers`]),
    ...(unread.length === 0 ? [] : [`the ${unread.length === 1 ? 'input' : 'inputs'} ${unread.map(({ name }) => `"${name}"`).join(', ')}`]),
  ];
  const message = `no output depends on ${parts.join(' and ')}: left out`;
  return { map: { ...map, inputs, layers: kept }, change: { transform: 'dead-ends', message, layers: gone.map(({ name }) => name) } };
}
