/** What inputs have reached of a net, inputs that are found for the rest, and what is told of what stays unseen. */
import { describe, expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { coverageOf } from '../../src/verify/coverage.js';
import { constant, editOnnx, nodeOf } from './faults/onnx-edit.js';
import { mapOf, spread, tensor, verifyWrittenMap, written } from './small-files.js';

const array = (shape: readonly number[], data: readonly number[]) => ({ shape, data: Float32Array.from(data) });

describe('what a value shows', () => {
  it('units that fire and rest, channel by channel', () => {
    const relu = makeLayer({ name: 'relu', op: 'Relu', inputs: ['x'], outputs: ['y'] });
    const coverage = coverageOf({ layers: [relu] }, () => true);
    expect(coverage.see(relu, array([1, 2, 2], [0, 3, 0, 0]))).toBe(3);
    expect(coverage.see(relu, array([1, 2, 2], [0, 5, 0, 0]))).toBe(0);
    expect(coverage.report(0)).toEqual({ reached: 3, of: 4, added: 0, unseen: ['relu: 1 of 2 units never fired'] });
    expect(coverage.see(relu, array([2, 2, 2], [0, 0, 0, 0, 0, 0, 0, 1]))).toBe(1);
    expect(coverage.isComplete).toBe(true);
  });

  it('bounds that are met', () => {
    const clip = makeLayer({ name: 'clip', op: 'Clip', inputs: ['x'], outputs: ['y'], attributes: { min: 0, max: 6 } });
    const coverage = coverageOf({ layers: [clip] }, () => true);
    coverage.see(clip, array([1, 3], [0, 5.9, 2]));
    expect(coverage.report(0).unseen).toEqual(['clip: its upper bound 6 was never met']);
    expect(coverage.see(clip, array([1, 3], [0, 6, 2]))).toBe(1);
  });

  it('borders that a padding could be taken for', () => {
    const relu = makeLayer({ name: 'relu', op: 'Relu', inputs: ['x'], outputs: ['h'] });
    const conv = makeLayer({
      name: 'conv',
      op: 'Conv',
      inputs: ['h'],
      outputs: ['y'],
      attributes: { pads: [0, 1, 0, 1] },
      weights: { kernel: tensor('k', [1, 1, 1, 3]) },
    });
    const coverage = coverageOf({ layers: [relu, conv] }, () => true);
    coverage.see(relu, array([1, 1, 2, 3], [0, 1, 2, 0, 1, 0]));
    expect(coverage.report(0).unseen).toEqual(['relu: the values beside the padding at the start of axis 3 were always zero']);
  });

  it('nothing of layers that the runtime does not show', () => {
    const relu = makeLayer({ name: 'relu', op: 'Relu', inputs: ['x'], outputs: ['y'] });
    expect(coverageOf({ layers: [relu] }, () => false).layers).toEqual([]);
  });
});

const X: LayerMap['inputs'][0] = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3, 4, 4], layout: 'nchw' };
const Y: LayerMap['outputs'][0] = { name: 'y', value: 'y', dtype: 'float32', shape: ['N', 2, 4, 4], layout: 'nchw' };

/** @param bias of the second unit */
function net(scale: number, bias: number): LayerMap {
  const weights = { kernel: tensor('k', [2, 3, 1, 1], spread(6, -scale, scale)), bias: tensor('b', [2], [0, bias]) };
  return mapOf(
    [
      { name: 'conv', op: 'Conv', inputs: ['x'], outputs: ['h'], weights },
      { name: 'six', op: 'Clip', inputs: ['h'], outputs: ['c'], attributes: { min: 0, max: 6 } },
      { name: 'relu', op: 'Relu', inputs: ['c'], outputs: ['y'] },
    ],
    [X],
    [Y],
  );
}

describe('the search', () => {
  it('finds inputs that meet a bound which none of the ten ranges meets, and so the fault behind it', async () => {
    const map = net(1e-3, 0);
    const files = await written(map);
    const right = await verifyWrittenMap(map, files);
    expect(right).toMatchObject({ verdict: 'match', coverage: { unseen: [] } });
    expect(right.coverage!.added).toBeGreaterThan(0);
    const wrong = editOnnx(files['net.onnx']!, (graph) => {
      const six = nodeOf(graph, 'six');
      six.input![2] = constant(graph, 'seven', [7]);
    });
    expect((await verifyWrittenMap(map, { 'net.onnx': wrong })).verdict).toBe('mismatch');
    // Ten inputs that are counted out do not show it; what the file states does.
    const counted = await verifyWrittenMap(map, { 'net.onnx': wrong }, { samples: 10 });
    expect(counted.outputs.every(({ passed }) => passed)).toBe(true);
    expect(counted).toMatchObject({ verdict: 'mismatch', firstDifference: { layer: 'six' } });
  });

  it('tells what no input reaches', async () => {
    const map = net(1, -1e9);
    const report = await verifyWrittenMap(map, await written(map));
    expect(report).toMatchObject({ verdict: 'match', coverage: { unseen: ['relu: 1 of 2 units never fired'] } });
    expect(report.coverage!.reached).toBe(report.coverage!.of - 1);
  });
});
