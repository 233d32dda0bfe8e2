/** EfficientNet: Tan & Le, 2019, table 1; EfficientNet v2: Tan & Le, 2021, table 4; EfficientNet-Lite, without what small devices are slow at. */

import { derive } from '../model/derivations.js';
import { reshape, type Tensor } from '../model/tensor.js';
import { convBlock, isFromTensorFlow, residual, roundWidth, squeezeExcite } from './blocks.js';
import { FEATURES_ALONE, family, RAW, SYMMETRIC, sizeKey, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import { kerasPreprocessing, normalisedPixels } from './keras-input.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';
import type { Ecosystem } from './store.js';

/** Of one stage: 'mb' (depthwise, with squeeze and excitation), 'lite' (without it) or 'fused' (one 3 x 3 convolution), expansion, kernel, stride, channels, blocks. */
type Stage = readonly [kind: 'mb' | 'lite' | 'fused', expansion: number, kernel: number, stride: number, out: number, depth: number];

interface Size {
  readonly stem: number;
  readonly stages: readonly Stage[];
  readonly last: number;
}

const B0: readonly Stage[] = [
  ['mb', 1, 3, 1, 16, 1],
  ['mb', 6, 3, 2, 24, 2],
  ['mb', 6, 5, 2, 40, 2],
  ['mb', 6, 3, 2, 80, 3],
  ['mb', 6, 5, 1, 112, 3],
  ['mb', 6, 5, 2, 192, 4],
  ['mb', 6, 3, 1, 320, 1],
];

/** A published net made wider and deeper. */
function widened(stages: readonly Stage[], depth: number, round: (channels: number) => number): Pick<Size, 'stem' | 'stages'> {
  return { stem: round(32), stages: stages.map(([kind, t, k, s, out, n]): Stage => [kind, t, k, s, round(out), Math.ceil(n * depth)]) };
}

function scaled(width: number, depth: number): Size {
  const net = widened(B0, depth, (channels) => roundWidth(channels * width));
  return { ...net, last: 4 * net.stages.at(-1)![4] };
}

/** Of Lite, neither the first nor the last stage is deeper, neither stem nor head wider. */
function lite(width: number, depth: number): Size {
  const stages = B0.map(([, t, k, s, out, n], i): Stage => {
    const isEnd = i === 0 || i === B0.length - 1;
    return ['lite', t, k, s, roundWidth(out * width), isEnd ? n : Math.ceil(n * depth)];
  });
  return { stem: 32, stages, last: 1280 };
}

const v2 = (stem: number, ...stages: Stage[]): Size => ({ stem, stages, last: 1280 });

/** The scaled nets of EfficientNet v2, which only Keras has; their widths may be more than a tenth below what was wanted. */
function scaledV2(width: number, depth: number): Size {
  const round = (channels: number) => Math.floor((channels * width + 4) / 8) * 8;
  return { ...widened(V2_B0, depth, round), last: round(1280) };
}
const V2_B0: readonly Stage[] = [
  ['fused', 1, 3, 1, 16, 1],
  ['fused', 4, 3, 2, 32, 2],
  ['fused', 4, 3, 2, 48, 2],
  ['mb', 4, 3, 2, 96, 3],
  ['mb', 6, 3, 1, 112, 5],
  ['mb', 6, 3, 2, 192, 8],
];

const SIZES = {
  efficientnet_b0: scaled(1, 1),
  efficientnet_b1: scaled(1, 1.1),
  efficientnet_b2: scaled(1.1, 1.2),
  efficientnet_b3: scaled(1.2, 1.4),
  efficientnet_b4: scaled(1.4, 1.8),
  efficientnet_b5: scaled(1.6, 2.2),
  efficientnet_b6: scaled(1.8, 2.6),
  efficientnet_b7: scaled(2, 3.1),
  efficientnet_lite0: lite(1, 1),
  efficientnet_lite1: lite(1, 1.1),
  efficientnet_lite2: lite(1.1, 1.2),
  efficientnet_lite3: lite(1.2, 1.4),
  efficientnet_lite4: lite(1.4, 1.8),
  efficientnet_v2_s: v2(
    24,
    ['fused', 1, 3, 1, 24, 2],
    ['fused', 4, 3, 2, 48, 4],
    ['fused', 4, 3, 2, 64, 4],
    ['mb', 4, 3, 2, 128, 6],
    ['mb', 6, 3, 1, 160, 9],
    ['mb', 6, 3, 2, 256, 15],
  ),
  efficientnet_v2_m: v2(
    24,
    ['fused', 1, 3, 1, 24, 3],
    ['fused', 4, 3, 2, 48, 5],
    ['fused', 4, 3, 2, 80, 5],
    ['mb', 4, 3, 2, 160, 7],
    ['mb', 6, 3, 1, 176, 14],
    ['mb', 6, 3, 2, 304, 18],
    ['mb', 6, 3, 1, 512, 5],
  ),
  efficientnet_v2_l: v2(
    32,
    ['fused', 1, 3, 1, 32, 4],
    ['fused', 4, 3, 2, 64, 7],
    ['fused', 4, 3, 2, 96, 7],
    ['mb', 4, 3, 2, 192, 10],
    ['mb', 6, 3, 1, 224, 19],
    ['mb', 6, 3, 2, 384, 25],
    ['mb', 6, 3, 1, 640, 7],
  ),
  efficientnet_v2_b0: scaledV2(1, 1),
  efficientnet_v2_b1: scaledV2(1, 1.1),
  efficientnet_v2_b2: scaledV2(1.1, 1.2),
  efficientnet_v2_b3: scaledV2(1.2, 1.4),
};

/** Sides of the pictures that the published nets were made for, where they are not 224. */
const SIDES: Readonly<Record<string, number>> = {
  efficientnet_b1: 240,
  efficientnet_b2: 288,
  efficientnet_b3: 300,
  efficientnet_b4: 380,
  efficientnet_b5: 456,
  efficientnet_b6: 528,
  efficientnet_b7: 600,
  efficientnet_lite1: 240,
  efficientnet_lite2: 260,
  efficientnet_lite3: 300,
  efficientnet_lite4: 380,
  efficientnet_v2_s: 384,
  efficientnet_v2_m: 480,
  efficientnet_v2_l: 480,
  efficientnet_v2_b1: 240,
  efficientnet_v2_b2: 260,
  efficientnet_v2_b3: 300,
};
/** torchvision trained its own. */
const KERAS_SIDES: Readonly<Record<string, number>> = { ...SIDES, efficientnet_b2: 260 };

function publishedName(size: Size): string {
  return Object.entries(SIZES).find(([, known]) => sizeKey(known) === sizeKey(size))?.[0] ?? '';
}

/** keras.applications: the stages count from 1 in both, blocks have letters. */
const kerasNames = (own: Readonly<Record<string, string>>) =>
  spelling({
    'features.0.0': 'stem_conv',
    'features.0.1': 'stem_bn',
    ...own,
    'features.{s}.{b}.block.0.0': 'block{s}{b:a}_expand_conv',
    'features.{s}.{b}.block.0.1': 'block{s}{b:a}_expand_bn',
    'features.{s}.{b}.block.2.fc1': 'block{s}{b:a}_se_reduce',
    'features.{s}.{b}.block.2.fc2': 'block{s}{b:a}_se_expand',
    'features.{s}.{b}.block.3.0': 'block{s}{b:a}_project_conv',
    'features.{s}.{b}.block.3.1': 'block{s}{b:a}_project_bn',
    'features.{s}.0': 'top_conv',
    'features.{s}.1': 'top_bn',
    classifier: 'predictions',
    'classifier.{i}': 'predictions',
    normalization: 'normalization',
  });

/** The first stage expands nothing. */
const kerasV1 = kerasNames({
  'features.1.{b}.block.0.0': 'block1{b:a}_dwconv',
  'features.1.{b}.block.0.1': 'block1{b:a}_bn',
  'features.1.{b}.block.1.fc1': 'block1{b:a}_se_reduce',
  'features.1.{b}.block.1.fc2': 'block1{b:a}_se_expand',
  'features.1.{b}.block.2.0': 'block1{b:a}_project_conv',
  'features.1.{b}.block.2.1': 'block1{b:a}_project_bn',
  'features.{s}.{b}.block.1.0': 'block{s}{b:a}_dwconv',
  'features.{s}.{b}.block.1.1': 'block{s}{b:a}_bn',
});

/** The first stage has one convolution in each block; the second of other fused blocks stands where a depthwise one does. */
const kerasV2Names = kerasNames({
  'features.1.{b}.block.0.0': 'block1{b:a}_project_conv',
  'features.1.{b}.block.0.1': 'block1{b:a}_project_bn',
  'features.{s}.{b}.block.1.0': 'block{s}{b:a}_dwconv2|block{s}{b:a}_project_conv',
  'features.{s}.{b}.block.1.1': 'block{s}{b:a}_bn|block{s}{b:a}_project_bn',
});
const kerasV2 = (path: string) => (/^features\.1\.\d+\.block\.[1-9]/.test(path) ? null : kerasV2Names(path));

/** A block's second module has other names in fused blocks, which have only two. */
const timmNames = spelling({
  'features.0.0': 'conv_stem',
  'features.0.1': 'bn1',
  'features.1.{b}.block.0.0': 'blocks.0.{b}.conv_dw|blocks.0.{b}.conv',
  'features.1.{b}.block.1.fc1': 'blocks.0.{b}.se.conv_reduce',
  'features.1.{b}.block.1.fc2': 'blocks.0.{b}.se.conv_expand',
  'features.1.{b}.block.2.0': 'blocks.0.{b}.conv_pw',
  'features.1.{b}.block.2.1': 'blocks.0.{b}.bn2',
  'features.{s}.{b}.block.0.0': 'blocks.{s-1}.{b}.conv_pw|blocks.{s-1}.{b}.conv_exp',
  'features.{s}.{b}.block.0.1': 'blocks.{s-1}.{b}.bn1',
  'features.{s}.{b}.block.1.0': 'blocks.{s-1}.{b}.conv_dw|blocks.{s-1}.{b}.conv_pwl',
  'features.{s}.{b}.block.1.1': 'blocks.{s-1}.{b}.bn2',
  'features.{s}.{b}.block.2.fc1': 'blocks.{s-1}.{b}.se.conv_reduce',
  'features.{s}.{b}.block.2.fc2': 'blocks.{s-1}.{b}.se.conv_expand',
  'features.{s}.{b}.block.3.0': 'blocks.{s-1}.{b}.conv_pwl',
  'features.{s}.{b}.block.3.1': 'blocks.{s-1}.{b}.bn3',
  'features.{s}.0': 'conv_head',
  'features.{s}.1': 'bn2',
  classifier: 'classifier',
});

/** Ports to PyTorch count blocks through; how many each stage has tells which is which. */
const PORTED = [...new Set(Object.values(SIZES).flatMap(({ stages }) => (stages[0]![0] !== 'mb' ? [] : [stages.map(([, , , , , n]) => n).join()])))].map(
  (depths) => depths.split(',').map(Number),
);
interface Port {
  readonly blocks: string;
  /** By their places in a block that expands. */
  readonly modules: Readonly<Record<string, string>>;
  readonly stem: readonly [conv: string, norm: string];
  readonly last: readonly [conv: string, norm: string];
  readonly classifier: string;
}
const PORTS: readonly Port[] = [
  // lukemelas's EfficientNet-PyTorch.
  {
    blocks: '_blocks.',
    modules: {
      '0.0': '_expand_conv',
      '0.1': '_bn0',
      '1.0': '_depthwise_conv',
      '1.1': '_bn1',
      '2.fc1': '_se_reduce',
      '2.fc2': '_se_expand',
      '3.0': '_project_conv',
      '3.1': '_bn2',
    },
    stem: ['_conv_stem', '_bn0'],
    last: ['_conv_head', '_bn1'],
    classifier: '_fc',
  },
  // transformers.
  {
    blocks: 'encoder.blocks.',
    modules: {
      '0.0': 'expansion.expand_conv',
      '0.1': 'expansion.expand_bn',
      '1.0': 'depthwise_conv.depthwise_conv',
      '1.1': 'depthwise_conv.depthwise_norm',
      '2.fc1': 'squeeze_excite.reduce',
      '2.fc2': 'squeeze_excite.expand',
      '3.0': 'projection.project_conv',
      '3.1': 'projection.project_bn',
    },
    stem: ['embeddings.convolution', 'embeddings.batchnorm'],
    last: ['encoder.top_conv', 'encoder.top_bn'],
    classifier: 'classifier',
  },
];
function portedNames(depths: readonly number[], { blocks, modules, stem, last, classifier }: Port): (path: string) => string | null {
  const end = `features.${depths.length + 1}`;
  const ends = new Map([
    ['features.0.0', stem[0]],
    ['features.0.1', stem[1]],
    [`${end}.0`, last[0]],
    [`${end}.1`, last[1]],
    ['classifier', classifier],
  ]);
  return (path) => {
    const [, stage, block, place, name] = /^features\.(\d+)\.(\d+)\.block\.(\d)\.(\w+)$/.exec(path) ?? [];
    if (stage === undefined) return ends.get(path) ?? null;
    if (Number(block) >= (depths[Number(stage) - 1] ?? 0)) return null;
    // The first stage's blocks have nothing to expand.
    const module = modules[`${Number(place) + (stage === '1' ? 1 : 0)}.${name}`];
    const before = depths.slice(0, Number(stage) - 1).reduce((sum, n) => sum + n, 0);
    return module === undefined ? null : `${blocks}${before + Number(block)}.${module}`;
  };
}

export const efficientnet = family<Size>({
  name: 'efficientnet',
  title: 'EfficientNet',
  source: 'Tan & Le, 2019, https://arxiv.org/abs/1905.11946, table 1; 2021, https://arxiv.org/abs/2104.00298, table 4',
  sizes: SIZES,
  stem: 'features.0.0',
  side: (size, ecosystem) => (ecosystem === 'keras' ? KERAS_SIDES : SIDES)[publishedName(size)] ?? 224,
  preprocessing: (ecosystem, size) => (ecosystem === 'keras' ? RAW : isSymmetric(ecosystem, publishedName(size)) ? SYMMETRIC : TORCHVISION),
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    FEATURES_ALONE,
    { ecosystem: 'timm', spell: timmNames },
    ...PORTS.flatMap((port) => PORTED.map((depths) => ({ ecosystem: 'tensorflow-port' as const, spell: portedNames(depths, port) }))),
    { ecosystem: 'keras', spell: kerasV1 },
    { ecosystem: 'keras', spell: kerasV2 },
  ],

  measure(names) {
    const [stem] = names.shape('features.0.0');
    const count = names.count('features.{n}.0.block.0.0', 1);
    if (!stem || count < 2) return null;
    const stages = Array.from({ length: count }, (_, i): Stage => {
      const blocks = `features.${i + 1}`;
      const at = `${blocks}.0.block`;
      const depth = names.count(`${blocks}.{n}.block.0.0`);
      const [wide = 0, fanIn = 1, kernel = 1] = names.shape(`${at}.0.0`);
      const squeeze = [1, 2].find((place) => names.has(`${at}.${place}.fc1`));
      const strides = B0.map(([, , , stride]) => stride);
      if (squeeze === undefined && (i === 0 ? names.has(`${at}.2.0`) : kernel === 1)) {
        const place = i === 0 ? 0 : 1;
        const [, , deepKernel = 1] = names.shape(`${at}.${place}.0`);
        return ['lite', i === 0 ? 1 : wide / fanIn, deepKernel, strides[i] ?? 1, names.shape(`${at}.${place + 2}.0`)[0]!, depth];
      }
      if (squeeze === undefined) {
        const [out = wide] = names.shape(`${at}.1.0`);
        return ['fused', names.has(`${at}.1.0`) ? wide / fanIn : 1, kernel, i === 0 ? 1 : 2, out, depth];
      }
      const [, , deepKernel = 1] = names.shape(`${at}.${squeeze - 1}.0`);
      const [out = 0] = names.shape(`${at}.${squeeze + 1}.0`);
      return ['mb', squeeze === 1 ? 1 : wide / fanIn, deepKernel, strides[i] ?? 1, out, depth];
    });
    return isOwn(stages) ? { stem, stages, last: names.shape(`features.${count + 1}.0`)[0] ?? 0 } : null;
  },

  build(net, input, size) {
    // torchvision trained the larger nets with the epsilon of TensorFlow, from which their weights came.
    const isKeras = net.ecosystem === 'keras';
    const isV2 = size.stages[0]![0] === 'fused';
    // The nets of version 2 that timm has in the published sizes came from TensorFlow.
    const fromTensorFlow = isFromTensorFlow(net, isV2 && publishedName(size) !== '');
    const larger = net.ecosystem === 'torchvision' && (isV2 || /b[567]$/.test(publishedName(size)));
    const epsilon = fromTensorFlow || larger ? 1e-3 : 1e-5;
    const act = size.stages[0]![0] === 'lite' ? 'relu6' : 'silu';
    const picture = !isKeras ? input : isV2 ? kerasV2Input(net, input, size) : kerasInput(net, input);
    let x = convBlock(net, picture, 'features.0', act, { out: size.stem, kernel: 3, stride: 2, epsilon });
    size.stages.forEach(([kind, expansion, kernel, strideOfStage, out, depth], i) => {
      for (let b = 0; b < depth; b++) {
        const at = `features.${i + 1}.${b}.block`;
        const channels = x.shape[1] as number;
        const stride = b === 0 ? strideOfStage : 1;
        const width = roundWidth(channels * expansion);
        const branch = (y: Value) => {
          if (kind === 'fused') {
            if (expansion === 1) return convBlock(net, y, `${at}.0`, act, { out, kernel, stride, epsilon });
            return convBlock(net, convBlock(net, y, `${at}.0`, act, { out: width, kernel, stride, epsilon }), `${at}.1`, 'none', {
              out,
              kernel: 1,
              epsilon,
            });
          }
          const place = expansion === 1 ? 0 : 1;
          let z = expansion === 1 ? y : convBlock(net, y, `${at}.0`, act, { out: width, kernel: 1, epsilon });
          z = convBlock(net, z, `${at}.${place}`, act, { kernel, stride, depthwise: true, epsilon });
          const squeeze = `${at}.${place + 1}`;
          const squeezed = Math.max(1, Math.floor(channels / 4));
          if (kind === 'mb') z = squeezeExcite(net, z, { reduce: `${squeeze}.fc1`, expand: `${squeeze}.fc2`, width: squeezed, act, gate: 'sigmoid' });
          return convBlock(net, z, `${at}.${place + 2}`, 'none', { out, kernel: 1, epsilon });
        };
        x = stride === 1 && channels === out ? residual(net, x, branch) : branch(x);
      }
    });
    x = convBlock(net, x, `features.${size.stages.length + 1}`, act, { out: size.last, kernel: 1, epsilon });
    return pooledHead(net, x, 'classifier', { layers: [['1', 1000]] });
  },
});

