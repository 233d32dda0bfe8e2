/**
 * Inputs that show mistakes: several, seeded, different in every channel, with impulses in asymmetric places, in several ranges.
 *
 * A constant picture hides swapped channels, flips and padding; noise alone averages much of it out. Numbers of one size hide a clip, a
 * ReLU6 in the place of a ReLU, what overflows in float16 and what a saturated softmax covers: nets take pictures of 0..255 and of -1..1.
 */
import { isModelError } from '../errors.js';
import { castStage, newCastTally, toFloat32Array } from '../model/cast.js';
import { type DType, isFloatDType } from '../model/dtype.js';
import type { Dim, LayerMap, Port } from '../model/layer-map.js';
import { inferShapes } from '../model/ops/index.js';
import { isChannelsLast, portValueShape } from '../model/ports.js';
import { elementCount } from '../model/tensor.js';
import type { NdArray } from './engine.js';

/** Size that a free dimension other than the batch is given. */
export const FREE_SIZE = 32;
/** Those that are tried where a window does not fit into what the net makes of smaller ones: runtimes differ in what they make of that. */
const LARGER_SIZES = [2 * FREE_SIZE, 4 * FREE_SIZE, 8 * FREE_SIZE] as const;

/** The smallest free size with which all windows of a net fit. */
export function freeSizeFor({ inputs, layers }: Pick<LayerMap, 'inputs' | 'layers'>): number {
  if (inputs.every(({ shape }) => shape.slice(1).every((size) => typeof size === 'number'))) return FREE_SIZE;
  return [FREE_SIZE, ...LARGER_SIZES].find((free) => fedShapes(inputs, layers, 1, free) !== null) ?? FREE_SIZE;
}

/** The shapes of all values where so many rows are fed, and free sizes are those of generated inputs. */
export function shapesFed(map: Pick<LayerMap, 'inputs' | 'layers'>, rows = 1): ReadonlyMap<string, readonly Dim[]> {
  const { inputs, layers } = map;
  return fedShapes(inputs, layers, rows, freeSizeFor(map)) ?? inferShapes(layers, new Map(inputs.map((port) => [port.value, portValueShape(port)])));
}

/** Null where a window does not fit into what the net makes of them. */
function fedShapes(inputs: LayerMap['inputs'], layers: LayerMap['layers'], rows: number, free: number): Map<string, readonly Dim[]> | null {
  const fixed = (size: Dim, axis: number) => (typeof size === 'number' ? size : axis === 0 ? rows : free);
  try {
    return inferShapes(layers, new Map(inputs.map((port) => [port.value, portValueShape(port).map(fixed)])));
  } catch (error) {
    if (isModelError(error)) return null;
    throw error;
  }
}

/** How large the numbers of an input are, of which sign, and how they lie. */
export interface Range {
  readonly name: string;
  /** The value of a float input, from one of about -4 to 4. */
  readonly value: (x: number) => number;
  /** Noise on levels and slopes where left out. */
  readonly fill?: keyof typeof FILLS;
  /** Whether a sum of squares or an exponential of its numbers may leave float32. */
  readonly isLarge?: true;
}

const pixel = (x: number) => Math.min(255, Math.max(0, Math.round(128 + 40 * x)));
/** The ranges of the samples, in the order in which they are taken: large nets are given the first ones alone. What follows is plain. */
export const RANGES = {
  plain: { name: 'about -4 to 4', value: (x: number) => x },
  pixels: { name: '0 to 255', value: pixel, fill: 'picture' },
  small: { name: 'about -0.08 to 0.08', value: (x: number) => 0.02 * x },
  zeros: { name: 'zero', value: () => 0 },
  centred: { name: '0 to 255 less their mean', value: (x: number) => pixel(x) - 117 },
  huge: { name: 'about -4000 to 4000', value: (x: number) => 1000 * x, isLarge: true },
  unit: { name: '0 to 1', value: (x: number) => pixel(x) / 255, fill: 'picture' },
  colour: { name: 'one negative number for each channel', value: (x: number) => -Math.abs(x), fill: 'colour' },
  large: { name: 'about -100 to 100', value: (x: number) => 30 * x, isLarge: true },
  impulses: { name: 'zero but for impulses and corners', value: (x: number) => (Math.abs(x) > 2 ? x : 0), fill: 'corners' },
} as const satisfies Record<string, Range>;

