/** ONNX Runtime as WebAssembly: no native code and no install script, and of all runtimes of ONNX the smallest. */
import type { Engine } from '../engine.js';
import { fromCompanion } from './companion.js';
import { installLine } from './install.js';
import { type Ort, ortEngine } from './ort.js';

export const ortWasm: Engine = ortEngine({
  name: 'ort-wasm',
  device: 'cpu',
  install: installLine(),
  async load() {
    const ort = await importOrt();
    if (ort.env.wasm) ort.env.wasm.numThreads = 1;
    return ort;
  },
  describe: async ({ env }) => ({ available: true, detail: `onnxruntime-web ${env.versions?.web ?? env.versions?.common ?? ''}, WebAssembly` }),
  options: { executionProviders: ['wasm'] },
  readsPaths: false,
});

async function importOrt(): Promise<Ort> {
  try {
    return (await import('onnxruntime-web')) as unknown as Ort;
  } catch (error) {
    return fromCompanion(error, 'onnxruntime-web');
  }
}
