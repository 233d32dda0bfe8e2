/**
 * LeViT: Graham et al., "LeViT: a Vision Transformer in ConvNet's Clothing for Faster Inference", 2021, table 2. Names are timm's (its dense
 * layers or its convolutions) and transformers'.
 */
import { reshape } from '../model/tensor.js';
import { convNormAct, residual } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { type Activation, Departure, type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';
import { RAW_NAME } from './store.js';
import { distanceBias } from './windows.js';

interface Size {
  readonly widths: readonly number[];
  /** Features of a key. */
  readonly key: number;
  readonly heads: readonly number[];
  readonly depths: readonly number[];
  /** Places along the side of the first picture of features. */
  readonly side: number;
}

const size = (widths: number[], key: number, heads: number[], depths = [4, 4, 4]): Size => ({ widths, key, heads, depths, side: 14 });

/** How timm's own nets are told apart. */
const ADDED = { width: 512, depths: '4,8,6' };

/** Layers of a stage in running order, attention and dense ones by turns; behind them, and counted with them, what makes the picture smaller. */
const layerOf = (s: number, k: number, kind: 'attn' | 'mlp' | 'down' | 'down-mlp') => `stages.${s}.${k}.${kind}`;

function timmNames(path: string): string {
  return path.replace(/^stages\.(\d+)\.(\d+)\.([a-z-]+)/, (_, s: string, k: string, kind: string) => {
    if (kind === 'down') return `stages.${Number(s) + 1}.downsample.attn_downsample`;
    if (kind === 'down-mlp') return `stages.${Number(s) + 1}.downsample.mlp`;
    return `stages.${s}.blocks.${Math.floor(Number(k) / 2)}.${kind}`;
  });
}

export const levit = family<Size>({
  name: 'levit',
  title: 'LeViT',
  source: 'Graham et al., 2021, https://arxiv.org/abs/2104.01136, table 2',
  sizes: {
    levit_128s: size([128, 256, 384], 16, [4, 6, 8], [2, 3, 4]),
    levit_128: size([128, 256, 384], 16, [4, 8, 12]),
    levit_192: size([192, 288, 384], 32, [3, 5, 6]),
    levit_256: size([256, 384, 512], 32, [4, 6, 8]),
    levit_384: size([384, 512, 768], 32, [6, 9, 12]),
    levit_512: size([512, 768, 1024], 64, [8, 12, 16]),
    levit_256d: size([256, 384, 512], 32, [4, 6, 8], [4, 8, 6]),
    levit_512d: size([512, 640, 768], 64, [8, 10, 12], [4, 8, 6]),
  },
  stem: 'stem.conv1.linear',
  side: ({ side }) => 16 * side,
  preprocessing: () => TORCHVISION,
  // Which bias is whose follows from the places.
  training: /attention_bias_idxs$/,
  canonical: timmNames,
  spellings: [
    { ecosystem: 'timm', spell: timmNames },
    {
      ecosystem: 'transformers',
      spell: spelling({
        'stem.conv{i}.linear': 'patch_embeddings.embedding_layer_{i}.convolution',
        'stem.conv{i}.bn': 'patch_embeddings.embedding_layer_{i}.batch_norm',
        ...Object.fromEntries(
          ['linear', 'bn'].flatMap((part) => {
            const word = part === 'bn' ? 'batch_norm' : part;
            return [
              [`stages.{s}.{k}.attn.qkv.${part}`, `encoder.stages.{s}.layers.{k}.module.queries_keys_values.${word}`],
              [`stages.{s}.{k}.attn.proj.ln.${part}`, `encoder.stages.{s}.layers.{k}.module.projection.${word}`],
              [`stages.{s}.{k}.mlp.ln1.${part}`, `encoder.stages.{s}.layers.{k}.module.linear_up.${word}`],
              [`stages.{s}.{k}.mlp.ln2.${part}`, `encoder.stages.{s}.layers.{k}.module.linear_down.${word}`],
              [`stages.{s}.{k}.down-mlp.ln1.${part}`, `encoder.stages.{s}.layers.{k}.module.linear_up.${word}`],
              [`stages.{s}.{k}.down-mlp.ln2.${part}`, `encoder.stages.{s}.layers.{k}.module.linear_down.${word}`],
              [`stages.{s}.{k}.down.kv.${part}`, `encoder.stages.{s}.layers.{k}.keys_values.${word}`],
              [`stages.{s}.{k}.down.q.ln.${part}`, `encoder.stages.{s}.layers.{k}.queries.${word}`],
              [`stages.{s}.{k}.down.proj.ln.${part}`, `encoder.stages.{s}.layers.{k}.projection.${word}`],
            ];
          }),
        ),
        'stages.{s}.{k}.attn.attention_biases': 'encoder.stages.{s}.layers.{k}.module.attention_biases',
        'stages.{s}.{k}.down.attention_biases': 'encoder.stages.{s}.layers.{k}.attention_biases',
      }),
    },
  ],

  measure(names) {
    const at = (s: number) => layerOf(s, 0, 'attn');
    const stages = [0, 1, 2].filter((s) => names.has(`${at(s)}.qkv.linear`));
    const biases = stages.map((s) => names.shape(`${at(s)}.attention_biases`));
    const side = Math.sqrt(biases[0]?.[1] ?? Number.NaN);
    const [out = 0, width = 0] = names.shape(`${at(0)}.qkv.linear`);
    const [, values = 0] = names.shape(`${at(0)}.proj.ln.linear`);
    const heads = biases.map(([count = 0]) => count);
    const key = (out - values) / 2 / (heads[0] ?? 0);
    if (stages.length === 0 || !names.has('stem.conv4.linear') || !Number.isInteger(side) || !Number.isInteger(key) || width === 0) return null;
    return {
      widths: stages.map((s) => names.shape(`${at(s)}.qkv.linear`)[1] ?? 0),
      key,
      heads,
      depths: stages.map((s) => countOf((b) => names.has(`${layerOf(s, 2 * b, 'attn')}.qkv.linear`))),
      side,
    };
  },

  build(net, input, { widths, key, heads, depths, side }) {
    // Nets that timm added to the paper's have another activation.
    const act: Activation = widths[0]! >= ADDED.width || depths.join() === ADDED.depths ? 'silu' : 'hard-swish';
    let x = input;
    for (const i of [1, 2, 3, 4]) {
      const out = widths[0]! / 2 ** (4 - i);
      x = convNormAct(net, x, `stem.conv${i}.linear`, `stem.conv${i}.bn`, i === 4 ? 'none' : act, { out, kernel: 3, stride: 2 });
    }
    if (sizeOf(x, 2) !== side || sizeOf(x, 3) !== side)
      throw new Departure('input', `makes ${x.shape[2]} x ${x.shape[3]} places, but there are biases for ${side} x ${side}`);
    const blend = (y: Value, at: string) =>
      residual(net, y, (z) => {
        const wide = net.activation(everywhere(net, z, `${at}.ln1`, 2 * sizeOf(z, 1)), act);
        return everywhere(net, wide, `${at}.ln2`, sizeOf(z, 1));
      });
    depths.forEach((depth, s) => {
      for (let b = 0; b < depth; b++) {
        x = residual(net, x, (y) => attention(net, y, layerOf(s, 2 * b, 'attn'), { heads: heads[s]!, key, ratio: 2, stride: 1, out: widths[s]!, act }));
        x = blend(x, layerOf(s, 2 * b + 1, 'mlp'));
      }
      if (s + 1 === depths.length) return;
      const down = { heads: widths[s]! / key, key, ratio: 4, stride: 2, out: widths[s + 1]!, act };
      x = blend(attention(net, x, layerOf(s, 2 * depth, 'down'), down), layerOf(s, 2 * depth + 1, 'down-mlp'));
    });
    const pooled = net.globalPool(x);
    const scores = ['head', 'head_dist', `${RAW_NAME}classifier`, `${RAW_NAME}classifier_distill`]
      .filter((path, i) => net.has(`${path}.linear`, i < 2))
      .map((path) => {
        const norm = path.startsWith(RAW_NAME) ? 'batch_norm' : 'bn';
        return head(net, net.norm(pooled, `${path}.${norm}`), `${path}.linear`);
      });
    const [first, second] = scores;
    if (!first) return head(net, pooled, 'head');
    return second ? net.constantOp('Mul', net.add(first, second), 0.5, 'heads.mean') : first;
  },
});

function countOf(is: (i: number) => boolean): number {
  let count = 0;
  while (is(count)) count++;
  return count;
}

/** A dense layer at every place of a picture, and batch normalisation. */
function everywhere(net: Net, x: Value, at: string, out: number): Value {
  const channels = sizeOf(x, 1);
  const { kernel } = net.weights(`${at}.linear`, 'dense', { kernel: [out, channels] });
  const [rows = 0, columns = 0, ...window] = kernel!.shape;
  if (columns !== channels || window.some((size) => size !== 1))
    throw new Departure(net.store.sourceName(`${at}.linear`), `has a matrix of shape [${kernel!.shape}], but ${channels} channels flow in`);
  const convolution = { strides: [1, 1], dilations: [1, 1], group: 1, pads: [0, 0, 0, 0] };
  return net.norm(net.module(`${at}.linear`, 'Conv', x, { kernel: reshape(kernel!, [rows, columns, 1, 1]) }, convolution), `${at}.bn`);
}

interface AttentionOptions {
  readonly heads: number;
  readonly key: number;
  /** Features of a value for one of a key. */
  readonly ratio: number;
  /** Every second place asks where it is 2, and the picture becomes so much smaller. */
  readonly stride: number;
  readonly out: number;
  readonly act: Activation;
}

/** Attention between the places of a picture; queries, keys and values of a head lie side by side. */
function attention(net: Net, x: Value, at: string, { heads, key, ratio, stride, out, act }: AttentionOptions): Value {
  const side = sizeOf(x, 2);
  const places = side * side;
  const asking = Math.ceil(side / stride);
  const value = ratio * key;
  const split = (y: Value, each: number, count: number) => net.reshape(y, [0, heads, each, count]);
  const together = stride === 1 ? 2 * key + value : key + value;
  const all = split(everywhere(net, x, `${at}.${stride === 1 ? 'qkv' : 'kv'}`, heads * together), together, places);
  const own = () => everywhere(net, net.averagePool(x, { kernel: 1, stride }), `${at}.q.ln`, heads * key);
  const q = stride === 1 ? net.slice(all, 2, 0, key) : split(own(), key, asking * asking);
  const k = net.slice(all, 2, together - value - key, together - value);
  const v = net.slice(all, 2, together - value, together);
  const table = net.store.takeParameter(`${at}.attention_biases`, [heads, places]);
  const name = net.store.sourceName(`${at}.attention_biases`);
  if (table?.shape.join() !== `${heads},${places}`) throw new Departure(name, `has no biases for ${heads} heads and ${places} places`);
  const scores = net.constantOp('Mul', net.op('MatMul', [net.transpose(q, [0, 1, 3, 2]), k]), key ** -0.5);
  const bias = distanceBias(table, side, stride);
  const weights = net.op('Softmax', [net.constantOp('Add', scores, bias, bias.name)], { axis: -1 });
  const mixed = net.reshape(net.op('MatMul', [v, net.transpose(weights, [0, 1, 3, 2])]), [0, heads * value, asking, asking]);
  return everywhere(net, net.activation(mixed, act), `${at}.proj.ln`, out);
}
