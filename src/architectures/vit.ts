/**
 * Vision Transformer: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020, table 1; DeiT, with a token of its own for distillation
 * (Touvron et al., 2020); DINOv2, with layer scales (Oquab et al., 2023) and registers (Darcet et al., 2023).
 */
import { ModelError } from '../errors.js';
import { derive } from '../model/derivations.js';
import { reshape, type Tensor } from '../model/tensor.js';
import { encoderBlock, layerNorm, mlp } from './attention.js';
import { CLIP, family, SYMMETRIC, TORCHVISION } from './family.js';
import { besideWidth, head } from './head.js';
import { type Activation, Departure, type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';
import { RAW_NAME } from './store.js';

interface Size {
  readonly patch: number;
  readonly depth: number;
  readonly features: number;
  /** Between the two dense layers of a block. */
  readonly wide: number;
  /** Of patches. */
  readonly tokens: number;
  /** With a second class token, and a head over it. */
  readonly distilled?: true;
  /** With a scale behind attention and behind the dense layers. */
  readonly scaled?: true;
  /** Tokens that stand for nothing. */
  readonly registers?: number;
  /** Without a class token. */
  readonly unclassified?: true;
  /** Normalised before the blocks, as CLIP's are. */
  readonly prepared?: true;
  /** What a token of its own reads off all patches, instead of their mean (SigLIP). */
  readonly read?: true;
}

const size = (patch: number, depth: number, features: number, side = 224): Size => ({
  patch,
  depth,
  features,
  wide: 4 * features,
  tokens: (side / patch) ** 2,
});
const dino = (depth: number, features: number, registers?: number): Size => ({
  ...size(14, depth, features, 518),
  scaled: true,
  ...(registers ? { registers } : {}),
});
/** Heads of the published widths; others have one for 64 features. */
const HEADS: Readonly<Record<number, number>> = { 1152: 16, 1280: 16, 1408: 16, 1664: 16 };
/** Of timm's nets for tests, which are published too: by features and depth. */
const TEST_HEADS: Readonly<Record<string, number>> = { '64 x 6': 2, '64 x 8': 2, '96 x 9': 3 };

/** Residual post-norm: timm's ResPostBlock has the weights of its Block. */
const BLOCK_NORM = 'layer normalisations of blocks stand {} attention and dense layers (before, behind)';

/** Queries, keys and values, as files of transformers name them, and as a state dict of transformers 5 has them in memory. */
const PARTS = ['query', 'key', 'value'];
const PARTS_5 = ['q_proj', 'k_proj', 'v_proj'];
const joined = (at: string, parts: readonly string[]) => parts.map((part) => at + part).join('+');

const BLOCK = 'encoder.layers.encoder_layer_{i}.mlp';
/** The dense layers of a block had other names in 2022. */
const OWN = { [`${BLOCK}.0`]: `${BLOCK}.0|${BLOCK}.linear_1`, [`${BLOCK}.3`]: `${BLOCK}.3|${BLOCK}.linear_2`, '{*}': '{*}' };

export const vit = family<Size>({
  name: 'vit',
  title: 'Vision Transformer',
  source: 'Dosovitskiy et al., 2020, https://arxiv.org/abs/2010.11929, table 1',
  sizes: {
    vit_b_16: size(16, 12, 768),
    vit_b_32: size(32, 12, 768),
    vit_l_16: size(16, 24, 1024),
    vit_l_32: size(32, 24, 1024),
    vit_h_14: size(14, 32, 1280),
    vit_tiny_patch16_224: size(16, 12, 192),
    vit_small_patch16_224: size(16, 12, 384),
    vit_small_patch32_224: size(32, 12, 384),
    deit_tiny_distilled_patch16_224: { ...size(16, 12, 192), distilled: true },
    deit_small_distilled_patch16_224: { ...size(16, 12, 384), distilled: true },
    deit_base_distilled_patch16_224: { ...size(16, 12, 768), distilled: true },
    vit_small_patch14_dinov2: dino(12, 384),
    vit_base_patch14_dinov2: dino(12, 768),
    vit_large_patch14_dinov2: dino(24, 1024),
    vit_small_patch14_reg4_dinov2: dino(12, 384, 4),
    vit_base_patch14_reg4_dinov2: dino(12, 768, 4),
    vit_large_patch14_reg4_dinov2: dino(24, 1024, 4),
  },
  otherNames: /^vit_\w+_quickgelu/,
  stem: 'conv_proj',
  side: ({ patch, tokens }) => Math.round(Math.sqrt(tokens) * patch),
  // timm's and those of transformers are Google's, which see -1 to 1; DeiT and DINOv2 do not, timm's own without a class token do.
  preprocessing: (ecosystem, { distilled, scaled, unclassified, prepared }) =>
    prepared ? CLIP : ecosystem === 'torchvision' || distilled || (scaled && !unclassified) ? TORCHVISION : SYMMETRIC,
  // transformers keeps a layer over the class token beside, which its classifier does not use; what stands for patches that are hidden.
  training: /(^|\.)(pooler\.dense\.|(embeddings\.)?mask_token$)/,
  spellings: [
    { ecosystem: 'torchvision', spell: spelling(OWN) },
    {
      ecosystem: 'timm',
      spell: spelling({
        conv_proj: 'patch_embed.proj',
        class_token: 'cls_token',
        'encoder.pos_embedding': 'pos_embed',
        'encoder.layers.encoder_layer_{i}.ln_{k}': 'blocks.{i}.norm{k}',
        'encoder.layers.encoder_layer_{i}.self_attention.in_proj': 'blocks.{i}.attn.qkv',
        'encoder.layers.encoder_layer_{i}.self_attention.out_proj': 'blocks.{i}.attn.proj',
        'encoder.layers.encoder_layer_{i}.mlp.0': 'blocks.{i}.mlp.fc1',
        'encoder.layers.encoder_layer_{i}.mlp.3': 'blocks.{i}.mlp.fc2',
        'encoder.layers.encoder_layer_{i}.ls_{k}': 'blocks.{i}.ls{k}.gamma',
        'encoder.ln': 'norm',
        'heads.head': 'head',
        distillation_token: 'dist_token',
        'heads.distillation': 'head_dist',
        registers: 'reg_token|register_tokens',
        'pooled.ln': 'fc_norm',
        'prepared.ln': 'norm_pre',
        'read.{*}': 'attn_pool.{*}',
      }),
    },
    // DINOv2.
    {
      ecosystem: 'transformers',
      spell: spelling({
        conv_proj: 'embeddings.patch_embeddings.projection',
        class_token: 'embeddings.cls_token',
        registers: 'embeddings.register_tokens',
        'encoder.pos_embedding': 'embeddings.position_embeddings',
        'encoder.layers.encoder_layer_{i}.ln_{k}': 'encoder.layer.{i}.norm{k}',
        'encoder.layers.encoder_layer_{i}.self_attention.in_proj': `${joined('encoder.layer.{i}.attention.attention.', PARTS)}|${joined('encoder.layer.{i}.attention.', PARTS_5)}`,
        'encoder.layers.encoder_layer_{i}.self_attention.out_proj': 'encoder.layer.{i}.attention.output.dense|encoder.layer.{i}.attention.o_proj',
        'encoder.layers.encoder_layer_{i}.mlp.0': 'encoder.layer.{i}.mlp.fc1',
        'encoder.layers.encoder_layer_{i}.mlp.3': 'encoder.layer.{i}.mlp.fc2',
        'encoder.layers.encoder_layer_{i}.ls_{k}': 'encoder.layer.{i}.layer_scale{k}.lambda1',
        'encoder.ln': 'layernorm',
      }),
    },
    // ViT and DeiT.
    {
      ecosystem: 'transformers',
      spell: spelling({
        conv_proj: 'embeddings.patch_embeddings.projection',
        class_token: 'embeddings.cls_token',
        distillation_token: 'embeddings.distillation_token',
        'encoder.pos_embedding': 'embeddings.position_embeddings',
        'encoder.layers.encoder_layer_{i}.ln_1': 'encoder.layer.{i}.layernorm_before|layers.{i}.layernorm_before',
        'encoder.layers.encoder_layer_{i}.ln_2': 'encoder.layer.{i}.layernorm_after|layers.{i}.layernorm_after',
        'encoder.layers.encoder_layer_{i}.self_attention.in_proj': `${joined('encoder.layer.{i}.attention.attention.', PARTS)}|${joined('layers.{i}.attention.', PARTS_5)}`,
        'encoder.layers.encoder_layer_{i}.self_attention.out_proj': 'encoder.layer.{i}.attention.output.dense|layers.{i}.attention.o_proj',
        'encoder.layers.encoder_layer_{i}.mlp.0': 'encoder.layer.{i}.intermediate.dense|layers.{i}.mlp.fc1',
        'encoder.layers.encoder_layer_{i}.mlp.3': 'encoder.layer.{i}.output.dense|layers.{i}.mlp.fc2',
        'encoder.ln': 'layernorm',
      }),
    },
    // The pictures' side of SigLIP.
    {
      ecosystem: 'transformers',
      spell: spelling({
        conv_proj: 'embeddings.patch_embedding',
        'encoder.pos_embedding': 'embeddings.position_embedding.weight',
        'encoder.layers.encoder_layer_{i}.ln_{k}': 'encoder.layers.{i}.layer_norm{k}',
        'encoder.layers.encoder_layer_{i}.self_attention.in_proj': joined('encoder.layers.{i}.self_attn.', ['q_proj', 'k_proj', 'v_proj']),
        'encoder.layers.encoder_layer_{i}.self_attention.out_proj': 'encoder.layers.{i}.self_attn.out_proj',
        'encoder.layers.encoder_layer_{i}.mlp.0': 'encoder.layers.{i}.mlp.fc1',
        'encoder.layers.encoder_layer_{i}.mlp.3': 'encoder.layers.{i}.mlp.fc2',
        'encoder.ln': 'post_layernorm',
        'read.latent': 'head.probe',
        'read.in_proj': 'head.attention.in_proj',
        'read.proj': 'head.attention.out_proj',
        'read.norm': 'head.layernorm',
        'read.mlp.{*}': 'head.mlp.{*}',
      }),
    },
  ],

  measure(names) {
    const [features, , patch] = names.shape('conv_proj');
    const positions = names.shape('encoder.pos_embedding');
    const [wide] = names.shape('encoder.layers.encoder_layer_0.mlp.0');
    const [places] = positions.slice(-2);
    if (!features || !patch || positions.length < 2 || positions.length > 3 || !places || !wide) return null;
    const distilled = names.has('distillation_token');
    const [, registers = 0] = names.shape('registers');
    return {
      patch,
      depth: names.count('encoder.layers.encoder_layer_{n}.ln_1'),
      features,
      wide,
      tokens: patchesOf(places, [names.has('class_token'), distilled].filter(Boolean).length, registers),
      ...(distilled ? { distilled } : {}),
      ...(names.has('encoder.layers.encoder_layer_0.ls_1') ? { scaled: true as const } : {}),
      ...(registers > 0 ? { registers } : {}),
      ...(names.has('class_token') ? {} : { unclassified: true as const }),
      ...(names.has('prepared.ln') ? { prepared: true as const } : {}),
      ...(names.has('read.latent') ? { read: true as const } : {}),
    };
  },

  build(net, input, { patch, depth, features, wide, tokens, distilled, registers = 0, scaled, prepared, read }) {
    const heads = net.setting(
      'heads',
      TEST_HEADS[`${features} x ${depth}`] ?? HEADS[features] ?? Math.max(1, Math.round(features / 64)),
      'attention has {} heads',
    );
    const isTransformers = net.ecosystem === 'transformers';
    // I-JEPA's has no class token either, but is else as Google's.
    const isSiglip = isTransformers && /embeddings\.patch_embedding$/.test(net.store.sourceName('conv_proj'));
    const epsilon = prepared ? 1e-5 : isTransformers && !scaled && !isSiglip ? 1e-12 : 1e-6;
    const patches = net.conv(input, 'conv_proj', { out: features, kernel: patch, stride: patch, pad: 0, bias: true });
    const isClassified = net.has('class_token', true);
    // Perception Encoders turn queries and keys by where they stand, and nothing in the weights says so.
    if (prepared && read) {
      throw new Departure(net.store.sourceName('read.latent'), 'is in nets normalised in front only where positions are rotary, and those are not known here');
    }
    const before: Prefix[] = [
      ...(isClassified ? [{ path: 'class_token', count: 1 }] : []),
      ...(distilled ? [{ path: 'distillation_token', count: 1 }] : []),
      ...(registers > 0 ? [{ path: 'registers', count: registers }] : []),
    ];
    let x = placedTokens(net, patches, { before, positions: 'encoder.pos_embedding', tokens });
    if (prepared) x = layerNorm(net, x, 'prepared.ln', epsilon);
    // timm has one SigLIP whose GELU is the approximation; of another, whose patches are small, sizes do not tell.
    const act = /quickgelu/.test(net.options.arch ?? '') ? 'quick-gelu' : isSiglip || (!isClassified && patch === 32) ? 'gelu-tanh' : 'gelu';
    // Of what timm publishes without a class token and biases of queries, what has no layer scales either is vit_base_patch16_rpn_224.
    const isUnbiased = !isClassified && !scaled && net.store.shape('encoder.layers.encoder_layer_0.self_attention.in_proj', 'bias') === undefined;
    const norms = net.setting<string>('block_norm', isUnbiased ? 'behind' : 'before', BLOCK_NORM, !isUnbiased);
    if (norms !== 'before' && norms !== 'behind') throw new ModelError('usage', `--assume block_norm=${norms} is none of before, behind`);
    for (let i = 0; i < depth; i++) {
      const at = `encoder.layers.encoder_layer_${i}`;
      const scales = scaled ? { scale1: `${at}.ls_1`, scale2: `${at}.ls_2` } : {};
      const attention = { qkv: `${at}.self_attention.in_proj`, proj: `${at}.self_attention.out_proj` };
      const names = { norm1: `${at}.ln_1`, ...attention, norm2: `${at}.ln_2`, first: `${at}.mlp.0`, second: `${at}.mlp.3`, ...scales };
      x = encoderBlock(net, x, names, { heads, epsilon, wide, act, normsBehind: norms === 'behind' });
    }
    // Both heads of DeiT lie beside it in transformers.
    const also = { also: ['heads', 'head', `${RAW_NAME}cls_classifier`] };
    const prefix = before.reduce((sum, { count }) => sum + count, 0);
    const mean = (y: Value) => net.op('ReduceMean', [prefix > 0 ? net.slice(y, 1, prefix, prefix + tokens) : y], { axes: [1], keepdims: 0 });
    // Where the mean of all patches is what counts, it is normalised behind.
    if (net.has('pooled.ln', false)) return head(net, layerNorm(net, mean(x), 'pooled.ln', epsilon), 'heads.head', also);
    x = layerNorm(net, x, 'encoder.ln', epsilon);
    if (read) {
      // It asks patches alone.
      const asked = prefix > 0 ? net.slice(x, 1, prefix, prefix + tokens) : x;
      const token = readToken(net, asked, { heads, epsilon, wide, act });
      return isSiglip ? token : head(net, token, 'heads.head', also);
    }
    if (!isClassified) return head(net, mean(x), 'heads.head', also);
    const token = (at: number) => net.reshape(net.slice(x, 1, at, at + 1), [0, features]);
    let y = token(0);
    if (net.has('heads.pre_logits', false)) y = net.activation(net.dense(y, 'heads.pre_logits'), 'tanh');
    // The classifier of DINOv2 in transformers looks at the mean of patches as well.
    if (isTransformers && besideWidth(net, 'heads.head') === 2 * features) y = net.concat([y, mean(x)]);
    const scores = head(net, y, 'heads.head', also);
    const second = ['heads.distillation', `${RAW_NAME}distillation_classifier`].find((name, i) => net.has(name, !isTransformers && i === 0));
    if (!distilled || !net.endsInClasses || second === undefined) return scores;
    const others = net.dense(token(1), second, { out: sizeOf(scores, 1) });
    return net.constantOp('Mul', net.add(scores, others), 0.5, 'heads.mean');
  },
});

/** A token of its own asks all others, and is blended by two dense layers: [batch, tokens, features] to [batch, features]. */
function readToken(net: Net, x: Value, { heads, epsilon, wide, act }: { heads: number; epsilon: number; wide: number; act: Activation }): Value {
  const features = sizeOf(x, 2);
  const tokens = sizeOf(x, 1);
  const each = features / heads;
  // PyTorch's own attention has all three in one matrix.
  const rows = (start: number, end: number) => ({ out: end - start, change: { kernel: cut(start, end), bias: cut(start, end) } });
  const isOne = net.store.shape('read.in_proj') !== undefined;
  const latent = classToken(net, x, 'read.latent');
  const query = isOne ? net.dense(latent, 'read.in_proj', rows(0, features)) : net.dense(latent, 'read.q', { out: features });
  const both = isOne ? net.dense(x, 'read.in_proj', rows(features, 3 * features)) : net.dense(x, 'read.kv', { out: 2 * features });
  const byHead = (y: Value, count: number) => net.transpose(net.reshape(y, [0, count, heads, each]), [0, 2, 1, 3]);
  const part = (i: number) => byHead(net.slice(both, 2, i * features, (i + 1) * features), tokens);
  const scores = net.op('MatMul', [net.constantOp('Mul', byHead(query, 1), each ** -0.5), net.transpose(part(0), [0, 1, 3, 2])]);
  const mixed = net.op('MatMul', [net.op('Softmax', [scores], { axis: -1 }), part(1)]);
  const token = net.dense(net.reshape(net.transpose(mixed, [0, 2, 1, 3]), [0, features]), 'read.proj', { out: features });
  return net.add(token, mlp(net, layerNorm(net, token, 'read.norm', epsilon), 'read.mlp.fc1', 'read.mlp.fc2', wide, act));
}

const cut = (start: number, end: number) => (tensor: Tensor) => derive(tensor.name, 'rows', [tensor], { start, end });

/** How many patches there are positions for: those of a square, where it is one, with or without places for what stands before them. */
function patchesOf(positions: number, classes: number, registers: number): number {
  const isSquare = (count: number) => Number.isInteger(Math.sqrt(count));
  return [classes, 0, classes + registers].map((before) => positions - before).find(isSquare) ?? positions - classes;
}

/** Tokens that stand before those of patches. */
export interface Prefix {
  readonly path: string;
  readonly count: number;
}

/**
 * Patches as tokens, others before them, and to each what says where it stands. Files have positions for all of them, for patches alone, or
 * for the class and patches: registers then come between.
 *
 * @param patches [batch, features, height, width]
 * @returns [batch, before + tokens, features]
 */
export function placedTokens(
  net: Net,
  patches: Value,
  { before, positions: path, tokens }: { readonly before: readonly Prefix[]; readonly positions: string; readonly tokens: number },
): Value {
  const features = sizeOf(patches, 1);
  const count = sizeOf(patches, 2) * sizeOf(patches, 3);
  if (count !== tokens) throw new Departure('input', `makes ${count} patches, but there are positions for ${tokens}`);
  const all = before.reduce((sum, { count }) => sum + count, 0);
  const stored = parameter(net, path, [1, all + tokens, features]);
  const covered = stored.shape.at(-2)! - tokens;
  const positions = reshape(stored, [1, covered + tokens, features]);
  const placed = (x: Value) => net.constantOp('Add', x, positions, net.store.sourceName(path));
  const x = net.transpose(net.reshape(patches, [0, features, tokens]), [0, 2, 1]);
  const rows = before.map((prefix) => ({ ...prefix, value: prefixRows(net, x, prefix) }));
  if (covered === 0) return net.concat([...rows.map(({ value }) => value), placed(x)], 1);
  const [first, ...more] = rows;
  if (covered === all) return placed(net.concat([...rows.map(({ value }) => value), x], 1));
  if (!first || covered !== first.count) throw new Departure(net.store.sourceName(path), `has ${covered + tokens} places for ${all + tokens} tokens`);
  const both = placed(net.concat([first.value, x], 1));
  return net.concat([net.slice(both, 1, 0, covered), ...more.map(({ value }) => value), net.slice(both, 1, covered, covered + tokens)], 1);
}

/** As many rows of zeros as there are pictures: the tokens are added to them, whatever their number. */
export function prefixRows(net: Net, x: Value, { path, count }: Prefix): Value {
  const features = sizeOf(x, 2);
  const token = parameter(net, path, [1, count, features]);
  const zeros = net.slice(net.op('Pad', [x], { pads: [0, count, 0, 0, 0, 0] }, { name: `${path}.room` }), 1, 0, count);
  return net.constantOp('Add', zeros, reshape(token, [1, count, features]), net.store.sourceName(path));
}

/** A row before all others. */
export function classToken(net: Net, x: Value, path: string): Value {
  return prefixRows(net, x, { path, count: 1 });
}

function parameter(net: Net, path: string, expected: readonly number[]): Tensor {
  const tensor = net.store.takeParameter(path, expected);
  if (!tensor) throw new Departure(net.store.sourceName(path), 'is missing');
  return tensor;
}
