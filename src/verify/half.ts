/**
 * A net in true float16: every weight as the file has it, every value rounded to float16 as soon as it is made, sums inside a layer exact,
 * as runtimes that add in float32 have them. ONNX Runtime on a CPU computes float16 in float32, so only this shows what does not fit.
 */
import { guardsOf, heldInHalf, heldWeight, LARGEST_HALF } from '../model/half-range.js';
import type { Layer, LayerMap } from '../model/layer-map.js';
import type { Value } from '../model/ops/array.js';
import type { NdArray } from './engine.js';
import { walkLayers } from './reference/session.js';

/** A layer where float16 does not do, and the largest of its values in exact arithmetic. */
export interface HalfFault {
  readonly layer: Layer;
  readonly largest: number;
}

export interface HalfRun {
  readonly outputs: readonly NdArray[];
  /** The same in exact arithmetic. */
  readonly exact: readonly NdArray[];
  /** The first layer, in running order, whose values do not fit; null where all do. */
  readonly overflow: HalfFault | null;
  /** The first one whose values are further from the exact ones than is allowed, and by which part of their scale; null where none is. */
  readonly lost: (HalfFault & { readonly ofScale: number }) | null;
}

/**
 * @param allowed part of its scale by which what a layer makes may be off
 * @throws ModelError 'engine' for an operator that the evaluator lacks
 */
export async function runHalf(map: LayerMap, feeds: readonly NdArray[], allowed: number): Promise<HalfRun> {
  const exact = walkLayers(map, feeds);
  const half = walkLayers({ ...map, layers: asInFile(map) }, feeds, { made: (_, value) => roundedToHalf(value) });
  let overflow: HalfRun['overflow'] = null;
  let lost: HalfRun['lost'] = null;
  for (;;) {
    const [wide, narrow] = await Promise.all([exact.next(), half.next()]);
    if (wide.done || narrow.done) return { outputs: narrow.value as NdArray[], exact: wide.value as NdArray[], overflow, lost };
    if (overflow !== null) continue;
    const { layer } = wide.value;
    const { fits, largest, furthest } = apart(wide.value.value.data, narrow.value.value.data);
    if (!fits) overflow = { layer, largest };
    if (furthest > allowed * largest) lost ??= { layer, largest, ofScale: furthest / largest };
  }
}

/** Numbers of formulas as a file in float16 has them. */
function asInFile({ layers }: LayerMap): readonly Layer[] {
  const guards = guardsOf(layers);
  return layers.map((layer) => {
    if (!guards.has(layer)) return layer;
    const attributes = Object.entries(layer.attributes).map(([name, value]) => [name, typeof value === 'number' ? heldInHalf(value, true) : value]);
    const weights = Object.entries(layer.weights).map(([role, tensor]) => [role, heldWeight(role, tensor)]);
    return { ...layer, attributes: Object.fromEntries(attributes), weights: Object.fromEntries(weights) };
  });
}

/** How far one layer's values are from the exact ones. What is infinite in exact arithmetic too is meant so, such as a mask. */
function apart(exact: ArrayLike<number>, half: ArrayLike<number>): { readonly fits: boolean; readonly largest: number; readonly furthest: number } {
  let [fits, largest, furthest] = [true, 0, 0];
  for (let i = 0; i < exact.length; i++) {
    const value = exact[i]!;
    if (!Number.isFinite(value)) continue;
    if (!Number.isFinite(half[i]!)) fits = false;
    largest = Math.max(largest, Math.abs(value));
    furthest = Math.max(furthest, Math.abs(value - half[i]!));
  }
  return { fits, largest, furthest };
}

/** Splits a float64 after its first 11 bits (Dekker 1971): what float16 keeps of a normal number. */
const SPLIT = 2 ** 42 + 1;
/** Added and taken away it leaves multiples of 2^-24, float16's step below its smallest normal number. */
const SUBNORMAL = 1.5 * 2 ** 28;
/** The smallest float16 that has all of its bits. */
export const SMALLEST_NORMAL = 2 ** -14;

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
