/** The header of safetensors against its file. */
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { encodeSafetensorsHeader, looksLikeSafetensors, readSafetensorsHeader, safetensorsDType } from '../../src/containers/safetensors.js';
import { ascii, joined, u64 } from '../hdf5-image.js';

const file = (header: string, dataBytes: number) => joined(u64(header.length), ascii(header), new Uint8Array(dataBytes));
const read = (bytes: Uint8Array) => readSafetensorsHeader(memorySource(bytes, 'x.safetensors'));
const entry = (dtype: string, shape: readonly number[], start: number, end: number) => ({ dtype, shape, data_offsets: [start, end] });
const header = (value: unknown) => JSON.stringify(value);

describe('a header', () => {
  it('gives tensors in its order, with their places in the file, and metadata', async () => {
    const text = header({ __metadata__: { format: 'pt' }, b: entry('F16', [2, 2], 4, 12), a: entry('F32', [], 0, 4), c: entry('I8', [0], 12, 12) });
    const { entries, metadata } = await read(file(text, 12));
    const start = 8 + text.length;
    expect(entries).toEqual([
      { name: 'b', dtype: 'float16', shape: [2, 2], start: start + 4, end: start + 12 },
      { name: 'a', dtype: 'float32', shape: [], start, end: start + 4 },
      { name: 'c', dtype: 'int8', shape: [0], start: start + 12, end: start + 12 },
    ]);
    expect(metadata).toEqual({ format: 'pt' });
  });

  it('may name a tensor as JavaScript names what it does not mean', async () => {
    const { entries } = await read(file('{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}', 1));
    expect(entries.map(({ name }) => name)).toEqual(['__proto__']);
  });

  it.each<[string, Uint8Array, string, RegExp]>([
    ['longer than the file', joined(u64(500), ascii('{}')), 'malformed', /claims 500 bytes/],
    ['longer than any', joined(u64(100_000_001), ascii('{}')), 'malformed', /claims 100000001/],
    ['that is no JSON', file('{"a":', 0), 'malformed', /no JSON/],
    ['that is no UTF-8', file('{"\xff":1}', 0), 'malformed', /no JSON/],
    [
      'with a name twice',
      file('{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"I32","shape":[1],"data_offsets":[0,4]}}', 4),
      'malformed',
      /more than once/,
    ],
    [
      'with a name twice, spelt otherwise',
      file('{"a\\":":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\\u0061\\":":{"dtype":"I8","shape":[1],"data_offsets":[0,1]}}', 1),
      'malformed',
      /more than once/,
    ],
    ['that is a list', file('[]', 0), 'malformed', /not a JSON object/],
    ['whose metadata are no texts', file(header({ __metadata__: { a: 1 } }), 0), 'malformed', /map of texts/],
    ['with a tensor of no shape', file(header({ a: { dtype: 'F32', data_offsets: [0, 4] } }), 4), 'malformed', /needs a dtype/],
    ['with a negative size', file(header({ a: entry('F32', [-1], 0, 4) }), 4), 'malformed', /needs a dtype/],
    ['with three offsets', file(header({ a: { ...entry('F32', [1], 0, 4), data_offsets: [0, 4, 8] } }), 4), 'malformed', /needs a dtype/],
    ['with a dtype that is not known', file(header({ a: entry('F5', [1], 0, 4) }), 4), 'unsupported', /"F5"/],
    ['with a dtype of JavaScript', file(header({ a: entry('toString', [1], 0, 4) }), 4), 'unsupported', /"toString"/],
    ['with a size that does not fit its bytes', file(header({ a: entry('F32', [2], 0, 4) }), 4), 'malformed', /takes 8 bytes/],
    ['with an overflowing shape', file(header({ a: entry('F32', [2 ** 40, 2 ** 40], 0, 4) }), 4), 'malformed', /takes/],
    ['with offsets the wrong way round', file(header({ a: entry('F32', [1], 4, 0) }), 4), 'malformed', /span -4/],
    ['with a gap', file(header({ a: entry('U8', [1], 0, 1), b: entry('U8', [1], 2, 3) }), 3), 'malformed', /without gap/],
    ['with an overlap', file(header({ a: entry('U8', [2], 0, 2), b: entry('U8', [2], 1, 3) }), 3), 'malformed', /without gap/],
    ['that does not begin at the beginning', file(header({ a: entry('U8', [1], 1, 2) }), 2), 'malformed', /without gap/],
    ['with bytes that belong to no tensor', file(header({ a: entry('U8', [1], 0, 1) }), 2), 'malformed', /end at byte/],
    ['with bytes that are not there', file(header({ a: entry('U8', [2], 0, 2) }), 1), 'malformed', /Is it truncated/],
  ])('is refused %s', async (_, bytes, kind, says) => {
    await expect(read(bytes)).rejects.toMatchObject({ kind, message: expect.stringMatching(says) });
  });

  it('is refused with more tensors than any model has', { tags: 'slow' }, async () => {
    const many = Object.fromEntries(Array.from({ length: 65_537 }, (_, i) => [`t${i}`, entry('U8', [0], 0, 0)]));
    await expect(read(file(header(many), 0))).rejects.toMatchObject({ kind: 'unsafe' });
  });

  it('is refused with more notes than any training leaves', async () => {
    const notes = Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`k${i}`, '']));
    await expect(read(file(header({ __metadata__: notes }), 0))).rejects.toMatchObject({ kind: 'unsafe' });
  });

  it('that is written reads back, and its data begin at a multiple of eight', async () => {
    const tensors = [
      { name: '__proto__', dtype: 'float32', shape: [3], byteLength: 12 },
      { name: 'ü', dtype: 'bool', shape: [2, 1], byteLength: 2 },
    ] as const;
    const encoded = encodeSafetensorsHeader(tensors, { a: 'b' });
    expect(encoded.byteLength % 8).toBe(0);
    const { entries, metadata } = await read(joined(encoded, new Uint8Array(14)));
    expect(entries.map(({ name, dtype, shape }) => ({ name, dtype, shape }))).toEqual(tensors.map(({ name, dtype, shape }) => ({ name, dtype, shape })));
    expect(metadata).toEqual({ a: 'b' });
  });
});

it('a safetensors file is told by its first bytes, also where it is cut', () => {
  const text = header({ a: entry('F32', [1], 0, 4) });
  expect(looksLikeSafetensors(file(text, 4), 8 + text.length + 4)).toBe(true);
  expect(looksLikeSafetensors(file(text, 0).subarray(0, 40), 40)).toBe(true);
  expect(looksLikeSafetensors(file('{"a": 1}'.padEnd(60), 0).subarray(0, 20), 20)).toBe(false);
  expect(looksLikeSafetensors(joined(u64(1), ascii('{}')), 10)).toBe(false);
  expect(looksLikeSafetensors(ascii('{"a": 1}'), 8)).toBe(false);
});

it('every dtype has one word, and what has none is not written', () => {
  expect(safetensorsDType('bfloat16')).toBe('BF16');
  expect(safetensorsDType('complex128')).toBeUndefined();
});
