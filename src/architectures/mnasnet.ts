/**
 * MNASNet: Tan et al., "MnasNet: Platform-Aware Neural Architecture Search for Mobile", 2018, figure 7 (B1; A1 has squeeze and excitation);
 * and what is built of the same blocks: Single-Path NAS (Stamoulis et al., 2019).
 */
import { convNormAct, residual, roundWidth, squeezeExcite } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import type { Value } from './net.js';
import { spelling, withoutPrefix } from './spelling.js';

/** Of one block: kernel, expansion, channels, squeeze and excitation. */
type Block = readonly [kernel: number, expansion: number, out: number, squeeze?: boolean];

interface Size {
  /** Of the stem, of the separable convolution after it, of the last convolution. */
  readonly widths: readonly [stem: number, first: number, last: number];
  readonly stages: readonly (readonly Block[])[];
}

/** By which the first block of each stage strides. */
const STRIDES = [2, 2, 2, 1, 2, 1];
const SQUEEZE = 0.25;
/** Channels of all nets but the small one. */
const FIRST_WIDTHS = [32, 16, 1280] as const;
/** The modules before the first stage. */
const FIRST = 8;

const many = (count: number, ...block: Block): Block[] => new Array<Block>(count).fill(block);
const B1 = [many(3, 3, 3, 24), many(3, 5, 3, 40), many(3, 5, 6, 80), many(2, 3, 6, 96), many(4, 5, 6, 192), many(1, 3, 6, 320)];
const A1 = [many(2, 3, 6, 24), many(3, 5, 3, 40, true), many(4, 3, 6, 80), many(2, 3, 6, 112, true), many(3, 5, 6, 160, true), many(1, 3, 6, 320)];
const SMALL = [many(1, 3, 3, 16), many(2, 3, 6, 16), many(4, 5, 6, 32, true), many(3, 3, 6, 32, true), many(3, 5, 6, 88, true), many(1, 3, 6, 144)];
const SINGLE_PATH = [
  many(3, 3, 3, 24),
  [...many(1, 5, 6, 40), ...many(3, 3, 3, 40)],
  [...many(1, 5, 6, 80), ...many(3, 3, 3, 80)],
  [...many(1, 5, 6, 96), ...many(3, 5, 3, 96)],
  many(4, 5, 6, 192),
  many(1, 3, 6, 320),
];

const scaled = (factor: number): Size => ({
  widths: [roundWidth(32 * factor), roundWidth(16 * factor), 1280],
  stages: B1.map((stage) => stage.map(([kernel, expansion, out]) => [kernel, expansion, roundWidth(out * factor)])),
});

