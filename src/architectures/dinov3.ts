/** DINOv3: Siméoni et al., "DINOv3", 2025, table 2: a vision transformer whose queries and keys are turned by where they stand. Names are timm's. */
import { ModelError } from '../errors.js';
import { numbersTensor } from '../model/numbers.js';
import { layerNorm, layerScale } from './attention.js';
import { attention, blend, type Turn } from './eva.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { sizeOf } from './net.js';
import { inRows } from './pyramid.js';
import { spelling } from './spelling.js';
import { prefixRows } from './vit.js';

interface Size {
  readonly patch: number;
  readonly features: number;
  readonly depth: number;
  readonly wide: number;
  readonly registers: number;
  /** What one dense layer gives is weighed by what another gives. */
  readonly gated?: true;
}

const size = (features: number, depth: number, wide = 4 * features, more: Partial<Size> = {}): Size => ({
  patch: 16,
  features,
  depth,
  wide,
  registers: 4,
  ...more,
});
/** What transformers calls the modules of a block; in memory `model.` stands before them. */
const BLOCK: Readonly<Record<string, string>> = {
  'norm{k}': 'norm{k}',
  'attn.q_proj': 'attention.q_proj',
  'attn.k_proj': 'attention.k_proj',
  'attn.v_proj': 'attention.v_proj',
  'attn.proj': 'attention.o_proj',
  'gamma_{k}': 'layer_scale{k}.lambda1',
  'mlp.fc1_g': 'mlp.gate_proj',
  'mlp.fc1': 'mlp.up_proj',
  'mlp.fc1_x': 'mlp.up_proj',
  'mlp.fc2': 'mlp.down_proj',
};
const EPSILON = 1e-5;
/** Of the largest net; others have 64 features for each. */
const HEADS: Readonly<Record<number, number>> = { 4096: 32 };
const TURNS = 'queries and keys are turned by where they stand, the slowest of them in almost {} times as far as the fastest';
const ANSWER = 'the answer is what stands in {} (class: the token before all others; mean: all patches)';

