/** SelecSLS: Mehta et al., "XNect", 2020, table 4: blocks whose long way around begins with their stage. Names are the authors', which timm has too. */
import { convBlock } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import type { Net, Value } from './net.js';

interface Size {
  /** Of each block: channels in the middle and at the end, and whether it begins a stage, which halves the picture. */
  readonly blocks: readonly (readonly [middle: number, out: number, begins: boolean])[];
  /** Of the last convolutions: channels and kernel. */
  readonly last: readonly (readonly [out: number, kernel: number])[];
}

const stage = (middle: number, depth: number, out: number): Size['blocks'] =>
  Array.from({ length: depth }, (_, i) => [middle, i === depth - 1 ? out : middle, i === 0]);
const BLOCKS_42 = [...stage(64, 2, 128), ...stage(144, 2, 288), ...stage(304, 2, 480)];
const BLOCKS_60 = [...stage(64, 2, 128), ...stage(128, 3, 288), ...stage(288, 4, 416)];
const BLOCKS_84 = [...stage(64, 2, 144), ...stage(144, 5, 304), ...stage(304, 6, 512)];
const last = (first: number, third: number, fourth: number, kernel = 1): Size['last'] => [
  [first, 3],
  [1024, 3],
  [third, 3],
  [fourth, kernel],
];

export const selecsls = family<Size>({
  name: 'selecsls',
  title: 'SelecSLS',
  source: 'Mehta et al., 2020, https://arxiv.org/abs/1907.00837, table 4',
  sizes: {
    selecsls42: { blocks: BLOCKS_42, last: last(960, 1024, 1280) },
    selecsls42b: { blocks: BLOCKS_42, last: last(960, 1280, 1024) },
    selecsls60: { blocks: BLOCKS_60, last: last(756, 1024, 1280) },
    selecsls60b: { blocks: BLOCKS_60, last: last(756, 1280, 1024) },
    selecsls84: { blocks: BLOCKS_84, last: last(960, 1024, 1280, 3) },
  },
  stem: 'stem.0',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const blocks = Array.from({ length: names.count('features.{n}.conv6.0') }, (_, i) => {
      const [middle = 0] = names.shape(`features.${i}.conv1.0`);
      const [out = 0, all] = names.shape(`features.${i}.conv6.0`);
      return [middle, out, all === 2 * middle] as const;
    });
    const ends = Array.from({ length: names.count('head.{n}.0') }, (_, i) => names.shape(`head.${i}.0`));
    return blocks.length === 0 || ends.length === 0 ? null : { blocks, last: ends.map(([out = 0, , kernel = 1]) => [out, kernel] as const) };
  },

  build(net, input, { blocks, last: ends }) {
    let x = convBlock(net, input, 'stem', 'relu', { out: 32, kernel: 3, stride: 2 });
    let around = x;
    blocks.forEach(([middle, out, begins], i) => {
      x = block(net, x, begins ? null : around, `features.${i}`, middle, out);
      if (begins) around = x;
    });
    ends.forEach(([out, kernel], i) => {
      x = convBlock(net, x, `head.${i}`, 'relu', { out, kernel, stride: i % 2 === 0 ? 2 : 1 });
    });
    return pooledHead(net, x, 'fc');
  },
});

/** @param around what the stage began with; null where it begins here */
function block(net: Net, x: Value, around: Value | null, at: string, middle: number, out: number): Value {
  const conv = (y: Value, i: number, width: number, kernel: number, stride = 1) => convBlock(net, y, `${at}.conv${i}`, 'relu', { out: width, kernel, stride });
  const first = conv(x, 1, middle, 3, around ? 1 : 2);
  const second = conv(conv(first, 2, middle, 1), 3, middle / 2, 3);
  const third = conv(conv(second, 4, middle, 1), 5, middle / 2, 3);
  return conv(net.concat([first, second, third, ...(around ? [around] : [])]), 6, out, 1);
}
