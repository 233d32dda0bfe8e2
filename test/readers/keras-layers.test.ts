/** Layers against their formulas, worked out here in another way than the product's. */
import { describe, expect, test } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { tfjsCpu } from '../../src/verify/engines/tfjs-cpu.js';
import { functional, type LayerSpec, legacyH5, sequential, type Weight, weight } from '../keras-files.js';
import { arrayOf, at, conversionError, difference, predictFile, predictSequence, random } from '../keras-run.js';
import type { Run } from '../run-onnx.js';

const PICTURE = random([2, 5, 4, 6]);
const VECTORS = random([3, 5]);

function expectClose(actual: Run, expected: Run, tolerance = 3e-6) {
  const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 1);
  expect(difference(actual, expected) / scale).toBeLessThan(tolerance);
}

const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const variance = (values: readonly number[]) => mean(values.map((value) => (value - mean(values)) ** 2));
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

describe('normalisation', () => {
  const gamma = weight([6], 7);
  const beta = weight([6], 8);
  const affine = { 'gamma:0': gamma, 'beta:0': beta };

  test('LayerNormalization with rms_scaling divides by the deviation, and subtracts and adds nothing', async () => {
    const weights = { layernormalization: { 'gamma:0': gamma } };
    const actual = await predictSequence(PICTURE, [['LayerNormalization', { axis: -1, epsilon: 0.01, rms_scaling: true }]], { version: '3.5.0', weights });
    const expected = arrayOf(PICTURE.shape, (n, h, w, c) => {
      const row = range(6).map((k) => at(PICTURE, n, h, w, k));
      return (at(PICTURE, n, h, w, c) / Math.sqrt(variance(row) + 0.01)) * gamma.values[c]!;
    });
    expectClose(actual, expected);
  });

  test.each([[-1], [3], [[3]]])('LayerNormalization over axis %j', async (axis) => {
    const actual = await predictSequence(PICTURE, [['LayerNormalization', { axis, epsilon: 0.01 }]], { weights: { layernormalization: affine } });
    const expected = arrayOf(PICTURE.shape, (n, h, w, c) => {
      const row = range(6).map((k) => at(PICTURE, n, h, w, k));
      return ((at(PICTURE, n, h, w, c) - mean(row)) / Math.sqrt(variance(row) + 0.01)) * gamma.values[c]! + beta.values[c]!;
    });
    expectClose(actual, expected);
  });

  test('LayerNormalization over several axes, without centre', async () => {
    const own = weight([5, 6], 9);
    const actual = await predictSequence(PICTURE, [['LayerNormalization', { axis: [1, 3], epsilon: 1e-3, center: false }]], {
      weights: { layernormalization: { 'gamma:0': own } },
    });
    const expected = arrayOf(PICTURE.shape, (n, h, w, c) => {
      const values = range(5).flatMap((i) => range(6).map((k) => at(PICTURE, n, i, w, k)));
      return ((at(PICTURE, n, h, w, c) - mean(values)) / Math.sqrt(variance(values) + 1e-3)) * own.values[h * 6 + c]!;
    });
    expectClose(actual, expected);
  });

  test('behind a convolution, whose channels are first in the map', async () => {
    const kernel = { shape: [1, 1, 6, 6], values: range(36).map((i) => (i % 7 === 0 ? 1 : 0)) };
    const actual = await predictSequence(
      PICTURE,
      [
        ['Conv2D', { filters: 6, kernel_size: [1, 1], use_bias: false }],
        ['LayerNormalization', { scale: false, center: false }],
      ],
      {
        weights: { conv2d: { 'kernel:0': kernel } },
      },
    );
    const expected = arrayOf(PICTURE.shape, (n, h, w, c) => {
      const row = range(6).map((k) => at(PICTURE, n, h, w, k));
      return (at(PICTURE, n, h, w, c) - mean(row)) / Math.sqrt(variance(row) + 1e-3);
    });
    expectClose(actual, expected);
  });

  test.each([1, 2, 3, -1])('GroupNormalization in %i groups', async (groups) => {
    const actual = await predictSequence(PICTURE, [['GroupNormalization', { groups, axis: -1, epsilon: 0.01 }]], { weights: { groupnormalization: affine } });
    const size = groups === -1 ? 1 : 6 / groups;
    const expected = arrayOf(PICTURE.shape, (n, h, w, c) => {
      const first = Math.floor(c / size) * size;
      const values = range(5).flatMap((i) => range(4).flatMap((j) => range(size).map((k) => at(PICTURE, n, i, j, first + k))));
      return ((at(PICTURE, n, h, w, c) - mean(values)) / Math.sqrt(variance(values) + 0.01)) * gamma.values[c]! + beta.values[c]!;
    });
    expectClose(actual, expected);
  });

  test.each([
    [2, [4]],
    [
      [1, 2],
      [1, 5, 4, 1],
    ],
    [
      [3, 1],
      [1, 5, 1, 6],
    ],
  ])('BatchNormalization over the axes %j', async (axis, shape) => {
    const [g, b, m] = [1, 2, 3].map((seed) => weight(shape, seed)) as [Weight, Weight, Weight];
    const v = { shape, values: Array.from(weight(shape, 4).values, (value) => value * value + 0.2) };
    const own = { 'gamma:0': g, 'beta:0': b, 'moving_mean:0': m, 'moving_variance:0': v };
    const conv = { 'kernel:0': { shape: [1, 1, 6, 6], values: range(36).map((i) => (i % 7 === 0 ? 1 : 0)) } };
    const layers = [
      ['Conv2D', { filters: 6, kernel_size: [1, 1], use_bias: false }],
      ['BatchNormalization', { axis, epsilon: 0.01 }],
    ] as const;
    const actual = await predictSequence(PICTURE, layers, { weights: { conv2d: conv, batchnormalization: own } });
    const of = ({ values }: Weight, h: number, w: number, c: number) => {
      const places: Readonly<Record<number, number>> = { 1: h, 2: w, 3: c };
      const sizes = shape.length === 1 ? range(4).map((a) => (a === axis ? shape[0]! : 1)) : shape;
      return values[sizes.reduce((at, size, a) => at * size + (size === 1 ? 0 : places[a]!), 0)]!;
    };
    const expected = arrayOf(PICTURE.shape, (n, h, w, c) => {
      const [gg, bb, mm, vv] = [g, b, m, v].map((one) => of(one as Weight, h, w, c)) as [number, number, number, number];
      return ((at(PICTURE, n, h, w, c) - mm) / Math.sqrt(vv + 0.01)) * gg + bb;
    });
    expectClose(actual, expected);
  });

  test.each([
    ['tf.keras 2.13', '2.13.1', [3], 1.001e-5],
    ['tf.keras 2.2', '2.2.4-tf', -1, 1.001e-5],
    ['Keras 2.2', '2.2.4', -1, 1.001e-5],
    ['Keras 2.0', '2.0.8', -1, 1e-7],
    ['Keras 3', '3.3.3', 3, 1e-7],
    ['tf.keras along an inner axis', '2.13.1', [2], 1e-7],
  ])('BatchNormalization of %s adds the epsilon that its kernel takes', async (_, version, axis, epsilon) => {
    const count = Number(axis) === 2 ? 4 : 6;
    const own = { 'gamma:0': weight([count], 1), 'beta:0': weight([count], 2), 'moving_mean:0': weight([count], 3) };
    const spread = { shape: [count], values: range(count).map((i) => i * 1e-5) };
    const weights = { batchnormalization: { ...own, 'moving_variance:0': spread } };
    const actual = await predictSequence(PICTURE, [['BatchNormalization', { axis, epsilon: 1e-7 }]], { version, weights });
    const expected = arrayOf(PICTURE.shape, (n, h, w, c) => {
      const i = count === 4 ? w : c;
      const [g, b, m] = Object.values(own).map(({ values }) => values[i]!) as [number, number, number];
      return ((at(PICTURE, n, h, w, c) - m) / Math.sqrt(spread.values[i]! + epsilon)) * g + b;
    });
    expectClose(actual, expected);
  });

  test('an epsilon that Keras 2.3 raised on one TensorFlow and not on another is told', async () => {
    const own = { 'gamma:0': gamma, 'beta:0': beta, 'moving_mean:0': weight([6], 9), 'moving_variance:0': { shape: [6], values: [1, 1, 1, 1, 1, 1] } };
    const told = async (epsilon: number) => {
      const config = sequential([null, 5, 4, 6], [['BatchNormalization', { epsilon }]]);
      const named = Object.fromEntries(Object.entries(own).map(([role, one]) => [`batchnormalization/${role}`, one]));
      const file = await legacyH5(config, { batchnormalization: named }, { keras_version: '2.3.1', backend: 'tensorflow' });
      return (await predictFile('model.h5', file, [PICTURE])).warnings;
    };
    expect(await told(1e-6)).toContain('1.001e-5');
    expect(await told(1e-3)).toBe('');
  });

  test.each([
    ['TensorFlow 2', ['moving_stddev', 'renorm_mean', 'renorm_stddev'], [6]],
    ['TensorFlow 1', ['renorm_mean', 'renorm_mean_weight', 'renorm_stddev', 'renorm_stddev_weight'], []],
  ] as const)('BatchNormalization that renormalised in training, of %s', async (_, more, shape) => {
    const [mean, spread] = [weight([6], 9), { shape: [6], values: [0.5, 1, 2, 0.04, 9, 1] }];
    const own = { 'gamma:0': gamma, 'beta:0': beta, 'moving_mean:0': mean, 'moving_variance:0': spread };
    const further = Object.fromEntries(more.map((name) => [`${name}:0`, name.endsWith('_weight') ? { shape, values: [1] } : weight([6], 11)]));
    const config = { axis: [3], epsilon: 0.01, renorm: true, renorm_clipping: {}, renorm_momentum: 0.9 };
    const actual = await predictSequence(PICTURE, [['BatchNormalization', config]], { weights: { batchnormalization: { ...own, ...further } } });
    const expected = arrayOf(
      PICTURE.shape,
      (n, h, w, c) => ((at(PICTURE, n, h, w, c) - mean.values[c]!) / Math.sqrt(spread.values[c]! + 0.01)) * gamma.values[c]! + beta.values[c]!,
    );
    expectClose(actual, expected);
  });

  test('InstanceNormalization and GroupNormalization of TensorFlow Addons', async () => {
    for (const [kind, size, config] of [
      ['Instance', 1, {}],
      ['Instance', 1, { groups: 6 }],
      ['Group', 3, { groups: 2 }],
    ] as const) {
      const name = `addons>${kind.toLowerCase()}normalization`;
      const actual = await predictSequence(PICTURE, [[`Addons>${kind}Normalization`, { axis: -1, epsilon: 0.01, ...config }]], { weights: { [name]: affine } });
      const expected = arrayOf(PICTURE.shape, (n, h, w, c) => {
        const first = Math.floor(c / size) * size;
        const values = range(5).flatMap((i) => range(4).flatMap((j) => range(size).map((k) => at(PICTURE, n, i, j, first + k))));
        return ((at(PICTURE, n, h, w, c) - mean(values)) / Math.sqrt(variance(values) + 0.01)) * gamma.values[c]! + beta.values[c]!;
      });
      expectClose(actual, expected);
    }
  });

  describe('of others, under a name that Keras had not then,', () => {
    const told = async (layer: LayerSpec, own: Readonly<Record<string, Weight>>, version: string) => {
      const name = layer[0].toLowerCase();
      const named = Object.fromEntries(Object.entries(own).map(([role, one]) => [`${name}/${role}`, one]));
      const file = await legacyH5(sequential([null, 5, 4, 6], [layer]), { [name]: named }, { keras_version: version, backend: 'tensorflow' });
      const { results, warnings } = await predictFile('model.h5', file, [PICTURE]);
      return { actual: [...results.values()][0]!, warnings };
    };

    test("GroupNormalization has keras_contrib's groups, which are rows of the picture", async () => {
      const { actual, warnings } = await told(['GroupNormalization', { groups: 2, axis: -1, epsilon: 1e-5 }], affine, '2.2.4');
      expect(warnings).toContain('keras_contrib');
      // [N, 2, 5, 4, 3] without moving anything: element i of a sample is in group i / 60, and takes the weights of that group's three channels.
      const expected = arrayOf(PICTURE.shape, (n, h, w, c) => {
        const place = (h * 4 + w) * 6 + c;
        const group = Math.floor(place / 60);
        const values = range(60).map((i) => PICTURE.data[n * 120 + group * 60 + i]!);
        const channel = group * 3 + (place % 3);
        return ((at(PICTURE, n, h, w, c) - mean(values)) / Math.sqrt(variance(values) + 1e-5)) * gamma.values[channel]! + beta.values[channel]!;
      });
      expectClose(actual, expected);
    });

    test.each([[-1], [null]])("InstanceNormalization along axis %j has keras_contrib's epsilon", async (axis) => {
      const own = axis === null ? { 'gamma:0': weight([1], 7), 'beta:0': weight([1], 8) } : affine;
      const { actual, warnings } = await told(['InstanceNormalization', { axis, epsilon: 0.2, center: true, scale: true }], own, '2.2.4');
      expect(warnings).toContain('keras_contrib');
      const expected = arrayOf(PICTURE.shape, (n, h, w, c) => {
        const values = range(5).flatMap((i) => range(4).flatMap((j) => (axis === null ? range(6) : [c]).map((k) => at(PICTURE, n, i, j, k))));
        const at0 = axis === null ? 0 : c;
        return ((at(PICTURE, n, h, w, c) - mean(values)) / (Math.sqrt(variance(values)) + 0.2)) * own['gamma:0'].values[at0]! + own['beta:0'].values[at0]!;
      });
      expectClose(actual, expected);
    });

    test('LayerNormalization is told, and named where it does not say what it adds', async () => {
      const { warnings } = await told(['LayerNormalization', { epsilon: 1e-6 }], affine, '2.2.4');
      expect(warnings).toContain('no LayerNormalization then');
      expect((await told(['LayerNormalization', { epsilon: 1e-6 }], affine, '2.2.4-tf')).warnings).toBe('');
      expect((await conversionError(told(['LayerNormalization', {}], affine, '2.2.4'))).message).toContain('epsilon');
      expect((await conversionError(told(['InstanceNormalization', { epsilon: 1e-5 }], affine, '2.13.1'))).message).toContain('keras_contrib');
    });

    test('SpectralNormalization is named, and gelu is told', async () => {
      const layer = { class_name: 'Dense', config: { name: 'dense', units: 3 } };
      expect((await conversionError(told(['SpectralNormalization', { layer, power_iterations: 1 }], {}, '2.11.0'))).message).toContain('SpectralNormalization');
      expect((await told(['Activation', { activation: 'gelu' }], {}, '2.3.1')).warnings).toContain('gelu');
    });
  });

  test('UnitNormalization, and RMSNormalization of Keras 3', async () => {
    const expected = arrayOf(PICTURE.shape, (n, h, w, c) => {
      const length = Math.hypot(...range(6).map((k) => at(PICTURE, n, h, w, k)));
      return at(PICTURE, n, h, w, c) / length;
    });
    expectClose(await predictSequence(PICTURE, [['UnitNormalization', { axis: -1 }]]), expected);
    const rms = await predictSequence(PICTURE, [['RMSNormalization', { axis: -1, epsilon: 0 }]], {
      version: '3.9.0',
      weights: { rmsnormalization: { 'scale:0': { shape: [6], values: new Array(6).fill(1 / Math.sqrt(6)) } } },
    });
    expectClose(rms, expected);
  });

  const means = [0.1, -0.2, 0.3, 0.5, 0, 1];
  const variances = [0.5, 1, 2, 0.04, 9, 0];
  const normalised = (invert: boolean) =>
    arrayOf(PICTURE.shape, (n, h, w, c) => {
      const deviation = Math.max(Math.sqrt(variances[c]!), 1e-7);
      const x = at(PICTURE, n, h, w, c);
      return invert ? x * deviation + means[c]! : (x - means[c]!) / deviation;
    });

  test.each([
    [
      'gathered from data',
      { axis: [3], mean: null, variance: null },
      { 'mean:0': { shape: [6], values: means }, 'variance:0': { shape: [6], values: variances }, 'count:0': { shape: [], values: [9] } },
    ],
    ['given as lists', { axis: -1, mean: means, variance: variances }, {}],
    [
      'given as arrays of Keras 3',
      {
        axis: -1,
        mean: { class_name: '__numpy__', config: { value: means, dtype: 'float32' } },
        variance: { class_name: '__numpy__', config: { value: [[[variances]]], dtype: 'float32' } },
      },
      {},
    ],
  ])('Normalization by statistics that were %s', async (_, config, own) => {
    expectClose(await predictSequence(PICTURE, [['Normalization', { invert: false, ...config }]], { weights: { normalization: own } }), normalised(false));
  });

  test('Normalization, inverted', async () => {
    expectClose(await predictSequence(PICTURE, [['Normalization', { axis: -1, mean: means, variance: variances, invert: true }]]), normalised(true));
  });

  test('Normalization by one mean for all', async () => {
    const expected = arrayOf(PICTURE.shape, (...i) => (at(PICTURE, ...i) - 2) / 3);
    expectClose(await predictSequence(PICTURE, [['Normalization', { axis: null, mean: 2, variance: 9 }]]), expected);
  });

  test('Rescaling by a number or a list', async () => {
    const expected = arrayOf(PICTURE.shape, (n, h, w, c) => at(PICTURE, n, h, w, c) * means[c]! - 1);
    expectClose(await predictSequence(PICTURE, [['Rescaling', { scale: means, offset: -1 }]]), expected);
    expectClose(
      await predictSequence(PICTURE, [
        ['Rescaling', { scale: { class_name: '__numpy__', config: { value: means, dtype: 'float32' } }, offset: [-1, -1, -1, -1, -1, -1] }],
      ]),
      expected,
    );
  });
});

