/**
 * ResNet, ResNeXt, Wide ResNet; and what timm makes of them: ResNet-D, with channel attention, ResNeSt, Res2Net.
 *
 * He et al., "Deep Residual Learning for Image Recognition", 2015, table 1; Xie et al., 2016; Zagoruyko & Komodakis, 2016; He et al., "Bag
 * of Tricks", 2018, figure 2. Names are torchvision's and timm's, canonical names those of the authors' release for Caffe.
 */
import { ModelError } from '../errors.js';
import { convNormAct, mirrored, residual } from './blocks.js';
import { type ChannelAttention, channelAttention, splitAttention } from './channel-attention.js';
import { CAFFE, family, type Names, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import { type Activation, type ConvOptions, type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';

export interface ResNetSize {
  readonly block: 'basic' | 'bottleneck';
  /** Blocks of each stage. */
  readonly depths: readonly number[];
  /** Channels of the 3 x 3 convolutions in each stage. */
  readonly widths: readonly number[];
  /** Of the 3 x 3 convolutions. */
  readonly groups: number;
  /** A first convolution of 3 x 3, for small pictures; or three of them in place of the one of 7 x 7. */
  readonly stem?: 'small' | 'deep';
  /** How each block weighs its channels; 'split' (ResNeSt) in its 3 x 3 convolution. */
  readonly attention?: ChannelAttention | 'split';
  /** What goes around a block that strides is averaged first. */
  readonly averaged?: true;
  /** Parts of the channels that the 3 x 3 convolutions of a block take one after the other (Res2Net); `widths` is that of each. */
  readonly parts?: number;
}

const basic = (...depths: number[]): ResNetSize => ({ block: 'basic', depths, widths: [64, 128, 256, 512], groups: 1 });
const bottleneck = (depths: number[], width = 64, groups = 1): ResNetSize => ({
  block: 'bottleneck',
  depths,
  widths: [1, 2, 4, 8].map((factor) => factor * width * groups),
  groups,
});

/** Gao et al., "Res2Net", 2019, table 1: channels of each part, and how many parts. */
const res2net = (depths: number[], width: number, parts: number, groups = 1): ResNetSize => ({ ...bottleneck(depths, width, groups), parts });

/** Cadene's SE-ResNets pool without padding, and stride as the authors of ResNet do where they have no groups. */
const LEGACY_STEM = 'layer0.conv1';

/** Of detectron2, whose nets stride as the authors' do unless they have groups, and take pictures as these take them. */
const DETECTRON_STEM = 'stem.conv1';

const resnetD = (size: ResNetSize, attention?: ResNetSize['attention']): ResNetSize => ({
  ...size,
  stem: 'deep',
  ...(attention ? { attention } : {}),
  averaged: true,
});

/** timm's nets whose strides are smoothed, which have the weights of those that are not. */
const SMOOTHED = /^(?:eca|se)?resne(?:x)?t(blur|aa)\d+/;

export const resnet = family<ResNetSize>({
  name: 'resnet',
  title: 'ResNet',
  source: 'He et al., 2015, https://arxiv.org/abs/1512.03385, table 1',
  sizes: {
    resnet18: basic(2, 2, 2, 2),
    resnet34: basic(3, 4, 6, 3),
    resnet50: bottleneck([3, 4, 6, 3]),
    resnet101: bottleneck([3, 4, 23, 3]),
    resnet152: bottleneck([3, 8, 36, 3]),
    resnext50_32x4d: bottleneck([3, 4, 6, 3], 4, 32),
    resnext101_32x8d: bottleneck([3, 4, 23, 3], 8, 32),
    resnext101_64x4d: bottleneck([3, 4, 23, 3], 4, 64),
    wide_resnet50_2: bottleneck([3, 4, 6, 3], 128),
    wide_resnet101_2: bottleneck([3, 4, 23, 3], 128),
    resnet18d: resnetD(basic(2, 2, 2, 2)),
    resnet34d: resnetD(basic(3, 4, 6, 3)),
    resnet50d: resnetD(bottleneck([3, 4, 6, 3])),
    resnet101d: resnetD(bottleneck([3, 4, 23, 3])),
    resnet152d: resnetD(bottleneck([3, 8, 36, 3])),
    seresnet50: { ...bottleneck([3, 4, 6, 3]), attention: 'se' },
    seresnext50_32x4d: { ...bottleneck([3, 4, 6, 3], 4, 32), attention: 'se' },
    seresnext101_32x4d: { ...bottleneck([3, 4, 23, 3], 4, 32), attention: 'se' },
    ecaresnet50d: resnetD(bottleneck([3, 4, 6, 3]), 'eca'),
    ecaresnet101d: resnetD(bottleneck([3, 4, 23, 3]), 'eca'),
    resnest50d: resnetD(bottleneck([3, 4, 6, 3]), 'split'),
    res2net50_26w_4s: res2net([3, 4, 6, 3], 26, 4),
    res2net50_48w_2s: res2net([3, 4, 6, 3], 48, 2),
    res2net50_14w_8s: res2net([3, 4, 6, 3], 14, 8),
    res2net50_26w_6s: res2net([3, 4, 6, 3], 26, 6),
    res2net50_26w_8s: res2net([3, 4, 6, 3], 26, 8),
    res2net101_26w_4s: res2net([3, 4, 23, 3], 26, 4),
    res2next50: res2net([3, 4, 6, 3], 4, 4, 8),
    res2net50d: resnetD(res2net([3, 4, 6, 3], 26, 4)),
    res2net101d: resnetD(res2net([3, 4, 23, 3], 26, 4)),
  },
  otherNames: SMOOTHED,
  stem: 'conv1',
  side: ({ stem }) => (stem === 'small' ? 32 : 224),
  preprocessing: (ecosystem, _, stem = '') => (ecosystem === 'keras' || ecosystem === 'caffe' || stem.endsWith(DETECTRON_STEM) ? CAFFE : TORCHVISION),
  canonical: spelling({
    conv1: 'conv1',
    bn1: 'bn_conv1',
    'layer{s}.{b}.conv{i}': 'res{s+1}{b:a}_branch2{i:A}',
    'layer{s}.{b}.bn{i}': 'bn{s+1}{b:a}_branch2{i:A}',
    'layer{s}.{b}.downsample.0': 'res{s+1}{b:a}_branch1',
    'layer{s}.{b}.downsample.1': 'bn{s+1}{b:a}_branch1',
    fc: 'fc1000',
  }),
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    // timm's stems of three convolutions, and the authors' of ResNeSt.
    { ecosystem: 'timm', spell: spelling({ conv1: 'conv1.0', '{*}': '{*}' }) },
    // ResNet-C and -D of OpenMMLab.
    {
      ecosystem: 'timm',
      spell: spelling({ conv1: 'stem.0', 'conv1.{i}': 'stem.{i}', bn1: 'stem.7', 'layer{s}.{*}': 'layer{s}.{*}', fc: 'head.fc|fc' }),
    },
    {
      ecosystem: 'torchvision',
      spell: spelling({
        conv1: DETECTRON_STEM,
        bn1: `${DETECTRON_STEM}.norm`,
        'layer{s}.{b}.conv{i}': 'res{s+1}.{b}.conv{i}',
        'layer{s}.{b}.bn{i}': 'res{s+1}.{b}.conv{i}.norm',
        'layer{s}.{b}.downsample.0': 'res{s+1}.{b}.shortcut',
        'layer{s}.{b}.downsample.1': 'res{s+1}.{b}.shortcut.norm',
        fc: 'linear|fc',
      }),
    },
    // Cadene's SE-ResNets, which timm calls legacy.
    {
      ecosystem: 'timm',
      spell: spelling({
        conv1: LEGACY_STEM,
        bn1: 'layer0.bn1',
        'layer{s}.{b}.se': 'layer{s}.{b}.se_module',
        'layer{s}.{b}.se.{*}': 'layer{s}.{b}.se_module.{*}',
        fc: 'last_linear',
        '{*}': '{*}',
      }),
    },
    // Nets for small pictures of others: kuangliu's pytorch-cifar, weiaicunzai's pytorch-cifar100.
    { ecosystem: 'torchvision', spell: spelling({ 'layer{s}.{b}.downsample.{i}': 'layer{s}.{b}.shortcut.{i}', fc: 'linear|fc', '{*}': '{*}' }) },
    {
      ecosystem: 'torchvision',
      spell: spelling({
        conv1: 'conv1.0',
        bn1: 'conv1.1',
        ...Object.fromEntries(
          [1, 2, 3].flatMap((i) => [
            [`layer{s}.{b}.conv${i}`, `conv{s+1}_x.{b}.residual_function.${3 * i - 3}`],
            [`layer{s}.{b}.bn${i}`, `conv{s+1}_x.{b}.residual_function.${3 * i - 2}`],
          ]),
        ),
        'layer{s}.{b}.downsample.{i}': 'conv{s+1}_x.{b}.shortcut.{i}',
        fc: 'fc',
      }),
    },
    {
      ecosystem: 'transformers',
      spell: spelling({
        conv1: 'embedder.embedder.convolution',
        bn1: 'embedder.embedder.normalization',
        'layer{s}.{b}.conv{i}': 'encoder.stages.{s-1}.layers.{b}.layer.{i-1}.convolution',
        'layer{s}.{b}.bn{i}': 'encoder.stages.{s-1}.layers.{b}.layer.{i-1}.normalization',
        'layer{s}.{b}.downsample.0': 'encoder.stages.{s-1}.layers.{b}.shortcut.convolution',
        'layer{s}.{b}.downsample.1': 'encoder.stages.{s-1}.layers.{b}.shortcut.normalization',
      }),
    },
    // A Sequential of the children, as `nn.Sequential(*list(net.children())[:-1])` saves it.
    {
      ecosystem: 'torchvision',
      spell: spelling({ conv1: '0', bn1: '1', 'layer{s}.{*}': '{s+3}.{*}', fc: '9|10|11' }),
    },
    {
      ecosystem: 'keras',
      spell: spelling({
        conv1: 'conv1_conv',
        bn1: 'conv1_bn',
        'layer{s}.{b}.conv{i}': 'conv{s+1}_block{b+1}_{i}_conv',
        'layer{s}.{b}.bn{i}': 'conv{s+1}_block{b+1}_{i}_bn',
        'layer{s}.{b}.downsample.0': 'conv{s+1}_block{b+1}_0_conv',
        'layer{s}.{b}.downsample.1': 'conv{s+1}_block{b+1}_0_bn',
        fc: 'predictions|probs|fc1000',
      }),
    },
    // The authors number the second and later blocks of long stages.
    {
      ecosystem: 'caffe',
      spell: spelling({
        conv1: 'conv1',
        bn1: 'bn_conv1',
        'layer{s}.{b}.conv{i}': 'res{s+1}{b:a}_branch2{i:A}|res{s+1}b{b}_branch2{i:A}',
        'layer{s}.{b}.bn{i}': 'bn{s+1}{b:a}_branch2{i:A}|bn{s+1}b{b}_branch2{i:A}',
        'layer{s}.{b}.downsample.0': 'res{s+1}{b:a}_branch1',
        'layer{s}.{b}.downsample.1': 'bn{s+1}{b:a}_branch1',
        fc: 'fc1000|fc',
      }),
    },
    // Until 2018 Keras had the authors' names.
    {
      ecosystem: 'keras',
      spell: spelling({
        conv1: 'conv1',
        bn1: 'bn_conv1',
        'layer{s}.{b}.conv{i}': 'res{s+1}{b:a}_branch2{i:A}',
        'layer{s}.{b}.bn{i}': 'bn{s+1}{b:a}_branch2{i:A}',
        'layer{s}.{b}.downsample.0': 'res{s+1}{b:a}_branch1',
        'layer{s}.{b}.downsample.1': 'bn{s+1}{b:a}_branch1',
        fc: 'fc1000|predictions|fc',
      }),
    },
  ],

  measure: measureResNet,
  build: (net, input, size) => pooledHead(net, resnetFeatures(net, input, size), 'fc'),
});

const SMALL_STEM = 'the first convolution is one of 3 x 3, as in nets for small pictures, and {} pooling follows (none, or max)';
const STEM_STRIDE = 'the first convolution strides by {}';
const STEM_POOLING = 'behind the first convolution is {} pooling (max, or none)';
/** Of a picture's side, what is left of it at the end: 32, or 16 and 8 where the last stages dilate instead of striding. */
const OUTPUT_STRIDE = 'the net makes pictures {} times smaller (16 and 8: its last stages dilate, as replace_stride_with_dilation has them)';
const SHORTCUT =
  'what goes around blocks without weights of its own is every second place, with zeros for new channels {} those that are there (option A of the paper; around: half of them before, half behind; behind)';
/** timm's resnetblur50 and resnetaa50 have no other weights. */
export const ANTIALIAS =
  'what strides is followed by {} (none; as in resnetblur50 and resnetaa50 of timm, blur over mirrored edges, blur-zeros over zeros, average: it strides by 1, and that makes the picture smaller)';
/** timm's ablations of several groups (resnest50d_4s2x40d) do so first. */
const SPLIT_POOLING = 'averages make the picture smaller {} split convolutions (before, behind)';
const STRIDE = 'bottlenecks stride in convolution {} (1: as the authors and Keras do; 2: as torchvision does)';

export function measureResNet(names: Names): ResNetSize | null {
  if (!names.has('conv1') || !names.has('layer1.0.conv1')) return null;
  const parts = names.count('layer1.0.convs.{n}') + 1;
  if (parts === 1 && !names.has('layer1.0.conv2')) return null;
  // In transformers a RegNet has the same names, and another stem.
  if (names.ecosystem === 'transformers' && names.shape('conv1')[2] !== 7) return null;
  const block = names.has('layer1.0.conv3') ? 'bottleneck' : 'basic';
  const stages = Array.from({ length: names.count('layer{n}.0.conv1', 1) }, (_, s) => s + 1);
  const isSplit = names.has('layer1.0.conv2.fc1');
  const second = parts > 1 ? 'convs.0' : 'conv2';
  const widthOf = (s: number) => (isSplit ? names.shape(`layer${s}.0.conv3`)[1]! : names.shape(`layer${s}.0.${second}`)[0]!);
  const [, fanIn = 1] = names.shape(isSplit ? 'layer1.0.conv2.conv' : `layer1.0.${second}`);
  const inner = parts > 1 ? widthOf(1) : (names.shape('layer1.0.conv1')[0] ?? widthOf(1));
  const radix = isSplit ? names.shape('layer1.0.conv2.conv')[0]! / widthOf(1) : 1;
  const attention = isSplit ? 'split' : names.has('layer1.0.se.fc1') ? 'se' : names.has('layer1.0.se.conv') ? 'eca' : null;
  const stem = names.has('conv1.6') ? 'deep' : names.shape('conv1')[2] === 3 ? 'small' : null;
  return {
    block,
    depths: stages.map((s) => names.count(`layer${s}.{n}.conv1`)),
    widths: stages.map(widthOf),
    groups: inner / fanIn / radix,
    ...(parts > 1 ? { parts } : {}),
    ...(stem ? { stem } : {}),
    ...(attention ? { attention } : {}),
    ...(names.has('layer2.0.downsample.2') ? { averaged: true as const } : {}),
  };
}

/** @param options `at`: before all names; `onStage`: told what the stem gives before its pooling, and each stage; `dilate`: stages whose stride is replaced by dilation, as segmentation wants them */
export function resnetFeatures(
  net: Net,
  input: Value,
  { block, depths, widths, groups, stem, attention, averaged, parts }: ResNetSize,
  { at: root = '', dilate = [], onStage }: { at?: string; dilate?: readonly boolean[]; onStage?: (value: Value) => void } = {},
): Value {
  const keras = net.ecosystem === 'keras';
  // With the authors' names came Keras's own epsilon.
  const epsilon = !keras ? 1e-5 : net.store.sourceName('bn1') === 'bn_conv1' ? 1e-3 : 1.001e-5;
  // The authors stride in the first convolution of a bottleneck; torchvision in the 3 x 3 one, which is called version 1.5.
  const isLegacy = (net.store.sourceName('conv1') ?? '').endsWith(LEGACY_STEM);
  const isDetectron = (net.store.sourceName('conv1') ?? '').endsWith(DETECTRON_STEM);
  const early = keras || net.ecosystem === 'caffe' || ((isLegacy || isDetectron) && groups === 1);
  const strideIn = block === 'bottleneck' && !averaged && !parts ? net.setting('stride_in', early ? 1 : 2, STRIDE) : 2;
  // timm alone publishes others, under names that it shares with torchvision, and none of nets for small pictures, or within others.
  const isAlwaysPlain = keras || net.ecosystem === 'caffe' || isLegacy || isDetectron || stem === 'small' || root !== '';
  const antialias = parts ? 'none' : net.setting<string>('antialias', antialiasNamed(net.options.arch), ANTIALIAS, isAlwaysPlain);
  const poolsFirst = attention === 'split' && net.setting<string>('split_pooling', groups > 1 ? 'before' : 'behind', SPLIT_POOLING) === 'before';
  let x = input;
  if (stem === 'deep') {
    x = convNormAct(net, x, `${root}conv1.0`, `${root}conv1.1`, 'relu', { out: 32, kernel: 3, stride: 2 });
    x = convNormAct(net, x, `${root}conv1.3`, `${root}conv1.4`, 'relu', { out: 32, kernel: 3 });
    x = convNormAct(net, x, `${root}conv1.6`, `${root}bn1`, 'relu', { out: 64, kernel: 3 });
  } else {
    const stride = net.setting('stem_stride', stem === 'small' ? 1 : 2, STEM_STRIDE, stem !== 'small');
    const first = stem === 'small' ? { kernel: 3, stride } : { kernel: 7, stride, pad: 3 };
    x = convNormAct(net, x, `${root}conv1`, `${root}bn1`, 'relu', { out: 64, ...first, epsilon, bias: keras });
  }
  onStage?.(x);
  // timm's ResNet-RS strides where others pool.
  if (net.has(`${root}maxpool.0`, false)) x = convNormAct(net, x, `${root}maxpool.0`, `${root}maxpool.1`, 'relu', { kernel: 3, stride: 2 });
  else if (net.setting<string>('stem_pooling', stem === 'small' ? 'none' : 'max', stem === 'small' ? SMALL_STEM : STEM_POOLING, stem !== 'small') !== 'none') {
    if (antialias === 'none') x = net.maxPool(x, { kernel: 3, stride: 2, ...(isLegacy ? { ceil: true } : { pad: 1 }) });
    else x = smaller(net, antialias === 'average' ? x : net.maxPool(x, { kernel: 3, stride: 1, pad: 1 }), antialias);
  }
  const dilates = dilate.length > 0 ? dilate : dilatedFor(net, depths.length, stem === 'small' ? 1 : 4);
  let dilation = 1;
  depths.forEach((depth, s) => {
    // A dilated stage starts with the dilation of the one before it.
    const before = dilation;
    if (dilates[s]) dilation *= 2;
    const [inner, out] = [widths[s]!, block === 'basic' ? widths[s]! : 256 * 2 ** s];
    for (let b = 0; b < depth; b++) {
      const at = `${root}layer${s + 1}.${b}`;
      const stride = s > 0 && b === 0 && !dilates[s] ? 2 : 1;
      const spread = b === 0 ? before : dilation;
      const conv = (y: Value, i: number, act: Activation, options: ConvOptions) =>
        convNormAct(net, y, `${at}.conv${i}`, `${at}.bn${i}`, act, { ...options, epsilon, bias: keras });
      const isSmoothed = antialias !== 'none' && stride > 1;
      /** The step by which the picture becomes smaller. */
      const stepped = (y: Value, i: number, options: ConvOptions) =>
        isSmoothed ? smaller(net, conv(y, i, 'relu', { ...options, stride: 1 }), antialias) : conv(y, i, 'relu', { ...options, stride });
      const branch = (y: Value) => {
        // Cadene's basic blocks, which only timm has, activate before they weigh channels.
        if (block === 'basic') return conv(stepped(y, 1, { out, kernel: 3 }), 2, isLegacy ? 'relu' : 'none', { out, kernel: 3 });
        const reduced = conv(y, 1, 'relu', { out: inner * (parts ?? 1), stride: strideIn === 1 ? stride : 1, pad: 0 });
        if (parts)
          return conv(oneAfterTheOther(net, reduced, at, { parts, width: inner, groups, stride, isFirst: b === 0, dilation: spread }), 3, 'none', { out });
        if (attention === 'split') {
          const halved = (z: Value) => (stride > 1 ? net.averagePool(z, { kernel: 3, stride, pad: 1, countPadding: true }) : z);
          const split = (z: Value) => splitAttention(net, z, `${at}.conv2`, { width: inner, groups });
          return conv(poolsFirst ? split(halved(reduced)) : halved(split(reduced)), 3, 'none', { out });
        }
        const wide = { out: inner, kernel: 3, groups, dilation: spread };
        return conv(strideIn === 1 ? conv(reduced, 2, 'relu', wide) : stepped(reduced, 2, wide), 3, 'none', { out });
      };
      const weighed = attention && attention !== 'split' ? (y: Value) => channelAttention(net, branch(y), `${at}.se`, attention) : branch;
      const projects = b === 0 && (s > 0 || block === 'bottleneck');
      const [path, norm] = averaged ? [`${at}.downsample.1`, `${at}.downsample.2`] : [`${at}.downsample.0`, `${at}.downsample.1`];
      const project = net.has(path, projects);
      const around = (y: Value) =>
        project
          ? convNormAct(net, averaged && stride > 1 ? net.averagePool(y, { kernel: 2, stride, ceil: true }) : y, path, norm, 'none', {
              out,
              stride: averaged ? 1 : stride,
              pad: 0,
              epsilon,
              bias: keras,
            })
          : withoutWeights(net, y, stride, net.store.shape(`${at}.conv${block === 'basic' ? 2 : 3}`)?.[0]);
      x = net.activation(residual(net, x, weighed, around), 'relu');
    }
    onStage?.(x);
  });
  return x;
}

interface PartsOptions {
  readonly parts: number;
  readonly width: number;
  readonly groups: number;
  readonly stride: number;
  readonly dilation: number;
  /** In the first block of a stage nothing is handed on, and the last part is averaged. */
  readonly isFirst: boolean;
}

/** The 3 x 3 convolutions of Res2Net (figure 2): each takes a part of the channels, and what the one before it made; the last part is left as it is. */
function oneAfterTheOther(net: Net, x: Value, at: string, { parts, width, groups, stride, dilation, isFirst }: PartsOptions): Value {
  const part = (i: number) => net.slice(x, 1, i * width, (i + 1) * width);
  const made: Value[] = [];
  for (let i = 0; i < parts - 1; i++) {
    const taken = i === 0 || isFirst ? part(i) : net.add(made[i - 1]!, part(i));
    made.push(convNormAct(net, taken, `${at}.convs.${i}`, `${at}.bns.${i}`, 'relu', { out: width, kernel: 3, stride, groups, dilation }));
  }
  const last = part(parts - 1);
  return net.concat([...made, isFirst ? net.averagePool(last, { kernel: 3, stride, pad: 1, countPadding: true }) : last]);
}

/** timm says it by the net's name: resnetblur50, seresnextaa101d_32x8d. */
function antialiasNamed(arch = ''): string {
  const [, word] = SMOOTHED.exec(arch) ?? [];
  return word === 'blur' ? 'blur' : word === 'aa' ? 'average' : 'none';
}

/**
 * Stages that dilate instead of striding, where the user says how much smaller pictures become.
 *
 * @throws ModelError 'usage' for what no number of dilated stages makes
 */
function dilatedFor(net: Net, stages: number, stem: number): readonly boolean[] {
  const usual = stem * 2 ** (stages - 1);
  const taken = net.setting('output_stride', usual, OUTPUT_STRIDE, true);
  const dilated = Math.log2(usual / taken);
  if (Number.isInteger(dilated) && dilated >= 0 && dilated < stages) return Array.from({ length: stages }, (_, s) => s >= stages - dilated);
  throw new ModelError('usage', `--assume output_stride=${taken} is none that a net of ${stages} stages has (${usual}, ${usual / 2}, ...)`);
}

/** timm's blurpc. */
export const BLUR_ZEROS = 'blur-zeros';

/**
 * Half the picture, each place a mean: of squares of four, or of nine places weighed as a binomial over edges that are mirrored (Zhang,
 * "Making Convolutional Networks Shift-Invariant Again", 2019).
 *
 * @throws ModelError 'usage' for another word
 */
export function smaller(net: Net, x: Value, kind: string): Value {
  if (kind === 'average') return net.averagePool(x, { kernel: 2 });
  if (kind !== 'blur' && kind !== BLUR_ZEROS) throw new ModelError('usage', `--assume antialias=${kind} is none of none, blur, ${BLUR_ZEROS}, average`);
  const name = `${net.lastModule}.blur`;
  const wider = kind === 'blur' ? mirrored(net, x, 1) : net.op('Pad', [x], { pads: [0, 0, 1, 1, 0, 0, 1, 1] });
  // The mean of two neighbours, twice, weighs three as 1, 2, 1; as a convolution it would have a kernel that the net's own class does not.
  return net.averagePool(net.averagePool(wider, { kernel: 2, stride: 1 }), { kernel: 2, name });
}

/** The paper's shortcut A: every second place, and zeros for the channels that are new, as many before as behind unless the user says so. */
function withoutWeights(net: Net, x: Value, stride: number, out: number | undefined): Value {
  const more = (out ?? sizeOf(x, 1)) - sizeOf(x, 1);
  if (stride === 1 && more === 0) return x;
  const zeros = net.setting<string>('shortcut', 'around', SHORTCUT);
  const fewer = stride === 1 ? x : net.averagePool(x, { kernel: 1, stride });
  const before = zeros === 'behind' ? 0 : Math.floor(more / 2);
  return more === 0 ? fewer : net.op('Pad', [fewer], { pads: [0, before, 0, 0, 0, more - before, 0, 0] });
}
