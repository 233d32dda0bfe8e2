/** `weighbridge run`: the jobs of a configuration file. */
import { dirname, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { ModelError, throwAll } from '../../errors.js';
import { didYouMean } from '../../model/nearest.js';
import { checkOneOrigin, shownName } from '../../node/remote/location.js';
import { CONFIG_NAME, type ConfiguredJob, readConfig } from '../many/config.js';
import { planConversions, planReadings } from '../many/conversions.js';
import { runMany } from '../many/index.js';
import { addManyOptions, type ManyFlags } from '../many/options.js';
import { checkOutputs, makeFolders } from '../many/outputs.js';
import { type Job, writtenBy } from '../many/run.js';
import { makeVoice } from '../print.js';
import { shellWords } from '../shell-words.js';

interface RunFlags extends ManyFlags {
  readonly configFile: string;
  readonly dryRun?: boolean;
}

/** Options by which a job reads files beside its models. */
const READS = ['golden', 'inputs', 'prototxt', 'config', 'arch', 'labels', 'data', 'against', 'mean'];

export function registerRun(program: Command): Command {
  const command = program
    .command('run [jobs...]')
    .description(`do the jobs of ${CONFIG_NAME}, or those that are named`)
    .addOption(new Option('--config-file <path>', 'the file that lists them').default(CONFIG_NAME))
    .addOption(new Option('--dry-run', 'only print the commands that would be run'));
  return addManyOptions(command).action(async (names: readonly string[], flags: RunFlags) => {
    const configured = chosen(await readConfig(flags.configFile), names, flags.configFile);
    // Paths in the file are relative to it.
    process.chdir(dirname(resolve(flags.configFile)));
    const planned = await Promise.all(configured.map(plan));
    const jobs = planned.flat();
    checkTokens(configured);
    const targets = jobs.flatMap(({ models, output, force }) => (output === null ? [] : [{ model: models[0]!, output, force }]));
    checkShared(jobs);
    checkOutputs(targets);
    if (flags.dryRun) {
      const voice = makeVoice(flags);
      if (!voice.asJson) return voice.say(jobs.map((job) => shellWords(commandWords(job))).join('\n'));
      return voice.json({ schema: 'weighbridge/commands@1', commands: jobs.map((job) => ({ name: job.name, words: commandWords(job) })) });
    }
    const removeEmpty = makeFolders(targets.map(({ output }) => output));
    const { exitCode } = await runMany(jobs, flags).finally(removeEmpty);
    if (exitCode === 0) makeVoice(flags).next(['check', 'policy.yaml'], 'holds what was made to a policy of yours, also in CI');
  });
}

function chosen(jobs: readonly ConfiguredJob[], names: readonly string[], file: string): readonly ConfiguredJob[] {
  const known = jobs.map(({ name }) => name);
  for (const name of names) {
    if (!known.includes(name)) throw new ModelError('usage', `there is no job "${name}".${didYouMean(name, known)} Known: ${known.join(', ')}.`, { file });
  }
  return names.length === 0 ? jobs : jobs.filter(({ name }) => names.includes(name));
}

async function plan({ name, command, models, options, flags }: ConfiguredJob): Promise<readonly (Job & { readonly force: boolean })[]> {
  const rest = options.filter((option) => !option.startsWith('--output='));
  const jobs =
    command === 'convert' || command === 'shrink'
      ? await planConversions(command, models, flags, rest)
      : command === 'inspect' || command === 'audit'
        ? await planReadings(command, models, rest)
        : [{ name, command, models, output: typeof flags.output === 'string' ? flags.output : null, options: rest }];
  const reads = READS.flatMap((key) => (typeof flags[key] === 'string' ? [flags[key]] : []));
  return jobs.map((job) => ({ ...job, name, reads, force: flags.force === true || command === 'evaluate' }));
}

/** @throws ModelError 'usage' listing every file that two jobs would write beside their outputs, which are looked at by themselves, and outputs to stdout */
function checkShared(jobs: readonly Job[]): void {
  const problems: ModelError[] = [];
  const takenBy = new Map<string, { readonly job: Job; readonly isOutput: boolean }>();
  for (const job of jobs) {
    if (job.output === '-') problems.push(new ModelError('usage', `job "${job.name}": jobs share stdout ('-'): name a file as its output`));
    for (const [place, path] of writtenBy(job).entries()) {
      const key = resolve(path).toLowerCase();
      const isOutput = place === 0 && job.output !== null;
      const other = takenBy.get(key);
      if (other && !(isOutput && other.isOutput))
        problems.push(new ModelError('usage', `jobs "${other.job.name}" and "${job.name}" would both write this file`, { file: path }));
      takenBy.set(key, { job, isOutput });
    }
  }
  if (problems.length > 0) throwAll(problems, 'nothing was run, because jobs share files:');
}

/** A token is told to one server, whatever job reads from it. */
function checkTokens(jobs: readonly ConfiguredJob[]): void {
  const read = new Map<unknown, string[]>();
  for (const { models, flags } of jobs)
    read.set(flags.tokenEnv, [...(read.get(flags.tokenEnv) ?? []), ...models, ...(typeof flags.against === 'string' ? [flags.against] : [])]);
  for (const [variable, paths] of read) checkOneOrigin(paths, variable as string | undefined);
}

/** The command line of a job, but for what a URL was signed with. */
function commandWords({ command, models, output, options }: Job): readonly string[] {
  return ['weighbridge', command, ...models.map(shownName), ...options, ...(output === null ? [] : ['-o', output])];
}
