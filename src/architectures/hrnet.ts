/**
 * HRNet: Wang et al., "Deep High-Resolution Representation Learning for Visual Recognition", 2019, section 3: pictures of several sizes side by
 * side, which exchange what they know. Names are the authors', which timm has too.
 */
import { convNormAct, repeated } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import type { Activation, Net, Value } from './net.js';

interface Size {
  readonly stem: number;
  /** Blocks before pictures part. */
  readonly first: number;
  /** Of the first blocks' 3 x 3 convolutions. */
  readonly between: number;
  /** Of the three stages: how often branches exchange, and blocks of each branch in between. */
  readonly modules: readonly number[];
  readonly blocks: readonly number[];
  /** Channels of the four branches. */
  readonly widths: readonly number[];
}

const hr = (width: number): Size => ({
  stem: 64,
  first: 4,
  between: 64,
  modules: [1, 4, 3],
  blocks: [4, 4, 4],
  widths: [1, 2, 4, 8].map((factor) => factor * width),
});
/** Channels of the classifier's bottlenecks, and what it pools. */
const HEAD = [32, 64, 128, 256];
const LAST = 2048;
const EXPANSION = 4;

export const hrnet = family<Size>({
  name: 'hrnet',
  title: 'HRNet',
  source: 'Wang et al., 2019, https://arxiv.org/abs/1908.07919, section 3',
  sizes: {
    hrnet_w18_small: { stem: 64, first: 1, between: 32, modules: [1, 1, 1], blocks: [2, 2, 2], widths: [16, 32, 64, 128] },
    hrnet_w18_small_v2: { stem: 64, first: 2, between: 64, modules: [1, 3, 2], blocks: [2, 2, 2], widths: [18, 36, 72, 144] },
    ...Object.fromEntries([18, 30, 32, 40, 44, 48, 64].map((width) => [`hrnet_w${width}`, hr(width)])),
  },
  stem: 'conv1',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [stem] = names.shape('conv1');
    const widths = [0, 1, 2, 3].map((i) => names.shape(`stage4.0.branches.${i}.0.conv2`)[0]);
    if (!stem || !names.has('transition1.0.0') || widths.includes(undefined)) return null;
    return {
      stem,
      first: names.count('layer1.{n}.conv1'),
      between: names.shape('layer1.0.conv2')[0]!,
      modules: [2, 3, 4].map((s) => names.count(`stage${s}.{n}.branches.0.0.conv1`)),
      blocks: [2, 3, 4].map((s) => names.count(`stage${s}.0.branches.0.{n}.conv1`)),
      widths: widths as number[],
    };
  },

  build(net, input, { stem, first, between, modules, blocks, widths }) {
    let x = convNormAct(net, input, 'conv1', 'bn1', 'relu', { out: stem, kernel: 3, stride: 2 });
    x = convNormAct(net, x, 'conv2', 'bn2', 'relu', { out: 64, kernel: 3, stride: 2 });
    for (let b = 0; b < first; b++) x = bottleneck(net, x, `layer1.${b}`, between);
    const conv = (y: Value, at: string, act: Activation, out: number, stride: number) =>
      convNormAct(net, y, `${at}.0`, `${at}.1`, act, { out, kernel: 3, stride });
    let pictures = [conv(x, 'transition1.0', 'relu', widths[0]!, 1), conv(x, 'transition1.1.0', 'relu', widths[1]!, 2)];
    modules.forEach((count, s) => {
      // Of the smallest picture there is one that is smaller still.
      if (s > 0) pictures = [...pictures, conv(pictures.at(-1)!, `transition${s + 1}.${s + 1}.0`, 'relu', widths[s + 1]!, 2)];
      for (let m = 0; m < count; m++) {
        const at = `stage${s + 2}.${m}`;
        const grown = pictures.map((y, i) => {
          for (let b = 0; b < blocks[s]!; b++) y = basic(net, y, `${at}.branches.${i}.${b}`);
          return y;
        });
        pictures = grown.map((_, i) => {
          const sent = grown.map((y, j) => brought(net, y, `${at}.fuse_layers.${i}.${j}`, { from: j, to: i, widths }));
          return net.activation(
            sent.reduce((a, b) => net.add(a, b)),
            'relu',
          );
        });
      }
    });
    const wide = pictures.map((y, i) => bottleneck(net, y, `incre_modules.${i}.0`, HEAD[i]!));
    let y = wide[0]!;
    for (let i = 1; i < wide.length; i++) {
      const options = { out: EXPANSION * HEAD[i]!, kernel: 3, stride: 2, bias: true };
      y = net.add(wide[i]!, convNormAct(net, y, `downsamp_modules.${i - 1}.0`, `downsamp_modules.${i - 1}.1`, 'relu', options));
    }
    return pooledHead(net, convNormAct(net, y, 'final_layer.0', 'final_layer.1', 'relu', { out: LAST, bias: true }), 'classifier');
  },
});

/** One branch's picture in the size and with the channels of another. */
function brought(
  net: Net,
  x: Value,
  at: string,
  { from, to, widths }: { readonly from: number; readonly to: number; readonly widths: readonly number[] },
): Value {
  if (from === to) return x;
  if (from > to) return repeated(net, convNormAct(net, x, `${at}.0`, `${at}.1`, 'none', { out: widths[to] }), 2 ** (from - to));
  let y = x;
  for (let k = 0; k < to - from; k++) {
    const isLast = k === to - from - 1;
    const options = { out: widths[isLast ? to : from], kernel: 3, stride: 2 };
    y = convNormAct(net, y, `${at}.${k}.0`, `${at}.${k}.1`, isLast ? 'none' : 'relu', options);
  }
  return y;
}

function basic(net: Net, x: Value, at: string): Value {
  const y = convNormAct(net, x, `${at}.conv1`, `${at}.bn1`, 'relu', { kernel: 3 });
  return net.activation(net.add(convNormAct(net, y, `${at}.conv2`, `${at}.bn2`, 'none', { kernel: 3 }), x), 'relu');
}

function bottleneck(net: Net, x: Value, at: string, between: number): Value {
  const out = EXPANSION * between;
  let y = convNormAct(net, x, `${at}.conv1`, `${at}.bn1`, 'relu', { out: between });
  y = convNormAct(net, y, `${at}.conv2`, `${at}.bn2`, 'relu', { out: between, kernel: 3 });
  y = convNormAct(net, y, `${at}.conv3`, `${at}.bn3`, 'none', { out });
  const projects = net.has(`${at}.downsample.0`, x.shape[1] !== out);
  return net.activation(net.add(y, projects ? convNormAct(net, x, `${at}.downsample.0`, `${at}.downsample.1`, 'none', { out }) : x), 'relu');
}
