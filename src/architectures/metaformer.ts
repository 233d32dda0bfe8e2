/**
 * MetaFormer: Yu et al., "MetaFormer Is Actually What You Need for Vision", 2021, table 1 (PoolFormer), and "MetaFormer Baselines for
 * Vision", 2022 (PoolFormer v2, ConvFormer, CAFormer): one block, in which places are mixed by pooling, by a convolution or by attention.
 * Names are timm's, and transformers' of PoolFormer.
 */
import { numbersTensor } from '../model/numbers.js';
import { reshape } from '../model/tensor.js';
import { layerNorm, selfAttention } from './attention.js';
import { groupEpsilon, groupNorm } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';
import { asPicture, inRows } from './pyramid.js';
import { spelling } from './spelling.js';
import { RAW_NAME } from './store.js';

type Mixer = 'pool' | 'convolution' | 'attention';

interface Size {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
  readonly mixers: readonly Mixer[];
  /** The blocks of 2021: with biases, GELU and scales of their branches. */
  readonly first?: true;
}

const RATIO = 4;
/** Of CAFormer's attention. */
const EACH = 32;
const HEADS = 'attention has {} heads, by stages that have it';
const EPSILON = 1e-6;
const SMALL = [64, 128, 320, 512];
const WIDE = [96, 192, 384, 768];
const all = (mixer: Mixer): Mixer[] => [mixer, mixer, mixer, mixer];
const pooling = (depths: number[], widths = SMALL): Size => ({ depths, widths, mixers: all('pool') });
const mixing = (mixers: Mixer[], depths: number[], widths = SMALL): Size => ({ depths, widths, mixers });
const CONV = all('convolution');
const CA: Mixer[] = ['convolution', 'convolution', 'attention', 'attention'];
const MIDDLE = [96, 192, 384, 576];
const LARGE = [128, 256, 512, 768];

