/** What the documents tell to type is there, and runs. */
import { existsSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { commands } from '../src/cli/commands/index.js';
import { ROOT, temporaryFolder, weighbridge } from './cli/run-cli.js';

const DOCS = join(ROOT, 'docs');
const pages = [
  'README.md',
  ...readdirSync(DOCS, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name))
    .sort(),
];
const textOf = (page: string) => readFileSync(join(ROOT, page), 'utf8');

/** Lines of code blocks that begin with the command, and code within text that does. */
function commandsOf(text: string): string[] {
  const blocks = [...text.matchAll(/^```\w*\n([\s\S]*?)^```/gm)].map(([, block]) => block!);
  const lines = blocks.flatMap((block) => block.split('\n')).map((line) => line.trim().replace(/^\$ /, ''));
  const within = [...text.replace(/^```[\s\S]*?^```/gm, '').matchAll(/`(weighbridge [^`]+)`/g)].map(([, code]) => code!);
  return [...lines, ...within].filter((line) => /^weighbridge [a-z]/.test(line)).map((line) => line.replace(/\s+#.*$/, ''));
}

const helps = new Map<string, string>();
function helpOf(name: string): string {
  const known = helps.get(name) ?? weighbridge([...name.split(' '), '--help']).stdout;
  helps.set(name, known);
  return known;
}

describe('what the documents tell to type', () => {
  it('is found at all', () => {
    expect(pages.length).toBeGreaterThan(25);
    expect(commandsOf(textOf('docs/coming-from.md')).length).toBeGreaterThan(20);
  });

  it.each(pages.filter((page) => commandsOf(textOf(page)).length > 0))('%s names commands and flags that there are', (page) => {
    const names = commands.map(({ name }) => name);
    for (const command of commandsOf(textOf(page))) {
      const [, name, second] = command.split(/\s+/);
      expect(names, command).toContain(name);
      const help = helpOf(name === 'report' && second === 'merge' ? 'report merge' : name!);
      for (const [, flag] of command.matchAll(/\s(--?[a-z][a-z0-9-]*)/g)) expect(help, `${command}: ${flag}`).toMatch(new RegExp(`(^|[\\s,])${flag}\\b`, 'm'));
    }
  });

  // Commands on the demo's files, in order: what one writes the next may read.
  it.each(pages.filter((page) => page.includes('cookbook')))(
    'on the files of the demo it runs: %s',
    (page) => {
      const folder = temporaryFolder();
      symlinkSync(join(ROOT, 'demo'), join(folder, 'demo'), 'junction');
      const runnable = commandsOf(textOf(page)).filter((command) => /^weighbridge golden|demo\/digits\//.test(command));
      expect(runnable.length).toBeGreaterThan(0);
      for (const command of runnable) {
        const { status, stderr, stdout } = weighbridge(command.split(/\s+/).slice(1), folder);
        // 1 is an answer where two files are compared.
        expect(status, `${command}\n${stdout}\n${stderr}`).toBeLessThanOrEqual(/^weighbridge (diff|verify)/.test(command) ? 1 : 0);
      }
    },
    120_000,
  );
});

it.each(pages)('%s leads to files that are there', (page) => {
  for (const [, target] of textOf(page).matchAll(/\]\((?!https?:|#)([^)\s#]+)/g))
    expect(existsSync(resolve(ROOT, dirname(page), target!)), `${page}: ${target}`).toBe(true);
});
