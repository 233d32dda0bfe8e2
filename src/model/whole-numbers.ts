/**
 * How large the whole numbers of a net become: what arithmetic makes of them before they wrap around at the ends of their dtype.
 *
 * Targets that compute in float32 alone ask here. What one does for 8 and 16 bits can be put right, or refused; numbers of 32 and 64 bits
 * are told, as nothing in a file says how large they are.
 */
import { type DType, isFloatDType, NARROW_RANGES } from './dtype.js';
import type { Dim, Layer, LayerMap } from './layer-map.js';
import { bindSlots } from './ops/layers.js';
import { slotName, type ValueType } from './ops/operator.js';
import { operatorOf } from './ops/table.js';

export interface Reach {
  readonly low: number;
  readonly high: number;
  /** Values that nothing is known of but their dtype, and which were taken to be small; of what they are, the reach follows. */
  readonly resting: ReadonlySet<string>;
}

/** What a layer's arithmetic makes of whole numbers. */
export interface WholeResult {
  readonly dtype: DType;
  readonly made: Reach;
  /** Whether it may leave the range of its dtype, and so wrap around in the source. */
  readonly wraps: boolean;
  /** Whether it may be more than float32 counts. */
  readonly isBeyond: boolean;
}

/** Up to here float32 has every whole number. */
export const COUNTED = 2 ** 24;

/** As large as numbers of 32 and 64 bits are taken to be where nothing tells: arithmetic that is beyond float32 even of these means to wrap. */
const SMALL = 16;
/** As large as a free size is taken to be. */
const FREE = 1024;
const NONE: ReadonlySet<string> = new Set();

/** Whether a dtype has so few numbers that sums of any of them are looked after. */
export const isNarrow = (dtype: DType): boolean => dtype === 'bool' || NARROW_RANGES[dtype] !== undefined;

const isWhole = (dtype: DType | null | undefined): dtype is DType => dtype != null && !isFloatDType(dtype) && !dtype.startsWith('complex');

/** The results of arithmetic on whole numbers, by the name of the value. */
export function wholeResults({ inputs, layers }: Pick<LayerMap, 'inputs' | 'layers'>, types: ReadonlyMap<string, ValueType>): ReadonlyMap<string, WholeResult> {
  const reaches = new Map<string, Reach>();
  const results = new Map<string, WholeResult>();
  const indices = indexBounds(layers, types);
  const noted = (value: string, reach: Reach) => {
    const most = indices.get(value);
    // A number of a row that is not there fails in the source too.
    reaches.set(value, most === undefined ? reach : { low: Math.max(reach.low, -most), high: Math.min(reach.high, most), resting: NONE });
  };
  for (const { value } of inputs) {
    const dtype = types.get(value)?.dtype;
    if (isWhole(dtype)) noted(value, anyOf(dtype, value));
  }
  for (const layer of layers) {
    if (!layer.outputs.some((value) => isWhole(types.get(value)?.dtype))) continue;
    const made = layer.foreign ? null : reachOf(layer, reaches, types);
    for (const value of layer.outputs) {
      const type = types.get(value);
      if (value === '' || !isWhole(type?.dtype)) continue;
      const known = knownReach(type!);
      const reach = known ?? made ?? anyOf(type!.dtype!, value);
      const range = rangeOf(type!.dtype!);
      const wraps = reach.low < range.low || reach.high > range.high;
      if (known === null && made && ARITHMETIC.has(layer.op))
        results.set(value, { dtype: type!.dtype!, made: reach, wraps, isBeyond: reach.low < -COUNTED || reach.high > COUNTED });
      noted(value, wraps ? { ...range, resting: NONE } : reach);
    }
  }
  return results;
}

/** Whatever a dtype holds; numbers of 32 and 64 bits are taken to be small. */
function anyOf(dtype: DType, value: string): Reach {
  if (isNarrow(dtype)) return { ...rangeOf(dtype), resting: NONE };
  return { low: dtype.startsWith('u') ? 0 : -SMALL, high: SMALL, resting: new Set([value]) };
}

function rangeOf(dtype: DType): { low: number; high: number } {
  const narrow = NARROW_RANGES[dtype];
  if (narrow) return { low: narrow[0], high: narrow[1] };
  if (dtype === 'bool') return { low: 0, high: 1 };
  const bits = dtype.endsWith('64') ? 64 : 32;
  return dtype.startsWith('u') ? { low: 0, high: 2 ** bits - 1 } : { low: -(2 ** (bits - 1)), high: 2 ** (bits - 1) - 1 };
}

/** Of elements that are known before anything runs; free sizes are sizes. */
function knownReach({ elements }: Pick<ValueType, 'elements'>): Reach | null {
  if (!elements || elements.length === 0 || elements.includes(null)) return null;
  const numbers = elements.map((element) => (typeof element === 'number' ? element : FREE));
  const [low, high] = ends(numbers);
  return { low, high, resting: NONE };
}

