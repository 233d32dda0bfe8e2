/** How much work one sample is, which decides how many are run. */
import { ModelError } from '../errors.js';
import { DTYPE_BYTES } from '../model/dtype.js';
import type { Dim, Layer, LayerMap } from '../model/layer-map.js';
import { withKnown } from '../model/numbers.js';
import { elementCount } from '../model/tensor.js';
import { FREE_SIZE, shapesFed } from './inputs.js';

/** Multiplications of one sample beyond which fewer samples are run: ten of VGG16's 15.5 billion would take minutes on a CPU. */
const SMALL_NET = 5e8;
/** Beyond which two are: plain numbers, and such as the net was made for. TensorFlow.js takes three seconds for one of VGG16's. */
const LARGE_NET = 5e9;
const SAMPLES = { small: 10, large: 4, huge: 2 } as const;
/** Bytes of weights from which runtimes of both sides are not held in memory at once where one will do. */
const HEAVY_BYTES = 2 ** 27;

/** Values of layers, as float32, that are held so that only one of two heavy runtimes is: VGG16 makes 120 MB of one picture, ResNet-152 some 260. */
const MOST_HELD_BYTES = 2 ** 28 + 2 ** 26;

/** A value of 256 MiB in float32: 64 channels of 1024 x 1024. Runtimes hold several such, and do not say so before the memory is gone. */
const MAX_VALUE_ELEMENTS = 2 ** 26;
const POOLINGS: ReadonlySet<string> = new Set(['MaxPool', 'AveragePool', 'LpPool']);
/** Values that poolings look at: a minute of our evaluator's. */
const MAX_READS = 2 ** 35;
/** Those of one line of windows, whose places it holds. */
const MAX_LINE_READS = 2 ** 28;
/** Operators that repeat the graph inside of them, where they are kept as they came. */
const REPEATING: ReadonlySet<string> = new Set(['Loop', 'Scan', 'While', 'StatelessWhile']);
/** Steps of all loops whose number the file says: five seconds of the fastest, and more than any sequence is long that a net is given. */
const MAX_STEPS = 1e5;
/** Of a batch that is tried. */
const MOST_ROWS = 3;

/**
 * Refuses to run what no machine holds: a small file may ask for a padding of two thousand million.
 *
 * @throws ModelError 'engine' naming the layer or input
 */
export function checkSizes(map: LayerMap): void {
  const shapes = shapesFed(map, MOST_ROWS);
  for (const layer of map.layers) {
    const problem = tooManyReads(layer, (shapes.get(layer.outputs[0]!) ?? []).map(triedSize));
    if (problem) throw new ModelError('engine', `${problem}. --no-verify converts without running.`, { layer: layer.name });
  }
  const makers = [...map.inputs.map(({ name, value }) => ({ name, outputs: [value] })), ...map.layers];
  for (const { name, outputs } of makers) {
    const shape = outputs.map((output) => shapes.get(output) ?? []).find((sizes) => elementCount(sizes.map(triedSize)) > MAX_VALUE_ELEMENTS);
    if (!shape) continue;
    const problem = `its values have the shape [${shape}], and at most ${MAX_VALUE_ELEMENTS} elements are run. --no-verify converts without running.`;
    throw new ModelError('engine', problem, { layer: name });
  }
}

/** A pooling's kernel is two numbers, however much it looks at. */
function tooManyReads({ op, attributes }: Layer, made: readonly number[]): string | null {
  const { kernel_shape: kernel } = attributes;
  if (!POOLINGS.has(op) || !Array.isArray(kernel)) return null;
  const size = elementCount(kernel as number[]);
  if (size * elementCount(made) <= MAX_READS && size * (made.at(-1) ?? 1) <= MAX_LINE_READS) return null;
  return `windows of ${kernel.join(' x ')} at each of [${made}] places read more values than are run`;
}

/**
 * Refuses ranges between stored ends that no machine holds: where these are no whole numbers, no shape says how long they are.
 *
 * @throws ModelError 'engine' naming the range
 */
export async function checkRanges({ layers }: Pick<LayerMap, 'layers'>): Promise<void> {
  const constants = new Map(layers.flatMap(({ op, outputs, weights }) => (op === 'Constant' && weights.value ? [[outputs[0], weights.value] as const] : [])));
  for (const { name, op, inputs } of layers) {
    if (op !== 'Range') continue;
    const ends = inputs.map((input) => constants.get(input));
    const [from, to, by] = await Promise.all(ends.map(async (end) => end && (await withKnown(end)).known?.[0]));
    if (from === undefined || to === undefined || by === undefined || !((to - from) / by > MAX_VALUE_ELEMENTS)) continue;
    const problem = `a range from ${from} to ${to} in steps of ${by}, and at most ${MAX_VALUE_ELEMENTS} elements are run. --no-verify converts without running.`;
    throw new ModelError('engine', problem, { layer: name });
  }
}

