/**
 * Nets of a few convolutions and dense layers, as lessons have them: LeNet-5 (LeCun et al., 1998) and the one of PyTorch's MNIST example.
 *
 * How the convolutions pad and where pooling stands is in no weight; of the usual ways, the one is taken that makes as many features as the
 * first dense layer takes.
 */
import { ModelError } from '../errors.js';
import { family, SYMMETRIC } from './family.js';
import { ending } from './head.js';
import { type Activation, Departure, type Net, sizeOf, type Value } from './net.js';
import { spelling } from './spelling.js';

interface Size {
  readonly convolutions: readonly (readonly [out: number, kernel: number])[];
  readonly dense: readonly number[];
  readonly channels: number;
  readonly side: number;
}

/** What convolutions pad, where pooling of 2 x 2 stands, and what they stride. */
interface Way {
  readonly pads: 'none' | 'first' | 'all';
  readonly pools: 'each' | 'last' | 'none';
  readonly stride: 1 | 2;
}
const pooled = (pads: Way['pads'], pools: Way['pools'] = 'each'): Way => ({ pads, pools, stride: 1 });
const strided = (pads: Way['pads']): Way => ({ pads, pools: 'none', stride: 2 });
/** As lessons go. */
const USUAL: Readonly<Record<string, Way>> = { valid: pooled('none'), 'valid-late': pooled('none', 'last'), first: pooled('first'), same: pooled('all') };
const WAYS: Readonly<Record<string, Way>> = { ...USUAL, 'same-late': pooled('all', 'last'), 'valid-strided': strided('none'), 'same-strided': strided('all') };
const MAX_LAYERS = 5;

/** With a kernel of even size, as many as keep or halve the size of a picture. */
function padOf({ pads, stride }: Way, i: number, kernel: number): number {
  if (pads === 'none' || (pads === 'first' && i > 0)) return 0;
  return kernel % 2 === 1 ? (kernel - 1) / 2 : kernel / 2 - (stride - 1);
}

/** Features of a picture that went a way. */
function features({ convolutions }: Size, way: Way, sides: readonly number[]): number {
  const last = convolutions.length - 1;
  const places = sides.map((side) =>
    convolutions.reduce((size, [, kernel], i) => {
      const after = Math.floor((size + 2 * padOf(way, i, kernel) - kernel) / way.stride) + 1;
      return way.pools === 'each' || (way.pools === 'last' && i === last) ? Math.floor(after / 2) : after;
    }, side),
  );
  return convolutions[last]![0] * places.reduce((a, b) => a * b, 1);
}

const fitting = (size: Size, ways: Readonly<Record<string, Way>>, sides: readonly number[], wanted: number | undefined): string[] =>
  Object.keys(ways).filter((name) => features(size, ways[name]!, sides) === wanted);

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
    if (kernels.some(({ length, 2: height, 3: width }) => length !== 4 || height !== width) || matrices.some(({ length }) => length !== 2)) return null;
    const [, channels = 1] = kernels[0]!;
    const size = { convolutions: kernels.map(([out, , kernel]) => [out!, kernel!] as const), dense: matrices.map(([out]) => out!), channels, side: 0 };
    const sides = channels === 1 ? [28, 32] : [32, 28, 64, 224];
    const find = (ways: typeof WAYS) => sides.find((side) => fitting(size, ways, [side, side], matrices[0]![1]).length > 0);
    return { ...size, side: find(USUAL) ?? find(WAYS) ?? sides[0]! };
  },

  build(net, input, size) {
    const act = net.setting<string>('activation', 'relu', 'behind each layer but the last stands a {} (relu, tanh, sigmoid)') as Activation;
    const pooling = net.setting<string>('pooling', 'max', 'pooling takes the {} of 2 x 2 (max, or average)');
    const sides = [sizeOf(input, 2), sizeOf(input, 3)];
    const way = wayOf(net, size, sides);
    let x = input;
    size.convolutions.forEach(([out, kernel], i) => {
      x = net.conv(x, `conv${i + 1}`, { out, kernel, stride: way.stride, pad: padOf(way, i, kernel), bias: true });
      x = normed(net, x, `bn${i + 1}`, act);
      const isLast = i === size.convolutions.length - 1;
      if (way.pools === 'each' || (way.pools === 'last' && isLast))
        x = pooling === 'average' ? net.averagePool(x, { kernel: 2 }) : net.maxPool(x, { kernel: 2 });
    });
    x = net.flatten(x);
    size.dense.forEach((out, i) => {
      x = net.dense(x, `fc${i + 1}`, { out });
      if (i < size.dense.length - 1) x = net.activation(x, act);
    });
    net.endsInClasses = true;
    return ending(net, x);
  },
});

/** The way that makes as many features as the first dense layer takes: the most usual one, or the one that the user names. */
function wayOf(net: Net, size: Size, sides: readonly number[]): Way {
  const wanted = net.store.shape('fc1')?.[1] ?? features(size, WAYS.valid!, sides);
  const all = fitting(size, WAYS, sides, wanted);
  const [usual] = all;
  if (usual === undefined) {
    const takes = `makes the ${wanted} features that "${net.store.sourceName('fc1')}" takes`;
    throw new Departure('input', `no usual way from ${sides.join(' x ')} pixels ${takes}; --input-shape says otherwise, or --arch describes the net`);
  }
  const told = all.map((name) => `${name}: ${spelt(WAYS[name]!)}`).join('; ');
  const taken = net.setting<string>('way', usual, `from ${sides.join(' x ')} pixels to ${wanted} features the way is {}, of those that make as many (${told})`);
  if (!all.includes(taken)) throw new ModelError('usage', `--assume way=${taken} does not make ${wanted} features; those that do: ${all.join(', ')}`);
  return WAYS[taken]!;
}

function spelt({ pads, pools, stride }: Way): string {
  const padding = `${pads === 'none' ? 'no' : pads === 'first' ? 'the first' : 'each'} convolution pads`;
  if (stride > 1) return `${padding}, each strides by ${stride}, nothing pools`;
  return `${padding}, pooling behind ${pools === 'each' ? 'each' : 'the last'}`;
}

const NORMAL = 'normalisation stands {} the activation (before, or behind)';

function normed(net: Net, x: Value, path: string, act: Activation): Value {
  if (!net.has(path, false)) return net.activation(x, act);
  if (net.setting<string>('norm', 'before', NORMAL) === 'behind') return net.norm(net.activation(x, act), path);
  return net.activation(net.norm(x, path), act);
}
