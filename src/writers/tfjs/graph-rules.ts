/**
 * What graph models can say beyond the rules that both TensorFlow.js forms share.
 *
 * All values are float32 in the file: truths are 0 and 1, whole numbers are exact up to 2^24. Where an operator of TensorFlow.js takes or
 * gives integers or truths, a Cast stands beside it.
 *
 * @see https://github.com/tensorflow/tfjs/tree/master/tfjs-converter/src/operations/op_list for what its executor knows
 */

import { identity } from '../../model/axis-order.js';
import { productOf } from '../../model/dims.js';
import { type DType, isFloatDType, NARROW_RANGES } from '../../model/dtype.js';
import type { Layer } from '../../model/layer-map.js';
import { beyondPlain, bindSlots, operatorOf } from '../../model/ops/index.js';
import { beyondFloat32 } from '../float32-arithmetic.js';
import { Formula, type GraphRule, slotValue } from './formula.js';
import { GRAPH_ARRANGEMENTS } from './graph-arrangement.js';
import { BIT_RULES } from './graph-bits.js';
import { asInts, flowingNumbers } from './graph-flowing.js';
import { PATCH_RULES } from './graph-patches.js';
import { QUANTISED_RULES } from './graph-quantised.js';
import { isPlainResize } from './graph-resize.js';
import { SAMPLING_RULES } from './graph-sampling.js';
import { SEARCHING_RULES } from './graph-searching.js';
import type { GraphTarget } from './graph-target.js';
import { flowingBatchNormalization, flowingConv, isDilated, isSpread, slicedPool, spreadConvTranspose } from './graph-windows.js';
import { cutsFractions, type RuleFinder } from './lower.js';
import type { Lowering, Made } from './lowering.js';
import { channelsLast, type Placement } from './placement.js';
import { axesPlace, common, foldedAxes, front, inPlace, RULES, withAxes } from './rules.js';
import { type FileValue, knownSize } from './target.js';
import { placedLast } from './windows.js';

const isInteger = (dtype: DType | null): boolean => dtype !== null && !isFloatDType(dtype);

type Elementwise = (x: FileValue, f: Formula, attributes: Readonly<Record<string, number>>, layer: Layer) => FileValue;

const UNARY: Readonly<Record<string, Elementwise>> = {
  ...Object.fromEntries(
    [...['Floor', 'Ceil', 'Round', 'Sign', 'Reciprocal', 'Sin', 'Cos', 'Tan', 'Asin', 'Acos', 'Atan'], ...['Sinh', 'Cosh', 'Asinh', 'Acosh', 'Atanh']].map(
      (op): [string, Elementwise] => [op, (x, f) => f.one(op, x)],
    ),
  ),
  Gelu: (x, f, _, { attributes }) => {
    const inner =
      attributes.approximate === 'tanh'
        ? f.one('Tanh', f.mul(f.add(x, f.mul(f.mul(f.mul(x, x), x), 0.044715)), Math.sqrt(2 / Math.PI)))
        : f.one('Erf', f.mul(x, Math.SQRT1_2));
    return f.mul(f.mul(x, 0.5), f.add(inner, 1));
  },
  HardSwish: (x, f) => f.mul(x, f.two('Minimum', f.two('Maximum', f.add(f.mul(x, 1 / 6), 0.5), 0), 1)),
  Mish: (x, f) => f.mul(x, f.one('Tanh', f.one('Softplus', x))),
  Swish: (x, f, { alpha }) => f.mul(x, f.one('Sigmoid', alpha === 1 ? x : f.mul(x, alpha!))),
  Celu: (x, f, { alpha }) => f.add(f.one('Relu', x), f.mul(f.one('Expm1', f.div(f.two('Minimum', x, 0), alpha!)), alpha!)),
  Shrink: (x, f, { bias, lambd }) => {
    // Below a negative lambd both hold, and the lower bound comes first.
    const above = f.choose(f.compare('Greater', x, lambd!), f.sub(x, bias!), 0);
    return f.choose(f.compare('Less', x, -lambd!), f.add(x, bias!), above);
  },
  IsNaN: (x, f) => f.graph.cast(f.one('IsNan', x), 'DT_BOOL', 'DT_FLOAT'),
  IsInf: (x, f, { detect_negative: negative, detect_positive: positive }) => {
    const signs = [...(positive ? [Number.POSITIVE_INFINITY] : []), ...(negative ? [Number.NEGATIVE_INFINITY] : [])];
    if (signs.length === 0) return f.compare('Less', f.one('Abs', x), 0);
    return signs.map((sign) => f.compare('Equal', x, sign)).reduce(f.add);
  },
  Not: (x, f) => f.compare('Equal', x, 0),
};

