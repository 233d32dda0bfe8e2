// @module-tag slow
/** Pictures decode to the pixels that PIL gives; hostile and damaged ones are one error each, before anything large is allocated. */
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { deflateSync } from 'node:zlib';
import { encode } from 'fast-png';
import { describe, expect, it } from 'vitest';
import { memorySource } from '../../src/bytes/byte-source.js';
import { crc32 } from '../../src/bytes/crc32.js';
import { readNpz } from '../../src/containers/npy.js';
import { decodePicture, type Picture } from '../../src/containers/pictures.js';
import { isModelError } from '../../src/errors.js';
import { tensorBytes } from '../../src/model/tensor.js';
import { exifOf, withExif } from '../exif.js';
import { expectCpuSeconds } from '../speed.js';

const FOLDER = fileURLToPath(new URL('../fixtures/pictures/', import.meta.url));
const names = readdirSync(FOLDER).filter((name) => /\.(png|jpe?g)$/.test(name));
const file = (name: string) => new Uint8Array(readFileSync(FOLDER + name));

async function expected(name: string): Promise<Uint8Array> {
  const arrays = await readNpz(memorySource(file('expected.npz'), 'expected.npz'));
  return tensorBytes(arrays.get(name)!);
}

function asRgb({ channels, data }: Picture): Uint8Array {
  return channels === 3 ? data : Uint8Array.from({ length: data.length * 3 }, (_, i) => data[Math.floor(i / 3)]!);
}

const chunk = (type: string, data: Uint8Array) => {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(Buffer.from(type, 'latin1'), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
};

/** A PNG of bytes of pixels as they are said to be. */
function png(
  width: number,
  height: number,
  pixels: Uint8Array,
  header: { depth?: number; colour?: number; interlaced?: number } = {},
  extra: Uint8Array[] = [],
) {
  const head = new Uint8Array(13);
  const view = new DataView(head.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  head.set([header.depth ?? 8, header.colour ?? 0, 0, 0, header.interlaced ?? 0], 8);
  const magic = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
  return Buffer.concat([Uint8Array.from(magic), chunk('IHDR', head), ...extra, chunk('IDAT', deflateSync(pixels)), chunk('IEND', new Uint8Array())]);
}

async function kindOf(bytes: Uint8Array): Promise<string> {
  try {
    await decodePicture(bytes, 'picture');
    return 'decoded';
  } catch (error) {
    if (!isModelError(error)) throw error;
    expect(error.message).toContain('picture');
    return error.kind;
  }
}

it('finds the fixtures', () => expect(names).toHaveLength(14));

it.each(names)('decodes %s to the pixels that PIL gives', async (name) => {
  const found = asRgb(await decodePicture(file(name), name));
  const wanted = await expected(`pixels:${name}`);
  expect(found.length).toBe(wanted.length);
  const off = found.map((value, i) => Math.abs(value - wanted[i]!));
  // Decoders of JPEG round differently.
  const [most, mean] = name.endsWith('png') ? [0, 0] : [4, 0.6];
  expect(Math.max(...off)).toBeLessThanOrEqual(most);
  expect(off.reduce((sum, value) => sum + value, 0) / off.length).toBeLessThanOrEqual(mean);
});

it('takes the upper half of sixteen bits, and pictures that are interlaced', async () => {
  const values = Uint16Array.from({ length: 5 * 7 * 3 }, (_, i) => (i * 617) % 65536);
  const deep = encode({ width: 5, height: 7, channels: 3, depth: 16, data: values });
  expect((await decodePicture(deep, 'deep')).data).toEqual(Uint8Array.from(values, (value) => value >> 8));
  const data = Uint8Array.from(values, (value) => value & 255);
  const interlaced = encode({ width: 5, height: 7, channels: 3, depth: 8, data }, { interlace: 'Adam7' });
  expect(await decodePicture(interlaced, 'interlaced')).toEqual({ width: 5, height: 7, channels: 3, data });
});

/** Each row filtered in another way. */
it('takes the filters back, of pixels of several bytes', async () => {
  const [width, height] = [6, 5];
  const plain = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * i * 7 + 13 * i) & 255);
  const at = (x: number, y: number, c: number) => (x < 0 || y < 0 ? 0 : plain[(y * width + x) * 3 + c]!);
  const rows: number[] = [];
  for (let y = 0; y < height; y++) {
    rows.push(y);
    for (let x = 0; x < width; x++)
      for (let c = 0; c < 3; c++) {
        const [left, up, corner] = [at(x - 1, y, c), at(x, y - 1, c), at(x - 1, y - 1, c)];
        const near = [left, up, corner].map((one) => Math.abs(left + up - corner - one));
        const predicted = [0, left, up, (left + up) >> 1, [left, up, corner][near.indexOf(Math.min(...near))]!][y]!;
        rows.push((at(x, y, c) - predicted) & 255);
      }
  }
  expect((await decodePicture(png(width, height, Uint8Array.from(rows), { colour: 2 }), 'filters')).data).toEqual(plain);
});

