/** What rounding to whole numbers loses, measured while the weight is streamed. */
import type { AffineQuantisation } from '../../model/quantise.js';
import { isPlaced, type Tensor } from '../../model/tensor.js';

/** Sums of squares over all values. */
export interface LossTally {
  /** Of the differences. */
  loss: number;
  /** Of the values. */
  energy: number;
}

export function newLossTally(): LossTally {
  return { loss: 0, energy: 0 };
}

/** @param tensor what `quantiseAffine` gave: its last stage takes float32 and leaves it as it was */
export function measuringLoss(tensor: Tensor, { dtype, scale, min }: AffineQuantisation, tally: LossTally): Tensor {
  const last = tensor.stages.at(-1);
  if (!last || isPlaced(last)) return tensor;
  const apply = (input: Uint8Array) => {
    const output = last.apply(input);
    const values = new Float32Array(input.buffer, input.byteOffset, input.byteLength / 4);
    const codes = dtype === 'uint8' ? output : new Uint16Array(output.buffer, output.byteOffset, output.byteLength / 2);
    let [loss, energy] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      const value = values[i]!;
      const difference = min + scale * codes[i]! - value;
      loss += difference * difference;
      energy += value * value;
    }
    tally.loss += loss;
    tally.energy += energy;
    return output;
  };
  return { ...tensor, stages: [...tensor.stages.slice(0, -1), { dtype: last.dtype, apply }] };
}
