/** Inputs that are no float32: fed in every engine as the file takes them, and computed with as numbers. */
import { expect, it } from 'vitest';
import type { DType } from '../../src/model/dtype.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { reshape, type Tensor } from '../../src/model/tensor.js';
import { int64s, mapOf, node, port, tensor, verifyFiles, verifyWrittenMap, written } from './small-files.js';

/** A picture of integers, scaled and shifted as a Rescaling layer does. */
function rescaling(dtype: DType): LayerMap {
  const norm = { scale: [0.1, 0.2, 0.3], bias: [-1, 0, 1], mean: [0, 0, 0], variance: [1, 1, 1] };
  const weights = Object.fromEntries(Object.entries(norm).map(([role, values]) => [role, tensor(role, [3], values)]));
  return mapOf(
    [{ name: 'rescaling', op: 'BatchNormalization', inputs: ['x'], outputs: ['y'], attributes: { epsilon: 0 }, weights }],
    [{ name: 'x', value: 'x', dtype, shape: ['N', 3, 4, 5], layout: 'nchw' }],
    [{ name: 'y', value: 'y', dtype: 'float32', shape: ['N', 3, 4, 5], layout: 'nchw' }],
  );
}

const DTYPES: readonly DType[] = ['uint8', 'int8', 'int32', 'int64', 'float16', 'float64'];

it.each(['onnx', 'tfjs', 'tfjs-graph'].flatMap((to) => DTYPES.map((dtype) => [dtype, to] as const)))('%s inputs of a written %s file', async (dtype, to) => {
  const map = rescaling(dtype);
  const report = await verifyWrittenMap(map, await written(map, to), {}, to);
  expect(report).toMatchObject({ verdict: 'match', outputs: [{ passed: true }] });
  expect(report.outputs[0]!.compared).toBeGreaterThan(0);
});

it('boolean inputs of ONNX files', async () => {
  const graph = { nodes: [node('Not', ['x'], ['y'])], inputs: [port('x', ['N', 5], 'bool')], outputs: [port('y', ['N', 5], 'bool')] };
  expect(await verifyFiles(graph, graph)).toMatchObject({ verdict: 'match' });
  const other = { ...graph, nodes: [node('Identity', ['x'], ['y'])] };
  expect(await verifyFiles(graph, other)).toMatchObject({ verdict: 'mismatch' });
});

it('whole numbers inside of a net are divided as such where each layer is looked at alone', async () => {
  const map = mapOf(
    [
      { name: 'three', op: 'Constant', inputs: [], outputs: ['three'], weights: { value: int64s('three', [3]) } },
      { name: 'third', op: 'Div', inputs: ['x', 'three'], outputs: ['third'] },
      { name: 'whole', op: 'Div', inputs: ['third', 'three'], outputs: ['whole'] },
      { name: 'y', op: 'Mul', inputs: ['whole', 'x'], outputs: ['y'] },
    ],
    [{ name: 'x', value: 'x', dtype: 'int64', valueDType: 'int64', shape: ['N', 6], layout: 'other' }],
    [{ name: 'y', value: 'y', dtype: 'int64', valueDType: 'int64', shape: ['N', 6], layout: 'other' }],
  );
  const values = [-9, -8, 7, 100, 1023, 4];
  const golden = new Map(
    [
      ['input', int64s('input', values)],
      [
        'output',
        int64s(
          'output',
          values.map((x) => Math.trunc(Math.trunc(x / 3) / 3) * x),
        ),
      ],
    ].map(([name, one]) => [name as string, reshape(one as Tensor, [1, 6])]),
  );
  const report = await verifyWrittenMap(map, await written(map, 'onnx'), { golden, rtol: 1e-3 }, 'onnx');
  expect(report.trials.find(({ kind }) => kind === 'alone')).toMatchObject({ passed: true });
  expect(report.verdict).toBe('match');
});

it('of whole numbers that float64 does not count exactly, a layer alone tells nothing', async () => {
  const ports = (name: string) => [{ name, value: name, dtype: 'int64', valueDType: 'int64', shape: ['N', 4], layout: 'other' }] as const;
  // As PyTorch's exporter writes a shift: below zero it is a number near 2^64 on the way.
  const map = mapOf(
    [
      { name: 'bits', op: 'Cast', inputs: ['x'], outputs: ['bits'], attributes: { to: 'uint64' } },
      { name: 'y', op: 'Cast', inputs: ['bits'], outputs: ['y'], attributes: { to: 'int64' } },
    ],
    ports('x'),
    ports('y'),
  );
  const values = (name: string) => reshape(int64s(name, [-9, 2, -1, 5]), [1, 4]);
  const golden = new Map(['input', 'output'].map((name) => [name, values(name)]));
  expect(await verifyWrittenMap(map, await written(map, 'onnx'), { golden, rtol: 1e-3 }, 'onnx')).toMatchObject({ verdict: 'match' });
});

it('a recording of whole numbers that differs is told as that, whatever pictures are divided by', async () => {
  const ports = (name: string) => [{ name, value: name, dtype: 'int64', valueDType: 'int64', shape: ['N', 4], layout: 'other' }] as const;
  const map = mapOf([{ name: 'y', op: 'Neg', inputs: ['x'], outputs: ['y'] }], ports('x'), ports('y'));
  const golden = new Map([
    ['input', reshape(int64s('input', [-9, 2, 3, 5]), [1, 4])],
    ['output', reshape(int64s('output', [9, -2, -3, 4]), [1, 4])],
  ]);
  expect(await verifyWrittenMap(map, await written(map, 'onnx'), { golden }, 'onnx')).toMatchObject({ verdict: 'mismatch', cause: null });
});

it('an output whose size no input decides may be told by the file alone', async () => {
  const weights = [tensor('weight', [4, 3])];
  const graph = { nodes: [node('MatMul', ['x', 'weight'], ['y'])], inputs: [port('x', [2, 4])], weights };
  expect(await verifyFiles({ ...graph, outputs: [port('y', [2, 'k'])] }, { ...graph, outputs: [port('y', [2, 3])] })).toMatchObject({ verdict: 'match' });
});
