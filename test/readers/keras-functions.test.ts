/** Functions that models call, beside arithmetic: products with numbers, normalisations, windows, and Keras's own modules. */
import { describe, expect, test } from 'vitest';
import { array, inputLayer, keras, tensor, tensorflow } from '../keras-calls.js';
import { functional, legacyH5, weight } from '../keras-files.js';
import { arrayOf, at, conversionError, difference, predictFile, random } from '../keras-run.js';
import type { Run } from '../run-onnx.js';

const X = random([2, 3, 4, 5], 1);
const Y = random([2, 3, 4, 5], 2);
const S = random([2, 4, 5], 3);

function expectClose(actual: Run, expected: Run, tolerance = 3e-6) {
  const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 1);
  expect(difference(actual, expected) / scale).toBeLessThan(tolerance);
}

const range = (count: number) => Array.from({ length: count }, (_, i) => i);
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
const each = (change: (x: number, y: number) => number): Run => arrayOf(X.shape, (...i) => change(at(X, ...i), at(Y, ...i)));
/** Numbers as nested lists. */
const nested = ({ shape, data }: Run): unknown =>
  shape.length === 1
    ? Array.from(data)
    : range(shape[0]!).map((i) => nested({ shape: shape.slice(1), data: data.slice((i * data.length) / shape[0]!, ((i + 1) * data.length) / shape[0]!) }));

describe('of two values', () => {
  test.each<[string, (x: number, y: number) => number]>([
    ['Hypot', Math.hypot],
    ['Logaddexp', (x, y) => Math.log(Math.exp(x) + Math.exp(y))],
    ['DivideNoNan', (x, y) => (y === 0 ? 0 : x / y)],
  ])('%s', async (name, formula) => {
    expectClose((await keras(name, [tensor('x'), tensor('y')], [X, Y]))[0]!, each(formula), 1e-5);
  });

  test('a quotient by zero is zero', async () => {
    const rest = arrayOf(X.shape, (...i) => (i[3] === 0 ? 0 : at(X, ...i)));
    expectClose(
      await tensorflow('math.divide_no_nan', { y: ['y', 0, 0] }, [Y, rest]),
      arrayOf(X.shape, (...i) => (i[3] === 0 ? 0 : at(Y, ...i) / at(X, ...i))),
      1e-5,
    );
  });
});

describe('of one value', () => {
  test.each<[string, (x: number) => number]>([
    ['Exp2', (x) => 2 ** x],
    ['Cbrt', Math.cbrt],
    ['Deg2rad', (x) => (x * Math.PI) / 180],
    ['Trunc', Math.trunc],
    ['Copy', (x) => x],
    ['Real', (x) => x],
  ])('%s', async (name, formula) => {
    expectClose((await keras(name, [tensor('x')], [X]))[0]!, each(formula));
  });

  test('logarithms of other bases', async () => {
    const positive = each((x) => Math.abs(x) + 0.1);
    for (const [name, log] of [
      ['Log2', Math.log2],
      ['Log10', Math.log10],
    ] as const)
      expectClose(
        (await keras(name, [tensor('x')], [positive]))[0]!,
        arrayOf(X.shape, (...i) => log(at(positive, ...i))),
      );
  });

  test('quantifiers and the span along axes', async () => {
    const sparse = arrayOf(X.shape, (...i) => (i[3]! < 4 && at(X, ...i) < 0.4 ? 0 : at(X, ...i)));
    const along = (fold: (row: number[]) => number) => arrayOf([2, 3, 4], (n, h, w) => fold(range(5).map((c) => at(sparse, n, h, w, c))));
    const config = { axis: -1, keepdims: false };
    expectClose(
      (await keras('Any', [tensor('x')], [sparse], { config }))[0]!,
      along((row) => Number(row.some((x) => x !== 0))),
    );
    expectClose(
      (await keras('All', [tensor('x')], [sparse], { config }))[0]!,
      along((row) => Number(row.every((x) => x !== 0))),
    );
    expectClose(
      (await keras('CountNonzero', [tensor('x')], [sparse], { config: { axis: -1 } }))[0]!,
      along((row) => row.filter((x) => x !== 0).length),
    );
    expectClose(
      (await keras('Ptp', [tensor('x')], [sparse], { config }))[0]!,
      along((row) => Math.max(...row) - Math.min(...row)),
    );
  });

  test('differences and triangles', async () => {
    expectClose(
      (await keras('Diff', [tensor('x')], [X], { config: { n: 2, axis: 2 } }))[0]!,
      arrayOf([2, 3, 2, 5], (n, h, w, c) => at(X, n, h, w + 2, c) - 2 * at(X, n, h, w + 1, c) + at(X, n, h, w, c)),
    );
    expectClose(
      (await keras('Tril', [tensor('x')], [S], { config: { k: 1 } }))[0]!,
      arrayOf(S.shape, (n, i, j) => (j <= i + 1 ? at(S, n, i, j) : 0)),
    );
    expectClose(
      (await keras('Triu', [tensor('x')], [S], { config: { k: 0 } }))[0]!,
      arrayOf(S.shape, (n, i, j) => (j >= i ? at(S, n, i, j) : 0)),
    );
  });
});

