/** Zip archives byte by byte, for tests that need an archive to say what no packer would write. */
import { deflateSync } from 'fflate';
import { crc32 } from '../src/bytes/crc32.js';
import { ascii, joined, u16, u32, u64 } from './hdf5-image.js';

type Bytes = Uint8Array;

/** What a member's two headers say; what is left out follows from its content. */
export interface MemberFields {
  readonly name: Bytes;
  readonly flags: number;
  readonly method: number;
  readonly crc: number;
  readonly compressedLength: number;
  readonly byteLength: number;
  readonly extra: Bytes;
  /** What the header says of the extra field's length, where that is not so. */
  readonly extraLength?: number;
}

export interface Member {
  readonly name: string;
  readonly content: Bytes;
  readonly deflated?: boolean;
  /** What the directory says instead. */
  readonly central?: Partial<MemberFields & { offset: number; disk: number }>;
  /** What the header before the data says instead. */
  readonly local?: Partial<MemberFields & { signature: number }>;
}

export interface ZipOptions {
  readonly comment?: Bytes;
  /** The plain end record's fields, instead of what is so. */
  readonly end?: Partial<{ disk: number; onDisk: number; count: number; size: number; start: number }>;
  /** Writes the 64-bit end record and its locator; with these instead of what is so. */
  readonly wide?: Partial<{ signature: number; count: number; size: number; start: number; at: number }>;
  /** Bytes between the last member and the directory, and behind the directory. */
  readonly before?: Bytes;
  readonly behind?: Bytes;
}

export function zipImage(members: readonly Member[], { comment = new Uint8Array(), end = {}, wide, before, behind }: ZipOptions = {}): Bytes {
  const parts: Bytes[] = [];
  const directory: Bytes[] = [];
  let at = 0;
  for (const { name, content, deflated = false, central = {}, local = {} } of members) {
    const data = deflated ? deflateSync(content) : content;
    const fields: MemberFields = {
      name: ascii(name),
      flags: 0,
      method: deflated ? 8 : 0,
      crc: crc32(content) >>> 0,
      compressedLength: data.byteLength,
      byteLength: content.byteLength,
      extra: new Uint8Array(),
    };
    const header = { ...fields, signature: 0x04034b50, ...local };
    const entry = { ...fields, offset: at, disk: 0, ...central };
    const piece = joined(u32(header.signature), u16(20), common(header), header.name, header.extra, data);
    directory.push(joined(u32(0x02014b50), u16(20, 20), common(entry), u16(0, entry.disk, 0), u32(0, entry.offset), entry.name, entry.extra));
    parts.push(piece);
    at += piece.byteLength;
  }
  if (before) parts.push(before);
  const start = joined(...parts).byteLength;
  parts.push(...directory);
  if (behind) parts.push(behind);
  const size = joined(...directory).byteLength;
  if (wide) {
    const record = { signature: 0x06064b50, count: members.length, size, start, at: start + size, ...wide };
    parts.push(
      joined(u32(record.signature), u64(44), u16(45, 45), u32(0, 0), u64(record.count, record.count, record.size, record.start)),
      joined(u32(0x07064b50), u32(0), u64(record.at), u32(1)),
    );
  }
  const plain = { disk: 0, onDisk: end.count ?? members.length, count: members.length, size, start, ...end };
  parts.push(u32(0x06054b50), u16(plain.disk, 0, plain.onDisk, plain.count), u32(plain.size, plain.start), u16(comment.byteLength), comment);
  return joined(...parts);
}

function common({ flags, method, crc, compressedLength, byteLength, name, extra, extraLength = extra.byteLength }: MemberFields): Bytes {
  return joined(u16(flags, method, 0, 0), u32(crc, compressedLength, byteLength), u16(name.byteLength, extraLength));
}

/** The extra field of 64-bit sizes and offsets. */
export const wideExtra = (...values: number[]): Bytes => joined(u16(1, 8 * values.length), u64(...values));
