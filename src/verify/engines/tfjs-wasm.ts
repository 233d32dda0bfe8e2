/** TensorFlow.js on WebAssembly: fast enough for a whole VGG16, and nothing native to install. */
import type { Engine } from '../engine.js';
import { describeTfjs, importTfjs, tfjsEngine } from './tfjs.js';

/** Where a page has the backend's WebAssembly files: their folder, or the address of each. Else they are looked for beside the script. */
export type TfjsWasmPaths = string | Readonly<Record<string, string>>;

let given: TfjsWasmPaths | null = null;

/** To be called before anything is verified. */
export function setTfjsWasmPaths(paths: TfjsWasmPaths): void {
  given = paths;
}

export const tfjsWasm: Engine = tfjsEngine({
  name: 'tfjs-wasm',
  device: 'cpu',
  backend: 'wasm',
  install: 'npm install @tensorflow/tfjs-core @tensorflow/tfjs-layers @tensorflow/tfjs-converter @tensorflow/tfjs-backend-wasm h5wasm',
  async load() {
    const tfjs = await importTfjs();
    const wasm = await import('@tensorflow/tfjs-backend-wasm');
    const paths = given ?? (typeof process === 'undefined' ? null : wasmFolder());
    if (paths) wasm.setWasmPaths(paths as string);
    return tfjs;
  },
  describe: async (tfjs) => describeTfjs(tfjs),
});

function wasmFolder(): string {
  const url = import.meta.resolve('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm');
  return decodeURIComponent(new URL('.', url).pathname).replace(/^\/([A-Za-z]:)/, '$1');
}
