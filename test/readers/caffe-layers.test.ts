/** Layers by themselves: what the converted net computes against Caffe's formulas, written out one value at a time. */
import { describe, expect, it } from 'vitest';
import { type Blobs, blob, caffemodel, difference, net, refusal, values, valuesOf } from './caffe-files.js';
import { predict } from './caffe-predict.js';

/** A value of a picture [n, c, h, w], 0 outside of it. */
type At = (n: number, c: number, y: number, x: number) => number;
type Shape = readonly number[];

const reader =
  (data: ArrayLike<number>, [, channels, height, width]: Shape): At =>
  (n, c, y, x) =>
    y < 0 || x < 0 || y >= height! || x >= width! ? 0 : data[((n * channels! + c) * height! + y) * width! + x]!;

/** All values of a shape, by their places. */
function each(shape: Shape, value: (...place: number[]) => number): number[] {
  const out: number[] = [];
  const walk = (place: number[]) => {
    if (place.length === shape.length) out.push(value(...place));
    else for (let i = 0; i < shape[place.length]!; i++) walk([...place, i]);
  };
  walk([]);
  return out;
}

const sum = (count: number, value: (i: number) => number) => Array.from({ length: count }, (_, i) => value(i)).reduce((a, b) => a + b, 0);
const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));

interface Truth {
  readonly shape: Shape;
  readonly values: readonly number[];
}

interface Case {
  readonly title: string;
  readonly inputs?: readonly string[];
  readonly lines: readonly string[];
  readonly blobs?: Blobs;
  /** @param x inputs as flat values */
  readonly truth: (x: readonly Float32Array[]) => Truth;
}

const PICTURE = [2, 4, 5, 6];
const FLAT: (f: (x: number) => number) => Case['truth'] =
  (f) =>
  ([x]) => ({ shape: PICTURE, values: Array.from(x!, f) });

/** One layer from data to out. */
const one = (title: string, line: string, truth: Case['truth'], blobs: Blobs = {}, inputs = ['data 2 4 5 6']): Case => ({
  title,
  lines: [line],
  truth,
  blobs,
  inputs,
});

const byChannel =
  (f: (x: number, channel: number) => number): Case['truth'] =>
  ([x]) => ({ shape: PICTURE, values: Array.from(x!, (value, i) => f(value, Math.floor(i / 30) % 4)) });

