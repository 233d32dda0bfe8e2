/**
 * Keras's layer classes, each with its rule: what its configuration means, in ONNX operators.
 *
 * A rule first reads the configuration, noting every obstacle, and gives a function that makes the layer once its inputs are
 * known. A class that is not here is an obstacle; nothing is skipped but what is at rest in a prediction.
 */

import { elu, leakyRelu, parametricSoftplus, prelu, reluLayer, softmaxLayer, srelu, thresholdedRelu } from './activation-layers.js';
import { activationLayer } from './activation-setting.js';
import { categoryEncoding, discretization } from './categories.js';
import { convolution, depthwiseConvolution, separableConvolution, transposedConvolution } from './convolutions.js';
import { dense, embedding, layerScale, rescaling } from './dense.js';
import { dot } from './dot.js';
import { einsumDense } from './einsum.js';
import { deconvolution, highway, legacyMerge, maxoutDense } from './keras1.js';
import { locallyConnected } from './local.js';
import { masking } from './masking.js';
import { concatenate, merge, scaledSum, subtract } from './merge.js';
import {
  batchNormalization,
  groupNormalization,
  instanceNormalization,
  layerNormalization,
  normalization,
  rmsNormalization,
  unitNormalization,
} from './normalisation.js';
import { depthDropped, subPixels } from './others.js';
import { adaptivePooling, cropping, globalPooling, pooling, upSampling, zeroPadding } from './pooling.js';
import { bidirectional, recurrent } from './recurrent/index.js';
import { centerCrop, randomCrop, resizing } from './resizing.js';
import type { LayerClass, Rule } from './rule.js';
import { flatten, permuteLayer, repeatVector, reshapeLayer } from './shapes.js';

const one = (rule: Rule): LayerClass => ({ rule, inputs: 'one' });
/** Over a sequence; states to begin with may stand behind it. */
const sequence = (rule: Rule): LayerClass => ({ rule, inputs: 'sequence', also: ['initial_state'] });
const several = (rule: Rule): LayerClass => ({ rule, inputs: 'several' });
const spatial = (axes: number, rule: Rule): LayerClass => ({ rule, inputs: 'one', spatial: axes });

/** Layers that pass their input on in a prediction. */
const NOISE: readonly string[] = [
  // The dropout of the widespread EfficientNet package, for whose sake a fixed noise shape is written down.
  'FixedDropout',
  ...['Dropout', 'SpatialDropout1D', 'SpatialDropout2D', 'SpatialDropout3D', 'AlphaDropout', 'GaussianDropout', 'GaussianNoise'],
  'ActivityRegularization',
];

/** Layers that change pictures in training and pass them on in a prediction, whatever their settings. */
const AUGMENTATION: readonly string[] = [
  ...['RandomFlip', 'RandomRotation', 'RandomZoom', 'RandomTranslation', 'RandomHeight', 'RandomWidth', 'RandomShear', 'RandomPerspective'],
  ...['RandomContrast', 'RandomBrightness', 'RandomHue', 'RandomSaturation', 'RandomSharpness', 'RandomColorJitter', 'RandomColorDegeneration'],
  ...['RandomGrayscale', 'RandomInvert', 'RandomPosterization', 'RandomGaussianBlur', 'RandomErasing', 'RandomElasticTransform'],
  // Drops whole branches in training.
  'StochasticDepth',
  ...['AugMix', 'CutMix', 'MixUp', 'RandAugment', 'RandomApply', 'Solarization', 'MaxNumBoundingBoxes'],
];

/** Classes whose calls take place in training where nothing is said, which Keras 3 writes down with each. */
export const DEFAULTS_TO_TRAINING: ReadonlySet<string> = new Set([...AUGMENTATION, 'RandomCrop', 'CenterCrop', 'Resizing', 'Pipeline']);

/** Layers that are left out, and told. */
export const TRAINING_ONLY: ReadonlySet<string> = new Set([...NOISE, ...AUGMENTATION]);

const passOn: Rule =
  () =>
  ([input]) =>
    input!;

const augment: Rule = (config) => {
  config.ignoreAll();
  return passOn(config);
};

/** Layers that treat the steps of a sequence alike and leave them where they are, so that a mask goes on. */
const PASS_MASKS = new RegExp(
  `^(Dense|Activation|(Leaky|P|S|Thresholded)?ReLU|ParametricSoftplus|ELU|Identity|(Sync)?BatchNormalization(V[12])?|(Layer|Unit|RMS|Group|Instance)Normalization|Add|Subtract|Multiply|Average|Maximum|Minimum|Concatenate|Merge|${NOISE.join('|')})$`,
);

