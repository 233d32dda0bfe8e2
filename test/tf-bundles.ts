/** Small tensor bundles for tests: the table in which TensorFlow keeps what it knows of its variables. */
import { CRC32C } from '../src/bytes/crc32.js';
import { decodeLatin1 } from '../src/bytes/latin1.js';
import { MessageBuilder } from '../src/containers/protobuf-writer.js';
import { type Slice, sliceKey } from '../src/containers/tf-slices.js';
import { joined } from './tf-graphs.js';

/** Where the compression of the first data block is said. */
export function blockEnd(index: Uint8Array): number {
  let [size, at, factor] = [0, index.length - 48, 1];
  // The metaindex handle comes first: it stands behind the data block, which begins at 0 and ends with its trailer.
  for (;;) {
    const value = index[at++]!;
    size += (value & 127) * factor;
    factor *= 128;
    if (value < 128) break;
  }
  return size - 5;
}

export interface BundleEntry {
  readonly name: string;
  readonly shape: readonly number[];
  readonly offset?: number;
  readonly byteLength: number;
  readonly values?: Uint8Array;
  /** DataType's code; 1, float32, where left out. */
  readonly dtype?: number;
  readonly shard?: number;
  /** What the variable is stored in, each under a key of its own. */
  readonly slices?: readonly (Omit<BundleEntry, 'name' | 'slices'> & { readonly slice: Slice })[];
}

interface BundleOptions {
  readonly shards?: number;
  readonly bigEndian?: boolean;
  /** How often the index names the one data block. */
  readonly named?: number;
  /** How blocks are stored: the kind of compression, and what it makes of a block. */
  readonly pack?: (block: readonly number[]) => readonly [kind: number, bytes: readonly number[]];
}

const plain = (bytes: readonly number[]) => [0, bytes] as const;

/** A table of two entries: the bundle's header and one variable. */
export function bundleIndex(name: string, shape: readonly number[], byteLength: number, values?: Uint8Array): Uint8Array {
  return bundleOf([{ name, shape, byteLength, ...(values ? { values } : {}) }]);
}

/** The bundle's header and variables, sorted by name. */
export function bundleOf(variables: readonly BundleEntry[], { shards = 1, bigEndian = false, named = 1, pack = plain }: BundleOptions = {}): Uint8Array {
  const header = joined(new MessageBuilder().int(1, shards).int(2, bigEndian ? 1 : 0));
  const entryOf = ({ shape, offset = 0, byteLength, values, dtype = 1, shard = 0, slices = [] }: Omit<BundleEntry, 'name'>): Uint8Array => {
    const dims = new MessageBuilder();
    for (const size of shape) dims.message(2, new MessageBuilder().int(1, size));
    const fields = new MessageBuilder().int(1, dtype).message(2, dims);
    if (shard > 0) fields.int(3, shard);
    if (offset > 0) fields.int(4, offset);
    fields.int(5, byteLength);
    if (values) fields.raw(Uint8Array.of((6 << 3) | 5, ...maskedChecksum(values)));
    for (const { slice } of slices) {
      const extents = new MessageBuilder();
      for (const { start, length } of slice) extents.message(1, length < 0 ? new MessageBuilder() : new MessageBuilder().int(1, start).int(2, length));
      fields.message(7, extents);
    }
    return joined(fields);
  };
  const entries = variables.flatMap((variable): [string, Uint8Array][] => [
    ...(variable.slices ?? []).map(({ slice, ...part }): [string, Uint8Array] => [
      sliceKey(decodeLatin1(new TextEncoder().encode(variable.name)), slice),
      entryOf(part),
    ]),
    [variable.name, entryOf(variable)],
  ]);
  const stored = (bytes: readonly number[]): number[] => {
    const [kind, packed] = pack(bytes);
    return [...packed, kind, ...maskedChecksum(Uint8Array.from([...packed, kind]))];
  };
  const data = stored(block([['', header], ...entries]));
  const empty = stored(block([]));
  const handle = (offset: number, size: number) => [...varint(offset), ...varint(size)];
  const metaAt = data.length;
  const indexAt = metaAt + empty.length;
  const index = stored(block(new Array(named).fill([`${variables.at(-1)!.name}~`, Uint8Array.from(handle(0, data.length - 5))])));
  const handles = [...handle(metaAt, empty.length - 5), ...handle(indexAt, index.length - 5)];
  const magic = new Uint8Array(8);
  new DataView(magic.buffer).setBigUint64(0, 0xdb4775248b80fb57n, true);
  return Uint8Array.from([...data, ...empty, ...index, ...handles, ...new Array<number>(40 - handles.length).fill(0), ...magic]);
}

