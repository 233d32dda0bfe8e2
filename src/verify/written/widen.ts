/** The values that a stored weight stands for. */
import { dequantiseBlocks } from '../../model/block-codes.js';
import { turnedBlocks } from '../../model/block-form.js';
import { castTensor } from '../../model/cast.js';
import { DTYPE_BYTES, isFloatDType } from '../../model/dtype.js';
import { fromPalette } from '../../model/palette.js';
import { dequantiseAffine, dequantiseChannels } from '../../model/quantise.js';
import type { Tensor } from '../../model/tensor.js';
import type { WeightQuantisation, WrittenWeight } from './written.js';

/** Quantised integers turned back, and narrower floats widened, lazily, to the float32 that a runtime computes with; others as they are. */
export function widenWeight({ tensor, quantisation }: WrittenWeight): Tensor {
  if (!quantisation) return isFloatDType(tensor.dtype) && DTYPE_BYTES[tensor.dtype] < 4 ? castTensor(tensor, 'float32') : tensor;
  if (quantisation.kind === 'channels') return dequantiseChannels(tensor, quantisation.axis, quantisation.scales, quantisation.zeroPoints);
  if (quantisation.kind === 'blocks') return dequantiseBlocks(tensor, quantisation);
  if (quantisation.kind === 'palette') return fromPalette(tensor, quantisation.table);
  return dequantiseAffine(tensor, { dtype: tensor.dtype as 'uint8' | 'uint16', scale: quantisation.scale, min: quantisation.min });
}

/** That of a matrix whose two axes change places. */
export function turnedQuantisation(quantisation: WeightQuantisation): WeightQuantisation {
  if (quantisation.kind === 'blocks') return turnedBlocks(quantisation);
  return quantisation.kind === 'channels' ? { ...quantisation, axis: 1 - quantisation.axis } : quantisation;
}
