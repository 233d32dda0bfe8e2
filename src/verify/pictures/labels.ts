/** The classes of pictures: from a table beside them, or from the names of their folders. */
import { ModelError } from '../../errors.js';
import { listed } from '../../words.js';

/** Name of the table. */
export const LABELS_FILE = 'labels.csv';

export interface FoundLabels {
  /** One for each picture, in their order; null where there are none. */
  readonly labels: readonly number[] | null;
  /** What was taken for granted of them, or why there are none though it looks as if there were. */
  readonly note: string | null;
}

/**
 * @param names of pictures relative to their folder, '/' between parts
 * @param table the class of each, or the text of labels.csv (name, class on each line), where there is one
 * @param file name of the table, for messages
 * @param net how many classes it tells apart, null where that is not known, and their names, where anything says them; and among which pictures these are, where there are more
 * @throws ModelError 'malformed' where the table does not have every picture or has it twice, or a class is out of range
 */
export function labelsFor(
  names: readonly string[],
  table: string | readonly string[] | null,
  { classes, own, among = names }: { readonly classes: number | null; readonly own: readonly string[] | null; readonly among?: readonly string[] },
  file = LABELS_FILE,
): FoundLabels {
  const words = table === null ? folders(names) : typeof table === 'string' ? fromTable(names, table, file, among) : table;
  if (!words) return { labels: null, note: null };
  const kinds = [...new Set(words)].sort();
  const numbered = (numbers: ReadonlyMap<string, number>) => words.map((word) => numbers.get(word)!);
  if (kinds.every((word) => /^\d+$/.test(word))) {
    const labels = numbered(new Map(kinds.map((word) => [word, Number(word)])));
    const beyond = classes === null ? -1 : labels.findIndex((label) => label >= classes);
    if (beyond >= 0)
      throw new ModelError('malformed', `the picture "${names[beyond]}" has the class ${labels[beyond]}, and the net tells ${classes} apart, counted from 0.`);
    return { labels, note: null };
  }
  const placeOf = own && placesIn(own);
  const places = placeOf && kinds.map(placeOf);
  if (places?.every((place) => place >= 0)) return { labels: numbered(new Map(kinds.map((kind, i) => [kind, places[i]!]))), note: null };
  // As torchvision and Keras count them, where all are there.
  if (kinds.length === classes) {
    const counted = listed(kinds.map((kind, i) => `${i} ${kind}`));
    const note = `accuracy: classes are counted in the order of their names (${counted}), as nothing says the net's own; numbers from 0 instead of names say it, or a labels.txt beside the net`;
    return { labels: numbered(new Map(kinds.map((kind, i) => [kind, i]))), note };
  }
  const where = table === null ? 'folders of pictures have' : `${file} has`;
  const note = `accuracy was not counted: ${where} ${kinds.length} names of classes, and the net tells ${classes ?? '?'} apart, so which is which is not known; numbers from 0 say it`;
  return { labels: null, note };
}

/** Which of the net's classes has a name, however it is spelt; -1 where none has, or several have. */
export function placesIn(own: readonly string[]): (name: string) => number {
  const plain = (text: string) =>
    text
      .trim()
      .toLowerCase()
      .replaceAll(/[\s_-]+/g, ' ');
  const indexed = (names: readonly string[]) => {
    const places = new Map<string, number>();
    for (const [i, name] of names.entries()) places.set(name, places.has(name) ? -1 : i);
    return places;
  };
  const [exact, alike] = [indexed(own), indexed(own.map(plain))];
  return (name) => exact.get(name) ?? alike.get(plain(name)) ?? -1;
}

function folders(names: readonly string[]): string[] | null {
  const found = names.map((name) => name.slice(0, Math.max(0, name.lastIndexOf('/'))));
  return found.every((folder) => folder !== '') ? found : null;
}

/** A line of a table: the name of a picture and, behind a separator, its class. */
const LINE = /^\s*"?([^",;\t]*[^",;\t\s])"?\s*(?:[,;\t]\s*"?([^",;\t]*?)"?\s*)?$/;

/** @returns the picture's name and its class, '' where none is said; null where the line is none of a table's */
export function parseTableLine(line: string): { readonly name: string; readonly word: string } | null {
  const [, name, word = ''] = LINE.exec(line) ?? [];
  return name === undefined ? null : { name: name.replaceAll('\\', '/').replace(/^\.\//, ''), word };
}

/** Lines of a text with their numbers from 1, without those that are blank; one at a time, because tables have millions. */
export function* linesOf(text: string): Generator<readonly [line: string, number: number]> {
  let number = 1;
  for (let at = 0; at < text.length; number++) {
    const end = text.indexOf('\n', at);
    const line = text.slice(at, end < 0 ? text.length : end);
    if (line.trim() !== '') yield [line, number];
    at = end < 0 ? text.length : end + 1;
  }
}

function fromTable(names: readonly string[], table: string, file: string, among: readonly string[]): string[] {
  const lastOf = (name: string) => name.normalize().split('/').at(-1)!;
  const counts = new Map<string, number>();
  for (const name of among) counts.set(lastOf(name), (counts.get(lastOf(name)) ?? 0) + 1);
  // Some file systems spell accents as letters of their own, which tables do not.
  const wanted = new Set(names.flatMap((name) => [name.normalize(), lastOf(name)]));
  const classes = new Map<string, string>();
  for (const [line, number] of linesOf(table)) {
    const row = parseTableLine(line);
    if (!row || !/[,;\t]/.test(line)) throw new ModelError('malformed', `line ${number} is not "name of a picture, class"`, { file });
    const name = row.name.normalize();
    if (!wanted.has(name)) continue;
    const before = classes.get(name);
    if (before !== undefined && before !== row.word) throw new ModelError('malformed', `says two classes of "${name}": ${before} and ${row.word}`, { file });
    classes.set(name, row.word);
  }
  return names.map((name) => {
    const last = lastOf(name);
    const own = classes.get(name.normalize());
    if (own === undefined && classes.has(last) && counts.get(last)! > 1)
      throw new ModelError('malformed', `has "${last}" without its folder, and ${counts.get(last)} pictures are called so`, { file });
    const found = own ?? classes.get(last);
    if (found === undefined) throw new ModelError('malformed', `does not have the picture "${name}"`, { file });
    if (found === '') throw new ModelError('malformed', `says no class of the picture "${name}"`, { file });
    return found;
  });
}
