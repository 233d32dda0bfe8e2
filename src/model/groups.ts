/** Layers by the names that a source knows them by: one of its layers may be several of the map ('fc6' and 'fc6/Relu'). */
import type { Layer, LayerMap } from './layer-map.js';

/** The layers that a layer of the source became, in running order. */
export function layerGroup({ layers }: Pick<LayerMap, 'layers'>, name: string): Layer[] {
  return layers.filter((layer) => layer.name === name || layer.name.startsWith(`${name}/`));
}

/** Whether nothing outside of the group reads what its other layers make, so that the last one's value stands for all. */
export function isClosedGroup(group: readonly Layer[], { layers }: Pick<LayerMap, 'layers'>): boolean {
  const last = group.at(-1);
  const inner = new Set(group.filter((layer) => layer !== last).flatMap(({ outputs }) => outputs));
  const members = new Set(group);
  return last?.outputs.length === 1 && !layers.some((layer) => !members.has(layer) && layer.inputs.some((value) => inner.has(value)));
}
