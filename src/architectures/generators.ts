/**
 * Nets that paint pictures: of style transfer (Johnson et al., 2016, as in PyTorch's examples), CycleGAN and pix2pix (Zhu et al., 2017; Isola et
 * al., 2016, under their authors' names), DCGAN with its judge (Radford et al., 2015, as in PyTorch's examples).
 */
import { convNormAct, instanceNorm, leakyRelu, mirrored, repeated, residual, transposedConv } from './blocks.js';
import { family, RAW, SYMMETRIC } from './family.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';
import { asItIs, withoutPrefix } from './spelling.js';

interface Style {
  readonly widths: readonly [number, number, number];
  readonly blocks: number;
}

const STATISTICS =
  'statistics beside normalisations are {} (unused: PyTorch 0.3 kept them of pictures that are normalised each by itself, and counted no batches; or used)';

/**
 * Each picture by itself, or by the statistics of training: those of batch normalisation, or of what counts batches.
 *
 * @param batch whether it is batch normalisation, where a scale is there and no batches are counted; or in a net without weights
 */
function pictureNorm(net: Net, x: Value, path: string, batch = false): Value {
  const { store } = net;
  if (store.has(path) === undefined) return batch ? net.norm(x, path) : instanceNorm(net, x, path);
  if (store.shape(path, 'mean') === undefined) return instanceNorm(net, x, path);
  const isBatch = net.has(`${path}.num_batches_tracked`, false) || (batch && store.shape(path, 'scale') !== undefined);
  if (isBatch || net.setting<string>('statistics', 'unused', STATISTICS) === 'used') return net.norm(x, path);
  for (const role of ['running_mean', 'running_var']) store.takeParameter(`${path}.${role}`, []);
  return instanceNorm(net, x, path);
}

export const styleTransfer = family<Style>({
  name: 'fast_neural_style',
  title: 'style transfer net',
  source: 'Johnson et al., 2016, https://arxiv.org/abs/1603.08155',
  sizes: { fast_neural_style: { widths: [32, 64, 128], blocks: 5 } },
  stem: 'conv1.conv2d',
  side: 256,
  output: 'output',
  preprocessing: () => RAW,
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }],

  measure(names) {
    const widths = [1, 2, 3].map((i) => names.shape(`conv${i}.conv2d`)[0] ?? 0) as [number, number, number];
    if (widths.includes(0) || !names.has('in1') || !names.has('deconv3.conv2d')) return null;
    return { widths, blocks: names.count('res{n}.conv1.conv2d', 1) };
  },

  build(net, input, { widths, blocks }) {
    const conv = (x: Value, path: string, out: number, kernel = 3, stride = 1) => {
      const size = net.store.shape(`${path}.conv2d`)?.[2] ?? kernel;
      return net.conv(mirrored(net, x, Math.floor(size / 2)), `${path}.conv2d`, { out, kernel, stride, pad: 0, bias: true });
    };
    const active = (x: Value, norm: string) => net.activation(pictureNorm(net, x, norm), 'relu');
    let x = active(conv(input, 'conv1', widths[0], 9), 'in1');
    x = active(conv(x, 'conv2', widths[1], 3, 2), 'in2');
    x = active(conv(x, 'conv3', widths[2], 3, 2), 'in3');
    for (let i = 1; i <= blocks; i++) {
      const at = `res${i}`;
      x = residual(net, x, (y) => pictureNorm(net, conv(active(conv(y, `${at}.conv1`, widths[2]), `${at}.in1`), `${at}.conv2`, widths[2]), `${at}.in2`));
    }
    x = active(conv(repeated(net, x, 2), 'deconv1', widths[1]), 'in4');
    x = active(conv(repeated(net, x, 2), 'deconv2', widths[0]), 'in5');
    return conv(x, 'deconv3', sizeOf(input, 1), 9);
  },
});

interface Cycle {
  readonly width: number;
  readonly blocks: number;
  /** Where in a block the second convolution stands: behind a dropout, one later. */
  readonly second: number;
  readonly normed: boolean;
}
/** Modules before the first residual block. */
const BEFORE = 10;