/** The numbers that a source's tests would be made of; what is seen with them alone is the net's own. */
export const PLAIN: Range = RANGES.plain;

export interface InputStyle {
  readonly range?: Range;
  /** Size of a free dimension, by its name and the port's axis. */
  readonly freeSize?: (name: string, axis: number) => number;
  /** Layers that read the ports; they tell where an input counts the rows of a table. */
  readonly layers?: LayerMap['layers'];
}

/** Operators that a graph's own preprocessing is made of. */
const PREPARES: ReadonlySet<string> = new Set(['Sub', 'Add', 'Mul', 'Div', 'Cast']);

/** The ranges in the order in which they are taken for a net: plain numbers first, then such as it was made for. */
export function rangesFor({ format, inputs, layers }: Pick<LayerMap, 'format' | 'inputs' | 'layers'>): readonly Range[] {
  const starts = new Set(inputs.map(({ value }) => value));
  const prepares = layers.some((layer) => PREPARES.has(layer.op) && Object.keys(layer.weights).length > 0 && layer.inputs.some((value) => starts.has(value)));
  // Nets of Caffe take bytes less their mean; one that begins with a scale or a mean takes bytes.
  const own = !prepares && format === 'caffe' ? RANGES.centred : RANGES.pixels;
  return [PLAIN, own, ...Object.values(RANGES).filter((range) => range !== PLAIN && range !== own)];
}

/** One sample (batch of one, or of the fixed batch) for each input port, in the port's layout. */
export function generateSample(ports: readonly Port[], sample: number, seed: number, style: InputStyle = {}): NdArray[] {
  const rows = tableRows(style.layers ?? []);
  return ports.map((port, i) => generateInput(port, mix(seed * 7919 + sample * 104729 + i * 1299709), rows.get(port.value), style));
}

/** Operators that move elements and leave their values alone. */
const MOVES: ReadonlySet<string> = new Set(['Transpose', 'Reshape', 'Flatten', 'Identity', 'Slice', 'Squeeze', 'Unsqueeze']);

/** For values that count the rows of an embedding's table, how many rows there are; their port may well be of a float dtype. */
function tableRows(layers: LayerMap['layers']): Map<string, number> {
  const rows = new Map<string, number>();
  for (const layer of layers.toReversed()) {
    const count = layer.op === 'Gather' ? layer.weights.table?.shape[0] : MOVES.has(layer.op) ? rows.get(layer.outputs[0]!) : undefined;
    const [value] = layer.inputs;
    if (count !== undefined && value !== undefined) rows.set(value, Math.min(count, rows.get(value) ?? count));
  }
  return rows;
}

/** @param rows of the table that the values are indices of; undefined where they are numbers */
function generateInput(port: Port, seed: number, rows: number | undefined, { range = PLAIN, freeSize = () => FREE_SIZE }: InputStyle): NdArray {
  const shape = port.shape.map((size: Dim, axis) => (typeof size === 'number' ? size : axis === 0 ? 1 : freeSize(size, axis)));
  const random = generator(seed);
  const count = elementCount(shape);
  const data = new Float32Array(count);
  if (rows !== undefined) {
    for (let i = 0; i < count; i++) data[i] = Math.floor(random() * rows);
    return { shape, data };
  }
  if (!isFloatDType(port.dtype)) {
    const [low, high] = integersOf(port.dtype, range);
    for (let i = 0; i < count; i++) data[i] = low + Math.floor(random() * (high - low + 1));
    return { shape, data };
  }
  const channelAxis = shape.length < 3 ? shape.length - 1 : isChannelsLast(port.layout) ? shape.length - 1 : 1;
  const spatial = shape.flatMap((_, axis) => (axis > 0 && axis !== channelAxis ? [axis] : []));
  const channels = shape[channelAxis] ?? 1;
  // Each channel has a level, a slope and a loudness of its own, so that no two can be exchanged unseen.
  const levels = Array.from({ length: channels }, (_, c) => 0.6 * Math.sin(1.7 * c + 0.3) + 0.3 * (random() - 0.5));
  const loudness = Array.from({ length: channels }, (_, c) => 0.5 + ((c * 0.37) % 1) + 0.2 * random());
  const tints = range.fill === 'tint' ? levels.map(() => 6 * random() - 3) : levels;
  const fill: Fill = FILLS[range.fill ?? 'noise'];
  const position = shape.map(() => 0);
  for (let i = 0; i < count; i++) {
    const c = position[channelAxis] ?? 0;
    data[i] = fill({ channel: c, level: tints[c]!, loudness: loudness[c]!, position, shape, spatial, random });
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      if (++position[axis]! < shape[axis]!) break;
      position[axis] = 0;
    }
  }
  const impulses = range.fill === 'colour' ? 0 : Math.min(8, Math.ceil(count / 16));
  for (let impulse = 0; impulse < impulses; impulse++) data[Math.floor(random() * random() * count)]! += impulse % 2 ? -3 : 4;
  return { shape, data: asStored(data.map(range.value), port.dtype) };
}

