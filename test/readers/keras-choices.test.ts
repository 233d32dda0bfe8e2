/** Comparisons, choices, places, windows and arithmetic with shapes, called as functions. */
import { describe, expect, test } from 'vitest';
import { array, inputLayer, keras, tensor, tensorflow } from '../keras-calls.js';
import { range } from '../keras-cells.js';
import { functional, legacyH5 } from '../keras-files.js';
import { arrayOf, at, conversionError, difference, predictFile, random } from '../keras-run.js';
import type { Run } from '../run-onnx.js';

const X = random([2, 3, 4, 5], 1);
const Y = random([2, 3, 4, 5], 2);

function expectClose(actual: Run | undefined, expected: Run, tolerance = 3e-6) {
  const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 1);
  expect(difference(actual!, expected) / scale).toBeLessThan(tolerance);
}

const each = (change: (x: number, y: number) => number): Run => arrayOf(X.shape, (...i) => change(at(X, ...i), at(Y, ...i)));
const channels = [0.5, -1, 0, 1, -0.25];

describe('comparisons and choices', () => {
  test.each<[string, string, (x: number, y: number) => boolean]>([
    ['math.greater', 'Greater', (x, y) => x > y],
    ['__operators__.ge', 'GreaterEqual', (x, y) => x >= y],
    ['math.less', 'Less', (x, y) => x < y],
    ['math.less_equal', 'LessEqual', (x, y) => x <= y],
    ['math.equal', 'Equal', (x, y) => x === y],
    ['__operators__.ne', 'NotEqual', (x, y) => x !== y],
  ])('tf.%s and keras %s, of values and numbers', async (tf, k3, holds) => {
    expectClose(
      await tensorflow(tf, { y: ['y', 0, 0] }, [X, Y]),
      each((x, y) => Number(holds(x, y))),
    );
    expectClose(
      await tensorflow(tf, { y: 0.25 }, [X]),
      each((x) => Number(holds(x, 0.25))),
    );
    const expected = arrayOf(X.shape, (...i) => Number(holds(at(X, ...i), channels[i[3]!]!)));
    expectClose((await keras(k3, [tensor('x'), array(channels)], [X]))[0], expected);
  });

  test('where, of a comparison', async () => {
    const layers = [
      ...['x', 'y'].map((name) => inputLayer(name, X)),
      { class_name: 'TFOpLambda', name: 'holds', config: { function: 'math.greater' }, inbound: [['x', 0, 0, { y: 0.1 }]] },
      { class_name: 'TFOpLambda', name: 'no', config: { function: 'math.logical_not' }, inbound: [['holds', 0, 0, {}]] },
      { class_name: 'TFOpLambda', name: 'pick', config: { function: 'compat.v1.where_v2' }, inbound: [['no', 0, 0, { x: ['y', 0, 0], y: -1 }]] },
    ];
    const ends = ['x', 'y'].map((name) => [name, 0, 0]);
    const { results } = await predictFile('model.h5', await legacyH5(functional(layers, ends, [['pick', 0, 0]])), [X, Y]);
    expectClose(
      results.get('pick'),
      each((x, y) => (x > 0.1 ? -1 : y)),
    );
    expectClose(
      (await keras('Where', [tensor('x'), tensor('y'), 2], [X, Y]))[0],
      each((x, y) => (x === 0 ? 2 : y)),
    );
    const threshold = (await keras('Threshold', [tensor('x')], [X], { config: { threshold: 0.2, default_value: -3 } }))[0];
    expectClose(
      threshold,
      each((x) => (x > 0.2 ? x : -3)),
    );
  });

  test('places: argmax, one_hot, top_k, sort, argsort', async () => {
    const row = (n: number, h: number, w: number) => range(5).map((c) => at(X, n, h, w, c));
    const order = (n: number, h: number, w: number) => range(5).toSorted((a, b) => at(X, n, h, w, b) - at(X, n, h, w, a));
    expectClose(
      await tensorflow('math.argmax', { axis: -1, output_type: 'int64' }, [X]),
      arrayOf([2, 3, 4], (n, h, w) => order(n, h, w)[0]!),
    );
    const [values, places] = await keras('TopK', [tensor('x')], [X], { config: { k: 2, sorted: true }, outputs: 2 });
    expectClose(
      values,
      arrayOf([2, 3, 4, 2], (n, h, w, k) => row(n, h, w)[order(n, h, w)[k]!]!),
    );
    expectClose(
      places,
      arrayOf([2, 3, 4, 2], (n, h, w, k) => order(n, h, w)[k]!),
    );
    expectClose(
      await tensorflow('sort', { axis: -1, direction: 'ASCENDING' }, [X]),
      arrayOf(X.shape, (n, h, w, c) => row(n, h, w).toSorted((a, b) => a - b)[c]!),
    );
    const ids: Run = { shape: [2, 3], data: Float32Array.from([0, 2, 1, 3, 3, 0]) };
    expectClose(
      await tensorflow('one_hot', { depth: 4, on_value: 2, off_value: 0.5 }, [ids]),
      arrayOf([2, 3, 4], (n, t, k) => (at(ids, n, t) === k ? 2 : 0.5)),
    );
  });

  test('cumsum, roll, norm, floor division and rest', async () => {
    expectClose(
      await tensorflow('math.cumsum', { axis: 2, reverse: true }, [X]),
      arrayOf(X.shape, (n, h, w, c) => range(4).reduce((sum, i) => (i >= w ? sum + at(X, n, h, i, c) : sum), 0)),
    );
    expectClose(
      await tensorflow('roll', { shift: [1, -2], axis: [1, 3] }, [X]),
      arrayOf(X.shape, (n, h, w, c) => at(X, n, (h + 2) % 3, w, (c + 2) % 5)),
    );
    expectClose(
      await tensorflow('norm', { axis: -1, keepdims: true }, [X]),
      arrayOf([2, 3, 4, 1], (n, h, w) => Math.hypot(...range(5).map((c) => at(X, n, h, w, c)))),
    );
    const whole: Run = { shape: [1, 8], data: Float32Array.from([49, -49, 98, 48, -1, 0, 147, 50]) };
    expectClose(await tensorflow('math.floordiv', { y: 49 }, [whole]), { shape: [1, 8], data: whole.data.map((x) => Math.floor(x / 49)) });
    expectClose(await tensorflow('math.floormod', { y: 49 }, [whole]), { shape: [1, 8], data: whole.data.map((x) => ((x % 49) + 49) % 49) });
    expectClose(
      await tensorflow('cast', { dtype: 'int32' }, [X]),
      each((x) => Math.trunc(x)),
    );
  });

  test('steps of an index, and long axes turned around', async () => {
    const long = random([1, 100, 3], 4);
    expectClose(
      await tensorflow('reverse', { axis: [1] }, [long]),
      arrayOf(long.shape, (n, t, c) => at(long, n, 99 - t, c)),
    );
    const key = [
      { class_name: '__ellipsis__', config: {} },
      { class_name: '__slice__', config: { start: 1, stop: null, step: 3 } },
      { class_name: '__slice__', config: {} },
    ];
    expectClose(
      (await keras('GetItem', [tensor('x'), key], [long]))[0],
      arrayOf([1, 33, 3], (n, t, c) => at(long, n, 1 + 3 * t, c)),
    );
  });
});

