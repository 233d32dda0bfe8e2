/**
 * TensorFlow.js as a witness for Keras models: each layer class that it is let compute, with odd settings, against our evaluator. A class or
 * setting that differs on a backend is declined there.
 */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { openModel } from '../../src/readers/open.js';
import type { Engine, NdArray } from '../../src/verify/engine.js';
import { ACTIVATIONS, HEEDED } from '../../src/verify/engines/tfjs-config.js';
import { tfjsCpu } from '../../src/verify/engines/tfjs-cpu.js';
import { tfjsWasm } from '../../src/verify/engines/tfjs-wasm.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { portRunner } from '../../src/verify/side.js';
import { functional, type LayerSpec, legacyH5, noise, sequential, type Weight, weight } from '../keras-files.js';

const ROUNDING = 2e-5;

/** How far TensorFlow.js is from our evaluator, of the outputs' scale. */
async function difference(engine: Engine, file: Uint8Array): Promise<number> {
  const files = memoryFileSet({ 'net.h5': file }, 'net.h5');
  const map = await (await openModel(files)).map();
  const feeds = map.inputs.map((port, i): NdArray => {
    const shape = port.shape.map((size) => (typeof size === 'number' ? size : 2));
    const values = noise(
      shape.reduce((a, b) => a * b, 1),
      7 + i,
      1.5,
    );
    // Rows of a table are counted.
    return { shape, data: map.layers.some(({ op }) => op === 'Gather') ? values.map((value) => Math.floor(Math.abs(value) * 2)) : values };
  });
  const session = await engine.open({ files });
  const found = await portRunner(session, map, (port) => port.layout)(feeds);
  await session.close();
  const expected = await runLayers(map, feeds, () => {});
  let worst = 0;
  for (const [place, { shape, data }] of expected.entries()) {
    expect(found[place]!.shape).toEqual(shape);
    const values = Array.from(data, Number);
    const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) || 1;
    for (const [i, value] of values.entries()) {
      const apart = Math.abs(value - Number(found[place]!.data[i])) / scale;
      if (!(apart <= worst)) worst = apart;
    }
  }
  return worst;
}

interface Case {
  readonly layer: LayerSpec;
  readonly input: readonly number[];
  readonly weights?: Readonly<Record<string, Weight>>;
}

const LINE = [7, 4];
const PICTURE = [6, 7, 4];
const VOLUME = [5, 4, 6, 3];
const positive = (shape: readonly number[], seed: number): Weight => ({
  shape,
  values: Array.from(weight(shape, seed).values, (value) => Math.abs(value) + 0.3),
});
const statistics = (size: number) => ({
  gamma: weight([size], 1),
  beta: weight([size], 2),
  moving_mean: weight([size], 3),
  moving_variance: positive([size], 4),
});

const one = (className: string, config: object, input: readonly number[], weights?: Case['weights']): Case => ({
  layer: [className, config as Record<string, unknown>],
  input,
  weights,
});
const kernelAndBias = (...kernel: number[]) => ({ kernel: weight(kernel, 1), bias: weight([kernel.at(-1)!], 2) });

const TRIED_ACTIVATIONS = [
  'linear',
  'relu',
  'relu6',
  'elu',
  'selu',
  'sigmoid',
  'tanh',
  'softmax',
  'softplus',
  'softsign',
  'gelu',
  'mish',
  'swish',
  'silu',
  'log_softmax',
  'hard_sigmoid',
];

/** A recurrent layer of five units, its gates side by side. */
const recurrent = (className: string, gates: number, config: object = {}) =>
  one(className, { units: 5, activation: 'tanh', use_bias: true, return_sequences: true, ...config }, LINE, {
    kernel: weight([4, 5 * gates], 1),
    recurrent_kernel: weight([5, 5 * gates], 2),
    bias: weight([5 * gates], 3),
  });

