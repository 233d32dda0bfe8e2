/** Where pictures come from: a folder, a list, or tar archives as WebDataset makes them. */
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, extname, join, resolve, sep } from 'node:path';
import type { ByteSource } from '../bytes/byte-source.js';
import { openTar } from '../containers/tar.js';
import { ModelError } from '../errors.js';
import { fileSource } from '../node/file-source.js';
import { leftOutKinds, OTHER, openPictureFolder, PICTURE } from '../node/picture-folder.js';
import type { PictureFolder } from '../verify/pictures/index.js';
import { listed } from '../words.js';
import { expandPaths, isPattern } from './many/expand.js';

export interface PictureData extends PictureFolder {
  close(): Promise<void>;
}

/** What follows a picture's name in a list. */
const CLASS = /[,;\t]\s*[^,;\t\s]/;
/** Ten million lines. */
const MAX_LIST_BYTES = 2 ** 30;
/** A shard of WebDataset has a few thousand samples of two or three files. */
const MAX_TAR_MEMBERS = 1_000_000;
const MAX_CLASS_BYTES = 64;

/** @throws ModelError 'usage' where there are no pictures */
export async function openPictureData(path: string): Promise<PictureData> {
  if (isPattern(path)) {
    if (!/\.tar$/i.test(path)) throw new ModelError('usage', 'only archives (.tar) are given as a pattern.', { file: path });
    return openTars(path, await archivesOf(path));
  }
  if (!(await stat(path).catch(() => null))) throw new ModelError('usage', 'there is no such file or folder', { file: path });
  if (/\.(csv|tsv)$/i.test(path)) return openList(path);
  if (/\.tar$/i.test(path)) return openTars(path, [path]);
  const folder = await openPictureFolder(path).catch(async (error: unknown) => {
    const tars = await matching(join(path, '*.tar'));
    if (tars.length === 0) throw error;
    return openTars(path, tars);
  });
  if (!folder) throw new ModelError('usage', 'is neither a folder of pictures, nor a list (.csv), nor an archive (.tar).', { file: path });
  return { close: async () => {}, ...folder };
}

/** Lines of a picture's path, relative to the list, and its class. */
async function openList(path: string): Promise<PictureData> {
  const { size } = await stat(path);
  if (size > MAX_LIST_BYTES) throw new ModelError('unsafe', `${size} bytes are no list of pictures`, { file: path });
  const text = await readFile(path, 'utf8');
  const folder = resolve(dirname(path));
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== '');
  // A first line of titles names no picture.
  const rows = PICTURE.test(nameOf(lines[0] ?? '')) ? lines : lines.slice(1);
  const all = rows.map((line) => nameOf(line).replaceAll('\\', '/'));
  // A second run knows a picture that is done by its name.
  const names = [...new Set(all)];
  const strange = all.findIndex((name) => !PICTURE.test(name) || !resolve(folder, name).startsWith(folder + sep));
  if (names.length === 0 || strange >= 0) {
    const what =
      names.length === 0
        ? 'names no picture'
        : `line ${strange + 1 + (lines.length - rows.length)} names no picture (.png, .jpg) beside or below it: ${JSON.stringify(all[strange]!.slice(0, 200))}`;
    throw new ModelError('usage', what, { file: path });
  }
  const without = rows.findIndex((line) => !CLASS.test(line));
  const hasLabels = without < 0;
  // Folders would be taken for the classes of all of them.
  if (!hasLabels && rows.some((line) => CLASS.test(line))) {
    const problem = `line ${without + 1 + (lines.length - rows.length)} names no class, and other lines do: ${JSON.stringify(rows[without]!.slice(0, 200))}`;
    throw new ModelError('usage', problem, { file: path });
  }
  return {
    label: dirname(path),
    names,
    leftOut: names.length < all.length ? [`left out, as the list names them before: ${all.length - names.length} of its lines`] : [],
    labels: hasLabels ? rows.join('\n') : null,
    labelsFile: basename(path),
    bytes: (name) =>
      readFile(join(folder, name)).catch((error: Error) =>
        Promise.reject(new ModelError('malformed', `cannot be read: ${error.message}`, { file: name }, error)),
      ),
    close: async () => {},
  };
}

