/**
 * Attention and embeddings as ONNX Runtime's tools for transformers take them together: as what was there before.
 *
 * @see https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md, com.microsoft
 */
import type { OnnxValue } from '../../containers/onnx.js';
import type { Value } from '../../model/builder.js';
import { sliceAxis } from '../../model/tensor.js';
import { attention, rotaryEmbedding } from './attention.js';
import { NotUnderstood } from './by-table.js';
import { type Node, numberOf, type Rule, type Translator } from './translator.js';

/** What is added where a mask hides a place, unless the node says another number. */
const HIDDEN = -10000;

const unknown = ({ attributes, inputs }: Node, known: readonly string[], needed: readonly number[]): NotUnderstood | null => {
  if (!needed.every((i) => inputs[i])) return new NotUnderstood('it lacks an input');
  const name = [...attributes.keys()].find((one) => !known.includes(one));
  return name === undefined ? null : new NotUnderstood(`its ${name} is not known`);
};

/** Attention of ONNX over features that are cut into heads. @param mask what is added to scores */
function standard(node: Node, t: Translator, [q, k, v]: readonly Value[], mask: Value | null): ReturnType<Rule> {
  const heads = numberOf(node, 'num_heads', 0);
  const attributes = new Map<string, OnnxValue>([
    ['q_num_heads', heads],
    ['kv_num_heads', heads],
    ['is_causal', numberOf(node, 'unidirectional', 0)],
    ['scale', numberOf(node, 'scale', 0)],
  ]);
  return attention({ ...node, inputs: [q!, k!, v!, mask], attributes, outputs: node.outputs.slice(0, 1) }, t, true);
}

/** A mask of whole numbers as what is added to scores: places of a batch that count are not zero, or are so many. */
function addedBy(node: Node, t: Translator, mask: Value, batch: unknown, length: unknown): Value | NotUnderstood {
  const hidden = t.build.numbers('float32', numberOf(node, 'mask_filter_value', HIDDEN));
  const none = t.build.numbers('float32', 0);
  const rank = mask.shape?.length;
  const chosen = (isSeen: Value, axes: readonly number[]) =>
    t.add(node, 'Unsqueeze', [t.add(node, 'Where', [isSeen, none, hidden], {}, 'mask-added')], { axes }, 'mask');
  if (rank === 2 || rank === 3) return chosen(t.add(node, 'Cast', [mask], { to: 'bool' }, 'mask-seen'), rank === 2 ? [1, 2] : [1]);
  if (rank !== 1 || mask.shape![0] !== batch) return new NotUnderstood(`its mask has the shape [${mask.shape ?? '?'}]`);
  if (typeof length !== 'number') return new NotUnderstood('how many keys it has is known only when the model runs');
  const places = t.build.numbers(
    'int32',
    Array.from({ length }, (_, i) => i),
  );
  const counts = t.add(node, 'Unsqueeze', [t.add(node, 'Cast', [mask], { to: 'int32' }, 'mask-counts')], { axes: [1] }, 'mask-column');
  return chosen(t.add(node, 'Less', [places, counts], {}, 'mask-seen'), [1, 2]);
}

function maskOf(node: Node, t: Translator, mask: Value | null, added: Value | null, keys: Value): Value | null | NotUnderstood {
  if (!mask) return added;
  if (keys.dtype !== 'float32') return new NotUnderstood(`it has a mask, and computes in ${keys.dtype}`);
  const own = addedBy(node, t, mask, keys.shape?.[0], keys.shape?.[1]);
  return own instanceof NotUnderstood || !added ? own : t.add(node, 'Add', [own, added], {}, 'mask-all');
}

const PACKED = ['num_heads', 'unidirectional', 'qkv_hidden_sizes', 'scale', 'mask_filter_value', 'do_rotary', 'past_present_share_buffer'];

/** softmax((x Wq + bq)(x Wk + bk)ᵀ scale + mask)(x Wv + bv), with the three matrices beside each other. */
const packed: Rule = (node, t) => {
  const wrong = unknown(node, PACKED, [0, 1]);
  if (wrong) return wrong;
  const [x, weights, bias = null, mask = null, past = null, added = null, before = null] = node.inputs as [Value, Value, ...(Value | null)[]];
  if (past || before) return new NotUnderstood('what came before flows through it');
  return ofFeatures(node, t, x, weights, t.add(node, 'MatMul', [x, weights], {}, 'features'), bias, [mask, added]);
};

