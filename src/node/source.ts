/** Wherever a model is: on disk, on a server, or coming through stdin. */
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { temporaryFolder } from '../bytes/temporary.js';
import { ModelError } from '../errors.js';
import type { OptionNames } from '../spelling.js';
import { type NodeFileSet, nodeFileSet } from './file-set.js';
import { errorText } from './file-source.js';
import { checkedToken, isRemote, shownName } from './remote/location.js';
import { sha256File } from './sha256.js';
import { onBytes, type Watching } from './watching.js';

/** What comes through stdin has no end that is known before. */
const MAX_STDIN_BYTES = 2e10;

/** How models are fetched that are on a server, and held to what they should be. */
export interface RemoteFileOptions {
  /** Of the model's main file, wherever it is: one that has another is refused. */
  readonly sha256?: string;
  /** Most bytes that are fetched of a file, or taken from stdin; 20 GB where left out. */
  readonly maxDownload?: number;
  /** Seconds that a server may say nothing; 30 where left out. */
  readonly timeout?: number;
  /** Environment variable with a token for the server of the URL, which is told to no other. `hf://` takes HF_TOKEN. */
  readonly tokenEnv?: string;
  /** Also fetches without encryption. */
  readonly allowHttp?: boolean;
  /** Also fetches from this machine and from networks that are not public. */
  readonly allowPrivate?: boolean;
}

export const REMOTE_NAMES: OptionNames<RemoteFileOptions> = {
  sha256: true,
  maxDownload: true,
  timeout: true,
  tokenEnv: true,
  allowHttp: true,
  allowPrivate: true,
};

/**
 * Opens a model wherever it is.
 *
 * @param path a file or folder, https:// or hf://, or `-` for stdin
 * @param inParts fetch only what is read of it, where it is on a server and its hash is not asked for
 * @throws ModelError 'malformed' where its hash is another than was asked for, else as `nodeFileSet` and reading from a server do
 */
export async function openSource(path: string, options: RemoteFileOptions & Watching = {}, inParts = false): Promise<NodeFileSet> {
  const { sha256, tokenEnv, timeout, maxDownload, allowHttp, allowPrivate, signal } = options;
  const token = tokenEnv === undefined ? undefined : checkedToken(process.env[tokenEnv], tokenEnv);
  if (tokenEnv !== undefined && !token) throw new ModelError('usage', `--token-env names ${tokenEnv}, and there is no such environment variable`);
  const open = async (): Promise<NodeFileSet> => {
    if (path === '-') return { ...(await nodeFileSet(await spooledStdin(maxDownload ?? MAX_STDIN_BYTES, signal))), label: 'stdin' };
    if (!isRemote(path)) return nodeFileSet(path);
    const { remoteFileSet } = await import('./remote/file-set.js');
    return remoteFileSet(path, {
      allowHttp,
      allowPrivate,
      maxBytes: maxDownload,
      timeoutMs: timeout === undefined ? undefined : 1000 * timeout,
      token,
      signal,
      inParts: inParts && sha256 === undefined,
      onProgress: onBytes(options, 'fetching'),
    });
  };
  const files = await open();
  if (sha256 !== undefined) await checkHash(path, files, sha256, signal);
  return files;
}

/** How another file than the first is fetched: the hash is not its. */
export function ofOther({ maxDownload, timeout, tokenEnv, allowHttp, allowPrivate }: RemoteFileOptions): RemoteFileOptions {
  return { maxDownload, timeout, tokenEnv, allowHttp, allowPrivate };
}

async function checkHash(path: string, files: NodeFileSet, expected: string, signal?: AbortSignal): Promise<void> {
  if (files.main === null) throw new ModelError('usage', '--sha256 is of a file, and this is a folder', { file: shownName(path) });
  const found = await sha256File(isRemote(path) ? files.openedPaths()[0]! : path === '-' ? files.path : path, signal);
  if (found === expected.toLowerCase()) return;
  await files.close();
  throw new ModelError('malformed', `its SHA-256 is ${found}, and ${expected} was asked for: it is another file, or was damaged on the way.`, {
    file: shownName(path),
  });
}

let stdin: Promise<string> | null = null;

/** Readers look at the end of a file before its middle, so all of stdin goes into a temporary file first, once. */
function spooledStdin(most: number, signal: AbortSignal | undefined): Promise<string> {
  stdin ??= spool(most, signal);
  return stdin;
}

async function spool(most: number, signal: AbortSignal | undefined): Promise<string> {
  if (process.stdin.isTTY) throw new ModelError('usage', 'a model is not typed in: send a file or the output of a program to stdin.', { file: '-' });
  const path = join(temporaryFolder('stdin')!.path, 'stdin');
  let byteLength = 0;
  const limit = new Transform({
    transform(chunk: Buffer, _, done) {
      byteLength += chunk.length;
      done(
        byteLength > most ? new ModelError('unsafe', `more than ${most} bytes come through stdin. --max-download allows more.`, { file: 'stdin' }) : null,
        chunk,
      );
    },
  });
  try {
    await pipeline(process.stdin, limit, createWriteStream(path), { signal });
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ModelError) throw error;
    throw new ModelError('usage', `could not be kept in ${path}: ${errorText(error)}. TMPDIR names another folder.`, { file: 'stdin' }, error);
  }
  if (byteLength === 0) throw new ModelError('usage', 'nothing came through stdin', { file: 'stdin' });
  return path;
}
