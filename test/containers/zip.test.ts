/** Zip archives: what is read, and each way in which an archive can contradict itself. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { crc32 } from '../../src/bytes/crc32.js';
import { looksLikeZip, openZip } from '../../src/containers/zip.js';
import { ascii, joined, u16 } from '../hdf5-image.js';
import { type Member, wideExtra, type ZipOptions, zipImage } from '../zip-image.js';

const A: Member = { name: 'a.txt', content: ascii('hello, hello, hello') };
const B: Member = { name: 'b.bin', content: Uint8Array.from({ length: 600 }, (_, i) => i % 7), deflated: true };
const FULL = 0xffffffff;

const open = (members: readonly Member[], options?: ZipOptions) => openZip(memorySource(zipImage(members, options), 'x.zip'));

async function contentOf(members: readonly Member[], name: string, options?: ZipOptions): Promise<Uint8Array> {
  const source = await (await open(members, options)).get(name)!.source();
  return source.read(0, source.byteLength);
}

describe('an archive', () => {
  it('gives stored and deflated members, in the order of the directory', async () => {
    const archive = await open([B, A]);
    expect(archive.entries.map(({ name, method, byteLength }) => [name, method, byteLength])).toEqual([
      ['b.bin', 'deflated', 600],
      ['a.txt', 'stored', 19],
    ]);
    expect(await contentOf([B, A], 'a.txt')).toEqual(A.content);
    expect(await contentOf([B, A], 'b.bin')).toEqual(B.content);
    expect(archive.get('c')).toBeUndefined();
  });

  it('may hold nothing', async () => {
    expect((await open([])).entries).toEqual([]);
  });

  it('may end in a comment, even one with the signature of an end record in it', async () => {
    const comment = ascii('PK\x05\x06 is how an archive ends, and this is none');
    expect(await contentOf([A], 'a.txt', { comment })).toEqual(A.content);
  });

  it('may have sizes and an offset of 64 bits, and a 64-bit end record that the plain one refers to or agrees with', async () => {
    const central = { compressedLength: FULL, byteLength: FULL, offset: FULL, extra: wideExtra(19, 19, 0) };
    expect(await contentOf([{ ...A, central }], 'a.txt', { wide: {} })).toEqual(A.content);
    expect(await contentOf([A], 'a.txt', { wide: {}, end: { count: 0xffff, size: FULL, start: FULL } })).toEqual(A.content);
    // Other extra fields stand before it.
    const extra = joined(u16(0x7875, 4, 0, 0), wideExtra(19, 19, 0));
    expect(await contentOf([{ ...A, central: { ...central, extra } }], 'a.txt')).toEqual(A.content);
  });

  it('may leave sizes to a descriptor behind the data', async () => {
    const local = { flags: 8, compressedLength: 0, byteLength: 0, crc: 0 };
    expect(await contentOf([{ ...B, central: { flags: 8 }, local }], 'b.bin')).toEqual(B.content);
  });

  it('has names in UTF-8 where it says so, else in Latin-1', async () => {
    const name = new TextEncoder().encode('Größe');
    const named = (flags: number) => open([{ ...A, central: { name, flags }, local: { name, flags } }]);
    expect((await named(0x800)).entries[0]!.name).toBe('Größe');
    expect((await named(0)).entries[0]!.name).toBe('GrÃ¶Ã\x9fe');
  });
});

describe('an archive is refused', () => {
  const WAYS: Readonly<Record<string, readonly [members: readonly Member[], options: ZipOptions, says: RegExp]>> = {
    'whose members overlap': [[A, { ...B, central: { offset: 20 } }], {}, /overlaps/],
    'in which one member is another one again': [[A, { ...B, central: { offset: 0 } }], {}, /overlaps/],
    'with two members of one name': [[A, A], {}, /two members named "a\.txt"/],
    'with a NUL in a name': [[{ ...A, name: 'a\0.txt' }], {}, /NUL/],
    'with an encrypted member': [[{ ...A, central: { flags: 1 } }], {}, /encrypted/],
    'with a strongly encrypted member': [[{ ...A, central: { flags: 0x40 } }], {}, /encrypted/],
    'with a member compressed in another way': [[{ ...A, central: { method: 14 } }], {}, /method 14/],
    'with a stored member of two sizes': [[{ ...A, central: { byteLength: 5 } }], {}, /two sizes: 19 and 5/],
    'with a member that runs into the directory': [[{ ...A, central: { compressedLength: 500, byteLength: 500 } }], {}, /run into the directory/],
    'with a member that begins in the directory': [[{ ...A, central: { offset: 60 } }], {}, /run into the directory/],
    'whose directory is said to hold more members': [[A], { end: { count: 2 } }, /no entry 2 of 2/],
    'whose directory holds more than is said': [[A, B], { end: { count: 1 } }, /bytes too many/],
    'whose directory is not where the end record says': [[A], { end: { start: 3 } }, /said to span bytes 3/],
    'whose directory is followed by something else': [[A], { behind: new Uint8Array(5) }, /said to span/],
    'that spans several disks': [[A], { end: { disk: 1 } }, /several disks/],
    'that has a part of its members on this disk': [[A], { end: { onDisk: 0 } }, /several disks/],
    'with more members than any model has': [[], { end: { count: 0xffff, onDisk: 0xffff }, wide: { count: 300_000 } }, /claims 300000 members/],
    'whose 64-bit end record disagrees on the members': [[A], { wide: { count: 2 } }, /disagree/],
    'whose 64-bit end record disagrees on the place': [[A], { wide: { start: 4 } }, /disagree/],
    'whose 64-bit end record disagrees on the size': [[A], { wide: { size: 4 } }, /disagree/],
    'whose 64-bit end record is not where its locator says': [[A], { wide: { at: 0 } }, /not where its locator says/],
    'whose 64-bit end record has no signature': [[A], { wide: { signature: 7 } }, /not where its locator says/],
    'with a size beyond any file': [[{ ...A, central: { byteLength: FULL, extra: wideExtra(2 ** 53) } }], {}, /beyond any file/],
    'with a member that lacks its 64-bit size': [[{ ...A, central: { byteLength: FULL } }], {}, /lacks a 64-bit size/],
    'with an extra field that runs past its header': [[{ ...A, central: { extra: u16(9, 400) } }], {}, /extra field/],
  };

  it.each(Object.entries(WAYS))('%s', async (_, [members, options, says]) => {
    await expect(open(members, options)).rejects.toMatchObject({ name: 'ModelError', message: expect.stringMatching(says) });
  });

  it('cut anywhere', async () => {
    const whole = zipImage([A, B]);
    for (let cut = 0; cut < whole.byteLength; cut++) {
      await expect(openZip(memorySource(whole.subarray(0, cut), 'x.zip')), `cut at ${cut}`).rejects.toMatchObject({ kind: 'malformed' });
    }
  });
});

describe('a member is refused', () => {
  const WAYS: Readonly<Record<string, readonly [member: Member, says: RegExp]>> = {
    'without a header of its own': [{ ...A, local: { signature: 0 } }, /no header here/],
    'whose header has another name': [{ ...A, local: { name: ascii('a.exe') } }, /disagrees/],
    'whose header has a longer name': [{ ...A, local: { name: ascii('a.txt2') } }, /disagrees/],
    'whose header has another method': [{ ...B, local: { method: 0 } }, /disagrees/],
    'whose header has another stored size': [{ ...B, local: { compressedLength: 1 } }, /disagrees/],
    'whose header has another size': [{ ...B, local: { byteLength: 601 } }, /disagrees/],
    'whose header leaves its sizes to a descriptor that is not announced': [{ ...B, local: { compressedLength: 0, byteLength: 0 } }, /disagrees/],
    'whose header pushes its data into the directory': [{ ...A, local: { extraLength: 8 } }, /runs into the directory/],
    'that inflates to something else': [{ ...B, central: { crc: 1 }, local: { crc: 1 } }, /CRC-32/],
    'that inflates to more': [{ ...B, central: { byteLength: 599 }, local: { byteLength: 599 } }, /more than 599/],
    'that inflates to less': [{ ...B, central: { byteLength: 601 }, local: { byteLength: 601 } }, /600 bytes, expected 601/],
    'that is no deflate stream': [{ ...A, central: { method: 8, byteLength: 40 }, local: { method: 8, byteLength: 40 } }, /does not inflate|expected 40/],
    'that claims to inflate beyond what deflate can': [{ ...B, central: { byteLength: 2 ** 22 }, local: { byteLength: 2 ** 22 } }, /claims to inflate/],
  };

  it.each(Object.entries(WAYS))('%s', async (_, [member, says]) => {
    await expect(contentOf([member], member.name)).rejects.toMatchObject({ name: 'ModelError', message: expect.stringMatching(says) });
  });

  it('when it is large and shrinks as only emptiness does', { tags: 'slow' }, async () => {
    const empty: Member = { name: 'zeros', content: new Uint8Array(2 ** 25 + 1), deflated: true };
    await expect(contentOf([empty], 'zeros')).rejects.toMatchObject({ kind: 'unsafe', message: expect.stringMatching(/claims to inflate/) });
  });

  it('when all members together inflate to more than an archive of the size has reason to', { tags: 'slow' }, async () => {
    const members = [1, 2, 3].map((i): Member => ({ name: `${i}`, content: new Uint8Array(15 * 2 ** 20), deflated: true }));
    const archive = await open(members);
    await archive.get('1')!.source();
    await archive.get('2')!.source();
    await expect(archive.get('3')!.source()).rejects.toMatchObject({ kind: 'unsafe', message: expect.stringMatching(/the archive would inflate/) });
  });
});

describe('CRC-32', () => {
  it('is the one of zip', () => {
    expect(crc32(ascii('123456789')) >>> 0).toBe(0xcbf43926);
    expect(crc32(new Uint8Array())).toBe(0);
  });

  it('of a whole is that of its parts, continued', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat(100), (bytes, cut) => {
        expect(crc32(bytes.subarray(cut), crc32(bytes.subarray(0, cut)))).toBe(crc32(bytes));
      }),
    );
  });
});

it('a zip archive is told by its first bytes', () => {
  expect(looksLikeZip(zipImage([A]))).toBe(true);
  expect(looksLikeZip(zipImage([]))).toBe(true);
  expect(looksLikeZip(ascii('PK'))).toBe(false);
  expect(looksLikeZip(ascii('PK\x01\x02'))).toBe(false);
});