describe('products with numbers', () => {
  const matrix = random([5, 3], 11);

  test('tensordot over one axis, over several, and by their places', async () => {
    const last = arrayOf([2, 3, 4, 3], (n, h, w, m) => sum(range(5).map((c) => at(X, n, h, w, c) * at(matrix, c, m))));
    expectClose(await tensorflow('tensordot', { b: nested(matrix), axes: [[3], [0]], name: null }, [X]), last);
    expectClose((await keras('Tensordot', [tensor('x'), array(nested(matrix))], [X], { config: { axes: 1 } }))[0]!, last);
    const cube = random([4, 2, 3, 2], 12);
    const both = arrayOf([2, 5, 2, 2], (n, c, a, b) => sum(range(3).flatMap((h) => range(4).map((w) => at(X, n, h, w, c) * at(cube, w, a, h, b)))));
    expectClose(await tensorflow('tensordot', { b: nested(cube), axes: [[1, 2], [2, 0]] }, [X]), both); // biome-ignore format: two lists of axes
  });

  test('a matrix behind a value', async () => {
    const expected = arrayOf([2, 4, 3], (n, i, m) => sum(range(5).map((c) => at(S, n, i, c) * at(matrix, c, m))));
    expectClose(await tensorflow('linalg.matmul', { b: nested(matrix) }, [S]), expected);
    const turned = nested(arrayOf([3, 5], (m, c) => at(matrix, c, m)));
    expectClose(await tensorflow('linalg.matmul', { b: turned, transpose_b: true }, [S]), expected);
    expectClose((await keras('Matmul', [tensor('x'), array(nested(matrix))], [S]))[0]!, expected);
  });

  test('over the batch are declined', async () => {
    const error = await conversionError(tensorflow('tensordot', { b: [1, 2], axes: [[0], [0]] }, [X]));
    expect(error.message).toContain('a sum over the batch');
  });
});

describe('windows', () => {
  const kernel = random([2, 2, 5, 3], 21);

  test('a convolution with a kernel of numbers', async () => {
    const expected = arrayOf([2, 2, 3, 3], (n, h, w, m) =>
      sum(range(2).flatMap((i) => range(2).flatMap((j) => range(5).map((c) => at(X, n, h + i, w + j, c) * at(kernel, i, j, c, m))))),
    );
    expectClose(await tensorflow('nn.conv2d', { filters: nested(kernel), strides: [1, 1, 1, 1], padding: 'VALID', data_format: 'NHWC' }, [X]), expected);
    const config = { strides: 1, padding: 'valid', data_format: 'channels_last', dilation_rate: 1 };
    expectClose((await keras('Conv', [tensor('x'), array(nested(kernel))], [X], { config }))[0]!, expected);
  });

  test('a blur of each channel', async () => {
    const blur = random([3, 3, 5, 1], 22);
    const expected = arrayOf(X.shape, (n, h, w, c) =>
      sum(
        range(3).flatMap((i) =>
          range(3).map((j) => {
            const [y, x] = [h + i - 1, w + j - 1];
            return y < 0 || y > 2 || x < 0 || x > 3 ? 0 : at(X, n, y, x, c) * at(blur, i, j, c, 0);
          }),
        ),
      ),
    );
    expectClose(await tensorflow('nn.depthwise_conv2d', { filter: nested(blur), strides: [1, 1, 1, 1], padding: 'SAME' }, [X]), expected);
  });

  test('pooling to a size that no net has is declined before anything is made', async () => {
    for (const output_size of [1e9, 5000]) {
      const error = await conversionError(keras('AdaptiveAveragePool', [tensor('x')], [X], { config: { output_size: [output_size, 1] } }));
      expect(error.message).toContain(`to [${output_size},1]`);
    }
  });

  test('pooling to a size', async () => {
    const config = { output_size: [2, 2], data_format: 'channels_last' };
    const parts = [[0, 1], [1, 2]]; // biome-ignore format: rows of three pixels in two windows that overlap
    const expected = arrayOf([2, 2, 2, 5], (n, i, j, c) => Math.max(...parts[i]!.flatMap((h) => [2 * j, 2 * j + 1].map((w) => at(X, n, h, w, c)))));
    expectClose((await keras('AdaptiveMaxPool', [tensor('x')], [X], { config }))[0]!, expected);
  });
});

