/** B-trees: version 1 for symbol tables and chunks, version 2 for dense links, dense attributes and chunks. */
import { CHECKSUM_BYTES, type Cursor, type Hdf5File } from './cursor.js';

/** A B-tree of more levels holds more entries than any file has bytes. */
const MAX_DEPTH = 40;
const MAX_RECORDS = 10_000_000;

/**
 * Visits the leaves of a version 1 tree in order.
 *
 * @param keyLength bytes of a key
 * @param visit gets the key before each child of a leaf node, and the child's address
 */
export async function walkBTree1(
  file: Hdf5File,
  root: number,
  type: 0 | 1,
  keyLength: number,
  visit: (key: Cursor, child: number) => Promise<void>,
): Promise<void> {
  const seen = new Set<number>();
  const walk = async (address: number, depth: number): Promise<void> => {
    if (depth > MAX_DEPTH || seen.has(address)) throw file.error(address, 'a B-tree runs in a circle');
    seen.add(address);
    const headLength = 8 + 2 * file.offsetSize;
    const head = await file.signed(address, 'TREE', headLength);
    const nodeType = head.u8();
    const level = head.u8();
    const count = head.u16();
    if (nodeType !== type) throw file.error(address, `a B-tree of type ${type} was expected, ${nodeType} found`);
    const cursor = await file.block(address + headLength, count * (keyLength + file.offsetSize));
    for (let i = 0; i < count; i++) {
      const key = cursor.sub(keyLength);
      const child = cursor.definedOffset();
      if (level > 0) await walk(child, depth + 1);
      else await visit(key, child);
    }
  };
  await walk(root, 0);
}

/** Visits the records of a version 2 tree, in no particular order. */
export async function walkBTree2(file: Hdf5File, address: number, visit: (record: Cursor) => Promise<void> | void): Promise<void> {
  const head = await file.checkedSigned(address, 'BTHD', 18 + file.offsetSize + file.lengthSize + CHECKSUM_BYTES);
  head.skip(2);
  const nodeSize = head.u32();
  const recordSize = head.u16();
  const depth = head.u16();
  const root = head.skip(2).offset();
  const rootCount = head.u16();
  if (root === null || rootCount === 0) return;
  if (recordSize === 0 || depth > MAX_DEPTH) throw file.error(address, 'the shape of a B-tree makes no sense');
  const sizes = pointerSizes(nodeSize, recordSize, depth, file.offsetSize);
  const seen = new Set<number>();
  let records = 0;
  const walk = async (node: number, count: number, level: number): Promise<void> => {
    if (seen.has(node)) throw file.error(node, 'a B-tree runs in a circle');
    seen.add(node);
    const pointerLength = file.offsetSize + sizes.count + (level > 1 ? sizes.total[level - 1]! : 0);
    const byteLength = 6 + count * recordSize + (level > 0 ? (count + 1) * pointerLength : 0);
    const cursor = await file.checkedSigned(node, level > 0 ? 'BTIN' : 'BTLF', byteLength + CHECKSUM_BYTES);
    cursor.skip(2);
    for (let i = 0; i < count; i++) {
      if (++records > MAX_RECORDS) throw file.error(node, 'a B-tree has more records than any file', 'unsafe');
      await visit(cursor.sub(recordSize));
    }
    for (let i = 0; level > 0 && i <= count; i++) {
      const child = cursor.definedOffset();
      const childCount = cursor.uint(sizes.count);
      if (level > 1) cursor.skip(sizes.total[level - 1]!);
      await walk(child, childCount, level - 1);
    }
  };
  await walk(root, rootCount, depth);
}

/** Widths of the counts in internal nodes, which follow from how many records a node can hold. */
function pointerSizes(nodeSize: number, recordSize: number, depth: number, offsetSize: number): { count: number; total: number[] } {
  const overhead = 10;
  const leafMax = Math.floor((nodeSize - overhead) / recordSize);
  const count = byteWidth(leafMax);
  const total = [0];
  let cumulative = leafMax;
  for (let level = 1; level <= depth; level++) {
    const pointer = offsetSize + count + total[level - 1]!;
    const max = Math.floor((nodeSize - overhead - pointer) / (recordSize + pointer));
    cumulative = (max + 1) * cumulative + max;
    total.push(byteWidth(cumulative));
  }
  return { count, total };
}

/** Bytes that hold numbers up to `limit`. */
export function byteWidth(limit: number): number {
  return Math.floor(Math.log2(Math.max(1, limit)) / 8) + 1;
}
