/**
 * Matrix products with a matrix that is larger than a GPU can bind: multiplied in blocks of columns, on the GPU.
 *
 * TensorFlow.js has no such thing, and without it answers zeros. The two kernels that multiply (for Dense layers and MatMul nodes
 * alike) are replaced by ones that look at the size first.
 */
import type { Core } from './tfjs-sessions.js';

interface TensorInfo {
  readonly dataId: object;
  readonly shape: number[];
  readonly dtype: 'float32';
}

/** The part of TensorFlow.js's WebGPU backend that is used. */
interface Backend {
  /** Values that were never sent to the GPU come at once. */
  readSync(dataId: object): Float32Array;
  makeTensorInfo(shape: number[], dtype: 'float32', values?: Float32Array): TensorInfo;
  disposeData(dataId: object): boolean;
}

interface Call {
  readonly inputs: { a: TensorInfo; b: TensorInfo; bias?: TensorInfo; preluActivationWeights?: TensorInfo };
  readonly attrs: { readonly transposeA: boolean; readonly transposeB: boolean };
  readonly backend: Backend;
}

type KernelFunc = (call: Call) => TensorInfo;

const PRODUCTS = ['BatchMatMul', '_FusedMatMul'] as const;

/** @param limit bytes that the device can bind at once */
export function splitLargeProducts(core: Core, limit: number): void {
  for (const name of PRODUCTS) {
    const original = core.getKernel(name, 'webgpu');
    const whole = original.kernelFunc as unknown as KernelFunc;
    const blocks = new WeakMap<object, TensorInfo[]>();
    const split: KernelFunc = (call) => {
      const { b } = call.inputs;
      const batch = core.util.sizeFromShape(b.shape.slice(0, -2));
      if (4 * core.util.sizeFromShape(b.shape) <= limit || batch !== 1) return whole(call);
      const parts = blocks.get(b.dataId) ?? columnBlocks(call.backend, b, call.attrs.transposeB, limit);
      blocks.set(b.dataId, parts);
      return joined(core, whole, call, parts);
    };
    core.unregisterKernel(name, 'webgpu');
    core.registerKernel({ ...original, kernelFunc: split as never });
  }
}

/** Copies of a matrix's columns (rows where it is transposed), each small enough to be bound; they go to the GPU when they are used. */
function columnBlocks(backend: Backend, matrix: TensorInfo, transposed: boolean, limit: number): TensorInfo[] {
  const [rows, columns] = matrix.shape.slice(-2) as [number, number];
  const batch = matrix.shape.slice(0, -2);
  const values = backend.readSync(matrix.dataId);
  const [count, length] = transposed ? [rows, columns] : [columns, rows];
  const width = Math.max(1, Math.floor(limit / (4 * length)));
  const blocks: TensorInfo[] = [];
  for (let start = 0; start < count; start += width) {
    const end = Math.min(count, start + width);
    if (transposed) {
      blocks.push(backend.makeTensorInfo([...batch, end - start, columns], 'float32', values.slice(start * columns, end * columns)));
      continue;
    }
    const block = new Float32Array(rows * (end - start));
    for (let row = 0; row < rows; row++) block.set(values.subarray(row * columns + start, row * columns + end), row * (end - start));
    blocks.push(backend.makeTensorInfo([...batch, rows, end - start], 'float32', block));
  }
  return blocks;
}

/** The product with each block, side by side. A bias and an activation's slopes, one value for a column, are cut alike. */
function joined(core: Core, whole: KernelFunc, call: Call, blocks: readonly TensorInfo[]): TensorInfo {
  const { inputs, backend } = call;
  const concat = core.getKernel('Concat', 'webgpu').kernelFunc as unknown as (call: object) => TensorInfo;
  let start = 0;
  const products = blocks.map((b) => {
    const width = b.shape.at(call.attrs.transposeB ? -2 : -1)!;
    const [bias, preluActivationWeights] = [inputs.bias, inputs.preluActivationWeights].map(
      (perColumn) => perColumn && columnsOf(core, backend, perColumn, start, width),
    );
    start += width;
    return whole({ ...call, inputs: { a: inputs.a, b, ...(bias && { bias }), ...(preluActivationWeights && { preluActivationWeights }) } });
  });
  const result = concat({ inputs: products, attrs: { axis: products[0]!.shape.length - 1 }, backend });
  for (const { dataId } of products) backend.disposeData(dataId);
  return result;
}

function columnsOf(core: Core, backend: Backend, perColumn: TensorInfo, start: number, width: number): TensorInfo {
  if (core.util.sizeFromShape(perColumn.shape) === 1) return perColumn;
  const slice = core.getKernel('Slice', 'webgpu').kernelFunc as unknown as (call: object) => TensorInfo;
  const axis = perColumn.shape.length - 1;
  const begin = perColumn.shape.map((_, i) => (i === axis ? start : 0));
  const size = perColumn.shape.map((length, i) => (i === axis ? width : length));
  return slice({ inputs: { x: perColumn }, attrs: { begin, size }, backend });
}
