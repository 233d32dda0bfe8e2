/** Attributes of an object: messages in its header, or entries of a fractal heap where there are many. */

import { walkBTree2 } from './btree.js';
import type { Cursor, Hdf5File } from './cursor.js';
import { parseDataspace, parseDatatype, readAttributeValue } from './datatype.js';
import { openFractalHeap } from './heaps.js';
import { MESSAGE, type Message, readShared, resolveShared } from './object-header.js';
import type { Hdf5Value } from './types.js';

export async function readAttributes(file: Hdf5File, messages: readonly Message[]): Promise<Map<string, Hdf5Value>> {
  const attributes = new Map<string, Hdf5Value>();
  for (const message of messages) {
    if (message.type === MESSAGE.attribute) await addAttribute(file, await resolveShared(file, message), attributes);
    else if (message.type === MESSAGE.attributeInfo) await readDenseAttributes(file, message.body(), attributes);
  }
  return attributes;
}

async function readDenseAttributes(file: Hdf5File, body: Cursor, attributes: Map<string, Hdf5Value>): Promise<void> {
  const flags = body.skip(1).u8();
  if (flags & 1) body.skip(2);
  const heapAddress = body.offset();
  const tree = body.offset();
  if (heapAddress === null || tree === null) return;
  const heap = await openFractalHeap(file, heapAddress);
  await walkBTree2(file, tree, async (record) => addAttribute(file, await heap.read(record.take(heap.idLength)), attributes));
}

async function addAttribute(file: Hdf5File, body: Cursor, attributes: Map<string, Hdf5Value>): Promise<void> {
  const version = body.u8();
  const flags = body.u8();
  if (version < 1 || version > 3) throw body.error(`an attribute of version ${version} is not known`);
  const [nameLength, typeLength, spaceLength] = [body.u16(), body.u16(), body.u16()];
  if (version === 3) body.skip(1);
  // Version 1 pads each part to a multiple of eight bytes.
  const part = (length: number): Cursor => {
    const cursor = body.sub(length);
    if (version === 1) body.skip(Math.min(body.left, (8 - (length % 8)) % 8));
    return cursor;
  };
  const name = part(nameLength).cString();
  const typeBody = part(typeLength);
  const spaceBody = part(spaceLength);
  const type = parseDatatype(version > 1 && flags & 1 ? await readShared(file, typeBody, MESSAGE.datatype) : typeBody);
  const space = parseDataspace(version > 1 && flags & 2 ? await readShared(file, spaceBody, MESSAGE.dataspace) : spaceBody);
  attributes.set(name, await readAttributeValue(file, body, type, space));
}
