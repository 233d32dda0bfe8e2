/**
 * TensorFlow's GraphDef: nodes, attributes and functions, from protobuf or from the JSON that TensorFlow.js keeps. Tensors stay where
 * they lie.
 *
 * @see https://github.com/tensorflow/tensorflow/tree/master/tensorflow/core/framework, graph.proto, node_def.proto, attr_value.proto,
 *   tensor.proto, function.proto, types.proto
 */
import { type ByteSource, memorySource, sliceSource } from '../bytes/byte-source.js';
import { ModelError } from '../errors.js';
import { DTYPE_BYTES, type DType } from '../model/dtype.js';
import { constantTensor, elementCount, type Origin, storedTensor, type Tensor } from '../model/tensor.js';
import { type Field, WireReader } from './protobuf.js';

/** What a node reads: output `output` of the node `node`. */
export interface TfInput {
  readonly node: string;
  readonly output: number;
  /** In functions, the name of the output, or of the list of outputs that `output` counts in. */
  readonly port?: string;
}

/** Sizes, -1 for one that is free; null where the rank is not known. */
export type TfShape = readonly number[] | null;

export interface TfFunctionCall {
  readonly name: string;
}

export type TfAttribute =
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'int' | 'float'; readonly value: number }
  | { readonly kind: 'bool'; readonly value: boolean }
  /** A name of `TF_DTYPES`, or 'type 20' for one that holds no numbers. */
  | { readonly kind: 'type'; readonly value: string }
  | { readonly kind: 'shape'; readonly value: TfShape }
  /** `texts`: the elements of a tensor of strings, whose value is null. */
  | { readonly kind: 'tensor'; readonly value: Tensor | null; readonly texts?: readonly string[] }
  | { readonly kind: 'function'; readonly value: TfFunctionCall }
  | { readonly kind: 'list'; readonly value: readonly TfAttribute[] };

export interface TfNode {
  readonly name: string;
  readonly op: string;
  readonly inputs: readonly TfInput[];
  /** Nodes that are to run before this one, which TensorFlow writes as '^name'. */
  readonly control: readonly string[];
  readonly attributes: ReadonlyMap<string, TfAttribute>;
}

/** A function of the library: a graph with arguments and results. */
export interface TfFunction {
  readonly name: string;
  readonly arguments: readonly string[];
  /** Names of its results, and for each what gives it: 'node:output_name:index', or an argument's name. */
  readonly results: readonly (readonly [name: string, from: string])[];
  readonly nodes: readonly TfNode[];
}

export interface TfGraph {
  readonly nodes: readonly TfNode[];
  readonly functions: ReadonlyMap<string, TfFunction>;
  /** GraphDef's versions.producer; 0 where it does not say. */
  readonly producer: number;
}

/** DataType codes that hold numbers; quantised types hold the codes as plain integers. */
export const TF_DTYPES: ReadonlyMap<number, DType> = new Map([
  [1, 'float32'],
  [2, 'float64'],
  [3, 'int32'],
  [4, 'uint8'],
  [5, 'int16'],
  [6, 'int8'],
  [8, 'complex64'],
  [9, 'int64'],
  [10, 'bool'],
  [11, 'int8'],
  [12, 'uint8'],
  [13, 'int32'],
  [14, 'bfloat16'],
  [15, 'int16'],
  [16, 'uint16'],
  [17, 'uint16'],
  [18, 'complex128'],
  [19, 'float16'],
  [22, 'uint32'],
  [23, 'uint64'],
]);

/** DataType's names, as JSON has them. */
export const DTYPE_NAMES: Readonly<Record<string, number>> = {
  ...{ DT_FLOAT: 1, DT_DOUBLE: 2, DT_INT32: 3, DT_UINT8: 4, DT_INT16: 5, DT_INT8: 6, DT_STRING: 7, DT_COMPLEX64: 8, DT_INT64: 9, DT_BOOL: 10 },
  ...{ DT_QINT8: 11, DT_QUINT8: 12, DT_QINT32: 13, DT_BFLOAT16: 14, DT_QINT16: 15, DT_QUINT16: 16, DT_UINT16: 17, DT_COMPLEX128: 18, DT_HALF: 19 },
  ...{ DT_RESOURCE: 20, DT_VARIANT: 21, DT_UINT32: 22, DT_UINT64: 23 },
};

