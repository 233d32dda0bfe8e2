/**
 * Faults of the stock runtime that the writer goes around. Each is shown on a graph as one would write it: where a test of that kind fails,
 * the runtime has mended it, and what is written apart in `plan.ts` can go.
 */
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { type FileSet, memoryFileSet } from '../../src/bytes/file-set.js';
import { writePieces } from '../../src/containers/protobuf-writer.js';
import { convert } from '../../src/convert.js';
import { castTensor } from '../../src/model/cast.js';
import { numbersTensor } from '../../src/model/numbers.js';
import { toChannelsLast } from '../../src/model/ports.js';
import { constantTensor, float32Tensor } from '../../src/model/tensor.js';
import { permuteArray } from '../../src/verify/array.js';
import type { EngineModel, NdArray } from '../../src/verify/engine.js';
import { ortCpu } from '../../src/verify/engines/ort-cpu.js';
import { ortWasm } from '../../src/verify/engines/ort-wasm.js';
import { referenceSession } from '../../src/verify/reference/session.js';
import { verifyRuns } from '../../src/verify/runs.js';
import { verifyConversion } from '../../src/verify/verify.js';
import { encodeModel } from '../../src/writers/onnx/encode.js';
import { intAttribute, intsAttribute, type OnnxGraph, type OnnxNode } from '../../src/writers/onnx/graph.js';
import { onnx } from '../../src/writers/onnx/index.js';
import { node, onnxFile } from '../onnx-graphs.js';
import { chain } from '../verify/chains.js';
import { NEIGHBOURS, type Neighbour } from '../verify/neighbours.js';

const ENGINES = [ortCpu, ortWasm];
/** Negative throughout, so that forgotten zeros show. */
const PICTURE: NdArray = { shape: [2, 4, 6, 7], data: Float32Array.from({ length: 336 }, (_, i) => -1 - ((i * 37) % 101) / 50) };

const named = (title: string): Neighbour => NEIGHBOURS.find((make) => make([2, 4, 6, 7], () => 0.5)?.title === title)!;

async function fileOf(graph: OnnxGraph): Promise<FileSet> {
  const sink = memorySink();
  const file = await sink.create('net.onnx');
  await writePieces(encodeModel(graph, new Map()).pieces, file);
  await file.close();
  await sink.commit();
  return memoryFileSet({ 'net.onnx': sink.files.get('net.onnx')! }, 'net.onnx');
}

/** What a model makes of a picture; the message where it does not load. */
async function run(engine: (typeof ENGINES)[number], model: EngineModel, picture = PICTURE): Promise<number[] | string> {
  try {
    const session = await engine.open(model);
    const [made] = (await session.run(new Map([[session.inputs[0]!.name, picture]]))).values();
    await session.close();
    return Array.from(made!.data as Float32Array);
  } catch (error) {
    return (error as Error).message;
  }
}

function apart(a: readonly number[] | string, b: readonly number[] | string): number {
  if (typeof a === 'string' || typeof b === 'string' || a.length !== b.length) return Number.POSITIVE_INFINITY;
  const worst = a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);
  return Number.isNaN(worst) ? Number.POSITIVE_INFINITY : worst;
}

/** A Pad of zeros and a node behind it, with nothing in between. */
function padded(node: Pick<OnnxNode, 'op' | 'attributes'>, pads: readonly number[]): OnnxGraph {
  const bytes = new Uint8Array(BigInt64Array.from([0, 0, ...pads.slice(0, 2), 0, 0, ...pads.slice(2)], BigInt).buffer);
  const initializers = [
    { name: 'pads', tensor: constantTensor('pads', 'int64', [8], bytes, { file: 'made' }) },
    { name: 'value', tensor: float32Tensor('value', [], [0], { file: 'made' }) },
  ];
  const nodes: OnnxNode[] = [
    { name: 'pad', op: 'Pad', inputs: ['x', 'pads', 'value'], outputs: ['padded'], attributes: { mode: { type: 'string', value: 'constant' } } },
    { name: 'node', inputs: ['padded'], outputs: ['y'], ...node },
  ];
  const outputs = [{ name: 'y', dtype: 'float32' as const, shape: ['n', 'c', 'h', 'w'] }];
  return { name: 'net', opset: 17, nodes, initializers, inputs: [{ name: 'x', dtype: 'float32', shape: PICTURE.shape }], outputs };
}

