/** Tensor bundles as other writers make them: compressed, in slices, in several files, with what is no number. */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { decodeSnappy as decode } from '../../src/containers/snappy.js';
import { readTensorBundle } from '../../src/containers/tf-bundle.js';
import { parseSliceSpec, type Slice, sliceKey } from '../../src/containers/tf-slices.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { type BundleEntry, bundleOf } from '../tf-bundles.js';

const decodeSnappy = (bytes: Uint8Array, limit = 1000) => decode(bytes, limit);
const bytesOf = (values: readonly number[]) => new Uint8Array(Float32Array.from(values).buffer);
const text = (bytes: Uint8Array | string) => (typeof bytes === 'string' ? bytes : new TextDecoder().decode(bytes));
const written = (value: string) => Array.from(value, (character) => character.charCodeAt(0));

async function floatsOf(index: Uint8Array, name: string, ...data: Uint8Array[]): Promise<number[]> {
  const files = Object.fromEntries(data.map((bytes, i) => [`v.data-0000${i}-of-0000${data.length}`, bytes]));
  const { tensors } = await readTensorBundle(memoryFileSet({ 'v.index': index, ...files }, null), 'v');
  return [...new Float32Array((await tensorBytes(tensors.get(name)!)).slice().buffer)];
}

/** Snappy of literals of up to 60 bytes, and of copies where a byte repeats. */
function snappy(bytes: readonly number[]): readonly [number, readonly number[]] {
  const packed = [(bytes.length & 127) + 128, bytes.length >> 7];
  for (let at = 0; at < bytes.length; ) {
    let run = 0;
    while (at > 0 && run < 64 && at + run < bytes.length && bytes[at + run] === bytes[at - 1]) run++;
    if (run >= 4) packed.push(((run - 1) << 2) | 2, 1, 0);
    else {
      run = 1;
      packed.push(0, bytes[at]!);
    }
    at += run;
  }
  return [1, packed];
}

describe('snappy', () => {
  it('has literals of every length, copies of three forms, and copies that repeat themselves', () => {
    const long = 'x'.repeat(100);
    expect(text(decodeSnappy(Uint8Array.of(3, 2 << 2, ...written('abc'))))).toBe('abc');
    expect(text(decodeSnappy(Uint8Array.of(100, 60 << 2, 99, ...written(long))))).toBe(long);
    expect(text(decodeSnappy(Uint8Array.of(100, 61 << 2, 99, 0, ...written(long))))).toBe(long);
    expect(text(decodeSnappy(Uint8Array.of(8, 0, 97, (3 << 2) | 1, 1)))).toBe('aaaaaaaa');
    expect(text(decodeSnappy(Uint8Array.of(6, 2 << 2, ...written('abc'), (2 << 2) | 2, 3, 0)))).toBe('abcabc');
    expect(text(decodeSnappy(Uint8Array.of(5, 2 << 2, ...written('abc'), (1 << 2) | 3, 2, 0, 0, 0)))).toBe('abcbc');
  });

  it.each([
    ['says nothing', []],
    ['claims far more than it has', [255, 255, 255, 255, 15, 0, 97]],
    ['ends early', [3, 1 << 2, 97, 98]],
    ['has a literal beyond its end', [3, 2 << 2, 97]],
    ['copies from before its beginning', [4, 0, 97, (2 << 2) | 2, 2, 0]],
    ['copies from nowhere', [4, 0, 97, (2 << 2) | 2, 0, 0]],
    ['makes more than it said', [2, 0, 97, (3 << 2) | 1, 1]],
    ['is cut within a copy', [4, 0, 97, (2 << 2) | 2, 1]],
  ])('that %s is refused', (_, bytes) => {
    expect(decodeSnappy(Uint8Array.from(bytes))).toBeTypeOf('string');
    expect(decodeSnappy(Uint8Array.of(8, 0, 97, (3 << 2) | 1, 1), 7)).toBeTypeOf('string');
  });
});

