/** Rebuilds PyTorch's tensors from what its pickles say about them: which storage, where in it, shape and strides. */
import type { ByteSource } from '../../bytes/byte-source.js';
import { PickleGlobal, type PickleHooks, PickleObject } from '../../containers/pickle.js';
import { ModelError } from '../../errors.js';
import type { DType } from '../../model/dtype.js';

/** A block of elements that tensors share; its bytes are found once the container has been read. */
export class Storage {
  source: ByteSource | null = null;
  bigEndian = false;

  constructor(
    readonly key: string,
    /** Null for an untyped storage, whose tensors say what they hold. */
    readonly dtype: DType | null,
    /** In elements; in bytes where untyped. */
    readonly count: number,
    /** 'cpu', 'cuda:0': where it lay when it was saved, which changes nothing. */
    readonly location: string,
  ) {}
}

/** A view of a storage. */
export class StoredView {
  constructor(
    readonly storage: Storage,
    readonly dtype: DType,
    /** In elements. */
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}
}

const STORAGE_DTYPES: Readonly<Record<string, DType>> = {
  DoubleStorage: 'float64',
  FloatStorage: 'float32',
  HalfStorage: 'float16',
  BFloat16Storage: 'bfloat16',
  LongStorage: 'int64',
  IntStorage: 'int32',
  ShortStorage: 'int16',
  CharStorage: 'int8',
  ByteStorage: 'uint8',
  BoolStorage: 'bool',
  ComplexFloatStorage: 'complex64',
  ComplexDoubleStorage: 'complex128',
};

/** torch.dtype names that NumPy spells otherwise or that need no translation. */
const TORCH_DTYPES: Readonly<Record<string, DType>> = {
  float64: 'float64',
  double: 'float64',
  float32: 'float32',
  float: 'float32',
  float16: 'float16',
  half: 'float16',
  bfloat16: 'bfloat16',
  float8_e4m3fn: 'float8_e4m3fn',
  float8_e5m2: 'float8_e5m2',
  int64: 'int64',
  long: 'int64',
  int32: 'int32',
  int: 'int32',
  int16: 'int16',
  short: 'int16',
  int8: 'int8',
  uint8: 'uint8',
  uint16: 'uint16',
  uint32: 'uint32',
  uint64: 'uint64',
  bool: 'bool',
  complex64: 'complex64',
  complex128: 'complex128',
};

/** A storage type as the pickle names it, torch.FloatStorage or torch.cuda.FloatStorage; null for untyped. */
export function storageDType(type: unknown): DType | null {
  if (!(type instanceof PickleGlobal) || !type.module.startsWith('torch')) throw new ModelError('malformed', 'a storage has no storage type');
  if (type.name === 'UntypedStorage') return null;
  const dtype = Object.hasOwn(STORAGE_DTYPES, type.name) ? STORAGE_DTYPES[type.name] : undefined;
  if (!dtype) throw new ModelError('unsupported', `storages of type ${type.path} are not read. Known: ${Object.keys(STORAGE_DTYPES).join(', ')}.`);
  return dtype;
}

const UNSUPPORTED_REBUILDS = [
  '_rebuild_sparse_tensor',
  '_rebuild_sparse_csr_tensor',
  '_rebuild_nested_tensor',
  '_rebuild_qtensor',
  '_rebuild_meta_tensor_no_storage',
  '_rebuild_wrapper_subclass',
  '_rebuild_device_tensor_from_numpy',
];

/** Classes that checkpoints keep beside weights; they become inert records. */
const INERT = [
  'torch.Size',
  'torch.device',
  'torch.dtype',
  'torch.torch_version.TorchVersion',
  'torch.serialization._get_layout',
  'torch.nn.backends.thnn._get_thnn_function_backend',
  'numpy.dtype',
  'numpy.core.multiarray.scalar',
  'numpy._core.multiarray.scalar',
  'numpy.core.multiarray._reconstruct',
  'numpy._core.multiarray._reconstruct',
  'numpy.ndarray',
  'collections.defaultdict',
  'collections.Counter',
  'collections.deque',
  'datetime.datetime',
  'datetime.date',
  'datetime.timedelta',
  'pathlib.PosixPath',
  'pathlib.WindowsPath',
  'argparse.Namespace',
];

