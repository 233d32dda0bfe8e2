/**
 * Arithmetic with sizes, of which some are free.
 *
 * A free size is a name. What is worked out from one gets a name that says how, `(2*H+1)`, in one normal form: so equal names mean
 * equal sizes, and a size that comes back to its source (H + 2 - 3 + 1) has its source's name again. Names that files give are taken
 * as they are. One that begins with '?' stands for a size that its file leaves without a name.
 */
import type { Dim } from './layer-map.js';

/** A sum of products of free sizes: the factors, sorted and joined by '*', with their coefficients; '' is the constant. */
type Sum = ReadonlyMap<string, number>;

/**
 * Longer names are replaced by a digest of them, which equal sizes still share, but no graph can work out. What a detector's three scales of halved heights and
 * widths have together takes 300 characters.
 */
const MAX_NAME = 500;

export const addDims = (a: Dim, b: Dim): Dim => (typeof a === 'number' && typeof b === 'number' ? a + b : nameOf(combine(sumOf(a), sumOf(b), 1)));

export const subtractDims = (a: Dim, b: Dim): Dim => (typeof a === 'number' && typeof b === 'number' ? a - b : nameOf(combine(sumOf(a), sumOf(b), -1)));

export function multiplyDims(a: Dim, b: Dim): Dim {
  if (typeof a === 'number' && typeof b === 'number') return a * b;
  const product = new Map<string, number>();
  for (const [left, x] of sumOf(a)) {
    for (const [right, y] of sumOf(b)) addTerm(product, [...factorsOf(left), ...factorsOf(right)].sort().join('*'), x * y);
  }
  return nameOf(product);
}

/** Rounded down. */
export function divideDim(a: Dim, by: number): Dim {
  if (typeof a === 'number') return Math.floor(a / by);
  const terms = [...sumOf(a)];
  if (terms.every(([, coefficient]) => Number.isInteger(coefficient / by)))
    return nameOf(new Map(terms.map(([term, coefficient]) => [term, coefficient / by])));
  // A whole part comes out of the division, so that floor((4*H+3)/2) and 2*H + floor(3/2) are one size.
  const whole = new Map(terms.map(([term, coefficient]) => [term, Math.floor(coefficient / by)]).filter(([, count]) => count !== 0) as [string, number][]);
  const rest = new Map(
    terms.map(([term, coefficient]) => [term, coefficient - by * Math.floor(coefficient / by)]).filter(([, count]) => count !== 0) as [string, number][],
  );
  const onlyConstant = [...rest.keys()].every((term) => term === '');
  if (!onlyConstant) addTerm(whole, `floor(${spell(rest)}/${by})`, 1);
  return nameOf(whole);
}

/** a / b where it comes out even; null where nothing says that it does. */
export function quotientOf(a: Dim, b: Dim): Dim | null {
  if (typeof b === 'number') {
    if (b === 0) return null;
    if (typeof a === 'number') return Number.isInteger(a / b) ? a / b : null;
    const terms = [...sumOf(a)];
    return terms.every(([, coefficient]) => Number.isInteger(coefficient / b)) ? nameOf(new Map(terms.map(([term, x]) => [term, x / b]))) : null;
  }
  if (a === b) return 1;
  const divisor = [...sumOf(b)];
  if (divisor.length !== 1) return null;
  const [factors, by] = divisor[0]!;
  const quotient = new Map<string, number>();
  for (const [term, coefficient] of sumOf(a)) {
    const rest = factorsOf(term);
    for (const factor of factorsOf(factors)) {
      const at = rest.indexOf(factor);
      if (at < 0) return null;
      rest.splice(at, 1);
    }
    if (!Number.isInteger(coefficient / by)) return null;
    quotient.set(rest.join('*'), coefficient / by);
  }
  return nameOf(quotient);
}

export function productOf(sizes: readonly Dim[]): Dim {
  return sizes.reduce((product, size) => multiplyDims(product, size), 1);
}

/** Whether a size can be no less than zero whatever its free sizes are: no part of it is subtracted. */
export function isSumOfSizes(size: Dim): boolean {
  return typeof size === 'number' ? size >= 0 : [...sumOf(size).values()].every((coefficient) => coefficient >= 0);
}

/** A part of a sum: a whole number times free sizes by name, and sizes that are divided and rounded down. */
export interface SizeTerm {
  readonly coefficient: number;
  readonly factors: readonly (string | { readonly of: Dim; readonly by: number })[];
}

