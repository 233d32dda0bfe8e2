/** Operators that treat every element alike: activations, arithmetic with broadcasting. */
import type { Layer } from '../layer-map.js';
import { broadcastShape, broadcastValue, mapValue, type Value } from './array.js';
import { readWeight } from './operands.js';
import { number, type Operator } from './operator.js';

/** An operator of one input from its function; `make` reads the layer's attributes once. */
function unary(make: (layer: Layer) => (x: number) => number): Operator {
  return async (layer, [x]) => mapValue(x!, make(layer));
}

export const activations: Readonly<Record<string, Operator>> = {
  Relu: unary(() => (x) => Math.max(x, 0)),
  LeakyRelu: unary((layer) => {
    const alpha = number(layer, 'alpha');
    return (x) => (x < 0 ? alpha * x : x);
  }),
  ThresholdedRelu: unary((layer) => {
    const alpha = number(layer, 'alpha');
    return (x) => (x > alpha ? x : 0);
  }),
  Elu: unary((layer) => {
    const alpha = number(layer, 'alpha');
    return (x) => (x < 0 ? alpha * Math.expm1(x) : x);
  }),
  Selu: unary((layer) => {
    const alpha = number(layer, 'alpha');
    const gamma = number(layer, 'gamma');
    return (x) => gamma * (x > 0 ? x : alpha * Math.expm1(x));
  }),
  Sigmoid: unary(() => (x) => 1 / (1 + Math.exp(-x))),
  HardSigmoid: unary((layer) => {
    const alpha = number(layer, 'alpha');
    const beta = number(layer, 'beta');
    return (x) => Math.max(0, Math.min(1, alpha * x + beta));
  }),
  Tanh: unary(() => Math.tanh),
  // log(1 + e^x), arranged so that neither end overflows.
  Softplus: unary(() => (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)))),
  Softsign: unary(() => (x) => x / (1 + Math.abs(x))),
  Erf: unary(() => erf),
  Exp: unary(() => Math.exp),
  Log: unary(() => Math.log),
  Abs: unary(() => Math.abs),
  Neg: unary(() => (x) => -x),
  Sqrt: unary(() => Math.sqrt),
  Identity: async (_, [x]) => x!,
  Clip: unary((layer) => {
    const min = number(layer, 'min');
    const max = number(layer, 'max');
    return (x) => Math.min(max, Math.max(min, x));
  }),
};

/** The slope broadcasts to the input: [channels, 1, 1] is one for each channel. */
export const pRelu: Operator = async (layer, [x]) => {
  const slope = broadcastValue(await readWeight(layer, 'slope'), x!.shape);
  return { shape: x!.shape, data: x!.data.map((element, i) => (element < 0 ? slope.data[i]! * element : element)) };
};

const ARITHMETIC = {
  Add: (a: number, b: number) => a + b,
  Sub: (a: number, b: number) => a - b,
  Mul: (a: number, b: number) => a * b,
  Div: (a: number, b: number) => a / b,
  Pow: (a: number, b: number) => a ** b,
};

/** Two operands, of which the second may be a weight. */
export const arithmetic: Readonly<Record<string, Operator>> = Object.fromEntries(
  Object.entries(ARITHMETIC).map(([op, combine]): [string, Operator] => [
    op,
    async (layer, [a, b]) => combineValues(a!, b ?? (await readWeight(layer, 'operand')), combine),
  ]),
);

/** Any number of inputs, combined from the left. */
export const variadic: Readonly<Record<string, Operator>> = {
  Max: async (_, inputs) => inputs.reduce((a, b) => combineValues(a, b, Math.max)),
  Min: async (_, inputs) => inputs.reduce((a, b) => combineValues(a, b, Math.min)),
  Sum: async (_, inputs) => inputs.reduce((a, b) => combineValues(a, b, ARITHMETIC.Add)),
};

function combineValues(a: Value, b: Value, combine: (a: number, b: number) => number): Value {
  const shape = broadcastShape(a.shape, b.shape);
  const left = broadcastValue(a, shape).data;
  const right = broadcastValue(b, shape).data;
  return { shape, data: left.map((element, i) => combine(element, right[i]!)) };
}

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
