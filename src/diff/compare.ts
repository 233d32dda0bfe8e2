/**
 * Two tensors of one shape beside each other: whether their bits are equal, how far their values are apart, and whether the one is the
 * other rounded or scaled. Everything is streamed, and read once where the bits are equal.
 */
import { castStage, newCastTally, toFloat32Array } from '../model/cast.js';
import { type DType, isFloatDType } from '../model/dtype.js';
import { alignedPieces, firstDifference, type Values, valuesOf } from '../model/side-by-side.js';
import { permute, type Tensor } from '../model/tensor.js';
import type { Change, TensorStatistics } from './document.js';
import { quantisationOf, roundedCodes } from './quantised.js';

/** How values that are not the same bits belong together. */
export interface Comparison {
  readonly equal: boolean;
  /** What makes b of a, where something does. */
  readonly changes: readonly Change[];
  /** Null where the bits are equal. */
  readonly statistics: TensorStatistics | null;
  /** What no order of the values alters, of each side; null where the bits are equal. */
  readonly invariants: { readonly a: Invariants; readonly b: Invariants } | null;
}

export interface Invariants {
  readonly min: number;
  readonly max: number;
  readonly sum: number;
  readonly squares: number;
  readonly nonFinite: number;
  /** Of finite values. */
  readonly count: number;
}

/** @param a and b of one shape */
export async function compareTensors(a: Tensor, b: Tensor): Promise<Comparison> {
  const [first, second] = inStoredOrder(a, b);
  if (await haveSameBits(first, second)) return { equal: true, changes: [], statistics: null, invariants: null };
  const survey = await surveyPair(first, second);
  const { statistics, invariants } = survey;
  const named = survey.change ?? (await scaledBy(first, second, survey)) ?? (await quantised(a, b, statistics, invariants));
  return { equal: false, changes: named ? [named] : [], statistics, invariants };
}

/** Both with their axes as the first has them in its file, so that at most one of two large tensors is turned while it is read. */
function inStoredOrder(a: Tensor, b: Tensor): [Tensor, Tensor] {
  const stride = (axis: number) => Math.abs(a.walk.axes[axis]?.[0]?.stride ?? 0);
  const order = a.shape.map((_, axis) => axis).sort((x, y) => stride(y) - stride(x));
  if (a.walk.axes.length !== a.shape.length || order.every((axis, i) => axis === i)) return [a, b];
  return [permute(a, order), permute(b, order)];
}

async function haveSameBits(a: Tensor, b: Tensor): Promise<boolean> {
  if (a.dtype !== b.dtype) return false;
  for await (const [left, right] of alignedPieces(a, b)) if (firstDifference(left, right) >= 0) return false;
  return true;
}

interface Survey {
  readonly statistics: TensorStatistics;
  readonly invariants: { readonly a: Invariants; readonly b: Invariants };
  readonly products: number;
  readonly change: Change | null;
}

/** Everything that one pass can tell. */
async function surveyPair(a: Tensor, b: Tensor): Promise<Survey> {
  const [sideA, sideB] = [newTally(), newTally()];
  let [squares, products, largest, differing, nonFinitePairs] = [0, 0, 0, 0, 0];
  let areExact = isExact(a.dtype) && isExact(b.dtype);
  const roundings = possibleRoundings(a.dtype, b.dtype);
  for await (const [left, right] of alignedPieces(a, b)) {
    const [x, y] = [valuesOf(left, a.dtype), valuesOf(right, b.dtype)];
    for (const rounding of [...roundings]) if (!rounding.holds(x, y)) roundings.delete(rounding);
    addTo(sideA, x);
    addTo(sideB, y);
    for (let i = 0; i < x.length; i++) {
      const v = x[i]!;
      const w = y[i]!;
      const difference = Math.abs(v - w);
      // NaN and infinities: equal where both are the same.
      if (difference - difference !== 0) {
        if (!Object.is(v, w)) {
          differing++;
          nonFinitePairs++;
        }
        continue;
      }
      if (difference !== 0) differing++;
      if (difference > largest) largest = difference;
      squares += difference * difference;
      products += v * w;
    }
  }
  if (differing > 0) areExact = false;
  const isComparable = nonFinitePairs === 0;
  const statistics: TensorStatistics = {
    maxAbsolute: isComparable ? largest : null,
    relativeL2: squares === 0 && isComparable ? 0 : isComparable && sideA.squares > 0 ? Math.sqrt(squares / sideA.squares) : null,
    cosine: sideA.squares > 0 && sideB.squares > 0 ? Math.max(-1, Math.min(1, products / Math.sqrt(sideA.squares * sideB.squares))) : null,
    differing,
    nonFinite: { a: sideA.nonFinite, b: sideB.nonFinite },
  };
  const change: Change | null = areExact
    ? a.dtype === b.dtype
      ? { kind: 'signs-of-zero', text: 'other bits of zeros or NaN', keepsValues: true }
      : { kind: 'stored-as', text: `stored as ${b.dtype} for ${a.dtype}`, keepsValues: true }
    : ([...roundings][0]?.change ?? null);
  return { statistics, invariants: { a: sideA, b: sideB }, products, change };
}

type Tally = { -readonly [Key in keyof Invariants]: Invariants[Key] };

function newTally(): Tally {
  return { min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY, sum: 0, squares: 0, nonFinite: 0, count: 0 };
}

