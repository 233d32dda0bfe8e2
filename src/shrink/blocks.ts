/** Weights in codes of 4 bits, with a scale for each block along the axis that is summed over. */
import { type CodeRange, dequantiseBlocks, measureBlocks, measureFew, quantiseBlocks, quantiseFew } from '../model/block-codes.js';
import { dequantiseChannels } from '../model/quantise.js';
import type { Tensor } from '../model/tensor.js';
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

/**
 * The tensor that stands for a weight: float32 values that are codes times a scale, which the ONNX writer keeps as the codes.
 *
 * @param axis of the channels
 * @param wanted longest block
 */
export async function blockedWeight(tensor: Tensor, axis: number, range: CodeRange, wanted = DEFAULT_BLOCK): Promise<Tensor> {
  const along = blockAxis(axis);
  const size = tensor.shape.length > 1 ? blockFor(tensor.shape[along]!, wanted) : null;
  if (size === null) {
    const few = await measureFew(tensor, axis, range);
    return standIn(tensor, dequantiseChannels(quantiseFew(tensor, axis, few, range), axis, few.scales, few.zeroPoints), `${range} per channel`);
  }
  const codes = await measureBlocks(tensor, along, size, range);
  return standIn(tensor, dequantiseBlocks(quantiseBlocks(tensor, codes, range), codes), `${range} in blocks of ${size}`);
}
