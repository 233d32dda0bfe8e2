/**
 * Every field of BVLC's caffe.proto, and fields of its forks, as their sources have them: planted in text and in binary, each is used, is
 * known to be without effect, or is named. The lists are facts of those sources, and know nothing of this project's own schema.
 *
 * @see https://github.com/BVLC/caffe/blob/master/src/caffe/proto/caffe.proto, and the same file of intel/caffe, NVIDIA/caffe, yjxiong/caffe,
 *   alexgkendall/caffe-segnet, happynear/caffe-windows, foss-for-synopsys-dwc-arc-processors/synopsys-caffe, weiliu89/caffe, pathak22/ccnn
 */
import { describe, expect, it } from 'vitest';
import { MessageBuilder } from '../../src/containers/protobuf-writer.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { type BlobSpec, type Blobs, blob, bytesOf, caffemodel, filesOf, values } from './caffe-files.js';

/** An enumerator: its name, for text, and its number, for binary. */
interface Named {
  readonly name: string;
  readonly number: number;
}
type Value = number | boolean | string | Named | readonly (number | Named)[] | Settings;
interface Settings {
  readonly [name: string]: Value;
}

interface ProtoField {
  readonly name: string;
  readonly number: number;
  /** u: uint, i: int, b: bool, f: float, d: double, s: string, m: message; or 'NAME=1/OTHER=2'. */
  readonly type: string;
  /** Without effect on a prediction, whatever it holds. */
  readonly isIdle: boolean;
  /** Another field of a fork has this number, too: in a binary it has to be named, unless its value is without effect for both. */
  readonly isContested: boolean;
}

/** 'num_output 1 u; engine 15 DEFAULT=0/CAFFE=1 ~; axis 16 i !' */
function fields(list: string): ProtoField[] {
  return list.split(';').map((entry) => {
    const [name, number, type, ...marks] = entry.trim().split(' ') as [string, string, string, ...string[]];
    return { name, number: Number(number), type, isIdle: marks.includes('~'), isContested: marks.includes('!') };
  });
}

const ENGINE = 'DEFAULT=0/CAFFE=1/CUDNN=2 ~';
const FILLER = fields('type 1 s; value 2 f; min 3 f; max 4 f; mean 5 f; std 6 f; sparse 7 i; variance_norm 8 FAN_IN=0/FAN_OUT=1/AVERAGE=2');
const SHAPE = fields('dim 1 i');
const POOL = 'MAX=0/AVE=1/STOCHASTIC=2';

interface Proto {
  readonly block: string;
  readonly number: number;
  readonly fields: readonly ProtoField[];
  readonly base?: Settings;
  readonly blobs?: readonly BlobSpec[];
  readonly bottoms?: readonly string[];
  readonly tops?: readonly string[];
}
const proto = (block: string, number: number, list: string, more: Omit<Proto, 'block' | 'number' | 'fields'> = {}): Proto => ({
  block,
  number,
  fields: fields(list),
  ...more,
});
const CONVOLUTION = proto(
  'convolution_param',
  106,
  `num_output 1 u; bias_term 2 b; pad 3 u; kernel_size 4 u; stride 6 u; dilation 18 u; pad_h 9 u; pad_w 10 u; kernel_h 11 u; kernel_w 12 u; stride_h 13 u; stride_w 14 u; group 5 u; weight_filler 7 m ~; bias_filler 8 m ~; engine 15 ${ENGINE}; axis 16 i !; force_nd_im2col 17 b ~ !`,
  { base: { num_output: 4, kernel_size: 3 }, blobs: [blob(4, 4, 3, 3), blob(4)] },
);

