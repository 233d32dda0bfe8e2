/** What PyTorch's and NumPy's pickles may call: the functions that rebuild tensors and arrays, and classes that checkpoints keep beside them. */
import { PickleGlobal, type PickleHooks, PickleObject } from '../../containers/pickle/index.js';
import { ModelError } from '../../errors.js';
import { arrayFromBuffer, NumpyArray, NumpyDType } from './numpy.js';
import { isQuantised, Storage, StoredView, storageDType, toCounts, torchDType } from './stored-view.js';

/** Tensors that are not read, by the function that makes them, and what they are. */
const OTHER_TENSORS: Readonly<Record<string, string>> = {
  _rebuild_sparse_tensor: 'a sparse tensor',
  _rebuild_sparse_csr_tensor: 'a sparse tensor',
  _rebuild_nested_tensor: 'a nested tensor',
  _rebuild_qtensor: 'a quantised tensor',
  _rebuild_meta_tensor_no_storage: 'a tensor without values (on the device "meta")',
  _rebuild_wrapper_subclass: 'a tensor subclass',
};

/** Where the functions that rebuild a tensor are told what is still to be done to the stored values: the conjugate, the negative. */
const LAZY_BITS: Readonly<Record<string, number>> = { _rebuild_tensor: Number.POSITIVE_INFINITY, _rebuild_tensor_v2: 6, _rebuild_tensor_v3: 7 };
const LAZY = 'a view whose values are negated or conjugated when they are used (its resolve_neg() or resolve_conj() is a plain tensor)';

/** Known classes and functions of which inert records are made. */
const INERT = [
  'torch.Size',
  'torch.device',
  'torch.dtype',
  'torch.torch_version.TorchVersion',
  'torch.serialization._get_layout',
  'torch.nn.backends.thnn._get_thnn_function_backend',
  'numpy.core.multiarray.scalar',
  'numpy._core.multiarray.scalar',
  'numpy.ndarray',
  'collections.Counter',
  'collections.deque',
  'datetime.datetime',
  'datetime.date',
  'datetime.timedelta',
  'pathlib.Path',
  'pathlib.PosixPath',
  'pathlib.WindowsPath',
  'argparse.Namespace',
];

/**
 * @param persistentLoad resolves the container's references to storages
 * @param openInner takes a PyTorch file that the pickle holds as bytes, which is how a plain pickle has each storage
 */
export function tensorHooks(persistentLoad: ((id: unknown) => unknown) | undefined, openInner?: (bytes: unknown) => Storage): PickleHooks {
  const callables: Record<string, (args: readonly unknown[]) => unknown> = {
    'collections.OrderedDict': toMap,
    'collections.defaultdict': () => new Map(),
    'torch._utils._rebuild_parameter': ([data]) => data,
    'torch._utils._rebuild_parameter_with_state': ([data]) => data,
    'torch.nn.parameter.Parameter': (args) => (args[0] instanceof StoredView ? args[0] : new PickleObject(PARAMETER, args)),
    'torch.nn.parameter.Buffer': (args) => (args[0] instanceof StoredView ? args[0] : new PickleObject(PARAMETER, args)),
    'torch.storage._load_from_bytes': ([bytes]) => {
      if (openInner) return openInner(bytes);
      throw new ModelError('unsupported', 'a PyTorch file inside of another is not opened');
    },
    'numpy.dtype': ([word]) => new NumpyDType(word),
  };
  // TorchScript's typed lists, and dictionaries with a note of their type.
  for (const name of ['build_intlist', 'build_doublelist', 'build_boollist', 'build_tensorlist', 'restore_type_tag'])
    callables[`torch.jit._pickle.${name}`] = ([value]) => value;
  for (const [name, place] of Object.entries(LAZY_BITS)) callables[`torch._utils.${name}`] = (args) => toView(args, args[place]);
  for (const name of ['_rebuild_device_tensor_from_cpu_tensor', '_rebuild_device_tensor_from_numpy', '_rebuild_xla_tensor', '_rebuild_mlc_tensor'])
    callables[`torch._utils.${name}`] = ([data]) => data;
  for (const [name, what] of Object.entries(OTHER_TENSORS)) callables[`torch._utils.${name}`] = () => unsupported(what);
  // A tensor subclass: the tensor inside is what counts.
  for (const path of ['torch._tensor._rebuild_from_type_v2', 'torch._tensor._rebuild_from_type', 'torch.tensor._rebuild_from_type']) {
    callables[path] = ([rebuild, , args]) => {
      const known = rebuild instanceof PickleGlobal && Object.hasOwn(callables, rebuild.path) ? callables[rebuild.path] : undefined;
      return known && Array.isArray(args) ? known(args) : unsupported('a tensor subclass');
    };
  }
  for (const module of ['numpy.core', 'numpy._core']) {
    callables[`${module}.multiarray._reconstruct`] = () => new NumpyArray();
    callables[`${module}.numeric._frombuffer`] = arrayFromBuffer;
  }
  return { inert: new Set(INERT), persistentLoad, callables };
}

