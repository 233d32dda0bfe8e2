/** U-Net: Ronneberger et al., 2015, figure 1, with padding and batch normalisation as in milesial's Pytorch-UNet, whose names it has. */
import { convNormAct, repeated, transposedConv } from './blocks.js';
import { family, namesWithin, TORCHVISION } from './family.js';
import { type Net, sizeOf, type Value } from './net.js';
import { measureResNet, type ResNetSize, resnetFeatures } from './resnet.js';

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

interface EncodedSize {
  readonly encoder: ResNetSize;
  /** Of the decoder's blocks, the smallest picture first. */
  readonly widths: readonly number[];
  readonly classes: number;
}

const DECODER = [256, 128, 64, 32, 16];
const encoded = (block: ResNetSize['block'], depths: readonly number[]): EncodedSize => ({
  encoder: { block, depths, widths: [64, 128, 256, 512], groups: 1 },
  widths: DECODER,
  classes: 1,
});

/** A U-Net whose way down is a ResNet, as segmentation_models.pytorch has it. */
export const unetResNet = family<EncodedSize>({
  name: 'unet_resnet',
  title: 'U-Net over a ResNet',
  source: 'Ronneberger et al., 2015, https://arxiv.org/abs/1505.04597, with the encoder of He et al., 2015',
  sizes: { unet_resnet18: encoded('basic', [2, 2, 2, 2]), unet_resnet34: encoded('basic', [3, 4, 6, 3]), unet_resnet50: encoded('bottleneck', [3, 4, 6, 3]) },
  stem: 'encoder.conv1',
  side: 256,
  output: 'logits',
  preprocessing: () => TORCHVISION,
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }],

  measure(names) {
    const encoder = measureResNet(namesWithin(names, (path) => `encoder.${path}`));
    const blocks = names.count('decoder.blocks.{n}.conv1.0');
    const [classes] = names.shape('segmentation_head.0');
    if (!encoder || !classes || blocks === 0) return null;
    return { encoder, widths: Array.from({ length: blocks }, (_, i) => names.shape(`decoder.blocks.${i}.conv2.0`)[0]!), classes };
  },

  build(net, input, { encoder, widths, classes }) {
    const beside: Value[] = [];
    resnetFeatures(net, input, encoder, { at: 'encoder.', onStage: (value) => beside.push(value) });
    let x = beside.pop()!;
    widths.forEach((width, i) => {
      const at = `decoder.blocks.${i}`;
      const skip = beside.pop();
      net.assume('enlarging', 'pictures are enlarged by repeating pixels: no weights would do it');
      const larger = repeated(net, x, 2);
      const both = skip ? net.concat([larger, skip]) : larger;
      const one = convNormAct(net, both, `${at}.conv1.0`, `${at}.conv1.1`, 'relu', { out: width, kernel: 3 });
      x = convNormAct(net, one, `${at}.conv2.0`, `${at}.conv2.1`, 'relu', { out: width, kernel: 3 });
    });
    return net.conv(x, 'segmentation_head.0', { out: classes, kernel: 3, bias: true });
  },
});

const ENLARGING = 'pictures are enlarged by bilinear interpolation, as no weights do it; whether corners are aligned is {} (true, or false)';

/** Twice the size: by a transposed convolution, or between the corners. */
function enlarged(net: Net, x: Value, path: string, learned: boolean): Value {
  if (!learned) {
    const corners = net.setting<string>('align_corners', 'true', ENLARGING) === 'true';
    return net.op('Resize', [x], { scales: [1, 1, 2, 2], mode: 'linear', coordinate_transformation_mode: corners ? 'align_corners' : 'half_pixel' });
  }
  return transposedConv(net, x, path, { out: sizeOf(x, 1) / 2, kernel: 2, stride: 2, pad: 0, bias: true });
}

/** Zeros around what is a pixel smaller than its neighbour, whose size was odd. */
function framed(net: Net, x: Value, { shape }: Value): Value {
  const more = [2, 3].map((axis) => (shape[axis] as number) - sizeOf(x, axis));
  if (more.every((size) => size === 0)) return x;
  const before = more.map((size) => Math.floor(size / 2));
  return net.op('Pad', [x], { pads: [0, 0, ...before, 0, 0, ...more.map((size, i) => size - before[i]!)] });
}
