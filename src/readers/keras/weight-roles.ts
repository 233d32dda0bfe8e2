/**
 * Which weights a layer has, in Keras's order: those that training changes, then those that it only counts.
 *
 * @see the `build` methods of Keras's layers
 */
import type { KerasLayer, KerasModel } from './config.js';
import { isObject, type Json } from './json.js';

export interface WeightRoles {
  readonly trained: readonly string[];
  readonly fixed: readonly string[];
}

const NONE: WeightRoles = { trained: [], fixed: [] };

const isOn = (config: Json, keys: readonly string[]): boolean => {
  const value = keys.map((key) => config[key]).find((found) => found !== undefined && found !== null) ?? true;
  return value !== false && value !== 0;
};

const withBias =
  (...kernels: readonly string[]) =>
  (config: Json): WeightRoles => ({ trained: [...kernels, ...(isOn(config, ['use_bias', 'bias']) ? ['bias'] : [])], fixed: [] });

const affine = (config: Json): readonly string[] => [...(isOn(config, ['scale']) ? ['gamma'] : []), ...(isOn(config, ['center']) ? ['beta'] : [])];

const batchNormalization = (config: Json): WeightRoles => ({
  trained: affine(config),
  fixed: ['moving_mean', 'moving_variance', ...(config.renorm === true ? ['moving_stddev', 'renorm_mean', 'renorm_stddev'] : [])],
});

const layerNormalization = (config: Json): WeightRoles => ({ trained: config.rms_scaling === true ? ['gamma'] : affine(config), fixed: [] });

const attention = (config: Json): WeightRoles => {
  const one = withBias('kernel')(config).trained;
  return { trained: [...one, ...one, ...one, ...one], fixed: [] };
};

/** Of a cell, or of several that work one behind the other. */
const cellWeights = (cell: unknown): readonly string[] => {
  const { config } = isObject(cell) ? cell : {};
  if (!isObject(config)) return [];
  return Array.isArray(config.cells) ? config.cells.flatMap(cellWeights) : recurrent(config).trained;
};

const recurrent = (config: Json): WeightRoles => {
  if (config.cell !== undefined) return { trained: cellWeights(config.cell), fixed: [] };
  const roles = withBias('kernel', 'recurrent_kernel')(config);
  // Keras 1 keeps the weights of each gate apart, unless they are meant for a GPU.
  const gates = config.inner_activation === undefined || config.consume_less === 'gpu' ? 1 : config.forget_bias_init === undefined ? 3 : 4;
  return { trained: new Array<readonly string[]>(gates).fill(roles.trained).flat(), fixed: [] };
};

const bidirectional = ({ layer, backward_layer }: Json): WeightRoles => {
  const one = (inner: unknown) => recurrent(isObject(inner) && isObject(inner.config) ? inner.config : {}).trained;
  return { trained: [...one(layer), ...one(backward_layer ?? layer)], fixed: [] };
};

