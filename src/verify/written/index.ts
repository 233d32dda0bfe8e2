/** The list of formats whose written files are read back. Adding one is one line here. */
import type { WrittenFormat } from './written.js';

export const writtenFormats: readonly WrittenFormat[] = [
  { format: 'onnx', runs: true, open: async (files) => (await import('./onnx.js')).openWrittenOnnx(files) },
  { format: 'tfjs', runs: true, open: async (files, layers) => (await import('./tfjs.js')).openWrittenTfjs(files, layers) },
  { format: 'tfjs-graph', runs: true, open: async (files, layers) => (await import('./tfjs-graph.js')).openWrittenTfjsGraph(files, layers) },
  { format: 'safetensors', runs: false, open: async (files) => (await import('./named.js')).openNamedWeights(files, 'safetensors') },
  { format: 'npz', runs: false, open: async (files) => (await import('./named.js')).openNamedWeights(files, 'npz') },
];

/** Undefined where files of the format cannot be verified. */
export function findWrittenFormat(format: string): WrittenFormat | undefined {
  return writtenFormats.find((candidate) => candidate.format === format);
}
