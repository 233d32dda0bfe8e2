/** The built command with several models: a process for each, one table, one document, the worst exit code. */
import { spawn } from 'node:child_process';
import { copyFileSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { beforeAll, describe, expect, it } from 'vitest';
import type { BatchDocument } from '../../src/cli/many/document.js';
import { stemOf } from '../../src/cli/many/outputs.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const ajv = new Ajv2020({ strict: false, allErrors: true });
for (const name of ['batch', 'convert', 'report', 'layer-map']) ajv.addSchema(JSON.parse(readFileSync(join(ROOT, `schemas/${name}.schema.json`), 'utf8')));
const schema = (name: string) => ajv.getSchema(`https://weighbridge.example/schemas/${name}.schema.json`)!;
const validateBatch = schema('batch');

function batch(args: readonly string[], cwd: string): { status: number | null; document: BatchDocument; stderr: string } {
  const { status, stdout, stderr } = weighbridge([...args, '--json'], cwd);
  const document = JSON.parse(stdout);
  expect(validateBatch(document), JSON.stringify(validateBatch.errors)).toBe(true);
  return { status, document, stderr };
}

let folder: string;
beforeAll(() => {
  folder = temporaryFolder();
  mkdirSync(join(folder, 'nets/old'), { recursive: true });
  copyFileSync(join(DIGITS, 'digits.h5'), join(folder, 'nets/a.h5'));
  copyFileSync(join(DIGITS, 'digits.pth'), join(folder, 'nets/b.pth'));
  copyFileSync(join(DIGITS, 'digits.pth'), join(folder, 'nets/old/b.pth'));
  writeFileSync(join(folder, 'nets/bad.h5'), 'no model');
});

describe('convert', () => {
  it('converts what patterns match, one bad file among them, and exits with the worst code', () => {
    const { status, document } = batch(
      ['convert', 'nets/**/*.{h5,pth}', 'nets/a.h5', '-o', 'out/', '--to', 'safetensors', '--no-verify', '--jobs', '2'],
      folder,
    );
    expect(status).toBe(2);
    expect(document.jobs.map(({ models, output, status }) => [models[0], output, status])).toEqual([
      ['nets/a.h5', join('out', 'a.safetensors'), 'done'],
      ['nets/b.pth', join('out', 'b.safetensors'), 'done'],
      ['nets/bad.h5', join('out', 'bad.safetensors'), 'failed'],
      ['nets/old/b.pth', join('out', 'old', 'b.safetensors'), 'done'],
    ]);
    expect(document.totals).toEqual({ done: 3, different: 0, failed: 1, skipped: 0 });
    expect(document.jobs[2]!.error).toMatchObject({ kind: 'unknown-format' });
    const validateConvert = schema('convert');
    for (const job of document.jobs.filter(({ status }) => status === 'done')) {
      expect(validateConvert(job.document), JSON.stringify(validateConvert.errors)).toBe(true);
    }
    expect(readdirSync(join(folder, 'out')).sort()).toEqual(['a.safetensors', 'b.safetensors', 'old']);
  });

  it('verifies each, and says so in a table on stdout with the narration on stderr', () => {
    const { status, stdout, stderr } = weighbridge(['convert', 'nets/a.h5', 'nets/b.pth', '-o', 'proved', '--to', 'onnx', '--samples', '1'], folder);
    expect(status).toBe(0);
    expect(stdout).toMatch(/nets\/a\.h5 +proved.a\.onnx .* match \(independent: /);
    expect(stdout).toMatch(/nets\/b\.pth +proved.b\.onnx .* match \(own reading of the source\)/);
    expect(stdout).toContain('2 jobs: 2 done');
    expect(stderr).toMatch(/^nets\/a\.h5: Dropout .* left out/m);
    expect(stderr).toMatch(/1 of 2 {3}nets.*\n(.*\n)*2 of 2 {3}nets/);
  });

  it.each([
    { what: 'two models have one output', args: ['nets/b.pth', 'nets/a.h5', 'nets/b.h5'], says: 'would both become this file' },
    { what: 'an output is there', args: ['nets/a.h5', 'nets/b.pth'], there: 'b.onnx', says: 'exists already' },
  ])('writes nothing where $what', ({ args, there, says }) => {
    const own = temporaryFolder();
    mkdirSync(join(own, 'nets'));
    for (const name of ['a.h5', 'b.h5']) copyFileSync(join(DIGITS, 'digits.h5'), join(own, 'nets', name));
    copyFileSync(join(DIGITS, 'digits.pth'), join(own, 'nets/b.pth'));
    mkdirSync(join(own, 'out'));
    if (there !== undefined) writeFileSync(join(own, 'out', there), 'precious');
    const { status, stderr } = weighbridge(['convert', ...args, '-o', 'out', '--to', 'onnx', '--no-verify'], own);
    expect(status).toBe(2);
    expect(stderr).toContain(says);
    expect(readdirSync(join(own, 'out'))).toEqual(there === undefined ? [] : [there]);
  });

  it('does not overwrite a model that it reads, not even with --force', () => {
    const own = temporaryFolder();
    for (const name of ['a.h5', 'b.h5']) copyFileSync(join(DIGITS, 'digits.h5'), join(own, name));
    const { status, stderr } = weighbridge(['convert', 'a.h5', 'b.h5', '-o', '.', '--to', 'keras-h5', '--force'], own);
    expect(status).toBe(2);
    expect(stderr).toContain('models that are read');
  });

  it('begins no other after the first that fails with --fail-fast, and leaves no empty folder', () => {
    const { status, document } = batch(['convert', 'nets/bad.h5', 'nets/a.h5', '-o', 'never/x', '--to', 'onnx', '--fail-fast', '--jobs', '1'], folder);
    expect(status).toBe(2);
    expect(document.jobs.map(({ status }) => status)).toEqual(['failed', 'skipped']);
    expect(existsSync(join(folder, 'never'))).toBe(false);
  });

  it.each([
    { args: ['nets/*.nothing', '-o', 'o', '--to', 'onnx'], says: 'no file matches' },
    { args: ['nets/a.h5', 'nets/b.pth', '-o', 'o/'], says: '--to' },
    { args: ['nets/a.h5', '-', '-o', 'o/', '--to', 'onnx'], says: 'stdin' },
    { args: ['nets/a.h5', 'nets/b.pth', '-o', 'o/', '--to', 'onnx', '--report', 'r.html'], says: '{name}' },
    { args: ['nets/a.h5'], says: '-o a.onnx' },
  ])('says what is wrong with $args', ({ args, says }) => {
    const { status, stderr } = weighbridge(['convert', ...args], folder);
    expect(status).toBe(2);
    expect(stderr).toContain(says);
  });

  it('keeps two names of one file, puts names into options as they are, and takes a file for no folder', () => {
    const own = temporaryFolder();
    copyFileSync(join(DIGITS, 'digits.h5'), join(own, 'a$$.h5'));
    linkSync(join(own, 'a$$.h5'), join(own, 'b.h5'));
    const both = batch(['convert', '*.h5', '-o', 'out/', '--to', 'npz', '--report', '{name}.json', '--samples', '1'], own);
    expect(both.document.jobs.map(({ models }) => models[0])).toEqual(['a$$.h5', 'b.h5']);
    expect(both.document.jobs[0]!.status).toBe('done');
    expect(weighbridge(['convert', 'b.h5', '-o', 'c.npz', '--report', 'of-{name}.json', '--samples', '1'], own).status).toBe(0);
    expect(readdirSync(own).sort()).toEqual(['a$$.h5', 'a$$.json', 'b.h5', 'b.json', 'c.npz', 'of-b.json', 'out']);
    const { status, stderr } = weighbridge(['convert', 'a$$.h5', 'b.h5', '-o', 'c.npz', '--to', 'onnx'], own);
    expect([status, stderr]).toEqual([2, expect.stringMatching(/^error [^\n]*is a file[^\n]*\n$/)]);
  });

  it('takes a single model into a folder, or here under its own name', () => {
    const own = temporaryFolder();
    const source = join(DIGITS, 'digits.h5');
    expect(weighbridge(['convert', source, '-o', 'made/', '--to', 'npz', '--no-verify'], own).status).toBe(0);
    expect(weighbridge(['convert', source, '--to', 'npz', '--no-verify'], own).status).toBe(0);
    expect(readdirSync(own).sort()).toEqual(['digits.npz', 'made']);
    expect(readdirSync(join(own, 'made'))).toEqual(['digits.npz']);
  });

  it('ended by a signal, ends what it has started and leaves nothing half written', async () => {
    const own = temporaryFolder();
    for (const name of ['a.h5', 'b.h5', 'c.h5']) copyFileSync(join(DIGITS, 'digits.h5'), join(own, name));
    const child = spawn(process.execPath, [join(ROOT, 'dist/cli/main.cjs'), 'convert', '*.h5', '-o', 'out/', '--to', 'onnx', '--samples', '1', '--jobs', '1'], {
      cwd: own,
    });
    const first = new Promise<void>((resolve) => child.stderr.on('data', (chunk: Buffer) => chunk.includes('1 of 3') && resolve()));
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
    await first;
    child.kill('SIGTERM');
    expect(await ended).toBe(143);
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(readdirSync(join(own, 'out'))).toEqual(['a.onnx']);
  });
});

it('inspect and audit take several, too', () => {
  const { status, document } = batch(['inspect', 'nets/*'], folder);
  expect(status).toBe(2);
  expect(document.jobs.map(({ status }) => status)).toEqual(['done', 'done', 'failed']);
  const validateMap = schema('layer-map');
  expect(validateMap(document.jobs[0]!.document), JSON.stringify(validateMap.errors)).toBe(true);
  expect(batch(['audit', 'nets/a.h5', 'nets/b.pth'], folder).document.totals.done).toBe(2);
});

it.each([
  ['nets/vgg16.h5', 'vgg16'],
  ['nets\\vgg16.pth.tar', 'vgg16'],
  ['a/vgg.onnx.gz', 'vgg'],
  ['model.safetensors.index.json', 'model'],
  ['efficientnet-b0.v1.0', 'efficientnet-b0.v1.0'],
  ['https://host.example/a/net.h5?download=true', 'net'],
  ['hf://owner/name/model.safetensors@main', 'model'],
  ['model.v2', 'model.v2'],
  ['saved/', 'saved'],
  ['..', 'model'],
])('%s is called %s', (path, stem) => {
  expect(stemOf(path)).toBe(stem);
});
