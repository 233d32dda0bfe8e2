/**
 * Compares outputs value by value, and adds up what was found over all samples.
 *
 * NaN and infinities are counted and never compared: two NaN are no agreement, for whatever computes nonsense computes the same nonsense.
 */
import type { NdArray } from './engine.js';
import type { NonFinite, OutputReport } from './report.js';
import { places } from './rounding.js';

export interface Tolerance {
  readonly atol: number;
  readonly rtol: number;
  readonly why: string;
  /** What one rounding does, of the scale, where the tolerance follows from that; null where it comes from elsewhere. */
  readonly rounding?: number | null;
  /**
   * For the input on which the tolerance was measured, where places along an axis differ much in size there: rtol for each group of them, of
   * the group's own scale and never more than the whole's. On another input other places may be small.
   */
  readonly groups?: { readonly axis: number; readonly groupOf: readonly number[]; readonly rtol: readonly number[] };
  /** rtol that rounding asks for, where that is more than is let pass. */
  readonly uncapped?: number;
  /** Of single outputs, by place. */
  readonly each?: readonly Tolerance[];
}

/** Below this part of an output's scale a relative error says nothing. */
const TINY = 1e-3;
/** Up to this many values along the last axis may be classes. */
export const MIN_CLASSES = 2;

export interface OutputComparison {
  /**
   * One sample's output; a difference in shape is a mismatch.
   *
   * @param slack rtol for this sample, where that is more than the tolerance's own
   * @param isMeasured whether it is the sample on which the tolerance was measured
   */
  add(expected: NdArray, actual: NdArray, slack?: number, isMeasured?: boolean): void;
  report(): OutputReport;
  /** The smallest rtol, with the same atol, under which everything would have passed. */
  smallestRtol(): number;
  readonly problem: string | null;
}

/**
 * A value passes when |expected - actual| <= atol + rtol * max|expected|, the maximum over the sample's whole output.
 *
 * @param what what it is, for messages
 */
