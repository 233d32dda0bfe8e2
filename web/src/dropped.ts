/** What was dropped or chosen: which files are one model, and which are something else. */
import type { GivenModel } from './jobs.js';

export interface GivenFile {
  /** Below the folder that was dropped, '/' between parts. */
  readonly path: string;
  readonly file: Blob;
}

export interface Given {
  readonly models: readonly GivenModel[];
  /** By path. */
  readonly pictures: ReadonlyMap<string, Blob>;
  /** Names of classes. */
  readonly labels: Blob | null;
}

const PICTURE = /\.(png|jpe?g|jpe|jfif)$/i;
const LABELS = /(labels|classes|synset\w*|imagenet\w*)[^/]*\.txt$/i;
/** Files that are no model without another. */
const COMPANION = /\.(prototxt|onnx[._]data|data|json|bin|txt|md|py|csv|npy|data-\d+-of-\d+|index)$|shard\d+(of\d+)?$/i;
const MAX_FILES = 5000;

/** All files of a drop, those in folders too. */
export async function filesOfDrop(transfer: DataTransfer): Promise<GivenFile[]> {
  // The list is gone after the first wait.
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile()).filter((entry) => entry !== null);
  const found: GivenFile[] = [];
  for (const entry of entries) {
    if (entry instanceof File) found.push({ path: entry.name, file: entry });
    else await collect(entry, '', found);
  }
  return found;
}

async function collect(entry: FileSystemEntry, prefix: string, found: GivenFile[]): Promise<void> {
  if (found.length >= MAX_FILES || entry.name.startsWith('.')) return;
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    found.push({ path: `${prefix}${entry.name}`, file });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    for (const child of some) await collect(child, `${prefix}${entry.name}/`, found);
  }
}

/** Files of a chooser; those of a chosen folder have its name before theirs. */
export function filesOfChooser(list: FileList): GivenFile[] {
  return [...list].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
}

/** Sorts files into models, pictures and names of classes. Several files that could each be a model are several. */
export function sortGiven(files: readonly GivenFile[]): Given {
  const pictures = new Map(files.filter(({ path }) => PICTURE.test(path)).map(({ path, file }) => [path, file]));
  const labels = files.find(({ path }) => LABELS.test(path))?.file ?? null;
  const rest = files.filter(({ path }) => !PICTURE.test(path));
  const byFolder = new Map<string, GivenFile[]>();
  for (const given of rest) {
    const folder = given.path.includes('/') ? given.path.slice(0, given.path.indexOf('/')) : '';
    byFolder.set(folder, [...(byFolder.get(folder) ?? []), given]);
  }
  const models = [...byFolder].flatMap(([folder, inside]) => (folder === '' ? looseModels(inside) : folderModel(folder, inside)));
  return { models, pictures, labels };
}

function folderModel(folder: string, files: readonly GivenFile[]): GivenModel[] {
  const blobs = new Map(files.map(({ path, file }) => [path.slice(folder.length + 1), file]));
  const names = [...blobs.keys()].filter((name) => !name.includes('/'));
  // A folder with one model in it, and what belongs to that; else the folder itself is the model.
  const mains = names.filter((name) => !COMPANION.test(name));
  const named = names.includes('model.json') ? null : mains.length === 1 ? mains[0]! : null;
  return [{ blobs, main: named, label: named ?? folder, options: companions(blobs, named) }];
}

function looseModels(files: readonly GivenFile[]): GivenModel[] {
  const blobs = new Map(files.map(({ path, file }) => [path, file]));
  const names = [...blobs.keys()];
  const index = names.find((name) => name.endsWith('.index.json'));
  const json =
    names.find((name) => /(^|\/)model\.json$/.test(name)) ??
    (names.every((name) => COMPANION.test(name)) ? names.find((name) => name.endsWith('.json')) : undefined);
  const mains = names.filter((name) => !COMPANION.test(name));
  const main =
    index ?? (mains.length === 0 ? (json ?? names.find((name) => name.endsWith('.prototxt')) ?? names.find((name) => !LABELS.test(name))) : undefined);
  if (main !== undefined) return [{ blobs, main, label: main, options: companions(blobs, main) }];
  // Shards without an index are one model.
  const shards = mains.filter((name) => /-\d{5}-of-\d{5}\.(safetensors|bin)$/.test(name));
  if (shards.length > 1 && shards.length === mains.length) return [{ blobs, main: null, label: shards[0]!, options: {} }];
  return mains.map((name) => ({ blobs, main: name, label: name, options: companions(blobs, name) }));
}

/** The files beside a model that its format asks for by no name of its own. */
function companions(blobs: ReadonlyMap<string, Blob>, main: string | null): GivenModel['options'] {
  if (main === null) return {};
  const names = [...blobs.keys()].filter((name) => !name.includes('/') && name !== main);
  const only = (pattern: RegExp) => {
    const found = names.filter((name) => pattern.test(name));
    return found.length === 1 ? found[0] : undefined;
  };
  const prototxt = /\.caffemodel(\.h5)?$/.test(main) ? only(/\.prototxt$/) : undefined;
  const config = /\.(h5|hdf5)$/.test(main) ? only(/\.json$/) : undefined;
  return { ...(prototxt ? { prototxt } : {}), ...(config ? { config } : {}) };
}
