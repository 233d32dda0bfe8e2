/**
 * Reads protobuf's wire format: fields as numbers and spans, without a schema and without loading what is large.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */
import { breathe } from '../bytes/budget.js';
import type { ByteSource } from '../bytes/byte-source.js';
import { ModelError } from '../errors.js';

/** One field of a message. Exactly one of `value`, and `start` with `end`, says what it holds. */
export interface Field {
  readonly number: number;
  readonly wireType: 0 | 1 | 2 | 5;
  /** Wire type 0: the varint, as an unsigned 64-bit number. */
  readonly varint: bigint;
  /** Byte range of the contents in the source, for all wire types. */
  readonly start: number;
  readonly end: number;
}

/** Reading ahead in pieces of this size keeps the scan of a large file to a few reads. */
const WINDOW_BYTES = 4096;
/** Messages describe nets: the largest, of a hundred thousand nodes, have about as many. */
const MAX_FIELDS = 2_000_000;
const MAX_VARINT_BYTES = 10;
/** Fields between two pauses. */
const BREATH_FIELDS = 4096;

/** A source read through a small window, for the many small reads of a scan. */
export class WireReader {
  #window: Uint8Array = new Uint8Array();
  #windowStart = 0;
  #fields = 0;

  constructor(readonly source: ByteSource) {}

  /**
   * The fields of the message that lies in [start, end). Length-delimited contents are jumped over, not read.
   *
   * @throws ModelError 'malformed' at the byte where the bytes stop being a message, 'unsafe' where the file is read to have more fields than any net
   */
  async *fields(start: number, end: number): AsyncGenerator<Field> {
    let at = start;
    while (at < end) {
      const fieldAt = at;
      if (++this.#fields > MAX_FIELDS) {
        throw new ModelError('unsafe', 'the messages have more fields than those of any net', { file: this.source.name, offset: at });
      }
      if (this.#fields % BREATH_FIELDS === 0) await breathe();
      if (!this.#holds(at)) await this.#load(at);
      const tag = this.#varint(at, end);
      at = tag.next;
      const number = Number(tag.value >> 3n);
      const wireType = Number(tag.value & 7n);
      if (number === 0 || number > 0x1fffffff) throw this.error(fieldAt, `${number} is no field number`);
      let contentStart = at;
      let contentEnd: number;
      let varint = 0n;
      if (wireType === 0) {
        if (!this.#holds(at)) await this.#load(at);
        const read = this.#varint(at, end);
        varint = read.value;
        contentEnd = read.next;
      } else if (wireType === 1 || wireType === 5) contentEnd = at + (wireType === 1 ? 8 : 4);
      else if (wireType === 2) {
        if (!this.#holds(at)) await this.#load(at);
        const length = this.#varint(at, end);
        contentStart = length.next;
        if (length.value > BigInt(end - contentStart))
          throw this.error(fieldAt, `field ${number} claims ${length.value} bytes, ${end - contentStart} are left. Is the file truncated?`);
        contentEnd = contentStart + Number(length.value);
      } else throw this.error(fieldAt, `wire type ${wireType} of field ${number} is not known`);
      if (contentEnd > end) throw this.error(fieldAt, `field ${number} runs past its message. Is the file truncated?`);
      yield { number, wireType: wireType as Field['wireType'], varint, start: contentStart, end: contentEnd };
      at = contentEnd;
    }
  }

  async bytes(field: { start: number; end: number }): Promise<Uint8Array> {
    if (field.end - field.start <= WINDOW_BYTES) {
      if (!this.#holds(field.start)) await this.#load(field.start);
      const from = field.start - this.#windowStart;
      if (from + field.end - field.start <= this.#window.byteLength) return this.#window.slice(from, from + field.end - field.start);
    }
    return this.source.read(field.start, field.end);
  }

  async text(field: Field, limit = 1_000_000): Promise<string> {
    if (field.wireType !== 2 || field.end - field.start > limit) throw this.error(field.start, `field ${field.number} is no text`);
    return new TextDecoder().decode(await this.bytes(field));
  }

  /** Integers packed into one length-delimited field. */
  async varints(field: Field): Promise<BigUint64Array> {
    const bytes = await this.bytes(field);
    let count = 0;
    for (const byte of bytes) if (byte < 128) count++;
    if (bytes.byteLength > 0 && bytes.at(-1)! >= 128) throw this.error(field.start, 'the bytes end inside a number');
    const values = new BigUint64Array(count);
    // Two halves of 32 bits, because arithmetic on a bigint for each byte would take most of the time.
    const halves = new Uint32Array(values.buffer);
    let [low, high, length, at] = [0, 0, 0, 0];
    for (const byte of bytes) {
      const bits = byte & 127;
      if (length === MAX_VARINT_BYTES) throw this.error(field.start, 'a number has more than ten bytes');
      if (length < 4) low |= bits << (7 * length);
      else if (length === 4) {
        low |= bits << 28;
        high = bits >>> 4;
      } else high |= bits << (7 * length - 32);
      length++;
      if (byte < 128) {
        halves[at++] = low;
        halves[at++] = high;
        [low, high, length] = [0, 0, 0];
      }
    }
    return values;
  }

  error(offset: number, problem: string): ModelError {
    return new ModelError('malformed', problem, { file: this.source.name, offset });
  }

  /** A number that begins in the window. */
  #varint(at: number, end: number): { value: bigint; next: number } {
    let value = 0;
    let wide = 0n;
    let position = at - this.#windowStart;
    for (let length = 0; length < MAX_VARINT_BYTES; length++, position++) {
      if (this.#windowStart + position >= end || position >= this.#window.byteLength)
        throw this.error(at, 'the bytes end inside a number. Is the file truncated?');
      const byte = this.#window[position]!;
      // Seven bytes fit into a number exactly.
      if (length < 7) value += (byte & 127) * 2 ** (7 * length);
      else wide |= BigInt(byte & 127) << BigInt(7 * length);
      if (byte < 128) return { value: BigInt.asUintN(64, wide | BigInt(value)), next: this.#windowStart + position + 1 };
    }
    throw this.error(at, 'a number has more than ten bytes');
  }

  /** Whether the window holds a whole number from `at` on, as far as the source has one. */
  #holds(at: number): boolean {
    return at >= this.#windowStart && Math.min(at + MAX_VARINT_BYTES, this.source.byteLength) <= this.#windowStart + this.#window.byteLength;
  }

  async #load(at: number): Promise<void> {
    const end = Math.min(this.source.byteLength, at + WINDOW_BYTES);
    this.#window = await this.source.read(Math.min(at, end), end);
    this.#windowStart = Math.min(at, end);
  }
}
