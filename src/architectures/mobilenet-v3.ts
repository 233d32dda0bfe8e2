/** MobileNet v3: Howard et al., "Searching for MobileNetV3", 2019, tables 1 and 2. */
import { convBlock, isFromTensorFlow, residual, roundWidth, squeezeExcite } from './blocks.js';
import { FEATURES_ALONE, family, type Names, RAW, TORCHVISION } from './family.js';
import { CLASSES, head, pooledHead } from './head.js';
import { kerasPreprocessing } from './keras-input.js';
import type { Activation, Net, Value } from './net.js';
import { inPlaceOf } from './spelling.js';
import type { Spell } from './store.js';

/** Of one block: kernel, expanded channels, channels, squeeze and excitation, hard swish (else ReLU), stride. */
type Block = readonly [kernel: number, expanded: number, out: number, squeeze: boolean, swish: boolean, stride: number];

export interface MobileNetV3Size {
  readonly stem: number;
  readonly blocks: readonly Block[];
  /** Of the dense layer before the classes. */
  readonly last: number;
}

const LARGE: readonly Block[] = [
  [3, 16, 16, false, false, 1],
  [3, 64, 24, false, false, 2],
  [3, 72, 24, false, false, 1],
  [5, 72, 40, true, false, 2],
  [5, 120, 40, true, false, 1],
  [5, 120, 40, true, false, 1],
  [3, 240, 80, false, true, 2],
  [3, 200, 80, false, true, 1],
  [3, 184, 80, false, true, 1],
  [3, 184, 80, false, true, 1],
  [3, 480, 112, true, true, 1],
  [3, 672, 112, true, true, 1],
  [5, 672, 160, true, true, 2],
  [5, 960, 160, true, true, 1],
  [5, 960, 160, true, true, 1],
];
const SMALL: readonly Block[] = [
  [3, 16, 16, true, false, 2],
  [3, 72, 24, false, false, 2],
  [3, 88, 24, false, false, 1],
  [5, 96, 40, true, true, 2],
  [5, 240, 40, true, true, 1],
  [5, 240, 40, true, true, 1],
  [5, 120, 48, true, true, 1],
  [5, 144, 48, true, true, 1],
  [5, 288, 96, true, true, 2],
  [5, 576, 96, true, true, 1],
  [5, 576, 96, true, true, 1],
];

/** For hardware that has little: no squeeze and excitation, no hard swish, no windows of 5. */
const minimal = (blocks: readonly Block[]) => blocks.map(([, expanded, out, , , stride]): Block => [3, expanded, out, false, false, stride]);

/** Where in a block its modules stand: one more each for what comes before them. */
function places(expands: boolean, squeeze: boolean): { deep: number; squeeze: number; project: number } {
  const deep = expands ? 1 : 0;
  return { deep, squeeze: deep + 1, project: deep + (squeeze ? 2 : 1) };
}

export const mobilenetV3 = family<MobileNetV3Size>({
  name: 'mobilenet_v3',
  title: 'MobileNet v3',
  source: 'Howard et al., 2019, https://arxiv.org/abs/1905.02244, tables 1 and 2',
  sizes: {
    mobilenet_v3_large: { stem: 16, blocks: LARGE, last: 1280 },
    mobilenet_v3_small: { stem: 16, blocks: SMALL, last: 1024 },
    mobilenet_v3_large_minimalistic: { stem: 16, blocks: minimal(LARGE), last: 1280 },
    mobilenet_v3_small_minimalistic: { stem: 16, blocks: minimal(SMALL), last: 1024 },
  },
  stem: 'features.0.0',
  side: 224,
  preprocessing: (ecosystem) => (ecosystem === 'keras' ? RAW : TORCHVISION),
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    FEATURES_ALONE,
    ...[LARGE, SMALL, minimal(LARGE), minimal(SMALL)].map((blocks) => ({ ecosystem: 'timm' as const, spell: timmNames(blocks) })),
    ...[LARGE, SMALL, minimal(LARGE), minimal(SMALL)].map((blocks) => ({ ecosystem: 'keras' as const, spell: kerasNames(blocks) })),
  ],

  measure: measureMobileNetV3,

  build(net, input, size) {
    if (net.ecosystem === 'keras') return kerasNet(net, input, size);
    const x = mobilenetV3Features(net, input, size);
    if (net.ecosystem === 'timm' && net.has('classifier.0', false)) return timmHead(net, x, mainActivation(size.blocks));
    return pooledHead(net, x, 'classifier', {
      act: 'hard-swish',
      layers: [
        ['0', net.store.has('classifier') === undefined ? size.last : size.blocks.length === LARGE.length ? 1280 : 1024],
        ['3', CLASSES],
      ],
    });
  },
});

