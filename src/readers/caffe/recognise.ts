/** The signs by which Caffe files are recognised. */
import type { ByteSource } from '../../bytes/byte-source.js';
import type { Hdf5Group } from '../../containers/hdf5/index.js';

/**
 * A layer of before 2014. An operator of Caffe2, whose nets have theirs under the same number, has texts where a layer within a layer and the
 * number of a type are.
 */
function beginsLayer(head: Uint8Array, start: number, end: number): boolean {
  const first = head[start] ?? -1;
  // The layer within begins with its name, behind a length of one byte to five.
  if (first === 0x0a) return head.subarray(start + 2, start + 7).includes(0x0a);
  if (![0x12, 0x1a, 0x22, 0x28].includes(first)) return false;
  for (let at = start; at + 1 < end && [0x12, 0x1a, 0x22, 0x2a].includes(head[at]!); at += 2 + head[at + 1]!) if (head[at] === 0x2a) return false;
  return true;
}

/** NetParameter: a name, then layers that begin with one of their own first fields; for 2013's that is a layer within the layer. */
export function looksLikeCaffemodel(head: Uint8Array): boolean {
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 35; shift += 7) {
      const byte = head[at++];
      if (byte === undefined) return -1;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
    return -1;
  };
  let names = 0;
  for (let i = 0; i < 64; i++) {
    const tag = varint();
    const [number, wireType] = [tag >> 3, tag & 7];
    if (tag < 0 || (wireType !== 2 && wireType !== 0)) return false;
    const length = varint();
    if (length < 0) return false;
    if (wireType === 0) {
      if (![4, 5, 7, 11, 12, 13, 14, 18, 19].includes(number)) return false;
    } else if (number === 100) return head[at] === 0x0a;
    else if (number === 2) return beginsLayer(head, at, Math.min(head.length, at + length));
    // A net has one name; what has several there is a graph of TensorFlow's, whose functions come behind its nodes.
    else if (![1, 3, 6, 8, 9, 10, 17].includes(number) || (number === 1 && ++names > 1)) return false;
    // A graph of TensorFlow's with what it was saved for (.meta) begins with a message there, and has its nodes where old layers are.
    else if (number === 1 && head.subarray(at, at + length).some((byte) => byte < 0x20)) return false;
    else at += length;
  }
  return false;
}

export function looksLikePrototxt(head: Uint8Array): boolean {
  const text = new TextDecoder().decode(head);
  if (text.includes('\0')) return false;
  return (
    /^\s*(layers?\s*\{|input\s*:|input_dim\s*:|input_shape\s*\{|name\s*:\s*["'])/m.test(text) &&
    /\b(layers?\s*\{|(input_dim|input_shape|bottom|top)\b)/.test(text)
  );
}

/** The deepest names of layers have three parts. */
const MAX_NAME_PARTS = 8;

/**
 * The groups of a snapshot's layers under `data`, by name: each holds datasets by number, or nothing where all its weights are another
 * layer's, too. A name with slashes is several groups deep.
 *
 * @returns null where the file is something else
 */
export async function snapshotLayers(source: ByteSource): Promise<Map<string, Hdf5Group> | null> {
  const { openHdf5 } = await import('../../containers/hdf5/index.js');
  const data = await (await openHdf5(source)).get('data');
  if (data?.kind !== 'group') return null;
  const layers = new Map<string, Hdf5Group>();
  let hasBlobs = false;
  /** @returns whether everything below is layers */
  const collect = async (group: Hdf5Group, path: readonly string[]): Promise<boolean> => {
    if (path.length > MAX_NAME_PARTS) return false;
    const keys = await group.keys();
    if (path.length > 0 && (keys.length === 0 || (keys.every((key) => /^\d+$/.test(key)) && (await group.get(keys[0]!))?.kind === 'dataset'))) {
      layers.set(path.join('/'), group);
      hasBlobs ||= keys.length > 0;
      return true;
    }
    for (const key of keys) {
      const inner = await group.get(key);
      if (inner?.kind !== 'group' || !(await collect(inner, [...path, key]))) return false;
    }
    return true;
  };
  return (await collect(data, [])) && hasBlobs ? layers : null;
}
