/** Operators that treat every element alike: activations, arithmetic with broadcasting. */
import { ModelError } from '../../errors.js';
import { addDims, divideDim, isSumOfSizes, multiplyDims, quotientOf, subtractDims } from '../dims.js';
import { DTYPE_BYTES, type DType, isFloatDType } from '../dtype.js';
import type { Dim } from '../layer-map.js';
import { broadcastValue, combineValues, mapValue, type Value } from './array.js';
import { combineElements, sizes } from './elements.js';
import { float, int, type Operator, type OperatorDefinition, operator, type Shaped, type ValuesOf, word } from './operator.js';
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

const TRIGONOMETRY = {
  Sin: Math.sin,
  Cos: Math.cos,
  Tan: Math.tan,
  Asin: Math.asin,
  Acos: Math.acos,
  Atan: Math.atan,
  Sinh: Math.sinh,
  Cosh: Math.cosh,
  Asinh: Math.asinh,
  Acosh: Math.acosh,
  Atanh: Math.atanh,
} as const;

/** log(1 + e^x), arranged so that neither end overflows. */
const softplus = (x: number) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

export function roundHalfToEven(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
  return down % 2 === 0 ? down : down + 1;
}

/** A free size is whole already. */
const whole = { elements: ({ x }: { x: Shaped }) => x.elements?.map((element) => (typeof element === 'string' ? element : null)) };
const never = { sign: () => true };
const kept = { sign: ({ x }: { x: boolean }) => x };

/**
 * Math.max(x, 0) of each element. There are millions behind every convolution, of either sign as it comes, so that a branch for each would be
 * guessed wrongly half the time: (x + |x|) / 2 is the same number, but of what is not finite or overflows when doubled.
 */
function rectified({ shape, data }: Value): Value {
  const made = new Float64Array(data.length);
  let odd = 0;
  for (let i = 0; i < made.length; i++) {
    const doubled = data[i]! + Math.abs(data[i]!);
    odd += doubled - doubled;
    made[i] = doubled * 0.5;
  }
  if (odd !== 0) for (let i = 0; i < made.length; i++) made[i] = Math.max(data[i]!, 0);
  return { shape, data: made };
}

export const activations: readonly Operator[] = [
  operator({
    op: 'Relu',
    slots: ['x'],
    attributes: {},
    shape: ({ x }) => [x.shape],
    axes: 'any',
    onnx: {},
    compute: ({ x }) => [rectified(x)],
    ...never,
  }),
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
    { sign: ({ x }, { alpha }) => x || alpha >= 0 },
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
    // Opset 1 had fewer digits.
    {
      sign: ({ x }, { gamma }) => x && gamma >= 0,
      onnx: { defaults: { alpha: { before: 6, value: 1.6732 }, gamma: { before: 6, value: 1.0507 } } },
    },
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
  unary('Softplus', {}, () => softplus, never),
  unary('Softsign', {}, () => (x) => x / (1 + Math.abs(x)), kept),
  unary('Erf', {}, () => erf, { ...kept, onnx: { since: 9 } }),
  unary('Exp', {}, () => Math.exp, never),
  unary('Log', {}, () => Math.log),
  unary('Abs', {}, () => Math.abs, never),
  unary('Neg', {}, () => (x) => -x, { elements: ({ x }) => x.elements?.map((size) => (typeof size === 'number' ? -size : null)) }),
  unary('Sqrt', {}, () => Math.sqrt, never),
  unary('Reciprocal', {}, () => (x) => 1 / x, kept),
  // To the nearest whole number, halves to the even one.
  unary('Round', {}, () => roundHalfToEven, { ...kept, onnx: { since: 11 } }),
  unary('Sign', {}, () => Math.sign, { ...kept, onnx: { since: 9 } }),
  ...(['Sin', 'Cos', 'Tan', 'Asin', 'Acos', 'Atan'] as const).map((op) => unary(op, {}, () => TRIGONOMETRY[op], { onnx: { since: 7 } })),
  ...(['Sinh', 'Cosh', 'Asinh', 'Acosh', 'Atanh'] as const).map((op) => unary(op, {}, () => TRIGONOMETRY[op], { onnx: { since: 9 } })),
  unary(
    'Celu',
    { alpha: float(1) },
    ({ alpha }) =>
      (x) =>
        Math.max(0, x) + Math.min(0, alpha * Math.expm1(x / alpha)),
    { ...kept, onnx: { since: 12 } },
  ),
  unary('Mish', {}, () => (x) => x * Math.tanh(softplus(x)), { ...kept, onnx: { since: 18 } }),
  unary('HardSwish', {}, () => (x) => x * Math.max(0, Math.min(1, x / 6 + 0.5)), { ...kept, onnx: { since: 14 } }),
  unary(
    'Swish',
    { alpha: float(1) },
    ({ alpha }) =>
      (x) =>
        x / (1 + Math.exp(-alpha * x)),
    { ...kept, onnx: { since: 24 } },
  ),
  unary(
    'Shrink',
    { bias: float(0), lambd: float(0.5) },
    ({ bias, lambd }) =>
      (x) =>
        x < -lambd ? x + bias : x > lambd ? x - bias : 0,
    { onnx: { since: 9 } },
  ),
  unary('IsNaN', {}, () => (x) => (Number.isNaN(x) ? 1 : 0), { dtype: () => ['bool'], ...never, onnx: { since: 9 } }),
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
  // A bound that flows in is an input that is below zero or not.
  sign: ({ x, min: lowest, max: highest }, { min, max }) => (highest ?? max >= 0) && (x || (lowest ?? min >= 0)),
  axes: 'any',
  onnx: { inputs: { min: { since: 11, scalar: true }, max: { since: 11, scalar: true } } },
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
  binary('Pow', (a, b) => a ** b, {
    sign: ({ x }) => x,
    compute: ({ x, operand }) => [combineValues(x, operand, isInteger(x.dtype) ? (a, b) => Math.trunc(a ** b) : (a, b) => a ** b)],
  }),
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
    // Before opset 8 all inputs had one shape.
    onnx: {},
    compute: ({ parts }: { parts: readonly Value[] }) => [parts.reduce((a, b) => combineValues(a, b, combine))],
  });
}