/** How a size was worked out; null for one that is free, or whose name is too long to say. */
export function termsOf(size: string): readonly SizeTerm[] | null {
  const sum = parse(size);
  if (!sum) return null;
  return [...sum].map(([term, coefficient]) => ({
    coefficient,
    factors: factorsOf(term).map((factor) => {
      const [, of, by] = /^floor\((\(.*\))\/(\d+)\)$/.exec(factor) ?? [];
      if (of !== undefined) return { of: nameOf(parse(of) ?? new Map([[of, 1]])), by: Number(by) };
      return factor.startsWith('"') ? (JSON.parse(factor) as string) : factor;
    }),
  }));
}

function combine(a: Sum, b: Sum, sign: 1 | -1): Sum {
  const sum = new Map(a);
  for (const [term, coefficient] of b) addTerm(sum, term, sign * coefficient);
  return sum;
}

function addTerm(sum: Map<string, number>, term: string, coefficient: number): void {
  const total = (sum.get(term) ?? 0) + coefficient;
  if (total === 0) sum.delete(term);
  else sum.set(term, total);
}

function sumOf(size: Dim): Sum {
  if (typeof size === 'number') return size === 0 ? new Map() : new Map([['', size]]);
  return parse(size) ?? new Map([[quoted(size), 1]]);
}

/** Names that could be taken for arithmetic stand in quotes inside of it. */
function quoted(name: string): string {
  return /^[\w.:?~]+$/.test(name) && !/^\d/.test(name) ? name : JSON.stringify(name);
}

function nameOf(sum: Sum): Dim {
  const terms = [...sum];
  if (terms.length === 0) return 0;
  const [first] = terms;
  if (terms.length === 1 && first![0] === '') return first![1];
  const whole = spell(sum);
  if (terms.length === 1 && first![1] === 1 && factorsOf(first![0]).length === 1) {
    const [factor] = factorsOf(first![0]);
    if (!factor!.startsWith('floor(')) return factor!.startsWith('"') ? (JSON.parse(factor!) as string) : factor!;
  }
  return whole.length <= MAX_NAME ? whole : `~${digest(whole)}`;
}

function spell(sum: Sum): string {
  const terms = [...sum].sort(([a], [b]) => (a === '' ? 1 : b === '' ? -1 : a < b ? -1 : 1));
  const text = terms.map(([term, coefficient]) => {
    const sign = coefficient < 0 ? '-' : '+';
    const size = Math.abs(coefficient);
    return `${sign}${term === '' ? size : size === 1 ? term : `${size}*${term}`}`;
  });
  return `(${text.join('').replace(/^\+/, '')})`;
}

/** The factors of a product; those in quotes and in brackets are whole. */
function factorsOf(term: string): string[] {
  return term === '' ? [] : split(term, '*');
}

/** Splits at a sign that stands outside of brackets and quotes. */
function split(text: string, signs: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let inQuotes = false;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i]!;
    if (inQuotes) {
      if (char === '\\') i++;
      else if (char === '"') inQuotes = false;
    } else if (char === '"') inQuotes = true;
    else if (char === '(') depth++;
    else if (char === ')') depth--;
    else if (depth === 0 && signs.includes(char) && i > start) {
      parts.push(text.slice(start, i));
      start = signs === '*' ? i + 1 : i;
    }
  }
  parts.push(text.slice(start));
  return parts;
}

/** A name that this module made, as a sum again; null for any other. */
function parse(name: string): Sum | null {
  if (!name.startsWith('(') || !name.endsWith(')')) return null;
  const sum = new Map<string, number>();
  for (const part of split(name.slice(1, -1), '+-')) {
    const sign = part.startsWith('-') ? -1 : 1;
    const factors = split(part.replace(/^[+-]/, ''), '*');
    const leading = /^\d+$/.test(factors[0]!) ? Number(factors.shift()) : 1;
    if (!factors.every((factor) => /^(floor\(.*\)|".*"|[\w.:?~]+)$/.test(factor))) return null;
    addTerm(sum, factors.join('*'), sign * leading);
  }
  // Only what would be spelt so again was spelt here.
  return spell(sum) === name ? sum : null;
}

/** FNV-1a over two seeds: 64 bits, so that two of a net's few thousand sizes do not meet. */
function digest(text: string): string {
  return [0x811c9dc5, 0x9747b28c]
    .map((seed) => {
      let hash = seed;
      for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
      return (hash >>> 0).toString(16).padStart(8, '0');
    })
    .join('');
}
