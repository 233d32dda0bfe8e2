/** Keeps, while a verification runs, what a report shows of single inputs: pictures and the classes that both sides put first. */
import type { Port } from '../model/layer-map.js';
import { elementCount } from '../model/tensor.js';
import { rows } from '../verify/array.js';
import type { NdArray } from '../verify/engine.js';
import type { Arrays, Feeds } from '../verify/side.js';
import type { RankedClass, Ranking, SampleExhibit } from './exhibits.js';
import { pictureOf } from './picture.js';

/** Inputs shown, and inputs beyond these that are shown because the two sides put different classes first. */
const MAX_SHOWN = 8;
const MAX_DISAGREEING = 8;
const CLASSES_SHOWN = 5;
/** Of a net with many inputs or outputs, the first of them. */
const PORTS_SHOWN = 4;

export interface SampleCollector {
  /** One run of both sides, an array for each port in its layout; see `VerifyOptions.onSample`. */
  add(feeds: Feeds, expected: Arrays, actual: Arrays): void;
  readonly samples: readonly SampleExhibit[];
}

/** @param labels names of classes, by their numbers */
export function collectSamples(inputs: readonly Port[], outputs: readonly Port[], labels: readonly string[] = []): SampleCollector {
  const samples: SampleExhibit[] = [];
  let [seen, agreeing, disagreeing] = [0, 0, 0];
  return {
    samples,
    add(feeds, expected, actual) {
      const batch = Math.max(1, ...inputs.map((_, port) => feeds[port]?.shape[0] ?? 1));
      for (let row = 0; row < batch; row++) {
        const sample = seen++;
        const rankings = outputs.slice(0, PORTS_SHOWN).flatMap(({ name }, port) => {
          const [a, b] = [rowOf(expected[port], row, batch), rowOf(actual[port], row, batch)];
          return a && b && isClassList(a) && a.data.length === b.data.length ? [rankBoth(name, a, b, labels)] : [];
        });
        const differs = rankings.some((ranking) => ranking.expected[0]!.index !== ranking.actual[0]!.index);
        if (differs ? disagreeing >= MAX_DISAGREEING : agreeing >= MAX_SHOWN) continue;
        if (differs) disagreeing++;
        else agreeing++;
        const pictures = inputs.slice(0, PORTS_SHOWN).flatMap((port, place) => {
          const array = feeds[place];
          const picture = array && pictureOf(array, port.layout, row);
          return picture ? [{ port: port.name, picture }] : [];
        });
        if (pictures.length > 0 || rankings.length > 0) samples.push({ sample, pictures, rankings });
      }
    },
  };
}

/** One row of a batch; null where the array has no row for each input. */
function rowOf(array: NdArray | undefined, row: number, batch: number): NdArray | null {
  if (!array || array.shape[0] !== batch) return null;
  return batch === 1 ? array : rows(array, row, row + 1);
}

/** [1, classes], perhaps with further axes of one. */
function isClassList({ shape }: NdArray): boolean {
  const sizes = shape.slice(1).filter((size) => size !== 1);
  return sizes.length === 1 && elementCount(sizes) >= 2;
}

function rankBoth(output: string, expected: NdArray, actual: NdArray, labels: readonly string[]): Ranking {
  return { output, expected: rank(expected, labels), actual: rank(actual, labels), isDistribution: isDistribution(expected) && isDistribution(actual) };
}

/** Of equal values the one with the smaller number is first, on both sides. */
function rank({ data }: NdArray, labels: readonly string[]): RankedClass[] {
  const best: { index: number; value: number }[] = [];
  for (let index = 0; index < data.length; index++) {
    const value = Number(data[index]);
    if (best.length === CLASSES_SHOWN && !isAbove(value, best.at(-1)!.value)) continue;
    const before = best.findIndex((other) => isAbove(value, other.value));
    best.splice(before < 0 ? best.length : before, 0, { index, value });
    if (best.length > CLASSES_SHOWN) best.pop();
  }
  return best.map(({ index, value }) => ({ index, label: labels[index] ?? null, value }));
}

/** NaN is below everything. */
function isAbove(a: number, b: number): boolean {
  return a > b || (Number.isNaN(b) && !Number.isNaN(a));
}

function isDistribution({ data }: NdArray): boolean {
  let sum = 0;
  for (const item of data) {
    const value = Number(item);
    if (!(value >= 0)) return false;
    sum += value;
  }
  return Math.abs(sum - 1) < 1e-2;
}
