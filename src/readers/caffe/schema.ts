/**
 * Caffe's messages: every field with its number, its type, and whether it can change a prediction.
 *
 * Text is read by names and binary by numbers, and both give the same values (`message.ts`). What a field means is up to the rules; a
 * field that none of them asks for must be without effect here, or it is an obstacle (`params.ts`).
 *
 * @see https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto; fields of forks stand where their names are unambiguous:
 *   the SSD branch (200 to 207), NVIDIA's, OpenCL's, Intel's, and layers that many forks share. Fields without a number have another one in
 *   every fork; numbers that forks use for something else are in \`CONTESTED\`.
 */
import { ENUMS } from './enums.js';

export interface FieldSpec {
  readonly name: string;
  /** Null where forks disagree about it: read from text only. */
  readonly number: number | null;
  /** 'int', 'uint', 'float', 'bool', 'string', 'word' (an enumeration that is open, or of no interest), an enumeration, or a message. */
  readonly type: string;
  readonly repeated: boolean;
  /** Values at which the field has no effect on a prediction; true: at any. */
  readonly idle: true | readonly (number | string | boolean)[];
}

type Row = Omit<FieldSpec, 'name'>;

const one = (number: number | null, type: string): Row => ({ number, type, repeated: false, idle: [] });
const many = (number: number | null, type: string): Row => ({ number, type, repeated: true, idle: [] });
/** Known, and without effect on a prediction whatever it holds: training, speed, memory, other machines. */
const idle = (number: number | null, type: string): Row => ({ number, type, repeated: false, idle: true });
const idles = (number: number | null, type: string): Row => ({ number, type, repeated: true, idle: true });
/** What every layer has, and `topology.ts` reads of it: no rule need ask for it. */
const wiring = idle;
const wirings = idles;
/** Without effect at these values only. */
const idleAt = (number: number | null, type: string, ...values: FieldSpec['idle'] & readonly unknown[]): Row => ({
  number,
  type,
  repeated: false,
  idle: values,
});

/** What every layer that feeds pictures is told. */
const PICTURES = {
  source: idle(1, 'string'),
  scale: one(2, 'float'),
  mean_file: one(3, 'string'),
  batch_size: idle(4, 'uint'),
  crop_size: one(5, 'uint'),
  mirror: one(6, 'bool'),
};

const ENGINE_ONLY = { engine: idle(1, 'word') };

