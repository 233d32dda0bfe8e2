/** Products of matrices: dense layers, attention. */
import type { Value } from '../../../model/builder.js';
import type { Call } from '../call.js';
import { List, TensorItem } from '../items.js';
import { listOf, type Rule, type Rules, rule } from '../rule.js';
import { geluOf } from './elements.js';

/** x weightᵀ + bias, over the last axis. */
const linear = rule('input, weight, bias=None', (call) => dense(call, call.tensor('input'), call.tensor('weight'), call.optionalTensor('bias')));

export function dense(call: Call, x: Value, weight: Value, bias: Value | null): Value {
  if (call.rank(x) === 2 && call.rank(weight) === 2) return call.add('Gemm', [x, weight, bias]);
  const product = call.add('MatMul', [x, call.transposed(weight, 0, -1)], {}, bias ? 'product' : undefined);
  return bias ? call.add('Add', [product, bias]) : product;
}

/** beta self + alpha mat1 mat2. */
const addmm = rule('self, mat1, mat2, beta=1, alpha=1', (call) => {
  const [bias, a, b] = ['self', 'mat1', 'mat2'].map((name) => call.tensor(name)) as [Value, Value, Value];
  const [beta, alpha] = [call.number('beta'), call.number('alpha')];
  if (beta === 1 && alpha === 1 && b.constant && call.rank(b) === 2 && call.rank(a) === 2) return call.add('Gemm', [a, call.transposed(b), bias]);
  const product = call.add('MatMul', [a, b], {}, 'product');
  const scaled = alpha === 1 ? product : call.add('Mul', [product, call.scalar(alpha, product)], {}, 'alpha');
  if (beta === 0) return scaled;
  return call.add('Add', [scaled, beta === 1 ? bias : call.add('Mul', [bias, call.scalar(beta, bias)], {}, 'beta')]);
});

const matmul = (first: string, second: string): Rule =>
  rule(`${first}, ${second}`, (call) => {
    const [a, b] = [call.tensor(first), call.tensor(second)];
    if (b.constant && call.rank(b) === 2 && call.rank(a) === 2) return call.add('Gemm', [a, call.transposed(b)]);
    return call.add('MatMul', [a, b]);
  });

const addmv = rule('self, mat, vec, beta=1, alpha=1', (call) => addmm.run(call.withGiven({ mat1: call.item('mat'), mat2: call.item('vec') })));

/** The products of a batch of matrices, added up. */
const addbmm = rule('self, batch1, batch2, beta=1, alpha=1', (call) => {
  const products = call.add('MatMul', [call.tensor('batch1'), call.tensor('batch2')], {}, 'products');
  const sum = call.add('ReduceSum', [products], { axes: [0], keepdims: 0 }, 'sum');
  const scaled = (x: Value, factor: number, step: string) => (factor === 1 ? x : call.add('Mul', [x, call.scalar(factor, x)], {}, step));
  const made = scaled(sum, call.number('alpha'), 'alpha');
  return call.number('beta') === 0 ? made : call.add('Add', [made, scaled(call.tensor('self'), call.number('beta'), 'beta')]);
});

/** Of the last axes of both. */
const inner = rule('self, other', (call) => {
  const [a, b] = [call.tensor('self'), call.tensor('other')];
  if (call.rank(a) === 0 || call.rank(b) === 0) return call.add('Mul', [a, b]);
  const letters = 'abcdefghijklmnopqrstuvwxy';
  const [first, second] = [letters.slice(0, call.rank(a) - 1), letters.slice(call.rank(a) - 1, call.rank(a) + call.rank(b) - 2)];
  return call.add('Einsum', [a, b], { equation: `${first}z,${second}z->${first}${second}` });
});

/** The product of three, each with new axes where it has not those of the others, added up along some. */
const trilinear = rule('i1, i2, i3, expand1, expand2, expand3, sumdim, unroll_dim=1', (call) => {
  const wide = (at: number) => {
    const axes = call.numbers(`expand${at}`);
    const x = call.tensor(`i${at}`);
    return axes.length === 0 ? x : call.add('Unsqueeze', [x], { axes }, 'wide');
  };
  const product = call.add('Mul', [call.add('Mul', [wide(1), wide(2)], {}, 'both'), wide(3)], {}, 'product');
  const axes = call.numbers('sumdim');
  return axes.length === 0 ? product : call.add('ReduceSum', [product], { axes, keepdims: 0 });
});

const baddbmm = rule('self, batch1, batch2, beta=1, alpha=1', (call) => addmm.run(call.withGiven({ mat1: call.item('batch1'), mat2: call.item('batch2') })));

const einsum = rule('equation, tensors, path=None', (call) =>
  call.add('Einsum', call.tensors('tensors'), { equation: call.text('equation').replaceAll(' ', '') }),
);

