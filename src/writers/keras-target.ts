/** A layers model for Keras itself, which has what TensorFlow.js lacks, and calls one thing by another name. */
import { kerasOrder } from './keras-order.js';
import { type KerasNode, LayersTarget } from './tfjs/layers-target.js';
import { type ConvolutionForm, type FileValue, inexpressible } from './tfjs/target.js';

export class KerasTarget extends LayersTarget {
  /** Keras 3 takes no slash in the name of a layer. */
  protected override readonly separator = '_';

  readonly hasGroups = true;

  protected override order(_nodes: readonly KerasNode[], inputs: readonly FileValue[], outputs: readonly FileValue[]): readonly KerasNode[] {
    return kerasOrder(inputs, outputs);
  }

  override hasDepthwise({ strides, dilations }: Pick<ConvolutionForm, 'strides' | 'dilations'>): boolean {
    // TensorFlow's depthwise convolution takes one stride for both axes, and none beside a dilation.
    const isDilated = dilations.some((dilation) => dilation !== 1);
    return strides.every((stride) => stride === strides[0]) && !(isDilated && strides[0] !== 1);
  }

  override unary(x: FileValue, op: string, attributes: Readonly<Record<string, number>>): FileValue {
    // 'hard_sigmoid' is x / 5 + 1/2 in Keras 2 and x / 6 + 1/2 in Keras 3.
    if (op === 'HardSigmoid') return this.hardSigmoid(x, attributes.alpha!, attributes.beta!);
    if (op === 'LeakyRelu' && attributes.alpha! < 0) throw inexpressible(`a slope of ${attributes.alpha}; those of Keras 3 are not negative`);
    if (op === 'ThresholdedRelu') return this.threshold(x, attributes.alpha!);
    return super.unary(x, op, attributes);
  }

  /** Keras 3 has no ThresholdedReLU; the threshold of a ReLU is the same one, and no negative number. */
  private threshold(x: FileValue, threshold: number): FileValue {
    if (threshold < 0) throw inexpressible(`a threshold of ${threshold}; those of Keras are not negative`);
    return this.add('ReLU', 'thresholded-relu', { max_value: null, negative_slope: 0, threshold }, [x], x.shape);
  }

  override resize(x: FileValue, factors: readonly number[], mode: string, sampling: string): FileValue {
    if (mode === 'bilinear' && sampling === 'half-pixel' && factors.length === 2 && x.shape.length === 4) return this.enlarge(x, factors, 'bilinear');
    return super.resize(x, factors, mode, sampling);
  }
}
