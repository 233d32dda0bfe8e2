/** How much a command loads before it looks into a file: each file costs half a millisecond, and what V8 has to compile anew much more. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { DIGITS, weighbridge } from './run-cli.js';

/** Tells on stderr of every module as it is loaded. Double quotes, which are escaped where one program stands within another. */
const HOOK = 'import { writeSync } from "node:fs"; export const load = (url, context, next) => (writeSync(2, "module " + url + "\\n"), next(url, context));';
/** The same of every file of the bundle, with its length, and whether V8 refused what it had made of it when it was built. */
const TELL = `import { register } from "node:module"; import { writeSync } from "node:fs"; import vm from "node:vm";
register("data:text/javascript,${encodeURIComponent(HOOK)}");
vm.Script = class extends vm.Script {
  constructor(code, options) {
    super(code, options);
    writeSync(2, ["script", options.filename, code.length, this.cachedDataRejected, ""].join("|") + "\\n");
  }
};`;

interface Loaded {
  readonly modules: readonly string[];
  readonly scripts: readonly { readonly name: string; readonly length: number; readonly isRefused: string }[];
}

function loadedBy(args: readonly string[]): Loaded {
  const { status, stderr } = weighbridge(args, undefined, { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(TELL)}` });
  expect(status, stderr).toBe(0);
  return {
    modules: [...stderr.matchAll(/^module .*[\\/]dist[\\/](.*)\.c?js$/gm)].map(([, name]) => name!),
    scripts: [...stderr.matchAll(/^script\|.*[\\/]dist[\\/]cli[\\/]chunks[\\/](.*)\.js\|(\d+)\|(\w*)\|$/gm)].map(([, name, length, isRefused]) => ({
      name: name!,
      length: Number(length),
      isRefused: isRefused!,
    })),
  };
}

it('the version is told by one file', () => {
  expect(loadedBy(['--version'])).toEqual({ modules: ['cli/main'], scripts: [] });
});

it.each(['digits.h5', 'digits.pth', 'digits.caffemodel'])('%s is inspected by few files, none of which is compiled anew', (name) => {
  const { modules, scripts } = loadedBy(['inspect', join(DIGITS, name)]);
  expect(modules).toEqual(['cli/main']);
  const names = scripts.map((script) => script.name);
  expect(names).toContainEqual(expect.stringMatching(/^core/));
  expect(names.length, names.join(' ')).toBeLessThan(20);
  // A third of it are the architectures that bare weights are recognised by, of which each has some three thousand.
  expect(scripts.map(({ length }) => length).reduce((sum, length) => sum + length)).toBeLessThan(1_200_000);
  // `undefined` where there is nothing to take.
  expect(scripts.filter(({ isRefused }) => isRefused !== 'false')).toEqual([]);
  // Nothing that converts, compares or verifies.
  expect(names.filter((part) => /verify|diff|shrink|writers|engines|many/.test(part))).toEqual([]);
});
