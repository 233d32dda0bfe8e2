/** Rows that are combined by the segment that a list puts each in, as what is scattered into a row for each segment. */
import { NEUTRAL } from '../neutral.js';
import type { TfRule } from './rule.js';

/** What a segment without a row is where segments are sorted, and where they are not. */
const OF_NONE = { sorted: 0, add: 0, mul: 1, max: -3.4028234663852886e38, min: 3.4028234663852886e38 } as const;

type Reduction = 'add' | 'mul' | 'max' | 'min';

/** inputs: rows, the segment of each, and how many there are where they are in no order: one that is below zero is left out. */
const segments =
  (reduction: Reduction, isSorted: boolean, isMean = false): TfRule =>
  (operation) => {
    const [data, ids] = [operation.input(0), operation.known(1, 'segments')];
    const sizes = operation.sizes(data);
    if (ids.length !== sizes[0] || !sizes.slice(1).every((size) => typeof size === 'number'))
      throw operation.decline(`it has ${ids.length} segments for values [${sizes}]`);
    const count = isSorted ? Math.max(-1, ...ids) + 1 : operation.known(2, 'count')[0]!;
    const counts = Array.from({ length: count }, (_, segment) => ids.filter((id) => id === segment).length);
    const rows = ids.flatMap((id, row) => (id >= 0 && id < count ? [row] : []));
    const dtype = data.dtype ?? 'float32';
    const column = [count, ...sizes.slice(1).map(() => 1)];
    const none = isSorted ? OF_NONE.sorted : OF_NONE[reduction];
    const starts = operation.build.numbers(
      dtype,
      counts.map((found) => (found === 0 ? none : NEUTRAL[reduction]!)),
      column,
    );
    const kept = rows.length === ids.length ? data : operation.before('Gather', [data, operation.integers(rows)], { axis: 0 });
    const places = operation.build.numbers(
      'int64',
      rows.map((row) => ids[row]!),
      [rows.length, 1],
    );
    const table = operation.before('Expand', [starts, operation.integers([count, ...(sizes.slice(1) as number[])])]);
    if (!isMean) return operation.add('ScatterND', [table, places, kept], { reduction });
    const divisors = operation.build.numbers(
      dtype,
      counts.map((found) => Math.max(1, found)),
      column,
    );
    return operation.add('Div', [operation.before('ScatterND', [table, places, kept], { reduction }), divisors]);
  };

export const SEGMENTS: Readonly<Record<string, TfRule>> = {
  SegmentSum: segments('add', true),
  SegmentMean: segments('add', true, true),
  SegmentProd: segments('mul', true),
  SegmentMax: segments('max', true),
  SegmentMin: segments('min', true),
  UnsortedSegmentSum: segments('add', false),
  UnsortedSegmentProd: segments('mul', false),
  UnsortedSegmentMax: segments('max', false),
  UnsortedSegmentMin: segments('min', false),
};