/** Of version 2 timm's nets see -1 to 1 as TensorFlow's do, but for the three smallest; of torchvision's the largest does. */
function isSymmetric(ecosystem: Ecosystem, published: string): boolean {
  return published === 'efficientnet_v2_l' || (ecosystem === 'timm' && /^efficientnet_v2_(s|m|b3)$/.test(published));
}

/**
 * timm has blocks of the same names in other nets, whose activations are others: MNASNet weighs the channels of some stages only, and
 * expands them otherwise than Lite.
 */
function isOwn(stages: readonly Stage[]): boolean {
  // Of nets of other depths nothing tells which stages stride.
  if (stages.length < B0.length - 1 || stages.length > B0.length) return false;
  if (stages.every(([kind], i) => kind === 'mb' || (kind === 'fused' && i < 3))) return true;
  return stages.length === B0.length && stages.every(([kind, t, k], i) => kind === 'lite' && t === B0[i]![1] && k === B0[i]![2]);
}

/**
 * Keras's EfficientNet takes pixels of 0 to 255: scaled, and normalised by statistics among the weights. In Keras's own weights the
 * variances are ImageNet's deviations; there the net divides by their roots once more, so that in all it divides by the deviations.
 */
function kerasInput(net: Net, input: Value): Value {
  const x = net.constantOp('Mul', input, 1 / 255, 'rescaling');
  const statistics = net.store.takeStatistics?.('normalization');
  if (!statistics) throw new Departure('normalization', 'is missing');
  const channels = sizeOf(input, 1);
  const each = (tensor: Tensor) => reshape(tensor, [channels, 1, 1]);
  const again = net.setting<string>(
    'second_rescaling',
    'auto',
    "the input is divided by the square roots of ImageNet's deviations once more, as with Keras's own weights: {} (auto: where the variances are those deviations)",
  );
  // What divides would be a layer that neither Caffe nor Keras has, but for Keras's own.
  const twice = again === 'auto' ? -1 : again === 'true' ? 1 : 0;
  const scale = derive(statistics.variance.name, 'one-over-deviations', [statistics.variance], { twice });
  return net.constantOp('Mul', net.constantOp('Sub', x, each(statistics.mean), 'normalization.mean'), scale, 'normalization');
}

/** EfficientNet v2's scaled nets normalise as the first version does, the others go to -1 and (almost) 1; no weight tells of either. */
function kerasV2Input(net: Net, input: Value, { stem, stages }: Size): Value {
  const isScaled = stages[0]![4] < stem;
  return kerasPreprocessing(net, input, (x) =>
    isScaled && x.shape[1] === 3 ? normalisedPixels(net, x) : net.constantOp('Sub', net.constantOp('Mul', x, 1 / 128, 'rescaling'), 1, 'rescaling.offset'),
  );
}
