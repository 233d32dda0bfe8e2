// @module-tag slow
/** Situations that people reported in public, where they lie beside the project: each ends right, or is refused by its name. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { endRuns, listRuns, runCase, titleOf } from '../scripts/cases.mjs';

const CASES = fileURLToPath(new URL('../../shared/cases', import.meta.url));
const hasCases = existsSync(CASES);
const runs = hasCases ? listRuns(CASES) : [];

afterAll(endRuns);

describe.skipIf(!hasCases)(`reported cases${hasCases ? '' : ' (skipped: no cases beside the project)'}`, () => {
  it.each(runs.filter(({ run }) => !run.open).map((entry) => [titleOf(entry), entry] as const))('%s', async (_, entry) => {
    const { isRight, expected, happened } = await runCase(entry);
    expect(isRight, `expected: ${expected}; happened: ${happened}`).toBe(true);
  });

  // What is known to be wrong still is: whoever mends it takes the word `open` from its entry.
  it.each(runs.filter(({ run }) => run.open).map((entry) => [titleOf(entry), entry] as const))('%s (open)', async (_, entry) => {
    expect((await runCase(entry)).isRight).toBe(false);
  });
});

it.skipIf(!hasCases)('every case is run', () => {
  expect(new Set(runs.map(({ name }) => name)).size).toBeGreaterThan(50);
});
