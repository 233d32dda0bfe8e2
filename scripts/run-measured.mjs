/** Runs the built command as users do, within limits of CPU time and memory, and says what it took. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../dist/cli/main.cjs', import.meta.url));
const MEASURE = new URL('./measure.mjs', import.meta.url).href;
/** Nothing waits longer than this, however busy the machine is. */
const MAX_WALL_SECONDS = 120;

/**
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: Record<string, string>, cpuSeconds?: number }} [options] cpuSeconds: where the shell can (not on Windows), the process is ended when it has used this much
 * @returns {Promise<{ status: number | null, signal: string | null, words: string, stdout: string, cpuSeconds: number, rssBytes: number }>}
 *   status null when it was ended from outside; cpuSeconds and rssBytes of all its processes, NaN where it did not live to tell
 */
export async function runMeasured(args, { cwd, env = {}, cpuSeconds } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'weighbridge-usage-'));
  const command = [process.execPath, '--import', MEASURE, MAIN, ...args];
  const isLimited = cpuSeconds !== undefined && process.platform !== 'win32';
  const [file, ...rest] = isLimited ? ['/bin/sh', '-c', `ulimit -t ${Math.ceil(cpuSeconds)}; exec "$@"`, 'sh', ...command] : command;
  try {
    const child = spawn(file, rest, {
      cwd,
      env: { ...process.env, NO_COLOR: '1', WEIGHBRIDGE_USAGE: folder, ...env },
      timeout: MAX_WALL_SECONDS * 1000,
      killSignal: 'SIGKILL',
    });
    let stdout = '';
    let words = '';
    child.stdout.on('data', (data) => {
      stdout += data;
      words += data;
    });
    child.stderr.on('data', (data) => {
      words += data;
    });
    const [status, signal] = await new Promise((resolve, reject) => {
      child.on('error', reject);
      child.on('close', (...ended) => resolve(ended));
    });
    const usages = readdirSync(folder).map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')));
    const told = usages.length > 0;
    return {
      status,
      signal,
      words,
      stdout,
      cpuSeconds: told ? usages.reduce((sum, usage) => sum + usage.cpuSeconds, 0) : Number.NaN,
      rssBytes: told ? Math.max(...usages.map((usage) => usage.rssBytes)) : Number.NaN,
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
