/** Recurrent layers beyond the plain ones: states to begin with, cells and stacks of them, CuDNN's, pictures, both directions. */
import { describe, expect, test } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { openModel } from '../../src/readers/open.js';
import { type Cell, cellWeights, named, range, type Steps, sigmoid, sum, type Walk, w, walkGru, walkLstm, walkSimple } from '../keras-cells.js';
import { functional, kerasArchive, type LayerSpec, legacyH5, sequential, type Weight, weight } from '../keras-files.js';
import { arrayOf, at, conversionError, difference, predictFile, predictSequence, random } from '../keras-run.js';
import { convertInMemory, type Run, runOnnx } from '../run-onnx.js';

function expectClose(actual: Run | undefined, expected: Run, tolerance = 3e-6) {
  const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 1);
  expect(difference(actual!, expected) / scale).toBeLessThan(tolerance);
}

const [STEPS, FEATURES, UNITS] = [4, 3, 2];
const X = random([2, STEPS, FEATURES], 3);
const config = { units: UNITS, activation: 'tanh', use_bias: true, dropout: 0, implementation: 2 };
const gated = { ...config, recurrent_activation: 'sigmoid' };
const of = (x: Run, n: number) => (t: number, f: number) => at(x, n, t, f);
const steps = range(STEPS);
const lstm = cellWeights(FEATURES, UNITS, 4, 20);
const gru = cellWeights(FEATURES, UNITS, 3, 30, [2, 3 * UNITS]);

/** What a walk over each sample makes last, or one of its states. */
const last = (walk: Walk, x = X, state?: number) =>
  arrayOf([2, UNITS], (n, u) => {
    const made = walk(of(x, n), steps);
    return (state === undefined ? made.at(-1)! : made.states![state]!)[u]!;
  });

describe('states to begin with', () => {
  const h = random([2, UNITS], 5);
  const c = random([2, UNITS], 6);
  const expected = arrayOf(
    [2, STEPS, UNITS],
    (n, t, u) =>
      walkLstm(lstm)(
        of(X, n),
        steps,
        [h, c].map((state) => range(UNITS).map((i) => at(state, n, i))),
      )[t]![u]!,
  );
  const inputs = [
    ['x', [null, STEPS, FEATURES]],
    ['h', [null, UNITS]],
    ['c', [null, UNITS]],
  ].map(([name, batch_input_shape]) => ({ class_name: 'InputLayer', name: name as string, config: { batch_input_shape } }));
  const ends = ['x', 'h', 'c'].map((name) => [name, 0, 0]);

  test('stand behind the sequence, as Keras 2 writes them', async () => {
    const layer = { class_name: 'LSTM', name: 'lstm', config: { ...gated, return_sequences: true }, inbound: [ends.map((ref) => [...ref, {}])] };
    const file = await legacyH5(functional([...inputs, layer], ends, [['lstm', 0, 0]]), { lstm: named(lstm) });
    expectClose((await predictFile('model.h5', file, [X, h, c])).results.get('lstm'), expected);
  });

  test('are arguments by name, as Keras 3 writes them', async () => {
    const tensor = (name: string) => ({ class_name: '__keras_tensor__', config: { shape: [null, UNITS], dtype: 'float32', keras_history: [name, 0, 0] } });
    const call = { args: [tensor('x')], kwargs: { initial_state: [tensor('h'), tensor('c')], training: false, mask: null } };
    const layer = { class_name: 'LSTM', name: 'lstm', config: { ...gated, return_sequences: true }, inbound: [call] };
    const file = await kerasArchive(functional([...inputs, layer], ends, [['lstm', 0, 0]]), { 'layers/lstm/cell': [lstm.kernel, lstm.recurrent, lstm.bias] });
    expectClose((await predictFile('model.keras', file, [X, h, c])).results.get('lstm'), expected);
  });

  test('are those of an encoder', async () => {
    const decoder = cellWeights(FEATURES, UNITS, 4, 70);
    const layers = [
      inputs[0]!,
      { class_name: 'LSTM', name: 'encoder', config: { ...gated, return_state: true }, inbound: [[['x', 0, 0, {}]]] },
      {
        class_name: 'LSTM',
        name: 'decoder',
        config: gated,
        inbound: [
          [
            ['x', 0, 0, {}],
            ['encoder', 0, 1, {}],
            ['encoder', 0, 2, {}],
          ],
        ],
      },
    ];
    const file = await legacyH5(functional(layers, [['x', 0, 0]], [['decoder', 0, 0]]), { encoder: named(lstm), decoder: named(decoder) });
    const walk: Walk = (x) => walkLstm(decoder)(x, steps, walkLstm(lstm)(x, steps).states);
    expectClose((await predictFile('model.h5', file, [X])).results.get('decoder'), last(walk));
  });

  test('of another number than the layer has are declined', async () => {
    const layer = { class_name: 'LSTM', name: 'lstm', config: gated, inbound: [ends.slice(0, 2).map((ref) => [...ref, {}])] };
    const file = await legacyH5(functional([...inputs.slice(0, 2), layer], ends.slice(0, 2), [['lstm', 0, 0]]), { lstm: named(lstm) });
    expect((await conversionError(predictFile('model.h5', file, [X, h]))).message).toContain('1 states to begin with, but it has 2');
  });
});