/** How many rows there are where values are the numbers of rows. */
function indexBounds(layers: readonly Layer[], types: ReadonlyMap<string, ValueType>): ReadonlyMap<string, number> {
  const bounds = new Map<string, number>();
  for (const { op, inputs, weights, attributes } of layers) {
    if (op !== 'Gather') continue;
    const shape = weights.table?.shape ?? types.get(inputs[0]!)?.shape;
    const rows = shape?.at((attributes.axis as number | undefined) ?? 0);
    const index = inputs[weights.table ? 0 : 1];
    if (typeof rows === 'number' && index !== undefined) bounds.set(index, Math.min(rows, bounds.get(index) ?? rows));
  }
  return bounds;
}

type Ends = readonly [low: number, high: number];
type Span = Pick<Reach, 'low' | 'high'>;
/** @param count how many elements become one */
type Fold = (parts: readonly Span[], count: number) => Ends;

/** One by one: of a list as long as a file likes, as arguments, the stack would overflow. */
const ends = (numbers: readonly number[]): Ends =>
  numbers.reduce<Ends>(([low, high], number) => [Math.min(low, number), Math.max(high, number)], [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]);
const union: Fold = (parts) => ends(parts.flatMap(({ low, high }) => [low, high]));
/** Nothing times infinity is nothing here. */
const times = (a: Span, b: Span): Ends => ends([a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high].map((made) => made || 0));
const size = ({ low, high }: Span) => Math.max(Math.abs(low), Math.abs(high));
const total: Fold = ([x], count) => ends([x!.low, x!.low * count, x!.high, x!.high * count]);
const either = (most: number): Ends => [-most, most];
const productSums: Fold = ([a, b, more], count) => {
  const [low, high] = times(a!, b!);
  return [Math.min(low, low * count) + (more?.low ?? 0), Math.max(high, high * count) + (more?.high ?? 0)];
};

/** Bits that any of two numbers has set, the sign among them. */
const bits: Fold = (parts) => {
  const set = 2 ** Math.ceil(Math.log2(Math.max(...parts.map(({ low, high }) => Math.max(high + 1, -low, 1)))));
  return [parts.some(({ low }) => low < 0) ? -set : 0, set - 1];
};

/** Arithmetic that may leave the range in which its operands lie. */
const COMPUTED: Readonly<Record<string, Fold>> = {
  Add: ([a, b]) => [a!.low + b!.low, a!.high + b!.high],
  Sub: ([a, b]) => [a!.low - b!.high, a!.high - b!.low],
  Mul: ([a, b]) => times(a!, b!),
  Div: ([a, b]) => (a!.low >= 0 && b!.low >= 0 ? [0, a!.high] : either(size(a!))),
  Pow: ([a, b]) => (b!.low < 0 ? either(Number.POSITIVE_INFINITY) : [a!.low < 0 ? -(size(a!) ** b!.high) : 0, size(a!) ** b!.high]),
  Neg: ([x]) => [-x!.high, -x!.low],
  Abs: ([x]) => [0, size(x!)],
  Sum: (parts) => [parts.reduce((sum, { low }) => sum + low, 0), parts.reduce((sum, { high }) => sum + high, 0)],
  PRelu: ([x, slope]) => ends([Math.max(x!.high, 0), ...times({ low: Math.min(x!.low, 0), high: 0 }, slope!)]),
  ReduceSum: total,
  CumSum: total,
  ReduceL1: ([x], count) => [0, size(x!) * count],
  ReduceSumSquare: ([x], count) => [0, size(x!) ** 2 * count],
  ReduceProd: ([x], count) => either(size(x!) <= 1 ? 1 : size(x!) ** count),
  MatMul: productSums,
  Gemm: productSums,
  Einsum: (parts, count) => either(parts.reduce((most, part) => most * size(part), count)),
  BitwiseAnd: bits,
  BitwiseOr: bits,
  BitwiseXor: bits,
  BitwiseNot: ([x]) => [-1 - x!.high, -1 - x!.low],
};

const ARITHMETIC: ReadonlySet<string> = new Set([...Object.keys(COMPUTED), 'ScatterElements', 'ScatterND', 'Resize']);

/** Slots that say where, and not what. */
const PLACES: ReadonlySet<string> = new Set(['axes', 'axis']);

/** What only moves or chooses elements, by the slots that it takes them from. */
const MOVED: Readonly<Record<string, readonly string[]>> = {
  ...Object.fromEntries(
    [
      ...[
        'Identity',
        'MaxPool',
        'GlobalMaxPool',
        'ReduceMax',
        'ReduceMin',
        'ReduceMean',
        'Flatten',
        'Reshape',
        'Transpose',
        'Slice',
        'Split',
        'Tile',
        'Expand',
      ],
      ...['Squeeze', 'Unsqueeze', 'ChannelShuffle', 'DepthToSpace', 'SpaceToDepth', 'GatherElements', 'GatherND', 'ReverseSequence', 'Floor', 'Ceil', 'Round'],
    ].map((op) => [op, ['x']]),
  ),
  Gather: ['table'],
  OneHot: ['values'],
  Concat: ['parts'],
  Max: ['parts'],
  Min: ['parts'],
  Where: ['x', 'y'],
};

