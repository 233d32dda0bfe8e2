/**
 * Inception-ResNet v1 as FaceNet has it: Szegedy et al., "Inception-v4, Inception-ResNet and the Impact of Residual Connections on Learning",
 * 2016, figures 7, 10 to 14. Names are those of facenet-pytorch, whose weights came from David Sandberg's in TensorFlow.
 */
import { branches, convNormAct, residual } from './blocks.js';
import { family } from './family.js';
import { type Net, sizeOf, type Value } from './net.js';

interface Size {
  /** Blocks of each of the three kinds, without the last one. */
  readonly depths: readonly number[];
  readonly embedding: number;
}

type Kernel = number | readonly [height: number, width: number];
type Step = readonly [out: number, kernel: Kernel, stride?: number];

const EPSILON = 1e-3;
/** The branches of the three kinds of blocks, and what is added of them. */
const BLOCKS: readonly { readonly scale: number; readonly steps: readonly (readonly Step[])[] }[] = [
  {
    scale: 0.17,
    steps: [
      [[32, 1]],
      [
        [32, 1],
        [32, 3],
      ],
      [
        [32, 1],
        [32, 3],
        [32, 3],
      ],
    ],
  },
  {
    scale: 0.1,
    steps: [
      [[128, 1]],
      [
        [128, 1],
        [128, [1, 7]],
        [128, [7, 1]],
      ],
    ],
  },
  {
    scale: 0.2,
    steps: [
      [[192, 1]],
      [
        [192, 1],
        [192, [1, 3]],
        [192, [3, 1]],
      ],
    ],
  },
];
/** What makes the picture smaller between them: branches beside a pooling. */
const SMALLER: readonly { readonly at: string; readonly steps: readonly (readonly Step[])[] }[] = [
  {
    at: 'mixed_6a',
    steps: [
      [[384, 3, 2]],
      [
        [192, 1],
        [192, 3],
        [256, 3, 2],
      ],
    ],
  },
  {
    at: 'mixed_7a',
    steps: [
      [
        [256, 1],
        [384, 3, 2],
      ],
      [
        [256, 1],
        [256, 3, 2],
      ],
      [
        [256, 1],
        [256, 3],
        [256, 3, 2],
      ],
    ],
  },
];

export const facenet = family<Size>({
  name: 'facenet',
  title: 'Inception-ResNet v1 (FaceNet)',
  source: 'Szegedy et al., 2016, https://arxiv.org/abs/1602.07261; Schroff et al., 2015, https://arxiv.org/abs/1503.03832',
  sizes: { inception_resnet_v1: { depths: [5, 10, 5], embedding: 512 } },
  stem: 'conv2d_1a.conv',
  side: 160,
  output: 'embedding',
  // Kept in published files, and used only where faces are told by name.
  training: /(^|\.)logits\.(weight|bias)$/,
  preprocessing: () => ({ order: 'RGB', range: [0, 255], mean: [127.5, 127.5, 127.5], std: [128, 128, 128] }),
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }],

  measure(names) {
    if (!names.has('mixed_6a.branch0.conv') || !names.has('block8.conv2d')) return null;
    return { depths: [1, 2, 3].map((k) => names.count(`repeat_${k}.{n}.conv2d`)), embedding: names.shape('last_linear')[0] ?? 0 };
  },

  build(net, input, { depths, embedding }) {
    const conv = (y: Value, at: string, [out, kernel, stride = 1]: Step, pad?: number) =>
      convNormAct(net, y, `${at}.conv`, `${at}.bn`, 'relu', {
        out,
        kernel,
        stride,
        epsilon: EPSILON,
        ...(stride > 1 ? { pad: 0 } : pad === undefined ? {} : { pad }),
      });
    const sideBySide = (y: Value, at: string, list: readonly (readonly Step[])[], ...more: readonly ((y: Value) => Value)[]) => {
      const chain = (steps: readonly Step[], i: number) => (z: Value) =>
        steps.reduce((last, step, j) => conv(last, `${at}.branch${i}${steps.length > 1 ? `.${j}` : ''}`, step), z);
      return branches(net, y, ...list.map(chain), ...more);
    };
    const pool = (y: Value) => net.maxPool(y, { kernel: 3, stride: 2 });
    const block = (y: Value, at: string, kind: number, scale: number, isActive: boolean) => {
      const branch = (z: Value) => {
        const mixed = net.conv(sideBySide(z, at, BLOCKS[kind]!.steps), `${at}.conv2d`, { out: sizeOf(z, 1), bias: true });
        return scale === 1 ? mixed : net.constantOp('Mul', mixed, scale, `${net.store.sourceName(at)}.scale`);
      };
      return net.activation(residual(net, y, branch), isActive ? 'relu' : 'none');
    };
    let x = conv(input, 'conv2d_1a', [32, 3, 2]);
    x = conv(conv(x, 'conv2d_2a', [32, 3], 0), 'conv2d_2b', [64, 3]);
    x = conv(conv(pool(x), 'conv2d_3b', [80, 1]), 'conv2d_4a', [192, 3], 0);
    x = conv(x, 'conv2d_4b', [256, 3, 2]);
    BLOCKS.forEach(({ scale }, kind) => {
      for (let i = 0; i < depths[kind]!; i++) x = block(x, `repeat_${kind + 1}.${i}`, kind, scale, true);
      const smaller = SMALLER[kind];
      if (smaller) x = sideBySide(x, smaller.at, smaller.steps, pool);
    });
    // The last block adds all of its branches, and ends without an activation.
    x = block(x, 'block8', 2, 1, false);
    x = net.dense(net.globalPool(x), 'last_linear', { out: embedding, bias: false });
    x = net.norm(x, 'last_bn', EPSILON);
    return ends(net, x);
  },
});

const CLASSIFY = 'the net gives embeddings of length 1, not the names of faces: classify is {} (true where there are logits)';

function ends(net: Net, x: Value): Value {
  if (net.has('logits', false) && net.setting<string>('classify', 'false', CLASSIFY) === 'true') {
    net.endsInClasses = true;
    return net.dense(x, 'logits');
  }
  const squares = net.op('ReduceSum', [net.multiply(x, x)], { axes: [1], keepdims: 1 });
  // PyTorch's normalize divides by 1e-12 at least.
  return net.op('Div', [x, net.op('Clip', [net.op('Sqrt', [squares])], { min: 1e-12 })], {}, { name: 'embedding' });
}
