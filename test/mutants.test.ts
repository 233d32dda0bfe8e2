/** The list of slips that `npm run mutants` makes fits the code as it is. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

const path = (name: string) => new URL(`../${name}`, import.meta.url);
const slips = JSON.parse(readFileSync(path('scripts/mutants.json'), 'utf8')) as {
  slip: string;
  file: string;
  search: string;
  replace: string;
  tests: string[];
}[];

it('each slip has a name of its own', () => {
  expect(new Set(slips.map(({ slip }) => slip)).size).toBe(slips.length);
  expect(slips.length).toBeGreaterThanOrEqual(50);
});

it.each(slips)('$slip: its text stands in its file once, and its tests are there', ({ file, search, replace, tests }) => {
  expect(readFileSync(path(file), 'utf8').split(search).length - 1).toBe(1);
  expect(replace).not.toBe(search);
  expect(tests.length).toBeGreaterThan(0);
  for (const test of tests) expect([test, existsSync(path(test))]).toEqual([test, true]);
});
