/**
 * Reads an ONNX file's graph: nodes, ports, and initializers as lazy tensors. No weight is read.
 *
 * @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 */
import type { ByteSource } from '../bytes/byte-source.js';
import type { FileSet } from '../bytes/file-set.js';
import { ModelError } from '../errors.js';
import type { DType } from '../model/dtype.js';
import type { Dim } from '../model/layer-map.js';
import { elementCount, type Tensor } from '../model/tensor.js';
import {
  ATTRIBUTE,
  ATTRIBUTE_TYPE,
  DIMENSION,
  ENTRY,
  FUNCTION,
  GRAPH,
  MODEL,
  NODE,
  OPSET_ID,
  OTHER_TYPES,
  SHAPE,
  SPARSE,
  TENSOR_TYPE,
  TEXT,
  TYPE,
  VALUE_INFO,
} from './onnx-schema.js';
import { DTYPE_BY_CODE, type ReadTensor, TensorReader } from './onnx-tensors.js';
import { type Field, WireReader } from './protobuf.js';

export type { ReadTensor } from './onnx-tensors.js';

/** An attribute of the function that a node stands in. */
export interface Reference {
  readonly reference: string;
}

export type OnnxValue = number | string | readonly number[] | readonly string[] | Tensor | ReadGraph | Reference;

export interface ReadNode {
  readonly name: string;
  readonly op: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, OnnxValue>;
  /** The AttributeProto messages in the file, all of them, in order. */
  readonly attributeSpans: readonly Field[];
}

export interface ReadPort {
  readonly name: string;
  readonly dtype: DType | null;
  /** Null where the file does not say. */
  readonly shape: readonly Dim[] | null;
  /** What it is, in words, where that is no tensor of a known dtype. */
  readonly other?: string;
}

export interface ReadGraph {
  readonly graphName: string;
  readonly nodes: readonly ReadNode[];
  readonly initializers: ReadonlyMap<string, Tensor>;
  /** All of them, those without a tensor of ours and sparse ones (which have a name only) too. */
  readonly storedTensors: readonly ReadTensor[];
  /** Inputs that are no initializers. */
  readonly inputs: readonly ReadPort[];
  /** Names of initializers that are inputs too. */
  readonly overridable: readonly string[];
  readonly outputs: readonly ReadPort[];
  /** What the file says of values inside. */
  readonly valueInfo: ReadonlyMap<string, ReadPort>;
}

/** A local function: nodes that stand for one. */
export interface ReadFunction {
  readonly name: string;
  readonly domain: string;
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly nodes: readonly ReadNode[];
  /** Defaults of its attributes. */
  readonly attributes: ReadonlyMap<string, OnnxValue>;
  readonly opsets: ReadonlyMap<string, number>;
}

export interface ReadModel extends ReadGraph {
  readonly irVersion: number;
  readonly producer: string;
  readonly opsets: ReadonlyMap<string, number>;
  readonly metadata: ReadonlyMap<string, string>;
  readonly functions: readonly ReadFunction[];
  /** Files of external data, relative to the model. */
  readonly externalFiles: readonly string[];
  /** What the model says of their SHA-1. */
  readonly checksums: readonly { readonly file: string; readonly checksum: string }[];
  /** How many tensors lie in them, those in attributes too. */
  readonly externalCount: number;
  /** The file itself, and where its graph lies in it. */
  readonly file: ByteSource;
  readonly graphSpan: Field;
}

/** Elements that a sparse tensor may stand for, and how many for each value that it has, where it has few. */
const MAX_SPREAD = 2 ** 24;
const MAX_SPARSENESS = 256;
const MAX_NODES = 1_000_000;
/** Graphs inside of attributes inside of graphs. */
const MAX_DEPTH = 32;

export function isGraph(value: OnnxValue | undefined): value is ReadGraph {
  return typeof value === 'object' && 'nodes' in value;
}

export function isTensor(value: OnnxValue | undefined): value is Tensor {
  return typeof value === 'object' && 'walk' in value;
}

