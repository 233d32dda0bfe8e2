/**
 * PyTorch's three containers: zip (since 1.6), the legacy run of pickles (0.1.10 to 1.5), and tar (before).
 *
 * @see https://github.com/pytorch/pytorch/blob/main/torch/serialization.py, `_load`, `_legacy_load` and `legacy_load`
 */
import { type ByteSource, sliceSource } from '../../bytes/byte-source.js';
import { type PickleHooks, unpickle } from '../../containers/pickle.js';
import { openTar } from '../../containers/tar.js';
import { openZip } from '../../containers/zip.js';
import { ModelError } from '../../errors.js';
import { DTYPE_BYTES } from '../../model/dtype.js';
import { Storage, StoredView, storageDType, tensorHooks } from './rebuild.js';

export interface PyTorchContent {
  /** 'zip', 'legacy pickle', 'tar', 'TorchScript zip'. */
  readonly container: string;
  /** What torch.load would return, with `StoredView`s for tensors. */
  readonly value: unknown;
}

/** torch.serialization.MAGIC_NUMBER. */
const LEGACY_MAGIC_NUMBER = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;

/** The wiring of a pickle is small beside its storages; the largest seen, a training checkpoint's, has some tens of megabytes. */
const MAX_PICKLE_BYTES = 2 ** 27;
const FIRST_PICKLE_BYTES = 2 ** 18;

/** @throws ModelError */
export async function readZipContent(source: ByteSource): Promise<PyTorchContent> {
  const zip = await openZip(source);
  const pickleEntry = zip.entries.find(({ name }) => /^(.*\/)?data\.pkl$/.test(name));
  if (!pickleEntry) throw new ModelError('malformed', 'the zip archive has no data.pkl, which every PyTorch file has', { file: source.name });
  const prefix = pickleEntry.name.slice(0, -'data.pkl'.length);
  const bigEndian = await readByteOrder(zip.get(`${prefix}byteorder`), source.name);
  const storages = new Map<string, Storage>();
  const hooks = tensorHooks((id) => {
    const storage = knownStorage(storages, id);
    if (storage instanceof Storage) storage.bigEndian = bigEndian;
    return storage;
  });
  const { value } = await readPickle(await pickleEntry.source(), 0, hooks);
  for (const storage of storages.values()) {
    const entry = zip.get(`${prefix}data/${storage.key}`);
    if (!entry) throw new ModelError('malformed', `the archive has no member ${prefix}data/${storage.key}, which a tensor refers to`, { file: source.name });
    storage.source = await entry.source();
    checkLength(storage, storage.source.byteLength, source.name);
  }
  const isScript = zip.get(`${prefix}constants.pkl`) !== undefined || zip.entries.some(({ name }) => name.startsWith(`${prefix}code/`));
  return { container: isScript ? 'TorchScript zip' : 'zip', value };
}

/** @throws ModelError */
export async function readLegacyContent(source: ByteSource): Promise<PyTorchContent> {
  const storages = new Map<string, Storage>();
  const hooks = tensorHooks((id) => knownStorage(storages, id));
  const magic = await readPickle(source, 0, hooks);
  if (magic.value !== LEGACY_MAGIC_NUMBER)
    throw new ModelError('malformed', 'the file does not start with the magic number of PyTorch', { file: source.name, offset: 0 });
  const protocol = await readPickle(source, magic.end, hooks);
  if (protocol.value !== LEGACY_PROTOCOL)
    throw new ModelError('unsupported', `protocol ${String(protocol.value)} is not known; ${LEGACY_PROTOCOL} was expected`, {
      file: source.name,
      offset: magic.end,
    });
  const systemInfo = await readPickle(source, protocol.end, hooks);
  const bigEndian = systemInfo.value instanceof Map && systemInfo.value.get('little_endian') === false;
  const main = await readPickle(source, systemInfo.end, hooks);
  const keys = await readPickle(source, main.end, hooks);
  if (!Array.isArray(keys.value)) throw new ModelError('malformed', 'the list of storages is missing', { file: source.name, offset: main.end });
  let at = keys.end;
  for (const key of keys.value) {
    const storage = storages.get(String(key));
    if (!storage) throw new ModelError('malformed', `storage ${String(key)} is stored, but no tensor refers to it`, { file: source.name, offset: at });
    storage.bigEndian = bigEndian;
    at = await placeStorage(source, at, storage);
  }
  for (const { key, source: found } of storages.values()) {
    if (!found) throw new ModelError('malformed', `storage ${key} is not in the file, but a tensor refers to it`, { file: source.name, offset: at });
  }
  return { container: 'legacy pickle', value: main.value };
}