export const metaformer = family<Size>({
  name: 'metaformer',
  title: 'MetaFormer (PoolFormer, ConvFormer, CAFormer)',
  source: 'Yu et al., 2021, https://arxiv.org/abs/2111.11418, table 1, and 2022, https://arxiv.org/abs/2210.13452',
  sizes: {
    poolformer_s12: { ...pooling([2, 2, 6, 2]), first: true },
    poolformer_s24: { ...pooling([4, 4, 12, 4]), first: true },
    poolformer_s36: { ...pooling([6, 6, 18, 6]), first: true },
    poolformer_m36: { ...pooling([6, 6, 18, 6], WIDE), first: true },
    poolformer_m48: { ...pooling([8, 8, 24, 8], WIDE), first: true },
    poolformerv2_s12: pooling([2, 2, 6, 2]),
    poolformerv2_s24: pooling([4, 4, 12, 4]),
    poolformerv2_s36: pooling([6, 6, 18, 6]),
    poolformerv2_m36: pooling([6, 6, 18, 6], WIDE),
    poolformerv2_m48: pooling([8, 8, 24, 8], WIDE),
    convformer_s18: mixing(CONV, [3, 3, 9, 3]),
    convformer_s36: mixing(CONV, [3, 12, 18, 3]),
    convformer_m36: mixing(CONV, [3, 12, 18, 3], MIDDLE),
    convformer_b36: mixing(CONV, [3, 12, 18, 3], LARGE),
    caformer_s18: mixing(CA, [3, 3, 9, 3]),
    caformer_s36: mixing(CA, [3, 12, 18, 3]),
    caformer_m36: mixing(CA, [3, 12, 18, 3], MIDDLE),
    caformer_b36: mixing(CA, [3, 12, 18, 3], LARGE),
  },
  stem: 'stem.conv',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [
    { ecosystem: 'timm', spell: (path) => path },
    {
      ecosystem: 'transformers',
      spell: spelling({
        'stem.conv': 'encoder.patch_embeddings.0.projection',
        'stages.{s}.downsample.conv': 'encoder.patch_embeddings.{s}.projection',
        'stages.{s}.blocks.{b}.norm1': 'encoder.block.{s}.{b}.before_norm',
        'stages.{s}.blocks.{b}.norm2': 'encoder.block.{s}.{b}.after_norm',
        'stages.{s}.blocks.{b}.layer_scale{k}.scale': 'encoder.block.{s}.{b}.layer_scale_{k}',
        'stages.{s}.blocks.{b}.mlp.fc{k}': 'encoder.block.{s}.{b}.output.conv{k}',
      }),
    },
  ],

  measure(names) {
    const [stem] = names.shape('stem.conv');
    if (!stem || !names.has('stages.0.blocks.0.mlp.fc1')) return null;
    const stages = Array.from({ length: names.count('stages.{n}.blocks.0.mlp.fc1') }, (_, s) => s);
    return {
      depths: stages.map((s) => names.count(`stages.${s}.blocks.{n}.mlp.fc1`)),
      widths: stages.map((s) => names.shape(`stages.${s}.blocks.0.mlp.fc1`)[1]!),
      mixers: stages.map((s) => {
        const at = `stages.${s}.blocks.0.token_mixer`;
        return names.has(`${at}.qkv`) ? 'attention' : names.has(`${at}.dwconv`) ? 'convolution' : 'pool';
      }),
      ...(names.has('stages.0.blocks.0.mlp.act') ? {} : { first: true as const }),
    };
  },

  build(net, input, { depths, widths, mixers, first }) {
    const attending = [...mixers.keys()].filter((s) => mixers[s] === 'attention');
    const usual = attending.map((s) => Math.max(1, Math.floor(widths[s]! / EACH))).join(',');
    const heads = attending.length === 0 ? [] : net.setting<string>('heads', usual, HEADS).split(',').map(Number);
    let x = net.conv(input, 'stem.conv', { out: widths[0], kernel: 7, stride: 4, pad: 2, bias: true });
    if (!first) x = channelNorm(net, x, 'stem.norm');
    depths.forEach((depth, s) => {
      const at = `stages.${s}`;
      if (s > 0 && net.has(`${at}.downsample.conv`, true)) {
        const taken = first ? x : channelNorm(net, x, `${at}.downsample.norm`);
        x = net.conv(taken, `${at}.downsample.conv`, { out: widths[s], kernel: 3, stride: 2, bias: true });
      }
      const options = { mixer: mixers[s]!, heads: heads[attending.indexOf(s)] ?? 1, first, late: s >= 2 };
      for (let b = 0; b < depth; b++) x = block(net, x, `${at}.blocks.${b}`, options);
    });
    // Here they are normalised before their mean is taken, there behind it.
    if (first && net.ecosystem === 'transformers') return head(net, net.globalPool(groupNorm(net, x, `${RAW_NAME}norm`, 1)), 'head.fc');
    const features = layerNorm(net, net.globalPool(x), 'head.norm', EPSILON);
    if (!net.has('head.fc.fc1', !first && mixers[0] !== 'pool')) return head(net, features, 'head.fc');
    const wide = net.activation(net.dense(features, 'head.fc.fc1', { out: RATIO * widths.at(-1)! }), 'relu');
    return head(net, layerNorm(net, net.multiply(wide, wide), 'head.fc.norm', EPSILON), 'head.fc.fc2');
  },
});

interface BlockOptions {
  readonly mixer: Mixer;
  readonly heads: number;
  readonly first: true | undefined;
  /** In the stages whose shortcuts have scales. */
  readonly late: boolean;
}

function block(net: Net, x: Value, at: string, options: BlockOptions): Value {
  const { mixer, first, late } = options;
  const norm = (y: Value, k: number) => {
    if (first) return groupNorm(net, y, `${at}.norm${k}`, 1);
    return mixer === 'pool' ? pictureNorm(net, y, `${at}.norm${k}`) : channelNorm(net, y, `${at}.norm${k}`);
  };
  const scaled = (y: Value, path: string, otherwise: boolean) => (net.has(path, otherwise) ? byChannel(net, y, path) : y);
  const sum = (branch: Value, around: Value, k: number) =>
    net.add(scaled(around, `${at}.res_scale${k}.scale`, !first && late), scaled(branch, `${at}.layer_scale${k}.scale`, first === true));
  const mixed = sum(mix(net, norm(x, 1), `${at}.token_mixer`, options), x, 1);
  return sum(blend(net, norm(mixed, 2), `${at}.mlp`, first), mixed, 2);
}