/** Every node: those of local functions, and of graphs inside of nodes. */
export function allNodes({ nodes, functions }: Pick<ReadModel, 'nodes' | 'functions'>): ReadNode[] {
  return [...nodes, ...functions.flatMap((each) => each.nodes)].flatMap(withInner);
}

function withInner(node: ReadNode): ReadNode[] {
  return [node, ...[...node.attributes.values()].flatMap((value) => (isGraph(value) ? value.nodes.flatMap(withInner) : []))];
}

/** The model with what its Constant nodes hold beside its initializers, by the names of the values that they make. */
export function withConstants<T extends Pick<ReadModel, 'initializers' | 'nodes'>>(model: T): T {
  const initializers = new Map(model.initializers);
  for (const { op, domain, outputs, attributes } of model.nodes) {
    const value = attributes.get('value');
    if (op === 'Constant' && domain === '' && isTensor(value)) initializers.set(outputs[0] ?? '', { ...value, name: outputs[0] ?? value.name });
  }
  return { ...model, initializers };
}

/** @throws ModelError 'malformed' where the bytes are no ModelProto or contradict themselves */
export async function readOnnxModel(files: FileSet, name: string): Promise<ReadModel> {
  const source = await files.open(name);
  return new OnnxFile(new TensorReader(files, new WireReader(source), source)).read();
}

class OnnxFile {
  readonly wire: WireReader;

  constructor(readonly tensors: TensorReader) {
    this.wire = tensors.wire;
  }

  async read(): Promise<ReadModel> {
    const file = this.tensors.source;
    let irVersion = 0;
    const producer: string[] = [];
    const opsets = new Map<string, number>();
    const metadata = new Map<string, string>();
    const functions: ReadFunction[] = [];
    let graph: ReadGraph | null = null;
    let graphSpan: Field | null = null;
    for await (const field of this.wire.fields(0, file.byteLength)) {
      if (field.number === MODEL.irVersion) irVersion = Number(field.varint);
      else if (field.number === MODEL.producerName || field.number === MODEL.producerVersion) producer.push(await this.wire.text(field));
      else if (field.number === MODEL.graph) {
        if (graph) throw this.wire.error(field.start, 'the file has a second graph');
        [graph, graphSpan] = [await this.readGraph(field), field];
      } else if (field.number === MODEL.opsetImport) await this.readOpset(field, opsets);
      else if (field.number === MODEL.functions) functions.push(await this.readFunction(field));
      else if (field.number === MODEL.metadata) {
        const entry = await this.tensors.collect(field);
        metadata.set(await this.tensors.textOf(entry, ENTRY.key), await this.tensors.textOf(entry, ENTRY.value));
      }
    }
    if (!graph || !graphSpan) throw new ModelError('malformed', 'the file has no graph. Is it truncated?', { file: file.name });
    const externalFiles = [...this.tensors.external.keys()];
    return {
      irVersion,
      producer: producer.join(' '),
      opsets,
      metadata,
      functions,
      ...graph,
      externalFiles,
      checksums: this.tensors.checksums,
      externalCount: this.tensors.externalCount,
      file,
      graphSpan,
    };
  }

  async readOpset(field: Field, opsets: Map<string, number>): Promise<void> {
    const entry = await this.tensors.collect(field);
    opsets.set(await this.tensors.textOf(entry, OPSET_ID.domain), Number(entry.get(OPSET_ID.version)?.[0]?.varint ?? 0n));
  }