const windows = (dimensions: 1 | 2 | 3) => {
  const input = [LINE, PICTURE, VOLUME][dimensions - 1]!;
  const all = (value: number) => Array.from({ length: dimensions }, () => value);
  const odd = [[3], [3, 2], [2, 3, 2]][dimensions - 1]!;
  const pools = (dimensions === 3 ? ['AveragePooling'] : ['MaxPooling', 'AveragePooling']).flatMap((word) => [
    one(`${word}${dimensions}D`, { pool_size: all(2), strides: all(2), padding: 'valid' }, input),
    ...[1, 2].map((stride) => one(`${word}${dimensions}D`, { pool_size: odd, strides: all(stride), padding: 'same' }, input)),
    one(`${word}${dimensions}D`, { pool_size: odd, strides: all(3), padding: 'valid' }, input),
  ]);
  const channels = input.at(-1)!;
  const convolution = (config: object) =>
    one(`Conv${dimensions}D`, { filters: 5, kernel_size: odd, activation: 'linear', ...config }, input, kernelAndBias(...odd, channels, 5));
  return [
    ...pools,
    convolution({ strides: all(1), padding: 'valid' }),
    convolution({ strides: all(2), padding: 'same' }),
    convolution({ strides: all(1), padding: 'same', dilation_rate: all(2) }),
  ];
};

const CASES: readonly Case[] = [
  ...windows(1),
  ...windows(2),
  ...windows(3),
  one('Conv2D', { filters: 5, kernel_size: [1, 1], strides: [2, 2], use_bias: false, activation: 'relu' }, PICTURE, { kernel: weight([1, 1, 4, 5], 1) }),
  one('Conv2DTranspose', { filters: 3, kernel_size: [3, 2], strides: [2, 2], padding: 'same' }, PICTURE, {
    kernel: weight([3, 2, 3, 4], 1),
    bias: weight([3], 2),
  }),
  one('Conv2DTranspose', { filters: 3, kernel_size: [2, 3], strides: [3, 1], padding: 'valid' }, PICTURE, {
    kernel: weight([2, 3, 3, 4], 1),
    bias: weight([3], 2),
  }),
  one('DepthwiseConv2D', { kernel_size: [3, 2], depth_multiplier: 2, strides: [1, 1], padding: 'same' }, PICTURE, {
    depthwise_kernel: weight([3, 2, 4, 2], 1),
    bias: weight([8], 2),
  }),
  one('DepthwiseConv2D', { kernel_size: [3, 3], depth_multiplier: 1, strides: [2, 2], padding: 'same' }, PICTURE, {
    depthwise_kernel: weight([3, 3, 4, 1], 1),
    bias: weight([4], 2),
  }),
  one('SeparableConv2D', { filters: 5, kernel_size: [3, 3], depth_multiplier: 2, strides: [1, 1], padding: 'valid' }, PICTURE, {
    depthwise_kernel: weight([3, 3, 4, 2], 1),
    pointwise_kernel: weight([1, 1, 8, 5], 2),
    bias: weight([5], 3),
  }),
  one('Dense', { units: 5, activation: 'tanh' }, [6], kernelAndBias(6, 5)),
  one('Dense', { units: 5, use_bias: false }, [3, 6], { kernel: weight([6, 5], 1) }),
  one('Embedding', { input_dim: 9, output_dim: 3, input_length: 4 }, [4], { embeddings: weight([9, 3], 1) }),
  one('Flatten', { data_format: 'channels_last' }, PICTURE),
  one('Flatten', {}, VOLUME),
  one('Reshape', { target_shape: [7, -1] }, PICTURE),
  one('Permute', { dims: [3, 1, 2] }, PICTURE),
  one('RepeatVector', { n: 3 }, [5]),
  ...TRIED_ACTIVATIONS.map((activation) => one('Activation', { activation }, PICTURE)),
  ...['softmax', 'gelu', 'hard_sigmoid'].map((activation) => one('Activation', { activation }, [9])),
  one('ReLU', {}, PICTURE),
  one('ReLU', { max_value: 0.7 }, PICTURE),
  one('LeakyReLU', { alpha: 0.2 }, PICTURE),
  one('LeakyReLU', {}, PICTURE),
  one('PReLU', { shared_axes: [1, 2] }, PICTURE, { alpha: weight([1, 1, 4], 1) }),
  one('PReLU', { shared_axes: null }, PICTURE, { alpha: weight(PICTURE, 1) }),
  one('ELU', { alpha: 1 }, PICTURE),
  one('ThresholdedReLU', { theta: 0.6 }, PICTURE),
  one('Softmax', { axis: -1 }, PICTURE),
  one('BatchNormalization', { axis: [3], epsilon: 1e-3 }, PICTURE, statistics(4)),
  // TensorFlow raises it for pictures.
  one('BatchNormalization', { axis: [3], epsilon: 1e-7 }, PICTURE, { ...statistics(4), moving_variance: { shape: [4], values: [0, 1e-6, 1e-5, 1] } }),
  one('BatchNormalization', { axis: -1, epsilon: 1e-2 }, LINE, statistics(4)),
  one('BatchNormalization', { axis: -1, epsilon: 1e-2 }, [5], statistics(5)),
  one('BatchNormalization', { axis: -1, scale: false }, PICTURE, { beta: weight([4], 2), moving_mean: weight([4], 3), moving_variance: positive([4], 4) }),
  one('LayerNormalization', { axis: [-1], epsilon: 1e-2 }, LINE, { gamma: weight([4], 1), beta: weight([4], 2) }),
  one('LayerNormalization', { axis: -1, epsilon: 1e-3, center: false }, [6], { gamma: weight([6], 1) }),
  one('GlobalAveragePooling1D', {}, LINE),
  one('GlobalMaxPooling1D', {}, LINE),
  one('GlobalAveragePooling2D', {}, PICTURE),
  one('GlobalMaxPooling2D', {}, PICTURE),
  one(
    'ZeroPadding2D',
    {
      padding: [
        [1, 0],
        [2, 1],
      ],
    },
    PICTURE,
  ),
  one(
    'Cropping2D',
    {
      cropping: [
        [1, 0],
        [2, 1],
      ],
    },
    PICTURE,
  ),
  one('UpSampling2D', { size: [2, 3], interpolation: 'nearest' }, PICTURE),
  one('Rescaling', { scale: 0.3, offset: -1 }, PICTURE),
  recurrent('SimpleRNN', 1),
  recurrent('LSTM', 4, { recurrent_activation: 'sigmoid' }),
  recurrent('LSTM', 4, { return_sequences: false, go_backwards: true, recurrent_activation: 'hard_sigmoid' }),
  recurrent('GRU', 3, { recurrent_activation: 'sigmoid', reset_after: false }),
  one('Dropout', { rate: 0.5 }, PICTURE),
];

