/** What only Keras 1 has, against its formulas. */
import { describe, expect, test } from 'vitest';
import { legacyH5, type Weight, weight } from '../keras-files.js';
import { arrayOf, at, conversionError, difference, predictFile, random } from '../keras-run.js';
import type { Run } from '../run-onnx.js';

type Entry = { readonly class_name: string; readonly config: object };

/** A Sequential of Keras 1: a bare list. Weights are named as there. */
const sequential1 = (config: readonly Entry[], weights: Readonly<Record<string, readonly (readonly [string, Weight])[]>> = {}, backend = 'tensorflow') =>
  legacyH5(
    { class_name: 'Sequential', config },
    Object.fromEntries(Object.entries(weights).map(([layer, own]) => [layer, Object.fromEntries(own.map(([role, one]) => [`${layer}_${role}:0`, one]))])),
    { keras_version: '1.2.2', backend },
  );

const only = async (bytes: Uint8Array, inputs: readonly Run[]) => [...(await predictFile('model.h5', bytes, inputs)).results.values()][0]!;

const range = (count: number) => Array.from({ length: count }, (_, i) => i);
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

describe('Deconvolution2D', () => {
  const settings = (format: 'tf' | 'th', padding: string, output: readonly number[]) => ({
    class_name: 'Deconvolution2D',
    config: {
      ...{ name: 'up', trainable: true, nb_filter: 2, nb_row: 3, nb_col: 2, subsample: [2, 3], border_mode: padding, dim_ordering: format },
      ...{ init: 'glorot_uniform', activation: 'relu', W_regularizer: null, b_regularizer: null, activity_regularizer: null },
      ...{ W_constraint: null, b_constraint: null, bias: true, output_shape: format === 'th' ? [null, 2, ...output] : [null, ...output, 2] },
      batch_input_shape: format === 'th' ? [null, 3, 3, 4] : [null, 3, 4, 3],
      input_dtype: 'float32',
    },
  });

  /** Each place of the input adds the kernel, times its value, to the output. @param kernel of (row, column, in, out) */
  function scattered(x: Run, output: readonly number[], begin: readonly number[], kernel: (...index: number[]) => number, bias: Weight) {
    return arrayOf([x.shape[0]!, ...output, 2], (n, i, j, o) => {
      let total = bias.values[o]!;
      for (let r = 0; r < 3; r++) {
        for (let c = 0; c < 4; c++) {
          const [u, v] = [i - r * 2 + begin[0]!, j - c * 3 + begin[1]!];
          if (u < 0 || u >= 3 || v < 0 || v >= 2) continue;
          for (let k = 0; k < 3; k++) total += at(x, n, r, c, k) * kernel(u, v, k, o);
        }
      }
      return Math.max(total, 0);
    });
  }

  const x = random([2, 3, 4, 3]);
  const bias = weight([2], 5);
  const stored = weight([3, 2, 3, 2], 4);
  // What the convolution pads: 2 · 3 + 3 - 2 rows, of which one is at the end.
  test.each([
    ['valid', [7, 11], [0, 0]],
    ['valid', [8, 13], [0, 0]],
    ['same', [6, 12], [0, 0]],
    ['same', [5, 10], [1, 0]],
  ])('%s, to %j', async (padding, output, begin) => {
    const bytes = await sequential1([settings('tf', padding, output)], {
      up: [
        ['W', stored],
        ['b', bias],
      ],
    });
    const expected = scattered(x, output, begin, (u, v, k, o) => at({ shape: stored.shape, data: stored.values }, u, v, k, o), bias);
    expect(difference(await only(bytes, [x]), expected)).toBeLessThan(1e-5);
  });

  test.each([
    ['tensorflow', false],
    ['theano', true],
  ])('channels first, whose kernels are turned under Theano: %s', async (backend, isTurned) => {
    const own = weight([2, 3, 3, 2], 6);
    const bytes = await sequential1(
      [settings('th', 'valid', [7, 11])],
      {
        up: [
          ['W', own],
          ['b', bias],
        ],
      },
      backend,
    );
    const first = arrayOf([2, 3, 3, 4], (n, k, r, c) => at(x, n, r, c, k));
    const made = scattered(
      x,
      [7, 11],
      [0, 0],
      (u, v, k, o) => at({ shape: own.shape, data: own.values }, o, k, isTurned ? 2 - u : u, isTurned ? 1 - v : v),
      bias,
    );
    const expected = arrayOf([2, 2, 7, 11], (n, o, i, j) => at(made, n, i, j, o));
    expect(difference(await only(bytes, [first]), expected)).toBeLessThan(1e-5);
  });

  test('to a size that its input does not give is refused', async () => {
    const bytes = await sequential1([settings('tf', 'same', [9, 12])], {
      up: [
        ['W', stored],
        ['b', bias],
      ],
    });
    expect(await conversionError(predictFile('model.h5', bytes, [x]))).toMatchObject({ kind: 'malformed', place: { layer: 'up' } });
  });
});

