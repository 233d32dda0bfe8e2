/** TinyViT: Wu et al., "TinyViT: Fast Pretraining Distillation for Small Vision Transformers", 2022, table 1. Names are timm's. */
import { layerNorm, mlp } from './attention.js';
import { convNormAct, residual } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { type Activation, type ConvOptions, Departure, type Net, sizeOf, type Value } from './net.js';
import { distanceBias, fromWindows, intoWindows } from './windows.js';

interface Size {
  readonly widths: readonly number[];
  readonly depths: readonly number[];
  /** Of the stages of attention, which are all but the first; 0 there. */
  readonly heads: readonly number[];
  readonly windows: readonly number[];
}

const size = (widths: number[], heads: number[], windows = [0, 7, 14, 7]): Size => ({ widths, depths: [2, 2, 6, 2], heads: [0, ...heads], windows });
const EPSILON = 1e-5;

export const tinyVit = family<Size>({
  name: 'tiny_vit',
  title: 'TinyViT',
  source: 'Wu et al., 2022, https://arxiv.org/abs/2207.10666, table 1',
  sizes: {
    tiny_vit_5m_224: size([64, 128, 160, 320], [4, 5, 10]),
    tiny_vit_11m_224: size([64, 128, 256, 448], [4, 8, 14]),
    tiny_vit_21m_224: size([96, 192, 384, 576], [6, 12, 18]),
    tiny_vit_21m_384: size([96, 192, 384, 576], [6, 12, 18], [0, 12, 24, 12]),
    tiny_vit_21m_512: size([96, 192, 384, 576], [6, 12, 18], [0, 16, 32, 16]),
  },
  stem: 'patch_embed.conv1.conv',
  // The last stage is one window.
  side: ({ windows, depths }) => windows.at(-1)! * 2 ** (depths.length + 1),
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const stages = Array.from({ length: names.count('stages.{n}.downsample.conv1.conv', 1) }, (_, s) => s + 1);
    const tables = stages.map((s) => names.shape(`stages.${s}.blocks.0.attn.attention_biases`));
    const windows = tables.map(([, places = Number.NaN]) => Math.sqrt(places));
    const [stem] = names.shape('patch_embed.conv2.conv');
    if (!stem || stages.length === 0 || !windows.every(Number.isInteger)) return null;
    return {
      widths: [stem, ...stages.map((s) => names.shape(`stages.${s}.downsample.conv3.conv`)[0] ?? 0)],
      depths: [names.count('stages.0.blocks.{n}.conv1.conv'), ...stages.map((s) => names.count(`stages.${s}.blocks.{n}.local_conv.conv`))],
      heads: [0, ...tables.map(([heads = 0]) => heads)],
      windows: [0, ...windows],
    };
  },

  build(net, input, { widths, depths, heads, windows }) {
    const conv = (y: Value, path: string, act: Activation, options: ConvOptions) => convNormAct(net, y, `${path}.conv`, `${path}.bn`, act, options);
    let x = conv(input, 'patch_embed.conv1', 'gelu', { out: widths[0]! / 2, kernel: 3, stride: 2 });
    x = conv(x, 'patch_embed.conv2', 'none', { out: widths[0]!, kernel: 3, stride: 2 });
    depths.forEach((depth, s) => {
      const out = widths[s]!;
      /** Wider, over neighbours, and as wide as it shall be. */
      const inverted = (y: Value, at: string, wide: number, stride: number) => {
        const deep = conv(conv(y, `${at}.conv1`, 'gelu', { out: wide }), `${at}.conv2`, 'gelu', { kernel: 3, stride, depthwise: true });
        return conv(deep, `${at}.conv3`, 'none', { out });
      };
      if (s > 0) x = inverted(x, `stages.${s}.downsample`, out, 2);
      for (let b = 0; b < depth; b++) {
        const at = `stages.${s}.blocks.${b}`;
        if (s === 0) {
          x = net.activation(
            residual(net, x, (y) => inverted(y, at, 4 * out, 1)),
            'gelu',
          );
          continue;
        }
        const last = (y: Value) => net.transpose(y, [0, 2, 3, 1]);
        const first = (y: Value) => net.transpose(y, [0, 3, 1, 2]);
        const attended = residual(net, last(x), (y) => attention(net, y, `${at}.attn`, heads[s]!, windows[s]!));
        const local = conv(first(attended), `${at}.local_conv`, 'none', { kernel: 3, depthwise: true });
        const blend = (y: Value) => mlp(net, layerNorm(net, y, `${at}.mlp.norm`, EPSILON), `${at}.mlp.fc1`, `${at}.mlp.fc2`, 4 * out);
        x = first(residual(net, last(local), blend));
      }
    });
    return head(net, layerNorm(net, net.globalPool(x), 'head.norm', EPSILON), 'head.fc');
  },
});

/** Attention within windows of [batch, height, width, features]; what is missing of the last ones is zeros. */
function attention(net: Net, x: Value, path: string, heads: number, window: number): Value {
  const [height, width, features] = [sizeOf(x, 1), sizeOf(x, 2), sizeOf(x, 3)];
  const whole = (size: number) => Math.ceil(size / window) * window;
  const more = [whole(height) - height, whole(width) - width] as const;
  const isWhole = more.every((size) => size === 0);
  const padded = isWhole ? x : net.op('Pad', [x], { pads: [0, 0, 0, 0, 0, ...more, 0] });
  const cut = layerNorm(net, intoWindows(net, padded, window), `${path}.norm`, EPSILON);
  const [count, tokens, each] = [sizeOf(cut, 1), window * window, features / heads];
  const table = net.store.takeParameter(`${path}.attention_biases`, [heads, tokens]);
  const name = net.store.sourceName(`${path}.attention_biases`);
  if (table?.shape.join() !== `${heads},${tokens}`) throw new Departure(name, `has no biases for ${heads} heads and ${tokens} places`);
  // Each head has its queries, keys and values side by side.
  const qkv = net.reshape(net.dense(cut, `${path}.qkv`, { out: 3 * features }), [0, count, tokens, heads, 3 * each]);
  const [q, k, v] = [0, 1, 2].map((i) => net.transpose(net.slice(qkv, 4, i * each, (i + 1) * each), [0, 1, 3, 2, 4])) as [Value, Value, Value];
  const bias = distanceBias(table, window);
  const scores = net.op('MatMul', [net.constantOp('Mul', q, each ** -0.5), net.transpose(k, [0, 1, 2, 4, 3])]);
  const weights = net.op('Softmax', [net.constantOp('Add', scores, bias, bias.name)], { axis: -1 });
  const mixed = net.transpose(net.op('MatMul', [weights, v]), [0, 1, 3, 2, 4]);
  const given = net.dense(net.reshape(mixed, [0, count, tokens, features]), `${path}.proj`, { out: features });
  const y = fromWindows(net, given, window, whole(height), whole(width));
  return isWhole ? y : net.slice(net.slice(y, 1, 0, height), 2, 0, width);
}
