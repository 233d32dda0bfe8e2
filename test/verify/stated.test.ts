/** A function that is another one only where no input reaches is seen by what the file states. */
import { expect, it } from 'vitest';
import type { LayerMap } from '../../src/model/layer-map.js';
import { constant, editOnnx, nodeOf } from './faults/onnx-edit.js';
import { editTfjs } from './faults/tfjs-edit.js';
import { mapOf, spread, tensor, verifyWrittenMap, written } from './small-files.js';

const port = (name: string, channels: number) => ({ name, value: name, dtype: 'float32', shape: ['N', channels, 4, 4], layout: 'nchw' }) as const;

/** A layer that reads numbers between 0 and 1. */
function behindSigmoid(op: string, attributes: Readonly<Record<string, number>> = {}): LayerMap {
  const weights = { kernel: tensor('k', [2, 3, 1, 1], spread(6)), bias: tensor('b', [2], [0.1, -0.2]) };
  return mapOf(
    [
      { name: 'conv', op: 'Conv', inputs: ['x'], outputs: ['h'], weights },
      { name: 'gate', op: 'Sigmoid', inputs: ['h'], outputs: ['g'] },
      { name: 'act', op, inputs: ['g'], outputs: ['y'], attributes },
    ],
    [port('x', 3)],
    [port('y', 2)],
  );
}

it('ReLU6 for ReLU, and a ReLU clipped at 20, in an ONNX file', async () => {
  const map = behindSigmoid('Relu');
  const files = await written(map);
  for (const [most, kind] of [
    [6, 'activation'],
    [20, 'clip'],
  ] as const) {
    const wrong = editOnnx(files['net.onnx']!, (graph) => {
      const act = nodeOf(graph, 'act');
      act.opType = 'Clip';
      act.input = [act.input![0]!, constant(graph, 'low', [0]), constant(graph, 'high', [most])];
    });
    const report = await verifyWrittenMap(map, { 'net.onnx': wrong });
    expect(report).toMatchObject({ verdict: 'mismatch', firstDifference: { layer: 'act' }, cause: { layer: 'act', side: 'file' } });
    expect(report.trials.find(({ passed }) => passed === false)).toMatchObject({ kind: 'stated' });
    expect(report.cause!.explainedBy.map((cause) => cause.kind)).toContain(kind);
  }
});

it('a Clip behind another activation, in a layer that the source has not', async () => {
  const map = behindSigmoid('LeakyRelu', { alpha: 0.1 });
  const files = await written(map);
  for (const [low, high, verdict] of [
    [-20, 20, 'mismatch'],
    [-1e9, 1e9, 'match'],
  ] as const) {
    const edited = editOnnx(files['net.onnx']!, (graph) => {
      const [output] = nodeOf(graph, 'act').output!;
      nodeOf(graph, 'act').output = ['whole'];
      const input = ['whole', constant(graph, 'low', [low]), constant(graph, 'high', [high])];
      graph.node!.push({ name: 'cut', opType: 'Clip', input, output: [output!] } as (typeof graph.node)[number]);
    });
    const report = await verifyWrittenMap(map, { 'net.onnx': edited });
    expect(report.verdict).toBe(verdict);
    if (verdict === 'mismatch') expect(report.firstDifference?.message).toContain('LeakyRelu, Clip for LeakyRelu');
  }
});

it('the same in TensorFlow.js files of both kinds', async () => {
  const map = behindSigmoid('Relu');
  for (const [format, edit] of [
    ['tfjs', (part: Record<string, unknown>) => Object.assign(part.config as object, { activation: 'relu6' })],
    ['tfjs-graph', (part: Record<string, unknown>) => Object.assign(part, { op: 'Relu6' })],
  ] as const) {
    const wrong = editTfjs(await written(map, format), ({ part }) => void edit(part('act')));
    expect(await verifyWrittenMap(map, wrong, {}, format)).toMatchObject({ verdict: 'mismatch', firstDifference: { layer: 'act' } });
  }
});

it('an epsilon that is taken away where the source adds it, which no output shows', async () => {
  const map = mapOf(
    [
      { name: 'squares', op: 'Mul', inputs: ['x', 'x'], outputs: ['s'] },
      { name: 'more', op: 'Add', inputs: ['s'], outputs: ['m'], weights: { operand: tensor('more', [], [1]) } },
      { name: 'epsilon', op: 'Add', inputs: ['m'], outputs: ['e'], weights: { operand: tensor('epsilon', [], [1e-6]) } },
      { name: 'root', op: 'Sqrt', inputs: ['e'], outputs: ['y'] },
    ],
    [port('x', 3)],
    [port('y', 3)],
  );
  const [onnx, graph] = [await written(map), await written(map, 'tfjs-graph')];
  for (const [format, wrong] of [
    ['onnx', { 'net.onnx': editOnnx(onnx['net.onnx']!, (net) => void Object.assign(nodeOf(net, 'epsilon'), { opType: 'Sub' })) }],
    ['tfjs-graph', editTfjs(graph, ({ part }) => void Object.assign(part('epsilon'), { op: 'Sub' }))],
  ] as const) {
    const report = await verifyWrittenMap(map, wrong, {}, format);
    expect(report).toMatchObject({ verdict: 'mismatch', firstDifference: { layer: 'epsilon' }, cause: { layer: 'epsilon', side: 'file' } });
    expect(report.cause!.explainedBy).not.toEqual([]);
  }
});

