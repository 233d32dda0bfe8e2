/** Operations that models call as functions, in every spelling, against what they compute. */
import { describe, expect, test } from 'vitest';
import { array, inputLayer, keras, tensor, tensorflow } from '../keras-calls.js';
import { functional, legacyH5, weight } from '../keras-files.js';
import { arrayOf, at, conversionError, difference, predictFile, random } from '../keras-run.js';
import type { Run } from '../run-onnx.js';

const X = random([2, 3, 4, 5], 1);
const Y = random([2, 3, 4, 5], 2);
const V = random([2, 5], 4);

function expectClose(actual: Run, expected: Run, tolerance = 3e-6) {
  const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 1);
  expect(difference(actual, expected) / scale).toBeLessThan(tolerance);
}

const each = (change: (x: number, y: number, channel: number) => number): Run => arrayOf(X.shape, (...i) => change(at(X, ...i), at(Y, ...i), i[3]!));
const channels = [0.5, -1, 2, 3, -0.25];

describe('arithmetic', () => {
  const cases: readonly [string, string, unknown, (x: number, y: number, c: number) => number][] = [
    ['math.add', 'Add', 2.5, (x) => x + 2.5],
    ['math.subtract', 'Subtract', 2.5, (x) => x - 2.5],
    ['math.multiply', 'Multiply', channels, (x, _, c) => x * channels[c]!],
    ['math.truediv', 'TrueDivide', channels, (x, _, c) => x / channels[c]!],
    ['math.divide', 'Divide', [[[channels]]], (x, _, c) => x / channels[c]!],
    ['math.pow', 'Power', 2, (x) => x * x],
    ['math.maximum', 'Maximum', 0.25, (x) => Math.max(x, 0.25)],
    ['math.minimum', 'Minimum', 0.25, (x) => Math.min(x, 0.25)],
  ];

  test.each(cases)('tf.%s and keras %s with numbers', async (tf, k3, numbers, formula) => {
    expectClose(await tensorflow(tf, { y: numbers, name: null }, [X]), each(formula));
    expectClose((await keras(k3, [tensor('x'), Array.isArray(numbers) ? array(numbers) : numbers], [X]))[0]!, each(formula));
  });

  test.each<[string, string, (x: number, y: number) => number]>([
    ['__operators__.add', 'Add', (x, y) => x + y],
    ['math.subtract', 'Subtract', (x, y) => x - y],
    ['math.multiply', 'Multiply', (x, y) => x * y],
    ['math.maximum', 'Maximum', (x, y) => Math.max(x, y)],
  ])('tf.%s and keras %s of two values', async (tf, k3, formula) => {
    expectClose(await tensorflow(tf, { y: ['y', 0, 0] }, [X, Y]), each(formula));
    expectClose((await keras(k3, [tensor('x'), tensor('y')], [X, Y]))[0]!, each(formula));
  });

  test('aligns values of different ranks at their last axes, which the layer Add does not', async () => {
    const [made] = await keras('Add', [tensor('x'), tensor('y')], [random([2, 2, 5], 3), V]);
    const expected = arrayOf([2, 2, 5], (n, i, c) => at(random([2, 2, 5], 3), n, i, c) + at(V, i, c));
    expectClose(made!, expected);
  });

  test.each<[string, (x: number) => number]>([
    ['math.floordiv', (x) => Math.floor(2 / x)],
    ['math.greater', (x) => Number(2 > x)],
    ['math.pow', (x) => 2 ** x],
    ['math.maximum', (x) => Math.max(2, x)],
  ])('tf.%s takes a number before a picture', async (name, formula) => {
    const pool = { pool_size: [1, 1], strides: [1, 1], padding: 'valid', data_format: 'channels_last' };
    const layers = [
      inputLayer('x', X),
      { class_name: 'MaxPooling2D', name: 'pool', config: { name: 'pool', trainable: true, dtype: 'float32', ...pool }, inbound: [['x', 0, 0, {}]] },
      {
        class_name: 'TFOpLambda',
        name: 'op',
        config: { trainable: true, dtype: 'float32', function: name },
        inbound: [['_CONSTANT_VALUE', -1, 2, { y: ['pool', 0, 0] }]],
      },
    ];
    const bytes = await legacyH5(functional(layers, [['x', 0, 0]], [['op', 0, 0]]));
    expectClose((await predictFile('model.h5', bytes, [X])).results.get('op')!, each(formula));
  });

  test('takes numbers before the value', async () => {
    expectClose(
      await tensorflow('math.subtract', { y: ['x', 0, 0], name: null }, [X], { first: ['_CONSTANT_VALUE', -1, 1] }),
      each((x) => 1 - x),
    );
    expectClose(
      (await keras('TrueDivide', [2, tensor('x')], [X]))[0]!,
      each((x) => 2 / x),
      1e-5,
    );
    expectClose(
      (await keras('Subtract', [array(channels), tensor('x')], [X]))[0]!,
      each((x, _, c) => channels[c]! - x),
    );
  });

  test('on integers, which may wrap around, is declined', async () => {
    const layers = [inputLayer('x', V, 'uint8'), { class_name: 'TFOpLambda', name: 'op', config: { function: 'math.add' }, inbound: [['x', 0, 0, { y: 3 }]] }];
    const error = await conversionError(predictFile('model.h5', await legacyH5(functional(layers, [['x', 0, 0]], [['op', 0, 0]])), [V]));
    expect([error.kind, error.message]).toEqual(['unsupported', expect.stringContaining('integers')]);
  });
});

