/** Local, global and fractal heaps: where names, variable-length strings and dense attributes live. */
import { walkBTree2 } from './btree.js';
import { CHECKSUM_BYTES, Cursor, type Hdf5File } from './cursor.js';

/** @returns the bytes of a local heap, in which names of symbol-table groups stand */
export async function readLocalHeap(file: Hdf5File, address: number): Promise<Cursor> {
  const head = await file.signed(address, 'HEAP', 8 + 2 * file.lengthSize + file.offsetSize);
  const size = head.skip(4).length();
  head.length();
  return file.block(head.definedOffset(), size);
}

/** Strings of one attribute lie in one collection or in neighbours, so a few collections at hand spare reading them for each string. */
const KEPT_COLLECTIONS = 4;
const keptCollections = new WeakMap<Hdf5File, Map<number, ReadonlyMap<number, Uint8Array>>>();

/** @throws ModelError 'malformed' when the collection has no such object */
export async function readGlobalHeapObject(file: Hdf5File, address: number, wanted: number): Promise<Uint8Array> {
  const kept = keptCollections.get(file) ?? new Map<number, ReadonlyMap<number, Uint8Array>>();
  keptCollections.set(file, kept);
  let collection = kept.get(address);
  if (!collection) {
    collection = await readCollection(file, address);
    const [oldest] = kept.keys();
    if (kept.size >= KEPT_COLLECTIONS) kept.delete(oldest!);
    kept.set(address, collection);
  }
  const object = collection.get(wanted);
  if (!object) throw file.error(address, `the global heap has no object ${wanted}`);
  return object;
}

/** The objects of a global heap collection, by index. */
async function readCollection(file: Hdf5File, address: number): Promise<Map<number, Uint8Array>> {
  const headLength = 8 + file.lengthSize;
  const size = (await file.signed(address, 'GCOL', headLength)).skip(4).length();
  const cursor = await file.block(address, size);
  cursor.skip(headLength);
  const objects = new Map<number, Uint8Array>();
  while (cursor.left >= headLength) {
    const index = cursor.u16();
    cursor.skip(6);
    const length = cursor.length();
    if (index === 0) break;
    const object = cursor.take(length);
    if (!objects.has(index)) objects.set(index, object);
    cursor.skip(Math.min(cursor.left, (8 - (length % 8)) % 8));
  }
  return objects;
}

/** Most doublings of a block that 64-bit addresses allow. */
const MAX_ROWS = 128;

/** Objects by heap id: links and attributes of objects that have many. */
export interface FractalHeap {
  readonly idLength: number;
  read(id: Uint8Array): Promise<Cursor>;
}

export async function openFractalHeap(file: Hdf5File, address: number): Promise<FractalHeap> {
  const O = file.offsetSize;
  const L = file.lengthSize;
  const head = await file.signed(address, 'FRHP', 22 + 12 * L + 3 * O);
  head.skip(1);
  const idLength = head.u16();
  const filterLength = head.u16();
  const flags = head.u8();
  const maxManaged = head.u32();
  head.skip(L);
  const hugeTree = head.offset();
  head.skip(L + O + 8 * L);
  const width = head.u16();
  const startSize = head.length();
  const maxDirect = head.length();
  const maxBits = head.u16();
  head.skip(2);
  const root = head.offset();
  const rows = head.u16();
  if (filterLength > 0) throw head.error('filtered fractal heaps are not read', 'unsupported');
  await file.checked(address, head.bytes.byteLength + CHECKSUM_BYTES);
  if (width === 0 || startSize === 0 || maxBits === 0 || maxBits > 64 || rows > MAX_ROWS) throw head.error('the shape of a fractal heap makes no sense');
  const offsetBytes = Math.ceil(maxBits / 8);
  const lengthBytes = Math.min(Math.floor(Math.log2(maxDirect) / 8) + 1, Math.floor(Math.log2(Math.max(1, maxManaged)) / 8) + 1);
  const directRows = Math.log2(maxDirect) - Math.log2(startSize) + 2;
  const rowSize = (row: number) => startSize * 2 ** Math.max(0, row - 1);
  const blockHead = 5 + O + offsetBytes;

  /** Address of the direct block that holds a heap offset, and where that block begins in the heap. */
  async function findBlock(offset: number): Promise<{ address: number; start: number }> {
    if (root === null) throw file.error(address, 'the fractal heap is empty');
    let block = root;
    let start = 0;
    let blockRows = rows;
    for (let depth = 0; blockRows > 0; depth++) {
      if (depth > MAX_ROWS) throw file.error(block, 'a fractal heap nests in a circle');
      const cursor = await file.checkedSigned(block, 'FHIB', blockHead + blockRows * width * O + CHECKSUM_BYTES);
      cursor.skip(blockHead - 4);
      let row = 0;
      let column = 0;
      let at = start;
      while (row < blockRows && at + rowSize(row) <= offset) {
        at += rowSize(row);
        if (++column === width) [row, column] = [row + 1, 0];
      }
      if (row >= blockRows) throw file.error(block, `the fractal heap has no offset ${offset}`);
      block = cursor.skip((row * width + column) * O).definedOffset();
      start = at;
      blockRows = row < directRows ? 0 : Math.log2(rowSize(row) / startSize / width) + 1;
    }
    return { address: block, start };
  }

  /** An object too large for the heap's blocks: its address stands in the id, or in a B-tree under the number that the id holds. */
  async function readHuge(id: Cursor): Promise<Cursor> {
    if (idLength - 1 >= O + L) return file.block(id.definedOffset(), id.length());
    const wanted = id.uint(Math.min(L, idLength - 1));
    let found: { address: number; length: number } | null = null;
    if (hugeTree !== null) {
      await walkBTree2(file, hugeTree, (record) => {
        const place = { address: record.definedOffset(), length: record.length() };
        if (record.length() === wanted) found = place;
      });
    }
    if (!found) throw file.error(address, `the fractal heap has no huge object ${wanted}`);
    const { address: at, length } = found as { address: number; length: number };
    return file.block(at, length);
  }

  return {
    idLength,
    async read(id) {
      const kind = (id[0]! >> 4) & 3;
      const cursor = new Cursor(file, id, address);
      cursor.skip(1);
      if (kind === 2) return cursor.sub(idLength <= 18 ? (id[0]! & 15) + 1 : 0);
      if (kind === 1) return readHuge(cursor);
      const offset = cursor.uint(offsetBytes);
      const length = cursor.uint(lengthBytes);
      const block = await findBlock(offset);
      await file.signed(block.address, 'FHDB', blockHead + (flags & 2 ? 4 : 0));
      return file.block(block.address + offset - block.start, length);
    },
  };
}
