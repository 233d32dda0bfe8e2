/** Operators that treat every element alike: activations, arithmetic with broadcasting. */
import { addDims, divideDim, isSumOfSizes, multiplyDims, quotientOf, subtractDims } from '../dims.js';
import { type DType, isFloatDType } from '../dtype.js';
import type { Dim } from '../layer-map.js';
import { broadcastValue, combineValues, mapValue, type Value } from './array.js';
import { combineElements, sizes } from './elements.js';
import { float, type Operator, type OperatorDefinition, operator, type Shaped, type ValuesOf } from './operator.js';
import { broadcastDims } from './rules.js';

/** An operator of one input from its function; `make` reads the attributes once. */
function unary<const A extends Readonly<Record<string, ReturnType<typeof float>>>>(
  op: string,
  attributes: A,
  make: (attributes: ValuesOf<A>) => (x: number) => number,
  more: Partial<OperatorDefinition<A, readonly ['x']>> = {},
): Operator {
  return operator<A, readonly ['x']>({
    op,
    slots: ['x'],
    attributes,
    shape: ({ x }) => [x.shape],
    axes: 'any',
    onnx: {},
    compute: ({ x }, given) => [mapValue(x, make(given))],
    ...more,
  });
}

/** A free size is whole already. */
const whole = { elements: ({ x }: { x: Shaped }) => x.elements?.map((element) => (typeof element === 'string' ? element : null)) };
const never = { sign: () => true };
const kept = { sign: ({ x }: { x: boolean }) => x };

export const activations: readonly Operator[] = [
  unary('Relu', {}, () => (x) => Math.max(x, 0), never),
  unary(
    'LeakyRelu',
    { alpha: float(0.01) },
    ({ alpha }) =>
      (x) =>
        x < 0 ? alpha * x : x,
    kept,
  ),
  unary(
    'ThresholdedRelu',
    { alpha: float(1) },
    ({ alpha }) =>
      (x) =>
        x > alpha ? x : 0,
    { ...kept, onnx: { since: 10 } },
  ),
  unary(
    'Elu',
    { alpha: float(1) },
    ({ alpha }) =>
      (x) =>
        x < 0 ? alpha * Math.expm1(x) : x,
    kept,
  ),
  unary(
    'Selu',
    { alpha: float(1.6732632423543772), gamma: float(1.0507009873554805) },
    ({ alpha, gamma }) =>
      (x) =>
        gamma * (x > 0 ? x : alpha * Math.expm1(x)),
    kept,
  ),
  unary('Sigmoid', {}, () => (x) => 1 / (1 + Math.exp(-x)), never),
  unary(
    'HardSigmoid',
    { alpha: float(0.2), beta: float(0.5) },
    ({ alpha, beta }) =>
      (x) =>
        Math.max(0, Math.min(1, alpha * x + beta)),
    never,
  ),
  unary('Tanh', {}, () => Math.tanh, kept),
  // log(1 + e^x), arranged so that neither end overflows.
  unary('Softplus', {}, () => (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))), never),
  unary('Softsign', {}, () => (x) => x / (1 + Math.abs(x)), kept),
  unary('Erf', {}, () => erf, { ...kept, onnx: { since: 9 } }),
  unary('Exp', {}, () => Math.exp, never),
  unary('Log', {}, () => Math.log),
  unary('Abs', {}, () => Math.abs, never),
  unary('Neg', {}, () => (x) => -x, { elements: ({ x }) => x.elements?.map((size) => (typeof size === 'number' ? -size : null)) }),
  unary('Sqrt', {}, () => Math.sqrt, never),
  unary('Floor', {}, () => Math.floor, { ...kept, ...whole }),
  unary('Ceil', {}, () => Math.ceil, { ...kept, ...whole }),
  unary('Identity', {}, () => (x) => x, { ...kept, compute: ({ x }) => [x], elements: ({ x }) => x.elements }),
];

/** Either bound may be infinite, or flow in. */
export const clip = operator({
  op: 'Clip',
  slots: ['x', 'min?', 'max?'],
  attributes: { min: float(Number.NEGATIVE_INFINITY), max: float(Number.POSITIVE_INFINITY) },
  shape: ({ x }) => [x.shape],
  axes: 'any',
  onnx: { since: 6, inputs: { min: { since: 11, scalar: true }, max: { since: 11, scalar: true } } },
  compute({ x, min, max }, given) {
    const [lowest, highest] = [min?.data[0] ?? given.min, max?.data[0] ?? given.max];
    return [mapValue(x, (element) => Math.min(highest, Math.max(lowest, element)))];
  },
});

