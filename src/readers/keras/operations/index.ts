/**
 * The operations that models call as functions, by every name under which files have them: TensorFlow functions (tf.keras's `TFOpLambda`
 * and `SlicingOpLambda`), operations of Keras 3 (`keras.ops`), and nodes of TensorFlow graphs (`TensorFlowOpLayer` of TensorFlow 2.0 to 2.3).
 */

import type { Argument } from '../call.js';
import { type KerasModel, type LayerCall, mapLayers } from '../config.js';
import type { ConfigView } from '../config-view.js';
import { parseConstant } from '../constant.js';
import { isObject, parseJson } from '../json.js';
import type { Build } from '../rule.js';
import type { Value } from '../value.js';
import { Arguments } from './arguments.js';
import * as arrange from './arrangement.js';
import { additiveAttention, attention, groupedQueryAttention, multiHeadAttention } from './attention.js';
import { hsvToRgb, rgbToHsv } from './colours.js';
import * as each from './elementwise.js';
import { KERAS_FORMULAS, TENSORFLOW_FORMULAS } from './formulas.js';
import { KERAS_FUNCTIONS, KERAS_MODULES, quantified, TENSORFLOW_FUNCTIONS } from './functions.js';
import { KERAS_FURTHER, TENSORFLOW_FURTHER } from './further.js';
import { type Known, known } from './known.js';
import { KERAS_ORDER } from './order.js';
import { KERAS_PARTS, rowsOr } from './parts.js';
import * as pictures from './pictures.js';
import * as placing from './placing.js';
import { reversibleEmbedding } from './reversible.js';
import { KERAS_SCARCE } from './scarce.js';
import { getItem } from './slicing.js';

const of = (x: string, ...rest: readonly string[]) => ({
  unary: (op: string) => known([x, ...rest], each.unary(op, x)),
  named: (name: string) => known([x, ...rest], each.named(name, x)),
});

/** Functions of one tensor whose name, in every spelling, is all that there is to say. */
function unaries(x: string, spell: (tensorflow: string, keras: string) => string): Record<string, Known> {
  const entries: [string, Known][] = [
    [spell('math.negative', 'Negative'), of(x).unary('Neg')],
    [spell('math.abs', 'Absolute'), of(x).unary('Abs')],
    [spell('math.exp', 'Exp'), of(x).unary('Exp')],
    [spell('math.log', 'Log'), of(x).unary('Log')],
    [spell('math.sqrt', 'Sqrt'), of(x).unary('Sqrt')],
    [spell('math.tanh', 'Tanh'), of(x).unary('Tanh')],
    [spell('math.sigmoid', 'Sigmoid'), of(x).unary('Sigmoid')],
    [spell('math.erf', 'Erf'), of(x).unary('Erf')],
    [spell('math.sin', 'Sin'), of(x).unary('Sin')],
    [spell('math.cos', 'Cos'), of(x).unary('Cos')],
    [spell('math.tan', 'Tan'), of(x).unary('Tan')],
    [spell('math.atan', 'Arctan'), of(x).unary('Atan')],
    [spell('math.sign', 'Sign'), of(x).unary('Sign')],
    [spell('math.floor', 'Floor'), of(x).unary('Floor')],
    [spell('math.ceil', 'Ceil'), of(x).unary('Ceil')],
    [spell('math.log1p', 'Log1p'), known([x], each.logOnePlus(x))],
    [spell('math.expm1', 'Expm1'), known([x], each.expMinusOne(x))],
    [spell('math.round', 'Round'), known([x, 'decimals'], each.round(x))],
    [spell('math.square', 'Square'), known([x], each.square(x))],
    [spell('math.rsqrt', 'Rsqrt'), known([x], each.reciprocalRoot(x))],
    [spell('math.reciprocal', 'Reciprocal'), known([x], each.reciprocal(x))],
  ];
  return Object.fromEntries(entries);
}

