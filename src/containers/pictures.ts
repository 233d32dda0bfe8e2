/**
 * PNG and JPEG pictures as rows of pixels. What a file says of its size is looked at before anything is allocated for it, and of a PNG only
 * the chunks are decoded that pictures are made of: a compressed profile or text may inflate to anything.
 *
 * Pixels are those that PIL gives: no profile, gamma or turn from EXIF is applied, and transparency is dropped.
 *
 * @see https://www.w3.org/TR/png-3/ and https://www.w3.org/Graphics/JPEG/itu-t81.pdf, annex B
 */
import { memorySource } from '../bytes/byte-source.js';
import { describeLeftover, spell } from '../bytes/leftover.js';
import { ModelError } from '../errors.js';
import { inflateExactly } from './inflate.js';
import { coloured, type Sampling } from './jpeg-colours.js';

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** 1: grey; 3: red, green, blue. */
  readonly channels: 1 | 3;
  /** Row by row, the channels of a pixel beside each other. */
  readonly data: Uint8Array;
  /** Whether EXIF says that it is to be turned or mirrored before it is looked at. */
  readonly isTurned?: boolean;
}

const MAX_PIXELS = 2 ** 24;
const MAX_SIDE = 2 ** 15;
/** They are held five times while a PNG is decoded; a picture of a telephone, 4032 x 3024 pixels, has so many without transparency. */
const MAX_PNG_BYTES = 37e6;
/** Each scan of a progressive JPEG passes over all of its blocks; files have ten or so. */
const MAX_SCANNED_PIXELS = 2 ** 28;
/** Decoding takes 14 bytes for each; a picture of a telephone, 4032 x 3024 pixels with halved colours, has one and a half for each of its pixels. */
const MAX_JPEG_SAMPLES = 18.5e6;
/** Four to a pixel at most, of which each takes so many bytes as the decoder counts them, and the pixels beside. */
const MAX_DECODER_MB = 512;

/** Writers put some kilobytes into each, and what is said beside the pixels into a few. */
const MAX_PNG_CHUNKS = 65_536;

const PNG_MAGIC = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const JPEG_MAGIC = [0xff, 0xd8, 0xff];

/** @throws ModelError 'malformed' for what is no picture or a damaged one, 'unsafe' for one that is too large, 'unsupported' for another kind */
export async function decodePicture(bytes: Uint8Array, file: string): Promise<Picture> {
  const starts = (magic: readonly number[]) => magic.every((byte, i) => bytes[i] === byte);
  try {
    if (starts(PNG_MAGIC)) return await decodePng(bytes, file);
    if (starts(JPEG_MAGIC)) return await decodeJpeg(bytes, file);
  } catch (error) {
    if (error instanceof ModelError) throw error;
    throw new ModelError('malformed', `the picture is damaged: ${(error as Error).message}`, { file }, error);
  }
  throw new ModelError('malformed', whatElse(bytes, file), { file });
}

/** Other kinds of pictures by their first bytes. */
const OTHERS: readonly (readonly [head: RegExp, name: string])[] = [
  [/^RIFF[\s\S]{4,12}WEBP/, 'a WebP'],
  [/^GIF8/, 'a GIF'],
  [/^BM/, 'a BMP'],
  [/^(II\*|MM%00\*)/, 'a TIFF'],
  [/ftyp(heic|heix|hevc|mif1|msf1)/, 'a HEIC'],
  [/ftypavi[fs]/, 'an AVIF'],
  [/^(%00%00%00%0cjP {2}|%ffO%ffQ)/, 'a JPEG 2000'],
  [/^(%00%00%00%0cJXL |%ff\n)/, 'a JPEG XL'],
  [/^P[1-7]\s/, 'a PNM'],
  [/^(<\?xml[^>]*>\s*)?<svg\b/, 'an SVG'],
];
const HEAD_BYTES = 256;

/** What a file is that is neither a PNG nor a JPEG, whatever its name says. */
function whatElse(bytes: Uint8Array, file: string): string {
  if (bytes.length === 0) return 'is empty.';
  const head = bytes.subarray(0, HEAD_BYTES);
  const leftover = describeLeftover({ name: file, byteLength: bytes.length, head, tail: head });
  if (leftover !== null) return leftover.replace('not a model', 'not a picture');
  const other = OTHERS.find(([sign]) => sign.test(spell(head)))?.[1];
  if (other) return `is ${other} picture; PNG and JPEG are read: give a copy in one of them.`;
  return 'begins neither as a PNG nor as a JPEG; these two are read.';
}

