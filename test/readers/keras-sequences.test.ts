/** Layers over sequences, written out in another way than the product's: recurrent ones, attention, EinsumDense, TimeDistributed. */
import { describe, expect, test } from 'vitest';
import { type Cell, cellWeights, hardSigmoid, named, range, sum, type Walk, w, walkGru, walkLstm, walkSimple } from '../keras-cells.js';
import { functional, kerasArchive, legacyH5, sequential, type Weight, weight } from '../keras-files.js';
import { arrayOf, at, conversionError, difference, predictFile, predictSequence, random } from '../keras-run.js';
import type { Run } from '../run-onnx.js';

function expectClose(actual: Run, expected: Run, tolerance = 3e-6) {
  const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 1);
  expect(difference(actual, expected) / scale).toBeLessThan(tolerance);
}

const [STEPS, FEATURES, UNITS] = [4, 3, 2];
const X = random([2, STEPS, FEATURES], 3);

const cell = (gates: number, seed: number, biasShape?: readonly number[]) => cellWeights(FEATURES, UNITS, gates, seed, biasShape);

const order = (backwards: boolean) => (backwards ? range(STEPS).toReversed() : range(STEPS));
const walked = (walk: Walk, n: number, backwards = false) => walk((t, f) => at(X, n, t, f), order(backwards));
const last = (walk: Walk, backwards = false) => arrayOf([2, UNITS], (n, u) => walked(walk, n, backwards).at(-1)![u]!);
const every = (walk: Walk) => arrayOf([2, STEPS, UNITS], (n, t, u) => walked(walk, n)[t]![u]!);

