/**
 * Writes PNG: 8 bits a channel, one deflated run of rows.
 *
 * @see https://www.w3.org/TR/png-3/
 */
import { zlibSync } from 'fflate';
import { concatBytes } from '../bytes/byte-sink.js';
import { crc32 } from '../bytes/crc32.js';

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** The colour type that a number of channels means: grey, RGB, RGBA. */
const COLOUR_TYPES = { 1: 0, 3: 2, 4: 6 } as const;

export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** Grey, RGB, or RGB with opacity. */
  readonly channels: 1 | 3 | 4;
  /** Rows from the top, a byte for each channel. */
  readonly bytes: Uint8Array;
}

export function encodePng({ width, height, channels, bytes }: Pixels): Uint8Array {
  const header = new Uint8Array(13);
  const view = new DataView(header.buffer);
  view.setUint32(0, width);
  view.setUint32(4, height);
  header.set([8, COLOUR_TYPES[channels]], 8);
  // Each row begins with the number of its filter; 0 is none.
  const stride = width * channels;
  const rows = new Uint8Array(height * (stride + 1));
  for (let y = 0; y < height; y++) rows.set(bytes.subarray(y * stride, (y + 1) * stride), y * (stride + 1) + 1);
  return concatBytes([SIGNATURE, chunk('IHDR', header), chunk('IDAT', zlibSync(rows)), chunk('IEND', new Uint8Array())]);
}

/** For `src` of an image in a page that loads nothing. */
export function pngDataUri(png: Uint8Array): string {
  let text = '';
  for (let at = 0; at < png.length; at += 0x8000) text += String.fromCharCode(...png.subarray(at, at + 0x8000));
  return `data:image/png;base64,${btoa(text)}`;
}

function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.byteLength);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.byteLength);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.byteLength, crc32(bytes.subarray(4, 8 + data.byteLength)));
  return bytes;
}