test.each<[string, string, (x: number) => number, object?]>([
  ['math.negative', 'Negative', (x) => -x],
  ['math.abs', 'Absolute', Math.abs],
  ['math.exp', 'Exp', Math.exp],
  ['math.tanh', 'Tanh', Math.tanh],
  ['math.sigmoid', 'Sigmoid', (x) => 1 / (1 + Math.exp(-x))],
  ['math.square', 'Square', (x) => x * x],
])('tf.%s and keras %s', async (tf, k3, formula) => {
  expectClose(await tensorflow(tf, { name: null }, [X]), each(formula));
  expectClose((await keras(k3, [tensor('x')], [X]))[0]!, each(formula));
});

test.each<[string, object, (x: number) => number]>([
  ['nn.relu', {}, (x) => Math.max(x, 0)],
  ['nn.relu6', {}, (x) => Math.min(Math.max(x, 0), 6)],
  ['nn.leaky_relu', { alpha: 0.3 }, (x) => (x < 0 ? 0.3 * x : x)],
  ['nn.silu', { beta: 1.0 }, (x) => x / (1 + Math.exp(-x))],
  ['clip_by_value', { clip_value_min: -0.5, clip_value_max: 1 }, (x) => Math.min(1, Math.max(-0.5, x))],
  ['cast', { dtype: 'float32' }, (x) => x],
  ['identity', {}, (x) => x],
])('tf.%s', async (fn, kwargs, formula) => {
  expectClose(await tensorflow(fn, kwargs, [X]), each(formula));
});

test('gelu by its tangent is the default of the operation, not of the activation', async () => {
  const approximate = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
  expectClose((await keras('Gelu', [tensor('x')], [X]))[0]!, each(approximate));
});

test('keras.activations.relu of Keras 3, with every setting', async () => {
  const x = random([3, 5], 8, 4);
  const [actual] = await keras('ReLU', [tensor('x')], [x], {
    config: { negative_slope: 0.1, max_value: 3, threshold: 0.5 },
    module: 'keras.src.activations.activations',
  });
  const formula = (v: number) => (v > 0.5 ? Math.min(v, 3) : 0.1 * (v - 0.5));
  expect(
    difference(
      actual!,
      arrayOf([3, 5], (...i) => formula(at(x, ...i))),
    ),
  ).toBeLessThan(1e-5);
});

