import { type Atom, coefficientOf, type Found, isClose, isPolynomial, polynomial, type Sum, X } from './algebra.js';
import { type Draft, endsBehind, furthest, type Matcher, valuesBefore } from './recognise.js';

/** Each pattern has one of these. */
const HEARTS: ReadonlySet<string> = new Set(['Erf', 'Tanh', 'Sigmoid', 'HardSigmoid', 'Clip']);
/** A Gelu goes on for three layers behind its heart, and begins up to eight before it. */
const MOST_BEHIND = 4;
const MOST_BEFORE = 9;

export const activation: Matcher = (layer, wiring, numbers) => {
  if (!HEARTS.has(layer.op) || layer.inputs.length !== 1) return null;
  return furthest(endsBehind(layer, wiring, MOST_BEHIND), valuesBefore(layer, wiring, MOST_BEFORE), wiring, numbers, (found, x, end) => {
    const drawn = draftOf(found, x);
    const isWhole = found.inner.has(layer) && `${wiring.shape(x)}` === `${wiring.shape(end.outputs[0])}`;
    return drawn && isWhole ? { draft: drawn, inner: found.inner, end } : null;
  });
};

type Call = Extract<Atom, { readonly kind: 'call' }>;

/** √(2/π) (x + 0.044715 x³) */
const TANH_OF_GELU = [0, Math.sqrt(2 / Math.PI), 0, Math.sqrt(2 / Math.PI) * 0.044715];

function draftOf({ sum }: Found, x: string): Draft | null {
  const calls = [...sum.atoms].filter((entry): entry is [string, Call] => entry[1].kind === 'call' && isIn(sum, entry[0]));
  const [[key, call] = []] = calls;
  if (key === undefined || !call || calls.length > 1) return null;
  const made = (op: string, attributes: Draft['attributes'] = {}): Draft => ({ op, inputs: [x], attributes });
  // c x f(...) + d x
  const [c, d] = [coefficientOf(sum, { [X]: 1, [key]: 1 }), coefficientOf(sum, { [X]: 1 })];
  const own = coefficientOf(sum, { [key]: 1 });
  if (sum.terms.size !== [c, d, own].filter((coefficient) => coefficient !== 0).length) return null;
  if (own !== 0) return c === 0 && d === 0 ? hardSigmoid(call, own, made) : null;
  const isHalf = isClose(c, 0.5) && isClose(d, 0.5);
  const isOnce = isClose(c, 1) && d === 0;
  const { op } = call.layer;
  if (op === 'Erf') return isHalf && isPolynomial(call.of, [0, Math.SQRT1_2]) ? made('Gelu', { approximate: 'none' }) : null;
  if (op === 'Tanh' && isHalf) return isPolynomial(call.of, TANH_OF_GELU) ? made('Gelu', { approximate: 'tanh' }) : null;
  if (op === 'Tanh') return isOnce && isSoftplus(call.of) ? made('Mish') : null;
  if (op === 'Sigmoid' && isOnce) {
    // tanh(z) = 2 sigmoid(2 z) - 1
    if (isPolynomial(call.of, TANH_OF_GELU.map((coefficient) => 2 * coefficient))) return made('Gelu', { approximate: 'tanh' }); // biome-ignore format: one condition, one line
    const alpha = polynomial(call.of)?.[1] ?? 0;
    return alpha > 0 && isPolynomial(call.of, [0, alpha]) ? made('Swish', { alpha: isClose(alpha, 1) ? 1 : alpha }) : null;
  }
  const gate = d === 0 ? gateOf(call, c) : null;
  return gate && isClose(gate.slope, 1 / 6) && isClose(gate.offset, 0.5) ? made('HardSwish') : null;
}

function isIn({ terms }: Sum, key: string): boolean {
  return [...terms.values()].some(({ powers }) => powers.has(key));
}

/** Softplus, also as log(1 + e^x): where that overflows, the tanh of both is 1. */
function isSoftplus(of: Sum): boolean {
  const [[key, call] = []] = [...of.atoms].filter((entry): entry is [string, Call] => entry[1].kind === 'call');
  if (key === undefined || !call || of.terms.size !== 1 || coefficientOf(of, { [key]: 1 }) !== 1) return false;
  if (call.layer.op === 'Softplus') return isPolynomial(call.of, [0, 1]);
  if (call.layer.op !== 'Log' || call.of.terms.size !== 2 || coefficientOf(call.of, {}) !== 1) return false;
  const [[power, exp] = []] = [...call.of.atoms].filter((entry): entry is [string, Call] => entry[1].kind === 'call');
  return exp?.layer.op === 'Exp' && coefficientOf(call.of, { [power!]: 1 }) === 1 && isPolynomial(exp.of, [0, 1]);
}

/** max(0, min(1, slope x + offset)), written as a factor times a Clip, or as a HardSigmoid. */
function gateOf({ layer, of }: Call, factor: number): { readonly slope: number; readonly offset: number } | null {
  const line = polynomial(of);
  if (line?.[2] !== 0 || line[3] !== 0 || factor <= 0) return null;
  const [offset, slope] = line as [number, number];
  const { min, max, alpha, beta } = layer.attributes as Readonly<Record<string, number>>;
  if (layer.op === 'HardSigmoid') return isClose(factor, 1) ? { slope: alpha! * slope, offset: alpha! * offset + beta! } : null;
  if (layer.op !== 'Clip' || min !== 0 || !isClose(factor * max!, 1)) return null;
  return { slope: factor * slope, offset: factor * offset };
}

function hardSigmoid(call: Call, factor: number, made: (op: string, attributes: Draft['attributes']) => Draft): Draft | null {
  const gate = call.layer.op === 'Clip' ? gateOf(call, factor) : null;
  return gate && gate.slope > 0 ? made('HardSigmoid', { alpha: Math.fround(gate.slope), beta: Math.fround(gate.offset) }) : null;
}
