// @module-tag slow
/** What goes over the wire: the same bytes every time, near the entropy of codes, and read as if it were not packed; hostile streams are refused. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, brotliDecompressSync, gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memorySource } from '../../src/bytes/byte-source.js';
import { isModelError } from '../../src/errors.js';
import { type Compression, compressFile } from '../../src/node/compress.js';
import { nodeFileSet } from '../../src/node/file-set.js';
import { temporaryFolder } from './temporary-folder.js';

async function compressed(bytes: Uint8Array, compression: Compression): Promise<Uint8Array> {
  const sink = memorySink();
  const file = await sink.create('a');
  await compressFile(memorySource(bytes), file, compression);
  await file.close();
  await sink.commit();
  return sink.files.get('a')!;
}

/** Codes of Gaussian values in steps of 0.7 deviations, and their entropy in bits. */
function codes(count: number): { bytes: Uint8Array; entropy: number } {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 1) / 2 ** 32;
  };
  const values = Int8Array.from({ length: count }, () => Math.round((Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())) / 0.7));
  const counts = new Map<number, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const entropy = [...counts.values()].reduce((sum, n) => sum - n * Math.log2(n / count), 0) / count;
  return { bytes: new Uint8Array(values.buffer), entropy };
}

const text = new TextEncoder().encode('{"format": "layers-model", "weights": []}\n'.repeat(400));
const { bytes: weights, entropy } = codes(5_000_000);

describe.each(['gzip', 'br'] as const)('%s', (compression) => {
  const unpack = (bytes: Uint8Array) => new Uint8Array(compression === 'gzip' ? gunzipSync(bytes) : brotliDecompressSync(bytes));
  it.each([
    ['nothing', new Uint8Array()],
    ['text', text],
    ['codes in several blocks', weights],
  ])('of %s unpacks to the same, and is the same every time', async (_, bytes) => {
    const first = await compressed(bytes, compression);
    expect(Buffer.compare(unpack(first), bytes)).toBe(0);
    if (bytes !== weights) expect(await compressed(bytes, compression)).toEqual(first);
  });
});

it('gzip is one stream, with neither time nor system, that DecompressionStream takes', async () => {
  const packed = await compressed(weights, 'gzip');
  expect([...packed.subarray(0, 10)]).toEqual([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
  const unpacked = await new Response(new Blob([packed as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream('gzip'))).arrayBuffer();
  expect(Buffer.compare(new Uint8Array(unpacked), weights)).toBe(0);
});

it('codes take at most 4 % more than their entropy, and text far less than its bytes', async () => {
  const packed = await compressed(weights, 'gzip');
  expect((packed.length * 8) / weights.length).toBeLessThan(1.04 * entropy);
  expect(packed.length).toBeLessThan(0.95 * gzipSync(weights.subarray(0, weights.length), { level: 6 }).length);
  expect((await compressed(text, 'gzip')).length).toBeLessThan(text.length / 50);
});

const left = () => readdirSync(tmpdir()).filter((name) => name.startsWith('weighbridge-unpacked-'));

describe('a packed model', () => {
  const read = async (path: string, name: string) => {
    const files = await nodeFileSet(path);
    try {
      const source = await files.open(name);
      return new TextDecoder().decode(await source.read(0, source.byteLength));
    } finally {
      await files.close();
    }
  };

  it('is read under its own name, with what lies beside it, packed or not, and nothing is left', async () => {
    const before = left();
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'net.onnx.gz'), gzipSync('model'));
    writeFileSync(join(folder, 'net.onnx.data.br'), brotliCompressSync(Buffer.from('weights')));
    writeFileSync(join(folder, 'net.txt'), 'words');
    writeFileSync(join(folder, 'other.onnx'), 'not mine');
    writeFileSync(join(folder, 'net.h5.gz'), 'another model, and damaged');
    const path = join(folder, 'net.onnx.gz');
    expect([await read(path, 'net.onnx'), await read(path, 'net.onnx.data'), await read(path, 'net.txt')]).toEqual(['model', 'weights', 'words']);
    const files = await nodeFileSet(path);
    expect([files.main, files.label, await files.list()]).toEqual(['net.onnx', path, ['net.onnx', 'net.onnx.data', 'net.txt']]);
    expect(files.openedPaths()[0]).toBe(path);
    await files.close();
    expect(left()).toEqual(before);
  });

  it('may be a folder of a TensorFlow.js model', async () => {
    const folder = join(temporaryFolder(), 'web');
    mkdirSync(folder);
    writeFileSync(join(folder, 'model.json.gz'), gzipSync('{}'));
    writeFileSync(join(folder, 'group1-shard1of1.bin.gz'), gzipSync('weights'));
    for (const path of [folder, join(folder, 'model.json.gz')])
      expect([await read(path, 'model.json'), await read(path, 'group1-shard1of1.bin')]).toEqual(['{}', 'weights']);
  });

  it.each([
    ['is cut', gzipSync(text).subarray(0, 60), 'a.onnx.gz', 'malformed'],
    ['fails its checksum', Buffer.concat([gzipSync(text).subarray(0, -8), Buffer.alloc(8)]), 'a.onnx.gz', 'malformed'],
    ['is no brotli', Buffer.from('hello there'), 'a.onnx.br', 'malformed'],
    ['grows out of all proportion', gzipSync(new Uint8Array(2 ** 27)), 'a.onnx.gz', 'unsafe'],
  ])('that %s is an error, and leaves nothing', async (_, bytes, name, kind) => {
    const before = left();
    const path = join(temporaryFolder(), name);
    writeFileSync(path, bytes);
    const error = await nodeFileSet(path).catch((error: unknown) => error);
    expect(isModelError(error) && [error.kind, error.place.file]).toEqual([kind, path]);
    expect(left()).toEqual(before);
    expect(existsSync(path)).toBe(true);
  });

  it('what is called so and is not packed stays as it is', async () => {
    const path = join(temporaryFolder(), 'a.gz');
    writeFileSync(path, 'plain');
    expect(await read(path, 'a.gz')).toBe('plain');
    expect(readFileSync(path, 'utf8')).toBe('plain');
  });
});
