/** The page speaks of its fields where the command speaks of flags. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { FIELDS, inPageWords } from '../../web/src/fields.js';

it.each([
  ['"N" is free. Give it with --input-shape 1,3,224,224.', '"N" is free. Give it with “Input shape” 1,3,224,224.'],
  ['as safetensors it can be written: --to safetensors', 'as safetensors it can be written: “To” safetensors'],
  ['--names canonical writes our own (--fold-batchnorm as well)', '“Canonical names and layouts” writes our own (“Fold batch normalisation” as well)'],
  ['choose another with --weights-key ema.model', 'choose another with “Key of the weights” ema.model'],
  ['cut it off with --until LAYER', 'cut it off with --until LAYER (What begins with -- is an option of the command.)'],
  ['a node called block--to, 3 -- 4', 'a node called block--to, 3 -- 4'],
])('%s', (said, expected) => {
  expect(inPageWords(said)).toBe(expected);
});

it('every field is on the page, under the name that stands here', () => {
  const forms = ['facts', 'conversion'].map((name) => readFileSync(new URL(`../../web/src/${name}.ts`, import.meta.url), 'utf8')).join('');
  for (const name of Object.keys(FIELDS)) expect(forms).toContain(`FIELDS.${name}`);
});