/** By name of the message; 'Opaque' stands for one whose contents play no part at all. */
const MESSAGES: Readonly<Record<string, Readonly<Record<string, Row>>>> = {
  Net: {
    name: one(1, 'string'),
    layers: many(2, 'V1Layer'),
    input: many(3, 'string'),
    input_dim: many(4, 'int'),
    force_backward: idle(5, 'bool'),
    state: one(6, 'NetState'),
    debug_info: idle(7, 'bool'),
    input_shape: many(8, 'Shape'),
    default_forward_type: idle(11, 'word'),
    default_backward_type: idle(12, 'word'),
    default_forward_math: idle(13, 'word'),
    default_backward_math: idle(14, 'word'),
    global_grad_scale: idle(15, 'float'),
    default_conv_algos_override: idle(17, 'string'),
    reduce_buckets: idle(18, 'int'),
    default_cudnn_math_override: idle(19, 'int'),
    // Intel's fork: what computes, which layers it made one (those are gone from the net), and how it trains on several machines.
    engine: idle(9, 'string'),
    compile_net_state: idle(10, 'Opaque'),
    multinode: idle(101, 'Opaque'),
    layer: many(100, 'Layer'),
  },
  Shape: { dim: many(1, 'int') },
  NetState: { phase: idle(1, 'Phase'), level: one(2, 'int'), stage: many(3, 'string') },
  Rule: { phase: one(1, 'Phase'), min_level: one(2, 'int'), max_level: one(3, 'int'), stage: many(4, 'string'), not_stage: many(5, 'string') },
  Param: { name: one(1, 'string'), share_mode: one(2, 'ShareMode'), lr_mult: idle(3, 'float'), decay_mult: idle(4, 'float') },
  // Weights that are stored are not filled; where none are, `weights.ts` looks.
  Filler: {
    type: idle(1, 'string'),
    value: idle(2, 'float'),
    min: idle(3, 'float'),
    max: idle(4, 'float'),
    mean: idle(5, 'float'),
    std: idle(6, 'float'),
    sparse: idle(7, 'int'),
    variance_norm: idle(8, 'word'),
  },

  Layer: {
    name: wiring(1, 'string'),
    type: wiring(2, 'string'),
    bottom: wirings(3, 'string'),
    top: wirings(4, 'string'),
    loss_weight: idles(5, 'float'),
    param: wirings(6, 'Param'),
    blobs: many(7, 'Opaque'),
    include: wirings(8, 'Rule'),
    exclude: wirings(9, 'Rule'),
    // Snapshots carry the phase of the net that was saved; Caffe takes the phase that it is run in.
    phase: idle(10, 'Phase'),
    propagate_down: idles(11, 'bool'),
    device: idle(95, 'int'),
    buffer: idle(96, 'int'),
    transform_param: one(100, 'Transform'),
    loss_param: one(101, 'Loss'),
    accuracy_param: one(102, 'Accuracy'),
    argmax_param: one(103, 'ArgMax'),
    concat_param: one(104, 'Concat'),
    contrastive_loss_param: one(105, 'ContrastiveLoss'),
    convolution_param: one(106, 'Convolution'),
    data_param: one(107, 'Data'),
    dropout_param: one(108, 'Dropout'),
    dummy_data_param: one(109, 'DummyData'),
    eltwise_param: one(110, 'Eltwise'),
    exp_param: one(111, 'Exp'),
    hdf5_data_param: one(112, 'HDF5Data'),
    hdf5_output_param: one(113, 'HDF5Output'),
    hinge_loss_param: one(114, 'HingeLoss'),
    image_data_param: one(115, 'ImageData'),
    infogain_loss_param: one(116, 'InfogainLoss'),
    inner_product_param: one(117, 'InnerProduct'),
    lrn_param: one(118, 'LRN'),
    memory_data_param: one(119, 'MemoryData'),
    mvn_param: one(120, 'MVN'),
    pooling_param: one(121, 'Pooling'),
    power_param: one(122, 'Power'),
    relu_param: one(123, 'ReLU'),
    sigmoid_param: one(124, 'Sigmoid'),
    softmax_param: one(125, 'Softmax'),
    slice_param: one(126, 'Slice'),
    tanh_param: one(127, 'TanH'),
    threshold_param: one(128, 'Threshold'),
    window_data_param: one(129, 'WindowData'),
    python_param: one(130, 'Python'),
    prelu_param: one(131, 'PReLU'),
    spp_param: one(132, 'SPP'),
    reshape_param: one(133, 'Reshape'),
    log_param: one(134, 'Exp'),
    flatten_param: one(135, 'Flatten'),
    reduction_param: one(136, 'Reduction'),
    embed_param: one(137, 'Embed'),
    tile_param: one(138, 'Tile'),
    batch_norm_param: one(139, 'BatchNorm'),
    elu_param: one(140, 'ELU'),
    bias_param: one(141, 'Bias'),
    scale_param: one(142, 'Scale'),
    input_param: one(143, 'Input'),
    crop_param: one(144, 'Crop'),
    // Messages of BVLC's; as plain numbers the same field numbers are NVIDIA's arithmetic.
    parameter_param: one(145, 'Parameter'),
    recurrent_param: one(146, 'Opaque'),
    swish_param: one(147, 'Swish'),
    clip_param: one(148, 'Clip'),
    forward_type: idle(145, 'word'),
    backward_type: idle(146, 'word'),
    forward_math: idle(147, 'word'),
    backward_math: idle(148, 'word'),
    debug: idle(149, 'bool'),
    cudnn_math_override: idle(150, 'int'),
    // Intel's fork.
    engine: idle(null, 'string'),
    annotated_data_param: one(200, 'AnnotatedData'),
    multibox_loss_param: one(201, 'Opaque'),
    permute_param: one(202, 'Permute'),
    prior_box_param: one(203, 'Opaque'),
    detection_output_param: one(204, 'Opaque'),
    detection_evaluate_param: one(205, 'Opaque'),
    norm_param: one(206, 'Normalize'),
    video_data_param: one(207, 'Opaque'),
    bn_param: one(null, 'Bn'),
    interp_param: one(null, 'Interp'),
    upsample_param: one(null, 'Upsample'),
    shuffle_channel_param: one(null, 'ShuffleChannel'),
    mish_param: one(null, 'Sigmoid'),
  },
  V1Layer: {
    layer: wiring(1, 'V0Layer'),
    bottom: wirings(2, 'string'),
    top: wirings(3, 'string'),
    name: wiring(4, 'string'),
    type: wiring(5, 'V1Type'),
    blobs: many(6, 'Opaque'),
    blobs_lr: idles(7, 'float'),
    weight_decay: idles(8, 'float'),
    concat_param: one(9, 'Concat'),
    convolution_param: one(10, 'Convolution'),
    data_param: one(11, 'Data'),
    dropout_param: one(12, 'Dropout'),
    hdf5_data_param: one(13, 'HDF5Data'),
    hdf5_output_param: one(14, 'HDF5Output'),
    image_data_param: one(15, 'ImageData'),
    infogain_loss_param: one(16, 'InfogainLoss'),
    inner_product_param: one(17, 'InnerProduct'),
    lrn_param: one(18, 'LRN'),
    pooling_param: one(19, 'Pooling'),
    window_data_param: one(20, 'WindowData'),
    power_param: one(21, 'Power'),
    memory_data_param: one(22, 'MemoryData'),
    argmax_param: one(23, 'ArgMax'),
    eltwise_param: one(24, 'Eltwise'),
    threshold_param: one(25, 'Threshold'),
    dummy_data_param: one(26, 'DummyData'),
    accuracy_param: one(27, 'Accuracy'),
    hinge_loss_param: one(29, 'HingeLoss'),
    relu_param: one(30, 'ReLU'),
    slice_param: one(31, 'Slice'),
    include: wirings(32, 'Rule'),
    exclude: wirings(33, 'Rule'),
    mvn_param: one(34, 'MVN'),
    loss_weight: idles(35, 'float'),
    transform_param: one(36, 'Transform'),
    tanh_param: one(37, 'TanH'),
    sigmoid_param: one(38, 'Sigmoid'),
    softmax_param: one(39, 'Softmax'),
    contrastive_loss_param: one(40, 'ContrastiveLoss'),
    exp_param: one(41, 'Exp'),
    loss_param: one(42, 'Loss'),
    param: wirings(1001, 'string'),
    blob_share_mode: wirings(1002, 'ShareMode'),
  },
  V0Layer: {
    name: wiring(1, 'string'),
    type: wiring(2, 'string'),
    num_output: one(3, 'uint'),
    biasterm: one(4, 'bool'),
    weight_filler: one(5, 'Filler'),
    bias_filler: one(6, 'Filler'),
    pad: one(7, 'uint'),
    kernelsize: one(8, 'uint'),
    group: one(9, 'uint'),
    stride: one(10, 'uint'),
    pool: one(11, 'PoolMethod'),
    dropout_ratio: one(12, 'float'),
    local_size: one(13, 'uint'),
    alpha: one(14, 'float'),
    beta: one(15, 'float'),
    source: one(16, 'string'),
    scale: one(17, 'float'),
    meanfile: one(18, 'string'),
    batchsize: one(19, 'uint'),
    cropsize: one(20, 'uint'),
    mirror: one(21, 'bool'),
    k: one(22, 'float'),
    blobs: many(50, 'Opaque'),
    blobs_lr: idles(51, 'float'),
    weight_decay: idles(52, 'float'),
    rand_skip: one(53, 'uint'),
    det_fg_threshold: one(54, 'float'),
    det_bg_threshold: one(55, 'float'),
    det_fg_fraction: one(56, 'float'),
    det_context_pad: one(58, 'uint'),
    det_crop_mode: one(59, 'string'),
    new_num: one(60, 'int'),
    new_channels: one(61, 'int'),
    new_height: one(62, 'int'),
    new_width: one(63, 'int'),
    shuffle_images: one(64, 'bool'),
    concat_dim: one(65, 'uint'),
    hdf5_output_param: one(1001, 'HDF5Output'),
  },

  Convolution: {
    num_output: one(1, 'uint'),
    bias_term: one(2, 'bool'),
    pad: many(3, 'uint'),
    kernel_size: many(4, 'uint'),
    group: one(5, 'uint'),
    stride: many(6, 'uint'),
    weight_filler: one(7, 'Filler'),
    bias_filler: one(8, 'Filler'),
    pad_h: one(9, 'uint'),
    pad_w: one(10, 'uint'),
    kernel_h: one(11, 'uint'),
    kernel_w: one(12, 'uint'),
    stride_h: one(13, 'uint'),
    stride_w: one(14, 'uint'),
    engine: idle(15, 'word'),
    axis: one(16, 'int'),
    force_nd_im2col: idle(17, 'bool'),
    dilation: many(18, 'uint'),
    // Temporal Segment Networks have it by axis; DeepLab calls it holes.
    dilation_h: one(null, 'uint'),
    dilation_w: one(null, 'uint'),
    hole: many(null, 'uint'),
    hole_h: one(null, 'uint'),
    hole_w: one(null, 'uint'),
    fuse_type: idleAt(19, 'FuseType', 'UNFUSED'),
    cudnn_convolution_algo_seeker: idle(null, 'word'),
    conv_algos_override: idle(null, 'string'),
    conv_algorithm: idle(null, 'string'),
  },
  InnerProduct: {
    num_output: one(1, 'uint'),
    bias_term: one(2, 'bool'),
    weight_filler: one(3, 'Filler'),
    bias_filler: one(4, 'Filler'),
    axis: one(5, 'int'),
    transpose: one(6, 'bool'),
  },
  Embed: { num_output: one(1, 'uint'), input_dim: one(2, 'uint'), bias_term: one(3, 'bool'), weight_filler: one(4, 'Filler'), bias_filler: one(5, 'Filler') },
  Pooling: {
    pool: one(1, 'PoolMethod'),
    kernel_size: many(2, 'uint'),
    stride: many(3, 'uint'),
    pad: many(4, 'uint'),
    kernel_h: one(5, 'uint'),
    kernel_w: one(6, 'uint'),
    stride_h: one(7, 'uint'),
    stride_w: one(8, 'uint'),
    pad_h: one(9, 'uint'),
    pad_w: one(10, 'uint'),
    engine: idle(11, 'word'),
    global_pooling: one(12, 'bool'),
    round_mode: one(13, 'RoundMode'),
    dilation: many(null, 'uint'),
    axis: one(16, 'int'),
    ceil_mode: one(1013, 'bool'),
  },
  SPP: { pyramid_height: one(1, 'uint'), pool: one(2, 'PoolMethod'), engine: idle(6, 'word') },
  LRN: {
    local_size: one(1, 'uint'),
    alpha: one(2, 'float'),
    beta: one(3, 'float'),
    norm_region: one(4, 'NormRegion'),
    k: one(5, 'float'),
    engine: idle(6, 'word'),
    fuse_type: idleAt(7, 'FuseType', 'UNFUSED'),
  },
  BatchNorm: {
    use_global_stats: one(1, 'bool'),
    moving_average_fraction: idle(2, 'float'),
    eps: one(3, 'float'),
    fused_relu: idleAt(4, 'bool', false),
    scale_filler: one(5, 'Filler'),
    bias_filler: one(6, 'Filler'),
    scale_bias: one(7, 'bool'),
    engine: idle(15, 'word'),
  },
  Bn: {
    slope_filler: one(null, 'Filler'),
    scale_filler: one(null, 'Filler'),
    bias_filler: one(null, 'Filler'),
    shift_filler: one(null, 'Filler'),
    eps: one(null, 'float'),
    bn_mode: one(null, 'BnMode'),
    momentum: idle(null, 'float'),
    frozen: idle(null, 'bool'),
    engine: idle(null, 'word'),
  },
  Scale: { axis: one(1, 'int'), num_axes: one(2, 'int'), filler: one(3, 'Filler'), bias_term: one(4, 'bool'), bias_filler: one(5, 'Filler') },
  Bias: { axis: one(1, 'int'), num_axes: one(2, 'int'), filler: one(3, 'Filler') },
  MVN: { normalize_variance: one(1, 'bool'), across_channels: one(2, 'bool'), eps: one(3, 'float') },
  Normalize: { across_spatial: one(1, 'bool'), scale_filler: one(2, 'Filler'), channel_shared: one(3, 'bool'), eps: one(4, 'float') },

  ReLU: { negative_slope: one(1, 'float'), engine: idle(2, 'word') },
  PReLU: { filler: one(1, 'Filler'), channel_shared: one(2, 'bool') },
  ELU: { alpha: one(1, 'float') },
  Sigmoid: { ...ENGINE_ONLY },
  TanH: { ...ENGINE_ONLY },
  Swish: { beta: one(1, 'float') },
  Clip: { min: one(1, 'float'), max: one(2, 'float') },
  Threshold: { threshold: one(1, 'float') },
  Dropout: { dropout_ratio: one(1, 'float'), scale_train: one(2, 'bool'), engine: idle(null, 'word') },
  Power: { power: one(1, 'float'), scale: one(2, 'float'), shift: one(3, 'float') },
  Exp: { base: one(1, 'float'), scale: one(2, 'float'), shift: one(3, 'float') },
  Softmax: { engine: idle(1, 'word'), axis: one(2, 'int') },

  Eltwise: { operation: one(1, 'EltwiseOp'), coeff: many(2, 'float'), stable_prod_grad: idle(3, 'bool'), engine: idle(null, 'word') },
  Concat: { concat_dim: one(1, 'uint'), axis: one(2, 'int'), engine: idle(null, 'word') },
  Slice: { slice_dim: one(1, 'uint'), slice_point: many(2, 'uint'), axis: one(3, 'int') },
  Crop: { axis: one(1, 'int'), offset: many(2, 'uint') },
  Flatten: { axis: one(1, 'int'), end_axis: one(2, 'int') },
  Reshape: { shape: one(1, 'Shape'), axis: one(2, 'int'), num_axes: one(3, 'int') },
  Permute: { order: many(1, 'uint') },
  Tile: { axis: one(1, 'int'), tiles: one(2, 'int') },
  Reduction: { operation: one(1, 'ReductionOp'), axis: one(2, 'int'), coeff: one(3, 'float') },
  ArgMax: { out_max_val: one(1, 'bool'), top_k: one(2, 'uint'), axis: one(3, 'int') },
  Interp: {
    height: one(1, 'int'),
    width: one(2, 'int'),
    zoom_factor: one(3, 'int'),
    shrink_factor: one(4, 'int'),
    pad_beg: one(5, 'int'),
    pad_end: one(6, 'int'),
  },
  // SegNet's.
  Upsample: {
    scale: one(1, 'float'),
    scale_h: one(2, 'float'),
    scale_w: one(3, 'float'),
    pad_out_h: one(4, 'bool'),
    pad_out_w: one(5, 'bool'),
    upsample_h: one(6, 'uint'),
    upsample_w: one(7, 'uint'),
  },
  ShuffleChannel: { group: one(1, 'uint') },

  Input: { shape: many(1, 'Shape') },
  Parameter: { shape: one(1, 'Shape') },
  Transform: {
    scale: one(1, 'float'),
    mirror: one(2, 'bool'),
    crop_size: one(3, 'uint'),
    mean_file: one(4, 'string'),
    mean_value: many(5, 'float'),
    force_color: one(6, 'bool'),
    force_gray: one(7, 'bool'),
    // 8 to 12 are other fields in every fork that has them.
    crop_h: one(null, 'uint'),
    crop_w: one(null, 'uint'),
    resize_param: one(null, 'Resize'),
    noise_param: one(null, 'Opaque'),
    distort_param: one(null, 'Opaque'),
    expand_param: one(null, 'Opaque'),
    emit_constraint: idle(null, 'Opaque'),
    random_seed: idle(null, 'int'),
    use_gpu_transform: idle(null, 'bool'),
    display: idle(null, 'bool'),
    num_labels: idle(null, 'int'),
  },
  Resize: {
    prob: idle(1, 'float'),
    resize_mode: one(2, 'word'),
    height: one(3, 'uint'),
    width: one(4, 'uint'),
    height_scale: idle(null, 'uint'),
    width_scale: idle(null, 'uint'),
    pad_mode: idle(5, 'word'),
    pad_value: idles(6, 'float'),
    interp_mode: idles(7, 'word'),
  },
  Data: {
    ...PICTURES,
    rand_skip: idle(7, 'uint'),
    backend: idle(8, 'word'),
    force_encoded_color: one(9, 'bool'),
    prefetch: idle(10, 'uint'),
    threads: idle(11, 'uint'),
    parser_threads: idle(12, 'uint'),
    cache: idle(13, 'bool'),
    shuffle: idle(14, 'bool'),
  },
  ImageData: {
    ...PICTURES,
    rand_skip: idle(7, 'uint'),
    shuffle: idle(8, 'bool'),
    new_height: one(9, 'uint'),
    new_width: one(10, 'uint'),
    is_color: one(11, 'bool'),
    root_folder: idle(12, 'string'),
  },
  WindowData: {
    ...PICTURES,
    fg_threshold: idle(7, 'float'),
    bg_threshold: idle(8, 'float'),
    fg_fraction: idle(9, 'float'),
    context_pad: one(10, 'uint'),
    crop_mode: one(11, 'string'),
    cache_images: idle(12, 'bool'),
    root_folder: idle(13, 'string'),
  },
  MemoryData: { batch_size: idle(1, 'uint'), channels: one(2, 'uint'), height: one(3, 'uint'), width: one(4, 'uint'), dim: many(5, 'uint') },
  DummyData: {
    data_filler: many(1, 'Filler'),
    // How many samples come at once is up to whoever feeds the net.
    num: idles(2, 'uint'),
    channels: many(3, 'uint'),
    height: many(4, 'uint'),
    width: many(5, 'uint'),
    shape: many(6, 'Shape'),
  },
  HDF5Data: { source: idle(1, 'string'), batch_size: idle(2, 'uint'), shuffle: idle(3, 'bool') },
  AnnotatedData: { batch_sampler: idles(1, 'Opaque'), label_map_file: idle(2, 'string'), anno_type: idle(3, 'word') },
  Python: { module: one(1, 'string'), layer: one(2, 'string'), param_str: idle(3, 'string'), share_in_parallel: idle(4, 'bool') },

  // What losses and measurements are told has no effect on what they are given.
  Loss: {
    ignore_label: idle(1, 'int'),
    normalize: idle(2, 'bool'),
    normalization: idle(3, 'word'),
    pre_fixed_normalizer: idle(4, 'float'),
    label_smoothing: idle(null, 'float'),
    weight_by_label_freqs: idle(null, 'bool'),
    class_weighting: idles(null, 'float'),
  },
  Accuracy: { top_k: idle(1, 'uint'), axis: idle(2, 'int'), ignore_label: idle(3, 'int') },
  ContrastiveLoss: { margin: idle(1, 'float'), legacy_version: idle(2, 'bool') },
  HingeLoss: { norm: idle(1, 'word') },
  InfogainLoss: { source: idle(1, 'string'), axis: idle(2, 'int') },
  HDF5Output: { file_name: idle(1, 'string') },
};

