/** The TensorFlow.js readers; what they do is loaded when a model is theirs. */
import type { Probe, Reader } from '../reader.js';
import type { TfjsKind } from './model-json.js';

export const tfjs: Reader = {
  name: 'tfjs',
  title: 'TensorFlow.js layers model',
  extensions: ['model.json', 'weights_manifest.json'],
  options: ['inputShape'],

  async match(probe) {
    const kind = await kindOf(probe);
    return kind === 'layers' || kind === 'weights';
  },

  async read(files, options) {
    return (await import('./model.js')).readTfjs(files, options);
  },
};

export const tfjsGraph: Reader = {
  name: 'tfjs-graph',
  title: 'TensorFlow.js graph model',
  extensions: ['model.json'],
  options: ['inputShape'],
  match: async (probe) => (await kindOf(probe)) === 'graph',

  async read(files, options) {
    return (await import('./model.js')).readTfjsGraph(files, options);
  },
};

/** What both readers ask of one model is worked out once. */
const kinds = new WeakMap<Probe, Promise<TfjsKind | null>>();

function kindOf(probe: Probe): Promise<TfjsKind | null> {
  const kind = kinds.get(probe) ?? recognise(probe);
  kinds.set(probe, kind);
  return kind;
}

async function recognise({ files, name, head }: Probe): Promise<TfjsKind | null> {
  if (name !== null && !/^\s*[{[]/.test(new TextDecoder().decode(head.subarray(0, 16)))) return null;
  const { findModelJson, recogniseModelJson } = await import('./model-json.js');
  const found = await findModelJson(files);
  return found === null ? null : recogniseModelJson(files, found);
}