describe('normalisations', () => {
  const [mean, variance, offset, scale] = [weight([5], 31), { shape: [5], values: [0.5, 1, 2, 0.25, 3] }, weight([5], 32), weight([5], 33)];
  const list = (one: { readonly values: ArrayLike<number> }) => Array.from(one.values);
  const expected = arrayOf(X.shape, (n, h, w, c) => {
    const centred = (at(X, n, h, w, c) - mean.values[c]!) / Math.sqrt(variance.values[c]! + 0.01);
    return centred * scale.values[c]! + offset.values[c]!;
  });

  test('by statistics that are numbers', async () => {
    const all = { mean: list(mean), variance: list(variance), offset: list(offset), scale: list(scale) };
    expectClose(await tensorflow('nn.batch_normalization', { ...all, variance_epsilon: 0.01 }, [X]), expected);
    const args = [tensor('x'), ...[mean, variance, offset, scale].map((one) => array(list(one)))];
    expectClose((await keras('BatchNorm', args, [X], { config: { axis: -1, epsilon: 0.01 } }))[0]!, expected);
  });

  test('by statistics that flow in', async () => {
    const kwargs = { mean: ['y', 0, 0], variance: 4, offset: null, scale: null, variance_epsilon: 0 };
    expectClose(
      await tensorflow('nn.batch_normalization', kwargs, [X, Y]),
      each((x, y) => (x - y) / 2),
    );
  });

  test('of each element by its own row', async () => {
    const rows = (n: number, h: number, w: number) => range(5).map((c) => at(X, n, h, w, c));
    expectClose(
      (await keras('LayerNorm', [tensor('x')], [X], { config: { gamma: array(list(scale)), beta: array(list(offset)), axis: -1, epsilon: 0.01 } }))[0]!,
      arrayOf(X.shape, (n, h, w, c) => {
        const middle = sum(rows(n, h, w)) / 5;
        const spread = sum(rows(n, h, w).map((x) => (x - middle) ** 2)) / 5;
        return ((at(X, n, h, w, c) - middle) / Math.sqrt(spread + 0.01)) * scale.values[c]! + offset.values[c]!;
      }),
    );
    expectClose(
      (await keras('RMSNorm', [tensor('x')], [X], { config: { scale: array(list(scale)), axis: -1, epsilon: 0.01 } }))[0]!,
      arrayOf(X.shape, (n, h, w, c) => (at(X, n, h, w, c) / Math.sqrt(sum(rows(n, h, w).map((x) => x * x)) / 5 + 0.01)) * scale.values[c]!),
    );
    expectClose(
      (await keras('Normalize', [tensor('x')], [X], { config: { axis: -1, order: 2, epsilon: null } }))[0]!,
      arrayOf(X.shape, (n, h, w, c) => at(X, n, h, w, c) / Math.hypot(...rows(n, h, w))),
    );
  });
});

