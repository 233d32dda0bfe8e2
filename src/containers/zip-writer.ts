/**
 * Writes zip archives of stored members, as a stream and without going back: every local header has its member's size and checksum,
 * because some readers (cnpy) walk from header to header instead of reading the directory. So a member's checksum is asked for before its
 * bytes are, and a large member is made twice.
 *
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */

import type { FileSink } from '../bytes/byte-sink.js';
import { concatBytes } from '../bytes/byte-sink.js';
import { crc32 } from '../bytes/crc32.js';
import { u16, u32, u64 } from '../bytes/little-endian.js';
import type { Piece } from './protobuf-writer.js';

export interface StoredMember {
  readonly name: string;
  readonly pieces: readonly Piece[];
  /** Of all pieces, as `crc32Of` works it out. */
  crc32(): Promise<number>;
  /** The contents begin at a multiple of this many bytes, so that they can be mapped. */
  readonly alignment?: number;
}

/** From these on a field holds all ones and the 64-bit one counts. */
export interface Zip64Limits {
  readonly bytes: number;
  readonly count: number;
}

const LIMITS: Zip64Limits = { bytes: 0xffffffff, count: 0xffff };
const UTF8_NAMES = 0x800;
/** 1980-01-01, midnight: the first that the format knows, so that the same members give the same bytes. */
const DATE = 0x0021;
const VERSION = 20;
const VERSION_ZIP64 = 45;

/**
 * @param onBytes called with the length of every write of a member's content
 * @param limits smaller in tests
 */
export async function writeZip(
  members: readonly StoredMember[],
  file: FileSink,
  onBytes: (byteLength: number) => void = () => {},
  limits: Zip64Limits = LIMITS,
): Promise<void> {
  const start = file.position;
  const directory: Uint8Array[] = [];
  for (const member of members) {
    const { name, pieces } = member;
    const byteLength = pieces.reduce((sum, piece) => sum + piece.byteLength, 0);
    const entry: Entry = { name: new TextEncoder().encode(name), byteLength, offset: file.position - start, crc: await member.crc32() };
    await file.write(localHeader(entry, limits, member.alignment));
    for await (const chunk of chunksOf(pieces)) {
      await file.write(chunk);
      onBytes(chunk.byteLength);
    }
    directory.push(centralHeader(entry, limits));
  }
  const joined = concatBytes(directory);
  const directoryAt = file.position - start;
  await file.write(joined);
  await file.write(endRecords({ count: members.length, byteLength: joined.byteLength, at: directoryAt }, limits));
}

interface Entry {
  readonly name: Uint8Array;
  readonly byteLength: number;
  readonly offset: number;
  readonly crc: number;
}

/** The checksum of bytes that follow each other. */
export async function crc32Of(pieces: readonly Piece[]): Promise<number> {
  let crc = 0;
  for await (const chunk of chunksOf(pieces)) crc = crc32(chunk, crc);
  return crc;
}

async function* chunksOf(pieces: readonly Piece[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) {
    if (piece instanceof Uint8Array) yield piece;
    else yield* piece.chunks();
  }
}

function localHeader({ name, byteLength, offset, crc }: Entry, limits: Zip64Limits, alignment = 1): Uint8Array {
  const isWide = byteLength >= limits.bytes;
  // The local field must have both sizes.
  const wide = isWide ? wideExtra([byteLength, byteLength]) : new Uint8Array();
  const size = isWide ? 0xffffffff : byteLength;
  const end = offset + 30 + name.byteLength + wide.byteLength;
  const gap = alignment === 1 ? new Uint8Array() : paddingExtra((alignment - ((end + 4) % alignment)) % alignment);
  const lengths = [u16(name.byteLength), u16(wide.byteLength + gap.byteLength)];
  return concatBytes([u32(0x04034b50), ...commonFields(name, isWide), u32(crc), u32(size), u32(size), ...lengths, name, wide, gap]);
}

/** The field of padding that PyTorch writes, 'FB'. */
function paddingExtra(byteLength: number): Uint8Array {
  return concatBytes([u16(0x4246), u16(byteLength), new Uint8Array(byteLength)]);
}

function centralHeader({ name, byteLength, offset, crc }: Entry, limits: Zip64Limits): Uint8Array {
  const [wideSize, wideOffset] = [byteLength >= limits.bytes, offset >= limits.bytes];
  const numbers = [...(wideSize ? [byteLength, byteLength] : []), ...(wideOffset ? [offset] : [])];
  const wide = numbers.length > 0 ? wideExtra(numbers) : new Uint8Array();
  const size = wideSize ? 0xffffffff : byteLength;
  const isWide = wideSize || wideOffset;
  return concatBytes([
    u32(0x02014b50),
    u16(isWide ? VERSION_ZIP64 : VERSION),
    ...commonFields(name, isWide),
    u32(crc),
    u32(size),
    u32(size),
    u16(name.byteLength),
    u16(wide.byteLength),
    u16(0), // comment
    u16(0), // disk
    u16(0), // internal attributes
    u32(0), // external attributes
    u32(wideOffset ? 0xffffffff : offset),
    name,
    wide,
  ]);
}

/** Version needed, flags, method (stored), time, date. */
function commonFields(name: Uint8Array, isWide: boolean): Uint8Array[] {
  const flags = name.some((byte) => byte > 127) ? UTF8_NAMES : 0;
  return [u16(isWide ? VERSION_ZIP64 : VERSION), u16(flags), u16(0), u16(0), u16(DATE)];
}

function wideExtra(numbers: readonly number[]): Uint8Array {
  return concatBytes([u16(0x0001), u16(8 * numbers.length), ...numbers.map(u64)]);
}

function endRecords({ count, byteLength, at }: { count: number; byteLength: number; at: number }, limits: Zip64Limits): Uint8Array {
  const isWide = count >= limits.count || byteLength >= limits.bytes || at >= limits.bytes;
  const wide = isWide
    ? [
        u32(0x06064b50),
        u64(44), // length of what follows
        u16(VERSION_ZIP64),
        u16(VERSION_ZIP64),
        u32(0), // this disk
        u32(0), // disk of the directory
        u64(count),
        u64(count),
        u64(byteLength),
        u64(at),
        u32(0x07064b50), // the locator
        u32(0),
        u64(at + byteLength),
        u32(1), // disks in all
      ]
    : [];
  const plain = (value: number, limit: number, mask: number) => (value >= limit ? mask : value);
  const counts = u16(plain(count, limits.count, 0xffff));
  const end = [
    u32(0x06054b50),
    u16(0),
    u16(0),
    counts,
    counts,
    u32(plain(byteLength, limits.bytes, 0xffffffff)),
    u32(plain(at, limits.bytes, 0xffffffff)),
    u16(0),
  ];
  return concatBytes([...wide, ...end]);
}
