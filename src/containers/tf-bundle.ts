/**
 * TensorFlow's tensor bundle: `<prefix>.index`, a sorted table of names, and `<prefix>.data-00000-of-00001` with the values. SavedModels
 * keep their variables in one, and so do checkpoints.
 *
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/tensor_bundle/tensor_bundle.h, protobuf/tensor_bundle.proto
 */
import { type ByteSource, memorySource, sliceSource } from '../bytes/byte-source.js';
import { checkedSource } from '../bytes/checked-source.js';
import { CRC32C } from '../bytes/crc32.js';
import type { FileSet } from '../bytes/file-set.js';
import { ModelError } from '../errors.js';
import { DTYPE_BYTES, type DType } from '../model/dtype.js';
import { elementCount, storedTensor, type Tensor } from '../model/tensor.js';
import { WireReader } from './protobuf.js';
import { readTensorShape, STRING, TF_DTYPES } from './tf-graph.js';
import { assembled, readSlice, type Slice, sliceKey } from './tf-slices.js';
import { readTable, TableBytes, unmasked } from './tf-table.js';

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

const ENTRY = { dtype: 1, shape: 2, shard: 3, offset: 4, size: 5, crc: 6, slices: 7 } as const;

interface Entry {
  readonly dtype: number;
  readonly shape: readonly number[];
  readonly shard: number;
  readonly offset: number;
  readonly size: number;
  readonly crc: number | null;
  readonly slices: readonly Slice[];
}

/**
 * @param prefix path of the bundle within the model's folder, such as 'variables/variables'
 * @throws ModelError 'malformed' where index and data contradict themselves or each other
 */
export async function readTensorBundle(files: FileSet, prefix: string): Promise<TensorBundle> {
  const indexName = `${prefix}.index`;
  const index = await files.open(indexName);
  const place = { file: index.name };
  const shards = new Map<number, ByteSource>();
  const names = new Set<string>([indexName]);
  const records = new Map<string, Uint8Array>();
  for (const [key, record] of await readTable(index)) records.set(key, await record.read(0, record.byteLength));
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
        const stored = await readEntry(part, index.name, name);
        if (stored.dtype !== entry.dtype)
          throw new ModelError('malformed', `its slice at [${slice.map(({ start }) => start)}] is of another dtype`, { ...place, tensor: name });
        parts.push({ slice, tensor: await storedEntry(stored, dtype, name) });
      }
      tensors.set(name, assembled(name, entry.shape, parts, { ...place, tensor: name }));
    }
  }
  return { tensors, strings, others, files: [...names] };
}

/** The text of a string tensor's only element: its length, a checksum of it, its bytes. */
export async function readSingleString(source: ByteSource): Promise<Uint8Array> {
  const head = new TableBytes(await source.read(0, Math.min(16, source.byteLength)), source.name);
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
