/** DLA: Yu et al., "Deep Layer Aggregation", 2018, table 1: blocks in pairs, whose results trees of roots put together. Names are timm's. */
import { convNormAct } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import type { Net, Value } from './net.js';

interface Size {
  readonly block: 'basic' | 'bottleneck';
  /** Convolutions of the first two levels, then the height of each level's tree. */
  readonly levels: readonly number[];
  readonly widths: readonly number[];
  /** Of the 3 x 3 convolutions, and channels between for 64 that come out. */
  readonly groups: number;
  readonly between: number;
}

const basic = (levels: number[], widths: number[]): Size => ({ block: 'basic', levels, widths, groups: 1, between: 64 });
const bottleneck = (levels: number[], widths: number[], groups = 1, between = 32): Size => ({ block: 'bottleneck', levels, widths, groups, between });
const WIDE = [16, 32, 128, 256, 512, 1024];
const NARROW = [16, 32, 64, 64, 128, 256];
const ROOTS_ADD = 'the roots of trees add what the last block gave: {} (in dla102, dla169 and their like; weights of dla60 and smaller do not have it)';

export const dla = family<Size>({
  name: 'dla',
  title: 'DLA',
  source: 'Yu et al., 2018, https://arxiv.org/abs/1707.06484, table 1',
  sizes: {
    dla34: basic([1, 1, 1, 2, 2, 1], [16, 32, 64, 128, 256, 512]),
    dla46_c: bottleneck([1, 1, 1, 2, 2, 1], NARROW),
    dla46x_c: bottleneck([1, 1, 1, 2, 2, 1], NARROW, 32, 64),
    dla60x_c: bottleneck([1, 1, 1, 2, 3, 1], NARROW, 32, 64),
    dla60: bottleneck([1, 1, 1, 2, 3, 1], WIDE),
    dla60x: bottleneck([1, 1, 1, 2, 3, 1], WIDE, 32, 64),
    dla102: bottleneck([1, 1, 1, 3, 4, 1], WIDE),
    dla102x: bottleneck([1, 1, 1, 3, 4, 1], WIDE, 32, 64),
    dla102x2: bottleneck([1, 1, 1, 3, 4, 1], WIDE, 64, 128),
    dla169: bottleneck([1, 1, 2, 3, 5, 1], WIDE),
  },
  stem: 'base_layer.0',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const leaf = (s: number, height: number) => `level${s}.${'tree1.'.repeat(height)}`;
    const heights = [2, 3, 4, 5].map((s) => [1, 2, 3, 4, 5, 6].find((height) => names.has(`${leaf(s, height)}conv2`)) ?? 0);
    if (heights.includes(0)) return null;
    const lowest = leaf(2, heights[0]!);
    const block = names.has(`${lowest}conv3`) ? 'bottleneck' : 'basic';
    const last = block === 'basic' ? 'conv2' : 'conv3';
    const [inner = 1, each = 1] = names.shape(`${lowest}conv2`);
    const [out = 1] = names.shape(`${lowest}${last}`);
    return {
      block,
      levels: [names.count('level0.{n}') / 2 || 1, 1, ...heights].map(Math.round),
      widths: [names.shape('base_layer.0')[0]!, names.shape('level1.0')[0]!, ...heights.map((height, i) => names.shape(`${leaf(i + 2, height)}${last}`)[0]!)],
      groups: inner / each,
      between: block === 'basic' ? 64 : Math.round((64 * inner) / out),
    };
  },

  build(net, input, size) {
    const { levels, widths, block } = size;
    const adds = block === 'bottleneck' && Math.max(...levels.slice(2)) > 3 ? 'true' : 'false';
    const rootsAdd = net.setting<string>('roots_add', adds, ROOTS_ADD) === 'true';
    let x = convNormAct(net, input, 'base_layer.0', 'base_layer.1', 'relu', { out: widths[0], kernel: 7 });
    for (let s = 0; s < 2; s++) {
      for (let i = 0; net.has(`level${s}.${3 * i}`, i < levels[s]!); i++) {
        const options = { out: widths[s], kernel: 3, stride: s === 1 && i === 0 ? 2 : 1 };
        x = convNormAct(net, x, `level${s}.${3 * i}`, `level${s}.${3 * i + 1}`, 'relu', options);
      }
    }
    for (let s = 2; s < levels.length; s++) {
      x = tree(net, x, `level${s}`, { ...size, rootsAdd, height: levels[s]!, out: widths[s]!, stride: 2, isLevel: s > 2 }, []);
    }
    return pooledHead(net, x, 'fc');
  },
});

interface Tree extends Size {
  readonly rootsAdd: boolean;
  readonly height: number;
  readonly out: number;
  readonly stride: number;
  /** Its root takes what came into the level as well. */
  readonly isLevel: boolean;
}

/** Two trees one behind the other, of which the second's root takes all; at the end of both, blocks. */
function tree(net: Net, x: Value, at: string, options: Tree, before: readonly Value[]): Value {
  const { height, out, stride, isLevel, rootsAdd } = options;
  const bottom = stride > 1 ? net.maxPool(x, { kernel: stride }) : x;
  const children = isLevel ? [...before, bottom] : before;
  if (height > 1) {
    const below = { ...options, height: height - 1, isLevel: false };
    const first = tree(net, x, `${at}.tree1`, below, []);
    return tree(net, first, `${at}.tree2`, { ...below, stride: 1 }, [...children, first]);
  }
  const projected = net.has(`${at}.project.0`, x.shape[1] !== out);
  const around = projected ? convNormAct(net, bottom, `${at}.project.0`, `${at}.project.1`, 'none', { out }) : bottom;
  const first = block(net, x, `${at}.tree1`, options, around);
  const second = block(net, first, `${at}.tree2`, { ...options, stride: 1 }, first);
  const root = net.norm(net.conv(net.concat([second, first, ...children]), `${at}.root.conv`, { out }), `${at}.root.bn`);
  return net.activation(rootsAdd ? net.add(root, second) : root, 'relu');
}

function block(net: Net, x: Value, at: string, { block: kind, out, stride, groups, between }: Tree, around: Value): Value {
  const conv = (y: Value, i: number, act: 'relu' | 'none', width: number, kernel: number, step = 1) =>
    convNormAct(net, y, `${at}.conv${i}`, `${at}.bn${i}`, act, { out: width, kernel, stride: step, groups: kernel === 3 ? groups : 1 });
  const inner = kind === 'basic' ? out : Math.round((out * between) / 64);
  const made =
    kind === 'basic'
      ? conv(conv(x, 1, 'relu', out, 3, stride), 2, 'none', out, 3)
      : conv(conv(conv(x, 1, 'relu', inner, 1), 2, 'relu', inner, 3, stride), 3, 'none', out, 1);
  return net.activation(net.add(made, around), 'relu');
}
