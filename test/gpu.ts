/** The adapter that tests of the GPU path run on: a GPU where there is one, else a software adapter from where Debian puts it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { engineHost } from '../src/node/index.js';
import type { Adapter, EngineHost } from '../src/verify/engine.js';
import { ortWebgpu } from '../src/verify/engines/ort-webgpu.js';
import { ROOT } from './cli/run-cli.js';

const SWIFTSHADER = '/usr/lib/chromium/vk_swiftshader_icd.json';
const LAVAPIPE = '/usr/share/vulkan/icd.d/lvp_icd.json';
/** SwiftShader compiles shaders in half the time that lavapipe takes, and computes several times as slowly. */
const SOFTWARE_DRIVERS = { small: [SWIFTSHADER, LAVAPIPE], large: [LAVAPIPE, SWIFTSHADER] } as const;
const CHILD = join(ROOT, 'dist/node/engine-child.js');

export interface TestGpu {
  readonly adapter: Adapter;
  /** What a process needs in its environment to find it. */
  readonly env: Readonly<Record<string, string>>;
}

/** Set where an adapter is known to be there, so that its tests cannot be skipped unseen. */
export const gpuIsRequired = process.env.WEIGHBRIDGE_REQUIRE_GPU === '1';

export function hostWith(env: Readonly<Record<string, string>>, timeoutMs?: number): EngineHost {
  return engineHost({ entry: CHILD, env, timeoutMs });
}

/** @param net size of the nets that will run on it */
export async function findGpu(net: keyof typeof SOFTWARE_DRIVERS = 'small'): Promise<TestGpu | null> {
  // A GPU first; else the quickest of the software adapters. Whoever names drivers means those.
  const named = process.env.VK_DRIVER_FILES !== undefined;
  const drivers = named ? [] : SOFTWARE_DRIVERS[net].filter((path) => existsSync(path));
  let last: TestGpu | null = null;
  for (const env of [{}, ...drivers.map((path) => ({ VK_DRIVER_FILES: path }))]) {
    const host = hostWith(env, 60_000);
    const { available, adapter } = await host.availability(ortWebgpu);
    await host.close();
    if (!available || !adapter) continue;
    last = { adapter, env };
    if (named || !adapter.software || 'VK_DRIVER_FILES' in env) break;
  }
  return last;
}

export function gpuTitle(gpu: TestGpu | null): string {
  return gpu ? `on ${gpu.adapter.name}` : 'on a GPU (skipped: no WebGPU adapter was found; docs/gpu.md tells how to install a software one)';
}
