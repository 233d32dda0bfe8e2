/** Weights leave no trace of a softmax at the end of a net: where only they are known, the file that they are compared with says whether there is one. */
import type { LayerMap } from '../model/layer-map.js';
import { makeLayer } from '../model/ops/index.js';

/** A net known from its weights, with a softmax at its end where `other` has one there and it has none; null where there is nothing to assume. */
export function endedAs(map: LayerMap, other: LayerMap): LayerMap | null {
  const [port, ...more] = map.outputs;
  const isAssumed = (map.architecture?.assumed.length ?? 0) > 0;
  if (!port || more.length > 0 || other.outputs.length !== 1 || !isAssumed || hasSoftmax(map) || !hasSoftmax(other)) return null;
  if (port.shape.length !== 2 || port.shape[1] !== other.outputs[0]!.shape[1]) return null;
  const value = `${port.value}/softmax`;
  const layers = [...map.layers, makeLayer({ name: value, op: 'Softmax', inputs: [port.value], outputs: [value], attributes: { axis: 1 } })];
  return { ...map, layers, outputs: [{ ...port, value }] };
}

function hasSoftmax({ outputs, layers }: LayerMap): boolean {
  return layers.some((layer) => layer.op === 'Softmax' && layer.outputs.includes(outputs[0]?.value ?? ''));
}
