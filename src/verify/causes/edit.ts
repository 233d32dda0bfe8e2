/** Weights and values in another form. Weights stay lazy, so that a part of a large one can be looked at alone. */
import { newValue, type Value } from '../../model/ops/array.js';
import { readOperand } from '../../model/ops/operands.js';
import { computedTensor, elementCount, permute, reshape, type Tensor } from '../../model/tensor.js';

/** Elements of a weight that is held whole: 32 MiB of float64. */
export const MOST_HELD = 2 ** 22;

/** What a reader gets that takes the axes to lie in one order, where they lie in another. */
export function misread(tensor: Tensor, lies: readonly number[], read: readonly number[]): Tensor {
  const shape = read.map((axis) => tensor.shape[axis]!);
  return permute(reshape(permute(tensor, lies), shape), inverse(read));
}

export function inverse(order: readonly number[]): number[] {
  return order.map((_, axis) => order.indexOf(axis));
}

/** One axis split into several, their order changed, and joined again. */
export function shuffled(tensor: Tensor, axis: number, sizes: readonly number[], order: readonly number[]): Tensor {
  const [before, after] = [tensor.shape.slice(0, axis), tensor.shape.slice(axis + 1)];
  const split = reshape(tensor, [...before, ...sizes, ...after]);
  const moved = [...before.keys(), ...order.map((place) => axis + place), ...after.map((_, i) => axis + sizes.length + i)];
  return reshape(permute(split, moved), tensor.shape);
}

/** A weight worked out from another one of the same shape, element by element and in float64. */
export function worked(tensor: Tensor, change: (values: Float64Array) => Float64Array | Promise<Float64Array>): Tensor {
  return computedTensor(tensor.name, 'float64', tensor.shape, tensor.origin, async () => bytesOf(await change((await readOperand(tensor)).data)));
}

export function mapped(tensor: Tensor, change: (value: number, i: number) => number): Tensor {
  return worked(tensor, (values) => values.map(change));
}

/** The elements along an axis moved on by some places; what leaves at the end comes back at the start. */
export function rolled(tensor: Tensor, axis: number, by: number): Tensor {
  const size = tensor.shape[axis]!;
  const inner = elementCount(tensor.shape.slice(axis + 1));
  return worked(tensor, (values) =>
    values.map((_, i) => {
      const place = Math.floor(i / inner) % size;
      return values[i + (((((place - by) % size) + size) % size) - place) * inner]!;
    }),
  );
}

function bytesOf(values: Float64Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Places along one axis of a value. */
export function picked(x: Value, axis: number, places: readonly number[]): Value {
  const [outer, size, inner] = [elementCount(x.shape.slice(0, axis)), x.shape[axis]!, elementCount(x.shape.slice(axis + 1))];
  const y = newValue(x.shape.with(axis, places.length));
  for (let o = 0; o < outer; o++) {
    for (const [i, place] of places.entries())
      y.data.set(x.data.subarray((o * size + place) * inner, (o * size + place + 1) * inner), (o * places.length + i) * inner);
  }
  return { ...y, dtype: x.dtype };
}

export function reversedAlong(x: Value, axis: number): Value {
  return picked(
    x,
    axis,
    Array.from({ length: x.shape[axis]! }, (_, i) => x.shape[axis]! - 1 - i),
  );
}

/** Sizes of groups that an axis may be divided into: what files have it in, and the two ends. */
export function divisors(count: number, most = 8): number[] {
  const found: number[] = [];
  for (let size = 2; size <= count / 2; size++) if (count % size === 0) found.push(size);
  return found.length <= most ? found : [...found.slice(0, most / 2), ...found.slice(-most / 2)];
}
