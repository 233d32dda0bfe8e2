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
  /** Whether both sides have the same five classes before all others; null where there are no more than five. */
  readonly isSameFive: boolean | null;
  /** Kullback-Leibler divergence of the expected side's probabilities from the actual side's, in nats; null where either are none. */
  readonly divergence: number | null;
}

const FIVE = 5;
/** What probabilities may miss 1 by, as sums of float16 do. */
const SUM_TOLERANCE = 1e-2;
/** What a probability of nothing counts as, so that one that is lost costs much, and not all. */
const LEAST_PROBABILITY = 1e-12;

function rowOf(a: ArrayLike<number | bigint>, b: ArrayLike<number | bigint>, start: number, classes: number): Row {
  const [first, second] = topTwo(a, start, classes);
  const [other] = topTwo(b, start, classes);
  const at = (index: number | null) => (index === null ? 0 : Number(a[start + index]));
  const scale = Math.abs(at(first)) || 1;
  const [before, after] = [a, b].map((side) => Array.from({ length: classes }, (_, i) => Number(side[start + i])));
  return {
    expected: first,
    actual: other,
    margin: (at(first) - at(second)) / scale,
    isSameFive: classes > FIVE ? isSameFive(a, b, start, classes) : null,
    divergence: divergenceOf(before!, after!),
  };
}

function isSameFive(a: ArrayLike<number | bigint>, b: ArrayLike<number | bigint>, start: number, classes: number): boolean {
  const first = new Set(topFive(a, start, classes));
  return topFive(b, start, classes).every((index) => first.has(index));
}

/** Places of the five largest values of a row; of equals the first. */
export function topFive(values: ArrayLike<number | bigint>, start: number, classes: number): number[] {
  const top: number[] = [];
  const at = (index: number) => Number(values[start + index]);
  for (let index = 0; index < classes; index++) {
    let place = top.length;
    while (place > 0 && at(index) > at(top[place - 1]!)) place--;
    if (place < FIVE) top.splice(place, 0, index);
    if (top.length > FIVE) top.pop();
  }
  return top;
}

function divergenceOf(a: readonly number[], b: readonly number[]): number | null {
  const areProbabilities = (values: readonly number[]) =>
    values.every((value) => value >= 0) && Math.abs(values.reduce((sum, value) => sum + value, 0) - 1) <= SUM_TOLERANCE;
  if (!areProbabilities(a) || !areProbabilities(b)) return null;
  const sum = a.reduce((total, p, i) => (p > 0 ? total + p * Math.log(p / Math.max(b[i]!, LEAST_PROBABILITY)) : total), 0);
  return Math.max(0, sum);
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
  const ofMoved = rows.filter((row) => !isSame(row));
  const margins = { all: median(rows.map(({ margin }) => margin))!, moved: median(ofMoved.map(({ margin }) => margin)), bands: bandsOf(rows, isSame) };
  const judgedFive = rows.filter(({ isSameFive }) => isSameFive !== null);
  const five = judgedFive.length === rows.length ? share(judgedFive.filter(({ isSameFive }) => isSameFive).length, rows.length) : null;
  const found = rows.flatMap(({ divergence }) => divergence ?? []);
  const divergence = found.length === rows.length ? { median: median(found)!, largest: Math.max(...found) } : null;
  const told = { output, same, five, divergence, margins };
  if (!labels || labels.length < rows.length) return { ...told, accuracy: null, passed: same.high >= LEAST_AGREEMENT.unlabelled };
  const right = (side: 'expected' | 'actual') => rows.filter((row, i) => row[side] === labels[i]).length;
  const lost = rows.filter((row, i) => row.expected === labels[i] && row.actual !== labels[i]).length;
  const gained = rows.filter((row, i) => row.expected !== labels[i] && row.actual === labels[i]).length;
  const accuracy = { expected: share(right('expected'), rows.length), actual: share(right('actual'), rows.length), lost, gained };
  const passed = leastDrop(lost, gained, rows.length) <= TOLERATED_DROP && same.high >= LEAST_AGREEMENT.labelled;
  return { ...told, accuracy, passed };
}

const BANDS = 10;

/** Rows by how far the first class was ahead, in tenths of its value. */
function bandsOf(rows: readonly Row[], isSame: (row: Row) => boolean): AgreementReport['margins']['bands'] {
  const bands = Array.from({ length: BANDS }, () => ({ all: 0, moved: 0 }));
  for (const row of rows) {
    const band = bands[Math.min(BANDS - 1, Math.max(0, Math.floor(row.margin * BANDS)))];
    // A row of NaN has no margin.
    if (!band) continue;
    band.all++;
    if (!isSame(row)) band.moved++;
  }
  return bands;
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

const percent = (value: number) => `${(100 * value).toFixed(1)} %`;
const interval = ({ low, high }: ShareReport) => `${percent(low)} to ${percent(high)}`;

/** How often the first class is the same, and between which shares that lies. */
export function describeSame(same: ShareReport): string {
  return `the same class first for ${same.count} of ${same.of} inputs (with so ${same.of < MIN_ROWS ? 'few' : 'many'}: ${interval(same)})`;
}

function describeAccuracy({ expected, actual, lost, gained }: NonNullable<AgreementReport['accuracy']>): string {
  return `right before ${expected.count}, now ${actual.count} (${interval(actual)}; ${lost} lost, ${gained} gained)`;
}

/** What a verdict rests on. */
export function describeBriefly({ same, accuracy }: AgreementReport): string {
  return [describeSame(same), ...(accuracy ? [describeAccuracy(accuracy)] : [])].join('; ');
}

/** All that was found, in a sentence. */
export function describeAgreement({ same, five, divergence, accuracy, margins }: AgreementReport): string {
  const parts = [describeSame(same)];
  // Where nothing moved there is no more to tell.
  const hasMoved = same.count < same.of || (five !== null && five.count < five.of);
  if (hasMoved && five) parts.push(`the same five first for ${five.count} (${interval(five)})`);
  if (hasMoved && divergence) parts.push(`KL divergence ${plain(divergence.median)} nats in the median, ${plain(divergence.largest)} at most`);
  if (accuracy) parts.push(describeAccuracy(accuracy));
  if (margins.moved !== null)
    parts.push(`where it moved the first class was ahead by ${percent(margins.moved)} of its value, elsewhere by ${percent(margins.all)} (medians)`);
  return parts.join('; ');
}

const plain = (value: number) => String(Number(value.toPrecision(2)));

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
