/**
 * Orders in which one tensor's values may be those of another: axes permuted, flipped, flattened channels-first or channels-last, rows
 * in any order. Which of them to try is told by what no order alters; each is tried on its first values before all are read.
 */
import { DTYPE_BYTES } from '../model/dtype.js';
import { alignedPieces, valuesOf } from '../model/side-by-side.js';
import { elementCount, flip, permute, reshape, sliceAxis, type Tensor, tensorByteLength, tensorBytes, tensorChunks } from '../model/tensor.js';
import type { Invariants } from './compare.js';
import type { Change } from './document.js';

export interface Arrangement {
  readonly changes: readonly Change[];
  /** a in the order of b, of its shape. */
  readonly tensor: Tensor;
}

/** All orders of more axes are too many to try, and no framework mixes so many. */
const MAX_RANK = 5;

/**
 * The orders that lead from a's shape to b's, simple ones first; as they are is none.
 *
 * @param isPermuted whether nothing but the order can differ, so that orders within an axis are worth trying
 */
export function* arrangements(a: Tensor, b: Tensor, isPermuted: boolean): Generator<Arrangement> {
  if (elementCount(a.shape) !== elementCount(b.shape) || Math.max(a.shape.length, b.shape.length) > MAX_RANK) return;
  const turned: Arrangement[] = a.shape.length >= b.shape.length ? turnedToFit(a, b) : turnedFrom(a, b);
  yield* turned.filter(({ changes }) => changes.length > 0);
  if (!isPermuted) return;
  for (const { tensor, changes } of turned)
    for (const axes of flips(tensor.shape)) yield { tensor: flip(tensor, axes), changes: [...changes, flipOf(axes, tensor.shape)] };
  for (const { tensor, changes } of turned) {
    for (const axis of tensor.shape.keys()) {
      for (const inner of divisors(tensor.shape[axis]!)) {
        const outer = tensor.shape[axis]! / inner;
        const order: Change = { kind: 'flatten-order', text: `flattened as ${inner} x ${outer} for ${outer} x ${inner}`, keepsValues: true };
        yield { tensor: reflattened(tensor, axis, outer, inner), changes: [...changes, order] };
      }
    }
  }
}

/** a's axes in every order, read as b's shape. */
function turnedToFit(a: Tensor, b: Tensor): Arrangement[] {
  const isSameRank = a.shape.length === b.shape.length;
  return permutations(a.shape.length).flatMap((order) => {
    const tensor = permute(a, order);
    if (isSameRank ? tensor.shape.join() !== b.shape.join() : !canMerge(tensor.shape, b.shape)) return [];
    // Axes of one element go anywhere without moving a value.
    const moved = order.filter((axis) => a.shape[axis] !== 1);
    const changes = moved.every((axis, i) => i === 0 || axis > moved[i - 1]!) ? [] : [permutedAxes(order)];
    return [{ tensor: isSameRank ? tensor : reshape(tensor, b.shape), changes: isSameRank ? changes : [...changes, reshaped(a, b)] }];
  });
}

/** The same where b has more axes: a is read as b's axes in some order, and these are put in b's. */
function turnedFrom(a: Tensor, b: Tensor): Arrangement[] {
  return permutations(b.shape.length).flatMap((order) => {
    const shape = order.map((axis) => b.shape[axis]!);
    if (!canMerge(shape, a.shape)) return [];
    const back = order.map((_, axis) => order.indexOf(axis));
    const changes = back.every((axis, i) => axis === i) ? [] : [permutedAxes(back)];
    return [{ tensor: permute(reshape(a, shape), back), changes: [reshaped(a, b), ...changes] }];
  });
}

/** Whether neighbouring axes of the one make up the axes of the other. */
function canMerge(fine: readonly number[], coarse: readonly number[]): boolean {
  let at = 0;
  for (const size of coarse) {
    let product = 1;
    while (product < size && at < fine.length) product *= fine[at++]!;
    if (product !== size) return false;
  }
  return fine.slice(at).every((size) => size === 1);
}

function permutedAxes(order: readonly number[]): Change {
  return { kind: 'axes-permuted', text: order.length === 2 ? 'transposed' : `axes permuted (${order.join(', ')})`, keepsValues: true };
}

