/** `weighbridge shrink`: its table adds up to the files on disk, and its limits decide the exit code. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { WeightReport } from '../../src/verify/report.js';
import { DIGITS, temporaryFolder, weighbridge } from './run-cli.js';

const H5 = join(DIGITS, 'digits.h5');
const GOLDEN = ['--golden', join(DIGITS, 'keras.npz')];

function shrink(output: string, ...args: string[]) {
  const path = join(temporaryFolder(), output);
  const run = weighbridge(['shrink', H5, '-o', path, '--json', ...args]);
  return { ...run, path, document: run.stdout === '' ? null : JSON.parse(run.stdout) };
}

describe.each([
  { output: 'a.onnx', args: GOLDEN, methods: ['int8 per channel', 'as is'], wide: true },
  { output: 'a.onnx', args: ['--dtype', 'float16', ...GOLDEN], methods: ['rounded'], wide: true },
  { output: 'a.onnx', args: ['--dtype', 'bfloat16', ...GOLDEN], methods: ['rounded'], wide: true },
  { output: 'model.json', args: ['--to', 'tfjs', ...GOLDEN], methods: ['uint8 per tensor', 'as is'], wide: true },
  { output: 'model.json', args: ['--to', 'tfjs-graph', '--dtype', 'uint16', ...GOLDEN], methods: ['uint16 per tensor', 'as is'], wide: true },
  { output: 'a.safetensors', args: ['--dtype', 'bfloat16'], methods: ['rounded'], wide: false },
  { output: 'a.npz', args: [], methods: ['rounded'], wide: false },
])('to $output $args', ({ output, args, methods, wide }) => {
  it('says what each weight became, and what all of them take on disk and after loading', () => {
    const { status, document, path } = shrink(output, ...args);
    expect(status).toBe(0);
    const weights = document.weights as WeightReport[];
    expect(weights).toHaveLength(18);
    expect([...new Set(weights.map(({ method }) => method))]).toEqual(methods);
    const folder = join(path, '..');
    const onDisk = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    expect(document.totals.onDisk).toEqual({ before: statSync(H5).size, after: onDisk });
    const stored = weights.reduce((sum, { byteLengthAfter }) => sum + byteLengthAfter, 0);
    expect(stored).toBeLessThan(onDisk);
    expect(document.totals.loaded).toEqual({ before: 53_126 * 4, after: wide ? 53_126 * 4 : stored });
    for (const { method, relativeError } of weights) {
      if (method === 'as is') expect(relativeError).toBe(0);
      else expect(relativeError).toBeGreaterThan(0);
      expect(relativeError).toBeLessThan(0.02);
    }
  });
});

it('prints a table with a line for each weight, and says that what runs is not smaller', () => {
  const { status, stdout } = weighbridge(['shrink', H5, '-o', join(temporaryFolder(), 'a.onnx'), ...GOLDEN]);
  expect(status).toBe(0);
  expect(stdout.match(/^\S+ +kernel +int8 per channel /gm)).toHaveLength(9);
  expect(stdout.match(/^\S+ +bias +as is /gm)).toHaveLength(9);
  expect(stdout).toMatch(/^on disk +264\.7 KiB -> \d+\.\d KiB, 4\.\d+ times smaller$/m);
  expect(stdout).toMatch(/^after loading +207\.5 KiB -> 207\.5 KiB .*float32 again/m);
});

it('fails with 1 where the budget is not met, and the output stays', () => {
  const over = shrink('a.onnx', '--budget', '40KiB', ...GOLDEN);
  expect([over.status, over.document.budget]).toMatchObject([1, { byteLength: 40960, count: 'disk', met: false }]);
  expect(existsSync(over.path)).toBe(true);
  expect(shrink('a.onnx', '--budget', '0.1MB', ...GOLDEN).status).toBe(0);
});

it('judges how often the top class is the same', () => {
  const { status, document } = shrink('a.onnx', '--min-agreement', '1', ...GOLDEN);
  expect([status, document.agreement]).toEqual([0, { output: 'predictions', same: 20, of: 20, share: 1, minimum: 1, met: true }]);
});

it.each([
  ['a share that is none', 'a.onnx', ['--min-agreement', '99']],
  ['a size that is none', 'a.onnx', ['--budget', 'small']],
  ['an agreement of weights without wiring', 'a.npz', ['--min-agreement', '0.9']],
  ['a dtype that the target has not', 'a.npz', ['--dtype', 'int8']],
])('refuses %s, and leaves nothing', (_, output, args) => {
  const { status, stderr, path } = shrink(output, ...args);
  expect(status).toBe(2);
  expect(stderr).toMatch(/^error/m);
  expect(existsSync(path)).toBe(false);
});
