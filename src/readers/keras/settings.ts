/**
 * Settings that change nothing in a prediction, layer class by layer class, with the values for which that holds.
 *
 * A rule reads what its layer computes; the rest of a configuration must be here, or it is an obstacle. Taken from the signatures and
 * `get_config` of Keras 1.0 to 3, tf.keras included, whose layers write what they inherit.
 */

/** `any`: how a weight came to be, was shared out or trained; a list: the values that leave the layer as it is. */
export type Harmless = 'any' | readonly unknown[];
export type Settings = Readonly<Record<string, Harmless>>;

const any = (...names: readonly string[]): Settings => Object.fromEntries(names.map((name) => [name, 'any']));

/** How the weights of these roles were initialised, and kept small, in training. */
const trained = (...roles: readonly string[]): Settings =>
  any(...roles.flatMap((role) => [`${role}_initializer`, `${role}_regularizer`, `${role}_constraint`]));

/** What any layer may say of itself. */
const COMMON: Settings = {
  ...any('name', 'trainable', 'activity_regularizer'),
  // The shape of a first layer's input, for which there is an InputLayer of its own, and how Keras 1 made it.
  ...any('batch_input_shape', 'input_shape', 'batch_shape', 'input_dtype', 'input_dim', 'input_length', 'batch_size', 'create_input_layer'),
  // Keras 1.0.
  ...any('custom_name', 'cache_enabled'),
  ...any('autocast', 'experimental_autocast', 'registered_name', 'module', 'build_config', 'compile_config', 'shared_object_id'),
  dynamic: [false, null],
};

/** Keras 1 called a layer's weights W, U and b. */
const KERAS1_WEIGHTS: Settings = any(
  ...['init', 'inner_init', 'forget_bias_init', 'weights'],
  ...['W_regularizer', 'U_regularizer', 'b_regularizer', 'W_constraint', 'U_constraint', 'b_constraint'],
);

/** Low-rank training, whose products Keras 3 adds to the kernels that it saves, and quantisation. */
const KERAS3_WEIGHTS: Settings = {
  ...any('lora_rank', 'lora_alpha'),
  quantization_config: [null],
  quantization_mode: [null],
  gptq_unpacked_column_size: [null],
  awq_unpacked_column_size: [null],
  int4_unpacked_column_size: [null],
  int4_packed_axis: [null],
};

const CONVOLUTION: Settings = { ...trained('kernel', 'bias'), ...KERAS1_WEIGHTS, ...KERAS3_WEIGHTS };
/** Descendants of Conv in tf.keras write its groups, which they do not use. */
const UNGROUPED: Settings = { groups: [1, null] };
const DEPTHWISE: Settings = { ...CONVOLUTION, ...trained('depthwise', 'pointwise'), ...UNGROUPED };

const BATCH_NORMALIZATION: Settings = {
  ...trained('beta', 'gamma'),
  // The first letters of Keras 1.
  ...any('beta_init', 'gamma_init', 'moving_mean_initializer', 'moving_variance_initializer', 'weights'),
  // How statistics were gathered in training, and with which code.
  ...any('momentum', 'fused', 'synchronized', 'renorm_clipping', 'renorm_momentum'),
  virtual_batch_size: [null],
  adjustment: [null],
};

/** Speed and memory of a recurrent layer, and dropout, which acts in training only. */
const RECURRENT: Settings = {
  ...trained('kernel', 'recurrent', 'bias'),
  ...KERAS1_WEIGHTS,
  ...any(
    'implementation',
    'consume_less',
    // Keras 0.3: how far back training looked.
    'truncate_gradient',
    'unroll',
    'dropout',
    'recurrent_dropout',
    'dropout_W',
    'dropout_U',
    'seed',
    'unit_forget_bias',
    'use_cudnn',
    'rng_type',
  ),
};

const ATTENTION: Settings = { ...trained('kernel', 'bias'), ...any('dropout', 'seed', 'flash_attention'), use_gate: [false, null] };

const NORMALIZED: Settings = trained('beta', 'gamma');

