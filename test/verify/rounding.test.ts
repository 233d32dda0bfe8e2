/** What rounding does to a net, and nets in true float16. */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { castStage, newCastTally, toFloat64Array } from '../../src/model/cast.js';
import type { LayerMap } from '../../src/model/layer-map.js';
import { inferMap, makeLayer } from '../../src/model/ops/index.js';
import { nudgedOutputs } from '../../src/verify/band.js';
import { ortCpu } from '../../src/verify/engines/ort-cpu.js';
import { tfjsWasm } from '../../src/verify/engines/tfjs-wasm.js';
import { roundToHalf, runHalf } from '../../src/verify/half.js';
import { generateSample } from '../../src/verify/inputs.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { type Moved, measureRounding, places } from '../../src/verify/rounding.js';
import { type Feeds, portRunner } from '../../src/verify/side.js';
import { findWrittenFormat } from '../../src/verify/written/index.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { tfjsGraph } from '../../src/writers/tfjs/index.js';
import { emptyMap, noise, weight } from '../writers/onnx-cases.js';
import { chain } from './chains.js';
import { NEIGHBOURS, type Neighbour } from './neighbours.js';

const OPTIONS = { dtype: 'source', layout: 'source', metadata: async () => ({}) } as const;

/** The largest difference, as a multiple of what rounding does. */
function multiple(moved: Moved, expected: readonly number[], actual: readonly number[], shape: readonly number[]): number {
  const place = places(shape, moved.axis);
  const group = (i: number) => (moved.axis === null ? 0 : moved.groupOf[place(i)]!);
  const scales = moved.ofScale.map((_, g) => expected.reduce((most, value, i) => (group(i) === g ? Math.max(most, Math.abs(value)) : most), 0));
  return Math.max(...expected.map((value, i) => Math.abs(value - actual[i]!) / (moved.ofScale[group(i)]! * scales[group(i)]! || 1)));
}

const named = (title: string): Neighbour => NEIGHBOURS.find((make) => make([2, 4, 6, 7], () => 0.5)?.title === title)!;

/** A net of depth: convolutions with batch normalisation, depthwise ones, a residual, a softmax. */
function deepNet(blocks: number): LayerMap {
  const titles = Array.from({ length: blocks }, () => [
    'Conv 1 x 1, no bias',
    'BatchNormalization',
    'Relu',
    'Conv depthwise',
    'BatchNormalization',
    'Add of two values',
  ]).flat();
  return chain(
    [...titles, 'GlobalAveragePool', 'Flatten', 'Softmax'].map((title) => named(title) ?? NEIGHBOURS.find((make) => make([2, 6], () => 0.5)?.title === title)!),
    3,
  )!.map;
}

describe('what a rounding of every value does', () => {
  it.each([
    ['ONNX Runtime', onnx, 'net.onnx', ortCpu],
    ['TensorFlow.js', tfjsGraph, 'model.json', tfjsWasm],
  ] as const)('bounds how far %s is from float64, in every output of deep nets', async (_, writer, file, engine) => {
    for (const blocks of [1, 4, 12]) {
      const map = deepNet(blocks);
      const feeds = generateSample(map.inputs, 0, 1, { layers: map.layers });
      const sink = memorySink();
      await writer.write(map, sink, file, OPTIONS);
      await sink.commit();
      const files = memoryFileSet(Object.fromEntries(sink.files), file);
      const written = await findWrittenFormat(writer.name)!.open(files, map.layers);
      const session = await engine.open({ files });
      const found = await portRunner(session, map, written.layoutOf)(feeds);
      await session.close();
      const { outputs, layers } = await measureRounding(map, feeds);
      const exact = await runLayers(map, feeds, () => {});
      expect(layers.size).toBe(map.layers.length);
      for (const [i, moved] of outputs.entries()) {
        const times = multiple(moved, Array.from(exact[i]!.data, Number), Array.from(found[i]!.data, Number), exact[i]!.shape);
        expect(times).toBeLessThan(7);
        expect(Math.max(...moved.ofScale)).toBeLessThan(1e-4);
      }
    }
  });

  it('is larger in a net that amplifies, and told of each layer', async () => {
    const before = { name: 'x', value: 'x', dtype: 'float32' as const, shape: [1, 4], layout: 'other' as const };
    // What is left of two numbers that nearly cancel has lost their digits.
    const layers = [
      makeLayer({ name: 'more', op: 'Add', inputs: ['x'], outputs: ['more'], weights: { operand: weight('c', [], [1000]) } }),
      makeLayer({ name: 'less', op: 'Sub', inputs: ['more'], outputs: ['less'], weights: { operand: weight('c', [], [1000]) } }),
    ];
    const map: LayerMap = { ...emptyMap, inputs: [before], outputs: [{ ...before, name: 'y', value: 'less' }], layers };
    const { outputs, layers: moved } = await measureRounding(map, [{ shape: [1, 4], data: Float32Array.from([0.5, -0.25, 1, 0.1]) }]);
    expect(moved.get(layers[0]!)!.ofScale[0]).toBeLessThan(3e-7);
    expect(outputs[0]!.ofScale[0]).toBeGreaterThan(3e-5);
    expect(outputs[0]!.ofScale[0]).toBeLessThan(1e-3);
  });

  it('holds small places of an output to their own size', async () => {
    const shape = [1, 40, 6];
    const port = { name: 'x', value: 'x', dtype: 'float32' as const, shape, layout: 'other' as const };
    const layers = [
      makeLayer({ name: 'y', op: 'Mul', inputs: ['x'], outputs: ['y'], weights: { operand: weight('sizes', [6], [300, 200, 300, 250, 1, 0.8]) } }),
    ];
    const map: LayerMap = { ...emptyMap, inputs: [port], outputs: [{ ...port, name: 'y', value: 'y' }], layers };
    const { outputs } = await measureRounding(map, [{ shape, data: Float32Array.from(noise(240)) }]);
    expect(outputs[0]).toMatchObject({ axis: 2, groupOf: [0, 0, 0, 0, 1, 1] });
  });

  it('is asked of a runtime by nudged inputs, and the plain ones last: a side has the answer at hand that is compared next', async () => {
    const port = { name: 'x', value: 'x', dtype: 'float32' as const, shape: [1, 2], layout: 'other' as const };
    const asked: Feeds[] = [];
    const side = {
      run: async (feeds: Feeds) => {
        asked.push(feeds);
        return feeds;
      },
    };
    const feeds = [{ shape: [1, 2], data: Float32Array.of(0.5, 0.25) }];
    const [moved] = (await nudgedOutputs({ inputs: [port] }, side, feeds, 2 ** -24))!;
    expect(asked.indexOf(feeds)).toBe(asked.length - 1);
    expect(Math.max(...moved!.ofScale)).toBeGreaterThan(5e-8);
  });

  it('leaves indices alone', async () => {
    const port = { name: 'x', value: 'x', dtype: 'float32' as const, shape: [1, 3], layout: 'other' as const };
    const layers = [makeLayer({ name: 'rows', op: 'Gather', inputs: ['x'], outputs: ['rows'], weights: { table: weight('table', [5, 2]) } })];
    const map: LayerMap = { ...emptyMap, inputs: [port], outputs: [{ ...port, name: 'y', value: 'rows', shape: [1, 3, 2] }], layers };
    const { outputs } = await measureRounding(map, [{ shape: [1, 3], data: Float32Array.from([4, 0, 2]) }]);
    expect(outputs[0]!.ofScale[0]).toBeLessThan(1e-7);
    expect(inferMap(map).size).toBeGreaterThan(0);
  });
});