function reshaped(a: Tensor, b: Tensor): Change {
  return { kind: 'reshaped', text: `[${b.shape.join(', ')}] for [${a.shape.join(', ')}]`, keepsValues: true };
}

/** One axis, or the two last ones, which turns pictures by 180 degrees. */
function flips(shape: readonly number[]): number[][] {
  const single = [...shape.keys()].filter((axis) => shape[axis]! > 1);
  const both = [shape.length - 2, shape.length - 1];
  return [...(shape.length >= 3 && both.every((axis) => shape[axis]! > 1) ? [both] : []), ...single.map((axis) => [axis])];
}

function flipOf(axes: readonly number[], shape: readonly number[]): Change {
  const [axis] = axes;
  if (axes.length === 2) return { kind: 'flipped', text: 'turned by 180 degrees', keepsValues: false };
  if (shape[axis!] === 3 && shape.length >= 3) {
    // Windows of three by three are as long as pictures are deep; the axis of channels is none of the last two, or of the first two.
    const isChannels = shape.length === 4 && axis === (shape[2] === shape[3] ? 1 : 2);
    if (isChannels) return { kind: 'channels-reversed', text: 'channels reversed (RGB and BGR)', keepsValues: false };
  }
  return { kind: 'flipped', text: `flipped along axis ${axis}`, keepsValues: false };
}

function reflattened(tensor: Tensor, axis: number, outer: number, inner: number): Tensor {
  const [before, after] = [tensor.shape.slice(0, axis), tensor.shape.slice(axis + 1)];
  const split = reshape(tensor, [...before, outer, inner, ...after]);
  const order = [...before.keys(), axis + 1, axis, ...after.map((_, i) => axis + 2 + i)];
  return reshape(permute(split, order), tensor.shape);
}

function divisors(size: number): number[] {
  const found: number[] = [];
  for (let divisor = 2; divisor * divisor <= size; divisor++) {
    if (size % divisor !== 0) continue;
    found.push(divisor);
    if (divisor * divisor !== size) found.push(size / divisor);
  }
  return found;
}

function permutations(rank: number): number[][] {
  if (rank === 0) return [[]];
  return permutations(rank - 1)
    .flatMap((rest) => Array.from({ length: rank }, (_, at) => rest.toSpliced(at, 0, rank - 1)))
    .sort((a, b) => inversions(a) - inversions(b));
}

function inversions(order: readonly number[]): number {
  return order.reduce((count, axis, i) => count + order.slice(i + 1).filter((other) => other < axis).length, 0);
}

/** How sums may differ by their order. */
const SUM_SLACK = 1e-6;
/** Roundings to float16 and to 8 bits leave so much. */
const ROUNDED_SLACK = 0.02;
const SPREAD_SLACK = 0.05;

/** Whether the values of one may be those of the other in another order: exactly, or rounded or scaled. */
export function mayBePermuted(a: Invariants, b: Invariants): boolean {
  if (a.nonFinite !== b.nonFinite || a.squares === 0 || b.squares === 0) return false;
  const factor = Math.sqrt(b.squares / a.squares) * (Math.sign(a.min + a.max) === -Math.sign(b.min + b.max) ? -1 : 1);
  const [low, high] = factor > 0 ? [a.min * factor, a.max * factor] : [a.max * factor, a.min * factor];
  const scale = Math.max(-low, high);
  // Of unrelated tensors the sums are apart by about as much.
  const spread = Math.sqrt(b.squares);
  return (
    Math.abs(low - b.min) <= ROUNDED_SLACK * scale &&
    Math.abs(high - b.max) <= ROUNDED_SLACK * scale &&
    Math.abs(a.sum * factor - b.sum) <= SPREAD_SLACK * spread
  );
}

/** Whether they are the same values for all that can be told. */
export function haveSameValues(a: Invariants, b: Invariants): boolean {
  return a.min === b.min && a.max === b.max && a.nonFinite === b.nonFinite && Math.abs(a.squares / b.squares - 1) < SUM_SLACK;
}

const PROBED_VALUES = 2 ** 14;

