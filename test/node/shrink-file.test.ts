// @module-tag slow
/** `shrink` without a dtype makes a model of any target smaller, or says that it cannot. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { numbersTensor } from '../../src/model/numbers.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { shrinkFile } from '../../src/node/index.js';
import { intAttribute, type OnnxAttribute } from '../../src/writers/onnx/graph.js';
import { node, ORIGIN, onnxFile } from '../onnx-graphs.js';
import { temporaryFolder } from './temporary-folder.js';

const H5 = fileURLToPath(new URL('../../demo/digits/digits.h5', import.meta.url));
const PARAMETERS = 53_126;

it.each(['a.keras', 'a.pth'])('to %s it writes float16, which its framework widens', async (output) => {
  const { target, report, totals } = await shrinkFile(H5, join(temporaryFolder(), output), { samples: 1 });
  expect([target.dtype, report!.verdict]).toEqual(['float16', 'match']);
  expect(totals.loaded).toEqual({ before: 4 * PARAMETERS, after: 4 * PARAMETERS });
  expect(report!.weights!.tensors.every(({ byteLengthAfter, count }) => byteLengthAfter === 2 * count)).toBe(true);
});

it.each(['float16', 'int8'] as const)('%s weights of products that scale what they make are lined up, in a file that keeps its nodes', async (dtype) => {
  const wave = (name: string, ...shape: number[]) =>
    float32Tensor(
      name,
      shape,
      Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * i * 0.7 + i)),
      ORIGIN,
    );
  const folder = temporaryFolder();
  const scaled: Record<string, OnnxAttribute> = { alpha: { type: 'float', value: 0.5 } };
  const bytes = await onnxFile({
    nodes: [node('Gemm', ['x', 'w'], ['a'], scaled), node('Gemm', ['a', 'v', 'b'], ['y'], { ...scaled, transB: intAttribute(1) })],
    tensors: [wave('w', 32, 48), wave('v', 16, 48), wave('b', 16)],
    inputs: [['x', ['N', 32]]],
  });
  writeFileSync(join(folder, 'a.onnx'), bytes);
  const { report } = await shrinkFile(join(folder, 'a.onnx'), join(folder, 'b.onnx'), { dtype, samples: 2 });
  expect([report!.verdict, report!.weights!.unpaired, report!.weights!.mismatches]).toEqual(['match', [], []]);
  expect(report!.weights!.tensors.filter(({ method }) => method !== 'as is').map(({ count }) => count)).toEqual(
    dtype === 'int8' ? [32 * 48, 16 * 48] : [32 * 48, 16 * 48, 16],
  );
});

it('a rank and the names of the source are two wishes', async () => {
  await expect(shrinkFile(H5, join(temporaryFolder(), 'a.pth'), { rank: 24, names: 'source' })).rejects.toMatchObject({
    kind: 'usage',
    message: expect.stringMatching(/leave one out/),
  });
});

it('to Caffe, which has nothing narrower, it is refused', async () => {
  await expect(shrinkFile(H5, join(temporaryFolder(), 'a.caffemodel'))).rejects.toMatchObject({
    kind: 'usage',
    message: expect.stringMatching(/float32 or float64, and in nothing narrower/),
  });
});

it.each([
  ['int8', 'GRU', 1, 1],
  ['int8', 'GRU', 0, 2],
  ['float16', 'GRU', 0, 1],
  ['int8', 'LSTM', 0, 2],
  ['bfloat16', 'LSTM', 0, 1],
  ['int8', 'RNN', 0, 2],
] as const)(
  '%s: kernels of a %s (reset last: %i, %i directions) are narrowed in a copy of the file, and compared with the parts that steps have of them',
  async (dtype, op, resetLast, directions) => {
    const wave = (name: string, ...shape: number[]) =>
      float32Tensor(
        name,
        shape,
        Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * i * 0.7 + i) / 4),
        ORIGIN,
      );
    const folder = temporaryFolder();
    const rows = { GRU: 72, LSTM: 96, RNN: 24 }[op];
    const settings = {
      hidden_size: intAttribute(24),
      ...(op === 'GRU' ? { linear_before_reset: intAttribute(resetLast) } : {}),
      ...(directions === 2 ? { direction: { type: 'string', value: 'bidirectional' } as const } : {}),
    };
    const bytes = await onnxFile({
      nodes: [node('MatMul', ['x', 'm'], ['p']), node(op, ['p', 'w', 'r'], ['y'], settings)],
      tensors: [wave('m', 16, 16), wave('w', directions, rows, 16), wave('r', directions, rows, 24)],
      inputs: [['x', [3, 1, 16]]],
    });
    writeFileSync(join(folder, 'a.onnx'), bytes);
    const { report, totals, weights } = await shrinkFile(join(folder, 'a.onnx'), join(folder, 'b.onnx'), { dtype, samples: 2 });
    const kernels = directions * rows * (16 + 24);
    const count = 16 * 16 + kernels;
    expect(report!.verdict).toBe('match');
    expect(report!.quantisation!.correctness!.passed).toBe(true);
    expect(totals.loaded!.before).toBe(4 * count);
    expect(weights.reduce((sum, weight) => sum + weight.count, 0)).toBe(count);
    expect(weights.every((weight) => weight.dtype === dtype && weight.relativeError! < 0.01)).toBe(true);
    // Codes take a quarter and their scales, halves a half.
    expect(totals.onDisk.after / totals.onDisk.before).toBeLessThan(dtype === 'int8' ? 0.5 : 0.7);
  },
);

it.each(['float16', 'float64'] as const)(
  'a net that takes, computes and gives %s computes in 8 bits, and is held to what rounding on its way out leaves of its outputs',
  async (dtype) => {
    const wave = (name: string, shape: readonly number[], pace: number) =>
      numbersTensor(
        name,
        dtype,
        shape,
        Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * pace)),
        ORIGIN,
      );
    const bytes = await onnxFile({
      nodes: [node('MatMul', ['x', 'm'], ['p']), node('Relu', ['p'], ['r']), node('MatMul', ['r', 'n'], ['y'])],
      tensors: [wave('m', [32, 48], 0.71), wave('n', [48, 10], 0.37)],
      inputs: [['x', ['N', 32], dtype]],
      outputs: [],
      unshaped: [['y', dtype]],
    });
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'a.onnx'), bytes);
    const rows = Array.from({ length: 40 * 32 }, (_, i) => Math.sin(i * 1.3) / 2);
    const inputs = new Map([['x', float32Tensor('x', [40, 32], rows, ORIGIN)]]);
    const { report } = await shrinkFile(join(folder, 'a.onnx'), join(folder, 'b.onnx'), { activations: 'uint8', inputs });
    expect(report!.quantisation!.correctness).toMatchObject({ passed: true });
    expect(report!.quantisation!.correctness!.tolerance.rtol).toBeCloseTo(dtype === 'float16' ? 2 ** -11 + 2e-5 : 2e-5, 6);
  },
);

it.each([
  ['float16', 1, 'match'],
  ['float16', 1.3, 'mismatch'],
  ['int8', 1, 'match'],
  ['int8', 1.3, 'mismatch'],
  ['int4', 1.3, 'mismatch'],
] as const)(
  '%s: outputs that were recorded as %d times what the net makes, on few inputs, are a %s, whatever narrower weights may cost',
  async (dtype, times, verdict) => {
    const wave = (name: string, shape: readonly number[], pace: number) =>
      float32Tensor(
        name,
        shape,
        Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * pace)),
        ORIGIN,
      );
    const [x, kernel] = [wave('input', [4, 32], 1.3), wave('m', [32, 10], 0.71)];
    const folder = temporaryFolder();
    writeFileSync(join(folder, 'a.onnx'), await onnxFile({ nodes: [node('MatMul', ['x', 'm'], ['y'])], tensors: [kernel], inputs: [['x', ['N', 32]]] }));
    const made = Array.from({ length: 40 }, (_, i) =>
      Array.from({ length: 32 }, (_, k) => Math.fround(Math.sin(((i - (i % 10)) * 3.2 + k) * 1.3)) * Math.fround(Math.sin((k * 10 + (i % 10)) * 0.71))),
    ).map((products) => times * products.reduce((a, b) => a + b));
    const golden = new Map([
      ['input', x],
      ['output', float32Tensor('output', [4, 10], made, ORIGIN)],
    ]);
    const { report } = await shrinkFile(join(folder, 'a.onnx'), join(folder, 'b.onnx'), { dtype, golden });
    expect(report!.quantisation!.correctness!.passed).toBe(true);
    expect(report!.verdict).toBe(verdict);
    if (verdict === 'mismatch')
      expect(report!.firstDifference!.message).toMatch(/^the net is not read as the source computes it: .* 0\.23 of its scale from what was recorded/);
  },
);