/** By TensorFlow's name, without `tf.`. */
const TENSORFLOW: Readonly<Record<string, Known>> = {
  ...unaries('x', (name) => name),
  ...TENSORFLOW_FURTHER,
  ...TENSORFLOW_FORMULAS,
  ...TENSORFLOW_FUNCTIONS,
  ...KERAS_MODULES,
  'math.add': known(['x', 'y'], each.binary('Add', 'x', 'y')),
  '__operators__.add': known(['x', 'y'], each.binary('Add', 'x', 'y')),
  'math.subtract': known(['x', 'y'], each.binary('Sub', 'x', 'y')),
  'math.multiply': known(['x', 'y'], each.binary('Mul', 'x', 'y')),
  'math.divide': known(['x', 'y'], each.binary('Div', 'x', 'y')),
  'math.truediv': known(['x', 'y'], each.binary('Div', 'x', 'y')),
  'math.pow': known(['x', 'y'], each.binary('Pow', 'x', 'y')),
  'math.maximum': known(['x', 'y'], each.binary('Max', 'x', 'y')),
  'math.minimum': known(['x', 'y'], each.binary('Min', 'x', 'y')),
  'math.squared_difference': known(['x', 'y'], each.squaredDifference('x', 'y')),
  'math.scalar_mul': known(['scalar', 'x'], each.binary('Mul', 'scalar', 'x')),
  'math.add_n': known(['inputs'], each.addAll('inputs')),
  'math.softplus': of('features').named('softplus'),
  'nn.softplus': of('features').named('softplus'),
  'nn.softsign': of('features').named('softsign'),
  'nn.relu': of('features').named('relu'),
  'nn.relu6': of('features').named('relu6'),
  'nn.selu': of('features').named('selu'),
  'nn.elu': of('features').named('elu'),
  'nn.tanh': of('x').named('tanh'),
  'nn.sigmoid': of('x').named('sigmoid'),
  'nn.silu': known(['features', 'beta'], withBeta),
  'nn.swish': known(['features', 'beta'], withBeta),
  'nn.leaky_relu': known(['features', 'alpha'], each.leakyRelu('features', 'alpha')),
  'nn.gelu': known(['features', 'approximate'], each.gelu('features', false)),
  'nn.softmax': known(['logits', 'axis'], each.softmaxOf('Softmax', 'logits')),
  'nn.log_softmax': known(['logits', 'axis'], each.softmaxOf('LogSoftmax', 'logits')),
  'nn.bias_add': known(['value', 'bias', 'data_format'], each.biasAdd),
  clip_by_value: known(['t', 'clip_value_min', 'clip_value_max'], each.clip('t', 'clip_value_min', 'clip_value_max')),
  cast: known(['x', 'dtype'], each.cast('x')),
  identity: known(['input'], each.identityOf('input')),
  stop_gradient: known(['input'], each.identityOf('input')),
  'math.reduce_mean': known(['input_tensor', 'axis', 'keepdims'], arrange.reduction('ReduceMean', 'input_tensor')),
  'math.reduce_sum': known(['input_tensor', 'axis', 'keepdims'], arrange.reduction('ReduceSum', 'input_tensor')),
  'math.reduce_max': known(['input_tensor', 'axis', 'keepdims'], arrange.reduction('ReduceMax', 'input_tensor')),
  'math.reduce_min': known(['input_tensor', 'axis', 'keepdims'], arrange.reduction('ReduceMin', 'input_tensor')),
  'math.reduce_prod': known(['input_tensor', 'axis', 'keepdims'], arrange.reduction('ReduceProd', 'input_tensor')),
  'math.reduce_logsumexp': known(['input_tensor', 'axis', 'keepdims'], arrange.reduction('ReduceLogSumExp', 'input_tensor')),
  'math.reduce_variance': known(['input_tensor', 'axis', 'keepdims'], arrange.spread(false, 'input_tensor')),
  'math.reduce_std': known(['input_tensor', 'axis', 'keepdims'], arrange.spread(true, 'input_tensor')),
  'math.l2_normalize': known(['x', 'axis', 'epsilon', 'name', 'dim'], arrange.l2Normalize('x')),
  'nn.l2_normalize': known(['x', 'axis', 'epsilon', 'name', 'dim'], arrange.l2Normalize('x')),
  'linalg.l2_normalize': known(['x', 'axis', 'epsilon', 'name', 'dim'], arrange.l2Normalize('x')),
  concat: known(['values', 'axis'], arrange.concatenate('values')),
  stack: known(['values', 'axis'], arrange.stack('values')),
  split: known(['value', 'num_or_size_splits', 'axis', 'num'], arrange.split('value', 'num_or_size_splits', 'sizes')),
  tile: known(['input', 'multiples'], placing.tile('input', 'multiples')),
  repeat: known(['input', 'repeats', 'axis'], placing.repeat('input')),
  unstack: known(['value', 'num', 'axis'], placing.unstack('value')),
  gather: known(['params', 'indices', 'validate_indices', 'axis', 'batch_dims'], rowsOr('params', 0, placing.take('params', 0))),
  slice: known(['input_', 'begin', 'size'], placing.sliceOf('input_')),
  'nn.depth_to_space': known(['input', 'block_size', 'data_format'], pictures.blocks('DepthToSpace')),
  'nn.space_to_depth': known(['input', 'block_size', 'data_format'], pictures.blocks('SpaceToDepth')),
  'image.resize': known(['images', 'size', 'method', 'preserve_aspect_ratio', 'antialias'], pictures.resize('images', 'method')),
  'image.rgb_to_hsv': known(['images'], rgbToHsv('images')),
  'image.hsv_to_rgb': known(['images'], hsvToRgb('images')),
  reshape: known(['tensor', 'shape'], arrange.reshape('tensor', 'shape')),
  transpose: { ...known(['a', 'perm', 'conjugate'], arrange.transpose('a', 'perm')), idle: ['name', 'conjugate'] },
  expand_dims: known(['input', 'axis'], arrange.expandDims('input')),
  squeeze: known(['input', 'axis'], arrange.squeezeOf('input')),
  reverse: known(['tensor', 'axis'], arrange.flipOf('tensor')),
  pad: known(['tensor', 'paddings', 'mode', 'constant_values'], arrange.pad('tensor', 'paddings', 'mode', 'constant_values')),
  'linalg.matmul': {
    ...known(['a', 'b', 'transpose_a', 'transpose_b', 'adjoint_a', 'adjoint_b'], arrange.matMul('a', 'b')),
    idle: ['name', 'output_type', 'grad_a', 'grad_b'],
  },
};