describe('indices', () => {
  const all = { start: null, stop: null, step: null };
  const rest = { class_name: '__ellipsis__' };
  const slice = (start: number | null, stop: number | null, step: number | null = null) => ({ class_name: '__slice__', config: { start, stop, step } });

  test.each<[string, unknown[], Run]>([
    ['one of an axis', [all, 1], arrayOf([2, 4, 5], (n, w, c) => at(X, n, 1, w, c))],
    ['the last channel', [rest, -1], arrayOf([2, 3, 4], (n, h, w) => at(X, n, h, w, 4))],
    ['a range', [all, all, { start: 1, stop: 3, step: null }], arrayOf([2, 3, 2, 5], (n, h, w, c) => at(X, n, h, w + 1, c))],
    ['a range from the end', [all, { start: -2, stop: null, step: 1 }], arrayOf([2, 2, 4, 5], (n, h, w, c) => at(X, n, h + 1, w, c))],
    ['channels reversed', [rest, { start: null, stop: null, step: -1 }], arrayOf(X.shape, (n, h, w, c) => at(X, n, h, w, 4 - c))],
    ['a new axis', [all, null, all], arrayOf([2, 1, 3, 4, 5], (n, _, h, w, c) => at(X, n, h, w, c))],
    ['one, and a new axis', [all, 0, null, rest], arrayOf([2, 1, 4, 5], (n, _, w, c) => at(X, n, 0, w, c))],
  ])('%s', async (_, slice_spec, expected) => {
    expectClose(await tensorflow('__operators__.getitem', { slice_spec }, [X], { className: 'SlicingOpLambda' }), expected);
  });

  test('of Keras 3', async () => {
    const [made] = await keras('GetItem', [tensor('x'), [slice(null, null), slice(1, 3), { class_name: '__ellipsis__', config: {} }, 2]], [X]);
    expectClose(
      made!,
      arrayOf([2, 2, 4], (n, h, w) => at(X, n, h + 1, w, 2)),
    );
  });

  test.each([
    [[all, { start: null, stop: 1, step: -2 }], 'steps of -2'],
    [[0], 'batch'],
    [['planted'], 'planted'],
  ])('%j are declined', async (slice_spec, said) => {
    const error = await conversionError(tensorflow('__operators__.getitem', { slice_spec }, [X], { className: 'SlicingOpLambda' }));
    expect([error.kind, error.message]).toEqual(['unsupported', expect.stringContaining(said)]);
  });
});

