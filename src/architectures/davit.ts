/** DaViT: Ding et al., "DaViT: Dual Attention Vision Transformers", 2022, table 6: places ask each other within windows, then channels do. Names are timm's. */
import { layerNorm, mlp, selfAttention } from './attention.js';
import { residual } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';
import { fromWindows, intoWindows } from './windows.js';

interface Size {
  readonly widths: readonly number[];
  readonly depths: readonly number[];
}

const EPSILON = 1e-5;
const RATIO = 4;
/** Features of a head. */
const EACH = 32;
const HEADS = 'attention has {} heads, by stages';
const WINDOW = 'places ask each other within windows of {} on a side';
const DEEP = [1, 1, 9, 1];
const widths = (first: number) => [1, 2, 4, 8].map((factor) => factor * first);

export const davit = family<Size>({
  name: 'davit',
  title: 'DaViT',
  source: 'Ding et al., 2022, https://arxiv.org/abs/2204.03645, table 6',
  sizes: {
    davit_tiny: { widths: widths(96), depths: [1, 1, 3, 1] },
    davit_small: { widths: widths(96), depths: DEEP },
    davit_base: { widths: widths(128), depths: DEEP },
    davit_large: { widths: widths(192), depths: DEEP },
    davit_huge: { widths: widths(256), depths: DEEP },
    davit_giant: { widths: widths(384), depths: [1, 1, 12, 3] },
  },
  stem: 'stem.conv',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const stages = Array.from({ length: names.count('stages.{n}.blocks.0.0.cpe1') }, (_, s) => `stages.${s}.blocks`);
    if (stages.length === 0 || !names.has('stages.0.blocks.0.1.cpe1')) return null;
    return { widths: stages.map((at) => names.shape(`${at}.0.0.cpe1.proj`)[0]!), depths: stages.map((at) => names.count(`${at}.{n}.0.cpe1`)) };
  },

  build(net, input, size) {
    const heads = net
      .setting<string>('heads', size.widths.map((width) => Math.max(1, Math.round(width / EACH))).join(','), HEADS)
      .split(',')
      .map(Number);
    const window = net.setting('window', 7, WINDOW);
    let x = layerNorm(
      net,
      net.conv(even(net, input, 4), 'stem.conv', { out: size.widths[0], kernel: 7, stride: 4, pad: 3, bias: true }),
      'stem.norm',
      EPSILON,
      1,
    );
    size.depths.forEach((depth, s) => {
      const at = `stages.${s}`;
      if (s > 0) {
        const normal = even(net, layerNorm(net, x, `${at}.downsample.norm`, EPSILON, 1), 2);
        x = net.conv(normal, `${at}.downsample.conv`, { out: size.widths[s], kernel: 2, stride: 2, pad: 0, bias: true });
      }
      for (let b = 0; b < depth; b++) {
        x = block(net, x, `${at}.blocks.${b}.0`, (y, own) => places(net, y, own, heads[s] ?? 1, window));
        x = block(net, x, `${at}.blocks.${b}.1`, (y, own) => channels(net, y, own, heads[s] ?? 1));
      }
    });
    return head(net, layerNorm(net, net.globalPool(x), 'head.norm', EPSILON), 'head.fc');
  },
});

/** Zeros behind, as many as make sides multiples. */
function even(net: Net, x: Value, of: number): Value {
  const more = [sizeOf(x, 2), sizeOf(x, 3)].map((size) => (of - (size % of)) % of);
  return more.some((size) => size > 0) ? net.op('Pad', [x], { pads: [0, 0, 0, 0, 0, 0, ...more] }) : x;
}

type Ask = (x: Value, at: string) => Value;

/** Attention over [batch, height, width, features] and two dense layers, before each of which a convolution tells places what lies around them. */
function block(net: Net, x: Value, at: string, ask: Ask): Value {
  const around = (y: Value, k: number) => residual(net, y, (z) => net.conv(z, `${at}.cpe${k}.proj`, { kernel: 3, depthwise: true, bias: true }));
  const toRows = (y: Value) => net.transpose(y, [0, 2, 3, 1]);
  const toPicture = (y: Value) => net.transpose(y, [0, 3, 1, 2]);
  const attended = residual(net, toRows(around(x, 1)), (y) => ask(layerNorm(net, y, `${at}.norm1`, EPSILON), `${at}.attn`));
  const blend = (y: Value) => mlp(net, layerNorm(net, y, `${at}.norm2`, EPSILON), `${at}.mlp.fc1`, `${at}.mlp.fc2`, RATIO * sizeOf(x, 1));
  return toPicture(residual(net, toRows(around(toPicture(attended), 2)), blend));
}

function places(net: Net, x: Value, at: string, heads: number, window: number): Value {
  const [height, width, features] = [sizeOf(x, 1), sizeOf(x, 2), sizeOf(x, 3)];
  const more = [height, width].map((size) => (window - (size % window)) % window) as [number, number];
  const padded = more.some((size) => size > 0) ? net.op('Pad', [x], { pads: [0, 0, 0, 0, 0, ...more, 0] }) : x;
  const qkv = net.dense(intoWindows(net, padded, window), `${at}.qkv`, { out: 3 * features });
  const mixed = net.dense(selfAttention(net, qkv, { heads }), `${at}.proj`, { out: features });
  const whole = fromWindows(net, mixed, window, height + more[0], width + more[1]);
  const rows = more[0] > 0 ? net.slice(whole, 1, 0, height) : whole;
  return more[1] > 0 ? net.slice(rows, 2, 0, width) : rows;
}

/** Channels of a group ask each other, by what all places say. */
function channels(net: Net, x: Value, at: string, heads: number): Value {
  const [height, width, features] = [sizeOf(x, 1), sizeOf(x, 2), sizeOf(x, 3)];
  const each = features / heads;
  if (!Number.isInteger(each)) throw new Departure(net.store.sourceName(at), `has ${features} features, which ${heads} heads cannot share`);
  const all = net.dense(x, `${at}.qkv`, { out: 3 * features });
  const tokens = height * width;
  const part = (i: number) => net.transpose(net.reshape(net.slice(all, 3, i * features, (i + 1) * features), [0, tokens, heads, each]), [0, 2, 3, 1]);
  const turned = (y: Value) => net.transpose(y, [0, 1, 3, 2]);
  const similar = net.op('MatMul', [net.constantOp('Mul', part(1), each ** -0.5), turned(part(2))]);
  const mixed = net.op('MatMul', [net.op('Softmax', [similar], { axis: -1 }), part(0)]);
  return net.dense(net.reshape(net.transpose(mixed, [0, 3, 1, 2]), [0, height, width, features]), `${at}.proj`, { out: features });
}
