/** Operators that treat each element alike: activations, arithmetic, comparisons, conversions. */
import type { Value } from '../../../model/builder.js';
import { isFloatDType } from '../../../model/dtype.js';
import { floorQuotient, floorRemainder } from '../../quotient.js';
import { type Call, scalarTypeOf } from '../call.js';
import { type Item, knownScalar, List, MAX_LENGTH, numberOf, Opaque, Real, TensorItem, Tuple } from '../items.js';
import { listOf, type Rule, type Rules, rule } from '../rule.js';

const unary = (op: string, signature = 'self'): Rule => rule(signature, (call) => call.add(op, [float(call)]));

/** What flows in, as floats: PyTorch works on integers in float32 where the result is none. */
function float(call: Call, name = 'self'): Value {
  const value = call.tensor(name);
  return value.dtype !== null && !isFloatDType(value.dtype) ? call.cast(value, 'float32') : value;
}

/** Where one number is all that there is, it is worked out. */
const scalarUnary = (compute: (x: number) => number, isWhole: boolean, op: string): Rule =>
  rule('self', (call) => {
    const scalar = knownScalar(call.item('self'));
    if (scalar === null) return call.add(op, [isWhole ? call.tensor('self') : float(call)]);
    const made = compute(numberOf(scalar));
    return isWhole && !(scalar instanceof Real) ? made : new Real(made);
  });

const clip = (call: Call, x: Value, min: number | null, max: number | null, step?: string) =>
  call.add('Clip', [x], { ...(min === null ? {} : { min }), ...(max === null ? {} : { max }) }, step);

const relu6 = rule('self', (call) => clip(call, call.tensor('self'), 0, 6));

/** Bounds may be numbers or tensors. */
const clamp = rule('self, min=None, max=None', (call) => {
  const x = call.cast(call.tensor('self'), call.promotedType(['self', ...['min', 'max'].filter((name) => call.has(name))]), 'widened');
  const [min, max] = ['min', 'max'].map((name) => (call.has(name) ? knownScalar(call.item(name)) : null));
  const flows = ['min', 'max'].filter((name, i) => call.has(name) && (i === 0 ? min : max) === null);
  if (knownScalar(call.item('self')) !== null && flows.length === 0) {
    const bounded = Math.min(max == null ? Infinity : numberOf(max), Math.max(min == null ? -Infinity : numberOf(min), call.number('self')));
    return call.item('self') instanceof Real ? new Real(bounded) : bounded;
  }
  let made = x;
  if (flows.includes('min')) made = call.add('Max', [made, call.cast(call.tensor('min'), x.dtype!)], {}, 'min');
  if (flows.includes('max')) made = call.add('Min', [made, call.cast(call.tensor('max'), x.dtype!)], {}, 'max');
  const [low, high] = [min, max].map((bound) => (bound == null ? null : numberOf(bound))) as [number | null, number | null];
  if (low === null && high === null) return made;
  // A bound of integers is one in ONNX only from opset 12 on, and a program's sizes are integers.
  if (x.dtype !== null && !isFloatDType(x.dtype)) {
    if (low !== null) made = call.add('Max', [made, call.scalar(low, x)], {}, 'low');
    return high === null ? made : call.add('Min', [made, call.scalar(high, x)], {}, 'high');
  }
  return low === 0 && high === null ? call.add('Relu', [made]) : clip(call, made, low, high);
});

/** x times the share of it that a gate lets through. */
const gated = (op: string, attributes: Readonly<Record<string, number>> = {}): Rule =>
  rule('self', (call) => {
    const x = call.tensor('self');
    return call.add('Mul', [x, call.add(op, [x], attributes, 'gate')]);
  });

/** x times the share of a normal distribution that lies below it. */
export function geluOf(call: Call, x: Value): Value {
  const half = call.add('Mul', [x, call.scalar(0.5, x)], {}, 'half');
  const erf = call.add('Erf', [call.add('Mul', [x, call.scalar(Math.SQRT1_2, x)], {}, 'scaled')], {}, 'erf');
  return call.add('Mul', [half, call.add('Add', [erf, call.scalar(1, x)], {}, 'share')]);
}

