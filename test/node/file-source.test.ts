import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fileSource, sha256File } from '../../src/node/index.js';
import { temporaryFolder } from './temporary-folder.js';

/** Large enough that whole reads take the asynchronous way and small ones do not. */
const LENGTH = 300_001;
const BYTES = Uint8Array.from({ length: LENGTH }, (_, i) => (i * 31) ^ (i >> 8));

/** Faster than `toEqual` on large arrays. */
const same = (a: Uint8Array, b: Uint8Array) => Buffer.compare(a, b) === 0;

async function openSample() {
  const path = join(temporaryFolder(), 'sample.bin');
  writeFileSync(path, BYTES);
  return { path, source: await fileSource(path) };
}

describe('a file source', () => {
  it('reads the whole, an empty range, the last byte', async () => {
    const { source } = await openSample();
    expect(source.byteLength).toBe(LENGTH);
    expect(same(await source.read(0, LENGTH), BYTES)).toBe(true);
    expect(await source.read(5, 5)).toEqual(new Uint8Array(0));
    expect(await source.read(LENGTH, LENGTH)).toEqual(new Uint8Array(0));
    expect(await source.read(LENGTH - 1, LENGTH)).toEqual(BYTES.slice(-1));
    await source.close();
  });

  it.each([
    ['one past the end', 0, LENGTH + 1],
    ['a negative start', -1, 4],
    ['an end before the start', 9, 8],
    ['a fraction', 0.5, 2],
    ['an enormous range', 0, Number.MAX_SAFE_INTEGER],
  ])('refuses %s', async (_, start, end) => {
    const { source } = await openSample();
    await expect(source.read(start, end)).rejects.toMatchObject({ name: 'ModelError', kind: 'malformed' });
    await source.close();
  });

  it('serves overlapping reads at once', async () => {
    const { source } = await openSample();
    const starts = Array.from({ length: 40 }, (_, i) => i * 5_000);
    const parts = await Promise.all(starts.map((start, i) => source.read(start, start + (i % 2 ? 100 : 100_000))));
    parts.forEach((part, i) => {
      expect(same(part, BYTES.slice(starts[i], starts[i]! + part.byteLength))).toBe(true);
    });
    await source.close();
  });

  it('fills a window of a buffer and nothing beside it', async () => {
    const { source } = await openSample();
    const buffer = new Uint8Array(10);
    await source.readInto(100, buffer.subarray(3, 7));
    expect([...buffer]).toEqual([0, 0, 0, ...BYTES.slice(100, 104), 0, 0, 0]);
    await source.close();
  });

  it.each([10, 200_000])('says where a file that shrank to %i bytes ends', async (length) => {
    const { path, source } = await openSample();
    truncateSync(path, length);
    await expect(source.read(0, LENGTH)).rejects.toMatchObject({ kind: 'malformed', place: { file: path, offset: length } });
    await expect(source.read(LENGTH - 8, LENGTH)).rejects.toMatchObject({ kind: 'malformed' });
    await source.close();
  });

  it('gives the same before it returns, and says where a file ends that shrank', async () => {
    const { path, source } = await openSample();
    const bytes = new Uint8Array(200_000);
    source.readIntoNow!(100_000, bytes);
    expect(same(bytes, BYTES.slice(100_000, 300_000))).toBe(true);
    expect(() => source.readIntoNow!(200_000, bytes)).toThrowError(expect.objectContaining({ kind: 'malformed' }));
    truncateSync(path, 150_000);
    expect(() => source.readIntoNow!(100_000, bytes)).toThrowError(expect.objectContaining({ kind: 'malformed', place: { file: path, offset: 150_000 } }));
    await source.close();
    expect(() => source.readIntoNow!(0, bytes)).toThrow(/closed/);
  });

  it('cannot be read after it was closed, and closes twice', async () => {
    const { source } = await openSample();
    await source.close();
    await source.close();
    await expect(source.read(0, 1)).rejects.toThrow(/closed/);
  });

  it('refuses what is no file', async () => {
    const folder = temporaryFolder();
    await expect(fileSource(join(folder, 'missing'))).rejects.toMatchObject({ kind: 'usage' });
    await expect(fileSource(folder)).rejects.toMatchObject({ kind: 'usage' });
    await expect(fileSource('/dev/zero')).rejects.toMatchObject({ kind: 'usage' });
  });

  it.skipIf(process.platform === 'win32')('does not wait for the writer of a named pipe', async () => {
    const pipe = join(temporaryFolder(), 'pipe');
    execFileSync('mkfifo', [pipe]);
    await expect(fileSource(pipe)).rejects.toMatchObject({ kind: 'usage' });
  });
});

describe('sha256File', () => {
  it('gives the published hash of "abc", and of an empty file', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'abc'), 'abc');
    writeFileSync(join(folder, 'empty'), '');
    expect(await sha256File(join(folder, 'abc'))).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(await sha256File(join(folder, 'empty'))).toBe('e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
    writeFileSync(join(folder, 'pieces'), BYTES);
    expect(await sha256File(join(folder, 'pieces'))).toBe(createHash('sha256').update(BYTES).digest('hex'));
  });

  it('gives that of a file which a worker hashes', async () => {
    const path = join(temporaryFolder(), 'large');
    writeFileSync(path, 'abc');
    truncateSync(path, 2 ** 23 + 1);
    expect(await sha256File(path)).toBe(createHash('sha256').update(readFileSync(path)).digest('hex'));
  });

  it('refuses a file that is not there', async () => {
    await expect(sha256File(join(temporaryFolder(), 'missing'))).rejects.toMatchObject({ kind: 'usage' });
  });
});
