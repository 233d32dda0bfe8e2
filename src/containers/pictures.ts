/**
 * PNG and JPEG pictures as rows of pixels. What a file says of its size is looked at before anything is allocated for it, and of a PNG only
 * the chunks are decoded that pictures are made of: a compressed profile or text may inflate to anything.
 *
 * Pixels are those that PIL gives: no profile, gamma or turn from EXIF is applied, and transparency is dropped.
 *
 * @see https://www.w3.org/TR/png-3/ and https://www.w3.org/Graphics/JPEG/itu-t81.pdf, annex B
 */
import { memorySource } from '../bytes/byte-source.js';
import { crc32 } from '../bytes/crc32.js';
import { ModelError } from '../errors.js';
import { inflateExactly } from './inflate.js';

export interface Picture {
  readonly width: number;
  readonly height: number;
  /** 1: grey; 3: red, green, blue. */
  readonly channels: 1 | 3;
  /** Row by row, the channels of a pixel beside each other. */
  readonly data: Uint8Array;
}

const MAX_PIXELS = 2 ** 24;
const MAX_SIDE = 2 ** 15;
/** As they are filtered, beside which the pixels are held. */
const MAX_PNG_BYTES = 4 * MAX_PIXELS;
/** Each scan of a progressive JPEG passes over all of its blocks; files have ten or so. */
const MAX_SCANNED_PIXELS = 2 ** 28;
/** Decoding takes 14 bytes for each; a picture of a telephone, 4032 x 3024 pixels with halved colours, has one and a half for each of its pixels. */
const MAX_JPEG_SAMPLES = 18.5e6;
/** Four to a pixel at most, of which each takes so many bytes as the decoder counts them, and the pixels beside. */
const MAX_DECODER_MB = 512;

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
  throw new ModelError('malformed', 'begins neither as a PNG nor as a JPEG; these two are read.', { file });
}

function checkSize(width: number, height: number, file: string): void {
  if (width < 1 || height < 1) throw new ModelError('malformed', `the picture has ${width} x ${height} pixels`, { file });
  if (width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS)
    throw new ModelError('unsafe', `the picture has ${width} x ${height} pixels, and at most ${MAX_PIXELS} are decoded. Give a smaller copy.`, { file });
}

/** Colour types by their numbers: samples of a pixel, how many of them are colour, and the bits that a sample may have. */
const COLOUR_TYPES: Readonly<Record<number, { readonly channels: number; readonly kept: 1 | 3; readonly depths: readonly number[] }>> = {
  0: { channels: 1, kept: 1, depths: [1, 2, 4, 8, 16] },
  2: { channels: 3, kept: 3, depths: [8, 16] },
  3: { channels: 1, kept: 3, depths: [1, 2, 4, 8] },
  4: { channels: 2, kept: 1, depths: [8, 16] },
  6: { channels: 4, kept: 3, depths: [8, 16] },
};

interface Chunk {
  readonly type: string;
  readonly data: Uint8Array;
}

/** Every how many pixels, from which on, and how many of them there are, across and down. */
interface Pass {
  readonly from: readonly [x: number, y: number];
  readonly step: readonly [x: number, y: number];
  readonly width: number;
  readonly height: number;
}