describe('transposed convolution', () => {
  /** The gradient of TensorFlow's convolution over an output of the given length. */
  function gradient(
    x: Run,
    kernel: ReturnType<typeof weight>,
    [kh, kw]: readonly [number, number],
    stride: number,
    sizes: readonly [number, number],
    same: boolean,
  ): Run {
    const begin = (length: number, size: number) => (same ? Math.floor(Math.max((Math.ceil(length / stride) - 1) * stride + size - length, 0) / 2) : 0);
    const [top, left] = [begin(sizes[0], kh), begin(sizes[1], kw)];
    const [, height, width, channels] = x.shape as [number, number, number, number];
    return arrayOf([x.shape[0]!, ...sizes, kernel.shape[2]!], (n, h, w, f) => {
      let sum = 0;
      for (let i = 0; i < height; i++)
        for (let j = 0; j < width; j++) {
          const [y, z] = [h - i * stride + top, w - j * stride + left];
          if (y < 0 || y >= kh || z < 0 || z >= kw) continue;
          for (let c = 0; c < channels; c++) sum += at(x, n, i, j, c) * at({ shape: kernel.shape, data: kernel.values }, y, z, f, c);
        }
      return sum;
    });
  }

  test.each([
    ['same', 3, 2, [1, 1], [10, 8]],
    ['same', 3, 2, [0, 1], [9, 8]],
    ['same', 4, 3, [2, 1], [14, 10]],
    ['same', 2, 2, [1, 1], [9, 7]],
    ['valid', 3, 2, [1, 0], [12, 9]],
    ['valid', 2, 3, [1, 2], [15, 13]],
    ['same', 3, 2, null, [10, 8]],
    ['valid', 2, 3, null, [15, 12]],
  ] as const)('padded %s, kernel %i, stride %i, with output_padding %j', async (padding, size, stride, output_padding, sizes) => {
    const kernel = weight([size, size, 3, 6], 4);
    const layer = { filters: 3, kernel_size: [size, size], strides: [stride, stride], padding, output_padding, use_bias: false, groups: 1 };
    const actual = await predictSequence(PICTURE, [['Conv2DTranspose', layer]], { weights: { conv2dtranspose: { 'kernel:0': kernel } } });
    expectClose(actual, gradient(PICTURE, kernel, [size, size], stride, sizes, padding === 'same'));
  });

  test.each([
    ['same', 4, 3, [0, 1]],
    ['valid', 3, 2, [2, 0]],
  ])('padded %s, kernel %i, stride %i, is declined with output_padding %j, which TensorFlow refuses', async (padding, size, stride, output_padding) => {
    const layer = { filters: 3, kernel_size: [size, size], strides: [stride, stride], padding, output_padding };
    const error = await conversionError(predictSequence(PICTURE, [['Conv2DTranspose', layer]]));
    expect([error.kind, error.message]).toEqual(['unsupported', expect.stringContaining('output_padding')]);
  });

  test('padded, saved under Theano, which cuts off half a kernel at the beginning and turns it; an even one is declined', async () => {
    const kernel = weight([3, 3, 3, 6], 4);
    const layer = (size: number) =>
      ['Conv2DTranspose', { filters: 3, kernel_size: [size, size], strides: [2, 2], padding: 'same', data_format: 'channels_last', use_bias: false }] as const;
    const options = { version: '2.2.4', backend: 'theano', weights: { conv2dtranspose: { 'kernel:0': kernel } } };
    const expected = arrayOf([2, 10, 8, 3], (n, h, w, f) => {
      let sum = 0;
      for (let i = 0; i < 5; i++)
        for (let j = 0; j < 4; j++) {
          const [y, z] = [h - 2 * i + 1, w - 2 * j + 1];
          if (y < 0 || y > 2 || z < 0 || z > 2) continue;
          for (let c = 0; c < 6; c++) sum += at(PICTURE, n, i, j, c) * at({ shape: kernel.shape, data: kernel.values }, 2 - y, 2 - z, f, c);
        }
      return sum;
    });
    expectClose(await predictSequence(PICTURE, [layer(3)], options), expected);
    const even = { ...options, weights: { conv2dtranspose: { 'kernel:0': weight([4, 4, 3, 6], 4) } } };
    expect((await conversionError(predictSequence(PICTURE, [layer(4)], even))).kind).toBe('unsupported');
  });

  test('with dilation', async () => {
    const kernel = weight([2, 2, 3, 6], 4);
    // A kernel with holes, written out.
    const spread = arrayOf([3, 3, 3, 6], (y, z, f, c) =>
      y % 2 === 0 && z % 2 === 0 ? at({ shape: kernel.shape, data: kernel.values }, y / 2, z / 2, f, c) : 0,
    );
    const layer = { filters: 3, kernel_size: [2, 2], strides: [1, 1], padding: 'same', dilation_rate: [2, 2], use_bias: false };
    const actual = await predictSequence(PICTURE, [['Conv2DTranspose', layer]], { weights: { conv2dtranspose: { 'kernel:0': kernel } } });
    expectClose(actual, gradient(PICTURE, { shape: spread.shape, values: spread.data }, [3, 3], 1, [5, 4], true));
  });
});