/** swish(x) = x · sigmoid(beta · x) */
function withBeta(args: Arguments): Build {
  const beta = args.number('beta', 1);
  if (beta !== 1) args.decline(`its beta is ${beta}; 1 is translated`);
  return each.named('silu', 'features')(args);
}

/** By the class of Keras 3's operation. */
const KERAS: Readonly<Record<string, Known>> = {
  ...unaries('x', (_, name) => name),
  ...KERAS_FURTHER,
  ...KERAS_FUNCTIONS,
  ...KERAS_SCARCE,
  ...KERAS_FORMULAS,
  ...KERAS_ORDER,
  ...KERAS_PARTS,
  Abs: of('x').unary('Abs'),
  Add: known(['x1', 'x2'], each.binary('Add', 'x1', 'x2')),
  Subtract: known(['x1', 'x2'], each.binary('Sub', 'x1', 'x2')),
  Multiply: known(['x1', 'x2'], each.binary('Mul', 'x1', 'x2')),
  Divide: known(['x1', 'x2'], each.binary('Div', 'x1', 'x2')),
  TrueDivide: known(['x1', 'x2'], each.binary('Div', 'x1', 'x2')),
  Power: known(['x1', 'x2'], each.binary('Pow', 'x1', 'x2')),
  Maximum: known(['x1', 'x2'], each.binary('Max', 'x1', 'x2')),
  Minimum: known(['x1', 'x2'], each.binary('Min', 'x1', 'x2')),
  ...Object.fromEntries(
    [
      ...[
        ['Relu', 'relu'],
        ['Relu6', 'relu6'],
        ['Silu', 'silu'],
        ['Selu', 'selu'],
        ['Softplus', 'softplus'],
        ['Softsign', 'softsign'],
      ],
      ...[
        ['SoftSign', 'softsign'],
        ['HardSilu', 'hard_silu'],
        ['LogSigmoid', 'log_sigmoid'],
        ['Mish', 'mish'],
        ['HardTanh', 'hard_tanh'],
      ],
      ...[
        ['TanhShrink', 'tanh_shrink'],
        ['SparsePlus', 'sparse_plus'],
        ['SparseSigmoid', 'sparse_sigmoid'],
        ['HardSigmoid', 'hard_sigmoid'],
      ],
    ].map(([operation, name]) => [operation, of('x').named(name!)]),
  ),
  LeakyRelu: known(['x', 'negative_slope'], each.leakyRelu('x', 'negative_slope')),
  Elu: known(['x', 'alpha'], each.elu('x')),
  Celu: known(['x', 'alpha'], each.celu('x')),
  Glu: known(['x', 'axis'], each.glu('x')),
  HardShrink: known(['x', 'threshold'], each.hardShrink('x')),
  SoftShrink: known(['x', 'threshold'], each.softShrink('x')),
  Squareplus: known(['x', 'b'], each.squarePlus('x')),
  Gelu: known(['x', 'approximate'], each.gelu('x', true)),
  Softmax: known(['x', 'axis'], each.softmaxOf('Softmax', 'x')),
  LogSoftmax: known(['x', 'axis'], each.softmaxOf('LogSoftmax', 'x')),
  Clip: known(['x', 'x_min', 'x_max'], each.clip('x', 'x_min', 'x_max')),
  Cast: known(['x', 'dtype'], each.cast('x')),
  SaturateCast: known(['x', 'dtype'], each.cast('x', true)),
  Mean: known(['x', 'axis', 'keepdims'], arrange.reduction('ReduceMean', 'x')),
  Sum: known(['x', 'axis', 'keepdims'], arrange.reduction('ReduceSum', 'x')),
  Max: known(['x', 'axis', 'keepdims', 'initial'], arrange.reduction('ReduceMax', 'x')),
  Min: known(['x', 'axis', 'keepdims', 'initial'], arrange.reduction('ReduceMin', 'x')),
  Prod: known(['x', 'axis', 'keepdims'], arrange.reduction('ReduceProd', 'x')),
  Logsumexp: known(['x', 'axis', 'keepdims'], arrange.reduction('ReduceLogSumExp', 'x')),
  Var: known(['x', 'axis', 'keepdims'], arrange.spread(false, 'x')),
  Std: known(['x', 'axis', 'keepdims'], arrange.spread(true, 'x')),
  Tile: known(['x', 'repeats'], placing.tile('x', 'repeats')),
  Repeat: known(['x', 'repeats', 'axis'], placing.repeat('x')),
  Unstack: known(['x', 'num', 'axis'], placing.unstack('x')),
  Take: known(['x', 'indices', 'axis'], rowsOr('x', null, placing.take('x', null))),
  Swapaxes: known(['x', 'axis1', 'axis2'], placing.swapAxes),
  Moveaxis: known(['x', 'source', 'destination'], placing.moveAxis),
  Resize: known(
    ['images', 'size', 'interpolation', 'antialias', 'crop_to_aspect_ratio', 'pad_to_aspect_ratio', 'fill_mode', 'fill_value', 'data_format'],
    pictures.resize('images', 'interpolation'),
  ),
  RGBToHSV: known(['images', 'data_format'], rgbToHsv('images')),
  HSVToRGB: known(['images', 'data_format'], hsvToRgb('images')),
  GaussianBlur: known(['images', 'kernel_size', 'sigma', 'data_format'], pictures.gaussianBlur),
  SobelEdges: known(['images', 'data_format'], pictures.sobelEdges),
  Fold: known(['x', 'output_size', 'kernel_size', 'dilation', 'padding', 'stride'], pictures.fold),
  Slice: known(['inputs', 'start_indices', 'shape'], placing.sliceOf('inputs', 'start_indices', 'shape')),
  GetItem: known(['x', 'key'], getItem('x', 'key')),
  Stack: known(['x', 'axis'], arrange.stack('x')),
  Concatenate: known(['xs', 'axis'], arrange.concatenate('xs')),
  Split: known(['x', 'indices_or_sections', 'axis'], arrange.split('x', 'indices_or_sections', 'places')),
  Reshape: known(['x', 'newshape'], arrange.reshape('x', 'newshape')),
  Transpose: known(['x', 'axes'], arrange.transpose('x', 'axes')),
  ExpandDims: known(['x', 'axis'], arrange.expandDims('x')),
  Squeeze: known(['x', 'axis'], arrange.squeezeOf('x')),
  Flip: known(['x', 'axis'], arrange.flipOf('x')),
  Pad: known(['x', 'constant_values', 'pad_width', 'mode'], arrange.pad('x', 'pad_width', 'mode', 'constant_values')),
  Matmul: known(['x1', 'x2'], arrange.matMul('x1', 'x2')),
};

