/**
 * ONNX Runtime's WebGPU execution provider, which is inside onnxruntime-node (Linux x64, Windows, macOS on arm64).
 *
 * Left to itself it runs nodes that it has no kernel for (LRN, Selu, ...) on the CPU and says nothing; with
 * `disable_cpu_ep_fallback` the session is refused instead. Outputs are fetched as CPU tensors: `getData()` on one that is
 * still a GPU buffer aborts the process.
 */
import type { Engine } from '../engine.js';
import { bestAdapter, NO_ADAPTER } from './gpu.js';
import { installLine } from './install.js';
import { type Ort, ortEngine } from './ort.js';
import { loadOrtNode } from './ort-node.js';

interface OrtNode extends Ort {
  listSupportedBackends?(): readonly { readonly name: string }[];
}

export const ortWebgpu: Engine = ortEngine({
  name: 'ort-webgpu',
  device: 'gpu',
  install: installLine(),
  load: loadOrtNode,
  async describe(ort) {
    const version = `onnxruntime-node ${ort.env.versions?.node ?? ort.env.versions?.common ?? ''}`;
    if (!(ort as OrtNode).listSupportedBackends?.().some(({ name }) => name === 'webgpu'))
      return { available: false, detail: `${version} has no WebGPU on this platform` };
    // The runtime does not tell which adapter it takes; in the same environment the package `webgpu` gets the same one.
    const best = await bestAdapter().catch(() => undefined);
    if (best === undefined) return { available: false, detail: `the adapter could not be named without the package webgpu; ${installLine()}` };
    if (best === null) return { available: false, detail: NO_ADAPTER };
    return { available: true, detail: `${version}, WebGPU on ${best.adapter.name}`, adapter: best.adapter };
  },
  options: { executionProviders: ['webgpu'], extra: { session: { disable_cpu_ep_fallback: '1' } } },
  readsPaths: true,
  explain: explainWebgpu,
});

/** What to do about a message of the runtime's; undefined for one that speaks for itself. */
export function explainWebgpu(message: string): string | undefined {
  if (/fallback to CPU EP has been explicitly disabled|disable_cpu_ep_fallback/i.test(message))
    return 'the model has operators that ONNX Runtime does not compute on a GPU (LRN and Selu are such), and nothing is computed on the CPU in silence. Verify it with --device cpu';
  if (/shader-f16|requires f16/.test(message)) return 'the adapter does not compute in float16 (shader-f16). Verify it with --device cpu';
  // So do 1.30 on NVIDIA's driver and on Mesa's; in float32 it computes the same node.
  if (/BatchNormalization node.*raw_hash_map/s.test(message))
    return 'ONNX Runtime does not compute batch normalisation in float16 on a GPU. --fold-batchnorm takes it into the layer before it, and then the file runs there; or verify it with --device cpu';
  if (/Failed to get a WebGPU adapter/.test(message)) return NO_ADAPTER;
  return undefined;
}
