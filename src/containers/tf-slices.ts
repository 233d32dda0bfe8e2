/**
 * Variables that a bundle keeps in slices: the entry of the whole says which, and each has an entry of its own under a key that tells the
 * name and the place in the order of sorted bytes.
 *
 * @see https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/util/saved_tensor_slice_util.cc, framework/tensor_slice.h and
 *   lib/strings/ordered_code.cc
 */
import { type ByteSource, filledSource } from '../bytes/byte-source.js';
import { type ErrorPlace, ModelError } from '../errors.js';
import { DTYPE_BYTES } from '../model/dtype.js';
import { computedTensor, elementCount, rowMajorStrides, sliceAxis, storedTensor, type Tensor, tensorBytes } from '../model/tensor.js';
import type { Field, WireReader } from './protobuf.js';

/** Of each axis where it begins and how long it is; -1 for all of the axis. */
export type Slice = readonly { readonly start: number; readonly length: number }[];

/** A TensorSliceProto: of each axis where it begins, and how long it is if it is not all of it. */
export async function readSlice(wire: WireReader, field: Field): Promise<Slice> {
  const slice: { start: number; length: number }[] = [];
  for await (const extent of wire.fields(field.start, field.end)) {
    if (extent.number !== 1) continue;
    const numbers = { start: 0, length: -1 };
    for await (const part of wire.fields(extent.start, extent.end)) {
      if (part.number === 1) numbers.start = Number(part.varint);
      else if (part.number === 2) numbers.length = Number(part.varint);
    }
    slice.push(numbers);
  }
  return slice;
}

/** Slices that lie beside each other have to be held together to be put into order. */
const MAX_MIXED_BYTES = 2 ** 27;

/** The key of a slice's entry, each byte a character. @param name in the same way */
export function sliceKey(name: string, slice: Slice): string {
  const text = name.replaceAll(/[\0\xff]/g, (character) => (character === '\0' ? '\0\xff' : '\xff\0'));
  return `\0${text}\0\x01${increasing(slice.length)}${slice.map(({ start, length }) => signedIncreasing(start) + signedIncreasing(length)).join('')}`;
}