function nameOf(line: string): string {
  return /^\s*"?([^",;\t]+)"?/.exec(line)?.[1]?.trim() ?? '';
}

/** As WebDataset names its shards: train-{000000..001281}.tar. */
const RANGE = /\{(\d+)\.\.(\d+)\}/;
const MOST_ARCHIVES = 100_000;

/** Archives of a pattern. A range says which there are, so that one that is not there is an error. */
async function archivesOf(pattern: string): Promise<readonly string[]> {
  const parts = withoutRanges(pattern);
  if (parts.length === 1) return expandPaths(parts);
  const missing = parts.filter((part) => !isPattern(part) && !existsSync(part));
  if (missing.length > 0)
    throw new ModelError('usage', `${missing.length} of ${parts.length} archives are not there: ${listed(missing, 3)}`, { file: pattern });
  return expandPaths(parts);
}

function withoutRanges(pattern: string): string[] {
  const [range, first = '', last = ''] = RANGE.exec(pattern) ?? [];
  if (range === undefined) return [pattern];
  const count = Number(last) - Number(first) + 1;
  if (!(count >= 1 && count <= MOST_ARCHIVES)) throw new ModelError('usage', `${range} is no range of at most ${MOST_ARCHIVES}`, { file: pattern });
  return Array.from({ length: count }, (_, i) => pattern.replace(range, String(Number(first) + i).padStart(first.length, '0'))).flatMap(withoutRanges);
}

async function matching(pattern: string): Promise<string[]> {
  const { glob } = await import('tinyglobby');
  return (await glob(basename(pattern), { cwd: dirname(pattern), expandDirectories: false })).sort().map((name) => join(dirname(pattern), name));
}

/** Samples are members of one name and several extensions: the picture, and its class in `.cls`. Else the folder in the name is the class. */
async function openTars(label: string, paths: readonly string[]): Promise<PictureData> {
  if (paths.length === 0) throw new ModelError('usage', 'no archive is matched', { file: label });
  const sources: ByteSource[] = [];
  const members = new Map<string, () => Promise<Uint8Array>>();
  const [classes, others]: [string[], string[]] = [[], []];
  /** The first member that should say a class, and does not. */
  let without: string | null = null;
  for (const path of paths) {
    const source = await fileSource(path);
    sources.push(source);
    const inside = await openTar(source, MAX_TAR_MEMBERS);
    for (const [name, member] of inside) {
      const full = paths.length === 1 ? name : `${basename(path, extname(path))}/${name}`;
      if (OTHER.test(name)) others.push(full);
      if (!PICTURE.test(name)) continue;
      members.set(full, () => member.read(0, member.byteLength));
      const stated = inside.get(`${name.replace(PICTURE, '')}.cls`);
      const text = stated && stated.byteLength <= MAX_CLASS_BYTES ? new TextDecoder().decode(await stated.read(0, stated.byteLength)).trim() : '';
      if (text === '') without ??= `${name.replace(PICTURE, '')}.cls`;
      else classes.push(`${full},${text}`);
    }
  }
  const close = async () => void (await Promise.all(sources.map((source) => source.close())));
  if (members.size === 0) {
    await close();
    throw new ModelError('usage', 'has no pictures in it: members ending in .png, .jpg or .jpeg are looked for.', { file: label });
  }
  // Folders would be taken for the classes of all of them.
  if (without !== null && classes.length > 0) {
    await close();
    const problem = `${members.size - classes.length} of ${members.size} pictures have no class beside them (${JSON.stringify(without)}), and the others do`;
    throw new ModelError('usage', problem, { file: label });
  }
  const folders = [...members.keys()].map((name) =>
    name
      .split('/')
      .slice(paths.length === 1 ? 0 : 1, -1)
      .join('/'),
  );
  const fromFolders = folders.every((folder) => folder !== '') ? [...members.keys()].map((name, i) => `${name},${folders[i]}`) : null;
  const table = classes.length === members.size ? classes : fromFolders;
  const names = [...members.keys()];
  return {
    label,
    names,
    leftOut: leftOutKinds(others),
    labels: table?.join('\n') ?? null,
    labelsFile: basename(label),
    bytes: (name) => members.get(name)!(),
    close,
  };
}