const window = (kernel: readonly number[], others: OnnxNode['attributes'] = {}): OnnxNode['attributes'] => ({
  kernel_shape: intsAttribute(kernel),
  strides: intsAttribute([2, 2]),
  ...others,
});

describe.each(ENGINES.map((engine) => [engine.name, engine] as const))('%s', (_, engine) => {
  it.each([
    ['forgets the zeros of a Pad before a MaxPool', { op: 'MaxPool', attributes: window([3, 3]) }, [1, 1, 1, 1]],
    ['does not load a Pad as wide as the window of the pooling behind it', { op: 'AveragePool', attributes: window([2, 2]) }, [1, 2, 0, 1]],
    [
      'divides by nothing in a mean that rounds up behind a Pad',
      { op: 'AveragePool', attributes: window([3, 3], { pads: intsAttribute([1, 1, 1, 1]), ceil_mode: intAttribute(1), count_include_pad: intAttribute(1) }) },
      [1, 1, 1, 1],
    ],
  ] as const)('%s, unless it runs the graph as it is written', async (_title, node, pads) => {
    const files = await fileOf(padded(node, pads));
    const asWritten = await run(engine, { files, asWritten: true });
    expect(asWritten).toBeInstanceOf(Array);
    expect(apart(await run(engine, { files }), asWritten)).toBeGreaterThan(0.1);
  });

  it.each(
    [
      ['Pad zeros', 'MaxPool strides'],
      ['Pad zeros', 'MaxPool padded'],
      ['Pad zeros on every side', 'MaxPool rounded up'],
      ['Pad zeros', 'AveragePool strides'],
      ['Pad zeros on every side', 'AveragePool padding counted'],
      ['Pad zeros on every side', 'AveragePool padding counted, rounded up'],
      ['Pad zeros', 'Identity', 'MaxPool strides'],
      ['Pad zeros', 'Transpose channels last', 'Transpose channels first', 'MaxPool strides'],
    ].map((titles) => [titles.join(', '), titles] as const),
  )('computes what is written for %s', async (_title, titles) => {
    for (const layout of ['nchw', 'nhwc'] as const) {
      const { map } = chain(titles.map(named), 1, { layout })!;
      const sink = memorySink();
      await onnx.write(map, sink, 'net.onnx', { dtype: 'source', layout: 'source', metadata: async () => ({}) });
      await sink.commit();
      const files = memoryFileSet({ 'net.onnx': sink.files.get('net.onnx')! }, 'net.onnx');
      const picture = layout === 'nhwc' ? permuteArray(PICTURE, toChannelsLast(4)) : PICTURE;
      const [expected] = (await (await referenceSession(map)).run(new Map([['x', picture]]))).values();
      expect(apart(await run(engine, { files }, picture), Array.from(expected!.data as Float64Array))).toBeLessThan(1e-5);
    }
  });
});

it('an operator that ONNX Runtime lacks in float64 is told with the way on', async () => {
  const port = (name: string) => ({ name, dtype: 'float64' as const, shape: [2] });
  const nodes: OnnxNode[] = [{ name: 'tangent', op: 'Tan', inputs: ['x'], outputs: ['y'], attributes: {} }];
  const graph: OnnxGraph = { name: 'net', opset: 17, nodes, initializers: [], inputs: [port('x')], outputs: [port('y')] };
  const files = await fileOf(graph);
  for (const engine of ENGINES) expect(await run(engine, { files })).toMatch(/no Tan \(opset 7\).*"tangent".*float32/);
});

