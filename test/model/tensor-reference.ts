/** Tensors small enough to be looked at element by element, and the simplest way to do so. */
import fc from 'fast-check';
import { type ByteSource, memorySource } from '../../src/bytes/byte-source.js';
import { DTYPE_BYTES, type DType } from '../../src/model/dtype.js';
import { elementCount, flip, permute, reshape, sliceAxis, storedTensor, type Tensor } from '../../src/model/tensor.js';

export const ORIGIN = { file: 'test' };

/** A tensor next to what it should hold: the stored element behind each of its own, row-major. */
export interface Sample {
  readonly tensor: Tensor;
  readonly elements: readonly number[];
  readonly stored: Uint8Array;
  readonly log: readonly string[];
}

/** The bytes that the elements of a sample should give. */
export function expectedBytes({ tensor, elements, stored }: Sample): Uint8Array {
  const unit = DTYPE_BYTES[tensor.walk.dtype];
  const bytes = new Uint8Array(elements.length * unit);
  for (const [i, element] of elements.entries()) bytes.set(stored.subarray(element * unit, (element + 1) * unit), i * unit);
  return bytes;
}

/** Row-major coordinates of a shape, in order. */
export function coordinates(shape: readonly number[]): number[][] {
  return Array.from({ length: elementCount(shape) }, (_, flat) => {
    const at: number[] = [];
    for (const size of shape.toReversed()) {
      at.unshift(flat % size);
      flat = Math.floor(flat / size);
    }
    return at;
  });
}

export function flatIndex(shape: readonly number[], at: readonly number[]): number {
  return shape.reduce((index, size, axis) => index * size + at[axis]!, 0);
}

/** Distinct bytes as far as a byte goes, so that an element in the wrong place shows. */
export function pattern(byteLength: number): Uint8Array {
  return Uint8Array.from({ length: byteLength }, (_, i) => (i * 2654435761) >>> 13);
}

/** A source that counts what is read from it. */
export function countingSource(bytes: Uint8Array): { source: ByteSource; counts: { reads: number; bytes: number; largest: number } } {
  const memory = memorySource(bytes, 'counting');
  const counts = { reads: 0, bytes: 0, largest: 0 };
  const count = (byteLength: number) => {
    counts.reads++;
    counts.bytes += byteLength;
    counts.largest = Math.max(counts.largest, byteLength);
  };
  const source: ByteSource = {
    ...memory,
    read(start, end) {
      count(end - start);
      return memory.read(start, end);
    },
    readInto(start, target) {
      count(target.byteLength);
      return memory.readInto(start, target);
    },
  };
  return { source, counts };
}

const DTYPES: readonly DType[] = ['uint8', 'float16', 'float32', 'float64', 'complex128'];

/** Tensors of random strides (also zero, negative, overlapping) under random permutations, flips, slices and reshapes. */
export const arbitrarySample = samplesOf(DTYPES, pattern);

/** @param fill makes the stored bytes */
export function samplesOf(dtypes: readonly DType[], fill: (byteLength: number) => Uint8Array): fc.Arbitrary<Sample> {
  return fc
    .record({
      dtype: fc.constantFrom(...dtypes),
      shape: fc.array(
        fc.integer({ min: 0, max: 7 }).map((size) => (size === 0 ? 8 : size)),
        { maxLength: 4 },
      ),
      strides: fc.option(fc.array(fc.integer({ min: -6, max: 40 }), { minLength: 4, maxLength: 4 })),
      choices: fc.array(fc.nat(), { minLength: 24, maxLength: 24 }),
      steps: fc.array(fc.constantFrom('permute', 'flip', 'slice', 'reshape'), { maxLength: 5 }),
    })
    .map(({ dtype, shape, strides, choices, steps }) => {
      const sample = storedSample(dtype, shape, fill, strides?.slice(0, shape.length));
      const choose = (limit: number) => (choices.shift() ?? 0) % limit;
      return steps.reduce((current, step) => change(current, step, choose), sample);
    });
}

function storedSample(dtype: DType, shape: readonly number[], fill: (byteLength: number) => Uint8Array, strides?: readonly number[]): Sample {
  const rowMajor = shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
  const used = strides ?? rowMajor;
  const offset = shape.reduce((low, size, axis) => low - Math.min(0, (size - 1) * used[axis]!), 0) + 3;
  const elements = coordinates(shape).map((at) => at.reduce((index, step, axis) => index + step * used[axis]!, offset));
  const stored = fill((Math.max(0, ...elements) + 4) * DTYPE_BYTES[dtype]);
  const tensor = storedTensor({ name: 't', dtype, shape, strides: used, offset, source: memorySource(stored), origin: ORIGIN });
  return { tensor, elements, stored, log: [`${dtype} [${shape}] strides [${used}]`] };
}

/** The sample after a random change of its layout: 'permute', 'flip', 'slice' or 'reshape'. */
export function change(sample: Sample, step: string, choose: (limit: number) => number): Sample {
  const { shape } = sample.tensor;
  const axes = shape.map((_, axis) => axis);
  const pick = (tensor: Tensor, from: (at: number[]) => number[], note: string): Sample => ({
    tensor,
    elements: coordinates(tensor.shape).map((at) => sample.elements[flatIndex(shape, from(at))]!),
    stored: sample.stored,
    log: [...sample.log, note],
  });
  if (step === 'permute') {
    const order: number[] = [];
    const left = [...axes];
    while (left.length > 0) order.push(...left.splice(choose(left.length), 1));
    return pick(permute(sample.tensor, order), (at) => axes.map((axis) => at[order.indexOf(axis)]!), `permute [${order}]`);
  }
  if (step === 'flip') {
    const flipped = axes.filter(() => choose(2) === 1);
    return pick(flip(sample.tensor, flipped), (at) => at.map((i, axis) => (flipped.includes(axis) ? shape[axis]! - 1 - i : i)), `flip [${flipped}]`);
  }
  if (step === 'slice' && shape.length > 0) {
    const axis = choose(shape.length);
    const start = choose(shape[axis]! + 1);
    const end = start + choose(shape[axis]! - start + 1);
    return pick(sliceAxis(sample.tensor, axis, start, end), (at) => at.with(axis, at[axis]! + start), `slice ${axis} [${start}, ${end})`);
  }
  if (step === 'reshape') {
    const wanted = reshaped(shape, choose);
    return { ...sample, tensor: reshape(sample.tensor, wanted), log: [...sample.log, `reshape [${wanted}]`] };
  }
  return sample;
}

/** Another shape of as many elements: the prime factors dealt out anew. */
function reshaped(shape: readonly number[], choose: (limit: number) => number): number[] {
  let count = elementCount(shape);
  if (count === 0) return [...shape, 1];
  const wanted = Array.from({ length: 1 + choose(4) }, () => 1);
  for (let factor = 2; count > 1; ) {
    if (count % factor === 0) {
      wanted[choose(wanted.length)]! *= factor;
      count /= factor;
    } else factor++;
  }
  return wanted;
}
