/** HDF5 files byte by byte, for tests that need a file to say what no library would write: superblock 2, object headers 2. */
import { lookup3 } from '../src/containers/hdf5/lookup3.js';

type Bytes = Uint8Array;

const UNDEFINED = 0xffffffffffffffffn;

export const u8 = (...values: number[]): Bytes => Uint8Array.from(values);
export const u16 = (...values: number[]): Bytes => new Uint8Array(Uint16Array.from(values).buffer);
export const u32 = (...values: number[]): Bytes => new Uint8Array(Uint32Array.from(values).buffer);
/** Addresses and lengths; null is the undefined address. */
export const u64 = (...values: (number | null)[]): Bytes =>
  new Uint8Array(BigUint64Array.from(values, (value) => (value === null ? UNDEFINED : BigInt(value))).buffer);
export const ascii = (text: string): Bytes => Uint8Array.from(text, (character) => character.charCodeAt(0));

export function joined(...parts: readonly Bytes[]): Bytes {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.byteLength;
  }
  return bytes;
}

export const repeated = (part: Bytes, count: number): Bytes => {
  const bytes = new Uint8Array(part.byteLength * count);
  for (let i = 0; i < count; i++) bytes.set(part, i * part.byteLength);
  return bytes;
};

/** Parts of a structure, and its checksum. */
export function checked(...parts: readonly Bytes[]): Bytes {
  const bytes = joined(...parts);
  return joined(bytes, u32(lookup3(bytes)));
}

export interface MessageBytes {
  readonly type: number;
  readonly body: Bytes;
  readonly flags?: number;
}

export const FLOAT32 = joined(u8(0x11, 0x20, 31, 0), u32(4), u16(0, 32), u8(23, 8, 0, 23), u32(127));
export const UINT8 = joined(u8(0x10, 0, 0, 0), u32(1), u16(0, 8));
export const fixedString = (size: number): Bytes => joined(u8(0x13, 0, 0, 0), u32(size));
/** Variable-length strings: a length, the address of a global heap collection, an index in it. */
export const VARIABLE_STRING = joined(u8(0x19, 1, 0, 0), u32(16), fixedString(1));

/** A simple dataspace; [] for a scalar. */
export const dataspace = (shape: readonly number[], maximum?: readonly (number | null)[]): Bytes =>
  joined(u8(2, shape.length, maximum ? 1 : 0, shape.length === 0 ? 0 : 1), u64(...shape), ...(maximum ? [u64(...maximum)] : []));

export const hardLink = (name: string, address: number): MessageBytes => ({ type: 6, body: joined(u8(1, 0, name.length), ascii(name), u64(address)) });
export const softLink = (name: string, path: string): MessageBytes => ({
  type: 6,
  body: joined(u8(1, 8, 1, name.length), ascii(name), u16(path.length), ascii(path)),
});

export const attribute = (name: string, type: Bytes, space: Bytes, data: Bytes): MessageBytes => ({
  type: 12,
  body: joined(u8(3, 0), u16(name.length + 1, type.byteLength, space.byteLength), u8(0), ascii(`${name}\0`), type, space, data),
});
export const textAttribute = (name: string, text: string): MessageBytes => attribute(name, fixedString(text.length), dataspace([]), ascii(text));
/** A list of texts of one length. */
export const textsAttribute = (name: string, texts: readonly string[]): MessageBytes =>
  attribute(name, fixedString(texts[0]!.length), dataspace([texts.length]), ascii(texts.join('')));

export interface ChunkedLayout {
  readonly chunk: readonly number[];
  /** Of an element. */
  readonly size: number;
  /** Kind of the chunk index, and what the layout message says of it. */
  readonly index: Bytes;
  readonly address: number | null;
}

export const contiguous = (address: number | null, byteLength: number): MessageBytes => ({ type: 8, body: joined(u8(3, 1), u64(address, byteLength)) });
/** Layout version 4. */
export const chunked = ({ chunk, size, index, address }: ChunkedLayout): MessageBytes => ({
  type: 8,
  body: joined(u8(4, 2, 0, chunk.length + 1, 8), u64(...chunk, size), index, u64(address)),
});
/** Layout version 3, whose index is a B-tree of version 1. */
export const chunkedOld = (chunk: readonly number[], size: number, address: number | null): MessageBytes => ({
  type: 8,
  body: joined(u8(3, 2, chunk.length + 1), u64(address), u32(...chunk, size)),
});

/** Filters by number: 1 deflate, 2 shuffle (with the element's size), 3 fletcher32. */
export const filters = (...list: readonly (readonly [id: number, ...values: number[]])[]): MessageBytes => ({
  type: 11,
  body: joined(u8(2, list.length), ...list.map(([id, ...values]) => joined(u16(id, 0, values.length), u32(...values)))),
});

export const dataset = (shape: readonly number[], type: Bytes, ...layout: readonly MessageBytes[]): MessageBytes[] => [
  { type: 1, body: dataspace(shape) },
  { type: 3, body: type },
  ...layout,
];

export class Hdf5Image {
  readonly #pieces: { at: number; bytes: Bytes }[] = [];
  #end = 48;

  /** Where the next piece comes to lie. */
  get end(): number {
    return this.#end;
  }

  /** @returns the address */
  place(...parts: readonly Bytes[]): number {
    const at = this.#end;
    const bytes = joined(...parts);
    this.#pieces.push({ at, bytes });
    this.#end += bytes.byteLength;
    return at;
  }

  /** Places bytes that overwrite what lies there. */
  patch(at: number, bytes: Bytes): void {
    this.#pieces.push({ at, bytes });
  }

  object(messages: readonly MessageBytes[]): number {
    return this.place(objectHeader(messages));
  }

  bytes(root: number): Bytes {
    const file = new Uint8Array(this.#end);
    file.set(checked(ascii('\x89HDF\r\n\x1a\n'), u8(2, 8, 8, 0), u64(0, null, this.#end, root)));
    for (const { at, bytes } of this.#pieces) file.set(bytes, at);
    return file;
  }
}

/** An object header of version 2 whose messages are at most 65,535 bytes each. */
export function objectHeader(messages: readonly MessageBytes[]): Bytes {
  const bodies = messages.map(({ type, body, flags = 0 }) => joined(u8(type), u16(body.byteLength), u8(flags), body));
  const content = joined(...bodies);
  return checked(ascii('OHDR'), u8(2, 2), u32(content.byteLength), content);
}
