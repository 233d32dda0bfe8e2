/** Instances of the WebAssembly kernels, each over a memory of its own. */
import { KERNELS } from './kernels.js';

/** See `kernels.wat` for what each does; addresses and steps are in bytes, counts in elements. */
export interface Kernels {
  transpose(target: number, targetStep: number, source: number, sourceStep: number, rows: number, columns: number): void;
  narrowToHalf(at: number, count: number, tally: number): void;
}

export interface KernelInstance {
  readonly buffer: ArrayBuffer;
  readonly kernels: Kernels;
}

const PAGE_BYTES = 65_536;

let compiled: WebAssembly.Module | null = null;

/** @param byteLength of the memory, which never moves; it costs nothing until it is touched */
export function instantiateKernels(byteLength: number): KernelInstance {
  compiled ??= new WebAssembly.Module(Uint8Array.from(atob(KERNELS), (character) => character.charCodeAt(0)));
  const pages = Math.ceil(byteLength / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const { exports } = new WebAssembly.Instance(compiled, { js: { memory } });
  return { buffer: memory.buffer, kernels: exports as unknown as Kernels };
}
