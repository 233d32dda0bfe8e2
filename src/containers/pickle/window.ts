/** The part of a file that a pickle machine looks at, moved along as it goes; what is long is stepped over and stays in the file. */
import { breathe } from '../../bytes/breath.js';
import type { ByteSource } from '../../bytes/byte-source.js';
import { ModelError } from '../../errors.js';

/** Files hold anything from one pickle of some bytes to thousands of them; the first look is short, later ones are longer. */
const FIRST_BYTES = 2 ** 12;
const MOST_BYTES = 2 ** 18;

/** Thrown, and caught, where an operation reaches beyond the window: it is done again when more is there. */
export const BEYOND = Symbol('beyond the window');

export class Window {
  #bytes: Uint8Array = new Uint8Array();
  #view = new DataView(this.#bytes.buffer);
  /** Of the window's first byte in the file. */
  #base: number;
  #at = 0;
  #next = FIRST_BYTES;
  /** What was reached for beyond the window. */
  #neededEnd = 0;
  #wantedLine = -1;
  /** The last line that was looked for. */
  #line = { start: -1, end: -1 };

  constructor(
    readonly source: ByteSource,
    start: number,
  ) {
    this.#base = start;
  }

  /** Position in the file. */
  get position(): number {
    return this.#base + this.#at;
  }

  set position(position: number) {
    this.#at = position - this.#base;
  }

  /**
   * Moves the window so that it begins here and has what was reached for.
   *
   * @throws ModelError 'malformed' when the file ends before
   */
  async advance(): Promise<void> {
    const { source } = this;
    if (this.#wantedLine >= 0) this.#line = { start: this.#wantedLine, end: await this.#findLineEnd() };
    const start = this.position;
    if (this.#neededEnd > source.byteLength || start >= source.byteLength) throw this.#truncated();
    const end = Math.min(source.byteLength, Math.max(start + this.#next, this.#neededEnd));
    this.#bytes = await source.read(start, end);
    this.#view = new DataView(this.#bytes.buffer, this.#bytes.byteOffset, this.#bytes.byteLength);
    this.#base = start;
    this.#at = 0;
    this.#neededEnd = 0;
    this.#wantedLine = -1;
    this.#next = Math.min(MOST_BYTES, this.#next * 4);
  }

  /** Steps over `count` bytes, which must be in the window. @returns where they are in it */
  #take(count: number): number {
    const at = this.#at;
    if (at + count > this.#bytes.byteLength) {
      this.#neededEnd = this.position + count;
      throw BEYOND;
    }
    this.#at = at + count;
    return at;
  }

  u8(): number {
    return this.#bytes[this.#take(1)]!;
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  i32(): number {
    return this.#view.getInt32(this.#take(4), true);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true);
  }

  f64(): number {
    return this.#view.getFloat64(this.#take(8));
  }

  /** A view of the next bytes, until the window moves. */
  bytes(count: number): Uint8Array {
    const at = this.#take(count);
    return this.#bytes.subarray(at, at + count);
  }

  /** Steps over bytes without looking at them. @throws ModelError 'malformed' when the file has not as many */
  skip(count: number): { readonly start: number; readonly end: number } {
    const start = this.position;
    const end = start + count;
    if (end > this.source.byteLength) throw this.#truncated();
    this.#at += count;
    return { start, end };
  }

  /** How many bytes there are up to the next line feed, which is not among them. */
  lineLength(): number {
    const { position } = this;
    if (this.#line.start === position) return this.#line.end - position;
    const end = this.#bytes.indexOf(0x0a, this.#at);
    if (end >= 0) return end - this.#at;
    this.#wantedLine = position;
    throw BEYOND;
  }

  /** Looks for the line feed beyond the window without keeping what lies between. */
  async #findLineEnd(): Promise<number> {
    const { source } = this;
    for (let at = this.#base + this.#bytes.byteLength; at < source.byteLength; at += MOST_BYTES) {
      const found = (await source.read(at, Math.min(source.byteLength, at + MOST_BYTES))).indexOf(0x0a);
      if (found >= 0) return at + found;
      await breathe();
    }
    throw this.#truncated();
  }

  #truncated(): ModelError {
    const { name, byteLength } = this.source;
    return new ModelError('malformed', 'the file ends in the middle of a pickle. Is it truncated?', { file: name, offset: byteLength });
  }
}
