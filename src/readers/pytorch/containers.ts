/**
 * PyTorch's three containers: zip (since 1.6), the legacy run of pickles (0.1.10 to 1.5), and tar (before).
 *
 * @see https://github.com/pytorch/pytorch/blob/main/torch/serialization.py, `_load`, `_legacy_load` and `legacy_load`
 */
import { breathe } from '../../bytes/breath.js';
import { type ByteSource, memorySource, sliceSource } from '../../bytes/byte-source.js';
import type { FileSet } from '../../bytes/file-set.js';
import { joinFiles } from '../../bytes/joined-source.js';
import { type PickleObject, PickleSpan, unpickle } from '../../containers/pickle/index.js';
import { openTar } from '../../containers/tar.js';
import { openZip } from '../../containers/zip.js';
import { ModelError } from '../../errors.js';
import { DTYPE_BYTES } from '../../model/dtype.js';
import { knownStorage, tensorHooks } from './rebuild.js';
import type { Script } from './script.js';
import { Storage, StoredView, storageDType } from './stored-view.js';

export interface PyTorchContent {
  /** 'zip', 'legacy pickle', 'tar', 'TorchScript zip', 'plain pickle', 'unpacked zip'. */
  readonly container: string;
  /** What torch.load would return, with `StoredView`s for tensors. */
  readonly value: unknown;
  /** Of each class or function that was not understood one inert record. */
  readonly opaque: ReadonlyMap<string, PickleObject>;
  /** The program, where it is one of TorchScript. */
  readonly script?: Script;
  /** Names of its files, where it is a folder. */
  readonly files?: readonly string[];
  /** Bytes behind what was read, in files where nothing belongs there. */
  readonly surplus?: number;
}

/** torch.serialization.MAGIC_NUMBER. */
const LEGACY_MAGIC_NUMBER = 0x1950a86a20f9469cfc6cn;
const LEGACY_PROTOCOL = 1001;

/** @throws ModelError */
export async function readZipContent(source: ByteSource): Promise<PyTorchContent> {
  const zip = await openZip(source);
  const pickleEntry = zip.entries.find(({ name }) => /^(.*\/)?data\.pkl$/.test(name));
  if (!pickleEntry) throw new ModelError('malformed', 'the zip archive has no data.pkl, which every PyTorch file has', { file: source.name });
  const prefix = pickleEntry.name.slice(0, -'data.pkl'.length);
  const open = async (name: string) => (await zip.get(`${prefix}${name}`)?.source()) ?? null;
  const isScript = zip.get(`${prefix}constants.pkl`) !== undefined || zip.entries.some(({ name }) => name.startsWith(`${prefix}code/`));
  const { value, opaque, storages } = await readWiring(open, source.name);
  for (const storage of storages) place(storage, await open(`data/${storage.key}`), source.name);
  if (!isScript) return { container: 'zip', value, opaque };
  const code = zip.entries.flatMap(({ name }) => (name.startsWith(`${prefix}code/`) && name.endsWith('.py') ? [name.slice(prefix.length)] : []));
  const [constants, version] = [await readConstants(open, source.name), await readVersion(open, source.name)];
  return { container: 'TorchScript zip', value, opaque, script: { code, open, constants, version } };
}

/** A number in decimals and the end of a line; programs without are of today. */
async function readVersion(open: (name: string) => Promise<ByteSource | null>, label: string): Promise<number> {
  const source = (await open('version')) ?? (await open('.data/version'));
  if (!source) return Number.POSITIVE_INFINITY;
  const text = source.byteLength <= 16 ? new TextDecoder().decode(await source.read(0, source.byteLength)).trim() : '';
  if (!/^\d+$/.test(text)) throw new ModelError('malformed', `its version is ${JSON.stringify(text)}, expected a number`, { file: label });
  return Number(text);
}

/** The tuple of constants.pkl, whose tensors lie in a folder of their own. */
async function readConstants(open: (name: string) => Promise<ByteSource | null>, label: string): Promise<readonly unknown[]> {
  const source = await open('constants.pkl');
  if (!source) return [];
  const { value, storages } = await readPickle(source, open, label);
  for (const storage of storages) place(storage, await open(`constants/${storage.key}`), label, 'constants');
  return Array.isArray(value) ? value : [];
}

/**
 * What is left of a PyTorch file that an unpacker took apart.
 *
 * @param prefix of the members' names in the folder
 * @throws ModelError
 */
