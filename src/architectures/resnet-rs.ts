/** ResNet-RS: Bello et al., "Revisiting ResNets", 2021, table 11 and section 5; as keras.applications of tf.keras 2.9 to 2.15 has it. */
import { convNormAct, residual, squeezeExcite } from './blocks.js';
import { family, RAW } from './family.js';
import { pooledHead } from './head.js';
import { kerasPreprocessing, normalisedPixels } from './keras-input.js';
import type { Activation, Net, Value } from './net.js';
import { spelling } from './spelling.js';

interface Size {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
}

const EPSILON = 1e-5;
const WIDTHS = [64, 128, 256, 512];
const of = (...depths: number[]): Size => ({ depths, widths: WIDTHS });

export const resnetRs = family<Size>({
  name: 'resnet_rs',
  title: 'ResNet-RS',
  source: 'Bello et al., 2021, https://arxiv.org/abs/2103.07579, table 11',
  sizes: {
    resnet_rs_50: of(3, 4, 6, 3),
    resnet_rs_101: of(3, 4, 23, 3),
    resnet_rs_152: of(3, 8, 36, 3),
    resnet_rs_200: of(3, 24, 36, 3),
    resnet_rs_270: of(4, 29, 53, 4),
    resnet_rs_350: of(4, 36, 72, 4),
    resnet_rs_420: of(4, 44, 87, 4),
  },
  stem: 'stem.conv1',
  side: 224,
  preprocessing: () => RAW,
  // The stem's names begin with a count of stems: stem_1.
  spellings: [
    {
      ecosystem: 'keras',
      spell: spelling({
        'stem.conv{i}': '_stem_conv_{i}',
        'stem.bn{i}': '_stem_batch_norm_{i}',
        'layer{s}.{b}.conv{i}': 'BlockGroup{s+1}__block_{b}__conv_{i}',
        'layer{s}.{b}.bn1': 'BlockGroup{s+1}__block_{b}_batch_norm_1',
        'layer{s}.{b}.bn{i}': 'BlockGroup{s+1}__block_{b}__batch_norm_{i}',
        'layer{s}.{b}.se.fc1': 'BlockGroup{s+1}__block_{b}__se_se_reduce',
        'layer{s}.{b}.se.fc2': 'BlockGroup{s+1}__block_{b}__se_se_expand',
        'layer{s}.{b}.downsample.0': 'BlockGroup{s+1}__block_{b}__projection_conv',
        'layer{s}.{b}.downsample.1': 'BlockGroup{s+1}__block_{b}__projection_batch_norm',
        fc: 'predictions',
      }),
    },
  ],

  measure(names) {
    if (!names.has('stem.conv4') || !names.has('layer1.0.se.fc1')) return null;
    const stages = Array.from({ length: names.count('layer{n}.0.conv1', 1) }, (_, s) => s + 1);
    return { depths: stages.map((s) => names.count(`layer${s}.{n}.conv1`)), widths: stages.map((s) => names.shape(`layer${s}.0.conv1`)[0]!) };
  },

  build(net, input, { depths, widths }) {
    const rescaled = kerasPreprocessing(net, input, (x) => (x.shape[1] === 3 ? normalisedPixels(net, x) : net.constantOp('Mul', x, 1 / 255, 'rescaling')));
    // ResNet-D's stem: convolutions in place of a pooling.
    const stem = [
      [32, 2],
      [32, 1],
      [64, 1],
      [64, 2],
    ] as const;
    let x = stem.reduce((y, [out, stride], i) => conv(net, y, 'stem', i + 1, 'relu', { out, kernel: 3, stride }), rescaled);
    depths.forEach((depth, s) => {
      for (let b = 0; b < depth; b++) x = block(net, x, `layer${s + 1}.${b}`, widths[s]!, s > 0 && b === 0 ? 2 : 1, b === 0);
    });
    return pooledHead(net, x, 'fc');
  },
});

/** Where it strides, a convolution has as many zeros on either side. */
function conv(net: Net, x: Value, at: string, i: number, act: Activation, options: { out: number; kernel?: number; stride?: number }): Value {
  const pad = options.stride === 2 ? { pad: 1 } : {};
  return convNormAct(net, x, `${at}.conv${i}`, `${at}.bn${i}`, act, { ...options, ...pad, epsilon: EPSILON });
}

function block(net: Net, x: Value, at: string, width: number, stride: number, isFirst: boolean): Value {
  const branch = (y: Value) => {
    const reduced = conv(net, y, at, 1, 'relu', { out: width });
    const expanded = conv(net, conv(net, reduced, at, 2, 'relu', { out: width, kernel: 3, stride }), at, 3, 'none', { out: 4 * width });
    return squeezeExcite(net, expanded, { reduce: `${at}.se.fc1`, expand: `${at}.se.fc2`, width, act: 'relu', gate: 'sigmoid' });
  };
  const around = (y: Value) => {
    if (!isFirst) return y;
    const smaller = stride === 2 ? net.averagePool(y, { kernel: 2, stride: 2, same: true }) : y;
    return convNormAct(net, smaller, `${at}.downsample.0`, `${at}.downsample.1`, 'none', { out: 4 * width, epsilon: EPSILON });
  };
  return net.activation(residual(net, x, branch, around), 'relu');
}