/** How nearly parallel the first values of both are: 1 or -1 where they are multiples. */
export async function probe(a: Tensor, b: Tensor): Promise<number> {
  let [products, squaresA, squaresB, seen] = [0, 0, 0, 0];
  for await (const [left, right] of alignedPieces(a, b)) {
    const count = PROBED_VALUES - seen;
    const x = valuesOf(left.subarray(0, count * DTYPE_BYTES[a.dtype]), a.dtype);
    const y = valuesOf(right.subarray(0, count * DTYPE_BYTES[b.dtype]), b.dtype);
    for (let i = 0; i < x.length; i++) {
      products += x[i]! * y[i]!;
      squaresA += x[i]! * x[i]!;
      squaresB += y[i]! * y[i]!;
    }
    seen += x.length;
    if (seen >= PROBED_VALUES) break;
  }
  return squaresA > 0 && squaresB > 0 ? products / Math.sqrt(squaresA * squaresB) : 0;
}

/** Rows beyond these are not looked for one by one. */
const MAX_ROWS = 2 ** 13;
/** A list of values is sorted. */
const MAX_VALUES = 2 ** 20;
const MAX_ROW_BYTES = 2 ** 22;

/** The axis along which b's slices are a's in another order, each of them compared bit for bit; null where there is none. */
export async function permutedRows(a: Tensor, b: Tensor): Promise<Arrangement | null> {
  if (a.dtype !== b.dtype || a.shape.join() !== b.shape.join()) return null;
  const found = (what: string): Arrangement => ({
    changes: [{ kind: 'rows-permuted', text: `${what} in another order`, keepsValues: false }],
    tensor: b,
  });
  if (a.shape.length === 1) return (await haveSameSorted(a, b)) ? found('values') : null;
  for (const axis of [0, 1]) {
    if (a.shape[axis]! < 2 || a.shape[axis]! > MAX_ROWS) continue;
    const order = [axis, ...[...a.shape.keys()].filter((other) => other !== axis)];
    if (await haveSameRows(permute(a, order), permute(b, order))) return found(axis === 0 ? 'rows' : 'columns');
  }
  return null;
}

async function haveSameSorted(a: Tensor, b: Tensor): Promise<boolean> {
  if (a.shape[0]! > MAX_VALUES) return false;
  const [x, y] = [
    valuesOf(await tensorBytes(a), a.dtype)
      .slice()
      .sort(),
    valuesOf(await tensorBytes(b), b.dtype)
      .slice()
      .sort(),
  ];
  return x.every((value, i) => Object.is(value, y[i]));
}

async function haveSameRows(a: Tensor, b: Tensor): Promise<boolean> {
  const rows = a.shape[0]!;
  const rowBytes = tensorByteLength(a) / rows;
  if (rowBytes > MAX_ROW_BYTES || [a, b].some(({ walk }) => walk.axes[0]!.length !== 1)) return false;
  const [own, others] = [await rowSums(a, rowBytes), await rowSums(b, rowBytes)];
  const places = new Map<number, number[]>();
  for (const [row, sum] of own.entries()) {
    const known = places.get(sum);
    if (known) known.push(row);
    else places.set(sum, [row]);
  }
  const pairs: [number, number][] = [];
  for (const [row, sum] of others.entries()) {
    const place = places.get(sum)?.pop();
    if (place === undefined) return false;
    pairs.push([place, row]);
  }
  // A sum is no proof.
  for (const [from, to] of pairs) {
    const [x, y] = [await tensorBytes(sliceAxis(a, 0, from, from + 1)), await tensorBytes(sliceAxis(b, 0, to, to + 1))];
    if (!x.every((byte, i) => byte === y[i])) return false;
  }
  return true;
}

/** A checksum of each row. */
async function rowSums(tensor: Tensor, rowBytes: number): Promise<Float64Array> {
  const sums = new Float64Array(tensor.shape[0]!);
  let position = 0;
  let [low, high] = [0, 0];
  for await (const chunk of tensorChunks(tensor)) {
    for (let i = 0; i < chunk.byteLength; i++) {
      low = Math.imul(low ^ chunk[i]!, 0x01000193) >>> 0;
      high = (Math.imul(high, 31) + chunk[i]!) >>> 0;
      if (++position % rowBytes !== 0) continue;
      sums[position / rowBytes - 1] = low * 2 ** 20 + (high & 0xfffff);
      low = 0;
      high = 0;
    }
  }
  return sums;
}