/**
 * Refuses to run what would not end: a few bytes may ask for a thousand million steps.
 *
 * @throws ModelError 'engine' naming the loop
 */
export function checkSteps({ layers }: Pick<LayerMap, 'layers'>): void {
  let sum = 0;
  for (const { name, foreign: { steps = 0 } = {} } of layers) {
    sum += steps;
    if (sum <= MAX_STEPS) continue;
    if (sum >= 2 ** 62)
      throw new ModelError('engine', 'it repeats without end, or so often that none is seen. --no-verify converts without running.', { layer: name });
    const what = steps === sum ? `it repeats ${steps} times, loops within loops multiplied` : `with the loops before it, it repeats ${sum} times`;
    throw new ModelError('engine', `${what}, and at most ${MAX_STEPS} steps are run. --no-verify converts without running.`, { layer: name });
  }
}

/** What values decide is not known before they are there. */
function sizeOf(dim: Dim): number {
  return typeof dim === 'number' ? dim : FREE_SIZE;
}

/** A free batch is run with a few rows; other free sizes are larger. */
function triedSize(dim: Dim, axis: number): number {
  return typeof dim !== 'number' && axis === 0 ? MOST_ROWS : sizeOf(dim);
}

export function isLarge(map: LayerMap): boolean {
  return multiplications(map) > SMALL_NET;
}

export function isHuge(map: LayerMap): boolean {
  return multiplications(map) > LARGE_NET;
}

/** How much of a net is run. */
export interface Effort {
  /** How many inputs are generated where nobody says. */
  readonly samples: number;
  /** How many of them are looked at layer by layer, or run by our evaluator beside another witness. */
  readonly few: number;
}

export function effortFor(isLargeNet: boolean, isHugeNet = false): Effort {
  return isLargeNet ? { samples: isHugeNet ? SAMPLES.huge : SAMPLES.large, few: 1 } : { samples: SAMPLES.small, few: 2 };
}

/** Whether its weights take so much that two runtimes at once are too many. */
export function isHeavy({ layers }: LayerMap): boolean {
  const bytes = layers.flatMap(({ weights }) => Object.values(weights)).reduce((sum, { dtype, shape }) => sum + DTYPE_BYTES[dtype] * elementCount(shape), 0);
  return bytes > HEAVY_BYTES;
}

/** Whether what its layers make of so many samples is held, for its runtimes are too much to be held beside each other. */
export function mayHold(map: LayerMap, samples: number): boolean {
  return isHeavy(map) && 4 * samples * valuesMade(map) <= MOST_HELD_BYTES;
}

/**
 * Whether runtimes run it in processes of their own, where there is a host for them: it takes much memory, or it repeats something, nobody knows how often,
 * and a process can be ended.
 */
export function isApart(map: LayerMap): boolean {
  const repeats = ({ foreign }: Layer) => foreign !== undefined && [foreign.op, ...(foreign.spoken?.operators ?? [])].some((op) => REPEATING.has(op));
  return isHeavy(map) || map.layers.some(repeats);
}

/** For one sample: every kernel once for each place, or row, of its layer's output; products of two values likewise. */
export function multiplications(map: LayerMap): number {
  const shapes = shapesFed(map);
  const [picture] = map.inputs.filter(({ shape }) => shape.length > 2);
  const [batch = 1] = picture?.shape ?? [];
  const count = (value: string | undefined, start: number, end?: number) =>
    elementCount((shapes.get(value!) ?? []).slice(start, end).map((dim, i) => (start + i === 0 && typeof dim !== 'number' ? 1 : sizeOf(dim))));
  // Windows of a picture stand beside each other as pictures of a batch do.
  const rows = (value: string | undefined) => count(value, 0, -1) / (typeof batch === 'number' && batch > 0 ? batch : 1);
  return map.layers.reduce((sum, { op, inputs, outputs, weights: { kernel } }) => {
    if (op === 'MatMul') return sum + rows(outputs[0]) * count(outputs[0], -1) * count(inputs[0], -1);
    if (!kernel) return sum;
    // A transposed convolution uses its kernel once for each place of its input.
    const value = op === 'ConvTranspose' ? inputs[0] : outputs[0];
    return sum + elementCount(kernel.shape) * (op === 'Conv' || op === 'ConvTranspose' ? count(value, 2) : 1);
  }, 0);
}

/** How many numbers the layers make of one sample. */
export function valuesMade(map: LayerMap): number {
  const shapes = shapesFed(map);
  const ofOne = (dim: Dim, axis: number) => (axis === 0 && typeof dim !== 'number' ? 1 : sizeOf(dim));
  const values = map.layers.flatMap(({ outputs }) => outputs);
  return values.reduce((sum, value) => sum + elementCount((shapes.get(value) ?? []).map(ofOne)), 0);
}
