/** Weights in codes of 4 bits, with a scale for each block along the axis that is summed over. */
import { CODE_RANGES, type CodeRange, dequantiseBlocks, measureBlocks, measureFew, quantiseBlocks, quantiseFew } from '../model/block-codes.js';
import type { BlockCodes } from '../model/block-form.js';
import { withBits } from '../model/packing.js';
import { dequantiseChannels } from '../model/quantise.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import type { CodePlan } from './code-plan.js';
import { standIn } from './stand-in.js';

export const DEFAULT_BLOCK = 32;
/** Shorter blocks are mostly scales; where none longer fits, a scale is for a whole channel. */
export const LEAST_BLOCK = 16;

/** Where blocks lie: along the input axis, the one before or behind that of the channels. */
export function blockAxis(channelAxis: number): number {
  return channelAxis === 0 ? 1 : channelAxis - 1;
}

/** The longest block that divides the axis and is not longer than asked for; null where only short ones do. */
export function blockFor(length: number, wanted: number): number | null {
  for (let size = Math.min(wanted, length); size >= Math.min(LEAST_BLOCK, wanted); size--) if (length % size === 0) return size;
  return null;
}

/** Codes of 4 bits, an element a byte, and what they are widened with. */
interface Blocked {
  readonly plan: CodePlan;
  readonly codes: Tensor;
}

async function blocked(tensor: Tensor, axis: number, range: CodeRange, wanted: number): Promise<Blocked> {
  const along = blockAxis(axis);
  const size = tensor.shape.length > 1 ? blockFor(tensor.shape[along]!, wanted) : null;
  if (size === null) {
    const few = await measureFew(tensor, axis, range);
    const widened = (codes: Tensor, steps: Float32Array) => dequantiseChannels(codes, axis, steps, few.zeroPoints);
    const plan = { ...planOf(range, few), perChannel: 1, groupAt: () => 0, method: `${range} per channel`, widened };
    return { plan, codes: quantiseFew(tensor, axis, few, range) };
  }
  const found = await measureBlocks(tensor, along, size, range);
  const widened = (codes: Tensor, steps: Float32Array) => dequantiseBlocks(codes, { ...found, scales: steps });
  // Along the input axis a channel's values have others of the window between them.
  const inner = elementCount(tensor.shape.slice(axis === 0 ? 2 : axis + 1));
  const groupAt = (place: number) => Math.floor(Math.floor(place / inner) / size) * inner + (place % inner);
  const perChannel = found.scales.length / tensor.shape[axis]!;
  return {
    plan: { ...planOf(range, found), perChannel, groupAt, method: `${range} in blocks of ${size}`, widened },
    codes: quantiseBlocks(tensor, found, range),
  };
}

function planOf(range: CodeRange, { scales, zeroPoints }: Pick<BlockCodes, 'scales' | 'zeroPoints'>) {
  return { range: CODE_RANGES[range], steps: scales, zeros: zeroPoints ?? null, isTight: true };
}

/** @param tensor kernel, channels first */
export async function planBlocks(tensor: Tensor, range: CodeRange, wanted = DEFAULT_BLOCK): Promise<CodePlan> {
  const { plan } = await blocked(tensor, 0, range, wanted);
  return { ...plan, widened: (codes, steps) => plan.widened(withBits(codes, 4), steps) };
}

/**
 * The tensor that stands for a weight: float32 values that are codes times a scale, which the ONNX writer keeps as the codes.
 *
 * @param axis of the channels
 * @param wanted longest block
 */
export async function blockedWeight(tensor: Tensor, axis: number, range: CodeRange, wanted = DEFAULT_BLOCK): Promise<Tensor> {
  const { plan, codes } = await blocked(tensor, axis, range, wanted);
  return standIn(tensor, plan.widened(codes, plan.steps), plan.method);
}
