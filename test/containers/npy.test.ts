/** NumPy's arrays, alone and in archives. */
import { zipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { type ByteSource, memorySource } from '../../src/bytes/byte-source.js';
import { encodeNpyHeader, looksLikeNpy, readNpy, readNpz } from '../../src/containers/npy.js';
import { openZip } from '../../src/containers/zip.js';
import { toFloat64Array } from '../../src/model/cast.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { ascii, joined, u8, u16, u32 } from '../hdf5-image.js';

const magic = (major: number) => joined(u8(0x93), ascii('NUMPY'), u8(major, 0));
const npy = (header: string, data: Uint8Array, major = 1) => joined(magic(major), major === 1 ? u16(header.length) : u32(header.length), ascii(header), data);
const dict = (descr: string, shape: string, fortran = 'False') => `{'descr': ${descr}, 'fortran_order': ${fortran}, 'shape': ${shape}, }\n`;
const read = (bytes: Uint8Array) => readNpy(memorySource(bytes, 'x.npy'), 'x');
const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);

async function valuesOf(bytes: Uint8Array): Promise<number[]> {
  const tensor = await read(bytes);
  return [...toFloat64Array(await tensorBytes(tensor), tensor.dtype)];
}

describe('an array', () => {
  it.each([1, 2, 3])('of version %d gives type, shape and values', async (major) => {
    const bytes = npy(dict("'<f4'", '(2, 3)'), floats(1, 2, 3, 4, 5, 6), major);
    expect(await read(bytes)).toMatchObject({ dtype: 'float32', shape: [2, 3] });
    expect(await valuesOf(bytes)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('may be a scalar, empty, or written by Python 2', async () => {
    expect(await read(npy(dict("'<f4'", '()'), floats(1)))).toMatchObject({ shape: [] });
    expect(await read(npy(dict("'<f4'", '(0, 7)'), floats()))).toMatchObject({ shape: [0, 7] });
    expect(await read(npy(dict("'<f4'", '(2L, 1L)'), floats(1, 2)))).toMatchObject({ shape: [2, 1] });
  });

  it('in the order of Fortran is turned, and one with the large end first too', async () => {
    expect(await valuesOf(npy(dict("'<f4'", '(2, 3)', 'True'), floats(1, 4, 2, 5, 3, 6)))).toEqual([1, 2, 3, 4, 5, 6]);
    expect(await valuesOf(npy(dict("'>i2'", '(2,)'), u8(1, 0, 0, 2)))).toEqual([256, 2]);
  });

  it.each<[string, Uint8Array, string, RegExp]>([
    ['has no signature', ascii('NUMPY'.repeat(4)), 'malformed', /signature/],
    ['is shorter than any', magic(1), 'malformed', /signature/],
    ['is of a version to come', npy(dict("'<f4'", '(1,)'), floats(1), 4), 'unsupported', /version 4/],
    ['has a header without end', joined(magic(2), u32(100_000), new Uint8Array(100_000)), 'unsafe', /100000 bytes/],
    ['has a header that is cut', joined(magic(1), u16(500), ascii(dict("'<f4'", '(1,)'))), 'malformed', /ends at byte/],
    ['holds Python objects', npy(dict("'|O'", '(1,)'), new Uint8Array(8)), 'unsafe', /pickled/],
    ['holds records', npy(dict("[('a', '<f4')]", '(1,)'), floats(1)), 'unsupported', /structured/],
    ['holds texts', npy(dict("'<U5'", '(1,)'), new Uint8Array(20)), 'unsupported', /<U5/],
    ['does not say its shape', npy("{'descr': '<f4', 'fortran_order': False}\n", floats(1)), 'malformed', /type, order and shape/],
    ['is followed by too little', npy(dict("'<f4'", '(3,)'), floats(1, 2)), 'malformed', /12 bytes, but 8 follow/],
    ['is followed by too much', npy(dict("'<f4'", '(1,)'), floats(1, 2)), 'malformed', /4 bytes, but 8 follow/],
    ['has more axes than any', npy(dict("'<f4'", `(${'1, '.repeat(65)})`), floats(1)), 'malformed', /axes/],
  ])('is refused that %s', async (_, bytes, kind, says) => {
    await expect(read(bytes)).rejects.toMatchObject({ kind, message: expect.stringMatching(says) });
  });

  it('has a header that reads back, with the values at a multiple of 64 bytes', async () => {
    for (const shape of [[], [3], [2, 5]]) {
      const header = encodeNpyHeader('float32', shape);
      expect(header.byteLength % 64).toBe(0);
      const data = new Uint8Array(4 * shape.reduce((product, size) => product * size, 1));
      expect(await read(joined(header, data))).toMatchObject({ dtype: 'float32', shape });
    }
    expect(looksLikeNpy(encodeNpyHeader('bool', [1]))).toBe(true);
    expect(() => encodeNpyHeader('bfloat16', [1])).toThrow(/no dtype bfloat16/);
  });
});

describe('an archive of arrays', () => {
  const array = (value: number) => npy(dict("'<f4'", '(1,)'), floats(value));
  const open = (members: Record<string, Uint8Array>, limit?: number) => readNpz(memorySource(zipSync(members), 'x.npz'), limit);

  it('gives each by its name', async () => {
    const arrays = await open({ 'a.npy': array(1), 'b/c.npy': array(2) });
    expect([...arrays.keys()]).toEqual(['a', 'b/c']);
    expect(new Float32Array((await tensorBytes(arrays.get('b/c')!)).buffer)).toEqual(Float32Array.of(2));
  });

  it('is refused with a member that is none', async () => {
    await expect(open({ 'a.npy': array(1), 'b.txt': ascii('hello') })).rejects.toMatchObject({ kind: 'malformed', message: expect.stringMatching(/"b\.txt"/) });
  });

  it('is refused where it would take more memory than is allowed', async () => {
    await expect(open({ 'a.npy': array(1) }, 10)).rejects.toMatchObject({ kind: 'unsafe' });
  });
});

it('an archive of many arrays is looked into with two reads for each, and its directory is read once', async () => {
  const source = memorySource(
    zipSync(Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`a${i}.npy`, npy(dict("'<f4'", '(1,)'), floats(i))]))),
    'x.npz',
  );
  let reads = 0;
  const counted: ByteSource = {
    ...source,
    read(start, end) {
      reads++;
      return source.read(start, end);
    },
  };
  for (let again = 0; again < 3; again++) await openZip(counted);
  const opened = reads;
  expect(opened).toBeLessThanOrEqual(3);
  await readNpz(counted, 2 ** 20);
  expect(reads - opened).toBeLessThanOrEqual(200);
});