/** Several heads of queries have one of keys and values, each as many times as it is shared. */
function sharedHeads(call: Call, value: Value, query: Value): Value {
  const axis = call.rank(value) - 3;
  const [heads, wanted] = [call.size(value, axis), call.size(query, call.rank(query) - 3)];
  if (wanted % heads !== 0) throw call.decline(`${wanted} heads share ${heads}`);
  const places = Array.from({ length: wanted }, (_, head) => Math.floor((head * heads) / wanted));
  return heads === wanted ? value : call.add('Gather', [value, call.build.numbers('int64', places)], { axis }, 'shared');
}

/** As backends have it: beside the result they give what only training reads. */
const fusedAttention = (signature: string, mask: string | null): Rule =>
  rule(signature, (call) => {
    const own = { enable_gqa: false, attn_mask: mask === null ? null : (call.given.get(mask) ?? null), scale: call.given.get('scale') ?? null };
    const made = attention.run(call.withGiven(own)) as Value;
    return new List([...listOf([made]).items, ...Array.from({ length: 8 }, () => call.unknown('what training reads of it'))]);
  });

/** softmax(q kᵀ scale + mask) v. */
const attention: Rule = rule('query, key, value, attn_mask=None, dropout_p=0, is_causal=False, scale=None, enable_gqa=False', (call) => {
  const [query, ownKey, ownValue] = ['query', 'key', 'value'].map((name) => call.tensor(name)) as [Value, Value, Value];
  const [key, value] = [ownKey, ownValue].map((one) => (call.flag('enable_gqa') ? sharedHeads(call, one, query) : one)) as [Value, Value];
  if (call.number('dropout_p') !== 0) call.trains('dropout_p');
  const rank = call.rank(query);
  const scale = call.has('scale') ? call.number('scale') : 1 / Math.sqrt(call.size(query, rank - 1));
  const scaled = call.add('Mul', [query, call.scalar(scale, query)], {}, 'scaled');
  let weights = call.add('MatMul', [scaled, call.transposed(key)], {}, 'similarity');
  if (call.flag('is_causal')) {
    const [rows, columns] = [call.size(query, rank - 2), call.size(key, call.rank(key) - 2)];
    const mask = Array.from({ length: rows * columns }, (_, i) => (i % columns > Math.floor(i / columns) ? Number.NEGATIVE_INFINITY : 0));
    weights = call.add('Add', [weights, call.build.numbers(weights.dtype ?? 'float32', mask, [rows, columns])], {}, 'causal');
  }
  if (call.has('attn_mask')) {
    const mask = call.tensor('attn_mask');
    weights =
      mask.dtype === 'bool'
        ? call.add('Where', [mask, weights, call.scalar(Number.NEGATIVE_INFINITY, weights)], {}, 'masked')
        : call.add('Add', [weights, mask], {}, 'masked');
  }
  return call.add('MatMul', [call.add('Softmax', [weights], { axis: -1 }, 'softmax'), value]);
});

/** Attention of tokens [batch, tokens, features] to each other, of whose queries, keys and values one product is made. */
interface SelfAttention {
  readonly features: number;
  readonly heads: number;
  /** Names of the arguments that are its weights: of queries, keys and values together, and of what goes out. */
  readonly weights: readonly [inner: string, innerBias: string, outer: string, outerBias: string];
}

function attendToEachOther(call: Call, x: Value, { features, heads, weights: names }: SelfAttention): { readonly tokens: Value; readonly weights: Value } {
  const [batch, tokens] = [call.sizeItem(x, 0), call.sizeItem(x, 1)];
  const [inner, innerBias, outer, outerBias] = names.map((name) => call.tensor(name)) as [Value, Value, Value, Value];
  const all = dense(call, x, inner, innerBias);
  const cut = call.reshaped(all, call.sizesOf([batch, tokens, 3, heads, features / heads], 'shape'), 'cut');
  const turned = call.add('Transpose', [cut], { perm: [2, 0, 3, 1, 4] }, 'heads');
  const part = (at: number, step: string) => call.add('Gather', [turned, call.build.numbers('int64', at)], { axis: 0 }, step);
  const query = part(0, 'query');
  const scaled = call.add('Mul', [query, call.scalar((features / heads) ** -0.5, query)], {}, 'scaled');
  const similarity = call.add('MatMul', [scaled, call.transposed(part(1, 'key'))], {}, 'similarity');
  const weights = call.add('Softmax', [hidden(call, similarity)], { axis: -1 }, 'softmax');
  const mixed = call.add('Transpose', [call.add('MatMul', [weights, part(2, 'value')], {}, 'mixed')], { perm: [0, 2, 1, 3] }, 'tokens');
  return { tokens: dense(call, call.reshaped(mixed, call.sizesOf([batch, tokens, features], 'shape'), 'joined'), outer, outerBias), weights };
}

/** What is true in the mask is not seen: by kind a mask [tokens, tokens], one of padding [batch, tokens], or one for each head. */
function hidden(call: Call, similarity: Value): Value {
  if (!call.has('mask')) return similarity;
  const given = call.cast(call.tensor('mask'), 'bool', 'mask');
  const [kind, rank] = [call.has('mask_type') ? call.number('mask_type') : null, call.rank(given)];
  if (kind === null || rank !== [2, 2, 4][kind]) throw call.decline(`its mask has ${rank} axes, and is of the kind ${kind}`);
  const mask = kind === 1 ? call.add('Unsqueeze', [given], { axes: [1, 2] }, 'padding') : given;
  return call.add('Where', [mask, call.scalar(Number.NEGATIVE_INFINITY, similarity), similarity], {}, 'masked');
}

