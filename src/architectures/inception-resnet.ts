/** Inception-ResNet v2: Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning", 2016, as keras.applications has it. */
import { branches, convNormAct } from './blocks.js';
import { family, SYMMETRIC } from './family.js';
import { pooledHead } from './head.js';
import type { Activation, Net, Value } from './net.js';
import { counted } from './spelling.js';

const EPSILON = 1e-3;

type Kernel = number | readonly [number, number];
/** A convolution of a branch: channels, kernel; with a stride it does not pad. */
type Step = readonly [out: number, kernel: Kernel, stride?: number];

/** Blocks around which their input goes: how many, how much of the branches is added, the branches. */
interface Group {
  readonly name: string;
  readonly count: number;
  readonly scale: number;
  readonly steps: Branches;
}

type Branches = readonly (readonly Step[])[];

const STEM_GRID: Branches = [
  [[96, 1]],
  [
    [48, 1],
    [64, 5],
  ],
  [
    [64, 1],
    [96, 3],
    [96, 3],
  ],
];
const BLOCK35: Group = {
  name: 'block35',
  count: 10,
  scale: 0.17,
  steps: [
    [[32, 1]],
    [
      [32, 1],
      [32, 3],
    ],
    [
      [32, 1],
      [48, 3],
      [64, 3],
    ],
  ],
};
const GRID_A: Branches = [
  [[384, 3, 2]],
  [
    [256, 1],
    [256, 3],
    [384, 3, 2],
  ],
];
const BLOCK17: Group = {
  name: 'block17',
  count: 20,
  scale: 0.1,
  steps: [
    [[192, 1]],
    [
      [128, 1],
      [160, [1, 7]],
      [192, [7, 1]],
    ],
  ],
};
const GRID_B: Branches = [
  [
    [256, 1],
    [384, 3, 2],
  ],
  [
    [256, 1],
    [288, 3, 2],
  ],
  [
    [256, 1],
    [288, 3],
    [320, 3, 2],
  ],
];
const BLOCK8: Group = {
  name: 'block8',
  count: 10,
  scale: 0.2,
  steps: [
    [[192, 1]],
    [
      [192, 1],
      [224, [1, 3]],
      [256, [3, 1]],
    ],
  ],
};

/** Counts convolutions while the net is built. */
class Walk {
  #count = 0;

  constructor(readonly net: Net) {}

  /** Keras counts the convolutions that have no name of their own. */
  conv(x: Value, [out, kernel, stride = 1]: Step, valid = stride > 1): Value {
    const index = this.#count++;
    return this.named(x, counted('conv2d', index), counted('batch_normalization', index), { out, kernel, stride, ...(valid ? { pad: 0 } : {}) });
  }

  named(x: Value, conv: string, norm: string, options: { out: number; kernel: Kernel; stride?: number; pad?: number }): Value {
    return convNormAct(this.net, x, conv, norm, 'relu', { ...options, epsilon: EPSILON });
  }

  chain(x: Value, steps: readonly Step[]): Value {
    return steps.reduce((y, step) => this.conv(y, step), x);
  }

  grid(list: Branches): readonly ((x: Value) => Value)[] {
    return list.map((steps) => (y: Value) => this.chain(y, steps));
  }

  residuals(x: Value, { name, count, scale, steps }: Group, isLast = false): Value {
    let y = x;
    for (let i = 1; i <= count; i++) {
      // The net's last block adds all of its branches, and ends without an activation.
      const ends = isLast && i === count;
      const act: Activation = ends ? 'none' : 'relu';
      const mixed = branches(this.net, y, ...this.grid(steps));
      const up = this.net.conv(mixed, `${name}_${i}_conv`, { out: y.shape[1] as number, bias: true });
      const scaled = ends ? up : this.net.constantOp('Mul', up, scale, `${name}_${i}_scale`);
      y = this.net.activation(this.net.add(y, scaled), act);
    }
    return y;
  }
}

export const inceptionResnet = family<{ readonly version: 2 }>({
  name: 'inception_resnet_v2',
  title: 'Inception-ResNet v2',
  source: 'Szegedy et al., 2016, https://arxiv.org/abs/1602.07261',
  sizes: { inception_resnet_v2: { version: 2 } },
  stem: 'conv2d',
  side: 299,
  preprocessing: () => SYMMETRIC,
  spellings: [{ ecosystem: 'keras', spell: (path) => path }],

  measure: (names) => (names.has('conv2d') && names.has('block35_1_conv') && names.has('block8_10_conv') ? { version: 2 } : null),

  build(net, input) {
    const walk = new Walk(net);
    const pool = (y: Value) => net.maxPool(y, { kernel: 3, stride: 2 });
    let x = walk.conv(walk.conv(walk.conv(input, [32, 3, 2]), [32, 3], true), [64, 3]);
    x = pool(walk.conv(walk.conv(pool(x), [80, 1], true), [192, 3], true));
    const around = (y: Value) => walk.conv(net.averagePool(y, { kernel: 3, stride: 1, same: true }), [64, 1]);
    x = branches(net, x, ...walk.grid(STEM_GRID), around);
    x = branches(net, walk.residuals(x, BLOCK35), ...walk.grid(GRID_A), pool);
    x = branches(net, walk.residuals(x, BLOCK17), ...walk.grid(GRID_B), pool);
    x = walk.residuals(x, BLOCK8, true);
    return pooledHead(net, walk.named(x, 'conv_7b', 'conv_7b_bn', { out: 1536, kernel: 1 }), 'predictions');
  },
});
