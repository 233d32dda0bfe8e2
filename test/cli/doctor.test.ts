/** `weighbridge doctor`: what is here is tried, and what does not work is a problem and an exit code. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, it } from 'vitest';
import type { Check, DoctorDocument } from '../../src/cli/commands/doctor.js';
import { ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const validate = new Ajv2020({ strict: false }).compile(JSON.parse(readFileSync(join(ROOT, 'schemas/doctor.schema.json'), 'utf8')));

function doctor(env: Record<string, string>): { status: number | null; document: DoctorDocument; find: (name: string) => Check | undefined; stdout: string } {
  const { status, stdout } = weighbridge(['doctor', '--json'], temporaryFolder(), env);
  const document = JSON.parse(stdout) as DoctorDocument;
  expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
  return { status, document, stdout, find: (name) => document.checks.find((check) => check.name === name) };
}

it('runs a small net in every engine that is here, and tells no secret', () => {
  const { status, document, find, stdout } = doctor({
    WEIGHBRIDGE_CACHE: temporaryFolder(),
    HF_TOKEN: 'very-secret',
    HTTPS_PROXY: 'http://me:word@proxy.example',
  });
  for (const engine of ['evaluator', 'reference', 'ort-wasm', 'verification', 'node', 'this folder'])
    expect(find(engine), engine).toMatchObject({ finding: 'ok' });
  expect(find('ort-cpu')).toBeDefined();
  expect(find('network')?.finding).toBe('note');
  expect(find('environment')?.detail).toContain('HF_TOKEN');
  expect(stdout).not.toMatch(/very-secret|me:word/);
  expect([status, document.healthy]).toEqual([0, true]);
});

it('what cannot be written to is a problem, and the exit code 1', () => {
  const file = join(temporaryFolder(), 'file');
  writeFileSync(file, '');
  const { status, document, find } = doctor({ WEIGHBRIDGE_CACHE: join(file, 'below') });
  expect(find('downloads')?.finding).toBe('problem');
  expect([status, document.healthy]).toEqual([1, false]);
});
