/** Which weights hold nearly all bytes of a net: those are narrowed and quantised, the others are small and keep their precision. */
import type { Layer } from '../model/layer-map.js';
import { operatorOf } from '../model/ops/index.js';
import { elementCount } from '../model/tensor.js';

/** Whether the layer's weights are multiplied with what flows through, or looked up, rather than added or normalised with. */
export function isLargeLayer({ op }: Layer): boolean {
  return operatorOf(op)?.narrow !== undefined;
}

/**
 * The axis along which a kernel or table has a scale of its own for each place.
 *
 * @returns null for weights that are not quantised: biases, statistics, and those without elements
 */
export function channelAxis(layer: Layer, role: string): number | null {
  const weight = layer.weights[role];
  const axis = operatorOf(layer.op)?.narrow?.[role];
  if (!weight || axis === undefined || elementCount(weight.shape) === 0) return null;
  return axis < 0 ? weight.shape.length + axis : axis;
}
