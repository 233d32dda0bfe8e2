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
  | { readonly texts: readonly string[] }
  | { readonly floats: readonly number[] }
  | { readonly func: string }
  /** A tensor of strings, as GraphDefs have it. */
  | { readonly names: readonly string[] }
  /** A tensor of one int32. */
  | { readonly int: number };

export interface Weight {
  readonly dtype: 'float32' | 'int32' | 'bool';
  readonly shape: readonly number[];
  readonly values: readonly number[];
}

export interface GraphFunction {
  readonly args: readonly string[];
  /** Names of results, and what gives each: 'node:output:0' or an argument. */
  readonly results: Readonly<Record<string, string>>;
  readonly nodes: readonly GraphNode[];
}

export interface SmallGraph {
  readonly functions?: Readonly<Record<string, GraphFunction>>;
  /** Placeholders and everything else but constants. */
  readonly nodes: readonly GraphNode[];
  readonly weights: Readonly<Record<string, Weight>>;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
}

const CODES = { float32: 1, int32: 3, bool: 10 } as const;
const NAMES: Readonly<Record<number, string>> = { 1: 'DT_FLOAT', 3: 'DT_INT32', 9: 'DT_INT64', 10: 'DT_BOOL', 20: 'DT_RESOURCE', 21: 'DT_VARIANT' };

export const float: Attr = { type: 1 };
export const int32: Attr = { type: 3 };

export function placeholder(name: string, shape: readonly number[], type = 1): GraphNode {
  return { name, op: 'Placeholder', attr: { dtype: { type }, shape: { shape } } };
}

/** The files of a TensorFlow.js graph model. */
export function tfjsFiles({ nodes, weights, inputs, outputs, functions = {} }: SmallGraph): Map<string, Uint8Array> {
  // Constants of functions stand in the manifest, too.
  const inner = Object.values(functions).flatMap((one) =>
    one.nodes.flatMap(({ name, attr = {} }) =>
      attr.value && 'int' in attr.value ? [[name, { dtype: 'int32', shape: [], values: [attr.value.int] }] as const] : [],
    ),
  );
  const outer: (readonly [string, Weight])[] = Object.entries(weights);
  const entries = [...outer, ...inner];
  const constants = outer.map(([name, { dtype, shape }]) => ({
    name,
    op: 'Const',
    attr: { dtype: json({ type: CODES[dtype] }), value: { tensor: { dtype: NAMES[CODES[dtype]], tensorShape: sizes(shape) } } },
  }));
  const port = (name: string) => [name, { name: name.includes(':') ? name : `${name}:0` }] as const;
  const document = {
    format: 'graph-model',
    signature: { inputs: Object.fromEntries(inputs.map(port)), outputs: Object.fromEntries(outputs.map(port)) },
    modelTopology: {
      node: [...constants, ...nodes.map(jsonNode)],
      library: {
        function: Object.entries(functions).map(([name, one]) => ({
          signature: {
            name,
            inputArg: one.args.map((arg) => ({ name: arg, type: 'DT_FLOAT' })),
            outputArg: Object.keys(one.results).map((result) => ({ name: result, type: 'DT_FLOAT' })),
          },
          nodeDef: one.nodes.map(jsonNode),
          ret: one.results,
        })),
      },
      versions: { producer: 1087 },
    },
    weightsManifest: [{ paths: ['weights.bin'], weights: entries.map(([name, { dtype, shape }]) => ({ name, shape, dtype })) }],
  };
  return new Map([
    ['model.json', new TextEncoder().encode(JSON.stringify(document))],
    ['weights.bin', Uint8Array.from(entries.flatMap(([, weight]) => [...bytesOf(weight)]))],
  ]);
}

function jsonNode({ name, op, input = [], attr = {} }: GraphNode) {
  return { name, op, input, attr: Object.fromEntries(Object.entries(attr).map(([key, value]) => [key, json(value)])) };
}

/** The graph as a frozen GraphDef. */
export function graphDef({ nodes, weights, functions = {} }: SmallGraph): Uint8Array {
  const graph = new MessageBuilder();
  for (const [name, weight] of Object.entries(weights)) {
    const tensor = new MessageBuilder().int(1, CODES[weight.dtype]).message(2, shapeMessage(weight.shape));
    if (weight.values.length > 0) tensor.bytes(4, bytesOf(weight));
    const node = new MessageBuilder().string(1, name).string(2, 'Const');
    node.message(5, new MessageBuilder().string(1, 'dtype').message(2, new MessageBuilder().int(6, CODES[weight.dtype])));
    node.message(5, new MessageBuilder().string(1, 'value').message(2, new MessageBuilder().message(8, tensor)));
    graph.message(1, node);
  }
  for (const node of nodes) graph.message(1, nodeMessage(node));
  const library = new MessageBuilder();
  for (const [name, one] of Object.entries(functions)) {
    const signature = new MessageBuilder().string(1, name);
    for (const arg of one.args) signature.message(2, new MessageBuilder().string(1, arg));
    for (const result of Object.keys(one.results)) signature.message(3, new MessageBuilder().string(1, result));
    const made = new MessageBuilder().message(1, signature);
    for (const node of one.nodes) made.message(3, nodeMessage(node));
    for (const [result, from] of Object.entries(one.results)) made.message(4, new MessageBuilder().string(1, result).string(2, from));
    library.message(1, made);
  }
  if (Object.keys(functions).length > 0) graph.message(2, library);
  graph.message(4, new MessageBuilder().int(1, 1087));
  return joined(graph);
}

function nodeMessage({ name, op, input = [], attr = {} }: GraphNode): MessageBuilder {
  const node = new MessageBuilder().string(1, name).string(2, op);
  for (const one of input) node.string(3, one);
  for (const [key, value] of Object.entries(attr)) node.message(5, new MessageBuilder().string(1, key).message(2, attributeMessage(value)));
  return node;
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
  if ('func' in value) return { func: { name: value.func } };
  if ('int' in value) return { tensor: { dtype: 'DT_INT32', tensorShape: {} } };
  if ('floats' in value) return { list: { f: value.floats } };
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
  if ('func' in value) return message.message(10, new MessageBuilder().string(1, value.func));
  if ('names' in value) {
    const tensor = new MessageBuilder().int(1, 7).message(2, shapeMessage([value.names.length]));
    for (const name of value.names) tensor.string(8, name);
    return message.message(8, tensor);
  }
  if ('int' in value)
    return message.message(
      8,
      new MessageBuilder()
        .int(1, 3)
        .message(2, new MessageBuilder())
        .int(7, BigInt.asUintN(64, BigInt(value.int))),
    );
  const list = new MessageBuilder();
  if ('ints' in value) for (const one of value.ints) list.int(3, BigInt.asUintN(64, BigInt(one)));
  else if ('floats' in value) for (const one of value.floats) list.float(4, one);
  else for (const one of value.texts) list.string(2, one);
  return message.message(1, list);
}
