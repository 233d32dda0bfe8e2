/** WebGPU: the browser's own, or Dawn from the package `webgpu`; which adapter it would compute on, and what that can do. */
import type { Adapter } from '../engine.js';
import { fromCompanion } from './companion.js';

/** The part of the WebGPU API that is used; TypeScript's own libraries have none of it. */
export interface Gpu {
  requestAdapter(options: { powerPreference: 'high-performance' }): Promise<GpuAdapter | null>;
}

export interface GpuAdapter {
  readonly info: {
    readonly vendor: string;
    readonly architecture: string;
    readonly device: string;
    readonly description: string;
    readonly isFallbackAdapter?: boolean;
  };
  readonly limits: { readonly maxStorageBufferBindingSize: number; readonly maxBufferSize: number };
  readonly features: ReadonlySet<string>;
}

export interface GpuDevice {
  readonly limits: GpuAdapter['limits'];
  readonly queue: { onSubmittedWorkDone(): Promise<void> };
  readonly lost: Promise<{ readonly message: string }>;
  addEventListener(event: 'uncapturederror', listener: (event: { readonly error: { readonly message: string } }) => void): void;
}

export const NO_ADAPTER =
  'no GPU adapter was found; a driver with Vulkan (or Metal, or Direct3D 12) is needed, or a software one such as mesa-vulkan-drivers 25 (see docs/gpu.md)';

/** Names by which software adapters are known, where the driver does not say that it is one. */
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|\bsoftware\b|\bwarp\b|basic render/i;

let made: Promise<Gpu> | undefined;

/** A page without WebGPU has no adapter. @throws Error in Node, where the package is not installed */
export function getGpu(): Promise<Gpu> {
  made ??= make();
  return made;
}

async function make(): Promise<Gpu> {
  const page = (globalThis as { navigator?: { gpu?: Gpu } }).navigator;
  if (page?.gpu) return page.gpu;
  if (typeof process === 'undefined' || !process.versions?.node) return { requestAdapter: async () => null };
  const { create, globals } = await importDawn();
  Object.assign(globalThis, globals);
  const gpu = create([]);
  // Node 21 and newer have a navigator of their own, which cannot be replaced but can be added to.
  if (page) Object.defineProperty(page, 'gpu', { value: gpu, configurable: true });
  else Object.defineProperty(globalThis, 'navigator', { value: { gpu, userAgent: 'node' }, configurable: true });
  return gpu;
}

interface Dawn {
  create(options: string[]): Gpu;
  readonly globals: object;
}

async function importDawn(): Promise<Dawn> {
  try {
    return (await import('webgpu')) as unknown as Dawn;
  } catch (error) {
    return fromCompanion(error, 'webgpu');
  }
}

/** The adapter that WebGPU gives when the fastest is asked for; null where there is none. */
export async function bestAdapter(): Promise<{ readonly adapter: Adapter; readonly details: GpuAdapter } | null> {
  const gpu = await getGpu();
  const details = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  return details && { adapter: nameAdapter(details.info), details };
}

/** Vendor, architecture and description, without what is empty or said twice; a software adapter is named as one. */
export function nameAdapter({ vendor, architecture, device, description, isFallbackAdapter }: GpuAdapter['info']): Adapter {
  const words = [vendor, architecture, description || device].filter((word) => word !== '');
  const name = words.join(' ') || 'an adapter without a name';
  const software = isFallbackAdapter === true || SOFTWARE.test(name);
  return { name: software ? `${name} (software, no GPU)` : name, software };
}
