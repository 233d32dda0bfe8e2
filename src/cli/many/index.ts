/** Commands that are given several models: what is added to them, and how they are run. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { shownName } from '../../node/remote/location.js';
import type { CommonFlags } from '../options.js';
import { makeVoice, type Voice } from '../print.js';
import { startProgress } from '../progress.js';
import { type BatchDocument, batchOf } from './document.js';
import { printBatch, tellJob } from './print.js';
import { type Job, type RunOptions, runJobs } from './run.js';

export interface ManyFlags extends CommonFlags {
  readonly jobs?: number;
  readonly failFast?: boolean;
}

/** Options that are about several models together, and are not passed on to the process of each. */
export const MANY_OPTIONS: readonly string[] = ['jobs', 'fail-fast'];

export function addManyOptions(command: Command): Command {
  return command
    .optionsGroup('Several models:')
    .addOption(new Option('--jobs <count>', 'several models: how many at a time; as many as cores and memory allow when left out').argParser(parseJobs))
    .addOption(new Option('--fail-fast', 'several models: begin no other one after the first that fails'));
}

function parseJobs(text: string): number {
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > 256) throw new InvalidArgumentError('a number of jobs is expected, from 1 to 256.');
  return count;
}

/** Runs the jobs and prints what came of them; the exit code is the worst of all. */
export async function runMany(jobs: readonly Job[], flags: ManyFlags, { folder }: Pick<RunOptions, 'folder'> = {}): Promise<BatchDocument> {
  const voice: Voice = makeVoice(flags);
  const progress = startProgress(voice);
  const startedAt = performance.now();
  const found = await runJobs(jobs, {
    jobs: flags.jobs,
    failFast: flags.failFast,
    folder,
    onStart: (job, done, total) => progress.step(job.name ?? job.models.map(shownName).join(' '), done, total),
    onDone(result, done, total) {
      progress.clear();
      tellJob(voice, result, done, total);
    },
  });
  progress.stop();
  const document = batchOf(found, performance.now() - startedAt);
  if (voice.asJson) voice.json(document);
  else {
    voice.tell('');
    printBatch(voice, document);
  }
  process.exitCode = document.exitCode;
  return document;
}
