/** Weights leave no trace of a softmax at the end of a net: where only they are known, the file that they are compared with says whether there is one. */
import type { LayerMap } from '../model/layer-map.js';
import { makeLayer } from '../model/ops/index.js';

/** Whether a softmax may stand at the end of a net that has none: it is known from its weights, and has one list of numbers for each picture. */
export function mayBeEnded(map: LayerMap): boolean {
  const isAssumed = (map.architecture?.assumed.length ?? 0) > 0;
  return isAssumed && map.outputs.length === 1 && map.outputs[0]!.shape.length === 2 && !hasSoftmax(map);
}

/** Such a net with the softmax that `other` has there; null where there is nothing to assume. */
export function endedAs(map: LayerMap, other: LayerMap): LayerMap | null {
  const [port] = map.outputs;
  if (!port || !mayBeEnded(map) || other.outputs.length !== 1 || !hasSoftmax(other) || port.shape[1] !== other.outputs[0]!.shape[1]) return null;
  const value = `${port.value}/softmax`;
  const layers = [...map.layers, makeLayer({ name: value, op: 'Softmax', inputs: [port.value], outputs: [value], attributes: { axis: 1 } })];
  return { ...map, layers, outputs: [{ ...port, value }] };
}

function hasSoftmax({ outputs, layers }: LayerMap): boolean {
  return layers.some((layer) => layer.op === 'Softmax' && layer.outputs.includes(outputs[0]?.value ?? ''));
}
