/** Operators that the layer map says in several steps: functions of elements, distances, diagonals, and torchvision's own. */
import type { Value } from '../../../model/builder.js';
import { isFloatDType } from '../../../model/dtype.js';
import { angleOf } from '../../angle.js';
import type { Call } from '../call.js';
import { listOf, type Rule, type Rules, rule } from '../rule.js';
import { expanded } from './arrangement.js';
import { normOf } from './normalisation.js';

/** What flows in, as floats. */
function float(call: Call, name = 'self'): Value {
  const value = call.tensor(name);
  return value.dtype !== null && !isFloatDType(value.dtype) ? call.cast(value, 'float32') : value;
}

/** Of one value, given with a way to add numbers and steps. */
const ofElements = (run: (x: Value, tools: Tools) => Value, signature = 'self'): Rule => rule(signature, (call) => run(float(call), toolsOf(call)));

interface Tools {
  readonly call: Call;
  /** A step before the last one. */
  step(op: string, ...inputs: readonly (Value | number)[]): Value;
  /** The last one. */
  last(op: string, ...inputs: readonly (Value | number)[]): Value;
}

function toolsOf(call: Call): Tools {
  const values = (inputs: readonly (Value | number)[]): Value[] => {
    const like = inputs.find((input) => typeof input !== 'number') as Value;
    return inputs.map((input) => (typeof input === 'number' ? call.scalar(input, like) : input));
  };
  return {
    call,
    step: (op, ...inputs) => call.add(op, values(inputs), {}, op.toLowerCase()),
    last: (op, ...inputs) => call.add(op, values(inputs)),
  };
}

/** The p-norm of a difference along its last axis. */
function distance(call: Call, difference: Value, p: number, keepdims: number): Value {
  return normOf(call, difference, p, [call.rank(difference) - 1], keepdims);
}

const pairwiseDistance = rule('x1, x2, p=2, eps=1e-6, keepdim=False', (call) => {
  const { step } = toolsOf(call);
  // eps is added to the difference, not to its length.
  const difference = step('Add', step('Sub', call.tensor('x1'), call.tensor('x2')), call.number('eps'));
  return distance(call, difference, call.number('p'), call.flag('keepdim') ? 1 : 0);
});

const cdist = rule('x1, x2, p=2, compute_mode=None', (call) => {
  const [a, b] = [call.tensor('x1'), call.tensor('x2')];
  const rows = call.add('Unsqueeze', [a], { axes: [call.rank(a) - 1] }, 'rows');
  const columns = call.add('Unsqueeze', [b], { axes: [call.rank(b) - 2] }, 'columns');
  return distance(call, call.add('Sub', [rows, columns], {}, 'apart'), call.number('p'), 0);
});

/** Each length is at least eps. */
const cosineSimilarity = rule('x1, x2, dim=1, eps=1e-8', (call) => {
  const { step } = toolsOf(call);
  const [a, b] = [call.tensor('x1'), call.tensor('x2')];
  const rank = Math.max(call.rank(a), call.rank(b));
  const axis = call.axisOf(call.number('dim'), rank) - rank;
  const length = (x: Value) => step('Max', call.add('ReduceL2', [x], { axes: [call.rank(x) + axis], keepdims: 1 }, 'length'), call.number('eps'));
  const [unitA, unitB] = [step('Div', a, length(a)), step('Div', b, length(b))];
  const product = step('Mul', unitA, unitB);
  return call.add('ReduceSum', [product], { axes: [rank + axis], keepdims: 0 });
});

const MOST_DIFFERENCES = 16;

/** Each element less the one before it, as often as it is told; of truths, whether they differ. */
const difference = rule('self, n=1, dim=-1, prepend=None, append=None', (call) => {
  const x = call.tensor('self');
  const axis = call.axis('dim', x);
  const times = call.number('n');
  if (times === 0) return x;
  if (!(times > 0 && times <= MOST_DIFFERENCES)) throw call.decline(`it takes differences ${times} times`);
  const parts = [call.optionalTensor('prepend'), x, call.optionalTensor('append')].flatMap((part) => (part ? [call.cast(part, x.dtype!, 'part')] : []));
  const differences = (value: Value, left: number): Value => {
    const part = (starts: number, ends: number, step: string) =>
      call.add('Slice', [value], { starts: [starts], ends: [ends], axes: [axis], steps: [1] }, `${step}-${left}`);
    const made = call.add(
      x.dtype === 'bool' ? 'Xor' : 'Sub',
      [part(1, 2 ** 63, 'next'), part(0, -1, 'before')],
      {},
      left > 1 ? `difference-${left}` : undefined,
    );
    return left > 1 ? differences(made, left - 1) : made;
  };
  return differences(parts.length > 1 ? call.add('Concat', parts, { axis }, 'whole') : x, times);
});

