/** A folder of pictures on disk. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ModelError } from '../errors.js';
import type { PictureFolder } from '../verify/pictures/index.js';
import { LABELS_FILE } from '../verify/pictures/labels.js';
import { listed } from '../words.js';
import { errorText, insteadOf } from './file-source.js';
import { statsOf } from './identity.js';

export const PICTURE = /\.(png|jpe?g|jpe|jfif)$/i;
/** Pictures of other kinds, which are not read. */
const OTHER = /\.(webp|gif|bmp|tiff?|hei[cf]|avif|jp2|jxl|p[bgnp]m|svg)$/i;
/** Larger than any picture that is decoded, and than a table of a million lines. */
const MAX_FILE_BYTES = 2 ** 26;
/** Folders of classes lie one below the other in some data sets. */
const MAX_DEPTH = 3;

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
  const all = (await list(path, '', MAX_DEPTH)).sort();
  const [names, others] = [all.filter((name) => PICTURE.test(name)), all.filter((name) => OTHER.test(name))];
  if (names.length === 0) {
    const there = others.length > 0 ? ` There ${others.length === 1 ? 'is' : 'are'} ${listed(others, 3)}: give copies as PNG or JPEG.` : '';
    throw new ModelError('usage', `has no pictures in it that are read: files ending in .png, .jpg or .jpeg are looked for.${there}`, { file: path });
  }
  const table = join(path, LABELS_FILE);
  const labels = (await stat(table).catch(() => null))?.isFile() ? new TextDecoder().decode(await read(table)) : null;
  return { label: path, names, others, labels, bytes: (name) => read(join(path, name)) };
}

async function list(folder: string, prefix: string, depth: number): Promise<string[]> {
  const entries = await readdir(join(folder, prefix), { withFileTypes: true });
  const found = await Promise.all(
    entries
      .filter(({ name }) => !name.startsWith('.'))
      .map(async (entry) => {
        const name = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
        if (entry.isDirectory()) return depth > 0 ? list(folder, name, depth - 1) : [];
        return PICTURE.test(name) || OTHER.test(name) ? [name] : [];
      }),
  );
  return found.flat();
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