const gelu = rule('self, approximate=none', (call) => {
  const x = call.tensor('self');
  if (call.text('approximate') === 'none') return geluOf(call, x);
  const scalar = (value: number) => call.scalar(value, x);
  const half = call.add('Mul', [x, scalar(0.5)], {}, 'half');
  const cube = call.add('Mul', [call.add('Mul', [x, x], {}, 'square'), x], {}, 'cube');
  const inner = call.add('Add', [x, call.add('Mul', [cube, scalar(0.044715)], {}, 'bent')], {}, 'inner');
  const tanh = call.add('Tanh', [call.add('Mul', [inner, scalar(Math.sqrt(2 / Math.PI))], {}, 'scaled')], {}, 'tanh');
  return call.add('Mul', [half, call.add('Add', [tanh, scalar(1)], {}, 'share')]);
});

const elu = rule('self, alpha=1, scale=1, input_scale=1', (call) => {
  if (call.number('scale') !== 1 || call.number('input_scale') !== 1) {
    if (Math.abs(call.number('scale') - 1.0507009873554805) < 1e-6 && call.number('input_scale') === 1)
      return call.add('Selu', [call.tensor('self')], { alpha: call.number('alpha'), gamma: call.number('scale') });
    throw call.decline('its scales are not 1');
  }
  return call.add('Elu', [call.tensor('self')], { alpha: call.number('alpha') });
});

/** The slope is one for each channel, on axis 1. */
const prelu = rule('self, weight', (call) => {
  const [x, slope] = [call.tensor('self'), call.tensor('weight')];
  const rank = call.rank(x);
  const count = call.shape(slope).length === 0 ? 1 : call.size(slope, 0);
  if (count === 1 || rank < 2) return call.add('PRelu', [x, call.reshaped(slope, [1], 'slope')]);
  return call.add('PRelu', [x, call.reshaped(slope, [count, ...new Array<number>(rank - 2).fill(1)], 'slope')]);
});

const softplus = rule('self, beta=1, threshold=20', (call) => {
  const [x, beta, threshold] = [call.tensor('self'), call.number('beta'), call.number('threshold')];
  const isCut = threshold < NO_CUT;
  const scaled = beta === 1 ? x : call.add('Mul', [x, call.scalar(beta, x)], {}, 'scaled');
  const soft = call.add('Softplus', [scaled], {}, isCut || beta !== 1 ? 'soft' : undefined);
  const made = beta === 1 ? soft : call.add('Div', [soft, call.scalar(beta, x)], {}, isCut ? 'unscaled' : undefined);
  return isCut ? call.add('Where', [call.add('Greater', [scaled, call.scalar(threshold, x)], {}, 'above'), x, made]) : made;
});

/** Where softplus goes over into its input: beyond this they are one in float32. */
const NO_CUT = 17;

type Numbers = (a: number, b: number) => number;

/** Python's arithmetic of two numbers that are known; null where one is not. */
function worked(call: Call, compute: Numbers, isWhole = true): Item | undefined {
  const [a, b] = ['self', 'other'].map((name) => knownScalar(call.item(name)));
  if (a === null || b === null || a === undefined || b === undefined) return undefined;
  const made = compute(numberOf(a), numberOf(b));
  return isWhole && !(a instanceof Real) && !(b instanceof Real) ? made : new Real(made);
}

