/**
 * EdgeNeXt: Maaz et al., "EdgeNeXt: Efficiently Amalgamated CNN-Transformer Architecture for Mobile Vision Applications", 2022, table 1. Names
 * are timm's.
 */
import { layerNorm, layerScale, mlp } from './attention.js';
import { crossCovariance, placesOf } from './cross-covariance.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { type Net, sizeOf, type Value } from './net.js';

interface Size {
  readonly widths: readonly number[];
  readonly depths: readonly number[];
  readonly heads: number;
  /** Of the depthwise convolutions of each stage. */
  readonly kernels: readonly number[];
  /** Parts of the channels that the last block of each stage but the first takes one after the other. */
  readonly parts: readonly number[];
  /** The first block of a stage makes the picture smaller, and the stem's windows overlap. */
  readonly overlaps?: true;
}

const size = (widths: number[], depths: number[], heads = 8): Size => ({ widths, depths, heads, kernels: [3, 5, 7, 9], parts: [0, 2, 3, 4] });
const EPSILON = 1e-6;

export const edgenext = family<Size>({
  name: 'edgenext',
  title: 'EdgeNeXt',
  source: 'Maaz et al., 2022, https://arxiv.org/abs/2206.10589, table 1',
  sizes: {
    edgenext_xx_small: size([24, 48, 88, 168], [2, 2, 6, 2], 4),
    edgenext_x_small: size([32, 64, 100, 192], [3, 3, 9, 3], 4),
    edgenext_small: size([48, 96, 160, 304], [3, 3, 9, 3]),
    edgenext_base: size([80, 160, 288, 584], [3, 3, 9, 3]),
    edgenext_small_rw: { ...size([48, 96, 192, 384], [3, 3, 9, 3]), overlaps: true },
  },
  stem: 'stem.0',
  side: 256,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [width, , kernel] = names.shape('stem.0');
    if (!width || !kernel) return null;
    const stages = [0, 1, 2, 3].map((s) => `stages.${s}.blocks`);
    const depths = stages.map((at) => names.count(`${at}.{n}.mlp.fc1`));
    const last = stages.map((at, s) => `${at}.${depths[s]! - 1}`);
    const [heads] = names.shape(`${last[3]}.xca.temperature`);
    const [wide] = names.shape(`${last[3]}.xca.proj`);
    if (!heads || !wide) return null;
    return {
      widths: last.map((at) => names.shape(`${at}.mlp.fc2`)[0] ?? 0),
      depths,
      heads,
      kernels: stages.map((at) => names.shape(`${at}.0.conv_dw`)[2] ?? 0),
      parts: last.map((at) => (names.has(`${at}.convs.0`) ? names.count(`${at}.convs.{n}`) + 1 : 0)),
      ...(names.has('stages.1.downsample.1') ? {} : { overlaps: true as const }),
    };
  },

  build(net, input, { widths, depths, heads, kernels, parts, overlaps }) {
    const bias = !overlaps;
    const stem = overlaps ? { kernel: 9, pad: 4 } : { kernel: 4, pad: 0 };
    let x = layerNorm(net, net.conv(input, 'stem.0', { out: widths[0]!, stride: 4, bias, ...stem }), 'stem.1', EPSILON, 1);
    depths.forEach((depth, s) => {
      const out = widths[s]!;
      const at = `stages.${s}`;
      if (s > 0 && !overlaps) {
        x = net.conv(layerNorm(net, x, `${at}.downsample.0`, EPSILON, 1), `${at}.downsample.1`, { out, kernel: 2, stride: 2, pad: 0, bias });
      }
      for (let b = 0; b < depth; b++) {
        const block = `${at}.blocks.${b}`;
        if (b === depth - 1 && parts[s]! > 0) {
          x = splitBlock(net, x, block, { parts: parts[s]!, heads, bias, isPlaced: s === 1 });
          continue;
        }
        const stride = overlaps && s > 0 && b === 0 ? 2 : 1;
        const deep = net.conv(x, `${block}.conv_dw`, { out, kernel: kernels[s]!, stride, groups: sizeOf(x, 1), bias });
        x = net.add(blend(net, net.transpose(deep, [0, 2, 3, 1]), block), stride > 1 ? deep : x);
      }
    });
    if (net.has('norm_pre', false)) return head(net, net.globalPool(layerNorm(net, x, 'norm_pre', EPSILON, 1)), 'head.fc');
    return head(net, layerNorm(net, net.globalPool(x), 'head.norm', EPSILON), 'head.fc');
  },
});

/** Normalisation and two dense layers at each place: [batch, height, width, features] to [batch, features, height, width]. */
function blend(net: Net, x: Value, at: string): Value {
  const wide = 4 * sizeOf(x, 3);
  const y = mlp(net, layerNorm(net, x, `${at}.norm`, EPSILON), `${at}.mlp.fc1`, `${at}.mlp.fc2`, wide);
  return net.transpose(layerScale(net, y, `${at}.gamma`), [0, 3, 1, 2]);
}

interface SplitOptions {
  readonly parts: number;
  readonly heads: number;
  readonly bias: boolean;
  /** Places have something added that says where they are. */
  readonly isPlaced: boolean;
}

/** Convolutions of parts of the channels, each with what the one before it made, then attention between channels (figure 2). */
function splitBlock(net: Net, x: Value, at: string, { parts, heads, bias, isPlaced }: SplitOptions): Value {
  const [channels, height, width] = [sizeOf(x, 1), sizeOf(x, 2), sizeOf(x, 3)];
  const each = Math.ceil(channels / parts);
  const part = (i: number) => net.slice(x, 1, i * each, Math.min(channels, (i + 1) * each));
  const made: Value[] = [];
  for (let i = 0; i < parts - 1; i++) {
    const taken = i === 0 ? part(i) : net.add(made[i - 1]!, part(i));
    made.push(net.conv(taken, `${at}.convs.${i}`, { out: each, kernel: 3, depthwise: true, bias }));
  }
  const convolved = net.concat([...made, part(parts - 1)]);
  const placed = net.has(`${at}.pos_embd.token_projection`, isPlaced)
    ? net.constantOp('Add', convolved, placesOf(net, `${at}.pos_embd.token_projection`, channels, height, width), `${net.store.sourceName(at)}.pos_embd`)
    : convolved;
  const tokens = net.transpose(net.reshape(placed, [0, channels, height * width]), [0, 2, 1]);
  const crossed = crossCovariance(net, layerNorm(net, tokens, `${at}.norm_xca`, EPSILON), `${at}.xca`, heads);
  const attended = net.add(layerScale(net, crossed, `${at}.gamma_xca`), tokens);
  return net.add(blend(net, net.reshape(attended, [0, height, width, channels]), at), x);
}