/** @param persistentLoad resolves the container's references to storages */
export function tensorHooks(persistentLoad: (id: unknown) => unknown): PickleHooks {
  const unsupported = Object.fromEntries(
    UNSUPPORTED_REBUILDS.map((name) => [
      `torch._utils.${name}`,
      () => {
        throw new ModelError('unsupported', `tensors made by torch._utils.${name} (sparse, quantised, nested or without storage) are not read`);
      },
    ]),
  );
  return {
    inert: new Set(INERT),
    persistentLoad,
    callables: {
      ...unsupported,
      'collections.OrderedDict': (args) => {
        const pairs = Array.isArray(args[0]) ? args[0] : [];
        return new Map(pairs.filter(Array.isArray).map(([key, value]: readonly unknown[]) => [key, value]));
      },
      'torch._utils._rebuild_tensor': ([storage, offset, shape, strides]) => view(storage, offset, shape, strides),
      'torch._utils._rebuild_tensor_v2': ([storage, offset, shape, strides]) => view(storage, offset, shape, strides),
      'torch._utils._rebuild_tensor_v3': ([storage, offset, shape, strides, , , dtype]) => view(storage, offset, shape, strides, dtype),
      'torch._utils._rebuild_parameter': ([data]) => data,
      'torch._utils._rebuild_parameter_with_state': ([data]) => data,
      'torch._tensor._rebuild_from_type_v2': ([rebuild, , args]) => rebuildSubclass(rebuild, args),
      'torch.nn.parameter.Parameter': (args) =>
        args[0] instanceof StoredView ? args[0] : new PickleObject(new PickleGlobal('torch.nn.parameter', 'Parameter'), args),
      'torch.storage._load_from_bytes': () => {
        throw new ModelError(
          'unsafe',
          'the pickle holds another PyTorch file inside (torch.storage._load_from_bytes), which is not opened. Save it again with torch.save(model.state_dict(), ...).',
        );
      },
    },
  };
}

/** A tensor subclass: the tensor inside is what counts. */
function rebuildSubclass(rebuild: unknown, args: unknown): unknown {
  const path = rebuild instanceof PickleGlobal ? rebuild.path : '';
  if (/^torch\._utils\._rebuild_tensor(_v2)?$/.test(path) && Array.isArray(args)) return view(args[0], args[1], args[2], args[3]);
  throw new ModelError('unsupported', `a tensor subclass made by ${path || 'an unnamed function'} is not read`);
}

function view(storage: unknown, offset: unknown, shape: unknown, strides: unknown, type?: unknown): StoredView {
  if (!(storage instanceof Storage)) throw new ModelError('malformed', 'a tensor refers to something that is no storage');
  const dtype = storage.dtype ?? torchDType(type);
  const counts = (value: unknown): number[] => {
    const list = value instanceof PickleObject ? value.args[0] : value;
    if (!Array.isArray(list) || !list.every((size) => Number.isSafeInteger(size) && size >= 0))
      throw new ModelError('malformed', 'a tensor has a shape or strides that are no counts');
    return [...list];
  };
  const [start] = counts([offset]);
  return new StoredView(storage, dtype, start!, counts(shape), counts(strides));
}

function torchDType(type: unknown): DType {
  const name = type instanceof PickleGlobal ? type.name : '';
  const dtype = Object.hasOwn(TORCH_DTYPES, name) ? TORCH_DTYPES[name] : undefined;
  if (!dtype) throw new ModelError('unsupported', `tensors of dtype ${type instanceof PickleGlobal ? type.path : 'unknown'} are not read`);
  return dtype;
}
