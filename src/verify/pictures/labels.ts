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
 * @param table text of labels.csv: name, class on each line, where there is one
 * @param file name of the table, for messages
 * @param net how many classes it tells apart, null where that is not known, and their names, where anything says them; and among which pictures these are, where there are more
 * @throws ModelError 'malformed' where the table does not have every picture or has it twice, or a class is out of range
 */
export function labelsFor(
  names: readonly string[],
  table: string | null,
  { classes, own, among = names }: { readonly classes: number | null; readonly own: readonly string[] | null; readonly among?: readonly string[] },
  file = LABELS_FILE,
): FoundLabels {
  const words = table === null ? folders(names) : fromTable(names, table, file, among);
  if (!words) return { labels: null, note: null };
  if (words.every((word) => /^\d+$/.test(word))) {
    const labels = words.map(Number);
    const beyond = classes === null ? -1 : labels.findIndex((label) => label >= classes);
    if (beyond >= 0)
      throw new ModelError('malformed', `the picture "${names[beyond]}" has the class ${labels[beyond]}, and the net tells ${classes} apart, counted from 0.`);
    return { labels, note: null };
  }
  const kinds = [...new Set(words)].sort();
  const places = own && kinds.map((kind) => placeOf(kind, own));
  if (places?.every((place) => place >= 0)) return { labels: words.map((word) => places[kinds.indexOf(word)]!), note: null };
  // As torchvision and Keras count them, where all are there.
  if (kinds.length === classes) {
    const counted = listed(kinds.map((kind, i) => `${i} ${kind}`));
    const note = `accuracy: classes are counted in the order of their names (${counted}), as nothing says the net's own; numbers from 0 instead of names say it, or a labels.txt beside the net`;
    return { labels: words.map((word) => kinds.indexOf(word)), note };
  }
  const where = table === null ? 'folders of pictures have' : `${file} has`;
  const note = `accuracy was not counted: ${where} ${kinds.length} names of classes, and the net tells ${classes ?? '?'} apart, so which is which is not known; numbers from 0 say it`;
  return { labels: null, note };
}

/** Which of the net's classes has a name, however it is spelt; -1 where none has, or several have. */
export function placeOf(name: string, own: readonly string[]): number {
  const plain = (text: string) =>
    text
      .trim()
      .toLowerCase()
      .replaceAll(/[\s_-]+/g, ' ');
  const exact = own.indexOf(name);
  if (exact >= 0) return own.lastIndexOf(name) === exact ? exact : -1;
  const alike = own.flatMap((each, i) => (plain(each) === plain(name) ? [i] : []));
  return alike.length === 1 ? alike[0]! : -1;
}

function folders(names: readonly string[]): string[] | null {
  const found = names.map((name) => name.split('/').slice(0, -1).join('/'));
  return found.every((folder) => folder !== '') ? found : null;
}

function fromTable(names: readonly string[], table: string, file: string, among: readonly string[]): string[] {
  const rows = table
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
    .map((line) => /^\s*"?(.+?)"?\s*[,;\t]\s*"?([^,;\t]*?)"?\s*$/.exec(line));
  const bad = rows.indexOf(null);
  if (bad >= 0) throw new ModelError('malformed', `line ${bad + 1} is not "name of a picture, class"`, { file });
  // Some file systems spell accents as letters of their own, which tables do not.
  const classes = new Map<string, string>();
  for (const row of rows) {
    const [name, word] = [row![1]!.replaceAll('\\', '/').replace(/^\.\//, '').normalize(), row![2]!];
    const before = classes.get(name);
    if (before !== undefined && before !== word) throw new ModelError('malformed', `says two classes of "${name}": ${before} and ${word}`, { file });
    classes.set(name, word);
  }
  const lastOf = (name: string) => name.normalize().split('/').at(-1)!;
  const counts = new Map<string, number>();
  for (const name of among) counts.set(lastOf(name), (counts.get(lastOf(name)) ?? 0) + 1);
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
