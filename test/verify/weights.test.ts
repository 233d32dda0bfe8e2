/** Weights are paired by the part of the file that computes with them, and judged where names are no coincidence. */
import { describe, expect, it } from 'vitest';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { openModel } from '../../src/readers/open.js';
import { editOnnx, nodeOf } from './faults/onnx-edit.js';
import {
  attributes,
  type Graph,
  mapOf,
  node,
  onnxBytes,
  port,
  spread,
  tensor,
  verifyFiles,
  verifyWrittenMap,
  weightsOfWritten,
  written,
} from './small-files.js';

const X: LayerMap['inputs'][0] = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 4], layout: 'other' };
const output = (value: string, size: number): LayerMap['outputs'][0] => ({ name: 'y', value, dtype: 'float32', shape: ['N', size], layout: 'other' });

describe('a conversion', () => {
  const [kernel, bias] = [tensor('k', [3, 4]), tensor('b', [3])];
  const dense = { name: 'dense', op: 'Gemm', inputs: ['x'], outputs: ['dense'] };

  it('pairs weights by their roles, whatever order a map has them in', async () => {
    const map = mapOf([{ ...dense, weights: { bias, kernel } }], [X], [output('dense', 3)]);
    expect(await verifyWrittenMap(map, await written(map))).toMatchObject({ verdict: 'match', weights: { compared: 2, equal: 2, judged: true } });
  });

  it('lists a weight that several layers share once, as the file stores it, and compares it for each', async () => {
    const square = tensor('s', [4, 4]);
    const layers = ['x', 'first', 'second'].map((input, place) => {
      const name = ['first', 'second', 'third'][place]!;
      return { name, op: 'Gemm', inputs: [input], outputs: [name], weights: { kernel: square } };
    });
    const map = mapOf(layers, [X], [output('third', 4)]);
    const report = await verifyWrittenMap(map, await written(map));
    expect(report).toMatchObject({ verdict: 'match', weights: { compared: 3, equal: 3, tensors: [{ layer: 'first', byteLengthAfter: 64 }] } });
    expect(report.weights!.tensors).toHaveLength(1);
  });

  it('does not take the weights of an unused node for those that are computed with', async () => {
    const map = mapOf([{ ...dense, weights: { kernel, bias } }], [X], [output('dense', 3)]);
    const files = await written(map);
    const attacked = editOnnx(files['net.onnx']!, (graph) => {
      const right = nodeOf(graph, 'dense');
      const copy = graph.initializer!.find(({ name }) => name === right.input![2])!;
      graph.initializer!.push({ ...copy, name: 'wrong', rawData: new Uint8Array(Float32Array.from([1, 2, 3]).buffer) } as typeof copy);
      graph.node!.push({ ...right, name: 'other', input: [right.input![0]!, right.input![1]!, 'wrong'], output: [...right.output!] } as typeof right);
      right.output = ['unused'];
    });
    const report = await verifyWrittenMap(map, { 'net.onnx': attacked });
    expect(report.verdict).toBe('mismatch');
    // The nodes that compute are found by where they stand.
    expect(report.weights).toMatchObject({ judged: false, mismatches: [{ layer: 'dense', role: 'bias' }] });
  });

  it('tells of a weight that the file works out from others, and judges the rest', async () => {
    const map = mapOf([{ ...dense, weights: { kernel, bias } }], [X], [output('dense', 3)]);
    const file = async (biasOf: (value: number) => number) =>
      editOnnx((await written(map))['net.onnx']!, (graph) => {
        const [, kernelName, biasName] = nodeOf(graph, 'dense').input as [string, string, string];
        const stored = (name: string) => graph.initializer!.find((one) => one.name === name)!;
        const change = (name: string, by: (value: number) => number) => {
          const bytes = Uint8Array.from(stored(name).rawData!);
          stored(name).rawData = new Uint8Array(new Float32Array(bytes.buffer).map(by).buffer);
        };
        change(kernelName, (value) => value / 2);
        change(biasName, biasOf);
        stored(kernelName).name = 'half';
        graph.node!.unshift({ ...nodeOf(graph, 'dense'), name: 'twice', opType: 'Add', input: ['half', 'half'], output: [kernelName], attribute: [] } as never);
      });
    const right = await verifyWrittenMap(map, { 'net.onnx': await file((value) => value) });
    expect(right).toMatchObject({ verdict: 'match', weights: { compared: 1, equal: 1, judged: true, unpaired: ['dense'] } });
    const wrong = await verifyWrittenMap(map, { 'net.onnx': await file((value) => value + 1) });
    expect(wrong).toMatchObject({ verdict: 'mismatch', weights: { judged: true, mismatches: [{ layer: 'dense', role: 'bias' }] } });
  });

  it('judges the rest of a copy that keeps a recurrent node', async () => {
    const [inputs, units] = [3, 4];
    const file = (kernel: readonly number[], metadata: Readonly<Record<string, string>>) =>
      onnxBytes({
        nodes: [node('GRU', ['x', 'W', 'R'], ['r'], { hidden_size: attributes.int(units) }), node('MatMul', ['r', 'K'], ['m']), node('Add', ['B', 'm'], ['y'])],
        inputs: [port('x', [2, 1, inputs])],
        outputs: [port('y', [2, 1, 1, 2])],
        weights: [tensor('W', [1, 3 * units, inputs]), tensor('R', [1, 3 * units, units]), tensor('K', [units, 2], kernel), tensor('B', [2])],
        metadata,
      });
    const own = spread(units * 2);
    const source = await (await openModel(memoryFileSet({ 'net.onnx': await file(own, {}) }, 'net.onnx'))).map();
    const copy = async (kernel: readonly number[]) => ({ 'net.onnx': await file(kernel, { 'weighbridge.version': 'test' }) });
    expect(await weightsOfWritten(source, await copy(own), 'onnx')).toMatchObject({ judged: true, mismatches: [] });
    const wrong = await weightsOfWritten(source, await copy(own.with(3, own[3]! + 1e-6)), 'onnx');
    expect(wrong).toMatchObject({ judged: true, mismatches: [{ layer: 'm', role: 'kernel' }] });
  });

  it('finds a constant that has the name of a weight', async () => {
    const map = mapOf(
      [
        { name: 'first', op: 'Add', inputs: ['x'], outputs: ['a'], weights: { operand: tensor('constant', [1], [2]) } },
        { name: 'constant', op: 'Constant', inputs: [], outputs: ['constant'], weights: { value: tensor('constant', [1], [3]) } },
        { name: 'second', op: 'Mul', inputs: ['constant', 'a'], outputs: ['b'] },
      ],
      [X],
      [output('b', 4)],
    );
    expect(await verifyWrittenMap(map, await written(map))).toMatchObject({ verdict: 'match', weights: { equal: 2, mismatches: [] } });
  });

  it.each(['onnx', 'tfjs-graph'])('keeps the constants of an activation of several steps apart (%s)', async (to) => {
    const scalar = (name: string, value: number) => ({ operand: tensor(name, [1], [value]) });
    const map = mapOf(
      [
        { name: 'act/Div', op: 'Div', inputs: ['x'], outputs: ['a'], weights: scalar('a', Math.SQRT2) },
        { name: 'act/Erf', op: 'Erf', inputs: ['a'], outputs: ['b'] },
        { name: 'act/Add', op: 'Add', inputs: ['b'], outputs: ['c'], weights: scalar('c', 1) },
        { name: 'act/Mul_2', op: 'Mul', inputs: ['x', 'c'], outputs: ['d'] },
        { name: 'act/Mul', op: 'Mul', inputs: ['d'], outputs: ['e'], weights: scalar('e', 0.5) },
        { name: 'act', op: 'Mul', inputs: ['e'], outputs: ['f'], weights: scalar('f', 3) },
      ],
      [X],
      [output('f', 4)],
    );
    const report = await verifyWrittenMap(map, await written(map, to), {}, to);
    expect(report).toMatchObject({ verdict: 'match', weights: { compared: 4, equal: 4, mismatches: [] } });
  });

  it('says of a file whose normalisation was folded that its weights differ, and judges what it predicts', async () => {
    const norm = { scale: [1.5, 0.5, 2], bias: [0.1, -0.2, 0.3], mean: [0.2, 0.1, -0.3], variance: [0.9, 1.1, 0.4] };
    const weights = Object.fromEntries(Object.entries(norm).map(([role, values]) => [role, tensor(role, [3], values)]));
    const map = mapOf(
      [
        { ...dense, weights: { kernel, bias } },
        { name: 'bn', op: 'BatchNormalization', inputs: ['dense'], outputs: ['bn'], attributes: { epsilon: 0 }, weights },
      ],
      [X],
      [output('bn', 3)],
    );
    const factors = norm.scale.map((scale, c) => scale / Math.sqrt(norm.variance[c]!));
    const folded = (shift: number) => ({
      kernel: tensor(
        'k',
        [3, 4],
        spread(12).map((value, i) => value * factors[Math.floor(i / 4)]!),
      ),
      bias: tensor(
        'b',
        [3],
        spread(3).map((value, c) => (value - norm.mean[c]!) * factors[c]! + norm.bias[c]! + shift),
      ),
    });
    const file = (shift: number) => written(mapOf([{ ...dense, weights: folded(shift) }], [X], [output('dense', 3)]));
    const right = await verifyWrittenMap(map, await file(0));
    expect(right).toMatchObject({ verdict: 'match', firstDifference: null, weights: { judged: false, compared: 2, equal: 0, unpaired: ['bn'] } });
    expect((await verifyWrittenMap(map, await file(1e-3))).verdict).toBe('mismatch');
  });
});

