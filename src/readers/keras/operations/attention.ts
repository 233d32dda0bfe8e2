/** Attention: products of queries and keys that weigh values. */
import { float32Tensor, reshape, type Tensor } from '../../../model/tensor.js';
import { softmax } from '../activations.js';
import { combineTensor, combineValues } from '../arithmetic.js';
import { kerasAxes, knownSize, reduce, slice, unsqueeze } from '../axes.js';
import type { Build } from '../rule.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';
import { type Arguments, isConstant, type Operand, valueAt } from './arguments.js';
import { lastTwoSwapped } from './arrangement.js';
import type { Operation } from './operation.js';

/** What a score of a step that does not count is lowered by: Keras's own number, next to which a softmax is nothing. */
const UNSEEN = -1e9;

/** Sizes of the projections. */
interface Heads {
  readonly heads: number;
  /** Of keys and values; each serves as many heads of queries. */
  readonly keyHeads: number;
  readonly keySize: number;
  readonly valueSize: number;
  readonly outputShape?: readonly number[] | undefined;
  /** Between which places there is attention; all but the batch and the features where left out. */
  readonly axes?: readonly number[] | undefined;
}

export const multiHeadAttention: Operation = (args) => {
  const heads = args.integer('num_heads', 1);
  const keySize = args.integer('key_dim', 1);
  const valueSize = args.integer('value_dim', keySize);
  return weighted(args, { heads, keyHeads: heads, keySize, valueSize, outputShape: args.integers('output_shape'), axes: args.integers('attention_axes') });
};

/** Several heads of queries share those of keys and values. */
export const groupedQueryAttention: Operation = (args) => {
  const heads = args.integer('num_query_heads', 1);
  const keyHeads = args.integer('num_key_value_heads', 1);
  const size = args.integer('head_dim', 1);
  if (!Number.isInteger(heads / keyHeads)) args.decline(`${keyHeads} heads of keys do not divide ${heads} of queries`);
  return weighted(args, { heads, keyHeads, keySize: size, valueSize: size });
};

function weighted(args: Arguments, { heads, keyHeads, keySize, valueSize, outputShape, axes }: Heads): Build {
  const query = args.operand('query');
  const value = args.operand('value');
  const key = args.has('key') ? args.operand('key') : value;
  const mask = args.has('attention_mask') ? args.operand('attention_mask') : null;
  const bias = args.boolean('use_bias', true);
  const causal = args.boolean('use_causal_mask', false);
  const reach = args.has('sliding_window') ? args.integer('sliding_window', 1) : Number.POSITIVE_INFINITY;
  const wantsScores = args.boolean('return_attention_scores', false);
  if ([query, value, key, ...(mask ? [mask] : [])].some(isConstant)) args.decline('it is called on numbers alone, which is not translated');
  declineTraining(args);
  return (inputs, scope) => {
    const [q, v, k] = [query, value, key].map((operand) => sequenceAlong(valueAt(operand, inputs), axes, scope)) as [Along, Along, Along];
    // Steps are behind the batch and, where attention leaves axes out, behind what these count.
    const lead = q.value.shape.length - 2;
    const turn = (...order: readonly number[]) => [...zeros(lead).map((_, axis) => axis), ...order.map((axis) => axis + lead)];
    const project = ({ value: x }: Along, size: number, order: readonly number[], own = keyHeads) => {
      const features = knownSize(x, -1, 'attention', scope);
      const kernel = reshape(scope.weight('kernel', [features, own, size]), [features, own * size]);
      const made = linear(x, kernel, bias ? reshape(scope.weight('bias', [own, size]), [own * size]) : null, scope);
      const split = scope.add('Reshape', [made], { attributes: { shape: [...zeros(lead + 1), own, size] } });
      const turned = scope.add('Transpose', [split], { attributes: { perm: turn(...order) } });
      if (own === heads) return turned;
      const each = Array.from({ length: own }, (_, i) => slice(turned, lead, i, i + 1, scope));
      return scope.add(
        'Concat',
        each.flatMap((head) => new Array<Value>(heads / own).fill(head)),
        { attributes: { axis: lead } },
      );
    };
    const queries = scope.withScalar('Mul', project(q, keySize, [1, 0, 2], heads), 1 / Math.sqrt(keySize));
    const keys = project(k, keySize, [1, 2, 0]);
    const values = project(v, valueSize, [1, 0, 2]);
    const plain = scope.add('MatMul', [queries, keys]);
    const seen = mask ? withMask(plain, valueAt(mask, inputs), scope) : plain;
    const near = causal || reach < Number.POSITIVE_INFINITY ? withinReach(seen, reach - 1, causal ? 0 : reach - 1, scope) : seen;
    const scores = softmax(near, scope, -1);
    const weighed = scope.add('Transpose', [scope.add('MatMul', [scores, values])], { attributes: { perm: turn(1, 0, 2) } });
    const joined = scope.add('Reshape', [weighed], { attributes: { shape: [...zeros(lead + 1), heads * valueSize] } });
    const out = outputShape && outputShape.length > 0 ? outputShape : [knownSize(q.value, -1, 'attention', scope)];
    const width = out.reduce((a, b) => a * b, 1);
    const kernel = reshape(scope.weight('output kernel', [heads, valueSize, ...out]), [heads * valueSize, width]);
    const made = q.back(linear(joined, kernel, bias ? reshape(scope.weight('output bias', out), [width]) : null, scope));
    const whole = out.length === 1 ? made : scope.add('Reshape', [made], { attributes: { shape: [...zeros(made.shape.length - 1), ...out] } });
    return wantsScores ? [whole, apart(scores, q, k, heads, scope)] : whole;
  };
}

