/** Finds the names of a model's classes: in the file itself, or in one that lies beside it under a name that programs give it. */
import type { FileSet } from '../bytes/file-set.js';
import { isModelError } from '../errors.js';
import { type Labels, labelsIn, namesFrom, parseLabels } from '../model/labels.js';
import type { ModelFile } from '../model/layer-map.js';

/** Teachable Machine's, and those of transformers and of Keras's tutorials. */
const COMPANIONS = ['labels.txt', 'metadata.json', 'config.json', 'class_names.txt', 'class_names.json', 'class_indices.json', 'classes.txt'];
const MAX_BYTES = 2 ** 22;

/** @returns null where nothing names them */
export async function findLabels(files: FileSet, model: ModelFile): Promise<Labels | null> {
  const own = model.labels ?? labelsIn({ ...model.details, ...model.metadata }, 'the metadata of the file');
  if (own) return own;
  const present = new Set(await files.list());
  for (const name of COMPANIONS) {
    if (!present.has(name) || name === files.main) continue;
    const text = await readText(files, name);
    const names = text === null ? null : name.endsWith('.json') ? namesFrom(parseJson(text)) : parseLabels(text);
    if (names) return { names, from: name };
  }
  return null;
}

async function readText(files: FileSet, name: string): Promise<string | null> {
  try {
    const source = await files.open(name);
    try {
      return source.byteLength > MAX_BYTES ? null : new TextDecoder().decode(await source.read(0, source.byteLength));
    } finally {
      await source.close();
    }
  } catch (error) {
    // It is no part of the model.
    if (isModelError(error)) return null;
    throw error;
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