describe('recurrent layers', () => {
  const simple = cell(1, 10);
  const lstm = cell(4, 20);
  const gru = cell(3, 30);
  const gruAfter = cell(3, 40, [2, 3 * UNITS]);
  const config = {
    units: UNITS,
    activation: 'tanh',
    use_bias: true,
    implementation: 2,
    dropout: 0.2,
    stateful: false,
    unroll: false,
  };
  const run = (className: string, weights: Cell, more: object = {}) =>
    predictSequence(X, [[className, { ...config, ...(className === 'SimpleRNN' ? {} : { recurrent_activation: 'sigmoid' }), ...more }]], {
      weights: { [className.toLowerCase()]: named(weights) },
    });

  test('SimpleRNN, the last step, all, and backwards', async () => {
    expectClose(await run('SimpleRNN', simple), last(walkSimple(simple)));
    expectClose(await run('SimpleRNN', simple, { return_sequences: true }), every(walkSimple(simple)));
    expectClose(await run('SimpleRNN', simple, { go_backwards: true }), last(walkSimple(simple), true));
  });

  test('LSTM, with the gates of tf.keras 1 and 2', async () => {
    expectClose(await run('LSTM', lstm, { unit_forget_bias: true }), last(walkLstm(lstm)));
    expectClose(await run('LSTM', lstm, { return_sequences: true, time_major: false }), every(walkLstm(lstm)));
    expectClose(await run('LSTM', lstm, { recurrent_activation: 'hard_sigmoid' }), last(walkLstm(lstm, hardSigmoid)));
  });

  test('GRU, whose reset gate acts before or behind the product', async () => {
    expectClose(await run('GRU', gru, { reset_after: false }), last(walkGru(gru, false)));
    expectClose(await run('GRU', gruAfter, { reset_after: true, return_sequences: true }), every(walkGru(gruAfter, true)));
  });

  test('of Keras 1 keep the weights of each gate apart', async () => {
    const column = (own: Weight, g: number): Weight => {
      const rows = own.shape.length === 2 ? own.shape[0]! : 1;
      const width = own.shape.at(-1)!;
      return { shape: own.shape.with(-1, UNITS), values: range(rows * UNITS).map((i) => own.values[Math.floor(i / UNITS) * width + g * UNITS + (i % UNITS)]!) };
    };
    const gates = [0, 2, 1, 3].flatMap((g, i) => [
      [`W_${'icfo'[i]}`, column(lstm.kernel, g)],
      [`U_${'icfo'[i]}`, column(lstm.recurrent, g)],
      [`b_${'icfo'[i]}`, column(lstm.bias, g)],
    ]);
    const layer = {
      output_dim: UNITS,
      activation: 'tanh',
      inner_activation: 'hard_sigmoid',
      init: 'glorot_uniform',
      inner_init: 'orthogonal',
      forget_bias_init: 'one',
    };
    const settings = {
      ...layer,
      return_sequences: false,
      go_backwards: false,
      stateful: false,
      unroll: false,
      consume_less: 'cpu',
      input_dim: FEATURES,
      input_length: null,
      dropout_W: 0,
      dropout_U: 0,
      W_regularizer: null,
      U_regularizer: null,
      b_regularizer: null,
    };
    const actual = await predictSequence(X, [['LSTM', settings]], { version: '1.2.2', weights: { lstm: Object.fromEntries(gates) } });
    expectClose(actual, last(walkLstm(lstm, hardSigmoid)));
  });

  describe('that follow a mask', () => {
    const filled: Run = { shape: X.shape, data: X.data.map((value, i) => ([1, 3, 7].includes(Math.floor(i / FEATURES)) ? 9 : value)) };
    const counts = (n: number, t: number) => ![1, 3, 7].includes(n * STEPS + t);
    const masked = (walk: Walk, n: number, backwards = false) => {
      const steps = order(backwards);
      const seen = steps.filter((t) => counts(n, t));
      const made = walk((t, f) => at(filled, n, t, f), seen);
      // A step that does not count gives what the one before it gave.
      return steps.map((_, i) => made[steps.slice(0, i + 1).filter((s) => counts(n, s)).length - 1] ?? range(UNITS).map(() => 0));
    };
    const masking = ['Masking', { mask_value: 9 }] as const;

    test('LSTM, backwards too, and what it gives at every step', async () => {
      const weights = { lstm: named(lstm) };
      const gate = { recurrent_activation: 'sigmoid' };
      const end = (backwards: boolean) => arrayOf([2, UNITS], (n, u) => masked(walkLstm(lstm), n, backwards).at(-1)![u]!);
      expectClose(await predictSequence(filled, [masking, ['LSTM', { ...config, ...gate }]], { weights }), end(false));
      expectClose(await predictSequence(filled, [masking, ['LSTM', { ...config, ...gate, go_backwards: true }]], { weights }), end(true));
      const all = await predictSequence(filled, [masking, ['LSTM', { ...config, ...gate, return_sequences: true }]], { weights });
      expectClose(
        all,
        arrayOf([2, STEPS, UNITS], (n, t, u) => masked(walkLstm(lstm), n)[t]![u]!),
      );
    });

    test.each([false, true])('LSTM that makes nothing of such steps, backwards (unrolled: %s)', async (unroll) => {
      const settings = { ...config, recurrent_activation: 'sigmoid', return_sequences: true, go_backwards: true, zero_output_for_mask: true, unroll };
      // Unrolled, Keras takes the mask as it lies for what was made from the end on.
      const expected = arrayOf([2, STEPS, UNITS], (n, i, u) => (counts(n, unroll ? i : STEPS - 1 - i) ? masked(walkLstm(lstm), n, true)[i]![u]! : 0));
      expectClose(await predictSequence(filled, [masking, ['LSTM', settings]], { weights: { lstm: named(lstm) } }), expected);
    });

    test('GRU behind an Embedding', async () => {
      const ids: Run = { shape: [2, STEPS], data: Float32Array.from([3, 1, 0, 0, 0, 2, 2, 0]) };
      const table = weight([4, FEATURES], 50);
      const embedding = ['Embedding', { input_dim: 4, output_dim: FEATURES, mask_zero: true }] as const;
      const gate = { recurrent_activation: 'sigmoid', reset_after: true };
      const actual = await predictSequence(ids, [embedding, ['GRU', { ...config, ...gate }]], {
        weights: { embedding: { 'embeddings:0': table }, gru: named(gruAfter) },
      });
      const expected = arrayOf(
        [2, UNITS],
        (n, u) =>
          walkGru(gruAfter, true)(
            (t, f) => w(table, at(ids, n, t), f),
            range(STEPS).filter((t) => at(ids, n, t) !== 0),
          ).at(-1)![u]!,
      );
      expectClose(actual, expected);
    });

    test('Masking makes steps that do not count zeros', async () => {
      expectClose(
        await predictSequence(filled, [masking]),
        arrayOf(X.shape, (n, t, f) => (counts(n, t) ? at(filled, n, t, f) : 0)),
      );
    });
  });

  test('gives its states where they are asked for', async () => {
    const model = functional(
      [
        { class_name: 'InputLayer', name: 'x', config: { batch_input_shape: [null, STEPS, FEATURES] } },
        { class_name: 'LSTM', name: 'lstm', config: { ...config, recurrent_activation: 'sigmoid', return_state: true }, inbound: [[['x', 0, 0, {}]]] },
      ],
      [['x', 0, 0]],
      [0, 1, 2].map((i) => ['lstm', 0, i]),
    );
    const { results } = await predictFile('model.h5', await legacyH5(model, { x: {}, lstm: named(lstm) }), [X]);
    expect([...results.keys()]).toEqual(['lstm', 'lstm_1', 'lstm_2']);
    expectClose(results.get('lstm_1')!, last(walkLstm(lstm)));
  });

  test.each([
    [{ stateful: true }, 'stateful'],
    [{ planted: 3 }, 'planted'],
  ])('%j is declined', async (more, said) => {
    const error = await conversionError(run('LSTM', lstm, more));
    expect([error.kind, error.message]).toEqual(['unsupported', expect.stringContaining(said)]);
  });

  test.each(['concat', 'sum', 'mul', 'ave'])('Bidirectional, joined by %s', async (merge_mode) => {
    const other = cell(4, 60);
    const layer = { class_name: 'LSTM', config: { name: 'lstm', ...config, recurrent_activation: 'sigmoid', return_sequences: true } };
    const pick = (walk: Walk, n: number, t: number, u: number, backwards: boolean) => walked(walk, n, backwards)[backwards ? STEPS - 1 - t : t]![u]!;
    const both = (n: number, t: number, u: number) => [pick(walkLstm(lstm), n, t, u, false), pick(walkLstm(other), n, t, u, true)] as const;
    const merged = { sum: (a: number, b: number) => a + b, mul: (a: number, b: number) => a * b, ave: (a: number, b: number) => (a + b) / 2 };
    const expected =
      merge_mode === 'concat'
        ? arrayOf([2, STEPS, 2 * UNITS], (n, t, u) => both(n, t, u % UNITS)[u < UNITS ? 0 : 1])
        : arrayOf([2, STEPS, UNITS], (n, t, u) => merged[merge_mode as 'sum'](...both(n, t, u)));
    const weights = {
      ...Object.fromEntries(Object.entries(named(lstm)).map(([role, own]) => [`forward/${role}`, own])),
      ...Object.fromEntries(Object.entries(named(other)).map(([role, own]) => [`backward/${role}`, own])),
    };
    expectClose(await predictSequence(X, [['Bidirectional', { layer, merge_mode }]], { weights: { bidirectional: weights } }), expected);
  });

  test('in an archive keep their weights in their cells', async () => {
    const inner = { class_name: 'GRU', config: { name: 'gru', ...config, recurrent_activation: 'sigmoid', reset_after: true } };
    const other = cell(3, 70, [2, 3 * UNITS]);
    const tree = {
      'layers/bidirectional/backward_layer/cell': [other.kernel, other.recurrent, other.bias],
      'layers/bidirectional/forward_layer/cell': [gruAfter.kernel, gruAfter.recurrent, gruAfter.bias],
    };
    const model = sequential([null, STEPS, FEATURES], [['Bidirectional', { layer: inner, merge_mode: 'concat' }]]);
    const { results } = await predictFile('model.keras', await kerasArchive(model, tree), [X]);
    const expected = arrayOf([2, 2 * UNITS], (n, u) => walked(u < UNITS ? walkGru(gruAfter, true) : walkGru(other, true), n, u >= UNITS).at(-1)![u % UNITS]!);
    expectClose([...results.values()][0]!, expected);
  });
});

