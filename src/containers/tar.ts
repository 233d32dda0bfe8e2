/** Reads tar archives, as PyTorch's first format and shards of WebDataset are: regular files by name (ustar, with long names as GNU and POSIX write them). */

import { type ByteSource, sliceSource } from '../bytes/byte-source.js';
import { ModelError } from '../errors.js';

const BLOCK = 512;
const MAX_MEMBERS = 10_000;
/** Of a record that has a name in it, beside other things. */
export const MAX_NAME_BYTES = 2 ** 16;
/** Twice what any file system opens. Texts of more than 16,383 characters have their length for a hash in V8: thousands would be compared each with each. */
const MAX_NAME_LENGTH = 8192;

/** Whether the first block is a tar header: its checksum holds. */
export function looksLikeTar(head: Uint8Array): boolean {
  return head.byteLength >= BLOCK && head[0] !== 0 && checksumHolds(head);
}

/** A link ('1', '2'), a device ('3', '4'), a folder ('5'), a pipe ('6'), or a longer name for the next member ('L', 'K', 'x'). */
export interface OtherMember {
  readonly type: string;
  readonly name: string;
  /** Where a link leads. */
  readonly target: string;
  readonly content: ByteSource;
  readonly offset: number;
}

/**
 * @param onOther told of members that are no regular files, with their type as the header has it
 * @returns the regular members by name
 * @throws ModelError 'malformed' when a header fails its checksum, a member runs past the file, or the archive ends without the empty blocks that end one
 */
export async function openTar(
  source: ByteSource,
  maxMembers = MAX_MEMBERS,
  onOther: (member: OtherMember) => Promise<void> = async () => {},
): Promise<ReadonlyMap<string, ByteSource>> {
  const members = new Map<string, ByteSource>();
  let at = 0;
  let others = 0;
  let isEnded = false;
  let longName: string | null = null;
  while (at + BLOCK <= source.byteLength) {
    const header = await source.read(at, at + BLOCK);
    if (header.every((byte) => byte === 0)) {
      isEnded = true;
      break;
    }
    const place = { file: source.name, offset: at };
    if (!checksumHolds(header)) throw new ModelError('malformed', 'the tar header fails its checksum', place);
    const size = octal(header, 124, 12);
    if (size === null) throw new ModelError('malformed', 'the tar header has no size', place);
    const start = at + BLOCK;
    if (start + size > source.byteLength)
      throw new ModelError('malformed', `the tar member of ${size} bytes runs past the end of the file. Is it truncated?`, place);
    const type = String.fromCharCode(header[156]!);
    if (type === '0' || type === '\0') {
      const name: string = longName ?? nameIn(header);
      longName = null;
      if (members.has(name)) throw new ModelError('malformed', `the tar archive has two members named ${JSON.stringify(name)}`, place);
      members.set(name, sliceSource(source, start, start + size, source.name));
    } else {
      others++;
      const content = sliceSource(source, start, start + size);
      if ('Lx'.includes(type) && size <= MAX_NAME_BYTES) longName = longNameIn(type, DECODER.decode(await content.read(0, size))) ?? longName;
      if (longName !== null && longName.length > MAX_NAME_LENGTH)
        throw new ModelError('unsafe', `the tar archive has a name of ${longName.length} characters, which no file has`, place);
      await onOther({ type, name: nameIn(header), target: text(header, 157, 100), content, offset: at });
    }
    if (members.size + others > maxMembers) throw new ModelError('unsafe', `the tar archive has more than ${maxMembers} members`, place);
    at = start + Math.ceil(size / BLOCK) * BLOCK;
  }
  if (!isEnded) {
    const problem = 'the tar archive ends without the empty blocks that end one. Is it truncated?';
    throw new ModelError('malformed', problem, { file: source.name, offset: Math.min(at, source.byteLength) });
  }
  return members;
}

/** POSIX archives have the beginning of a long name in a field of its own, which others use for something else. */
function nameIn(header: Uint8Array): string {
  const prefix = text(header, 257, 6) === 'ustar' && header[262] === 0 ? text(header, 345, 155) : '';
  return `${prefix === '' ? '' : `${prefix}/`}${text(header, 0, 100)}`;
}

/** GNU's are the name; those of POSIX are lines 'length path=name'. */
function longNameIn(type: string, content: string): string | null {
  return type === 'L' ? content.replace(/\0.*$/s, '') : (/^\d+ path=(.*)$/m.exec(content)?.[1] ?? null);
}

const DECODER = new TextDecoder();

function checksumHolds(header: Uint8Array): boolean {
  let sum = 0;
  for (let i = 0; i < BLOCK; i++) sum += i >= 148 && i < 156 ? 0x20 : header[i]!;
  return octal(header, 148, 8) === sum;
}

function octal(header: Uint8Array, at: number, length: number): number | null {
  const digits = text(header, at, length).trim();
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : null;
}

function text(header: Uint8Array, at: number, length: number): string {
  const end = header.indexOf(0, at);
  return DECODER.decode(header.subarray(at, end < 0 ? at + length : Math.min(end, at + length)));
}
