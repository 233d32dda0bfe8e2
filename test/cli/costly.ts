/**
 * Small files that ask for much. Whatever they say, the command answers with one clear error (or what it read), within 5 s of CPU time and 300 MB: what
 * is counted is the work, not the time, so that a busy machine changes little; `expectCpuSeconds` has the rest.
 */
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { runMeasured } from '../../scripts/run-measured.mjs';
import { expectCpuSeconds, MAX_SLOWNESS } from '../speed.js';
import type { CostlyFile } from './cost-hdf5.js';
import { temporaryFolder } from './run-cli.js';

const MAX_CPU_SECONDS = 5;
const MAX_MEMORY_MB = 300;
/** What passes the limit is run again, and the least counts: what else runs on the machine only adds. */
const RUNS = 3;
const folder = temporaryFolder();

export type Costly = Readonly<Record<string, Readonly<Record<string, CostlyFile>>>>;

/** A test for each file of each format. */
export function boundCosts(all: Costly): void {
  describe.each(Object.entries(all))('%s', (format, files) => {
    it.each(Object.entries(files))('%s', async (title, { name, bytes, says, flags = [], beside = {} }) => {
      const inside = join(folder, `${format} ${title}`.replaceAll(/\W+/g, '-'));
      mkdirSync(inside);
      const path = join(inside, name);
      writeFileSync(path, bytes());
      for (const [other, make] of Object.entries(beside)) {
        mkdirSync(dirname(join(inside, other)), { recursive: true });
        writeFileSync(join(inside, other), make());
      }
      const before = readdirSync(inside);
      const { status, words, cpuSeconds, rssBytes } = await leastOf(RUNS, ['inspect', path, ...flags]);
      if (process.env.SHOW_COST) console.log(`${title}: ${cpuSeconds.toFixed(2)} s, ${(rssBytes / 1e6).toFixed(0)} MB, exit ${status}, ${words.slice(0, 300)}`);
      expect(words).not.toMatch(/^bug {2}|^\s+at /m);
      if (says) {
        expect(words).toMatch(/^error {2}/m);
        expect(words).toMatch(says);
        expect(words.length).toBeLessThan(12_000);
      }
      expect({ status, left: readdirSync(inside) }).toEqual({ status: says ? 2 : 0, left: before });
      expectCpuSeconds(cpuSeconds, MAX_CPU_SECONDS);
      expect(rssBytes / 1e6).toBeLessThan(MAX_MEMORY_MB);
    });
  });
}

async function leastOf(runs: number, args: readonly string[]) {
  let least = await runMeasured(args, { cpuSeconds: MAX_CPU_SECONDS * MAX_SLOWNESS });
  for (let run = 1; run < runs && least.cpuSeconds > MAX_CPU_SECONDS; run++) {
    const again = await runMeasured(args, { cpuSeconds: MAX_CPU_SECONDS * MAX_SLOWNESS });
    if (again.cpuSeconds < least.cpuSeconds) least = again;
  }
  return least;
}