function addTo(tally: Tally, values: Values): void {
  let { min, max, sum, squares, nonFinite } = tally;
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value - value !== 0) {
      nonFinite++;
      continue;
    }
    if (value < min) min = value;
    if (value > max) max = value;
    sum += value;
    squares += value * value;
  }
  tally.min = min;
  tally.max = max;
  tally.sum = sum;
  tally.squares = squares;
  tally.count += values.length - (nonFinite - tally.nonFinite);
  tally.nonFinite = nonFinite;
}

/** Whether numbers hold every value of the dtype. */
function isExact(dtype: DType): boolean {
  return dtype !== 'int64' && dtype !== 'uint64';
}

interface Rounding {
  readonly change: Change;
  holds(a: Values, b: Values): boolean;
}

/** b rounded from a, and a from b, to the floats that are narrower. */
function possibleRoundings(a: DType, b: DType): Set<Rounding> {
  const found = new Set<Rounding>();
  if (!isFloatDType(a) || !isFloatDType(b)) return found;
  for (const dtype of ['float16', 'bfloat16', 'float32'] as const) {
    if (dtype === 'float32' && a !== 'float64' && b !== 'float64') continue;
    found.add({ change: { kind: 'rounded', text: `rounded to ${dtype}`, keepsValues: false }, holds: (x, y) => isRounded(x, y, dtype) });
    found.add({ change: { kind: 'rounded', text: `a is b rounded to ${dtype}`, keepsValues: false }, holds: (x, y) => isRounded(y, x, dtype) });
  }
  return found;
}

/** Looked at before all of a piece is. */
const FIRST_VALUES = 64;

function isRounded(from: Values, to: Values, dtype: 'float16' | 'bfloat16' | 'float32'): boolean {
  const areEqual = (start: number, end: number) => {
    const rounded = rounding(from.slice(start, end), dtype);
    for (let i = 0; i < rounded.length; i++) if (!Object.is(rounded[i], to[start + i]) && rounded[i] !== to[start + i]) return false;
    return true;
  };
  return areEqual(0, FIRST_VALUES) && areEqual(FIRST_VALUES, from.length);
}

function rounding(values: Values, dtype: 'float16' | 'bfloat16' | 'float32'): Values {
  if (dtype === 'float32') return Float32Array.from(values);
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return toFloat32Array(castStage(values instanceof Float32Array ? 'float32' : 'float64', dtype, newCastTally()).apply(bytes), dtype);
}

/** Eight bits leave no more, relatively. */
const QUANTISED = 0.1;
/** How nearly parallel two tensors must be for one to be a multiple of the other, rounded to float32. */
const PARALLEL = 1 - 1e-9;
/** Roundings of float32 that a product takes. */
const SCALE_SLACK = 2 ** -21;

async function scaledBy(a: Tensor, b: Tensor, { statistics, invariants, products }: Survey): Promise<Change | null> {
  if (statistics.cosine === null || Math.abs(statistics.cosine) < PARALLEL || statistics.nonFinite.a + statistics.nonFinite.b > 0) return null;
  const factor = nearNumber(products / invariants.a.squares);
  const least = SCALE_SLACK * 2 ** -20 * Math.max(Math.abs(invariants.b.max), Math.abs(invariants.b.min));
  for await (const [left, right] of alignedPieces(a, b)) {
    const [x, y] = [valuesOf(left, a.dtype), valuesOf(right, b.dtype)];
    for (let i = 0; i < x.length; i++) if (!(Math.abs(y[i]! - factor * x[i]!) <= SCALE_SLACK * Math.abs(y[i]!) + least)) return null;
  }
  return factor === 1 ? null : { kind: 'scaled', text: factor === -1 ? 'negated' : `scaled by ${factorText(factor)}`, keepsValues: false };
}

/** A whole number, or one part of such, that a factor is meant to be. */
function nearNumber(factor: number): number {
  for (const candidate of [Math.round(factor), 1 / Math.round(1 / factor)]) if (Math.abs(candidate / factor - 1) < 1e-7) return candidate;
  return factor;
}

function factorText(factor: number): string {
  const inverse = 1 / factor;
  return Math.abs(factor) < 1 && Number.isInteger(inverse) ? `1/${inverse}` : String(Number(factor.toPrecision(7)));
}

async function quantised(a: Tensor, b: Tensor, { relativeL2, nonFinite }: TensorStatistics, invariants: Survey['invariants']): Promise<Change | null> {
  if (!isFloatDType(a.dtype) || !isFloatDType(b.dtype) || relativeL2 === null || nonFinite.a + nonFinite.b > 0) return null;
  const lost = relativeL2 ** 2 * invariants.a.squares;
  const [stored, other] = [roundedCodes(b, lost), roundedCodes(a, lost)];
  if (stored ?? other) return { kind: 'rounded', text: stored ? `rounded to ${stored}` : `a is b rounded to ${other}`, keepsValues: false };
  if (relativeL2 > QUANTISED) return null;
  const forth = await quantisationOf(a, b, invariants.b);
  const back = forth ?? (await quantisationOf(b, a, invariants.a));
  return back === null ? null : { kind: 'rounded', text: forth ? `rounded to ${forth}` : `a is b rounded to ${back}`, keepsValues: false };
}
