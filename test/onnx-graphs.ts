/** ONNX graphs that tests write down. */
import { memorySink } from '../src/bytes/byte-sink.js';
import { ATTRIBUTE, ATTRIBUTE_TYPE, GRAPH, MODEL, NODE } from '../src/containers/onnx-schema.js';
import { MessageBuilder, writePieces } from '../src/containers/protobuf-writer.js';
import type { DType } from '../src/model/dtype.js';
import type { Dim } from '../src/model/layer-map.js';
import { numbersTensor } from '../src/model/numbers.js';
import { withBits } from '../src/model/packing.js';
import type { Tensor } from '../src/model/tensor.js';
import { encodeInitializer, encodeNode, encodePort } from '../src/writers/onnx/encode.js';
import type { OnnxAttribute, OnnxNode } from '../src/writers/onnx/graph.js';

export const ORIGIN = { file: 'test' };
export const int64 = (name: string, values: readonly number[], shape: readonly number[] = [values.length]) =>
  numbersTensor(name, 'int64', shape, values, ORIGIN);
export const node = (
  op: string,
  inputs: readonly string[],
  outputs: readonly string[],
  attributes: Record<string, OnnxAttribute> = {},
  more: Partial<OnnxNode> = {},
): OnnxNode => ({
  name: '',
  op,
  inputs,
  outputs,
  attributes,
  ...more,
});

export interface Graph {
  readonly nodes: readonly (OnnxNode | MessageBuilder)[];
  readonly tensors?: readonly Tensor[];
  /** Of 4 bits an element. */
  readonly packed?: readonly Tensor[];
  /** Initializers as messages. */
  readonly more?: readonly MessageBuilder[];
  /** float32 where no dtype is said. */
  readonly inputs?: readonly (readonly [name: string, shape: readonly Dim[], dtype?: DType])[];
  /** Without a shape where none is said. */
  readonly outputs?: readonly (string | readonly [name: string, shape: readonly Dim[]])[];
  /** Outputs of which the file says no shape. */
  readonly unshaped?: readonly (string | readonly [name: string, dtype: DType])[];
}

const encoded = (one: OnnxNode | MessageBuilder) => (one instanceof MessageBuilder ? one : encodeNode(one));

export function graphOf({ nodes, tensors = [], packed = [], more = [], inputs = [], outputs = ['y'], unshaped = [] }: Graph): MessageBuilder {
  const graph = new MessageBuilder().string(GRAPH.name, 'graph');
  for (const one of nodes) graph.message(GRAPH.node, encoded(one));
  for (const tensor of tensors) graph.message(GRAPH.initializer, encodeInitializer({ name: tensor.name, tensor }, undefined));
  for (const tensor of packed)
    graph.message(GRAPH.initializer, encodeInitializer({ name: tensor.name, tensor: withBits(tensor, 4), isPacked: true }, undefined));
  for (const one of more) graph.message(GRAPH.initializer, one);
  for (const [name, shape, dtype = 'float32'] of inputs) graph.message(GRAPH.input, encodePort({ name, dtype, shape }));
  for (const output of outputs) {
    const [name, shape] = typeof output === 'string' ? [output, []] : output;
    graph.message(GRAPH.output, encodePort({ name, dtype: 'float32', shape }));
  }
  for (const one of unshaped) {
    const [name, dtype] = typeof one === 'string' ? ([one, 'float32'] as const) : one;
    graph.message(GRAPH.output, encodePort({ name, dtype, shape: null }));
  }
  return graph;
}

/** A node with graphs in its attributes. */
export function withGraphs(plain: OnnxNode, graphs: Readonly<Record<string, Graph>>): MessageBuilder {
  const message = encodeNode(plain);
  for (const [name, graph] of Object.entries(graphs)) {
    message.message(
      NODE.attribute,
      new MessageBuilder().string(ATTRIBUTE.name, name).message(ATTRIBUTE.graph, graphOf(graph)).int(ATTRIBUTE.type, ATTRIBUTE_TYPE.graph),
    );
  }
  return message;
}

/** The file of a graph. */
export async function onnxFile(graph: Graph, { opset = 17, functions = [] as MessageBuilder[] } = {}): Promise<Uint8Array> {
  const model = new MessageBuilder().int(MODEL.irVersion, 8).message(MODEL.graph, graphOf(graph));
  for (const [domain, version] of [
    ['', opset],
    ['local', 1],
    ['com.microsoft', 1],
  ] as const)
    model.message(MODEL.opsetImport, new MessageBuilder().string(1, domain).int(2, version));
  for (const one of functions) model.message(MODEL.functions, one);
  const sink = memorySink();
  const file = await sink.create('m.onnx');
  await writePieces(model.pieces, file);
  await file.close();
  await sink.commit();
  return sink.files.get('m.onnx')!;
}
