/** TensorFlow.js on WebAssembly: fast enough for a whole VGG16, and nothing native to install. */
import type { Engine } from '../engine.js';
import { describeTfjs, importTfjs, tfjsEngine } from './tfjs.js';

export const tfjsWasm: Engine = tfjsEngine({
  name: 'tfjs-wasm',
  device: 'cpu',
  backend: 'wasm',
  install: 'npm install @tensorflow/tfjs-core @tensorflow/tfjs-layers @tensorflow/tfjs-converter @tensorflow/tfjs-backend-wasm h5wasm',
  async load() {
    const tfjs = await importTfjs();
    const wasm = await import('@tensorflow/tfjs-backend-wasm');
    // Only Node gets here with a path; a browser finds the files beside the page.
    const folder = typeof process === 'undefined' ? null : wasmFolder();
    if (folder) wasm.setWasmPaths(folder);
    return tfjs;
  },
  describe: async (tfjs) => describeTfjs(tfjs),
});

function wasmFolder(): string {
  const url = import.meta.resolve('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm');
  return decodeURIComponent(new URL('.', url).pathname).replace(/^\/([A-Za-z]:)/, '$1');
}
