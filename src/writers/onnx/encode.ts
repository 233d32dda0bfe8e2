/** Encodes an ONNX graph as a ModelProto, weights as spans. */
import {
  ATTRIBUTE,
  ATTRIBUTE_TYPE,
  DATA_TYPE,
  DIMENSION,
  ENTRY,
  EXTERNAL,
  GRAPH,
  MODEL,
  NODE,
  OPSET_ID,
  SHAPE,
  TENSOR,
  TENSOR_TYPE,
  TYPE,
  VALUE_INFO,
} from '../../containers/onnx-schema.js';
import { MessageBuilder, type Piece, type Span } from '../../containers/protobuf-writer.js';
import { packedByteLength, packedChunks } from '../../model/packing.js';
import { type Tensor, tensorByteLength, tensorChunks } from '../../model/tensor.js';
import type { OnnxAttribute, OnnxGraph, OnnxInitializer, OnnxNode, OnnxPort } from './graph.js';

/** Where an initializer's bytes lie in the file beside the model. */
export interface ExternalPlace {
  readonly file: string;
  readonly offset: number;
}

/** Oldest IR version that knows the opset, as onnx's own helper pairs them. */
const IR_VERSION: Readonly<Record<number, number>> = { 13: 7, 14: 7, 15: 8, 16: 8, 17: 8, 18: 8, 19: 9, 20: 9, 21: 10, 22: 10, 23: 11, 24: 12, 25: 13, 26: 13 };

export const OPSETS = Object.keys(IR_VERSION).map(Number);

/** The model up to its metadata. */
export function encodeModel(graph: OnnxGraph, external: ReadonlyMap<string, ExternalPlace>): MessageBuilder {
  const message = new MessageBuilder()
    .int(MODEL.irVersion, IR_VERSION[graph.opset]!)
    .string(MODEL.producerName, 'weighbridge')
    .message(MODEL.graph, encodeGraph(graph, external))
    .message(MODEL.opsetImport, new MessageBuilder().string(OPSET_ID.domain, '').int(OPSET_ID.version, graph.opset));
  for (const [domain, version] of graph.domains ?? [])
    message.message(MODEL.opsetImport, new MessageBuilder().string(OPSET_ID.domain, domain).int(OPSET_ID.version, version));
  return message;
}

/** What is only known when the weights are written; protobuf fields may come in any order, so it follows the graph. */
export function encodeMetadata(metadata: Readonly<Record<string, string>>): MessageBuilder {
  const message = new MessageBuilder();
  const version = metadata['weighbridge.version'];
  if (version !== undefined) message.string(MODEL.producerVersion, version);
  for (const key of Object.keys(metadata).sort()) message.message(MODEL.metadata, encodeEntry(key, metadata[key]!));
  return message;
}

/** The same for a copy of a file that another program produced, which has its own already: a key that stands twice is none to ONNX's checker. */
export function encodeOtherMetadata(metadata: Readonly<Record<string, string>>): MessageBuilder {
  const message = new MessageBuilder();
  for (const key of Object.keys(metadata)
    .filter((each) => each.startsWith('weighbridge.'))
    .sort())
    message.message(MODEL.metadata, encodeEntry(key, metadata[key]!));
  return message;
}

/** The bytes of a tensor, made when they are written. */
export function tensorSpan(tensor: Tensor, isPacked = false): Span {
  if (isPacked) return { byteLength: packedByteLength(tensor), chunks: () => packedChunks(tensor) };
  return { byteLength: tensorByteLength(tensor), chunks: () => tensorChunks(tensor) };
}

function encodeGraph(graph: OnnxGraph, external: ReadonlyMap<string, ExternalPlace>): MessageBuilder {
  const message = new MessageBuilder();
  for (const node of graph.nodes) message.message(GRAPH.node, encodeNode(node));
  message.string(GRAPH.name, graph.name);
  for (const initializer of graph.initializers) message.message(GRAPH.initializer, encodeInitializer(initializer, external.get(initializer.name)));
  for (const port of graph.inputs) message.message(GRAPH.input, encodePort(port));
  for (const port of graph.outputs) message.message(GRAPH.output, encodePort(port));
  return message;
}

export function encodeNode(node: OnnxNode): MessageBuilder {
  const message = new MessageBuilder();
  for (const name of node.inputs) message.string(NODE.input, name);
  for (const name of node.outputs) message.string(NODE.output, name);
  message.string(NODE.name, node.name).string(NODE.opType, node.op);
  if (node.domain) message.string(NODE.domain, node.domain);
  for (const encoded of node.encoded ?? []) message.bytes(NODE.attribute, encoded);
  for (const name of Object.keys(node.attributes).sort()) message.message(NODE.attribute, encodeAttribute(name, node.attributes[name]!));
  return message;
}

function encodeAttribute(name: string, { type, value }: OnnxAttribute): MessageBuilder {
  const message = new MessageBuilder().string(ATTRIBUTE.name, name);
  if (type === 'int') message.int(ATTRIBUTE.int, value as number);
  else if (type === 'float') message.float(ATTRIBUTE.float, value as number);
  else if (type === 'string') message.string(ATTRIBUTE.string, value as string);
  else if (type === 'ints') for (const item of value as readonly number[]) message.int(ATTRIBUTE.ints, item);
  else if (type === 'strings') for (const item of value as readonly string[]) message.string(ATTRIBUTE.strings, item);
  else if (type === 'tensor') message.message(ATTRIBUTE.tensor, encodeInitializer({ name: '', tensor: value as Tensor }, undefined));
  else for (const item of value as readonly number[]) message.float(ATTRIBUTE.floats, item);
  return message.int(ATTRIBUTE.type, ATTRIBUTE_TYPE[type]);
}

/** What packed integers are called. */
const PACKED_CODE: Readonly<Record<string, number>> = { uint8: 21, int8: 22 };

export function encodeInitializer({ name, tensor, isPacked }: OnnxInitializer, place: ExternalPlace | undefined): MessageBuilder {
  const message = new MessageBuilder();
  for (const size of tensor.shape) message.int(TENSOR.dims, size);
  message.int(TENSOR.dataType, isPacked ? PACKED_CODE[tensor.dtype]! : DATA_TYPE[tensor.dtype]).string(TENSOR.name, name);
  const bytes: Piece = tensorSpan(tensor, isPacked);
  if (!place) return message.bytes(TENSOR.rawData, bytes);
  return message
    .message(TENSOR.externalData, encodeEntry('location', place.file))
    .message(TENSOR.externalData, encodeEntry('offset', String(place.offset)))
    .message(TENSOR.externalData, encodeEntry('length', String(bytes.byteLength)))
    .int(TENSOR.dataLocation, EXTERNAL);
}

export function encodePort({ name, dtype, shape }: OnnxPort): MessageBuilder {
  const dims = new MessageBuilder();
  for (const size of shape ?? []) {
    const dim = new MessageBuilder();
    const sized = typeof size === 'number' ? dim.int(DIMENSION.value, size) : size.startsWith('?') ? dim : dim.string(DIMENSION.param, size);
    dims.message(SHAPE.dim, sized);
  }
  const tensorType = new MessageBuilder().int(TENSOR_TYPE.elemType, DATA_TYPE[dtype]);
  if (shape) tensorType.message(TENSOR_TYPE.shape, dims);
  return new MessageBuilder().string(VALUE_INFO.name, name).message(VALUE_INFO.type, new MessageBuilder().message(TYPE.tensorType, tensorType));
}

export function encodeEntry(key: string, value: string): MessageBuilder {
  return new MessageBuilder().string(ENTRY.key, key).string(ENTRY.value, value);
}
