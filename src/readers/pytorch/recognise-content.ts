/** Tells PyTorch's pickles, and pickles at all, by their first bytes. */
import type { FileSet } from '../../bytes/file-set.js';
import { decodeLatin1 } from '../../bytes/latin1.js';

/** torch.serialization.MAGIC_NUMBER, 0x1950a86a20f9469cfc6c, as protocol 2 pickles it. */
const LEGACY_MAGIC = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19] as const;

/** Protocol 2, then the magic number; pickle protocols 3 and up put a frame or another long opcode around the same bytes. */
export function isLegacyPickle(head: Uint8Array): boolean {
  if (head[0] !== 0x80) return false;
  for (let at = 2; at < 16; at++) {
    if (LEGACY_MAGIC.every((byte, i) => head[at + i] === byte)) return true;
  }
  return false;
}

/**
 * Whether it may be what `pickle.dump` wrote of a dictionary, a list or an object, in protocol 0 to 5. From 2 on a pickle says so; before,
 * it begins with the text of a global, or with an empty container and where it is remembered.
 */
export function isPlainPickle(head: Uint8Array): boolean {
  if (head[0] === 0x80) return head[1]! >= 2 && head[1]! <= 5 && head.byteLength > 2;
  const text = decodeLatin1(head.subarray(0, 512));
  return STARTS.some((start) => start.test(text));
}

/** Two lines that name something, or where a mark or an empty container is put away. */
const STARTS = [/^\(?c[A-Za-z_][\w.]*\r?\n[A-Za-z_][\w.]*\r?\n[pq(]/, /^\([dlt]p\d/, /^\((?:[dlt]p?|S'|V|[dlt]?[(}\]])/, /^[}\]][q(]/] as const;

/** The members of an archive that are programs of torch.export: one, but for packages. */
export function exportedProgramNames(members: readonly string[]): readonly string[] {
  const old = members.find((name) => /(^|\/)serialized_exported_program\.json$/.test(name));
  if (old !== undefined) return [old];
  if (!members.some((name) => /^([^/]+\/)?archive_format$/.test(name))) return [];
  return members.filter((name) => PROGRAM.test(name));
}

/** Groups: what comes before, the program's name. */
export const PROGRAM = /^([^/]+\/)?models\/([^/]+)\.json$/;

/** The member that is the program of a TorchScript file of torch 1.0 to 1.2; null where none is. */
export function oldScriptName(members: readonly string[]): string | null {
  const name = members.find((member) => /^([^/]+\/)?model\.json$/.test(member));
  if (name === undefined) return null;
  const prefix = name.slice(0, -'model.json'.length);
  return members.includes(`${prefix}version`) && members.some((member) => member.startsWith(`${prefix}code/`) || member.startsWith(`${prefix}tensors/`))
    ? name
    : null;
}

/** Where the members lie that `torch.save` put into a zip archive which was unpacked: in the folder, or in one below it. */
export async function unpackedPrefix(files: FileSet): Promise<string | null> {
  if (files.main !== null && files.main !== 'data.pkl') return null;
  const folder = files.label.replaceAll('\\', '/').split('/').filter(Boolean).at(-1) ?? '';
  const below = files.main === null ? ['', 'archive/', ...(/^[\w .-]+$/.test(folder) && !folder.startsWith('.') ? [`${folder}/`] : [])] : [''];
  for (const prefix of below) {
    if (!(await files.has(`${prefix}data.pkl`))) continue;
    for (const other of ['version', 'data/0', 'byteorder', '.format_version']) if (await files.has(`${prefix}${other}`)) return prefix;
  }
  return null;
}
