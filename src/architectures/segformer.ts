/**
 * SegFormer: Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers", 2021, table 6: four stages of
 * attention to fewer and fewer places, and a light head. Names are those of transformers, in files and, since its version 5, in memory.
 */
import { bilinear } from './adaptive.js';
import { layerNorm } from './attention.js';
import { convNormAct, residual } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';
import { RAW_NAME } from './store.js';

interface Size {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
  /** Of the head's channels; null where the net classifies whole pictures, or gives features. */
  readonly decoder: number | null;
}

const WIDTHS = [64, 128, 320, 512];
const mit = (depths: number[], widths = WIDTHS): Size => ({ depths, widths, decoder: null });
const EPSILON = 1e-5;
/** Of places, whose keys and values are one. */
const REDUCTIONS = [8, 4, 2, 1];
/** How often features are wider inside of a block. */
const RATIO = 4;
const HEADS = 'attention has {} heads, by stages';

export const segformer = family<Size>({
  name: 'segformer',
  title: 'SegFormer',
  source: 'Xie et al., 2021, https://arxiv.org/abs/2105.15203, table 6',
  sizes: {
    mit_b0: mit([2, 2, 2, 2], [32, 64, 160, 256]),
    mit_b1: mit([2, 2, 2, 2]),
    mit_b2: mit([3, 4, 6, 3]),
    mit_b3: mit([3, 4, 18, 3]),
    mit_b4: mit([3, 8, 27, 3]),
    mit_b5: mit([3, 6, 40, 3]),
  },
  stem: 'patches.0.proj',
  side: ({ decoder }) => (decoder === null ? 224 : 512),
  preprocessing: () => TORCHVISION,
  spellings: [
    {
      ecosystem: 'transformers',
      spell: spelling({
        'patches.{s}.{*}': 'encoder.patch_embeddings.{s}.{*}|stages.{s}.patch_embeddings.{*}',
        'norm.{s}': 'encoder.layer_norm.{s}|stages.{s}.layer_norm',
        'block.{s}.{b}.norm1': 'encoder.block.{s}.{b}.layer_norm_1|stages.{s}.blocks.{b}.layernorm_before',
        'block.{s}.{b}.norm2': 'encoder.block.{s}.{b}.layer_norm_2|stages.{s}.blocks.{b}.layernorm_after',
        ...Object.fromEntries(
          ['query', 'key', 'value'].map((part) => [
            `block.{s}.{b}.${part}`,
            `encoder.block.{s}.{b}.attention.self.${part}|stages.{s}.blocks.{b}.attention.${part[0]}_proj`,
          ]),
        ),
        'block.{s}.{b}.reduce': 'encoder.block.{s}.{b}.attention.self.sr|stages.{s}.blocks.{b}.attention.sequence_reduction.sequence_reduction',
        'block.{s}.{b}.reduced': 'encoder.block.{s}.{b}.attention.self.layer_norm|stages.{s}.blocks.{b}.attention.sequence_reduction.layer_norm',
        'block.{s}.{b}.proj': 'encoder.block.{s}.{b}.attention.output.dense|stages.{s}.blocks.{b}.attention.o_proj',
        'block.{s}.{b}.first': 'encoder.block.{s}.{b}.mlp.dense1|stages.{s}.blocks.{b}.mlp.fc1',
        'block.{s}.{b}.deep': 'encoder.block.{s}.{b}.mlp.dwconv.dwconv|stages.{s}.blocks.{b}.mlp.dwconv.dwconv',
        'block.{s}.{b}.second': 'encoder.block.{s}.{b}.mlp.dense2|stages.{s}.blocks.{b}.mlp.fc2',
      }),
    },
  ],

  measure(names) {
    const stages = Array.from({ length: names.count('patches.{n}.proj') }, (_, s) => s);
    if (stages.length === 0 || !names.has('block.0.0.deep')) return null;
    return {
      depths: stages.map((s) => names.count(`block.${s}.{n}.norm1`)),
      widths: stages.map((s) => names.shape(`patches.${s}.proj`)[0]!),
      decoder: names.shape(`${RAW_NAME}decode_head.linear_fuse`)[0] ?? null,
    };
  },

  build(net, input, { depths, widths, decoder }) {
    const usual = widths.map((width) => Math.max(1, Math.round(width / widths[0]!))).join(',');
    const heads = net.setting<string>('heads', usual, HEADS).split(',').map(Number);
    const pictures: Value[] = [];
    let x = input;
    depths.forEach((depth, s) => {
      const kernel = s === 0 ? 7 : 3;
      const taken = net.conv(x, `patches.${s}.proj`, { out: widths[s], kernel, stride: s === 0 ? 4 : 2, bias: true });
      const size = [sizeOf(taken, 2), sizeOf(taken, 3)] as const;
      let y = layerNorm(net, inRows(net, taken), `patches.${s}.layer_norm`, EPSILON);
      for (let b = 0; b < depth; b++) {
        const at = `block.${s}.${b}`;
        y = residual(net, y, (z) => attend(net, layerNorm(net, z, `${at}.norm1`, EPSILON), at, { size, heads: heads[s] ?? 1, reduction: REDUCTIONS[s] ?? 1 }));
        y = residual(net, y, (z) => blend(net, layerNorm(net, z, `${at}.norm2`, EPSILON), at, size));
      }
      y = layerNorm(net, y, `norm.${s}`, EPSILON);
      x = asPicture(net, y, size);
      pictures.push(x);
    });
    if (decoder === null) return head(net, net.globalPool(x), 'classifier');
    const [height, width] = [sizeOf(pictures[0]!, 2), sizeOf(pictures[0]!, 3)];
    const places = ['linear_projections', 'linear_c'].map((name) => `${RAW_NAME}decode_head.${name}`);
    const at = places.find((name) => net.has(name, false)) ?? places[0]!;
    const all = pictures.map((y, s) => {
      const rows = net.dense(inRows(net, y), `${at}.${s}.proj`, { out: decoder });
      return bilinear(net, asPicture(net, rows, [sizeOf(y, 2), sizeOf(y, 3)]), height, width);
    });
    const fused = convNormAct(net, net.concat(all.toReversed()), `${RAW_NAME}decode_head.linear_fuse`, `${RAW_NAME}decode_head.batch_norm`, 'relu', {
      out: decoder,
    });
    net.endsInClasses = true;
    return net.conv(fused, `${RAW_NAME}decode_head.classifier`, { bias: true });
  },
});

