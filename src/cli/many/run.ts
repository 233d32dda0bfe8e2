/**
 * Runs a command on several models, each in a process of its own: what a file does to one of them, memory included, does nothing to the others,
 * and what it says comes in one piece.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { availableParallelism, freemem } from 'node:os';
import { extname, resolve, sep } from 'node:path';
import { isObject } from '../../containers/json.js';
import { statsOf } from '../../node/identity.js';
import { shownName } from '../../node/remote/location.js';
import type { JobDocument } from './document.js';

export interface Job {
  readonly name: string | null;
  readonly command: string;
  readonly models: readonly string[];
  readonly output: string | null;
  /** What the command is given beside its models. */
  readonly options: readonly string[];
  /** Other files that it reads, each of which an earlier job may write. */
  readonly reads?: readonly string[];
}

export interface RunOptions {
  /** How many run at a time at most; as many as there are cores to share where left out. */
  readonly jobs?: number;
  readonly failFast?: boolean;
  /** Folder that the processes run in. */
  readonly folder?: string;
  readonly onStart?: (job: Job, done: number, total: number) => void;
  readonly onDone?: (found: JobDocument, done: number, total: number) => void;
}

/** A runtime and its buffers, and how many times a model's size a verified conversion of it takes. */
const BASE_BYTES = 3e8;
const FACTOR = 3;
/** Of the memory that is free when it starts, for other programs want some. */
const SHARE = 0.7;
/** Runtimes use several cores by themselves. */
const CORES_EACH = 2;
const MAX_USUAL = 4;
const MAX_STDOUT_BYTES = 2 ** 26;
const MAX_STDERR_BYTES = 2 ** 18;

const children = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of children) child.kill('SIGTERM');
});

/** One result for each job, in their order. A job that reads what an earlier one writes waits for it, and is skipped where that failed. */
export async function runJobs(jobs: readonly Job[], { jobs: most, failFast = false, folder, onStart, onDone }: RunOptions): Promise<readonly JobDocument[]> {
  const limit = most ?? Math.min(MAX_USUAL, Math.max(1, Math.floor(availableParallelism() / CORES_EACH)));
  const memory = SHARE * freemem();
  const found: (JobDocument | null)[] = jobs.map(() => null);
  const needs = jobs.map((job, i) => jobs.slice(0, i).flatMap((earlier, j) => (isWrittenBy(job, earlier) ? [j] : [])));
  const begun = new Set<number>();
  let [used, done] = [0, 0];
  const running = new Set<Promise<void>>();

  const end = (place: number, result: JobDocument) => {
    found[place] = result;
    onDone?.(result, ++done, jobs.length);
  };
  const begin = (place: number) => {
    const job = jobs[place]!;
    begun.add(place);
    if (needs[place]!.some((need) => found[need]!.status === 'failed' || found[need]!.status === 'skipped')) return end(place, skipped(job));
    const needed = memoryOf(job);
    used += needed;
    onStart?.(job, done, jobs.length);
    const run: Promise<void> = runJob(job, folder).then((result) => {
      used -= needed;
      running.delete(run);
      end(place, result);
    });
    running.add(run);
  };
  const isReady = (place: number) => !begun.has(place) && needs[place]!.every((need) => found[need] !== null);
  // One always runs: that memory is short is then its own error.
  const fits = (place: number) => running.size === 0 || (running.size < limit && used + memoryOf(jobs[place]!) <= memory);
  for (;;) {
    const stopped = failFast && found.some((result) => result !== null && result.status !== 'done');
    const next = stopped ? -1 : jobs.findIndex((_, place) => isReady(place));
    if (next >= 0 && fits(next)) begin(next);
    else if (running.size > 0) await Promise.race(running);
    else break;
  }
  return found.map((result, place) => result ?? skipped(jobs[place]!));
}

/** Options that name files which a job writes beside its output. */
const WRITES = /^--(?:report|html|rows|parquet|bisect)=(.*)$/s;
/** What formats write beside their main file, under the name that it has. */
const COMPANIONS: Readonly<Record<string, string>> = { '.pth': '.py', '.pt': '.py', '.caffemodel': '.prototxt' };

