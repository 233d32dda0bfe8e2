/** Reads PyTorch models: whatever the container, the state dict in it becomes a list of tensors. */
import type { ByteSource } from '../../bytes/byte-source.js';
import type { FileSet } from '../../bytes/file-set.js';
import { looksLikeObjects, objectsAt } from '../../containers/npy.js';
import { looksLikeTar } from '../../containers/tar.js';
import { looksLikeZip } from '../../containers/zip.js';
import { ModelError } from '../../errors.js';
import { labelsInCheckpoint } from '../../model/labels.js';
import type { ModelFile, Notice, StoredWeight } from '../../model/layer-map.js';
import type { Tensor } from '../../model/tensor.js';
import { listed } from '../../words.js';
import type { ReadOptions } from '../reader.js';
import { checkIndex, checkUnique, findShards, parallelPartOf, partNotices, partOf } from '../shards.js';
import { NO_WEIGHTS, wireWeights } from '../wire.js';
import { openArchived } from './archived.js';
import { type Checkpoint, findModel } from './checkpoint.js';
import { type PyTorchContent, readLegacyContent, readPlainPickle, readTarContent, readUnpacked, readZipContent } from './containers.js';
import { type Collection, Contents, isModule, strangeNames } from './contents.js';
import { isLegacyPickle, isPlainPickle, unpackedPrefix } from './recognise-content.js';
import { StoredView } from './stored-view.js';
import { viewTensor } from './view-tensor.js';

/** Headers and wiring; see `Reader.read`. */
export async function readPytorch(files: FileSet, options: ReadOptions): Promise<ModelFile> {
  const exported = files.main === null ? null : await readIfExported(await files.open(files.main), files.main, options);
  if (exported) return exported;
  const prefix = await unpackedPrefix(files);
  const unpacked = prefix === null ? null : await readUnpacked(files, prefix);
  const { index, places, shards } = unpacked ? { index: null, places: null, shards: [`${prefix}data.pkl`] } : await findShards(files, '.bin');
  const parts: Part[] = [];
  for (const name of shards) parts.push(readPart(name, unpacked ?? (await readContent(await files.open(name))), options));
  const weights = parts.flatMap((part) => part.weights);
  if (shards.length > 1)
    checkUnique(
      weights.filter(({ beside }) => !beside),
      files.label,
    );
  const part = index === null ? (partOf(shards) ?? (await parallelPartOf(files))) : null;
  const [first] = parts;
  const isScript = first?.content.container === 'TorchScript zip';
  const isPaddle = parts.some(namesPaddle) || shards.some((name) => /\.pdparams$/i.test(name));
  const labels = isScript ? null : labelsInCheckpoint(first?.content.value);
  return {
    format: 'pytorch',
    producer: isScript ? 'PyTorch (TorchScript)' : isPaddle ? 'PaddlePaddle' : isPlain(first) ? null : 'PyTorch',
    tensors: weights,
    ...(labels ? { labels } : {}),
    details: {
      container: first?.content.container ?? '',
      ...(shards.length > 1 ? { shards: String(shards.length) } : {}),
      ...(first && first.checkpoint.path.length > 0 ? { checkpoint: first.checkpoint.path.join('.') } : {}),
    },
    warnings: [...(places ? checkIndex(places, weights, index!) : partNotices(part)), ...parts.flatMap(({ notices }) => notices)],
    files: unpacked?.files ?? (index === null ? shards : [index, ...shards]),
    map: async () => {
      const file = files.label;
      const script = first?.content.script;
      if (script && options.arch === undefined && !options.described) {
        const { scriptMap } = await import('./script.js');
        return scriptMap(script, { file, options, root: first.content.value, tensors: scriptTensors(first, file) });
      }
      if (isPaddle) throw new ModelError('unsupported', PADDLE, { file });
      for (const { checkpoint } of parts) checkAllRead(checkpoint, file);
      const className = isModule(first?.content.value) ? first.content.value.type.name : null;
      const map = await wireWeights(weights, { file, format: 'pytorch', producer: 'PyTorch', options, part, path: first?.checkpoint.path, className });
      if (!isModule(first?.content.value)) return map;
      return { ...map, warnings: [...map.warnings, ...(await import('./whole-module.js')).checkModules(first.content.value, map, file)] };
    },
  };
}

async function readIfExported(source: ByteSource, name: string, options: ReadOptions): Promise<ModelFile | null> {
  const head = await source.read(0, Math.min(4, source.byteLength));
  if (!looksLikeZip(head)) return null;
  return (await (await import('./exported.js')).readExported(source, name, options)) ?? (await import('./old-script.js')).readOldScript(source, name, options);
}

/** Of archives around a file: a release in a zip, and the zip in another one. */
const MAX_ARCHIVES = 3;

async function readContent(source: ByteSource, archives = 0): Promise<PyTorchContent> {
  const head = await source.read(0, Math.min(1024, source.byteLength));
  if (isLegacyPickle(head)) return readLegacyContent(source);
  if (isPlainPickle(head)) return readPlainPickle(source);
  if (looksLikeObjects(head)) return readPlainPickle(source, await objectsAt(source));
  if (archives > MAX_ARCHIVES)
    throw new ModelError('unsafe', `it lies in more than ${MAX_ARCHIVES} archives, one in another: unpack them`, { file: source.name });
  const inner = await openArchived(source);
  if (inner) {
    const content = await readContent(inner, archives + 1);
    return { ...content, container: `${content.container} in an archive` };
  }
  return looksLikeTar(head) ? readTarContent(source) : looksLikeZip(head) ? readZipContent(source) : readLegacyContent(source);
}

