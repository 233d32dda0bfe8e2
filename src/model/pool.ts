/** Large buffers that are used again, because garbage of this size lies about long before it is collected. */

/** Kept for the next borrower; streams run one after the other, seldom two at once. */
const KEPT = 2;

/** Lends things that are costly to make. */
export class Pool<T> {
  readonly #idle: T[] = [];

  /** @param kept of those that are given back, at most */
  constructor(
    readonly make: () => T,
    readonly kept = KEPT,
  ) {}

  /** Its content is arbitrary; give it back when nobody reads it any more. */
  borrow(): T {
    return this.#idle.pop() ?? this.make();
  }

  giveBack(item: T): void {
    if (this.#idle.length < this.kept) this.#idle.push(item);
  }
}
