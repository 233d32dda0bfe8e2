/** Tar archives, as PyTorch's first format needs them. */
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { looksLikeTar, openTar } from '../../src/containers/tar.js';
import { ascii, joined } from '../hdf5-image.js';
import { member } from '../tar-image.js';

const END = new Uint8Array(1024);
const open = (...parts: readonly Uint8Array[]) => openTar(memorySource(joined(...parts), 'x.tar'));

describe('a tar archive', () => {
  it('gives its files, and neither folders nor links', async () => {
    const members = await open(
      member({ name: 'folder/', type: '5' }),
      member({ name: 'folder/a', content: ascii('alpha') }),
      member({ name: 'link', type: '2' }),
      member({ name: 'old', content: ascii('beta'), type: '\0' }),
      END,
    );
    expect([...members.keys()]).toEqual(['folder/a', 'old']);
    expect(await members.get('folder/a')!.read(0, 5)).toEqual(ascii('alpha'));
    expect(members.get('old')!.byteLength).toBe(4);
  });

  it('ends at the first empty block, whatever follows', async () => {
    expect([...(await open(member({ name: 'a' }), END, member({ name: 'b', wrongBy: 1 }))).keys()]).toEqual(['a']);
  });

  it('is refused with a name that no file has', async () => {
    const long = 'n'.repeat(9000);
    const named = open(member({ name: '././@LongLink', type: 'L', content: ascii(long) }), member({ name: 'n' }), END);
    await expect(named).rejects.toMatchObject({ kind: 'unsafe' });
  });

  it('gives names as long as they are, in letters of any language', async () => {
    const long = `${'folder/'.repeat(20)}bild ü.png`;
    const bytes = (text: string) => new TextEncoder().encode(text);
    const pax = (text: string) => {
      const line = `${'000'} path=${text}\n`;
      return bytes(`${String(bytes(line).byteLength)}${line.slice(3)}`);
    };
    const prefixed = member({ name: 'c.png' });
    prefixed.set(ascii('far/away'), 345);
    const sum = prefixed.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 0x20 : byte), 0);
    prefixed.set(ascii(`${sum.toString(8).padStart(6, '0')}\0 `), 148);
    const members = await open(
      member({ name: '././@LongLink', type: 'L', content: bytes(`${long}\0`) }),
      member({ name: long.slice(0, 100), content: ascii('gnu') }),
      member({ name: 'PaxHeader', type: 'x', content: pax(`posix/${long}`) }),
      member({ name: long.slice(0, 100), content: ascii('posix') }),
      prefixed,
      END,
    );
    expect([...members.keys()]).toEqual([long, `posix/${long}`, 'far/away/c.png']);
  });

  it.each<[string, Uint8Array[], RegExp]>([
    ['a header fails its checksum', [member({ name: 'a' }), member({ name: 'b', wrongBy: 1 })], /checksum/],
    ['the checksum is no number', [member({ name: 'a' }).fill(0x7a, 148, 156)], /checksum/],
    ['a size is no octal number', [member({ name: 'a', size: '00000000009' })], /no size/],
    ['a member runs past the end', [member({ name: 'a', size: '00000010000' })], /4096 bytes runs past/],
    ['it was cut between two members', [member({ name: 'a' })], /truncated/],
    ['it was cut in the filling behind a member', [member({ name: 'a', content: ascii('alpha') }).subarray(0, 600)], /truncated/],
    ['it is empty', [], /truncated/],
    ['two members have one name', [member({ name: 'a' }), member({ name: 'a' })], /two members named "a"/],
  ])('is refused where %s', async (_, parts, says) => {
    await expect(open(...parts)).rejects.toMatchObject({ kind: 'malformed', message: expect.stringMatching(says) });
  });

  it('is refused with more members than any model has', async () => {
    const many = Array.from({ length: 10_002 }, (_, i) => member({ name: `m${i}` }));
    await expect(open(...many)).rejects.toMatchObject({ kind: 'unsafe' });
  });

  it('is told by its first header', () => {
    expect(looksLikeTar(member({ name: 'a' }))).toBe(true);
    expect(looksLikeTar(member({ name: 'a', wrongBy: 1 }))).toBe(false);
    expect(looksLikeTar(new Uint8Array(512))).toBe(false);
    expect(looksLikeTar(member({ name: 'a' }).subarray(0, 511))).toBe(false);
  });
});
