/**
 * The largest singular values of a matrix that is streamed, by a randomised range finder: a block of random columns is multiplied with the matrix, once
 * with its transpose and once more, so that small singular values fade; what is new in it is a part of the range. Blocks are added until they hold
 * the energy that is wanted.
 *
 * @see Halko, Martinsson and Tropp, "Finding structure with randomness", SIAM Review 2011, algorithms 4.2 and 4.4
 */
import { castTensor, toFloat32Array } from '../model/cast.js';
import { divideProducts, localMultiplier } from '../model/ops/multiplier.js';
import { columnTable } from '../model/ops/product-task.js';
import { permute, type Tensor, tensorChunks } from '../model/tensor.js';

/** matrix ≈ left right, with the root of each singular value on both sides. */
export interface LowRank {
  readonly rank: number;
  /** [rows, rank] */
  readonly left: Float32Array;
  /** [rank, columns] */
  readonly right: Float32Array;
  /** Part of the sum of squares that is left. */
  readonly energy: number;
}

export interface Wanted {
  /** Part of the sum of squares; null for a rank. */
  readonly energy: number | null;
  readonly rank: number | null;
  /** Largest rank that is worth anything. */
  readonly most: number;
}

const BLOCK = 64;
/** Columns more than the rank that is asked for, so that the last ones are right as well. */
const MORE = 8;
/** Rows that are multiplied at a time. */
const ROWS = 128;

/** @param matrix of two axes @returns null where so much energy takes a larger rank than is worth anything */
export async function lowRank(matrix: Tensor, { energy, rank, most }: Wanted): Promise<LowRank | null> {
  const [rows, columns] = matrix.shape as [number, number];
  const [plain, turned] = [castTensor(matrix, 'float32'), castTensor(permute(matrix, [1, 0]), 'float32')];
  const total = await squares(plain);
  const limit = Math.min(rows, columns, rank === null ? most : rank + MORE);
  const random = gaussians();
  /** Columns of the range, and what the matrix has along each: [rows] and [columns] each. */
  const [range, along]: Float64Array[][] = [[], []];
  let held = 0;
  while (range!.length < limit) {
    const width = Math.min(rank === null ? BLOCK : limit, limit - range!.length);
    const first = orthonormal(
      await product(
        plain,
        Array.from({ length: width }, () => Float64Array.from({ length: columns }, random)),
        rows,
      ),
      range!,
    );
    const back = orthonormal(await product(turned, first, columns), []);
    const fresh = orthonormal(await product(plain, back, rows), range!);
    const seen = await product(turned, fresh, columns);
    const gain = seen.reduce((sum, column) => sum + column.reduce((a, b) => a + b * b, 0), 0);
    range!.push(...fresh);
    along!.push(...seen);
    held += gain;
    if (fresh.length === 0 || total === 0 || (energy !== null && held >= energy * total)) break;
    // Later blocks hold no more than this one.
    if (energy !== null && range!.length + (fresh.length * (energy * total - held)) / gain > limit && limit < Math.min(rows, columns)) return null;
  }
  if (total === 0 || range!.length === 0) return null;
  return factors(range!, along!, { rows, columns, total }, { energy, rank, most });
}

/** The same of a lower rank: the largest singular values alone. */
export function truncated({ rank, left, right, energy }: LowRank, wanted: number): LowRank {
  const [rows, columns] = [left.length / rank, right.length / rank];
  const part = Float32Array.from({ length: rows * wanted }, (_, i) => left[Math.floor(i / wanted) * rank + (i % wanted)]!);
  // A singular value is the sum of squares of its row.
  const squares = Array.from({ length: rank }, (_, k) => right.subarray(k * columns, (k + 1) * columns).reduce((sum, value) => sum + value * value, 0) ** 2);
  const held = squares.slice(0, wanted).reduce((sum, value) => sum + value, 0) / squares.reduce((sum, value) => sum + value, 0);
  return { rank: wanted, left: part, right: right.slice(0, wanted * columns), energy: energy * held };
}

/** The factors of `range` times `along` transposed. */
function factors(range: Float64Array[], along: Float64Array[], size: { rows: number; columns: number; total: number }, wanted: Wanted): LowRank | null {
  const { values, vectors } = eigen(along.map((a) => Float64Array.from(along, (b) => dot(a, b))));
  let [rank, held] = [0, 0];
  while (rank < values.length && (wanted.rank === null ? held < wanted.energy! * size.total : rank < wanted.rank)) held += Math.max(0, values[rank++]!);
  if (rank === 0 || rank > wanted.most || (wanted.energy !== null && held < wanted.energy * size.total * (1 - 1e-6))) return null;
  const [left, right] = [new Float32Array(size.rows * rank), new Float32Array(rank * size.columns)];
  for (let k = 0; k < rank; k++) {
    const root = Math.max(values[k]!, Number.MIN_VALUE) ** 0.25;
    const [u, v] = [new Float64Array(size.rows), new Float64Array(size.columns)];
    for (const [i, column] of range.entries()) {
      addTo(u, column, vectors[k]![i]! * root);
      addTo(v, along[i]!, vectors[k]![i]! / root);
    }
    for (let i = 0; i < size.rows; i++) left[i * rank + k] = u[i]!;
    right.set(v, k * size.columns);
  }
  return { rank, left, right, energy: Math.min(1, held / size.total) };
}

