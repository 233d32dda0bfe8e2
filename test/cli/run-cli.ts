/** Runs the built command, as users do. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import { afterAll } from 'vitest';

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
export const DIGITS = join(ROOT, 'demo/digits');
const MAIN = join(ROOT, 'dist/cli/main.cjs');

export interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** stdout as it came, for `-o -`. */
  readonly bytes: Buffer;
}

/**
 * In a process of its own.
 *
 * @param env variables on top of this process's own
 */
function weighbridgeAlone(args: readonly string[], cwd?: string, env: Readonly<Record<string, string>> = {}): Run {
  const variables = { ...process.env, NO_COLOR: '1', ...env };
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [MAIN, ...args], { cwd, maxBuffer: 2 ** 28, env: variables });
  if (error) throw error;
  return { status, stdout: stdout.toString(), stderr: stderr.toString(), bytes: stdout };
}

/**
 * In a process that the commands of a test file share, one after the other: most of what a small one takes by itself is to load and to warm up.
 *
 * @param env variables with which it is a process of its own, because modules read them as they are loaded
 */
export function weighbridge(args: readonly string[], cwd = process.cwd(), env: Readonly<Record<string, string>> = {}): Run {
  if (Object.keys(env).length > 0) return weighbridgeAlone(args, cwd, env);
  shared ??= startShared();
  const { port, flag } = shared;
  Atomics.store(flag, 0, 0);
  port.postMessage({ args, cwd, env: { ...process.env, NO_COLOR: '1' } });
  Atomics.wait(flag, 0, 0);
  const { status, stdout, stderr } = receiveMessageOnPort(port)!.message as { status: number | null; stdout: Uint8Array; stderr: Uint8Array };
  const bytes = Buffer.from(stdout);
  return { status, stdout: bytes.toString(), stderr: Buffer.from(stderr).toString(), bytes };
}

interface Shared {
  readonly port: MessagePort;
  /** Becomes 1 when there is an answer. */
  readonly flag: Int32Array;
  readonly worker: Worker;
}

let shared: Shared | null = null;

function startShared(): Shared {
  const { port1: port, port2 } = new MessageChannel();
  const flag = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(new URL('warm-worker.mjs', import.meta.url), {
    workerData: { port: port2, flag },
    transferList: [port2],
    execArgv: [],
    env: { ...process.env, NO_COLOR: '1' },
  });
  worker.unref();
  port.unref();
  return { port, flag, worker };
}

const folders: string[] = [];

/** A new empty folder, removed after the file's tests. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'weighbridge-'));
  folders.push(folder);
  return folder;
}

afterAll(async () => {
  await shared?.worker.terminate();
  shared = null;
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
