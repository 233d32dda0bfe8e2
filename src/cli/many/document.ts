/** What `--json` prints where a command is given several models. */
import type { ModelErrorKind } from '../../errors.js';

/** `done`: exit code 0; `different`: 1, compared and not as it should be; `failed`: could not; `skipped`: another had failed before it (`--fail-fast`). */
export type JobStatus = 'done' | 'different' | 'failed' | 'skipped';

export interface JobDocument {
  /** Its name in a configuration file, else null. */
  readonly name: string | null;
  readonly command: string;
  /** What it reads: one model, or the two that are compared. */
  readonly models: readonly string[];
  /** Where it writes to, if it writes anything. */
  readonly output: string | null;
  readonly status: JobStatus;
  /** Null where it did not run. */
  readonly exitCode: number | null;
  readonly elapsedMs: number;
  /** What the command prints with `--json` for this model alone; null where it failed or did not run. */
  readonly document: object | null;
  readonly error: { readonly kind: ModelErrorKind | 'bug'; readonly message: string } | null;
  /** What it had to say beside its result. */
  readonly warnings: readonly string[];
}

export interface BatchDocument {
  readonly schema: 'weighbridge/batch@1';
  readonly jobs: readonly JobDocument[];
  readonly totals: Readonly<Record<JobStatus, number>>;
  /** The worst of all. */
  readonly exitCode: number;
  readonly elapsedMs: number;
}

export function batchOf(jobs: readonly JobDocument[], elapsedMs: number): BatchDocument {
  const totals = { done: 0, different: 0, failed: 0, skipped: 0 };
  for (const { status } of jobs) totals[status]++;
  return { schema: 'weighbridge/batch@1', jobs, totals, exitCode: Math.max(0, ...jobs.map(({ exitCode }) => exitCode ?? 0)), elapsedMs };
}