export function compareOutput(name: string, { atol, rtol, groups }: Tolerance, what: 'output' | 'layer' = 'output'): OutputComparison {
  let [compared, maxAbsolute, maxRelative, relativeToScale, smallest] = [0, 0, 0, 0, 0];
  const nonFinite = { expected: 0, actual: 0 };
  let [dot, normExpected, normActual] = [0, 0, 0];
  let [same, of] = [0, 0];
  let worst: OutputReport['worst'] = null;
  let worstRatio = -1;
  let ofAllowed = 0;
  let passed = true;
  let isEmpty = false;
  let problem: string | null = null;
  const fail = (message: string) => {
    passed = false;
    problem ??= message;
  };

  const isNonsense = () => nonFinite.expected + nonFinite.actual > 0;

  return {
    get problem() {
      return problem ?? (what === 'output' && isNonsense() ? `output "${name}" ${describeNonFinite(nonFinite)}` : null);
    },
    add(expected, actual, slack = 0, isMeasured = false) {
      const trim = (shape: readonly number[]) => shape.filter((size) => size !== 1).join(' x ');
      if (expected.data.length !== actual.data.length || trim(expected.shape) !== trim(actual.shape)) {
        fail(`${what} "${name}" has the shape [${actual.shape}], expected [${expected.shape}]`);
        return;
      }
      if (expected.data.length === 0) isEmpty = true;
      const scale = largestFinite(expected.data);
      const whole = atol + Math.max(rtol, slack) * scale;
      const boundOf = groupBounds(expected, isMeasured ? groups : undefined, { atol, whole });
      const plain = boundOf === null ? plainDistances(expected.data, actual.data, { scale, bound: whole }) : null;
      if (plain) {
        compared += expected.data.length;
        dot += plain.dot;
        normExpected += plain.normExpected;
        normActual += plain.normActual;
        maxRelative = Math.max(maxRelative, plain.maxRelative);
        const { at, largest } = plain;
        maxAbsolute = Math.max(maxAbsolute, largest);
        if (scale > 0) relativeToScale = Math.max(relativeToScale, largest / scale);
        if (largest > atol && (slack <= rtol || largest > whole))
          smallest = Math.max(smallest, scale > 0 ? (largest - atol) / scale : Number.POSITIVE_INFINITY);
        const ratio = whole > 0 ? largest / whole : largest > 0 ? Number.POSITIVE_INFINITY : -1;
        if (ratio > worstRatio) {
          worstRatio = ratio;
          worst = { index: indexOf(at, expected.shape), expected: Number(expected.data[at]), actual: Number(actual.data[at]) };
        }
        ofAllowed = Math.max(ofAllowed, ratio);
        if (plain.beyond !== null) {
          const [a, b] = [Number(expected.data[plain.beyond]), Number(actual.data[plain.beyond])];
          fail(`${what} "${name}" is ${b} at [${indexOf(plain.beyond, expected.shape)}], expected ${a}`);
        }
      }
      for (let i = plain ? expected.data.length : 0; i < expected.data.length; i++) {
        const [a, b] = [Number(expected.data[i]), Number(actual.data[i])];
        if (!Number.isFinite(a) || !Number.isFinite(b)) {
          if (!Number.isFinite(a)) nonFinite.expected++;
          if (!Number.isFinite(b)) nonFinite.actual++;
          if (Object.is(a, b)) continue;
          compared++;
          worst = { index: indexOf(i, expected.shape), expected: a, actual: b };
          [worstRatio, smallest] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
          [maxAbsolute, maxRelative, relativeToScale] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
          ofAllowed = Number.POSITIVE_INFINITY;
          fail(`${what} "${name}" is ${b} at [${indexOf(i, expected.shape)}], expected ${a}`);
          continue;
        }
        compared++;
        const difference = Math.abs(a - b);
        const bound = boundOf ? boundOf(i) : whole;
        dot += a * b;
        normExpected += a * a;
        normActual += b * b;
        maxAbsolute = Math.max(maxAbsolute, difference);
        if (Math.abs(a) > TINY * scale) maxRelative = Math.max(maxRelative, difference / Math.abs(a));
        if (scale > 0) relativeToScale = Math.max(relativeToScale, difference / scale);
        if (difference > atol && (slack <= rtol || difference > bound))
          smallest = Math.max(smallest, scale > 0 ? (difference - atol) / scale : Number.POSITIVE_INFINITY);
        if (difference > worstRatio * bound) {
          worstRatio = bound > 0 ? difference / bound : difference > 0 ? Number.POSITIVE_INFINITY : 0;
          worst = { index: indexOf(i, expected.shape), expected: a, actual: b };
        }
        if (difference > 0) ofAllowed = Math.max(ofAllowed, bound > 0 ? difference / bound : Number.POSITIVE_INFINITY);
        if (difference > bound) fail(`${what} "${name}" is ${b} at [${indexOf(i, expected.shape)}], expected ${a}`);
      }
      const classes = expected.shape.at(-1) ?? 1;
      if (expected.shape.length === 2 && classes >= MIN_CLASSES) {
        for (let row = 0; row < expected.data.length; row += classes) {
          of++;
          const first = argmax(expected.data, row, classes);
          if (first !== null && first === argmax(actual.data, row, classes)) same++;
        }
      }
    },
    report() {
      const cosine = !isNonsense() && normExpected > 0 && normActual > 0 ? dot / Math.sqrt(normExpected * normActual) : null;
      return {
        name,
        compared,
        ...(isEmpty && compared === 0 ? { isEmpty } : {}),
        nonFinite: { ...nonFinite },
        maxAbsolute,
        maxRelative,
        relativeToScale,
        ofAllowed,
        cosine,
        top1: of > 0 ? { same, of } : null,
        worst,
        passed: passed && (what === 'layer' || !isNonsense()),
      };
    },
    smallestRtol: () => smallest,
  };
}

/** Where a group is this small beside another, functions that saturate have nothing left of it: a tail of a softmax, say. */
const BESIDE_LARGE = 2 ** -24;

