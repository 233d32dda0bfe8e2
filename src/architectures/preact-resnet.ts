/**
 * ResNet v2 as timm has it, and BiT: He et al., "Identity Mappings in Deep Residual Networks", 2016, figure 1 (b); Kolesnikov et al., "Big
 * Transfer", 2019, whose kernels are standardised and whose channels are normalised in groups.
 */
import { derive } from '../model/derivations.js';
import type { Tensor } from '../model/tensor.js';
import { family, type Names, SYMMETRIC, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import { type ConvOptions, Departure, type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';

interface Size {
  readonly block: 'basic' | 'bottleneck';
  readonly depths: readonly number[];
  /** Channels that each stage gives. */
  readonly widths: readonly number[];
  readonly stem: number;
  /** Three convolutions of 3 x 3 in place of the one of 7 x 7: the channels of the first two. */
  readonly deep?: readonly number[];
  /** Channels are normalised in groups. */
  readonly grouped?: true;
}

const size = (depths: number[], more: Partial<Size> = {}, factor = 1): Size => ({
  block: 'bottleneck',
  depths,
  widths: [256, 512, 1024, 2048].map((width) => width * factor),
  stem: 64 * factor,
  ...more,
});
const basic = (depths: number[], more: Partial<Size> = {}) => size(depths, { block: 'basic', widths: [64, 128, 256, 512], ...more });
const bit = (depths: number[], factor: number) => size(depths, { grouped: true }, factor);

const DEEP = { deep: [32, 32] };
const DEPTHS = { 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3] };
const GROUPS = 32;

export const preactResnet = family<Size>({
  name: 'preact_resnet',
  title: 'ResNet v2 of timm, or BiT',
  source: 'He et al., 2016, https://arxiv.org/abs/1603.05027, figure 1 (b); Kolesnikov et al., 2019, https://arxiv.org/abs/1912.11370',
  sizes: {
    resnetv2_18: basic([2, 2, 2, 2]),
    resnetv2_18d: basic([2, 2, 2, 2], DEEP),
    resnetv2_34: basic([3, 4, 6, 3]),
    resnetv2_34d: basic([3, 4, 6, 3], DEEP),
    resnetv2_50: size(DEPTHS[50]),
    resnetv2_50d: size(DEPTHS[50], DEEP),
    resnetv2_50t: size(DEPTHS[50], { deep: [24, 32] }),
    resnetv2_50d_gn: size(DEPTHS[50], { ...DEEP, grouped: true }),
    resnetv2_101: size(DEPTHS[101]),
    resnetv2_101d: size(DEPTHS[101], DEEP),
    resnetv2_152: size(DEPTHS[152]),
    resnetv2_152d: size(DEPTHS[152], DEEP),
    resnetv2_50x1_bit: bit(DEPTHS[50], 1),
    resnetv2_50x3_bit: bit(DEPTHS[50], 3),
    resnetv2_101x1_bit: bit(DEPTHS[101], 1),
    resnetv2_101x3_bit: bit(DEPTHS[101], 3),
    resnetv2_152x2_bit: bit(DEPTHS[152], 2),
    resnetv2_152x4_bit: bit(DEPTHS[152], 4),
  },
  stem: 'stem.conv',
  side: ({ grouped, deep }) => (grouped && !deep ? 448 : 224),
  preprocessing: (_, { grouped, deep }) => (grouped && !deep ? SYMMETRIC : TORCHVISION),
  spellings: [
    { ecosystem: 'timm', spell: (path) => path },
    { ecosystem: 'timm', spell: spelling({ 'stem.conv': 'stem.conv1', '{*}': '{*}' }) },
  ],

  measure(names) {
    const [stem] = names.shape(names.has('stem.conv2') ? 'stem.conv3' : 'stem.conv');
    // Nets that normalise behind convolutions have no normalisation at their end.
    if (!stem || !names.has('norm') || !names.has('stages.0.blocks.0.norm1')) return null;
    const block = names.has('stages.0.blocks.0.conv3') ? 'bottleneck' : 'basic';
    const last = block === 'basic' ? 'conv2' : 'conv3';
    const stages = Array.from({ length: names.count('stages.{n}.blocks.0.conv1') }, (_, s) => `stages.${s}.blocks`);
    return {
      block,
      depths: stages.map((at) => names.count(`${at}.{n}.conv1`)),
      widths: stages.map((at) => names.shape(`${at}.0.${last}`)[0] ?? 0),
      stem,
      ...deepStem(names),
      ...(names.shape('norm', 'mean').length === 0 ? { grouped: true as const } : {}),
    };
  },

  build(net, input, { block, depths, widths, stem, deep, grouped }) {
    const isBit = grouped === true && deep === undefined;
    const isStandardised =
      isBit && net.setting<string>('kernels', 'standardised', 'kernels are {} before they are used, as in BiT (or plain)') === 'standardised';
    const conv = (x: Value, path: string, options: ConvOptions) => (isStandardised ? standardised(net, x, path, options) : net.conv(x, path, options));
    const normAct = (x: Value, path: string) => net.activation(grouped ? groupNorm(net, x, path) : net.norm(x, path), 'relu');

    let x = input;
    if (deep) {
      x = normAct(conv(x, 'stem.conv', { out: deep[0]!, kernel: 3, stride: 2 }), 'stem.norm1');
      x = normAct(conv(x, 'stem.conv2', { out: deep[1]!, kernel: 3 }), 'stem.norm2');
      x = conv(x, 'stem.conv3', { out: stem, kernel: 3 });
    } else x = conv(x, 'stem.conv', { out: stem, kernel: 7, stride: 2, pad: 3 });
    // Pooling comes before the first ReLU: zeros at the border can be the largest.
    if (isBit) x = net.maxPool(net.op('Pad', [x], { pads: [0, 0, 1, 1, 0, 0, 1, 1] }), { kernel: 3, stride: 2 });
    else x = net.maxPool(x, { kernel: 3, stride: 2, pad: 1 });
    const usual = deep ? 'average' : 'none';
    const averages =
      net.setting<string>('shortcut_pooling', usual, 'what goes around blocks that stride is pooled first: {} (average, none: its convolution strides)') ===
      'average';
    depths.forEach((depth, s) => {
      const out = widths[s]!;
      for (let b = 0; b < depth; b++) {
        const at = `stages.${s}.blocks.${b}`;
        const stride = s > 0 && b === 0 ? 2 : 1;
        const before = normAct(x, `${at}.norm1`);
        const project = net.has(`${at}.downsample.conv`, b === 0 && (block === 'bottleneck' || s > 0));
        const pooled = averages && stride > 1 ? net.averagePool(before, { kernel: 2, stride, ceil: true }) : before;
        const around = project ? conv(pooled, `${at}.downsample.conv`, { out, stride: averages ? 1 : stride, pad: 0 }) : x;
        let y = before;
        if (block === 'bottleneck') {
          y = normAct(conv(y, `${at}.conv1`, { out: out / 4 }), `${at}.norm2`);
          y = normAct(conv(y, `${at}.conv2`, { out: out / 4, kernel: 3, stride }), `${at}.norm3`);
          y = conv(y, `${at}.conv3`, { out });
        } else {
          y = normAct(conv(y, `${at}.conv1`, { out, kernel: 3, stride }), `${at}.norm2`);
          y = conv(y, `${at}.conv2`, { out, kernel: 3 });
        }
        x = net.add(y, around);
      }
    });
    return pooledHead(net, normAct(x, 'norm'), 'head.fc');
  },
});

function deepStem(names: Names): Pick<Size, 'deep'> {
  return names.has('stem.conv2') ? { deep: [names.shape('stem.conv')[0]!, names.shape('stem.conv2')[0]!] } : {};
}

function groupNorm(net: Net, x: Value, path: string): Value {
  const channels = sizeOf(x, 1);
  const weights = net.weights(path, 'layer-norm', { scale: [channels], bias: [channels] });
  const groups = net.setting('groups', GROUPS, 'channels are normalised in {} groups');
  if (weights.scale!.shape.join() !== String(channels) || channels % groups !== 0)
    throw new Departure(net.store.sourceName(path), `is of shape [${weights.scale!.shape}], but ${channels} channels flow in, normalised in ${groups} groups`);
  const epsilon = net.setting('group_norm_epsilon', 1e-5, 'normalisation of groups adds {} to the variance');
  return net.module(path, 'GroupNormalization', x, weights, { epsilon, num_groups: groups });
}

/** A convolution whose kernels have a mean of 0 and a variance of 1 for each channel that they make. */
function standardised(net: Net, x: Value, path: string, { out, kernel: side = 1, stride = 1, pad = (Number(side) - 1) / 2 }: ConvOptions): Value {
  const channels = sizeOf(x, 1);
  const { kernel, bias } = net.weights(path, 'conv', { kernel: [out ?? channels, channels, Number(side), Number(side)] }) as { kernel: Tensor; bias?: Tensor };
  if (kernel.shape.length !== 4 || kernel.shape[1] !== channels || kernel.shape[2] !== side || bias)
    throw new Departure(net.store.sourceName(path), `has a kernel of shape [${kernel.shape}]${bias ? ' and a bias' : ''}, but ${channels} channels flow in`);
  const epsilon = net.setting('kernel_epsilon', 1e-8, 'standardised kernels have {} added to their variance');
  // A name of its own: under the file's, its class would standardise it once more.
  const name = `${net.store.sourceName(path)}.standardised.weight`;
  const weights = { kernel: derive(name, 'standardised', [kernel], { epsilon }) };
  const pads = new Array<number>(4).fill(Number(pad));
  return net.module(path, 'Conv', x, weights, { strides: [stride, stride], dilations: [1, 1], group: 1, pads });
}
