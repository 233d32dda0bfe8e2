/**
 * NumPy's .npy and .npz: one array, and a zip of arrays.
 *
 * @see https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */

import { concatBytes } from '../bytes/byte-sink.js';
import type { ByteSource } from '../bytes/byte-source.js';
import { sliceSource } from '../bytes/byte-source.js';
import { decodeLatin1 } from '../bytes/latin1.js';
import { ModelError } from '../errors.js';
import { DTYPE_BYTES, type DType } from '../model/dtype.js';
import { permute, rowMajorStrides, storedTensor, type Tensor } from '../model/tensor.js';
import { openZip } from './zip.js';

const MAGIC = Uint8Array.of(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59);
/** NumPy itself refuses headers above 10,000 bytes. */
const MAX_HEADER_BYTES = 65_536;
/** Most headers are padded to this; an archive may have tens of thousands of arrays, each of which is looked into. */
const USUAL_HEAD_BYTES = 128;
/** Deflated arrays are kept in memory all at once; `numpy.savez` stores them, and then nothing is kept. */
const MAX_DEFLATED_BYTES = 2 ** 31;

const TYPES: Readonly<Record<string, DType>> = {
  f8: 'float64',
  f4: 'float32',
  f2: 'float16',
  i8: 'int64',
  i4: 'int32',
  i2: 'int16',
  i1: 'int8',
  u8: 'uint64',
  u4: 'uint32',
  u2: 'uint16',
  u1: 'uint8',
  b1: 'bool',
  c8: 'complex64',
  c16: 'complex128',
};

/** NumPy's word for a dtype ('f4'), without byte order; null for what is no number. */
export function numpyDType(word: string): DType | null {
  return Object.hasOwn(TYPES, word) ? TYPES[word]! : null;
}

export function looksLikeNpy(head: Uint8Array): boolean {
  return head.byteLength >= MAGIC.byteLength && MAGIC.every((byte, i) => head[i] === byte);
}

/** The head of an .npy file as bytes may show it, where it says that the array holds Python objects. */
export function looksLikeObjects(head: Uint8Array): boolean {
  return looksLikeNpy(head) && /'descr'\s*:\s*'\|?O/.test(decodeLatin1(head.subarray(0, 256)));
}

/** An array is whole, and of a kind that is not read. */
class UnreadArray extends ModelError {}

interface Header {
  readonly descr: string;
  readonly fortran: boolean;
  readonly shape: readonly number[];
  /** Where the values, or their pickle, begin. */
  readonly end: number;
}

/** Where the pickle of an array of Python objects begins. @throws ModelError 'malformed' for a header that is none */
export async function objectsAt(source: ByteSource): Promise<number> {
  return (await readHeader(source, { file: source.name, tensor: source.name })).end;
}

/** @throws ModelError */
async function readHeader(source: ByteSource, place: { file: string; tensor: string }): Promise<Header> {
  const start = await source.read(0, Math.min(USUAL_HEAD_BYTES, source.byteLength));
  if (start.byteLength < 10 || !looksLikeNpy(start)) throw new ModelError('malformed', 'this is no .npy array: the signature is missing', place);
  const major = start[6]!;
  if (major < 1 || major > 3) throw new ModelError('unsupported', `.npy version ${major} is not known`, place);
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength);
  const headerAt = major === 1 ? 10 : 12;
  const headerLength = major === 1 ? view.getUint16(8, true) : start.byteLength < 12 ? 0 : view.getUint32(8, true);
  if (headerLength > MAX_HEADER_BYTES) throw new ModelError('unsafe', `a header of ${headerLength} bytes describes no array`, place);
  const end = headerAt + headerLength;
  const header = end <= start.byteLength ? start.subarray(headerAt, end) : await source.read(headerAt, end);
  return { ...parseHeader(decodeLatin1(header), place), end };
}

/**
 * Reads the header of an .npy file; the values stay where they are.
 *
 * @throws ModelError 'unsafe' for an array of Python objects, 'malformed' for a header that does not fit the file
 */
