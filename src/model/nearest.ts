/** Names that somebody may have meant. */

/** Longer names are not compared letter by letter. */
const MAX_LENGTH = 200;
const MOST = 3;

/**
 * ' Did you mean ...?' with the names most like the one given, or '' where none is.
 *
 * @param shown how a name is told
 */
export function didYouMean(name: string, known: Iterable<string>, shown = (name: string) => name): string {
  const wanted = name.toLowerCase();
  const limit = Math.max(2, Math.floor(wanted.length / 3));
  const found: { name: string; distance: number }[] = [];
  for (const other of new Set(known)) {
    if (other.length > MAX_LENGTH || wanted.length > MAX_LENGTH) continue;
    const lower = other.toLowerCase();
    const isPart = wanted.length > 2 && lower.includes(wanted);
    if (!isPart && Math.abs(other.length - name.length) > limit) continue;
    const distance = isPart ? 0.5 + (other.length - name.length) / MAX_LENGTH : editDistance(wanted, lower);
    if (distance <= limit) found.push({ name: other, distance });
  }
  found.sort((a, b) => a.distance - b.distance);
  const names = found.slice(0, MOST).map((one) => `"${shown(one.name)}"`);
  return names.length === 0 ? '' : ` Did you mean ${names.join(' or ')}?`;
}

/** Levenshtein's: insertions, deletions and replacements; two letters that changed places are one mistake. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const least = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + Number(a[i - 1] !== b[j - 1]));
      const isExchanged = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      next[j] = isExchanged ? Math.min(least, before[j - 2]! + 1) : least;
    }
    [before, row] = [row, next];
  }
  return row[b.length]!;
}