function checkSize(width: number, height: number, file: string): void {
  if (width < 1 || height < 1) throw new ModelError('malformed', `the picture has ${width} x ${height} pixels`, { file });
  if (width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS)
    throw new ModelError('unsafe', `the picture has ${width} x ${height} pixels, and at most ${MAX_PIXELS} are decoded. Give a smaller copy.`, { file });
}

const CHANNELS_OF_COLOUR_TYPE: Readonly<Record<number, number>> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

interface Chunk {
  readonly type: string;
  /** With length, type and checksum. */
  readonly whole: Uint8Array;
  readonly data: Uint8Array;
}

async function decodePng(bytes: Uint8Array, file: string): Promise<Picture> {
  const chunks = pngChunks(bytes, file);
  const header = chunks[0]?.type === 'IHDR' && chunks[0].data.length === 13 ? chunks[0].data : null;
  if (!header) throw new ModelError('malformed', 'the PNG does not begin with its header', { file });
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const [width, height, depth, colourType] = [view.getUint32(0), view.getUint32(4), header[8]!, header[9]!];
  checkSize(width, height, file);
  const channels = CHANNELS_OF_COLOUR_TYPE[colourType];
  if (channels === undefined) throw new ModelError('malformed', `the PNG has the colour type ${colourType}`, { file });
  const packed = chunks.filter(({ type }) => type === 'IDAT');
  const isInterlaced = header[12] !== 0;
  if (isInterlaced && depth < 8) throw new ModelError('unsupported', `the PNG is interlaced, with ${depth} bits a sample, which is not read.`, { file });
  const byteLength = pngPasses(width, height, isInterlaced).reduce((sum, [w, h]) => sum + (w && h && (Math.ceil((depth * channels * w) / 8) + 1) * h), 0);
  if (byteLength > MAX_PNG_BYTES)
    throw new ModelError('unsafe', `the PNG has ${byteLength} bytes of pixels, and at most ${MAX_PNG_BYTES} are decoded.`, { file });
  // The decoder looks neither at how much there is nor at the checksum.
  const inflated = await inflateExactly(memorySource(joined(packed.map(({ data }) => data)), file), 'zlib', byteLength);
  if (typeof inflated === 'string') throw new ModelError('malformed', `what should be ${width} x ${height} pixels ${inflated}`, { file });
  const { decode, convertIndexedToRgb } = await import('fast-png');
  const decoded = decode(joined([Uint8Array.from(PNG_MAGIC), ...chunks.filter(({ type }) => type !== 'eXIf').map(({ whole }) => whole)]), { checkCrc: true });
  const turn = chunks.some(({ type, data }) => type === 'eXIf' && orientationOf(data) > UPRIGHT) ? { isTurned: true } : {};
  if (colourType === 3) return { width, height, channels: 3, data: convertIndexedToRgb(decoded), ...turn };
  const values = bytesOf(decoded.data, width * channels, depth);
  return channels === 1 || channels === 3 ? { width, height, channels, data: values, ...turn } : { width, height, ...withoutAlpha(values, channels), ...turn };
}

/** Width and height of each pass; of an interlaced picture there are seven. */
function pngPasses(width: number, height: number, isInterlaced: boolean): readonly (readonly [number, number])[] {
  if (!isInterlaced) return [[width, height]];
  const starts = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
  ] as const;
  return starts.map(([x, y, right, down]) => [Math.ceil((width - x) / right), Math.ceil((height - y) / down)]);
}

/** What pixels are made of, and which way they are turned; nothing else that stands beside them is looked at. */
const READ: ReadonlySet<string> = new Set(['IHDR', 'PLTE', 'IDAT', 'IEND', 'eXIf']);

/** The first chunk, and those that are read, as far as the last one. @throws ModelError 'malformed' where one leaves the file, or there is no last one */
function pngChunks(bytes: Uint8Array, file: string): Chunk[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks: Chunk[] = [];
  let count = 0;
  for (let at = PNG_MAGIC.length; at + 12 <= bytes.length; ) {
    if (++count > MAX_PNG_CHUNKS) throw new ModelError('unsafe', `the PNG has more than ${MAX_PNG_CHUNKS} parts`, { file });
    const length = view.getUint32(at);
    const end = at + 12 + length;
    if (end > bytes.length) break;
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (count === 1 || READ.has(type)) chunks.push({ type, whole: bytes.subarray(at, end), data: bytes.subarray(at + 8, end - 4) });
    if (type === 'IEND') return chunks;
    at = end;
  }
  throw new ModelError('malformed', 'the PNG ends before its last chunk. Is it truncated?', { file });
}