/** Of values that broadcast to each other, by what the executor has; the truths that are taken are 0 and 1. */
const BINARY: Readonly<Record<string, (a: FileValue, b: FileValue, f: Formula, layer: Layer) => FileValue>> = {
  Equal: (a, b, f) => f.compare('Equal', a, b),
  Greater: (a, b, f) => f.compare('Greater', a, b),
  GreaterOrEqual: (a, b, f) => f.compare('GreaterEqual', a, b),
  Less: (a, b, f) => f.compare('Less', a, b),
  LessOrEqual: (a, b, f) => f.compare('LessEqual', a, b),
  And: (a, b, f) => f.mul(a, b),
  Or: (a, b, f) => f.two('Maximum', a, b),
  Xor: (a, b, f) => f.compare('NotEqual', a, b),
  Div: (a, b, f) => f.truncate(f.div(a, b)),
  Pow: (a, b, f) => f.truncate(f.two('Pow', a, b)),
  // The remainder of magnitudes with the dividend's sign is C's; TensorFlow.js has Python's.
  Mod: (a, b, f, { attributes }) =>
    attributes.fmod === 1 ? f.mul(f.one('Sign', a), f.two('FloorMod', f.one('Abs', a), f.one('Abs', b))) : f.two('FloorMod', a, b),
  // The slope.
  PRelu: (a, b, f) => f.sub(f.one('Relu', a), f.mul(b, f.one('Relu', f.one('Neg', a)))),
};

const unary =
  (make: Elementwise): GraphRule =>
  (layer, lowering, graph) => {
    const place = lowering.place(layer.inputs[0]!);
    return inPlace(place, make(place.value, new Formula(graph), layer.attributes as Readonly<Record<string, number>>, layer));
  };

const binary: GraphRule = (layer, lowering, graph) => {
  const formula = new Formula(graph);
  const make = BINARY[layer.op]!;
  const stored = Object.keys(layer.weights)[0];
  if (stored !== undefined) return axesPlace(make(lowering.plain(layer.inputs[0]!), slotValue(layer, stored, lowering, graph)!, formula, layer));
  const { values, place } = common(layer.inputs, lowering);
  return inPlace(place, make(values[0]!, values[1]!, formula, layer));
};

const where: GraphRule = (layer, lowering, graph) => {
  const { values, place } = common(layer.inputs, lowering);
  return inPlace(place, new Formula(graph).choose(values[0]!, values[1]!, values[2]!));
};

const mean: GraphRule = (layer, lowering, graph) => {
  const formula = new Formula(graph);
  const { values, place } = common(layer.inputs, lowering);
  return inPlace(place, formula.mul(values.reduce(formula.add), 1 / values.length));
};

/** Bounds may flow. */
const clip: GraphRule = (layer, lowering, graph) => {
  const formula = new Formula(graph);
  const place = lowering.place(layer.inputs[0]!);
  const bound = (slot: 'min' | 'max') => {
    const value = slotValue(layer, slot, lowering, graph);
    return value ? graph.reshape(value, []) : (layer.attributes[slot] as number);
  };
  const [min, max] = [bound('min'), bound('max')];
  const above = min === Number.NEGATIVE_INFINITY ? place.value : formula.two('Maximum', place.value, min);
  return inPlace(place, max === Number.POSITIVE_INFINITY ? above : formula.two('Minimum', above, max));
};

