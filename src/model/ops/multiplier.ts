/** Who does the products of large layers: this thread, or several (`verify/reference/threads.ts`). */
import { PRODUCT_KERNELS } from '../product-kernels.js';
import { type Columns, type Factors, factorsOf, type Precision, type ProductTask, planProducts } from './product-task.js';

export interface Multiplier {
  readonly precision: Precision;
  /** How many tasks are done at once. */
  readonly width: number;
  /** Values as a task takes them, where many tasks will read them. */
  share(data: Float64Array): Factors;
  shareTable(table: Int32Array): Int32Array;
  /** @param take gets the sums, [rows][stride], which are not kept */
  perform(task: ProductTask, take: (sums: Float64Array) => void): Promise<void>;
}

/** Rows of one task at most: with what is laid out beside them they stay in a core's cache. */
export const ROWS = 128;
/** Multiplications from which rows are divided among threads. */
const WORTH_DIVIDING = 2 ** 24;
/** Fewer are not worth laying out. */
const LEAST_WORK = 20_000;

/** Whether kernels do products sooner than plain loops: they take four rows by four columns at once. */
export function isWorthKernels(rows: number, depth: number, columns: number): boolean {
  return rows >= 4 && columns >= 4 && rows * depth * columns >= LEAST_WORK;
}

/** What is done with the sums [rows][stride] of some rows, the first of which is `row`. */
export type TakeSums = (sums: Float64Array, stride: number, row: number, rows: number) => void;

/** Divides products among as many tasks as a multiplier does at once. */
export interface Division {
  /** @param rows [count][depth]; not read any more when this is done */
  add(rows: Float64Array, count: number, columns: Columns, take: TakeSums): Promise<void>;
  /** Waits for all. */
  done(): Promise<void>;
}

export function divideProducts(multiplier: Multiplier): Division {
  const { precision, width } = multiplier;
  const pending: Promise<void>[] = [];
  return {
    async add(rows, count, columns, take) {
      const depth = rows.length / count;
      const parts = rows.length * columns.count < WORTH_DIVIDING ? 1 : width;
      const perTask = Math.min(ROWS, Math.ceil(count / parts / 4) * 4);
      for (let row = 0; row < count; row += perTask) {
        const taken = Math.min(perTask, count - row);
        const task = planProducts(factorsOf(rows.subarray(row * depth, (row + taken) * depth), precision), taken, depth, columns, precision);
        pending.push(multiplier.perform(task, (sums) => take(sums, task.sums.stride, row, taken)));
        if (pending.length >= width) await pending.shift();
      }
    },
    async done() {
      await Promise.all(pending.splice(0));
    },
  };
}

const PAGE_BYTES = 65_536;
let compiled: WebAssembly.Module | null = null;

/** The kernels, a `WebAssembly.Module` to be instantiated with a memory as `js.memory`; programs that are not pages have no type of that name. */
export function productKernels(): object {
  return compiledKernels();
}

function compiledKernels(): WebAssembly.Module {
  compiled ??= new WebAssembly.Module(Uint8Array.from(atob(PRODUCT_KERNELS), (character) => character.charCodeAt(0)));
  return compiled;
}

/** Inner products of some float64 with float32 that come in pieces: what `innerProduct` gives, to the bit. */
export interface PieceProducts {
  /** Puts a piece in place of the one before it. */
  load(piece: Float32Array): void;
  /** Of the piece from `at` on with the float64 from `from` on. */
  product(at: number, from: number, count: number): number;
}

export function pieceProducts(factors: Float64Array): PieceProducts {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(factors.byteLength / PAGE_BYTES) });
  const { dot } = new WebAssembly.Instance(compiledKernels(), { js: { memory } }).exports as { dot: (a: number, b: number, count: number) => number };
  new Float64Array(memory.buffer, 0, factors.length).set(factors);
  const start = factors.byteLength;
  return {
    load(piece) {
      const missing = start + piece.byteLength - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
      new Float32Array(memory.buffer, start, piece.length).set(piece);
    },
    product: (at, from, count) => dot(start + at * 4, from * 8, count),
  };
}

/** In this thread, in a memory that goes with the multiplier, or sooner where it has become larger than what is kept. */
export function localMultiplier(precision: Precision, mostKept = Number.POSITIVE_INFINITY): Multiplier {
  let bench: { readonly memory: WebAssembly.Memory; readonly kernels: Record<string, (...args: number[]) => void> } | null = null;
  return {
    precision,
    width: 1,
    share: (data) => factorsOf(data, precision),
    shareTable: (table) => table,
    async perform({ byteLength, writes, calls, sums }, take) {
      if (!bench) {
        const memory = new WebAssembly.Memory({ initial: 1 });
        bench = { memory, kernels: new WebAssembly.Instance(compiledKernels(), { js: { memory } }).exports as never };
      }
      const { memory, kernels } = bench;
      const missing = byteLength - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / PAGE_BYTES));
      for (const { at, data } of writes) new (data.constructor as Float64ArrayConstructor)(memory.buffer, at, data.length).set(data);
      for (const [name, ...args] of calls) kernels[name]!(...args);
      take(new Float64Array(memory.buffer, sums.at, sums.count));
      if (memory.buffer.byteLength > mostKept) bench = null;
    },
  };
}

/** What most layers need. */
const MOST_KEPT = 2 ** 23;

/** For layers that are evaluated one by one: a memory of its own for each of thousands is what the garbage collector is busy with then. */
export const ownMultiplier: Multiplier = localMultiplier('float64', MOST_KEPT);
