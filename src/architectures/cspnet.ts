/**
 * DarkNet, and CSPNet over it and over ResNet: Wang et al., "CSPNet: A New Backbone that can Enhance Learning Capability of CNN", 2019,
 * figure 3; Redmon & Farhadi, "YOLOv3", 2018, table 1. Names are timm's.
 */
import { convNormAct, residual, squeezeExcite } from './blocks.js';
import { family, type Names, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import type { Activation, ConvOptions, Net, Value } from './net.js';
import { spelling } from './spelling.js';

interface Stage {
  readonly depth: number;
  readonly out: number;
  /** Channels behind what makes the picture smaller; of the first stage of some nets nothing does. */
  readonly down: number | null;
  /** Channels of both halves, one of which goes around the blocks; of a plain DarkNet all go through them. */
  readonly halves: number | null;
  /** Channels inside of a block, and of what it gives. */
  readonly inside: number;
  readonly block: number;
  /** In which the wide convolution of a block goes. */
  readonly groups: number;
  /** Channels between the two layers of squeeze and excitation. */
  readonly squeezed: number | null;
}

interface Size {
  readonly stem: { readonly widths: readonly number[]; readonly kernel: number };
  readonly stages: readonly Stage[];
  readonly block: 'dark' | 'edge' | 'bottleneck';
  /** What went through the blocks has a convolution of its own, before both halves have theirs (CSPNet's first form). */
  readonly twice: boolean;
  /** Pictures are made smaller by means. */
  readonly averages: boolean;
}

interface Ratios {
  readonly expand?: readonly number[] | undefined;
  readonly inside: readonly number[];
  readonly block: readonly number[];
  readonly groups?: readonly number[];
  /** Blocks take less than a stage gives: what makes pictures smaller keeps their channels. */
  readonly keeps?: boolean;
  readonly squeeze?: number;
  readonly pooled?: boolean;
}

const eights = (width: number) => Math.max(8, Math.floor((width + 4) / 8) * 8);
/** A ratio for each stage; the last one is that of all further stages. */
const at = (list: readonly number[] | undefined, s: number) => list?.[Math.min(s, list.length - 1)];
const tableOf = (stem: readonly number[], depths: readonly number[], outs: readonly number[], ratios: Ratios): readonly Stage[] =>
  depths.map((depth, s) => {
    const out = outs[s]!;
    const before = s === 0 ? stem.at(-1)! : outs[s - 1]!;
    const inside = Math.round(at(ratios.inside, s)! * out * at(ratios.block, s)!);
    return {
      depth,
      out,
      down: s === 0 && ratios.pooled ? null : ratios.keeps ? before : out,
      halves: ratios.expand ? out * at(ratios.expand, s)! : null,
      inside,
      block: out * at(ratios.block, s)!,
      groups: at(ratios.groups, s) ?? 1,
      squeezed: ratios.squeeze === undefined ? null : eights(inside * ratios.squeeze),
    };
  });

const DARK = [64, 128, 256, 512, 1024];
const DEEP = [1, 2, 8, 8, 4];
const dark = (depths: number[], more: Partial<Size> = {}, squeeze?: number): Size => ({
  stem: { widths: [32], kernel: 3 },
  stages: tableOf([32], depths, DARK, { inside: [0.5], block: [1], ...(squeeze === undefined ? {} : { squeeze }) }),
  block: 'dark',
  twice: false,
  averages: false,
  ...more,
});
const cspResnet = (stem: number[], kernel: number, width: number, expand: number, inside: number, block: number, groups = 1): Size => ({
  stem: { widths: stem, kernel },
  stages: tableOf(
    stem,
    [3, 3, 5, 2],
    [1, 2, 4, 8].map((factor) => factor * width),
    {
      expand: [expand],
      inside: [inside / block],
      block: [block],
      groups: [groups],
      keeps: true,
      pooled: true,
    },
  ),
  block: 'bottleneck',
  twice: true,
  averages: false,
});
const cs3 = (wide: number, deep: number, { focus = false, edge = false, squeeze }: { focus?: boolean; edge?: boolean; squeeze?: number } = {}): Size => {
  const stem = (focus ? [64] : [32, 64]).map((width) => eights(width * wide));
  const outs = [128, 256, 512, 1024].map((width) => eights(width * wide));
  const depths = [3, 6, 9, 3].map((depth) => Math.floor(depth * deep));
  const ratios = { expand: [1], inside: [edge ? 1.5 : 1], block: [0.5], keeps: true, ...(squeeze === undefined ? {} : { squeeze }) };
  return {
    stem: { widths: stem, kernel: focus ? 6 : 3 },
    stages: tableOf(stem, depths, outs, ratios),
    block: edge ? 'edge' : 'dark',
    twice: false,
    averages: false,
  };
};

export const cspnet = family<Size>({
  name: 'cspnet',
  title: 'CSPNet or DarkNet',
  source: 'Wang et al., 2019, https://arxiv.org/abs/1911.11929, figure 3; Redmon & Farhadi, 2018, https://arxiv.org/abs/1804.02767, table 1',
  sizes: {
    darknet17: dark([1, 1, 1, 1, 1]),
    darknet21: dark([1, 1, 1, 2, 2]),
    darknet53: dark(DEEP),
    darknetaa53: dark(DEEP, { averages: true }),
    sedarknet21: dark([1, 1, 1, 2, 2], {}, 1 / 16),
    cspdarknet53: {
      ...dark(DEEP, { twice: true }),
      stages: tableOf([32], DEEP, DARK, { expand: [2, 1], inside: [0.5, 1], block: [1, 0.5] }),
    },
    cspresnet50: cspResnet([64], 7, 128, 2, 0.5, 1),
    cspresnet50d: cspResnet([32, 32, 64], 3, 128, 2, 0.5, 1),
    cspresnet50w: cspResnet([32, 32, 64], 3, 256, 1, 0.125, 0.5),
    cspresnext50: cspResnet([64], 7, 256, 1, 0.5, 0.5, 32),
    cs3darknet_s: cs3(0.5, 0.5),
    cs3darknet_m: cs3(0.75, 0.67),
    cs3darknet_l: cs3(1, 1),
    cs3darknet_x: cs3(1.25, 1.33),
    cs3darknet_focus_s: cs3(0.5, 0.5, { focus: true }),
    cs3darknet_focus_m: cs3(0.75, 0.67, { focus: true }),
    cs3darknet_focus_l: cs3(1, 1, { focus: true }),
    cs3darknet_focus_x: cs3(1.25, 1.33, { focus: true }),
    cs3sedarknet_l: cs3(1, 1, { squeeze: 0.25 }),
    cs3sedarknet_x: cs3(1.25, 1.33, { squeeze: 1 / 16 }),
    cs3sedarknet_xdw: {
      stem: { widths: [32, 64], kernel: 3 },
      stages: tableOf([32, 64], [3, 6, 12, 4], [256, 512, 1024, 2048], {
        expand: [1],
        inside: [0.5],
        block: [0.5],
        groups: [1, 1, 256, 512],
        keeps: true,
        squeeze: 1 / 16,
      }),
      block: 'bottleneck',
      twice: true,
      averages: false,
    },
    cs3edgenet_x: cs3(1.25, 1.33, { edge: true }),
    cs3se_edgenet_x: cs3(1.25, 1.33, { edge: true, squeeze: 0.25 }),
  },
  stem: 'stem.conv1.conv',
  side: 256,
  preprocessing: () => TORCHVISION,
  spellings: [
    {
      ecosystem: 'timm',
      spell: spelling({ 'stages.{s}.blocks.{b}.attn.{*}': 'stages.{s}.blocks.{b}.attn.{*}|stages.{s}.blocks.{b}.attn2.{*}', '{*}': '{*}' }),
    },
  ],

  measure(names) {
    const kernel = names.shape('stem.conv1.conv')[2];
    const widths = Array.from({ length: names.count('stem.conv{n}.conv', 1) }, (_, i) => names.shape(`stem.conv${i + 1}.conv`)[0]!);
    const stages = Array.from({ length: names.count('stages.{n}.blocks.0.conv2.conv') }, (_, s) => measured(names, `stages.${s}`));
    if (kernel === undefined || stages.length === 0) return null;
    const first = names.shape('stages.0.blocks.0.conv1.conv');
    return {
      stem: { widths, kernel },
      stages,
      block: names.has('stages.0.blocks.0.conv3') ? 'bottleneck' : first[2] === 3 ? 'edge' : 'dark',
      twice: names.has('stages.0.conv_transition_b'),
      averages: names.has('stages.0.conv_down.1.conv'),
    };
  },

  build(net, input, { stem, stages, block, twice, averages }) {
    // Nets of the first kind have leaky ReLUs; those whose stems have two convolutions, or one of 6 x 6, came later.
    const isLater = stem.widths.length === 2 || stem.kernel === 6;
    const act: Activation = isLater ? 'silu' : 'leaky-relu';
    const conv = (y: Value, path: string, options: ConvOptions, then: Activation = act) => convNormAct(net, y, `${path}.conv`, `${path}.bn`, then, options);
    const isPooled = stages[0]!.down === null;
    const strides = isPooled || isLater;
    let x = input;
    stem.widths.forEach((out, i) => {
      const pad = stem.kernel === 6 ? { pad: 2 } : {};
      x = conv(x, `stem.conv${i + 1}`, { out, kernel: stem.kernel, stride: i === 0 && strides ? 2 : 1, ...pad });
    });
    if (isPooled) x = net.maxPool(x, { kernel: 3, stride: 2, pad: 1 });
    stages.forEach((stage, s) => {
      const path = `stages.${s}`;
      if (stage.down !== null) {
        x = averages
          ? conv(net.averagePool(x, { kernel: 2 }), `${path}.conv_down.1`, { out: stage.down })
          : conv(x, `${path}.conv_down`, { out: stage.down, kernel: 3, stride: 2 });
      }
      const blocks = (y: Value) =>
        Array.from({ length: stage.depth }).reduce<Value>((z, _, b) => blockOf(net, z, `${path}.blocks.${b}`, block, stage, conv, act), y);
      if (stage.halves === null) {
        x = blocks(x);
        return;
      }
      const half = stage.halves / 2;
      const both = conv(x, `${path}.conv_exp`, { out: stage.halves }, isPooled ? 'none' : act);
      const [first, second] = [net.slice(both, 1, 0, half), net.slice(both, 1, half, 2 * half)];
      const through = twice ? conv(blocks(second), `${path}.conv_transition_b`, { out: half }) : blocks(first);
      x = conv(net.concat(twice ? [first, through] : [through, second]), `${path}.conv_transition`, { out: stage.out });
    });
    return pooledHead(net, x, 'head.fc');
  },
});

type Conv = (y: Value, path: string, options: ConvOptions, then?: Activation) => Value;

function blockOf(net: Net, x: Value, path: string, kind: Size['block'], { inside, block, groups, squeezed }: Stage, conv: Conv, act: Activation): Value {
  const attend = (y: Value) =>
    squeezed === null ? y : squeezeExcite(net, y, { reduce: `${path}.attn.fc1`, expand: `${path}.attn.fc2`, width: squeezed, act, gate: 'sigmoid' });
  if (kind === 'bottleneck') {
    const branch = (y: Value) => {
      const deep = conv(conv(y, `${path}.conv1`, { out: inside }), `${path}.conv2`, { out: inside, kernel: 3, groups });
      return conv(attend(deep), `${path}.conv3`, { out: block }, 'none');
    };
    return net.activation(residual(net, x, branch), act);
  }
  const [first, second] = kind === 'dark' ? [1, 3] : [3, 1];
  return residual(net, x, (y) => conv(attend(conv(y, `${path}.conv1`, { out: inside, kernel: first })), `${path}.conv2`, { out: block, kernel: second }));
}

function measured(names: Names, path: string): Stage {
  const out = (name: string) => names.shape(`${path}.${name}.conv`)[0];
  const [inside = 0] = names.shape(`${path}.blocks.0.conv1.conv`);
  const [deep = 0, each = 0] = names.shape(`${path}.blocks.0.conv2.conv`);
  const isBottleneck = names.has(`${path}.blocks.0.conv3`);
  const block = isBottleneck ? out('blocks.0.conv3')! : deep;
  return {
    depth: names.count(`${path}.blocks.{n}.conv1.conv`),
    out: out('conv_transition') ?? block,
    down: out('conv_down') ?? out('conv_down.1') ?? null,
    halves: out('conv_exp') ?? null,
    inside,
    block,
    groups: isBottleneck ? inside / each : 1,
    squeezed: names.shape(`${path}.blocks.0.attn.fc1`)[0] ?? null,
  };
}