/** Floats that are made narrower are rounded as they would be there; what is computed with them is in float32, as all values are. */
const cast: GraphRule = (layer, lowering, graph) => {
  const to = layer.attributes.to as DType;
  const [input] = layer.inputs;
  const from = lowering.types.get(input!)!.dtype;
  const place = lowering.place(input!);
  const formula = new Formula(graph);
  if (to.startsWith('float8')) return lowering.decline(`a Cast to ${to}`);
  if (to === 'float16' || to === 'bfloat16') return inPlace(place, from && EXACT_IN[to].includes(from) ? place.value : formula.roundTo(place.value, to));
  if (from === to || isFloatDType(to) || from === 'bool') return place;
  if (to === 'bool') return inPlace(place, formula.compare('NotEqual', place.value, 0));
  if (to !== 'int32' && to !== 'int64' && !NARROW_RANGES[to]) return lowering.decline(`a Cast to ${to}`);
  const whole = from && isFloatDType(from) ? formula.truncate(place.value) : place.value;
  return inPlace(place, NARROW_RANGES[to] ? wrapped(whole, to, formula) : whole);
};

/** dtypes whose values a narrow float has, every one. */
const EXACT_IN: Readonly<Record<'float16' | 'bfloat16', readonly DType[]>> = {
  float16: ['float16', 'float8_e4m3fn', 'float8_e5m2', 'uint8', 'int8', 'bool'],
  bfloat16: ['bfloat16', 'float8_e4m3fn', 'float8_e5m2', 'uint8', 'int8', 'bool'],
};

/** Whole numbers of 8 and 16 bits wrap around at the ends of their range. */
function wrapped(x: FileValue, dtype: DType, f: Formula): FileValue {
  const [low, high] = NARROW_RANGES[dtype]!;
  const count = high - low + 1;
  return low === 0 ? f.two('FloorMod', x, count) : f.add(f.two('FloorMod', f.sub(x, low), count), low);
}

type Folding = (x: FileValue, axes: readonly number[] | FileValue, keep: boolean, f: Formula) => FileValue;

const FOLDINGS: Readonly<Record<string, Folding>> = {
  ReduceMin: (x, axes, keep, f) => f.reduce('Min', x, axes, keep),
  ReduceMax: (x, axes, keep, f) => f.reduce('Max', x, axes, keep),
  ReduceMean: (x, axes, keep, f) => f.reduce('Mean', x, axes, keep),
  ReduceSum: (x, axes, keep, f) => f.reduce('Sum', x, axes, keep),
  ReduceProd: (x, axes, keep, f) => f.reduce('Prod', x, axes, keep),
  ReduceL1: (x, axes, keep, f) => f.reduce('Sum', f.one('Abs', x), axes, keep),
  ReduceL2: (x, axes, keep, f) => f.one('Sqrt', f.reduce('Sum', f.mul(x, x), axes, keep)),
  ReduceSumSquare: (x, axes, keep, f) => f.reduce('Sum', f.mul(x, x), axes, keep),
  ReduceLogSum: (x, axes, keep, f) => f.one('Log', f.reduce('Sum', x, axes, keep)),
  ReduceLogSumExp: (x, axes, keep, f) => {
    const largest = f.reduce('Max', x, axes, true);
    const total = f.one('Log', f.reduce('Sum', f.one('Exp', f.sub(x, largest)), axes, true));
    const made = f.add(total, largest);
    return keep ? made : f.reduce('Sum', made, axes, false);
  },
};

/** What these make of no elements: TensorFlow.js makes no number of them. */
const OF_SOME: Readonly<Record<string, number>> = {
  ReduceMax: Number.NEGATIVE_INFINITY,
  ReduceMin: Number.POSITIVE_INFINITY,
  ReduceLogSumExp: Number.NEGATIVE_INFINITY,
};

const ofNone: GraphRule = (layer, lowering, graph) => {
  const { dtype } = lowering.types.get(layer.inputs[0]!)!;
  const shape = lowering.shape(layer.outputs[0]!);
  const truth = dtype === 'bool' ? Number(layer.op === 'ReduceMin') : undefined;
  if (truth === undefined && isInteger(dtype)) return lowering.decline(`${layer.op} of no ${dtype} values, which is the last number of their range`);
  const inputs = [graph.vector(shape), graph.scalar('none', truth ?? OF_SOME[layer.op]!)];
  return axesPlace(graph.node('Fill', inputs, { T: { type: 'DT_FLOAT' }, index_type: { type: 'DT_INT32' } }, shape));
};

