/**
 * `weighbridge.config.json`: jobs that are done again and again, each a command, its models, and options as on the command line
 * without their dashes. `schemas/config.schema.json` describes it.
 */
import { Command, CommanderError, type Option } from 'commander';
import { checkJson, isObject } from '../../containers/json.js';
import { ModelError, throwAll } from '../../errors.js';
import { didYouMean } from '../../model/nearest.js';
import { statsOf } from '../../node/identity.js';
import { clipped } from '../../words.js';
import { commands } from '../commands/index.js';
import { argumentOf } from '../given.js';
import { readText } from '../text-file.js';
import { usageWords } from '../usage-words.js';
import { MANY_OPTIONS } from './options.js';

export const CONFIG_NAME = 'weighbridge.config.json';

/** Commands that a job may be; those of one model take several. */
export const JOB_COMMANDS = ['convert', 'shrink', 'inspect', 'audit', 'verify', 'diff', 'evaluate'] as const;
export type JobCommand = (typeof JOB_COMMANDS)[number];

/** Keys of a job that are no options. */
const OWN_KEYS = ['command', 'model'];
const TOP_KEYS = ['$schema', 'options', 'jobs'];
const MAX_BYTES = 2 ** 20;
/** Each is a process of its own. */
const MAX_JOBS = 1000;
const MAX_MODELS = 10_000;
/** More than any command has. */
const MAX_OPTIONS = 200;

/** A job as it is written down, checked. */
export interface ConfiguredJob {
  readonly name: string;
  readonly command: JobCommand;
  readonly models: readonly string[];
  /** As on the command line: '--dtype=float16'. */
  readonly options: readonly string[];
  /** The same, understood. */
  readonly flags: Readonly<Record<string, unknown>>;
}

/** @throws ModelError 'usage' naming everything that is wrong with the file */
export async function readConfig(path: string): Promise<readonly ConfiguredJob[]> {
  if (!statsOf(path))
    throw new ModelError('usage', `there is no such file. A ${CONFIG_NAME} lists jobs by name (docs/run.md); --config-file names another.`, { file: path });
  const text = await readText(path, MAX_BYTES, 'configuration');
  const document = parse(text, path);
  const problems: string[] = [];
  const { jobs, options: shared = {} } = document;
  const counted = [
    { what: 'keys', count: Object.keys(document).length, most: MAX_OPTIONS },
    { what: 'jobs', count: isObject(jobs) ? Object.keys(jobs).length : 0, most: MAX_JOBS },
    { what: 'options', count: isObject(shared) ? Object.keys(shared).length : 0, most: MAX_OPTIONS },
  ].find(({ count, most }) => count > most);
  if (counted) throw new ModelError('usage', `lists ${counted.count} ${counted.what}, and at most ${counted.most} are read`, { file: path });
  for (const key of Object.keys(document))
    if (!TOP_KEYS.includes(key)) problems.push(`there is no key "${clipped(key)}".${didYouMean(key, TOP_KEYS)} Known: ${TOP_KEYS.join(', ')}.`);
  if (!isObject(jobs) || Object.keys(jobs).length === 0) problems.push('"jobs" is expected: an object of jobs by name');
  if (!isObject(shared)) problems.push('"options" is expected to be an object');
  const found: ConfiguredJob[] = [];
  const used = new Set<string>();
  const seen = new Set<string>();
  for (const [name, job] of inOrder(isObject(jobs) ? jobs : {}, text)) {
    const where = `job "${clipped(name)}": `;
    if (!isObject(job)) {
      problems.push(`${where}an object is expected`);
      continue;
    }
    if (Object.keys(job).length > MAX_OPTIONS) {
      problems.push(`${where}it has ${Object.keys(job).length} options, which no command has`);
      continue;
    }
    const { command = 'convert', model, ...own } = job;
    const models = typeof model === 'string' ? [model] : model;
    if (!JOB_COMMANDS.includes(command as JobCommand)) {
      problems.push(
        `${where}there is no job of the command ${clipped(JSON.stringify(command))}.${didYouMean(String(command), JOB_COMMANDS)} Known: ${JOB_COMMANDS.join(', ')}.`,
      );
      continue;
    }
    if (!Array.isArray(models) || models.length === 0 || !models.every((one): one is string => typeof one === 'string' && one !== '' && one !== '-')) {
      const like = Object.keys(own).find((key) => /^(models|files?|paths?|sources?)$/i.test(key));
      problems.push(`${where}"model" is expected: a path, or a list of paths${like === undefined ? '' : `; it has "${like}"`}`);
      continue;
    }
    if (models.length > MAX_MODELS) {
      problems.push(`${where}${models.length} models, and at most ${MAX_MODELS} are taken: give a pattern`);
      continue;
    }
    const tree = await commandTree(command as JobCommand);
    const known = optionsOf(tree);
    for (const key of known.keys()) seen.add(key);
    const given = { ...only(isObject(shared) ? shared : {}, known, used), ...own };
    const options = Object.entries(given).flatMap(([key, value]) => argumentsOf(key, value, known, (problem) => void problems.push(where + problem)));
    try {
      tree.parseOptions([...options]);
      found.push({ name, command: command as JobCommand, models, options, flags: tree.opts() });
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error;
      problems.push(where + usageWords(error.message));
    }
  }
  // A job that was not understood may be of any command.
  if (problems.length > 0) for (const command of JOB_COMMANDS) only(isObject(shared) ? shared : {}, optionsOf(await commandTree(command)), used);
  for (const key of Object.keys(isObject(shared) ? shared : {}))
    if (!used.has(key)) problems.push(`"options": no command of these jobs has an option "${key}".${didYouMean(key, seen)}`);
  if (problems.length > 0) {
    throwAll(
      problems.map((problem) => new ModelError('usage', problem, problems.length === 1 ? { file: path } : {})),
      `${path}: nothing was run, because the file is not as it should be:`,
    );
  }
  return found;
}

