/** Large buffers that are used again, because garbage of this size lies about long before it is collected. */

/** Kept for the next borrower; streams run one after the other, seldom more than two at once. */
const KEPT = 2;

/** Lends buffers of one size. */
export class BufferPool {
  readonly #idle: ArrayBuffer[] = [];

  constructor(readonly byteLength: number) {}

  /** A buffer whose content is arbitrary; give it back when nobody reads it any more. */
  borrow(): ArrayBuffer {
    return this.#idle.pop() ?? new ArrayBuffer(this.byteLength);
  }

  giveBack(buffer: ArrayBuffer): void {
    if (this.#idle.length < KEPT) this.#idle.push(buffer);
  }
}