const arithmetic = (op: string, compute: Numbers): Rule =>
  rule('self, other, alpha=1', (call) => {
    const [self, other] = [call.item('self'), call.item('other')];
    if (self instanceof List && other instanceof List && op === 'Add') return joinedLists(call, self, other);
    if (typeof self === 'string' && typeof other === 'string') return joinedTexts(call, self, other);
    if (op === 'Mul' && (self instanceof List || other instanceof List)) return repeatedList(call, self, other);
    const alpha = call.number('alpha');
    const made = worked(call, (a, b) => compute(a, alpha * b));
    if (made !== undefined) return made;
    const { values, dtype } = call.promoted(['self', 'other']);
    const [a, b] = values as [Value, Value];
    const scaled = alpha === 1 ? b : call.add('Mul', [b, call.scalar(alpha, b)], {}, 'alpha');
    if (dtype !== 'bool') return call.add(op, [a, scaled]);
    if (op === 'Mul') return call.add('And', [a, scaled]);
    return call.add('Or', [a, scaled]);
  });

/** Division gave whole numbers for whole numbers, rounded towards zero, until version 4 of the operators (torch 1.5). */
const TRUE_DIVISION = 4;

/** Towards zero. */
function truncated(call: Call, x: Value): Value {
  const floor = call.add('Floor', [call.add('Abs', [x], {}, 'abs')], {}, 'floor');
  return call.add('Mul', [call.add('Sign', [x], {}, 'sign'), floor]);
}

const div = rule('self, other, rounding_mode=None', (call) => {
  const operands = ['self', 'other'];
  const isOld =
    /^div_?$/.test(call.word) &&
    call.shop.version < TRUE_DIVISION &&
    operands.some((name) => call.item(name) instanceof TensorItem) &&
    !isFloatDType(call.promotedType(operands));
  const mode = isOld ? 'trunc' : call.has('rounding_mode') ? call.text('rounding_mode') : null;
  const round = mode === 'floor' ? Math.floor : mode === 'trunc' ? Math.trunc : (x: number) => x;
  const made = worked(call, (a, b) => round(a / b), mode !== null);
  if (made !== undefined) return made;
  const { values, dtype } = call.promoted(['self', 'other']);
  const whole = !isFloatDType(dtype);
  if (mode === 'floor') return floored(call, values);
  if (whole && mode === 'trunc') return call.add('Div', values);
  const exact = call.add('Div', whole ? values.map((value, i) => call.cast(value, 'float32', `operand${i}`)) : values, {}, mode === null ? undefined : 'exact');
  if (mode === null) return exact;
  if (mode === 'trunc') return truncated(call, exact);
  throw call.decline(`its rounding_mode is ${mode}`);
});

/** A layer before the last one, named after its operator. */
const step =
  (call: Call) =>
  (op: string, inputs: readonly Value[]): Value =>
    call.add(op, inputs, {}, op.toLowerCase());

const floored = (call: Call, [a, b]: readonly Value[]): Value => floorQuotient(a!, b!, step(call), (op, inputs) => call.add(op, inputs));

const floorDivide = rule('self, other', (call) => {
  const made = worked(call, (a, b) => Math.floor(a / b));
  return made ?? floored(call, call.promoted(['self', 'other']).values);
});

const remainder = rule('self, other', (call) => {
  const made = worked(call, (a, b) => a - b * Math.floor(a / b));
  if (made !== undefined) return made;
  const [a, b] = call.promoted(['self', 'other']).values as [Value, Value];
  return floorRemainder(a, b, step(call), (op, inputs) => call.add(op, inputs));
});

const pow = rule('self, exponent', (call) => {
  const [base, exponent] = [knownScalar(call.item('self')), knownScalar(call.item('exponent'))];
  if (base !== null && exponent !== null) {
    const made = numberOf(base) ** numberOf(exponent);
    return base instanceof Real || exponent instanceof Real ? new Real(made) : made;
  }
  const { values } = call.promoted(['self', 'exponent']);
  const [x, power] = values as [Value, Value];
  const by = exponent === null ? null : numberOf(exponent);
  if (by === 1) return x;
  if (by === 2) return call.add('Mul', [x, x]);
  if (by === 0.5) return call.add('Sqrt', [x]);
  if (by === -1) return call.add('Reciprocal', [x]);
  return call.add('Pow', [x, power]);
});

