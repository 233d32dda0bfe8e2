/**
 * What OpenCV 4.3 computes as Caffe does: the layers and settings that were compared with our evaluator on generated nets
 * (test/verify/opencv-layers.test.ts). Its importer passes over what it does not know without a word, so everything else is declined.
 *
 * A setting that it reads under another name is put into that form; one that it has wrong is declined, such as the alpha of ELU, which
 * later versions read (https://github.com/opencv/opencv/pull/21160).
 */

/** The fields of one parameter message, as words; nested messages (fillers) count as present without a value. */
export type Settings = ReadonlyMap<string, readonly string[]>;

export interface LayerKind {
  /** Name of the parameter message; null where the layer has none. */
  readonly block: string | null;
  /**
   * Known fields: any value, or what is wrong with this one (a sentence without its subject; null where nothing is).
   * A field may be called `old -> new` where OpenCV knows it by the new name only.
   */
  readonly fields: Readonly<Record<string, Check>>;
  /** What is wrong with the settings together. */
  readonly check?: (settings: Settings) => string | null;
  /** What stands for the type, where OpenCV has the layer under another name: it reads settings from whatever block they are in. */
  readonly type?: string;
  /** How many blobs it makes that OpenCV has too; any number where left out. */
  readonly tops?: number;
}

type Check = true | ((value: string) => string | null);

const TRUE: ReadonlySet<string> = new Set(['true', 'True', 't', '1']);

export function isTrue(value: string | undefined): boolean {
  return value !== undefined && TRUE.has(value);
}

const only =
  (wanted: number, problem: string): Check =>
  (value) =>
    Number(value) === wanted ? null : problem;
const notNegative: Check = (value) => (Number(value) >= 0 ? null : 'counts its axis from the end');
/** Of a field that its copy of Caffe's messages lacks. */
const UNSIGNED: Check = (value) => (Number(value) >= 0 ? null : 'has a bound below zero, whose sign OpenCV does not read');
const neverTrue =
  (problem: string): Check =>
  (value) =>
    isTrue(value) ? problem : null;
const alwaysTrue =
  (problem: string): Check =>
  (value) =>
    isTrue(value) ? null : problem;
const oneOf =
  (...known: readonly string[]): Check =>
  (value) =>
    known.includes(value) ? null : `is of the kind ${value}`;

const FILLERS = { weight_filler: true, bias_filler: true } as const;
const WINDOW = {
  kernel_size: true,
  kernel_h: true,
  kernel_w: true,
  stride: true,
  stride_h: true,
  stride_w: true,
  pad: true,
  pad_h: true,
  pad_w: true,
} as const;

/** A window that steps further than it is wide can begin behind the picture, where there is nothing to pool. */
function pooledWindows(settings: Settings): string | null {
  const size = (stem: string, axis: 'h' | 'w', fallback: number) =>
    Number(settings.get(`${stem === 'kernel_size' ? 'kernel' : stem}_${axis}`)?.[0] ?? settings.get(stem)?.at(axis === 'h' ? 0 : -1) ?? fallback);
  if (isTrue(settings.get('global_pooling')?.at(-1))) return null;
  return (['h', 'w'] as const).some((axis) => size('stride', axis, 1) > size('kernel_size', axis, 0)) ? 'steps further than its window is wide' : null;
}

const convolution: LayerKind = {
  block: 'convolution_param',
  fields: {
    ...WINDOW,
    ...FILLERS,
    num_output: true,
    bias_term: true,
    group: true,
    dilation: true,
    axis: only(1, 'runs along another axis'),
    engine: true,
    force_nd_im2col: true,
  },
  check: (settings) => ((settings.get('kernel_size')?.length ?? 0) > 2 ? 'has more than two spatial axes' : null),
};

