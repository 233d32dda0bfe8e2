/** Functions whose formulas are short: of Keras 3 and of TensorFlow, and those of `keras.backend` and `keras.activations`. */
import { float32Tensor } from '../../../model/tensor.js';
import { ACTIVATION_NAMES, type Activation, generalRelu } from '../activations.js';
import { combineTensor, combineValues, constantValue } from '../arithmetic.js';
import { kerasAxes, knownSize, reduce, slice } from '../axes.js';
import { pooledTo } from '../pooling.js';
import type { Scope } from '../scope.js';
import { kerasShape, type Value } from '../value.js';
import { isConstant, valueAt } from './arguments.js';
import * as arrange from './arrangement.js';
import * as choices from './choices.js';
import * as each from './elementwise.js';
import { type Known, known } from './known.js';
import { batchNormalize, layerNormalize, normalize } from './normalising.js';
import type { Operation } from './operation.js';
import { blocks } from './pictures.js';
import { convolve, tensordot } from './products.js';

const scaled =
  (factor: number): Activation =>
  (value, scope) =>
    scope.withScalar('Mul', value, factor);

const logarithm =
  (base: number): Activation =>
  (value, scope) =>
    scope.withScalar('Mul', scope.add('Log', [value]), 1 / Math.log(base));

/** The root of the magnitude, with the value's sign. */
const cubeRoot: Activation = (value, scope) => scope.add('Mul', [scope.add('Sign', [value]), scope.withScalar('Pow', scope.add('Abs', [value]), 1 / 3)]);

const powerOfTwo: Activation = (value, scope) => scope.add('Exp', [scope.withScalar('Mul', value, Math.LN2)]);

/** keras.backend.sqrt takes what is below zero for zero. */
const safeRoot: Activation = (value, scope) => scope.add('Sqrt', [scope.add('Clip', [value], { attributes: { min: 0 } })]);

const sparsemax: Operation = (args) => {
  if (args.integer('axis', -1) !== -1) args.decline('a sparsemax along another axis than the last is not translated');
  return each.named('sparsemax', 'x')(args);
};

/** Two values, which numbers may stand for. */
export const ofTwo =
  (a: string, b: string, make: (left: Value, right: Value, scope: Scope) => Value): Operation =>
  (args) => {
    const operands = [args.operand(a), args.operand(b)];
    if (operands.every(isConstant)) args.decline('it is called on numbers alone, which is not translated');
    return (inputs, scope) => {
      const [left, right] = operands.map((operand) => (isConstant(operand) ? constantValue(operand.constant, scope) : valueAt(operand, inputs)));
      return make(left!, right!, scope);
    };
  };

/** √(a² + b²) */
const hypotenuse = (left: Value, right: Value, scope: Scope) =>
  scope.add('Sqrt', [combineValues('Add', scope.add('Mul', [left, left]), scope.add('Mul', [right, right]), scope)]);

/** log(eᵃ + eᵇ) = max + softplus(-|a - b|) */
const logOfSum = (left: Value, right: Value, scope: Scope) => {
  const apart = scope.add('Neg', [scope.add('Abs', [combineValues('Sub', left, right, scope)])]);
  return combineValues('Add', combineValues('Max', left, right, scope), scope.add('Softplus', [apart]), scope);
};

/** log₂(2ᵃ + 2ᵇ) */
const binaryLogOfSum = (left: Value, right: Value, scope: Scope) => {
  const [a, b] = [left, right].map((value) => scope.withScalar('Mul', value, Math.LN2)) as [Value, Value];
  return scope.withScalar('Mul', logOfSum(a, b, scope), 1 / Math.LN2);
};

/** Whether any, or each, of the elements along some axes is none of zero. */
export const quantified = (op: 'ReduceMax' | 'ReduceMin', x: string, keep = 'keepdims'): Operation => counted(op, x, keep);

const counted = (op: 'ReduceMax' | 'ReduceMin' | 'ReduceSum', x: string, keep = 'keepdims'): Operation =>
  arrange.ofValue(x, (args) => {
    const axes = args.integers('axis');
    const keeps = args.boolean(keep, false);
    if (axes === undefined) args.decline('it looks over all axes, the batch included, which is not translated');
    return (value, scope) => reduce(op, each.truth(scope.builder.unflattened({ ...value, integer: false }), scope), axes ?? [], keeps, scope);
  });

