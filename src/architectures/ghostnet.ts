/**
 * GhostNet: Han et al., "GhostNet: More Features from Cheap Operations", 2020, table 1; v2: Tang et al., "GhostNetV2: Enhance Cheap Operation
 * with Long-Range Attention", 2022, figure 4. Names are the authors', which timm has too.
 */
import { nearest } from './adaptive.js';
import { convNormAct, residual, roundWidth, squeezeExcite } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { type Activation, type Net, sizeOf, type Value } from './net.js';

/** Kernel, channels in the middle, channels at the end, whether it squeezes, stride. */
type Block = readonly [kernel: number, middle: number, out: number, squeezes: boolean, stride: number];

interface Size {
  readonly stem: number;
  readonly stages: readonly (readonly Block[])[];
  readonly last: number;
  /** All blocks but the first two weigh places by what stands in their rows and columns (v2). */
  readonly attends?: true;
}

const STAGES: readonly (readonly Block[])[] = [
  [[3, 16, 16, false, 1]],
  [[3, 48, 24, false, 2]],
  [[3, 72, 24, false, 1]],
  [[5, 72, 40, true, 2]],
  [[5, 120, 40, true, 1]],
  [[3, 240, 80, false, 2]],
  [
    [3, 200, 80, false, 1],
    [3, 184, 80, false, 1],
    [3, 184, 80, false, 1],
    [3, 480, 112, true, 1],
    [3, 672, 112, true, 1],
  ],
  [[5, 672, 160, true, 2]],
  [
    [5, 960, 160, false, 1],
    [5, 960, 160, true, 1],
    [5, 960, 160, false, 1],
    [5, 960, 160, true, 1],
  ],
];

const size = (factor: number, more: Partial<Size> = {}): Size => {
  const wide = (width: number) => (factor === 1 ? width : roundWidth(factor * width, 4));
  let flows = wide(16);
  const stages = STAGES.map((blocks) =>
    blocks.map(([kernel, middle, out, squeezes, stride]): Block => {
      // Without a convolution of neighbours in or around it, a block has no kernel to measure.
      const own = stride > 1 || wide(out) !== flows ? kernel : 3;
      flows = wide(out);
      return [own, wide(middle), flows, squeezes, stride];
    }),
  );
  return { stem: wide(16), stages, last: wide(960), ...more };
};

export const ghostnet = family<Size>({
  name: 'ghostnet',
  title: 'GhostNet',
  source: 'Han et al., 2020, https://arxiv.org/abs/1911.11907, table 1; Tang et al., 2022, https://arxiv.org/abs/2211.12905',
  sizes: {
    ghostnet_050: size(0.5),
    ghostnet_100: size(1),
    ghostnet_130: size(1.3),
    ghostnetv2_100: size(1, { attends: true }),
    ghostnetv2_130: size(1.3, { attends: true }),
    ghostnetv2_160: size(1.6, { attends: true }),
  },
  stem: 'conv_stem',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [stem] = names.shape('conv_stem');
    if (!stem || !names.has('blocks.0.0.ghost1')) return null;
    const stages = Array.from({ length: names.count('blocks.{n}.0.ghost1') }, (_, s) =>
      Array.from({ length: names.count(`blocks.${s}.{n}.ghost1`) }, (_, b): Block => {
        const at = `blocks.${s}.${b}`;
        const kernel = names.shape(`${at}.conv_dw`)[2] ?? names.shape(`${at}.shortcut.0`)[2] ?? 3;
        const twice = (k: number) => 2 * (names.shape(`${at}.ghost${k}.primary_conv.0`)[0] ?? 0);
        return [kernel, twice(1), twice(2), names.has(`${at}.se`), names.has(`${at}.conv_dw`) ? 2 : 1];
      }),
    );
    const attends = stages.some((blocks, s) => blocks.some((_, b) => names.has(`blocks.${s}.${b}.ghost1.short_conv.0`)));
    return { stem, stages, last: names.shape(`blocks.${stages.length}.0.conv`)[0] ?? 0, ...(attends ? { attends } : {}) };
  },

  build(net, input, { stem, stages, last, attends = false }) {
    let x = convNormAct(net, input, 'conv_stem', 'bn1', 'relu', { out: stem, kernel: 3, stride: 2 });
    let before = 0;
    stages.forEach((blocks, s) => {
      blocks.forEach(([kernel, middle, out, squeezes, stride], b) => {
        const at = `blocks.${s}.${b}`;
        const isWeighed = net.has(`${at}.ghost1.short_conv.0`, attends && before++ > 1);
        const branch = (y: Value) => {
          let z = ghost(net, y, `${at}.ghost1`, middle, 'relu');
          if (isWeighed) z = net.multiply(z, places(net, y, `${at}.ghost1.short_conv`, middle));
          if (stride > 1) z = convNormAct(net, z, `${at}.conv_dw`, `${at}.bn_dw`, 'none', { kernel, stride, depthwise: true });
          const squeeze = { reduce: `${at}.se.conv_reduce`, expand: `${at}.se.conv_expand`, width: Math.round(middle / 16) * 4 };
          if (squeezes) z = squeezeExcite(net, z, { ...squeeze, act: 'relu', gate: 'hard-sigmoid' });
          return ghost(net, z, `${at}.ghost2`, out, 'none');
        };
        const around = (y: Value) => {
          if (!net.has(`${at}.shortcut.0`, stride > 1 || sizeOf(y, 1) !== out)) return y;
          const deep = convNormAct(net, y, `${at}.shortcut.0`, `${at}.shortcut.1`, 'none', { kernel, stride, depthwise: true });
          return convNormAct(net, deep, `${at}.shortcut.2`, `${at}.shortcut.3`, 'none', { out });
        };
        x = residual(net, x, branch, around);
      });
    });
    const at = `blocks.${stages.length}.0`;
    x = net.op('GlobalAveragePool', [convNormAct(net, x, `${at}.conv`, `${at}.bn1`, 'relu', { out: last })]);
    return head(net, net.flatten(net.activation(net.conv(x, 'conv_head', { out: 1280, bias: true }), 'relu')), 'classifier');
  },
});

/** Half of the channels by a convolution, the others each from one of these. */
function ghost(net: Net, x: Value, at: string, out: number, act: Activation): Value {
  const first = convNormAct(net, x, `${at}.primary_conv.0`, `${at}.primary_conv.1`, act, { out: out / 2 });
  return net.concat([first, convNormAct(net, first, `${at}.cheap_operation.0`, `${at}.cheap_operation.1`, act, { kernel: 3, depthwise: true })]);
}

/** For each place how much it counts, by its row and column in a picture of half the size. */
function places(net: Net, x: Value, at: string, out: number): Value {
  const along = (y: Value, i: number, kernel: readonly [number, number]) =>
    convNormAct(net, y, `${at}.${i}`, `${at}.${i + 1}`, 'none', { kernel, depthwise: true });
  const narrow = convNormAct(net, net.averagePool(x, { kernel: 2 }), `${at}.0`, `${at}.1`, 'none', { out });
  const weights = net.activation(along(along(narrow, 2, [1, 5]), 4, [5, 1]), 'sigmoid');
  return nearest(net, weights, sizeOf(x, 2), sizeOf(x, 3));
}
