/**
 * A net in true float16: every weight as the file has it, every value rounded to float16 as soon as it is made, sums inside a layer exact,
 * as runtimes that add in float32 have them. ONNX Runtime on a CPU computes float16 in float32, so only this shows what does not fit.
 */
import type { Layer, LayerMap } from '../model/layer-map.js';
import type { Value } from '../model/ops/array.js';
import type { NdArray } from './engine.js';
import { walkLayers } from './reference/session.js';

/** The largest finite float16. */
export const LARGEST_HALF = 65504;

export interface HalfRun {
  readonly outputs: readonly NdArray[];
  /** The first layer, in running order, whose values do not fit, and the largest of them in exact arithmetic; null where all do. */
  readonly overflow: { readonly layer: Layer; readonly largest: number } | null;
}

/** @throws ModelError 'engine' for an operator that the evaluator lacks */
export async function runHalf(map: LayerMap, feeds: readonly NdArray[]): Promise<HalfRun> {
  const exact = walkLayers(map, feeds);
  const half = walkLayers(map, feeds, { made: (_, value) => roundedToHalf(value) });
  let overflow: HalfRun['overflow'] = null;
  for (;;) {
    const [wide, narrow] = await Promise.all([exact.next(), half.next()]);
    if (wide.done || narrow.done) return { outputs: narrow.value as NdArray[], overflow };
    if (overflow !== null) continue;
    // What is infinite in exact arithmetic too is meant so, such as a mask.
    const { data } = wide.value.value;
    const fits = narrow.value.value.data.every((value, i) => Number.isFinite(value) || !Number.isFinite(data[i]));
    const largest = data.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0);
    if (!fits) overflow = { layer: wide.value.layer, largest };
  }
}

/** Splits a float64 after its first 11 bits (Dekker 1971): what float16 keeps of a normal number. */
const SPLIT = 2 ** 42 + 1;
/** Added and taken away it leaves multiples of 2^-24, float16's step below its smallest normal number. */
const SUBNORMAL = 1.5 * 2 ** 28;
const SMALLEST_NORMAL = 2 ** -14;

function roundedToHalf(value: Value): Value {
  return value.dtype !== undefined && !value.dtype.includes('float') ? value : { ...value, data: value.data.map(roundToHalf) };
}

/** To the nearest float16, ties to even; infinite beyond the largest. */
export function roundToHalf(value: number): number {
  if (!Number.isFinite(value)) return value;
  if (Math.abs(value) < SMALLEST_NORMAL) return value + SUBNORMAL - SUBNORMAL;
  const product = value * SPLIT;
  const rounded = product - (product - value);
  return Math.abs(rounded) > LARGEST_HALF ? Math.sign(value) * Number.POSITIVE_INFINITY : rounded;
}