describe('dense layers with several kernels', () => {
  const x = random([3, 4]);
  const common = { init: 'glorot_uniform', W_regularizer: null, b_regularizer: null, activity_regularizer: null, W_constraint: null, b_constraint: null };
  const line = (kernel: Weight, bias: Weight, n: number, o: number) => sum(range(4).map((k) => at(x, n, k) * kernel.values[k * 4 + o]!)) + bias.values[o]!;

  test('MaxoutDense', async () => {
    const [kernel, bias] = [weight([3, 4, 5], 1), weight([3, 5], 2)];
    const config = { name: 'maxout', trainable: true, output_dim: 5, nb_feature: 3, input_dim: 4, batch_input_shape: [null, 4], ...common };
    const bytes = await sequential1([{ class_name: 'MaxoutDense', config }], {
      maxout: [
        ['W', kernel],
        ['b', bias],
      ],
    });
    const expected = arrayOf([3, 5], (n, o) =>
      Math.max(...range(3).map((f) => sum(range(4).map((k) => at(x, n, k) * kernel.values[(f * 4 + k) * 5 + o]!)) + bias.values[f * 5 + o]!)),
    );
    expect(difference(await only(bytes, [x]), expected)).toBeLessThan(1e-5);
  });

  test.each([['W, W_carry, b, b_carry'], ['W, b, W_carry, b_carry']])('Highway with its weights in the order %s', async (order) => {
    const own: Readonly<Record<string, Weight>> = { W: weight([4, 4], 1), W_carry: weight([4, 4], 2), b: weight([4], 3), b_carry: weight([4], 4) };
    const config = { name: 'highway', trainable: true, activation: 'tanh', transform_bias: -2, input_dim: 4, batch_input_shape: [null, 4], ...common };
    const bytes = await sequential1([{ class_name: 'Highway', config }], { highway: order.split(', ').map((name) => [name, own[name]!] as const) });
    const expected = arrayOf([3, 4], (n, o) => {
      const t = 1 / (1 + Math.exp(-line(own.W_carry!, own.b_carry!, n, o)));
      return t * Math.tanh(line(own.W!, own.b!, n, o)) + (1 - t) * at(x, n, o);
    });
    expect(difference(await only(bytes, [x]), expected)).toBeLessThan(1e-5);
  });
});

