/** Two tensors that belong together: equal, equal after a change that has a name, close or different. */
import { countValues } from '../model/histogram.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import type { Couple } from './align.js';
import { arrangements, haveSameValues, mayBePermuted, permutedRows, probe } from './arrangement.js';
import { type Comparison, compareTensors, type Invariants } from './compare.js';
import type { Change, TensorDiff, TensorStatus } from './document.js';
import type { Part } from './parts.js';
import { storedChanges } from './stored-order.js';

export interface PairOptions {
  /** Whether both are laid out as the layer map has them, so that another order is another net. */
  readonly isOriented: boolean;
  readonly histograms: boolean;
}

/** Further apart than this, relatively, the one says little of the other. */
const CLOSE = 0.1;
/** Rounding in the sums that fold a normalisation, relative to the largest value. */
const FOLDED_SLACK = 2e-6;
/** How nearly parallel the first values are at least in the right order; in a wrong one they have little in common. */
const RIGHT_ORDER = 0.9;

export async function diffCouple({ a, b, by }: Couple, options: PairOptions): Promise<TensorDiff> {
  // A product with [in, out] and one with [out, in] are laid out otherwise and mean the same.
  const isOriented = options.isOriented && a.op === b.op;
  const found = await bestComparison(a.tensor, b.tensor, isOriented);
  const folded: Change[] = a.folded || b.folded ? [{ kind: 'batch-norm-folded', text: 'batch normalisation folded', keepsValues: false }] : [];
  const isFolded = folded.length > 0 && found !== null && isWithin(found.comparison, FOLDED_SLACK);
  const stored = found !== null && found.arrangement.length === 0 && isOriented && folded.length === 0 ? storedChanges(a.tensor, b.tensor) : [];
  const named = [...(found?.arrangement ?? []), ...(found?.comparison.changes ?? [])];
  const changes = [...folded, ...stored, ...named];
  const isEqual = found !== null && (found.comparison.equal || found.comparison.changes.length > 0 || isFolded);
  const status: TensorStatus = isEqual ? (changes.length > 0 ? 'changed' : 'equal') : isClose(found?.comparison) ? 'close' : 'different';
  return {
    status,
    ...labelsOf(a, b),
    count: elementCount(a.tensor.shape),
    a: placeOf(a),
    b: placeOf(b),
    alignedBy: by,
    changes,
    statistics: found?.comparison.statistics ?? null,
    histograms: options.histograms && found?.comparison.invariants ? await histogramsOf(a.tensor, b.tensor, found.comparison.invariants) : null,
    elsewhere: null,
  };
}

/** A tensor that the other file has not. */
export function alone(part: Part, status: 'only-in-a' | 'only-in-b'): TensorDiff {
  const place = placeOf(part);
  return {
    status,
    ...labelsOf(part, part),
    count: elementCount(part.tensor.shape),
    a: status === 'only-in-a' ? place : null,
    b: status === 'only-in-b' ? place : null,
    alignedBy: null,
    changes: [],
    statistics: null,
    histograms: null,
    elsewhere: null,
  };
}

function labelsOf(a: Part, b: Part): { layer: string; role: string } {
  const titled = a.canonical === null && b.canonical !== null ? b : a;
  return { layer: titled.title, role: titled.role };
}

function placeOf({ tensor, layer, storedName }: Part) {
  return { name: storedName, layer, dtype: tensor.dtype, shape: tensor.shape };
}

function isClose(comparison: Comparison | undefined): boolean {
  const distance = comparison?.statistics?.relativeL2 ?? null;
  return distance !== null && distance <= CLOSE;
}

function isWithin({ equal, statistics, invariants }: Comparison, slack: number): boolean {
  if (equal) return true;
  const scale = invariants ? Math.max(Math.abs(invariants.b.max), Math.abs(invariants.b.min)) : 0;
  return statistics !== null && statistics.maxAbsolute !== null && statistics.maxAbsolute <= slack * scale;
}

interface Best {
  readonly arrangement: readonly Change[];
  readonly comparison: Comparison;
}

/** As they are, and where that shows nothing, in the orders that the values allow; null where no order fits the shapes. */
async function bestComparison(a: Tensor, b: Tensor, isOriented: boolean): Promise<Best | null> {
  const isSameShape = a.shape.join() === b.shape.join();
  const plain = isSameShape ? await compareTensors(a, b) : null;
  if (plain && (plain.equal || plain.changes.length > 0 || isClose(plain))) return { arrangement: [], comparison: plain };
  const invariants = plain?.invariants ?? null;
  if (invariants && !mayBePermuted(invariants.a, invariants.b)) return { arrangement: [], comparison: plain! };
  const mean = (changes: readonly Change[]) => (isOriented ? changes.map((change) => ({ ...change, keepsValues: false })) : changes);
  let other: Best | null = null;
  for (const { tensor, changes } of arrangements(a, b, true)) {
    if (Math.abs(await probe(tensor, b)) < RIGHT_ORDER) continue;
    const comparison = await compareTensors(tensor, b);
    if (comparison.equal || comparison.changes.length > 0) return { arrangement: mean(changes), comparison };
    if (isClose(comparison)) other ??= { arrangement: mean(changes), comparison };
  }
  if (other) return other;
  // Of another shape, and in no order equal: the first that fits is as good as any.
  const turned = [...arrangements(a, b, false)];
  const [first] = plain ? [{ tensor: a, changes: [] }] : turned;
  if (!first) return null;
  const comparison = plain ?? (await compareTensors(first.tensor, b));
  if (comparison.invariants && haveSameValues(comparison.invariants.a, comparison.invariants.b)) {
    for (const { tensor, changes } of plain ? [first, ...turned] : turned) {
      const rows = await permutedRows(tensor, b);
      if (rows) return { arrangement: mean([...changes, ...rows.changes]), comparison: { ...comparison, equal: true } };
    }
  }
  return { arrangement: mean(first.changes), comparison };
}

async function histogramsOf(a: Tensor, b: Tensor, invariants: { readonly a: Invariants; readonly b: Invariants }) {
  const lows = [invariants.a, invariants.b].filter(({ count }) => count > 0);
  const range = { min: Math.min(...lows.map(({ min }) => min)), max: Math.max(...lows.map(({ max }) => max)) };
  if (lows.length === 0) return null;
  return { ...range, a: await countValues(a, range), b: await countValues(b, range) };
}
