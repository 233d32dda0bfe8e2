/**
 * Reads FlatBuffers without a schema compiler: tables by the number of their field, vectors and strings, each position checked. The bytes
 * of large vectors stay where they lie.
 *
 * @see https://flatbuffers.dev/internals/
 */
import { Budget } from '../bytes/budget.js';
import type { ByteSource } from '../bytes/byte-source.js';
import { ModelError } from '../errors.js';

/** Metadata is read a block at a time; vectors of weights are only pointed at. */
const BLOCK_BYTES = 65_536;
/** A table, its layout and what it points to lie in different ones, and tables one after the other in the same. */
const MAX_BLOCKS = 32;
/** The widest number that is read at once, which may begin in one block and end in the next. */
const WIDEST = 8;

/** Positions that a file sends its reader to; a file of hundreds of tensors takes some ten thousand. */
const MAX_TABLES = 300_000;
/** The largest table of TensorFlow Lite's schema has some thirty. */
const MAX_FIELDS = 256;
/** Names, shapes and settings of the largest models; as much again as the file's own size may be read, and no part again and again. */
const FREE_BYTES = 2 ** 24;

export interface Span {
  readonly start: number;
  readonly count: number;
}

/** A table of the buffer. Fields that it does not have read as their default. */
export interface Table {
  readonly at: number;
  /** Where each field lies; 0 for one that is left out. */
  readonly fields: readonly number[];
  /** Where the table ends. */
  readonly end: number;
}

interface Layout {
  readonly size: number;
  /** 0 for a field that is left out. */
  readonly offsets: readonly number[];
}

export class FlatBuffer {
  /** By their numbers, the oldest first. */
  readonly #blocks = new Map<number, DataView>();
  #tables = 0;
  readonly #budget: Budget;
  /** By where a layout lies: tables of one kind share theirs. */
  readonly #layouts = new Map<number, Layout>();

  constructor(readonly source: ByteSource) {
    this.#budget = new Budget(FREE_BYTES + source.byteLength, 'the metadata of this file', source.name);
  }

  /** The table that the buffer begins with. */
  async root(): Promise<Table> {
    return this.#table(await this.#uint32(0));
  }