/** By a node's operator; inputs come in order, numbers among them by their place. */
const NODES: Readonly<Record<string, Known>> = {
  ...Object.fromEntries(
    Object.entries({
      ...{ Neg: 'math.negative', Abs: 'math.abs', Exp: 'math.exp', Log: 'math.log', Sqrt: 'math.sqrt', Rsqrt: 'math.rsqrt', Square: 'math.square' },
      ...{ Tanh: 'math.tanh', Sigmoid: 'math.sigmoid', Erf: 'math.erf', Reciprocal: 'math.reciprocal', Inv: 'math.reciprocal' },
      ...{ Add: 'math.add', AddV2: 'math.add', Sub: 'math.subtract', Mul: 'math.multiply', RealDiv: 'math.truediv', Div: 'math.truediv', Pow: 'math.pow' },
      ...{ Maximum: 'math.maximum', Minimum: 'math.minimum', Relu: 'nn.relu', Relu6: 'nn.relu6', Selu: 'nn.selu', Elu: 'nn.elu', Softplus: 'nn.softplus' },
      ...{ Softsign: 'nn.softsign', LeakyRelu: 'nn.leaky_relu', Softmax: 'nn.softmax', LogSoftmax: 'nn.log_softmax', BiasAdd: 'nn.bias_add' },
      ...{ Identity: 'identity', SquaredDifference: 'math.squared_difference', Tile: 'tile', Floor: 'math.floor' },
      ...{
        DepthToSpace: 'nn.depth_to_space',
        SpaceToDepth: 'nn.space_to_depth',
        Slice: 'slice',
        StopGradient: 'stop_gradient',
        Reshape: 'reshape',
        Transpose: 'transpose',
        ExpandDims: 'expand_dims',
        Cast: 'cast',
      },
      ...{ Sign: 'math.sign', Ceil: 'math.ceil', Round: 'math.round', Rint: 'math.round', Sin: 'math.sin', Cos: 'math.cos', Tan: 'math.tan' },
      ...{ Log1p: 'math.log1p', Expm1: 'math.expm1', FloorMod: 'math.floormod', ClipByValue: 'clip_by_value', ReverseV2: 'reverse' },
      ...{ ZerosLike: 'zeros_like', OnesLike: 'ones_like', Cumsum: 'math.cumsum', Fill: 'fill', BroadcastTo: 'broadcast_to' },
      ...{ LogicalAnd: 'math.logical_and', LogicalOr: 'math.logical_or', LogicalNot: 'math.logical_not', GreaterEqual: 'math.greater_equal' },
      ...{ LessEqual: 'math.less_equal', DivNoNan: 'math.divide_no_nan' },
    }).map(([node, name]) => [node, TENSORFLOW[name]!]),
  ),
  Shape: TENSORFLOW.shape!,
  FloorDiv: TENSORFLOW['math.floordiv']!,
  SelectV2: TENSORFLOW.where!,
  Greater: TENSORFLOW['math.greater']!,
  Less: TENSORFLOW['math.less']!,
  Prod: known(['input_tensor', 'axis', 'keep_dims'], arrange.reduction('ReduceProd', 'input_tensor', 'axis', 'keep_dims')),
  Min: known(['input_tensor', 'axis', 'keep_dims'], arrange.reduction('ReduceMin', 'input_tensor', 'axis', 'keep_dims')),
  StridedSlice: known(['input', 'begin', 'end', 'strides'], placing.stridedSlice),
  Mean: known(['input_tensor', 'axis', 'keep_dims'], arrange.reduction('ReduceMean', 'input_tensor', 'axis', 'keep_dims')),
  Sum: known(['input_tensor', 'axis', 'keep_dims'], arrange.reduction('ReduceSum', 'input_tensor', 'axis', 'keep_dims')),
  Max: known(['input_tensor', 'axis', 'keep_dims'], arrange.reduction('ReduceMax', 'input_tensor', 'axis', 'keep_dims')),
  Squeeze: known(['input', 'squeeze_dims'], arrange.squeezeOf('input', 'squeeze_dims')),
  Pad: known(['tensor', 'paddings'], arrange.pad('tensor', 'paddings', 'mode', 'constant_values')),
  ...Object.fromEntries(['MatMul', 'BatchMatMul', 'BatchMatMulV2'].map((op) => [op, known(['a', 'b'], arrange.matMul('a', 'b'))])),
  GatherV2: known(['params', 'indices', 'axis', 'batch_dims'], placing.take('params', 0)),
  PadV2: known(['tensor', 'paddings', 'constant_values'], arrange.pad('tensor', 'paddings', 'mode', 'constant_values')),
  MirrorPad: known(['tensor', 'paddings'], arrange.pad('tensor', 'paddings', 'mode', 'constant_values')),
  Split: known(['axis', 'value'], arrange.split('value', 'num_split', 'sizes')),
  Unpack: known(['value'], placing.unstack('value')),
  Pack: known(['values'], arrange.stack('values'), 'N'),
  ConcatV2: known(['values', 'axis'], arrange.concatenate('values'), 'N'),
  AddN: known(['inputs'], each.addAll('inputs'), 'N'),
  Any: known(['input_tensor', 'axis'], quantified('ReduceMax', 'input_tensor', 'keep_dims')),
  All: known(['input_tensor', 'axis'], quantified('ReduceMin', 'input_tensor', 'keep_dims')),
};