const CASES: readonly Case[] = [
  one(
    'ReLU with a slope',
    'ReLU data -> out | relu_param { negative_slope: 0.2 }',
    FLAT((x) => (x > 0 ? x : 0.2 * x)),
  ),
  one(
    'ReLU6',
    'ReLU6 data -> out',
    FLAT((x) => Math.min(Math.max(x, 0), 6)),
  ),
  one(
    'PReLU',
    'PReLU data -> out',
    byChannel((x, c) => (x > 0 ? x : valuesOf(blob(4))[c]! * x)),
    { out: [blob(4)] },
  ),
  one(
    'PReLU with one slope',
    'PReLU data -> out | prelu_param { channel_shared: true }',
    FLAT((x) => (x > 0 ? x : 0.3 * x)),
    { out: [values(0.3)] },
  ),
  one(
    'ELU',
    'ELU data -> out | elu_param { alpha: 0.7 }',
    FLAT((x) => (x > 0 ? x : 0.7 * (Math.exp(x) - 1))),
  ),
  one('AbsVal', 'AbsVal data -> out', FLAT(Math.abs)),
  one(
    'BNLL',
    'BNLL data -> out',
    FLAT((x) => Math.log(1 + Math.exp(x))),
  ),
  one(
    'Swish',
    'Swish data -> out | swish_param { beta: 1.5 }',
    FLAT((x) => x * sigmoid(1.5 * x)),
  ),
  one(
    'HardSwish',
    'HardSwish data -> out',
    FLAT((x) => (x * Math.min(Math.max(x + 3, 0), 6)) / 6),
  ),
  one(
    'Mish',
    'Mish data -> out',
    FLAT((x) => x * Math.tanh(Math.log(1 + Math.exp(x)))),
  ),
  one(
    'Clip',
    'Clip data -> out | clip_param { min: -0.5 max: 1 }',
    FLAT((x) => Math.min(Math.max(x, -0.5), 1)),
  ),
  one(
    'Threshold',
    'Threshold data -> out | threshold_param { threshold: 0.2 }',
    FLAT((x) => (x > 0.2 ? 1 : 0)),
  ),
  one(
    'Power',
    'Power data -> out | power_param { power: 2 scale: 0.5 shift: -1 }',
    FLAT((x) => (0.5 * x - 1) ** 2),
  ),
  one(
    'Power that does nothing',
    'Power data -> out',
    FLAT((x) => x),
  ),
  one(
    'Exp',
    'Exp data -> out | exp_param { base: 2 scale: 0.5 shift: 0.3 }',
    FLAT((x) => 2 ** (0.5 * x + 0.3)),
  ),
  {
    title: 'Log',
    lines: ['AbsVal data -> a', 'Log a -> out | log_param { base: 10 scale: 2 shift: 0.5 }'],
    truth: FLAT((x) => Math.log10(2 * Math.abs(x) + 0.5)),
  },
  one(
    'Dropout that scales at test time',
    'Dropout data -> out | dropout_param { dropout_ratio: 0.4 scale_train: false }',
    FLAT((x) => 0.6 * x),
  ),
  one(
    'Dropout that scales in training',
    'Dropout data -> out | dropout_param { dropout_ratio: 0.4 scale_train: true }',
    FLAT((x) => x),
  ),

  one('MVN', 'MVN data -> out', normalised(30, true, 1e-9)),
  one('MVN across channels', 'MVN data -> out | mvn_param { across_channels: true eps: 0.1 }', normalised(120, true, 0.1)),
  one('MVN of the mean only', 'MVN data -> out | mvn_param { normalize_variance: false }', normalised(30, false, 0)),
  one(
    'Normalize at each place',
    'Normalize data -> out | norm_param { across_spatial: false channel_shared: false eps: 0.01 }',
    ([x]) => {
      const at = reader(x!, PICTURE);
      const norm = (n: number, y: number, z: number) => Math.sqrt(sum(4, (c) => at(n, c, y, z) ** 2) + 0.01);
      return { shape: PICTURE, values: each(PICTURE, (n, c, y, z) => (at(n!, c!, y!, z!) / norm(n!, y!, z!)) * valuesOf(blob(4))[c!]!) };
    },
    { out: [blob(4)] },
  ),
  one(
    'Normalize over a sample',
    'Normalize data -> out',
    ([x]) => {
      const norms = [0, 1].map((n) => Math.sqrt(sum(120, (i) => x![n * 120 + i]! ** 2) + 1e-10));
      return { shape: PICTURE, values: Array.from(x!, (value, i) => (value / norms[Math.floor(i / 120)]!) * 1.5) };
    },
    { out: [values(1.5)] },
  ),
  one('LRN across channels', 'LRN data -> out | lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 k: 2 }', ([x]) => {
    const at = reader(x!, PICTURE);
    const near = (n: number, c: number, y: number, z: number) => sum(3, (i) => (c + i - 1 < 0 || c + i - 1 > 3 ? 0 : at(n, c + i - 1, y, z) ** 2));
    return { shape: PICTURE, values: each(PICTURE, (n, c, y, z) => at(n!, c!, y!, z!) * (2 + (0.5 / 3) * near(n!, c!, y!, z!)) ** -0.75) };
  }),
  one(
    'LRN within a channel, where k plays no part',
    'LRN data -> out | lrn_param { local_size: 3 alpha: 0.5 beta: 0.75 k: 2 norm_region: WITHIN_CHANNEL }',
    ([x]) => {
      const at = reader(x!, PICTURE);
      const near = (n: number, c: number, y: number, z: number) => sum(9, (i) => at(n, c, y + Math.floor(i / 3) - 1, z + (i % 3) - 1) ** 2) / 9;
      return { shape: PICTURE, values: each(PICTURE, (n, c, y, z) => at(n!, c!, y!, z!) * (1 + 0.5 * near(n!, c!, y!, z!)) ** -0.75) };
    },
  ),
  one(
    'BatchNorm',
    'BatchNorm data -> out | batch_norm_param { eps: 0.01 }',
    byChannel((x, c) => (x - [1, 2, 3, 4][c]! / 4) / Math.sqrt([4, 6, 8, 2][c]! / 4 + 0.01)),
    { out: [values(1, 2, 3, 4), values(4, 6, 8, 2), values(4)] },
  ),
  one(
    "BatchNorm of NVIDIA's, with its scale and bias",
    'BatchNorm data -> out | batch_norm_param { scale_bias: true }',
    byChannel((x, c) => ((x - (c + 1)) / Math.sqrt([4, 6, 8, 2][c]! + 1e-5)) * [1, 2, 3, 5][c]! + [7, 8, 9, 1][c]!),
    { out: [values(1, 2, 3, 4), values(4, 6, 8, 2), values(1), values(1, 2, 3, 5), values(7, 8, 9, 1)] },
  ),
  one(
    "BatchNorm of NVIDIA's with a factor of 0, which it does not look at",
    'BatchNorm data -> out',
    byChannel((x, c) => ((x - (c + 1)) / Math.sqrt([4, 6, 8, 2][c]! + 1e-5)) * [1, 2, 3, 5][c]! + [7, 8, 9, 1][c]!),
    { out: [values(1, 2, 3, 4), values(4, 6, 8, 2), values(0), values(1, 2, 3, 5), values(7, 8, 9, 1)] },
  ),
  one(
    "BatchNorm of DIGITS' first version, which begins with scale and bias",
    'BatchNorm data -> out',
    byChannel((x, c) => ((x - (c + 1)) / Math.sqrt([4, 6, 8, 2][c]! + 1e-5)) * [1, 2, 3, 5][c]! + [7, 8, 9, 1][c]!),
    { out: [values(1, 2, 3, 5), { ...values(7, 8, 9, 1), shape: [1, 4, 1, 1] }, values(1, 2, 3, 4), values(4, 6, 8, 2), values(0)] },
  ),
  one(
    "BN of PSPNet's",
    'BN data -> out | bn_param { frozen: true eps: 0.1 slope_filler { type: "constant" value: 1 } }',
    byChannel((x, c) => ((x - (c + 1)) / Math.sqrt([4, 6, 8, 2][c]! + 0.1)) * [1, 2, 3, 5][c]! + [7, 8, 9, 1][c]!),
    { out: [values(1, 2, 3, 5), values(7, 8, 9, 1), values(1, 2, 3, 4), values(4, 6, 8, 2)] },
  ),
  one(
    "BN of SegNet's",
    'BN data -> out | bn_param { bn_mode: INFERENCE }',
    byChannel((x, c) => x * [1, 2, 3, 5][c]! + [7, 8, 9, 1][c]!),
    {
      out: [values(1, 2, 3, 5), values(7, 8, 9, 1)],
    },
  ),

  one(
    'Scale',
    'Scale data -> out',
    byChannel((x, c) => x * [1, 2, 3, 5][c]!),
    { out: [values(1, 2, 3, 5)] },
  ),
  one(
    'Scale along other axes',
    'Scale data -> out | scale_param { axis: -2 num_axes: -1 bias_term: true }',
    ([x]) => ({ shape: PICTURE, values: Array.from(x!, (value, i) => value * valuesOf(blob(5, 6), 1)[i % 30]! + valuesOf(blob(5, 6), 2)[i % 30]!) }),
    { out: [blob(5, 6), blob(5, 6)] },
  ),
  one(
    'Scale by one number',
    'Scale data -> out | scale_param { axis: 0 num_axes: 0 }',
    FLAT((x) => 3 * x),
    { out: [{ shape: [], values: [3] }] },
  ),
  {
    title: 'Scale by another blob, and a bias',
    inputs: ['data 2 4 5 6', 'more 2 4'],
    lines: ['Scale data more -> out | scale_param { axis: 0 }'],
    truth: ([x, y]) => ({ shape: PICTURE, values: Array.from(x!, (value, i) => value * y![Math.floor(i / 30)]!) }),
  },
  one(
    'Bias',
    'Bias data -> out',
    byChannel((x, c) => x + [1, 2, 3, 5][c]!),
    { out: [values(1, 2, 3, 5)] },
  ),
  {
    title: 'Bias from another blob',
    inputs: ['data 2 4 5 6', 'more 2 4 5 6'],
    lines: ['Bias data more -> out | bias_param { axis: 0 }'],
    truth: ([x, y]) => ({ shape: PICTURE, values: Array.from(x!, (value, i) => value + y![i]!) }),
  },
  {
    title: 'Axpy',
    inputs: ['a 2 4 1 1', 'x 2 4 5 6', 'y 2 4 5 6'],
    lines: ['Axpy a x y -> out'],
    truth: ([a, x, y]) => ({ shape: PICTURE, values: Array.from(x!, (value, i) => a![Math.floor(i / 30)]! * value + y![i]!) }),
  },
  ...(
    [
      ['PROD', (x: number, y: number) => x * y, ''],
      ['SUM', (x: number, y: number) => 0.5 * x - 2 * y, 'coeff: 0.5 coeff: -2'],
      ['MAX', Math.max, ''],
    ] as const
  ).map(
    ([operation, f, more]): Case => ({
      title: `Eltwise ${operation}`,
      inputs: ['data 2 4 5 6', 'more 2 4 5 6'],
      lines: [`Eltwise data more -> out | eltwise_param { operation: ${operation} ${more} }`],
      truth: ([x, y]) => ({ shape: PICTURE, values: Array.from(x!, (value, i) => f(value, y![i]!)) }),
    }),
  ),
  ...(
    [
      ['SUM', (list: number[]) => list.reduce((a, b) => a + b, 0)],
      ['ASUM', (list: number[]) => list.reduce((a, b) => a + Math.abs(b), 0)],
      ['SUMSQ', (list: number[]) => list.reduce((a, b) => a + b * b, 0)],
      ['MEAN', (list: number[]) => list.reduce((a, b) => a + b, 0) / list.length],
    ] as const
  ).map(([operation, f]) =>
    one(`Reduction ${operation}`, `Reduction data -> out | reduction_param { operation: ${operation} axis: 2 coeff: 2 }`, ([x]) => ({
      shape: [2, 4],
      values: each([2, 4], (n, c) => 2 * f([...x!.slice((n! * 4 + c!) * 30, (n! * 4 + c! + 1) * 30)])),
    })),
  ),

  one('InnerProduct of a picture', 'InnerProduct data -> out | inner_product_param { num_output: 3 }', product(120, 3, [2, 3], false), {
    out: [blob(3, 120), blob(3)],
  }),
  one('InnerProduct, transposed', 'InnerProduct data -> out | inner_product_param { num_output: 3 transpose: true }', product(120, 3, [2, 3], true), {
    out: [blob(120, 3), blob(3)],
  }),
  one('InnerProduct along later axes', 'InnerProduct data -> out | inner_product_param { num_output: 3 axis: 2 }', product(30, 3, [2, 4, 3], false), {
    out: [blob(3, 30), blob(3)],
  }),
  one(
    'InnerProduct along the last axis, transposed',
    'InnerProduct data -> out | inner_product_param { num_output: 3 axis: -1 transpose: true }',
    product(6, 3, [2, 4, 5, 3], true),
    {
      out: [blob(6, 3), blob(3)],
    },
  ),
  {
    title: 'Embed',
    inputs: ['data 2 3'],
    // Made-up values, brought to 0 and 1.
    lines: [
      'Clip data -> a | clip_param { min: 0 max: 0 }',
      'Power a -> ids | power_param { shift: 2 }',
      'Embed ids -> out | embed_param { num_output: 5 input_dim: 4 }',
    ],
    blobs: { out: [blob(4, 5), blob(5)] },
    truth: () => ({ shape: [2, 3, 5], values: each([2, 3, 5], (_, __, i) => valuesOf(blob(4, 5), 1)[10 + i!]! + valuesOf(blob(5), 2)[i!]!) }),
  },
  one(
    'Convolution',
    'Convolution data -> out | convolution_param { num_output: 6 kernel_size: 3 group: 2 stride: 2 pad: 1 }',
    convolved(6, 2, [3, 3], [2, 2], [1, 1], [1, 1]),
    {
      out: [blob(6, 2, 3, 3), blob(6)],
    },
  ),
  one(
    'Convolution with a size for each axis',
    'Convolution data -> out | convolution_param { num_output: 3 kernel_size: [3, 2] pad: 1 pad: 0 stride: 1 stride: 2 dilation: 2 dilation: 1 axis: -3 force_nd_im2col: true }',
    convolved(3, 1, [3, 2], [1, 2], [1, 0], [2, 1]),
    { out: [blob(3, 4, 3, 2), blob(3)] },
  ),
  one(
    'Convolution with _h and _w',
    'Convolution data -> out | convolution_param { num_output: 3 kernel_h: 1 kernel_w: 3 pad_w: 1 stride_h: 2 stride_w: 1 }',
    convolved(3, 1, [1, 3], [2, 1], [0, 1], [1, 1]),
    {
      out: [blob(3, 4, 1, 3), blob(3)],
    },
  ),
  one(
    "Convolution with DeepLab's holes",
    'Convolution data -> out | convolution_param { num_output: 3 kernel_size: 2 hole: 3 }',
    convolved(3, 1, [2, 2], [1, 1], [0, 0], [3, 3]),
    {
      out: [blob(3, 4, 2, 2), blob(3)],
    },
  ),
  ...['DepthwiseConvolution', 'ConvolutionDepthwise'].flatMap((type) =>
    ['', 'group: 4'].map((group) =>
      one(
        `${type} ${group}`,
        `${type} data -> out | convolution_param { num_output: 4 kernel_size: 3 ${group} }`,
        convolved(4, 4, [3, 3], [1, 1], [0, 0], [1, 1]),
        {
          out: [blob(4, 1, 3, 3), blob(4)],
        },
      ),
    ),
  ),
  {
    title: 'Convolution over a volume',
    inputs: ['data 2 1 2 2 2'],
    lines: ['Convolution data -> out | convolution_param { num_output: 1 kernel_size: 2 bias_term: false }'],
    blobs: { out: [blob(1, 1, 2, 2, 2)] },
    truth: ([x]) => ({ shape: [2, 1, 1, 1, 1], values: [0, 8].map((start) => sum(8, (i) => x![start + i]! * valuesOf(blob(8), 1)[i]!)) }),
  },
  one(
    'Deconvolution',
    'Deconvolution data -> out | convolution_param { num_output: 4 kernel_size: 4 stride: 2 pad: 1 group: 4 bias_term: false }',
    ([x]) => {
      const at = reader(x!, PICTURE);
      const shape = [2, 4, 10, 12];
      const kernel = reader(valuesOf(blob(4, 1, 4, 4)), [4, 1, 4, 4]);
      return {
        shape,
        values: each(shape, (n, c, y, z) =>
          sum(30, (i) => {
            const [u, v] = [Math.floor(i / 6), i % 6];
            return at(n!, c!, u, v) * kernel(c!, 0, y! + 1 - 2 * u, z! + 1 - 2 * v);
          }),
        ),
      };
    },
    { out: [blob(4, 1, 4, 4)] },
  ),

  {
    title: 'Concat by its older axis',
    inputs: ['data 2 4 5 6', 'more 2 4 5 6'],
    lines: ['Concat data more -> out | concat_param { concat_dim: 1 }'],
    truth: ([x, y]) => ({ shape: [2, 8, 5, 6], values: [...x!.slice(0, 120), ...y!.slice(0, 120), ...x!.slice(120), ...y!.slice(120)] }),
  },
  one('Slice at points', 'Slice data -> rest out | slice_param { axis: -1 slice_point: 4 }', ([x]) => ({
    shape: [2, 4, 5, 2],
    values: each([2, 4, 5, 2], (n, c, y, z) => reader(x!, PICTURE)(n!, c!, y!, z! + 4)),
  })),
  {
    title: 'Crop',
    inputs: ['data 2 4 5 6', 'like 2 4 2 3'],
    lines: ['Crop data like -> out | crop_param { axis: 2 offset: 2 offset: 3 }'],
    truth: ([x]) => ({ shape: [2, 4, 2, 3], values: each([2, 4, 2, 3], (n, c, y, z) => reader(x!, PICTURE)(n!, c!, y! + 2, z! + 3)) }),
  },
  {
    title: 'Crop of all axes by one offset',
    inputs: ['data 2 4 5 6', 'like 2 3 4 5'],
    lines: ['Crop data like -> out | crop_param { axis: 1 offset: 1 }'],
    truth: ([x]) => ({ shape: [2, 3, 4, 5], values: each([2, 3, 4, 5], (n, c, y, z) => reader(x!, PICTURE)(n!, c! + 1, y! + 1, z! + 1)) }),
  },
  one('Flatten', 'Flatten data -> out', ([x]) => ({ shape: [2, 120], values: [...x!] })),
  one('Flatten of some axes', 'Flatten data -> out | flatten_param { axis: 1 end_axis: -2 }', ([x]) => ({ shape: [2, 20, 6], values: [...x!] })),
  one('Reshape', 'Reshape data -> out | reshape_param { shape { dim: 0 dim: -1 dim: 3 } }', ([x]) => ({ shape: [2, 40, 3], values: [...x!] })),
  one('Reshape of some axes', 'Reshape data -> out | reshape_param { shape { dim: 2 dim: 2 } axis: 1 num_axes: 1 }', ([x]) => ({
    shape: [2, 2, 2, 5, 6],
    values: [...x!],
  })),
  one('Reshape that adds an axis', 'Reshape data -> out | reshape_param { shape { dim: 1 } axis: -2 num_axes: 0 }', ([x]) => ({
    shape: [2, 4, 5, 1, 6],
    values: [...x!],
  })),
  one('Permute', 'Permute data -> out | permute_param { order: 0 order: 2 }', ([x]) => ({
    shape: [2, 5, 4, 6],
    values: each([2, 5, 4, 6], (n, y, c, z) => reader(x!, PICTURE)(n!, c!, y!, z!)),
  })),
  one('Tile', 'Tile data -> out | tile_param { axis: 2 tiles: 3 }', ([x]) => ({
    shape: [2, 4, 15, 6],
    values: each([2, 4, 15, 6], (n, c, y, z) => reader(x!, PICTURE)(n!, c!, y! % 5, z!)),
  })),
  one('ShuffleChannel', 'ShuffleChannel data -> out | shuffle_channel_param { group: 2 }', ([x]) => ({
    shape: PICTURE,
    values: each(PICTURE, (n, c, y, z) => reader(x!, PICTURE)(n!, [0, 2, 1, 3][c!]!, y!, z!)),
  })),
  one('Upsample by a scale for each axis', 'Upsample data -> out | upsample_param { scale_h: 1 scale_w: 3 }', ([x]) => ({
    shape: [2, 4, 5, 18],
    values: each([2, 4, 5, 18], (n, c, y, at) => reader(x!, PICTURE)(n!, c!, y!, Math.floor(at! / 3))),
  })),
  // Behind a ReLU many windows have several maxima, all 0, of which Caffe takes the first.
  ...(
    [
      ['of whole windows', [4, 6], [2, 2], 'scale: 2'],
      ['to a size, the last windows in part outside', [5, 7], [2, 2], 'scale: 2 upsample_h: 5 upsample_w: 7'],
      ['without the last row', [5, 6], [2, 2], 'pad_out_h: true'],
      ['of other windows', [4, 9], [2, 3], 'scale_h: 2 scale_w: 3'],
    ] as const
  ).map(
    ([title, [height, width], [high, wide], settings]): Case => ({
      title: `Upsample by the positions of a pooling ${title}`,
      inputs: [`data 2 4 ${height} ${width}`],
      lines: [
        'ReLU data -> r',
        `Pooling r -> p mask | pooling_param { kernel_h: ${high} kernel_w: ${wide} stride_h: ${high} stride_w: ${wide} }`,
        'Power p -> q | power_param { scale: 2 shift: 1 }',
        `Upsample q mask -> out | upsample_param { ${settings} }`,
      ],
      truth: ([x]) => {
        const shape = [2, 4, height, width];
        const at = (n: number, c: number, y: number, z: number) => Math.max(0, reader(x!, shape)(n, c, y, z));
        const place = (n: number, c: number, row: number, column: number) => {
          let best = [row * high, column * wide] as const;
          for (let y = row * high; y < Math.min(height, (row + 1) * high); y++)
            for (let z = column * wide; z < Math.min(width, (column + 1) * wide); z++) if (at(n, c, y, z) > at(n, c, ...best)) best = [y, z];
          return best;
        };
        const values = each(shape, (n, c, y, z) => {
          const [row, column] = place(n!, c!, Math.floor(y! / high), Math.floor(z! / wide));
          return row === y && column === z ? 2 * at(n!, c!, y!, z!) + 1 : 0;
        });
        return { shape, values };
      },
    }),
  ),
  one('Upsample', 'Upsample data -> out | upsample_param { scale: 2 }', ([x]) => ({
    shape: [2, 4, 10, 12],
    values: each([2, 4, 10, 12], (n, c, y, z) => reader(x!, PICTURE)(n!, c!, Math.floor(y! / 2), Math.floor(z! / 2))),
  })),
  ...(
    [
      ['to a size', 'height: 9 width: 4', [5, 6], [9, 4], 0],
      ['by a factor', 'zoom_factor: 3', [5, 6], [13, 16], 0],
      ['down and up', 'shrink_factor: 2 zoom_factor: 2', [5, 6], [5, 5], 0],
      ['of a part', 'height: 7 width: 7 pad_beg: -1 pad_end: -2', [2, 3], [7, 7], 1],
    ] as const
  ).map(([title, settings, [height, width], [rows, columns], skipped]) =>
    one(`Interp ${title}`, `Interp data -> out | interp_param { ${settings} }`, ([x]) => {
      const at = reader(x!, PICTURE);
      const place = (i: number, from: number, to: number): [number, number, number] => {
        const exact = to > 1 ? (i * (from - 1)) / (to - 1) : 0;
        const low = Math.floor(exact);
        return [low, Math.min(low + 1, from - 1), exact - low];
      };
      const shape = [2, 4, rows, columns];
      return {
        shape,
        values: each(shape, (n, c, y, z) => {
          const [top, bottom, down] = place(y!, height, rows);
          const [left, right, across] = place(z!, width, columns);
          const read = (u: number, v: number) => at(n!, c!, u + skipped, v + skipped);
          return (
            (1 - down) * ((1 - across) * read(top, left) + across * read(top, right)) +
            down * ((1 - across) * read(bottom, left) + across * read(bottom, right))
          );
        }),
      };
    }),
  ),
  one('Softmax over channels', 'Softmax data -> out', ([x]) => {
    const at = reader(x!, PICTURE);
    return { shape: PICTURE, values: each(PICTURE, (n, c, y, z) => Math.exp(at(n!, c!, y!, z!)) / sum(4, (i) => Math.exp(at(n!, i, y!, z!)))) };
  }),
];

