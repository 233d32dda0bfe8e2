/** `weighbridge diff` as users run it: between formats, exit codes, the document, the page. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { beforeAll, describe, expect, it } from 'vitest';
import type { DiffDocument } from '../../src/diff/document.js';
import { DIGITS, ROOT, temporaryFolder, weighbridge } from './run-cli.js';

const validate = new Ajv2020({ strict: false, allErrors: true }).compile(JSON.parse(readFileSync(join(ROOT, 'schemas/diff.schema.json'), 'utf8')));
const folder = temporaryFolder();
const SOURCE = join(DIGITS, 'digits.h5');
const TARGETS: Readonly<Record<string, readonly string[]>> = {
  'd.onnx': [],
  'd.keras': [],
  'd.safetensors': [],
  'd.npz': [],
  'own.safetensors': ['--names', 'canonical'],
  'd.tfjs': ['--to', 'tfjs'],
  'graph.tfjs': ['--to', 'tfjs-graph'],
};

beforeAll(() => {
  for (const [name, args] of Object.entries(TARGETS)) {
    const { status, stderr } = weighbridge(['convert', SOURCE, '-o', join(folder, name), '--no-verify', ...args]);
    expect(status, stderr).toBe(0);
  }
}, 120_000);

function documentOf(a: string, b: string, ...args: string[]): { status: number | null; document: DiffDocument } {
  const { status, stdout, stderr } = weighbridge(['diff', a, b, '--json', ...args]);
  expect(stderr).toBe('');
  const document = JSON.parse(stdout) as DiffDocument;
  expect(validate(document), JSON.stringify(validate.errors)).toBe(true);
  return { status, document };
}

describe('the same digits net', () => {
  it.each(['digits.pth', 'digits.caffemodel', ...Object.keys(TARGETS)])('is the same in %s', (name) => {
    const other = join(name.startsWith('digits') ? DIGITS : folder, name);
    const { status, document } = documentOf(SOURCE, other);
    expect(document.tensors.map(({ status: found }) => found).filter((found) => found !== 'equal' && found !== 'changed')).toEqual([]);
    expect(document.tensors).toHaveLength(18);
    expect(document.verdict, JSON.stringify(document.structure)).toMatchObject({ equal: true });
    expect(status).toBe(0);
  });

  it('is found where neither names nor layouts nor wiring are the same', () => {
    const { status, document } = documentOf(join(folder, 'd.npz'), join(DIGITS, 'digits.pth'));
    expect(document.totals).toMatchObject({ equal: 9, changed: 9 });
    expect(status).toBe(0);
  });

  it('is told to be laid out otherwise, kernel by kernel', () => {
    const { status, stdout } = weighbridge(['diff', SOURCE, join(DIGITS, 'digits.pth')]);
    expect(status).toBe(0);
    expect(stdout.split('\n')[0]).toBe('same weights in another layout: 9 of 18 with axes in another order, 1 of 18 flattened in another order');
    expect(stdout).toContain('conv1_1  kernel  12 x 3 x 3 x 3   changed  axes permuted (3, 2, 0, 1)');
    expect(stdout).toMatch(/^fc6 +kernel +48 x 512 +changed +transposed, flattened as 32 x 16 for 16 x 32$/m);
    expect(stdout).not.toContain('\u001b');
  });
});

describe('a net that was changed', () => {
  /** Sets a float32 of the head, which PyTorch's file has last. */
  const tuned = join(folder, 'tuned.safetensors');
  beforeAll(() => {
    const bytes = readFileSync(join(folder, 'own.safetensors'));
    const length = Number(bytes.readBigUInt64LE(0));
    const header = JSON.parse(bytes.subarray(8, 8 + length).toString()) as Record<string, { data_offsets: [number, number] }>;
    for (const name of ['fc7.kernel', 'fc8.kernel', 'fc8.bias']) {
      const [start, end] = header[name]!.data_offsets;
      for (let at = 8 + length + start; at < 8 + length + end; at += 4)
        bytes.writeFloatLE(bytes.readFloatLE(at) * 1.1 + (name === 'fc7.kernel' ? 0.02 : 0.9), at);
    }
    writeFileSync(tuned, bytes);
  });

  it('is told as fine-tuned, with the layers that differ, and exits with 1', () => {
    const { status, document } = documentOf(join(folder, 'own.safetensors'), tuned);
    expect(status).toBe(1);
    expect(document.verdict).toEqual({ kind: 'fine-tuned', equal: false, sentence: 'same net, fine-tuned: 2 of 9 layers differ (fc7, fc8)' });
    expect(document.layers.differing).toEqual(['fc7', 'fc8']);
  });

  it('is told so between formats, too', () => {
    const { status, document } = documentOf(SOURCE, tuned);
    expect(status).toBe(1);
    expect(document.verdict.sentence).toMatch(/^same net, fine-tuned: 2 of 9 layers differ/);
  });

  it('fits 80 columns', () => {
    const { stdout } = weighbridge(['diff', join(folder, 'own.safetensors'), tuned]);
    const table = stdout.slice(stdout.indexOf('\nlayer '), stdout.indexOf('\ntensors '));
    expect(table).toMatch(/^fc7 +kernel +48 x 48 +different/m);
    expect(Math.max(...table.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  it('makes a page that asks for nothing', () => {
    const page = join(folder, 'diff.html');
    const { status, stderr } = weighbridge(['diff', SOURCE, tuned, '--html', page]);
    expect(status).toBe(1);
    expect(stderr).toContain('diff.html');
    const text = readFileSync(page, 'utf8');
    expect(text).toContain('<h1>same net, fine-tuned: 2 of 9 layers differ');
    expect(text).toContain('default-src &#39;none&#39;');
    expect(text).not.toMatch(/<script|\son\w+=|https?:/);
    expect(text.match(/class="written" d=/g)).toHaveLength(3);
  });
});

describe('what cannot be compared', () => {
  it.each([
    ['a missing file', () => [SOURCE, join(folder, 'missing.h5')]],
    ['no model', () => [SOURCE, join(ROOT, 'package.json')]],
    ['a page with another extension', () => [SOURCE, SOURCE, '--html', join(folder, 'x.pdf')]],
    ['a page in the place of a model', () => [join(folder, 'd.onnx'), SOURCE, '--html', join(folder, 'd.onnx')]],
    ['a file that ends early', () => [SOURCE, truncated()]],
  ])('%s exits with 2 and leaves nothing behind', (_what, args) => {
    const before = readdirSync(folder).sort();
    const { status, stderr } = weighbridge(['diff', ...args()]);
    expect(status).toBe(2);
    expect(stderr).toMatch(/^error/m);
    expect(
      readdirSync(folder)
        .filter((name) => name !== 'short.onnx')
        .sort(),
    ).toEqual(before.filter((name) => name !== 'short.onnx'));
    expect(existsSync(join(folder, 'x.pdf'))).toBe(false);
  });

  function truncated(): string {
    const path = join(folder, 'short.onnx');
    writeFileSync(path, readFileSync(join(folder, 'd.onnx')).subarray(0, 100_000));
    return path;
  }
});

it('options of the second file have a word before them', () => {
  const { status, document } = documentOf(SOURCE, join(DIGITS, 'digits.caffemodel'), '--other-prototxt', join(DIGITS, 'digits.prototxt'));
  expect(status).toBe(0);
  expect(document.structure).not.toBeNull();
});
