/**
 * Sparse tensors of TensorFlow Lite: of each axis, in the order in which they are gone through, either all places are stored or the ones that
 * a list names (compressed sparse rows); axes may be cut into blocks, which are stored whole.
 *
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/lite/schema/schema.fbs, SparsityParameters, and
 *   lite/kernels/internal/utils/sparsity_format_converter.cc
 */
import { Budget } from '../bytes/budget.js';
import { type ErrorPlace, ModelError } from '../errors.js';
import { DTYPE_BYTES } from '../model/dtype.js';
import { computedTensor, elementCount, rowMajorStrides, type Tensor, tensorBytes } from '../model/tensor.js';
import type { FlatBuffer, Span, Table } from './flatbuffer.js';

const SPARSITY = { order: 0, blocks: 1, levels: 2 } as const;
const LEVEL = { format: 0, size: 1, segmentsType: 2, segments: 3, indicesType: 4, indices: 5 } as const;
/** Bytes of an element of Int32Vector, Uint16Vector, Uint8Vector. */
const WIDTHS = [0, 4, 2, 1];
/** A tensor is held whole while it is spread out: those of pruned nets are smaller. */
const MAX_DENSE_BYTES = 2 ** 27;
/** Of a file's size: weights of which one in a hundred is left, and some room for small files. */
const DENSE_FACTOR = 200;
const FREE_DENSE_BYTES = 2 ** 24;
const MAX_LEVELS = 16;

/** What all sparse tensors of a file together may become. */
export function sparseBudget(buffer: FlatBuffer): Budget {
  return new Budget(FREE_DENSE_BYTES + DENSE_FACTOR * buffer.source.byteLength, 'sparse tensors', buffer.source.name);
}

interface Level {
  /** How far a place of it is from the next one in the dense tensor. */
  readonly stride: number;
  readonly size: number;
  /** Which places are stored; null where all are. */
  readonly stored: { readonly segments: List; readonly indices: List } | null;
}

interface List extends Span {
  readonly width: number;
}

/**
 * A tensor as if it were stored densely. Nothing of it is read before its bytes are.
 *
 * @param stored what the file has of it, in the order in which the levels are gone through, as a list
 * @throws ModelError 'malformed' where the levels do not make the shape, 'unsafe' where it is far larger than the file
 */
export async function denseTensor(
  buffer: FlatBuffer,
  table: Table,
  stored: Tensor,
  shape: readonly number[],
  budget: Budget,
  place: ErrorPlace,
): Promise<Tensor> {
  const { dtype, name, origin } = stored;
  const byteLength = elementCount(shape) * DTYPE_BYTES[dtype];
  if (!(byteLength <= MAX_DENSE_BYTES))
    throw new ModelError('unsupported', `it is stored sparsely and takes ${byteLength} bytes, more than ${MAX_DENSE_BYTES}`, place);
  budget.spend(byteLength);
  const levels = await readLevels(buffer, table, shape, place);
  return computedTensor(name, dtype, shape, origin, async () =>
    spread(await tensorBytes(stored), DTYPE_BYTES[dtype], byteLength, await listsOf(buffer, levels), place),
  );
}

