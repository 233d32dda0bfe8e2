/** Small files made here and verified in memory: ONNX graphs node by node, and layer maps as the writers write them. */
import { memorySink } from '../../src/bytes/byte-sink.js';
import { memoryFileSet } from '../../src/bytes/file-set.js';
import { writePieces } from '../../src/containers/protobuf-writer.js';
import type { DType } from '../../src/model/dtype.js';
import type { Dim, LayerMap } from '../../src/model/layer-map.js';
import { makeLayer } from '../../src/model/ops/index.js';
import { constantTensor, float32Tensor, type Tensor } from '../../src/model/tensor.js';
import type { Report, WeightsReport } from '../../src/verify/report.js';
import { verifyRuns } from '../../src/verify/runs.js';
import { type VerifyOptions, verifyConversion } from '../../src/verify/verify.js';
import { compareWeights } from '../../src/verify/weights.js';
import { findWrittenFormat } from '../../src/verify/written/index.js';
import { openPaired } from '../../src/verify/written/wired-alike.js';
import type { AnyWriter } from '../../src/writers/index.js';
import { writers } from '../../src/writers/index.js';
import { encodeMetadata, encodeModel } from '../../src/writers/onnx/encode.js';
import { intAttribute, intsAttribute, type OnnxAttribute, type OnnxGraph, type OnnxNode, type OnnxPort } from '../../src/writers/onnx/graph.js';
import { modelOf } from './faults/nets.js';

const ORIGIN = { file: 'made here' };

export const attributes = { int: intAttribute, ints: intsAttribute, float: (value: number): OnnxAttribute => ({ type: 'float', value }) };

/** Seeded, different everywhere. */
export function spread(count: number, low = -1, high = 1): number[] {
  return Array.from({ length: count }, (_, i) => low + (high - low) * ((((i + 1) * 0.6180339887) % 1) + 0));
}

export function tensor(name: string, shape: readonly number[], values: readonly number[] = spread(shape.reduce((a, b) => a * b, 1))): Tensor {
  return float32Tensor(name, shape, Float32Array.from(values), ORIGIN);
}

export function int64s(name: string, values: readonly number[]): Tensor {
  return constantTensor(name, 'int64', [values.length], new Uint8Array(BigInt64Array.from(values, BigInt).buffer), ORIGIN);
}

export function bytesTensor(name: string, dtype: DType, shape: readonly number[], bytes: Uint8Array): Tensor {
  return constantTensor(name, dtype, shape, bytes, ORIGIN);
}

export const port = (name: string, shape: readonly Dim[], dtype: DType = 'float32'): OnnxPort => ({ name, dtype, shape });

export const node = (op: string, inputs: readonly string[], outputs: readonly string[], more: OnnxNode['attributes'] = {}, name = outputs[0]!): OnnxNode => ({
  name,
  op,
  inputs,
  outputs,
  attributes: more,
});

export interface Graph extends Partial<Omit<OnnxGraph, 'initializers'>> {
  readonly nodes: readonly OnnxNode[];
  readonly inputs: readonly OnnxPort[];
  readonly outputs: readonly OnnxPort[];
  readonly weights?: readonly Tensor[];
  readonly metadata?: Readonly<Record<string, string>>;
}

/** The file of a graph. */
export async function onnxBytes({ weights = [], metadata = {}, ...graph }: Graph): Promise<Uint8Array> {
  const sink = memorySink();
  const file = await sink.create('net.onnx');
  const whole = { name: 'net', opset: 17, ...graph, initializers: weights.map((tensor) => ({ name: tensor.name, tensor })) };
  await writePieces([...encodeModel(whole, new Map()).pieces, ...encodeMetadata(metadata).pieces], file);
  await file.close();
  await sink.commit();
  return sink.files.get('net.onnx')!;
}

const onnxFiles = (bytes: Uint8Array) => memoryFileSet({ 'net.onnx': bytes }, 'net.onnx');

/** Two ONNX files, of which the second is judged. */
export async function verifyFiles(expected: Graph | Uint8Array, actual: Graph | Uint8Array, options: VerifyOptions = {}): Promise<Report> {
  const side = async (graph: Graph | Uint8Array) => ({ files: onnxFiles(graph instanceof Uint8Array ? graph : await onnxBytes(graph)), format: 'onnx' });
  return verifyRuns({ expected: await side(expected), target: await side(actual) }, options);
}

/** A map of layers that make one value each, named as they are. */
export function mapOf(layers: readonly Parameters<typeof makeLayer>[0][], inputs: LayerMap['inputs'], outputs: LayerMap['outputs']): LayerMap {
  return {
    name: 'net',
    format: 'layer map',
    producer: null,
    architecture: null,
    inputs,
    outputs,
    layers: layers.map((layer) => makeLayer(layer)),
    warnings: [],
  };
}

const FILE_NAMES: Readonly<Record<string, string>> = { onnx: 'net.onnx', 'keras-v3': 'net.keras', 'keras-h5': 'net.h5', caffe: 'net.caffemodel' };
const fileName = (format: string) => FILE_NAMES[format] ?? 'model.json';

/** What a writer makes of a map, in memory. */
export async function written(map: LayerMap, to = 'onnx', options: Readonly<Record<string, unknown>> = {}): Promise<Readonly<Record<string, Uint8Array>>> {
  const writer = writers.find(({ name }) => name === to) as Extract<AnyWriter, { carries: 'model' }>;
  const sink = memorySink();
  const metadata = async () => ({ 'weighbridge.version': 'test' });
  await writer.write(map, sink, fileName(to), { dtype: 'source', layout: 'source', metadata, ...options });
  await sink.commit();
  return Object.fromEntries(sink.files);
}

/** A written map, perhaps changed, verified as a conversion of that map; nothing but our evaluator, or a recording, is its witness. */
export async function verifyWrittenMap(map: LayerMap, files: Readonly<Record<string, Uint8Array>>, options: VerifyOptions = {}, to = 'onnx'): Promise<Report> {
  const target = { files: memoryFileSet(files, fileName(to)), format: to };
  const source = { files: memoryFileSet({}, null) };
  return verifyConversion({ source, model: modelOf(map), map, target }, options);
}

/** What such a verification finds of the weights, without running anything. */
export async function weightsOfWritten(map: LayerMap, files: Readonly<Record<string, Uint8Array>>, to: string): Promise<WeightsReport | null> {
  return compareWeights(map, await openPaired(findWrittenFormat(to)!, memoryFileSet(files, fileName(to)), map));
}