/** How many bytes follow, and the number's own, the largest first. */
function increasing(value: number): string {
  const bytes: number[] = [];
  for (let rest = value; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return String.fromCharCode(bytes.length, ...bytes);
}

/** As many bytes as the number needs with seven bits in each; the first bits, turned where it is negative, say how many. */
function signedIncreasing(value: number): string {
  const wide = BigInt(value);
  const magnitude = wide < 0n ? ~wide : wide;
  const length = Math.floor((magnitude === 0n ? 0 : magnitude.toString(2).length) / 7) + 1;
  const header = BigInt.asUintN(16, 0xffffn << BigInt(16 - length)) << BigInt(8 * length);
  const bits = BigInt.asUintN(8 * length, wide) ^ BigInt.asUintN(8 * length, header >> 16n);
  return String.fromCharCode(...Array.from({ length }, (_, i) => Number((bits >> BigInt(8 * (length - 1 - i))) & 0xffn)));
}

/**
 * The variable that slices make together.
 *
 * @param parts each slice with what is stored of it, all of one dtype
 * @throws ModelError 'malformed' where they leave a gap or lie on each other
 */
export function assembled(
  name: string,
  shape: readonly number[],
  parts: readonly { readonly slice: Slice; readonly tensor: Tensor }[],
  place: ErrorPlace,
): Tensor {
  const contradiction = (what: string) => new ModelError('malformed', `it is stored in slices, ${what}`, place);
  const boxes = parts.map(({ slice, tensor }) => {
    if (slice.length !== shape.length) throw contradiction(`and one of ${slice.length} axes is none of [${shape}]`);
    const box = slice.map(({ start, length }, axis) => ({ start, length: length < 0 ? shape[axis]! : length }));
    if (box.some(({ start, length }, axis) => start < 0 || start + length > shape[axis]! || tensor.shape[axis] !== length)) {
      throw contradiction(`of which one of [${tensor.shape}] at [${box.map(({ start }) => start)}] is none of [${shape}]`);
    }
    return { box, tensor };
  });
  const { dtype, origin } = parts[0]!.tensor;
  if (boxes.length === 1 && `${boxes[0]!.tensor.shape}` === `${shape}`) return boxes[0]!.tensor;
  const isRows = boxes.every(({ box, tensor }) => tensor.stages.length === 0 && box.every(({ length }, axis) => axis === 0 || length === shape[axis]));
  const sorted = boxes.toSorted((a, b) => a.box[0]!.start - b.box[0]!.start);
  if (isRows) {
    let next = 0;
    for (const { box } of sorted) {
      if (box[0]!.start !== next) throw contradiction(`and row ${next} is in none or in several of them`);
      next += box[0]!.length;
    }
    if (next !== shape[0]) throw contradiction(`of ${next} rows of ${shape[0]}`);
    return storedTensor({ name, dtype, shape, source: stackedSource(sorted.map(({ tensor }) => tensor.walk.source)), origin });
  }
  const byteLength = elementCount(shape) * DTYPE_BYTES[dtype];
  if (byteLength > MAX_MIXED_BYTES) throw new ModelError('unsupported', `it is stored in slices beside each other, and takes ${byteLength} bytes`, place);
  return computedTensor(name, dtype, shape, origin, async () => {
    const whole = new Uint8Array(byteLength);
    const filled = new Uint8Array(elementCount(shape));
    for (const { box, tensor } of sorted) paste(whole, filled, DTYPE_BYTES[dtype], shape, box, await tensorBytes(tensor));
    if (filled.some((count) => count !== 1)) throw contradiction('which leave a gap or lie on each other');
    return whole;
  });
}

function paste(whole: Uint8Array, filled: Uint8Array, unit: number, shape: readonly number[], box: Slice, bytes: Uint8Array): void {
  const strides = rowMajorStrides(shape);
  const run = box.at(-1)!.length;
  for (let from = 0; from * unit < bytes.byteLength; from += run) {
    let [rest, to] = [from / run, box.at(-1)!.start];
    for (let axis = box.length - 2; axis >= 0; axis--) {
      const { start, length } = box[axis]!;
      to += (start + (rest % length)) * strides[axis]!;
      rest = Math.floor(rest / length);
    }
    whole.set(bytes.subarray(from * unit, (from + run) * unit), to * unit);
    for (let i = to; i < to + run; i++) filled[i]!++;
  }
}

/** What a graph restores of a variable: 'whole shape, then start,length or - of each axis', as in `"8 16 0,4:-"`; null for other words. */
export function parseSliceSpec(words: string): Slice | null {
  const parts = words.split(' ');
  const extents = parts.at(-1)!.split(':');
  if (extents.length !== parts.length - 1) return null;
  const slice = extents.map((extent) => {
    if (extent === '-') return { start: 0, length: -1 };
    const [start, length] = /^(\d+),(\d+)$/.exec(extent)?.slice(1).map(Number) ?? [];
    return start === undefined || length === undefined ? null : { start, length };
  });
  return slice.every((extent) => extent !== null) ? (slice as Slice) : null;
}

/** A slice of a tensor; null where the tensor has it not. */
export function sliceOf(tensor: Tensor, slice: Slice): Tensor | null {
  if (slice.length !== tensor.shape.length || slice.some(({ start, length }, axis) => start + Math.max(length, 0) > tensor.shape[axis]!)) return null;
  return slice.reduce(
    (part, { start, length }, axis) => (length < 0 || (start === 0 && length === part.shape[axis]) ? part : sliceAxis(part, axis, start, start + length)),
    tensor,
  );
}

/** Sources one behind the other. */
export function stackedSource(sources: readonly ByteSource[]): ByteSource {
  const ends: number[] = [];
  for (const { byteLength } of sources) ends.push((ends.at(-1) ?? 0) + byteLength);
  return filledSource(sources[0]!.name, ends.at(-1)!, async (start, target) => {
    const end = start + target.byteLength;
    for (const [i, source] of sources.entries()) {
      const first = ends[i]! - source.byteLength;
      const [from, to] = [Math.max(start, first), Math.min(end, ends[i]!)];
      if (from < to) await source.readInto(from - first, target.subarray(from - start, to - start));
    }
  });
}