  async readGraph(graph: Field, depth = 0): Promise<ReadGraph> {
    if (depth > MAX_DEPTH) throw this.wire.error(graph.start, `graphs are nested deeper than ${MAX_DEPTH}`);
    let graphName = '';
    const nodes: ReadNode[] = [];
    const initializers = new Map<string, Tensor>();
    const storedTensors: ReadTensor[] = [];
    const named = new Set<string>();
    const inputs: ReadPort[] = [];
    const outputs: ReadPort[] = [];
    const valueInfo = new Map<string, ReadPort>();
    const addTensor = (stored: ReadTensor) => {
      if (named.has(stored.name)) throw this.wire.error(stored.span.start, `two initializers are named "${stored.name}"`);
      named.add(stored.name);
      storedTensors.push(stored);
      if (stored.tensor) initializers.set(stored.name, stored.tensor);
    };
    for await (const field of this.wire.fields(graph.start, graph.end)) {
      if (field.number === GRAPH.name) graphName = await this.wire.text(field);
      else if (field.number === GRAPH.node) nodes.push(await this.readNode(field, depth));
      else if (field.number === GRAPH.initializer) addTensor(await this.tensors.read(field));
      else if (field.number === GRAPH.sparseInitializer) addTensor(await this.readSparse(field));
      else if (field.number === GRAPH.input) inputs.push(await this.readPort(field));
      else if (field.number === GRAPH.output) outputs.push(await this.readPort(field));
      else if (field.number === GRAPH.valueInfo) {
        const port = await this.readPort(field);
        valueInfo.set(port.name, port);
      }
      if (nodes.length > MAX_NODES) throw this.wire.error(field.start, `more than ${MAX_NODES} nodes`);
    }
    return {
      graphName,
      nodes,
      initializers,
      storedTensors,
      inputs: inputs.filter(({ name }) => !named.has(name)),
      overridable: inputs.map(({ name }) => name).filter((name) => named.has(name)),
      outputs,
      valueInfo,
    };
  }

  /** SparseTensorProto: its values bear the name. */
  async readSparse(field: Field): Promise<ReadTensor> {
    const fields = await this.tensors.collect(field);
    const [values] = fields.get(SPARSE.values) ?? [];
    if (!values) throw this.wire.error(field.start, 'a sparse tensor has no values');
    const stored = await this.tensors.read(values);
    const dims = await this.tensors.integers(fields.get(SPARSE.dims) ?? []);
    const count = elementCount(dims);
    // Runtimes write it out when they load it, and a few bytes would fill the memory.
    if (count > MAX_SPREAD && count > MAX_SPARSENESS * elementCount(stored.shape)) {
      const problem = `a sparse tensor of shape [${dims}] has ${elementCount(stored.shape)} values: written out it would be ${count} elements`;
      throw new ModelError('unsafe', problem, { file: this.wire.source.name, tensor: stored.name });
    }
    return { ...stored, tensor: null, span: field, isSparse: true };
  }

  async readFunction(field: Field): Promise<ReadFunction> {
    const texts = { name: '', domain: '' };
    const [inputs, outputs]: [string[], string[]] = [[], []];
    const nodes: ReadNode[] = [];
    const attributes = new Map<string, OnnxValue>();
    const opsets = new Map<string, number>();
    for await (const part of this.wire.fields(field.start, field.end)) {
      if (part.number === FUNCTION.name) texts.name = await this.wire.text(part);
      else if (part.number === FUNCTION.domain) texts.domain = await this.wire.text(part);
      else if (part.number === FUNCTION.input) inputs.push(await this.wire.text(part));
      else if (part.number === FUNCTION.output) outputs.push(await this.wire.text(part));
      else if (part.number === FUNCTION.node) nodes.push(await this.readNode(part, 1));
      else if (part.number === FUNCTION.opsetImport) await this.readOpset(part, opsets);
      else if (part.number === FUNCTION.attributeProto) {
        const [name, value] = await this.readAttribute(part, 1);
        if (value !== null) attributes.set(name, value);
      }
    }
    return { ...texts, inputs, outputs, nodes, attributes, opsets };
  }

  async readNode(node: Field, depth: number): Promise<ReadNode> {
    const inputs: string[] = [];
    const outputs: string[] = [];
    const attributes = new Map<string, OnnxValue>();
    const attributeSpans: Field[] = [];
    // No object that changes as it is filled: files have tens of thousands of nodes.
    let [name, op, domain] = ['', '', ''];
    await this.wire.eachBatch(node, async (batch) => {
      for (const field of batch) {
        if (field.number === NODE.input) inputs.push(await this.wire.text(field));
        else if (field.number === NODE.output) outputs.push(await this.wire.text(field));
        else if (field.number === NODE.name) name = await this.wire.text(field);
        else if (field.number === NODE.opType) op = await this.wire.text(field);
        else if (field.number === NODE.domain) domain = await this.wire.text(field);
        else if (field.number === NODE.attribute) {
          attributeSpans.push(field);
          const [key, value] = await this.readAttribute(field, depth);
          if (value !== null) attributes.set(key, value);
        }
      }
    });
    return { name, op, domain, inputs, outputs, attributes, attributeSpans };
  }