it('a file with narrower weights as well', async () => {
  const map = behindSigmoid('Clip', { min: 0, max: 6 });
  const files = await written(map, 'onnx', { dtype: 'int8' });
  expect((await verifyWrittenMap(map, files)).verdict).toBe('match');
  const wrong = editOnnx(files['net.onnx']!, (graph) => {
    nodeOf(graph, 'act').input![2] = constant(graph, 'high', [3]);
  });
  expect(await verifyWrittenMap(map, { 'net.onnx': wrong })).toMatchObject({ verdict: 'mismatch', firstDifference: { layer: 'act' } });
});

it('a right file of every activation in every format that writes it is a match', async () => {
  const layers: [string, Record<string, number>?][] = [
    ...['Relu', 'Selu', 'Sigmoid', 'Tanh', 'Softplus', 'Softsign', 'Mish', 'Gelu', 'HardSwish', 'Exp', 'Erf', 'Abs', 'Neg'].map((op): [string] => [op]),
    ['LeakyRelu', { alpha: 0.1 }],
    ['Elu', { alpha: 0.7 }],
    ['Celu', { alpha: 0.7 }],
    ['ThresholdedRelu', { alpha: 0.4 }],
    ['HardSigmoid', { alpha: 1 / 6, beta: 0.5 }],
    ['Clip', { min: 0, max: 6 }],
    ['Clip', { min: -1, max: 0.1 }],
  ];
  let seen = 0;
  for (const [op, attributes] of layers) {
    const map = behindSigmoid(op, attributes);
    for (const format of ['onnx', 'tfjs-graph', 'tfjs']) {
      const files = await written(map, format, { opset: 20 }).catch(() => null);
      if (!files) continue;
      const report = await verifyWrittenMap(map, files, { samples: 1 }, format);
      expect([op, format, report.verdict, report.firstDifference?.message]).toEqual([op, format, 'match', undefined]);
      seen++;
    }
  }
  expect(seen).toBeGreaterThan(40);
});

it('a right file in which an activation and what follows it are named alike is a match', async () => {
  const map = mapOf(
    [
      { name: 'act', op: 'Sigmoid', inputs: ['x'], outputs: ['s'] },
      { name: 'act/Mul', op: 'Mul', inputs: ['x', 's'], outputs: ['m'] },
      { name: 'hard', op: 'HardSigmoid', inputs: ['m'], outputs: ['h'], attributes: { alpha: 1 / 6, beta: 0.5 } },
      { name: 'hard/Mul', op: 'Mul', inputs: ['m', 'h'], outputs: ['w'] },
      { name: 'mix', op: 'Conv', inputs: ['w'], outputs: ['y'], weights: { kernel: tensor('k', [2, 3, 1, 1], spread(6)) } },
    ],
    [port('x', 3)],
    [port('y', 2)],
  );
  for (const dtype of ['source', 'float16', 'uint8']) {
    const report = await verifyWrittenMap(map, await written(map, 'tfjs-graph', { dtype }), { samples: 1 }, 'tfjs-graph');
    expect([dtype, report.verdict, report.firstDifference]).toEqual([dtype, 'match', null]);
  }
});

it('another epsilon beside large variances, and no right file of any format', async () => {
  const channels = (name: string, values: readonly number[]) => tensor(name, [3], [...values]);
  const weights = {
    scale: channels('s', [1, 2, 0.5]),
    bias: channels('o', [0, 1, 2]),
    mean: channels('m', [0, 0.1, 0.2]),
    variance: channels('v', [90, 100, 120]),
  };
  const map = mapOf(
    [{ name: 'norm', op: 'BatchNormalization', inputs: ['x'], outputs: ['y'], attributes: { epsilon: 1e-5 }, weights }],
    [port('x', 3)],
    [port('y', 3)],
  );
  for (const format of ['onnx', 'tfjs', 'tfjs-graph'])
    expect((await verifyWrittenMap(map, await written(map, format), {}, format)).verdict, format).toBe('match');
  const wrong = editOnnx((await written(map))['net.onnx']!, (graph) => {
    for (const attribute of nodeOf(graph, 'norm').attribute!) if (attribute.name === 'epsilon') attribute.f = 1e-6;
  });
  const report = await verifyWrittenMap(map, { 'net.onnx': wrong });
  expect(report).toMatchObject({ verdict: 'mismatch', firstDifference: { layer: 'norm' }, cause: { layer: 'norm', explainedBy: [{ kind: 'epsilon' }] } });
});

it.each([
  ['LayerNormalization', { axis: -1, epsilon: 1e-6 }, 4],
  ['RMSNormalization', { axis: -1, epsilon: 1e-6 }, 4],
  ['InstanceNormalization', { epsilon: 1e-6 }, 3],
] as const)('another epsilon of a %s, which is several nodes in the file', async (op, attributes: Readonly<Record<string, number>>, size) => {
  const weights = { scale: tensor('s', [size]), ...(op === 'RMSNormalization' ? {} : { bias: tensor('o', [size]) }) };
  const scaled = { name: 'scaled', op: 'Mul', inputs: ['x'], outputs: ['b'], weights: { operand: tensor('by', [], [100]) } };
  const map = mapOf([scaled, { name: 'norm', op, inputs: ['b'], outputs: ['y'], attributes, weights }], [port('x', 3)], [port('y', 3)]);
  const right = await written(map, 'tfjs-graph');
  expect((await verifyWrittenMap(map, right, {}, 'tfjs-graph')).verdict).toBe('match');
  const [epsilon] = /norm\/number[^"]*/.exec(new TextDecoder().decode(right['model.json'])) ?? [];
  const wrong = editTfjs(right, ({ values }) => void values(epsilon!).fill(1.3e-6));
  const report = await verifyWrittenMap(map, wrong, {}, 'tfjs-graph');
  expect(report).toMatchObject({ verdict: 'mismatch', firstDifference: { layer: 'norm' }, cause: { explainedBy: [{ kind: 'epsilon' }] } });
});
