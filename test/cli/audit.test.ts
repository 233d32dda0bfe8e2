/** `weighbridge audit` as users run it: exit codes, the document, the words. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, it } from 'vitest';
import { Call, Name, pickle } from '../pickles.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const validate = new Ajv2020({ strict: false, allErrors: true }).compile(JSON.parse(readFileSync(join(ROOT, 'schemas/audit.schema.json'), 'utf8')));

it('a model of the demo is clean, in words and as a document', () => {
  const { status, stdout } = weighbridge(['audit', join(DIGITS, 'digits.pth'), '--weights']);
  expect([status, stdout]).toEqual([0, expect.stringContaining('clean: nothing was found')]);
  const { stdout: json } = weighbridge(['audit', join(DIGITS, 'digits.pth'), '--json']);
  expect(validate(JSON.parse(json)), JSON.stringify(validate.errors)).toBe(true);
});

it('a pickle that runs code is dangerous, and nothing of it is run', () => {
  const folder = temporaryFolder();
  const path = join(folder, 'weights.pkl');
  writeFileSync(path, pickle(new Call(new Name('posix', 'system'), [`touch ${join(folder, 'ran')}`]), 2));
  const { status, stdout } = weighbridge(['audit', path]);
  expect(status).toBe(1);
  expect(stdout).toMatch(/danger .*posix\.system/);
  expect(stdout).toContain('dangerous:');
  const { status: again, stdout: json } = weighbridge(['audit', path, '--json']);
  expect(again).toBe(1);
  expect(validate(JSON.parse(json)), JSON.stringify(validate.errors)).toBe(true);
  expect(() => readFileSync(join(folder, 'ran'))).toThrow();
});

it('no file: could not look', () => {
  expect(weighbridge(['audit', 'nowhere.pth']).status).toBe(2);
});