describe('an RNN layer', () => {
  const inner = (class_name: string, more: object = {}) => ({ class_name, config: { name: class_name.toLowerCase(), ...gated, ...more } });
  const second = cellWeights(UNITS, UNITS, 3, 80, [2, 3 * UNITS]);
  const third = cellWeights(UNITS, UNITS, 1, 90);
  const { recurrent_activation: _, ...simple } = gated;
  const stack = {
    class_name: 'StackedRNNCells',
    config: {
      name: 'cells',
      cells: [inner('LSTMCell', { unit_forget_bias: true }), inner('GRUCell', { reset_after: true }), { class_name: 'SimpleRNNCell', config: simple }],
    },
  };
  const behind = (walk: Walk, of: Steps) => walk((t, f) => of[t]![f]!, steps);
  const stackedWalk: Walk = (x) => behind(walkSimple(third), behind(walkGru(second, true), walkLstm(lstm)(x, steps)));

  test('has the cell of any kind', async () => {
    const settings = { cell: inner('GRUCell', { reset_after: true }), return_sequences: false, go_backwards: false, unroll: false, time_major: false };
    expectClose(await predictSequence(X, [['RNN', settings]], { weights: { rnn: named(gru) } }), last(walkGru(gru, true)));
  });

  test('stacks cells, each with the kind of weights that it has', async () => {
    const weights = Object.fromEntries(
      [lstm, second, third].flatMap((cell, i) => Object.entries(named(cell)).map(([role, own]) => [`cell_${i}/${role}`, own])),
    );
    expectClose(await predictSequence(X, [['RNN', { cell: stack }]], { weights: { rnn: weights } }), last(stackedWalk));
  });

  test('finds the cells of an archive in the order of the configuration', async () => {
    const own = ({ kernel, recurrent, bias }: Cell) => [kernel, recurrent, bias];
    const group = 'layers/rnn/cell/cells';
    const tree = { [`${group}/gru_cell`]: own(second), [`${group}/lstm_cell`]: own(lstm), [`${group}/simple_rnn_cell`]: own(third) };
    const { results } = await predictFile('model.keras', await kerasArchive(sequential([null, STEPS, FEATURES], [['RNN', { cell: stack }]]), tree), [X]);
    expectClose([...results.values()][0], last(stackedWalk));
  });

  test('of a cell that is not known is declined by its name', async () => {
    const error = await conversionError(predictSequence(X, [['RNN', { cell: inner('PeepholeLSTMCell') }]]));
    expect([error.kind, error.message]).toEqual(['unsupported', expect.stringContaining('PeepholeLSTMCell')]);
  });
});

describe("CuDNN's layers", () => {
  const settings = { units: UNITS, return_sequences: false, return_state: false, go_backwards: false, stateful: false };
  const rearranged = ({ shape, values }: Weight, from: (row: number, column: number) => number): Weight => ({
    shape,
    values: Float32Array.from(values, (_, i) => from(Math.floor(i / shape[1]!), i % shape[1]!)),
  });
  /** Weights as CuDNN's layers keep them, of those that the plain layers have. */
  const forCudnn = ({ kernel, recurrent }: Cell, bias: Weight) => ({
    // Each gate's elements, transposed, in the shape that they had before.
    'kernel:0': rearranged(kernel, (row, at) => {
      const [gate, flat] = [Math.floor(at / UNITS), row * UNITS + (at % UNITS)];
      return w(kernel, flat % FEATURES, gate * UNITS + Math.floor(flat / FEATURES));
    }),
    'recurrent_kernel:0': rearranged(recurrent, (row, at) => w(recurrent, at % UNITS, Math.floor(at / UNITS) * UNITS + row)),
    'bias:0': bias,
  });

  test('LSTM, with two biases that are added', async () => {
    const bias = weight([8 * UNITS], 7);
    const added: Cell = { ...lstm, bias: { shape: [4 * UNITS], values: range(4 * UNITS).map((i) => bias.values[i]! + bias.values[4 * UNITS + i]!) } };
    const actual = await predictSequence(X, [['CuDNNLSTM', { ...settings, unit_forget_bias: true }]], {
      version: '2.2.4',
      weights: { cudnnlstm: forCudnn(lstm, bias) },
    });
    expectClose(actual, last(walkLstm(added)));
  });

  test('GRU, whose reset gate acts behind the product', async () => {
    const bias: Weight = { shape: [6 * UNITS], values: gru.bias.values };
    const actual = await predictSequence(X, [['CuDNNGRU', settings]], { version: '2.2.4', weights: { cudnngru: forCudnn(gru, bias) } });
    expectClose(actual, last(walkGru(gru, true)));
  });
});

