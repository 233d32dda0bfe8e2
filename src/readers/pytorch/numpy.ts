/**
 * Rebuilds NumPy's arrays from what pickles say about them, where they are plain numbers.
 *
 * @see https://github.com/numpy/numpy/blob/main/numpy/_core/src/multiarray/methods.c, array_setstate; descriptor.c, arraydescr_setstate
 */
import { type ByteSource, memorySource } from '../../bytes/byte-source.js';
import { numpyDType } from '../../containers/npy.js';
import { type Buildable, PickleSpan } from '../../containers/pickle/index.js';
import { ModelError } from '../../errors.js';
import { DTYPE_BYTES, type DType } from '../../model/dtype.js';
import { elementCount, rowMajorStrides } from '../../model/tensor.js';
import { Storage, StoredView, toCounts } from './stored-view.js';

/** `numpy.dtype('f4', ...)`, whose byte order BUILD sets. */
export class NumpyDType implements Buildable {
  /** Null for objects, records, dates and texts. */
  readonly dtype: DType | null;
  bigEndian = false;

  constructor(word: unknown) {
    this.dtype = typeof word === 'string' ? numpyDType(word.replace(/^[<>|=]/, '')) : null;
    this.bigEndian = typeof word === 'string' && word.startsWith('>');
  }

  /** (version, byte order, ...). */
  build(state: unknown): void {
    if (Array.isArray(state)) this.bigEndian = state[1] === '>';
  }
}

/** `numpy.core.multiarray._reconstruct(...)`, which is empty until BUILD fills it. */
export class NumpyArray implements Buildable {
  /** Null while it is empty, and for arrays of anything but plain numbers. */
  view: StoredView | null = null;
  /** What an array of Python objects holds, row by row; `numpy.save` makes an array without axes of a dictionary. */
  items: readonly unknown[] | null = null;
  isOne = false;

  /** (version, shape, dtype, whether columns come first, bytes); the version is left out by the first NumPy. */
  build(state: unknown): void {
    if (!Array.isArray(state) || state.length < 4) throw new ModelError('malformed', 'the state of a NumPy array is not its shape, dtype, order and bytes');
    const [shape, dtype, isFortran, data] = state.slice(-4);
    this.view = arrayView(shape, dtype, isFortran === true || isFortran === 1, data);
    if (this.view || !Array.isArray(data)) return;
    this.items = data;
    this.isOne = Array.isArray(shape) && shape.length === 0;
  }
}

/** `_frombuffer(bytes, dtype, shape, order)`, as protocol 5 has arrays. */
export function arrayFromBuffer([data, dtype, shape, order]: readonly unknown[]): NumpyArray {
  const array = new NumpyArray();
  array.view = arrayView(shape, dtype, order === 'F', data);
  return array;
}

function arrayView(shape: unknown, type: unknown, isFortran: boolean, data: unknown): StoredView | null {
  const dtype = type instanceof NumpyDType ? type.dtype : null;
  if (dtype === null) return null;
  const sizes = toCounts(shape);
  const count = elementCount(sizes);
  const source = toSource(data, count * DTYPE_BYTES[dtype]);
  if (source === null) return null;
  if (source.byteLength !== count * DTYPE_BYTES[dtype]) {
    throw new ModelError('malformed', `a NumPy array of shape [${sizes}] and dtype ${dtype} has ${source.byteLength} bytes`);
  }
  const storage = new Storage('array', dtype, count, 'numpy');
  storage.source = source;
  storage.bigEndian = (type as NumpyDType).bigEndian;
  const strides = isFortran ? rowMajorStrides(sizes.toReversed()).toReversed() : rowMajorStrides(sizes);
  return new StoredView(storage, dtype, 0, sizes, strides);
}

/** Python 2 has texts for bytes, and so has protocol 0. */
function toSource(data: unknown, byteLength: number): ByteSource | null {
  if (data instanceof PickleSpan) return data.bytes(byteLength);
  if (data instanceof Uint8Array) return memorySource(data);
  if (typeof data === 'string') return memorySource(Uint8Array.from(data, (character) => character.charCodeAt(0)));
  return null;
}
