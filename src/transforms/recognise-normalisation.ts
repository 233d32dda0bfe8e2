/** LayerNormalization and RMSNormalization over the last axes in what exporters write for them. */
import type { Layer } from '../model/layer-map.js';
import { float32Tensor, reshape, type Tensor } from '../model/tensor.js';
import { type Atom, coefficientOf, type Found, polynomial, type Sum, X } from './algebra.js';
import { type Draft, endsBehind, furthest, type Matcher } from './recognise.js';
import type { Wiring } from './wiring.js';

/** From the mean of squares to the sum with the bias, on both branches of TensorFlow's way to write it. */
const MOST_BEHIND = 12;

/** They compute in float32, whatever flows in. */
const AT_MOST_FLOAT32: ReadonlySet<string> = new Set(['float32', 'float16', 'bfloat16']);

export const normalisation: Matcher = (layer, wiring, numbers) => {
  if (layer.op !== 'ReduceMean') return null;
  const squared = wiring.maker(layer.inputs[0]);
  if (!squared || !['Pow', 'Mul'].includes(squared.op)) return null;
  const base = squared.inputs[0]!;
  const distance = wiring.maker(base);
  // The input less its mean, or the input itself.
  const values = distance?.op === 'Sub' ? [base, distance.inputs[0]!] : [base];
  if (!AT_MOST_FLOAT32.has(wiring.types.get(base)?.dtype ?? '')) return null;
  return furthest(endsBehind(layer, wiring, MOST_BEHIND), values, wiring, numbers, (found, x, end) => {
    if (!found.inner.has(layer)) return null;
    const draft = draftOf(found, x, end, wiring);
    return draft && { draft, inner: found.inner, end };
  });
};

type Call = Extract<Atom, { readonly kind: 'call' }>;

function draftOf({ sum }: Found, x: string, end: Layer, wiring: Wiring): Draft | null {
  const shape = wiring.shape(x);
  if (!shape || `${shape}` !== `${wiring.shape(end.outputs[0])}`) return null;
  const calls = [...sum.atoms].filter((entry): entry is [string, Call] => entry[1].kind === 'call' && isIn(sum, entry[0]));
  const root = calls.find(([key, { layer }]) => key.startsWith('Sqrt') && ['Sqrt', 'Pow'].includes(layer.op));
  const mean = calls.find(([, { axes }]) => axes);
  const weights = [...sum.atoms].filter(([key, { kind }]) => kind === 'weight' && isIn(sum, key));
  if (!root || calls.length !== (mean ? 2 : 1)) return null;
  const spread = spreadOf(root[1].of);
  if (!spread || !isLast(spread.axes, shape.length) || (mean && `${mean[1].axes}` !== `${spread.axes}`)) return null;
  if (mean ? !isX(mean[1].of) || !spread.isCentred : spread.isCentred) return null;
  // scale (x - mean) / root + bias
  const quotient = (atom: string, scale?: string) => coefficientOf(sum, { [atom]: 1, [root[0]]: -1, ...(scale === undefined ? {} : { [scale]: 1 }) });
  const scale = weights.find(([key]) => quotient(X, key) !== 0);
  const bias = weights.find(([key]) => coefficientOf(sum, { [key]: 1 }) === 1);
  const count = (mean ? 2 : 1) + (bias ? 1 : 0);
  if (sum.terms.size !== count || quotient(X, scale?.[0]) !== 1 || (mean && quotient(mean[0], scale?.[0]) !== -1)) return null;
  if (!mean && bias) return null;
  const sizes = shape.slice(-spread.axes.length);
  if (!sizes.every((size) => typeof size === 'number')) return null;
  const parts = [scale, bias].map((weight) => (weight?.[1].kind === 'weight' ? fitted(weight[1].tensor, sizes) : undefined));
  if (parts.includes(null)) return null;
  const name = scale?.[1].kind === 'weight' ? scale[1].tensor.name : end.name;
  const ones = () => float32Tensor(`${name}.scale`, sizes, new Float32Array(sizes.reduce((a, b) => a * b, 1)).fill(1), { file: 'weighbridge' });
  return {
    op: mean ? 'LayerNormalization' : 'RMSNormalization',
    inputs: [x],
    attributes: { axis: -sizes.length, epsilon: spread.epsilon },
    weights: { scale: parts[0] ?? ones(), ...(parts[1] ? { bias: parts[1] } : {}) },
  };
}

function isIn({ terms }: Sum, key: string): boolean {
  return [...terms.values()].some(({ powers }) => powers.has(key));
}

function isX(of: Sum): boolean {
  return of.terms.size === 1 && coefficientOf(of, { [X]: 1 }) === 1;
}

/** The mean of squares plus an epsilon, over which axes, and whether of distances from the mean. */
function spreadOf(of: Sum): { readonly axes: readonly number[]; readonly epsilon: number; readonly isCentred: boolean } | null {
  const [[key, call] = []] = [...of.atoms].filter((entry): entry is [string, Call] => entry[1].kind === 'call');
  const epsilon = coefficientOf(of, {});
  if (key === undefined || !call?.axes || coefficientOf(of, { [key]: 1 }) !== 1 || of.terms.size !== (epsilon === 0 ? 1 : 2) || epsilon < 0) return null;
  const { of: squares, axes } = call;
  if (squares.terms.size === 1 && polynomial(squares)?.[2] === 1) return { axes, epsilon, isCentred: false };
  // (x - mean)²
  const mean = [...squares.atoms].find(([, atom]) => atom.kind === 'call' && `${atom.axes}` === `${axes}` && isX(atom.of))?.[0];
  if (mean === undefined || squares.terms.size !== 3) return null;
  const isSquare =
    coefficientOf(squares, { [X]: 2 }) === 1 && coefficientOf(squares, { [X]: 1, [mean]: 1 }) === -2 && coefficientOf(squares, { [mean]: 2 }) === 1;
  return isSquare ? { axes, epsilon, isCentred: true } : null;
}

function isLast(axes: readonly number[], rank: number): boolean {
  return axes.every((axis, i) => axis === rank - axes.length + i);
}

/** A weight that broadcasts from the last axes on, with their sizes; null where it has others. */
function fitted(tensor: Tensor, sizes: readonly number[]): Tensor | null {
  const more = tensor.shape.length - sizes.length;
  const lead = tensor.shape.slice(0, Math.max(0, more));
  const isAlike = more >= 0 && lead.every((size) => size === 1) && `${tensor.shape.slice(more)}` === `${sizes}`;
  if (!isAlike) return null;
  return more === 0 ? tensor : reshape(tensor, sizes);
}
