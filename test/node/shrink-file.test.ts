// @module-tag slow
/** `shrink` without a dtype makes a model of any target smaller, or says that it cannot. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
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

it.each(['int8', 'float16'] as const)('%s: a copy of a file with recurrent nodes says that their kernels stay, and counts them', async (dtype) => {
  const wave = (name: string, ...shape: number[]) =>
    float32Tensor(
      name,
      shape,
      Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i * i * 0.7 + i) / 4),
      ORIGIN,
    );
  const folder = temporaryFolder();
  const bytes = await onnxFile({
    nodes: [node('MatMul', ['x', 'm'], ['p']), node('GRU', ['p', 'w', 'r'], ['y'], { hidden_size: intAttribute(24), linear_before_reset: intAttribute(1) })],
    tensors: [wave('m', 16, 16), wave('w', 1, 72, 16), wave('r', 1, 72, 24)],
    inputs: [['x', [3, 1, 16]]],
  });
  writeFileSync(join(folder, 'a.onnx'), bytes);
  const { report, totals, warnings } = await shrinkFile(join(folder, 'a.onnx'), join(folder, 'b.onnx'), { dtype, samples: 2 });
  const kernels = 72 * (16 + 24);
  expect(report!.verdict).toBe('match');
  expect(warnings.find(({ code }) => code === 'wide')!.message).toMatch(new RegExp(`^${4 * kernels} bytes of GRU nodes stay`));
  expect(totals.loaded!.before).toBe(4 * (16 * 16 + kernels));
});
