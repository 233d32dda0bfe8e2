// @module-tag slow
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concatBytes } from '../../src/bytes/byte-sink.js';
import { type ByteSource, memorySource, sliceSource } from '../../src/bytes/byte-source.js';
import { ModelError } from '../../src/errors.js';
import { castTensor } from '../../src/model/cast.js';
import { DTYPE_BYTES, type DType } from '../../src/model/dtype.js';
import { elementCount, flip, permute, reshape, storedTensor, type Tensor, tensorByteLength, tensorBytes, tensorChunks } from '../../src/model/tensor.js';
import { CHUNK_BYTES, type StreamLimits, streamChunks, streamPieces } from '../../src/model/tensor-chunks.js';
import { arbitrarySample, coordinates, countingSource, expectedBytes, flatIndex, ORIGIN, pattern } from './tensor-reference.js';

/** Small enough that little tensors are cut into many chunks and slabs. */
const TINY = fc.record({ chunkBytes: fc.constantFrom(16, 48, 256, 2 ** 20), stagingBytes: fc.constantFrom(16, 64, 512, 2 ** 20) });

async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const kept: Uint8Array[] = [];
  for await (const chunk of chunks) kept.push(chunk.slice());
  return concatBytes(kept);
}

const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

function stored(shape: readonly number[], source: ByteSource, dtype: DType = 'float32') {
  return storedTensor({ name: 't', dtype, shape, source, origin: ORIGIN });
}

