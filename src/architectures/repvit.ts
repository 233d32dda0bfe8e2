/**
 * RepViT: Wang et al., "RepViT: Revisiting Mobile CNN From ViT Perspective", 2023, section 3: depthwise convolutions beside each other, then two of 1 x 1.
 * Names are timm's, of nets with their branches.
 */
import { convNormAct, residual, squeezeExcite } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { CLASSES, head } from './head.js';
import { type Activation, type ConvOptions, type Net, sizeOf, type Value } from './net.js';

interface Size {
  readonly widths: readonly number[];
  readonly depths: readonly number[];
  /** Each branch is normalised, rather than the sum of both (the first three nets). */
  readonly early?: true;
  /** With a second classifier, and the mean of both as the answer. */
  readonly distilled: boolean;
}

const RATIO = 2;
const size = (width: number, depths: number[], more: { early?: true } = {}): Size => ({
  widths: [1, 2, 4, 8].map((factor) => factor * width),
  depths,
  ...more,
  distilled: true,
});

export const repvit = family<Size>({
  name: 'repvit',
  title: 'RepViT',
  source: 'Wang et al., 2023, https://arxiv.org/abs/2307.09283, section 3',
  sizes: {
    repvit_m0_9: size(48, [2, 2, 14, 2]),
    repvit_m1_0: size(56, [2, 2, 14, 2]),
    repvit_m1_1: size(64, [2, 2, 12, 2]),
    repvit_m1_5: size(64, [4, 4, 24, 4]),
    repvit_m2_3: size(80, [6, 6, 34, 2]),
    repvit_m1: size(48, [2, 2, 14, 2], { early: true }),
    repvit_m2: size(64, [2, 2, 12, 2], { early: true }),
    repvit_m3: size(64, [4, 4, 18, 2], { early: true }),
  },
  stem: 'stem.conv1.c',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const stages = Array.from({ length: names.count('stages.{n}.blocks.0.token_mixer.conv') }, (_, s) => `stages.${s}.blocks`);
    if (stages.length === 0) return null;
    return {
      widths: stages.map((at) => names.shape(`${at}.0.token_mixer.conv.c`)[0]!),
      depths: stages.map((at) => names.count(`${at}.{n}.token_mixer.conv`)),
      ...(names.has('stages.0.blocks.0.token_mixer.conv1.c') ? { early: true as const } : {}),
      distilled: names.has('head.head_dist'),
    };
  },

  build(net, input, { widths, depths, early, distilled }) {
    let x = normed(net, input, 'stem.conv1', 'gelu', { out: widths[0]! / 2, kernel: 3, stride: 2 });
    x = normed(net, x, 'stem.conv2', 'none', { out: widths[0], kernel: 3, stride: 2 });
    depths.forEach((depth, s) => {
      if (s > 0) {
        const at = `stages.${s}.downsample`;
        x = block(net, x, `${at}.pre_block`, early, false);
        x = normed(net, x, `${at}.spatial_downsample`, 'none', { kernel: 3, stride: 2, depthwise: true });
        x = normed(net, x, `${at}.channel_downsample`, 'none', { out: widths[s] });
        x = residual(net, x, (y) => blend(net, y, `${at}.ffn`));
      }
      for (let b = 0; b < depth; b++) x = block(net, x, `stages.${s}.blocks.${b}`, early, b % 2 === 0);
    });
    const features = net.globalPool(x);
    if (distilled) {
      const [first, second] = ['head.head', 'head.head_dist'].map((at) => net.dense(net.norm(features, `${at}.bn`), `${at}.l`, { out: CLASSES }));
      net.endsInClasses = true;
      return net.constantOp('Mul', net.add(first!, second!), 0.5, 'heads.mean');
    }
    return net.has('head.head.bn', true) ? head(net, net.norm(features, 'head.head.bn'), 'head.head.l') : head(net, features, 'head');
  },
});

function normed(net: Net, x: Value, at: string, act: Activation, options: ConvOptions): Value {
  return convNormAct(net, x, `${at}.c`, `${at}.bn`, act, options);
}

/** @param weighs whether channels are weighed, for a net without weights */
function block(net: Net, x: Value, at: string, early: true | undefined, weighs: boolean): Value {
  const own = `${at}.token_mixer`;
  const wide = normed(net, x, `${own}.conv`, 'none', { kernel: 3, depthwise: true });
  const point = { kernel: 1, depthwise: true };
  const narrow = early ? normed(net, x, `${own}.conv1`, 'none', point) : net.conv(x, `${own}.conv1`, { ...point, bias: true });
  const sum = net.add(net.add(wide, narrow), x);
  const mixed = early ? sum : net.norm(sum, `${own}.bn`);
  const squeeze = { reduce: `${at}.se.fc1`, expand: `${at}.se.fc2`, width: sizeOf(x, 1) / 4 };
  const weighed = net.has(`${at}.se`, weighs) ? squeezeExcite(net, mixed, { ...squeeze, act: 'relu', gate: 'sigmoid' }) : mixed;
  return residual(net, weighed, (y) => blend(net, y, `${at}.channel_mixer`));
}

/** Two convolutions of 1 x 1. */
function blend(net: Net, x: Value, at: string): Value {
  const channels = sizeOf(x, 1);
  return normed(net, normed(net, x, `${at}.conv1`, 'gelu', { out: RATIO * channels }), `${at}.conv2`, 'none', { out: channels });
}