/** What a record stands for that was made in a tensor's place; null for any other. */
export function otherTensor(value: unknown): string | null {
  if (value instanceof NumpyArray) return value.view || value.items ? null : 'a NumPy array of objects, records or texts';
  if (!(value instanceof PickleObject)) return null;
  const { module, name, path } = value.type;
  const place = module === 'torch._utils' && Object.hasOwn(LAZY_BITS, name) ? LAZY_BITS[name]! : null;
  if (place !== null && isLazy(value.args[place])) return LAZY;
  const type = name === '_rebuild_tensor_v3' ? value.args[6] : undefined;
  if (module === 'torch._utils' && type instanceof PickleGlobal) return `a tensor of ${type.path.slice(0, 60)}`;
  if (module === 'torch._utils' && /^_rebuild_.*tensor/.test(name)) return OTHER_TENSORS[name] ?? 'a tensor of a kind that is not known';
  if (module === 'torch.nn.parameter' && name.startsWith('Uninitialized')) return 'a tensor that was never given a shape (of a lazy module)';
  return /^torch\.(_tensor|tensor)\._rebuild_from_type/.test(path) ? 'a tensor subclass' : null;
}

const PARAMETER = new PickleGlobal('torch.nn.parameter', 'Parameter');

function toMap([pairs]: readonly unknown[]): Map<unknown, unknown> {
  if (pairs instanceof Map) return new Map(pairs);
  const list = Array.isArray(pairs) ? pairs.filter(Array.isArray) : [];
  return new Map(list.map(([key, value]: readonly unknown[]) => [key, value]));
}

/** Whether notes beside a tensor ask for more than its stored values; all of PyTorch's do. */
function isLazy(notes: unknown): boolean {
  return notes instanceof Map && [...notes.values()].some((value) => value !== false && value !== null);
}

/** (storage, offset, shape, strides, ...), and the dtype as the seventh where the storage has none. */
function toView([storage, offset, shape, strides, , , type]: readonly unknown[], notes: unknown): StoredView {
  if (isLazy(notes)) unsupported(LAZY);
  if (storage instanceof PickleObject) unsupported('a tensor over a storage of a kind that is not known');
  if (storage instanceof Storage && storage.isQuantised) unsupported('a tensor over a storage of quantised values');
  if (!(storage instanceof Storage)) throw new ModelError('malformed', 'a tensor refers to something that is no storage');
  const [start] = toCounts([offset]);
  const ownDType = storage.dtype ?? (type === undefined || type === null ? null : torchDType(type));
  return new StoredView(storage, ownDType, start!, toCounts(shape), toCounts(strides));
}

function unsupported(what: string): never {
  throw new ModelError('unsupported', `${what} is not read`);
}

/**
 * A storage by its persistent id: ['storage', type, key, location, count] with, in legacy files, a view that newer ones leave out.
 *
 * @throws ModelError 'unsupported' for ids of another kind
 */
export function knownStorage(storages: Map<string, Storage>, id: unknown): unknown {
  if (!Array.isArray(id)) throw new ModelError('unsupported', 'a persistent id that is no tuple is not read');
  if (id[0] === 'module') return id[1];
  const [word, type, key, location, count, viewMetadata] = id;
  if (word !== 'storage') throw new ModelError('unsupported', 'a persistent id that describes no storage is not read');
  if (typeof key !== 'string' || !Number.isSafeInteger(count) || (count as number) < 0) {
    throw new ModelError('malformed', 'a persistent id does not describe a storage');
  }
  if (Array.isArray(viewMetadata)) throw new ModelError('unsupported', `storage ${key} is a view of another storage, which is not read`);
  const dtype = storageDType(type);
  const known = storages.get(key);
  if (known) {
    if (known.dtype !== dtype || known.count !== count) throw new ModelError('malformed', `storage ${key} is described twice, differently`);
    return known;
  }
  const storage = new Storage(key, dtype, count as number, String(location), isQuantised(type));
  storages.set(key, storage);
  return storage;
}