describe('ConvLSTM2D', () => {
  const [SIDE, C, F] = [5, 2, 3];
  const pictures = random([1, 3, SIDE, SIDE, C], 8);
  const kernel = weight([3, 3, C, 4 * F], 9, 0.4);
  const recurrent = weight([3, 3, F, 4 * F], 10, 0.4);
  const bias = weight([4 * F], 11);
  const weights = { convlstm2d: { 'kernel:0': kernel, 'recurrent_kernel:0': recurrent, 'bias:0': bias } };
  const settings = {
    filters: F,
    kernel_size: [3, 3],
    strides: [1, 1],
    padding: 'valid',
    data_format: 'channels_last',
    dilation_rate: [1, 1],
    activation: 'tanh',
  };
  type Picture = (i: number, j: number, f: number) => number;
  const convolved = (x: Picture, size: number, k: Weight, pad: number, i: number, j: number, o: number, stride = 1) =>
    sum(9, (p) => {
      const [row, col] = [i * stride + Math.floor(p / 3) - pad, j * stride + (p % 3) - pad];
      if (row < 0 || col < 0 || row >= size || col >= size) return 0;
      return sum(k.shape[2]!, (c) => x(row, col, c) * w(k, Math.floor(p / 3), p % 3, c, o));
    });
  /** [steps][i, j, f] */
  const walk = (pad: number, out: number, stride = 1): number[][][][] => {
    let h = range(out).map(() => range(out).map(() => range(F).map(() => 0)));
    let c = h;
    return range(3).map((t) => {
      const z = (i: number, j: number, g: number) =>
        bias.values[g]! +
        convolved((a, b, ch) => at(pictures, 0, t, a, b, ch), SIDE, kernel, pad, i, j, g, stride) +
        convolved((a, b, f) => before[a]![b]![f]!, out, recurrent, 1, i, j, g);
      const before = h;
      const cells = c.map((row, i) =>
        row.map((place, j) => place.map((value, f) => sigmoid(z(i, j, F + f)) * value + sigmoid(z(i, j, f)) * Math.tanh(z(i, j, 2 * F + f)))),
      );
      h = cells.map((row, i) => row.map((place, j) => place.map((value, f) => sigmoid(z(i, j, 3 * F + f)) * Math.tanh(value))));
      c = cells;
      return h;
    });
  };

  test('without padding, the last step', async () => {
    const made = walk(0, 3);
    const actual = await predictSequence(pictures, [['ConvLSTM2D', { ...settings, recurrent_activation: 'sigmoid' }]], { weights });
    expectClose(
      actual,
      arrayOf([1, 3, 3, F], (_, i, j, f) => made[2]![i]![j]![f]!),
    );
  });

  test('saved under Theano, with both kernels turned by 180 degrees', async () => {
    const half = ({ shape, values }: Weight): Weight => {
      const [, , c, o] = shape as [number, number, number, number];
      return { shape, values: Float32Array.from({ length: values.length }, (_, i) => values[(8 - Math.floor(i / (c * o))) * c * o + (i % (c * o))]!) };
    };
    const layer: LayerSpec = ['ConvLSTM2D', { ...settings, recurrent_activation: 'sigmoid' }];
    const own = { convlstm2d: { 'kernel:0': half(kernel), 'recurrent_kernel:0': half(recurrent), 'bias:0': bias } };
    const made = walk(0, 3);
    expectClose(
      await predictSequence(pictures, [layer], { version: '2.2.4', backend: 'theano', weights: own }),
      arrayOf([1, 3, 3, F], (_, i, j, f) => made[2]![i]![j]![f]!),
    );
  });

  test('with padding and strides, all steps, in front of another layer', async () => {
    const made = walk(1, 3, 2);
    const layer: LayerSpec = ['ConvLSTM2D', { ...settings, strides: [2, 2], padding: 'same', recurrent_activation: 'sigmoid', return_sequences: true }];
    expectClose(
      await predictSequence(pictures, [layer], { weights }),
      arrayOf([1, 3, 3, 3, F], (_, t, i, j, f) => made[t]![i]![j]![f]!),
    );
  });

  test('channels first, and the states', async () => {
    const turned = arrayOf([1, 3, C, SIDE, SIDE], (_, t, c, i, j) => at(pictures, 0, t, i, j, c));
    const layer = {
      class_name: 'ConvLSTM2D',
      name: 'lstm',
      config: { ...settings, data_format: 'channels_first', recurrent_activation: 'sigmoid', return_state: true },
      inbound: [[['x', 0, 0, {}]]],
    };
    const input = { class_name: 'InputLayer', name: 'x', config: { batch_input_shape: [null, 3, C, SIDE, SIDE] } };
    const file = await legacyH5(functional([input, layer], [['x', 0, 0]], [['lstm', 0, 1]]), { lstm: weights.convlstm2d });
    const made = walk(0, 3);
    expectClose(
      [...(await predictFile('model.h5', file, [turned])).results.values()][0],
      arrayOf([1, F, 3, 3], (_, f, i, j) => made[2]![i]![j]![f]!),
    );
  });
});