describe('arrangement', () => {
  test('reductions, along channels and pictures, which go or stay', async () => {
    expectClose(
      await tensorflow('math.reduce_mean', { axis: [1, 2], keepdims: true }, [X]),
      arrayOf([2, 1, 1, 5], (n, _, __, c) => [0, 1, 2].flatMap((h) => [0, 1, 2, 3].map((w) => at(X, n, h, w, c))).reduce((a, b) => a + b) / 12),
    );
    expectClose(
      await tensorflow('math.reduce_max', { axis: -1 }, [X]),
      arrayOf([2, 3, 4], (n, h, w) => Math.max(...[0, 1, 2, 3, 4].map((c) => at(X, n, h, w, c)))),
    );
    expectClose(
      (await keras('Sum', [tensor('x')], [X], { config: { axis: [2], keepdims: false } }))[0]!,
      arrayOf([2, 3, 5], (n, h, c) => [0, 1, 2, 3].reduce((sum, w) => sum + at(X, n, h, w, c), 0)),
    );
  });

  test('a reduction over all axes, the batch included, is declined', async () => {
    expect((await conversionError(tensorflow('math.reduce_mean', {}, [X]))).kind).toBe('unsupported');
  });

  test('l2_normalize', async () => {
    const expected = arrayOf(X.shape, (n, h, w, c) => at(X, n, h, w, c) / Math.hypot(...[0, 1, 2, 3, 4].map((k) => at(X, n, h, w, k))));
    expectClose(await tensorflow('math.l2_normalize', { axis: -1 }, [X]), expected);
  });

  test('concat and stack of lists', async () => {
    const joined = arrayOf([2, 6, 4, 5], (n, h, w, c) => at(h < 3 ? X : Y, n, h % 3, w, c));
    const layers = [
      inputLayer('x', X),
      inputLayer('y', Y),
      {
        class_name: 'TFOpLambda',
        name: 'op',
        config: { function: 'concat' },
        inbound: [
          [
            ['x', 0, 0, { axis: 1 }],
            ['y', 0, 0, { axis: 1 }],
          ],
        ],
      },
    ];
    const bytes = await legacyH5(
      functional(
        layers,
        [
          ['x', 0, 0],
          ['y', 0, 0],
        ],
        [['op', 0, 0]],
      ),
    );
    expectClose((await predictFile('model.h5', bytes, [X, Y])).results.get('op')!, joined);
    expectClose((await keras('Concatenate', [[tensor('x'), tensor('y')]], [X, Y], { config: { axis: 1 } }))[0]!, joined);
    const stacked = await keras('Stack', [[tensor('x'), tensor('y')]], [X, Y], { config: { axis: 2 } });
    expectClose(
      stacked[0]!,
      arrayOf([2, 3, 2, 4, 5], (n, h, i, w, c) => at(i === 0 ? X : Y, n, h, w, c)),
    );
  });

  test('split gives all its parts', async () => {
    const parts = await keras('Split', [tensor('x'), [1, 3]], [X], { config: { axis: -1 }, outputs: 3 });
    expect(parts.map(({ shape }) => shape[3])).toEqual([1, 2, 2]);
    expectClose(
      parts[1]!,
      arrayOf([2, 3, 4, 2], (n, h, w, c) => at(X, n, h, w, c + 1)),
    );
  });

  test('reshape, transpose, expand_dims, squeeze, pad, flip', async () => {
    const flat = (n: number, i: number) => X.data[n * 60 + i]!;
    expectClose(
      await tensorflow('reshape', { shape: [-1, 12, 5] }, [X]),
      arrayOf([2, 12, 5], (n, i, c) => flat(n, i * 5 + c)),
    );
    expectClose(
      await tensorflow('transpose', { perm: [0, 3, 1, 2] }, [X]),
      arrayOf([2, 5, 3, 4], (n, c, h, w) => at(X, n, h, w, c)),
    );
    expectClose(
      await tensorflow('expand_dims', { axis: 1 }, [V]),
      arrayOf([2, 1, 5], (n, _, c) => at(V, n, c)),
    );
    const one = random([2, 1, 4, 1], 9);
    expectClose(
      await tensorflow('squeeze', { axis: [1] }, [one]),
      arrayOf([2, 4, 1], (n, w) => at(one, n, 0, w, 0)),
    );
    expectClose(
      (await keras('Squeeze', [tensor('x')], [one]))[0]!,
      arrayOf([2, 4], (n, w) => at(one, n, 0, w, 0)),
    );
    const padded = arrayOf([2, 5, 5, 5], (n, h, w, c) => (h < 2 || w >= 4 ? 7 : at(X, n, h - 2, w, c)));
    const paddings = [
      [0, 0],
      [2, 0],
      [0, 1],
      [0, 0],
    ];
    expectClose(await tensorflow('pad', { paddings, mode: 'CONSTANT', constant_values: 7 }, [X]), padded);
    expectClose(
      (await keras('Flip', [tensor('x')], [X], { config: { axis: 2 } }))[0]!,
      arrayOf(X.shape, (n, h, w, c) => at(X, n, h, 3 - w, c)),
    );
  });

  test('matmul', async () => {
    const [a, b] = [random([2, 3, 4], 5), random([2, 5, 4], 6)];
    const expected = arrayOf([2, 3, 5], (n, i, j) => [0, 1, 2, 3].reduce((sum, k) => sum + at(a, n, i, k) * at(b, n, j, k), 0));
    expectClose(await tensorflow('linalg.matmul', { b: ['y', 0, 0], transpose_b: true }, [a, b]), expected);
  });
});

test('a layer behind an operation works on what it made', async () => {
  const kernel = weight([1, 1, 5, 2], 8);
  const layers = [
    inputLayer('x', X),
    { class_name: 'TFOpLambda', name: 'op', config: { function: 'math.subtract' }, inbound: [['x', 0, 0, { y: channels, name: null }]] },
    { class_name: 'Conv2D', name: 'conv', config: { filters: 2, kernel_size: [1, 1], use_bias: false }, inbound: [[['op', 0, 0, {}]]] },
  ];
  const bytes = await legacyH5(functional(layers, [['x', 0, 0]], [['conv', 0, 0]]), { x: {}, op: {}, conv: { 'conv/kernel:0': kernel } });
  const expected = arrayOf([2, 3, 4, 2], (n, h, w, f) => channels.reduce((sum, shift, c) => sum + (at(X, n, h, w, c) - shift) * kernel.values[c * 2 + f]!, 0));
  expectClose((await predictFile('model.h5', bytes, [X])).results.get('conv')!, expected);
});

