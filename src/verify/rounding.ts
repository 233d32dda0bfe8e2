/**
 * How far apart two right answers of a net lie: what a rounding of every value on its way does to it, measured with our evaluator.
 *
 * Runtimes add in different orders and round every value. So each value that a layer reads is moved by half a unit in the last place, up or
 * down by a seeded coin, and by more where a layer sums many products; functions that runtimes approximate are moved by as much of the size
 * at which they saturate. What comes out is compared with an exact run. On 60 published nets, ONNX Runtime (native and WebAssembly) and
 * TensorFlow.js (both forms, WebAssembly and CPU) were at most 3.1 times as far from float64 as this says; a kernel that is wrong 300,000 times.
 */
import type { Layer, LayerMap } from '../model/layer-map.js';
import type { Value } from '../model/ops/array.js';
import type { NdArray } from './engine.js';
import { type Arithmetic, walkLayers } from './reference/session.js';

/** Half a unit in the last place, of a value. */
export const HALF_UNIT = { float32: 2 ** -24, float16: 2 ** -11, bfloat16: 2 ** -8 } as const;

/** What rounding does to one output, or to what one layer makes. */
export interface Moved {
  /** Axis whose places differ in size so much that they are told apart; null where there is one group. */
  readonly axis: number | null;
  /** For each place along the axis, its group; empty where there is one. */
  readonly groupOf: readonly number[];
  /** For each group, the largest move, of the group's largest value; infinite where that is zero and yet moves. */
  readonly ofScale: readonly number[];
}

export interface Rounding {
  readonly outputs: readonly Moved[];
  /** Of each layer's first output. */
  readonly layers: ReadonlyMap<Layer, Moved>;
}

/**
 * @param size half a unit in the last place of what the runtime computes in
 * @param seeds one run each
 * @throws ModelError 'engine' for an operator that the evaluator lacks
 */
export async function measureRounding(
  map: LayerMap,
  feeds: readonly NdArray[],
  { size = HALF_UNIT.float32 as number, seeds = [1, 2] as readonly number[] } = {},
): Promise<Rounding> {
  const exact = walkLayers(map, feeds);
  const moved = seeds.map((seed) => walkLayers(map, feeds, disturbed(seed, size)));
  const layers = new Map<Layer, Moved>();
  for (;;) {
    const [step, ...others] = await Promise.all([exact.next(), ...moved.map((walk) => walk.next())]);
    if (step!.done) {
      const outputs = others.map(({ value }) => value as NdArray[]);
      return {
        layers,
        outputs: step!.value.map((value, i) =>
          compareMoved(
            value,
            outputs.map((made) => made[i]!),
            size,
          ),
        ),
      };
    }
    const values = others.map(({ value }) => (value as { value: Value }).value);
    layers.set(step!.value.layer, compareMoved(step!.value.value, values, size));
  }
}

/** Layers that take their input for whole numbers, or jump where it is one: both sides have the same there, or are not comparable. */
const EXACT: ReadonlySet<string> = new Set([
  ...['Gather', 'GatherElements', 'GatherND', 'OneHot', 'ArgMax', 'ArgMin', 'TopK', 'NonZero', 'Unique', 'Cast', 'Floor', 'Ceil', 'Round', 'Sign', 'Mod'],
  ...['Equal', 'Greater', 'GreaterOrEqual', 'Less', 'LessOrEqual', 'Not', 'Where', 'Shape', 'Size', 'Range', 'ConstantOfShape'],
]);

/** Layers that make whole numbers of whole numbers, exactly as far as float32 counts. */
const KEEPS_WHOLE: ReadonlySet<string> = new Set([
  ...['Add', 'Sub', 'Mul', 'Sum', 'Neg', 'Abs', 'Relu', 'Max', 'Min', 'ReduceSum', 'ReduceMax', 'ReduceMin', 'CumSum', 'MaxPool'],
  ...['Concat', 'Reshape', 'Flatten', 'Transpose', 'Squeeze', 'Unsqueeze', 'Slice', 'Expand', 'Tile', 'Pad', 'Identity', 'Clip'],
]);
const COUNTED = 2 ** 24;

/** Whether a layer only counts: nothing is rounded there, and what jumps at a whole number behind it does not by rounding. */
function isCounting({ op, weights }: Layer, inputs: readonly (Value | undefined)[]): boolean {
  if (!KEEPS_WHOLE.has(op) || Object.values(weights).some(({ dtype }) => dtype.includes('float'))) return false;
  return inputs.every((value) => value === undefined || value.data.every((one) => Number.isInteger(one) && Math.abs(one) <= COUNTED));
}

/** Functions that runtimes approximate, with an error that goes by the size at which they saturate, which is 1. */
export const APPROXIMATED: ReadonlySet<string> = new Set([
  'Sigmoid',
  'Tanh',
  'Erf',
  'Gelu',
  'Softmax',
  'Mish',
  'Softplus',
  'HardSigmoid',
  'HardSwish',
  'Swish',
]);

