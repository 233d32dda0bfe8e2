/** What holds for every source of bytes. Each file of src/ that makes one has a line below, and the last test fails for one that has none. */

import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { zipSync, zlibSync } from 'fflate';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { foldReparametrised } from '../../src/architectures/reparametrised.js';
import { blobSource } from '../../src/bytes/blob-file-set.js';
import { type ByteSource, computedSource, memorySource, readRuns, sliceSource } from '../../src/bytes/byte-source.js';
import { checkedSource } from '../../src/bytes/checked-source.js';
import { crc32 } from '../../src/bytes/crc32.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { joinFiles } from '../../src/bytes/joined-source.js';
import { stoppable } from '../../src/bytes/stoppable.js';
import { lazyTensor } from '../../src/cli/demo/seeded-source.js';
import { unwrittenSource } from '../../src/containers/hdf5/chunked-source.js';
import { openHdf5 } from '../../src/containers/hdf5/index.js';
import { stackedSource } from '../../src/containers/tf-slices.js';
import { openZip } from '../../src/containers/zip.js';
import { ModelError } from '../../src/errors.js';
import { unpackedSource } from '../../src/model/packing.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { fileSource } from '../../src/node/index.js';
import { rangeSource } from '../../src/node/remote/range-source.js';
import { ascii, chunkedOld, dataset, filters, Hdf5Image, hardLink, joined, UINT8, u8, u16, u32, u64 } from '../hdf5-image.js';

const ORIGIN = { file: 'made here' };
const LENGTH = 240;
/** A pattern that repeats itself every eight bytes, because one of the sources can hold nothing else. */
const CONTENT = Uint8Array.from({ length: LENGTH }, (_, i) => [3, 141, 59, 26, 0, 255, 7, 88][i % 8]!);

const folder = mkdtempSync(join(tmpdir(), 'weighbridge-sources-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** A server that sends the part that is asked for, and nothing else. */
const server = createServer(({ headers: { range = '' } }, response) => {
  const [first, last] = range.replace('bytes=', '').split('-').map(Number) as [number, number];
  const end = Math.min(LENGTH, last + 1);
  response.writeHead(206, { etag: '"one"', 'content-length': end - first, 'content-range': `bytes ${first}-${end - 1}/${LENGTH}` });
  response.end(CONTENT.subarray(first, end));
});
beforeAll(() => new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve)));
afterAll(() => new Promise<unknown>((resolve) => void server.close(resolve)));
const POLICY = { allowPrivate: true, allowHttp: true, maxBytes: 1e6, timeoutMs: 5000, token: null };

/** What of the pattern fits into 4 bits, an integer to a byte, and two to a byte. */
const NIBBLES = CONTENT.map((byte) => byte & 15);
const PACKED = Uint8Array.from({ length: LENGTH / 2 }, (_, i) => NIBBLES[2 * i]! | (NIBBLES[2 * i + 1]! << 4));

/** A dataset of bytes in deflated chunks of 50. */
async function chunkedDataset(): Promise<ByteSource> {
  const image = new Hdf5Image();
  const keys = Array.from({ length: 5 }, (_, i) => {
    const chunk = new Uint8Array(50);
    chunk.set(CONTENT.subarray(50 * i, 50 * i + 50));
    const stored = zlibSync(chunk);
    return joined(u32(stored.byteLength, 0), u64(50 * i, 0), u64(image.place(stored)));
  });
  const tree = image.place(ascii('TREE'), u8(1, 0), u16(5), u64(null, null), ...keys, u32(0, 0), u64(250, 0));
  const bytes = image.bytes(image.object([hardLink('d', image.object(dataset([LENGTH], UINT8, chunkedOld([50], 1, tree), filters([1, 6]))))]));
  const found = await (await openHdf5(memorySource(bytes))).get('d');
  return (found as { source: ByteSource }).source;
}

const member = async (level: 0 | 9) => (await openZip(memorySource(zipSync({ a: CONTENT }, { level })))).entries[0]!.source();
const framed = () => memorySource(joined(u8(1, 2, 3), CONTENT, u8(4, 5)));

/** The pattern as float32, which is two numbers in turn. */
const VALUES = new Float32Array(CONTENT.slice().buffer);