/** Windows of an axis, which come last. */
const unfold = rule('self, dimension, size, step', (call) => {
  const x = call.tensor('self');
  const axis = call.axis('dimension', x);
  const [size, step] = [call.number('size'), call.number('step')];
  const count = Math.floor((call.size(x, axis) - size) / step) + 1;
  if (!(count >= 1) || size < 1 || count * size > MAX_PLACES) throw call.decline(`it cuts ${call.size(x, axis)} elements into windows of ${size} by ${step}`);
  const places = Array.from({ length: count * size }, (_, i) => Math.floor(i / size) * step + (i % size));
  const gathered = call.add('Gather', [x, call.build.numbers('int64', places, [count, size])], { axis }, 'windows');
  const rank = call.rank(x) + 1;
  const perm = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis + 1);
  return axis + 1 === rank - 1 ? gathered : call.add('Transpose', [gathered], { perm: [...perm, axis + 1] });
});

const MAX_PLACES = 100_000;

const col2im = rule('self, output_size, kernel_size, dilation, padding, stride', (call) => {
  const pads = call.numbers('padding', 2);
  return call.add('Col2Im', [call.tensor('self')], {
    image: call.numbers('output_size', 2),
    block: call.numbers('kernel_size', 2),
    dilations: call.numbers('dilation', 2),
    pads: [...pads, ...pads],
    strides: call.numbers('stride', 2),
  });
});

/** Elements whose places along two axes are the same (or apart by an offset). */
function diagonal(call: Call, offset: number, first: number, second: number): Value {
  const x = call.tensor('self');
  const rank = call.rank(x);
  const [a, b] = [call.axisOf(first, rank), call.axisOf(second, rank)];
  const rest = Array.from({ length: rank }, (_, axis) => axis).filter((axis) => axis !== a && axis !== b);
  const count = Math.min(call.size(x, a) + Math.min(0, offset), call.size(x, b) - Math.max(0, offset));
  if (count < 1) throw call.decline(`a diagonal ${offset} beside [${call.shape(x)}] has no elements`);
  const ahead = call.add('Transpose', [x], { perm: [a, b, ...rest] }, 'ahead');
  const places = Array.from({ length: count }, (_, i) => [i - Math.min(0, offset), i + Math.max(0, offset)]).flat();
  const made = call.add('GatherND', [ahead, call.build.numbers('int64', places, [count, 2])], {}, rest.length > 0 ? 'elements' : undefined);
  return rest.length === 0 ? made : call.add('Transpose', [made], { perm: [...rest.map((_, i) => i + 1), 0] });
}

/** A vector on the diagonal of a matrix, or of a batch of them. */
function onDiagonal(call: Call, offset: number): Value {
  const x = call.tensor('self');
  const [rank, size] = [call.rank(x), call.size(x, call.rank(x) - 1)];
  const side = size + Math.abs(offset);
  const places = Array.from({ length: side * side }, (_, at) => {
    const [row, column] = [Math.floor(at / side), at % side];
    return column - row === offset ? Math.min(row, column) : size;
  });
  const zero = call.add('Pad', [x], { pads: [...new Array<number>(2 * rank - 1).fill(0), 1] }, 'zero');
  return call.add('Gather', [zero, call.build.numbers('int64', places, [side, side])], { axis: rank - 1 });
}

/** Parts as they are joined by a name of their own, after each has as many axes as that needs. */
const joinedAs = (axis: (rank: number) => number, shaped: (call: Call, value: Value) => Value): Rule =>
  rule('tensors', (call) => {
    const items = call.items('tensors');
    const names = items.map((_, i) => `tensors[${i}]`);
    const { values } = call.withGiven(Object.fromEntries(names.map((name, i) => [name, items[i]!]))).promoted(names);
    const parts = values.map((value) => shaped(call, value));
    return parts.length === 1 ? parts[0]! : call.add('Concat', parts, { axis: axis(call.rank(parts[0]!)) });
  });