/** Nodes that take a list of values, with how many single ones behind it. */
const LISTS: Readonly<Record<string, number>> = { Pack: 0, ConcatV2: 1, AddN: 0 };

/** Layers whose calls say more than which values flow in. */
const LAYERS: Readonly<Record<string, Known>> = {
  MultiHeadAttention: known(
    ['query', 'value', 'key', 'query_mask', 'value_mask', 'key_mask', 'attention_mask', 'return_attention_scores', 'training', 'use_causal_mask'],
    multiHeadAttention,
  ),
  GroupedQueryAttention: known(
    ['query', 'value', 'key', 'query_mask', 'value_mask', 'key_mask', 'attention_mask', 'return_attention_scores', 'training', 'use_causal_mask'],
    groupedQueryAttention,
  ),
  ...Object.fromEntries(['', 'keras_hub>', 'keras_nlp>'].map((owner) => [`${owner}ReversibleEmbedding`, known(['inputs', 'reverse'], reversibleEmbedding)])),
  AdditiveAttention: known(['inputs', 'mask', 'training', 'return_attention_scores', 'use_causal_mask'], additiveAttention),
  Attention: known(['inputs', 'mask', 'training', 'return_attention_scores', 'use_causal_mask'], attention),
};

/**
 * The model with operations of Keras 3 named as such. HDF5 files of Keras 3 have them under their class alone, which layers may share; only
 * layers say whether they are trained, and, but for some operations, in what they compute.
 */
