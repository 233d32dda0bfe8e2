/** ONNX files that are float16 throughout (`--float16-compute`): every VGG fixture, what the file holds, and what it predicts. */
import { join } from 'node:path';
import { onnx as schema } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { runHalf } from '../../src/verify/half.js';
import { runLayers } from '../../src/verify/reference/session.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { readNpyFile } from '../corpus.js';
import { DIALECT_CASES, openDialect } from '../dialects.js';
import { convertInMemory, runOnnx } from '../run-onnx.js';
import { caseInputs, caseMap, emptyMap, OP_CASES, weight } from './onnx-cases.js';

const { BOOL, FLOAT, FLOAT16, INT64 } = schema.TensorProto.DataType;
const OPTIONS = { dtype: 'source', layout: 'source', float16Compute: true, metadata: async () => ({}) } as const;

/** Where a float32 value may be: beside a port, the scales of a Resize, which ONNX wants so, and the statistics of a normalisation. */
function expectFloat16Throughout(bytes: Uint8Array) {
  const graph = schema.ModelProto.decode(bytes).graph!;
  const scales = new Set(
    graph.node!.flatMap(({ opType, input }) => (opType === 'Resize' ? [input![2]] : opType === 'BatchNormalization' ? input!.slice(3) : [])),
  );
  for (const { name, dataType } of graph.initializer!) expect([FLOAT16, INT64, BOOL, ...(scales.has(name!) ? [FLOAT] : [])], name!).toContain(dataType);
  for (const { type } of [...graph.input!, ...graph.output!]) expect(type!.tensorType!.elemType).toBe(FLOAT);
  const ports = new Set([...graph.input!, ...graph.output!].map(({ name }) => name!));
  // Celu is one of float32 alone in ONNX.
  const apart = graph!.node!.filter(({ opType }) => opType === 'Celu').length;
  const reached = (name: string): boolean =>
    ports.has(name) ||
    graph.node!.some(({ opType, input, output }) => opType === 'Celu' && (input![0] === name || output![0] === name)) ||
    graph.node!.some(
      ({ opType, input, output }) =>
        opType === 'Transpose' && ((output![0] === name && ports.has(input![0]!)) || (input![0] === name && ports.has(output![0]!))),
    );
  const atPorts = ({ input, output }: { input?: string[] | null; output?: string[] | null }) => reached(input![0]!) || reached(output![0]!);
  const casts = graph.node!.filter(({ opType }) => opType === 'Cast');
  expect(casts.filter(atPorts)).toHaveLength(ports.size + 2 * apart);
  // What is told or counted inside becomes a float16, and nothing a float32.
  for (const { attribute } of casts.filter((cast) => !atPorts(cast))) expect(Number(attribute![0]!.i)).not.toBe(FLOAT);
}

/** What works in floats from end to end: numbers that count or tell are never float16. */
const FLOAT_CASES = OP_CASES.filter((one) => {
  // ONNX has the first in float32 only; the others are newer than the opset that is written here.
  if (/^(Range|Mish|Swish|Gelu|RMSNormalization|GroupNormalization|AffineGrid|Col2Im|DeformConv|CenterCropPad)$/.test(one.op)) return false;
  const map = caseMap(one);
  return [...map.inputs, ...map.outputs].every(({ dtype, valueDType }) => dtype === 'float32' && (valueDType ?? dtype) === 'float32');
});

describe('a VGG net in float16 throughout', () => {
  it.each(DIALECT_CASES)('$title has no float32 but its ports, and predicts what was recorded', async ({ folder }) => {
    const { files, options } = openDialect(folder);
    const { bytes, result } = await convertInMemory(files, { ...options, float16Compute: true });
    expectFloat16Throughout(bytes);
    expect(result.warnings.filter(({ code }) => code === 'overflow' || code === 'nan')).toEqual([]);
    const [actual] = (await runOnnx(bytes, [await readNpyFile(join(folder, 'input.npy'))])).values();
    const expected = await readNpyFile(join(folder, 'output.npy'));
    expect(actual!.shape).toEqual(expected.shape);
    const scale = expected.data.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    const worst = expected.data.reduce((max, value, i) => Math.max(max, Math.abs(value - actual!.data[i]!)), 0);
    expect(worst / scale).toBeLessThan(2e-2);
  });
});

