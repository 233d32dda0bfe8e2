/**
 * TensorFlow's tensor bundle: `<prefix>.index`, a sorted table of names, and `<prefix>.data-00000-of-00001` with the values. SavedModels
 * keep their variables in one, and so do checkpoints.
 *
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/tensor_bundle/tensor_bundle.h, protobuf/tensor_bundle.proto
 *   and https://github.com/google/leveldb/blob/main/doc/table_format.md
 */
import { Budget } from '../bytes/budget.js';
import { type ByteSource, memorySource, sliceSource } from '../bytes/byte-source.js';
import { checkedSource } from '../bytes/checked-source.js';
import { CRC32C } from '../bytes/crc32.js';
import type { FileSet } from '../bytes/file-set.js';
import { decodeLatin1 } from '../bytes/latin1.js';
import { ModelError } from '../errors.js';
import { DTYPE_BYTES, type DType } from '../model/dtype.js';
import { elementCount, storedTensor, type Tensor } from '../model/tensor.js';
import { type Field, WireReader } from './protobuf.js';
import { decodeSnappy } from './snappy.js';
import { readTensorShape, TF_DTYPES } from './tf-graph.js';
import { assembled, type Slice, sliceKey } from './tf-slices.js';

export interface TensorBundle {
  /** By key, in the table's order. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Strings, which are no weights: the bytes of their elements as they lie in the file. */
  readonly strings: ReadonlyMap<string, ByteSource>;
  /** DataType codes of entries that hold neither numbers nor strings. */
  readonly others: ReadonlyMap<string, number>;
  /** Index and data files, relative to the model. */
  readonly files: readonly string[];
}

const MAGIC = 0xdb4775248b80fb57n;
const FOOTER_BYTES = 48;
/** Compression byte and checksum behind each block. */
const TRAILER_BYTES = 5;
const SNAPPY = 1;
/** What compressed blocks may become together, beside the size of the file: far more than names of variables take. */
const UNPACKED_BYTES = 2 ** 26;
/** TensorFlow's blocks hold 256 KB; an index that names ten thousand variables takes half a megabyte. */
const MAX_BLOCK_BYTES = 2 ** 26;
const MAX_ENTRIES = 1_000_000;
const ENTRY = { dtype: 1, shape: 2, shard: 3, offset: 4, size: 5, crc: 6, slices: 7 } as const;
const STRING = 7;

interface Entry {
  readonly dtype: number;
  readonly shape: readonly number[];
  readonly shard: number;
  readonly offset: number;
  readonly size: number;
  readonly crc: number | null;
  readonly slices: readonly Slice[];
}

/** Whether a file ends as a table does. */
export function looksLikeTable(tail: Uint8Array): boolean {
  if (tail.byteLength < 8) return false;
  return new DataView(tail.buffer, tail.byteOffset, tail.byteLength).getBigUint64(tail.byteLength - 8, true) === MAGIC;
}

/**
 * @param prefix path of the bundle within the model's folder, such as 'variables/variables'
 * @throws ModelError 'malformed' where index and data contradict themselves or each other
 */