const reduction: GraphRule = (layer, lowering, graph) => {
  const [input] = layer.inputs;
  const flowing = flowingNumbers(layer, 'axes', lowering, graph);
  const isOfNone = lowering.shape(input!).includes(0);
  if (isOfNone && OF_SOME[layer.op] !== undefined) {
    return flowing
      ? lowering.decline(`${layer.op} of no elements along axes that flow in, which is no number in TensorFlow.js`)
      : ofNone(layer, lowering, graph);
  }
  if (flowing) {
    const f = new Formula(graph);
    const x = lowering.plain(input!);
    const isNoop = flowing.count === 0 && layer.attributes.noop_with_empty_axes === 1;
    const over = flowing.count > 0 ? asInts(flowing.values, graph) : isNoop ? [] : identity(x.shape.length);
    const made = FOLDINGS[layer.op]!(x, over, layer.attributes.keepdims === 1, f);
    return axesPlace({ ...made, shape: lowering.shape(layer.outputs[0]!) });
  }
  const { value, order } = withAxes(input!, lowering);
  const axes = foldedAxes(layer, order.length);
  const keep = layer.attributes.keepdims === 1;
  const inFile = order.flatMap((axis, i) => (axes.includes(axis) ? [i] : []));
  const made = FOLDINGS[layer.op]!(value, inFile, keep, new Formula(graph));
  const kept = identity(order.length).filter((axis) => !axes.includes(axis));
  return { kind: 'axes', value: made, order: keep ? order : order.filter((axis) => !axes.includes(axis)).map((axis) => kept.indexOf(axis)) };
};

/** (x - mean) / √(variance + epsilon) over some axes of the file. */
function standardised(x: FileValue, axes: readonly number[], epsilon: number, f: Formula): { value: FileValue; mean: FileValue; deviation: FileValue } {
  const center = f.reduce('Mean', x, axes, true);
  const distance = f.sub(x, center);
  // The constant stands first: verification takes those that stand second for the layer's weights.
  const deviation = f.one('Sqrt', f.add(epsilon, f.reduce('Mean', f.mul(distance, distance), axes, true)));
  return { value: f.div(distance, deviation), mean: center, deviation };
}

/** The product with the scale and the sum with the bias, which both broadcast as they are. */
function affine(layer: Layer, x: FileValue, lowering: Lowering, graph: GraphTarget): FileValue {
  const formula = new Formula(graph);
  const [scale, bias] = [
    slotValue(layer, 'scale', lowering, graph)!,
    operatorOf(layer.op)!.slots.some((slot) => slot.startsWith('bias')) ? slotValue(layer, 'bias', lowering, graph) : null,
  ];
  const scaled = formula.mul(x, scale);
  return bias ? formula.add(scaled, bias) : scaled;
}

const layerNormalization: GraphRule = (layer, lowering, graph) => {
  const formula = new Formula(graph);
  const [input] = layer.inputs;
  const rank = lowering.shape(input!).length;
  const at = front(layer.attributes.axis as number, rank);
  const found = withAxes(input!, lowering);
  // The scale broadcasts from the last axis on.
  const order = found.order.slice(at).every((axis, i) => axis === at + i) ? found.order : identity(rank);
  const x = lowering.inOrder(input!, order);
  const axes = identity(rank).slice(at);
  const epsilon = layer.attributes.epsilon as number;
  const place = (value: FileValue) => ({ kind: 'axes', value, order }) as const;
  if (layer.op === 'RMSNormalization') {
    const root = formula.one('Sqrt', formula.add(epsilon, formula.reduce('Mean', formula.mul(x, x), axes, true)));
    return place(affine(layer, formula.div(x, root), lowering, graph));
  }
  const { value, mean: center, deviation } = standardised(x, axes, epsilon, formula);
  const [, second, third] = layer.outputs;
  return [place(affine(layer, value, lowering, graph)), second ? place(center) : null, third ? place(formula.one('Reciprocal', deviation)) : null].slice(
    0,
    layer.outputs.length,
  );
};

const instanceNormalization: GraphRule = (layer, lowering, graph) => {
  const x = lowering.last(layer.inputs[0]!);
  const spatial = identity(x.shape.length).slice(1, -1);
  const { value } = standardised(x, spatial, layer.attributes.epsilon as number, new Formula(graph));
  return { kind: 'axes', value: affine(layer, value, lowering, graph), order: channelsLast(x.shape.length) };
};

