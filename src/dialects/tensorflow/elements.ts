/** Nodes that treat each element alike, and products of matrices. */
import type { Value } from '../../model/builder.js';
import { isFloatDType } from '../../model/dtype.js';
import { angleOf } from '../angle.js';
import { floorQuotient, floorRemainder } from '../quotient.js';
import { isDType, type TfOperation } from './node.js';
import type { TfRule } from './rule.js';
import { biasAdd, windows } from './windows.js';

const unary =
  (op: string, attributes: (operation: TfOperation) => Readonly<Record<string, number>> = () => ({})): TfRule =>
  (operation) =>
    operation.add(op, [operation.input(0)], attributes(operation));

const binary =
  (op: string): TfRule =>
  (operation) =>
    operation.add(op, [operation.input(0), operation.input(1)]);

const same: TfRule = (operation) => operation.input(0);

/** The activations of fused nodes, by TensorFlow's names. */
const ACTIVATIONS: Readonly<Record<string, (operation: TfOperation, x: Value, name: string) => Value>> = {
  Relu: (operation, x, name) => operation.add('Relu', [x], {}, name),
  Relu6: (operation, x, name) => operation.add('Clip', [x], { min: 0, max: 6 }, name),
  Elu: (operation, x, name) => operation.add('Elu', [x], {}, name),
  Sigmoid: (operation, x, name) => operation.add('Sigmoid', [x], {}, name),
  Tanh: (operation, x, name) => operation.add('Tanh', [x], {}, name),
  LeakyRelu: (operation, x, name) => operation.add('LeakyRelu', [x], { alpha: operation.number('leakyrelu_alpha', 0.2) }, name),
};

/** A node into which TensorFlow's optimiser has merged a bias, a normalisation, an activation. */
function fused(rule: TfRule): TfRule {
  return (operation) => {
    const isLast = operation.isLast();
    const steps = operation.texts('fused_ops');
    operation.rest('filter_format', 'HWIO');
    // TensorFlow.js looks for a bias in the first place, and for an activation in the second.
    if (operation.runtime === 'tfjs' && (steps.length > 2 || (steps.length > 0 && steps[0] !== 'BiasAdd')))
      throw operation.decline(`${steps.join(' and ')} are merged into it, which TensorFlow.js reads otherwise`);
    operation.number('epsilon', 1e-4);
    operation.number('leakyrelu_alpha', 0.2);
    operation.numbers('explicit_paddings');
    let value = rule(operation.named(`${operation.name}/${operation.node.op.replace(/^_?Fused/, '')}`)) as Value;
    let next = 2;
    steps.forEach((step, i) => {
      const name = i === steps.length - 1 ? operation.name : `${operation.name}/${step}`;
      if (step === 'BiasAdd') value = biasAdd(operation, value, operation.input(next++), name, isLast);
      else if (step === 'Prelu') value = pRelu(operation, value, operation.input(next++), name);
      else if (step === 'FusedBatchNorm') {
        const statistics = [0, 1, 2, 3].map((offset) => operation.input(next + offset));
        next += 4;
        const x = operation.first(value, isLast);
        const made = operation.add(
          'BatchNormalization',
          [x, ...statistics],
          { epsilon: operation.number('epsilon', 1e-4) },
          isLast ? `${name}/normalise` : name,
        );
        value = isLast ? operation.last(made, name) : made;
      } else if (ACTIVATIONS[step]) value = ACTIVATIONS[step](operation, value, name);
      else throw operation.decline(`${step} is merged into it, which is not known`);
    });
    return value;
  };
}

/** The slope belongs to the trailing axes. */
function pRelu(operation: TfOperation, x: Value, slope: Value, name: string): Value {
  return operation.add('PRelu', [x, slope], {}, name);
}

function transposed(operation: TfOperation, value: Value, wanted: boolean): Value {
  if (!wanted) return value;
  const rank = operation.rank(value);
  const perm = Array.from({ length: rank }, (_, axis) => axis)
    .with(-1, rank - 2)
    .with(-2, rank - 1);
  return value.constant ? operation.turned(value.constant, perm) : operation.before('Transpose', [value], { perm });
}

