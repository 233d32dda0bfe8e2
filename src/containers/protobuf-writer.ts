/**
 * Encodes protobuf messages whose big byte fields are streamed.
 *
 * A message is a list of pieces whose length is known before any big field's bytes are: protobuf wants every length up front.
 *
 * @see https://protobuf.dev/programming-guides/encoding/
 */
import type { FileSink } from '../bytes/byte-sink.js';
import { concatBytes } from '../bytes/byte-sink.js';

/** Bytes that are made when they are written: exactly `byteLength` of them. */
export interface Span {
  readonly byteLength: number;
  /** Yields the bytes in order; a yielded chunk need only be valid until the next is asked for. */
  chunks(): AsyncIterable<Uint8Array>;
}

export type Piece = Uint8Array | Span;

const VARINT = 0;
const LENGTH_DELIMITED = 2;
const FIXED32 = 5;

/** Larger byte fields are pieces of their own; smaller ones are copied, so that a file of many fields is not as many arrays. */
const COPIED_BYTES = 1024;

const TEXT = new TextEncoder();
const FLOAT_BYTES = new Uint8Array(4);
const FLOAT = new DataView(FLOAT_BYTES.buffer);

/** A message under construction. Fields are encoded in the order of the calls. */
export class MessageBuilder {
  /** What lies before the bytes at hand. */
  readonly #done: Piece[] = [];
  #bytes = new Uint8Array(64);
  #length = 0;
  /** Of the encoded message. */
  byteLength = 0;

  get pieces(): readonly Piece[] {
    return this.#length === 0 ? this.#done : [...this.#done, this.#bytes.subarray(0, this.#length)];
  }

  /** The message, where no piece of it is streamed. */
  toBytes(): Uint8Array {
    return concatBytes(this.pieces as readonly Uint8Array[]);
  }

  /** int64, int32, enum, bool. */
  int(field: number, value: number | bigint): this {
    return this.#tag(field, VARINT).#varint(value);
  }

  float(field: number, value: number): this {
    FLOAT.setFloat32(0, value, true);
    return this.#tag(field, FIXED32).#add(FLOAT_BYTES);
  }

  string(field: number, text: string): this {
    this.#tag(field, LENGTH_DELIMITED);
    if (this.#addLetters(text)) return this;
    const bytes = TEXT.encode(text);
    return this.#varint(bytes.byteLength).#add(bytes);
  }

  /** A bytes field; a span is streamed later. */
  bytes(field: number, bytes: Piece): this {
    return this.#tag(field, LENGTH_DELIMITED).#varint(bytes.byteLength).#add(bytes);
  }

  /** Fields that are encoded already. */
  raw(fields: Piece): this {
    return this.#add(fields);
  }

  message(field: number, message: MessageBuilder): this {
    this.#tag(field, LENGTH_DELIMITED).#varint(message.byteLength);
    for (const piece of message.#done) this.#add(piece);
    return message.#length === 0 ? this : this.#add(message.#bytes.subarray(0, message.#length));
  }

  #tag(field: number, wireType: number): this {
    return this.#varint(field * 8 + wireType);
  }

  #varint(value: number | bigint): this {
    // Tags and nearly all lengths are one byte.
    if (typeof value !== 'number' || value < 0 || value > 127) return this.#add(encodeVarint(value));
    this.#makeRoom(1);
    this.#bytes[this.#length++] = value;
    this.byteLength++;
    return this;
  }

  /** A short text of ASCII behind its length, as nearly all names are: an encoder takes longer to be called. False where it is none, and nothing is added. */
  #addLetters(text: string): boolean {
    if (text.length > 127) return false;
    this.#makeRoom(1 + text.length);
    let at = this.#length;
    this.#bytes[at++] = text.length;
    for (let i = 0; i < text.length; i++) {
      const letter = text.charCodeAt(i);
      if (letter > 127) return false;
      this.#bytes[at++] = letter;
    }
    this.#length = at;
    this.byteLength += 1 + text.length;
    return true;
  }

  #add(piece: Piece): this {
    this.byteLength += piece.byteLength;
    if (piece instanceof Uint8Array && piece.byteLength <= COPIED_BYTES) {
      this.#makeRoom(piece.byteLength);
      this.#bytes.set(piece, this.#length);
      this.#length += piece.byteLength;
      return this;
    }
    if (this.#length > 0) this.#done.push(this.#bytes.subarray(0, this.#length));
    this.#done.push(piece);
    this.#bytes = new Uint8Array(64);
    this.#length = 0;
    return this;
  }

  #makeRoom(byteLength: number): void {
    const needed = this.#length + byteLength;
    if (needed <= this.#bytes.byteLength) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.byteLength));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }
}

/**
 * Streams pieces into a file; the small ones between two spans are joined into one write.
 *
 * @param onBytes called with the length of every write
 * @throws Error when a span yields another number of bytes than it promised (a bug: the file would be broken)
 */
export async function writePieces(pieces: readonly Piece[], out: FileSink, onBytes: (byteLength: number) => void = () => {}): Promise<void> {
  let small: Uint8Array[] = [];
  const flush = async () => {
    if (small.length === 0) return;
    const joined = concatBytes(small);
    small = [];
    await out.write(joined);
    onBytes(joined.byteLength);
  };
  for (const piece of pieces) {
    if (piece instanceof Uint8Array) {
      small.push(piece);
      continue;
    }
    await flush();
    let written = 0;
    for await (const chunk of piece.chunks()) {
      await out.write(chunk);
      written += chunk.byteLength;
      onBytes(chunk.byteLength);
    }
    if (written !== piece.byteLength) throw new Error(`a span of ${piece.byteLength} bytes yielded ${written}`);
  }
  await flush();
}

/** Base-128 little-endian; negative numbers as 64-bit two's complement, as int32 and int64 fields have them. */
export function encodeVarint(value: number | bigint): Uint8Array {
  // Tags and nearly all lengths and sizes are one byte or two; 64-bit arithmetic takes many times as long.
  if (typeof value === 'number' && value >= 0 && value < 128) return Uint8Array.of(value);
  if (typeof value === 'number' && value >= 0 && value < 16384) return Uint8Array.of((value & 127) | 128, value >> 7);
  let rest = BigInt.asUintN(64, BigInt(value));
  const bytes: number[] = [];
  while (rest > 127n) {
    bytes.push(Number(rest & 127n) | 128);
    rest >>= 7n;
  }
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}
