/** Deflate streams of known size. */
import { deflateSync, gzipSync, zlibSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { inflateExactly } from '../../src/containers/inflate.js';

const FORMATS = { deflate: deflateSync, zlib: zlibSync, gzip: gzipSync } as const;

/** Content that becomes a small stream, inflated in one step, and a large one. */
const CONTENTS: Readonly<Record<string, Uint8Array>> = {
  small: Uint8Array.from({ length: 100_000 }, (_, i) => (i * i) % 251),
  large: Uint8Array.from({ length: 100_000 }, (_, i) => Math.imul(i, Math.imul(i, 0x9e3779b1)) >>> 24),
};
const content = CONTENTS.small!;
const STREAMS = Object.entries(FORMATS).flatMap(([name, pack]) => Object.entries(CONTENTS).map(([size, own]) => ({ name, size, pack, own })));

describe.each(STREAMS)('a $size $name stream', ({ name, size, pack, own: content }) => {
  const format = name as keyof typeof FORMATS;
  const stored = pack(content);
  const inflate = (bytes: Uint8Array, byteLength = content.byteLength) => inflateExactly(memorySource(bytes), format, byteLength);

  it('gives what was packed', async () => {
    expect(stored.byteLength > 2 ** 12).toBe(size === 'large');
    expect(Buffer.from((await inflate(stored)) as Uint8Array).equals(content)).toBe(true);
  });

  it('of another size is told, and what is too much is not kept', async () => {
    expect(await inflate(stored, content.byteLength - 1)).toMatch(/more than 99999 bytes/);
    expect(await inflate(stored, 0)).toMatch(/more than 0 bytes/);
    expect(await inflate(stored, content.byteLength + 1)).toMatch(/100000 bytes, expected 100001/);
  });

  it('that is cut, or is none, is told', async () => {
    expect(await inflate(stored.subarray(0, stored.byteLength >> 1))).toEqual(expect.any(String));
    expect(await inflate(new Uint8Array(100).fill(0xff))).toEqual(expect.any(String));
    expect(await inflate(new Uint8Array())).toEqual(expect.any(String));
  });
});

it('a zlib stream whose content is not that of its checksum is told', async () => {
  const stored = zlibSync(content);
  stored[stored.byteLength - 1]! ^= 1;
  expect(await inflateExactly(memorySource(stored), 'zlib', content.byteLength)).toBe('fails its checksum');
});
