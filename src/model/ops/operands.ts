/** Inputs that may be stored weights, as float64: read when a layer runs, whole where they are small, row by row where they must not be held. */
import { ModelError } from '../../errors.js';
import { toFloat32Array, toFloat64Array } from '../cast.js';
import { elementCount, type Tensor, tensorBytes, tensorChunks } from '../tensor.js';
import { newValue, type Value } from './array.js';
import type { Operand } from './operator.js';

/** Elements per block of rows: 16 MiB of float64, so that a 411 MB matrix is never held. */
const BLOCK_ELEMENTS = 2 ** 21;

export function isStored(operand: Operand): operand is Tensor {
  return 'walk' in operand;
}

/** An input, whole. */
export async function readOperand(operand: Operand): Promise<Value> {
  if (!isStored(operand)) return operand;
  return { shape: operand.shape, data: toFloat64Array(await tensorBytes(operand), operand.dtype), dtype: operand.dtype };
}

/** A bias of `count` elements; zeros where the layer has none. */
export async function readBias(bias: Operand | undefined, count: number): Promise<Float64Array> {
  if (!bias) return new Float64Array(count);
  const { data } = await readOperand(bias);
  if (data.length !== count) throw new ModelError('engine', `the bias has ${data.length} elements, expected ${count}`);
  return data;
}

export interface RowBlock {
  /** Index of the first row. */
  readonly start: number;
  /** Rows in the block. */
  readonly count: number;
  /** [count, elements of a row]; valid until the next block is asked for. */
  readonly data: Float64Array;
}

/** Walks a weight once, in pieces of any length. float32 comes as it is, everything else as float64; a piece is valid until the next is asked for. */
export async function* readValues(operand: Operand): AsyncGenerator<Float64Array | Float32Array> {
  if (!isStored(operand)) yield operand.data;
  else
    for await (const chunk of tensorChunks(operand))
      yield operand.dtype === 'float32' ? toFloat32Array(chunk, 'float32') : toFloat64Array(chunk, operand.dtype);
}

/** Walks a weight once, in blocks of rows; a row is everything behind the first axis. */
export async function* readRows(operand: Operand): AsyncGenerator<RowBlock> {
  if (!isStored(operand)) {
    if (operand.data.length > 0) yield { start: 0, count: operand.shape[0]!, data: operand.data };
    return;
  }
  const tensor = operand;
  const rows = tensor.shape[0]!;
  const rowLength = elementCount(tensor.shape.slice(1));
  if (rows * rowLength === 0) return;
  const perBlock = Math.min(rows, Math.max(1, Math.floor(BLOCK_ELEMENTS / rowLength)));
  const block = newValue([perBlock, rowLength]).data;
  let start = 0;
  let filled = 0;
  for await (const chunk of tensorChunks(tensor)) {
    const values = toFloat64Array(chunk, tensor.dtype);
    let taken = 0;
    while (taken < values.length) {
      const size = Math.min(values.length - taken, block.length - filled);
      block.set(values.subarray(taken, taken + size), filled);
      taken += size;
      filled += size;
      if (filled < block.length) continue;
      yield { start, count: perBlock, data: block };
      start += perBlock;
      filled = 0;
    }
  }
  if (filled > 0) yield { start, count: filled / rowLength, data: block };
}
