import type { Tensor } from '../model/tensor.js';

/** How a weight is coded: value = step * (code - zero), with one pair for each group of values. */
export interface CodePlan {
  /** The first code and the last. */
  readonly range: readonly [low: number, high: number];
  /** One for each group. */
  readonly steps: Float32Array;
  /** The code of zero in each group; null: 0. */
  readonly zeros: ArrayLike<number> | null;
  /** Groups of one channel; 0 where all channels are one group. */
  readonly perChannel: number;
  /** In which of its channel's groups a place of the channel is. */
  readonly groupAt: (place: number) => number;
  readonly method: string;
  /** Values of codes, an element a byte, in steps that may be others than those above. */
  readonly widened: (codes: Tensor, steps: Float32Array) => Tensor;
  /** Whether a step is as small as the largest value lets it be, so that one may gain by holding that value at the last code. */
  readonly isTight: boolean;
}