/** Every file (or folder) that a job writes, its output first. */
export function writtenBy({ output, options }: Job): readonly string[] {
  const others = options.flatMap((option) => WRITES.exec(option)?.[1] ?? []);
  if (output === null) return others;
  const companion = COMPANIONS[extname(output).toLowerCase()];
  const files = companion === undefined ? [output] : [output, output.slice(0, -extname(output).length) + companion];
  const packed = options.flatMap((option) => (option === '--compress=gzip' ? ['.gz'] : option === '--compress=br' ? ['.br'] : []));
  return [...files, ...packed.flatMap((suffix) => files.map((file) => file + suffix)), ...others];
}

/** Whether a job reads what another writes: a file of its, or one in its folder. */
function isWrittenBy({ models, reads = [] }: Job, writer: Job): boolean {
  const written = writtenBy(writer).map((path) => resolve(path));
  return [...models, ...reads].map((path) => resolve(path)).some((path) => written.some((other) => path === other || path.startsWith(other + sep)));
}

function memoryOf({ models }: Job): number {
  return BASE_BYTES + FACTOR * Math.max(0, ...models.map((model) => statsOf(model)?.size ?? 0));
}

function skipped({ name, command, models, output }: Job): JobDocument {
  return { name, command, models: models.map(shownName), output, status: 'skipped', exitCode: null, elapsedMs: 0, document: null, error: null, warnings: [] };
}

async function runJob(job: Job, folder: string | undefined): Promise<JobDocument> {
  const startedAt = performance.now();
  const { exitCode, signal, stdout, stderr } = await runProcess(
    [job.command, ...job.options, ...(job.output === null ? [] : [`--output=${job.output}`]), '--json', '--quiet', '--', ...job.models],
    folder,
  );
  const elapsedMs = performance.now() - startedAt;
  const document = parseDocument(stdout);
  const said = stderr.split('\n').filter((line) => line !== '');
  const warnings = said.flatMap((line) => (line.startsWith('warning  ') ? [line.slice('warning  '.length)] : []));
  const status = exitCode === 0 ? 'done' : exitCode === 1 ? 'different' : 'failed';
  const base = { ...skipped(job), status, elapsedMs, warnings, exitCode: exitCode === 0 || exitCode === 1 ? exitCode : 2 } as const;
  if (status !== 'failed') return { ...base, document };
  const error = isObject(document?.error) ? (document.error as unknown as NonNullable<JobDocument['error']>) : null;
  const message =
    signal === null ? said.filter((line) => !line.startsWith('warning  ')).join('\n') : `its process was ended (${signal}); is there too little memory?`;
  return { ...base, error: error ? { kind: error.kind, message: error.message } : { kind: 'bug', message } };
}

function parseDocument(text: string): Record<string, unknown> | null {
  try {
    const document: unknown = JSON.parse(text);
    return isObject(document) ? (document as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}

interface Ended {
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** This command in a process of its own. */
function runProcess(args: readonly string[], folder: string | undefined): Promise<Ended> {
  return new Promise((fulfil) => {
    const env = { ...process.env, NO_COLOR: '1' };
    const child = spawn(process.execPath, [...process.execArgv, process.argv[1]!, ...args], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
    children.add(child);
    const [stdout, stderr] = [gather(MAX_STDOUT_BYTES), gather(MAX_STDERR_BYTES)];
    child.stdout.on('data', stdout.add);
    child.stderr.on('data', stderr.add);
    child.on('error', (error) => {
      children.delete(child);
      fulfil({ exitCode: 2, signal: null, stdout: '', stderr: `could not be started: ${error.message}` });
    });
    child.on('close', (exitCode, signal) => {
      children.delete(child);
      fulfil({ exitCode, signal, stdout: stdout.text(), stderr: stderr.text() });
    });
  });
}

/** What a process says, up to a limit; the rest is let go. */
function gather(limit: number) {
  const chunks: Buffer[] = [];
  let byteLength = 0;
  return {
    add(chunk: Buffer) {
      if (byteLength + chunk.length <= limit) chunks.push(chunk);
      byteLength += chunk.length;
    },
    text: () => Buffer.concat(chunks).toString(),
  };
}