describe('tensor bundles', () => {
  const values = [1, 2, 3, 4, 5, 6];

  it('are read from compressed blocks, and refused where those are damaged', async () => {
    const variable = { name: 'w', shape: [6], byteLength: 24 };
    expect(await floatsOf(bundleOf([variable], { pack: snappy }), 'w', bytesOf(values))).toEqual(values);
    const cut = bundleOf([variable], { pack: (block) => [1, snappy(block)[1].slice(0, -1)] });
    await expect(floatsOf(cut, 'w', bytesOf(values))).rejects.toThrow(/compressed block has a literal/);
    await expect(floatsOf(bundleOf([variable], { pack: (block) => [2, block] }), 'w', bytesOf(values))).rejects.toThrow(/not known \(2\)/);
  });

  it('whose index names a block again and again are refused before it is read as often', async () => {
    const variables = Array.from({ length: 200 }, (_, i) => ({ name: `v${1000 + i}`, shape: [1], byteLength: 4 }));
    const index = bundleOf(variables, { named: 5000 });
    await expect(readTensorBundle(memoryFileSet({ 'v.index': index }, null), 'v')).rejects.toMatchObject({ kind: 'unsafe' });
  });

  /** The data block in place of the real one, with a checksum that holds. */
  const blockOf = (...bytes: readonly number[]) => {
    let isFirst = true;
    const pack = (block: readonly number[]) => {
      const packed = [0, isFirst ? bytes : block] as const;
      isFirst = false;
      return packed;
    };
    return bundleOf([{ name: 'w', shape: [6], byteLength: 24 }], { pack });
  };
  const ONE_RESTART = [0, 0, 0, 0, 1, 0, 0, 0];
  const w = { name: 'w', shape: [6], byteLength: 24 };

  it.each<[what: string, index: Uint8Array, says: RegExp]>([
    ['of a few bytes', new Uint8Array(20), /20 bytes are no table/],
    ['without its signature', bundleOf([w]).map((byte, i, all) => (i === all.length - 1 ? byte ^ 1 : byte)), /without its signature/],
    ['with an empty block', blockOf(0, 0), /a block of 2 bytes/],
    ['with more restart points than bytes', blockOf(0, 0, 0, 0, 255, 255, 0, 0), /65535 restart points/],
    ['whose first key shares something', blockOf(5, 1, 1, 97, 98, ...ONE_RESTART), /shares more than/],
    ['whose value ends behind the block', blockOf(0, 1, 100, 97, ...ONE_RESTART), /101 bytes are said to follow/],
    ['with a number that does not end', blockOf(...new Array<number>(12).fill(255), ...ONE_RESTART), /cut off or too long/],
    ['of no shards', bundleOf([w], { shards: 0 }), /a bundle of 0 shards/],
    ['of a shard beyond them', bundleOf([{ ...w, shard: 3 }]), /names shard 3 of 1/],
    ['of more bytes than the shard has', bundleOf([{ ...w, shape: [60], byteLength: 240 }]), /takes bytes 0 to 240, but .* ends at byte 24/],
    ['of other bytes than its shape takes', bundleOf([{ ...w, shape: [5] }]), /does not take 24 bytes/],
  ])('%s are refused', async (_, index, says) => {
    const error = await floatsOf(index, 'w', bytesOf(values)).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ name: 'ModelError', kind: 'malformed', message: expect.stringMatching(says) });
  });

  it('of machines that write the largest byte first are turned', async () => {
    const turned = bytesOf(values);
    for (let at = 0; at < turned.length; at += 4) turned.subarray(at, at + 4).reverse();
    expect(await floatsOf(bundleOf([{ name: 'w', shape: [6], byteLength: 24 }], { bigEndian: true }), 'w', turned)).toEqual(values);
  });

  it('in several files name the one that is missing', async () => {
    const variables = [0, 1].map((shard) => ({ name: `w${shard}`, shape: [3], byteLength: 12, shard }));
    const index = bundleOf(variables, { shards: 2 });
    expect(await floatsOf(index, 'w1', bytesOf([1, 2, 3]), bytesOf([4, 5, 6]))).toEqual([4, 5, 6]);
    const one = memoryFileSet({ 'v.index': index, 'v.data-00000-of-00002': bytesOf([1, 2, 3]) }, null);
    await expect(readTensorBundle(one, 'v')).rejects.toThrow(/v\.data-00001-of-00002/);
  });

  it('keep what is no number apart', async () => {
    const index = bundleOf([
      { name: 'odd', shape: [], byteLength: 4, dtype: 21 },
      { name: 'w', shape: [6], byteLength: 24 },
    ]);
    const bundle = await readTensorBundle(memoryFileSet({ 'v.index': index, 'v.data-00000-of-00001': bytesOf(values) }, null), 'v');
    expect([[...bundle.tensors.keys()], [...bundle.others]]).toEqual([['w'], [['odd', 21]]]);
  });
});