describe.each(['II', 'MM'] as const)('the turn that EXIF says (%s)', (order) => {
  const turned = (orientation: number, count = 1) => withExif(file('grey.jpg'), exifOf(orientation, order, count));
  it('is known, and no pixel is moved', async () => {
    const plain = await decodePicture(file('grey.jpg'), 'grey');
    for (const orientation of [1, 3, 6, 8]) expect(await decodePicture(turned(orientation), 'turned')).toEqual({ ...plain, isTurned: orientation > 1 });
  });
  it('is known of a PNG too', async () => {
    const pixels = Uint8Array.of(0, 7, 9);
    for (const [orientation, turn] of [
      [6, { isTurned: true }],
      [1, {}],
    ] as const) {
      const bytes = png(2, 1, pixels, {}, [chunk('eXIf', exifOf(orientation, order))]);
      expect(await decodePicture(bytes, 'turned')).toEqual({ width: 2, height: 1, channels: 1, data: pixels.subarray(1), ...turn });
    }
  });
  it('is none where there are fewer entries than it says', async () => {
    expect((await decodePicture(turned(1, 60_000), 'turned')).isTurned).toBe(false);
  });
});

it.each([
  ['RIFF\x24\0\0\0WEBPVP8 ', 'is a WebP picture; PNG and JPEG are read'],
  ['GIF89a\x01\0', 'is a GIF picture'],
  ['BM\x46\0\0\0\0\0\0\0', 'is a BMP picture'],
  ['II*\0\x08\0\0\0', 'is a TIFF picture'],
  ['MM\0*\0\0\0\x08', 'is a TIFF picture'],
  ['\0\0\0\x18ftypheic\0\0\0\0mif1heic', 'is a HEIC picture'],
  ['\0\0\0\x1cftypavif\0\0\0\0', 'is an AVIF picture'],
  ['\0\0\0\x0cjP  \r\n\x87\n', 'is a JPEG 2000 picture'],
  ['\0\0\0\x0cJXL \r\n\x87\n', 'is a JPEG XL picture'],
  ['P6 2 2 255\n', 'is a PNM picture'],
  ['<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', 'is an SVG picture'],
  ['<!DOCTYPE html><html>404</html>', 'a web page, not a picture'],
  ['version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n', 'a Git LFS pointer'],
  ['', 'is empty'],
  ['weights', 'begins neither as a PNG nor as a JPEG'],
])('calls what begins with %j by its name', async (text, said) => {
  await expect(decodePicture(Uint8Array.from(Buffer.from(text, 'latin1')), 'a.png')).rejects.toMatchObject({
    kind: 'malformed',
    message: expect.stringContaining(said),
  });
});