/** Beside what any layer may have; a class that is not listed has nothing more. */
const BY_CLASS: ReadonlyMap<string, Settings> = new Map(
  Object.entries({
    InputLayer: { ...any('type_spec'), sparse: [false, null], ragged: [false, null], optional: [false, null], input_tensor: [null] },
    ...forEach(
      ['Conv1D', 'Conv2D', 'Conv3D', 'Convolution1D', 'Convolution2D', 'Convolution3D', 'AtrousConvolution1D', 'AtrousConvolution2D', 'Deconvolution2D'],
      CONVOLUTION,
    ),
    ...forEach(['DepthwiseConv1D', 'DepthwiseConv2D', 'SeparableConv1D', 'SeparableConv2D', 'SeparableConvolution1D', 'SeparableConvolution2D'], DEPTHWISE),
    ...forEach(['Conv1DTranspose', 'Conv2DTranspose', 'Conv3DTranspose', 'Convolution2DTranspose', 'Convolution3DTranspose'], { ...CONVOLUTION, ...UNGROUPED }),
    ...forEach(['LocallyConnected1D', 'LocallyConnected2D'], { ...CONVOLUTION, ...any('implementation') }),
    Dense: { ...trained('kernel', 'bias'), ...KERAS1_WEIGHTS, ...KERAS3_WEIGHTS },
    EinsumDense: { ...trained('kernel', 'bias'), ...KERAS3_WEIGHTS },
    Embedding: { ...trained('embeddings'), ...KERAS1_WEIGHTS, ...KERAS3_WEIGHTS, ...any('dropout'), sparse: [false, null] },
    ...forEach(['ReversibleEmbedding', 'keras_hub>ReversibleEmbedding', 'keras_nlp>ReversibleEmbedding'], { ...trained('embeddings'), ...KERAS3_WEIGHTS }),
    ...forEach(['BatchNormalization', 'BatchNormalizationV1', 'BatchNormalizationV2', 'SyncBatchNormalization'], BATCH_NORMALIZATION),
    ...forEach(
      ['LayerNormalization', 'GroupNormalization', 'RMSNormalization', 'Addons>GroupNormalization', 'Addons>InstanceNormalization', 'InstanceNormalization'],
      NORMALIZED,
    ),
    PReLU: { ...trained('alpha'), ...any('init', 'weights') },
    SReLU: any('t_left_init', 'a_left_init', 't_right_init', 'a_right_init', 'weights'),
    ParametricSoftplus: any('alpha_init', 'beta_init', 'weights'),
    ...forEach(['Dropout', 'FixedDropout', 'SpatialDropout1D', 'SpatialDropout2D', 'SpatialDropout3D', 'AlphaDropout', 'GaussianDropout'], {
      ...any('rate', 'p', 'noise_shape', 'seed', 'rng_type', 'data_format', 'dim_ordering'),
    }),
    GaussianNoise: any('stddev', 'sigma', 'seed', 'rng_type'),
    ActivityRegularization: any('l1', 'l2'),
    ...forEach(
      ['LSTM', 'GRU', 'SimpleRNN', 'CuDNNLSTM', 'CuDNNGRU', 'LSTMCell', 'GRUCell', 'SimpleRNNCell', 'RNN', 'ConvLSTM1D', 'ConvLSTM2D', 'ConvLSTM3D'],
      RECURRENT,
    ),
    ...forEach(['TimeDistributedDense', 'MaxoutDense'], { ...trained('kernel', 'bias'), ...KERAS1_WEIGHTS }),
    Highway: { ...KERAS1_WEIGHTS, ...any('transform_bias') },
    ...forEach(['Attention', 'AdditiveAttention'], any('dropout', 'seed')),
    // Shapes that tf.keras was called with.
    MultiHeadAttention: { ...ATTENTION, ...any('query_shape', 'key_shape', 'value_shape') },
    GroupedQueryAttention: ATTENTION,
  } satisfies Record<string, Settings>),
);

function forEach(names: readonly string[], settings: Settings): Record<string, Settings> {
  return Object.fromEntries(names.map((name) => [name, settings]));
}

/** Whether a setting that no rule reads leaves a layer of the class as it is. */
export function isAtRest(className: string, key: string, value: unknown): boolean {
  for (const settings of [BY_CLASS.get(className) ?? {}, COMMON]) {
    const harmless = Object.hasOwn(settings, key) ? settings[key]! : [];
    if (harmless === 'any' || harmless.some((known) => isSame(known, value))) return true;
  }
  return false;
}

/** NumPy's truth values were written as numbers. */
export function isSame(known: unknown, value: unknown): boolean {
  if (typeof known === 'boolean' && typeof value === 'number') return Number(known) === value;
  return JSON.stringify(known) === JSON.stringify(value);
}