describe('arrangement', () => {
  test('RepeatVector', async () => {
    expectClose(
      await predictSequence(VECTORS, [['RepeatVector', { n: 4 }]]),
      arrayOf([3, 4, 5], (n, _, f) => at(VECTORS, n, f)),
    );
  });

  test.each([
    [3, 2],
    [5, 4],
    [2, 3],
  ])('CenterCrop to %i x %i', async (height, width) => {
    const [top, left] = [Math.floor((5 - height) / 2), Math.floor((4 - width) / 2)];
    const expected = arrayOf([2, height, width, 6], (n, h, w, c) => at(PICTURE, n, h + top, w + left, c));
    expectClose(await predictSequence(PICTURE, [['CenterCrop', { height, width }]]), expected);
  });

  /** One axis after another, from the centres of pixels. */
  function resized(x: Run, [height, width]: readonly [number, number], nearest = false): Run {
    const [n, h, w, c] = x.shape as [number, number, number, number];
    const weights = (from: number, to: number) =>
      range(to).map((i) => {
        const centre = ((i + 0.5) * from) / to;
        if (nearest) return [[Math.min(Math.floor(centre), from - 1), 1]] as [number, number][];
        const place = Math.min(Math.max(centre - 0.5, 0), from - 1);
        const low = Math.floor(place);
        return [
          [low, 1 - (place - low)],
          [Math.min(low + 1, from - 1), place - low],
        ] as [number, number][];
      });
    const [rows, columns] = [weights(h, height), weights(w, width)];
    return arrayOf([n, height, width, c], (b, i, j, k) =>
      rows[i]!.reduce((sum, [y, a]) => sum + columns[j]!.reduce((part, [z, d]) => part + a * d * at(x, b, y, z, k), 0), 0),
    );
  }

  test.each([
    ['bilinear', [3, 2]],
    ['bilinear', [8, 11]],
    ['bilinear', [5, 7]],
    ['nearest', [3, 3]],
    ['nearest', [8, 6]],
    ['bilinear', [5, 4]],
  ] as const)('Resizing, %s, to %j', async (interpolation, size) => {
    const layer = ['Resizing', { height: size[0], width: size[1], interpolation, crop_to_aspect_ratio: false }] as const;
    expectClose(await predictSequence(PICTURE, [layer]), resized(PICTURE, size, interpolation === 'nearest'), 1e-5);
  });

  /** Keys's cubic with a = -0.5 between four neighbours, those outside left out, at the nearest of 1024 places between two pixels. */
  function cubic(x: Run, [height, width]: readonly [number, number]): Run {
    const [n, h, w, c] = x.shape as [number, number, number, number];
    const near = (d: number) => 1.5 * d ** 3 - 2.5 * d ** 2 + 1;
    const far = (d: number) => -0.5 * d ** 3 + 2.5 * d ** 2 - 4 * d + 2;
    const weights = (from: number, to: number) =>
      range(to).map((i) => {
        const place = Math.round((((i + 0.5) * from) / to - 0.5) * 1024) / 1024;
        const taps = [-1, 0, 1, 2].map((step) => Math.floor(place) + step).filter((at) => at >= 0 && at < from);
        const raw = taps.map((at) => (Math.abs(place - at) <= 1 ? near(Math.abs(place - at)) : far(Math.abs(place - at))));
        const total = raw.reduce((a, b) => a + b);
        return taps.map((at, k) => [at, raw[k]! / total] as [number, number]);
      });
    const [rows, columns] = [weights(h, height), weights(w, width)];
    return arrayOf([n, height, width, c], (b, i, j, k) =>
      rows[i]!.reduce((sum, [y, a]) => sum + columns[j]!.reduce((part, [z, d]) => part + a * d * at(x, b, y, z, k), 0), 0),
    );
  }

  test('Resizing and UpSampling2D, bicubic', async () => {
    for (const [height, width] of [
      [3, 2],
      [8, 11],
    ] as const)
      expectClose(await predictSequence(PICTURE, [['Resizing', { height, width, interpolation: 'bicubic' }]]), cubic(PICTURE, [height, width]), 1e-5);
    const layer = ['UpSampling2D', { size: [2, 3], interpolation: 'bicubic', data_format: 'channels_last' }] as const;
    expectClose(await predictSequence(PICTURE, [layer]), cubic(PICTURE, [10, 12]), 1e-5);
  });

  /** Recorded from Pillow 9.4, whose filters are those of TensorFlow's resize with antialiasing. */
  test.each([
    ['bilinear', true, 3, [0.460526, 1.410714, 1.493421]],
    ['bilinear', true, 4, [0.071429, 1.71875, 0.84375, 1.928572]],
    ['bicubic', true, 3, [0.444942, 1.40531, 1.553801]],
    ['lanczos3', true, 4, [-0.127866, 1.966751, 0.59927, 2.039218]],
    ['lanczos3', false, 11, [0.688095, -0.629203, -0.463524, 2.154979, 3.35606, 1.181386, -0.163577, 1.489638, 0.020096, 1.568095, 4.344064]],
    ['area', false, 4, [-0.25, 2.5, 0.625, 2]],
    // By hand: of eight pixels three, of which each covers two and two thirds.
    ['area', false, 3, [(0.5 - 1 + 2 * (2 / 3)) / (8 / 3), (2 / 3 + 3 - 0.25 + 1.5 / 3) / (8 / 3), (1.5 * (2 / 3) + 0 + 4) / (8 / 3)]],
  ] as const)('Resizing, %s (antialias %s), a row to %i pixels', async (interpolation, antialias, width, expected) => {
    const row: Run = { shape: [1, 1, 8, 1], data: Float32Array.from([0.5, -1, 2, 3, -0.25, 1.5, 0, 4]) };
    const made = await predictSequence(row, [['Resizing', { height: 1, width, interpolation, antialias }]], { version: '3.5.0' });
    expectClose(made, { shape: [1, 1, width, 1], data: Float32Array.from(expected) }, 1e-5);
  });

  test.each([
    ['gaussian', (x: number) => (x < 1.5 ? Math.exp(-2 * x * x) : 0)],
    ['mitchellcubic', (x: number) => (x < 1 ? (21 * x ** 3 - 36 * x ** 2 + 16) / 18 : x < 2 ? (-7 * x ** 3 + 36 * x ** 2 - 60 * x + 32) / 18 : 0)],
  ] as const)('Resizing, %s', async (interpolation, kernel) => {
    const column: Run = { shape: [1, 5, 1, 1], data: Float32Array.from([0.5, -1, 2, 3, -0.25]) };
    const expected = range(8).map((i) => {
      const weights = range(5).map((k) => kernel(Math.abs(k + 0.5 - ((i + 0.5) * 5) / 8)));
      return weights.reduce((sum, weight, k) => sum + weight * column.data[k]!, 0) / weights.reduce((a, b) => a + b);
    });
    expectClose(
      await predictSequence(column, [['Resizing', { height: 8, width: 1, interpolation }]]),
      { shape: [1, 8, 1, 1], data: Float32Array.from(expected) },
      1e-5,
    );
  });

  test.each(['lanczos3', 'lanczos5', 'area', 'gaussian', 'mitchellcubic'])(
    'UpSampling2D, %s, is a Resizing to as many times the size',
    async (interpolation) => {
      const both: Run[] = [];
      for (const layer of [
        ['UpSampling2D', { size: [2, 3], interpolation, data_format: 'channels_last' }],
        ['Resizing', { height: 10, width: 12, interpolation }],
      ] as const)
        both.push(await predictSequence(PICTURE, [layer]));
      expectClose(both[0]!, both[1]!);
    },
  );

  describe('UpSampling2D, bilinear, before Keras 2.4', () => {
    const ofVersion = (keras_version: string) => {
      const layer = ['UpSampling2D', { size: [2, 3], interpolation: 'bilinear', data_format: 'channels_last' }] as const;
      return legacyH5(sequential([null, 5, 4, 6], [layer]), {}, { keras_version, backend: 'tensorflow' });
    };

    const predicted = async (file: Uint8Array) => [...(await predictFile('model.h5', file, [PICTURE])).results.values()][0]!;

    /** Each pixel stands where it stood, times the size. */
    const expected = arrayOf([2, 10, 12, 6], (n, h, w, c) => {
      const pixel = (y: number, x: number) => at(PICTURE, n, Math.min(y, 4), Math.min(x, 3), c);
      const [y, x] = [Math.floor(h / 2), Math.floor(w / 3)];
      const [down, right] = [h / 2 - y, w / 3 - x];
      const row = (place: number) => (1 - right) * pixel(place, x) + right * pixel(place, x + 1);
      return (1 - down) * row(y) + down * row(y + 1);
    });

    test.each(['2.2.4', '2.3.1'])('Keras %s samples as TensorFlow 1, and TensorFlow.js with it', async (version) => {
      const file = await ofVersion(version);
      expectClose(await predicted(file), expected, 1e-5);
      const session = await tfjsCpu.open({ files: memoryFileSet({ 'model.h5': file }, 'model.h5') });
      const [result] = (await session.run(new Map([[session.inputs[0]!.name, PICTURE]]))).values();
      await session.close();
      expectClose({ shape: result!.shape as number[], data: Float32Array.from(result!.data as Float32Array) }, expected, 1e-5);
    });

    test('tf.keras samples as TensorFlow 2, where the version tells', async () => {
      expectClose(await predicted(await ofVersion('2.3.0-tf')), resized(PICTURE, [10, 12]), 1e-5);
      const open = await conversionError(predicted(await ofVersion('2.2.4-tf')));
      expect(open.message).toContain('sampling points');
    });
  });

  test('Resizing that fills pictures up to the proportions first, as much on either side', async () => {
    const filled = arrayOf([2, 5, 8, 6], (n, h, w, c) => (w < 2 || w > 5 ? 0.5 : at(PICTURE, n, h, w - 2, c)));
    const layer = ['Resizing', { height: 3, width: 5, pad_to_aspect_ratio: true, fill_mode: 'constant', fill_value: 0.5 }] as const;
    expectClose(await predictSequence(PICTURE, [layer], { version: '3.5.0' }), resized(filled, [3, 5]), 1e-5);
  });

  test('Resizing that crops first interpolates as it is told', async () => {
    const cropped = arrayOf([2, 2, 4, 6], (n, h, w, c) => at(PICTURE, n, h + 1, w, c));
    const layer = ['Resizing', { height: 4, width: 8, crop_to_aspect_ratio: true, interpolation: 'nearest' }] as const;
    expectClose(await predictSequence(PICTURE, [layer]), resized(cropped, [4, 8], true), 1e-5);
  });

  test('Resizing to many sizes makes just these', async () => {
    for (const size of [1, 2, 3, 6, 7, 9, 10, 13, 24, 29, 49]) {
      const row = random([1, 1, 49, 1], size);
      const made = await predictSequence(row, [['Resizing', { height: 1, width: size }]]);
      expectClose(made, resized(row, [1, size]), 1e-5);
    }
  });

  test('Resizing that crops to the proportions first, and CenterCrop of smaller pictures', async () => {
    const cropped = arrayOf([2, 2, 4, 6], (n, h, w, c) => at(PICTURE, n, h + 1, w, c));
    expectClose(await predictSequence(PICTURE, [['Resizing', { height: 4, width: 8, crop_to_aspect_ratio: true }]]), resized(cropped, [4, 8]), 1e-5);
    expectClose(await predictSequence(PICTURE, [['CenterCrop', { height: 4, width: 8 }]]), resized(cropped, [4, 8]), 1e-5);
  });

  test('RandomCrop passes pictures of its size on, and no others', async () => {
    expectClose(await predictSequence(PICTURE, [['RandomCrop', { height: 5, width: 4, seed: null }]]), PICTURE);
    expect((await conversionError(predictSequence(PICTURE, [['RandomCrop', { height: 3, width: 4 }]]))).message).toMatch(
      /in a prediction Keras 3.15 leaves them as they are/,
    );
  });
});

