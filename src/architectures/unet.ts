/** U-Net: Ronneberger et al., 2015, figure 1, with padding and batch normalisation as in milesial's Pytorch-UNet, whose names it has. */
import { convNormAct } from './blocks.js';
import { family } from './family.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';

interface Size {
  /** Channels of each level, the largest picture first. */
  readonly widths: readonly number[];
  readonly classes: number;
  /** Whether pictures are enlarged by transposed convolutions, or else by interpolation. */
  readonly learned: boolean;
}

export const unet = family<Size>({
  name: 'unet',
  title: 'U-Net',
  source: 'Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597, figure 1',
  sizes: { unet: { widths: [64, 128, 256, 512, 1024], classes: 2, learned: true } },
  stem: 'inc.double_conv.0',
  side: 256,
  output: 'logits',
  preprocessing: () => ({ order: 'RGB', range: [0, 1], mean: [0, 0, 0], std: [1, 1, 1] }),
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }],

  measure(names) {
    const [first] = names.shape('inc.double_conv.0');
    const [classes] = names.shape('outc.conv');
    if (!first || !classes || !names.has('up1.conv.double_conv.0')) return null;
    const deeper = Array.from({ length: names.count('down{n}.maxpool_conv.1.double_conv.0', 1) }, (_, i) => i + 1);
    return { widths: [first, ...deeper.map((i) => names.shape(`down${i}.maxpool_conv.1.double_conv.3`)[0]!)], classes, learned: names.has('up1.up') };
  },

  build(net, input, { widths, classes, learned }) {
    const twice = (x: Value, at: string, out: number, between = out) => {
      const one = (y: Value, i: number, width: number) => convNormAct(net, y, `${at}.${i}`, `${at}.${i + 1}`, 'relu', { out: width, kernel: 3 });
      return one(one(x, 0, between), 3, out);
    };
    const levels = [twice(input, 'inc.double_conv', widths[0]!)];
    for (let i = 1; i < widths.length; i++) {
      levels.push(twice(net.maxPool(levels.at(-1)!, { kernel: 2 }), `down${i}.maxpool_conv.1.double_conv`, widths[i]!));
    }
    let x = levels.pop()!;
    for (let i = 1; levels.length > 0; i++) {
      const beside = levels.pop()!;
      const larger = framed(net, enlarged(net, x, `up${i}.up`, learned), beside);
      const width = sizeOf(beside, 1);
      x = twice(net.concat([beside, larger]), `up${i}.conv.double_conv`, learned || levels.length === 0 ? width : width / 2, width);
    }
    return net.conv(x, 'outc.conv', { out: classes, bias: true });
  },
});

/** Twice the size: by a transposed convolution, or between the corners. */
function enlarged(net: Net, x: Value, path: string, learned: boolean): Value {
  if (!learned) {
    net.assume('enlarging', 'pictures are enlarged by bilinear interpolation with aligned corners: there are no weights that would do it');
    return net.op('Resize', [x], { scales: [1, 1, 2, 2], mode: 'linear', coordinate_transformation_mode: 'align_corners' });
  }
  const channels = sizeOf(x, 1);
  const weights = net.weights(path, 'conv', { kernel: [channels, channels / 2, 2, 2], bias: [channels / 2] });
  if (weights.kernel!.shape[0] !== channels || weights.kernel!.shape.length !== 4) {
    throw new Departure(net.store.sourceName(path), `has a kernel of shape [${weights.kernel!.shape}], but ${channels} channels flow in`);
  }
  return net.module(path, 'ConvTranspose', x, weights, { strides: [2, 2], dilations: [1, 1], pads: [0, 0, 0, 0], output_padding: [0, 0] });
}

/** Zeros around what is a pixel smaller than its neighbour, whose size was odd. */
function framed(net: Net, x: Value, { shape }: Value): Value {
  const more = [2, 3].map((axis) => (shape[axis] as number) - sizeOf(x, axis));
  if (more.every((size) => size === 0)) return x;
  const before = more.map((size) => Math.floor(size / 2));
  return net.op('Pad', [x], { pads: [0, 0, ...before, 0, 0, ...more.map((size, i) => size - before[i]!)] });
}