function joinedTexts(call: Call, a: string, b: string): string {
  if (a.length + b.length > MAX_LENGTH) throw call.decline(`a text of more than ${MAX_LENGTH} letters`);
  return a + b;
}

function joinedLists(call: Call, a: List, b: List): List {
  if (a.items.length + b.items.length > MAX_LENGTH) throw call.decline(`a list of more than ${MAX_LENGTH}`);
  return new List([...a.items, ...b.items]);
}

/** [1] * 3 */
function repeatedList(call: Call, self: Item, other: Item): List {
  const [list, times] = self instanceof List ? [self, other] : [other as List, self];
  const scalar = knownScalar(times);
  if (scalar === null) throw call.decline('how often a list is repeated is known only when the model runs');
  const count = Math.max(0, numberOf(scalar));
  if (list.items.length * count > MAX_LENGTH) throw call.decline(`a list of more than ${MAX_LENGTH}`);
  return new List(Array.from({ length: count }, () => list.items).flat());
}

/** What both sides of a comparison are, where nothing has to run for it. */
function plain(item: Item): Item | undefined {
  const scalar = knownScalar(item);
  if (scalar !== null) return numberOf(scalar);
  return item === null || typeof item === 'string' ? item : undefined;
}

/** Whether two things of Python are equal; undefined where that is known only when the model runs. */
export function equalItems(a: Item, b: Item): boolean | undefined {
  if ((a instanceof List || a instanceof Tuple) && (b instanceof List || b instanceof Tuple)) {
    if (a.items.length !== b.items.length) return false;
    const each = a.items.map((item, i) => equalItems(item, b.items[i]!));
    return each.includes(false) ? false : each.includes(undefined) ? undefined : true;
  }
  // A free size is equal to itself.
  if (a instanceof TensorItem && b instanceof TensorItem) {
    const [left, right] = [a, b].map(({ value }) => (value.elements?.length === 1 && value.shape?.length === 0 ? value.elements[0] : null));
    if (left !== null && left === right) return true;
  }
  if (a instanceof Opaque && b instanceof Opaque) return a.what === b.what;
  const [left, right] = [plain(a), plain(b)];
  return left === undefined || right === undefined ? undefined : left === right;
}

const comparison = (op: 'Equal' | 'Greater' | 'GreaterOrEqual' | 'Less' | 'LessOrEqual', compare: (a: number, b: number) => boolean, isNegated = false): Rule =>
  rule('self, other', (call) => {
    const [a, b] = [call.item('self'), call.item('other')];
    if (op === 'Equal') {
      const equal = equalItems(a, b);
      if (equal !== undefined) return equal !== isNegated;
    }
    const [left, right] = [knownScalar(a), knownScalar(b)];
    if (left !== null && right !== null) return compare(numberOf(left), numberOf(right)) !== isNegated;
    const { values } = call.promoted(['self', 'other']);
    const made = call.add(op, values, {}, isNegated ? 'equal' : undefined);
    return isNegated ? call.add('Not', [made]) : made;
  });

const logical = (op: string, compute: (a: boolean, b: boolean) => boolean): Rule =>
  rule('self, other', (call) => {
    const [a, b] = ['self', 'other'].map((name) => knownScalar(call.item(name)));
    if (typeof a === 'boolean' && typeof b === 'boolean') return compute(a, b);
    const values = ['self', 'other'].map((name) => call.cast(call.tensor(name), 'bool', name));
    return call.add(op, values);
  });