export async function readUnpacked(files: FileSet, prefix: string): Promise<PyTorchContent> {
  const open = async (name: string) => ((await files.has(`${prefix}${name}`)) ? files.open(`${prefix}${name}`) : null);
  const { value, opaque, storages } = await readWiring(open, files.label);
  const names = storages.map(({ key }) => `${prefix}data/${key}`);
  const lengths: number[] = [];
  for (const [i, name] of names.entries()) {
    if (!(await files.has(name))) place(storages[i]!, null, files.label);
    const source = await files.open(name);
    lengths.push(source.byteLength);
    await source.close();
  }
  // A file for each tensor: more than may be open at once.
  const joined = await joinFiles(files, names, files.label);
  let start = 0;
  for (const [i, storage] of storages.entries()) {
    place(storage, sliceSource(joined, start, start + lengths[i]!), files.label);
    start += lengths[i]!;
  }
  return { container: 'unpacked zip', value, opaque, files: [`${prefix}data.pkl`, ...names] };
}

/** The pickle of a zip archive, and the storages that it refers to. */
async function readWiring(open: (name: string) => Promise<ByteSource | null>, label: string) {
  return readPickle((await open('data.pkl'))!, open, label);
}

async function readPickle(source: ByteSource, open: (name: string) => Promise<ByteSource | null>, label: string) {
  const order = await open('byteorder');
  const bigEndian = order !== null && (await isBigEndian(order, label));
  const storages = new Map<string, Storage>();
  const hooks = tensorHooks((id) => {
    const storage = knownStorage(storages, id);
    if (storage instanceof Storage) storage.bigEndian = bigEndian;
    return storage;
  });
  const { value, opaque } = await unpickle(source, 0, hooks);
  return { value, opaque, storages: [...storages.values()] };
}

function place(storage: Storage, source: ByteSource | null, file: string, folder = 'data'): void {
  if (!source) throw new ModelError('malformed', `there is no ${folder}/${storage.key}, which a tensor refers to`, { file });
  checkLength(storage, source.byteLength, file);
  storage.source = source;
}

/** @throws ModelError */
export async function readLegacyContent(source: ByteSource): Promise<PyTorchContent> {
  const storages = new Map<string, Storage>();
  const hooks = tensorHooks((id) => knownStorage(storages, id));
  const magic = await unpickle(source, 0, hooks);
  if (magic.value !== LEGACY_MAGIC_NUMBER)
    throw new ModelError('malformed', 'the file does not start with the magic number of PyTorch', { file: source.name, offset: 0 });
  const protocol = await unpickle(source, magic.end, hooks);
  if (protocol.value !== LEGACY_PROTOCOL)
    throw new ModelError('unsupported', `its protocol is not the one that is known, ${LEGACY_PROTOCOL}`, { file: source.name, offset: magic.end });
  const systemInfo = await unpickle(source, protocol.end, hooks);
  const bigEndian = systemInfo.value instanceof Map && systemInfo.value.get('little_endian') === false;
  const main = await unpickle(source, systemInfo.end, hooks);
  const keys = await unpickle(source, main.end, hooks);
  if (!Array.isArray(keys.value)) throw new ModelError('malformed', 'the list of storages is missing', { file: source.name, offset: main.end });
  let at = keys.end;
  for (const key of keys.value) {
    const storage = storages.get(keyText(key));
    if (!storage) throw new ModelError('malformed', `storage ${keyText(key)} is stored, but no tensor refers to it`, { file: source.name, offset: at });
    storage.bigEndian = bigEndian;
    at = await placeStorage(source, at, storage);
    await breathe();
  }
  for (const { key, source: found } of storages.values()) {
    if (!found) throw new ModelError('malformed', `storage ${key} is not in the file, but a tensor refers to it`, { file: source.name, offset: at });
  }
  return { container: 'legacy pickle', value: main.value, opaque: main.opaque };
}

/**
 * What `pickle.dump` wrote: tensors whose storages are PyTorch files of their own, as bytes, and NumPy's arrays.
 *
 * @param start where it begins: behind the header of an array of objects, which is how `numpy.save` keeps a dictionary
 * @throws ModelError
 */
