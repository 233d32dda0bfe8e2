/** Archives: names, links, programs, and bytes between the members; what is inside is looked at in turn. */

import { memorySource } from '../bytes/byte-source.js';
import { checkRelativeName } from '../bytes/file-set.js';
import { inflateUpTo } from '../containers/inflate.js';
import { looksLikeTar, MAX_NAME_BYTES, type OtherMember, openTar } from '../containers/tar.js';
import { openZip, type ZipArchive } from '../containers/zip.js';
import { isModelError } from '../errors.js';
import type { Audit, Examined, Examiner } from './examiner.js';

const LINK_MODE = 0o120000;
const MODE_OF_KIND = 0o170000;
const END_RECORD_BYTES = 22;
/** Of a member's header, before its name. */
const HEADER_BYTES = 30;
/** Behind a member: checksum and two sizes, with a signature before them, of 64 bits each. */
const DESCRIPTOR_BYTES = 24;
/** Members of which the header is read to see what lies between them. */
const MAX_GAPS_LOOKED_AT = 20_000;
const SCRIPT_NAME = /\.(exe|dll|so|dylib|bat|cmd|ps1|sh|com|scr|vbs|js|jar|py|pyc)$/i;
/** TorchScript keeps its own language in files of Python's name. */
const TORCHSCRIPT_NAME = /(^|\/)code\/.*\.py$/;

export const zipArchive: Examiner = {
  kind: 'zip archive',
  match: async ({ head, source }) => (head[0] === 0x50 && head[1] === 0x4b) || (await endsAsZip(source)),
  async examine({ source, path, depth }, audit) {
    const zip = await openZip(source);
    for (const entry of zip.entries) {
      const inside = `${path}/${entry.name}`;
      examineName(entry.name, path, audit);
      if ((entry.mode & MODE_OF_KIND) === LINK_MODE)
        audit.tell('archive-link', `the member ${JSON.stringify(entry.name)} is a symbolic link`, path, entry.offset);
      if (SCRIPT_NAME.test(entry.name) && !TORCHSCRIPT_NAME.test(entry.name))
        audit.tell('program-inside', `the member ${JSON.stringify(entry.name)} is a program by its name`, path, entry.offset);
      if (entry.byteLength > 0) await audit.examine(await entry.source(), inside, depth + 1);
    }
    await examineGaps({ source, path }, zip, audit);
  },
};

export const tarArchive: Examiner = {
  kind: 'tar archive',
  match: ({ head }) => looksLikeTar(head),
  async examine({ source, path, depth }, audit) {
    for (const [name, member] of await openTar(source, undefined, (other) => examineOther(other, path, audit))) {
      examineName(name, path, audit);
      if (SCRIPT_NAME.test(name)) audit.tell('program-inside', `the member ${JSON.stringify(name)} is a program by its name`, path);
      if (member.byteLength > 0) await audit.examine(member, `${path}/${name}`, depth + 1);
    }
  },
};

const NAMES_OF_TYPES: Readonly<Record<string, string>> = { '1': 'a hard link', '2': 'a symbolic link', '3': 'a device', '4': 'a device', '6': 'a pipe' };

async function examineOther({ type, name, target, content, offset }: OtherMember, path: string, audit: Audit): Promise<void> {
  const called = NAMES_OF_TYPES[type];
  const where = type === '1' || type === '2' ? ` to ${JSON.stringify(target)}` : '';
  if (called) audit.tell('archive-link', `the member ${JSON.stringify(name)} is ${called}${where}`, path, offset);
  if (type === '5') examineName(name, path, audit);
  if (!'LKx'.includes(type) || content.byteLength > MAX_NAME_BYTES) return;
  const text = new TextDecoder().decode(await content.read(0, content.byteLength));
  // GNU's are the name; those of POSIX are lines 'length path=name'.
  for (const long of type === 'x' ? Array.from(text.matchAll(/^\d+ (?:link)?path=(.*)$/gm), ([, found]) => found!) : [text.replace(/\0.*$/s, '')])
    examineName(long, path, audit);
}

/** Of what a gzip file inflates to. */
const MAX_INFLATED = 2 ** 25;

/** One file, often a tar archive, which is looked at in turn. */
export const gzip: Examiner = {
  kind: 'gzip',
  match: ({ head }) => head[0] === 0x1f && head[1] === 0x8b && head[2] === 8,
  async examine({ source, path, depth }, audit) {
    const inflated = await inflateUpTo(source, MAX_INFLATED);
    if (typeof inflated === 'string') audit.tell('unreadable', `its content ${inflated}`, path);
    else if (inflated === null)
      audit.tell('unknown-format', `it inflates to more than ${MAX_INFLATED / 2 ** 20} MiB: unpack it, and audit what it holds`, path);
    else await audit.examine(memorySource(inflated, path), `${path}/content`, depth + 1);
  },
};

function examineName(name: string, path: string, audit: Audit): void {
  try {
    checkRelativeName(name);
  } catch (error) {
    if (!isModelError(error)) throw error;
    audit.tell('archive-path', `the member's name ${JSON.stringify(name)} leaves the folder that it would be unpacked into`, path);
  }
}

/** A zip archive is read from its end: something else may stand before it. */
async function endsAsZip(source: Examined['source']): Promise<boolean> {
  const { byteLength } = source;
  if (byteLength < END_RECORD_BYTES) return false;
  const tail = await source.read(byteLength - END_RECORD_BYTES, byteLength);
  return tail[0] === 0x50 && tail[1] === 0x4b && tail[2] === 5 && tail[3] === 6;
}

async function examineGaps({ source, path }: Pick<Examined, 'source' | 'path'>, { entries, directoryStart }: ZipArchive, audit: Audit): Promise<void> {
  if (entries.length > MAX_GAPS_LOOKED_AT) return;
  let end = 0;
  let unused = 0;
  let first: number | undefined;
  const pass = (next: number) => {
    if (next - end > DESCRIPTOR_BYTES || (end === 0 && next > 0)) {
      unused += next - end;
      first ??= end;
    }
  };
  for (const { offset, compressedLength } of [...entries].sort((a, b) => a.offset - b.offset)) {
    pass(offset);
    const header = await source.read(offset, offset + HEADER_BYTES);
    const view = new DataView(header.buffer, header.byteOffset);
    end = offset + HEADER_BYTES + view.getUint16(26, true) + view.getUint16(28, true) + compressedLength;
  }
  pass(directoryStart);
  if (unused > 0) audit.tell('unused-bytes', `${unused} bytes of the archive belong to no member`, path, first);
}