it('counts are exact: a jump at a whole number behind a sum of whole numbers is no rounding', async () => {
  const port = { name: 'x', value: 'x', dtype: 'float32' as const, shape: [16, 4], layout: 'other' as const };
  const layers = [
    makeLayer({ name: 'sum', op: 'ReduceSum', inputs: ['x'], outputs: ['sum'], attributes: { axes: [1] } }),
    makeLayer({ name: 'count', op: 'Floor', inputs: ['sum'], outputs: ['count'] }),
  ];
  const map: LayerMap = { ...emptyMap, inputs: [port], outputs: [{ ...port, name: 'y', value: 'count', shape: [16, 1] }], layers };
  const moved = async (row: readonly number[]) =>
    (await measureRounding(map, [{ shape: [16, 4], data: Float32Array.from({ length: 64 }, (_, i) => row[i % 4]!) }])).outputs[0]!.ofScale[0];
  expect(await moved([3, 1, 0, 2])).toBeLessThan(1e-7);
  expect(await moved([3.5, 1.25, 0.5, 0.75])).toBeGreaterThan(0.1);
});

describe('true float16', () => {
  it('rounds as the cast of weights does, for every pair of neighbours and what lies between', () => {
    const bits = new Uint16Array(65536).map((_, i) => i);
    const values = [...toFloat64Array(new Uint8Array(bits.buffer), 'float16')].filter(Number.isFinite);
    const between = values.flatMap((value) => [value, value * 1.0003, value * 1.00049, value + 2 ** -26, value * 1.00097]);
    const tried = Float32Array.from([...between, 65519, 65520, 70000, 1e30, 2 ** -25, 2 ** -25 * 1.01]);
    const stage = castStage('float32', 'float16', newCastTally());
    const cast = toFloat64Array(stage.apply(new Uint8Array(tried.buffer)), 'float16');
    const wrong = [...tried].filter((value, i) => !Object.is(roundToHalf(value) + 0, cast[i]! + 0));
    expect(wrong).toEqual([]);
  });

  it('names the first layer whose values do not fit, and how large they are', async () => {
    const port = { name: 'x', value: 'x', dtype: 'float32' as const, shape: [1, 3], layout: 'other' as const };
    const layers = [
      makeLayer({ name: 'large', op: 'Mul', inputs: ['x'], outputs: ['large'], weights: { operand: weight('c', [], [300]) } }),
      makeLayer({ name: 'larger', op: 'Mul', inputs: ['large'], outputs: ['larger'], weights: { operand: weight('c', [], [100]) } }),
      makeLayer({ name: 'small', op: 'Mul', inputs: ['larger'], outputs: ['small'], weights: { operand: weight('c', [], [1e-4]) } }),
    ];
    const map: LayerMap = { ...emptyMap, inputs: [port], outputs: [{ ...port, name: 'y', value: 'small' }], layers };
    const run = (values: readonly number[]) => runHalf(map, [{ shape: [1, 3], data: Float32Array.from(values) }], 0.01);
    const { overflow, outputs } = await run([4, 1, -2]);
    expect(overflow).toMatchObject({ layer: { name: 'larger' } });
    expect(overflow!.largest).toBeCloseTo(120_000);
    expect(outputs[0]!.data[0]).toBe(Number.POSITIVE_INFINITY);
    expect((await run([2, 1, -2])).overflow).toBeNull();
  });
});