/** Samples of any depth as bytes: less of sixteen bits, more of fewer than eight. */
function bytesOf(data: Uint8Array | Uint8ClampedArray | Uint16Array, perRow: number, depth: number): Uint8Array {
  if (depth === 8) return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  if (depth === 16) {
    const bytes = new Uint8Array(data.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = data[i]! >> 8;
    return bytes;
  }
  const largest = 2 ** depth - 1;
  const rowBytes = Math.ceil((perRow * depth) / 8);
  const rows = data.length / rowBytes;
  const values = new Uint8Array(rows * perRow);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let i = 0; i < perRow; i++) {
      const bit = i * depth;
      const byte = data[row * rowBytes + (bit >> 3)]!;
      values[at++] = ((byte >> (8 - depth - (bit & 7))) & largest) * (255 / largest);
    }
  }
  return values;
}

function withoutAlpha(values: Uint8Array, channels: number): Pick<Picture, 'channels' | 'data'> {
  const kept = channels === 2 ? 1 : 3;
  const data = new Uint8Array((values.length / channels) * kept);
  for (let from = 0, to = 0; from < values.length; from += channels) for (let c = 0; c < kept; c++) data[to++] = values[from + c]!;
  return { channels: kept, data };
}

async function decodeJpeg(bytes: Uint8Array, file: string): Promise<Picture> {
  const { width, height, components, samplings, samples, colours, scans, isTurned } = jpegFrame(bytes, file);
  checkSize(width, height, file);
  if (samples > MAX_JPEG_SAMPLES)
    throw new ModelError(
      'unsafe',
      `the JPEG has ${samples} samples in its ${components} channels, and at most ${MAX_JPEG_SAMPLES} are decoded. Give a smaller copy.`,
      { file },
    );
  if (width * height * scans > MAX_SCANNED_PIXELS)
    throw new ModelError('unsafe', `the JPEG has ${width} x ${height} pixels in ${scans} scans, which takes too long to decode.`, { file });
  const { decode } = await import('jpeg-js');
  const limits = { maxResolutionInMP: MAX_PIXELS / 1e6, maxMemoryUsageInMB: MAX_DECODER_MB };
  // Of three channels they come as they are stored; the decoder takes more notice of a marker than of that.
  const stored = components === 3 ? withoutTransform(bytes) : bytes;
  const decoded = decode(stored, {
    useTArray: true,
    formatAsRGBA: false,
    tolerantDecoding: false,
    ...(components === 3 ? { colorTransform: false } : {}),
    ...limits,
  });
  if (components === 3 && colours === 'YCbCr') coloured(decoded.data, width, height, samplings);
  if (components !== 1) return { width, height, channels: 3, data: decoded.data, isTurned };
  const data = new Uint8Array(width * height);
  for (let i = 0; i < data.length; i++) data[i] = decoded.data[3 * i]!;
  return { width, height, channels: 1, data, isTurned };
}

/** Frames that are read: baseline, extended and progressive, with Huffman codes. */
const FRAMES: ReadonlySet<number> = new Set([0xc0, 0xc1, 0xc2]);

interface JpegFrame {
  readonly width: number;
  readonly height: number;
  readonly components: number;
  /** Of all its channels, which may have fewer than the picture has pixels. */
  readonly samples: number;
  readonly samplings: readonly Sampling[];
}

