/** Reads HDF5's structures: little-endian, with offsets and lengths whose width the superblock states. */

import { breathe } from '../../bytes/breath.js';
import { Budget } from '../../bytes/budget.js';
import { type ByteSource, sliceSource } from '../../bytes/byte-source.js';
import { decodeLatin1 } from '../../bytes/latin1.js';
import { ModelError } from '../../errors.js';
import { lookup3 } from './lookup3.js';

/** No structure of metadata is larger; dense heaps and symbol tables stay far below. */
const MAX_BLOCK_BYTES = 2 ** 26;

/** Metadata is read a few times over at most; what is counted for a file of any size is enough for some ten thousand objects. */
const BUDGET_PER_BYTE = 8;
const BUDGET_BYTES = 2 ** 23;
/** A read costs more than its bytes. */
const READ_BYTES = 256;

const SIGNATURE_BYTES = 4;
/** Behind everything that HDF5 has written in its newer forms. */
export const CHECKSUM_BYTES = 4;

/** The file, its base address and the widths of addresses and lengths. */
export class Hdf5File {
  /** Counts bytes of metadata that are read, and of values that are decoded from them. */
  readonly budget: Budget;

  constructor(
    readonly source: ByteSource,
    /** Of the superblock; all addresses count from it. */
    readonly base: number,
    readonly offsetSize: number,
    readonly lengthSize: number,
  ) {
    this.budget = new Budget(BUDGET_PER_BYTE * source.byteLength + BUDGET_BYTES, 'the metadata of this HDF5 file', source.name);
  }

  /** A cursor over metadata bytes at an address. */
  async block(address: number, byteLength: number): Promise<Cursor> {
    if (byteLength > MAX_BLOCK_BYTES) throw this.error(address, `a structure of ${byteLength} bytes is larger than any that HDF5 writes`);
    this.budget.spend(READ_BYTES + byteLength);
    await breathe();
    const start = this.base + address;
    return new Cursor(this, await this.source.read(start, start + byteLength), address);
  }

  /** A cursor that starts with a signature. @throws ModelError 'malformed' when it is not there */
  async signed(address: number, signature: string, byteLength: number): Promise<Cursor> {
    const cursor = await this.block(address, byteLength);
    const found = cursor.text(4);
    if (found !== signature) throw this.error(address, `"${signature}" was expected, ${JSON.stringify(found)} found`);
    return cursor;
  }

  /** A cursor over a structure that ends with its checksum, which `byteLength` counts. @throws ModelError 'malformed' when it does not fit */
  async checked(address: number, byteLength: number): Promise<Cursor> {
    const { bytes } = await this.block(address, byteLength);
    const end = Math.max(0, byteLength - CHECKSUM_BYTES);
    const stored = new Cursor(this, bytes.subarray(end), address + end).u32();
    if (lookup3(bytes.subarray(0, end)) !== stored) throw this.error(address, 'a structure of the file fails its checksum: the file is damaged');
    return new Cursor(this, bytes.subarray(0, end), address);
  }

  /** As `checked`, of what starts with a signature. */
  async checkedSigned(address: number, signature: string, byteLength: number): Promise<Cursor> {
    await this.signed(address, signature, Math.min(byteLength, SIGNATURE_BYTES));
    return (await this.checked(address, byteLength)).skip(SIGNATURE_BYTES);
  }

  /** Bytes of elements, as a window of the file. */
  window(address: number, byteLength: number): ByteSource {
    return sliceSource(this.source, this.base + address, this.base + address + byteLength);
  }

  /** Bytes from an address to the end of the file. */
  bytesFrom(address: number): number {
    return this.source.byteLength - this.base - address;
  }

  error(address: number, problem: string, kind: 'malformed' | 'unsupported' | 'unsafe' = 'malformed'): ModelError {
    return new ModelError(kind, problem, { file: this.source.name, offset: this.base + address });
  }
}

/** A position in a block of metadata; reading past its end is an error that names the place. */
export class Cursor {
  at = 0;
  readonly #view: DataView;

  constructor(
    readonly file: Hdf5File,
    readonly bytes: Uint8Array,
    /** Address of the first byte. */
    readonly address: number,
  ) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get left(): number {
    return this.bytes.byteLength - this.at;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#take(2), true);
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  /** An unsigned number of 1 to 8 bytes. */
  uint(width: number): number {
    const start = this.#take(width);
    let value = 0;
    for (let i = width - 1; i >= 0; i--) value = value * 256 + this.bytes[start + i]!;
    if (!Number.isSafeInteger(value)) throw this.error(`${value} is beyond any file`);
    return value;
  }

  length(): number {
    return this.uint(this.file.lengthSize);
  }

  /** An address, or null for the undefined one (all bits set). */
  offset(): number | null {
    const start = this.#take(this.file.offsetSize);
    const raw = this.bytes.subarray(start, start + this.file.offsetSize);
    if (raw.every((byte) => byte === 255)) return null;
    this.at = start;
    return this.uint(this.file.offsetSize);
  }

  /** An address that must be there. */
  definedOffset(): number {
    const address = this.offset();
    if (address === null) throw this.error('an address is undefined');
    return address;
  }

  take(count: number): Uint8Array {
    const start = this.#take(count);
    return this.bytes.subarray(start, start + count);
  }

  skip(count: number): this {
    this.#take(count);
    return this;
  }

  text(count: number): string {
    return decodeLatin1(this.take(count));
  }

  /** A NUL-terminated UTF-8 string. */
  cString(): string {
    const end = this.bytes.indexOf(0, this.at);
    if (end < 0) throw this.error('a name has no end');
    const name = new TextDecoder().decode(this.bytes.subarray(this.at, end));
    this.at = end + 1;
    return name;
  }

  /** A cursor over the next `count` bytes. */
  sub(count: number): Cursor {
    const address = this.address + this.at;
    return new Cursor(this.file, this.take(count), address);
  }

  /** A second cursor over the same bytes. */
  restarted(): Cursor {
    return new Cursor(this.file, this.bytes, this.address);
  }

  error(problem: string, kind: 'malformed' | 'unsupported' | 'unsafe' = 'malformed'): ModelError {
    return this.file.error(this.address + this.at, problem, kind);
  }

  #take(count: number): number {
    if (count > this.left) throw this.error(`${count} bytes were expected here, ${this.left} are left in this structure`);
    const start = this.at;
    this.at += count;
    return start;
  }
}
