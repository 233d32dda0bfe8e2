/**
 * What narrower weights cost in predictions, on inputs that mean something: how often both sides put the same class first, how often that is
 * right where the inputs have labels, and with which certainty so many rows tell it. One softmax value that moved by 0.3 says little: where it
 * is the second of two near ties it decides nothing, and where it is not the top class may be right all the same.
 */
import type { LayerMap } from '../model/layer-map.js';
import { uniqueNames } from '../model/ports.js';
import type { Tensor } from '../model/tensor.js';
import { toArray } from './array.js';
import { LABELS } from './feeds.js';
import type { AgreementReport, ShareReport } from './report.js';
import type { Arrays } from './side.js';

/** Fewer rows prove nothing either way. */
export const MIN_ROWS = 20;
/** Of the normal distribution: 95 % lie within. */
const Z = 1.96;
/** A drop in accuracy is let pass up to here. */
const TOLERATED_DROP = 0.01;
/** What an agreement may be, as far as so many rows tell. Where accuracy stays, a few near ties may fall the other way. */
const LEAST_AGREEMENT = { unlabelled: 0.95, labelled: 0.9 } as const;

export interface AgreementCollector {
  /** Rows of both sides' outputs, in the order of the inputs. */
  add(expected: Arrays, actual: Arrays): void;
  /** For the output whose top class moved most often; null where none is a list of classes, or there are too few rows. */
  report(): AgreementReport | null;
}

/** @param rows that there are; what a last batch was filled up with is no row */
export function collectAgreement(map: Pick<LayerMap, 'outputs'>, rows: number, labels: readonly number[] | null): AgreementCollector {
  const names = uniqueNames(map.outputs.map(({ name }) => name));
  const outputs = names.map((name) => ({ name, found: [] as Row[] }));
  return {
    add(expected, actual) {
      for (const [place, { found }] of outputs.entries()) {
        const [a, b] = [expected[place], actual[place]];
        const classes = a?.shape.slice(1).reduce((product, size) => product * size, 1) ?? 0;
        if (!a || !b || a.data.length !== b.data.length || classes < 2 || a.shape.slice(1).filter((size) => size !== 1).length !== 1) continue;
        for (let row = 0; row < a.data.length && found.length < rows; row += classes) found.push(rowOf(a.data, b.data, row, classes));
      }
    },
    report() {
      const judged = outputs.filter(({ found }) => found.length >= MIN_ROWS).map(({ name, found }) => judge(name, found, labels));
      return judged.sort((a, b) => a.same.share - b.same.share)[0] ?? null;
    },
  };
}

interface Row {
  /** The class that each side puts first; null where a value is NaN. */
  readonly expected: number | null;
  readonly actual: number | null;
  /** How far the first class is ahead of the second on the expected side, of the largest value. */
  readonly margin: number;
}

function rowOf(a: ArrayLike<number | bigint>, b: ArrayLike<number | bigint>, start: number, classes: number): Row {
  const [first, second] = topTwo(a, start, classes);
  const [other] = topTwo(b, start, classes);
  const at = (index: number | null) => (index === null ? 0 : Number(a[start + index]));
  const scale = Math.abs(at(first)) || 1;
  return { expected: first, actual: other, margin: (at(first) - at(second)) / scale };
}

function topTwo(values: ArrayLike<number | bigint>, start: number, classes: number): [number | null, number | null] {
  let [first, second] = [-1, -1];
  for (let i = 0; i < classes; i++) {
    const value = Number(values[start + i]);
    if (Number.isNaN(value)) return [null, null];
    if (first < 0 || value > Number(values[start + first])) [first, second] = [i, first];
    else if (second < 0 || value > Number(values[start + second])) second = i;
  }
  return [first, second];
}

function judge(output: string, rows: readonly Row[], labels: readonly number[] | null): AgreementReport {
  const isSame = ({ expected, actual }: Row) => expected !== null && expected === actual;
  const same = share(rows.filter(isSame).length, rows.length);
  const margins = { all: median(rows.map(({ margin }) => margin))!, moved: median(rows.filter((row) => !isSame(row)).map(({ margin }) => margin)) };
  if (!labels || labels.length < rows.length) return { output, same, margins, accuracy: null, passed: same.high >= LEAST_AGREEMENT.unlabelled };
  const right = (side: 'expected' | 'actual') => rows.filter((row, i) => row[side] === labels[i]).length;
  const lost = rows.filter((row, i) => row.expected === labels[i] && row.actual !== labels[i]).length;
  const gained = rows.filter((row, i) => row.expected !== labels[i] && row.actual === labels[i]).length;
  const accuracy = { expected: share(right('expected'), rows.length), actual: share(right('actual'), rows.length), lost, gained };
  const passed = leastDrop(lost, gained, rows.length) <= TOLERATED_DROP && same.high >= LEAST_AGREEMENT.labelled;
  return { output, same, margins, accuracy, passed };
}

/** How far accuracy has dropped at least: both sides saw the same rows, so that only those count on which they differ (McNemar). */
function leastDrop(lost: number, gained: number, rows: number): number {
  const drop = (lost - gained) / rows;
  return drop - (Z * Math.sqrt(Math.max(0, lost + gained - (lost - gained) ** 2 / rows))) / rows;
}

/** A share of so many rows, and between which shares it lies with 95 % certainty (Wilson 1927). */
export function share(count: number, of: number): ShareReport {
  const p = count / of;
  const middle = p + Z ** 2 / (2 * of);
  const spread = Z * Math.sqrt((p * (1 - p)) / of + Z ** 2 / (4 * of ** 2));
  const scale = 1 + Z ** 2 / of;
  return { count, of, share: p, low: Math.max(0, (middle - spread) / scale), high: Math.min(1, (middle + spread) / scale) };
}

/** What was found, in a sentence. */
export function describeAgreement({ same, accuracy, margins }: AgreementReport): string {
  const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
  const interval = ({ low, high }: ShareReport) => `${percent(low)} to ${percent(high)}`;
  const parts = [`the same class first for ${same.count} of ${same.of} inputs (with so many: ${interval(same)})`];
  if (accuracy) {
    const { expected, actual, lost, gained } = accuracy;
    parts.push(`right before ${expected.count}, now ${actual.count} (${interval(actual)}; ${lost} lost, ${gained} gained)`);
  }
  if (margins.moved !== null)
    parts.push(`where it moved the first class was ahead by ${percent(margins.moved)} of its value, elsewhere by ${percent(margins.all)} (medians)`);
  return parts.join('; ');
}

function median(values: readonly number[]): number | null {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? null;
}

/** The class of each row, from an array of numbers or of ones among zeros; null where there is none. */
export async function labelsOf(arrays: ReadonlyMap<string, Tensor> | undefined): Promise<readonly number[] | null> {
  const tensor = arrays?.get(LABELS);
  if (!tensor) return null;
  const { shape, data } = await toArray(tensor);
  const values = Array.from(data as ArrayLike<number>, Number);
  const classes = shape.length > 1 ? shape.slice(1).reduce((product, size) => product * size, 1) : 1;
  if (classes === 1) return values;
  return Array.from({ length: values.length / classes }, (_, row) => values.slice(row * classes, (row + 1) * classes).indexOf(1));
}
