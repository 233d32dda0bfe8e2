/** Every activation that Keras names, by name, as a function and as a layer, against its formula. */
import { describe, expect, test } from 'vitest';
import { conversionError, difference, predictSequence, type SequenceOptions } from '../keras-run.js';
import type { Run } from '../run-onnx.js';

const X: Run = { shape: [2, 24], data: Float32Array.from({ length: 48 }, (_, i) => (i - 23.5) / 4 + (i % 5) / 50) };

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const softplus = (x: number) => Math.log1p(Math.exp(x));
/** Abramowitz and Stegun 7.1.26 is too coarse; the integral of the density, summed finely, is not. */
const normal = (x: number) => {
  const steps = 4000;
  let sum = 0;
  for (let i = 0; i < steps; i++) {
    const t = ((i + 0.5) / steps) * x;
    sum += Math.exp((-t * t) / 2);
  }
  return 0.5 + (sum * x) / steps / Math.sqrt(2 * Math.PI);
};
const clamp = (x: number, min: number, max: number) => Math.min(max, Math.max(min, x));

const FORMULAS: Readonly<Record<string, (x: number) => number>> = {
  linear: (x) => x,
  relu: (x) => Math.max(x, 0),
  relu6: (x) => clamp(x, 0, 6),
  leaky_relu: (x) => (x < 0 ? 0.2 * x : x),
  elu: (x) => (x < 0 ? Math.exp(x) - 1 : x),
  celu: (x) => (x < 0 ? Math.exp(x) - 1 : x),
  selu: (x) => 1.05070098 * (x < 0 ? 1.67326324 * (Math.exp(x) - 1) : x),
  gelu: (x) => x * normal(x),
  gelu_new: (x) => (x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))) / 2,
  sigmoid,
  log_sigmoid: (x) => Math.log(sigmoid(x)),
  sparse_sigmoid: (x) => clamp((x + 1) / 2, 0, 1),
  tanh: (x) => (Math.exp(x) - Math.exp(-x)) / (Math.exp(x) + Math.exp(-x)),
  hard_tanh: (x) => clamp(x, -1, 1),
  tanh_shrink: (x) => x - Math.tanh(x),
  hard_shrink: (x) => (Math.abs(x) > 0.5 ? x : 0),
  soft_shrink: (x) => (x > 0.5 ? x - 0.5 : x < -0.5 ? x + 0.5 : 0),
  softplus,
  softsign: (x) => x / (1 + Math.abs(x)),
  soft_sign: (x) => x / (1 + Math.abs(x)),
  squareplus: (x) => (x + Math.sqrt(x * x + 4)) / 2,
  sparse_plus: (x) => (x <= -1 ? 0 : x >= 1 ? x : (x + 1) ** 2 / 4),
  exponential: Math.exp,
  swish: (x) => x * sigmoid(x),
  silu: (x) => x * sigmoid(x),
  hard_swish: (x) => (x * clamp(x + 3, 0, 6)) / 6,
  hard_silu: (x) => (x * clamp(x + 3, 0, 6)) / 6,
  mish: (x) => x * Math.tanh(softplus(x)),
};

const mapped = (x: Run, change: (value: number) => number): Run => ({ shape: x.shape, data: x.data.map(change) });

async function expectActivation(activation: unknown, expected: Run, options: SequenceOptions = {}) {
  const actual = await predictSequence(X, [['Activation', { activation }]], options);
  const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 1);
  expect(difference(actual, expected) / scale).toBeLessThan(2e-6);
}

