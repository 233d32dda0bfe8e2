/** Inception v3: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision", 2015, table 1. */
import { branches, convNormAct } from './blocks.js';
import { family, SYMMETRIC, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import type { Value } from './net.js';
import { rescaled } from './rescale.js';
import { byPlace, counted } from './spelling.js';

type Kernel = number | readonly [number, number];
/** A convolution of a branch: its module's name, channels, kernel; with a stride it does not pad. */
type Step = readonly [name: string, out: number, kernel: Kernel, stride?: number];

const ROW = [1, 7] as const;
const COLUMN = [7, 1] as const;

/** Figure 5 of the paper. */
const gridA = (pooled: number): Step[][] => [
  [['branch1x1', 64, 1]],
  [
    ['branch5x5_1', 48, 1],
    ['branch5x5_2', 64, 5],
  ],
  [
    ['branch3x3dbl_1', 64, 1],
    ['branch3x3dbl_2', 96, 3],
    ['branch3x3dbl_3', 96, 3],
  ],
  [['branch_pool', pooled, 1]],
];

/** Figure 6. */
const gridC = (width: number): Step[][] => [
  [['branch1x1', 192, 1]],
  [
    ['branch7x7_1', width, 1],
    ['branch7x7_2', width, ROW],
    ['branch7x7_3', 192, COLUMN],
  ],
  [
    ['branch7x7dbl_1', width, 1],
    ['branch7x7dbl_2', width, COLUMN],
    ['branch7x7dbl_3', width, ROW],
    ['branch7x7dbl_4', width, COLUMN],
    ['branch7x7dbl_5', 192, ROW],
  ],
  [['branch_pool', 192, 1]],
];

const GRIDS: Readonly<Record<string, readonly (readonly Step[])[]>> = {
  '5b': gridA(32),
  '5c': gridA(64),
  '5d': gridA(64),
  '6a': [
    [['branch3x3', 384, 3, 2]],
    [
      ['branch3x3dbl_1', 64, 1],
      ['branch3x3dbl_2', 96, 3],
      ['branch3x3dbl_3', 96, 3, 2],
    ],
  ],
  '6b': gridC(128),
  '6c': gridC(160),
  '6d': gridC(160),
  '6e': gridC(192),
  '7a': [
    [
      ['branch3x3_1', 192, 1],
      ['branch3x3_2', 320, 3, 2],
    ],
    [
      ['branch7x7x3_1', 192, 1],
      ['branch7x7x3_2', 192, ROW],
      ['branch7x7x3_3', 192, COLUMN],
      ['branch7x7x3_4', 192, 3, 2],
    ],
  ],
};

/** All convolutions in the order in which Keras makes them, which numbers them: conv2d, conv2d_1, ... */
const ORDER: readonly string[] = [
  ...['Conv2d_1a_3x3', 'Conv2d_2a_3x3', 'Conv2d_2b_3x3', 'Conv2d_3b_1x1', 'Conv2d_4a_3x3'],
  ...Object.entries(GRIDS).flatMap(([name, grid]) => grid.flat().map(([step]) => `Mixed_${name}.${step}`)),
  ...['7b', '7c'].flatMap((name) =>
    ['branch1x1', 'branch3x3_1', 'branch3x3_2a', 'branch3x3_2b', 'branch3x3dbl_1', 'branch3x3dbl_2', 'branch3x3dbl_3a', 'branch3x3dbl_3b', 'branch_pool'].map(
      (step) => `Mixed_${name}.${step}`,
    ),
  ),
];

function numbered(path: string): string | null {
  if (path === 'fc') return 'predictions';
  const [, module, part] = /^(.*)\.(conv|bn)$/.exec(path) ?? [];
  const index = ORDER.indexOf(module ?? '');
  return index < 0 ? null : counted(part === 'conv' ? 'conv2d' : 'batch_normalization', index);
}

const CHILDREN =
  'Conv2d_1a_3x3 Conv2d_2a_3x3 Conv2d_2b_3x3 maxpool1 Conv2d_3b_1x1 Conv2d_4a_3x3 maxpool2 Mixed_5b Mixed_5c Mixed_5d Mixed_6a Mixed_6b Mixed_6c Mixed_6d Mixed_6e Mixed_7a Mixed_7b Mixed_7c';

/** Of the weights of pytorch-fid (pt_inception-2015-12-05). */
const FID_CLASSES = 1008;
const POOLING =
  'pools beside the branches are those of {} (torchvision: zeros of the border count; keras: they do not; fid: nor do they, and the last one takes the largest)';

export const inception = family<{ readonly version: 3 }>({
  name: 'inception_v3',
  title: 'Inception v3',
  source: 'Szegedy et al., 2015, https://arxiv.org/abs/1512.00567, table 1',
  sizes: { inception_v3: { version: 3 } },
  stem: 'Conv2d_1a_3x3.conv',
  side: 299,
  preprocessing: (ecosystem) => (ecosystem === 'keras' ? SYMMETRIC : TORCHVISION),
  training: /(^|\.)AuxLogits\./,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    { ecosystem: 'torchvision', spell: byPlace(CHILDREN) },
    { ecosystem: 'keras', spell: numbered },
  ],

  measure: (names) => (names.has('Conv2d_1a_3x3.conv') && names.has('Mixed_5b.branch1x1.conv') ? { version: 3 } : null),

  build(net, input) {
    const conv = (y: Value, path: string, out: number, kernel: Kernel, stride = 1, pad?: number) => {
      const padded = pad === undefined && stride === 1 ? {} : { pad: pad ?? 0 };
      return convNormAct(net, y, `${path}.conv`, `${path}.bn`, 'relu', { out, kernel, stride, epsilon: 1e-3, ...padded });
    };
    const pool = (y: Value) => net.maxPool(y, { kernel: 3, stride: 2 });
    // The one that measures FID has TensorFlow's 1008 classes, and its pools.
    const isMeasure = net.store.shape('fc')?.[0] === FID_CLASSES && !net.has('AuxLogits', false);
    const pools = net.setting<string>('pooling', net.ecosystem === 'keras' ? 'keras' : isMeasure ? 'fid' : 'torchvision', POOLING);
    const around = (y: Value) => net.averagePool(y, { kernel: 3, stride: 1, pad: 1, countPadding: pools === 'torchvision' });
    const grid = (y: Value, name: string) => {
      const steps = GRIDS[name]!.map((branch) => (b: Value) => {
        const start = branch[0]![0] === 'branch_pool' ? around(b) : b;
        return branch.reduce((z, [step, out, kernel, stride]) => conv(z, `Mixed_${name}.${step}`, out, kernel, stride), start);
      });
      const reduces = GRIDS[name]!.some((branch) => branch.at(-1)![3] === 2);
      return branches(net, y, ...steps, ...(reduces ? [pool] : []));
    };
    /** Figure 7: the last two modules, whose branches fork. */
    const fork = (y: Value, name: string, pooled: (y: Value) => Value) => {
      const at = `Mixed_${name}`;
      const pair = (z: Value, step: string) =>
        branches(
          net,
          z,
          (b) => conv(b, `${at}.${step}a`, 384, [1, 3]),
          (b) => conv(b, `${at}.${step}b`, 384, [3, 1]),
        );
      return branches(
        net,
        y,
        (b) => conv(b, `${at}.branch1x1`, 320, 1),
        (b) => pair(conv(b, `${at}.branch3x3_1`, 384, 1), 'branch3x3_2'),
        (b) => pair(conv(conv(b, `${at}.branch3x3dbl_1`, 448, 1), `${at}.branch3x3dbl_2`, 384, 3), 'branch3x3dbl_3'),
        (b) => conv(pooled(b), `${at}.branch_pool`, 192, 1),
      );
    };
    let x = conv(rescaled(net, input), 'Conv2d_1a_3x3', 32, 3, 2);
    x = conv(conv(x, 'Conv2d_2a_3x3', 32, 3, 1, 0), 'Conv2d_2b_3x3', 64, 3);
    x = conv(conv(pool(x), 'Conv2d_3b_1x1', 80, 1, 1, 0), 'Conv2d_4a_3x3', 192, 3, 1, 0);
    x = pool(x);
    for (const name of Object.keys(GRIDS)) x = grid(x, name);
    const last = pools === 'fid' ? (y: Value) => net.maxPool(y, { kernel: 3, stride: 1, pad: 1 }) : around;
    x = fork(fork(x, '7b', around), '7c', last);
    return pooledHead(net, x, 'fc');
  },
});