/** Of booleans it is logic; integers keep their bits. */
const bitwise = (op: 'And' | 'Or' | 'Xor', logic: (a: boolean, b: boolean) => boolean, compute: (a: bigint, b: bigint) => bigint): Rule =>
  rule('self, other', (call) => {
    const [a, b] = ['self', 'other'].map((name) => knownScalar(call.item(name)));
    if (typeof a === 'number' && typeof b === 'number') return Number(compute(BigInt(a), BigInt(b)));
    if (typeof a === 'boolean' && typeof b === 'boolean') return logic(a, b);
    const { values, dtype } = call.promoted(['self', 'other']);
    if (dtype === 'bool') return call.add(op, values);
    if (isFloatDType(dtype)) throw call.decline(`it works on bits, and ${dtype} flows in`);
    return call.add(`Bitwise${op}`, values);
  });

const and = bitwise(
  'And',
  (a, b) => a && b,
  (a, b) => a & b,
);
const or = bitwise(
  'Or',
  (a, b) => a || b,
  (a, b) => a | b,
);
const xor = bitwise(
  'Xor',
  (a, b) => a !== b,
  (a, b) => a ^ b,
);

/** Bits to the left are a product, to the right a quotient that is rounded down: so it is for numbers below zero, too, whose sign PyTorch keeps. */
const shift = (isLeft: boolean): Rule =>
  rule('self, other', (call) => {
    const worked = ['self', 'other'].map((name) => knownScalar(call.item(name)));
    const { values, dtype } = call.promoted(['self', 'other']);
    if (isFloatDType(dtype) || dtype === 'bool') throw call.decline(`it works on bits, and ${dtype} flows in`);
    const [x, count] = values as [Value, Value];
    const known = worked[1] === null ? null : numberOf(worked[1]!);
    const power =
      known === null
        ? call.cast(call.add('Pow', [call.build.numbers('float64', 2), call.cast(count, 'float64', 'count')], {}, 'power'), dtype, 'times')
        : call.build.numbers(dtype, 2 ** known);
    if (isLeft) return call.add('Mul', [x, power]);
    // What is left over is never below zero, so that the rest divides without one.
    const rest = call.add('Mod', [x, power], { fmod: 0 }, 'rest');
    return call.add('Div', [call.add('Sub', [x, rest], {}, 'whole'), power]);
  });

const bitwiseNot = rule('self', (call) => {
  const x = call.tensor('self');
  if (x.dtype === 'bool' || x.dtype === null) return not.run(call);
  if (isFloatDType(x.dtype)) throw call.decline(`it works on bits, and ${x.dtype} flows in`);
  return call.add('BitwiseNot', [x]);
});

const not = rule('self', (call) => {
  const scalar = knownScalar(call.item('self'));
  return typeof scalar === 'boolean' ? !scalar : call.add('Not', [call.cast(call.tensor('self'), 'bool')]);
});

/** The same tensor where nothing changes: what is written into it then shows in both. */
function converted(call: Call, dtype: ReturnType<Call['dtype']>): Item | Value {
  const item = call.tensorItem('self');
  if (dtype === null || item.value.dtype === dtype) return item;
  return call.add('Cast', [item.value], { to: dtype });
}

/** Overloads take a dtype, a device, both, or another tensor; only the dtype has an effect. */
const to = rule('self, a=None, b=None, c=None, d=None, e=None, f=None, dtype=None, copy=None', (call) => {
  const positional = ['a', 'b', 'c'].map((name) => (call.has(name) ? call.item(name) : null));
  const [first, second] = positional;
  if (first instanceof TensorItem) return converted(call, first.value.dtype);
  if (call.has('dtype')) return converted(call, call.dtype('dtype'));
  if (typeof first === 'number') return converted(call, call.dtype('a'));
  if (typeof second === 'number') return converted(call, call.dtype('b'));
  return call.tensorItem('self');
});

const toLike = (dtype: 'float32' | 'float16' | 'float64' | 'int64' | 'int32' | 'bool'): Rule => rule('self', (call) => converted(call, dtype));

const typeAs = rule('self, other', (call) => converted(call, call.tensor('other').dtype));

const where = rule('condition, self, other', (call) => {
  const { values } = call.promoted(['self', 'other']);
  return call.add('Where', [call.cast(call.tensor('condition'), 'bool', 'condition'), ...values]);
});

