/**
 * TensorFlow.js on WebGPU (Dawn in Node, the page's own in a browser).
 *
 * Left to itself this backend computes small tensors on the CPU, and answers zeros without an exception where a weight is larger
 * than the adapter can bind; the one is switched off, the other listened for. Matrices that are too large are multiplied in
 * column blocks, so that VGG16's fc6 (411 MB) runs on adapters that bind 128 MiB.
 */
import { ModelError } from '../../errors.js';
import type { Engine } from '../engine.js';
import { fromCompanion } from './companion.js';
import { bestAdapter, type GpuDevice, getGpu, NO_ADAPTER } from './gpu.js';
import { installLine } from './install.js';
import { importTfjs, type Tfjs, tfjsEngine } from './tfjs.js';
import type { Core } from './tfjs-sessions.js';
import { splitLargeProducts } from './tfjs-webgpu-products.js';

let prepared: Promise<Tfjs> | undefined;
let device: GpuDevice | undefined;
/** The first error that the device reported beside the calls, since it was last asked for. */
let reported: string | undefined;

export const tfjsWebgpu: Engine = tfjsEngine({
  name: 'tfjs-webgpu',
  device: 'gpu',
  backend: 'webgpu',
  install: installLine(),
  load() {
    prepared ??= prepare();
    return prepared;
  },
  async describe({ core }) {
    const best = await bestAdapter();
    if (best === null) return { available: false, detail: NO_ADAPTER };
    return { available: true, detail: `TensorFlow.js ${core.version_core} (webgpu) on ${best.adapter.name}`, adapter: best.adapter };
  },
  async settled() {
    // Errors of a submitted command arrive after the result that it spoilt.
    await device?.queue.onSubmittedWorkDone();
    await new Promise((resolve) => setTimeout(resolve, 0));
  },
  silentFailure() {
    const message = reported;
    reported = undefined;
    return message;
  },
});

async function prepare(): Promise<Tfjs> {
  // The backend registers itself when it is imported, and only where it finds navigator.gpu.
  await getGpu();
  const tfjs = await importTfjs();
  await importBackend();
  tfjs.core.env().set('WEBGPU_CPU_FORWARD', false);
  if ((await bestAdapter()) === null) throw new ModelError('engine', NO_ADAPTER);
  await tfjs.core.setBackend('webgpu');
  await tfjs.core.ready();
  device = deviceOf(tfjs.core);
  device.addEventListener('uncapturederror', ({ error }) => {
    reported ??= `the GPU reports: ${explain(error.message)}`;
  });
  void device.lost.then(({ message }) => {
    reported ??= `the GPU was lost: ${message}`;
  });
  splitLargeProducts(tfjs.core, device.limits.maxStorageBufferBindingSize);
  return tfjs;
}

async function importBackend(): Promise<unknown> {
  try {
    return await import('@tensorflow/tfjs-backend-webgpu');
  } catch (error) {
    return fromCompanion(error, '@tensorflow/tfjs-backend-webgpu');
  }
}

function deviceOf(core: Core): GpuDevice {
  return (core.backend() as unknown as { device: GpuDevice }).device;
}

function explain(message: string): string {
  const [first] = message.split('\n');
  if (!/larger than the maximum.*binding size|maxStorageBufferBindingSize/i.test(message)) return first!;
  return `a value is larger than this adapter can bind (${device!.limits.maxStorageBufferBindingSize} bytes). Verify it with --device cpu. ${first}`;
}
