/** TorchScript's code that is none of its language: one error, which names the line. */
import { expect, it } from 'vitest';
import { parseCode } from '../../src/containers/torchscript/parser.js';

const parsed = (text: string) => parseCode(text, 'code/a.py', { parts: 0 });
const body = (line: string) => `def f(self, x):\n  ${line}\n  return x\n`;

it('code of the language is parsed', () => {
  expect([...parsed(body('for i in [1, 2]:\n    x = torch.relu(x)')).functions.keys()]).toEqual(['f']);
});

it.each<[what: string, text: string, says: RegExp]>([
  ['a sign that there is not', body('x = x ? 1'), /line 2: "\?" is no part of the language/],
  ['a line between two blocks', 'def f(self, x):\n    y = x\n  return x\n', /line 3: this line is indented like no block/],
  ['a bracket that is not closed', body('x = f(x'), /line \d: .*was expected, found/],
  ['a number for a name', 'def 5(self):\n  return 5\n', /line 1: a name was expected, found "5"/],
  ['a loop over nothing', body('for i of x:\n    y = x'), /line 2: "in" was expected/],
  ['a definition that ends', 'def f', /line 1: .*was expected, found the end/],
  ['a text that does not end', body('x = "abc'), /line \d: /],
])('%s is told with its line', (_, text, says) => {
  expect(() => parsed(text)).toThrow(expect.objectContaining({ name: 'ModelError', kind: 'malformed', message: expect.stringMatching(says) }));
});

it.each([
  ['blocks', `def f(self, x):\n${Array.from({ length: 400 }, (_, i) => `${' '.repeat(i + 1)}if x:\n`).join('')}`],
  ['brackets', body(`x = ${'('.repeat(100_000)}x`)],
  ['lists', body(`x = ${'['.repeat(100_000)}`)],
])('%s that are nested without end are refused', (_, text) => {
  expect(() => parsed(text)).toThrow(expect.objectContaining({ name: 'ModelError', kind: 'unsafe' }));
});