/** keras.applications: what a module is called depends on what its block has. Keras 3 joins words by `_`, tf.keras did by `/`. */
function kerasNames(blocks: readonly Block[]): Spell {
  const both = (name: string) => `${name.replaceAll('/', '_').replace('_BatchNorm', '_bn').replace(/Conv/g, 'conv')}|${name}`;
  const names = new Map<string, string>();
  const add = (path: string, name: string) => {
    names.set(`${path}.0`, both(name));
    names.set(`${path}.1`, both(`${name}/BatchNorm`));
  };
  add('features.0', 'Conv');
  add(`features.${blocks.length + 1}`, 'Conv_1');
  names.set('classifier.0', 'conv_2|Conv_2');
  names.set('classifier.3', 'logits|Logits');
  blocks.forEach(([, , , squeeze], i) => {
    const at = `features.${i + 1}.block`;
    const own = i === 0 ? 'expanded_conv' : `expanded_conv_${i}`;
    const place = places(i > 0, squeeze);
    if (i > 0) add(`${at}.0`, `${own}/expand`);
    add(`${at}.${place.deep}`, `${own}/depthwise`);
    names.set(`${at}.${place.squeeze}.fc1`, both(`${own}/squeeze_excite/Conv`));
    names.set(`${at}.${place.squeeze}.fc2`, both(`${own}/squeeze_excite/Conv_1`));
    add(`${at}.${place.project}`, `${own}/project`);
  });
  return (path) => names.get(path) ?? null;
}

/** timm has blocks by stage: one begins where the picture or the channels change. */
function timmNames(blocks: readonly Block[]): Spell {
  const names = new Map<string, string>([
    ['features.0.0', 'conv_stem'],
    ['features.0.1', 'bn1'],
    ['classifier.0', 'conv_head'],
    ['classifier.3', 'classifier'],
  ]);
  let [s, b] = [-1, 0];
  blocks.forEach(([, , out, squeeze, , stride], i) => {
    const isSame = i > 0 && stride === 1 && blocks[i - 1]![2] === out;
    [s, b] = isSame ? [s, b + 1] : [s + 1, 0];
    const at = `features.${i + 1}.block`;
    const own = `blocks.${s}.${b}`;
    const place = places(i > 0, squeeze);
    const pair = (k: number, conv: string, norm: string) => {
      names.set(`${at}.${k}.0`, `${own}.${conv}`);
      names.set(`${at}.${k}.1`, `${own}.${norm}`);
    };
    if (i > 0) pair(0, 'conv_pw', 'bn1');
    pair(place.deep, 'conv_dw', i > 0 ? 'bn2' : 'bn1');
    if (squeeze) {
      names.set(`${at}.${place.squeeze}.fc1`, `${own}.se.conv_reduce`);
      names.set(`${at}.${place.squeeze}.fc2`, `${own}.se.conv_expand`);
    }
    pair(place.project, i > 0 ? 'conv_pwl' : 'conv_pw', i > 0 ? 'bn3' : 'bn2');
  });
  names.set(`features.${blocks.length + 1}.0`, `blocks.${s + 1}.0.conv`);
  names.set(`features.${blocks.length + 1}.1`, `blocks.${s + 1}.0.bn1`);
  return (path) => names.get(path) ?? inPlaceOf((layer) => names.get(layer), path);
}

/** timm widens behind the mean by a convolution. */
function timmHead(net: Net, x: Value, act: Activation): Value {
  const pooled = net.op('GlobalAveragePool', [x]);
  const wide = net.activation(net.conv(pooled, 'classifier.0', { pad: 0, bias: true }), act);
  return head(net, net.flatten(wide), 'classifier.3');
}

/** Keras's net ends in convolutions of one place. */
function kerasNet(net: Net, input: Value, size: MobileNetV3Size): Value {
  const rescaled = kerasPreprocessing(net, input, (x) => net.constantOp('Sub', net.constantOp('Mul', x, 1 / 127.5, 'rescaling'), 1, 'rescaling.offset'));
  const x = mobilenetV3Features(net, rescaled, size);
  const act = mainActivation(size.blocks);
  // Headless nets of tf.keras had the convolution before the classes, those of Keras 3 end with the features.
  if (!net.has('classifier.0', true)) return x;
  const order = net.setting<string>('pooling', 'before', 'the mean over the picture is taken {} the last but one convolution (after: in tf.keras up to 2.5)');
  const pool = (y: Value) => net.op('GlobalAveragePool', [y]);
  const widen = (y: Value) => net.activation(net.conv(y, 'classifier.0', { out: size.last, pad: 0, bias: true }), act);
  const isHeadless = !net.has('classifier.3', true);
  if (order === 'after') {
    const wide = widen(x);
    return isHeadless ? wide : classes(net, pool(wide));
  }
  const wide = widen(pool(x));
  return isHeadless ? wide : classes(net, wide);
}

function classes(net: Net, x: Value): Value {
  net.endsInClasses = true;
  return net.flatten(net.conv(x, 'classifier.3', { out: CLASSES, pad: 0, bias: true }));
}

