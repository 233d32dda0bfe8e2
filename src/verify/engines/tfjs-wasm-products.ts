/**
 * Products with a large matrix of weights, which stays where it was loaded: in the memory of JavaScript, multiplied there, a few rows of it at a time.
 *
 * The WebAssembly backend would copy the matrix into a memory that never becomes smaller, and lay out a second copy there for its product:
 * four seconds and 0.9 GB more for VGG16, whose three matrices the rows take 0.14 s for an image. TensorFlow.js's own kernel for the CPU goes down the
 * columns, 16 KiB from one number to the next, and takes 0.64 s; it has what is not a plain product. A mistake here could not make a wrong file
 * look right: what the file gives is another runtime's, and of two of TensorFlow.js's files with other weights the products differ.
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
  disposeData(dataId: object): boolean;
}

interface Call {
  readonly inputs: Readonly<Record<string, TensorInfo | undefined>>;
  readonly attrs: { readonly shape?: number[]; readonly transposeA?: boolean; readonly transposeB?: boolean; readonly activation?: string };
  readonly backend: unknown;
}

type KernelFunc = (call: Call) => TensorInfo;

/** Elements from which a matrix stays: 16 MB. */
const LEAST_ELEMENTS = 2 ** 22;

/** Kernels for the activations that layers have put into their products. */
const ACTIVATIONS: Readonly<Record<string, string | null>> = { linear: null, relu: 'Relu', elu: 'Elu' };

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
      if (isPlain(inputs, attrs)) return plainProduct(core, cpu, wasm, inputs, attrs.activation);
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

/** Whether it is one matrix by another, as they lie, and what follows a kernel of its own can do. */
function isPlain({ a, b, preluActivationWeights }: Call['inputs'], { transposeA, transposeB, activation = 'linear' }: Call['attrs']): boolean {
  const isOne = (tensor: TensorInfo | undefined) => tensor?.shape.slice(0, -2).every((size) => size === 1) === true;
  return isOne(a) && isOne(b) && !transposeA && !transposeB && !preluActivationWeights && ACTIVATIONS[activation] !== undefined;
}

function plainProduct(core: Core, cpu: CpuBackend, wasm: WasmBackend, { a, b, bias }: Call['inputs'], activation = 'linear'): TensorInfo {
  const [rows, columns] = [a!.shape.at(-2)!, b!.shape.at(-1)!];
  const values = multiply(wasm.readSync(a!.dataId), cpu.readSync(b!.dataId), rows, columns);
  let made = wasm.makeOutput([...b!.shape.slice(0, -2), rows, columns], 'float32', undefined, values);
  const then = (name: string, inputs: Call['inputs']) => {
    const next = (core.getKernel(name, 'wasm').kernelFunc as unknown as KernelFunc)({ inputs, attrs: {}, backend: wasm });
    wasm.disposeData(made.dataId);
    made = next;
  };
  if (bias) then('Add', { a: made, b: bias });
  const kernel = ACTIVATIONS[activation];
  if (kernel) then(kernel, { x: made });
  return made;
}

/** Rows of `b` that are added at a time. */
const AT_ONCE = 4;

/** Sums in float64. @param b [inner, columns], of which all rows are read once for each row of `a` */
function multiply(a: Float32Array, b: Float32Array, rows: number, columns: number): Float32Array {
  const made = new Float32Array(rows * columns);
  const inner = a.length / rows;
  const sums = new Float64Array(columns);
  for (let row = 0; row < rows; row++) {
    sums.fill(0);
    let k = 0;
    for (; k + AT_ONCE <= inner; k += AT_ONCE) {
      const [of, at] = [row * inner + k, k * columns];
      const [a0, a1, a2, a3] = [a[of]!, a[of + 1]!, a[of + 2]!, a[of + 3]!];
      for (let j = 0, i = at; j < columns; j++, i++) sums[j]! += a0 * b[i]! + a1 * b[i + columns]! + a2 * b[i + 2 * columns]! + a3 * b[i + 3 * columns]!;
    }
    for (; k < inner; k++) for (let j = 0; j < columns; j++) sums[j]! += a[row * inner + k]! * b[k * columns + j]!;
    made.set(sums, row * columns);
  }
  return made;
}

/** @param instead null where the kernel is to do what it always did */
function replace(core: Core, name: string, instead: (call: Call) => TensorInfo | null): void {
  const original = core.getKernel(name, 'wasm');
  const usual = original.kernelFunc as unknown as KernelFunc;
  core.unregisterKernel(name, 'wasm');
  core.registerKernel({ ...original, kernelFunc: ((call: Call) => instead(call) ?? usual(call)) as never });
}
