/**
 * The nodes of a TensorFlow.js graph model as they are made: a TensorFlow GraphDef as JSON, whose constants lie in the weights' files.
 *
 * Strings are in base64, integers are text, as the executor of @tensorflow/tfjs-converter 4.22 reads them.
 */
import type { Dim, Port } from '../../model/layer-map.js';
import { Names } from '../../model/names.js';
import { constantTensor, float32Tensor, type Origin, type Tensor } from '../../model/tensor.js';
import type { NamedWeight } from './layers-target.js';
import type { FileNode, FileValue, FileWeight } from './target.js';
import { nameNodes } from './valid-name.js';

export type Attribute = Readonly<Record<string, unknown>>;

interface GraphNode extends FileNode {
  readonly op: string;
  /** With the name of each comes the number of the output, where it is not the first. */
  readonly inputs: readonly FileValue[];
  readonly attributes: Readonly<Record<string, Attribute>>;
  /** Of a Const. */
  readonly weight: FileWeight | null;
}

interface GraphPort {
  readonly port: Port;
  readonly value: FileValue;
  readonly dtype: string;
}

const ORIGIN: Origin = { file: 'weighbridge' };
export const FLOAT: Attribute = { type: 'DT_FLOAT' };
export const INT: Attribute = { type: 'DT_INT32' };

export const text = (value: string): Attribute => ({ s: btoa(value) });

export class GraphNodes {
  readonly #nodes: GraphNode[] = [];
  readonly #names = new Names();
  readonly #inputs: GraphPort[] = [];
  readonly #outputs: GraphPort[] = [];
  /** Constants that are there already; layers that share a weight share it. */
  readonly #constants = new Map<Tensor, GraphNode>();
  readonly #unnamed: GraphNode[] = [];