/** The largest less the smallest. */
const range: Operation = arrange.ofValue('x', (args) => {
  const axes = args.integers('axis');
  const keeps = args.boolean('keepdims', false);
  if (axes === undefined) args.decline('it looks over all axes, the batch included, which is not translated');
  return (value, scope) =>
    combineValues('Sub', reduce('ReduceMax', value, axes ?? [], keeps, scope), reduce('ReduceMin', value, axes ?? [], keeps, scope), scope);
});

/** What each element of an axis has more than the one before, n times over. */
const differences: Operation = arrange.ofValue('a', (args) => {
  const times = args.integer('n', 1);
  const given = args.integer('axis', -1);
  if (times < 0 || times > 16) args.decline(`it takes differences ${times} times`);
  return (input, scope) => {
    let value = scope.builder.unflattened(input);
    const [axis] = kerasAxes(value, [given], scope) as [number];
    for (let i = 0; i < times; i++) {
      const size = knownSize(value, axis, 'differences', scope);
      if (axis === 0 || size < 2) throw scope.unsupported(`differences along axis ${axis} of [${kerasShape(value)}]`);
      value = combineValues('Sub', slice(value, axis, 1, size, scope), slice(value, axis, 0, size - 1, scope), scope);
    }
    return value;
  };
});

/** Zeros above (or below) a diagonal of the last two axes. */
const triangle = (isLower: boolean): Operation =>
  arrange.ofValue('x', (args) => {
    const k = args.integer('k', 0);
    return (input, scope) => {
      const value = scope.builder.toKeras(input);
      if (value.shape.length < 3) throw scope.unsupported('a triangle of a value without a batch of matrices');
      const [rows, columns] = [knownSize(value, -2, 'a triangle', scope), knownSize(value, -1, 'a triangle', scope)];
      const kept = Array.from({ length: rows * columns }, (_, i) => {
        const above = (i % columns) - Math.floor(i / columns);
        return Number(isLower ? above <= k : above >= k);
      });
      return combineTensor('Mul', value, float32Tensor(`${scope.name}/triangle`, [rows, columns], kept, { file: scope.builder.file }), scope);
    };
  });

/** To a size, in windows that fit. */
const adaptive = (op: 'MaxPool' | 'AveragePool', x: string): Operation =>
  arrange.ofValue(x, (args) => {
    const outs = args.integers('output_size') ?? [];
    const format = args.json('data_format') ?? 'channels_last';
    if (format !== 'channels_last') args.decline(`its data format is ${String(format)}; channels are expected to be last`);
    if (outs.length === 0 || outs.some((size) => size < 1)) args.decline(`it makes a size of [${outs}]`);
    return (input, scope) => {
      const value = scope.builder.toMoved(input);
      const rank = value.shape.length - 2;
      return pooledTo(op, value, outs.length === 1 ? new Array<number>(rank).fill(outs[0]!) : outs, scope);
    };
  });

/** Where the divisor is zero, so is the quotient. */
const safeQuotient = (left: Value, right: Value, scope: Scope) => {
  const values = scope.builder.toSameOrder([left, right]);
  const [above, below] = left.shape.length === right.shape.length ? values : [scope.builder.toKeras(left), scope.builder.toKeras(right)];
  const zero = constantValue({ shape: [], values: [0] }, scope);
  return scope.add('Where', [scope.add('Equal', [below!, zero]), zero, scope.add('Div', [above!, below!])], { order: above!.order });
};

/** Keras's general rectifier as a function. */
const rectifier =
  (slope: string): Operation =>
  (args) => {
    const settings = [args.number(slope, 0), args.number('threshold', 0), args.has('max_value') ? args.number('max_value', 0) : null] as const;
    return each.applied('x', (value, scope) => generalRelu(value, scope, ...settings))(args);
  };

