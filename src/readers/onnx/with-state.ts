/**
 * What passes a state on from call to call (LinearAttention and CausalConvWithState of opset 27, TensorScatter of 24), as the steps of its definition.
 *
 * @see https://onnx.ai/onnx/operators/onnx__LinearAttention.html, onnx__CausalConvWithState.html and onnx__TensorScatter.html
 */
import type { Value } from '../../model/builder.js';
import { step, stepsOf } from './attention.js';
import { NotUnderstood } from './by-table.js';
import { type Node, numberOf, type Rule, type Translator } from './translator.js';

const MOST_STEPS = 1024;
const END = 2 ** 63;

const LINEAR: ReadonlySet<string> = new Set(['chunk_size', 'kv_num_heads', 'q_num_heads', 'scale', 'update_rule']);

/** Which of the recurrence's parts a rule has. */
const UPDATES: Readonly<Record<string, { readonly decays: boolean; readonly corrects: boolean }>> = {
  linear: { decays: false, corrects: false },
  gated: { decays: true, corrects: false },
  delta: { decays: false, corrects: true },
  gated_delta: { decays: true, corrects: true },
};

/**
 * A state S of each head, [batch, heads, size of keys, size of values], step by step: S ← exp(g) S + k ⊗ v, where v may be β (v - Sᵀk), gives scale Sᵀq.
 * Queries, keys and values are [batch, length, heads x size]; several heads of queries may share one of keys.
 */
const linearAttention: Rule = (node, t) => {
  const unknown = [...node.attributes.keys()].find((name) => !LINEAR.has(name));
  if (unknown !== undefined) return new NotUnderstood(`its ${unknown} is not known`);
  const [query, key, value, past = null, decay = null, beta = null] = node.inputs as [Value, Value, Value, ...(Value | null)[]];
  const update = UPDATES[String(node.attributes.get('update_rule') ?? 'gated_delta')];
  if (!update || (decay !== null) !== update.decays || (beta !== null) !== update.corrects)
    return new NotUnderstood('what it is given is not what its update_rule takes');
  const [queryHeads, heads] = [numberOf(node, 'q_num_heads', 0), numberOf(node, 'kv_num_heads', 0)];
  const [, length, width] = query.shape ?? [];
  if (typeof length !== 'number' || typeof width !== 'number') return new NotUnderstood('how many steps it takes is known only when the model runs');
  if (length < 1 || length > MOST_STEPS) return new NotUnderstood(`it takes ${length} steps`);
  if (heads < 1 || queryHeads < 1 || queryHeads % heads !== 0 || width % queryHeads !== 0)
    return new NotUnderstood(`${queryHeads} heads of queries for ${heads} of keys`);
  const size = width / queryHeads;
  const steps = stepsOf(node, t);
  const dtype = query.dtype ?? 'float32';
  // Sums of half precision are made in single.
  const isNarrow = dtype === 'float16' || dtype === 'bfloat16';
  const wide = (part: Value, name: string) => (isNarrow ? steps('Cast', [part], { to: 'float32' }, `${name}-precise`) : part);
  const split = (part: Value, shape: readonly number[], name: string) => steps('Reshape', [wide(part, name)], { shape: [0, 0, ...shape] }, name);
  const scale = numberOf(node, 'scale', 0) || 1 / Math.sqrt(size);
  const scaled = steps('Mul', [wide(query, 'q'), t.build.numbers(isNarrow ? 'float32' : dtype, scale)], {}, 'q-scaled');
  const queries = steps('Reshape', [scaled], { shape: [0, 0, heads, queryHeads / heads, size] }, 'q-heads');
  const columns = split(key, [heads, size, 1], 'k-columns');
  const rows = update.corrects ? split(key, [heads, 1, size], 'k-rows') : null;
  const values = split(value, [heads, 1, -1], 'v-heads');
  const kept = decay && steps('Exp', [split(decay, [heads, -1, 1], 'decay')], {}, 'kept');
  const rates = beta && split(beta, [-1, 1, 1], 'rates');
  const at = (part: Value, place: number, name: string) => steps('Gather', [part, t.build.numbers('int64', place)], { axis: 1 }, name);

  let state = past && wide(past, 'state');
  const made: Value[] = [];
  for (let i = 0; i < length; i++) {
    if (state && kept) state = steps('Mul', [state, at(kept, i, 'keeps')], {}, 'state-kept');
    let taken = at(values, i, 'v');
    if (state && rows) taken = steps('Sub', [taken, steps('MatMul', [at(rows, i, 'k-row'), state], {}, 'recalled')], {}, 'v-new');
    if (rates) taken = steps('Mul', [taken, at(rates, i, 'rate')], {}, 'v-rated');
    const written = steps('Mul', [at(columns, i, 'k'), taken], {}, 'written');
    state = state ? steps('Add', [state, written], {}, 'state') : written;
    made.push(steps('Unsqueeze', [steps('MatMul', [at(queries, i, 'q'), state], {}, 'read')], { axes: [1] }, 'step'));
  }
  const all = made.length === 1 ? made[0]! : steps('Concat', made, { axis: 1 }, 'steps');
  const flat = { shape: [0, 0, -1] };
  const output = isNarrow ? t.add(node, 'Cast', [steps('Reshape', [all], flat, 'joined')], { to: dtype }) : t.add(node, 'Reshape', [all], flat);
  return [output, ...lastState(node, t, state!, past?.dtype ?? dtype)];
};

