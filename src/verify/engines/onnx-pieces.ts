/**
 * Cuts an ONNX model into pieces that run one after the other, each with the weights of its own nodes and the values that those before it made: what is
 * in memory is one of them. Nodes and weights are the bytes that the file has.
 */
import { memorySource } from '../../bytes/byte-source.js';
import { isGraph, type ReadGraph, type ReadModel, type ReadNode } from '../../containers/onnx.js';
import { DATA_TYPE, DIMENSION, GRAPH, MODEL, SHAPE, TENSOR, TENSOR_TYPE, TYPE, VALUE_INFO } from '../../containers/onnx-schema.js';
import { type Field, WireReader } from '../../containers/protobuf.js';
import { MessageBuilder } from '../../containers/protobuf-writer.js';
import { drawsNumbers } from '../../model/drawing.js';

/** Bytes of weights that a piece may have, more where one node has them; and nodes, for what is asked for in several runs is computed as often. */
const PIECE = { bytes: 2 ** 25, nodes: 48 };

export interface Piece {
  /** Places of its nodes in the model, and names of the weights that they read. */
  readonly nodes: readonly number[];
  readonly weights: ReadonlySet<string>;
  /** Values that it begins with, in the order in which they are read. */
  readonly reads: readonly string[];
  /** Values that depend on an input. */
  readonly makes: ReadonlySet<string>;
  /** Values, made in it or before it, that pieces behind it read. */
  readonly leaves: ReadonlySet<string>;
}

/** Null where running it in pieces would not be running it: where it draws numbers, or an output depends on no node. */
export function cutIntoPieces(model: ReadModel, most = PIECE): readonly Piece[] | null {
  const { nodes, inputs, outputs, storedTensors } = model;
  if (nodes.some(({ op }) => drawsNumbers(op))) return null;
  const reads = nodes.map(namesRead);
  const flowing = new Set(inputs.map(({ name }) => name));
  const constants = new Map<string, number>();
  const isFlowing = nodes.map((node, i) => {
    const flows = reads[i]!.some((name) => flowing.has(name));
    for (const name of node.outputs) if (name !== '') flows ? flowing.add(name) : constants.set(name, i);
    return flows;
  });
  const given = new Set(inputs.map(({ name }) => name));
  if (outputs.some(({ name }) => given.has(name) || !flowing.has(name))) return null;
  const sizes = new Map(storedTensors.map(({ name, bytes }) => [name, bytes.byteLength]));
  /** What a node needs that no input changes: weights, and nodes over weights alone. */
  const withConstants = (names: readonly string[], into: { weights: Set<string>; nodes: Set<number> }) => {
    for (const name of names) {
      const at = constants.get(name);
      if (sizes.has(name)) into.weights.add(name);
      else if (at !== undefined && !into.nodes.has(at)) {
        into.nodes.add(at);
        withConstants(reads[at]!, into);
      }
    }
    return into;
  };
  const parts: { own: number[]; weights: Set<string>; nodes: Set<number> }[] = [];
  const bytesOf = (weights: ReadonlySet<string>) => [...weights].reduce((sum, name) => sum + sizes.get(name)!, 0);
  for (const i of nodes.keys()) {
    if (!isFlowing[i]) continue;
    const needs = withConstants(reads[i]!, { weights: new Set(), nodes: new Set() });
    const part = parts.at(-1);
    const weights = new Set([...(part?.weights ?? []), ...needs.weights]);
    if (part && part.own.length < most.nodes && bytesOf(weights) <= most.bytes) {
      part.own.push(i);
      part.weights = weights;
      for (const constant of needs.nodes) part.nodes.add(constant);
    } else parts.push({ own: [i], ...needs });
  }
  const lastRead = new Map<string, number>();
  for (const [at, { own }] of parts.entries()) for (const i of own) for (const name of reads[i]!) lastRead.set(name, at);
  const known = new Set(given);
  return parts.map(({ own, weights, nodes: further }, at) => {
    const wanted = new Set(own.flatMap((i) => reads[i]!).filter((name) => known.has(name)));
    const makes = new Set(own.flatMap((i) => nodes[i]!.outputs).filter((name) => name !== ''));
    for (const name of makes) known.add(name);
    const leaves = new Set([...known].filter((name) => (lastRead.get(name) ?? -1) > at));
    return { nodes: [...further, ...own].sort((a, b) => a - b), weights, reads: [...wanted], makes, leaves };
  });
}