export const cyclegan = family<Cycle>({
  name: 'cyclegan',
  title: 'CycleGAN generator',
  source: 'Zhu et al., 2017, https://arxiv.org/abs/1703.10593, appendix 7.2',
  sizes: { cyclegan_resnet9: { width: 64, blocks: 9, second: 5, normed: false }, cyclegan_resnet6: { width: 64, blocks: 6, second: 5, normed: false } },
  stem: 'model.1',
  side: 256,
  output: 'output',
  preprocessing: () => SYMMETRIC,
  spellings: [asItIs, withoutPrefix('model.')].map((spell) => ({ ecosystem: 'torchvision', spell })),

  measure(names) {
    const [width] = names.shape('model.1');
    if (!width || !names.has(`model.${BEFORE}.conv_block.1`)) return null;
    let blocks = 0;
    while (names.has(`model.${BEFORE + blocks}.conv_block.1`)) blocks++;
    return { width, blocks, second: names.shape(`model.${BEFORE}.conv_block.6`).length === 4 ? 6 : 5, normed: names.shape('model.2', 'mean').length > 0 };
  },

  build(net, input, { width, blocks, second, normed }) {
    const active = (x: Value, path: string) => net.activation(pictureNorm(net, x, path, normed), 'relu');
    const conv = (x: Value, path: string, out: number, stride: number) => net.conv(x, path, { out, kernel: 3, stride, pad: 1, bias: !normed });
    let x = active(net.conv(mirrored(net, input, 3), 'model.1', { out: width, kernel: 7, pad: 0, bias: !normed }), 'model.2');
    x = active(conv(x, 'model.4', 2 * width, 2), 'model.5');
    x = active(conv(x, 'model.7', 4 * width, 2), 'model.8');
    for (let i = 0; i < blocks; i++) {
      const at = `model.${BEFORE + i}.conv_block`;
      const step = (y: Value, place: number) => {
        const wide = net.conv(mirrored(net, y, 1), `${at}.${place}`, { out: 4 * width, kernel: 3, pad: 0, bias: !normed });
        return pictureNorm(net, wide, `${at}.${place + 1}`, normed);
      };
      x = residual(net, x, (y) => step(net.activation(step(y, 1), 'relu'), second));
    }
    const behind = BEFORE + blocks;
    const up = { kernel: 3, stride: 2, pad: 1, more: 1, bias: !normed };
    x = active(transposedConv(net, x, `model.${behind}`, { ...up, out: 2 * width }), `model.${behind + 1}`);
    x = active(transposedConv(net, x, `model.${behind + 3}`, { ...up, out: width }), `model.${behind + 4}`);
    x = net.conv(mirrored(net, x, 3), `model.${behind + 7}`, { out: sizeOf(input, 1), kernel: 7, pad: 0, bias: true });
    return net.activation(x, 'tanh');
  },
});

interface Pix {
  /** Channels of each level on the way down. */
  readonly widths: readonly number[];
  readonly channels: number;
  readonly out: number;
  readonly normed: boolean;
}
const SLOPE = 0.2;
const OUTERMOST = 'model.model';

export const pix2pix = family<Pix>({
  name: 'pix2pix',
  title: 'pix2pix generator',
  source: 'Isola et al., 2016, https://arxiv.org/abs/1611.07004, appendix 6.1',
  sizes: { pix2pix_unet256: { widths: [64, 128, 256, 512, 512, 512, 512, 512], channels: 3, out: 3, normed: true } },
  stem: `${OUTERMOST}.0`,
  channels: ({ channels }) => channels,
  side: ({ widths }) => Math.max(256, 2 ** widths.length),
  output: 'output',
  preprocessing: () => SYMMETRIC,
  spellings: [asItIs, withoutPrefix('model.'), withoutPrefix(`${OUTERMOST}.`)].map((spell) => ({ ecosystem: 'torchvision', spell })),

  measure(names) {
    const [first, channels, kernel] = names.shape(`${OUTERMOST}.0`);
    const [, out] = names.shape(`${OUTERMOST}.3`);
    if (!first || !channels || kernel !== 4 || !out) return null;
    const widths = [first];
    for (let at = `${OUTERMOST}.1.model`; names.has(`${at}.1`); at += '.3.model') {
      const [width, , side] = names.shape(`${at}.1`);
      if (!width || side !== 4) break;
      widths.push(width);
    }
    return widths.length > 2 ? { widths, channels, out, normed: names.shape(`${OUTERMOST}.1.model.2`, 'mean').length > 0 } : null;
  },

  build(net, input, { widths, out, normed }) {
    const down = (x: Value, path: string, width: number) => net.conv(x, path, { out: width, kernel: 4, stride: 2, pad: 1, bias: !normed });
    const up = (x: Value, path: string, width: number, bias: boolean) =>
      transposedConv(net, net.activation(x, 'relu'), path, { out: width, kernel: 4, stride: 2, pad: 1, bias });
    /** A level: what comes in, beside what the levels below make of it. */
    const level = (x: Value, at: string, i: number): Value => {
      const deep = down(leakyRelu(net, x, SLOPE), `${at}.1`, widths[i]!);
      const isLast = i === widths.length - 1;
      const below = isLast ? deep : level(pictureNorm(net, deep, `${at}.2`, normed), `${at}.3.model`, i + 1);
      const place = isLast ? 3 : 5;
      return net.concat([x, pictureNorm(net, up(below, `${at}.${place}`, sizeOf(x, 1), !normed), `${at}.${place + 1}`, normed)]);
    };
    if ([2, 3].some((axis) => sizeOf(input, axis) % 2 ** widths.length !== 0)) {
      throw new Departure('input', `its sides must be multiples of ${2 ** widths.length}: there are ${widths.length} levels`);
    }
    if (normed) net.assume('norm', 'batch normalisation uses the statistics in the file; the authors test with those of the picture itself');
    const below = level(down(input, `${OUTERMOST}.0`, widths[0]!), `${OUTERMOST}.1.model`, 1);
    return net.activation(up(below, `${OUTERMOST}.3`, out, true), 'tanh');
  },
});