export async function readNpy(source: ByteSource, name: string): Promise<Tensor> {
  const place = { file: source.name, tensor: name };
  const { descr, fortran, shape, end } = await readHeader(source, place);
  const order = descr[0];
  const kind = descr.slice(1);
  if (kind === 'O') throw new UnreadArray('unsafe', 'the array holds pickled Python objects, which are not opened', place);
  const dtype = numpyDType(kind);
  if (!dtype || !'<>|='.includes(order!)) throw new UnreadArray('unsupported', `arrays of type ${JSON.stringify(descr)} are not read`, place);
  const data = sliceSource(source, end, source.byteLength);
  const expected = shape.reduce((product, size) => product * size, DTYPE_BYTES[dtype]);
  if (data.byteLength !== expected)
    throw new ModelError('malformed', `shape [${shape}] of ${dtype} takes ${expected} bytes, but ${data.byteLength} follow. Is it truncated?`, place);
  const common = { name, dtype, source: data, bigEndian: order === '>', origin: { file: source.name, name } };
  if (!fortran) return storedTensor({ ...common, shape });
  const reversed = [...shape].reverse();
  return permute(
    storedTensor({ ...common, shape: reversed, strides: rowMajorStrides(reversed) }),
    reversed.map((_, axis) => reversed.length - 1 - axis),
  );
}

/**
 * Reads the headers of all arrays of an .npz file.
 *
 * @param unread takes the names of arrays that hold objects, records or texts, and what is said of them; left out, they are refused
 * @returns arrays by name, without '.npy'
 * @throws ModelError
 */
export async function readNpz(source: ByteSource, maxDeflatedBytes = MAX_DEFLATED_BYTES, unread?: Map<string, string>): Promise<Map<string, Tensor>> {
  const arrays = new Map<string, Tensor>();
  const { entries } = await openZip(source);
  const deflated = entries.filter(({ method }) => method === 'deflated').reduce((sum, { byteLength }) => sum + byteLength, 0);
  if (deflated > maxDeflatedBytes) {
    throw new ModelError(
      'unsafe',
      `its deflated arrays claim ${deflated} bytes; at most ${maxDeflatedBytes} are unpacked. Save it with numpy.savez, which stores them.`,
      {
        file: source.name,
      },
    );
  }
  for (const entry of entries) {
    if (!entry.name.endsWith('.npy')) throw new ModelError('malformed', `the archive holds "${entry.name}", which is no .npy array`, { file: source.name });
    const name = entry.name.slice(0, -'.npy'.length);
    try {
      arrays.set(name, { ...(await readNpy(await entry.source(), name)), origin: { file: source.name, name } });
    } catch (error) {
      // What is wrong with the archive itself is no matter of one array.
      if (!unread || !(error instanceof UnreadArray)) throw error;
      unread.set(name, error.problem);
    }
  }
  return arrays;
}

/** An .npy file of version 1, the data at a multiple of 64 bytes. */
export function encodeNpyHeader(dtype: DType, shape: readonly number[]): Uint8Array {
  const type = Object.entries(TYPES).find(([, known]) => known === dtype)?.[0];
  if (!type) throw new ModelError('unsupported', `NumPy has no dtype ${dtype}`);
  const descr = DTYPE_BYTES[dtype] === 1 ? `|${type}` : `<${type}`;
  const list = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const text = `{'descr': '${descr}', 'fortran_order': False, 'shape': (${list}), }`;
  const padding = ' '.repeat((64 - ((10 + text.length + 1) % 64)) % 64);
  const header = new TextEncoder().encode(`${text}${padding}\n`);
  const prefix = Uint8Array.of(...MAGIC, 1, 0, header.byteLength & 255, header.byteLength >> 8);
  return concatBytes([prefix, header]);
}

/** Whether NumPy can hold the dtype. */
export function isNumpyDType(dtype: DType): boolean {
  return Object.values(TYPES).includes(dtype);
}

/** A Python dict literal of exactly three keys; nothing is evaluated. */
function parseHeader(text: string, place: { file: string; tensor: string }): { descr: string; fortran: boolean; shape: number[] } {
  const descr = /'descr'\s*:\s*'([<>|=][a-zA-Z]\d*)'/.exec(text)?.[1];
  const fortran = /'fortran_order'\s*:\s*(True|False)/.exec(text)?.[1];
  const sizes = /'shape'\s*:\s*\(([\d\s,L]*)\)/.exec(text)?.[1];
  if (/'descr'\s*:\s*\[/.test(text)) throw new ModelError('unsupported', 'structured arrays are not read', place);
  if (descr === undefined || fortran === undefined || sizes === undefined) {
    throw new ModelError('malformed', `the header ${JSON.stringify(text.slice(0, 80))} does not say type, order and shape`, place);
  }
  const shape = sizes
    .split(',')
    .map((part) => part.trim().replace(/L$/, ''))
    .filter((part) => part !== '')
    .map(Number);
  return { descr, fortran: fortran === 'True', shape };
}
