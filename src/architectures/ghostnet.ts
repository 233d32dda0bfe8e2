/** GhostNet: Han et al., "GhostNet: More Features from Cheap Operations", 2020, table 1. Names are the authors', which timm has too. */
import { convNormAct, residual, squeezeExcite } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { type Activation, type Net, sizeOf, type Value } from './net.js';

/** Kernel, channels in the middle, channels at the end, whether it squeezes, stride. */
type Block = readonly [kernel: number, middle: number, out: number, squeezes: boolean, stride: number];

interface Size {
  readonly stem: number;
  readonly stages: readonly (readonly Block[])[];
  readonly last: number;
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

export const ghostnet = family<Size>({
  name: 'ghostnet',
  title: 'GhostNet',
  source: 'Han et al., 2020, https://arxiv.org/abs/1911.11907, table 1',
  sizes: { ghostnet_100: { stem: 16, stages: STAGES, last: 960 } },
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
    return { stem, stages, last: names.shape(`blocks.${stages.length}.0.conv`)[0] ?? 0 };
  },

  build(net, input, { stem, stages, last }) {
    let x = convNormAct(net, input, 'conv_stem', 'bn1', 'relu', { out: stem, kernel: 3, stride: 2 });
    stages.forEach((blocks, s) => {
      blocks.forEach(([kernel, middle, out, squeezes, stride], b) => {
        const at = `blocks.${s}.${b}`;
        const branch = (y: Value) => {
          let z = ghost(net, y, `${at}.ghost1`, middle, 'relu');
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
