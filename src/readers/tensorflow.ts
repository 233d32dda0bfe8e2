/** Reads TensorFlow's own files: frozen graphs (`.pb`) and SavedModels. */
import type { Reader } from './reader.js';

/** GraphDef's first field is a node, of which the first is the name; a SavedModel begins with its schema version and a MetaGraphDef. */
const NODE = 0x0a;
const SCHEMA_VERSION = 0x08;
const META_GRAPH = 0x12;

const SAVED_MODEL = 'saved_model.pb';
/** The graph of a TensorFlow.js model that a converter of 2018 wrote, whose weights a manifest beside it describes. */
export const OLD_GRAPH = 'tensorflowjs_model.pb';

export const tensorflow: Reader = {
  name: 'tensorflow',
  title: 'TensorFlow frozen graph or SavedModel',
  extensions: ['.pb'],
  options: ['assume', 'inputShape'],

  async match({ files, name, source, head }) {
    if (name === null) return (await files.has(SAVED_MODEL)) || (await files.has(OLD_GRAPH));
    if (!source) return false;
    if (head[0] === SCHEMA_VERSION && head[1] === 1 && head[2] === META_GRAPH) return true;
    if (head[0] !== NODE) return false;
    const { looksLikeGraphDef } = await import('../containers/tf-graph.js');
    return looksLikeGraphDef(source);
  },

  async read(files, options) {
    const { readTensorflow } = await import('./tensorflow-model.js');
    return readTensorflow(files, files.main ?? ((await files.has(SAVED_MODEL)) ? SAVED_MODEL : OLD_GRAPH), options);
  },
};
