/**
 * Nets without normalisations: Brock et al., "High-Performance Large-Scale Image Recognition Without Normalization", 2021, table 1 and
 * figure 5, and their ResNets. Kernels are standardised and scaled instead. Names are timm's.
 */
import { derive } from '../model/derivations.js';
import { elementCount } from '../model/tensor.js';
import { squeezeExcite } from './blocks.js';
import { channelAttention } from './channel-attention.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import { type Activation, type ConvOptions, Departure, type Net, pairOf, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';

interface Size {
  /** Four convolutions of 3 x 3, or one of 7 x 7 and max pooling. */
  readonly stem: readonly number[];
  readonly depths: readonly number[];
  readonly widths: readonly number[];
  /** Channels inside of blocks, by stages. */
  readonly inside: readonly number[];
  /** Channels that go together in the convolutions of 3 x 3. */
  readonly each: number;
  /** These are two, one behind the other. */
  readonly twice: boolean;
  /** Of the convolution behind the last block; 0 where there is none. */
  readonly last: number;
  /** DeepMind's own: each block has a gain, and activations are scaled rather than kernels. */
  readonly gains: boolean;
  /** Channels between the two layers of squeeze and excitation, by stages; or a convolution along channels. */
  readonly attention: readonly number[] | 'eca' | null;
}

const eights = (width: number) => Math.max(8, Math.floor((width + 4) / 8) * 8);
const WIDTHS = [256, 512, 1536, 1536];
const QUAD = [16, 32, 64, 128];
const DEPTHS = [1, 2, 6, 3];
const wide = (factor: number, gains: boolean): Size => ({
  stem: QUAD,
  depths: DEPTHS.map((depth) => depth * factor),
  widths: WIDTHS,
  inside: WIDTHS.map((width) => width / 2),
  each: 128,
  twice: true,
  last: 3072,
  gains,
  attention: WIDTHS.map((width) => width / 2),
});
const light = (factor: number, last: number, attention: Size['attention']): Size => ({
  ...wide(factor, false),
  inside: WIDTHS.map((width) => width / 4),
  each: 64,
  last,
  attention,
});
const resnet = (depths: number[], attention: 'se' | 'eca' | null = null): Size => {
  const widths = [256, 512, 1024, 2048];
  return {
    stem: [64],
    depths,
    widths,
    inside: widths.map((width) => width / 4),
    each: 512,
    twice: false,
    last: 0,
    gains: false,
    attention: attention === 'se' ? widths.map((width) => eights(width / 16)) : attention,
  };
};
const RESNETS = { 26: [2, 2, 2, 2], 50: [3, 4, 6, 3], 101: [3, 4, 23, 3] };
const numbered = (name: string, count: number, size: (factor: number) => Size) =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`${name}${i}`, size(i + 1)]));

/** By which what an activation gives has a variance of 1 again. */
const GAMMA: Readonly<Partial<Record<Activation, number>>> = { relu: 1.7139588594436646, gelu: 1.7015043497085571, silu: 1.7881293296813965 };
/** What a block adds to what flows is scaled by this, and what attention gives by that. */
const ALPHA = 0.2;
const ATTENTION_GAIN = 2;
const EPSILON = 1e-5;

