/** What the documents tell to type is there, and runs. */
import { copyFileSync, cpSync, existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { commands } from '../src/cli/commands/index.js';
import { ROOT, temporaryFolder, weighbridge } from './cli/run-cli.js';
import { liteModel } from './lite-models.js';
import { graphDef, placeholder } from './tf-graphs.js';

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

/**
 * What the commands of coming-from.md read, beside the demo's nets. SavedModels, nets with batch normalisation and such that say what is done to
 * pictures are not among them, and have tests elsewhere.
 */
function othersFiles(folder: string): void {
  const names = { 'digits.h5': 'model.h5', 'digits.pth': 'model.pth', 'digits.caffemodel': 'net.caffemodel', 'digits.prototxt': 'net.prototxt' };
  for (const [from, to] of Object.entries(names)) copyFileSync(join(ROOT, 'demo/digits', from), join(folder, to));
  const relu = { name: 'y', op: 'Relu', input: ['x'], attr: { T: { type: 1 } } };
  writeFileSync(join(folder, 'frozen.pb'), graphDef({ nodes: [placeholder('x', [2, 3]), relu], weights: {}, inputs: ['x'], outputs: ['y'] }));
  const ports = ['x', 'y'].map((name) => ({ name, shape: [2, 3], type: 0 }));
  writeFileSync(join(folder, 'model.tflite'), liteModel(ports, [{ code: 19, inputs: [0], outputs: [1] }], [0], [1]));
  for (const words of ['net.caffemodel -o in.onnx', 'net.caffemodel -o out.onnx', 'model.h5 -o web --to tfjs']) {
    const { status, stderr } = weighbridge(['convert', ...words.split(' '), '--no-verify'], folder);
    expect(status, stderr).toBe(0);
  }
}

it('what users of other converters are told to type does it', () => {
  const given = temporaryFolder();
  othersFiles(given);
  // The digits are smaller pictures, and their layers have other names.
  const commands = [...new Set(commandsOf(textOf('docs/coming-from.md')))]
    .filter((command) => !/ saved | --embed-preprocessing| --fold-batchnorm/.test(command))
    .map((command) => command.replace('3,224,224', '3,32,32').replace('conv5', 'conv3_2'));
  expect(commands.length).toBeGreaterThan(20);
  for (const command of commands) {
    const words = command.split(/\s+/).slice(1);
    const writes = words[0] === 'convert' || words[0] === 'shrink';
    // Of its own, since some write what others read.
    const folder = temporaryFolder();
    cpSync(given, folder, { recursive: true });
    const { status, stderr, stdout } = weighbridge(writes ? [...words, '--force', '--samples', '1'] : words, folder);
    expect(status, `${command}\n${stdout}\n${stderr}`).toBe(0);
  }
}, 240_000);

it.each(pages)('%s leads to files that are there', (page) => {
  for (const [, target] of textOf(page).matchAll(/\]\((?!https?:|#)([^)\s#]+)/g))
    expect(existsSync(resolve(ROOT, dirname(page), target!)), `${page}: ${target}`).toBe(true);
});