const reduced = (shape: readonly number[], pick: (values: readonly number[]) => number, values: (...index: number[]) => readonly number[]) =>
  arrayOf(shape, (...index) => pick(values(...index)));
const alongChannels = (n: number, h: number, w: number) => channels.map((_, c) => at(X, n, h, w, c));
const meanOf = (values: readonly number[]) => values.reduce((a, b) => a + b) / values.length;
const varianceOf = (values: readonly number[]) => meanOf(values.map((value) => (value - meanOf(values)) ** 2));

test.each<[string, string, (values: readonly number[]) => number]>([
  ['math.reduce_min', 'Min', (values) => Math.min(...values)],
  ['math.reduce_prod', 'Prod', (values) => values.reduce((a, b) => a * b)],
  ['math.reduce_logsumexp', 'Logsumexp', (values) => Math.log(values.reduce((sum, value) => sum + Math.exp(value), 0))],
  ['math.reduce_variance', 'Var', varianceOf],
  ['math.reduce_std', 'Std', (values) => Math.sqrt(varianceOf(values))],
])('tf.%s and keras %s', async (tf, k3, pick) => {
  const expected = reduced([2, 3, 4], pick, alongChannels);
  expectClose(await tensorflow(tf, { axis: -1, keepdims: false }, [X]), expected, 1e-5);
  expectClose((await keras(k3, [tensor('x')], [X], { config: { axis: [-1], keepdims: false } }))[0]!, expected, 1e-5);
});

test.each<[string, string, (x: number) => number, object?]>([
  ['math.sin', 'Sin', Math.sin],
  ['math.cos', 'Cos', Math.cos],
  ['math.tan', 'Tan', (x) => Math.min(Math.max(Math.tan(x), -1e9), 1e9)],
  ['math.atan', 'Arctan', Math.atan],
  ['math.sign', 'Sign', Math.sign],
  ['math.floor', 'Floor', Math.floor],
  ['math.ceil', 'Ceil', Math.ceil],
  ['math.expm1', 'Expm1', Math.expm1],
  ['math.round', 'Round', (x) => (Math.abs(x % 1) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x)), { decimals: 0 }],
])('tf.%s and keras %s of each element', async (tf, k3, formula, config = {}) => {
  expectClose(await tensorflow(tf, {}, [X]), each(formula), 1e-4);
  expectClose((await keras(k3, [tensor('x')], [X], { config }))[0]!, each(formula), 1e-4);
});

