/**
 * A few convolutions that make pictures sharper or larger: SRCNN (Dong et al., 2014), ESPCN (Shi et al., 2016), FSRCNN (Dong et al., 2016),
 * DnCNN (Zhang et al., 2016). Names are those of yjn870's nets, of PyTorch's examples, of KAIR and of SaoYan's DnCNN.
 */
import { convNormAct, pixelShuffle, prelu, transposedConv } from './blocks.js';
import { family, type Preprocessing } from './family.js';
import { ending } from './head.js';
import { type Activation, Departure, type Net, sizeOf, type Value } from './net.js';
import { spelling, withoutPrefix } from './spelling.js';

const PIXELS: Preprocessing = { order: 'RGB', range: [0, 1], mean: [0, 0, 0], std: [1, 1, 1] };
const SIDE = 64;

interface Plain {
  readonly convolutions: readonly (readonly [out: number, kernel: number])[];
  /** How much larger the picture becomes. */
  readonly scale: number;
  readonly channels: number;
}
const YJN = 'first_part.0';

export const srcnn = family<Plain>({
  name: 'srcnn',
  title: 'SRCNN or ESPCN',
  source: 'Dong et al., 2014, https://arxiv.org/abs/1501.00092; Shi et al., 2016, https://arxiv.org/abs/1609.05158',
  sizes: {
    srcnn: {
      convolutions: [
        [64, 9],
        [32, 5],
        [1, 5],
      ],
      scale: 1,
      channels: 1,
    },
    espcn_x3: {
      convolutions: [
        [64, 5],
        [32, 3],
        [9, 3],
      ],
      scale: 3,
      channels: 1,
    },
  },
  stem: 'conv1',
  channels: ({ channels }) => channels,
  side: SIDE,
  output: 'output',
  preprocessing: () => PIXELS,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    { ecosystem: 'torchvision', spell: spelling({ conv1: YJN, conv2: 'first_part.2', conv3: 'last_part.0' }) },
  ],

  measure(names) {
    const kernels = Array.from({ length: names.count('conv{n}', 1) }, (_, i) => names.shape(`conv${i + 1}`));
    const [, channels = 0] = kernels[0] ?? [];
    // Elsewhere as many convolutions are a block of something larger.
    if (channels > 4 || kernels.length < 3 || kernels.length > 4 || kernels.some(({ length }) => length !== 4) || names.has('fc1')) return null;
    const scale = Math.sqrt(kernels.at(-1)![0]! / channels);
    return Number.isInteger(scale) ? { convolutions: kernels.map(([out, , kernel]) => [out!, kernel!] as const), scale, channels } : null;
  },

  build(net, input, { convolutions, scale }) {
    const usual = net.store.sourceName('conv1').endsWith(YJN) ? 'tanh' : 'relu';
    const act = net.setting<string>('activation', usual, 'behind each convolution but the last stands a {} (relu, or tanh)') as Activation;
    const last = convolutions.length - 1;
    const pads = net.setting<string>('padding', 'same', 'convolutions pad so that pictures are {} (same: keep their size; valid: nothing is padded)');
    const x = convolutions.reduce((y, [out, kernel], i) => {
      const z = net.conv(y, `conv${i + 1}`, { out, kernel, bias: true, ...(pads === 'valid' ? { pad: 0 } : {}) });
      return i < last ? net.activation(z, act) : z;
    }, input);
    if (scale === 1) return ending(net, x);
    const meaning = `the ${scale * scale} channels that come out for each one of the picture are {} (pixels: the picture becomes ${scale} times larger; channels)`;
    return ending(net, net.setting<string>('gives', 'pixels', meaning) === 'pixels' ? pixelShuffle(net, x, scale) : x);
  },
});

interface Fast {
  readonly features: number;
  readonly narrow: number;
  /** Convolutions of the narrow part. */
  readonly depth: number;
  readonly kernel: number;
  readonly channels: number;
}
const SCALE = 'the picture becomes {} times larger, which is the stride of the last layer and in no weight';