/** Of graphs inside of a node too: they see what is outside. */
function namesRead({ inputs, attributes }: ReadNode): string[] {
  const inside = ({ nodes, outputs }: ReadGraph) => [...nodes.flatMap(namesRead), ...outputs.map(({ name }) => name)];
  return [...inputs, ...[...attributes.values()].flatMap((value) => (isGraph(value) ? inside(value) : []))].filter((name) => name !== '');
}

/** A model's messages as they are encoded. */
export interface Encoded {
  /** All fields of the model but its graph. */
  readonly around: Uint8Array;
  readonly nodes: readonly Uint8Array[];
  readonly weights: ReadonlyMap<string, { readonly field: number; readonly bytes: Uint8Array }>;
}

/** @param bytes of the model; weights beside it are not needed */
export async function readEncoded(bytes: Uint8Array): Promise<Encoded> {
  const wire = new WireReader(memorySource(bytes, 'model.onnx'));
  const of = ({ start, end }: Field) => bytes.subarray(start, end);
  const around = new MessageBuilder();
  const nodes: Uint8Array[] = [];
  const weights = new Map<string, { field: number; bytes: Uint8Array }>();
  const nameIn = async (span: Field, number: number): Promise<string> => {
    for await (const field of wire.fields(span.start, span.end)) if (field.number === number) return wire.text(field);
    return '';
  };
  const valuesOf = async (span: Field): Promise<Field> => {
    for await (const field of wire.fields(span.start, span.end)) if (field.number === 1) return field;
    return span;
  };
  for await (const field of wire.fields(0, bytes.byteLength)) {
    if (field.number !== MODEL.graph) {
      if (field.wireType === 0) around.int(field.number, field.varint);
      else if (field.wireType === 2) around.bytes(field.number, of(field));
      continue;
    }
    for await (const inner of wire.fields(field.start, field.end)) {
      if (inner.number === GRAPH.node) nodes.push(of(inner));
      else if (inner.number === GRAPH.initializer) weights.set(await nameIn(inner, TENSOR.name), { field: inner.number, bytes: of(inner) });
      else if (inner.number === GRAPH.sparseInitializer) {
        weights.set(await nameIn(await valuesOf(inner), TENSOR.name), { field: inner.number, bytes: of(inner) });
      }
    }
  }
  return { around: around.toBytes(), nodes, weights };
}

/** A value that a piece begins with, as a runtime says what it is. */
export interface Start {
  readonly name: string;
  /** 'float32', 'bool', ... */
  readonly type: string;
  readonly dims: readonly number[];
}

/** The piece as a model. @param shown names of its outputs */
export function encodePiece({ around, nodes, weights }: Encoded, piece: Piece, starts: readonly Start[], shown: readonly string[]): Uint8Array {
  const graph = new MessageBuilder().string(GRAPH.name, 'piece');
  for (const i of piece.nodes) graph.bytes(GRAPH.node, nodes[i]!);
  for (const name of piece.weights) {
    const { field, bytes } = weights.get(name)!;
    graph.bytes(field, bytes);
  }
  for (const { name, type, dims } of starts) {
    const shape = new MessageBuilder();
    for (const dim of dims) shape.message(SHAPE.dim, new MessageBuilder().int(DIMENSION.value, dim));
    const tensor = new MessageBuilder().int(TENSOR_TYPE.elemType, DATA_TYPE[type as keyof typeof DATA_TYPE]).message(TENSOR_TYPE.shape, shape);
    const value = new MessageBuilder().string(VALUE_INFO.name, name).message(VALUE_INFO.type, new MessageBuilder().message(TYPE.tensorType, tensor));
    graph.message(GRAPH.input, value);
  }
  for (const name of shown) graph.message(GRAPH.output, new MessageBuilder().string(VALUE_INFO.name, name));
  return new MessageBuilder().raw(around).message(MODEL.graph, graph).toBytes();
}
