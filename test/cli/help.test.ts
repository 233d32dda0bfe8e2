/** Help as a newcomer reads it: examples that run, in lines that a terminal of 80 columns has room for; and what to try next. */
import { join } from 'node:path';
import { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { commands } from '../../src/cli/commands/index.js';
import { HELP_ENDS, helpEnd } from '../../src/cli/examples.js';
import { DIGITS, temporaryFolder, weighbridge } from './run-cli.js';

describe.each(commands.map(({ name, load }) => [name, load] as const))('%s', (name, load) => {
  it('shows examples with options that it has, in lines of 80 columns', async () => {
    const command = (await load())(new Command('weighbridge')).configureHelp({ helpWidth: 80 });
    const nested = command.commands[0];
    const options = [...command.options, ...(nested?.options ?? [])].flatMap(({ long, short }) => [long, short]);
    expect(HELP_ENDS[name]?.examples.length).toBeGreaterThan(0);
    for (const [line] of HELP_ENDS[name]!.examples) {
      expect(line.split(' ')[0]).toBe(name);
      for (const [flag] of line.matchAll(/(?<= )--?[a-z][a-z0-9-]*/g)) expect(options, line).toContain(flag);
    }
    const lines = `${command.helpInformation()}\n${helpEnd(name)}`.split('\n');
    expect(lines.filter(({ length }) => length > 80)).toEqual([]);
  });
});

describe('at its end', () => {
  it('a command that succeeded says what to try next, with the files at hand, and is silent where it is asked to be', () => {
    const folder = temporaryFolder();
    const source = join(DIGITS, 'digits.h5');
    const told = (args: readonly string[]) => /^next {5}weighbridge (.*)$/m.exec(weighbridge(args, folder).stderr)?.[1];
    expect(told(['inspect', source])).toMatch(new RegExp(`^convert ${source} -o model\\.onnx {3}\\w`));
    expect(told(['convert', source, '-o', 'a b.onnx', '--no-verify'])).toMatch(/^verify .*digits\.h5 'a b\.onnx' {3}proves/);
    expect(told(['diff', source, 'a b.onnx'])).toMatch(/^verify /);
    expect(told(['inspect', source, '--quiet'])).toBeUndefined();
    expect(told(['inspect', source, '--json'])).toBeUndefined();
    expect(told(['inspect', 'nothing'])).toBeUndefined();
  });
});
