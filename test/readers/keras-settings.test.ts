/** Every setting that Keras writes is known, class by class; a planted one is named. */
import { describe, expect, test } from 'vitest';
import type { ModelError } from '../../src/errors.js';
import { parseModelConfig } from '../../src/readers/keras/config.js';
import { ConfigView } from '../../src/readers/keras/config-view.js';
import { readOperation } from '../../src/readers/keras/operations/index.js';
import { LAYER_CLASSES, TRAINING_ONLY } from '../../src/readers/keras/rules.js';

const initializer = (class_name: string) => ({ module: 'keras.initializers', class_name, config: { seed: null }, registered_name: null });
const policy = (name: string) => ({ module: 'keras', class_name: 'DTypePolicy', config: { name }, registered_name: null });

const weights = (...roles: string[]) =>
  Object.fromEntries(
    roles.flatMap((role) => [
      [`${role}_initializer`, initializer('GlorotUniform')],
      [`${role}_regularizer`, { class_name: 'L2', config: { l2: 0.01 } }],
      [`${role}_constraint`, null],
    ]),
  );

/** What every layer of a Keras says of itself. */
const TF_KERAS = { name: 'one', trainable: true, dtype: 'float32', batch_input_shape: [null, 8, 8, 3] };
const KERAS3 = { name: 'one', trainable: true, dtype: policy('float32') };
const KERAS1 = { name: 'one', trainable: true, input_dtype: 'float32', batch_input_shape: [null, 3, 8, 8] };

const conv = (rank: number) => ({
  filters: 4,
  kernel_size: new Array(rank).fill(3),
  strides: new Array(rank).fill(1),
  padding: 'valid',
  data_format: 'channels_last',
  dilation_rate: new Array(rank).fill(1),
  groups: 1,
  activation: 'linear',
  use_bias: true,
  activity_regularizer: { class_name: 'L1L2', config: { l1: 0.1, l2: 0.2 } },
});
const without = (config: object, ...keys: string[]) => Object.fromEntries(Object.entries(config).filter(([key]) => !keys.includes(key)));
const pool = (rank: number) => ({ pool_size: new Array(rank).fill(2), padding: 'valid', strides: new Array(rank).fill(2), data_format: 'channels_last' });
const batchNorm = {
  axis: [3],
  momentum: 0.99,
  epsilon: 0.001,
  center: true,
  scale: true,
  ...weights('beta', 'gamma'),
  moving_mean_initializer: initializer('Zeros'),
  moving_variance_initializer: initializer('Ones'),
};
const recurrent = (kind: 'LSTM' | 'GRU' | 'SimpleRNN') => ({
  ...{ units: 3, return_sequences: true, return_state: false, go_backwards: false, stateful: false, unroll: false },
  ...{ activation: 'tanh', use_bias: true, dropout: 0.1, recurrent_dropout: 0.1, activity_regularizer: null },
  ...(kind === 'SimpleRNN' ? {} : { recurrent_activation: 'sigmoid' }),
  ...(kind === 'LSTM' ? { unit_forget_bias: true } : {}),
  ...weights('kernel', 'recurrent', 'bias'),
});
/** What a layer says beyond its cell. */
const OF_LAYERS = ['return_sequences', 'return_state', 'go_backwards', 'stateful', 'unroll', 'activity_regularizer'];
const keras1Recurrent = (kind: 'LSTM' | 'GRU' | 'SimpleRNN') => ({
  ...{ output_dim: 3, init: 'glorot_uniform', inner_init: 'orthogonal', activation: 'tanh', return_sequences: false, go_backwards: false, stateful: false },
  ...{ unroll: false, consume_less: 'cpu', input_dim: 4, input_length: null, dropout_W: 0.1, dropout_U: 0.1 },
  ...{ W_regularizer: null, U_regularizer: null, b_regularizer: null },
  ...(kind === 'SimpleRNN' ? {} : { inner_activation: 'hard_sigmoid' }),
  ...(kind === 'LSTM' ? { forget_bias_init: 'one' } : {}),
});
const inKeras3 = (class_name: string, config: object) => ({
  module: 'keras.layers',
  class_name,
  config: { ...KERAS3, ...config },
  registered_name: null,
  build_config: { input_shape: [null, 5, 4] },
});
const keras1Conv = {
  init: 'glorot_uniform',
  activation: 'relu',
  weights: null,
  border_mode: 'same',
  W_regularizer: null,
  b_regularizer: { name: 'WeightRegularizer', l1: 0, l2: 0.1 },
  activity_regularizer: null,
  W_constraint: null,
  b_constraint: null,
  bias: true,
};

