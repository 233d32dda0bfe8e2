/** What is too large to run, and in what a file computes: both decide whether a right file is called right. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { computedSource } from '../../src/bytes/byte-source.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { writePieces } from '../../src/containers/protobuf-writer.js';
import type { Dim, LayerMap } from '../../src/model/layer-map.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { constantTensor, float32Tensor, storedTensor, type Tensor } from '../../src/model/tensor.js';
import { MIN_ROWS } from '../../src/verify/agreement.js';
import { checkRanges, checkSizes, multiplications } from '../../src/verify/effort.js';
import type { NdArray } from '../../src/verify/engine.js';
import { givenInputs, someInputs } from '../../src/verify/feeds.js';
import { referenceWitness } from '../../src/verify/witness.js';
import { openWrittenOnnx } from '../../src/verify/written/onnx.js';
import { encodeModel } from '../../src/writers/onnx/encode.js';
import { emptyMap } from '../writers/onnx-cases.js';

describe('what is run', () => {
  const map = (shape: readonly Dim[]): LayerMap => ({
    ...emptyMap,
    inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape, layout: 'other' }],
    outputs: [{ name: 'y', value: 'y', dtype: 'float32', shape, layout: 'other' }],
    layers: [makeLayer({ name: 'y', op: 'Relu', inputs: ['x'], outputs: ['y'] })],
  });

  it('counts a free batch as the few rows that are tried, not as a picture is wide', () => {
    expect(() => checkSizes(map(['N', 128, 132, 132]))).not.toThrow();
    expect(() => checkSizes(map(['N', 128, 500, 500]))).toThrow(/elements are run/);
    expect(() => checkSizes(map([1, 'channels', 2000, 2000]))).toThrow(/elements are run/);
  });

  it.each([
    [[3000, 3000], 3007, true],
    [[1, 2 ** 27], 8, true],
    [[7, 7], 512, false],
  ])('counts what windows of %j read at %d x as many places', (kernel, size, isRefused) => {
    const pool = makeLayer({ name: 'y', op: 'AveragePool', inputs: ['x'], outputs: ['y'], attributes: { kernel_shape: kernel, pads: [0, 0, 0, 0] } });
    const shape = [1, 1, size, size];
    const pooled = { ...map(shape), layers: [{ ...pool, attributes: { ...pool.attributes, pads: kernel.flatMap((each) => [each - 1]).concat([0, 0]) } }] };
    if (isRefused) expect(() => checkSizes(pooled)).toThrow(/"y"|windows of/);
    else expect(() => checkSizes(pooled)).not.toThrow();
  });

  it('refuses ranges between stored ends, which no shape says the length of', async () => {
    const constant = (name: string, value: number) =>
      makeLayer({ name, op: 'Constant', inputs: [], outputs: [name], weights: { value: float32Tensor(name, [], [value], { file: 'f' }) } });
    const range = makeLayer({ name: 'k', op: 'Range', inputs: ['a', 'b', 'c'], outputs: ['k'] });
    const ofRange = (to: number) => ({ layers: [constant('a', 0), constant('b', to), constant('c', 0.5), range] });
    await expect(checkRanges(ofRange(1e9))).rejects.toThrow(/a range from 0 to 1000000000 in steps of 0.5/);
    await expect(checkRanges(ofRange(100))).resolves.toBeUndefined();
  });
});

describe('of given inputs', () => {
  const inputs = async (count: number, batch: Dim) => {
    const x = float32Tensor(
      'x',
      [count, 2],
      Array.from({ length: 2 * count }, (_, i) => i),
      { file: 'f' },
    );
    return givenInputs(new Map([['x', x]]), { ...emptyMap, inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape: [batch, 2], layout: 'other' }] });
  };
  const firstOf = ({ data }: NdArray) => Number(data[0]) / 2;

  it('some are as many as were asked for, spread evenly, the first among them', async () => {
    const some = someInputs(await inputs(64, 'N'), 20);
    expect([some.rows, some.runs, some.places[0], some.places.at(-1)]).toEqual([20, 20, 0, 60]);
    expect(new Set(some.places).size).toBe(20);
    expect(some.places.map((_, run) => firstOf(some.sample(run)[0]!))).toEqual(some.places);
  });

  it('some are whole batches, of which the last may lack rows', async () => {
    const some = someInputs(await inputs(10, 4), 5);
    expect([some.runs, some.rows, some.places]).toEqual([2, 8, [0, 1, 2, 3, 4, 5, 6, 7]]);
    const all = someInputs(await inputs(10, 4), 100);
    expect([all.runs, all.rows, firstOf(all.sample(2)[0]!)]).toEqual([3, 10, 8]);
  });

  it('our own evaluator runs as many of a huge net as tell how often classes agree, and all of a small one', async () => {
    const net = (side: number): LayerMap => ({
      ...emptyMap,
      inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape: ['N', side], layout: 'other' }],
      outputs: [{ name: 'y', value: 'y', dtype: 'float32', shape: ['N', side], layout: 'other' }],
      layers: [makeLayer({ name: 'y', op: 'Gemm', inputs: ['x'], outputs: ['y'], weights: { kernel: unread(side) } })],
    });
    expect([(await referenceWitness(net(100_000), {})).maxRows, (await referenceWitness(net(100), {})).maxRows]).toEqual([MIN_ROWS, undefined]);
  });
});

/** A square kernel that nobody reads. */
function unread(side: number): Tensor {
  const source = computedSource('f', 4 * side * side, () => Promise.reject(new Error('nobody reads it')));
  return storedTensor({ name: 'k', dtype: 'float32', shape: [side, side], source, origin: { file: 'f' } });
}

