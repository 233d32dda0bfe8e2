/** Object headers, versions 1 and 2: the list of messages that describe a group or a dataset. */
import { CHECKSUM_BYTES, type Cursor, type Hdf5File } from './cursor.js';

export const MESSAGE = {
  dataspace: 0x1,
  linkInfo: 0x2,
  datatype: 0x3,
  oldFillValue: 0x4,
  fillValue: 0x5,
  link: 0x6,
  externalFiles: 0x7,
  layout: 0x8,
  filters: 0xb,
  attribute: 0xc,
  continuation: 0x10,
  symbolTable: 0x11,
  attributeInfo: 0x15,
} as const;

export interface Message {
  readonly type: number;
  /** The body stands elsewhere; `resolveShared` finds it. */
  readonly shared: boolean;
  /** A cursor at the start of the body, anew at each call. */
  body(): Cursor;
}

/** The most that the count of a version 1 header can say; no object of a real file comes near. */
const MAX_MESSAGES = 65_535;
const MAX_CONTINUATIONS = 10_000;
/** Messages at hand spare reading the headers along a path for each object below it. */
const KEPT_MESSAGES = 200_000;

interface KeptHeaders {
  readonly byAddress: Map<number, readonly Message[]>;
  messages: number;
}
const keptHeaders = new WeakMap<Hdf5File, KeptHeaders>();

/**
 * The messages of an object.
 *
 * @throws ModelError 'malformed'
 */
export async function readObjectHeader(file: Hdf5File, address: number): Promise<readonly Message[]> {
  const kept = keptHeaders.get(file) ?? { byAddress: new Map(), messages: 0 };
  keptHeaders.set(file, kept);
  const known = kept.byAddress.get(address);
  if (known) return known;
  const messages = await parseObjectHeader(file, address);
  if (kept.messages + messages.length > KEPT_MESSAGES) {
    kept.byAddress.clear();
    kept.messages = 0;
  }
  kept.byAddress.set(address, messages);
  kept.messages += messages.length;
  return messages;
}

async function parseObjectHeader(file: Hdf5File, address: number): Promise<Message[]> {
  const start = await file.block(address, Math.min(16, Math.max(0, file.bytesFrom(address))));
  return start.bytes[0] === 0x4f ? readVersion2(file, address) : readVersion1(file, start);
}

async function readVersion1(file: Hdf5File, start: Cursor): Promise<Message[]> {
  const version = start.u8();
  if (version !== 1) throw file.error(start.address, `an object header of version ${version} is not known`);
  const count = start.skip(1).u16();
  const byteLength = start.skip(4).u32();
  return readBlocks(
    file,
    { address: start.address + 16, byteLength },
    (block) => file.block(block.address, block.byteLength),
    (cursor, messages) => {
      while (cursor.left >= 8 && messages.length < count) {
        const type = cursor.u16();
        const size = cursor.u16();
        const flags = cursor.u8();
        cursor.skip(3);
        messages.push(toMessage(type, flags, cursor.sub(size)));
      }
    },
  );
}

async function readVersion2(file: Hdf5File, address: number): Promise<Message[]> {
  const head = await file.signed(address, 'OHDR', Math.min(34, file.bytesFrom(address)));
  const version = head.u8();
  if (version !== 2) throw file.error(address, `an object header of version ${version} is not known`);
  const flags = head.u8();
  head.skip((flags & 0x20 ? 16 : 0) + (flags & 0x10 ? 4 : 0));
  const byteLength = head.uint(1 << (flags & 3));
  // The first block's checksum covers what stands before it; a continuation's length counts its signature and checksum.
  const first = { address, byteLength: head.at + byteLength + CHECKSUM_BYTES };
  const readBlock = async (block: Block) =>
    block === first ? (await file.checked(address, block.byteLength)).skip(head.at) : file.checkedSigned(block.address, 'OCHK', block.byteLength);
  return readBlocks(file, first, readBlock, (cursor, messages) => {
    const headLength = flags & 4 ? 6 : 4;
    while (cursor.left >= headLength) {
      const type = cursor.u8();
      const size = cursor.u16();
      const messageFlags = cursor.u8();
      if (flags & 4) cursor.skip(2);
      messages.push(toMessage(type, messageFlags, cursor.sub(size)));
    }
  });
}

interface Block {
  readonly address: number;
  readonly byteLength: number;
}

/** Messages of the first block and of those in which it continues. */
async function readBlocks(
  file: Hdf5File,
  first: Block,
  readBlock: (block: Block) => Promise<Cursor>,
  parseBlock: (cursor: Cursor, messages: Message[]) => void,
): Promise<Message[]> {
  const blocks = [first];
  const messages: Message[] = [];
  const seen = new Set<number>();
  for (let i = 0; i < blocks.length; i++) {
    const { address } = blocks[i]!;
    if (seen.has(address) || blocks.length > MAX_CONTINUATIONS) throw file.error(address, 'an object header continues in a circle');
    seen.add(address);
    const before = messages.length;
    parseBlock(await readBlock(blocks[i]!), messages);
    if (messages.length > MAX_MESSAGES) throw file.error(address, 'an object header has more messages than any real one', 'unsafe');
    for (const message of messages.slice(before)) {
      if (message.type !== MESSAGE.continuation) continue;
      const body = message.body();
      blocks.push({ address: body.definedOffset(), byteLength: body.length() });
    }
  }
  return messages;
}

function toMessage(type: number, flags: number, cursor: Cursor): Message {
  return { type, shared: (flags & 2) !== 0, body: () => cursor.restarted() };
}

/** The body of a message, wherever it stands: a committed datatype is a message of another object. */
export async function resolveShared(file: Hdf5File, message: Message): Promise<Cursor> {
  return message.shared ? readShared(file, message.body(), message.type) : message.body();
}

/** Follows a shared message's reference. */
export async function readShared(file: Hdf5File, reference: Cursor, type: number): Promise<Cursor> {
  const version = reference.u8();
  const kind = reference.u8();
  if (version === 1) reference.skip(6);
  if (version === 3 && kind === 1) throw reference.error('messages in a shared-message heap are not read', 'unsupported');
  const address = reference.definedOffset();
  const found = (await readObjectHeader(file, address)).find((candidate) => candidate.type === type && !candidate.shared);
  if (!found) throw file.error(address, 'a shared message is not where its reference says');
  return found.body();
}