function mainActivation(blocks: readonly Block[]): Activation {
  return blocks.some(([, , , , swish]) => swish) ? 'hard-swish' : 'relu';
}

export function measureMobileNetV3(names: Names): MobileNetV3Size | null {
  const [stem] = names.shape('features.0.0');
  const count = names.count('features.{n}.block.0.0', 1);
  const known = [LARGE, SMALL].find(({ length }) => length === count);
  if (!stem || !known || names.has('features.1.0')) return null;
  const blocks = known.map(([, , , , swish, stride], i): Block => {
    const at = `features.${i + 1}.block`;
    const squeeze = [1, 2].some((place) => names.has(`${at}.${place}.fc1`));
    const expands = names.has(`${at}.${squeeze ? 3 : 2}.0`);
    const { deep, project } = places(expands, squeeze);
    // [channels, 1, ...], or [1, channels, ...] as Keras has it.
    const [first = 0, second = 0, kernel = 0] = names.shape(`${at}.${deep}.0`);
    const expanded = Math.max(first, second);
    const [out = 0] = names.shape(`${at}.${project}.0`);
    return [kernel, expanded, out, squeeze, swish, stride];
  });
  const isMinimal = !blocks.some(([, , , squeeze]) => squeeze);
  return { stem, blocks: isMinimal ? minimal(blocks) : blocks, last: names.shape('classifier.0')[0] ?? (known === LARGE ? 1280 : 1024) };
}

export interface FeatureOptions {
  /** Before the number of a block. */
  readonly at?: string;
  /** The last stride is replaced by dilation, as segmentation wants it. */
  readonly dilate?: boolean;
  /** Sees the features of an eighth of the picture's side. */
  readonly onLow?: (value: Value) => void;
  /** Sees what the last block that strides makes wide, before its stride. */
  readonly onWide?: (value: Value) => void;
  /** Sees what that block gives. */
  readonly onLast?: (value: Value) => void;
  /** Of batch normalisation, where it is not the family's. */
  readonly epsilon?: number;
}

export function mobilenetV3Features(
  net: Net,
  input: Value,
  { stem, blocks }: MobileNetV3Size,
  { at = 'features', dilate = false, onLow, onWide, onLast, epsilon: own }: FeatureOptions = {},
): Value {
  // torchvision has TensorFlow's epsilon, and not its padding; so has timm's mobilenetv3_rw, whose last but one convolution has no bias, around
  // whose first block nothing goes, and which squeezes through each block's own activation.
  const isOldest = net.ecosystem === 'timm' && net.has('classifier.0', false) && net.store.shape('classifier.0', 'bias') === undefined;
  const epsilon = own ?? (net.ecosystem !== 'timm' || isFromTensorFlow(net) || isOldest ? 1e-3 : 1e-5);
  const mainAct = mainActivation(blocks);
  let x = convBlock(net, input, `${at}.0`, mainAct, { out: stem, kernel: 3, stride: 2, epsilon });
  const strided = blocks.flatMap(([, , , , , stride], i) => (stride === 2 ? [i] : []));
  // torchvision reads the fourth place from the end of: first, strided ones, last.
  const lowBlock = strided.at(-3);
  const lastStride = blocks.findLastIndex(([, , , , , stride]) => stride === 2);
  blocks.forEach(([kernel, expanded, out, squeeze, swish, strideOfBlock], i) => {
    const path = `${at}.${i + 1}.block`;
    const act: Activation = swish ? 'hard-swish' : 'relu';
    const channels = x.shape[1] as number;
    const dilation = dilate && i >= lastStride ? 2 : 1;
    const stride = dilation > 1 ? 1 : strideOfBlock;
    const place = places(net.has(`${path}.${squeeze ? 3 : 2}.0`, expanded !== channels), squeeze);
    const branch = (y: Value) => {
      let z = place.deep === 0 ? y : convBlock(net, y, `${path}.0`, act, { out: expanded, kernel: 1, epsilon });
      if (i === lastStride) onWide?.(z);
      z = convBlock(net, z, `${path}.${place.deep}`, act, { kernel, stride, dilation, depthwise: true, epsilon });
      const width = roundWidth(Math.floor(expanded / 4));
      const reduced = {
        reduce: `${path}.${place.squeeze}.fc1`,
        expand: `${path}.${place.squeeze}.fc2`,
        width,
        act: isOldest ? act : 'relu',
        gate: 'hard-sigmoid',
      } as const;
      if (squeeze) z = squeezeExcite(net, z, reduced);
      return convBlock(net, z, `${path}.${place.project}`, 'none', { out, kernel: 1, epsilon });
    };
    x = strideOfBlock === 1 && channels === out && !(isOldest && i === 0) ? residual(net, x, branch) : branch(x);
    if (i === lowBlock) onLow?.(x);
    if (i === lastStride) onLast?.(x);
  });
  return convBlock(net, x, `${at}.${blocks.length + 1}`, mainAct, { out: 6 * (x.shape[1] as number), kernel: 1, epsilon });
}
