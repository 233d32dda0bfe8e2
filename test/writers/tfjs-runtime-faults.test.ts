/**
 * Faults of TensorFlow.js's kernels that are written around. Where a test of the first kind fails, the kernel is mended, and what goes around it
 * in `graph-target.ts` and `windows.ts` can go.
 */
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { makeLayer } from '../../src/model/ops/index.js';
import type { Tensor } from '../../src/model/tensor.js';
import { tfjsCpu } from '../../src/verify/engines/tfjs-cpu.js';
import { tfjsWasm } from '../../src/verify/engines/tfjs-wasm.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { portRunner } from '../../src/verify/side.js';
import { findWrittenFormat } from '../../src/verify/written/index.js';
import { tfjsGraph } from '../../src/writers/tfjs/index.js';
import { runTfjs } from '../run-tfjs.js';
import { emptyMap, noise, weight } from './onnx-cases.js';

const VOLUME: [number, number, number, number, number] = [1, 3, 4, 5, 2];
/** Below zero throughout, so that zeros in the margin win. */
const below = (count: number) => noise(count).map((value) => -3 - value);

beforeAll(async () => {
  await tfjsWasm.availability();
  await tfjsCpu.availability();
});

async function on(backend: string, work: () => tf.Tensor): Promise<number[]> {
  await tf.setBackend(backend);
  await tf.ready();
  const made = tf.tidy(work);
  const values = Array.from(await made.data());
  made.dispose();
  return values;
}

it.each([
  ['finds no maximum below zero in a volume', () => tf.maxPool3d(tf.tensor5d(below(120), VOLUME), [2, 2, 2], 1, 'valid') as tf.Tensor],
  [
    'repeats slopes from the last axis on, wherever their shape puts them',
    () => tf.prelu(tf.tensor(below(24), [1, 3, 4, 2]), tf.tensor([1, 2, 3], [1, 3, 1, 1])),
  ],
  [
    'adds values of seven axes that broadcast into arbitrary numbers',
    () => tf.add(tf.tensor(below(64), [2, 1, 2, 2, 2, 2, 2]), tf.tensor([1, 2], [1, 2, 1, 1, 1, 1, 1])),
  ],
  [
    'takes what is none of the picture where the last window ends before it and the other axis is padded',
    () => tf.conv2d(tf.tensor4d(noise(42), [1, 6, 7, 1]), tf.tensor4d(noise(4), [1, 2, 1, 2]), 2, 'same') as tf.Tensor,
  ],
  ['does so channel by channel', () => tf.depthwiseConv2d(tf.tensor4d(noise(84), [1, 6, 7, 2]), tf.tensor4d(noise(4), [1, 2, 2, 1]), 2, 'same') as tf.Tensor],
  ['has the bits of integers in a oneHot of floats', () => tf.oneHot(tf.tensor1d([1, 0, 2], 'int32'), 3, 1, 0, 'float32')],
])('the kernel %s', async (_, work) => {
  const [right, wrong] = [await on('cpu', work), await on('wasm', work)];
  expect(Math.max(...right.map((value, i) => Math.abs(value - wrong[i]!)))).toBeGreaterThan(0.1);
});