describe('variables in slices', () => {
  const part = (slice: Slice, shape: readonly number[], offset: number) => ({
    slice,
    shape,
    offset: 4 * offset,
    byteLength: 4 * shape.reduce((a, b) => a * b, 1),
  });
  const rows = (start: number, length: number): Slice => [
    { start, length },
    { start: 0, length: -1 },
  ];
  const variable = (...slices: NonNullable<BundleEntry['slices']>): BundleEntry => ({ name: 'wörter\0', shape: [3, 2], byteLength: 0, slices });
  const values = [1, 2, 3, 4, 5, 6];

  it('have keys that sort as their numbers do', () => {
    const hex = (value: number) => Buffer.from(sliceKey('', [{ start: value, length: -1 }]), 'latin1').toString('hex');
    // As TensorFlow's OrderedCode has them.
    const codes = {
      0: '80',
      63: 'bf',
      64: 'c040',
      300: 'c12c',
      8191: 'dfff',
      8192: 'e02000',
      70000: 'e11170',
      [2 ** 31]: 'f880000000',
      [2 ** 40]: 'fd0000000000',
    };
    for (const [value, code] of Object.entries(codes)) expect(hex(Number(value))).toBe(`0000010101${code}7f`);
    expect(Buffer.from(sliceKey('a\0\xff', []), 'latin1').toString('hex')).toBe('006100ffff00000100');
  });

  it('are put together by rows, by columns and from tiles', async () => {
    const byRows = variable(part(rows(1, 2), [2, 2], 2), part(rows(0, 1), [1, 2], 0));
    expect(await floatsOf(bundleOf([byRows]), 'wörter\0', bytesOf(values))).toEqual(values);
    const column = (start: number): Slice => [
      { start: 0, length: -1 },
      { start, length: 1 },
    ];
    const byColumns = variable(part(column(0), [3, 1], 0), part(column(1), [3, 1], 3));
    expect(await floatsOf(bundleOf([byColumns]), 'wörter\0', bytesOf([1, 3, 5, 2, 4, 6]))).toEqual(values);
  });

  it.each([
    ['leave a gap', [part(rows(0, 1), [1, 2], 0)], /of 1 rows of 3/],
    ['lie on each other', [part(rows(0, 2), [2, 2], 0), part(rows(1, 2), [2, 2], 2)], /row 2 is in none or in several/],
    ['reach beyond the whole', [part(rows(2, 2), [2, 2], 0)], /is none of \[3,2\]/],
    ['are of another size than they say', [part(rows(0, 3), [2, 2], 0)], /is none of \[3,2\]/],
  ] as const)('are refused where they %s', async (_, slices, message) => {
    await expect(floatsOf(bundleOf([variable(...slices)]), 'wörter\0', bytesOf(values))).rejects.toThrow(message);
  });

  it('of tiles that leave a gap are refused when they are read', async () => {
    const tile = variable(
      part(
        [
          { start: 0, length: 3 },
          { start: 1, length: 1 },
        ],
        [3, 1],
        0,
      ),
    );
    await expect(floatsOf(bundleOf([tile]), 'wörter\0', bytesOf(values))).rejects.toThrow(/gap/);
  });

  it('are wanted in words', () => {
    expect(parseSliceSpec('5 2 0,2:-')).toEqual([
      { start: 0, length: 2 },
      { start: 0, length: -1 },
    ]);
    for (const words of ['', '5 2 0,2', '5 2 0,x:-', '5 2 0,2:0,2:0,2']) expect(parseSliceSpec(words)).toBeNull();
  });
});
