/**
 * Field numbers of Caffe's messages, as far as inference nets use them, and how old spellings map to new ones.
 *
 * A message is a string of `number:name` or `number:name:type`, where a type is the name of another message or enumeration, or
 * f (float) or s (string); numbers without a type are integers and booleans.
 *
 * @see https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto; permute and normalize are the SSD branch's
 */
const RAW: Readonly<Record<string, string>> = {
  Net: '1:name:s 2:layers:V1Layer 3:input:s 4:input_dim 5:force_backward 6:state:NetState 7:debug_info 8:input_shape:Shape 100:layer:Layer',
  Shape: '1:dim',
  NetState: '1:phase:Phase 2:level 3:stage:s',
  Rule: '1:phase:Phase 2:min_level 3:max_level 4:stage:s 5:not_stage:s',
  Param: '1:name:s 2:share_mode 3:lr_mult:f 4:decay_mult:f',
  Layer:
    '1:name:s 2:type:s 3:bottom:s 4:top:s 5:loss_weight:f 6:param:Param 8:include:Rule 9:exclude:Rule 10:phase:Phase 11:propagate_down ' +
    '100:transform_param:Transform 101:loss_param:Any 102:accuracy_param:Any 103:argmax_param:Any 104:concat_param:Concat 106:convolution_param:Convolution ' +
    '107:data_param:Data 108:dropout_param:Dropout 109:dummy_data_param:Any 110:eltwise_param:Eltwise 111:exp_param:Exp 112:hdf5_data_param:Any ' +
    '115:image_data_param:Data 117:inner_product_param:InnerProduct 118:lrn_param:LRN 119:memory_data_param:MemoryData 120:mvn_param:Any 121:pooling_param:Pooling ' +
    '122:power_param:Power 123:relu_param:ReLU 124:sigmoid_param:Engine 125:softmax_param:Softmax 126:slice_param:Slice 127:tanh_param:Engine 131:prelu_param:PReLU ' +
    '133:reshape_param:Reshape 134:log_param:Exp 135:flatten_param:Flatten 139:batch_norm_param:BatchNorm 140:elu_param:ELU 141:bias_param:Bias 142:scale_param:Scale ' +
    '143:input_param:Input 144:crop_param:Any 202:permute_param:Permute',
  V1Layer:
    '2:bottom:s 3:top:s 4:name:s 5:type:V1Type 7:blobs_lr:f 8:weight_decay:f 9:concat_param:Concat 10:convolution_param:Convolution 11:data_param:Data 12:dropout_param:Dropout ' +
    '15:image_data_param:Data 17:inner_product_param:InnerProduct 18:lrn_param:LRN 19:pooling_param:Pooling 21:power_param:Power 22:memory_data_param:MemoryData 23:argmax_param:Any ' +
    '24:eltwise_param:Eltwise 27:accuracy_param:Any 30:relu_param:ReLU 31:slice_param:Slice 32:include:Rule 33:exclude:Rule 35:loss_weight:f 36:transform_param:Transform ' +
    '37:tanh_param:Engine 38:sigmoid_param:Engine 39:softmax_param:Softmax 41:exp_param:Exp 42:loss_param:Any 1001:param:s',
  Transform: '1:scale:f 2:mirror 3:crop_size 4:mean_file:s 5:mean_value:f 6:force_color 7:force_gray',
  Data: '1:source:s 2:scale:f 3:mean_file:s 4:batch_size 5:crop_size 6:mirror 7:rand_skip 8:backend 9:new_height 10:new_width 11:is_color 12:root_folder:s 13:prefetch',
  MemoryData: '1:batch_size 2:channels 3:height 4:width',
  Input: '1:shape:Shape',
  Concat: '1:concat_dim 2:axis',
  Convolution:
    '1:num_output 2:bias_term 3:pad 4:kernel_size 5:group 6:stride 7:weight_filler:Any 8:bias_filler:Any 9:pad_h 10:pad_w 11:kernel_h 12:kernel_w 13:stride_h 14:stride_w 15:engine 16:axis 17:force_nd_im2col 18:dilation',
  Dropout: '1:dropout_ratio:f',
  Eltwise: '1:operation:EltwiseOp 2:coeff:f 3:stable_prod_grad',
  Exp: '1:base:f 2:scale:f 3:shift:f',
  InnerProduct: '1:num_output 2:bias_term 3:weight_filler:Any 4:bias_filler:Any 5:axis 6:transpose',
  LRN: '1:local_size 2:alpha:f 3:beta:f 4:norm_region:NormRegion 5:k:f 6:engine',
  Pooling:
    '1:pool:PoolMethod 2:kernel_size 3:stride 4:pad 5:kernel_h 6:kernel_w 7:stride_h 8:stride_w 9:pad_h 10:pad_w 11:engine 12:global_pooling 13:round_mode:RoundMode',
  Power: '1:power:f 2:scale:f 3:shift:f',
  ReLU: '1:negative_slope:f 2:engine',
  Engine: '1:engine',
  Softmax: '1:engine 2:axis',
  Slice: '1:slice_dim 2:slice_point 3:axis',
  PReLU: '1:filler:Any 2:channel_shared',
  Reshape: '1:shape:Shape 2:axis 3:num_axes',
  Flatten: '1:axis 2:end_axis',
  BatchNorm: '1:use_global_stats 2:moving_average_fraction:f 3:eps:f',
  ELU: '1:alpha:f',
  Bias: '1:axis 2:num_axes 3:filler:Any',
  Scale: '1:axis 2:num_axes 3:filler:Any 4:bias_term 5:bias_filler:Any',
  Permute: '1:order',
};

