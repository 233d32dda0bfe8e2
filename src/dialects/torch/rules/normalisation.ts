/** Normalisations, softmax, and operators that fold axes. */
import type { Value } from '../../../model/builder.js';
import { isFloatDType } from '../../../model/dtype.js';
import { elementCount } from '../../../model/tensor.js';
import { IN_FALLING_ORDER } from '../../../words.js';
import type { Call } from '../call.js';
import { type Item, knownScalar, List, numberOf, Real, TensorItem } from '../items.js';
import { listOf, type Rule, type Rules, rule } from '../rule.js';

/** Ones or zeros, one for each channel, where a net has no scale or bias of its own. */
function channels(call: Call, name: string, like: Value, count: number, usual: number): Value {
  return call.optionalTensor(name) ?? call.build.numbers(like.dtype ?? 'float32', new Array<number>(count).fill(usual));
}

function normaliseBatch(call: Call): Value {
  const x = call.tensor('input');
  if (!call.has('running_mean') || !call.has('running_var')) {
    throw call.decline('it normalises by the batch that flows in, in inference, too (track_running_stats=False)');
  }
  const count = call.size(x, 1);
  const statistics = [call.tensor('running_mean'), call.tensor('running_var')];
  const inputs = [x, channels(call, 'weight', x, count, 1), channels(call, 'bias', x, count, 0), ...statistics];
  return call.add('BatchNormalization', inputs, { epsilon: call.number('eps') });
}

const batchNorm = rule('input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled=True', (call) => {
  // A weight that is standardised, as a batch of one: that is no training.
  const x = call.tensor('input');
  if (x.constant && x.shape?.[0] === 1 && !call.has('running_mean') && !call.has('running_var')) return normaliseSample(call);
  call.trains('training');
  return normaliseBatch(call);
});

/** By the statistics of the batch, which of one sample are those of the sample, as of InstanceNorm. */
function normaliseSample(call: Call): Value {
  const x = call.tensor('input');
  const filled = (value: number) => call.build.numbers(x.dtype ?? 'float32', new Array<number>(call.size(x, 1)).fill(value));
  const [scale, bias] = [call.optionalTensor('weight') ?? filled(1), call.optionalTensor('bias') ?? filled(0)];
  return call.add('InstanceNormalization', [x, scale, bias], { epsilon: call.number('eps') });
}

/** With statistics of the batch where the operator has none of its own. */
const batchNormLegit = rule('input, weight, bias, running_mean=None, running_var=None, training, momentum, eps', (call) => {
  const x = call.tensor('input');
  if (call.has('running_mean')) {
    call.trains('training');
    return threeOf(call, normaliseBatch(call));
  }
  if (call.shape(x)[0] !== 1) throw call.decline('it normalises by the statistics of a batch');
  return threeOf(call, normaliseSample(call));
});

const batchNormStatistics = rule('input, weight, bias, running_mean, running_var, momentum, eps', (call) => threeOf(call, normaliseBatch(call)));

function threeOf(call: Call, value: Value): List {
  return new List([...listOf([value]).items, call.unknown('the mean'), call.unknown('the deviation')]);
}

function normaliseLayer(call: Call): Value {
  const x = call.tensor('input');
  const count = call.items('normalized_shape').length;
  const axis = call.rank(x) - count;
  const sizes = call.shape(x).slice(axis);
  if (!sizes.every((size) => typeof size === 'number')) throw call.decline(`it normalises over [${sizes}], and these sizes have to be known`);
  const filled = (usual: number) => call.build.numbers(x.dtype ?? 'float32', new Array<number>(elementCount(sizes as number[])).fill(usual), sizes as number[]);
  const scale = call.optionalTensor('weight') ?? filled(1);
  return call.add('LayerNormalization', [x, scale, call.optionalTensor('bias')], { axis, epsilon: call.number('eps') });
}

const layerNorm = rule('input, normalized_shape, weight=None, bias=None, eps=1e-5, cudnn_enable=True', normaliseLayer);
const nativeLayerNorm = rule('input, normalized_shape, weight, bias, eps', (call) => threeOf(call, normaliseLayer(call)));

