/** Which weights hold nearly all bytes of a net: those are narrowed and quantised, the others are small and keep their precision. */
import type { Layer } from '../model/layer-map.js';
import { elementCount } from '../model/tensor.js';

/** Axis of the output channel of each operator's kernel, counted from the back where negative; a table's rows stand for themselves. */
const CHANNEL_AXIS: Readonly<Record<string, number>> = { Conv: 0, ConvTranspose: 1, Gemm: 0, MatMul: -1, Gather: 0 };

/** Whether the layer's weights are multiplied with what flows through, or looked up, rather than added or normalised with. */
export function isLargeLayer({ op }: Layer): boolean {
  return Object.hasOwn(CHANNEL_AXIS, op);
}

/**
 * The axis along which a kernel or table has a scale of its own for each place.
 *
 * @returns null for weights that are not quantised: biases, statistics, and those without elements
 */
export function channelAxis(layer: Layer, role: string): number | null {
  const weight = layer.weights[role];
  if (!weight || !isLargeLayer(layer) || !['kernel', 'table'].includes(role) || elementCount(weight.shape) === 0) return null;
  const axis = CHANNEL_AXIS[layer.op]!;
  return axis < 0 ? weight.shape.length + axis : axis;
}