it('a mean of codes loads in ONNX Runtime, which finds no word for its dilations where a file has them', async () => {
  const scalars = ['scale', 'zero'];
  const node = (op: string, from: string, to: string, inputs: readonly string[], attributes: OnnxNode['attributes'] = {}): OnnxNode => ({ name: to, op, inputs: [from, ...inputs], outputs: [to], attributes }); // biome-ignore format: one line says it
  const graph = (attributes: OnnxNode['attributes']): OnnxGraph => ({
    name: 'net',
    opset: 19,
    nodes: [
      node('QuantizeLinear', 'x', 'codes', scalars),
      node('DequantizeLinear', 'codes', 'values', scalars),
      node('AveragePool', 'values', 'means', [], window([2, 2], attributes)),
      node('QuantizeLinear', 'means', 'mean codes', scalars),
      node('DequantizeLinear', 'mean codes', 'y', scalars),
    ],
    initializers: [
      { name: 'scale', tensor: float32Tensor('scale', [], [0.02], { file: 'made' }) },
      { name: 'zero', tensor: constantTensor('zero', 'uint8', [], Uint8Array.of(200), { file: 'made' }) },
    ],
    inputs: [{ name: 'x', dtype: 'float32', shape: PICTURE.shape }],
    outputs: [{ name: 'y', dtype: 'float32', shape: ['n', 'c', 'h', 'w'] }],
  });
  expect(await run(ortCpu, { files: await fileOf(graph({ dilations: intsAttribute([1, 1]) })) })).toMatch(/dilations/);
  const sink = memorySink();
  await convert(await fileOf(graph({})), sink, 'newer.onnx', { to: 'onnx', opset: 21 });
  const made = await run(ortCpu, { files: memoryFileSet({ 'newer.onnx': sink.files.get('newer.onnx')! }, 'newer.onnx') });
  expect(apart(made, await run(ortCpu, { files: await fileOf(graph({})) }))).toBeLessThan(1e-6);
});

it('a copy of a file that ONNX Runtime computes wrongly is computed rightly, and it is told', async () => {
  const files = await fileOf(padded({ op: 'MaxPool', attributes: window([3, 3]) }, [1, 1, 1, 1]));
  const sink = memorySink();
  const { warnings } = await convert(files, sink, 'copy.onnx', { to: 'onnx' });
  const copied = memoryFileSet({ 'copy.onnx': sink.files.get('copy.onnx')! }, 'copy.onnx');
  for (const engine of ENGINES) expect(apart(await run(engine, { files: copied }), await run(engine, { files, asWritten: true }))).toBeLessThan(1e-6);
  expect(warnings).toContainEqual(expect.objectContaining({ code: 'kept-apart', layer: 'node' }));
});

it('a file of float16 that ends the process where ONNX Runtime is left alone is run all the same', async () => {
  const half = (name: string, shape: readonly number[], values: readonly number[]) =>
    castTensor(float32Tensor(name, shape, values, { file: 'made' }), 'float16');
  const nodes: OnnxNode[] = [
    { name: 'turn', op: 'Transpose', inputs: ['x'], outputs: ['turned'], attributes: { perm: intsAttribute([1, 0, 2]) } },
    { name: 'product', op: 'MatMul', inputs: ['turned', 'w'], outputs: ['made'], attributes: {} },
    { name: 'widen', op: 'Cast', inputs: ['made'], outputs: ['y'], attributes: { to: intAttribute(1) } },
  ];
  const graph: OnnxGraph = {
    name: 'net',
    opset: 17,
    nodes,
    initializers: [{ name: 'w', tensor: half('w', [2, 1], [1, 10]) }],
    inputs: [{ name: 'x', dtype: 'float16', shape: [1, 2, 2] }],
    outputs: [{ name: 'y', dtype: 'float32', shape: [2, 1, 1] }],
  };
  expect(await run(ortCpu, { files: await fileOf(graph) }, { shape: [1, 2, 2], data: Float32Array.of(1, 2, 3, 4) })).toEqual([21, 43]);
});

