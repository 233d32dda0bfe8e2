/** The PyTorch reader: zip, legacy pickle and tar containers; state dicts, checkpoints and pickled modules as inert data. */
import { decodeLatin1 } from '../../bytes/latin1.js';
import { looksLikeTar, openTar } from '../../containers/tar.js';
import { looksLikeZip, openZip } from '../../containers/zip.js';
import type { Reader } from '../reader.js';
import { isPlainPickle } from './recognise-content.js';

export const pytorch: Reader = {
  name: 'pytorch',
  title: 'PyTorch',
  extensions: ['.pth', '.pt', '.bin', '.ckpt', '.tar', '.pkl'],
  hasKeys: true,

  async match({ source, head }) {
    if (!source) return false;
    if (isPlainPickle(head)) return true;
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