/** What a number may mean in a binary, where no name says which. */
export interface Contest {
  /** 'round_mode, ceil_mode, pad_type or dilation' */
  readonly meanings: string;
  /** Values that leave predictions as they are whichever of them is meant. */
  readonly agreed: readonly number[];
}

/**
 * Numbers of fields that forks use for different things of one wire type: BVLC's, and those of NVIDIA, Intel, OpenCL, Synopsys, yjxiong,
 * pathak22 (CCNN) and Bayesian SegNet.
 */
const CONTESTED: Readonly<Record<string, Readonly<Record<number, Contest>>>> = {
  Convolution: {
    16: { meanings: 'axis, dilation or hole', agreed: [1] },
    17: { meanings: 'force_nd_im2col, dilation_h or hole', agreed: [0] },
    19: { meanings: 'relu, pad_type, fuse_type, hole_w or cudnn_convolution_algo_seeker', agreed: [0] },
  },
  Pooling: {
    13: { meanings: 'round_mode, ceil_mode, pad_type or dilation', agreed: [] },
    16: { meanings: 'axis or pad_l', agreed: [] },
  },
  Dropout: { 2: { meanings: 'scale_train or sample_weights_test', agreed: [] } },
  BatchNorm: { 4: { meanings: 'engine, fused_relu or add_eps_before_sqrt', agreed: [] } },
};

