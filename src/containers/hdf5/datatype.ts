/** Datatypes and dataspaces, and the values of attributes. */
import { toFloat64Array } from '../../model/cast.js';
import type { DType } from '../../model/dtype.js';
import { Cursor, type Hdf5File } from './cursor.js';
import { readGlobalHeapObject } from './heaps.js';
import type { Hdf5Value } from './types.js';

export interface Datatype {
  /** Bytes per element. */
  readonly size: number;
  readonly dtype: DType | null;
  readonly typeName: string;
  readonly bigEndian: boolean;
  readonly string: 'fixed' | 'variable' | null;
  readonly isEnumBool: boolean;
}

export interface Dataspace {
  /** Null for an empty dataspace, [] for a scalar. */
  readonly shape: readonly number[] | null;
  /** Largest sizes; Infinity where unlimited. */
  readonly maximum: readonly number[];
}

const CLASS_NAMES = ['integer', 'float', 'time', 'string', 'bitfield', 'opaque', 'compound', 'reference', 'enum', 'variable-length', 'array', 'complex'];
const MAX_RANK = 32;
/** Attributes of Keras files are lists of some hundred names; numbers beyond this are data, not description. */
const MAX_ATTRIBUTE_ELEMENTS = 1_000_000;

export function parseDatatype(cursor: Cursor): Datatype {
  const classAndVersion = cursor.u8();
  const bits = cursor.uint(3);
  const size = cursor.u32();
  const typeClass = classAndVersion & 15;
  const version = classAndVersion >> 4;
  const plain = { size, dtype: null, typeName: CLASS_NAMES[typeClass] ?? `class ${typeClass}`, bigEndian: false, string: null, isEnumBool: false } as const;
  if (size === 0) throw cursor.error('a datatype of zero bytes');
  switch (typeClass) {
    case 0:
      return { ...plain, ...parseInteger(cursor, bits, size) };
    case 1:
      return { ...plain, ...parseFloat_(cursor, bits, size) };
    case 3:
      return { ...plain, string: 'fixed' };
    case 8:
      return { ...plain, ...parseEnum(cursor, bits & 0xffff, version) };
    case 9:
      return (bits & 15) === 1 ? { ...plain, typeName: 'string', string: 'variable' } : plain;
    default:
      return plain;
  }
}

function parseInteger(cursor: Cursor, bits: number, size: number): Partial<Datatype> {
  const bitOffset = cursor.u16();
  const precision = cursor.u16();
  const signed = (bits & 8) !== 0;
  const typeName = `${signed ? 'int' : 'uint'}${precision}`;
  const whole = bitOffset === 0 && precision === size * 8 && [1, 2, 4, 8].includes(size);
  return { typeName, dtype: whole ? (typeName as DType) : null, bigEndian: (bits & 1) !== 0 };
}

/** Layouts of IEEE 754 (and bfloat16): bytes, exponent at, exponent bits, mantissa bits, bias. */
const FLOATS: readonly (readonly [DType, number, number, number, number, number])[] = [
  ['float64', 8, 52, 11, 52, 1023],
  ['float32', 4, 23, 8, 23, 127],
  ['float16', 2, 10, 5, 10, 15],
  ['bfloat16', 2, 7, 8, 7, 127],
];

function parseFloat_(cursor: Cursor, bits: number, size: number): Partial<Datatype> {
  const bitOffset = cursor.u16();
  const precision = cursor.u16();
  const [exponentAt, exponentBits, , mantissaBits] = [cursor.u8(), cursor.u8(), cursor.u8(), cursor.u8()];
  const bias = cursor.u32();
  const vax = (bits & 0x41) === 0x41;
  const found = FLOATS.find(
    ([, bytes, at, exponent, mantissa, expectedBias]) =>
      bytes === size &&
      at === exponentAt &&
      exponent === exponentBits &&
      mantissa === mantissaBits &&
      bias === expectedBias &&
      bitOffset === 0 &&
      precision === size * 8 &&
      !vax,
  );
  return { typeName: found?.[0] ?? `float${precision}`, dtype: found?.[0] ?? null, bigEndian: (bits & 1) !== 0 };
}

