/** Activations: missing, another one, one more, twice; with another slope or in another form of approximation. */
import type { Layer } from '../../model/layer-map.js';
import { mapValue, type Value } from '../../model/ops/array.js';
import { evaluateLayer } from '../../model/ops/evaluate.js';
import { makeLayer } from '../../model/ops/index.js';
import type { Cause, Family } from './cause.js';

type Scalar = (x: number) => number;

const sigmoid: Scalar = (x) => 1 / (1 + Math.exp(-x));
const softplus: Scalar = (x) => (x > 30 ? x : Math.log1p(Math.exp(x)));
const clip =
  (low: number, high: number): Scalar =>
  (x) =>
    Math.min(high, Math.max(low, x));
const leaky =
  (slope: number): Scalar =>
  (x) =>
    x < 0 ? slope * x : x;
const hard =
  (alpha: number, beta: number): Scalar =>
  (x) =>
    Math.min(1, Math.max(0, alpha * x + beta));
const tanhGelu: Scalar = (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** By the name that people know them by; a runtime has an operator for most of them. */
const FUNCTIONS: readonly (readonly [what: string, kind: string, of: Scalar])[] = [
  ['ReLU', 'activation', (x) => Math.max(0, x)],
  ['ReLU6', 'activation', clip(0, 6)],
  ['sigmoid', 'activation', sigmoid],
  ['tanh', 'activation', Math.tanh],
  ...[0.01, 0.1, 0.2, 0.25, 0.3, 0.5].map((slope) => [`LeakyReLU with slope ${slope}`, 'slope', leaky(slope)] as const),
  ['ELU', 'activation', (x) => (x < 0 ? Math.expm1(x) : x)],
  ['SELU', 'activation', (x) => 1.0507009873554805 * (x < 0 ? 1.6732632423543772 * Math.expm1(x) : x)],
  ['SiLU (x times its sigmoid)', 'activation', (x) => x * sigmoid(x)],
  ['GELU by tanh', 'gelu-form', tanhGelu],
  ['GELU by a sigmoid of 1.702 x', 'gelu-form', (x) => x * sigmoid(1.702 * x)],
  ['hard sigmoid of Keras 2 (0.2 x + 0.5)', 'hard-sigmoid-form', hard(0.2, 0.5)],
  ['hard sigmoid of PyTorch (x / 6 + 0.5)', 'hard-sigmoid-form', hard(1 / 6, 0.5)],
  ['hard swish', 'activation', (x) => x * hard(1 / 6, 0.5)(x)],
  ['hard swish by Keras 2 (x times 0.2 x + 0.5)', 'activation', (x) => x * hard(0.2, 0.5)(x)],
  ['softplus', 'activation', softplus],
  ['softsign', 'activation', (x) => x / (1 + Math.abs(x))],
  ['mish', 'activation', (x) => x * Math.tanh(softplus(x))],
  ['exponential', 'activation', Math.exp],
  ['absolute value', 'activation', Math.abs],
  ['square', 'activation', (x) => x * x],
  ['square root', 'activation', Math.sqrt],
  ['clip at 0 and 1', 'clip', clip(0, 1)],
  ['clip at -1 and 1', 'clip', clip(-1, 1)],
  ['clip at 0 and 20', 'clip', clip(0, 20)],
  ['clip at -10 and 10', 'clip', clip(-10, 10)],
  ['clip at 0 and 255', 'clip', clip(0, 255)],
];

/** What stands for the error function inside of a GELU that is several nodes: of x / √2. */
const ERROR_FUNCTIONS: readonly (readonly [what: string, of: Scalar])[] = [
  ['GELU by tanh', (x) => Math.tanh(Math.sqrt(2 / Math.PI) * (Math.SQRT2 * x + 0.044715 * (Math.SQRT2 * x) ** 3))],
  ['GELU by a sigmoid of 1.702 x', (x) => 2 * sigmoid(1.702 * Math.SQRT2 * x) - 1],
];

/** What is no function of single elements. */
const OF_MANY: readonly string[] = ['Softmax', 'LogSoftmax', 'Hardmax'];

/** Operators that are functions of the single elements of one value. */
const SINGLE: ReadonlySet<string> = new Set([
  ...['Relu', 'LeakyRelu', 'PRelu', 'Elu', 'Selu', 'Celu', 'Sigmoid', 'HardSigmoid', 'HardSwish', 'Tanh', 'Softplus', 'Softsign', 'Mish', 'Gelu', 'Clip'],
  ...['ThresholdedRelu', 'Exp', 'Log', 'Erf', 'Sqrt', 'Abs', 'Neg', 'Reciprocal', 'Swish', 'Shrink', 'Floor', 'Ceil', 'Round'],
]);

/** Whether the layer is an activation, so that another may stand in its place. */
export function isActivation({ op }: Pick<Layer, 'op'>): boolean {
  return SINGLE.has(op) || OF_MANY.includes(op);
}

/** Whether it is a function of the single elements of one value, which the layer's settings alone tell. */
export function isSingleActivation({ op, inputs, weights }: Pick<Layer, 'op' | 'inputs' | 'weights'>): boolean {
  return SINGLE.has(op) && inputs.length === 1 && Object.keys(weights).length === 0;
}

/** An activation that is not there. */
export const missing: Family = function* ({ layer }) {
  if (isActivation(layer)) yield { kind: 'activation-missing', what: `${layer.op} missing`, layer: nothing(layer) };
};

/** Another one in its place; what is not an activation may have got one. */
export const others: Family = function* ({ layer, inputs }) {
  const own = isActivation(layer);
  for (const [what, kind, of] of FUNCTIONS) {
    if (own) yield { kind, what: `${what} for ${layer.op}`, layer: nothing(layer), made: (x) => mapValue(x, of) };
    yield { kind: own ? 'activation-doubled' : 'activation-more', what: `${what} after it`, made: (x) => mapValue(x, of) };
  }
  for (const [what, of] of layer.op === 'Erf' ? ERROR_FUNCTIONS : [])
    yield { kind: 'gelu-form', what: `${what} for one by the error function`, layer: nothing(layer), made: (x) => mapValue(x, of) };
  const rank = inputs[0]?.shape.length ?? 0;
  for (const op of OF_MANY) {
    for (const axis of [-1, ...(rank > 1 ? [1] : [])]) {
      const after = makeLayer({ name: layer.name, op, inputs: ['x'], outputs: ['y'], attributes: { axis } });
      const at = axis < 0 ? '' : ` along axis ${axis}`;
      if (own && op !== layer.op) yield { kind: 'activation', what: `${op}${at} for ${layer.op}`, layer: nothing(layer), made: through(after) };
      yield { kind: own ? 'activation-doubled' : 'activation-more', what: `${op}${at} after it`, made: through(after) };
    }
  }
  if (own && !OF_MANY.includes(layer.op))
    yield { kind: 'activation-doubled', what: `${layer.op} twice`, made: through({ ...layer, inputs: layer.inputs.slice(0, 1) }) };
};

/** The elements' places told by where they are: a softmax over all that is not the batch, as older operators have it. */
export const wholeSoftmax: Family = function* ({ layer }): Iterable<Cause> {
  if (layer.op !== 'Softmax' && layer.op !== 'LogSoftmax') return;
  yield {
    kind: 'axis',
    what: `${layer.op} over all axes from ${layer.attributes.axis} on`,
    layer: nothing(layer),
    async made(x) {
      const axis = Number(layer.attributes.axis);
      const front = axis < 0 ? axis + x.shape.length : axis;
      const outer = x.shape.slice(0, front).reduce((a, b) => a * b, 1);
      const flat = { ...x, shape: [outer, x.data.length / outer] };
      const y = await through({ ...layer, attributes: { ...layer.attributes, axis: 1 } })(flat);
      return { ...y, shape: x.shape };
    },
  };
};

function nothing({ name, inputs, outputs }: Layer): Layer {
  return makeLayer({ name, op: 'Identity', inputs: inputs.slice(0, 1), outputs });
}

function through(layer: Layer): (x: Value) => Promise<Value> {
  return async (x) => (await evaluateLayer(layer, [x]))[0]!;
}