describe('TimeDistributed', () => {
  const pictures = random([2, 3, 4, 4, 2], 6);
  const kernel = weight([2, 2, 2, 3], 5);
  const dense = weight([27, 2], 7);
  const patch = (n: number, t: number, i: number, j: number, f: number) =>
    sum(2, (y) => sum(2, (z) => sum(2, (c) => at(pictures, n, t, i + y, j + z, c) * w(kernel, y, z, c, f))));

  test('of a layer', async () => {
    const layer = { class_name: 'Conv2D', config: { name: 'conv', filters: 3, kernel_size: [2, 2], use_bias: false } };
    const actual = await predictSequence(pictures, [['TimeDistributed', { layer }]], { weights: { timedistributed: { 'kernel:0': kernel } } });
    expectClose(actual, arrayOf([2, 3, 3, 3, 3], patch));
  });

  const inner = sequential(
    [null, 4, 4, 2],
    [
      ['Conv2D', { filters: 3, kernel_size: [2, 2], use_bias: false }],
      ['Flatten', {}],
      ['Dense', { units: 2, use_bias: false }],
    ],
  );
  const expected = arrayOf([2, 3, 2], (n, t, u) => sum(27, (k) => patch(n, t, Math.floor(k / 9), Math.floor(k / 3) % 3, k % 3) * w(dense, k, u)));

  test('of a model, in HDF5 and in an archive', async () => {
    const weights = { timedistributed: { 'conv2d/kernel:0': kernel, 'dense/kernel:0': dense } };
    expectClose(await predictSequence(pictures, [['TimeDistributed', { layer: inner }]], { weights }), expected);
    const tree = { 'layers/time_distributed/layer/layers/conv2d': [kernel], 'layers/time_distributed/layer/layers/dense': [dense] };
    const model = sequential([null, 3, 4, 4, 2], [['TimeDistributed', { layer: inner }]]);
    const { results } = await predictFile('model.keras', await kerasArchive(model, tree), [pictures]);
    expectClose([...results.values()][0]!, expected);
  });

  test('with a setting that is not known is declined', async () => {
    const error = await conversionError(predictSequence(pictures, [['TimeDistributed', { layer: inner, planted: 3 }]]));
    expect([error.kind, error.message]).toEqual(['unsupported', expect.stringContaining('planted')]);
  });
});

