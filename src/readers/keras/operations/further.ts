/** Operations beside arithmetic and arrangement, by TensorFlow's name and by Keras 3's. */
import * as choices from './choices.js';
import * as each from './elementwise.js';
import { type Known, known } from './known.js';
import { broadcastTo, flipAxis, shape } from './placing.js';
import * as windows from './windows.js';

const COMPARISONS = [
  ['equal', 'Equal', 'Equal', false],
  ['not_equal', 'NotEqual', 'Equal', true],
  ['greater', 'Greater', 'Greater', false],
  ['greater_equal', 'GreaterEqual', 'GreaterOrEqual', false],
  ['less', 'Less', 'Less', false],
  ['less_equal', 'LessEqual', 'LessOrEqual', false],
] as const;

/** Python's operators, as tf.keras calls them. */
const OPERATORS: Readonly<Record<string, string>> = { equal: 'eq', not_equal: 'ne', greater: 'gt', greater_equal: 'ge', less: 'lt', less_equal: 'le' };

const UNARY = ['Sinh', 'Cosh', 'Asinh', 'Acosh', 'Atanh', 'Asin', 'Acos'] as const;

const NAMED: Readonly<Record<string, Known>> = {
  ...Object.fromEntries(
    COMPARISONS.flatMap(([name, , op, invert]) => {
      const one = known(['x', 'y'], choices.compare(op, invert));
      return [
        [`math.${name}`, one],
        [`__operators__.${OPERATORS[name]}`, one],
      ];
    }),
  ),
  ...Object.fromEntries(UNARY.map((op) => [`math.${op.toLowerCase()}`, known(['x'], each.unary(op, 'x'))])),
  'math.floordiv': known(['x', 'y'], each.floorDivide('x', 'y')),
  'math.floormod': known(['x', 'y'], each.modulo('x', 'y')),
  'math.mod': known(['x', 'y'], each.modulo('x', 'y')),
  'math.logical_and': known(['x', 'y'], choices.logical('And')),
  'math.logical_or': known(['x', 'y'], choices.logical('Or')),
  'math.logical_xor': known(['x', 'y'], choices.logical('Xor')),
  'math.logical_not': known(['x'], choices.logicalNot('x')),
  where: known(['condition', 'x', 'y'], choices.where('condition', 'x', 'y')),
  'math.argmax': known(['input', 'axis', 'output_type'], choices.extreme('ArgMax', 'input', 0), 'output_type'),
  'math.argmin': known(['input', 'axis', 'output_type'], choices.extreme('ArgMin', 'input', 0), 'output_type'),
  one_hot: known(['indices', 'depth', 'on_value', 'off_value', 'axis', 'dtype'], choices.oneHot('indices', 'depth'), 'dtype'),
  'math.top_k': known(['input', 'k', 'sorted'], choices.topK('input')),
  sort: known(['values', 'axis', 'direction'], choices.sort('values', false)),
  argsort: known(['values', 'axis', 'direction', 'stable'], choices.sort('values', true)),
  'math.cumsum': known(['x', 'axis', 'exclusive', 'reverse'], choices.cumulative('x')),
  zeros_like: known(['input', 'dtype'], choices.filledLike('input', 0), 'dtype', 'layout'),
  ones_like: known(['input', 'dtype'], choices.filledLike('input', 1), 'dtype', 'layout'),
  shape: known(['input', 'out_type'], shape('input'), 'out_type'),
  broadcast_to: known(['input', 'shape'], broadcastTo('input')),
  roll: known(['input', 'shift', 'axis'], windows.roll('input')),
  norm: known(['tensor', 'ord', 'axis', 'keepdims'], windows.norm('tensor')),
  einsum: known(['equation', 'a', 'b', 'c', 'd'], windows.einsum),
  'nn.max_pool': known(['input', 'ksize', 'strides', 'padding', 'data_format'], windows.pool('MaxPool', 'input', 'ksize')),
  'nn.avg_pool': known(['input', 'ksize', 'strides', 'padding', 'data_format'], windows.pool('AveragePool', 'input', 'ksize')),
  'nn.local_response_normalization': known(['input', 'depth_radius', 'bias', 'alpha', 'beta'], windows.localResponse),
  'nn.moments': known(['x', 'axes', 'shift', 'keepdims'], windows.moments('x')),
  'nn.crelu': known(['features', 'axis'], windows.crelu),
  'image.rgb_to_grayscale': known(['images'], choices.grayscale('images')),
  'image.flip_left_right': known(['image'], flipAxis('image', -2)),
  'image.flip_up_down': known(['image'], flipAxis('image', -3)),
  'image.crop_to_bounding_box': known(['image', 'offset_height', 'offset_width', 'target_height', 'target_width'], windows.cropBox('image')),
  'image.per_image_standardization': known(['image'], windows.standardized('image')),
};