export const fsrcnn = family<Fast>({
  name: 'fsrcnn',
  title: 'FSRCNN',
  source: 'Dong et al., 2016, https://arxiv.org/abs/1608.00367, figure 2',
  sizes: { fsrcnn: { features: 56, narrow: 12, depth: 4, kernel: 9, channels: 1 } },
  stem: 'first_part.0',
  channels: ({ channels }) => channels,
  side: SIDE,
  output: 'output',
  preprocessing: () => PIXELS,
  spellings: [{ ecosystem: 'torchvision', spell: (path) => path }],

  measure(names) {
    const [features, channels] = names.shape('first_part.0');
    const [narrow] = names.shape('mid_part.0');
    const [, , kernel] = names.shape('last_part');
    if (!features || !channels || !narrow || !kernel || !names.has('first_part.1')) return null;
    let depth = 0;
    while (names.shape(`mid_part.${2 * depth + 2}`)[2] === 3) depth++;
    return { features, narrow, depth, kernel, channels };
  },

  build(net, input, { features, narrow, depth, kernel, channels }) {
    const scale = net.setting('scale', 2, SCALE);
    const step = (y: Value, at: string, i: number, out: number, size: number) =>
      prelu(net, net.conv(y, `${at}.${i}`, { out, kernel: size, bias: true }), `${at}.${i + 1}`);
    let x = step(step(input, 'first_part', 0, features, 5), 'mid_part', 0, narrow, 1);
    for (let i = 1; i <= depth; i++) x = step(x, 'mid_part', 2 * i, narrow, 3);
    x = step(x, 'mid_part', 2 * depth + 2, features, 1);
    return transposedConv(net, x, 'last_part', { out: channels, kernel, stride: scale, pad: Math.floor(kernel / 2), more: scale - 1, bias: true });
  },
});

interface Denoiser {
  /** Modules that are convolutions: channels, whether a normalisation follows; their numbers in the list. */
  readonly convolutions: readonly (readonly [place: number, out: number, norm: boolean])[];
  readonly channels: number;
}
/** More modules than any has. */
const MAX_MODULES = 128;
/** SaoYan's DnCNN gives the noise. */
const NOISE = 'dncnn';

export const dncnn = family<Denoiser>({
  name: 'dncnn',
  title: 'DnCNN',
  source: 'Zhang et al., 2016, https://arxiv.org/abs/1608.03981, figure 1',
  sizes: { dncnn_17: { convolutions: Array.from({ length: 17 }, (_, i) => [2 * i, i === 16 ? 1 : 64, false] as const), channels: 1 } },
  stem: 'model.0',
  channels: ({ channels }) => channels,
  side: SIDE,
  output: 'output',
  preprocessing: () => PIXELS,
  spellings: [
    { ecosystem: 'torchvision', spell: (path) => path },
    { ecosystem: 'torchvision', spell: withoutPrefix('model.') },
    { ecosystem: 'torchvision', spell: spelling({ 'model.{i}': `${NOISE}.{i}` }) },
  ],

  measure(names) {
    const places = Array.from({ length: MAX_MODULES }, (_, i) => i).filter((i) => names.shape(`model.${i}`).length === 4);
    const kernels = places.map((i) => names.shape(`model.${i}`));
    const [, channels] = kernels[0] ?? [];
    const isThree = kernels.every(([, , height, width]) => height === 3 && width === 3);
    if (places.length < 4 || !channels || channels > 4 || !isThree || kernels.at(-1)![0] !== channels) return null;
    return { convolutions: places.map((place, i) => [place, kernels[i]![0]!, names.shape(`model.${place + 1}`, 'mean').length > 0] as const), channels };
  },

  build(net, input, { convolutions }) {
    const usual = net.store.sourceName('model.0').endsWith(`${NOISE}.0`) ? 'noise' : 'picture';
    const gives = net.setting<string>(
      'gives',
      usual,
      'the net gives the {} (picture: the input less what the last layer makes; noise: what the last layer makes)',
    );
    if (gives !== 'noise' && gives !== 'picture') throw new Departure('gives', `is ${gives}, neither picture nor noise`);
    const last = convolutions.length - 1;
    const x = convolutions.reduce((y, [place, out, norm], i) => {
      const act = i < last && gapBehind(net, convolutions, i) > 0 ? 'relu' : 'none';
      if (norm) return convNormAct(net, y, `model.${place}`, `model.${place + 1}`, act, { out, kernel: 3 });
      return net.activation(net.conv(y, `model.${place}`, { out, kernel: 3, bias: true }), act);
    }, input);
    if (sizeOf(x, 1) !== sizeOf(input, 1)) throw new Departure(net.store.sourceName('model.0'), 'takes other channels than the last module gives');
    const y = ending(net, x);
    return gives === 'noise' ? y : net.op('Sub', [input, y]);
  },
});

/**
 * Modules without weights before the next convolution, as the numbers of a list tell: none is no activation.
 *
 * @throws Departure for more than one, which is no net of this family: something pools, or enlarges
 */
function gapBehind(net: Net, convolutions: Denoiser['convolutions'], i: number): number {
  const [[place, , norm], [next]] = [convolutions[i]!, convolutions[i + 1]!];
  const gap = next - place - (norm ? 2 : 1);
  const between = `between "${net.store.sourceName(`model.${place}`)}" and "${net.store.sourceName(`model.${next}`)}"`;
  if (gap > 1) throw new Departure(net.store.sourceName(`model.${next}`), `stands behind ${gap} modules without weights, where one activation is expected`);
  if (gap === 0) net.assume('gap', `where numbers leave no place for an activation there is none, first ${between}`);
  return gap;
}