/** Settings that a backend refuses by itself, or is not let compute; what it has wrong must be among them. */
const DECLINED: readonly (readonly [entry: Case, backends: readonly string[]])[] = [
  ...[
    one('Conv2D', { filters: 2, kernel_size: [1, 2], strides: [2, 2], padding: 'same' }, PICTURE, { kernel: weight([1, 2, 4, 2], 1), bias: weight([2], 2) }),
    one('DepthwiseConv2D', { kernel_size: [1, 2], strides: [2, 2], padding: 'same' }, PICTURE, {
      depthwise_kernel: weight([1, 2, 4, 1], 1),
      bias: weight([4], 2),
    }),
    one('SeparableConv2D', { filters: 2, kernel_size: [1, 2], strides: [2, 2], padding: 'same' }, PICTURE, {
      ...{ depthwise_kernel: weight([1, 2, 4, 1], 1), pointwise_kernel: weight([1, 1, 4, 2], 3), bias: weight([2], 2) },
    }),
  ].map((entry) => [entry, ['tfjs-wasm']] as const),
  [one('MaxPooling3D', { pool_size: [2, 3, 2], strides: [2, 2, 2], padding: 'same' }, VOLUME), ['tfjs-wasm']],
  [one('MaxPooling3D', { pool_size: [2, 2, 2], strides: [1, 1, 1], padding: 'valid' }, VOLUME), ['tfjs-wasm']],
  [one('PReLU', { shared_axes: [2] }, PICTURE, { alpha: weight([6, 1, 4], 1) }), ['tfjs-wasm']],
  [one('PReLU', { shared_axes: [3] }, PICTURE, { alpha: weight([6, 7, 1], 1) }), ['tfjs-wasm']],
  [one('ELU', { alpha: 0.4 }, PICTURE), ['tfjs-wasm', 'tfjs-cpu']],
  [one('Softmax', { axis: 1 }, PICTURE), ['tfjs-wasm', 'tfjs-cpu']],
  [
    one('BatchNormalization', { axis: -1, center: false }, VOLUME, { gamma: weight([3], 2), moving_mean: weight([3], 3), moving_variance: positive([3], 4) }),
    ['tfjs-wasm', 'tfjs-cpu'],
  ],
  [
    one('Conv2D', { filters: 2, kernel_size: [1, 1], groups: 2 }, PICTURE, { kernel: weight([1, 1, 2, 2], 1), bias: weight([2], 2) }),
    ['tfjs-wasm', 'tfjs-cpu'],
  ],
  [
    one('DepthwiseConv2D', { kernel_size: [2, 2], dilation_rate: [2, 2] }, PICTURE, { depthwise_kernel: weight([2, 2, 4, 1], 1), bias: weight([4], 2) }),
    ['tfjs-wasm', 'tfjs-cpu'],
  ],
  [one('ReLU', { negative_slope: 0.3 }, PICTURE), ['tfjs-wasm', 'tfjs-cpu']],
];

