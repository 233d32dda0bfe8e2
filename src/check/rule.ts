/** What a rule of a policy is, and how its value is read. Adding a rule is one entry in `rules.ts` and one in the schema. */
import { ModelError } from '../errors.js';
import { didYouMean } from '../model/nearest.js';
import { byteCount } from '../report/numbers.js';
import { clipped } from '../words.js';
import type { Artifact } from './artifact.js';
import type { Outcome } from './document.js';

export type Found = Omit<Outcome, 'rule'>;

export interface Rule {
  readonly name: string;
  /** Reads the value from the policy. @throws ModelError 'usage' which says what was expected */
  readonly parse: (value: unknown) => (artifact: Artifact) => Promise<Found | readonly Found[]>;
}

/** A rule whose value is read by one function and judged by another. */
export function rule<T>(name: string, parse: (value: unknown) => T, judge: (artifact: Artifact, wanted: T) => Promise<Found | readonly Found[]>): Rule {
  return {
    name,
    parse: (value) => {
      const wanted = parse(value);
      return (artifact) => judge(artifact, wanted);
    },
  };
}

export const found = (passed: boolean, message: string): Found => ({ passed, message });

function expected(what: string, value: unknown): never {
  throw new ModelError('usage', `${what} is expected, not ${JSON.stringify(value)?.slice(0, 100)}`);
}

export function flag(value: unknown): boolean {
  return typeof value === 'boolean' ? value : expected('true or false', value);
}

export function text(value: unknown): string {
  return typeof value === 'string' && value !== '' ? value : expected('a text', value);
}

export function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : expected('a number of zero or more', value);
}

const LEAVES = /(^|[\\/])\.\.([\\/]|$)|^([a-z]:|[\\/])/i;

/** Whether a path is none of the policy's folder. */
export function leavesFolder(path: string): boolean {
  return LEAVES.test(path);
}

/** A path in the policy's folder: a policy may come with what it is to judge. */
export function folderPath(value: unknown): string {
  const path = text(value);
  if (leavesFolder(path)) throw new ModelError('usage', `the path ${JSON.stringify(clipped(path))} leaves the policy's folder`);
  return path;
}

const MAX_COUNT = 10_000;

export function count(value: unknown): number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_COUNT
    ? (value as number)
    : expected(`a whole number from 1 to ${MAX_COUNT}`, value);
}

export function whole(value: unknown): number {
  return Number.isSafeInteger(value) && (value as number) >= 0 ? (value as number) : expected('a whole number of zero or more', value);
}

/** One text, or several. */
export function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.map(text) : [text(value)];
}

export function bytes(value: unknown): number {
  return byteCount(String(value)) ?? expected('a size such as 60MB or 1.5 GiB', value);
}

/** Settings by name; each is read by the function of that name, and none may be there that has no function. */
export function settings<T extends Readonly<Record<string, (value: unknown) => unknown>>>(value: unknown, readers: T): { [K in keyof T]?: ReturnType<T[K]> } {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return expected(`settings (${Object.keys(readers).join(', ')})`, value);
  const read: Record<string, unknown> = {};
  for (const [name, given] of Object.entries(value)) {
    const reader = Object.hasOwn(readers, name) ? readers[name] : undefined;
    if (!reader)
      throw new ModelError('usage', `there is no setting "${name}".${didYouMean(name, Object.keys(readers))} Known: ${Object.keys(readers).join(', ')}`);
    try {
      read[name] = reader(given);
    } catch (error) {
      throw error instanceof ModelError ? new ModelError('usage', `${name}: ${error.problem}`) : error;
    }
  }
  return read as { [K in keyof T]?: ReturnType<T[K]> };
}
