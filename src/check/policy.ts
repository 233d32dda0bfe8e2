/** A policy: which artifacts there are, and what each has to be. YAML, of which JSON is a part; `schemas/policy.schema.json` describes it. */
import { ModelError, throwAll } from '../errors.js';
import { didYouMean } from '../model/nearest.js';
import { clipped } from '../words.js';
import type { Artifact } from './artifact.js';
import { type Found, folderPath, leavesFolder } from './rule.js';
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

/** Policies are written by hand. */
export const MAX_POLICY_BYTES = 2 ** 20;
const MAX_LINES = 10_000;
/** Levels of the parser, of which a list in a setting is two; a policy has some ten. */
const MAX_LEVELS = 64;
/** Names, values, signs and the spaces between them; a policy of so many lines has some eight in each. */
const MAX_LEXEMES = 100_000;
/** Each escape that there is not is a mistake of its own. */
const MAX_BACKSLASHES = 10_000;
const MAX_ALIASES = 100;
/** Each pattern walks through the folder, and a long one takes whoever compiles it long. */
const MAX_PATTERNS = 1000;
const MAX_PATTERN_LENGTH = 1024;
const VERSION = 1;

/** @throws ModelError 'usage' with every mistake and its line */
export async function parsePolicy(text: string, file: string): Promise<Policy> {
  const yaml = await import('yaml');
  const { isMap, isScalar, isSeq, LineCounter, parseDocument, visit } = yaml;
  checkExtent(text, file, yaml);
  const lines = new LineCounter();
  // It would compare each key with all others; it is done here.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  const mistakes: ModelError[] = [];
  const lineOf = (node: unknown) => lines.linePos((node as { range?: [number] } | null)?.range?.[0] ?? 0).line;
  const mistake = (node: unknown, words: string) => void mistakes.push(new ModelError('usage', `line ${lineOf(node)}: ${words}`, { file }));
  for (const { message, pos } of document.errors) mistakes.push(new ModelError('usage', `line ${lines.linePos(pos[0]).line}: ${message}`, { file }));
  visit(document, {
    Map(_, { items }) {
      const names = new Set<unknown>();
      for (const { key } of items) {
        if (!isScalar(key)) mistake(key, 'the name of a setting is expected, before a colon');
        else if (names.has(key.value)) mistake(key, `"${clipped(String(key.value))}" is there twice`);
        else names.add(key.value);
      }
    },
    Alias(_, alias) {
      const [at] = alias.range!;
      const [start, end] = alias.resolve(document)?.range ?? [at + 1];
      if (start <= at && at < end!) mistake(alias, `*${clipped(alias.source)} stands for what it is in itself`);
    },
  });
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
      if (typeof path === 'string' && path !== '' && !leavesFolder(path)) [lock, lockLine] = [path, lineOf(key)];
      else mistake(value, "the name of the lock file is expected, in the policy's folder or below it");
    } else if (name === 'all') common = demandsOf(entries(value));
    else if (name !== 'artifacts') mistake(key, `there is no setting "${name}".${didYouMean(name, TOP)} Known: ${TOP.join(', ')}`);
  }
  const list = top.find(([name]) => name === 'artifacts')?.[1];
  if (!isSeq(list) || list.items.length === 0) mistake(list ?? document.contents, 'a list of artifacts is expected');
  else {
    let patternCount = 0;
    for (const item of list.items) {
      const own = entries(item);
      const path = own.find(([name]) => name === 'path')?.[1];
      const value = path === undefined || path === null ? null : plain(path);
      const patterns = Array.isArray(value) ? value : [value];
      if (!patterns.every((pattern): pattern is string => typeof pattern === 'string' && pattern !== '')) {
        mistake(path ?? item, 'an artifact has a path, or a list of them; * and ** stand for names');
        continue;
      }
      patternCount += patterns.length;
      try {
        for (const pattern of patterns) checkPattern(pattern);
      } catch (error) {
        if (!(error instanceof ModelError)) throw error;
        mistake(path ?? item, error.problem);
      }
      const demands = demandsOf(own.filter(([name]) => name !== 'path'));
      // What is said of one artifact holds instead of what is said of all.
      const rest = common.filter(({ rule }) => !demands.some((demand) => demand.rule === rule));
      artifacts.push({ patterns, line: lineOf(item), demands: [...demands, ...rest] });
    }
    if (patternCount > MAX_PATTERNS) mistake(list, `${patternCount} paths, and at most ${MAX_PATTERNS} are looked for. Patterns stand for many.`);
  }
  if (mistakes.length > 0) throwAll(mistakes, `${file} is no policy:`);
  return { lock, lockLine, artifacts };
}

function checkPattern(pattern: string): void {
  if (pattern.length > MAX_PATTERN_LENGTH) throw new ModelError('usage', `a path of ${pattern.length} letters is none`);
  folderPath(pattern);
}

/** What would take the parser of YAML more than any policy does. Its first half, which keeps levels in a list, says how deep the second would call itself. */
function checkExtent(text: string, file: string, { Lexer, Parser }: typeof import('yaml')): void {
  const refuse = (words: string) => {
    throw new ModelError('usage', words, { file });
  };
  if (text.split('\n').length > MAX_LINES) refuse(`more than ${MAX_LINES} lines are no policy`);
  if (text.split('\\').length > MAX_BACKSLASHES) refuse(`more than ${MAX_BACKSLASHES} backslashes are no policy`);
  const parser = new Parser();
  let [lexemes, line] = [0, 1];
  for (const lexeme of new Lexer().lex(text)) {
    for (const _ of parser.next(lexeme));
    if (parser.stack.length > MAX_LEVELS) refuse(`line ${line}: nested deeper than any policy`);
    if (++lexemes > MAX_LEXEMES) refuse(`line ${line}: more settings than any policy has`);
    line += lexeme.split('\n').length - 1;
  }
}

const TOP = ['version', 'lock', 'all', 'artifacts'];