/** The scores with each axis that attention goes along, or leaves out, as an axis of its own. */
function apart(scores: Value, { axes }: Along, keys: Along, heads: number, scope: Scope): Value {
  if (!axes || !keys.axes) return scores;
  return scope.add('Reshape', [scores], { attributes: { shape: [0, ...axes.others, heads, ...axes.places, ...keys.axes.places] } });
}

/** In a Reshape, sizes that stay. */
const zeros = (count: number) => new Array<number>(count).fill(0);

function declineTraining(args: Arguments): void {
  if (args.boolean('training', false)) args.decline('it is called with training=true, which is not translated');
}

/** A value whose places are one sequence [batch, steps, features], or several [batch, sequences, steps, features]. */
interface Along {
  readonly value: Value;
  /** Sizes of the axes that attention leaves out, and of those that it goes along; null where the steps are the only ones. */
  readonly axes: { readonly others: readonly number[]; readonly places: readonly number[] } | null;
  /** What came of it, with its axes as they were. */
  back(made: Value): Value;
}

function sequenceAlong(given: Value, axes: readonly number[] | undefined, scope: Scope): Along {
  const input = scope.builder.toKeras(given);
  const rank = input.shape.length;
  if (rank < 3) throw scope.unsupported(`attention between values of ${rank} axes`);
  const places = kerasAxes(input, axes ?? Array.from({ length: rank - 2 }, (_, i) => i + 1), scope);
  if (places.includes(0) || places.includes(rank - 1)) throw scope.unsupported(`attention along the axes ${axes}`);
  if (rank === 3) return { value: input, axes: null, back: (made) => made };
  const others = input.shape.map((_, axis) => axis).filter((axis) => axis > 0 && axis < rank - 1 && !places.includes(axis));
  const order = [0, ...others, ...places, rank - 1];
  const isInOrder = order.every((axis, i) => axis === i);
  const sizes = (list: readonly number[]) => list.map((axis) => knownSize(input, axis, 'attention', scope));
  const count = (list: readonly number[]) => sizes(list).reduce((a, b) => a * b, 1);
  const turned = isInOrder ? input : scope.add('Transpose', [input], { attributes: { perm: order } });
  const lead = others.length > 0 ? [count(others)] : [];
  const shape = [0, ...lead, count(places), knownSize(input, -1, 'attention', scope)];
  const back = (made: Value) => {
    const apart = scope.add('Reshape', [made], { attributes: { shape: [0, ...sizes(others), ...sizes(places), knownSize(made, -1, 'attention', scope)] } });
    return isInOrder ? apart : scope.add('Transpose', [apart], { attributes: { perm: order.map((_, axis) => order.indexOf(axis)) } });
  };
  return { value: scope.add('Reshape', [turned], { attributes: { shape } }), axes: { others: sizes(others), places: sizes(places) }, back };
}

/** Scores [batch, heads, queries, keys] of steps that count; a mask [batch, queries, keys] is one for all heads. */
function withMask(scores: Value, given: Value, scope: Scope): Value {
  const mask = scope.builder.toKeras(given);
  if (scores.shape.length !== 4 || mask.shape.length < 3 || mask.shape.length > 4)
    throw scope.unsupported(`a mask of ${mask.shape.length} axes over scores of ${scores.shape.length}`);
  const each = mask.shape.length === 3 ? unsqueeze(mask, 1, scope) : mask;
  const lowered = scope.withScalar('Mul', scope.withScalar('Add', scope.add('Neg', [each]), 1), UNSEEN);
  return scope.add('Add', [scores, scope.builder.toKeras(lowered)]);
}

