/** TensorFlow.js on WebAssembly: fast enough for a whole VGG16, and nothing native to install. */
import type { Engine } from '../engine.js';
import { fromCompanion, requireScripts, resolvePackage } from './companion.js';
import { installLine } from './install.js';
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
  install: installLine(),
  async load() {
    const tfjs = await importTfjs();
    const wasm = await importBackend();
    const paths = given ?? (typeof process === 'undefined' ? null : await wasmFolder());
    if (paths) wasm.setWasmPaths(paths as string);
    return tfjs;
  },
  describe: async (tfjs) => describeTfjs(tfjs),
});

async function importBackend(): Promise<typeof import('@tensorflow/tfjs-backend-wasm')> {
  const scripts = await requireScripts<[typeof import('@tensorflow/tfjs-backend-wasm')]>(['@tensorflow/tfjs-backend-wasm']);
  if (scripts) return scripts[0];
  try {
    return await import('@tensorflow/tfjs-backend-wasm');
  } catch (error) {
    return fromCompanion(error, '@tensorflow/tfjs-backend-wasm');
  }
}

async function wasmFolder(): Promise<string> {
  const url = await resolvePackage('@tensorflow/tfjs-backend-wasm/dist/tfjs-backend-wasm.wasm');
  const { host, pathname } = new URL('.', url);
  // On Windows a path begins with a drive, or with two slashes and another machine; a page has no `fileURLToPath`.
  return `${host === '' ? '' : `//${host}`}${decodeURIComponent(pathname).replace(/^\/([A-Za-z]:)/, '$1')}`;
}
