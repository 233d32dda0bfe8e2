/** The manual pages that a package brings: the same as the help, in what `man` reads. */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import packageJson from '../../package.json' with { type: 'json' };
import { addCommand, makeProgram } from '../../src/cli/command-line.js';
import { commands } from '../../src/cli/commands/index.js';
import { HELP_ENDS } from '../../src/cli/examples.js';
import { manualPages } from '../../src/cli/man.js';
import { ROOT } from './run-cli.js';

const pages = await manualPages();
const words = (page: string) => page.replaceAll(/\\f[BR]/g, '').replaceAll('\\-', '-');
const has = (program: string) => spawnSync(program, ['--version']).status === 0;

it('every command has one, the build has written them, and npm is told of all', () => {
  const names = [...pages.keys()].sort();
  expect(names).toEqual(expect.arrayContaining(['weighbridge.1', 'weighbridge-report-merge.1', ...commands.map(({ name }) => `weighbridge-${name}.1`)]));
  expect(readdirSync(join(ROOT, 'dist/man')).sort()).toEqual(names);
  expect([...packageJson.man].sort()).toEqual(names.map((name) => `./dist/man/${name}`));
  for (const [name, page] of pages) expect(readFileSync(join(ROOT, 'dist/man', name), 'utf8')).toBe(page);
});

describe.each(commands.map((command) => [command.name, command] as const))('that of %s', (name, entry) => {
  it('has every option of the help with what it says, every example and every exit code', async () => {
    const command = await addCommand(makeProgram(), entry);
    const page = words(pages.get(`weighbridge-${name}.1`)!);
    const help = command.createHelp();
    expect(command.options.length).toBeGreaterThan(3);
    for (const option of help.visibleOptions(command)) expect(page).toContain(`.TP\n${help.optionTerm(option)}\n${help.optionDescription(option)}\n`);
    for (const { helpGroupHeading } of command.options) if (helpGroupHeading) expect(page).toContain(`.SH ${helpGroupHeading.slice(0, -1).toUpperCase()}\n`);
    for (const [example, what] of HELP_ENDS[name]!.examples) expect(page).toContain(`weighbridge ${example}\n${what}\n`);
    for (const exit of HELP_ENDS[name]!.exits ?? []) expect(page).toContain(exit.replace(/^(\d+) /, '$1\n'));
  });
});

it('that of the program leads to all others', async () => {
  const program = new Command();
  for (const command of commands) await addCommand(program, command);
  const page = words(pages.get('weighbridge.1')!);
  for (const command of program.commands) expect(page).toContain(`weighbridge-${command.name()}(1)\n${command.description()}\n`);
});

it.skipIf(!has('groff'))('groff finds nothing to warn of, and parts no name', () => {
  for (const [name, page] of pages) {
    const { status, stdout, stderr } = spawnSync('groff', ['-man', '-Tascii', '-ww', '-rLL=80n'], { input: page, encoding: 'utf8' });
    expect([status, stderr], name).toEqual([0, '']);
    expect(stdout).not.toMatch(/[a-z]-$/m);
  }
});
