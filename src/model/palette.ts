/** Weights as numbers of a table of few values: a palette. Files keep the table and, for each weight, its place in it. */
import { ModelError } from '../errors.js';
import { castTensor } from './cast.js';
import type { DType } from './dtype.js';
import { type Stage, type Tensor, tensorChunks, withStage } from './tensor.js';

/** value = table[code] */
export interface PaletteCodes {
  readonly kind: 'palette';
  /** Ascending, where it was made here. */
  readonly table: Float32Array;
}

/** Values are put into so many bins of equal width before palettes are chosen: a 200th of the least distance of 64 of them, on average. */
const BINS = 2 ** 14;

/**
 * The values of a palette that lose least when each weight becomes the nearest: k-means in one dimension, where the optimum can be found, by
 * dynamic programming over bins of the values.
 *
 * @param size most values; fewer where the weight has fewer bins
 * @returns ascending
 * @throws ModelError 'unsupported' where values are not finite
 * @see Wang and Song, "Ckmeans.1d.dp", The R Journal 2011; each row by divide and conquer, since borders only move up with the values
 */
export async function paletteOf(tensor: Tensor, size: number): Promise<Float32Array> {
  let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for await (const values of floats(tensor)) {
    for (const value of values) {
      if (value < min) min = value;
      if (value > max) max = value;
      if (value - value !== 0)
        throw new ModelError('unsupported', 'holds NaN or infinite values, which codes cannot hold', { file: tensor.origin.file, tensor: tensor.name });
    }
  }
  const perValue = max > min ? (BINS - 1) / (max - min) : 0;
  const [counts, sums] = [new Float64Array(BINS), new Float64Array(BINS)];
  for await (const values of floats(tensor)) {
    for (const value of values) {
      const bin = Math.round((value - min) * perValue);
      counts[bin] = counts[bin]! + 1;
      sums[bin] = sums[bin]! + value;
    }
  }
  const used = Array.from(counts.keys()).filter((bin) => counts[bin]! > 0);
  const means = clustered(
    used.map((bin) => counts[bin]!),
    used.map((bin) => sums[bin]!),
    Math.min(size, used.length),
  );
  return Float32Array.from(new Set(means.map(Math.fround)));
}

/** The means of so many runs of ascending bins that lose least. */
function clustered(counts: readonly number[], sums: readonly number[], size: number): number[] {
  const bins = counts.length;
  const before = { count: new Float64Array(bins + 1), sum: new Float64Array(bins + 1) };
  for (let i = 0; i < bins; i++) {
    before.count[i + 1] = before.count[i]! + counts[i]!;
    before.sum[i + 1] = before.sum[i]! + sums[i]!;
  }
  // What a run spares of the sum of squares, which is the same however bins are dealt out.
  const spared = (start: number, end: number) => (before.sum[end]! - before.sum[start]!) ** 2 / (before.count[end]! - before.count[start]!);
  let best = Float64Array.from({ length: bins + 1 }, (_, end) => (end === 0 ? 0 : spared(0, end)));
  const starts: Int32Array[] = [new Int32Array(bins + 1)];
  for (let k = 2; k <= size; k++) {
    const [next, from] = [new Float64Array(bins + 1).fill(Number.NEGATIVE_INFINITY), new Int32Array(bins + 1)];
    const open: [low: number, high: number, first: number, last: number][] = [[k, bins, k - 1, bins - 1]];
    for (let part = open.pop(); part; part = open.pop()) {
      const [low, high, first, last] = part;
      if (low > high) continue;
      const end = (low + high) >> 1;
      let [most, at] = [Number.NEGATIVE_INFINITY, first];
      for (let start = first; start <= Math.min(last, end - 1); start++) {
        const gain = best[start]! + spared(start, end);
        if (gain > most) [most, at] = [gain, start];
      }
      next[end] = most;
      from[end] = at;
      open.push([low, end - 1, first, at], [end + 1, high, at, last]);
    }
    best = next;
    starts.push(from);
  }
  const means: number[] = [];
  for (let [k, end] = [size, bins]; k > 0; k--) {
    const start = starts[k - 1]![end]!;
    means.unshift((before.sum[end]! - before.sum[start]!) / (before.count[end]! - before.count[start]!));
    end = start;
  }
  return means;
}

async function* floats(tensor: Tensor): AsyncGenerator<Float32Array> {
  for await (const chunk of tensorChunks(castTensor(tensor, 'float32'))) yield new Float32Array(chunk.buffer, chunk.byteOffset, chunk.byteLength / 4);
}

/** The place of the nearest of some ascending values. */
export function nearestIn(table: Float32Array): (value: number) => number {
  const borders = Float64Array.from({ length: table.length - 1 }, (_, i) => (table[i]! + table[i + 1]!) / 2);
  return (value) => {
    let [low, high] = [0, borders.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value > borders[middle]!) low = middle + 1;
      else high = middle;
    }
    return low;
  };
}

/** Places in a palette of ascending values, 4 bits each where it has no more than 16. */
export function toPalette(tensor: Tensor, table: Float32Array): Tensor {
  const nearest = nearestIn(table);
  return withStage(castTensor(tensor, 'float32'), {
    dtype: 'uint8',
    ...(table.length <= 16 ? { bits: 4 } : {}),
    apply(input) {
      const values = new Float32Array(input.buffer, input.byteOffset, input.byteLength / 4);
      const codes = new Uint8Array(values.length);
      for (let i = 0; i < codes.length; i++) codes[i] = nearest(values[i]!);
      return codes;
    },
  });
}

/** @param tensor uint8 @throws ModelError 'malformed' when it is read and a place is none of the palette's */
export function fromPalette(tensor: Tensor, table: Float32Array): Tensor {
  return withStage(tensor, {
    dtype: 'float32',
    widens: { kind: 'palette', table },
    apply(codes) {
      const values = new Float32Array(codes.length);
      for (let i = 0; i < codes.length; i++) {
        const code = codes[i]!;
        if (code >= table.length)
          throw new ModelError('malformed', `takes value ${code} of a table of ${table.length}`, { file: tensor.origin.file, tensor: tensor.name });
        values[i] = table[code]!;
      }
      return new Uint8Array(values.buffer);
    },
  });
}

/** The same numbers in wider integers, as graphs want places in a table. */
export function widenPlaces(tensor: Tensor, dtype: 'int32' | 'int64'): Tensor {
  const stage: Stage = {
    dtype,
    isSameNumber: true,
    apply: (codes) => new Uint8Array((dtype === 'int32' ? Int32Array.from(codes) : BigInt64Array.from(codes, BigInt)).buffer),
  };
  return withStage(tensor, stage);
}

/** Places as they were before they were widened; null where they were not. */
export function narrowPlaces(tensor: Tensor): Tensor | null {
  const last = tensor.stages.at(-1);
  if (!last || 'begin' in last || !last.isSameNumber) return null;
  const stages = tensor.stages.slice(0, -1);
  return { ...tensor, dtype: (stages.at(-1)?.dtype ?? tensor.walk.dtype) as DType, stages, known: undefined, derived: undefined };
}