/** By the root of the mean square, in float32 at least; without an epsilon it is the smallest step from 1 there. */
function normaliseRoot(call: Call): Value {
  const given = call.tensor('input');
  const x = given.dtype === 'float64' ? given : call.cast(given, 'float32', 'widened');
  const count = call.items('normalized_shape').length;
  const axes = Array.from({ length: count }, (_, i) => call.rank(x) - count + i);
  const epsilon = call.has('eps') ? call.number('eps') : x.dtype === 'float64' ? 2 ** -52 : 2 ** -23;
  const mean = call.add('ReduceMean', [call.add('Mul', [x, x], {}, 'square')], { axes, keepdims: 1 }, 'mean');
  const root = call.add('Sqrt', [call.add('Add', [mean, call.scalar(epsilon, x)], {}, 'epsilon')], {}, 'root');
  const weight = call.optionalTensor('weight');
  const isLast = !weight && given.dtype === x.dtype;
  const normal = call.add('Mul', [x, call.add('Reciprocal', [root], {}, 'factor')], {}, isLast ? undefined : 'normal');
  const scaled = weight ? call.add('Mul', [normal, call.cast(weight, x.dtype!, 'scale')], {}, given.dtype === x.dtype ? undefined : 'scaled') : normal;
  return call.cast(scaled, given.dtype!, 'narrowed');
}

/** Groups of channels become rows, each of which is normalised as a channel; then each channel has its scale. */
function normaliseGroups(call: Call, groups: number): Value {
  const x = call.tensor('input');
  const [dtype, rank, count] = [x.dtype ?? 'float32', call.rank(x), call.size(x, 1)];
  const rows = call.add('Reshape', [x], { shape: [0, groups, -1] }, 'groups');
  const filled = (value: number) => call.build.numbers(dtype, new Array<number>(groups).fill(value));
  const normal = call.add('InstanceNormalization', [rows, filled(1), filled(0)], { epsilon: call.number('eps') }, 'normal');
  const items = Array.from({ length: rank }, (_, axis) => call.sizeItem(x, axis));
  const hasScale = call.has('weight');
  const hasBias = call.has('bias');
  const back = call.reshaped(normal, call.sizesOf(items, 'shape'), hasScale || hasBias ? 'back' : undefined);
  const along = (name: string) => call.reshaped(call.tensor(name), [count, ...new Array<number>(rank - 2).fill(1)], name);
  const scaled = hasScale ? call.add('Mul', [back, along('weight')], {}, hasBias ? 'scaled' : undefined) : back;
  return hasBias ? call.add('Add', [scaled, along('bias')]) : scaled;
}

const groupNorm = rule('input, num_groups, weight=None, bias=None, eps=1e-5, cudnn_enabled=True', (call) => normaliseGroups(call, call.number('num_groups')));
const nativeGroupNorm = rule('input, weight, bias, N, C, HxW, group, eps', (call) => threeOf(call, normaliseGroups(call, call.number('group'))));

const instanceNorm = rule('input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps, cudnn_enabled=True', (call) => {
  if (!call.flag('use_input_stats')) return normaliseBatch(call);
  const x = call.tensor('input');
  const count = call.size(x, 1);
  const inputs = [x, channels(call, 'weight', x, count, 1), channels(call, 'bias', x, count, 0)];
  return call.add('InstanceNormalization', inputs, { epsilon: call.number('eps') });
});

const localResponse = rule('input, size, alpha=1e-4, beta=0.75, k=1', (call) =>
  call.add('LRN', [call.tensor('input')], { size: call.number('size'), alpha: call.number('alpha'), beta: call.number('beta'), bias: call.number('k') }),
);

const softmax = (op: string): Rule =>
  rule('self, dim, dtype=None, half_to_float=False', (call) => {
    // A third argument of _softmax says whether halves become floats.
    const dtype = typeof call.given.get('dtype') === 'boolean' ? null : call.dtype('dtype');
    const x = call.tensor('self');
    return call.add(op, [dtype ? call.cast(x, dtype) : x], { axis: call.axis('dim', x) });
  });

