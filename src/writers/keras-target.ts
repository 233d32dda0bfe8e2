/** A layers model for Keras itself, which has what TensorFlow.js lacks, and calls one thing by another name. */
import { LayersTarget } from './tfjs/layers-target.js';
import type { ConvolutionForm, FileValue } from './tfjs/target.js';

export class KerasTarget extends LayersTarget {
  /** Keras 3 takes no slash in the name of a layer. */
  protected override readonly separator = '_';

  readonly hasGroups = true;

  override hasDepthwise({ strides, dilations }: Pick<ConvolutionForm, 'strides' | 'dilations'>): boolean {
    // TensorFlow's depthwise convolution takes one stride for both axes, and none beside a dilation.
    const isDilated = dilations.some((dilation) => dilation !== 1);
    return strides.every((stride) => stride === strides[0]) && !(isDilated && strides[0] !== 1);
  }

  override unary(x: FileValue, op: string, attributes: Readonly<Record<string, number>>): FileValue {
    // 'hard_sigmoid' is x / 5 + 1/2 in Keras 2 and x / 6 + 1/2 in Keras 3.
    if (op === 'HardSigmoid') return this.hardSigmoid(x, attributes.alpha!, attributes.beta!);
    return super.unary(x, op, attributes);
  }

  override resize(x: FileValue, factors: readonly number[], mode: string, sampling: string): FileValue {
    if (mode === 'bilinear' && sampling === 'half-pixel' && factors.length === 2 && x.shape.length === 4) return this.enlarge(x, factors, 'bilinear');
    return super.resize(x, factors, mode, sampling);
  }
}