async function readLevels(buffer: FlatBuffer, table: Table, shape: readonly number[], place: ErrorPlace): Promise<Level[]> {
  const contradiction = (what: string) => new ModelError('malformed', `it is stored sparsely, and ${what}`, place);
  const order = await buffer.int32s(table, SPARSITY.order);
  const blocks = await buffer.int32s(table, SPARSITY.blocks);
  const tables = await buffer.tables(table, SPARSITY.levels);
  const rank = shape.length;
  if (order.length !== rank + blocks.length || tables.length !== order.length || order.length > MAX_LEVELS) {
    throw contradiction(`${order.length} axes in order and ${tables.length} levels do not make ${rank} axes and ${blocks.length} of blocks`);
  }
  const isOrder = (part: readonly number[], first: number) => part.toSorted((a, b) => a - b).every((axis, i) => axis === first + i);
  if (!isOrder(order.slice(0, rank), 0) || !isOrder(order.slice(rank), rank)) throw contradiction(`its axes have the order [${order}]`);
  if (blocks.some((axis, i) => axis < 0 || axis >= rank || (i > 0 && axis <= blocks[i - 1]!))) throw contradiction(`its blocks are of the axes [${blocks}]`);
  // The runtime takes a block's size from the level of its number, others from that of its place.
  if (order.slice(rank).some((axis, i) => axis !== rank + i)) throw new ModelError('unsupported', 'it is stored sparsely, in blocks that are turned', place);
  const sizes = await Promise.all(tables.map((level) => buffer.int32(level, LEVEL.size)));
  const strides = rowMajorStrides(shape);
  const levels: Level[] = [];
  for (const [i, axis] of order.entries()) {
    const level = tables[i]!;
    const isDense = (await buffer.byte(level, LEVEL.format)) === 0;
    const block = axis < rank ? blocks.indexOf(axis) : -1;
    const inBlock = block < 0 ? 1 : sizes[rank + block]!;
    if (axis >= rank && !(isDense && sizes[i]! > 0)) throw contradiction('a block is none that is stored whole');
    if (axis < rank && !(inBlock > 0 && shape[axis]! % inBlock === 0)) throw contradiction(`blocks of ${inBlock} do not make an axis of ${shape[axis]}`);
    const size = axis < rank ? shape[axis]! / inBlock : sizes[i]!;
    if (isDense && sizes[i] !== size) throw contradiction(`a level has ${sizes[i]} places where there are ${size}`);
    const list = async (type: number, field: number): Promise<List> => {
      const width = WIDTHS[await buffer.byte(level, type)] ?? 0;
      const values = await buffer.child(level, field);
      if (width === 0 || !values) throw contradiction('a level has no list of its places');
      const span = await buffer.vector(values, 0, width);
      // Lists may be shared by many tensors: what is read for each follows from what it is.
      if (span.count > elementCount(shape) + 1) throw contradiction(`a level lists ${span.count} places`);
      return { ...span, width };
    };
    const stored = isDense ? null : { segments: await list(LEVEL.segmentsType, LEVEL.segments), indices: await list(LEVEL.indicesType, LEVEL.indices) };
    levels.push({ stride: strides[axis < rank ? axis : blocks[axis - rank]!]! * inBlock, size, stored });
  }
  return levels;
}

type OpenLevel = Omit<Level, 'stored'> & { readonly stored: { readonly segments: readonly number[]; readonly indices: readonly number[] } | null };

async function listsOf(buffer: FlatBuffer, levels: readonly Level[]): Promise<OpenLevel[]> {
  const numbers = async ({ start, count, width }: List) => {
    const bytes = await buffer.source.read(start, start + count * width);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    return Array.from({ length: count }, (_, i) => (width === 1 ? view.getUint8(i) : width === 2 ? view.getUint16(2 * i, true) : view.getInt32(4 * i, true)));
  };
  return Promise.all(
    levels.map(async ({ stored, ...level }) => ({
      ...level,
      stored: stored && { segments: await numbers(stored.segments), indices: await numbers(stored.indices) },
    })),
  );
}

/** The dense tensor's bytes, zeros where nothing is stored. */
function spread(stored: Uint8Array, unit: number, byteLength: number, levels: readonly OpenLevel[], place: ErrorPlace): Uint8Array {
  const contradiction = () => new ModelError('malformed', 'it is stored sparsely, and what its levels name is not what is stored', place);
  const dense = new Uint8Array(byteLength);
  let next = 0;
  const walk = (at: number, above: number, place: number): void => {
    const level = levels[at];
    if (!level) {
      if (next + unit > stored.byteLength) throw contradiction();
      for (let i = 0; i < unit; i++) dense[place * unit + i] = stored[next + i]!;
      next += unit;
      return;
    }
    const { size, stride, stored: named } = level;
    if (!named) {
      for (let i = 0; i < size; i++) walk(at + 1, above * size + i, place + i * stride);
      return;
    }
    const [start, end] = [named.segments[above], named.segments[above + 1]];
    if (start === undefined || end === undefined || start < 0 || end > named.indices.length) throw contradiction();
    // Places that are named again and again would be gone through at each level, and a few of those come to more than ever ends.
    for (let i = start, before = -1; i < end; i++) {
      const index = named.indices[i]!;
      if (index <= before || index >= size) throw contradiction();
      before = index;
      walk(at + 1, i, place + index * stride);
    }
  };
  walk(0, 0, 0);
  if (next !== stored.byteLength) throw contradiction();
  return dense;
}
