/** Chunked datasets: every way in which HDF5 finds chunks, what was never written, filters and their masks, and checksums. */
import { readFileSync } from 'node:fs';
import { zlibSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { type Hdf5Dataset, openHdf5 } from '../../src/containers/hdf5/index.js';
import { lookup3 } from '../../src/containers/hdf5/lookup3.js';
import { ascii, checked, chunked, chunkedOld, contiguous, dataset, filters, Hdf5Image, hardLink, joined, UINT8, u8, u16, u32, u64 } from '../hdf5-image.js';

type Bytes = Uint8Array;

const FILL = 7;
const FIXTURES = ['chunked.h5', 'chunked-latest.h5'];
const read = (file: string) => new Uint8Array(readFileSync(new URL(`../fixtures/hdf5/${file}`, import.meta.url)));

/** What was written of the datasets that are not whole: [from, to). */
const PARTS: Readonly<Record<string, readonly [number, number]>> = {
  'fixed-array-partly': [2600, 2610],
  'extensible-array-partly': [8000, 8010],
  'btree1-partly': [34, 35],
  'never-written': [0, 0],
  'never-written-chunks': [0, 0],
};

async function datasets(bytes: Bytes): Promise<Map<string, Hdf5Dataset>> {
  const root = await openHdf5(memorySource(bytes, 'x.h5'));
  const found = new Map<string, Hdf5Dataset>();
  for (const key of await root.keys()) {
    const child = await root.get(key);
    if (child?.kind === 'dataset') found.set(key, child);
  }
  return found;
}

async function values(found: Hdf5Dataset): Promise<number[]> {
  const bytes = await found.source.read(0, found.source.byteLength);
  return [...new Uint16Array(bytes.slice().buffer)];
}

describe.each(FIXTURES)('%s', (file) => {
  it('has every value in its place, and the fill value where nothing was written', async () => {
    const found = await datasets(read(file));
    expect(found.size).toBe(file === 'chunked.h5' ? 8 : 15);
    for (const [name, one] of found) {
      const count = one.shape.reduce((a, b) => a * b, 1);
      const [from, to] = PARTS[name] ?? [0, count];
      const right = Array.from({ length: count }, (_, i) => (i >= from && i < to ? i % 65_521 : FILL));
      expect([name, await values(one)]).toEqual([name, right]);
    }
  });

  it('is read in any pieces', { tags: 'slow' }, async () => {
    for (const one of (await datasets(read(file))).values()) {
      const whole = await one.source.read(0, one.source.byteLength);
      const target = new Uint8Array(11);
      for (let start = 0; start + 11 <= Math.min(whole.byteLength, 300); start += 5) {
        await one.source.readInto(start, target);
        expect(target).toEqual(whole.subarray(start, start + 11));
      }
      await expect(one.source.read(0, whole.byteLength + 1)).rejects.toMatchObject({ kind: 'malformed' });
    }
  });
});

describe('a byte that is turned', () => {
  it.each([
    ['btree1-filters', 'chunked.h5'],
    ['btree2-deflated', 'chunked-latest.h5'],
  ])('in a chunk of %s is found by fletcher32 or zlib', { tags: 'slow' }, async (name, file) => {
    const whole = read(file);
    const before = await values((await datasets(whole)).get(name)!);
    // Stored chunks begin with zlib's header; those of this dataset are the ones whose damage this dataset notices.
    let noticed = 0;
    for (let at = 0; at + 2 < whole.byteLength; at++) {
      if (whole[at] !== 0x78 || ![0x01, 0x5e, 0x9c, 0xda].includes(whole[at + 1]!)) continue;
      const bytes = whole.slice();
      bytes[at + 5]! ^= 1;
      const outcome = await datasets(bytes)
        .then((found) => values(found.get(name)!))
        .catch((error: unknown) => error);
      if (Array.isArray(outcome)) expect(outcome).toEqual(before);
      else {
        noticed++;
        expect(outcome).toMatchObject({ kind: 'malformed', message: expect.stringMatching(/chunk|checksum/) });
      }
    }
    expect(noticed).toBeGreaterThanOrEqual(9);
  });

  it('in metadata of the newer form is found by its checksum, wherever it is, and none changes a value', { tags: 'slow' }, async () => {
    const whole = read('chunked-latest.h5');
    const signatures = ['OHDR', 'OCHK', 'BTHD', 'BTLF', 'BTIN', 'FAHD', 'FADB', 'EAHD', 'EAIB', 'EASB', 'EADB', 'FRHP'];
    const text = Buffer.from(whole).toString('latin1');
    const caught = new Set<string>();
    for (const signature of signatures) {
      for (let at = text.indexOf(signature), times = 0; at >= 0 && times < 3; at = text.indexOf(signature, at + 1), times++) {
        const bytes = whole.slice();
        bytes[at + 9]! ^= 1;
        const outcome = await (async () => {
          for (const one of (await datasets(bytes)).values()) await values(one);
        })().catch((error: unknown) => error);
        if (outcome === undefined) continue;
        expect([signature, outcome]).toMatchObject([signature, { name: 'ModelError' }]);
        if (/fails its checksum/.test((outcome as Error).message)) caught.add(signature);
      }
    }
    expect([...caught].sort()).toEqual(signatures.filter((one) => text.includes(one)).sort());
  });

  it('in the superblock is found', async () => {
    const bytes = read('chunked-latest.h5');
    bytes[44]! ^= 1; // the checksum itself
    await expect(openHdf5(memorySource(bytes))).rejects.toMatchObject({ message: expect.stringMatching(/checksum/) });
  });
});

it('lookup3 gives what its author prints', () => {
  const quote = new TextEncoder().encode('Four score and seven years ago');
  expect([lookup3(new Uint8Array()), lookup3(quote)].map((value) => value.toString(16))).toEqual(['deadbeef', '17770551']);
});

describe('filters', () => {
  const content = Uint8Array.from({ length: 24 }, (_, i) => (i * 37) % 251);
  /** The values of a dataset of bytes. */
  async function stored(shape: readonly number[], chunk: readonly number[], layout: (image: Hdf5Image) => Parameters<typeof dataset>[2][]): Promise<number[]> {
    const image = new Hdf5Image();
    const messages = layout(image);
    const bytes = image.bytes(image.object([hardLink('d', image.object(dataset(shape, UINT8, ...messages)))]));
    const one = (await datasets(bytes)).get('d')!;
    expect(one.shape).toEqual(shape);
    expect(chunk.length).toBe(shape.length);
    return [...(await one.source.read(0, one.source.byteLength))];
  }
  const shuffled = (bytes: Bytes, unit: number) => {
    const count = bytes.byteLength / unit;
    return Uint8Array.from(bytes, (_, i) => bytes[(i % count) * unit + Math.floor(i / count)]!);
  };

  /** A tree of one chunk each, with a mask of filters that were not applied. */
  const treeOf = (image: Hdf5Image, chunks: readonly { bytes: Bytes; mask: number; at: number }[]) => {
    const keys = chunks.map(({ bytes, mask, at }) => joined(u32(bytes.byteLength, mask), u64(at, 0), u64(image.place(bytes))));
    return image.place(ascii('TREE'), u8(1, 0), u16(chunks.length), u64(null, null), ...keys, u32(0, 0), u64(24, 0));
  };

  it.each([
    [0b00, zlibSync(shuffled(content, 4))],
    [0b01, zlibSync(content)],
    [0b10, shuffled(content, 4)],
    [0b11, content],
  ])('are left out where the mask of a chunk says so: %i', async (mask, bytes) => {
    const found = await stored([24], [24], (image) => [chunkedOld([24], 1, treeOf(image, [{ bytes, mask, at: 0 }])), filters([2, 4], [1, 6])]);
    expect(found).toEqual([...content]);
  });

  it('are left out of a single chunk whose layout says so', async () => {
    const found = await stored([24], [24], (image) => {
      const address = image.place(content);
      return [{ type: 8, body: joined(u8(4, 2, 2, 2, 8), u64(24, 1), u8(1), u64(24), u32(0b11), u64(address)) }, filters([2, 4], [1, 6])];
    });
    expect(found).toEqual([...content]);
  });

  it('are left out of chunks that reach over the edge where the dataset says so', async () => {
    // Two chunks of 16; the second reaches over the edge at 24 and is stored as it is.
    const found = await stored([24], [16], (image) => {
      const first = zlibSync(content.subarray(0, 16));
      const second = joined(content.subarray(16), new Uint8Array(8));
      const entries = [first, second].map((bytes) => joined(u64(image.place(bytes), bytes.byteLength), u32(0)));
      const block = image.place(checked(ascii('FADB'), u8(0, 1), u64(0), ...entries));
      const head = image.place(checked(ascii('FAHD'), u8(0, 1, 20, 20), u64(2, block)));
      return [{ type: 8, body: joined(u8(4, 2, 1, 2, 8), u64(16, 1), u8(3, 20), u64(head)) }, filters([1, 6])];
    });
    expect(found).toEqual([...content]);
  });

  /** HDF5's own order: sums of big-endian words, folded into 16 bits. */
  const fletcher = (bytes: Bytes): Bytes => {
    let [low, high] = [0, 0];
    for (let i = 0; i < bytes.length; i += 2) {
      low = (low + ((bytes[i]! << 8) | (bytes[i + 1] ?? 0))) % 65_535;
      high = (high + low) % 65_535;
    }
    return joined(bytes, u16(low, high));
  };

  it.each([
    ['behind the values', [[3]], (bytes: Bytes) => fletcher(bytes)],
    ['of an odd number of bytes', [[3]], (bytes: Bytes) => fletcher(bytes)],
    ['of what was deflated', [[1, 6], [3]], (bytes: Bytes) => fletcher(zlibSync(bytes))],
    ['within what was deflated', [[3], [1, 6]], (bytes: Bytes) => zlibSync(fletcher(bytes))],
  ] as const)('fletcher32 %s is checked and taken off', async (title, list, pack) => {
    const right = title.includes('odd') ? content.subarray(0, 23) : content;
    const chunk = [right.byteLength];
    const packed = pack(right);
    const of = (bytes: Bytes, mask = 0) =>
      stored(chunk, chunk, (image) => [
        chunkedOld(chunk, 1, treeOf(image, [{ bytes, mask, at: 0 }])),
        filters(...list.map((one) => [...one] as [number, ...number[]])),
      ]);
    expect(await of(packed)).toEqual([...right]);
    if (list[0]![0] === 3 && list.length === 1) {
      for (let at = 0; at < packed.byteLength; at++) {
        const wrong = packed.slice();
        wrong[at]! ^= 0x20;
        await expect(of(wrong), `byte ${at}`).rejects.toMatchObject({ kind: 'malformed', message: expect.stringMatching(/fails its checksum/) });
      }
      await expect(of(packed.subarray(0, 3))).rejects.toMatchObject({ message: expect.stringMatching(/shorter than its checksum/) });
    }
  });

  it('that are not known are named', async () => {
    await expect(stored([24], [24], (image) => [chunkedOld([24], 1, image.place(content)), filters([4])])).rejects.toMatchObject({
      kind: 'unsupported',
      message: expect.stringMatching(/szip/),
    });
  });

  it('a chunk of another size than its dataset says is refused', async () => {
    const bytes = content.subarray(0, 20);
    await expect(stored([24], [24], (image) => [chunkedOld([24], 1, treeOf(image, [{ bytes, mask: 0, at: 0 }])), filters([2, 4])])).rejects.toMatchObject({
      kind: 'malformed',
      message: expect.stringMatching(/20 bytes, expected 24/),
    });
  });

  it('pages of an array that were never written hold nothing, whatever bytes stand there', async () => {
    // Blocks of 2 and 4 entries in the index, two of 4 and two of 8 below super blocks; pages of 4 entries.
    const image = new Hdf5Image();
    const chunk = image.place(u8(42));
    const block = image.end;
    const dataHead = checked(ascii('EADB'), u8(0, 0), u64(0), u8(0));
    const page = checked(u64(null, chunk, null, null));
    image.place(dataHead, new Uint8Array(page.byteLength), page);
    // Of two data blocks, the first one's second page was written: bits 0 and 1 are its pages.
    const superBlock = image.place(checked(ascii('EASB'), u8(0, 0), u64(0), u8(0), u8(0b01000000, 0), u64(block, null)));
    const index = image.place(checked(ascii('EAIB'), u8(0, 0), u64(0), u64(null, null, null, superBlock, null, null)));
    const head = image.place(checked(ascii('EAHD'), u8(0, 0, 8, 6, 0, 2, 2, 2), u64(0, 0, 0, 0, 30, 30, index)));
    const space = { type: 1, body: joined(u8(2, 1, 1, 1), u64(30), u64(null)) };
    const layout = chunked({ chunk: [1], size: 1, index: u8(4, 6, 0, 2, 2, 2), address: head });
    const bytes = image.bytes(image.object([hardLink('d', image.object([space, { type: 3, body: UINT8 }, layout]))]));
    const one = (await datasets(bytes)).get('d')!;
    const found = [...(await one.source.read(0, 30))];
    // 14 entries stand before the super block; its first block's second page begins at 18.
    expect(found).toEqual(Array.from({ length: 30 }, (_, i) => (i === 19 ? 42 : 0)));
  });
});

describe('an object header', () => {
  const at = (header: Bytes) => {
    const image = new Hdf5Image();
    return openHdf5(memorySource(image.bytes(image.place(header))));
  };
  const empty = u16(0, 0, 0, 0);
  const oldHeader = (count: number, byteLength: number, ...messages: Bytes[]) => joined(u8(1, 0), u16(count), u32(1, byteLength, 0), ...messages);

  it('has no more messages than it counts', async () => {
    const link = joined(u16(6, 16), u8(0, 0, 0, 0), joined(u8(1, 0, 1), ascii('a'), u64(48), new Uint8Array(4)));
    const group = await at(oldHeader(1, 32, empty, link));
    expect(await group.keys()).toEqual([]);
    expect(await (await at(oldHeader(2, 32, empty, link))).keys()).toEqual(['a']);
  });

  it('that continues in itself is refused', async () => {
    const start = 48;
    const continuation = joined(u16(0x10, 16), u8(0, 0, 0, 0), u64(start + 16, 24));
    await expect(at(oldHeader(9, 24, continuation))).rejects.toMatchObject({ kind: 'malformed', message: expect.stringMatching(/circle/) });
  });

  it('that continues without end is refused', async () => {
    const image = new Hdf5Image();
    // Continuation i is 24 bytes behind the one before it.
    const first = image.end + 16;
    const chain = Array.from({ length: 10_100 }, (_, i) => joined(u16(0x10, 16), u8(0, 0, 0, 0), u64(first + 24 * (i + 1), 24)));
    const bytes = image.bytes(image.place(oldHeader(65_535, 24, ...chain)));
    await expect(openHdf5(memorySource(bytes))).rejects.toMatchObject({ message: expect.stringMatching(/circle/) });
  });

  it('of more messages than any real one is refused', async () => {
    const image = new Hdf5Image();
    const block = (messages: number, ...tail: Bytes[]) => checked(ascii('OCHK'), new Uint8Array(4 * messages), ...tail);
    const second = image.place(block(40_000));
    const first = image.place(block(40_000, u8(0x10), u16(16), u8(0), u64(second, 4 * 40_000 + 8)));
    const root = image.object([{ type: 0x10, body: u64(first, 4 * 40_000 + 20 + 8) }]);
    await expect(openHdf5(memorySource(image.bytes(root)))).rejects.toMatchObject({ kind: 'unsafe', message: expect.stringMatching(/more messages/) });
  });

  it('whose message runs past its end is refused', async () => {
    await expect(at(oldHeader(1, 16, u16(0x10, 60), u32(0), u64(0)))).rejects.toMatchObject({ message: expect.stringMatching(/60 bytes were expected/) });
  });

  it('whose continuation is none is refused', async () => {
    const image = new Hdf5Image();
    const block = image.place(checked(ascii('OHDR'), new Uint8Array(8)));
    const root = image.object([{ type: 0x10, body: u64(block, 16) }]);
    await expect(openHdf5(memorySource(image.bytes(root)))).rejects.toMatchObject({ message: expect.stringMatching(/"OCHK" was expected/) });
  });

  it('that says it is longer than the file is refused', async () => {
    await expect(at(oldHeader(1, 4096, empty))).rejects.toMatchObject({ message: expect.stringMatching(/ends at byte/) });
  });

  it('gives a dataset that is larger than the file as an error, before anything is read', async () => {
    const image = new Hdf5Image();
    const root = image.object([hardLink('d', image.object(dataset([1000], UINT8, contiguous(48, 1000))))]);
    const [one] = (await datasets(image.bytes(root))).values();
    expect(() => one!.source).toThrow(/ends at byte/);
  });
});