function mix(net: Net, x: Value, at: string, { mixer, heads }: BlockOptions): Value {
  const channels = sizeOf(x, 1);
  if (mixer === 'pool') return net.op('Sub', [net.averagePool(x, { kernel: 3, stride: 1, pad: 1 }), x]);
  if (mixer === 'convolution') {
    const wide = starRelu(net, net.conv(x, `${at}.pwconv1`, { out: 2 * channels }), `${at}.act1`);
    return net.conv(net.conv(wide, `${at}.dwconv`, { kernel: 7, depthwise: true }), `${at}.pwconv2`, { out: channels });
  }
  const size = [sizeOf(x, 2), sizeOf(x, 3)] as const;
  const qkv = net.dense(inRows(net, x), `${at}.qkv`, { out: 3 * channels, bias: false });
  return asPicture(net, net.dense(selfAttention(net, qkv, { heads }), `${at}.proj`, { out: channels, bias: false }), size);
}

/** Two convolutions of single places, or dense layers over channels. */
function blend(net: Net, x: Value, at: string, first: true | undefined): Value {
  const channels = sizeOf(x, 1);
  const act = (y: Value) => (first ? net.activation(y, 'gelu') : starRelu(net, y, `${at}.act`));
  const options = { out: RATIO * channels, bias: first === true };
  if (net.store.shape(`${at}.fc1`)?.length !== 2) return net.conv(act(net.conv(x, `${at}.fc1`, options)), `${at}.fc2`, { ...options, out: channels });
  const size = [sizeOf(x, 2), sizeOf(x, 3)] as const;
  return asPicture(net, net.dense(act(net.dense(inRows(net, x), `${at}.fc1`, options)), `${at}.fc2`, { out: channels }), size);
}

/** What is positive, squared, by a scale and with a shift that were learned: one of each. */
function starRelu(net: Net, x: Value, at: string): Value {
  const positive = net.activation(x, 'relu');
  const number = (name: string) => {
    const tensor = net.store.takeParameter(`${at}.${name}`, [1]);
    if (tensor?.shape.join() !== '1') throw new Departure(net.store.sourceName(`${at}.${name}`), 'is no single number');
    return reshape(tensor, []);
  };
  const scaled = net.constantOp('Mul', net.multiply(positive, positive), number('scale'), net.store.sourceName(`${at}.scale`));
  return net.constantOp('Add', scaled, number('bias'), net.store.sourceName(`${at}.bias`));
}

/** A learned factor for each channel of a picture. */
export function byChannel(net: Net, x: Value, path: string): Value {
  const channels = sizeOf(x, 1);
  const scale = net.store.takeParameter(path, [channels]);
  const name = net.store.sourceName(path);
  if (scale?.shape.join() !== String(channels)) throw new Departure(name, `has no scale for each of ${channels} channels`);
  return net.constantOp('Mul', x, reshape(scale, [channels, 1, 1]), name);
}

/** Each place by its own mean and variance; files have no shift. */
function channelNorm(net: Net, x: Value, path: string): Value {
  return layerNorm(net, x, path, EPSILON, 1, { scale: scaleOf(net, x, path) });
}

/** Each picture by its own mean and variance. */
function pictureNorm(net: Net, x: Value, path: string): Value {
  return net.op(
    'GroupNormalization',
    [x],
    { epsilon: groupEpsilon(net, EPSILON), num_groups: 1 },
    { name: net.store.sourceName(path), weights: { scale: scaleOf(net, x, path), bias: zeros(sizeOf(x, 1)) } },
  );
}

const zeros = (channels: number) => numbersTensor('zeros', 'float32', [channels], new Array<number>(channels).fill(0), { file: '' });

function scaleOf(net: Net, x: Value, path: string) {
  const channels = sizeOf(x, 1);
  const scale = net.store.takeParameter(`${path}.weight`, [channels]);
  if (scale?.shape.join() !== String(channels)) throw new Departure(net.store.sourceName(path), `has no scale for each of ${channels} channels`);
  return scale;
}
