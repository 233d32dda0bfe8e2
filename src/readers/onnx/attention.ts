/**
 * Attention and RotaryEmbedding (opset 23), as the products, sums and softmax that their definitions are functions of.
 *
 * @see https://onnx.ai/onnx/operators/onnx__Attention.html and https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html
 */
import { DTYPE_BY_CODE } from '../../containers/onnx-tensors.js';
import type { Attributes, Inputs, Value } from '../../model/builder.js';
import { isFloatDType } from '../../model/dtype.js';
import { NotUnderstood } from './by-table.js';
import { type Node, numberOf, type Rule, type Translator } from './translator.js';

/** A mask of places that may not be looked at is written out. */
const MOST_PLACES = 2 ** 22;

const ATTRIBUTES: ReadonlySet<string> = new Set(
  'is_causal q_num_heads kv_num_heads scale softcap softmax_precision qk_matmul_output_mode left_window_size right_window_size'.split(' '),
);

/** How many places before and behind its own a place may look at; any number where Infinity. */
interface Window {
  readonly left: number;
  readonly right: number;
}

function windowOf(node: Node): Window {
  const [left, right] = ['left', 'right'].map((side) => numberOf(node, `${side}_window_size`, -1)).map((size) => (size < 0 ? Number.POSITIVE_INFINITY : size));
  return { left: left!, right: numberOf(node, 'is_causal', 0) !== 0 ? 0 : right! };
}

/**
 * softmax(Q Kᵀ scale + mask) V for each head. Q, K and V are [batch, heads, length, size], or [batch, length, heads x size]; several heads of Q may share
 * one of K and V. A place that may look at none gets zeros.
 *
 * @param hasFiniteMask whether a mask leaves a finite score to what it hides
 */
