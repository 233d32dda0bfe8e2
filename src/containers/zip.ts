/**
 * Reads zip archives (PyTorch, npz, Keras 3): the central directory decides, and every local header must agree with it.
 *
 * @see https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT
 */

import { breathe } from '../bytes/breath.js';
import { type ByteSource, memorySource, sliceSource } from '../bytes/byte-source.js';
import { type CheckedSource, checkedSource } from '../bytes/checked-source.js';
import { crc32 } from '../bytes/crc32.js';
import { decodeLatin1 } from '../bytes/latin1.js';
import { ModelError } from '../errors.js';
import { inflateExactly } from './inflate.js';

const LOCAL_HEADER = 0x04034b50;
const CENTRAL_HEADER = 0x02014b50;
const END_RECORD = 0x06054b50;
const ZIP64_LOCATOR = 0x07064b50;
const ZIP64_END_RECORD = 0x06064b50;
/** End record of 22 bytes and a comment of at most 65,535. */
const MAX_END_BYTES = 22 + 0xffff;
/** PyTorch writes one member a tensor; the largest real checkpoints have some ten thousand. */
const MAX_ENTRIES = 65_536;
/** A deflated member is inflated into memory. Models store their weights; npz files of this size are not seen. */
const MAX_INFLATED_BYTES = 2 ** 30;
/** Deflate cannot do better than about 1032 to 1. */
const MAX_DEFLATE_RATIO = 1100;
/** Weights shrink by a tenth, descriptions to a tenth; what is large and shrinks further is empty, or meant to fill the memory. */
const LARGE_BYTES = 2 ** 25;
const MAX_LARGE_RATIO = 50;
/** Of "version made by", the upper byte. */
const MADE_ON_UNIX = 3;
const STORED = 0;
const DEFLATED = 8;
/** What writers put where they did not work out a checksum (PyTorch, with `set_crc32_options(False)`). */
const UNSTATED = 0;

export interface ZipEntry {
  readonly name: string;
  readonly method: 'stored' | 'deflated';
  readonly compressedLength: number;
  readonly byteLength: number;
  readonly crc32: number;
  /** Where its header begins. */
  readonly offset: number;
  /** The file's mode as Unix has it; 0 where the archive was not made there. */
  readonly mode: number;
  /**
   * The member's bytes: a window of the archive where they are stored, memory where they are deflated.
   *
   * @throws ModelError 'malformed' when local and central header disagree, the data leaves the archive, or does not inflate to
   *   the declared size and checksum; 'unsafe' when it would take more memory than a model's member has reason to
   */
  source(): Promise<ByteSource>;
  /**
   * Checks the checksum of a member that was not read to its end, as happens to files in it that are read here and there.
   *
   * @throws ModelError 'malformed' when it does not fit
   */
  check(): Promise<void>;
}

export interface ZipArchive {
  /** Where the central directory begins. */
  readonly directoryStart: number;
  /** In the order of the central directory. */
  readonly entries: readonly ZipEntry[];
  get(name: string): ZipEntry | undefined;
}

/** Whether the first bytes are those of a zip archive. */
export function looksLikeZip(head: Uint8Array): boolean {
  return head.byteLength >= 4 && head[0] === 0x50 && head[1] === 0x4b && ((head[2] === 3 && head[3] === 4) || (head[2] === 5 && head[3] === 6));
}

/**
 * Reads the central directory.
 *
 * @throws ModelError 'malformed' for a truncated or inconsistent archive, 'unsupported' for encryption, several disks and
 *   methods other than stored and deflated
 */
export function openZip(source: ByteSource): Promise<ZipArchive> {
  const archive = archives.get(source) ?? readArchive(source);
  archives.set(source, archive);
  return archive;
}

/** Several readers look into a file before one knows it, and a directory may be long. */
const archives = new WeakMap<ByteSource, Promise<ZipArchive>>();

