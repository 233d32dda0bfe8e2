/** Gemm, MatMul and Gather: products with matrices, and rows of tables. */
import { ModelError } from '../../errors.js';
import type { Dim } from '../layer-map.js';
import { elementCount } from '../tensor.js';
import { broadcastShape, broadcastValue, frontAxis, newValue, type Value } from './array.js';
import { readOperand, readRows } from './operands.js';
import { int, operator, type Shaped } from './operator.js';
import { addProducts } from './products.js';
import { broadcastDims, checkedAxis } from './rules.js';

/** What flows in against what a kernel takes. @throws ModelError 'malformed' */
function checkFeatures(op: string, x: Shaped, found: Dim, expected: Dim): void {
  if (typeof found === 'string' || typeof expected === 'string' || found === expected) return;
  throw new ModelError('malformed', `${op} takes ${expected} features, but ${found} flow in (shape [${x.shape}])`);
}

/** y = x kernelᵀ + bias, kernel [out, in]; alpha and beta are 1. */
export const gemm = operator({
  op: 'Gemm',
  slots: ['x', 'kernel', 'bias?'],
  weights: ['kernel', 'bias'],
  attributes: {},
  shape({ x, kernel }) {
    if (x.shape.length !== 2 || kernel.shape.length !== 2) throw new ModelError('malformed', `Gemm takes two axes, not [${x.shape}] and [${kernel.shape}]`);
    checkFeatures('Gemm', x, x.shape[1]!, kernel.shape[1]!);
    return [[x.shape[0]!, kernel.shape[0]!]];
  },
  narrow: { kernel: 0 },
  // transB is 1, or 0 where the kernel is stored as [in, out]: the writer decides.
  onnx: { rest: { alpha: { type: 'float', value: 1 }, beta: { type: 'float', value: 1 }, transA: { type: 'int', value: 0 } } },
  async run({ x, kernel, bias }) {
    const input = await readOperand(x);
    const [batch, features] = input.shape as [number, number];
    const [out, depth] = kernel.shape as [number, number];
    if (features !== depth) throw new ModelError('engine', `${features} features flow in, but the kernel [${kernel.shape}] takes ${depth}`);
    const y = newValue([batch, out]);
    if (bias) y.data.set(broadcastValue(await readOperand(bias), [batch, out]).data);
    for await (const { start, count, data } of readRows(kernel)) {
      addProducts(data, 0, count, input.data, batch, depth, { data: y.data, start, strideA: 1, strideB: out });
    }
    return [y];
  },
});

/**
 * Matrix products over the last two axes, the leading ones broadcast, as NumPy's matmul: an operand of one axis is a row on the left, a
 * column on the right, and its axis is not in the result. A kernel is [in, out].
 */
export const matMul = operator({
  op: 'MatMul',
  slots: ['x', 'kernel'],
  weights: ['kernel'],
  attributes: {},
  plain: { weights: [] },
  holds: (_, { length }) => length === 2,
  shape({ x, kernel }) {
    const [a, b] = [x.shape, kernel.shape];
    if (a.length === 0 || b.length === 0) throw new ModelError('malformed', 'MatMul takes no scalars');
    checkFeatures('MatMul', x, a.at(-1)!, b.at(b.length === 1 ? 0 : -2)!);
    const lead = broadcastDims([a.slice(0, -2), b.slice(0, -2)]);
    return [[...lead, ...(a.length === 1 ? [] : [a.at(-2)!]), ...(b.length === 1 ? [] : [b.at(-1)!])]];
  },
  narrow: { kernel: -1 },
  onnx: {},
  async run({ x, kernel }) {
    const [left, right] = [await readOperand(x), await readOperand(kernel)];
    return [multiply(left, right)];
  },
});

export function multiply(left: Value, right: Value): Value {
  const a = left.shape.length === 1 ? { ...left, shape: [1, left.shape[0]!] } : left;
  const b = right.shape.length === 1 ? { ...right, shape: [right.shape[0]!, 1] } : right;
  const [rows, depth] = a.shape.slice(-2) as [number, number];
  const columns = b.shape.at(-1)!;
  if (b.shape.at(-2) !== depth) throw new ModelError('engine', `a product of [${left.shape}] and [${right.shape}] is not defined`);
  const lead = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const every = broadcastValue(a, [...lead, rows, depth]);
  const turned = turnedColumns(broadcastValue(b, [...lead, depth, columns]), depth, columns);
  const y = newValue([...lead, rows, columns]);
  for (let i = 0; i < elementCount(lead); i++) {
    const target = { data: y.data, start: i * rows * columns, strideA: columns, strideB: 1 };
    addProducts(every.data, i * rows * depth, rows, turned.subarray(i * columns * depth), columns, depth, target);
  }
  const shape = [...lead, ...(left.shape.length === 1 ? [] : [rows]), ...(right.shape.length === 1 ? [] : [columns])];
  return { shape, data: y.data };
}

/** Each matrix [depth, columns] as [columns, depth]. */
function turnedColumns({ data }: Value, depth: number, columns: number): Float64Array {
  const turned = new Float64Array(data.length);
  const size = depth * columns;
  for (let start = 0; start < data.length; start += size) {
    for (let k = 0; k < depth; k++) for (let c = 0; c < columns; c++) turned[start + c * depth + k] = data[start + k * columns + c]!;
  }
  return turned;
}

/** Slices of a table along an axis, picked by the whole numbers that flow in; a weight is a table [count, width] of rows. */
export const gather = operator({
  op: 'Gather',
  slots: ['table', 'indices'],
  weights: ['table'],
  attributes: { axis: int(0) },
  plain: { attributes: { axis: 0 } },
  holds: (_, { length }, _x, { axis = 0 }) => length === 2 && axis === 0,
  shape({ table, indices }, { axis }) {
    const at = checkedAxis(axis, table.shape.length);
    return [[...table.shape.slice(0, at), ...indices.shape, ...table.shape.slice(at + 1)]];
  },
  narrow: { table: 0 },
  onnx: {},
  elements({ table, indices }, { axis }) {
    if (!table.elements || !indices.elements || table.shape.length !== 1 || axis > 0) return undefined;
    const known = table.elements;
    return indices.elements.map((index) => (typeof index === 'number' ? (known[index < 0 ? index + known.length : index] ?? null) : null));
  },
  async run({ table, indices }, { axis }) {
    const [data, { shape: picked, data: places }] = [await readOperand(table), await readOperand(indices)];
    const at = frontAxis(axis, data.shape.length);
    const [outer, count, inner] = [elementCount(data.shape.slice(0, at)), data.shape[at]!, elementCount(data.shape.slice(at + 1))];
    const y = newValue([...data.shape.slice(0, at), ...picked, ...data.shape.slice(at + 1)]);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < places.length; i++) {
        const place = places[i]!;
        const row = place < 0 ? place + count : place;
        if (!Number.isInteger(place) || row < 0 || row >= count) throw new ModelError('engine', `row ${place} of a table of ${count}`);
        y.data.set(data.data.subarray((o * count + row) * inner, (o * count + row + 1) * inner), (o * places.length + i) * inner);
      }
    }
    return [y];
  },
});