/** PyTorch's fast way through a whole nn.MultiheadAttention. */
const wholeAttention = rule(
  'query, key, value, embed_dim, num_head, qkv_weight, qkv_bias, proj_weight, proj_bias, mask=None, need_weights=True, average_attn_weights=True, mask_type=None',
  (call) => {
    const [x, key, value] = ['query', 'key', 'value'].map((name) => call.tensor(name)) as [Value, Value, Value];
    if (x.name !== key.name || x.name !== value.name) throw call.decline('its queries, keys and values are not of the same tokens');
    const names = ['qkv_weight', 'qkv_bias', 'proj_weight', 'proj_bias'] as const;
    const { tokens, weights } = attendToEachOther(call, x, { features: call.number('embed_dim'), heads: call.number('num_head'), weights: names });
    const attended = () => new TensorItem(call.flag('average_attn_weights') ? call.add('ReduceMean', [weights], { axes: [1], keepdims: 0 }, 'mean') : weights);
    const needed = call.has('need_weights') && call.flag('need_weights');
    return new List([new TensorItem(tokens), needed ? call.unknown('how tokens attend to each other', attended) : null]);
  },
);

/** PyTorch's fast way through a whole nn.TransformerEncoderLayer. */
const encoderLayer = rule(
  'src, embed_dim, num_heads, qkv_weight, qkv_bias, proj_weight, proj_bias, use_gelu, norm_first, eps, norm_weight_1, norm_bias_1, norm_weight_2, norm_bias_2, ' +
    'ffn_weight_1, ffn_bias_1, ffn_weight_2, ffn_bias_2, mask=None, mask_type=None',
  (call) => {
    const src = call.tensor('src');
    const features = call.number('embed_dim');
    const normal = (x: Value, which: 1 | 2) => {
      const inputs = [x, call.tensor(`norm_weight_${which}`), call.tensor(`norm_bias_${which}`)];
      return call.add('LayerNormalization', inputs, { axis: call.rank(x) - 1, epsilon: call.number('eps') }, `norm${which}`);
    };
    const weights = ['qkv_weight', 'qkv_bias', 'proj_weight', 'proj_bias'] as const;
    const forward = (x: Value): Value => {
      const wide = dense(call, x, call.tensor('ffn_weight_1'), call.tensor('ffn_bias_1'));
      const bent = call.flag('use_gelu') ? geluOf(call, wide) : call.add('Relu', [wide], {}, 'relu');
      return dense(call, bent, call.tensor('ffn_weight_2'), call.tensor('ffn_bias_2'));
    };
    const isFirst = call.flag('norm_first');
    const attend = (x: Value) => attendToEachOther(call, x, { features, heads: call.number('num_heads'), weights }).tokens;
    const summed = call.add('Add', [src, attend(isFirst ? normal(src, 1) : src)], {}, 'attended');
    const attended = isFirst ? summed : normal(summed, 1);
    const made = call.add('Add', [attended, forward(isFirst ? normal(attended, 2) : attended)], {}, isFirst ? undefined : 'sum');
    return isFirst ? made : normal(made, 2);
  },
);

const determinant = (name: string): Rule => rule(name, (call) => call.add('Det', [call.tensor(name)]));

export const products: Rules = {
  linear,
  addmm,
  baddbmm,
  addmv,
  addbmm,
  inner,
  _trilinear: trilinear,
  matmul: matmul('self', 'other'),
  mm: matmul('self', 'mat2'),
  bmm: matmul('self', 'mat2'),
  mv: matmul('self', 'vec'),
  dot: matmul('self', 'tensor'),
  vdot: matmul('self', 'other'),
  einsum,
  det: determinant('self'),
  linalg_det: determinant('A'),
  _linalg_det: rule('A', (call) => {
    const made = new TensorItem(determinant('A').run(call) as Value);
    return new List([made, call.unknown('its decomposition'), call.unknown('its pivots')]);
  }),
  scaled_dot_product_attention: attention,
  _scaled_dot_product_flash_attention_for_cpu: fusedAttention('query, key, value, dropout_p=0, is_causal=False, attn_mask=None, scale=None', 'attn_mask'),
  _scaled_dot_product_flash_attention: fusedAttention('query, key, value, dropout_p=0, is_causal=False, return_debug_mask=False, scale=None', null),
  _scaled_dot_product_efficient_attention: fusedAttention(
    'query, key, value, attn_bias, compute_log_sumexp, dropout_p=0, is_causal=False, scale=None',
    'attn_bias',
  ),
  _native_multi_head_attention: wholeAttention,
  _transformer_encoder_layer_fwd: encoderLayer,
};
