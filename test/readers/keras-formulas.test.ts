/** Operations of Keras 3 of a few steps, against what NumPy's functions of the same names compute: on values as they are, and behind a layer for pictures. */
import { describe, expect, test } from 'vitest';
import { array, keras, tensor, tensorflow } from '../keras-calls.js';
import { kerasArchive } from '../keras-files.js';
import { arrayOf, at, conversionError, predictFile, random } from '../keras-run.js';
import type { Run } from '../run-onnx.js';

const SHAPE = [2, 3, 4, 5];
const X = random(SHAPE, 1);
const Y = random(SHAPE, 2);
type Place = readonly [number, number, number, number];
const x = (...i: Place) => at(X, ...i);
const y = (...i: Place) => at(Y, ...i);

/** A call on x (and y), or on what a pooling of single pixels makes of them, whose channels lie first inside. */
async function run(className: string, args: readonly unknown[], config: object, inputs: readonly Run[], isBehind: boolean): Promise<Run> {
  const named = inputs.map((value, i) => ['xyz'[i]!, value] as const);
  const input = ([name, { shape }]: readonly [string, Run]) => ({
    module: 'keras.layers',
    class_name: 'InputLayer',
    config: { batch_shape: [null, ...shape.slice(1)], dtype: 'float32', sparse: false, name },
    name,
    inbound_nodes: [],
  });
  const pool = ([name]: readonly [string, Run]) => ({
    module: 'keras.layers',
    class_name: 'AveragePooling2D',
    config: { name: `${name}_pool`, pool_size: [1, 1], strides: [1, 1], padding: 'valid', data_format: 'channels_last' },
    name: `${name}_pool`,
    inbound_nodes: [{ args: [tensor(name)], kwargs: {} }],
  });
  const behind = isBehind ? named.filter(([, { shape }]) => shape.length === 4) : [];
  const renamed = JSON.parse(
    JSON.stringify(args).replace(/"keras_history":\["(\w)"/g, (all, name) => (behind.some(([own]) => own === name) ? `"keras_history":["${name}_pool"` : all)),
  );
  const op = {
    module: 'keras.src.ops.numpy',
    class_name: className,
    config: { name: 'op', ...config },
    name: 'op',
    inbound_nodes: [{ args: renamed, kwargs: {} }],
  };
  const layers = [...named.map(input), ...behind.map(pool), op];
  const model = { class_name: 'Functional', config: { name: 'f', layers, input_layers: named.map(([name]) => [name, 0, 0]), output_layers: [['op', 0, 0]] } };
  return (await predictFile('model.keras', await kerasArchive(model), inputs)).results.get('op')!;
}

function expectClose(actual: Run, expected: Run): void {
  expect(actual.shape).toEqual(expected.shape);
  const worst = expected.data.reduce((most, value, i) => Math.max(most, Object.is(value, actual.data[i]) ? 0 : Math.abs(value - actual.data[i]!)), 0);
  expect(worst).toBeLessThan(3e-6);
}

const each = (formula: (...i: Place) => number): Run => arrayOf(SHAPE, (...i) => formula(...(i as unknown as Place)));
const sorted = (n: number, h: number, c: number) => [0, 1, 2, 3].map((w) => x(n, h, w, c)).sort((a, b) => a - b);
const [tx, ty] = [tensor('x'), tensor('y')];

/** Class, arguments, settings, what comes of it. */
const CASES: readonly (readonly [string, readonly unknown[], object, Run])[] = [
  ['Fabs', [tx], {}, each((...i) => Math.abs(x(...i)))],
  ['Sinc', [tx], {}, each((...i) => Math.sin(Math.PI * x(...i)) / (Math.PI * x(...i)))],
  ['Signbit', [tx], {}, each((...i) => Number(x(...i) < 0))],
  ['Angle', [tx], {}, each((...i) => (x(...i) < 0 ? Math.PI : 0))],
  ['Arctan2', [tx, ty], {}, each((...i) => Math.atan2(x(...i), y(...i)))],
  ['Arctan2', [tx, 0.5], {}, each((...i) => Math.atan2(x(...i), 0.5))],
  ['Fmax', [tx, ty], {}, each((...i) => Math.max(x(...i), y(...i)))],
  ['Fmin', [tx, 0.1], {}, each((...i) => Math.min(x(...i), 0.1))],
  ['Fmod', [tx, 0.3], {}, each((...i) => x(...i) % Math.fround(0.3))],
  ['Isclose', [tx, ty, 0.5, 0.1], { equal_nan: false }, each((...i) => Number(Math.abs(x(...i) - y(...i)) <= 0.1 + 0.5 * Math.abs(y(...i))))],
  ['Cumprod', [tx], { axis: 2, dtype: null }, each((n, h, w, c) => [0, 1, 2, 3].slice(0, w + 1).reduce((product, k) => product * x(n, h, k, c), 1))],
  ['Cumprod', [tx], { axis: -1 }, each((n, h, w, c) => [0, 1, 2, 3, 4].slice(0, c + 1).reduce((product, k) => product * x(n, h, w, k), 1))],
  [
    'Trapezoid',
    [tx],
    { x: null, dx: 0.5, axis: 2 },
    arrayOf([2, 3, 5], (n, h, c) => [0, 1, 2].reduce((sum, w) => sum + (x(n!, h!, w, c!) + x(n!, h!, w + 1, c!)) * 0.25, 0)),
  ],
  ['Median', [tx], { axis: 2, keepdims: false }, arrayOf([2, 3, 5], (n, h, c) => (sorted(n!, h!, c!)[1]! + sorted(n!, h!, c!)[2]!) / 2)],
  [
    'Quantile',
    [tx, 0.4],
    { axis: [2], method: 'linear', keepdims: true },
    arrayOf([2, 3, 1, 5], (n, h, _, c) => sorted(n!, h!, c!)[1]! * 0.8 + sorted(n!, h!, c!)[2]! * 0.2),
  ],
  ['Percentile', [tx, 90], { axis: 2, method: 'lower', keepdims: false }, arrayOf([2, 3, 5], (n, h, c) => sorted(n!, h!, c!)[2]!)],
  ['Quantile', [tx, 1], { axis: 2, method: 'midpoint', keepdims: false }, arrayOf([2, 3, 5], (n, h, c) => sorted(n!, h!, c!)[3]!)],
  ['Norm', [tx], { ord: 0, axis: -1, keepdims: false }, arrayOf([2, 3, 4], () => 5)],
  [
    'Norm',
    [tx],
    { ord: 3, axis: 1, keepdims: false },
    arrayOf([2, 4, 5], (n, w, c) => [0, 1, 2].reduce((sum, h) => sum + Math.abs(x(n!, h, w!, c!)) ** 3, 0) ** (1 / 3)),
  ],
  ['Trace', [tx], { offset: 1, axis1: 2, axis2: 3 }, arrayOf([2, 3], (n, h) => [0, 1, 2, 3].reduce((sum, i) => sum + x(n!, h!, i, i + 1), 0))],
  ['Diagonal', [tx], { offset: -1, axis1: 1, axis2: 3 }, arrayOf([2, 4, 2], (n, w, i) => x(n!, i! + 1, w!, i!))],
  ['Fliplr', [tx], {}, each((n, h, w, c) => x(n, 2 - h, w, c))],
  ['Dsplit', [tx], { indices_or_sections: 1 }, X],
  ['Repeat', [tx], { repeats: [1, 2, 1], axis: 1 }, arrayOf([2, 4, 4, 5], (n, h, w, c) => x(n!, [0, 1, 1, 2][h!]!, w!, c!))],
  [
    'Pad',
    [tx],
    {
      pad_width: [
        [0, 0],
        [2, 1],
        [0, 0],
        [0, 3],
      ],
      mode: 'symmetric',
    },
    arrayOf([2, 6, 4, 8], (n, h, w, c) => x(n!, [1, 0, 0, 1, 2, 2][h!]!, w!, [0, 1, 2, 3, 4, 4, 3, 2][c!]!)),
  ],
  [
    'CropImages',
    [tx],
    { top_cropping: 1, left_cropping: null, bottom_cropping: 0, right_cropping: 1, target_height: null, target_width: 2, data_format: null },
    arrayOf([2, 2, 2, 5], (n, h, w, c) => x(n!, h! + 1, w! + 1, c!)),
  ],
  [
    'PadImages',
    [tx],
    { top_padding: null, left_padding: 1, bottom_padding: 2, right_padding: 0, target_height: 6, target_width: null, data_format: null },
    arrayOf([2, 6, 5, 5], (n, h, w, c) => (h === 0 || h! > 3 || w === 0 ? 0 : x(n!, h! - 1, w! - 1, c!))),
  ],
  ['SaturateCast', [tx], { dtype: 'int8' }, each((...i) => Math.trunc(x(...i)) + 0)],
  ['IsIn', [tx, array([at(X, 0, 1, 2, 3), 7])], { assume_unique: false, invert: true }, each((...i) => Number(x(...i) !== at(X, 0, 1, 2, 3)))],
  ['SearchSorted', [array([-0.5, 0, 0.5]), tx], { side: 'right' }, each((...i) => [-0.5, 0, 0.5].filter((bound) => bound <= x(...i)).length)],
  ['Average', [tx, array([1, 2, 3, 0])], { axis: 2 }, arrayOf([2, 3, 5], (n, h, c) => (x(n!, h!, 0, c!) + 2 * x(n!, h!, 1, c!) + 3 * x(n!, h!, 2, c!)) / 6)],
];

describe('where channels lie first inside', () => {
  test.each(CASES)('%s', async (name, args, config, expected) => {
    const inputs = JSON.stringify(args).includes('"keras_history":["y"') ? [X, Y] : [X];
    expectClose(await run(name, args, config, inputs, true), expected);
  });
});

const [NaN0, NaN1] = [Number.NaN, 1];
const HOLES: Run = { shape: [2, 4], data: Float32Array.of(1, NaN0, 3, 8, NaN1, 2, NaN0, 2) };

test.each([
  ['Nansum', [12, 5]],
  ['Nanmax', [8, 2]],
  ['Nanmin', [1, 1]],
  ['Nanprod', [24, 4]],
  ['Nanmean', [4, 5 / 3]],
  ['Nanvar', [26 / 3, 2 / 9]],
  ['Nanstd', [Math.sqrt(26 / 3), Math.sqrt(2 / 9)]],
  // A quantile of what is no number is none.
  ['Median', [Number.NaN, Number.NaN]],
])('%s looks past what is no number, or does not', async (name, expected) => {
  expectClose(await run(name, [tx], { axis: 1, keepdims: false }, [HOLES], false), { shape: [2], data: Float32Array.from(expected) });
});

test('Fmax takes the other where one is no number', async () => {
  const other: Run = { shape: [2, 4], data: Float32Array.of(0, 5, 4, Number.NaN, 0, 0, Number.NaN, 0) };
  expectClose(await run('Fmax', [tx, ty], {}, [HOLES, other], false), { shape: [2, 4], data: Float32Array.of(1, 5, 4, 8, 1, 2, Number.NaN, 2) });
});

test('a product of vectors, whichever axis they lie along', async () => {
  const [a, b] = [random([2, 4, 3], 5), random([2, 4, 3], 6)];
  const expected = arrayOf(
    [2, 4, 3],
    (n, i, k) => at(a, n!, i!, (k! + 1) % 3) * at(b, n!, i!, (k! + 2) % 3) - at(a, n!, i!, (k! + 2) % 3) * at(b, n!, i!, (k! + 1) % 3),
  );
  expectClose(await run('Cross', [tx, ty], { axisa: -1, axisb: -1, axisc: -1, axis: null }, [a, b], false), expected);
});

test('distances between rows', async () => {
  const [a, b] = [random([2, 3, 4], 5), random([2, 5, 4], 6)];
  const expected = arrayOf([2, 3, 5], (n, i, k) => Math.sqrt([0, 1, 2, 3].reduce((sum, d) => sum + (at(a, n!, i!, d) - at(b, n!, k!, d)) ** 2, 0)));
  expectClose(await run('CDist', [tx, ty], {}, [a, b], false), expected);
});

test('elements by places that flow in, and rows of numbers by such places', async () => {
  const places: Run = { shape: [2, 2], data: Float32Array.of(3, 0, 1, 1) };
  const row = random([2, 4], 7);
  expectClose(
    await run('TakeAlongAxis', [tx, ty], { axis: 1 }, [row, places], false),
    arrayOf([2, 2], (n, i) => at(row, n!, at(places, n!, i!))),
  );
  const table = [
    [1, 2],
    [3, 4],
    [5, 6],
    [7, 8],
  ];
  expectClose(
    await run('Take', [array(table), tx], { axis: 0 }, [places], false),
    arrayOf([2, 2, 2], (n, i, k) => table[at(places, n!, i!)]![k!]!),
  );
});

test('TensorFlow has the same under its own names', async () => {
  expectClose(
    await tensorflow('math.atan2', { x: ['y', 0, 0], name: null }, [X, Y]),
    each((...i) => Math.atan2(x(...i), y(...i))),
  );
  expectClose(
    await tensorflow('math.cumprod', { axis: 1 }, [X]),
    each((n, h, w, c) => [0, 1, 2].slice(0, h + 1).reduce((product, k) => product * x(n, k, w, c), 1)),
  );
});

test.each([
  ['Quantile', [tx, { class_name: '__tensor__', config: { value: [0.2, 0.5] } }], { axis: 1 }],
  ['Norm', [tx], { ord: 'nuc', axis: [1, 2] }],
  ['TakeAlongAxis', [tx, ty], { axis: null }],
  ['CropImages', [tx], { top_cropping: 1, left_cropping: 1, bottom_cropping: 1, right_cropping: 1, target_height: 2, target_width: null }],
  ['Cumprod', [tx], { axis: null }],
])('%s is declined where it asks for what is not translated', async (name, args, config) => {
  expect((await conversionError(keras(name, args, [X, Y], { config })))?.kind).toBe('unsupported');
});
