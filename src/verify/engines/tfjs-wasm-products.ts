/**
 * Products with a large matrix of weights, which stays where it was loaded: in the memory of JavaScript, multiplied by TensorFlow.js's own
 * kernel for the CPU.
 *
 * The WebAssembly backend would copy the matrix into a memory that never becomes smaller, and lay out a second copy there for its product:
 * four seconds and 0.9 GB more for VGG16, whose three matrices the other kernel multiplies in 0.6 s for an image.
 */
import type { Core } from './tfjs-sessions.js';

interface TensorInfo {
  readonly dataId: object;
  readonly shape: number[];
  readonly dtype: 'float32';
}

/** The parts of TensorFlow.js's backends that are used. */
interface CpuBackend {
  readonly data: { has(dataId: object): boolean };
  incRef(dataId: object): void;
  makeTensorInfo(shape: number[], dtype: 'float32', values: Float32Array): TensorInfo;
  readSync(dataId: object): Float32Array;
  disposeData(dataId: object): boolean;
}
interface WasmBackend {
  readSync(dataId: object): Float32Array;
  makeOutput(shape: number[], dtype: 'float32', memoryOffset: undefined, values: Float32Array): TensorInfo;
}

interface Call {
  readonly inputs: Readonly<Record<string, TensorInfo | undefined>>;
  readonly attrs: { readonly shape?: number[] };
  readonly backend: unknown;
}

type KernelFunc = (call: Call) => TensorInfo;

/** Elements from which a matrix stays: 16 MB. */
const LEAST_ELEMENTS = 2 ** 22;

const replaced = new WeakSet<Core>();

/** Both backends must have been loaded. */
export function keepLargeMatrices(core: Core): void {
  if (replaced.has(core)) return;
  replaced.add(core);
  const cpuOf = () => core.findBackend('cpu') as unknown as CpuBackend | null;
  /** Whether a tensor is large, and has never been in WebAssembly's memory. */
  const isKept = (tensor: TensorInfo | undefined): tensor is TensorInfo =>
    tensor !== undefined && core.util.sizeFromShape(tensor.shape) >= LEAST_ELEMENTS && cpuOf()?.data.has(tensor.dataId) === true;

  // A product begins by giving its operands three axes; where they stay the same, so must the place where the values are.
  replace(core, 'Reshape', ({ inputs: { x }, attrs: { shape } }) => {
    if (!isKept(x)) return null;
    cpuOf()!.incRef(x.dataId);
    return { ...x, shape: core.util.inferFromImplicitShape(shape!, core.util.sizeFromShape(x.shape)) };
  });
  for (const name of ['BatchMatMul', '_FusedMatMul'] as const) {
    const onCpu = core.getKernel(name, 'cpu').kernelFunc as unknown as KernelFunc;
    replace(core, name, ({ inputs, attrs, backend }) => {
      if (!isKept(inputs.b)) return null;
      const [cpu, wasm] = [cpuOf()!, backend as WasmBackend];
      const lent = Object.entries(inputs).flatMap(([key, tensor]) =>
        tensor && key !== 'b' ? [[key, cpu.makeTensorInfo(tensor.shape, 'float32', wasm.readSync(tensor.dataId))] as const] : [],
      );
      const made = onCpu({ inputs: { ...Object.fromEntries(lent), b: inputs.b }, attrs, backend: cpu });
      const result = wasm.makeOutput(made.shape, 'float32', undefined, cpu.readSync(made.dataId));
      for (const { dataId } of [made, ...lent.map(([, tensor]) => tensor)]) cpu.disposeData(dataId);
      return result;
    });
  }
}

/** @param instead null where the kernel is to do what it always did */
function replace(core: Core, name: string, instead: (call: Call) => TensorInfo | null): void {
  const original = core.getKernel(name, 'wasm');
  const usual = original.kernelFunc as unknown as KernelFunc;
  core.unregisterKernel(name, 'wasm');
  core.registerKernel({ ...original, kernelFunc: ((call: Call) => instead(call) ?? usual(call)) as never });
}
