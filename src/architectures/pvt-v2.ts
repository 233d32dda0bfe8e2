/** PVT v2: Wang et al., "PVT v2: Improved Baselines with Pyramid Vision Transformer", 2021, table 1. Names are transformers' and timm's. */
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { pyramid } from './pyramid.js';
import { spelling } from './spelling.js';

interface Size {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
  readonly ratios: readonly number[];
  readonly linear?: true;
}

const WIDTHS = [64, 128, 320, 512];
const pvt = (depths: number[], widths = WIDTHS, ratios = [8, 8, 4, 4]): Size => ({ depths, widths, ratios });

export const pvtV2 = family<Size>({
  name: 'pvt_v2',
  title: 'PVT v2',
  source: 'Wang et al., 2021, https://arxiv.org/abs/2106.13797, table 1',
  sizes: {
    pvt_v2_b0: pvt([2, 2, 2, 2], [32, 64, 160, 256]),
    pvt_v2_b1: pvt([2, 2, 2, 2]),
    pvt_v2_b2: pvt([3, 4, 6, 3]),
    pvt_v2_b2_li: { ...pvt([3, 4, 6, 3]), linear: true },
    pvt_v2_b3: pvt([3, 4, 18, 3]),
    pvt_v2_b4: pvt([3, 8, 27, 3]),
    pvt_v2_b5: pvt([3, 6, 40, 3], WIDTHS, [4, 4, 4, 4]),
  },
  stem: 'patches.0.proj',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [
    {
      ecosystem: 'timm',
      spell: spelling({
        'patches.0.proj': 'patch_embed.proj',
        'patches.0.layer_norm': 'patch_embed.norm',
        'patches.{s}.proj': 'stages.{s}.downsample.proj',
        'patches.{s}.layer_norm': 'stages.{s}.downsample.norm',
        'norm.{s}': 'stages.{s}.norm',
        'block.{s}.{b}.norm{k}': 'stages.{s}.blocks.{b}.norm{k}',
        'block.{s}.{b}.query': 'stages.{s}.blocks.{b}.attn.q',
        'block.{s}.{b}.kv': 'stages.{s}.blocks.{b}.attn.kv',
        'block.{s}.{b}.reduce': 'stages.{s}.blocks.{b}.attn.sr',
        'block.{s}.{b}.reduced': 'stages.{s}.blocks.{b}.attn.norm',
        'block.{s}.{b}.proj': 'stages.{s}.blocks.{b}.attn.proj',
        'block.{s}.{b}.first': 'stages.{s}.blocks.{b}.mlp.fc1',
        'block.{s}.{b}.deep': 'stages.{s}.blocks.{b}.mlp.dwconv',
        'block.{s}.{b}.second': 'stages.{s}.blocks.{b}.mlp.fc2',
        head: 'head',
      }),
    },
    {
      ecosystem: 'transformers',
      spell: spelling({
        'patches.{s}.{*}': 'encoder.layers.{s}.patch_embedding.{*}',
        'norm.{s}': 'encoder.layers.{s}.layer_norm',
        'block.{s}.{b}.norm{k}': 'encoder.layers.{s}.blocks.{b}.layer_norm_{k}',
        'block.{s}.{b}.query': 'encoder.layers.{s}.blocks.{b}.attention.query',
        'block.{s}.{b}.key': 'encoder.layers.{s}.blocks.{b}.attention.key',
        'block.{s}.{b}.value': 'encoder.layers.{s}.blocks.{b}.attention.value',
        'block.{s}.{b}.reduce': 'encoder.layers.{s}.blocks.{b}.attention.spatial_reduction',
        'block.{s}.{b}.reduced': 'encoder.layers.{s}.blocks.{b}.attention.layer_norm',
        'block.{s}.{b}.proj': 'encoder.layers.{s}.blocks.{b}.attention.proj',
        'block.{s}.{b}.first': 'encoder.layers.{s}.blocks.{b}.mlp.dense1',
        'block.{s}.{b}.deep': 'encoder.layers.{s}.blocks.{b}.mlp.dwconv.dwconv',
        'block.{s}.{b}.second': 'encoder.layers.{s}.blocks.{b}.mlp.dense2',
        head: 'classifier',
      }),
    },
  ],

  measure(names) {
    const stages = Array.from({ length: names.count('patches.{n}.proj') }, (_, s) => s);
    const isOne = names.has('block.0.0.kv') || names.has('block.0.0.key');
    if (stages.length === 0 || !names.has('block.0.0.deep') || !isOne) return null;
    return {
      depths: stages.map((s) => names.count(`block.${s}.{n}.norm1`)),
      widths: stages.map((s) => names.shape(`patches.${s}.proj`)[0]!),
      ratios: stages.map((s) => names.shape(`block.${s}.0.first`)[0]! / names.shape(`patches.${s}.proj`)[0]!),
      ...(names.shape('block.0.0.reduce')[2] === 1 ? { linear: true as const } : {}),
    };
  },

  build(net, input, size) {
    const pictures = pyramid(net, input, { ...size, epsilon: 1e-6, outer: net.ecosystem === 'transformers' ? 1e-6 : 1e-5 });
    return head(net, net.globalPool(pictures.at(-1)!), 'head');
  },
});