  /** The GraphDef. */
  topology(): unknown {
    const node = this.#nodes.map(({ name, op, inputs, attributes }) => ({
      name,
      op,
      ...(inputs.length > 0 ? { input: inputs.map(reference) } : {}),
      attr: attributes,
    }));
    // The version says which GraphDefs a reader must understand; TensorFlow 2.11 wrote this one.
    return { node, library: {}, versions: { producer: 1286, minConsumer: 12 } };
  }

  signature(): unknown {
    const entries = (ports: readonly GraphPort[], word: string) => {
      const names = ports.map(({ port }) => port.name);
      // TensorFlow.js gives ports in the order of these keys, and JavaScript puts keys that are whole numbers first, by size.
      const isMoved = Object.keys(Object.fromEntries(names.map((name) => [name, null]))).some((name, i) => name !== names[i]);
      const keys = new Names();
      return Object.fromEntries(
        ports.map(({ port, value, dtype }) => [
          keys.take(isMoved ? `${word}_${port.name}` : port.name),
          { name: `${value.node.name}:0`, dtype, tensorShape: tensorShape(value.shape) },
        ]),
      );
    };
    return { inputs: entries(this.#inputs, 'in'), outputs: entries(this.#outputs, 'out') };
  }

  weights(): NamedWeight[] {
    return this.#nodes.flatMap(({ name, weight }) => (weight ? [{ name, weight }] : []));
  }

  nameNodes(name: string, result: FileValue): void {
    nameNodes(this.#unnamed.splice(0), name, result, this.#names);
  }

  input(port: Port, shape: readonly Dim[]): FileValue {
    const isInteger = /^u?int|^bool/.test(port.dtype);
    const dtype = isInteger ? 'DT_INT32' : 'DT_FLOAT';
    const attributes = { dtype: { type: dtype }, shape: { shape: tensorShape(shape) } };
    const value = this.made('Placeholder', 'input', [], attributes, shape);
    this.nameNodes(port.name, value);
    this.#inputs.push({ port, value, dtype });
    if (!isInteger) return value;
    // Everything but the numbers of an embedding's rows is computed in float32.
    const cast = this.made('Cast', 'float32', [value], { SrcT: INT, DstT: FLOAT, Truncate: { b: false } }, shape);
    this.nameNodes(`${port.name}/float32`, cast);
    return cast;
  }

  output(port: Port, value: FileValue, ports: readonly Port[]): void {
    // Where nodes are asked for by their names, TensorFlow.js takes a name for a key of the signature first, and gives that output in its place.
    const isOthers = ports.some(({ name }) => name !== port.name && name === value.node.name);
    const isTaken = value.output || isOthers || [...this.#inputs, ...this.#outputs].some((other) => other.value.node === value.node);
    const own = isTaken ? this.made('Identity', 'identity', [value], { T: FLOAT }, value.shape) : value;
    this.nameNodes(port.name, own);
    this.#outputs.push({ port, value: own, dtype: 'DT_FLOAT' });
  }

  constant(suffix: string, weight: FileWeight): FileValue {
    const { tensor } = weight;
    const node = this.#constants.get(tensor) ?? this.#addConstant(suffix, weight);
    this.#constants.set(tensor, node);
    return this.#value(node, tensor.shape);
  }

  tensor(suffix: string, tensor: Tensor): FileValue {
    return this.#value(this.#addConstant(suffix, { tensor, source: null, kind: 'other', layer: '' }), tensor.shape);
  }

  scalar(suffix: string, value: number): FileValue {
    return this.tensor(suffix, float32Tensor(suffix, [], [value], ORIGIN));
  }

  int(suffix: string, value: number): FileValue {
    return this.tensor(suffix, int32Tensor(suffix, [], [value]));
  }

  ints(suffix: string, values: readonly number[]): FileValue {
    return this.tensor(suffix, int32Tensor(suffix, [values.length], values));
  }

  floats(suffix: string, values: readonly number[]): FileValue {
    return this.tensor(suffix, float32Tensor(suffix, [values.length], values, ORIGIN));
  }

  /** Two numbers for each axis. */
  pairs(suffix: string, values: readonly (readonly [number, number])[]): FileValue {
    return this.tensor(suffix, int32Tensor(suffix, [values.length, 2], values.flat()));
  }

  #addConstant(suffix: string, weight: FileWeight): GraphNode {
    const { tensor } = weight;
    const dtype = constantDType(weight);
    return this.#add('Const', suffix, [], { dtype: { type: dtype }, value: { tensor: { dtype, tensorShape: tensorShape(tensor.shape) } } }, weight);
  }

  #add(op: string, suffix: string, inputs: readonly FileValue[], attributes: GraphNode['attributes'], weight: FileWeight | null = null): GraphNode {
    const node: GraphNode = { name: '', suffix, op, inputs, attributes, weight };
    this.#nodes.push(node);
    this.#unnamed.push(node);
    return node;
  }

  /** A node of any operator. @param suffix what it is called beside its layer's name */
  made(op: string, suffix: string, inputs: readonly FileValue[], attributes: GraphNode['attributes'], shape: readonly Dim[]): FileValue {
    return this.#value(this.#add(op, suffix, inputs, attributes), shape);
  }

  /** One that is called as its operator, for rules of graph models alone. */
  node(op: string, inputs: readonly FileValue[], attributes: Readonly<Record<string, unknown>>, shape: readonly Dim[], output = 0): FileValue {
    return { ...this.made(op, op, inputs, attributes as GraphNode['attributes'], shape), ...(output > 0 ? { output } : {}) };
  }

  /** Another output of the node that made a value. */
  other(value: FileValue, output: number, shape: readonly Dim[]): FileValue {
    return { ...value, shape, output };
  }

  cast(x: FileValue, from: 'DT_FLOAT' | 'DT_INT32' | 'DT_BOOL', to: 'DT_FLOAT' | 'DT_INT32' | 'DT_BOOL'): FileValue {
    return this.made('Cast', 'Cast', [x], { SrcT: { type: from }, DstT: { type: to }, Truncate: { b: false } }, x.shape);
  }

  #value(node: GraphNode, shape: readonly Dim[]): FileValue {
    return { node, call: 0, shape };
  }
}

/** How a node's input names what it reads. */
export function reference({ node, output = 0 }: FileValue): string {
  return output === 0 ? node.name : `${node.name}:${output}`;
}

/** Whole numbers of the file's own are axes and sizes; those of the map are computed with in float32, as all its values are. */
function constantDType({ tensor, source }: FileWeight): string {
  return tensor.dtype === 'int32' && source === null ? 'DT_INT32' : 'DT_FLOAT';
}

function int32Tensor(name: string, shape: readonly number[], values: readonly number[]): Tensor {
  return constantTensor(name, 'int32', shape, new Uint8Array(Int32Array.from(values).buffer), ORIGIN);
}

function tensorShape(shape: readonly Dim[]): unknown {
  return shape.length === 0 ? {} : { dim: shape.map((size) => ({ size: typeof size === 'number' ? String(size) : '-1' })) };
}
