/** SKNet: Li et al., "Selective Kernel Networks", 2019, figure 1, as timm has it: ResNets whose 3 x 3 convolutions choose between two windows. */
import { convNormAct, residual, roundWidth } from './blocks.js';
import { family, type Names, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import { type Net, sizeOf, type Value } from './net.js';

interface Size {
  readonly block: 'basic' | 'bottleneck';
  readonly depths: readonly number[];
  /** Channels that the selective convolutions of each stage make. */
  readonly widths: readonly number[];
  readonly groups: number;
  /** Each window has its half of the channels, and not all of them. */
  readonly split?: true;
  /** How many times fewer channels choose, and of how many they are a multiple. */
  readonly reduced: readonly [ratio: number, divisor: number];
}

const WIDTHS = [64, 128, 256, 512];
const basic = (...depths: number[]): Size => ({ block: 'basic', depths, widths: WIDTHS, groups: 1, split: true, reduced: [8, 16] });

export const sknet = family<Size>({
  name: 'sknet',
  title: 'SKNet',
  source: 'Li et al., 2019, https://arxiv.org/abs/1903.06586, figure 1',
  sizes: {
    skresnet18: basic(2, 2, 2, 2),
    skresnet34: basic(3, 4, 6, 3),
    skresnet50: { block: 'bottleneck', depths: [3, 4, 6, 3], widths: WIDTHS, groups: 1, split: true, reduced: [16, 8] },
    skresnext50_32x4d: { block: 'bottleneck', depths: [3, 4, 6, 3], widths: [128, 256, 512, 1024], groups: 32, reduced: [16, 32] },
  },
  stem: 'conv1',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const block = names.has('layer1.0.conv1.paths.0.conv') ? 'basic' : 'bottleneck';
    const selective = block === 'basic' ? 'conv1' : 'conv2';
    const stages = Array.from({ length: names.count(`layer{n}.0.${selective}.paths.1.conv`, 1) }, (_, s) => `layer${s + 1}`);
    if (stages.length === 0) return null;
    const widths = stages.map((at) => names.shape(`${at}.0.${selective}.paths.0.conv`)[0]!);
    const flows = incoming(names, block);
    const [, each = 1] = names.shape(`layer1.0.${selective}.paths.0.conv`);
    const split = each * 2 === flows;
    const sizes = { block, depths: stages.map((at) => names.count(`${at}.{n}.${selective}.paths.0.conv`)), widths, groups: split ? 1 : flows / each } as const;
    // What it is reduced to is rounded, so that its factor does not follow: the published one whose numbers these are.
    const fewer = stages.map((at) => names.shape(`${at}.0.${selective}.attn.fc_reduce`)[0]!);
    const reduced = REDUCTIONS.find(([ratio, divisor]) => widths.every((width, s) => roundWidth(width / ratio, divisor) === fewer[s])) ?? REDUCTIONS[0]!;
    return { ...sizes, ...(split ? { split: true as const } : {}), reduced };
  },

  build(net, input, { block, depths, widths, groups, split, reduced }) {
    // Convolutions of two groups over all channels would have the same shapes.
    const halves = net.setting<string>('windows', split ? 'halves' : 'all', WINDOWS, split !== true) === 'halves';
    let x = convNormAct(net, input, 'conv1', 'bn1', 'relu', { out: 64, kernel: 7, stride: 2, pad: 3 });
    x = net.maxPool(x, { kernel: 3, stride: 2, pad: 1 });
    depths.forEach((depth, s) => {
      const [inner, out] = [widths[s]!, block === 'basic' ? widths[s]! : 256 * 2 ** s];
      for (let b = 0; b < depth; b++) {
        const at = `layer${s + 1}.${b}`;
        const stride = s > 0 && b === 0 ? 2 : 1;
        const conv = (y: Value, i: number, act: 'relu' | 'none', width: number, kernel: number) =>
          convNormAct(net, y, `${at}.conv${i}.conv`, `${at}.conv${i}.bn`, act, { out: width, kernel });
        const options = { out: inner, stride, groups, split: halves, fewer: roundWidth(inner / reduced[0], reduced[1]) };
        const branch = (y: Value) =>
          block === 'basic'
            ? conv(selectiveKernel(net, y, `${at}.conv1`, options), 2, 'none', out, 3)
            : conv(selectiveKernel(net, conv(y, 1, 'relu', inner, 1), `${at}.conv2`, options), 3, 'none', out, 1);
        const around = (y: Value) =>
          net.has(`${at}.downsample.0`, b === 0 && (s > 0 || block === 'bottleneck'))
            ? convNormAct(net, y, `${at}.downsample.0`, `${at}.downsample.1`, 'none', { out, stride, pad: 0 })
            : y;
        x = net.activation(residual(net, x, branch, around), 'relu');
      }
    });
    return pooledHead(net, x, 'fc');
  },
});

const WINDOWS = 'each of the two windows of a selective convolution takes {} of the channels (halves: its own; all)';

/** Of timm's nets. */
const REDUCTIONS: readonly Size['reduced'][] = [
  [8, 16],
  [16, 8],
  [16, 32],
];

/** Channels that flow into the first selective convolution. */
function incoming(names: Names, block: Size['block']): number {
  return names.shape(block === 'basic' ? 'conv1' : 'layer1.0.conv1.conv')[0] ?? 0;
}

interface SelectiveOptions {
  readonly out: number;
  readonly stride: number;
  readonly groups: number;
  readonly split: boolean;
  readonly fewer: number;
}

/** Convolutions of two windows (the second dilates), of which each channel takes as much as a softmax over what both say of the whole picture. */
function selectiveKernel(net: Net, x: Value, at: string, { out, stride, groups, split, fewer }: SelectiveOptions): Value {
  const half = sizeOf(x, 1) / 2;
  const paths = [0, 1].map((i) => {
    const taken = split ? net.slice(x, 1, i * half, (i + 1) * half) : x;
    return convNormAct(net, taken, `${at}.paths.${i}.conv`, `${at}.paths.${i}.bn`, 'relu', { out, kernel: 3, stride, groups, dilation: i + 1 });
  }) as [Value, Value];
  const squeezed = net.op('GlobalAveragePool', [net.add(...paths)]);
  const chosen = net.conv(convNormAct(net, squeezed, `${at}.attn.fc_reduce`, `${at}.attn.bn`, 'relu', { out: fewer }), `${at}.attn.fc_select`, {
    out: 2 * out,
  });
  const shares = net.reshape(net.op('Softmax', [net.reshape(chosen, [0, 2, out])], { axis: 1 }), [0, 2 * out, 1, 1]);
  const [first, second] = paths.map((path, i) => net.multiply(path, net.slice(shares, 1, i * out, (i + 1) * out))) as [Value, Value];
  return net.add(first, second);
}
