/** Weights find their layers as in Keras, and outputs their names, however models are nested, shared and saved. */
import { strToU8, unzipSync, zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { isModelError } from '../../src/errors.js';
import { openModel } from '../../src/readers/open.js';
import { functional, kerasArchive, legacyH5, noise, sequential, type Weight, weight, weightTree } from '../keras-files.js';
import { conversionError } from '../keras-run.js';
import { convertInMemory, type Run, runOnnx } from '../run-onnx.js';

const X: Run = { shape: [2, 3], data: noise(6, 5) };
const KERNEL_A = weight([3, 4], 11);
const BIAS_A = weight([4], 12);
const KERNEL_B = weight([4, 4], 13);
const BIAS_B = weight([4], 14);
const KERNEL_C = weight([4, 2], 15);
const BIAS_C = weight([2], 16);

/** tanh(x W + b), row by row. */
function dense(x: readonly number[][], kernel: Weight, bias: Weight): number[][] {
  const [depth, units] = kernel.shape as [number, number];
  return x.map((row) =>
    Array.from({ length: units }, (_, u) => {
      let sum = bias.values[u]!;
      for (let d = 0; d < depth; d++) sum += row[d]! * kernel.values[d * units + u]!;
      return Math.tanh(sum);
    }),
  );
}

function rowsOf({ shape, data }: Run): number[][] {
  return Array.from({ length: shape[0]! }, (_, n) => [...data.subarray(n * shape[1]!, (n + 1) * shape[1]!)]);
}

async function predict(name: string, files: Record<string, Uint8Array>, inputs: readonly Run[] = [X]) {
  const { bytes, result } = await convertInMemory(memoryFileSet(files, name));
  return { results: await runOnnx(bytes, inputs), warnings: result.warnings.map(({ message }) => message).join('\n'), map: result.map! };
}

function expectRows(actual: Run | undefined, expected: number[][]) {
  expect(actual?.shape).toEqual([expected.length, expected[0]!.length]);
  expected.flat().forEach((value, i) => {
    expect(Math.abs(actual!.data[i]! - value)).toBeLessThan(1e-5);
  });
}

const denseLayer = (name: string, units: number, from: unknown, config: object = {}) => ({
  class_name: 'Dense',
  name,
  config: { units, activation: 'tanh', use_bias: true, ...config },
  inbound: [[from]],
});
const input = (name: string, size = 3) => ({ class_name: 'InputLayer', name, config: { batch_input_shape: [null, size], dtype: 'float32' } });
const at = (name: string, call = 0, tensor = 0) => [name, call, tensor, {}];

const expected = () => dense(dense(dense(rowsOf(X), KERNEL_A, BIAS_A), KERNEL_B, BIAS_B), KERNEL_C, BIAS_C);

describe('weights of a model inside a model', () => {
  const inner = (names: readonly [string, string], trainable = true) =>
    functional(
      [input('inner_in'), denseLayer(names[0], 4, at('inner_in'), { trainable }), denseLayer(names[1], 4, at(names[0]), { trainable })],
      [['inner_in', 0, 0]],
      [[names[1], 0, 0]],
      'inner',
    );
  const outer = (names: readonly [string, string], trainable = true) => ({
    class_name: 'Functional',
    config: {
      name: 'outer',
      layers: [
        { class_name: 'InputLayer', name: 'x', config: { name: 'x', batch_input_shape: [null, 3], dtype: 'float32' }, inbound_nodes: [] },
        { ...inner(names, trainable), name: 'inner', inbound_nodes: [[at('x')]] },
        { class_name: 'Dense', name: 'last', config: { name: 'last', units: 2, activation: 'tanh' }, inbound_nodes: [[at('inner', 1)]] },
      ],
      input_layers: [['x', 0, 0]],
      output_layers: [['last', 0, 0]],
    },
  });
  const last = { 'last/kernel:0': KERNEL_C, 'last/bias:0': BIAS_C };

  test.each<[string, readonly [string, string], Record<string, Weight>]>([
    ["named after the model's layers", ['a', 'b'], { 'a/kernel:0': KERNEL_A, 'a/bias:0': BIAS_A, 'b/kernel:0': KERNEL_B, 'b/bias:0': BIAS_B }],
    [
      "named by another session, each after its neighbour's layer",
      ['dense_1', 'dense_2'],
      { 'dense/kernel:0': KERNEL_A, 'dense/bias:0': BIAS_A, 'dense_1/kernel:0': KERNEL_B, 'dense_1/bias:0': BIAS_B },
    ],
    [
      'with slashes in the names of layers',
      ['block/a', 'block/b'],
      { 'block/a/kernel:0': KERNEL_A, 'block/a/bias:0': BIAS_A, 'block/b/kernel:0': KERNEL_B, 'block/b/bias:0': BIAS_B },
    ],
    [
      'behind the name of the enclosing model',
      ['a', 'b'],
      { 'inner/a/kernel:0': KERNEL_A, 'inner/a/bias:0': BIAS_A, 'inner/b/kernel:0': KERNEL_B, 'inner/b/bias:0': BIAS_B },
    ],
  ])('%s', async (_, names, own) => {
    const { results } = await predict('model.h5', { 'model.h5': await legacyH5(outer(names), { x: {}, inner: own, last }) });
    expectRows(results.get('last'), expected());
  });

  test('that are more than its layers have are refused', async () => {
    const own = { 'a/kernel:0': KERNEL_A, 'a/bias:0': BIAS_A, 'b/kernel:0': KERNEL_B };
    const file = await legacyH5(outer(['a', 'b']), { x: {}, inner: own, last });
    const error = await predict('model.h5', { 'model.h5': file }).catch((thrown: unknown) => thrown);
    expect(isModelError(error) && error.kind).toBe('malformed');
  });

  /** Normalisation of each feature: gamma and beta are trained, mean and variance are not. */
  test.each([true, false])('which counts statistics: trained weights come first, unless they are frozen (trainable %s)', async (trainable) => {
    const [gamma, beta, mean, variance] = [weight([4], 21), weight([4], 22), weight([4], 23), { shape: [4], values: [0.5, 1, 2, 0.25] }];
    const config = outer(['a', 'b'], trainable);
    const innerLayers = (config.config.layers[1] as unknown as { config: { layers: object[]; output_layers: unknown } }).config;
    innerLayers.layers.splice(2, 0, {
      class_name: 'BatchNormalization',
      name: 'norm',
      config: { name: 'norm', axis: [1], epsilon: 0.001, trainable },
      inbound_nodes: [[at('a')]],
    });
    (innerLayers.layers[3] as { inbound_nodes: unknown }).inbound_nodes = [[at('norm')]];
    const trained = { 'norm/gamma:0': gamma, 'norm/beta:0': beta };
    const fixed = { 'norm/moving_mean:0': mean, 'norm/moving_variance:0': variance };
    const a = { 'a/kernel:0': KERNEL_A, 'a/bias:0': BIAS_A };
    const b = { 'b/kernel:0': KERNEL_B, 'b/bias:0': BIAS_B };
    const own = trainable ? { ...a, ...trained, ...b, ...fixed } : { ...a, ...trained, ...fixed, ...b };
    const { results } = await predict('model.h5', { 'model.h5': await legacyH5(config, { x: {}, inner: own, last }) });
    const normalised = dense(rowsOf(X), KERNEL_A, BIAS_A).map((row) =>
      row.map((value, i) => ((value - mean.values[i]!) / Math.sqrt(variance.values[i]! + 0.001)) * gamma.values[i]! + beta.values[i]!),
    );
    expectRows(results.get('last'), dense(dense(normalised, KERNEL_B, BIAS_B), KERNEL_C, BIAS_C));
  });
});

const chain = () =>
  functional([input('x'), denseLayer('a', 4, at('x')), denseLayer('b', 4, at('a')), denseLayer('c', 2, at('b'))], [['x', 0, 0]], [['c', 0, 0]]);

test('layers that bear other names in the file are taken in its order', async () => {
  const weights = {
    x1: {},
    dense_7: { 'dense_7/kernel:0': KERNEL_A, 'dense_7/bias:0': BIAS_A },
    dense_8: { 'dense_8/kernel:0': KERNEL_B, 'dense_8/bias:0': BIAS_B },
    dense_9: { 'dense_9/kernel:0': KERNEL_C, 'dense_9/bias:0': BIAS_C },
  };
  const { results } = await predict('model.h5', { 'model.h5': await legacyH5(chain(), weights) });
  expectRows(results.get('c'), expected());
});

test('names of layers may have slashes', async () => {
  const layers = [input('x/in'), denseLayer('block/a', 4, at('x/in')), denseLayer('block/b', 4, at('block/a')), denseLayer('block', 2, at('block/b'))];
  const weights = {
    'x/in': {},
    'block/a': { 'block/a/kernel:0': KERNEL_A, 'block/a/bias:0': BIAS_A },
    'block/b': { 'block/b/kernel:0': KERNEL_B, 'block/b/bias:0': BIAS_B },
    block: { 'block/kernel:0': KERNEL_C, 'block/bias:0': BIAS_C },
  };
  const { results } = await predict('model.h5', { 'model.h5': await legacyH5(functional(layers, [['x/in', 0, 0]], [['block', 0, 0]]), weights) });
  expectRows(results.get('block'), expected());
});

describe('an archive', () => {
  const variables = [
    [KERNEL_A, BIAS_A],
    [KERNEL_B, BIAS_B],
    [KERNEL_C, BIAS_C],
  ];

  test.each([
    ['as Keras saves it', (i: number) => `layers/dense${i === 0 ? '' : `_${i}`}`],
    ['saved on Windows', (i: number) => `layers\\dense${i === 0 ? '' : `_${i}`}`],
    ['of tf.keras 2.12', (i: number) => `_layer_checkpoint_dependencies/dense${i === 0 ? '' : `_${i}`}`],
  ])('%s', async (_, path) => {
    const tree = Object.fromEntries(variables.map((own, i) => [path(i), own]));
    const { results } = await predict('model.keras', { 'model.keras': await kerasArchive(chain(), tree) });
    expectRows(results.get('c'), expected());
  });

  test('whose weights lie where those of an HDF5 file with a user block would', async () => {
    const tree = Object.fromEntries(variables.map((own, i) => [`layers/dense${i === 0 ? '' : `_${i}`}`, own]));
    const members = unzipSync(await kerasArchive(chain(), tree));
    const stored = (pad: string) => zipSync({ 'metadata.json': strToU8(`{"keras_version":"3.5.0","pad":"${pad}"}`), ...without(members) }, { level: 0 });
    const without = ({ 'metadata.json': _, ...others }: typeof members) => others;
    const place = Buffer.from(stored('')).indexOf('\x89HDF', 0, 'latin1');
    const archive = stored('.'.repeat(4096 - place));
    expect(Buffer.from(archive).indexOf('\x89HDF', 0, 'latin1')).toBe(4096);
    const { results } = await predict('model.keras', { 'model.keras': archive });
    expectRows(results.get('c'), expected());
  });

  test('of layers that were trained by low ranks has these in its kernels', async () => {
    const { config, ...rest } = chain();
    const ranked = config.layers.map((layer) =>
      layer.class_name === 'Dense' ? { ...layer, config: { ...layer.config, lora_rank: 4, lora_alpha: 8 } } : layer,
    );
    const tree = Object.fromEntries(variables.map((own, i) => [`layers/dense${i === 0 ? '' : `_${i}`}`, own]));
    const { results } = await predict('model.keras', { 'model.keras': await kerasArchive({ ...rest, config: { ...config, layers: ranked } }, tree) });
    expectRows(results.get('c'), expected());
  });

  test('of a compiled model has what its optimiser and its metrics count, also of models within it', async () => {
    const counted = [{ shape: [], values: [3] }];
    const training = { 'metrics/mean': counted, 'metrics/mean_metric_wrapper': counted, optimizer: counted };
    const tree = { 'layers/dense': [KERNEL_A, BIAS_A], 'layers/dense_1': [KERNEL_B, BIAS_B], 'layers/dense_2': [KERNEL_C, BIAS_C], ...training };
    const { results } = await predict('model.keras', { 'model.keras': await kerasArchive(chain(), tree) });
    expectRows(results.get('c'), expected());
    const inner = Object.fromEntries(Object.entries(tree).map(([path, own]) => [`layers/functional/${path}`, own]));
    const nested = functional(
      [input('y'), { class_name: 'Functional', name: 'm', config: chain().config, inbound: [[at('y')]] }],
      [['y', 0, 0]],
      [['m', 1, 0]],
    );
    const within = await predict('model.keras', { 'model.keras': await kerasArchive(nested, { ...inner, ...training }) });
    expectRows([...within.results.values()][0], expected());
  });

  test('of a class of its own that is wired as a functional model is read, and it is told', async () => {
    const tree = Object.fromEntries(variables.map((own, i) => [`layers/dense${i === 0 ? '' : `_${i}`}`, own]));
    const { results, warnings } = await predict('model.keras', { 'model.keras': await kerasArchive({ ...chain(), class_name: 'WithOwnTraining' }, tree) });
    expectRows(results.get('c'), expected());
    expect(warnings).toContain('"WithOwnTraining"');
    const error = await conversionError(predict('model.keras', { 'model.keras': await kerasArchive({ class_name: 'Mine', config: { units: 3 } }, tree) }));
    expect(error.message).toContain('wiring is Python code');
  });

  test("that bears the name of one of Keras's classes and is someone's own is told, and a layer that does so is refused", async () => {
    const foreign = { module: null, registered_name: 'Sequential' };
    const tree = { 'layers/dense': [KERNEL_A, BIAS_A] };
    const plain = sequential([null, 3], [['Dense', { units: 4, activation: 'tanh' }]]);
    const { results, warnings } = await predict('model.keras', { 'model.keras': await kerasArchive({ ...plain, ...foreign }, tree) });
    expectRows([...results.values()][0], dense(rowsOf(X), KERNEL_A, BIAS_A));
    expect(warnings).toContain('a class of its own ("Sequential")');
    expect((await predict('model.keras', { 'model.keras': await kerasArchive(plain, tree) })).warnings).not.toContain('of its own');
    // Without a call of super().get_config() it says as little as an operation does.
    for (const config of [{ units: 4, trainable: true }, {}]) {
      const layer = { class_name: 'Dense', name: 'd', config: { name: 'd', ...config }, inbound: [[at('x')]], module: null, registered_name: 'Dense' };
      const file = await kerasArchive(functional([input('x'), layer], [['x', 0, 0]], [['d', 0, 0]]), tree);
      const error = await conversionError(predict('model.keras', { 'model.keras': file }));
      expect(error.message).toContain("Dense (of someone's own)");
    }
  });

  test('keeps states of random generators, which are no weights', async () => {
    const config = sequential(
      [null, 3],
      [
        ['Dense', { units: 4, activation: 'tanh' }],
        ['Dropout', { rate: 0.5 }],
      ],
    );
    const tree = { 'layers/dense': [KERNEL_A, BIAS_A], 'layers/dropout/seed_generator': [{ shape: [2], values: [1, 2] }] };
    const { results, warnings } = await predict('model.keras', { 'model.keras': await kerasArchive(config, tree) });
    expectRows([...results.values()][0], dense(rowsOf(X), KERNEL_A, BIAS_A));
    expect(warnings).toContain('Dropout acts in training only');
  });

  test('with a layer that two models share and whose weights are saved once, as Keras cannot load it, says so', async () => {
    const part = (name: string) => functional([input('i'), denseLayer('tower', 4, at('i'))], [['i', 0, 0]], [['tower', 0, 0]], name);
    const config = {
      class_name: 'Functional',
      config: {
        name: 'both',
        layers: [
          { class_name: 'InputLayer', name: 'x', config: { name: 'x', batch_input_shape: [null, 3], dtype: 'float32' }, inbound_nodes: [] },
          { ...part('one'), name: 'one', inbound_nodes: [[at('x')]] },
          { ...part('two'), name: 'two', inbound_nodes: [[at('x')]] },
        ],
        input_layers: [['x', 0, 0]],
        output_layers: [
          ['one', 1, 0],
          ['two', 1, 0],
        ],
      },
    };
    const file = await kerasArchive(config, { 'layers/functional/layers/dense': [KERNEL_A, BIAS_A] });
    const error = await predict('model.keras', { 'model.keras': file }).catch((thrown: unknown) => thrown);
    expect(isModelError(error) && [error.kind, error.message]).toEqual(['malformed', expect.stringContaining('shared between models')]);
  });
});

const Y: Run = { shape: [2, 3], data: noise(6, 6) };
const headOnly = { x: {}, y: {}, head: { 'head/kernel:0': KERNEL_A, 'head/bias:0': BIAS_A } };

describe('outputs', () => {
  const config = (outputs: unknown) =>
    functional(
      [input('x'), input('y'), { ...denseLayer('head', 4, null), inbound: [[at('x')], [at('y')]] }],
      [
        ['x', 0, 0],
        ['y', 0, 0],
      ],
      outputs as unknown[],
    );

  test('of a layer that is called twice have names of their own, in order, and it is told', async () => {
    const outputs = [
      ['head', 0, 0],
      ['head', 1, 0],
    ];
    const { results, warnings, map } = await predict('model.h5', { 'model.h5': await legacyH5(config(outputs), headOnly) }, [X, Y]);
    expect(map.outputs.map(({ name }) => name)).toEqual(['head', 'head_1']);
    expectRows(results.get('head'), dense(rowsOf(X), KERNEL_A, BIAS_A));
    expectRows(results.get('head_1'), dense(rowsOf(Y), KERNEL_A, BIAS_A));
    expect(warnings).toContain('"head_1"');
  });

  test('in lists within lists, of which one is missing, are taken in order', async () => {
    const outputs = [
      ['head', 1, 0],
      [[['head', 0, 0]], null],
    ];
    const { results } = await predict('model.h5', { 'model.h5': await legacyH5(config(outputs), headOnly) }, [X, Y]);
    expectRows(results.get('head'), dense(rowsOf(Y), KERNEL_A, BIAS_A));
    expectRows(results.get('head_1'), dense(rowsOf(X), KERNEL_A, BIAS_A));
  });

  test('in a dictionary have their keys for names, though these be those of other layers', async () => {
    const layers = [input('x'), ...['a', 'b'].map((name) => ({ ...denseLayer(name, 4, null), inbound: [at('x')] }))];
    const crosswise = functional(layers, [['x', 0, 0]], { b: ['a', 0, 0], a: ['b', 0, 0] } as unknown as unknown[]);
    const own = { x: {}, a: { 'a/kernel:0': KERNEL_A, 'a/bias:0': BIAS_A }, b: { 'b/kernel:0': KERNEL_A, 'b/bias:0': BIAS_B } };
    const { results, map } = await predict('model.h5', { 'model.h5': await legacyH5(crosswise, own) }, [X]);
    expect(map.outputs.map(({ name }) => name)).toEqual(['a', 'b']);
    expectRows(results.get('b'), dense(rowsOf(X), KERNEL_A, BIAS_A));
    expectRows(results.get('a'), dense(rowsOf(X), KERNEL_A, BIAS_B));
  });

  test('that lie under one key have names of their own', async () => {
    const outputs = {
      both: [
        ['head', 1, 0],
        ['head', 0, 0],
      ],
    };
    const { map, warnings } = await predict('model.h5', { 'model.h5': await legacyH5(config(outputs), headOnly) }, [X, Y]);
    expect(map.outputs.map(({ name }) => name)).toEqual(['both', 'both_1']);
    expect(warnings).toContain('"both_1"');
  });
});

describe('inputs', () => {
  test('in a dictionary have their keys for names, which may be crosswise those of the layers', async () => {
    const inputs = { y: ['x', 0, 0], x: ['y', 0, 0] };
    const layers = [input('x'), input('y'), { ...denseLayer('head', 4, null), inbound: [[at('x')]] }];
    const crosswise = functional(layers, inputs as unknown as unknown[], [['head', 0, 0]]);
    const { results, map } = await predict('model.h5', { 'model.h5': await legacyH5(crosswise, headOnly) }, [X, Y]);
    expect(map.inputs.map(({ name }) => name)).toEqual(['x', 'y']);
    // The key y is fed to the layer x.
    expectRows(results.get('head'), dense(rowsOf(Y), KERNEL_A, BIAS_A));
  });
});

describe('arguments of a call', () => {
  const keras3 = (kwargs: object) => ({
    class_name: 'Functional',
    config: {
      name: 'f',
      layers: [
        { class_name: 'InputLayer', name: 'x', config: { name: 'x', batch_shape: [null, 3], dtype: 'float32' }, inbound_nodes: [] },
        {
          class_name: 'Dense',
          name: 'a',
          config: { name: 'a', units: 4, activation: 'tanh' },
          inbound_nodes: [{ args: [{ class_name: '__keras_tensor__', config: { shape: [null, 3], keras_history: ['x', 0, 0] } }], kwargs }],
        },
      ],
      input_layers: ['x', 0, 0],
      output_layers: ['a', 0, 0],
    },
  });
  const tree = { 'layers/dense': [KERNEL_A, BIAS_A] };

  test.each([{ mask: [null, null] }, { mask: null, training: false }, { training: null }, { training: true }])('%j change nothing', async (kwargs) => {
    const { results } = await predict('model.keras', { 'model.keras': await kerasArchive(keras3(kwargs), tree) });
    expectRows(results.get('a'), dense(rowsOf(X), KERNEL_A, BIAS_A));
  });

  test('as in training are told, which `predict` of Keras 3 overrules', async () => {
    const { warnings } = await predict('model.keras', { 'model.keras': await kerasArchive(keras3({ training: true }), tree) });
    expect(warnings).toContain('training=true');
  });

  test.each([
    // Which `predict` does not overrule before Keras 3.
    [{ training: true }, 'training=true', '2.15.0'],
    [{ planted: 3 }, 'planted=3', '3.5.0'],
    [{ mask: { class_name: '__keras_tensor__', config: { keras_history: ['x', 0, 0] } } }, 'mask=', '3.5.0'],
  ])('%j are declined', async (kwargs, said, version) => {
    const error = await predict('model.keras', { 'model.keras': await kerasArchive(keras3(kwargs), tree, version) }).catch((thrown: unknown) => thrown);
    expect(isModelError(error) && [error.kind, error.message]).toEqual(['unsupported', expect.stringContaining(said)]);
  });
});

test('infinities stand in the configuration as Python writes them', async () => {
  const config = JSON.stringify(
    sequential(
      [null, 3],
      [
        ['Dense', { units: 4, activation: 'tanh' }],
        ['ReLU', { max_value: 'HERE' }],
      ],
    ),
  ).replace('"HERE"', 'Infinity');
  const file = await legacyH5({}, { input_1: {}, dense: { 'dense/kernel:0': KERNEL_A, 'dense/bias:0': BIAS_A } }, { model_config: config });
  const { results } = await predict('model.h5', { 'model.h5': file });
  expectRows(
    [...results.values()][0],
    dense(rowsOf(X), KERNEL_A, BIAS_A).map((row) => row.map((value) => Math.max(value, 0))),
  );
});

test('a model under a mixed policy is translated, and told to be more exact than Keras', async () => {
  const config = sequential([null, 3], [['Dense', { units: 4, activation: 'tanh', dtype: { class_name: 'Policy', config: { name: 'mixed_float16' } } }]]);
  const file = await legacyH5(config, { input_1: {}, dense: { 'dense/kernel:0': KERNEL_A, 'dense/bias:0': BIAS_A } });
  const { results, warnings, map } = await predict('model.h5', { 'model.h5': file });
  expectRows([...results.values()][0], dense(rowsOf(X), KERNEL_A, BIAS_A));
  expect(warnings).toContain('1 layer has a policy by which Keras computes in float16');
  expect(map.arithmetic).toBe('float16');
});

test('weights of a TensorFlow.js model may bear the names of enclosing models', async () => {
  const weights = { 'sequential/dense/kernel': KERNEL_A, 'sequential/dense/bias': BIAS_A };
  const specs = Object.entries(weights).map(([name, { shape }]) => ({ name, shape, dtype: 'float32' }));
  const manifest = [{ paths: ['shard.bin'], weights: specs }];
  const topology = { model_config: sequential([null, 3], [['Dense', { units: 4, activation: 'tanh' }]]), keras_version: '3.5.0' };
  const shard = Float32Array.from(Object.values(weights).flatMap(({ values }) => [...(values as Float32Array)]));
  const { results } = await predict('model.json', {
    'model.json': new TextEncoder().encode(JSON.stringify({ format: 'layers-model', modelTopology: topology, weightsManifest: manifest })),
    'shard.bin': new Uint8Array(shard.buffer),
  });
  expectRows([...results.values()][0], dense(rowsOf(X), KERNEL_A, BIAS_A));
});

describe('weights that Keras 3 cut into several files', () => {
  const index = (map: object) => new TextEncoder().encode(JSON.stringify({ metadata: { total_size: 1 }, weight_map: map }, null, 4));
  const files = async () => ({
    'net.weights.json': index({
      '/layers/dense/vars': 'net_00000.weights.h5',
      '/layers/dense_1/vars': 'net_00000.weights.h5',
      '/layers/dense_2/vars': 'net_00001.weights.h5',
    }),
    'net_00000.weights.h5': await weightTree({ 'layers/dense': [KERNEL_A, BIAS_A], 'layers/dense_1': [KERNEL_B] }),
    // The second layer ends in the second file.
    'net_00001.weights.h5': await weightTree({ 'layers/dense_1': [BIAS_B], 'layers/dense_2': [KERNEL_C, BIAS_C] }, false),
    'net.json': new TextEncoder().encode(JSON.stringify(chain())),
  });

  test('are read by their index', async () => {
    const { results } = await predict('net.weights.json', await files());
    expectRows(results.get('c'), dense(dense(dense(rowsOf(X), KERNEL_A, BIAS_A), KERNEL_B, BIAS_B), KERNEL_C, BIAS_C));
  });

  test('are no whole model one by one, and missing ones are named', async () => {
    const all = await files();
    const part = await openModel(memoryFileSet(all, 'net_00001.weights.h5'));
    expect(part.warnings.map(({ message }) => message).join()).toMatch(/this is part 2 of several/);
    const { 'net_00001.weights.h5': _, ...rest } = all;
    await expect(openModel(memoryFileSet(rest, 'net.weights.json'))).rejects.toMatchObject({ message: expect.stringMatching(/net_00001\.weights\.h5/) });
  });
});

describe('A model that is called with a dictionary', () => {
  const inner = (inputs: unknown) => ({
    class_name: 'Functional',
    name: 'inner',
    config: {
      name: 'inner',
      layers: [input('a'), input('b')]
        .map((layer) => ({ ...layer, config: { name: layer.name, ...layer.config }, inbound_nodes: [] }))
        .concat([{ class_name: 'Subtract', name: 'less', config: { name: 'less' } as never, inbound_nodes: [[at('a'), at('b')]] as never }]),
      input_layers: inputs,
      output_layers: [['less', 0, 0]],
    },
  });
  const difference = async (inputs: unknown, call: object) => {
    const layers = [input('x'), input('y'), { ...inner(inputs), inbound: [call] }];
    const ones: Run = { shape: [2, 3], data: new Float32Array(6).fill(1) };
    const file = await legacyH5(
      functional(
        layers,
        [
          ['x', 0, 0],
          ['y', 0, 0],
        ],
        [['inner', 1, 0]],
      ),
    );
    const { results } = await predict('model.h5', { 'model.h5': file }, [X, ones]);
    return [...results.values()][0]!.data[0]! - X.data[0]!;
  };

  test.each<[string, unknown, object, number]>([
    [
      'by the names of its inputs',
      [
        ['b', 0, 0],
        ['a', 0, 0],
      ],
      { a: at('x'), b: at('y') },
      -1,
    ],
    ['by keys of its own', { b: ['a', 0, 0], a: ['b', 0, 0] }, { b: at('x'), a: at('y') }, -1],
  ])('reads it %s, as tf.keras saves it', async (_, inputs, call, expected) => {
    expect(await difference(inputs, call)).toBeCloseTo(expected, 5);
  });

  test('says which keys it takes', async () => {
    const error = await conversionError(
      difference(
        [
          ['b', 0, 0],
          ['a', 0, 0],
        ],
        { a: at('x'), c: at('y') },
      ),
    );
    expect(error.message).toContain('the model is called with "a", "c", but takes "b", "a"');
  });
});
