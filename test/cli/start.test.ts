/** How much a command loads before it looks into a file: each file costs half a millisecond, whatever is in it. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { DIGITS, weighbridge } from './run-cli.js';

/** Tells on stderr of every module as it is loaded. Double quotes, which are escaped where one program stands within another. */
const HOOK = 'import { writeSync } from "node:fs"; export const load = (url, context, next) => (writeSync(2, "loaded " + url + "\\n"), next(url, context));';
const TELL = `import { register } from "node:module"; register("data:text/javascript,${encodeURIComponent(HOOK)}");`;

function loadedBy(args: readonly string[]): string[] {
  const { status, stderr } = weighbridge(args, undefined, { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(TELL)}` });
  expect(status, stderr).toBe(0);
  return [...stderr.matchAll(/^loaded .*[\\/]dist[\\/]cli[\\/](.*)\.js$/gm)].map(([, name]) => name!);
}

it('the version is told by two files', () => {
  expect(loadedBy(['--version'])).toHaveLength(2);
});

it.each(['digits.h5', 'digits.pth', 'digits.caffemodel'])('%s is inspected by few files', (name) => {
  const loaded = loadedBy(['inspect', join(DIGITS, name)]);
  expect(loaded).toContainEqual(expect.stringMatching(/core/));
  expect(loaded.length, loaded.join(' ')).toBeLessThan(25);
  // Nothing that converts, compares or verifies.
  expect(loaded.filter((part) => /verify|diff|shrink|writers|engines|many/.test(part))).toEqual([]);
});
