/** How pickles spell texts: UTF-8, Latin-1, Python's quoted literals (protocol 0) and its raw Unicode escapes (protocol 0). */
import { decodeLatin1 } from '../../bytes/latin1.js';

export type TextEncoding = 'utf-8' | 'latin1' | 'quoted' | 'escaped';

const UTF8 = new TextDecoder('utf-8', { ignoreBOM: true });

export function decodeText(bytes: Uint8Array, encoding: TextEncoding): string {
  switch (encoding) {
    case 'utf-8':
      return UTF8.decode(bytes);
    case 'latin1':
      return decodeLatin1(bytes);
    case 'quoted':
      return unquote(decodeLatin1(bytes)) ?? '';
    case 'escaped':
      return unescapeUnicode(decodeLatin1(bytes));
  }
}

/** The characters of a text as bytes, those of Latin-1. */
export function encodingBytes(bytes: Uint8Array, encoding: TextEncoding): Uint8Array {
  return encoding === 'latin1' ? bytes : latin1Bytes(decodeText(bytes, encoding));
}

export function latin1Bytes(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\x07', b: '\b', f: '\f', v: '\v', '\n': '' };

/** A Python literal in quotes; null where it has none. */
export function unquote(text: string): string | null {
  const quote = text[0];
  if (text.length < 2 || (quote !== "'" && quote !== '"') || text.at(-1) !== quote) return null;
  return text.slice(1, -1).replace(/\\(?:x([0-9a-f]{2})|([0-7]{1,3})|([\s\S]))/gi, (_, hex?: string, octal?: string, letter = '') => {
    if (hex !== undefined) return String.fromCharCode(Number.parseInt(hex, 16));
    if (octal !== undefined) return String.fromCharCode(Number.parseInt(octal, 8) & 255);
    return ESCAPES[letter] ?? (/['"\\]/.test(letter) ? letter : `\\${letter}`);
  });
}

/** Python's raw-unicode-escape: Latin-1, in which only backslash, u and four digits (or U and eight) mean something. */
function unescapeUnicode(text: string): string {
  return text.replace(/\\(?:u([0-9a-f]{4})|U([0-9a-f]{8}))/g, (whole, short?: string, long?: string) => {
    const code = Number.parseInt(short ?? long!, 16);
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