/** The state under the node's own name for it, where the node gives it. */
function lastState(node: Node, t: Translator, state: Value, dtype: Value['dtype']): Value[] {
  const name = node.outputs[1];
  if (!name) return [];
  return [state.dtype === dtype ? step(node, t, 'Identity', [state], {}, 'present', name) : step(node, t, 'Cast', [state], { to: dtype! }, 'present', name)];
}

/** A convolution of each channel along [batch, channels, length] that looks back alone: at zeros, or at the end of what the last call was given. */
const causalConvWithState: Rule = (node, t) => {
  const unknown = [...node.attributes.keys()].find((name) => name !== 'activation');
  if (unknown !== undefined) return new NotUnderstood(`its ${unknown} is not known`);
  const [x, kernel, bias = null, past = null] = node.inputs as [Value, Value, ...(Value | null)[]];
  const activation = String(node.attributes.get('activation') ?? 'none');
  if (!['none', 'silu', 'swish'].includes(activation)) return new NotUnderstood(`activation is "${activation}"`);
  const [channels, , size] = kernel.shape ?? [];
  if (typeof channels !== 'number' || typeof size !== 'number') return new NotUnderstood('the size of its kernel is known only when the model runs');
  const steps = stepsOf(node, t);
  const before = size - 1;
  const whole =
    before === 0 ? x : past ? steps('Concat', [past, x], { axis: 2 }, 'whole') : steps('Pad', [x], { pads: [0, 0, before, 0, 0, 0], value: 0 }, 'whole');
  const attributes = { kernel_shape: [size], group: channels };
  const inputs = bias ? [whole, kernel, bias] : [whole, kernel];
  const conv = activation === 'none' ? t.add(node, 'Conv', inputs, attributes) : steps('Conv', inputs, attributes, 'conv');
  const output = activation === 'none' ? conv : t.add(node, 'Mul', [conv, steps('Sigmoid', [conv], {}, 'sigmoid')]);
  if (!node.outputs[1]) return [output];
  const ends = before === 0 ? { starts: [END], ends: [END], axes: [2] } : { starts: [-before], ends: [END], axes: [2] };
  return [output, step(node, t, 'Slice', [whole], ends, 'present', node.outputs[1])];
};

/** Writes what comes into a store of fixed length, from a place on that each of the batch has its own of. */
const tensorScatter: Rule = (node, t) => {
  const unknown = [...node.attributes.keys()].find((name) => name !== 'mode' && name !== 'axis');
  if (unknown !== undefined) return new NotUnderstood(`its ${unknown} is not known`);
  const [store, update, places = null] = node.inputs as [Value, Value, Value | null];
  const mode = String(node.attributes.get('mode') ?? 'linear');
  if (mode !== 'linear' && mode !== 'circular') return new NotUnderstood(`mode is "${mode}"`);
  const rank = store.shape?.length ?? 0;
  const axis = numberOf(node, 'axis', -2) + (numberOf(node, 'axis', -2) < 0 ? rank : 0);
  const [size, length] = [store.shape?.[axis], update.shape?.[axis]];
  if (axis < 1 || typeof size !== 'number' || typeof length !== 'number' || update.shape!.some((each) => typeof each !== 'number'))
    return new NotUnderstood('how much it writes is known only when the model runs');
  const steps = stepsOf(node, t);
  const along = update.shape!.map((_, i) => (i === axis ? length : 1));
  const order = t.build.numbers('int64', [...Array(length).keys()], along);
  const starts = places && steps('Reshape', [places], { shape: update.shape!.map((_, i) => (i === 0 ? -1 : 1)) }, 'starts');
  const from = starts ? steps('Add', [starts, order], {}, 'from') : order;
  const around = mode === 'circular' ? steps('Mod', [from, t.build.numbers('int64', size)], {}, 'around') : from;
  const indices = steps('Expand', [around], { shape: update.shape as readonly number[] }, 'places');
  return [t.add(node, 'ScatterElements', [store, indices, update], { axis })];
};

export const WITH_STATE: Readonly<Record<string, Rule>> = {
  LinearAttention: linearAttention,
  CausalConvWithState: causalConvWithState,
  TensorScatter: tensorScatter,
};
