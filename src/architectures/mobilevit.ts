/**
 * MobileViT: Mehta & Rastegari, "MobileViT: Light-weight, General-purpose, and Mobile-friendly Vision Transformer", 2021, table 4; and
 * "Separable Self-attention for Mobile Vision Transformers" (version 2), 2022. Names are timm's and transformers'.
 */
import { bilinear } from './adaptive.js';
import { blockNames, encoderBlock, layerNorm } from './attention.js';
import { convNormAct, groupNorm, residual } from './blocks.js';
import { family, RAW } from './family.js';
import { pooledHead } from './head.js';
import { type Activation, Departure, type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';

interface Stage {
  readonly out: number;
  /** Inverted residuals, of which the first strides. */
  readonly depth: number;
  /** Behind them: features of the transformer, and its layers. */
  readonly transformer?: readonly [features: number, layers: number];
}

interface Size {
  readonly stem: number;
  /** How often inverted residuals are wider inside. */
  readonly ratio: number;
  readonly stages: readonly Stage[];
  /** Channels of the last convolution, in version 1. */
  readonly last: number | null;
}

const HEADS = 4;
const PATCH = 2;
const EPSILON = 1e-5;

function first(ratio: number, outs: readonly number[], features: readonly number[], last: number): Size {
  const stage = (i: number, layers: number): Stage => ({ out: outs[i]!, depth: 1, transformer: [features[i - 2]!, layers] });
  return { stem: 16, ratio, stages: [{ out: outs[0]!, depth: 1 }, { out: outs[1]!, depth: 3 }, stage(2, 2), stage(3, 4), stage(4, 3)], last };
}

function second(scale: number): Size {
  const outs = [64, 128, 256, 384, 512].map((width) => Math.floor(width * scale));
  const stage = (i: number, layers: number): Stage => ({ out: outs[i]!, depth: 1, transformer: [outs[i]! / 2, layers] });
  const stages = [{ out: outs[0]!, depth: 1 }, { out: outs[1]!, depth: 2 }, stage(2, 2), stage(3, 4), stage(4, 3)];
  return { stem: Math.floor(32 * scale), ratio: 2, stages, last: null };
}

/** What a convolution and its normalisation are called in timm, and in transformers. */
const PAIR = { conv: 'convolution', bn: 'normalization' } as const;
const paired = (table: Readonly<Record<string, string>>) => {
  const named = (names: string, part: string) => names.split('|').map((name) => `${name}.${part}`);
  const pairs = Object.entries(table).flatMap(([own, names]) =>
    Object.entries(PAIR).map(([part, called]) => [`${own}.${part}`, named(names, called).join('|')] as const),
  );
  return Object.fromEntries(pairs);
};
const WITHIN = 'encoder.layer.{s}.transformer.layer.{i}';
const TRANSFORMERS = spelling({
  ...paired({
    stem: 'conv_stem',
    final_conv: 'conv_1x1_exp',
    'stages.{s}.{b}.conv1_1x1': 'encoder.layer.{s}.layer.{b}.expand_1x1|encoder.layer.{s}.downsampling_layer.expand_1x1',
    'stages.{s}.{b}.conv2_kxk': 'encoder.layer.{s}.layer.{b}.conv_3x3|encoder.layer.{s}.downsampling_layer.conv_3x3',
    'stages.{s}.{b}.conv3_1x1': 'encoder.layer.{s}.layer.{b}.reduce_1x1|encoder.layer.{s}.downsampling_layer.reduce_1x1',
    'stages.{s}.{b}.conv_kxk': 'encoder.layer.{s}.conv_kxk',
    'stages.{s}.{b}.conv_proj': 'encoder.layer.{s}.conv_projection',
    'stages.{s}.{b}.conv_fusion': 'encoder.layer.{s}.fusion',
  }),
  'stages.{s}.{b}.conv_1x1': 'encoder.layer.{s}.conv_1x1.convolution',
  'stages.{s}.{b}.norm': 'encoder.layer.{s}.layernorm',
  'stages.{s}.{b}.transformer.{i}.norm1': `${WITHIN}.layernorm_before`,
  'stages.{s}.{b}.transformer.{i}.norm2': `${WITHIN}.layernorm_after`,
  'stages.{s}.{b}.transformer.{i}.attn.qkv': ['query', 'key', 'value'].map((part) => `${WITHIN}.attention.attention.${part}`).join('+'),
  'stages.{s}.{b}.transformer.{i}.attn.proj': `${WITHIN}.attention.output.dense`,
  'stages.{s}.{b}.transformer.{i}.attn.qkv_proj': `${WITHIN}.attention.qkv_proj.convolution`,
  'stages.{s}.{b}.transformer.{i}.attn.out_proj': `${WITHIN}.attention.out_proj.convolution`,
  'stages.{s}.{b}.transformer.{i}.mlp.fc1': `${WITHIN}.intermediate.dense|${WITHIN}.ffn.conv1.convolution`,
  'stages.{s}.{b}.transformer.{i}.mlp.fc2': `${WITHIN}.output.dense|${WITHIN}.ffn.conv2.convolution`,
});

export const mobilevit = family<Size>({
  name: 'mobilevit',
  title: 'MobileViT',
  source: 'Mehta & Rastegari, 2021, https://arxiv.org/abs/2110.02178, table 4; 2022, https://arxiv.org/abs/2206.02680',
  sizes: {
    mobilevit_xxs: first(2, [16, 24, 48, 64, 80], [64, 80, 96], 320),
    mobilevit_xs: first(4, [32, 48, 64, 80, 96], [96, 120, 144], 384),
    mobilevit_s: first(4, [32, 64, 96, 128, 160], [144, 192, 240], 640),
    mobilevitv2_050: second(0.5),
    mobilevitv2_075: second(0.75),
    mobilevitv2_100: second(1),
    mobilevitv2_125: second(1.25),
    mobilevitv2_150: second(1.5),
    mobilevitv2_175: second(1.75),
    mobilevitv2_200: second(2),
  },
  stem: 'stem.conv',
  side: 256,
  // Apple's own see blue first, and transformers' copies of them do; timm's see pictures as timm loads them.
  preprocessing: (ecosystem) => ({ ...RAW, range: [0, 1], order: ecosystem === 'transformers' ? 'BGR' : 'RGB' }),
  spellings: [
    { ecosystem: 'timm', spell: (path) => path },
    { ecosystem: 'transformers', spell: TRANSFORMERS },
  ],

  measure(names) {
    const [stem] = names.shape('stem.conv');
    const [wide, before] = names.shape('stages.0.0.conv1_1x1.conv');
    if (!stem || !wide || !before || !names.has('stages.2.1.conv_kxk.conv')) return null;
    const stages = Array.from({ length: names.count('stages.{n}.0.conv1_1x1.conv') }, (_, s): Stage => {
      const hasTransformer = names.has(`stages.${s}.1.conv_1x1`);
      const transformer = [names.shape(`stages.${s}.1.conv_1x1`)[0]!, names.count(`stages.${s}.1.transformer.{n}.norm1`)] as const;
      const out = names.shape(`stages.${s}.0.conv3_1x1.conv`)[0]!;
      return { out, depth: hasTransformer ? 1 : names.count(`stages.${s}.{n}.conv1_1x1.conv`), ...(hasTransformer ? { transformer } : {}) };
    });
    return { stem, ratio: wide / before, stages, last: names.shape('final_conv.conv')[0] ?? null };
  },

  build(net, input, { stem, ratio, stages, last }) {
    let x = normed(net, input, 'stem', 'silu', { out: stem, kernel: 3, stride: 2 });
    stages.forEach(({ out, depth, transformer }, s) => {
      for (let b = 0; b < depth; b++) x = inverted(net, x, `stages.${s}.${b}`, { out, ratio, stride: s > 0 && b === 0 ? 2 : 1 });
      if (transformer) x = (last === null ? separable : global)(net, x, `stages.${s}.1`, transformer);
    });
    if (last !== null) x = normed(net, x, 'final_conv', 'silu', { out: last });
    return pooledHead(net, x, 'head.fc');
  },
});

function normed(net: Net, x: Value, at: string, act: Activation, options: Parameters<Net['conv']>[2]): Value {
  return convNormAct(net, x, `${at}.conv`, `${at}.bn`, act, options);
}

function inverted(net: Net, x: Value, at: string, { out, ratio, stride }: { readonly out: number; readonly ratio: number; readonly stride: number }): Value {
  const branch = (y: Value) => {
    const wide = normed(net, y, `${at}.conv1_1x1`, 'silu', { out: ratio * sizeOf(y, 1) });
    return normed(net, normed(net, wide, `${at}.conv2_kxk`, 'silu', { kernel: 3, stride, depthwise: true }), `${at}.conv3_1x1`, 'none', { out });
  };
  return stride === 1 && sizeOf(x, 1) === out ? residual(net, x, branch) : branch(x);
}

type Transformer = NonNullable<Stage['transformer']>;

/** Version 1: places that are the same in all patches ask each other. */
function global(net: Net, x: Value, at: string, [features, layers]: Transformer): Value {
  const [channels, height, width] = [sizeOf(x, 1), sizeOf(x, 2), sizeOf(x, 3)];
  const local = net.conv(normed(net, x, `${at}.conv_kxk`, 'silu', { kernel: 3 }), `${at}.conv_1x1`, { out: features });
  const [rows, columns] = [Math.ceil(height / PATCH), Math.ceil(width / PATCH)];
  const whole = bilinear(net, local, rows * PATCH, columns * PATCH);
  const apart = net.transpose(net.reshape(whole, [0, features, rows, PATCH, columns, PATCH]), [0, 3, 5, 2, 4, 1]);
  let y = net.reshape(apart, [0, PATCH * PATCH, rows * columns, features]);
  const heads = net.setting('heads', HEADS, 'attention has {} heads');
  for (let i = 0; i < layers; i++) {
    y = encoderBlock(net, y, blockNames(`${at}.transformer.${i}`), { heads, epsilon: EPSILON, wide: 2 * features, act: 'silu' });
  }
  const tokens = net.reshape(layerNorm(net, y, `${at}.norm`, EPSILON), [0, PATCH, PATCH, rows, columns, features]);
  const together = net.reshape(net.transpose(tokens, [0, 5, 3, 1, 4, 2]), [0, features, rows * PATCH, columns * PATCH]);
  const seen = normed(net, bilinear(net, together, height, width), `${at}.conv_proj`, 'silu', { out: channels });
  return normed(net, net.concat([x, seen]), `${at}.conv_fusion`, 'silu', { out: channels, kernel: 3 });
}

/** Version 2: what all patches say, weighed once for each place in them, goes to each. */
function separable(net: Net, x: Value, at: string, [features, layers]: Transformer): Value {
  const [channels, height, width] = [sizeOf(x, 1), sizeOf(x, 2), sizeOf(x, 3)];
  const [rows, columns] = [height / PATCH, width / PATCH];
  if (!Number.isInteger(rows) || !Number.isInteger(columns)) {
    throw new Departure('input', `makes ${height} x ${width} features at "${net.store.sourceName(at)}", which patches of ${PATCH} x ${PATCH} do not divide`);
  }
  const local = net.conv(normed(net, x, `${at}.conv_kxk`, 'silu', { kernel: 3, depthwise: true }), `${at}.conv_1x1`, { out: features });
  const apart = net.transpose(net.reshape(local, [0, features, rows, PATCH, columns, PATCH]), [0, 1, 3, 5, 2, 4]);
  let y = net.reshape(apart, [0, features, PATCH * PATCH, rows * columns]);
  for (let i = 0; i < layers; i++) {
    const own = `${at}.transformer.${i}`;
    y = residual(net, y, (z) => gathered(net, groupNorm(net, z, `${own}.norm1`, 1), `${own}.attn`));
    y = residual(net, y, (z) => {
      const wide = net.conv(groupNorm(net, z, `${own}.norm2`, 1), `${own}.mlp.fc1`, { out: 2 * features, bias: true });
      return net.conv(net.activation(wide, 'silu'), `${own}.mlp.fc2`, { out: features, bias: true });
    });
  }
  const tokens = net.reshape(groupNorm(net, y, `${at}.norm`, 1), [0, features, PATCH, PATCH, rows, columns]);
  const together = net.reshape(net.transpose(tokens, [0, 1, 4, 2, 5, 3]), [0, features, height, width]);
  return normed(net, together, `${at}.conv_proj`, 'none', { out: channels });
}

function gathered(net: Net, x: Value, at: string): Value {
  const features = sizeOf(x, 1);
  const all = net.conv(x, `${at}.qkv_proj`, { out: 2 * features + 1, bias: true });
  const scores = net.op('Softmax', [net.slice(all, 1, 0, 1)], { axis: -1 });
  const context = net.op('ReduceSum', [net.multiply(net.slice(all, 1, 1, features + 1), scores)], { axes: [3], keepdims: 1 });
  const values = net.activation(net.slice(all, 1, features + 1, 2 * features + 1), 'relu');
  return net.conv(net.multiply(values, context), `${at}.out_proj`, { out: features, bias: true });
}