/** Configurations as `get_config` of each Keras gives them. */
const WRITTEN: readonly (readonly [className: string, dialect: string, config: object])[] = [
  ...[1, 2, 3].flatMap((rank): (readonly [string, string, object])[] => [
    [`Conv${rank}D`, 'tf.keras', { ...TF_KERAS, ...conv(rank), ...weights('kernel', 'bias') }],
    [`Conv${rank}D`, 'Keras 3', { ...KERAS3, ...conv(rank), ...weights('kernel', 'bias'), lora_rank: null, quantization_config: null }],
    [`Conv${rank}DTranspose`, 'tf.keras', { ...TF_KERAS, ...conv(rank), ...weights('kernel', 'bias'), output_padding: null }],
    [`Conv${rank}DTranspose`, 'Keras 3', { ...KERAS3, ...without(conv(rank), 'groups'), ...weights('kernel', 'bias'), output_padding: null }],
    [`MaxPooling${rank}D`, 'tf.keras', { ...TF_KERAS, ...pool(rank) }],
    [`AveragePooling${rank}D`, 'Keras 3', { ...KERAS3, ...pool(rank) }],
    [`GlobalMaxPooling${rank}D`, 'tf.keras', { ...TF_KERAS, data_format: 'channels_last', keepdims: false }],
    [`GlobalAveragePooling${rank}D`, 'Keras 3', { ...KERAS3, data_format: 'channels_last', keepdims: true }],
    [
      `UpSampling${rank}D`,
      'Keras 3',
      {
        ...KERAS3,
        size: rank === 1 ? 2 : new Array(rank).fill(2),
        ...(rank > 1 ? { data_format: 'channels_last' } : {}),
        ...(rank === 2 ? { interpolation: 'nearest' } : {}),
      },
    ],
  ]),
  ...[1, 2].flatMap((rank): (readonly [string, string, object])[] => [
    [`DepthwiseConv${rank}D`, 'tf.keras', { ...TF_KERAS, ...without(conv(rank), 'filters'), depth_multiplier: 1, ...weights('depthwise', 'bias') }],
    [`DepthwiseConv${rank}D`, 'Keras 3', { ...KERAS3, ...without(conv(rank), 'filters', 'groups'), depth_multiplier: 1, ...weights('depthwise', 'bias') }],
    [
      `SeparableConv${rank}D`,
      'tf.keras',
      { ...TF_KERAS, ...conv(rank), groups: 1, depth_multiplier: 1, ...weights('kernel', 'depthwise', 'pointwise', 'bias') },
    ],
    [`SeparableConv${rank}D`, 'Keras 3', { ...KERAS3, ...without(conv(rank), 'groups'), depth_multiplier: 2, ...weights('depthwise', 'pointwise', 'bias') }],
  ]),
  [
    'Convolution2D',
    'Keras 1',
    { ...KERAS1, ...keras1Conv, nb_filter: 4, nb_row: 3, nb_col: 3, subsample: [1, 1], dim_ordering: 'th', cache_enabled: true, custom_name: 'one' },
  ],
  ['Convolution1D', 'Keras 1', { ...KERAS1, ...keras1Conv, nb_filter: 4, filter_length: 3, subsample_length: 1, input_dim: 3, input_length: null }],
  ['MaxPooling2D', 'Keras 1', { ...KERAS1, pool_size: [2, 2], strides: [2, 2], border_mode: 'valid', dim_ordering: 'tf' }],
  ['Dense', 'Keras 1', { ...KERAS1, ...without(keras1Conv, 'border_mode'), output_dim: 4, input_dim: 12 }],
  [
    'BatchNormalization',
    'Keras 1',
    { ...KERAS1, epsilon: 1e-5, mode: 0, axis: 1, momentum: 0.9, gamma_regularizer: null, beta_regularizer: null, beta_init: 'zero', gamma_init: 'one' },
  ],
  [
    'Embedding',
    'Keras 1',
    {
      ...KERAS1,
      input_dim: 10,
      output_dim: 4,
      init: 'uniform',
      input_length: 5,
      mask_zero: false,
      activity_regularizer: null,
      W_regularizer: null,
      W_constraint: null,
      dropout: 0.2,
    },
  ],
  ['Dropout', 'Keras 1', { ...KERAS1, p: 0.5 }],
  ['Dense', 'tf.keras', { ...TF_KERAS, units: 3, activation: 'softmax', use_bias: true, ...weights('kernel', 'bias'), activity_regularizer: null }],
  [
    'Dense',
    'Keras 3',
    { ...KERAS3, units: 3, activation: 'relu', use_bias: true, ...weights('kernel', 'bias'), lora_rank: null, lora_alpha: null, quantization_config: null },
  ],
  [
    'Embedding',
    'tf.keras',
    { ...TF_KERAS, input_dim: 9, output_dim: 4, ...weights('embeddings'), activity_regularizer: null, mask_zero: false, input_length: null },
  ],
  ['BatchNormalization', 'tf.keras', { ...TF_KERAS, ...batchNorm, scale: 1, center: 0 }],
  ['BatchNormalization', 'Keras 3', { ...KERAS3, ...batchNorm, axis: -1, synchronized: false }],
  ['BatchNormalizationV1', 'tf.keras 1', { ...TF_KERAS, ...batchNorm, renorm: false, fused: true, virtual_batch_size: null, adjustment: null }],
  ['SyncBatchNormalization', 'tf.keras', { ...TF_KERAS, ...batchNorm }],
  ['PReLU', 'tf.keras', { ...TF_KERAS, ...weights('alpha'), shared_axes: [1, 2] }],
  ['ReLU', 'Keras 3', { ...KERAS3, max_value: 6, negative_slope: 0, threshold: 0 }],
  ['LeakyReLU', 'tf.keras', { ...TF_KERAS, alpha: { type: 'ndarray', value: 0.3 } }],
  ['LeakyReLU', 'Keras 3', { ...KERAS3, negative_slope: 0.2 }],
  ['ELU', 'Keras 3', { ...KERAS3, alpha: 1 }],
  ['Softmax', 'tf.keras', { ...TF_KERAS, axis: -1 }],
  ['Activation', 'Keras 3', { ...KERAS3, activation: 'gelu' }],
  ['Flatten', 'Keras 3', { ...KERAS3, data_format: 'channels_last' }],
  ['Reshape', 'tf.keras', { ...TF_KERAS, target_shape: [4, -1] }],
  ['Permute', 'tf.keras', { ...TF_KERAS, dims: [2, 1] }],
  [
    'ZeroPadding2D',
    'Keras 3',
    {
      ...KERAS3,
      padding: [
        [1, 1],
        [0, 1],
      ],
      data_format: 'channels_last',
    },
  ],
  [
    'Cropping2D',
    'tf.keras',
    {
      ...TF_KERAS,
      cropping: [
        [1, 1],
        [0, 1],
      ],
      data_format: 'channels_last',
    },
  ],
  ['Add', 'Keras 3', KERAS3],
  ['Concatenate', 'tf.keras', { ...TF_KERAS, axis: -1 }],
  ['Dropout', 'tf.keras', { ...TF_KERAS, rate: 0.5, noise_shape: null, seed: 1, rng_type: null }],
  ['SpatialDropout2D', 'Keras 3', { ...KERAS3, rate: 0.5, seed: null, data_format: 'channels_last' }],
  ['GaussianNoise', 'Keras 3', { ...KERAS3, stddev: 0.5, seed: null }],
  ['ActivityRegularization', 'tf.keras', { ...TF_KERAS, l1: 0.1, l2: 0 }],
  ['Rescaling', 'tf.keras', { ...TF_KERAS, scale: 1, offset: 0 }],
  ['Rescaling', 'Keras 3', { ...KERAS3, scale: [1, 2, 3], offset: { class_name: '__numpy__', config: { value: [0, 1, 2], dtype: 'float32' } } }],
  ...(['LSTM', 'GRU', 'SimpleRNN'] as const).flatMap((kind): (readonly [string, string, object])[] => [
    [kind, 'tf.keras', { ...TF_KERAS, ...recurrent(kind), time_major: false, implementation: 2, ...(kind === 'GRU' ? { reset_after: true } : {}) }],
    [kind, 'Keras 3', { ...KERAS3, ...recurrent(kind), zero_output_for_mask: false, seed: null, ...(kind === 'GRU' ? { reset_after: true } : {}) }],
    [kind, 'Keras 1', { ...KERAS1, ...keras1Recurrent(kind) }],
  ]),
  ...[1, 2, 3].map((rank): readonly [string, string, object] => [
    `ConvLSTM${rank}D`,
    'Keras 3',
    { ...KERAS3, ...without(conv(rank), 'groups'), ...without(recurrent('LSTM'), 'units'), ...weights('kernel', 'recurrent', 'bias'), seed: null },
  ]),
  ...(['LSTM', 'GRU'] as const).map((kind): readonly [string, string, object] => [
    `CuDNN${kind}`,
    'Keras 2.2',
    {
      ...{ name: 'one', trainable: true, units: 3, return_sequences: true, return_state: false, go_backwards: false, stateful: false },
      ...weights('kernel', 'recurrent', 'bias'),
      ...(kind === 'LSTM' ? { unit_forget_bias: true } : {}),
    },
  ]),
  [
    'RNN',
    'tf.keras',
    {
      ...TF_KERAS,
      ...{ return_sequences: true, return_state: false, go_backwards: false, stateful: false, unroll: false, time_major: false },
      cell: { class_name: 'GRUCell', config: { ...TF_KERAS, ...without(recurrent('GRU'), ...OF_LAYERS), reset_after: true, implementation: 2 } },
    },
  ],
  ['Bidirectional', 'tf.keras', { ...TF_KERAS, layer: { class_name: 'LSTM', config: { ...TF_KERAS, ...recurrent('LSTM') } }, merge_mode: 'concat' }],
  [
    'Bidirectional',
    'Keras 3',
    {
      ...KERAS3,
      merge_mode: 'sum',
      layer: inKeras3('GRU', { ...recurrent('GRU'), reset_after: true, seed: null }),
      backward_layer: inKeras3('GRU', { ...recurrent('GRU'), reset_after: true, go_backwards: true, seed: null }),
    },
  ],
  ['EinsumDense', 'tf.keras', { ...TF_KERAS, output_shape: [4], equation: 'ab,bc->ac', activation: 'linear', bias_axes: 'c', ...weights('kernel', 'bias') }],
  [
    'EinsumDense',
    'Keras 3',
    { ...KERAS3, output_shape: [4], equation: 'ab,bc->ac', activation: 'linear', bias_axes: null, ...weights('kernel', 'bias'), lora_rank: null },
  ],
  ['Embedding', 'Keras 3', { ...KERAS3, input_dim: 9, output_dim: 4, ...weights('embeddings'), activity_regularizer: null, mask_zero: true, lora_rank: null }],
  ['LayerNormalization', 'tf.keras', { ...TF_KERAS, axis: [3], epsilon: 1e-3, center: true, scale: true, ...weights('beta', 'gamma') }],
  ['LayerNormalization', 'Keras 3', { ...KERAS3, axis: -1, epsilon: 1e-6, center: true, scale: true, rms_scaling: false, ...weights('beta', 'gamma') }],
  ['GroupNormalization', 'Keras 3', { ...KERAS3, groups: 2, axis: -1, epsilon: 1e-3, center: true, scale: true, ...weights('beta', 'gamma') }],
  ...['Group', 'Instance'].map((kind): readonly [string, string, object] => [
    `Addons>${kind}Normalization`,
    'tf.keras',
    { ...TF_KERAS, groups: 2, axis: -1, epsilon: 1e-3, center: true, scale: true, ...weights('beta', 'gamma') },
  ]),
  ['RMSNormalization', 'Keras 3', { ...KERAS3, axis: -1, epsilon: 1e-6 }],
  ['UnitNormalization', 'tf.keras', { ...TF_KERAS, axis: [1] }],
  ['Normalization', 'tf.keras', { ...TF_KERAS, axis: [-1], mean: null, variance: null }],
  ['Normalization', 'Keras 3', { ...KERAS3, axis: [-1], invert: false, mean: [0.5, 0.5, 0.5], variance: [0.25, 0.25, 0.25] }],
  ['BatchNormalizationV2', 'tf.keras', { ...TF_KERAS, ...batchNorm }],
  ['CenterCrop', 'Keras 3', { ...KERAS3, height: 4, width: 4, data_format: 'channels_last' }],
  ['Resizing', 'tf.keras', { ...TF_KERAS, height: 4, width: 4, interpolation: 'bilinear', crop_to_aspect_ratio: false }],
  [
    'Resizing',
    'Keras 3',
    {
      ...KERAS3,
      ...{ height: 4, width: 4, interpolation: 'nearest', crop_to_aspect_ratio: false, pad_to_aspect_ratio: false },
      ...{ fill_mode: 'constant', fill_value: 0, antialias: false, data_format: 'channels_last' },
    },
  ],
  ['RandomCrop', 'tf.keras', { ...TF_KERAS, height: 4, width: 4, seed: null }],
  ...[1, 2].map((rank): readonly [string, string, object] => [
    `LocallyConnected${rank}D`,
    'tf.keras',
    { ...TF_KERAS, ...without(conv(rank), 'groups', 'dilation_rate'), ...weights('kernel', 'bias'), implementation: 1 },
  ]),
  ...[1, 3].flatMap((rank): (readonly [string, string, object])[] => {
    const margins = rank === 1 ? [1, 1] : new Array(rank).fill([1, 1]);
    const format = rank === 1 ? {} : { data_format: 'channels_last' };
    return [
      [`ZeroPadding${rank}D`, 'tf.keras', { ...TF_KERAS, padding: margins, ...format }],
      [`Cropping${rank}D`, 'Keras 3', { ...KERAS3, cropping: margins, ...format }],
      [`SpatialDropout${rank}D`, 'tf.keras', { ...TF_KERAS, rate: 0.5, noise_shape: null, seed: null }],
    ];
  }),
  ['AtrousConvolution1D', 'Keras 1', { ...KERAS1, ...keras1Conv, nb_filter: 4, filter_length: 3, subsample_length: 1, atrous_rate: 2, input_length: null }],
  [
    'AtrousConvolution2D',
    'Keras 1',
    { ...KERAS1, ...keras1Conv, nb_filter: 4, nb_row: 3, nb_col: 3, subsample: [1, 1], atrous_rate: [2, 2], dim_ordering: 'tf' },
  ],
  [
    'Convolution3D',
    'Keras 1',
    { ...KERAS1, ...keras1Conv, nb_filter: 4, kernel_dim1: 3, kernel_dim2: 3, kernel_dim3: 3, subsample: [1, 1, 1], dim_ordering: 'tf' },
  ],
  [
    'SeparableConvolution2D',
    'Keras 1',
    {
      ...KERAS1,
      ...without(keras1Conv, 'W_regularizer', 'W_constraint'),
      ...{ nb_filter: 4, nb_row: 3, nb_col: 3, subsample: [1, 1], dim_ordering: 'tf', depth_multiplier: 1 },
      ...{ depthwise_regularizer: null, pointwise_regularizer: null, depthwise_constraint: null, pointwise_constraint: null },
    },
  ],
  [
    'Deconvolution2D',
    'Keras 1',
    { ...KERAS1, ...keras1Conv, nb_filter: 4, nb_row: 3, nb_col: 3, subsample: [2, 2], dim_ordering: 'tf', output_shape: [null, 16, 16, 4] },
  ],
  [
    'MaxoutDense',
    'Keras 1',
    { ...KERAS1, ...without(keras1Conv, 'border_mode', 'activation', 'bias', 'weights'), output_dim: 4, nb_feature: 4, input_dim: 12 },
  ],
  [
    'SReLU',
    'Keras 1',
    { ...KERAS1, t_left_init: 'zero', a_left_init: 'glorot_uniform', t_right_init: 'glorot_uniform', a_right_init: 'one', shared_axes: [1, 2] },
  ],
  ['ParametricSoftplus', 'Keras 1', { ...KERAS1, alpha_init: 0.2, beta_init: 5, shared_axes: null }],
  ['Highway', 'Keras 1', { ...KERAS1, ...without(keras1Conv, 'border_mode', 'bias', 'weights'), transform_bias: -2, input_dim: 12 }],
  ['TimeDistributedDense', 'Keras 1', { ...KERAS1, ...without(keras1Conv, 'border_mode'), output_dim: 4, input_dim: 12, input_length: 5 }],
  ['Masking', 'Keras 3', { ...KERAS3, mask_value: 0 }],
  ['RepeatVector', 'tf.keras', { ...TF_KERAS, n: 3 }],
  ['ThresholdedReLU', 'tf.keras', { ...TF_KERAS, theta: 1 }],
  ['LayerScale', 'tf.keras', { ...TF_KERAS, init_values: 1e-6, projection_dim: 4 }],
  ['CustomScaleLayer', 'Keras 3', { ...KERAS3, scale: 0.17 }],
  ['Dot', 'Keras 3', { ...KERAS3, axes: [1, 1], normalize: false }],
  ['Identity', 'Keras 3', KERAS3],
  ...['Multiply', 'Average', 'Maximum', 'Minimum', 'Subtract'].map((name) => [name, 'tf.keras', TF_KERAS] as const),
  [
    'Merge',
    'Keras 1',
    {
      ...{ name: 'one', mode: 'sum', mode_type: 'raw', concat_axis: -1, dot_axes: -1, trainable: true },
      ...{ output_shape: null, output_shape_type: 'raw', output_mask: null, output_mask_type: 'raw', arguments: {} },
    },
  ],
  ...[1, 2, 3].flatMap((rank) =>
    ['Average', 'Max'].map((kind): readonly [string, string, object] => [
      `Adaptive${kind}Pooling${rank}D`,
      'Keras 3',
      { ...KERAS3, output_size: new Array(rank).fill(2), data_format: 'channels_last' },
    ]),
  ),
  ['LocallyConnected1D', 'Keras 1', { ...KERAS1, ...keras1Conv, border_mode: 'valid', nb_filter: 4, filter_length: 3, subsample_length: 1, input_dim: 3 }],
  [
    'LocallyConnected2D',
    'Keras 1',
    { ...KERAS1, ...keras1Conv, border_mode: 'valid', nb_filter: 4, nb_row: 3, nb_col: 3, subsample: [1, 1], dim_ordering: 'tf' },
  ],
  ['LSTM', 'Keras 0.3', { ...keras1Recurrent('LSTM'), truncate_gradient: -1 }],
  ['FixedDropout', 'the EfficientNet package', { ...TF_KERAS, rate: 0.2, noise_shape: null, seed: null }],
  ['ZeroPadding1D', 'Keras 1', { ...KERAS1, padding: { left_pad: 1, right_pad: 2 } }],
  ['ZeroPadding2D', 'Keras 1', { ...KERAS1, padding: [1, 2, 3, 4], dim_ordering: 'tf' }],
  ['Conv2D', 'tf.keras with tuples that it tells from lists', { ...TF_KERAS, ...conv(2), kernel_size: { class_name: '__tuple__', items: [3, 3] } }],
  ['Dense', 'tf.keras with a layer for its activation', { ...TF_KERAS, units: 3, activation: { class_name: 'Activation', config: { activation: 'relu' } } }],
  ['AlphaDropout', 'Keras 3', { ...KERAS3, rate: 0.1, seed: null, noise_shape: null }],
  ['InstanceNormalization', 'keras_contrib', { name: 'one', trainable: true, axis: 3, epsilon: 1e-3, center: true, scale: true, ...weights('beta', 'gamma') }],
  ['Discretization', 'Keras 3', { ...KERAS3, bin_boundaries: [0, 1], num_bins: null, epsilon: 0.01, output_mode: 'int', sparse: false }],
  ['CategoryEncoding', 'tf.keras', { ...TF_KERAS, num_tokens: 4, output_mode: 'multi_hot', sparse: false }],
  ['Addons>StochasticDepth', 'tf.keras', { ...TF_KERAS, survival_probability: 0.8 }],
  ['SubPixelUpscaling', 'keras_contrib', { name: 'one', trainable: true, scale_factor: 2, data_format: 'channels_last' }],
  ['GaussianDropout', 'tf.keras', { ...TF_KERAS, rate: 0.1 }],
];

