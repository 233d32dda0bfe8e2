/** The signs by which Caffe files are recognised. */
import type { ByteSource } from '../../bytes/byte-source.js';
import type { Hdf5Group } from '../../containers/hdf5/index.js';

/** NetParameter: a name, then layers that begin with one of their own first fields. */
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
  for (let i = 0; i < 64; i++) {
    const tag = varint();
    const [number, wireType] = [tag >> 3, tag & 7];
    if (tag < 0 || (wireType !== 2 && wireType !== 0)) return false;
    const length = varint();
    if (length < 0) return false;
    if (wireType === 0) {
      if (![4, 5, 7].includes(number)) return false;
    } else if (number === 100) return head[at] === 0x0a;
    else if (number === 2) return [0x12, 0x1a, 0x22, 0x28].includes(head[at] ?? -1);
    else if (![1, 3, 6, 8].includes(number)) return false;
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

/** The `data` group of a snapshot: groups by layer, datasets by number. */
export async function snapshotGroup(source: ByteSource): Promise<Hdf5Group | null> {
  const { openHdf5 } = await import('../../containers/hdf5/index.js');
  const data = await (await openHdf5(source)).get('data');
  if (data?.kind !== 'group') return null;
  for (const layer of await data.keys()) {
    const group = await data.get(layer);
    if (group?.kind !== 'group') return null;
    const keys = await group.keys();
    if (keys.length > 0) return keys.every((key) => /^\d+$/.test(key)) ? data : null;
  }
  return null;
}
