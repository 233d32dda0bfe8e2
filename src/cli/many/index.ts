/** How commands that are given several models are run. */
import { shownName } from '../../node/remote/location.js';
import { makeVoice, type Voice } from '../print.js';
import { startProgress } from '../progress.js';
import { planReadings } from './conversions.js';
import { type BatchDocument, batchOf } from './document.js';
import type { ManyFlags } from './options.js';
import { printBatch, tellJob } from './print.js';
import { type Job, type RunOptions, runJobs } from './run.js';

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

/** The same of a command that writes nothing, a job for each model. */
export async function runReadings(command: string, models: readonly string[], options: readonly string[], flags: ManyFlags): Promise<void> {
  await runMany(await planReadings(command, models, options), flags);
}
