/**
 * PP-HGNet and PP-HGNetV2, as PaddleClas has them: blocks that put side by side what each of their convolutions made. Names are timm's.
 *
 * @see https://github.com/PaddlePaddle/PaddleClas/blob/release/2.5/docs/en/models/PP-HGNet_en.md
 */
import { reshape } from '../model/tensor.js';
import { convNormAct } from './blocks.js';
import { family, TORCHVISION } from './family.js';
import { head } from './head.js';
import { type Activation, type ConvOptions, Departure, type Net, sizeOf, type Value } from './net.js';

interface Stage {
  /** Of each convolution of a block. */
  readonly inner: number;
  readonly out: number;
  readonly blocks: number;
  readonly convs: number;
  readonly kernel: number;
  /** Convolutions are one of 1 x 1 and a depthwise one. */
  readonly light: boolean;
}

interface Size {
  readonly version: 1 | 2;
  readonly stem: readonly number[];
  readonly stages: readonly Stage[];
  /** Activations are scaled and shifted, by one number each. */
  readonly scaled: boolean;
}

type Row = readonly [inner: number, out: number, blocks: number];
const LAST = 2048;
const first = (stem: number[], convs: number, ...rows: readonly Row[]): Size => ({
  version: 1,
  stem,
  stages: rows.map(([inner, out, blocks]) => ({ inner, out, blocks, convs, kernel: 3, light: false })),
  scaled: false,
});
const second = (stem: number[], convs: number, scaled: boolean, ...rows: readonly Row[]): Size => ({
  version: 2,
  stem,
  stages: rows.map(([inner, out, blocks], s) => ({ inner, out, blocks, convs, kernel: s < 2 ? 3 : 5, light: s >= 2 })),
  scaled,
});

export const hgnet = family<Size>({
  name: 'hgnet',
  title: 'PP-HGNet',
  source: 'PaddleClas 2.5, https://github.com/PaddlePaddle/PaddleClas',
  sizes: {
    hgnet_tiny: first([48, 48, 96], 5, [96, 224, 1], [128, 448, 1], [160, 512, 2], [192, 768, 1]),
    hgnet_small: first([64, 64, 128], 6, [128, 256, 1], [160, 512, 1], [192, 768, 2], [224, 1024, 1]),
    hgnet_base: first([96, 96, 160], 7, [192, 320, 1], [224, 640, 2], [256, 960, 3], [288, 1280, 2]),
    hgnetv2_b0: second([16, 16], 3, true, [16, 64, 1], [32, 256, 1], [64, 512, 2], [128, 1024, 1]),
    hgnetv2_b1: second([24, 32], 3, true, [32, 64, 1], [48, 256, 1], [96, 512, 2], [192, 1024, 1]),
    hgnetv2_b2: second([24, 32], 4, true, [32, 96, 1], [64, 384, 1], [128, 768, 3], [256, 1536, 1]),
    hgnetv2_b3: second([24, 32], 5, true, [32, 128, 1], [64, 512, 1], [128, 1024, 3], [256, 2048, 1]),
    hgnetv2_b4: second([32, 48], 6, false, [48, 128, 1], [96, 512, 1], [192, 1024, 3], [384, 2048, 1]),
    hgnetv2_b5: second([32, 64], 6, false, [64, 128, 1], [128, 512, 2], [256, 1024, 5], [512, 2048, 2]),
    hgnetv2_b6: second([48, 96], 6, false, [96, 192, 2], [192, 512, 3], [384, 1024, 6], [768, 2048, 3]),
  },
  stem: 'first.conv',
  side: 224,
  preprocessing: () => TORCHVISION,
  spellings: [
    { ecosystem: 'timm', spell: (path) => (path.startsWith('first.') ? path.replace('first', 'stem.stem.0') : path) },
    { ecosystem: 'timm', spell: (path) => (path.startsWith('first.') ? path.replace('first', 'stem.stem1') : path) },
  ],

  measure(names) {
    const at = (s: number) => `stages.${s}.blocks`;
    const count = names.count('stages.{n}.blocks.0.layers.0');
    const [stem] = names.shape('first.conv');
    if (!stem || count === 0) return null;
    const version = names.has('stem.stem4') ? 2 : 1;
    const width = (path: string) => names.shape(`${path}.conv`)[0] ?? 0;
    return {
      version,
      stem: version === 2 ? [stem, width('stem.stem4')] : Array.from({ length: names.count('stem.stem.{n}') }, (_, i) => width(`stem.stem.${i}`)),
      stages: Array.from({ length: count }, (_, s) => {
        const layer = `${at(s)}.0.layers.0`;
        const light = names.has(`${layer}.conv1.conv`);
        const shape = names.shape(light ? `${layer}.conv2.conv` : `${layer}.conv`);
        return {
          inner: shape[0]!,
          out: width(`${at(s)}.0.aggregation.${version - 1}`),
          blocks: names.count(`${at(s)}.{n}.layers.0`),
          convs: names.count(`${at(s)}.0.layers.{n}`),
          kernel: shape[2]!,
          light,
        };
      }),
      scaled: names.has(`${at(0)}.0.layers.0.lab`),
    };
  },

  build(net, input, { version, stem, stages, scaled }) {
    const conv = (y: Value, at: string, options: ConvOptions, act: Activation = 'relu') => {
      const made = convNormAct(net, y, `${at}.conv`, `${at}.bn`, act, options);
      return scaled && act !== 'none' ? affine(net, made, `${at}.lab`) : made;
    };
    let x = version === 1 ? firstStem(net, input, stem, conv) : secondStem(net, input, stem, conv);
    stages.forEach(({ inner, out, blocks, convs, kernel, light }, s) => {
      if (s > 0) x = conv(x, `stages.${s}.downsample`, { kernel: 3, stride: 2, depthwise: true }, 'none');
      for (let b = 0; b < blocks; b++) {
        const at = `stages.${s}.blocks.${b}`;
        const all = [x];
        for (let i = 0; i < convs; i++) {
          const own = `${at}.layers.${i}`;
          const y = all[i]!;
          const narrow = light ? conv(y, `${own}.conv1`, { out: inner }, 'none') : y;
          all.push(light ? conv(narrow, `${own}.conv2`, { kernel, depthwise: true }) : conv(y, own, { out: inner, kernel }));
        }
        const made = net.concat(all);
        const joined =
          version === 1
            ? weighed(net, conv(made, `${at}.aggregation.0`, { out }), `${at}.aggregation.1.conv`)
            : conv(conv(made, `${at}.aggregation.0`, { out: out / 2 }), `${at}.aggregation.1`, { out });
        x = b > 0 ? net.add(joined, x) : joined;
      }
    });
    let features = net.op('GlobalAveragePool', [x]);
    if (net.has('head.last_conv.0', true)) {
      features = net.activation(net.conv(features, 'head.last_conv.0', { out: LAST }), 'relu');
      if (scaled) features = affine(net, features, 'head.last_conv.2');
    }
    return head(net, net.flatten(features), 'head.fc');
  },
});