/** Other names of the same functions. */
const ALIASES: Readonly<Record<string, string>> = {
  'nn.max_pool1d': 'nn.max_pool',
  'nn.max_pool2d': 'nn.max_pool',
  'nn.max_pool3d': 'nn.max_pool',
  'nn.avg_pool1d': 'nn.avg_pool',
  'nn.avg_pool2d': 'nn.avg_pool',
  'nn.avg_pool3d': 'nn.avg_pool',
  'nn.lrn': 'nn.local_response_normalization',
  'linalg.norm': 'norm',
  'linalg.einsum': 'einsum',
  'nn.top_k': 'math.top_k',
  argmax: 'math.argmax',
  argmin: 'math.argmin',
  cumsum: 'math.cumsum',
  where_v2: 'where',
};

export const TENSORFLOW_FURTHER: Readonly<Record<string, Known>> = {
  ...NAMED,
  ...Object.fromEntries(Object.entries(ALIASES).map(([alias, name]) => [alias, NAMED[name]!])),
};

export const KERAS_FURTHER: Readonly<Record<string, Known>> = {
  ...Object.fromEntries(COMPARISONS.map(([, name, op, invert]) => [name, known(['x1', 'x2'], choices.compare(op, invert, 'x1', 'x2'))])),
  ...Object.fromEntries(UNARY.map((op) => [op.replace(/^A(?=sin|cos|tan)/, 'Arc'), known(['x'], each.unary(op, 'x'))])),
  FloorDivide: known(['x1', 'x2'], each.floorDivide('x1', 'x2')),
  Mod: known(['x1', 'x2'], each.modulo('x1', 'x2')),
  SquaredDifference: known(['x1', 'x2'], each.squaredDifference('x1', 'x2')),
  LogicalAnd: known(['x1', 'x2'], choices.logical('And', 'x1', 'x2')),
  LogicalOr: known(['x1', 'x2'], choices.logical('Or', 'x1', 'x2')),
  LogicalXor: known(['x1', 'x2'], choices.logical('Xor', 'x1', 'x2')),
  LogicalNot: known(['x'], choices.logicalNot('x')),
  Where: known(['condition', 'x1', 'x2'], choices.where('condition', 'x1', 'x2')),
  Threshold: known(['x', 'threshold', 'default_value'], choices.threshold),
  Argmax: known(['x', 'axis', 'keepdims'], choices.extreme('ArgMax', 'x', null)),
  Argmin: known(['x', 'axis', 'keepdims'], choices.extreme('ArgMin', 'x', null)),
  OneHot: known(['x', 'num_classes', 'axis', 'dtype', 'sparse'], choices.oneHot('x', 'num_classes'), 'dtype'),
  TopK: known(['x', 'k', 'sorted'], choices.topK('x')),
  Sort: known(['x', 'axis'], choices.sort('x', false)),
  Argsort: known(['x', 'axis'], choices.sort('x', true)),
  Cumsum: known(['x', 'axis', 'dtype'], choices.cumulative('x'), 'dtype'),
  ZerosLike: known(['x', 'dtype'], choices.filledLike('x', 0), 'dtype'),
  OnesLike: known(['x', 'dtype'], choices.filledLike('x', 1), 'dtype'),
  FullLike: known(['x', 'fill_value', 'dtype'], choices.filledLike('x', 'fill_value'), 'dtype'),
  BroadcastTo: known(['x', 'shape'], broadcastTo('x')),
  Roll: known(['x', 'shift', 'axis'], windows.roll('x')),
  Norm: known(['x', 'ord', 'axis', 'keepdims'], windows.norm('x')),
  Einsum: known(['a', 'b', 'c', 'd', 'subscripts'], windows.einsum),
  MaxPool: known(['inputs', 'pool_size', 'strides', 'padding', 'data_format'], windows.pool('MaxPool', 'inputs', 'pool_size')),
  AveragePool: known(['inputs', 'pool_size', 'strides', 'padding', 'data_format'], windows.pool('AveragePool', 'inputs', 'pool_size')),
  Moments: known(['x', 'axes', 'keepdims', 'synchronized'], windows.moments('x'), 'synchronized'),
  RGBToGrayscale: known(['images', 'data_format'], choices.grayscale('images')),
};
