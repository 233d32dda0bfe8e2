/** Where pictures come from: a folder, a list, or tar archives as WebDataset makes them. */
import { createReadStream, existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { basename, dirname, extname, isAbsolute, join, resolve, sep } from 'node:path';
import type { ByteSource } from '../bytes/byte-source.js';
import { openTar } from '../containers/tar.js';
import { ModelError } from '../errors.js';
import { fileSource } from '../node/file-source.js';
import { leftOutKinds, OTHER, openPictureFolder, PICTURE } from '../node/picture-folder.js';
import type { PictureFolder } from '../verify/pictures/index.js';
import { parseTableLine } from '../verify/pictures/labels.js';
import { listed } from '../words.js';
import { expandPaths, isPattern } from './many/expand.js';

export interface PictureData extends PictureFolder {
  close(): Promise<void>;
}

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

/** Lines of a picture's path, relative to the list, and its class. Of a list of millions its names are held, and nothing else of it. */
async function openList(path: string): Promise<PictureData> {
  const { size } = await stat(path);
  if (size > MAX_LIST_BYTES) throw new ModelError('unsafe', `${size} bytes are no list of pictures`, { file: path });
  const folder = resolve(dirname(path));
  const fail = (number: number, problem: string, line: string): never => {
    throw new ModelError('usage', `line ${number} ${problem}: ${JSON.stringify(line.slice(0, 200))}`, { file: path });
  };
  const names: string[] = [];
  const classes: string[] = [];
  const places = new PlaceIndex(names);
  const kinds = new Map<string, string>();
  let [again, isFirst] = [0, true];
  /** The first lines without a class, and with one. */
  let [without, withClass]: ({ number: number; line: string } | null)[] = [null, null];
  await eachLine(path, (line, number) => {
    const row = parseTableLine(line);
    const isTitle = isFirst && !(row && PICTURE.test(row.name));
    isFirst = false;
    // A first line of titles names no picture.
    if (isTitle) return;
    if (!row) return fail(number, 'is not "name of a picture, class"', line);
    const { name, word } = row;
    if (!PICTURE.test(name) || !liesIn(folder, name)) fail(number, 'names no picture (.png, .jpg) beside or below it', line);
    if (word === '') without ??= { number, line };
    else withClass ??= { number, line };
    // Folders would be taken for the classes of all of them.
    if (without && withClass) fail(without.number, 'names no class, and other lines do', without.line);
    const known = kinds.get(word) ?? word;
    kinds.set(known, known);
    const place = places.add(name);
    if (place === names.length - 1 && classes.length < names.length) classes.push(known);
    else if (classes[place] !== known)
      throw new ModelError('usage', `line ${number} says another class of "${name}" than a line before: ${known} and ${classes[place]}`, { file: path });
    else again++;
  });
  if (names.length === 0) throw new ModelError('usage', 'names no picture', { file: path });
  return {
    label: dirname(path),
    names,
    leftOut: again > 0 ? [`left out, as the list names them before: ${again} of its lines`] : [],
    labels: withClass ? classes : null,
    labelsFile: basename(path),
    bytes: (name) =>
      readFile(join(folder, name)).catch((error: Error) =>
        Promise.reject(new ModelError('malformed', `cannot be read: ${error.message}`, { file: name }, error)),
      ),
    close: async () => {},
  };
}

/** Most names have no part that leads up, and need not be worked out. */
function liesIn(folder: string, name: string): boolean {
  return !(/(^|\/)\.\.?(\/|$)/.test(name) || isAbsolute(name)) || resolve(folder, name).startsWith(folder + sep);
}

/** Longer than any path. */
const MAX_LINE_BYTES = 2 ** 16;

/** Lines of a file with their numbers from 1, without those that are blank, each as a text of its own that keeps nothing else in memory. */
async function eachLine(path: string, take: (line: string, number: number) => void): Promise<void> {
  let rest: Buffer = Buffer.alloc(0);
  let number = 1;
  const line = (bytes: Buffer, start: number, end: number) => {
    const text = bytes.toString('utf8', start, end);
    if (text.trim() !== '') take(text, number);
    number++;
  };
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
    const bytes = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
    let start = 0;
    for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
      line(bytes, start, end);
      start = end + 1;
    }
    rest = bytes.subarray(start);
    if (rest.length > MAX_LINE_BYTES) throw new ModelError('usage', `line ${number} is longer than any that names a picture`, { file: path });
  }
  line(rest, 0, rest.length);
}

