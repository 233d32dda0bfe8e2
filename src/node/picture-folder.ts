/** A folder of pictures on disk. */
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ModelError } from '../errors.js';
import type { PictureFolder } from '../verify/pictures/index.js';
import { LABELS_FILE } from '../verify/pictures/labels.js';
import { listed } from '../words.js';
import { errorText, insteadOf } from './file-source.js';
import { statsOf } from './identity.js';

export const PICTURE = /\.(png|jpe?g|jpe|jfif)$/i;
/** Pictures of other kinds, which are not read. */
export const OTHER = /\.(webp|gif|bmp|tiff?|hei[cf]|avif|jp2|jxl|p[bgnp]m|svg)$/i;
/** Larger than any picture that is decoded, and than a table of a million lines. */
const MAX_FILE_BYTES = 2 ** 26;
/** Folders of classes lie one below the other in some data sets. */
const MAX_DEPTH = 8;

/** Whether it names pictures: a folder, or one by its extension. */
export function namesPictures(path: string): boolean {
  return PICTURE.test(path) || statsOf(path)?.isDirectory() === true;
}

/** The pictures of a folder, or the one that is named; null for any other file. */
export async function openPictureFolder(path: string): Promise<PictureFolder | null> {
  if (!namesPictures(path)) return null;
  const stats = statsOf(path);
  if (!stats) throw new ModelError('usage', `there is no such file${insteadOf(path)}`, { file: path });
  if (!stats.isDirectory()) return { label: dirname(path), names: [basename(path)], labels: null, bytes: () => read(path) };
  const { found, unseen } = await list(path);
  const [names, others] = [found.filter((name) => PICTURE.test(name)), found.filter((name) => OTHER.test(name))];
  if (names.length === 0) {
    const there = others.length > 0 ? ` There ${others.length === 1 ? 'is' : 'are'} ${listed(others, 3)}: give copies as PNG or JPEG.` : '';
    throw new ModelError('usage', `has no pictures in it that are read: files ending in .png, .jpg or .jpeg are looked for.${there}`, { file: path });
  }
  const table = join(path, LABELS_FILE);
  const labels = (await stat(table).catch(() => null))?.isFile() ? new TextDecoder().decode(await read(table)) : null;
  return { label: path, names, leftOut: [...leftOutKinds(others), ...unseen], labels, bytes: (name) => read(join(path, name)) };
}

/** @param others names of pictures of other kinds */
export function leftOutKinds(others: readonly string[]): string[] {
  return others.length > 0 ? [`left out, as PNG and JPEG are read alone: ${listed(others, 3)}`] : [];
}

/** Names of pictures of all kinds, sorted, and which folders were not looked into. */
async function list(top: string): Promise<{ found: string[]; unseen: string[] }> {
  const [found, deeper, circles]: string[][] = [[], [], []];
  const walk = async (prefix: string, above: readonly string[]): Promise<void> => {
    const own = await realpath(join(top, prefix));
    // A link to a folder that it lies in would show all of that once more.
    if (above.includes(own)) return void circles!.push(prefix);
    const inside: string[] = [];
    for (const entry of await readdir(own, { withFileTypes: true })) {
      if (entry.name.startsWith('.')) continue;
      const name = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
      const isFolder = entry.isDirectory() || (entry.isSymbolicLink() && statsOf(join(top, name))?.isDirectory() === true);
      if (isFolder) inside.push(name);
      else if (PICTURE.test(name) || OTHER.test(name)) found!.push(name);
    }
    if (above.length === MAX_DEPTH) return void deeper!.push(...inside);
    await Promise.all(inside.map((name) => walk(name, [...above, own])));
  };
  await walk('', []);
  const told = (names: string[], why: string) => (names.length > 0 ? [`left out, as ${why}: ${listed(names.sort(), 3)}`] : []);
  return {
    found: found!.sort(),
    unseen: [...told(deeper!, `they lie more than ${MAX_DEPTH} folders deep`), ...told(circles!, 'they lead back to a folder that they lie in')],
  };
}

async function read(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES) throw new ModelError('unsafe', `has ${size} bytes, and at most ${MAX_FILE_BYTES} are read.`, { file: path });
    return await readFile(path);
  } catch (error) {
    if (error instanceof ModelError) throw error;
    throw new ModelError('usage', `cannot be read: ${errorText(error)}`, { file: path }, error);
  }
}