/** The elements of each sample in a row. */
const flatten: Operation = arrange.ofValue(
  'x',
  () => (value, scope) => scope.add('Reshape', [scope.builder.toKeras(value)], { attributes: { shape: [0, -1] } }),
);

/** One number in a shape that is known. */
const filled =
  (dims: string, number: string | number): Operation =>
  (args) => {
    const sizes = args.knownSizes(dims);
    const value = typeof number === 'number' ? number : args.number(number, 0);
    return (inputs, scope) => {
      const shape = sizes(inputs, scope);
      const count = shape.reduce((product, size) => product * size, 1);
      if (count < 1 || count > MAX_FILLED) throw scope.unsupported(`a value of the shape [${shape}] filled with one number`);
      return constantValue({ shape, values: new Array<number>(count).fill(value) }, scope);
    };
  };

/** More than people fill. */
const MAX_FILLED = 2 ** 20;

const concatAlong =
  (axis: number): Operation =>
  (args) =>
    arrange.joined(args, args.operands('xs'), axis);

/** NumPy's dot, which is a product with a matrix where that is numbers. */
const withMatrix: Operation = (args) => {
  const right = args.operand('x2');
  if (!isConstant(right) || right.constant.shape.length !== 2) args.decline('a dot of a value with a matrix of numbers is translated, no other');
  return arrange.matMul('x1', 'x2')(args);
};

const BATCH_NORM = { mean: 'mean', variance: 'variance', offset: 'offset', scale: 'scale' } as const;

export const KERAS_FUNCTIONS: Readonly<Record<string, Known>> = {
  ...Object.fromEntries(['Copy', 'Conj', 'Conjugate', 'Real', 'StopGradient', 'Identity'].map((name) => [name, known(['x'], each.identityOf('x'))])),
  StopGradient: known(['variable'], each.identityOf('variable')),
  Positive: known(['x'], each.identityOf('x')),
  // keras.activations.relu
  ReLU: known(['x', 'negative_slope', 'max_value', 'threshold'], rectifier('negative_slope')),
  Log2: known(['x'], each.applied('x', logarithm(2))),
  Log10: known(['x'], each.applied('x', logarithm(10))),
  Exp2: known(['x'], each.applied('x', powerOfTwo)),
  Cbrt: known(['x'], each.applied('x', cubeRoot)),
  Deg2rad: known(['x'], each.applied('x', scaled(Math.PI / 180))),
  Rad2deg: known(['x'], each.applied('x', scaled(180 / Math.PI))),
  Trunc: known(['x'], each.applied('x', each.truncated)),
  Sparsemax: known(['x', 'axis'], sparsemax),
  Hypot: known(['x1', 'x2'], ofTwo('x1', 'x2', hypotenuse)),
  Logaddexp: known(['x1', 'x2'], ofTwo('x1', 'x2', logOfSum)),
  Logaddexp2: known(['x1', 'x2'], ofTwo('x1', 'x2', binaryLogOfSum)),
  DivideNoNan: known(['x1', 'x2'], ofTwo('x1', 'x2', safeQuotient)),
  Amax: known(['x', 'axis', 'keepdims'], arrange.reduction('ReduceMax', 'x')),
  Amin: known(['x', 'axis', 'keepdims'], arrange.reduction('ReduceMin', 'x')),
  Any: known(['x', 'axis', 'keepdims'], quantified('ReduceMax', 'x')),
  All: known(['x', 'axis', 'keepdims'], quantified('ReduceMin', 'x')),
  CountNonzero: known(['x', 'axis'], counted('ReduceSum', 'x')),
  Ptp: known(['x', 'axis', 'keepdims'], range),
  Diff: known(['a', 'n', 'axis'], differences),
  Tril: known(['x', 'k'], triangle(true)),
  Triu: known(['x', 'k'], triangle(false)),
  Hsplit: known(['x', 'indices_or_sections'], arrange.split('x', 'indices_or_sections', 'places', 1)),
  Dsplit: known(['x', 'indices_or_sections'], arrange.split('x', 'indices_or_sections', 'places', 2)),
  Hstack: known(['xs'], concatAlong(1)),
  Dstack: known(['xs'], concatAlong(2)),
  Dot: known(['x1', 'x2'], withMatrix),
  Tensordot: known(['x1', 'x2', 'axes'], tensordot('x1', 'x2')),
  Conv: known(['inputs', 'kernel', 'strides', 'padding', 'data_format', 'dilation_rate'], convolve('inputs', 'kernel')),
  DepthwiseConv: known(['inputs', 'kernel', 'strides', 'padding', 'data_format', 'dilation_rate'], convolve('inputs', 'kernel', true)),
  AdaptiveAveragePool: known(['inputs', 'output_size', 'data_format'], adaptive('AveragePool', 'inputs')),
  AdaptiveMaxPool: known(['inputs', 'output_size', 'data_format'], adaptive('MaxPool', 'inputs')),
  BatchNorm: known(['x', 'mean', 'variance', 'offset', 'scale', 'axis', 'epsilon'], batchNormalize('x', { ...BATCH_NORM, epsilon: 'epsilon' })),
  LayerNorm: known(['x', 'gamma', 'beta', 'axis', 'epsilon'], layerNormalize(true, 'gamma')),
  RMSNorm: known(['x', 'scale', 'axis', 'epsilon'], layerNormalize(false, 'scale')),
  Normalize: known(['x', 'axis', 'order', 'epsilon'], normalize),
  DepthToSpace: known(['x', 'block_size', 'data_format'], blocks('DepthToSpace', 'x')),
  SpaceToDepth: known(['x', 'block_size', 'data_format'], blocks('SpaceToDepth', 'x')),
};