describe('Merge', () => {
  const dense = (name: string, features?: number): Entry => ({
    class_name: 'Dense',
    config: {
      name,
      trainable: true,
      output_dim: 3,
      activation: 'linear',
      bias: false,
      ...(features ? { batch_input_shape: [null, features], input_dim: features } : {}),
    },
  });
  const merge = (mode: string, layers: readonly object[], more: object = {}): Entry => ({
    class_name: 'Merge',
    config: {
      ...{ name: 'merge', mode, mode_type: 'raw', concat_axis: -1, dot_axes: -1, output_shape: null, output_shape_type: 'raw' },
      ...{ output_mask: null, output_mask_type: 'raw', arguments: {}, layers, ...more },
    },
  });
  const branch = (...config: readonly Entry[]) => ({ class_name: 'Sequential', config });
  const [a, b] = [random([2, 4], 1), random([2, 2], 2)];
  const [left, right, last] = [weight([4, 3], 3), weight([2, 3], 4), weight([3, 3], 5)];
  const times = (x: Run, kernel: Weight) => arrayOf([x.shape[0]!, 3], (n, o) => sum(range(x.shape[1]!).map((k) => at(x, n, k) * kernel.values[k * 3 + o]!)));
  const [l, r] = [times(a, left), times(b, right)];
  const weights = { left: [['W', left]], right: [['W', right]] } as const;
  const each = (f: (one: number, other: number) => number) => arrayOf([2, 3], (n, o) => f(at(l, n, o), at(r, n, o)));
  const inner = (x: Run, y: Run, n: number) => sum(range(3).map((k) => at(x, n, k) * at(y, n, k)));

  test.each([
    ['sum', {}, each((x, y) => x + y)],
    ['mul', {}, each((x, y) => x * y)],
    ['ave', {}, each((x, y) => (x + y) / 2)],
    ['max', {}, each(Math.max)],
    ['concat', { concat_axis: 1 }, arrayOf([2, 6], (n, o) => (o < 3 ? at(l, n, o) : at(r, n, o - 3)))],
    ['dot', { dot_axes: [1, 1] }, arrayOf([2, 1], (n) => inner(l, r, n))],
    ['dot', { dot_axes: -1 }, arrayOf([2, 1], (n) => inner(l, r, n))],
    ['cos', { dot_axes: [1, 1] }, arrayOf([2, 1, 1], (n) => inner(l, r, n) / Math.sqrt(inner(l, l, n) * inner(r, r, n)))],
  ])('of two Sequential models: %s with %j', async (mode, more, expected) => {
    const bytes = await sequential1([merge(mode, [branch(dense('left', 4)), branch(dense('right', 2))], more)], weights);
    expect(difference(await only(bytes, [a, b]), expected)).toBeLessThan(1e-5);
  });

  test('of trees of branches, a functional model among them, with layers behind it', async () => {
    const functional = {
      class_name: 'Model',
      config: {
        name: 'model_1',
        layers: [
          {
            class_name: 'InputLayer',
            name: 'in',
            config: { name: 'in', batch_input_shape: [null, 2], input_dtype: 'float32', sparse: false },
            inbound_nodes: [],
          },
          { ...dense('right'), name: 'right', inbound_nodes: [[['in', 0, 0]]] },
        ],
        input_layers: [['in', 0, 0]],
        output_layers: [['right', 0, 0]],
      },
    };
    const both = { ...merge('sum', [branch(dense('left', 4)), functional]) };
    const named = { ...both, config: { ...both.config, name: 'inner' } };
    const bytes = await sequential1([merge('mul', [branch(named), branch(dense('other', 4))]), dense('last')], {
      ...weights,
      other: [['W', weight([4, 3], 7)]],
      last: [['W', last]],
    });
    const c = random([2, 4], 9);
    const third = times(c, weight([4, 3], 7));
    const expected = times(
      arrayOf([2, 3], (n, o) => (at(l, n, o) + at(r, n, o)) * at(third, n, o)),
      last,
    );
    expect(difference(await only(bytes, [a, b, c]), expected)).toBeLessThan(1e-5);
  });

  test('by Python code is refused', async () => {
    const bytes = await sequential1([merge('sum', [branch(dense('left', 4)), branch(dense('right', 2))], { mode_type: 'lambda' })], weights);
    expect(await conversionError(predictFile('model.h5', bytes, [a, b]))).toMatchObject({ kind: 'unsupported', place: { layer: 'merge' } });
  });
});

describe('activations with weights', () => {
  const x = random([2, 3, 2, 4]);
  const layer = (class_name: string, config: object) => [
    { class_name, config: { name: 'act', trainable: true, batch_input_shape: [null, 3, 2, 4], ...config } },
  ];

  test('SReLU, shared over the places of a picture', async () => {
    const own = [1, 2, 3, 4].map((seed) => weight([1, 1, 4], seed));
    const inits = { t_left_init: 'zero', a_left_init: 'zero', t_right_init: 'zero', a_right_init: 'one', shared_axes: [1, 2] };
    const names = ['t_left', 'a_left', 't_right', 'a_right'];
    const bytes = await sequential1(layer('SReLU', inits), { act: names.map((name, i) => [name, own[i]!] as const) });
    const expected = arrayOf(x.shape, (n, i, j, c) => {
      const [from, low, distance, high] = own.map(({ values }) => values[c]!) as [number, number, number, number];
      const [v, to] = [at(x, n, i, j, c), from + Math.abs(distance)];
      return v < from ? from + low * (v - from) : v > to ? to + high * (v - to) : v;
    });
    expect(difference(await only(bytes, [x]), expected)).toBeLessThan(1e-5);
  });

  test('ParametricSoftplus, one for each element', async () => {
    const [alpha, beta] = [weight([3, 2, 4], 1), weight([3, 2, 4], 2)];
    const bytes = await sequential1(layer('ParametricSoftplus', { alpha_init: 0.2, beta_init: 5 }), {
      act: [
        ['alphas', alpha],
        ['betas', beta],
      ],
    });
    const expected = arrayOf(x.shape, (n, i, j, c) => {
      const place = (i * 2 + j) * 4 + c;
      return alpha.values[place]! * Math.log(1 + Math.exp(beta.values[place]! * at(x, n, i, j, c)));
    });
    expect(difference(await only(bytes, [x]), expected)).toBeLessThan(1e-5);
  });
});
