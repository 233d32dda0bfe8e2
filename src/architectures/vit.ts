/** Vision Transformer: Dosovitskiy et al., "An Image is Worth 16x16 Words", 2020, table 1. */
import { layerNorm, mlp, selfAttention } from './attention.js';
import { residual } from './blocks.js';
import { family, SYMMETRIC, TORCHVISION } from './family.js';
import { head } from './head.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';

interface Size {
  readonly patch: number;
  readonly depth: number;
  readonly features: number;
  /** Between the two dense layers of a block. */
  readonly wide: number;
  /** Tokens without the class token. */
  readonly tokens: number;
}

const size = (patch: number, depth: number, features: number, side = 224): Size => ({
  patch,
  depth,
  features,
  wide: 4 * features,
  tokens: (side / patch) ** 2,
});
/** Heads of the published widths; others have one for 64 features. */
const HEADS: Readonly<Record<number, number>> = { 1280: 16 };

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
  },
  stem: 'conv_proj',
  side: ({ patch, tokens }) => Math.round(Math.sqrt(tokens) * patch),
  // timm's and those of transformers are Google's, which see -1 to 1.
  preprocessing: (ecosystem) => (ecosystem === 'torchvision' ? TORCHVISION : SYMMETRIC),
  // transformers keeps a layer over the class token beside, which its classifier does not use.
  training: /(^|\.)pooler\.dense\./,
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
        'encoder.ln': 'norm',
        'heads.head': 'head',
      }),
    },
    {
      ecosystem: 'transformers',
      spell: spelling({
        conv_proj: 'embeddings.patch_embeddings.projection',
        class_token: 'embeddings.cls_token',
        'encoder.pos_embedding': 'embeddings.position_embeddings',
        'encoder.layers.encoder_layer_{i}.ln_1': 'encoder.layer.{i}.layernorm_before',
        'encoder.layers.encoder_layer_{i}.ln_2': 'encoder.layer.{i}.layernorm_after',
        'encoder.layers.encoder_layer_{i}.self_attention.in_proj': ['query', 'key', 'value']
          .map((part) => `encoder.layer.{i}.attention.attention.${part}`)
          .join('+'),
        'encoder.layers.encoder_layer_{i}.self_attention.out_proj': 'encoder.layer.{i}.attention.output.dense',
        'encoder.layers.encoder_layer_{i}.mlp.0': 'encoder.layer.{i}.intermediate.dense',
        'encoder.layers.encoder_layer_{i}.mlp.3': 'encoder.layer.{i}.output.dense',
        'encoder.ln': 'layernorm',
      }),
    },
  ],

  measure(names) {
    const [features, , patch] = names.shape('conv_proj');
    const positions = names.shape('encoder.pos_embedding');
    const [wide] = names.shape('encoder.layers.encoder_layer_0.mlp.0');
    if (!features || !patch || positions.length !== 3 || !wide || !names.has('class_token')) return null;
    return { patch, depth: names.count('encoder.layers.encoder_layer_{n}.ln_1'), features, wide, tokens: positions[1]! - 1 };
  },

  build(net, input, { patch, depth, features, wide, tokens }) {
    const heads = net.setting('heads', HEADS[features] ?? Math.max(1, Math.round(features / 64)), 'attention has {} heads');
    const epsilon = net.ecosystem === 'transformers' ? 1e-12 : 1e-6;
    const patches = net.conv(input, 'conv_proj', { out: features, kernel: patch, stride: patch, pad: 0, bias: true });
    const count = sizeOf(patches, 2) * sizeOf(patches, 3);
    if (count !== tokens) throw new Departure('input', `makes ${count} patches, but there are positions for ${tokens}`);
    let x = withClassToken(net, net.transpose(net.reshape(patches, [0, features, tokens]), [0, 2, 1]), features, tokens);
    for (let i = 0; i < depth; i++) {
      const at = `encoder.layers.encoder_layer_${i}`;
      x = residual(net, x, (y) => {
        const qkv = net.dense(layerNorm(net, y, `${at}.ln_1`, epsilon), `${at}.self_attention.in_proj`, { out: 3 * features });
        return net.dense(selfAttention(net, qkv, { heads }), `${at}.self_attention.out_proj`, { out: features });
      });
      x = residual(net, x, (y) => mlp(net, layerNorm(net, y, `${at}.ln_2`, epsilon), `${at}.mlp.0`, `${at}.mlp.3`, wide));
    }
    x = layerNorm(net, x, 'encoder.ln', epsilon);
    x = net.reshape(net.slice(x, 1, 0, 1), [0, features]);
    if (net.has('heads.pre_logits', false)) x = net.activation(net.dense(x, 'heads.pre_logits'), 'tanh');
    return head(net, x, 'heads.head', { also: ['heads', 'head'] });
  },
});

/** The class token before all others, and to each token what says where it stands. */
function withClassToken(net: Net, x: Value, features: number, tokens: number): Value {
  const token = net.store.takeParameter('class_token', [1, 1, features]);
  const positions = net.store.takeParameter('encoder.pos_embedding', [1, tokens + 1, features]);
  if (!token || !positions) throw new Departure(token ? 'encoder.pos_embedding' : 'class_token', 'is missing');
  // As many rows of zeros as there are pictures: the token is added to them, whatever their number.
  const zeros = net.slice(net.op('Pad', [x], { pads: [0, 1, 0, 0, 0, 0] }, { name: 'class_token.room' }), 1, 0, 1);
  const all = net.concat([net.constantOp('Add', zeros, token, net.store.sourceName('class_token')), x], 1);
  return net.constantOp('Add', all, positions, net.store.sourceName('encoder.pos_embedding'));
}
