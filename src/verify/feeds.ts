/** Recorded and given arrays, lined up with the ports of a layer map, and cut into the batches that the net takes. */
import { ModelError } from '../errors.js';
import type { EditedMap } from '../model/edited.js';
import type { LayerMap, Port } from '../model/layer-map.js';
import type { Tensor } from '../model/tensor.js';
import { rows, toArray } from './array.js';
import type { NdArray } from './engine.js';
import { asStored } from './inputs.js';
import { alignPorts } from './ports.js';
import type { Arrays, Feeds } from './side.js';

type Named = ReadonlyMap<string, Tensor>;

/** The class of each row, beside inputs: no input itself. */
export const LABELS = 'labels';

/** Rows of arrays, and the runs that they are fed in: one row each, or as many as the net's batch is fixed to. */
export interface GivenRows {
  readonly rows: number;
  /** Rows of one run. */
  readonly batch: number;
  readonly runs: number;
}

export interface GivenInputs extends GivenRows {
  /** A last run that lacks rows has the last one again. */
  sample(run: number): Feeds;
  /** All rows at once. */
  whole(): Feeds;
}

/**
 * The inputs of a golden file.
 *
 * @param edited where the map is not that of the recording any more, which then is of the original
 * @param turned what the changed net is to be fed, for what was recorded
 */
export function recordedInputs(golden: Named, map: LayerMap, edited?: EditedMap, turned?: (feeds: Feeds) => Promise<Feeds>): Promise<GivenInputs> {
  const ports = edited?.original.inputs ?? map.inputs;
  const tensors = pickArrays(golden, 'input', ports);
  const used = edited?.comparable.inputs ?? ports;
  return sampled(
    used,
    used.map(({ name, value }) => {
      const tensor = tensors[ports.findIndex((port) => port.value === value)];
      if (tensor) return tensor;
      const problem = `the recorded file has no input for "${name}": arrays named input, or input:<name>, are expected; it has ${[...golden.keys()].join(', ')}`;
      throw new ModelError('malformed', problem);
    }),
    { turned, rowsOf: map.inputs },
  );
}

/** Inputs that a user gives: by port name, or the only one there is. */
export function givenInputs(inputs: Named, map: LayerMap): Promise<GivenInputs> {
  const arrays = new Map([...inputs].filter(([name]) => name !== LABELS));
  const only = map.inputs.length === 1 && arrays.size === 1 ? [...arrays.values()][0] : undefined;
  const picked = pickArrays(arrays, 'input', map.inputs);
  const otherwiseNamed = (own: string) => [...arrays].find(([name]) => ownName(name, map.inputs) === own)?.[1];
  return sampled(
    map.inputs,
    map.inputs.map(({ name }, i) => {
      const tensor = arrays.get(name) ?? otherwiseNamed(name) ?? picked[i] ?? only;
      if (tensor) return tensor;
      const [some] = inputs.values();
      throw new ModelError('usage', `there is no input for "${name}"; the file has ${[...inputs.keys()].join(', ')}`, { file: some?.origin.file });
    }),
  );
}