describe('the chunks of a tensor', () => {
  it('hold what an element-by-element walk gives, whatever the strides, layout changes and limits', async () => {
    await fc.assert(
      fc.asyncProperty(arbitrarySample, TINY, async (sample, limits) => {
        const bytes = await collect(streamChunks(sample.tensor, limits));
        expect(same(bytes, expectedBytes(sample)), sample.log.join(', ')).toBe(true);
        expect(bytes.byteLength).toBe(tensorByteLength(sample.tensor));
      }),
      { numRuns: 2_000 },
    );
  });

  it('are whole elements, never larger than the limit', async () => {
    await fc.assert(
      fc.asyncProperty(arbitrarySample, fc.integer({ min: 1, max: 30 }), async ({ tensor }, quarters) => {
        for await (const chunk of streamChunks(tensor, { chunkBytes: 64, stagingBytes: quarters * 16 })) {
          expect(chunk.byteLength).toBeGreaterThan(0);
          expect(chunk.byteLength).toBeLessThanOrEqual(64);
          expect(chunk.byteLength % DTYPE_BYTES[tensor.dtype]).toBe(0);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  // Each larger than a chunk, so that the sizes at work in a conversion are exercised too.
  it.each<[string, DType, number[], number[]]>([
    ['a dense kernel, [in, out] to [out, in]', 'float32', [1531, 1013], [1, 0]],
    ['the same in float16', 'float16', [1531, 1013], [1, 0]],
    ['the same in float64', 'float64', [531, 1013], [1, 0]],
    ['the same in int8', 'int8', [1531, 2013], [1, 0]],
    ['a convolution kernel, HWIO to OIHW', 'float32', [3, 3, 250, 301], [3, 2, 0, 1]],
    ['a convolution kernel, OIHW to HWIO', 'float32', [250, 301, 3, 3], [2, 3, 1, 0]],
    ['interchanged rows', 'float32', [49, 50, 300], [1, 0, 2]],
    ['interchanged short rows', 'float32', [490, 500, 3], [1, 0, 2]],
  ])('are right for %s', async (_, dtype, shape, order) => {
    const bytes = pattern(tensorByteLength({ dtype, shape }));
    const tensor = permute(stored(shape, memorySource(bytes), dtype), order);
    const result = await tensorBytes(tensor);
    const unit = bytes.byteLength / elementCount(shape);
    const expected = new Uint8Array(bytes.byteLength);
    const strides = shape.map((_, axis) => elementCount(shape.slice(axis + 1)));
    let to = 0;
    const [a = 1, b = 1, c = 1, d = 1] = tensor.shape;
    const [sa = 0, sb = 0, sc = 0, sd = 0] = order.map((axis) => strides[axis]!);
    for (let i = 0; i < a; i++)
      for (let j = 0; j < b; j++)
        for (let k = 0; k < c; k++)
          for (let l = 0; l < d; l++) {
            const from = (i * sa + j * sb + k * sc + l * sd) * unit;
            for (let byte = 0; byte < unit; byte++) expected[to++] = bytes[from + byte]!;
          }
    expect(same(result, expected)).toBe(true);
  });

  it('reorder the rows of a dense kernel behind a flattened channels-last value', async () => {
    const [h, w, c, out] = [3, 5, 7, 11];
    const bytes = pattern(h * w * c * out * 4);
    const chw = reshape(permute(reshape(stored([h * w * c, out], memorySource(bytes)), [h, w, c, out]), [2, 0, 1, 3]), [h * w * c, out]);
    const gemm = permute(chw, [1, 0]);
    const result = new Uint32Array((await collect(streamChunks(gemm, { chunkBytes: 64, stagingBytes: 1024 }))).buffer);
    const words = new Uint32Array(bytes.buffer);
    for (const [o, channel, row, column] of coordinates([out, c, h, w]) as [number, number, number, number][]) {
      expect(result[flatIndex([out, c, h, w], [o, channel, row, column])]).toBe(words[flatIndex([h, w, c, out], [row, column, channel, o])]);
    }
  });

  it('keep the bits of every NaN', async () => {
    const bits = Uint32Array.from({ length: 64 }, (_, i) => 0x7f800001 + i * 0x10001);
    const source = memorySource(new Uint8Array(bits.buffer));
    expect(new Uint32Array((await tensorBytes(permute(stored([8, 8], source), [1, 0]))).buffer)[1]).toBe(bits[8]);
    const doubles = BigUint64Array.from({ length: 64 }, (_, i) => 0x7ff0000000000001n + BigInt(i) * 0x100000001n);
    const transposed = permute(stored([8, 8], memorySource(new Uint8Array(doubles.buffer)), 'float64'), [1, 0]);
    expect(new BigUint64Array((await tensorBytes(transposed)).buffer)[1]).toBe(doubles[8]);
  });

  it('come out right from two streams at once', async () => {
    const bytes = pattern(3_000_000 * 4);
    const a = permute(stored([1500, 2000], memorySource(bytes)), [1, 0]);
    const b = flip(stored([1_500_000], memorySource(bytes)), [0]);
    const c = stored([3_000_000], memorySource(bytes));
    const together = await Promise.all([a, b, c, a, c].map((tensor) => collect(tensorChunks(tensor))));
    const alone = [await tensorBytes(a), await tensorBytes(b), await tensorBytes(c)] as const;
    expect(together.map((result, i) => same(result, alone[[0, 1, 2, 0, 2][i]!]!))).toEqual([true, true, true, true, true]);
  });
});

describe('what is read for a tensor', () => {
  it('is each byte once where the walk follows the file', async () => {
    const { source, counts } = countingSource(new Uint8Array(5 * CHUNK_BYTES + 12));
    await collect(tensorChunks(stored([source.byteLength / 4], source)));
    expect(counts.bytes).toBe(source.byteLength);
    expect(counts.reads).toBe(6);
  });

  it('is each byte once, in one read, where the tensor fits the staging buffer', async () => {
    const { source, counts } = countingSource(new Uint8Array(3 * 3 * 64 * 128 * 4));
    await collect(tensorChunks(permute(stored([3, 3, 64, 128], source), [3, 2, 0, 1])));
    expect(counts).toMatchObject({ bytes: source.byteLength, reads: 1 });
  });

  it('is each byte once where a transposition goes through slabs, in reads that the buffer bounds', async () => {
    const { source, counts } = countingSource(new Uint8Array(4000 * 1000 * 4));
    await collect(streamChunks(permute(stored([4000, 1000], source), [1, 0]), { chunkBytes: 2 ** 16, stagingBytes: 2 ** 21 }));
    expect(counts.bytes).toBe(source.byteLength);
    expect(counts.largest).toBeLessThanOrEqual(2 ** 21);
    // 8 slabs of 131 columns at most, one read for each row.
    expect(counts.reads).toBeLessThanOrEqual(8 * 4000);
  });

  it('is only the slice that is wanted', async () => {
    const { source, counts } = countingSource(new Uint8Array(1000 * 1000 * 4));
    const columns = storedTensor({ name: 't', dtype: 'float32', shape: [1000, 100], strides: [1000, 1], source, origin: ORIGIN });
    await collect(tensorChunks(permute(columns, [1, 0])));
    expect(counts.bytes).toBeLessThanOrEqual(source.byteLength);
    const rows = storedTensor({ name: 't', dtype: 'float32', shape: [10, 1000], offset: 500_000, source, origin: ORIGIN });
    counts.bytes = 0;
    await collect(tensorChunks(permute(rows, [1, 0])));
    expect(counts.bytes).toBe(40_000);
  });

  it('is one element for a view that repeats it a million times', async () => {
    const { source, counts } = countingSource(pattern(64));
    const expanded = storedTensor({ name: 't', dtype: 'float32', shape: [1000, 1000], strides: [0, 0], offset: 5, source, origin: ORIGIN });
    const bytes = await collect(tensorChunks(expanded));
    expect(counts.bytes).toBe(4);
    expect(bytes.byteLength).toBe(4_000_000);
    expect(bytes.subarray(-4)).toEqual(pattern(64).subarray(20, 24));
  });

  it('is nothing for a tensor without elements', async () => {
    const { source, counts } = countingSource(new Uint8Array(0));
    expect((await tensorBytes(stored([3, 0, 5], source))).byteLength).toBe(0);
    expect(counts.reads).toBe(0);
  });
});

describe('the pieces of a tensor', () => {
  async function assemble(tensor: Tensor, limits?: StreamLimits): Promise<{ bytes: Uint8Array; count: number; inOrder: boolean }> {
    const bytes = new Uint8Array(tensorByteLength(tensor));
    const seen = new Uint8Array(bytes.byteLength);
    let [count, inOrder, end] = [0, true, 0];
    for await (const piece of streamPieces(tensor, limits)) {
      bytes.set(piece.bytes, piece.offset);
      for (let i = piece.offset; i < piece.offset + piece.bytes.byteLength; i++) seen[i]!++;
      inOrder &&= piece.offset === end;
      end = piece.offset + piece.bytes.byteLength;
      count++;
    }
    expect(seen.every((times) => times === 1)).toBe(true);
    return { bytes, count, inOrder };
  }

  it('cover it once, in whatever order they come', async () => {
    let scattered = 0;
    const anyPlan = fc.record({ chunkBytes: fc.constantFrom(256, 2048, 2 ** 16), stagingBytes: fc.constantFrom(16, 64, 512, 2 ** 20), worth: fc.constant(0) });
    await fc.assert(
      fc.asyncProperty(arbitrarySample, anyPlan, async (sample, limits) => {
        const { bytes, inOrder } = await assemble(sample.tensor, limits);
        if (!inOrder) scattered++;
        expect(same(bytes, expectedBytes(sample)), sample.log.join(', ')).toBe(true);
      }),
      { numRuns: 2_000 },
    );
    expect(scattered).toBeGreaterThan(50);
  });

  it('read a dense matrix once whose columns go from channels-first to channels-last', async () => {
    const [out, channels, height, width] = [600, 128, 7, 7];
    const bytes = pattern(out * channels * height * width * 4);
    const { source, counts } = countingSource(bytes);
    const kernel = stored([out, channels * height * width], source);
    const turned = permute(reshape(permute(reshape(kernel, [out, channels, height, width]), [0, 2, 3, 1]), [out, height * width * channels]), [1, 0]);
    const limits = { chunkBytes: 2 ** 18, stagingBytes: 2 ** 20 };
    const made = await assemble(turned, limits);
    expect(made.inOrder).toBe(false);
    expect(counts.bytes).toBe(bytes.byteLength);
    expect(same(made.bytes, await tensorBytes(turned))).toBe(true);
    const half = await assemble(castTensor(turned, 'float16'), limits);
    expect(half.inOrder).toBe(false);
    expect(same(half.bytes, await tensorBytes(castTensor(turned, 'float16')))).toBe(true);
  });
});

describe('a stream that ends early', () => {
  function failing(after: number): ByteSource {
    const memory = memorySource(new Uint8Array(8 * CHUNK_BYTES));
    let left = after;
    return {
      ...memory,
      async readInto(start, target) {
        if (left-- <= 0) throw new ModelError('malformed', 'gone', { offset: start });
        return memory.readInto(start, target);
      },
    };
  }

  it.each([0, 1, 3])('passes the error of read %i on', async (after) => {
    await expect(collect(tensorChunks(stored([2 * CHUNK_BYTES], failing(after))))).rejects.toMatchObject({ kind: 'malformed' });
    await expect(
      collect(streamChunks(permute(stored([2048, 1024], failing(after)), [1, 0]), { chunkBytes: 2 ** 16, stagingBytes: 2 ** 16 })),
    ).rejects.toMatchObject({
      kind: 'malformed',
    });
  });

  it('may be left by its consumer, though the read ahead fails', async () => {
    for await (const chunk of tensorChunks(stored([2 * CHUNK_BYTES], failing(1)))) {
      expect(chunk.byteLength).toBe(CHUNK_BYTES);
      break;
    }
  });

  it('says where a source that lies about its length ends', async () => {
    const window = sliceSource(memorySource(new Uint8Array(100)), 40, 100);
    expect(() => stored([16], window)).toThrow(ModelError);
    await expect(window.readRuns!(0, 30, 20, new Uint8Array(60))).rejects.toMatchObject({ kind: 'malformed' });
  });
});
