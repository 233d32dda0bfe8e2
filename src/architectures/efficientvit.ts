/**
 * EfficientViT: Cai et al., "EfficientViT: Lightweight Multi-Scale Attention for High-Resolution Dense Prediction", 2022, figure 5 and its
 * released nets. Names are timm's.
 */

import { layerNorm } from './attention.js';
import { residual } from './blocks.js';
import { family, type Names, TORCHVISION } from './family.js';
import { head } from './head.js';
import { type Activation, type ConvOptions, Departure, type Net, sizeOf, type Value } from './net.js';

interface Size {
  /** The nets of GPUs, whose first blocks are whole convolutions. */
  readonly large: boolean;
  readonly widths: readonly number[];
  /** Blocks of the stem, and of each stage behind the one that makes the picture smaller; in small nets the first two count that one too. */
  readonly depths: readonly number[];
  /** Channels of each head of attention. */
  readonly each: number;
  readonly head: readonly [wide: number, hidden: number];
}

const doubled = (width: number) => [1, 2, 4, 8, 16].map((factor) => factor * width);
const small = (width: number, depths: number[], each: number, head: [number, number]): Size => ({ large: false, widths: doubled(width), depths, each, head });
const large = (width: number, depths: number[], head: [number, number]): Size => ({ large: true, widths: doubled(width), depths, each: 32, head });

export const efficientVit = family<Size>({
  name: 'efficientvit',
  title: 'EfficientViT',
  source: 'Cai et al., 2022, https://arxiv.org/abs/2205.14756, figure 5',
  sizes: {
    efficientvit_b0: small(8, [1, 2, 2, 2, 2], 16, [1024, 1280]),
    efficientvit_b1: small(16, [1, 2, 3, 3, 4], 16, [1536, 1600]),
    efficientvit_b2: small(24, [1, 3, 4, 4, 6], 32, [2304, 2560]),
    efficientvit_b3: small(32, [1, 4, 6, 6, 9], 32, [2304, 2560]),
    efficientvit_l1: large(32, [1, 1, 1, 6, 6], [3072, 3200]),
    efficientvit_l2: large(32, [1, 2, 2, 8, 8], [3072, 3200]),
    efficientvit_l3: large(64, [1, 2, 2, 8, 8], [6144, 6400]),
  },
  stem: 'stem.in_conv.conv',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [stem] = names.shape('stem.in_conv.conv');
    const isLarge = names.has('stem.res0.main.conv1.conv');
    const stages = Array.from({ length: names.count('stages.{n}.blocks.0.main.point_conv.conv') }, (_, s) => `stages.${s}.blocks`);
    const last = stages.at(-1);
    if (!stem || last === undefined || !names.has(`${last}.1.context_module`)) return null;
    const isSmallStage = (at: string) => !isLarge && !names.has(`${at}.1.context_module`);
    return {
      large: isLarge,
      widths: [stem, ...stages.map((at) => names.shape(`${at}.0.main.point_conv.conv`)[0]!)],
      depths: [names.count('stem.res{n}.main'), ...stages.map((at) => names.count(`${at}.{n}`) - (isSmallStage(at) ? 0 : 1))],
      each: eachOf(names, `${last}.1.context_module.main`),
      head: [names.shape('head.in_conv.conv')[0] ?? 0, names.shape('head.classifier.0')[0] ?? 0],
    };
  },

  build(net, input, { large: isLarge, widths, depths, each, head: [wide, hidden] }) {
    const act: Activation = isLarge ? 'gelu-tanh' : 'hard-swish';
    const epsilon = isLarge ? 1e-7 : 1e-5;
    const isNormed = (path: string, bare: boolean) => net.has(`${path}.norm`, !bare);
    /** Where only the last convolution of a block is normalised, the others have a bias. */
    const conv = (y: Value, path: string, then: Activation, options: ConvOptions, bare = false) => {
      const made = net.conv(y, `${path}.conv`, { ...options, bias: bare });
      return net.activation(isNormed(path, bare) ? net.norm(made, `${path}.norm`, epsilon) : made, then);
    };
    const inverted = (y: Value, at: string, out: number, factor: number, stride: number, bare: boolean) => {
      const more = conv(y, `${at}.inverted_conv`, act, { out: sizeOf(y, 1) * factor }, bare);
      const deep = conv(more, `${at}.depth_conv`, act, { kernel: 3, stride, depthwise: true }, bare);
      return conv(deep, `${at}.point_conv`, 'none', { out });
    };
    const fused = (y: Value, at: string, out: number, factor: number, stride: number) =>
      conv(conv(y, `${at}.spatial_conv`, act, { out: sizeOf(y, 1) * factor, kernel: 3, stride }), `${at}.point_conv`, 'none', { out });
    const first = (y: Value, at: string) =>
      isLarge
        ? conv(conv(y, `${at}.conv1`, act, { kernel: 3 }), `${at}.conv2`, 'none', { kernel: 3 })
        : conv(conv(y, `${at}.depth_conv`, act, { kernel: 3, depthwise: true }), `${at}.point_conv`, 'none', {});

    let x = conv(input, 'stem.in_conv', act, { out: widths[0]!, kernel: 3, stride: 2 });
    for (let b = 0; b < depths[0]!; b++) x = residual(net, x, (y) => first(y, `stem.res${b}.main`));
    widths.slice(1).forEach((out, s) => {
      const attends = s >= (isLarge ? 3 : 2);
      const isWhole = isLarge && s < 2;
      /** By how much blocks are wider inside: where pictures become smaller, and behind. */
      const [down, behind] = isLarge ? [attends ? 24 : 16, attends ? 6 : 4] : [4, 4];
      const bare = attends || (isLarge && s === 2);
      const local = (y: Value, b: number, factor: number, stride: number) => {
        const at = `stages.${s}.blocks.${b}.main`;
        return isWhole ? fused(y, at, out, factor, stride) : inverted(y, at, out, factor, stride, bare);
      };
      x = local(x, 0, down, 2);
      const count = depths[s + 1]! + (isLarge || attends ? 1 : 0);
      for (let b = 1; b < count; b++) {
        const at = `stages.${s}.blocks.${b}`;
        if (!attends) x = residual(net, x, (y) => local(y, b, behind, 1));
        else {
          x = residual(net, x, (y) => conv(multiScale(net, y, `${at}.context_module.main`, each), `${at}.context_module.main.proj`, 'none', { out }));
          x = residual(net, x, (y) => inverted(y, `${at}.local_module.main`, out, behind, 1, true));
        }
      }
    });
    if (!net.has('head.in_conv', true)) return head(net, net.globalPool(x), 'head.classifier.4');
    // timm gives the head none of the epsilon of the large nets.
    x = net.norm(net.conv(x, 'head.in_conv.conv', { out: wide }), 'head.in_conv.norm');
    x = net.globalPool(net.activation(x, act));
    x = layerNorm(net, net.dense(x, 'head.classifier.0', { out: hidden, bias: false }), 'head.classifier.1', epsilon);
    return head(net, net.activation(x, act), 'head.classifier.4');
  },
});