/** Spellings that no file is known to have. */
const ALIASES: readonly string[] = ['Convolution1DTranspose', 'Convolution2DTranspose', 'Convolution3DTranspose', 'SeparableConvolution1D'];

const problems = (className: string, config: object, unknown: readonly string[] = []) => {
  const obstacles: ModelError[] = [];
  const layer = { name: 'one', path: 'one', className, config: config as Readonly<Record<string, unknown>>, model: null, unknown };
  const view = new ConfigView(layer, { version: [2, 13], theano: false }, 'model.h5', obstacles);
  LAYER_CLASSES.get(className)!.rule(view);
  view.finish();
  return obstacles.map(({ message }) => message);
};

describe('settings', () => {
  test.each(WRITTEN)('%s as %s writes it has no setting that is not known', (className, _, config) => {
    expect(problems(className, config)).toEqual([]);
  });

  test.each(WRITTEN)('%s of %s with a planted setting is declined by its name', (className, _, config) => {
    expect(problems(className, { ...config, planted: 3 })).toEqual([expect.stringContaining('"planted" is 3')]);
  });

  test('are tested for every class that is read, but for pictures changed in training only, which nothing acts upon', () => {
    const written = new Set(WRITTEN.map(([className]) => className));
    const missing = [...LAYER_CLASSES.keys()].filter((name) => !written.has(name) && !ALIASES.includes(name));
    expect(missing.filter((name) => !TRAINING_ONLY.has(name))).toEqual([]);
  });

  test('a fact beside the configuration is declined by its name', () => {
    expect(problems('ReLU', {}, ['planted'])).toEqual([expect.stringContaining('"planted"')]);
  });

  test.each([
    ['DepthwiseConv2D', { ...TF_KERAS, ...without(conv(2), 'filters'), groups: 2 }, 'groups'],
    ['Dense', { ...KERAS3, units: 3, quantization_mode: 'int8' }, 'quantization_mode'],
    ['Dense', { ...KERAS3, units: 3, dtype: { class_name: 'QuantizedDTypePolicy', config: { mode: 'int4', source_name: 'float32' } } }, 'dtype'],
    ['PReLU', { ...KERAS3, shared_axes: null, dtype: { class_name: 'QuantizedDTypePolicy', config: { mode: 'int8', source_name: 'float32' } } }, 'dtype'],
    ['BatchNormalization', { ...TF_KERAS, ...batchNorm, virtual_batch_size: 4 }, 'virtual_batch_size'],
    ['ReLU', { ...TF_KERAS, dynamic: true }, 'dynamic'],
  ])('%s whose setting acts is declined', (className, config, setting) => {
    expect(problems(className, config)).toEqual([expect.stringContaining(`"${setting}"`)]);
  });
});