test('SeparableConvolution2D of Keras 1 is SeparableConv2D by other words', async () => {
  const own = { 'depthwise_kernel:0': weight([3, 2, 6, 2], 31), 'pointwise_kernel:0': weight([1, 1, 12, 4], 32), 'bias:0': weight([4], 33) };
  const newer = ['SeparableConv2D', { filters: 4, kernel_size: [3, 2], padding: 'same', depth_multiplier: 2, data_format: 'channels_last' }] as const;
  const older = ['SeparableConvolution2D', { nb_filter: 4, nb_row: 3, nb_col: 2, border_mode: 'same', depth_multiplier: 2, dim_ordering: 'tf' }] as const;
  const expected = await predictSequence(PICTURE, [newer], { weights: { separableconv2d: own } });
  expectClose(await predictSequence(PICTURE, [older], { version: '1.2.2', weights: { separableconvolution2d: own } }), expected);
  // Channels first: [out, in, height, width], of both kernels.
  const turned = ({ shape, values }: ReturnType<typeof weight>) => {
    const made = arrayOf(
      [3, 2, 0, 1].map((axis) => shape[axis]!),
      (o, i, h, w) => at({ shape, data: values }, h, w, i, o),
    );
    return { shape: made.shape, values: made.data };
  };
  const first = { 'd:0': turned(own['depthwise_kernel:0']), 'p:0': turned(own['pointwise_kernel:0']), 'b:0': own['bias:0'] };
  const picture = arrayOf([2, 6, 5, 4], (n, c, h, w) => at(PICTURE, n, h, w, c));
  const made = await predictSequence(picture, [['SeparableConvolution2D', { ...older[1], dim_ordering: 'th' }]], {
    version: '1.2.2',
    weights: { separableconvolution2d: first },
  });
  expectClose(
    made,
    arrayOf([2, 4, 5, 4], (n, c, h, w) => at(expected, n, h, w, c)),
  );
});