const GRAPH_DEF = { node: 1, library: 2, versions: 4 } as const;
const NODE_DEF = { name: 1, op: 2, input: 3, attr: 5 } as const;
const ENTRY = { key: 1, value: 2 } as const;
const ATTR = { list: 1, s: 2, i: 3, f: 4, b: 5, type: 6, shape: 7, tensor: 8, func: 10 } as const;
/** AttrValue.ListValue numbers its fields as AttrValue, except for functions. */
const LIST_FUNC = 9;
const SHAPE = { dim: 2, unknownRank: 3 } as const;
const TENSOR = {
  ...{ dtype: 1, shape: 2, content: 4, float: 5, double: 6, int: 7, string: 8, complex: 9, int64: 10, bool: 11, doubleComplex: 12, half: 13 },
  ...{ uint32: 16, uint64: 17 },
} as const;
/** Values that are packed as they lie in memory. */
const AS_STORED: ReadonlySet<number> = new Set([TENSOR.float, TENSOR.double, TENSOR.complex, TENSOR.doubleComplex]);
/** DataType's code of strings. */
export const STRING = 7;
/** Of variables, of which nets have some thousand. */
const MAX_NAMES = 100_000;
const MAX_NAME_BYTES = 4096;
const FUNCTION = { signature: 1, node: 3, result: 4 } as const;
const OP_DEF = { name: 1, input: 2, output: 3 } as const;

/** The largest graphs that people publish have some ten thousand nodes. */
const MAX_NODES = 1_000_000;
/** Names, words and numbers that are not packed; weights are tensors. */
const MAX_LIST = 1_000_000;
/** Padding, shapes and borders of an attribute. */
const MAX_ATTRIBUTE_LIST = 250_000;
/** Far more axes than TensorFlow computes with. */
const MAX_RANK = 64;
/** A list or a function within a list, within a list ... */
const MAX_DEPTH = 8;

/**
 * Reads the GraphDef that lies in [start, end) of a source; no weight.
 *
 * @throws ModelError 'malformed' where the bytes are no GraphDef
 */
export async function readGraphDef(source: ByteSource, start = 0, end = source.byteLength): Promise<TfGraph> {
  return new GraphDefReader(source).graph(start, end);
}

/** Whether a file begins as a GraphDef does: with a node that has a name and an operator. */
export async function looksLikeGraphDef(source: ByteSource): Promise<boolean> {
  const wire = new WireReader(source);
  try {
    for await (const field of wire.fields(0, source.byteLength)) {
      if (field.number !== GRAPH_DEF.node || field.wireType !== 2) return false;
      const seen: string[] = [];
      for await (const entry of wire.fields(field.start, field.end)) {
        if (entry.number === NODE_DEF.name && seen.length === 0) seen.push(await wire.text(entry, 10_000));
        else if (entry.number === NODE_DEF.op && seen.length === 1) return /^[A-Za-z_]\w*$/.test(await wire.text(entry, 1000)) && seen[0] !== '';
        else return false;
      }
      return false;
    }
  } catch {
    // What is no protobuf is no graph.
  }
  return false;
}

/** A TensorShapeProto; null where the rank is not known. @throws ModelError 'malformed' for more axes than any tensor has */
export async function readTensorShape(wire: WireReader, field: Field): Promise<TfShape> {
  const sizes: number[] = [];
  for await (const entry of wire.fields(field.start, field.end)) {
    if (entry.number === SHAPE.unknownRank && entry.varint !== 0n) return null;
    if (entry.number !== SHAPE.dim) continue;
    let size = 0;
    for await (const part of wire.fields(entry.start, entry.end)) if (part.number === 1) size = Number(BigInt.asIntN(64, part.varint));
    sizes.push(size);
    if (sizes.length > MAX_RANK) throw wire.error(entry.start, `a shape of more than ${MAX_RANK} axes`);
  }
  return sizes;
}

/**
 * A TensorProto; null where it holds no numbers.
 *
 * @param said of what type and shape it is where the message does not say it
 */
export function readTensorProto(
  source: ByteSource,
  field: Field,
  name: string,
  said?: { readonly code: number; readonly shape: readonly number[] },
): Promise<Tensor | null> {
  return new GraphDefReader(source).tensor(field, name, said);
}

class GraphDefReader {
  readonly wire: WireReader;
  #nodes = 0;

  constructor(readonly source: ByteSource) {
    this.wire = new WireReader(source);
  }