/** @param options `turned`: what is fed for what was given; `rowsOf`: the ports whose batch is fed, where it is not that of `ports` */
async function sampled(
  ports: readonly Port[],
  tensors: readonly Tensor[],
  { turned, rowsOf = ports }: { turned?: (feeds: Feeds) => Promise<Feeds>; rowsOf?: readonly Port[] } = {},
): Promise<GivenInputs> {
  const own: NdArray[] = [];
  for (const [i, port] of ports.entries()) {
    const array = await toArray(tensors[i]!);
    const shape = shapeFor(port, array.shape);
    if (!shape) {
      const problem = `the input for "${port.name}" has the shape [${array.shape}], but the model takes [${port.shape}] (${port.layout})`;
      throw new ModelError('malformed', `${problem}${reshapeHint(port, array.shape)}`, { file: tensors[i]!.origin.file });
    }
    if (array.data.length === 0)
      throw new ModelError('malformed', `the input for "${port.name}" has the shape [${array.shape}], in which there is nothing to run`, {
        file: tensors[i]!.origin.file,
      });
    own.push({ shape, data: array.data instanceof Float32Array ? asStored(array.data, port.dtype) : array.data });
  }
  const arrays = turned ? await turned(own) : own;
  const count = arrays[0]?.shape[0] ?? 1;
  // Lists of other lengths are no rows of one batch, whatever their axes are called: all is one run.
  if (arrays.some(({ shape }) => (shape[0] ?? 1) !== count)) return { rows: 1, batch: 1, runs: 1, sample: () => arrays, whole: () => arrays };
  const fixed = rowsOf.find(({ shape }) => typeof shape[0] === 'number')?.shape[0];
  const batch = typeof fixed === 'number' && fixed > 0 ? fixed : 1;
  return {
    rows: count,
    batch,
    runs: Math.ceil(count / batch),
    sample: (run) => arrays.map((array) => batchOf(array, run * batch, batch, count)),
    whole: () => arrays,
  };
}

/** Some of the rows, spread evenly over whole runs: as many as are asked for, or a few more. */
export interface SomeInputs extends GivenInputs {
  /** Index of each row among all of them. */
  readonly places: readonly number[];
}

/** @param most rows */
export function someInputs(given: GivenInputs, most: number): SomeInputs {
  const { rows: all, batch } = given;
  const count = Math.min(given.runs, Math.ceil(most / batch));
  const runs = Array.from({ length: count }, (_, i) => Math.floor((i * given.runs) / count));
  const places = runs.flatMap((run) => Array.from({ length: Math.min(batch, all - run * batch) }, (_, i) => run * batch + i));
  return { ...given, rows: places.length, runs: count, sample: (run) => given.sample(runs[run]!), places };
}

/** All rows in one run, as a recording wants that cannot be cut into rows. */
export function asWhole(given: GivenInputs): GivenInputs {
  return { ...given, batch: given.rows, runs: 1, sample: given.whole };
}

/** Rows [start, start + batch) of an array whose first axis has so many for each of `count` rows; the last one fills what is lacking. A single number stays one. */
export function batchOf(array: NdArray, start: number, batch: number, count: number): NdArray {
  if (array.shape.length === 0) return array;
  const each = array.shape[0]! / count;
  const found = rows(array, start * each, Math.min(start + batch, count) * each);
  const lacking = start + batch - count;
  if (lacking <= 0) return found;
  const last = rows(array, (count - 1) * each, count * each);
  return joinRows([found, ...Array.from({ length: lacking }, () => last)]);
}

/**
 * A run of any number of rows, by one that takes so many at a time: the last time it lacks some, and has the last one again.
 *
 * @param batch null: the run takes any number
 */
export function inBatches(run: (feeds: Feeds) => Promise<Arrays>, batch: number | null): (feeds: Feeds) => Promise<Arrays> {
  if (batch === null) return run;
  return async (feeds) => {
    const count = feeds[0]?.shape[0] ?? 1;
    if (count === batch) return run(feeds);
    const parts: Arrays[] = [];
    for (let start = 0; start < count; start += batch) {
      const made = await run(feeds.map((array) => batchOf(array, start, batch, count)));
      const filled = Math.min(batch, count - start);
      parts.push(made.map((array) => array && (isCut(array, batch) ? batchOf(array, 0, filled, batch) : array)));
    }
    return parts[0]!.map((array, i) => array && joinRows(parts.map((part) => part[i]!)));
  };
}

/** Arrays one after the other along their first axis. */
export function joinRows(parts: readonly NdArray[]): NdArray {
  const [first] = parts;
  const data = new Float64Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  let at = 0;
  for (const part of parts) {
    data.set(Float64Array.from(part.data as ArrayLike<number>, Number), at);
    at += part.data.length;
  }
  const isFloat = parts.every((part) => part.data instanceof Float32Array);
  const shape = [parts.reduce((sum, part) => sum + part.shape[0]!, 0), ...first!.shape.slice(1)];
  return { shape, data: isFloat ? Float32Array.from(data) : data };
}

