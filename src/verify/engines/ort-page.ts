/** ONNX Runtime in a page: the builds of onnxruntime-web with one WebAssembly file each, where its main one has them all. */
import type { Engine } from '../engine.js';
import { fromCompanion } from './companion.js';
import { bestAdapter, NO_ADAPTER } from './gpu.js';
import { installLine } from './install.js';
import { type Ort, ortEngine } from './ort.js';

export const ortPageWasm: Engine = ortEngine({
  name: 'ort-wasm',
  device: 'cpu',
  install: installLine('onnxruntime-web'),
  async load() {
    try {
      return onOneThread((await import('onnxruntime-web/wasm')) as unknown as Ort);
    } catch (error) {
      // A bundler that finds the import within a try leaves out what is not installed, and goes on.
      return fromCompanion(error, 'onnxruntime-web/wasm');
    }
  },
  describe: async (ort) => ({ available: true, detail: `${versionOf(ort)}, WebAssembly` }),
  options: { executionProviders: ['wasm'] },
  readsPaths: false,
});

/** Nodes that it has no kernel for are refused instead of being run on the CPU in silence. */
export const ortPageWebgpu: Engine = ortEngine({
  name: 'ort-webgpu',
  device: 'gpu',
  install: installLine('onnxruntime-web'),
  async load() {
    try {
      return onOneThread((await import('onnxruntime-web/webgpu')) as unknown as Ort);
    } catch (error) {
      return fromCompanion(error, 'onnxruntime-web/webgpu');
    }
  },
  async describe(ort) {
    const best = await bestAdapter();
    if (best === null) return { available: false, detail: NO_ADAPTER };
    return { available: true, detail: `${versionOf(ort)}, WebGPU on ${best.adapter.name}`, adapter: best.adapter };
  },
  options: { executionProviders: ['webgpu'], extra: { session: { disable_cpu_ep_fallback: '1' } } },
  readsPaths: false,
});

/** Threads need shared memory, which a page has only with headers that a static host does not send. */
function onOneThread(ort: Ort): Ort {
  if (ort.env.wasm) ort.env.wasm.numThreads = 1;
  return ort;
}

function versionOf({ env }: Ort): string {
  return `onnxruntime-web ${env.versions?.web ?? env.versions?.common ?? ''}`;
}
