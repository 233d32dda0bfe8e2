/** Gemm, MatMul and Gather: products with matrices, and rows of tables. */
import { ModelError } from '../../errors.js';
import type { Dim } from '../layer-map.js';
import { elementCount } from '../tensor.js';
import { broadcastShape, broadcastValue, frontAxis, newValue, type Value } from './array.js';
import { divideProducts, isWorthKernels, type Multiplier, pieceProducts } from './multiplier.js';
import { readOperand, readRows, readValues } from './operands.js';
import { int, type Operand, operator, type Shaped } from './operator.js';
import { type Columns, columnTable } from './product-task.js';
import { addProducts, innerProduct } from './products.js';
import { broadcastDims, checkChannelwise, checkedAxis } from './rules.js';

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
  shape({ x, kernel, bias }) {
    if (x.shape.length !== 2 || kernel.shape.length !== 2) throw new ModelError('malformed', `Gemm takes two axes, not [${x.shape}] and [${kernel.shape}]`);
    checkFeatures('Gemm', x, x.shape[1]!, kernel.shape[1]!);
    // One number for all is broadcast, and so is a row, or a column, of them.
    const each = bias?.shape.at(-1) ?? 1;
    if (each !== 1) checkChannelwise('Gemm', kernel.shape[0]!, { bias: { shape: [each] } });
    return [[x.shape[0]!, kernel.shape[0]!]];
  },
  narrow: { kernel: 0 },
  // transB is 1, or 0 where the kernel is stored as [in, out]: the writer decides.
  onnx: { rest: { alpha: { type: 'float', value: 1 }, beta: { type: 'float', value: 1 }, transA: { type: 'int', value: 0 } } },
  async run({ x, kernel, bias }, _, { multiplier }) {
    const input = await readOperand(x);
    const [batch, features] = input.shape as [number, number];
    const [out, depth] = kernel.shape as [number, number];
    if (features !== depth) throw new ModelError('engine', `${features} features flow in, but the kernel [${kernel.shape}] takes ${depth}`);
    const y = newValue([batch, out]);
    if (bias) y.data.set(broadcastValue(await readOperand(bias), [batch, out]).data);
    if (isWorthKernels(out, depth, batch)) {
      const columns = matrixColumns(turned(input.data, batch, depth), batch, multiplier);
      const division = divideProducts(multiplier);
      for await (const { start, count, data } of readRows(kernel)) {
        await division.add(data.subarray(0, count * depth), count, columns, (sums, stride, first, rows) => {
          for (let row = 0; row < rows; row++) for (let n = 0; n < batch; n++) y.data[n * out + start + first + row]! += sums[row * stride + n]!;
        });
        await division.done();
      }
      return [y];
    }
    await addRowProducts(kernel, input.data, batch, depth, y.data, out);
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
  async run({ x, kernel }, _, { multiplier }) {
    const { a, b, y, count, rows, depth, columns } = matrices(await readOperand(x), await readOperand(kernel));
    if (!isWorthKernels(rows, depth, columns)) return [plainly({ a, b, y, count, rows, depth, columns })];
    const division = divideProducts(multiplier);
    for (let i = 0; i < count; i++) {
      const right = matrixColumns(b.data.subarray(i * depth * columns, (i + 1) * depth * columns), columns, multiplier);
      await division.add(a.data.subarray(i * rows * depth, (i + 1) * rows * depth), rows, right, (sums, stride, first, taken) => {
        for (let row = 0; row < taken; row++) {
          y.data.set(sums.subarray(row * stride, row * stride + columns), (i * rows + first + row) * columns);
        }
      });
    }
    await division.done();
    return [y];
  },
});

/** Values that flow in from which the kernel pays. */
const WORTH_LOADING = 256;

/**
 * Adds to y [batch][out] the products of few rows of x with a kernel's rows, as the kernel's values come by: where each is used but a few
 * times, moving them costs more than multiplying.
 */
async function addRowProducts(kernel: Operand, x: Float64Array, batch: number, depth: number, y: Float64Array, out: number): Promise<void> {
  let done = 0;
  const products = batch * depth >= WORTH_LOADING ? pieceProducts(x) : null;
  for await (const values of readValues(kernel)) {
    const isLoaded = products !== null && values instanceof Float32Array;
    if (isLoaded) products.load(values);
    for (let at = 0; at < values.length; ) {
      const row = Math.floor(done / depth);
      const first = done % depth;
      const count = Math.min(depth - first, values.length - at);
      for (let n = 0; n < batch; n++) {
        y[n * out + row]! += isLoaded ? products.product(at, n * depth + first, count) : innerProduct(values, at, x, n * depth + first, count);
      }
      at += count;
      done += count;
    }
  }
}

/** The columns of a matrix, `count` to a row, as kernels take them. */
function matrixColumns(matrix: Float64Array, count: number, multiplier: Multiplier): Columns {
  const table = multiplier.shareTable(
    columnTable(
      Int32Array.from({ length: count }, (_, i) => i),
      multiplier.precision,
    ),
  );
  return { plane: multiplier.share(matrix), channelSize: count, table, window: 1, count };
}

export function multiply(left: Value, right: Value): Value {
  return plainly(matrices(left, right));
}

/** A product of matrices, and what its operands are as lists of matrices of one shape. */
interface Matrices {
  readonly a: Value;
  readonly b: Value;
  /** Zeros, in the shape of the result. */
  readonly y: Value;
  readonly count: number;
  readonly rows: number;
  readonly depth: number;
  readonly columns: number;
}

function matrices(left: Value, right: Value): Matrices {
  const a = left.shape.length === 1 ? { ...left, shape: [1, left.shape[0]!] } : left;
  const b = right.shape.length === 1 ? { ...right, shape: [right.shape[0]!, 1] } : right;
  const [rows, depth] = a.shape.slice(-2) as [number, number];
  const columns = b.shape.at(-1)!;
  if (b.shape.at(-2) !== depth) throw new ModelError('engine', `a product of [${left.shape}] and [${right.shape}] is not defined`);
  const lead = broadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const shape = [...lead, ...(left.shape.length === 1 ? [] : [rows]), ...(right.shape.length === 1 ? [] : [columns])];
  return {
    a: broadcastValue(a, [...lead, rows, depth]),
    b: broadcastValue(b, [...lead, depth, columns]),
    y: newValue(shape),
    count: elementCount(lead),
    rows,
    depth,
    columns,
  };
}

function plainly({ a, b, y, count, rows, depth, columns }: Matrices): Value {
  for (let i = 0; i < count; i++) {
    const right = turned(b.data.subarray(i * depth * columns, (i + 1) * depth * columns), depth, columns);
    addProducts(a.data, i * rows * depth, rows, right, columns, depth, { data: y.data, start: i * rows * columns, strideA: columns, strideB: 1 });
  }
  return y;
}

/** A matrix [rows, columns] as [columns, rows]. */
function turned(data: Float64Array, rows: number, columns: number): Float64Array {
  const made = new Float64Array(data.length);
  for (let row = 0; row < rows; row++) for (let column = 0; column < columns; column++) made[column * rows + row] = data[row * columns + column]!;
  return made;
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
