/** Small files that appear whole or not at all, and take the place of nothing but their own earlier selves. */
import { closeSync, openSync, readSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import type { ByteSink } from '../bytes/byte-sink.js';
import { ModelError } from '../errors.js';
import { fileSink } from '../node/file-sink.js';
import { errorText, insteadOf } from '../node/file-source.js';
import { statsOf } from '../node/identity.js';

export interface Replacing {
  /** Files that were read, which may not be replaced. */
  readonly keep?: readonly string[];
  /** How an earlier one begins, and what it is: a file that begins otherwise is somebody's, and stays. */
  readonly earlier?: { readonly begins: RegExp; readonly what: string };
}

/** A document of ours, by the schema that it names first. */
export function documentOf(schema: string, what: string): Replacing['earlier'] {
  return { begins: new RegExp(`^\\{\\s*"schema":\\s*"weighbridge/${schema}@`), what };
}

/** What says of a file what it is. */
const HEAD_BYTES = 200;

/**
 * The text of a small file that somebody wrote or kept.
 *
 * @param what what it is meant to be: 'policy'
 * @throws ModelError 'usage' where it is missing or cannot be read, 'unsafe' where it is larger than such a file ever is
 */
export async function readText(path: string, limit: number, what: string): Promise<string> {
  const stats = statsOf(path);
  if (!stats) throw new ModelError('usage', `there is no such ${what}${insteadOf(path)}`, { file: path });
  if (stats.isDirectory()) throw new ModelError('usage', `is a folder, and no ${what}`, { file: path });
  if (stats.size > limit) throw new ModelError('unsafe', `${stats.size} bytes are no ${what}`, { file: path });
  try {
    return (await readFile(path, 'utf8')).replace(/^\ufeff/, '');
  } catch (error) {
    throw new ModelError('usage', `cannot be read: ${errorText(error)}`, { file: path }, error);
  }
}

/** @throws ModelError 'usage' where it could not be written; for before the work is done whose result it is to hold */
export async function checkText(path: string, replacing: Replacing = {}): Promise<void> {
  await (await openText(path, replacing)).abort();
}

async function openText(path: string, { keep = [], earlier }: Replacing): Promise<ByteSink> {
  const sink = await fileSink(path, { force: true, keep: () => keep });
  if (!earlier || !statsOf(path)?.isFile() || earlier.begins.test(headOf(path))) return sink;
  await sink.abort();
  throw new ModelError('usage', `exists already and is no ${earlier.what}, so it will not be replaced. Choose another file.`, { file: path });
}

/** @throws ModelError 'usage' where one path is asked for twice */
export function checkTwice(paths: readonly (string | undefined)[]): void {
  const given = paths.flatMap((path) => (path === undefined ? [] : [resolve(path)]));
  const twice = given.find((path, i) => given.indexOf(path) < i);
  if (twice !== undefined) throw new ModelError('usage', 'is asked for twice', { file: twice });
}

/** @throws ModelError 'usage' where it cannot be written */
export async function writeText(path: string, content: string | Uint8Array, replacing: Replacing = {}): Promise<void> {
  const sink = await openText(path, replacing);
  try {
    const file = await sink.create(basename(path));
    await file.write(typeof content === 'string' ? new TextEncoder().encode(content) : content);
    await file.close();
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

function headOf(path: string): string {
  const bytes = new Uint8Array(HEAD_BYTES);
  const descriptor = openSync(path, 'r');
  try {
    return new TextDecoder('latin1').decode(bytes.subarray(0, readSync(descriptor, bytes, 0, HEAD_BYTES, 0)));
  } finally {
    closeSync(descriptor);
  }
}
