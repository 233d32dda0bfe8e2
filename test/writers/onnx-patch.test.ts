/** ONNX to ONNX: the file is copied, and only what is asked for changes. */
import { onnx as schema } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { readOnnxModel } from '../../src/containers/onnx.js';
import { GRAPH, MODEL } from '../../src/containers/onnx-schema.js';
import { MessageBuilder, writePieces } from '../../src/containers/protobuf-writer.js';
import { type ConvertOptions, convert } from '../../src/convert.js';
import { float32Tensor } from '../../src/model/tensor.js';
import { encodeInitializer, encodeMetadata, encodeNode, encodePort } from '../../src/writers/onnx/encode.js';
import { intAttribute, intsAttribute, type OnnxNode } from '../../src/writers/onnx/graph.js';
import { runOnnxArrays } from '../run-arrays.js';
import { noise } from './onnx-cases.js';

const X = { dtype: 'float32' as const, shape: [2, 3, 8, 8], data: Float64Array.from(noise(2 * 3 * 64)) };

interface Options {
  readonly opset?: number;
  readonly irVersion?: number;
  readonly more?: readonly OnnxNode[];
  readonly weightsAsInputs?: boolean;
}

/** A small net with a name for nothing: a Conv whose weights are initializers, a Relu, a Flatten, a MatMul. */
async function fileOf({ opset = 17, irVersion = 8, more = [], weightsAsInputs = false }: Options = {}): Promise<Uint8Array> {
  const plain = (op: string, inputs: string[], outputs: string[], attributes: OnnxNode['attributes'] = {}, name = ''): OnnxNode => ({
    name,
    op,
    inputs,
    outputs,
    attributes,
  });
  const nodes = [
    plain('Conv', ['x', 'w', 'b'], ['c'], { kernel_shape: intsAttribute([3, 3]), pads: intsAttribute([1, 1, 1, 1]) }, '/conv/Conv'),
    plain('Relu', ['c'], ['r']),
    plain('Flatten', ['r'], ['f'], { axis: intAttribute(1) }),
    plain('MatMul', ['f', 'm'], ['y']),
    ...more,
  ];
  const weights = [
    ['w', [4, 3, 3, 3]],
    ['b', [4]],
    ['m', [256, 5]],
  ] as const;
  const graph = new MessageBuilder();
  for (const node of nodes) graph.message(GRAPH.node, encodeNode(node));
  graph.string(GRAPH.name, 'torch_jit');
  for (const [name, shape] of weights) {
    const values = noise(
      shape.reduce((a: number, b) => a * b, 1),
      name.length + shape.length,
    ).map((value) => value / 9);
    graph.message(GRAPH.initializer, encodeInitializer({ name, tensor: float32Tensor(name, shape, values, { file: 'test' }) }, undefined));
  }
  graph.message(GRAPH.input, encodePort({ name: 'x', dtype: 'float32', shape: ['batch', 3, 8, 8] }));
  if (weightsAsInputs) for (const [name, shape] of weights) graph.message(GRAPH.input, encodePort({ name, dtype: 'float32', shape }));
  graph.message(GRAPH.output, encodePort({ name: 'y', dtype: 'float32', shape: ['batch', 5] }));
  const opsetImport = (domain: string, version: number) => new MessageBuilder().string(1, domain).int(2, version);
  const model = new MessageBuilder()
    .int(MODEL.irVersion, irVersion)
    .string(MODEL.producerName, 'pytorch')
    .message(MODEL.graph, graph)
    .message(MODEL.opsetImport, opsetImport('', opset))
    .message(MODEL.opsetImport, opsetImport('com.microsoft', 1));
  const sink = memorySink();
  const file = await sink.create('m.onnx');
  await writePieces(model.pieces, file);
  await writePieces(encodeMetadata({ author: 'someone' }).pieces, file);
  await file.close();
  await sink.commit();
  return sink.files.get('m.onnx')!;
}

async function converted(bytes: Uint8Array, options: ConvertOptions = {}) {
  const sink = memorySink();
  await convert(memoryFileSet({ 'm.onnx': bytes }, 'm.onnx'), sink, 'out.onnx', { to: 'onnx', ...options });
  const files = Object.fromEntries(sink.files);
  return { bytes: sink.files.get('out.onnx')!, files, model: await readOnnxModel(memoryFileSet(files, 'out.onnx'), 'out.onnx') };
}

const output = async (bytes: Uint8Array) => [...(await runOnnxArrays(bytes, [X])).values()][0]!.data;