/** BVLC's messages of layers that predict, with a layer of each type that has nothing but what it needs. */
const BVLC: Readonly<Record<string, Proto>> = {
  ArgMax: proto('argmax_param', 103, 'out_max_val 1 b; top_k 2 u; axis 3 i'),
  Concat: proto('concat_param', 104, 'axis 2 i; concat_dim 1 u'),
  BatchNorm: proto('batch_norm_param', 139, 'use_global_stats 1 b; moving_average_fraction 2 f ~; eps 3 f', {
    blobs: [values(1, 2, 3, 4), values(1, 2, 3, 4), values(2)],
  }),
  Bias: proto('bias_param', 141, 'axis 1 i; num_axes 2 i; filler 3 m ~', { blobs: [blob(4)] }),
  Clip: proto('clip_param', 148, 'min 1 f; max 2 f', { base: { min: -1, max: 1 } }),
  Convolution: CONVOLUTION,
  Deconvolution: CONVOLUTION,
  Crop: proto('crop_param', 144, 'axis 1 i; offset 2 u', { bottoms: ['data', 'like'] }),
  Dropout: proto('dropout_param', 108, 'dropout_ratio 1 f ~'),
  Eltwise: proto('eltwise_param', 110, 'operation 1 PROD=0/SUM=1/MAX=2; coeff 2 f; stable_prod_grad 3 b ~', { bottoms: ['data', 'more'] }),
  ELU: proto('elu_param', 140, 'alpha 1 f'),
  Embed: proto('embed_param', 137, 'num_output 1 u; input_dim 2 u; bias_term 3 b; weight_filler 4 m ~; bias_filler 5 m ~', {
    base: { num_output: 3, input_dim: 5 },
    blobs: [blob(5, 3), blob(3)],
  }),
  Exp: proto('exp_param', 111, 'base 1 f; scale 2 f; shift 3 f'),
  Flatten: proto('flatten_param', 135, 'axis 1 i; end_axis 2 i'),
  InnerProduct: proto('inner_product_param', 117, 'num_output 1 u; bias_term 2 b; weight_filler 3 m ~; bias_filler 4 m ~; axis 5 i; transpose 6 b', {
    base: { num_output: 3 },
    blobs: [blob(3, 120), blob(3)],
  }),
  Log: proto('log_param', 134, 'base 1 f; scale 2 f; shift 3 f'),
  LRN: proto('lrn_param', 118, `local_size 1 u; alpha 2 f; beta 3 f; norm_region 4 ACROSS_CHANNELS=0/WITHIN_CHANNEL=1; k 5 f; engine 6 ${ENGINE}`),
  MVN: proto('mvn_param', 120, 'normalize_variance 1 b; across_channels 2 b; eps 3 f'),
  Pooling: proto(
    'pooling_param',
    121,
    `pool 1 ${POOL}; pad 4 u; pad_h 9 u; pad_w 10 u; kernel_size 2 u; kernel_h 5 u; kernel_w 6 u; stride 3 u; stride_h 7 u; stride_w 8 u; engine 11 ${ENGINE}; global_pooling 12 b; round_mode 13 CEIL=0/FLOOR=1 !`,
    { base: { kernel_size: 3, stride: 2 } },
  ),
  Power: proto('power_param', 122, 'power 1 f; scale 2 f; shift 3 f'),
  PReLU: proto('prelu_param', 131, 'filler 1 m ~; channel_shared 2 b', { blobs: [blob(4)] }),
  Reduction: proto('reduction_param', 136, 'operation 1 SUM=1/ASUM=2/SUMSQ=3/MEAN=4; axis 2 i; coeff 3 f', { base: { axis: 1 } }),
  ReLU: proto('relu_param', 123, `negative_slope 1 f; engine 2 ${ENGINE}`),
  Reshape: proto('reshape_param', 133, 'shape 1 m; axis 2 i; num_axes 3 i', { base: { shape: { dim: [0, -1] } } }),
  Scale: proto('scale_param', 142, 'axis 1 i; num_axes 2 i; filler 3 m ~; bias_term 4 b; bias_filler 5 m ~', { blobs: [blob(4)] }),
  Sigmoid: proto('sigmoid_param', 124, `engine 1 ${ENGINE}`),
  Slice: proto('slice_param', 126, 'axis 3 i; slice_point 2 u; slice_dim 1 u', { tops: ['out', 'rest'] }),
  Softmax: proto('softmax_param', 125, `engine 1 ${ENGINE}; axis 2 i`),
  SPP: proto('spp_param', 132, `pyramid_height 1 u; pool 2 ${POOL}; engine 6 ${ENGINE}`, { base: { pyramid_height: 2 } }),
  Swish: proto('swish_param', 147, 'beta 1 f'),
  TanH: proto('tanh_param', 127, `engine 1 ${ENGINE}`),
  Threshold: proto('threshold_param', 128, 'threshold 1 f'),
  Tile: proto('tile_param', 138, 'axis 1 i; tiles 2 i', { base: { tiles: 2 } }),
};

