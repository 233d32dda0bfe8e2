/** Inception v4: Szegedy et al., 2016, figures 3 to 9. Names are Cadene's, which timm has too. */
import { branches, convNormAct } from './blocks.js';
import { family, SYMMETRIC } from './family.js';
import { pooledHead } from './head.js';
import type { Net, Value } from './net.js';

interface Size {
  /** Blocks of the three kinds. */
  readonly depths: readonly [number, number, number];
}

const EPSILON = 1e-3;
type Kernel = number | readonly [number, number];
/** A convolution: channels, kernel, stride, padding where it does not keep the size. */
type Step = readonly [out: number, kernel: Kernel, stride?: number, pad?: number];
type Steps = readonly Step[];
const ROW: Kernel = [1, 7];
const COLUMN: Kernel = [7, 1];

/** Branches of the modules, by what they are. A number of channels alone is a pooling with a 1 x 1 convolution behind it. */
const STEM: readonly Steps[] = [
  [
    [64, 1],
    [96, 3, 1, 0],
  ],
  [
    [64, 1],
    [64, ROW],
    [64, COLUMN],
    [96, 3, 1, 0],
  ],
];
const A: readonly (Steps | number)[] = [
  [[96, 1]],
  [
    [64, 1],
    [96, 3],
  ],
  [
    [64, 1],
    [96, 3],
    [96, 3],
  ],
  96,
];
const A_TO_B: readonly Steps[] = [
  [[384, 3, 2, 0]],
  [
    [192, 1],
    [224, 3],
    [256, 3, 2, 0],
  ],
];
const B: readonly (Steps | number)[] = [
  [[384, 1]],
  [
    [192, 1],
    [224, ROW],
    [256, COLUMN],
  ],
  [
    [192, 1],
    [192, COLUMN],
    [224, ROW],
    [224, COLUMN],
    [256, ROW],
  ],
  128,
];
const B_TO_C: readonly Steps[] = [
  [
    [192, 1],
    [192, 3, 2, 0],
  ],
  [
    [256, 1],
    [256, ROW],
    [320, COLUMN],
    [320, 3, 2, 0],
  ],
];

export const inceptionV4 = family<Size>({
  name: 'inception_v4',
  title: 'Inception v4',
  source: 'Szegedy et al., 2016, https://arxiv.org/abs/1602.07261, figures 3 to 9',
  sizes: { inception_v4: { depths: [4, 7, 3] } },
  stem: 'features.0.conv',
  side: 299,
  preprocessing: () => SYMMETRIC,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    if (!names.has('features.3.conv') || !names.has('features.4.branch1.3.conv') || !names.has('features.5.conv')) return null;
    const run = (first: number, part: string) => {
      let count = 0;
      while (names.has(`features.${first + count}.${part}`)) count++;
      return count;
    };
    const a = run(6, 'branch2.2.conv');
    const b = run(7 + a, 'branch2.4.conv');
    return { depths: [a, b, run(8 + a + b, 'branch1_1a.conv')] };
  },

  build(net, input, { depths: [a, b, c] }) {
    const walk = (x: Value, at: string, list: readonly (Steps | number)[]) => list.map((steps, i) => branchOf(net, x, `${at}.branch${i}`, steps));
    const pool = (y: Value) => net.maxPool(y, { kernel: 3, stride: 2 });
    let x = conv(net, conv(net, conv(net, input, 'features.0', [32, 3, 2, 0]), 'features.1', [32, 3, 1, 0]), 'features.2', [64, 3]);
    x = net.concat([pool(x), conv(net, x, 'features.3.conv', [96, 3, 2, 0])]);
    x = net.concat(walk(x, 'features.4', STEM));
    x = net.concat([conv(net, x, 'features.5.conv', [192, 3, 2, 0]), pool(x)]);
    let at = 6;
    for (let i = 0; i < a; i++) x = net.concat(walk(x, `features.${at++}`, A));
    x = net.concat([...walk(x, `features.${at++}`, A_TO_B), pool(x)]);
    for (let i = 0; i < b; i++) x = net.concat(walk(x, `features.${at++}`, B));
    x = net.concat([...walk(x, `features.${at++}`, B_TO_C), pool(x)]);
    for (let i = 0; i < c; i++) x = last(net, x, `features.${at++}`);
    return pooledHead(net, x, 'last_linear');
  },
});

function conv(net: Net, x: Value, at: string, [out, kernel, stride = 1, pad]: Step): Value {
  return convNormAct(net, x, `${at}.conv`, `${at}.bn`, 'relu', { out, kernel, stride, epsilon: EPSILON, ...(pad === undefined ? {} : { pad }) });
}

function branchOf(net: Net, x: Value, at: string, steps: Steps | number): Value {
  if (typeof steps === 'number') return conv(net, net.averagePool(x, { kernel: 3, stride: 1, pad: 1 }), `${at}.1`, [steps, 1]);
  return steps.reduce((y, step, i) => conv(net, y, steps.length === 1 ? at : `${at}.${i}`, step), x);
}

/** The third kind of block, whose branches branch once more. */
function last(net: Net, x: Value, at: string): Value {
  const step = (part: string, out: number, kernel: Kernel) => (y: Value) => conv(net, y, `${at}.${part}`, [out, kernel]);
  const [row, column]: Kernel[] = [
    [1, 3],
    [3, 1],
  ];
  const one = step('branch1_0', 384, 1)(x);
  const two = step('branch2_2', 512, row!)(step('branch2_1', 448, column!)(step('branch2_0', 384, 1)(x)));
  return net.concat([
    step('branch0', 256, 1)(x),
    branches(net, one, step('branch1_1a', 256, row!), step('branch1_1b', 256, column!)),
    branches(net, two, step('branch2_3a', 256, row!), step('branch2_3b', 256, column!)),
    branchOf(net, x, `${at}.branch3`, 256),
  ]);
}
