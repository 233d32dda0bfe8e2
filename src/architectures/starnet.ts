/** StarNet: Ma et al., "Rewrite the Stars", 2024, table 4: two branches multiplied. Names are the authors' in timm's nesting. */
import { convNormAct, residual } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import { sizeOf } from './net.js';

interface Size {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
  /** How often features are wider inside of a block. */
  readonly ratio: number;
  readonly stem: number;
}

const size = (width: number, depths: number[], ratio = 4): Size => ({ depths, widths: [1, 2, 4, 8].map((factor) => factor * width), ratio, stem: 32 });

export const starnet = family<Size>({
  name: 'starnet',
  title: 'StarNet',
  source: 'Ma et al., 2024, https://arxiv.org/abs/2403.19967, table 4',
  sizes: {
    starnet_s1: size(24, [2, 2, 8, 3]),
    starnet_s2: size(32, [1, 2, 6, 2]),
    starnet_s3: size(32, [2, 2, 8, 4]),
    starnet_s4: size(32, [3, 3, 12, 5]),
    starnet_s050: size(16, [1, 1, 3, 1], 3),
    starnet_s100: size(20, [1, 2, 4, 1]),
    starnet_s150: size(24, [1, 2, 4, 2], 3),
  },
  stem: 'stem.0.conv',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [stem] = names.shape('stem.0.conv');
    const [wide, narrow] = names.shape('stages.0.1.f1.conv');
    if (!stem || !wide || !narrow) return null;
    const stages = Array.from({ length: names.count('stages.{n}.1.f1.conv') }, (_, s) => `stages.${s}`);
    return {
      depths: stages.map((at) => names.count(`${at}.{n}.f1.conv`, 1)),
      widths: stages.map((at) => names.shape(`${at}.0.conv`)[0]!),
      ratio: wide / narrow,
      stem,
    };
  },

  build(net, input, { depths, widths, ratio, stem }) {
    let x = convNormAct(net, input, 'stem.0.conv', 'stem.0.bn', 'relu6', { out: stem, kernel: 3, stride: 2, bias: true });
    depths.forEach((depth, s) => {
      x = convNormAct(net, x, `stages.${s}.0.conv`, `stages.${s}.0.bn`, 'none', { out: widths[s], kernel: 3, stride: 2, bias: true });
      for (let b = 1; b <= depth; b++) {
        const at = `stages.${s}.${b}`;
        x = residual(net, x, (y) => {
          const deep = convNormAct(net, y, `${at}.dwconv.conv`, `${at}.dwconv.bn`, 'none', { kernel: 7, depthwise: true, bias: true });
          const wide = { out: ratio * sizeOf(y, 1), bias: true };
          const first = net.activation(net.conv(deep, `${at}.f1.conv`, wide), 'relu6');
          const star = net.multiply(first, net.conv(deep, `${at}.f2.conv`, wide));
          const narrow = convNormAct(net, star, `${at}.g.conv`, `${at}.g.bn`, 'none', { out: sizeOf(y, 1), bias: true });
          return net.conv(narrow, `${at}.dwconv2.conv`, { kernel: 7, depthwise: true, bias: true });
        });
      }
    });
    return pooledHead(net, net.norm(x, 'norm'), 'head');
  },
});