/** Of the SSD branch, which has them under numbers of its own. */
const SSD: Readonly<Record<string, Proto>> = {
  Normalize: proto('norm_param', 206, 'across_spatial 1 b; scale_filler 2 m ~; channel_shared 3 b; eps 4 f', { blobs: [blob(1)] }),
  Permute: proto('permute_param', 202, 'order 1 u'),
};

/** LayerParameter's own, beside the wiring. */
const LAYER_BLOCKS =
  'transform_param 100; loss_param 101; accuracy_param 102; argmax_param 103; concat_param 104; contrastive_loss_param 105; convolution_param 106; data_param 107; dropout_param 108; dummy_data_param 109; eltwise_param 110; exp_param 111; hdf5_data_param 112; hdf5_output_param 113; hinge_loss_param 114; image_data_param 115; infogain_loss_param 116; inner_product_param 117; lrn_param 118; memory_data_param 119; mvn_param 120; pooling_param 121; power_param 122; relu_param 123; sigmoid_param 124; softmax_param 125; slice_param 126; tanh_param 127; threshold_param 128; window_data_param 129; python_param 130; prelu_param 131; spp_param 132; reshape_param 133; log_param 134; flatten_param 135; reduction_param 136; embed_param 137; tile_param 138; batch_norm_param 139; elu_param 140; bias_param 141; scale_param 142; input_param 143; crop_param 144; parameter_param 145; recurrent_param 146; swish_param 147; clip_param 148; annotated_data_param 200; multibox_loss_param 201; permute_param 202; prior_box_param 203; detection_output_param 204; detection_evaluate_param 205; norm_param 206; video_data_param 207';

/** V1LayerParameter's, beside the wiring. */
const V1_BLOCKS =
  'concat_param 9; convolution_param 10; data_param 11; dropout_param 12; hdf5_data_param 13; hdf5_output_param 14; image_data_param 15; infogain_loss_param 16; inner_product_param 17; lrn_param 18; pooling_param 19; window_data_param 20; power_param 21; memory_data_param 22; argmax_param 23; eltwise_param 24; threshold_param 25; dummy_data_param 26; accuracy_param 27; hinge_loss_param 29; relu_param 30; slice_param 31; mvn_param 34; transform_param 36; tanh_param 37; sigmoid_param 38; softmax_param 39; contrastive_loss_param 40; exp_param 41; loss_param 42';

/** V0LayerParameter's, beside name and type. */
const V0_FIELDS = fields(
  `num_output 3 u; biasterm 4 b; weight_filler 5 m; bias_filler 6 m; pad 7 u; kernelsize 8 u; group 9 u; stride 10 u; pool 11 ${POOL}; dropout_ratio 12 f; local_size 13 u; alpha 14 f; beta 15 f; k 22 f; source 16 s; scale 17 f; meanfile 18 s; batchsize 19 u; cropsize 20 u; mirror 21 b; blobs_lr 51 f ~; weight_decay 52 f ~; rand_skip 53 u; det_fg_threshold 54 f; det_bg_threshold 55 f; det_fg_fraction 56 f; det_context_pad 58 u; det_crop_mode 59 s; new_num 60 i; new_channels 61 i; new_height 62 i; new_width 63 i; shuffle_images 64 b; concat_dim 65 u; hdf5_output_param 1001 m`,
);