/** Places of the largest of lists, the last where several are. */
const last = (list: readonly number[]) => list.lastIndexOf(Math.max(...list));

const ARGMAX: readonly Case[] = [
  one('ArgMax of a sample', 'ArgMax data -> out', ([x]) => ({ shape: [2, 1, 1, 1], values: [0, 1].map((n) => last([...x!.slice(n * 120, n * 120 + 120)])) })),
  one('ArgMax of a sample, with its value', 'ArgMax data -> out | argmax_param { out_max_val: true }', ([x]) => {
    const samples = [0, 1].map((n) => [...x!.slice(n * 120, n * 120 + 120)]);
    return { shape: [2, 2, 1, 1], values: samples.flatMap((list) => [last(list), Math.max(...list)]) };
  }),
  one('ArgMax along channels', 'ArgMax data -> out | argmax_param { axis: 1 }', ([x]) => {
    const at = reader(x!, PICTURE);
    return { shape: [2, 1, 5, 6], values: each([2, 1, 5, 6], (n, _, y, z) => last([0, 1, 2, 3].map((c) => at(n!, c, y!, z!)))) };
  }),
  one('The largest along channels', 'ArgMax data -> out | argmax_param { axis: 1 out_max_val: true }', ([x]) => {
    const at = reader(x!, PICTURE);
    return { shape: [2, 1, 5, 6], values: each([2, 1, 5, 6], (n, _, y, z) => Math.max(...[0, 1, 2, 3].map((c) => at(n!, c, y!, z!)))) };
  }),
  {
    title: 'ArgMax of equal values, of which Caffe takes the last',
    inputs: ['data 2 4'],
    lines: ['Power data -> zero | power_param { scale: 0 }', 'ArgMax zero -> out'],
    truth: () => ({ shape: [2, 1, 1], values: [3, 3] }),
  },
];