/** Layers that heed a mask in a way that is not translated. */
const HEED_MASKS = /^(Softmax|(MultiHead|GroupedQuery|Additive)?Attention)$/;

const RECURRENT: readonly string[] = ['LSTM', 'GRU', 'SimpleRNN', 'CuDNNLSTM', 'CuDNNGRU', 'RNN', 'ConvLSTM1D', 'ConvLSTM2D', 'ConvLSTM3D'];

/** Layers whose rules read a mask. */
const READ_MASKS = new RegExp(`^(GlobalAveragePooling1D|Bidirectional|Masking|${RECURRENT.join('|')})$`);

/** What becomes of a mask that flows into a layer: it goes on, the rule reads it, it ends the translation; or nothing heeds it, and it ends there. */
export function maskOf(className: string): 'passes' | 'read' | 'declined' | undefined {
  if (READ_MASKS.test(className)) return 'read';
  if (HEED_MASKS.test(className)) return 'declined';
  return PASS_MASKS.test(className) ? 'passes' : undefined;
}

export const LAYER_CLASSES: ReadonlyMap<string, LayerClass> = new Map(
  Object.entries({
    Conv1D: spatial(1, convolution(1)),
    Convolution1D: spatial(1, convolution(1)),
    AtrousConvolution1D: spatial(1, convolution(1)),
    Conv2D: spatial(2, convolution(2)),
    Convolution2D: spatial(2, convolution(2)),
    AtrousConvolution2D: spatial(2, convolution(2)),
    Conv3D: spatial(3, convolution(3)),
    Convolution3D: spatial(3, convolution(3)),
    DepthwiseConv1D: spatial(1, depthwiseConvolution(1)),
    DepthwiseConv2D: spatial(2, depthwiseConvolution(2)),
    SeparableConv1D: spatial(1, separableConvolution(1)),
    SeparableConvolution1D: spatial(1, separableConvolution(1)),
    SeparableConv2D: spatial(2, separableConvolution(2)),
    SeparableConvolution2D: spatial(2, separableConvolution(2)),
    Conv1DTranspose: spatial(1, transposedConvolution(1)),
    Convolution1DTranspose: spatial(1, transposedConvolution(1)),
    Conv2DTranspose: spatial(2, transposedConvolution(2)),
    Convolution2DTranspose: spatial(2, transposedConvolution(2)),
    Deconvolution2D: spatial(2, deconvolution),
    Conv3DTranspose: spatial(3, transposedConvolution(3)),
    Convolution3DTranspose: spatial(3, transposedConvolution(3)),
    MaxPooling1D: spatial(1, pooling('MaxPool', 1)),
    MaxPooling2D: spatial(2, pooling('MaxPool', 2)),
    MaxPooling3D: spatial(3, pooling('MaxPool', 3)),
    AveragePooling1D: spatial(1, pooling('AveragePool', 1)),
    AveragePooling2D: spatial(2, pooling('AveragePool', 2)),
    AveragePooling3D: spatial(3, pooling('AveragePool', 3)),
    GlobalMaxPooling1D: spatial(1, globalPooling('GlobalMaxPool', 1)),
    GlobalMaxPooling2D: spatial(2, globalPooling('GlobalMaxPool', 2)),
    GlobalMaxPooling3D: spatial(3, globalPooling('GlobalMaxPool', 3)),
    GlobalAveragePooling1D: spatial(1, globalPooling('GlobalAveragePool', 1)),
    GlobalAveragePooling2D: spatial(2, globalPooling('GlobalAveragePool', 2)),
    GlobalAveragePooling3D: spatial(3, globalPooling('GlobalAveragePool', 3)),
    ...Object.fromEntries(
      [1, 2, 3].flatMap((rank) => [
        [`AdaptiveAveragePooling${rank}D`, spatial(rank, adaptivePooling('AveragePool', rank))],
        [`AdaptiveMaxPooling${rank}D`, spatial(rank, adaptivePooling('MaxPool', rank))],
      ]),
    ),
    ZeroPadding1D: spatial(1, zeroPadding(1)),
    ZeroPadding2D: spatial(2, zeroPadding(2)),
    ZeroPadding3D: spatial(3, zeroPadding(3)),
    Cropping1D: spatial(1, cropping(1)),
    Cropping2D: spatial(2, cropping(2)),
    Cropping3D: spatial(3, cropping(3)),
    UpSampling1D: spatial(1, upSampling(1)),
    UpSampling2D: spatial(2, upSampling(2)),
    UpSampling3D: spatial(3, upSampling(3)),
    CenterCrop: spatial(2, centerCrop),
    Resizing: spatial(2, resizing),
    RandomCrop: spatial(2, randomCrop),
    Dense: one(dense),
    TimeDistributedDense: one(dense),
    MaxoutDense: one(maxoutDense),
    Highway: one(highway),
    EinsumDense: one(einsumDense),
    ...Object.fromEntries(RECURRENT.map((name) => [name, sequence(recurrent)])),
    Bidirectional: sequence(bidirectional),
    LayerScale: one(layerScale),
    CustomScaleLayer: { rule: scaledSum, inputs: 'two' },
    Embedding: one(embedding),
    Masking: one(masking),
    LocallyConnected1D: spatial(1, locallyConnected(1)),
    LocallyConnected2D: spatial(2, locallyConnected(2)),
    BatchNormalization: one(batchNormalization),
    BatchNormalizationV1: one(batchNormalization),
    BatchNormalizationV2: one(batchNormalization),
    SyncBatchNormalization: one(batchNormalization),
    LayerNormalization: one(layerNormalization),
    GroupNormalization: one(groupNormalization(32)),
    // TensorFlow Addons.
    'Addons>GroupNormalization': one(groupNormalization(32)),
    'Addons>InstanceNormalization': one(groupNormalization(-1)),
    // keras_contrib.
    InstanceNormalization: one(instanceNormalization),
    RMSNormalization: one(rmsNormalization),
    UnitNormalization: one(unitNormalization),
    Normalization: one(normalization),
    Rescaling: one(rescaling),
    RepeatVector: one(repeatVector),
    Activation: one(activationLayer),
    ReLU: one(reluLayer),
    LeakyReLU: one(leakyRelu),
    PReLU: one(prelu),
    SReLU: one(srelu),
    ParametricSoftplus: one(parametricSoftplus),
    ELU: one(elu),
    ThresholdedReLU: one(thresholdedRelu),
    Softmax: one(softmaxLayer),
    Flatten: one(flatten),
    Reshape: one(reshapeLayer),
    Permute: one(permuteLayer),
    Add: several(merge('Add')),
    Multiply: several(merge('Mul')),
    Average: several(merge('Average')),
    Maximum: several(merge('Max')),
    Minimum: several(merge('Min')),
    Concatenate: several(concatenate),
    Merge: several(legacyMerge),
    Subtract: { rule: subtract, inputs: 'two' },
    Dot: { rule: dot, inputs: 'two' },
    Discretization: one(discretization),
    CategoryEncoding: one(categoryEncoding),
    'Addons>StochasticDepth': { rule: depthDropped, inputs: 'two' },
    // keras_contrib.
    SubPixelUpscaling: spatial(2, subPixels),
    Identity: one(passOn),
    ...Object.fromEntries(NOISE.map((name) => [name, one(passOn)])),
    ...Object.fromEntries(AUGMENTATION.map((name) => [name, one(augment)])),
  } satisfies Record<string, LayerClass>),
);