describe('layers that join values of fewer axes and of more', () => {
  const vector = random([2, 6], 9);
  const lines = random([2, 4, 6], 10);
  const input = (name: string, { shape }: Run) => ({ class_name: 'InputLayer', name, config: { batch_input_shape: [null, ...shape.slice(1)] } });
  const identity = { shape: [1, 1, 6, 6], values: range(36).map((i) => (i % 7 === 0 ? 1 : 0)) };
  const conv = { class_name: 'Conv2D', name: 'conv', config: { filters: 6, kernel_size: [1, 1], use_bias: false }, inbound: [[['x', 0, 0, {}]]] };
  const joined = async (class_name: string, other: Run, from: string, isSwapped: boolean) => {
    const ends = [
      [from, 0, 0, {}],
      ['v', 0, 0, {}],
    ];
    const layers = [input('x', PICTURE), input('v', other), ...(from === 'conv' ? [conv] : [])];
    const join = { class_name, name: 'join', inbound: [isSwapped ? ends.toReversed() : ends] };
    const inputs = [
      ['x', 0, 0],
      ['v', 0, 0],
    ];
    const file = await legacyH5(functional([...layers, join], inputs, [['join', 0, 0]]), from === 'conv' ? { conv: { 'conv/kernel:0': identity } } : {});
    return (await predictFile('model.h5', file, [PICTURE, other])).results.get('join')!;
  };
  const formulas: Readonly<Record<string, (a: number, b: number) => number>> = {
    Multiply: (a, b) => a * b,
    Add: (a, b) => a + b,
    Subtract: (a, b) => a - b,
    Maximum: Math.max,
  };

  test.each(Object.keys(formulas))('%s: a vector is one for all places of a picture, a line for all its rows', async (class_name) => {
    const formula = formulas[class_name]!;
    for (const from of ['conv', 'x']) {
      const ofVector = arrayOf(PICTURE.shape, (n, h, w, c) => formula(at(PICTURE, n, h, w, c), at(vector, n, c)));
      expectClose(await joined(class_name, vector, from, false), ofVector);
    }
    const swapped = arrayOf(PICTURE.shape, (n, h, w, c) => formula(at(lines, n, w, c), at(PICTURE, n, h, w, c)));
    expectClose(await joined(class_name, lines, 'conv', true), swapped);
  });
});