/** [batch, steps, features] */
function sequence(operand: Operand, inputs: readonly Value[], scope: Scope): Value {
  const value = scope.builder.toKeras(valueAt(operand, inputs));
  if (value.shape.length !== 3) throw scope.unsupported(`attention between values of ${value.shape.length} axes; sequences [batch, steps, features] are; this`);
  return value;
}

function linear(x: Value, kernel: Tensor, bias: Tensor | null, scope: Scope): Value {
  const product = scope.add('MatMul', [x], { weights: { kernel } });
  return bias ? scope.add('Add', [product], { weights: { operand: bias } }) : product;
}

/** Of sequences of 4,000 steps. */
const MAX_SCORES = 2 ** 24;

/** The scores [..., queries, keys] without those that a step gives to later ones. */
export function causalOnly(scores: Value, scope: Scope): Value {
  return withinReach(scores, Number.POSITIVE_INFINITY, 0, scope);
}

/** The scores [..., queries, keys] that a step gives to so many before it, and so many behind it. */
function withinReach(scores: Value, before: number, behind: number, scope: Scope): Value {
  const [queries, keys] = [-2, -1].map((axis) => knownSize(scores, axis, 'causal attention', scope)) as [number, number];
  if (queries * keys > MAX_SCORES) throw scope.unsupported(`causal attention over ${queries} steps`);
  const values = Array.from({ length: queries * keys }, (_, i) => {
    const step = (i % keys) - Math.floor(i / keys);
    return step > behind || -step > before ? UNSEEN : 0;
  });
  return combineTensor('Add', scores, float32Tensor(`${scope.name}/later steps`, [queries, keys], values, { file: scope.builder.file }), scope);
}

/** Queries, values and keys (the values where they are left out) of a layer that takes them as a list. */
function listed(args: Arguments): (inputs: readonly Value[], scope: Scope) => [Value, Value, Value] {
  const [query, value, key] = args.operands('inputs');
  if (!query || !value) args.decline('it is called with one value, where queries and values are expected');
  declineTraining(args);
  return (inputs, scope) => [query!, value!, key ?? value!].map((operand) => sequence(operand, inputs, scope)) as [Value, Value, Value];
}

/** The values, as the scores of queries and keys weigh them; and the weights, where they are asked for. */
function weigher(args: Arguments): (scores: Value, values: Value, scope: Scope) => Value | readonly Value[] {
  const causal = args.boolean('use_causal_mask', false) || args.boolean('causal', false);
  const wantsScores = args.boolean('return_attention_scores', false);
  return (scores, values, scope) => {
    const weights = softmax(causal ? causalOnly(scores, scope) : scores, scope, -1);
    const made = scope.add('MatMul', [weights, values]);
    return wantsScores ? [made, weights] : made;
  };
}

/** [batch, queries, keys, features] of the sums of each query and each key. */
function pairSums(q: Value, k: Value, scope: Scope): Value {
  return combineValues('Add', unsqueeze(q, 2, scope), unsqueeze(k, 1, scope), scope);
}

/** Attention without kernels: softmax(q kᵀ) v, scaled where asked for, or with sums under a tanh for scores ("concat"). */
export const attention: Operation = (args) => {
  const scaled = args.boolean('use_scale', false);
  const mode = args.json('score_mode') ?? 'dot';
  if (mode !== 'dot' && mode !== 'concat') args.decline(`its scores are made by ${JSON.stringify(mode)}; "dot" and "concat" are translated`);
  const weigh = weigher(args);
  const parts = listed(args);
  const number = (role: string, scope: Scope) => reshape(scope.weight(role, []), [1]);
  return (inputs, scope) => {
    const [q, v, k] = parts(inputs, scope);
    const scale = scaled ? number('scale', scope) : null;
    const times = (value: Value, factor: Tensor | null) => (factor ? combineTensor('Mul', value, factor, scope) : value);
    if (mode === 'dot') return weigh(times(scope.add('MatMul', [q, lastTwoSwapped(k, scope)]), scale), v, scope);
    const sums = reduce('ReduceSum', scope.add('Tanh', [times(pairSums(q, k, scope), scale)]), [3], false, scope);
    return weigh(times(sums, number('weight of the scores', scope)), v, scope);
  };
};

/** Scores are sums of scale · tanh(q + k) over the features (Bahdanau). */
export const additiveAttention: Operation = (args) => {
  const scaled = args.boolean('use_scale', true);
  const weigh = weigher(args);
  const parts = listed(args);
  return (inputs, scope) => {
    const [q, v, k] = parts(inputs, scope);
    const pairs = scope.add('Tanh', [pairSums(q, k, scope)]);
    const scores = scaled ? combineTensor('Mul', pairs, scope.weight('scale', [knownSize(q, 2, 'attention', scope)]), scope) : pairs;
    return weigh(reduce('ReduceSum', scores, [3], false, scope), v, scope);
  };
};