const maskedFill = rule('self, mask, value', (call) => {
  const x = call.tensor('self');
  const value = call.cast(call.tensor('value'), x.dtype!, 'value');
  return call.add('Where', [call.cast(call.tensor('mask'), 'bool', 'mask'), value, x]);
});

const chosen = (op: 'Max' | 'Min'): Rule =>
  rule('self, other', (call) => {
    const made = worked(call, op === 'Max' ? Math.max : Math.min);
    return made ?? call.add(op, call.promoted(['self', 'other']).values);
  });

const sign = rule('self', (call) => call.add('Sign', [call.tensor('self')]));

const isFloating = rule('self', (call) => {
  const { dtype } = call.tensor('self');
  if (dtype === null) throw call.decline('the dtype of what flows into it is not known');
  return isFloatDType(dtype);
});

/** A slope between the bounds, in inference the middle: all that a training run averages over. */
function betweenBounds(call: Call): Value {
  call.trains('training');
  return call.add('LeakyRelu', [call.tensor('self')], { alpha: (call.number('lower') + call.number('upper')) / 2 });
}

/** Of two numbers of which one is NaN it is the other. */
const chosenNumber = (op: 'Max' | 'Min'): Rule =>
  rule('self, other', (call) => {
    const [a, b] = call.promoted(['self', 'other']).values as [Value, Value];
    const both = call.add(op, [a, b], {}, 'both');
    if (!isFloatDType(both.dtype ?? 'float32')) return both;
    const one = call.add('Where', [call.add('IsNaN', [b], {}, 'isnan'), a, both], {}, 'one');
    return call.add('Where', [call.add('IsNaN', [a], {}, 'isnan'), b, one]);
  });

const scaledBy = (factor: number): Rule => rule('self', (call) => call.add('Mul', [float(call), call.scalar(factor, float(call))]));

const passedOn = rule('self', (call) => call.item('self'));