/** What the frame says, what three channels are, and in how many scans their values come. @throws ModelError 'malformed' where there is none, 'unsupported' for another kind */
function jpegFrame(bytes: Uint8Array, file: string): JpegFrame & Pick<Picture, 'isTurned'> & { readonly colours: 'YCbCr' | 'RGB'; readonly scans: number } {
  let frame: JpegFrame | null = null;
  let names = '';
  let isJfif = false;
  let isTurned = false;
  let transform: number | null = null;
  let scans = 0;
  let isWhole = false;
  const at16 = (at: number) => (bytes[at]! << 8) | bytes[at + 1]!;
  for (let at = 2; at + 2 <= bytes.length; ) {
    if (bytes[at] !== 0xff) {
      at++; // The values of a scan, in which 0xff stands before zero or a number of a restart.
      continue;
    }
    const marker = bytes[at + 1]!;
    const isBare = marker === 0x00 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd8);
    isWhole = marker === 0xd9;
    if (isWhole) break;
    if (isBare) {
      at += marker === 0xff ? 1 : 2;
      continue;
    }
    if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
      if (at + 10 > bytes.length) break;
      if (!FRAMES.has(marker)) throw new ModelError('unsupported', 'the JPEG is lossless, hierarchical or arithmetic-coded, which is not read.', { file });
      if (bytes[at + 4] !== 8) throw new ModelError('unsupported', `the JPEG has ${bytes[at + 4]} bits a sample; 8 are read.`, { file });
      if (frame) throw new ModelError('malformed', 'the JPEG has two frames', { file });
      const [height, width, components] = [at16(at + 5), at16(at + 7), bytes[at + 9]!];
      const factors = Array.from({ length: components }, (_, i) => bytes[at + 11 + 3 * i] ?? 0).map((byte) => [byte >> 4, byte & 15] as const);
      if (factors.some((pair) => pair.some((factor) => factor < 1 || factor > 4)))
        throw new ModelError('malformed', 'the JPEG samples its channels in a way that there is not', { file });
      const [across, down] = [Math.max(...factors.map(([x]) => x)), Math.max(...factors.map(([, y]) => y))];
      const samples = factors.reduce((sum, [x, y]) => sum + Math.ceil((width * x) / across) * Math.ceil((height * y) / down), 0);
      const samplings = factors.map(([x, y]) => ({ across: x / across, down: y / down }));
      frame = { height, width, components, samples, samplings };
      names = String.fromCharCode(...Array.from({ length: components }, (_, i) => bytes[at + 10 + 3 * i] ?? 0));
    }
    if (marker === 0xe1 && holdsText(bytes, at + 4, 'Exif')) isTurned ||= orientationOf(bytes.subarray(at + 4 + EXIF_BYTES, at + 2 + at16(at + 2))) > UPRIGHT;
    if (marker === 0xe0 && holdsText(bytes, at + 4, 'JFIF')) isJfif = true;
    if (marker === ADOBE && holdsText(bytes, at + 4, 'Adobe')) transform = bytes[at + 4 + ADOBE_TRANSFORM] ?? null;
    if (marker === 0xda) scans++;
    at += 2 + Math.max(2, at16(at + 2));
  }
  if (!frame || scans === 0 || !isWhole) throw new ModelError('malformed', 'the JPEG ends before its last marker. Is it truncated?', { file });
  if (![1, 3, 4].includes(frame.components)) throw new ModelError('unsupported', `the JPEG has ${frame.components} channels; 1, 3 and 4 are read.`, { file });
  // As libjpeg tells them: JFIF has one way, Adobe says which, and else three channels may be called R, G and B.
  const isRgb = !isJfif && (transform === null ? names === 'RGB' : transform === 0);
  return { ...frame, colours: isRgb ? 'RGB' : 'YCbCr', scans, isTurned };
}

/** `Exif` and two zeros, before what is a TIFF file of its own. */
const EXIF_BYTES = 6;
const ORIENTATION = 0x0112;
const UPRIGHT = 1;

/** From 1, upright, to 8; upright where nothing says it. @see https://www.cipa.jp/std/documents/e/DC-X008-Translation-2019-E.pdf, 4.6.4 */
function orientationOf(tiff: Uint8Array): number {
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.byteLength);
  const isLittle = tiff[0] === 0x49;
  const at16 = (at: number) => (at + 2 <= tiff.length ? view.getUint16(at, isLittle) : 0);
  const first = tiff.length >= 8 ? view.getUint32(4, isLittle) : tiff.length;
  for (let i = 0, at = first + 2; i < at16(first); i++, at += 12) if (at16(at) === ORIENTATION) return at16(at + 8);
  return UPRIGHT;
}

const ADOBE = 0xee;
/** Where Adobe's marker says how colours were transformed, behind its length. */
const ADOBE_TRANSFORM = 11;

function holdsText(bytes: Uint8Array, at: number, text: string): boolean {
  return [...text].every((letter, i) => bytes[at + i] === letter.charCodeAt(0));
}

/** A copy whose Adobe marker, if there is one, says of no transform. */
function withoutTransform(bytes: Uint8Array): Uint8Array {
  for (let at = 2; at + 4 + ADOBE_TRANSFORM < bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda; ) {
    if (bytes[at + 1] === ADOBE && holdsText(bytes, at + 4, 'Adobe')) return bytes.with(at + 4 + ADOBE_TRANSFORM, 0);
    at += bytes[at + 1] === 0xff ? 1 : 2 + ((bytes[at + 2]! << 8) | bytes[at + 3]!);
  }
  return bytes;
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
