/**
 * SHA-1, a block of 64 bytes at a time: browsers digest only what is in memory as a whole. It finds damage, and withstands nobody who means it.
 *
 * @see https://www.rfc-editor.org/rfc/rfc3174
 */
import type { ByteSource } from './byte-source.js';

const BLOCK = 64;
const STEP_BYTES = 2 ** 20;
const CONSTANTS = [0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6] as const;

/** The digest of all bytes, in hexadecimal digits. */
export async function sha1Of(source: ByteSource): Promise<string> {
  const state = Int32Array.of(0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0);
  const length = source.byteLength;
  const whole = length - (length % BLOCK);
  for (let at = 0; at < whole; at += STEP_BYTES) digest(await source.read(at, Math.min(whole, at + STEP_BYTES)), state);
  const rest = await source.read(whole, length);
  // A bit that is set, and how many bits there are at the end of the last block.
  const last = new Uint8Array(rest.byteLength + 9 > BLOCK ? 2 * BLOCK : BLOCK);
  last.set(rest);
  last[rest.byteLength] = 0x80;
  new DataView(last.buffer).setBigUint64(last.byteLength - 8, BigInt(length) * 8n);
  digest(last, state);
  return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, '0')).join('');
}

/** @param bytes whole blocks */
function digest(bytes: Uint8Array, state: Int32Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const words = new Int32Array(80);
  for (let at = 0; at < bytes.byteLength; at += BLOCK) {
    for (let i = 0; i < 16; i++) words[i] = view.getInt32(at + 4 * i);
    for (let i = 16; i < 80; i++) words[i] = turned(words[i - 3]! ^ words[i - 8]! ^ words[i - 14]! ^ words[i - 16]!, 1);
    let a = state[0]!;
    let b = state[1]!;
    let c = state[2]!;
    let d = state[3]!;
    let e = state[4]!;
    for (let i = 0; i < 80; i++) {
      const mixed = i < 20 ? (b & c) | (~b & d) : i >= 40 && i < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
      const next = (turned(a, 5) + mixed + e + words[i]! + CONSTANTS[(i / 20) | 0]!) | 0;
      e = d;
      d = c;
      c = turned(b, 30);
      b = a;
      a = next;
    }
    state[0]! += a;
    state[1]! += b;
    state[2]! += c;
    state[3]! += d;
    state[4]! += e;
  }
}

const turned = (word: number, by: number) => (word << by) | (word >>> (32 - by));
