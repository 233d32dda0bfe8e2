/**
 * Nets whose blocks are parallel convolutions while they train: RepVGG (Ding et al., 2021, table 2), MobileOne (Vasu et al., 2022, table 2).
 * Read with their branches, as published, or with the one convolution that these can be made into.
 */
import { squeezeExcite } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import { type ConvOptions, Departure, type Net, sizeOf, type Value } from './net.js';

interface Size {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
  /** Of every second block, where it has several. */
  readonly groups?: number;
}

const repvgg = (depths: readonly number[], narrow: number, last: number): Size => ({
  depths,
  widths: [Math.min(64, 64 * narrow), 64 * narrow, 128 * narrow, 256 * narrow, 512 * last],
});
const SMALL = [2, 4, 14, 1];
const LARGE = [4, 6, 16, 1];

/** The family's `stem` and `stages.<s>.<b>`, and in them `dense`, `point`, `same`, `merged`, `se`. */
const spelt =
  (at: { readonly stem: string; readonly stage: (s: number, b: string) => string }, words: Readonly<Record<string, string>>) =>
  (path: string): string | null => {
    const [, stem, s, b, part, rest = ''] = /^(?:(stem)|stages\.(\d+)\.(\d+))\.(\w+)(.*)$/.exec(path) ?? [];
    if (part === undefined) return path.startsWith('fc') ? path.replace(/^fc/, words.fc!) : null;
    const word = words[part];
    return word === undefined ? null : `${stem ? at.stem : at.stage(Number(s), b!)}.${word}${rest}`;
  };
const TIMM = { stem: 'stem', stage: (s: number, b: string) => `stages.${s}.${b}` };
const OWN = { stem: 'stage0', stage: (s: number, b: string) => `stage${s + 1}.${b}` };

export const repVgg = family<Size>({
  name: 'repvgg',
  title: 'RepVGG or MobileOne',
  source: 'Ding et al., 2021, https://arxiv.org/abs/2101.03697, table 2; Vasu et al., 2022, https://arxiv.org/abs/2206.04040',
  sizes: {
    repvgg_a0: repvgg(SMALL, 0.75, 2.5),
    repvgg_a1: repvgg(SMALL, 1, 2.5),
    repvgg_a2: repvgg(SMALL, 1.5, 2.75),
    repvgg_b0: repvgg(LARGE, 1, 2.5),
    repvgg_b1: repvgg(LARGE, 2, 4),
    repvgg_b2: repvgg(LARGE, 2.5, 5),
    repvgg_b3: repvgg(LARGE, 3, 5),
    repvgg_b1g4: { ...repvgg(LARGE, 2, 4), groups: 4 },
    repvgg_b2g4: { ...repvgg(LARGE, 2.5, 5), groups: 4 },
    repvgg_b3g4: { ...repvgg(LARGE, 3, 5), groups: 4 },
  },
  stem: 'stem.anchor',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [
    {
      ecosystem: 'timm',
      spell: spelt(TIMM, {
        anchor: 'conv_kxk.conv|stem.conv_kxk.0.conv|stem.reparam_conv',
        dense: 'conv_kxk',
        point: 'conv_1x1',
        scale: 'conv_scale',
        same: 'identity',
        merged: 'reparam_conv',
        se: 'attn',
        fc: 'head.fc',
      }),
    },
    {
      ecosystem: 'timm',
      spell: spelt(OWN, {
        anchor: 'rbr_dense.conv|stage0.rbr_reparam',
        dense: 'rbr_dense',
        point: 'rbr_1x1',
        same: 'rbr_identity',
        merged: 'rbr_reparam',
        fc: 'linear',
      }),
    },
    {
      ecosystem: 'timm',
      spell: spelt(OWN, {
        anchor: 'rbr_conv.0.conv|stage0.reparam_conv',
        dense: 'rbr_conv',
        scale: 'rbr_scale',
        same: 'rbr_skip',
        merged: 'reparam_conv',
        se: 'se',
        fc: 'linear',
      }),
    },
  ],

  measure(names) {
    const at = (name: string) => ['merged', 'dense.conv', 'dense.0.conv'].map((part) => names.shape(`${name}.${part}`)).find(({ length }) => length === 4);
    const stem = at('stem');
    if (!stem) return null;
    const stages: number[][] = [];
    for (let s = 0; at(`stages.${s}.0`); s++) {
      const widths: number[] = [];
      for (let found = at(`stages.${s}.0`); found; found = at(`stages.${s}.${widths.length}`)) widths.push(found[0]!);
      stages.push(widths);
    }
    if (stages.length === 0) return null;
    const [out = 1, each = out] = at('stages.0.1') ?? [];
    const depths = stages.map(({ length }) => length);
    return { depths, widths: [stem[0]!, ...stages.map((widths) => widths.at(-1)!)], ...(out > each ? { groups: out / each } : {}) };
  },

  build(net, input, { depths, widths, groups = 1 }) {
    let x = block(net, input, 'stem', { out: widths[0]!, stride: 2 });
    depths.forEach((depth, s) => {
      for (let b = 0; b < depth; b++) x = block(net, x, `stages.${s}.${b}`, { out: widths[s + 1]!, stride: b === 0 ? 2 : 1, groups: b % 2 === 1 ? groups : 1 });
    });
    return pooledHead(net, x, 'fc');
  },
});

function block(net: Net, x: Value, at: string, options: ConvOptions): Value {
  const usual = { ...options, kernel: 3 };
  const sum = (): Value => {
    if (net.has(`${at}.merged`, false)) return net.conv(x, `${at}.merged`, { ...usual, bias: true });
    const both = (path: string, more: ConvOptions) => net.norm(net.conv(x, `${path}.conv`, more), `${path}.bn`);
    const dense: Value[] = [];
    if (net.has(`${at}.dense.conv`, true)) dense.push(both(`${at}.dense`, usual));
    else for (let i = 0; net.has(`${at}.dense.${i}`, false); i++) dense.push(both(`${at}.dense.${i}`, usual));
    const keeps = options.stride === 1 && options.out === sizeOf(x, 1);
    const all = [
      ...(net.has(`${at}.same`, keeps) ? [net.norm(x, `${at}.same`)] : []),
      ...(net.has(`${at}.point`, true) ? [both(`${at}.point`, { ...options, pad: 0 })] : []),
      ...(net.has(`${at}.scale`, false) ? [both(`${at}.scale`, { ...options, pad: 0 })] : []),
      ...dense,
    ];
    if (all.length === 0) throw new Departure(net.store.sourceName(at), 'has no convolution');
    return all.reduce((a, b) => net.add(a, b));
  };
  const y = sum();
  const squeeze = ['fc1', 'reduce'].find((part) => net.has(`${at}.se.${part}`, false));
  const expand = squeeze === 'reduce' ? 'expand' : 'fc2';
  const width = sizeOf(y, 1) / 16;
  return net.activation(
    squeeze ? squeezeExcite(net, y, { reduce: `${at}.se.${squeeze}`, expand: `${at}.se.${expand}`, width, act: 'relu', gate: 'sigmoid' }) : y,
    'relu',
  );
}
