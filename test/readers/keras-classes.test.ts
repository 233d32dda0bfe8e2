/** Classes that few models have: numbers sorted into classes, tables read both ways, layers of others' packages. */
import { describe, expect, test } from 'vitest';
import { tensor } from '../keras-calls.js';
import { functional, kerasArchive, legacyH5, sequential, type Weight, weight } from '../keras-files.js';
import { arrayOf, at, conversionError, difference, predictFile, predictSequence, random } from '../keras-run.js';
import type { Run } from '../run-onnx.js';

const PICTURE = random([2, 3, 4, 8]);
const ROWS = random([3, 2]);
const range = (count: number) => Array.from({ length: count }, (_, i) => i);

function expectClose(actual: Run, expected: Run) {
  expect(actual.shape).toEqual(expected.shape);
  expect(difference(actual, expected)).toBeLessThan(3e-6);
}

const classOf = (value: number) => [-0.5, 0, 0.75].filter((boundary) => value >= boundary).length;

test('Discretization counts the boundaries that an element reaches', async () => {
  const config = { bin_boundaries: [-0.5, 0, 0.75], num_bins: null, epsilon: 0.01, sparse: false };
  const int = await predictSequence(ROWS, [['Discretization', { ...config, output_mode: 'int' }]], { version: '3.5.0' });
  expectClose(
    int,
    arrayOf(ROWS.shape, (n, i) => classOf(at(ROWS, n, i))),
  );
  const hot = await predictSequence(ROWS, [['Discretization', { ...config, output_mode: 'multi_hot' }]], { version: '3.5.0' });
  expectClose(
    hot,
    arrayOf([3, 4], (n, k) => Number(range(2).some((i) => classOf(at(ROWS, n, i)) === k))),
  );
  const learnt = predictSequence(ROWS, [['Discretization', { ...config, bin_boundaries: null, num_bins: 4 }]]);
  expect((await conversionError(learnt)).message).toContain('bin_boundaries');
});

test.each([
  ['multi_hot', (found: readonly number[]) => Math.min(1, found.length)],
  ['count', (found: readonly number[]) => found.length],
])('CategoryEncoding says %s of a row of places', async (output_mode, value) => {
  const places: Run = { shape: [2, 3], data: Float32Array.of(0, 3, 3, 1, 2, 0) };
  const actual = await predictSequence(places, [['CategoryEncoding', { num_tokens: 4, output_mode, sparse: false }]]);
  expectClose(
    actual,
    arrayOf([2, 4], (n, k) => value(range(3).filter((i) => at(places, n, i) === k))),
  );
});

test('CategoryEncoding takes the place of a place alone', async () => {
  const places: Run = { shape: [3, 1], data: Float32Array.of(2, 0, 3) };
  const actual = await predictSequence(places, [['CategoryEncoding', { num_tokens: 4, output_mode: 'one_hot' }]]);
  expectClose(
    actual,
    arrayOf([3, 4], (n, k) => Number(at(places, n, 0) === k)),
  );
});

const table = weight([5, 4], 3);
const apart = weight([4, 5], 4);
test.each([
  [true, null],
  [false, 3],
])('ReversibleEmbedding reads a table both ways (tied: %s, capped at %s)', async (tie_weights, logit_soft_cap) => {
  const tokens: Run = { shape: [2, 3], data: Float32Array.of(0, 4, 1, 2, 2, 3) };
  const call = (from: string, output: number, kwargs: object) => ({ args: [tensor(from, output)], kwargs });
  const model = functional([], [['x', 0, 0]], [['table', 1, 0]]);
  const layers = [
    { class_name: 'InputLayer', name: 'x', config: { name: 'x', batch_shape: [null, 3], dtype: 'float32' }, inbound_nodes: [] },
    {
      module: 'keras.layers',
      class_name: 'ReversibleEmbedding',
      name: 'table',
      config: { name: 'table', input_dim: 5, output_dim: 4, mask_zero: false, tie_weights, reverse_dtype: null, logit_soft_cap },
      inbound_nodes: [call('x', 0, { reverse: false }), call('table', 0, { reverse: true })],
    },
  ];
  const vars = tie_weights ? [table] : [table, apart];
  const archive = await kerasArchive({ ...model, config: { ...model.config, layers } }, { 'layers/reversible_embedding': vars });
  const [logits] = [...(await predictFile('model.keras', archive, [tokens])).results.values()];
  const expected = arrayOf([2, 3, 5], (n, i, k) => {
    const row = at(tokens, n, i);
    const sum = range(4).reduce((total, f) => total + table.values[row * 4 + f]! * (tie_weights ? table.values[k * 4 + f]! : apart.values[f * 5 + k]!), 0);
    return logit_soft_cap === null ? sum : Math.tanh(sum / logit_soft_cap) * logit_soft_cap;
  });
  expectClose(logits!, expected);
});

test('a Pipeline is its layers, one behind the other', async () => {
  const layers = [
    { class_name: 'RandomFlip', module: 'keras.layers', registered_name: null, config: { name: 'flip', mode: 'horizontal' } },
    { class_name: 'Rescaling', module: 'keras.layers', registered_name: null, config: { name: 'scaled', scale: 0.5, offset: 1 } },
  ];
  const actual = await predictSequence(PICTURE, [['Pipeline', { layers }]], { version: '3.5.0' });
  expectClose(
    actual,
    arrayOf(PICTURE.shape, (...i) => at(PICTURE, ...i) * 0.5 + 1),
  );
});