/** At least so many axes, new ones in front, or where torch puts them. */
const atLeast =
  (rank: number) =>
  (call: Call, value: Value): Value => {
    const missing = rank - call.rank(value);
    if (missing <= 0) return value;
    // Of three axes the new last one comes behind.
    const axes = rank === 3 ? (missing === 1 ? [2] : missing === 2 ? [0, 2] : [0, 1, 2]) : Array.from({ length: missing }, (_, i) => i);
    return call.add('Unsqueeze', [value], { axes }, 'wide');
  };

const column = (call: Call, value: Value): Value => (call.rank(value) < 2 ? call.reshaped(value, [-1, 1], 'column') : value);

const tensordot = rule('self, other, dims_self, dims_other', (call) => {
  const [a, b] = [call.tensor('self'), call.tensor('other')];
  const [ofA, ofB] = [
    call.numbers('dims_self').map((axis) => call.axisOf(axis, call.rank(a))),
    call.numbers('dims_other').map((axis) => call.axisOf(axis, call.rank(b))),
  ];
  const letters = 'abcdefghijklmnopqrstuvwxyz';
  const first = Array.from({ length: call.rank(a) }, (_, axis) => letters[axis]!);
  const second = Array.from({ length: call.rank(b) }, (_, axis) => (ofB.includes(axis) ? first[ofA[ofB.indexOf(axis)]!]! : letters[call.rank(a) + axis]!));
  const kept = [...first.filter((_, axis) => !ofA.includes(axis)), ...second.filter((_, axis) => !ofB.includes(axis))];
  return call.add('Einsum', [a, b], { equation: `${first.join('')},${second.join('')}->${kept.join('')}` });
});

const bilinear = rule('input1, input2, weight, bias=None', (call) => {
  const made = call.add(
    'Einsum',
    [call.tensor('input1'), call.tensor('weight'), call.tensor('input2')],
    { equation: '...i,oij,...j->...o' },
    call.has('bias') ? 'product' : undefined,
  );
  return call.has('bias') ? call.add('Add', [made, call.tensor('bias')]) : made;
});

const oneHot = rule('self, num_classes=-1', (call) => {
  const count = call.number('num_classes');
  if (count < 1) throw call.decline('how many classes there are is known only when the model runs');
  return call.add('OneHot', [call.tensor('self'), call.build.numbers('int64', count), call.build.numbers('int64', [0, 1])], { axis: -1 });
});

const range = rule('self, dim=None, keepdim=False', (call) => {
  const x = call.tensor('self');
  const attributes = { ...(call.has('dim') ? { axes: [call.axis('dim', x)] } : {}), keepdims: call.flag('keepdim') ? 1 : 0 };
  return listOf([call.add('ReduceMin', [x], attributes, 'least'), call.add('ReduceMax', [x], attributes, 'largest')]);
});

const sumOf = (prepared: (call: Call, x: Value) => Value): Rule =>
  rule('self, dim=None, keepdim=False, dtype=None', (call) => {
    const x = prepared(call, call.tensor('self'));
    const axes = call.has('dim') ? call.numbers('dim').map((axis) => call.axisOf(axis, call.rank(x))) : [];
    return call.add('ReduceSum', [x], { ...(axes.length > 0 ? { axes } : {}), keepdims: call.flag('keepdim') ? 1 : 0 });
  });

const atan2 = rule('self, other', (call) => {
  const { step, last } = toolsOf(call);
  const [y, x] = [float(call, 'self'), float(call, 'other')];
  return angleOf(y, x, (value) => call.scalar(value, x), step, last);
});

/** Whether a number is below zero, or is the negative one. */
function isNegative(call: Call, x: Value, step: Tools['step'], last = step): Value {
  const isBelow = (value: Value) => step('Less', value, call.scalar(0, value));
  return last('Or', isBelow(x), isBelow(step('Reciprocal', x)));
}

const signbit = ofElements((x, { call, step, last }) => isNegative(call, x, step, last));

/** The size of one and the sign of the other. */
const copysign = rule('self, other', (call) => {
  const { step, last } = toolsOf(call);
  const size = step('Abs', float(call, 'self'));
  return last('Where', isNegative(call, float(call, 'other'), step), step('Neg', size), size);
});

