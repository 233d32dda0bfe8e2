/** Attention: products of queries and keys that weigh values. */
import { float32Tensor, reshape, type Tensor } from '../../../model/tensor.js';
import { softmax } from '../activations.js';
import { combineTensor, combineValues } from '../arithmetic.js';
import { knownSize, reduce, slice, unsqueeze } from '../axes.js';
import type { Build } from '../rule.js';
import type { Scope } from '../scope.js';
import type { Value } from '../value.js';
import { type Arguments, isConstant, type Operand, valueAt } from './arguments.js';
import { lastTwoSwapped } from './arrangement.js';
import type { Operation } from './operation.js';

/** Whether the call asks for more than the plain layer gives. */
function declineExtras(args: Arguments): void {
  if (args.boolean('training', false)) args.decline('it is called with training=true, which is not translated');
  if (args.boolean('return_attention_scores', false)) args.decline('its scores are asked for, which are not translated');
}

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
}

export const multiHeadAttention: Operation = (args) => {
  const heads = args.integer('num_heads', 1);
  const keySize = args.integer('key_dim', 1);
  const valueSize = args.integer('value_dim', keySize);
  const axes = args.integers('attention_axes');
  if (axes && `${axes}` !== '1') args.decline(`it attends along the axes ${axes}; sequences are translated`);
  return weighted(args, { heads, keyHeads: heads, keySize, valueSize, outputShape: args.integers('output_shape') });
};

/** Several heads of queries share those of keys and values. */
export const groupedQueryAttention: Operation = (args) => {
  const heads = args.integer('num_query_heads', 1);
  const keyHeads = args.integer('num_key_value_heads', 1);
  const size = args.integer('head_dim', 1);
  if (!Number.isInteger(heads / keyHeads)) args.decline(`${keyHeads} heads of keys do not divide ${heads} of queries`);
  return weighted(args, { heads, keyHeads, keySize: size, valueSize: size });
};

function weighted(args: Arguments, { heads, keyHeads, keySize, valueSize, outputShape }: Heads): Build {
  const query = args.operand('query');
  const value = args.operand('value');
  const key = args.has('key') ? args.operand('key') : value;
  const bias = args.boolean('use_bias', true);
  const causal = args.boolean('use_causal_mask', false);
  if ([query, value, key].some(isConstant)) args.decline('it is called on numbers alone, which is not translated');
  declineExtras(args);
  return (inputs, scope) => {
    const [q, v, k] = [query, value, key].map((operand) => sequence(operand, inputs, scope)) as [Value, Value, Value];
    const project = (x: Value, size: number, perm: readonly number[], own = keyHeads) => {
      const features = knownSize(x, 2, 'attention', scope);
      const kernel = reshape(scope.weight('kernel', [features, own, size]), [features, own * size]);
      const made = linear(x, kernel, bias ? reshape(scope.weight('bias', [own, size]), [own * size]) : null, scope);
      const split = scope.add('Reshape', [made], { attributes: { shape: [0, 0, own, size] } });
      const turned = scope.add('Transpose', [split], { attributes: { perm } });
      if (own === heads) return turned;
      const each = Array.from({ length: own }, (_, i) => slice(turned, 1, i, i + 1, scope));
      return scope.add(
        'Concat',
        each.flatMap((head) => new Array<Value>(heads / own).fill(head)),
        { attributes: { axis: 1 } },
      );
    };
    const queries = scope.withScalar('Mul', project(q, keySize, [0, 2, 1, 3], heads), 1 / Math.sqrt(keySize));
    const keys = project(k, keySize, [0, 2, 3, 1]);
    const values = project(v, valueSize, [0, 2, 1, 3]);
    const scores = scope.add('MatMul', [queries, keys]);
    const weighed = scope.add('MatMul', [softmax(causal ? causalOnly(scores, scope) : scores, scope, -1), values]);
    const joined = scope.add('Reshape', [scope.add('Transpose', [weighed], { attributes: { perm: [0, 2, 1, 3] } })], {
      attributes: { shape: [0, 0, heads * valueSize] },
    });
    const out = outputShape && outputShape.length > 0 ? outputShape : [knownSize(q, 2, 'attention', scope)];
    const width = out.reduce((a, b) => a * b, 1);
    const kernel = reshape(scope.weight('output kernel', [heads, valueSize, ...out]), [heads * valueSize, width]);
    const made = linear(joined, kernel, bias ? reshape(scope.weight('output bias', out), [width]) : null, scope);
    return out.length === 1 ? made : scope.add('Reshape', [made], { attributes: { shape: [0, 0, ...out] } });
  };
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
function causalOnly(scores: Value, scope: Scope): Value {
  const [queries, keys] = [-2, -1].map((axis) => knownSize(scores, axis, 'causal attention', scope)) as [number, number];
  if (queries * keys > MAX_SCORES) throw scope.unsupported(`causal attention over ${queries} steps`);
  const values = Array.from({ length: queries * keys }, (_, i) => (i % keys > Math.floor(i / keys) ? UNSEEN : 0));
  return combineTensor('Add', scores, float32Tensor(`${scope.name}/later steps`, [queries, keys], values, { file: scope.builder.file }), scope);
}

/** Queries, values and keys (the values where they are left out) of a layer that takes them as a list. */
function listed(args: Arguments): (inputs: readonly Value[], scope: Scope) => [Value, Value, Value] {
  const [query, value, key] = args.operands('inputs');
  if (!query || !value) args.decline('it is called with one value, where queries and values are expected');
  declineExtras(args);
  return (inputs, scope) => [query!, value!, key ?? value!].map((operand) => sequence(operand, inputs, scope)) as [Value, Value, Value];
}

/** The values, as the scores of queries and keys weigh them. */
function weigh(scores: Value, values: Value, causal: boolean, scope: Scope): Value {
  return scope.add('MatMul', [softmax(causal ? causalOnly(scores, scope) : scores, scope, -1), values]);
}

/** Dot-product attention without weights but a scale: softmax(q kᵀ) v. */
export const attention: Operation = (args) => {
  const scaled = args.boolean('use_scale', false);
  const causal = args.boolean('use_causal_mask', false) || args.boolean('causal', false);
  const mode = args.json('score_mode') ?? 'dot';
  if (mode !== 'dot') args.decline(`its scores are made by ${JSON.stringify(mode)}; "dot" is translated`);
  const parts = listed(args);
  return (inputs, scope) => {
    const [q, v, k] = parts(inputs, scope);
    const scores = scope.add('MatMul', [q, lastTwoSwapped(k, scope)]);
    return weigh(scaled ? combineTensor('Mul', scores, reshape(scope.weight('scale', []), [1]), scope) : scores, v, causal, scope);
  };
};

/** Scores are sums of scale · tanh(q + k) over the features (Bahdanau). */
export const additiveAttention: Operation = (args) => {
  const scaled = args.boolean('use_scale', true);
  const causal = args.boolean('use_causal_mask', false) || args.boolean('causal', false);
  const parts = listed(args);
  return (inputs, scope) => {
    const [q, v, k] = parts(inputs, scope);
    const pairs = scope.add('Tanh', [combineValues('Add', unsqueeze(q, 2, scope), unsqueeze(k, 1, scope), scope)]);
    const scores = scaled ? combineTensor('Mul', pairs, scope.weight('scale', [knownSize(q, 2, 'attention', scope)]), scope) : pairs;
    return weigh(reduce('ReduceSum', scores, [3], false, scope), v, causal, scope);
  };
};