async function decodePng(bytes: Uint8Array, file: string): Promise<Picture> {
  const chunks = pngChunks(bytes, file);
  const damaged = (problem: string) => new ModelError('malformed', problem, { file });
  const header = chunks[0]?.type === 'IHDR' && chunks[0].data.length === 13 ? chunks[0].data : null;
  if (!header) throw damaged('the PNG does not begin with its header');
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const [width, height, depth, colourType] = [view.getUint32(0), view.getUint32(4), header[8]!, header[9]!];
  checkSize(width, height, file);
  const colours = COLOUR_TYPES[colourType];
  if (!colours) throw damaged(`the PNG has the colour type ${colourType}`);
  const { channels, kept, depths } = colours;
  if (!depths.includes(depth)) throw damaged(`the PNG has ${depth} bits a sample, and ${depths.join(', ')} are possible`);
  if (header[10] !== 0 || header[11] !== 0 || header[12]! > 1) throw damaged('the PNG is compressed, filtered or interlaced in a way that there is not');
  const palette = colourType === 3 ? chunks.find(({ type }) => type === 'PLTE')?.data : undefined;
  if (colourType === 3 && (!palette || palette.length % 3 !== 0)) throw damaged('the PNG has no palette');
  const passes = pngPasses(width, height, header[12] === 1);
  const rowBytes = (pass: Pass) => Math.ceil((depth * channels * pass.width) / 8);
  const byteLength = passes.reduce((sum, pass) => sum + (rowBytes(pass) + 1) * pass.height, 0);
  if (byteLength > MAX_PNG_BYTES)
    throw new ModelError('unsafe', `the PNG has ${byteLength} bytes of pixels, and at most ${MAX_PNG_BYTES} are decoded.`, { file });
  const packed = joined(chunks.filter(({ type }) => type === 'IDAT').map(({ data }) => data));
  const rows = await inflateExactly(memorySource(packed, file), 'zlib', byteLength);
  if (typeof rows === 'string') throw damaged(`what should be ${width} x ${height} pixels ${rows}`);
  const data = new Uint8Array(width * height * kept);
  const largest = 2 ** depth - 1;
  let start = 0;
  for (const pass of passes) {
    const length = rowBytes(pass);
    let above: Uint8Array = new Uint8Array(length);
    for (let y = 0; y < pass.height; y++, start += length + 1) {
      const row = rows.subarray(start + 1, start + 1 + length);
      if (!unfilter(rows[start]!, row, above, Math.max(1, (depth * channels) >> 3))) throw damaged(`the PNG has the filter ${rows[start]}`);
      above = row;
      const target = (pass.from[1] + y * pass.step[1]) * width + pass.from[0];
      for (let x = 0; x < pass.width; x++) {
        const at = (target + x * pass.step[0]) * kept;
        if (palette) {
          const colour = 3 * sampleOf(row, x, depth);
          if (colour >= palette.length) throw damaged(`the PNG has colours beyond its palette of ${palette.length / 3}`);
          for (let c = 0; c < 3; c++) data[at + c] = palette[colour + c]!;
        } else
          for (let c = 0; c < kept; c++) {
            const sample = sampleOf(row, x * channels + c, depth);
            data[at + c] = depth < 8 ? sample * (255 / largest) : sample;
          }
      }
    }
  }
  return { width, height, channels: kept, data };
}

/** The upper eight bits of a sample, or all of fewer. */
function sampleOf(row: Uint8Array, i: number, depth: number): number {
  if (depth >= 8) return row[i * (depth >> 3)]!;
  const bit = i * depth;
  return (row[bit >> 3]! >> (8 - depth - (bit & 7))) & ((1 << depth) - 1);
}

/**
 * Turns a row of differences into values, where it lies.
 *
 * @param width bytes from a sample to the same one of the pixel before
 * @returns false for a filter that there is not
 * @see https://www.w3.org/TR/png-3/#9Filters
 */
function unfilter(filter: number, row: Uint8Array, above: Uint8Array, width: number): boolean {
  switch (filter) {
    case 0:
      return true;
    case 1:
      for (let i = width; i < row.length; i++) row[i]! += row[i - width]!;
      return true;
    case 2:
      for (let i = 0; i < row.length; i++) row[i]! += above[i]!;
      return true;
    case 3:
      for (let i = 0; i < row.length; i++) row[i]! += ((i < width ? 0 : row[i - width]!) + above[i]!) >> 1;
      return true;
    case 4:
      for (let i = 0; i < row.length; i++) row[i]! += i < width ? above[i]! : paeth(row[i - width]!, above[i]!, above[i - width]!);
      return true;
    default:
      return false;
  }
}