export const dinov3 = family<Size>({
  name: 'dinov3',
  title: 'DINOv3',
  source: 'Siméoni et al., 2025, https://arxiv.org/abs/2508.10104, table 2',
  sizes: {
    vit_tiny_patch16_dinov3: size(192, 12),
    vit_small_patch16_dinov3: size(384, 12),
    vit_small_plus_patch16_dinov3: size(384, 12, 1536, { gated: true }),
    vit_base_patch16_dinov3: size(768, 12),
    vit_large_patch16_dinov3: size(1024, 24),
    vit_huge_plus_patch16_dinov3: size(1280, 32, 5120, { gated: true }),
    vit_7b_patch16_dinov3: size(4096, 40, 8192, { gated: true }),
  },
  otherNames: /^vit_\w+_patch16_dinov3_qkvb$/,
  stem: 'patch_embed.proj',
  side: 224,
  preprocessing: () => TORCHVISION,
  training: /(^|\.)mask_token$/,
  spellings: [
    { ecosystem: 'timm', spell: (path) => path },
    {
      ecosystem: 'transformers',
      spell: spelling({
        'patch_embed.proj': 'embeddings.patch_embeddings',
        cls_token: 'embeddings.cls_token',
        reg_token: 'embeddings.register_tokens',
        ...Object.fromEntries(Object.entries(BLOCK).map(([own, name]) => [`blocks.{i}.${own}`, `layer.{i}.${name}|model.layer.{i}.${name}`])),
        norm: 'norm',
      }),
    },
  ],

  measure(names) {
    const [features, , patch] = names.shape('patch_embed.proj');
    const [, registers = 0] = names.shape('reg_token');
    const [, wide] = names.shape('blocks.0.mlp.fc2');
    if (!features || !patch || !wide || registers === 0 || !names.has('blocks.0.gamma_1') || names.has('pos_embed') || names.has('fc_norm')) return null;
    return {
      patch,
      features,
      depth: names.count('blocks.{n}.norm1'),
      wide,
      registers,
      ...(names.has('blocks.0.mlp.fc1_g') ? { gated: true as const } : {}),
    };
  },

  build(net, input, { patch, features, depth, wide, registers, gated = false }) {
    const heads = net.setting('heads', HEADS[features] ?? Math.max(1, Math.round(features / 64)), 'attention has {} heads');
    const patches = net.conv(input, 'patch_embed.proj', { out: features, kernel: patch, stride: patch, pad: 0, bias: true });
    const [height, width] = [sizeOf(patches, 2), sizeOf(patches, 3)];
    const rows = inRows(net, patches);
    const before = [
      { path: 'cls_token', count: 1 },
      { path: 'reg_token', count: registers },
    ];
    const first = 1 + registers;
    const turned = turn(height, width, features / heads, first, net.setting('rope_temperature', 100, TURNS));
    const fused = net.has('blocks.0.attn.qkv', true);
    let x = net.concat([...before.map((prefix) => prefixRows(net, rows, prefix)), rows], 1);
    for (let i = 0; i < depth; i++) {
      const at = `blocks.${i}`;
      const attended = attention(net, layerNorm(net, x, `${at}.norm1`, EPSILON), `${at}.attn`, { heads, fused, turned });
      x = net.add(layerScale(net, attended, `${at}.gamma_1`), x);
      const blended = blend(net, layerNorm(net, x, `${at}.norm2`, EPSILON), `${at}.mlp`, { wide, fused: false, gated, normed: false });
      x = net.add(layerScale(net, blended, `${at}.gamma_2`), x);
    }
    x = layerNorm(net, x, 'norm', EPSILON);
    // timm takes the mean unless asked; the authors, and transformers, what the class says.
    const answer = net.setting<string>('features', net.ecosystem === 'timm' ? 'mean' : 'class', ANSWER);
    if (answer !== 'mean' && answer !== 'class') throw new ModelError('usage', `--assume features=${answer} is none of class, mean`);
    if (answer === 'class') return head(net, net.reshape(net.slice(x, 1, 0, 1), [0, features]), 'head');
    return head(net, net.op('ReduceMean', [net.slice(x, 1, first, first + height * width)], { axes: [1], keepdims: 0 }), 'head');
  },
});

/**
 * Each place has a row and a column between -1 and 1. A pair of features, one in either half, is turned by them: the first half of the pairs by
 * the row, the others by the column, each pair slower than the one before it. What stands before the patches stays as it is.
 */
function turn(height: number, width: number, each: number, before: number, temperature: number): Turn {
  const bands = each / 4;
  const along = (place: number, size: number) => (2 * (place + 0.5)) / size - 1;
  const angles = Array.from({ length: height * width }, (_, i) =>
    [along(Math.floor(i / width), height), along(i % width, width)].flatMap((place) =>
      Array.from({ length: bands }, (__, band) => (2 * Math.PI * place) / temperature ** (band / bands)),
    ),
  );
  const rows = (of: (angle: number) => number, still: number) => [
    ...new Array<number>(before * each).fill(still),
    ...angles.flatMap((pairs) => [...pairs, ...pairs].map(of)),
  ];
  const tensor = (name: string, values: number[]) => numbersTensor(name, 'float32', [before + height * width, each], values, { file: '' });
  const [cosines, sines] = [tensor('rope.cos', rows(Math.cos, 1)), tensor('rope.sin', rows(Math.sin, 0))];
  return (net, x, name) => {
    const crossed = net.concat([net.constantOp('Mul', net.slice(x, 3, each / 2, each), -1), net.slice(x, 3, 0, each / 2)], 3);
    return net.add(net.constantOp('Mul', x, cosines, `${name}.cos`), net.constantOp('Mul', crossed, sines, `${name}.sin`));
  };
}
