/** What exporters of other frameworks write: normalisations folded, names of their own, operators spelled otherwise. */
import { onnx as schema } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { foldBatchNorm } from '../../src/transforms/fold-batchnorm.js';
import { verifyFiles } from '../../src/verify/files.js';
import { roundToHalf } from '../../src/verify/half.js';
import type { LayerSource } from '../../src/verify/layer-source.js';
import { compareLayers } from '../../src/verify/layers.js';
import { writtenOnnx } from './faults/catalogue.js';
import { branchedNet, modelOf } from './faults/nets.js';
import { change, constant, type Edit, editOnnx, nodeOf, rearrange } from './faults/onnx-edit.js';

/** The net as it is exported: folded to the last bit but one, ReLUs as maxima with zero, and nothing called as it was. */
async function exported(fault: Edit): Promise<Uint8Array> {
  const net = branchedNet();
  const { map } = await foldBatchNorm(net);
  const bytes = editOnnx(await writtenOnnx(map), (graph) => {
    change('conv1', 1, (value) => value * (1 + 2 ** -23))(graph);
    fault(graph);
    for (const name of ['relu1', 'relu2', 'relu3']) {
      const node = nodeOf(graph, name);
      Object.assign(node, { opType: 'Max', input: [node.input![0]!, constant(graph, `${name}.zero`, [0])] });
    }
  });
  const model = schema.ModelProto.decode(bytes);
  const graph = model.graph!;
  const names = new Map(graph.initializer!.map(({ name }, i) => [name!, `onnx::weight_${i}`]));
  const called = (name: string) => names.get(name) ?? name;
  for (const weight of graph.initializer!) weight.name = called(weight.name!);
  for (const [i, node] of graph.node!.entries()) Object.assign(node, { name: `node_${i}`, input: node.input!.map(called) });
  model.metadataProps = [];
  return schema.ModelProto.encode(model).finish();
}

async function verified(fault: Edit, layers = false) {
  const files = memoryFileSet({ 'exported.onnx': await exported(fault) }, 'exported.onnx');
  const source = { files: memoryFileSet({ 'net.onnx': await writtenOnnx(branchedNet()) }, 'net.onnx') };
  const { report } = await verifyFiles({ source, model: modelOf(branchedNet()), target: { files, format: 'onnx' } }, () => ({ layers }));
  return report;
}

describe('a file of another exporter', () => {
  it('is compared layer by layer with the source, folded as it is', async () => {
    const { verdict, layers, weights, changes } = await verified(() => {}, true);
    expect(verdict).toBe('match');
    expect(weights).toMatchObject({ judged: false, unpaired: [] });
    expect(changes).toMatchObject([{ transform: 'fold-batchnorm', message: expect.stringContaining('the file has 1 of the 2 batch normalisations') }]);
    expect(layers!.map(({ layer }) => layer)).toEqual(expect.arrayContaining(['conv2', 'conv3a', 'conv3b', 'concat', 'bn2', 'fc']));
    expect(layers!.filter(({ passed }) => !passed)).toEqual([]);
  });

  it.each<[what: string, layer: string, kind: string, fault: Edit]>([
    ['a folded kernel mirrored', 'conv1', 'kernel-flipped', rearrange('conv1', 1, (at, dims) => at.with(-1, dims.at(-1)! - 1 - at.at(-1)!))],
    ['a folded kernel rounded to float16', 'conv1', 'narrower', change('conv1', 1, roundToHalf)],
    ['a kernel between two that are spelled otherwise', 'conv2', 'kernel-transposed', rearrange('conv2', 1, ([o, i, h, w]) => [o!, i!, w!, h!])],
  ])('has its faults placed and named: %s', async (_, layer, kind, fault) => {
    const { verdict, cause } = await verified(fault);
    expect(verdict).toBe('mismatch');
    expect(cause!.explainedBy[0]).toMatchObject({ kind, layer });
  });
});

it.each([
  ['the same values in another shape', [1, 2, 3, 4], true],
  ['values in another order', [1, 3, 2, 4], false],
])('what another exporter arranges may have %s: %s', async (_, data, passed) => {
  const layer = makeLayer({ name: 'r', op: 'Reshape', inputs: ['x'], outputs: ['y'], attributes: { shape: [1, 4] } });
  const shows = (name: string, shape: readonly number[], values: readonly number[]): LayerSource => ({
    name,
    layers: new Set([layer]),
    visit: async (_feeds, _sample, _layers, see) => see(layer, { shape, data: Float32Array.from(values) }),
  });
  const map = { ...branchedNet(), layers: [layer] };
  const [expected, actual] = [shows('reference', [1, 4], [1, 2, 3, 4]), shows('ort-cpu', [1, 2, 2], data)];
  const toleranceFor = () => ({ atol: 0, rtol: 1e-5, why: '' });
  const compared = await compareLayers({ map, expected: [expected], actual, feeds: [[]], toleranceFor, missing: new Set(), mayReshape: true });
  expect(compared.layers).toMatchObject([{ layer: 'r', passed }]);
});
