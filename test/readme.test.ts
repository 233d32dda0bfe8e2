/** The README's commands run, and say what the README says they say. */
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './cli/run-cli.js';

const README = join(ROOT, 'README.md');
const readme = readFileSync(README, 'utf8');

it('the first commands are the two that do everything', () => {
  const first = /```\n([\s\S]*?)```/.exec(readme)![1]!.trim().split('\n');
  expect(first.map((line) => line.split('#')[0]!.trim())).toEqual(['npm run demo', 'npm test']);
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  expect(scripts.demo).toContain('scripts/setup.mjs');
  expect(scripts.test).toContain('scripts/setup.mjs');
});

/** Commands that are shown with what they say, in order: 'weighbridge ...' and 'cat <file>'. */
const SHOWN = [...readme.matchAll(/```\n(\$ [\s\S]*?)```/g)].flatMap(([, block]) =>
  block!
    .split(/^\$ /m)
    .filter((part) => part !== '')
    .map((part) => ({ command: part.slice(0, part.indexOf('\n')), says: part.slice(part.indexOf('\n') + 1) })),
);

it('the commands that are shown say, one after the other in one folder, what is shown; times and the last digits of errors aside', () => {
  expect(SHOWN.filter(({ command }) => command.startsWith('weighbridge ')).map(({ command }) => command.split(' ')[1])).toEqual([
    'convert',
    'shrink',
    'verify',
    'diff',
  ]);
  const folder = temporaryFolder();
  symlinkSync(join(ROOT, 'demo'), join(folder, 'demo'));
  let written = readme;
  for (const { command, says } of SHOWN) {
    const found = run(command, folder);
    if (steady(found) !== steady(says)) written = written.replace(`$ ${command}\n${says}`, () => `$ ${command}\n${found}`);
  }
  // `npm run docs` puts what is said now in the place of what is shown.
  if (process.env.WEIGHBRIDGE_DOCS === 'write') writeFileSync(README, written);
  else expect(steady(readme)).toBe(steady(written));
});

/** What a command that is shown says. */
function run(command: string, folder: string): string {
  const [program, ...args] = command.split(' ');
  if (program === 'cat') return readFileSync(join(folder, args[0]!), 'utf8');
  expect(program).toBe('weighbridge');
  const { status, stdout, stderr } = weighbridge(args, folder);
  expect(status, `${command}\n${stderr}`).toBe(0);
  return stdout;
}

/** Of machines differ: times, errors near rounding, and whether the native runtime could be installed. */
function steady(text: string): string {
  return text
    .replace(/\d+\.\d\d s/g, 'TIME')
    .replace(/[\d.,]+ times (below|beyond)/g, 'NUMBER times $1')
    .replace(/\d+(\.\d+)?e-\d+|\b0\.0\d+\b|\(\S+ \d+\.\d+\.\d+, CPU\)/g, 'NUMBER')
    .replace(/ +/g, ' ')
    .trim();
}

it('every flag that the README names exists', () => {
  const help = ['convert', 'shrink', 'inspect', 'verify', 'diff', 'golden', 'demo'].map((command) => weighbridge([command, '--help']).stdout).join('\n');
  const flags = new Set([...readme.matchAll(/`(--[a-z0-9-]+)/g)].map((match) => match[1]!));
  for (const flag of flags) expect(help).toContain(flag);
});

it('the library example runs', async () => {
  const folder = temporaryFolder();
  copyFileSync(join(DIGITS, 'digits.h5'), join(folder, 'model.h5'));
  copyFileSync(join(DIGITS, 'keras.npz'), join(folder, 'recorded.npz'));
  const example = /```js\n([\s\S]*?)```/.exec(readme)![1]!.replace("'weighbridge/node'", JSON.stringify(pathToFileURL(join(ROOT, 'dist/node/index.js')).href));
  writeFileSync(join(folder, 'example.mjs'), example);
  const { status, stdout, stderr } = spawnSync(process.execPath, ['example.mjs'], { cwd: folder, encoding: 'utf8' });
  expect(stderr).toBe('');
  expect(status).toBe(0);
  expect(stdout).toContain('VGG');
  expect(existsSync(join(folder, 'model.onnx'))).toBe(true);
}, 120_000);