const MERGES: readonly (readonly [className: string, config?: Readonly<Record<string, unknown>>, input?: readonly number[]])[] = [
  ['Add'],
  ['Multiply'],
  ['Average'],
  ['Maximum'],
  ['Minimum'],
  ['Concatenate', { axis: -1 }],
  ['Concatenate', { axis: 1 }],
  ['Dot', { axes: 2, normalize: false }, LINE],
  ['Dot', { axes: 1, normalize: true }, [6]],
];

const title = ([className, config = {}]: LayerSpec, input: readonly number[]) => `${className} ${JSON.stringify(config)} of [${input}]`;

function fileOf({ layer, input, weights = {} }: Case): Promise<Uint8Array> {
  const model = sequential([null, ...input], [layer]);
  const { name } = model.config.layers[1]!.config as { name: string };
  const named = Object.fromEntries(Object.entries(weights).map(([role, value]) => [`${name}/${role}:0`, value]));
  return legacyH5(model, Object.keys(named).length > 0 ? { [name]: named } : {});
}

describe.each([tfjsWasm, tfjsCpu].map((engine) => [engine.name, engine] as const))('%s agrees with our evaluator', (_, engine) => {
  it.each(CASES.map((entry) => [title(entry.layer, entry.input), entry] as const))('%s', async (_title, entry) => {
    expect(await difference(engine, await fileOf(entry))).toBeLessThan(ROUNDING);
  });

  it.each(DECLINED.map(([entry, backends]) => [title(entry.layer, entry.input), entry, backends] as const))(
    'or declines %s',
    async (_title, entry, backends) => {
      const apart = difference(engine, await fileOf(entry));
      if (backends.includes(engine.name)) await expect(apart).rejects.toMatchObject({ kind: 'engine' });
      else expect(await apart).toBeLessThan(ROUNDING);
    },
  );

  it.each(MERGES.map((layer) => [title([layer[0], layer[1]], layer[2] ?? PICTURE), layer] as const))(
    '%s of two',
    async (_title, [className, config, shape = PICTURE]) => {
      const input = (name: string) => ({ class_name: 'InputLayer', name, config: { batch_input_shape: [null, ...shape], dtype: 'float32' } });
      const inbound = [
        [
          ['a', 0, 0, {}],
          ['b', 0, 0, {}],
        ],
      ];
      const model = functional(
        [input('a'), input('b'), { class_name: className, name: 'm', config, inbound }],
        [
          ['a', 0, 0],
          ['b', 0, 0],
        ],
        [['m', 0, 0]],
      );
      expect(await difference(engine, await legacyH5(model))).toBeLessThan(ROUNDING);
    },
  );
});

it('every class and activation that TensorFlow.js is let compute is among those that are tried', () => {
  const tried = new Set(
    [...CASES, ...DECLINED.map(([entry]) => entry)].map(({ layer: [className] }) => className).concat(MERGES.map(([className]) => className)),
  );
  expect(Object.keys(HEEDED).filter((className) => className !== 'InputLayer' && !tried.has(className))).toEqual([]);
  expect(Object.keys(ACTIVATIONS).filter((name) => !TRIED_ACTIVATIONS.includes(name))).toEqual([]);
});