describe('Bidirectional', () => {
  const other = cellWeights(FEATURES, UNITS, 4, 60);
  const weights = {
    bidirectional: Object.fromEntries(
      [lstm, other].flatMap((cell, i) => Object.entries(named(cell)).map(([role, own]) => [`${i === 0 ? 'forward' : 'backward'}/${role}`, own])),
    ),
  };
  const wrapper = (more: object) => ({ layer: { class_name: 'LSTM', config: { name: 'lstm', ...gated, ...more } }, merge_mode: 'concat' });

  const backwards: Walk = (x) => walkLstm(other)(x, steps.toReversed());
  const joined = arrayOf([2, 2 * UNITS], (n, u) => at(u < UNITS ? last(walkLstm(lstm)) : last(backwards), n, u % UNITS));

  test('gives the states of both directions', async () => {
    const layers = [
      { class_name: 'InputLayer', name: 'x', config: { batch_input_shape: [null, STEPS, FEATURES] } },
      { class_name: 'Bidirectional', name: 'bidirectional', config: wrapper({ return_state: true }), inbound: [[['x', 0, 0, {}]]] },
    ];
    const outputs = range(5).map((i) => ['bidirectional', 0, i]);
    const { results } = await predictFile('model.h5', await legacyH5(functional(layers, [['x', 0, 0]], outputs), weights), [X]);
    const expected = [last(walkLstm(lstm), X, 0), last(walkLstm(lstm), X, 1), last(backwards, X, 0), last(backwards, X, 1)];
    for (const [i, state] of expected.entries()) expectClose(results.get(`bidirectional_${i + 1}`), state);
  });

  test('of TensorFlow.js, whose weights are named by direction and cell', async () => {
    const own = Object.entries(weights.bidirectional).map(([name, one]) => {
      const [direction, role] = name.split('/') as [string, string];
      return { name: `bidirectional/${direction}_lstm/lstm_cell/${role.replace(':0', '')}`, ...one };
    });
    const specs = own.map(({ name, shape }) => ({ name, shape, dtype: 'float32' }));
    const manifest = [{ paths: ['shard.bin'], weights: specs }];
    const topology = { model_config: sequential([null, STEPS, FEATURES], [['Bidirectional', wrapper({})]]), keras_version: '2.13.1' };
    const files = {
      'model.json': new TextEncoder().encode(JSON.stringify({ format: 'layers-model', modelTopology: topology, weightsManifest: manifest })),
      'shard.bin': new Uint8Array(Float32Array.from(own.flatMap(({ values }) => [...(values as Float32Array)])).buffer),
    };
    const { bytes } = await convertInMemory(memoryFileSet(files, 'model.json'));
    expectClose([...(await runOnnx(bytes, [X])).values()][0], joined);
  });

  test('of Keras 1, which keeps the weights of each gate apart', async () => {
    const gate = ({ shape, values }: Weight, i: number): Weight => {
      const rows = shape.length === 1 ? 1 : shape[0]!;
      const own = range(rows).flatMap((row) => range(UNITS).map((u) => values[row * 4 * UNITS + i * UNITS + u]!));
      return { shape: shape.length === 1 ? [UNITS] : [rows, UNITS], values: own };
    };
    // Input, candidate, forget, output.
    const apart = (cell: Cell, side: string) =>
      [0, 2, 1, 3].flatMap((i, k) => ['kernel', 'recurrent', 'bias'].map((role) => [`${side}_${role}_${k}`, gate(cell[role as keyof Cell] as Weight, i)]));
    const config = {
      ...{ name: 'lstm', output_dim: UNITS, activation: 'tanh', inner_activation: 'sigmoid', init: 'glorot_uniform', inner_init: 'orthogonal' },
      ...{ forget_bias_init: 'one', return_sequences: false, go_backwards: false, stateful: false, unroll: false, consume_less: 'cpu' },
      ...{ dropout_W: 0, dropout_U: 0, W_regularizer: null, U_regularizer: null, b_regularizer: null, input_dim: FEATURES, input_length: STEPS },
    };
    const layer: LayerSpec = ['Bidirectional', { layer: { class_name: 'LSTM', config }, merge_mode: 'concat' }];
    const own = { bidirectional: Object.fromEntries([...apart(lstm, 'forward'), ...apart(other, 'backward')]) };
    expectClose(await predictSequence(X, [layer], { version: '1.2.2', weights: own }), joined);
  });

  describe('behind a mask', () => {
    const counts = (n: number, t: number) => ![1, 3, 7].includes(n * STEPS + t);
    const filled: Run = { shape: X.shape, data: X.data.map((value, i) => ([1, 3, 7].includes(Math.floor(i / FEATURES)) ? 9 : value)) };
    const layers: LayerSpec[] = [
      ['Masking', { mask_value: 9 }],
      ['Bidirectional', wrapper({ return_sequences: true })],
    ];
    const seen = (n: number) => steps.filter((t) => counts(n, t));
    const made = (n: number, t: number, u: number) => {
      const order = u < UNITS ? seen(n) : seen(n).toReversed();
      return counts(n, t) ? walkLstm(u < UNITS ? lstm : other)(of(filled, n), order)[order.indexOf(t)]![u % UNITS]! : 0;
    };

    test('makes nothing of steps that do not count, since tf.keras 2', async () => {
      expectClose(await predictSequence(filled, layers, { weights, version: '2.13.1' }), arrayOf([2, STEPS, 2 * UNITS], made));
    });

    test('is declined where versions differ', async () => {
      const error = await conversionError(predictSequence(filled, layers, { weights, version: '2.2.4-tf' }));
      expect([error.kind, error.message]).toEqual(['unsupported', expect.stringContaining('behind a mask')]);
    });
  });
});

