/** The PyTorch reader: zip, legacy pickle and tar containers, folders of them; state dicts, checkpoints and pickled modules as inert data. */
import type { FileSet } from '../../bytes/file-set.js';
import { decodeLatin1 } from '../../bytes/latin1.js';
import { looksLikeObjects } from '../../containers/npy.js';
import { looksLikeTar, openTar } from '../../containers/tar.js';
import { looksLikeZip, openZip } from '../../containers/zip.js';
import type { Reader } from '../reader.js';
import { exportedProgramNames, isPlainPickle, oldScriptName, unpackedPrefix } from './recognise-content.js';

export const pytorch: Reader = {
  name: 'pytorch',
  title: 'PyTorch',
  extensions: ['.pth', '.pt', '.pt2', '.bin', '.ckpt', '.tar', '.pkl', '.bin.index.json'],
  options: ['arch', 'assume', 'inference', 'inputShape', 'weightsKey'],

  async match({ files, name, source, head }) {
    if (!source || name === null) return isModelFolder(files);
    if (name.endsWith('.bin.index.json')) return true;
    if (isPlainPickle(head) || looksLikeObjects(head)) return true;
    if (looksLikeTar(head)) {
      const members = await openTar(source);
      if (members.has('pickle') && members.has('storages')) return true;
    } else if (looksLikeZip(head)) {
      // A cut archive has no directory, but its first member already says whose it is.
      const firstName = decodeLatin1(head.subarray(30, 30 + Math.min(300, head[26]! | (head[27]! << 8))));
      if (/(^|\/)(data\.pkl|version|byteorder|constants\.pkl|\.format_version|data\/\d+)$|\/code\//.test(firstName)) return true;
      const { entries } = await openZip(source);
      const members = entries.map((entry) => entry.name);
      if (members.some((member) => /(^|\/)data\.pkl$/.test(member)) || exportedProgramNames(members).length > 0 || oldScriptName(members) !== null) return true;
    } else if (head[0] !== 0x1f || head[1] !== 0x8b) return false;
    return (await import('./archived.js')).isArchived(source);
  },

  async read(files, options) {
    return (await import('./model.js')).readPytorch(files, options);
  },
};

/** A folder that a PyTorch file was unpacked into, or one with the shards of a model, unless it has them in a better format too. */
async function isModelFolder(files: FileSet): Promise<boolean> {
  if ((await unpackedPrefix(files)) !== null) return true;
  const names = await files.list();
  if (names.some((name) => name.endsWith('.safetensors') || name === 'model.json')) return false;
  return names.some((name) => /^pytorch_model(-\d{5}-of-\d{5})?\.bin$|\.bin\.index\.json$/.test(name));
}