export async function readPlainPickle(source: ByteSource, start = 0): Promise<PyTorchContent> {
  const inner: { readonly storage: Storage; readonly bytes: PickleSpan | Uint8Array }[] = [];
  const openInner = (bytes: unknown) => {
    if (!(bytes instanceof PickleSpan || bytes instanceof Uint8Array)) throw new ModelError('malformed', 'a storage is made of something that is no bytes');
    const storage = new Storage(`#${inner.length}`, null, 0, 'cpu');
    inner.push({ storage, bytes });
    return storage;
  };
  const foreign = (id: unknown) => {
    if (Array.isArray(id) && id[0] === 'storage') {
      throw new ModelError('malformed', 'this is data.pkl of a PyTorch file that was unpacked; the folder "data" with the values is not beside it', {
        file: source.name,
      });
    }
    throw new ModelError('unsupported', 'a persistent id means something to the program that wrote it only');
  };
  const { value, end, opaque } = await unpickle(source, start, tensorHooks(foreign, openInner));
  for (const { storage, bytes } of inner) {
    const file = bytes instanceof PickleSpan ? bytes.bytes(bytes.end - bytes.start) : memorySource(bytes, source.name);
    const { value: found } = await readLegacyContent(file);
    if (!(found instanceof Storage)) throw new ModelError('unsupported', 'a tensor is kept as a file in the pickle that is no storage', { file: source.name });
    Object.assign(storage, { dtype: found.dtype, source: found.source, bigEndian: found.bigEndian });
    await breathe();
  }
  return { container: start === 0 ? 'plain pickle' : 'pickle in an array', value, opaque, surplus: source.byteLength - end };
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
    const found = objects.get(keyText(id));
    if (found === undefined) throw new ModelError('malformed', `object ${keyText(id)} is not in the archive`);
    return found;
  });
  const { value, opaque } = await unpickle(member('pickle'), 0, hooks);
  return { container: 'tar', value, opaque };
}

async function readTarStorages(file: ByteSource, objects: Map<string, unknown>): Promise<void> {
  const hooks = tensorHooks((id) => id);
  const total = await unpickle(file, 0, hooks);
  let at = total.end;
  for (let i = 0; i < toCount(total.value, file); i++) {
    const head = await unpickle(file, at, hooks);
    const [key, location, type] = asArray(head.value, file, at);
    const storage = new Storage(keyText(key), storageDType(type), await readInt64(file, head.end), keyText(location));
    at = await placeStorage(file, head.end, storage);
    objects.set(keyText(key), storage);
    await breathe();
  }
  const views = await unpickle(file, at, hooks);
  if (asArray(views.value, file, at).length > 0)
    throw new ModelError('unsupported', 'storages that are views of other storages are not read', { file: file.name, offset: at });
}

async function readTarTensors(file: ByteSource, objects: Map<string, unknown>): Promise<void> {
  const hooks = tensorHooks((id) => id);
  const total = await unpickle(file, 0, hooks);
  let at = total.end;
  for (let i = 0; i < toCount(total.value, file); i++) {
    const head = await unpickle(file, at, hooks);
    const [key, storageKey] = asArray(head.value, file, at);
    const storage = objects.get(keyText(storageKey));
    if (!(storage instanceof Storage))
      throw new ModelError('malformed', `tensor ${keyText(key)} refers to storage ${keyText(storageKey)}, which is not there`, { file: file.name, offset: at });
    const rank = new DataView((await file.read(head.end, head.end + 4)).slice().buffer).getInt32(0, true);
    if (rank < 0 || rank > 64) throw new ModelError('malformed', `tensor ${keyText(key)} has ${rank} dimensions`, { file: file.name, offset: head.end });
    // Four bytes after the rank are padding and hold garbage: the rank was written as eight bytes once.
    const numbers: number[] = [];
    at = head.end + 8;
    for (let j = 0; j < 2 * rank + 1; j++, at += 8) numbers.push(await readInt64(file, at));
    objects.set(keyText(key), new StoredView(storage, null, numbers[2 * rank]!, numbers.slice(0, rank), numbers.slice(rank, 2 * rank)));
    await breathe();
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

function checkLength(storage: Storage, byteLength: number, file: string): void {
  const expected = storage.count * (storage.dtype ? DTYPE_BYTES[storage.dtype] : 1);
  if (byteLength < expected) throw new ModelError('malformed', `storage ${storage.key} has ${byteLength} bytes; its tensors need ${expected}`, { file });
}

async function isBigEndian(order: ByteSource, file: string): Promise<boolean> {
  const word = order.byteLength <= 16 ? new TextDecoder().decode(await order.read(0, order.byteLength)) : '';
  if (word !== 'little' && word !== 'big')
    throw new ModelError('malformed', `the byte order is ${JSON.stringify(word)}; "little" or "big" was expected`, { file });
  return word === 'big';
}

/** Keys are texts, and were numbers once; a list of lists would spell itself out without end. */
function keyText(key: unknown): string {
  return typeof key === 'string' || typeof key === 'number' || typeof key === 'bigint' ? String(key) : '?';
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