describe('EinsumDense', () => {
  const kernel = weight([3, 2, 5], 8);

  test.each([[[null, 2, 5]], [[null, 2, 5, 9]]])('makes several axes of one (%j)', async (output_shape) => {
    const bias = weight([2, 5], 9);
    const config = { equation: 'abc,cde->abde', output_shape, bias_axes: 'de', activation: 'relu' };
    const actual = await predictSequence(X, [['EinsumDense', config]], { weights: { einsumdense: { 'kernel:0': kernel, 'bias:0': bias } } });
    expectClose(
      actual,
      arrayOf([2, STEPS, 2, 5], (n, t, d, e) => Math.max(0, w(bias, d, e) + sum(3, (c) => at(X, n, t, c) * w(kernel, c, d, e)))),
    );
  });

  test('sums over several axes, with an ellipsis', async () => {
    const [wide, bias] = [random([2, 4, 2, 3], 10), weight([5], 11)];
    const own = weight([2, 3, 5], 12);
    const config = { equation: '...cd,cde->...e', output_shape: 5, bias_axes: 'e' };
    const actual = await predictSequence(wide, [['EinsumDense', config]], { weights: { einsumdense: { 'kernel:0': own, 'bias:0': bias } } });
    expectClose(
      actual,
      arrayOf([2, 4, 5], (n, t, e) => bias.values[e]! + sum(2, (c) => sum(3, (d) => at(wide, n, t, c, d) * w(own, c, d, e)))),
    );
  });

  test('of an order of its own', async () => {
    const own = weight([STEPS, 6], 13);
    const config = { equation: 'abc,bd->acd', output_shape: [3, 6], bias_axes: null };
    const actual = await predictSequence(X, [['EinsumDense', config]], { weights: { einsumdense: { 'kernel:0': own } } });
    expectClose(
      actual,
      arrayOf([2, 3, 6], (n, c, d) => sum(STEPS, (b) => at(X, n, b, c) * w(own, b, d))),
    );
  });

  test('with a kernel for each place is declined', async () => {
    const config = { equation: 'abc,bcd->abd', output_shape: [STEPS, 6] };
    const error = await conversionError(predictSequence(X, [['EinsumDense', config]], { weights: { einsumdense: { 'kernel:0': weight([STEPS, 3, 6], 1) } } }));
    expect(error.kind).toBe('unsupported');
  });
});

