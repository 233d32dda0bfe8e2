/**
 * Output files on disk, which appear under their names complete or not at all.
 *
 * Bytes go to temporary names in the folder of the final ones, because only within a file system is a rename atomic.
 */
import {
  accessSync,
  closeSync,
  constants,
  linkSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { ByteSink, FileSink, WrittenFile } from '../bytes/byte-sink.js';
import { checkRelativeName } from '../bytes/file-set.js';
import { ModelError } from '../errors.js';
import { errorText } from './file-source.js';
import { identityOf } from './identity.js';
import { stdoutSink } from './stdout-sink.js';
import { steadily } from './steadily.js';

export interface FileSinkOptions {
  /** Replace existing files; else they are an error. */
  readonly force?: boolean;
  /** Paths that are read while the output is written, and whose files are replaced in no case, whatever name leads to them; asked for each file anew. */
  readonly keep?: () => readonly string[];
  /** What the names of files end in that are to be written beside each of these later; they are held to the same. */
  readonly beside?: string;
  /** What is committed can still be aborted, which puts what was there before back, until it is settled. */
  readonly provisional?: boolean;
}

export interface NodeByteSink extends ByteSink {
  /** Whether files were there that it takes the place of. */
  readonly replaces: boolean;
  /** What a provisional sink has committed is there to stay. */
  settle(): void;
}

/** Smaller writes are gathered up to this size; larger ones go out as they come. */
const GATHER_BYTES = 2 ** 16;

const live = new Set<NodeSink>();

/**
 * Removes what every sink has written that is not committed, or not settled; for an interrupted process.
 *
 * @returns the outputs that had their names already, and whether what was there before is back
 */
export async function abortAll(): Promise<readonly { readonly output: string; readonly replaces: boolean }[]> {
  const sinks = [...live];
  const seen = sinks.filter(({ isCommitted }) => isCommitted).map(({ output, replaces }) => ({ output, replaces }));
  await Promise.all(sinks.map((sink) => sink.abort()));
  return seen;
}

/**
 * A sink for the model at `outputPath`: a file, with companions beside it, or a folder. Names given to `create` are relative to
 * the folder that `outputPath` lies in; a format that is a folder puts the folder's name before each of its files. `-` is stdout,
 * which takes one file.
 *
 * Writes are synchronous: while the page cache takes them, the next read runs in Node's thread pool. That measured faster than any
 * other pairing of the two.
 *
 * @throws ModelError 'usage' when the output exists (without `force`), is a file of `keep`, is no file or folder, or its folder is missing or read-only
 */
export async function fileSink(
  outputPath: string,
  { force = false, keep = () => [], beside, provisional = false }: FileSinkOptions = {},
): Promise<NodeByteSink> {
  if (outputPath === '-') return Object.assign(stdoutSink(), { replaces: false, settle() {} });
  const path = resolve(outputPath);
  const folder = dirname(path);
  checkFolder(folder, outputPath);
  const kind = kindOf(path);
  if (kind === 'other') throw new ModelError('usage', 'is neither a file nor a folder, and will not be replaced', { file: outputPath });
  if (kind === 'file') checkKept(path, outputPath, keep);
  if (!force && (kind === 'file' || (kind === 'folder' && readdirSync(path).length > 0))) throw existsError(outputPath);
  const sink = new NodeSink(outputPath, folder, force, keep, beside, provisional);
  live.add(sink);
  return sink;
}

class NodeSink implements NodeByteSink {
  readonly #files: NodeFile[] = [];
  readonly #madeFolders: string[] = [];
  #ended = false;
  #settled = false;
  isCommitted = false;

  constructor(
    readonly output: string,
    readonly folder: string,
    readonly force: boolean,
    readonly keep: () => readonly string[],
    readonly beside: string | undefined,
    readonly provisional: boolean,
  ) {}

  get replaces(): boolean {
    return this.#files.some(({ replaces }) => replaces);
  }

  async create(name: string): Promise<FileSink> {
    if (this.#ended) throw new Error(`${name} was created after the output had ended`);
    const relative = checkRelativeName(name);
    const path = join(this.folder, relative);
    this.#makeFolder(dirname(path));
    const kind = kindOf(path);
    if (kind === 'folder') throw new ModelError('usage', `is a folder; name a file, such as ${join(path, relative)}`, { file: path });
    if (kind === 'other') throw new ModelError('usage', 'is no regular file, and will not be replaced', { file: path });
    if (kind === 'file') checkKept(path, path, this.keep);
    if (kind === 'file' && !this.force) throw existsError(path);
    if (this.beside !== undefined) this.#checkBeside(path + this.beside);
    if (this.#files.some((file) => file.path === path)) throw new Error(`${relative} was created twice`);
    const file = new NodeFile(relative, path);
    this.#files.push(file);
    return file;
  }

  async commit(): Promise<readonly WrittenFile[]> {
    if (this.#ended) throw new Error('the output was committed after it had ended');
    const open = this.#files.find((file) => !file.isClosed);
    if (open) throw new Error(`${open.name} was committed before it was closed`);
    const intruder = this.force ? undefined : this.#files.find((file) => kindOf(file.path) !== 'nothing');
    if (intruder) throw existsError(intruder.path);
    this.#ended = true;
    try {
      for (const file of [...this.#files].reverse()) file.rename();
    } catch (error) {
      await this.abort();
      throw error;
    }
    this.isCommitted = true;
    if (!this.provisional) this.settle();
    return this.#files.map(({ name, position }) => ({ name, byteLength: position }));
  }

  settle(): void {
    this.#end();
    for (const file of this.#files) file.settle();
  }

  async abort(): Promise<void> {
    if (this.#settled) return;
    this.#end();
    for (const file of this.#files) file.remove();
    for (const made of this.#madeFolders.reverse()) {
      try {
        rmdirSync(made);
      } catch {
        // Somebody else has put files there: theirs to keep.
      }
    }
  }

  #end(): void {
    this.#ended = true;
    this.#settled = true;
    live.delete(this);
  }

  #checkBeside(path: string): void {
    const kind = kindOf(path);
    if (kind === 'folder' || kind === 'other') throw new ModelError('usage', 'is no regular file, and will not be replaced', { file: path });
    if (kind === 'file') checkKept(path, path, this.keep);
    if (kind === 'file' && !this.force) throw existsError(path);
  }

  #makeFolder(path: string): void {
    const kind = kindOf(path);
    if (kind === 'folder') return;
    if (kind !== 'nothing') throw new ModelError('usage', 'is a file, but this format is a folder of files. Choose another name or remove it.', { file: path });
    this.#makeFolder(dirname(path));
    asUsage(path, () => mkdirSync(path));
    this.#madeFolders.push(path);
  }
}

class NodeFile implements FileSink {
  readonly #temporary: string;
  /** Where what was there before is kept until this is settled. */
  readonly #aside: string;
  #replaces = false;
  /** Given up when the file is closed: a model may have a thousand files. */
  #gathered: Uint8Array | null = new Uint8Array(GATHER_BYTES);
  #gatheredLength = 0;
  #descriptor: number | null;
  #renamed = false;
  position = 0;

  constructor(
    readonly name: string,
    readonly path: string,
  ) {
    // A long name would become too long with the suffix.
    const hidden = join(dirname(path), `.${basename(path).slice(0, 60)}.${Math.random().toString(36).slice(2, 12)}`);
    this.#temporary = `${hidden}.part`;
    this.#aside = `${hidden}.old`;
    this.#descriptor = asUsage(path, () => openSync(this.#temporary, 'wx'));
  }

  get replaces(): boolean {
    return this.#replaces;
  }

  get isClosed(): boolean {
    return this.#descriptor === null;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#descriptor === null) throw new Error(`${this.name} was written after it was closed`);
    if (this.#gatheredLength + bytes.byteLength > GATHER_BYTES) this.#flush();
    if (bytes.byteLength > GATHER_BYTES) {
      this.#writeOut(bytes, this.position);
    } else {
      this.#gathered!.set(bytes, this.#gatheredLength);
      this.#gatheredLength += bytes.byteLength;
    }
    this.position += bytes.byteLength;
  }

  async writeAt(position: number, bytes: Uint8Array): Promise<void> {
    if (this.#descriptor === null) throw new Error(`${this.name} was written after it was closed`);
    this.#flush();
    this.#writeOut(bytes, position);
    this.position = Math.max(this.position, position + bytes.byteLength);
  }

  async close(): Promise<void> {
    if (this.#descriptor === null) return;
    this.#flush();
    closeSync(this.#descriptor);
    this.#descriptor = null;
    this.#gathered = null;
  }

  rename(): void {
    asUsage(this.path, () => {
      const stats = lstatSync(this.path, { throwIfNoEntry: false });
      // A folder that appeared since is an error, and stays as it is.
      if (stats && !stats.isDirectory()) this.#keepAside();
      steadily(() => renameSync(this.#temporary, this.path));
    });
    this.#renamed = true;
  }

  settle(): void {
    if (this.#replaces) steadily(() => rmSync(this.#aside, { force: true }));
  }

  /** Of what was renamed, what was there before takes the place again. */
  remove(): void {
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
    if (!this.#renamed) steadily(() => rmSync(this.#temporary, { force: true }));
    else if (!this.#replaces) steadily(() => rmSync(this.path, { force: true }));
    if (this.#replaces) steadily(() => renameSync(this.#aside, this.path));
  }

  /** By a second name, so that there is a file at every moment; by another name where a disk has no second ones. */
  #keepAside(): void {
    try {
      linkSync(this.path, this.#aside);
    } catch {
      steadily(() => renameSync(this.path, this.#aside));
    }
    this.#replaces = true;
  }

  #flush(): void {
    if (this.#gatheredLength === 0) return;
    this.#writeOut(this.#gathered!.subarray(0, this.#gatheredLength), this.position - this.#gatheredLength);
    this.#gatheredLength = 0;
  }

  #writeOut(bytes: Uint8Array, position: number): void {
    const descriptor = this.#descriptor!;
    asUsage(this.path, () => {
      for (let done = 0; done < bytes.byteLength; ) done += writeSync(descriptor, bytes, done, bytes.byteLength - done, position + done);
    });
  }
}

/** Runs a file operation; a full disk or a missing permission is the user's to mend, not a bug. */
function asUsage<T>(path: string, operation: () => T): T {
  try {
    return operation();
  } catch (error) {
    throw new ModelError('usage', `could not be written: ${errorText(error)}`, { file: path }, error);
  }
}

function checkFolder(folder: string, outputPath: string): void {
  if (kindOf(folder) !== 'folder') {
    throw new ModelError('usage', `the folder ${folder} does not exist. Create it first, or choose another output.`, { file: outputPath });
  }
  try {
    accessSync(folder, constants.W_OK);
  } catch (error) {
    throw new ModelError('usage', `the folder ${folder} cannot be written to: ${errorText(error)}`, { file: outputPath }, error);
  }
}

/** What is at `path`; a link counts as what it points to, and as a file when it points nowhere. */
function kindOf(path: string): 'nothing' | 'file' | 'folder' | 'other' {
  const stats = asUsage(path, () => statSync(path, { throwIfNoEntry: false }) ?? lstatSync(path, { throwIfNoEntry: false }));
  if (!stats) return 'nothing';
  if (stats.isDirectory()) return 'folder';
  return stats.isFile() || stats.isSymbolicLink() ? 'file' : 'other';
}

/** @throws ModelError 'usage' where the file at `path` is one that is read */
function checkKept(path: string, label: string, keep: () => readonly string[]): void {
  const identity = identityOf(path);
  const kept = keep().find((candidate) => identityOf(candidate) === identity);
  if (kept === undefined) return;
  const what = resolve(kept) === path ? 'is read here' : `is the same file as ${kept}, which is read here`;
  throw new ModelError('usage', `${what}, and will not be overwritten, not even with --force. Choose another output.`, { file: label });
}

function existsError(path: string): ModelError {
  return new ModelError('usage', 'exists already. Choose another output, or overwrite it with --force.', { file: path });
}
