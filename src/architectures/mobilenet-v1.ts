/** MobileNet: Howard et al., "MobileNets: Efficient Convolutional Neural Networks for Mobile Vision Applications", 2017, table 1. */
import { convNormAct, isFromTensorFlow } from './blocks.js';
import { family, SYMMETRIC } from './family.js';
import { CLASSES, pooledHead } from './head.js';
import type { Value } from './net.js';
import { spelling } from './spelling.js';

interface Size {
  readonly stem: number;
  /** Channels of each depthwise separable block. */
  readonly widths: readonly number[];
}

const WIDTHS = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024];
const scaled = (alpha: number): Size => ({ stem: 32 * alpha, widths: WIDTHS.map((width) => width * alpha) });

/** shicai's models for Caffe. */
function caffeNames(): Record<string, string> {
  const places = ['2_1', '2_2', '3_1', '3_2', '4_1', '4_2', '5_1', '5_2', '5_3', '5_4', '5_5', '5_6', '6'];
  const pairs = places.flatMap((place, i) => [
    [`conv_dw_${i + 1}`, `conv${place}/dw`],
    [`conv_dw_${i + 1}_bn`, `conv${place}/dw/bn`],
    [`conv_pw_${i + 1}`, `conv${place}/sep`],
    [`conv_pw_${i + 1}_bn`, `conv${place}/sep/bn`],
  ]);
  return { conv1: 'conv1', conv1_bn: 'conv1/bn', ...Object.fromEntries(pairs), classifier: 'fc7' };
}

function listed(list: string): Record<string, string> {
  return {
    conv1: `${list}.0.0`,
    conv1_bn: `${list}.0.1`,
    ...Object.fromEntries(
      WIDTHS.flatMap((_, i) => [
        [`conv_dw_${i + 1}`, `${list}.${i + 1}.0`],
        [`conv_dw_${i + 1}_bn`, `${list}.${i + 1}.1`],
        [`conv_pw_${i + 1}`, `${list}.${i + 1}.3`],
        [`conv_pw_${i + 1}_bn`, `${list}.${i + 1}.4`],
      ]),
    ),
    classifier: 'fc',
  };
}

/** timm has blocks by stage. */
function timmNames(): (path: string) => string | null {
  const table: Record<string, string> = { conv1: 'conv_stem', conv1_bn: 'bn1' };
  let [s, b] = [-1, 0];
  WIDTHS.forEach((width, i) => {
    [s, b] = width === WIDTHS[i - 1] ? [s, b + 1] : [s + 1, 0];
    const own = `blocks.${s}.${b}`;
    table[`conv_dw_${i + 1}`] = `${own}.conv_dw`;
    table[`conv_dw_${i + 1}_bn`] = `${own}.bn1`;
    table[`conv_pw_${i + 1}`] = `${own}.conv_pw`;
    table[`conv_pw_${i + 1}_bn`] = `${own}.bn2`;
  });
  return spelling(table);
}

export const mobilenetV1 = family<Size>({
  name: 'mobilenet',
  title: 'MobileNet',
  source: 'Howard et al., 2017, https://arxiv.org/abs/1704.04861, table 1',
  sizes: { mobilenet_1_0: scaled(1), mobilenet_7_5: scaled(0.75), mobilenet_5_0: scaled(0.5), mobilenet_2_5: scaled(0.25) },
  stem: 'conv1',
  side: 224,
  preprocessing: () => SYMMETRIC,
  // keras.applications has it, torchvision has not.
  spellings: [
    { ecosystem: 'keras', spell: spelling({ classifier: 'conv_preds', '{*}': '{*}' }) },
    { ecosystem: 'timm', spell: timmNames() },
    { ecosystem: 'caffe', spell: spelling(caffeNames()) },
    {
      ecosystem: 'tensorflow-port',
      spell: spelling({
        conv1: 'conv_stem.convolution',
        conv1_bn: 'conv_stem.normalization',
        ...Object.fromEntries(
          WIDTHS.flatMap((_, i) =>
            ['dw', 'pw'].flatMap((kind, k) => [
              [`conv_${kind}_${i + 1}`, `layer.${2 * i + k}.convolution`],
              [`conv_${kind}_${i + 1}_bn`, `layer.${2 * i + k}.normalization`],
            ]),
          ),
        ),
      }),
    },
    // Nets of others: a Sequential of Sequentials, convolution and normalisation in turn.
    ...['model', 'features', 'layers'].map((list) => ({ ecosystem: 'torchvision' as const, spell: spelling(listed(list)) })),
  ],

  measure(names) {
    const [stem] = names.shape('conv1');
    if (!stem || !names.has('conv_dw_1') || names.count('conv_pw_{n}', 1) !== WIDTHS.length) return null;
    return { stem, widths: WIDTHS.map((_, i) => names.shape(`conv_pw_${i + 1}`)[0]!) };
  },

  build(net, input, { stem, widths }) {
    const epsilon = isFromTensorFlow(net) ? 1e-3 : 1e-5;
    // Nets of others have the paper's plain ReLU.
    const act = net.ecosystem === 'torchvision' ? 'relu' : 'relu6';
    let x = convNormAct(net, input, 'conv1', 'conv1_bn', act, { out: stem, kernel: 3, stride: 2, epsilon });
    widths.forEach((width, i) => {
      // Where the paper's widths double, the picture halves, but for the first block.
      const stride = i > 0 && WIDTHS[i]! > WIDTHS[i - 1]! ? 2 : 1;
      x = convNormAct(net, x, `conv_dw_${i + 1}`, `conv_dw_${i + 1}_bn`, act, { kernel: 3, stride, depthwise: true, epsilon });
      x = convNormAct(net, x, `conv_pw_${i + 1}`, `conv_pw_${i + 1}_bn`, act, { out: width, kernel: 1, epsilon });
    });
    // A convolution of one place in Keras and Caffe, a dense layer elsewhere.
    const isConvolution = net.store.shape('classifier')?.length === 4;
    if (net.ecosystem !== 'keras' && !isConvolution && net.store.has('classifier') !== undefined) return pooledHead(net, x, 'classifier');
    if (!net.has('classifier', true)) return x;
    net.endsInClasses = true;
    const pooled: Value = net.op('GlobalAveragePool', [x]);
    return net.flatten(net.conv(pooled, 'classifier', { out: CLASSES, pad: 0, bias: true }));
  },
});