/** Why a class that people do use has no rule; other unknown classes are called unknown. */
const WHY_NOT: Readonly<Record<string, string>> = {
  Lambda: 'it holds Python code, which is never run. Replace it by the layers that it stands for and save again.',
  RandomChoice: 'it picks layers at random in predictions too. Cut the model behind it, and feed what it makes.',
  ...Object.fromEntries(
    ['StringLookup', 'IntegerLookup', 'TextVectorization', 'Hashing', 'HashedCrossing', 'CategoryCrossing'].map((name) => [
      name,
      'it looks up, counts or sorts into classes what flows in, before the net. Cut the model behind it, and feed what it makes.',
    ]),
  ),
  ...Object.fromEntries(
    ['AutoContrast', 'Equalization', 'CLAHE', 'ContrastLimitedAdaptiveHistogramEqualization', 'RandomResizedCrop'].map((name) => [
      name,
      'it changes pictures in predictions too, before the net. Cut the model behind it, and feed what it makes.',
    ]),
  ),
  ...Object.fromEntries(
    ['MelSpectrogram', 'STFTSpectrogram'].map((name) => [
      name,
      'it takes sound apart into frequencies, before the net. Cut the model behind it, and feed what it makes.',
    ]),
  ),
  ...Object.fromEntries(
    ['TFSMLayer', 'JaxLayer', 'FlaxLayer', 'TorchModuleWrapper', 'KerasLayer'].map((name) => [
      name,
      'it calls a program of another framework, which is not in the file.',
    ]),
  ),
};

/** Says why a class cannot be translated. */
export function declineClass(className: string): string {
  const why = WHY_NOT[className] ?? 'the class is not known here.';
  return `a ${className} layer cannot be translated: ${why}`;
}
