/** DPN: Chen et al., "Dual Path Networks", 2017, table 1. Names are timm's. */
import { convNormAct } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import { type Activation, type ConvOptions, type Net, sizeOf, type Value } from './net.js';

interface Stage {
  readonly depth: number;
  /** Channels of the convolutions in the middle. */
  readonly inner: number;
  /** Channels of the path whose blocks add, and those that each block puts behind the other path. */
  readonly wide: number;
  readonly more: number;
}

interface Size {
  readonly stem: number;
  readonly kernel: number;
  readonly stages: readonly Stage[];
  /** Of the 3 x 3 convolutions. */
  readonly groups: number;
  /** Each path has a last convolution of its own, behind one normalisation. */
  readonly apart: boolean;
  /** Of the stem, and behind the last block. */
  readonly ends?: Activation;
}

const dpn = (stem: number, inner: number, groups: number, depths: number[], more: number[]): Size => ({
  stem,
  kernel: 7,
  stages: depths.map((depth, s) => ({ depth, inner: inner * 2 ** s, wide: 256 * 2 ** s, more: more[s]! })),
  groups,
  apart: false,
});
const small = (depths: number[], apart = true): Size => ({
  stem: 10,
  kernel: 3,
  stages: depths.map((depth, s) => ({ depth, inner: 128 * 2 ** s, wide: 64 * 2 ** s, more: [16, 32, 32, 64][s]! })),
  groups: 32,
  apart,
});

/** Of MXNet, in which the nets were trained. */
const MXNET = { order: 'RGB', range: [0, 255], mean: [124, 117, 104], std: [1 / 0.0167, 1 / 0.0167, 1 / 0.0167] } as const;
const EPSILON = 1e-3;

export const dualPath = family<Size>({
  name: 'dpn',
  title: 'DPN',
  source: 'Chen et al., 2017, https://arxiv.org/abs/1707.01629, table 1',
  sizes: {
    dpn48b: { ...small([3, 4, 6, 3]), ends: 'silu' },
    dpn68: small([3, 4, 12, 3], false),
    dpn68b: small([3, 4, 12, 3]),
    dpn92: dpn(64, 96, 32, [3, 4, 20, 3], [16, 32, 24, 128]),
    dpn98: dpn(96, 160, 40, [3, 6, 20, 3], [16, 32, 32, 128]),
    dpn131: dpn(128, 160, 40, [4, 8, 28, 3], [16, 32, 32, 128]),
    dpn107: dpn(128, 200, 50, [4, 8, 20, 3], [20, 64, 64, 128]),
  },
  stem: 'features.conv1_1.conv',
  side: 224,
  // Those with convolutions apart were trained in PyTorch.
  preprocessing: (_, { apart }) => (apart ? TORCHVISION : MXNET),
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [stem, , kernel] = names.shape('features.conv1_1.conv');
    const first = 'features.conv2_1';
    const apart = names.has(`${first}.c1x1_c1`);
    const [inner, each] = names.shape(`${first}.c3x3_b.conv`);
    if (!stem || !kernel || !inner || !each) return null;
    const stages = Array.from({ length: names.count('features.conv{n}_1.c1x1_a.conv', 2) }, (_, s) => {
      const at = `features.conv${s + 2}_1`;
      const [shortcut = 0] = names.shape(`${at}.c1x1_w_s${s === 0 ? 1 : 2}.conv`);
      const [wide = 0, more = 0] = [1, 2].map((k) => names.shape(`${at}.c1x1_c${k}`)[0]);
      const [both = 0] = names.shape(`${at}.c1x1_c.conv`);
      return {
        depth: names.count(`features.conv${s + 2}_{n}.c1x1_a.conv`, 1),
        inner: names.shape(`${at}.c1x1_a.conv`)[0] ?? 0,
        wide: apart ? wide : 2 * both - shortcut,
        more: apart ? more : shortcut - both,
      };
    });
    // As timm has its one net with few blocks in the third stage.
    const isSilu = apart && stages.map(({ depth }) => depth).join() === '3,4,6,3';
    return { stem, kernel, stages, groups: inner / each, apart, ...(isSilu ? { ends: 'silu' as const } : {}) };
  },

  build(net, input, { stem, kernel, stages, groups, apart, ends = 'relu' }) {
    const normed = (y: Value, path: string, act: Activation = 'relu') => net.activation(net.norm(y, path, EPSILON), act);
    const conv = (y: Value, path: string, options: ConvOptions) => net.conv(normed(y, `${path}.bn`), `${path}.conv`, options);
    const first = convNormAct(net, input, 'features.conv1_1.conv', 'features.conv1_1.bn', ends, { out: stem, kernel, stride: 2, epsilon: EPSILON });
    let all = net.maxPool(first, { kernel: 3, stride: 2, pad: 1 });
    stages.forEach(({ depth, inner, wide, more }, s) => {
      let [added, dense] = [all, all];
      for (let b = 0; b < depth; b++) {
        const at = `features.conv${s + 2}_${b + 1}`;
        const stride = s > 0 && b === 0 ? 2 : 1;
        if (b === 0) [added, dense] = cut(net, conv(all, `${at}.c1x1_w_s${stride}`, { out: wide + 2 * more, stride, pad: 0 }), wide);
        const y = conv(conv(all, `${at}.c1x1_a`, { out: inner }), `${at}.c3x3_b`, { out: inner, kernel: 3, stride, groups });
        let made: readonly [Value, Value];
        if (apart) {
          const z = normed(y, `${at}.c1x1_c.bn`);
          made = [net.conv(z, `${at}.c1x1_c1`, { out: wide }), net.conv(z, `${at}.c1x1_c2`, { out: more })];
        } else made = cut(net, conv(y, `${at}.c1x1_c`, { out: wide + more }), wide);
        added = net.add(added, made[0]);
        dense = net.concat([dense, made[1]]);
        all = net.concat([added, dense]);
      }
    });
    return pooledHead(net, normed(all, 'features.conv5_bn_ac.bn', ends), 'classifier');
  },
});

/** The first channels, and the others. */
function cut(net: Net, x: Value, at: number): readonly [Value, Value] {
  return [net.slice(x, 1, 0, at), net.slice(x, 1, at, sizeOf(x, 1))];
}