describe('elements in other places', () => {
  const tiled = arrayOf([2, 3, 8, 5], (n, h, w, c) => at(X, n, h, w % 4, c));
  const repeated = arrayOf([2, 3, 8, 5], (n, h, w, c) => at(X, n, h, Math.floor(w / 2), c));
  const chosen = arrayOf([2, 3, 4, 3], (n, h, w, c) => at(X, n, h, w, [4, 0, 4][c]!));

  test('tile, repeat, gather and take', async () => {
    expectClose(await tensorflow('tile', { multiples: [1, 1, 2, 1] }, [X]), tiled);
    expectClose((await keras('Tile', [tensor('x')], [X], { config: { repeats: [2, 1] } }))[0]!, tiled);
    expectClose(await tensorflow('repeat', { repeats: 2, axis: 2 }, [X]), repeated);
    expectClose((await keras('Repeat', [tensor('x')], [X], { config: { repeats: 2, axis: 2 } }))[0]!, repeated);
    expectClose(await tensorflow('gather', { indices: [4, 0, 4], axis: -1 }, [X]), chosen);
    expectClose((await keras('Take', [tensor('x')], [X], { kwargs: { indices: [-1, 0, 4], axis: 3 } }))[0]!, chosen);
    // As Keras writes NumPy's arrays.
    expectClose((await keras('Take', [tensor('x'), array([-1, 0, 4])], [X], { config: { axis: 3 } }))[0]!, chosen);
    expectClose(
      await tensorflow('gather', { indices: 1, axis: 1 }, [X]),
      arrayOf([2, 4, 5], (n, w, c) => at(X, n, 1, w, c)),
    );
  });

  test('slice, unstack, swapaxes and moveaxis', async () => {
    expectClose(
      await tensorflow('slice', { begin: [0, 1, 0, 2], size: [-1, 2, -1, 1] }, [X]),
      arrayOf([2, 2, 4, 1], (n, h, w, c) => at(X, n, h + 1, w, c + 2)),
    );
    const rows = await keras('Unstack', [tensor('x')], [X], { config: { num: 3, axis: 1 }, outputs: 3 });
    rows.forEach((row, h) => {
      expectClose(
        row,
        arrayOf([2, 4, 5], (n, w, c) => at(X, n, h, w, c)),
      );
    });
    expectClose(
      (await keras('Swapaxes', [tensor('x')], [X], { config: { axis1: 1, axis2: -1 } }))[0]!,
      arrayOf([2, 5, 4, 3], (n, c, w, h) => at(X, n, h, w, c)),
    );
    expectClose(
      (await keras('Moveaxis', [tensor('x')], [X], { config: { source: [-1], destination: [1] } }))[0]!,
      arrayOf([2, 5, 3, 4], (n, c, h, w) => at(X, n, h, w, c)),
    );
    expectClose(
      await tensorflow('compat.v1.transpose', { perm: [0, 3, 1, 2] }, [X]),
      arrayOf([2, 5, 3, 4], (n, c, h, w) => at(X, n, h, w, c)),
    );
  });

  test('depth_to_space and space_to_depth', async () => {
    const deep = random([2, 3, 2, 8], 9);
    const spread = arrayOf([2, 6, 4, 2], (n, h, w, c) => at(deep, n, Math.floor(h / 2), Math.floor(w / 2), ((h % 2) * 2 + (w % 2)) * 2 + c));
    expectClose(await tensorflow('nn.depth_to_space', { block_size: 2 }, [deep]), spread);
    expectClose(await tensorflow('nn.space_to_depth', { block_size: 2, data_format: 'NHWC' }, [spread]), deep);
  });

  test('image.resize', async () => {
    const doubled = arrayOf([2, 6, 8, 5], (n, h, w, c) => at(X, n, Math.floor(h / 2), Math.floor(w / 2), c));
    expectClose(await tensorflow('image.resize', { size: [6, 8], method: 'nearest' }, [X]), doubled);
    const settings = { size: [6, 8], interpolation: 'nearest', antialias: false, crop_to_aspect_ratio: false, fill_mode: 'constant', fill_value: 0 };
    expectClose((await keras('Resize', [tensor('x')], [X], { config: { ...settings, data_format: 'channels_last' } }))[0]!, doubled);
    for (const [fn, kwargs] of [
      ['image.resize', { size: [6, 8], method: 'planted' }],
      ['compat.v1.image.resize', { size: [6, 8] }],
    ] as const)
      expect((await conversionError(tensorflow(fn, kwargs, [X]))).kind).toBe('unsupported');
  });
});

test('a node of a TensorFlow graph that turns channels around, as tf.keras 2.0 to 2.3 writes x[..., ::-1]', async () => {
  const mask = (i: string) => ({ i });
  const attr = {
    ...{ T: { type: 'DT_FLOAT' }, Index: { type: 'DT_INT32' } },
    ...{ begin_mask: mask('2'), end_mask: mask('2'), ellipsis_mask: mask('1'), new_axis_mask: mask('0'), shrink_axis_mask: mask('0') },
  };
  const node = { name: 'strided_slice', op: 'StridedSlice', input: ['x', 'begin', 'end', 'strides'], attr };
  const config = { name: 'strided_slice', trainable: true, dtype: 'float32', node_def: node, constants: { 1: [0, 0], 2: [0, 0], 3: [1, -1] } };
  const layers = [inputLayer('x', X), { class_name: 'TensorFlowOpLayer', name: 'op', config, inbound: [[['x', 0, 0, {}]]] }];
  const bytes = await legacyH5(functional(layers, [['x', 0, 0]], [['op', 0, 0]]));
  expectClose(
    (await predictFile('model.h5', bytes, [X])).results.get('op')!,
    arrayOf(X.shape, (n, h, w, c) => at(X, n, h, w, 4 - c)),
  );
});

