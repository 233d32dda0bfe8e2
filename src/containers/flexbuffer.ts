/**
 * FlexBuffers as custom operators of TensorFlow Lite keep their settings in them: a map of names to numbers and booleans. They are read from
 * their end, and everything lies before what points to it.
 *
 * @see https://flatbuffers.dev/internals/#flexbuffers
 */
import { decodeLatin1 } from '../bytes/latin1.js';

const TYPE = { int: 1, uint: 2, float: 3, map: 9, bool: 26 } as const;
/** Settings are a dozen. */
const MAX_ENTRIES = 1000;

/** @returns numbers by name, a boolean as 0 or 1; null where the bytes are no such map */
export function parseNumberMap(bytes: Uint8Array): Map<string, number> | null {
  try {
    return numbersOf(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  } catch (error) {
    // A place outside of the bytes.
    if (error instanceof RangeError) return null;
    throw error;
  }
}

function numbersOf(view: DataView): Map<string, number> | null {
  const unsigned = (at: number, width: number): number => {
    if (width === 1) return view.getUint8(at);
    if (width === 2) return view.getUint16(at, true);
    return width === 4 ? view.getUint32(at, true) : Number(view.getBigUint64(at, true));
  };
  const signed = (at: number, width: number): number => {
    if (width === 1) return view.getInt8(at);
    if (width === 2) return view.getInt16(at, true);
    return width === 4 ? view.getInt32(at, true) : Number(view.getBigInt64(at, true));
  };
  const rootWidth = view.getUint8(view.byteLength - 1);
  const root = view.getUint8(view.byteLength - 2);
  if (root >> 2 !== TYPE.map) return null;
  const rootAt = view.byteLength - 2 - rootWidth;
  const values = rootAt - unsigned(rootAt, rootWidth);
  const width = 2 ** (root & 3);
  const count = unsigned(values - width, width);
  if (count > MAX_ENTRIES) return null;
  const keysAt = values - 3 * width;
  const [keys, keyWidth] = [keysAt - unsigned(keysAt, width), unsigned(values - 2 * width, width)];
  const numbers = new Map<string, number>();
  for (let i = 0; i < count; i++) {
    const place = keys + i * keyWidth;
    let [start, end] = [place - unsigned(place, keyWidth), 0];
    for (end = start; view.getUint8(end) !== 0; end++);
    const name = decodeLatin1(new Uint8Array(view.buffer, view.byteOffset + start, end - start));
    start = values + i * width;
    const type = view.getUint8(values + count * width + i) >> 2;
    if (type === TYPE.int) numbers.set(name, signed(start, width));
    else if (type === TYPE.uint || type === TYPE.bool) numbers.set(name, unsigned(start, width));
    else if (type === TYPE.float && width >= 4) numbers.set(name, width === 4 ? view.getFloat32(start, true) : view.getFloat64(start, true));
    else return null;
  }
  return numbers;
}