describe('nothing asked for', () => {
  it('keeps names, order, opsets, producer and metadata, and adds where it came from', async () => {
    const bytes = await fileOf();
    const { model, bytes: copy } = await converted(bytes);
    expect(model.nodes.map(({ name, op }) => [name, op])).toEqual([
      ['/conv/Conv', 'Conv'],
      ['', 'Relu'],
      ['', 'Flatten'],
      ['', 'MatMul'],
    ]);
    expect([model.producer, model.graphName, [...model.opsets]]).toEqual([
      'pytorch',
      'torch_jit',
      [
        ['', 17],
        ['com.microsoft', 1],
      ],
    ]);
    expect(model.metadata.get('author')).toBe('someone');
    // Once: a map would not show it twice.
    expect(
      schema.ModelProto.decode(copy)
        .metadataProps.map(({ key }) => key)
        .filter((key) => key === 'author'),
    ).toHaveLength(1);
    expect(model.metadata.get('weighbridge.source.format')).toBe('onnx');
    expect(model.inputs[0]!.shape).toEqual(['batch', 3, 8, 8]);
    // What was copied was copied byte for byte.
    const graph = model.graphSpan;
    const source = await readOnnxModel(memoryFileSet({ 'm.onnx': bytes }, 'm.onnx'), 'm.onnx');
    expect(copy.subarray(graph.start, graph.end)).toEqual(bytes.subarray(source.graphSpan.start, source.graphSpan.end));
  });

  it('copies nodes that it does not understand, with their attributes', async () => {
    const foreign = { name: 'odd', op: 'FusedOdd', domain: 'com.microsoft', inputs: ['y'], outputs: ['z'], attributes: { depth: intAttribute(7) } };
    const { model } = await converted(await fileOf({ more: [foreign] }));
    expect(model.nodes.at(-1)).toMatchObject({ name: 'odd', op: 'FusedOdd', domain: 'com.microsoft', inputs: ['y'], outputs: ['z'] });
    expect(model.nodes.at(-1)!.attributes.get('depth')).toBe(7);
  });

  it('a copy of a copy is the same', async () => {
    const once = await converted(await fileOf());
    const again = await converted(once.bytes);
    expect(again.model.nodes.map(({ op }) => op)).toEqual(once.model.nodes.map(({ op }) => op));
    expect([...again.model.metadata.keys()].filter((key) => key === 'weighbridge.version')).toHaveLength(1);
  });
});

describe('narrower weights', () => {
  it.each(['float16', 'bfloat16', 'int8'])('%s: nodes stay, a weight has another name and is turned back in front of them', async (dtype) => {
    const bytes = await fileOf();
    const { model, bytes: narrow } = await converted(bytes, { dtype });
    expect(
      model.nodes
        .filter(({ op }) => ['Conv', 'Relu', 'Flatten', 'MatMul'].includes(op))
        .slice(-4)
        .map(({ op, inputs }) => [op, inputs]),
    ).toEqual([
      ['Conv', ['x', 'w', 'b']],
      ['Relu', ['c']],
      ['Flatten', ['r']],
      ['MatMul', ['f', 'm']],
    ]);
    expect([...model.initializers.values()].filter((tensor) => tensor.dtype === dtype)).toHaveLength(dtype === 'int8' ? 2 : 3);
    const [expected, actual] = [await output(bytes), await output(narrow)];
    const scale = Math.max(...expected.map(Math.abs));
    expect(actual).not.toEqual(expected);
    for (const [i, value] of actual.entries()) expect(Math.abs(value - expected[i]!) / scale).toBeLessThan(dtype === 'float16' ? 1e-3 : 0.03);
  });

  it('before IR version 4 initializers are inputs too, and stay so', async () => {
    const bytes = await fileOf({ irVersion: 3, opset: 9, weightsAsInputs: true });
    const { bytes: narrow } = await converted(bytes, { dtype: 'float16' });
    const [expected, actual] = [await output(bytes), await output(narrow)];
    for (const [i, value] of actual.entries()) expect(Math.abs(value - expected[i]!)).toBeLessThan(5e-3);
  });
});

it('weights go beside the file when that is asked for, and stay there in a copy', async () => {
  const bytes = await fileOf();
  const outside = await converted(bytes, { externalData: true });
  expect(outside.model.externalFiles).toEqual(['out.onnx.data']);
  const sink = memorySink();
  await convert(memoryFileSet(outside.files, 'out.onnx'), sink, 'copy.onnx', { to: 'onnx' });
  const copy = await readOnnxModel(memoryFileSet(Object.fromEntries(sink.files), 'copy.onnx'), 'copy.onnx');
  expect(copy.externalFiles).toEqual(['copy.onnx.data']);
});

it('another opset is another graph, with the same results', async () => {
  const bytes = await fileOf({ opset: 9, irVersion: 4 });
  const { model, bytes: newer } = await converted(bytes, { opset: 17 });
  expect(model.opsets.get('')).toBe(17);
  const [expected, actual] = [await output(bytes), await output(newer)];
  for (const [i, value] of actual.entries()) expect(value).toBeCloseTo(expected[i]!, 4);
});
