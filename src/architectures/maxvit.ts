/** MaxViT: Tu et al., "MaxViT: Multi-Axis Vision Transformer", 2022, table 1. */
import { layerNorm, mlp, selfAttention } from './attention.js';
import { convBlock, residual, squeezeExcite } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { CLASSES, head } from './head.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';
import { byPlace } from './spelling.js';
import { fromWindows, intoWindows, pairBias } from './windows.js';

interface Size {
  readonly stem: number;
  readonly widths: readonly number[];
  readonly depths: readonly number[];
  /** Side of windows and of the grid. */
  readonly window: number;
  readonly headWidth: number;
}

const NORM = 1e-3;
const LAYER_NORM = 1e-5;

export const maxvit = family<Size>({
  name: 'maxvit',
  title: 'MaxViT',
  source: 'Tu et al., 2022, https://arxiv.org/abs/2204.01697, table 1',
  sizes: { maxvit_t: { stem: 64, widths: [64, 128, 256, 512], depths: [2, 2, 5, 2], window: 7, headWidth: 32 } },
  stem: 'stem.0.0',
  // Every stage's picture is cut into windows without a rest.
  side: ({ widths, window }) => window * 2 ** (widths.length + 1),
  preprocessing: () => TORCHVISION,
  training: /\.relative_position_index$/,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    { ecosystem: 'torchvision', spell: byPlace('stem blocks') },
  ],

  measure(names) {
    const attention = 'blocks.0.layers.0.layers.window_attention.attn_layer.1';
    const [differences, heads] = names.shape(`${attention}.relative_position_bias_table`);
    if (!differences || !heads || !names.has('stem.1.0')) return null;
    const stages = Array.from({ length: names.count('blocks.{n}') }, (_, i) => i);
    const widths = stages.map((i) => names.shape(`blocks.${i}.layers.0.layers.MBconv.layers.conv_c`)[0]!);
    return {
      stem: names.shape('stem.0.0')[0]!,
      widths,
      depths: stages.map((i) => names.count(`blocks.${i}.layers.{n}`)),
      window: (Math.sqrt(differences) + 1) / 2,
      headWidth: widths[0]! / heads,
    };
  },

  build(net, input, { stem, widths, depths, window, headWidth }) {
    let x = convBlock(net, input, 'stem.0', 'gelu', { out: stem, kernel: 3, stride: 2, epsilon: NORM });
    x = net.conv(x, 'stem.1.0', { out: stem, kernel: 3, bias: true });
    depths.forEach((depth, s) => {
      for (let b = 0; b < depth; b++) {
        const at = `blocks.${s}.layers.${b}.layers`;
        x = mbConv(net, x, `${at}.MBconv`, widths[s]!, b === 0 ? 2 : 1);
        for (const kind of ['window', 'grid'] as const) x = partitionAttention(net, x, `${at}.${kind}_attention`, { kind, window, headWidth });
      }
    });
    const pooled = net.globalPool(x);
    if (net.store.has('classifier') !== undefined) {
      return head(net, pooled, 'classifier', {
        act: 'tanh',
        layers: [
          ['3', widths.at(-1)!],
          ['5', CLASSES],
        ],
      });
    }
    net.endsInClasses = true;
    const hidden = net.activation(net.dense(layerNorm(net, pooled, 'classifier.2', LAYER_NORM), 'classifier.3'), 'tanh');
    return net.dense(hidden, 'classifier.5', { out: CLASSES, bias: false });
  },
});

/** Inverted residual with the normalisation first. */
function mbConv(net: Net, x: Value, at: string, out: number, stride: number): Value {
  const place = stride === 2 ? 1 : 0;
  const project = net.has(`${at}.proj.${place}`, stride === 2);
  const around = (y: Value) => {
    if (!project) return y;
    const pooled = stride === 2 ? net.averagePool(y, { kernel: 3, stride, pad: 1, countPadding: true }) : y;
    return net.conv(pooled, `${at}.proj.${place}`, { out, pad: 0, bias: true });
  };
  const branch = (y: Value) => {
    let z = net.norm(y, `${at}.layers.pre_norm`, NORM);
    z = convBlock(net, z, `${at}.layers.conv_a`, 'gelu', { out: 4 * out, pad: 0, epsilon: NORM });
    z = convBlock(net, z, `${at}.layers.conv_b`, 'gelu', { kernel: 3, stride, depthwise: true, epsilon: NORM });
    const squeeze = `${at}.layers.squeeze_excitation`;
    z = squeezeExcite(net, z, { reduce: `${squeeze}.fc1`, expand: `${squeeze}.fc2`, width: out / 4, act: 'silu', gate: 'sigmoid' });
    return net.conv(z, `${at}.layers.conv_c`, { out, pad: 0, bias: true });
  };
  return residual(net, x, branch, around);
}

interface PartitionOptions {
  readonly kind: 'window' | 'grid';
  readonly window: number;
  readonly headWidth: number;
}

/** Attention among neighbours (window), or among tokens spread evenly over the picture (grid). */
function partitionAttention(net: Net, picture: Value, at: string, { kind, window, headWidth }: PartitionOptions): Value {
  const [features, height, width] = [sizeOf(picture, 1), sizeOf(picture, 2), sizeOf(picture, 3)];
  if (height !== width || height % window !== 0) {
    throw new Departure('input', `makes ${height} x ${width} features, which windows of ${window} do not cover`);
  }
  // A grid of as many tokens as a window has: the picture is cut into windows of that many, and tokens of one place attend to each other.
  const side = kind === 'window' ? window : height / window;
  const across = (y: Value) => (kind === 'grid' ? net.transpose(y, [0, 2, 1, 3]) : y);
  const heads = features / headWidth;
  const table = net.store.takeParameter(`${at}.attn_layer.1.relative_position_bias_table`, [(2 * window - 1) ** 2, heads]);
  if (!table) throw new Departure(`${net.store.sourceName(at)}.attn_layer.1.relative_position_bias_table`, 'is missing');
  const biases = [{ name: `${net.store.sourceName(at)}.relative_position_bias`, tensor: pairBias(table, window) }];
  let x = across(intoWindows(net, net.transpose(picture, [0, 2, 3, 1]), side));
  x = residual(net, x, (y) => {
    const qkv = net.dense(layerNorm(net, y, `${at}.attn_layer.0`, LAYER_NORM), `${at}.attn_layer.1.to_qkv`, { out: 3 * features });
    return net.dense(selfAttention(net, qkv, { heads, scale: features ** -0.5, biases }), `${at}.attn_layer.1.merge`, { out: features });
  });
  x = residual(net, x, (y) => mlp(net, layerNorm(net, y, `${at}.mlp_layer.0`, LAYER_NORM), `${at}.mlp_layer.1`, `${at}.mlp_layer.3`, 4 * features));
  return net.transpose(fromWindows(net, across(x), side, height, width), [0, 3, 1, 2]);
}