/** The array's shape as the port has it, which may have further axes of one; null where it does not fit. */
function shapeFor({ shape }: Port, found: readonly number[]): readonly number[] | null {
  const fits = (sizes: readonly number[]) =>
    sizes.length === shape.length && shape.every((size, axis) => axis === 0 || typeof size === 'string' || size === sizes[axis]);
  if (fits(found)) return found;
  const missing = shape.findLastIndex((size, axis) => axis > 0 && size === 1);
  const grown = missing > 0 ? found.toSpliced(missing, 0, 1) : found;
  return fits(grown) ? grown : null;
}

/** The line of NumPy that makes an array fit which has its axes in another order, or no batch; '' where neither is why. */
function reshapeHint(port: Port, found: readonly number[]): string {
  const fits = (shape: readonly number[]) => shapeFor(port, shape) !== null;
  const last = found.length - 1;
  const middle = Array.from({ length: Math.max(0, last - 1) }, (_, axis) => axis + 1);
  const orders = [
    { order: [0, ...middle.map((axis) => axis + 1), 1], what: 'channels-first' },
    { order: [0, last, ...middle], what: 'channels-last' },
  ];
  const turned = found.length > 2 ? orders.find(({ order }) => fits(order.map((axis) => found[axis]!))) : undefined;
  if (turned) return `. It looks ${turned.what}: np.transpose(x, (${turned.order.join(', ')})) puts its axes in order.`;
  return fits([1, ...found]) ? '. It has no batch axis: x[None] adds one.' : '';
}

/**
 * The arrays of ports: 'output:<name>', 'output_<i>', or plain 'output' where there is one. Names are compared as those of ports are,
 * so that those which TensorFlow gives in two spellings find each other.
 */
export function pickArrays(arrays: Named, word: 'input' | 'output', ports: readonly Port[]): (Tensor | undefined)[] {
  const prefix = `${word}:`;
  const named = [...arrays]
    .filter(([name]) => name.startsWith(prefix))
    .map(([name, tensor]) => ({ name: ownName(name.slice(prefix.length), ports), shape: tensor.shape, tensor }));
  const { places, by } = alignPorts(ports, named);
  const isNamed = by === 'name' || by === 'convention' || named.length === ports.length;
  return ports.map(({ name }, i) => {
    const place = places[i] ?? null;
    const own = place === null || !(isNamed || named[place]!.name === name) ? undefined : named[place]!.tensor;
    return own ?? arrays.get(`${word}_${i}`) ?? (ports.length === 1 ? arrays.get(word) : undefined);
  });
}

/** The port's name, where an array has another one that the source gives it, or that of TensorFlow's node without the number of its output. */
function ownName(name: string, ports: readonly Port[]): string {
  const port =
    ports.find((each) => each.name === name) ?? ports.find(({ alias }) => alias === name) ?? ports.find((each) => nodeOf(each.name) === nodeOf(name));
  return port?.name ?? name;
}

function nodeOf(name: string): string {
  return name.replace(/:0$/, '');
}

/** Whether an array has some rows for each of `count`, so that it can be cut. */
export function isCut(array: NdArray, count: number): boolean {
  return array.shape.length > 0 && array.shape[0]! % count === 0;
}

/** Feeds of several runs, one after the other along the batch. */
export function joinFeeds(feeds: readonly Feeds[]): Feeds {
  return feeds[0]!.map((_, port) => joinRows(feeds.map((feed) => feed[port]!)));
}

/** One run's part of what a batch of runs gave; undefined where an output has no rows for each. */
export function partOf(results: Arrays, run: number, runs: number): Arrays {
  return results.map((array) => array && (isCut(array, runs) ? batchOf(array, run, 1, runs) : undefined));
}
