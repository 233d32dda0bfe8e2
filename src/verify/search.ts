/**
 * Inputs beside the first ones, for what those have not reached: a small search among tints, scales and shifts, bounded by what running
 * them costs. The file's own runtime tells what an input reaches.
 */
import { isModelError } from '../errors.js';
import type { LayerMap } from '../model/layer-map.js';
import { type Coverage, coverageOf } from './coverage.js';
import { multiplications } from './effort.js';
import type { InnerSide } from './inner.js';
import { freeSizeFor, generateSample, type Range } from './inputs.js';
import type { CoverageReport } from './report.js';
import type { Feeds } from './side.js';

/** Multiplications that the search may have a runtime do: a second on a CPU. */
const BUDGET = 1e9;
const MOST_TRIED = 48;
/** Inputs that are added; each is run by both sides. */
const MOST_ADDED = 6;

const SCALES = [1, 10, 0.1, 100, 1000, 10_000] as const;
const SHIFTS = [0, 3, -3, 1, -1] as const;
const SHAPES = ['tint', 'noise', 'picture', 'colour'] as const;

export interface Found {
  readonly added: readonly { readonly feeds: Feeds; readonly range: Range }[];
  readonly coverage: CoverageReport;
}

/** @param fed what is run anyway. Null where nothing of the net can be looked at, or that costs too much. */
export async function searchInputs(map: LayerMap, inner: InnerSide, fed: readonly Feeds[], seed: number): Promise<Found | null> {
  const coverage = coverageOf(map, (layer) => inner.source.layers.has(layer));
  const affordable = Math.floor(BUDGET / Math.max(1, multiplications(map)));
  if (coverage.layers.length === 0 || affordable < fed.length) return null;
  for (const feeds of fed) await reach(inner, coverage, feeds);
  const freeSize = freeSizeFor(map);
  const added: { feeds: Feeds; range: Range }[] = [];
  const tries = Math.min(MOST_TRIED, affordable - fed.length);
  for (let i = 0; i < tries && added.length < MOST_ADDED && !coverage.isComplete; i++) {
    const range = candidate(i);
    const feeds = generateSample(map.inputs, fed.length + i, seed, { range, layers: map.layers, freeSize: () => freeSize });
    if ((await reach(inner, coverage, feeds)) > 0) added.push({ feeds, range });
  }
  return { added, coverage: coverage.report(added.length) };
}

function candidate(i: number): Range {
  const scale = SCALES[Math.floor(i / SHAPES.length) % SCALES.length]!;
  const shift = SHIFTS[Math.floor(i / (SHAPES.length * SCALES.length)) % SHIFTS.length]!;
  return { name: 'found by search', value: (x) => scale * (x + shift), fill: SHAPES[i % SHAPES.length]!, ...(scale >= 100 ? { isLarge: true } : {}) };
}

/** How much an input is the first to reach; nothing, where the runtime does not run it. */
async function reach({ source }: InnerSide, coverage: Coverage, feeds: Feeds): Promise<number> {
  let found = 0;
  try {
    await source.visit(feeds, 0, coverage.layers, async (layer, value) => {
      found += coverage.see(layer, value);
    });
  } catch (error) {
    if (!isModelError(error)) throw error;
  }
  return found;
}