/** One element of an input: where it lies, and what is its channel's own. */
interface Place {
  readonly channel: number;
  readonly level: number;
  readonly loudness: number;
  readonly position: readonly number[];
  readonly shape: readonly number[];
  /** Axes that are neither batch nor channel. */
  readonly spatial: readonly number[];
  readonly random: () => number;
}

type Fill = (place: Place) => number;

const along = ({ position, shape }: Place, axis: number) => position[axis]! / shape[axis]!;

const noise: Fill = (place) => {
  const slope = place.spatial.reduce((sum, axis) => sum + (axis % 2 ? 0.7 : -0.4) * (along(place, axis) - 0.5), 0);
  return place.level + slope * place.loudness + place.loudness * (place.random() + place.random() + place.random() - 1.5);
};

const FILLS = {
  noise,
  /** Even: what divides by a spread has none. */
  colour: ({ level }: Place) => level,
  /** Noise in a colour of the sample's own, much of which is one channel's. */
  tint: (place: Place) => noise(place),
  /** The corners of each channel, each of another size; where there are none, noise. */
  corners: (place: Place) => {
    const { spatial, position, shape, channel } = place;
    if (spatial.length === 0) return noise(place);
    const isCorner = spatial.every((axis) => position[axis] === 0 || position[axis] === shape[axis]! - 1);
    const size = spatial.reduce((sum, axis, i) => sum + (position[axis] === 0 ? 0 : 0.4 * (i + 1)), 2.2 + ((channel * 0.23) % 1));
    return isCorner ? (channel % 2 ? -size : size) : 0;
  },
  /** A small landscape: a sky that darkens, a bright disc, and furrows that end at a horizon; with little noise. Of other shapes, noise. */
  picture: (place: Place) => {
    const { spatial, level, random, channel } = place;
    if (spatial.length !== 2) return noise(place);
    const [down, right] = spatial.map((axis) => along(place, axis)) as [number, number];
    const isDisc = (down - 0.25) ** 2 + (right - 0.7) ** 2 < 0.03;
    const isGround = down > 0.6 + 0.1 * Math.sin(5 * right);
    const tone = isDisc ? 3 - 0.3 * (channel % 3) : isGround ? 1.6 * Math.sin(40 * (right - 0.5) * (down - 0.4)) - 1 : 1.2 - 3 * down;
    return tone + level + 0.25 * (random() - 0.5);
  },
} as const satisfies Record<string, Fill>;

/** A byte is any, as in a picture; a wider integer may be an index, or yes and no, and is small, unless pictures are asked for. */
function integersOf(dtype: DType, range: Range): readonly [low: number, high: number] {
  if (range === RANGES.zeros) return [0, 0];
  if (dtype === 'uint8') return [0, 255];
  if (dtype === 'int8') return [-128, 127];
  return dtype !== 'bool' && range === RANGES.pixels ? [0, 255] : [0, 1];
}

/** What is left of values where they are held in a port's dtype, so that both sides are fed the same. */
export function asStored(values: Float32Array, dtype: DType): Float32Array {
  if (dtype !== 'float16' && dtype !== 'bfloat16') return values;
  const bytes = castStage('float32', dtype, newCastTally()).apply(new Uint8Array(values.slice().buffer));
  return toFloat32Array(bytes, dtype);
}

/** Uniform numbers in [0, 1): a counter through MurmurHash3's finaliser. */
function generator(seed: number): () => number {
  let counter = seed | 0;
  return () => {
    counter = (counter + 0x9e3779b9) | 0;
    return (mix(counter) >>> 0) / 2 ** 32;
  };
}

function mix(value: number): number {
  let h = value | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}
