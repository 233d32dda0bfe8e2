/** The links of a group, wherever they are kept: symbol table, messages, or a fractal heap. */

import { walkBTree1, walkBTree2 } from './btree.js';
import type { Cursor, Hdf5File } from './cursor.js';
import { openFractalHeap, readLocalHeap } from './heaps.js';
import { MESSAGE, type Message } from './object-header.js';

export type Link = { readonly kind: 'hard'; readonly address: number } | { readonly kind: 'soft'; readonly path: string } | { readonly kind: 'external' };

export async function readLinks(file: Hdf5File, messages: readonly Message[]): Promise<Map<string, Link>> {
  const links = new Map<string, Link>();
  for (const message of messages) {
    if (message.type === MESSAGE.symbolTable) await readSymbolTable(file, message.body(), links);
    else if (message.type === MESSAGE.link) addLink(message.body(), links);
    else if (message.type === MESSAGE.linkInfo) await readDenseLinks(file, message.body(), links);
  }
  return links;
}

async function readSymbolTable(file: Hdf5File, body: Cursor, links: Map<string, Link>): Promise<void> {
  const tree = body.definedOffset();
  const heap = await readLocalHeap(file, body.definedOffset());
  const nameAt = (offset: number): string => {
    const cursor = heap.restarted();
    return cursor.skip(offset).cString();
  };
  const entryLength = 2 * file.offsetSize + 24;
  await walkBTree1(file, tree, 0, file.lengthSize, async (_key, address) => {
    const count = (await file.signed(address, 'SNOD', 8)).skip(2).u16();
    const entries = await file.block(address + 8, count * entryLength);
    for (let i = 0; i < count; i++) {
      const entry = entries.sub(entryLength);
      const name = nameAt(entry.uint(file.offsetSize));
      const header = entry.offset();
      const cacheType = entry.u32();
      if (cacheType === 2) links.set(name, { kind: 'soft', path: nameAt(entry.skip(4).u32()) });
      else if (header !== null) links.set(name, { kind: 'hard', address: header });
    }
  });
}

async function readDenseLinks(file: Hdf5File, body: Cursor, links: Map<string, Link>): Promise<void> {
  const flags = body.skip(1).u8();
  if (flags & 1) body.skip(8);
  const heapAddress = body.offset();
  const tree = body.offset();
  if (heapAddress === null || tree === null) return;
  const heap = await openFractalHeap(file, heapAddress);
  // Records are ordered by a hash of the name: the hash, then the heap id.
  await walkBTree2(file, tree, async (record) => addLink(await heap.read(record.skip(4).take(heap.idLength)), links));
}

/** Link message: version, flags, type, creation order, character set, name, target. */
function addLink(body: Cursor, links: Map<string, Link>): void {
  const version = body.u8();
  if (version !== 1) throw body.error(`a link of version ${version} is not known`);
  const flags = body.u8();
  const type = flags & 8 ? body.u8() : 0;
  body.skip((flags & 4 ? 8 : 0) + (flags & 16 ? 1 : 0));
  const name = new TextDecoder().decode(body.take(body.uint(1 << (flags & 3))));
  if (type === 0) links.set(name, { kind: 'hard', address: body.definedOffset() });
  else if (type === 1) links.set(name, { kind: 'soft', path: new TextDecoder().decode(body.take(body.u16())) });
  else links.set(name, { kind: 'external' });
}
