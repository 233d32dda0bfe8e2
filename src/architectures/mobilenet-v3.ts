/** MobileNet v3: Howard et al., "Searching for MobileNetV3", 2019, tables 1 and 2. */
import { convBlock, residual, roundWidth, squeezeExcite } from './blocks.js';
import { family, type Names, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import type { Activation, Net, Value } from './net.js';

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

/** Where in a block its modules stand: one more each for what comes before them. */
function places(expands: boolean, squeeze: boolean): { deep: number; squeeze: number; project: number } {
  const deep = expands ? 1 : 0;
  return { deep, squeeze: deep + 1, project: deep + (squeeze ? 2 : 1) };
}

export const mobilenetV3 = family<MobileNetV3Size>({
  name: 'mobilenet_v3',
  title: 'MobileNet v3',
  source: 'Howard et al., 2019, https://arxiv.org/abs/1905.02244, tables 1 and 2',
  sizes: { mobilenet_v3_large: { stem: 16, blocks: LARGE, last: 1280 }, mobilenet_v3_small: { stem: 16, blocks: SMALL, last: 1024 } },
  stem: 'features.0.0',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }],

  measure: measureMobileNetV3,

  build(net, input, size) {
    const x = mobilenetV3Features(net, input, size);
    return pooledHead(net, x, 'classifier', {
      act: 'hard-swish',
      layers: [
        ['0', size.last],
        ['3', 1000],
      ],
    });
  },
});

export function measureMobileNetV3(names: Names): MobileNetV3Size | null {
  const [stem] = names.shape('features.0.0');
  const count = names.count('features.{n}.block.0', 1);
  const known = [LARGE, SMALL].find(({ length }) => length === count);
  if (!stem || !known || names.has('features.1.0')) return null;
  const blocks = known.map(([, , , , swish, stride], i): Block => {
    const at = `features.${i + 1}.block`;
    const squeeze = [1, 2].some((place) => names.has(`${at}.${place}.fc1`));
    const expands = names.has(`${at}.${squeeze ? 3 : 2}`);
    const { deep, project } = places(expands, squeeze);
    const [expanded = 0, , kernel = 0] = names.shape(`${at}.${deep}.0`);
    const [out = 0] = names.shape(`${at}.${project}.0`);
    return [kernel, expanded, out, squeeze, swish, stride];
  });
  return { stem, blocks, last: names.shape('classifier.0')[0] ?? 0 };
}

export interface FeatureOptions {
  /** Before the number of a block. */
  readonly at?: string;
  /** The last stride is replaced by dilation, as segmentation wants it. */
  readonly dilate?: boolean;
  /** Sees the features of an eighth of the picture's side. */
  readonly onLow?: (value: Value) => void;
}

export function mobilenetV3Features(
  net: Net,
  input: Value,
  { stem, blocks }: MobileNetV3Size,
  { at = 'features', dilate = false, onLow }: FeatureOptions = {},
): Value {
  const epsilon = 1e-3;
  let x = convBlock(net, input, `${at}.0`, 'hard-swish', { out: stem, kernel: 3, stride: 2, epsilon });
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
    const place = places(net.has(`${path}.${squeeze ? 3 : 2}`, expanded !== channels), squeeze);
    const branch = (y: Value) => {
      let z = place.deep === 0 ? y : convBlock(net, y, `${path}.0`, act, { out: expanded, kernel: 1, epsilon });
      z = convBlock(net, z, `${path}.${place.deep}`, act, { kernel, stride, dilation, depthwise: true, epsilon });
      const width = roundWidth(Math.floor(expanded / 4));
      const reduced = { reduce: `${path}.${place.squeeze}.fc1`, expand: `${path}.${place.squeeze}.fc2`, width, act: 'relu', gate: 'hard-sigmoid' } as const;
      if (squeeze) z = squeezeExcite(net, z, reduced);
      return convBlock(net, z, `${path}.${place.project}`, 'none', { out, kernel: 1, epsilon });
    };
    x = strideOfBlock === 1 && channels === out ? residual(net, x, branch) : branch(x);
    if (i === lowBlock) onLow?.(x);
  });
  return convBlock(net, x, `${at}.${blocks.length + 1}`, 'hard-swish', { out: 6 * (x.shape[1] as number), kernel: 1, epsilon });
}
