/** The PyTorch reader: zip, legacy pickle and tar containers; state dicts, checkpoints and pickled modules as inert data. */
import { decodeLatin1 } from '../../bytes/latin1.js';
import { looksLikeTar, openTar } from '../../containers/tar.js';
import { looksLikeZip, openZip } from '../../containers/zip.js';
import type { Reader } from '../reader.js';

/** torch.serialization.MAGIC_NUMBER, 0x1950a86a20f9469cfc6c, as protocol 2 pickles it. */
const LEGACY_MAGIC = [0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19] as const;

export const pytorch: Reader = {
  name: 'pytorch',
  title: 'PyTorch',
  extensions: ['.pth', '.pt', '.bin', '.ckpt', '.tar'],

  async match({ source, head }) {
    if (!source) return false;
    if (isLegacy(head)) return true;
    if (looksLikeTar(head)) {
      const members = await openTar(source);
      return members.has('pickle') && members.has('storages');
    }
    if (!looksLikeZip(head)) return false;
    // A cut archive has no directory, but its first member already says whose it is.
    const firstName = decodeLatin1(head.subarray(30, 30 + Math.min(300, head[26]! | (head[27]! << 8))));
    if (/(^|\/)(data\.pkl|version|byteorder|constants\.pkl|\.format_version|data\/\d+)$|\/code\//.test(firstName)) return true;
    const { entries } = await openZip(source);
    return entries.some(({ name }) => /(^|\/)data\.pkl$/.test(name));
  },

  async read(files, options) {
    return (await import('./model.js')).readPytorch(files, options);
  },
};

/** Protocol 2, then the magic number; pickle protocols 3 and up put a frame or another long opcode around the same bytes. */
function isLegacy(head: Uint8Array): boolean {
  if (head[0] !== 0x80) return false;
  for (let at = 2; at < 16; at++) {
    if (LEGACY_MAGIC.every((byte, i) => head[at + i] === byte)) return true;
  }
  return false;
}