/** The axes that are folded; all where none are given. */
function axesOf(call: Call, x: Value): number[] {
  const item = call.given.get('dim') ?? null;
  if (item === null || (item instanceof List && item.items.length === 0)) return Array.from({ length: call.rank(x) }, (_, axis) => axis);
  return call.numbers('dim').map((axis) => call.axisOf(axis, call.rank(x)));
}

const reduction = (op: string, isFloat = false): Rule =>
  rule('self, dim=None, keepdim=False, dtype=None', (call) => {
    if (op === 'ReduceSum' || op === 'ReduceProd') {
      const folded = foldedList(call, op === 'ReduceSum' ? (a, b) => a + b : (a, b) => a * b, op === 'ReduceSum' ? 0 : 1);
      if (folded !== null) return folded;
    }
    const given = call.tensor('self');
    const isWhole = given.dtype !== null && !isFloatDType(given.dtype) && !given.dtype.startsWith('complex');
    const wanted = call.dtype('dtype') ?? (isWhole ? (isFloat ? 'float32' : 'int64') : null);
    const x = wanted ? call.cast(given, wanted) : given;
    const axes = axesOf(call, x);
    return axes.length === 0 ? x : call.add(op, [x], { axes, keepdims: call.flag('keepdim') ? 1 : 0 });
  });

/** The sum or product of a list of numbers. */
function foldedList(call: Call, combine: (a: number, b: number) => number, start: number): Item {
  const item = call.item('self');
  if (!(item instanceof List)) return null;
  const scalars = item.items.map(knownScalar);
  if (!scalars.every((scalar) => scalar !== null)) throw call.decline('a number of its list is known only when the model runs');
  const made = scalars.map((scalar) => numberOf(scalar!)).reduce(combine, start);
  return scalars.some((scalar) => scalar instanceof Real) ? new Real(made) : made;
}

/** Of all elements; of an axis with the places, which can be said too; or of two tensors, element by element. */
const extreme = (op: 'Max' | 'Min'): Rule =>
  rule('self, dim=None, keepdim=False', (call) => {
    const compute = (a: number, b: number) => (op === 'Max' ? Math.max(a, b) : Math.min(a, b));
    const list = foldedList(call, compute, op === 'Max' ? Number.NEGATIVE_INFINITY : Number.POSITIVE_INFINITY);
    if (list !== null) return list;
    const x = call.tensor('self');
    if (!call.has('dim')) return call.add(`Reduce${op}`, [x], { keepdims: 0 });
    const other = call.item('dim');
    if (other instanceof TensorItem || (other instanceof Real && knownScalar(call.item('self')) !== null))
      return call.add(op, call.promoted(['self', 'dim']).values);
    if (knownScalar(call.item('self')) !== null) return compute(call.number('self'), call.number('dim'));
    const axis = call.axis('dim', x);
    const keepdims = call.flag('keepdim') ? 1 : 0;
    return listOf([call.add(`Reduce${op}`, [x], { axes: [axis], keepdims }), call.add(`Arg${op}`, [x], { axis, keepdims }, 'places')]);
  });

const extremes = (op: 'Max' | 'Min'): Rule =>
  rule('self, dim=[], keepdim=False', (call) => {
    const x = call.tensor('self');
    return call.add(`Reduce${op}`, [x], { axes: axesOf(call, x), keepdims: call.flag('keepdim') ? 1 : 0 });
  });

const place = (op: string): Rule =>
  rule('self, dim=None, keepdim=False', (call) => {
    const x = call.tensor('self');
    if (!call.has('dim')) return call.add(op, [call.reshaped(x, [-1], 'flat')], { axis: 0, keepdims: 0 });
    return call.add(op, [x], { axis: call.axis('dim', x), keepdims: call.flag('keepdim') ? 1 : 0 });
  });

const topk = rule('self, k, dim=-1, largest=True, sorted=True', (call) => {
  const x = call.tensor('self');
  if (!call.flag('sorted')) call.shop.notices.push({ code: 'assumed', message: `topk: ${IN_FALLING_ORDER}` });
  const attributes = { k: call.number('k'), axis: call.axis('dim', x), largest: call.flag('largest') ? 1 : 0, sorted: 1 };
  return listOf(call.addMany('TopK', [x], attributes, 2));
});