export const TENSORFLOW_FUNCTIONS: Readonly<Record<string, Known>> = {
  convert_to_tensor: known(['value', 'dtype'], each.identityOf('value'), 'dtype', 'dtype_hint'),
  ensure_shape: known(['x', 'shape'], each.identityOf('x'), 'shape'),
  'debugging.check_numerics': known(['tensor', 'message'], each.identityOf('tensor'), 'message'),
  'math.log_sigmoid': known(['x'], each.named('log_sigmoid', 'x')),
  'math.divide_no_nan': known(['x', 'y'], ofTwo('x', 'y', safeQuotient)),
  'math.reduce_any': known(['input_tensor', 'axis', 'keepdims'], quantified('ReduceMax', 'input_tensor')),
  'math.reduce_all': known(['input_tensor', 'axis', 'keepdims'], quantified('ReduceMin', 'input_tensor')),
  'math.count_nonzero': known(['input', 'axis', 'keepdims', 'dtype'], counted('ReduceSum', 'input'), 'dtype'),
  tensordot: known(['a', 'b', 'axes'], tensordot('a', 'b')),
  'linalg.tensordot': known(['a', 'b', 'axes'], tensordot('a', 'b')),
  fill: known(['dims', 'value'], filled('dims', 'value')),
  zeros: known(['shape', 'dtype'], filled('shape', 0), 'dtype', 'layout'),
  ones: known(['shape', 'dtype'], filled('shape', 1), 'dtype', 'layout'),
  ...Object.fromEntries(
    ['conv1d', 'conv2d', 'conv3d', 'convolution'].map((name) => [
      `nn.${name}`,
      known(['input', 'filters', 'strides', 'padding', 'data_format', 'dilations'], convolve('input', 'filters')),
    ]),
  ),
  'nn.conv1d': known(['input', 'filters', 'stride', 'padding', 'data_format', 'dilations'], convolve('input', 'filters')),
  'nn.depthwise_conv2d': known(['input', 'filter', 'strides', 'padding', 'data_format', 'dilations'], convolve('input', 'filter', true)),
  'nn.batch_normalization': known(
    ['x', 'mean', 'variance', 'offset', 'scale', 'variance_epsilon'],
    batchNormalize('x', { ...BATCH_NORM, epsilon: 'variance_epsilon' }),
  ),
};