/** Four bytes, as TensorFlow stores a CRC-32C. */
function maskedChecksum(bytes: Uint8Array): Uint8Array {
  const crc = CRC32C.update(bytes, 0);
  return new Uint8Array(Uint32Array.of(((crc >>> 15) | (crc << 17)) + 0xa282ead8).buffer);
}

function block(entries: readonly (readonly [string, Uint8Array])[]): number[] {
  const bytes = entries.flatMap(([key, value]) => {
    const name = key.startsWith('\0') ? Array.from(key, (character) => character.charCodeAt(0)) : [...new TextEncoder().encode(key)];
    return [...varint(0), ...varint(name.length), ...varint(value.length), ...name, ...value];
  });
  return [...bytes, 0, 0, 0, 0, 1, 0, 0, 0];
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) + 128);
  }
}

/**
 * A sorted table of such keys, each byte a character, and values.
 *
 * @param options.shares each key leaves out what it shares with the one before; `packs`: blocks are compressed; `perBlock`: how many a block has
 */
export function rawTable(
  entries: readonly (readonly [string, Uint8Array])[],
  { shares = false, packs = false, perBlock = Number.POSITIVE_INFINITY }: { readonly shares?: boolean; readonly packs?: boolean; readonly perBlock?: number },
): Uint8Array {
  const pieces: Uint8Array[] = [];
  let end = 0;
  const put = (content: Uint8Array): Uint8Array => {
    const stored = packs ? snappied(content) : content;
    const at = Uint8Array.from([...varint(end), ...varint(stored.byteLength)]);
    const checked = new Uint8Array(stored.byteLength + 1);
    checked.set(stored);
    checked[stored.byteLength] = packs ? 1 : 0;
    pieces.push(checked, maskedChecksum(checked));
    end += stored.byteLength + 5;
    return at;
  };
  const index: [string, Uint8Array][] = [];
  for (let first = 0; first < entries.length; first += perBlock) {
    const part = entries.slice(first, first + perBlock);
    index.push([`${part.at(-1)![0].slice(0, 8)}~`, put(sharedBlock(part, shares))]);
  }
  const meta = put(sharedBlock([], false));
  const handles = [...meta, ...put(sharedBlock(index, false))];
  const magic = new Uint8Array(8);
  new DataView(magic.buffer).setBigUint64(0, 0xdb4775248b80fb57n, true);
  return Uint8Array.from(Buffer.concat([...pieces, Uint8Array.from([...handles, ...new Array<number>(40 - handles.length).fill(0)]), magic]));
}

function sharedBlock(entries: readonly (readonly [string, Uint8Array])[], shares: boolean): Uint8Array {
  let before = '';
  const parts = entries.flatMap(([key, value]) => {
    let shared = 0;
    if (shares) while (shared < before.length && before[shared] === key[shared]) shared++;
    before = key;
    const own = Uint8Array.from(key.slice(shared), (character) => character.charCodeAt(0));
    return [Uint8Array.from([...varint(shared), ...varint(own.byteLength), ...varint(value.byteLength)]), own, value];
  });
  return Uint8Array.from(Buffer.concat([...parts, Uint8Array.of(0, 0, 0, 0, 1, 0, 0, 0)]));
}

/** Snappy's form, in which runs of one byte are said by their length and everything else as it is. */
function snappied(content: Uint8Array): Uint8Array {
  const pieces: Uint8Array[] = [Uint8Array.from(varint(content.byteLength))];
  const literal = (from: number, to: number) => {
    if (to > from) pieces.push(Uint8Array.of(62 << 2, (to - from - 1) & 255, ((to - from - 1) >> 8) & 255, (to - from - 1) >> 16), content.subarray(from, to));
  };
  let [start, at] = [0, 0];
  while (at < content.byteLength) {
    let same = at + 1;
    while (same < content.byteLength && content[same] === content[at]) same++;
    if (same - at > 64) {
      literal(start, at + 1);
      // A copy of up to 64 bytes, from one byte before.
      for (let from = at + 1; from < same; from += 64) pieces.push(Uint8Array.of(((Math.min(64, same - from) - 1) << 2) | 2, 1, 0));
      start = same;
    }
    at = same;
  }
  literal(start, content.byteLength);
  return Uint8Array.from(Buffer.concat(pieces));
}