describe('two files', () => {
  const graph = (bias: readonly number[], names: readonly [string, string]): Graph => ({
    nodes: [node('Gemm', ['x', 'k', 'b'], ['h'], {}, names[0]), node('Relu', ['h'], ['y'], {}, names[1])],
    inputs: [port('x', ['N', 4])],
    outputs: [port('y', ['N', 3])],
    weights: [tensor('k', [4, 3]), tensor('b', [3], bias)],
  });

  it('whose weights differ below what outputs show are told so', async () => {
    const report = await verifyFiles(graph([1, 1, 1], ['gemm', 'relu']), graph([1, 1, 1 + 2 ** -23], ['gemm', 'relu']));
    expect(report).toMatchObject({ verdict: 'match', weights: { judged: false, compared: 2, equal: 1 } });
  });

  it('with nodes that have no names are lined up by the values that they make', async () => {
    expect(await verifyFiles(graph([1, 1, 1], ['', '']), graph([1, 1, 1], ['', '']))).toMatchObject({ verdict: 'match', weights: { compared: 2, equal: 2 } });
  });

  describe('with a table', () => {
    const table = (change: (value: number, row: number) => number, names: readonly [string, string] = ['t', 'k']): Graph => ({
      nodes: [node('Gather', [names[0], 'ids'], ['e']), node('MatMul', ['e', names[1]], ['y'])],
      inputs: [port('ids', ['N'], 'int64')],
      outputs: [port('y', ['N', 3])],
      weights: [
        tensor(
          names[0],
          [900, 4],
          spread(3600).map((value, i) => change(value, Math.floor(i / 4))),
        ),
        tensor(names[1], [4, 3]),
      ],
    });
    const same = table((value) => value);

    it.each([
      ['of the same names', undefined],
      ['of other names', ['q', 'w'] as const],
    ])('of which one row is another are not the same, %s', async (_, names) => {
      const report = await verifyFiles(
        same,
        table((value, row) => (row === 777 ? value + 1 : value), names),
      );
      expect(report).toMatchObject({ verdict: 'mismatch', weights: { judged: true, mismatches: [{ layer: 'e', role: 'table' }] } });
      expect(report.firstDifference?.message).toMatch(/1 of 900 rows, first in row 777/);
    });

    it('that was rounded, or has something folded into it, are judged by what they predict', async () => {
      expect(
        await verifyFiles(
          same,
          table((value) => value * (1 + 1e-7)),
        ),
      ).toMatchObject({ verdict: 'match', weights: { judged: false } });
      const twice = {
        ...table((value) => 2 * value),
        weights: [
          tensor(
            't',
            [900, 4],
            spread(3600).map((value) => 2 * value),
          ),
          tensor(
            'k',
            [4, 3],
            spread(12).map((value) => value / 2),
          ),
        ],
      };
      expect(await verifyFiles(same, twice)).toMatchObject({ verdict: 'match', weights: { judged: false } });
    });
  });
});