/** matrix times some columns, streamed row by row. */
async function product(matrix: Tensor, columns: readonly Float64Array[], rows: number): Promise<Float64Array[]> {
  const depth = matrix.shape[1]!;
  const count = columns.length;
  const made = columns.map(() => new Float64Array(rows));
  if (count === 0) return made;
  const plane = new Float32Array(depth * count);
  for (const [c, column] of columns.entries()) for (let i = 0; i < depth; i++) plane[i * count + c] = column[i]!;
  const division = divideProducts(localMultiplier('float32'));
  const table = columnTable(
    Int32Array.from({ length: count }, (_, i) => i),
    'float32',
  );
  const held = new Float64Array(Math.min(rows, ROWS) * depth);
  let [filled, row] = [0, 0];
  const multiply = async () => {
    const taken = filled / depth;
    const start = row;
    await division.add(held.subarray(0, filled), taken, { plane, channelSize: count, table, window: 1, count }, (sums, stride, first, part) => {
      for (let r = 0; r < part; r++) for (let c = 0; c < count; c++) made[c]![start + first + r] = sums[r * stride + c]!;
    });
    await division.done();
    [filled, row] = [0, row + taken];
  };
  for await (const chunk of tensorChunks(matrix)) {
    const values = toFloat32Array(chunk, 'float32');
    for (let at = 0; at < values.length; ) {
      const taken = Math.min(held.length - filled, values.length - at);
      held.set(values.subarray(at, at + taken), filled);
      [filled, at] = [filled + taken, at + taken];
      if (filled === held.length) await multiply();
    }
  }
  if (filled > 0) await multiply();
  return made;
}

async function squares(matrix: Tensor): Promise<number> {
  let sum = 0;
  for await (const chunk of tensorChunks(matrix)) for (const value of toFloat32Array(chunk, 'float32')) sum += value * value;
  return sum;
}

/** What columns have beyond those of a basis, each of length one and at right angles; less of them where that is nothing. */
function orthonormal(columns: readonly Float64Array[], basis: readonly Float64Array[]): Float64Array[] {
  const made: Float64Array[] = [];
  for (const column of columns) {
    const before = Math.sqrt(dot(column, column));
    // Twice is enough: what the first time leaves of the others is rounding.
    for (let time = 0; time < 2; time++) for (const other of [...basis, ...made]) addTo(column, other, -dot(column, other));
    const length = Math.sqrt(dot(column, column));
    if (length > before * 1e-6) made.push(column.map((value) => value / length));
  }
  return made;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function addTo(target: Float64Array, column: Float64Array, factor: number): void {
  for (let i = 0; i < target.length; i++) target[i] = target[i]! + column[i]! * factor;
}

const MOST_SWEEPS = 30;

/**
 * Eigenvalues of a symmetric matrix, the largest first, and their vectors: cyclic Jacobi rotations.
 *
 * @param matrix changed
 */
export function eigen(matrix: Float64Array[]): { readonly values: readonly number[]; readonly vectors: readonly Float64Array[] } {
  const n = matrix.length;
  const vectors = matrix.map((_, i) => Float64Array.from({ length: n }, (_, j) => (i === j ? 1 : 0)));
  const norm = matrix.reduce((sum, row) => sum + dot(row, row), 0);
  for (let sweep = 0; sweep < MOST_SWEEPS; sweep++) {
    let off = 0;
    for (let p = 0; p < n; p++) for (let q = p + 1; q < n; q++) off += matrix[p]![q]! ** 2;
    if (off <= norm * 1e-22) break;
    for (let p = 0; p < n; p++) {
      for (let q = p + 1; q < n; q++) {
        const [a, b] = [matrix[p]!, matrix[q]!];
        if (a[q]! ** 2 <= norm * 1e-30) continue;
        const theta = (b[q]! - a[p]!) / (2 * a[q]!);
        const t = (theta >= 0 ? 1 : -1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
        const c = 1 / Math.sqrt(t * t + 1);
        rotate(a, b, c, t * c);
        for (const row of matrix) {
          const [x, y] = [row[p]!, row[q]!];
          row[p] = c * x - t * c * y;
          row[q] = t * c * x + c * y;
        }
        rotate(vectors[p]!, vectors[q]!, c, t * c);
      }
    }
  }
  const order = matrix.map((_, i) => i).sort((i, j) => matrix[j]![j]! - matrix[i]![i]!);
  return { values: order.map((i) => matrix[i]![i]!), vectors: order.map((i) => vectors[i]!) };
}

function rotate(a: Float64Array, b: Float64Array, c: number, s: number): void {
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    a[i] = c * x - s * y;
    b[i] = s * x + c * y;
  }
}

/** The same numbers every time. */
function gaussians(): () => number {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}
