/** Small TensorFlow graphs for tests: as TensorFlow.js keeps them (JSON and weights) and as TensorFlow does (a frozen GraphDef). */
import { MessageBuilder } from '../src/containers/protobuf-writer.js';

export interface GraphNode {
  readonly name: string;
  readonly op: string;
  readonly input?: readonly string[];
  readonly attr?: Readonly<Record<string, Attr>>;
}

export type Attr =
  | { readonly s: string }
  | { readonly i: number }
  | { readonly f: number }
  | { readonly b: boolean }
  | { readonly type: number }
  | { readonly shape: readonly number[] }
  | { readonly ints: readonly number[] }
  | { readonly texts: readonly string[] };

export interface Weight {
  readonly dtype: 'float32' | 'int32' | 'bool';
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

export interface SmallGraph {
  /** Placeholders and everything else but constants. */
  readonly nodes: readonly GraphNode[];
  readonly weights: Readonly<Record<string, Weight>>;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

const CODES = { float32: 1, int32: 3, bool: 10 } as const;
const NAMES: Readonly<Record<number, string>> = { 1: 'DT_FLOAT', 3: 'DT_INT32', 9: 'DT_INT64', 10: 'DT_BOOL' };

export const float: Attr = { type: 1 };
export const int32: Attr = { type: 3 };

export function placeholder(name: string, shape: readonly number[], type = 1): GraphNode {
  return { name, op: 'Placeholder', attr: { dtype: { type }, shape: { shape } } };
}

/** The files of a TensorFlow.js graph model. */
export function tfjsFiles({ nodes, weights, inputs, outputs }: SmallGraph): Map<string, Uint8Array> {
  const entries = Object.entries(weights);
  const constants = entries.map(([name, { dtype, shape }]) => ({
    name,
    op: 'Const',
    attr: { dtype: json({ type: CODES[dtype] }), value: { tensor: { dtype: NAMES[CODES[dtype]], tensorShape: sizes(shape) } } },
  }));
  const port = (name: string) => [name, { name: name.includes(':') ? name : `${name}:0` }] as const;
  const document = {
    format: 'graph-model',
    signature: { inputs: Object.fromEntries(inputs.map(port)), outputs: Object.fromEntries(outputs.map(port)) },
    modelTopology: {
      node: [
        ...constants,
        ...nodes.map(({ name, op, input = [], attr = {} }) => ({
          name,
          op,
          input,
          attr: Object.fromEntries(Object.entries(attr).map(([key, value]) => [key, json(value)])),
        })),
      ],
      library: {},
      versions: { producer: 1087 },
    },
    weightsManifest: [{ paths: ['weights.bin'], weights: entries.map(([name, { dtype, shape }]) => ({ name, shape, dtype })) }],
  };
  return new Map([
    ['model.json', new TextEncoder().encode(JSON.stringify(document))],
    ['weights.bin', Uint8Array.from(entries.flatMap(([, weight]) => [...bytesOf(weight)]))],
  ]);
}

/** The graph as a frozen GraphDef. */
export function graphDef({ nodes, weights }: SmallGraph): Uint8Array {
  const graph = new MessageBuilder();
  for (const [name, weight] of Object.entries(weights)) {
    const tensor = new MessageBuilder().int(1, CODES[weight.dtype]).message(2, shapeMessage(weight.shape)).bytes(4, bytesOf(weight));
    const node = new MessageBuilder().string(1, name).string(2, 'Const');
    node.message(5, new MessageBuilder().string(1, 'dtype').message(2, new MessageBuilder().int(6, CODES[weight.dtype])));
    node.message(5, new MessageBuilder().string(1, 'value').message(2, new MessageBuilder().message(8, tensor)));
    graph.message(1, node);
  }
  for (const { name, op, input = [], attr = {} } of nodes) {
    const node = new MessageBuilder().string(1, name).string(2, op);
    for (const one of input) node.string(3, one);
    for (const [key, value] of Object.entries(attr)) node.message(5, new MessageBuilder().string(1, key).message(2, attributeMessage(value)));
    graph.message(1, node);
  }
  graph.message(4, new MessageBuilder().int(1, 1087));
  return joined(graph);
}

export function joined(message: MessageBuilder): Uint8Array {
  return Uint8Array.from(message.pieces.flatMap((piece) => [...(piece as Uint8Array)]));
}

function bytesOf({ dtype, values }: Weight): Uint8Array {
  if (dtype === 'bool') return Uint8Array.from(values);
  return new Uint8Array((dtype === 'float32' ? Float32Array.from(values) : Int32Array.from(values)).buffer);
}

function sizes(shape: readonly number[]) {
  return { dim: shape.map((size) => ({ size: String(size) })) };
}

function json(value: Attr): unknown {
  if ('s' in value) return { s: btoa(value.s) };
  if ('i' in value) return { i: String(value.i) };
  if ('type' in value) return { type: NAMES[value.type] };
  if ('shape' in value) return { shape: sizes(value.shape) };
  if ('ints' in value) return { list: { i: value.ints.map(String) } };
  if ('texts' in value) return { list: { s: value.texts.map((text) => btoa(text)) } };
  return value;
}

function shapeMessage(shape: readonly number[]): MessageBuilder {
  const message = new MessageBuilder();
  for (const size of shape) message.message(2, new MessageBuilder().int(1, BigInt.asUintN(64, BigInt(size))));
  return message;
}

function attributeMessage(value: Attr): MessageBuilder {
  const message = new MessageBuilder();
  if ('s' in value) return message.string(2, value.s);
  if ('i' in value) return message.int(3, BigInt.asUintN(64, BigInt(value.i)));
  if ('f' in value) return message.float(4, value.f);
  if ('b' in value) return message.int(5, value.b ? 1 : 0);
  if ('type' in value) return message.int(6, value.type);
  if ('shape' in value) return message.message(7, shapeMessage(value.shape));
  const list = new MessageBuilder();
  if ('ints' in value) for (const one of value.ints) list.int(3, BigInt.asUintN(64, BigInt(one)));
  else for (const one of value.texts) list.string(2, one);
  return message.message(1, list);
}
