/** What a failed download leaves in the place of a file, and how well-known content is told at all: by a table of signs. */
import { ModelError } from '../errors.js';
import type { ByteSource } from './byte-source.js';
import { decodeLatin1 } from './latin1.js';

/** How content is told: all that is given must hold. */
export interface Sign {
  /** The first bytes as `spell` has them. */
  readonly head?: RegExp;
  readonly name?: RegExp;
  /** Larger files are something else. */
  readonly maxBytes?: number;
}

export interface Content extends Sign {
  readonly what: string;
}

/** The first bytes of a file, and what it is called. */
export interface Look {
  readonly name: string;
  readonly byteLength: number;
  readonly head: Uint8Array;
  readonly tail: Uint8Array;
}

const SERVER_ERROR = 'an error message of a server, not a model';

/** What is left where a file should be; looked for in the files beside a model too. */
const LEFTOVERS: readonly Content[] = [
  { head: /^version https:\/\/git-lfs/, what: 'a Git LFS pointer, not the file itself: run "git lfs pull"' },
  {
    head: /^# ?xet version|^version https:\/\/hawser/,
    what: 'a pointer to the file, not the file itself: fetch it with the tool that keeps large files of this repository',
  },
  {
    head: /^(<!--(?:(?!-->)[\s\S])*-->\s*|<\?xml[^>]*>\s*)*<(!doctype html|html|head|body|script|meta)\b/i,
    what: 'a web page, not a model: the download link probably needs a login',
  },
  { head: /^(<\?xml[^>]*>\s*)?<(Error|ListBucketResult|html:html)\b/, maxBytes: 65_536, what: SERVER_ERROR },
  {
    head: /^("?\s*)?(([45]\d\d)?:?\s*(error|not found|entry not found|repository not found|access denied|access to .* is restricted|forbidden|unauthorized|invalid (username|credentials)|bad gateway|bad request|service (temporarily )?unavailable|internal server error|too many requests|rate limit|gateway time-?out|the resource you are looking|nosuchkey|request has expired|file not found|no such (file|key|object)|quota exceeded|sorry, you can't))/i,
    maxBytes: 4096,
    what: SERVER_ERROR,
  },
  { head: /^[45]\d\d:? [A-Z]/, maxBytes: 4096, what: SERVER_ERROR },
  {
    head: /^(\.\.?\/)*(\.git|\/)?\/?annex\/objects\/|^(\.\.\/)+blobs\/[0-9a-f]{40,64}$/,
    maxBytes: 1024,
    what: 'the place of a file that is kept elsewhere (a link of git-annex or of a cache that became text), not the file itself: fetch it, or copy what the link leads to',
  },
  {
    head: /^(%ff%fe([\t\r\n\x20-\x7e]%00){4}|%fe%ff(%00[\t\r\n\x20-\x7e]){4})/,
    what: "text in UTF-16, as PowerShell's > and some editors write it: save it as UTF-8",
  },
  {
    head: /^%89HDF(\n%1a\n|\r\r\n%1a\r\n|\r\n%1a\r\n)/,
    what: 'an HDF5 file whose line ends were changed on the way (a transfer as text, or git): get it anew, as binary',
  },
  { head: /^(md5:[^\n]*\n)?(outs|deps):\s*\n- (md5|etag|hash|path|url)/, maxBytes: 4096, what: 'a pointer of DVC, not the file itself: run "dvc pull"' },
];

/** Answers of servers in JSON; a JSON file beside a model may say such things too, so they are looked for in a model's place only. */
export const SERVER_JSON: Content = {
  head: /^\{[\s\S]*"(error|errors|message|detail|error_description)"\s*:/,
  maxBytes: 4096,
  what: SERVER_ERROR,
};

/** Of a pointer to a large file there are some 130 bytes. */
const LEFTOVER_BYTES = 256;

/** @throws ModelError 'malformed' where a file beside a model is what a failed download left there */
export async function refuseLeftover(source: ByteSource): Promise<void> {
  const found = describeLeftover(await lookAt(source, source.name, LEFTOVER_BYTES));
  if (found !== null) throw new ModelError('malformed', found, { file: source.name });
}

/** A sentence about what a failed download leaves in a file's place, or null. */
export function describeLeftover(look: Look): string | null {
  const found = LEFTOVERS.find((content) => holds(content, look));
  return found ? sentence(found, look) : null;
}

const UNFINISHED = /\.(part|partial|crdownload|download|opdownload|aria2|incomplete|unfinished|filepart|!ut|!qb|bc!|td|xltd|tmp|temp)$/i;
/** As split, 7-Zip, WinRAR and uploaders name the pieces. */
const PIECE = /\.(0\d\d|z\d\d|r\d\d|part-?\d+|x?a[a-z]|chunk-?\d+)$/i;

/** What else is wrong with a file that could not be read, or null: signs of a download that has not come to its end, of a file in pieces, of a transfer as text. */
export function unfinishedHint({ name, byteLength, head, tail }: Look): string | null {
  const suffix = UNFINISHED.exec(name)?.[0];
  if (suffix !== undefined) return `The name ends in ${suffix}: the download has not come to its end.`;
  const text = wasText(head);
  if (LINE_ENDS.every((byte, i) => head[i] === byte))
    return 'Its line ends were changed on the way (a transfer as text, or git): get the file anew, as binary.';
  if (text === 'replaced')
    return 'Its bytes went through a program that took them for text (what is no UTF-8 became U+FFFD) and are lost: get the file anew, as binary.';
  if (text === 'widened')
    return 'Its bytes went through a program that took them for text (each from 128 on became two, as Latin-1 does in UTF-8): get the file anew, as binary.';
  const piece = PIECE.exec(name)?.[0];
  if (piece !== undefined) return `The name ends in ${piece}, as those of files do that were split: join it with its other parts first.`;
  return byteLength > 2 * tail.byteLength && isZero(tail) ? `Its last ${tail.byteLength} bytes are zero: it was probably not downloaded to its end.` : null;
}

/** How a PyTorch file of before 1.6 begins, with a carriage return before the first line feed. */
const LINE_ENDS = [0x80, 2, 0x8a, 0x0d, 0x0a] as const;
/** U+FFFD in UTF-8, which stands for bytes that are none. */
const REPLACED = [0xef, 0xbf, 0xbd] as const;

/**
 * Whether a program took the bytes for text: what is no UTF-8 became U+FFFD, or every byte from 128 on became two. Weights have all 256 bytes
 * about as often, and those pairs make up a hundredth of a percent of them.
 */
function wasText(head: Uint8Array): 'replaced' | 'widened' | null {
  let replaced = 0;
  let widened = 0;
  let high = 0;
  for (let i = 0; i < head.length; i++) {
    if (REPLACED.every((byte, j) => head[i + j] === byte)) replaced++;
    if (head[i]! < 0x80) continue;
    high++;
    if ((head[i] === 0xc2 || head[i] === 0xc3) && (head[i + 1] ?? 0) >= 0x80 && (head[i + 1] ?? 0) < 0xc0) widened++;
  }
  if (replaced >= 8 && replaced * 6 > high) return 'replaced';
  return widened >= 16 && widened * 2 >= high - 1 ? 'widened' : null;
}

/** The first and last bytes of a file. */
export async function lookAt(source: ByteSource, name: string, probeBytes: number): Promise<Look> {
  const { byteLength } = source;
  const head = await source.read(0, Math.min(probeBytes, byteLength));
  const tail = await source.read(Math.max(0, byteLength - probeBytes), byteLength);
  return { name, byteLength, head, tail };
}

/** Whether all signs hold. */
export function holds({ head, name, maxBytes }: Sign, look: Look): boolean {
  if (maxBytes !== undefined && look.byteLength > maxBytes) return false;
  if (name !== undefined && !name.test(look.name)) return false;
  return head === undefined || head.test(spell(look.head));
}

/** Long runs are of no use for a sign, and patterns that look for something inside would take their time over them. */
const LOOKED_AT = 2048;

/**
 * Bytes as text that patterns can be written for: white space and a byte order mark before a text are left out; a byte that is no printable
 * ASCII, and %, is % and two digits.
 */
export function spell(head: Uint8Array): string {
  const text = decodeLatin1(head.subarray(0, LOOKED_AT)).replace(/^\xef\xbb\xbf/, '');
  // Only text has white space before it that says nothing.
  const shown = /^[ \t\r\n]+[<{[a-zA-Z"]/.test(text) ? text.trimStart() : text;
  return shown.replace(/[^\t\r\n\x20-\x24\x26-\x7e]/g, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

export function sentence({ what }: Content, { head }: Look): string {
  return `this is ${what}${what === SERVER_ERROR ? quoteOf(head) : ''}.`;
}

/** What the server said: a code in XML, a message in JSON, or the first line. */
function quoteOf(head: Uint8Array): string {
  const text = spell(head);
  const said =
    /<Code>([^<]{1,80})/.exec(text)?.[1] ?? /"(?:message|error|detail|error_description)"\s*:\s*"([^"]{1,120})/.exec(text)?.[1] ?? text.split(/[\r\n]/, 1)[0]!;
  const plain = said
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, 120);
  return plain === '' || plain.startsWith('<') || plain.startsWith('{') ? '' : ` ("${plain.replaceAll('"', '')}")`;
}

export function isZero(bytes: Uint8Array): boolean {
  return bytes.byteLength >= 16 && bytes.every((byte) => byte === 0);
}
