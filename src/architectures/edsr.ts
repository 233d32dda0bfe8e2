/**
 * Larger pictures from residual blocks: EDSR (Lim et al., 2017), RCAN (Zhang et al., 2018), under their authors' names; SRResNet as BasicSR
 * has it (MSRResNet).
 */
import { bilinear } from './adaptive.js';
import { leakyRelu, pixelShuffle, residual, squeezeExcite } from './blocks.js';
import { family, RAW } from './family.js';
import { Departure, type Net, sizeOf, type Value } from './net.js';

interface Size {
  readonly features: number;
  /** Blocks; or groups, and blocks of each. */
  readonly depths: readonly number[];
  readonly attention: boolean;
  /** Factors by which the picture grows. */
  readonly steps: readonly number[];
}

const DEEP = 256;
const RESIDUAL = 'what a residual block adds is scaled by {} (1; 0.1 in the large EDSR of 256 channels)';

export const edsr = family<Size>({
  name: 'edsr',
  title: 'EDSR or RCAN',
  source: 'Lim et al., 2017, https://arxiv.org/abs/1707.02921; Zhang et al., 2018, https://arxiv.org/abs/1807.02758',
  sizes: {
    edsr_baseline_x2: { features: 64, depths: [16], attention: false, steps: [2] },
    edsr_x4: { features: DEEP, depths: [32], attention: false, steps: [2, 2] },
    rcan_x4: { features: 64, depths: [10, 20], attention: true, steps: [2, 2] },
  },
  stem: 'head.0',
  side: 64,
  output: 'output',
  preprocessing: () => RAW,
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }],

  measure(names) {
    const [features] = names.shape('head.0');
    if (!features || !names.has('tail.1') || !names.has('body.0.body.0')) return null;
    const grouped = names.has('body.0.body.0.body.0');
    const depths = grouped ? [names.count('body.{n}.body.0.body.0'), names.count('body.0.body.{n}.body.0')] : [names.count('body.{n}.body.0')];
    const steps = [0, 2, 4].flatMap((i) => (names.has(`tail.0.${i}`) ? [Math.sqrt(names.shape(`tail.0.${i}`)[0]! / features)] : []));
    if (!steps.every(Number.isInteger)) return null;
    return { features, depths, attention: names.has(`body.0.body.${grouped ? '0.body.' : ''}3.conv_du.0`), steps };
  },

  build(net, input, { features, depths, attention, steps }) {
    const by = net.setting('residual_scale', features === DEEP && !attention ? 0.1 : 1, RESIDUAL);
    const conv = (x: Value, path: string, out = features) => net.conv(x, path, { out, kernel: 3, bias: true });
    const block = (x: Value, at: string) =>
      residual(net, x, (y) => {
        let z = conv(net.activation(conv(y, `${at}.body.0`), 'relu'), `${at}.body.2`);
        const squeeze = { reduce: `${at}.body.3.conv_du.0`, expand: `${at}.body.3.conv_du.2`, width: features / 16 };
        if (attention) z = squeezeExcite(net, z, { ...squeeze, act: 'relu', gate: 'sigmoid' });
        return by === 1 ? z : net.constantOp('Mul', z, by);
      });
    const many = (x: Value, at: string, [count, ...inner]: readonly number[]): Value =>
      residual(net, x, (y) => {
        let z = y;
        for (let i = 0; i < count!; i++) z = inner.length > 0 ? many(z, `${at}.${i}.body`, inner) : block(z, `${at}.${i}`);
        return conv(z, `${at}.${count}`);
      });
    // The mean colour, taken off and put back by convolutions of their own.
    const shifted = (x: Value, path: string) => (net.has(path, false) ? net.conv(x, path, { out: sizeOf(x, 1) }) : x);
    if (!net.has('sub_mean', true)) net.assume('mean', 'no mean colour is taken off and put back: the file has none');
    let x = many(conv(shifted(input, 'sub_mean'), 'head.0'), 'body', depths);
    steps.forEach((step, i) => {
      x = pixelShuffle(net, conv(x, `tail.0.${2 * i}`, features * step * step), step);
    });
    return shifted(conv(x, 'tail.1', sizeOf(input, 1)), 'add_mean');
  },
});

interface Plain {
  readonly features: number;
  readonly blocks: number;
  readonly steps: readonly number[];
}
const SLOPE = 0.1;

export const srresnet = family<Plain>({
  name: 'srresnet',
  title: 'SRResNet (MSRResNet)',
  source: 'Ledig et al., 2016, https://arxiv.org/abs/1609.04802, without batch normalisation',
  sizes: { srresnet_x4: { features: 64, blocks: 16, steps: [2, 2] } },
  stem: 'conv_first',
  side: 64,
  output: 'output',
  preprocessing: () => ({ order: 'RGB', range: [0, 1], mean: [0, 0, 0], std: [1, 1, 1] }),
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }],

  measure(names) {
    const [features] = names.shape('conv_first');
    if (!features || !names.has('body.0.conv1') || !names.has('upconv1')) return null;
    const steps = ['upconv1', 'upconv2'].flatMap((name) => (names.has(name) ? [Math.sqrt(names.shape(name)[0]! / features)] : []));
    return steps.every(Number.isInteger) ? { features, blocks: names.count('body.{n}.conv1'), steps } : null;
  },

  build(net, input, { features, blocks, steps }) {
    const conv = (x: Value, path: string, out = features) => net.conv(x, path, { out, kernel: 3, bias: true });
    let x = leakyRelu(net, conv(input, 'conv_first'), SLOPE);
    for (let i = 0; i < blocks; i++) x = residual(net, x, (y) => conv(net.activation(conv(y, `body.${i}.conv1`), 'relu'), `body.${i}.conv2`));
    steps.forEach((step, i) => {
      x = leakyRelu(net, pixelShuffle(net, conv(x, `upconv${i + 1}`, features * step * step), step), SLOPE);
    });
    x = conv(leakyRelu(net, conv(x, 'conv_hr'), SLOPE), 'conv_last', sizeOf(input, 1));
    return net.add(x, enlarged(net, input, x));
  },
});

/** What the net adds to: the picture itself, interpolated. */
function enlarged(net: Net, input: Value, { shape }: Value): Value {
  const [height, width] = shape.slice(2);
  if (typeof height !== 'number' || typeof width !== 'number') throw new Departure('input', 'its size is not known');
  return bilinear(net, input, height, width);
}
