/** `convert` and `shrink`: which outputs are meant, of one model or of several. */
import { join } from 'node:path';
import { ModelError } from '../../errors.js';
import { shownName } from '../../node/remote/location.js';
import { writers } from '../../writers/index.js';
import { expandPaths } from './expand.js';
import { areSeveral } from './options.js';
import { isFolderOutput, nameOutputs, outputName, stemOf, writerFor } from './outputs.js';
import type { Job } from './run.js';

interface OutputFlags {
  readonly output?: string;
  readonly to?: string;
  readonly force?: boolean;
  readonly report?: readonly string[];
}

/** Options of conversions that each process is given its own of. */
export const OUTPUT_OPTIONS: readonly string[] = ['output'];

const OF_ONE_FORMAT = 'several models become files of one format: say which with --to, such as --to onnx, and in which folder with -o.';

/** Stands for a model's name in the value of an option. */
const NAME = '{name}';

/** Where one model goes to: what was said, or a file of its name in the folder that was said, or here. @throws ModelError 'usage' where nothing says which format is meant */
export function outputOf(model: string, { output, to }: OutputFlags): string {
  const writer = writers.find(({ name }) => name === to) ?? null;
  if (output === undefined && to === undefined) {
    const example = `-o ${stemOf(model)}.onnx`;
    throw new ModelError('usage', `where to? Name the output (${example}), or its format (--to onnx), and it is written here.`, { file: shownName(model) });
  }
  if (output !== undefined && !isFolderOutput(output, writer)) return output;
  const problem = `${output} is a folder: say which format is written there with --to, such as --to onnx, or name the file (-o ${join(output ?? '.', `${stemOf(model)}.onnx`)}).`;
  return join(output ?? '.', outputName(stemOf(model), writerFor(to, problem)));
}

/**
 * A job for each model, with an output of its own.
 *
 * @param options what each is given, as on the command line
 * @throws ModelError 'usage' where several models cannot be told apart, or no format is named
 */
export async function planConversions(command: string, models: readonly string[], flags: OutputFlags, options: readonly string[]): Promise<readonly Job[]> {
  const { output = '.', to } = flags;
  if (!areSeveral(models)) {
    const [model] = models;
    return [{ name: null, command, models, output: outputOf(model!, flags), options: withName(options, stemOf(model!)) }];
  }
  if (output === '-' || models.includes('-')) throw new ModelError('usage', "several models cannot share stdin or stdout ('-'): name files.");
  const found = await expandPaths(models);
  const outputs = nameOutputs(found, output, writerFor(to, OF_ONE_FORMAT));
  const nameless = (flags.report ?? []).find((path) => !path.includes(NAME));
  if (nameless !== undefined && found.length > 1)
    throw new ModelError('usage', `each of several models has a report of its own: put ${NAME} where the model's name is to stand`, { file: nameless });
  const jobs = found.map((model, i) => ({
    name: null,
    command,
    models: [model],
    output: outputs[i]!,
    options: withName(options, stemOf(model)),
  }));
  checkReports(jobs);
  return jobs;
}

/** A job for each model of a command that writes nothing. */
export async function planReadings(command: string, models: readonly string[], options: readonly string[]): Promise<readonly Job[]> {
  if (models.includes('-')) throw new ModelError('usage', "several models cannot share stdin ('-'): name files.");
  return (await expandPaths(models)).map((model) => ({ name: null, command, models: [model], output: null, options: withName(options, stemOf(model)) }));
}

/** Options of a command with one model, in which its name stands as it does for several. */
export function namedFlags<Flags extends object>(flags: Flags, model: string): Flags {
  const name = (value: unknown): unknown =>
    typeof value === 'string' ? value.replaceAll(NAME, () => stemOf(model)) : Array.isArray(value) ? value.map(name) : value;
  return Object.fromEntries(Object.entries(flags).map(([key, value]) => [key, OUTPUT_OPTIONS.includes(key) ? value : name(value)])) as Flags;
}

function withName(options: readonly string[], name: string): readonly string[] {
  return options.map((option) => option.replaceAll(NAME, () => name));
}

/** @throws ModelError 'usage' where two models would have one report */
function checkReports(jobs: readonly Job[]): void {
  const taken = new Set<string>();
  for (const option of jobs.flatMap(({ options }) => options.filter((text) => text.startsWith('--report=')))) {
    if (taken.has(option)) throw new ModelError('usage', 'two models of the same name would have this report', { file: option.slice('--report='.length) });
    taken.add(option);
  }
}
