/** A whole file from a server, kept for the next time; what was cut off goes on where it was. */
import { closeSync, openSync, readFileSync, renameSync, rmSync, statfsSync, statSync, truncateSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { isModelError, ModelError } from '../../errors.js';
import { errorText } from '../file-source.js';
import { steadily } from '../steadily.js';
import { cacheLimit, claim, trimCache } from './cache.js';
import { contentRange, markOf, tooLarge } from './range-source.js';
import { type Answer, bodyOf, CutOff, expectStatus, type RemotePolicy, request } from './request.js';

/** A connection that is cut again and again without anything having come. */
const MAX_CUTS = 3;
/** And one that is cut after every few bytes. */
const MAX_ATTEMPTS = 30;

interface Kept {
  readonly mark: string | null;
  readonly byteLength: number | null;
}

export type DownloadProgress = (done: number, total: number) => void;

/**
 * Fetches a file to `path`, unless the one that is there is still the server's.
 *
 * @throws ModelError; what came is kept beside it where it can be gone on with
 */
export async function download(url: URL, path: string, policy: RemotePolicy, label: string, onProgress: DownloadProgress = () => {}): Promise<void> {
  const release = claim(path);
  // Another process is at it: this one has a copy of its own until the end.
  const part = release ? `${path}.part` : `${path}.${process.pid}.part`;
  try {
    const kept = readKept(path);
    const isThere = kept !== null && kept.byteLength === sizeOf(path) && kept.mark !== null;
    const result = await fetchAll(url, part, isThere ? kept : null, policy, label, onProgress);
    const limit = cacheLimit();
    if (result === null) return used(path);
    steadily(() => renameSync(part, path));
    forget(part);
    keep(path, result);
    if (limit !== null) trimCache(limit);
  } catch (error) {
    // Without a mark nobody knows whether the rest would belong to it; and where the server gave another rest than that, it would the next time, too.
    if (!release || readKept(part)?.mark == null || (isModelError(error) && error.kind !== 'usage')) {
      steadily(() => rmSync(part, { force: true }));
      forget(part);
    }
    throw error;
  } finally {
    release?.();
  }
}

/** So that it is not among the first to go. */
function used(path: string): void {
  const now = new Date();
  try {
    utimesSync(path, now, now);
  } catch {
    // Of a folder that may only be read it is no use, and no harm.
  }
}

/** Null where what is there is still good. */
async function fetchAll(url: URL, part: string, there: Kept | null, policy: RemotePolicy, label: string, onProgress: DownloadProgress): Promise<Kept | null> {
  for (let [cuts, attempt] = [0, 1]; ; attempt++) {
    const begun = readKept(part);
    const start = begun?.mark != null ? (sizeOf(part) ?? 0) : 0;
    const answer = await request(url, headersFor(start, begun, there), policy, label);
    if (answer.status === 304 && there) {
      answer.body.destroy();
      return null;
    }
    // What is there is all of it already, or more than there is now.
    if (answer.status === 416 && start > 0) {
      answer.body.destroy();
      rmSync(part, { force: true });
      forget(part);
      continue;
    }
    expectStatus(answer, start > 0 ? [200, 206] : [200], label);
    const from = answer.status === 206 ? start : 0;
    const found = describe(answer, from, begun, policy, label);
    checkSpace(part, (found.byteLength ?? 0) - from, label);
    keep(part, found);
    try {
      await store(answer, part, from, found, policy, label, onProgress);
      return { ...found, byteLength: sizeOf(part)! };
    } catch (error) {
      const came = (sizeOf(part) ?? 0) > from;
      cuts = came ? 0 : cuts + 1;
      const goesOn = answer.status === 206 || answer.headers['accept-ranges']?.includes('bytes');
      if (!(error instanceof CutOff) || found.mark === null || !goesOn || cuts >= MAX_CUTS || attempt >= MAX_ATTEMPTS) throw error;
    }
  }
}

function headersFor(start: number, begun: Kept | null, there: Kept | null): Record<string, string> {
  if (start > 0 && begun?.mark) return { range: `bytes=${start}-`, 'if-range': begun.mark };
  if (!there?.mark) return {};
  return /^(W\/)?"/.test(there.mark) ? { 'if-none-match': there.mark } : { 'if-modified-since': there.mark };
}

function describe(answer: Answer, from: number, begun: Kept | null, policy: RemotePolicy, label: string): Kept {
  const mark = markOf(answer);
  const said = answer.headers['content-length'];
  let byteLength = said === undefined ? null : Number(said);
  if (answer.status === 206) {
    const total = begun?.byteLength ?? Number(/\/(\d+)$/.exec(answer.headers['content-range'] ?? '')?.[1]);
    contentRange(answer, from, total, label);
    if (mark !== begun?.mark) {
      answer.body.destroy();
      throw new ModelError('malformed', 'the file was changed on the server while it was fetched. Start again.', { file: label, offset: from });
    }
    byteLength = total;
  }
  if (byteLength !== null && byteLength > policy.maxBytes) {
    answer.body.destroy();
    throw tooLarge(byteLength, policy, label);
  }
  return { mark, byteLength };
}

async function store(answer: Answer, part: string, from: number, { byteLength }: Kept, policy: RemotePolicy, label: string, onProgress: DownloadProgress) {
  const file = asUsage(part, () => openSync(part, from === 0 ? 'w' : 'r+', 0o600));
  let done = from;
  try {
    if (from > 0) truncateSync(part, from);
    for await (const chunk of bodyOf(answer, (byteLength ?? policy.maxBytes) - from, policy, label)) {
      asUsage(part, () => {
        for (let at = 0; at < chunk.byteLength; ) at += writeSync(file, chunk, at, chunk.byteLength - at, done + at);
      });
      done += chunk.byteLength;
      onProgress(done, byteLength ?? done);
    }
  } finally {
    closeSync(file);
  }
  if (byteLength !== null && done < byteLength) throw new CutOff(label, answer.url.host, done, null);
}

function checkSpace(path: string, byteLength: number, label: string): void {
  const { bavail, bsize } = statfsSync(dirname(path));
  if (byteLength > bavail * bsize) {
    throw new ModelError('usage', `${byteLength} bytes do not fit on the disk of ${dirname(path)}. WEIGHBRIDGE_CACHE names another folder.`, { file: label });
  }
}

function asUsage<T>(path: string, operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    throw new ModelError('usage', `could not be written: ${errorText(error)}`, { file: path }, error);
  }
}

/** What is known of a download lies beside it, under a name that no companion of a model has. */
function noteOf(path: string): string {
  return `${path}.weighbridge.json`;
}

function sizeOf(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.size;
}

function keep(path: string, kept: Kept): void {
  asUsage(path, () => writeFileSync(noteOf(path), JSON.stringify(kept), { mode: 0o600 }));
}

function forget(path: string): void {
  rmSync(noteOf(path), { force: true });
}

function readKept(path: string): Kept | null {
  try {
    const { mark, byteLength } = JSON.parse(readFileSync(noteOf(path), 'utf8')) as Partial<Kept>;
    return { mark: typeof mark === 'string' ? mark : null, byteLength: typeof byteLength === 'number' ? byteLength : null };
  } catch {
    return null;
  }
}
