/**
 * What single inputs do not show: whether a file computes the rows of a batch as it computes them alone, and whether it takes other sizes
 * than the one that was tried first, where the source leaves both free.
 */
import { isModelError } from '../errors.js';
import type { LayerMap, Port } from '../model/layer-map.js';
import type { Tolerance } from './compare.js';
import { isCut, joinFeeds, partOf } from './feeds.js';
import { FREE_SIZE, freeSizeFor, generateSample, PLAIN } from './inputs.js';
import { compareOutputs } from './outputs.js';
import type { TrialReport } from './report.js';
import type { RunSample } from './samples.js';
import type { Arrays, Feeds, Side } from './side.js';

type Runs = Pick<Side, 'run'>;

export interface Sides {
  readonly map: Pick<LayerMap, 'inputs' | 'outputs' | 'layers'>;
  /** Null where what is expected was recorded, and nothing else can be asked of it. */
  readonly expected: Runs | null;
  readonly actual: Runs;
  /** Between the two sides, and between two runs of the file itself. */
  readonly tolerance: Tolerance;
  readonly own: Tolerance;
  /** Whether the file's weights are narrower: what that costs is judged elsewhere, and on inputs that are generated not at all. */
  readonly isNarrow: boolean;
  /** What differs here is put here, for whoever looks for the layer that is to blame. */
  readonly shown: RunSample[];
}

/** Whether all that a net is fed has rows of a batch of any size. */
export function isBatchFree({ inputs }: Pick<LayerMap, 'inputs'>): boolean {
  return inputs.length > 0 && inputs.every(({ shape }) => typeof shape[0] === 'string');
}

/** Whether some of what a net is fed has such rows; what has none, such as a mask of all rows, is one for the whole batch. */
export function hasBatch({ inputs }: Pick<LayerMap, 'inputs'>): boolean {
  return inputs.some(isRowed);
}

function isRowed({ shape }: Port): boolean {
  return typeof shape[0] === 'string';
}

/** Samples as rows of one batch: what has no rows is the first one's in all of them, and they are run again so. */
export async function withOneOfEach(map: Pick<LayerMap, 'inputs'>, actual: Runs, samples: readonly BatchSample[]): Promise<readonly BatchSample[]> {
  if (samples.length < 2 || isBatchFree(map)) return samples;
  const made: BatchSample[] = [];
  for (const { feeds: own, range } of samples) {
    const feeds = own.map((array, i) => (isRowed(map.inputs[i]!) ? array : samples[0]!.feeds[i]!));
    made.push({ feeds, found: await actual.run(feeds), range });
  }
  return made;
}

/** A sample that was run alone. */
export type BatchSample = Pick<RunSample, 'feeds' | 'found' | 'range'> & Partial<Pick<RunSample, 'wanted'>>;

/** Runs samples that were run alone once more as one batch. Nets that mix the rows of a batch are compared as they mix them. */
export async function tryBatch({ map, expected, actual, tolerance, own, shown }: Sides, samples: readonly BatchSample[]): Promise<TrialReport> {
  const count = samples.length;
  const what = `a batch of ${count}`;
  const trial = (passed: boolean | null, message: string): TrialReport => ({ kind: 'batch', what, passed, message });
  const joined = joinFeeds(samples.map((sample) => sample.feeds));
  const feeds = joined.map((array, i) => (isRowed(map.inputs[i]!) ? array : samples[0]!.feeds[i]!));
  const found = await attempt(actual, feeds);
  const alone = samples.map((sample) => sample.found);
  const apart = typeof found === 'string' ? `the file does not run ${what}: ${found}` : rowsApart(map, found, alone, own);
  if (apart === null) return trial(true, `the rows of ${what} are what they are alone`);
  if (!expected) return trial(false, apart);
  const wanted = await attempt(expected, feeds);
  if (typeof wanted === 'string') return trial(null, `the expected side does not run ${what}: ${wanted}`);
  const source: Arrays[] = [];
  for (const sample of samples) source.push(sample.wanted ?? (await expected.run(sample.feeds)));
  const mixes = rowsApart(map, wanted, source, tolerance) !== null;
  const problem = typeof found === 'string' ? found : wholeApart(map, wanted, found, tolerance);
  if (typeof found !== 'string' && problem !== null) shown.push({ feeds, wanted, found, range: PLAIN });
  if (typeof found === 'string' || !mixes) return trial(false, apart);
  return trial(
    problem === null,
    problem === null ? `the net mixes the rows of ${what}, and the file does as well` : `of ${what}, whose rows the net mixes, ${problem}`,
  );
}