const BY_CLASS: readonly (readonly [names: RegExp, roles: (config: Json) => WeightRoles])[] = [
  [/^(Conv|Convolution|AtrousConvolution)\dD(Transpose)?$/, withBias('kernel')],
  [/^DepthwiseConv\dD$/, withBias('depthwise_kernel')],
  [/^SeparableConv(olution)?\dD$/, withBias('depthwise_kernel', 'pointwise_kernel')],
  [/^(Dense|LocallyConnected\dD)$/, withBias('kernel')],
  [/^EinsumDense$/, ({ bias_axes }) => ({ trained: ['kernel', ...(bias_axes ? ['bias'] : [])], fixed: [] })],
  [/^((CuDNN)?(LSTM|GRU)|SimpleRNN|RNN|ConvLSTM\dD)$/, recurrent],
  [/^(Sync)?BatchNormalization(V1|V2)?$/, batchNormalization],
  [/^(Layer|(Addons>)?(Group|Instance))Normalization$/, layerNormalization],
  [/^RMSNormalization$/, () => ({ trained: ['scale'], fixed: [] })],
  [/^Normalization$/, ({ mean }) => ({ trained: [], fixed: mean === null || mean === undefined ? ['mean', 'variance', 'count'] : [] })],
  [/^LayerScale$/, () => ({ trained: ['gamma'], fixed: [] })],
  [/^Bidirectional$/, bidirectional],
  [/^(TimeDistributedDense|MaxoutDense|Deconvolution2D)$/, withBias('kernel')],
  [/^Highway$/, (config) => ({ trained: isOn(config, ['bias']) ? ['kernel', 'W_carry', 'bias', 'b_carry'] : ['kernel', 'W_carry'], fixed: [] })],
  [
    /^Attention$/,
    ({ use_scale, score_mode }) => ({
      trained: [...(use_scale === true ? ['scale'] : []), ...(score_mode === 'concat' ? ['concat_score_weight'] : [])],
      fixed: [],
    }),
  ],
  [/^AdditiveAttention$/, ({ use_scale }) => ({ trained: use_scale === false ? [] : ['scale'], fixed: [] })],
  [/^PReLU$/, () => ({ trained: ['alpha'], fixed: [] })],
  [/^SReLU$/, () => ({ trained: ['t_left', 'a_left', 't_right', 'a_right'], fixed: [] })],
  [/^ParametricSoftplus$/, () => ({ trained: ['alphas', 'betas'], fixed: [] })],
  [
    /^(keras_(hub|nlp)>)?ReversibleEmbedding$/,
    ({ tie_weights }) => ({ trained: ['embeddings', ...(tie_weights === false ? ['reverse_embeddings'] : [])], fixed: [] }),
  ],
  [/^Embedding$/, () => ({ trained: ['embeddings'], fixed: [] })],
  [/^(MultiHead|GroupedQuery)Attention$/, attention],
];

export function weightRoles({ className, config, wrapper }: Pick<KerasLayer, 'className' | 'config' | 'wrapper'>): WeightRoles {
  const { trained, fixed } = BY_CLASS.find(([names]) => names.test(className))?.[1](config) ?? NONE;
  return { trained, fixed: wrapper ? [...fixed, 'vector_u'] : fixed };
}

export function leafLayers(model: KerasModel): KerasLayer[] {
  return model.layers.flatMap((layer) => (layer.model ? leafLayers(layer.model) : [layer]));
}

/** A place in a list of weights. */
export interface WeightPlace {
  readonly layer: KerasLayer;
  readonly role: string;
}

/**
 * Orders in which Keras may list the weights of a model that is used as a layer, the likeliest first: all that are trained before
 * all that are not, where a frozen layer trains none; as if none were frozen; layer by layer.
 */
export function nestedOrders(model: KerasModel): WeightPlace[][] {
  const leaves = leafLayers(model).map((layer) => ({ layer, ...weightRoles(layer) }));
  const places = (layer: KerasLayer, roles: readonly string[]) => roles.map((role) => ({ layer, role }));
  const inOrder = (isFrozen: (layer: KerasLayer) => boolean) => [
    ...leaves.flatMap(({ layer, trained }) => (isFrozen(layer) ? [] : places(layer, trained))),
    ...leaves.flatMap(({ layer, trained, fixed }) => places(layer, isFrozen(layer) ? [...trained, ...fixed] : fixed)),
  ];
  return [inOrder(({ config }) => config.trainable === false), inOrder(() => false), inOrder(() => true)];
}

/** What Keras 1 ended a weight's name with. */
const KERAS1_ENDINGS: Readonly<Record<string, string>> = { W: 'kernel', b: 'bias', U: 'recurrent_kernel', mean: 'moving_mean', std: 'moving_variance' };

/** Whether a weight's own name ('conv/kernel:0', 'conv_W') is that of the role. */
export function bearsRole(name: string, role: string): boolean {
  const own = name.slice(name.lastIndexOf('/') + 1).replace(/:\d+$/, '');
  return own === role || own.endsWith(`_${role}`) || KERAS1_ENDINGS[own.slice(own.lastIndexOf('_') + 1)] === role;
}
