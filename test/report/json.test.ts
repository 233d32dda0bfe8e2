/** The JSON report fits the schema that is published. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, it } from 'vitest';
import { json } from '../../src/report/json.js';
import { ROOT } from '../cli/run-cli.js';
import { documentOf, hostileDocument, MATCH, MISMATCH, QUANTISED, WEIGHTS } from './examples.js';

const validate = new Ajv2020({ strict: false, allErrors: true }).compile(JSON.parse(readFileSync(join(ROOT, 'schemas/report.schema.json'), 'utf8')));

it.each([
  ['match', documentOf(MATCH)],
  ['mismatch', documentOf(MISMATCH)],
  ['quantised', documentOf(QUANTISED)],
  ['weights alone', documentOf(WEIGHTS)],
  ['hostile', hostileDocument()],
])('%s', async (_name, document) => {
  const read = JSON.parse(await json.render(document));
  expect(validate(read), JSON.stringify(validate.errors)).toBe(true);
});

it('a value that JSON has no number for is written as text, and fits the schema', async () => {
  const outputs = MISMATCH.outputs.map((output) => ({ ...output, worst: { index: [0], expected: 1, actual: Number.NaN } }));
  const read = JSON.parse(await json.render(documentOf({ ...MISMATCH, outputs })));
  expect(read.outputs[0].worst.actual).toBe('NaN');
  expect(validate(read), JSON.stringify(validate.errors)).toBe(true);
});
