/**
 * Matrix products as work for the kernels of `product-kernels.wat`: what lies where in their memory, and what is called.
 *
 * Every sum goes over its products in the order of the depth, in blocks of `DEPTH` that are added up in float64, whatever rows and columns a
 * task has: so it has the same bits however the work was divided.
 */

/**
 * What products are computed in. `float32`: both factors and their product are rounded to float32, and sums of up to 64 of them, which are
 * then added up in float64: a sum is off by at most 66 x 2^-24 = 4e-6 of the sum of its products' magnitudes, however many there are.
 */
export type Precision = 'float64' | 'float32';

export type Factors = Float64Array | Float32Array;

/** Work in a memory of its own, which is zero or has anything in it. */
export interface ProductTask {
  readonly byteLength: number;
  readonly writes: readonly { readonly at: number; readonly data: Factors | Int32Array }[];
  /** Exports of the kernels, with their arguments. */
  readonly calls: readonly (readonly [name: string, ...args: number[]])[];
  /** The sums, float64, [rows][stride]. */
  readonly sums: { readonly at: number; readonly count: number; readonly stride: number };
  /** Multiplications. */
  readonly work: number;
}

/** Columns of the right factor that need not lie side by side: windows of a convolution, or the columns of a matrix. */
export interface Columns {
  /** [channels][channelSize], of the precision's type */
  readonly plane: Factors;
  readonly channelSize: number;
  /** See `columnTable`. */
  readonly table: Int32Array;
  /** Places of the window, each a row of the table. */
  readonly window: number;
  readonly count: number;
}

/** Elements of the depth, and columns, that are laid out at a time: 256 KiB of float64 stay in a core's cache. */
const DEPTH = 256;
const COLUMNS = 128;
/** Nothing lies at address 0, where kernels read a little before what they need. */
const START = 64;
/** What kernels read beyond a table's end. */
const BEYOND = 8;

/** Memory beyond which plain loops do the work: its factors alone are large then. */
export const MOST_BYTES = 2 ** 30;

/**
 * Offsets, for kernels, of what each column reads at each place of its window.
 *
 * @param places for each place of the window, then each column: the index inside a channel, -1 where zero stands
 */
export function columnTable(places: Int32Array, precision: Precision): Int32Array {
  const size = bytesOf(precision);
  const table = new Int32Array(places.length + BEYOND);
  for (let i = 0; i < places.length; i++) table[i] = places[i]! * size;
  return table;
}

/**
 * The products of rows with columns.
 *
 * @param rows [count][depth], of the precision's type; depth is the window times the channels
 */
export function planProducts(rows: Factors, count: number, depth: number, columns: Columns, precision: Precision): ProductTask {
  const size = bytesOf(precision);
  const bits = size * 8;
  const perPanel = 32 / size;
  const strips = Math.ceil(count / 4);
  const stride = Math.ceil(columns.count / perPanel) * perPanel;
  let end = START;
  const place = (byteLength: number) => {
    const at = end;
    end += Math.ceil(byteLength / 16) * 16 + 16;
    return at;
  };
  const plane = place(columns.plane.byteLength);
  const table = place(columns.table.byteLength);
  const source = place(rows.byteLength);
  const stripsAt = place(strips * 4 * depth * size);
  const panelsAt = place(COLUMNS * DEPTH * size);
  const sums = place(strips * 4 * stride * 8);
  const { window, channelSize } = columns;
  const tableStride = ((columns.table.length - BEYOND) / window) * 4;
  const calls: [string, ...number[]][] = [['clear', sums, strips * 4 * stride * 8]];
  const blocks = Array.from({ length: Math.ceil(depth / DEPTH) }, (_, i) => ({ k: i * DEPTH, deep: Math.min(DEPTH, depth - i * DEPTH) }));
  const stripsOf = (k: number) => stripsAt + k * strips * 4 * size;
  for (const { k, deep } of blocks) calls.push([`strips${bits}`, stripsOf(k), source + k * size, count, depth * size, deep]);
  // All of the depth for some columns, then the next columns: their sums stay in a core's cache until they are complete.
  for (let column = 0; column < columns.count; column += COLUMNS) {
    const wide = Math.min(COLUMNS, columns.count - column);
    for (const { k, deep } of blocks) {
      const channel = plane + Math.floor(k / window) * channelSize * size;
      calls.push([`panels${bits}`, panelsAt, channel, channelSize * size, table + column * 4, tableStride, window, k % window, deep, wide]);
      calls.push([`products${bits}`, stripsOf(k), strips, panelsAt, Math.ceil(wide / perPanel), deep, sums + column * 8, stride * 8]);
    }
  }
  return {
    byteLength: end,
    writes: [
      { at: plane, data: columns.plane },
      { at: table, data: columns.table },
      { at: source, data: rows },
    ],
    calls,
    sums: { at: sums, count: count * stride, stride },
    work: count * depth * columns.count,
  };
}

export function bytesOf(precision: Precision): 4 | 8 {
  return precision === 'float32' ? 4 : 8;
}

/** Values as the precision's type; shared where they are of it. */
export function factorsOf(data: Float64Array, precision: Precision): Factors {
  return precision === 'float32' ? new Float32Array(data) : data;
}
