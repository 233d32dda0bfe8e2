/** Every setting that Keras writes is known, class by class; a planted one is named. */
import { describe, expect, test } from 'vitest';
import type { ModelError } from '../../src/errors.js';
import { ConfigView } from '../../src/readers/keras/config-view.js';
import { LAYER_CLASSES } from '../../src/readers/keras/rules.js';

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
];

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

  test('a fact beside the configuration is declined by its name', () => {
    expect(problems('ReLU', {}, ['planted'])).toEqual([expect.stringContaining('"planted"')]);
  });

  test.each([
    ['DepthwiseConv2D', { ...TF_KERAS, ...without(conv(2), 'filters'), groups: 2 }, 'groups'],
    ['Dense', { ...KERAS3, units: 3, lora_rank: 4 }, 'lora_rank'],
    ['Dense', { ...KERAS3, units: 3, dtype: { class_name: 'QuantizedDTypePolicy', config: { mode: 'int8', source_name: 'float32' } } }, 'dtype'],
    ['BatchNormalization', { ...TF_KERAS, ...batchNorm, virtual_batch_size: 4 }, 'virtual_batch_size'],
    ['ReLU', { ...TF_KERAS, dynamic: true }, 'dynamic'],
  ])('%s whose setting acts is declined', (className, config, setting) => {
    expect(problems(className, config)).toEqual([expect.stringContaining(`"${setting}"`)]);
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
    ['int8_from_float32', 'declined'],
    [{ class_name: 'Someones', config: { name: 'float32' } }, 'declined'],
  ])('%j', (dtype, expected) => {
    expect(arithmetic(dtype)).toBe(expected);
  });
});
