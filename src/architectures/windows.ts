/** Pictures cut into windows, and where in a window tokens stand to each other (Swin, MaxViT). */
import { derive } from '../model/derivations.js';
import type { Tensor } from '../model/tensor.js';
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
  return derive(biasName(table), 'pair-bias', [table], { side });
}

/**
 * Picks from a table of position biases those of pairs by how far they lie apart, whatever the direction (LeViT, TinyViT).
 *
 * @param table [heads, side * side]
 * @param stride every how many places somebody asks
 * @returns [heads, asking, tokens], of the table's dtype
 */
export function distanceBias(table: Tensor, side: number, stride = 1): Tensor {
  return derive(table.name.replace(/attention_biases$/, 'attention_bias'), 'distance-bias', [table], { side, stride });
}

/**
 * Keeps tokens apart that only a roll brought into one window: -100 where they come from different sides.
 *
 * @returns [windows, 1, tokens, tokens]
 */
export function rollMask(side: number, [height, width]: readonly [number, number], [down, right]: readonly [number, number]): Tensor {
  return derive('mask', 'roll-mask', [], { side, height, width, down, right });
}
