/**
 * Nets of a few convolutions and dense layers, as lessons have them: LeNet-5 (LeCun et al., 1998) and the one of PyTorch's MNIST example.
 *
 * How the convolutions pad and where pooling stands is in no weight; of the usual ways, the one is taken that makes as many features as the
 * first dense layer takes.
 */
import { family, SYMMETRIC } from './family.js';
import { type Activation, Departure, type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';

interface Size {
  readonly convolutions: readonly (readonly [out: number, kernel: number])[];
  readonly dense: readonly number[];
  readonly channels: number;
  readonly side: number;
}

/** Zeros around the first picture, all of them, or none; pooling behind each convolution, or only behind the last. */
interface Way {
  readonly pads: 'none' | 'first' | 'all';
  readonly pools: 'each' | 'last';
}
const WAYS: readonly Way[] = [
  { pads: 'none', pools: 'each' },
  { pads: 'none', pools: 'last' },
  { pads: 'first', pools: 'each' },
  { pads: 'all', pools: 'each' },
];
const MAX_LAYERS = 5;

const padOf = ({ pads }: Way, i: number, kernel: number) => (pads === 'all' || (pads === 'first' && i === 0) ? (kernel - 1) / 2 : 0);

/** Features of a picture that went a way. */
function features({ convolutions }: Size, way: Way, sides: readonly number[]): number {
  const last = convolutions.length - 1;
  const places = sides.map((side) =>
    convolutions.reduce((size, [, kernel], i) => {
      const after = size + 2 * padOf(way, i, kernel) - kernel + 1;
      return way.pools === 'each' || i === last ? Math.floor(after / 2) : after;
    }, side),
  );
  return convolutions[last]![0] * places.reduce((a, b) => a * b, 1);
}

export const lenet = family<Size>({
  name: 'lenet',
  title: 'LeNet',
  source: 'LeCun et al., 1998, "Gradient-Based Learning Applied to Document Recognition", figure 2',
  sizes: {
    lenet5: {
      convolutions: [
        [6, 5],
        [16, 5],
      ],
      dense: [120, 84, 10],
      channels: 1,
      side: 32,
    },
    mnist_cnn: {
      convolutions: [
        [32, 3],
        [64, 3],
      ],
      dense: [128, 10],
      channels: 1,
      side: 28,
    },
  },
  stem: 'conv1',
  channels: ({ channels }) => channels,
  side: ({ side }) => side,
  // Ten of them mostly, and no weight says which.
  classes: 0,
  preprocessing: () => SYMMETRIC,
  spellings: [
    { ecosystem: 'torchvision', spell: spelling({ fc1: 'fc1|fc', '{*}': '{*}' }) },
    { ecosystem: 'torchvision', spell: spelling({ 'conv{i}': 'conv{i}.0', 'bn{i}': 'conv{i}.1', fc1: 'fc1.0|fc1|fc|out', 'fc{i}': 'fc{i}.0|fc{i}' }) },
    { ecosystem: 'torchvision', spell: spelling({ 'conv{i}': 'layer{i}.0', 'bn{i}': 'layer{i}.1', fc1: 'fc1|fc', 'fc{i}': 'fc{i}' }) },
    ...['features', 'feature_extractor'].map((at) => ({
      ecosystem: 'torchvision' as const,
      spell: spelling(
        Object.fromEntries(
          Array.from({ length: MAX_LAYERS }, (_, i) => [
            [`conv${i + 1}`, `${at}.${3 * i}`],
            [`fc${i + 1}`, `classifier.${2 * i}`],
          ]).flat(),
        ),
      ),
    })),
  ],

  measure(names) {
    const count = names.count('conv{n}', 1);
    const layers = names.count('fc{n}', 1);
    if (count < 2 || count > MAX_LAYERS || layers < 1 || layers > MAX_LAYERS) return null;
    const kernels = Array.from({ length: count }, (_, i) => names.shape(`conv${i + 1}`));
    const matrices = Array.from({ length: layers }, (_, i) => names.shape(`fc${i + 1}`));
    if (kernels.some(({ length }) => length !== 4) || matrices.some(({ length }) => length !== 2)) return null;
    const [, channels = 1] = kernels[0]!;
    const size = { convolutions: kernels.map(([out, , kernel]) => [out!, kernel!] as const), dense: matrices.map(([out]) => out!), channels, side: 0 };
    const sides = channels === 1 ? [28, 32] : [32, 28, 64, 224];
    const fits = (side: number) => WAYS.some((way) => features(size, way, [side, side]) === matrices[0]![1]);
    return { ...size, side: sides.find(fits) ?? sides[0]! };
  },

  build(net, input, size) {
    const act = net.setting<string>('activation', 'relu', 'behind each layer but the last stands a {} (relu, tanh, sigmoid)') as Activation;
    const pooling = net.setting<string>('pooling', 'max', 'pooling takes the {} of 2 x 2 (max, or average)');
    const sides = [sizeOf(input, 2), sizeOf(input, 3)];
    const wanted = net.store.shape('fc1')?.[1] ?? features(size, WAYS[0]!, sides);
    const way = WAYS.find((one) => features(size, one, sides) === wanted);
    if (!way)
      throw new Departure('input', `no usual way from ${sides.join(' x ')} pixels makes the ${wanted} features that "${net.store.sourceName('fc1')}" takes`);
    const [pads, pools] = [`${way.pads === 'none' ? 'no' : way.pads} convolutions pad`, `pooling stands behind ${way.pools === 'each' ? 'each' : 'the last'}`];
    net.assume('way', `${pads}, and ${pools}: the usual way that makes ${wanted} features`);
    let x = input;
    size.convolutions.forEach(([out, kernel], i) => {
      const normal = normed(net, net.conv(x, `conv${i + 1}`, { out, kernel, pad: padOf(way, i, kernel), bias: true }), `bn${i + 1}`);
      x = net.activation(normal, act);
      const isLast = i === size.convolutions.length - 1;
      if (way.pools === 'each' || isLast) x = pooling === 'average' ? net.averagePool(x, { kernel: 2 }) : net.maxPool(x, { kernel: 2 });
    });
    x = net.flatten(x);
    size.dense.forEach((out, i) => {
      x = net.dense(x, `fc${i + 1}`, { out });
      if (i < size.dense.length - 1) x = net.activation(x, act);
    });
    net.endsInClasses = true;
    return x;
  },
});

function normed(net: Net, x: Value, path: string): Value {
  return net.has(path, false) ? net.norm(x, path) : x;
}