/** One file of a model, mostly the only one. */
interface Part {
  readonly content: PyTorchContent;
  readonly checkpoint: Checkpoint;
  readonly weights: readonly StoredWeight[];
  readonly notices: readonly Notice[];
}

function readPart(file: string, content: PyTorchContent, options: ReadOptions): Part {
  const { script } = content;
  const checkpoint =
    script && options.weightsKey === undefined ? scriptWeights(content.value, script.constants, file) : findModel(content, file, options.weightsKey);
  const weights: StoredWeight[] = [
    ...checkpoint.views.map((named) => ({
      tensor: viewTensor(named, file),
      layer: named.name.includes('.') ? named.name.slice(0, named.name.lastIndexOf('.')) : null,
    })),
    ...checkpoint.beside.map((named) => ({ tensor: viewTensor(named, file), layer: null, beside: true as const })),
  ];
  return { content, checkpoint, weights, notices: [...checkpoint.warnings, ...notices(checkpoint, content)] };
}

/** The key under which paddle.save keeps the parameters' own names beside a state dict. */
const PADDLE_NAMES = 'StructuredToParameterName@@';
const PADDLE =
  "PaddlePaddle saved these weights, whose dense kernels lie the other way round than PyTorch's: they can be inspected, and moved to safetensors or npz by name, and are no net here. paddle2onnx makes ONNX of a Paddle model";

function namesPaddle({ content: { value } }: Part): boolean {
  return value instanceof Map && value.has(PADDLE_NAMES);
}

/** A pickle of Python itself: whoever made what is in it, PyTorch did not write it. */
function isPlain(part: Part | undefined): boolean {
  return part?.content.container === 'plain pickle' || part?.content.container === 'pickle in an array';
}

/** What a program holds: the tensors of its modules, and those that became constants of its code, as all are once it was frozen. */
function scriptWeights(root: unknown, constants: readonly unknown[], file: string): Checkpoint {
  const contents = new Contents([root, constants], file);
  const found: Collection = { views: [], unread: [] };
  contents.collect(root, '', found);
  constants.forEach((value, i) => {
    // Constants without axes are numbers of the code.
    if (!(value instanceof StoredView) || value.shape.length > 0) contents.collect(value, `CONSTANTS.c${i}`, found);
  });
  return { ...found, beside: [], path: [], warnings: [] };
}

/** The tensors of a program by the views that its pickles hold. */
function scriptTensors({ checkpoint, content }: Part, file: string): Map<unknown, Tensor> {
  const tensors = new Map<unknown, Tensor>();
  for (const named of [...checkpoint.views, ...checkpoint.beside]) if (!tensors.has(named.view)) tensors.set(named.view, viewTensor(named, file));
  content.script!.constants.forEach((value, i) => {
    if (value instanceof StoredView) tensors.set(value, viewTensor({ name: `CONSTANTS.c${i}`, view: value }, file));
  });
  return tensors;
}

/** @throws ModelError 'unsupported' where a net made of the tensors that are read would lack some of its own */
function checkAllRead({ unread }: Checkpoint, file: string): void {
  if (unread.length === 0) return;
  const found = listed(unread.map(({ name, what }) => `${name} is ${what}`));
  const wayOn =
    'Save plain tensors in their place (to_dense(), dequantize(), resolve_conj(), resolve_neg()), or leave them out where they are no weights: --weights-key names the weights where they lie under a key of their own';
  throw new ModelError('unsupported', `${found}: not read, so the net would not be whole. ${wayOn}`, { file });
}

function notices({ views, unread }: Checkpoint, { opaque, script, surplus = 0 }: PyTorchContent): Notice[] {
  const found: Notice[] = [];
  const shared = views.length - new Set(views.map(({ view }) => view.storage)).size;
  if (shared > 0) found.push({ code: 'shared-storage', message: `${shared} tensors share their storage with another one; each is written out on its own` });
  if (views.length > 0 && views.every(({ view }) => view.shape.includes(0))) {
    const message =
      "its tensors are empty: DeepSpeed's ZeRO stage 3 keeps their values in the files zero_pp_rank_*; its own zero_to_fp32.py makes one file of them";
    found.push({ code: 'no-weights', message });
  }
  // A program needs none.
  if (views.length === 0 && unread.length === 0 && !script) found.push({ code: 'no-weights', message: NO_WEIGHTS });
  if (unread.length > 0) found.push({ code: 'unread-tensor', message: `not read: ${listed(unread.map(({ name, what }) => `${name} (${what})`))}` });
  const strange = strangeNames(opaque);
  if (strange.length > 0) {
    found.push({ code: 'opaque-value', message: `the pickle also makes ${listed(strange)}: kept as mere names, nothing of them was executed` });
  }
  if (surplus > 0) found.push({ code: 'surplus', message: `${surplus} bytes follow the pickle; they were not looked at` });
  return found;
}
