/** Runs the built command as a process, as users do. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
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

/** @param env variables on top of this process's own */
export function weighbridge(args: readonly string[], cwd?: string, env: Readonly<Record<string, string>> = {}): Run {
  const variables = { ...process.env, NO_COLOR: '1', ...env };
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [MAIN, ...args], { cwd, maxBuffer: 2 ** 28, env: variables });
  if (error) throw error;
  return { status, stdout: stdout.toString(), stderr: stderr.toString(), bytes: stdout };
}

const folders: string[] = [];

/** A new empty folder, removed after the file's tests. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'weighbridge-'));
  folders.push(folder);
  return folder;
}

afterAll(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
