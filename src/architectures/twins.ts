/** Twins: Chu et al., "Twins: Revisiting the Design of Spatial Attention in Vision Transformers", 2021, tables 1 and 2. Names are timm's. */
import { layerNorm, mlp, selfAttention } from './attention.js';
import { residual } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { type Net, sizeOf, type Value } from './net.js';
import { asPicture, attendReduced, inRows } from './pyramid.js';
import { spelling } from './spelling.js';
import { fromWindows, intoWindows } from './windows.js';

interface Size {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
  /** How often features are wider inside of a block, by stages. */
  readonly ratios: readonly number[];
  /** Every other block, from the first, attends within windows (Twins-SVT), or none (Twins-PCPVT). */
  readonly windows: boolean;
}

const pcpvt = (depths: number[]): Size => ({ depths, widths: [64, 128, 320, 512], ratios: [8, 8, 4, 4], windows: false });
const svt = (depths: number[], width: number): Size => ({ depths, widths: [1, 2, 4, 8].map((factor) => factor * width), ratios: [4, 4, 4, 4], windows: true });

/** Of places, whose keys and values are one, by stages. */
const REDUCTIONS = [8, 4, 2, 1];
const WINDOW = 7;
const EPSILON = 1e-6;
/** Of the normalisations behind convolutions: PyTorch's. */
const OUTER = 1e-5;

export const twins = family<Size>({
  name: 'twins',
  title: 'Twins',
  source: 'Chu et al., 2021, https://arxiv.org/abs/2104.13840, tables 1 and 2',
  sizes: {
    twins_pcpvt_small: pcpvt([3, 4, 6, 3]),
    twins_pcpvt_base: pcpvt([3, 4, 18, 3]),
    twins_pcpvt_large: pcpvt([3, 8, 27, 3]),
    twins_svt_small: svt([2, 2, 10, 4], 64),
    twins_svt_base: svt([2, 2, 18, 2], 96),
    twins_svt_large: svt([2, 2, 18, 2], 128),
  },
  stem: 'patch_embeds.0.proj',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [
    {
      ecosystem: 'timm',
      spell: spelling({
        'block.{s}.{b}.query': 'blocks.{s}.{b}.attn.q',
        'block.{s}.{b}.kv': 'blocks.{s}.{b}.attn.kv',
        'block.{s}.{b}.reduce': 'blocks.{s}.{b}.attn.sr',
        'block.{s}.{b}.reduced': 'blocks.{s}.{b}.attn.norm',
        'block.{s}.{b}.proj': 'blocks.{s}.{b}.attn.proj',
        '{*}': '{*}',
      }),
    },
  ],

  measure(names) {
    const stages = Array.from({ length: names.count('patch_embeds.{n}.proj') }, (_, s) => s);
    if (stages.length === 0 || !names.has('pos_block.0.proj.0')) return null;
    const widths = stages.map((s) => names.shape(`patch_embeds.${s}.proj`)[0]!);
    return {
      depths: stages.map((s) => names.count(`blocks.${s}.{n}.norm1`)),
      widths,
      ratios: stages.map((s) => names.shape(`blocks.${s}.0.mlp.fc1`)[0]! / widths[s]!),
      windows: names.has('blocks.0.0.attn.qkv'),
    };
  },

  build(net, input, { depths, widths, ratios, windows }) {
    const usual = widths.map((width) => Math.max(1, Math.round(width / (windows ? 32 : 64)))).join(',');
    const heads = net.setting<string>('heads', usual, 'attention has {} heads, by stages').split(',').map(Number);
    const window = windows ? net.setting('window', WINDOW, 'every other block attends within windows of {} places on a side') : 1;
    let picture = input;
    let x = input;
    depths.forEach((depth, s) => {
      const kernel = s === 0 ? 4 : 2;
      const taken = net.conv(picture, `patch_embeds.${s}.proj`, { out: widths[s], kernel, stride: kernel, pad: 0, bias: true });
      const size = [sizeOf(taken, 2), sizeOf(taken, 3)] as const;
      x = layerNorm(net, inRows(net, taken), `patch_embeds.${s}.norm`, OUTER);
      for (let b = 0; b < depth; b++) {
        const at = `blocks.${s}.${b}`;
        const attend = (y: Value) =>
          windows && b % 2 === 0
            ? within(net, y, `${at}.attn`, size, heads[s] ?? 1, window)
            : attendReduced(net, y, `block.${s}.${b}`, { size, heads: heads[s] ?? 1, reduction: REDUCTIONS[s] ?? 1, outer: OUTER });
        x = residual(net, x, (y) => attend(layerNorm(net, y, `${at}.norm1`, EPSILON)));
        x = residual(net, x, (y) => mlp(net, layerNorm(net, y, `${at}.norm2`, EPSILON), `${at}.mlp.fc1`, `${at}.mlp.fc2`, ratios[s]! * widths[s]!));
        // Where places stand is told by a convolution over them.
        const positions = (y: Value) => net.conv(y, `pos_block.${s}.proj.0`, { kernel: 3, depthwise: true, bias: true });
        if (b === 0) x = inRows(net, residual(net, asPicture(net, x, size), positions));
      }
      if (s < depths.length - 1) picture = asPicture(net, x, size);
    });
    const mean = net.op('ReduceMean', [layerNorm(net, x, 'norm', EPSILON)], { axes: [1], keepdims: 0 });
    return head(net, mean, 'head');
  },
});

/** Attention within windows; what is missing of the last ones is zeros. */
function within(net: Net, x: Value, path: string, [height, width]: readonly [number, number], heads: number, window: number): Value {
  const features = sizeOf(x, 2);
  const [tall, wide] = [height, width].map((size) => Math.ceil(size / window) * window) as [number, number];
  const places = net.reshape(x, [0, height, width, features]);
  const isWhole = tall === height && wide === width;
  const whole = isWhole ? places : net.op('Pad', [places], { pads: [0, 0, 0, 0, 0, tall - height, wide - width, 0] });
  const qkv = net.dense(intoWindows(net, whole, window), `${path}.qkv`, { out: 3 * features });
  const mixed = fromWindows(net, selfAttention(net, qkv, { heads }), window, tall, wide);
  const cut = isWhole ? mixed : net.slice(net.slice(mixed, 1, 0, height), 2, 0, width);
  return net.dense(net.reshape(cut, [0, height * width, features]), `${path}.proj`, { out: features });
}