/** An arithmetic in which every value is a little off. */
function disturbed(seed: number, size: number): Arithmetic {
  const coin = coins(seed);
  return {
    read(layer, inputs) {
      if (EXACT.has(layer.op) || isCounting(layer, inputs)) return inputs;
      const relative = size * (1 + Math.sqrt(summands(layer, inputs)) / 4);
      return inputs.map((value) => value && move(value, relative, 0, coin));
    },
    made: (layer, value) => (layer && APPROXIMATED.has(layer.op) ? move(value, 0, size, coin) : value),
  };
}

/** How many products are added up for one value. */
function summands(layer: Layer, [x]: readonly (Value | undefined)[]): number {
  const kernel = layer.weights.kernel?.shape;
  const product = (sizes: readonly number[]) => sizes.reduce((a, b) => a * b, 1);
  if (layer.op === 'MatMul') return x?.shape.at(-1) ?? 1;
  if (!kernel) return 1;
  return layer.op === 'ConvTranspose' ? product(kernel) / kernel[1]! : product(kernel.slice(1));
}

function move(value: Value, relative: number, absolute: number, coin: () => boolean): Value {
  if (value.dtype !== undefined && !value.dtype.includes('float')) return value;
  const data = new Float64Array(value.data.length);
  for (let i = 0; i < data.length; i++) {
    const step = value.data[i]! * relative + absolute;
    data[i] = coin() ? value.data[i]! + step : value.data[i]! - step;
  }
  return { ...value, data };
}

/** The sign bits of a xorshift generator. */
export function coins(seed: number): () => boolean {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state < 0;
  };
}

/** Places along an axis whose largest values are this many times apart are not held to the scale of the larger. */
const APART = 10;
/** Fewer moves than this in a group may all be small by chance; what is zero does not move. */
const MIN_MOVES = 16;

/** What was moved beside what is exact; a value is at least rounded itself. */
export function compareMoved(exact: NdArray, moved: readonly NdArray[], size: number): Moved {
  const { axis, groupOf, count } = groups(exact);
  const scales = new Float64Array(count);
  const moves = new Float64Array(count);
  const seen = new Float64Array(count);
  const place = places(exact.shape, axis);
  for (let i = 0; i < exact.data.length; i++) {
    const group = axis === null ? 0 : groupOf[place(i)]!;
    const value = Number(exact.data[i]);
    if (!Number.isFinite(value)) continue;
    scales[group] = Math.max(scales[group]!, Math.abs(value));
    for (const { data } of moved) {
      const apart = Math.abs(Number(data[i]) - value);
      if (apart > 0) seen[group]!++;
      if (apart > moves[group]!) moves[group] = apart;
    }
  }
  const relative = (move: number, scale: number) => size + (move === 0 ? 0 : move / scale);
  if (seen.every((times) => times >= MIN_MOVES)) return { axis, groupOf, ofScale: Array.from(scales, (scale, group) => relative(moves[group]!, scale)) };
  return { axis: null, groupOf: [], ofScale: [relative(Math.max(...moves), scales[0]!)] };
}

/** Index along an axis of the element at a position. */
export function places(shape: readonly number[], axis: number | null): (position: number) => number {
  if (axis === null) return () => 0;
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const size = shape[axis]!;
  return (position) => Math.floor(position / inner) % size;
}

/**
 * Groups the places along the axis where sizes differ most (boxes beside probabilities), so that the small ones are not held to the scale of
 * the large ones. Groups are parted where sizes, in order, are far apart.
 */
function groups({ shape, data }: NdArray): { readonly axis: number | null; readonly groupOf: readonly number[]; readonly count: number } {
  const whole = { axis: null, groupOf: [], count: 1 };
  const axes = shape.flatMap((size, axis) => (axis > 0 && size > 1 && size <= 4096 ? [axis] : []));
  let best: { axis: number; sizes: Float64Array; spread: number } | null = null;
  for (const axis of axes) {
    const sizes = new Float64Array(shape[axis]!);
    const place = places(shape, axis);
    for (let i = 0; i < data.length; i++) {
      const value = Math.abs(Number(data[i]));
      if (value > sizes[place(i)]! && Number.isFinite(value)) sizes[place(i)] = value;
    }
    const spread = Math.max(...sizes) / (Math.min(...sizes) || Number.MIN_VALUE);
    if (best === null || spread > best.spread) best = { axis, sizes, spread };
  }
  if (best === null || best.spread < APART) return whole;
  const order = Array.from(best.sizes.keys()).sort((a, b) => best.sizes[b]! - best.sizes[a]!);
  const groupOf = new Array<number>(order.length).fill(0);
  let group = 0;
  for (const [rank, place] of order.entries()) {
    const before = order[rank - 1];
    if (before !== undefined && best.sizes[before]! >= APART * best.sizes[place]!) group++;
    groupOf[place] = group;
  }
  return group === 0 ? whole : { axis: best.axis, groupOf, count: group + 1 };
}
