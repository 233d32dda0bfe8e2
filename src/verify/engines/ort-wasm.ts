/** ONNX Runtime as WebAssembly: no native code and no install script, so it is always there. */
import type { Engine } from '../engine.js';
import { type Ort, ortEngine } from './ort.js';

export const ortWasm: Engine = ortEngine({
  name: 'ort-wasm',
  device: 'cpu',
  install: 'npm install onnxruntime-web',
  async load() {
    const ort = (await import('onnxruntime-web')) as unknown as Ort;
    if (ort.env.wasm) ort.env.wasm.numThreads = 1;
    return ort;
  },
  describe: async ({ env }) => ({ available: true, detail: `onnxruntime-web ${env.versions?.web ?? env.versions?.common ?? ''}, WebAssembly` }),
  options: { executionProviders: ['wasm'] },
  readsPaths: false,
});