  async graph(start: number, end: number): Promise<TfGraph> {
    const nodes: TfNode[] = [];
    const functions = new Map<string, TfFunction>();
    let producer = 0;
    for await (const field of this.wire.fields(start, end)) {
      if (field.number === GRAPH_DEF.node) nodes.push(await this.node(field));
      else if (field.number === GRAPH_DEF.library) {
        for await (const entry of this.#fields(field)) {
          if (entry.number !== 1) continue;
          const made = await this.#function(entry);
          functions.set(made.name, made);
        }
      } else if (field.number === GRAPH_DEF.versions) {
        for await (const entry of this.#fields(field)) if (entry.number === 1) producer = Number(entry.varint);
      }
    }
    return { nodes, functions, producer };
  }

  async node(field: Field): Promise<TfNode> {
    if (++this.#nodes > MAX_NODES) throw this.wire.error(field.start, `more than ${MAX_NODES} nodes`);
    let name = '';
    let op = '';
    const inputs: string[] = [];
    const spans: Field[] = [];
    for await (const entry of this.#fields(field)) {
      if (entry.number === NODE_DEF.name) name = await this.wire.text(entry);
      else if (entry.number === NODE_DEF.op) op = await this.wire.text(entry);
      else if (entry.number === NODE_DEF.input) inputs.push(await this.wire.text(entry));
      else if (entry.number === NODE_DEF.attr) spans.push(entry);
    }
    if (name === '' || op === '') throw this.wire.error(field.start, 'a node has no name or operator');
    const attributes = new Map<string, TfAttribute>();
    for (const span of spans) {
      let key = '';
      let value: Field | null = null;
      for await (const entry of this.#fields(span)) {
        if (entry.number === ENTRY.key) key = await this.wire.text(entry);
        else if (entry.number === ENTRY.value) value = entry;
      }
      const made = value && (await this.#attribute(value, `${name}/${key}`, 0));
      if (made) attributes.set(key, made);
    }
    return { name, op, ...splitInputs(inputs), attributes };
  }

  async #function(field: Field): Promise<TfFunction> {
    let name = '';
    const parameters: string[] = [];
    const outputs: string[] = [];
    const results = new Map<string, string>();
    const nodes: TfNode[] = [];
    for await (const entry of this.#fields(field)) {
      if (entry.number === FUNCTION.node) nodes.push(await this.node(entry));
      else if (entry.number === FUNCTION.signature) {
        for await (const part of this.#fields(entry)) {
          if (part.number === OP_DEF.name) name = await this.wire.text(part);
          else if (part.number === OP_DEF.input) parameters.push(await this.#nameOf(part));
          else if (part.number === OP_DEF.output) outputs.push(await this.#nameOf(part));
        }
      } else if (entry.number === FUNCTION.result) {
        const pair: string[] = ['', ''];
        for await (const part of this.#fields(entry)) if (part.number === 1 || part.number === 2) pair[part.number - 1] = await this.wire.text(part);
        results.set(pair[0]!, pair[1]!);
      }
    }
    return { name, arguments: parameters, results: outputs.map((output) => [output, results.get(output) ?? ''] as const), nodes };
  }

  /** The first field of an ArgDef, its name. */
  async #nameOf(field: Field): Promise<string> {
    for await (const entry of this.#fields(field)) if (entry.number === 1) return this.wire.text(entry);
    return '';
  }

  /** Null for an AttrValue that says nothing. */
  async #attribute(field: Field, label: string, depth: number): Promise<TfAttribute | null> {
    if (depth > MAX_DEPTH) throw this.wire.error(field.start, `attributes are nested more than ${MAX_DEPTH} deep`);
    for await (const entry of this.#fields(field)) {
      if (entry.number !== ATTR.list) return this.#single(entry, label, entry.number === ATTR.func);
      const values: TfAttribute[] = [];
      for await (const item of this.#fields(entry)) {
        this.#checkList(values.length, item);
        for (const value of await this.#items(item, label)) values.push(value);
      }
      return { kind: 'list', value: values };
    }
    return null;
  }

  #checkList(count: number, { start }: Field): void {
    if (count > MAX_ATTRIBUTE_LIST) throw this.wire.error(start, `a list of more than ${MAX_ATTRIBUTE_LIST} values`);
  }

  /** One value of a list, or all those that are packed into one field. */
  async #items(field: Field, label: string): Promise<TfAttribute[]> {
    const { number, wireType } = field;
    if (wireType === 2 && (number === ATTR.i || number === ATTR.b || number === ATTR.type)) {
      const varints = await this.wire.varints(field);
      this.#checkList(varints.length, field);
      return Array.from(varints, (varint) => scalar(number, varint));
    }
    if (wireType === 2 && number === ATTR.f) {
      const view = viewOf(await this.wire.bytes(field));
      this.#checkList(view.byteLength >> 2, field);
      return Array.from({ length: view.byteLength >> 2 }, (_, i) => ({ kind: 'float' as const, value: view.getFloat32(4 * i, true) }));
    }
    const one = await this.#single(field, label, number === LIST_FUNC);
    return one ? [one] : [];
  }

  async #single(field: Field, label: string, isFunction: boolean): Promise<TfAttribute | null> {
    const { number } = field;
    if (isFunction) return { kind: 'function', value: { name: await this.#nameOf(field) } };
    if (number === ATTR.s) return { kind: 'string', value: await this.wire.text(field) };
    if (number === ATTR.i || number === ATTR.b || number === ATTR.type) return scalar(number, field.varint);
    if (number === ATTR.f) return { kind: 'float', value: viewOf(await this.wire.bytes(field)).getFloat32(0, true) };
    if (number === ATTR.shape) return { kind: 'shape', value: await readTensorShape(this.wire, field) };
    if (number === ATTR.tensor) return (await this.#texts(field)) ?? { kind: 'tensor', value: await this.tensor(field, label) };
    return null;
  }

  /** Null for a tensor that holds no strings. */
  async #texts(field: Field): Promise<TfAttribute | null> {
    const spans: Field[] = [];
    let code = 0;
    for await (const entry of this.#fields(field)) {
      if (entry.number === TENSOR.dtype) code = Number(entry.varint);
      else if (code !== STRING) return null;
      else if (entry.number === TENSOR.string) spans.push(entry);
      if (spans.length > MAX_LIST) throw this.wire.error(entry.start, `more than ${MAX_LIST} strings`);
    }
    if (code !== STRING) return null;
    // Vocabularies and pictures are no names.
    const isNames = spans.length <= MAX_NAMES && spans.every(({ start, end }) => end - start <= MAX_NAME_BYTES);
    const texts: string[] = [];
    if (isNames) for (const span of spans) texts.push(await this.wire.text(span));
    return { kind: 'tensor', value: null, texts };
  }

  /** Null for a tensor of strings or handles, which hold no numbers. */
  /** @param said what is known of it where the message has nothing but values, which are all there then */
  async tensor(field: Field, name: string, said?: { readonly code: number; readonly shape: readonly number[] }): Promise<Tensor | null> {
    let code = said?.code ?? 0;
    let shape: TfShape = said?.shape ?? [];
    const parts: Field[] = [];
    for await (const entry of this.#fields(field)) {
      if (entry.number === TENSOR.dtype) code = Number(entry.varint);
      else if (entry.number === TENSOR.shape) shape = await readTensorShape(this.wire, entry);
      else if (isValues(entry.number)) parts.push(entry);
      if (parts.length > MAX_LIST) throw this.wire.error(entry.start, `more than ${MAX_LIST} values that are not packed as bytes`);
    }
    const dtype = TF_DTYPES.get(code);
    if (!dtype) return null;
    const origin: Origin = { file: this.source.name, offset: parts[0]?.start ?? field.start, name };
    if (!shape?.every((size) => Number.isSafeInteger(size) && size >= 0)) throw this.wire.error(field.start, `a constant of shape [${shape ?? '?'}]`);
    const count = elementCount(shape);
    const [first] = parts;
    const isRaw = first?.number === TENSOR.content || (first?.wireType === 2 && AS_STORED.has(first.number));
    const isComplex = first?.number === TENSOR.complex || first?.number === TENSOR.doubleComplex;
    const byteLength = first ? first.end - first.start : 0;
    if (first && parts.length === 1 && isRaw && byteLength === count * DTYPE_BYTES[dtype]) {
      return storedTensor({ name, dtype, shape, source: sliceSource(this.source, first.start, first.end), origin });
    }
    if (isComplex) {
      // One number, which is two values, stands for all.
      if (parts.length !== 1 || byteLength !== DTYPE_BYTES[dtype] || said)
        throw this.wire.error(first.start, `${byteLength} bytes for complex numbers of shape [${shape}]`);
      return storedTensor({ name, dtype, shape, strides: shape.map(() => 0), source: sliceSource(this.source, first.start, first.end), origin });
    }
    if (first?.number === TENSOR.content) throw this.wire.error(first.start, `${first.end - first.start} bytes for a constant of shape [${shape}] of ${dtype}`);
    const values: (number | bigint)[] = [];
    for (const part of parts) for (const value of await this.#numbers(part)) values.push(value);
    if (said && values.length !== count) throw this.wire.error(field.start, `${values.length} values for the shape [${shape}]`);
    return filledTensor({ name, dtype, shape, values, origin });
  }

  async #numbers(field: Field): Promise<(number | bigint)[]> {
    const { number, wireType } = field;
    if (number === TENSOR.float || number === TENSOR.double) {
      const view = viewOf(await this.wire.bytes(field));
      const width = number === TENSOR.float ? 4 : 8;
      return Array.from({ length: Math.floor(view.byteLength / width) }, (_, i) => (width === 4 ? view.getFloat32(4 * i, true) : view.getFloat64(8 * i, true)));
    }
    const raw = wireType === 2 ? [...(await this.wire.varints(field))] : [field.varint];
    return raw.map((value) => BigInt.asIntN(64, value));
  }

  #fields(field: Field): AsyncGenerator<Field> {
    if (field.wireType !== 2) throw this.wire.error(field.start, `field ${field.number} is no message`);
    return this.wire.fields(field.start, field.end);
  }
}

function isValues(number: number): boolean {
  return number !== TENSOR.dtype && number !== TENSOR.shape && Object.values(TENSOR).includes(number as never);
}

function scalar(number: number, varint: bigint): TfAttribute {
  const value = Number(BigInt.asIntN(64, varint));
  if (number === ATTR.b) return { kind: 'bool', value: value !== 0 };
  if (number === ATTR.type) return { kind: 'type', value: tfDTypeName(value) };
  return { kind: 'int', value };
}

/** A name of `TF_DTYPES`, 'string', or 'type 20' for one that holds no numbers. */
export function tfDTypeName(code: number): string {
  return code === 7 ? 'string' : (TF_DTYPES.get(code) ?? `type ${code}`);
}

/**
 * A constant of values that are given one by one: the last one stands for all that follow, and none at all for zeros.
 *
 * @throws ModelError 'malformed' for more values than the shape has, 'unsafe' for a few that are to become very many
 */
export function filledTensor({
  name,
  dtype,
  shape,
  values,
  origin,
}: Pick<Tensor, 'name' | 'dtype' | 'shape' | 'origin'> & { readonly values: readonly (number | bigint)[] }): Tensor {
  const count = elementCount(shape);
  const place = { file: origin.file, tensor: name, ...(origin.offset === undefined ? {} : { offset: origin.offset }) };
  if (values.length > count) throw new ModelError('malformed', `${values.length} values for a constant of shape [${shape}]`, place);
  const last = encodeValues(dtype, [values.at(-1) ?? 0]);
  if (values.length <= 1) return storedTensor({ name, dtype, shape, strides: shape.map(() => 0), source: memorySource(last, origin.file), origin });
  if (count > MAX_LIST) throw new ModelError('unsafe', `${values.length} values are to fill the shape [${shape}]`, place);
  const filled = Array.from({ length: count }, (_, i) => values[Math.min(i, values.length - 1)]!);
  return constantTensor(name, dtype, shape, encodeValues(dtype, filled), origin);
}

/** Values as little-endian bytes; half precision is given as its 16 bits, as `half_val` has it. */
function encodeValues(dtype: DType, values: readonly (number | bigint)[]): Uint8Array {
  const width = DTYPE_BYTES[dtype];
  const bytes = new Uint8Array(values.length * width);
  const view = viewOf(bytes);
  values.forEach((value, i) => {
    const at = i * width;
    if (dtype === 'float32') view.setFloat32(at, Number(value), true);
    else if (dtype === 'float64') view.setFloat64(at, Number(value), true);
    else if (width === 8) view.setBigInt64(at, BigInt.asIntN(64, BigInt(value)), true);
    else if (width === 4) view.setInt32(at, Number(BigInt.asIntN(32, BigInt(value))), true);
    else if (width === 2) view.setUint16(at, Number(BigInt.asUintN(16, BigInt(value))), true);
    else view.setUint8(at, Number(BigInt.asUintN(8, BigInt(value))));
  });
  return bytes;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** 'name', 'name:1' and '^name'; in functions 'name:output_name:1', whose output is resolved where the operator is known (`port`). */
export function splitInputs(inputs: readonly string[]): Pick<TfNode, 'inputs' | 'control'> {
  const data = inputs.filter((input) => !input.startsWith('^'));
  return { inputs: data.map(parseInput), control: inputs.filter((input) => input.startsWith('^')).map((input) => input.slice(1)) };
}

export function parseInput(input: string): TfInput {
  const [, node, port, output] = /^(.*?)(?::([A-Za-z_]\w*))?(?::(\d+))?$/s.exec(input)!;
  return { node: node!, output: Number(output ?? 0), ...(port === undefined ? {} : { port }) };
}

export function isNumberDType(name: string): name is DType {
  return Object.hasOwn(DTYPE_BYTES, name);
}

/** A DataType of JSON: its name or its number. */
export function dtypeOfJson(value: unknown): string {
  return tfDTypeName(typeof value === 'string' && Object.hasOwn(DTYPE_NAMES, value) ? DTYPE_NAMES[value]! : Number(value));
}