/** Names of enumerated values, by number. */
export const ENUMS: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  Phase: { 0: 'TRAIN', 1: 'TEST' },
  PoolMethod: { 0: 'MAX', 1: 'AVE', 2: 'STOCHASTIC' },
  NormRegion: { 0: 'ACROSS_CHANNELS', 1: 'WITHIN_CHANNEL' },
  EltwiseOp: { 0: 'PROD', 1: 'SUM', 2: 'MAX' },
  RoundMode: { 0: 'CEIL', 1: 'FLOOR' },
  V1Type: {
    1: 'ACCURACY',
    2: 'BNLL',
    3: 'CONCAT',
    4: 'CONVOLUTION',
    5: 'DATA',
    6: 'DROPOUT',
    7: 'EUCLIDEAN_LOSS',
    8: 'FLATTEN',
    9: 'HDF5_DATA',
    10: 'HDF5_OUTPUT',
    11: 'IM2COL',
    12: 'IMAGE_DATA',
    13: 'INFOGAIN_LOSS',
    14: 'INNER_PRODUCT',
    15: 'LRN',
    16: 'MULTINOMIAL_LOGISTIC_LOSS',
    17: 'POOLING',
    18: 'RELU',
    19: 'SIGMOID',
    20: 'SOFTMAX',
    21: 'SOFTMAX_LOSS',
    22: 'SPLIT',
    23: 'TANH',
    24: 'WINDOW_DATA',
    25: 'ELTWISE',
    26: 'POWER',
    27: 'SIGMOID_CROSS_ENTROPY_LOSS',
    28: 'HINGE_LOSS',
    29: 'MEMORY_DATA',
    30: 'ARGMAX',
    31: 'THRESHOLD',
    32: 'DUMMY_DATA',
    33: 'SLICE',
    34: 'MVN',
    35: 'ABSVAL',
    36: 'SILENCE',
    37: 'CONTRASTIVE_LOSS',
    38: 'EXP',
    39: 'DECONVOLUTION',
  },
};

/** V1 type names to those of the string types that replaced them. */
export const V1_TYPES: Readonly<Record<string, string>> = {
  ABSVAL: 'AbsVal',
  ACCURACY: 'Accuracy',
  ARGMAX: 'ArgMax',
  BNLL: 'BNLL',
  CONCAT: 'Concat',
  CONTRASTIVE_LOSS: 'ContrastiveLoss',
  CONVOLUTION: 'Convolution',
  DATA: 'Data',
  DECONVOLUTION: 'Deconvolution',
  DROPOUT: 'Dropout',
  DUMMY_DATA: 'DummyData',
  ELTWISE: 'Eltwise',
  EUCLIDEAN_LOSS: 'EuclideanLoss',
  EXP: 'Exp',
  FLATTEN: 'Flatten',
  HDF5_DATA: 'HDF5Data',
  HDF5_OUTPUT: 'HDF5Output',
  HINGE_LOSS: 'HingeLoss',
  IM2COL: 'Im2col',
  IMAGE_DATA: 'ImageData',
  INFOGAIN_LOSS: 'InfogainLoss',
  INNER_PRODUCT: 'InnerProduct',
  LRN: 'LRN',
  MEMORY_DATA: 'MemoryData',
  MULTINOMIAL_LOGISTIC_LOSS: 'MultinomialLogisticLoss',
  MVN: 'MVN',
  POOLING: 'Pooling',
  POWER: 'Power',
  RELU: 'ReLU',
  SIGMOID: 'Sigmoid',
  SIGMOID_CROSS_ENTROPY_LOSS: 'SigmoidCrossEntropyLoss',
  SILENCE: 'Silence',
  SLICE: 'Slice',
  SOFTMAX: 'Softmax',
  SOFTMAX_LOSS: 'SoftmaxWithLoss',
  SPLIT: 'Split',
  TANH: 'TanH',
  THRESHOLD: 'Threshold',
  WINDOW_DATA: 'WindowData',
};

export interface FieldSpec {
  readonly name: string;
  /** 'int', 'f', 's', 'Any' (known, contents without meaning for inference), or the name of a message or enumeration. */
  readonly type: string;
}

/** Fields of each message by number. */
export const SCHEMA: Readonly<Record<string, ReadonlyMap<number, FieldSpec>>> = Object.fromEntries(
  Object.entries(RAW).map(([message, text]) => [
    message,
    new Map(
      text.split(' ').map((part) => {
        const [number, name, type = 'int'] = part.split(':') as [string, string, string?];
        return [Number(number), { name, type }];
      }),
    ),
  ]),
);

/** Field numbers of a layer's blobs: in NetParameter.layer and in the older NetParameter.layers. */
export const BLOBS_FIELD = { Layer: 7, V1Layer: 6 } as const;
/** BlobProto. */
export const BLOB = { num: 1, channels: 2, height: 3, width: 4, data: 5, shape: 7, doubleData: 8 } as const;