test.each([[[1, 2]], [[-1, 1]]])('Softmax over the axes %j together', async (axes) => {
  const expected = arrayOf(PICTURE.shape, (n, h, w, c) => {
    const power = (i: number, j: number, k: number) => Math.exp(at(PICTURE, n, i, j, k));
    const over = (axis: number, size: number, own: number) => (axes.includes(axis) || (axis === 3 && axes.includes(-1)) ? range(size) : [own]);
    const total = over(1, 5, h)
      .flatMap((i) => over(2, 4, w).flatMap((j) => over(3, 6, c).map((k) => power(i, j, k))))
      .reduce((a, b) => a + b);
    return power(h, w, c) / total;
  });
  expectClose(await predictSequence(PICTURE, [['Softmax', { axis: axes }]]), expected);
});

describe('locally connected layers', () => {
  test('of pictures', async () => {
    const [kernel, bias] = [weight([6, 2 * 2 * 6, 3], 41), weight([2, 3, 3], 42)];
    const config = {
      filters: 3,
      kernel_size: [2, 2],
      strides: [2, 1],
      padding: 'valid',
      data_format: 'channels_last',
      implementation: 1,
      activation: 'linear',
    };
    const actual = await predictSequence(PICTURE, [['LocallyConnected2D', config]], {
      weights: { locallyconnected2d: { 'kernel:0': kernel, 'bias:0': bias } },
    });
    const k = { shape: kernel.shape, data: kernel.values };
    const expected = arrayOf([2, 2, 3, 3], (n, h, w, f) => {
      let sum = at({ shape: bias.shape, data: bias.values }, h, w, f);
      for (const i of [0, 1])
        for (const j of [0, 1]) for (let c = 0; c < 6; c++) sum += at(PICTURE, n, 2 * h + i, w + j, c) * at(k, h * 3 + w, (i * 2 + j) * 6 + c, f);
      return sum;
    });
    expectClose(actual, expected);
  });

  test('of lines', async () => {
    const line = random([2, 6, 3], 43);
    const kernel = weight([4, 9, 2], 44);
    const config = { filters: 2, kernel_size: [3], strides: [1], padding: 'valid', data_format: 'channels_last', implementation: 1, use_bias: false };
    const actual = await predictSequence(line, [['LocallyConnected1D', config]], { weights: { locallyconnected1d: { 'kernel:0': kernel } } });
    const k = { shape: kernel.shape, data: kernel.values };
    expectClose(
      actual,
      arrayOf([2, 4, 2], (n, t, f) => range(9).reduce((sum, i) => sum + at(line, n, t + Math.floor(i / 3), i % 3) * at(k, t, i, f), 0)),
    );
  });
});