/** What forks add to messages of layers that predict; ~ for what can change nothing, ! where another has the number for something else. */
const FORKS: readonly (readonly [fork: string, type: string, list: string])[] = [
  ['NVIDIA', 'BatchNorm', `scale_filler 5 m; bias_filler 6 m; engine 15 ${ENGINE}`],
  ['NVIDIA', 'Convolution', 'cudnn_convolution_algo_seeker 19 GET=0/FINDEX=1 ~ !'],
  [
    'Intel',
    'BatchNorm',
    'engine 4 DEFAULT=0/CAFFE=1/MKL2017=3 ~ !; use_weight_bias 5 b; bias_term 6 b; filler 7 m; bias_filler 8 m; stats_batch_size 9 u; relu 10 b',
  ],
  ['Intel', 'Convolution', 'relu 19 b !; negative_slope 20 f; conv_algorithm 21 s ~ !'],
  ['Intel', 'Concat', 'engine 3 DEFAULT=0/CAFFE=1/MKL2017=3 ~ !'],
  ['Intel', 'Eltwise', 'engine 4 DEFAULT=0/CAFFE=1/MKL2017=3 ~ !'],
  ['yjxiong', 'Convolution', 'dilation 16 u !; dilation_h 17 u !'],
  ['yjxiong', 'Reduction', 'k 4 i; operation 1 TOPK=5'],
  ['yjxiong', 'Eltwise', 'operation 1 STOCHASTIC_SUM=3'],
  ['pathak22', 'Convolution', 'hole 17 u !; hole_w 19 u !'],
  ['Bayesian SegNet', 'Dropout', 'sample_weights_test 2 b !'],
  ['scale_train', 'Dropout', 'scale_train 2 b !; scale_train 3 b !'],
  ['pull request 3057', 'Pooling', 'ceil_mode 13 b !; ceil_mode 14 b !'],
  ['OpenCL', 'Pooling', 'dilation 13 u !'],
  ['Synopsys', 'BatchNorm', 'add_eps_before_sqrt 4 b !; update_global_stats 6 b; icnet 7 b !'],
  ['Synopsys', 'ArgMax', 'min_first 4 b'],
  [
    'Synopsys',
    'Convolution',
    'pad_type 19 u !; pad_l 26 u; pad_r 27 u; pad_t 28 u; pad_b 29 u; input_scale 30 d; output_scale 31 d; saturate 32 Signed=1; weight_fixed 23 b; dis_mode 20 b; gen_mode 21 b; shape_offset 22 u',
  ],
  ['Synopsys', 'Eltwise', 'operation 1 DIV=3/MIN=4; output_scale 4 d; saturate 5 Signed=1; axis 6 i'],
  ['Synopsys', 'InnerProduct', 'weight_fixed 7 b; dis_mode 8 b; gen_mode 9 b; output_scale 11 d'],
  ['Synopsys', 'LRN', 'input_scale 7 d; output_scale 8 d'],
  ['Synopsys', 'MVN', 'add_eps_before_sqrt 4 b'],
  ['Synopsys', 'Normalize', 'add_eps_before_sqrt 5 b'],
  [
    'Synopsys',
    'Pooling',
    'pool 1 AVE_EXC_PAD=3; pad_type 13 u !; pad_l 16 u !; pad_r 17 u; pad_t 18 u; pad_b 19 u; output_shift_instead_division 21 u; saturate 22 Signed=1',
  ],
];

/** Numbers of messages that forks add to LayerParameter, many for several things; as strings and numbers where they are such. */
const FORK_LAYER_NUMBERS = [
  41, 45, 137, 138, 139, 140, 141, 142, 143, 145, 146, 147, 148, 149, 150, 151, 152, 153, 154, 155, 156, 158, 159, 160, 161, 162, 164, 187, 188, 200, 208, 209,
  301, 601, 602, 603, 1030, 2143, 8266711, 8266712,
];

const named = (type: string): Named[] =>
  type.split('/').map((entry) => {
    const [name, number] = entry.split('=') as [string, string];
    return { name, number: Number(number) };
  });

/** Values that a field of the type may hold; nowhere are all of them the default. */
function samples({ type, name }: ProtoField): Value[] {
  const known: Readonly<Record<string, Value[]>> = {
    u: [2, 7],
    i: [3, -3],
    b: [true, false],
    f: [0.375],
    d: [0.375],
    s: ['odd'],
    m: [name === 'shape' ? { dim: [0, 2, -1] } : { type: 'xavier', std: 0.5 }],
  };
  return known[type] ?? named(type);
}

function textOf(settings: Settings): string {
  return Object.entries(settings)
    .flatMap(([name, value]) => {
      const shown = (one: Value): string => {
        if (typeof one === 'string') return `${name}: ${JSON.stringify(one)}`;
        if (typeof one !== 'object') return `${name}: ${one}`;
        return 'number' in one && 'name' in one ? `${name}: ${(one as Named).name}` : `${name} { ${textOf(one as Settings)} }`;
      };
      return Array.isArray(value) ? value.map(shown) : [shown(value)];
    })
    .join(' ');
}

function encode(message: MessageBuilder, number: number, type: string, value: Value): void {
  if (Array.isArray(value)) for (const one of value) encode(message, number, type, one);
  else if (type === 'm') message.message(number, built(value as Settings, 'dim' in (value as Settings) ? SHAPE : FILLER));
  else if (type === 'f') message.float(number, value as number);
  else if (type === 's') message.string(number, value as string);
  else if (type === 'd') message.raw(Uint8Array.of(...varint(number * 8 + 1), ...new Uint8Array(Float64Array.of(value as number).buffer)));
  else message.int(number, typeof value === 'object' ? (value as Named).number : Number(value));
}

