/** Runs the kernels of `feedback-kernels.wat`: what lies where in their memory. */
import { Pool } from '../model/pool.js';
import { FEEDBACK_KERNELS } from './feedback-kernels.js';
import type { Rows, SeenRows } from './patches.js';

/** How values of some channels are coded: a step for each group of them, and a code for zero, 0 where there are none. */
export interface GroupSteps {
  readonly steps: Float32Array;
  readonly zeros: Uint8Array | null;
  /** From those of a channel to those of the next. */
  readonly perChannel: number;
  /** In which of its channel's groups each place is. */
  readonly places: Int32Array;
  readonly low: number;
  readonly high: number;
}

interface Kernels {
  feedback(...args: number[]): void;
  rounded(...args: number[]): void;
  along(...args: number[]): void;
}

const PAGE_BYTES = 65_536;
const memories = new Pool(() => new WebAssembly.Memory({ initial: 1 }));
let compiled: WebAssembly.Module | null = null;

/** Some channels at a time, with what flows into them. Close it: its memory is lent. */
export class FeedbackBench {
  readonly #memory: WebAssembly.Memory;
  readonly #kernels: Kernels;
  readonly #rows: Readonly<Record<keyof SeenRows, { readonly at: number; readonly count: number }>>;
  readonly #values: Float32Array;
  readonly #energies: Float64Array;
  readonly #steps: Float32Array;
  readonly #zeros: Uint8Array;
  readonly #places: Int32Array;
  readonly #codes: Uint8Array;
  readonly #lost: Float64Array;
  readonly #sums: Float64Array;
  #channels = 0;
  #group = 0;

  /**
   * @param depth places of a channel; those of all groups of a convolution lie beside each other in the rows
   * @param channels at most
   * @param steps at most, of so many channels
   */
  constructor(
    seen: SeenRows,
    readonly depth: number,
    channels: number,
    steps: number,
  ) {
    const lent = memories.borrow();
    let end = 0;
    const place = (byteLength: number) => {
      const at = end;
      end += Math.ceil(byteLength / 16) * 16;
      return at;
    };
    const rows = ({ count, data }: Rows) => ({ at: place(data.byteLength), count });
    this.#rows = { fit: rows(seen.fit), check: rows(seen.check) };
    const values = channels * depth;
    const sums = channels * Math.max(seen.fit.count, seen.check.count);
    const [valuesAt, energiesAt, placesAt, codesAt, lostAt] = [place(values * 4), place(depth * 8), place(depth * 4), place(values), place(values * 8)];
    const [stepsAt, zerosAt, sumsAt] = [place(steps * 4), place(steps), place(sums * 8)];
    const missing = end - lent.buffer.byteLength;
    if (missing > 0) lent.grow(Math.ceil(missing / PAGE_BYTES));
    const { buffer } = lent;
    this.#memory = lent;
    this.#values = new Float32Array(buffer, valuesAt, values);
    this.#energies = new Float64Array(buffer, energiesAt, depth);
    this.#places = new Int32Array(buffer, placesAt, depth);
    this.#codes = new Uint8Array(buffer, codesAt, values);
    this.#lost = new Float64Array(buffer, lostAt, values);
    this.#steps = new Float32Array(buffer, stepsAt, steps);
    this.#zeros = new Uint8Array(buffer, zerosAt, steps);
    this.#sums = new Float64Array(buffer, sumsAt, sums);
    for (const name of ['fit', 'check'] as const) new Float32Array(buffer, this.#rows[name].at, seen[name].data.length).set(seen[name].data);
    compiled ??= new WebAssembly.Module(Uint8Array.from(atob(FEEDBACK_KERNELS), (character) => character.charCodeAt(0)));
    this.#kernels = new WebAssembly.Instance(compiled, { js: { memory: lent } }).exports as unknown as Kernels;
  }

  close(): void {
    memories.giveBack(this.#memory);
  }

  /**
   * Puts channels in place for the other methods.
   *
   * @param values [channels, depth]
   * @param group of the convolution's, which says what flows in
   */
  load(values: Float32Array, group: number): void {
    this.#values.set(values);
    this.#channels = values.length / this.depth;
    this.#group = group;
  }

  /**
   * Codes each place after the other, with what those before it left.
   *
   * @param energies what flows in at each place, squared
   * @returns views: codes, those of zero added, as bytes, and what is left of each channel in the end, for each row that codes are worked out with
   */
  feedback(energies: Float64Array, parameters: GroupSteps): { codes: Uint8Array; left: Float64Array[] } {
    const { at, count } = this.#rowsOf('fit');
    this.#energies.set(energies);
    this.#sums.fill(0, 0, this.#channels * count);
    this.#kernels.feedback(
      ...[this.#channels, this.depth, count, at, this.#values.byteOffset, this.#energies.byteOffset, ...this.#told(parameters)],
      ...[this.#codes.byteOffset, this.#lost.byteOffset, this.#sums.byteOffset],
    );
    return { codes: this.#codes.subarray(0, this.#channels * this.depth), left: this.#sumsOf(count) };
  }

  /** Rounds each place for itself. */
  round(parameters: GroupSteps): void {
    this.#kernels.rounded(this.#channels, this.depth, this.#values.byteOffset, ...this.#told(parameters), this.#lost.byteOffset);
  }

  /** Has each place lose as much as is said. @param lost [channels, depth] */
  lose(lost: Float64Array): void {
    this.#lost.set(lost);
  }

  /** For each channel and row what comes of what places lost last; views. */
  along(name: keyof SeenRows): Float64Array[] {
    const { at, count } = this.#rowsOf(name);
    this.#sums.fill(0, 0, this.#channels * count);
    this.#kernels.along(this.#channels, this.depth, count, at, this.#lost.byteOffset, this.#sums.byteOffset);
    return this.#sumsOf(count);
  }

  #rowsOf(name: keyof SeenRows) {
    const { at, count } = this.#rows[name];
    return { at: at + this.#group * this.depth * count * 4, count };
  }

  #told({ steps, zeros, perChannel, places, low, high }: GroupSteps): number[] {
    this.#steps.set(steps);
    if (zeros) this.#zeros.set(zeros);
    this.#places.set(places);
    return [this.#steps.byteOffset, zeros ? this.#zeros.byteOffset : 0, perChannel, this.#places.byteOffset, low, high];
  }

  #sumsOf(count: number): Float64Array[] {
    return Array.from({ length: this.#channels }, (_, c) => this.#sums.subarray(c * count, (c + 1) * count));
  }
}