describe('Dot', () => {
  const two = async (a: Run, b: Run, config: object) => {
    const input = (name: string, { shape }: Run) => ({ class_name: 'InputLayer', name, config: { batch_input_shape: [null, ...shape.slice(1)] } });
    const inbound = [
      [
        ['a', 0, 0, {}],
        ['b', 0, 0, {}],
      ],
    ];
    const model = functional(
      [input('a', a), input('b', b), { class_name: 'Dot', name: 'dot', config, inbound }],
      [
        ['a', 0, 0],
        ['b', 0, 0],
      ],
      [['dot', 0, 0]],
    );
    return (await predictFile('model.h5', await legacyH5(model), [a, b])).results.get('dot')!;
  };
  const [v, w] = [random([2, 5], 1), random([2, 5], 2)];
  const [m, l] = [random([2, 3, 5], 3), random([2, 5, 4], 4)];
  const sum = (count: number, term: (k: number) => number) => range(count).reduce((total, k) => total + term(k), 0);

  test('of vectors', async () => {
    expectClose(
      await two(v, w, { axes: 1, normalize: false }),
      arrayOf([2, 1], (n) => sum(5, (k) => at(v, n, k) * at(w, n, k))),
    );
  });

  test('of vectors of length one', async () => {
    const length = (x: Run, n: number) => Math.hypot(...range(5).map((k) => at(x, n, k)));
    expectClose(
      await two(v, w, { axes: -1, normalize: true }),
      arrayOf([2, 1], (n) => sum(5, (k) => at(v, n, k) * at(w, n, k)) / length(v, n) / length(w, n)),
    );
  });

  test('of matrices', async () => {
    expectClose(
      await two(m, l, { axes: [2, 1] }),
      arrayOf([2, 3, 4], (n, i, j) => sum(5, (k) => at(m, n, i, k) * at(l, n, k, j))),
    );
    expectClose(
      await two(l, m, { axes: [1, 2] }),
      arrayOf([2, 4, 3], (n, i, j) => sum(5, (k) => at(l, n, k, i) * at(m, n, j, k))),
    );
  });

  test('of more axes', async () => {
    const p = random([2, 3, 4, 5], 7);
    expectClose(
      await two(p, l, { axes: [3, 1] }),
      arrayOf([2, 3, 4, 4], (n, i, j, o) => sum(5, (k) => at(p, n, i, j, k) * at(l, n, k, o))),
    );
    expectClose(
      await two(p, v, { axes: [3, 1] }),
      arrayOf([2, 3, 4], (n, i, j) => sum(5, (k) => at(p, n, i, j, k) * at(v, n, k))),
    );
  });

  test('of a matrix and a vector', async () => {
    expectClose(
      await two(m, v, { axes: [2, 1] }),
      arrayOf([2, 3], (n, i) => sum(5, (k) => at(m, n, i, k) * at(v, n, k))),
    );
    expectClose(
      await two(v, l, { axes: 1 }),
      arrayOf([2, 4], (n, j) => sum(5, (k) => at(v, n, k) * at(l, n, k, j))),
    );
  });
});