type Conv = (x: Value, at: string, options: ConvOptions) => Value;

function firstStem(net: Net, input: Value, stem: readonly number[], conv: Conv): Value {
  let x = conv(input, 'first', { out: stem[0], kernel: 3, stride: 2 });
  for (let i = 1; i < stem.length; i++) x = conv(x, `stem.stem.${i}`, { out: stem[i], kernel: 3 });
  return net.maxPool(x, { kernel: 3, stride: 2, pad: 1 });
}

/** Windows of 2 x 2 see one row and column of zeros behind the picture. */
function secondStem(net: Net, input: Value, stem: readonly number[], conv: Conv): Value {
  const [middle, out] = stem as readonly [number, number];
  const padded = (x: Value) => net.op('Pad', [x], { pads: [0, 0, 0, 0, 0, 0, 1, 1] });
  const x = padded(conv(input, 'first', { out: middle, kernel: 3, stride: 2 }));
  const deep = conv(padded(conv(x, 'stem.stem2a', { out: middle / 2, kernel: 2, pad: 0 })), 'stem.stem2b', { out: middle, kernel: 2, pad: 0 });
  const both = net.concat([net.maxPool(x, { kernel: 2, stride: 1 }), deep]);
  return conv(conv(both, 'stem.stem3', { out: middle, kernel: 3, stride: 2 }), 'stem.stem4', { out });
}

/** Squeeze and excitation by one convolution. */
function weighed(net: Net, x: Value, path: string): Value {
  const scores = net.conv(net.op('GlobalAveragePool', [x]), path, { out: sizeOf(x, 1), bias: true });
  return net.multiply(x, net.activation(scores, 'sigmoid'));
}

function affine(net: Net, x: Value, at: string): Value {
  const named = (role: string) => {
    const name = net.store.sourceName(`${at}.${role}`);
    const tensor = net.store.takeParameter(`${at}.${role}`, [1]);
    if (tensor?.shape.join() !== '1') throw new Departure(name, 'is no single number');
    return [reshape(tensor, []), name] as const;
  };
  return net.constantOp('Add', net.constantOp('Mul', x, ...named('scale')), ...named('bias'));
}