  async byte(table: Table, field: number): Promise<number> {
    const at = table.fields[field];
    return at ? (await this.#view(at, 1)).getInt8(0) : 0;
  }

  /** Whether a field is there and not zero, whatever its width: its bytes end where the next field's begin. */
  async isSet(table: Table, field: number): Promise<boolean> {
    const at = table.fields[field];
    if (!at) return false;
    const next = Math.min(at + 8, table.end, ...table.fields.filter((other) => other > at));
    const view = await this.#view(at, Math.max(1, next - at));
    return Array.from({ length: view.byteLength }, (_, i) => view.getUint8(i)).some((value) => value !== 0);
  }

  async int32(table: Table, field: number, missing = 0): Promise<number> {
    const at = table.fields[field];
    return at ? (await this.#view(at, 4)).getInt32(0, true) : missing;
  }

  async float32(table: Table, field: number, missing = 0): Promise<number> {
    const at = table.fields[field];
    return at ? (await this.#view(at, 4)).getFloat32(0, true) : missing;
  }

  async uint64(table: Table, field: number): Promise<number> {
    const at = table.fields[field];
    return at ? Number((await this.#view(at, 8)).getBigUint64(0, true)) : 0;
  }

  async text(table: Table, field: number): Promise<string> {
    const span = await this.vector(table, field, 1);
    if (span.count > 1_000_000) throw this.#error(span.start, `a name of ${span.count} bytes`);
    return new TextDecoder().decode(await this.bytes(span));
  }

  async child(table: Table, field: number): Promise<Table | null> {
    const at = table.fields[field];
    return at ? this.#table(at + (await this.#uint32(at))) : null;
  }

  /** Where a vector of elements of `width` bytes lies; empty where it is left out. */
  async vector(table: Table, field: number, width: number): Promise<Span> {
    const at = table.fields[field];
    if (!at) return { start: 0, count: 0 };
    const vector = at + (await this.#uint32(at));
    const count = await this.#uint32(vector);
    if (vector + 4 + count * width > this.source.byteLength)
      throw this.#error(vector, `a vector of ${count} elements runs past the end of the file. Is it truncated?`);
    return { start: vector + 4, count };
  }

  async tables(table: Table, field: number): Promise<Table[]> {
    const { start, count } = await this.vector(table, field, 4);
    const tables: Table[] = [];
    for (let i = 0; i < count; i++) tables.push(await this.#table(start + 4 * i + (await this.#uint32(start + 4 * i))));
    return tables;
  }

  async int32s(table: Table, field: number): Promise<number[]> {
    const { bytes, count } = await this.#bytes(table, field, 4);
    return Array.from({ length: count }, (_, i) => bytes.getInt32(4 * i, true));
  }

  async float32s(table: Table, field: number): Promise<number[]> {
    const { bytes, count } = await this.#bytes(table, field, 4);
    return Array.from({ length: count }, (_, i) => bytes.getFloat32(4 * i, true));
  }

  async int64s(table: Table, field: number): Promise<number[]> {
    const { bytes, count } = await this.#bytes(table, field, 8);
    return Array.from({ length: count }, (_, i) => Number(bytes.getBigInt64(8 * i, true)));
  }

  /** What a vector of bytes holds; what is read again counts again. */
  async bytes({ start, count }: Span): Promise<Uint8Array> {
    this.#budget.spend(count);
    return this.source.read(start, start + count);
  }

  async #bytes(table: Table, field: number, width: number) {
    const { start, count } = await this.vector(table, field, width);
    // As numbers they take eight bytes each, whatever they take here.
    this.#budget.spend(8 * count);
    const bytes = await this.source.read(start, start + count * width);
    return { bytes: new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), count };
  }

  async #table(at: number): Promise<Table> {
    if (++this.#tables > MAX_TABLES) throw this.#error(at, `more than ${MAX_TABLES} tables`);
    const layout = at - (await this.#view(at, 4)).getInt32(0, true);
    const known = this.#layouts.get(layout) ?? (await this.#layout(layout));
    this.#layouts.set(layout, known);
    this.#budget.spend(known.offsets.length);
    return { at, fields: known.offsets.map((offset) => (offset === 0 ? 0 : at + offset)), end: at + known.size };
  }

  /** How large a kind of table is, and where its fields lie, from its beginning. */
  async #layout(at: number): Promise<Layout> {
    const byteLength = (await this.#view(at, 2)).getUint16(0, true);
    if (byteLength < 4 || byteLength % 2 !== 0 || byteLength > 4 + 2 * MAX_FIELDS) throw this.#error(at, `a table's layout of ${byteLength} bytes`);
    const size = (await this.#view(at + 2, 2)).getUint16(0, true);
    const offsets: number[] = [];
    for (let entry = 4; entry < byteLength; entry += 2) offsets.push((await this.#view(at + entry, 2)).getUint16(0, true));
    return { size, offsets };
  }

  async #uint32(at: number): Promise<number> {
    return (await this.#view(at, 4)).getUint32(0, true);
  }

  async #view(at: number, width: number): Promise<DataView> {
    if (!Number.isSafeInteger(at) || at < 0 || at + width > this.source.byteLength)
      throw this.#error(Math.max(0, at), 'points outside the file. Is it truncated?');
    const number = Math.floor(at / BLOCK_BYTES);
    const block = this.#blocks.get(number) ?? (await this.#block(number));
    return new DataView(block.buffer, block.byteOffset + at - number * BLOCK_BYTES, width);
  }

  async #block(number: number): Promise<DataView> {
    const start = number * BLOCK_BYTES;
    const bytes = await this.source.read(start, Math.min(this.source.byteLength, start + BLOCK_BYTES + WIDEST));
    const block = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const [oldest] = this.#blocks.keys();
    if (this.#blocks.size >= MAX_BLOCKS) this.#blocks.delete(oldest!);
    this.#blocks.set(number, block);
    return block;
  }

  #error(offset: number, problem: string): ModelError {
    return new ModelError('malformed', problem, { file: this.source.name, offset: Math.min(offset, this.source.byteLength) });
  }
}
