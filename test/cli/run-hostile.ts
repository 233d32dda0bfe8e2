/** Gives a hostile file to the built command, and looks at what it says, takes and leaves behind. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from './run-cli.js';

export const MAX_SECONDS = 20; // On a busy machine; alone each takes well below one.
export const MAX_CPU_SECONDS = 5;
export const MAX_MEMORY_MB = 300;

/**
 * Prints peak resident memory, in KiB, and processor time, in seconds, on file descriptor 3 when the process ends. On Linux `maxRSS` counts
 * what the process that started this one had, too; the status file does not.
 */
const REPORT_COST = `data:text/javascript,${encodeURIComponent(`
  import { existsSync, readFileSync, writeSync } from 'node:fs';
  process.on('exit', () => {
    const { maxRSS, userCPUTime, systemCPUTime } = process.resourceUsage();
    const peak = existsSync('/proc/self/status') ? /VmHWM:\\s*(\\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1] : maxRSS;
    writeSync(3, peak + ' ' + (userCPUTime + systemCPUTime) / 1e6);
  });
`)}`;

export interface Hostile {
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** What the error must mention. */
  readonly says: RegExp;
  readonly flags?: readonly string[];
}

/** Converts the first of the files. */
export function runHostile(folder: string, name: string, { files, flags = [] }: Hostile) {
  const inside = join(folder, name.replaceAll(/\W+/g, '-'));
  mkdirSync(inside, { recursive: true });
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(inside, file), bytes);
  const [model] = Object.keys(files);
  const main = join(ROOT, 'dist/cli/main.cjs');
  const startedAt = performance.now();
  const args = ['--import', REPORT_COST, main, 'convert', join(inside, model!), '-o', join(inside, 'out.onnx'), ...flags];
  const { status, stderr, output } = spawnSync(process.execPath, args, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    timeout: 1000 * 2 * MAX_SECONDS,
    encoding: 'utf8',
  });
  const left = readdirSync(inside).filter((file) => !Object.hasOwn(files, file));
  const [peak, cpuSeconds] = String(output[3]).split(' ').map(Number);
  return { status, stderr, left, seconds: (performance.now() - startedAt) / 1000, memoryMB: peak! / 1000, cpuSeconds: cpuSeconds! };
}