export const elements: Rules = {
  relu: unary('Relu'),
  relu6,
  leaky_relu: rule('self, negative_slope=0.01', (call) => call.add('LeakyRelu', [call.tensor('self')], { alpha: call.number('negative_slope') })),
  rrelu: rule('self, lower=0.125, upper=0.3333333333333333, training=False, generator=None', betweenBounds),
  rrelu_with_noise: rule('self, noise, lower=0.125, upper=0.3333333333333333, training=False, generator=None', betweenBounds),
  rrelu_with_noise_functional: rule('self, noise, lower=0.125, upper=0.3333333333333333, training=False, generator=None', (call) =>
    listOf([betweenBounds(call), call.tensor('noise')]),
  ),
  hardtanh: rule('self, min_val=-1, max_val=1', (call) => clip(call, call.tensor('self'), call.number('min_val'), call.number('max_val'))),
  clamp,
  clip: clamp,
  clamp_min: rule('self, min', (call) => clamp.run(call.withGiven({ max: null }))),
  clamp_max: rule('self, max', (call) => clamp.run(call.withGiven({ min: null }))),
  hardswish: gated('HardSigmoid', { alpha: 1 / 6, beta: 0.5 }),
  hardsigmoid: rule('self', (call) => call.add('HardSigmoid', [call.tensor('self')], { alpha: 1 / 6, beta: 0.5 })),
  silu: gated('Sigmoid'),
  mish: rule('self', (call) => {
    const x = call.tensor('self');
    return call.add('Mul', [x, call.add('Tanh', [call.add('Softplus', [x], {}, 'soft')], {}, 'gate')]);
  }),
  gelu,
  elu,
  celu: rule('self, alpha=1', (call) => call.add('Celu', [call.tensor('self')], { alpha: call.number('alpha') })),
  selu: unary('Selu'),
  prelu,
  softplus,
  sigmoid: unary('Sigmoid'),
  // -log(1 + e^-x), which has no end where the sigmoid is too small for a number.
  log_sigmoid: rule('self', (call) => call.add('Neg', [call.add('Softplus', [call.add('Neg', [float(call)], {}, 'turned')], {}, 'soft')])),
  tanh: unary('Tanh'),
  softsign: unary('Softsign'),
  hardshrink: rule('self, lambd=0.5', (call) => call.add('Shrink', [call.tensor('self')], { lambd: call.number('lambd'), bias: 0 })),
  softshrink: rule('self, lambd=0.5', (call) => call.add('Shrink', [call.tensor('self')], { lambd: call.number('lambd'), bias: call.number('lambd') })),
  threshold: rule('self, threshold, value', (call) => {
    const x = call.tensor('self');
    if (call.number('value') !== 0) {
      const above = call.add('Greater', [x, call.scalar(call.number('threshold'), x)], {}, 'above');
      return call.add('Where', [above, x, call.scalar(call.number('value'), x)]);
    }
    return call.add('ThresholdedRelu', [x], { alpha: call.number('threshold') });
  }),
  add: arithmetic('Add', (a, b) => a + b),
  sub: arithmetic('Sub', (a, b) => a - b),
  mul: arithmetic('Mul', (a, b) => a * b),
  multiply: arithmetic('Mul', (a, b) => a * b),
  subtract: arithmetic('Sub', (a, b) => a - b),
  rsub: rule('self, other, alpha=1', (call) => arithmetic('Sub', (a, b) => a - b).run(call.withGiven({ self: call.item('other'), other: call.item('self') }))),
  div,
  divide: div,
  true_divide: div,
  floordiv: floorDivide,
  floor_divide: floorDivide,
  remainder,
  fmod: rule('self, other', (call) => worked(call, (a, b) => a % b) ?? call.add('Mod', call.promoted(['self', 'other']).values, { fmod: 1 })),
  pow,
  square: rule('self', (call) => call.add('Mul', [call.tensor('self'), call.tensor('self')])),
  addcmul: rule('self, tensor1, tensor2, value=1', (call) => {
    const [x, a, b] = ['self', 'tensor1', 'tensor2'].map((name) => call.tensor(name)) as [Value, Value, Value];
    const product = call.add('Mul', [a, b], {}, 'product');
    const scaled = call.number('value') === 1 ? product : call.add('Mul', [product, call.scalar(call.number('value'), x)], {}, 'scaled');
    return call.add('Add', [x, scaled]);
  }),
  sqrt: scalarUnary(Math.sqrt, false, 'Sqrt'),
  rsqrt: rule('self', (call) => call.add('Reciprocal', [call.add('Sqrt', [float(call)], {}, 'root')])),
  exp: scalarUnary(Math.exp, false, 'Exp'),
  log: scalarUnary(Math.log, false, 'Log'),
  abs: scalarUnary(Math.abs, true, 'Abs'),
  neg: scalarUnary((x) => -x, true, 'Neg'),
  floor: scalarUnary(Math.floor, true, 'Floor'),
  ceil: scalarUnary(Math.ceil, true, 'Ceil'),
  round: rule('self, decimals=0', (call) => {
    const factor = 10 ** call.number('decimals');
    const x = float(call);
    if (factor === 1) return call.add('Round', [x]);
    const rounded = call.add('Round', [call.add('Mul', [x, call.scalar(factor, x)], {}, 'scaled')], {}, 'rounded');
    return call.add('Div', [rounded, call.scalar(factor, x)]);
  }),
  trunc: rule('self', (call) => {
    const scalar = knownScalar(call.item('self'));
    if (scalar !== null) return Math.trunc(numberOf(scalar));
    const x = call.tensor('self');
    return x.dtype !== null && !isFloatDType(x.dtype) ? x : truncated(call, x);
  }),
  reciprocal: unary('Reciprocal'),
  sign,
  sgn: sign,
  erf: unary('Erf'),
  sin: unary('Sin'),
  cos: unary('Cos'),
  tan: unary('Tan'),
  asin: unary('Asin'),
  acos: unary('Acos'),
  atan: unary('Atan'),
  sinh: unary('Sinh'),
  cosh: unary('Cosh'),
  asinh: unary('Asinh'),
  acosh: unary('Acosh'),
  atanh: unary('Atanh'),
  arcsin: unary('Asin'),
  arccos: unary('Acos'),
  arctan: unary('Atan'),
  deg2rad: scaledBy(Math.PI / 180),
  rad2deg: scaledBy(180 / Math.PI),
  isnan: unary('IsNaN'),
  isinf: unary('IsInf'),
  fmax: chosenNumber('Max'),
  fmin: chosenNumber('Min'),
  heaviside: rule('self, values', (call) => {
    const [x, atZero] = call.promoted(['self', 'values']).values as [Value, Value];
    const zero = call.scalar(0, x);
    const above = call.cast(call.add('Greater', [x, zero], {}, 'above'), x.dtype!, 'step');
    return call.add('Where', [call.add('Equal', [x, zero], {}, 'zero'), atZero, above]);
  }),
  float_power: rule('self, exponent', (call) => {
    const double = (name: string) => new TensorItem(call.cast(call.tensor(name), 'float64', name));
    return pow.run(call.withGiven({ self: double('self'), exponent: double('exponent') }));
  }),
  maximum: chosen('Max'),
  minimum: chosen('Min'),
  eq: comparison('Equal', (a, b) => a === b),
  ne: comparison('Equal', (a, b) => a === b, true),
  gt: comparison('Greater', (a, b) => a > b),
  ge: comparison('GreaterOrEqual', (a, b) => a >= b),
  lt: comparison('Less', (a, b) => a < b),
  le: comparison('LessOrEqual', (a, b) => a <= b),
  __and__: and,
  __or__: or,
  __xor__: xor,
  __lshift__: shift(true),
  __rshift__: shift(false),
  bitwise_left_shift: shift(true),
  bitwise_right_shift: shift(false),
  bitwise_and: and,
  bitwise_or: or,
  bitwise_xor: xor,
  logical_and: logical('And', (a, b) => a && b),
  logical_or: logical('Or', (a, b) => a || b),
  logical_xor: logical('Xor', (a, b) => a !== b),
  logical_not: not,
  bitwise_not: bitwiseNot,
  __not__: not,
  to,
  _to_copy: to,
  type_as: typeAs,
  float: toLike('float32'),
  half: toLike('float16'),
  double: toLike('float64'),
  long: toLike('int64'),
  int: toLike('int32'),
  bool: toLike('bool'),
  where,
  masked_fill: maskedFill,
  is_floating_point: isFloating,
  detach: passedOn,
  alias: passedOn,
  positive: passedOn,
  cpu: passedOn,
  cuda: rule('self, device=None', (call) => call.item('self')),
  requires_grad_: rule('self, requires_grad=True', (call) => call.item('self')),
  clone: rule('self, memory_format=None', (call) => call.tensor('self')),
  contiguous: rule('self, memory_format=None', (call) =>
    call.view('self', (value) => value, null, !call.has('memory_format') || call.given.get('memory_format') === 0),
  ),
  'prim::dtype': rule('self', (call) => {
    const { dtype } = call.tensor('self');
    if (dtype === null) throw call.decline('the dtype of what flows into it is not known');
    return scalarTypeOf(dtype);
  }),
  'prim::device': rule('self', () => new Opaque('a device')),
  /** Of a device, on which the fast ways through modules depend. */
  'prim::type': rule('self', () => 'cpu'),
  'prim::layout': rule('self', () => 0),
  'prim::is_cuda': rule('self', () => false),
  'prim::is_quantized': rule('self', () => false),
  'prim::is_mkldnn': rule('self', () => false),
  'prim::requires_grad': rule('self', () => false),
  'prim::NumToTensor': passedOn,
};
