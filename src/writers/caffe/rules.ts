/** The list of what is written for each operator. */
import { elementCount, float32Tensor, permute, reshape, type Tensor } from '../../model/tensor.js';
import { activations } from './activations.js';
import { arithmetic, normalisation } from './arithmetic.js';
import { arrangement } from './arrangement.js';
import { front, number, ORIGIN, type Rule } from './net.js';
import { weightsOf, windows } from './windows.js';

export const RULES: Readonly<Record<string, Rule>> = {
  ...windows,
  ...activations,
  ...arithmetic,
  ...normalisation,
  ...arrangement,
  Gemm: (layer, net) => {
    const settings = { num_output: layer.weights.kernel!.shape[0]!, bias_term: layer.weights.bias !== undefined };
    return net.add(layer, 'InnerProduct', { inner_product_param: settings }, weightsOf(layer, 'kernel', 'bias'));
  },
  MatMul: (layer, net) => {
    const { kernel } = layer.weights;
    const axis = net.shape(layer.inputs[0]!).length - 1;
    if (!kernel) return 'MatMul of two values that flow in; the matrices of Caffe are stored';
    if (kernel.shape.length !== 2 || axis < 1) return `MatMul with a kernel of the shape [${kernel.shape}] over the axis ${axis}`;
    const settings = { num_output: kernel.shape[1]!, bias_term: false, ...(axis === 1 ? {} : { axis }) };
    return net.add(layer, 'InnerProduct', { inner_product_param: settings }, [permute(kernel, [1, 0])]);
  },
  BatchNormalization: (layer, net) => {
    const { scale, bias, mean, variance } = layer.weights as Record<'scale' | 'bias' | 'mean' | 'variance', Tensor>;
    const statistics = [mean, variance, float32Tensor('factor', [1], [1], ORIGIN)];
    const top = net.before(layer, 'statistics', 'BatchNorm', { batch_norm_param: { use_global_stats: true, eps: number(layer, 'epsilon') } }, statistics, [
      net.blob(layer.inputs[0]!),
    ]);
    return net.add(layer, 'Scale', { scale_param: { axis: 1, bias_term: true } }, [scale, bias], [top]);
  },
  PRelu: (layer, net) => {
    const slope = layer.weights.slope!;
    const channels = net.shape(layer.inputs[0]!)[1];
    const count = elementCount(slope.shape);
    if (count !== 1 && (count !== channels || slope.shape[0] !== channels))
      return `PRelu with a slope of the shape [${slope.shape}]; Caffe has one for each channel`;
    return net.add(layer, 'PReLU', { prelu_param: { channel_shared: count === 1 } }, [reshape(slope, [count])]);
  },
  Softmax: (layer, net) => net.add(layer, 'Softmax', { softmax_param: { axis: front(number(layer, 'axis'), net.shape(layer.inputs[0]!).length) } }),
  LogSoftmax: (layer, net) => {
    const axis = front(number(layer, 'axis'), net.shape(layer.inputs[0]!).length);
    const bottoms = [net.blob(layer.inputs[0]!)];
    return net.add(layer, 'Log', {}, [], [net.before(layer, 'softmax', 'Softmax', { softmax_param: { axis } }, [], bottoms)]);
  },
  LRN: (layer, net) => {
    if (number(layer, 'size') % 2 === 0) return 'LRN of an even size; Caffe takes odd ones';
    return net.add(layer, 'LRN', {
      lrn_param: { local_size: number(layer, 'size'), alpha: number(layer, 'alpha'), beta: number(layer, 'beta'), k: number(layer, 'bias') },
    });
  },
};