it.each(FLOAT_CASES)('$title is written in float16, and runs', async (case_) => {
  const map = caseMap(case_);
  expect(await onnx.check(map, OPTIONS)).toEqual([]);
  const sink = memorySink();
  await onnx.write(map, sink, 'model.onnx', OPTIONS);
  await sink.commit();
  const bytes = sink.files.get('model.onnx')!;
  const { graph } = schema.ModelProto.decode(bytes);
  for (const { type } of [...graph!.input!, ...graph!.output!]) expect(type!.tensorType!.elemType).toBe(FLOAT);
  const [actual] = [...(await runOnnx(bytes, caseInputs(case_))).values()];
  const isInfinite = case_.attributes?.value === Number.NEGATIVE_INFINITY;
  expect(actual!.data.every((value) => Number.isFinite(value) || (isInfinite && value === Number.NEGATIVE_INFINITY))).toBe(true);
});

it('keeps statistics that float16 cannot hold, from the opset on that lets them', async () => {
  for (const opset of [14, 15, 17, 21]) {
    const weights = {
      scale: weight('g', [3], [1, 2, 0.5]),
      bias: weight('b', [3], [0.1, 0, -0.2]),
      mean: weight('m', [3], [120, 7e4, 1e-9]),
      variance: weight('v', [3], [2e6, 7e4, 1e-9]),
    };
    const norm = makeLayer({ name: 'one', op: 'BatchNormalization', inputs: ['x'], outputs: ['y'], attributes: { epsilon: 1e-12 }, weights });
    const port = (name: string) => ({ name, value: name, dtype: 'float32' as const, shape: [2, 3, 2, 2], layout: 'nchw' as const });
    const map = { ...emptyMap, inputs: [port('x')], outputs: [port('y')], layers: [norm] };
    const sink = memorySink();
    const { warnings } = await onnx.write(map, sink, 'model.onnx', { ...OPTIONS, opset });
    await sink.commit();
    expect(warnings).toEqual([]);
    const data = Float32Array.from({ length: 24 }, (_, i) => (i % 12 < 4 ? 100 : i % 12 < 8 ? 6e4 : 1e-4) * (1 + (i % 5) / 10));
    const [actual] = (await runOnnx(sink.files.get('model.onnx')!, [{ shape: [2, 3, 2, 2], data }])).values();
    const [expected] = await runLayers(map, [{ shape: [2, 3, 2, 2], data }], () => {});
    for (const [i, value] of (expected!.data as Float64Array).entries()) expect(Math.abs(actual!.data[i]! / value - 1)).toBeLessThan(2e-2);
  }
});

it('counts what float16 cannot hold, of weights and of constants', async () => {
  const kernel = weight('w', [1, 3], [1e6, 1e-9, Number.NaN]);
  const gemm = makeLayer({ name: 'one', op: 'Gemm', inputs: ['x'], outputs: ['a'], attributes: {}, weights: { kernel } });
  const clip = makeLayer({ name: 'two', op: 'Clip', inputs: ['a'], outputs: ['b'], attributes: { min: 0, max: 1e5 } });
  const port = (name: string, value: string, shape: readonly number[]) => ({ name, value, dtype: 'float32' as const, shape, layout: 'other' as const });
  const map = { ...emptyMap, inputs: [port('x', 'x', [1, 3])], outputs: [port('y', 'b', [1, 1])], layers: [gemm, clip] };
  const { warnings } = await onnx.write(map, memorySink(), 'model.onnx', OPTIONS);
  expect(warnings.map(({ code, layer }) => `${code} ${layer}`)).toEqual(['overflow one', 'underflow one', 'nan one', 'held two']);
});