describe("Keras's own modules", () => {
  test.each<[string, object, Run]>([
    ['keras.activations.relu', { alpha: 0.1, max_value: 1, threshold: 0 }, each((x) => (x < 0 ? 0.1 * x : Math.min(x, 1)))],
    ['keras.activations.swish', {}, each((x) => x / (1 + Math.exp(-x)))],
    ['keras.backend.clip', { min_value: -0.5, max_value: 0.25 }, each((x) => Math.min(Math.max(x, -0.5), 0.25))],
    ['keras.backend.sqrt', {}, each((x) => Math.sqrt(Math.max(x, 0)))],
    ['keras.backend.mean', { axis: [1, 2], keepdims: false }, arrayOf([2, 5], (n, c) => sum(range(12).map((i) => at(X, n, i >> 2, i & 3, c))) / 12)],
    ['keras.backend.l2_normalize', { axis: -1 }, arrayOf(X.shape, (n, h, w, c) => at(X, n, h, w, c) / Math.hypot(...range(5).map((k) => at(X, n, h, w, k))))],
    ['keras.backend.permute_dimensions', { pattern: [0, 3, 1, 2] }, arrayOf([2, 5, 3, 4], (n, c, h, w) => at(X, n, h, w, c))],
    ['keras.backend.batch_flatten', {}, { shape: [2, 60], data: X.data }],
  ])('%s', async (name, kwargs, expected) => {
    expectClose(await tensorflow(name, kwargs, [X]), expected);
  });
});

test('what goes over all elements of all samples is declined, though its axis is named', async () => {
  for (const name of ['Softmax', 'Sort']) {
    const error = await conversionError(keras(name, [tensor('x')], [X], { config: { axis: null } }));
    expect(error.message).toMatch(/all (axes|elements)/);
  }
});

test('a value filled with one number', async () => {
  expectClose(
    await tensorflow('math.add', { y: ['y', 0, 0] }, [X, X]),
    each((x) => 2 * x),
  );
  const layers = [
    inputLayer('x', X),
    { class_name: 'TFOpLambda', name: 'shape', config: { function: 'shape' }, inbound: [['x', 0, 0, {}]] },
    {
      class_name: 'SlicingOpLambda',
      name: 'two',
      config: { function: '__operators__.getitem' },
      inbound: [['shape', 0, 0, { slice_spec: { start: 2, stop: 4, step: null } }]],
    },
    { class_name: 'TFOpLambda', name: 'full', config: { function: 'fill' }, inbound: [['two', 0, 0, { value: 1.5 }]] },
    { class_name: 'TFOpLambda', name: 'op', config: { function: 'math.multiply' }, inbound: [['x', 0, 0, { y: ['full', 0, 0] }]] },
  ];
  const bytes = await legacyH5(functional(layers, [['x', 0, 0]], [['op', 0, 0]]));
  expectClose(
    (await predictFile('model.h5', bytes, [X])).results.get('op')!,
    each((x) => 1.5 * x),
  );
});

test('nodes of a TensorFlow graph that join sizes, as tf.keras 2.0 to 2.3 writes tf.reshape(x, [tf.shape(x)[0], 12, 5])', async () => {
  const node = (name: string, op: string, constants: object, inbound: readonly string[], attr: object = {}, text = false) => {
    const node_def = { name, op, input: [], attr: { T: { type: 'DT_FLOAT' }, ...attr } };
    const config = { name, trainable: true, dtype: null, node_def: text ? JSON.stringify(node_def) : node_def, constants };
    return { class_name: 'TensorFlowOpLayer', name, config, inbound: [inbound.map((from) => [from, 0, 0, {}])] };
  };
  const layers = [
    inputLayer('x', X),
    node('shape', 'Shape', {}, ['x'], { out_type: { type: 'DT_INT32' } }, true),
    node('first', 'StridedSlice', { 1: [0], 2: [1], 3: [1] }, ['shape'], { shrink_axis_mask: { i: '1' }, begin_mask: { i: '0' } }),
    node('pack', 'Pack', { 1: 12, 2: 5 }, ['first'], { N: { i: '3' }, axis: { i: '0' } }),
    node('rows', 'Reshape', {}, ['x', 'pack'], { Tshape: { type: 'DT_INT32' } }),
    node('both', 'ConcatV2', { 2: -1 }, ['rows', 'rows'], { N: { i: '2' }, Tidx: { type: 'DT_INT32' } }),
    node('clipped', 'ClipByValue', { 1: -0.5, 2: 0.5 }, ['both']),
  ];
  const bytes = await legacyH5(functional(layers, [['x', 0, 0]], [['clipped', 0, 0]]));
  expectClose(
    (await predictFile('model.h5', bytes, [X])).results.get('clipped')!,
    arrayOf([2, 12, 10], (n, i, c) => Math.min(Math.max(X.data[n * 60 + i * 5 + (c % 5)]!, -0.5), 0.5)),
  );
});

