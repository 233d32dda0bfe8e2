/** Runs the quantising kernels over values of any length: their memory, their pieces, and what is left over. */
import { type Kernels, kernelMemory, kernelsOver } from './kernel-instance.js';

/** Values that are worked on at a time; small enough for the processor's second-level cache. */
export const PIECE_VALUES = 2 ** 16;

/** Kernels write in groups, up to 7 values past the end. */
const SLACK_BYTES = 64;
const VALUES_AT = 0;
const TARGET_AT = PIECE_VALUES * 4 + SLACK_BYTES;
const TABLE_AT = TARGET_AT + PIECE_VALUES * 2 + SLACK_BYTES;
const ZEROS_AT = TABLE_AT + PIECE_VALUES * 4 + SLACK_BYTES;
const BYTE_LENGTH = ZEROS_AT + PIECE_VALUES + SLACK_BYTES;

/** What values are encoded with: a scale each, and a code for zero, which is 0 where it is left out. */
export interface Parameters {
  readonly scales: Float32Array;
  readonly zeros: Uint8Array | null;
}

/** The codes that there are. */
export interface CodeLimits {
  readonly low: number;
  readonly high: number;
}

let memory: ArrayBuffer | null = null;

/** One memory for all streams: between two awaits only one of them is at work, and nothing stays in it for later. */
export class QuantiseBench {
  readonly #kernels: Kernels;
  readonly #values: Float32Array;
  readonly #bytes: Uint8Array;
  readonly #floats: Float32Array;
  readonly #bits: Uint32Array;
  readonly #zeros: Uint8Array;
  readonly #sum: Float64Array;

  constructor() {
    memory ??= kernelMemory(BYTE_LENGTH);
    this.#kernels = kernelsOver(memory)!.kernels;
    this.#values = new Float32Array(memory, VALUES_AT, PIECE_VALUES);
    this.#bytes = new Uint8Array(memory, TARGET_AT, PIECE_VALUES * 2);
    this.#floats = new Float32Array(memory, TABLE_AT, PIECE_VALUES);
    this.#bits = new Uint32Array(memory, TABLE_AT, PIECE_VALUES);
    this.#zeros = new Uint8Array(memory, ZEROS_AT, PIECE_VALUES);
    this.#sum = new Float64Array(memory, TABLE_AT, 1);
  }

  /** Puts values in place for the other methods. */
  load(values: Float32Array): void {
    this.#values.set(values);
  }

  /** Of the first `count` loaded values; min and max are infinite where none is finite. */
  range(count: number): { min: number; max: number; nonFinite: number } {
    this.#kernels.range(VALUES_AT, count, TABLE_AT);
    return { min: this.#floats[0]!, max: this.#floats[1]!, nonFinite: this.#bits[2]! };
  }

  /** The largest magnitude of some loaded values, as the bits of a float32; of NaN too. */
  largestMagnitude(start: number, count: number): number {
    return this.#kernels.largestMagnitude(VALUES_AT + start * 4, count) >>> 0;
  }

  /** Sets magnitudes of a table to zero. */
  clearMagnitudes(count: number): void {
    this.#bits.fill(0, 0, count);
  }

  /** Raises the table's magnitudes from `at` on to those of some loaded values. */
  raiseMagnitudes(at: number, start: number, count: number): void {
    this.#kernels.largestMagnitudes(TABLE_AT + at * 4, VALUES_AT + start * 4, count);
  }

  /** The table's magnitudes, as the bits of float32; a view. */
  magnitudes(count: number): Uint32Array {
    return this.#bits.subarray(0, count);
  }

  /** Encodes the first `count` loaded values to uint8 or uint16; a view. */
  encodeAffine(bytesEach: 1 | 2, count: number, min: number, scale: number): Uint8Array {
    this.#kernels.encodeAffine(TARGET_AT, bytesEach - 1, VALUES_AT, count, min, scale, 2 ** (8 * bytesEach) - 1);
    return this.#bytes.subarray(0, count * bytesEach);
  }

  /**
   * Encodes some loaded values to bytes, with a scale for each run of `size` of them; results are at the same places of `encoded`. Call it in
   * their order.
   *
   * @param size a multiple of 8 where there are several runs
   */
  encodeRuns(start: number, size: number, { scales, zeros }: Parameters, { low, high }: CodeLimits): void {
    this.#floats.set(scales);
    if (zeros) this.#zeros.set(zeros);
    this.#kernels.encodeRuns(TARGET_AT + start, VALUES_AT + start * 4, scales.length, size, TABLE_AT, zeros ? ZEROS_AT : 0, low, high);
  }

  /** The same with a scale for each value. */
  encodeEach(start: number, { scales, zeros }: Parameters, { low, high }: CodeLimits): void {
    this.#floats.set(scales);
    if (zeros) this.#zeros.set(zeros);
    this.#kernels.encodeEach(TARGET_AT + start, VALUES_AT + start * 4, scales.length, TABLE_AT, zeros ? ZEROS_AT : 0, low, high);
  }

  /** Adds squares of some loaded values to a sum, in their order; min and max are infinite where there are none. */
  spread(start: number, count: number, sum: number): { sum: number; min: number; max: number } {
    this.#kernels.spread(VALUES_AT + start * 4, count, sum, TABLE_AT);
    return { sum: this.#sum[0]!, min: this.#floats[2]!, max: this.#floats[3]! };
  }

  /** What was encoded to bytes; a view. */
  encoded(count: number): Uint8Array {
    return this.#bytes.subarray(0, count);
  }
}
