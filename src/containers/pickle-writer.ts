/**
 * Writes the pickle of a state dict as `torch.save` does: an OrderedDict of tensors, each rebuilt from a storage that is a member of the
 * archive. Loading it needs nothing but what `torch.load(..., weights_only=True)` allows.
 *
 * @see https://github.com/pytorch/pytorch/blob/main/torch/serialization.py and https://docs.python.org/3/library/pickletools.html
 */
import { concatBytes } from '../bytes/byte-sink.js';
import type { DType } from '../model/dtype.js';
import { elementCount, rowMajorStrides, type Tensor } from '../model/tensor.js';

/** The class of a storage, by the dtype of its elements. */
export const STORAGE_CLASSES: Readonly<Partial<Record<DType, string>>> = {
  float32: 'FloatStorage',
  float64: 'DoubleStorage',
  float16: 'HalfStorage',
  bfloat16: 'BFloat16Storage',
  int8: 'CharStorage',
  uint8: 'ByteStorage',
  int16: 'ShortStorage',
  int32: 'IntStorage',
  int64: 'LongStorage',
  bool: 'BoolStorage',
};

export interface StateDictEntry {
  readonly name: string;
  readonly tensor: Pick<Tensor, 'dtype' | 'shape'>;
  /** The member `data/<storage>` that holds its elements, row-major; entries may share one. */
  readonly storage: string;
}

/**
 * @param entries of dtypes that have a storage class
 * @param isLegacy for the container of PyTorch before 1.6, in which a storage may be a view of another; none is
 */
export function encodeStateDict(entries: readonly StateDictEntry[], isLegacy = false): Uint8Array {
  const pickle = new Pickle();
  pickle.op(PROTO, 2);
  pickle.global('collections', 'OrderedDict');
  pickle.op(EMPTY_TUPLE, REDUCE, MARK);
  for (const { name, tensor, storage } of entries) {
    pickle.text(name);
    pickle.global('torch._utils', '_rebuild_tensor_v2');
    pickle.op(MARK, MARK);
    pickle.text('storage');
    pickle.global('torch', STORAGE_CLASSES[tensor.dtype]!);
    pickle.text(storage);
    pickle.text('cpu');
    pickle.int(elementCount(tensor.shape));
    if (isLegacy) pickle.op(NONE);
    pickle.op(TUPLE, BINPERSID);
    pickle.int(0);
    pickle.tuple(tensor.shape);
    pickle.tuple(rowMajorStrides(tensor.shape));
    pickle.op(NEWFALSE);
    pickle.global('collections', 'OrderedDict');
    pickle.op(EMPTY_TUPLE, REDUCE, TUPLE, REDUCE);
  }
  pickle.op(SETITEMS);
  if (!isLegacy) pickle.metadata(ROOT_VERSION);
  pickle.op(STOP);
  return concatBytes(pickle.pieces);
}

/** MNASNet of torchvision declines a state dict that tells none; 2 is that of its weights today, and to other nets it says nothing. */
const ROOT_VERSION = 2;

/** A list of texts. */
export function encodeTexts(texts: readonly string[]): Uint8Array {
  const pickle = new Pickle();
  pickle.op(PROTO, 2, EMPTY_LIST, MARK);
  for (const text of texts) pickle.text(text);
  pickle.op(APPENDS, STOP);
  return concatBytes(pickle.pieces);
}

const PROTO = 0x80;
const MARK = 0x28;
const NONE = 0x4e;
const EMPTY_LIST = 0x5d;
const APPENDS = 0x65;
const TUPLE = 0x74;
const EMPTY_TUPLE = 0x29;
const REDUCE = 0x52;
const BINPERSID = 0x51;
const NEWFALSE = 0x89;
const EMPTY_DICT = 0x7d;
const SETITEM = 0x73;
const BUILD = 0x62;
const SETITEMS = 0x75;
const STOP = 0x2e;
const GLOBAL = 'c';
const BINUNICODE = 0x58;
const BININT = 0x4a;
const LONG1 = 0x8a;

class Pickle {
  readonly pieces: Uint8Array[] = [];

  op(...bytes: readonly number[]): void {
    this.pieces.push(Uint8Array.from(bytes));
  }

  global(module: string, name: string): void {
    this.pieces.push(new TextEncoder().encode(`${GLOBAL}${module}\n${name}\n`));
  }

  text(value: string): void {
    const bytes = new TextEncoder().encode(value);
    const head = new Uint8Array(5);
    head[0] = BINUNICODE;
    new DataView(head.buffer).setUint32(1, bytes.byteLength, true);
    this.pieces.push(head, bytes);
  }

  int(value: number): void {
    const bytes = new Uint8Array(value < 2 ** 31 ? 5 : 10);
    const view = new DataView(bytes.buffer);
    if (value < 2 ** 31) {
      bytes[0] = BININT;
      view.setInt32(1, value, true);
    } else {
      bytes[0] = LONG1;
      bytes[1] = 8;
      view.setBigInt64(2, BigInt(value), true);
    }
    this.pieces.push(bytes);
  }

  /** `state_dict._metadata`: the version of the outermost module. Modules within that tell none are filled up, as BatchNorm's counters are. */
  metadata(version: number): void {
    this.op(EMPTY_DICT);
    this.text('_metadata');
    this.global('collections', 'OrderedDict');
    this.op(EMPTY_TUPLE, REDUCE);
    this.text('');
    this.op(EMPTY_DICT);
    this.text('version');
    this.int(version);
    this.op(SETITEM, SETITEM, SETITEM, BUILD);
  }

  tuple(values: readonly number[]): void {
    this.op(MARK);
    for (const value of values) this.int(value);
    this.op(TUPLE);
  }
}
