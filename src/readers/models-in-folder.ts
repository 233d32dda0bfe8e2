/** Which models lie in a folder that is none itself: for whoever named the folder and meant one of them. */
import type { FileSet } from '../bytes/file-set.js';
import { lookAt } from '../bytes/leftover.js';
import { isModelError } from '../errors.js';
import { listed } from '../words.js';
import { readers } from './index.js';
import { PROBE_BYTES } from './reader.js';

/** Files that are looked at, which takes a few reads each. */
const MAX_LOOKED_AT = 200;
/** As many as one reads. */
const MAX_SHOWN = 8;
/** What lies beside a model and is named with it; on its own it is a model's sign all the same. */
const COMPANION = /\.(prototxt|json|txt|npz|npy)$/i;

interface Found {
  readonly name: string;
  readonly title: string;
}

/** A sentence about a folder in which no model was recognised, as that of one. */
export async function describeModelsIn(files: FileSet): Promise<string> {
  const own = await files.list();
  const here = await modelsAmong(files, own);
  if (here.length > 0) return sentence('it holds', here);
  const inside = (await files.below?.()) ?? [];
  const below = await modelsAmong(files, inside);
  if (below.length > 0) return sentence('in the folders in it there is', below);
  if (own.length + inside.length === 0) return 'the folder is empty: no model lies here, nor in a folder of this one.';
  const seen = own.length > 0 ? own : inside;
  return `no model was recognised in this folder. It holds ${listed(seen, MAX_SHOWN)}. Name the model file itself.`;
}

function sentence(start: string, found: readonly Found[]): string {
  const names = found.map(({ name, title }) => `${name} (${title})`);
  return `this folder is no model itself; ${start} ${listed(names, MAX_SHOWN)}. Name ${found.length === 1 ? 'that file' : 'one of them'}.`;
}

async function modelsAmong(files: FileSet, names: readonly string[]): Promise<Found[]> {
  const found: Found[] = [];
  for (const name of names.slice(0, MAX_LOOKED_AT)) {
    const title = await titleOf(files, name);
    if (title !== null) found.push({ name, title });
  }
  const models = found.filter(({ name }) => !COMPANION.test(name));
  return models.length > 0 ? models : found;
}

/** The format of one file of the folder, as if it had been named; null where no reader knows it, or it cannot be looked at. */
async function titleOf(files: FileSet, name: string): Promise<string | null> {
  try {
    const source = await files.open(name);
    try {
      const { head, tail } = await lookAt(source, name, PROBE_BYTES);
      for (const reader of readers) {
        if (await reader.match({ files: { ...files, main: name }, name, source, head, tail })) return reader.title;
      }
      return null;
    } finally {
      await source.close();
    }
  } catch (error) {
    if (isModelError(error)) return null;
    throw error;
  }
}
