/**
 * ReXNet: Han et al., "Rethinking Channel Dimensions for Efficient Model Design", 2020, table 4: inverted residuals, each a little wider than the one before
 * it. Names are timm's.
 */
import { convNormAct } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import { type Activation, type ConvOptions, type Net, sizeOf, type Value } from './net.js';

interface Block {
  readonly out: number;
  /** Channels in the middle. */
  readonly wide: number;
  /** Of squeeze and excitation; 0 where it has none. */
  readonly squeezed: number;
}

interface Size {
  readonly stem: number;
  readonly blocks: readonly Block[];
  readonly last: number;
}

/** Blocks of each stage, and how it begins. */
const STAGES = [1, 2, 2, 3, 3, 5];
const STRIDES = [1, 2, 2, 2, 1, 2];
const BLOCKS = STAGES.reduce((sum, depth) => sum + depth, 0);
/** Of the channels in the middle. */
const SQUEEZE = 12;
const RATIO = 6;

/** Python's: halves go to the even number. */
const rounded = (value: number) => (value % 1 === 0.5 ? 2 * Math.round(value / 2) : Math.round(value));

function divisible(width: number, by: number): number {
  const near = Math.max(by, Math.floor((width + by / 2) / by) * by);
  return near < 0.9 * width ? near + by : near;
}

/** @param by what widths are multiples of */
function size(scale: number, by = 1): Size {
  let before = divisible(rounded(32 * scale), by);
  const stem = before;
  const blocks = Array.from({ length: BLOCKS }, (_, i): Block => {
    const out = divisible(rounded((16 + (180 / BLOCKS) * i) * scale), by);
    const wide = i === 0 ? before : divisible(rounded(RATIO * before), by);
    before = out;
    return { out, wide, squeezed: i < STAGES[0]! + STAGES[1]! ? 0 : divisible(Math.floor(wide / SQUEEZE), by) };
  });
  return { stem, blocks, last: divisible(Math.floor(1280 * scale), by) };
}

export const rexnet = family<Size>({
  name: 'rexnet',
  title: 'ReXNet',
  source: 'Han et al., 2020, https://arxiv.org/abs/2007.00992, table 4',
  sizes: {
    rexnet_100: size(1),
    rexnet_130: size(1.3),
    rexnet_150: size(1.5),
    rexnet_200: size(2),
    rexnet_300: size(3),
    rexnetr_200: size(2, 8),
    rexnetr_300: size(3, 16),
  },
  stem: 'stem.conv',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const [stem] = names.shape('stem.conv');
    const depth = names.count('features.{n}.conv_pwl');
    const [last] = names.shape(`features.${depth}.conv`);
    // Where stages begin no width tells: other depths are none that anybody published.
    if (!stem || !last || depth !== BLOCKS) return null;
    const blocks = Array.from({ length: depth }, (_, i) => {
      const [out = 0, wide = 0] = names.shape(`features.${i}.conv_pwl.conv`);
      return { out, wide, squeezed: names.shape(`features.${i}.se.fc1`)[0] ?? 0 };
    });
    return { stem, blocks, last };
  },

  build(net, input, { stem, blocks, last }) {
    const conv = (y: Value, at: string, act: Activation, options: ConvOptions) => convNormAct(net, y, `${at}.conv`, `${at}.bn`, act, options);
    const begins = STAGES.map((_, s) => STAGES.slice(0, s).reduce((sum, depth) => sum + depth, 0));
    let x = conv(input, 'stem', 'silu', { out: stem, kernel: 3, stride: 2 });
    blocks.forEach(({ out, wide, squeezed }, i) => {
      const at = `features.${i}`;
      const stride = STRIDES[begins.indexOf(i)] ?? 1;
      const before = sizeOf(x, 1);
      const expanded = net.has(`${at}.conv_exp`, i > 0) ? conv(x, `${at}.conv_exp`, 'silu', { out: wide }) : x;
      const deep = conv(expanded, `${at}.conv_dw`, 'none', { kernel: 3, stride, depthwise: true });
      const weighed = net.activation(squeezed > 0 ? squeeze(net, deep, `${at}.se`, squeezed) : deep, 'relu6');
      const made = conv(weighed, `${at}.conv_pwl`, 'none', { out });
      x = stride === 1 && before <= out ? widened(net, x, made) : made;
    });
    return pooledHead(net, conv(x, `features.${blocks.length}`, 'silu', { out: last }), 'head.fc');
  },
});

/** What goes around is added to as many channels as it has; the others are new. */
function widened(net: Net, x: Value, made: Value): Value {
  const [before, out] = [sizeOf(x, 1), sizeOf(made, 1)];
  if (before === out) return net.add(made, x);
  return net.concat([net.add(net.slice(made, 1, 0, before), x), net.slice(made, 1, before, out)]);
}

/** Squeeze and excitation whose middle is normalised. */
function squeeze(net: Net, x: Value, at: string, width: number): Value {
  const middle = net.norm(net.conv(net.op('GlobalAveragePool', [x]), `${at}.fc1`, { out: width, bias: true }), `${at}.bn`);
  const scores = net.conv(net.activation(middle, 'relu'), `${at}.fc2`, { out: sizeOf(x, 1), bias: true });
  return net.multiply(x, net.activation(scores, 'sigmoid'));
}
