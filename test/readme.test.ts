/** The README's commands run, and say what the README says they say. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './cli/run-cli.js';

const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');

it('the first commands are the two that do everything', () => {
  const first = /```\n([\s\S]*?)```/.exec(readme)![1]!.trim().split('\n');
  expect(first.map((line) => line.split('#')[0]!.trim())).toEqual(['npm run demo', 'npm test']);
  const { scripts } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  expect(scripts.demo).toContain('scripts/setup.mjs');
  expect(scripts.test).toContain('scripts/setup.mjs');
});

it('the conversion that is shown gives the lines that are shown, times aside', () => {
  const [, command, shown] = /\$ weighbridge (.*)\n([\s\S]*?)```/.exec(readme)!;
  const folder = temporaryFolder();
  const args = command!.split(' ').map((word) => (word.startsWith('demo/') ? join(ROOT, word) : word));
  const { status, stdout } = weighbridge(args, folder);
  expect(status).toBe(0);
  const steady = (text: string) =>
    text
      .replaceAll(`${ROOT}demo`, 'demo')
      .replace(/\d+\.\d\d s/g, 'TIME')
      .replace(/\d+(\.\d+)?e-\d+|\(\S+ \d+\.\d+\.\d+, CPU\)/g, 'NUMBER')
      .replace(/ +/g, ' ')
      .trim();
  expect(steady(stdout)).toBe(steady(shown!));
});

it('every flag that the README names exists', () => {
  const help = ['convert', 'inspect', 'verify', 'demo'].map((command) => weighbridge([command, '--help']).stdout).join('\n');
  const flags = new Set([...readme.matchAll(/`(--[a-z0-9-]+)/g)].map((match) => match[1]!));
  for (const flag of flags) expect(help).toContain(flag);
});

it('the library example runs', async () => {
  const { convert, inspect, memorySink } = await import(join(ROOT, 'dist/index.js'));
  const { nodeFileSet } = await import(join(ROOT, 'dist/node/index.js'));
  const files = await nodeFileSet(join(DIGITS, 'digits.h5'));
  expect((await inspect(files)).architecture.name).toContain('VGG');
  const sink = memorySink();
  await convert(files, sink, 'model.onnx');
  expect(sink.files.get('model.onnx').length).toBeGreaterThan(200_000);
  await files.close();
});