function normalised(count: number, byDeviation: boolean, epsilon: number): Case['truth'] {
  return ([x]) => ({
    shape: PICTURE,
    values: Array.from(x!, (value, i) => {
      const part = x!.slice(Math.floor(i / count) * count, (Math.floor(i / count) + 1) * count);
      const mean = part.reduce((a, b) => a + b, 0) / count;
      const deviation = Math.sqrt(part.reduce((a, b) => a + (b - mean) ** 2, 0) / count);
      return byDeviation ? (value - mean) / (deviation + epsilon) : value - mean;
    }),
  });
}

function product(features: number, out: number, shape: Shape, transposed: boolean): Case['truth'] {
  return ([x]) => {
    const kernel = valuesOf(transposed ? blob(features, out) : blob(out, features), 1);
    const bias = valuesOf(blob(out), 2);
    return {
      shape,
      values: Array.from(
        { length: (x!.length / features) * out },
        (_, i) =>
          sum(features, (k) => x![Math.floor(i / out) * features + k]! * kernel[transposed ? k * out + (i % out) : (i % out) * features + k]!) + bias[i % out]!,
      ),
    };
  };
}

type Pair = readonly [number, number];

function convolved(out: number, group: number, kernel: Pair, stride: Pair, pad: Pair, dilation: Pair): Case['truth'] {
  return ([x]) => {
    const at = reader(x!, PICTURE);
    const each4 = 4 / group;
    const [height, width] = [0, 1].map((i) => Math.floor((PICTURE[i + 2]! + 2 * pad[i]! - ((kernel[i]! - 1) * dilation[i]! + 1)) / stride[i]!) + 1);
    const weights = reader(valuesOf(blob(out, each4, ...kernel), 1), [out, each4, ...kernel]);
    const bias = valuesOf(blob(out), 2);
    const shape = [2, out, height!, width!];
    const values = each(shape, (n, o, y, z) => {
      const first = Math.floor(o! / (out / group)) * each4;
      return (
        sum(each4, (c) =>
          sum(kernel[0], (i) =>
            sum(
              kernel[1],
              (j) => at(n!, first + c, y! * stride[0] - pad[0] + i * dilation[0], z! * stride[1] - pad[1] + j * dilation[1]) * weights(o!, c, i, j),
            ),
          ),
        ) + bias[o!]!
      );
    });
    return { shape, values };
  };
}