/** By type in small letters, without underscores, as V1 nets and later ones have in common. */
export const KINDS: Readonly<Record<string, LayerKind>> = {
  convolution,
  deconvolution: { ...convolution, fields: { ...convolution.fields, dilation: only(1, 'is dilated, which OpenCV ignores') } },
  innerproduct: {
    block: 'inner_product_param',
    fields: { ...FILLERS, num_output: true, bias_term: true, axis: true, transpose: neverTrue('has its matrix transposed, which OpenCV ignores') },
  },
  pooling: {
    block: 'pooling_param',
    fields: { ...WINDOW, pool: oneOf('MAX', 'AVE', '0', '1'), global_pooling: true, ceil_mode: true, round_mode: true, engine: true },
    check: pooledWindows,
    tops: 1,
  },
  lrn: {
    block: 'lrn_param',
    fields: {
      local_size: true,
      alpha: true,
      beta: true,
      norm_region: true,
      engine: true,
      // The importer looks for a field "bias" instead, and takes 1 where there is none.
      k: only(1, 'has another k of local response normalisation than 1, for which OpenCV takes it'),
    },
  },
  batchnorm: {
    block: 'batch_norm_param',
    fields: { use_global_stats: alwaysTrue('normalises by the statistics of each batch'), moving_average_fraction: true, eps: true },
  },
  scale: { block: 'scale_param', fields: { axis: notNegative, num_axes: true, bias_term: true, filler: true, bias_filler: true } },
  bias: { block: 'bias_param', fields: { axis: notNegative, num_axes: true, filler: true }, type: 'type: "Scale" scale_param { bias_term: true }' },
  eltwise: { block: 'eltwise_param', fields: { operation: oneOf('PROD', 'SUM', 'MAX', '0', '1', '2'), coeff: true, stable_prod_grad: true } },
  power: { block: 'power_param', fields: { power: true, scale: true, shift: true } },
  concat: { block: 'concat_param', fields: { axis: true, 'concat_dim -> axis': true } },
  slice: { block: 'slice_param', fields: { axis: notNegative, 'slice_dim -> axis': notNegative, slice_point: true } },
  flatten: { block: 'flatten_param', fields: { axis: true, end_axis: true } },
  reshape: { block: 'reshape_param', fields: { shape: true, axis: notNegative, num_axes: true } },
  softmax: { block: 'softmax_param', fields: { axis: true, engine: true } },
  relu: { block: 'relu_param', fields: { negative_slope: true, engine: true } },
  prelu: { block: 'prelu_param', fields: { filler: true, channel_shared: true } },
  elu: { block: 'elu_param', fields: { alpha: only(1, 'has another alpha of ELU than 1, for which OpenCV takes it') } },
  sigmoid: { block: 'sigmoid_param', fields: { engine: true } },
  tanh: { block: 'tanh_param', fields: { engine: true } },
  absval: { block: null, fields: {} },
  bnll: { block: null, fields: {} },
  dropout: {
    block: 'dropout_param',
    fields: { dropout_ratio: true, scale_train: alwaysTrue('scales what it passes when it tests, which OpenCV does not') },
  },
  split: { block: null, fields: {} },
  permute: { block: 'permute_param', fields: { order: true } },
  silence: { block: null, fields: {} },
  // Of forks.
  convolutiondepthwise: convolution,
  depthwiseconvolution: { ...convolution, type: 'type: "ConvolutionDepthwise"' },
  crop: { block: 'crop_param', fields: { axis: true, offset: true } },
  interp: { block: 'interp_param', fields: { height: true, width: true, zoom_factor: true } },
  mvn: {
    block: 'mvn_param',
    fields: {
      across_channels: true,
      normalize_variance: true,
      eps: only(1e-9, 'has an epsilon of its own, which OpenCV adds to the variance and Caffe to the deviation'),
    },
  },
  normalize: { block: 'norm_param', fields: { across_spatial: true, channel_shared: true, eps: true, scale_filler: true } },
  relu6: { block: null, fields: {} },
  // It has its ReLU6 between any two bounds.
  clip: { block: 'clip_param', fields: { 'min -> min_value': UNSIGNED, 'max -> max_value': UNSIGNED }, type: 'type: "ReLU6"' },
  shufflechannel: { block: 'shuffle_channel_param', fields: { group: true } },
  swish: { block: 'swish_param', fields: { beta: only(1, 'has another beta than 1, for which OpenCV takes it') } },
};

/** Fields of a layer that say nothing about what it computes. */
export const LAYER_FIELDS: ReadonlySet<string> = new Set([
  'name',
  'type',
  'bottom',
  'top',
  'param',
  'blobs_lr',
  'weight_decay',
  'loss_weight',
  'propagate_down',
  'phase',
  'include',
  'exclude',
]);