interface Dcgan {
  readonly kind: 'generator' | 'judge';
  /** Channels of each layer, from the input on. */
  readonly widths: readonly number[];
}
const MAX_DCGAN = 10;

export const dcgan = family<Dcgan>({
  name: 'dcgan',
  title: 'DCGAN',
  source: 'Radford et al., 2015, https://arxiv.org/abs/1511.06434, figure 1',
  sizes: {
    dcgan_generator: { kind: 'generator', widths: [100, 512, 256, 128, 64, 3] },
    dcgan_discriminator: { kind: 'judge', widths: [3, 64, 128, 256, 512, 1] },
  },
  stem: 'main.0',
  channels: ({ widths }) => widths[0]!,
  // The last convolution takes 4 x 4 pixels; each before it halves.
  side: ({ kind, widths }) => (kind === 'generator' ? 1 : 4 * 2 ** (widths.length - 2)),
  output: 'output',
  preprocessing: () => SYMMETRIC,
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }],

  measure(names) {
    const kind = names.shape('main.1', 'mean').length > 0 ? 'generator' : 'judge';
    const kernels = placesOf(kind, MAX_DCGAN)
      .map((place) => names.shape(`main.${place}`))
      .filter(({ length }) => length === 4);
    if (kernels.length < 3 || kernels.some(([, , height]) => height !== 4)) return null;
    const [into, from] = kind === 'generator' ? [0, 1] : [1, 0];
    return { kind, widths: [kernels[0]![into]!, ...kernels.map((kernel) => kernel[from]!)] };
  },

  build(net, input, { kind, widths }) {
    const outs = widths.slice(1);
    const places = placesOf(kind, outs.length);
    let x = input;
    outs.forEach((out, i) => {
      const path = `main.${places[i]}`;
      const isLast = i === outs.length - 1;
      const sides = { out, kernel: 4 };
      if (kind === 'generator') {
        x = transposedConv(net, x, path, { ...sides, ...(i === 0 ? { stride: 1, pad: 0 } : { stride: 2, pad: 1 }) });
        x = isLast ? net.activation(x, 'tanh') : net.activation(net.norm(x, `main.${places[i]! + 1}`), 'relu');
      } else if (isLast) x = net.activation(net.conv(x, path, { ...sides, pad: 0 }), 'sigmoid');
      else if (i === 0) x = leakyRelu(net, net.conv(x, path, { ...sides, stride: 2, pad: 1 }), SLOPE);
      else x = leakyRelu(net, convNormAct(net, x, path, `main.${places[i]! + 1}`, 'none', { ...sides, stride: 2, pad: 1 }), SLOPE);
    });
    return x;
  },
});

/** Where the convolutions stand in the list of modules, with normalisations and activations between them. */
function placesOf(kind: Dcgan['kind'], count: number): number[] {
  return Array.from({ length: count }, (_, i) => (kind === 'generator' ? 3 * i : i === 0 ? 0 : 3 * i - 1));
}