export function withOperations(model: KerasModel): KerasModel {
  return mapLayers(model, (layer) => {
    if (layer.model) return { ...layer, model: withOperations(layer.model) };
    const operation = Object.hasOwn(KERAS, layer.className) ? KERAS[layer.className]! : null;
    const hasDType = operation !== null && [...operation.names, ...(operation.idle ?? [])].includes('dtype');
    const isLayer = Object.hasOwn(layer.config, 'trainable') || (Object.hasOwn(layer.config, 'dtype') && !hasDType);
    return isLayer || !operation ? layer : { ...layer, className: `ops.${layer.className}` };
  });
}

/** Whether layers of the class are calls of operations, whose arguments count and not only their inputs. */
export function isOperation(className: string): boolean {
  return (
    className === 'TFOpLambda' ||
    className === 'SlicingOpLambda' ||
    className === 'TensorFlowOpLayer' ||
    className.startsWith('ops.') ||
    Object.hasOwn(LAYERS, className)
  );
}

/** Reads one call of an operation; obstacles go to the view. */
export function readOperation(view: ConfigView, call: LayerCall): Build {
  const { className } = view.layer;
  if (className === 'TensorFlowOpLayer') return readNode(view, call);
  if (Object.hasOwn(LAYERS, className)) return read(view, call, LAYERS[className], className);
  const name = className.startsWith('ops.') ? className.slice('ops.'.length) : view.value(['function']);
  const table = className.startsWith('ops.') ? KERAS : TENSORFLOW;
  const found = name === '__operators__.getitem' ? known(['tensor', 'slice_spec'], getItem('tensor', 'slice_spec')) : lookUp(table, name);
  return read(view, call, found, className.startsWith('ops.') ? `keras.ops.${String(name)}` : `tf.${String(name)}`);
}

