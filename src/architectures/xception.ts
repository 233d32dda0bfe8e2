/** Xception: Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", 2016, figure 5; as keras.applications has it. */
import { convNormAct, residual } from './blocks.js';
import { family, SYMMETRIC } from './family.js';
import { pooledHead } from './head.js';
import type { Net, Value } from './net.js';
import { counted } from './spelling.js';

interface Size {
  /** Channels of the separable convolutions of each block, the second on. */
  readonly blocks: readonly (readonly number[])[];
}

const EPSILON = 1e-3;
const MIDDLE = [728, 728, 728];
const BLOCKS = [[128, 128], [256, 256], [728, 728], ...new Array<readonly number[]>(8).fill(MIDDLE), [728, 1024], [1536, 2048]];

export const xception = family<Size>({
  name: 'xception',
  title: 'Xception',
  source: 'Chollet, 2016, https://arxiv.org/abs/1610.02357, figure 5',
  sizes: { xception: { blocks: BLOCKS } },
  stem: 'block1_conv1',
  side: 299,
  preprocessing: () => SYMMETRIC,
  // The convolutions that go around a block have numbers for names.
  spellings: [{ ecosystem: 'keras', spell: (path) => path.replace(/^(conv2d|batch_normalization)_(\d+)$/, (_, kind, n) => counted(kind, Number(n))) }],

  measure(names) {
    if (!names.has('block1_conv1') || !names.has('block2_sepconv1') || !names.has('conv2d_0')) return null;
    const blocks = Array.from({ length: names.count('block{n}_sepconv1', 2) }, (_, i) => `block${i + 2}`);
    return {
      blocks: blocks.map((at) => Array.from({ length: names.count(`${at}_sepconv{n}`, 1) }, (_, i) => names.shape(`${at}_sepconv${i + 1}`, 'pointwise')[0]!)),
    };
  },

  build(net, input, { blocks }) {
    const stem = { epsilon: EPSILON, kernel: 3, pad: 0 };
    let x = convNormAct(net, input, 'block1_conv1', 'block1_conv1_bn', 'relu', { ...stem, out: 32, stride: 2 });
    x = convNormAct(net, x, 'block1_conv2', 'block1_conv2_bn', 'relu', { ...stem, out: 64 });
    let around = 0;
    blocks.forEach((widths, i) => {
      const at = `block${i + 2}`;
      const isLast = i === blocks.length - 1;
      const strides = !isLast && widths.length === 2;
      const branch = (input: Value) => {
        const separable = (y: Value, out: number, k: number) => {
          // The last block has its activations behind, the second none at its start: it follows one.
          const before = !isLast && (k > 0 || i > 0) ? net.activation(y, 'relu') : y;
          const z = net.norm(net.separable(before, `${at}_sepconv${k + 1}`, { out, kernel: 3 }), `${at}_sepconv${k + 1}_bn`, EPSILON);
          return isLast ? net.activation(z, 'relu') : z;
        };
        const y = widths.reduce(separable, input);
        return strides ? net.maxPool(y, { kernel: 3, stride: 2, same: true }) : y;
      };
      if (isLast) x = branch(x);
      else if (!strides) x = residual(net, x, branch);
      else {
        const n = around++;
        const project = (y: Value) =>
          convNormAct(net, y, `conv2d_${n}`, `batch_normalization_${n}`, 'none', { out: widths.at(-1), kernel: 1, stride: 2, epsilon: EPSILON });
        x = residual(net, x, branch, project);
      }
    });
    return pooledHead(net, x, 'predictions');
  },
});

/** The same net as Cadene has it, and timm as its legacy_xception: other paddings, each separable convolution two layers. */
export const xceptionTorch = family<Size>({
  name: 'legacy_xception',
  title: 'Xception (PyTorch)',
  source: 'Chollet, 2016, https://arxiv.org/abs/1610.02357, figure 5',
  sizes: { legacy_xception: { blocks: BLOCKS } },
  stem: 'conv1',
  side: 299,
  preprocessing: () => SYMMETRIC,
  spellings: [{ ecosystem: 'timm', spell: (path) => (path === 'fc' ? 'fc|last_linear' : path) }],

  measure(names) {
    if (!names.has('conv1') || !names.has('block1.rep.0.pointwise') || !names.has('conv3.pointwise')) return null;
    const blocks = Array.from({ length: names.count('block{n}.rep', 1) }, (_, i) => {
      const places = [0, 1, 2, 3, 4, 5, 6, 7, 8].filter((k) => names.has(`block${i + 1}.rep.${k}.pointwise`));
      return places.map((k) => names.shape(`block${i + 1}.rep.${k}.pointwise`)[0]!);
    });
    return { blocks: [...blocks, [3, 4].map((i) => names.shape(`conv${i}.pointwise`)[0]!)] };
  },

  build(net, input, { blocks }) {
    let x = convNormAct(net, input, 'conv1', 'bn1', 'relu', { out: 32, kernel: 3, stride: 2, pad: 0 });
    x = convNormAct(net, x, 'conv2', 'bn2', 'relu', { out: 64, kernel: 3, pad: 0 });
    blocks.slice(0, -1).forEach((widths, i) => {
      const at = `block${i + 1}`;
      const strides = widths.length === 2;
      // The first block follows an activation; in the others one comes first, and counts.
      const first = i === 0 ? 0 : 1;
      const branch = (y: Value) => {
        const z = widths.reduce(
          (z, out, k) => deepWide(net, first + k > 0 ? net.activation(z, 'relu') : z, `${at}.rep.${3 * k + first}`, `${at}.rep.${3 * k + first + 1}`, out),
          y,
        );
        return strides ? net.maxPool(z, { kernel: 3, stride: 2, pad: 1 }) : z;
      };
      const project = (y: Value) => convNormAct(net, y, `${at}.skip`, `${at}.skipbn`, 'none', { out: widths.at(-1), stride: strides ? 2 : 1, pad: 0 });
      x = residual(net, x, branch, net.has(`${at}.skip`, strides) ? project : undefined);
    });
    for (const [i, out] of blocks.at(-1)!.entries()) x = net.activation(deepWide(net, x, `conv${i + 3}`, `bn${i + 3}`, out), 'relu');
    return pooledHead(net, x, 'fc');
  },
});

function deepWide(net: Net, x: Value, path: string, norm: string, out: number): Value {
  return net.norm(net.conv(net.conv(x, `${path}.conv1`, { kernel: 3, depthwise: true }), `${path}.pointwise`, { out }), norm);
}
