/** Files on disk as byte sources. */
import { readdirSync, readSync } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { breathe } from '../bytes/breath.js';
import { type ByteSource, checkRange } from '../bytes/byte-source.js';
import { ModelError } from '../errors.js';
import { didYouMean } from '../model/nearest.js';
import { shownName } from './remote/location.js';

/** Below this a read is done in place: handing it to Node's thread pool would take longer than copying the bytes. */
const SMALL_READ_BYTES = 2 ** 16;

/**
 * Opens a file that the user named. Reads are positional, so they may overlap.
 *
 * @param name how messages call the file
 * @throws ModelError 'usage' when there is no such file, it is no regular file, or it may not be read
 */
export async function fileSource(path: string, name = shownName(path)): Promise<ByteSource> {
  let handle: FileHandle | undefined;
  let byteLength: number;
  try {
    // Asked before opening, because opening a named pipe would wait for its writer.
    const stats = await stat(path);
    if (!stats.isFile()) throw new ModelError('usage', `is ${stats.isDirectory() ? 'a folder' : 'no regular file'}; a file was expected`, { file: name });
    handle = await open(path, 'r');
    byteLength = (await handle.stat()).size;
  } catch (error) {
    await handle?.close();
    throw openError(error, path, name);
  }
  const opened = handle;
  let closed = false;

  function checkRead(start: number, target: Uint8Array): void {
    if (closed) throw new Error(`${name} was read after it was closed`);
    checkRange({ name, byteLength }, start, start + target.byteLength);
  }

  /** What a read gave, unless it is nothing: every read is within the file as it was when it was opened. */
  function checkCount(count: number, position: number): number {
    if (count > 0) return count;
    throw new ModelError('malformed', `the file ends here; it had ${byteLength} bytes when it was opened. Something changed it while it was read.`, {
      file: name,
      offset: position,
    });
  }

  async function readInto(start: number, target: Uint8Array): Promise<void> {
    checkRead(start, target);
    // Reads in place never wait, and what is read by a hundred thousand of them could not be interrupted.
    await breathe();
    let done = 0;
    while (done < target.byteLength) {
      const length = target.byteLength - done;
      done += checkCount(await readSome(target, done, length, start + done), start + done);
    }
  }

  function readIntoNow(start: number, target: Uint8Array): void {
    checkRead(start, target);
    for (let done = 0; done < target.byteLength; ) done += checkCount(readSomeNow(target, done, target.byteLength - done, start + done), start + done);
  }

  async function readSome(target: Uint8Array, at: number, length: number, position: number): Promise<number> {
    if (length <= SMALL_READ_BYTES) return readSomeNow(target, at, length, position);
    try {
      return (await opened.read(target, at, length, position)).bytesRead;
    } catch (error) {
      throw unreadable(error, position);
    }
  }

  function readSomeNow(target: Uint8Array, at: number, length: number, position: number): number {
    try {
      return readSync(opened.fd, target, at, length, position);
    } catch (error) {
      throw unreadable(error, position);
    }
  }

  const unreadable = (error: unknown, position: number) =>
    new ModelError('malformed', `could not be read: ${errorText(error)}`, { file: name, offset: position }, error);

  return {
    name,
    byteLength,
    async read(start, end) {
      // Checked first: the size of the allocation comes from the caller.
      checkRange({ name, byteLength }, start, end);
      const bytes = new Uint8Array(end - start);
      await readInto(start, bytes);
      return bytes;
    },
    readInto,
    readIntoNow,
    async readRuns(start, stride, runLength, target) {
      for (let at = 0; at < target.byteLength; at += runLength, start += stride) {
        // A promise for each of a hundred thousand small reads would cost more than the reads.
        const done = runLength <= SMALL_READ_BYTES && !closed && start >= 0 ? readSync(opened.fd, target, at, runLength, start) : 0;
        if (done < runLength) await readInto(start + done, target.subarray(at + done, at + runLength));
      }
    },
    async close() {
      if (closed) return;
      closed = true;
      await opened.close();
    },
  };
}

function openError(error: unknown, path: string, name: string): unknown {
  if (error instanceof ModelError) return error;
  const problem = isMissing(error) ? `there is no such file${insteadOf(path)}` : `cannot be opened: ${errorText(error)}`;
  return new ModelError('usage', problem, { file: name }, error);
}

/** Whether a system error says that there is nothing at a path. */
export function isMissing(error: unknown): boolean {
  return errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR';
}

/** Names of a folder that are compared with the one that is not in it. */
const MAX_NAMES = 10_000;

/** What may have been meant by a path at which there is nothing, as the end of a sentence: names near by, or the folder that is missing; with its full stop. */
export function insteadOf(path: string): string {
  const folder = dirname(path);
  try {
    const names = readdirSync(folder).slice(0, MAX_NAMES);
    return didYouMean(basename(path), names, (name) => (folder === '.' ? name : join(folder, name))).replace(/^(?=.)/, '.');
  } catch {
    return `: there is no folder ${folder}`;
  }
}

/** Node's code of a system error ('ENOENT'). */
export function errorCode(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException | null)?.code;
}

/** The first part of a system error's message: 'EACCES: permission denied'. */
export function errorText(error: unknown): string {
  return String((error as Error)?.message ?? error).split(',')[0]!;
}