/** A weight that `weight_norm` keeps apart, in rows of one number each: its length beside its direction. */
function foldedWeight(): ByteSource {
  const parts = [float32Tensor('weight_g', [VALUES.length, 1], VALUES.map(Math.abs), ORIGIN), float32Tensor('weight_v', [VALUES.length, 1], VALUES, ORIGIN)];
  return foldReparametrised(new Map(parts.map((part) => [part.name, part]))).tensors.get('weight')!.walk.source;
}

function seeded(): ByteSource {
  const fill = (values: Float32Array, first: number) => void values.set(values.map((_, i) => VALUES[(first + i) % 2]!));
  return lazyTensor('seeded', { shape: [VALUES.length], fill } as never).walk.source;
}

const MAKERS: Readonly<Record<string, { readonly file: string; readonly content?: Uint8Array; make(): Promise<ByteSource> }>> = {
  memory: { file: 'bytes/byte-source.ts', make: async () => memorySource(CONTENT) },
  'a window of memory': { file: 'bytes/byte-source.ts', make: async () => sliceSource(framed(), 3, 3 + LENGTH) },
  'a window of a window': { file: 'bytes/byte-source.ts', make: async () => sliceSource(sliceSource(framed(), 1, LENGTH + 4), 2, 2 + LENGTH) },
  'bytes that are worked out': { file: 'bytes/byte-source.ts', make: async () => computedSource('made', LENGTH, async () => CONTENT.slice()) },
  'bytes with a checksum': {
    file: 'bytes/checked-source.ts',
    make: async () => checkedSource(memorySource(CONTENT), crc32(CONTENT), () => new ModelError('malformed', 'damaged')),
  },
  'a blob': { file: 'bytes/blob-file-set.ts', make: async () => blobSource(new Blob([CONTENT.slice()]), 'blob') },
  'several files': {
    file: 'bytes/joined-source.ts',
    make: () => joinFiles(memoryFileSet({ a: CONTENT.subarray(0, 100), b: new Uint8Array(), c: CONTENT.subarray(100) }, null), ['a', 'b', 'c'], 'abc'),
  },
  'a file': {
    file: 'node/file-source.ts',
    async make() {
      writeFileSync(join(folder, 'file'), CONTENT);
      return fileSource(join(folder, 'file'));
    },
  },
  'a file that may be told to stop': {
    file: 'bytes/stoppable.ts',
    make: () => stoppable(memoryFileSet({ a: CONTENT }, null), new AbortController().signal).open('a'),
  },
  'a file on a server': {
    file: 'node/remote/range-source.ts',
    make: async () => (await rangeSource(new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/file`), POLICY, 'file'))!,
  },
  'integers of 4 bits': { file: 'model/packing.ts', content: NIBBLES, make: async () => unpackedSource(memorySource(PACKED), LENGTH, 4, false) },
  'slices one behind the other': {
    file: 'containers/tf-slices.ts',
    make: async () =>
      stackedSource([CONTENT.subarray(0, 50), new Uint8Array(), CONTENT.subarray(50, 51), CONTENT.subarray(51)].map((part) => memorySource(part))),
  },
  'a chunked dataset': { file: 'containers/hdf5/chunked-source.ts', make: chunkedDataset },
  'a dataset that was never written': { file: 'containers/hdf5/chunked-source.ts', make: async () => unwrittenSource('d', CONTENT.subarray(0, 8), LENGTH) },
  'a weight that was kept apart': { file: 'architectures/reparametrised.ts', make: async () => foldedWeight() },
  'seeded values': { file: 'cli/demo/seeded-source.ts', make: async () => seeded() },
  'a stored member': { file: 'bytes/byte-source.ts', make: () => member(0) },
  'a deflated member': { file: 'bytes/byte-source.ts', make: () => member(9) },
};

describe.each(Object.entries(MAKERS))('%s', (_, { make, content = CONTENT }) => {
  async function using(test: (source: ByteSource) => Promise<void>): Promise<void> {
    const source = await make();
    try {
      await test(source);
    } finally {
      await source.close();
      await source.close();
    }
  }
  const part = (start: number, end: number) => content.subarray(start, end);
  const bytesOf = async (source: ByteSource, start: number, end: number) => Uint8Array.from(await source.read(start, end));

  it('gives exactly the bytes that are asked for', () =>
    using(async (source) => {
      expect([source.byteLength, typeof source.name]).toEqual([LENGTH, 'string']);
      const ranges = [[0, LENGTH], [0, 0], [LENGTH, LENGTH], [LENGTH - 1, LENGTH], [0, 1], [49, 51], [99, 101], [7, 233], [0, LENGTH]] as const; // biome-ignore format: one line
      for (const [start, end] of ranges) expect(await bytesOf(source, start, end)).toEqual(part(start, end));
    }));

  it('throws where a range leaves it, and reads on afterwards', () =>
    using(async (source) => {
      const ranges = [[0, LENGTH + 1], [LENGTH, LENGTH + 1], [LENGTH + 1, LENGTH + 1], [-1, 3], [5, 4], [0.5, 2], [0, Number.NaN], [0, 2 ** 60]] as const; // biome-ignore format: one line
      for (const [start, end] of ranges)
        await expect(source.read(start, end), `${start} to ${end}`).rejects.toMatchObject({ name: 'ModelError', kind: 'malformed' });
      const target = new Uint8Array(10);
      await expect(source.readInto(LENGTH - 9, target)).rejects.toMatchObject({ kind: 'malformed' });
      expect(await bytesOf(source, 3, 9)).toEqual(part(3, 9));
    }));

  it('fills the whole of a window, and nothing beside it', () =>
    using(async (source) => {
      for (const [start, length] of [
        [0, 16],
        [45, 60],
        [LENGTH - 3, 3],
        [8, 0],
      ] as const) {
        const buffer = new Uint8Array(length + 20).fill(99);
        await source.readInto(start, buffer.subarray(10, 10 + length));
        expect(buffer).toEqual(joined(new Uint8Array(10).fill(99), part(start, start + length), new Uint8Array(10).fill(99)));
      }
    }));

  it('gives buffers that later reads leave alone', () =>
    using(async (source) => {
      const first = await source.read(0, 60);
      await source.read(30, 130);
      await source.readInto(100, new Uint8Array(60));
      expect(Uint8Array.from(first)).toEqual(part(0, 60));
    }));

  it('serves reads that overlap in time', () =>
    using(async (source) => {
      const starts = Array.from({ length: 40 }, (_, i) => (i * 53) % (LENGTH - 60));
      const read = await Promise.all(starts.map((start) => bytesOf(source, start, start + 60)));
      for (const [i, start] of starts.entries()) expect(read[i]).toEqual(part(start, start + 60));
    }));

  it.each([
    [0, 10, 2],
    [5, 13, 5],
    [1, 47, 1],
    [0, 6, 6],
  ])('gives runs from %i on, every %i bytes %i of them', (start, stride, length) =>
    using(async (source) => {
      const count = Math.floor((LENGTH - start - length) / stride) + 1;
      const target = new Uint8Array(count * length);
      await readRuns(source, start, stride, length, target);
      expect(target).toEqual(joined(...Array.from({ length: count }, (_, i) => part(start + i * stride, start + i * stride + length))));
      const more = new Uint8Array((count + 20) * length);
      await expect(readRuns(source, start, stride, length, more)).rejects.toMatchObject({ kind: 'malformed' });
    }),
  );
});

it('every file that makes a source is held to this', () => {
  const src = fileURLToPath(new URL('../../src', import.meta.url));
  const files = (readdirSync(src, { recursive: true }) as string[]).map((name) => name.replaceAll('\\', '/')).filter((name) => name.endsWith('.ts'));
  const makers = files.filter((name) =>
    /readInto(\(|:)/.test(readFileSync(join(src, name), 'utf8').replaceAll(/(\.|await )readInto\(|readInto\([^)]*\): Promise<void>;/g, '')),
  );
  const held = new Set(Object.values(MAKERS).map(({ file }) => file));
  // What has no bytes of its own: weights of a file of which only names are known are never read.
  const others = ['architectures/store.ts'];
  expect(makers.filter((name) => !held.has(name) && !others.includes(name)).sort()).toEqual([]);
});
