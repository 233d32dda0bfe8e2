/**
 * ONNX Runtime on CUDA, where its provider library, CUDA and an NVIDIA GPU are there.
 *
 * NVIDIA's libraries round float32 inputs of matrix products to TF32 unless `NVIDIA_TF32_OVERRIDE=0` is set before they load;
 * the host of GPU engines sets it.
 */
import type { Engine } from '../engine.js';
import { resolvePackage } from './companion.js';
import { installLine } from './install.js';
import { ortEngine } from './ort.js';
import { loadOrtNode } from './ort-node.js';

const PROVIDER = 'libonnxruntime_providers_cuda.so';
const INSTALL =
  'npm rebuild onnxruntime-node with ONNXRUNTIME_NODE_INSTALL=cuda12 set and --ignore-scripts=false, beside CUDA 12 and cuDNN 9 (onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html)';

export const ortCuda: Engine = ortEngine({
  name: 'ort-cuda',
  device: 'gpu',
  install: installLine(),
  load: loadOrtNode,
  async describe(ort) {
    const version = `onnxruntime-node ${ort.env.versions?.node ?? ort.env.versions?.common ?? ''}`;
    if (typeof process === 'undefined' || process.platform !== 'linux' || process.arch !== 'x64')
      return { available: false, detail: `${version} has no CUDA on this platform` };
    const gpu = await nvidiaGpu();
    if (gpu === null) return { available: false, detail: 'there is no NVIDIA driver on this machine' };
    if (!(await hasProvider())) return { available: false, detail: `${PROVIDER} is not installed; ${INSTALL}` };
    if (process.env.NVIDIA_TF32_OVERRIDE !== '0')
      return { available: false, detail: 'NVIDIA_TF32_OVERRIDE=0 must be set before the process starts, or matrix products are rounded to TF32' };
    return { available: true, detail: `${version}, CUDA on ${gpu}`, adapter: { name: gpu, software: false } };
  },
  options: { executionProviders: ['cuda'], extra: { session: { disable_cpu_ep_fallback: '1' } } },
  readsPaths: true,
  explain(message) {
    if (/fallback to CPU EP has been explicitly disabled|disable_cpu_ep_fallback/i.test(message))
      return 'the model has operators that ONNX Runtime does not compute with CUDA, and nothing is computed on the CPU in silence. Verify it with --device cpu';
    return undefined;
  },
});

/** Model of the first GPU by NVIDIA's driver, such as 'NVIDIA H100 80GB HBM3'; null where there is no driver. */
async function nvidiaGpu(): Promise<string | null> {
  const { readdir, readFile } = await import('node:fs/promises');
  const folder = '/proc/driver/nvidia/gpus';
  const [first] = await readdir(folder).catch(() => []);
  if (first === undefined) return null;
  const text = await readFile(`${folder}/${first}/information`, 'utf8').catch(() => '');
  return /^Model:\s*(.+)$/m.exec(text)?.[1]?.trim() ?? 'an NVIDIA GPU';
}

async function hasProvider(): Promise<boolean> {
  const { existsSync, readdirSync } = await import('node:fs');
  const { fileURLToPath } = await import('node:url');
  const root = fileURLToPath(new URL('bin', await resolvePackage('onnxruntime-node/package.json')));
  return readdirSync(root).some((napi) => existsSync(`${root}/${napi}/linux/x64/${PROVIDER}`));
}