async function readArchive(source: ByteSource): Promise<ZipArchive> {
  const file = source.name;
  const { count, start, end } = await readEnd(source);
  const directory = await source.read(start, end);
  const view = new DataView(directory.buffer, directory.byteOffset, directory.byteLength);
  const inflation: Inflation = { byteLength: 0, members: new Set(), limit: LARGE_BYTES + MAX_LARGE_RATIO * source.byteLength };
  const whole: Whole = { source, directory, directoryStart: start, inflation };
  const entries: Member[] = [];
  const byName = new Map<string, Member>();
  let at = 0;
  for (let i = 0; i < count; i++) {
    await breathe();
    const place = { file, offset: start + at };
    if (at + 46 > directory.byteLength || view.getUint32(at, true) !== CENTRAL_HEADER) {
      throw new ModelError('malformed', `the zip directory has no entry ${i + 1} of ${count} here`, place);
    }
    const nameLength = view.getUint16(at + 28, true);
    const extraLength = view.getUint16(at + 30, true);
    const next = at + 46 + nameLength + extraLength + view.getUint16(at + 32, true);
    if (next > directory.byteLength) throw new ModelError('malformed', 'a zip directory entry runs past the directory', place);
    const entry = centralEntry(whole, view, at, nameLength, extraLength);
    if (byName.has(entry.name)) throw new ModelError('malformed', `the zip archive has two members named ${JSON.stringify(entry.name)}`, place);
    if (entry.offset + 30 + nameLength + entry.compressedLength > start) {
      throw new ModelError('malformed', `the zip member ${JSON.stringify(entry.name)} would run into the directory at byte ${start}`, {
        file,
        offset: entry.offset,
      });
    }
    entries.push(entry);
    byName.set(entry.name, entry);
    at = next;
  }
  if (at !== directory.byteLength)
    throw new ModelError('malformed', `the zip directory has ${directory.byteLength - at} bytes too many`, { file, offset: start + at });
  checkOverlap(entries, file);
  return { directoryStart: start, entries, get: (name) => byName.get(name) };
}

/** What an archive's members have been inflated to, all together: each may be small enough, and all of them fill the memory. */
interface Inflation {
  byteLength: number;
  readonly members: Set<string>;
  readonly limit: number;
}

/** What members know of their archive. */
interface Whole {
  readonly source: ByteSource;
  readonly directory: Uint8Array;
  readonly directoryStart: number;
  readonly inflation: Inflation;
}

const NONE: readonly ByteSource[] = [];

/** A class without closures: an archive may have a hundred thousand members. */
class Member implements ZipEntry {
  #opened: readonly ByteSource[] = NONE;

  constructor(
    readonly whole: Whole,
    readonly name: string,
    /** Where the name's bytes stand in the directory. */
    readonly nameAt: number,
    readonly nameLength: number,
    readonly method: 'stored' | 'deflated',
    readonly compressedLength: number,
    readonly byteLength: number,
    readonly crc32: number,
    readonly offset: number,
    readonly mode: number,
    readonly hasDescriptor: boolean,
  ) {}

  async source(): Promise<ByteSource> {
    const member = await openMember(this);
    this.#opened = [...this.#opened, member];
    return member;
  }