export const mnasnet = family<Size>({
  name: 'mnasnet',
  title: 'MNASNet',
  source: 'Tan et al., 2018, https://arxiv.org/abs/1807.11626, figure 7',
  sizes: {
    mnasnet0_5: scaled(0.5),
    mnasnet0_75: scaled(0.75),
    mnasnet1_0: scaled(1),
    mnasnet1_3: scaled(1.3),
    mnasnet_a1: { widths: FIRST_WIDTHS, stages: A1 },
    mnasnet_small: { widths: [8, 8, 1280], stages: SMALL },
    spnasnet: { widths: FIRST_WIDTHS, stages: SINGLE_PATH },
  },
  otherNames: /^semnasnet/i,
  stem: 'layers.0',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    // The features alone, or as the first of a Sequential.
    { ecosystem: 'torchvision', spell: withoutPrefix('layers.') },
    {
      ecosystem: 'timm',
      spell: spelling({
        'layers.0': 'conv_stem',
        'layers.1': 'bn1',
        'layers.3': 'blocks.0.0.conv_dw',
        'layers.4': 'blocks.0.0.bn1',
        'layers.6': 'blocks.0.0.conv_pw',
        'layers.7': 'blocks.0.0.bn2',
        [`layers.${FIRST + STRIDES.length}`]: 'conv_head',
        [`layers.${FIRST + STRIDES.length + 1}`]: 'bn2',
        ...Object.fromEntries(
          STRIDES.flatMap((_, s) => [
            ...['conv_pw', 'bn1', '', 'conv_dw', 'bn2', '', 'conv_pwl', 'bn3'].map((own, i) => [
              `layers.${FIRST + s}.{b}.layers.${i}`,
              `blocks.${s + 1}.{b}.${own}`,
            ]),
            [`layers.${FIRST + s}.{b}.se.fc1`, `blocks.${s + 1}.{b}.se.conv_reduce`],
            [`layers.${FIRST + s}.{b}.se.fc2`, `blocks.${s + 1}.{b}.se.conv_expand`],
          ]),
        ),
        classifier: 'classifier',
      }),
    },
  ],

  measure(names) {
    if (!names.has('layers.3') || !names.has(`layers.${FIRST}.0.layers.0`)) return null;
    const [stem, first, last] = [0, 6, FIRST + STRIDES.length].map((i) => names.shape(`layers.${i}`)[0] ?? 0) as [number, number, number];
    const stages = STRIDES.map((_, s) =>
      Array.from({ length: names.count(`layers.${FIRST + s}.{n}.layers.0`) }, (_, b): Block => {
        const at = `layers.${FIRST + s}.${b}`;
        const [wide = 0, into = 1] = names.shape(`${at}.layers.0`);
        const block = [names.shape(`${at}.layers.3`)[2] ?? 0, wide / into, names.shape(`${at}.layers.6`)[0] ?? 0] as const;
        return names.has(`${at}.se.fc1`) ? [...block, true] : block;
      }),
    );
    // Other nets have blocks of the same names, and other activations: EfficientNet, its Lite and MobileNet v2 expand all stages alike.
    return isOwn(stages) ? { widths: [stem, first, last], stages } : null;
  },

  build(net, input, { widths, stages }) {
    const conv = (y: Value, at: string, i: number, act: 'relu' | 'none', options: object) => convNormAct(net, y, `${at}.${i}`, `${at}.${i + 1}`, act, options);
    let x = conv(input, 'layers', 0, 'relu', { out: widths[0], kernel: 3, stride: 2 });
    const separable = (y: Value) => conv(conv(y, 'layers', 3, 'relu', { kernel: 3, depthwise: true }), 'layers', 6, 'none', { out: widths[1], kernel: 1 });
    x = widths[0] === widths[1] ? residual(net, x, separable) : separable(x);
    stages.forEach((blocks, s) => {
      blocks.forEach(([kernel, expansion, out, squeeze], b) => {
        const at = `layers.${FIRST + s}.${b}.layers`;
        const se = `layers.${FIRST + s}.${b}.se`;
        const channels = x.shape[1] as number;
        const stride = b === 0 ? STRIDES[s]! : 1;
        const branch = (y: Value) => {
          const wide = conv(y, at, 0, 'relu', { out: channels * expansion, kernel: 1 });
          const deep = conv(wide, at, 3, 'relu', { kernel, stride, depthwise: true });
          const reduced = { reduce: `${se}.fc1`, expand: `${se}.fc2`, width: Math.floor(channels * SQUEEZE), act: 'relu', gate: 'sigmoid' } as const;
          return conv(squeeze ? squeezeExcite(net, deep, reduced) : deep, at, 6, 'none', { out, kernel: 1 });
        };
        x = stride === 1 && channels === out ? residual(net, x, branch) : branch(x);
      });
    });
    x = conv(x, 'layers', FIRST + STRIDES.length, 'relu', { out: widths[2], kernel: 1 });
    return pooledHead(net, x, 'classifier', { layers: [['1', 1000]] });
  },
});

/** Whether blocks are of one of these nets, at any width and depth: kernel and expansion of each stage's ends, and where it weighs channels. */
function isOwn(stages: readonly (readonly Block[])[]): boolean {
  const key = (blocks: readonly Block[]) => [blocks[0], blocks.at(-1)].map((block) => block && [block[0], Math.round(block[1]), block[3] === true].join());
  return [B1, A1, SMALL, SINGLE_PATH].some((known) => known.every((blocks, s) => key(blocks).join() === key(stages[s]!).join()));
}