export const nfnet = family<Size>({
  name: 'nfnet',
  title: 'NFNet',
  source: 'Brock et al., 2021, https://arxiv.org/abs/2102.06171, table 1',
  sizes: {
    ...numbered('dm_nfnet_f', 7, (factor) => wide(factor, true)),
    ...numbered('nfnet_f', 8, (factor) => wide(factor, false)),
    nfnet_l0: light(
      1,
      2304,
      WIDTHS.map((width) => width / 4),
    ),
    ...numbered('eca_nfnet_l', 4, (factor) => light(factor, factor === 1 ? 2304 : 3072, 'eca')),
    ...Object.fromEntries(
      Object.entries(RESNETS).flatMap(([layers, depths]) => [
        [`nf_resnet${layers}`, resnet(depths)],
        [`nf_seresnet${layers}`, resnet(depths, 'se')],
        [`nf_ecaresnet${layers}`, resnet(depths, 'eca')],
      ]),
    ),
  },
  stem: 'stem.conv1',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [
    { ecosystem: 'timm', spell: (path) => path },
    { ecosystem: 'timm', spell: spelling({ 'stem.conv1': 'stem.conv', 'stem.conv1.gain': 'stem.conv.gain', '{*}': '{*}' }) },
  ],

  measure(names) {
    const stem = Array.from({ length: names.count('stem.conv{n}', 1) }, (_, i) => names.shape(`stem.conv${i + 1}`)[0] ?? 0);
    const stages = Array.from({ length: names.count('stages.{n}.0.conv3') }, (_, s) => `stages.${s}`);
    // RegNets without normalisations weigh channels in the middle of a block.
    if (!names.has('stem.conv1.gain') || stages.length === 0 || names.has('stages.0.0.attn')) return null;
    const squeeze = (at: string) => names.shape(`${at}.0.attn_last.fc1`)[0] ?? 0;
    return {
      stem,
      depths: stages.map((at) => names.count(`${at}.{n}.conv3`)),
      widths: stages.map((at) => names.shape(`${at}.0.conv3`)[0]!),
      inside: stages.map((at) => names.shape(`${at}.0.conv3`)[1]!),
      each: names.shape(`${stages.at(-1)}.0.conv2`)[1] ?? 1,
      twice: names.has('stages.0.0.conv2b'),
      last: names.shape('final_conv')[0] ?? 0,
      gains: names.has('stages.0.0.skipinit_gain'),
      attention: names.has('stages.0.0.attn_last.conv') ? 'eca' : names.has('stages.0.0.attn_last.fc1') ? stages.map(squeeze) : null,
    };
  },

  build(net, input, { stem, depths, widths, inside, each, twice, last, gains, attention }) {
    const act: Activation = stem.length === 1 ? 'relu' : inside[0]! * 4 === widths[0] ? 'silu' : 'gelu';
    const gamma = net.setting('gamma', GAMMA[act]!, `${gains ? 'what activations give' : 'kernels'} are multiplied by {}, for ${act}`);
    const conv = (y: Value, path: string, options: ConvOptions = {}) => scaledConv(net, y, path, gains ? 1 : gamma, gains, options);
    const activated = (y: Value) => {
      const made = net.activation(y, act);
      return gains ? net.constantOp('Mul', made, gamma) : made;
    };
    let x = input;
    stem.forEach((out, i) => {
      const isFour = stem.length > 1;
      x = conv(i > 0 ? activated(x) : x, `stem.conv${i + 1}`, { out, kernel: isFour ? 3 : 7, stride: i === 0 || i === 3 ? 2 : 1 });
    });
    if (stem.length === 1) x = net.maxPool(x, { kernel: 3, stride: 2, pad: 1 });
    let variance = 1;
    depths.forEach((depth, s) => {
      for (let b = 0; b < depth; b++) {
        const at = `stages.${s}.${b}`;
        const stride = s > 0 && b === 0 ? 2 : 1;
        const [out, middle] = [widths[s]!, inside[s]!];
        const before = net.constantOp('Mul', activated(x), variance ** -0.5);
        const pooled = stride > 1 ? net.averagePool(before, { kernel: 2, ceil: true }) : before;
        const around = stride > 1 || sizeOf(x, 1) !== out ? conv(pooled, `${at}.downsample.conv`, { out }) : x;
        const groups = Math.max(1, Math.floor(middle / each));
        let y = conv(before, `${at}.conv1`, { out: middle });
        y = conv(activated(y), `${at}.conv2`, { out: middle, kernel: 3, stride, groups });
        if (twice) y = conv(activated(y), `${at}.conv2b`, { out: middle, kernel: 3, groups });
        y = conv(activated(y), `${at}.conv3`, { out });
        if (attention !== null) {
          const path = `${at}.attn_last`;
          const weighed =
            attention === 'eca'
              ? channelAttention(net, y, path, 'eca')
              : squeezeExcite(net, y, { reduce: `${path}.fc1`, expand: `${path}.fc2`, width: attention[s]!, act: 'relu', gate: 'sigmoid' });
          y = net.constantOp('Mul', weighed, ATTENTION_GAIN);
        }
        if (gains) y = net.constantOp('Mul', y, gainOf(net, `${at}.skipinit_gain`, []), `${net.store.sourceName(at)}.skipinit_gain`);
        x = net.add(net.constantOp('Mul', y, ALPHA), around);
        // Each stage begins anew: its first block has a convolution around it.
        variance = (b === 0 ? 1 : variance) + ALPHA ** 2;
      }
    });
    if (last > 0) x = conv(x, 'final_conv', { out: last });
    return pooledHead(net, activated(x), 'head.fc');
  },
});

function gainOf(net: Net, path: string, shape: readonly number[]) {
  const gain = net.store.takeParameter(path, shape);
  const name = net.store.sourceName(path);
  if (!gain || gain.shape.join() !== shape.join()) throw new Departure(name, gain ? `is of shape [${gain.shape}], but [${shape}] is expected` : 'is missing');
  return gain;
}

/** A convolution whose kernels have a mean of 0 for each channel that they make, and a variance that keeps that of what flows in. */
function scaledConv(
  net: Net,
  x: Value,
  path: string,
  gamma: number,
  asTensorFlow: boolean,
  { out, kernel: side = 1, stride = 1, groups = 1 }: ConvOptions,
): Value {
  const channels = sizeOf(x, 1);
  const made = out ?? channels;
  const { kernel, bias } = net.weights(path, 'conv', { kernel: [made, channels / groups, ...pairOf(side)], bias: [made] });
  const { shape } = kernel!;
  const group = channels / (shape[1] ?? 0);
  if (shape.length !== 4 || !Number.isInteger(group) || shape[0]! % group !== 0)
    throw new Departure(net.store.sourceName(path), `has a kernel of shape [${shape}], but ${channels} channels flow in`);
  const gain = gainOf(net, `${path}.gain`, [shape[0]!, 1, 1, 1]);
  const epsilon = net.setting('kernel_epsilon', EPSILON, 'standardised kernels have {} added to their variance');
  // A name of its own: under the file's, its class would standardise it once more.
  const name = `${net.store.sourceName(path)}.standardised`;
  const factor = gamma * elementCount(shape.slice(1)) ** -0.5;
  const scaled = derive(`${name}.weight`, 'standardised', [kernel!, gain], { epsilon, factor });
  const pads = shape.slice(2).map((size) => Math.floor((size - 1) / 2));
  const attributes = { strides: [stride, stride], dilations: [1, 1], group, ...(asTensorFlow ? { auto_pad: 'SAME_UPPER' } : { pads: [...pads, ...pads] }) };
  return net.module(path, 'Conv', x, { kernel: scaled, ...(bias ? { bias: derive(`${name}.bias`, 'joined', [bias]) } : {}) }, attributes);
}