export async function readTensorBundle(files: FileSet, prefix: string): Promise<TensorBundle> {
  const indexName = `${prefix}.index`;
  const index = await files.open(indexName);
  const place = { file: index.name };
  if (index.byteLength < FOOTER_BYTES) throw new ModelError('malformed', `${index.byteLength} bytes are no table`, place);
  const footer = await index.read(index.byteLength - FOOTER_BYTES, index.byteLength);
  if (new DataView(footer.buffer, footer.byteOffset).getBigUint64(FOOTER_BYTES - 8, true) !== MAGIC) {
    throw new ModelError('malformed', 'the table ends without its signature. Is it truncated?', place);
  }
  const cursor = new Bytes(footer, place.file);
  cursor.handle();
  // Blocks lie side by side: all of them together are no longer than the file.
  const budget = new Budget(index.byteLength + UNPACKED_BYTES, 'the table of the variables', index.name);
  const blocks = await readBlock(index, cursor.handle(), budget);
  const shards = new Map<number, ByteSource>();
  const names = new Set<string>([indexName]);
  const records = new Map<string, Uint8Array>();
  for (const [, value] of blocks) {
    for (const [key, record] of await readBlock(index, new Bytes(value, place.file).handle(), budget)) {
      if (records.size >= MAX_ENTRIES) throw new ModelError('unsafe', `more than ${MAX_ENTRIES} entries`, place);
      records.set(key, record);
    }
  }
  const { shardCount, bigEndian } = await readHeader(records.get('') ?? new Uint8Array(), index.name);
  const readShard = async (shard: number): Promise<ByteSource> => {
    const known = shards.get(shard);
    if (known) return known;
    if (!(shard < shardCount)) throw new ModelError('malformed', `names shard ${shard} of ${shardCount}`, place);
    const digits = (value: number) => String(value).padStart(5, '0');
    const name = `${prefix}.data-${digits(shard)}-of-${digits(shardCount)}`;
    const source = await files.open(name);
    names.add(name);
    shards.set(shard, source);
    return source;
  };
  const storedBytes = async (entry: Entry, tensor: string): Promise<ByteSource> => {
    const shard = await readShard(entry.shard);
    const end = entry.offset + entry.size;
    if (end > shard.byteLength)
      throw new ModelError('malformed', `takes bytes ${entry.offset} to ${end}, but ${shard.name} ends at byte ${shard.byteLength}`, { ...place, tensor });
    const stored = sliceSource(shard, entry.offset, end);
    const damaged = () =>
      new ModelError('malformed', `does not have the checksum that ${index.name} states: the file is damaged`, { file: shard.name, tensor });
    // The checksum of strings is worked out over their lengths in another form.
    return entry.crc === null || entry.dtype === STRING ? stored : checkedSource(stored, unmasked(entry.crc), damaged, CRC32C);
  };
  const storedEntry = async (entry: Entry, dtype: DType, name: string): Promise<Tensor> => {
    const { shape, offset, size } = entry;
    if (elementCount(shape) * DTYPE_BYTES[dtype] !== size)
      throw new ModelError('malformed', `shape [${shape}] of ${dtype} does not take ${size} bytes`, { ...place, tensor: name });
    const source = await storedBytes(entry, name);
    return storedTensor({ name, dtype, shape, source, origin: { file: (await readShard(entry.shard)).name, offset, name }, bigEndian });
  };
  const tensors = new Map<string, Tensor>();
  const strings = new Map<string, ByteSource>();
  const others = new Map<string, number>();
  let slices = 0;
  for (const [key, record] of records) {
    // Slices have entries of their own, which the entry of the whole names.
    if (key === '' || key.startsWith('\0')) continue;
    const name = new TextDecoder().decode(Uint8Array.from(key, (character) => character.charCodeAt(0)));
    const entry = await readEntry(record, index.name, name);
    const dtype = TF_DTYPES.get(entry.dtype);
    if (entry.dtype === STRING) strings.set(name, await storedBytes(entry, name));
    else if (!dtype) others.set(name, entry.dtype);
    else if (entry.slices.length === 0) tensors.set(name, await storedEntry(entry, dtype, name));
    else {
      const parts: { slice: Slice; tensor: Tensor }[] = [];
      slices += entry.slices.length;
      if (slices > records.size) throw new ModelError('malformed', 'names more slices than there are', { ...place, tensor: name });
      for (const slice of entry.slices) {
        const part = records.get(sliceKey(key, slice));
        if (!part) throw new ModelError('malformed', `its slice at [${slice.map(({ start }) => start)}] is not in the table`, { ...place, tensor: name });
        parts.push({ slice, tensor: await storedEntry(await readEntry(part, index.name, name), dtype, name) });
      }
      tensors.set(name, assembled(name, entry.shape, parts, { ...place, tensor: name }));
    }
  }
  return { tensors, strings, others, files: [...names] };
}

/** The text of a string tensor's only element: its length, a checksum of it, its bytes. */
export async function readSingleString(source: ByteSource): Promise<Uint8Array> {
  const head = new Bytes(await source.read(0, Math.min(16, source.byteLength)), source.name);
  const length = head.varint();
  const start = head.at + 4;
  return source.read(start, start + length);
}

async function readHeader(record: Uint8Array, file: string): Promise<{ shardCount: number; bigEndian: boolean }> {
  const wire = new WireReader(memorySource(record, file));
  let [shards, bigEndian] = [1, false];
  for await (const { number, varint } of wire.fields(0, record.byteLength)) {
    if (number === 1) shards = Number(varint);
    if (number === 2) bigEndian = varint !== 0n;
  }
  if (!(shards >= 1 && shards <= 100_000)) throw new ModelError('malformed', `a bundle of ${shards} shards`, { file });
  return { shardCount: shards, bigEndian };
}

