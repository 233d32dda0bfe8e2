/** Inception-ResNet v2: Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning", 2016, as keras.applications has it, and under Cadene's names. */
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

/** Cadene's names, which timm has too, of the convolutions that Keras counts and of what has a name there. */
function portedNames(): (path: string) => string | null {
  const under = (at: string, list: Branches) => list.flatMap((steps, i) => steps.map((_, j) => `${at}.branch${i}${steps.length > 1 ? `.${j}` : ''}`));
  const group = (at: string, { count, steps }: Group, last?: string) =>
    Array.from({ length: count }, (_, i) => under(last && i === count - 1 ? last : `${at}.${i}`, steps)).flat();
  const counted35 = [...under('mixed_5b', STEM_GRID), 'mixed_5b.branch3.1', ...group('repeat', BLOCK35), ...under('mixed_6a', GRID_A)];
  const rest = [...group('repeat_1', BLOCK17), ...under('mixed_7a', GRID_B), ...group('repeat_2', BLOCK8, 'block8')];
  const all = ['1a', '2a', '2b', '3b', '4a'].map((place) => `conv2d_${place}`).concat(counted35, rest);
  const table = new Map<string, string>(
    all.flatMap((name, i) => [[counted('conv2d', i), `${name}.conv`] as const, [counted('batch_normalization', i), `${name}.bn`] as const]),
  );
  const named = [
    ['block35', 'repeat', BLOCK35.count],
    ['block17', 'repeat_1', BLOCK17.count],
    ['block8', 'repeat_2', BLOCK8.count],
  ] as const;
  for (const [own, at, count] of named) for (let i = 0; i < count; i++) table.set(`${own}_${i + 1}_conv`, `${at}.${i}.conv2d`);
  table.set(`block8_${BLOCK8.count}_conv`, 'block8.conv2d');
  table.set('conv_7b', 'conv2d_7b.conv').set('conv_7b_bn', 'conv2d_7b.bn').set('predictions', 'classif|last_linear');
  return (path) => table.get(path) ?? null;
}

export const inceptionResnet = family<{ readonly version: 2 }>({
  name: 'inception_resnet_v2',
  title: 'Inception-ResNet v2',
  source: 'Szegedy et al., 2016, https://arxiv.org/abs/1602.07261',
  sizes: { inception_resnet_v2: { version: 2 } },
  stem: 'conv2d',
  side: 299,
  preprocessing: () => SYMMETRIC,
  spellings: [
    { ecosystem: 'keras', spell: (path) => path },
    { ecosystem: 'timm', spell: portedNames() },
  ],

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