/** fmod: the result has the sign of the dividend, as in C; else that of the divisor, as in Python. */
export const mod = operator({
  op: 'Mod',
  slots: ['x', 'operand'],
  attributes: { fmod: int(0) },
  shape: ({ x, operand }) => [broadcastDims([x.shape, operand.shape])],
  axes: 'any',
  onnx: { since: 10 },
  compute: ({ x, operand }, { fmod }) => [
    combineValues(x, operand, fmod ? (a, b) => a % b : (a, b) => (a % b === 0 || a % b < 0 === b < 0 ? a % b : (a % b) + b)),
  ],
});

/** @throws ModelError 'engine' where float64 does not count exactly: the bits that are lost would be read as others */
function exact(x: number): number {
  if (Number.isSafeInteger(x)) return x;
  throw new ModelError('engine', `the reference evaluator works on the bits of whole numbers up to 2^53, and ${x} flows in`);
}

/** Whole numbers by their bits. */
const bitwise = (
  op: string,
  combine: (a: bigint, b: bigint) => bigint,
  more: Partial<OperatorDefinition<Record<never, never>, readonly ['x', 'operand']>> = {},
) => binary(op, (a, b) => Number(combine(BigInt(exact(a)), BigInt(exact(b)))), { weights: [], onnx: { since: 18 }, ...more });

export const bits: readonly Operator[] = [
  bitwise('BitwiseAnd', (a, b) => a & b),
  bitwise('BitwiseOr', (a, b) => a | b),
  bitwise('BitwiseXor', (a, b) => a ^ b),
  unary('BitwiseNot', {}, () => (x) => Number(~BigInt(exact(x))), { onnx: { since: 18 } }),
];

export const bitShift = operator({
  op: 'BitShift',
  slots: ['x', 'operand'],
  attributes: { direction: word('LEFT', 'RIGHT') },
  shape: ({ x, operand }) => [broadcastDims([x.shape, operand.shape])],
  axes: 'any',
  onnx: { since: 11 },
  compute({ x, operand }, { direction }) {
    const width = 8 * DTYPE_BYTES[x.dtype ?? 'int64'];
    // What leaves the range of a narrower dtype wraps around behind this.
    const whole = width === 64 ? exact : (made: number) => made;
    return [
      combineValues(x, operand, (a, b) => {
        // From opset 28 on a shift by less than nothing, or by all bits, leaves what the sign fills; before, it was left open.
        const places = b < 0 ? width : Math.min(b, width);
        if (direction === 'RIGHT') return Math.floor(exact(a) / 2 ** places);
        return places === width ? 0 : whole(exact(a) * 2 ** places);
      }),
    ];
  },
});

/** approximate: tanh computes 0.5 x (1 + tanh(√(2/π) (x + 0.044715 x³))). */
export const gelu = operator({
  op: 'Gelu',
  slots: ['x'],
  attributes: { approximate: word('none', 'tanh') },
  shape: ({ x }) => [x.shape],
  axes: 'any',
  onnx: { since: 20 },
  compute: ({ x }, { approximate }) => [
    mapValue(
      x,
      approximate === 'tanh' ? (v) => 0.5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3))) : (v) => 0.5 * v * (1 + erf(v / Math.SQRT2)),
    ),
  ],
});

export const isInf = operator({
  op: 'IsInf',
  slots: ['x'],
  attributes: { detect_negative: int(1), detect_positive: int(1) },
  shape: ({ x }) => [x.shape],
  dtype: () => ['bool'],
  axes: 'any',
  onnx: { since: 10 },
  compute: ({ x }, { detect_negative, detect_positive }) => [
    mapValue(x, (v) => ((v === Number.POSITIVE_INFINITY && detect_positive) || (v === Number.NEGATIVE_INFINITY && detect_negative) ? 1 : 0)),
  ],
});

export const mean = operator({
  op: 'Mean',
  slots: ['parts...'],
  attributes: {},
  shape: ({ parts }) => [broadcastDims(parts.map(({ shape }) => shape))],
  sign: ({ parts }) => parts.every((part) => part),
  axes: 'any',
  onnx: {},
  compute: ({ parts }) => [
    mapValue(
      parts.reduce((a, b) => combineValues(a, b, (x, y) => x + y)),
      (sum) => sum / parts.length,
    ),
  ],
});

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