it('numbers of formulas are neither zero nor infinite, so that a norm of zero and a row that is hidden whole give no NaN', async () => {
  const layer = (name: string, op: string, input: string, attributes = {}, operand?: number) =>
    makeLayer({
      name,
      op,
      inputs: [input],
      outputs: [name],
      attributes,
      weights: operand === undefined ? {} : { operand: weight(`w-${name}`, [1], [operand]) },
    });
  const norm = layer('norm', 'ReduceL2', 'x', { axes: [1], keepdims: 1 });
  const least = layer('least', 'Clip', 'norm', { min: 1e-12 });
  const unit = makeLayer({ name: 'unit', op: 'Div', inputs: ['x', 'least'], outputs: ['unit'] });
  const layers = [norm, least, unit, layer('hidden', 'Add', 'unit', {}, -1e9), layer('shares', 'Softmax', 'hidden', { axis: 1 })];
  const port = (name: string, value: string) => ({ name, value, dtype: 'float32' as const, shape: [2, 2], layout: 'other' as const });
  const map = { ...emptyMap, inputs: [port('x', 'x')], outputs: [port('y', 'shares'), port('u', 'unit')], layers };
  const sink = memorySink();
  const { warnings } = await onnx.write(map, sink, 'model.onnx', OPTIONS);
  await sink.commit();
  expect(warnings.map(({ code, layer: name }) => `${code} ${name}`)).toEqual(['held least', 'held hidden']);
  const feed = { shape: [2, 2], data: Float32Array.of(3, 4, 0, 0) };
  const [shares, units] = [...(await runOnnx(sink.files.get('model.onnx')!, [feed])).values()];
  for (const share of shares!.data) expect(Math.abs(share - 0.5)).toBeLessThan(0.06);
  expect([...units!.data].map((value) => Math.round(value * 100) / 100)).toEqual([0.6, 0.8, 0, 0]);
  // The trial in true float16 sees the file's numbers.
  const { overflow } = await runHalf(map, [feed], 1);
  expect(overflow).toBeNull();
});

it.each([
  [[1, 0, 2], [4, 2, 3], []],
  [[1, 2, 0], [3, 4, 2], []],
  [
    [1, 2, 0],
    [2, 4, 3],
    [
      [0, 2, 1],
      [0, 2, 1],
      [0, 2, 1],
    ],
  ],
])('a product with a stored matrix behind axes in the order %j is loaded and run by the stock runtime', async (perm, shape, more) => {
  const turns = [perm, ...more].map((axes, i) =>
    makeLayer({ name: `turn ${i}`, op: 'Transpose', inputs: [i === 0 ? 'x' : `turned ${i - 1}`], outputs: [`turned ${i}`], attributes: { perm: axes } }),
  );
  const kernel = weight('w', [3, 2], [1, 2, 3, 4, 5, 6]);
  const product = makeLayer({ name: 'product', op: 'MatMul', inputs: [`turned ${more.length}`], outputs: ['y'], weights: { kernel } });
  const layers = [...turns, product];
  const rows = shape[perm[0]!]!;
  const columns = 24 / rows / 3;
  const port = (name: string, sizes: readonly number[]) => ({ name, value: name, dtype: 'float32' as const, shape: sizes, layout: 'other' as const });
  const map = { ...emptyMap, inputs: [port('x', shape)], outputs: [port('y', [rows, columns, 2])], layers };
  const sink = memorySink();
  await onnx.write(map, sink, 'model.onnx', OPTIONS);
  await sink.commit();
  const feed = { shape, data: Float32Array.from({ length: 24 }, (_, i) => i % 7) };
  const [made] = (await runOnnx(sink.files.get('model.onnx')!, [feed])).values();
  const [expected] = await runLayers(map, [feed], () => {});
  expect([...made!.data]).toEqual([...(expected!.data as Float64Array)]);
});

it('what opset 13 has for float32 alone stands between casts, and what is not understood is declined', async () => {
  const port = (name: string) => ({ name, value: name, dtype: 'float32' as const, shape: [2, 3], layout: 'other' as const });
  const sum = makeLayer({ name: 'sum', op: 'CumSum', inputs: ['x'], outputs: ['y'], attributes: { axis: 1 } });
  const map = { ...emptyMap, inputs: [port('x')], outputs: [port('y')], layers: [sum] };
  const sink = memorySink();
  await onnx.write(map, sink, 'model.onnx', { ...OPTIONS, opset: 13 });
  await sink.commit();
  const [made] = (await runOnnx(sink.files.get('model.onnx')!, [{ shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 6) }])).values();
  expect([...made!.data]).toEqual([1, 3, 6, 4, 9, 15]);
  const foreign = { format: 'onnx', domain: 'ai.onnx', op: 'Loop', reason: 'it loops', attributes: [], captures: [], types: [] };
  const kept = { ...sum, op: 'ai.onnx::Loop', attributes: {}, foreign };
  expect(await onnx.check({ ...map, layers: [kept] }, OPTIONS)).toMatchObject([{ problem: expect.stringContaining('Loop is kept as it came (it loops)') }]);
});
