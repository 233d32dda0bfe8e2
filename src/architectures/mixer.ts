/** MLP-Mixer: Tolstikhin et al., "MLP-Mixer: An all-MLP Architecture for Vision", 2021, table 1. Names are timm's. */
import { layerNorm, mlp } from './attention.js';
import { residual } from './blocks.js';
import { family, SYMMETRIC } from './family.js';
import { head } from './head.js';
import { Departure, sizeOf } from './net.js';

interface Size {
  readonly patch: number;
  readonly depth: number;
  readonly features: number;
  readonly tokens: number;
  /** Between the dense layers over tokens, and over channels. */
  readonly wide: readonly [tokens: number, channels: number];
}

const EPSILON = 1e-6;
const size = (patch: number, depth: number, features: number): Size => ({
  patch,
  depth,
  features,
  tokens: (224 / patch) ** 2,
  wide: [features / 2, 4 * features],
});

export const mixer = family<Size>({
  name: 'mixer',
  title: 'MLP-Mixer',
  source: 'Tolstikhin et al., 2021, https://arxiv.org/abs/2105.01601, table 1',
  sizes: { mixer_s16_224: size(16, 8, 512), mixer_b32_224: size(32, 12, 768), mixer_b16_224: size(16, 12, 768), mixer_l16_224: size(16, 24, 1024) },
  stem: 'stem.proj',
  side: ({ patch, tokens }) => Math.round(Math.sqrt(tokens) * patch),
  preprocessing: () => SYMMETRIC,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [features, , patch] = names.shape('stem.proj');
    const [over, tokens] = names.shape('blocks.0.mlp_tokens.fc1');
    const [wide] = names.shape('blocks.0.mlp_channels.fc1');
    if (!features || !patch || !over || !tokens || !wide) return null;
    return { patch, depth: names.count('blocks.{n}.norm1'), features, tokens, wide: [over, wide] };
  },

  build(net, input, { patch, depth, features, tokens, wide }) {
    const patches = net.conv(input, 'stem.proj', { out: features, kernel: patch, stride: patch, pad: 0, bias: true });
    const count = sizeOf(patches, 2) * sizeOf(patches, 3);
    if (count !== tokens) throw new Departure('input', `makes ${count} patches, but ${tokens} are mixed`);
    let x = net.transpose(net.reshape(patches, [0, features, tokens]), [0, 2, 1]);
    for (let i = 0; i < depth; i++) {
      const at = `blocks.${i}`;
      x = residual(net, x, (y) => {
        const turned = net.transpose(layerNorm(net, y, `${at}.norm1`, EPSILON), [0, 2, 1]);
        return net.transpose(mlp(net, turned, `${at}.mlp_tokens.fc1`, `${at}.mlp_tokens.fc2`, wide[0]), [0, 2, 1]);
      });
      x = residual(net, x, (y) => mlp(net, layerNorm(net, y, `${at}.norm2`, EPSILON), `${at}.mlp_channels.fc1`, `${at}.mlp_channels.fc2`, wide[1]));
    }
    return head(net, net.op('ReduceMean', [layerNorm(net, x, 'norm', EPSILON)], { axes: [1], keepdims: 0 }), 'head');
  },
});