/** @throws ModelError */
export async function readTarContent(source: ByteSource): Promise<PyTorchContent> {
  const tar = await openTar(source);
  const member = (name: string): ByteSource => {
    const found = tar.get(name);
    if (!found) throw new ModelError('malformed', `the tar archive has no member "${name}", which PyTorch's first format has`, { file: source.name });
    return found;
  };
  const objects = new Map<string, unknown>();
  await readTarStorages(member('storages'), objects);
  await readTarTensors(member('tensors'), objects);
  const hooks = tensorHooks((id) => {
    // [class, file, source]: a class with its source text, of which only the name is taken.
    if (Array.isArray(id)) return id[0];
    const found = objects.get(String(id));
    if (found === undefined) throw new ModelError('malformed', `object ${String(id)} is not in the archive`);
    return found;
  });
  const { value } = await readPickle(member('pickle'), 0, hooks);
  return { container: 'tar', value };
}

async function readTarStorages(file: ByteSource, objects: Map<string, unknown>): Promise<void> {
  const hooks = tensorHooks((id) => id);
  const total = await readPickle(file, 0, hooks);
  let at = total.end;
  for (let i = 0; i < toCount(total.value, file); i++) {
    const head = await readPickle(file, at, hooks);
    const [key, location, type] = asArray(head.value, file, at);
    const storage = new Storage(String(key), storageDType(type), await readInt64(file, head.end), String(location));
    at = await placeStorage(file, head.end, storage);
    objects.set(String(key), storage);
  }
  const views = await readPickle(file, at, hooks);
  if (asArray(views.value, file, at).length > 0)
    throw new ModelError('unsupported', 'storages that are views of other storages are not read', { file: file.name, offset: at });
}

async function readTarTensors(file: ByteSource, objects: Map<string, unknown>): Promise<void> {
  const hooks = tensorHooks((id) => id);
  const total = await readPickle(file, 0, hooks);
  let at = total.end;
  for (let i = 0; i < toCount(total.value, file); i++) {
    const head = await readPickle(file, at, hooks);
    const [key, storageKey] = asArray(head.value, file, at);
    const storage = objects.get(String(storageKey));
    if (!(storage instanceof Storage))
      throw new ModelError('malformed', `tensor ${String(key)} refers to storage ${String(storageKey)}, which is not there`, { file: file.name, offset: at });
    const rank = new DataView((await file.read(head.end, head.end + 4)).slice().buffer).getInt32(0, true);
    if (rank < 0 || rank > 64) throw new ModelError('malformed', `tensor ${String(key)} has ${rank} dimensions`, { file: file.name, offset: head.end });
    // Four bytes after the rank are padding and hold garbage: the rank was written as eight bytes once.
    const numbers: number[] = [];
    at = head.end + 8;
    for (let j = 0; j < 2 * rank + 1; j++, at += 8) numbers.push(await readInt64(file, at));
    objects.set(String(key), new StoredView(storage, storage.dtype!, numbers[2 * rank]!, numbers.slice(0, rank), numbers.slice(rank, 2 * rank)));
  }
}