/** The options that a job of a command may have, by their names. */
export function optionsOf(command: Command): ReadonlyMap<string, Option> {
  const own = command.options.filter((option) => !MANY_OPTIONS.includes(option.name()));
  // "verify": false says what --no-verify does.
  return new Map(own.map((option) => [option.negate ? option.name().replace(/^no-/, '') : option.name(), option]));
}

/** A command by itself, which does nothing when it is parsed. */
export async function commandTree(name: string): Promise<Command> {
  const register = await commands.find((entry) => entry.name === name)!.load();
  const program = new Command().exitOverride().configureOutput({ writeErr: () => {}, writeOut: () => {} });
  return register(program)
    .exitOverride()
    .configureOutput({ writeErr: () => {}, writeOut: () => {} });
}

function only(shared: Readonly<Record<string, unknown>>, known: ReadonlyMap<string, Option>, used: Set<string>): Record<string, unknown> {
  const kept = Object.entries(shared).filter(([key]) => known.has(key));
  for (const [key] of kept) used.add(key);
  return Object.fromEntries(kept);
}

/** A value as arguments: true is a flag, a list is the option several times. */
function argumentsOf(key: string, value: unknown, known: ReadonlyMap<string, Option>, tell: (problem: string) => void): readonly string[] {
  const option = known.get(key);
  if (!option) {
    tell(`there is no option "${clipped(key)}".${didYouMean(key, [...known.keys(), ...OWN_KEYS])}`);
    return [];
  }
  if (option.negate || option.isBoolean()) {
    if (typeof value !== 'boolean') tell(`"${key}" is true or false, not ${clipped(JSON.stringify(value))}`);
    return value === !option.negate ? [argumentOf(option)] : [];
  }
  const values = Array.isArray(value) ? value : [value];
  if (values.length === 0 || !values.every((one) => typeof one === 'string' || typeof one === 'number')) {
    tell(`"${key}" is expected to be a text or a number, not ${clipped(JSON.stringify(value))}`);
    return [];
  }
  return values.map((one) => argumentOf(option, String(one)));
}

/** Jobs as they are written down; a parsed object has names that look like numbers before all others. */
function inOrder(jobs: Readonly<Record<string, unknown>>, text: string): readonly (readonly [string, unknown])[] {
  const names = new Set<string>();
  let [depth, top] = [0, ''];
  for (const [token, quoted, colon] of text.matchAll(/("(?:[^"\\]|\\.)*")(\s*:)?|[[\]{}]/g)) {
    if (quoted === undefined) depth += token === '{' || token === '[' ? 1 : -1;
    else if (colon !== undefined && depth === 1) top = JSON.parse(quoted);
    else if (colon !== undefined && depth === 2 && top === 'jobs') names.add(JSON.parse(quoted));
  }
  return [...names].filter((name) => Object.hasOwn(jobs, name)).map((name) => [name, jobs[name]]);
}

function parse(text: string, path: string): Readonly<Record<string, unknown>> {
  checkJson(text, path);
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new ModelError('usage', `is no JSON: ${(error as Error).message}`, { file: path }, error);
  }
  if (!isObject(document)) throw new ModelError('usage', 'an object with "jobs" is expected', { file: path });
  return document as Readonly<Record<string, unknown>>;
}
