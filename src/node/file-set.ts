/** The files of a model on disk. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve, sep } from 'node:path';
import type { ByteSource } from '../bytes/byte-source.js';
import { checkRelativeName, type FileSet } from '../bytes/file-set.js';
import { refuseLeftover } from '../bytes/leftover.js';
import { ModelError } from '../errors.js';
import { errorText, fileSource, insteadOf, isMissing } from './file-source.js';
import './native.js';
import { unpacked } from './packed.js';

/** A file set in a folder on disk. */
export interface NodeFileSet extends FileSet {
  readonly folder: string;
  /** Where the main file lies, or the folder: elsewhere than the user said where that is packed. */
  readonly path: string;
  openedPaths(): readonly string[];
  /** As `close`: `await using files = await nodeFileSet(path)`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * The model at `path`: a file and its companions, or a folder.
 *
 * The file that the user named may be a symbolic link to anywhere; a companion, whose name comes from the model, may not
 * lead out of the folder. What is packed (`.gz`, `.br`) is read as if it were not.
 *
 * @throws ModelError 'usage' when there is nothing at `path` or it may not be read
 */
export async function nodeFileSet(path: string): Promise<NodeFileSet> {
  await isFolderPath(path);
  const plain = await unpacked(path);
  if (!plain) return plainFileSet(path);
  const files = await plainFileSet(plain.path);
  const close = async () => {
    await files.close();
    plain.remove();
  };
  return { ...files, label: path, openedPaths: () => [path, ...plain.from, ...files.openedPaths()], close, [Symbol.asyncDispose]: close };
}

/** Folders in a folder that are looked into for models. */
const MAX_FOLDERS = 100;

async function plainFileSet(path: string): Promise<NodeFileSet> {
  const isFolder = await isFolderPath(path);
  const folder = isFolder ? path : dirname(path);
  const main = isFolder ? null : basename(path);
  const opened: ByteSource[] = [];
  const openedPaths = new Set<string>(main === null ? [] : [path]);

  async function keep(path: string, source: Promise<ByteSource>): Promise<ByteSource> {
    opened.push(await source);
    openedPaths.add(path);
    return source;
  }

  const close = async () => void (await Promise.all(opened.splice(0).map((source) => source.close())));

  return {
    main,
    label: path,
    folder,
    path,
    async list() {
      const names = await readdir(folder).catch((error: unknown) => {
        throw new ModelError('usage', `the folder cannot be listed: ${errorText(error)}`, { file: folder }, error);
      });
      const kept = await Promise.all(names.map(async (name) => ((await isFile(join(folder, name))) ? [name] : [])));
      return kept.flat().sort();
    },
    async below() {
      const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
      const folders = entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith('.')).slice(0, MAX_FOLDERS);
      const found = await Promise.all(
        folders.map(async ({ name }) => {
          const inside = await readdir(join(folder, name), { withFileTypes: true }).catch(() => []);
          return inside.filter((entry) => entry.isFile()).map((entry) => `${name}/${entry.name}`);
        }),
      );
      return found.flat().sort();
    },
    has: async (name) => isFile(join(folder, checkRelativeName(name, path))),
    async open(name) {
      const relative = checkRelativeName(name, path);
      if (relative === main) return keep(path, fileSource(path));
      const companion = join(folder, relative);
      if (!(await isFile(companion))) {
        throw new ModelError('malformed', `there is no file ${JSON.stringify(name)} beside the model, in ${resolve(folder)}`, { file: path });
      }
      const target = await realpath(companion);
      const inside = (await realpath(folder)).replace(/[\\/]$/, '') + sep;
      if (!target.startsWith(inside)) {
        throw new ModelError('unsafe', `${JSON.stringify(name)} is a link that leads out of the model's folder. Put a copy of the file there instead.`, {
          file: path,
        });
      }
      const source = await keep(target, fileSource(target, companion));
      await refuseLeftover(source);
      return source;
    },
    openedPaths: () => [...openedPaths],
    close,
    [Symbol.asyncDispose]: close,
  };
}

async function isFolderPath(path: string): Promise<boolean> {
  try {
    const stats = await stat(path);
    if (!stats.isFile() && !stats.isDirectory()) throw new ModelError('usage', 'is neither a file nor a folder', { file: path });
    return stats.isDirectory();
  } catch (error) {
    if (error instanceof ModelError) throw error;
    const problem = isMissing(error) ? `there is no such file or folder${insteadOf(path)}` : `cannot be opened: ${errorText(error)}`;
    throw new ModelError('usage', problem, { file: path }, error);
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}