/** Other sizes than the first for what the source leaves free, in the order in which they are tried; multiples of what nets halve. */
const OTHER_SIZES = [64, 48, 16];

/** Shapes are compared, and whether values are numbers. */
const ANY_VALUES: Tolerance = { atol: 1e30, rtol: 1e30, why: '' };

/** Null where every size but the batch is fixed. */
export async function trySizes({ map, expected, actual, tolerance, isNarrow, shown }: Sides, seed: number): Promise<TrialReport | null> {
  const names = [...new Set(map.inputs.flatMap((port) => freeNames(port)))];
  if (names.length === 0 || !expected) return null;
  const usual = freeSizeFor(map);
  const others = OTHER_SIZES.map((size) => (size * usual) / FREE_SIZE);
  for (const size of others) {
    // The first free size alone changes, where there are several: height and width exchanged would hide behind a square.
    const sizes = new Map(names.map((name, i) => [name, i === 0 ? size : usual]));
    const what = names.length === 1 ? `a free size of ${size}` : `free sizes of ${[...sizes.values()].join(' and ')}`;
    const feeds = generateSample(map.inputs, 0, seed, { layers: map.layers, freeSize: (name, axis) => sizes.get(sizeKey(name, axis)) ?? usual });
    const wanted = await attempt(expected, feeds);
    if (typeof wanted === 'string') continue;
    const found = await attempt(actual, feeds);
    const problem = typeof found === 'string' ? `the file does not run: ${found}` : wholeApart(map, wanted, found, tolerance);
    if (problem !== null && isNarrow && typeof found !== 'string' && wholeApart(map, wanted, found, ANY_VALUES) === null) {
      return {
        kind: 'sizes',
        what,
        passed: null,
        message: `${what}: the file runs there as well; how far narrower weights move what it gives there is not judged`,
      };
    }
    if (problem !== null && typeof found !== 'string') shown.push({ feeds, wanted, found, range: PLAIN });
    const message = problem === null ? `${what}: the two agree there as well` : `with ${what}, which the source leaves free, ${problem}`;
    return { kind: 'sizes', what, passed: problem === null, message };
  }
  return { kind: 'sizes', what: 'other free sizes', passed: null, message: `the expected side runs with none of the free sizes ${others.join(', ')}` };
}

function freeNames({ shape }: Port): string[] {
  return shape.flatMap((size, axis) => (axis > 0 && typeof size === 'string' ? [sizeKey(size, axis)] : []));
}

/** A size without a name of its own is another one on each axis. */
function sizeKey(name: string, axis: number): string {
  return name.startsWith('?') ? `${name} ${axis}` : name;
}

async function attempt(side: Runs, feeds: Feeds): Promise<Arrays | string> {
  try {
    return await side.run(feeds);
  } catch (error) {
    if (!isModelError(error)) throw error;
    return error.message;
  }
}

/** How the rows of a batch differ from what they are alone; null where they do not. */
function rowsApart(map: Sides['map'], batch: Arrays, alone: readonly Arrays[], tolerance: Tolerance): string | null {
  const count = alone.length;
  const lost = batch.findIndex((array, port) => array && (!isCut(array, count) || array.shape[0] !== count * (alone[0]![port]?.shape[0] ?? 1)));
  if (lost >= 0) return `output "${map.outputs[lost]!.name}" has the shape [${batch[lost]!.shape}] for a batch of ${count}`;
  for (const [row, single] of alone.entries()) {
    const comparison = compareOutputs(map, tolerance);
    comparison.add(single, partOf(batch, row, count));
    const { problem } = comparison.report();
    if (problem !== null) return `row ${row} of a batch of ${count} is not what it is alone: ${problem}`;
  }
  return null;
}

function wholeApart(map: Sides['map'], wanted: Arrays, found: Arrays, tolerance: Tolerance): string | null {
  const comparison = compareOutputs(map, tolerance);
  comparison.add(wanted, found);
  return comparison.report().problem;
}
