/** Whole numbers in targets that compute in float32 alone: what cannot be written, and what is told of the rest. */
import type { Layer, Notice } from '../model/layer-map.js';
import { COUNTED, isNarrow, type WholeResult } from '../model/whole-numbers.js';
import { listed } from '../words.js';

type Results = ReadonlyMap<string, WholeResult>;

const resultsOf = ({ outputs }: Layer, results: Results) => outputs.flatMap((value) => results.get(value) ?? []);

/**
 * Why float32 does not make what a layer makes of whole numbers; null where it does.
 *
 * @param canWrap whether numbers of 8 and 16 bits are brought back into their range afterwards
 */
export function beyondFloat32(layer: Layer, results: Results, canWrap = false): string | null {
  for (const { dtype, made, wraps, isBeyond } of resultsOf(layer, results)) {
    const largest = Math.max(Math.abs(made.low), Math.abs(made.high));
    if (isBeyond) {
      const size = Number.isFinite(largest) ? `may become ${largest}` : 'may become of any size';
      return `${layer.op} of ${dtype} values ${size}, and float32 has whole numbers up to ${COUNTED}`;
    }
    if (wraps && !(canWrap && isNarrow(dtype))) return `${layer.op} of ${dtype} values may leave their range and wrap around, which float32 does not`;
  }
  return null;
}

/** What is assumed of numbers of 32 and 64 bits of which nothing tells how large they are. */
export function countedNotices(layers: readonly Layer[], results: Results): readonly Notice[] {
  const resting = layers.filter((layer) => resultsOf(layer, results).some(({ made }) => made.resting.size > 0));
  if (resting.length === 0) return [];
  const made = resting.flatMap((layer) => resultsOf(layer, results));
  const values = new Set(made.flatMap((result) => [...result.made.resting]));
  const dtypes = new Set(made.map(({ dtype }) => dtype));
  const names = (all: Iterable<string>) =>
    listed(
      [...all].map((name) => `"${name}"`),
      3,
    );
  const message =
    `the file computes with whole numbers in float32: what ${names(resting.map(({ name }) => name))} ${resting.length === 1 ? 'makes' : 'make'} of ` +
    `${names(values)} (${[...dtypes].join(', ')}) is exact up to ${COUNTED}; beyond that it is rounded, and does not wrap around`;
  return [{ code: 'whole-numbers', message }];
}
