/** InceptionNeXt: Yu et al., "InceptionNeXt: When Inception Meets ConvNeXt", 2023, table 2. Names are timm's and the authors'. */
import { reshape } from '../model/tensor.js';
import { layerNorm } from './attention.js';
import { convNormAct, residual } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';

interface Size {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
  /** How often features are wider inside of a block, by stages. */
  readonly ratios: readonly number[];
  /** Channels that each of the three convolutions of a block sees, by stages; the others pass. */
  readonly seen: readonly number[];
  /** Length of the convolutions along rows and columns. */
  readonly band: number;
}

const EPSILON = 1e-6;
const SQUARE = 3;
const size = (depths: readonly number[], widths: readonly number[], band = 11, share = 1 / 8): Size => ({
  depths,
  widths,
  ratios: [4, 4, 4, 3],
  seen: widths.map((width) => Math.floor(width * share)),
  band,
});

export const inceptionNext = family<Size>({
  name: 'inception_next',
  title: 'InceptionNeXt',
  source: 'Yu et al., 2023, https://arxiv.org/abs/2303.16900, table 2',
  sizes: {
    inception_next_atto: size([2, 2, 6, 2], [40, 80, 160, 320], 9, 1 / 4),
    inception_next_tiny: size([3, 3, 9, 3], [96, 192, 384, 768]),
    inception_next_small: size([3, 3, 27, 3], [96, 192, 384, 768]),
    inception_next_base: size([3, 3, 27, 3], [128, 256, 512, 1024]),
  },
  stem: 'stem.0',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const stages = Array.from({ length: names.count('stages.{n}.blocks.0.token_mixer.dwconv_hw') }, (_, s) => `stages.${s}.blocks`);
    const band = names.shape('stages.0.blocks.0.token_mixer.dwconv_w')[3];
    if (stages.length === 0 || band === undefined) return null;
    return {
      depths: stages.map((at) => names.count(`${at}.{n}.norm`)),
      widths: stages.map((at) => names.shape(`${at}.0.mlp.fc2`)[0]!),
      ratios: stages.map((at) => names.shape(`${at}.0.mlp.fc1`)[0]! / names.shape(`${at}.0.mlp.fc2`)[0]!),
      seen: stages.map((at) => names.shape(`${at}.0.token_mixer.dwconv_hw`)[0]!),
      band,
    };
  },

  build(net, input, { depths, widths, ratios, seen, band }) {
    let x = convNormAct(net, input, 'stem.0', 'stem.1', 'none', { out: widths[0], kernel: 4, stride: 4, pad: 0, bias: true });
    depths.forEach((depth, s) => {
      const at = `stages.${s}`;
      if (s > 0) {
        x = net.conv(net.norm(x, `${at}.downsample.0`), `${at}.downsample.1`, { out: widths[s], kernel: 2, stride: 2, pad: 0, bias: true });
      }
      for (let b = 0; b < depth; b++) {
        const own = `${at}.blocks.${b}`;
        x = residual(net, x, (y) => {
          const normal = net.norm(mix(net, y, `${own}.token_mixer`, seen[s]!, band), `${own}.norm`);
          const wide = net.activation(net.conv(normal, `${own}.mlp.fc1`, { out: ratios[s]! * widths[s]!, bias: true }), 'gelu');
          return scaled(net, net.conv(wide, `${own}.mlp.fc2`, { out: widths[s], bias: true }), `${own}.gamma`);
        });
      }
    });
    const features = net.globalPool(x);
    if (!net.has('head.fc1', true)) return head(net, features, 'head.fc2');
    const wide = net.activation(net.dense(features, 'head.fc1', { out: 3 * widths.at(-1)! }), 'gelu');
    return head(net, layerNorm(net, wide, 'head.norm', EPSILON), 'head.fc2');
  },
});

/** Depthwise convolutions of squares, rows and columns, each of some channels; the first channels pass. */
function mix(net: Net, x: Value, at: string, seen: number, band: number): Value {
  const passed = sizeOf(x, 1) - 3 * seen;
  if (passed < 0) throw new Departure(net.store.sourceName(at), `sees ${3 * seen} channels, but ${sizeOf(x, 1)} flow in`);
  const part = (i: number) => net.slice(x, 1, passed + i * seen, passed + (i + 1) * seen);
  const options = { depthwise: true, bias: true };
  return net.concat([
    net.slice(x, 1, 0, passed),
    net.conv(part(0), `${at}.dwconv_hw`, { ...options, kernel: SQUARE }),
    net.conv(part(1), `${at}.dwconv_w`, { ...options, kernel: [1, band] }),
    net.conv(part(2), `${at}.dwconv_h`, { ...options, kernel: [band, 1] }),
  ]);
}

function scaled(net: Net, x: Value, path: string): Value {
  if (!net.has(path, true)) return x;
  const channels = sizeOf(x, 1);
  const scale = net.store.takeParameter(path, [channels]);
  const name = net.store.sourceName(path);
  if (scale?.shape.join() !== String(channels)) throw new Departure(name, scale ? `is no scale of ${channels} channels` : 'is missing');
  return net.constantOp('Mul', x, reshape(scale, [channels, 1, 1]), name);
}