/** Places as tokens: [batch, channels, height, width] to [batch, tokens, channels]. */
function inRows(net: Net, x: Value): Value {
  return net.transpose(net.reshape(x, [0, sizeOf(x, 1), sizeOf(x, 2) * sizeOf(x, 3)]), [0, 2, 1]);
}

function asPicture(net: Net, x: Value, [height, width]: readonly [number, number]): Value {
  return net.reshape(net.transpose(x, [0, 2, 1]), [0, sizeOf(x, 2), height, width]);
}

interface Place {
  readonly size: readonly [number, number];
  readonly heads: number;
  readonly reduction: number;
}

/** Each place asks all squares of places, each of which a convolution makes into one. */
function attend(net: Net, x: Value, at: string, { size, heads, reduction }: Place): Value {
  const features = sizeOf(x, 2);
  const each = features / heads;
  const side = net.store.shape(`${at}.reduce`)?.[2] ?? reduction;
  const isReduced = net.has(`${at}.reduce`, reduction > 1);
  const options = { kernel: side, stride: side, pad: 0, bias: true };
  const asked = isReduced ? layerNorm(net, inRows(net, net.conv(asPicture(net, x, size), `${at}.reduce`, options)), `${at}.reduced`, EPSILON) : x;
  const byHead = (y: Value, part: string, perm: readonly number[]) =>
    net.transpose(net.reshape(net.dense(y, `${at}.${part}`), [0, sizeOf(y, 1), heads, each]), perm);
  const q = net.constantOp('Mul', byHead(x, 'query', [0, 2, 1, 3]), each ** -0.5);
  const scores = net.op('Softmax', [net.op('MatMul', [q, byHead(asked, 'key', [0, 2, 3, 1])])], { axis: -1 });
  const mixed = net.op('MatMul', [scores, byHead(asked, 'value', [0, 2, 1, 3])]);
  return net.dense(net.reshape(net.transpose(mixed, [0, 2, 1, 3]), [0, sizeOf(x, 1), features]), `${at}.proj`);
}

/** Two dense layers, and between them what lies around each place. */
function blend(net: Net, x: Value, at: string, size: readonly [number, number]): Value {
  const features = sizeOf(x, 2);
  const wide = asPicture(net, net.dense(x, `${at}.first`, { out: RATIO * features }), size);
  const deep = net.activation(inRows(net, net.conv(wide, `${at}.deep`, { kernel: 3, depthwise: true, bias: true })), 'gelu');
  return net.dense(deep, `${at}.second`, { out: features });
}