describe('activations', () => {
  test.each(Object.keys(FORMULAS))('%s', async (name) => {
    await expectActivation(name, mapped(X, FORMULAS[name]!), { version: '3.9.0' });
  });

  test('a function of TensorFlow that bears the name is it, one of someone else is not', async () => {
    const named = (module: string) => ({ module, class_name: 'function', config: 'relu', registered_name: 'relu' });
    await expectActivation(named('tensorflow.python.ops.gen_nn_ops'), mapped(X, FORMULAS.relu!));
    const error = await conversionError(predictSequence(X, [['Activation', { activation: named('__main__') }]]));
    expect(error.kind).toBe('unsupported');
  });

  test.each([
    ['2.13.1', 0.2],
    ['3.0.1', 1 / 6],
  ])('hard_sigmoid of Keras %s has its slope', async (version, slope) => {
    await expectActivation(
      'hard_sigmoid',
      mapped(X, (x) => clamp(slope * x + 0.5, 0, 1)),
      { version },
    );
  });

  test.each(['softmax', 'log_softmax'])('%s', async (name) => {
    const data = X.data.map((x, i) => {
      const row = X.data.subarray(i < 24 ? 0 : 24, i < 24 ? 24 : 48);
      const share = Math.exp(x) / row.reduce((sum, other) => sum + Math.exp(other), 0);
      return name === 'softmax' ? share : Math.log(share);
    });
    await expectActivation(name, { shape: X.shape, data });
  });

  test('glu halves the last axis', async () => {
    const data = Float32Array.from({ length: 24 }, (_, i) => {
      const [row, column] = [Math.floor(i / 12), i % 12];
      return X.data[row * 24 + column]! * sigmoid(X.data[row * 24 + 12 + column]!);
    });
    await expectActivation('glu', { shape: [2, 12], data }, { version: '3.9.0' });
  });

  test.each<[string, unknown, (x: number) => number]>([
    ['a function of Keras', { module: 'builtins', class_name: 'function', config: 'relu', registered_name: 'relu' }, FORMULAS.relu!],
    [
      'a LeakyReLU of tf.keras',
      { class_name: 'LeakyReLU', config: { name: 'leaky_re_lu', trainable: true, dtype: 'float32', alpha: 0.1 } },
      (x) => (x < 0 ? 0.1 * x : x),
    ],
    [
      'a ReLU of Keras 3',
      {
        module: 'keras.layers',
        class_name: 'ReLU',
        config: {
          name: 're_lu',
          trainable: true,
          dtype: { module: 'keras', class_name: 'DTypePolicy', config: { name: 'float32' }, registered_name: null },
          max_value: 3,
          negative_slope: 0,
          threshold: 0,
        },
        registered_name: null,
        build_config: { input_shape: [2, 24] },
      },
      (x) => clamp(x, 0, 3),
    ],
    ['an ELU', { class_name: 'ELU', config: { alpha: 0.5 } }, (x) => (x < 0 ? 0.5 * (Math.exp(x) - 1) : x)],
  ])('%s as an object', async (_, activation, formula) => {
    await expectActivation(activation, mapped(X, formula));
  });

  test('sparsemax, as Keras computes it', async () => {
    const expected = [0, 1].flatMap((n) => {
      const row = Array.from(X.data.slice(24 * n, 24 * n + 24));
      const sums: number[] = [];
      for (const value of row.toSorted((a, b) => b - a)) {
        const sum = (sums.at(-1) ?? 0) + value;
        if (value <= (sum - 1) / (sums.length + 1)) break;
        sums.push(sum);
      }
      const threshold = (sums.reduce((a, b) => a + b) - 1) / sums.length;
      return row.map((value) => Math.max(value - threshold, 0));
    });
    await expectActivation('sparsemax', { shape: X.shape, data: Float32Array.from(expected) }, { version: '3.9.0' });
  });

  test.each([
    ['planted', 'planted'],
    [{ module: 'builtins', class_name: 'function', config: 'my_swish', registered_name: 'function' }, 'my_swish'],
    [{ module: 'mine', class_name: 'function', config: 'relu', registered_name: 'Custom>relu' }, 'Custom>relu'],
    [{ module: 'mine', class_name: 'ReLU', config: {}, registered_name: 'Custom>ReLU' }, 'Custom>ReLU'],
    [{ class_name: 'BatchNormalization', config: { name: 'p' } }, 'BatchNormalization'],
    [{ class_name: 'LeakyReLU', config: { alpha: 0.1, planted: 1 } }, 'planted'],
  ])('%j is declined', async (activation, said) => {
    const error = await conversionError(predictSequence(X, [['Activation', { activation }]]));
    expect([error.kind, error.message]).toEqual(['unsupported', expect.stringContaining(said)]);
  });
});
