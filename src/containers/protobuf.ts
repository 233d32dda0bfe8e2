/**
 * Reads protobuf's wire format: fields as numbers and spans, without a schema and without loading what is large.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */
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

/** A source read through a small window, for the many small reads of a scan. */
export class WireReader {
  #window: Uint8Array = new Uint8Array();
  #windowStart = 0;

  constructor(readonly source: ByteSource) {}

  /**
   * The fields of the message that lies in [start, end). Length-delimited contents are jumped over, not read.
   *
   * @throws ModelError 'malformed' at the byte where the bytes stop being a message
   */
  async *fields(start: number, end: number): AsyncGenerator<Field> {
    let at = start;
    while (at < end) {
      const fieldAt = at;
      const tag = await this.#varint(at, end);
      at = tag.next;
      const number = Number(tag.value >> 3n);
      const wireType = Number(tag.value & 7n);
      if (number === 0 || number > 0x1fffffff) throw this.error(fieldAt, `${number} is no field number`);
      let contentStart = at;
      let contentEnd: number;
      let varint = 0n;
      if (wireType === 0) {
        const read = await this.#varint(at, end);
        varint = read.value;
        contentEnd = read.next;
      } else if (wireType === 1 || wireType === 5) contentEnd = at + (wireType === 1 ? 8 : 4);
      else if (wireType === 2) {
        const length = await this.#varint(at, end);
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
      await this.#load(field.start);
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
  async varints(field: Field): Promise<bigint[]> {
    const values: bigint[] = [];
    let value = 0n;
    let shift = 0n;
    for (const byte of await this.bytes(field)) {
      value |= BigInt(byte & 127) << shift;
      shift += 7n;
      if (shift > 70n) throw this.error(field.start, 'a number has more than ten bytes');
      if (byte < 128) {
        values.push(BigInt.asUintN(64, value));
        [value, shift] = [0n, 0n];
      }
    }
    if (shift > 0n) throw this.error(field.start, 'the bytes end inside a number');
    return values;
  }

  error(offset: number, problem: string): ModelError {
    return new ModelError('malformed', problem, { file: this.source.name, offset });
  }

  async #varint(at: number, end: number): Promise<{ value: bigint; next: number }> {
    await this.#load(at);
    let value = 0n;
    let position = at - this.#windowStart;
    for (let shift = 0n; shift < 70n; shift += 7n, position++) {
      if (this.#windowStart + position >= end || position >= this.#window.byteLength)
        throw this.error(at, 'the bytes end inside a number. Is the file truncated?');
      const byte = this.#window[position]!;
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return { value: BigInt.asUintN(64, value), next: this.#windowStart + position + 1 };
    }
    throw this.error(at, 'a number has more than ten bytes');
  }

  /** Makes the window hold at least ten bytes from `at` on, as far as the source has them. */
  async #load(at: number): Promise<void> {
    const end = Math.min(this.source.byteLength, at + WINDOW_BYTES);
    const held = at >= this.#windowStart && Math.min(at + 10, this.source.byteLength) <= this.#windowStart + this.#window.byteLength;
    if (held) return;
    this.#window = await this.source.read(Math.min(at, end), end);
    this.#windowStart = Math.min(at, end);
  }
}