function lookUp(table: Readonly<Record<string, Known>>, name: unknown): Known | undefined {
  // TensorFlow names many of its functions after the first version's, which resized otherwise.
  const own = typeof name === 'string' && !/^compat\.v1\.image\./.test(name) ? name.replace(/^compat\.v1\./, '') : name;
  return typeof own === 'string' && Object.hasOwn(table, own) ? table[own] : undefined;
}

function read(view: ConfigView, call: LayerCall, found: Known | undefined, what: string): Build {
  if (!found) {
    view.ignoreAll();
    view.decline(`the operation ${what} is not translated. A layer of Keras that does the same (Rescaling, Reshape, Add, ...) would be.`);
    return () => [];
  }
  const args = new Arguments(view, call, found);
  const build = found.operation(args);
  args.finish();
  if (/cast$/i.test(what)) return build;
  return inHalf(IN_WHOLE_NUMBERS.test(what) ? ofReals(build, what) : build);
}

/** Of whole numbers, these are computed in their dtype, in which they wrap around, or are cut off to it. */
const IN_WHOLE_NUMBERS =
  /(^keras\.ops\.Resize|[.' ](Square|SquaredDifference|squared_difference|Cumsum|Cumprod|Prod|reduce_prod|Diff|Matmul|Dot|Einsum|Tensordot|Cross|Trapezoid|Moments|LayerNorm|RMSNorm|BatchMatMul(V2)?|add_n|AddN))$/i;

function ofReals(build: Build, what: string): Build {
  return (inputs, scope) => {
    const values = inputs.filter(({ sizes }) => !sizes);
    if (values.length > 0 && values.every(({ integer }) => integer))
      throw scope.unsupported(
        `${what} of whole numbers, which stays in them, may wrap around or is cut off; cast what flows in to float32 in the model first. As it stands this`,
      );
    return build(inputs, scope);
  };
}

/** What Keras makes of values in a narrow float, each step rounded to it: so far the same, but that it may add up in a wider one. */
function inHalf(build: Build): Build {
  return (inputs, scope) => {
    const made = build(inputs, scope);
    const floats = inputs.filter(({ integer, truth, sizes }) => !integer && !truth && !sizes);
    const half = floats[0]?.half;
    const outputs: readonly Value[] = Array.isArray(made) ? made : [made as Value];
    const isHalf = half !== undefined && floats.every((input) => input.half === half);
    const rounded = outputs.map((value): Value => {
      if (value.integer || value.truth || value.sizes) return value;
      return isHalf ? scope.builder.toHalf(value, half) : value.half ? { ...value, half: undefined } : value;
    });
    return Array.isArray(made) ? rounded : rounded[0]!;
  };
}

/** A node of a TensorFlow graph: operator and attributes in JSON, numbers among its inputs by their place. */
function readNode(view: ConfigView, call: LayerCall): Build {
  const given = view.value(['node_def']);
  // TensorFlow 2.0 wrote the node's JSON as a text.
  const node = typeof given === 'string' ? parseJson(given, 'the node of a TensorFlowOpLayer', view.file) : given;
  const constants = view.value(['constants']);
  const { op, attr } = isObject(node) ? node : {};
  const found = lookUp(NODES, op);
  const places = new Map(Object.entries(isObject(constants) ? constants : {}).map(([place, value]) => [Number(place), value]));
  const count = call.inputs.length + places.size;
  let next = 0;
  const flat = Array.from({ length: count }, (_, place): Argument => (places.has(place) ? { constant: places.get(place) } : { input: next++ }));
  const single = typeof op === 'string' && Object.hasOwn(LISTS, op) ? LISTS[op]! : null;
  const positional = single === null ? flat : [{ list: flat.slice(0, count - single) }, ...flat.slice(count - single)];
  const named = Object.fromEntries(Object.entries(isObject(attr) ? attr : {}).flatMap(([name, value]) => attribute(name, value)));
  return read(view, { ...call, positional, named }, found, `TensorFlow's ${String(op)}`);
}

/** Attributes that say which dtypes flow, or how a node is run. */
const IDLE_ATTRIBUTES = /^(T|out_type|output_type|index_type|Tidx|Tshape|Tdim|Tperm|Tpaddings|Tmultiples|Tparams|Tindices|Taxis|SrcT|Truncate|Index|num|_.*)$/;

function attribute(name: string, value: unknown): [string, { constant: unknown }][] {
  if (IDLE_ATTRIBUTES.test(name) || !isObject(value)) return [];
  const { f, i, b, s, type, list } = value;
  const items = isObject(list) && Array.isArray(list.i) ? list.i.map(Number) : undefined;
  const text = typeof s === 'string' && /^[\w+/=]*$/.test(s) ? decodeBase64(s) : undefined;
  return [[name, { constant: f ?? (i === undefined ? undefined : Number(i)) ?? b ?? text ?? type ?? items ?? parseConstant(value) }]];
}

function decodeBase64(text: string): string | undefined {
  try {
    return atob(text);
  } catch {
    return undefined; // What needs it says that it is missing.
  }
}