function varint(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...varint(value >> 7)];
}

function built(settings: Settings, known: readonly ProtoField[]): MessageBuilder {
  const message = new MessageBuilder();
  for (const [name, value] of Object.entries(settings)) {
    const field = known.find((one) => one.name === name)!;
    encode(message, field.number, field.type, value);
  }
  return message;
}

const INPUTS: Readonly<Record<string, readonly number[]>> = { data: [2, 4, 5, 6], more: [2, 4, 5, 6], like: [2, 4, 2, 3] };

interface Planted {
  readonly settings?: Settings;
  /** In binary, into the layer's own message or into the layer. */
  readonly block?: (message: MessageBuilder) => void;
  readonly layer?: (message: MessageBuilder) => void;
  readonly layerText?: string;
}

function netText(type: string, { block, base = {}, bottoms = ['data'], tops = ['out'] }: Proto, planted: Planted): string {
  const inputs = Object.entries(INPUTS).map(([name, dims]) => `input: "${name}" input_shape { ${dims.map((dim) => `dim: ${dim}`).join(' ')} }`);
  const words = (name: string, list: readonly string[]) => list.map((word) => `${name}: "${word}"`).join(' ');
  const own = `${block} { ${textOf({ ...base, ...planted.settings })} }`;
  return `name: "made" ${inputs.join(' ')} layer { name: "out" type: "${type}" ${words('bottom', bottoms)} ${words('top', tops)} ${own} ${planted.layerText ?? ''} }`;
}

function netBinary(type: string, { number, fields: known, base = {}, bottoms = ['data'], tops = ['out'] }: Proto, planted: Planted): Uint8Array {
  const net = new MessageBuilder().string(1, 'made');
  for (const name of Object.keys(INPUTS)) net.string(3, name);
  for (const dims of Object.values(INPUTS)) net.message(8, built({ dim: dims }, SHAPE));
  const layer = new MessageBuilder().string(1, 'out').string(2, type);
  for (const bottom of bottoms) layer.string(3, bottom);
  for (const top of tops) layer.string(4, top);
  const own = built({ ...base, ...planted.settings }, known);
  planted.block?.(own);
  layer.message(number, own);
  planted.layer?.(layer);
  return bytesOf(net.message(100, layer));
}

/** Everything that a map says, weights included; or the refusal. */
async function outcome(description: string | Uint8Array, blobs: readonly BlobSpec[] | undefined): Promise<string> {
  const stored: Blobs = blobs ? { out: blobs } : {};
  try {
    const map = await (await openModel(filesOf(description, caffemodel(stored)), {})).map();
    const layers = [];
    for (const { weights, ...layer } of map.layers) {
      const bytes: Record<string, string> = {};
      for (const [role, tensor] of Object.entries(weights)) bytes[role] = `${tensor.shape} ${Buffer.from(await tensorBytes(tensor)).toString('hex')}`;
      layers.push({ ...layer, bytes });
    }
    return JSON.stringify({ ...map, layers });
  } catch (error) {
    return `refused: ${error instanceof Error ? error.message : error}`;
  }
}

const isRefused = (text: string) => text.startsWith('refused: ');
/** Which number a fork's file has is no business of the text. */
const withoutNumbers = (text: string) => (isRefused(text) ? 'refused' : text);

const ALL = Object.entries({ ...BVLC, ...SSD });

