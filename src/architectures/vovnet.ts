/**
 * VoVNet: Lee et al., "An Energy and GPU-Computation Efficient Backbone Network", 2019, table 1; version 2: Lee & Park, "CenterMask", 2020, which
 * weighs channels and adds what goes around. Names are timm's.
 */
import { convNormAct } from './blocks.js';
import { channelAttention } from './channel-attention.js';
import { family, TORCHVISION } from './family.js';
import { pooledHead } from './head.js';
import { type ConvOptions, type Net, sizeOf, type Value } from './net.js';

interface Size {
  readonly stem: readonly number[];
  readonly inner: readonly number[];
  readonly widths: readonly number[];
  readonly depths: readonly number[];
  /** Convolutions in a block. */
  readonly layers: number;
  readonly depthwise: boolean;
  readonly attention: 'ese' | 'eca' | null;
}

const vov = (depths: number[], layers: number, more: Partial<Size> = {}): Size => ({
  stem: more.depthwise ? [64, 64, 64] : [64, 64, 128],
  inner: [128, 160, 192, 224],
  widths: [256, 512, 768, 1024],
  depths,
  layers,
  depthwise: false,
  attention: 'ese',
  ...more,
});
const SLIM = { inner: [64, 80, 96, 112], widths: [112, 256, 384, 512] };

export const vovnet = family<Size>({
  name: 'vovnet',
  title: 'VoVNet',
  source: 'Lee et al., 2019, https://arxiv.org/abs/1904.09730, table 1; Lee & Park, 2020, https://arxiv.org/abs/1911.06667',
  sizes: {
    vovnet39a: vov([1, 1, 2, 2], 5, { attention: null }),
    vovnet57a: vov([1, 1, 4, 3], 5, { attention: null }),
    ese_vovnet19b_slim_dw: vov([1, 1, 1, 1], 3, { ...SLIM, depthwise: true }),
    ese_vovnet19b_dw: vov([1, 1, 1, 1], 3, { depthwise: true }),
    ese_vovnet19b_slim: vov([1, 1, 1, 1], 3, SLIM),
    ese_vovnet19b: vov([1, 1, 1, 1], 3),
    ese_vovnet39b: vov([1, 1, 2, 2], 5),
    ese_vovnet57b: vov([1, 1, 4, 3], 5),
    ese_vovnet99b: vov([1, 3, 9, 3], 5),
    eca_vovnet39b: vov([1, 1, 2, 2], 5, { attention: 'eca' }),
  },
  stem: 'stem.0.conv',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'timm', spell: (path) => path }],

  measure(names) {
    const depthwise = names.has('stem.1.conv_dw');
    const layer = (path: string) => names.shape(depthwise ? `${path}.conv_pw` : `${path}.conv`)[0];
    const stages = [0, 1, 2, 3].map((s) => `stages.${s}.blocks`);
    const last = (at: string) => `${at}.${names.count(`${at}.{n}.conv_concat`) - 1}`;
    const stem = [names.shape('stem.0.conv')[0], layer('stem.1'), layer('stem.2')];
    const inner = stages.map((at) => layer(`${at}.0.conv_mid.0`));
    const widths = stages.map((at) => names.shape(`${at}.0.conv_concat.conv`)[0]);
    if ([...stem, ...inner, ...widths].includes(undefined)) return null;
    const attention = last(stages[0]!);
    return {
      stem: stem as number[],
      inner: inner as number[],
      widths: widths as number[],
      depths: stages.map((at) => names.count(`${at}.{n}.conv_concat`)),
      layers: names.count('stages.0.blocks.0.conv_mid.{n}'),
      depthwise,
      attention: names.has(`${attention}.attn.fc`) ? 'ese' : names.has(`${attention}.attn.conv`) ? 'eca' : null,
    };
  },

  build(net, input, { stem, inner, widths, depths, layers, depthwise, attention }) {
    const conv = (y: Value, path: string, options: ConvOptions) => convNormAct(net, y, `${path}.conv`, `${path}.bn`, 'relu', options);
    const wide = (y: Value, path: string, options: ConvOptions) => (depthwise ? separable(net, y, path, options) : conv(y, path, { kernel: 3, ...options }));
    let x = conv(input, 'stem.0', { out: stem[0], kernel: 3, stride: 2 });
    x = wide(wide(x, 'stem.1', { out: stem[1] }), 'stem.2', { out: stem[2], stride: 2 });
    depths.forEach((depth, s) => {
      if (s > 0) x = net.maxPool(x, { kernel: 3, stride: 2, ceil: true });
      for (let b = 0; b < depth; b++) {
        const at = `stages.${s}.blocks.${b}`;
        const all = [x];
        let y = depthwise && net.has(`${at}.conv_reduction`, sizeOf(x, 1) !== inner[s]) ? conv(x, `${at}.conv_reduction`, { out: inner[s] }) : x;
        for (let i = 0; i < layers; i++) {
          y = wide(y, `${at}.conv_mid.${i}`, { out: inner[s] });
          all.push(y);
        }
        y = conv(net.concat(all), `${at}.conv_concat`, { out: widths[s] });
        if (attention && b === depth - 1) y = attention === 'ese' ? squeezed(net, y, `${at}.attn.fc`) : channelAttention(net, y, `${at}.attn`, 'eca');
        // The first version adds nothing, and does not weigh channels either.
        x = attention && b > 0 ? net.add(y, x) : y;
      }
    });
    return pooledHead(net, x, 'head.fc');
  },
});

/** Depthwise and 1 x 1 with one activation behind both. */
function separable(net: Net, x: Value, path: string, { out, stride }: ConvOptions): Value {
  const deep = net.conv(x, `${path}.conv_dw`, { kernel: 3, stride, depthwise: true });
  return convNormAct(net, deep, `${path}.conv_pw`, `${path}.bn`, 'relu', { out });
}

/** Squeeze and excitation by one convolution. */
function squeezed(net: Net, x: Value, path: string): Value {
  const scores = net.conv(net.op('GlobalAveragePool', [x]), path, { out: sizeOf(x, 1), bias: true, pad: 0 });
  return net.multiply(x, net.activation(scores, 'hard-sigmoid'));
}