describe('operations of Keras 3, which write every parameter down', () => {
  const tensor = { class_name: '__keras_tensor__', config: { shape: [null, 4, 4, 2], dtype: 'float32', keras_history: ['x', 0, 0] } };
  const shared = { crop_to_aspect_ratio: false, pad_to_aspect_ratio: false, fill_mode: 'constant', fill_value: 0, data_format: null };
  const written: readonly (readonly [className: string, config: object, args?: readonly unknown[], kwargs?: object])[] = [
    ...['Max', 'Min'].map((name) => [name, { axis: -1, keepdims: false, initial: null }] as const),
    ['Prod', { axis: -1, keepdims: false, dtype: null }],
    ['Cumsum', { axis: 1, dtype: null }],
    ['Average', { axis: [1, 2] }, [tensor], { weights: null }],
    ['Moments', { axes: [1, 2], keepdims: false, synchronized: false }],
    [
      'Pad',
      {
        pad_width: [
          [0, 0],
          [1, 1],
          [1, 1],
          [0, 0],
        ],
        mode: 'constant',
      },
      [tensor],
      { constant_values: null },
    ],
    ['Unstack', { num: null, axis: 1 }],
    ['OneHot', { num_classes: 3, axis: -1, dtype: null, sparse: false }],
    ['Resize', { size: [8, 8], interpolation: 'bilinear', antialias: false, ...shared }],
    ['Norm', { ord: null, axis: -1, keepdims: true }],
    ['Normalize', { axis: -1, order: 2, epsilon: null }],
    ['MaxPool', { pool_size: 2, strides: null, padding: 'valid', data_format: 'channels_last' }],
    ['ReLU', { negative_slope: 0, max_value: null, threshold: 0 }],
  ];
  const said = (class_name: string, config: object, args: readonly unknown[] = [tensor], kwargs: object = {}) => {
    const input = { class_name: 'InputLayer', config: { name: 'x', batch_shape: [null, 4, 4, 2] }, name: 'x', inbound_nodes: [] };
    const module = class_name === 'ReLU' ? 'keras.src.activations.activations' : 'keras.src.ops.numpy';
    const operation = { module, class_name, registered_name: class_name, config: { name: 'op', ...config }, name: 'op', inbound_nodes: [{ args, kwargs }] };
    const model = { class_name: 'Functional', config: { name: 'f', layers: [input, operation], input_layers: [['x', 0, 0]], output_layers: [['op', 0, 0]] } };
    const call = parseModelConfig(JSON.stringify(model), 'model.keras').calls.at(-1)!;
    const obstacles: ModelError[] = [];
    const view = new ConfigView(call.layer, { version: [3, 8], theano: false }, 'model.keras', obstacles);
    readOperation(view, call);
    view.finish();
    return obstacles.map(({ message }) => message);
  };

  test.each(written.map((one) => [one[0], one] as const))('%s is read', (_, one) => {
    expect(said(...one)).toEqual([]);
  });

  test.each(written.map((one) => [one[0], one] as const))('%s with a planted parameter is declined by its name', (_, [name, config, args, kwargs]) => {
    expect(said(name, { ...config, planted: 3 }, args, kwargs)).toEqual([expect.stringContaining('"planted" is 3')]);
  });

  test('a largest element that counts from a number is declined', () => {
    expect(said('Max', { axis: -1, keepdims: false, initial: 2 })).toEqual([expect.stringContaining('"initial" is 2')]);
  });
});

