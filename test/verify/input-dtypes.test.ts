/** Inputs that are no float32: fed in every engine as the file takes them, and computed with as numbers. */
import { expect, it } from 'vitest';
import type { DType } from '../../src/model/dtype.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { mapOf, node, port, tensor, verifyFiles, verifyWrittenMap, written } from './small-files.js';

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