  async check(): Promise<void> {
    for (const member of this.#opened) if ('finish' in member) await (member as CheckedSource).finish();
  }
}

async function readEnd(source: ByteSource): Promise<{ count: number; start: number; end: number }> {
  const file = source.name;
  const tailStart = Math.max(0, source.byteLength - MAX_END_BYTES);
  const tail = await source.read(tailStart, source.byteLength);
  const view = new DataView(tail.buffer, tail.byteOffset, tail.byteLength);
  let at = tail.byteLength - 22;
  // The comment's length must lead exactly to the end of the file; anything else is a signature inside a comment.
  while (at >= 0 && !(view.getUint32(at, true) === END_RECORD && at + 22 + view.getUint16(at + 20, true) === tail.byteLength)) at--;
  if (at < 0) throw new ModelError('malformed', 'the zip archive has no end record. Is it truncated?', { file, offset: source.byteLength });
  const endAt = tailStart + at;
  let record = {
    disks: view.getUint16(at + 4, true) + view.getUint16(at + 6, true),
    onDisk: view.getUint16(at + 8, true),
    count: view.getUint16(at + 10, true),
    size: view.getUint32(at + 12, true),
    start: view.getUint32(at + 16, true),
    end: endAt,
  };
  // PyTorch writes the 64-bit record even where the plain one has room.
  record = await readZip64End(source, endAt, record);
  const { disks, onDisk, count, size, start, end } = record;
  if (disks !== 0 || onDisk !== count) throw new ModelError('unsupported', 'the zip archive spans several disks', { file, offset: endAt });
  if (count > MAX_ENTRIES) throw new ModelError('unsafe', `the zip archive claims ${count} members; at most ${MAX_ENTRIES} are read`, { file, offset: endAt });
  if (start + size !== end) {
    throw new ModelError('malformed', `the zip directory is said to span bytes ${start} to ${start + size}, but its end record is at ${end}`, {
      file,
      offset: endAt,
    });
  }
  return { count, start, end: start + size };
}

async function readZip64End(
  source: ByteSource,
  endAt: number,
  record: { disks: number; onDisk: number; count: number; size: number; start: number; end: number },
) {
  const file = source.name;
  if (endAt < 20) return record;
  const locator = await source.read(endAt - 20, endAt);
  const locatorView = new DataView(locator.buffer, locator.byteOffset);
  if (locatorView.getUint32(0, true) !== ZIP64_LOCATOR) return record;
  const at = safeInteger(locatorView.getBigUint64(8, true), file, endAt - 12);
  const bytes = await source.read(at, at + 56);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  if (view.getUint32(0, true) !== ZIP64_END_RECORD)
    throw new ModelError('malformed', 'the zip64 end record is not where its locator says', { file, offset: at });
  const wide = {
    disks: view.getUint32(16, true) + view.getUint32(20, true),
    onDisk: safeInteger(view.getBigUint64(24, true), file, at),
    count: safeInteger(view.getBigUint64(32, true), file, at),
    size: safeInteger(view.getBigUint64(40, true), file, at),
    start: safeInteger(view.getBigUint64(48, true), file, at),
    end: at,
  };
  const agree = (plain: number, full: number, maximum: number) => plain === maximum || plain === full;
  if (!agree(record.count, wide.count, 0xffff) || !agree(record.size, wide.size, 0xffffffff) || !agree(record.start, wide.start, 0xffffffff)) {
    throw new ModelError('malformed', 'the zip archive has two end records that disagree', { file, offset: at });
  }
  return wide;
}

function centralEntry(whole: Whole, view: DataView, at: number, nameLength: number, extraLength: number): Member {
  const place = { file: whole.source.name, offset: whole.directoryStart + at };
  const nameAt = at + 46;
  const flags = view.getUint16(at + 8, true);
  const methodNumber = view.getUint16(at + 10, true);
  const name = decodeName(whole.directory.subarray(nameAt, nameAt + nameLength), flags);
  if (name.includes('\0')) throw new ModelError('malformed', 'a zip member has a NUL in its name', place);
  if (flags & 0x41) throw new ModelError('unsupported', `the zip member ${JSON.stringify(name)} is encrypted`, place);
  if (methodNumber !== STORED && methodNumber !== DEFLATED) {
    throw new ModelError(
      'unsupported',
      `the zip member ${JSON.stringify(name)} is compressed by method ${methodNumber}; only stored (0) and deflated (8) are read`,
      place,
    );
  }
  let compressedLength = view.getUint32(at + 20, true);
  let byteLength = view.getUint32(at + 24, true);
  let offset = view.getUint32(at + 42, true);
  const wide = findExtra(view, nameAt + nameLength, extraLength, 0x0001, place);
  let wideAt = wide?.start ?? 0;
  const widen = (value: number): number => {
    if (value !== 0xffffffff) return value;
    if (!wide || wideAt + 8 > wide.end) throw new ModelError('malformed', `the zip member ${JSON.stringify(name)} lacks a 64-bit size`, place);
    wideAt += 8;
    return safeInteger(view.getBigUint64(wideAt - 8, true), place.file, place.offset);
  };
  byteLength = widen(byteLength);
  compressedLength = widen(compressedLength);
  offset = widen(offset);
  if (methodNumber === STORED && compressedLength !== byteLength) {
    throw new ModelError('malformed', `the stored zip member ${JSON.stringify(name)} has two sizes: ${compressedLength} and ${byteLength}`, place);
  }
  const method = methodNumber === STORED ? 'stored' : 'deflated';
  const mode = view.getUint8(at + 5) === MADE_ON_UNIX ? view.getUint16(at + 40, true) : 0;
  const crc = view.getUint32(at + 16, true);
  return new Member(whole, name, nameAt, nameLength, method, compressedLength, byteLength, crc, offset, mode, (flags & 8) !== 0);
}

async function openMember(member: Member): Promise<ByteSource> {
  const { name, offset, compressedLength, byteLength } = member;
  const { source, directory, directoryStart, inflation } = member.whole;
  const place = { file: source.name, offset };
  // With the name, which the directory says as well: a header that agrees with it is read at once.
  const fixed = await source.read(offset, offset + 30 + member.nameLength);
  const view = new DataView(fixed.buffer, fixed.byteOffset);
  if (view.getUint32(0, true) !== LOCAL_HEADER) throw new ModelError('malformed', `the zip member ${JSON.stringify(name)} has no header here`, place);
  const nameLength = view.getUint16(26, true);
  const start = offset + 30 + nameLength + view.getUint16(28, true);
  const localMethod = view.getUint16(8, true);
  const sameName = nameLength === member.nameLength && fixed.subarray(30).every((byte, i) => byte === directory[member.nameAt + i]);
  const sameMethod = localMethod === (member.method === 'stored' ? STORED : DEFLATED);
  const localSizes = [view.getUint32(18, true), view.getUint32(22, true)];
  const sizesAgree = [compressedLength, byteLength].every(
    (size, i) => localSizes[i] === size || localSizes[i] === 0xffffffff || (member.hasDescriptor && localSizes[i] === 0),
  );
  if (!sameName || !sameMethod || !sizesAgree) {
    throw new ModelError('malformed', `the zip member ${JSON.stringify(name)} has a header that disagrees with the directory`, place);
  }
  if (start + compressedLength > directoryStart) throw new ModelError('malformed', `the zip member ${JSON.stringify(name)} runs into the directory`, place);
  const stored = sliceSource(source, start, start + compressedLength);
  if (member.method === 'stored') return member.crc32 === UNSTATED ? stored : checkedSource(stored, member.crc32, () => damaged(name, place));
  return memorySource(await inflateMember(stored, member, inflation, place), `${source.name}/${name}`);
}

async function inflateMember(
  stored: ByteSource,
  { name, byteLength, compressedLength, crc32: expected }: Member,
  inflation: Inflation,
  place: { file: string; offset: number },
): Promise<Uint8Array> {
  const maxRatio = byteLength > LARGE_BYTES ? MAX_LARGE_RATIO : MAX_DEFLATE_RATIO;
  if (byteLength > MAX_INFLATED_BYTES || byteLength > compressedLength * maxRatio + 64) {
    throw new ModelError('unsafe', `the zip member ${JSON.stringify(name)} claims to inflate from ${compressedLength} to ${byteLength} bytes`, place);
  }
  // Several readers may look into one member: what the first made of it is gone by then.
  if (!inflation.members.has(name)) inflation.byteLength += byteLength;
  inflation.members.add(name);
  if (inflation.byteLength > inflation.limit) {
    throw new ModelError('unsafe', `with the zip member ${JSON.stringify(name)} the archive would inflate to ${inflation.byteLength} bytes and more`, place);
  }
  const inflated = await inflateExactly(stored, 'deflate', byteLength);
  if (typeof inflated === 'string') throw new ModelError('malformed', `the zip member ${JSON.stringify(name)} ${inflated}`, place);
  if (crc32(inflated) !== expected && expected !== UNSTATED) throw damaged(name, place);
  return inflated;
}

function damaged(name: string, place: { file: string; offset: number }): ModelError {
  return new ModelError('malformed', `the zip member ${JSON.stringify(name)} does not have the CRC-32 that the archive states: the file is damaged`, place);
}

function checkOverlap(entries: readonly Member[], file: string): void {
  let end = 0;
  for (const { name, offset, compressedLength } of [...entries].sort((a, b) => a.offset - b.offset)) {
    if (offset < end) throw new ModelError('malformed', `the zip member ${JSON.stringify(name)} overlaps the one before it`, { file, offset });
    end = offset + 30 + compressedLength;
  }
}

function findExtra(view: DataView, start: number, length: number, id: number, place: { file: string; offset: number }): { start: number; end: number } | null {
  let at = start;
  const end = start + length;
  while (at + 4 <= end) {
    const size = view.getUint16(at + 2, true);
    if (at + 4 + size > end) throw new ModelError('malformed', 'an extra field of a zip member runs past its header', place);
    if (view.getUint16(at, true) === id) return { start: at + 4, end: at + 4 + size };
    at += 4 + size;
  }
  return null;
}

/** UTF-8 where the flag says so; otherwise bytes as Latin-1, which keeps ASCII and never fails. */
function decodeName(bytes: Uint8Array, flags: number): string {
  return flags & 0x800 ? new TextDecoder().decode(bytes) : decodeLatin1(bytes);
}

function safeInteger(value: bigint, file: string, offset: number): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new ModelError('malformed', `a 64-bit size of ${value} is beyond any file`, { file, offset });
  return Number(value);
}