describe('that few models call', () => {
  const odd = arrayOf(X.shape, (...i) => [Number.NaN, Infinity, -Infinity, at(X, ...i)][(i[1]! + i[2]!) % 4]!);

  test.each<[string, (x: number) => number, object?]>([
    ['Isnan', (x) => Number(Number.isNaN(x))],
    ['Isinf', (x) => Number(Math.abs(x) === Infinity)],
    ['Isfinite', (x) => Number(Number.isFinite(x))],
    ['NanToNum', (x) => (Number.isNaN(x) ? 7 : x === Infinity ? 0.5 : x === -Infinity ? -3 : x), { nan: 7, posinf: 0.5, neginf: -3 }],
  ])('%s', async (name, formula, config = {}) => {
    const clear = arrayOf(X.shape, (...i) => formula(at(odd, ...i)));
    expectClose((await keras(name, [tensor('x')], [odd], { config }))[0]!, clear);
  });

  test('steps, sums of powers, turns and parts', async () => {
    const signs = arrayOf(X.shape, (...i) => Math.sign(Math.round(at(X, ...i))));
    expectClose(
      (await keras('Heaviside', [tensor('x'), array(0.25)], [signs]))[0]!,
      arrayOf(X.shape, (...i) => [0, 0.25, 1][at(signs, ...i) + 1]!),
    );
    expectClose(
      (await keras('Logaddexp2', [tensor('x'), tensor('y')], [X, Y]))[0]!,
      each((x, y) => Math.log2(2 ** x + 2 ** y)),
      1e-5,
    );
    for (const [k, from] of [
      [1, (n: number, h: number, w: number, c: number) => at(X, n, w, 3 - h, c)],
      [2, (n: number, h: number, w: number, c: number) => at(X, n, 2 - h, 3 - w, c)],
      [-1, (n: number, h: number, w: number, c: number) => at(X, n, 2 - w, h, c)],
    ] as const) {
      const shape = k === 2 ? [2, 3, 4, 5] : [2, 4, 3, 5];
      expectClose((await keras('Rot90', [tensor('x')], [X], { config: { k, axes: [1, 2] } }))[0]!, arrayOf(shape, from as (...i: number[]) => number));
    }
    const parts = await keras('ArraySplit', [tensor('x')], [X], { config: { indices_or_sections: 3, axis: 3 }, outputs: 3 });
    expect(parts.map(({ shape }) => shape[3])).toEqual([2, 2, 1]);
    expectClose(
      parts[1]!,
      arrayOf([2, 3, 4, 2], (n, h, w, c) => at(X, n, h, w, c + 2)),
    );
    expectClose(
      (await keras('Dstack', [[tensor('x'), tensor('y')]], [X, Y]))[0]!,
      arrayOf([2, 3, 8, 5], (n, h, w, c) => (w < 4 ? at(X, n, h, w, c) : at(Y, n, h, w - 4, c))),
    );
    expectClose(
      (await keras('Append', [tensor('x'), tensor('y')], [X, Y], { config: { axis: 1 } }))[0]!,
      arrayOf([2, 6, 4, 5], (n, h, w, c) => (h < 3 ? at(X, n, h, w, c) : at(Y, n, h - 3, w, c))),
    );
  });

  test('choices among several values, and numbers sorted into classes', async () => {
    const [one, two] = [X, Y].map((run) => arrayOf(run.shape, (...i) => Number(at(run, ...i) > 0.3))) as [Run, Run];
    expectClose(
      (
        await keras(
          'Select',
          [
            [tensor('x'), tensor('y')],
            [tensor('y'), array(5)],
          ],
          [one, two],
          { config: { default: -1 } },
        )
      )[0]!,
      arrayOf(X.shape, (...i) => (at(one, ...i) ? at(two, ...i) : at(two, ...i) ? 5 : -1)),
    );
    expectClose(
      (await keras('Digitize', [tensor('x')], [X], { config: { bins: [-0.5, 0, 0.5] } }))[0]!,
      arrayOf(X.shape, (...i) => [-0.5, 0, 0.5].filter((bin) => at(X, ...i) >= bin).length),
    );
    const places: Run = { shape: [2, 3], data: Float32Array.of(0, 3, 3, 1, 2, 0) };
    expectClose(
      (await keras('MultiHot', [tensor('x')], [places], { config: { num_classes: 4, axis: -1, dtype: null, sparse: false } }))[0]!,
      arrayOf([2, 4], (n, k) => Number(range(3).some((i) => at(places, n, i) === k))),
    );
  });

  test('windows of a picture as features', async () => {
    const config = { size: [2, 3], strides: [1, 1], dilation_rate: 1, padding: 'valid', data_format: 'channels_last' };
    expectClose(
      (await keras('ExtractPatches', [tensor('x')], [X], { config }))[0]!,
      arrayOf([2, 2, 2, 30], (n, h, w, f) => at(X, n, h + Math.floor(f / 15), w + (Math.floor(f / 5) % 3), f % 5)),
    );
    expect((await conversionError(keras('ExtractPatches', [tensor('x')], [X], { config: { ...config, padding: 'same' } }))).message).toContain('edge');
  });

  test.each([false, true])('attention of values alone (causal: %s)', async (is_causal) => {
    const actual = (await keras('DotProductAttention', [tensor('x'), tensor('y'), tensor('z')], [X, Y, X], { config: { is_causal } }))[0]!;
    const expected = arrayOf(X.shape, (n, t, h, f) => {
      const seen = range(3).filter((s) => !is_causal || s <= t);
      const scores = seen.map((s) => Math.exp(sum(range(5).map((d) => at(X, n, t, h, d) * at(Y, n, s, h, d))) / Math.sqrt(5)));
      return sum(seen.map((s, i) => (scores[i]! / sum(scores)) * at(X, n, s, h, f)));
    });
    expectClose(actual, expected);
  });
});