test('a node of a TensorFlow graph', async () => {
  const node = (op: string, constants: object, attr: object = {}) => ({
    class_name: 'TensorFlowOpLayer',
    name: `tf_op_layer_${op}`,
    config: { name: op, trainable: true, dtype: null, node_def: { name: op, op, input: ['x', 'c'], attr: { T: { type: 'DT_FLOAT' }, ...attr } }, constants },
  });
  const layers = [
    inputLayer('x', X),
    { ...node('Mul', { 1: channels }), inbound: [[['x', 0, 0, {}]]] },
    { ...node('Mean', { 1: [1, 2] }, { keep_dims: { b: true }, Tidx: { type: 'DT_INT32' } }), inbound: [[['tf_op_layer_Mul', 0, 0, {}]]] },
    { ...node('Reshape', { 1: [-1, 5] }, { Tshape: { type: 'DT_INT32' } }), inbound: [[['tf_op_layer_Mean', 0, 0, {}]]] },
  ];
  const bytes = await legacyH5(functional(layers, [['x', 0, 0]], [['tf_op_layer_Reshape', 0, 0]]));
  const expected = arrayOf(
    [2, 5],
    (n, c) => ([0, 1, 2].flatMap((h) => [0, 1, 2, 3].map((w) => at(X, n, h, w, c))).reduce((a, b) => a + b) / 12) * channels[c]!,
  );
  expectClose((await predictFile('model.h5', bytes, [X])).results.get('tf_op_layer_Reshape')!, expected);
});

test.each<[string, () => Promise<unknown>, string]>([
  ['an operation that is not known', () => tensorflow('math.planted', { axis: 1 }, [X]), 'tf.math.planted'],
  ['an argument that is not known', () => tensorflow('nn.relu', { planted: 3 }, [X]), 'planted=3'],
  ['an argument that would come from another layer', () => tensorflow('reshape', { shape: [['y', 0, 0], 5] }, [X, V]), 'shape'],
  ['an operation of someone else', () => keras('Gizmo', [tensor('x')], [X]), 'keras.ops.Gizmo'],
  ['a setting that is not known', () => keras('Relu', [tensor('x')], [X], { config: { planted: 3 } }), 'planted'],
  ['a cast to narrow integers', () => tensorflow('cast', { dtype: 'int8' }, [X]), 'int8'],
])('%s is declined by its name', async (_, convert, said) => {
  const error = await conversionError(convert());
  expect([error.kind, error.message]).toEqual(['unsupported', expect.stringContaining(said)]);
});

test('operations that say a dtype, where a file of Keras 3 tells no modules and has no layers beside them', async () => {
  const layers = [
    { class_name: 'InputLayer', name: 'x', config: { batch_shape: [null, ...X.shape.slice(1)], dtype: 'float32', name: 'x' }, inbound_nodes: [] },
    { class_name: 'Cumsum', name: 'op', config: { name: 'op', axis: 1, dtype: null }, inbound_nodes: [{ args: [tensor('x')], kwargs: {} }] },
  ];
  const config = { name: 'f', layers, input_layers: [['x', 0, 0]], output_layers: [['op', 0, 0]] };
  const bytes = await legacyH5({ class_name: 'Functional', config }, {}, { keras_version: '3.15.1' });
  const sums = arrayOf(X.shape, (n, h, w, c) => Array.from({ length: h + 1 }, (_, k) => at(X, n, k, w, c)).reduce((a, b) => a + b));
  expectClose((await predictFile('model.h5', bytes, [X])).results.get('op')!, sums);
});
