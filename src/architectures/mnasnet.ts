/** MNASNet-B1: Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", 2018, figure 7. */
import { convNormAct, residual, roundWidth } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import type { Value } from './net.js';
import { spelling } from './spelling.js';

/** Of one stage: kernel, expansion, stride, blocks. */
const STAGES = [
  [3, 3, 2, 3],
  [5, 3, 2, 3],
  [5, 6, 2, 3],
  [3, 6, 1, 2],
  [5, 6, 2, 4],
  [3, 6, 1, 1],
] as const;

interface Size {
  /** Of the stem, of the separable convolution after it, of the stages. */
  readonly widths: readonly number[];
  readonly depths: readonly number[];
}

const WIDTHS = [32, 16, 24, 40, 80, 96, 192, 320];
const scaled = (factor: number): Size => ({
  widths: WIDTHS.map((width) => roundWidth(width * factor)),
  depths: STAGES.map(([, , , depth]) => depth),
});
/** The modules before the first stage. */
const FIRST = 8;

export const mnasnet = family<Size>({
  name: 'mnasnet',
  title: 'MNASNet',
  source: 'Tan et al., 2018, https://arxiv.org/abs/1807.11626, figure 7',
  sizes: { mnasnet0_5: scaled(0.5), mnasnet0_75: scaled(0.75), mnasnet1_0: scaled(1), mnasnet1_3: scaled(1.3) },
  stem: 'layers.0',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    {
      ecosystem: 'timm',
      spell: spelling({
        'layers.0': 'conv_stem',
        'layers.1': 'bn1',
        'layers.3': 'blocks.0.0.conv_dw',
        'layers.4': 'blocks.0.0.bn1',
        'layers.6': 'blocks.0.0.conv_pw',
        'layers.7': 'blocks.0.0.bn2',
        [`layers.${FIRST + STAGES.length}`]: 'conv_head',
        [`layers.${FIRST + STAGES.length + 1}`]: 'bn2',
        ...Object.fromEntries(
          STAGES.flatMap((_, s) =>
            ['conv_pw', 'bn1', '', 'conv_dw', 'bn2', '', 'conv_pwl', 'bn3'].map((own, i) => [
              `layers.${FIRST + s}.{b}.layers.${i}`,
              `blocks.${s + 1}.{b}.${own}`,
            ]),
          ),
        ),
        classifier: 'classifier',
      }),
    },
  ],

  measure(names) {
    if (!names.has('layers.3') || !names.has(`layers.${FIRST}.0.layers.0`)) return null;
    const widths = [0, 6].map((i) => names.shape(`layers.${i}`)[0]!);
    const stages = STAGES.map((_, s) => `layers.${FIRST + s}`);
    // Other nets have blocks of the same names, and other activations.
    if (stages.some((at, s) => names.shape(`${at}.0.layers.3`)[2] !== STAGES[s]![0])) return null;
    return {
      widths: [...widths, ...stages.map((at) => names.shape(`${at}.0.layers.6`)[0]!)],
      depths: stages.map((at) => names.count(`${at}.{n}.layers.0`)),
    };
  },

  build(net, input, { widths, depths }) {
    const conv = (y: Value, at: string, i: number, act: 'relu' | 'none', options: object) => convNormAct(net, y, `${at}.${i}`, `${at}.${i + 1}`, act, options);
    let x = conv(input, 'layers', 0, 'relu', { out: widths[0], kernel: 3, stride: 2 });
    x = conv(x, 'layers', 3, 'relu', { kernel: 3, depthwise: true });
    x = conv(x, 'layers', 6, 'none', { out: widths[1], kernel: 1 });
    STAGES.forEach(([kernel, expansion, strideOfStage], s) => {
      for (let b = 0; b < depths[s]!; b++) {
        const at = `layers.${FIRST + s}.${b}.layers`;
        const channels = x.shape[1] as number;
        const stride = b === 0 ? strideOfStage : 1;
        const branch = (y: Value) => {
          const wide = conv(y, at, 0, 'relu', { out: channels * expansion, kernel: 1 });
          return conv(conv(wide, at, 3, 'relu', { kernel, stride, depthwise: true }), at, 6, 'none', { out: widths[s + 2], kernel: 1 });
        };
        x = b > 0 ? residual(net, x, branch) : branch(x);
      }
    });
    x = conv(x, 'layers', FIRST + STAGES.length, 'relu', { out: 1280, kernel: 1 });
    return pooledHead(net, x, 'classifier', { layers: [['1', 1000]] });
  },
});