test('an operation that is not known is named', async () => {
  for (const name of ['FFT2', 'Map', 'Histogram', 'Rearrange', 'SegmentSum', 'UnravelIndex']) {
    const error = await conversionError(keras(name, [tensor('x')], [X]));
    expect(error.message).toContain(`keras.ops.${name}`);
  }
});

describe('of pictures and columns', () => {
  const picture = random([2, 5, 6, 2], 8);
  /** Sums of products with a window around each pixel; `pixel` says what stands beside the picture. */
  const windowed = (height: number, width: number, kernel: (dy: number, dx: number) => number, pixel: (n: number, y: number, x: number, c: number) => number) =>
    arrayOf(picture.shape, (n, y, x, c) =>
      sum(
        range(height * width).map(
          (i) => kernel(Math.floor(i / width), i % width) * pixel(n, y + Math.floor(i / width) - (height >> 1), x + (i % width) - (width >> 1), c),
        ),
      ),
    );

  test('GaussianBlur lays its window out as Keras does', async () => {
    const bell = (size: number, sigma: number) => {
      const heights = range(size).map((i) => Math.exp(-0.5 * ((i - (size - 1) / 2) / sigma) ** 2));
      return heights.map((height) => height / sum(heights));
    };
    for (const [height, width] of [
      [3, 3],
      [3, 5],
    ] as const) {
      // An outer product of the second sizes and the first, whose elements are then taken in a row.
      const window = bell(width, 2).flatMap((down) => bell(height, 0.7).map((across) => down * across));
      const inside = (n: number, y: number, x: number, c: number) => (y < 0 || x < 0 || y >= 5 || x >= 6 ? 0 : at(picture, n, y, x, c));
      const expected = windowed(height, width, (dy, dx) => window[dy * width + dx]!, inside);
      const config = { kernel_size: [height, width], sigma: [0.7, 2], data_format: 'channels_last' };
      expectClose((await keras('GaussianBlur', [tensor('x')], [picture], { config }))[0]!, expected);
    }
  });

  test('SobelEdges mirrors at the border, and gives slopes down and across', async () => {
    const mirrored = (i: number, size: number) => (i < 0 ? -i : i >= size ? 2 * size - 2 - i : i);
    const pixel = (n: number, y: number, x: number, c: number) => at(picture, n, mirrored(y, 5), mirrored(x, 6), c);
    const slope = [-1, 0, 1];
    const across = [1, 2, 1];
    const [down, right] = [windowed(3, 3, (dy, dx) => slope[dy]! * across[dx]!, pixel), windowed(3, 3, (dy, dx) => across[dy]! * slope[dx]!, pixel)];
    const [made] = await keras('SobelEdges', [tensor('x')], [picture], { config: { data_format: 'channels_last' } });
    expectClose(
      made!,
      arrayOf([2, 5, 6, 2, 2], (n, y, x, c, k) => at(k === 0 ? down : right, n, y, x, c)),
    );
  });

  test('Fold adds up columns where they overlap', async () => {
    const columns = random([2, 8, 6], 9);
    const config = { output_size: [3, 4], kernel_size: 2, dilation: 1, padding: 0, stride: 1 };
    const expected = arrayOf([2, 2, 3, 4], (n, c, y, x) =>
      sum(
        range(24).map((i) => {
          const [k, place] = [Math.floor(i / 6), i % 6];
          const isHere = Math.floor(place / 3) + (k >> 1) === y && (place % 3) + (k & 1) === x;
          return isHere ? at(columns, n, c * 4 + k, place) : 0;
        }),
      ),
    );
    expectClose((await keras('Fold', [tensor('x')], [columns], { config }))[0]!, expected);
  });

  test('tf.math.atan2, and erfc', async () => {
    expectClose(await tensorflow('math.atan2', { x: ['y', 0, 0] }, [X, Y]), each(Math.atan2));
    const erf = (x: number) => (2 / Math.sqrt(Math.PI)) * sum(range(2000).map((i) => Math.exp(-((((i + 0.5) * x) / 2000) ** 2)) * (x / 2000)));
    expectClose(
      (await keras('Erfc', [tensor('x')], [X]))[0]!,
      each((x) => 1 - erf(x)),
    );
  });

  test('colours come back as they were', async () => {
    const colours = arrayOf([1, 4, 4, 3], (_, y, x, c) => ((7 * y + 3 * x + 5 * c * c) % 11) / 10);
    expectClose(await tensorflow('image.hsv_to_rgb', {}, [await tensorflow('image.rgb_to_hsv', {}, [colours])]), colours);
  });
});