/** h5py stores booleans as an enum of FALSE = 0 and TRUE = 1 over int8. */
function parseEnum(cursor: Cursor, count: number, version: number): Partial<Datatype> {
  if ((cursor.bytes[cursor.at]! & 15) === 8) throw cursor.error('an enum of enums');
  const base = parseDatatype(cursor);
  const names: string[] = [];
  for (let i = 0; i < count; i++) {
    const start = cursor.at;
    names.push(cursor.cString());
    if (version < 3) cursor.skip((8 - ((cursor.at - start) % 8)) % 8);
  }
  const isEnumBool = base.size === 1 && names.join() === 'FALSE,TRUE';
  return { dtype: isEnumBool ? 'bool' : base.dtype, typeName: isEnumBool ? 'bool' : `enum of ${base.typeName}`, bigEndian: base.bigEndian, isEnumBool };
}

export function parseDataspace(cursor: Cursor): Dataspace {
  const version = cursor.u8();
  const rank = cursor.u8();
  const flags = cursor.u8();
  if (rank > MAX_RANK) throw cursor.error(`a dataspace of ${rank} dimensions`);
  let isNull = false;
  if (version === 1) cursor.skip(5);
  else if (version === 2) isNull = cursor.u8() === 2;
  else throw cursor.error(`a dataspace of version ${version} is not known`);
  if (isNull) return { shape: null, maximum: [] };
  const shape = Array.from({ length: rank }, () => cursor.length());
  const maximum = flags & 1 ? shape.map(() => cursor.offset() ?? Number.POSITIVE_INFINITY) : shape;
  return { shape, maximum };
}

/** Values of `count` elements, as attributes and string datasets hold them. */
export async function readValues(file: Hdf5File, bytes: Uint8Array, type: Datatype, count: number): Promise<readonly (string | number | boolean)[] | null> {
  if (count > MAX_ATTRIBUTE_ELEMENTS) throw file.error(0, `${count} values are more than any attribute holds`, 'unsafe');
  if (type.string !== null) {
    const strings: string[] = [];
    for (let i = 0; i < count; i++) {
      const item = bytes.subarray(i * type.size, (i + 1) * type.size);
      strings.push(type.string === 'fixed' ? fixedString(item) : await variableString(file, item));
    }
    return strings;
  }
  if (type.dtype === null) return null;
  const ordered = bytes.slice(0, count * type.size);
  if (type.bigEndian) for (let i = 0; i < count; i++) ordered.subarray(i * type.size, (i + 1) * type.size).reverse();
  const numbers = [...toFloat64Array(ordered, type.dtype)];
  return type.isEnumBool ? numbers.map((value) => value !== 0) : numbers;
}

/** An attribute's value: one for a scalar, a list otherwise. */
export async function readAttributeValue(file: Hdf5File, data: Cursor, type: Datatype, { shape }: Dataspace): Promise<Hdf5Value> {
  if (shape === null) return null;
  const count = shape.reduce((product, size) => product * size, 1);
  if (count * type.size > data.left) throw data.error(`an attribute of ${count} elements of ${type.size} bytes does not fit into ${data.left} bytes`);
  file.budget.spend(count * type.size);
  const values = await readValues(file, data.take(count * type.size), type, count);
  return values === null ? null : shape.length === 0 ? values[0]! : (values as Hdf5Value);
}

function fixedString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
}

/** Length, address of a global heap collection and index in it. */
async function variableString(file: Hdf5File, reference: Uint8Array): Promise<string> {
  const cursor = new Cursor(file, reference, 0);
  const length = cursor.u32();
  if (length === 0) return '';
  const address = cursor.definedOffset();
  const index = cursor.u32();
  const object = await readGlobalHeapObject(file, address, index);
  file.budget.spend(length);
  if (object.byteLength < length) throw file.error(address, `a string of ${length} bytes has only ${object.byteLength} in its heap`);
  return fixedString(object.subarray(0, length));
}