describe('fields of BVLC', () => {
  it.each(ALL)('%s: each is used, refused, or without effect, and says the same in text and in binary', async (type, message) => {
    const plain = await outcome(netText(type, message, {}), message.blobs);
    expect(isRefused(plain), plain).toBe(false);
    expect(await outcome(netBinary(type, message, {}), message.blobs)).toBe(plain);
    for (const field of message.fields) {
      const seen = [];
      for (const value of samples(field)) {
        const planted = { settings: { [field.name]: value } };
        const inText = await outcome(netText(type, message, planted), message.blobs);
        const inBinary = await outcome(netBinary(type, message, planted), message.blobs);
        const what = `${type}.${field.name} = ${JSON.stringify(value)}`;
        if (field.isIdle) expect(inText, what).toBe(plain);
        if (field.isContested && isRefused(inBinary)) expect(inBinary, what).toMatch(new RegExp(`field ${field.number} .*--prototxt`));
        else expect(withoutNumbers(inBinary), what).toBe(withoutNumbers(inText));
        seen.push(inText);
      }
      if (!field.isIdle) expect(seen.filter((one) => one !== plain).length, `${type}.${field.name} has no effect`).toBeGreaterThan(0);
    }
  });

  const relu = BVLC.ReLU!;
  /** Pictures are prepared nowhere but where they come in; what these messages hold is not read. */
  const REFUSED = /^(transform|recurrent|multibox_loss|prior_box|detection_output|detection_evaluate|video_data)_param$/;
  /** A layer of another type does not look at it: told, where the number is no fork's. */
  const isTold = (name: string, number: number) => !REFUSED.test(name) && number < 137;
  const told = (name: string) => new RegExp(`setting-ignored.*${name}, which Caffe gives to layers of other types only`);
  const namedAt = (name: string) => new RegExp(`refused: .*"out".*${name}`, 's');

  it.each(LAYER_BLOCKS.split('; ').filter((entry) => !entry.startsWith('relu_param ')))('%s on a layer of another type is named', async (entry) => {
    const [name, number] = entry.split(' ') as [string, string];
    const inText = await outcome(netText('ReLU', relu, { layerText: `${name} { }` }), undefined);
    const inBinary = await outcome(netBinary('ReLU', relu, { layer: (layer) => void layer.message(Number(number), new MessageBuilder()) }), undefined);
    expect(inText).toMatch(isTold(name, 0) ? told(name) : namedAt(name));
    expect(inBinary).toMatch(isTold(name, Number(number)) ? told(name) : namedAt(name));
    const odd = new MessageBuilder().int(999, 17);
    expect(await outcome(netText('ReLU', relu, { layerText: `${name} { zzz: 17 }` }), undefined)).toMatch(namedAt(name));
    expect(await outcome(netBinary('ReLU', relu, { layer: (layer) => void layer.message(Number(number), odd) }), undefined)).toMatch(namedAt(name));
  });

  const v1 = (more: (layer: MessageBuilder) => void) => {
    const layer = new MessageBuilder().string(2, 'data').string(3, 'out').string(4, 'out').int(5, 18);
    more(layer);
    return bytesOf(
      new MessageBuilder()
        .string(1, 'made')
        .message(2, layer)
        .string(3, 'data')
        .message(8, built({ dim: [2, 4] }, SHAPE)),
    );
  };
  it.each(V1_BLOCKS.split('; ').filter((entry) => !entry.startsWith('relu_param ')))('%s on a layer of another type of 2014 is named', async (entry) => {
    const [name, number] = entry.split(' ') as [string, string];
    const text = `input: "data" input_shape { dim: 2 dim: 4 } layers { name: "out" type: RELU bottom: "data" top: "out" ${name} { } }`;
    const words = isTold(name, Number(number)) ? told(name) : namedAt(name);
    expect(await outcome(text, undefined)).toMatch(words);
    expect(
      await outcome(
        v1((layer) => void layer.message(Number(number), new MessageBuilder())),
        undefined,
      ),
    ).toMatch(words);
  });

  it.each(V0_FIELDS)('$name on a layer of 2013 is named, or without effect', async (field) => {
    const v0 = (more: (layer: MessageBuilder) => void) => {
      const inner = new MessageBuilder().string(1, 'out').string(2, 'relu');
      more(inner);
      const layer = new MessageBuilder().message(1, inner).string(2, 'data').string(3, 'out');
      return bytesOf(
        new MessageBuilder()
          .string(1, 'made')
          .message(2, layer)
          .string(3, 'data')
          .message(8, built({ dim: [2, 4] }, SHAPE)),
      );
    };
    const value = samples(field)[0]!;
    const text = (more: string) =>
      `input: "data" input_shape { dim: 2 dim: 4 } layers { layer { name: "out" type: "relu" ${more} } bottom: "data" top: "out" }`;
    const inText = await outcome(text(textOf({ [field.name]: field.name === 'hdf5_output_param' ? {} : value })), undefined);
    const inBinary = await outcome(
      v0((layer) => encode(layer, field.number, field.type, value)),
      undefined,
    );
    const renamed = { scale: 'transform_param', meanfile: 'transform_param', cropsize: 'transform_param', mirror: 'transform_param' }[field.name];
    if (field.isIdle) expect(JSON.parse(inText).layers).toEqual(JSON.parse(await outcome(text(''), undefined)).layers);
    else expect(inText).toMatch(new RegExp(`refused: .*"out".*${renamed ?? field.name}`, 's'));
    if (field.isIdle) expect(isRefused(inBinary)).toBe(false);
    else expect(inBinary).toMatch(new RegExp(`refused: .*"out".*${renamed ?? field.name}`, 's'));
  });
});