describe('hostile and damaged pictures', () => {
  const good = new Uint8Array(3 * 3).fill(7).map((value, i) => (i % 3 === 0 ? 0 : value));
  it.each([
    ['a good one', png(2, 3, good), 'decoded'],
    ['more pixels than are decoded', png(30_000, 30_000, good), 'unsafe'],
    ['no pixels', png(0, 3, good), 'malformed'],
    ['pixels that inflate to more', png(2, 3, new Uint8Array(2 ** 26)), 'malformed'],
    ['pixels that inflate to less', png(2, 3, good.subarray(0, 8)), 'malformed'],
    [
      'an unknown filter',
      png(
        2,
        3,
        good.map((value, i) => (i === 3 ? 9 : value)),
      ),
      'malformed',
    ],
    ['bits that are interlaced', png(2, 3, good, { depth: 1, interlaced: 1 }), 'unsupported'],
    ['an interlacing that is none', png(2, 3, good, { interlaced: 2 }), 'malformed'],
    ['a colour beyond the palette', png(1, 1, Uint8Array.of(0, 2), { colour: 3 }, [chunk('PLTE', new Uint8Array(6))]), 'malformed'],
    ['a palette that is cut', png(1, 1, Uint8Array.of(0, 0), { colour: 3 }, [chunk('PLTE', new Uint8Array(5))]), 'malformed'],
    ['a chunk that fails its checksum', png(2, 3, good).map((value, i) => (i === 29 ? value ^ 1 : value)), 'malformed'],
    ['a depth that is none', png(2, 3, good, { depth: 3 }), 'malformed'],
    ['a colour type that is none', png(2, 3, good, { colour: 5 }), 'malformed'],
    ['a palette that is missing', png(2, 3, good, { colour: 3 }), 'malformed'],
    [
      'a profile that inflates to anything',
      png(2, 3, good, {}, [chunk('iCCP', Buffer.concat([Buffer.from('x\0\0'), deflateSync(new Uint8Array(2 ** 27))]))]),
      'decoded',
    ],
    ['more parts than any has', png(2, 3, good, {}, new Array(70_000).fill(chunk('tEXt', new Uint8Array()))), 'unsafe'],
    ['no header first', Buffer.concat([png(2, 3, good).subarray(0, 8), chunk('tEXt', new Uint8Array()), png(2, 3, good).subarray(8)]), 'malformed'],
    ['a text', Buffer.from('<html>not here</html>'), 'malformed'],
    ['nothing', new Uint8Array(), 'malformed'],
  ])('%s', async (_, bytes, kind) => {
    const startedAt = process.cpuUsage();
    expect(await kindOf(bytes)).toBe(kind);
    expectCpuSeconds(process.cpuUsage(startedAt).user / 1e6, 5);
  });

  it('a JPEG that claims to be large, has countless scans, or another kind of frame', async () => {
    const bytes = file('progressive.jpg');
    const frame = bytes.findIndex((value, i) => value === 0xff && bytes[i + 1] === 0xc2);
    const changed = (at: number, values: readonly number[]) => {
      const copy = bytes.slice();
      copy.set(values, frame + at);
      return copy;
    };
    expect(await kindOf(changed(5, [0xff, 0xff, 0xff, 0xff]))).toBe('unsafe');
    // 4032 x 3024 pixels, in each of three channels.
    expect(await kindOf(changed(5, [0x0b, 0xd0, 0x0f, 0xc0, 3, 1, 0x11, 0, 2, 0x11, 1, 3, 0x11]))).toBe('unsafe');
    expect(await kindOf(changed(11, [0x01]))).toBe('malformed');
    expect(await kindOf(changed(1, [0xc3]))).toBe('unsupported');
    expect(await kindOf(changed(4, [12]))).toBe('unsupported');
    const scan = bytes.findIndex((value, i) => value === 0xff && bytes[i + 1] === 0xda);
    const many = Buffer.concat([
      changed(5, [0x0f, 0xf0, 0x0f, 0xf0]).subarray(0, scan),
      ...Array.from({ length: 5000 }, () => bytes.subarray(scan, scan + 14)),
      Uint8Array.of(0xff, 0xd9),
    ]);
    expect(await kindOf(many)).toBe('unsafe');
  });

  it.each(['rgb.png', 'full.jpg', 'progressive.jpg'])('every truncation of %s is an error', async (name) => {
    const bytes = file(name);
    for (let length = 0; length < bytes.length - 4; length += 7) {
      expect(await kindOf(bytes.subarray(0, length))).toBe('malformed');
    }
  });
});