/** The same of codes: a product of whole numbers, scaled. */
const packedCodes: Rule = (node, t) => {
  const wrong = unknown(node, PACKED, [0, 1, 2, 3, 4]);
  if (wrong) return wrong;
  const [x, weights, bias, scale, factor, mask = null, zero = null, otherZero = null, past = null] = node.inputs as [Value, Value, Value, Value, Value];
  if (past) return new NotUnderstood('what came before flows through it');
  const whole = t.add(node, 'MatMulInteger', [x, weights, zero, otherZero], {}, 'integers');
  const factors = [t.add(node, 'Cast', [whole], { to: 'float32' }, 'floats'), t.add(node, 'Mul', [scale, factor], {}, 'scale')];
  return ofFeatures(node, t, x, weights, t.add(node, 'Mul', factors, {}, 'features'), bias, [mask, null]);
};

type Masks = readonly [mask: Value | null, added: Value | null];

function ofFeatures(node: Node, t: Translator, x: Value, weights: Value, product: Value, bias: Value | null, [mask, added]: Masks): ReturnType<Rule> {
  if (node.outputs.length > 1) return new NotUnderstood('what came before flows through it');
  if (numberOf(node, 'do_rotary', 0) !== 0) return new NotUnderstood('it turns its features by their places');
  const [columns, given] = [weights.shape?.[1], node.attributes.get('qkv_hidden_sizes')];
  if (typeof columns !== 'number' || x.shape?.length !== 3) return new NotUnderstood('how many features it has is not known');
  const sizes = (Array.isArray(given) && given.length > 0 ? given : [columns / 3, columns / 3, columns / 3]) as readonly number[];
  if (sizes.length !== 3 || sizes.reduce((a, b) => a + b, 0) !== columns) return new NotUnderstood(`its features [${sizes}] do not make ${columns}`);
  const all = bias ? t.add(node, 'Add', [product, bias], {}, 'features-biased') : product;
  const name = `${t.scope.prefix}${node.title}/parts`;
  const parts = t.build.node('Split', [all], { axis: 2, split: sizes }, { name, outputs: ['q', 'k', 'v'].map((one) => t.build.freeValue(`${name}/${one}`)) });
  const hiding = maskOf(node, t, mask, added, parts[1]!);
  return hiding instanceof NotUnderstood ? hiding : standard(node, t, parts, hiding);
}

/** The same of queries, keys and values that flow in, and a bias for all three. */
const multiHead: Rule = (node, t) => {
  const wrong = unknown(node, ['num_heads', 'unidirectional', 'scale', 'mask_filter_value'], [0]);
  if (wrong) return wrong;
  const [query, keys = null, values = null, bias = null, mask = null, added = null, ...past] = node.inputs as [Value, ...(Value | null)[]];
  if (past.some((one) => one) || node.outputs.length > 1) return new NotUnderstood('what came before flows through it');
  if (!keys || !values || [query, keys, values].some(({ shape }) => shape?.length !== 3)) return new NotUnderstood('its queries, keys and values are packed');
  const given = [query, keys, values];
  const sizes = given.map(({ shape }) => shape![2]);
  const all = sizes.every((size) => typeof size === 'number') ? sizes.reduce((a, b) => a + b, 0) : null;
  if (bias && all === null) return new NotUnderstood('how many features it has is not known');
  if (bias?.constant && `${bias.constant.shape}` !== `${all}`) return new NotUnderstood(`its bias has the shape [${bias.constant.shape}]`);
  const parts = given.map((part, i) => {
    if (!bias) return part;
    const start = (sizes as number[]).slice(0, i).reduce((a, b) => a + b, 0);
    const end = start + (sizes[i] as number);
    const own = bias.constant
      ? t.build.constant({ ...sliceAxis(bias.constant, 0, start, end), name: `${bias.constant.name}/${'qkv'[i]}` })
      : t.add(node, 'Slice', [bias], { starts: [start], ends: [end], axes: [0], steps: [1] }, `bias-${'qkv'[i]}`);
    return t.add(node, 'Add', [part, own], {}, `${'qkv'[i]}-biased`);
  });
  const hiding = maskOf(node, t, mask, added, keys);
  return hiding instanceof NotUnderstood ? hiding : standard(node, t, parts, hiding);
};