/** keras.activations, by Keras's names. */
const ACTIVATIONS: Readonly<Record<string, Known>> = {
  ...Object.fromEntries(ACTIVATION_NAMES.map((name) => [name, known(['x'], each.named(name, 'x'))])),
  relu: known(['x', 'alpha', 'max_value', 'threshold'], rectifier('alpha')),
  leaky_relu: known(['x', 'alpha'], each.leakyRelu('x', 'alpha')),
  elu: known(['x', 'alpha'], each.elu('x')),
  gelu: known(['x', 'approximate'], each.gelu('x', false)),
  softmax: known(['x', 'axis'], each.softmaxOf('Softmax', 'x')),
};

const BACKEND: Readonly<Record<string, Known>> = {
  ...Object.fromEntries(['sigmoid', 'hard_sigmoid', 'tanh', 'softplus', 'softsign'].map((name) => [name, ACTIVATIONS[name]!])),
  ...{ relu: ACTIVATIONS.relu!, elu: ACTIVATIONS.elu!, softmax: ACTIVATIONS.softmax! },
  ...Object.fromEntries(
    [
      ['abs', 'Abs'],
      ['exp', 'Exp'],
      ['log', 'Log'],
      ['sign', 'Sign'],
      ['round', 'Round'],
      ['sin', 'Sin'],
      ['cos', 'Cos'],
    ].map(([name, op]) => [name!, known(['x'], each.unary(op!, 'x'))]),
  ),
  square: known(['x'], each.square('x')),
  sqrt: known(['x'], each.applied('x', safeRoot)),
  pow: known(['x', 'a'], each.binary('Pow', 'x', 'a')),
  maximum: known(['x', 'y'], each.binary('Max', 'x', 'y')),
  minimum: known(['x', 'y'], each.binary('Min', 'x', 'y')),
  clip: known(['x', 'min_value', 'max_value'], each.clip('x', 'min_value', 'max_value')),
  cast: known(['x', 'dtype'], each.cast('x')),
  stop_gradient: known(['variables'], each.identityOf('variables')),
  ...Object.fromEntries(
    (
      [
        ['mean', 'ReduceMean'],
        ['sum', 'ReduceSum'],
        ['max', 'ReduceMax'],
        ['min', 'ReduceMin'],
        ['prod', 'ReduceProd'],
        ['logsumexp', 'ReduceLogSumExp'],
      ] as const
    ).map(([name, op]) => [name, known(['x', 'axis', 'keepdims'], arrange.reduction(op, 'x'))]),
  ),
  var: known(['x', 'axis', 'keepdims'], arrange.spread(false, 'x')),
  std: known(['x', 'axis', 'keepdims'], arrange.spread(true, 'x')),
  any: known(['x', 'axis', 'keepdims'], quantified('ReduceMax', 'x')),
  all: known(['x', 'axis', 'keepdims'], quantified('ReduceMin', 'x')),
  l2_normalize: known(['x', 'axis'], arrange.l2Normalize('x')),
  argmax: known(['x', 'axis'], choices.extreme('ArgMax', 'x', -1)),
  argmin: known(['x', 'axis'], choices.extreme('ArgMin', 'x', -1)),
  concatenate: known(['tensors', 'axis'], arrange.concatenate('tensors', -1)),
  stack: known(['x', 'axis'], arrange.stack('x')),
  reshape: known(['x', 'shape'], arrange.reshape('x', 'shape')),
  permute_dimensions: known(['x', 'pattern'], arrange.transpose('x', 'pattern')),
  expand_dims: known(['x', 'axis'], arrange.expandDims('x', -1)),
  squeeze: known(['x', 'axis'], arrange.squeezeOf('x')),
  reverse: { ...known(['x', 'axes'], arrange.flipOf('x', 'axes')) },
  batch_flatten: known(['x'], flatten),
  zeros_like: known(['x', 'dtype'], choices.filledLike('x', 0), 'dtype'),
  ones_like: known(['x', 'dtype'], choices.filledLike('x', 1), 'dtype'),
};

export const KERAS_MODULES: Readonly<Record<string, Known>> = {
  ...Object.fromEntries(Object.entries(ACTIVATIONS).map(([name, one]) => [`keras.activations.${name}`, one])),
  ...Object.fromEntries(Object.entries(BACKEND).map(([name, one]) => [`keras.backend.${name}`, one])),
};
