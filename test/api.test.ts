// @module-tag slow
/** The library's page is what its types say, and what its errors speak of is there. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { describeApi } from '../scripts/api.mjs';
import { withOptionNames } from '../src/spelling.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const PAGE = join(ROOT, 'docs/api.md');
const api = describeApi();

it('docs/api.md is current', () => {
  // `npm run docs` writes it.
  if (process.env.WEIGHBRIDGE_DOCS === 'write') writeFileSync(PAGE, api.text);
  else expect(readFileSync(PAGE, 'utf8')).toBe(api.text);
});

it('every function that works on files is on it with its comment', () => {
  for (const name of ['convertFile', 'verifyFiles', 'verifyFile', 'inspectFile', 'diffFiles', 'shrinkFile'])
    expect(api.text).toMatch(new RegExp(`### ${name}\\n\\n\`\`\`ts\\nfunction ${name}\\(.*\\n\`\`\`\\n\\n\\w`));
});

// The words of the core are the command's: what they name must be there under the name that the library gives it.
it('every flag that the core speaks of is an option of the library', () => {
  const src = join(ROOT, 'src');
  const unknown = readdirSync(src, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts') && !/^(cli|report|check|audit|bisect|spelling|verify.engines.(ort-cuda|install))/.test(name))
    .flatMap((name) => spokenFlags(readFileSync(join(src, name), 'utf8')))
    .filter((flag) => ![...withOptionNames(`${flag} `).matchAll(/`(\w+)/g)].every(([, option]) => api.options.has(option!)));
  expect([...new Set(unknown)]).toEqual([]);
});

/** Flags in the texts of a source file, not in its comments. */
function spokenFlags(source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/.*$/gm, '');
  return [...code.matchAll(/(?<=['"`( ])--[a-z][a-z-]+(?=[ ,:;)'"`=]|\.(?!\w))/g)].map(([flag]) => flag);
}