/** Words, places and segments, each a row of a table, together and normalised; and how many places a mask lets count. */
const embedded: Rule = (node, t) => {
  const wrong = unknown(node, ['epsilon', 'mask_index_type'], [0, 2, 3, 5, 6]);
  if (wrong) return wrong;
  const [ids, segments, words, rows, kinds, gamma, beta, mask = null, places = null] = node.inputs as readonly (Value | null)[];
  const length = ids!.shape?.[1];
  const most = rows!.constant?.shape[0] ?? 0;
  if (!places && (typeof length !== 'number' || length > most)) return new NotUnderstood('which places flow in is known only when the model runs');
  const placed = places
    ? t.add(node, 'Gather', [rows!, places], { axis: 0 }, 'places')
    : t.build.constant({ ...sliceAxis(rows!.constant!, 0, 0, length as number), name: rows!.constant!.name });
  const both = t.add(node, 'Add', [t.add(node, 'Gather', [words!, ids!], { axis: 0 }, 'words'), placed], {}, 'sum');
  const all = segments && kinds ? t.add(node, 'Add', [both, t.add(node, 'Gather', [kinds, segments], { axis: 0 }, 'segments')], {}, 'sum-all') : both;
  const [, counted, sum] = node.outputs;
  if (counted && !mask) return new NotUnderstood('it counts the places of no mask');
  const given = (op: string, x: Value, attributes: Readonly<Record<string, readonly number[] | number>>, output: string) =>
    t.build.node(op, [x], attributes, { name: `${t.scope.prefix}${node.title}/${op.toLowerCase()}`, outputs: [t.outputName(output)] })[0]!;
  const ones = () => t.add(node, 'Cast', [t.add(node, 'Equal', [mask!, t.build.numbers('int32', 1)], {}, 'mask-one')], { to: 'int32' }, 'mask-ones');
  const count = counted ? given('ReduceSum', ones(), { axes: [1], keepdims: 0 }, counted) : null;
  const shown = sum ? given('Identity', all, {}, sum) : null;
  // Its own default is another one than the standard's.
  return [t.add(node, 'LayerNormalization', [all, gamma!, beta!], { axis: -1, epsilon: numberOf(node, 'epsilon', 1e-12) }), count, shown];
};

/** That of opset 23, with its inputs in another order; places may be the first one alone. */
const rotary: Rule = async (node, t) => {
  const wrong = unknown(node, ['num_heads', 'rotary_embedding_dim', 'interleaved', 'is_packed_batching', 'scale'], [0, 1, 2, 3]);
  if (wrong) return wrong;
  const [x, places, cosines, sines] = node.inputs as [Value, Value, Value, Value];
  if (numberOf(node, 'is_packed_batching', 0) !== 0 || numberOf(node, 'scale', 1) !== 1) return new NotUnderstood('it packs batches, or scales');
  const [length, features, half] = [x.shape?.at(x.shape.length === 3 ? 1 : 2), x.shape?.at(-1), cosines.shape?.[1]];
  const first = places.shape?.length === 1 ? await t.known(places) : undefined;
  if (places.shape?.length !== 2 && (!first || typeof length !== 'number')) return new NotUnderstood('which places flow in is known only when the model runs');
  const heads =
    numberOf(node, 'num_heads', 0) || (x.shape?.length === 3 && typeof features === 'number' && typeof half === 'number' ? features / (2 * half) : 0);
  const all = first ? Array.from({ length: length as number }, (_, i) => first[0]! + i) : null;
  const attributes = new Map([...node.attributes].filter(([name]) => name === 'interleaved' || name === 'rotary_embedding_dim')).set('num_heads', heads);
  return rotaryEmbedding({ ...node, attributes, inputs: [x, cosines, sines, all ? t.build.numbers('int64', all, [1, all.length]) : places] }, t);
};

export const FUSED_ATTENTION: Readonly<Record<string, Rule>> = {
  'com.microsoft::QAttention': packedCodes,
  'com.microsoft::RotaryEmbedding': rotary,
  'com.microsoft::Attention': packed,
  'com.microsoft::MultiHeadAttention': multiHead,
  'com.microsoft::EmbedLayerNormalization': embedded,
};