describe('SpectralNormalization', () => {
  const kernel = weight([FEATURES, UNITS], 1);
  const bias = weight([UNITS], 2);
  const u = weight([1, UNITS], 3);
  const x = random([2, FEATURES], 4);
  const inner = { class_name: 'Dense', config: { name: 'dense', units: UNITS, activation: 'linear', use_bias: true } };
  const modelOf = (className: string) => sequential([null, FEATURES], [[className, { layer: inner, power_iterations: 1 }]]);
  const expected = arrayOf([2, UNITS], (n, o) => bias.values[o]! + sum(FEATURES, (f) => at(x, n, f) * w(kernel, f, o)));

  test.each(['SpectralNormalization', 'Addons>SpectralNormalization'])('takes the kernel as it is stored, in HDF5 and in an archive: %s', async (className) => {
    const model = modelOf(className);
    const stored = { [className.toLowerCase()]: { 'dense/kernel:0': kernel, 'dense/bias:0': bias, 'sn_u:0': u } };
    expectClose([...(await predictFile('model.h5', await legacyH5(model, stored), [x])).results.values()][0], expected);
    const tree = { 'layers/spectral_normalization/layer': [kernel, bias], 'layers/spectral_normalization': [u] };
    expectClose([...(await predictFile('model.keras', await kerasArchive(model, tree), [x])).results.values()][0], expected);
  });
});

test.each([
  [1, 1],
  [2, 0],
])('of %d steps from nothing: %d notices that a recurrent kernel is without effect', async (count, notices) => {
  const input = { class_name: 'InputLayer', name: 'x', config: { batch_input_shape: [null, count, FEATURES] } };
  const layer = { class_name: 'LSTM', name: 'lstm', config: gated, inbound: [[['x', 0, 0, {}]]] };
  const file = await legacyH5(functional([input, layer], [['x', 0, 0]], [['lstm', 0, 0]]), { lstm: named(lstm) });
  const { warnings } = await (await openModel(memoryFileSet({ 'model.h5': file }, 'model.h5'))).map();
  expect(warnings.filter(({ code }) => code === 'without-effect')).toHaveLength(notices);
});