/** The p-norm of some axes. */
export function normOf(call: Call, x: Value, p: number, axes: readonly number[], keepdims: number): Value {
  if (p === 2) return call.add('ReduceL2', [x], { axes, keepdims });
  if (p === 1) return call.add('ReduceL1', [x], { axes, keepdims });
  if (Math.abs(p) === Number.POSITIVE_INFINITY) return call.add(p > 0 ? 'ReduceMax' : 'ReduceMin', [call.add('Abs', [x], {}, 'abs')], { axes, keepdims });
  // How many are not 0.
  if (p === 0) return call.add('ReduceSum', [call.cast(call.cast(x, 'bool', 'isset'), x.dtype!, 'count')], { axes, keepdims });
  const powers = call.add('Pow', [call.add('Abs', [x], {}, 'abs'), call.scalar(p, x)], {}, 'powers');
  return call.add('Pow', [call.add('ReduceSum', [powers], { axes, keepdims }, 'sum'), call.scalar(1 / p, x)]);
}

const norm = (order: string): Rule =>
  rule(`self, ${order}=2, dim=None, keepdim=False, dtype=None`, (call) => {
    const x = call.tensor('self');
    if (call.has('dtype') && call.dtype('dtype') !== x.dtype) throw call.decline('it converts what it folds');
    const p = call.has(order) ? call.number(order) : 2;
    return normOf(call, x, p, axesOf(call, x), call.flag('keepdim') ? 1 : 0);
  });

const variance = (isRoot: boolean): Rule =>
  rule('self, dim=None, unbiased=None, keepdim=False, correction=None', (call) => {
    const x = call.tensor('self');
    // An overload has whether it is unbiased in the place of the axes.
    const isFlag = typeof call.given.get('dim') === 'boolean';
    const axes = isFlag ? Array.from({ length: call.rank(x) }, (_, axis) => axis) : axesOf(call, x);
    const unbiased = isFlag ? call.flag('dim') : call.has('unbiased') ? call.flag('unbiased') : true;
    const correction = call.has('correction') ? call.number('correction') : unbiased ? 1 : 0;
    const count = axes.reduce((product, axis) => product * call.size(x, axis), 1);
    const keepdims = call.flag('keepdim') ? 1 : 0;
    const centred = call.add('Sub', [x, call.add('ReduceMean', [x], { axes, keepdims: 1 }, 'mean')], {}, 'centred');
    const squares = call.add('Mul', [centred, centred], {}, 'squares');
    const mean = call.add('ReduceMean', [squares], { axes, keepdims }, 'variance');
    const made = correction === 0 ? mean : call.add('Mul', [mean, call.scalar(count / (count - correction), x)], {}, isRoot ? 'unbiased' : undefined);
    return isRoot ? call.add('Sqrt', [made]) : made;
  });

/** The variance or deviation, and the mean. */
const withMean = (isRoot: boolean): Rule =>
  rule('self, dim=None, unbiased=None, keepdim=False, correction=None', (call) => {
    const spread = variance(isRoot).run(call) as Value;
    const x = call.tensor('self');
    const isFlag = typeof call.given.get('dim') === 'boolean';
    const axes = isFlag ? Array.from({ length: call.rank(x) }, (_, axis) => axis) : axesOf(call, x);
    return listOf([spread, call.add('ReduceMean', [x], { axes, keepdims: call.flag('keepdim') ? 1 : 0 }, 'mean')]);
  });

/** Of a vector or of all elements; norms of matrices only as those of all their elements. */
const linalgNorm = rule('self, ord=None, dim=None, keepdim=False, dtype=None', (call) => {
  const x = call.tensor('self');
  const axes = axesOf(call, x);
  if (call.has('ord') && typeof call.item('ord') === 'string' && call.text('ord') !== 'fro') throw call.decline(`its order is ${call.text('ord')}`);
  const p = call.has('ord') && typeof call.item('ord') !== 'string' ? call.number('ord') : 2;
  if (call.has('ord') && typeof call.item('ord') !== 'string' && axes.length !== 1) throw call.decline('it is the norm of a matrix');
  if (call.has('dtype') && call.dtype('dtype') !== x.dtype) throw call.decline('it converts what it folds');
  return normOf(call, x, p, axes, call.flag('keepdim') ? 1 : 0);
});

