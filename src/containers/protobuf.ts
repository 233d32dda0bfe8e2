/**
 * Reads protobuf's wire format: fields as numbers and spans, without a schema and without loading what is large.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */
import { breathe } from '../bytes/breath.js';
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
const MAX_FIELD_NUMBER = 0x1fffffff;
/** Fields between two pauses. */
const BREATH_FIELDS = 4096;
/** A tag, and the number or the length behind it. */
const MAX_HEAD_BYTES = 2 * MAX_VARINT_BYTES;
const DECODER = new TextDecoder();
/** Most numbers of a message are such; each of its own takes memory. */
const SMALL: readonly bigint[] = Array.from({ length: 256 }, (_, value) => BigInt(value));

/** A source read through a small window, for the many small reads of a scan. */
export class WireReader {
  #window: Uint8Array = new Uint8Array();
  #windowStart = 0;
  #fields = 0;
  /** Their number at the next pause. */
  #breath = BREATH_FIELDS;
  /** Where the number that was read last ends. */
  #next = 0;

  constructor(readonly source: ByteSource) {}

  /**
   * The fields of the message that lies in [start, end). Length-delimited contents are jumped over, not read.
   *
   * @throws ModelError 'malformed' at the byte where the bytes stop being a message, 'unsafe' where the file is read to have more fields than any net
   */
  async *fields(start: number, end: number): AsyncGenerator<Field> {
    let at = start;
    while (at < end) {
      if (this.#fields >= this.#breath) {
        this.#breath = this.#fields + BREATH_FIELDS;
        await breathe();
      }
      if (!this.#holds(at, at + MAX_HEAD_BYTES)) await this.#load(at);
      const field = this.#field(at, end);
      yield field;
      at = field.end;
    }
  }

  /**
   * Hands over the fields of a message by the thousand: all at once where it is small, as those are that say what a net is. A generator would take longer
   * than reading them.
   */
  async eachBatch({ start, end }: { start: number; end: number }, take: (fields: readonly Field[]) => Promise<void> | void): Promise<void> {
    let fields: Field[] = [];
    if (end - start > WINDOW_BYTES) {
      for await (const field of this.fields(start, end)) {
        if (fields.push(field) < BREATH_FIELDS) continue;
        await take(fields);
        fields = [];
      }
    } else {
      if (!this.#holds(start, end)) await this.#load(start);
      for (let at = start; at < end; at = fields.at(-1)!.end) fields.push(this.#field(at, end));
    }
    await take(fields);
  }

  /** The field whose tag begins in the window. */
  #field(start: number, end: number): Field {
    if (++this.#fields > MAX_FIELDS) {
      throw new ModelError('unsafe', 'the messages have more fields than those of any net', { file: this.source.name, offset: start });
    }
    const tag = this.#varint(start, end);
    const number = typeof tag === 'number' ? Math.floor(tag / 8) : Number(tag >> 3n);
    const wireType = Number(typeof tag === 'number' ? tag % 8 : tag & 7n);
    if (number === 0 || number > MAX_FIELD_NUMBER) throw this.error(start, `${number} is no field number`);
    const at = this.#next;
    if (wireType === 0) {
      const value = this.#varint(at, end);
      const varint = SMALL[Number(value)] ?? BigInt(value);
      return { number, wireType, varint, start: at, end: this.#next };
    }
    if (wireType === 1 || wireType === 5) {
      const contentEnd = at + (wireType === 1 ? 8 : 4);
      if (contentEnd > end) throw this.error(start, `field ${number} runs past its message. Is the file truncated?`);
      return { number, wireType, varint: 0n, start: at, end: contentEnd };
    }
    if (wireType !== 2) throw this.error(start, `wire type ${wireType} of field ${number} is not known`);
    const length = this.#varint(at, end);
    const contentStart = this.#next;
    if (length > end - contentStart) throw this.error(start, `field ${number} claims ${length} bytes, ${end - contentStart} are left. Is the file truncated?`);
    return { number, wireType, varint: 0n, start: contentStart, end: contentStart + Number(length) };
  }

  async bytes(field: { start: number; end: number }): Promise<Uint8Array> {
    return this.#held(field)?.slice() ?? this.source.read(field.start, field.end);
  }

  /** At once where the window holds it, as it does what was just read of a small message. */
  text(field: Field, limit = 1_000_000): string | Promise<string> {
    if (field.wireType !== 2 || field.end - field.start > limit) throw this.error(field.start, `field ${field.number} is no text`);
    const held = this.#held(field);
    return held ? DECODER.decode(held) : this.bytes(field).then((bytes) => DECODER.decode(bytes));
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

  /** A number that begins in the window; `#next` is where it ends. */
  #varint(at: number, end: number): number | bigint {
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
      if (byte >= 128) continue;
      this.#next = this.#windowStart + position + 1;
      return length < 7 ? value : BigInt.asUintN(64, wide | BigInt(value));
    }
    throw this.error(at, 'a number has more than ten bytes');
  }

  /** A view of what lies in the window whole. */
  #held({ start, end }: { start: number; end: number }): Uint8Array | undefined {
    return this.#holds(start, end) ? this.#window.subarray(start - this.#windowStart, end - this.#windowStart) : undefined;
  }

  /** Whether the window holds what lies in [start, end), as far as the source has it. */
  #holds(start: number, end: number): boolean {
    return start >= this.#windowStart && Math.min(end, this.source.byteLength) <= this.#windowStart + this.#window.byteLength;
  }

  async #load(at: number): Promise<void> {
    const end = Math.min(this.source.byteLength, at + WINDOW_BYTES);
    this.#window = await this.source.read(Math.min(at, end), end);
    this.#windowStart = Math.min(at, end);
  }
}
