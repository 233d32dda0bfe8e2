/** Finds the chunks of a dataset through any of HDF5's six chunk indexes. */

import { walkBTree1, walkBTree2 } from './btree.js';
import type { Hdf5File } from './cursor.js';
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

/** Reads entries of an array: an address, and with filters the stored size and the mask. */
async function readEntries(
  file: Hdf5File,
  address: number,
  count: number,
  entrySize: number,
  filtered: boolean,
  chunkBytes: number,
  visit: Visit,
): Promise<void> {
  const cursor = await file.block(address, count * entrySize);
  for (let i = 0; i < count; i++) {
    const entry = cursor.sub(entrySize);
    const at = entry.offset();
    const byteLength = filtered ? entry.uint(entrySize - file.offsetSize - 4) : chunkBytes;
    const mask = filtered ? entry.u32() : 0;
    visit(at === null ? null : { address: at, byteLength, mask });
  }
}

async function readFixedArray(file: Hdf5File, address: number, chunkBytes: number, visit: Visit): Promise<void> {
  const head = await file.signed(address, 'FAHD', 8 + file.lengthSize + file.offsetSize);
  const filtered = head.skip(1).u8() === 1;
  const entrySize = head.u8();
  const pageBits = head.u8();
  const count = head.length();
  const block = head.offset();
  if (block === null) return;
  if (count > MAX_CHUNKS) throw file.error(address, `${count} chunks are more than are read`, 'unsafe');
  const headLength = 6 + file.offsetSize;
  const pageEntries = 2 ** pageBits;
  if (count <= pageEntries) {
    await file.signed(block, 'FADB', headLength);
    return readEntries(file, block + headLength, count, entrySize, filtered, chunkBytes, visit);
  }
  const pages = Math.ceil(count / pageEntries);
  const bitmapLength = Math.ceil(pages / 8);
  const bitmap = (await file.signed(block, 'FADB', headLength + bitmapLength)).skip(headLength - 4).take(bitmapLength);
  let at = block + headLength + bitmapLength + 4;
  for (let page = 0; page < pages; page++) {
    const entries = Math.min(pageEntries, count - page * pageEntries);
    if (bitmap[page >> 3]! & (0x80 >> (page & 7))) await readEntries(file, at, entries, entrySize, filtered, chunkBytes, visit);
    else for (let i = 0; i < entries; i++) visit(null);
    at += entries * entrySize + 4;
  }
}

async function readExtensibleArray(file: Hdf5File, address: number, chunkBytes: number, visit: Visit): Promise<void> {
  const head = await file.signed(address, 'EAHD', 12 + 6 * file.lengthSize + file.offsetSize);
  const filtered = head.skip(1).u8() === 1;
  const [entrySize, maxBits, indexEntries, minEntries, minPointers, pageBits] = [head.u8(), head.u8(), head.u8(), head.u8(), head.u8(), head.u8()] as const;
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
  let left = used;
  const take: Visit = (entry) => {
    if (left > 0) visit(entry);
    left--;
  };
  await file.signed(indexBlock, 'EAIB', headLength);
  await readEntries(file, indexBlock + headLength, indexEntries, entrySize, filtered, chunkBytes, take);
  const pointers = await file.block(indexBlock + headLength + indexEntries * entrySize, (directBlocks + Math.max(0, superBlocks - inIndex)) * file.offsetSize);
  const readDataBlock = async (block: number | null, entries: number) => {
    if (left <= 0) return;
    if (block === null) {
      for (let i = 0; i < entries && left > 0; i++) take(null);
      return;
    }
    await file.signed(block, 'EADB', headLength + offsetBytes);
    let at = block + headLength + offsetBytes;
    if (entries <= 2 ** pageBits) return readEntries(file, at, entries, entrySize, filtered, chunkBytes, take);
    at += 4;
    for (let done = 0; done < entries && left > 0; done += 2 ** pageBits) {
      await readEntries(file, at, 2 ** pageBits, entrySize, filtered, chunkBytes, take);
      at += 2 ** pageBits * entrySize + 4;
    }
  };
  for (let level = 0; level < inIndex; level++) {
    for (let i = 0; i < 2 ** Math.floor(level / 2); i++) await readDataBlock(pointers.offset(), minEntries * 2 ** Math.ceil(level / 2));
  }
  for (let level = inIndex; level < superBlocks && left > 0; level++) {
    const count = 2 ** Math.floor(level / 2);
    const entries = minEntries * 2 ** Math.ceil(level / 2);
    const block = pointers.offset();
    if (block === null) {
      for (let i = 0; i < count * entries && left > 0; i++) take(null);
      continue;
    }
    const pages = entries > 2 ** pageBits ? entries / 2 ** pageBits : 0;
    const bitmapLength = count * Math.ceil(pages / 8);
    const cursor = await file.signed(block, 'EASB', headLength + offsetBytes + bitmapLength + count * file.offsetSize);
    cursor.skip(headLength - 4 + offsetBytes + bitmapLength);
    for (let i = 0; i < count; i++) await readDataBlock(cursor.offset(), entries);
  }
}