const matMul: TfRule = (operation) => {
  const a = transposed(operation, operation.input(0), operation.flag('transpose_a') !== operation.flag('adj_x'));
  const b = transposed(operation, operation.input(1), operation.flag('transpose_b') !== operation.flag('adj_y'));
  operation.flag('a_is_sparse');
  operation.flag('b_is_sparse');
  return operation.add('MatMul', [a, b]);
};

const one = (operation: TfOperation, like: Value): Value => operation.scalar(1, like);

const cast: TfRule = (operation) => {
  const to = operation.dtype('DstT') ?? '';
  if (!isDType(to)) throw operation.decline(`casts to ${to}`);
  const x = operation.input(0);
  if (operation.flag('Truncate') && isFloatDType(to) && x.dtype !== to) throw operation.decline(`it cuts off what ${to} has no bits for (Truncate)`);
  // A weight stays as narrow as it is stored.
  if (x.constant && to === 'float32' && (x.dtype === 'float16' || x.dtype === 'bfloat16')) return { ...x, dtype: to };
  return operation.add('Cast', [operation.input(0)], { to });
};

const compare =
  (op: string, negated = false): TfRule =>
  (operation) => {
    operation.flag('incompatible_shape_error', true);
    const inputs = [operation.input(0), operation.input(1)];
    return negated ? operation.add('Not', [operation.before(op, inputs)]) : operation.add(op, inputs);
  };

const floored =
  (rule: typeof floorQuotient): TfRule =>
  (operation) =>
    rule(
      operation.input(0),
      operation.input(1),
      (op, inputs) => operation.before(op, inputs),
      (op, inputs) => operation.add(op, inputs),
    );

/** What is left of a division towards zero, as in C; TensorFlow.js rounds down. */
const remainder: TfRule = (operation) =>
  operation.runtime === 'tfjs' ? floored(floorRemainder)(operation) : operation.add('Mod', [operation.input(0), operation.input(1)], { fmod: 1 });

/** TensorFlow.js rounds quotients of integers down, TensorFlow towards zero. */
const quotient: TfRule = (operation) => {
  const isWhole = operation.inputs.every(({ dtype }) => dtype !== null && !isFloatDType(dtype));
  return (operation.runtime === 'tfjs' && isWhole ? floored(floorQuotient) : binary('Div'))(operation);
};

const truncatedQuotient: TfRule = (operation) => {
  const { dtype } = operation.input(0);
  if (dtype === null || isFloatDType(dtype)) throw operation.decline('it divides floats');
  return operation.add('Div', [operation.input(0), operation.input(1)]);
};

/** Nothing times what is none stays nothing: f(y) x, and 0 where x is. */
const unlessZero =
  (make: (operation: TfOperation, x: Value, y: Value) => Value): TfRule =>
  (operation) => {
    const [x, y] = [operation.input(0), operation.input(1)];
    const zero = operation.scalar(0, x);
    return operation.add('Where', [operation.before('Equal', [x, zero]), zero, make(operation, x, y)]);
  };

/** Runtimes have no choice between booleans: what is true where it is chosen. */
function selected(operation: TfOperation, chooser: Value): Value {
  const [x, y] = [operation.input(1), operation.input(2)];
  if (x.dtype !== 'bool') return operation.add('Where', [chooser, x, y]);
  const [first, second] = [operation.before('And', [chooser, x]), operation.before('And', [operation.before('Not', [chooser]), y])];
  return operation.add('Or', [first, second]);
}

/** Of integers it is the larger one of each and zero, which runtimes have. */
const relu: TfRule = (operation) => {
  const x = operation.input(0);
  if (x.dtype === null || isFloatDType(x.dtype)) return operation.add('Relu', [x]);
  return operation.add('Max', [x, operation.scalar(0, x)]);
};

