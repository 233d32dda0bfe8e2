/**
 * LevelDB's sorted table, in which TensorFlow keeps what belongs to names: of a bundle where the values lie, of a checkpoint of the first version the
 * values themselves.
 *
 * @see https://github.com/google/leveldb/blob/main/doc/table_format.md
 */
import { Budget } from '../bytes/budget.js';
import { type ByteSource, memorySource, sliceSource } from '../bytes/byte-source.js';
import { checkedSource } from '../bytes/checked-source.js';
import { CRC32C } from '../bytes/crc32.js';
import { decodeLatin1 } from '../bytes/latin1.js';
import { ModelError } from '../errors.js';
import { decodeSnappy } from './snappy.js';

const MAGIC = 0xdb4775248b80fb57n;
const FOOTER_BYTES = 48;
/** Compression byte and checksum behind each block. */
const TRAILER_BYTES = 5;
const SNAPPY = 1;
/** What compressed blocks may become together: far more than names of variables take. */
const UNPACKED_BYTES = 2 ** 26;
/** TensorFlow's blocks hold 256 KB, or one value; an index that names ten thousand variables takes half a megabyte. */
const MAX_HELD_BYTES = 2 ** 26;
/** Optimisers keep three for each variable, of which large models have some ten thousand. */
const MAX_ENTRIES = 65_536;
/** Keys are read in pieces of this size where values are left where they are. */
const WINDOW_BYTES = 4096;
/** Three numbers before a key. */
const MAX_HEAD_BYTES = 24;

interface Handle {
  readonly offset: number;
  readonly size: number;
}

/** What blocks may take together, as they are stored and unpacked, and their keys as they are spelt out: shared prefixes could make endless ones. */
interface Budgets {
  readonly stored: Budget;
  readonly unpacked: Budget;
  readonly keys: Budget;
}

/** Whether a file ends as a table does. */
export function looksLikeTable(tail: Uint8Array): boolean {
  if (tail.byteLength < 8) return false;
  return new DataView(tail.buffer, tail.byteOffset, tail.byteLength).getBigUint64(tail.byteLength - 8, true) === MAGIC;
}

/**
 * Keys, each byte a character, and values, in the table's order.
 *
 * @param values 'held' where they are small and all wanted: their blocks are read and checked at once; else blocks that are not compressed are checked as
 *   they are read
 * @throws ModelError 'malformed' where the file is no table
 */
export async function readTable(table: ByteSource, values: 'held' | 'left' = 'held'): Promise<[string, ByteSource][]> {
  const place = { file: table.name };
  if (table.byteLength < FOOTER_BYTES) throw new ModelError('malformed', `${table.byteLength} bytes are no table`, place);
  const footer = await table.read(table.byteLength - FOOTER_BYTES, table.byteLength);
  if (!looksLikeTable(footer)) throw new ModelError('malformed', 'the table ends without its signature. Is it truncated?', place);
  const cursor = new TableBytes(footer, place.file);
  cursor.handle();
  // Blocks lie side by side: all of them together are no longer than the file.
  const what = 'the table of the variables';
  const budgets = {
    stored: new Budget(table.byteLength, what, table.name),
    unpacked: new Budget(UNPACKED_BYTES, what, table.name),
    keys: new Budget(MAX_HELD_BYTES, what, table.name),
  };
  const entries: [string, ByteSource][] = [];
  for (const [, value] of await readBlock(table, cursor.handle(), budgets, 'held')) {
    const handle = new TableBytes(await value.read(0, value.byteLength), place.file).handle();
    for (const entry of await readBlock(table, handle, budgets, values)) {
      if (entries.length >= MAX_ENTRIES) throw new ModelError('unsafe', `more than ${MAX_ENTRIES} entries`, place);
      entries.push(entry);
    }
  }
  return entries;
}

/** Checksums are stored turned and moved, lest a checksum be worked out over one. */
export function unmasked(stored: number): number {
  const turned = (stored - 0xa282ead8) >>> 0;
  return ((turned >>> 17) | (turned << 15)) >>> 0;
}