export function attention(node: Node, t: Translator, hasFiniteMask = false): ReturnType<Rule> {
  const unknown = [...node.attributes.keys()].find((name) => !ATTRIBUTES.has(name));
  if (unknown !== undefined) return new NotUnderstood(`its ${unknown} is not known`);
  const [given, givenKeys, givenValues, mask = null, pastKeys = null, pastValues = null, lengths = null] = node.inputs as [
    Value,
    Value,
    Value,
    ...(Value | null)[],
  ];
  const window = windowOf(node);
  const hasWindow = Number.isFinite(window.left) || Number.isFinite(window.right);
  // From where on what comes is counted was told differently from version to version.
  if (lengths && hasWindow) return new NotUnderstood('how many of its keys count is known only when the model runs');
  const rank = given.shape?.length;
  if (rank === undefined || !givenKeys.shape || !givenValues.shape) return new NotUnderstood('how many axes flow in is not known');
  const steps = stepsOf(node, t);
  const [, keysOut, valuesOut, scoresOut] = node.outputs;
  const isFlat = rank === 3;
  const heads = (value: Value, count: number, step: string) => {
    if (!isFlat) return value;
    return steps('Transpose', [steps('Reshape', [value], { shape: [0, 0, count, -1] }, `${step}-heads`)], { perm: [0, 2, 1, 3] }, `${step}-turned`);
  };
  const [queryCount, keyCount] = [numberOf(node, 'q_num_heads', 0), numberOf(node, 'kv_num_heads', 0)];
  if (isFlat && (queryCount < 1 || keyCount < 1)) return new NotUnderstood('its numbers of heads are not said');
  const query = heads(given, queryCount, 'q');
  const keys = joined(node, t, pastKeys, heads(givenKeys, keyCount, 'k'), 'keys', keysOut);
  const values = joined(node, t, pastValues, heads(givenValues, keyCount, 'v'), 'values', valuesOut);
  const [own, shared] = [query.shape![1], keys.shape![1]];
  const size = query.shape![3];
  if (typeof own !== 'number' || typeof shared !== 'number' || typeof size !== 'number') return new NotUnderstood('its numbers of heads are not known');
  if (own % shared !== 0) return new NotUnderstood(`${own} heads of queries for ${shared} of keys`);

  const dtype = query.dtype ?? 'float32';
  const constant = (value: number) => t.build.numbers(dtype, value);
  const scale = numberOf(node, 'scale', 0) || 1 / Math.sqrt(size);
  const shrunk = steps('Mul', [query, constant(scale)], {}, 'q-scaled');
  const turned = steps('Transpose', [repeated(keys, own / shared, 'k', steps)], { perm: [0, 1, 3, 2] }, 'k-columns');
  const softcap = numberOf(node, 'softcap', 0);
  const mode = numberOf(node, 'qk_matmul_output_mode', 0);
  // What is given of scores that are capped, and before a mask, was told differently from version to version.
  const isTold = mode === 3 || (softcap === 0 && (mode === 0 || mode === 2 || (mode === 1 && !mask && !lengths && !hasWindow)));
  if (scoresOut && !isTold) return new NotUnderstood(`it gives its scores by mode ${mode}`);
  const products = step(node, t, 'MatMul', [shrunk, turned], {}, 'scores', mode < 2 ? scoresOut : undefined);
  const capped =
    softcap === 0
      ? products
      : steps('Mul', [steps('Tanh', [steps('Div', [products, constant(softcap)], {}, 'cap')], {}, 'cap-tanh'), constant(softcap)], {}, 'capped');
  const never = constant(Number.NEGATIVE_INFINITY);
  const masked = underMask(capped, mask, never, steps);
  if (masked instanceof NotUnderstood) return masked;
  const counted = lengths ? underLengths(masked, lengths, t, steps, never) : masked;
  if (counted instanceof NotUnderstood) return counted;
  const all = hasWindow ? underWindow(counted, window, pastKeys?.shape?.[2] ?? 0, t, steps, never) : counted;
  if (all instanceof NotUnderstood) return all;
  const seen = mode === 2 && scoresOut ? step(node, t, 'Identity', [all], {}, 'scores-masked', scoresOut) : all;

  const precision = node.attributes.has('softmax_precision') ? DTYPE_BY_CODE.get(numberOf(node, 'softmax_precision', 0)) : dtype;
  if (precision === undefined || !isFloatDType(precision)) return new NotUnderstood('its softmax_precision is not known');
  const wide = precision === dtype ? seen : steps('Cast', [seen], { to: precision }, 'precise');
  const isLast = precision === dtype;
  const givesShares = mode === 3 ? scoresOut : undefined;
  const soft = (name: string, output: string | undefined) => step(node, t, 'Softmax', [wide], { axis: -1 }, name, output);
  const zeroed = (output: string | undefined) => {
    const most = steps('ReduceMax', [wide], { axes: [-1], keepdims: 1 }, 'most');
    const isBlind = steps('Equal', [most, t.build.numbers(precision, Number.NEGATIVE_INFINITY)], {}, 'blind');
    return step(node, t, 'Where', [isBlind, t.build.numbers(precision, 0), soft('soft', undefined)], {}, 'shares', output);
  };
  const mayBeBlind = !hasFiniteMask && (mask !== null || lengths !== null || Number.isFinite(window.left));
  const shares = (mayBeBlind ? zeroed : (output: string | undefined) => soft('shares', output))(isLast ? givesShares : undefined);
  const narrow = isLast ? shares : step(node, t, 'Cast', [shares], { to: dtype }, 'shares-narrow', givesShares);
  const givenScores = mode === 3 ? narrow : mode === 2 ? seen : products;
  const inputs = [narrow, repeated(values, own / shared, 'v', steps)];
  if (!isFlat) return [t.add(node, 'MatMul', inputs), keys, values, givenScores].slice(0, Math.max(1, node.outputs.length));
  const made = steps('Transpose', [steps('MatMul', inputs, {}, 'heads')], { perm: [0, 2, 1, 3] }, 'heads-turned');
  return [t.add(node, 'Reshape', [made], { shape: [0, 0, -1] }), keys, values, givenScores].slice(0, Math.max(1, node.outputs.length));
}

