/**
 * What reading a file may cost. Work follows from a file's size: an honest file is read in a few passes over its bytes, while a hostile one has a few
 * bytes read again and again, by references that are shared, repeated or doubled at each step. Readers count what they do, and stop where it is more than
 * any honest file of the size asks for.
 */
import { ModelError } from '../errors.js';

export class Budget {
  #left: number;

  /**
   * @param amount what may be spent, in whatever the reader counts; it should follow from the file's size
   * @param what names what is counted, for the message: 'the metadata of this file'
   */
  constructor(
    amount: number,
    readonly what: string,
    readonly file: string,
  ) {
    this.#left = amount;
  }

  /** @throws ModelError 'unsafe' when nothing is left */
  spend(amount: number): void {
    this.#left -= amount;
    if (this.#left < 0) {
      throw new ModelError('unsafe', `${this.what} refers to itself so often that reading it takes more work than any honest file of its size`, {
        file: this.file,
      });
    }
  }
}
