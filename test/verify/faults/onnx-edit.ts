/** Edits written ONNX files, to put conversion faults into them one at a time. */
import { onnx as schema } from 'onnx-proto';

export type Graph = schema.GraphProto;
export type Edit = (graph: Graph) => void;

/** The file with one change. */
export function editOnnx(bytes: Uint8Array, edit: Edit): Uint8Array {
  const model = schema.ModelProto.decode(bytes);
  edit(model.graph as Graph);
  return schema.ModelProto.encode(model).finish();
}

export function nodeOf(graph: Graph, name: string): schema.NodeProto {
  const node = graph.node!.find((candidate) => candidate.name === name);
  if (!node) throw new Error(`there is no node ${name}`);
  return node as schema.NodeProto;
}

/** A node's weight, by the position of its input. */
function weightOf(graph: Graph, node: string, position: number) {
  const name = nodeOf(graph, node).input![position]!;
  const tensor = graph.initializer!.find((candidate) => candidate.name === name)!;
  const bytes = Uint8Array.from(tensor.rawData as Uint8Array);
  return { name, tensor, dims: tensor.dims!.map(Number), data: new Float32Array(bytes.buffer) };
}

/** Rewrites a weight: the value at an index becomes the one at another. */
export function rearrange(node: string, position: number, from: (index: number[], dims: number[]) => number[]): Edit {
  return (graph) => {
    const { tensor, dims, data } = weightOf(graph, node, position);
    const moved = Float32Array.from(data, (_, i) => data[from(indexOf(i, dims), dims).reduce((at, place, axis) => at * dims[axis]! + place, 0)]!);
    tensor.rawData = new Uint8Array(moved.buffer);
  };
}

function indexOf(position: number, dims: readonly number[]): number[] {
  const index: number[] = [];
  let rest = position;
  for (const size of dims.toReversed()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return index;
}

/** Changes values one by one. */
export function change(node: string, position: number, edit: (value: number, i: number, data: Float32Array) => number): Edit {
  return (graph) => {
    const { tensor, data } = weightOf(graph, node, position);
    tensor.rawData = new Uint8Array(data.map((value, i) => edit(value, i, data)).buffer);
  };
}

/** Changes a weight's bytes in place. */
export function changeBytes(node: string, position: number, edit: (bytes: Uint8Array, words: Uint32Array) => void): Edit {
  return (graph) => {
    const { tensor, data } = weightOf(graph, node, position);
    edit(new Uint8Array(data.buffer), new Uint32Array(data.buffer));
    tensor.rawData = new Uint8Array(data.buffer);
  };
}

/** Replaces a weight's values and shape. */
export function replaceWeight(node: string, position: number, make: (data: Float32Array, dims: number[]) => { dims: number[]; data: Float32Array }): Edit {
  return (graph) => {
    const { tensor, dims, data } = weightOf(graph, node, position);
    const made = make(data, dims);
    tensor.dims = made.dims;
    tensor.rawData = new Uint8Array(made.data.buffer);
  };
}

export function attribute(node: string, name: string, value: number | number[]): Edit {
  return (graph) => {
    const found = nodeOf(graph, node).attribute!.find((candidate) => candidate.name === name);
    if (!found) throw new Error(`${node} has no attribute ${name}`);
    if (Array.isArray(value)) found.ints = value;
    else if (found.type === schema.AttributeProto.AttributeType.FLOAT) found.f = value;
    else found.i = value;
  };
}

/** Takes a node out; what read it reads its input. */
export function skipNode(name: string): Edit {
  return (graph) => {
    const removed = nodeOf(graph, name);
    graph.node = graph.node!.filter((candidate) => candidate.name !== name);
    for (const other of graph.node!) other.input = other.input!.map((input) => (input === removed.output![0] ? removed.input![0]! : input));
  };
}

/** Makes a node compute something else, with the attributes named. */
export function changeOp(node: string, op: string, keep: readonly string[] = []): Edit {
  return (graph) => {
    const found = nodeOf(graph, node);
    found.opType = op;
    found.attribute = found.attribute!.filter(({ name }) => keep.includes(name!));
  };
}

/** Adds a second node like one that makes an output, behind it. */
export function doubleNode(name: string): Edit {
  return (graph) => {
    const node = nodeOf(graph, name);
    const again = schema.NodeProto.create({ ...node, name: 'again', input: ['first'], output: [...node.output!] });
    node.output = ['first'];
    graph.node!.push(again);
  };
}

/** Exchanges two neighbours: the second comes first. */
export function swapNodes(first: string, second: string): Edit {
  return (graph) => {
    const [a, b] = [nodeOf(graph, first), nodeOf(graph, second)];
    const [before, between, after] = [a.input![0]!, a.output![0]!, b.output![0]!];
    [b.input![0], b.output![0], a.input![0], a.output![0]] = [before, between, between, after];
    const [i, j] = [a, b].map((node) => graph.node!.findIndex(({ name }) => name === node.name)) as [number, number];
    [graph.node![i], graph.node![j]] = [graph.node![j]!, graph.node![i]!];
  };
}

/** A node reads another one's weight; where that is the same, as in the steps of a recurrent layer, nothing changes. */
export function stealWeight(node: string, position: number, from: string): Edit {
  return (graph) => {
    if (Buffer.compare(new Uint8Array(weightOf(graph, node, position).data.buffer), new Uint8Array(weightOf(graph, from, position).data.buffer)) === 0) return;
    nodeOf(graph, node).input![position] = nodeOf(graph, from).input![position]!;
  };
}

export function all(...edits: readonly Edit[]): Edit {
  return (graph) => {
    for (const edit of edits) edit(graph);
  };
}

export type OnnxNode = ReturnType<typeof nodeOf>;

/** Puts nodes between a graph's input and what reads it. */
export function behindInput(graph: Graph, make: (input: string, output: string) => Partial<OnnxNode>[]) {
  const input = graph.input![0]!.name!;
  for (const reader of graph.node!) reader.input = reader.input!.map((name) => (name === input ? 'changed' : name));
  graph.node!.unshift(...(make(input, 'changed') as OnnxNode[]));
}

/** Puts nodes before a graph's output. */
export function beforeOutput(graph: Graph, make: (input: string, output: string) => Partial<OnnxNode>[]) {
  const output = graph.output![0]!.name!;
  for (const maker of graph.node!) maker.output = maker.output!.map((name) => (name === output ? 'unchanged' : name));
  graph.node!.push(...(make('unchanged', output) as OnnxNode[]));
}

export function constant(graph: Graph, name: string, values: readonly number[], dims: readonly number[] = []) {
  graph.initializer!.push({ name, dims: [...dims], dataType: 1, rawData: new Uint8Array(Float32Array.from(values).buffer) } as never);
  return name;
}

export function integers(graph: Graph, name: string, values: readonly number[]) {
  graph.initializer!.push({ name, dims: [values.length], dataType: 7, rawData: new Uint8Array(BigInt64Array.from(values, BigInt).buffer) } as never);
  return name;
}