it.each([
  [
    'a maximum over a volume',
    [1, 2, 3, 4, 5],
    'ncdhw',
    makeLayer({
      name: 'y',
      op: 'MaxPool',
      inputs: ['x'],
      outputs: ['y'],
      attributes: { kernel_shape: [2, 3, 2], strides: [1, 1, 1], pads: [0, 1, 0, 1, 1, 1] },
    }),
  ],
  [
    'slopes of an inner axis',
    [1, 2, 3, 4],
    'nchw',
    makeLayer({ name: 'y', op: 'PRelu', inputs: ['x'], outputs: ['y'], weights: { slope: weight('slope', [3, 1]) } }),
  ],
  [
    'a product over seven axes',
    [2, 1, 2, 2, 2, 2, 2],
    'other',
    makeLayer({ name: 'y', op: 'Mul', inputs: ['x'], outputs: ['y'], weights: { operand: weight('operand', [2, 1, 1, 2, 1, 2, 1]) } }),
  ],
  [
    'windows that leave out the end of a picture',
    [1, 2, 6, 7],
    'nchw',
    makeLayer({
      name: 'y',
      op: 'Conv',
      inputs: ['x'],
      outputs: ['y'],
      attributes: { strides: [2, 2], pads: [0, 0, 0, 1] },
      weights: { kernel: weight('kernel', [3, 2, 1, 2]) },
    }),
  ],
  [
    'a softmax over seven axes',
    [2, 1, 2, 2, 2, 2, 2],
    'other',
    makeLayer({ name: 'y', op: 'LogSoftmax', inputs: ['x'], outputs: ['y'], attributes: { axis: 2 } }),
  ],
] as const)('what is written for %s is right on both backends', async (_, shape, layout, layer) => {
  const port = { name: 'x', value: 'x', dtype: 'float32' as const, shape, layout };
  const sizes = layer.op === 'Conv' ? [1, 3, 3, 4] : shape;
  const map: LayerMap = { ...emptyMap, inputs: [port], outputs: [{ ...port, name: 'y', value: 'y', shape: sizes }], layers: [layer] };
  const sink = memorySink();
  await tfjsGraph.write(map, sink, 'model.json', { dtype: 'source', layout: 'source', metadata: async () => ({}) });
  await sink.commit();
  const files = memoryFileSet(Object.fromEntries(sink.files), 'model.json');
  const written = await findWrittenFormat('tfjs-graph')!.open(files, map.layers);
  const feeds = [
    {
      shape,
      data: Float32Array.from(below(120)).subarray(
        0,
        shape.reduce((a: number, b: number) => a * b, 1),
      ),
    },
  ];
  const [expected] = await runLayers(map, feeds, () => {});
  for (const engine of [tfjsCpu, tfjsWasm]) {
    const session = await engine.open({ files });
    const [found] = await portRunner(session, map, written.layoutOf)(feeds);
    await session.close();
    for (const [i, value] of Array.from(expected!.data, Number).entries()) expect(Number(found!.data[i])).toBeCloseTo(value, 4);
  }
});

it('the kernel of TensorScatterUpdate writes into what it is given', async () => {
  const [x, places, ones] = [tf.tensor1d([1, 2, 3]), tf.tensor2d([[1]], [1, 1], 'int32'), tf.tensor1d([9])];
  await on('cpu', () => tf.tensorScatterUpdate(x, places, ones));
  expect(Array.from(await x.data())).toEqual([1, 9, 3]);
});

it('what a ScatterND changes is as it was for others that read it', async () => {
  const port = { name: 'x', value: 'x', dtype: 'float32' as const, shape: [3], layout: 'other' as const };
  const constant = (name: string, tensor: Tensor) => makeLayer({ name, op: 'Constant', inputs: [], outputs: [name], weights: { value: tensor } });
  const layers = [
    constant('places', numbersTensor('places', 'int64', [1, 1], [1], { file: 'test' })),
    constant('nine', weight('nine', [1], [9])),
    makeLayer({ name: 'y', op: 'ScatterND', inputs: ['x', 'places', 'nine'], outputs: ['y'] }),
    makeLayer({ name: 'z', op: 'Neg', inputs: ['x'], outputs: ['z'] }),
  ];
  const outputs = ['y', 'z'].map((name) => ({ ...port, name, value: name }));
  const sink = memorySink();
  await tfjsGraph.write({ ...emptyMap, inputs: [port], outputs, layers }, sink, 'model.json', {
    dtype: 'source',
    layout: 'source',
    metadata: async () => ({}),
  });
  await sink.commit();
  const made = await runTfjs('tfjs-graph', sink.files, [{ shape: [3], data: Float32Array.of(1, 2, 3) }]);
  expect(made.map(({ data }) => [...data])).toEqual([
    [1, 9, 3],
    [-1, -2, -3],
  ]);
});
