/**
 * Which tensor of one file is which of the other: by canonical name, by the file's own names, by position, by content.
 *
 * Names go first, because a tensor that another took the place of is a finding. Position and content are for files whose names have
 * nothing in common; there, what is equal stands for itself, and order decides about the rest.
 */
import { floatStatistics } from '../model/statistics.js';
import { elementCount } from '../model/tensor.js';
import type { Alignment } from './document.js';
import type { Part } from './parts.js';
import { alignSequences } from './sequence.js';

export interface PartPair {
  readonly a: Part | null;
  readonly b: Part | null;
  readonly by: Alignment | null;
}

/** So few names are no coincidence. */
const FEW = 4;

/** A pair of two. */
export interface Couple extends PartPair {
  readonly a: Part;
  readonly b: Part;
  readonly by: Alignment;
}

/** @param onRead tells of tensors that had to be read, because nothing but their content can tell them apart */
export async function alignParts(a: readonly Part[], b: readonly Part[], onRead: (part: Part) => void = () => {}): Promise<PartPair[]> {
  const open = new Open(a, b);
  open.pairBy('canonical-name', ({ canonical }) => canonical);
  const before = open.couples.length;
  open.pairBy('name', ({ storedName }) => storedName);
  open.pairBy('name', ({ layer, role }) => (layer === null ? null : `${layer} ${role}`));
  // Numbers that a framework counts up give names to layers that are others in the next session.
  const named = open.couples.slice(before);
  if (named.length >= FEW && 2 * named.filter((couple) => !isSameSize(couple)).length > named.length) open.undo(before);
  open.pairSameSequence();
  await open.pairByContent(onRead);
  open.pairInOrder();
  return open.all();
}

class Open {
  readonly couples: Couple[] = [];
  #a: Set<Part>;
  #b: Set<Part>;

  constructor(
    readonly allA: readonly Part[],
    readonly allB: readonly Part[],
  ) {
    this.#a = new Set(allA);
    this.#b = new Set(allB);
  }

  #pair(a: Part, b: Part, by: Alignment): void {
    this.couples.push({ a, b, by });
    this.#a.delete(a);
    this.#b.delete(b);
  }

  /** Takes couples back, from the given one on. */
  undo(from: number): void {
    for (const { a, b } of this.couples.splice(from)) {
      this.#a.add(a);
      this.#b.add(b);
    }
    this.#a = new Set(this.allA.filter((part) => this.#a.has(part)));
    this.#b = new Set(this.allB.filter((part) => this.#b.has(part)));
  }

  /** Equal keys; several of one key, such as a tensor that two layers share, in their order. */
  pairBy(by: Alignment, keyOf: (part: Part) => string | null): void {
    const groups = groupBy(this.#b, keyOf);
    for (const part of [...this.#a]) {
      const key = keyOf(part);
      const other = key === null ? undefined : groups.get(key)?.pop();
      if (other) this.#pair(part, other, by);
    }
  }

  /** Where the rest of both goes through the same shapes, position settles it. */
  pairSameSequence(): void {
    const [a, b] = [[...this.#a], [...this.#b]];
    if (a.length !== b.length || !a.every((part, i) => sizeKey(part) === sizeKey(b[i]!))) return;
    for (const [i, part] of a.entries()) this.#pair(part, b[i]!, 'position');
  }

  /** By what no change of order alters: how many values there are, the smallest, the largest, their spread. */
  async pairByContent(onRead: (part: Part) => void): Promise<void> {
    const sizes = new Set([...this.#b].map(sizeKey));
    const mine = [...this.#a].filter((part) => sizes.has(sizeKey(part)));
    const wanted = new Set(mine.map(sizeKey));
    const theirs = [...this.#b].filter((part) => wanted.has(sizeKey(part)));
    const keys = new Map<Part, string>();
    for (const part of theirs) {
      keys.set(part, await contentKey(part));
      onRead(part);
    }
    const groups = groupBy(theirs, (part) => keys.get(part)!);
    for (const part of mine) {
      const other = groups.get(await contentKey(part))?.pop();
      onRead(part);
      if (other) this.#pair(part, other, 'content');
    }
  }

  /** What is left, as far as shapes follow each other. */
  pairInOrder(): void {
    const [a, b] = [[...this.#a], [...this.#b]];
    for (const [i, j] of alignSequences(a.map(sizeKey), b.map(sizeKey))) this.#pair(a[i]!, b[j]!, 'position');
  }

  /** In a's running order, with what b alone has behind it. */
  all(): PartPair[] {
    const partners = new Map(this.couples.map((couple) => [couple.a, couple]));
    return [
      ...this.allA.map((a): PartPair => partners.get(a) ?? { a, b: null, by: null }),
      ...this.allB.filter((b) => this.#b.has(b)).map((b): PartPair => ({ a: null, b, by: null })),
    ];
  }
}

export function isCouple(pair: PartPair): pair is Couple {
  return pair.a !== null && pair.b !== null;
}

function isSameSize({ a, b }: Couple): boolean {
  return elementCount(a.tensor.shape) === elementCount(b.tensor.shape);
}

/** The sizes of the axes in any order: what can be one tensor in two layouts has the same. */
export function sizeKey({ tensor: { shape } }: Part): string {
  const sizes = shape.filter((size) => size !== 1).sort((x, y) => x - y);
  return sizes.join();
}

/** The same for tensors that hold the same values in any order. */
export async function contentKey(part: Part): Promise<string> {
  const { min, max, std, nonFinite } = await floatStatistics(part.tensor);
  // Sums depend a little on the order.
  return [sizeKey(part), min, max, std?.toPrecision(6), nonFinite].join(' ');
}

/** Parts by key, those of one key last first. */
function groupBy(parts: Iterable<Part>, keyOf: (part: Part) => string | null): Map<string, Part[]> {
  const groups = new Map<string, Part[]>();
  for (const part of [...parts].reverse()) {
    const key = keyOf(part);
    if (key === null) continue;
    const group = groups.get(key);
    if (group) group.push(part);
    else groups.set(key, [part]);
  }
  return groups;
}
