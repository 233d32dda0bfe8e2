/** SHA-256 of files, large ones beside the main thread. */
import { stat } from 'node:fs/promises';
import { ModelError } from '../errors.js';
import { errorText, fileSource } from './file-source.js';
import { sha256Hasher } from './sha256-hasher.js';

/**
 * Reads and hashes in the worker, in pieces that stay in a core's cache: larger ones take half as long again to be read. As text, because a
 * worker's file would have another name in the sources (.ts) than in the package (.js).
 */
const WORKER = `
const { workerData, parentPort } = require('node:worker_threads');
const { createHash } = require('node:crypto');
const { openSync, readSync } = require('node:fs');
const hash = createHash('sha256');
const buffer = new Uint8Array(2 ** 16);
const file = openSync(workerData, 'r');
for (let count; (count = readSync(file, buffer)) > 0; ) hash.update(buffer.subarray(0, count));
parentPort.postMessage(hash.digest('hex'));
`;

/** As the worker's. */
const PIECE_BYTES = 2 ** 16;

/** A hash needs a few kilobytes of JavaScript heap; Node's defaults would let a worker's garbage grow by tens of megabytes. */
const HEAP_LIMITS = { maxYoungGenerationSizeMb: 2, maxOldGenerationSizeMb: 16 };

/** A worker takes as long to start as tens of megabytes take to be hashed, and nets lie in hundreds of shards of 4 MiB. */
const SMALL_BYTES = 2 ** 23;

/**
 * SHA-256 of a whole file, in lower-case hexadecimal. A large one is hashed in a worker thread, so that conversion goes on meanwhile.
 *
 * @param signal ends the worker; the promise is rejected with its reason
 * @throws ModelError 'usage' when the file cannot be read
 */
export async function sha256File(path: string, signal?: AbortSignal): Promise<string> {
  signal?.throwIfAborted();
  try {
    const stats = await stat(path);
    if (stats.isFile() && stats.size <= SMALL_BYTES) return await hashHere(path);
  } catch (error) {
    throw unhashed(path, error);
  }
  return hashInWorker(path, signal);
}

async function hashHere(path: string): Promise<string> {
  const hash = (await sha256Hasher())();
  const source = await fileSource(path);
  try {
    const buffer = new Uint8Array(Math.min(PIECE_BYTES, source.byteLength));
    for (let at = 0; at < source.byteLength; at += buffer.byteLength) {
      const piece = buffer.subarray(0, source.byteLength - at);
      await source.readInto(at, piece);
      hash.update(piece);
    }
    return hash.digest();
  } finally {
    await source.close();
  }
}

async function hashInWorker(path: string, signal?: AbortSignal): Promise<string> {
  const { Worker } = await import('node:worker_threads');
  return new Promise((fulfil, reject) => {
    const worker = new Worker(WORKER, { eval: true, workerData: path, resourceLimits: HEAP_LIMITS });
    const stop = () => {
      void worker.terminate();
      reject(signal!.reason);
    };
    worker.once('message', fulfil);
    worker.once('error', (error) => reject(unhashed(path, error)));
    worker.once('exit', () => signal?.removeEventListener('abort', stop));
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
  });
}

function unhashed(path: string, error: unknown): ModelError {
  return new ModelError('usage', `cannot be hashed: ${errorText(error)}`, { file: path }, error);
}