describe("Caffe's layers", () => {
  it.each([...CASES, ...ARGMAX])('$title', async ({ inputs = ['data 2 4 5 6'], lines, blobs = {}, truth }) => {
    const { inputs: given, outputs } = await predict(net(inputs, ...lines), caffemodel(blobs));
    const expected = truth(given.map(({ data }) => data));
    const found = outputs.get('out')!;
    expect(found.shape).toEqual(expected.shape);
    expect(difference(found.data, expected.values)).toBeLessThan(3e-6);
  });
});

it('positions of maxima are refused where they are taken for values, or for another picture', async () => {
  const pool = 'Pooling data -> p mask | pooling_param { kernel_size: 2 stride: 2 }';
  for (const [line, words] of [
    ['Power mask -> out', /"mask", the positions of maxima, which are for Upsample only/],
    ['Upsample p mask -> out | upsample_param { upsample_h: 7 upsample_w: 6 }', /to 7 x 6, by positions in a picture of 5 x 6/],
    ['Upsample data mask -> out', /an Upsample of \[N,4,5,6\]/],
  ] as const) {
    expect((await refusal(net(['data 2 4 5 6'], pool, line))).message).toMatch(words);
  }
});

describe('pooling', () => {
  /** PoolingLayer::Reshape and Forward_cpu, line by line. */
  function pooled(
    x: ArrayLike<number>,
    [batch, channels, height, width]: Shape,
    method: string,
    k: Pair,
    s: Pair,
    p: Pair,
    round: (x: number) => number,
  ): Truth {
    const at = reader(x, [batch!, channels!, height!, width!]);
    let rows = round((height! + 2 * p[0] - k[0]) / s[0]) + 1;
    let columns = round((width! + 2 * p[1] - k[1]) / s[1]) + 1;
    if (p[0] || p[1]) {
      if ((rows - 1) * s[0] >= height! + p[0]) rows--;
      if ((columns - 1) * s[1] >= width! + p[1]) columns--;
    }
    const shape = [batch!, channels!, rows, columns];
    const values = each(shape, (n, c, ph, pw) => {
      let [hstart, wstart] = [ph! * s[0] - p[0], pw! * s[1] - p[1]];
      let [hend, wend] = [Math.min(hstart + k[0], height! + p[0]), Math.min(wstart + k[1], width! + p[1])];
      const size = (hend - hstart) * (wend - wstart);
      [hstart, wstart, hend, wend] = [Math.max(hstart, 0), Math.max(wstart, 0), Math.min(hend, height!), Math.min(wend, width!)];
      let [most, total] = [Number.NEGATIVE_INFINITY, 0];
      for (let h = hstart; h < hend; h++) {
        for (let w = wstart; w < wend; w++) {
          most = Math.max(most, at(n!, c!, h, w));
          total += at(n!, c!, h, w);
        }
      }
      return method === 'MAX' ? most : total / size;
    });
    return { shape, values };
  }

  // Every way in which a last window can lie: within, reaching past the end, past the padding, beginning in the padding.
  const windows = [1, 2, 3, 4].flatMap((kernel) =>
    [1, 2, 3].flatMap((stride) => [0, 1, 2].filter((pad) => pad < kernel).map((pad) => ({ kernel, stride, pad }))),
  );
  const settings = windows.flatMap((window) =>
    ['MAX', 'AVE'].flatMap((method) => ['', 'round_mode: FLOOR', 'ceil_mode: false', 'ceil_mode: true'].map((mode) => ({ ...window, method, mode }))),
  );
  it('has four ways of rounding for every window', () => {
    expect(settings.length).toBe(27 * 2 * 4);
  });
  for (const height of [5, 6, 7]) {
    it(`as Caffe rounds, clips and counts it: pictures of ${height} x ${height + 3}`, async () => {
      let [computed, refused] = [0, 0];
      const shape = [2, 2, height, height + 3];
      for (const { kernel, stride, pad, method, mode } of settings) {
        const line = `Pooling data -> out | pooling_param { pool: ${method} kernel_size: ${kernel} stride: ${stride} pad: ${pad} ${mode} }`;
        const isFloor = mode.endsWith('FLOOR') || mode.endsWith('false');
        // Without padding Caffe has no clip, and a window may lie outside of the picture, where it has no value.
        const lies = (size: number) => !isFloor && pad === 0 && Math.ceil((size - kernel) / stride) * stride >= size;
        if (lies(height) || lies(height + 3)) {
          expect((await refusal(net([`data ${shape.join(' ')}`], line))).message).toMatch(/outside of the picture/);
          refused++;
          continue;
        }
        const { inputs, outputs } = await predict(net([`data ${shape.join(' ')}`], line), caffemodel({}));
        const truth = pooled(inputs[0]!.data, shape, method, [kernel, kernel], [stride, stride], [pad, pad], isFloor ? Math.floor : Math.ceil);
        expect([line, outputs.get('out')!.shape]).toEqual([line, truth.shape]);
        expect(difference(outputs.get('out')!.data, truth.values), line).toBeLessThan(2e-6);
        computed++;
      }
      expect(computed).toBeGreaterThan(190);
      expect(computed + refused).toBe(settings.length);
    }, 60_000);
  }

  it.each([
    ['kernel_h: 2 kernel_w: 3 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 1', [2, 3], [2, 1], [0, 1]],
    ['kernel_size: 3 stride_h: 1 stride_w: 2', [3, 3], [1, 2], [0, 0]],
  ] as [string, Pair, Pair, Pair][])('with %s', async (text, k, s, p) => {
    for (const method of ['MAX', 'AVE']) {
      const { inputs, outputs } = await predict(net(['data 2 4 5 6'], `Pooling data -> out | pooling_param { pool: ${method} ${text} }`), caffemodel({}));
      const truth = pooled(inputs[0]!.data, PICTURE, method, k, s, p, Math.ceil);
      expect(outputs.get('out')!.shape).toEqual(truth.shape);
      expect(difference(outputs.get('out')!.data, truth.values)).toBeLessThan(2e-6);
    }
  });

  it('of the whole picture, with a stride of 1 written beside it', async () => {
    const { inputs, outputs } = await predict(
      net(['data 2 4 5 6'], 'Pooling data -> out | pooling_param { pool: AVE global_pooling: true stride: 1 pad: 0 }'),
      caffemodel({}),
    );
    const means = each([2, 4], (n, c) => sum(30, (i) => inputs[0]!.data[(n! * 4 + c!) * 30 + i]!) / 30);
    expect(outputs.get('out')!.shape).toEqual([2, 4, 1, 1]);
    expect(difference(outputs.get('out')!.data, means)).toBeLessThan(2e-6);
  });

  it.each([1, 2, 3])('into a spatial pyramid of %i', async (height) => {
    for (const method of ['MAX', 'AVE']) {
      const { inputs, outputs } = await predict(
        net(['data 2 4 8 6'], `SPP data -> out | spp_param { pyramid_height: ${height} pool: ${method} }`),
        caffemodel({}),
      );
      const levels = Array.from({ length: height }, (_, level) => {
        const bins = 2 ** level;
        const k = [8, 6].map((size) => Math.ceil(size / bins)) as unknown as Pair;
        const p = [8, 6].map((size, i) => Math.floor((k[i]! * bins - size + 1) / 2)) as unknown as Pair;
        return pooled(inputs[0]!.data, [2, 4, 8, 6], method, k, k, p, Math.ceil);
      });
      const vectors = [0, 1].map((n) => levels.flatMap(({ values: list }) => list.slice((n * list.length) / 2, ((n + 1) * list.length) / 2)));
      expect(outputs.get('out')!.shape).toEqual(height === 1 ? [2, 4, 1, 1] : [2, vectors[0]!.length]);
      expect(difference(outputs.get('out')!.data, vectors.flat())).toBeLessThan(2e-6);
    }
  });

  it.each([
    ['STOCHASTIC', 'pool: STOCHASTIC kernel_size: 2', /STOCHASTIC pooling/],
    ['contradicting', 'kernel_size: 2 round_mode: FLOOR ceil_mode: true', /contradict/],
    ['padded as much as its kernel', 'kernel_size: 2 pad: 2', /padding \[2,2\] must be smaller/],
    ['given its kernel twice', 'kernel_size: 2 kernel_h: 2 kernel_w: 2', /one or the other/],
    ['without a kernel', 'stride: 2', /no kernel_size/],
    ['global and padded', 'global_pooling: true pad: 1', /global pooling with padding/],
    ['global and moved', 'global_pooling: true stride: 2', /global pooling with padding or a stride/],
    ['global and moved along one axis', 'global_pooling: true stride_h: 1 stride_w: 3', /global pooling with padding or a stride/],
    ['global beside a kernel', 'global_pooling: true kernel_size: 4', /beside a kernel_size: Caffe refuses both/],
    ['global beside a height', 'global_pooling: true kernel_h: 4', /beside a kernel_h: Caffe refuses both/],
    ['dilated', 'kernel_size: 2 dilation: 2', /dilation/],
  ])('%s is refused', async (_, text, words) => {
    expect((await refusal(net(['data 2 4 5 6'], `Pooling data -> out | pooling_param { ${text} }`))).message).toMatch(words);
  });
});

