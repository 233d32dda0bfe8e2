/** ResNet v2, as keras.applications has it: He et al., "Identity Mappings in Deep Residual Networks", 2016, figure 1 (b). */
import { residual } from './blocks.js';
import { family, SYMMETRIC } from './family.js';
import { pooledHead } from './head.js';
import { type Net, sizeOf, type Value } from './net.js';

interface Size {
  readonly depths: readonly number[];
  /** Channels of the 3 x 3 convolutions in each stage. */
  readonly widths: readonly number[];
}

const EPSILON = 1.001e-5;
const WIDTHS = [64, 128, 256, 512];

export const resnetV2 = family<Size>({
  name: 'resnet_v2',
  title: 'ResNet v2',
  source: 'He et al., 2016, https://arxiv.org/abs/1603.05027',
  sizes: {
    resnet50v2: { depths: [3, 4, 6, 3], widths: WIDTHS },
    resnet101v2: { depths: [3, 4, 23, 3], widths: WIDTHS },
    resnet152v2: { depths: [3, 8, 36, 3], widths: WIDTHS },
  },
  stem: 'conv1_conv',
  side: 224,
  preprocessing: () => SYMMETRIC,
  spellings: [{ ecosystem: 'keras', spell: (path) => path }],

  measure(names) {
    if (!names.has('conv1_conv') || !names.has('conv2_block1_preact_bn')) return null;
    const stages = Array.from({ length: names.count('conv{n}_block1_preact_bn', 2) }, (_, s) => s + 2);
    return {
      depths: stages.map((s) => names.count(`conv${s}_block{n}_preact_bn`, 1)),
      widths: stages.map((s) => names.shape(`conv${s}_block1_2_conv`)[0]!),
    };
  },

  build(net, input, { depths, widths }) {
    let x = net.conv(input, 'conv1_conv', { out: 64, kernel: 7, stride: 2, pad: 3, bias: true });
    // Zeros, which may be the largest of a window: nothing has cut off what is below them.
    x = net.maxPool(net.op('Pad', [x], { pads: [0, 0, 1, 1, 0, 0, 1, 1] }), { kernel: 3, stride: 2 });
    depths.forEach((depth, s) => {
      for (let b = 1; b <= depth; b++) {
        // The last block of a stage strides, but for the last stage.
        const stride = b === depth && s < depths.length - 1 ? 2 : 1;
        x = block(net, x, `conv${s + 2}_block${b}`, widths[s]!, stride, b === 1);
      }
    });
    x = net.activation(net.norm(x, 'post_bn', EPSILON), 'relu');
    return pooledHead(net, x, 'predictions');
  },
});

function block(net: Net, x: Value, at: string, width: number, stride: number, isFirst: boolean): Value {
  const before = net.activation(net.norm(x, `${at}_preact_bn`, EPSILON), 'relu');
  const normal = (y: Value, i: number) => net.activation(net.norm(y, `${at}_${i}_bn`, EPSILON), 'relu');
  const branch = (y: Value) => {
    const reduced = normal(net.conv(y, `${at}_1_conv`, { out: width, pad: 0 }), 1);
    const deep = normal(net.conv(reduced, `${at}_2_conv`, { out: width, kernel: 3, stride, pad: 1 }), 2);
    return net.conv(deep, `${at}_3_conv`, { out: 4 * width, pad: 0, bias: true });
  };
  const around = () => {
    if (net.has(`${at}_0_conv`, isFirst)) return net.conv(before, `${at}_0_conv`, { out: 4 * width, stride, pad: 0, bias: true });
    return stride > 1 && sizeOf(x, 2) > 1 ? net.maxPool(x, { kernel: 1, stride }) : x;
  };
  return residual(net, before, branch, around);
}
