/** PyTorch's tensors before their bytes are found: blocks of elements, and views of them. */
import type { ByteSource } from '../../bytes/byte-source.js';
import { PickleGlobal, PickleObject } from '../../containers/pickle/index.js';
import { ModelError } from '../../errors.js';
import type { DType } from '../../model/dtype.js';

/** A block of elements that tensors share; its bytes are found once the container has been read. */
export class Storage {
  source: ByteSource | null = null;
  bigEndian = false;

  constructor(
    readonly key: string,
    /** Null for an untyped storage, whose tensors say what they hold, and for one whose own file was not looked into yet. */
    public dtype: DType | null,
    /** In elements; in bytes where untyped. */
    readonly count: number,
    /** 'cpu', 'cuda:0': where it lay when it was saved, which changes nothing. */
    readonly location: string,
    readonly isQuantised = false,
  ) {}
}

/** A view of a storage. */
export class StoredView {
  constructor(
    readonly storage: Storage,
    /** Null where the storage knows. */
    readonly ownDType: DType | null,
    /** In elements. */
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {}

  /** @throws ModelError 'malformed' when nobody knows */
  get dtype(): DType {
    const dtype = this.ownDType ?? this.storage.dtype;
    if (dtype === null) throw new ModelError('malformed', `neither storage ${this.storage.key} nor its tensor says what it holds`);
    return dtype;
  }
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

/** Of quantised tensors, which are told and not read: the numbers that stand for levels. */
const QUANTISED_DTYPES: Readonly<Record<string, DType>> = {
  QInt8Storage: 'int8',
  QUInt8Storage: 'uint8',
  QInt32Storage: 'int32',
  QUInt4x2Storage: 'uint8',
  QUInt2x4Storage: 'uint8',
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

/**
 * A storage type as the pickle names it, torch.FloatStorage or torch.cuda.FloatStorage; null for untyped.
 *
 * @throws ModelError 'unsupported' for a storage that is not known
 */
export function storageDType(type: unknown): DType | null {
  if (!(type instanceof PickleGlobal) || !type.module.startsWith('torch')) throw new ModelError('malformed', 'a storage has no storage type');
  if (type.name === 'UntypedStorage') return null;
  const known = isQuantised(type) ? QUANTISED_DTYPES : STORAGE_DTYPES;
  const dtype = Object.hasOwn(known, type.name) ? known[type.name] : undefined;
  if (!dtype) throw new ModelError('unsupported', `storages of type ${type.path} are not read. Known: ${Object.keys(STORAGE_DTYPES).join(', ')}.`);
  return dtype;
}

export function isQuantised(type: unknown): boolean {
  return type instanceof PickleGlobal && Object.hasOwn(QUANTISED_DTYPES, type.name);
}

/** @throws ModelError 'unsupported' for a dtype that is not known */
export function torchDType(type: unknown): DType {
  const name = type instanceof PickleGlobal ? type.name : '';
  const dtype = Object.hasOwn(TORCH_DTYPES, name) ? TORCH_DTYPES[name] : undefined;
  if (!dtype) throw new ModelError('unsupported', `tensors of dtype ${type instanceof PickleGlobal ? type.path : 'unknown'} are not read`);
  return dtype;
}

/** Of tensors in PyTorch and arrays in NumPy. */
const MAX_RANK = 64;

/** @throws ModelError 'malformed' where the value is no list of counts */
export function toCounts(value: unknown): number[] {
  const list = value instanceof PickleObject ? value.args[0] : value;
  if (!Array.isArray(list) || list.length > MAX_RANK || !list.every((size) => Number.isSafeInteger(size) && size >= 0))
    throw new ModelError('malformed', 'a tensor has a shape or strides that are no counts');
  return [...list];
}
