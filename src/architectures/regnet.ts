/** RegNet X and Y: Radosavovic et al., "Designing Network Design Spaces", 2020, figures 15 and 16. */
import { convBlock, residual, squeezeExcite } from './blocks.js';
import { family, RAW, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import { kerasPreprocessing } from './keras-input.js';
import type { Value } from './net.js';
import { byPlace, spelling } from './spelling.js';

interface Size {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
  /** Channels of one group. */
  readonly group: readonly number[];
  /** Y: squeeze and excitation. */
  readonly squeeze: boolean;
}

const regnetOf =
  (squeeze: boolean) =>
  (depths: number[], widths: number[], ...group: number[]): Size => ({
    depths,
    widths,
    group: group.length === 1 ? depths.map(() => group[0]!) : group,
    squeeze,
  });
const x = regnetOf(false);
const y = regnetOf(true);

/** A module of a block. */
const block = (module: string, own: string) => ({ [`trunk_output.block{s}.block{s2}-{b}.${module}`]: own });
const HF_LAYER = 'encoder.stages.{s-1}.layers.{b}';

/** The same in Keras, for X and Y. */
const keras = (module: string, own: string) => ({
  [`trunk_output.block{s}.block{s2}-{b}.${module}`]: `_Stage_{s-1}_XBlock_{b}_${own}|_Stage_{s-1}_YBlock_{b}_${own}`,
});

export const regnet = family<Size>({
  name: 'regnet',
  title: 'RegNet',
  source: 'Radosavovic et al., 2020, https://arxiv.org/abs/2003.13678, figures 15 and 16',
  sizes: {
    regnet_x_400mf: x([1, 2, 7, 12], [32, 64, 160, 400], 16),
    regnet_x_800mf: x([1, 3, 7, 5], [64, 128, 288, 672], 16),
    regnet_x_1_6gf: x([2, 4, 10, 2], [72, 168, 408, 912], 24),
    regnet_x_3_2gf: x([2, 6, 15, 2], [96, 192, 432, 1008], 48),
    regnet_x_8gf: x([2, 5, 15, 1], [80, 240, 720, 1920], 80, 120, 120, 120),
    regnet_x_16gf: x([2, 6, 13, 1], [256, 512, 896, 2048], 128),
    regnet_x_32gf: x([2, 7, 13, 1], [336, 672, 1344, 2520], 168),
    regnet_y_400mf: y([1, 3, 6, 6], [48, 104, 208, 440], 8),
    regnet_y_800mf: y([1, 3, 8, 2], [64, 144, 320, 784], 16),
    regnet_y_1_6gf: y([2, 6, 17, 2], [48, 120, 336, 888], 24),
    regnet_y_3_2gf: y([2, 5, 13, 1], [72, 216, 576, 1512], 24),
    regnet_y_8gf: y([2, 4, 10, 1], [224, 448, 896, 2016], 56),
    regnet_y_16gf: y([2, 4, 11, 1], [224, 448, 1232, 3024], 112),
    regnet_y_32gf: y([2, 5, 12, 1], [232, 696, 1392, 3712], 232),
    regnet_y_128gf: y([2, 7, 17, 1], [528, 1056, 2904, 7392], 264),
    // Those of keras.applications that torchvision has in other widths, or not at all.
    regnetx002: x([1, 1, 4, 7], [24, 56, 152, 368], 8),
    regnetx004: x([1, 2, 7, 12], [32, 64, 160, 384], 16),
    regnetx006: x([1, 3, 5, 7], [48, 96, 240, 528], 24),
    regnetx040: x([2, 5, 14, 2], [80, 240, 560, 1360], 40),
    regnetx064: x([2, 4, 10, 1], [168, 392, 784, 1624], 56),
    regnetx120: x([2, 5, 11, 1], [224, 448, 896, 2240], 112),
    regnety002: y([1, 1, 4, 7], [24, 56, 152, 368], 8),
    regnety006: y([1, 3, 7, 4], [48, 112, 256, 608], 16),
    regnety008: y([1, 3, 8, 2], [64, 128, 320, 768], 16),
    regnety040: y([2, 6, 12, 2], [128, 192, 512, 1088], 64),
    regnety064: y([2, 7, 14, 2], [144, 288, 576, 1296], 72),
    regnety080: y([2, 4, 10, 1], [168, 448, 896, 2016], 56),
    regnety120: y([2, 5, 11, 1], [224, 448, 896, 2240], 112),
  },
  stem: 'stem.0',
  // Its dense layer is made without the activation.
  kerasLogits: true,
  side: 224,
  preprocessing: (ecosystem) => (ecosystem === 'keras' ? RAW : TORCHVISION),
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    { ecosystem: 'torchvision', spell: byPlace('stem trunk_output') },
    {
      ecosystem: 'timm',
      spell: spelling({
        'stem.0': 'stem.conv',
        'stem.1': 'stem.bn',
        ...block('proj.0', 's{s}.b{b+1}.downsample.conv'),
        ...block('proj.1', 's{s}.b{b+1}.downsample.bn'),
        ...Object.fromEntries(
          ['a', 'b', 'c'].flatMap((part, i) => [
            ...Object.entries(block(`f.${part}.0`, `s{s}.b{b+1}.conv${i + 1}.conv`)),
            ...Object.entries(block(`f.${part}.1`, `s{s}.b{b+1}.conv${i + 1}.bn`)),
          ]),
        ),
        ...block('f.se.fc{i}', 's{s}.b{b+1}.se.fc{i}'),
        fc: 'head.fc',
      }),
    },
    {
      ecosystem: 'transformers',
      spell: spelling({
        'stem.0': 'embedder.embedder.convolution',
        'stem.1': 'embedder.embedder.normalization',
        ...block('proj.0', `${HF_LAYER}.shortcut.convolution`),
        ...block('proj.1', `${HF_LAYER}.shortcut.normalization`),
        ...block('f.a.0', `${HF_LAYER}.layer.0.convolution`),
        ...block('f.a.1', `${HF_LAYER}.layer.0.normalization`),
        ...block('f.b.0', `${HF_LAYER}.layer.1.convolution`),
        ...block('f.b.1', `${HF_LAYER}.layer.1.normalization`),
        ...block('f.se.fc1', `${HF_LAYER}.layer.2.attention.0`),
        ...block('f.se.fc2', `${HF_LAYER}.layer.2.attention.2`),
        ...block('f.c.0', `${HF_LAYER}.layer.3.convolution|${HF_LAYER}.layer.2.convolution`),
        ...block('f.c.1', `${HF_LAYER}.layer.3.normalization|${HF_LAYER}.layer.2.normalization`),
      }),
    },
    // keras.applications of tf.keras 2.9 to 2.15: behind the net's own name.
    {
      ecosystem: 'keras',
      spell: spelling({
        'stem.0': '_stem_conv',
        'stem.1': '_stem_bn',
        ...keras('proj.0', 'skip_1x1'),
        ...keras('proj.1', 'skip_bn'),
        ...keras('f.a.0', 'conv_1x1_1'),
        ...keras('f.a.1', 'conv_1x1_1_bn'),
        ...keras('f.b.0', 'conv_3x3'),
        ...keras('f.b.1', 'conv_3x3_bn'),
        ...keras('f.se.fc1', 'squeeze_and_excite_squeeze'),
        ...keras('f.se.fc2', 'squeeze_and_excite_excite'),
        ...keras('f.c.0', 'conv_1x1_2'),
        ...keras('f.c.1', 'conv_1x1_2_bn'),
        fc: 'head_dense',
      }),
    },
  ],

  measure(names) {
    if (names.shape('stem.0')[2] !== 3 || !names.has('trunk_output.block1.block1-0.f.a.0')) return null;
    const stages = Array.from({ length: names.count('trunk_output.block{n}.block{n}-0.f.a.0', 1) }, (_, i) => i + 1);
    const first = (s: number) => names.shape(`trunk_output.block${s}.block${s}-0.f.b.0`);
    return {
      depths: stages.map((s) => names.count(`trunk_output.block${s}.block${s}-{n}.f.a.0`)),
      widths: stages.map((s) => first(s)[0]!),
      group: stages.map((s) => first(s)[1]!),
      squeeze: names.has('trunk_output.block1.block1-0.f.se.fc1'),
    };
  },

  build(net, input, { depths, widths, group, squeeze }) {
    const picture = net.ecosystem === 'keras' ? kerasPreprocessing(net, input, (z) => net.constantOp('Mul', z, 1 / 255, 'rescaling')) : input;
    let out = convBlock(net, picture, 'stem', 'relu', { out: 32, kernel: 3, stride: 2 });
    depths.forEach((depth, i) => {
      for (let b = 0; b < depth; b++) {
        const at = `trunk_output.block${i + 1}.block${i + 1}-${b}`;
        const width = widths[i]!;
        const stride = b === 0 ? 2 : 1;
        const squeezed = Math.round((out.shape[1] as number) / 4);
        const branch = (input: Value) => {
          let z = convBlock(net, input, `${at}.f.a`, 'relu', { out: width, kernel: 1 });
          z = convBlock(net, z, `${at}.f.b`, 'relu', { out: width, kernel: 3, stride, groups: width / group[i]! });
          const { act, gate } = { act: 'relu', gate: 'sigmoid' } as const;
          if (squeeze) z = squeezeExcite(net, z, { reduce: `${at}.f.se.fc1`, expand: `${at}.f.se.fc2`, width: squeezed, act, gate });
          return convBlock(net, z, `${at}.f.c`, 'none', { out: width, kernel: 1 });
        };
        const around = (input: Value) => (b === 0 ? convBlock(net, input, `${at}.proj`, 'none', { out: width, kernel: 1, stride }) : input);
        out = net.activation(residual(net, out, branch, around), 'relu');
      }
    });
    return pooledHead(net, out, 'fc');
  },
});
