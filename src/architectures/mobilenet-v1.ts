/** MobileNet: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017, table 1. */
import { convNormAct } from './blocks.js';
import { family, SYMMETRIC } from './family.js';
import { CLASSES } from './head.js';
import type { Value } from './net.js';
import { spelling } from './spelling.js';

interface Size {
  readonly stem: number;
  /** Channels of each depthwise separable block. */
  readonly widths: readonly number[];
}

const WIDTHS = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024];
const EPSILON = 1e-3;
const scaled = (alpha: number): Size => ({ stem: 32 * alpha, widths: WIDTHS.map((width) => width * alpha) });

export const mobilenetV1 = family<Size>({
  name: 'mobilenet',
  title: 'MobileNet',
  source: 'Howard et al., 2017, https://arxiv.org/abs/1704.04861, table 1',
  sizes: { mobilenet_1_0: scaled(1), mobilenet_7_5: scaled(0.75), mobilenet_5_0: scaled(0.5), mobilenet_2_5: scaled(0.25) },
  stem: 'conv1',
  side: 224,
  preprocessing: () => SYMMETRIC,
  // keras.applications has it, torchvision has not.
  spellings: [{ ecosystem: 'keras', spell: spelling({ classifier: 'conv_preds', '{*}': '{*}' }) }],

  measure(names) {
    const [stem] = names.shape('conv1');
    if (!stem || !names.has('conv_dw_1') || names.count('conv_pw_{n}', 1) !== WIDTHS.length) return null;
    return { stem, widths: WIDTHS.map((_, i) => names.shape(`conv_pw_${i + 1}`)[0]!) };
  },

  build(net, input, { stem, widths }) {
    let x = convNormAct(net, input, 'conv1', 'conv1_bn', 'relu6', { out: stem, kernel: 3, stride: 2, epsilon: EPSILON });
    widths.forEach((width, i) => {
      // Where the paper's widths double, the picture halves, but for the first block.
      const stride = i > 0 && WIDTHS[i]! > WIDTHS[i - 1]! ? 2 : 1;
      x = convNormAct(net, x, `conv_dw_${i + 1}`, `conv_dw_${i + 1}_bn`, 'relu6', { kernel: 3, stride, depthwise: true, epsilon: EPSILON });
      x = convNormAct(net, x, `conv_pw_${i + 1}`, `conv_pw_${i + 1}_bn`, 'relu6', { out: width, kernel: 1, epsilon: EPSILON });
    });
    if (!net.has('classifier', true)) return x;
    net.endsInClasses = true;
    const pooled: Value = net.op('GlobalAveragePool', [x]);
    return net.flatten(net.conv(pooled, 'classifier', { out: CLASSES, pad: 0, bias: true }));
  },
});
