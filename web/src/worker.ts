/** The worker: takes jobs as they come, and tells how far they are. */
import { isModelError } from '../../src/errors.js';
import { inPageWords } from './fields.js';
import { type Jobs, jobs } from './jobs.js';

export interface Request {
  readonly id: number;
  readonly job: keyof Jobs;
  readonly argument: unknown;
}

export type Reply =
  | { readonly id: number; readonly progress: { readonly what: string; readonly done: number; readonly total: number } }
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: { readonly message: string; readonly kind: string | null } };

/** More would keep the page busy drawing bars. */
const PROGRESS_EVERY_MS = 80;

const post = (reply: Reply) => self.postMessage(reply);

self.addEventListener('message', async ({ data }: MessageEvent<Request>) => {
  const { id, job, argument } = data;
  let toldAt = 0;
  const onProgress = (what: string, done: number, total: number) => {
    const now = performance.now();
    if (now - toldAt < PROGRESS_EVERY_MS) return;
    toldAt = now;
    post({ id, progress: { what, done, total } });
  };
  try {
    const run = jobs[job] as (argument: unknown, onProgress: unknown) => Promise<unknown>;
    post({ id, result: await run(argument, onProgress) });
  } catch (error) {
    if (!isModelError(error)) console.error(error);
    post({ id, error: { message: inPageWords(error instanceof Error ? error.message : String(error)), kind: isModelError(error) ? error.kind : null } });
  }
});
