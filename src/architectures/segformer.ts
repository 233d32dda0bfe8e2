/**
 * SegFormer: Xie et al., "SegFormer: Simple and Efficient Design for Semantic Segmentation with Transformers", 2021, table 6: four stages of
 * attention to fewer and fewer places, and a light head. Names are those of transformers, in files and, since its version 5, in memory.
 */
import { bilinear } from './adaptive.js';
import { convNormAct } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { sizeOf } from './net.js';
import { asPicture, inRows, pyramid } from './pyramid.js';
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
const RATIOS = [4, 4, 4, 4];

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
    const pictures = pyramid(net, input, { depths, widths, ratios: RATIOS, epsilon: EPSILON });
    if (decoder === null) return head(net, net.globalPool(pictures.at(-1)!), 'classifier');
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