/** What training with quantisation in mind puts in front of layers: the nearest code, and what it stands for. Rounding is to even, of a product with 1 / scale. */
const fakeQuantize = (axis: '' | 'axis, '): Rule =>
  rule(`self, scale, zero_point, ${axis}quant_min, quant_max`, (call) => {
    const { step, last } = toolsOf(call);
    const x = call.tensor('self');
    const laid = (name: string) => {
      const value = call.cast(call.tensor(name), x.dtype!, name);
      if (axis === '') return value;
      const along = call.axisOf(call.number('axis'), call.rank(x));
      return call.add('Reshape', [value], { shape: call.shape(x).map((_, i) => (i === along ? -1 : 1)) }, name);
    };
    const [scale, zero] = [laid('scale'), laid('zero_point')];
    const codes = step('Add', step('Round', step('Mul', x, step('Reciprocal', scale))), zero);
    const held = call.add('Clip', [codes], { min: call.number('quant_min'), max: call.number('quant_max') }, 'held');
    return last('Mul', step('Sub', held, zero), scale);
  });

const nanToNum = rule('self, nan=0, posinf=None, neginf=None', (call) => {
  const x = call.tensor('self');
  const largest = x.dtype === 'float16' ? 65504 : x.dtype === 'float64' ? Number.MAX_VALUE : 3.4028234663852886e38;
  const [high, low] = [call.has('posinf') ? call.number('posinf') : largest, call.has('neginf') ? call.number('neginf') : -largest];
  const filled = call.add('Where', [call.add('IsNaN', [x], {}, 'isnan'), call.scalar(call.has('nan') ? call.number('nan') : 0, x), x], {}, 'filled');
  const above = call.add('IsInf', [filled], { detect_negative: 0 }, 'above');
  const below = call.add('IsInf', [filled], { detect_positive: 0 }, 'below');
  const held = call.add('Where', [above, call.scalar(high, x), filled], {}, 'held');
  return call.add('Where', [below, call.scalar(low, x), held]);
});

const lerp = rule('self, end, weight', (call) => {
  const { step, last } = toolsOf(call);
  const x = call.tensor('self');
  const weight = call.cast(call.tensor('weight'), x.dtype!, 'weight');
  return last('Add', x, step('Mul', weight, step('Sub', call.tensor('end'), x)));
});

const deformConv: Rule = rule(
  'input, weight, offset, mask, bias, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, offset_groups, use_mask',
  (call) => {
    const numbers = (...names: string[]) => names.map((name) => call.number(name));
    const pads = numbers('pad_h', 'pad_w');
    const kernel = call.tensor('weight');
    const attributes = {
      kernel_shape: [2, 3].map((axis) => call.size(kernel, axis)),
      strides: numbers('stride_h', 'stride_w'),
      pads: [...pads, ...pads],
      dilations: numbers('dilation_h', 'dilation_w'),
      group: call.number('groups'),
      offset_group: call.number('offset_groups'),
    };
    const mask = call.flag('use_mask') ? call.tensor('mask') : null;
    return call.add('DeformConv', [call.tensor('input'), kernel, call.tensor('offset'), call.tensor('bias'), mask], attributes);
  },
);

/** Regions are [K, 5]: the picture's place in the batch, and two corners. */
const roiAlign = rule('input, rois, spatial_scale, pooled_height, pooled_width, sampling_ratio, aligned', (call) => {
  const [x, rois] = [call.tensor('input'), call.tensor('rois')];
  const part = (from: number, to: number, step: string) => call.add('Slice', [rois], { starts: [from], ends: [to], axes: [1], steps: [1] }, step);
  const batch = call.cast(call.add('Squeeze', [part(0, 1, 'places')], { axes: [1] }, 'place'), 'int64', 'batch');
  return call.add('RoiAlign', [x, part(1, 5, 'corners'), batch], {
    mode: 'avg',
    output_height: call.number('pooled_height'),
    output_width: call.number('pooled_width'),
    sampling_ratio: Math.max(0, call.number('sampling_ratio')),
    spatial_scale: call.number('spatial_scale'),
    coordinate_transformation_mode: call.flag('aligned') ? 'half_pixel' : 'output_half_pixel',
  });
});

const turnedOver = rule('self', (call) => call.transposed(call.tensor('self')));

