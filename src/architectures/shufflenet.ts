/** ShuffleNet v2: Ma et al., 2018, table 5. */
import { branches, channelShuffle, convNormAct } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import type { Value } from './net.js';
import { byPlace } from './spelling.js';

interface Size {
  readonly depths: readonly number[];
  /** Of the stem, of the three stages, and of the last convolution. */
  readonly widths: readonly number[];
}

const DEPTHS = [4, 8, 4];

export const shufflenet = family<Size>({
  name: 'shufflenet_v2',
  title: 'ShuffleNet v2',
  source: 'Ma et al., 2018, https://arxiv.org/abs/1807.11164, table 5',
  sizes: {
    shufflenet_v2_x0_5: { depths: DEPTHS, widths: [24, 48, 96, 192, 1024] },
    shufflenet_v2_x1_0: { depths: DEPTHS, widths: [24, 116, 232, 464, 1024] },
    shufflenet_v2_x1_5: { depths: DEPTHS, widths: [24, 176, 352, 704, 1024] },
    shufflenet_v2_x2_0: { depths: DEPTHS, widths: [24, 244, 488, 976, 2048] },
  },
  stem: 'conv1.0',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    { ecosystem: 'torchvision', spell: byPlace('conv1 maxpool stage2 stage3 stage4 conv5') },
  ],

  measure(names) {
    if (!names.has('stage2.0.branch1.0') || !names.has('conv5.0')) return null;
    const stages = Array.from({ length: names.count('stage{n}', 2) }, (_, i) => i + 2);
    return {
      depths: stages.map((s) => names.count(`stage${s}.{n}`)),
      widths: [names.shape('conv1.0')[0]!, ...stages.map((s) => 2 * names.shape(`stage${s}.0.branch2.5`)[0]!), names.shape('conv5.0')[0]!],
    };
  },

  build(net, input, { depths, widths }) {
    let x = convNormAct(net, input, 'conv1.0', 'conv1.1', 'relu', { out: widths[0], kernel: 3, stride: 2 });
    x = net.maxPool(x, { kernel: 3, stride: 2, pad: 1 });
    depths.forEach((depth, s) => {
      for (let b = 0; b < depth; b++) {
        const at = `stage${s + 2}.${b}`;
        const half = widths[s + 1]! / 2;
        const stride = b === 0 ? 2 : 1;
        const pointwise = (y: Value, i: number, branch: number) =>
          convNormAct(net, y, `${at}.branch${branch}.${i}`, `${at}.branch${branch}.${i + 1}`, 'relu', { out: half, kernel: 1 });
        const depthwise = (y: Value, i: number, branch: number) =>
          convNormAct(net, y, `${at}.branch${branch}.${i}`, `${at}.branch${branch}.${i + 1}`, 'none', { kernel: 3, stride, depthwise: true });
        const deep = (y: Value) => pointwise(depthwise(pointwise(y, 0, 2), 3, 2), 5, 2);
        // The first block of a stage halves the picture in both branches; the others leave half of the channels as they are.
        const halves = (y: Value, part: 0 | 1) => net.slice(y, 1, part * half, (part + 1) * half);
        if (b === 0) x = branches(net, x, (y) => pointwise(depthwise(y, 0, 1), 2, 1), deep);
        else
          x = branches(
            net,
            x,
            (y) => halves(y, 0),
            (y) => deep(halves(y, 1)),
          );
        x = channelShuffle(net, x, 2);
      }
    });
    x = convNormAct(net, x, 'conv5.0', 'conv5.1', 'relu', { out: widths.at(-1), kernel: 1 });
    return pooledHead(net, x, 'fc');
  },
});
