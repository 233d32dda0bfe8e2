/** Reads PyTorch files: zip, legacy pickle and tar containers; state dicts, checkpoints and pickled modules as inert data. */
import { looksLikeTar, openTar } from '../../containers/tar.js';
import { looksLikeZip, openZip } from '../../containers/zip.js';
import { ModelError } from '../../errors.js';
import type { Notice } from '../../model/layer-map.js';
import { storedTensor, type Tensor } from '../../model/tensor.js';
import type { Reader } from '../reader.js';
import { LEGACY_MAGIC, readLegacyContent, readTarContent, readZipContent } from './containers.js';
import { findStateDict, type NamedView } from './state-dict.js';

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
    const firstName = new TextDecoder('latin1').decode(head.subarray(30, 30 + Math.min(300, head[26]! | (head[27]! << 8))));
    if (/(^|\/)(data\.pkl|version|byteorder|constants\.pkl|\.format_version|data\/\d+)$|\/code\//.test(firstName)) return true;
    const { entries } = await openZip(source);
    return entries.some(({ name }) => /(^|\/)data\.pkl$/.test(name));
  },

  async read(files, options) {
    const file = files.main!;
    const source = await files.open(file);
    const head = await source.read(0, Math.min(1024, source.byteLength));
    const content = looksLikeZip(head) ? await readZipContent(source) : looksLikeTar(head) ? await readTarContent(source) : await readLegacyContent(source);
    const { views, beside, path, warnings } = findStateDict(content.value, file);
    const tensors = views.map((named) => toTensor(named, file));
    const isScript = content.container === 'TorchScript zip';
    const notices: Notice[] = [...warnings];
    if (tensors.every(({ name }) => name.startsWith('module.'))) {
      notices.push({ code: 'prefix', message: 'every name starts with "module." (saved from DataParallel); the prefix is ignored when layers are recognised' });
    }
    const shared = countShared(views);
    if (shared > 0) notices.push({ code: 'shared-storage', message: `${shared} tensors share their storage with another one; each is written out on its own` });
    return {
      format: 'pytorch',
      producer: isScript ? 'PyTorch (TorchScript)' : 'PyTorch',
      tensors: [
        ...tensors.map((tensor) => ({ tensor, layer: tensor.name.includes('.') ? tensor.name.slice(0, tensor.name.lastIndexOf('.')) : null })),
        ...beside.map((named) => ({ tensor: toTensor(named, file), layer: null, beside: true as const })),
      ],
      details: { container: content.container, ...(path.length > 0 ? { checkpoint: path.join('.') } : {}) },
      warnings: notices,
      files: [file],
      map: async () => {
        if (isScript)
          throw new ModelError('unsupported', 'TorchScript programs are not translated; their weights can be inspected. Save model.state_dict() instead.', {
            file,
          });
        const { wireStateDict } = await import('./recognise.js');
        return wireStateDict(tensors, { file, format: 'pytorch', producer: 'PyTorch', warnings: [], options });
      },
    };
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

function toTensor({ name, view }: NamedView, file: string): Tensor {
  const { storage, dtype, shape, strides, offset } = view;
  if (!storage.source) throw new ModelError('malformed', `storage ${storage.key} has no bytes in the file`, { file, tensor: name });
  return storedTensor({ name, dtype, shape, strides, offset, source: storage.source, bigEndian: storage.bigEndian, origin: { file, name } });
}

function countShared(views: readonly NamedView[]): number {
  const storages = new Set(views.map(({ view }) => view.storage));
  return views.length - storages.size;
}