export const elements: Readonly<Record<string, TfRule>> = {
  Identity: same,
  // How loops of TensorFlow 1 are wired, which are followed step by step.
  Enter: (operation) => {
    operation.text('frame_name');
    return operation.input(0);
  },
  NextIteration: same,
  LoopCond: same,
  StopGradient: same,
  PreventGradient: same,
  CheckNumerics: (operation) => {
    operation.text('message');
    return operation.input(0);
  },
  Snapshot: same,
  EnsureShape: (operation) => {
    operation.shape('shape');
    return operation.input(0);
  },
  PlaceholderWithDefault: same,
  ReadVariableOp: same,
  Relu: relu,
  Relu6: unary('Clip', () => ({ min: 0, max: 6 })),
  Elu: unary('Elu'),
  Selu: unary('Selu'),
  LeakyRelu: unary('LeakyRelu', (operation) => ({ alpha: operation.number('alpha', 0.2) })),
  Prelu: (operation) => pRelu(operation, operation.input(0), operation.input(1), operation.name),
  Sigmoid: unary('Sigmoid'),
  Tanh: unary('Tanh'),
  Softplus: unary('Softplus'),
  Softsign: unary('Softsign'),
  Erf: unary('Erf'),
  Exp: unary('Exp'),
  Log: unary('Log'),
  Abs: unary('Abs'),
  Neg: unary('Neg'),
  Sqrt: unary('Sqrt'),
  Floor: unary('Floor'),
  Ceil: unary('Ceil'),
  Round: unary('Round'),
  Rint: unary('Round'),
  Sign: unary('Sign'),
  Sin: unary('Sin'),
  Cos: unary('Cos'),
  Tan: unary('Tan'),
  Asin: unary('Asin'),
  Acos: unary('Acos'),
  Atan: unary('Atan'),
  Sinh: unary('Sinh'),
  Cosh: unary('Cosh'),
  Asinh: unary('Asinh'),
  Acosh: unary('Acosh'),
  Atanh: unary('Atanh'),
  Atan2: (operation) =>
    angleOf(
      operation.input(0),
      operation.input(1),
      (value) => operation.scalar(value, operation.input(1)),
      (op, ...inputs) => operation.before(op, inputs),
      (op, ...inputs) => operation.add(op, inputs),
    ),
  IsNan: unary('IsNaN'),
  IsInf: unary('IsInf'),
  IsFinite: (operation) => {
    const x = operation.input(0);
    return operation.add('Not', [operation.before('Or', [operation.before('IsNaN', [x]), operation.before('IsInf', [x])])]);
  },
  Erfc: (operation) => operation.add('Sub', [one(operation, operation.input(0)), operation.before('Erf', [operation.input(0)])]),
  LogicalNot: unary('Not'),
  Reciprocal: (operation) => operation.add('Div', [one(operation, operation.input(0)), operation.input(0)]),
  Inv: (operation) => operation.add('Div', [one(operation, operation.input(0)), operation.input(0)]),
  Rsqrt: (operation) => operation.add('Div', [one(operation, operation.input(0)), operation.before('Sqrt', [operation.input(0)])]),
  Square: (operation) => operation.add('Mul', [operation.input(0), operation.input(0)]),
  Expm1: (operation) => operation.add('Sub', [operation.before('Exp', [operation.input(0)]), one(operation, operation.input(0))]),
  Log1p: (operation) => operation.add('Log', [operation.before('Add', [operation.input(0), one(operation, operation.input(0))])]),
  ClipByValue: (operation) => operation.add('Min', [operation.before('Max', [operation.input(0), operation.input(1)]), operation.input(2)]),
  Add: binary('Add'),
  AddV2: binary('Add'),
  Sub: binary('Sub'),
  Mul: binary('Mul'),
  Div: quotient,
  RealDiv: quotient,
  DivNoNan: (operation) => {
    const [a, b] = [operation.input(0), operation.input(1)];
    const zero = operation.scalar(0, b);
    return operation.add('Where', [operation.before('Equal', [b, zero]), operation.scalar(0, a), operation.before('Div', [a, b])]);
  },
  Xdivy: unlessZero((operation, x, y) => operation.before('Div', [x, y])),
  Xlogy: unlessZero((operation, x, y) => operation.before('Mul', [x, operation.before('Log', [y])])),
  Xlog1py: unlessZero((operation, x, y) => operation.before('Mul', [x, operation.before('Log', [operation.before('Add', [y, one(operation, y)])])])),
  MulNoNan: (operation) => {
    const [x, y] = [operation.input(0), operation.input(1)];
    const zero = operation.scalar(0, y);
    return operation.add('Where', [operation.before('Equal', [y, zero]), zero, operation.before('Mul', [x, y])]);
  },
  FloorDiv: floored(floorQuotient),
  FloorMod: floored(floorRemainder),
  Mod: remainder,
  TruncateMod: (operation) => operation.add('Mod', [operation.input(0), operation.input(1)], { fmod: 1 }),
  TruncateDiv: truncatedQuotient,
  Pow: binary('Pow'),
  Maximum: binary('Max'),
  Minimum: binary('Min'),
  SquaredDifference: (operation) => {
    const difference = operation.before('Sub', [operation.input(0), operation.input(1)]);
    return operation.add('Mul', [difference, difference]);
  },
  AddN: (operation) => operation.add('Sum', operation.inputs),
  AccumulateNV2: (operation) => operation.add('Sum', operation.inputs),
  Greater: compare('Greater'),
  GreaterEqual: compare('GreaterOrEqual'),
  Less: compare('Less'),
  LessEqual: compare('LessOrEqual'),
  Equal: compare('Equal'),
  NotEqual: compare('Equal', true),
  LogicalAnd: binary('And'),
  LogicalOr: binary('Or'),
  LogicalXor: binary('Xor'),
  BitwiseAnd: binary('BitwiseAnd'),
  BitwiseOr: binary('BitwiseOr'),
  BitwiseXor: binary('BitwiseXor'),
  Invert: unary('BitwiseNot'),
  SelectV2: (operation) => selected(operation, operation.input(0)),
  Select: (operation) => {
    const [condition, x] = [operation.input(0), operation.input(1)];
    // A vector chooses rows, where SelectV2 would broadcast it along the last axis.
    const rows = operation.rank(condition) === 1 && operation.rank(x) > 1;
    const chooser = rows ? operation.before('Unsqueeze', [condition], { axes: Array.from({ length: operation.rank(x) - 1 }, (_, i) => i + 1) }) : condition;
    return selected(operation, chooser);
  },
  Cast: cast,
  MatMul: matMul,
  BatchMatMul: matMul,
  BatchMatMulV2: matMul,
  // Narrow integers are multiplied as the wider ones that the products are.
  BatchMatMulV3: (operation) => {
    const to = operation.dtype('Tout') ?? '';
    if (!isDType(to)) throw operation.decline(`makes ${to}`);
    const wide = operation.inputs.map((value) => (value.dtype === to ? value : operation.before('Cast', [value], { to })));
    return matMul(operation.reading(wide));
  },
  Softmax: unary('Softmax', () => ({ axis: -1 })),
  LogSoftmax: unary('LogSoftmax', () => ({ axis: -1 })),
  // Losses of each row; their gradients nothing reads in inference.
  SoftmaxCrossEntropyWithLogits: (operation) => {
    const shares = operation.before('Mul', [operation.before('LogSoftmax', [operation.input(0)], { axis: -1 }), operation.input(1)]);
    return operation.add('Neg', [operation.before('ReduceSum', [shares, operation.integers([-1])], { keepdims: 0 })]);
  },
  SparseSoftmaxCrossEntropyWithLogits: (operation) => {
    const places = operation.before('Unsqueeze', [operation.input(1), operation.integers([-1])]);
    const chosen = operation.before('GatherElements', [operation.before('LogSoftmax', [operation.input(0)], { axis: -1 }), places], { axis: -1 });
    return operation.add('Neg', [operation.before('Squeeze', [chosen, operation.integers([-1])])]);
  },
  _FusedConv2D: fused(windows.Conv2D!),
  FusedConv2D: fused(windows.Conv2D!),
  _FusedDepthwiseConv2dNative: fused(windows.DepthwiseConv2dNative!),
  FusedDepthwiseConv2dNative: fused(windows.DepthwiseConv2dNative!),
  _FusedMatMul: fused(matMul),
};
