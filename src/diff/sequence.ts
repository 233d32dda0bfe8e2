/** Lines up two sequences of keys: the longest common subsequence, where there is time for it. */

/** Steps that finding the best takes, at most: 4000 by 4000. */
const MAX_STEPS = 2 ** 24;

/** @returns pairs of indices of equal keys, ascending in both */
export function alignSequences(a: readonly string[], b: readonly string[]): [number, number][] {
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) start++;
  let [endA, endB] = [a.length, b.length];
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) {
    endA--;
    endB--;
  }
  const same = (from: number, count: number, shift: number) => Array.from({ length: count }, (_, i): [number, number] => [from + i, from + i + shift]);
  const middle = between(a.slice(start, endA), b.slice(start, endB)).map(([i, j]): [number, number] => [i + start, j + start]);
  return [...same(0, start, 0), ...middle, ...same(endA, a.length - endA, endB - endA)];
}

function between(a: readonly string[], b: readonly string[]): [number, number][] {
  return a.length * b.length <= MAX_STEPS ? longestCommon(a, b) : inOrder(a, b);
}

function longestCommon(a: readonly string[], b: readonly string[]): [number, number][] {
  const width = b.length + 1;
  const lengths = new Uint16Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      const at = i * width + j;
      lengths[at] = a[i] === b[j] ? lengths[at + width + 1]! + 1 : Math.max(lengths[at + width]!, lengths[at + 1]!);
    }
  }
  const pairs: [number, number][] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const at = i * width + j;
    if (a[i] === b[j]) pairs.push([i++, j++]);
    else if (lengths[at + width]! >= lengths[at + 1]!) i++;
    else j++;
  }
  return pairs;
}

/** The first of b that has the key and comes after the last one taken: no best, but one pass. */
function inOrder(a: readonly string[], b: readonly string[]): [number, number][] {
  const places = new Map<string, number[]>();
  for (let j = b.length - 1; j >= 0; j--) {
    const known = places.get(b[j]!);
    if (known) known.push(j);
    else places.set(b[j]!, [j]);
  }
  const pairs: [number, number][] = [];
  let last = -1;
  for (const [i, key] of a.entries()) {
    const left = places.get(key);
    while (left && left.length > 0 && left.at(-1)! <= last) left.pop();
    const j = left?.pop();
    if (j === undefined) continue;
    pairs.push([i, j]);
    last = j;
  }
  return pairs;
}