/** Where a name stands in a list that it is added to. A Map of millions of names would take as much memory as the names. */
class PlaceIndex {
  #slots = new Int32Array(2 ** 10).fill(-1);
  /** Of each name, so that no text is looked at but those that are most likely the same. */
  #hashes = new Int32Array(2 ** 9);
  /** Whoever makes a list does not know it, and cannot make names that all come to one slot. */
  readonly #seed = Math.floor(Math.random() * 2 ** 31);

  constructor(readonly names: string[]) {}

  /** @returns where the name stands: at the end, where it is new */
  add(name: string): number {
    const { names } = this;
    const hash = this.#hashOf(name);
    const slot = this.#slotOf(hash, (place) => names[place] === name);
    if (this.#slots[slot]! >= 0) return this.#slots[slot]!;
    this.#slots[slot] = names.length;
    this.#hashes[names.length] = hash;
    // A part of a longer text would keep all of that in memory.
    names.push(Buffer.from(name).toString());
    if (names.length === this.#hashes.length) this.#grow();
    return names.length - 1;
  }

  #grow(): void {
    const known = this.#hashes;
    this.#slots = new Int32Array(this.#slots.length * 2).fill(-1);
    this.#hashes = new Int32Array(known.length * 2);
    this.#hashes.set(known);
    for (const [place, hash] of known.entries()) this.#slots[this.#slotOf(hash, () => false)] = place;
  }

  /** The slot of a name, or the empty one where it would be. */
  #slotOf(hash: number, isName: (place: number) => boolean): number {
    const mask = this.#slots.length - 1;
    let slot = hash & mask;
    for (let place = this.#slots[slot]!; place >= 0 && !(this.#hashes[place] === hash && isName(place)); place = this.#slots[slot]!) slot = (slot + 1) & mask;
    return slot;
  }

  #hashOf(name: string): number {
    let hash = this.#seed;
    for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
    hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
    return hash ^ (hash >>> 16);
  }
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
  const [classes, folders, others]: [string[], string[], string[]] = [[], [], []];
  const stems = paths.map((path) => basename(path, extname(path)));
  // Archives of one name in several folders hold other pictures.
  const prefixes = new Set(stems).size === stems.length ? stems : paths.map((path) => path.slice(0, -extname(path).length));
  /** The first member that should say a class, and does not. */
  let without: string | null = null;
  for (const [i, path] of paths.entries()) {
    const source = await fileSource(path);
    sources.push(source);
    const inside = await openTar(source, MAX_TAR_MEMBERS);
    for (const [name, member] of inside) {
      const full = paths.length === 1 ? name : `${prefixes[i]}/${name}`;
      if (OTHER.test(name)) others.push(full);
      if (!PICTURE.test(name)) continue;
      members.set(full, () => member.read(0, member.byteLength));
      folders.push(name.slice(0, Math.max(0, name.lastIndexOf('/'))));
      const stated = inside.get(`${name.replace(PICTURE, '')}.cls`);
      const text = stated && stated.byteLength <= MAX_CLASS_BYTES ? new TextDecoder().decode(await stated.read(0, stated.byteLength)).trim() : '';
      if (text === '') without ??= `${name.replace(PICTURE, '')}.cls`;
      else classes.push(text);
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
  const fromFolders = folders.every((folder) => folder !== '') ? folders : null;
  const table = classes.length === members.size ? classes : fromFolders;
  const names = [...members.keys()];
  return {
    label,
    names,
    leftOut: leftOutKinds(others),
    labels: table,
    labelsFile: basename(label),
    bytes: (name) => members.get(name)!(),
    close,
  };
}