describe('in a narrow float', () => {
  /** Functions of TensorFlow one after the other, each with what it is called with. */
  const chained = async (input: Run, steps: readonly (readonly [string, object] | 'Dropout')[]): Promise<Run> => {
    const layers = steps.map((step, i) => {
      const from = [i === 0 ? 'x' : `step${i - 1}`, 0, 0];
      if (step === 'Dropout') return { class_name: step, name: `step${i}`, config: { rate: 0.5 }, inbound: [[[...from, {}]]] };
      return { class_name: 'TFOpLambda', name: `step${i}`, config: { trainable: true, dtype: 'float32', function: step[0] }, inbound: [[...from, step[1]]] };
    });
    const bytes = await legacyH5(functional([inputLayer('x', input), ...layers], [['x', 0, 0]], [[`step${steps.length - 1}`, 0, 0]]));
    return [...(await predictFile('model.h5', bytes, [input])).results.values()][0]!;
  };
  const x: Run = { shape: [1, 4], data: Float32Array.of(1.25, -100, 3.3, 70) };
  const to = (dtype: string) => ['cast', { dtype }] as const;
  const times = (y: number) => ['math.multiply', { y, name: null }] as const;
  const plus = (y: number) => ['math.add', { y, name: null }] as const;

  test.each<[string, readonly (readonly [string, object] | 'Dropout')[], number[]]>([
    [
      'what is too large is infinite, and stays so',
      [to('float16'), times(1000), times(0.001), to('float32')],
      [1.25, Number.NEGATIVE_INFINITY, 3.3, Number.POSITIVE_INFINITY],
    ],
    ['what is small beside the rest is lost', [to('float16'), plus(2048), plus(-2048), to('float32')], [2, -100, 4, 70]],
    ['bfloat16 has fewer digits and as large numbers', [to('bfloat16'), times(1000), to('float32')], [1248, -99840, 3296, 70144]],
    ['of a layer is taken to float32, as layers take it', [to('float16'), 'Dropout', times(1000), times(0.001)], [1.25, -100, 3.3, 70]],
    ['ends where it is cast to float32', [to('float16'), to('float32'), times(1000), times(0.001)], [1.25, -100, 3.3, 70]],
  ])('%s', async (_, steps, expected) => {
    const { data } = await chained(x, steps);
    for (const [i, value] of expected.entries())
      expect(Number.isFinite(value) ? Math.abs(data[i]! / value - 1) : Object.is(data[i], value) ? 0 : 1).toBeLessThan(1.3e-3);
  });
});