describe('policies', () => {
  const arithmetic = (dtype: unknown) => {
    const layer = { name: 'one', path: 'one', className: 'ReLU', config: { dtype }, model: null, unknown: [] };
    const obstacles: ModelError[] = [];
    const view = new ConfigView(layer, { version: null, theano: false }, 'model.h5', obstacles);
    view.finish();
    return obstacles.length > 0 ? 'declined' : view.arithmetic;
  };

  test.each([
    ['float32', 'float32'],
    [undefined, 'float32'],
    ['mixed_float16', 'float16'],
    [policy('mixed_bfloat16'), 'bfloat16'],
    [{ class_name: 'Policy', config: { name: 'mixed_float16' } }, 'float16'],
    [{ class_name: 'PolicyV1', config: { name: 'mixed_float16', loss_scale: { class_name: 'DynamicLossScale', config: {} } } }, 'float16'],
    [{ class_name: 'DTypePolicyMap', config: { default_policy: policy('float32'), policy_map: {} } }, 'float32'],
    [{ class_name: 'DTypePolicyMap', config: { default_policy: 'float32', policy_map: { 'a/b': policy('mixed_float16') } } }, 'declined'],
    ['float64', 'float64'],
    ['infer_with_float32_vars', 'float32'],
    ['int8_from_float32', 'declined'],
    [{ class_name: 'Someones', config: { name: 'float32' } }, 'declined'],
  ])('%j', (dtype, expected) => {
    expect(arithmetic(dtype)).toBe(expected);
  });
});
