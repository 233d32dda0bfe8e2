/** TensorFlow.js computes the original Keras file, whatever says how it was trained, nested or archived. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ByteSource, filledSource } from '../../src/bytes/byte-source.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { ModelError } from '../../src/errors.js';
import { tfjsCpu } from '../../src/verify/engines/tfjs-cpu.js';
import { ROOT } from '../cli/run-cli.js';
import { functional, kerasArchive, legacyH5, sequential, type Weight, weight } from '../keras-files.js';
import { predictFile, random } from '../keras-run.js';
import type { Run } from '../run-onnx.js';

const X = random([2, 3], 5);
const [KERNEL_A, BIAS_A, KERNEL_B, BIAS_B] = [weight([3, 4], 1), weight([4], 2), weight([4, 2], 3), weight([2], 4)];

/** tanh(x W + b), and a rectifier where asked for. */
function dense({ shape, data }: Run, kernel: Weight, bias: Weight, change: (x: number) => number = Math.tanh): Run {
  const [depth, units] = kernel.shape as [number, number];
  const made = Float32Array.from({ length: shape[0]! * units }, (_, i) => {
    const [n, u] = [Math.floor(i / units), i % units];
    let sum = bias.values[u]!;
    for (let d = 0; d < depth; d++) sum += data[n * depth + d]! * kernel.values[d * units + u]!;
    return change(sum);
  });
  return { shape: [shape[0]!, units], data: made };
}

async function witness(name: string, bytes: Uint8Array, inputs: readonly Run[] = [X]): Promise<Float32Array[]> {
  const session = await tfjsCpu.open({ files: memoryFileSet({ [name]: bytes }, name) });
  const feeds = new Map(session.inputs.map((port, i) => [port.name, { shape: inputs[i]!.shape, data: inputs[i]!.data }]));
  const results = await session.run(feeds);
  await session.close();
  return [...results.values()].map(({ data }) => Float32Array.from(data as Float32Array));
}

function expectClose(actual: Float32Array | undefined, { data }: Run) {
  expect(actual?.length).toBe(data.length);
  expect(Math.max(...data.map((value, i) => Math.abs(value - actual![i]!)))).toBeLessThan(1e-5);
}

const policy = { module: 'keras', class_name: 'DTypePolicy', config: { name: 'mixed_float16' }, registered_name: null };
const trained = {
  kernel_initializer: {
    module: 'keras.initializers',
    class_name: 'VarianceScaling',
    config: { scale: 2, mode: 'fan_out', distribution: 'untruncated_normal', seed: null },
  },
  kernel_regularizer: { module: 'keras.regularizers', class_name: 'L2', config: { l2: 0.01 }, registered_name: null },
  bias_regularizer: { class_name: 'OrthogonalRegularizer', config: {} },
  kernel_constraint: { class_name: 'MaxNorm', config: { max_value: 2 } },
  activity_regularizer: { class_name: 'L1L2', config: { l1: 1, l2: 2 } },
};
const layers = [
  ['Dense', { units: 4, activation: 'tanh', ...trained, dtype: policy }],
  ['Dropout', { rate: 0.5, seed: 3 }],
  ['RandomBrightness', { factor: [-0.1, 0.1], value_range: [0, 255] }],
  ['Dense', { units: 2, activation: { class_name: 'function', config: 'tanh', registered_name: 'tanh' }, ...trained }],
] as const;
const expected = dense(dense(X, KERNEL_A, BIAS_A), KERNEL_B, BIAS_B);