  /** Null for values that are kept as bytes only: types, sparse tensors, lists of tensors and of graphs. */
  async readAttribute(attribute: Field, depth: number): Promise<[string, OnnxValue | null]> {
    const fields = await this.tensors.collect(attribute);
    const name = await this.tensors.textOf(fields, ATTRIBUTE.name);
    const type = Number(fields.get(ATTRIBUTE.type)?.[0]?.varint ?? 0n);
    const has = (number: number, code: number) => (fields.has(number) || type === code) && (type === 0 || type === code);
    const first = (number: number) => fields.get(number)?.[0];
    if (fields.has(ATTRIBUTE.reference)) return [name, { reference: await this.tensors.textOf(fields, ATTRIBUTE.reference) }];
    if (has(ATTRIBUTE.ints, ATTRIBUTE_TYPE.ints)) return [name, await this.tensors.integers(fields.get(ATTRIBUTE.ints) ?? [])];
    if (has(ATTRIBUTE.floats, ATTRIBUTE_TYPE.floats)) return [name, await this.tensors.floats(fields.get(ATTRIBUTE.floats) ?? [])];
    if (has(ATTRIBUTE.strings, ATTRIBUTE_TYPE.strings)) {
      return [name, await Promise.all((fields.get(ATTRIBUTE.strings) ?? []).map((text) => this.wire.text(text)))];
    }
    if (has(ATTRIBUTE.string, ATTRIBUTE_TYPE.string)) return [name, await this.tensors.textOf(fields, ATTRIBUTE.string)];
    if (first(ATTRIBUTE.tensor)) return [name, (await this.tensors.read(first(ATTRIBUTE.tensor)!)).tensor];
    if (first(ATTRIBUTE.graph)) return [name, await this.readGraph(first(ATTRIBUTE.graph)!, depth + 1)];
    if (has(ATTRIBUTE.int, ATTRIBUTE_TYPE.int)) return [name, Number(BigInt.asIntN(64, first(ATTRIBUTE.int)?.varint ?? 0n))];
    if (has(ATTRIBUTE.float, ATTRIBUTE_TYPE.float)) return [name, (await this.tensors.floats(fields.get(ATTRIBUTE.float) ?? []))[0] ?? 0];
    return [name, null];
  }

  async readPort(port: Field): Promise<ReadPort> {
    const { tensors } = this;
    const fields = await tensors.collect(port);
    const name = await tensors.textOf(fields, VALUE_INFO.name);
    const [type] = fields.get(VALUE_INFO.type) ?? [];
    const kinds = type ? await tensors.collect(type) : new Map<number, readonly Field[]>();
    const [tensorType] = kinds.get(TYPE.tensorType) ?? [];
    const other = [...kinds.keys()].map((kind) => OTHER_TYPES.get(kind)).find((one) => one !== undefined);
    if (!tensorType) return { name, dtype: null, shape: null, ...(other === undefined ? {} : { other }) };
    const parts = await tensors.collect(tensorType);
    const code = Number(parts.get(TENSOR_TYPE.elemType)?.[0]?.varint ?? 0n);
    const dtype = DTYPE_BY_CODE.get(code) ?? null;
    const unread = dtype === null && code !== 0 ? { other: code === TEXT ? 'text' : `a tensor of data type ${code}` } : {};
    const [shape] = parts.get(TENSOR_TYPE.shape) ?? [];
    if (!shape) return { name, dtype, shape: null, ...unread };
    const sizes: Dim[] = [];
    for (const dim of (await tensors.collect(shape)).get(SHAPE.dim) ?? []) {
      const size = await tensors.collect(dim);
      const [value] = size.get(DIMENSION.value) ?? [];
      sizes.push(value ? Number(BigInt.asIntN(64, value.varint)) : (await tensors.textOf(size, DIMENSION.param)) || '?');
    }
    return { name, dtype, shape: sizes, ...unread };
  }
}