/** Channels of a head: those that a group of the 1 x 1 convolution mixes. */
function eachOf(names: Names, at: string): number {
  return names.shape(`${at}.aggreg.0.1`)[1] ?? 0;
}

/** Linear attention with ReLU for a kernel, of what each place holds and of what its neighbourhood does, a head each. */
function multiScale(net: Net, x: Value, at: string, each: number): Value {
  const [channels, height, width] = [sizeOf(x, 1), sizeOf(x, 2), sizeOf(x, 3)];
  const qkv = net.conv(x, `${at}.qkv.conv`, { out: 3 * channels });
  const total = sizeOf(qkv, 1);
  if (total % (3 * each) !== 0) throw new Departure(net.store.sourceName(`${at}.qkv.conv`), `gives ${total} channels, which heads of ${each} cannot share`);
  const scales = [qkv];
  for (let i = 0; net.has(`${at}.aggreg.${i}`, i === 0); i++) {
    const around = net.conv(qkv, `${at}.aggreg.${i}.0`, { kernel: 5, depthwise: true });
    scales.push(net.conv(around, `${at}.aggreg.${i}.1`, { out: total, groups: total / each }));
  }
  const heads = (scales.length * total) / 3 / each;
  const split = net.reshape(net.concat(scales), [0, heads, 3 * each, height * width]);
  const part = (i: number) => net.slice(split, 2, i * each, (i + 1) * each);
  // Queries and keys [batch, heads, each, places]; the sum of all weights divides what they weigh.
  const [q, k, v] = [net.activation(part(0), 'relu'), net.activation(part(1), 'relu'), part(2)];
  const rows = (y: Value) => net.transpose(y, [0, 1, 3, 2]);
  const products = net.op('MatMul', [v, rows(k)]);
  const sums = net.op('ReduceSum', [k], { axes: [3], keepdims: 1 });
  const weighed = net.op('MatMul', [products, q]);
  const weights = net.op('MatMul', [rows(sums), q]);
  const epsilon = net.setting('attention_epsilon', 1e-5, 'linear attention adds {} to the sum of its weights');
  const mixed = net.op('Div', [weighed, net.constantOp('Add', weights, epsilon, `${net.store.sourceName(at)}.epsilon`)]);
  return net.reshape(mixed, [0, heads * each, height, width]);
}