describe('what has no translation', () => {
  it.each([
    ['Im2col data -> out', /layers of type Im2col have no translation: it lays out windows/],
    ['BatchReindex data more -> out', /BatchReindex/],
    ['Filter data more -> out', /Filter/],
    ['Nonsense data -> out', /layers of type Nonsense have no translation. Known: /],
    ['HardSigmoid data -> out', /forks disagree/],
    ['Python data -> out | python_param { module: "mine" layer: "Nms" }', /Python \(mine\.Nms\)/],
    ['ShuffleChannel data -> out', /without a group/],
    ['Upsample data like -> out | upsample_param { scale: 2 }', /"like" as the positions of maxima, which no pooling gives/],
    ['Upsample data -> out | upsample_param { scale: 2 upsample_h: 9 }', /to a size without the positions/],
    ['Pooling data -> out mask | pooling_param { kernel_size: 2 }', /positions of its maxima, over windows that are padded or overlap/],
    ['Pooling data -> out mask | pooling_param { kernel_size: 2 stride: 2 }', /positions of its maxima \("mask"\), which no Upsample takes/],
    ['Interp data -> out | interp_param { height: 9 width: 9 zoom_factor: 2 }', /in several ways/],
    ['Interp data like -> out | interp_param { height: 9 width: 9 }', /in several ways/],
    ['BatchNorm data -> out | batch_norm_param { use_global_stats: false }', /use_global_stats is false/],
    ['InnerProduct data -> out | inner_product_param { num_output: 3 axis: 0 }', /one vector of all samples/],
    ['Reduction data -> out', /one number of all samples/],
    ['Eltwise data more -> out', /different shapes: \[N,4,5,6\], \[N,4\]/],
    ['Eltwise data -> out', /Eltwise with 1 bottoms/],
    ['ReLU data more -> out', /ReLU with 2 bottoms/],
    ['ReLU data -> out more2', /ReLU with 2 tops/],
    ['Concat data -> out | concat_param { axis: 1 concat_dim: 1 }', /one or the other/],
    ['Slice data -> a b | slice_param { slice_point: 4 }', /does not divide/],
    ['Slice data -> a b c | slice_param { slice_point: 2 slice_point: 1 }', /does not divide/],
    ['Crop data like -> out | crop_param { offset: 4 }', /from offset 4 on are more/],
    ['Reshape data -> out | reshape_param { shape { dim: 0 dim: 7 } }', /number of values differs/],
    ['Flatten data -> out | flatten_param { axis: 3 end_axis: 1 }', /cannot be made one/],
    ['Softmax data -> out | softmax_param { axis: 4 }', /axis 4 of 4 axes/],
    ['Exp data -> out | exp_param { base: 0 }', /base of 0/],
    ['Tile data -> out | tile_param { tiles: 100000000 }', /tiles/],
    ['Interp data -> out | interp_param { height: 100000000 width: 100000000 }', /more than 67108864 values/],
    ['Clip data -> out | clip_param { min: 0 }', /no min or no max/],
    ['LRN data -> out | lrn_param { local_size: 4 }', /odd/],
    ['Convolution data -> out | convolution_param { kernel_size: 3 }', /no num_output/],
    ['DepthwiseConvolution data -> out | convolution_param { num_output: 4 kernel_size: 3 group: 2 }', /4 channels in 2 groups/],
  ])('%s', async (line, words) => {
    const error = await refusal(net(['data 2 4 5 6', 'more 2 4', 'like 2 4 2 3'], line));
    expect(error.message).toMatch(words);
    expect(error.message).toMatch(/layer "/);
  });

  it('is told all at once, without the faults that only follow from others', async () => {
    const text = net(
      ['data 2 4 5 6'],
      'Nonsense data -> a',
      'Convolution a -> b | convolution_param { num_output: 3 kernel_size: 3 nonsense: 1 }',
      'InnerProduct b -> c | inner_product_param { num_output: 7 }',
      'Odd c -> d',
    );
    const { message } = await refusal(text, { b: [blob(3, 9, 3, 3), blob(3)], c: [blob(7, 5), blob(7)] });
    expect(message.split('\n').slice(1).length).toBe(3);
    expect(message).toMatch(/"a": layers of type Nonsense/);
    expect(message).toMatch(/"b": Convolution has settings that are not known: convolution_param.nonsense 1/);
    expect(message).toMatch(/"d": layers of type Odd/);
  });
});