const groupNormalization: GraphRule = (layer, lowering, graph) => {
  const x = lowering.last(layer.inputs[0]!);
  const [batch, ...spatial] = x.shape.slice(0, -1);
  const channels = knownSize(x.shape.at(-1));
  const groups = layer.attributes.num_groups as number;
  if (channels === null) return lowering.decline('groups of a free number of channels');
  const pixels = productOf(spatial);
  const parts = graph.reshape(x, [batch!, pixels, groups, channels / groups]);
  const { value } = standardised(parts, [1, 3], layer.attributes.epsilon as number, new Formula(graph));
  return { kind: 'axes', value: affine(layer, graph.reshape(value, x.shape), lowering, graph), order: channelsLast(x.shape.length) };
};

const lpNormalization: GraphRule = (layer, lowering, graph) => {
  const formula = new Formula(graph);
  const { value, order } = withAxes(layer.inputs[0]!, lowering);
  const axes = [order.indexOf(front(layer.attributes.axis as number, order.length))];
  const norm =
    layer.attributes.p === 1
      ? formula.reduce('Sum', formula.one('Abs', value), axes, true)
      : formula.one('Sqrt', formula.reduce('Sum', formula.mul(value, value), axes, true));
  return { kind: 'axes', value: formula.two('DivNoNan', value, norm), order };
};

const meanVarianceNormalization: GraphRule = (layer, lowering, graph) => {
  const { value, order } = withAxes(layer.inputs[0]!, lowering);
  const axes = (layer.attributes.axes as readonly number[]).map((axis) => order.indexOf(front(axis, order.length)));
  return { kind: 'axes', value: standardised(value, axes, 1e-18, new Formula(graph)).value, order };
};

const globalLpPool: GraphRule = (layer, lowering, graph) => {
  const f = new Formula(graph);
  const x = lowering.last(layer.inputs[0]!);
  const axes = identity(x.shape.length).slice(1, -1);
  const p = layer.attributes.p as number;
  if (p === 1) return placedLast(f.reduce('Sum', f.one('Abs', x), axes, true));
  if (p === 2) return placedLast(f.one('Sqrt', f.reduce('Sum', f.mul(x, x), axes, true)));
  return placedLast(f.two('Pow', f.reduce('Sum', f.two('Pow', f.one('Abs', x), p), axes, true), 1 / p));
};

const GENERAL: Readonly<Record<string, GraphRule>> = {
  ...Object.fromEntries(Object.entries(UNARY).map(([op, make]) => [op, unary(make)])),
  ...Object.fromEntries(Object.keys(BINARY).map((op) => [op, binary])),
  ...Object.fromEntries(Object.keys(FOLDINGS).map((op) => [op, reduction])),
  Where: where,
  Mean: mean,
  Clip: clip,
  Cast: cast,
  LayerNormalization: layerNormalization,
  RMSNormalization: layerNormalization,
  InstanceNormalization: instanceNormalization,
  GroupNormalization: groupNormalization,
  LpNormalization: lpNormalization,
  MeanVarianceNormalization: meanVarianceNormalization,
  ...BIT_RULES,
  ...GRAPH_ARRANGEMENTS,
  ...QUANTISED_RULES,
  ...SAMPLING_RULES,
  ...SEARCHING_RULES,
  ...PATCH_RULES,
  GlobalLpPool: globalLpPool,
  Conv: flowingConv,
  ConvTranspose: spreadConvTranspose,
  BatchNormalization: flowingBatchNormalization,
  MaxPool: slicedPool,
  AveragePool: slicedPool,
  LpPool: slicedPool,
};

/** All operators that graph models can say. */
export const GRAPH_OPS: ReadonlySet<string> = new Set([...Object.keys(RULES), ...Object.keys(GENERAL)]);

/** What flows into these are sizes, which the graph works out when it runs. */
const WITH_FREE_SIZES: ReadonlySet<string> = new Set([
  ...[
    'Reshape',
    'Expand',
    'Tile',
    'Slice',
    'Resize',
    'ConstantOfShape',
    'Pad',
    'Unsqueeze',
    'Squeeze',
    'Split',
    'Trilu',
    'TopK',
    'AffineGrid',
    'CenterCropPad',
  ],
  ...Object.keys(FOLDINGS),
]);

