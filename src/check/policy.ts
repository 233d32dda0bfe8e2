/** A policy: which artifacts there are, and what each has to be. YAML, of which JSON is a part; `schemas/policy.schema.json` describes it. */
import { ModelError, throwAll } from '../errors.js';
import { didYouMean } from '../model/nearest.js';
import type { Artifact } from './artifact.js';
import type { Found } from './rule.js';
import { rules } from './rules.js';

export interface Demand {
  readonly rule: string;
  readonly judge: (artifact: Artifact) => Promise<Found | readonly Found[]>;
}

export interface Wanted {
  /** Patterns of paths relative to the policy's folder. */
  readonly patterns: readonly string[];
  readonly line: number;
  readonly demands: readonly Demand[];
}

export interface Policy {
  readonly lock: string | null;
  /** Where that is said. */
  readonly lockLine: number;
  readonly artifacts: readonly Wanted[];
}

/** A path that is none of the policy's folder. */
const LEAVES = /(^|[\\/])\.\.([\\/]|$)|^([a-z]:|[\\/])/i;
/** Policies are written by hand. */
export const MAX_POLICY_BYTES = 2 ** 20;
const MAX_LINES = 10_000;
/** A policy has some five levels. */
const MAX_LEVELS = 64;
const MAX_ALIASES = 100;
const VERSION = 1;

/** @throws ModelError 'usage' with every mistake and its line */
export async function parsePolicy(text: string, file: string): Promise<Policy> {
  checkExtent(text, file);
  const { isMap, isScalar, isSeq, LineCounter, parseDocument } = await import('yaml');
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  const mistakes: ModelError[] = [];
  const lineOf = (node: unknown) => lines.linePos((node as { range?: [number] } | null)?.range?.[0] ?? 0).line;
  const mistake = (node: unknown, words: string) => void mistakes.push(new ModelError('usage', `line ${lineOf(node)}: ${words}`, { file }));
  for (const { message, pos } of document.errors) mistakes.push(new ModelError('usage', `line ${lines.linePos(pos[0]).line}: ${message}`, { file }));
  if (mistakes.length > 0) throwAll(mistakes, `${file} is no YAML:`);

  const plain = (node: unknown): unknown => {
    try {
      return (node as { toJS(document: unknown, options: object): unknown }).toJS(document, { maxAliasCount: MAX_ALIASES });
    } catch (error) {
      throw new ModelError('usage', `line ${lineOf(node)}: ${(error as Error).message}`, { file }, error);
    }
  };
  const entries = (node: unknown): [name: string, value: unknown, key: unknown][] => {
    if (isMap(node)) return node.items.map(({ key, value }) => [String(isScalar(key) ? key.value : key), value, key]);
    mistake(node, 'settings by name are expected');
    return [];
  };
  const demandsOf = (list: readonly [string, unknown, unknown][]) => {
    const demands: Demand[] = [];
    for (const [name, value, key] of list) {
      const rule = rules.find((each) => each.name === name);
      if (!rule) {
        mistake(
          key,
          `there is no rule "${name}".${didYouMean(
            name,
            rules.map((each) => each.name),
          )} Known: ${rules.map((each) => each.name).join(', ')}`,
        );
        continue;
      }
      try {
        demands.push({ rule: name, judge: rule.parse(value === null ? null : plain(value)) });
      } catch (error) {
        if (!(error instanceof ModelError)) throw error;
        mistake(value ?? key, `${name}: ${error.problem}`);
      }
    }
    return demands;
  };

  let lock: string | null = null;
  let lockLine = 1;
  let common: Demand[] = [];
  const artifacts: Wanted[] = [];
  const top = entries(document.contents);
  for (const [name, value, key] of top) {
    if (name === 'version') {
      if (plain(value) !== VERSION) mistake(value, `version ${VERSION} is known`);
    } else if (name === 'lock') {
      const path = plain(value);
      if (typeof path === 'string' && path !== '') [lock, lockLine] = [path, lineOf(key)];
      else mistake(value, 'the name of the lock file is expected');
    } else if (name === 'all') common = demandsOf(entries(value));
    else if (name !== 'artifacts') mistake(key, `there is no setting "${name}".${didYouMean(name, TOP)} Known: ${TOP.join(', ')}`);
  }
  const list = top.find(([name]) => name === 'artifacts')?.[1];
  if (!isSeq(list) || list.items.length === 0) mistake(list ?? document.contents, 'a list of artifacts is expected');
  else {
    for (const item of list.items) {
      const own = entries(item);
      const path = own.find(([name]) => name === 'path')?.[1];
      const value = path === undefined || path === null ? null : plain(path);
      const patterns = Array.isArray(value) ? value : [value];
      if (!patterns.every((pattern): pattern is string => typeof pattern === 'string' && pattern !== '')) {
        mistake(path ?? item, 'an artifact has a path, or a list of them; * and ** stand for names');
        continue;
      }
      const outside = patterns.find((pattern) => LEAVES.test(pattern));
      if (outside !== undefined) mistake(path ?? item, `the path ${JSON.stringify(outside)} leaves the policy's folder`);
      const demands = demandsOf(own.filter(([name]) => name !== 'path'));
      // What is said of one artifact holds instead of what is said of all.
      const rest = common.filter(({ rule }) => !demands.some((demand) => demand.rule === rule));
      artifacts.push({ patterns, line: lineOf(item), demands: [...demands, ...rest] });
    }
  }
  if (mistakes.length > 0) throwAll(mistakes, `${file} is no policy:`);
  return { lock, lockLine, artifacts };
}

/** What would cost the parser of YAML more than any policy does: it goes down a level for each bracket, dash and indentation, and compares each key with all others. */
function checkExtent(text: string, file: string): void {
  const lines = text.split('\n');
  if (lines.length > MAX_LINES) throw new ModelError('usage', `more than ${MAX_LINES} lines are no policy`, { file });
  let brackets = 0;
  let items = 0;
  for (const [i, line] of lines.entries()) {
    const [indentation] = /^[ \t?-]*/.exec(line)!;
    for (const character of line) {
      if (character === '[' || character === '{') brackets++;
      else if (character === ']' || character === '}') brackets = Math.max(0, brackets - 1);
      else if (character === ',') items++;
    }
    if (brackets > MAX_LEVELS || indentation.length > 2 * MAX_LEVELS)
      throw new ModelError('usage', `line ${i + 1}: nested deeper than ${MAX_LEVELS} levels`, { file });
  }
  if (items > MAX_LINES) throw new ModelError('usage', `more than ${MAX_LINES} settings are no policy`, { file });
}

const TOP = ['version', 'lock', 'all', 'artifacts'];
