/** `shrink` beyond a dtype: steps, budgets that are searched for, codes that are worked out on inputs; every form is run by its own runtime. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DIGITS, temporaryFolder, weighbridge } from './run-cli.js';

const GOLDEN = ['--golden', join(DIGITS, 'keras.npz')];

function shrink(output: string, ...args: string[]) {
  const path = join(temporaryFolder(), output);
  const run = weighbridge(['shrink', join(DIGITS, 'digits.h5'), '-o', path, '--json', ...args]);
  return { ...run, path, document: run.stdout === '' ? null : JSON.parse(run.stdout) };
}

const methodsOf = (document: { weights: { method: string }[] }) => [...new Set(document.weights.map(({ method }) => method))].sort();

describe('steps', () => {
  it.each([
    ['a.onnx', [], 'int8'],
    ['web', ['--to', 'tfjs'], 'uint8'],
    ['graph', ['--to', 'tfjs-graph'], 'uint8'],
  ])('%s is right, keeps its predictions, and is small on the wire', (output, args, dtype) => {
    const { status, document } = shrink(output, '--step', '0.5', '--compress', 'gzip', ...args, ...GOLDEN);
    expect([status, document.report.verdict]).toEqual([0, 'match']);
    expect(methodsOf(document)).toEqual(['as is', `${dtype} in all levels`, `${dtype} in steps of 0.5 deviations`]);
    expect(document.report.quantisation.correctness.passed).toBe(true);
    expect(document.totals.onWire.after).toBeLessThan(0.6 * document.totals.onDisk.after);
    expect(document.changes.at(-1).message).toMatch(/in steps of 0\.5/);
  });
});

describe('a budget', () => {
  it.each(['63KB', '64KB', '90KB'])('of %s on disk is kept to, and most of it is used', (size) => {
    const { status, document } = shrink(`disk-${size}.onnx`, '--budget', size, ...GOLDEN);
    expect([status, document.budget.met]).toEqual([0, true]);
    expect(document.budget.taken).toBeGreaterThan(0.9 * document.budget.byteLength);
  });

  it.each([16_000, 30_000])('of %i bytes on the wire is kept to, and most of it is used', (size) => {
    const { status, document, path } = shrink('a.onnx', '--budget', `${size / 1000}KB`, '--count', 'wire', ...GOLDEN);
    const { taken, met, byteLength, count } = document.budget;
    expect([byteLength, count, taken]).toEqual([size, 'wire', statSync(`${path}.gz`).size]);
    expect([met, taken > 0.85 * size]).toEqual([true, true]);
    if (size === 30_000) expect([status, document.agreement.share > 0.9]).toEqual([0, true]);
  });
  it('tells what else there was: in the terminal, in the document, and on a page with the curve', () => {
    const folder = temporaryFolder();
    const page = join(folder, 'a.html');
    const args = ['shrink', join(DIGITS, 'digits.h5'), '-o', join(folder, 'a.onnx'), '--budget', '45KB', '--report', page, ...GOLDEN];
    const { status, stdout } = weighbridge(args);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ +on disk +error +what weights become/m);
    expect(stdout.match(/^> +[\d.]+ KiB +[\d.e-]+ % /gm)).toHaveLength(1);
    const shown = readFileSync(page, 'utf8');
    expect(shown).toMatch(/<h2>Search<\/h2>[\s\S]*<polyline class="pareto" points="(\d+,\d+ ?){5,}"[\s\S]*<b>chosen<\/b>/);
    expect(shown).not.toMatch(/NaN/);
  });
  it('that cannot be met is told, with how near it came', () => {
    const path = join(temporaryFolder(), 'a.onnx');
    const { status, stdout } = weighbridge(['shrink', join(DIGITS, 'digits.h5'), '-o', path, '--budget', '100KB', '--count', 'memory', ...GOLDEN]);
    expect(status).toBe(1);
    expect(stdout).toMatch(/^budget +100 KB \(97\.7 KiB\) after loading: not met, by 2\d\.\d %$/m);
  });
});

it('--method best tells in how many weights the error is fed back', () => {
  const { status, document } = shrink('a.onnx', '--method', 'best', '--step', '0.7', ...GOLDEN);
  expect([status, document.report.verdict]).toEqual([0, 'match']);
  expect(document.changes.at(-1).message).toMatch(/the error is fed back in [1-9].*20 inputs are few/);
  // Whether it stays is decided by what the whole net gives on inputs kept back, and said.
  const isKept = !document.changes.at(-1).message.includes('feedback: no help, left out');
  expect(methodsOf(document).some((method) => method.includes('error fed back'))).toBe(isKept);
});

it.each([
  ['a target that keeps no codes', 'a.npz', ['--step', '0.7']],
  ['a dtype and a step', 'a.onnx', ['--step', '0.7', '--dtype', 'int8']],
  ['a step that is none', 'a.onnx', ['--step', '0']],
  ['--method best without inputs', 'a.onnx', ['--method', 'best']],
])('refuses %s, and leaves nothing', (_, output, args) => {
  const { status, path } = shrink(output, ...args);
  expect([status, existsSync(path)]).toEqual([2, false]);
});
