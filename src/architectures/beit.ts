/** BEiT: Bao et al., "BERT Pre-Training of Image Transformers", 2021; a ViT whose attention knows of distances. Names are timm's and the authors'. */
import { derive } from '../model/derivations.js';
import type { Tensor } from '../model/tensor.js';
import { blockNames, encoderBlock, layerNorm } from './attention.js';
import { family, SYMMETRIC } from './family.js';
import { head } from './head.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';
import { queries } from './swin.js';
import { classToken } from './vit.js';
import { biasName } from './windows.js';

interface Size {
  readonly patch: number;
  readonly depth: number;
  readonly features: number;
  readonly heads: number;
  readonly wide: number;
  /** Patches on a side of the picture. */
  readonly side: number;
}

const EPSILON = 1e-6;
const EPSILON_OF_TRANSFORMERS = 1e-12;
/** Of the table: what the class token adds to patches, patches to it, and it to itself. */
const OF_CLASS = 3;

const sideBySide = (at: string, parts: readonly string[]) => parts.map((part) => `${at}.${part}`).join('+');
/** In files, and behind the mark as transformers 5 has them in memory. */
const WITHIN = 'encoder.layer.{i}.attention.attention';
const TRANSFORMERS = {
  'patch_embed.proj': 'embeddings.patch_embeddings.projection',
  cls_token: 'embeddings.cls_token',
  'blocks.{i}.norm1': 'encoder.layer.{i}.layernorm_before|layers.{i}.layernorm_before',
  'blocks.{i}.norm2': 'encoder.layer.{i}.layernorm_after|layers.{i}.layernorm_after',
  'blocks.{i}.gamma_{k}': 'encoder.layer.{i}.lambda_{k}|layers.{i}.lambda_{k}',
  'blocks.{i}.attn.qkv': `${sideBySide(WITHIN, ['query', 'key', 'value'])}|${sideBySide('layers.{i}.attention', ['q_proj', 'k_proj', 'v_proj'])}`,
  'blocks.{i}.attn.q_bias': `${WITHIN}.query.bias|layers.{i}.attention.q_proj.bias`,
  'blocks.{i}.attn.v_bias': `${WITHIN}.value.bias|layers.{i}.attention.v_proj.bias`,
  'blocks.{i}.attn.proj': 'encoder.layer.{i}.attention.output.dense|layers.{i}.attention.o_proj',
  'blocks.{i}.attn.{*}': `${WITHIN}.relative_position_bias.{*}|layers.{i}.relative_position_bias.{*}`,
  'blocks.{i}.mlp.fc1': 'encoder.layer.{i}.intermediate.dense|layers.{i}.mlp.fc1',
  'blocks.{i}.mlp.fc2': 'encoder.layer.{i}.output.dense|layers.{i}.mlp.fc2',
  norm: 'layernorm',
  fc_norm: 'pooler.layernorm',
};

export const beit = family<Size>({
  name: 'beit',
  title: 'BEiT',
  source: 'Bao et al., 2021, https://arxiv.org/abs/2106.08254',
  sizes: {
    beit_base_patch16_224: { patch: 16, depth: 12, features: 768, heads: 12, wide: 3072, side: 14 },
    beit_large_patch16_224: { patch: 16, depth: 24, features: 1024, heads: 16, wide: 4096, side: 14 },
  },
  stem: 'patch_embed.proj',
  side: ({ patch, side }) => patch * side,
  preprocessing: () => SYMMETRIC,
  training: /(relative_position_index|mask_token)$/,
  spellings: [
    { ecosystem: 'timm', spell: (path) => path },
    // Data2Vec's pictures, too.
    { ecosystem: 'transformers', spell: spelling(TRANSFORMERS) },
  ],

  measure(names) {
    const [features, , patch] = names.shape('patch_embed.proj');
    const [differences, heads] = names.shape('blocks.0.attn.relative_position_bias_table');
    const [wide] = names.shape('blocks.0.mlp.fc1');
    if (!features || !patch || !differences || !heads || !wide || !names.has('cls_token')) return null;
    const side = (Math.sqrt(differences - OF_CLASS) + 1) / 2;
    return Number.isInteger(side) ? { patch, depth: names.count('blocks.{n}.norm1'), features, heads, wide, side } : null;
  },

  build(net, input, { patch, depth, features, heads, wide, side }) {
    const patches = net.conv(input, 'patch_embed.proj', { out: features, kernel: patch, stride: patch, pad: 0, bias: true });
    const count = side * side;
    const epsilon = net.ecosystem === 'transformers' ? EPSILON_OF_TRANSFORMERS : EPSILON;
    if (sizeOf(patches, 2) !== side || sizeOf(patches, 3) !== side) {
      throw new Departure('input', `makes ${patches.shape[2]} x ${patches.shape[3]} patches, but there are biases for ${side} x ${side}`);
    }
    const tokens = net.transpose(net.reshape(patches, [0, features, count]), [0, 2, 1]);
    let x = net.concat([classToken(net, tokens, 'cls_token'), tokens], 1);
    for (let i = 0; i < depth; i++) {
      const at = `blocks.${i}`;
      const names = { ...blockNames(at), scale1: `${at}.gamma_1`, scale2: `${at}.gamma_2` };
      const biases = [{ name: `${net.store.sourceName(at)}.attn.relative_position_bias`, tensor: distanceBias(net, `${at}.attn`, side, heads) }];
      x = encoderBlock(net, x, names, { heads, epsilon, wide, biases, queries: (y: Value) => queries(net, y, names.qkv, features) });
    }
    if (net.has('norm', false)) {
      const token = net.reshape(net.slice(layerNorm(net, x, 'norm', epsilon), 1, 0, 1), [0, features]);
      return head(net, token, 'head');
    }
    const mean = net.op('ReduceMean', [net.slice(x, 1, 1, count + 1)], { axes: [1], keepdims: 0 });
    return head(net, layerNorm(net, mean, 'fc_norm', epsilon), 'head');
  },
});

/** What each pair of tokens adds by head, the class token first. */
function distanceBias(net: Net, path: string, side: number, heads: number): Tensor {
  const name = `${path}.relative_position_bias_table`;
  const rows = (2 * side - 1) ** 2 + OF_CLASS;
  const table = net.store.takeParameter(name, [rows, heads]);
  if (table?.shape.join() !== `${rows},${heads}`) throw new Departure(net.store.sourceName(name), `is no table of ${rows} rows for ${heads} heads`);
  return derive(biasName(table), 'class-pair-bias', [table], { side });
}