describe('attention', () => {
  const [heads, keySize, valueSize, features] = [2, 3, 4, 5];
  const q = random([2, 4, features], 21);
  const v = random([2, 6, features], 22);
  const weights = {
    query: [weight([features, heads, keySize], 23), weight([heads, keySize], 24)],
    key: [weight([features, heads, keySize], 25), weight([heads, keySize], 26)],
    value: [weight([features, heads, valueSize], 27), weight([heads, valueSize], 28)],
    output: [weight([heads, valueSize, features], 29), weight([features], 30)],
  } as const;

  function attend(queries: Run, values: Run, causal = false, sees: (n: number, t: number, s: number) => boolean = () => true): Run {
    const project = (x: Run, [kernel, bias]: readonly [Weight, Weight], n: number, t: number, h: number, k: number) =>
      w(bias, h, k) + sum(features, (f) => at(x, n, t, f) * w(kernel, f, h, k));
    const [from, to] = [queries.shape[1]!, values.shape[1]!];
    return arrayOf([queries.shape[0]!, from, features], (n, t, f) => {
      const [kernel, bias] = weights.output;
      return (
        bias.values[f]! +
        sum(heads, (h) => {
          const powers = range(to).map((s) =>
            (causal && s > t) || !sees(n, t, s)
              ? 0
              : Math.exp(sum(keySize, (k) => project(queries, weights.query, n, t, h, k) * project(values, weights.key, n, s, h, k)) / Math.sqrt(keySize)),
          );
          const total = powers.reduce((a, b) => a + b);
          return sum(valueSize, (k) => sum(to, (s) => (powers[s]! / total) * project(values, weights.value, n, s, h, k)) * w(kernel, h, k, f));
        })
      );
    });
  }

  const config = {
    num_heads: heads,
    key_dim: keySize,
    value_dim: valueSize,
    dropout: 0.1,
    use_bias: true,
    output_shape: null,
    attention_axes: [1],
    kernel_initializer: 'glorot_uniform',
  };
  const flat = Object.entries(weights).flatMap(([name, [kernel, bias]]) => [
    [`${name}/kernel:0`, kernel],
    [`${name}/bias:0`, bias],
  ]);

  test('of several heads, as tf.keras calls it', async () => {
    const calledWith = { query_shape: [null, 4, features], key_shape: [null, 6, features], value_shape: [null, 6, features] };
    const layers = [
      { class_name: 'InputLayer', name: 'q', config: { batch_input_shape: [null, 4, features] } },
      { class_name: 'InputLayer', name: 'v', config: { batch_input_shape: [null, 6, features] } },
      {
        class_name: 'MultiHeadAttention',
        name: 'mha',
        config: { ...config, ...calledWith },
        inbound: [[['q', 0, 0, { value: ['v', 0, 0], key: null, attention_mask: null }]]],
      },
    ];
    const model = functional(
      layers,
      [
        ['q', 0, 0],
        ['v', 0, 0],
      ],
      [['mha', 0, 0]],
    );
    const file = await legacyH5(model, { q: {}, v: {}, mha: Object.fromEntries(flat) });
    expectClose((await predictFile('model.h5', file, [q, v])).results.get('mha')!, attend(q, v));
  });

  const tensor = (name: string) => ({ class_name: '__keras_tensor__', config: { keras_history: [name, 0, 0] } });
  const keras3 = (kwargs: object) => ({
    class_name: 'Functional',
    config: {
      name: 'f',
      layers: [
        { class_name: 'InputLayer', name: 'q', config: { name: 'q', batch_shape: [null, 4, features] }, inbound_nodes: [] },
        {
          class_name: 'MultiHeadAttention',
          name: 'mha',
          config: { name: 'mha', ...config, seed: null },
          inbound_nodes: [{ args: [tensor('q'), tensor('q')], kwargs }],
        },
      ],
      input_layers: ['q', 0, 0],
      output_layers: ['mha', 0, 0],
    },
  });
  const tree = Object.fromEntries(Object.entries(weights).map(([name, own]) => [`layers/multi_head_attention/${name}_dense`, own]));

  test('of a sequence with itself, where later steps may be hidden, as Keras 3 calls it', async () => {
    for (const use_causal_mask of [false, true]) {
      const kwargs = { query_mask: null, attention_mask: null, return_attention_scores: false, training: false, use_causal_mask };
      const { results } = await predictFile('model.keras', await kerasArchive(keras3(kwargs), tree), [q]);
      expectClose(results.get('mha')!, attend(q, q, use_causal_mask));
    }
  });

  test.each(['GroupQueryAttention', 'GroupedQueryAttention'])('whose heads of queries share those of keys and values, as %s', async (class_name) => {
    const shared = {
      query: [weight([features, 4, 3], 41), weight([4, 3], 42)],
      key: [weight([features, 2, 3], 43), weight([2, 3], 44)],
      value: [weight([features, 2, 3], 45), weight([2, 3], 46)],
      output: [weight([4, 3, features], 47), weight([features], 48)],
    } as const;
    const project = (x: Run, [kernel, bias]: readonly [Weight, Weight], n: number, t: number, h: number, k: number) =>
      w(bias, h, k) + sum(features, (f) => at(x, n, t, f) * w(kernel, f, h, k));
    const expected = arrayOf(q.shape, (n, t, f) => {
      const [kernel, bias] = shared.output;
      return (
        bias.values[f]! +
        sum(4, (h) => {
          const own = Math.floor(h / 2);
          const powers = range(4).map((s) =>
            Math.exp(sum(3, (k) => project(q, shared.query, n, t, h, k) * project(q, shared.key, n, s, own, k)) / Math.sqrt(3)),
          );
          const total = powers.reduce((a, b) => a + b);
          return sum(3, (k) => sum(4, (s) => (powers[s]! / total) * project(q, shared.value, n, s, own, k)) * w(kernel, h, k, f));
        })
      );
    });
    const { layers, ...rest } = keras3({}).config;
    const grouped = {
      ...layers[1]!,
      class_name,
      config: { name: 'mha', head_dim: 3, num_query_heads: 4, num_key_value_heads: 2, use_bias: true, dropout: 0, seed: null },
    };
    const own = Object.fromEntries(Object.entries(shared).map(([name, list]) => [`layers/grouped_query_attention/_${name}_dense`, list]));
    const file = await kerasArchive({ class_name: 'Functional', config: { ...rest, layers: [layers[0], grouped] } }, own);
    expectClose((await predictFile('model.keras', file, [q])).results.get('mha')!, expected);
  });

  test.each([true, false])('whose scores are sums (AdditiveAttention, use_scale %s)', async (use_scale) => {
    const scale = weight([features], 51);
    const pair = ['q', 'v'].map((name) => [name, 0, 0]);
    const layers = [
      { class_name: 'InputLayer', name: 'q', config: { batch_input_shape: [null, 4, features] } },
      { class_name: 'InputLayer', name: 'v', config: { batch_input_shape: [null, 6, features] } },
      { class_name: 'AdditiveAttention', name: 'a', config: { use_scale, dropout: 0.1, causal: false }, inbound: [pair] },
    ];
    const model = functional(layers, pair, [['a', 0, 0]]);
    const file = await legacyH5(model, { q: {}, v: {}, a: use_scale ? { 'a/scale:0': scale } : {} });
    const expected = arrayOf([2, 4, features], (n, t, f) => {
      const powers = range(6).map((s) => Math.exp(sum(features, (k) => (use_scale ? w(scale, k) : 1) * Math.tanh(at(q, n, t, k) + at(v, n, s, k)))));
      return sum(6, (s) => powers[s]! * at(v, n, s, f)) / powers.reduce((a, b) => a + b);
    });
    expectClose((await predictFile('model.h5', file, [q, v])).results.get('a')!, expected);
  });

  test('along two axes, whose scores have both of them twice', async () => {
    const scoresOf = async (sizes: readonly number[], attention_axes: readonly number[]) => {
      const { layers, ...rest } = keras3({ return_attention_scores: true }).config;
      const [first, second] = [structuredClone(layers[0]!), structuredClone(layers[1]!)];
      Object.assign(first.config, { batch_shape: [null, ...sizes, features] });
      Object.assign(second.config, { attention_axes });
      const config = { ...rest, output_layers: [0, 1].map((i) => ['mha', 0, i]), layers: [first, second] };
      const file = await kerasArchive({ class_name: 'Functional', config }, tree);
      return (await predictFile('model.keras', file, [{ shape: [2, ...sizes, features], data: q.data }])).results.get('mha_1')!;
    };
    const [both, flat] = [await scoresOf([2, 2], [1, 2]), await scoresOf([4], [1])];
    expect(both.shape).toEqual([2, flat.shape[1], 2, 2, 2, 2]);
    expect(Math.max(...both.data.map((value, i) => Math.abs(value - flat.data[i]!)))).toBeLessThan(1e-6);
  });

  test('with a mask that flows in, and its scores', async () => {
    const { layers, ...rest } = keras3({ attention_mask: tensor('m'), return_attention_scores: true }).config;
    const mask: Run = { shape: [2, 4, 4], data: Float32Array.from({ length: 32 }, (_, i) => (i % 3 === 0 ? 0 : 1)) };
    const input = { class_name: 'InputLayer', name: 'm', config: { name: 'm', batch_shape: [null, 4, 4] }, inbound_nodes: [] };
    const ends = { input_layers: ['q', 'm'].map((name) => [name, 0, 0]), output_layers: [0, 1].map((i) => ['mha', 0, i]) };
    const model = { class_name: 'Functional', config: { ...rest, ...ends, layers: [input, ...layers] } };
    const { results } = await predictFile('model.keras', await kerasArchive(model, tree), [q, mask]);
    const scores = results.get('mha_1')!;
    expect(scores.shape.slice(2)).toEqual([4, 4]);
    for (let i = 0; i < scores.data.length; i++) {
      const [n, t, s] = [Math.floor(i / 16 / scores.shape[1]!), Math.floor(i / 4) % 4, i % 4];
      if (at(mask, n, t, s) === 0) expect(scores.data[i]).toBe(0);
    }
    expectClose(
      results.get('mha')!,
      attend(q, q, false, (n, t, s) => at(mask, n, t, s) === 1),
    );
  });

  test('along axes of a picture', async () => {
    const pictures: Run = { shape: [2, 2, 4, features], data: random([2, 2, 4, features], 15).data };
    const rows = (axes: readonly number[] | null) => {
      const { layers, ...rest } = keras3({}).config;
      const input = { class_name: 'InputLayer', name: 'q', config: { name: 'q', batch_shape: [null, 2, 4, features] }, inbound_nodes: [] };
      const layer = { ...layers[1]!, config: { ...layers[1]!.config, attention_axes: axes } };
      return kerasArchive({ class_name: 'Functional', config: { ...rest, layers: [input, layer] } }, tree);
    };
    const flat: Run = { shape: [2, 8, features], data: pictures.data };
    const whole = (await predictFile('model.keras', await rows(null), [pictures])).results.get('mha')!;
    expectClose({ ...whole, shape: [2, 8, features] }, attend(flat, flat));
    const apart: Run = { shape: [4, 4, features], data: pictures.data };
    const each = (await predictFile('model.keras', await rows([2]), [pictures])).results.get('mha')!;
    expectClose({ ...each, shape: [4, 4, features] }, attend(apart, apart));
    const turned = arrayOf([8, 2, features], (i, t, f) => at(pictures, Math.floor(i / 4), t, i % 4, f));
    const columns = attend(turned, turned);
    expectClose(
      (await predictFile('model.keras', await rows([1]), [pictures])).results.get('mha')!,
      arrayOf(pictures.shape, (n, t, s, f) => at(columns, n * 4 + s, t, f)),
    );
  });

  test.each([
    [{ training: true }, 'training', '2.15.0'],
    [{ planted: 1 }, 'planted', '3.5.0'],
  ])('called with %j is declined', async (kwargs, said, version) => {
    const error = await conversionError(predictFile('model.keras', await kerasArchive(keras3(kwargs), tree, version), [q]));
    expect([error.kind, error.message]).toEqual(['unsupported', expect.stringContaining(said)]);
  });

  test('without weights', async () => {
    const layers = [
      { class_name: 'InputLayer', name: 'q', config: { batch_input_shape: [null, 4, features] } },
      { class_name: 'InputLayer', name: 'v', config: { batch_input_shape: [null, 6, features] } },
      {
        class_name: 'Attention',
        name: 'a',
        config: { use_scale: false, score_mode: 'dot', dropout: 0 },
        inbound: [
          [
            ['q', 0, 0, {}],
            ['v', 0, 0, {}],
          ],
        ],
      },
    ];
    const file = await legacyH5(
      functional(
        layers,
        [
          ['q', 0, 0],
          ['v', 0, 0],
        ],
        [['a', 0, 0]],
      ),
    );
    const expected = arrayOf([2, 4, features], (n, t, f) => {
      const powers = range(6).map((s) => Math.exp(sum(features, (k) => at(q, n, t, k) * at(v, n, s, k))));
      return sum(6, (s) => powers[s]! * at(v, n, s, f)) / powers.reduce((a, b) => a + b);
    });
    expectClose((await predictFile('model.h5', file, [q, v])).results.get('a')!, expected);
  });
});

test("keras.applications' own layers", async () => {
  const x = random([2, 3, 3, 4], 31);
  const gamma = weight([4], 32);
  const scaled = arrayOf(x.shape, (...i) => at(x, ...i) * gamma.values[i[3]!]!);
  const layers = [
    ['LayerScale', { init_values: 1e-6, projection_dim: 4 }],
    ['StochasticDepth', { drop_path_rate: 0.1 }],
  ] as const;
  expectClose(await predictSequence(x, layers, { weights: { layerscale: { 'variable:0': gamma } } }), scaled);
});