describe('how much work a sample is', () => {
  const kernel = constantTensor('k', 'float32', [8, 16], new Uint8Array(512), { file: 'f' });
  const product = makeLayer({ name: 'a', op: 'MatMul', inputs: ['x'], outputs: ['a'], weights: { kernel } });
  const map = (shape: readonly Dim[], layers: LayerMap['layers']): LayerMap => ({
    ...emptyMap,
    inputs: [{ name: 'x', value: 'x', dtype: 'float32', shape, layout: 'other' }],
    layers,
  });

  it('counts a matrix once for each row that it is multiplied with, of one of the batch', () => {
    for (const batch of ['N', 1, 5]) expect(multiplications(map([batch, 10, 8], [product]))).toBe(10 * 8 * 16);
  });

  it('counts free sizes, and those that follow from them, as they are fed', () => {
    const picture = { name: 'x', value: 'x', dtype: 'float32', shape: ['N', 3, 'h', 'w'], layout: 'nchw' } as const;
    const conv = (name: string, x: string, channels: readonly [number, number]) =>
      makeLayer({
        name,
        op: 'Conv',
        inputs: [x],
        outputs: [name],
        attributes: { strides: [4, 4], kernel_shape: [4, 4] },
        weights: { kernel: constantTensor('k', 'float32', [...channels, 4, 4], new Uint8Array(64 * channels[0] * channels[1]), { file: 'f' }) },
      });
    const net = (window: number) => [
      conv('a', 'x', [8, 3]),
      conv('b', 'a', [5, 8]),
      makeLayer({ name: 'c', op: 'MaxPool', inputs: ['b'], outputs: ['c'], attributes: { kernel_shape: [window, window] } }),
    ];
    // 32 x 32 become 8 x 8 and 2 x 2; a window of 4 needs 64 x 64.
    for (const [window, times] of [
      [2, 1],
      [4, 4],
    ] as const) {
      expect(multiplications({ ...emptyMap, inputs: [picture], layers: net(window) })).toBe(times * (8 * 8 * 8 * 3 * 16 + 2 * 2 * 5 * 8 * 16));
    }
  });

  it('counts products of two values', () => {
    const turned = makeLayer({ name: 'b', op: 'Transpose', inputs: ['x'], outputs: ['b'], attributes: { perm: [0, 2, 1] } });
    const scores = makeLayer({ name: 'c', op: 'MatMul', inputs: ['x', 'b'], outputs: ['c'] });
    expect(multiplications(map(['N', 10, 8], [turned, scores]))).toBe(10 * 8 * 10);
  });
});

it('a file whose MatMul has a float16 kernel computes in float16', async () => {
  const half = (name: string, shape: readonly number[]) => ({
    name,
    tensor: constantTensor(name, 'float16', shape, new Uint8Array(2 * shape[0]! * shape[1]!), { file: 'f' }),
  });
  const port = (name: string, shape: readonly number[]) => ({ name, dtype: 'float16' as const, shape });
  const nodes = [{ name: 'fc', op: 'MatMul', inputs: ['x', 'w'], outputs: ['y'], attributes: {} }];
  const graph = { name: 'net', opset: 17, nodes, initializers: [half('w', [3, 2])], inputs: [port('x', [1, 3])], outputs: [port('y', [1, 2])] };
  const sink = memorySink();
  const file = await sink.create('net.onnx');
  await writePieces(encodeModel(graph, new Map()).pieces, file);
  await file.close();
  await sink.commit();
  const written = await openWrittenOnnx(memoryFileSet({ 'net.onnx': sink.files.get('net.onnx')! }, 'net.onnx'));
  expect(written.computeDType).toBe('float16');
});