/** The slope broadcasts to the input: [channels, 1, 1] is one for each channel. */
export const pRelu = operator({
  op: 'PRelu',
  slots: ['x', 'slope'],
  weights: ['slope'],
  attributes: {},
  shape: ({ x }) => [x.shape],
  onnx: { since: 7 },
  compute({ x, slope }) {
    const factors = broadcastValue(slope, x.shape).data;
    return [{ shape: x.shape, data: x.data.map((element, i) => (element < 0 ? factors[i]! * element : element)) }];
  },
});

type Combine = (a: number, b: number) => number;

/** Two operands, each broadcast to the other. */
function binary(op: string, combine: Combine, more: Partial<OperatorDefinition<Record<never, never>, readonly ['x', 'operand']>> = {}): Operator {
  return operator<Record<never, never>, readonly ['x', 'operand']>({
    op,
    slots: ['x', 'operand'],
    weights: ['operand'],
    attributes: {},
    plain: { weights: [] },
    // Not where the operand is what decides the shape.
    holds: (_, shape, x) => x !== null && shape.length <= x.length && shape.every((size, i) => size === 1 || size === x[x.length - shape.length + i]),
    shape: ({ x, operand }) => [broadcastDims([x.shape, operand.shape])],
    axes: 'any',
    onnx: { since: 7 },
    compute: ({ x, operand }) => [combineValues(x, operand, combine)],
    ...more,
  });
}

const isInteger = (dtype: DType | null | undefined) => dtype != null && !isFloatDType(dtype);

/** Divides sizes as integers are divided, which is rounding down where neither is negative. */
function quotient(a: Dim, b: Dim): Dim | null {
  return quotientOf(a, b) ?? (typeof b === 'number' && b > 0 && isSumOfSizes(a) ? divideDim(a, b) : null);
}

const both = { sign: ({ x, operand }: { x: boolean; operand: boolean }) => x && operand };

export const arithmetic: readonly Operator[] = [
  binary('Add', (a, b) => a + b, { ...both, commutes: true, elements: ({ x, operand }) => combineElements(x, operand, sizes(addDims)) }),
  binary('Sub', (a, b) => a - b, { elements: ({ x, operand }) => combineElements(x, operand, sizes(subtractDims)) }),
  binary('Mul', (a, b) => a * b, { ...both, commutes: true, elements: ({ x, operand }) => combineElements(x, operand, sizes(multiplyDims)) }),
  binary('Div', (a, b) => a / b, {
    ...both,
    elements: ({ x, operand }) => combineElements(x, operand, sizes(isInteger(x.dtype) ? quotient : quotientOf)),
    // Integers are rounded towards zero.
    compute: ({ x, operand }) => [combineValues(x, operand, isInteger(x.dtype) ? (a, b) => Math.trunc(a / b) : (a, b) => a / b)],
  }),
  binary('Pow', (a, b) => a ** b, { sign: ({ x }) => x }),
];

/** Any number of inputs, combined from the left. */
function variadic(op: string, combine: Combine): Operator {
  return operator({
    op,
    slots: ['parts...'],
    attributes: {},
    shape: ({ parts }: { parts: readonly Shaped[] }): readonly (readonly Dim[])[] => [broadcastDims(parts.map(({ shape }) => shape))],
    sign: ({ parts }) => parts.every((part) => part),
    axes: 'any',
    onnx: { since: 8 },
    compute: ({ parts }: { parts: readonly Value[] }) => [parts.reduce((a, b) => combineValues(a, b, combine))],
  });
}

export const variadics: readonly Operator[] = [variadic('Max', Math.max), variadic('Min', Math.min), variadic('Sum', (a, b) => a + b)];

/**
 * The error function to about 1e-15: its Taylor series near zero, the continued fraction of erfc beyond.
 *
 * @see https://dlmf.nist.gov/7.6.E2 and https://dlmf.nist.gov/7.9.E1
 */
function erf(x: number): number {
  const size = Math.abs(x);
  if (!(size < 6)) return Number.isNaN(x) ? x : Math.sign(x);
  if (size < 2.5) {
    let term = x;
    let sum = x;
    for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
      term *= (2 * x * x) / (2 * n + 1);
      sum += term;
    }
    return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
  }
  let fraction = size;
  for (let n = 60; n > 0; n--) fraction = size + n / 2 / fraction;
  return Math.sign(x) * (1 - Math.exp(-x * x) / (Math.sqrt(Math.PI) * fraction));
}