/** Sizes and places. */
const SIZES: ReadonlySet<string> = new Set(['Shape', 'Size', 'ArgMax', 'ArgMin', 'NonZero', 'Range']);

/** Of which the elements that are left out are zero. */
const WITH_ZERO: ReadonlySet<string> = new Set(['Relu', 'Trilu', 'Compress', 'CenterCropPad', 'MaxUnpool']);

/** What comes out of a layer before it wraps; null where nothing is known of it but its dtype. */
function reachOf(layer: Layer, reaches: ReadonlyMap<string, Reach>, types: ReadonlyMap<string, ValueType>): Reach | null {
  const operator = operatorOf(layer.op);
  if (!operator) return null;
  const { op, attributes } = layer;
  const bound = bindSlots<Reach | null>(
    operator,
    layer,
    layer.inputs.map((value) => reaches.get(value) ?? knownReach(types.get(value) ?? {})),
    ({ dtype, known }, slot) => (known ? knownReach({ elements: known }) : isWhole(dtype) ? anyOf(dtype, slot) : null),
  );
  const parts = (slot: string) => (bound[slot] === undefined ? [] : [bound[slot]].flat()) as readonly (Reach | null)[];
  const fold = (given: readonly (Reach | null)[], how: Fold): Reach | null => {
    const known = given.filter((part) => part !== null);
    if (known.length < given.length || known.length === 0) return null;
    const [low, high] = how(known, foldedCount(layer, types));
    return { low, high, resting: new Set(known.flatMap(({ resting }) => [...resting])) };
  };
  const elements = parts('x');
  switch (op) {
    case 'Cast':
      return fold(elements, union);
    case 'Sign':
      return { low: -1, high: 1, resting: NONE };
    case 'Mod':
      return fold(parts('operand'), ([b]) => either(size(b!)));
    case 'Clip': {
      const [min, max] = [attributes.min as number | undefined, attributes.max as number | undefined];
      return fold(elements, ([x]) => [Math.max(x!.low, min ?? x!.low), Math.min(x!.high, max ?? x!.high)]);
    }
    case 'Pad':
      return fold(elements, ([x]) => ends([x!.low, x!.high, (attributes.value as number | undefined) ?? 0]));
    case 'TopK':
      return fold(elements, ([x]) => ends([x!.low, x!.high, 0, FREE]));
    case 'Resize':
      // Only curves leave what they lie between.
      return fold(elements, ([x]) => (attributes.mode === 'cubic' ? either(3 * size(x!)) : [x!.low, x!.high]));
    case 'ScatterElements':
    case 'ScatterND': {
      const [given, how] = [[...elements, ...parts('updates')], attributes.reduction];
      if (how === 'add') return fold(given, ([a, b], count) => [a!.low + count * Math.min(b!.low, 0), a!.high + count * Math.max(b!.high, 0)]);
      return fold(given, how === 'mul' ? ([a, b], count) => either(size(a!) * Math.max(1, size(b!)) ** count) : union);
    }
    default:
      if (SIZES.has(op)) return { low: 0, high: FREE, resting: NONE };
      if (WITH_ZERO.has(op)) return fold(elements, ([x]) => (op === 'Relu' ? [Math.max(x!.low, 0), Math.max(x!.high, 0)] : ends([x!.low, x!.high, 0])));
      if (Object.hasOwn(MOVED, op)) return fold(MOVED[op]!.flatMap(parts), union);
  }
  if (!Object.hasOwn(COMPUTED, op)) return null;
  const operands = operator.slots.map(slotName).flatMap((slot) => (PLACES.has(slot) ? [] : parts(slot)));
  const [value = ''] = layer.outputs;
  const dtype = types.get(value)!.dtype!;
  // An operand of which nothing is known makes anything: a power with a fraction that flows.
  return (
    fold(operands, COMPUTED[op]!) ?? (isNarrow(dtype) ? { low: Number.NEGATIVE_INFINITY, high: Number.POSITIVE_INFINITY, resting: NONE } : anyOf(dtype, value))
  );
}

function foldedCount({ op, inputs, outputs, weights }: Layer, types: ReadonlyMap<string, ValueType>): number {
  const sizes = (shape: readonly Dim[] | null | undefined) => (shape ?? []).map((one) => (typeof one === 'number' ? one : FREE));
  const count = (shape: readonly Dim[] | null | undefined) => sizes(shape).reduce((all, one) => all * one, 1);
  const shape = types.get(inputs[0]!)?.shape;
  if (op === 'CumSum') return Math.max(1, ...sizes(shape));
  if (op === 'MatMul' || op === 'Gemm') return sizes(shape).at(-1) ?? 1;
  if (op === 'Einsum') return count(shape);
  if (op.startsWith('Scatter')) return count(weights.updates?.shape ?? types.get(inputs.at(-1)!)?.shape);
  return Math.max(1, count(shape) / Math.max(1, count(types.get(outputs[0]!)?.shape)));
}