export interface MessageSpec {
  readonly byName: ReadonlyMap<string, FieldSpec>;
  /** Two where a number means a message in one fork and a scalar in another; none where it is contested. */
  readonly byNumber: ReadonlyMap<number, readonly FieldSpec[]>;
  readonly contested: ReadonlyMap<number, Contest>;
}

const SCALARS: ReadonlySet<string> = new Set(['int', 'uint', 'float', 'bool', 'string', 'word', 'V1Type', ...Object.keys(ENUMS)]);

/** Messages by name; 'Opaque' is none of them. */
export const SCHEMA: ReadonlyMap<string, MessageSpec> = new Map(
  Object.entries(MESSAGES).map(([message, rows]) => {
    const specs = Object.entries(rows).map(([name, row]): FieldSpec => ({ name, ...row }));
    const contested = new Map(Object.entries(CONTESTED[message] ?? {}).map(([number, contest]) => [Number(number), contest]));
    const byNumber = new Map<number, FieldSpec[]>();
    for (const spec of specs) {
      if (!isMessage(spec) && !SCALARS.has(spec.type)) throw new Error(`${message}.${spec.name} has the type ${spec.type}, which is not described`);
      if (spec.number !== null && !contested.has(spec.number)) byNumber.set(spec.number, [...(byNumber.get(spec.number) ?? []), spec]);
    }
    return [message, { byName: new Map(specs.map((spec) => [spec.name, spec])), byNumber, contested }];
  }),
);

export function isMessage({ type }: Pick<FieldSpec, 'type'>): boolean {
  return type === 'Opaque' || type in MESSAGES;
}

/** Whether a value of the field leaves predictions as they are. */
export function isIdle(spec: FieldSpec, value: unknown): boolean {
  return spec.idle === true || spec.idle.some((resting) => resting === value);
}

/** Field numbers of blobs in the messages that have some. */
export const BLOBS_FIELD: Readonly<Record<string, number>> = { Layer: 7, V1Layer: 6, V0Layer: 50 };

/** Of a blob; Caffe's own limit (kMaxBlobAxes). */
export const MAX_AXES = 32;