describe('windows and products', () => {
  test('max_pool and avg_pool', async () => {
    const window = (n: number, h: number, w: number, c: number) => [0, 1].flatMap((i) => [0, 1].map((j) => at(X, n, 2 * h + i, 2 * w + j, c)));
    expectClose(
      await tensorflow('nn.max_pool2d', { ksize: 2, strides: [1, 2, 2, 1], padding: 'VALID' }, [X]),
      arrayOf([2, 1, 2, 5], (...i) => Math.max(...window(...(i as [number, number, number, number])))),
    );
    expectClose(
      (await keras('AveragePool', [tensor('x')], [X], { config: { pool_size: 2, strides: null, padding: 'valid', data_format: 'channels_last' } }))[0],
      arrayOf([2, 1, 2, 5], (...i) => window(...(i as [number, number, number, number])).reduce((a, b) => a + b) / 4),
    );
  });

  test('local_response_normalization sums squares', async () => {
    const settings = { depth_radius: 1, bias: 1.5, alpha: 0.3, beta: 0.75 };
    const expected = arrayOf(X.shape, (n, h, w, c) => {
      const energy = [c - 1, c, c + 1].reduce((sum, i) => (i >= 0 && i < 5 ? sum + at(X, n, h, w, i) ** 2 : sum), 0);
      return at(X, n, h, w, c) / (1.5 + 0.3 * energy) ** 0.75;
    });
    expectClose(await tensorflow('nn.local_response_normalization', settings, [X]), expected);
  });

  test('einsum', async () => {
    const expected = arrayOf([2, 3, 4, 4], (n, h, v, w) => range(5).reduce((sum, c) => sum + at(X, n, h, v, c) * at(Y, n, h, w, c), 0));
    expectClose((await keras('Einsum', [tensor('x'), tensor('y')], [X, Y], { config: { subscripts: 'nhvc,nhwc->nhvw' } }))[0], expected);
  });

  test('grey, mirrored, cut and standardised pictures', async () => {
    const picture = random([2, 4, 6, 3], 9);
    const grey = arrayOf([2, 4, 6, 1], (n, h, w) => [0.2989, 0.587, 0.114].reduce((sum, share, c) => sum + share * at(picture, n, h, w, c), 0));
    expectClose(await tensorflow('image.rgb_to_grayscale', {}, [picture]), grey);
    expectClose(
      await tensorflow('image.flip_left_right', {}, [picture]),
      arrayOf(picture.shape, (n, h, w, c) => at(picture, n, h, 5 - w, c)),
    );
    expectClose(
      await tensorflow('image.crop_to_bounding_box', { offset_height: 1, offset_width: 2, target_height: 2, target_width: 3 }, [picture]),
      arrayOf([2, 2, 3, 3], (n, h, w, c) => at(picture, n, h + 1, w + 2, c)),
    );
    const all = (n: number) => Array.from(picture.data.slice(72 * n, 72 * n + 72));
    const expected = arrayOf(picture.shape, (n, h, w, c) => {
      const mean = all(n).reduce((a, b) => a + b) / 72;
      return (at(picture, n, h, w, c) - mean) / Math.sqrt(all(n).reduce((sum, x) => sum + (x - mean) ** 2, 0) / 72);
    });
    expectClose(await tensorflow('image.per_image_standardization', {}, [picture]), expected);
  });
});

