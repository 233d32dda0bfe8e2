/** A file on a server, of which only what is read is fetched. */
import { type ByteSource, checkRange } from '../../bytes/byte-source.js';
import { ModelError } from '../../errors.js';
import { type Answer, bodyOf, expectStatus, type RemotePolicy, request } from './request.js';

/** Headers are read in small pieces that lie together; a request takes as long as this many bytes do. */
const BLOCK_BYTES = 2 ** 18;
const MAX_BLOCKS = 64;

/** What tells one state of a file from another. */
export interface Version {
  readonly byteLength: number;
  /** ETag, or else the date of its last change. */
  readonly mark: string | null;
}

/**
 * Null where the server gives no parts of files.
 *
 * @throws ModelError where there is no such file, or the server does not do what it says
 */
export async function rangeSource(url: URL, policy: RemotePolicy, label: string): Promise<ByteSource | null> {
  const first = await request(url, { range: `bytes=0-${BLOCK_BYTES - 1}` }, policy, label);
  if (first.status === 416 && /^bytes \*\/0$/.test(first.headers['content-range'] ?? '')) {
    first.body.destroy();
    return remoteSource(url, { byteLength: 0, mark: null }, new Map(), policy, label);
  }
  expectStatus(first, [200, 206], label);
  if (first.status === 200) {
    first.body.destroy();
    return null;
  }
  const { total } = contentRange(first, 0, BLOCK_BYTES, label);
  if (total > policy.maxBytes) throw tooLarge(total, policy, label);
  const block = await readPart(first, Math.min(BLOCK_BYTES, total), policy, label);
  return remoteSource(first.url, { byteLength: total, mark: markOf(first) }, new Map([[0, Promise.resolve(block)]]), policy, label, url);
}

/** @param origin where to ask again when the place that it was sent on to is no longer good (signed addresses are so for minutes) */
function remoteSource(
  url: URL,
  version: Version,
  blocks: Map<number, Promise<Uint8Array>>,
  policy: RemotePolicy,
  label: string,
  origin: URL = url,
): ByteSource {
  const { byteLength } = version;
  let at = url;

  async function fetchPart(start: number, end: number): Promise<Uint8Array> {
    const headers = { range: `bytes=${start}-${end - 1}` };
    let answer = await request(at, headers, policy, label);
    if (answer.status >= 400 && at !== origin) {
      answer.body.destroy();
      answer = await request(origin, headers, policy, label);
      at = answer.url;
    }
    expectStatus(answer, [206], label);
    const { total } = contentRange(answer, start, end, label);
    if (total !== byteLength || markOf(answer) !== version.mark) {
      answer.body.destroy();
      throw new ModelError('malformed', 'the file was changed on the server while it was read. Start again.', { file: label, offset: start });
    }
    return readPart(answer, end - start, policy, label);
  }

  function block(index: number): Promise<Uint8Array> {
    const start = index * BLOCK_BYTES;
    const known = blocks.get(index) ?? fetchPart(start, Math.min(byteLength, start + BLOCK_BYTES));
    // Asked for last, let go last.
    blocks.delete(index);
    blocks.set(index, known);
    known.catch(() => blocks.delete(index));
    if (blocks.size > MAX_BLOCKS) blocks.delete(blocks.keys().next().value!);
    return known;
  }

  async function readInto(start: number, target: Uint8Array): Promise<void> {
    const end = start + target.byteLength;
    checkRange(source, start, end);
    for (let from = start; from < end; ) {
      const index = Math.floor(from / BLOCK_BYTES);
      const isLarge = end - from > BLOCK_BYTES && !blocks.has(index);
      const base = isLarge ? from : index * BLOCK_BYTES;
      const bytes = isLarge ? await fetchPart(from, Math.min(end, from + 16 * BLOCK_BYTES)) : await block(index);
      const piece = bytes.subarray(from - base, Math.min(bytes.byteLength, end - base));
      target.set(piece, from - start);
      from += piece.byteLength;
    }
  }

  const source: ByteSource = {
    name: label,
    byteLength,
    async read(start, end) {
      checkRange(source, start, end);
      const bytes = new Uint8Array(end - start);
      await readInto(start, bytes);
      return bytes;
    },
    readInto,
    async close() {
      blocks.clear();
    },
  };
  return source;
}

/** What tells this state of the file from another; null where the server says nothing. */
export function markOf({ headers }: Answer): string | null {
  return headers.etag ?? headers['last-modified'] ?? null;
}

export function tooLarge(byteLength: number, { maxBytes }: RemotePolicy, label: string): ModelError {
  return new ModelError('unsafe', `the file has ${byteLength} bytes, and ${maxBytes} are allowed. --max-download allows more.`, { file: label });
}

/** The part that is sent. @throws ModelError 'malformed' where it is another than was asked for */
export function contentRange(answer: Answer, start: number, end: number, label: string): { readonly total: number } {
  const header = answer.headers['content-range'] ?? '';
  const [first, last, total] = (/^bytes (\d+)-(\d+)\/(\d+)$/.exec(header) ?? []).slice(1).map(Number);
  if (first !== start || last === undefined || total === undefined || !Number.isSafeInteger(total) || last !== Math.min(end, total) - 1) {
    answer.body.destroy();
    const asked = `bytes ${start}-${end - 1}`;
    throw new ModelError(
      'malformed',
      `${answer.url.host} was asked for ${asked} and sends ${header === '' ? 'a part that it does not name' : JSON.stringify(header.slice(0, 100))}`,
      {
        file: label,
        offset: start,
      },
    );
  }
  return { total };
}

async function readPart(answer: Answer, byteLength: number, policy: RemotePolicy, label: string): Promise<Uint8Array> {
  const bytes = new Uint8Array(byteLength);
  let done = 0;
  for await (const chunk of bodyOf(answer, byteLength, policy, label)) {
    bytes.set(chunk, done);
    done += chunk.byteLength;
  }
  if (done < byteLength) throw new ModelError('malformed', `${answer.url.host} sends ${done} bytes of a part of ${byteLength}`, { file: label });
  return bytes;
}