describe('whole numbers', () => {
  const whole: Run = { shape: [2, 4, 4, 3], data: Float32Array.from({ length: 96 }, (_, i) => (i * 7) % 11) };
  const refusal = async (layers: readonly LayerSpec[], shape = whole.shape) =>
    (await conversionError(predictSequence({ ...whole, shape }, layers, { version: '3.15.0', dtype: 'int32' }))).message;

  test.each(['LayerNormalization', 'GroupNormalization', 'RMSNormalization'])('are no reals in a %s, which cuts off what it makes of them', async (name) => {
    expect(await refusal([[name, name.startsWith('Group') ? { groups: 3 } : {}]])).toContain(`a ${name} of whole numbers`);
  });

  test.each<[string, LayerSpec]>([
    ['a ReLU', ['ReLU', {}]],
    ['a pooling', ['MaxPooling2D', { pool_size: [2, 2] }]],
    ['a Dropout', ['Dropout', { rate: 0.5 }]],
    ['zeros around them', ['ZeroPadding2D', { padding: 1 }]],
  ])('stay whole behind %s', async (_, layer) => {
    expect(await refusal([layer, ['LayerNormalization', {}]])).toContain('of whole numbers');
  });

  test('are bounded and interpolated by whole numbers', async () => {
    expect(await refusal([['ReLU', { max_value: 2.5 }]])).toContain('2.5');
    expect(await refusal([['UpSampling2D', { size: [2, 2], interpolation: 'bilinear' }]])).toContain('bilinear');
    const bounded = await predictSequence(whole, [['ReLU', { max_value: 6 }]], { version: '3.15.0', dtype: 'int32' });
    expectClose(bounded, { shape: whole.shape, data: whole.data.map((x) => Math.min(x, 6)) });
  });

  test('added to others may wrap around', async () => {
    const input = { class_name: 'InputLayer', name: 'x', config: { batch_input_shape: [null, 4], dtype: 'uint8', name: 'x' } };
    const add = (class_name: string) => ({
      class_name,
      name: 'op',
      config: class_name === 'Dot' ? { axes: 1 } : {},
      inbound: [
        [
          ['x', 0, 0, {}],
          ['x', 0, 0, {}],
        ],
      ],
    });
    for (const name of ['Add', 'Multiply', 'Average', 'Dot']) {
      const bytes = await legacyH5(functional([input, add(name)], [['x', 0, 0]], [['op', 0, 0]]));
      expect((await conversionError(predictFile('model.h5', bytes, [{ ...whole, shape: [24, 4] }]))).message).toContain('may wrap around');
    }
  });
});

describe('masks', () => {
  const ids: Run = { shape: [3, 5], data: Float32Array.from([1, 2, 0, 0, 0, 7, 0, 3, 0, 2, 4, 4, 1, 5, 6]) };
  const table = weight([8, 4], 5);
  const weights = { embedding: { 'embeddings:0': table } };
  const embedding = ['Embedding', { input_dim: 8, output_dim: 4, mask_zero: true }] as const;
  const row = (id: number, f: number) => table.values[id * 4 + f]!;

  test('leave steps out of an average', async () => {
    const actual = await predictSequence(ids, [embedding, ['GlobalAveragePooling1D', {}]], { weights });
    const expected = arrayOf([3, 4], (n, f) =>
      mean(
        range(5)
          .map((t) => at(ids, n, t))
          .filter((id) => id !== 0)
          .map((id) => row(id, f)),
      ),
    );
    expectClose(actual, expected);
  });

  test('go on behind layers that work step by step, and end at those that do not', async () => {
    const half = arrayOf([3, 4], (n, f) =>
      mean(
        range(5)
          .map((t) => at(ids, n, t))
          .filter((id) => id !== 0)
          .map((id) => Math.tanh(row(id, f))),
      ),
    );
    expectClose(
      await predictSequence(ids, [embedding, ['Activation', { activation: 'tanh' }], ['Dropout', { rate: 0.5 }], ['GlobalAveragePooling1D', {}]], { weights }),
      half,
    );
    const whole = arrayOf([3, 4], (n, f) => mean(range(5).map((t) => row(at(ids, n, t), f))));
    expectClose(await predictSequence(ids, [embedding, ['Reshape', { target_shape: [5, 4] }], ['GlobalAveragePooling1D', {}]], { weights }), whole);
  });

  test('that a Softmax would follow are declined', async () => {
    const error = await conversionError(predictSequence(ids, [embedding, ['Softmax', {}]], { weights }));
    expect([error.kind, error.message]).toEqual(['unsupported', expect.stringContaining('mask')]);
  });

  test.each(['Multiply', 'Maximum'])('that only some values of a %s have are heeded behind it in Keras 2, and not in Keras 3', async (joined) => {
    const embed = (name: string, mask_zero: boolean) => ({ class_name: 'Embedding', name, config: { ...embedding[1], trainable: true, mask_zero } });
    const layers = [
      { class_name: 'InputLayer', name: 'x', config: { batch_input_shape: [null, 5] } },
      { ...embed('embedding', true), inbound: [[['x', 0, 0, {}]]] },
      { ...embed('other', false), inbound: [[['x', 0, 0, {}]]] },
      { class_name: joined, name: 'joined', config: { trainable: true }, inbound: [['embedding', 'other'].map((name) => [name, 0, 0, {}])] },
      { class_name: 'GlobalAveragePooling1D', name: 'mean', config: { trainable: true }, inbound: [[['joined', 0, 0, {}]]] },
    ];
    const stored = { embedding: { 'embedding/embeddings:0': table }, other: { 'other/embeddings:0': table } };
    const predicted = async (keras_version: string) =>
      predictFile('model.h5', await legacyH5(functional(layers, [['x', 0, 0]], [['mean', 0, 0]]), stored, { keras_version }), [ids]);
    expect((await conversionError(predicted('3.15.0'))).message).toContain('mask');
    const counted = (n: number) =>
      range(5)
        .map((t) => at(ids, n, t))
        .filter((id) => id !== 0);
    const expected = arrayOf([3, 4], (n, f) => mean(counted(n).map((id) => (joined === 'Multiply' ? row(id, f) ** 2 : row(id, f)))));
    expectClose((await predicted('2.13.1')).results.get('mean')!, expected);
  });

  test('that nothing reads change nothing', async () => {
    const expected = arrayOf([3, 5, 4], (n, t, f) => row(at(ids, n, t), f));
    expectClose(await predictSequence(ids, [embedding], { weights }), expected);
  });
});

test.each(['Add', 'Multiply', 'Average', 'Maximum', 'Concatenate'])('%s of a list of one value is that value', async (class_name) => {
  const layers = [
    { class_name: 'InputLayer', name: 'x', config: { batch_input_shape: [null, 5] } },
    { class_name, name: 'joined', config: class_name === 'Concatenate' ? { axis: -1 } : {}, inbound: [[['x', 0, 0, {}]]] },
  ];
  const file = await legacyH5(functional(layers, [['x', 0, 0]], [['joined', 0, 0]]));
  expectClose((await predictFile('model.h5', file, [VECTORS])).results.get('joined')!, VECTORS);
});
