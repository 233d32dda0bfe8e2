/** Finds the chunks of a dataset through any of HDF5's six chunk indexes. */

import { walkBTree1, walkBTree2 } from './btree.js';
import { CHECKSUM_BYTES, type Cursor, type Hdf5File } from './cursor.js';
import type { Layout } from './layout.js';

export interface StoredChunk {
  readonly address: number;
  /** As stored, after filters. */
  readonly byteLength: number;
  /** Bit i set: filter i was not applied. */
  readonly mask: number;
}

/** Chunks by their number in row-major order of the grid that covers the dataset; missing ones were never written. */
export type ChunkTable = ReadonlyMap<number, StoredChunk>;

type Chunked = Extract<Layout, { kind: 'chunked' }>;

const MAX_CHUNKS = 5_000_000;
/** Chunks that were never written take no bytes, so a file may claim many; those that were take an address each and some data. */
const MAX_UNWRITTEN = 10_000;
const MIN_CHUNK_BYTES = 32;

export async function readChunkTable(
  file: Hdf5File,
  layout: Chunked,
  shape: readonly number[],
  maximum: readonly number[],
  chunkBytes: number,
  filtered: boolean,
): Promise<ChunkTable> {
  const grid = shape.map((size, axis) => Math.ceil(size / layout.chunk[axis]!));
  const total = grid.reduce((product, count) => product * count, 1);
  if (total > Math.min(MAX_CHUNKS, Math.max(MAX_UNWRITTEN, file.source.byteLength / MIN_CHUNK_BYTES))) {
    throw file.error(layout.address ?? 0, `${total} chunks are more than a file of ${file.source.byteLength} bytes holds`, 'unsafe');
  }
  const table = new Map<number, StoredChunk>();
  if (layout.address === null || total === 0) return table;
  const number = (scaled: readonly number[]) => scaled.reduce((index, position, axis) => index * grid[axis]! + position, 0);
  const inside = (scaled: readonly number[]) => scaled.every((position, axis) => position < grid[axis]!);
  const put = (scaled: readonly number[], chunk: StoredChunk) => {
    if (inside(scaled)) table.set(number(scaled), chunk);
  };
  const { address, index, chunk } = layout;
  switch (index.kind) {
    case 'single':
      table.set(0, { address, byteLength: index.byteLength ?? chunkBytes, mask: index.mask });
      break;
    case 'implicit':
      for (let i = 0; i < total; i++) table.set(i, { address: address + i * chunkBytes, byteLength: chunkBytes, mask: 0 });
      break;
    case 'btree1':
      // Key: stored size, filter mask, offsets in elements, and one more for the element itself.
      await walkBTree1(file, address, 1, 8 + 8 * (shape.length + 1), async (key, child) => {
        const byteLength = key.u32();
        const mask = key.u32();
        const scaled = shape.map((_, axis) => Math.floor(key.uint(8) / chunk[axis]!));
        put(scaled, { address: child, byteLength, mask });
      });
      break;
    case 'btree2':
      await walkBTree2(file, address, (record) => {
        const at = record.definedOffset();
        const sizeWidth = filtered ? record.bytes.byteLength - file.offsetSize - 4 - 8 * shape.length : 0;
        const byteLength = filtered ? record.uint(sizeWidth) : chunkBytes;
        const mask = filtered ? record.u32() : 0;
        put(
          shape.map(() => record.uint(8)),
          { address: at, byteLength, mask },
        );
      });
      break;
    case 'fixed-array':
    case 'extensible-array': {
      const order = arrayOrder(maximum, chunk);
      let position = 0;
      const visit = (entry: StoredChunk | null) => {
        if (entry) {
          const scaled = order.toScaled(position);
          put(scaled, entry);
        }
        position++;
      };
      if (index.kind === 'fixed-array') await readFixedArray(file, address, chunkBytes, visit);
      else await readExtensibleArray(file, address, chunkBytes, visit);
      break;
    }
  }
  return table;
}

/** Arrays number chunks over the largest sizes; an unlimited axis counts slowest. */
function arrayOrder(maximum: readonly number[], chunk: readonly number[]): { toScaled(position: number): number[] } {
  const unlimited = maximum.indexOf(Number.POSITIVE_INFINITY);
  const axes = maximum.map((_, axis) => axis);
  if (unlimited > 0) axes.unshift(...axes.splice(unlimited, 1));
  const counts = axes.map((axis) => (maximum[axis] === Number.POSITIVE_INFINITY ? 1 : Math.ceil(maximum[axis]! / chunk[axis]!)));
  return {
    toScaled(position) {
      const scaled = new Array<number>(maximum.length).fill(0);
      let rest = position;
      for (let i = axes.length - 1; i > 0; i--) {
        scaled[axes[i]!] = rest % counts[i]!;
        rest = Math.floor(rest / counts[i]!);
      }
      if (axes.length > 0) scaled[axes[0]!] = rest;
      return scaled;
    },
  };
}

type Visit = (entry: StoredChunk | null) => void;

/** How an array keeps its entries: an address each, and with filters the stored size and the mask. */
interface Entries {
  readonly size: number;
  readonly filtered: boolean;
  readonly chunkBytes: number;
}

function visitEntries(cursor: Cursor, count: number, { size, filtered, chunkBytes }: Entries, visit: Visit): void {
  for (let i = 0; i < count; i++) {
    const entry = cursor.sub(size);
    const at = entry.offset();
    const byteLength = filtered ? entry.uint(size - cursor.file.offsetSize - 4) : chunkBytes;
    const mask = filtered ? entry.u32() : 0;
    visit(at === null ? null : { address: at, byteLength, mask });
  }
}

