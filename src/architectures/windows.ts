/** Pictures cut into windows, and where in a window tokens stand to each other (Swin, MaxViT). */
import { computedTensor, float32Tensor, type Tensor, tensorBytes } from '../model/tensor.js';
import { type Net, sizeOf, type Value } from './net.js';

/** [batch, height, width, features] to [batch, windows, side * side, features]. */
export function intoWindows(net: Net, x: Value, side: number): Value {
  const [height, width, features] = [sizeOf(x, 1), sizeOf(x, 2), sizeOf(x, 3)];
  const cut = net.reshape(x, [0, height / side, side, width / side, side, features]);
  return net.reshape(net.transpose(cut, [0, 1, 3, 2, 4, 5]), [0, (height / side) * (width / side), side * side, features]);
}

export function fromWindows(net: Net, x: Value, side: number, height: number, width: number): Value {
  const features = sizeOf(x, 3);
  const cut = net.reshape(x, [0, height / side, width / side, side, side, features]);
  return net.reshape(net.transpose(cut, [0, 1, 3, 2, 4, 5]), [0, height, width, features]);
}

/** Moves what stands first along an axis to its end. */
export function rolled(net: Net, x: Value, axis: number, by: number): Value {
  if (by === 0) return x;
  const size = sizeOf(x, axis);
  const at = (by + size) % size;
  return net.concat([net.slice(x, axis, at, size), net.slice(x, axis, 0, at)], axis);
}

/** For each pair of tokens of a window, the row of a table that has one for each difference of places. */
export function relativeIndex(side: number): number[] {
  const places = Array.from({ length: side * side }, (_, i) => [Math.floor(i / side), i % side] as const);
  return places.flatMap(([y, x]) => places.map(([v, u]) => (y - v + side - 1) * (2 * side - 1) + (x - u + side - 1)));
}

/** What the biases of pairs are called, of which a file has only the table. */
export function biasName({ name }: Tensor): string {
  return name.replace(/_table$/, '');
}

/**
 * Picks from a table of position biases the one of each pair of tokens.
 *
 * @param table [differences, heads]
 * @returns [heads, tokens, tokens], of the table's dtype
 */
export function pairBias(table: Tensor, side: number): Tensor {
  const heads = table.shape[1]!;
  const tokens = side * side;
  const index = relativeIndex(side);
  return computedTensor(biasName(table), table.dtype, [heads, tokens, tokens], table.origin, async () => {
    const bytes = await tensorBytes(table);
    const width = bytes.byteLength / (table.shape[0]! * heads);
    const out = new Uint8Array(heads * index.length * width);
    for (let head = 0; head < heads; head++) {
      for (const [pair, row] of index.entries()) {
        const from = (row * heads + head) * width;
        out.set(bytes.subarray(from, from + width), (head * index.length + pair) * width);
      }
    }
    return out;
  });
}

/**
 * Picks from a table of position biases those of pairs by how far they lie apart, whatever the direction (LeViT, TinyViT).
 *
 * @param table [heads, side * side]
 * @param stride every how many places somebody asks
 * @returns [heads, asking, tokens], of the table's dtype
 */
export function distanceBias(table: Tensor, side: number, stride = 1): Tensor {
  const heads = table.shape[0]!;
  const places = Array.from({ length: side * side }, (_, i) => [Math.floor(i / side), i % side] as const);
  const asking = places.filter(([y, x]) => y % stride === 0 && x % stride === 0);
  const index = asking.flatMap(([y, x]) => places.map(([v, u]) => Math.abs(y - v) * side + Math.abs(x - u)));
  const name = table.name.replace(/attention_biases$/, 'attention_bias');
  return computedTensor(name, table.dtype, [heads, asking.length, places.length], table.origin, async () => {
    const bytes = await tensorBytes(table);
    const width = bytes.byteLength / (heads * places.length);
    const out = new Uint8Array(heads * index.length * width);
    for (let head = 0; head < heads; head++) {
      for (const [pair, column] of index.entries()) {
        const from = (head * places.length + column) * width;
        out.set(bytes.subarray(from, from + width), (head * index.length + pair) * width);
      }
    }
    return out;
  });
}

/**
 * Keeps tokens apart that only a roll brought into one window: -100 where they come from different sides.
 *
 * @returns [windows, 1, tokens, tokens]
 */
export function rollMask(side: number, sizes: readonly [number, number], shifts: readonly [number, number]): Tensor {
  const region = (at: number, size: number, shift: number) => (shift === 0 || at >= size - shift ? 2 : at < size - side ? 0 : 1);
  const [rows, columns] = [sizes[0] / side, sizes[1] / side];
  const tokens = side * side;
  const regionOf = (window: number, token: number) => {
    const y = Math.floor(window / columns) * side + Math.floor(token / side);
    const x = (window % columns) * side + (token % side);
    return 3 * region(y, sizes[0], shifts[0]) + region(x, sizes[1], shifts[1]);
  };
  const values = new Float32Array(rows * columns * tokens * tokens);
  for (let window = 0; window < rows * columns; window++) {
    const regions = Array.from({ length: tokens }, (_, token) => regionOf(window, token));
    for (const [i, a] of regions.entries()) {
      for (const [j, b] of regions.entries()) values[(window * tokens + i) * tokens + j] = a === b ? 0 : -100;
    }
  }
  return float32Tensor('mask', [rows * columns, 1, tokens, tokens], values, { file: '' });
}