type Steps = (op: string, inputs: Inputs, attributes: Attributes, name: string) => Value;
export const stepsOf =
  (node: Node, t: Translator): Steps =>
  (op, inputs, attributes, name) =>
    t.add(node, op, inputs, attributes, name);

/** A layer of several, under the name of an output of the node where it is one. */
export function step(node: Node, t: Translator, op: string, inputs: Inputs, attributes: Attributes, name: string, output: string | undefined): Value {
  if (!output) return t.add(node, op, inputs, attributes, name);
  return t.build.node(op, inputs, attributes, { name: `${t.scope.prefix}${node.title}/${name}`, outputs: [t.outputName(output)] })[0]!;
}

/** What came before, and what comes; the node may give it. */
function joined(node: Node, t: Translator, past: Value | null, own: Value, name: string, output: string | undefined): Value {
  if (past) return step(node, t, 'Concat', [past, own], { axis: 2 }, name, output);
  return output ? step(node, t, 'Identity', [own], {}, name, output) : own;
}

/** Each head as often as heads of queries share it, one beside the other. */
function repeated(value: Value, times: number, name: string, steps: Steps): Value {
  if (times === 1) return value;
  const apart = steps('Unsqueeze', [value], { axes: [2] }, `${name}-apart`);
  const copies = steps('Expand', [apart], { shape: [1, 1, times, 1, 1] }, `${name}-copies`);
  const [, heads, , size] = value.shape!;
  return steps('Reshape', [copies], { shape: [0, (heads as number) * times, -1, size as number] }, `${name}-repeated`);
}

function underMask(scores: Value, mask: Value | null, never: Value, steps: Steps): Value | NotUnderstood {
  if (!mask) return scores;
  if (!mask.shape) return new NotUnderstood('the shape of its mask is not known');
  const [width, length] = [mask.shape.at(-1), scores.shape?.at(-1)];
  const isBool = mask.dtype === 'bool';
  const hide = (whole: Value) => (isBool ? steps('Where', [whole, scores, never], {}, 'masked') : steps('Add', [scores, whole], {}, 'masked'));
  if (width === length || width === 1) return hide(mask);
  // A mask that ends before the keys do hides those behind it.
  if (typeof width !== 'number' || typeof length !== 'number' || width > length)
    return new NotUnderstood(`its mask is of ${width} places where there are ${length}`);
  const pads = [...mask.shape.map(() => 0), ...mask.shape.map((_, axis) => (axis === mask.shape!.length - 1 ? length - width : 0))];
  const numbers = isBool ? steps('Cast', [mask], { to: 'int32' }, 'mask-numbers') : mask;
  const wide = steps('Pad', [numbers], { pads, value: isBool ? 0 : Number.NEGATIVE_INFINITY }, 'mask-wide');
  return hide(isBool ? steps('Cast', [wide], { to: 'bool' }, 'mask') : wide);
}

/** Only so many keys of each batch count. */
function underLengths(scores: Value, lengths: Value, t: Translator, steps: Steps, never: Value): Value | NotUnderstood {
  const length = scores.shape?.at(-1);
  if (typeof length !== 'number') return new NotUnderstood('how many keys it has is known only when the model runs');
  const places = t.build.numbers(
    'int64',
    Array.from({ length }, (_, i) => i),
  );
  const counts = steps('Reshape', [lengths], { shape: [-1, 1, 1, 1] }, 'lengths');
  return steps('Where', [steps('Less', [places, counts], {}, 'counted'), scores, never], {}, 'counting');
}