async function readEntry(record: Uint8Array, file: string, tensor: string): Promise<Entry> {
  const wire = new WireReader(memorySource(record, file));
  const entry = { dtype: 0, shape: [] as number[], shard: 0, offset: 0, size: 0, crc: null as number | null, slices: [] as Slice[] };
  for await (const field of wire.fields(0, record.byteLength)) {
    if (field.number === ENTRY.dtype) entry.dtype = Number(field.varint);
    else if (field.number === ENTRY.shard) entry.shard = Number(field.varint);
    else if (field.number === ENTRY.offset) entry.offset = Number(field.varint);
    else if (field.number === ENTRY.size) entry.size = Number(field.varint);
    else if (field.number === ENTRY.crc) {
      if (field.wireType !== 5) throw new ModelError('malformed', 'its checksum is none', { file, tensor });
      const bytes = await wire.bytes(field);
      entry.crc = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
    } else if (field.number === ENTRY.slices) entry.slices.push(await readSlice(wire, field));
    else if (field.number === ENTRY.shape) {
      const shape = await readTensorShape(wire, field);
      if (shape === null) throw new ModelError('malformed', 'its entry does not say how many axes it has', { file, tensor });
      for (const size of shape) entry.shape.push(size);
    }
  }
  const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;
  if (![entry.shard, entry.offset, entry.size, ...entry.shape].every(isCount)) {
    throw new ModelError('malformed', `its entry says shape [${entry.shape}], ${entry.size} bytes at ${entry.offset}`, { file, tensor });
  }
  return entry;
}

/** A TensorSliceProto: of each axis where it begins, and how long it is if it is not all of it. */
async function readSlice(wire: WireReader, field: Field): Promise<Slice> {
  const slice: { start: number; length: number }[] = [];
  for await (const extent of wire.fields(field.start, field.end)) {
    if (extent.number !== 1) continue;
    const numbers = { start: 0, length: -1 };
    for await (const part of wire.fields(extent.start, extent.end)) {
      if (part.number === 1) numbers.start = Number(part.varint);
      else if (part.number === 2) numbers.length = Number(part.varint);
    }
    slice.push(numbers);
  }
  return slice;
}

/** Checksums are stored turned and moved, lest a checksum be worked out over one. */
function unmasked(stored: number): number {
  const turned = (stored - 0xa282ead8) >>> 0;
  return ((turned >>> 17) | (turned << 15)) >>> 0;
}

/** Keys, each byte a character, and values of a block, in which each key leaves out what it shares with the one before. */
async function readBlock(source: ByteSource, { offset, size }: { offset: number; size: number }, budget: Budget): Promise<[string, Uint8Array][]> {
  const file = source.name;
  if (size > MAX_BLOCK_BYTES || size < 4 || offset + size + TRAILER_BYTES > source.byteLength) {
    throw new ModelError('malformed', `a block of ${size} bytes at ${offset} of ${source.byteLength}`, { file });
  }
  budget.spend(size + TRAILER_BYTES);
  const bytes = await source.read(offset, offset + size + TRAILER_BYTES);
  const trailer = new DataView(bytes.buffer, bytes.byteOffset + size, TRAILER_BYTES);
  if (unmasked(trailer.getUint32(1, true)) !== CRC32C.update(bytes.subarray(0, size + 1), 0)) {
    throw new ModelError('malformed', 'a block of the table fails its checksum: the file is damaged', { file, offset });
  }
  const packing = bytes[size]!;
  if (packing > SNAPPY) throw new ModelError('unsupported', `a block is compressed in a way that is not known (${packing})`, { file, offset });
  const whole = packing === SNAPPY ? decodeSnappy(bytes.subarray(0, size), UNPACKED_BYTES) : bytes.subarray(0, size);
  if (typeof whole === 'string' || whole.byteLength < 4)
    throw new ModelError('malformed', `a compressed block ${typeof whole === 'string' ? whole : 'is empty'}`, { file, offset });
  if (packing === SNAPPY) budget.spend(whole.byteLength);
  const restarts = new DataView(whole.buffer, whole.byteOffset).getUint32(whole.byteLength - 4, true);
  const end = whole.byteLength - 4 - 4 * restarts;
  if (end < 0) throw new ModelError('malformed', `a block with ${restarts} restart points in ${whole.byteLength} bytes`, { file, offset });
  const cursor = new Bytes(whole.subarray(0, end), file, offset);
  const entries: [string, Uint8Array][] = [];
  let key = new Uint8Array();
  let keyBytes = 0;
  while (cursor.at < end) {
    const [shared, own, length] = [cursor.varint(), cursor.varint(), cursor.varint()];
    if (shared > key.byteLength) throw new ModelError('malformed', 'a key shares more than the key before it has', { file, offset: offset + cursor.at });
    const next = new Uint8Array(shared + own);
    next.set(key.subarray(0, shared));
    next.set(cursor.take(own), shared);
    key = next;
    // Shared prefixes could make a small block into endless keys.
    keyBytes += key.byteLength;
    if (keyBytes > MAX_BLOCK_BYTES) throw new ModelError('unsafe', `keys of more than ${MAX_BLOCK_BYTES} bytes in a block`, { file, offset });
    entries.push([decodeLatin1(key), cursor.take(length)]);
  }
  return entries;
}

class Bytes {
  at = 0;

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

  handle(): { offset: number; size: number } {
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