export const compositions: Rules = {
  frac: ofElements((x, { step, last }) => last('Sub', x, step('Mul', step('Sign', x), step('Floor', step('Abs', x))))),
  exp2: ofElements((x, { call, last }) => last('Pow', call.scalar(2, x), x)),
  expm1: ofElements((x, { step, last }) => last('Sub', step('Exp', x), 1)),
  log1p: ofElements((x, { step, last }) => last('Log', step('Add', x, 1))),
  log2: ofElements((x, { step, last }) => last('Div', step('Log', x), Math.LN2)),
  log10: ofElements((x, { step, last }) => last('Div', step('Log', x), Math.LN10)),
  erfc: ofElements((x, { call, step }) => call.add('Sub', [call.scalar(1, x), step('Erf', x)])),
  isfinite: ofElements((x, { step, last }) => last('Not', step('Or', step('IsNaN', x), step('IsInf', x)))),
  logit: ofElements((x, { call, step, last }) => {
    const eps = call.has('eps') ? call.number('eps') : null;
    const held = eps === null ? x : call.add('Clip', [x], { min: eps, max: 1 - eps }, 'held');
    return last('Log', step('Div', held, step('Sub', call.scalar(1, x), held)));
  }, 'self, eps=None'),
  hypot: rule('self, other', (call) => {
    const { step, last } = toolsOf(call);
    const [a, b] = [call.tensor('self'), call.tensor('other')];
    return last('Sqrt', step('Add', step('Mul', a, a), step('Mul', b, b)));
  }),
  lerp,
  addcdiv: rule('self, tensor1, tensor2, value=1', (call) => {
    const { step, last } = toolsOf(call);
    return last('Add', call.tensor('self'), step('Mul', step('Div', call.tensor('tensor1'), call.tensor('tensor2')), call.number('value')));
  }),
  nan_to_num: nanToNum,
  atan2,
  arctan2: atan2,
  copysign,
  signbit,
  fake_quantize_per_tensor_affine: fakeQuantize(''),
  fake_quantize_per_channel_affine: fakeQuantize('axis, '),
  aminmax: range,
  nansum: sumOf((call, x) => call.add('Where', [call.add('IsNaN', [x], {}, 'isnan'), call.scalar(0, x), x], {}, 'filled')),
  count_nonzero: sumOf((call, x) => call.cast(call.cast(x, 'bool', 'isset'), 'int64', 'whole')),
  diff: difference,
  pairwise_distance: pairwiseDistance,
  cdist,
  _cdist_forward: cdist,
  cosine_similarity: cosineSimilarity,
  unfold,
  col2im,
  diagonal: rule('self, offset=0, dim1=0, dim2=1', (call) => diagonal(call, call.number('offset'), call.number('dim1'), call.number('dim2'))),
  diag: rule('self, diagonal=0', (call) =>
    call.rank(call.tensor('self')) === 1 ? onDiagonal(call, call.number('diagonal')) : diagonal(call, call.number('diagonal'), 0, 1),
  ),
  diag_embed: rule('self, offset=0, dim1=-2, dim2=-1', (call) => {
    if (call.number('dim1') !== -2 || call.number('dim2') !== -1) throw call.decline('its axes are not the last two');
    return onDiagonal(call, call.number('offset'));
  }),
  trace: rule('self', (call) => call.add('ReduceSum', [diagonal(call, 0, 0, 1)], { keepdims: 0 }, 'sum')),
  outer: rule('self, vec2', (call) => {
    const [a, b] = [call.tensor('self'), call.tensor('vec2')];
    return call.add('Mul', [call.reshaped(a, [-1, 1], 'column'), b]);
  }),
  tensordot,
  bilinear,
  linalg_multi_dot: rule('tensors', (call) => call.tensors('tensors').reduce((a, b) => call.add('MatMul', [a, b]))),
  one_hot: oneHot,
  broadcast_to: rule('self, size', (call) => {
    const x = call.tensor('self');
    return expanded(call, x, call.sizes('size'));
  }),
  ravel: rule('self', (call) => call.reshaped(call.tensor('self'), [-1])),
  mT: turnedOver,
  mH: turnedOver,
  adjoint: turnedOver,
  vstack: joinedAs(() => 0, atLeast(2)),
  hstack: joinedAs(
    (rank) => (rank === 1 ? 0 : 1),
    (_, value) => value,
  ),
  dstack: joinedAs(() => 2, atLeast(3)),
  column_stack: joinedAs(() => 1, column),
  'torchvision::deform_conv2d': deformConv,
  'torchvision::roi_align': roiAlign,
};
