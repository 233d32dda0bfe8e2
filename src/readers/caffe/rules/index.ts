/**
 * Rules by type of layer: BVLC's, and those of widespread forks whose meaning is the same wherever they come from.
 *
 * @see https://caffe.berkeleyvision.org/tutorial/layers.html and the layers' sources, where the documentation is silent
 */
import * as activations from './activations.js';
import * as arithmetic from './arithmetic.js';
import * as arrangement from './arrangement.js';
import * as normalisation from './normalisation.js';
import { pooling, spatialPyramid } from './pooling.js';
import * as products from './products.js';
import type { Rule } from './rule.js';

export type { Rule } from './rule.js';

export const RULES: Readonly<Record<string, Rule>> = {
  Convolution: products.convolution,
  DepthwiseConvolution: products.convolution,
  ConvolutionDepthwise: products.convolution,
  Deconvolution: products.convolution,
  InnerProduct: products.innerProduct,
  Embed: products.embed,
  Pooling: pooling,
  SPP: spatialPyramid,
  LRN: normalisation.lrn,
  BatchNorm: normalisation.batchNorm,
  BN: normalisation.bn,
  Scale: normalisation.scale,
  Bias: normalisation.bias,
  MVN: normalisation.meanVariance,
  Normalize: normalisation.normalize,
  ReLU: activations.relu,
  ReLU6: activations.relu6,
  PReLU: activations.prelu,
  ELU: activations.elu,
  Sigmoid: activations.sigmoid,
  TanH: activations.tanh,
  AbsVal: activations.absolute,
  BNLL: activations.bnll,
  Clip: activations.clip,
  Threshold: activations.threshold,
  Swish: activations.swish,
  HardSwish: activations.hardSwish,
  Mish: activations.mish,
  Power: activations.power,
  Exp: activations.exponential,
  Log: activations.logarithm,
  Softmax: activations.softmax,
  Eltwise: arithmetic.eltwise,
  Axpy: arithmetic.axpy,
  Reduction: arithmetic.reduction,
  ArgMax: arithmetic.argMax,
  Concat: arrangement.concat,
  Slice: arrangement.slice,
  Crop: arrangement.crop,
  Flatten: arrangement.flatten,
  Reshape: arrangement.reshapeLayer,
  Permute: arrangement.permute,
  Tile: arrangement.tile,
  ShuffleChannel: arrangement.shuffleChannel,
  Upsample: arrangement.upsample,
  Interp: arrangement.interpolate,
  Split: arrangement.split,
  Silence: arrangement.silence,
  Dropout: arrangement.dropout,
};

/** Types that BVLC does not have: what forks read for them beside their own message is not known. */
export const OF_FORKS: ReadonlySet<string> = new Set([
  'DepthwiseConvolution',
  'ConvolutionDepthwise',
  'BN',
  'Normalize',
  'ReLU6',
  'HardSwish',
  'Mish',
  'Axpy',
  'Permute',
  'ShuffleChannel',
  'Upsample',
  'Interp',
]);

/** Why some well-known types have no rule. */
export const DECLINED: Readonly<Record<string, string>> = {
  Im2col: 'it lays out windows for a product that Caffe does elsewhere',
  BatchReindex: 'it takes samples of a batch by numbers that come with the data',
  Filter: 'it leaves out samples of a batch by what another layer says',
  Parameter: 'it gives a stored blob that no input leads to',
  PriorBox:
    'it makes boxes, not predictions. End the net before its boxes are joined (--outputs with the layers before), and make them where the result is used',
  DetectionOutput: 'it chooses among boxes. End the net before it (--outputs with the layers before), and do that where the result is used',
  ROIPooling: 'it takes regions that other layers choose. End the net before it (--outputs with the layers before)',
  PSROIPooling: 'it takes regions that other layers choose. End the net before it (--outputs with the layers before)',
  RNN: 'recurrent layers are not translated',
  LSTM: 'recurrent layers are not translated',
  Proposal: 'it chooses among boxes. End the net before it (--outputs with the layers before), and do that where the result is used',
  HardSigmoid: 'forks disagree about what it computes',
};
