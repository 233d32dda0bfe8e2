/** What holds for every place that bytes go to. stdout, which cannot take anything back, has rules of its own and is tested with the command. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type ByteSink, memorySink } from '../../src/bytes/byte-sink.js';
import { directorySink } from '../../src/bytes/directory-sink.js';
import { fileSink } from '../../src/node/index.js';

let folder: string;
beforeEach(() => {
  shown.clear();
  folder = mkdtempSync(join(tmpdir(), 'weighbridge-sinks-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** What a page's folder shows, once files have their names. */
const shown = new Map<string, Uint8Array>();

/** The part of the File System API that is used: a file is seen when its stream is closed. */
const pageFolder = {
  getFileHandle: async (name: string, { create = false } = {}) => {
    if (!create && !shown.has(name)) throw new Error('NotFoundError');
    return {
      async createWritable() {
        let content = new Uint8Array();
        return {
          async write({ position, data }: { position: number; data: Uint8Array }) {
            const longer = new Uint8Array(Math.max(content.byteLength, position + data.byteLength));
            longer.set(content);
            longer.set(data, position);
            content = longer;
          },
          async close() {
            shown.set(name, content);
          },
          async abort() {},
        };
      },
    };
  },
  async removeEntry(name: string) {
    shown.delete(name);
  },
} as unknown as FileSystemDirectoryHandle;

interface Place {
  sink(): Promise<ByteSink>;
  /** What can be seen under its final name. */
  names(sink: ByteSink): string[];
  content(sink: ByteSink, name: string): Uint8Array;
}

const PLACES: Readonly<Record<string, Place>> = {
  memory: {
    sink: async () => memorySink(),
    names: (sink) => [...(sink as ReturnType<typeof memorySink>).files.keys()].sort(),
    content: (sink, name) => (sink as ReturnType<typeof memorySink>).files.get(name)!,
  },
  "a page's folder": {
    sink: async () => directorySink(pageFolder),
    names: () => [...shown.keys()].sort(),
    content: (_, name) => shown.get(name)!,
  },
  'a folder': {
    sink: () => fileSink(join(folder, 'model.bin')),
    names: () => (readdirSync(folder, { recursive: true }) as string[]).filter((name) => !name.endsWith('.part')).sort(),
    content: (_, name) => new Uint8Array(readFileSync(join(folder, name))),
  },
};

describe.each(Object.entries(PLACES))('%s', (kind, place) => {
  const bytes = (...values: number[]) => Uint8Array.from(values);

  it('shows nothing before commit and all of it afterwards, in the order of creation', async () => {
    const sink = await place.sink();
    const first = await sink.create('model.bin');
    const second = await sink.create('model.data');
    await second.write(bytes(9, 9));
    await first.write(bytes(1, 2, 3));
    await first.close();
    await second.close();
    expect(place.names(sink)).toEqual([]);
    expect(await sink.commit()).toEqual([
      { name: 'model.bin', byteLength: 3 },
      { name: 'model.data', byteLength: 2 },
    ]);
    expect(place.names(sink)).toEqual(['model.bin', 'model.data']);
    expect(place.content(sink, 'model.bin')).toEqual(bytes(1, 2, 3));
  });

  it('appends, counts, and lets the caller use the buffer again', async () => {
    const sink = await place.sink();
    const file = await sink.create('model.bin');
    const buffer = new Uint8Array(70_000);
    const wanted: number[] = [];
    for (const length of [1, 0, 70_000, 3, 65_536, 10]) {
      buffer.fill(length % 251);
      expect(file.position).toBe(wanted.length);
      await file.write(buffer.subarray(0, length));
      for (let i = 0; i < length; i++) wanted.push(length % 251);
      buffer.fill(77);
    }
    await file.close();
    await sink.commit();
    expect(Buffer.compare(place.content(sink, 'model.bin'), Uint8Array.from(wanted))).toBe(0);
  });

  it('takes bytes for places of their own, in any order', async () => {
    const sink = await place.sink();
    const file = await sink.create('model.bin');
    await file.write(bytes(0, 0));
    await file.writeAt!(4, bytes(5, 6));
    await file.writeAt!(2, bytes(3, 4));
    await file.writeAt!(0, bytes(1, 2));
    await file.close();
    await sink.commit();
    expect(place.content(sink, 'model.bin')).toEqual(bytes(1, 2, 3, 4, 5, 6));
  });

  it('takes no bytes for a file that was closed', async () => {
    const sink = await place.sink();
    const file = await sink.create('model.bin');
    await file.close();
    await expect(file.write(bytes(1))).rejects.toThrow();
    await sink.abort();
  });

  it.each(['before anything', 'halfway', 'with all closed'])('leaves nothing when it is aborted %s, once or twice', async (when) => {
    const sink = await place.sink();
    if (when !== 'before anything') {
      const file = await sink.create('model.bin');
      await file.write(bytes(1, 2, 3));
      if (when === 'with all closed') await file.close();
    }
    await sink.abort();
    await sink.abort();
    expect(place.names(sink)).toEqual([]);
    if (kind === 'a folder') expect(readdirSync(folder)).toEqual([]);
  });

  it('keeps what was committed when it is aborted afterwards', async () => {
    const sink = await place.sink();
    const file = await sink.create('model.bin');
    await file.write(bytes(4));
    await file.close();
    await sink.commit();
    await sink.abort();
    expect(place.content(sink, 'model.bin')).toEqual(bytes(4));
  });

  it.each(['../out.bin', '/tmp/out.bin', 'a/../../out.bin', 'C:\\out.bin', ''])('takes no file named %j', async (name) => {
    const sink = await place.sink();
    await expect(sink.create(name)).rejects.toMatchObject({ kind: 'unsafe' });
    await sink.abort();
    expect(existsSync(join(folder, '..', 'out.bin'))).toBe(false);
  });
});
