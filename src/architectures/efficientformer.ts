/** EfficientFormer: Li et al., "EfficientFormer: Vision Transformers at MobileNet Speed", 2022, table 6: means of neighbours, and attention at the end. */
import { layerNorm, layerScale, mlp } from './attention.js';
import { convNormAct, residual } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { byChannel } from './metaformer.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';
import { inRows } from './pyramid.js';
import { distanceBias } from './windows.js';

interface Size {
  readonly widths: readonly number[];
  readonly depths: readonly number[];
  /** Blocks of attention, the last ones of the last stage. */
  readonly attending: number;
  /** Places along the side of the last stage's picture. */
  readonly side: number;
  readonly heads: number;
  /** Features of a key, and of a value, of each head. */
  readonly each: readonly [key: number, value: number];
}

const size = (widths: number[], depths: number[], attending: number): Size => ({ widths, depths, attending, side: 7, heads: 8, each: [32, 128] });
const RATIO = 4;
const EPSILON = 1e-5;

export const efficientFormer = family<Size>({
  name: 'efficientformer',
  title: 'EfficientFormer',
  source: 'Li et al., 2022, https://arxiv.org/abs/2206.01191, table 6',
  sizes: {
    efficientformer_l1: size([48, 96, 224, 448], [3, 2, 6, 4], 1),
    efficientformer_l3: size([64, 128, 320, 512], [4, 4, 12, 6], 4),
    efficientformer_l7: size([96, 192, 384, 768], [6, 6, 18, 8], 8),
  },
  stem: 'stem.conv1',
  side: ({ side, widths }) => side * 2 ** (widths.length + 1),
  preprocessing: () => TORCHVISION,
  // Which bias a pair of places takes.
  training: /attention_bias_idxs$/,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const stages = 1 + names.count('stages.{n}.downsample.conv', 1);
    const last = `stages.${stages - 1}.blocks`;
    const depths = Array.from({ length: stages }, (_, s) => names.count(`stages.${s}.blocks.{n}.mlp.norm1`));
    const means = depths.at(-1)!;
    // Where pictures become rows, the file counts a module.
    const attending = names.count(`${last}.{n}.norm1`, means + 1);
    const at = `${last}.${means + 1}.token_mixer`;
    const [heads, places = Number.NaN] = names.shape(`${at}.attention_biases`);
    const [all = 0] = names.shape(`${at}.qkv`);
    const [, values = 0] = names.shape(`${at}.proj`);
    const side = Math.sqrt(places);
    if (attending === 0 || !heads || !Number.isInteger(side)) return null;
    return {
      widths: [names.shape('stem.conv2')[0] ?? 0, ...depths.slice(1).map((_, s) => names.shape(`stages.${s + 1}.downsample.conv`)[0] ?? 0)],
      depths: [...depths.slice(0, -1), means + attending],
      attending,
      side,
      heads,
      each: [(all - values) / heads / 2, values / heads],
    };
  },

  build(net, input, { widths, depths, attending, side, heads, each }) {
    const stem = { kernel: 3, stride: 2, bias: true };
    let x = convNormAct(net, input, 'stem.conv1', 'stem.norm1', 'relu', { ...stem, out: widths[0]! / 2 });
    x = convNormAct(net, x, 'stem.conv2', 'stem.norm2', 'relu', { ...stem, out: widths[0]! });
    depths.forEach((depth, s) => {
      const at = `stages.${s}`;
      if (s > 0) x = convNormAct(net, x, `${at}.downsample.conv`, `${at}.downsample.norm`, 'none', { ...stem, out: widths[s]! });
      const means = s === depths.length - 1 ? depth - attending : depth;
      for (let b = 0; b < means; b++) x = meansOf(net, x, `${at}.blocks.${b}`);
    });
    if (sizeOf(x, 2) !== side || sizeOf(x, 3) !== side) {
      throw new Departure('input', `makes ${sizeOf(x, 2)} x ${sizeOf(x, 3)} places in the last stage, but there are position biases for ${side} x ${side}`);
    }
    x = inRows(net, x);
    const first = depths.at(-1)! - attending + 1;
    for (let b = 0; b < attending; b++) {
      const at = `stages.${depths.length - 1}.blocks.${first + b}`;
      const attend = (y: Value) => attention(net, layerNorm(net, y, `${at}.norm1`, EPSILON), `${at}.token_mixer`, { side, heads, each });
      const blend = (y: Value) => mlp(net, layerNorm(net, y, `${at}.norm2`, EPSILON), `${at}.mlp.fc1`, `${at}.mlp.fc2`, RATIO * sizeOf(y, 2));
      x = residual(net, x, (y) => layerScale(net, attend(y), `${at}.ls1.gamma`));
      x = residual(net, x, (y) => layerScale(net, blend(y), `${at}.ls2.gamma`));
    }
    const mean = net.op('ReduceMean', [layerNorm(net, x, 'norm', EPSILON)], { axes: [1], keepdims: 0 });
    const scores = head(net, mean, 'head');
    if (!net.endsInClasses || !net.has('head_dist', true)) return scores;
    return net.constantOp('Mul', net.add(scores, net.dense(mean, 'head_dist', { out: sizeOf(scores, 1) })), 0.5, 'head.mean');
  },
});

/** What a place differs from the mean of its neighbours by, then two convolutions of single places. */
function meansOf(net: Net, x: Value, at: string): Value {
  const channels = sizeOf(x, 1);
  const differs = (y: Value) => net.op('Sub', [net.averagePool(y, { kernel: 3, stride: 1, pad: 1 }), y]);
  const conv = (y: Value, k: number, out: number) =>
    convNormAct(net, y, `${at}.mlp.fc${k}`, `${at}.mlp.norm${k}`, k === 1 ? 'gelu' : 'none', { out, bias: true });
  const mixed = residual(net, x, (y) => byChannel(net, differs(y), `${at}.ls1.gamma`));
  return residual(net, mixed, (y) => byChannel(net, conv(conv(y, 1, RATIO * channels), 2, channels), `${at}.ls2.gamma`));
}

/** Attention with biases by how far places lie apart; values are wider than keys. */
function attention(net: Net, x: Value, at: string, { side, heads, each: [key, value] }: Pick<Size, 'side' | 'heads' | 'each'>): Value {
  const places = side * side;
  const all = net.dense(x, `${at}.qkv`, { out: heads * (2 * key + value) });
  const byHead = net.transpose(net.reshape(all, [0, places, heads, 2 * key + value]), [0, 2, 1, 3]);
  const q = net.constantOp('Mul', net.slice(byHead, 3, 0, key), key ** -0.5);
  const k = net.transpose(net.slice(byHead, 3, key, 2 * key), [0, 1, 3, 2]);
  const v = net.slice(byHead, 3, 2 * key, 2 * key + value);
  const name = net.store.sourceName(`${at}.attention_biases`);
  const table = net.store.takeParameter(`${at}.attention_biases`, [heads, places]);
  if (table?.shape.join() !== `${heads},${places}`) throw new Departure(name, `has no biases for ${heads} heads and ${places} places`);
  const bias = distanceBias(table, side);
  const weights = net.op('Softmax', [net.constantOp('Add', net.op('MatMul', [q, k]), bias, bias.name)], { axis: -1 });
  const mixed = net.transpose(net.op('MatMul', [weights, v]), [0, 2, 1, 3]);
  return net.dense(net.reshape(mixed, [0, places, heads * value]), `${at}.proj`, { out: sizeOf(x, 2) });
}
