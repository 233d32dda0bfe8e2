/** Reads TensorFlow's own files: frozen graphs (`.pb`, `.pbtxt`), SavedModels, checkpoints. */

import type { ByteSource } from '../bytes/byte-source.js';
import type { FileSet } from '../bytes/file-set.js';
import { decodeLatin1 } from '../bytes/latin1.js';
import type { Reader } from './reader.js';

/** GraphDef's first field is a node, of which the first is the name; a SavedModel begins with its schema version and a MetaGraphDef. */
const NODE = 0x0a;
const SCHEMA_VERSION = 0x08;
const META_GRAPH = 0x12;

const SAVED_MODEL = 'saved_model.pb';
/** A graph as text begins with a node too. */
export const GRAPH_TEXT = /^\s*(#[^\n]*\n\s*)*node\s*:?\s*\{\s*(name|op)\s*:/;
/** The graph of a TensorFlow.js model that a converter of 2018 wrote, whose weights a manifest beside it describes. */
export const OLD_GRAPH = 'tensorflowjs_model.pb';

export const tensorflow: Reader = {
  name: 'tensorflow',
  title: 'TensorFlow frozen graph or SavedModel',
  extensions: ['.pb', '.pbtxt'],
  options: ['arch', 'assume', 'inputShape'],

  async match({ files, name, source, head, tail }) {
    if (name === null) return (await files.has(SAVED_MODEL)) || (await files.has(OLD_GRAPH)) || (await checkpointIn(files)) !== null;
    if (!source) return false;
    if (await endsAsTable(tail)) return true;
    const part = /^(.*)(\.meta|\.data-\d{5}-of-\d{5})$/s.exec(name);
    if (part) return (await valueFiles(files, part[1]!)) !== null;
    if (head[0] === SCHEMA_VERSION && head[1] === 1 && head[2] === META_GRAPH) return true;
    if (GRAPH_TEXT.test(decodeLatin1(head))) return true;
    if (head[0] !== NODE) return false;
    const { looksLikeGraphDef } = await import('../containers/tf-graph.js');
    return looksLikeGraphDef(source);
  },

  async read(files, options) {
    const { readTensorflow } = await import('./tensorflow-model.js');
    const graph = files.main ?? ((await files.has(SAVED_MODEL)) ? SAVED_MODEL : (await files.has(OLD_GRAPH)) ? OLD_GRAPH : null);
    const prefix = graph === null ? await checkpointIn(files) : await prefixOf(files, graph);
    if (prefix === null) return readTensorflow(files, graph!, options);
    if (await files.has(`${prefix}${META}`)) return readTensorflow(files, `${prefix}${META}`, options, prefix);
    const { readCheckpoint } = await import('./tensorflow-checkpoint.js');
    return readCheckpoint(files, prefix, options);
  },
};

const INDEX = '.index';
const TABLE_END_BYTES = 8;
/** The graph that TensorFlow 1 writes beside the values. */
const META = '.meta';
/** What of a checkpoint has a file of its own: its index, its graph, values behind an index, values of the first version. */
const PART = /^(.*?)(\.index|\.meta|\.data-\d{5}-of-\d{5}|-\d{5}-of-\d{5})$/s;

/** What the names of a checkpoint's files have in common; null for a file that is of none. */
async function prefixOf(files: FileSet, name: string): Promise<string | null> {
  const part = PART.exec(name);
  if (part) return part[1]!;
  // The first version has its values in a file without an ending.
  const source = await files.open(name);
  return (await isTable(source)) ? name : null;
}

/** The checkpoint of a folder: the one that its list calls the newest, or the only one. */
async function checkpointIn(files: FileSet): Promise<string | null> {
  const names = await files.list();
  const listed = (await files.has(LIST)) ? await newestIn(files) : null;
  if (listed !== null && (await valueFiles(files, listed)) !== null) return listed;
  const prefixes = names.filter((name) => name.endsWith(INDEX)).map((name) => name.slice(0, -INDEX.length));
  // Of a SavedModel the folder above is meant.
  if (prefixes.length !== 1 || prefixes[0] === 'variables') return null;
  return (await valueFiles(files, prefixes[0]!)) === null ? null : prefixes[0]!;
}

/** The prefix that a list of checkpoints begins with; of the first version it may stand for several files. */
async function newestIn(files: FileSet): Promise<string | null> {
  const source = await files.open(LIST);
  const text = new TextDecoder().decode(await source.read(0, Math.min(source.byteLength, LIST_BYTES)));
  return /^model_checkpoint_path: "(?:[^"]*\/)?([^"/]+?)(-\?{5}-of-\d{5})?"/m.exec(text)?.[1] ?? null;
}

/** The files in which a checkpoint's values are looked up: its index, or those of the first version; null where there is none. */
export async function valueFiles(files: FileSet, prefix: string): Promise<readonly string[] | null> {
  const index = `${prefix}${INDEX}`;
  if (await files.has(index)) return (await isTable(await files.open(index))) ? [index] : null;
  const parts = (await files.list()).filter((name) => name.startsWith(prefix) && /^-\d{5}-of-\d{5}$/.test(name.slice(prefix.length)));
  const names = (await files.has(prefix)) ? [prefix] : parts;
  for (const name of names) if (!(await isTable(await files.open(name)))) return null;
  return names.length > 0 ? names : null;
}

async function isTable(source: ByteSource): Promise<boolean> {
  return endsAsTable(await source.read(Math.max(0, source.byteLength - TABLE_END_BYTES), source.byteLength));
}

async function endsAsTable(tail: Uint8Array): Promise<boolean> {
  const { looksLikeTable } = await import('../containers/tf-table.js');
  return looksLikeTable(tail);
}

/** Where TensorFlow lists the checkpoints of a folder, the newest first. */
const LIST = 'checkpoint';
const LIST_BYTES = 4096;
