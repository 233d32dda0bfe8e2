/** CaiT: Touvron et al., "Going deeper with Image Transformers", 2021, table 3. Names are the authors', which timm has too. */
import { layerNorm, layerScale, mlp } from './attention.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';
import { classToken, placedTokens } from './vit.js';

interface Size {
  readonly patch: number;
  readonly features: number;
  readonly heads: number;
  readonly depth: number;
  /** Blocks in which the class alone asks. */
  readonly last: number;
  readonly wide: number;
  readonly tokens: number;
}

const size = (features: number, depth: number, side: number): Size => ({
  patch: 16,
  features,
  heads: features / 48,
  depth,
  last: 2,
  wide: 4 * features,
  tokens: (side / 16) ** 2,
});
const EPSILON = 1e-6;

export const cait = family<Size>({
  name: 'cait',
  title: 'CaiT',
  source: 'Touvron et al., 2021, https://arxiv.org/abs/2103.17239, table 3',
  sizes: {
    cait_xxs24_224: size(192, 24, 224),
    cait_xxs24_384: size(192, 24, 384),
    cait_xxs36_224: size(192, 36, 224),
    cait_xxs36_384: size(192, 36, 384),
    cait_xs24_384: size(288, 24, 384),
    cait_s24_224: size(384, 24, 224),
    cait_s24_384: size(384, 24, 384),
    cait_s36_384: size(384, 36, 384),
    cait_m36_384: size(768, 36, 384),
    cait_m48_448: size(768, 48, 448),
  },
  stem: 'patch_embed.proj',
  side: ({ patch, tokens }) => patch * Math.sqrt(tokens),
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [features, , patch] = names.shape('patch_embed.proj');
    const [heads] = names.shape('blocks.0.attn.proj_l');
    const [wide] = names.shape('blocks.0.mlp.fc1');
    const [, tokens] = names.shape('pos_embed');
    if (!features || !patch || !heads || !wide || !tokens) return null;
    return { patch, features, heads, depth: names.count('blocks.{n}.norm1'), last: names.count('blocks_token_only.{n}.norm1'), wide, tokens };
  },

  build(net, input, { patch, features, heads, depth, last, wide, tokens }) {
    const patches = net.conv(input, 'patch_embed.proj', { out: features, kernel: patch, stride: patch, pad: 0, bias: true });
    const block = (y: Value, at: string, attended: Value) => {
      const z = net.add(layerScale(net, attended, `${at}.gamma_1`), y);
      const blended = mlp(net, layerNorm(net, z, `${at}.norm2`, EPSILON), `${at}.mlp.fc1`, `${at}.mlp.fc2`, wide);
      return net.add(layerScale(net, blended, `${at}.gamma_2`), z);
    };
    let x = placedTokens(net, patches, { before: [], positions: 'pos_embed', tokens });
    for (let i = 0; i < depth; i++) x = block(x, `blocks.${i}`, talkingHeads(net, layerNorm(net, x, `blocks.${i}.norm1`, EPSILON), `blocks.${i}.attn`, heads));
    let token = classToken(net, x, 'cls_token');
    for (let i = 0; i < last; i++) {
      const at = `blocks_token_only.${i}`;
      token = block(token, at, classAttention(net, layerNorm(net, net.concat([token, x], 1), `${at}.norm1`, EPSILON), `${at}.attn`, heads));
    }
    return head(net, net.reshape(layerNorm(net, token, 'norm', EPSILON), [0, features]), 'head');
  },
});

/** Attention whose heads exchange what they found before the softmax and behind it (Shazeer et al., 2020). */
function talkingHeads(net: Net, x: Value, path: string, heads: number): Value {
  const features = sizeOf(x, 2);
  const qkv = net.dense(x, `${path}.qkv`, { out: 3 * features });
  const [q, k, v] = [0, 1, 2].map((i) => byHead(net, net.slice(qkv, 2, i * features, (i + 1) * features), heads)) as [Value, Value, Value];
  const exchange = (y: Value, name: string) => net.transpose(net.dense(net.transpose(y, [0, 2, 3, 1]), `${path}.${name}`, { out: heads }), [0, 3, 1, 2]);
  const weights = exchange(net.op('Softmax', [exchange(similarity(net, q, k), 'proj_l')], { axis: -1 }), 'proj_w');
  return net.dense(together(net, net.op('MatMul', [weights, v])), `${path}.proj`, { out: features });
}

/** The first token asks all, itself too: [batch, tokens, features] to [batch, 1, features]. */
export function classAttention(net: Net, x: Value, path: string, heads: number): Value {
  const features = sizeOf(x, 2);
  const asked = (name: string) => byHead(net, net.dense(x, `${path}.${name}`, { out: features }), heads);
  const q = byHead(net, net.dense(net.slice(x, 1, 0, 1), `${path}.q`, { out: features }), heads);
  const weights = net.op('Softmax', [similarity(net, q, asked('k'))], { axis: -1 });
  return net.dense(together(net, net.op('MatMul', [weights, asked('v')])), `${path}.proj`, { out: features });
}

function byHead(net: Net, x: Value, heads: number): Value {
  const each = sizeOf(x, 2) / heads;
  if (!Number.isInteger(each)) throw new Departure(x.name, `${sizeOf(x, 2)} features cannot be shared by ${heads} heads`);
  return net.transpose(net.reshape(x, [0, sizeOf(x, 1), heads, each]), [0, 2, 1, 3]);
}

function similarity(net: Net, q: Value, k: Value): Value {
  return net.op('MatMul', [net.constantOp('Mul', q, sizeOf(q, 3) ** -0.5), net.transpose(k, [0, 1, 3, 2])]);
}

function together(net: Net, x: Value): Value {
  return net.reshape(net.transpose(x, [0, 2, 1, 3]), [0, sizeOf(x, 2), sizeOf(x, 1) * sizeOf(x, 3)]);
}
