/** Memories that the WebAssembly kernels can work in, so that bytes read into one need not be copied for them. */
import { KERNELS } from './kernels.js';

/** See `kernels.wat` for what each does; addresses and steps are in bytes, counts in elements. */
export interface Kernels {
  transpose(target: number, targetStep: number, source: number, sourceStep: number, rows: number, columns: number): void;
  narrowToHalf(at: number, count: number, tally: number): void;
  range(source: number, count: number, result: number): void;
  largestMagnitude(source: number, count: number): number;
  largestMagnitudes(largest: number, source: number, count: number): void;
  encodeAffine(target: number, isWord: number, source: number, count: number, min: number, scale: number, limit: number): void;
  encodeRuns(target: number, source: number, runs: number, size: number, scales: number, zeros: number, low: number, high: number): void;
  encodeEach(target: number, source: number, count: number, scales: number, zeros: number, low: number, high: number): void;
  spread(source: number, count: number, sum: number, result: number): void;
  packHalves(at: number, count: number): void;
  blockScales(
    scales: number,
    zeros: number,
    source: number,
    groups: number,
    size: number,
    step: number,
    lanes: number,
    trials: number,
    tries: number,
    low: number,
    high: number,
  ): void;
}

export interface KernelInstance {
  readonly kernels: Kernels;
  /** Address of `SCRATCH_BYTES` behind the memory that was asked for, for a kernel's side results. */
  readonly scratch: number;
}

const PAGE_BYTES = 65_536;
const SCRATCH_BYTES = 64;

const memories = new WeakMap<ArrayBufferLike, WebAssembly.Memory>();
const instances = new WeakMap<ArrayBufferLike, KernelInstance>();
let compiled: WebAssembly.Module | null = null;

/** @param byteLength of the memory, which never moves; it costs nothing until it is touched, and it may be a little larger */
export function kernelMemory(byteLength: number): ArrayBuffer {
  const pages = Math.ceil((byteLength + SCRATCH_BYTES) / PAGE_BYTES);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  memories.set(memory.buffer, memory);
  return memory.buffer;
}

/** The kernels over a buffer of `kernelMemory`; null for any other. */
export function kernelsOver(buffer: ArrayBufferLike): KernelInstance | null {
  const memory = memories.get(buffer);
  if (!memory) return null;
  let instance = instances.get(buffer);
  if (!instance) {
    compiled ??= new WebAssembly.Module(Uint8Array.from(atob(KERNELS), (character) => character.charCodeAt(0)));
    const { exports } = new WebAssembly.Instance(compiled, { js: { memory } });
    instance = { kernels: exports as unknown as Kernels, scratch: buffer.byteLength - SCRATCH_BYTES };
    instances.set(buffer, instance);
  }
  return instance;
}