describe('a difference', () => {
  const node = { op: 'MaxPool', attributes: window([3, 3]) };
  const apartGraph = (): OnnxGraph => {
    const graph = padded(node, [1, 1, 1, 1]);
    const [pad, pool] = graph.nodes as [OnnxNode, OnnxNode];
    const concat: OnnxNode = { name: 'apart', op: 'Concat', inputs: ['padded'], outputs: ['same'], attributes: { axis: intAttribute(1) } };
    return { ...graph, nodes: [pad, concat, { ...pool, inputs: ['same'] }] };
  };
  const target = async (graph: OnnxGraph) => ({ files: await fileOf(graph), format: 'onnx' });

  it("that the runtime's optimisations make is said to be the runtime's", async () => {
    const report = await verifyRuns({ expected: await target(apartGraph()), target: await target(padded(node, [1, 1, 1, 1])) }, { engine: 'ort-cpu' });
    expect([report.verdict, report.notes]).toEqual(['mismatch', expect.arrayContaining([expect.stringMatching(/fault is the runtime's, not the file's/)])]);
    expect(report.cause).toBeNull();
  });

  it("that they make of a recording's source is said to be theirs, and of another recording it is not", async () => {
    const files = await fileOf(padded(node, [1, 1, 1, 1]));
    const sink = memorySink();
    const { model, map, files: written } = await convert(files, sink, 'model.json', { to: 'tfjs-graph' });
    const target = { files: memoryFileSet(Object.fromEntries(sink.files), written[0]!.name), format: 'tfjs-graph' };
    const recorded = (values: readonly number[]) =>
      new Map([
        ['input', numbersTensor('x', 'float32', PICTURE.shape, Array.from(PICTURE.data, Number), { file: 'recorded' })],
        ['output', numbersTensor('y', 'float32', [2, 4, 3, 4], values, { file: 'recorded' })],
      ]);
    const optimised = (await run(ortCpu, { files })) as number[];
    const notes = async (values: readonly number[]) => {
      const report = await verifyConversion({ source: { files }, model, map, target }, { golden: recorded(values) });
      expect(report.verdict).toBe('mismatch');
      return report.notes.join();
    };
    expect(await notes(optimised)).toMatch(/what ort-cpu makes of the source with its optimisations.*the file is not at fault/);
    expect(await notes(optimised.map((value) => value + 1))).not.toMatch(/is not at fault/);
  });

  it('that is there without them is not', async () => {
    const other = padded({ ...node, attributes: window([2, 2]) }, [1, 1, 1, 1]);
    const report = await verifyRuns({ expected: await target(apartGraph()), target: await target(other) }, { engine: 'ort-cpu' });
    expect([report.verdict, report.notes]).toEqual(['mismatch', expect.arrayContaining([expect.stringMatching(/differs as well, so they are not at fault/)])]);
  });
});

it('sums of many products of codes are whole, although processors without VNNI cut off each two at 16 bits', async () => {
  const most = (name: string, dtype: 'uint8' | 'int8', shape: readonly number[], value: number) =>
    numbersTensor(name, dtype, shape, new Array<number>(64).fill(value), { file: 'test' });
  const file = await onnxFile({
    nodes: [
      node('QuantizeLinear', ['x', 'one', 'none'], ['q']),
      node('MatMulInteger', ['q', 'w'], ['sums']),
      node('Cast', ['sums'], ['y'], { to: intAttribute(1) }),
    ],
    tensors: [float32Tensor('one', [], [1], { file: 'test' }), numbersTensor('none', 'uint8', [], [0], { file: 'test' }), most('w', 'int8', [64, 1], 127)],
    inputs: [['x', [1, 64]]],
  });
  const x: NdArray = { shape: [1, 64], data: new Float32Array(64).fill(255) };
  expect(await run(ortCpu, { files: memoryFileSet({ 'net.onnx': file }, 'net.onnx') }, x)).toEqual([64 * 255 * 127]);
});

it('weights in codes with a scale for each channel, and no zeros, run: asked for whole sums ONNX Runtime would make one zero of them', async () => {
  const codes = numbersTensor('w', 'int8', [2, 2], [1, 2, 3, 4], { file: 'test' });
  const file = await onnxFile({
    nodes: [node('DequantizeLinear', ['w', 's'], ['wide'], { axis: intAttribute(0) }), node('Gemm', ['x', 'wide'], ['y'], { transB: intAttribute(1) })],
    tensors: [codes, float32Tensor('s', [2], [1, 10], { file: 'test' })],
    inputs: [['x', [1, 2]]],
  });
  const x: NdArray = { shape: [1, 2], data: new Float32Array([1, 1]) };
  expect(await run(ortCpu, { files: memoryFileSet({ 'net.onnx': file }, 'net.onnx') }, x)).toEqual([3, 70]);
});
