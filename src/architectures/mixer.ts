/**
 * MLP-Mixer: Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision", 2021, table 1; ResMLP: Touvron et al., 2021, figure 1; gMLP: Liu et
 * al., "Pay Attention to MLPs", 2021, figure 1: patches that dense layers mix. Names are timm's, and the authors' of ResMLP.
 */
import { reshape } from '../model/tensor.js';
import { layerNorm, layerScale, mlp } from './attention.js';
import { residual } from './blocks.js';
import { family, SYMMETRIC, TORCHVISION } from './family.js';
import { head } from './head.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';

interface Size {
  readonly patch: number;
  readonly depth: number;
  readonly features: number;
  readonly tokens: number;
  /** Between the dense layers over channels. */
  readonly wide: number;
  /** What a block does to tokens: two dense layers between (how many numbers), one of ResMLP, or one as a gate. */
  readonly mixes: number | 'scaled' | 'gated';
}

const EPSILON = 1e-6;
const GATE_EPSILON = 1e-5;
const size = (patch: number, depth: number, features: number, ratio = 4, mixes: Size['mixes'] = features / 2): Size => ({
  patch,
  depth,
  features,
  tokens: (224 / patch) ** 2,
  wide: ratio * features,
  mixes,
});

export const mixer = family<Size>({
  name: 'mixer',
  title: 'MLP-Mixer',
  source:
    'Tolstikhin et al., 2021, https://arxiv.org/abs/2105.01601, table 1; Touvron et al., 2021, https://arxiv.org/abs/2105.03404; Liu et al., 2021, https://arxiv.org/abs/2105.08050',
  sizes: {
    mixer_s16_224: size(16, 8, 512),
    mixer_b32_224: size(32, 12, 768),
    mixer_b16_224: size(16, 12, 768),
    mixer_l16_224: size(16, 24, 1024),
    resmlp_12_224: size(16, 12, 384, 4, 'scaled'),
    resmlp_24_224: size(16, 24, 384, 4, 'scaled'),
    resmlp_36_224: size(16, 36, 384, 4, 'scaled'),
    resmlp_big_24_224: size(8, 24, 768, 4, 'scaled'),
    gmlp_ti16_224: size(16, 30, 128, 6, 'gated'),
    gmlp_s16_224: size(16, 30, 256, 6, 'gated'),
    gmlp_b16_224: size(16, 30, 512, 6, 'gated'),
  },
  stem: 'stem.proj',
  side: ({ patch, tokens }) => Math.round(Math.sqrt(tokens) * patch),
  preprocessing: (_, { mixes }) => (mixes === 'scaled' ? TORCHVISION : SYMMETRIC),
  spellings: [
    { ecosystem: 'timm', spell: (path) => path },
    {
      ecosystem: 'timm',
      spell: spelling({
        'stem.proj': 'patch_embed.proj',
        'blocks.{i}.linear_tokens': 'blocks.{i}.attn',
        'blocks.{i}.mlp_channels.{*}': 'blocks.{i}.mlp.{*}',
        'blocks.{i}.ls{k}': 'blocks.{i}.gamma_{k}',
        'blocks.{i}.norm{k}.{*}': 'blocks.{i}.norm{k}.{*}',
        'norm.{*}': 'norm.{*}',
        head: 'head',
      }),
    },
  ],

  measure(names) {
    const [features, , patch] = names.shape('stem.proj');
    const [wide] = names.shape('blocks.0.mlp_channels.fc1');
    const over = (['blocks.0.mlp_tokens.fc1', 'blocks.0.linear_tokens', 'blocks.0.mlp_channels.gate.proj'] as const).map((path) => names.shape(path));
    const [two, scaled, gated] = over.map(([, tokens]) => tokens);
    const tokens = two ?? scaled ?? gated;
    if (!features || !patch || !tokens || !wide) return null;
    const mixes = two ? over[0]![0]! : scaled ? 'scaled' : 'gated';
    return { patch, depth: names.count('blocks.{n}.mlp_channels.fc1'), features, tokens, wide, mixes };
  },

  build(net, input, { patch, depth, features, tokens, wide, mixes }) {
    const patches = net.conv(input, 'stem.proj', { out: features, kernel: patch, stride: patch, pad: 0, bias: true });
    const count = sizeOf(patches, 2) * sizeOf(patches, 3);
    if (count !== tokens) throw new Departure('input', `makes ${count} patches, but ${tokens} are mixed`);
    let x = net.transpose(net.reshape(patches, [0, features, tokens]), [0, 2, 1]);
    const turned = (y: Value) => net.transpose(y, [0, 2, 1]);
    for (let i = 0; i < depth; i++) {
      const at = `blocks.${i}`;
      const channels = [`${at}.mlp_channels.fc1`, `${at}.mlp_channels.fc2`] as const;
      if (mixes === 'gated') x = residual(net, x, (y) => gatedMlp(net, layerNorm(net, y, `${at}.norm`, EPSILON), `${at}.mlp_channels`, wide));
      else if (mixes === 'scaled') {
        const across = (y: Value) => turned(net.dense(turned(affine(net, y, `${at}.norm1`)), `${at}.linear_tokens`));
        x = residual(net, x, (y) => layerScale(net, across(y), `${at}.ls1`));
        x = residual(net, x, (y) => layerScale(net, mlp(net, affine(net, y, `${at}.norm2`), ...channels, wide), `${at}.ls2`));
      } else {
        const across = (y: Value) => mlp(net, turned(layerNorm(net, y, `${at}.norm1`, EPSILON)), `${at}.mlp_tokens.fc1`, `${at}.mlp_tokens.fc2`, mixes);
        x = residual(net, x, (y) => turned(across(y)));
        x = residual(net, x, (y) => mlp(net, layerNorm(net, y, `${at}.norm2`, EPSILON), ...channels, wide));
      }
    }
    const normal = mixes === 'scaled' ? affine(net, x, 'norm') : layerNorm(net, x, 'norm', EPSILON);
    return head(net, net.op('ReduceMean', [normal], { axes: [1], keepdims: 0 }), 'head');
  },
});

/** A scale and a shift for each feature. */
function affine(net: Net, x: Value, path: string): Value {
  const features = sizeOf(x, 2);
  const named = (name: string) => {
    const tensor = net.store.takeParameter(`${path}.${name}`, [1, 1, features]);
    const own = net.store.sourceName(`${path}.${name}`);
    if (tensor?.shape.at(-1) !== features || tensor.shape.slice(0, -1).some((length) => length !== 1))
      throw new Departure(own, `is not for ${features} features`);
    return [reshape(tensor, [features]), own] as const;
  };
  return net.constantOp('Add', net.constantOp('Mul', x, ...named('alpha')), ...named('beta'));
}

/** Two dense layers, and between them half of the features as a gate of the others, each by what all patches say. */
function gatedMlp(net: Net, x: Value, at: string, wide: number): Value {
  const features = sizeOf(x, 2);
  const between = net.activation(net.dense(x, `${at}.fc1`, { out: wide }), 'gelu');
  const half = sizeOf(between, 2) / 2;
  const normal = layerNorm(net, net.slice(between, 2, half, 2 * half), `${at}.gate.norm`, GATE_EPSILON);
  const gate = net.transpose(net.dense(net.transpose(normal, [0, 2, 1]), `${at}.gate.proj`), [0, 2, 1]);
  return net.dense(net.multiply(net.slice(between, 2, 0, half), gate), `${at}.fc2`, { out: features });
}
