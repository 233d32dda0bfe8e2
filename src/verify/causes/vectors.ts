/** Weights that are a number for each channel: a bias that is missing, doubled or moved, a scale in the place of a bias, a deviation in that of a variance. */
import type { Layer } from '../../model/layer-map.js';
import { elementCount, type Tensor } from '../../model/tensor.js';
import { type Cause, type Family, withWeights } from './cause.js';
import { MOST_HELD, mapped } from './edit.js';

interface Change {
  readonly kind: string;
  readonly what: string;
  readonly of: (value: number, epsilon: number) => number;
}

/** What a weight is where it is left out: a scale is one, everything else nothing. */
const NEUTRAL: Readonly<Record<string, number>> = { scale: 1, variance: 1 };

const OF_ANY: readonly Change[] = [
  { kind: 'doubled', what: 'doubled', of: (value) => 2 * value },
  { kind: 'halved', what: 'halved', of: (value) => value / 2 },
  { kind: 'negated', what: 'with the other sign', of: (value) => -value },
];

const OF_SPREAD: readonly Change[] = [
  { kind: 'variance-as-deviation', what: 'as a standard deviation: its root', of: (value) => Math.sqrt(value) },
  { kind: 'variance-as-deviation', what: 'as a standard deviation: its root, epsilon added before', of: (value, epsilon) => Math.sqrt(value + epsilon) },
  { kind: 'variance-inverse', what: 'as the inverse of a deviation', of: (value, epsilon) => 1 / Math.sqrt(value + epsilon) },
  { kind: 'variance-inverse', what: 'as the inverse of a deviation, without epsilon', of: (value) => 1 / Math.sqrt(value) },
  { kind: 'variance-inverse', what: 'as its inverse', of: (value, epsilon) => 1 / (value + epsilon) },
  { kind: 'variance-squared', what: 'squared', of: (value) => value * value },
  { kind: 'variance-log', what: 'as its logarithm', of: (value) => Math.log(value) },
];

export const vectors: Family = function* ({ layer }) {
  const epsilon = Number(layer.attributes.epsilon ?? 0);
  for (const [role, tensor] of Object.entries(layer.weights)) {
    if (elementCount(tensor.shape) > MOST_HELD) continue;
    const neutral = NEUTRAL[role] ?? 0;
    yield changed(layer, role, tensor, { kind: `${role}-missing`, what: `missing (all ${neutral})`, of: () => neutral }, epsilon);
    for (const change of OF_ANY) yield changed(layer, role, tensor, { ...change, kind: `${role}-${change.kind}` }, epsilon);
    if (role === 'variance' || role === 'scale')
      for (const change of OF_SPREAD) yield changed(layer, role, tensor, { ...change, kind: change.kind.replace('variance', role) }, epsilon);
  }
};

function changed(layer: Layer, role: string, tensor: Tensor, { kind, what, of }: Change, epsilon: number): Cause {
  return { kind, what: `${role} ${what}`, layer: withWeights(layer, { [role]: mapped(tensor, (value) => of(value, epsilon)) }) };
}

/** Two weights of one layer that have changed places. */
export const exchanged: Family = function* ({ layer }) {
  const roles = Object.keys(layer.weights);
  for (const [i, a] of roles.entries()) {
    for (const b of roles.slice(i + 1)) {
      const [first, second] = [layer.weights[a]!, layer.weights[b]!];
      if (`${first.shape}` !== `${second.shape}`) continue;
      yield { kind: 'weights-exchanged', what: `${a} and ${b} exchanged`, layer: withWeights(layer, { [a]: second, [b]: first }) };
      yield { kind: 'weights-exchanged', what: `${a} in the place of ${b} as well`, layer: withWeights(layer, { [b]: first }) };
      yield { kind: 'weights-exchanged', what: `${b} in the place of ${a} as well`, layer: withWeights(layer, { [a]: second }) };
    }
  }
};