async function readBlock(table: ByteSource, { offset, size }: Handle, budgets: Budgets, values: 'held' | 'left'): Promise<[string, ByteSource][]> {
  const place = { file: table.name, offset };
  const end = offset + size;
  if (size < 4 || end + TRAILER_BYTES > table.byteLength)
    throw new ModelError('malformed', `a block of ${size} bytes at ${offset} of ${table.byteLength}`, { file: table.name });
  budgets.stored.spend(size + TRAILER_BYTES);
  const trailer = await table.read(end, end + TRAILER_BYTES);
  const packing = trailer[0]!;
  if (packing > SNAPPY) throw new ModelError('unsupported', `a block is compressed in a way that is not known (${packing})`, place);
  const checksum = unmasked(new DataView(trailer.buffer, trailer.byteOffset).getUint32(1, true));
  const damaged = () => new ModelError('malformed', 'a block of the table fails its checksum: the file is damaged', place);
  // What kind it is belongs to what is checked.
  const checked = checkedSource(sliceSource(table, offset, end + 1), checksum, damaged, CRC32C);
  if (values === 'left' && packing !== SNAPPY) {
    await checked.read(size, size + 1);
    return readEntries(sliceSource(checked, 0, size), offset, WINDOW_BYTES, budgets.keys);
  }
  if (size > MAX_HELD_BYTES) throw new ModelError('unsafe', `a block of ${size} bytes, where names and places take a few`, place);
  const bytes = (await checked.read(0, size + 1)).subarray(0, size);
  const whole = packing === SNAPPY ? decodeSnappy(bytes, UNPACKED_BYTES) : bytes;
  if (typeof whole === 'string') throw new ModelError('malformed', `a compressed block ${whole}`, place);
  if (packing === SNAPPY) budgets.unpacked.spend(whole.byteLength);
  return readEntries(memorySource(whole, table.name), offset, whole.byteLength, budgets.keys);
}

/** Keys and values of a block, in which each key leaves out what it shares with the one before. */
async function readEntries(block: ByteSource, offset: number, windowBytes: number, keys: Budget): Promise<[string, ByteSource][]> {
  const file = block.name;
  if (block.byteLength < 4) throw new ModelError('malformed', 'a block is empty', { file, offset });
  const count = await block.read(block.byteLength - 4, block.byteLength);
  const restarts = new DataView(count.buffer, count.byteOffset).getUint32(0, true);
  const end = block.byteLength - 4 - 4 * restarts;
  if (end < 0) throw new ModelError('malformed', `a block with ${restarts} restart points in ${block.byteLength} bytes`, { file, offset });
  // Nobody looks them up here; they are part of what the checksum is of.
  await block.read(end, block.byteLength);
  const entries: [string, ByteSource][] = [];
  let window = new TableBytes(new Uint8Array(), file);
  let key = new Uint8Array();
  for (let at = 0; at < end; ) {
    /** Bytes from here on, as many as there are. */
    const holding = async (byteLength: number): Promise<TableBytes> => {
      const isHeld = at >= window.offset && Math.min(at + byteLength, end) <= window.offset + window.bytes.byteLength;
      if (!isHeld) window = new TableBytes(await block.read(at, Math.min(end, at + Math.max(windowBytes, byteLength))), file, at);
      window.at = at - window.offset;
      return window;
    };
    const head = await holding(MAX_HEAD_BYTES);
    const [shared, own, length] = [head.varint(), head.varint(), head.varint()];
    at = head.offset + head.at;
    const fail = (what: string) => new ModelError('malformed', what, { file, offset: offset + at });
    if (shared > key.byteLength) throw fail('a key shares more than the key before it has');
    if (own + length > end - at) throw fail(`${own + length} bytes are said to follow`);
    keys.spend(shared + own);
    const next = new Uint8Array(shared + own);
    next.set(key.subarray(0, shared));
    next.set((await holding(own)).take(own), shared);
    key = next;
    at += own;
    entries.push([decodeLatin1(key), sliceSource(block, at, at + length)]);
    at += length;
  }
  return entries;
}

/** Numbers as tables have them, seven bits in each byte. */
export class TableBytes {
  at = 0;

  /** @param offset of the first byte, for messages */
  constructor(
    readonly bytes: Uint8Array,
    readonly file: string,
    readonly offset = 0,
  ) {}

  varint(): number {
    let value = 0;
    for (let factor = 1; factor < 2 ** 56; factor *= 128) {
      const byte = this.bytes[this.at++];
      if (byte === undefined) break;
      value += (byte & 127) * factor;
      if (byte < 128) return value;
    }
    throw new ModelError('malformed', 'a number is cut off or too long', { file: this.file, offset: this.offset + this.at });
  }

  handle(): Handle {
    return { offset: this.varint(), size: this.varint() };
  }

  take(length: number): Uint8Array {
    if (length > this.bytes.byteLength - this.at)
      throw new ModelError('malformed', `${length} bytes are said to follow`, { file: this.file, offset: this.offset + this.at });
    const start = this.at;
    this.at += length;
    return this.bytes.subarray(start, this.at);
  }
}