describe('arithmetic with shapes', () => {
  const op = (name: string, fn: string, first: string, kwargs: object = {}) => ({
    class_name: fn === '__operators__.getitem' ? 'SlicingOpLambda' : 'TFOpLambda',
    name,
    config: { name, trainable: true, dtype: 'float32', function: fn },
    inbound: [[first, 0, 0, kwargs]],
  });
  const layers = [
    inputLayer('x', X),
    op('shape', 'compat.v1.shape', 'x', { name: null }),
    op('batch', '__operators__.getitem', 'shape', { slice_spec: 0 }),
    op('height', '__operators__.getitem', 'shape', { slice_spec: 1 }),
    op('width', '__operators__.getitem', 'shape', { slice_spec: { start: 2, stop: 3, step: null } }),
    op('twice', 'math.multiply', 'height', { y: 8 }),
    op('rows', 'math.floordiv', 'twice', { y: 2 }),
  ];
  const predict = async (more: readonly object[]) => {
    const all = [...layers, ...more] as Parameters<typeof functional>[0];
    return predictFile('model.h5', await legacyH5(functional(all, [['x', 0, 0]], [['end', 0, 0]])), [X]);
  };
  const ref = (name: string) => [name, 0, 0];

  test('in the shape of a reshape', async () => {
    const { results, map } = await predict([op('end', 'reshape', 'x', { shape: [ref('batch'), ref('rows'), 5] })]);
    expectClose(results.get('end'), { shape: [2, 12, 5], data: X.data });
    expect(map.layers.map((layer) => layer.op).filter((one) => /Shape|Gather|Floor/.test(one))).toEqual([]);
  });

  test('in a list that was put together', async () => {
    const stacked = {
      class_name: 'TFOpLambda',
      name: 'list',
      config: { function: 'stack' },
      inbound: [
        [
          ['batch', 0, 0, { axis: 0 }],
          ['_CONSTANT_VALUE', -1, -1, { axis: 0 }],
          ['rows', 0, 0, { axis: 0 }],
        ],
      ],
    };
    expectClose((await predict([stacked, op('end', 'reshape', 'x', { shape: ref('list') })])).results.get('end'), { shape: [2, 5, 12], data: X.data });
  });

  test('as the size of a picture', async () => {
    const { results } = await predict([op('end', 'image.resize', 'x', { size: [ref('height'), ref('rows')], method: 'nearest' })]);
    expectClose(
      results.get('end'),
      arrayOf([2, 3, 12, 5], (n, h, w, c) => at(X, n, h, Math.floor(w / 3), c)),
    );
  });

  test('with a value, where the sizes are known', async () => {
    const { results } = await predict([op('end', 'math.add', 'x', { y: ref('rows') })]);
    expectClose(
      results.get('end'),
      each((x) => x + 12),
    );
  });

  test.each([
    ['math.add', { y: ref('batch') }, 'not known (N)'],
    ['math.greater', { y: ref('rows') }, 'numbers of a shape'],
  ])('where values are expected (%s) is declined', async (fn, kwargs, said) => {
    const error = await conversionError(predict([op('end', fn, 'x', kwargs)]));
    expect([error.kind, error.message]).toEqual(['unsupported', expect.stringContaining(said)]);
  });

  test('of the batch, where a number must be known, is declined', async () => {
    const error = await conversionError(predict([op('end', 'tile', 'x', { multiples: [1, ref('batch'), 1, 1] })]));
    expect([error.kind, error.message]).toEqual(['unsupported', expect.stringContaining('multiples')]);
  });
});
