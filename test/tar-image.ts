/** Tar archives byte by byte. */
import { ascii, joined } from './hdf5-image.js';

export interface MemberFields {
  readonly name: string;
  readonly content?: Uint8Array;
  readonly size?: string;
  readonly type?: string;
  /** Added to the sum that is so. */
  readonly wrongBy?: number;
}

export function member({
  name,
  content = new Uint8Array(),
  size = content.byteLength.toString(8).padStart(11, '0'),
  type = '0',
  wrongBy = 0,
}: MemberFields): Uint8Array {
  const header = new Uint8Array(512);
  header.set(ascii(name), 0);
  header.set(ascii('0000644'), 100);
  header.set(ascii(size), 124);
  header.set(ascii(' '.repeat(8)), 148);
  header.set(ascii(type), 156);
  header.set(ascii('ustar\x0000'), 257);
  const sum = header.reduce((total, byte) => total + byte, 0) + wrongBy;
  header.set(ascii(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
  return joined(header, content, new Uint8Array((512 - (content.byteLength % 512)) % 512));
}

/** Plain files by name. */
export function tarImage(files: readonly (readonly [name: string, content: Uint8Array])[]): Uint8Array {
  return joined(...files.map(([name, content]) => member({ name, content })), new Uint8Array(1024));
}
