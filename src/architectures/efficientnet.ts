/** EfficientNet: Tan & Le, 2019, table 1; EfficientNet v2: Tan & Le, 2021, table 4. */
import { convBlock, residual, roundWidth, squeezeExcite } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import type { Value } from './net.js';

/** Of one stage: 'mb' (depthwise, with squeeze and excitation) or 'fused' (one 3 x 3 convolution), expansion, kernel, stride, channels, blocks. */
type Stage = readonly [kind: 'mb' | 'fused', expansion: number, kernel: number, stride: number, out: number, depth: number];

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
function scaled(width: number, depth: number): Size {
  const stages = B0.map(([kind, t, k, s, out, n]): Stage => [kind, t, k, s, roundWidth(out * width), Math.ceil(n * depth)]);
  return { stem: roundWidth(32 * width), stages, last: 4 * stages.at(-1)![4] };
}

const v2 = (stem: number, ...stages: Stage[]): Size => ({ stem, stages, last: 1280 });

const SIZES = {
  efficientnet_b0: scaled(1, 1),
  efficientnet_b1: scaled(1, 1.1),
  efficientnet_b2: scaled(1.1, 1.2),
  efficientnet_b3: scaled(1.2, 1.4),
  efficientnet_b4: scaled(1.4, 1.8),
  efficientnet_b5: scaled(1.6, 2.2),
  efficientnet_b6: scaled(1.8, 2.6),
  efficientnet_b7: scaled(2, 3.1),
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
};

/** Sides of the pictures of the published nets, from the stem's width and the number of blocks. */
const SIDES: Readonly<Record<string, number>> = {
  efficientnet_b1: 240,
  efficientnet_b2: 288,
  efficientnet_b3: 300,
  efficientnet_b4: 380,
  efficientnet_b5: 456,
  efficientnet_b6: 528,
  efficientnet_b7: 600,
  efficientnet_v2_s: 384,
  efficientnet_v2_m: 480,
  efficientnet_v2_l: 480,
};

function publishedName(size: Size): string {
  return Object.entries(SIZES).find(([, known]) => JSON.stringify(known) === JSON.stringify(size))?.[0] ?? '';
}

export const efficientnet = family<Size>({
  name: 'efficientnet',
  title: 'EfficientNet',
  source: 'Tan & Le, 2019, https://arxiv.org/abs/1905.11946, table 1; 2021, https://arxiv.org/abs/2104.00298, table 4',
  sizes: SIZES,
  stem: 'features.0.0',
  side: (size) => SIDES[publishedName(size)] ?? 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }],

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
      if (squeeze === undefined) {
        const [out = wide] = names.shape(`${at}.1.0`);
        return ['fused', names.has(`${at}.1`) ? wide / fanIn : 1, kernel, i === 0 ? 1 : 2, out, depth];
      }
      const [, , deepKernel = 1] = names.shape(`${at}.${squeeze - 1}.0`);
      const [out = 0] = names.shape(`${at}.${squeeze + 1}.0`);
      const isV2 = names.shape('features.1.0.block.0.0')[1] !== 1;
      return ['mb', squeeze === 1 ? 1 : wide / fanIn, deepKernel, isV2 ? (V2_STRIDES[i] ?? 1) : (strides[i] ?? 1), out, depth];
    });
    return { stem, stages, last: names.shape(`features.${count + 1}.0`)[0] ?? 0 };
  },

  build(net, input, size) {
    // torchvision trained the larger nets with the epsilon of TensorFlow, from which their weights came.
    const epsilon = /b[567]$|v2/.test(publishedName(size)) || size.stages[0]![0] === 'fused' ? 1e-3 : 1e-5;
    let x = convBlock(net, input, 'features.0', 'silu', { out: size.stem, kernel: 3, stride: 2, epsilon });
    size.stages.forEach(([kind, expansion, kernel, strideOfStage, out, depth], i) => {
      for (let b = 0; b < depth; b++) {
        const at = `features.${i + 1}.${b}.block`;
        const channels = x.shape[1] as number;
        const stride = b === 0 ? strideOfStage : 1;
        const width = roundWidth(channels * expansion);
        const branch = (y: Value) => {
          if (kind === 'fused') {
            if (expansion === 1) return convBlock(net, y, `${at}.0`, 'silu', { out, kernel, stride, epsilon });
            return convBlock(net, convBlock(net, y, `${at}.0`, 'silu', { out: width, kernel, stride, epsilon }), `${at}.1`, 'none', {
              out,
              kernel: 1,
              epsilon,
            });
          }
          const place = expansion === 1 ? 0 : 1;
          let z = expansion === 1 ? y : convBlock(net, y, `${at}.0`, 'silu', { out: width, kernel: 1, epsilon });
          z = convBlock(net, z, `${at}.${place}`, 'silu', { kernel, stride, depthwise: true, epsilon });
          const squeeze = `${at}.${place + 1}`;
          const squeezed = Math.max(1, Math.floor(channels / 4));
          z = squeezeExcite(net, z, { reduce: `${squeeze}.fc1`, expand: `${squeeze}.fc2`, width: squeezed, act: 'silu', gate: 'sigmoid' });
          return convBlock(net, z, `${at}.${place + 2}`, 'none', { out, kernel: 1, epsilon });
        };
        x = stride === 1 && channels === out ? residual(net, x, branch) : branch(x);
      }
    });
    x = convBlock(net, x, `features.${size.stages.length + 1}`, 'silu', { out: size.last, kernel: 1, epsilon });
    return head(net, net.globalPool(x), 'classifier', { layers: [['1', 1000]] });
  },
});

const V2_STRIDES = [1, 2, 2, 2, 1, 2, 1];