interface PlainDistances {
  readonly dot: number;
  readonly normExpected: number;
  readonly normActual: number;
  readonly largest: number;
  /** Place of the largest. */
  readonly at: number;
  readonly maxRelative: number;
  /** First place beyond the bound. */
  readonly beyond: number | null;
}

/** What nearly all arrays come to, without looking at each value twice: finite floats under one bound. Null for others. */
function plainDistances(expected: NdArray['data'], actual: NdArray['data'], { scale, bound }: { scale: number; bound: number }): PlainDistances | null {
  if (!isFloats(expected) || !isFloats(actual) || expected.length === 0) return null;
  let [dot, normExpected, normActual, maxRelative] = [0, 0, 0, 0];
  let [largest, at, beyond] = [-1, 0, -1];
  const tiny = TINY * scale;
  for (let i = 0; i < expected.length; i++) {
    const a = expected[i]!;
    const b = actual[i]!;
    const difference = Math.abs(a - b);
    dot += a * b;
    normExpected += a * a;
    normActual += b * b;
    if (difference > largest) {
      largest = difference;
      at = i;
    }
    const size = Math.abs(a);
    if (size > tiny && difference > maxRelative * size) maxRelative = difference / size;
    if (difference > bound && beyond < 0) beyond = i;
  }
  // What is not finite leaves its trace in one of these; so may an overflow, which is looked at more closely then.
  if (!Number.isFinite(normExpected + normActual)) return null;
  return { dot, normExpected, normActual, largest, at, maxRelative, beyond: beyond < 0 ? null : beyond };
}

/** By places: walking through an iterator takes several times as long, and layers have millions of values. */
export function largestFinite(data: NdArray['data']): number {
  let largest = 0;
  for (let i = 0; i < data.length; i++) {
    const size = Math.abs(Number(data[i]));
    if (size > largest && size < Number.POSITIVE_INFINITY) largest = size;
  }
  return largest;
}

function isFloats(data: NdArray['data']): data is Float32Array | Float64Array {
  return data instanceof Float32Array || data instanceof Float64Array;
}

/** How far an element may be off, where places of a group are held to the group's scale; null where one bound holds for all. */
function groupBounds(
  { shape, data }: NdArray,
  groups: Tolerance['groups'],
  { atol, whole }: { readonly atol: number; readonly whole: number },
): ((position: number) => number) | null {
  if (!groups || shape[groups.axis] !== groups.groupOf.length) return null;
  const place = places(shape, groups.axis);
  const scales = new Float64Array(groups.rtol.length);
  for (let i = 0; i < data.length; i++) {
    const value = Math.abs(Number(data[i]));
    const group = groups.groupOf[place(i)]!;
    if (value > scales[group]! && Number.isFinite(value)) scales[group] = value;
  }
  const least = BESIDE_LARGE * Math.max(...scales);
  const bounds = groups.rtol.map((rtol, group) => (scales[group]! <= least ? whole : Math.min(whole, atol + rtol * scales[group]!)));
  return (position) => bounds[groups.groupOf[place(position)]!]!;
}

/** What is said of values that are not finite: they are no match by themselves, though both sides have them. */
export function describeNonFinite({ expected, actual }: NonFinite): string {
  if (expected === actual) return `has ${actual} values that are NaN or infinite, on both sides: that two nets fail alike is no match`;
  return `has ${actual} values that are NaN or infinite, where ${expected} are expected`;
}

/** Null where a NaN is among them: then nothing is the largest. */
function argmax(data: NdArray['data'], start: number, count: number): number | null {
  let best = 0;
  for (let i = 0; i < count; i++) {
    const value = Number(data[start + i]);
    if (Number.isNaN(value)) return null;
    if (value > Number(data[start + best])) best = i;
  }
  return best;
}

function indexOf(position: number, shape: readonly number[]): number[] {
  const index: number[] = [];
  let rest = position;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    index.unshift(rest % shape[axis]!);
    rest = Math.floor(rest / shape[axis]!);
  }
  return index;
}
