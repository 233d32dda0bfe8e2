/** Layers that multiply with a stored matrix: convolutions, inner products, tables. */
import { permute, reshape, type Tensor } from '../../../model/tensor.js';
import type { CaffeBuilder } from '../builder.js';
import type { Params } from '../params.js';
import type { CaffeLayer } from '../topology.js';
import { ANY, type Rule } from './rule.js';
import { readWindow, spatial } from './window.js';

/** Kernel and bias are shared by as many inputs as there are. */
export const convolution: Rule = {
  block: 'convolution_param',
  bottoms: [1, ANY],
  tops: [1, ANY],
  build(builder, layer, params) {
    const shape = builder.inputShape(layer);
    const rank = shape.length;
    if (builder.axis(layer, params.number('axis', 1)) !== 1) throw builder.unsupported(layer, 'a convolution along another axis than the channels');
    if (rank < 3) throw builder.unsupported(layer, `a convolution over an input of shape [${shape}], which has no spatial axes`);
    if (layer.tops.length !== layer.bottoms.length) throw builder.malformed(layer, `${layer.bottoms.length} bottoms and ${layer.tops.length} tops`);
    const { kernel, stride, pad } = readWindow(builder, layer, params, rank - 2);
    const [asDilation, asHoles] = ['dilation', 'hole'].map((name) => [name, `${name}_h`, `${name}_w`].some((field) => params.has(field)));
    if (asDilation && asHoles) throw builder.malformed(layer, 'dilation and hole are given, which are the same');
    const dilation = spatial(builder, layer, params, asHoles ? 'hole' : 'dilation', rank - 2, 1);
    if (dilation.includes(0)) throw builder.malformed(layer, `dilation [${dilation}] must be at least 1`);
    const channels = builder.size(layer, shape[1], 'a convolution over channels whose number is not known');
    const out = outputsOf(builder, layer, params);
    const group = groupsOf(builder, layer, params, channels);
    if (group < 1 || channels % group !== 0 || out % group !== 0)
      throw builder.malformed(layer, `${channels} channels and ${out} outputs do not divide into ${group} groups`);
    const transposed = layer.type === 'Deconvolution';
    const weights = kernelAndBias(builder, layer, params, transposed ? [channels, out / group, ...kernel] : [out, channels / group, ...kernel], out);
    const attributes = { kernel_shape: kernel, strides: stride, pads: [...pad, ...pad], dilations: dilation, group };
    layer.bottoms.forEach((_, i) => {
      const found = builder.inputShape(layer, i);
      if (found.length !== rank || found[1] !== channels) throw builder.malformed(layer, `its inputs have the shapes [${shape}] and [${found}]`);
      const name = layer.bottoms.length === 1 ? layer.name : `${layer.name}/${layer.tops[i]}`;
      builder.output(layer, builder.add(layer, name, transposed ? 'ConvTranspose' : 'Conv', [builder.input(layer, i)], { weights, attributes }), i);
    });
  },
};

/** In types of forks that are called depthwise every channel is a group of its own, whether or not the prototxt says so. */
function groupsOf(builder: CaffeBuilder, layer: CaffeLayer, params: Params, channels: number): number {
  const group = params.number('group', 1);
  if (layer.type !== 'DepthwiseConvolution' && layer.type !== 'ConvolutionDepthwise') return group;
  if (group !== 1 && group !== channels) throw builder.malformed(layer, `${layer.type} of ${channels} channels in ${group} groups`);
  return channels;
}

export const innerProduct: Rule = {
  block: 'inner_product_param',
  build(builder, layer, params) {
    const axis = builder.axis(layer, params.number('axis', 1));
    const shape = builder.inputShape(layer);
    const out = outputsOf(builder, layer, params);
    if (axis === 0) throw builder.unsupported(layer, 'an inner product with axis 0, which makes one vector of all samples of a batch');
    const features = shape
      .slice(axis)
      .reduce<number>((product, size) => product * builder.size(layer, size, 'an inner product over features whose number is not known'), 1);
    const isTransposed = params.flag('transpose', false);
    const weights = kernelAndBias(builder, layer, params, isTransposed ? [features, out] : [out, features], out);
    if (axis === 1) {
      const input = shape.length === 2 ? builder.input(layer) : builder.add(layer, `${layer.name}/flatten`, 'Flatten', [builder.input(layer)]);
      const kernel = isTransposed ? permute(weights.kernel!, [1, 0]) : weights.kernel!;
      builder.output(layer, builder.add(layer, layer.name, 'Gemm', [input], { weights: { ...weights, kernel } }));
      return;
    }
    // The axes before it stay.
    const { bias } = weights;
    const input =
      axis === shape.length - 1
        ? builder.input(layer)
        : builder.reshape(layer, `${layer.name}/flatten`, builder.input(layer), [...shape.slice(0, axis), features]);
    const kernel = isTransposed ? weights.kernel! : permute(weights.kernel!, [1, 0]);
    const product = builder.add(layer, bias ? `${layer.name}/product` : layer.name, 'MatMul', [input], { weights: { kernel } });
    builder.output(layer, bias ? builder.add(layer, layer.name, 'Add', [product], { weights: { operand: bias } }) : product);
  },
};

/** A row of a table for each number. */
export const embed: Rule = {
  block: 'embed_param',
  build(builder, layer, params) {
    const out = outputsOf(builder, layer, params);
    const weights = kernelAndBias(builder, layer, params, [params.number('input_dim', 0), out], out);
    const rows = builder.add(layer, weights.bias ? `${layer.name}/rows` : layer.name, 'Gather', [builder.input(layer)], {
      weights: { table: weights.kernel! },
    });
    builder.output(layer, weights.bias ? builder.add(layer, layer.name, 'Add', [rows], { weights: { operand: weights.bias } }) : rows);
  },
};

function outputsOf(builder: CaffeBuilder, layer: CaffeLayer, params: Params): number {
  const out = params.number('num_output', 0);
  if (out < 1) throw builder.malformed(layer, `${layer.type} has no num_output`);
  return out;
}

function kernelAndBias(builder: CaffeBuilder, layer: CaffeLayer, params: Params, shape: readonly number[], out: number): Record<string, Tensor> {
  const kernel = builder.weights.blob(layer, 0, 'kernel', shape, params.child('weight_filler'));
  const biasFiller = params.child('bias_filler');
  if (!params.flag('bias_term', true)) return { kernel };
  return { kernel, bias: reshape(builder.weights.blob(layer, 1, 'bias', [out], biasFiller), [out]) };
}
