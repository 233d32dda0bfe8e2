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
    // Beside the net's own there is what gives a layer's channels their ranges back, where all have one scale.
    const ranges = weights.filter(({ layer }) => layer?.endsWith('/range'));
    expect(weights).toHaveLength(18 + ranges.length);
    expect([...new Set(weights.map(({ method }) => method))]).toEqual(methods);
    const folder = join(path, '..');
    const onDisk = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
    expect(document.totals.onDisk).toEqual({ before: statSync(H5).size, after: onDisk });
    const stored = weights.reduce((sum, { byteLengthAfter }) => sum + byteLengthAfter, 0);
    expect(stored).toBeLessThan(onDisk);
    const loaded = 4 * ranges.reduce((sum, { count }) => sum + count, 53_126);
    expect(document.totals.loaded).toEqual({ before: loaded, after: wide ? loaded : stored });
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
  const over = shrink('a.onnx', '--budget', '20KiB', ...GOLDEN);
  expect([over.status, over.document.budget]).toMatchObject([1, { byteLength: 20480, count: 'disk', met: false }]);
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
  ['an agreement to be searched for without inputs', 'a.onnx', ['--min-agreement', '0.9']],
  ['an agreement of weights without wiring', 'a.npz', ['--min-agreement', '0.9']],
  ['a dtype that the target has not', 'a.npz', ['--dtype', 'int8']],
])('refuses %s, and leaves nothing', (_, output, args) => {
  const { status, stderr, path } = shrink(output, ...args);
  expect(status).toBe(2);
  expect(stderr).toMatch(/^error/m);
  expect(existsSync(path)).toBe(false);
});

it('has a net compute in 8 bits, and shows that it does so code by code', () => {
  const { status, document } = shrink('a.onnx', '--activations', 'uint8', ...GOLDEN);
  expect(status).toBe(0);
  const { correctness, agreement } = document.report.quantisation;
  expect([correctness.passed, agreement.same]).toMatchObject([true, { count: 20, of: 20 }]);
  expect(correctness.expected).toMatch(/from the codes that ort-cpu shows: \d+ codes, all the same/);
  expect(document.changes.at(-1).message).toMatch(/^9 convolutions and dense layers .*20 inputs are few/);
  const weights = document.weights as WeightReport[];
  expect(new Set(weights.map(({ dtype }) => dtype))).toEqual(new Set(['float32', 'uint8', 'int8', 'int32']));
  // Kernels stay as they are when the file is loaded.
  expect(document.totals.loaded.after).toBeLessThan(document.totals.loaded.before / 3);
  expect(document.totals.onDisk.after).toBeLessThan(document.totals.onDisk.before / 3);
});

it.each([
  ['without inputs', 'a.onnx', ['--activations', 'uint8'], /needs to know what flows/],
  ['beside codes worked out for float32', 'a.onnx', ['--activations', 'uint8', '--method', 'best', ...GOLDEN], /--method best works out.*leave one out/s],
  ['in blocks that it has not', 'a.onnx', ['--activations', 'uint8', '--block', '32', ...GOLDEN], /--block is about codes of 4 bits/],
  ['for a runtime that computes in float32', 'model.json', ['--to', 'tfjs', '--activations', 'uint8', ...GOLDEN], /is for ONNX files/],
  ['beside steps', 'a.onnx', ['--activations', 'int8', '--step', '0.5', ...GOLDEN], /--step says otherwise/],
  ['beside another dtype', 'a.onnx', ['--activations', 'int8', '--dtype', 'float16', ...GOLDEN], /--dtype float16 says otherwise/],
])('refuses to compute in 8 bits %s', (_, output, args, message) => {
  const { status, stderr, path } = shrink(output, ...args);
  expect(status).toBe(2);
  expect(stderr).toMatch(message);
  expect(existsSync(path)).toBe(false);
});

it('works codes out within a budget as well, and tells that few inputs are few', () => {
  const best = shrink('a.onnx', '--budget', '60KB', '--method', 'best', ...GOLDEN);
  expect(best.document.changes.at(-1).message).toMatch(/searched for, .*the error is fed back in \d+.*20 inputs are few/);
  expect(best.document.changes.at(-1).message).not.toMatch(/float16:/);
  const plain = shrink('a.onnx', '--budget', '60KB', ...GOLDEN);
  expect(plain.document.changes.at(-1).message).toMatch(/searched for, .*20 inputs are few/);
  expect(plain.document.changes.at(-1).message).not.toMatch(/fed back/);
});