test('SubPixelUpscaling of keras_contrib, and StochasticDepth of TensorFlow Addons, whose branch counts by its chance', async () => {
  const larger = await predictSequence(PICTURE, [['SubPixelUpscaling', { scale_factor: 2, data_format: 'channels_last' }]]);
  expectClose(
    larger,
    arrayOf([2, 6, 8, 2], (n, h, w, c) => at(PICTURE, n, Math.floor(h / 2), Math.floor(w / 2), ((h % 2) * 2 + (w % 2)) * 2 + c)),
  );
  const input = { class_name: 'InputLayer', name: 'x', config: { batch_input_shape: [null, 3, 4, 8], name: 'x', dtype: 'float32' } };
  const model = functional(
    [
      input,
      { class_name: 'ReLU', name: 'branch', config: {}, inbound: [[['x', 0, 0, {}]]] },
      {
        class_name: 'Addons>StochasticDepth',
        name: 'sum',
        config: { survival_probability: 0.75 },
        inbound: [
          [
            ['x', 0, 0, {}],
            ['branch', 0, 0, {}],
          ],
        ],
      },
    ],
    [['x', 0, 0]],
    [['sum', 0, 0]],
  );
  const { results } = await predictFile('model.h5', await legacyH5(model), [PICTURE]);
  expectClose(
    [...results.values()][0]!,
    arrayOf(PICTURE.shape, (...i) => at(PICTURE, ...i) + 0.75 * Math.max(0, at(PICTURE, ...i))),
  );
});

test('a Graph of Keras 0 is called by its name', async () => {
  const work = legacyH5({ class_name: 'Graph', config: { input_config: [], nodes: {} } }).then((file) => predictFile('model.h5', file, [ROWS]));
  expect((await conversionError(work)).message).toContain('up to 1.0');
});

describe('quantised to int8', () => {
  const codes = (shape: readonly number[], seed: number) => ({ shape, values: Int8Array.from(weight(shape, seed).values, (value) => Math.round(value * 80)) });
  const policy = { module: 'keras', class_name: 'QuantizedDTypePolicy', config: { mode: 'int8', source_name: 'float32' }, registered_name: null };
  const net = async (layer: readonly [string, object], group: string, vars: readonly Weight[], input: Run) => {
    const config = sequential([null, ...input.shape.slice(1)], [[layer[0], { ...layer[1], dtype: policy }]]);
    return [...(await predictFile('model.keras', await kerasArchive(config, { [group]: vars }, '3.8.0'), [input])).results.values()][0]!;
  };

  test('a Dense layer rounds each row to codes, as Keras does', async () => {
    const input = random([2, 3, 6], 8);
    const [kernel, bias, scale] = [codes([6, 4], 1), weight([4], 2), { shape: [4], values: [90, 120, 300, 40] }];
    const actual = await net(['Dense', { units: 4, activation: 'relu' }], 'layers/dense', [kernel, bias, scale], input);
    const expected = arrayOf([2, 3, 4], (n, i, u) => {
      const row = range(6).map((f) => at(input, n, i, f));
      const own = 127 / (Math.max(...row.map(Math.abs)) + 1e-7);
      const sum = row.reduce((total, x, f) => total + Math.round(x * own) * kernel.values[f * 4 + u]!, 0);
      return Math.max(0, sum / (own * scale.values[u]!) + bias.values[u]!);
    });
    expectClose(actual, expected);
  });

  test('a layer that does not say so is not computed with its codes', async () => {
    const input = random([2, 3, 6], 8);
    const config = sequential([null, 3, 6], [['Dense', { units: 4, use_bias: false }]]);
    const work = kerasArchive(config, { 'layers/dense': [codes([6, 4], 1)] }, '3.8.0').then((file) => predictFile('model.keras', file, [input]));
    expect(await conversionError(work)).toMatchObject({ kind: 'unsupported', message: expect.stringContaining('codes of 8 bits') });
  });

  test('an Embedding has a scale for each row', async () => {
    const tokens: Run = { shape: [2, 3], data: Float32Array.of(0, 4, 1, 2, 2, 3) };
    const [rows, scale] = [codes([5, 4], 3), { shape: [5], values: [10, 20, 30, 40, 50] }];
    const actual = await net(['Embedding', { input_dim: 5, output_dim: 4 }], 'layers/embedding', [rows, scale], tokens);
    expectClose(
      actual,
      arrayOf([2, 3, 4], (n, i, f) => rows.values[at(tokens, n, i) * 4 + f]! / scale.values[at(tokens, n, i)]!),
    );
  });
});

test.each([
  ['GPTQDTypePolicy', 'gptq/4/128', 'gptq'],
  ['AWQDTypePolicy', 'awq/4/128', 'awq'],
  ['QuantizedFloat8DTypePolicy', 'float8', 'float8'],
])('a layer of a %s says how it is quantised, and what to save', async (class_name, mode, word) => {
  const dtype = { module: 'keras.dtype_policies', class_name, config: { mode, source_name: 'float32' }, registered_name: null };
  const { message } = await conversionError(predictSequence(ROWS, [['Dense', { units: 2, dtype }]], { version: '3.15.1' }));
  expect(message).toContain(`it is quantised (${word}), of which int8 and int4 are translated: save the model as it is before quantize("${word}")`);
});