/** v scaled to the norm g, for each place of an axis, or of all of it where the axis is -1: a reparametrised weight. */
const weightNorm = rule('v, g, dim=0', (call) => {
  const v = call.tensor('v');
  const dim = call.number('dim') === -1 ? null : call.axis('dim', v);
  const axes = Array.from({ length: call.rank(v) }, (_, axis) => axis).filter((axis) => axis !== dim);
  const size = normOf(call.withGiven({}), v, 2, axes, 1);
  return call.add('Mul', [v, call.add('Div', [call.tensor('g'), size], {}, 'factor')]);
});

/** In inference nothing is dropped, and the very tensor goes on. */
const dropout = rule('input, p, train', (call) => {
  if (call.number('p') !== 0) call.trains('train');
  return call.item('input');
});

export const normalisation: Rules = {
  batch_norm: batchNorm,
  _native_batch_norm_legit_no_training: batchNormStatistics,
  cudnn_batch_norm: batchNorm,
  _native_batch_norm_legit: batchNormLegit,
  native_batch_norm: batchNormLegit,
  // What training makes of the statistics comes behind.
  _native_batch_norm_legit_functional: rule('input, weight, bias, running_mean, running_var, training, momentum, eps', (call) => {
    call.trains('training');
    const { items } = threeOf(call, normaliseBatch(call));
    return new List([...items, call.item('running_mean'), call.item('running_var')]);
  }),
  layer_norm: layerNorm,
  native_layer_norm: nativeLayerNorm,
  rms_norm: rule('input, normalized_shape, weight=None, eps=None', normaliseRoot),
  _fused_rms_norm: rule(
    'input, normalized_shape, weight=None, eps=None',
    (call) => new List([...listOf([normaliseRoot(call)]).items, call.unknown('the deviation')]),
  ),
  group_norm: groupNorm,
  native_group_norm: nativeGroupNorm,
  instance_norm: instanceNorm,
  local_response_norm: localResponse,
  softmax: softmax('Softmax'),
  _softmax: softmax('Softmax'),
  _safe_softmax: softmax('Softmax'),
  log_softmax: softmax('LogSoftmax'),
  _log_softmax: softmax('LogSoftmax'),
  mean: reduction('ReduceMean', true),
  sum: reduction('ReduceSum'),
  prod: reduction('ReduceProd'),
  logsumexp: rule('self, dim, keepdim=False', (call) => {
    const x = call.tensor('self');
    return call.add('ReduceLogSumExp', [x], { axes: axesOf(call, x), keepdims: call.flag('keepdim') ? 1 : 0 });
  }),
  max: extreme('Max'),
  min: extreme('Min'),
  amax: extremes('Max'),
  amin: extremes('Min'),
  'prim::max': extreme('Max'),
  'prim::min': extreme('Min'),
  argmax: place('ArgMax'),
  argmin: place('ArgMin'),
  topk,
  norm: norm('p'),
  linalg_vector_norm: norm('ord'),
  frobenius_norm: rule('self, dim=None, keepdim=False', (call) =>
    normOf(call, call.tensor('self'), 2, axesOf(call, call.tensor('self')), call.flag('keepdim') ? 1 : 0),
  ),
  var: variance(false),
  std: variance(true),
  var_mean: withMean(false),
  std_mean: withMean(true),
  linalg_norm: linalgNorm,
  _weight_norm: weightNorm,
  dropout,
  feature_dropout: dropout,
  alpha_dropout: dropout,
  feature_alpha_dropout: dropout,
  native_dropout: rule('input, p, train', (call) => {
    if (call.number('p') !== 0) call.trains('train');
    return new List([call.item('input'), call.unknown('the mask')]);
  }),
};
