/**
 * TensorFlow's own C library under TensorFlow.js's interface (`@tensorflow/tfjs-node`), when the user has installed it.
 */
import type { Engine } from '../engine.js';
import { installLine } from './install.js';
import { type Tfjs, tfjsEngine } from './tfjs.js';
import type { Core } from './tfjs-sessions.js';

export const tfjsNode: Engine = { ...tfjsNodeEngine('tfjs-node', 'cpu', '@tensorflow/tfjs-node'), onRequest: true };

/** What the package's `backend()` tells of itself. */
interface NodeBackend {
  readonly isUsingGpuDevice?: boolean;
}

/** @param name name of the package as well as the engine's own, for they differ in nothing but the library inside */
export function tfjsNodeEngine(name: string, device: Engine['device'], packageName: string): Engine {
  return tfjsEngine({
    name,
    device,
    backend: 'tensorflow',
    install: installLine(packageName),
    load: () => importNode(packageName),
    async describe({ core }) {
      const onGpu = (core.backend() as NodeBackend).isUsingGpuDevice === true;
      const version = `${packageName} ${(core as Core & { version?: Record<string, string> }).version?.['tfjs-node'] ?? core.version_core}`;
      // The package for GPUs computes on the CPU without a word where its library finds no CUDA.
      if (device === 'gpu' && !onGpu)
        return { available: false, detail: `${version} finds no GPU: its TensorFlow library has no CUDA, or the machine has none. Use tfjs-node` };
      if (device === 'gpu')
        return { available: true, detail: `${version}, CUDA`, adapter: { name: 'the first CUDA GPU, as TensorFlow takes it', software: false } };
      return { available: true, detail: `${version}, CPU` };
    },
  });
}

async function importNode(packageName: string): Promise<Tfjs> {
  if (typeof process !== 'undefined') {
    // Read when the library loads. oneDNN's kernels are less accurate: on VGG16 1.5e-6 without them.
    process.env.TF_ENABLE_ONEDNN_OPTS ??= '0';
    process.env.TF_CPP_MIN_LOG_LEVEL ??= '2';
    // 4.22 calls a function that Node 23 removed.
    const { default: util } = (await import('node:util')) as unknown as { default: { isNullOrUndefined?: (value: unknown) => boolean } };
    util.isNullOrUndefined ??= (value) => value === null || value === undefined;
  }
  const all = (await import(packageName)) as { default?: unknown };
  // One package has all of TensorFlow.js in it, exported together.
  const tf = (all.default ?? all) as Tfjs['core'] & Tfjs['layers'] & Tfjs['converter'];
  tf.env().set('PROD', true);
  return { core: tf, layers: tf, converter: tf };
}