/** No place looks at one that is too far before or behind it. */
function underWindow(scores: Value, { left, right }: Window, past: unknown, t: Translator, steps: Steps, never: Value): Value | NotUnderstood {
  const [rows, columns] = scores.shape?.slice(-2) ?? [];
  if (typeof rows !== 'number' || typeof columns !== 'number' || typeof past !== 'number')
    return new NotUnderstood('which places come behind which is known only when the model runs');
  if (rows * columns > MOST_PLACES) return new NotUnderstood(`a mask of ${rows} x ${columns} places`);
  const seen = Array.from({ length: rows * columns }, (_, i) => {
    const ahead = (i % columns) - Math.floor(i / columns) - past;
    return Number(ahead <= right && -ahead <= left);
  });
  return steps('Where', [t.build.numbers('bool', seen, [rows, columns]), scores, never], {}, 'window');
}

const ROTARY: ReadonlySet<string> = new Set(['interleaved', 'num_heads', 'rotary_embedding_dim']);

/** Turns pairs of features by angles of their places: (x₁ cos - x₂ sin, x₁ sin + x₂ cos). */
export const rotaryEmbedding: Rule = (node, t) => {
  const unknown = [...node.attributes.keys()].find((name) => !ROTARY.has(name));
  if (unknown !== undefined) return new NotUnderstood(`its ${unknown} is not known`);
  const [given, cosines, sines, places = null] = node.inputs as [Value, Value, Value, Value | null];
  const rank = given.shape?.length;
  if (rank !== 3 && rank !== 4) return new NotUnderstood('how many axes flow in is not known');
  const steps = stepsOf(node, t);
  const heads = numberOf(node, 'num_heads', 0);
  if (rank === 3 && heads < 1) return new NotUnderstood('its number of heads is not said');
  // [batch, length, heads, size] or [batch, heads, length, size]: the angles have no axis of heads.
  const x = rank === 3 ? steps('Reshape', [given], { shape: [0, 0, heads, -1] }, 'heads') : given;
  const size = x.shape![3];
  if (typeof size !== 'number') return new NotUnderstood('the size of its heads is not known');
  const turning = numberOf(node, 'rotary_embedding_dim', 0) || size;
  const angles = (cache: Value, name: string) => {
    const found = places ? steps('Gather', [cache, places], { axis: 0 }, `${name}-places`) : cache;
    return steps('Unsqueeze', [found], { axes: [rank === 3 ? 2 : 1] }, name);
  };
  const [cos, sin] = [angles(cosines, 'cos'), angles(sines, 'sin')];
  const cut = (start: number, end: number, by: number, name: string) => steps('Slice', [x], { starts: [start], ends: [end], axes: [3], steps: [by] }, name);
  const isInterleaved = numberOf(node, 'interleaved', 0) === 1;
  const first = isInterleaved ? cut(0, turning, 2, 'even') : cut(0, turning / 2, 1, 'first');
  const second = isInterleaved ? cut(1, turning, 2, 'odd') : cut(turning / 2, turning, 1, 'second');
  const real = steps('Sub', [steps('Mul', [cos, first], {}, 'cos-first'), steps('Mul', [sin, second], {}, 'sin-second')], {}, 'real');
  const imaginary = steps('Add', [steps('Mul', [sin, first], {}, 'sin-first'), steps('Mul', [cos, second], {}, 'cos-second')], {}, 'imaginary');
  const rest = turning < size ? [cut(turning, size, 1, 'rest')] : [];
  const pairs = () => {
    const apart = [real, imaginary].map((part, i) => steps('Unsqueeze', [part], { axes: [4] }, `part${i}`));
    return [steps('Reshape', [steps('Concat', apart, { axis: 4 }, 'pairs')], { shape: [0, 0, 0, turning] }, 'turned')];
  };
  const parts = [...(isInterleaved ? pairs() : [real, imaginary]), ...rest];
  if (rank === 4) return [parts.length === 1 ? t.add(node, 'Identity', parts) : t.add(node, 'Concat', parts, { axis: 3 })];
  const made = parts.length === 1 ? parts[0]! : steps('Concat', parts, { axis: 3 }, 'joined');
  return [t.add(node, 'Reshape', [made], { shape: [0, 0, -1] })];
};
