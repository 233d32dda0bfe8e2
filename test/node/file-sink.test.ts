import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { ByteSink } from '../../src/bytes/byte-sink.js';
import { abortAll, fileSink } from '../../src/node/index.js';
import { temporaryFolder } from './temporary-folder.js';

async function put(sink: ByteSink, name: string, ...pieces: (string | Uint8Array)[]): Promise<void> {
  const file = await sink.create(name);
  for (const piece of pieces) await file.write(typeof piece === 'string' ? new TextEncoder().encode(piece) : piece);
  await file.close();
}

describe('a file sink', () => {
  it('shows nothing under a final name before commit, and no temporary name after it', async () => {
    const folder = temporaryFolder();
    const sink = await fileSink(join(folder, 'net.onnx'));
    await put(sink, 'net.onnx', 'model');
    await put(sink, 'net.onnx.data', 'weights');
    expect(readdirSync(folder).filter((name) => !/^\..*\.part$/.test(name))).toEqual([]);
    expect(await sink.commit()).toEqual([
      { name: 'net.onnx', byteLength: 5 },
      { name: 'net.onnx.data', byteLength: 7 },
    ]);
    expect(readdirSync(folder).sort()).toEqual(['net.onnx', 'net.onnx.data']);
    await sink.abort();
    expect(readFileSync(join(folder, 'net.onnx'), 'utf8')).toBe('model');
  });

  it('keeps the order of small and large writes, and counts them', async () => {
    const folder = temporaryFolder();
    const pieces = [1, 70_000, 3, 65_536, 65_535, 2, 0, 1_000_000].map((length, i) => new Uint8Array(length).fill(i + 1));
    const sink = await fileSink(join(folder, 'x'));
    const file = await sink.create('x');
    let position = 0;
    for (const piece of pieces) {
      const reused = piece.slice();
      await file.write(reused);
      reused.fill(255);
      position += piece.byteLength;
      expect(file.position).toBe(position);
    }
    await file.close();
    await expect(file.write(new Uint8Array(1))).rejects.toThrow(/closed/);
    await sink.commit();
    expect(readFileSync(join(folder, 'x')).equals(Buffer.concat(pieces))).toBe(true);
  });

  it('takes bytes for places of their own, between those that are appended', async () => {
    const folder = temporaryFolder();
    const sink = await fileSink(join(folder, 'x'));
    const file = await sink.create('x');
    const piece = (length: number, value: number) => new Uint8Array(length).fill(value);
    await file.write(piece(10, 1));
    await file.writeAt!(100_000, piece(5, 2));
    expect(file.position).toBe(100_005);
    await file.write(piece(70_000, 3));
    await file.writeAt!(10, piece(99_990, 4));
    await file.write(piece(3, 5));
    expect(file.position).toBe(170_008);
    await file.close();
    await expect(file.writeAt!(0, piece(1, 1))).rejects.toThrow(/closed/);
    await sink.commit();
    const expected = Buffer.concat([piece(10, 1), piece(99_990, 4), piece(5, 2), piece(70_000, 3), piece(3, 5)]);
    expect(readFileSync(join(folder, 'x')).equals(expected)).toBe(true);
  });

  it('makes a folder, gives it the first file last, and removes it on abort', async () => {
    const folder = temporaryFolder();
    const output = join(folder, 'net');
    const aborted = await fileSink(output);
    await put(aborted, 'net/model.json', '{}');
    await put(aborted, 'net/deep/shard.bin', 'w');
    await aborted.abort();
    await aborted.abort();
    expect(readdirSync(folder)).toEqual([]);

    const sink = await fileSink(output);
    await put(sink, 'net/model.json', '{}');
    await put(sink, 'net/shard.bin', 'w');
    // A folder in the way of the shard makes its rename fail, which comes before the main file's.
    mkdirSync(join(output, 'shard.bin'));
    await expect(sink.commit()).rejects.toMatchObject({ kind: 'usage' });
    expect(existsSync(join(output, 'model.json'))).toBe(false);
    await sink.abort();
    expect(readdirSync(output)).toEqual(['shard.bin']);
  });

  it('leaves nothing after a failure halfway, though some files were renamed already', async () => {
    const folder = temporaryFolder();
    const sink = await fileSink(join(folder, 'main'), { force: true });
    await put(sink, 'main', 'm');
    await put(sink, 'second', 's');
    mkdirSync(join(folder, 'main'));
    await expect(sink.commit()).rejects.toMatchObject({ kind: 'usage' });
    await sink.abort();
    expect(readdirSync(folder)).toEqual(['main']);
  });

  it('refuses to overwrite a file or a filled folder before anything is written', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'old'), 'old');
    symlinkSync('nowhere', join(folder, 'dangling'));
    mkdirSync(join(folder, 'full'));
    writeFileSync(join(folder, 'full', 'x'), '');
    mkdirSync(join(folder, 'empty'));
    const before = readdirSync(folder);
    for (const name of ['old', 'dangling', 'full']) await expect(fileSink(join(folder, name))).rejects.toMatchObject({ kind: 'usage' });
    const sink = await fileSink(join(folder, 'new'));
    await expect(sink.create('old')).rejects.toMatchObject({ kind: 'usage' });
    await expect(sink.create('empty')).rejects.toMatchObject({ kind: 'usage' });
    await expect(sink.create('old/model.json')).rejects.toMatchObject({ kind: 'usage' });
    await expect(sink.create('../escape')).rejects.toMatchObject({ kind: 'unsafe' });
    expect(readdirSync(folder)).toEqual(before);
    await sink.abort();
  });

  it('refuses to overwrite a file that appeared while it wrote', async () => {
    const folder = temporaryFolder();
    const sink = await fileSink(join(folder, 'net'));
    await put(sink, 'net', 'ours');
    writeFileSync(join(folder, 'net'), 'theirs');
    await expect(sink.commit()).rejects.toMatchObject({ kind: 'usage' });
    await sink.abort();
    expect(readdirSync(folder)).toEqual(['net']);
    expect(readFileSync(join(folder, 'net'), 'utf8')).toBe('theirs');
  });

  it('keeps the old file until the new one is whole when forced', async () => {
    const folder = temporaryFolder();
    const path = join(folder, 'net');
    writeFileSync(path, 'old');
    const aborted = await fileSink(path, { force: true });
    await put(aborted, 'net', 'new');
    expect(readFileSync(path, 'utf8')).toBe('old');
    await aborted.abort();
    expect(readFileSync(path, 'utf8')).toBe('old');
    const sink = await fileSink(path, { force: true });
    await put(sink, 'net', 'new');
    await sink.commit();
    expect(readFileSync(path, 'utf8')).toBe('new');
    expect(readdirSync(folder)).toEqual(['net']);
  });

  it('says what is wrong with the place', async () => {
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'file'), '');
    await expect(fileSink(join(folder, 'absent', 'net'))).rejects.toMatchObject({ kind: 'usage' });
    await expect(fileSink(join(folder, 'file', 'net'))).rejects.toMatchObject({ kind: 'usage' });
    await expect(fileSink('/dev/null', { force: true })).rejects.toMatchObject({ kind: 'usage' });
    expect(statSync('/dev/null').isCharacterDevice()).toBe(true);
  });

  it.skipIf(process.platform === 'win32' || process.getuid?.() === 0)('says that a folder is read-only (skipped where everything is allowed)', async () => {
    const folder = temporaryFolder();
    chmodSync(folder, 0o500);
    await expect(fileSink(join(folder, 'net'))).rejects.toMatchObject({ kind: 'usage' });
  });

  it('commits only closed files', async () => {
    const folder = temporaryFolder();
    const sink = await fileSink(join(folder, 'net'));
    const file = await sink.create('net');
    await file.write(new Uint8Array(3));
    await expect(sink.commit()).rejects.toThrow(/closed/);
    await sink.abort();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is removed by abortAll while it is open, and kept once committed', async () => {
    const folder = temporaryFolder();
    const done = await fileSink(join(folder, 'done'));
    await put(done, 'done', 'x');
    await done.commit();
    const sink = await fileSink(join(folder, 'net'));
    const file = await sink.create('net');
    await file.write(new Uint8Array(100_000));
    await abortAll();
    expect(readdirSync(folder)).toEqual(['done']);
    await expect(file.write(new Uint8Array(1))).rejects.toThrow();
    await expect(sink.create('more')).rejects.toThrow();
  });
});
