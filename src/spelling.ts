/**
 * How options are called: messages speak as the command does (`--input-shape`), and programs call the same `inputShape`. The names are
 * each other's but for a few.
 */
import { isModelError, ModelError, throwAll } from './errors.js';
import { didYouMean } from './model/nearest.js';

/** Flags that are called otherwise, or that a program spells as a value. */
const SPECIAL: Readonly<Record<string, string>> = { 'no-verify': 'verify: false', 'shard-size': 'shardBytes' };

/** Flags whose values are spelt as in a program, and which words are values. */
const VALUES: Readonly<Record<string, RegExp>> = {
  device: /^(cpu|gpu|auto)$/,
  dtype: /^b?u?(float|int)\d+$/,
  to: /^(onnx|tfjs-graph|tfjs|keras-h5|keras-v3|safetensors)$/,
  opset: /^\d+$/,
  method: /^(round|best)$/,
  'input-shape': /^\d[\dN,]*$/,
};

/** Flags that are no options of the library: of other programs, and of commands that have no function. */
const FOREIGN: ReadonlySet<string> = new Set(['ignore-scripts', 'omit', 'json', 'update']);

/** A message of the command's as a program's author would have it: "choose `dtype: 'float32'`" for "choose --dtype float32". */
export function withOptionNames(message: string): string {
  return message.replace(/(?<![\w-])--([a-z][a-z0-9]*(?:-[a-z0-9]+)*)((?:[ =])[\w.,-]*\w)?(=[\w.,-]*\w)?/g, (all, flag: string, after = '', given = '') => {
    if (FOREIGN.has(flag)) return all;
    const name = SPECIAL[flag] ?? flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
    const word = after.slice(1);
    if (flag === 'assume' && given !== '') return `\`assume: { ${word}: '${given.slice(1)}' }\``;
    if (VALUES[flag]?.test(word)) return `\`${name}: ${inCode(word)}\`${given}`;
    return `\`${name}\`${after}${given}`;
  });
}

function inCode(word: string): string {
  if (word.includes(',')) return `[${word.split(',').join(', ')}]`;
  return /^\d+$/.test(word) ? word : `'${word}'`;
}

/**
 * Work that a program asked for: its errors name options, and once it is stopped they are the signal's reason, whatever the work made of it.
 */
export async function forPrograms<Result>({ signal }: { readonly signal?: AbortSignal }, work: () => Promise<Result>): Promise<Result> {
  try {
    signal?.throwIfAborted();
    return await work();
  } catch (error) {
    signal?.throwIfAborted();
    if (!isModelError(error)) throw error;
    const problem = withOptionNames(error.problem);
    throw problem === error.problem ? error : new ModelError(error.kind, problem, error.place, error);
  }
}

/** Every option that there is, held by the compiler to the type that says so. */
export type OptionNames<Options> = { readonly [Name in keyof Required<Options>]: true };

/** What conversions of files and of what is in memory both have; the compiler holds them to the options where they are used. */
export const EDIT_NAMES = {
  until: true,
  outputs: true,
  foldBatchnorm: true,
  simplify: true,
  embedPreprocessing: true,
  preprocess: true,
  mean: true,
  batch: true,
} as const;

/** What is written, and how. */
export const TARGET_NAMES = {
  to: true,
  dtype: true,
  layout: true,
  opset: true,
  externalData: true,
  float16Compute: true,
  names: true,
  shardBytes: true,
} as const;

/**
 * What a program misspelt would be without effect, and nobody would know.
 *
 * @param what whose options they are: 'convertFile'
 * @throws ModelError 'usage' naming each option that there is not, and the one that was probably meant
 */
export function checkOptions<Options extends object>(given: Options, names: OptionNames<Options>, what: string): void {
  const known = Object.keys(names);
  const errors = Object.entries(given).flatMap(([name, value]) => {
    if (value === undefined || Object.hasOwn(names, name)) return [];
    const near = didYouMean(name, known) || ` Known: ${known.join(', ')}.`;
    return [new ModelError('usage', `${what} has no option "${name}".${near}`)];
  });
  if (errors.length > 0) throwAll(errors, `${what} has not all of the options that it was given:`);
}