async function readFixedArray(file: Hdf5File, address: number, chunkBytes: number, visit: Visit): Promise<void> {
  const head = await file.checkedSigned(address, 'FAHD', 8 + file.lengthSize + file.offsetSize + CHECKSUM_BYTES);
  const filtered = head.skip(1).u8() === 1;
  const entries: Entries = { size: head.u8(), filtered, chunkBytes };
  const pageBits = head.u8();
  const count = head.length();
  const block = head.offset();
  if (block === null) return;
  if (count > MAX_CHUNKS) throw file.error(address, `${count} chunks are more than are read`, 'unsafe');
  const headLength = 6 + file.offsetSize;
  const pageEntries = 2 ** pageBits;
  if (count <= pageEntries) {
    const cursor = await file.checkedSigned(block, 'FADB', headLength + count * entries.size + CHECKSUM_BYTES);
    return visitEntries(cursor.skip(headLength - 4), count, entries, visit);
  }
  const pages = Math.ceil(count / pageEntries);
  const bitmapLength = Math.ceil(pages / 8);
  const bitmap = (await file.checkedSigned(block, 'FADB', headLength + bitmapLength + CHECKSUM_BYTES)).skip(headLength - 4).take(bitmapLength);
  let at = block + headLength + bitmapLength + CHECKSUM_BYTES;
  for (let page = 0; page < pages; page++) {
    const held = Math.min(pageEntries, count - page * pageEntries);
    const byteLength = held * entries.size + CHECKSUM_BYTES;
    if (bitmap[page >> 3]! & (0x80 >> (page & 7))) visitEntries(await file.checked(at, byteLength), held, entries, visit);
    else for (let i = 0; i < held; i++) visit(null);
    at += byteLength;
  }
}

async function readExtensibleArray(file: Hdf5File, address: number, chunkBytes: number, visit: Visit): Promise<void> {
  const head = await file.checkedSigned(address, 'EAHD', 12 + 6 * file.lengthSize + file.offsetSize + CHECKSUM_BYTES);
  const filtered = head.skip(1).u8() === 1;
  const [size, maxBits, indexEntries, minEntries, minPointers, pageBits] = [head.u8(), head.u8(), head.u8(), head.u8(), head.u8(), head.u8()] as const;
  const entries: Entries = { size, filtered, chunkBytes };
  head.skip(4 * file.lengthSize);
  const used = head.length();
  head.length();
  const indexBlock = head.offset();
  if (indexBlock === null) return;
  if (minEntries === 0 || minPointers < 2 || used > MAX_CHUNKS) throw file.error(address, 'the shape of an extensible array makes no sense');
  const offsetBytes = Math.ceil(maxBits / 8);
  const directBlocks = 2 * (minPointers - 1);
  const superBlocks = 1 + maxBits - Math.log2(minEntries);
  const inIndex = 2 * Math.log2(minPointers);
  const headLength = 6 + file.offsetSize;
  const pageEntries = 2 ** pageBits;
  let left = used;
  const take: Visit = (entry) => {
    if (left > 0) visit(entry);
    left--;
  };
  const pointerBytes = (directBlocks + Math.max(0, superBlocks - inIndex)) * file.offsetSize;
  const index = await file.checkedSigned(indexBlock, 'EAIB', headLength + indexEntries * size + pointerBytes + CHECKSUM_BYTES);
  visitEntries(index.skip(headLength - 4), indexEntries, entries, take);
  const readDataBlock = async (block: number | null, held: number, isWritten: (page: number) => boolean) => {
    if (left <= 0) return;
    if (block === null) {
      for (let i = 0; i < held && left > 0; i++) take(null);
      return;
    }
    const blockHead = headLength + offsetBytes;
    if (held <= pageEntries) {
      const cursor = await file.checkedSigned(block, 'EADB', blockHead + held * size + CHECKSUM_BYTES);
      return visitEntries(cursor.skip(blockHead - 4), held, entries, take);
    }
    await file.checkedSigned(block, 'EADB', blockHead + CHECKSUM_BYTES);
    const pageBytes = pageEntries * size + CHECKSUM_BYTES;
    for (let page = 0; page < held / pageEntries && left > 0; page++) {
      const at = block + blockHead + CHECKSUM_BYTES + page * pageBytes;
      if (isWritten(page)) visitEntries(await file.checked(at, pageBytes), pageEntries, entries, take);
      else for (let i = 0; i < pageEntries; i++) take(null);
    }
  };
  for (let level = 0; level < inIndex; level++) {
    for (let i = 0; i < 2 ** Math.floor(level / 2); i++) await readDataBlock(index.offset(), minEntries * 2 ** Math.ceil(level / 2), () => true);
  }
  for (let level = inIndex; level < superBlocks && left > 0; level++) {
    const count = 2 ** Math.floor(level / 2);
    const held = minEntries * 2 ** Math.ceil(level / 2);
    const block = index.offset();
    if (block === null) {
      for (let i = 0; i < count * held && left > 0; i++) take(null);
      continue;
    }
    const pages = held > pageEntries ? held / pageEntries : 0;
    const bitmapLength = count * Math.ceil(pages / 8);
    const cursor = await file.checkedSigned(block, 'EASB', headLength + offsetBytes + bitmapLength + count * file.offsetSize + CHECKSUM_BYTES);
    const bitmap = cursor.skip(headLength - 4 + offsetBytes).take(bitmapLength);
    // The bits of one data block follow those of the one before, whatever bytes they take.
    const isWritten = (bit: number) => (bitmap[bit >> 3]! & (0x80 >> (bit & 7))) !== 0;
    for (let i = 0; i < count; i++) await readDataBlock(cursor.offset(), held, (page) => isWritten(i * pages + page));
  }
}