/** Reads one pickle, taking more of the file until it ends. */
async function readPickle(source: ByteSource, start: number, hooks: PickleHooks): Promise<{ value: unknown; end: number }> {
  for (let length = FIRST_PICKLE_BYTES; ; length *= 4) {
    const end = Math.min(source.byteLength, start + length);
    const done = unpickle(await source.read(start, end), 0, hooks, { file: source.name, offset: start });
    if (done) return { value: done.value, end: start + done.end };
    if (end === source.byteLength)
      throw new ModelError('malformed', 'the file ends in the middle of a pickle. Is it truncated?', { file: source.name, offset: end });
    if (length >= MAX_PICKLE_BYTES)
      throw new ModelError('unsafe', `a pickle of more than ${MAX_PICKLE_BYTES} bytes describes no model`, { file: source.name, offset: start });
  }
}

/** A storage in a run of pickles: its element count as int64, then the elements. @returns the position behind it */
async function placeStorage(source: ByteSource, at: number, storage: Storage): Promise<number> {
  const count = await readInt64(source, at);
  if (count !== storage.count)
    throw new ModelError('malformed', `storage ${storage.key} holds ${count} elements; its tensors say ${storage.count}`, { file: source.name, offset: at });
  const end = at + 8 + count * (storage.dtype ? DTYPE_BYTES[storage.dtype] : 1);
  storage.source = sliceSource(source, at + 8, end);
  return end;
}

async function readInt64(source: ByteSource, at: number): Promise<number> {
  const bytes = await source.read(at, at + 8);
  const value = new DataView(bytes.buffer, bytes.byteOffset).getBigInt64(0, true);
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ModelError('malformed', `${value} is no count`, { file: source.name, offset: at });
  return Number(value);
}

/** ['storage', type, key, location, count] with, in legacy files, a view that newer ones leave out. */
function knownStorage(storages: Map<string, Storage>, id: unknown): unknown {
  if (!Array.isArray(id)) throw new ModelError('malformed', 'a persistent id is no tuple');
  if (id[0] === 'module') return id[1];
  const [word, type, key, location, count, viewMetadata] = id;
  if (word !== 'storage' || typeof key !== 'string' || !Number.isSafeInteger(count) || (count as number) < 0) {
    throw new ModelError('malformed', 'a persistent id does not describe a storage');
  }
  if (Array.isArray(viewMetadata)) throw new ModelError('unsupported', `storage ${key} is a view of another storage, which is not read`);
  const dtype = storageDType(type);
  const known = storages.get(key);
  if (known) {
    if (known.dtype !== dtype || known.count !== count) throw new ModelError('malformed', `storage ${key} is described twice, differently`);
    return known;
  }
  const storage = new Storage(key, dtype, count as number, String(location));
  storages.set(key, storage);
  return storage;
}

function checkLength(storage: Storage, byteLength: number, file: string): void {
  const expected = storage.count * (storage.dtype ? DTYPE_BYTES[storage.dtype] : 1);
  if (byteLength < expected) throw new ModelError('malformed', `storage ${storage.key} has ${byteLength} bytes; its tensors need ${expected}`, { file });
}

async function readByteOrder(entry: { byteLength: number; source(): Promise<ByteSource> } | undefined, file: string): Promise<boolean> {
  if (!entry) return false;
  const word = entry.byteLength <= 16 ? new TextDecoder().decode(await (await entry.source()).read(0, entry.byteLength)) : '';
  if (word !== 'little' && word !== 'big')
    throw new ModelError('malformed', `the byte order is ${JSON.stringify(word)}; "little" or "big" was expected`, { file });
  return word === 'big';
}

function toCount(value: unknown, { name }: ByteSource): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0)
    throw new ModelError('malformed', 'the archive does not begin with a count', { file: name, offset: 0 });
  return value as number;
}

function asArray(value: unknown, { name }: ByteSource, offset: number): readonly unknown[] {
  if (!Array.isArray(value)) throw new ModelError('malformed', 'a tuple was expected here', { file: name, offset });
  return value;
}