/** Whichever of the three is nearest to left + up - corner, the first of those that are equally near. */
function paeth(left: number, up: number, corner: number): number {
  const toLeft = Math.abs(up - corner);
  const toUp = Math.abs(left - corner);
  const toCorner = Math.abs(left + up - 2 * corner);
  if (toLeft <= toUp && toLeft <= toCorner) return left;
  return toUp <= toCorner ? up : corner;
}

/** One, or the seven of an interlaced picture, but those without pixels. */
function pngPasses(width: number, height: number, isInterlaced: boolean): readonly Pass[] {
  if (!isInterlaced) return [{ from: [0, 0], step: [1, 1], width, height }];
  const starts = [
    [0, 0, 8, 8],
    [4, 0, 8, 8],
    [0, 4, 4, 8],
    [2, 0, 4, 4],
    [0, 2, 2, 4],
    [1, 0, 2, 2],
    [0, 1, 1, 2],
  ] as const;
  return starts
    .map(([x, y, right, down]): Pass => ({ from: [x, y], step: [right, down], width: Math.ceil((width - x) / right), height: Math.ceil((height - y) / down) }))
    .filter((pass) => pass.width > 0 && pass.height > 0);
}

/** Chunks that pictures are made of: what else there is, such as a profile, is not looked at. */
const NEEDED: ReadonlySet<string> = new Set(['IHDR', 'PLTE', 'IDAT', 'IEND']);

/** The chunks as far as the last one. @throws ModelError 'malformed' where one leaves the file or fails its checksum, or there is no last one */
function pngChunks(bytes: Uint8Array, file: string): Chunk[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const chunks: Chunk[] = [];
  for (let at = PNG_MAGIC.length; at + 12 <= bytes.length; ) {
    const end = at + 12 + view.getUint32(at);
    if (end > bytes.length) break;
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (NEEDED.has(type)) {
      if (crc32(bytes.subarray(at + 4, end - 4)) !== view.getUint32(end - 4))
        throw new ModelError('malformed', `a chunk of the PNG (${type}) fails its checksum`, { file, offset: at });
      chunks.push({ type, data: bytes.subarray(at + 8, end - 4) });
    }
    if (type === 'IEND') return chunks;
    at = end;
  }
  throw new ModelError('malformed', 'the PNG ends before its last chunk. Is it truncated?', { file });
}

async function decodeJpeg(bytes: Uint8Array, file: string): Promise<Picture> {
  const { width, height, components, samples, scans } = jpegFrame(bytes, file);
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
  const decoded = decode(bytes, { useTArray: true, formatAsRGBA: false, tolerantDecoding: false, ...limits });
  if (components !== 1) return { width, height, channels: 3, data: decoded.data };
  const data = new Uint8Array(width * height);
  for (let i = 0; i < data.length; i++) data[i] = decoded.data[3 * i]!;
  return { width, height, channels: 1, data };
}

/** Frames that are read: baseline, extended and progressive, with Huffman codes. */
const FRAMES: ReadonlySet<number> = new Set([0xc0, 0xc1, 0xc2]);

interface JpegFrame {
  readonly width: number;
  readonly height: number;
  readonly components: number;
  /** Of all its channels, which may have fewer than the picture has pixels. */
  readonly samples: number;
}

/** What the frame says, and in how many scans its values come. @throws ModelError 'malformed' where there is none, 'unsupported' for another kind */
function jpegFrame(bytes: Uint8Array, file: string): JpegFrame & { readonly scans: number } {
  let frame: JpegFrame | null = null;
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
      frame = { height, width, components, samples };
    }
    if (marker === 0xda) scans++;
    at += 2 + Math.max(2, at16(at + 2));
  }
  if (!frame || scans === 0 || !isWhole) throw new ModelError('malformed', 'the JPEG ends before its last marker. Is it truncated?', { file });
  if (![1, 3, 4].includes(frame.components)) throw new ModelError('unsupported', `the JPEG has ${frame.components} channels; 1, 3 and 4 are read.`, { file });
  return { ...frame, scans };
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