/** An attribute that another layer makes and no rule takes as it flows; bounds of a Clip are. */
function flowingAttribute(layer: Layer): string | undefined {
  const operator = operatorOf(layer.op)!;
  if (layer.op === 'Clip' || WITH_FREE_SIZES.has(layer.op)) return undefined;
  const bound = bindSlots<boolean>(
    operator,
    layer,
    layer.inputs.map(() => true),
    () => false,
  );
  return Object.keys(operator.attributes).find((name) => bound[name] === true);
}

export function graphRule(graph: GraphTarget): RuleFinder {
  return (layer) => {
    const rule = anyRule(layer, graph);
    if (typeof rule === 'string') return rule;
    return (own, lowering) => {
      const beyond = beyondFloat32(own, lowering.whole, true);
      if (beyond !== null) return lowering.decline(beyond);
      const made = cutsFractions(own, lowering) ? truncated(rule(own, lowering), graph) : rule(own, lowering);
      return withinRange(own, made, lowering, graph);
    };
  };
}

function withinRange(layer: Layer, made: Made, lowering: Lowering, graph: GraphTarget): Made {
  const f = new Formula(graph);
  const places = layer.outputs.map((value, i) => {
    const place = Array.isArray(made) ? ((made as readonly (Placement | null)[])[i] ?? null) : (made as Placement);
    const result = lowering.whole.get(value);
    return place && result?.wraps ? inPlace(place, wrapped(place.value, result.dtype, f)) : place;
  });
  return Array.isArray(made) ? places : places[0]!;
}

function truncated(made: Made, graph: GraphTarget): Made {
  const whole = (place: Placement) => inPlace(place, new Formula(graph).truncate(place.value));
  return Array.isArray(made) ? made.map((place) => place && whole(place)) : whole(made as Placement);
}

function anyRule(layer: Layer, graph: GraphTarget): ReturnType<RuleFinder> {
  const { op } = layer;
  const beyond = beyondPlain(layer);
  const general = Object.hasOwn(GENERAL, op) ? GENERAL[op]! : undefined;
  if (beyond === null && Object.hasOwn(RULES, op)) {
    // Quotients and roots of whole numbers, cuts of axes of free size, rows counted from the end, products with lines and windows with gaps are for
    // rules of their own.
    if (general && ['Div', 'Pow', 'Pad', 'Slice', 'Gather', 'MatMul', 'MaxPool', 'AveragePool', 'ConvTranspose', 'Resize'].includes(op))
      return (own, lowering) => (isOwnCase(own, lowering) ? general(own, lowering, graph) : RULES[op]!(own, lowering));
    return RULES[op]!;
  }
  if (!general) return beyond && GRAPH_OPS.has(op) ? `${op} ${beyond}, which has` : `the operator ${op} has`;
  const flows = flowingAttribute(layer);
  return flows === undefined ? (own, lowering) => general(own, lowering, graph) : `${op} takes its ${flows} from another layer, which has`;
}

function isOwnCase(layer: Layer, lowering: Lowering): boolean {
  const { dtype, shape } = lowering.types.get(layer.inputs[0]!)!;
  if (layer.op === 'Div') return isInteger(dtype);
  if (layer.op === 'Pad') return layer.attributes.mode === 'wrap';
  if (layer.op === 'Pow') return isInteger(dtype) && !isInteger(layer.weights.operand?.dtype ?? lowering.types.get(layer.inputs[1]!)!.dtype);
  if (layer.op === 'MaxPool' || layer.op === 'AveragePool') return isDilated(layer);
  if (layer.op === 'Resize') return !isPlainResize(layer, lowering);
  if (layer.op === 'ConvTranspose') return isSpread(layer);
  if (layer.op === 'Gather') return !layer.weights.table;
  if (layer.op === 'MatMul') return layer.inputs.some((input) => lowering.shape(input).length < 2);
  const axes = (layer.attributes.axes ?? []) as readonly number[];
  return layer.attributes.axes === undefined || axes.some((axis) => typeof shape!.at(axis) !== 'number');
}
