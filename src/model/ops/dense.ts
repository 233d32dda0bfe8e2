/** Gemm and MatMul. */
import { ModelError } from '../../errors.js';
import { elementCount } from '../tensor.js';
import { broadcastShape, broadcastValue, newValue, transposeValue } from './array.js';
import { readBias, readRows, readWeight } from './operands.js';
import type { Operator } from './operator.js';
import { addProducts } from './products.js';

/** y = x kernelᵀ + bias, kernel [out, in]. */
export const gemm: Operator = async (layer, [x]) => {
  const kernel = layer.weights.kernel!;
  const [batch, features] = x!.shape as [number, number];
  const [out, depth] = kernel.shape as [number, number];
  if (features !== depth) throw new ModelError('engine', `${features} features flow in, but the kernel [${kernel.shape}] takes ${depth}`);
  const bias = await readBias(layer, out);
  const y = newValue([batch, out]);
  for (let n = 0; n < batch; n++) y.data.set(bias, n * out);
  for await (const { start, count, data } of readRows(kernel)) {
    addProducts(data, 0, count, x!.data, batch, depth, { data: y.data, start, strideA: 1, strideB: out });
  }
  return y;
};

/** Matrix products over the last two axes, the leading ones broadcast, as NumPy's matmul with operands of two axes or more. */
export const matMul: Operator = async (layer, [a, second]) => {
  const b = second ?? (await readWeight(layer, 'kernel'));
  const [rows, depth] = a!.shape.slice(-2) as [number, number];
  const columns = b.shape.at(-1)!;
  if (a!.shape.length < 2 || b.shape.length < 2 || b.shape.at(-2) !== depth) {
    throw new ModelError('engine', `a product of [${a!.shape}] and [${b.shape}] is not defined here`);
  }
  const lead = broadcastShape(a!.shape.slice(0, -2), b.shape.slice(0, -2));
  const left = broadcastValue(a!, [...lead, rows, depth]);
  const axes = b.shape.map((_, axis) => axis);
  const turned = transposeValue(b, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
  const right = broadcastValue(turned, [...lead, columns, depth]);
  const y = newValue([...lead, rows, columns]);
  for (let i = 0; i < elementCount(lead); i++) {
    const target = { data: y.data, start: i * rows * columns, strideA: columns, strideB: 1 };
    addProducts(left.data, i * rows * depth, rows, right.data.subarray(i * columns * depth), columns, depth, target);
  }
  return y;
};

/** Rows of a table [count, width], picked by the whole numbers that flow in. */
export const gather: Operator = async (layer, [ids]) => {
  const table = await readWeight(layer, 'table');
  const [count, width] = table.shape as [number, number];
  const y = newValue([...ids!.shape, width]);
  for (let i = 0; i < ids!.data.length; i++) {
    const row = ids!.data[i]!;
    if (!Number.isInteger(row) || row < 0 || row >= count) throw new ModelError('engine', `row ${row} of a table of ${count}`);
    y.data.set(table.data.subarray(row * width, (row + 1) * width), i * width);
  }
  return y;
};
