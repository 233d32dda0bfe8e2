/** Runs the quantising kernels over values of any length: their memory, their pieces, and what is left over. */
import { type Kernels, kernelMemory, kernelsOver } from './kernel-instance.js';

/** Values that are worked on at a time; small enough for the processor's second-level cache. */
export const PIECE_VALUES = 2 ** 16;

/** Kernels write in groups, up to 7 values past the end. */
const SLACK_BYTES = 64;
const VALUES_AT = 0;
const TARGET_AT = PIECE_VALUES * 4 + SLACK_BYTES;
const TABLE_AT = TARGET_AT + PIECE_VALUES * 2 + SLACK_BYTES;
const BYTE_LENGTH = TABLE_AT + PIECE_VALUES * 4 + SLACK_BYTES;

let memory: ArrayBuffer | null = null;

/** One memory for all streams: between two awaits only one of them is at work, and nothing stays in it for later. */
export class QuantiseBench {
  readonly #kernels: Kernels;
  readonly #values: Float32Array;
  readonly #bytes: Uint8Array;
  readonly #floats: Float32Array;
  readonly #bits: Uint32Array;

  constructor() {
    memory ??= kernelMemory(BYTE_LENGTH);
    this.#kernels = kernelsOver(memory)!.kernels;
    this.#values = new Float32Array(memory, VALUES_AT, PIECE_VALUES);
    this.#bytes = new Uint8Array(memory, TARGET_AT, PIECE_VALUES * 2);
    this.#floats = new Float32Array(memory, TABLE_AT, PIECE_VALUES);
    this.#bits = new Uint32Array(memory, TABLE_AT, PIECE_VALUES);
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

  /** Encodes some loaded values to int8 with one scale; results are at the same places of `encoded`. Call it in their order. */
  encodeRun(start: number, count: number, scale: number): void {
    this.#floats.fill(scale, 0, 8);
    this.#kernels.encodeSymmetric(TARGET_AT + start, VALUES_AT + start * 4, count, TABLE_AT, 0);
  }

  /** The same with a scale for each value. */
  encodeEach(start: number, count: number, scales: Float32Array): void {
    this.#floats.set(scales);
    this.#kernels.encodeSymmetric(TARGET_AT + start, VALUES_AT + start * 4, count, TABLE_AT, 32);
  }

  /** What was encoded to int8; a view. */
  encoded(count: number): Uint8Array {
    return this.#bytes.subarray(0, count);
  }
}