describe('fields of forks', () => {
  const byType = new Map(ALL);
  it.each(FORKS.map(([fork, type, list]) => ({ fork, type, list })))(
    '$fork: what it adds to $type is named where it is not understood',
    async ({ type, list }) => {
      const message = byType.get(type)!;
      const plain = await outcome(netText(type, message, {}), message.blobs);
      for (const field of fields(list)) {
        for (const value of samples(field)) {
          const what = `${type}.${field.name} ${field.number} = ${JSON.stringify(value)}`;
          const inText = await outcome(netText(type, message, { settings: { [field.name]: value } }), message.blobs);
          const inBinary = await outcome(netBinary(type, message, { block: (block) => encode(block, field.number, field.type, value) }), message.blobs);
          if (field.isIdle) expect(withoutNumbers(inText) === 'refused' ? plain : inText, what).toBe(plain);
          // A refusal names the place; what is accepted is what the names in the text mean, or rests for whatever the number means.
          if (isRefused(inText)) expect(inText, what).toMatch(/"out"|line 1/);
          if (isRefused(inBinary)) expect(inBinary, what).toMatch(/"out"/);
          else if (value === false && field.isContested) expect(inBinary, what).toBe(plain);
          else expect(inBinary, what).toBe(isRefused(inText) ? 'refused, as its text is' : inText);
        }
      }
    },
  );

  it('may be spelt by axis, and are what they say', async () => {
    const pads = async (words: string) =>
      await outcome(netText('Convolution', CONVOLUTION, { settings: {}, layerText: '' }).replace('num_output', `${words} num_output`), CONVOLUTION.blobs);
    expect(await pads('dilation_h: 2 dilation_w: 1')).toBe(await pads('dilation: 2 dilation: 1'));
    expect(await pads('hole_h: 1 hole_w: 2')).toBe(await pads('dilation: 1 dilation: 2'));
    expect(await pads('hole: 2 dilation_h: 2')).toMatch(/refused: .*which are the same/s);
  });

  const relu = BVLC.ReLU!;
  it.each(FORK_LAYER_NUMBERS)('field %i of a layer is named, as a message and as text', async (number) => {
    const inner = new MessageBuilder().int(1, 2).float(2, 0.5);
    for (const plant of [(layer: MessageBuilder) => void layer.message(number, inner), (layer: MessageBuilder) => void layer.string(number, 'MKLDNN')]) {
      expect(await outcome(netBinary('ReLU', relu, { layer: plant }), undefined)).toMatch(/refused: .*(field \d+|_param)/s);
    }
  });

  it('of a net of Intel have no effect', async () => {
    const more = (net: MessageBuilder) =>
      bytesOf(
        net
          .string(9, 'MKLDNN')
          .message(10, new MessageBuilder().int(1, 1).int(2, 1))
          .int(11, 32)
          .message(100, new MessageBuilder().string(1, 'out').string(2, 'ReLU').string(3, 'data').string(4, 'out'))
          .message(101, new MessageBuilder().message(1, new MessageBuilder().string(1, 'out'))),
      );
    const net = more(
      new MessageBuilder()
        .string(1, 'made')
        .string(3, 'data')
        .message(8, built({ dim: [2, 4] }, SHAPE)),
    );
    const text = 'name: "made" engine: "MKLDNN" input: "data" input_shape { dim: 2 dim: 4 } layer { name: "out" type: "ReLU" bottom: "data" top: "out" }';
    expect(await outcome(net, undefined)).toBe(await outcome(text, undefined));
    expect(isRefused(await outcome(text, undefined))).toBe(false);
  });

  it('a flag that is no flag is named', async () => {
    expect(await outcome(netBinary('MVN', BVLC.MVN!, { block: (block) => void block.int(2, 2) }), undefined)).toMatch(/refused: .*across_channels 2/s);
  });
});
