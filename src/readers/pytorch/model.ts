/** Reads PyTorch models: whatever the container, the state dict in it becomes a list of tensors. */
import type { FileSet } from '../../bytes/file-set.js';
import { looksLikeTar } from '../../containers/tar.js';
import { looksLikeZip } from '../../containers/zip.js';
import { ModelError } from '../../errors.js';
import type { ModelFile, Notice } from '../../model/layer-map.js';
import { storedTensor, type Tensor, tensorByteLength } from '../../model/tensor.js';
import type { ReadOptions } from '../reader.js';
import { wireWeights } from '../wire.js';
import { readLegacyContent, readTarContent, readZipContent } from './containers.js';
import { findStateDict, type NamedView } from './state-dict.js';

/** Headers and wiring; see `Reader.read`. */
export async function readPytorch(files: FileSet, options: ReadOptions): Promise<ModelFile> {
  const file = files.main!;
  const source = await files.open(file);
  const head = await source.read(0, Math.min(1024, source.byteLength));
  const content = looksLikeZip(head) ? await readZipContent(source) : looksLikeTar(head) ? await readTarContent(source) : await readLegacyContent(source);
  const { views, beside, path, warnings } = findStateDict(content.value, file);
  const tensors = views.map((named) => toTensor(named, file));
  const isScript = content.container === 'TorchScript zip';
  const notices: Notice[] = [...warnings];
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
      return wireWeights(tensors, { file, format: 'pytorch', producer: 'PyTorch', options });
    },
  };
}

/** Expanded views repeat what is stored; a tensor this large that is hardly stored at all would fill the disk. */
const LARGE_BYTES = 2 ** 30;
const MAX_EXPANSION = 64;

function toTensor({ name, view }: NamedView, file: string): Tensor {
  const { storage, dtype, shape, strides, offset } = view;
  if (!storage.source) throw new ModelError('malformed', `storage ${storage.key} has no bytes in the file`, { file, tensor: name });
  const tensor = storedTensor({ name, dtype, shape, strides, offset, source: storage.source, bigEndian: storage.bigEndian, origin: { file, name } });
  const byteLength = tensorByteLength(tensor);
  if (byteLength > LARGE_BYTES && byteLength > MAX_EXPANSION * storage.source.byteLength) {
    const message = `the view of shape [${shape}] makes ${byteLength} bytes of ${storage.source.byteLength} that are stored`;
    throw new ModelError('unsafe', message, { file, tensor: name });
  }
  return tensor;
}

function countShared(views: readonly NamedView[]): number {
  const storages = new Set(views.map(({ view }) => view.storage));
  return views.length - storages.size;
}