describe('the original file', () => {
  test('in HDF5, with everything that tells how it was trained', async () => {
    const weights = { dense: { 'a:0': KERNEL_A, 'b:0': BIAS_A }, dropout: {}, dense_1: { 'a:0': KERNEL_B, 'b:0': BIAS_B } };
    expectClose((await witness('model.h5', await legacyH5(sequential([null, 3], layers), weights)))[0], expected);
  });

  test.each([
    ['as Keras saves it', 'layers/dense', 'layers/dense_1'],
    ['saved on Windows', 'layers\\dense', 'layers\\dense_1'],
    ['of tf.keras 2.12', '_layer_checkpoint_dependencies/dense', '_layer_checkpoint_dependencies/dense_2'],
    ['of tf.keras 2.13', '_layer_checkpoint_dependencies/dense', '_layer_checkpoint_dependencies/dense_1'],
  ])('in an archive %s', async (_, first, second) => {
    const tree = { [first]: [KERNEL_A, BIAS_A], [second]: [KERNEL_B, BIAS_B], 'layers/dropout/seed_generator': [{ shape: [2], values: [1, 2] }] };
    expectClose((await witness('model.keras', await kerasArchive(sequential([null, 3], layers), tree)))[0], expected);
  });

  test('that is damaged is no witness, which one line says', async () => {
    const whole = await legacyH5(sequential([null, 3], layers), { dense: { 'a:0': KERNEL_A, 'b:0': BIAS_A }, dense_1: { 'a:0': KERNEL_B, 'b:0': BIAS_B } });
    for (const end of [100, 600, whole.byteLength - 200]) {
      const error = await witness('model.h5', whole.slice(0, end)).catch((caught: ModelError) => caught);
      expect(error).toMatchObject({ kind: 'engine', message: expect.stringMatching(/HDF Group's library does not read it: .*\w$/) });
    }
  });

  test('whose weights do not fit is no witness', async () => {
    const file = await legacyH5(sequential([null, 3], layers), { dense: { 'a:0': KERNEL_A, 'b:0': BIAS_A } });
    await expect(witness('model.h5', file)).rejects.toMatchObject({ kind: 'engine' });
  });
});

test('names of layers may have slashes', async () => {
  const input = { class_name: 'InputLayer', name: 'in/x', config: { batch_input_shape: [null, 3] } };
  const layer = (name: string, units: number, from: string) => ({
    class_name: 'Dense',
    name,
    config: { units, activation: 'tanh' },
    inbound: [[[from, 0, 0, {}]]],
  });
  const model = functional(
    [input, layer('a/one', 4, 'in/x'), layer('a/two', 2, 'a/one')],
    [['in/x', 0, 0]],
    [
      ['a/one', 0, 0],
      ['a/two', 0, 0],
    ],
  );
  const weights = { 'a/one': { 'k:0': KERNEL_A, 'b:0': BIAS_A }, 'a/two': { 'k:0': KERNEL_B, 'b:0': BIAS_B } };
  const [first, second] = await witness('model.h5', await legacyH5(model, weights));
  expectClose(first, dense(X, KERNEL_A, BIAS_A));
  expectClose(second, expected);
});

describe('a model inside a model, called twice', () => {
  const inner = sequential([null, 3], [['Dense', { units: 4, activation: 'tanh' }]]);
  const norm = { class_name: 'BatchNormalization', config: { name: 'norm', axis: [1], epsilon: 0.5, trainable: true } };
  const outer = (refs: readonly [unknown, unknown], calls: unknown, ends: unknown) => ({
    class_name: 'Functional',
    config: {
      name: 'outer',
      layers: [
        { class_name: 'InputLayer', name: 'x', config: { name: 'x', batch_input_shape: [null, 3] }, inbound_nodes: [] },
        { class_name: 'InputLayer', name: 'y', config: { name: 'y', batch_input_shape: [null, 3] }, inbound_nodes: [] },
        { ...inner, config: { ...inner.config, name: 'body', layers: [...inner.config.layers, norm] }, name: 'body', inbound_nodes: calls },
        { class_name: 'Dense', name: 'head', config: { name: 'head', units: 2, activation: 'tanh' }, inbound_nodes: refs },
      ],
      input_layers: [
        ['x', 0, 0],
        ['y', 0, 0],
      ],
      output_layers: ends,
    },
  });
  const [gamma, beta, mean, variance] = [weight([4], 6), weight([4], 7), weight([4], 8), { shape: [4], values: [0.5, 1, 2, 3] }];
  const Y = random([2, 3], 9);
  const branch = (x: Run) => {
    const hidden = dense(x, KERNEL_A, BIAS_A);
    const normalised = hidden.data.map(
      (value, i) => ((value - mean.values[i % 4]!) / Math.sqrt(variance.values[i % 4]! + 0.5)) * gamma.values[i % 4]! + beta.values[i % 4]!,
    );
    return dense({ shape: hidden.shape, data: normalised }, KERNEL_B, BIAS_B);
  };
  const outputs = [
    ['head', 0, 0],
    [['head', 1, 0], null],
  ];
  const variables = { a: KERNEL_A, b: BIAS_A, gamma, beta, mean, variance };
  const head = { 'head/kernel:0': KERNEL_B, 'head/bias:0': BIAS_B };

  test('as tf.keras writes it, whose calls are counted from 1', async () => {
    const config = outer([[['body', 1, 0, {}]], [['body', 2, 0, {}]]], [[['x', 0, 0, {}]], [['y', 0, 0, {}]]], outputs);
    const [first, second] = await witness('model.h5', await legacyH5(config, { x: {}, y: {}, body: variables, head }), [X, Y]);
    expectClose(first, branch(X));
    expectClose(second, branch(Y));
  });

  test('as Keras 3 writes it, whose calls are counted from 0', async () => {
    const call = (name: string, index: number) => ({
      args: [{ class_name: '__keras_tensor__', config: { shape: [null, 3], keras_history: [name, index, 0] } }],
      kwargs: { training: false, mask: null },
    });
    const config = outer([call('body', 0), call('body', 1)], [call('x', 0), call('y', 0)], outputs);
    const tree = {
      'layers/sequential/layers/dense': [KERNEL_A, BIAS_A],
      'layers/sequential/layers/batch_normalization': [gamma, beta, mean, variance],
      'layers/dense': [KERNEL_B, BIAS_B],
    };
    const [first, second] = await witness('model.keras', await kerasArchive(config, tree), [X, Y]);
    expectClose(first, branch(X));
    expectClose(second, branch(Y));
  });
});

describe('recurrent layers', () => {
  const STEPS = random([2, 5, 3], 9);
  const gates = { SimpleRNN: 1, LSTM: 4, GRU: 3 } as const;
  const weightsOf = (kind: keyof typeof gates, seed: number): Weight[] => [
    weight([3, 2 * gates[kind]], seed, 1),
    weight([2, 2 * gates[kind]], seed + 1, 1),
    weight([2 * gates[kind]], seed + 2),
  ];
  const settings = { units: 2, activation: 'tanh', use_bias: true, return_sequences: true, dropout: 0.2, implementation: 2, stateful: false };
  const configOf = (kind: keyof typeof gates, more: object = {}) => ({
    ...settings,
    ...(kind === 'SimpleRNN' ? {} : { recurrent_activation: 'sigmoid' }),
    ...(kind === 'GRU' ? { reset_after: false } : {}),
    ...more,
  });
  /** What our own reader makes of the file, in ONNX Runtime. */
  const ours = async (name: string, bytes: Uint8Array) => [...(await predictFile(name, bytes, [STEPS])).results.values()][0]!;

  test.each(['SimpleRNN', 'LSTM', 'GRU'] as const)('%s is computed as ONNX Runtime does, forwards and backwards, in HDF5 and in an archive', async (kind) => {
    for (const go_backwards of [false, true]) {
      const config = sequential([null, 5, 3], [[kind, configOf(kind, { go_backwards })]]);
      const own = weightsOf(kind, 11);
      const stem = { SimpleRNN: 'simple_rnn', LSTM: 'lstm', GRU: 'gru' }[kind];
      const file = await legacyH5(config, { [kind.toLowerCase()]: { 'a:0': own[0]!, 'b:0': own[1]!, 'c:0': own[2]! } });
      const expected = await ours('model.h5', file);
      expectClose((await witness('model.h5', file, [STEPS]))[0], expected);
      expectClose((await witness('model.keras', await kerasArchive(config, { [`layers/${stem}/cell`]: own }), [STEPS]))[0], expected);
    }
  });

  test.each([
    ['concat', true],
    ['sum', false],
    ['ave', true],
  ] as const)('Bidirectional by %s (sequences %s)', async (merge_mode, return_sequences) => {
    const inner = { class_name: 'LSTM', config: { name: 'lstm', trainable: true, dtype: 'float32', ...configOf('LSTM', { return_sequences }) } };
    const back = { ...inner, config: { ...inner.config, name: 'backward_lstm', go_backwards: true } };
    const config = sequential([null, 5, 3], [['Bidirectional', { layer: inner, backward_layer: back, merge_mode }]]);
    const [forward, backward] = [weightsOf('LSTM', 21), weightsOf('LSTM', 31)];
    const tree = { 'layers/bidirectional/forward_layer/cell': forward, 'layers/bidirectional/backward_layer/cell': backward };
    const file = await kerasArchive(config, tree);
    expectClose((await witness('model.keras', file, [STEPS]))[0], await ours('model.keras', file));
  });

  test.each<[string, object, RegExp]>([
    ['LSTM', { return_state: true }, /return_state/],
    ['GRU', { reset_after: true }, /reset_after/],
    ['LSTM', { stateful: true }, /stateful/],
    ['LSTM', { zero_output_for_mask: true }, /zero_output_for_mask/],
    ['LSTM', { recurrent_activation: 'exponential' }, /exponential/],
  ])('%s with %j is not asked of it', async (kind, more, says) => {
    const config = sequential([null, 5, 3], [[kind, configOf(kind as 'LSTM', more)]]);
    await expect(witness('model.h5', await legacyH5(config), [STEPS])).rejects.toMatchObject({ kind: 'engine', message: expect.stringMatching(says) });
  });
});

describe("an archive that is read as the HDF Group's library comes to it", () => {
  const bytes = readFileSync(join(ROOT, 'test/fixtures/keras-h5/vgg-bn/model.keras'));

  async function outputOf(change: (source: ByteSource) => ByteSource): Promise<Float32Array> {
    const set = memoryFileSet({ 'model.keras': bytes }, 'model.keras');
    const session = await tfjsCpu.open({ files: { ...set, open: async (name) => change(await set.open(name)) } });
    try {
      const shape = session.inputs[0]!.shape.map((size) => size ?? 1);
      const results = await session.run(new Map([[session.inputs[0]!.name, random(shape, 9)]]));
      return Float32Array.from([...results.values()][0]!.data as Float32Array);
    } finally {
      await session.close();
    }
  }

  test('gives what one gives that is read whole, as in a page', async () => {
    const whole = await outputOf((source) => filledSource(source.name, source.byteLength, (start, target) => source.readInto(start, target)));
    expect(await outputOf((source) => source)).toEqual(whole);
  });

  test('and that cannot be read is told by what kept it', async () => {
    const refused = new ModelError('malformed', 'the file ends here', { file: 'model.keras' });
    const readIntoNow = () => {
      throw refused;
    };
    await expect(outputOf((source) => ({ ...source, readIntoNow }))).rejects.toMatchObject({ problem: 'the file ends here' });
  });
});
