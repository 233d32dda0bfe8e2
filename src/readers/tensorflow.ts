/** Reads TensorFlow's own files: frozen graphs (`.pb`, `.pbtxt`), SavedModels, checkpoints. */

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
    if (name.endsWith(INDEX) && (await endsAsTable(tail))) return true;
    const part = /^(.*)(\.meta|\.data-\d{5}-of-\d{5})$/s.exec(name);
    if (part) return files.has(`${part[1]}${INDEX}`);
    if (head[0] === SCHEMA_VERSION && head[1] === 1 && head[2] === META_GRAPH) return true;
    if (GRAPH_TEXT.test(decodeLatin1(head))) return true;
    if (head[0] !== NODE) return false;
    const { looksLikeGraphDef } = await import('../containers/tf-graph.js');
    return looksLikeGraphDef(source);
  },

  async read(files, options) {
    const { readTensorflow } = await import('./tensorflow-model.js');
    const graph = files.main ?? ((await files.has(SAVED_MODEL)) ? SAVED_MODEL : (await files.has(OLD_GRAPH)) ? OLD_GRAPH : null);
    const prefix = graph === null ? await checkpointIn(files) : (/^(.*)(\.index|\.meta|\.data-\d{5}-of-\d{5})$/s.exec(graph)?.[1] ?? null);
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

/** The checkpoint of a folder: the one that its list calls the newest, or the only one. */
async function checkpointIn(files: FileSet): Promise<string | null> {
  const prefix = await prefixIn(files);
  if (prefix === null) return null;
  const index = await files.open(`${prefix}${INDEX}`);
  return (await endsAsTable(await index.read(Math.max(0, index.byteLength - TABLE_END_BYTES), index.byteLength))) ? prefix : null;
}

async function endsAsTable(tail: Uint8Array): Promise<boolean> {
  const { looksLikeTable } = await import('../containers/tf-bundle.js');
  return looksLikeTable(tail);
}

async function prefixIn(files: FileSet): Promise<string | null> {
  const prefixes = (await files.list()).filter((name) => name.endsWith(INDEX)).map((name) => name.slice(0, -INDEX.length));
  if (await files.has(LIST)) {
    const source = await files.open(LIST);
    const text = new TextDecoder().decode(await source.read(0, Math.min(source.byteLength, LIST_BYTES)));
    const newest = /^model_checkpoint_path: "(?:[^"]*\/)?([^"/]+)"/m.exec(text)?.[1];
    if (newest !== undefined && prefixes.includes(newest)) return newest;
  }
  // Of a SavedModel the folder above is meant.
  return prefixes.length === 1 && prefixes[0] !== 'variables' ? prefixes[0]! : null;
}

/** Where TensorFlow lists the checkpoints of a folder, the newest first. */
const LIST = 'checkpoint';
const LIST_BYTES = 4096;
