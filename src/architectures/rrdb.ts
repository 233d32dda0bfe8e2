/**
 * RRDBNet of ESRGAN and Real-ESRGAN: Wang et al., "ESRGAN: Enhanced Super-Resolution Generative Adversarial Networks", 2018, figure 4.
 * Names are those of BasicSR; the first release of ESRGAN has others.
 */
import { leakyRelu } from './blocks.js';
import { family } from './family.js';
import { type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';

interface Size {
  readonly blocks: number;
  readonly features: number;
  /** Channels that a convolution of a dense block adds. */
  readonly growth: number;
  /** Of the first convolution: those of the picture, or 4 and 16 times as many where it comes in smaller, its pixels as channels. */
  readonly channels: number;
  /** Of the picture, as it comes out. */
  readonly colours: number;
}

/** Of what a block adds, and of its activations. */
const [SCALE, SLOPE] = [0.2, 0.2];
const BLOCKS = ['rdb1', 'rdb2', 'rdb3'];
const CONVOLUTIONS = 5;

export const rrdb = family<Size>({
  name: 'rrdb',
  title: 'RRDBNet',
  source: 'Wang et al., 2018, https://arxiv.org/abs/1809.00219, figure 4',
  sizes: {
    rrdb_x4: { blocks: 23, features: 64, growth: 32, channels: 3, colours: 3 },
    rrdb_x2: { blocks: 23, features: 64, growth: 32, channels: 12, colours: 3 },
  },
  stem: 'conv_first',
  // What comes out has the channels of what comes in, unless the first convolution takes others that are no squares of pixels.
  channels: ({ channels, colours }) => (Number.isInteger(Math.sqrt(channels / colours)) ? colours : channels),
  side: 64,
  output: 'output',
  preprocessing: () => ({ order: 'RGB', range: [0, 1], mean: [0, 0, 0], std: [1, 1, 1] }),
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    {
      ecosystem: 'torchvision',
      spell: spelling({
        conv_first: 'conv_first',
        'body.{i}.rdb{k}.conv{j}': 'RRDB_trunk.{i}.RDB{k}.conv{j}',
        conv_body: 'trunk_conv',
        conv_up1: 'upconv1',
        conv_up2: 'upconv2',
        conv_hr: 'HRconv',
        conv_last: 'conv_last',
      }),
    },
  ],

  measure(names) {
    const [features, channels] = names.shape('conv_first');
    const [growth] = names.shape('body.0.rdb1.conv1');
    const [colours] = names.shape('conv_last');
    if (!features || !channels || !growth || !colours) return null;
    return { blocks: names.count('body.{n}.rdb1.conv1'), features, growth, channels, colours };
  },

  build(net, input, { blocks, features, growth, channels, colours }) {
    const conv = (x: Value, path: string, out: number) => net.conv(x, path, { out, kernel: 3, bias: true });
    const active = (x: Value) => leakyRelu(net, x, SLOPE);
    const larger = (x: Value) => net.op('Resize', [x], { scales: [1, 1, 2, 2], coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' });
    const dense = (x: Value, at: string) => {
      const seen = [x];
      for (let j = 1; j < CONVOLUTIONS; j++) seen.push(active(conv(net.concat(seen), `${at}.conv${j}`, growth)));
      return net.add(net.constantOp('Mul', conv(net.concat(seen), `${at}.conv${CONVOLUTIONS}`, features), SCALE), x);
    };
    const first = conv(smaller(net, input, channels), 'conv_first', features);
    let x = first;
    for (let i = 0; i < blocks; i++) {
      const y = BLOCKS.reduce((z, block) => dense(z, `body.${i}.${block}`), x);
      x = net.add(net.constantOp('Mul', y, SCALE), x);
    }
    x = net.add(first, conv(x, 'conv_body', features));
    x = active(conv(larger(x), 'conv_up1', features));
    x = active(conv(larger(x), 'conv_up2', features));
    return conv(active(conv(x, 'conv_hr', features)), 'conv_last', colours);
  },
});

/** PyTorch's pixel_unshuffle: squares of pixels become channels, those of a channel side by side. */
function smaller(net: Net, x: Value, wanted: number): Value {
  const [channels, height, width] = [sizeOf(x, 1), sizeOf(x, 2), sizeOf(x, 3)];
  const side = Math.sqrt(wanted / channels);
  if (side === 1) return x;
  net.assume('scale', `the picture comes in ${side} times smaller, each ${side} x ${side} pixels as channels: the first convolution takes ${wanted}`);
  const cut = net.reshape(x, [0, channels, height / side, side, width / side, side]);
  return net.reshape(net.transpose(cut, [0, 1, 3, 5, 2, 4]), [0, wanted, height / side, width / side]);
}
