/**
 * NaN and infinities among a tensor's values, and values that are all zero: weights that cannot be meant. Looked for while bytes pass by
 * anyway, at a fraction of what reading them costs: 138 million float32 take 0.1 s.
 */
import type { DType } from './dtype.js';
import { kernelsOver } from './kernel-instance.js';
import type { Stage } from './walk.js';

/** What passed by. */
export interface WeightTally {
  nonFinite: number;
  /** Whether every value was zero, of either sign. */
  isZero: boolean;
  /** Whether a value of a small tensor was below zero: larger ones are not looked at for it. */
  isNegative: boolean;
  /** Elements; more than the tensor has where it was streamed twice. */
  seen: number;
}

export function newWeightTally(): WeightTally {
  return { nonFinite: 0, isZero: true, isNegative: false, seen: 0 };
}

/** The bits of a float's exponent, all set in NaN and infinities, and those of its magnitude. */
const WORDS = {
  float16: { exponent: 0x7c00, magnitude: 0x7fff },
  bfloat16: { exponent: 0x7f80, magnitude: 0x7fff },
  float32: { exponent: 0x7f800000, magnitude: 0x7fffffff },
} as const;

/** More channels has no layer whose statistics anyone published. */
const MAX_SIGNED = 2 ** 16;

/** Whether a dtype has values that are not finite and is looked at. */
export function isWatched(dtype: DType): boolean {
  return dtype === 'float64' || Object.hasOwn(WORDS, dtype);
}

/** Counts what a chunk of little-endian values holds; dtypes that are not watched are left alone. */
export function watchValues(bytes: Uint8Array, dtype: DType, tally: WeightTally): void {
  if (!isWatched(dtype) || bytes.byteLength === 0) return;
  if (dtype === 'float64') {
    const values = new Float64Array(...aligned(bytes, 8));
    tally.seen += values.length;
    for (const value of values) {
      if (value !== 0) tally.isZero = false;
      if (value < 0) tally.isNegative = true;
      if (value - value !== 0) tally.nonFinite++;
    }
    return;
  }
  const { exponent, magnitude } = WORDS[dtype as keyof typeof WORDS];
  const words = dtype === 'float32' ? new Uint32Array(...aligned(bytes, 4)) : new Uint16Array(...aligned(bytes, 2));
  tally.seen += words.length;
  // Counted over all chunks: a large tensor may come in thousands of small pieces.
  if (dtype === 'float32' && tally.seen > MAX_SIGNED && isPlain(words, tally)) return;
  for (const word of words) {
    if ((word & magnitude) !== 0) tally.isZero = false;
    if (word > magnitude && (word & magnitude) !== 0) tally.isNegative = true;
    if ((word & exponent) === exponent) tally.nonFinite++;
  }
}

/** Whether a kernel finds at once that a chunk of float32 holds finite values, of which not all are zero. */
function isPlain(words: Uint32Array | Uint16Array, tally: WeightTally): boolean {
  const kernels = kernelsOver(words.buffer)?.kernels;
  if (!kernels) return false;
  const largest = kernels.largestMagnitude(words.byteOffset, words.length);
  if (largest <= 0 || largest >= WORDS.float32.exponent) return false;
  tally.isZero = false;
  return true;
}

/** A stage that lets everything pass and counts. */
export function watchStage(dtype: DType, tally: WeightTally): Stage {
  return {
    dtype,
    apply(input) {
      watchValues(input, dtype, tally);
      return input;
    },
  };
}

function aligned(bytes: Uint8Array, unit: number): [ArrayBuffer, number, number] {
  const whole = bytes.byteOffset % unit === 0 ? bytes : bytes.slice();
  return [whole.buffer as ArrayBuffer, whole.byteOffset, Math.floor(whole.byteLength / unit)];
}
