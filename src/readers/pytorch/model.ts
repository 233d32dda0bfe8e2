/** Reads PyTorch models: whatever the container, the state dict in it becomes a list of tensors. */
import type { FileSet } from '../../bytes/file-set.js';
import type { PickleObject } from '../../containers/pickle/index.js';
import { looksLikeTar } from '../../containers/tar.js';
import { looksLikeZip } from '../../containers/zip.js';
import { ModelError } from '../../errors.js';
import type { ModelFile, Notice, StoredWeight } from '../../model/layer-map.js';
import { storedTensor, type Tensor, tensorByteLength } from '../../model/tensor.js';
import type { ReadOptions } from '../reader.js';
import { NO_WEIGHTS, wireWeights } from '../wire.js';
import { type Checkpoint, findModel } from './checkpoint.js';
import { type PyTorchContent, readLegacyContent, readPlainPickle, readTarContent, readZipContent } from './containers.js';
import { isModule, type NamedView } from './contents.js';
import { isLegacyPickle } from './recognise-content.js';

/** Headers and wiring; see `Reader.read`. */
export async function readPytorch(files: FileSet, options: ReadOptions): Promise<ModelFile> {
  const file = files.main!;
  const source = await files.open(file);
  const head = await source.read(0, Math.min(1024, source.byteLength));
  const content = await (looksLikeZip(head)
    ? readZipContent(source)
    : looksLikeTar(head)
      ? readTarContent(source)
      : isLegacyPickle(head)
        ? readLegacyContent(source)
        : readPlainPickle(source));
  const checkpoint = findModel(content.value, file, options.weightsKey);
  const weights: StoredWeight[] = [
    ...checkpoint.views.map((named) => ({
      tensor: toTensor(named, file),
      layer: named.name.includes('.') ? named.name.slice(0, named.name.lastIndexOf('.')) : null,
    })),
    ...checkpoint.beside.map((named) => ({ tensor: toTensor(named, file), layer: null, beside: true as const })),
  ];
  const isScript = content.container === 'TorchScript zip';
  return {
    format: 'pytorch',
    producer: isScript ? 'PyTorch (TorchScript)' : 'PyTorch',
    tensors: weights,
    details: { container: content.container, ...(checkpoint.path.length > 0 ? { checkpoint: checkpoint.path.join('.') } : {}) },
    warnings: [...checkpoint.warnings, ...notices(checkpoint, content)],
    files: [file],
    map: async () => {
      if (isScript)
        throw new ModelError('unsupported', 'TorchScript programs are not translated; their weights can be inspected. Save model.state_dict() instead.', {
          file,
        });
      checkAllRead(checkpoint, file);
      return wireWeights(weights, { file, format: 'pytorch', producer: 'PyTorch', options });
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

/** @throws ModelError 'unsupported' where a net made of the tensors that are read would lack some of its own */
function checkAllRead({ unread }: Checkpoint, file: string): void {
  if (unread.length === 0) return;
  throw new ModelError('unsupported', `${listed(unread.map(({ name, what }) => `${name} is ${what}`))}: not read, so the net would not be whole`, { file });
}

function notices({ views, unread }: Checkpoint, { opaque, surplus = 0 }: PyTorchContent): Notice[] {
  const found: Notice[] = [];
  const shared = views.length - new Set(views.map(({ view }) => view.storage)).size;
  if (shared > 0) found.push({ code: 'shared-storage', message: `${shared} tensors share their storage with another one; each is written out on its own` });
  if (views.length === 0) found.push({ code: 'no-weights', message: NO_WEIGHTS });
  if (unread.length > 0) found.push({ code: 'unread-tensor', message: `not read: ${listed(unread.map(({ name, what }) => `${name} (${what})`))}` });
  const strange = [...opaque].filter(([path, record]) => !isPartOfModels(path, record)).map(([path]) => path);
  if (strange.length > 0) {
    found.push({ code: 'opaque-value', message: `the pickle also makes ${listed(strange)}: kept as mere names, nothing of them was executed` });
  }
  if (surplus > 0) found.push({ code: 'surplus', message: `${surplus} bytes follow the pickle; they were not looked at` });
  return found;
}

/** Classes of a pickled module are what it is made of; what PyTorch keeps beside tensors is no news. */
function isPartOfModels(path: string, record: PickleObject): boolean {
  return isModule(record) || /^torch\.(nn|optim|utils\.hooks|jit|fx|autograd|serialization)\./.test(path);
}

/** In messages. */
const MAX_LISTED = 8;

function listed(names: readonly string[]): string {
  const shown = names.slice(0, MAX_LISTED).map((name) => (name.length > 120 ? `${name.slice(0, 120)}...` : name));
  return `${shown.join(', ')}${names.length > MAX_LISTED ? ` and ${names.length - MAX_LISTED} more` : ''}`;
}
