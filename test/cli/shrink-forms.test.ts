/** `shrink` to the forms of a weight beyond 8 bits: what is written is read back, told, and run by the stock runtime. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { DIGITS, temporaryFolder, weighbridge } from './run-cli.js';

const H5 = join(DIGITS, 'digits.h5');
const GOLDEN = ['--golden', join(DIGITS, 'keras.npz')];

function shrink(output: string, ...args: string[]) {
  const path = join(temporaryFolder(), output);
  const run = weighbridge(['shrink', H5, '-o', path, '--json', ...args]);
  return { ...run, path, document: run.stdout === '' ? null : JSON.parse(run.stdout) };
}

const methodsOf = (document: { weights: { method: string }[] }) => [...new Set(document.weights.map(({ method }) => method))].sort();

describe('codes of 4 bits', () => {
  const { status, document, path } = shrink('int4.onnx', '--dtype', 'int4', ...GOLDEN);

  it('are two to a byte, right, and told for each weight', () => {
    expect([status, document.report.verdict, document.report.quantisation.correctness.passed]).toEqual([0, 'match', true]);
    expect(methodsOf(document)).toEqual(['as is', 'int4 in blocks of 24', 'int4 in blocks of 32', 'int4 per channel', 'int8 in all levels']);
    const fc1 = document.weights.find(({ layer, role }: { layer: string; role: string }) => layer === 'fc1' && role === 'kernel');
    // Half a byte for each value, and four for each block.
    expect(fc1).toMatchObject({ dtype: 'int4', byteLengthAfter: (512 * 48) / 2 + (512 / 32) * 48 * 4 });
    expect(fc1.relativeError).toBeLessThan(0.11);
    expect(document.totals.onDisk.after).toBeLessThan(document.totals.onDisk.before / 6);
    expect(document.warnings.map(({ code }: { code: string }) => code)).toContain('opset-raised');
  });

  it('are what a later verification finds, in WebAssembly too, and inspect and diff show them', () => {
    const verified = weighbridge(['verify', H5, path, '--engine', 'ort-wasm', '--json', ...GOLDEN]);
    const report = JSON.parse(verified.stdout);
    expect([verified.status, report.verdict, report.weights.mismatches]).toEqual([0, 'match', []]);
    const { tensors } = JSON.parse(weighbridge(['inspect', path, '--json']).stdout);
    const packed = tensors.filter(({ dtype }: { dtype: string }) => dtype === 'int4');
    expect(packed).toHaveLength(7);
    expect(packed.every(({ shape, byteLength }: { shape: number[]; byteLength: number }) => byteLength === Math.ceil(shape.reduce((a, b) => a * b) / 2))).toBe(
      true,
    );
    const diff = weighbridge(['diff', H5, path]).stdout;
    expect(diff.match(/^\S+ +kernel .*rounded to int4 \((in blocks of \d+|per channel)\)/gm)).toHaveLength(7);
  });

  it('stay as they are when the file is converted once more with other axes', () => {
    const again = join(temporaryFolder(), 'again.onnx');
    expect(weighbridge(['convert', path, '-o', again, '--layout', 'nchw']).status).toBe(0);
    expect(statSync(again).size).toBeLessThan(statSync(path).size * 1.02);
  });

  it('with zero points and shorter blocks lose less', () => {
    const other = shrink('uint4.onnx', '--dtype', 'uint4', '--block', '16', ...GOLDEN).document;
    expect(other.report.verdict).toBe('match');
    const errorOf = ({ weights }: typeof document) => weights.find(({ layer }: { layer: string }) => layer === 'fc1').relativeError;
    expect(errorOf(other)).toBeLessThan(errorOf(document));
  });

  it('are what a small budget on disk comes to', () => {
    const small = shrink('small.onnx', '--budget', '46KB', ...GOLDEN);
    expect([small.status, small.document.budget.met, small.document.report.verdict]).toEqual([0, true, 'match']);
    expect(methodsOf(small.document).some((method) => /^u?int4|^palette/.test(method))).toBe(true);
    const over = shrink('tiny.onnx', '--budget', '20KB', ...GOLDEN);
    expect([over.status, over.document.budget.met]).toEqual([1, false]);
    expect(over.document.budget.taken).toBeLessThan(document.totals.onDisk.after * 1.02);
  });
});

it.each([
  ['4 bits in an older opset', 'a.onnx', ['--dtype', 'int4', '--opset', '17']],
  ['4 bits for a target without', 'web', ['--to', 'tfjs', '--dtype', 'int4']],
  ['palettes and codes of 4 bits', 'a.onnx', ['--dtype', 'int4', '--palette', '16']],
  ['blocks beside a search', 'a.onnx', ['--block', '16', '--budget', '60KB']],
  ['bytes to count without a budget', 'a.onnx', ['--count', 'wire']],
  ['bytes on the wire of what is not compressed', 'a.onnx', ['--budget', '60KB', '--count', 'wire', '--compress', 'none']],
  ['a rank that is too large', 'a.onnx', ['--rank', '600']],
  ['a rank of nothing', 'a.onnx', ['--rank', '0']],
  ['an energy of nothing', 'a.onnx', ['--svd', '0']],
  ['steps that are too small', 'a.onnx', ['--step', '0.001']],
  ['blocks without 4 bits', 'a.onnx', ['--block', '16']],
  ['blocks that are none', 'a.onnx', ['--dtype', 'int4', '--block', '1']],
  ['4 bits and a step', 'a.onnx', ['--dtype', 'int4', '--step', '0.7']],
  ['4 bits worked out on no inputs', 'a.onnx', ['--dtype', 'int4', '--method', 'best']],
])('refuses %s, and leaves nothing', (_, output, args) => {
  const { status, stderr, path } = shrink(output, ...args);
  expect([status, existsSync(path)]).toEqual([2, false]);
  expect(stderr).toMatch(/^error/m);
});

describe('palettes', () => {
  const { status, document, path } = shrink('palette.onnx', '--palette', '16', ...GOLDEN);

  it('take half a byte for each weight, are right, and lose less than steps of as many levels', () => {
    expect([status, document.report.verdict, document.report.quantisation.correctness.passed]).toEqual([0, 'match', true]);
    expect(methodsOf(document)).toEqual(['as is', 'int8 in all levels', 'palette of 16']);
    const fc1 = document.weights.find(({ layer }: { layer: string }) => layer === 'fc1');
    expect(fc1).toMatchObject({ dtype: 'uint4', byteLengthAfter: (512 * 48) / 2 + 16 * 4 });
    expect(fc1.relativeError).toBeLessThan(0.12);
  });

  it('are what a later verification finds, in WebAssembly too', () => {
    const verified = weighbridge(['verify', H5, path, '--engine', 'ort-wasm', '--json', ...GOLDEN]);
    const report = JSON.parse(verified.stdout);
    expect([verified.status, report.verdict, report.weights.mismatches]).toEqual([0, 'match', []]);
  });
});

it.each([
  ['palettes and a dtype', 'a.onnx', ['--palette', '16', '--dtype', 'int8']],
  ['palettes for TensorFlow.js layers', 'web', ['--palette', '16', '--to', 'tfjs']],
  ['palettes for TensorFlow.js graphs', 'web', ['--palette', '16', '--to', 'tfjs-graph']],
  ['palettes that are none', 'a.onnx', ['--palette', '1']],
])('refuses %s, and leaves nothing', (_, output, args) => {
  const { status, path } = shrink(output, ...args);
  expect([status, existsSync(path)]).toEqual([2, false]);
});

describe('low rank', () => {
  it.each([
    ['a.onnx', [], /^int8 per channel$/],
    ['a.onnx', ['--dtype', 'int4'], /^int4 in blocks of \d+$/],
    ['web', ['--to', 'tfjs'], /^uint8 per tensor$/],
  ])('to %s %s makes two layers of one, which are coded like all', (output, args, method) => {
    const { status, document } = shrink(output, '--rank', '24', ...args, ...GOLDEN);
    expect([status, document.report.verdict, document.report.quantisation.correctness.passed]).toEqual([0, 'match', true]);
    expect(document.changes.at(-1).message).toMatch(/^1 of 1 large dense layers became two each: "fc1" \(48 x 512\) to rank 24, [5-9]\d\.\d % of its energy/);
    const kernels = document.weights.filter(({ layer, role }: { layer: string; role: string }) => layer.startsWith('fc1') && role === 'kernel');
    expect(kernels.map(({ layer, count }: { layer: string; count: number }) => [layer, count])).toEqual([
      ['fc1/rank', 24 * 512],
      ['fc1', 48 * 24],
    ]);
    for (const kernel of kernels) expect(kernel.method).toMatch(method);
    // Before, it was one.
    expect(document.totals.loaded.before).toBe(4 * 53_126);
  });

  it('says where it pays nowhere', () => {
    const { status, document } = shrink('a.onnx', '--svd', '0.9999', ...GOLDEN);
    expect([status, document.changes.at(-1).message]).toEqual([0, 'of 1 large dense layers none is smaller as two with 99.99 % of the energy']);
  });
});

it.each([
  ['energy and rank', 'a.onnx', ['--svd', '0.9', '--rank', '4']],
  ['low rank of weights without wiring', 'a.npz', ['--svd', '0.9']],
  ['low rank in float32', 'a.onnx', ['--svd', '0.9', '--dtype', 'float32']],
  ['an energy that is none', 'a.onnx', ['--svd', '95']],
])('refuses %s, and leaves nothing', (_, output, args) => {
  const { status, path } = shrink(output, ...args);
  expect([status, existsSync(path)]).toEqual([2, false]);
});

it('codes that a target has are named where others are asked for, and convert says who makes them', () => {
  const { status, stderr } = shrink('a.onnx', '--dtype', 'int2');
  expect(status).toBe(2);
  expect(stderr.replace(/\s+/g, ' ')).toMatch(/not written in "int2"\. Did you mean .*"int4".*\? Possible: .*int8; with shrink also int4, uint4\./);
  const converted = weighbridge(['convert', join(DIGITS, 'digits.h5'), '-o', join(temporaryFolder(), 'a.onnx'), '--dtype', 'int4']);
  expect([converted.status, converted.stderr]).toEqual([2, expect.stringMatching(/weighbridge shrink --dtype int4/)]);
});
