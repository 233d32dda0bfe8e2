/** In what a recording of a net was computed, as the values say that flow through it. */
import { expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { openModel } from '../../src/readers/open.js';
import { arithmeticOf } from '../../src/verify/arithmetic.js';
import { intAttribute } from '../../src/writers/onnx/graph.js';
import { type Graph, node, ORIGIN, onnxFile } from '../onnx-graphs.js';

const cast = (from: string, to: string, code: number) => node('Cast', [from], [to], { to: intAttribute(code) });
const w = float32Tensor('w', [3, 2], [1, 2, 3, 4, 5, 6], ORIGIN);

it.each<[string, Graph['nodes'], string | undefined]>([
  ['bfloat16', [cast('x', 'h', 16), cast('w', 'k', 16), node('MatMul', ['h', 'k'], ['m']), cast('m', 'y', 1)], 'bfloat16'],
  ['float16', [cast('x', 'h', 10), cast('w', 'k', 10), node('MatMul', ['h', 'k'], ['m']), cast('m', 'y', 1)], 'float16'],
  ['float32 on values that are stored or handed on narrower', [cast('x', 'h', 10), cast('h', 'g', 1), node('MatMul', ['g', 'w'], ['y'])], undefined],
])('a net that computes in %s is known by it', async (_, nodes, arithmetic) => {
  const file = await onnxFile({ nodes, tensors: [w], inputs: [['x', [2, 3]]], outputs: [], unshaped: ['y'] });
  const map = await (await openModel(memoryFileSet({ 'm.onnx': file }, 'm.onnx'))).map();
  expect(arithmeticOf(map)).toBe(arithmetic);
});
